/* tree.h -- what a YAML text says, with the place of every key and value.
 *
 * Made by the YAML reader (io/yaml.h), or from a short flow text in an option table.  All of a
 * tree's memory belongs to one arena.
 */
#ifndef DECONVOY_TREE_H
#define DECONVOY_TREE_H

#include <stdbool.h>
#include "deconvoy/memory.h"
#include "deconvoy/status.h"

/* line 0: source says it all ("--set top=9"). */
typedef struct dcv_place {
    const char *source;
    int line, column; /* from 1; columns count characters */
} dcv_place;

typedef enum dcv_tree_kind { DCV_TREE_TEXT, DCV_TREE_LIST, DCV_TREE_MAP } dcv_tree_kind;

typedef struct dcv_tree dcv_tree;
struct dcv_tree {
    dcv_tree_kind kind;
    const char *text; /* TEXT: the scalar, as spelt */
    bool quoted;      /* TEXT: in quotes or a block, so never a number, bool or null */
    dcv_place at;     /* where the value starts */
    const char *key;  /* in a mapping, else NULL */
    dcv_place key_at;
    int n;                         /* children */
    dcv_tree *first, *last, *next; /* children in order; next: sibling */
};

/* A new node, not yet anybody's child; NULL if memory is refused. */
dcv_tree *dcv_tree_new(dcv_arena *arena, dcv_tree_kind kind, dcv_place at) DCV_MUST_USE;

/* Make child the last child of parent. */
void dcv_tree_append(dcv_tree *parent, dcv_tree *child);

/* The child with a key; NULL if there is none or map is NULL or no mapping. */
dcv_tree *dcv_tree_find(const dcv_tree *map, const char *key);

/* Child i of a list; NULL past its end. */
dcv_tree *dcv_tree_at(const dcv_tree *list, int i);

/* Where to point for a value: at itself, or at its key where it starts on a line of its own. */
dcv_place dcv_tree_place(const dcv_tree *node);

/* "FILE:LINE:COLUMN" or the source alone, into buf; returns buf. */
char *dcv_place_print(dcv_place p, char *buf, size_t n);

/* dcv_fail() with the place in front. */
dcv_status dcv_place_fail(dcv_status code, dcv_place p, const char *fmt, ...) DCV_PRINTF(3, 4);

/* What a plain scalar is, by the core schema of YAML 1.2 (numbers with leading zeros are text, since YAML 1.1 reads
 * them as octal). */
bool dcv_tree_is_null(const dcv_tree *node); /* empty, ~ or null */
bool dcv_tree_bool(const dcv_tree *node, bool *out);
bool dcv_tree_is_int(const dcv_tree *node);
bool dcv_tree_is_real(const dcv_tree *node); /* whole numbers too; also .inf and .nan */

/* Read a text of an option table: a scalar, [a, b] or {k: v}, nested.  Wrong text is the program's fault. */
dcv_status dcv_tree_flow(const char *text, dcv_arena *arena, dcv_tree **out) DCV_MUST_USE;

#endif
