/* blur.c -- the forward model: y = noise(H x + background).
 *
 * Poisson: with v = max(H x + background, 0) and s = counts / max v, y = Poisson(s v) / s; then Gaussian noise. Numbers
 * are drawn for each sample from (seed, its index) alone.
 */
#include <string.h>

#include "deblur/filters/problem.h"
#include "deblur/random.h"

typedef struct blurring {
    problem *p;
    const dcv_blur_noise *noise;
    double counts; /* a unit of v; 0: no Poisson noise */
} blurring;

static void copy_object(void *ctx, const slab_row *r)
{
    const problem *p = ((blurring *)ctx)->p;
    const field *y = &p->y;
    const real *from = field_row(y, r->channel, r->i0, r->i1);
    memset(r->at, 0, (size_t)p->geo.m[2] * sizeof *r->at);
    if (from)
        memcpy(r->at + y->b.at[2], from, (size_t)y->b.n[2] * sizeof *from);
}

static void keep_image(void *ctx, const slab_row *r)
{
    const blurring *b = ctx;
    const problem *p = b->p;
    real *to = field_row(&p->y, r->channel, r->i0, r->i1);
    for (int64_t k = 0; to && k < p->y.b.n[2]; k++)
        to[k] = (real)((double)r->at[p->y.b.at[2] + k] * p->scale + b->noise->background);
}

/* The brightest observed sample. */
static double brightest(const problem *p)
{
    const box *w = &p->geo.window;
    double most = 0;
    for (int c = 0; c < p->spec.channels; c++)
        for (int64_t i = p->y.first; i < p->y.first + p->y.n; i++)
            for (int64_t j = w->at[1]; j < w->at[1] + w->n[1]; j++) {
                const real *row = in_box(w, i, j) ? field_row(&p->y, c, i, j) + (w->at[2] - p->y.b.at[2]) : NULL;
                for (int64_t k = 0; row && k < w->n[2]; k++)
                    most = fmax(most, (double)row[k]);
            }
    group_max(p->group, &most, 1);
    return most;
}

static double noisy(const blurring *b, double v, uint64_t index)
{
    draw d = draw_for(DRAW_NOISE, b->noise->seed, index);
    if (b->counts > 0)
        v = draw_poisson(&d, fmax(v, 0) * b->counts) / b->counts;
    return b->noise->gaussian > 0 ? v + b->noise->gaussian * draw_normal(&d) : v;
}

static void add_noise(void *ctx, int64_t turn, int thread)
{
    const blurring *b = ctx;
    const problem *p = b->p;
    const box *w = &p->geo.window;
    const int64_t c = turn / p->y.n, i = p->y.first + turn % p->y.n, *n = p->spec.n;
    (void)thread;
    for (int64_t j = 0; j < n[1] && in_box(w, i, w->at[1] + j); j++) {
        real *row = field_row(&p->y, (int)c, i, w->at[1] + j) + (w->at[2] - p->y.b.at[2]);
        const int64_t first = (((i - w->at[0]) * n[1] + j) * n[2]) * p->spec.channels + c + b->noise->first;
        for (int64_t k = 0; k < n[2]; k++)
            row[k] = (real)noisy(b, (double)row[k], (uint64_t)(first + k * p->spec.channels));
    }
}

dcv_status problem_blur(problem *p, const dcv_deblur_io *io, const dcv_blur_noise *noise)
{
    blurring b = {p, noise, 0};
    p->io = io;
    DCV_TRY(problem_load(p));
    slab_planes(p->slab, SLAB_FORWARD, copy_object, &b, NULL);
    problem_times(p, false);
    slab_planes(p->slab, SLAB_BACK, keep_image, &b, NULL);
    const double most = noise->poisson > 0 ? brightest(p) : 0;
    b.counts = most > 0 ? noise->poisson / most : 0;
    if (b.counts > 0 || noise->gaussian > 0)
        pool_run(p->pool, p->spec.channels * p->y.n, add_noise, &b);
    return problem_store(p, &p->y);
}
