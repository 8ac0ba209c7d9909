/* batchnorm.c -- ONNX BatchNormalization (6, 7, 9, 14, 15), inference.
 *
 * y = gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel.  Behind a convolution the plan folds it away.
 */
#include <math.h>
#include "engine/ops/batchnorm.h"

typedef struct batchnorm_attr {
    double epsilon;
    int64_t training_mode, spatial, is_test;
} batchnorm_attr;

static const dcv_field fields[] = {{"epsilon", DCV_FIELD_REAL, DCV_AT(batchnorm_attr, epsilon), .dflt = "1.0e-5",
                                    .min = 0, .max = 1e30, .help = "added to the variance"},
                                   {"training_mode", DCV_FIELD_INT, DCV_AT(batchnorm_attr, training_mode), .dflt = "0",
                                    .min = 0, .max = 1, .help = "only inference is supported"},
                                   {"spatial", DCV_FIELD_INT, DCV_AT(batchnorm_attr, spatial), .dflt = "1", .min = 1,
                                    .max = 1, .help = "only statistics per channel are supported"},
                                   {"is_test", DCV_FIELD_INT, DCV_AT(batchnorm_attr, is_test), .dflt = "0", .min = 0,
                                    .max = 1, .help = "inference, as opset 6 has it"},
                                   DCV_FIELDS_END};

static dcv_status shape(const dcv_shape_io *io)
{
    static const char *const names[] = {"", "scale", "B", "mean", "var"};
    const dcv_dims *x = &io->x[0]->dims;
    const int64_t c = x->n >= 2 ? x->d[1] : 1;
    const batchnorm_attr *a = io->node->attr;
    if (a->training_mode || (io->node->opset < 7 && !a->is_test))
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "training_mode is on; export the model for inference");
    for (int k = 1; k < 5; k++) {
        dcv_dims_text tx, tk;
        if (!io->x[k]->constant)
            return dcv_op_fail(io, DCV_EUNSUPPORTED, "%s (\"%s\") must be constant", names[k], io->x[k]->name);
        if (io->x[k]->type != DCV_F32 || io->x[k]->dims.n != 1 || io->x[k]->dims.d[0] != c)
            return dcv_op_fail(io, DCV_EDATA, "%s of shape %s does not fit input %s", names[k],
                               dcv_dims_print(&io->x[k]->dims, tk), dcv_dims_print(x, tx));
    }
    return dcv_shape_same(io);
}

void dcv_batchnorm_scale(const dcv_graph *g, const dcv_node *nd, int64_t first, int64_t n, float *scale, float *shift)
{
    const double epsilon = ((const batchnorm_attr *)nd->attr)->epsilon;
    const float *gamma = g->value[nd->in[1]].constant, *beta = g->value[nd->in[2]].constant;
    const float *mean = g->value[nd->in[3]].constant, *var = g->value[nd->in[4]].constant;
    for (int64_t c = 0; c < n; c++) {
        const double s = gamma[first + c] / sqrt(var[first + c] + epsilon);
        scale[c] = (float)s;
        shift[c] = (float)(beta[first + c] - mean[first + c] * s);
    }
}

DCV_INLINE void affine(int64_t cells, const float *x, const float *scale, const float *shift, int lanes, float *y)
{
    float a[DCV_BLOCK_MAX], b[DCV_BLOCK_MAX];
    for (int l = 0; l < lanes; l++) {
        a[l] = scale[l];
        b[l] = shift[l];
    }
    DCV_INDEPENDENT
    for (int64_t i = 0; i < cells; i++)
        for (int l = 0; l < lanes; l++)
            y[i * lanes + l] = x[i * lanes + l] * a[l] + b[l];
}

DCV_CLONES static void affine_any(int64_t cells, const float *x, const float *scale, const float *shift, int lanes,
                                  float *y)
{
    if (lanes == 16)
        affine(cells, x, scale, shift, 16, y);
    else if (lanes == 8)
        affine(cells, x, scale, shift, 8, y);
    else
        affine(cells, x, scale, shift, 1, y);
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    const dcv_blob *x = &io->x[0];
    dcv_blob *y = &io->y[0];
    const dcv_blob_shape s = dcv_blob_shape_of(x->dims, x->block);
    const int64_t lanes = x->dims->n >= 3 ? x->block : 1, step = s.cells * lanes;
    for (int64_t b = 0; b < s.blocks; b++) {
        const int64_t left = s.c - b * lanes;
        float scale[DCV_BLOCK_MAX] = {0}, shift[DCV_BLOCK_MAX] = {0}; /* 0 past C: those lanes stay 0 */
        dcv_batchnorm_scale(g, nd, x->dims->n >= 2 ? b * lanes : 0, left < lanes ? left : lanes, scale, shift);
        for (int64_t q = 0; q < dcv_blob_outer(y); q++)
            affine_any(s.cells, dcv_blob_slice(x, q) + b * step, scale, shift, (int)lanes,
                       dcv_blob_slice(y, q) + b * step);
    }
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    static const float none[DCV_BLOCK_MAX];
    const dcv_blob *gy = &io->gy[0];
    const dcv_blob_shape s = dcv_blob_shape_of(gy->dims, gy->block);
    const int64_t lanes = gy->dims->n >= 3 ? gy->block : 1, step = s.cells * lanes;
    for (int64_t b = 0; b < s.blocks; b++) {
        const int64_t left = s.c - b * lanes;
        float scale[DCV_BLOCK_MAX] = {0}, shift[DCV_BLOCK_MAX];
        dcv_batchnorm_scale(g, nd, gy->dims->n >= 2 ? b * lanes : 0, left < lanes ? left : lanes, scale, shift);
        for (int64_t q = 0; q < dcv_blob_outer(gy); q++)
            affine_any(s.cells, dcv_blob_slice(gy, q) + b * step, scale, none, (int)lanes,
                       dcv_blob_slice(&io->gx[0], q) + b * step);
    }
}

const dcv_op dcv_op_batchnormalization = {.name = "BatchNormalization",
                                          .min_in = 5,
                                          .max_in = 5,
                                          .max_out = 1,
                                          .attr_size = sizeof(batchnorm_attr),
                                          .fields = fields,
                                          .ignored = "momentum|consumed_inputs|is_test",
                                          .flags = DCV_OP_IN_PLACE | DCV_OP_ELEMENTWISE,
                                          .layout = DCV_LAYOUT_SAME,
                                          .shape = shape,
                                          .forward = forward,
                                          .back_layout = DCV_LAYOUT_SAME,
                                          .backward = backward};
