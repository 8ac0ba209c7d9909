/* set_read.c -- one item of a data set: bytes, decoder, resize and crop, network input. */
#include <math.h>
#include <string.h>
#include "io/resize.h"
#include "io/set.h"

const char *dcv_dataset_item_name(const dcv_dataset *d, int64_t i)
{
    const char *name = d->entry[i].name;
    return name[0] == '/' ? strrchr(name, '/') + 1 : name;
}

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
    const dcv_status st = dcv_image_decode(bytes, n, dcv_dataset_item_name(&x->d, i), im);
    dcv_free(bytes);
    return st;
}

/* Resize and crop im in place. */
static dcv_status frame(const set *x, int64_t i, dcv_image *im)
{
    dcv_framing f;
    DCV_TRY(dcv_framing_of(&x->p, im->h, im->w, &f));
    DCV_TRY(dcv_set_fits(x, f.h, f.w));
    int64_t h, w;
    dcv_dataset_extent(&x->d, i, &h, &w); /* boxes and rows of the result go by it */
    if (f.h != h || f.w != w)
        return dcv_fail(DCV_EDATA, "%lld x %lld px; it had %lld x %lld when the run began", (long long)f.h,
                        (long long)f.w, (long long)h, (long long)w);
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
    st = frame(x, i, &im);
    if (st != DCV_OK) {
        st = dcv_fail_in(st, "%s", dcv_dataset_item_name(&x->d, i));
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
    out->width = x->s.item.n == 4 ? x->s.item.d[3] : x->s.item.n == 3 ? x->s.item.d[2] : dcv_count(&x->s.item);
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
