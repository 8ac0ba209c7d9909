/* random.c -- see random.h.
 *
 * Uniform numbers are a mixed counter (splitmix64's finaliser, twice); Poisson and binomial numbers by inversion where
 * they are small, else by Hormann's transformed rejection (PTRS, Insurance: Mathematics and Economics 1993; BTRS,
 * Journal of Statistical Computation and Simulation 1993).
 */
#include <math.h>

#include "deblur/random.h"

#define SMALL 10.0

static uint64_t mix(uint64_t v)
{
    v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9u;
    v = (v ^ (v >> 27)) * 0x94d049bb133111ebu;
    return v ^ (v >> 31);
}

draw draw_for(draw_purpose purpose, uint64_t seed, uint64_t index)
{
    const uint64_t stream = mix(seed + 0x9e3779b97f4a7c15u) + (uint64_t)purpose * 0xa0761d6478bd642fu;
    return (draw){mix(stream + (index + 1) * 0xd1342543de82ef95u), 0};
}

double draw_uniform(draw *d)
{
    const uint64_t v = mix(d->key + ++d->count * 0x9e3779b97f4a7c15u);
    return ((double)(v >> 12) + 0.5) / 4503599627370496.0;
}

double draw_normal(draw *d)
{
    const double u = draw_uniform(d), v = draw_uniform(d);
    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static double small_poisson(draw *d, double mean)
{
    double left = draw_uniform(d), p = exp(-mean), k = 0;
    while (left > p && k < 1000) {
        left -= p;
        k++;
        p *= mean / k;
    }
    return k;
}

double draw_poisson(draw *d, double mean)
{
    if (mean < SMALL)
        return small_poisson(d, mean);
    const double b = 0.931 + 2.53 * sqrt(mean), a = -0.059 + 0.02483 * b, inv = 1.1239 + 1.1328 / (b - 3.4),
                 v_r = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
        const double u = draw_uniform(d) - 0.5, v = draw_uniform(d), us = 0.5 - fabs(u);
        const double k = floor((2 * a / us + b) * u + mean + 0.43);
        if (us >= 0.07 && v <= v_r)
            return k;
        if (k < 0 || (us < 0.013 && v > us))
            continue;
        if (log(v * inv / (a / (us * us) + b)) <= k * log(mean) - mean - lgamma(k + 1))
            return k;
    }
}

static double small_binomial(draw *d, double n, double p)
{
    const double odds = p / (1 - p);
    double left = draw_uniform(d), q = pow(1 - p, n), k = 0;
    while (left > q && k < n) {
        left -= q;
        q *= odds * (n - k) / (k + 1);
        k++;
    }
    return k;
}

double draw_binomial(draw *d, double n, double p)
{
    if (n * p < SMALL)
        return small_binomial(d, n, p);
    const double sd = sqrt(n * p * (1 - p)), b = 1.15 + 2.53 * sd, a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5,
                 alpha = (2.83 + 5.1 / b) * sd, v_r = 0.92 - 4.2 / b, m = floor((n + 1) * p), lpq = log(p / (1 - p)),
                 h = lgamma(m + 1) + lgamma(n - m + 1);
    for (;;) {
        const double u = draw_uniform(d) - 0.5, us = 0.5 - fabs(u), k = floor((2 * a / us + b) * u + c);
        double v = draw_uniform(d);
        if (us >= 0.07 && v <= v_r)
            return k;
        if (k < 0 || k > n)
            continue;
        v = v * alpha / (a / (us * us) + b);
        if (log(v) <= h - lgamma(k + 1) - lgamma(n - k + 1) + (k - m) * lpq)
            return k;
    }
}
