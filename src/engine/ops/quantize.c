/* quantize.c -- ONNX QuantizeLinear and DequantizeLinear (10, 13, 19, 21): numbers on the grid of a quantised network,
 * as float32.
 *
 * y = saturate(round(x / scale) + zero point), half to even; and back, x = (y - zero point) scale.  Scale and zero
 * point are constant: one of them, one for each cell of an axis, or one for each block of cells along it.  The type
 * that the file has for the zero point, or output_dtype, says the range; without either it is that of uint8.  No signal
 * goes back: rounding has no derivative.
 */
#include <math.h>
#include <string.h>
#include "engine/ops/util.h"

typedef struct quant_attr {
    int64_t axis, block_size, output_dtype, saturate, precision;
    double lo, hi;
    const float *scale;
    const int64_t *zero; /* NULL: 0 */
    int at;              /* -1: one scale for all */
    int64_t per;         /* cells along the axis that share a scale */
} quant_attr;

static const dcv_field fields[] = {
    {"axis", DCV_FIELD_INT, DCV_AT(quant_attr, axis), .dflt = "1", .help = "axis that scales are along"},
    {"block_size", DCV_FIELD_INT, DCV_AT(quant_attr, block_size), .dflt = "0", .min = 0, .max = 1e9,
     .help = "cells that share a scale"},
    {"output_dtype", DCV_FIELD_INT, DCV_AT(quant_attr, output_dtype), .dflt = "0", .help = "TensorProto.DataType"},
    {"saturate", DCV_FIELD_INT, DCV_AT(quant_attr, saturate), .dflt = "1", .help = "of 8-bit floats"},
    {"precision", DCV_FIELD_INT, DCV_AT(quant_attr, precision), .dflt = "0", .help = "of the division"},
    DCV_FIELDS_END};

/* Ranges of element types, by TensorProto.DataType and by name. */
static const struct range {
    int64_t type;
    const char *name;
    double lo, hi;
} ranges[] = {{2, "uint8", 0, 255},
              {3, "int8", -128, 127},
              {4, "uint16", 0, 65535},
              {5, "int16", -32768, 32767},
              {6, "int32", -2147483648.0, 2147483647.0}};

static dcv_status find_range(const dcv_shape_io *io, quant_attr *a)
{
    const char *name = dcv_op_has(io, 2) ? io->x[2]->stored : NULL;
    a->lo = 0;
    a->hi = 255;
    if (!name && !a->output_dtype)
        return DCV_OK;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (a->output_dtype ? ranges[i].type == a->output_dtype : !strcmp(name, ranges[i].name)) {
            a->lo = ranges[i].lo;
            a->hi = ranges[i].hi;
            return DCV_OK;
        }
    return dcv_op_fail(io, DCV_EUNSUPPORTED, "element type %s (%lld); integers of 8, 16 and 32 bits are supported",
                       name ? name : "as output_dtype", (long long)a->output_dtype);
}

/* How scales are laid out: one, along an axis, or in blocks along it. */
static dcv_status lay_out(const dcv_shape_io *io, quant_attr *a)
{
    const dcv_dims *x = &io->x[0]->dims, *s = &io->x[1]->dims;
    dcv_dims_text tx, ts;
    if (!io->x[1]->constant || (dcv_op_has(io, 2) && !io->x[2]->constant))
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "scale and zero point must be constant");
    if (io->x[1]->type != DCV_F32 || (dcv_op_has(io, 2) && io->x[2]->type != DCV_I64))
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "scale must be of floats and the zero point of integers");
    a->scale = io->x[1]->constant;
    a->zero = dcv_op_has(io, 2) ? io->x[2]->constant : NULL;
    a->at = -1;
    a->per = 1;
    if (a->zero && dcv_count(&io->x[2]->dims) != dcv_count(s))
        return dcv_op_fail(io, DCV_EDATA, "scale of shape %s, zero point of shape %s", dcv_dims_print(s, ts),
                           dcv_dims_print(&io->x[2]->dims, tx));
    if (dcv_count(s) == 1 && !a->block_size)
        return DCV_OK;
    DCV_TRY(dcv_op_axis(io, a->axis, x->n, &a->at));
    a->per = a->block_size ? a->block_size : 1;
    bool fits = a->block_size ? s->n == x->n : s->n == 1 && s->d[0] == x->d[a->at];
    for (int i = 0; fits && a->block_size && i < x->n; i++)
        fits = s->d[i] == (i == a->at ? (x->d[i] + a->per - 1) / a->per : x->d[i]);
    return fits ? DCV_OK
                : dcv_op_fail(io, DCV_EDATA, "scale of shape %s does not fit input %s", dcv_dims_print(s, ts),
                              dcv_dims_print(x, tx));
}

static dcv_status quantize_shape(const dcv_shape_io *io)
{
    quant_attr *a = io->node->attr;
    DCV_TRY(find_range(io, a));
    DCV_TRY(lay_out(io, a));
    io->y[0].type = DCV_I64;
    io->y[0].dims = io->x[0]->dims;
    return DCV_OK;
}

static dcv_status dequantize_shape(const dcv_shape_io *io)
{
    DCV_TRY(lay_out(io, io->node->attr));
    io->y[0].type = DCV_F32;
    io->y[0].dims = io->x[0]->dims;
    return DCV_OK;
}

/* Which scale is element e's. */
static int64_t scale_of(const quant_attr *a, const dcv_dims *d, int64_t e)
{
    int64_t inner = 1;
    if (a->at < 0)
        return 0;
    for (int i = a->at + 1; i < d->n; i++)
        inner *= d->d[i];
    const int64_t cell = e / inner % d->d[a->at];
    if (!a->block_size)
        return cell;
    const int64_t blocks = (d->d[a->at] + a->per - 1) / a->per;
    return (e / inner / d->d[a->at] * blocks + cell / a->per) * inner + e % inner;
}

static double quantized(const quant_attr *a, const dcv_dims *d, int64_t e, double x)
{
    const int64_t k = scale_of(a, d, e);
    const double y = (double)rintf((float)x / a->scale[k]) + (a->zero ? (double)a->zero[k] : 0);
    return y < a->lo ? a->lo : y > a->hi ? a->hi : y;
}

static double dequantized(const quant_attr *a, const dcv_dims *d, int64_t e, double y)
{
    const int64_t k = scale_of(a, d, e);
    return (y - (a->zero ? (double)a->zero[k] : 0)) * (double)a->scale[k];
}

static dcv_status quantize_fold(const dcv_fold_io *io)
{
    const float *f = io->x[0]->type == DCV_F32 ? io->x[0]->constant : NULL;
    for (int64_t e = 0; e < dcv_count(&io->y[0].dims); e++) {
        const double x = f ? (double)f[e] : (double)((const int64_t *)io->x[0]->constant)[e];
        const double y = quantized(io->node->attr, &io->y[0].dims, e, x);
        ((int64_t *)io->to[0])[e] = isnan(y) ? 0 : (int64_t)y;
    }
    return DCV_OK;
}

static dcv_status dequantize_fold(const dcv_fold_io *io)
{
    const float *f = io->x[0]->type == DCV_F32 ? io->x[0]->constant : NULL;
    for (int64_t e = 0; e < dcv_count(&io->y[0].dims); e++) {
        const double y = f ? (double)f[e] : (double)((const int64_t *)io->x[0]->constant)[e];
        ((float *)io->to[0])[e] = (float)dequantized(io->node->attr, &io->y[0].dims, e, y);
    }
    return DCV_OK;
}

static void run(const dcv_node *nd, const dcv_io *io,
                double (*fn)(const quant_attr *, const dcv_dims *, int64_t, double))
{
    const int64_t n = dcv_count(io->y[0].dims);
    for (int p = 0; p < io->y[0].n; p++)
        for (int64_t e = 0; e < n; e++)
            io->y[0].data[p * io->y[0].n_stride + e] =
                (float)fn(nd->attr, io->y[0].dims, e, (double)io->x[0].data[p * io->x[0].n_stride + e]);
}

static void quantize_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    run(nd, io, quantized);
}

static void dequantize_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    run(nd, io, dequantized);
}

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)j;
    return k ? DCV_AXIS_MIXED : axis;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)nd, (void)k, (void)axis, (void)j;
    return (dcv_cells){o, o + 1, 1};
}

/* Along channels it works as it stands; scales along space would have to be cut. */
static bool crop(const dcv_graph *g, dcv_node *nd, float *border)
{
    (void)g;
    *border = 0;
    return ((const quant_attr *)nd->attr)->at < 2 && !((const quant_attr *)nd->attr)->block_size;
}

#define COMMON                                                                                                         \
    .min_in = 2, .max_in = 3, .max_out = 1, .attr_size = sizeof(quant_attr), .fields = fields,                         \
    .layout = DCV_LAYOUT_PLAIN, .carries = carries, .reads = reads, .crop = crop

const dcv_op dcv_op_quantizelinear = {
    .name = "QuantizeLinear", COMMON, .shape = quantize_shape, .fold = quantize_fold, .forward = quantize_forward};
const dcv_op dcv_op_dequantizelinear = {.name = "DequantizeLinear",
                                        COMMON,
                                        .shape = dequantize_shape,
                                        .fold = dequantize_fold,
                                        .forward = dequantize_forward};
