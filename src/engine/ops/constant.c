/* constant.c -- values made of nothing: ONNX Constant (1, 11, 12, 13), ConstantOfShape (9), Range (11). */
#include <math.h>
#include <string.h>
#include "engine/ops/util.h"

/* The one attribute that carries the value, or NULL. */
static const dcv_attr *value_of(const dcv_node *nd)
{
    static const char *const names[] = {"value", "value_float", "value_floats", "value_int", "value_ints"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const dcv_attr *a = dcv_model_attr(nd->source, names[i]);
        if (a)
            return a;
    }
    return NULL;
}

static dcv_status constant_shape(const dcv_shape_io *io)
{
    const dcv_attr *a = value_of(io->node);
    dcv_value *y = &io->y[0];
    if (!a || a->type == DCV_ATTR_STRING || a->type == DCV_ATTR_STRINGS || a->type == DCV_ATTR_OTHER)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "the value is no tensor, float or integer");
    const bool list = a->type == DCV_ATTR_FLOATS || a->type == DCV_ATTR_INTS;
    y->type = a->type == DCV_ATTR_FLOAT || a->type == DCV_ATTR_FLOATS ? DCV_F32 : DCV_I64;
    y->dims = list ? (dcv_dims){1, {a->n}} : (dcv_dims){0};
    if (a->type == DCV_ATTR_TENSOR) {
        y->type = a->tensor->type;
        y->dims = a->tensor->dims;
        y->constant = a->tensor->data; /* borrowed from the model, nothing to fold */
        y->stored = a->tensor->stored;
    }
    return DCV_OK;
}

static dcv_status constant_fold(const dcv_fold_io *io)
{
    const dcv_attr *a = value_of(io->node);
    for (int64_t i = 0; i < dcv_count(&io->y[0].dims); i++)
        if (io->y[0].type == DCV_F32)
            ((float *)io->to[0])[i] = (float)a->f[i];
        else
            ((int64_t *)io->to[0])[i] = a->i[i];
    return DCV_OK;
}

static dcv_status filled_shape(const dcv_shape_io *io)
{
    const dcv_attr *a = dcv_model_attr(io->node->source, "value");
    const int64_t *want;
    int64_t n;
    DCV_TRY(dcv_op_ints(io, 0, "shape", &want, &n));
    if (n > DCV_MAX_RANK)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%lld axes; at most %d are supported", (long long)n, DCV_MAX_RANK);
    if (a && (a->type != DCV_ATTR_TENSOR || dcv_count(&a->tensor->dims) != 1))
        return dcv_op_fail(io, DCV_EDATA, "value must be a tensor with one element");
    io->y[0].type = a ? a->tensor->type : DCV_F32;
    io->y[0].dims.n = (int)n;
    memcpy(io->y[0].dims.d, want, (size_t)n * sizeof *want);
    return DCV_OK;
}

static dcv_status filled_fold(const dcv_fold_io *io)
{
    const dcv_attr *a = dcv_model_attr(io->node->source, "value");
    for (int64_t i = 0; i < dcv_count(&io->y[0].dims); i++)
        if (io->y[0].type == DCV_F32)
            ((float *)io->to[0])[i] = a ? *(const float *)a->tensor->data : 0;
        else
            ((int64_t *)io->to[0])[i] = *(const int64_t *)a->tensor->data;
    return DCV_OK;
}

static dcv_status range_shape(const dcv_shape_io *io)
{
    double start, limit, delta;
    DCV_TRY(dcv_op_number(io, 0, "start", &start));
    DCV_TRY(dcv_op_number(io, 1, "limit", &limit));
    DCV_TRY(dcv_op_number(io, 2, "delta", &delta));
    const double n = ceil((limit - start) / delta);
    if (!(fabs(n) <= 0x1p40))
        return dcv_op_fail(io, DCV_EDATA, "from %g to %g by %g", start, limit, delta);
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = (dcv_dims){1, {n > 0 ? (int64_t)n : 0}};
    return DCV_OK;
}

static dcv_status range_fold(const dcv_fold_io *io)
{
    for (int64_t i = 0; i < io->y[0].dims.d[0]; i++)
        if (io->y[0].type == DCV_F32)
            ((float *)io->to[0])[i] =
                *(const float *)io->x[0]->constant + (float)i * *(const float *)io->x[2]->constant;
        else
            ((int64_t *)io->to[0])[i] = *(const int64_t *)io->x[0]->constant + i * *(const int64_t *)io->x[2]->constant;
    return DCV_OK;
}

/* Constant's attributes are read from the model's node as they are. */
const dcv_op dcv_op_constant = {
    .name = "Constant",
    .max_out = 1,
    .ignored = "value|value_float|value_floats|value_int|value_ints|value_string|value_strings|sparse_value",
    .flags = DCV_OP_OF_SHAPE,
    .layout = DCV_LAYOUT_PLAIN,
    .shape = constant_shape,
    .fold = constant_fold};

const dcv_op dcv_op_constantofshape = {.name = "ConstantOfShape",
                                       .min_in = 1,
                                       .max_in = 1,
                                       .max_out = 1,
                                       .ignored = "value",
                                       .layout = DCV_LAYOUT_PLAIN,
                                       .shape = filled_shape,
                                       .fold = filled_fold};

const dcv_op dcv_op_range = {.name = "Range",
                             .min_in = 3,
                             .max_in = 3,
                             .max_out = 1,
                             .layout = DCV_LAYOUT_PLAIN,
                             .shape = range_shape,
                             .fold = range_fold};
