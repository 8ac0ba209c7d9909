/* tikhonov.c -- conj(H) Y / (|H|^2 + r |L|^2), L the Laplacian of nearest neighbours. */
#include "deblur/filters/linear.h"

static void weights(const linear *l, const double *hh, const double *ll, double *w, double *rest)
{
    for (int i = 0; i < SLAB_LANES; i++) {
        const double below = hh[i] + l->r * ll[i];
        w[i] = below > 0 ? 1 / below : 0;
        rest[i] = l->r * ll[i] * w[i];
    }
}

const linear_filter filter_tikhonov = {.weights = weights, .dflt = NAN, .uses_r = true};
