/* deblur.c -- results of `deblur` and `blur` as pictures: the input, where it can still be found, the image, its PSF,
 * and the curve of the divergence.
 *
 * Grey runs from the smallest value to the 99.8th percentile, so that a star does not make a night of the rest; before
 * and after share the grey of the former.  In
 * three dimensions each pixel is the largest value along the first axis.  Traces are drawn below each other.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "deconvoy/memory.h"
#include "report/before.h"
#include "report/canvas.h"
#include "report/reporter.h"

enum {
    MOST_OBJECTS = 16,
    GAP = 6,
    SIDE = 640,
    CURVE_H = 180,
    CURVE_W = 320,
    TRACE_H = 60,
    TRACE_W = 640,
    TOP = GAP + CANVAS_TEXT_H + 3
};
static const int64_t most_values = INT64_C(1) << 28; /* of an object */

typedef struct view {
    const dcv_report_in *in;
    const char *group; /* "/deblur" */
    dcv_dims image;    /* as stored */
    int dimensions;    /* of one object, by its PSF */
    int channels;
    int64_t objects, each; /* how many; values of one */
    int64_t depth, h, w;
} view;

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

typedef struct range {
    double lo, hi;
} range;

static dcv_status range_of(const float *v, int64_t n, range *out)
{
    float *sorted = dcv_alloc((size_t)n, sizeof *sorted);
    if (!sorted)
        return DCV_ENOMEM;
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(v[i]))
            sorted[k++] = v[i];
    qsort(sorted, (size_t)k, sizeof *sorted, by_size);
    *out = k ? (range){(double)sorted[0], (double)sorted[(k - 1) * 998 / 1000]} : (range){0, 1};
    dcv_free(sorted);
    return DCV_OK;
}

/* Values to 0..255. */
static void to_grey(const float *v, int64_t n, range of, uint8_t *px)
{
    const double scale = of.hi > of.lo ? 255 / (of.hi - of.lo) : 0;
    for (int64_t i = 0; i < n; i++) {
        const double g = isfinite(v[i]) ? ((double)v[i] - of.lo) * scale : 0;
        px[i] = (uint8_t)(g < 0 ? 0 : g > 255 ? 255 : g + 0.5);
    }
}

/* The largest value along the first axis, in place. */
static void project(float *v, int64_t depth, int64_t n)
{
    for (int64_t d = 1; d < depth; d++)
        for (int64_t i = 0; i < n; i++)
            v[i] = v[d * n + i] > v[i] ? v[d * n + i] : v[i];
}

static canvas_scale scale_for(int64_t h, int64_t w, int64_t side)
{
    const int64_t most = h > w ? h : w;
    return most > side ? (canvas_scale){1, (most + side - 1) / side}
                       : (canvas_scale){side / most > 4 ? 4 : side / most, 1};
}

/* --- Objects -------------------------------------------------------------------------- */

/* One object's values (which are projected in place) with a line above, at x of the sheet; *grey: taken from them where
 * it is empty. */
static dcv_status draw_values(const view *v, float *values, const char *words, int64_t x, range *grey, dcv_image *sheet)
{
    const int64_t n = v->h * v->w * v->channels;
    const canvas_scale s = scale_for(v->h, v->w, SIDE);
    uint8_t *px = dcv_alloc((size_t)n, 1);
    if (!px)
        return DCV_ENOMEM;
    project(values, v->depth, n);
    const dcv_status st = grey->hi > grey->lo ? DCV_OK : range_of(values, n, grey);
    to_grey(values, n, *grey, px);
    canvas_text(sheet, GAP, x, canvas_scaled(v->w, s), 1, words);
    canvas_picture(sheet, TOP, x, px, v->channels, v->h, v->w, v->w, s);
    dcv_free(px);
    return st;
}

/* The object before and after; *right: where the sheet goes on. */
static dcv_status draw_images(const view *v, const char *path, int64_t i, dcv_image *sheet, int64_t *right)
{
    const canvas_scale s = scale_for(v->h, v->w, SIDE);
    const int64_t h = canvas_scaled(v->h, s), w = canvas_scaled(v->w, s);
    const bool leads = v->image.n > v->dimensions + (v->channels > 1);
    range grey = {0, 0};
    const before_want want = {v->group + 1, i, v->objects, v->each, v->channels};
    float *values = dcv_alloc((size_t)v->each, sizeof *values), *before = dcv_alloc((size_t)v->each, sizeof *before);
    const bool found = values && before && before_read(v->in, &want, before);
    dcv_status st = values && before
                        ? dcv_h5_read(v->in->h5, path, DCV_F32, leads ? i : 0, leads ? 1 : v->image.d[0], values)
                        : DCV_ENOMEM;
    *right = GAP + (found ? 2 : 1) * (w + GAP);
    if (st == DCV_OK)
        st = canvas_new(h + TOP + GAP > CURVE_H + 140 ? h + TOP + GAP : CURVE_H + 140, *right + CURVE_W + 2 * GAP,
                        sheet);
    if (st == DCV_OK && found)
        st = draw_values(v, before, "before", GAP, &grey, sheet);
    if (st == DCV_OK)
        st = draw_values(v, values, found ? "after" : "result", *right - GAP - w, &grey, sheet);
    dcv_free(before);
    dcv_free(values);
    return st;
}

static dcv_status draw_psf(const view *v, int64_t x, dcv_image *sheet)
{
    char path[64];
    dcv_h5_info info;
    snprintf(path, sizeof path, "%s/psf", v->group);
    DCV_TRY(dcv_h5_info_of(v->in->h5, path, &info));
    if (info.dims.n < 2 || info.dims.n < v->dimensions)
        return DCV_OK;
    const int64_t n = dcv_count(&info.dims), h = info.dims.d[info.dims.n - 2], w = info.dims.d[info.dims.n - 1];
    if (n < 1 || n > most_values)
        return DCV_OK;
    float *values = dcv_alloc((size_t)n, sizeof *values);
    uint8_t *px = dcv_alloc((size_t)(h * w), 1);
    dcv_status st = values && px ? dcv_h5_read(v->in->h5, path, DCV_F32, 0, info.dims.d[0], values) : DCV_ENOMEM;
    if (st == DCV_OK) {
        if (v->dimensions == 3 && info.dims.n == 3)
            project(values, info.dims.d[0], h * w);
        range grey;
        st = range_of(values, h * w, &grey);
        if (st == DCV_OK)
            to_grey(values, h * w, grey, px);
    }
    if (st == DCV_OK) {
        canvas_text(sheet, GAP, x, CURVE_W, 1, "PSF");
        canvas_picture(sheet, GAP + CANVAS_TEXT_H + 3, x, px, 1, h, w, w, scale_for(h, w, 100));
    }
    dcv_free(px);
    dcv_free(values);
    return st;
}

static int64_t height_of(double v, double lo, double hi, int64_t h)
{
    return hi > lo ? (int64_t)((double)(h - 2) * (hi - v) / (hi - lo)) : h / 2;
}

/* n values as a line of dots and strokes in h x w at y, x. */
static void curve(dcv_image *sheet, int64_t y, int64_t x, int64_t h, int64_t w, const double *v, int64_t n)
{
    static const canvas_colour line = {180, 40, 30}, ground = {236, 236, 232};
    double lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        lo = fmin(lo, v[i]);
        hi = fmax(hi, v[i]);
    }
    canvas_fill(sheet, y, x, h, w, ground);
    for (int64_t c = 0, last = -1; c < w; c++) {
        const int64_t i = n > 1 ? c * (n - 1) / (w - 1) : 0, at = height_of(v[i], lo, hi, h);
        const int64_t top = last < 0 || last > at ? at : last, bottom = last < 0 || last < at ? at : last;
        canvas_fill(sheet, y + top, x + c, bottom - top + 2, 1, line);
        last = at;
    }
}

/* The divergence, from its first to its last known value. */
static dcv_status draw_history(const view *v, int64_t object, int64_t x, dcv_image *sheet)
{
    dcv_h5_info info;
    char words[96];
    if (!dcv_h5_has(v->in->h5, "/deblur/history/divergence") || strcmp(v->group, "/deblur"))
        return DCV_OK;
    DCV_TRY(dcv_h5_info_of(v->in->h5, "/deblur/history/divergence", &info));
    const bool leads = info.dims.n == 2;
    const int64_t n = info.dims.n ? info.dims.d[info.dims.n - 1] : 0;
    if (n < 1 || n > most_values || info.dims.n > 2)
        return DCV_OK;
    double *d = dcv_alloc((size_t)n, sizeof *d);
    if (!d)
        return DCV_ENOMEM;
    dcv_status st = dcv_h5_read(v->in->h5, "/deblur/history/divergence", DCV_F64, leads ? object : 0, leads ? 1 : n, d);
    int64_t known = 0;
    while (st == DCV_OK && known < n && isfinite(d[known])) {
        d[known] = log(fmax(d[known], 1e-300));
        known++;
    }
    if (st == DCV_OK && known) {
        snprintf(words, sizeof words, "log of divergence, %lld iterations", (long long)known);
        canvas_text(sheet, 120, x, CURVE_W, 1, words);
        curve(sheet, 120 + CANVAS_TEXT_H + 3, x, CURVE_H, CURVE_W, d, known);
    }
    dcv_free(d);
    return st;
}

static dcv_status finish(const view *v, int64_t i, const char *what, dcv_image *sheet)
{
    char name[64];
    if (v->objects > 1)
        snprintf(name, sizeof name, "%s_%06lld", what, (long long)i);
    else
        snprintf(name, sizeof name, "%s", what);
    char *file = dcv_report_path(v->in, name, ".png");
    dcv_status st = file ? dcv_png_write(file, sheet) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_report_wrote(v->in, file);
    dcv_free(file);
    return st;
}

static dcv_status draw_objects(const view *v, const char *path)
{
    for (int64_t i = 0; i < v->objects && i < MOST_OBJECTS; i++) {
        dcv_image sheet = {.px = NULL};
        int64_t right = 0;
        dcv_status st = draw_images(v, path, i, &sheet, &right);
        if (st == DCV_OK)
            st = draw_psf(v, right, &sheet);
        if (st == DCV_OK)
            st = draw_history(v, i, right, &sheet);
        if (st == DCV_OK)
            st = finish(v, i, v->group + 1, &sheet);
        dcv_image_clear(&sheet);
        DCV_TRY(st);
    }
    return DCV_OK;
}

static dcv_status draw_traces(const view *v, const char *path)
{
    const int64_t n = v->objects < MOST_OBJECTS ? v->objects : MOST_OBJECTS;
    dcv_image sheet = {.px = NULL};
    const int64_t several = v->objects > 1 || v->image.n > 1 + (v->channels > 1);
    double *all = dcv_alloc((size_t)v->each, sizeof *all), *row = dcv_alloc((size_t)v->w, sizeof *row);
    dcv_status st = all && row ? canvas_new(n * (TRACE_H + GAP) + GAP, TRACE_W + 2 * GAP, &sheet) : DCV_ENOMEM;
    for (int64_t i = 0; st == DCV_OK && i < n; i++) {
        st = dcv_h5_read(v->in->h5, path, DCV_F64, several ? i : 0, several ? 1 : v->w, all);
        for (int64_t k = 0; st == DCV_OK && k < v->w; k++) /* the first of further axes and channels */
            row[k] = isfinite(all[k * v->channels]) ? all[k * v->channels] : 0;
        if (st == DCV_OK)
            curve(&sheet, GAP + i * (TRACE_H + GAP), GAP, TRACE_H, TRACE_W, row, v->w);
    }
    view one = *v;
    one.objects = 1;
    if (st == DCV_OK)
        st = finish(&one, 0, "traces", &sheet);
    dcv_image_clear(&sheet);
    dcv_free(all);
    dcv_free(row);
    return st;
}

/* --- A result ----------------------------------------------------------------------------- */

static int centre_axes(const dcv_report_in *in, const char *psf)
{
    char *centre = dcv_h5_attribute(in->h5, psf, "centre");
    int n = centre && *centre ? 1 : 0;
    for (const char *c = centre; c && *c; c++)
        n += *c == ' ';
    dcv_free(centre);
    return n;
}

static dcv_status run(const dcv_report_in *in, const char *group)
{
    char image[64], psf[64];
    dcv_h5_info info;
    snprintf(image, sizeof image, "%s/image", group);
    snprintf(psf, sizeof psf, "%s/psf", group);
    DCV_TRY(dcv_h5_info_of(in->h5, image, &info));
    char *channels = dcv_h5_attribute(in->h5, image, "channels");
    view v = {.in = in, .group = group, .image = info.dims, .dimensions = centre_axes(in, psf)};
    v.channels = channels && !strcmp(channels, "3") ? 3 : 1;
    dcv_free(channels);
    const int axes = info.dims.n - (v.channels > 1), lead = axes - v.dimensions;
    if (v.dimensions < 1 || v.dimensions > 3 || lead < 0)
        return dcv_fail(DCV_EDATA, "%s: %s has %d axes; its PSF is of %d", in->file, image, info.dims.n, v.dimensions);
    v.objects = lead ? info.dims.d[0] : 1;
    v.w = info.dims.d[axes - 1];
    v.h = v.dimensions > 1 ? info.dims.d[axes - 2] : 1;
    v.depth = v.dimensions > 2 ? info.dims.d[axes - 3] : 1;
    for (int a = 1; a < lead; a++) /* further leading axes: the largest along them */
        v.depth *= info.dims.d[a];
    v.each = v.depth * v.h * v.w * v.channels;
    if (v.each < 1 || v.each > most_values || v.objects < 1)
        return dcv_fail(DCV_EDATA, "%s: %s cannot be drawn", in->file, image);
    return v.dimensions == 1 ? draw_traces(&v, image) : draw_objects(&v, image);
}

static dcv_status run_deblur(const dcv_report_in *in)
{
    return run(in, "/deblur");
}

static dcv_status run_blur(const dcv_report_in *in)
{
    return run(in, "/blur");
}

const dcv_reporter dcv_reporter_deblur = {"deblur", run_deblur};
const dcv_reporter dcv_reporter_blur = {"blur", run_blur};
