/* batchnorm.h -- BatchNormalization as scale and shift per channel, for folding into a convolution. */
#ifndef DCV_ENGINE_OPS_BATCHNORM_H
#define DCV_ENGINE_OPS_BATCHNORM_H

#include "engine/ops/util.h"

extern const dcv_op dcv_op_batchnormalization;

/* y = scale[c] x + shift[c]: scale = gamma / sqrt(variance + epsilon), shift = beta - mean scale, worked out in double.
 * Channels first .. first+n-1.  All parameters of the node are constants. */
void dcv_batchnorm_scale(const dcv_graph *g, const dcv_node *nd, int64_t first, int64_t n, float *scale, float *shift);

#endif
