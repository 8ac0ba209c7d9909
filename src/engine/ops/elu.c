/* elu.c -- ONNX Elu (6, 22), Selu (6, 22), Celu (12), Softplus, Softsign (1, 22), Mish (18, 22), Swish (24), Gelu (20),
 * ThresholdedRelu (10, 22), Shrink (9): activations of one number, each given by its formula.
 */
#include <string.h>
#include "engine/ops/function.h"

typedef struct numbers {
    double a, b;
} numbers;

#define NUMBER(key, member, value, text)                                                                               \
    {                                                                                                                  \
        key, DCV_FIELD_REAL, DCV_AT(numbers, member), .dflt = value, .help = text                                      \
    }

static const dcv_field elu_fields[] = {NUMBER("alpha", a, "1", "minus the value at minus infinity"), DCV_FIELDS_END};
static const dcv_field selu_fields[] = {NUMBER("alpha", a, "1.67326319217681884765625", "as Elu's"),
                                        NUMBER("gamma", b, "1.05070102214813232421875", "factor of all"),
                                        DCV_FIELDS_END};
static const dcv_field swish_fields[] = {NUMBER("alpha", a, "1", "factor inside the sigmoid"), DCV_FIELDS_END};

static const dcv_field shrink_fields[] = {NUMBER("lambd", a, "0.5", "half of the width that becomes 0"),
                                          NUMBER("bias", b, "0", "how far the rest moves inwards"), DCV_FIELDS_END};

DCV_FUNCTION(elu, 1, true, v < 0 ? a * expm1f(v) : v)
DCV_FUNCTION(selu, 2, true, b *(v < 0 ? a * expm1f(v) : v))
DCV_FUNCTION(celu, 1, true, v < 0 ? a * expm1f(v / a) : v)
DCV_FUNCTION(softplus, 0, false, (v > 0 ? v : 0) + log1pf(expf(-fabsf(v))))
DCV_FUNCTION(softsign, 0, true, v / (1 + fabsf(v)))
DCV_FUNCTION(swish, 1, true, v / (1 + expf(-a * v)))
DCV_FUNCTION(thresholded, 1, true, v > a ? v : isnan(v) ? v : 0)

DCV_FUNCTION(shrink, 2, true, v<-a ? v + b : v> a ? v - b : isnan(v) ? v : 0)

DCV_DERIVATIVE(shrink, 2, v<-a || v> a ? 1 : 0)
DCV_DERIVATIVE(elu, 1, v < 0 ? a * expf(v) : 1)
DCV_DERIVATIVE(selu, 2, b *(v < 0 ? a * expf(v) : 1))
DCV_DERIVATIVE(celu, 1, v < 0 ? expf(v / a) : 1)
DCV_DERIVATIVE(softplus, 0, 1 / (1 + expf(-v)))
DCV_DERIVATIVE(softsign, 0, 1 / ((1 + fabsf(v)) * (1 + fabsf(v))))
DCV_DERIVATIVE(thresholded, 1, v > a ? 1 : 0)

static float sigmoid(float v)
{
    return 1 / (1 + expf(-v));
}

DCV_DERIVATIVE(swish, 1, sigmoid(a *v) * (1 + a * v * (1 - sigmoid(a * v))))

/* tanh(softplus(v)) = (e^2v + 2 e^v) / (e^2v + 2 e^v + 2), which keeps its digits at both ends. */
static float mish_gate(float v)
{
    const float e = expf(v > 20 ? 20 : v), n = e * (e + 2);
    return n / (n + 2);
}

DCV_FUNCTION(mish, 0, true, v *mish_gate(v))
DCV_DERIVATIVE(mish, 0, mish_gate(v) + v * (1 - mish_gate(v) * mish_gate(v)) * sigmoid(v))

/* ---- Gelu ---- */

typedef struct gelu_attr {
    char *approximate;
} gelu_attr;

static const dcv_field gelu_fields[] = {{"approximate", DCV_FIELD_STRING, DCV_AT(gelu_attr, approximate),
                                         .dflt = "none", .help = "none: by Erf; tanh: by its approximation"},
                                        DCV_FIELDS_END};

static dcv_status gelu_shape(const dcv_shape_io *io)
{
    const char *how = ((const gelu_attr *)io->node->attr)->approximate;
    if (strcmp(how, "none") && strcmp(how, "tanh"))
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "approximate is \"%s\"; expected none or tanh", how);
    return dcv_shape_same(io);
}

static const float sqrt_half = 0.70710678f, sqrt_2_pi = 0.79788456f, inverse_sqrt_2pi = 0.39894228f;

/* The distribution function of the normal distribution, exact and approximate, and v times its derivative. */
static float normal(float v)
{
    return 0.5f * erfcf(-v * sqrt_half);
}

static float nearly_normal(float v)
{
    return 0.5f * (1 + tanhf(sqrt_2_pi * (v + 0.044715f * v * v * v)));
}

static float nearly_normal_slope(float v)
{
    const float p = nearly_normal(v);
    return 2 * p * (1 - p) * sqrt_2_pi * (v + 3 * 0.044715f * v * v * v);
}

DCV_FUNCTION(gelu_erf, 0, true, v *normal(v))
DCV_FUNCTION(gelu_tanh, 0, true, v *nearly_normal(v))
DCV_DERIVATIVE(gelu_erf, 0, normal(v) + v * inverse_sqrt_2pi * expf(-0.5f * v * v))
DCV_DERIVATIVE(gelu_tanh, 0, nearly_normal(v) + nearly_normal_slope(v))

static bool approximates(const dcv_node *nd)
{
    return !strcmp(((const gelu_attr *)nd->attr)->approximate, "tanh");
}

static void gelu_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (approximates(nd) ? gelu_tanh_forward : gelu_erf_forward)(g, nd, io);
}

static void gelu_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (approximates(nd) ? gelu_tanh_backward : gelu_erf_backward)(g, nd, io);
}

#define MAPS          DCV_OF_ONE, .flags = DCV_OP_IN_PLACE | DCV_OP_ELEMENTWISE | DCV_OP_ACTIVATION
#define COMMON        MAPS, .shape = dcv_shape_same
#define WITH(fields_) .attr_size = sizeof(numbers), .fields = fields_

const dcv_op dcv_op_elu = {
    .name = "Elu", COMMON, WITH(elu_fields), .forward = elu_forward, DCV_WALKS_BACK(elu, DCV_BACK_X)};
const dcv_op dcv_op_selu = {
    .name = "Selu", COMMON, WITH(selu_fields), .forward = selu_forward, DCV_WALKS_BACK(selu, DCV_BACK_X)};
const dcv_op dcv_op_celu = {
    .name = "Celu", COMMON, WITH(elu_fields), .forward = celu_forward, DCV_WALKS_BACK(celu, DCV_BACK_X)};
const dcv_op dcv_op_softplus = {
    .name = "Softplus", COMMON, .forward = softplus_forward, DCV_WALKS_BACK(softplus, DCV_BACK_X)};
const dcv_op dcv_op_softsign = {
    .name = "Softsign", COMMON, .forward = softsign_forward, DCV_WALKS_BACK(softsign, DCV_BACK_X)};
const dcv_op dcv_op_mish = {.name = "Mish", COMMON, .forward = mish_forward, DCV_WALKS_BACK(mish, DCV_BACK_X)};
const dcv_op dcv_op_swish = {
    .name = "Swish", COMMON, WITH(swish_fields), .forward = swish_forward, DCV_WALKS_BACK(swish, DCV_BACK_X)};
const dcv_op dcv_op_thresholdedrelu = {.name = "ThresholdedRelu",
                                       COMMON,
                                       WITH(elu_fields),
                                       .forward = thresholded_forward,
                                       DCV_WALKS_BACK(thresholded, DCV_BACK_X)};
const dcv_op dcv_op_shrink = {
    .name = "Shrink", COMMON, WITH(shrink_fields), .forward = shrink_forward, DCV_WALKS_BACK(shrink, DCV_BACK_X)};
const dcv_op dcv_op_gelu = {.name = "Gelu",
                            MAPS,
                            .attr_size = sizeof(gelu_attr),
                            .fields = gelu_fields,
                            .shape = gelu_shape,
                            .forward = gelu_forward,
                            .back_reads = DCV_BACK_X,
                            .backward = gelu_backward};
