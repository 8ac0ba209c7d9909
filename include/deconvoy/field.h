/* field.h -- option tables: one row a key, from which everything else follows.
 *
 * A table describes the keys of a YAML section or the attributes of an ONNX operator: name,
 * place in a struct, type, default, range, unit and one line of help.  Reading, checking,
 * `describe`, `new`, and the resolved text stamped into results all walk the same table.
 *
 * Defaults are text, read by the same code that reads the user's value, so a default can
 * never be of a kind that a user could not write.
 */
#ifndef DECONVOY_FIELD_H
#define DECONVOY_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "deconvoy/memory.h"
#include "deconvoy/status.h"
#include "deconvoy/tree.h"

typedef enum dcv_field_type {
    DCV_FIELD_END,    /* closes a table */
    DCV_FIELD_BOOL,   /* bool, false if absent */
    DCV_FIELD_INT,    /* int64_t, DCV_INT_ABSENT if absent; word i of words: -1 - i */
    DCV_FIELD_REAL,   /* double, NaN if absent */
    DCV_FIELD_BYTES,  /* int64_t; text such as 2GiB, 512MiB, 4096 */
    DCV_FIELD_STRING, /* char *, NULL if absent; a number stands as it is spelt.  The first of words stands for absent */
    DCV_FIELD_PATH,   /* char *, NULL if absent; as written: dcv_config_path() resolves it.  Words as in STRING */
    DCV_FIELD_WORD,   /* int: index into words, -1 if absent */
    DCV_FIELD_INTS,   /* dcv_ints: one number, a list, or one of words */
    DCV_FIELD_REALS,  /* dcv_reals: likewise */
    DCV_FIELD_NAMES,  /* dcv_names: one text, a list of texts or numbers, or one of words */
    DCV_FIELD_PAIRS,  /* dcv_pairs: a mapping of free keys to texts */
    DCV_FIELD_SECTION /* a nested struct with a table of its own (fields) */
} dcv_field_type;

/* word: index of the word that stands in place of numbers, else -1.  Absent: n = 0, word = -1.
 * scalar: written as one number, not as a list (n = 1). */
typedef struct dcv_ints {
    int word, n;
    bool scalar;
    int64_t *v;
} dcv_ints;
typedef struct dcv_reals {
    int word, n;
    bool scalar;
    double *v;
} dcv_reals;
typedef struct dcv_names {
    int word, n;
    bool scalar;
    char **v;
} dcv_names;
typedef struct dcv_pairs {
    int n;
    char **key, **value;
} dcv_pairs;

#define DCV_INT_ABSENT INT64_MIN
#define DCV_NO_LIMIT 1e300 /* as max, where min is 0 and nothing bounds above */

/* How numbers and names may be written where a type has both forms. */
typedef enum dcv_form {
    DCV_FORM_ANY,  /* one, or a list of n_min .. n_max (one alone counts for all) */
    DCV_FORM_ONE,  /* one only (REALS with words: a number or "auto") */
    DCV_FORM_LIST  /* a list only */
} dcv_form;

typedef struct dcv_field dcv_field;
struct dcv_field {
    const char *key;
    dcv_field_type type;
    size_t offset;    /* in the struct that the table describes */
    const char *dflt; /* default as YAML flow text; NULL: absent unless written */
    bool required;
    double min, max;         /* of every number; both 0: no bounds; max below min: none above */
    bool above_min;          /* min itself is out of range */
    int n_min, n_max;        /* list length; both 0: any; n_max below n_min: none above */
    dcv_form form;           /* INTS, REALS, NAMES */
    const char *words;       /* "none|imagenet|caffe" for WORD; for INTS, REALS and NAMES: words
                              * that may stand in place of the whole value ("all|none") */
    const char *choices;     /* NAMES, STRING: each must be one of these, if given */
    const dcv_field *fields; /* SECTION: its table */
    size_t given;            /* SECTION: 1 + offset of a bool set where the section is written,
                              * for sections that are absent by default (none writes that); 0: always there */
    const char *unit;        /* "px", "s", "bytes" ...; NULL: none */
    const char *help;        /* one line, no full stop */
    bool volatile_;          /* changes no byte of a result: left out of config_yaml */
};

#define DCV_AT(type, member) offsetof(type, member)
#define DCV_FIELDS_END                                                                                                 \
    {                                                                                                                  \
        .type = DCV_FIELD_END                                                                                          \
    }

/* Words of a "a|b|c" list. */
int dcv_word_find(const char *words, const char *word);   /* index, or -1 */
char *dcv_word_at(const char *words, int i, char *buf, size_t n); /* buf, "" if there is none */

/* Append "none, imagenet or caffe" of "none|imagenet|caffe" to the text in buf, for messages. */
void dcv_words_list(const char *words, char *buf, size_t n);
void dcv_words_join(const char *words, const char *last, char *buf, size_t n); /* last: " or " above */

/* The word of words nearest to word, into buf; "" if none is near. */
char *dcv_words_nearest(const char *words, const char *word, char *buf, size_t n);

const dcv_field *dcv_field_find(const dcv_field *table, const char *key); /* NULL if unknown */

/* Set every field to its default.  at: the struct; texts and lists go into arena. */
dcv_status dcv_fields_default(const dcv_field *table, void *at, dcv_arena *arena) DCV_MUST_USE;

/* Set one field from values already parsed (ONNX attributes).  Checks type and range;
 * DCV_EDATA with "attribute KEY ..." otherwise. */
dcv_status dcv_field_set_ints(const dcv_field *f, void *at, const int64_t *v, int n, bool scalar, dcv_arena *arena) DCV_MUST_USE;
dcv_status dcv_field_set_reals(const dcv_field *f, void *at, const double *v, int n, bool scalar, dcv_arena *arena) DCV_MUST_USE;
dcv_status dcv_field_set_text(const dcv_field *f, void *at, const char *text, dcv_arena *arena) DCV_MUST_USE;

/* Set the fields whose keys map (a mapping) writes; others keep what they have.
 *
 * path   of the section, for messages ("cam"); "" at the top
 * place  where a required key that is not written is reported
 *
 * DCV_ECONFIG with the place of the key or value at fault. */
dcv_status dcv_fields_read(const dcv_field *table, const dcv_tree *map, const char *path, dcv_place place, void *at,
                           dcv_arena *arena) DCV_MUST_USE;

/* Set one field from a value; base is the struct that f's table describes. */
dcv_status dcv_field_read(const dcv_field *f, const dcv_tree *value, const char *path, void *base, dcv_arena *arena) DCV_MUST_USE;

/* "a whole number from 1 to 512": what a value of f has to be.  buf. */
char *dcv_field_expects(const dcv_field *f, char *buf, size_t n);

/* The struct as canonical YAML, in table order, block style, indented by indent levels; absent and volatile
 * fields are left out.  dcv_fields_read() gives the same struct back.  New memory; dcv_free(). */
char *dcv_fields_text(const dcv_field *table, const void *at, int indent) DCV_MUST_USE;

/* One line a key: path, type, default, range, unit, help, aligned; nested sections follow their key. */
char *dcv_fields_describe(const dcv_field *table, const char *path) DCV_MUST_USE;

/* A commented YAML to start from, indented by indent levels: required keys without a value; others with their default,
 * behind a # if commented or if they are absent by default. */
char *dcv_fields_new_text(const dcv_field *table, int indent, bool commented) DCV_MUST_USE;

#endif
