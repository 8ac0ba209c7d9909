/* geometry.c -- see geometry.h. */
#include "deblur/geometry.h"

static bool is_fast(int64_t m)
{
    static const int primes[] = {2, 3, 5, 7};
    for (int i = 0; i < 4; i++)
        while (m % primes[i] == 0)
            m /= primes[i];
    return m == 1;
}

int64_t fast_size(int64_t m)
{
    while (!is_fast(m))
        m++;
    return m;
}

typedef struct axis {
    int64_t m, window, data_at, data_n, object_at, object_n;
} axis;

/* One axis: n data samples, p of the PSF with its origin at c. */
static axis unknown_axis(int64_t n, int64_t p, int64_t c)
{
    const int64_t o = p - 1 - c; /* the object reaches as far as the PSF does, to both sides */
    return (axis){fast_size(n + p - 1), o, o, n, 0, n + p - 1};
}

static axis reflect_axis(int64_t n, int64_t p, int64_t c)
{
    const int64_t m = fast_size(n + 2 * (p / 2));
    (void)c;
    return (axis){m, (m - n) / 2, 0, m, 0, m};
}

static axis periodic_axis(int64_t n, int64_t p, int64_t c)
{
    (void)p;
    (void)c;
    return (axis){n, 0, 0, n, 0, n};
}

static axis zero_axis(int64_t n, int64_t p, int64_t c)
{
    (void)c;
    return (axis){fast_size(n + p - 1), 0, 0, n, 0, n};
}

void geometry_of(const dcv_deblur_spec *spec, const dcv_psf *psf, geometry *out)
{
    static axis (*const of[])(int64_t, int64_t, int64_t) = {[DCV_UNKNOWN] = unknown_axis,
                                                            [DCV_REFLECT] = reflect_axis,
                                                            [DCV_PERIODIC] = periodic_axis,
                                                            [DCV_ZERO] = zero_axis};
    *out = (geometry){.box_sums = spec->boundary == DCV_UNKNOWN || spec->boundary == DCV_ZERO};
    for (int a = 0; a < 3; a++) {
        const axis x = of[spec->boundary](spec->n[a], psf->size[a], psf->centre[a]);
        out->m[a] = x.m;
        out->window.at[a] = x.window;
        out->window.n[a] = spec->n[a];
        out->data.at[a] = x.data_at;
        out->data.n[a] = x.data_n;
        out->object.at[a] = x.object_at;
        out->object.n[a] = x.object_n;
    }
}
