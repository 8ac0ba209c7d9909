/* norm.c -- ONNX LayerNormalization (17), InstanceNormalization (6, 22), GroupNormalization (18, 21),
 * RMSNormalization (23).
 *
 * y = (x - mean) / sqrt(variance + epsilon) * scale + bias, statistics over: the axes from `axis` on (layer), the cells
 * of a channel (instance), the cells of a group of channels (group); RMS: the axes from `axis` on, mean 0.  Sums are
 * double.  In GroupNormalization 18 scale and bias are one number a group.
 */
#include <math.h>
#include <string.h>
#include "engine/ops/util.h"

typedef struct norm_attr {
    double epsilon;
    int64_t axis, stash_type, num_groups;
    /* Row-major: n runs of `size` numbers; scale and bias repeat every `period` runs, and each stands for `each`
     * numbers: number i of run r takes element (r % period) * (size / each) + i / each. */
    int64_t size, each, period;
    bool centred;
} norm_attr;

#define EPSILON                                                                                                        \
    {                                                                                                                  \
        "epsilon", DCV_FIELD_REAL, DCV_AT(norm_attr, epsilon), .dflt = "1.0e-5", .min = 0, .max = 1e30,                \
                                                               .help = "added to the variance"                         \
    }
#define STASH                                                                                                          \
    {                                                                                                                  \
        "stash_type", DCV_FIELD_INT, DCV_AT(norm_attr, stash_type), .dflt = "1", .help = "sums are double in any case" \
    }
static const dcv_field layer_fields[] = {EPSILON,
                                         STASH,
                                         {"axis", DCV_FIELD_INT, DCV_AT(norm_attr, axis), .dflt = "-1",
                                          .min = -DCV_MAX_RANK, .max = DCV_MAX_RANK,
                                          .help = "the first axis of the statistics"},
                                         DCV_FIELDS_END};
static const dcv_field instance_fields[] = {EPSILON, DCV_FIELDS_END};
static const dcv_field group_fields[] = {EPSILON,
                                         STASH,
                                         {"num_groups", DCV_FIELD_INT, DCV_AT(norm_attr, num_groups), .dflt = "1",
                                          .min = 1, .max = 1e9, .help = "groups of channels"},
                                         DCV_FIELDS_END};

/* Scale and bias are constants of so many numbers. */
static dcv_status check_scale(const dcv_shape_io *io, int64_t n)
{
    static const char *const names[] = {"", "scale", "bias"};
    for (int k = 1; k < 3; k++) {
        dcv_dims_text tk, tx;
        if (!dcv_op_has(io, k))
            continue;
        if (!io->x[k]->constant || io->x[k]->type != DCV_F32)
            return dcv_op_fail(io, DCV_EUNSUPPORTED, "%s (\"%s\") must be constant", names[k], io->x[k]->name);
        if (dcv_count(&io->x[k]->dims) != n)
            return dcv_op_fail(io, DCV_EDATA, "%s of shape %s does not fit input %s", names[k],
                               dcv_dims_print(&io->x[k]->dims, tk), dcv_dims_print(&io->x[0]->dims, tx));
    }
    return dcv_shape_same(io);
}

static dcv_status layer(const dcv_shape_io *io, bool centred)
{
    norm_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    int axis;
    DCV_TRY(dcv_op_axis(io, a->axis, x->n, &axis));
    a->axis = axis;
    a->size = a->each = a->period = 1;
    a->centred = centred;
    for (int i = axis; i < x->n; i++)
        a->size *= x->d[i];
    return check_scale(io, a->size);
}

/* Mean and inverse deviation are outputs of their own where somebody wants them. */
static dcv_status layer_shape(const dcv_shape_io *io)
{
    DCV_TRY(layer(io, true));
    for (int j = 1; j < io->n_out; j++) {
        io->y[j].type = DCV_F32;
        io->y[j].dims = io->x[0]->dims;
        for (int i = (int)((const norm_attr *)io->node->attr)->axis; i < io->y[j].dims.n; i++)
            io->y[j].dims.d[i] = 1;
    }
    return DCV_OK;
}

static dcv_status rms_shape(const dcv_shape_io *io)
{
    return layer(io, false);
}

static dcv_status groups(const dcv_shape_io *io, int64_t n_groups, bool of_group)
{
    norm_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    dcv_dims_text t;
    if (x->n < 3 || (n_groups > 0 && x->d[1] % n_groups))
        return dcv_op_fail(io, DCV_EDATA, "an input of shape %s in %lld groups", dcv_dims_print(x, t),
                           (long long)n_groups);
    a->period = n_groups;
    a->each = 1;
    for (int i = 2; i < x->n; i++)
        a->each *= x->d[i];
    a->size = a->each * (n_groups ? x->d[1] / n_groups : 0);
    a->each = of_group ? a->size : a->each;
    a->centred = true;
    return check_scale(io, of_group ? n_groups : x->d[1]);
}

static dcv_status instance_shape(const dcv_shape_io *io)
{
    return groups(io, io->x[0]->dims.n >= 2 ? io->x[0]->dims.d[1] : 1, false);
}

static dcv_status group_shape(const dcv_shape_io *io)
{
    const int64_t n = ((const norm_attr *)io->node->attr)->num_groups;
    return groups(io, n, io->node->opset < 21 && dcv_count(&io->x[1]->dims) == n);
}

static dcv_cells layer_reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)j;
    if (axis >= ((const norm_attr *)nd->attr)->axis)
        return (dcv_cells){0, g->value[nd->in[k]].dims.d[axis], 1};
    return (dcv_cells){o, o + 1, 1};
}

/* Channels are no axis along which anything is cut, so that groups of them count as all. */
static dcv_cells space_reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)j;
    if (axis >= 1)
        return (dcv_cells){0, g->value[nd->in[k]].dims.d[axis], 1};
    return (dcv_cells){o, o + 1, 1};
}

/* Scale and bias are constants: nothing comes from the picture through them. */
static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)j;
    return k ? DCV_AXIS_MIXED : axis;
}

typedef struct moments {
    double mean, inverse; /* of the deviation */
} moments;

static moments moments_of(const norm_attr *a, const float *x)
{
    double sum = 0, square = 0;
    for (int64_t i = 0; a->centred && i < a->size; i++)
        sum += x[i];
    const double mean = sum / (double)a->size;
    for (int64_t i = 0; i < a->size; i++)
        square += (x[i] - mean) * (x[i] - mean);
    return (moments){mean, 1 / sqrt(square / (double)a->size + a->epsilon)};
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const norm_attr *a = nd->attr;
    const int64_t runs = a->size ? dcv_count(io->x[0].dims) / a->size : 0;
    const float *bias = nd->n_in > 2 ? io->x[2].data : NULL;
    for (int p = 0; p < io->y[0].n; p++)
        for (int64_t r = 0; r < runs; r++) {
            const float *x = io->x[0].data + p * io->x[0].n_stride + r * a->size;
            float *y = io->y[0].data + p * io->y[0].n_stride + r * a->size;
            const moments m = moments_of(a, x);
            if (nd->n_out > 1 && io->y[1].data)
                io->y[1].data[p * io->y[1].n_stride + r] = (float)m.mean;
            if (nd->n_out > 2 && io->y[2].data)
                io->y[2].data[p * io->y[2].n_stride + r] = (float)m.inverse;
            const int64_t first = r % a->period * (a->size / a->each);
            for (int64_t i = 0; i < a->size; i += a->each) {
                const int64_t e = first + i / a->each;
                const double scale = io->x[1].data[e] * m.inverse, shift = (bias ? bias[e] : 0) - m.mean * scale;
                for (int64_t k = i; k < i + a->each; k++)
                    y[k] = (float)(x[k] * scale + shift);
            }
        }
}

/* With h = (x - mean) / deviation and u = gy scale: gx = (u - mean(u) - h mean(u h)) / deviation; and what comes down
 * to the mean and to the inverse deviation. */
static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const norm_attr *a = nd->attr;
    const int64_t runs = a->size ? dcv_count(io->gx[0].dims) / a->size : 0;
    for (int64_t r = 0; r < runs; r++) {
        const float *x = io->x[0].data + r * a->size, *gy = io->gy[0].data ? io->gy[0].data + r * a->size : NULL;
        const float *scale = io->x[1].data + r % a->period * (a->size / a->each);
        float *gx = io->gx[0].data + r * a->size;
        const moments m = moments_of(a, x);
        double u = 0, uh = 0;
        for (int64_t i = 0; i < a->size; i++) {
            const double v = gy ? (double)gy[i] * scale[i / a->each] : 0;
            u += v;
            uh += v * (x[i] - m.mean) * m.inverse;
        }
        u = a->centred ? u / (double)a->size : 0;
        uh /= (double)a->size;
        if (nd->n_out > 1 && io->gy[1].data)
            u -= io->gy[1].data[r] / ((double)a->size * m.inverse);
        if (nd->n_out > 2 && io->gy[2].data)
            uh += io->gy[2].data[r] * m.inverse / (double)a->size;
        for (int64_t i = 0; i < a->size; i++)
            gx[i] = (float)(((gy ? (double)gy[i] * scale[i / a->each] : 0) - u - (x[i] - m.mean) * m.inverse * uh) *
                            m.inverse);
    }
}

#define COMMON                                                                                                         \
    .attr_size = sizeof(norm_attr), .layout = DCV_LAYOUT_PLAIN, .carries = carries, .forward = forward,                \
    .back_reads = DCV_BACK_X, .back_layout = DCV_LAYOUT_PLAIN, .backward = backward

const dcv_op dcv_op_layernormalization = {.name = "LayerNormalization",
                                          .max_out = 3,
                                          .min_in = 2,
                                          .max_in = 3,
                                          .fields = layer_fields,
                                          .shape = layer_shape,
                                          .reads = layer_reads,
                                          COMMON};
const dcv_op dcv_op_rmsnormalization = {.name = "RMSNormalization",
                                        .max_out = 1,
                                        .min_in = 2,
                                        .max_in = 2,
                                        .fields = layer_fields,
                                        .shape = rms_shape,
                                        .reads = layer_reads,
                                        COMMON};
const dcv_op dcv_op_instancenormalization = {.name = "InstanceNormalization",
                                             .max_out = 1,
                                             .min_in = 3,
                                             .max_in = 3,
                                             .fields = instance_fields,
                                             .shape = instance_shape,
                                             .reads = space_reads,
                                             COMMON};
const dcv_op dcv_op_groupnormalization = {.name = "GroupNormalization",
                                          .max_out = 1,
                                          .min_in = 3,
                                          .max_in = 3,
                                          .fields = group_fields,
                                          .shape = group_shape,
                                          .reads = space_reads,
                                          COMMON};
