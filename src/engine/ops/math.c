/* math.c -- ONNX Abs, Acos, Acosh, Asin, Asinh, Atan, Atanh, Ceil, Cos, Cosh, Erf, Exp, Floor, IsInf, IsNaN, Log, Neg,
 * Not, Reciprocal, Round, Sign, Sin, Sinh, Sqrt, Tan (all versions): functions of one number that are no activations.
 *
 * Exporters emit them in shape arithmetic (Floor, Ceil), in spelt-out activations (Erf of GELU) and in positions of
 * attention (Sin, Cos).  Round is half to even.
 */
#include "engine/ops/exp.h"
#include "engine/ops/function.h"

DCV_FUNCTION(abs, 0, true, fabsf(v))
DCV_FUNCTION(acos, 0, false, acosf(v))
DCV_FUNCTION(acosh, 0, false, acoshf(v))
DCV_FUNCTION(asin, 0, true, asinf(v))
DCV_FUNCTION(asinh, 0, true, asinhf(v))
DCV_FUNCTION(atan, 0, true, atanf(v))
DCV_FUNCTION(atanh, 0, true, atanhf(v))
DCV_FUNCTION(ceil, 0, true, ceilf(v))
DCV_FUNCTION(cosh, 0, false, coshf(v))
DCV_FUNCTION(isnan, 0, true, isnan(v))
DCV_FUNCTION(sinh, 0, true, sinhf(v))
DCV_FUNCTION(tan, 0, true, tanf(v))
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
DCV_DERIVATIVE(acos, 0, -1 / sqrtf(1 - v * v))
DCV_DERIVATIVE(acosh, 0, 1 / sqrtf(v * v - 1))
DCV_DERIVATIVE(asin, 0, 1 / sqrtf(1 - v * v))
DCV_DERIVATIVE(asinh, 0, 1 / sqrtf(v * v + 1))
DCV_DERIVATIVE(atan, 0, 1 / (1 + v * v))
DCV_DERIVATIVE(atanh, 0, 1 / (1 - v * v))
DCV_DERIVATIVE(cos, 0, -sinf(v))
DCV_DERIVATIVE(cosh, 0, sinhf(v))
DCV_DERIVATIVE(sinh, 0, coshf(v))
DCV_DERIVATIVE(tan, 0, 1 + w * w)
DCV_DERIVATIVE(erf, 0, 1.12837917f * expf(-v * v))
DCV_DERIVATIVE(exp, 0, w)
DCV_DERIVATIVE(log, 0, 1 / v)
DCV_DERIVATIVE(neg, 0, -1)
DCV_DERIVATIVE(reciprocal, 0, -w *w)
DCV_DERIVATIVE(sin, 0, cosf(v))
DCV_DERIVATIVE(sqrt, 0, 0.5f / w)

/* Truth values of floats. */
typedef struct signs {
    int64_t negative, positive;
} signs;

static const dcv_field isinf_fields[] = {{"detect_negative", DCV_FIELD_INT, DCV_AT(signs, negative), .dflt = "1",
                                          .min = 0, .max = 1, .help = "does minus infinity count"},
                                         {"detect_positive", DCV_FIELD_INT, DCV_AT(signs, positive), .dflt = "1",
                                          .min = 0, .max = 1, .help = "does plus infinity count"},
                                         DCV_FIELDS_END};

static void isinf_map(const void *attr, int64_t n, const float *x, float *y)
{
    const signs *s = attr;
    for (int64_t i = 0; i < n; i++)
        y[i] = isinf(x[i]) && (x[i] < 0 ? s->negative : s->positive);
}

DCV_FORWARD(isinf, true)

static dcv_status truth_shape(const dcv_shape_io *io)
{
    DCV_TRY(dcv_shape_same(io));
    io->y[0].type = DCV_I64;
    return DCV_OK;
}

static dcv_status truth_fold(const dcv_fold_io *io, const void *attr, dcv_map_fn fn)
{
    const int64_t n = dcv_count(&io->y[0].dims);
    for (int64_t i = 0; i < n; i++) {
        float is = 0; /* no whole number is infinite */
        if (io->x[0]->type == DCV_F32)
            fn(attr, 1, (const float *)io->x[0]->constant + i, &is);
        ((int64_t *)io->to[0])[i] = is != 0;
    }
    return DCV_OK;
}

static dcv_status isnan_fold(const dcv_fold_io *io)
{
    return truth_fold(io, NULL, isnan_map);
}

static dcv_status isinf_fold(const dcv_fold_io *io)
{
    return truth_fold(io, io->node->attr, isinf_map);
}

#define COMMON DCV_OF_ONE, .flags = DCV_OP_IN_PLACE | DCV_OP_ELEMENTWISE, .shape = dcv_shape_same

const dcv_op dcv_op_abs = {
    .name = "Abs", COMMON, .fold = abs_fold, .forward = abs_forward, DCV_WALKS_BACK(abs, DCV_BACK_X)};
const dcv_op dcv_op_acos = {.name = "Acos", COMMON, .forward = acos_forward, DCV_WALKS_BACK(acos, DCV_BACK_X)};
const dcv_op dcv_op_acosh = {.name = "Acosh", COMMON, .forward = acosh_forward, DCV_WALKS_BACK(acosh, DCV_BACK_X)};
const dcv_op dcv_op_asin = {.name = "Asin", COMMON, .forward = asin_forward, DCV_WALKS_BACK(asin, DCV_BACK_X)};
const dcv_op dcv_op_asinh = {.name = "Asinh", COMMON, .forward = asinh_forward, DCV_WALKS_BACK(asinh, DCV_BACK_X)};
const dcv_op dcv_op_atan = {.name = "Atan", COMMON, .forward = atan_forward, DCV_WALKS_BACK(atan, DCV_BACK_X)};
const dcv_op dcv_op_atanh = {.name = "Atanh", COMMON, .forward = atanh_forward, DCV_WALKS_BACK(atanh, DCV_BACK_X)};
const dcv_op dcv_op_ceil = {.name = "Ceil", COMMON, .forward = ceil_forward};
const dcv_op dcv_op_cos = {.name = "Cos", COMMON, .forward = cos_forward, DCV_WALKS_BACK(cos, DCV_BACK_X)};
const dcv_op dcv_op_cosh = {.name = "Cosh", COMMON, .forward = cosh_forward, DCV_WALKS_BACK(cosh, DCV_BACK_X)};
const dcv_op dcv_op_sinh = {.name = "Sinh", COMMON, .forward = sinh_forward, DCV_WALKS_BACK(sinh, DCV_BACK_X)};
const dcv_op dcv_op_tan = {.name = "Tan", COMMON, .forward = tan_forward, DCV_WALKS_BACK(tan, DCV_BACK_Y)};
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

#define TRUTH DCV_OF_ONE, .flags = DCV_OP_IN_PLACE | DCV_OP_ELEMENTWISE, .shape = truth_shape

const dcv_op dcv_op_isnan = {.name = "IsNaN", TRUTH, .fold = isnan_fold, .forward = isnan_forward};
const dcv_op dcv_op_isinf = {.name = "IsInf",
                             TRUTH,
                             .attr_size = sizeof(signs),
                             .fields = isinf_fields,
                             .fold = isinf_fold,
                             .forward = isinf_forward};
