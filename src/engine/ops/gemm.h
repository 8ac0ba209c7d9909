/* gemm.h -- what the walk's plan must know of dense products. */
#ifndef DCV_ENGINE_OPS_GEMM_H
#define DCV_ENGINE_OPS_GEMM_H

#include "engine/ops/util.h"

/* y = alpha A' B' + beta C, ' = transposed where asked; A is [M,K], B [K,N], C broadcast to [M,N]. */
typedef struct dcv_gemm_attr {
    double alpha, beta;
    int64_t trans_a, trans_b;
} dcv_gemm_attr;

extern const dcv_op dcv_op_gemm, dcv_op_matmul;

#endif
