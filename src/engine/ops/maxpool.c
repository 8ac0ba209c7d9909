/* maxpool.c -- ONNX MaxPool (1, 8, 10, 11, 12): 1-D to 3-D, dilations, ceil_mode, Indices.
 *
 * y = max of x over each window clipped to the image.  The winner is the first maximum in row-major order; padding
 * never wins.  A NaN in the window wins over all numbers (PyTorch does so).
 */
#include "engine/ops/pool.h"

static const dcv_field fields[] = {DCV_WINDOW_FIELDS(dcv_pool_attr, window),
                                   {"ceil_mode", DCV_FIELD_INT, DCV_AT(dcv_pool_attr, ceil_mode), .dflt = "0", .min = 0,
                                    .max = 1, .help = "round extents up"},
                                   {"storage_order", DCV_FIELD_INT, DCV_AT(dcv_pool_attr, storage_order), .dflt = "0",
                                    .min = 0, .max = 1, .help = "of Indices: 1 is column-major"},
                                   DCV_FIELDS_END};

/* Cell of the plane that wins at one output cell of one lane. */
static int64_t winner(const dcv_pool_nest *n, const float *x, const dcv_taps t[3], int lanes)
{
    int64_t best = -1;
    for (int64_t i = t[0].lo, z = t[0].at; i < t[0].hi; i++, z += n->win[0].dilation)
        for (int64_t j = t[1].lo, r = t[1].at; j < t[1].hi; j++, r += n->win[1].dilation)
            for (int64_t k = t[2].lo, c = t[2].at; k < t[2].hi; k++, c += n->win[2].dilation) {
                const int64_t at = (z * n->in[1] + r) * n->in[2] + c;
                if (best < 0 || x[at * lanes] > x[best * lanes] || x[at * lanes] != x[at * lanes])
                    best = at;
            }
    return best;
}

/* A cell's number when the last axis of space runs slowest. */
static int64_t column_major(const dcv_pool_nest *n, int64_t at)
{
    const int64_t c = at % n->in[2], r = at / n->in[2] % n->in[1], z = at / n->in[2] / n->in[1];
    return (c * n->in[1] + r) * n->in[0] + z;
}

/* Indices of one lane, first: the number of its plane's first cell. */
static void winners(const dcv_pool_nest *n, const float *x, int lanes, bool columns, int64_t first, float *y)
{
    dcv_taps t[3];
    for (int64_t d = 0; d < n->out[0]; d++)
        for (int64_t r = 0; r < n->out[1]; r++)
            for (int64_t c = 0; c < n->out[2]; c++, y += lanes) {
                t[0] = dcv_window_taps(&n->win[0], d, n->in[0]);
                t[1] = dcv_window_taps(&n->win[1], r, n->in[1]);
                t[2] = dcv_window_taps(&n->win[2], c, n->in[2]);
                const int64_t at = winner(n, x, t, lanes);
                *y = (float)(first + (columns ? column_major(n, at) : at));
            }
}

/* Output 1: flat over the picture's [N,C,space]; a float holds them exactly up to 2^24. */
static void indices(const dcv_pool_nest *n, const dcv_blob *x, bool columns, dcv_blob *y)
{
    const dcv_blob_shape sx = dcv_blob_shape_of(x->dims, x->block), sy = dcv_blob_shape_of(y->dims, y->block);
    for (int64_t q = 0; q < dcv_blob_outer(y); q++)
        for (int64_t c = 0; c < sx.c; c++)
            winners(n, dcv_blob_slice(x, q) + c / x->block * sx.cells * x->block + c % x->block, x->block, columns,
                    (q % x->dims->d[0] * sx.c + c) * sx.cells,
                    dcv_blob_slice(y, q) + c / y->block * sy.cells * y->block + c % y->block);
    dcv_blob_clear_tail(y);
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const dcv_blob *x = &io->x[0];
    dcv_blob *y = &io->y[0];
    const dcv_pool_nest n = dcv_pool_nest_of(&((const dcv_pool_attr *)nd->attr)->window, x->dims, y->dims);
    const dcv_blob_shape sx = dcv_blob_shape_of(x->dims, x->block), sy = dcv_blob_shape_of(y->dims, y->block);
    for (int64_t q = 0; q < dcv_blob_outer(y); q++) {
        const float *from = dcv_blob_slice(x, q);
        float *to = dcv_blob_slice(y, q);
        for (int64_t b = 0; b < sy.blocks; b++, from += sx.cells * x->block, to += sy.cells * y->block)
            dcv_pool_plane(DCV_POOL_MAX, &n, y->block, from, to);
    }
    if (nd->n_out > 1 && nd->out[1] >= 0)
        indices(&n, x, ((const dcv_pool_attr *)nd->attr)->storage_order != 0, &io->y[1]);
}

const dcv_op dcv_op_maxpool = {.name = "MaxPool",
                               .min_in = 1,
                               .max_in = 1,
                               .max_out = 2,
                               .attr_size = sizeof(dcv_pool_attr),
                               .fields = fields,
                               .layout = DCV_LAYOUT_SAME,
                               .shape = dcv_pool_shape,
                               .reads = dcv_pool_reads,
                               .forward = forward};
