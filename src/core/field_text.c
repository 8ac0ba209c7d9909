/* field_text.c -- from a table to text: the resolved configuration, `describe` and `new`. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/field_check.h"
#include "core/text.h"

/* --- the resolved text ----------------------------------------------------------------- */

static void put_word(dcv_text *t, const char *words, int i)
{
    char word[64];
    dcv_text_scalar(t, dcv_word_at(words, i, word, sizeof word), false);
}

static void put_ints(dcv_text *t, const dcv_ints *v)
{
    dcv_text_add(t, "%s", v->scalar ? "" : "[");
    for (int i = 0; i < v->n; i++)
        dcv_text_add(t, "%s%lld", i ? ", " : "", (long long)v->v[i]);
    dcv_text_add(t, "%s", v->scalar ? "" : "]");
}

static void put_reals(dcv_text *t, const dcv_reals *v)
{
    dcv_text_add(t, "%s", v->scalar ? "" : "[");
    for (int i = 0; i < v->n; i++) {
        dcv_text_add(t, "%s", i ? ", " : "");
        dcv_text_real(t, v->v[i]);
    }
    dcv_text_add(t, "%s", v->scalar ? "" : "]");
}

static void put_names(dcv_text *t, const dcv_field *f, const dcv_names *v)
{
    /* A name alone that is spelt as a word of the field was [name] when read, and is written so again. */
    const bool scalar = v->scalar && dcv_word_find(f->words, v->v[0]) < 0;
    dcv_text_add(t, "%s", scalar ? "" : "[");
    for (int i = 0; i < v->n; i++) {
        dcv_text_add(t, "%s", i ? ", " : "");
        dcv_text_scalar(t, v->v[i], true);
    }
    dcv_text_add(t, "%s", scalar ? "" : "]");
}

static void put_pairs(dcv_text *t, const dcv_pairs *v)
{
    dcv_text_add(t, "{");
    for (int i = 0; i < v->n; i++) {
        dcv_text_add(t, "%s", i ? ", " : "");
        dcv_text_scalar(t, v->key[i], false);
        dcv_text_add(t, ": ");
        dcv_text_scalar(t, v->value[i], false);
    }
    dcv_text_add(t, "}");
}

static bool is_absent(const dcv_field *f, const void *at)
{
    switch (f->type) {
    case DCV_FIELD_INT:
        return *(const int64_t *)at == DCV_INT_ABSENT;
    case DCV_FIELD_REAL:
        return isnan(*(const double *)at);
    case DCV_FIELD_STRING:
    case DCV_FIELD_PATH:
        return !*(char *const *)at;
    case DCV_FIELD_WORD:
        return *(const int *)at < 0;
    case DCV_FIELD_INTS:
        return ((const dcv_ints *)at)->word < 0 && !((const dcv_ints *)at)->v;
    case DCV_FIELD_REALS:
        return ((const dcv_reals *)at)->word < 0 && !((const dcv_reals *)at)->v;
    case DCV_FIELD_NAMES:
        return ((const dcv_names *)at)->word < 0 && !((const dcv_names *)at)->v;
    case DCV_FIELD_PAIRS:
        return ((const dcv_pairs *)at)->n == 0;
    default:
        return false;
    }
}

static void put_value(dcv_text *t, const dcv_field *f, const void *at)
{
    switch (f->type) {
    case DCV_FIELD_END:
    case DCV_FIELD_SECTION:
        break;
    case DCV_FIELD_BOOL:
        dcv_text_add(t, "%s", *(const bool *)at ? "true" : "false");
        break;
    case DCV_FIELD_INT:
        if (f->words && *(const int64_t *)at < 0 && !dcv_field_in_range(f, (double)*(const int64_t *)at))
            put_word(t, f->words, (int)(-1 - *(const int64_t *)at));
        else
            dcv_text_add(t, "%lld", (long long)*(const int64_t *)at);
        break;
    case DCV_FIELD_BYTES:
        dcv_text_add(t, "%lld", (long long)*(const int64_t *)at);
        break;
    case DCV_FIELD_REAL:
        dcv_text_real(t, *(const double *)at);
        break;
    case DCV_FIELD_STRING:
    case DCV_FIELD_PATH:
        dcv_text_scalar(t, *(char *const *)at, false);
        break;
    case DCV_FIELD_WORD:
        put_word(t, f->words, *(const int *)at);
        break;
    case DCV_FIELD_INTS:
        if (((const dcv_ints *)at)->word >= 0)
            put_word(t, f->words, ((const dcv_ints *)at)->word);
        else
            put_ints(t, at);
        break;
    case DCV_FIELD_REALS:
        if (((const dcv_reals *)at)->word >= 0)
            put_word(t, f->words, ((const dcv_reals *)at)->word);
        else
            put_reals(t, at);
        break;
    case DCV_FIELD_NAMES:
        if (((const dcv_names *)at)->word >= 0)
            put_word(t, f->words, ((const dcv_names *)at)->word);
        else
            put_names(t, f, at);
        break;
    case DCV_FIELD_PAIRS:
        put_pairs(t, at);
        break;
    }
}

static void put_fields(dcv_text *t, const dcv_field *table, const void *at, int indent);

/* A section without keys would read back as one without a value, so it is written {}. */
static void put_section(dcv_text *t, const dcv_field *f, const void *base, int indent)
{
    if (f->given && !*((const bool *)base + f->given - 1))
        return;
    dcv_text_add(t, "%*s%s:", 2 * indent, "", f->key);
    const size_t before = t->n;
    dcv_text_add(t, "\n");
    put_fields(t, f->fields, (const char *)base + f->offset, indent + 1);
    if (t->n == before + 1 && !t->failed) {
        t->n = before;
        dcv_text_add(t, " {}\n");
    }
}

static void put_fields(dcv_text *t, const dcv_field *table, const void *at, int indent)
{
    for (const dcv_field *f = table; f->type != DCV_FIELD_END; f++) {
        const void *value = (const char *)at + f->offset;
        if (f->volatile_ || is_absent(f, value))
            continue;
        if (f->type == DCV_FIELD_SECTION) {
            put_section(t, f, at, indent);
            continue;
        }
        dcv_text_add(t, "%*s%s: ", 2 * indent, "", f->key);
        put_value(t, f, value);
        dcv_text_add(t, "\n");
    }
}

char *dcv_fields_text(const dcv_field *table, const void *at, int indent)
{
    dcv_text t = {0};
    put_fields(&t, table, at, indent);
    return dcv_text_take(&t);
}

/* --- describe ---------------------------------------------------------------------------- */

/* What a column may hold. */
static void type_of(const dcv_field *f, char *buf, size_t n)
{
    dcv_field plain = *f;
    plain.min = plain.max = 0; /* the range has its own column */
    plain.above_min = false;
    if (f->type == DCV_FIELD_NAMES && f->choices) /* so has the choice */
        plain.choices = NULL;
    dcv_field_expects(&plain, buf, n);
}

static void range_of(const dcv_field *f, char *buf, size_t n)
{
    buf[0] = 0;
    if (f->type == DCV_FIELD_NAMES && f->choices)
        dcv_words_list(f->choices, buf, n);
    else if (f->type == DCV_FIELD_INT || f->type == DCV_FIELD_REAL || f->type == DCV_FIELD_INTS ||
             f->type == DCV_FIELD_REALS)
        dcv_field_range(f, buf, n);
    const char *from = buf[0] == ' ' ? buf + 1 : buf;
    if (!strncmp(from, "of ", 3))
        from += 3;
    memmove(buf, from, strlen(from) + 1);
}

static const char *default_of(const dcv_field *f)
{
    if (f->required)
        return "required";
    if (f->dflt)
        return *f->dflt ? f->dflt : "\"\"";
    return f->type == DCV_FIELD_SECTION && !f->given ? "-" : "none";
}

enum { KEY, TYPE, DEFAULT, RANGE, UNIT, MEANING, N_COLUMNS };

typedef struct row {
    char cell[N_COLUMNS][512];
} row;

static void fill_row(const dcv_field *f, const char *path, row *r)
{
    char range[512];
    snprintf(r->cell[KEY], sizeof r->cell[KEY], "%s%s%s", path, *path ? "." : "", f->key);
    type_of(f, r->cell[TYPE], sizeof r->cell[TYPE]);
    range_of(f, range, sizeof range);
    snprintf(r->cell[DEFAULT], sizeof r->cell[DEFAULT], "%s", default_of(f));
    snprintf(r->cell[RANGE], sizeof r->cell[RANGE], "%s", *range ? range : "-");
    snprintf(r->cell[UNIT], sizeof r->cell[UNIT], "%s", f->unit ? f->unit : "-");
    snprintf(r->cell[MEANING], sizeof r->cell[MEANING], "%s", f->help ? f->help : "");
}

typedef struct columns {
    int width[N_COLUMNS];
    dcv_text *to; /* NULL: only measure */
} columns;

static void take_row(columns *c, const row *r)
{
    const size_t start = c->to ? c->to->n : 0;
    for (int i = 0, at = 0; i < N_COLUMNS; i++) {
        const int n = (int)strlen(r->cell[i]);
        at += c->width[i] + 2;
        if (!c->to)
            c->width[i] = n > c->width[i] ? n : c->width[i];
        else {
            dcv_text_add(c->to, "%s", r->cell[i]);
            if (i + 1 < N_COLUMNS)
                dcv_text_pad(c->to, start, at);
        }
    }
    if (c->to)
        dcv_text_add(c->to, "\n");
}

static void take_table(columns *c, const dcv_field *table, const char *path)
{
    for (const dcv_field *f = table; f->type != DCV_FIELD_END; f++) {
        row r;
        fill_row(f, path, &r);
        take_row(c, &r);
        if (f->type == DCV_FIELD_SECTION)
            take_table(c, f->fields, r.cell[KEY]);
    }
}

char *dcv_fields_describe(const dcv_field *table, const char *path)
{
    static const row head = {{"key", "type", "default", "range", "unit", "meaning"}};
    dcv_text t = {0};
    columns c = {0};
    for (int pass = 0; pass < 2; pass++) {
        take_row(&c, &head);
        take_table(&c, table, path);
        c.to = &t;
    }
    return dcv_text_take(&t);
}

/* --- new ----------------------------------------------------------------------------------- */

static void put_new(dcv_text *t, const dcv_field *table, int indent, bool commented)
{
    for (const dcv_field *f = table; f->type != DCV_FIELD_END; f++) {
        const size_t start = t->n;
        const bool section = f->type == DCV_FIELD_SECTION;
        const bool off = !f->required && (commented || (section ? f->given != 0 : !f->dflt));
        char expects[512];
        dcv_text_add(t, "%*s%s%s:", 2 * indent, "", off ? "# " : "", f->key);
        if (!section && !f->required)
            dcv_text_add(t, " %s", f->dflt ? (*f->dflt ? f->dflt : "\"\"") : "");
        dcv_text_add(t, " ");
        dcv_text_pad(t, start, 34);
        dcv_text_add(t, "# %s%s", f->required ? "required: " : "", f->help ? f->help : "");
        if (!section)
            dcv_text_add(t, " (%s%s%s)", dcv_field_expects(f, expects, sizeof expects), f->unit ? "; " : "",
                         f->unit ? f->unit : "");
        dcv_text_add(t, "\n");
        if (section)
            put_new(t, f->fields, indent + 1, off);
    }
}

char *dcv_fields_new_text(const dcv_field *table, int indent, bool commented)
{
    dcv_text t = {0};
    put_new(&t, table, indent, commented);
    return dcv_text_take(&t);
}
