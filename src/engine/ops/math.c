/* math.c -- ONNX Abs, Ceil, Cos, Erf, Exp, Floor, Log, Neg, Not, Reciprocal, Round, Sign, Sin, Sqrt (all versions):
 * functions of one number that are no activations.
 *
 * Exporters emit them in shape arithmetic (Floor, Ceil), in spelt-out activations (Erf of GELU) and in positions of
 * attention (Sin, Cos).  Round is half to even.
 */
#include "engine/ops/exp.h"
#include "engine/ops/function.h"

DCV_FUNCTION(abs, 0, true, fabsf(v))
DCV_FUNCTION(ceil, 0, true, ceilf(v))
DCV_FUNCTION(cos, 0, false, cosf(v))
DCV_FUNCTION(erf, 0, true, erff(v))
DCV_FUNCTION(floor, 0, true, floorf(v))
DCV_FUNCTION(log, 0, false, logf(v))
DCV_FUNCTION(neg, 0, true, -v)
DCV_FUNCTION(not, 0, false, v == 0)
DCV_FUNCTION(reciprocal, 0, false, 1 / v)
DCV_FUNCTION(round, 0, true, rintf(v))
DCV_FUNCTION(sign, 0, true, v > 0 ? 1 : v < 0 ? -1 : v)
DCV_FUNCTION(sin, 0, true, sinf(v))
DCV_FUNCTION(sqrt, 0, true, sqrtf(v))

DCV_CLONES static void exp_map(const void *attr, int64_t n, const float *x, float *y)
{
    (void)attr;
    for (int64_t i = 0; i < n; i += DCV_EXP_CHUNK)
        dcv_exp_chunk((int)(n - i < DCV_EXP_CHUNK ? n - i : DCV_EXP_CHUNK), x + i, y + i);
}

/* Integers reach these only in shape arithmetic. */
typedef int64_t (*of_int)(int64_t);

static int64_t int_abs(int64_t v)
{
    return v < 0 ? (int64_t)(0 - (uint64_t)v) : v;
}

static int64_t int_neg(int64_t v)
{
    return (int64_t)(0 - (uint64_t)v);
}

static int64_t int_not(int64_t v)
{
    return !v;
}

static int64_t int_sign(int64_t v)
{
    return (v > 0) - (v < 0);
}

static dcv_status fold(const dcv_fold_io *io, of_int fn, dcv_map_fn floats)
{
    const int64_t n = dcv_count(&io->y[0].dims);
    if (io->y[0].type == DCV_F32)
        floats(NULL, n, io->x[0]->constant, io->to[0]);
    else
        for (int64_t i = 0; i < n; i++)
            ((int64_t *)io->to[0])[i] = fn(((const int64_t *)io->x[0]->constant)[i]);
    return DCV_OK;
}

#define FOLD(symbol)                                                                                                   \
    static dcv_status symbol##_fold(const dcv_fold_io *io)                                                             \
    {                                                                                                                  \
        return fold(io, int_##symbol, symbol##_map);                                                                   \
    }

DCV_FORWARD(exp, false)

FOLD(abs)
FOLD(neg)
FOLD(not )
FOLD(sign)

DCV_DERIVATIVE(abs, 0, v > 0 ? 1 : v < 0 ? -1 : 0)
DCV_DERIVATIVE(cos, 0, -sinf(v))
DCV_DERIVATIVE(erf, 0, 1.12837917f * expf(-v * v))
DCV_DERIVATIVE(exp, 0, w)
DCV_DERIVATIVE(log, 0, 1 / v)
DCV_DERIVATIVE(neg, 0, -1)
DCV_DERIVATIVE(reciprocal, 0, -w *w)
DCV_DERIVATIVE(sin, 0, cosf(v))
DCV_DERIVATIVE(sqrt, 0, 0.5f / w)

#define COMMON DCV_OF_ONE, .flags = DCV_OP_IN_PLACE | DCV_OP_ELEMENTWISE, .shape = dcv_shape_same

const dcv_op dcv_op_abs = {
    .name = "Abs", COMMON, .fold = abs_fold, .forward = abs_forward, DCV_WALKS_BACK(abs, DCV_BACK_X)};
const dcv_op dcv_op_ceil = {.name = "Ceil", COMMON, .forward = ceil_forward};
const dcv_op dcv_op_cos = {.name = "Cos", COMMON, .forward = cos_forward, DCV_WALKS_BACK(cos, DCV_BACK_X)};
const dcv_op dcv_op_erf = {.name = "Erf", COMMON, .forward = erf_forward, DCV_WALKS_BACK(erf, DCV_BACK_X)};
const dcv_op dcv_op_exp = {.name = "Exp", COMMON, .forward = exp_forward, DCV_WALKS_BACK(exp, DCV_BACK_Y)};
const dcv_op dcv_op_floor = {.name = "Floor", COMMON, .forward = floor_forward};
const dcv_op dcv_op_log = {.name = "Log", COMMON, .forward = log_forward, DCV_WALKS_BACK(log, DCV_BACK_X)};
const dcv_op dcv_op_neg = {.name = "Neg", COMMON, .fold = neg_fold, .forward = neg_forward, DCV_WALKS_BACK(neg, 0)};
const dcv_op dcv_op_not = {.name = "Not", COMMON, .fold = not_fold, .forward = not_forward};
const dcv_op dcv_op_reciprocal = {
    .name = "Reciprocal", COMMON, .forward = reciprocal_forward, DCV_WALKS_BACK(reciprocal, DCV_BACK_Y)};
const dcv_op dcv_op_round = {.name = "Round", COMMON, .forward = round_forward};
const dcv_op dcv_op_sign = {.name = "Sign", COMMON, .fold = sign_fold, .forward = sign_forward};
const dcv_op dcv_op_sin = {.name = "Sin", COMMON, .forward = sin_forward, DCV_WALKS_BACK(sin, DCV_BACK_X)};
const dcv_op dcv_op_sqrt = {.name = "Sqrt", COMMON, .forward = sqrt_forward, DCV_WALKS_BACK(sqrt, DCV_BACK_Y)};
