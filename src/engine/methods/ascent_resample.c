/* ascent_resample.c -- blur, and pictures of another size. */
#include "engine/methods/ascent.h"

#include <math.h>
#include <string.h>

/* --- Blur -------------------------------------------------------------------------- */

static int64_t radius_of(double sigma)
{
    return (int64_t)(4 * sigma + 0.5);
}

int64_t dcv_blur_work(const dcv_map *m, double sigma)
{
    const int64_t side = m->h > m->w ? m->h : m->w;
    return side + 4 * radius_of(sigma) + 2;
}

/* Where i lies in the endlessly mirrored row of n cells: a b c c b a a b c. */
static int64_t mirror(int64_t i, int64_t n)
{
    const int64_t period = 2 * n, k = ((i % period) + period) % period;
    return k < n ? k : period - 1 - k;
}

/* One row or column of n cells, step floats apart.  row: the padded copy, n + 2 radius. */
static void blur_line(float *x, int64_t n, int64_t step, const float *weight, int64_t radius, float *row)
{
    for (int64_t i = 0; i < n + 2 * radius; i++)
        row[i] = x[mirror(i - radius, n) * step];
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t k = 0; k <= 2 * radius; k++)
            sum += (double)weight[k] * row[i + k];
        x[i * step] = (float)sum;
    }
}

/* Weights are rounded to float32 after they have been made to sum to 1. */
static void gauss(double sigma, int64_t radius, float *weight)
{
    double sum = 0;
    for (int64_t k = -radius; k <= radius; k++)
        sum += exp(-0.5 * (double)(k * k) / (sigma * sigma));
    for (int64_t k = -radius; k <= radius; k++)
        weight[k + radius] = (float)(exp(-0.5 * (double)(k * k) / (sigma * sigma)) / sum);
}

void dcv_gaussian_blur(const dcv_map *m, float *x, double sigma, float *work)
{
    const int64_t radius = radius_of(sigma);
    float *weight = work, *row = work + 2 * radius + 1;
    gauss(sigma, radius, weight);
    for (int64_t c = 0; c < m->c; c++) {
        float *plane = x + c * m->h * m->w;
        for (int64_t i = 0; i < m->w; i++)
            blur_line(plane + i, m->h, m->w, weight, radius, row);
        for (int64_t y = 0; y < m->h; y++)
            blur_line(plane + y * m->w, m->w, 1, weight, radius, row);
    }
}

/* --- Octaves ----------------------------------------------------------------------- */

typedef struct between { /* two cells and how far from the first to the second */
    int64_t lo, hi;
    double t;
} between;

static between place_of(int64_t i, int64_t n, int64_t from)
{
    const double at = n > 1 ? (double)i * ((double)(from - 1) / (double)(n - 1)) : 0;
    const int64_t lo = (int64_t)at < from - 1 ? (int64_t)at : from - 1;
    return (between){lo, lo + 1 < from ? lo + 1 : lo, at - (double)lo};
}

void dcv_zoom(const dcv_map *from, const float *x, const dcv_map *to, float *y)
{
    for (int64_t c = 0; c < to->c; c++)
        for (int64_t r = 0; r < to->h; r++) {
            const between v = place_of(r, to->h, from->h);
            const float *a = x + (c * from->h + v.lo) * from->w, *b = x + (c * from->h + v.hi) * from->w;
            for (int64_t i = 0; i < to->w; i++) {
                const between u = place_of(i, to->w, from->w);
                const double top = a[u.lo] + u.t * ((double)a[u.hi] - a[u.lo]),
                             bottom = b[u.lo] + u.t * ((double)b[u.hi] - b[u.lo]);
                *y++ = (float)(top + v.t * (bottom - top));
            }
        }
}

dcv_map dcv_octave(const dcv_map *m, int k, int count, double scale)
{
    dcv_map at = *m;
    for (int i = count - 1; i > k; i--) {
        const double h = rint((double)at.h / scale), w = rint((double)at.w / scale);
        at.h = h < 1 ? 1 : (int64_t)h;
        at.w = w < 1 ? 1 : (int64_t)w;
    }
    return at;
}
