/* cam.c -- the formulas of class activation maps. */
#include "engine/methods/cam.h"

#include <string.h>

static const double epsilon = 1e-6; /* pytorch-grad-cam's */

static double sum_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

static double pp_weight(const float *a, const float *g, int64_t n)
{
    const double all = sum_of(a, n);
    double w = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = g[i], square = d * d;
        if (d > 0) /* relu(g) is 0 elsewhere */
            w += d * square / (2 * square + square * d * all + epsilon);
        else if (d != d)
            w += d;
    }
    return w;
}

static void add_weighted(double w, const float *a, int64_t n, double *sum)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += w * a[i];
}

static void add_gated(const float *a, const float *g, int64_t n, double *sum)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += (g[i] < 0 ? 0.0 : g[i]) * a[i];
}

void dcv_cam_map(dcv_cam_kind kind, const dcv_map *m, const float *a, const float *g, double *sum, float *to)
{
    const int64_t n = m->h * m->w;
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t k = 0; k < m->c; k++, a += n, g += n)
        if (kind == DCV_LAYER_CAM)
            add_gated(a, g, n, sum);
        else if (kind == DCV_GRAD_CAM_PP)
            add_weighted(pp_weight(a, g, n), a, n, sum);
        else
            add_weighted(sum_of(g, n) / (kind == DCV_CAM ? 1 : (double)n), a, n, sum);
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)sum[i];
}

/* --- Heat maps ------------------------------------------------------------------------ */

/* The two cells that a pixel lies between, and how near it is to the second. */
typedef struct between {
    int64_t lo, hi;
    double part;
} between;

static between place(int64_t i, int64_t cells, int64_t px)
{
    const double at = ((double)i + 0.5) * (double)cells / (double)px - 0.5, x = at < 0 ? 0 : at;
    const int64_t lo = (int64_t)x < cells - 1 ? (int64_t)x : cells - 1;
    return (between){lo, lo + 1 < cells ? lo + 1 : lo, x - (double)lo};
}

static double positive(float x)
{
    return x > 0 ? x : 0;
}

static double enlarged(const float *map, int64_t w, between y, between x)
{
    const float *up = map + y.lo * w, *down = map + y.hi * w;
    return (1 - y.part) * ((1 - x.part) * positive(up[x.lo]) + x.part * positive(up[x.hi])) +
           y.part * ((1 - x.part) * positive(down[x.lo]) + x.part * positive(down[x.hi]));
}

void dcv_cam_heatmap(const float *map, int64_t h, int64_t w, int64_t out_h, int64_t out_w, float *to)
{
    float most = 0;
    for (int64_t i = 0; i < out_h; i++) {
        const between y = place(i, h, out_h);
        for (int64_t j = 0; j < out_w; j++) {
            const float v = (float)enlarged(map, w, y, place(j, w, out_w));
            to[i * out_w + j] = v;
            most = v > most ? v : most;
        }
    }
    for (int64_t i = 0; i < out_h * out_w && most > 0; i++)
        to[i] /= most;
}
