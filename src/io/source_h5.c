/* source_h5.c -- arrays in an HDF5 file: u1 pictures [N,H,W] or [N,H,W,C], or float network input [N,...].
 *
 * Without a path: /images, with labels from /labels and names from /names where they fit; else the only data set.
 * Contiguous values are read with pread, by as many threads as like; others through HDF5, one at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "deconvoy/store.h"
#include "io/source.h"

typedef struct array {
    dcv_h5 *file;
    const char *path; /* of the data set; in the manifest's arena */
    dcv_h5_info info;
    int64_t item_values;
    int fd; /* for pread */
} array;

/* --- which data set ------------------------------------------------------------------------- */

typedef struct found {
    dcv_arena *arena;
    int n;
    const char *name[32];
} found;

static dcv_status note(void *ctx, const char *path, const dcv_h5_info *info)
{
    found *f = ctx;
    (void)info;
    if (strncmp(path, "/checksums/", 11) == 0) /* what we write beside every data set */
        return DCV_OK;
    if (f->n < (int)(sizeof f->name / sizeof *f->name) && !(f->name[f->n] = dcv_arena_strdup(f->arena, path)))
        return DCV_ENOMEM;
    f->n++;
    return DCV_OK;
}

static dcv_status ask_for(dcv_source *s, const char *key, const char *path, const found *f)
{
    const int kept = f->n < (int)(sizeof f->name / sizeof *f->name) ? f->n : (int)(sizeof f->name / sizeof *f->name);
    const char *near = path ? dcv_nearest(path, f->name, (size_t)kept) : NULL;
    s->wrong_key = key;
    if (path)
        return dcv_fail(DCV_ECONFIG, "%s has no data set %s%s%s", s->shown, path, near ? "; nearest name: " : "",
                        near ? near : "");
    return dcv_fail(DCV_ECONFIG,
                    "%s has %d data sets and no /images; a job's dataset.path says which to take (the first: %s)",
                    s->shown, f->n, f->n ? f->name[0] : "none");
}

static dcv_status choose_path(dcv_source *s, array *a, const char *path, const char *key)
{
    found f = {.arena = s->m.arena};
    if (!path && dcv_h5_has(a->file, "/images"))
        path = "/images";
    if (path && dcv_h5_has(a->file, path)) {
        a->path = dcv_arena_strdup(s->m.arena, path);
        return a->path ? DCV_OK : DCV_ENOMEM;
    }
    DCV_TRY(dcv_h5_visit(a->file, note, &f));
    if (path || f.n != 1)
        return ask_for(s, key ? key : "dataset.path", path, &f);
    a->path = f.name[0];
    return DCV_OK;
}

/* --- what it holds ----------------------------------------------------------------------------- */

static dcv_status wrong_shape(const dcv_source *s, const array *a)
{
    dcv_dims_text text;
    return dcv_fail(DCV_EDATA, "%s: %s: %s %s; expected u1 [N,H,W] or [N,H,W,3], or f4 or f8 with a leading N",
                    s->shown, a->path, a->info.text_bytes ? "text" : dcv_dtype_name(a->info.type),
                    dcv_dims_print(&a->info.dims, text));
}

static dcv_status describe(dcv_source *s, array *a)
{
    const dcv_dims *d = &a->info.dims;
    const bool pixels = a->info.type == DCV_U8 && (d->n == 3 || (d->n == 4 && (d->d[3] == 1 || d->d[3] == 3)));
    const bool floats = (a->info.type == DCV_F32 || a->info.type == DCV_F64) && d->n >= 2;
    if (a->info.text_bytes || (!pixels && !floats))
        return wrong_shape(s, a);
    DCV_TRY(dcv_dims_check(d));
    a->item_values = 1;
    for (int i = 1; i < d->n; i++)
        a->item_values *= d->d[i];
    if (a->item_values < 1 || a->item_values > 3 * DCV_IMAGE_MAX_PX || (pixels && d->d[1] * d->d[2] > DCV_IMAGE_MAX_PX))
        return dcv_fail(DCV_EDATA, "%s: %s: items of %lld values; expected 1 .. 2^28 pixels", s->shown, a->path,
                        (long long)a->item_values);
    s->content = pixels ? DCV_CONTENT_PIXELS : DCV_CONTENT_FLOATS;
    if (pixels)
        s->item = (dcv_dims){3, {d->d[1], d->d[2], d->n == 4 ? d->d[3] : 1}};
    else {
        s->item = *d;
        s->item.d[0] = 1;
    }
    return DCV_OK;
}

/* --- labels and names ---------------------------------------------------------------------------- */

static dcv_status take_labels(dcv_source *s, const array *a, const char *path)
{
    dcv_h5_info info;
    DCV_TRY(dcv_h5_info_of(a->file, path, &info));
    const bool whole = info.type == DCV_U8 || info.type == DCV_I32 || info.type == DCV_I64;
    if (info.text_bytes || !whole || info.dims.n != 1 || info.dims.d[0] != s->m.n) {
        dcv_dims_text text;
        return dcv_fail(DCV_EDATA, "%s: %s: labels are one integer for each of %lld items; this is %s %s", s->shown,
                        path, (long long)s->m.n,
                        info.text_bytes ? "text"
                        : whole         ? "integer"
                                        : "float",
                        dcv_dims_print(&info.dims, text));
    }
    int64_t *v = dcv_alloc((size_t)s->m.n, sizeof *v);
    if (!v)
        return DCV_ENOMEM;
    dcv_status st = dcv_h5_read(a->file, path, DCV_I64, 0, s->m.n, v);
    for (int64_t i = 0; st == DCV_OK && i < s->m.n; i++) {
        if (v[i] < -1 || v[i] > DCV_LABEL_MAX)
            st = dcv_fail(DCV_EDATA, "%s: %s: label %lld of item %lld; expected 0 .. %d, or -1 for unknown", s->shown,
                          path, (long long)v[i], (long long)i, DCV_LABEL_MAX);
        s->m.entry[i].label = (int32_t)v[i];
    }
    s->m.kind = DCV_LABELS_NUMBERS;
    dcv_free(v);
    return st;
}

/* Names that `pack` keeps; they replace the numbers. */
static dcv_status take_names(dcv_source *s, const array *a)
{
    dcv_h5_info info;
    enum { MOST_BYTES = 4096 };
    if (!dcv_h5_has(a->file, "/names") || dcv_h5_info_of(a->file, "/names", &info) != DCV_OK || info.text_bytes < 1 ||
        info.text_bytes > MOST_BYTES || info.dims.n != 1 || info.dims.d[0] != s->m.n)
        return DCV_OK;
    const size_t step = (size_t)info.text_bytes;
    char *text = dcv_alloc((size_t)s->m.n, step);
    dcv_status st = text ? dcv_h5_read_text(a->file, "/names", 0, s->m.n, text, step) : DCV_ENOMEM;
    for (int64_t i = 0; st == DCV_OK && i < s->m.n; i++) {
        const char *at = text + (size_t)i * step;
        s->m.entry[i].name = dcv_arena_strndup(s->m.arena, at, strnlen(at, step));
        st = s->m.entry[i].name ? DCV_OK : DCV_ENOMEM;
    }
    dcv_free(text);
    return st;
}

static dcv_status label_and_name(dcv_source *s, const array *a, const char *label_path)
{
    const bool usual = strcmp(a->path, "/images") == 0;
    found f = {.arena = s->m.arena};
    if (usual)
        DCV_TRY(take_names(s, a));
    if (!label_path && usual && dcv_h5_has(a->file, "/labels"))
        label_path = "/labels";
    if (!label_path)
        return DCV_OK;
    if (dcv_h5_has(a->file, label_path))
        return take_labels(s, a, label_path);
    DCV_TRY(dcv_h5_visit(a->file, note, &f));
    return ask_for(s, "dataset.label_path", label_path, &f);
}

/* --- the source ------------------------------------------------------------------------------------- */

static dcv_status h5_open(dcv_source *s, const dcv_source_ask *ask)
{
    array *a = dcv_alloc(1, sizeof *a);
    if (!a)
        return DCV_ENOMEM;
    s->own = a;
    a->fd = -1;
    DCV_TRY(dcv_h5_open(s->file, &a->file));
    DCV_TRY(choose_path(s, a, ask->path, ask->path_key));
    DCV_TRY(dcv_h5_info_of(a->file, a->path, &a->info));
    DCV_TRY(describe(s, a));
    DCV_TRY(dcv_manifest_numbered(&s->m, a->info.dims.d[0], a->item_values * (int64_t)dcv_dtype_bytes(a->info.type),
                                  s->file_mtime_ns));
    DCV_TRY(label_and_name(s, a, ask->label_path));
    if (a->info.offset >= 0 && (a->fd = open(s->file, O_RDONLY | O_CLOEXEC)) < 0)
        return dcv_fail(DCV_ENOINPUT, "%s: %s", s->shown, strerror(errno));
    return DCV_OK;
}

static void h5_close(dcv_source *s)
{
    array *a = s->own;
    if (!a)
        return;
    if (a->fd >= 0)
        close(a->fd);
    dcv_h5_close(a->file);
    dcv_free(a);
}

static dcv_status read_values(const dcv_source *s, const array *a, int64_t i, dcv_dtype type, void *to)
{
    const char *name = s->m.entry[i].name;
    const size_t bytes = (size_t)a->item_values * dcv_dtype_bytes(type);
    if (a->fd >= 0)
        return dcv_pread_all(a->fd, to, bytes, a->info.offset + i * (int64_t)bytes, name);
    if (dcv_h5_read(a->file, a->path, type, i, 1, to) != DCV_OK) /* its message may have an absolute path */
        return dcv_fail(DCV_EDATA, "%s: cannot be read from %s: broken or cut", name, a->path);
    return DCV_OK;
}

/* f8 to f4, in place. */
static void narrow(void *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double v;
        memcpy(&v, (char *)values + 8 * i, 8);
        const float f = (float)v;
        memcpy((char *)values + 4 * i, &f, 4);
    }
}

static dcv_status h5_fetch(const dcv_source *s, int64_t i, int64_t most, uint8_t **bytes, size_t *n)
{
    const array *a = s->own;
    (void)most;
    const size_t size = (size_t)a->item_values * dcv_dtype_bytes(a->info.type);
    uint8_t *to = dcv_alloc(size, 1);
    if (!to)
        return DCV_ENOMEM;
    const dcv_status st = read_values(s, a, i, a->info.type, to);
    if (st != DCV_OK) {
        dcv_free(to);
        return st;
    }
    if (a->info.type == DCV_F64)
        narrow(to, a->item_values);
    *bytes = to;
    *n = a->info.type == DCV_F64 ? size / 2 : size;
    return DCV_OK;
}

static bool knows(const uint8_t *b, size_t n)
{
    static const uint8_t magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n'};
    return n >= 8 && memcmp(b, magic, 8) == 0;
}

const dcv_source_kind dcv_source_h5 = {
    .name = "an HDF5 file",
    .extensions = "h5|hdf5",
    .knows = knows,
    .open = h5_open,
    .close = h5_close,
    .fetch = h5_fetch,
};
