/* sigmoid.c -- ONNX Sigmoid (6, 13), HardSigmoid (6, 22), HardSwish (14, 22) and Tanh (6, 13).
 *
 * Sigmoid      y = 1 / (1 + exp(-x))
 * HardSigmoid  y = min(max(alpha x + beta, 0), 1)
 * HardSwish    y = x min(max(x / 6 + 1/2, 0), 1)
 */
#include <math.h>
#include "engine/ops/exp.h"
#include "engine/ops/gate.h"
#include "engine/ops/map.h"
#include "engine/ops/sigmoid.h"

static const dcv_field hard_fields[] = {
    {"alpha", DCV_FIELD_REAL, DCV_AT(dcv_hardsigmoid_attr, alpha), .dflt = "0.2", .help = "slope"},
    {"beta", DCV_FIELD_REAL, DCV_AT(dcv_hardsigmoid_attr, beta), .dflt = "0.5", .help = "value at 0"},
    DCV_FIELDS_END};

DCV_CLONES static void sigmoid(const void *attr, int64_t n, const float *x, float *y)
{
    (void)attr;
    for (int64_t i = 0; i < n; i += DCV_EXP_CHUNK) {
        float v[DCV_EXP_CHUNK];
        const int m = (int)(n - i < DCV_EXP_CHUNK ? n - i : DCV_EXP_CHUNK);
        for (int k = 0; k < m; k++)
            v[k] = -x[i + k];
        dcv_exp_chunk(m, v, v);
        for (int k = 0; k < m; k++)
            y[i + k] = 1 / (1 + v[k]);
    }
}

static void hyperbolic(const void *attr, int64_t n, const float *x, float *y)
{
    (void)attr;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        y[i] = tanhf(x[i]);
}

DCV_CLONES static void hard_sigmoid(const void *attr, int64_t n, const float *x, float *y)
{
    const float alpha = (float)((const dcv_hardsigmoid_attr *)attr)->alpha,
                beta = (float)((const dcv_hardsigmoid_attr *)attr)->beta;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        const float v = alpha * x[i] + beta, w = v < 0 ? 0 : v;
        y[i] = w > 1 ? 1 : w;
    }
}

DCV_CLONES static void hard_swish(const void *attr, int64_t n, const float *x, float *y)
{
    (void)attr;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] * (1.0f / 6) + 0.5f, w = v < 0 ? 0 : v;
        y[i] = x[i] * (w > 1 ? 1 : w);
    }
}

static void sigmoid_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, sigmoid, false);
}

static void tanh_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, hyperbolic, true);
}

static void hard_sigmoid_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, hard_sigmoid, false);
}

static void hard_swish_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, hard_swish, true);
}

static void sigmoid_slope(const void *attr, int64_t n, const float *x, const float *y, const float *gy, float *gx)
{
    (void)attr, (void)x, (void)y;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        gx[i] = gy[i] * y[i] * (1 - y[i]);
}

static void sigmoid_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_slope_run(nd, io, sigmoid_slope);
}

static void tanh_slope(const void *attr, int64_t n, const float *x, const float *y, const float *gy, float *gx)
{
    (void)attr, (void)x, (void)y;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        gx[i] = gy[i] * (1 - y[i] * y[i]);
}

static void tanh_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_slope_run(nd, io, tanh_slope);
}

static void hard_sigmoid_slope(const void *attr, int64_t n, const float *x, const float *y, const float *gy, float *gx)
{
    const float alpha = (float)((const dcv_hardsigmoid_attr *)attr)->alpha;
    (void)x;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        gx[i] = y[i] > 0 && y[i] < 1 ? alpha * gy[i] : 0;
}

static void hard_sigmoid_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_slope_run(nd, io, hard_sigmoid_slope);
}

static void hard_swish_slope(const void *attr, int64_t n, const float *x, const float *y, const float *gy, float *gx)
{
    (void)attr, (void)x, (void)y;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        gx[i] = x[i] <= -3 ? 0 : x[i] >= 3 ? gy[i] : gy[i] * (x[i] * (1.0f / 3) + 0.5f);
}

static void hard_swish_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_slope_run(nd, io, hard_swish_slope);
}

#define COMMON                                                                                                         \
    .min_in = 1, .max_in = 1, .max_out = 1, .flags = DCV_OP_IN_PLACE | DCV_OP_ACTIVATION | DCV_OP_ELEMENTWISE,         \
    .layout = DCV_LAYOUT_SAME, .back_layout = DCV_LAYOUT_SAME, .shape = dcv_shape_same

const dcv_op dcv_op_sigmoid = {
    .name = "Sigmoid", COMMON, .forward = sigmoid_forward, .back_reads = DCV_BACK_Y, .backward = sigmoid_backward};
const dcv_op dcv_op_tanh = {
    .name = "Tanh", COMMON, .forward = tanh_forward, .back_reads = DCV_BACK_Y, .backward = tanh_backward};
const dcv_op dcv_op_hardswish = {.name = "HardSwish",
                                 COMMON,
                                 .forward = hard_swish_forward,
                                 .back_reads = DCV_BACK_X,
                                 .backward = hard_swish_backward};
const dcv_op dcv_op_hardsigmoid = {.name = "HardSigmoid",
                                   COMMON,
                                   .attr_size = sizeof(dcv_hardsigmoid_attr),
                                   .fields = hard_fields,
                                   .forward = hard_sigmoid_forward,
                                   .back_reads = DCV_BACK_Y,
                                   .backward = hard_sigmoid_backward};
