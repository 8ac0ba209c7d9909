/* math.c -- ONNX Ceil, Erf, Exp, Floor, Neg, Sqrt (all versions): functions of one number that are no activations.
 *
 * Exporters emit them in shape arithmetic (Floor, Ceil) and in spelt-out activations (Erf of GELU).
 */
#include <math.h>
#include "engine/ops/exp.h"
#include "engine/ops/gate.h"
#include "engine/ops/map.h"

static void do_ceil(const void *attr, int64_t n, const float *x, float *y)
{
    (void)attr;
    for (int64_t i = 0; i < n; i++)
        y[i] = ceilf(x[i]);
}

static void do_floor(const void *attr, int64_t n, const float *x, float *y)
{
    (void)attr;
    for (int64_t i = 0; i < n; i++)
        y[i] = floorf(x[i]);
}

static void do_erf(const void *attr, int64_t n, const float *x, float *y)
{
    (void)attr;
    for (int64_t i = 0; i < n; i++)
        y[i] = erff(x[i]);
}

DCV_CLONES static void do_exp(const void *attr, int64_t n, const float *x, float *y)
{
    (void)attr;
    for (int64_t i = 0; i < n; i += DCV_EXP_CHUNK)
        dcv_exp_chunk((int)(n - i < DCV_EXP_CHUNK ? n - i : DCV_EXP_CHUNK), x + i, y + i);
}

static void do_neg(const void *attr, int64_t n, const float *x, float *y)
{
    (void)attr;
    for (int64_t i = 0; i < n; i++)
        y[i] = -x[i];
}

static void do_sqrt(const void *attr, int64_t n, const float *x, float *y)
{
    (void)attr;
    for (int64_t i = 0; i < n; i++)
        y[i] = sqrtf(x[i]);
}

/* Integers reach Neg only in shape arithmetic. */
static dcv_status neg_fold(const dcv_fold_io *io)
{
    const int64_t n = dcv_count(&io->y[0].dims);
    if (io->y[0].type == DCV_F32)
        do_neg(NULL, n, io->x[0]->constant, io->to[0]);
    else
        for (int64_t i = 0; i < n; i++)
            ((int64_t *)io->to[0])[i] = (int64_t)(0 - ((const uint64_t *)io->x[0]->constant)[i]);
    return DCV_OK;
}

static void ceil_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, do_ceil, true);
}

static void erf_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, do_erf, true);
}

static void exp_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, do_exp, false);
}

static void floor_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, do_floor, true);
}

static void neg_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, do_neg, true);
}

static void sqrt_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_map_run(nd, io, do_sqrt, true);
}

static void erf_slope(const void *attr, int64_t n, const float *x, const float *y, const float *gy, float *gx)
{
    (void)attr, (void)x, (void)y;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        gx[i] = gy[i] * (1.12837917f * expf(-x[i] * x[i]));
}

static void erf_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_slope_run(nd, io, erf_slope);
}

static void exp_slope(const void *attr, int64_t n, const float *x, const float *y, const float *gy, float *gx)
{
    (void)attr, (void)x, (void)y;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        gx[i] = gy[i] * y[i];
}

static void exp_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_slope_run(nd, io, exp_slope);
}

static void neg_slope(const void *attr, int64_t n, const float *x, const float *y, const float *gy, float *gx)
{
    (void)attr, (void)x, (void)y;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        gx[i] = -gy[i];
}

static void neg_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_slope_run(nd, io, neg_slope);
}

static void sqrt_slope(const void *attr, int64_t n, const float *x, const float *y, const float *gy, float *gx)
{
    (void)attr, (void)x, (void)y;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        gx[i] = gy[i] * 0.5f / y[i];
}

static void sqrt_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_slope_run(nd, io, sqrt_slope);
}

#define COMMON                                                                                                         \
    .min_in = 1, .max_in = 1, .max_out = 1, .flags = DCV_OP_IN_PLACE | DCV_OP_ELEMENTWISE, .layout = DCV_LAYOUT_SAME,  \
    .shape = dcv_shape_same

const dcv_op dcv_op_ceil = {.name = "Ceil", COMMON, .forward = ceil_forward};
const dcv_op dcv_op_erf = {.name = "Erf",
                           COMMON,
                           .forward = erf_forward,
                           .back_reads = DCV_BACK_X,
                           .back_layout = DCV_LAYOUT_SAME,
                           .backward = erf_backward};
const dcv_op dcv_op_exp = {.name = "Exp",
                           COMMON,
                           .forward = exp_forward,
                           .back_reads = DCV_BACK_Y,
                           .back_layout = DCV_LAYOUT_SAME,
                           .backward = exp_backward};
const dcv_op dcv_op_floor = {.name = "Floor", COMMON, .forward = floor_forward};
const dcv_op dcv_op_neg = {.name = "Neg",
                           COMMON,
                           .fold = neg_fold,
                           .forward = neg_forward,
                           .back_layout = DCV_LAYOUT_SAME,
                           .backward = neg_backward};
const dcv_op dcv_op_sqrt = {.name = "Sqrt",
                            COMMON,
                            .forward = sqrt_forward,
                            .back_reads = DCV_BACK_Y,
                            .back_layout = DCV_LAYOUT_SAME,
                            .backward = sqrt_backward};
