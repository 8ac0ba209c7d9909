/* arg.c -- which cell along an axis: ONNX ArgMax and ArgMin (1, 11, 12: select_last_index; 13), and Hardmax (1, 11:
 * over all axes from axis on, default 1; 13: along axis, default -1), which is 1 at the first greatest cell, else 0.
 *
 * NaN wins over any number, as in NumPy.  Whole numbers carry no signal, and Hardmax does not move.
 */
#include <math.h>
#include "engine/ops/util.h"

#define AXIS_ABSENT -1000

typedef struct arg_attr {
    int64_t axis, keepdims, select_last_index;
    int from, to; /* axes from .. to-1 are searched together */
} arg_attr;

static const dcv_field arg_fields[] = {
    {"axis", DCV_FIELD_INT, DCV_AT(arg_attr, axis), .dflt = "0", .help = "axis to search"},
    {"keepdims", DCV_FIELD_INT, DCV_AT(arg_attr, keepdims), .dflt = "1", .min = 0, .max = 1,
     .help = "leave the axis with extent 1"},
    {"select_last_index", DCV_FIELD_INT, DCV_AT(arg_attr, select_last_index), .dflt = "0", .min = 0, .max = 1,
     .help = "the last of equal ones"},
    DCV_FIELDS_END};

static const dcv_field hardmax_fields[] = {
    {"axis", DCV_FIELD_INT, DCV_AT(arg_attr, axis), .dflt = "-1000", .help = "axis to search"}, DCV_FIELDS_END};

static dcv_status arg_shape(const dcv_shape_io *io)
{
    arg_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    dcv_dims_text t;
    DCV_TRY(dcv_op_axis(io, a->axis, x->n, &a->from));
    a->to = a->from + 1;
    if (x->d[a->from] < 1)
        return dcv_op_fail(io, DCV_EDATA, "%s has no cells along axis %d", dcv_dims_print(x, t), a->from);
    dcv_dims *y = &io->y[0].dims;
    y->n = 0;
    for (int i = 0; i < x->n; i++)
        if (i != a->from)
            y->d[y->n++] = x->d[i];
        else if (a->keepdims)
            y->d[y->n++] = 1;
    io->y[0].type = DCV_I64;
    return DCV_OK;
}

static dcv_status hardmax_shape(const dcv_shape_io *io)
{
    arg_attr *a = io->node->attr;
    const int rank = io->x[0]->dims.n;
    const bool flat = io->node->opset < 13;
    const int64_t axis = a->axis == AXIS_ABSENT ? flat ? 1 : -1 : a->axis;
    if (flat && axis == rank)
        a->from = rank;
    else
        DCV_TRY(dcv_op_axis(io, axis, rank, &a->from));
    a->to = flat ? rank : a->from + 1;
    return dcv_shape_same(io);
}

static int arg_carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)k, (void)j;
    const arg_attr *a = nd->attr;
    if (axis == a->from && !a->keepdims)
        return DCV_AXIS_MIXED;
    return axis > a->from && !a->keepdims ? axis - 1 : axis;
}

static int hardmax_carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)k, (void)j;
    return axis;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)j;
    const arg_attr *a = nd->attr;
    if (axis >= a->from && axis < a->to)
        return (dcv_cells){0, g->value[nd->in[k]].dims.d[axis], 1};
    return (dcv_cells){o, o + 1, 1};
}

/* Is b better than a? */
static bool beats(double b, double a, bool least, bool last)
{
    if (isnan(a) || isnan(b))
        return isnan(b) && (last || !isnan(a));
    return least ? b < a || (last && b == a) : b > a || (last && b == a);
}

/* Number of the best of n cells, step apart; floats or integers. */
static int64_t best(int64_t n, int64_t step, const float *f, const int64_t *ints, bool least, bool last)
{
    int64_t won = 0;
    for (int64_t i = 1; i < n; i++) {
        const bool better = f       ? beats(f[i * step], f[won * step], least, last)
                            : least ? ints[i * step] < ints[won * step] || (last && ints[i * step] == ints[won * step])
                                    : ints[i * step] > ints[won * step] || (last && ints[i * step] == ints[won * step]);
        won = better ? i : won;
    }
    return won;
}

/* Cells before, along and after the axes that are searched. */
typedef struct sizes {
    int64_t outer, n, inner;
} sizes;

static sizes sizes_of(const arg_attr *a, const dcv_dims *d)
{
    sizes s = {1, 1, 1};
    for (int i = 0; i < d->n; i++)
        *(i < a->from ? &s.outer : i < a->to ? &s.n : &s.inner) *= d->d[i];
    return s;
}

static void search(const arg_attr *a, const sizes *s, const float *f, const int64_t *ints, bool least, float *to,
                   int64_t *to_ints)
{
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t i = 0; i < s->inner; i++) {
            const int64_t at = o * s->n * s->inner + i, k = o * s->inner + i;
            const int64_t won =
                best(s->n, s->inner, f ? f + at : NULL, f ? NULL : ints + at, least, a->select_last_index != 0);
            if (to)
                to[k] = (float)won;
            else
                to_ints[k] = won;
        }
}

static dcv_status fold(const dcv_fold_io *io, bool least)
{
    const arg_attr *a = io->node->attr;
    const sizes s = sizes_of(a, &io->x[0]->dims);
    const bool floats = io->x[0]->type == DCV_F32;
    search(a, &s, floats ? io->x[0]->constant : NULL, floats ? NULL : io->x[0]->constant, least, NULL, io->to[0]);
    return DCV_OK;
}

static dcv_status max_fold(const dcv_fold_io *io)
{
    return fold(io, false);
}

static dcv_status min_fold(const dcv_fold_io *io)
{
    return fold(io, true);
}

static void run(const dcv_node *nd, const dcv_io *io, bool least)
{
    const arg_attr *a = nd->attr;
    const sizes s = sizes_of(a, io->x[0].dims);
    for (int p = 0; p < io->y[0].n; p++)
        search(a, &s, io->x[0].data + p * io->x[0].n_stride, NULL, least, io->y[0].data + p * io->y[0].n_stride, NULL);
}

static void max_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    run(nd, io, false);
}

static void min_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    run(nd, io, true);
}

static void hardmax_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const sizes s = sizes_of(nd->attr, io->x[0].dims);
    for (int p = 0; p < io->y[0].n; p++)
        for (int64_t k = 0; k < s.outer * s.inner; k++) {
            const int64_t at = k / s.inner * s.n * s.inner + k % s.inner;
            const float *x = io->x[0].data + p * io->x[0].n_stride + at;
            float *y = io->y[0].data + p * io->y[0].n_stride + at;
            const int64_t won = best(s.n, s.inner, x, NULL, false, false);
            for (int64_t i = 0; i < s.n; i++)
                y[i * s.inner] = i == won ? 1 : 0;
        }
}

#define COMMON                                                                                                         \
    .min_in = 1, .max_in = 1, .max_out = 1, .attr_size = sizeof(arg_attr), .layout = DCV_LAYOUT_PLAIN, .reads = reads

const dcv_op dcv_op_argmax = {.name = "ArgMax",
                              COMMON,
                              .fields = arg_fields,
                              .shape = arg_shape,
                              .fold = max_fold,
                              .carries = arg_carries,
                              .forward = max_forward};
const dcv_op dcv_op_argmin = {.name = "ArgMin",
                              COMMON,
                              .fields = arg_fields,
                              .shape = arg_shape,
                              .fold = min_fold,
                              .carries = arg_carries,
                              .forward = min_forward};
const dcv_op dcv_op_hardmax = {.name = "Hardmax",
                               COMMON,
                               .fields = hardmax_fields,
                               .shape = hardmax_shape,
                               .carries = hardmax_carries,
                               .forward = hardmax_forward};
