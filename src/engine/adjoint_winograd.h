/* adjoint_winograd.h -- a Winograd convolution (winograd.h) walked back with the very weights that it goes forward by.
 *
 * y = A' [U * (B' x B)] A tile by tile, so gx = B [U' * (A gy A')] B', the 6x6 tiles of gx overlapping by two and added
 * up; U' is U with inputs and outputs exchanged, turned where it is needed.
 */
#ifndef DCV_ENGINE_ADJOINT_WINOGRAD_H
#define DCV_ENGINE_ADJOINT_WINOGRAD_H

#include "engine/conv.h"

typedef struct dcv_adjoint_winograd {
    dcv_conv_desc d; /* of the convolution forward, which dcv_winograd takes */
    int64_t ic_blocks, oc_blocks;
    int64_t down, across; /* tiles */
    int64_t batch;        /* that go through the products together */
    bool turned;          /* all weights are turned at once */
} dcv_adjoint_winograd;

void dcv_adjoint_winograd_plan(const dcv_conv_desc *d, dcv_adjoint_winograd *t);
size_t dcv_adjoint_winograd_scratch_bytes(const dcv_adjoint_winograd *t);

/* gx = W' gy, or gx += W' gy (add); packed: as dcv_winograd_pack() left it. */
void dcv_adjoint_winograd_run(const dcv_adjoint_winograd *t, const float *gy, const float *packed, bool add, float *gx,
                              float *scratch);

#endif
