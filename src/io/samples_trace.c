/* samples_trace.c -- traces: SAC (binary, either byte order) and text with one trace a column. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "deconvoy/memory.h"
#include "io/samples.h"
#include "io/source.h"

#define SAC_HEAD     632
#define SAC_VERSION  76 /* words */
#define SAC_POINTS   79
#define SAC_DELTA    0
#define MOST_COLUMNS 100000

static uint32_t word(const uint8_t *b, int at, bool swapped)
{
    const uint8_t *p = b + 4 * at;
    return swapped ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                   : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static float real_at(const uint8_t *b, int at, bool swapped)
{
    const uint32_t v = word(b, at, swapped);
    float f;
    memcpy(&f, &v, sizeof f);
    return f;
}

/* Version 6 or 7 of the header, one way round or the other. */
static bool sac_order(const uint8_t *head, size_t n, bool *swapped)
{
    if (n < SAC_HEAD)
        return false;
    for (int i = 0; i < 2; i++) {
        *swapped = i;
        const uint32_t v = word(head, SAC_VERSION, *swapped);
        if (v == 6 || v == 7)
            return true;
    }
    return false;
}

static bool sac_knows(const uint8_t *head, size_t n)
{
    bool swapped;
    return sac_order(head, n, &swapped) && word(head, SAC_POINTS, swapped) > 0 &&
           word(head, SAC_POINTS, swapped) < 1u << 31 && isfinite(real_at(head, SAC_DELTA, swapped));
}

static dcv_status sac_parse(dcv_samples *s, const uint8_t *b, size_t n)
{
    bool swapped;
    if (!sac_order(b, n, &swapped))
        return dcv_fail(DCV_EDATA, "%s: SAC: no header of version 6 or 7", s->shown);
    const int64_t points = (int32_t)word(b, SAC_POINTS, swapped);
    if (points < 1 || (size_t)points > (n - SAC_HEAD) / 4)
        return dcv_fail(DCV_EDATA, "%s: SAC: cut: %lld points in a file of %zu bytes", s->shown, (long long)points, n);
    const double delta = (double)real_at(b, SAC_DELTA, swapped);
    s->dims = (dcv_dims){1, {points}};
    s->spacing[2] = delta > 0 ? delta : 0;
    s->values = dcv_alloc((size_t)points, sizeof *s->values);
    for (int64_t i = 0; s->values && i < points; i++)
        s->values[i] = (double)real_at(b + SAC_HEAD + 4 * i, 0, swapped);
    return s->values ? DCV_OK : DCV_ENOMEM;
}

static dcv_status sac_open(dcv_samples *s, const char *dataset)
{
    uint8_t *b;
    size_t n;
    (void)dataset;
    DCV_TRY(dcv_read_item_file(s->file, s->shown, -1, &b, &n));
    const dcv_status st = sac_parse(s, b, n);
    dcv_free(b);
    return st;
}

/* --- Text ------------------------------------------------------------------------------------- */

static bool is_gap(char c)
{
    return c == ' ' || c == '\t' || c == ',' || c == ';' || c == '\r';
}

/* The next number of a line; false: there is none, or (bad) it is no number. */
static bool next_number(const char **at, const char *end, double *v, bool *bad)
{
    char text[64];
    while (*at < end && is_gap(**at))
        (*at)++;
    size_t n = 0;
    while (*at + n < end && !is_gap((*at)[n]) && (*at)[n] != '#')
        n++;
    *bad = false;
    if (!n)
        return false;
    if (n < sizeof text) {
        memcpy(text, *at, n);
        text[n] = 0;
        char *stop;
        *v = strtod(text, &stop);
        *bad = stop != text + n;
    } else
        *bad = true;
    *at += n;
    return !*bad;
}

static const char *line_end(const char *at, const char *end)
{
    const char *eol = memchr(at, '\n', (size_t)(end - at));
    return eol ? eol : end;
}

/* Numbers in a line; -1: something else is in it. */
static int64_t count_numbers(const char *at, const char *end)
{
    int64_t n = 0;
    double v;
    bool bad;
    while (next_number(&at, end, &v, &bad))
        n++;
    return bad ? -1 : n;
}

bool dcv_samples_is_columns(const uint8_t *head, size_t n)
{
    const char *at = (const char *)head, *end = at + n;
    while (at < end) {
        const char *eol = line_end(at, end);
        const int64_t numbers = count_numbers(at, eol);
        if (numbers)
            return numbers > 0;
        at = eol + 1;
    }
    return false;
}

/* First how many lines and columns, then (to not NULL) their numbers, a trace a row. */
static dcv_status columns_scan(const dcv_samples *s, const char *at, const char *end, int64_t *lines, int64_t *columns,
                               double *to)
{
    int64_t number = 0, row = 0;
    while (at < end) {
        const char *eol = line_end(at, end);
        const int64_t n = count_numbers(at, eol);
        number++;
        if (n < 0 || (n && row && n != *columns) || n > MOST_COLUMNS)
            return dcv_fail(DCV_EDATA, "%s:%lld: not a line of numbers as the ones before; expected one trace a column",
                            s->shown, (long long)number);
        if (n && !row)
            *columns = n;
        for (int64_t k = 0; to && k < n; k++) {
            bool bad;
            double v = 0;
            (void)next_number(&at, eol, &v, &bad);
            to[k * *lines + row] = v;
        }
        row += n > 0;
        at = eol + 1;
    }
    if (!to)
        *lines = row;
    return row ? DCV_OK : dcv_fail(DCV_EDATA, "%s: no numbers in it", s->shown);
}

static dcv_status columns_parse(dcv_samples *s, const char *text, size_t n)
{
    int64_t lines = 0, columns = 0;
    DCV_TRY(columns_scan(s, text, text + n, &lines, &columns, NULL));
    s->values = dcv_alloc((size_t)lines, (size_t)columns * sizeof *s->values);
    if (!s->values)
        return DCV_ENOMEM;
    s->dims = (dcv_dims){2, {columns, lines}};
    return columns_scan(s, text, text + n, &lines, &columns, s->values);
}

static dcv_status columns_open(dcv_samples *s, const char *dataset)
{
    uint8_t *b;
    size_t n;
    (void)dataset;
    DCV_TRY(dcv_read_item_file(s->file, s->shown, -1, &b, &n));
    const dcv_status st = columns_parse(s, (const char *)b, n);
    dcv_free(b);
    return st;
}

const dcv_samples_kind dcv_samples_sac = {.name = "SAC", .extensions = "sac", .knows = sac_knows, .open = sac_open};
const dcv_samples_kind dcv_samples_columns = {
    .name = "numbers in columns", .extensions = "txt|csv|dat", .open = columns_open};
