/* landweber.c -- n steps of x += gamma H^T (y - H x) from 0, gamma = 1 / max|H|^2, in closed form:
 * (1 - (1 - gamma |H|^2)^n) / H * Y, 0 where H = 0. */
#include "deblur/filters/linear.h"

static void weights(const linear *l, const double *hh, const double *ll, double *w, double *rest)
{
    const double gamma = 1 / (l->p->otf_max * l->p->otf_max), n = (double)l->p->spec.iterations;
    (void)ll;
    for (int i = 0; i < SLAB_LANES; i++) {
        const double left = fmax(1 - gamma * hh[i], 0), log_left = left > 0 ? log1p(-gamma * hh[i]) : -INFINITY;
        rest[i] = exp(n * log_left);
        w[i] = hh[i] > 0 ? -expm1(n * log_left) / hh[i] : 0;
    }
}

const linear_filter filter_landweber = {.weights = weights, .dflt = NAN};
