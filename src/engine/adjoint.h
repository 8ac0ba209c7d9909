/* adjoint.h -- a convolution walked back: gx = W' gy, one picture at a time, biases left out.
 *
 * Which way is a matter of the shape, back end and instruction set.  In blocks of 16, with AVX-512, there are kernels
 * of our own, which read the weights that the walk forward has packed wherever it runs on ours as well.  Elsewhere the
 * adjoint with stride 1 is a convolution with flipped filters, channels exchanged, on the same back end; other strides,
 * and first layers, whose few channels would waste a block, are products followed by the scattering of columns, in
 * plain layout.  Strided depthwise ones are summed cell by cell everywhere (adjoint_depthwise.h).
 */
#ifndef DCV_ENGINE_ADJOINT_H
#define DCV_ENGINE_ADJOINT_H

#include "engine/adjoint_tile.h"
#include "engine/adjoint_winograd.h"

typedef enum dcv_adjoint_kind {
    DCV_ADJOINT_TILES,
    DCV_ADJOINT_WINOGRAD,
    DCV_ADJOINT_NARROW,
    DCV_ADJOINT_DEPTHWISE,
    DCV_ADJOINT_FLIPPED,
    DCV_ADJOINT_COLUMNS,
    DCV_ADJOINT_MIRROR
} dcv_adjoint_kind;

typedef struct dcv_adjoint {
    dcv_adjoint_kind kind;
    bool shared;             /* reads what the walk forward has packed */
    bool adds;               /* can add to what stands in gx */
    const dcv_backend *back; /* whose conv is */
    dcv_conv_desc d;         /* of the convolution forward */
    dcv_conv *conv;          /* FLIPPED, MIRROR */
    dcv_adjoint_tile tiles;  /* TILES ... */
    dcv_adjoint_winograd winograd;
    dcv_adjoint_narrow narrow;
    int gy_block, gx_block; /* layouts */
    int64_t taps, icg, ocg; /* kernel cells, channels of a group */
    int64_t in[3], out[3];  /* three axes of space */
    dcv_window win[3];
    int64_t tile; /* output rows (depth x rows) whose columns are made at once */
    size_t packed_bytes, scratch_bytes;
} dcv_adjoint;

/* forward: the convolution whose weights are packed, of the same filters; d may be a part of its map.  NULL: there is
 * none.  A transposed convolution is walked back by its mirror (transposed.h). */
dcv_status dcv_adjoint_new(const dcv_backend *back, const dcv_conv_desc *d, const dcv_conv_desc *forward,
                           dcv_adjoint **out) DCV_MUST_USE;
void dcv_adjoint_free(dcv_adjoint *a);

/* Layouts of gy and gx without forward, for a convolution. */
void dcv_adjoint_layout(const dcv_backend *back, const dcv_conv_desc *d, int *gy_block, int *gx_block);

/* Would both pack the same weights to the same bytes? */
bool dcv_adjoint_same_packing(const dcv_adjoint *a, const dcv_adjoint *b);

const char *dcv_adjoint_kernel(const dcv_adjoint *a);

/* w, scale: of the convolution forward. */
dcv_status dcv_adjoint_pack(const dcv_adjoint *a, const float *w, const float *scale, void *packed) DCV_MUST_USE;

/* call: of a->conv, NULL where that is.  packed: the forward's where they are shared.  add: gx += (only where it can).
 */
void dcv_adjoint_run(const dcv_adjoint *a, dcv_conv_call *call, const float *gy, const void *packed, bool add,
                     float *gx, void *scratch);

/* ---- with stride 1: a convolution with flipped filters, channels exchanged ---- */

/* Describe it (blocks and strides of memory are left open); false where there is none. */
bool dcv_adjoint_flip(const dcv_conv_desc *d, dcv_conv_desc *t);

/* Pack the weights of d for it. */
dcv_status dcv_adjoint_pack_flipped(const dcv_backend *back, const dcv_conv *conv, const dcv_conv_desc *d,
                                    const float *w, void *packed) DCV_MUST_USE;

#endif
