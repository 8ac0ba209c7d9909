/* view.c -- the same memory under another shape: ONNX Reshape (5, 13, 14, 19, 21), Flatten (1 .. 21), Squeeze and
 * Unsqueeze (1, 11: axes is an attribute; 13 .. : an input), Identity, Dropout (7, 10, 12, 13; inference).
 */
#include <string.h>
#include "engine/ops/util.h"

typedef struct view_attr {
    int64_t axis, allowzero;
    dcv_ints axes;
} view_attr;

static const dcv_field reshape_fields[] = {{"allowzero", DCV_FIELD_INT, DCV_AT(view_attr, allowzero), .dflt = "0",
                                            .min = 0, .max = 1, .help = "0 means 0, not the input's extent"},
                                           DCV_FIELDS_END};
static const dcv_field flatten_fields[] = {
    {"axis", DCV_FIELD_INT, DCV_AT(view_attr, axis), .dflt = "1", .help = "first axis of the columns"}, DCV_FIELDS_END};
static const dcv_field axes_fields[] = {{"axes", DCV_FIELD_INTS, DCV_AT(view_attr, axes), .help = "axes"},
                                        DCV_FIELDS_END};

static dcv_status reshape_shape(const dcv_shape_io *io)
{
    const dcv_value *x = io->x[0];
    const int64_t *want, count = dcv_count(&x->dims);
    int64_t n, known = 1;
    int free_axis = -1;
    DCV_TRY(dcv_op_ints(io, 1, "shape", &want, &n));
    if (n > DCV_MAX_RANK)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%lld axes; at most %d are supported", (long long)n, DCV_MAX_RANK);
    dcv_dims *y = &io->y[0].dims;
    y->n = (int)n;
    for (int i = 0; i < y->n; i++) {
        y->d[i] = want[i];
        if (want[i] == 0 && !((const view_attr *)io->node->attr)->allowzero) {
            if (i >= x->dims.n)
                return dcv_op_fail(io, DCV_EDATA, "shape keeps axis %d of an input with %d axes", i, x->dims.n);
            y->d[i] = x->dims.d[i];
        }
        if (y->d[i] == -1 && free_axis < 0)
            free_axis = i;
        else if (y->d[i] < 0 || (y->d[i] && known > (INT64_C(1) << 40) / y->d[i]))
            return dcv_op_fail(io, DCV_EDATA, "extent %lld of axis %d in shape", (long long)want[i], i);
        else
            known *= y->d[i];
    }
    if (free_axis >= 0)
        y->d[free_axis] = known ? count / known : 0;
    if (dcv_count(y) != count) {
        dcv_dims_text tx, ty;
        if (free_axis >= 0)
            y->d[free_axis] = -1;
        return dcv_op_fail(io, DCV_EDATA, "%s cannot become %s", dcv_dims_print(&x->dims, tx), dcv_dims_print(y, ty));
    }
    io->y[0].type = x->type;
    return DCV_OK;
}

static dcv_status flatten_shape(const dcv_shape_io *io)
{
    const dcv_dims *x = &io->x[0]->dims;
    const int64_t axis = ((const view_attr *)io->node->attr)->axis, a = axis < 0 ? axis + x->n : axis;
    if (a < 0 || a > x->n)
        return dcv_op_fail(io, DCV_EDATA, "axis %lld of a tensor with %d axes", (long long)axis, x->n);
    dcv_dims y = {2, {1, 1}};
    for (int i = 0; i < x->n; i++)
        y.d[i >= a] *= x->d[i];
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = y;
    return DCV_OK;
}

static dcv_status squeeze_shape(const dcv_shape_io *io)
{
    const dcv_dims *x = &io->x[0]->dims;
    const int64_t *axes;
    int64_t n;
    unsigned mask;
    DCV_TRY(dcv_op_ints_or(io, 1, "axes", &((const view_attr *)io->node->attr)->axes, &axes, &n));
    DCV_TRY(dcv_op_axes(io, axes, n, x->n, &mask));
    dcv_dims y = {0};
    for (int i = 0; i < x->n; i++) {
        const bool drop = n ? mask >> i & 1 : x->d[i] == 1;
        if (drop && x->d[i] != 1) {
            dcv_dims_text t;
            return dcv_op_fail(io, DCV_EDATA, "axis %d of %s is not 1", i, dcv_dims_print(x, t));
        }
        if (!drop)
            y.d[y.n++] = x->d[i];
    }
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = y;
    return DCV_OK;
}

static dcv_status unsqueeze_shape(const dcv_shape_io *io)
{
    const dcv_dims *x = &io->x[0]->dims;
    const int64_t *axes;
    int64_t n;
    unsigned mask;
    DCV_TRY(dcv_op_ints_or(io, 1, "axes", &((const view_attr *)io->node->attr)->axes, &axes, &n));
    if (x->n + n > DCV_MAX_RANK)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%lld axes; at most %d are supported", (long long)(x->n + n),
                           DCV_MAX_RANK);
    DCV_TRY(dcv_op_axes(io, axes, n, x->n + (int)n, &mask));
    dcv_dims y = {.n = x->n + (int)n};
    for (int i = 0, from = 0; i < y.n; i++)
        y.d[i] = mask >> i & 1 ? 1 : x->d[from++];
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = y;
    return DCV_OK;
}

static dcv_status dropout_shape(const dcv_shape_io *io)
{
    if (dcv_op_has(io, 2)) {
        double training;
        DCV_TRY(dcv_op_number(io, 2, "training_mode", &training));
        if (training != 0)
            return dcv_op_fail(io, DCV_EUNSUPPORTED, "training_mode is on; export the model for inference");
    }
    for (int j = 0; j < io->n_out; j++) {
        io->y[j].dims = io->x[0]->dims;
        io->y[j].type = j ? DCV_I64 : io->x[0]->type;
    }
    return DCV_OK;
}

static dcv_status fold(const dcv_fold_io *io)
{
    const size_t n = (size_t)dcv_count(&io->y[0].dims);
    memcpy(io->to[0], io->x[0]->constant, n * dcv_dtype_bytes(io->y[0].type));
    for (int j = 1; j < io->n_out; j++) /* the mask of Dropout */
        for (size_t i = 0; i < n; i++)
            ((int64_t *)io->to[j])[i] = 1;
    return DCV_OK;
}

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    return k ? DCV_AXIS_MIXED : dcv_reshaped_axis(&g->value[nd->in[0]].dims, &g->value[nd->out[j]].dims, axis);
}

/* A plan may leave a view out altogether; this serves where it does not. */
static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g, (void)nd;
    const dcv_blob *x = &io->x[0], *y = &io->y[0];
    const size_t bytes = (size_t)dcv_blob_shape_of(y->dims, y->block).floats * sizeof(float);
    for (int p = 0; p < y->n; p++)
        if (y->data + p * y->n_stride != x->data + p * x->n_stride)
            memcpy(y->data + p * y->n_stride, x->data + p * x->n_stride, bytes);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    const dcv_blob *gy = &io->gy[0];
    if (io->gx[0].data != gy->data)
        memcpy(io->gx[0].data, gy->data, (size_t)dcv_blob_shape_of(gy->dims, gy->block).floats * sizeof(float));
}

#define COMMON .flags = DCV_OP_VIEW, .fold = fold, .forward = forward, .backward = backward

const dcv_op dcv_op_reshape = {.name = "Reshape",
                               COMMON,
                               .min_in = 2,
                               .max_in = 2,
                               .max_out = 1,
                               .attr_size = sizeof(view_attr),
                               .fields = reshape_fields,
                               .layout = DCV_LAYOUT_PLAIN,
                               .shape = reshape_shape,
                               .carries = carries};
const dcv_op dcv_op_flatten = {.name = "Flatten",
                               COMMON,
                               .min_in = 1,
                               .max_in = 1,
                               .max_out = 1,
                               .attr_size = sizeof(view_attr),
                               .fields = flatten_fields,
                               .layout = DCV_LAYOUT_PLAIN,
                               .shape = flatten_shape,
                               .carries = carries};
const dcv_op dcv_op_squeeze = {.name = "Squeeze",
                               COMMON,
                               .min_in = 1,
                               .max_in = 2,
                               .max_out = 1,
                               .attr_size = sizeof(view_attr),
                               .fields = axes_fields,
                               .layout = DCV_LAYOUT_PLAIN,
                               .shape = squeeze_shape,
                               .carries = carries};
const dcv_op dcv_op_unsqueeze = {.name = "Unsqueeze",
                                 COMMON,
                                 .min_in = 1,
                                 .max_in = 2,
                                 .max_out = 1,
                                 .attr_size = sizeof(view_attr),
                                 .fields = axes_fields,
                                 .layout = DCV_LAYOUT_PLAIN,
                                 .shape = unsqueeze_shape,
                                 .carries = carries};
const dcv_op dcv_op_identity = {.name = "Identity",
                                COMMON,
                                .min_in = 1,
                                .max_in = 1,
                                .max_out = 1,
                                .layout = DCV_LAYOUT_SAME,
                                .back_layout = DCV_LAYOUT_SAME,
                                .shape = dcv_shape_same};
const dcv_op dcv_op_dropout = {.name = "Dropout",
                               COMMON,
                               .min_in = 1,
                               .max_in = 3,
                               .max_out = 2,
                               .ignored = "ratio|seed|is_test",
                               .layout = DCV_LAYOUT_SAME,
                               .back_layout = DCV_LAYOUT_SAME,
                               .shape = dropout_shape};
