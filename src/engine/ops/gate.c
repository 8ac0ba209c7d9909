/* gate.c -- gates of activations in bits. */
#include "engine/ops/gate.h"

static int64_t floats_of(const dcv_blob *b)
{
    return dcv_blob_shape_of(b->dims, b->block).floats;
}

size_t dcv_gate_bytes(const dcv_graph *g, const dcv_node *nd, int block)
{
    return (size_t)(dcv_blob_shape_of(&g->value[nd->out[0]].dims, block).floats + 7) / 8;
}

DCV_CLONES static void pack(int64_t n, const float *y, float lo, float hi, uint8_t *bits)
{
    for (int64_t i = 0; i + 8 <= n; i += 8) {
        unsigned b = 0;
        for (int k = 0; k < 8; k++)
            b |= (unsigned)(y[i + k] > lo && y[i + k] < hi) << k;
        bits[i / 8] = (uint8_t)b;
    }
    if (n % 8) {
        unsigned b = 0;
        for (int64_t k = 0; k < n % 8; k++)
            b |= (unsigned)(y[n / 8 * 8 + k] > lo && y[n / 8 * 8 + k] < hi) << k;
        bits[n / 8] = (uint8_t)b;
    }
}

DCV_CLONES static void mask(int64_t n, const uint8_t *bits, const float *gy, float *gx)
{
    for (int64_t i = 0; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            gx[i + k] = bits[i / 8] >> k & 1 ? gy[i + k] : 0;
    for (int64_t i = n / 8 * 8; i < n; i++)
        gx[i] = bits[i / 8] >> (i % 8) & 1 ? gy[i] : 0;
}

void dcv_gate_save(const dcv_blob *y, float lo, float hi, void *saved)
{
    pack(floats_of(y), y->data, lo, hi, saved);
}

void dcv_gate_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    mask(floats_of(&io->gy[0]), io->saved, io->gy[0].data, io->gx[0].data);
}

void dcv_slope_run(const dcv_node *nd, const dcv_back_io *io, dcv_slope_fn fn)
{
    fn(nd->attr, floats_of(&io->gy[0]), io->x[0].data, io->y[0].data, io->gy[0].data, io->gx[0].data);
    dcv_blob_clear_tail(&io->gx[0]);
}
