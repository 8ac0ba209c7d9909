/* globalpool.c -- ONNX GlobalAveragePool and GlobalMaxPool (1, 22).
 *
 * One number per channel.  The average is a double sum over the cells in order, so that it does not depend on the
 * layout; the maximum is NaN if any cell is.
 */
#include <math.h>
#include <string.h>
#include <string.h>
#include "engine/ops/pool.h"

static dcv_status shape(const dcv_shape_io *io)
{
    const dcv_dims *x = &io->x[0]->dims;
    dcv_dims_text t;
    if (x->n < 3)
        return dcv_op_fail(io, DCV_EDATA, "input %s; expected N, C and space", dcv_dims_print(x, t));
    io->y[0].type = DCV_F32;
    io->y[0].dims = *x;
    for (int i = 2; i < x->n; i++) {
        if (x->d[i] < 1)
            return dcv_op_fail(io, DCV_EDATA, "input %s has no cells", dcv_dims_print(x, t));
        io->y[0].dims.d[i] = 1;
    }
    return DCV_OK;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)j;
    if (axis < 2)
        return (dcv_cells){o, o + 1, 1};
    return (dcv_cells){0, g->value[nd->in[k]].dims.d[axis], 1};
}

DCV_INLINE void mean(int64_t cells, const float *x, int lanes, float *y)
{
    double sum[DCV_BLOCK_MAX] = {0};
    for (int64_t i = 0; i < cells; i++, x += lanes)
        for (int l = 0; l < lanes; l++)
            sum[l] += x[l];
    for (int l = 0; l < lanes; l++)
        y[l] = (float)(sum[l] / (double)cells);
}

DCV_INLINE void greatest(int64_t cells, const float *x, int lanes, float *y)
{
    for (int l = 0; l < lanes; l++)
        y[l] = x[l];
    for (int64_t i = 1; i < cells; i++)
        for (int l = 0; l < lanes; l++) {
            const float v = x[i * lanes + l];
            y[l] = v > y[l] || v != v ? v : y[l];
        }
}

/* Eight planes of plain layout side by side: their sums do not wait for each other. */
static void mean_planes(int64_t cells, const float *x, float *y)
{
    double sum[8] = {0};
    for (int64_t i = 0; i < cells; i++)
        for (int k = 0; k < 8; k++)
            sum[k] += x[k * cells + i];
    for (int k = 0; k < 8; k++)
        y[k] = (float)(sum[k] / (double)cells);
}

DCV_CLONES static void means(int64_t blocks, int64_t cells, int lanes, const float *x, float *y)
{
    int64_t k = 0;
    for (; lanes == 1 && k + 8 <= blocks; k += 8)
        mean_planes(cells, x + k * cells, y + k);
    for (; k < blocks; k++)
        if (lanes == 16)
            mean(cells, x + k * cells * 16, 16, y + k * 16);
        else if (lanes == 8)
            mean(cells, x + k * cells * 8, 8, y + k * 8);
        else
            mean(cells, x + k * cells, 1, y + k);
}

void dcv_channel_means(const dcv_blob_shape *s, int block, const float *x, float *y)
{
    float last[DCV_BLOCK_MAX];
    const int64_t whole = s->c / block; /* y may have no room for lanes past C */
    means(whole, s->cells, block, x, y);
    if (whole == s->blocks)
        return;
    means(1, s->cells, block, x + whole * s->cells * block, last);
    memcpy(y + whole * block, last, (size_t)(s->c - whole * block) * sizeof *y);
}

DCV_CLONES static void greatests(int64_t blocks, int64_t cells, int lanes, const float *x, float *y)
{
    for (int64_t k = 0; k < blocks; k++)
        if (lanes == 16)
            greatest(cells, x + k * cells * 16, 16, y + k * 16);
        else if (lanes == 8)
            greatest(cells, x + k * cells * 8, 8, y + k * 8);
        else
            greatest(cells, x + k * cells, 1, y + k);
}

static void run(const dcv_io *io, void (*fn)(int64_t, int64_t, int, const float *, float *))
{
    const dcv_blob *x = &io->x[0];
    const dcv_blob_shape s = dcv_blob_shape_of(x->dims, x->block);
    for (int64_t q = 0; q < dcv_blob_outer(&io->y[0]); q++)
        fn(s.blocks, s.cells, x->block, dcv_blob_slice(x, q), dcv_blob_slice(&io->y[0], q));
}

static void mean_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g, (void)nd;
    run(io, means);
}

static void max_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g, (void)nd;
    run(io, greatests);
}

static void mean_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    const dcv_blob *gy = &io->gy[0], *gx = &io->gx[0];
    const dcv_blob_shape s = dcv_blob_shape_of(gx->dims, gx->block);
    for (int64_t q = 0; q < dcv_blob_outer(gx); q++) {
        const float *from = dcv_blob_slice(gy, q);
        float *to = dcv_blob_slice(gx, q);
        for (int64_t k = 0; k < s.blocks; k++, from += gx->block)
            for (int64_t i = 0; i < s.cells; i++, to += gx->block)
                for (int l = 0; l < gx->block; l++)
                    to[l] = from[l] / (float)s.cells;
    }
}

/* The first maximum of each channel, by its cell. */
static size_t max_bytes(const dcv_graph *g, const dcv_node *nd, int block)
{
    return (size_t)dcv_blob_shape_of(&g->value[nd->out[0]].dims, block).floats * sizeof(int64_t);
}

static void max_save(const dcv_graph *g, const dcv_node *nd, const dcv_io *io, void *saved)
{
    (void)g, (void)nd;
    const dcv_blob *x = &io->x[0];
    const dcv_blob_shape s = dcv_blob_shape_of(x->dims, x->block);
    int64_t *won = saved;
    for (int64_t q = 0; q < dcv_blob_outer(x); q++)
        for (int64_t k = 0; k < s.blocks; k++)
            for (int l = 0; l < x->block; l++, won++) {
                const float *from = dcv_blob_slice(x, q) + k * s.cells * x->block + l;
                *won = 0;
                for (int64_t i = 1; i < s.cells; i++)
                    if (from[i * x->block] > from[*won * x->block])
                        *won = i;
            }
}

static void max_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    const dcv_blob *gy = &io->gy[0], *gx = &io->gx[0];
    const dcv_blob_shape s = dcv_blob_shape_of(gx->dims, gx->block);
    const int64_t *won = io->saved;
    memset(gx->data, 0, (size_t)s.floats * sizeof *gx->data);
    for (int64_t q = 0; q < dcv_blob_outer(gx); q++)
        for (int64_t k = 0; k < s.blocks; k++)
            for (int l = 0; l < gx->block; l++, won++)
                dcv_blob_slice(gx, q)[(k * s.cells + *won) * gx->block + l] = dcv_blob_slice(gy, q)[k * gx->block + l];
}

#define COMMON                                                                                                         \
    .min_in = 1, .max_in = 1, .max_out = 1, .layout = DCV_LAYOUT_SAME, .shape = shape, .reads = reads,                 \
    .back_layout = DCV_LAYOUT_SAME

const dcv_op dcv_op_globalaveragepool = {
    .name = "GlobalAveragePool", COMMON, .forward = mean_forward, .backward = mean_backward};
const dcv_op dcv_op_globalmaxpool = {.name = "GlobalMaxPool",
                                     COMMON,
                                     .forward = max_forward,
                                     .saved_bytes = max_bytes,
                                     .save = max_save,
                                     .backward = max_backward};
