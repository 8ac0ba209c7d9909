/* transposed_avx2.h -- strided transposed convolutions of one or two axes in blocks of 8 channels, for AVX2.
 *
 * With stride s the cells of the output fall into s classes an axis; the cells of one class all read the same taps, so
 * each class is a convolution of stride 1 and nothing is multiplied by zero.  Tiles are 6 cells of a class by 16
 * outputs; the cells may be of several rows and pictures, so that small maps fill them.  Bias, sum and activation are
 * fused in.  A cell's sum runs over input blocks, taps, channels, in this order, in one chain, whatever its tile.
 */
#ifndef DCV_ENGINE_TRANSPOSED_AVX2_H
#define DCV_ENGINE_TRANSPOSED_AVX2_H

#include "engine/conv.h"

typedef struct dcv_transposed8 {
    dcv_conv_desc d;                      /* as transposed.h has it */
    int64_t ic_blocks, oc_blocks, groups; /* of 8, 8, and 16 outputs */
    int64_t in[2], out[2];                /* rows, columns */
    int64_t lead[2], wide[2];             /* cells of border before; extents of the input with its border */
    bool widened;                         /* some tap reads the border: the input is copied with it */
    int pictures;                         /* that there is room for at once */
    dcv_window win[2];
} dcv_transposed8;

/* Is it made for this shape?  (AVX2 is the caller's business.) */
bool dcv_transposed8_takes(const dcv_conv_desc *d);

void dcv_transposed8_plan(const dcv_conv_desc *d, dcv_transposed8 *t);
size_t dcv_transposed8_packed_bytes(const dcv_transposed8 *t);
size_t dcv_transposed8_scratch_bytes(const dcv_transposed8 *t);
bool dcv_transposed8_same_packing(const dcv_transposed8 *a, const dcv_transposed8 *b);

/* w: [ic, oc, kernel...]; scale: of outputs, or NULL. */
void dcv_transposed8_pack(const dcv_transposed8 *t, const float *w, const float *scale, float *packed);

/* n pictures, x_stride and y_stride floats apart. */
void dcv_transposed8_run(const dcv_transposed8 *t, int n, const float *x, int64_t x_stride, const float *packed,
                         const float *bias, float *y, int64_t y_stride, float *scratch);

#endif
