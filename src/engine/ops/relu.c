/* relu.c -- ONNX Relu (6, 13, 14) and LeakyRelu (6, 16).
 *
 * Relu: y = x where x > 0, else 0, but NaN stays NaN.  LeakyRelu: y = x where x >= 0, else alpha x.
 */
#include <math.h>
#include "engine/ops/gate.h"
#include "engine/ops/map.h"
#include "engine/ops/relu.h"

typedef struct leaky_attr {
    double alpha;
} leaky_attr;

static const dcv_field leaky_fields[] = {
    {"alpha", DCV_FIELD_REAL, DCV_AT(leaky_attr, alpha), .dflt = "0.01", .help = "slope below 0"}, DCV_FIELDS_END};

float dcv_leakyrelu_slope(const dcv_node *nd)
{
    return (float)((const leaky_attr *)nd->attr)->alpha;
}

DCV_CLONES static void relu(const void *attr, int64_t n, const float *x, float *y)
{
    (void)attr;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

DCV_CLONES static void leaky(const void *attr, int64_t n, const float *x, float *y)
{
    const float alpha = (float)((const leaky_attr *)attr)->alpha;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? alpha * x[i] : x[i];
}

static void relu_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, relu, true);
}

static void leaky_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, leaky, true);
}

static void relu_save(const dcv_graph *g, const dcv_node *nd, const dcv_io *io, void *saved)
{
    (void)g, (void)nd;
    dcv_gate_save(&io->y[0], 0, INFINITY, saved);
}

static void leaky_slope(const void *attr, int64_t n, const float *x, const float *y, const float *gy, float *gx)
{
    const float alpha = (float)((const leaky_attr *)attr)->alpha;
    (void)y;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        gx[i] = x[i] > 0 ? gy[i] : alpha * gy[i];
}

static void leaky_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_slope_run(nd, io, leaky_slope);
}

const dcv_op dcv_op_relu = {.name = "Relu",
                            .min_in = 1,
                            .max_in = 1,
                            .max_out = 1,
                            .flags = DCV_OP_IN_PLACE | DCV_OP_ACTIVATION | DCV_OP_ELEMENTWISE,
                            .layout = DCV_LAYOUT_SAME,
                            .shape = dcv_shape_same,
                            .forward = relu_forward,
                            .back_layout = DCV_LAYOUT_SAME,
                            .saved_bytes = dcv_gate_bytes,
                            .save = relu_save,
                            .backward = dcv_gate_backward};

const dcv_op dcv_op_leakyrelu = {.name = "LeakyRelu",
                                 .min_in = 1,
                                 .max_in = 1,
                                 .max_out = 1,
                                 .attr_size = sizeof(leaky_attr),
                                 .fields = leaky_fields,
                                 .flags = DCV_OP_IN_PLACE | DCV_OP_ACTIVATION | DCV_OP_ELEMENTWISE,
                                 .layout = DCV_LAYOUT_SAME,
                                 .shape = dcv_shape_same,
                                 .forward = leaky_forward,
                                 .back_reads = DCV_BACK_X,
                                 .back_layout = DCV_LAYOUT_SAME,
                                 .backward = leaky_backward};
