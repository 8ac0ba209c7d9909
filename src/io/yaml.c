/* yaml.c -- the only file that knows libyaml: its events become a tree. */
#include "io/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct builder {
    const char *text;
    size_t bytes;
    const char *source;
    bool lines;
    dcv_arena *arena;
    yaml_parser_t parser;
    dcv_tree *open[DCV_YAML_MAX_LEVEL + 1];  /* collections from the root down */
    const char *key[DCV_YAML_MAX_LEVEL + 1]; /* of a mapping that waits for its value, else NULL */
    dcv_place key_at[DCV_YAML_MAX_LEVEL + 1];
    int level; /* open collections */
    int values;
    dcv_tree *root;
} builder;

static dcv_place place_of(const builder *b, yaml_mark_t mark)
{
    if (!b->lines)
        return (dcv_place){b->source, 0, 0};
    return (dcv_place){b->source, (int)mark.line + 1, (int)mark.column + 1};
}

/* --- what libyaml itself refuses -------------------------------------------------------- */

/* libyaml's reader gives a byte offset, everything else a mark. */
static dcv_place place_of_offset(const builder *b, size_t offset)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < offset && i < b->bytes; i++) {
        const unsigned char c = (unsigned char)b->text[i];
        if (c == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (c != '\r' && (c & 0xc0) != 0x80)
            mark.column++;
    }
    return place_of(b, mark);
}

/* Is there a tab before the mark on its line, or right at it?  Then that is the trouble. */
static bool tab_at(const builder *b, yaml_mark_t mark)
{
    const char *s = b->text, *end = b->text + b->bytes;
    for (size_t line = 0; line < mark.line && s < end; line++) {
        const char *nl = memchr(s, '\n', (size_t)(end - s));
        s = nl ? nl + 1 : end;
    }
    for (size_t i = 0; s < end && *s != '\n' && i <= mark.column; i++, s++)
        if (*s == '\t')
            return true;
    return false;
}

static dcv_status not_yaml(builder *b)
{
    const yaml_parser_t *p = &b->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return dcv_fail(DCV_ENOMEM, "out of memory: reading %s", b->source);
    if (p->error == YAML_READER_ERROR)
        return dcv_place_fail(DCV_ECONFIG, place_of_offset(b, p->problem_offset), "not YAML: %s; expected UTF-8 text",
                              p->problem);
    const bool tab = tab_at(b, p->problem_mark);
    return dcv_place_fail(DCV_ECONFIG, place_of(b, p->problem_mark), "not YAML: %s%s%s%s",
                          p->problem ? p->problem : "?", p->context ? ", " : "", p->context ? p->context : "",
                          tab ? "; expected blanks, not a tab" : "");
}

/* --- what we refuse ----------------------------------------------------------------------- */

static dcv_status refuse(const builder *b, yaml_mark_t mark, const char *what, const char *name)
{
    return dcv_place_fail(DCV_ECONFIG, place_of(b, mark),
                          "%s%.60s; expected plain YAML without anchors, aliases, merge keys and tags", what, name);
}

static dcv_status check_properties(const builder *b, const yaml_event_t *e, const yaml_char_t *anchor,
                                   const yaml_char_t *tag)
{
    if (anchor)
        return refuse(b, e->start_mark, "anchor &", (const char *)anchor);
    if (tag)
        return refuse(b, e->start_mark, "tag ", (const char *)tag);
    return DCV_OK;
}

static int by_key_then_place(const void *a, const void *b)
{
    const dcv_tree *x = *(dcv_tree *const *)a, *y = *(dcv_tree *const *)b;
    const int order = strcmp(x->key, y->key);
    if (order)
        return order;
    if (x->key_at.line != y->key_at.line)
        return x->key_at.line < y->key_at.line ? -1 : 1;
    return (x->key_at.column > y->key_at.column) - (x->key_at.column < y->key_at.column);
}

static dcv_status check_duplicates(const dcv_tree *map)
{
    dcv_tree **sorted = dcv_alloc((size_t)map->n, sizeof *sorted);
    if (!sorted)
        return DCV_ENOMEM;
    int n = 0;
    for (dcv_tree *c = map->first; c; c = c->next)
        sorted[n++] = c;
    qsort(sorted, (size_t)n, sizeof *sorted, by_key_then_place);
    dcv_status st = DCV_OK;
    for (int i = 1; i < n && !st; i++)
        if (!strcmp(sorted[i - 1]->key, sorted[i]->key))
            st = dcv_place_fail(DCV_ECONFIG, sorted[i]->key_at,
                                "duplicate key '%.60s'; expected each key once (first in line %d)", sorted[i]->key,
                                sorted[i - 1]->key_at.line);
    dcv_free(sorted);
    return st;
}

/* --- building ------------------------------------------------------------------------------- */

static const char *copy_scalar(const builder *b, const yaml_event_t *e)
{
    return dcv_arena_strndup(b->arena, (const char *)e->data.scalar.value, e->data.scalar.length);
}

static bool wants_key(const builder *b)
{
    return b->level && b->open[b->level - 1]->kind == DCV_TREE_MAP && !b->key[b->level - 1];
}

static dcv_status take_key(builder *b, const yaml_event_t *e)
{
    if (e->type != YAML_SCALAR_EVENT)
        return dcv_place_fail(DCV_ECONFIG, place_of(b, e->start_mark),
                              "a list or mapping stands as a key; expected a text");
    const char *key = copy_scalar(b, e);
    if (!key)
        return DCV_ENOMEM;
    if (!strcmp(key, "<<") && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return refuse(b, e->start_mark, "merge key ", key);
    b->key[b->level - 1] = key;
    b->key_at[b->level - 1] = place_of(b, e->start_mark);
    return DCV_OK;
}

static dcv_status add_value(builder *b, const yaml_event_t *e, dcv_tree_kind kind, dcv_tree **out)
{
    dcv_tree *node = *out = dcv_tree_new(b->arena, kind, place_of(b, e->start_mark));
    if (!node)
        return DCV_ENOMEM;
    if (++b->values > DCV_YAML_MAX_VALUES)
        return dcv_place_fail(DCV_ECONFIG, node->at, "more than %d values; expected fewer", DCV_YAML_MAX_VALUES);
    if (!b->level) {
        b->root = node;
        return DCV_OK;
    }
    if (b->level > DCV_YAML_MAX_LEVEL)
        return dcv_place_fail(DCV_ECONFIG, node->at, "more than %d levels below the root; expected fewer",
                              DCV_YAML_MAX_LEVEL);
    const int up = b->level - 1;
    node->key = b->key[up];
    node->key_at = b->key_at[up];
    b->key[up] = NULL;
    dcv_tree_append(b->open[up], node);
    return DCV_OK;
}

static dcv_status take_scalar(builder *b, const yaml_event_t *e)
{
    dcv_tree *node;
    if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
        return dcv_place_fail(DCV_ECONFIG, place_of(b, e->start_mark), "a text with a zero byte; expected none");
    if (wants_key(b))
        return take_key(b, e);
    DCV_TRY(add_value(b, e, DCV_TREE_TEXT, &node));
    node->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = copy_scalar(b, e);
    return node->text ? DCV_OK : DCV_ENOMEM;
}

static dcv_status open_collection(builder *b, const yaml_event_t *e, dcv_tree_kind kind)
{
    dcv_tree *node;
    if (wants_key(b))
        return take_key(b, e);
    DCV_TRY(add_value(b, e, kind, &node));
    b->key[b->level] = NULL;
    b->open[b->level++] = node;
    return DCV_OK;
}

static dcv_status close_collection(builder *b)
{
    const dcv_tree *node = b->open[--b->level];
    return node->kind == DCV_TREE_MAP ? check_duplicates(node) : DCV_OK;
}

static dcv_status start_document(const builder *b, const yaml_event_t *e)
{
    if (b->root)
        return dcv_place_fail(DCV_ECONFIG, place_of(b, e->start_mark), "a second document; expected one");
    if (e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end)
        return refuse(b, e->start_mark, "directive ", "%TAG");
    return DCV_OK;
}

static dcv_status take(builder *b, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        return start_document(b, e);
    case YAML_ALIAS_EVENT:
        return refuse(b, e->start_mark, "alias *", (const char *)e->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        DCV_TRY(check_properties(b, e, e->data.scalar.anchor, e->data.scalar.tag));
        return take_scalar(b, e);
    case YAML_SEQUENCE_START_EVENT:
        DCV_TRY(check_properties(b, e, e->data.sequence_start.anchor, e->data.sequence_start.tag));
        return open_collection(b, e, DCV_TREE_LIST);
    case YAML_MAPPING_START_EVENT:
        DCV_TRY(check_properties(b, e, e->data.mapping_start.anchor, e->data.mapping_start.tag));
        return open_collection(b, e, DCV_TREE_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_collection(b);
    default:
        return DCV_OK;
    }
}

static dcv_status build(builder *b)
{
    for (bool more = true; more;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&b->parser, &e))
            return not_yaml(b);
        more = e.type != YAML_STREAM_END_EVENT;
        const dcv_status st = take(b, &e);
        yaml_event_delete(&e);
        DCV_TRY(st);
    }
    return DCV_OK;
}

dcv_status dcv_yaml_parse(const char *text, size_t bytes, const char *source, bool lines, dcv_arena *arena,
                          dcv_tree **out)
{
    *out = NULL;
    if (bytes >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* so that columns of the first line are right */
        text += 3;
        bytes -= 3;
    }
    builder b = {.text = text, .bytes = bytes, .lines = lines, .arena = arena};
    b.source = dcv_arena_strdup(arena, source);
    if (!b.source)
        return DCV_ENOMEM;
    if (bytes > DCV_YAML_MAX_BYTES)
        return dcv_place_fail(DCV_ECONFIG, (dcv_place){b.source, lines, 1},
                              "larger than 1 MiB; expected a configuration");
    if (!yaml_parser_initialize(&b.parser))
        return dcv_fail(DCV_ENOMEM, "out of memory: reading %s", source);
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, bytes);
    const dcv_status st = build(&b);
    yaml_parser_delete(&b.parser);
    if (!st)
        *out = b.root;
    return st;
}

dcv_status dcv_yaml_read(const char *file, dcv_arena *arena, dcv_tree **out)
{
    const size_t room = DCV_YAML_MAX_BYTES + 4; /* a BOM, and one byte to see that there is more */
    *out = NULL;
    FILE *f = fopen(file, "rb");
    if (!f)
        return dcv_fail(DCV_ENOINPUT, "%s: %s; expected a YAML file", file, strerror(errno));
    dcv_status st = DCV_OK;
    char *text = dcv_alloc(room, 1);
    if (!text)
        st = DCV_ENOMEM;
    else {
        const size_t n = fread(text, 1, room, f);
        if (ferror(f))
            st = dcv_fail(errno == EISDIR ? DCV_ENOINPUT : DCV_EIO, "%s: %s; expected a YAML file", file,
                          strerror(errno));
        else
            st = dcv_yaml_parse(text, n, file, true, arena, out);
    }
    dcv_free(text);
    fclose(f);
    return st;
}
