/* rowmath.h -- logarithm and sums that compilers can turn into vector code; the same values on every instruction set.
 */
#ifndef DCV_DEBLUR_ROWMATH_H
#define DCV_DEBLUR_ROWMATH_H

#include <stdint.h>
#include <string.h>
#include "deblur/real.h"

#define SUM_LANES 32
#define SUM_TURNS 8 /* of lanes that are added up in the samples' own precision */

static inline double lanes_sum(const double *lane)
{
    double sum = 0;
    for (int i = 0; i < SUM_LANES; i++)
        sum += lane[i];
    return sum;
}

#if defined DCV_DEBLUR_F64
/* Natural logarithm of a normal number > 0, 1 ulp (the argument reduction and polynomial of FreeBSD's e_log.c). */
static inline real row_log(real v)
{
    uint64_t bits, k;
    double m, e;
    memcpy(&bits, &v, sizeof bits);
    const uint64_t up = bits + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
    k = (up >> 52) | 0x4330000000000000u;
    memcpy(&e, &k, sizeof e);
    e -= 4503599627370496.0 + 1023;
    bits = (up & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu;
    memcpy(&m, &bits, sizeof m);
    const double f = m - 1, s = f / (2 + f), z = s * s, w = z * z, h = 0.5 * f * f;
    const double t1 = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332));
    const double t2 = z * (0.6666666666666735130 +
                           w * (0.2857142874366239149 + w * (0.1818357216161805012 + w * 0.1479819860511658591)));
    return e * 6.93147180369123816490e-01 - ((h - (s * (h + t1 + t2) + e * 1.90821492927058770002e-10)) - f);
}
#else
/* Natural logarithm of a normal number > 0, about 1 ulp (the polynomial of Cephes' logf). */
static inline real row_log(real v)
{
    int32_t bits;
    memcpy(&bits, &v, sizeof bits);
    const int32_t k = (bits - 0x3f3504f3) >> 23, low = bits - k * (1 << 23);
    float m;
    memcpy(&m, &low, sizeof m);
    const float f = m - 1, z = f * f, e = (float)k;
    float y = 7.0376836292e-2f;
    y = y * f - 1.1514610310e-1f;
    y = y * f + 1.1676998740e-1f;
    y = y * f - 1.2420140846e-1f;
    y = y * f + 1.4249322787e-1f;
    y = y * f - 1.6668057665e-1f;
    y = y * f + 2.0000714765e-1f;
    y = y * f - 2.4999993993e-1f;
    y = y * f + 3.3333331174e-1f;
    y = y * f * z + e * -2.12194440e-4f;
    return f + (y - 0.5f * z) + e * 0.693359375f;
}
#endif

#endif
