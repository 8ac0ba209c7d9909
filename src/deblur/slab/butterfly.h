/* butterfly.h -- transforms of 2, 3, 4, 5, 7 and 8 samples, exp(-2 pi i / n), in place. */
#ifndef DCV_DEBLUR_BUTTERFLY_H
#define DCV_DEBLUR_BUTTERFLY_H

#include "deblur/real.h"

#define MOST_RADIX 8

FULLY_INLINE void butterfly2(real *re, real *im)
{
    const real r = re[0] - re[1], i = im[0] - im[1];
    re[0] += re[1];
    im[0] += im[1];
    re[1] = r;
    im[1] = i;
}

/* Samples a and b: m - i n and m + i n. */
FULLY_INLINE void mirrored(real *re, real *im, int a, int b, real mr, real mi, real nr, real ni)
{
    re[a] = mr + ni;
    im[a] = mi - nr;
    re[b] = mr - ni;
    im[b] = mi + nr;
}

FULLY_INLINE void butterfly3(real *re, real *im)
{
    const real c = REAL_C(-0.5), s = REAL_C(0.86602540378443864676);
    const real tr = re[1] + re[2], ti = im[1] + im[2], dr = re[1] - re[2], di = im[1] - im[2];
    const real mr = re[0] + c * tr, mi = im[0] + c * ti;
    re[0] += tr;
    im[0] += ti;
    mirrored(re, im, 1, 2, mr, mi, s * dr, s * di);
}

FULLY_INLINE void butterfly4(real *re, real *im)
{
    const real ar = re[0] + re[2], ai = im[0] + im[2], br = re[0] - re[2], bi = im[0] - im[2];
    const real cr = re[1] + re[3], ci = im[1] + im[3], dr = re[1] - re[3], di = im[1] - im[3];
    re[0] = ar + cr;
    im[0] = ai + ci;
    re[2] = ar - cr;
    im[2] = ai - ci;
    mirrored(re, im, 1, 3, br, bi, dr, di);
}

FULLY_INLINE void butterfly5(real *re, real *im)
{
    const real c1 = REAL_C(0.30901699437494742410), c2 = REAL_C(-0.80901699437494742410);
    const real s1 = REAL_C(0.95105651629515357212), s2 = REAL_C(0.58778525229247312917);
    const real ar = re[1] + re[4], ai = im[1] + im[4], br = re[2] + re[3], bi = im[2] + im[3];
    const real cr = re[1] - re[4], ci = im[1] - im[4], dr = re[2] - re[3], di = im[2] - im[3];
    const real r = re[0], i = im[0];
    re[0] = r + (ar + br);
    im[0] = i + (ai + bi);
    mirrored(re, im, 1, 4, r + (c1 * ar + c2 * br), i + (c1 * ai + c2 * bi), s1 * cr + s2 * dr, s1 * ci + s2 * di);
    mirrored(re, im, 2, 3, r + (c2 * ar + c1 * br), i + (c2 * ai + c1 * bi), s2 * cr - s1 * dr, s2 * ci - s1 * di);
}

FULLY_INLINE void butterfly7(real *re, real *im)
{
    const real c1 = REAL_C(0.62348980185873353053), c2 = REAL_C(-0.22252093395631440429),
               c3 = REAL_C(-0.90096886790241912624);
    const real s1 = REAL_C(0.78183148246802980871), s2 = REAL_C(0.97492791218182360702),
               s3 = REAL_C(0.43388373911755812048);
    const real ar = re[1] + re[6], ai = im[1] + im[6], br = re[2] + re[5], bi = im[2] + im[5], cr = re[3] + re[4],
               ci = im[3] + im[4];
    const real dr = re[1] - re[6], di = im[1] - im[6], er = re[2] - re[5], ei = im[2] - im[5], fr = re[3] - re[4],
               fi = im[3] - im[4];
    const real r = re[0], i = im[0];
    re[0] = r + (ar + br + cr);
    im[0] = i + (ai + bi + ci);
    mirrored(re, im, 1, 6, r + (c1 * ar + c2 * br + c3 * cr), i + (c1 * ai + c2 * bi + c3 * ci),
             s1 * dr + s2 * er + s3 * fr, s1 * di + s2 * ei + s3 * fi);
    mirrored(re, im, 2, 5, r + (c2 * ar + c3 * br + c1 * cr), i + (c2 * ai + c3 * bi + c1 * ci),
             s2 * dr - s3 * er - s1 * fr, s2 * di - s3 * ei - s1 * fi);
    mirrored(re, im, 3, 4, r + (c3 * ar + c1 * br + c2 * cr), i + (c3 * ai + c1 * bi + c2 * ci),
             s3 * dr - s1 * er + s2 * fr, s3 * di - s1 * ei + s2 * fi);
}

FULLY_INLINE void butterfly8(real *re, real *im)
{
    const real h = REAL_C(0.70710678118654752440);
    real er[4] = {re[0], re[2], re[4], re[6]}, ei[4] = {im[0], im[2], im[4], im[6]};
    real dr[4] = {re[1], re[3], re[5], re[7]}, di[4] = {im[1], im[3], im[5], im[7]};
    butterfly4(er, ei);
    butterfly4(dr, di);
    const real r1 = h * (dr[1] + di[1]), i1 = h * (di[1] - dr[1]), r3 = h * (di[3] - dr[3]), i3 = h * (dr[3] + di[3]);
    re[0] = er[0] + dr[0];
    im[0] = ei[0] + di[0];
    re[4] = er[0] - dr[0];
    im[4] = ei[0] - di[0];
    re[1] = er[1] + r1;
    im[1] = ei[1] + i1;
    re[5] = er[1] - r1;
    im[5] = ei[1] - i1;
    re[2] = er[2] + di[2];
    im[2] = ei[2] - dr[2];
    re[6] = er[2] - di[2];
    im[6] = ei[2] + dr[2];
    re[3] = er[3] + r3;
    im[3] = ei[3] - i3;
    re[7] = er[3] - r3;
    im[7] = ei[3] + i3;
}

/* radix is a constant where this is called. */
FULLY_INLINE void butterfly(int radix, real *re, real *im)
{
    if (radix == 2)
        butterfly2(re, im);
    else if (radix == 3)
        butterfly3(re, im);
    else if (radix == 4)
        butterfly4(re, im);
    else if (radix == 5)
        butterfly5(re, im);
    else if (radix == 7)
        butterfly7(re, im);
    else
        butterfly8(re, im);
}

#endif
