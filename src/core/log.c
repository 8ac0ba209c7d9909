/* log.c -- one line, one write, on stderr. */
#include "deconvoy/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static int quiet_;

void dcv_log_quiet(int quiet)
{
    quiet_ = quiet;
}

static void say(const char *kind, const char *fmt, va_list args) DCV_PRINTF(2, 0);
static void say(const char *kind, const char *fmt, va_list args)
{
    char line[4096];
    int n = snprintf(line, sizeof line, "deconvoy: %s", kind);
    const int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, args);
    if (m < 0)
        return;
    n += m;
    if (n > (int)sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n++] = '\n';
    for (int at = 0; at < n;) { /* nothing sensible can be done where stderr itself is broken */
        const ssize_t wrote = write(STDERR_FILENO, line + at, (size_t)(n - at));
        if (wrote <= 0)
            return;
        at += (int)wrote;
    }
}

void dcv_log_error(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("", fmt, args);
    va_end(args);
}

void dcv_log_warning(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (!quiet_)
        say("warning: ", fmt, args);
    va_end(args);
}

void dcv_log_info(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (!quiet_)
        say("", fmt, args);
    va_end(args);
}
