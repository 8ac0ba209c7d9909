/* reduce.c -- ONNX ReduceMean (1, 11, 13: axes is an attribute; 18: an input), double sums. */
#include "engine/ops/pool.h"

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

/* A picture in its layout: where coordinate i of an axis leads. */
typedef struct source {
    dcv_dims d;
    int64_t stride[DCV_MAX_RANK];
    int64_t block, block_step; /* of axis 1 */
    unsigned mask;
    double n; /* cells in each mean */
} source;

static int64_t step(const source *s, int axis, int64_t i)
{
    return axis == 1 && s->block > 1 ? i / s->block * s->block_step + i % s->block : i * s->stride[axis];
}

/* Sum over the masked axes from axis on. */
static double sum_over(const source *s, int axis, const float *x)
{
    while (axis < s->d.n && !(s->mask >> axis & 1))
        axis++;
    if (axis == s->d.n)
        return *x;
    double sum = 0;
    for (int64_t i = 0; i < s->d.d[axis]; i++)
        sum += sum_over(s, axis + 1, x + step(s, axis, i));
    return sum;
}

/* One number, in row-major order, for each cell of the axes that stay. */
static float *means_over(const source *s, int axis, const float *x, float *y)
{
    while (axis < s->d.n && s->mask >> axis & 1)
        axis++;
    if (axis == s->d.n) {
        *y = (float)(sum_over(s, 0, x) / s->n);
        return y + 1;
    }
    for (int64_t i = 0; i < s->d.d[axis]; i++)
        y = means_over(s, axis + 1, x + step(s, axis, i), y);
    return y;
}

static source source_of(const reduce_attr *a, const dcv_blob *x)
{
    const int64_t b = x->dims->n >= 3 ? x->block : 1;
    source s = {.d = *x->dims,
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
static void means_blocked(const source *s, const float *x, const dcv_blob *y, float *to)
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
            to[(c / y->block * sy.cells + i) * y->block + c % y->block] = (float)(sum_over(s, 0, x + at) / s->n);
        }
}

/* Means over all of space, channel by channel: what stands for global pooling in many exports. */
static bool over_space(const reduce_attr *a, const dcv_dims *x)
{
    return x->n >= 3 && x->d[0] == 1 && a->mask == (1u << x->n) - 4;
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const reduce_attr *a = nd->attr;
    const dcv_blob *x = &io->x[0];
    dcv_blob *y = &io->y[0];
    const source s = source_of(a, x);
    const dcv_blob_shape sx = dcv_blob_shape_of(x->dims, x->block);
    for (int p = 0; p < y->n; p++) {
        const float *from = x->data + p * x->n_stride;
        float *to = y->data + p * y->n_stride;
        if (over_space(a, x->dims))
            dcv_channel_means(&sx, (int)s.block, from, to);
        else if (y->dims->n < 3 || y->block == 1)
            means_over(&s, 0, from, to);
        else
            means_blocked(&s, from, y, to);
    }
    dcv_blob_clear_tail(y);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const unsigned mask = ((const reduce_attr *)nd->attr)->mask;
    const dcv_dims *d = io->gx[0].dims;
    int64_t stride[DCV_MAX_RANK] = {0}, at[DCV_MAX_RANK] = {0}, from = 1;
    float cells = 1;
    for (int i = d->n - 1; i >= 0; i--) {
        cells *= mask >> i & 1 ? (float)d->d[i] : 1;
        stride[i] = mask >> i & 1 ? 0 : from;
        from *= mask >> i & 1 ? 1 : d->d[i];
    }
    for (int64_t n = 0; n < dcv_count(d); n++) {
        int64_t k = 0;
        for (int i = 0; i < d->n; i++)
            k += at[i] * stride[i];
        io->gx[0].data[n] = io->gy[0].data[k] / cells;
        for (int i = d->n - 1; i >= 0 && ++at[i] == d->d[i]; i--)
            at[i] = 0;
    }
}

const dcv_op dcv_op_reducemean = {.name = "ReduceMean",
                                  .min_in = 1,
                                  .max_in = 2,
                                  .max_out = 1,
                                  .attr_size = sizeof(reduce_attr),
                                  .fields = fields,
                                  .layout = DCV_LAYOUT_SAME,
                                  .shape = shape,
                                  .carries = carries,
                                  .reads = reads,
                                  .forward = forward,
                                  .backward = backward};
