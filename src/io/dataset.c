/* dataset.c -- data sets: finding out what a source is, the manifest, reading single items.
 *
 * Adding a kind of data set = one file with a const dcv_source_kind, and one line in kinds[].
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "deconvoy/log.h"
#include "deconvoy/store.h"
#include "io/set.h"

static const dcv_source_kind *const kinds[] = {&dcv_source_folder,  &dcv_source_h5,  &dcv_source_tar,
                                               &dcv_source_picture, &dcv_source_idx, &dcv_source_list};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* --- saying what is wrong, at its key where there is a configuration ------------------------ */

dcv_status dcv_set_wrong(const dcv_config *c, dcv_status code, const char *key, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (c)
        (void)dcv_config_fail(c, key, "%s", text);
    else
        (void)dcv_fail(code, "%s", text);
    return code;
}

/* The last message once more, with the place of a key. */
static dcv_status again_at(const dcv_config *c, const char *key)
{
    char text[1024];
    snprintf(text, sizeof text, "%s", dcv_message());
    return dcv_config_fail(c, key, "%s", text);
}

/* --- what kind of source ------------------------------------------------------------------- */

static const dcv_source_kind *kind_of(const char *file, const struct stat *info)
{
    uint8_t head[1024] = {0};
    size_t n = 0;
    if (S_ISDIR(info->st_mode)) {
        for (int i = 0; i < N_KINDS; i++)
            if (kinds[i]->folder)
                return kinds[i];
        return NULL;
    }
    const int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        const ssize_t got = read(fd, head, sizeof head);
        n = got > 0 ? (size_t)got : 0;
        close(fd);
    }
    for (int i = 0; i < N_KINDS; i++)
        if (kinds[i]->knows && kinds[i]->knows(head, n))
            return kinds[i];
    for (int i = 0; i < N_KINDS; i++)
        if (kinds[i]->extensions && dcv_extension_is(file, kinds[i]->extensions))
            return kinds[i];
    return NULL;
}

static dcv_status source_open(const dcv_config *c, set *x, const dcv_source_ask *ask)
{
    struct stat info;
    if (stat(ask->file, &info) != 0)
        return dcv_config_missing(c, "dataset.source", ask->file, ask->shown);
    if (access(ask->file, R_OK) != 0)
        return dcv_set_wrong(c, DCV_ENOINPUT, "dataset.source", "%s: %s", ask->shown, strerror(errno));
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode))
        return dcv_set_wrong(c, DCV_EDATA, "dataset.source", "%s: neither a file nor a folder", ask->shown);
    x->s.kind = kind_of(ask->file, &info);
    if (!x->s.kind)
        return dcv_set_wrong(c, DCV_EDATA, "dataset.source",
                             "%s: not a data set%s; expected a folder, a list .txt, .h5, IDX, .tar, JPEG, PNG or TIFF",
                             ask->shown, info.st_size == 0 ? ": empty, 0 bytes" : "");
    if (ask->want && ask->want->path && x->s.kind != &dcv_source_h5)
        return dcv_set_wrong(c, DCV_ECONFIG, "dataset.inputs", "%s is %s; paths of inputs are in an .h5", ask->shown,
                             x->s.kind->name);
    x->d.kind = x->s.kind->name;
    x->s.file = dcv_strdup(ask->file);
    x->s.shown = dcv_strdup(ask->shown);
    if (!x->s.file || !x->s.shown)
        return DCV_ENOMEM;
    if (S_ISREG(info.st_mode)) {
        x->s.file_bytes = info.st_size;
        x->s.file_mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    }
    DCV_TRY(dcv_manifest_new(&x->s.m));
    const dcv_status st = x->s.kind->open(&x->s, ask);
    if (st == DCV_ECONFIG && x->s.wrong_key) /* without a configuration there is no key to set right */
        return c ? again_at(c, x->s.wrong_key) : dcv_fail(DCV_EDATA, "%s", dcv_message());
    DCV_TRY(st);
    if (x->s.m.n == 0)
        return dcv_set_wrong(c, DCV_EDATA, "dataset.source", "%s: no pictures in it (%s)", ask->shown, x->s.kind->name);
    return DCV_OK;
}

/* --- labels, range, hash -------------------------------------------------------------------- */

/* Are pictures in folders, in a folder or a tar? */
static bool in_folders(const set *x)
{
    if (x->s.kind != &dcv_source_folder && x->s.kind != &dcv_source_tar)
        return false;
    for (int64_t i = 0; i < x->s.m.n; i++)
        if (strchr(x->s.m.entry[i].name, '/'))
            return true;
    return false;
}

static dcv_status label(const dcv_config *c, set *x, const char *labels, const char *labels_file,
                        const dcv_labels *model)
{
    if (labels && strcmp(labels, "auto") == 0)
        labels = in_folders(x) ? "folder" : "none";
    const bool folder = labels && strcmp(labels, "folder") == 0;
    if (folder && x->s.content != DCV_CONTENT_ENCODED)
        return dcv_set_wrong(c, DCV_ECONFIG, "dataset.labels", "folder: %s is %s, its items are in no folders",
                             x->s.shown, x->s.kind->name);
    if (folder)
        DCV_TRY(dcv_manifest_label_folders(&x->s.m));
    else if (labels && strcmp(labels, "none") != 0) {
        errno = 0;
        if (access(labels_file, R_OK) != 0)
            return dcv_config_missing(c, "dataset.labels", labels_file, labels);
        DCV_TRY(dcv_manifest_label_file(&x->s.m, labels_file, labels));
    }
    const char **name;
    DCV_TRY(dcv_manifest_classes(&x->s.m, model, &x->d.classes, &name));
    x->d.label_name = name;
    return DCV_OK;
}

static dcv_status choose_range(const dcv_config *c, set *x, int64_t offset, int64_t limit)
{
    const int64_t n = x->s.m.n;
    if (offset >= n)
        return dcv_set_wrong(c, DCV_ECONFIG, "dataset.offset", "offset %lld is beyond the last of %lld items of %s",
                             (long long)offset, (long long)n, x->s.shown);
    if (limit == 0)
        return dcv_set_wrong(c, DCV_ECONFIG, "dataset.limit", "limit 0 leaves no items");
    x->offset = offset;
    x->d.n = limit < 0 || limit > n - offset ? n - offset : limit;
    x->d.entry = x->s.m.entry + offset;
    return DCV_OK;
}

static void add_number(dcv_hasher *h, int64_t v)
{
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)((uint64_t)v >> (8 * i));
    dcv_hasher_add(h, b, sizeof b);
}

static dcv_status hash_manifest(set *x)
{
    dcv_hasher *h;
    DCV_TRY(dcv_hasher_new(&h));
    add_number(h, x->d.n);
    add_number(h, x->d.classes);
    for (int32_t k = 0; x->d.label_name && k < x->d.classes; k++)
        dcv_hasher_add_text(h, x->d.label_name[k]);
    for (int64_t i = 0; i < x->d.n; i++) {
        dcv_hasher_add_text(h, x->d.entry[i].name);
        add_number(h, x->d.entry[i].bytes);
        add_number(h, x->d.entry[i].label);
    }
    x->d.sha256 = dcv_hasher_end(h);
    return DCV_OK;
}

/* --- opening --------------------------------------------------------------------------------- */

static dcv_status set_open(const dcv_config *c, set *x, const dcv_source_ask *ask, const char *labels,
                           const char *labels_file, const dcv_labels *model)
{
    DCV_TRY(source_open(c, x, ask));
    DCV_TRY(choose_range(c, x, ask->offset, ask->limit));
    DCV_TRY(label(c, x, labels, labels_file, model));
    DCV_TRY(hash_manifest(x));
    return dcv_set_shape(c, x, ask->want);
}

static dcv_status set_new(const dcv_config *c, const dcv_source_ask *ask, const dcv_preprocess *p, const char *labels,
                          const char *labels_file, const dcv_labels *model, dcv_dataset **out)
{
    *out = NULL;
    set *x = dcv_alloc(1, sizeof *x);
    if (!x)
        return DCV_ENOMEM;
    x->d.own = x;
    x->want_h = ask->want && ask->want->dims.n == 4 ? ask->want->dims.d[2] : -1;
    x->want_w = ask->want && ask->want->dims.n == 4 ? ask->want->dims.d[3] : -1;
    x->p = *p;
    const dcv_status st = set_open(c, x, ask, labels, labels_file, model);
    if (st == DCV_OK)
        *out = &x->d;
    else
        dcv_dataset_free(&x->d);
    return st;
}

dcv_status dcv_dataset_open(const dcv_config *c, const dcv_want *want, const dcv_labels *labels, dcv_dataset **out)
{
    const dcv_dataset_options *o = &c->dataset;
    *out = NULL;
    if (!o->source)
        return dcv_config_fail(c, "dataset.source", "dataset.source is missing");
    const dcv_source_ask ask = {.file = dcv_config_path(c, o->source),
                                .shown = o->source,
                                .path = want->path ? want->path : o->path,
                                .path_key = want->path ? "dataset.inputs" : "dataset.path",
                                .label_path = o->label_path,
                                .offset = o->offset,
                                .limit = o->limit,
                                .want = want};
    const bool is_file = o->labels && strcmp(o->labels, "none") != 0 && strcmp(o->labels, "folder") != 0;
    return set_new(c, &ask, &o->preprocess, o->labels, is_file ? dcv_config_path(c, o->labels) : NULL, labels, out);
}

dcv_status dcv_dataset_open_plain(const char *source, const char *labels, const char *path, const dcv_preprocess *p,
                                  dcv_dataset **out)
{
    static const dcv_preprocess as_they_are = {.scale = 1 / 255.0};
    const dcv_source_ask ask = {.file = source, .shown = source, .path = path, .limit = -1};
    return set_new(NULL, &ask, p ? p : &as_they_are, labels, labels, NULL, out);
}

/* Open and read one item, for the sake of surviving it. */
static dcv_status try_source(const char *file, void *ctx)
{
    static const dcv_preprocess as_they_are = {.scale = 1 / 255.0};
    const dcv_dataset_options *o = ctx;
    const dcv_source_ask ask = {.file = file, .shown = file, .path = o->path, .label_path = o->label_path, .limit = -1};
    dcv_dataset *d;
    dcv_item it;
    if (set_new(NULL, &ask, &as_they_are, NULL, NULL, NULL, &d) == DCV_OK &&
        dcv_dataset_read(d, 0, DCV_READ_INPUT, &it) == DCV_OK)
        dcv_item_clear(&it);
    dcv_dataset_free(d);
    return DCV_OK; /* what is wrong will be told when it is opened in earnest */
}

dcv_status dcv_dataset_probe(const dcv_config *c)
{
    struct stat info;
    const dcv_dataset_options *o = &c->dataset;
    const char *file = o->source ? dcv_config_path(c, o->source) : NULL;
    if (!file || stat(file, &info) != 0 || !S_ISREG(info.st_mode))
        return DCV_OK;
    const dcv_source_kind *kind = kind_of(file, &info);
    if (kind != &dcv_source_h5 && kind != &dcv_source_picture)
        return DCV_OK;
    return dcv_probe(file, try_source, (void *)(uintptr_t)o);
}

void dcv_dataset_free(dcv_dataset *d)
{
    if (!d)
        return;
    set *x = d->own;
    if (x->s.kind && x->s.kind->close)
        x->s.kind->close(&x->s);
    dcv_manifest_free(&x->s.m);
    dcv_free(x->extent);
    dcv_free(x->s.file);
    dcv_free(x->s.shown);
    dcv_free(x);
}

/* --- an open set ------------------------------------------------------------------------------ */

void dcv_dataset_extent(const dcv_dataset *d, int64_t i, int64_t *h, int64_t *w)
{
    const set *x = d->own;
    DCV_CHECK(i >= 0 && i < d->n);
    *h = x->extent ? x->extent[2 * i] : d->max_h;
    *w = x->extent ? x->extent[2 * i + 1] : d->max_w;
}

int64_t dcv_dataset_item_bytes(const dcv_dataset *d)
{
    return ((const set *)d->own)->item_bytes;
}

bool dcv_dataset_changed(const dcv_dataset *d, int64_t i)
{
    const set *x = d->own;
    struct stat info;
    char file[4096];
    const bool shared = !x->s.kind->file_of;
    if (shared)
        snprintf(file, sizeof file, "%s", x->s.file);
    else
        x->s.kind->file_of(&x->s, x->offset + i, file, sizeof file);
    if (stat(file, &info) != 0)
        return true;
    return info.st_size != (shared ? x->s.file_bytes : d->entry[i].bytes) ||
           (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec !=
               (shared ? x->s.file_mtime_ns : d->entry[i].mtime_ns);
}
