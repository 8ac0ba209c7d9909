/* columns.c -- lines of cells, printed under each other.
 *
 * The text holds each cell with a tab behind it and each line with a line feed.
 */
#include "calls/columns.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include "deconvoy/memory.h"

enum { MOST_COLUMNS = 16 };

void dcv_cell(dcv_text *t, const char *fmt, ...)
{
    char cell[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(cell, sizeof cell, fmt, args);
    va_end(args);
    for (char *s = cell; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
    dcv_text_add(t, "%s\t", *cell ? cell : "-");
}

void dcv_cell_count(dcv_text *t, int64_t n)
{
    char plain[24], cell[40];
    size_t length = (size_t)snprintf(plain, sizeof plain, "%" PRId64, n), at = 0;
    for (size_t i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            cell[at++] = ',';
        cell[at++] = plain[i];
    }
    cell[at] = 0;
    dcv_cell(t, "%s", n < 0 ? "?" : cell);
}

void dcv_cell_amount(dcv_text *t, int64_t n)
{
    static const char units[] = " kMGTPE";
    double v = (double)n;
    int unit = 0;
    while (v >= 999.5) {
        v /= 1000;
        unit++;
    }
    if (n < 0)
        dcv_cell(t, "?");
    else if (unit)
        dcv_cell(t, "%.3g %c", v, units[unit]);
    else
        dcv_cell(t, "%" PRId64, n);
}

void dcv_cell_end(dcv_text *t)
{
    dcv_text_put(t, "\n", 1);
}

static int characters(const char *s, size_t n)
{
    int count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xc0) != 0x80;
    return count;
}

static void measure(const char *s, int *width)
{
    for (int column = 0; *s; column++) {
        const size_t n = strcspn(s, "\t\n");
        if (s[n] == '\n') {
            column = -1;
        } else if (column < MOST_COLUMNS) {
            const int w = characters(s, n);
            width[column] = w > width[column] ? w : width[column];
        }
        s += n + 1;
    }
}

static void blanks(FILE *to, int n)
{
    for (int i = 0; i < n; i++)
        fputc(' ', to);
}

static void print(FILE *to, const char *s, const int *width, const char *align)
{
    int owed = 0; /* blanks before the next cell, so that lines have none at their end */
    for (int column = 0; *s; column++) {
        const size_t n = strcspn(s, "\t\n");
        if (s[n] == '\n') {
            fputc('\n', to);
            column = -1;
            owed = 0;
        } else {
            const int pad = width[column % MOST_COLUMNS] - characters(s, n);
            const bool right = column < (int)strlen(align) && align[column] == 'r';
            blanks(to, owed + (right ? pad : 0));
            fwrite(s, 1, n, to);
            owed = 2 + (right ? 0 : pad);
        }
        s += n + 1;
    }
}

dcv_status dcv_columns_print(FILE *to, dcv_text *t, const char *align)
{
    int width[MOST_COLUMNS] = {0};
    char *text = dcv_text_take(t);
    if (!text)
        return DCV_ENOMEM;
    measure(text, width);
    print(to, text, width, align);
    dcv_free(text);
    return DCV_OK;
}
