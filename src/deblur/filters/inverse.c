/* inverse.c -- Y / H where |H| > r max|H|, else 0. */
#include "deblur/filters/linear.h"

static void weights(const linear *l, const double *hh, const double *ll, double *w, double *rest)
{
    const double least = l->r * l->p->otf_max;
    (void)ll;
    for (int i = 0; i < SLAB_LANES; i++) {
        const bool passes = hh[i] > least * least;
        w[i] = passes ? 1 / hh[i] : 0;
        rest[i] = passes ? 0 : 1;
    }
}

const linear_filter filter_inverse = {.weights = weights, .dflt = 1e-3, .uses_r = true};
