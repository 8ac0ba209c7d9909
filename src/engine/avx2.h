/* avx2.h -- what kernels for AVX2 share. */
#ifndef DCV_ENGINE_AVX2_H
#define DCV_ENGINE_AVX2_H

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* sum += a b, in place: left to itself the compiler moves the sums of a tile from register to register, and some to
 * memory, which costs a fifth. */
static inline __attribute__((always_inline, target("avx2,fma"))) void dcv_accumulate(__m256 *sum, __m256 a, __m256 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(a), "x"(b));
}
#endif

#endif
