/* reduce.c -- ONNX ReduceMean, ReduceSum, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceL2, ReduceSumSquare,
 * ReduceLogSum, ReduceLogSumExp (1, 11, 12, 13: axes is an attribute; 13, 18, 20: an input), double sums.
 *
 * The signal of a greatest or least value goes to whoever has it, in equal shares (as PyTorch's amax does).
 */
#include <math.h>
#include <string.h>
#include "engine/ops/pool.h"

typedef enum kind { MEAN, SUM, MAX, MIN, PROD, L1, L2, SUM_SQUARE, LOG_SUM, LOG_SUM_EXP } kind;

typedef struct reduce_attr {
    dcv_ints axes;
    int64_t keepdims, noop_with_empty_axes;
    unsigned mask; /* axes that go */
    bool truths;   /* of truth values: the greatest of none is false, the least true */
} reduce_attr;

static const dcv_field fields[] = {{"axes", DCV_FIELD_INTS, DCV_AT(reduce_attr, axes), .help = "axes to reduce"},
                                   {"keepdims", DCV_FIELD_INT, DCV_AT(reduce_attr, keepdims), .dflt = "1", .min = 0,
                                    .max = 1, .help = "leave axes of extent 1"},
                                   {"noop_with_empty_axes", DCV_FIELD_INT, DCV_AT(reduce_attr, noop_with_empty_axes),
                                    .dflt = "0", .min = 0, .max = 1, .help = "no axes means none, not all"},
                                   DCV_FIELDS_END};

static dcv_status shape(const dcv_shape_io *io)
{
    reduce_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    const int64_t *axes;
    int64_t n;
    DCV_TRY(dcv_op_ints_or(io, 1, "axes", &a->axes, &axes, &n));
    DCV_TRY(dcv_op_axes(io, axes, n, x->n, &a->mask));
    if (!n && !a->noop_with_empty_axes)
        a->mask = (1u << x->n) - 1;
    dcv_dims y = {0};
    for (int i = 0; i < x->n; i++)
        if (!(a->mask >> i & 1))
            y.d[y.n++] = x->d[i];
        else if (a->keepdims)
            y.d[y.n++] = 1;
    a->truths = io->x[0]->stored && !strcmp(io->x[0]->stored, "bool");
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = y;
    return DCV_OK;
}

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)j;
    const reduce_attr *a = nd->attr;
    if (k || (a->mask >> axis & 1 && !a->keepdims))
        return DCV_AXIS_MIXED;
    int to = axis;
    for (int i = 0; i < axis; i++)
        to -= a->mask >> i & 1 && !a->keepdims;
    return to;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)j;
    if (((const reduce_attr *)nd->attr)->mask >> axis & 1)
        return (dcv_cells){0, g->value[nd->in[k]].dims.d[axis], 1};
    return (dcv_cells){o, o + 1, 1};
}

/* A picture in its layout: where coordinate i of an axis leads. */
typedef struct source {
    kind kind;
    bool truths;
    dcv_dims d;
    int64_t stride[DCV_MAX_RANK];
    int64_t block, block_step; /* of axis 1 */
    unsigned mask;
    double n; /* cells in each result */
} source;

static int64_t step(const source *s, int axis, int64_t i)
{
    return axis == 1 && s->block > 1 ? i / s->block * s->block_step + i % s->block : i * s->stride[axis];
}

static double start(kind k, bool truths)
{
    if (truths && (k == MAX || k == MIN))
        return k == MIN;
    return k == MAX || k == LOG_SUM_EXP ? -INFINITY : k == MIN ? INFINITY : k == PROD;
}

/* What has been gathered so far, and one number more; NaN wins. */
static double gather(kind k, double so_far, double v)
{
    switch (k) {
    case MEAN:
    case SUM:
    case LOG_SUM:
        return so_far + v;
    case MAX:
        return so_far > v || isnan(so_far) ? so_far : v;
    case MIN:
        return so_far < v || isnan(so_far) ? so_far : v;
    case PROD:
        return so_far * v;
    case L1:
        return so_far + fabs(v);
    case L2:
    case SUM_SQUARE:
        return so_far + v * v;
    case LOG_SUM_EXP: {
        const double most = so_far > v ? so_far : v;
        return isinf(most) ? most : most + log(exp(so_far - most) + exp(v - most));
    }
    }
    return so_far;
}

static double finished(kind k, double gathered, double n)
{
    return k == MEAN ? gathered / n : k == L2 ? sqrt(gathered) : k == LOG_SUM ? log(gathered) : gathered;
}

/* Gather over the masked axes from axis on. */
static double gather_over(const source *s, int axis, const float *x, double so_far)
{
    while (axis < s->d.n && !(s->mask >> axis & 1))
        axis++;
    if (axis == s->d.n)
        return gather(s->kind, so_far, *x);
    for (int64_t i = 0; i < s->d.d[axis]; i++)
        so_far = gather_over(s, axis + 1, x + step(s, axis, i), so_far);
    return so_far;
}

static float reduced(const source *s, const float *x)
{
    return (float)finished(s->kind, gather_over(s, 0, x, start(s->kind, s->truths)), s->n);
}

/* One number, in row-major order, for each cell of the axes that stay. */
static float *reduce_over(const source *s, int axis, const float *x, float *y)
{
    while (axis < s->d.n && s->mask >> axis & 1)
        axis++;
    if (axis == s->d.n) {
        *y = reduced(s, x);
        return y + 1;
    }
    for (int64_t i = 0; i < s->d.d[axis]; i++)
        y = reduce_over(s, axis + 1, x + step(s, axis, i), y);
    return y;
}

static source source_of(kind k, const reduce_attr *a, const dcv_blob *x)
{
    const int64_t b = x->dims->n >= 3 ? x->block : 1;
    source s = {.kind = k,
                .truths = a->truths,
                .d = *x->dims,
                .block = b,
                .block_step = dcv_blob_shape_of(x->dims, x->block).cells * b,
                .mask = a->mask,
                .n = 1};
    dcv_dims_strides(x->dims, s.stride);
    for (int i = 0; i < s.d.n; i++) {
        s.stride[i] *= b;
        s.n *= s.mask >> i & 1 ? (double)s.d.d[i] : 1;
    }
    return s;
}

/* Into blocks: the axes that go have extent 1 in y, or are not there. */
static void reduce_blocked(const source *s, const float *x, const dcv_blob *y, float *to)
{
    const dcv_blob_shape sy = dcv_blob_shape_of(y->dims, y->block);
    int axis_of[DCV_MAX_RANK], n = 0; /* axis of x for each axis of y, -1: extent 1 */
    const bool keep = y->dims->n == s->d.n;
    for (int i = 0; i < s->d.n; i++)
        if (keep || !(s->mask >> i & 1))
            axis_of[n++] = s->mask >> i & 1 ? -1 : i;
    for (int64_t c = 0; c < sy.c; c++)
        for (int64_t i = 0; i < sy.cells; i++) {
            int64_t at = axis_of[1] >= 0 ? step(s, axis_of[1], c) : 0, left = i;
            for (int k = n - 1; k >= 2; k--) {
                at += axis_of[k] >= 0 ? step(s, axis_of[k], left % y->dims->d[k]) : 0;
                left /= y->dims->d[k];
            }
            to[(c / y->block * sy.cells + i) * y->block + c % y->block] = reduced(s, x + at);
        }
}

/* Means over all of space, channel by channel: what stands for global pooling in many exports. */
static bool over_space(const reduce_attr *a, const dcv_dims *x)
{
    return x->n >= 3 && x->d[0] == 1 && a->mask == (1u << x->n) - 4;
}

static void forward(kind k, const dcv_node *nd, const dcv_io *io)
{
    const reduce_attr *a = nd->attr;
    const dcv_blob *x = &io->x[0];
    dcv_blob *y = &io->y[0];
    const source s = source_of(k, a, x);
    const dcv_blob_shape sx = dcv_blob_shape_of(x->dims, x->block);
    for (int p = 0; p < y->n; p++) {
        const float *from = x->data + p * x->n_stride;
        float *to = y->data + p * y->n_stride;
        if (k == MEAN && over_space(a, x->dims))
            dcv_channel_means(&sx, (int)s.block, from, to);
        else if (y->dims->n < 3 || y->block == 1)
            reduce_over(&s, 0, from, to);
        else
            reduce_blocked(&s, from, y, to);
    }
    dcv_blob_clear_tail(y);
}

/* Whole numbers, in shape arithmetic: exact. */
static dcv_status fold(kind k, const dcv_fold_io *io)
{
    const bool truths = ((const reduce_attr *)io->node->attr)->truths;
    const unsigned mask = ((const reduce_attr *)io->node->attr)->mask;
    const dcv_dims *d = &io->x[0]->dims;
    const int64_t *x = io->x[0]->constant, n = dcv_count(d), n_y = dcv_count(&io->y[0].dims);
    if (io->y[0].type == DCV_F32) {
        const dcv_blob from = {(float *)(uintptr_t)io->x[0]->constant, d, 1, 1, 0};
        dcv_blob to = {io->to[0], &io->y[0].dims, 1, 1, 0};
        forward(k, io->node, &(dcv_io){.x = &from, .y = &to});
        return DCV_OK;
    }
    if (k != SUM && k != MAX && k != MIN && k != PROD)
        return dcv_fail(DCV_EUNSUPPORTED, "node \"%s\" (%s): integer constants are not supported", io->node->name,
                        io->node->op->name);
    int64_t at[DCV_MAX_RANK] = {0}, *y = io->to[0];
    for (int64_t i = 0; i < n_y; i++)
        y[i] = k == MAX ? (truths ? 0 : INT64_MIN) : k == MIN ? (truths ? 1 : INT64_MAX) : k == PROD;
    for (int64_t i = 0; i < n; i++) {
        int64_t o = 0;
        for (int a = 0; a < d->n; a++)
            o = mask >> a & 1 ? o : o * d->d[a] + at[a];
        y[o] = k == SUM    ? (int64_t)((uint64_t)y[o] + (uint64_t)x[i])
               : k == PROD ? (int64_t)((uint64_t)y[o] * (uint64_t)x[i])
               : k == MAX  ? (x[i] > y[o] ? x[i] : y[o])
                           : (x[i] < y[o] ? x[i] : y[o]);
        for (int a = d->n - 1; a >= 0 && ++at[a] == d->d[a]; a--)
            at[a] = 0;
    }
    return DCV_OK;
}

/* The derivative of result y by cell v, one of count cells that are y (MAX, MIN). */
static float derivative(kind k, float v, float y, double count, double n)
{
    switch (k) {
    case MEAN:
        return (float)(1 / n);
    case SUM:
        return 1;
    case MAX:
    case MIN:
        return v == y ? (float)(1 / count) : 0;
    case L1:
        return v > 0 ? 1 : v < 0 ? -1 : 0;
    case L2:
        return y > 0 ? v / y : 0;
    case SUM_SQUARE:
        return 2 * v;
    case LOG_SUM:
        return expf(-y);
    case LOG_SUM_EXP:
        return expf(v - y);
    case PROD:
        break;
    }
    return 0;
}

/* Plain layout.  Ties are counted in scratch, one number for each result. */
static void backward(kind k, const dcv_node *nd, const dcv_back_io *io)
{
    const unsigned mask = ((const reduce_attr *)nd->attr)->mask;
    const dcv_dims *d = io->gx[0].dims;
    const float *x = io->x[0].data, *y = io->y[0].data;
    int64_t stride[DCV_MAX_RANK] = {0}, n_y = 1;
    double cells = 1;
    float *count = io->scratch;
    for (int i = d->n - 1; i >= 0; i--) {
        cells *= mask >> i & 1 ? (double)d->d[i] : 1;
        stride[i] = mask >> i & 1 ? 0 : n_y;
        n_y *= mask >> i & 1 ? 1 : d->d[i];
    }
    const bool ties = k == MAX || k == MIN;
    for (int64_t i = 0; ties && i < n_y; i++)
        count[i] = 0;
    for (int pass = ties ? 0 : 1; pass < 2; pass++) {
        int64_t at[DCV_MAX_RANK] = {0};
        for (int64_t n = 0; n < dcv_count(d); n++) {
            int64_t o = 0;
            for (int i = 0; i < d->n; i++)
                o += at[i] * stride[i];
            if (pass)
                io->gx[0].data[n] =
                    io->gy[0].data[o] * derivative(k, x ? x[n] : 0, y ? y[o] : 0, ties ? count[o] : 1, cells);
            else
                count[o] += x[n] == y[o];
            for (int i = d->n - 1; i >= 0 && ++at[i] == d->d[i]; i--)
                at[i] = 0;
        }
    }
}

static size_t ties_scratch(const dcv_graph *g, const dcv_node *nd)
{
    return (size_t)dcv_count(&g->value[nd->out[0]].dims) * sizeof(float);
}

#define FUNCTIONS(symbol, kind_)                                                                                       \
    static dcv_status symbol##_fold(const dcv_fold_io *io)                                                             \
    {                                                                                                                  \
        return fold(kind_, io);                                                                                        \
    }                                                                                                                  \
    static void symbol##_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)                             \
    {                                                                                                                  \
        (void)g;                                                                                                       \
        forward(kind_, nd, io);                                                                                        \
    }                                                                                                                  \
    static void symbol##_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)                       \
    {                                                                                                                  \
        (void)g;                                                                                                       \
        backward(kind_, nd, io);                                                                                       \
    }

FUNCTIONS(mean, MEAN)
FUNCTIONS(sum, SUM)
FUNCTIONS(max, MAX)
FUNCTIONS(min, MIN)
FUNCTIONS(l1, L1)
FUNCTIONS(l2, L2)
FUNCTIONS(square, SUM_SQUARE)
FUNCTIONS(log_sum, LOG_SUM)
FUNCTIONS(log_sum_exp, LOG_SUM_EXP)

static dcv_status prod_fold(const dcv_fold_io *io)
{
    return fold(PROD, io);
}

static void prod_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    forward(PROD, nd, io);
}

#define COMMON                                                                                                         \
    .min_in = 1, .max_in = 2, .max_out = 1, .attr_size = sizeof(reduce_attr), .fields = fields,                        \
    .layout = DCV_LAYOUT_SAME, .shape = shape, .carries = carries, .reads = reads
#define OP(symbol, reads_)                                                                                             \
    .fold = symbol##_fold, .forward = symbol##_forward, .back_reads = reads_, .backward = symbol##_backward

const dcv_op dcv_op_reducemean = {.name = "ReduceMean", COMMON, OP(mean, 0)};
const dcv_op dcv_op_reducesum = {.name = "ReduceSum", COMMON, OP(sum, 0)};
const dcv_op dcv_op_reducemax = {
    .name = "ReduceMax", COMMON, OP(max, DCV_BACK_X | DCV_BACK_Y), .back_scratch = ties_scratch};
const dcv_op dcv_op_reducemin = {
    .name = "ReduceMin", COMMON, OP(min, DCV_BACK_X | DCV_BACK_Y), .back_scratch = ties_scratch};
const dcv_op dcv_op_reduceprod = {.name = "ReduceProd", COMMON, .fold = prod_fold, .forward = prod_forward};
const dcv_op dcv_op_reducel1 = {.name = "ReduceL1", COMMON, OP(l1, DCV_BACK_X)};
const dcv_op dcv_op_reducel2 = {.name = "ReduceL2", COMMON, OP(l2, DCV_BACK_X | DCV_BACK_Y)};
const dcv_op dcv_op_reducesumsquare = {.name = "ReduceSumSquare", COMMON, OP(square, DCV_BACK_X)};
const dcv_op dcv_op_reducelogsum = {.name = "ReduceLogSum", COMMON, OP(log_sum, DCV_BACK_Y)};
const dcv_op dcv_op_reducelogsumexp = {.name = "ReduceLogSumExp", COMMON, OP(log_sum_exp, DCV_BACK_X | DCV_BACK_Y)};
