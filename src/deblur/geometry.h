/* geometry.h -- where data, unknown object and PSF lie on the periodic frame that is transformed. */
#ifndef DCV_DEBLUR_GEOMETRY_H
#define DCV_DEBLUR_GEOMETRY_H

#include "deconvoy/deblur.h"

typedef struct box {
    int64_t at[3], n[3];
} box;

typedef struct geometry {
    int64_t m[3];  /* the frame */
    box window;    /* the observed samples */
    box data;      /* samples that the method is given: the window, or the frame filled by reflection */
    box object;    /* samples of the unknown */
    bool box_sums; /* H^T 1 is not 1 everywhere */
} geometry;

/* Smallest 2^a 3^b 5^c 7^d >= m, m >= 1. */
int64_t fast_size(int64_t m);

/* A function of data and PSF alone, never of ranks. */
void geometry_of(const dcv_deblur_spec *spec, const dcv_psf *psf, geometry *out);

/* Sample i of an axis of n continued by half-sample reflection. */
static inline int64_t mirror(int64_t i, int64_t n)
{
    const int64_t r = i % (2 * n), k = r < 0 ? r + 2 * n : r;
    return k < n ? k : 2 * n - 1 - k;
}

#endif
