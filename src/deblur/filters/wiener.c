/* wiener.c -- conj(H) Y / (|H|^2 + r), r = 1/SNR. */
#include "deblur/filters/linear.h"

static void weights(const linear *l, const double *hh, const double *ll, double *w, double *rest)
{
    (void)ll;
    for (int i = 0; i < SLAB_LANES; i++) {
        w[i] = hh[i] + l->r > 0 ? 1 / (hh[i] + l->r) : 0;
        rest[i] = l->r * w[i];
    }
}

const linear_filter filter_wiener = {.weights = weights, .dflt = NAN, .uses_r = true};
