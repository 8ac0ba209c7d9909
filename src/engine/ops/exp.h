/* exp.h -- e^x in float32 that loops over arrays can be vectorised with.
 *
 * x = n ln 2 + r with whole n, and a polynomial for e^r, |r| <= ln 2 / 2 (Cody & Waite 1980).
 */
#ifndef DCV_ENGINE_OPS_EXP_H
#define DCV_ENGINE_OPS_EXP_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#include "engine/vector.h"

DCV_INLINE float dcv_float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* -104 <= x <= 89, within 2 ulp of the true value, inf above 88.73; NaN stays NaN; nonsense elsewhere. */
DCV_INLINE float dcv_exp_inner(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number in the low bits */
    const float t = x * 1.44269504f + magic, n = t - magic;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r * r + r + 1;
    uint32_t bits;
    memcpy(&bits, &t, sizeof bits);
    const int32_t n2 = (int32_t)(bits - 0x4b400000u), half = n2 >> 1; /* 2^n in two factors: n may be below -126 */
    return p * dcv_float_of_bits((uint32_t)(half + 127) << 23) * dcv_float_of_bits((uint32_t)(n2 - half + 127) << 23);
}

#define DCV_EXP_CHUNK 64

/* y = e^x for n <= DCV_EXP_CHUNK numbers, all of float's range (below -104: the least number or 0).  In steps of their
 * own: in one loop the compiler makes branches of the bounds. */
DCV_INLINE void dcv_exp_chunk(int n, const float *x, float *y)
{
    float in[DCV_EXP_CHUNK];
    for (int i = 0; i < n; i++)
        in[i] = x[i] > 89 ? 89 : x[i];
    for (int i = 0; i < n; i++)
        in[i] = in[i] < -104 ? -104 : in[i];
    for (int i = 0; i < n; i++)
        y[i] = dcv_exp_inner(in[i]);
}

#endif
