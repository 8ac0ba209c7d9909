/* select.c -- cells by their values: ONNX TopK (1: k is an attribute; 10, 11, 24), OneHot (9, 11), NonZero (9, 13),
 * whose input must be constant, since its output's shape follows from it.
 *
 * TopK: the k greatest (or least) cells along an axis and their numbers, in order; the first of equal ones is the
 * greater, NaN the greatest.  The signal goes to the cells that were picked.
 */
#include <math.h>
#include <string.h>
#include "engine/ops/util.h"

typedef struct top_attr {
    int64_t axis, largest, sorted, k;
    int at;
} top_attr;

static const dcv_field top_fields[] = {
    {"axis", DCV_FIELD_INT, DCV_AT(top_attr, axis), .dflt = "-1", .help = "axis to pick along"},
    {"largest", DCV_FIELD_INT, DCV_AT(top_attr, largest), .dflt = "1", .min = 0, .max = 1, .help = "or the least"},
    {"sorted", DCV_FIELD_INT, DCV_AT(top_attr, sorted), .dflt = "1", .min = 0, .max = 1,
     .help = "they are in any case"},
    {"k", DCV_FIELD_INT, DCV_AT(top_attr, k), .dflt = "-1", .min = -1, .max = 1e12, .help = "how many"},
    DCV_FIELDS_END};

/* ---- TopK ---- */

static dcv_status top_shape(const dcv_shape_io *io)
{
    top_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    double k = (double)a->k;
    DCV_TRY(dcv_op_axis(io, a->axis, x->n, &a->at));
    if (dcv_op_has(io, 1))
        DCV_TRY(dcv_op_number(io, 1, "K", &k));
    if (!(k >= 0 && k <= (double)x->d[a->at]))
        return dcv_op_fail(io, DCV_EDATA, "k is %g; axis %d has %lld cells", k, a->at, (long long)x->d[a->at]);
    if ((double)dcv_count(x) * k > DCV_MOST_WORK)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "the %g greatest of %lld cells are too much work", k,
                           (long long)x->d[a->at]);
    a->k = (int64_t)k;
    for (int j = 0; j < io->n_out; j++) {
        io->y[j].type = j ? DCV_I64 : io->x[0]->type;
        io->y[j].dims = *x;
        io->y[j].dims.d[a->at] = a->k;
    }
    return DCV_OK;
}

/* Floats, or integers of a constant. */
typedef struct numbers {
    const float *f;
    const int64_t *ints;
} numbers;

/* Does cell b come before cell a? */
static bool before(const numbers *x, int64_t b, int64_t a, bool largest)
{
    if (x->ints) {
        const int64_t v = x->ints[b], w = x->ints[a];
        return v == w ? b < a : largest ? v > w : v < w;
    }
    const float v = x->f[b], w = x->f[a];
    if (isnan(v) || isnan(w) || v == w)
        return isnan(v) == isnan(w) ? b < a : isnan(v) == largest;
    return largest ? v > w : v < w;
}

/* The cell that comes next after cell last (-1: the first of all) of n cells, step apart from cell from on; a cell by
 * its place in memory. */
static int64_t next(const numbers *x, int64_t from, int64_t n, int64_t step, int64_t last, bool largest)
{
    int64_t best = -1;
    for (int64_t i = from; i < from + n * step; i += step) {
        if (last >= 0 && (i == last || !before(x, last, i, largest)))
            continue;
        if (best < 0 || before(x, i, best, largest))
            best = i;
    }
    return best;
}

/* Do something with cell from of x, number cell along the axis, which is element to of the result. */
typedef void (*take_fn)(const numbers *x, int64_t from, int64_t cell, int64_t to, void *const y[2]);

/* Each run of cells along the axis, k of them in order. */
static void top(const top_attr *a, const dcv_dims *d, numbers x, void *const y[2], take_fn take)
{
    int64_t outer = 1, inner = 1;
    const int64_t n = d->d[a->at];
    for (int i = 0; i < d->n; i++)
        if (i != a->at)
            *(i < a->at ? &outer : &inner) *= d->d[i];
    for (int64_t r = 0; r < outer * inner; r++) {
        const int64_t from = r / inner * n * inner + r % inner, to = r / inner * a->k * inner + r % inner;
        for (int64_t i = 0, last = -1; i < a->k; i++) {
            last = next(&x, from, n, inner, last, a->largest != 0);
            take(&x, last, (last - from) / inner, to + i * inner, y);
        }
    }
}

static void take_floats(const numbers *x, int64_t from, int64_t cell, int64_t to, void *const y[2])
{
    if (y[0])
        ((float *)y[0])[to] = x->f[from];
    if (y[1])
        ((float *)y[1])[to] = (float)cell;
}

static void take_constants(const numbers *x, int64_t from, int64_t cell, int64_t to, void *const y[2])
{
    if (y[0] && x->f)
        ((float *)y[0])[to] = x->f[from];
    else if (y[0])
        ((int64_t *)y[0])[to] = x->ints[from];
    if (y[1])
        ((int64_t *)y[1])[to] = cell;
}

/* y: the signal that comes, the one that goes on. */
static void give_back(const numbers *x, int64_t from, int64_t cell, int64_t to, void *const y[2])
{
    (void)x, (void)cell;
    ((float *)y[1])[from] += ((const float *)y[0])[to];
}

static dcv_status top_fold(const dcv_fold_io *io)
{
    const bool floats = io->x[0]->type == DCV_F32;
    const numbers x = {floats ? io->x[0]->constant : NULL, floats ? NULL : io->x[0]->constant};
    void *const y[2] = {io->to[0], io->n_out > 1 ? io->to[1] : NULL};
    top(io->node->attr, &io->x[0]->dims, x, y, take_constants);
    return DCV_OK;
}

static void top_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    for (int p = 0; p < io->x[0].n; p++) {
        void *y[2] = {NULL, NULL};
        for (int j = 0; j < nd->n_out; j++)
            y[j] = io->y[j].data ? io->y[j].data + p * io->y[j].n_stride : NULL;
        top(nd->attr, io->x[0].dims, (numbers){io->x[0].data + p * io->x[0].n_stride, NULL}, y, take_floats);
    }
}

static void top_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    memset(io->gx[0].data, 0, (size_t)dcv_count(io->gx[0].dims) * sizeof(float));
    void *const y[2] = {io->gy[0].data, io->gx[0].data};
    if (io->gy[0].data)
        top(nd->attr, io->gx[0].dims, (numbers){io->x[0].data, NULL}, y, give_back);
}

static int top_carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)j;
    return k || axis == ((const top_attr *)nd->attr)->at ? DCV_AXIS_MIXED : axis;
}

static dcv_cells top_reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)nd, (void)k, (void)axis, (void)j;
    return (dcv_cells){o, o + 1, 1};
}

/* ---- OneHot ---- */

typedef struct hot_attr {
    int64_t axis, depth;
    int at;
} hot_attr;

static const dcv_field hot_fields[] = {
    {"axis", DCV_FIELD_INT, DCV_AT(hot_attr, axis), .dflt = "-1", .help = "where the new axis stands"}, DCV_FIELDS_END};

static dcv_status hot_shape(const dcv_shape_io *io)
{
    hot_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    double depth = 0;
    DCV_TRY(dcv_op_number(io, 1, "depth", &depth));
    if (!(depth >= 1 && depth <= 0x1p31))
        return dcv_op_fail(io, DCV_EDATA, "depth %g; expected 1 to 2^31", depth);
    if (x->n == DCV_MAX_RANK)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%d axes; at most %d are supported", x->n + 1, DCV_MAX_RANK);
    if (!io->x[2]->constant)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "values (\"%s\") must be constant", io->x[2]->name);
    if (dcv_count(&io->x[2]->dims) != 2)
        return dcv_op_fail(io, DCV_EDATA, "values (\"%s\") must be two numbers", io->x[2]->name);
    DCV_TRY(dcv_op_axis(io, a->axis, x->n + 1, &a->at));
    a->depth = (int64_t)depth;
    dcv_dims *y = &io->y[0].dims;
    y->n = x->n + 1;
    for (int i = 0, from = 0; i < y->n; i++)
        y->d[i] = i == a->at ? a->depth : x->d[from++];
    io->y[0].type = io->x[2]->type;
    return DCV_OK;
}

/* Which of cells 0 .. depth-1 index number i means; -1: none. */
static int64_t hot_cell(const hot_attr *a, const float *f, const int64_t *ints, int64_t i)
{
    const double v = f ? trunc((double)f[i]) : (double)ints[i], at = v < 0 ? v + (double)a->depth : v;
    return at >= 0 && at < (double)a->depth ? (int64_t)at : -1;
}

static int64_t hot_inner(const hot_attr *a, const dcv_dims *y)
{
    int64_t inner = 1;
    for (int i = a->at + 1; i < y->n; i++)
        inner *= y->d[i];
    return inner;
}

static dcv_status hot_fold(const dcv_fold_io *io)
{
    const hot_attr *a = io->node->attr;
    const int64_t inner = hot_inner(a, &io->y[0].dims), n = dcv_count(&io->y[0].dims);
    const size_t elem = dcv_dtype_bytes(io->y[0].type);
    const float *f = io->x[0]->type == DCV_F32 ? io->x[0]->constant : NULL;
    for (int64_t e = 0; e < n; e++) {
        const int64_t i = e / (inner * a->depth) * inner + e % inner;
        const bool on = hot_cell(a, f, f ? NULL : io->x[0]->constant, i) == e / inner % a->depth;
        memcpy((char *)io->to[0] + (size_t)e * elem, (const char *)io->x[2]->constant + on * elem, elem);
    }
    return DCV_OK;
}

static void hot_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const hot_attr *a = nd->attr;
    const int64_t inner = hot_inner(a, io->y[0].dims), n = dcv_count(io->y[0].dims);
    for (int p = 0; p < io->y[0].n; p++) {
        const float *x = io->x[0].data + p * io->x[0].n_stride;
        float *y = io->y[0].data + p * io->y[0].n_stride;
        for (int64_t e = 0; e < n; e++) {
            const int64_t i = e / (inner * a->depth) * inner + e % inner;
            y[e] = io->x[2].data[hot_cell(a, x, NULL, i) == e / inner % a->depth];
        }
    }
}

/* ---- NonZero ---- */

static bool is_nonzero(const dcv_value *x, int64_t i)
{
    return x->type == DCV_F32 ? ((const float *)x->constant)[i] != 0 : ((const int64_t *)x->constant)[i] != 0;
}

static dcv_status nonzero_shape(const dcv_shape_io *io)
{
    const dcv_value *x = io->x[0];
    int64_t n = 0;
    if (!x->constant)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "input \"%s\" must be constant", x->name);
    for (int64_t i = 0; i < dcv_count(&x->dims); i++)
        n += is_nonzero(x, i);
    io->y[0].type = DCV_I64;
    io->y[0].dims = (dcv_dims){2, {x->dims.n, n}};
    return DCV_OK;
}

static dcv_status nonzero_fold(const dcv_fold_io *io)
{
    const dcv_value *x = io->x[0];
    const int64_t n = io->y[0].dims.d[1];
    int64_t *to = io->to[0];
    for (int64_t i = 0, at = 0; i < dcv_count(&x->dims); i++) {
        if (!is_nonzero(x, i))
            continue;
        int64_t rest = i;
        for (int k = x->dims.n - 1; k >= 0; k--) {
            to[k * n + at] = rest % x->dims.d[k];
            rest /= x->dims.d[k];
        }
        at++;
    }
    return DCV_OK;
}

const dcv_op dcv_op_topk = {.name = "TopK",
                            .min_in = 1,
                            .max_in = 2,
                            .max_out = 2,
                            .attr_size = sizeof(top_attr),
                            .fields = top_fields,
                            .layout = DCV_LAYOUT_PLAIN,
                            .shape = top_shape,
                            .fold = top_fold,
                            .carries = top_carries,
                            .reads = top_reads,
                            .forward = top_forward,
                            .back_reads = DCV_BACK_X,
                            .backward = top_backward};
const dcv_op dcv_op_onehot = {.name = "OneHot",
                              .min_in = 3,
                              .max_in = 3,
                              .max_out = 1,
                              .attr_size = sizeof(hot_attr),
                              .fields = hot_fields,
                              .layout = DCV_LAYOUT_PLAIN,
                              .shape = hot_shape,
                              .fold = hot_fold,
                              .carries = dcv_carries_none,
                              .forward = hot_forward};
const dcv_op dcv_op_nonzero = {.name = "NonZero",
                               .min_in = 1,
                               .max_in = 1,
                               .max_out = 1,
                               .layout = DCV_LAYOUT_PLAIN,
                               .shape = nonzero_shape,
                               .fold = nonzero_fold};
