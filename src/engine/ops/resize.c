/* resize.c -- ONNX Resize (10, 11, 13, 18, 19) and Upsample (7, 9): cells of other sizes along some axes.
 *
 * Axes are independent: output cell o of an axis reads a few cells with weights that add up to 1, and a cell of the
 * output has the product of its axes' weights.  So a table of taps for each axis that changes, made with the graph,
 * says it all: values, the adjoint (the same weights, the other way), and which cells are read.  Cells beyond the edge
 * are the edge's, but where exclude_outside leaves them out; tf_crop_and_resize has a value of its own there.
 *
 * Where scales are ratios of small numbers the table repeats itself: `period` cells of the output further on it reads
 * the same cells, `stride` cells further on.  So a part of the output that begins at a multiple of the period can be
 * computed from a part of the input, beyond whose edges the nearest cell stands.
 */
#include <math.h>
#include <string.h>
#include "engine/ops/util.h"

enum { MAX_EXTENT = 1 << 24 };

typedef enum coordinates {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_HALF_PIXEL_FOR_NN,
    TF_CROP_AND_RESIZE
} coordinates;
typedef enum mode { NEAREST, LINEAR, CUBIC } mode;
typedef enum rounding { PREFER_FLOOR, PREFER_CEIL, FLOOR, CEIL } rounding;
typedef enum policy { STRETCH, NOT_LARGER, NOT_SMALLER } policy;

#define OUTSIDE INT64_MIN

/* Taps of one axis; n 0: the axis stays as it is. */
typedef struct table {
    int64_t in, out;
    int n;
    const int64_t *first;   /* [out] the first of n cells, which may lie beyond the edges; OUTSIDE: the value is the
                               extrapolation */
    const float *weight;    /* [out][n] */
    int64_t period, stride; /* 0: it does not repeat itself */
    bool cropped;           /* of a part: cell 0 of the input that is given is cell lo of the table */
    int64_t lo;
} table;

typedef struct resize_attr {
    int64_t antialias, exclude_outside;
    dcv_ints axes;
    dcv_reals scales;
    int coordinates, mode, rounding, policy;
    double cubic, extrapolation;
    table axis[DCV_MAX_RANK];
} resize_attr;

static const dcv_field resize_fields[] = {
    {"antialias", DCV_FIELD_INT, DCV_AT(resize_attr, antialias), .dflt = "0", .min = 0, .max = 1,
     .help = "wider filter where the output is smaller"},
    {"axes", DCV_FIELD_INTS, DCV_AT(resize_attr, axes), .help = "axes that scales, sizes and roi are of"},
    {"coordinate_transformation_mode", DCV_FIELD_WORD, DCV_AT(resize_attr, coordinates), .dflt = "half_pixel",
     .words = "half_pixel|half_pixel_symmetric|pytorch_half_pixel|align_corners|asymmetric|tf_half_pixel_for_nn|"
              "tf_crop_and_resize",
     .help = "where an output cell lies in the input"},
    {"cubic_coeff_a", DCV_FIELD_REAL, DCV_AT(resize_attr, cubic), .dflt = "-0.75", .help = "of the cubic filter"},
    {"exclude_outside", DCV_FIELD_INT, DCV_AT(resize_attr, exclude_outside), .dflt = "0", .min = 0, .max = 1,
     .help = "cells beyond the edge do not count"},
    {"extrapolation_value", DCV_FIELD_REAL, DCV_AT(resize_attr, extrapolation), .dflt = "0",
     .help = "outside, for tf_crop_and_resize"},
    {"keep_aspect_ratio_policy", DCV_FIELD_WORD, DCV_AT(resize_attr, policy), .dflt = "stretch",
     .words = "stretch|not_larger|not_smaller", .help = "what sizes mean"},
    {"mode", DCV_FIELD_WORD, DCV_AT(resize_attr, mode), .dflt = "nearest", .words = "nearest|linear|cubic",
     .help = "filter"},
    {"nearest_mode", DCV_FIELD_WORD, DCV_AT(resize_attr, rounding), .dflt = "round_prefer_floor",
     .words = "round_prefer_floor|round_prefer_ceil|floor|ceil", .help = "which cell is nearest"},
    DCV_FIELDS_END};

static const dcv_field upsample_fields[] = {
    {"mode", DCV_FIELD_WORD, DCV_AT(resize_attr, mode), .dflt = "nearest", .words = "nearest|linear", .help = "filter"},
    {"scales", DCV_FIELD_REALS, DCV_AT(resize_attr, scales), .help = "per axis"},
    DCV_FIELDS_END};

/* ---- taps ---- */

/* One axis: what is asked for. */
typedef struct request {
    double scale;
    double roi[2];
    int64_t out;
    bool single; /* positions are float32, as the scale is */
} request;

static double rounded(const request *r, double v)
{
    return r->single ? (double)(float)v : v;
}

/* Where output cell o lies, in cells of the input. */
static double position(const resize_attr *a, const request *r, int64_t in, int64_t o)
{
    const double length = rounded(r, r->scale * (double)in), x = (double)o, last = (double)(in - 1);
    const double middle = rounded(r, (x + 0.5) / r->scale), half_pixel = rounded(r, middle - 0.5);
    switch ((coordinates)a->coordinates) {
    case ALIGN_CORNERS:
        return length == 1 ? 0 : rounded(r, x * last / (length - 1));
    case ASYMMETRIC:
        return rounded(r, x / r->scale);
    case PYTORCH_HALF_PIXEL:
        return r->out == 1 ? 0 : half_pixel;
    case HALF_PIXEL_SYMMETRIC:
        return rounded(r, (double)in / 2 * (1 - (double)r->out / length) + half_pixel);
    case TF_HALF_PIXEL_FOR_NN:
        return middle;
    case TF_CROP_AND_RESIZE:
        return r->roi[0] * last + (r->roi[1] - r->roi[0]) * last * (length == 1 ? 0.5 : x / (length - 1));
    case HALF_PIXEL:
        break;
    }
    return half_pixel;
}

static double cubic_at(double a, double x)
{
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* The filter of a mode at a distance, in cells of the coarser side. */
static double filter_at(const resize_attr *a, double x)
{
    return a->mode == CUBIC ? cubic_at(a->cubic, x) : fabs(x) < 1 ? 1 - fabs(x) : 0;
}

/* Scale of the filter: narrower than 1 where an output smaller than the input is smoothed. */
static double filter_scale(const resize_attr *a, const request *r)
{
    return a->antialias && a->mode != NEAREST && r->scale < 1 ? r->scale : 1;
}

/* Taps reach from -n/2 + 1 to n/2 around the cell before. */
static int taps_of(const resize_attr *a, const request *r)
{
    if (a->mode == NEAREST)
        return 1;
    return 2 - 2 * (int)(floor((a->mode == CUBIC ? -2 : -1) / filter_scale(a, r)) + 1);
}

static double nearest(const resize_attr *a, double x)
{
    switch ((rounding)a->rounding) {
    case PREFER_FLOOR:
        return ceil(x - 0.5);
    case PREFER_CEIL:
        return floor(x + 0.5);
    case FLOOR:
        return floor(x);
    case CEIL:
        break;
    }
    return ceil(x);
}

/* First cell and weights of output cell o; weight: room for n numbers. */
static int64_t tap(const resize_attr *a, const request *r, int64_t in, int64_t o, int n, double *weight, float *to)
{
    const double x = position(a, r, in, o), floored = floor(x), scale = filter_scale(a, r);
    double sum = 0;
    if (a->coordinates == TF_CROP_AND_RESIZE && !(x >= 0 && x <= (double)(in - 1)))
        return OUTSIDE;
    if (a->mode == NEAREST) {
        to[0] = 1;
        return (int64_t)nearest(a, x);
    }
    for (int i = 0; i < n; i++) {
        const double cell = floored - n / 2 + 1 + i;
        const bool outside = cell < 0 || cell > (double)(in - 1);
        weight[i] = a->exclude_outside && outside ? 0 : filter_at(a, (cell - x) * scale);
        sum += weight[i];
    }
    for (int i = 0; i < n; i++)
        to[i] = (float)(weight[i] / (sum != 0 ? sum : 1));
    return (int64_t)floored - n / 2 + 1;
}

static bool repeats(const table *t, int64_t period, int64_t stride)
{
    for (int64_t o = 0; o < t->out; o++)
        if (t->first[o] == OUTSIDE)
            return false;
    for (int64_t o = period; o < t->out; o++) {
        if (t->first[o] != t->first[o - period] + stride)
            return false;
        for (int i = 0; i < t->n; i++)
            if (!(fabsf(t->weight[o * t->n + i] - t->weight[(o - period) * t->n + i]) <= 1e-6F))
                return false;
    }
    return true;
}

static void find_period(table *t)
{
    enum { LONGEST = 16 };
    int64_t a = t->out, b = t->in;
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    if (t->out / a <= LONGEST && repeats(t, t->out / a, t->in / a)) {
        t->period = t->out / a;
        t->stride = t->in / a;
    }
}

static dcv_status make_table(const dcv_shape_io *io, const request *r, table *t)
{
    const resize_attr *a = io->node->attr;
    t->n = taps_of(a, r);
    int64_t *first = dcv_arena_alloc(io->arena, (size_t)t->out, sizeof *first);
    float *weight = dcv_arena_alloc(io->arena, (size_t)(t->out * t->n), sizeof *weight);
    double *spare = dcv_alloc((size_t)t->n, sizeof *spare);
    const bool ok = first && weight && spare;
    for (int64_t o = 0; ok && o < t->out; o++)
        first[o] = tap(a, r, t->in, o, t->n, spare, weight + o * t->n);
    t->first = first;
    t->weight = weight;
    if (ok)
        find_period(t);
    dcv_free(spare);
    return ok ? DCV_OK : DCV_ENOMEM;
}

/* ---- shape ---- */

static dcv_status too_many(const dcv_shape_io *io, const char *what, int64_t n, int want)
{
    return dcv_op_fail(io, DCV_EDATA, "%lld %s; expected %d", (long long)n, what, want);
}

/* Numbers from a constant float input. */
static dcv_status reals(const dcv_shape_io *io, int k, const char *what, const float **v, int64_t *n)
{
    const dcv_value *x = io->x[k];
    if (!x->constant)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%s (\"%s\") must be constant", what, x->name);
    if (x->type != DCV_F32 || x->dims.n > 1)
        return dcv_op_fail(io, DCV_EDATA, "%s (\"%s\") must be a list of numbers", what, x->name);
    *v = x->constant;
    *n = dcv_count(&x->dims);
    return DCV_OK;
}

static bool given(const dcv_shape_io *io, int k)
{
    return dcv_op_has(io, k) && dcv_count(&io->x[k]->dims) > 0;
}

/* By scales: n of them, of the axes of at.  They are float32, and so are the positions that choose nearest cells: a
 * third of 30 cells takes cell 9 at 3, where 3 over the float32 nearest to 1/3 is less than 9 in double. */
static dcv_status by_scales(const dcv_shape_io *io, const float *scale, const int *at, int n, request *r)
{
    const resize_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    for (int i = 0; i < n; i++) {
        if (!(scale[i] > 0) || isinf(scale[i]))
            return dcv_op_fail(io, DCV_EDATA, "scale %g along axis %d; expected a positive number", (double)scale[i],
                               at[i]);
        const double out = floorf(scale[i] * (float)x->d[at[i]]); /* in float: 1.8 * 5 is 9 */
        if (out > MAX_EXTENT)
            return dcv_op_fail(io, DCV_EDATA, "scale %g of extent %lld; at most %d cells are supported",
                               (double)scale[i], (long long)x->d[at[i]], (int)MAX_EXTENT);
        r[at[i]].scale = scale[i];
        r[at[i]].single = a->mode == NEAREST;
        r[at[i]].out = (int64_t)out;
    }
    return DCV_OK;
}

static dcv_status by_sizes(const dcv_shape_io *io, const int64_t *size, const int *at, int n, request *r)
{
    const resize_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    double scale = a->policy == NOT_LARGER ? INFINITY : 0;
    for (int i = 0; i < n; i++) {
        if (size[i] < 1 || size[i] > MAX_EXTENT || x->d[at[i]] < 1)
            return dcv_op_fail(io, DCV_EDATA, "size %lld along axis %d of extent %lld; expected 1 to %d",
                               (long long)size[i], at[i], (long long)x->d[at[i]], (int)MAX_EXTENT);
        r[at[i]].out = size[i];
        r[at[i]].scale = (double)size[i] / (double)x->d[at[i]];
        if (a->policy == NOT_LARGER ? r[at[i]].scale < scale : r[at[i]].scale > scale)
            scale = r[at[i]].scale;
    }
    for (int i = 0; a->policy != STRETCH && i < n; i++) {
        const double out = floor(scale * (double)x->d[at[i]] + 0.5);
        if (out > MAX_EXTENT)
            return dcv_op_fail(io, DCV_EDATA, "size %g along axis %d; at most %d cells are supported", out, at[i],
                               (int)MAX_EXTENT);
        r[at[i]].scale = scale;
        r[at[i]].out = (int64_t)out;
    }
    return DCV_OK;
}

/* Do scale and roi leave an axis as it is? */
static bool stays(const resize_attr *a, const request *r, int64_t in)
{
    const bool whole = a->coordinates != TF_CROP_AND_RESIZE || (r->roi[0] == 0 && r->roi[1] == 1);
    return r->out == in && fabs(r->scale - 1) <= 1e-9 && whole && a->coordinates != TF_HALF_PIXEL_FOR_NN;
}

static dcv_status make_tables(const dcv_shape_io *io, const request *r)
{
    resize_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    dcv_dims *y = &io->y[0].dims;
    dcv_dims_text t;
    y->n = x->n;
    for (int i = 0; i < x->n; i++)
        y->d[i] = r[i].out;
    DCV_TRY(dcv_dims_check(y));
    for (int i = 0; i < x->n; i++) {
        a->axis[i] = (table){.in = x->d[i], .out = r[i].out};
        if (stays(a, &r[i], x->d[i]) || !r[i].out)
            continue;
        if (!x->d[i])
            return dcv_op_fail(io, DCV_EDATA, "%s has no cells along axis %d", dcv_dims_print(x, t), i);
        DCV_TRY(make_table(io, &r[i], &a->axis[i]));
    }
    io->y[0].type = io->x[0]->type;
    return DCV_OK;
}

/* Which axes scales, sizes and roi are of. */
static dcv_status axes_of(const dcv_shape_io *io, int at[DCV_MAX_RANK], int *n)
{
    const resize_attr *a = io->node->attr;
    const int rank = io->x[0]->dims.n;
    unsigned mask;
    DCV_TRY(dcv_op_axes(io, a->axes.v, a->axes.n, rank, &mask));
    *n = a->axes.n ? a->axes.n : rank;
    for (int i = 0; i < *n; i++)
        at[i] = a->axes.n ? (int)(a->axes.v[i] < 0 ? a->axes.v[i] + rank : a->axes.v[i]) : i;
    return DCV_OK;
}

static dcv_status read_roi(const dcv_shape_io *io, const int *at, int n, request *r)
{
    const float *roi = NULL;
    int64_t count = 0;
    if (!given(io, 1))
        return dcv_op_fail(io, DCV_EDATA, "roi is missing; tf_crop_and_resize needs it");
    DCV_TRY(reals(io, 1, "roi", &roi, &count));
    if (count != 2 * n)
        return too_many(io, "numbers in roi", count, 2 * n);
    for (int i = 0; i < n; i++) {
        r[at[i]].roi[0] = (double)roi[i];
        r[at[i]].roi[1] = (double)roi[n + i];
        if (!isfinite(roi[i]) || !isfinite(roi[n + i]))
            return dcv_op_fail(io, DCV_EDATA, "roi of axis %d is not finite", at[i]);
    }
    return DCV_OK;
}

static dcv_status resize_shape(const dcv_shape_io *io)
{
    resize_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    const bool old = io->node->opset < 11; /* X, scales */
    const int k_scales = old ? 1 : 2;
    request r[DCV_MAX_RANK];
    int at[DCV_MAX_RANK], n_axes;
    const float *scale = NULL;
    const int64_t *size;
    int64_t n = 0;
    if (old) {
        a->coordinates = ASYMMETRIC;
        a->rounding = FLOOR;
    }
    for (int i = 0; i < x->n; i++)
        r[i] = (request){.scale = 1, .roi = {0, 1}, .out = x->d[i]};
    DCV_TRY(axes_of(io, at, &n_axes));
    if (a->coordinates == TF_CROP_AND_RESIZE)
        DCV_TRY(read_roi(io, at, n_axes, r));
    if (!old && given(io, 3)) {
        DCV_TRY(dcv_op_ints(io, 3, "sizes", &size, &n));
        if (n != n_axes)
            return too_many(io, "sizes", n, n_axes);
        DCV_TRY(by_sizes(io, size, at, n_axes, r));
    } else if (given(io, k_scales)) {
        DCV_TRY(reals(io, k_scales, "scales", &scale, &n));
        if (n != n_axes)
            return too_many(io, "scales", n, n_axes);
        DCV_TRY(by_scales(io, scale, at, n_axes, r));
    } else {
        return dcv_op_fail(io, DCV_EDATA, "neither scales nor sizes are there; expected one of them");
    }
    return make_tables(io, r);
}

static dcv_status upsample_shape(const dcv_shape_io *io)
{
    resize_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    request r[DCV_MAX_RANK];
    int at[DCV_MAX_RANK];
    float own[DCV_MAX_RANK];
    const float *scale = own;
    int64_t n = a->scales.n;
    a->coordinates = ASYMMETRIC;
    a->rounding = FLOOR;
    if (dcv_op_has(io, 1))
        DCV_TRY(reals(io, 1, "scales", &scale, &n));
    if (n != x->n)
        return too_many(io, "scales", n, x->n);
    for (int i = 0; i < x->n; i++) {
        if (!dcv_op_has(io, 1))
            own[i] = (float)a->scales.v[i];
        r[i] = (request){.scale = 1, .roi = {0, 1}, .out = x->d[i]};
        at[i] = i;
    }
    DCV_TRY(by_scales(io, scale, at, x->n, r));
    return make_tables(io, r);
}

/* ---- geometry ---- */

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)j;
    return k ? DCV_AXIS_MIXED : axis;
}

/* Cells of a table with a weight, beyond the edges too; none: outside. */
static dcv_cells hull(const table *t, int64_t o)
{
    dcv_cells c = {0, 0, 1};
    bool any = false;
    for (int i = 0; t->first[o] != OUTSIDE && i < t->n; i++)
        if (t->weight[o * t->n + i] != 0) {
            c.lo = any ? c.lo : t->first[o] + i;
            c.hi = t->first[o] + i + 1;
            any = true;
        }
    return c;
}

static int64_t inside(const table *t, int64_t at)
{
    return at < 0 ? 0 : at >= t->in ? t->in - 1 : at;
}

/* Where the table repeats itself the cells beyond the edges are named as well, so that all parts read alike. */
static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)k, (void)j;
    const table *t = &((const resize_attr *)nd->attr)->axis[axis];
    if (!t->n)
        return (dcv_cells){o, o + 1, 1};
    const dcv_cells c = hull(t, o);
    if (c.hi <= c.lo || (t->period && c.lo < t->in && c.hi > 0))
        return c;
    return (dcv_cells){inside(t, c.lo), inside(t, c.hi - 1) + 1, 1};
}

/* In space, by tables that repeat themselves. */
static bool crop(const dcv_graph *g, dcv_node *nd, float *border)
{
    resize_attr *a = nd->attr;
    const dcv_dims *x = &g->value[nd->in[0]].dims;
    if (x->n != 4 || a->axis[0].n || a->axis[1].n || a->exclude_outside)
        return false;
    for (int i = 2; i < x->n; i++) {
        table *t = &a->axis[i];
        if (t->n && !t->period)
            return false;
        t->cropped = t->n > 0;
        t->lo = t->n ? hull(t, 0).lo : 0;
        for (int64_t o = 1; t->n && o < t->period; o++) {
            const int64_t lo = hull(t, o).lo;
            t->lo = lo < t->lo ? lo : t->lo;
        }
    }
    *border = NAN;
    return true;
}

static int64_t phase(const dcv_graph *g, const dcv_node *nd, int axis)
{
    (void)g;
    const table *t = &((const resize_attr *)nd->attr)->axis[axis];
    return t->period ? t->period : 1;
}

static int64_t macs(const dcv_graph *g, const dcv_node *nd)
{
    const resize_attr *a = nd->attr;
    int64_t n = dcv_count(&g->value[nd->out[0]].dims);
    if (a->mode == NEAREST)
        return 0;
    for (int i = 0; i < g->value[nd->out[0]].dims.n; i++)
        n *= a->axis[i].n ? a->axis[i].n : 1;
    return n;
}

/* ---- walks ---- */

/* Axes of space, padded at the front to three; of one picture, and channels apart. */
typedef struct nest {
    table axis[3];
    float extrapolation;
} nest;

/* Can the nest do it: up to three axes of space change, and nothing else? */
static bool nest_of(const resize_attr *a, const dcv_dims *d, const dcv_dims *y, nest *n)
{
    *n = (nest){.extrapolation = (float)a->extrapolation};
    for (int i = 0; i < 3; i++)
        n->axis[i] = (table){.in = 1, .out = 1};
    if (d->n < 3 || d->n > 5 || a->axis[0].n || a->axis[1].n)
        return false;
    for (int i = 2; i < d->n; i++) {
        table *t = &n->axis[i + 3 - d->n];
        *t = a->axis[i];
        t->in = d->d[i];
        t->out = y->d[i];
    }
    return true;
}

/* Tap i of cell o; false: outside. */
DCV_INLINE bool tap_at(const table *t, int64_t o, int i, int64_t *at, float *weight)
{
    *at = o;
    *weight = 1;
    if (!t->n)
        return true;
    const int64_t row = t->cropped ? o % t->period : o, shift = t->cropped ? o / t->period * t->stride - t->lo : 0;
    if (t->first[row] == OUTSIDE)
        return false;
    const int64_t cell = t->first[row] + shift + i;
    *weight = t->weight[row * t->n + i];
    *at = cell < 0 ? 0 : cell >= t->in ? t->in - 1 : cell;
    return true;
}

DCV_INLINE int taps_at(const table *t)
{
    return t->n ? t->n : 1;
}

/* A row of the output: its cells added up from a row of the input, or that row's signal given back. */
DCV_INLINE void run_row(const table *t, bool back, float w, int lanes, float *x, float *y)
{
    const int n = taps_at(t);
    for (int64_t o = 0; o < t->out; o++)
        for (int i = 0; i < n; i++) {
            int64_t at;
            float v;
            if (!tap_at(t, o, i, &at, &v) || v == 0) /* 0 times infinity is no number */
                continue;
            v *= w;
            for (int l = 0; l < lanes; l++)
                if (back)
                    x[at * lanes + l] += v * y[o * lanes + l];
                else
                    y[o * lanes + l] += v * x[at * lanes + l];
        }
}

DCV_CLONES static void run_row_any(const table *t, bool back, float w, int lanes, float *x, float *y)
{
    if (lanes == 16)
        back ? run_row(t, true, w, 16, x, y) : run_row(t, false, w, 16, x, y);
    else if (lanes == 8)
        back ? run_row(t, true, w, 8, x, y) : run_row(t, false, w, 8, x, y);
    else
        back ? run_row(t, true, w, 1, x, y) : run_row(t, false, w, 1, x, y);
}

static void fill(float *y, int64_t n, float v)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = v;
}

/* Cells outside along the last axis. */
static void extrapolate_row(const nest *n, int lanes, float *y)
{
    const table *t = &n->axis[2];
    for (int64_t o = 0; t->n && o < t->out; o++)
        if (t->first[o] == OUTSIDE)
            fill(y + o * lanes, lanes, n->extrapolation);
}

/* One plane of lanes: forward, y from x; back, x (0 before) from y. */
static void run_plane(const nest *n, bool back, int lanes, float *x, float *y)
{
    const table *tz = &n->axis[0], *tr = &n->axis[1], *tc = &n->axis[2];
    for (int64_t o = 0; o < tz->out * tr->out; o++, y += tc->out * lanes) {
        const int64_t z = o / tr->out, r = o % tr->out;
        bool inside = true;
        if (!back)
            memset(y, 0, (size_t)(tc->out * lanes) * sizeof *y);
        for (int i = 0; i < taps_at(tz); i++)
            for (int k = 0; k < taps_at(tr); k++) {
                int64_t at_z, at_r;
                float wz, wr;
                inside = tap_at(tz, z, i, &at_z, &wz) && inside;
                inside = tap_at(tr, r, k, &at_r, &wr) && inside;
                if (inside && wz * wr != 0)
                    run_row_any(tc, back, wz * wr, lanes, x + (at_z * tr->in + at_r) * tc->in * lanes, y);
            }
        if (!back && inside)
            extrapolate_row(n, lanes, y);
        else if (!back)
            fill(y, tc->out * lanes, n->extrapolation);
    }
}

/* Any axes: where a coordinate of an axis leads in a layout. */
typedef struct layout {
    int64_t stride[DCV_MAX_RANK], block, block_step;
} layout;

static layout layout_of(const dcv_dims *d, int block)
{
    layout l = {.block = d->n >= 3 ? block : 1};
    int64_t s = l.block;
    for (int i = d->n - 1; i >= 0; i--) {
        l.stride[i] = s;
        if (i == 1 && l.block > 1) {
            l.block_step = s;
            s *= (d->d[1] + l.block - 1) / l.block;
        } else {
            s *= d->d[i];
        }
    }
    return l;
}

static int64_t step(const layout *l, int axis, int64_t i)
{
    return axis == 1 && l->block > 1 ? i / l->block * l->block_step + i % l->block : i * l->stride[axis];
}

/* Add up what output cell o reads from axis on, or give *signal back; outside: *outside becomes true. */
static float run_cell(const resize_attr *a, const layout *l, const dcv_dims *d, int axis, const int64_t *o, float w,
                      float *x, const float *signal, bool *outside)
{
    float sum = 0;
    if (axis == d->n) {
        if (!signal)
            return w * *x;
        *x += w * *signal;
        return 0;
    }
    const table *t = &a->axis[axis];
    for (int i = 0; i < taps_at(t); i++) {
        int64_t at;
        float v;
        if (!tap_at(t, o[axis], i, &at, &v))
            *outside = true;
        else if (v != 0)
            sum += run_cell(a, l, d, axis + 1, o, w * v, x + step(l, axis, at), signal, outside);
    }
    return sum;
}

static void run_cells(const resize_attr *a, bool back, const dcv_dims *dx, const dcv_dims *dy, int block, float *x,
                      float *y)
{
    const layout lx = layout_of(dx, block), ly = layout_of(dy, block);
    const int64_t n = dcv_count(dy);
    int64_t o[DCV_MAX_RANK] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t at = 0;
        bool outside = false;
        for (int k = 0; k < dy->n; k++)
            at += step(&ly, k, o[k]);
        const float v = run_cell(a, &lx, dx, 0, o, 1, x, back ? y + at : NULL, &outside);
        if (!back)
            y[at] = outside ? (float)a->extrapolation : v;
        for (int k = dy->n - 1; k >= 0 && ++o[k] == dy->d[k]; k--)
            o[k] = 0;
    }
}

static void run(const dcv_node *nd, bool back, const dcv_blob *x, const dcv_blob *y)
{
    const resize_attr *a = nd->attr;
    const dcv_blob_shape sx = dcv_blob_shape_of(x->dims, x->block), sy = dcv_blob_shape_of(y->dims, y->block);
    nest n;
    if (!nest_of(a, x->dims, y->dims, &n)) {
        for (int p = 0; p < y->n; p++)
            run_cells(a, back, x->dims, y->dims, y->block, x->data + p * x->n_stride, y->data + p * y->n_stride);
        return;
    }
    for (int64_t q = 0; q < dcv_blob_outer(y); q++)
        for (int64_t b = 0; b < sy.blocks; b++)
            run_plane(&n, back, y->block, dcv_blob_slice(x, q) + b * sx.cells * x->block,
                      dcv_blob_slice(y, q) + b * sy.cells * y->block);
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    run(nd, false, &io->x[0], &io->y[0]);
    dcv_blob_clear_tail(&io->y[0]);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const dcv_blob_shape s = dcv_blob_shape_of(io->gx[0].dims, io->gx[0].block);
    memset(io->gx[0].data, 0, (size_t)s.floats * sizeof(float));
    run(nd, true, &io->gx[0], &io->gy[0]);
}

#define COMMON                                                                                                         \
    .min_in = 1, .max_out = 1, .attr_size = sizeof(resize_attr), .layout = DCV_LAYOUT_SAME, .carries = carries,        \
    .reads = reads, .crop = crop, .phase = phase, .macs = macs, .forward = forward, .back_layout = DCV_LAYOUT_SAME,    \
    .backward = backward

const dcv_op dcv_op_resize = {.name = "Resize", COMMON, .max_in = 4, .fields = resize_fields, .shape = resize_shape};
const dcv_op dcv_op_upsample = {
    .name = "Upsample", COMMON, .max_in = 2, .fields = upsample_fields, .shape = upsample_shape};
