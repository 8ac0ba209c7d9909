/* sigmoid.h -- what the walk's plan must know of HardSigmoid to fuse it. */
#ifndef DCV_ENGINE_OPS_SIGMOID_H
#define DCV_ENGINE_OPS_SIGMOID_H

#include "deconvoy/op.h"

typedef struct dcv_hardsigmoid_attr {
    double alpha, beta; /* slope, value at 0 */
} dcv_hardsigmoid_attr;

#endif
