/* adjoint.h -- a convolution walked back: gx = W' gy, one picture at a time, biases left out.
 *
 * With stride 1 the adjoint is a convolution with flipped filters, channels exchanged, and runs on the same back end as
 * those of the walk forward.  Other strides, and first layers, whose few channels would waste a block, are products
 * followed by the scattering of columns, in plain layout.
 */
#ifndef DCV_ENGINE_ADJOINT_H
#define DCV_ENGINE_ADJOINT_H

#include "engine/conv.h"

typedef struct dcv_adjoint {
    const dcv_backend *back;
    dcv_conv_desc d;        /* of the convolution forward */
    dcv_conv *conv;         /* flipped; NULL: columns */
    int gy_block, gx_block; /* layouts */
    int64_t taps, icg, ocg; /* kernel cells, channels of a group */
    int64_t in[3], out[3];  /* three axes of space */
    dcv_window win[3];
    int64_t tile; /* output rows (depth x rows) whose columns are made at once */
    size_t packed_bytes, scratch_bytes;
} dcv_adjoint;

dcv_status dcv_adjoint_new(const dcv_backend *back, const dcv_conv_desc *d, dcv_adjoint **out) DCV_MUST_USE;
void dcv_adjoint_free(dcv_adjoint *a);

/* w, scale: of the convolution forward. */
dcv_status dcv_adjoint_pack(const dcv_adjoint *a, const float *w, const float *scale, void *packed) DCV_MUST_USE;

/* call: of a->conv, NULL where that is. */
void dcv_adjoint_run(const dcv_adjoint *a, dcv_conv_call *call, const float *gy, const void *packed, float *gx,
                     void *scratch);

#endif
