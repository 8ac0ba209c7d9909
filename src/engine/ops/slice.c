/* slice.c -- ONNX Slice (1: attributes; 10, 11, 13: inputs): x[start:end:step] along some axes, as numpy does it. */
#include "engine/ops/util.h"

extern const dcv_op dcv_op_identity;

typedef struct slice_attr {
    dcv_ints starts, ends, axes;
    int64_t start[DCV_MAX_RANK], step[DCV_MAX_RANK]; /* per axis */
} slice_attr;

static const dcv_field fields[] = {{"starts", DCV_FIELD_INTS, DCV_AT(slice_attr, starts), .help = "first cells"},
                                   {"ends", DCV_FIELD_INTS, DCV_AT(slice_attr, ends), .help = "cells past the last"},
                                   {"axes", DCV_FIELD_INTS, DCV_AT(slice_attr, axes), .help = "axes that are cut"},
                                   DCV_FIELDS_END};

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Cells of one axis: from start, n of them. */
static void cut(int64_t extent, int64_t start, int64_t end, int64_t step, int64_t *first, int64_t *n)
{
    start = start < 0 ? clamp(start, -extent - 1, 0) + extent : start;
    end = end < 0 ? clamp(end, -extent - 1, 0) + extent : end;
    if (step > 0) {
        start = clamp(start, 0, extent);
        end = clamp(end, 0, extent);
        *n = end > start ? (end - start - 1) / step + 1 : 0;
    } else {
        start = clamp(start, 0, extent - 1);
        end = clamp(end, -1, extent - 1);
        *n = start > end && extent ? (start - end - 1) / -step + 1 : 0;
    }
    *first = *n ? start : 0;
}

static dcv_status shape(const dcv_shape_io *io)
{
    slice_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    const int64_t *starts, *ends, *axes, *steps = NULL;
    int64_t n, n_ends, n_axes, n_steps = 0;
    unsigned mask;
    DCV_TRY(dcv_op_ints_or(io, 1, "starts", &a->starts, &starts, &n));
    DCV_TRY(dcv_op_ints_or(io, 2, "ends", &a->ends, &ends, &n_ends));
    DCV_TRY(dcv_op_ints_or(io, 3, "axes", &a->axes, &axes, &n_axes));
    if (dcv_op_has(io, 4))
        DCV_TRY(dcv_op_ints(io, 4, "steps", &steps, &n_steps));
    if (n != n_ends || (n_axes && n_axes != n) || (n_steps && n_steps != n) || n > x->n)
        return dcv_op_fail(io, DCV_EDATA, "%lld starts, %lld ends, %lld axes, %lld steps for an input with %d axes",
                           (long long)n, (long long)n_ends, (long long)n_axes, (long long)n_steps, x->n);
    DCV_TRY(dcv_op_axes(io, axes, n_axes, x->n, &mask));
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = *x;
    for (int i = 0; i < x->n; i++)
        a->start[i] = 0, a->step[i] = 1;
    for (int i = 0; i < n; i++) {
        const int at = (int)(n_axes ? axes[i] < 0 ? axes[i] + x->n : axes[i] : i);
        const int64_t limit = INT64_C(1) << 40, step = n_steps ? clamp(steps[i], -limit, limit) : 1;
        if (step == 0)
            return dcv_op_fail(io, DCV_EDATA, "step 0 along axis %d", at);
        cut(x->d[at], starts[i], ends[i], step, &a->start[at], &io->y[0].dims.d[at]);
        a->step[at] = step;
    }
    return DCV_OK;
}

static void move(const dcv_node *nd, int part, const dcv_dims *x, const dcv_dims *y, size_t elem, const void *from,
                 void *to)
{
    (void)part;
    const slice_attr *a = nd->attr;
    int64_t sx[DCV_MAX_RANK], at = 0;
    dcv_move m = {.rank = y->n};
    dcv_dims_strides(x, sx);
    dcv_dims_strides(y, m.to);
    for (int i = 0; i < y->n; i++) {
        m.extent[i] = y->d[i];
        m.from[i] = y->d[i] > 1 ? sx[i] * a->step[i] : 0;
        at += a->start[i] * sx[i];
    }
    dcv_move_run(&m, to, (const char *)from + at * (int64_t)elem, elem);
}

static dcv_status fold(const dcv_fold_io *io)
{
    dcv_move_fold(io, 0, 0, 0, move);
    return DCV_OK;
}

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)j;
    return k ? DCV_AXIS_MIXED : axis;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)k, (void)j;
    const slice_attr *a = nd->attr;
    const int64_t at = a->start[axis] + o * a->step[axis];
    return (dcv_cells){at, at + 1, 1};
}

/* In space it only says which cells: then the cells given are the result.  Along channels it works as it stands. */
static bool crop(const dcv_graph *g, dcv_node *nd, float *border)
{
    const dcv_dims *x = &g->value[nd->in[0]].dims, *y = &g->value[nd->out[0]].dims;
    const slice_attr *a = nd->attr;
    *border = 0;
    if (nd->in[0] < 0 || x->n < 3)
        return false;
    bool moves = false, channels = x->d[0] != y->d[0] || x->d[1] != y->d[1];
    for (int i = 0; i < x->n; i++) {
        if (a->start[i] || a->step[i] != 1 || x->d[i] != y->d[i])
            *(i < 2 ? &channels : &moves) = true;
        if (i >= 2 && a->step[i] != 1)
            return false;
    }
    if (moves && !channels) {
        nd->op = &dcv_op_identity;
        nd->n_in = 1;
    }
    return !moves || !channels;
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_move_forward(nd, 0, &io->x[0], &io->y[0], move);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_move_back(nd, 0, &io->gy[0], &io->gx[0], io->scratch, move);
}

const dcv_op dcv_op_slice = {.name = "Slice",
                             .min_in = 1,
                             .max_in = 5,
                             .max_out = 1,
                             .attr_size = sizeof(slice_attr),
                             .fields = fields,
                             .layout = DCV_LAYOUT_PLAIN,
                             .shape = shape,
                             .fold = fold,
                             .carries = carries,
                             .reads = reads,
                             .crop = crop,
                             .forward = forward,
                             .back_scratch = dcv_move_scratch,
                             .backward = backward};
