/* field_read.c -- from a tree to the struct that a table describes.  Defaults come the same way. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/field_check.h"

typedef struct reader {
    const dcv_field *f;
    const dcv_tree *node;
    const char *path; /* of the section, "" at the top */
    dcv_arena *arena;
} reader;

typedef char key_text[512];

static const char *full_key(const char *path, const char *key, key_text buf)
{
    snprintf(buf, sizeof(key_text), "%s%s%s", path, *path ? "." : "", key);
    return buf;
}

/* --- what a value has to be -------------------------------------------------------------- */

static void expect_list(const dcv_field *f, const char *one, const char *many, char *buf, size_t n)
{
    if (f->words)
        dcv_words_list(f->words, buf, n);
    const char *glue = f->words ? ", or " : "";
    if (f->form != DCV_FORM_LIST)
        dcv_append(buf, n, "%s%s", glue, one);
    if (f->form != DCV_FORM_ONE) {
        dcv_append(buf, n, "%sa list of ", f->form == DCV_FORM_ANY ? " or " : glue);
        if (f->n_min && f->n_min == f->n_max)
            dcv_append(buf, n, "%d ", f->n_min);
        else if (f->n_max > f->n_min)
            dcv_append(buf, n, "%d to %d ", f->n_min, f->n_max);
        dcv_append(buf, n, "%s", many);
    }
    if (f->type == DCV_FIELD_NAMES && f->choices) {
        dcv_append(buf, n, " (");
        dcv_words_list(f->choices, buf, n);
        dcv_append(buf, n, ")");
    } else
        dcv_field_range(f, buf, n);
}

static void expect_number(const dcv_field *f, const char *what, char *buf, size_t n)
{
    if (f->words) {
        dcv_words_list(f->words, buf, n);
        dcv_append(buf, n, " or ");
    }
    dcv_append(buf, n, "%s", what);
    dcv_field_range(f, buf, n);
}

static void expect_text(const dcv_field *f, const char *what, char *buf, size_t n)
{
    if (f->words) {
        dcv_words_list(f->words, buf, n);
        dcv_append(buf, n, " or ");
    }
    dcv_append(buf, n, "%s", what);
}

char *dcv_field_expects(const dcv_field *f, char *buf, size_t n)
{
    buf[0] = 0;
    switch (f->type) {
    case DCV_FIELD_END:
        break;
    case DCV_FIELD_BOOL:
        dcv_append(buf, n, "true or false");
        break;
    case DCV_FIELD_INT:
        expect_number(f, "a whole number", buf, n);
        break;
    case DCV_FIELD_REAL:
        expect_number(f, "a number", buf, n);
        break;
    case DCV_FIELD_BYTES:
        dcv_append(buf, n, "a size such as 512MiB or 2GiB");
        break;
    case DCV_FIELD_STRING:
        if (f->choices)
            dcv_words_list(f->choices, buf, n);
        else
            expect_text(f, "a text", buf, n);
        break;
    case DCV_FIELD_PATH:
        expect_text(f, "a path", buf, n);
        break;
    case DCV_FIELD_WORD:
        dcv_words_list(f->words, buf, n);
        break;
    case DCV_FIELD_INTS:
        expect_list(f, "a whole number", "whole numbers", buf, n);
        break;
    case DCV_FIELD_REALS:
        expect_list(f, "a number", "numbers", buf, n);
        break;
    case DCV_FIELD_NAMES:
        expect_list(f, "a name", "names", buf, n);
        break;
    case DCV_FIELD_PAIRS:
        dcv_append(buf, n, "a mapping of names to texts");
        break;
    case DCV_FIELD_SECTION:
        dcv_append(buf, n, f->given ? "none or a mapping" : "a mapping");
        break;
    }
    return buf;
}

/* "the text 'nine'", "a list of 3": what a node is, for messages. */
static char *describe_node(const dcv_tree *node, char *buf, size_t n)
{
    bool yes;
    if (node->kind == DCV_TREE_LIST)
        snprintf(buf, n, "a list of %d", node->n);
    else if (node->kind == DCV_TREE_MAP)
        snprintf(buf, n, "a mapping");
    else if (dcv_tree_is_null(node))
        snprintf(buf, n, "without a value");
    else if (dcv_tree_bool(node, &yes) || dcv_tree_is_real(node))
        snprintf(buf, n, "%.80s", node->text);
    else if (strlen(node->text) > 60)
        snprintf(buf, n, "the text '%.57s...'", node->text);
    else
        snprintf(buf, n, "the text '%s'", node->text);
    return buf;
}

static dcv_status wrong(const reader *r, const dcv_tree *node)
{
    char is[128], expects[512], near[64];
    key_text key;
    dcv_words_nearest(r->f->words, node->kind == DCV_TREE_TEXT ? node->text : "", near, sizeof near);
    return dcv_place_fail(DCV_ECONFIG, dcv_tree_place(node), "%s%s is %s; expected %s%s%s",
                          full_key(r->path, r->f->key, key), node == r->node ? "" : ": an element",
                          describe_node(node, is, sizeof is), dcv_field_expects(r->f, expects, sizeof expects),
                          *near ? "; nearest: " : "", near);
}

/* --- scalars ------------------------------------------------------------------------------ */

static dcv_status read_int(const reader *r, const dcv_tree *node, int64_t *out)
{
    if (!dcv_tree_is_int(node))
        return wrong(r, node);
    errno = 0;
    const long long v = strtoll(node->text, NULL, 10);
    if (errno || !dcv_field_in_range(r->f, (double)v) || v == INT64_MIN)
        return wrong(r, node);
    *out = v;
    return DCV_OK;
}

static dcv_status read_real(const reader *r, const dcv_tree *node, double *out)
{
    const double v = dcv_tree_is_real(node) ? strtod(node->text, NULL) : NAN;
    if (!isfinite(v) || strchr(node->text, 'n') || strchr(node->text, 'N') || !dcv_field_in_range(r->f, v))
        return wrong(r, node);
    *out = v;
    return DCV_OK;
}

static double unit_of(const char *s)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {
        {"B", 1},    {"", 1},     {"KiB", 1024.}, {"MiB", 1048576.}, {"GiB", 1073741824.}, {"TiB", 1099511627776.},
        {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6},    {"GB", 1e9},       {"TB", 1e12}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(s, units[i].name))
            return units[i].bytes;
    return -1;
}

static dcv_status read_bytes(const reader *r, const dcv_tree *node, int64_t *out)
{
    const char *s = node->text;
    if (node->kind != DCV_TREE_TEXT || s[0] < '0' || s[0] > '9')
        return wrong(r, node);
    const size_t n = strspn(s, "0123456789.");
    char *end;
    const double number = strtod(s, &end);
    const double unit = end == s + n ? unit_of(s + n + (s[n] == ' ')) : -1;
    const double bytes = floor(number * unit);
    if (unit < 0 || !(bytes >= 0 && bytes < 0x1p62) || !dcv_field_in_range(r->f, bytes))
        return wrong(r, node);
    *out = (int64_t)bytes;
    return DCV_OK;
}

static dcv_status read_text(const reader *r, const dcv_tree *node, char **out)
{
    bool yes;
    if (node->kind != DCV_TREE_TEXT || dcv_tree_is_null(node) || dcv_tree_bool(node, &yes) ||
        (r->f->type == DCV_FIELD_PATH && (dcv_tree_is_real(node) || !*node->text)))
        return wrong(r, node);
    *out = dcv_arena_strdup(r->arena, node->text);
    return *out ? DCV_OK : DCV_ENOMEM;
}

static dcv_status check_choice(const reader *r, const dcv_tree *node)
{
    if (!r->f->choices || dcv_word_find(r->f->choices, node->text) >= 0)
        return DCV_OK;
    char near[64], list[512] = "";
    key_text key;
    dcv_words_nearest(r->f->choices, node->text, near, sizeof near);
    dcv_words_list(r->f->choices, list, sizeof list);
    return dcv_place_fail(DCV_ECONFIG, node->at, "%s knows no '%.60s'; expected %s%s%s",
                          full_key(r->path, r->f->key, key), node->text, list, *near ? "; nearest: " : "", near);
}

static dcv_status read_string(const reader *r, char **out)
{
    DCV_TRY(read_text(r, r->node, out));
    return check_choice(r, r->node);
}

/* Which of the field's words is it?  -1: none.  A quoted word is a word. */
static int word_of(const reader *r, const dcv_tree *node)
{
    return node->kind == DCV_TREE_TEXT ? dcv_word_find(r->f->words, node->text) : -1;
}

/* --- lists -------------------------------------------------------------------------------- */

/* Check the form; a list's children or the node itself follow from *first on. */
static dcv_status list_form(const reader *r, int *n, bool *scalar, const dcv_tree **first)
{
    const dcv_tree *node = r->node;
    const bool list = node->kind == DCV_TREE_LIST;
    if (node->kind == DCV_TREE_MAP ||
        (list ? r->f->form == DCV_FORM_ONE || !dcv_field_length_fits(r->f, node->n) : r->f->form == DCV_FORM_LIST))
        return wrong(r, node);
    *n = list ? node->n : 1;
    *scalar = !list;
    *first = list ? node->first : node;
    return DCV_OK;
}

static dcv_status read_ints(const reader *r, dcv_ints *out)
{
    *out = (dcv_ints){.word = word_of(r, r->node)};
    if (out->word >= 0)
        return DCV_OK;
    const dcv_tree *node;
    DCV_TRY(list_form(r, &out->n, &out->scalar, &node));
    out->v = dcv_arena_alloc(r->arena, (size_t)out->n, sizeof *out->v);
    if (!out->v)
        return DCV_ENOMEM;
    for (int i = 0; i < out->n; i++, node = node->next)
        DCV_TRY(read_int(r, node, &out->v[i]));
    return DCV_OK;
}

static dcv_status read_reals(const reader *r, dcv_reals *out)
{
    *out = (dcv_reals){.word = word_of(r, r->node)};
    if (out->word >= 0)
        return DCV_OK;
    const dcv_tree *node;
    DCV_TRY(list_form(r, &out->n, &out->scalar, &node));
    out->v = dcv_arena_alloc(r->arena, (size_t)out->n, sizeof *out->v);
    if (!out->v)
        return DCV_ENOMEM;
    for (int i = 0; i < out->n; i++, node = node->next)
        DCV_TRY(read_real(r, node, &out->v[i]));
    return DCV_OK;
}

static dcv_status read_names(const reader *r, dcv_names *out)
{
    *out = (dcv_names){.word = word_of(r, r->node)};
    if (out->word >= 0)
        return DCV_OK;
    const dcv_tree *node;
    DCV_TRY(list_form(r, &out->n, &out->scalar, &node));
    out->v = dcv_arena_alloc(r->arena, (size_t)out->n, sizeof *out->v);
    if (!out->v)
        return DCV_ENOMEM;
    for (int i = 0; i < out->n; i++, node = node->next) {
        DCV_TRY(read_text(r, node, &out->v[i]));
        DCV_TRY(check_choice(r, node));
    }
    return DCV_OK;
}

static dcv_status read_pairs(const reader *r, dcv_pairs *out)
{
    if (r->node->kind != DCV_TREE_MAP)
        return wrong(r, r->node);
    const size_t n = (size_t)r->node->n;
    *out = (dcv_pairs){.n = (int)n,
                       .key = dcv_arena_alloc(r->arena, n, sizeof *out->key),
                       .value = dcv_arena_alloc(r->arena, n, sizeof *out->value)};
    if (!out->key || !out->value)
        return DCV_ENOMEM;
    int i = 0;
    for (const dcv_tree *c = r->node->first; c; c = c->next, i++) {
        out->key[i] = dcv_arena_strdup(r->arena, c->key);
        if (!out->key[i])
            return DCV_ENOMEM;
        DCV_TRY(read_text(r, c, &out->value[i]));
    }
    return DCV_OK;
}

/* --- sections ----------------------------------------------------------------------------- */

static dcv_status read_section(const reader *r, void *base)
{
    static const dcv_tree empty = {.kind = DCV_TREE_MAP};
    const dcv_tree *map = dcv_tree_is_null(r->node) ? &empty : r->node;
    const bool none = r->f->given && map->kind == DCV_TREE_TEXT && !strcmp(map->text, "none");
    if (r->f->given)
        *((bool *)base + r->f->given - 1) = !none;
    if (none)
        return DCV_OK;
    if (map->kind != DCV_TREE_MAP)
        return wrong(r, map);
    key_text path;
    full_key(r->path, r->f->key, path);
    const dcv_place place = r->node->key ? r->node->key_at : r->node->at;
    return dcv_fields_read(r->f->fields, map, path, place, (char *)base + r->f->offset, r->arena);
}

static dcv_status read_field(const reader *r, void *base)
{
    void *to = (char *)base + r->f->offset;
    int word = -1;
    switch (r->f->type) {
    case DCV_FIELD_END:
        break;
    case DCV_FIELD_BOOL:
        return dcv_tree_bool(r->node, to) ? DCV_OK : wrong(r, r->node);
    case DCV_FIELD_INT:
        word = word_of(r, r->node);
        if (word < 0)
            return read_int(r, r->node, to);
        *(int64_t *)to = -1 - word;
        return DCV_OK;
    case DCV_FIELD_REAL:
        return read_real(r, r->node, to);
    case DCV_FIELD_BYTES:
        return read_bytes(r, r->node, to);
    case DCV_FIELD_STRING:
    case DCV_FIELD_PATH:
        if (word_of(r, r->node) != 0)
            return read_string(r, to);
        *(char **)to = NULL;
        return DCV_OK;
    case DCV_FIELD_WORD:
        word = word_of(r, r->node);
        if (word < 0)
            return wrong(r, r->node);
        *(int *)to = word;
        return DCV_OK;
    case DCV_FIELD_INTS:
        return read_ints(r, to);
    case DCV_FIELD_REALS:
        return read_reals(r, to);
    case DCV_FIELD_NAMES:
        return read_names(r, to);
    case DCV_FIELD_PAIRS:
        return read_pairs(r, to);
    case DCV_FIELD_SECTION:
        return read_section(r, base);
    }
    return DCV_OK;
}

static dcv_status unknown_key(const dcv_field *table, const dcv_tree *node, const char *path)
{
    char words[1024] = "", known[1024] = "", near[64];
    for (const dcv_field *f = table; f->type != DCV_FIELD_END; f++)
        dcv_append(words, sizeof words, "%s%s", *words ? "|" : "", f->key);
    dcv_words_list(words, known, sizeof known);
    dcv_words_nearest(words, node->key, near, sizeof near);
    return dcv_place_fail(DCV_ECONFIG, node->key_at, "unknown key '%.60s'%s%s; expected %s%s%s", node->key,
                          *path ? " in " : "", path, known, *near ? "; nearest: " : "", near);
}

static dcv_status check_required(const dcv_field *table, const dcv_tree *map, const char *path, dcv_place place)
{
    for (const dcv_field *f = table; f->type != DCV_FIELD_END; f++)
        if (f->required && !dcv_tree_find(map, f->key)) {
            key_text key;
            char expects[512];
            return dcv_place_fail(DCV_ECONFIG, place, "%s is missing; expected %s", full_key(path, f->key, key),
                                  dcv_field_expects(f, expects, sizeof expects));
        }
    return DCV_OK;
}

dcv_status dcv_field_read(const dcv_field *f, const dcv_tree *value, const char *path, void *base, dcv_arena *arena)
{
    const reader r = {f, value, path, arena};
    return read_field(&r, base);
}

dcv_status dcv_fields_read(const dcv_field *table, const dcv_tree *map, const char *path, dcv_place place, void *at,
                           dcv_arena *arena)
{
    for (const dcv_tree *c = map->first; c; c = c->next) {
        const dcv_field *f = dcv_field_find(table, c->key);
        if (!f)
            return unknown_key(table, c, path);
        DCV_TRY(dcv_field_read(f, c, path, at, arena));
    }
    return check_required(table, map, path, place);
}

/* --- defaults ----------------------------------------------------------------------------- */

static void make_absent(const dcv_field *f, void *to)
{
    if (f->type == DCV_FIELD_INT)
        *(int64_t *)to = DCV_INT_ABSENT;
    else if (f->type == DCV_FIELD_REAL)
        *(double *)to = NAN;
    else if (f->type == DCV_FIELD_WORD)
        *(int *)to = -1;
    else if (f->type == DCV_FIELD_INTS)
        *(dcv_ints *)to = (dcv_ints){.word = -1};
    else if (f->type == DCV_FIELD_REALS)
        *(dcv_reals *)to = (dcv_reals){.word = -1};
    else if (f->type == DCV_FIELD_NAMES)
        *(dcv_names *)to = (dcv_names){.word = -1};
}

dcv_status dcv_fields_default(const dcv_field *table, void *at, dcv_arena *arena)
{
    for (const dcv_field *f = table; f->type != DCV_FIELD_END; f++) {
        if (f->type == DCV_FIELD_SECTION)
            DCV_TRY(dcv_fields_default(f->fields, (char *)at + f->offset, arena));
        else if (!f->dflt)
            make_absent(f, (char *)at + f->offset);
        else {
            dcv_tree *node;
            DCV_TRY(dcv_tree_flow(f->dflt, arena, &node));
            DCV_TRY(dcv_field_read(f, node, "default", at, arena));
        }
    }
    return DCV_OK;
}
