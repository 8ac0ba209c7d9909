/* field.c -- option tables: look-up, words, and values that are already parsed. */
#include "deconvoy/field.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "core/field_check.h"

enum { MAX_WORDS = 64 };

/* --- words --------------------------------------------------------------------------- */

/* Next word of a "a|b" list: its length in *n; NULL at the end. */
static const char *next_word(const char **words, size_t *n)
{
    const char *w = *words;
    if (!w || !*w)
        return NULL;
    *n = strcspn(w, "|");
    *words = w + *n + (w[*n] == '|');
    return w;
}

int dcv_word_find(const char *words, const char *word)
{
    size_t n;
    const char *w;
    for (int i = 0; (w = next_word(&words, &n)); i++)
        if (strlen(word) == n && !memcmp(w, word, n))
            return i;
    return -1;
}

char *dcv_word_at(const char *words, int i, char *buf, size_t n)
{
    size_t len;
    const char *w;
    buf[0] = 0;
    for (int j = 0; i >= 0 && (w = next_word(&words, &len)); j++)
        if (j == i)
            snprintf(buf, n, "%.*s", (int)len, w);
    return buf;
}

void dcv_append(char *buf, size_t n, const char *fmt, ...)
{
    const size_t have = strlen(buf);
    va_list args;
    va_start(args, fmt);
    vsnprintf(buf + have, n - have, fmt, args);
    va_end(args);
}

void dcv_words_join(const char *words, const char *last, char *buf, size_t n)
{
    size_t len;
    const char *w;
    for (int i = 0; (w = next_word(&words, &len)); i++)
        dcv_append(buf, n, "%s%.*s", i == 0 ? "" : *words ? ", " : last, (int)len, w);
}

void dcv_words_list(const char *words, char *buf, size_t n)
{
    dcv_words_join(words, " or ", buf, n);
}

char *dcv_words_nearest(const char *words, const char *word, char *buf, size_t n)
{
    char copies[MAX_WORDS][64];
    const char *names[MAX_WORDS];
    size_t count = 0, len;
    const char *w;
    while (count < MAX_WORDS && (w = next_word(&words, &len))) {
        snprintf(copies[count], sizeof copies[count], "%.*s", (int)len, w);
        names[count] = copies[count];
        count++;
    }
    const char *near = dcv_nearest(word, names, count);
    snprintf(buf, n, "%s", near ? near : "");
    return buf;
}

const dcv_field *dcv_field_find(const dcv_field *table, const char *key)
{
    for (; table && table->type != DCV_FIELD_END; table++)
        if (!strcmp(table->key, key))
            return table;
    return NULL;
}

/* --- ranges -------------------------------------------------------------------------- */

static bool has_min(const dcv_field *f)
{
    return f->min != 0 || f->max != 0 || f->above_min;
}

static bool has_max(const dcv_field *f)
{
    return has_min(f) && f->max >= f->min && f->max < DCV_NO_LIMIT && !(f->above_min && f->max <= f->min);
}

bool dcv_field_in_range(const dcv_field *f, double v)
{
    if (has_min(f) && (f->above_min ? !(v > f->min) : !(v >= f->min)))
        return false;
    return !has_max(f) || v <= f->max;
}

bool dcv_field_length_fits(const dcv_field *f, int n)
{
    return n >= f->n_min && (n <= f->n_max || f->n_max < f->n_min || (!f->n_min && !f->n_max));
}

char *dcv_number_print(double v, char *buf, size_t n)
{
    snprintf(buf, n, fabs(v) < 1e15 && v == floor(v) ? "%.0f" : "%.6g", v);
    return buf;
}

void dcv_field_range(const dcv_field *f, char *buf, size_t n)
{
    char lo[32], hi[32];
    dcv_number_print(f->min, lo, sizeof lo);
    dcv_number_print(f->max, hi, sizeof hi);
    if (f->above_min)
        dcv_append(buf, n, " above %s", lo);
    if (f->above_min && has_max(f))
        dcv_append(buf, n, ", at most %s", hi);
    else if (!f->above_min && has_max(f))
        dcv_append(buf, n, f->min == f->max ? " equal to %s" : " from %s to %s", lo, hi);
    else if (!f->above_min && has_min(f))
        dcv_append(buf, n, " of at least %s", lo);
}

/* --- values that are already parsed ---------------------------------------------------- */

static dcv_status wrong(const dcv_field *f, const char *is)
{
    char expects[512];
    return dcv_fail(DCV_EDATA, "attribute %s is %s; expected %s", f->key, is,
                    dcv_field_expects(f, expects, sizeof expects));
}

static dcv_status wrong_number(const dcv_field *f, double v)
{
    char text[32];
    return wrong(f, dcv_number_print(v, text, sizeof text));
}

static dcv_status wrong_length(const dcv_field *f, int n)
{
    char text[48];
    snprintf(text, sizeof text, "a list of %d", n);
    return wrong(f, text);
}

dcv_status dcv_field_set_ints(const dcv_field *f, void *at, const int64_t *v, int n, bool scalar, dcv_arena *arena)
{
    char *to = (char *)at + f->offset;
    if (f->type != DCV_FIELD_BOOL && f->type != DCV_FIELD_INT && f->type != DCV_FIELD_INTS)
        return wrong(f, scalar ? "a whole number" : "a list of whole numbers");
    if (f->type == DCV_FIELD_INTS ? !scalar && !dcv_field_length_fits(f, n) : n != 1)
        return wrong_length(f, n);
    for (int i = 0; i < n; i++)
        if (f->type == DCV_FIELD_BOOL ? v[i] != 0 && v[i] != 1 : !dcv_field_in_range(f, (double)v[i]))
            return wrong_number(f, (double)v[i]);
    if (f->type == DCV_FIELD_BOOL)
        *(bool *)to = v[0] != 0;
    else if (f->type == DCV_FIELD_INT)
        *(int64_t *)to = v[0];
    else {
        dcv_ints list = {.word = -1, .n = n, .scalar = scalar, .v = dcv_arena_alloc(arena, (size_t)n, sizeof *v)};
        if (!list.v)
            return DCV_ENOMEM;
        if (n)
            memcpy(list.v, v, (size_t)n * sizeof *v);
        *(dcv_ints *)to = list;
    }
    return DCV_OK;
}

dcv_status dcv_field_set_reals(const dcv_field *f, void *at, const double *v, int n, bool scalar, dcv_arena *arena)
{
    char *to = (char *)at + f->offset;
    if (f->type != DCV_FIELD_REAL && f->type != DCV_FIELD_REALS)
        return wrong(f, scalar ? "a number" : "a list of numbers");
    if (f->type == DCV_FIELD_REALS ? !scalar && !dcv_field_length_fits(f, n) : n != 1)
        return wrong_length(f, n);
    for (int i = 0; i < n; i++)
        if (!dcv_field_in_range(f, v[i]))
            return wrong_number(f, v[i]);
    if (f->type == DCV_FIELD_REAL)
        *(double *)to = v[0];
    else {
        dcv_reals list = {.word = -1, .n = n, .scalar = scalar, .v = dcv_arena_alloc(arena, (size_t)n, sizeof *v)};
        if (!list.v)
            return DCV_ENOMEM;
        if (n)
            memcpy(list.v, v, (size_t)n * sizeof *v);
        *(dcv_reals *)to = list;
    }
    return DCV_OK;
}

dcv_status dcv_field_set_text(const dcv_field *f, void *at, const char *text, dcv_arena *arena)
{
    char *to = (char *)at + f->offset;
    const int word = dcv_word_find(f->words, text);
    char is[96];
    snprintf(is, sizeof is, "'%.80s'", text);
    if (f->type == DCV_FIELD_WORD && word >= 0)
        *(int *)to = word;
    else if (f->type == DCV_FIELD_STRING || f->type == DCV_FIELD_PATH) {
        char *copy = dcv_arena_strdup(arena, text);
        if (!copy)
            return DCV_ENOMEM;
        *(char **)to = copy;
    } else
        return wrong(f, is);
    return DCV_OK;
}
