/* adjoint_tile.h -- convolutions of blocks of 16 channels walked back in tiles of registers, for AVX-512.
 *
 * With stride s the cells of the input fall into s classes an axis; the cells of one class all read the same kernel
 * taps, so each class is a convolution of stride 1 of the signal, and nothing is multiplied by zero.  Weights are
 * read where the walk forward has packed them (tile.h, winograd.h) and turned a chunk at a time: 16 numbers are turned
 * for every 16 x (cells of the map) multiply-adds, and no weight is kept twice.
 */
#ifndef DCV_ENGINE_ADJOINT_TILE_H
#define DCV_ENGINE_ADJOINT_TILE_H

#include "engine/conv.h"

typedef struct dcv_adjoint_tile {
    dcv_conv_desc d; /* of the convolution forward */
    bool shared;     /* weights as dcv_tile packs them; else as dcv_adjoint_tile_pack() does */
    int64_t ic_blocks, oc_blocks;
    int64_t in[2], out[2]; /* rows, columns */
    dcv_window win[2];
} dcv_adjoint_tile;

/* Is it made for this shape?  (AVX-512 is the caller's business.) */
bool dcv_adjoint_tile_takes(const dcv_conv_desc *d);
void dcv_adjoint_tile_plan(const dcv_conv_desc *d, bool shared, dcv_adjoint_tile *t);
size_t dcv_adjoint_tile_packed_bytes(const dcv_adjoint_tile *t); /* 0 where they are shared */
size_t dcv_adjoint_tile_scratch_bytes(const dcv_adjoint_tile *t);
void dcv_adjoint_tile_pack(const dcv_adjoint_tile *t, const float *w, const float *scale, float *packed);

/* gx = W' gy, or gx += W' gy (add); both in blocks of 16. */
void dcv_adjoint_tile_run(const dcv_adjoint_tile *t, const float *gy, const float *packed, bool add, float *gx,
                          float *scratch);

/* y [groups][ld][16] = x [blocks][ld][16] times w [16 blocks][16 groups], for the first n of ld cells; groups 1..4.
 * ahead: weights that will be turned next, ahead_group floats from 64 outputs to the next, to be fetched meanwhile. */
void dcv_adjoint_product(int64_t n, int64_t ld, int64_t blocks, const float *x, const float *w, int groups,
                         const float *ahead, int64_t ahead_group, float *y);

/* 16 inputs by 64 outputs, as both pack them, to four times 16 outputs by 16 inputs: to[k block + c row + r] = from[64
 * r + 16 k + c]; ahead: what will be turned next, to be fetched meanwhile. */
void dcv_adjoint_turn(const float *from, float *to, int64_t row, int64_t block, const float *ahead);

/* ---- first layers: 1 to 4 channels in plain layout ---- */

typedef struct dcv_adjoint_narrow {
    dcv_conv_desc d;
    int64_t oc_blocks, in[2], out[2];
    dcv_window win[2];
} dcv_adjoint_narrow;

bool dcv_adjoint_narrow_takes(const dcv_conv_desc *d);
void dcv_adjoint_narrow_plan(const dcv_conv_desc *d, dcv_adjoint_narrow *t);
size_t dcv_adjoint_narrow_packed_bytes(const dcv_adjoint_narrow *t);
size_t dcv_adjoint_narrow_scratch_bytes(const dcv_adjoint_narrow *t);
void dcv_adjoint_narrow_pack(const dcv_adjoint_narrow *t, const float *w, const float *scale, float *packed);
/* gy in blocks of 16, gx plain. */
void dcv_adjoint_narrow_run(const dcv_adjoint_narrow *t, const float *gy, const float *packed, float *gx,
                            float *scratch);

/* ---- shared by both: the cells of one class along an axis ---- */

typedef struct dcv_class {
    int64_t n;     /* cells: number, number + stride, ... */
    int64_t taps;  /* kernel cells that they read, */
    int64_t tap;   /* the first of them; then every stride'th */
    int64_t first; /* place in the signal that the first cell's last tap reads; may lie outside */
    int64_t step;  /* from there to where the tap before it reads */
} dcv_class;

/* number: 0 .. stride - 1. */
dcv_class dcv_class_of(const dcv_window *w, int64_t in, int64_t number);
/* Rows and columns of a convolution of one or two axes. */
void dcv_class_axes(const dcv_conv_desc *d, int64_t in[2], int64_t out[2], dcv_window win[2]);
/* Of taps whose places start at `at`, step apart, those inside an axis of n places: *lo to *hi - 1. */
void dcv_class_inside(const dcv_class *c, int64_t at, int64_t n, int64_t *lo, int64_t *hi);

#endif
