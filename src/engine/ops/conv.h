/* conv.h -- what the walk's plan must know of Conv and ConvTranspose nodes. */
#ifndef DCV_ENGINE_OPS_CONV_H
#define DCV_ENGINE_OPS_CONV_H

#include "engine/ops/window.h"

typedef struct dcv_conv_attr {
    dcv_window_attr window;
    int64_t group;
    dcv_ints output_padding, output_shape; /* ConvTranspose */
} dcv_conv_attr;

extern const dcv_op dcv_op_conv, dcv_op_convtranspose;

/* Windows of a Conv, ConvTranspose or pooling node, auto_pad resolved: win[0 .. *n_space-1], [depth,] rows, columns.
 * Inputs of Conv: x, weights [oc, ic/groups, kernel...], optional bias [oc] (in[2] absent or -1: none); of
 * ConvTranspose with weights [ic, oc/groups, kernel...]. */
void dcv_conv_windows(const dcv_graph *g, const dcv_node *nd, dcv_window win[DCV_MAX_SPACE], int *n_space);
int64_t dcv_conv_groups(const dcv_node *nd);

#endif
