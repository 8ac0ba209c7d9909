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
#include "io/preprocess.h"
#include "io/resize.h"
#include "io/source.h"

static const dcv_source_kind *const kinds[] = {&dcv_source_folder,  &dcv_source_h5,  &dcv_source_tar,
                                               &dcv_source_picture, &dcv_source_idx, &dcv_source_list};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

typedef struct set { /* behind dcv_dataset.own */
    dcv_dataset d;
    dcv_source s;
    int64_t offset;
    int64_t want_h, want_w; /* rows and columns that the network fixes; -1: none */
    dcv_preprocess p;
    dcv_tables tables;
    int32_t *extent;    /* [n][2] rows, columns of each network input where they differ, 0 where unknown */
    int64_t item_bytes; /* that reading one may hold */
} set;

/* --- saying what is wrong, at its key where there is a configuration ------------------------ */

static dcv_status wrong(const dcv_config *c, dcv_status code, const char *key, const char *fmt, ...) DCV_PRINTF(4, 5);
static dcv_status wrong(const dcv_config *c, dcv_status code, const char *key, const char *fmt, ...)
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

/* The name in folder nearest to word, in buf; "" if none is near. */
static const char *nearest_in(const char *folder, const char *word, char *buf, size_t n)
{
    enum { MOST = 4096 };
    const char *best = NULL;
    dcv_arena *arena = NULL;
    const char **name = dcv_alloc(MOST, sizeof *name);
    DIR *dir = opendir(folder);
    size_t count = 0;
    buf[0] = 0;
    if (dir && name && dcv_arena_new(&arena) == DCV_OK) {
        for (struct dirent *e; count < MOST && (e = readdir(dir));)
            if (e->d_name[0] != '.' && (name[count] = dcv_arena_strdup(arena, e->d_name)))
                count++;
        best = dcv_nearest(word, name, count);
    }
    if (best)
        snprintf(buf, n, "; nearest name there: %s", best);
    if (dir)
        closedir(dir);
    dcv_arena_free(arena);
    dcv_free(name);
    return buf;
}

static dcv_status missing(const dcv_config *c, const char *file, const char *shown, const char *key)
{
    const int why = errno;
    char folder[4096], hint[512];
    snprintf(folder, sizeof folder, "%s", file);
    while (strlen(folder) > 1 && folder[strlen(folder) - 1] == '/')
        folder[strlen(folder) - 1] = 0;
    char *slash = strrchr(folder, '/');
    const char *base = slash ? slash + 1 : folder;
    char word[512];
    snprintf(word, sizeof word, "%.500s", base);
    if (slash)
        slash[slash == folder] = 0;
    return wrong(c, DCV_ENOINPUT, key, "%s: %s%s", shown, strerror(why),
                 nearest_in(slash ? folder : ".", word, hint, sizeof hint));
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
        return missing(c, ask->file, ask->shown, "dataset.source");
    if (access(ask->file, R_OK) != 0)
        return wrong(c, DCV_ENOINPUT, "dataset.source", "%s: %s", ask->shown, strerror(errno));
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode))
        return wrong(c, DCV_EDATA, "dataset.source", "%s: neither a file nor a folder", ask->shown);
    x->s.kind = kind_of(ask->file, &info);
    if (!x->s.kind)
        return wrong(c, DCV_EDATA, "dataset.source",
                     "%s: not a data set%s; expected a folder, a list .txt, .h5, IDX, .tar, JPEG, PNG or TIFF",
                     ask->shown, info.st_size == 0 ? ": empty, 0 bytes" : "");
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
    if (st == DCV_ECONFIG && c && x->s.wrong_key)
        return again_at(c, x->s.wrong_key);
    DCV_TRY(st);
    if (x->s.m.n == 0)
        return wrong(c, DCV_EDATA, "dataset.source", "%s: no pictures in it (%s)", ask->shown, x->s.kind->name);
    return DCV_OK;
}

/* --- labels, range, hash -------------------------------------------------------------------- */

/* The configuration's place, where there is one, before a message that names the file at fault. */
static dcv_status label(const dcv_config *c, set *x, const char *labels, const char *labels_file,
                        const dcv_labels *model)
{
    const bool folder = labels && strcmp(labels, "folder") == 0;
    if (folder && x->s.content != DCV_CONTENT_ENCODED)
        return wrong(c, DCV_ECONFIG, "dataset.labels", "folder: %s is %s, its items are in no folders", x->s.shown,
                     x->s.kind->name);
    if (folder)
        DCV_TRY(dcv_manifest_label_folders(&x->s.m));
    else if (labels && strcmp(labels, "none") != 0) {
        errno = 0;
        if (access(labels_file, R_OK) != 0)
            return missing(c, labels_file, labels, "dataset.labels");
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
        return wrong(c, DCV_ECONFIG, "dataset.offset", "offset %lld is beyond the last of %lld items of %s",
                     (long long)offset, (long long)n, x->s.shown);
    if (limit == 0)
        return wrong(c, DCV_ECONFIG, "dataset.limit", "limit 0 leaves no items");
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

/* --- what the network takes and what the pictures give ---------------------------------------- */

/* The key that decided about part of the preprocessing: its own, or the preset. */
static const char *key_of(const dcv_preprocess *p, bool written, const char *key)
{
    return written || p->preset == DCV_PRESET_NONE ? key : "dataset.preprocess.preset";
}

static dcv_status check_lists(const dcv_config *c, const set *x, int64_t channels)
{
    const char *key = NULL;
    if (dcv_preprocess_fits(&x->p, channels, &key) == DCV_OK)
        return DCV_OK;
    char text[512];
    snprintf(text, sizeof text, "%s", dcv_message());
    const bool mean = strcmp(key, "mean") == 0;
    return wrong(c, DCV_ECONFIG,
                 key_of(&x->p, mean ? x->p.mean_written : x->p.std_written,
                        mean ? "dataset.preprocess.mean" : "dataset.preprocess.std"),
                 "%s", text);
}

/* Channels that pictures are delivered with: what the network takes, or what is written. */
static dcv_status choose_channels(const dcv_config *c, set *x, const dcv_want *want)
{
    const int64_t takes = want ? want->dims.d[1] : -1;
    const int written = !x->p.channels_written ? 0 : x->p.channels == DCV_GRAY ? 1 : 3;
    dcv_dims_text shape;
    if (want && want->dims.n != 4)
        return wrong(c, DCV_ECONFIG, "dataset.source", "%s has pictures; the network takes %s", x->s.shown,
                     dcv_dims_print(&want->dims, shape));
    if (takes >= 0 && takes != 1 && takes != 3)
        return wrong(c, DCV_ECONFIG, "dataset.source",
                     "%s has pictures of 1 or 3 channels; the network takes %lld: feed it a float .h5", x->s.shown,
                     (long long)takes);
    if (takes >= 0 && written && written != takes)
        return wrong(c, DCV_ECONFIG, "dataset.preprocess.channels", "%s gives %d channel%s; the network takes %lld",
                     x->p.channels == DCV_GRAY  ? "gray"
                     : x->p.channels == DCV_BGR ? "bgr"
                                                : "rgb",
                     written, written == 1 ? "" : "s", (long long)takes);
    x->d.c = takes > 0 ? (int)takes : written ? written : want ? 3 : 0;
    if (x->d.c == 0)
        return DCV_OK;
    DCV_TRY(check_lists(c, x, x->d.c));
    dcv_tables_make(&x->p, x->d.c, &x->tables);
    return DCV_OK;
}

/* Rows and columns after preprocessing where every picture's are the same by the options alone. */
static bool framed(const dcv_preprocess *p, int64_t *h, int64_t *w)
{
    const dcv_ints *by = p->crop.n ? &p->crop : p->resize.n == 2 ? &p->resize : NULL;
    if (!by)
        return false;
    *h = by->v[0];
    *w = by->v[by->n - 1];
    return true;
}

static dcv_status header_of(const set *x, int64_t i, dcv_image *head)
{
    const char *name = x->d.entry[i].name;
    enum { MOSTLY_ENOUGH = 1 << 16 };
    if (x->s.content == DCV_CONTENT_PIXELS) {
        *head = (dcv_image){.h = x->s.item.d[0], .w = x->s.item.d[1], .c = (int)x->s.item.d[2]};
        return DCV_OK;
    }
    for (int64_t most = MOSTLY_ENOUGH;; most = -1) {
        uint8_t *bytes;
        size_t n;
        DCV_TRY(x->s.kind->fetch(&x->s, x->offset + i, most, &bytes, &n));
        const dcv_status st = dcv_image_header(bytes, n, name, head);
        dcv_free(bytes);
        if (st == DCV_OK || most < 0 || n < (size_t)most)
            return st;
    }
}

/* What the headers of pictures say. */
typedef struct survey {
    int64_t good, max_h, max_w, most_px;
    int channels;
    bool same;
    int32_t *extent;
} survey;

static void survey_item(const set *x, int64_t i, survey *v)
{
    dcv_image head;
    dcv_framing f;
    if (header_of(x, i, &head) != DCV_OK)
        return;
    v->most_px = head.h * head.w > v->most_px ? head.h * head.w : v->most_px;
    if (dcv_framing_of(&x->p, head.h, head.w, &f) != DCV_OK)
        return;
    v->same = v->same && (!v->good || (f.h == v->max_h && f.w == v->max_w));
    v->max_h = f.h > v->max_h ? f.h : v->max_h;
    v->max_w = f.w > v->max_w ? f.w : v->max_w;
    v->channels = head.c > v->channels ? head.c : v->channels;
    v->good++;
    if (v->extent) {
        v->extent[2 * i] = (int32_t)f.h;
        v->extent[2 * i + 1] = (int32_t)f.w;
    }
}

/* Headers of all pictures; those that cannot be read will fail as items. */
static dcv_status survey_all(set *x, survey *v)
{
    if (!x->extent)
        x->extent = dcv_alloc((size_t)x->d.n, 2 * sizeof *x->extent);
    if (!x->extent)
        return DCV_ENOMEM;
    *v = (survey){.channels = 1, .same = true, .extent = x->extent};
    for (int64_t i = 0; i < x->d.n; i++)
        survey_item(x, i, v);
    if (!v->good)
        return dcv_fail_in(DCV_EDATA, "%s: not one of %lld pictures can be used; the last", x->s.shown,
                           (long long)x->d.n);
    return DCV_OK;
}

/* Only the FEW largest files, for an estimate of memory. */
static void survey_largest(const set *x, survey *v)
{
    enum { FEW = 8 };
    int64_t at[FEW], n = 0;
    *v = (survey){.channels = 1, .same = true};
    for (int64_t i = 0; i < x->d.n; i++) {
        int64_t k = n < FEW ? n++ : FEW;
        while (k > 0 && x->d.entry[i].bytes > x->d.entry[at[k - 1]].bytes) {
            if (k < FEW)
                at[k] = at[k - 1];
            k--;
        }
        if (k < FEW)
            at[k] = i;
    }
    for (int64_t k = 0; k < n; k++)
        survey_item(x, at[k], v);
}

/* Bytes held while one picture is read: the file, the decoder's own (coefficients of a progressive JPEG), two
 * pictures and the network input. */
static int64_t picture_bytes(const set *x, int64_t most_px)
{
    int64_t file = 0;
    for (int64_t i = 0; i < x->d.n; i++)
        file = x->d.entry[i].bytes > file ? x->d.entry[i].bytes : file;
    const int64_t c = x->d.c ? x->d.c : 3, out_px = x->d.max_h * x->d.max_w;
    return file + (x->s.content == DCV_CONTENT_ENCODED ? 12 : 3) * most_px + out_px * c * 5;
}

/* Options that contradict the network's fixed rows and columns are wrong before any picture is read. */
static dcv_status check_frame(const dcv_config *c, const set *x, int64_t h, int64_t w)
{
    if ((x->want_h < 0 || x->want_h == h) && (x->want_w < 0 || x->want_w == w))
        return DCV_OK;
    const bool crop = x->p.crop.n > 0;
    return wrong(c, DCV_ECONFIG,
                 key_of(&x->p, crop ? x->p.crop_written : x->p.resize_written,
                        crop ? "dataset.preprocess.crop" : "dataset.preprocess.resize"),
                 "%s gives %lld x %lld; the network takes %lld x %lld", crop ? "crop" : "resize", (long long)h,
                 (long long)w, (long long)(x->want_h < 0 ? h : x->want_h), (long long)(x->want_w < 0 ? w : x->want_w));
}

static dcv_status does_not_fit(const set *x, int64_t h, int64_t w)
{
    return dcv_fail(DCV_EDATA, "%lld x %lld px; the network takes %lld x %lld: dataset.preprocess has resize and crop",
                    (long long)h, (long long)w, (long long)(x->want_h < 0 ? h : x->want_h),
                    (long long)(x->want_w < 0 ? w : x->want_w));
}

static dcv_status choose_extents(const dcv_config *c, set *x)
{
    survey v = {.channels = 1};
    int64_t h, w;
    x->d.fixed = true;
    if (framed(&x->p, &h, &w)) {
        DCV_TRY(check_frame(c, x, h, w));
    } else if (x->s.content == DCV_CONTENT_PIXELS) {
        dcv_framing f;
        dcv_status st = dcv_framing_of(&x->p, x->s.item.d[0], x->s.item.d[1], &f);
        h = f.h;
        w = f.w;
        if (st == DCV_OK && ((x->want_h >= 0 && x->want_h != h) || (x->want_w >= 0 && x->want_w != w)))
            st = does_not_fit(x, h, w);
        if (st != DCV_OK)
            return dcv_fail_in(st, "%s: its pictures", x->s.shown);
    } else if (x->want_h >= 0 && x->want_w >= 0) {
        h = x->want_h;
        w = x->want_w;
    } else {
        DCV_TRY(survey_all(x, &v));
        h = x->want_h >= 0 ? x->want_h : v.max_h;
        w = x->want_w >= 0 ? x->want_w : v.max_w;
        x->d.fixed = v.same;
    }
    x->d.max_h = h;
    x->d.max_w = w;
    if (!v.good)
        survey_largest(x, &v);
    if (x->d.c == 0) {
        if (x->s.content == DCV_CONTENT_ENCODED && v.good < x->d.n)
            DCV_TRY(survey_all(x, &v));
        x->d.c = v.channels;
        DCV_TRY(check_lists(c, x, x->d.c));
        dcv_tables_make(&x->p, x->d.c, &x->tables);
    }
    if (x->d.fixed) { /* every item that can be read has these extents */
        dcv_free(x->extent);
        x->extent = NULL;
    }
    x->item_bytes = picture_bytes(x, v.most_px);
    return DCV_OK;
}

/* --- float input as it stands ------------------------------------------------------------------ */

/* Only keys that are written out count. */
static void keep_written(dcv_preprocess *p)
{
    static const dcv_ints none = {.word = -1};
    static const dcv_reals nothing = {.word = -1};
    if (!p->scale_written)
        p->scale = 1;
    if (!p->mean_written)
        p->mean = nothing;
    if (!p->std_written)
        p->std = nothing;
    if (!p->crop_written)
        p->crop = none;
    if (!p->resize_written)
        p->resize = none;
}

static dcv_status choose_floats(const dcv_config *c, set *x, const dcv_want *want)
{
    dcv_dims_text has, takes;
    const dcv_dims *it = &x->s.item;
    if (x->p.written && x->p.preset != DCV_PRESET_NONE)
        dcv_log_warning("dataset.preprocess.preset is for pictures; %s is network input as it stands", x->s.shown);
    keep_written(&x->p);
    if (x->p.resize.n || x->p.channels_written)
        return wrong(c, DCV_ECONFIG, x->p.resize.n ? "dataset.preprocess.resize" : "dataset.preprocess.channels",
                     "%s is for pictures; %s is float input", x->p.resize.n ? "resize" : "channels", x->s.shown);
    if (x->p.crop.n && it->n != 4)
        return wrong(c, DCV_ECONFIG, "dataset.preprocess.crop", "items of %s have no rows and columns: %s", x->s.shown,
                     dcv_dims_print(it, has));
    DCV_TRY(check_lists(c, x, it->n > 1 ? it->d[1] : 1));
    x->d.is_float = true;
    x->d.fixed = true;
    x->d.dims = *it;
    if (x->p.crop.n) {
        dcv_framing f;
        const dcv_status st = dcv_framing_of(&x->p, it->d[2], it->d[3], &f);
        if (st != DCV_OK)
            return dcv_fail_in(st, "%s: its items", x->s.shown);
        x->d.dims.d[2] = f.h;
        x->d.dims.d[3] = f.w;
    }
    for (int k = 0; want && k < want->dims.n; k++)
        if (want->dims.n != it->n || (k > 0 && want->dims.d[k] >= 0 && want->dims.d[k] != x->d.dims.d[k]))
            return dcv_fail(DCV_EDATA, "%s: items of %s; the network takes %s", x->s.shown,
                            dcv_dims_print(&x->d.dims, has), dcv_dims_print(&want->dims, takes));
    x->d.c = it->n > 1 ? (int)it->d[1] : 1;
    x->d.max_h = it->n == 4 ? x->d.dims.d[2] : 1;
    x->d.max_w = it->n == 4 ? x->d.dims.d[3] : it->n == 3 ? it->d[2] : 1;
    x->item_bytes = dcv_count(it) * 9;
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
    if (x->s.content == DCV_CONTENT_FLOATS)
        return choose_floats(c, x, ask->want);
    DCV_TRY(choose_channels(c, x, ask->want));
    DCV_TRY(choose_extents(c, x));
    x->d.dims = (dcv_dims){4, {1, x->d.c, x->d.max_h, x->d.max_w}};
    return DCV_OK;
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
                                .path = o->path,
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

/* --- reading one item ---------------------------------------------------------------------------- */

static dcv_status decoded(const set *x, int64_t i, dcv_image *im)
{
    uint8_t *bytes;
    size_t n;
    *im = (dcv_image){0};
    DCV_TRY(x->s.kind->fetch(&x->s, x->offset + i, -1, &bytes, &n));
    if (x->s.content == DCV_CONTENT_PIXELS) {
        *im = (dcv_image){.h = x->s.item.d[0], .w = x->s.item.d[1], .c = (int)x->s.item.d[2], .px = bytes};
        return DCV_OK;
    }
    const dcv_status st = dcv_image_decode(bytes, n, x->d.entry[i].name, im);
    dcv_free(bytes);
    return st;
}

/* Resize and crop im in place. */
static dcv_status frame(const set *x, dcv_image *im)
{
    dcv_framing f;
    DCV_TRY(dcv_framing_of(&x->p, im->h, im->w, &f));
    if ((x->want_h >= 0 && f.h != x->want_h) || (x->want_w >= 0 && f.w != x->want_w))
        return does_not_fit(x, f.h, f.w);
    if (f.h > x->d.max_h || f.w > x->d.max_w)
        return dcv_fail(DCV_EDATA, "%lld x %lld px; it had %lld x %lld at most when the run began", (long long)f.h,
                        (long long)f.w, (long long)x->d.max_h, (long long)x->d.max_w);
    if (f.h == im->h && f.w == im->w && f.resized_h == im->h && f.resized_w == im->w)
        return DCV_OK;
    dcv_image framed_im;
    DCV_TRY(dcv_image_frame(im, &f, (dcv_interpolation)x->p.interpolation, &framed_im));
    dcv_image_clear(im);
    *im = framed_im;
    return DCV_OK;
}

static dcv_status read_picture(const set *x, int64_t i, int what, dcv_item *out)
{
    dcv_image im;
    dcv_status st;
    DCV_TRY(decoded(x, i, &im));
    out->width = im.w;
    out->height = im.h;
    if (im.c > x->d.c)
        DCV_TRY_DONE(st, dcv_image_channels(&im, x->d.c));
    st = frame(x, &im);
    if (st != DCV_OK) {
        st = dcv_fail_in(st, "%s", x->d.entry[i].name);
        goto done;
    }
    out->dims = (dcv_dims){4, {1, x->d.c, im.h, im.w}};
    if (what & DCV_READ_INPUT) {
        out->input = dcv_alloc((size_t)dcv_count(&out->dims), sizeof *out->input);
        st = out->input ? DCV_OK : DCV_ENOMEM;
        if (st != DCV_OK)
            goto done;
        dcv_tables_apply(&x->tables, &im, out->input);
    }
    if (what & DCV_READ_PICTURE) {
        DCV_TRY_DONE(st, dcv_image_channels(&im, x->d.c));
        out->picture = im;
        im = (dcv_image){0};
    }
done:
    dcv_image_clear(&im);
    return st;
}

/* The part that crop keeps, with scale, mean and std where they are written. */
static void fill_floats(const set *x, const float *from, float *to)
{
    const dcv_dims *in = &x->s.item;
    const bool plain = !x->p.scale_written && !x->p.mean_written && !x->p.std_written;
    if (plain && !x->p.crop.n) {
        memcpy(to, from, (size_t)dcv_count(in) * sizeof *to);
        return;
    }
    dcv_framing f = {.h = 1, .w = 1};
    int64_t in_w = 1, in_plane = 1;
    const int64_t c = in->n > 1 ? in->d[1] : 1;
    if (in->n == 4) {
        DCV_CHECK(dcv_framing_of(&x->p, in->d[2], in->d[3], &f) == DCV_OK); /* as when the set was opened */
        in_w = in->d[3];
        in_plane = in->d[2] * in->d[3];
    } else {
        in_w = in_plane = f.w = dcv_count(in) / (c > 0 ? c : 1);
    }
    for (int64_t k = 0; k < c; k++)
        for (int64_t y = 0; y < f.h; y++)
            for (int64_t w = 0; w < f.w; w++) {
                const float v = from[k * in_plane + (f.y + y) * in_w + f.x + w];
                to[(k * f.h + y) * f.w + w] = plain ? v : (float)dcv_preprocess_value(&x->p, k, v);
            }
}

/* Minimum .. maximum of all channels to 0 .. 255. */
static dcv_status stretched(const float *v, const dcv_dims *dims, dcv_image *out)
{
    *out = (dcv_image){0};
    if (dims->n != 4 || (dims->d[1] != 1 && dims->d[1] != 3))
        return DCV_OK;
    const int64_t c = dims->d[1], plane = dims->d[2] * dims->d[3], n = c * plane;
    float lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        lo = v[i] < lo ? v[i] : lo;
        hi = v[i] > hi ? v[i] : hi;
    }
    *out = (dcv_image){.h = dims->d[2], .w = dims->d[3], .c = (int)c, .px = dcv_alloc((size_t)n, 1)};
    if (!out->px)
        return DCV_ENOMEM;
    const double range = (double)hi - lo, per = range > 0 && range < INFINITY ? 255.0 / range : 0;
    for (int64_t k = 0; k < c; k++)
        for (int64_t i = 0; i < plane; i++) {
            const double g = ((double)v[k * plane + i] - lo) * per;
            out->px[i * c + k] = g > 0 ? (uint8_t)(g < 255 ? rint(g) : 255) : 0; /* NaN: 0 */
        }
    return DCV_OK;
}

static dcv_status read_floats(const set *x, int64_t i, int what, dcv_item *out)
{
    uint8_t *bytes;
    size_t n;
    dcv_status st = DCV_OK;
    DCV_TRY(x->s.kind->fetch(&x->s, x->offset + i, -1, &bytes, &n));
    out->dims = x->d.dims;
    out->height = x->s.item.n == 4 ? x->s.item.d[2] : 1;
    out->width = x->s.item.n == 4 ? x->s.item.d[3] : dcv_count(&x->s.item);
    float *v = dcv_alloc((size_t)dcv_count(&x->d.dims), sizeof *v);
    if (!v) {
        dcv_free(bytes);
        return DCV_ENOMEM;
    }
    fill_floats(x, (const float *)(const void *)bytes, v);
    dcv_free(bytes);
    if (what & DCV_READ_PICTURE)
        st = stretched(v, &x->d.dims, &out->picture);
    if (st == DCV_OK && (what & DCV_READ_INPUT))
        out->input = v;
    else
        dcv_free(v);
    return st;
}

dcv_status dcv_dataset_read(const dcv_dataset *d, int64_t i, int what, dcv_item *out)
{
    const set *x = d->own;
    DCV_CHECK(i >= 0 && i < d->n);
    *out = (dcv_item){0};
    const dcv_status st = d->is_float ? read_floats(x, i, what, out) : read_picture(x, i, what, out);
    if (st != DCV_OK)
        dcv_item_clear(out);
    return st;
}

void dcv_item_clear(dcv_item *it)
{
    dcv_free(it->input);
    dcv_image_clear(&it->picture);
    *it = (dcv_item){0};
}

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
