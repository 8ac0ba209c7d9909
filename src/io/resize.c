/* resize.c -- resampling with the bytes that Pillow gives (Image.resize, 8 bits a channel).
 *
 * Two passes, rows first (as Pillow before 13, which turns the order where height shrinks far more than width: single
 * levels differ then), rounded to 8 bits between them.  The filter is stretched by the scale when a picture
 * shrinks (antialias); a window's weights are normalised in float64, then rounded to fixed point with 22
 * fractional bits, away from zero.  Nearest picks the pixel that the centre of the output
 * pixel falls on, positions being summed up step by step as Pillow sums them.
 */
#include <math.h>
#include <string.h>
#include "io/resize.h"

enum { FRACTION_BITS = 32 - 8 - 2 };

typedef struct filter {
    double (*at)(double x);
    double support;
} filter;

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double bicubic(double x) /* Keys, a = -1/2 */
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static const filter filters[] = {[DCV_BILINEAR] = {bilinear, 1.0}, [DCV_BICUBIC] = {bicubic, 2.0}};

/* Windows of one axis, for outputs first .. first + n - 1. */
typedef struct windows {
    int64_t n;
    int width;   /* weights kept for each output */
    int64_t *lo; /* [n] first input */
    int *count;  /* [n] inputs */
    int32_t *weight;
} windows;

static void windows_free(windows *w)
{
    dcv_free(w->lo);
    dcv_free(w->count);
    dcv_free(w->weight);
    memset(w, 0, sizeof *w);
}

static int32_t fixed_point(double v)
{
    return (int32_t)((v < 0 ? -0.5 : 0.5) + v * (1 << FRACTION_BITS));
}

static void window_at(const filter *f, double scale, int64_t out, int64_t in, double *exact, windows *w, int64_t k)
{
    const double stretch = scale < 1.0 ? 1.0 : scale, support = f->support * stretch, per = 1.0 / stretch;
    const double centre = ((double)out + 0.5) * scale;
    int64_t lo = (int64_t)(centre - support + 0.5), hi = (int64_t)(centre + support + 0.5);
    lo = lo < 0 ? 0 : lo;
    hi = hi > in ? in : hi;
    double sum = 0.0;
    for (int64_t i = 0; i < hi - lo; i++) {
        exact[i] = f->at(((double)(i + lo) - centre + 0.5) * per);
        sum += exact[i];
    }
    for (int64_t i = 0; i < hi - lo; i++)
        w->weight[k * w->width + i] = fixed_point(sum != 0.0 ? exact[i] / sum : exact[i]);
    w->lo[k] = lo;
    w->count[k] = (int)(hi - lo);
}

static dcv_status windows_new(const filter *f, int64_t in, int64_t out, int64_t first, int64_t n, windows *w)
{
    const double scale = (double)in / (double)out, stretch = scale < 1.0 ? 1.0 : scale;
    memset(w, 0, sizeof *w);
    w->n = n;
    w->width = (int)ceil(f->support * stretch) * 2 + 1;
    w->lo = dcv_alloc((size_t)n, sizeof *w->lo);
    w->count = dcv_alloc((size_t)n, sizeof *w->count);
    w->weight = dcv_alloc((size_t)n * (size_t)w->width, sizeof *w->weight);
    double *exact = dcv_alloc((size_t)w->width, sizeof *exact);
    const bool ok = w->lo && w->count && w->weight && exact;
    for (int64_t k = 0; ok && k < n; k++)
        window_at(f, scale, first + k, in, exact, w, k);
    dcv_free(exact);
    if (!ok)
        windows_free(w);
    return ok ? DCV_OK : DCV_ENOMEM;
}

static uint8_t clip8(int32_t v)
{
    v >>= FRACTION_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static const int32_t half = 1 << (FRACTION_BITS - 1);

static void row_grey(const uint8_t *in, const windows *w, uint8_t *out)
{
    for (int64_t k = 0; k < w->n; k++) {
        const int32_t *weight = w->weight + k * w->width;
        const uint8_t *x = in + w->lo[k];
        int32_t sum = half;
        for (int i = 0; i < w->count[k]; i++)
            sum += x[i] * weight[i];
        out[k] = clip8(sum);
    }
}

static void row_rgb(const uint8_t *in, const windows *w, uint8_t *out)
{
    for (int64_t k = 0; k < w->n; k++) {
        const int32_t *weight = w->weight + k * w->width;
        const uint8_t *x = in + 3 * w->lo[k];
        int32_t r = half, g = half, b = half;
        for (int i = 0; i < w->count[k]; i++) {
            r += x[3 * i] * weight[i];
            g += x[3 * i + 1] * weight[i];
            b += x[3 * i + 2] * weight[i];
        }
        out[3 * k] = clip8(r);
        out[3 * k + 1] = clip8(g);
        out[3 * k + 2] = clip8(b);
    }
}

/* One output row of the second pass: a weighted sum of whole rows, kept in sum between them. */
static void column_row(const uint8_t *in, int64_t stride, const int32_t *weight, int count, int32_t *sum, uint8_t *out)
{
    for (int64_t i = 0; i < stride; i++)
        sum[i] = half;
    for (int k = 0; k < count; k++, in += stride)
        for (int64_t i = 0; i < stride; i++)
            sum[i] += in[i] * weight[k];
    for (int64_t i = 0; i < stride; i++)
        out[i] = clip8(sum[i]);
}

static dcv_status image_new(int64_t h, int64_t w, int c, dcv_image *out)
{
    *out = (dcv_image){.h = h, .w = w, .c = c};
    if (h < 1 || w < 1 || h > DCV_IMAGE_MAX_PX / w)
        return dcv_fail(DCV_EDATA, "a picture of %lld x %lld; expected 1 .. 2^28 pixels", (long long)h, (long long)w);
    out->px = dcv_alloc((size_t)h * (size_t)w, (size_t)c);
    return out->px ? DCV_OK : DCV_ENOMEM;
}

/* Pass over rows: columns f->x .. of the rows lo .. hi-1 of in. */
static dcv_status pass_rows(const dcv_image *in, const dcv_framing *f, const filter *kind, int64_t lo, int64_t hi,
                            dcv_image *out)
{
    windows across;
    DCV_TRY(image_new(hi - lo, f->w, in->c, out));
    if (f->resized_w == in->w) {
        for (int64_t y = lo; y < hi; y++)
            memcpy(out->px + (y - lo) * f->w * in->c, in->px + (y * in->w + f->x) * in->c, (size_t)(f->w * in->c));
        return DCV_OK;
    }
    DCV_TRY(windows_new(kind, in->w, f->resized_w, f->x, f->w, &across));
    for (int64_t y = lo; y < hi; y++)
        (in->c == 3 ? row_rgb : row_grey)(in->px + y * in->w * in->c, &across, out->px + (y - lo) * f->w * in->c);
    windows_free(&across);
    return DCV_OK;
}

static dcv_status pass_columns(const dcv_image *in, const windows *down, int64_t lo, dcv_image *out)
{
    const int64_t stride = in->w * in->c;
    DCV_TRY(image_new(down->n, in->w, in->c, out));
    int32_t *sum = dcv_alloc((size_t)stride, sizeof *sum);
    if (!sum)
        return DCV_ENOMEM;
    for (int64_t k = 0; k < down->n; k++)
        column_row(in->px + (down->lo[k] - lo) * stride, stride, down->weight + k * down->width, down->count[k], sum,
                   out->px + k * stride);
    dcv_free(sum);
    return DCV_OK;
}

static dcv_status filtered(const dcv_image *in, const dcv_framing *f, const filter *kind, dcv_image *out)
{
    if (f->resized_h == in->h)
        return pass_rows(in, f, kind, f->y, f->y + f->h, out);
    windows down;
    dcv_image between = {0};
    DCV_TRY(windows_new(kind, in->h, f->resized_h, f->y, f->h, &down));
    const int64_t lo = down.lo[0], hi = down.lo[f->h - 1] + down.count[f->h - 1];
    dcv_status st = pass_rows(in, f, kind, lo, hi, &between);
    if (st == DCV_OK)
        st = pass_columns(&between, &down, lo, out);
    dcv_image_clear(&between);
    windows_free(&down);
    return st;
}

/* Input positions of outputs 0 .. out-1, of which those from first on are kept. */
static dcv_status nearest_positions(int64_t in, int64_t out, int64_t first, int64_t n, int64_t **to)
{
    int64_t *at = *to = dcv_alloc((size_t)n, sizeof *at);
    if (!at)
        return DCV_ENOMEM;
    const double step = (double)in / (double)out;
    double v = step * 0.5;
    for (int64_t k = 0; k < first + n; k++, v += step)
        if (k >= first)
            at[k - first] = (int64_t)v < in ? (int64_t)v : in - 1;
    return DCV_OK;
}

static dcv_status nearest(const dcv_image *in, const dcv_framing *f, dcv_image *out)
{
    int64_t *col = NULL, *row = NULL;
    dcv_status st;
    DCV_TRY_DONE(st, image_new(f->h, f->w, in->c, out));
    DCV_TRY_DONE(st, nearest_positions(in->h, f->resized_h, f->y, f->h, &row));
    DCV_TRY_DONE(st, nearest_positions(in->w, f->resized_w, f->x, f->w, &col));
    uint8_t *to = out->px;
    for (int64_t y = 0; y < f->h; y++)
        for (int64_t x = 0; x < f->w; x++)
            for (int c = 0; c < in->c; c++)
                *to++ = in->px[(row[y] * in->w + col[x]) * in->c + c];
done:
    dcv_free(row);
    dcv_free(col);
    return st;
}

dcv_status dcv_image_frame(const dcv_image *in, const dcv_framing *f, dcv_interpolation how, dcv_image *out)
{
    DCV_CHECK(f->y >= 0 && f->x >= 0 && f->h >= 1 && f->w >= 1 && f->y + f->h <= f->resized_h &&
              f->x + f->w <= f->resized_w);
    const dcv_status st = how == DCV_NEAREST ? nearest(in, f, out) : filtered(in, f, &filters[how], out);
    if (st != DCV_OK)
        dcv_image_clear(out);
    return st;
}

dcv_status dcv_image_resize(const dcv_image *in, int64_t h, int64_t w, dcv_interpolation how, dcv_image *out)
{
    const dcv_framing whole = {h, w, 0, 0, h, w};
    *out = (dcv_image){0};
    if (h < 1 || w < 1)
        return dcv_fail(DCV_EDATA, "a picture of %lld x %lld; expected 1 .. 2^28 pixels", (long long)h, (long long)w);
    return dcv_image_frame(in, &whole, how, out);
}
