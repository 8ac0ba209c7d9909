/* depict.c -- network input back to a picture that people can look at. */
#include "jobs/depict.h"

#include <math.h>

int dcv_depict_channels(const dcv_map *m)
{
    return m->c == 1 || m->c == 3 ? (int)m->c : 0;
}

static double of_channel(const dcv_reals *r, int64_t c, double none)
{
    return r->n == 0 ? none : r->v[r->n == 1 || c >= r->n ? 0 : c];
}

double dcv_depict_range(const dcv_preprocess *p, int64_t channel)
{
    return 255 * p->scale / of_channel(&p->std, channel, 1);
}

/* v = factor x + shift is 0..255. */
typedef struct line {
    double factor, shift;
} line;

static line stretched(const float *x, int64_t n)
{
    float lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    const double factor = hi > lo ? 255 / ((double)hi - lo) : 0;
    return (line){factor, -factor * lo};
}

static line undone(const dcv_preprocess *p, bool as_is, int64_t c)
{
    const double scale = as_is && !p->scale_written ? 1 / 255.0 : p->scale;
    const double mean = as_is && !p->mean_written ? 0 : of_channel(&p->mean, c, 0),
                 std = as_is && !p->std_written ? 1 : of_channel(&p->std, c, 1);
    return scale != 0 ? (line){std / scale, mean / scale} : (line){0, 0};
}

static uint8_t to_byte(double v)
{
    return v >= 255 ? 255 : v > 0 ? (uint8_t)lrint(v) : 0; /* NaN is 0 */
}

void dcv_depict(const dcv_preprocess *p, bool as_is, const dcv_map *m, const float *x, uint8_t *px, int64_t stride)
{
    const int64_t cells = m->h * m->w;
    const bool stretch = as_is && !p->scale_written && !p->mean_written && !p->std_written;
    const line all = stretch ? stretched(x, m->c * cells) : (line){0, 0};
    for (int64_t c = 0; c < m->c; c++) {
        const line l = stretch ? all : undone(p, as_is, c);
        const int64_t to = m->c == 3 && p->channels == DCV_BGR ? 2 - c : c;
        for (int64_t y = 0; y < m->h; y++)
            for (int64_t i = 0; i < m->w; i++)
                px[(y * stride + i) * m->c + to] = to_byte(l.factor * x[c * cells + y * m->w + i] + l.shift);
    }
}
