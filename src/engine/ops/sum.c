/* sum.c -- ONNX Sum (6, 8, 13): y = x0 + x1 + ..., from left to right, numpy broadcasting. */
#include "engine/ops/binary.h"

static dcv_status shape(const dcv_shape_io *io)
{
    dcv_dims *y = &io->y[0].dims;
    io->y[0].type = DCV_F32;
    *y = io->x[0]->dims;
    for (int k = 1; k < io->n_in; k++) {
        dcv_dims_text ty, tk;
        if (!dcv_broadcast(y, &io->x[k]->dims, y))
            return dcv_op_fail(io, DCV_EDATA, "%s and %s do not broadcast", dcv_dims_print(y, ty),
                               dcv_dims_print(&io->x[k]->dims, tk));
    }
    return DCV_OK;
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    static const dcv_dims none = {0};
    static const float nought = 0;
    const dcv_blob zero = {(float *)&nought, &none, 1, 1, 0};
    const dcv_blob *left = &io->x[0];
    if (nd->n_in == 1)
        dcv_binary_run(DCV_ADD, left, &zero, &io->y[0]);
    for (int k = 1; k < nd->n_in; k++, left = &io->y[0])
        dcv_binary_run(DCV_ADD, left, &io->x[k], &io->y[0]);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    for (int k = 0; k < nd->n_in; k++)
        if (io->gx[k].data)
            dcv_binary_back(DCV_PULL_ADD, &io->gy[0], NULL, NULL, &io->gx[k]);
}

const dcv_op dcv_op_sum = {.name = "Sum",
                           .min_in = 1,
                           .max_in = -1,
                           .max_out = 1,
                           .flags = DCV_OP_ELEMENTWISE,
                           .layout = DCV_LAYOUT_SAME,
                           .shape = shape,
                           .forward = forward,
                           .back_layout = DCV_LAYOUT_SAME,
                           .backward = backward};
