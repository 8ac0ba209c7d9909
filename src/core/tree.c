/* tree.c -- nodes, places, and what a plain scalar means. */
#include "deconvoy/tree.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

dcv_tree *dcv_tree_new(dcv_arena *arena, dcv_tree_kind kind, dcv_place at)
{
    dcv_tree *node = dcv_arena_alloc(arena, 1, sizeof *node);
    if (!node)
        return NULL;
    node->kind = kind;
    node->at = at;
    node->text = "";
    return node;
}

void dcv_tree_append(dcv_tree *parent, dcv_tree *child)
{
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->n++;
}

dcv_tree *dcv_tree_find(const dcv_tree *map, const char *key)
{
    if (!map || map->kind != DCV_TREE_MAP)
        return NULL;
    for (dcv_tree *c = map->first; c; c = c->next)
        if (!strcmp(c->key, key))
            return c;
    return NULL;
}

dcv_tree *dcv_tree_at(const dcv_tree *list, int i)
{
    dcv_tree *c = list && list->kind == DCV_TREE_LIST ? list->first : NULL;
    for (; c && i > 0; i--)
        c = c->next;
    return c;
}

dcv_place dcv_tree_place(const dcv_tree *node)
{
    return node->key && node->key_at.line != node->at.line ? node->key_at : node->at;
}

char *dcv_place_print(dcv_place p, char *buf, size_t n)
{
    if (p.line > 0)
        snprintf(buf, n, "%s:%d:%d", p.source, p.line, p.column);
    else
        snprintf(buf, n, "%s", p.source ? p.source : "");
    return buf;
}

dcv_status dcv_place_fail(dcv_status code, dcv_place p, const char *fmt, ...)
{
    char place[1024], text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return dcv_fail(code, "%s: %s", dcv_place_print(p, place, sizeof place), text);
}

static bool is_one_of(const dcv_tree *node, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(node->text, words[i]))
            return true;
    return false;
}

static bool plain(const dcv_tree *node)
{
    return node->kind == DCV_TREE_TEXT && !node->quoted;
}

bool dcv_tree_is_null(const dcv_tree *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    return plain(node) && is_one_of(node, nulls, 5);
}

bool dcv_tree_bool(const dcv_tree *node, bool *out)
{
    static const char *const yes[] = {"true", "True", "TRUE"}, *const no[] = {"false", "False", "FALSE"};
    *out = plain(node) && is_one_of(node, yes, 3);
    return *out || (plain(node) && is_one_of(node, no, 3));
}

static const char *skip_sign(const char *s)
{
    return s + (*s == '-' || *s == '+');
}

static const char *skip_digits(const char *s)
{
    while (isdigit((unsigned char)*s))
        s++;
    return s;
}

bool dcv_tree_is_int(const dcv_tree *node)
{
    const char *s = skip_sign(node->text);
    const char *end = skip_digits(s);
    return plain(node) && end > s && !*end && (*s != '0' || !s[1]);
}

bool dcv_tree_is_real(const dcv_tree *node)
{
    static const char *const odd[] = {".inf",  ".Inf",  ".INF",  "-.inf", "-.Inf", "-.INF",
                                      "+.inf", "+.Inf", "+.INF", ".nan",  ".NaN",  ".NAN"};
    if (!plain(node))
        return false;
    if (is_one_of(node, odd, sizeof odd / sizeof *odd))
        return true;
    const char *s = skip_sign(node->text);
    if (*s == '0' && isdigit((unsigned char)s[1]))
        return false;
    const char *end = skip_digits(s);
    int digits = (int)(end - s);
    if (*end == '.') {
        const char *from = ++end;
        end = skip_digits(end);
        digits += (int)(end - from);
    }
    if (digits && (*end == 'e' || *end == 'E')) {
        const char *from = skip_sign(end + 1);
        end = skip_digits(from);
        digits = (int)(end - from);
    }
    return digits && !*end;
}

/* --- flow texts of option tables --------------------------------------------------- */

typedef struct scan {
    const char *s;
    dcv_arena *arena;
} scan;

static void blanks(scan *sc)
{
    while (*sc->s == ' ')
        sc->s++;
}

static dcv_status scalar(scan *sc, const char *stop, const char **text, bool *quoted)
{
    *quoted = *sc->s == '"';
    const char *from = sc->s + *quoted;
    const char *end = *quoted ? strchr(from, '"') : from + strcspn(from, stop);
    DCV_CHECK(end);
    sc->s = end + *quoted;
    while (!*quoted && end > from && end[-1] == ' ')
        end--;
    *text = dcv_arena_strndup(sc->arena, from, (size_t)(end - from));
    return *text ? DCV_OK : DCV_ENOMEM;
}

static dcv_status value(scan *sc, const char *stop, dcv_tree **out);

static dcv_status children(scan *sc, char close, dcv_tree *node)
{
    for (sc->s++, blanks(sc); *sc->s != close; blanks(sc)) {
        const char *key = NULL;
        bool quoted;
        if (close == '}') {
            DCV_TRY(scalar(sc, ":", &key, &quoted));
            DCV_CHECK(*sc->s == ':');
            sc->s++;
            blanks(sc);
        }
        dcv_tree *child;
        DCV_TRY(value(sc, close == '}' ? ",}" : ",]", &child));
        child->key = key;
        dcv_tree_append(node, child);
        blanks(sc);
        DCV_CHECK(*sc->s == ',' || *sc->s == close);
        sc->s += *sc->s == ',';
    }
    sc->s++;
    return DCV_OK;
}

static dcv_status value(scan *sc, const char *stop, dcv_tree **out)
{
    const char open = *sc->s;
    const dcv_tree_kind kind = open == '[' ? DCV_TREE_LIST : open == '{' ? DCV_TREE_MAP : DCV_TREE_TEXT;
    dcv_tree *node = *out = dcv_tree_new(sc->arena, kind, (dcv_place){"default", 0, 0});
    if (!node)
        return DCV_ENOMEM;
    if (kind == DCV_TREE_TEXT)
        return scalar(sc, stop, &node->text, &node->quoted);
    return children(sc, open == '[' ? ']' : '}', node);
}

dcv_status dcv_tree_flow(const char *text, dcv_arena *arena, dcv_tree **out)
{
    scan sc = {text, arena};
    blanks(&sc);
    DCV_TRY(value(&sc, "", out));
    blanks(&sc);
    DCV_CHECK(!*sc.s);
    return DCV_OK;
}
