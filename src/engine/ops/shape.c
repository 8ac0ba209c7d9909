/* shape.c -- ONNX Shape (1, 13, 15: start and end) and Size (1, 13): always known when a graph is built. */
#include "engine/ops/util.h"

typedef struct shape_attr {
    int64_t start, end;
    int first, n; /* axes that are given */
} shape_attr;

static const dcv_field fields[] = {
    {"start", DCV_FIELD_INT, DCV_AT(shape_attr, start), .dflt = "0", .help = "first axis"},
    {"end", DCV_FIELD_INT, DCV_AT(shape_attr, end), .dflt = "1000000", .help = "axis past the last"},
    DCV_FIELDS_END};

static int clamp_axis(int64_t axis, int rank)
{
    if (axis < 0)
        axis += rank;
    return axis < 0 ? 0 : axis > rank ? rank : (int)axis;
}

static dcv_status shape(const dcv_shape_io *io)
{
    shape_attr *a = io->node->attr;
    const int rank = io->x[0]->dims.n, end = clamp_axis(a->end, rank);
    a->first = clamp_axis(a->start, rank);
    a->n = end > a->first ? end - a->first : 0;
    io->y[0].type = DCV_I64;
    io->y[0].dims = (dcv_dims){1, {a->n}};
    return DCV_OK;
}

static dcv_status fold(const dcv_fold_io *io)
{
    const shape_attr *a = io->node->attr;
    for (int i = 0; i < a->n; i++)
        ((int64_t *)io->to[0])[i] = io->x[0]->dims.d[a->first + i];
    return DCV_OK;
}

static dcv_status size_shape(const dcv_shape_io *io)
{
    io->y[0].type = DCV_I64;
    io->y[0].dims = (dcv_dims){0};
    return DCV_OK;
}

static dcv_status size_fold(const dcv_fold_io *io)
{
    *(int64_t *)io->to[0] = dcv_count(&io->x[0]->dims);
    return DCV_OK;
}

#define COMMON .min_in = 1, .max_in = 1, .max_out = 1, .flags = DCV_OP_OF_SHAPE, .layout = DCV_LAYOUT_PLAIN

const dcv_op dcv_op_shape = {
    .name = "Shape", COMMON, .attr_size = sizeof(shape_attr), .fields = fields, .shape = shape, .fold = fold};
const dcv_op dcv_op_size = {.name = "Size", COMMON, .shape = size_shape, .fold = size_fold};
