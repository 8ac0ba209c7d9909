/* tile_kernel.h -- the tiles of tile.c, each number of columns and distance between them a function of its own.
 *
 * They take long to compile, hence files of their own, which the build can make side by side: tile_block.c for blocks
 * of 16 channels, tile_plain.c for the plain input of first layers.
 */
#ifndef DCV_ENGINE_TILE_KERNEL_H
#define DCV_ENGINE_TILE_KERNEL_H

#include "engine/tile.h"

enum { DCV_TILE_COLUMNS = 7, DCV_TILE_GROUP = 64 };

/* One tile's places: x[at] its first input cell, w and bias those of the output group, y its first output cell. */
typedef struct dcv_tile_place {
    const float *x, *w, *bias;
    float *y;
    int64_t at;         /* may lie in the border, before x */
    int64_t row, plane; /* floats from an input row to the next, from a block to the next */
    int64_t lo, hi;     /* kernel rows that do not lie in the border */
    int64_t from, till; /* kernel columns before from lie in the border for the first column, those from till on for
                         * the last */
    int64_t blocks;     /* input blocks to sum */
    const float *ahead; /* weights to fetch meanwhile, */
    int64_t second;     /* the distance of a second line, 0: one line at a time, */
    bool fetch;         /* and whether to do it */
    bool first, last;
} dcv_tile_place;

typedef void (*dcv_tile_fn)(const dcv_tile *t, const dcv_tile_place *p);

/* [fetch][columns - 1]; by channels of a block and the stride of columns. */
typedef const dcv_tile_fn (*dcv_tile_fns)[DCV_TILE_COLUMNS];
dcv_tile_fns dcv_tile_of_blocks(int64_t stride); /* 1 or 2 */
dcv_tile_fns dcv_tile_of_plain(int64_t stride);  /* 1, 2 or 4 */

#endif
