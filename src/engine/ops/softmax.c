/* softmax.c -- ONNX Softmax and LogSoftmax (1, 11: over all axes from axis on, default 1; 13: along axis, default -1).
 *
 * y = exp(x - max) / sum exp(x - max), the logarithm of it for LogSoftmax; the sum is in double.
 */
#include <math.h>
#include "engine/ops/util.h"

#define AXIS_ABSENT "-1000"

typedef struct softmax_attr {
    int64_t axis;
    int from, to; /* axes from .. to-1 are normalised together */
} softmax_attr;

static const dcv_field fields[] = {
    {"axis", DCV_FIELD_INT, DCV_AT(softmax_attr, axis), .dflt = AXIS_ABSENT, .help = "axis that adds up to 1"},
    DCV_FIELDS_END};

static dcv_status shape(const dcv_shape_io *io)
{
    softmax_attr *a = io->node->attr;
    const int rank = io->x[0]->dims.n;
    const bool flat = io->node->opset < 13;
    const int64_t axis = a->axis == -1000 ? flat ? 1 : -1 : a->axis;
    if (flat && axis == rank)
        a->from = rank;
    else
        DCV_TRY(dcv_op_axis(io, axis, rank, &a->from));
    a->to = flat ? rank : a->from + 1;
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
    const softmax_attr *a = nd->attr;
    if (axis >= a->from && axis < a->to)
        return (dcv_cells){0, g->value[nd->in[k]].dims.d[axis], 1};
    return (dcv_cells){o, o + 1, 1};
}

/* n numbers, step apart. */
static void normalise(int64_t n, int64_t step, bool logarithm, const float *x, float *y)
{
    float top = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        top = x[i * step] > top || x[i * step] != x[i * step] ? x[i * step] : top;
    for (int64_t i = 0; i < n; i++) {
        const float d = x[i * step] - top;
        y[i * step] = logarithm ? d : expf(d);
        sum += logarithm ? expf(d) : y[i * step];
    }
    const float scale = (float)(1 / sum), shift = (float)log(sum);
    for (int64_t i = 0; i < n; i++)
        y[i * step] = logarithm ? y[i * step] - shift : y[i * step] * scale;
}

static void run(const dcv_node *nd, const dcv_io *io, bool logarithm)
{
    const softmax_attr *a = nd->attr;
    const dcv_dims *d = io->x[0].dims;
    int64_t outer = 1, n = 1, inner = 1;
    for (int i = 0; i < d->n; i++)
        *(i < a->from ? &outer : i < a->to ? &n : &inner) *= d->d[i];
    for (int p = 0; p < io->y[0].n; p++)
        for (int64_t o = 0; o < outer; o++)
            for (int64_t i = 0; i < inner; i++)
                normalise(n, inner, logarithm, io->x[0].data + p * io->x[0].n_stride + o * n * inner + i,
                          io->y[0].data + p * io->y[0].n_stride + o * n * inner + i);
}

static void softmax_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    run(nd, io, false);
}

static void log_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    run(nd, io, true);
}

/* Softmax: gx = y (gy - sum gy y).  LogSoftmax: gx = gy - exp(y) sum gy. */
static void back(int64_t n, int64_t step, bool logarithm, const float *y, const float *gy, float *gx)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += logarithm ? gy[i * step] : (double)gy[i * step] * y[i * step];
    for (int64_t i = 0; i < n; i++)
        gx[i * step] =
            (float)(logarithm ? gy[i * step] - exp((double)y[i * step]) * sum : y[i * step] * (gy[i * step] - sum));
}

static void run_back(const dcv_node *nd, const dcv_back_io *io, bool logarithm)
{
    const softmax_attr *a = nd->attr;
    const dcv_dims *d = io->gy[0].dims;
    int64_t outer = 1, n = 1, inner = 1;
    for (int i = 0; i < d->n; i++)
        *(i < a->from ? &outer : i < a->to ? &n : &inner) *= d->d[i];
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            const int64_t at = o * n * inner + i;
            back(n, inner, logarithm, io->y[0].data + at, io->gy[0].data + at, io->gx[0].data + at);
        }
}

static void softmax_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    run_back(nd, io, false);
}

static void log_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    run_back(nd, io, true);
}

#define COMMON                                                                                                         \
    .min_in = 1, .max_in = 1, .max_out = 1, .attr_size = sizeof(softmax_attr), .fields = fields,                       \
    .flags = DCV_OP_IN_PLACE, .layout = DCV_LAYOUT_PLAIN, .shape = shape, .carries = carries, .reads = reads,          \
    .back_reads = DCV_BACK_Y

const dcv_op dcv_op_softmax = {.name = "Softmax", COMMON, .forward = softmax_forward, .backward = softmax_backward};
const dcv_op dcv_op_logsoftmax = {.name = "LogSoftmax", COMMON, .forward = log_forward, .backward = log_backward};
