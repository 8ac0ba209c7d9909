/* truth_rows.c -- comma-separated lines of true boxes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "core/text.h"
#include "io/truth.h"

enum { FIELDS = 6 };
static const char *const names[FIELDS] = {"image", "class", "y0", "x0", "y1", "x1"};
static const char header[] = "image,class,y0,x0,y1,x1";

void dcv_truth_clean(char *name)
{
    for (size_t left = strlen(name); left;) {
        const size_t n = dcv_utf8_length(name, left);
        if (!n)
            *name = '?';
        name += n ? n : 1;
        left -= n ? n : 1;
    }
}

static char *trim(char *from, char *end)
{
    while (from < end && strchr(" \t\r", *from))
        from++;
    while (end > from && strchr(" \t\r", end[-1]))
        end--;
    *end = 0;
    return from;
}

/* A field in quotes at *at, its text moved together; *at goes past the closing one.  NULL: there is none. */
static char *quoted(char **at)
{
    char *text = *at + 1, *to = text, *p = text;
    for (; *p; *to++ = *p++)
        if (*p == '"' && *++p != '"') {
            *at = p;
            *to = 0;
            return text;
        }
    return NULL;
}

/* Fields of a line, at most FIELDS + 1 are told apart.  Returns how many; -1: a quote is not closed, or goes on after
 * it.
 */
static int split(char *line, char **field)
{
    for (int n = 0;;) {
        char *start = line + strspn(line, " \t"), *end = start;
        char *text = *start == '"' ? quoted(&end) : start;
        if (!text)
            return -1;
        end += text == start ? strcspn(end, ",") : strspn(end, " \t\r");
        if (*end && *end != ',')
            return -1;
        const bool more = *end;
        field[n++] = text == start ? trim(start, end) : text;
        if (!more || n > FIELDS)
            return n;
        line = end + 1;
    }
}

static bool number(const char *text, double *to)
{
    char *end;
    if (!*text || strspn(text, "0123456789+-.eE") != strlen(text))
        return false;
    *to = strtod(text, &end);
    return !*end && isfinite(*to);
}

static dcv_status read_row(char **field, const char *shown, dcv_truth_row *r)
{
    double *const to[] = {&r->y0, &r->x0, &r->y1, &r->x1};
    const long long line = (long long)r->line;
    r->image = field[0];
    r->class_name = field[1];
    for (int i = 0; i < 2; i++) {
        if (!*field[i])
            return dcv_fail(DCV_EDATA, "%s:%lld: no %s; expected %s", shown, line, names[i], header);
        dcv_truth_clean(field[i]);
    }
    for (int i = 0; i < 4; i++)
        if (!number(field[2 + i], to[i]))
            return dcv_fail(DCV_EDATA, "%s:%lld: %s is \"%.40s\"; expected a number of pixels", shown, line,
                            names[2 + i], field[2 + i]);
    if (r->y0 >= r->y1 || r->x0 >= r->x1)
        return dcv_fail(DCV_EDATA, "%s:%lld: an empty box, rows %g to %g and columns %g to %g; ends are exclusive",
                        shown, line, r->y0, r->y1, r->x0, r->x1);
    return DCV_OK;
}

static dcv_status read_header(char **field, int n, const char *shown)
{
    bool same = n == FIELDS;
    for (int i = 0; same && i < FIELDS; i++)
        same = !strcmp(field[i], names[i]);
    return same ? DCV_OK : dcv_fail(DCV_EDATA, "%s:1: expected the header %s", shown, header);
}

static dcv_status read_line(char *line, int64_t number_of, const char *shown, dcv_truth_rows *out)
{
    char *field[FIELDS + 1] = {NULL};
    const bool blank = !line[strspn(line, " \t\r")];
    const int n = blank ? 0 : split(line, field);
    if (number_of == 1)
        return read_header(field, n, shown);
    if (blank)
        return DCV_OK;
    if (n < 0)
        return dcv_fail(DCV_EDATA, "%s:%lld: a quote that is not closed, or goes on after it", shown,
                        (long long)number_of);
    if (n != FIELDS)
        return dcv_fail(DCV_EDATA, "%s:%lld: %s%d fields; expected %s", shown, (long long)number_of,
                        n > FIELDS ? "more than " : "", n > FIELDS ? FIELDS : n, header);
    dcv_truth_row *r = &out->row[out->n];
    r->line = number_of;
    DCV_TRY(read_row(field, shown, r));
    out->n++;
    return DCV_OK;
}

dcv_status dcv_truth_rows_read(char *text, size_t bytes, const char *shown, dcv_truth_rows *out)
{
    size_t lines = 1;
    *out = (dcv_truth_rows){.text = text};
    if (memchr(text, 0, bytes))
        return dcv_fail(DCV_EDATA, "%s:1: not a text: it has a byte 0", shown);
    for (size_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    out->row = dcv_alloc(lines, sizeof *out->row);
    if (!out->row)
        return DCV_ENOMEM;
    char *line = strncmp(text, "\xef\xbb\xbf", 3) ? text : text + 3;
    for (int64_t i = 1; line; i++) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        DCV_TRY(read_line(line, i, shown, out));
        line = next;
    }
    return DCV_OK;
}

void dcv_truth_rows_clear(dcv_truth_rows *r)
{
    dcv_free(r->row);
    dcv_free(r->text);
    *r = (dcv_truth_rows){0};
}
