/* prelu.c -- ONNX PRelu (7, 9, 16): y = x where x >= 0, else slope x; slope broadcasts to x. */
#include "engine/ops/binary.h"

static dcv_status shape(const dcv_shape_io *io)
{
    const dcv_dims *x = &io->x[0]->dims, *slope = &io->x[1]->dims;
    dcv_dims y;
    dcv_dims_text tx, ts;
    if (!dcv_broadcast(x, slope, &y) || !dcv_dims_equal(&y, x))
        return dcv_op_fail(io, DCV_EDATA, "the slope's shape %s does not broadcast to %s", dcv_dims_print(slope, ts),
                           dcv_dims_print(x, tx));
    return dcv_shape_same(io);
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g, (void)nd;
    dcv_binary_run(DCV_PRELU, &io->x[0], &io->x[1], &io->y[0]);
}

/* In any layout; gx may be gy's memory. */
static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    const dcv_dims d = io->gy[0].dims->n ? *io->gy[0].dims : (dcv_dims){1, {1}};
    const dcv_walker wx = dcv_walker_of(&d, io->gy[0].dims, io->gy[0].block),
                     ws = dcv_walker_of(&d, io->x[1].dims, io->x[1].block);
    const int last = d.n - 1;
    int64_t at[DCV_MAX_RANK] = {0};
    if (!dcv_count(&d))
        return;
    do {
        const int64_t first = dcv_walker_at(&wx, at);
        const float *slope = io->x[1].data + dcv_walker_at(&ws, at);
        for (int64_t i = 0; i < d.d[last]; i++) {
            const int64_t o = first + i * wx.stride[last];
            io->gx[0].data[o] = io->gy[0].data[o] * (io->x[0].data[o] > 0 ? 1 : slope[i * ws.stride[last]]);
        }
    } while (dcv_next_row(&d, at));
    dcv_blob_clear_tail(&io->gx[0]);
}

const dcv_op dcv_op_prelu = {.name = "PRelu",
                             .min_in = 2,
                             .max_in = 2,
                             .max_out = 1,
                             .flags = DCV_OP_ACTIVATION | DCV_OP_ELEMENTWISE,
                             .layout = DCV_LAYOUT_SAME,
                             .shape = shape,
                             .forward = forward,
                             .back_reads = DCV_BACK_X,
                             .back_layout = DCV_LAYOUT_SAME,
                             .backward = backward};
