/* status.c -- messages and exit codes. */
#include "deconvoy/status.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 2048, NEAREST_MAX = 64 };

static _Thread_local char message[MESSAGE_BYTES];

/* Messages are one line, whatever a file's names contain. */
static void one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

dcv_status dcv_fail(dcv_status code, const char *fmt, ...)
{
    char text[MESSAGE_BYTES]; /* an argument may be the old message itself */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    one_line(text);
    memcpy(message, text, sizeof message);
    return code;
}

dcv_status dcv_fail_in(dcv_status code, const char *fmt, ...)
{
    char place[MESSAGE_BYTES / 2];
    va_list args;
    va_start(args, fmt);
    vsnprintf(place, sizeof place, fmt, args);
    va_end(args);
    return dcv_fail(code, "%s: %s", place, message);
}

const char *dcv_message(void)
{
    return message;
}

void dcv_message_clear(void)
{
    message[0] = 0;
}

int dcv_exit_code(dcv_status code)
{
    static const int exits[DCV_N_STATUS] = {
        [DCV_OK] = 0,      [DCV_EUSAGE] = 64,    [DCV_EDATA] = 65, [DCV_EUNSUPPORTED] = 65, [DCV_ENOINPUT] = 66,
        [DCV_ENOMEM] = 70, [DCV_EINTERNAL] = 70, [DCV_EIO] = 74,   [DCV_ESTOP] = 75,        [DCV_ECONFIG] = 78,
    };
    return code >= 0 && code < DCV_N_STATUS ? exits[code] : exits[DCV_EINTERNAL];
}

static int min3(int a, int b, int c)
{
    const int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Optimal string alignment distance, case aside: three rows of the table, since a swap looks two back. */
static int distance(const char *a, const char *b)
{
    const int na = (int)strlen(a), nb = (int)strlen(b);
    int rows[3][NEAREST_MAX + 1];
    for (int j = 0; j <= nb; j++)
        rows[0][j] = j;
    for (int i = 1; i <= na; i++) {
        int *now = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= nb; j++) {
            const int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            now[j] = min3(up[j] + 1, now[j - 1] + 1, up[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]) &&
                up2[j - 2] + 1 < now[j])
                now[j] = up2[j - 2] + 1;
        }
    }
    return rows[na % 3][nb];
}

const char *dcv_nearest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    const size_t length = strlen(word);
    if (length == 0 || length > NEAREST_MAX)
        return NULL;
    int least = 1 + (int)length / 2; /* further away than this, it was hardly meant */
    for (size_t i = 0; i < n; i++) {
        if (!names[i] || strlen(names[i]) > NEAREST_MAX)
            continue;
        const int d = distance(word, names[i]);
        if (d < least) {
            least = d;
            best = names[i];
        }
    }
    return best;
}

void dcv_check_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "deconvoy: internal error: %s:%d: %s does not hold\n", file, line, cond);
    abort();
}
