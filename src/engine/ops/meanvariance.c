/* meanvariance.c -- ONNX MeanVarianceNormalization (9, 13): y = (x - mean) / (deviation + 1e-9), statistics over some
 * axes, in double.
 *
 * gx = (gy - mean gy) / (deviation + 1e-9) - d sum(gy d) / (n deviation (deviation + 1e-9)^2), d = x - mean.
 */
#include <math.h>
#include "engine/ops/util.h"

static const double epsilon = 1e-9;

typedef struct mvn_attr {
    dcv_ints axes;
    unsigned mask;
} mvn_attr;

static const dcv_field fields[] = {
    {"axes", DCV_FIELD_INTS, DCV_AT(mvn_attr, axes), .dflt = "[0, 2, 3]", .help = "axes of the statistics"},
    DCV_FIELDS_END};

static dcv_status shape(const dcv_shape_io *io)
{
    mvn_attr *a = io->node->attr;
    DCV_TRY(dcv_op_axes(io, a->axes.v, a->axes.n, io->x[0]->dims.n, &a->mask));
    return dcv_shape_same(io);
}

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)k, (void)j;
    return axis;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)j;
    if (((const mvn_attr *)nd->attr)->mask >> axis & 1)
        return (dcv_cells){0, g->value[nd->in[k]].dims.d[axis], 1};
    return (dcv_cells){o, o + 1, 1};
}

/* A set of cells that are normalised together: axes of mask from a first cell on. */
typedef struct set {
    dcv_dims d;
    int64_t stride[DCV_MAX_RANK], n;
} set;

static set set_of(const dcv_dims *d, unsigned mask)
{
    int64_t own[DCV_MAX_RANK];
    set s = {.n = 1};
    dcv_dims_strides(d, own);
    for (int i = 0; i < d->n; i++)
        if (mask >> i & 1) {
            s.stride[s.d.n] = own[i];
            s.d.d[s.d.n++] = d->d[i];
            s.n *= d->d[i];
        }
    return s;
}

/* Offset of cell i of a set. */
static int64_t cell(const set *s, int64_t i)
{
    int64_t at = 0;
    for (int k = s->d.n - 1; k >= 0; k--) {
        at += i % s->d.d[k] * s->stride[k];
        i /= s->d.d[k];
    }
    return at;
}

static void statistics(const set *s, const float *x, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < s->n; i++)
        sum += (double)x[cell(s, i)];
    *mean = sum / (double)s->n;
    for (int64_t i = 0; i < s->n; i++) {
        const double d = (double)x[cell(s, i)] - *mean;
        squares += d * d;
    }
    *deviation = sqrt(squares / (double)s->n);
}

static void normalise(const set *s, const float *x, float *y)
{
    double mean, deviation;
    statistics(s, x, &mean, &deviation);
    for (int64_t i = 0; i < s->n; i++) {
        const int64_t at = cell(s, i);
        y[at] = (float)(((double)x[at] - mean) / (deviation + epsilon));
    }
}

static void hand_back(const set *s, const float *x, const float *gy, float *gx)
{
    double mean, deviation, sum = 0, product = 0;
    const double n = (double)s->n;
    statistics(s, x, &mean, &deviation);
    const double scale = 1 / (deviation + epsilon);
    for (int64_t i = 0; i < s->n; i++) {
        const int64_t at = cell(s, i);
        sum += (double)gy[at];
        product += (double)gy[at] * ((double)x[at] - mean);
    }
    const double pull = deviation > 0 ? product * scale * scale / (n * deviation) : 0;
    for (int64_t i = 0; i < s->n; i++) {
        const int64_t at = cell(s, i);
        gx[at] = (float)(((double)gy[at] - sum / n) * scale - ((double)x[at] - mean) * pull);
    }
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const unsigned mask = ((const mvn_attr *)nd->attr)->mask;
    const set in = set_of(io->x[0].dims, mask), out = set_of(io->x[0].dims, ~mask);
    for (int p = 0; p < io->y[0].n; p++)
        for (int64_t k = 0; k < out.n; k++) {
            const int64_t at = cell(&out, k);
            normalise(&in, io->x[0].data + p * io->x[0].n_stride + at, io->y[0].data + p * io->y[0].n_stride + at);
        }
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const unsigned mask = ((const mvn_attr *)nd->attr)->mask;
    const set in = set_of(io->gx[0].dims, mask), out = set_of(io->gx[0].dims, ~mask);
    for (int64_t k = 0; k < out.n; k++) {
        const int64_t at = cell(&out, k);
        hand_back(&in, io->x[0].data + at, io->gy[0].data + at, io->gx[0].data + at);
    }
}

const dcv_op dcv_op_meanvariancenormalization = {.name = "MeanVarianceNormalization",
                                                 .min_in = 1,
                                                 .max_in = 1,
                                                 .max_out = 1,
                                                 .attr_size = sizeof(mvn_attr),
                                                 .fields = fields,
                                                 .layout = DCV_LAYOUT_PLAIN,
                                                 .shape = shape,
                                                 .carries = carries,
                                                 .reads = reads,
                                                 .forward = forward,
                                                 .back_reads = DCV_BACK_X,
                                                 .backward = backward};
