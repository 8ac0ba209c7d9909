/* ascent.c -- steps and regularisers of gradient ascent. */
#include "engine/methods/ascent.h"

#include <math.h>
#include <string.h>

#include "deconvoy/random.h"

static int64_t wrap(int64_t i, int64_t n)
{
    const int64_t r = i % n;
    return r < 0 ? r + n : r;
}

void dcv_roll(const dcv_map *m, const float *from, int64_t dy, int64_t dx, float *to)
{
    const size_t right = (size_t)wrap(dx, m->w), left = (size_t)m->w - right;
    for (int64_t c = 0; c < m->c; c++)
        for (int64_t y = 0; y < m->h; y++) {
            const float *row = from + (c * m->h + y) * m->w;
            float *at = to + (c * m->h + wrap(y + dy, m->h)) * m->w;
            memcpy(at + right, row, left * sizeof *at);
            memcpy(at, row + left, right * sizeof *at);
        }
}

void dcv_jitter(int64_t seed, int64_t step, int64_t jitter, int64_t *dy, int64_t *dx)
{
    const uint64_t key = (uint64_t)(seed + step);
    *dy = (int64_t)(dcv_random_uniform(key, 0) * (double)(2 * jitter + 1)) - jitter;
    *dx = (int64_t)(dcv_random_uniform(key, 1) * (double)(2 * jitter + 1)) - jitter;
}

double dcv_rms(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sqrt(sum / (double)n);
}

bool dcv_ascend(float *x, const float *d, int64_t n, double factor, double shrink)
{
    bool finite = true;
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)((x[i] + factor * d[i]) * shrink);
        finite = finite && isfinite(x[i]);
    }
    return finite;
}

void dcv_less_variation(const dcv_map *m, const float *x, double weight, float *d)
{
    const double tiny = 1e-12; /* keeps the root's derivative where the picture is flat */
    for (int64_t c = 0; c < m->c; c++)
        for (int64_t y = 0; y < m->h; y++)
            for (int64_t i = 0; i < m->w; i++) {
                const int64_t at = (c * m->h + y) * m->w + i;
                const double down = y + 1 < m->h ? (double)x[at + m->w] - x[at] : 0,
                             right = i + 1 < m->w ? (double)x[at + 1] - x[at] : 0;
                const double by = weight / sqrt(down * down + right * right + tiny);
                d[at] = (float)(d[at] + by * (down + right));
                if (y + 1 < m->h)
                    d[at + m->w] = (float)(d[at + m->w] - by * down);
                if (i + 1 < m->w)
                    d[at + 1] = (float)(d[at + 1] - by * right);
            }
}

/* --- Clips ------------------------------------------------------------------------- */

static void swap(double *a, double *b)
{
    const double t = *a;
    *a = *b;
    *b = t;
}

/* Put the k-th smallest number at v[k], none that is larger before it and none that is smaller behind it. */
static void select_nth(double *v, int64_t n, int64_t k)
{
    int64_t lo = 0, hi = n - 1;
    while (lo < hi) {
        const double pivot = v[lo + (hi - lo) / 2];
        int64_t i = lo, j = hi;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j)
                swap(&v[i++], &v[j--]);
        }
        if (k <= j)
            hi = j;
        else if (k >= i)
            lo = i;
        else
            return;
    }
}

double dcv_percentile(double *v, int64_t n, double percentile)
{
    const double rank = percentile / 100 * (double)(n - 1);
    const int64_t k = (int64_t)rank < n - 1 ? (int64_t)rank : n - 1;
    select_nth(v, n, k);
    double next = k + 1 < n ? v[k + 1] : v[k];
    for (int64_t i = k + 1; i < n; i++)
        next = v[i] < next ? v[i] : next;
    return v[k] + (rank - (double)k) * (next - v[k]);
}

/* Cells whose value lies below the percentile become 0.  work: values, and room to sort them in. */
static void clip_below(const dcv_map *m, float *x, double percentile, double *work)
{
    const int64_t cells = m->h * m->w;
    memcpy(work + cells, work, (size_t)cells * sizeof *work);
    const double least = dcv_percentile(work + cells, cells, percentile);
    for (int64_t i = 0; i < cells; i++)
        for (int64_t c = 0; work[i] < least && c < m->c; c++)
            x[c * cells + i] = 0;
}

void dcv_clip_norm(const dcv_map *m, float *x, double percentile, double *work)
{
    const int64_t cells = m->h * m->w;
    for (int64_t i = 0; i < cells; i++) {
        double sum = 0;
        for (int64_t c = 0; c < m->c; c++)
            sum += (double)x[c * cells + i] * x[c * cells + i];
        work[i] = sqrt(sum);
    }
    clip_below(m, x, percentile, work);
}

void dcv_clip_contribution(const dcv_map *m, float *x, const float *g, double percentile, double *work)
{
    const int64_t cells = m->h * m->w;
    for (int64_t i = 0; i < cells; i++) {
        double sum = 0;
        for (int64_t c = 0; c < m->c; c++)
            sum += (double)x[c * cells + i] * g[c * cells + i];
        work[i] = fabs(sum);
    }
    clip_below(m, x, percentile, work);
}
