/* tile.h -- direct convolution of blocks of 16 channels, in tiles of registers, for AVX-512.
 *
 * 7 output columns by 64 output channels are summed in 28 registers, so that 28 multiply-adds go with 17 loads;
 * this keeps both multipliers busy on every shape (230 to 249 of 250 GFLOP/s where oneDNN's direct kernels gave 134 to
 * 230; tests/bench/README.md).  Sums run over input blocks, kernel rows, kernel columns, channels, in this order, in
 * one chain.
 */
#ifndef DCV_ENGINE_TILE_H
#define DCV_ENGINE_TILE_H

#include "engine/conv.h"

#define DCV_TILE_PLAIN 4 /* so few input channels are read in plain layout */

typedef struct dcv_tile {
    dcv_conv_desc d;
    int64_t lanes;             /* channels of an input block: 16, or 1 of plain input */
    int64_t ic_blocks, groups; /* of lanes input, 64 output channels */
    int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
    int64_t in_h, in_w;     /* as given */
    int64_t wide_h, wide_w; /* with the border */
    int64_t out_h, out_w;   /* one long row where a 1x1 kernel allows it */
    int64_t chunk;          /* input blocks summed at once: their weights stay in the cache */
    bool widened; /* where the border reaches in by more than a column, a small input is copied with its border;
                   * of large ones, what tiles at the edge read */
} dcv_tile;

/* Is it made for this shape?  (Blocks of 16, but for first layers, and AVX-512, are the caller's business.) */
bool dcv_tile_takes(const dcv_conv_desc *d);

void dcv_tile_plan(const dcv_conv_desc *d, dcv_tile *t);
size_t dcv_tile_packed_bytes(const dcv_tile *t);
size_t dcv_tile_scratch_bytes(const dcv_tile *t);
void dcv_tile_pack(const dcv_tile *t, const float *w, const float *scale, float *packed);
void dcv_tile_run(const dcv_tile *t, const float *x, const float *packed, const float *bias, float *y, float *scratch);

/* y [4][ld][16] = x [blocks][ld][16] times w [16 blocks][64], for the first n of ld cells: a product over channels. */
void dcv_tile_product(int64_t n, int64_t ld, int64_t blocks, const float *x, const float *w, float *y);

#endif
