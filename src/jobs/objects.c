/* objects.c -- see objects.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "jobs/objects.h"

#define MOST_FILES 1000000
#define MOST_DEPTH 32
#define LIST_BYTES ((int64_t)1 << 28)

void objects_to_frame(const int64_t *dims, int n, int64_t fill, int64_t frame[3])
{
    frame[0] = n > 1 ? dims[0] : fill;
    frame[1] = n > 2 ? dims[1] : fill;
    frame[2] = dims[n - 1];
}

int64_t objects_values(const objects *o)
{
    return dcv_count(&o->dims) * o->channels;
}

int64_t objects_plane(const objects *o)
{
    return o->frame[1] * o->frame[2] * o->channels;
}

dcv_dims objects_dims(const objects *o)
{
    dcv_dims d = {0};
    for (int a = 0; o->many && a < o->lead.n; a++)
        d.d[d.n++] = o->lead.d[a];
    for (int a = 0; a < o->dims.n; a++)
        d.d[d.n++] = o->dims.d[a];
    if (o->channels > 1)
        d.d[d.n++] = o->channels;
    return d;
}

/* --- Many files ------------------------------------------------------------------------- */

typedef struct names {
    char **at;
    int64_t n, room;
    int64_t left_out; /* files of other kinds */
    char *first_left; /* of them, bytewise */
} names;

static dcv_status add(names *l, const char *name, size_t n)
{
    if (l->n >= MOST_FILES)
        return dcv_fail(DCV_EDATA, "more than %d files", MOST_FILES);
    if (l->n == l->room) {
        const int64_t room = l->room ? 2 * l->room : 64;
        char **more = dcv_realloc(l->at, (size_t)l->room, (size_t)room, sizeof *more);
        if (!more)
            return DCV_ENOMEM;
        l->at = more;
        l->room = room;
    }
    l->at[l->n] = dcv_format("%.*s", (int)n, name);
    return l->at[l->n++] ? DCV_OK : DCV_ENOMEM;
}

/* A file that no kind of input claims by its extension. */
static dcv_status leave_out(names *l, const char *name)
{
    l->left_out++;
    if (l->first_left && strcmp(l->first_left, name) <= 0)
        return DCV_OK;
    dcv_free(l->first_left);
    l->first_left = dcv_strdup(name);
    return l->first_left ? DCV_OK : DCV_ENOMEM;
}

static dcv_status walk(names *l, const char *root, const char *below, int depth)
{
    char *folder = dcv_format("%s/%s", root, below);
    DIR *dir = folder ? opendir(folder) : NULL;
    dcv_status st = DCV_OK;
    if (!dir || depth > MOST_DEPTH)
        st = dcv_fail(DCV_EDATA, "%s: %s", folder ? folder : root, dir ? "folders too deep" : strerror(errno));
    for (struct dirent *e; st == DCV_OK && (e = readdir(dir));) {
        struct stat about;
        if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &about, 0))
            continue;
        char *name = dcv_format("%s%s%s", below, *below ? "/" : "", e->d_name);
        if (!name)
            st = DCV_ENOMEM;
        else if (S_ISDIR(about.st_mode))
            st = walk(l, root, name, depth + 1);
        else if (S_ISREG(about.st_mode))
            st = dcv_samples_extension(name) ? add(l, name, strlen(name)) : leave_out(l, name);
        dcv_free(name);
    }
    if (dir)
        closedir(dir);
    dcv_free(folder);
    return st;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static dcv_status read_list(names *l, const char *file)
{
    FILE *f = fopen(file, "r");
    char line[8192];
    if (!f)
        return dcv_fail(DCV_ENOINPUT, "%s: %s", file, strerror(errno));
    dcv_status st = DCV_OK;
    while (st == DCV_OK && fgets(line, sizeof line, f)) {
        size_t n = strcspn(line, "\r\n");
        if (!line[n] && !feof(f))
            st = dcv_fail(DCV_EDATA, "%s: a line of more than %zu bytes", file, sizeof line - 2);
        else if (n && line[0] != '#')
            st = add(l, line, n);
    }
    if (st == DCV_OK && ferror(f))
        st = dcv_fail(DCV_EDATA, "%s: cannot be read", file);
    fclose(f);
    return st;
}

/* A text of paths, not of numbers. */
static bool is_list(const char *file)
{
    uint8_t head[4096];
    const char *dot = strrchr(file, '.');
    const int fd = dot && !strcmp(dot, ".txt") ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    const ssize_t n = fd >= 0 ? read(fd, head, sizeof head) : 0;
    if (fd >= 0)
        close(fd);
    ssize_t whole = n; /* a number may be cut at the end */
    while (whole > 0 && n == (ssize_t)sizeof head && head[whole - 1] != '\n')
        whole--;
    return n > 0 && !dcv_samples_is_columns(head, (size_t)(whole > 0 ? whole : n));
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? dcv_format("%.*s", (int)(slash == path ? 1 : slash - path), path) : dcv_strdup(".");
}

static char *path_of(const objects *o, int64_t i)
{
    return o->file[i][0] == '/' ? dcv_strdup(o->file[i]) : dcv_format("%s/%s", o->base, o->file[i]);
}

static dcv_status find_files(objects *o, const char *path, bool folder)
{
    names l = {0};
    o->base = folder ? dcv_strdup(path) : folder_of(path);
    dcv_status st = !o->base ? DCV_ENOMEM : folder ? walk(&l, path, "", 0) : read_list(&l, path);
    o->file = l.at;
    o->n = l.n;
    if (st == DCV_OK && !o->n && l.left_out)
        st = dcv_fail(DCV_EDATA, "%s: no file in it that could be deblurred; %lld are of other kinds, the first: %s",
                      path, (long long)l.left_out, l.first_left);
    else if (st == DCV_OK && !o->n)
        st = dcv_fail(DCV_EDATA, "%s: no file in it that could be deblurred", path);
    else if (st == DCV_OK && l.left_out)
        dcv_log_warning(
            "%s: %lld files are left out, which are neither .h5, .fits, .tif, .png, .jpg, .sac nor .txt; the "
            "first: %s",
            path, (long long)l.left_out, l.first_left);
    dcv_free(l.first_left);
    DCV_TRY(st);
    if (folder && o->n > 1)
        qsort(o->file, (size_t)o->n, sizeof *o->file, by_bytes);
    return DCV_OK;
}

/* --- Opening ------------------------------------------------------------------------------ */

/* Another key of the section that names the input. */
static const char *key_of(const objects *o, const char *key, char to[64])
{
    snprintf(to, 64, "%.*s.%s", (int)strcspn(o->key, "."), o->key, key);
    return to;
}

/* Shape of the objects from the array that was opened, the first of many files or the only one. */
static dcv_status take_shape(objects *o, const dcv_samples *s)
{
    dcv_dims_text text;
    char key[64];
    const int lead = s->dims.n - o->dimensions;
    if (lead < 0 || (o->file && lead > 0))
        return dcv_config_fail(o->config, key_of(o, "dimensions", key), "%s has %d axes (%s); expected %s%d%s",
                               s->shown, s->dims.n, dcv_dims_print(&s->dims, text), o->file ? "" : "at least ",
                               o->dimensions, o->file ? " in each file" : "");
    o->lead.n = lead;
    memcpy(o->lead.d, s->dims.d, sizeof *s->dims.d * (size_t)lead);
    o->dims.n = o->dimensions;
    memcpy(o->dims.d, s->dims.d + lead, sizeof *s->dims.d * (size_t)o->dimensions);
    o->channels = s->channels;
    objects_to_frame(o->dims.d, o->dims.n, 1, o->frame);
    for (int a = 0; a < 3; a++)
        o->spacing[a] = a == 2 ? s->spacing[2] : a == 0 ? s->spacing[o->dimensions == 3 ? 0 : 1] : s->spacing[1];
    return DCV_OK;
}

static dcv_status open_first(objects *o)
{
    for (int64_t i = 0; i < o->n; i++) { /* the first that can be read says what all are like */
        char *path = path_of(o, i);
        dcv_samples *s = NULL;
        const dcv_status st = path ? dcv_samples_open(path, o->file[i], o->dataset, &s) : DCV_ENOMEM;
        dcv_free(path);
        if (st == DCV_ENOMEM || st == DCV_ECONFIG)
            return st;
        if (st != DCV_OK)
            continue;
        const dcv_status shape = take_shape(o, s);
        dcv_samples_close(s);
        o->many = true;
        o->lead = (dcv_dims){1, {o->n}};
        return shape;
    }
    return dcv_fail_in(DCV_EDATA, "none of %lld files can be read; the last", (long long)o->n);
}

static dcv_status open_one(objects *o, const char *path, const char *shown)
{
    char key[64];
    const dcv_status st = dcv_samples_open(path, shown, o->dataset, &o->open);
    if (st == DCV_ECONFIG) {
        char *why = dcv_strdup(dcv_message());
        (void)dcv_config_fail(o->config, key_of(o, "dataset", key), "%s", why ? why : "");
        dcv_free(why);
    }
    DCV_TRY(st);
    DCV_TRY(take_shape(o, o->open));
    o->many = o->lead.n > 0;
    o->n = dcv_count(&o->lead);
    return DCV_OK;
}

static dcv_status hash_inputs(objects *o, const char *path)
{
    dcv_hasher *h;
    struct stat about;
    char text[128];
    dcv_dims_text dims;
    const dcv_dims all = objects_dims(o);
    DCV_TRY(dcv_hasher_new(&h));
    dcv_hasher_add_text(h, dcv_dims_print(&all, dims));
    for (int64_t i = 0; i < (o->file ? o->n : 1); i++) {
        char *name = o->file ? path_of(o, i) : dcv_strdup(path);
        snprintf(text, sizeof text, "%lld", name && !stat(name, &about) ? (long long)about.st_size : -1);
        const char *slash = strrchr(path, '/');
        dcv_hasher_add_text(h, o->file ? o->file[i] : slash ? slash + 1 : path);
        dcv_hasher_add_text(h, text);
        dcv_free(name);
    }
    o->sha256 = dcv_hasher_end(h);
    return DCV_OK;
}

dcv_status objects_open(objects *o, const dcv_config *c, const char *key, const char *input, const char *dataset,
                        int dimensions)
{
    struct stat about;
    *o = (objects){.config = c, .key = key, .dataset = dataset, .dimensions = dimensions, .n = 1};
    pthread_mutex_init(&o->lock, NULL);
    const char *path = dcv_config_path(c, input);
    if (!path)
        return DCV_ENOMEM;
    if (stat(path, &about))
        return dcv_config_missing(c, key, path, input);
    const bool folder = S_ISDIR(about.st_mode);
    if (folder || is_list(path)) {
        DCV_TRY(find_files(o, path, folder));
        DCV_TRY(open_first(o));
    } else
        DCV_TRY(open_one(o, path, input));
    const dcv_dims all = objects_dims(o);
    if (all.n > DCV_MAX_RANK)
        return dcv_fail(DCV_EDATA, "%s: more than %d axes", input, DCV_MAX_RANK);
    DCV_TRY(dcv_dims_check(&all));
    return hash_inputs(o, path);
}

void objects_close(objects *o)
{
    if (!o->config)
        return;
    for (int64_t i = 0; o->file && i < o->n; i++)
        dcv_free(o->file[i]);
    dcv_free(o->file);
    dcv_free(o->base);
    dcv_samples_close(o->open);
    pthread_mutex_destroy(&o->lock);
    o->config = NULL;
}

/* --- Objects --------------------------------------------------------------------------- */

void objects_name(const objects *o, int64_t i, char *to, size_t n)
{
    if (o->file)
        snprintf(to, n, "%s", o->file[i]);
    else if (o->many)
        snprintf(to, n, "%06lld", (long long)i);
    else {
        const char *slash = strrchr(o->open->shown, '/');
        snprintf(to, n, "%s", slash ? slash + 1 : o->open->shown);
    }
}

dcv_status object_open(objects *o, int64_t i, object *out)
{
    *out = (object){o, i, NULL};
    if (!o->file)
        return DCV_OK;
    char *path = path_of(o, i);
    dcv_dims_text have, want;
    dcv_status st = path ? dcv_samples_open(path, o->file[i], o->dataset, &out->own) : DCV_ENOMEM;
    dcv_free(path);
    if (st == DCV_ENOINPUT || st == DCV_ECONFIG)
        st = DCV_EDATA; /* an item that is missing */
    if (st == DCV_OK && (!dcv_dims_equal(&out->own->dims, &o->dims) || out->own->channels != o->channels)) {
        st = dcv_fail(DCV_EDATA, "%s: %s with %d channels; the others are %s with %d", o->file[i],
                      dcv_dims_print(&out->own->dims, have), out->own->channels, dcv_dims_print(&o->dims, want),
                      o->channels);
        object_close(out);
    }
    return st;
}

void object_close(object *x)
{
    dcv_samples_close(x->own);
    x->own = NULL;
}

dcv_status object_read(object *x, int64_t first, int64_t n, dcv_dtype type, void *to)
{
    objects *o = x->all;
    const int64_t plane = objects_plane(o);
    if (x->own)
        return dcv_samples_read(x->own, first * plane, n * plane, type, to);
    pthread_mutex_lock(&o->lock);
    const dcv_status st = dcv_samples_read(o->open, x->i * objects_values(o) + first * plane, n * plane, type, to);
    pthread_mutex_unlock(&o->lock);
    return st;
}

/* --- /inputs --------------------------------------------------------------------------- */

static dcv_status declare_numbers(const objects *o, dcv_store *s, const char *path, int64_t v)
{
    int id;
    int32_t *all = dcv_alloc((size_t)o->n, sizeof *all);
    for (int64_t i = 0; all && i < o->n; i++)
        all[i] = (int32_t)v;
    dcv_status st = all ? dcv_store_dataset(s, path, DCV_I32, 0, &(dcv_dims){1, {o->n}}, &id) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_store_values(s, id, all, (size_t)o->n * sizeof *all);
    dcv_free(all);
    return st;
}

static dcv_status declare_names(const objects *o, dcv_store *s)
{
    char name[8192];
    size_t longest = 1;
    int id;
    for (int64_t i = 0; i < o->n; i++) {
        objects_name(o, i, name, sizeof name);
        longest = strlen(name) > longest ? strlen(name) : longest;
    }
    char *all = dcv_alloc((size_t)o->n, longest);
    for (int64_t i = 0; all && i < o->n; i++) {
        objects_name(o, i, name, sizeof name);
        memcpy(all + (size_t)i * longest, name, strlen(name));
    }
    dcv_status st =
        all ? dcv_store_dataset(s, "/inputs/name", DCV_U8, (int64_t)longest, &(dcv_dims){1, {o->n}}, &id) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_store_values(s, id, all, (size_t)o->n * longest);
    dcv_free(all);
    return st;
}

dcv_status objects_declare(const objects *o, dcv_store *s, int *id_status)
{
    DCV_TRY(declare_names(o, s));
    DCV_TRY(declare_numbers(o, s, "/inputs/label", -1));
    DCV_TRY(declare_numbers(o, s, "/inputs/width", o->frame[2]));
    DCV_TRY(declare_numbers(o, s, "/inputs/height", o->dims.n > 1 ? o->dims.d[o->dims.n - 2] : 1));
    return dcv_store_dataset(s, "/inputs/status", DCV_U8, 0, &(dcv_dims){1, {o->n}}, id_status);
}

/* --- Probing --------------------------------------------------------------------------- */

static dcv_status try_open(const char *file, void *ctx)
{
    dcv_samples *s;
    const dcv_status st = dcv_samples_open(file, file, ctx, &s);
    if (st == DCV_OK)
        dcv_samples_close(s);
    return DCV_OK; /* what is wrong with it is said by the one who opens it, with the place of its key */
}

dcv_status objects_probe(const dcv_config *c, const char *input, const char *dataset)
{
    struct stat about;
    const char *path = input ? dcv_config_path(c, input) : NULL;
    if (!path || stat(path, &about) || !S_ISREG(about.st_mode) || !dcv_samples_extension(path))
        return DCV_OK;
    return dcv_probe(path, try_open, (void *)(uintptr_t)dataset);
}
