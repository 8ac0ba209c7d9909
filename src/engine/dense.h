/* dense.h -- y = act(x W + b) for a group of pictures: products of fixed height, bound by reading W once.
 *
 * Weights are packed so that they are read in one stream.  Sums run over k in chunks of fixed size, each one a chain of
 * fused multiply-adds in order of k, so that every instruction set gives the same bits.
 */
#ifndef DCV_ENGINE_DENSE_H
#define DCV_ENGINE_DENSE_H

#include "engine/conv.h"

typedef struct dcv_dense {
    int64_t k, n;   /* x is [k], y is [n] */
    const float *w; /* [k, n], or [n, k] where transposed */
    bool transposed;
    float alpha;    /* y = alpha x W + beta b */
    const float *b; /* [n], [1] (n_b 1), or NULL */
    int64_t n_b;
    float beta;
    dcv_act act;
    float lo, hi;
} dcv_dense;

size_t dcv_dense_packed_bytes(const dcv_dense *d);
size_t dcv_dense_bias_floats(const dcv_dense *d);
size_t dcv_dense_scratch_bytes(const dcv_dense *d, int n_pictures);
void dcv_dense_pack(const dcv_dense *d, float *packed, float *bias);

/* x, y: [n_pictures] rows.  Weights are read once for all of them; sums are of DCV_GROUP rows at a time, short ones
 * padded, and a row's numbers do not depend on the others.  scratch: dcv_dense_scratch_bytes() of n_pictures or more.
 */
void dcv_dense_run(const dcv_dense *d, const float *packed, const float *bias, int n_pictures, const float *const *x,
                   float *const *y, void *scratch);

const char *dcv_dense_kernel(void);

#endif
