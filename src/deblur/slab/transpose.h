/* transpose.h -- blocks of 16 x 16 reals. */
#ifndef DCV_DEBLUR_TRANSPOSE_H
#define DCV_DEBLUR_TRANSPOSE_H

#include <stdint.h>
#include <string.h>
#include "deblur/slab/lanes.h"

#if defined __GNUC__ && !defined __clang__ && !defined DCV_DEBLUR_F64
typedef float lane8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int pick8 __attribute__((vector_size(32)));

FULLY_INLINE void transpose8(const real *restrict from, int64_t from_step, real *restrict to, int64_t to_step)
{
    const pick8 low = {0, 8, 1, 9, 4, 12, 5, 13}, high = {2, 10, 3, 11, 6, 14, 7, 15};
    const pick8 low2 = {0, 1, 8, 9, 4, 5, 12, 13}, high2 = {2, 3, 10, 11, 6, 7, 14, 15};
    const pick8 low4 = {0, 1, 2, 3, 8, 9, 10, 11}, high4 = {4, 5, 6, 7, 12, 13, 14, 15};
    lane8 a[8], b[8];
    UNROLLED
    for (int i = 0; i < 8; i++)
        a[i] = *(const lane8 *)(from + i * from_step);
    UNROLLED
    for (int i = 0; i < 8; i += 2) {
        b[i] = __builtin_shuffle(a[i], a[i + 1], low);
        b[i + 1] = __builtin_shuffle(a[i], a[i + 1], high);
    }
    UNROLLED
    for (int i = 0; i < 8; i += 4)
        for (int k = 0; k < 2; k++) {
            a[i + 2 * k] = __builtin_shuffle(b[i + k], b[i + k + 2], low2);
            a[i + 2 * k + 1] = __builtin_shuffle(b[i + k], b[i + k + 2], high2);
        }
    UNROLLED
    for (int i = 0; i < 4; i++) {
        *(lane8 *)(to + i * to_step) = __builtin_shuffle(a[i], a[i + 4], low4);
        *(lane8 *)(to + (i + 4) * to_step) = __builtin_shuffle(a[i], a[i + 4], high4);
    }
}

FULLY_INLINE void transpose16(const real *restrict from, int64_t from_step, real *restrict to, int64_t to_step)
{
    for (int i = 0; i < LANES; i += 8)
        for (int j = 0; j < LANES; j += 8)
            transpose8(from + i * from_step + j, from_step, to + j * to_step + i, to_step);
}
#else
FULLY_INLINE void transpose16(const real *restrict from, int64_t from_step, real *restrict to, int64_t to_step)
{
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < LANES; j++)
            to[j * to_step + i] = from[i * from_step + j];
}
#endif

#endif
