/* sum.c -- ONNX Sum, Mean (6, 8, 13), Min, Max (6, 8, 12, 13): x0 op x1 op ..., from left to right, numpy broadcasting.
 *
 * The signal of Min and Max goes to whoever has the extreme value, in equal shares (as PyTorch's amax does).
 */
#include <math.h>
#include <string.h>
#include "engine/ops/binary.h"

static dcv_status shape(const dcv_shape_io *io)
{
    dcv_dims *y = &io->y[0].dims;
    io->y[0].type = io->x[0]->type;
    *y = io->x[0]->dims;
    for (int k = 1; k < io->n_in; k++) {
        dcv_dims_text ty, tk;
        if (!dcv_broadcast(y, &io->x[k]->dims, y))
            return dcv_op_fail(io, DCV_EDATA, "%s and %s do not broadcast", dcv_dims_print(y, ty),
                               dcv_dims_print(&io->x[k]->dims, tk));
        if (io->x[k]->type != io->x[0]->type && (io->x[k]->constant || io->x[0]->constant))
            return dcv_op_fail(io, DCV_EDATA, "\"%s\" and \"%s\" are of different types", io->x[0]->name,
                               io->x[k]->name);
    }
    return DCV_OK;
}

static const dcv_dims scalar = {0};

static void run(dcv_binary kind, const dcv_node *nd, const dcv_io *io)
{
    static const float nought = 0;
    const dcv_blob zero = {(float *)&nought, &scalar, 1, 1, 0};
    const dcv_blob *left = &io->x[0];
    if (nd->n_in == 1)
        dcv_binary_run(DCV_ADD, left, &zero, &io->y[0]);
    for (int k = 1; k < nd->n_in; k++, left = &io->y[0])
        dcv_binary_run(kind, left, &io->x[k], &io->y[0]);
}

static void sum_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    run(DCV_ADD, nd, io);
}

static void mean_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const float n = (float)nd->n_in;
    const dcv_blob count = {(float *)&n, &scalar, 1, 1, 0};
    run(DCV_ADD, nd, io);
    dcv_binary_run(DCV_DIV, &io->y[0], &count, &io->y[0]);
}

static void min_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    run(DCV_MIN, nd, io);
}

static void max_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    run(DCV_MAX, nd, io);
}

/* Shape arithmetic: two integers at a time, by way of the pair's fold. */
static dcv_status extreme_fold(dcv_binary kind, const dcv_fold_io *io)
{
    dcv_value left = *io->x[0];
    for (int k = 1; k < io->n_in; k++) {
        const dcv_value *pair[2] = {&left, io->x[k]};
        dcv_value y = {.type = left.type};
        if (!dcv_broadcast(&left.dims, &io->x[k]->dims, &y.dims))
            return dcv_fail(DCV_EDATA, "node \"%s\": shapes do not broadcast", io->node->name);
        void *to = dcv_alloc((size_t)dcv_count(&y.dims), dcv_dtype_bytes(y.type));
        const dcv_fold_io two = {.node = io->node, .n_in = 2, .n_out = 1, .x = pair, .y = &y, .to = &to};
        const dcv_status st = to ? dcv_binary_fold(kind, &two) : DCV_ENOMEM;
        if (k > 1)
            dcv_free((void *)(uintptr_t)left.constant);
        left = y;
        left.constant = to;
        if (st != DCV_OK) {
            dcv_free(to);
            return st;
        }
    }
    memcpy(io->to[0], left.constant, (size_t)dcv_count(&left.dims) * dcv_dtype_bytes(left.type));
    if (io->n_in > 1)
        dcv_free((void *)(uintptr_t)left.constant);
    return DCV_OK;
}

static dcv_status min_fold(const dcv_fold_io *io)
{
    return extreme_fold(DCV_MIN, io);
}

static dcv_status max_fold(const dcv_fold_io *io)
{
    return extreme_fold(DCV_MAX, io);
}

static void sum_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    for (int k = 0; k < nd->n_in; k++)
        if (io->gx[k].data)
            dcv_binary_back(DCV_PULL_ADD, &io->gy[0], NULL, NULL, &io->gx[k]);
}

static void mean_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const float n = (float)nd->n_in;
    const dcv_blob count = {(float *)&n, &scalar, 1, 1, 0};
    for (int k = 0; k < nd->n_in; k++)
        if (io->gx[k].data)
            dcv_binary_back(DCV_PULL_DIV, &io->gy[0], &count, NULL, &io->gx[k]);
}

enum { MOST = 16 }; /* operands whose extremes are walked back */

/* Of one cell: how many of the operands have the extreme value. */
static int winners(const dcv_back_io *io, int n, const int64_t *at, float extreme)
{
    int count = 0;
    for (int k = 0; k < n; k++)
        count += io->x[k].data[at[k]] == extreme;
    return count;
}

static void extreme_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const dcv_dims d = io->gy[0].dims->n ? *io->gy[0].dims : (dcv_dims){1, {1}};
    const dcv_walker wy = dcv_walker_of(&d, io->gy[0].dims, 1);
    dcv_walker wx[MOST];
    int64_t at[DCV_MAX_RANK] = {0};
    const int n = nd->n_in, last = d.n - 1;
    for (int k = 0; k < n; k++) {
        wx[k] = dcv_walker_of(&d, io->x[k].dims, 1);
        if (io->gx[k].data)
            memset(io->gx[k].data, 0, (size_t)dcv_count(io->gx[k].dims) * sizeof(float));
    }
    if (!dcv_count(&d))
        return;
    do
        for (int64_t i = 0; i < d.d[last]; i++) {
            const int64_t o = dcv_walker_at(&wy, at) + i * wy.stride[last];
            int64_t from[MOST];
            for (int k = 0; k < n; k++)
                from[k] = dcv_walker_at(&wx[k], at) + i * wx[k].stride[last];
            const int count = winners(io, n, from, io->y[0].data[o]);
            for (int k = 0; k < n; k++)
                if (io->gx[k].data && io->x[k].data[from[k]] == io->y[0].data[o])
                    io->gx[k].data[from[k]] += io->gy[0].data[o] / (float)count;
        }
    while (dcv_next_row(&d, at));
}

static dcv_status extreme_shape(const dcv_shape_io *io)
{
    if (io->n_in > MOST)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%d operands; at most %d are supported", io->n_in, MOST);
    return shape(io);
}

#define COMMON .min_in = 1, .max_in = -1, .max_out = 1, .flags = DCV_OP_ELEMENTWISE, .layout = DCV_LAYOUT_SAME

const dcv_op dcv_op_sum = {.name = "Sum",
                           COMMON,
                           .shape = shape,
                           .forward = sum_forward,
                           .back_layout = DCV_LAYOUT_SAME,
                           .backward = sum_backward};
const dcv_op dcv_op_mean = {.name = "Mean",
                            COMMON,
                            .shape = shape,
                            .forward = mean_forward,
                            .back_layout = DCV_LAYOUT_SAME,
                            .backward = mean_backward};
#define EXTREME                                                                                                        \
    COMMON, .shape = extreme_shape, .back_reads = DCV_BACK_X | DCV_BACK_Y, .back_layout = DCV_LAYOUT_PLAIN,            \
            .backward = extreme_backward
const dcv_op dcv_op_min = {.name = "Min", EXTREME, .fold = min_fold, .forward = min_forward};
const dcv_op dcv_op_max = {.name = "Max", EXTREME, .fold = max_fold, .forward = max_forward};
