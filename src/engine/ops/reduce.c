/* reduce.c -- ONNX ReduceMean (1, 11, 13: axes is an attribute; 18: an input), double sums. */
#include "engine/ops/util.h"

typedef struct reduce_attr {
    dcv_ints axes;
    int64_t keepdims, noop_with_empty_axes;
    unsigned mask; /* axes that go */
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
    io->y[0].type = DCV_F32;
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

/* Sum over the masked axes from axis on. */
static double sum_over(const dcv_dims *d, const int64_t *stride, unsigned mask, int axis, const float *x)
{
    while (axis < d->n && !(mask >> axis & 1))
        axis++;
    if (axis == d->n)
        return *x;
    double sum = 0;
    for (int64_t i = 0; i < d->d[axis]; i++)
        sum += sum_over(d, stride, mask, axis + 1, x + i * stride[axis]);
    return sum;
}

/* One output number for each cell of the axes that stay. */
static float *means_over(const dcv_dims *d, const int64_t *stride, unsigned mask, int axis, double n, const float *x,
                         float *y)
{
    while (axis < d->n && mask >> axis & 1)
        axis++;
    if (axis == d->n) {
        *y = (float)(sum_over(d, stride, mask, 0, x) / n);
        return y + 1;
    }
    for (int64_t i = 0; i < d->d[axis]; i++)
        y = means_over(d, stride, mask, axis + 1, n, x + i * stride[axis], y);
    return y;
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const dcv_dims *d = io->x[0].dims;
    const unsigned mask = ((const reduce_attr *)nd->attr)->mask;
    int64_t stride[DCV_MAX_RANK];
    double n = 1;
    dcv_dims_strides(d, stride);
    for (int i = 0; i < d->n; i++)
        n *= mask >> i & 1 ? (double)d->d[i] : 1;
    for (int p = 0; p < io->y[0].n; p++)
        means_over(d, stride, mask, 0, n, io->x[0].data + p * io->x[0].n_stride, io->y[0].data + p * io->y[0].n_stride);
}

const dcv_op dcv_op_reducemean = {.name = "ReduceMean",
                                  .min_in = 1,
                                  .max_in = 2,
                                  .max_out = 1,
                                  .attr_size = sizeof(reduce_attr),
                                  .fields = fields,
                                  .layout = DCV_LAYOUT_PLAIN,
                                  .shape = shape,
                                  .carries = carries,
                                  .reads = reads,
                                  .forward = forward};
