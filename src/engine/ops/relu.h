/* relu.h -- what the walk's plan must know of a LeakyRelu node. */
#ifndef DCV_ENGINE_OPS_RELU_H
#define DCV_ENGINE_OPS_RELU_H

#include "deconvoy/op.h"

float dcv_leakyrelu_slope(const dcv_node *nd);

#endif
