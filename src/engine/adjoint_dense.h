/* adjoint_dense.h -- a dense product (dense.h) walked back with the very weights that it goes forward by.
 *
 * Packed weights have outputs side by side, over which the walk back sums: lanes keep sums of their own, which are
 * added up at the end.  Reading the weights takes the time, as it does forward.  For AVX-512.
 */
#ifndef DCV_ENGINE_ADJOINT_DENSE_H
#define DCV_ENGINE_ADJOINT_DENSE_H

#include "engine/dense.h"

size_t dcv_adjoint_dense_scratch_bytes(const dcv_dense *d);

/* gx = W gy for n signals, 1 .. DCV_GROUP; d: forward; packed: as dcv_dense_pack() left it.  A signal's numbers do not
 * depend on n. */
void dcv_adjoint_dense_run(const dcv_dense *d, const float *packed, int n, const float *const *gy, float *const *gx,
                           void *scratch);

#endif
