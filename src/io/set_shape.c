/* set_shape.c -- channels and extents of a data set: network, options and pictures brought together.
 *
 * Where nothing fixes rows and columns the headers of all pictures are read.
 */
#include <stdio.h>
#include <string.h>
#include "deconvoy/log.h"
#include "deconvoy/stop.h"
#include "io/set.h"

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
    return dcv_set_wrong(c, DCV_ECONFIG,
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
        return dcv_set_wrong(c, DCV_ECONFIG, "dataset.source", "%s has pictures; the network takes %s", x->s.shown,
                             dcv_dims_print(&want->dims, shape));
    if (takes >= 0 && takes != 1 && takes != 3)
        return dcv_set_wrong(c, DCV_ECONFIG, "dataset.source",
                             "%s has pictures of 1 or 3 channels; the network takes %lld: feed it a float .h5",
                             x->s.shown, (long long)takes);
    if (takes >= 0 && written && written != takes)
        return dcv_set_wrong(c, DCV_ECONFIG, "dataset.preprocess.channels",
                             "%s gives %d channel%s; the network takes %lld",
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

dcv_status dcv_dataset_framing(const dcv_dataset *d, int64_t i, int64_t *h, int64_t *w, dcv_framing *out)
{
    const set *x = d->own;
    const dcv_dims *it = &x->s.item;
    dcv_image head = {.h = 1, .w = 1};
    if (x->s.content != DCV_CONTENT_FLOATS)
        DCV_TRY(header_of(x, i, &head));
    else if (it->n == 4)
        head = (dcv_image){.h = it->d[2], .w = it->d[3]};
    else if (it->n == 3)
        head.w = it->d[2];
    *h = head.h;
    *w = head.w;
    *out = (dcv_framing){*h, *w, 0, 0, *h, *w};
    return x->s.content == DCV_CONTENT_FLOATS && it->n != 4 ? DCV_OK : dcv_framing_of(&x->p, *h, *w, out);
}

dcv_status dcv_dataset_foresee(const dcv_dataset *d, int64_t i)
{
    const set *x = d->own;
    dcv_image head;
    dcv_framing f;
    DCV_CHECK(i >= 0 && i < d->n);
    if (d->is_float)
        return DCV_OK;
    DCV_TRY(header_of(x, i, &head));
    dcv_status st = dcv_framing_of(&x->p, head.h, head.w, &f);
    if (st == DCV_OK)
        st = dcv_set_fits(x, f.h, f.w);
    return st == DCV_OK ? st : dcv_fail_in(st, "%s", dcv_dataset_item_name(d, i));
}

/* What the headers of pictures say. */
typedef struct survey {
    int64_t good, max_h, max_w;
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
    if (dcv_framing_of(&x->p, head.h, head.w, &f) != DCV_OK)
        return;
    v->same = v->same && (!v->good || (f.h == v->max_h && f.w == v->max_w));
    v->max_h = f.h > v->max_h ? f.h : v->max_h;
    v->max_w = f.w > v->max_w ? f.w : v->max_w;
    v->channels = head.c > v->channels ? head.c : v->channels;
    v->good++;
    v->extent[2 * i] = (int32_t)f.h;
    v->extent[2 * i + 1] = (int32_t)f.w;
}

/* Headers of all pictures; those that cannot be read will fail as items. */
static dcv_status survey_all(set *x, survey *v)
{
    if (!x->extent)
        x->extent = dcv_alloc((size_t)x->d.n, 2 * sizeof *x->extent);
    if (!x->extent)
        return DCV_ENOMEM;
    *v = (survey){.channels = 1, .same = true, .extent = x->extent};
    for (int64_t i = 0; i < x->d.n; i++) {
        DCV_TRY(dcv_stop_check("reading the headers of pictures"));
        survey_item(x, i, v);
    }
    if (!v->good)
        return dcv_fail_in(DCV_EDATA, "%s: not one of %lld pictures can be used; the last", x->s.shown,
                           (long long)x->d.n);
    return DCV_OK;
}

/* Options that contradict the network's fixed rows and columns are wrong before any picture is read. */
static dcv_status check_frame(const dcv_config *c, const set *x, int64_t h, int64_t w)
{
    if ((x->want_h < 0 || x->want_h == h) && (x->want_w < 0 || x->want_w == w))
        return DCV_OK;
    const bool crop = x->p.crop.n > 0;
    return dcv_set_wrong(c, DCV_ECONFIG,
                         key_of(&x->p, crop ? x->p.crop_written : x->p.resize_written,
                                crop ? "dataset.preprocess.crop" : "dataset.preprocess.resize"),
                         "%s gives %lld x %lld; the network takes %lld x %lld", crop ? "crop" : "resize", (long long)h,
                         (long long)w, (long long)(x->want_h < 0 ? h : x->want_h),
                         (long long)(x->want_w < 0 ? w : x->want_w));
}

dcv_status dcv_set_fits(const set *x, int64_t h, int64_t w)
{
    if ((x->want_h < 0 || h == x->want_h) && (x->want_w < 0 || w == x->want_w))
        return DCV_OK;
    return dcv_fail(DCV_EDATA, "%lld x %lld px; the network takes %lld x %lld: dataset.preprocess has resize and crop",
                    (long long)h, (long long)w, (long long)(x->want_h < 0 ? h : x->want_h),
                    (long long)(x->want_w < 0 ? w : x->want_w));
}

/* Pictures of an array are all of one size: they fit, or none does. */
static dcv_status array_extents(const set *x, int64_t *h, int64_t *w)
{
    dcv_framing f;
    dcv_status st = dcv_framing_of(&x->p, x->s.item.d[0], x->s.item.d[1], &f);
    *h = f.h;
    *w = f.w;
    if (st == DCV_OK)
        st = dcv_set_fits(x, f.h, f.w);
    return st == DCV_OK ? st : dcv_fail_in(st, "%s: its pictures", x->s.shown);
}

/* Options that only pictures of three channels can meet: bgr, or three values of mean or std. */
static bool asks_for_colour(const dcv_preprocess *p)
{
    return p->channels == DCV_BGR || p->mean.n == 3 || p->std.n == 3;
}

/* Without a network: grey if all pictures are and no option asks for colour, and one size if they happen to have one.
 */
static dcv_status choose_plain(const dcv_config *c, set *x, survey *v)
{
    if (x->s.content == DCV_CONTENT_PIXELS)
        v->channels = (int)x->s.item.d[2];
    else if (!v->good)
        DCV_TRY(survey_all(x, v));
    x->d.c = asks_for_colour(&x->p) ? 3 : v->channels;
    DCV_TRY(check_lists(c, x, x->d.c));
    dcv_tables_make(&x->p, x->d.c, &x->tables);
    return DCV_OK;
}

static dcv_status choose_extents(const dcv_config *c, set *x, bool network)
{
    survey v = {.channels = 1};
    int64_t h = x->want_h, w = x->want_w;
    x->d.fixed = true;
    if (framed(&x->p, &h, &w))
        DCV_TRY(check_frame(c, x, h, w));
    else if (x->s.content == DCV_CONTENT_PIXELS)
        DCV_TRY(array_extents(x, &h, &w));
    else if (h < 0 || w < 0) {
        DCV_TRY(survey_all(x, &v));
        h = h < 0 ? v.max_h : h;
        w = w < 0 ? v.max_w : w;
        x->d.fixed = !network && v.same;
    }
    x->d.max_h = h;
    x->d.max_w = w;
    if (x->d.c == 0)
        DCV_TRY(choose_plain(c, x, &v));
    if (x->d.fixed) { /* every item that can be read has these extents */
        dcv_free(x->extent);
        x->extent = NULL;
    }
    x->item_bytes = x->d.c * h * w * (int64_t)(sizeof(float) + 1);
    return DCV_OK;
}

/* A label beyond what the network knows is wrong data; names that it does not know are counted, never beyond. */
static dcv_status check_classes(const set *x, const dcv_want *want)
{
    if (!want || want->classes <= 0 || x->d.label_name || x->d.classes <= want->classes)
        return DCV_OK;
    for (int64_t i = 0; i < x->s.m.n; i++)
        if (x->s.m.entry[i].label >= want->classes)
            return dcv_fail(DCV_EDATA, "%s: label %d of %s; the network has %lld classes", x->s.shown,
                            (int)x->s.m.entry[i].label, x->s.m.entry[i].name, (long long)want->classes);
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
        return dcv_set_wrong(
            c, DCV_ECONFIG, x->p.resize.n ? "dataset.preprocess.resize" : "dataset.preprocess.channels",
            "%s is for pictures; %s is float input", x->p.resize.n ? "resize" : "channels", x->s.shown);
    if (x->p.crop.n && it->n != 4)
        return dcv_set_wrong(c, DCV_ECONFIG, "dataset.preprocess.crop", "items of %s have no rows and columns: %s",
                             x->s.shown, dcv_dims_print(it, has));
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
    x->item_bytes = dcv_count(&x->d.dims) * (int64_t)(sizeof(float) + 1);
    return DCV_OK;
}

dcv_status dcv_set_shape(const dcv_config *c, set *x, const dcv_want *want)
{
    DCV_TRY(check_classes(x, want));
    if (x->s.content == DCV_CONTENT_FLOATS)
        return choose_floats(c, x, want);
    DCV_TRY(choose_channels(c, x, want));
    DCV_TRY(choose_extents(c, x, want != NULL));
    x->d.dims = (dcv_dims){4, {1, x->d.c, x->d.max_h, x->d.max_w}};
    return DCV_OK;
}
