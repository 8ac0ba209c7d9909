/* cast.c -- ONNX Cast (6, 9, 13, 19, 21) and CastLike (15, 19, 21) among numbers: floats are float32, integers and
 * bools int64.
 *
 * Float to integer truncates, to bool is x != 0.  A cast to float16 or double changes nothing.
 */
#include <math.h>
#include <string.h>
#include "engine/ops/util.h"

typedef struct cast_attr {
    int64_t to;
} cast_attr;

static const dcv_field fields[] = {
    {"to", DCV_FIELD_INT, DCV_AT(cast_attr, to), .required = true, .help = "TensorProto.DataType"}, DCV_FIELDS_END};

typedef enum kind { KIND_NONE, KIND_FLOAT, KIND_INT, KIND_BOOL } kind;

/* By TensorProto.DataType: float, double, float16, bfloat16; bool; integers of up to 64 bits. */
static kind kind_of(int64_t type)
{
    static const kind kinds[] = {KIND_NONE, KIND_FLOAT, KIND_INT,  KIND_INT,  KIND_INT,   KIND_INT,
                                 KIND_INT,  KIND_INT,   KIND_NONE, KIND_BOOL, KIND_FLOAT, KIND_FLOAT,
                                 KIND_INT,  KIND_INT,   KIND_NONE, KIND_NONE, KIND_FLOAT};
    return type > 0 && type < (int64_t)(sizeof kinds / sizeof *kinds) ? kinds[type] : KIND_NONE;
}

static dcv_status shape(const dcv_shape_io *io)
{
    const int64_t to = ((const cast_attr *)io->node->attr)->to;
    if (kind_of(to) == KIND_NONE)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "cast to element type %lld", (long long)to);
    io->y[0].type = kind_of(to) == KIND_FLOAT ? DCV_F32 : DCV_I64;
    io->y[0].dims = io->x[0]->dims;
    return DCV_OK;
}

/* As Cast to float or to an integer: truth values and other whole numbers are one type here. */
static dcv_status like_shape(const dcv_shape_io *io)
{
    enum { FLOAT = 1, INT64 = 7 }; /* of TensorProto.DataType */
    cast_attr *a = io->node->attr;
    a->to = io->x[1]->type == DCV_F32 ? FLOAT : INT64;
    io->y[0].type = io->x[1]->type;
    io->y[0].dims = io->x[0]->dims;
    return DCV_OK;
}

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)j;
    return k ? DCV_AXIS_MIXED : axis;
}

static int64_t to_int(float v)
{
    return v >= 0x1p63f ? INT64_MAX : v > -0x1p63f ? (int64_t)v : INT64_MIN; /* NaN as the least one, as x86 has it */
}

static dcv_status fold(const dcv_fold_io *io)
{
    const kind to = kind_of(((const cast_attr *)io->node->attr)->to);
    const float *f = io->x[0]->type == DCV_F32 ? io->x[0]->constant : NULL;
    const int64_t *i = f ? NULL : io->x[0]->constant;
    for (int64_t n = 0; n < dcv_count(&io->y[0].dims); n++)
        if (to == KIND_FLOAT)
            ((float *)io->to[0])[n] = f ? f[n] : (float)i[n];
        else if (to == KIND_BOOL)
            ((int64_t *)io->to[0])[n] = f ? f[n] != 0 : i[n] != 0;
        else
            ((int64_t *)io->to[0])[n] = f ? to_int(f[n]) : i[n];
    return DCV_OK;
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const kind to = kind_of(((const cast_attr *)nd->attr)->to);
    const int64_t n = dcv_blob_shape_of(io->y[0].dims, io->y[0].block).floats;
    for (int p = 0; p < io->y[0].n; p++) {
        const float *x = io->x[0].data + p * io->x[0].n_stride;
        float *y = io->y[0].data + p * io->y[0].n_stride;
        for (int64_t i = 0; i < n; i++)
            y[i] = to == KIND_FLOAT ? x[i] : to == KIND_BOOL ? x[i] != 0 : truncf(x[i]);
    }
}

/* From float to float nothing changes; whole numbers carry no signal. */
static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const dcv_blob *gy = &io->gy[0];
    if (nd->n_in > 1 && io->gx[1].data) /* of what lends its type alone */
        memset(io->gx[1].data, 0, (size_t)dcv_blob_shape_of(io->gx[1].dims, io->gx[1].block).floats * sizeof(float));
    if (io->gx[0].data && io->gx[0].data != gy->data)
        memcpy(io->gx[0].data, gy->data, (size_t)dcv_blob_shape_of(gy->dims, gy->block).floats * sizeof(float));
}

const dcv_op dcv_op_cast = {.name = "Cast",
                            .min_in = 1,
                            .max_in = 1,
                            .max_out = 1,
                            .attr_size = sizeof(cast_attr),
                            .fields = fields,
                            .ignored = "saturate|round_mode",
                            .flags = DCV_OP_IN_PLACE | DCV_OP_ELEMENTWISE,
                            .layout = DCV_LAYOUT_SAME,
                            .shape = shape,
                            .fold = fold,
                            .forward = forward,
                            .back_layout = DCV_LAYOUT_SAME,
                            .backward = backward};

const dcv_op dcv_op_castlike = {.name = "CastLike",
                                .min_in = 2,
                                .max_in = 2,
                                .max_out = 1,
                                .attr_size = sizeof(cast_attr),
                                .ignored = "saturate|round_mode",
                                .layout = DCV_LAYOUT_SAME,
                                .shape = like_shape,
                                .fold = fold,
                                .carries = carries,
                                .forward = forward,
                                .back_layout = DCV_LAYOUT_SAME,
                                .backward = backward};
