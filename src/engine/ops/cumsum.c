/* cumsum.c -- ONNX CumSum (11, 14): running sums along a constant axis, in double; and Trilu (14): a triangle of each
 * matrix, the rest 0.
 *
 * CumSum: exclusive leaves out the cell itself; reverse runs from the end.  Its adjoint runs the other way.
 */
#include <string.h>
#include "engine/ops/util.h"

typedef struct sum_attr {
    int64_t exclusive, reverse;
    int at;
} sum_attr;

static const dcv_field sum_fields[] = {
    {"exclusive", DCV_FIELD_INT, DCV_AT(sum_attr, exclusive), .dflt = "0", .min = 0, .max = 1,
     .help = "without the cell itself"},
    {"reverse", DCV_FIELD_INT, DCV_AT(sum_attr, reverse), .dflt = "0", .min = 0, .max = 1, .help = "from the end"},
    DCV_FIELDS_END};

typedef struct trilu_attr {
    int64_t upper, k;
} trilu_attr;

static const dcv_field trilu_fields[] = {{"upper", DCV_FIELD_INT, DCV_AT(trilu_attr, upper), .dflt = "1", .min = 0,
                                          .max = 1, .help = "the triangle above the diagonal, not that below"},
                                         DCV_FIELDS_END};

/* ---- CumSum ---- */

static dcv_status sum_shape(const dcv_shape_io *io)
{
    sum_attr *a = io->node->attr;
    double axis = 0;
    DCV_TRY(dcv_op_number(io, 1, "axis", &axis));
    if (!(axis >= -DCV_MAX_RANK && axis <= DCV_MAX_RANK))
        return dcv_op_fail(io, DCV_EDATA, "axis %g", axis);
    DCV_TRY(dcv_op_axis(io, (int64_t)axis, io->x[0]->dims.n, &a->at));
    return dcv_shape_same(io);
}

/* Runs of cells along the axis. */
typedef struct runs {
    int64_t outer, n, inner;
    bool reverse, exclusive;
} runs;

static runs runs_of(const sum_attr *a, const dcv_dims *d)
{
    runs r = {1, 1, 1, a->reverse != 0, a->exclusive != 0};
    for (int i = 0; i < d->n; i++)
        *(i < a->at ? &r.outer : i == a->at ? &r.n : &r.inner) *= d->d[i];
    return r;
}

static void sum_floats(const runs *r, const float *x, float *y)
{
    for (int64_t k = 0; k < r->outer * r->inner; k++) {
        double sum = 0;
        for (int64_t i = 0; i < r->n; i++) {
            const int64_t cell = r->reverse ? r->n - 1 - i : i;
            const int64_t at = (k / r->inner * r->n + cell) * r->inner + k % r->inner;
            const double with = sum + (double)x[at];
            y[at] = (float)(r->exclusive ? sum : with);
            sum = with;
        }
    }
}

static void sum_ints(const runs *r, const int64_t *x, int64_t *y)
{
    for (int64_t k = 0; k < r->outer * r->inner; k++) {
        uint64_t sum = 0;
        for (int64_t i = 0; i < r->n; i++) {
            const int64_t cell = r->reverse ? r->n - 1 - i : i;
            const int64_t at = (k / r->inner * r->n + cell) * r->inner + k % r->inner;
            const uint64_t with = sum + (uint64_t)x[at];
            y[at] = (int64_t)(r->exclusive ? sum : with);
            sum = with;
        }
    }
}

static dcv_status sum_fold(const dcv_fold_io *io)
{
    const runs r = runs_of(io->node->attr, &io->x[0]->dims);
    if (io->y[0].type == DCV_F32)
        sum_floats(&r, io->x[0]->constant, io->to[0]);
    else
        sum_ints(&r, io->x[0]->constant, io->to[0]);
    return DCV_OK;
}

static int sum_carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)j;
    return k ? DCV_AXIS_MIXED : axis;
}

static dcv_cells sum_reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)j;
    const sum_attr *a = nd->attr;
    if (axis != a->at)
        return (dcv_cells){o, o + 1, 1};
    const int64_t n = g->value[nd->in[k]].dims.d[axis], out = a->exclusive != 0;
    return a->reverse ? (dcv_cells){o + out, n, 1} : (dcv_cells){0, o + 1 - out, 1};
}

static void sum_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const runs r = runs_of(nd->attr, io->x[0].dims);
    for (int p = 0; p < io->y[0].n; p++)
        sum_floats(&r, io->x[0].data + p * io->x[0].n_stride, io->y[0].data + p * io->y[0].n_stride);
}

static void sum_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    runs r = runs_of(nd->attr, io->gx[0].dims);
    r.reverse = !r.reverse;
    sum_floats(&r, io->gy[0].data, io->gx[0].data);
}

/* ---- Trilu ---- */

static dcv_status trilu_shape(const dcv_shape_io *io)
{
    trilu_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    const int64_t *k = NULL;
    int64_t n = 0;
    dcv_dims_text t;
    if (x->n < 2)
        return dcv_op_fail(io, DCV_EDATA, "input %s; expected matrices", dcv_dims_print(x, t));
    if (dcv_op_has(io, 1)) {
        DCV_TRY(dcv_op_ints(io, 1, "k", &k, &n));
        if (n != 1)
            return dcv_op_fail(io, DCV_EDATA, "k has %lld numbers; expected 1", (long long)n);
        const int64_t limit = INT64_C(1) << 41;
        a->k = k[0] < -limit ? -limit : k[0] > limit ? limit : k[0];
    }
    return dcv_shape_same(io);
}

static void trilu_move(const dcv_node *nd, int part, const dcv_dims *x, const dcv_dims *y, size_t elem,
                       const void *from, void *to)
{
    (void)part, (void)y;
    const trilu_attr *a = nd->attr;
    const int64_t rows = x->d[x->n - 2], columns = x->d[x->n - 1], n = dcv_count(x);
    memset(to, 0, (size_t)n * elem);
    for (int64_t r = 0; columns && r < n / columns; r++) {
        const int64_t edge = r % rows + a->k; /* column of the diagonal */
        const int64_t lo = !a->upper || edge < 0 ? 0 : edge, past = a->upper || edge + 1 > columns ? columns : edge + 1;
        if (past > lo)
            memcpy((char *)to + (size_t)(r * columns + lo) * elem,
                   (const char *)from + (size_t)(r * columns + lo) * elem, (size_t)(past - lo) * elem);
    }
}

static dcv_status trilu_fold(const dcv_fold_io *io)
{
    dcv_move_fold(io, 0, 0, 0, trilu_move);
    return DCV_OK;
}

static void trilu_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_move_forward(nd, 0, &io->x[0], &io->y[0], trilu_move);
}

static void trilu_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    trilu_move(nd, 0, io->gy[0].dims, io->gx[0].dims, sizeof(float), io->gy[0].data, io->gx[0].data);
}

static dcv_cells trilu_reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)nd, (void)k, (void)axis, (void)j;
    return (dcv_cells){o, o + 1, 1};
}

const dcv_op dcv_op_cumsum = {.name = "CumSum",
                              .min_in = 2,
                              .max_in = 2,
                              .max_out = 1,
                              .attr_size = sizeof(sum_attr),
                              .fields = sum_fields,
                              .layout = DCV_LAYOUT_PLAIN,
                              .shape = sum_shape,
                              .fold = sum_fold,
                              .carries = sum_carries,
                              .reads = sum_reads,
                              .forward = sum_forward,
                              .backward = sum_backward};
const dcv_op dcv_op_trilu = {.name = "Trilu",
                             .min_in = 1,
                             .max_in = 2,
                             .max_out = 1,
                             .attr_size = sizeof(trilu_attr),
                             .fields = trilu_fields,
                             .layout = DCV_LAYOUT_PLAIN,
                             .shape = trilu_shape,
                             .fold = trilu_fold,
                             .carries = sum_carries,
                             .reads = trilu_reads,
                             .forward = trilu_forward,
                             .backward = trilu_backward};
