/* linear.h -- filters in closed form: the estimate's spectrum is conj(H) w Y, with w a function of |H|^2 and |L|^2.
 *
 * A filter is one file with one const linear_filter, and one line in linear.c.  Compiled twice, see deblur/real.h.
 */
#ifndef DCV_DEBLUR_LINEAR_H
#define DCV_DEBLUR_LINEAR_H

#include "deblur/filters/problem.h"

#define filter_inverse   N(filter_inverse)
#define filter_wiener    N(filter_wiener)
#define filter_tikhonov  N(filter_tikhonov)
#define filter_landweber N(filter_landweber)
#define linear_choose    N(linear_choose)

typedef struct linear linear;

/* For SLAB_LANES places of the spectrum: w, and rest = 1 - |H|^2 w, the share of the data that is left out. */
typedef void (*linear_weights)(const linear *l, const double *hh, const double *ll, double *w, double *rest);

typedef struct linear_filter {
    linear_weights weights;
    double dflt; /* regularisation: auto; NaN: by cross-validation */
    bool uses_r; /* has a regularisation */
} linear_filter;

struct linear {
    problem *p;
    const linear_filter *filter;
    double r;
    double *laplacian[3]; /* along each axis: 2 - 2 cos(2 pi k / m); 0 for axes that are not blurred */
    real *data;           /* [channels][own batches][m0][2][LANES], for cross-validation */
};

extern const linear_filter filter_inverse, filter_wiener, filter_tikhonov, filter_landweber;

/* |H|^2 and |L|^2 of the lanes of a batch at sample i of axis 0, then w and rest. */
void N(linear_at)(const linear *l, const slab_batch *b, int64_t i, double *w, double *rest);

/* The regularisation with the least generalised cross-validation; the frame's rows hold the spectrum of the data along
 * axes 1 and 2, and are spent.  Collective. */
dcv_status linear_choose(linear *l, double *r) DCV_MUST_USE;

#endif
