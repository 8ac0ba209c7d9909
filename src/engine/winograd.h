/* winograd.h -- 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3): blocks of 16 channels for AVX-512, of 8 for
 * AVX2.
 *
 * Tiles of 4x4 outputs are computed from 6x6 inputs as 36 products per channel pair instead of 144 (Lavin & Gray 2016,
 * transforms as given there).  The products over channels are matrix products in tiles of registers.
 * A tile's numbers depend on nothing but its own inputs.
 */
#ifndef DCV_ENGINE_WINOGRAD_H
#define DCV_ENGINE_WINOGRAD_H

#include "engine/conv.h"

typedef struct dcv_winograd {
    dcv_conv_desc d;
    int lanes; /* 16, or 8: of winograd_avx2.c */
    int64_t ic_blocks, oc_blocks;
    int64_t down, across; /* tiles */
    int64_t batch;        /* tiles that go through the products together */
} dcv_winograd;

/* Is it made for this shape, and worth it?  (Blocks of 16, and AVX-512, are the caller's business.) */
bool dcv_winograd_takes(const dcv_conv_desc *d);

void dcv_winograd_plan(const dcv_conv_desc *d, dcv_winograd *t);

/* The same for blocks of 8 and AVX2; the functions below serve both. */
bool dcv_winograd8_takes(const dcv_conv_desc *d);
void dcv_winograd8_plan(const dcv_conv_desc *d, dcv_winograd *t);

size_t dcv_winograd_packed_bytes(const dcv_winograd *t);
size_t dcv_winograd_scratch_bytes(const dcv_winograd *t);
void dcv_winograd_pack(const dcv_winograd *t, const float *w, const float *scale, float *packed);
/* The same for n pictures at once, x_stride and y_stride floats apart: weights are read once for all of them. */
void dcv_winograd_run_some(const dcv_winograd *t, int n, const float *x, int64_t x_stride, const float *packed,
                           const float *bias, float *y, int64_t y_stride, float *scratch);
void dcv_winograd_run(const dcv_winograd *t, const float *x, const float *packed, const float *bias, float *y,
                      float *scratch);

/* ---- winograd_avx2.c ---- */

size_t dcv_winograd8_packed_bytes(const dcv_winograd *t);
size_t dcv_winograd8_scratch_bytes(const dcv_winograd *t);
void dcv_winograd8_pack(const dcv_winograd *t, const float *w, const float *scale, float *packed);
void dcv_winograd8_run_some(const dcv_winograd *t, int n, const float *x, int64_t x_stride, const float *packed,
                            const float *bias, float *y, int64_t y_stride, float *scratch);

/* scale G g G' of one 3x3 kernel. */
void dcv_winograd_weights(const float *g, double scale, float to[36]);

#endif
