/* config_set.c -- "key.path=VALUE" from the command line, into the tree of the file. */
#include <stdio.h>
#include <string.h>
#include "io/config_parts.h"
#include "io/yaml.h"

/* Make node's value that of from; its key is now the one written last. */
static void replace(dcv_tree *node, const dcv_tree *from)
{
    node->kind = from->kind;
    node->text = from->text;
    node->quoted = from->quoted;
    node->at = node->key_at = from->at;
    node->n = from->n;
    node->first = from->first;
    node->last = from->last;
}

static void merge(dcv_tree *node, dcv_tree *from)
{
    if (node->kind != DCV_TREE_MAP || from->kind != DCV_TREE_MAP) {
        replace(node, from);
        return;
    }
    for (dcv_tree *c = from->first, *next; c; c = next) {
        next = c->next;
        dcv_tree *old = dcv_tree_find(node, c->key);
        if (old)
            merge(old, c); /* at most as deep as YAML may be */
        else
            dcv_tree_append(node, c);
    }
}

/* The child with a key, made as an empty section where there is none yet. */
static dcv_status child_of(dcv_tree *map, const char *key, size_t n, dcv_place at, dcv_arena *arena, dcv_tree **out)
{
    const char *copy = dcv_arena_strndup(arena, key, n);
    *out = copy ? dcv_tree_find(map, copy) : NULL;
    if (*out)
        return DCV_OK;
    dcv_tree *child = copy ? dcv_tree_new(arena, DCV_TREE_TEXT, at) : NULL;
    if (!child)
        return DCV_ENOMEM;
    child->key = copy;
    child->key_at = at;
    dcv_tree_append(map, child);
    *out = child;
    return DCV_OK;
}

/* A key without a value, or "none", may become a section; another value may not. */
static dcv_status make_section(dcv_tree *node, dcv_place at)
{
    if (node->kind == DCV_TREE_MAP)
        return DCV_OK;
    if (!dcv_tree_is_null(node) && strcmp(node->text, "none") != 0)
        return dcv_place_fail(DCV_ECONFIG, at, "%s has a value; expected a section there", node->key);
    node->kind = DCV_TREE_MAP;
    return DCV_OK;
}

static dcv_status read_value(const char *text, dcv_place at, dcv_arena *arena, dcv_tree **out)
{
    DCV_TRY(dcv_yaml_parse(text, strlen(text), at.source, false, arena, out));
    if (!*out) /* nothing after '=': a key without a value */
        *out = dcv_tree_new(arena, DCV_TREE_TEXT, at);
    return *out ? DCV_OK : DCV_ENOMEM;
}

dcv_status dcv_config_set(dcv_tree *root, const char *option, const char *set, dcv_arena *arena)
{
    const char *equals = strchr(set, '=');
    if (!equals)
        return dcv_fail(DCV_EUSAGE, "%s %.200s: no '='; expected %s key.path=VALUE", option, set, option);
    char *source = dcv_arena_alloc(arena, strlen(option) + strlen(set) + 2, 1);
    if (!source)
        return DCV_ENOMEM;
    sprintf(source, "%s %s", option, set);
    const dcv_place at = {source, 0, 0};
    dcv_tree *value, *node = root;
    DCV_TRY(read_value(equals + 1, at, arena, &value));
    int level = 0;
    for (const char *key = set; key <= equals;) {
        const size_t n = strcspn(key, ".=");
        if (!n)
            return dcv_fail(DCV_EUSAGE, "%s %.200s: an empty key; expected %s key.path=VALUE", option, set, option);
        if (++level > DCV_YAML_MAX_LEVEL)
            return dcv_place_fail(DCV_ECONFIG, at, "more than %d levels below the root; expected fewer",
                                  DCV_YAML_MAX_LEVEL);
        DCV_TRY(make_section(node, at));
        DCV_TRY(child_of(node, key, n, at, arena, &node));
        key += n + 1;
    }
    merge(node, value);
    return DCV_OK;
}
