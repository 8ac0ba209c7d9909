/* config_text.c -- a configuration as text: resolved, described, or to start from. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "core/text.h"
#include "io/config_parts.h"

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcasecmp(s + n - m, end);
}

/* Add a text that was made for us, and free it. */
static void add(dcv_text *t, char *part)
{
    if (part)
        dcv_text_put(t, part, strlen(part));
    else
        t->failed = true;
    dcv_free(part);
}

enum { MAX_FIELDS = 32 };

/* A copy of table in which one key (or, where map is given, every key that is not in map) is left out of texts. */
static const dcv_field *without(const dcv_field *table, const char *key, const dcv_tree *map,
                                dcv_field copy[MAX_FIELDS])
{
    int i = 0;
    do {
        DCV_CHECK(i < MAX_FIELDS);
        copy[i] = table[i];
        if (copy[i].key && (key ? !strcmp(copy[i].key, key) : !dcv_tree_find(map, copy[i].key)))
            copy[i].volatile_ = true;
    } while (table[i++].type != DCV_FIELD_END);
    return copy;
}

/* What preprocess does by default depends on what an .h5 holds (pictures, or network input as it stands), so there
 * only what was written is written. */
static void put_preprocess(dcv_text *t, const dcv_config *c)
{
    dcv_field written[MAX_FIELDS];
    const dcv_field *table = dcv_preprocess_fields;
    const dcv_tree *map = dcv_tree_find(dcv_tree_find(c->tree, "dataset"), "preprocess");
    const char *source = c->dataset.source;
    const bool as_is = source && (ends_with(source, ".h5") || ends_with(source, ".hdf5"));
    if ((!source || as_is) && (!map || !map->n))
        return;
    if (as_is)
        table = without(table, NULL, map, written);
    dcv_text_add(t, "  preprocess:\n");
    add(t, dcv_fields_text(table, &c->dataset.preprocess, 2));
}

static void put_dataset(dcv_text *t, const dcv_config *c)
{
    dcv_field copy[MAX_FIELDS];
    dcv_text_add(t, "dataset:\n");
    add(t, dcv_fields_text(without(dcv_dataset_fields, "preprocess", NULL, copy), &c->dataset, 1));
    put_preprocess(t, c);
}

/* Is anything written of the data set but the slice, which changes no text? */
static bool says_of_data(const dcv_config *c)
{
    const dcv_tree *map = dcv_tree_find(c->tree, "dataset");
    for (const dcv_tree *key = map ? map->first : NULL; key; key = key->next)
        if (strcmp(key->key, "slice") != 0)
            return true;
    return false;
}

dcv_status dcv_config_make_text(dcv_config *c)
{
    dcv_text t = {0};
    dcv_text_add(&t, "job: %s\n", c->section->job);
    if (c->section->needs_model || dcv_config_given(c, "model")) {
        dcv_text_add(&t, "model:\n");
        add(&t, dcv_fields_text(dcv_model_fields, &c->model, 1));
    }
    if (c->section->needs_dataset || says_of_data(c))
        put_dataset(&t, c);
    char *section = dcv_fields_text(c->section->fields, c->job, 1);
    dcv_text_add(&t, "%s:%s\n", c->section->job, section && *section ? "" : " {}");
    add(&t, section);
    char *text = dcv_text_take(&t);
    if (!text)
        return DCV_ENOMEM;
    c->text = dcv_arena_strdup(c->arena, text);
    dcv_free(text);
    return c->text ? DCV_OK : DCV_ENOMEM;
}

/* A copy of a section's table in which one key is required. */
static const dcv_field *requiring(const dcv_field *table, const char *key, dcv_field copy[MAX_FIELDS])
{
    (void)without(table, "", NULL, copy);
    for (dcv_field *f = copy; f->type != DCV_FIELD_END; f++)
        f->required = f->required || (key && !strcmp(f->key, key));
    return copy;
}

char *dcv_config_describe(const dcv_section *section)
{
    dcv_field all[MAX_FIELDS], model[MAX_FIELDS], dataset[MAX_FIELDS];
    if (!section)
        return dcv_fields_describe(dcv_config_fields, "");
    (void)without(dcv_config_fields, "", NULL, all);
    dcv_field *f = all;
    for (; f->type != DCV_FIELD_END; f++)
        if (f->fields == dcv_model_fields)
            f->fields = requiring(f->fields, section->needs_model ? "file" : NULL, model);
        else if (f->fields == dcv_dataset_fields)
            f->fields = requiring(f->fields, section->needs_dataset ? "source" : NULL, dataset);
    DCV_CHECK(f + 1 < all + MAX_FIELDS);
    f[0] =
        (dcv_field){.key = section->job, .type = DCV_FIELD_SECTION, .fields = section->fields, .help = section->help};
    f[1] = (dcv_field)DCV_FIELDS_END;
    return dcv_fields_describe(all, "");
}

/* The common table as a job needs it: its required keys required, sections that it does not need commented. */
static void put_new_section(dcv_text *t, const dcv_field *f, const char *required, bool needed)
{
    dcv_field copy[MAX_FIELDS];
    (void)requiring(f->fields, needed ? required : NULL, copy);
    dcv_text_add(t, "\n%s%s:  # %s\n", needed ? "" : "# ", f->key, f->help);
    add(t, dcv_fields_new_text(copy, 1, true));
}

static void put_new_common(dcv_text *t, const dcv_section *s)
{
    const dcv_field *job = dcv_field_find(dcv_config_fields, "job"),
                    *output = dcv_field_find(dcv_config_fields, "output");
    dcv_text_add(t, "job: %s  # %s\n", s ? s->job : "", job->help);
    dcv_text_add(t, "output: results/%s.h5  # %s\n", s ? s->job : "result", output->help);
    put_new_section(t, dcv_field_find(dcv_config_fields, "model"), "file", !s || s->needs_model);
    put_new_section(t, dcv_field_find(dcv_config_fields, "dataset"), "source",
                    !s || s->needs_dataset || s->wants_dataset);
}

char *dcv_config_new_text(const dcv_section *section)
{
    dcv_text t = {0};
    dcv_text_add(&t, "# Paths are relative to this file.  Lines behind a # show the defaults.\n");
    put_new_common(&t, section);
    if (section) {
        dcv_text_add(&t, "\n%s:  # %s\n", section->job, section->help);
        add(&t, dcv_fields_new_text(section->fields, 1, false));
    }
    put_new_section(&t, dcv_field_find(dcv_config_fields, "runtime"), NULL, false);
    put_new_section(&t, dcv_field_find(dcv_config_fields, "slurm"), NULL, false);
    return dcv_text_take(&t);
}
