/* adjoint_depthwise.h -- depthwise convolutions walked back, one input channel to one output channel.
 *
 * Each cell of gx sums the outputs whose windows saw it.  With a stride these are the outputs of its class, the cells
 * whose numbers leave the same rest, which all see the same kernel cells: nothing is multiplied by zero and nothing
 * scattered.  In blocks eight channels go side by side, in plain layout the cells of a row.  Products and sums are
 * rounded each on its own, by kernel row, then column, so that values are the same on every machine and in every
 * layout.
 */
#ifndef DCV_ENGINE_ADJOINT_DEPTHWISE_H
#define DCV_ENGINE_ADJOINT_DEPTHWISE_H

#include "engine/conv.h"

/* Is it made for this shape?  With stride 1 convolutions with flipped filters are as good or better. */
bool dcv_adjoint_depthwise_takes(const dcv_conv_desc *d);

/* block: 1, 8 or 16, of gy and gx. */
size_t dcv_adjoint_depthwise_packed_bytes(const dcv_conv_desc *d, int block);
size_t dcv_adjoint_depthwise_scratch_bytes(const dcv_conv_desc *d, int block);

/* w [channels][kernel]; scale as in conv.h. */
void dcv_adjoint_depthwise_pack(const dcv_conv_desc *d, int block, const float *w, const float *scale, float *packed);

/* gx = W' gy, or gx += W' gy (add), of one picture. */
void dcv_adjoint_depthwise_run(const dcv_conv_desc *d, int block, const float *gy, const float *packed, bool add,
                               float *gx, float *scratch);

#endif
