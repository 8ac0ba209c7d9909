/* progress.c -- see progress.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/file.h"
#include "runtime/progress.h"
#include "deconvoy/log.h"

#define LINE_S    30.0
#define BAR_S     0.2
#define BAR_CELLS 24

void progress_begin(progress *p, dcv_progress mode, int64_t items)
{
    const bool terminal = isatty(STDERR_FILENO);
    p->bar = mode == DCV_PROGRESS_BAR || (mode == DCV_PROGRESS_AUTO && terminal);
    p->lines = mode == DCV_PROGRESS_LINES || (mode == DCV_PROGRESS_AUTO && !terminal);
    p->drawn = false;
    p->began_s = p->said_s = now_s();
    p->began_items = items;
}

typedef char duration_text[32];

static char *duration(double s, duration_text buf)
{
    const long t = s > 0 && s < 1e8 ? (long)(s + 0.5) : 0;
    if (!(s < 1e8))
        snprintf(buf, sizeof(duration_text), "?");
    else if (t < 100)
        snprintf(buf, sizeof(duration_text), "%ld s", t);
    else if (t < 6000)
        snprintf(buf, sizeof(duration_text), "%ld min %02ld s", t / 60, t % 60);
    else
        snprintf(buf, sizeof(duration_text), "%ld h %02ld min", t / 3600, t / 60 % 60);
    return buf;
}

static void print(char *to, size_t n, const progress *p, const progress_now *now)
{
    const double took = now_s() - p->began_s;
    const double rate = took > 0 ? (double)(now->items - p->began_items) / took : 0;
    duration_text left;
    duration(rate > 0 ? (double)(now->all_items - now->items) / rate : 1e9, left);
    snprintf(to, n, "%s %lld/%lld items, %.4g/s, %s left, %lld failed, %d/%d ranks busy", now->phase,
             (long long)now->items, (long long)now->all_items, rate, left, (long long)now->failed, now->busy,
             now->ranks);
}

static void draw(progress *p, const progress_now *now)
{
    char text[256], cells[BAR_CELLS + 1];
    const int64_t all = now->all_items > 0 ? now->all_items : 1;
    const int full = (int)(BAR_CELLS * now->items / all);
    memset(cells, '.', BAR_CELLS);
    memset(cells, '#', (size_t)(full < 0 ? 0 : full > BAR_CELLS ? BAR_CELLS : full));
    cells[BAR_CELLS] = 0;
    print(text, sizeof text, p, now);
    fprintf(stderr, "\r[%s] %s\x1b[K", cells, text);
    fflush(stderr);
    p->drawn = true;
}

bool progress_due(const progress *p)
{
    return (p->bar || p->lines) && now_s() - p->said_s >= (p->bar ? BAR_S : LINE_S);
}

void progress_say(progress *p, const progress_now *now)
{
    p->said_s = now_s();
    if (p->bar) {
        draw(p, now);
        return;
    }
    char text[256];
    print(text, sizeof text, p, now);
    dcv_log_info("%s", text);
}

void progress_end(progress *p, const progress_now *now)
{
    if (!p->bar)
        return;
    draw(p, now);
    fputc('\n', stderr);
}
