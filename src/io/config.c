/* config.c -- a configuration: read, merged, checked, resolved. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "deconvoy/log.h"
#include "io/config_parts.h"
#include "io/yaml.h"

/* --- presets ------------------------------------------------------------------------------ */

static double preset_mean[3][3] = {{0, 0, 0}, {0.485, 0.456, 0.406}, {104, 117, 123}};
static double imagenet_std[3] = {0.229, 0.224, 0.225};
static int64_t imagenet_resize = 256, imagenet_crop = 224;

void dcv_preprocess_resolve(dcv_preprocess *p, const dcv_tree *map)
{
    p->written = map != NULL;
    p->resize_written = dcv_tree_find(map, "resize") && p->resize.word < 0;
    p->crop_written = dcv_tree_find(map, "crop") && p->crop.word < 0;
    p->scale_written = dcv_tree_find(map, "scale");
    p->mean_written = dcv_tree_find(map, "mean") && p->mean.word < 0;
    p->std_written = dcv_tree_find(map, "std") && p->std.word < 0;
    p->channels_written = dcv_tree_find(map, "channels");
    if (p->preset == DCV_PRESET_NONE)
        return;
    const bool imagenet = p->preset == DCV_PRESET_IMAGENET;
    if (imagenet && !dcv_tree_find(map, "resize"))
        p->resize = (dcv_ints){-1, 1, true, &imagenet_resize};
    if (imagenet && !dcv_tree_find(map, "crop"))
        p->crop = (dcv_ints){-1, 1, true, &imagenet_crop};
    if (!imagenet && !p->scale_written)
        p->scale = 1;
    if (!dcv_tree_find(map, "mean"))
        p->mean = (dcv_reals){-1, 3, false, preset_mean[p->preset]};
    if (imagenet && !dcv_tree_find(map, "std"))
        p->std = (dcv_reals){-1, 3, false, imagenet_std};
    if (!imagenet && !p->channels_written)
        p->channels = DCV_BGR;
}

dcv_status dcv_preprocess_read(const char *const *sets, int n_sets, dcv_preprocess *out, dcv_arena *arena)
{
    const dcv_place at = {"--preprocess", 0, 0};
    dcv_tree *root = dcv_tree_new(arena, DCV_TREE_MAP, at);
    memset(out, 0, sizeof *out);
    if (!root)
        return DCV_ENOMEM;
    for (int i = 0; i < n_sets; i++)
        DCV_TRY(dcv_config_set(root, "--preprocess", sets[i], arena));
    DCV_TRY(dcv_fields_default(dcv_preprocess_fields, out, arena));
    DCV_TRY(dcv_fields_read(dcv_preprocess_fields, root, "", at, out, arena));
    dcv_preprocess_resolve(out, n_sets ? root : NULL);
    return DCV_OK;
}

/* --- places of keys ------------------------------------------------------------------------- */

/* Follow a path such as "max_activation.layers[2]" as far as the tree goes.  Returns the node of the whole path or
 * NULL; *place is that of the last node met. */
static const dcv_tree *follow(const dcv_tree *root, const char *path, dcv_place *place)
{
    const dcv_tree *node = root;
    *place = root->at;
    while (node && *path) {
        char key[256];
        const size_t n = strcspn(path, ".[");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        if (*path == '[') {
            node = dcv_tree_at(node, atoi(path + 1));
            path += strcspn(path, "]");
            path += *path == ']';
        } else {
            node = dcv_tree_find(node, key);
            path += n;
        }
        path += *path == '.';
        if (node)
            *place = node->key && (node->kind == DCV_TREE_MAP || dcv_tree_is_null(node)) ? node->key_at
                                                                                         : dcv_tree_place(node);
    }
    return node;
}

dcv_status dcv_config_fail(const dcv_config *c, const char *key, const char *fmt, ...)
{
    char text[1024];
    dcv_place place;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)follow(c->tree, key, &place);
    return dcv_place_fail(DCV_ECONFIG, place, "%s", text);
}

bool dcv_config_given(const dcv_config *c, const char *key)
{
    dcv_place place;
    return follow(c->tree, key, &place) != NULL;
}

const char *dcv_config_path(const dcv_config *c, const char *path)
{
    const char *slash = c->file ? strrchr(c->file, '/') : NULL;
    if (!path || *path == '/' || !slash)
        return path;
    const size_t folder = (size_t)(slash + 1 - c->file), n = strlen(path);
    char *full = dcv_arena_alloc(c->arena, folder + n + 1, 1);
    if (full) {
        memcpy(full, c->file, folder);
        memcpy(full + folder, path, n);
    }
    return full;
}

/* --- reading -------------------------------------------------------------------------------- */

static const dcv_section *find_section(const char *name, const dcv_section *sections, int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(sections[i].job, name))
            return &sections[i];
    return NULL;
}

/* "a|b|c" of all jobs, and of the common keys where asked for. */
static void list_names(const dcv_section *sections, int n, bool common, char *buf, size_t size)
{
    size_t have = 0;
    buf[0] = 0;
    for (const dcv_field *f = dcv_config_fields; common && f->type != DCV_FIELD_END && have < size; f++)
        have += (size_t)snprintf(buf + have, size - have, "%s%s", have ? "|" : "", f->key);
    for (int i = 0; i < n && have < size; i++)
        have += (size_t)snprintf(buf + have, size - have, "%s%s", have ? "|" : "", sections[i].job);
}

static dcv_status unknown_top_key(const dcv_config *c, const dcv_tree *node, const dcv_section *sections, int n)
{
    char names[1024], known[1024] = "", near[64];
    list_names(sections, n, true, names, sizeof names);
    dcv_words_nearest(names, node->key, near, sizeof near);
    list_names(NULL, 0, true, names, sizeof names);
    dcv_words_join(names, ", ", known, sizeof known);
    return dcv_place_fail(DCV_ECONFIG, node->key_at, "unknown key '%.60s'; expected %s or %s%s%s", node->key, known,
                          c->section->job, *near ? "; nearest: " : "", near);
}

static dcv_status read_job_name(dcv_config *c, const dcv_section *sections, int n)
{
    char names[1024], known[1024] = "", near[64];
    dcv_tree *root = c->tree, *node = dcv_tree_find(root, "job");
    list_names(sections, n, false, names, sizeof names);
    dcv_words_list(names, known, sizeof known);
    if (!node)
        return dcv_place_fail(DCV_ECONFIG, root->at, "job is missing; expected %s", known);
    DCV_TRY(dcv_field_read(dcv_field_find(dcv_config_fields, "job"), node, "", c, c->arena));
    c->section = find_section(c->name, sections, n);
    if (c->section)
        return DCV_OK;
    dcv_words_nearest(names, c->name, near, sizeof near);
    return dcv_place_fail(DCV_ECONFIG, node->at, "unknown job '%.60s'; expected %s%s%s", c->name, known,
                          *near ? "; nearest: " : "", near);
}

static dcv_status read_job_section(dcv_config *c, const dcv_tree *node)
{
    const dcv_field f = {.key = c->section->job, .type = DCV_FIELD_SECTION, .fields = c->section->fields};
    return dcv_field_read(&f, node, "", c->job, c->arena);
}

/* Jobs of the format; a file may keep sections of several, also of one that this build lacks. */
static const char all_jobs[] = "max_activation|reconstruct|occlusion|gradient_ascent|cam|infer|deblur|blur";

static dcv_status read_top_key(dcv_config *c, const dcv_tree *node, const dcv_section *sections, int n)
{
    const dcv_field *f = dcv_field_find(dcv_config_fields, node->key);
    char place[1024];
    if (f)
        return dcv_field_read(f, node, "", c, c->arena);
    if (!strcmp(node->key, c->section->job))
        return read_job_section(c, node);
    if (!find_section(node->key, sections, n) && dcv_word_find(all_jobs, node->key) < 0)
        return unknown_top_key(c, node, sections, n);
    dcv_log_warning("%s: section %s is ignored; the job is %s", dcv_place_print(node->key_at, place, sizeof place),
                    node->key, c->section->job);
    return DCV_OK;
}

static dcv_status need(const dcv_config *c, const char *key, bool there, const char *expected)
{
    return there ? DCV_OK : dcv_config_fail(c, key, "%s is missing; expected %s", key, expected);
}

static dcv_status check_required(dcv_config *c)
{
    static const dcv_tree empty = {.kind = DCV_TREE_MAP};
    const dcv_tree *root = c->tree;
    DCV_TRY(need(c, "output", c->output != NULL, "the path of the result, .h5"));
    DCV_TRY(need(c, "model.file", !c->section->needs_model || c->model.file, "the path of an ONNX network"));
    DCV_TRY(need(c, "dataset.source", !c->section->needs_dataset || c->dataset.source,
                 "a folder, list, .h5, IDX, .tar or picture"));
    if (!dcv_tree_find(root, c->section->job)) /* then nobody has looked for its required keys */
        return dcv_fields_read(c->section->fields, &empty, c->section->job, root->at, c->job, c->arena);
    return DCV_OK;
}

static dcv_status check_slice(const dcv_config *c)
{
    const dcv_ints *slice = &c->dataset.slice;
    if (slice->n && slice->v[0] >= slice->v[1])
        return dcv_config_fail(
            c, "dataset.slice",
            "dataset.slice is part %lld of %lld; expected [part, parts] with part from 0 to parts - 1",
            (long long)slice->v[0], (long long)slice->v[1]);
    return DCV_OK;
}

static dcv_status read_tree(dcv_config *c, const char *const *sets, int n_sets)
{
    dcv_tree *root;
    DCV_TRY(dcv_yaml_read(c->file, c->arena, &root));
    const dcv_place start = {c->file, 1, 1};
    if (!root)
        root = dcv_tree_new(c->arena, DCV_TREE_MAP, start);
    if (!root)
        return DCV_ENOMEM;
    c->tree = root;
    if (root->kind != DCV_TREE_MAP)
        return dcv_place_fail(DCV_ECONFIG, root->at, "%s; expected a mapping with job, output and more",
                              root->kind == DCV_TREE_LIST ? "a list" : "one value");
    for (int i = 0; i < n_sets; i++)
        DCV_TRY(dcv_config_set(root, "--set", sets[i], c->arena));
    return DCV_OK;
}

static dcv_status keep_sets(dcv_config *c, const char *const *sets, int n_sets)
{
    size_t bytes = 1;
    for (int i = 0; i < n_sets; i++)
        bytes += strlen(sets[i]) + 1;
    char *to = c->sets = dcv_arena_alloc(c->arena, bytes, 1);
    if (!to)
        return DCV_ENOMEM;
    for (int i = 0; i < n_sets; i++) {
        const size_t n = strlen(sets[i]);
        memcpy(to, sets[i], n);
        to[n] = '\n';
        to += n + 1;
    }
    return DCV_OK;
}

static dcv_status fill(dcv_config *c, const char *const *sets, int n_sets, const dcv_section *sections, int n_sections)
{
    DCV_TRY(keep_sets(c, sets, n_sets));
    DCV_TRY(read_tree(c, sets, n_sets));
    DCV_TRY(dcv_fields_default(dcv_config_fields, c, c->arena));
    DCV_TRY(read_job_name(c, sections, n_sections));
    c->job = dcv_arena_alloc(c->arena, 1, c->section->size ? c->section->size : 1);
    if (!c->job)
        return DCV_ENOMEM;
    DCV_TRY(dcv_fields_default(c->section->fields, c->job, c->arena));
    for (const dcv_tree *node = ((const dcv_tree *)c->tree)->first; node; node = node->next)
        DCV_TRY(read_top_key(c, node, sections, n_sections));
    DCV_TRY(check_required(c));
    DCV_TRY(check_slice(c));
    dcv_preprocess_resolve(&c->dataset.preprocess, dcv_tree_find(dcv_tree_find(c->tree, "dataset"), "preprocess"));
    c->runtime.memory_written = dcv_config_given(c, "runtime.memory");
    if (c->section->resolve)
        DCV_TRY(c->section->resolve(c));
    return dcv_config_make_text(c);
}

dcv_status dcv_config_read(const char *file, const char *const *sets, int n_sets, const dcv_section *sections,
                           int n_sections, dcv_config **out)
{
    dcv_arena *arena;
    *out = NULL;
    DCV_TRY(dcv_arena_new(&arena));
    dcv_config *c = dcv_arena_alloc(arena, 1, sizeof *c);
    dcv_status st = DCV_ENOMEM;
    if (c) {
        c->arena = arena;
        c->file = dcv_arena_strdup(arena, file);
        st = c->file ? fill(c, sets, n_sets, sections, n_sections) : DCV_ENOMEM;
    }
    if (st)
        dcv_arena_free(arena);
    else
        *out = c;
    return st;
}

void dcv_config_free(dcv_config *c)
{
    if (c)
        dcv_arena_free(c->arena);
}

static dcv_status unknown_name(const dcv_config *c, const char *key, const char *name, const char *const *known,
                               int n_known)
{
    char all[512] = "";
    size_t n = 0;
    for (int i = 0; i < n_known && n < sizeof all; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s",
                              i == 0             ? ""
                              : i == n_known - 1 ? " or "
                                                 : ", ",
                              known[i]);
    const char *near = dcv_nearest(name, known, (size_t)n_known);
    return dcv_config_fail(c, key, "no \"%s\"; expected %s%s%s", name, all, near ? "; nearest: " : "",
                           near ? near : "");
}

dcv_status dcv_config_choose(const dcv_config *c, const char *key, const dcv_names *list, const char *const *known,
                             int n_known, int *chosen, int *n_chosen)
{
    *n_chosen = 0;
    for (int i = 0; i < list->n; i++) {
        char at[128];
        int k = 0;
        snprintf(at, sizeof at, "%s[%d]", key, i);
        while (k < n_known && strcmp(known[k], list->v[i]))
            k++;
        if (k == n_known)
            return unknown_name(c, at, list->v[i], known, n_known);
        for (int m = 0; m < *n_chosen; m++)
            if (chosen[m] == k)
                return dcv_config_fail(c, at, "\"%s\" is there twice", list->v[i]);
        chosen[(*n_chosen)++] = k;
    }
    return *n_chosen ? DCV_OK : dcv_config_fail(c, key, "an empty list");
}
