/* gcv.c -- regularisation by generalised cross-validation: the least V(r) = mean |y - H x_r|^2 / mean(1 - a)^2, a the
 * filter's gain.
 *
 * Periodic: everything in the spectrum.  Otherwise the residual is taken at samples that lie a PSF radius or more
 * inside the edge, since what surrounds the data was made up; one inverse transform for each r.
 */
#include <string.h>

#include "deblur/filters/linear.h"

#define LEAST_LOG (-10.0)
#define STEP_LOG  0.25
#define N_GRID    57
#define GOLDEN    0.6180339887498949
#define PRECISION 0.004321373782642574 /* log10(1.01) */

typedef struct scoring {
    linear *l;
    box inside; /* where residuals count */
} scoring;

static void keep_data(void *ctx, const slab_batch *b)
{
    const linear *l = ((scoring *)ctx)->l;
    real *to = l->data + b->channel * l->p->slab->n_own * l->p->geo.m[0] * PAIR + spectrum_at(l->p, b);
    memcpy(to, b->at, (size_t)(b->n * PAIR) * sizeof *to);
}

/* How often a column of the half spectrum counts in the whole. */
static double multiplicity(const problem *p, int64_t column)
{
    const int64_t m2 = p->geo.m[2], k = column % (m2 / 2 + 1);
    return k == 0 || 2 * k == m2 ? 1 : 2;
}

/* sums: |(1 - a) Y|^2 and 1 - a over the spectrum; at becomes (1 - a) Y. */
static void residual(void *ctx, const slab_batch *b)
{
    const linear *l = ((scoring *)ctx)->l;
    const problem *p = l->p;
    const real *data = l->data + b->channel * p->slab->n_own * p->geo.m[0] * PAIR + spectrum_at(p, b);
    for (int64_t i = 0; i < b->n; i++) {
        double w[SLAB_LANES], rest[SLAB_LANES];
        N(linear_at)(l, b, i, w, rest);
        for (int64_t k = 0; k < SLAB_LANES; k++) {
            const double re = (double)data[i * PAIR + k] * rest[k], im = (double)data[i * PAIR + LANES + k] * rest[k];
            b->at[i * PAIR + k] = (real)re;
            b->at[i * PAIR + LANES + k] = (real)im;
            if (b->first + k >= p->slab->n_columns)
                continue;
            const double count = multiplicity(p, b->first + k);
            b->sums[0] += count * (re * re + im * im);
            b->sums[1] += count * rest[k];
        }
    }
}

static void square(void *ctx, const slab_row *r)
{
    const scoring *s = ctx;
    for (int64_t k = 0; in_box(&s->inside, r->i0, r->i1) && k < s->inside.n[2]; k++) {
        const double v = (double)r->at[s->inside.at[2] + k];
        r->sums[0] += v * v;
    }
}

/* V up to a factor that r does not change. */
static double score(scoring *s, double log_r)
{
    problem *p = s->l->p;
    double spectrum[SLAB_SUMS], samples[SLAB_SUMS];
    const bool periodic = p->spec.boundary == DCV_PERIODIC;
    s->l->r = pow(10, log_r);
    slab_columns(p->slab, periodic ? 0 : SLAB_BACK, residual, s, spectrum, false);
    if (periodic)
        return spectrum[0] / (spectrum[1] * spectrum[1]);
    slab_planes(p->slab, SLAB_BACK, square, s, samples);
    return samples[0] / (spectrum[1] * spectrum[1]);
}

static double least_of(scoring *s)
{
    double best = 0, best_v = 0;
    for (int i = 0; i < N_GRID; i++) {
        const double at = LEAST_LOG + STEP_LOG * i, v = score(s, at);
        if (i == 0 || v < best_v) {
            best = at;
            best_v = v;
        }
    }
    double lo = fmax(best - STEP_LOG, LEAST_LOG), hi = fmin(best + STEP_LOG, LEAST_LOG + STEP_LOG * (N_GRID - 1));
    double a = hi - GOLDEN * (hi - lo), b = lo + GOLDEN * (hi - lo), va = score(s, a), vb = score(s, b);
    while (hi - lo > PRECISION) {
        if (va <= vb) {
            hi = b;
            b = a;
            vb = va;
            va = score(s, a = hi - GOLDEN * (hi - lo));
        } else {
            lo = a;
            a = b;
            va = vb;
            vb = score(s, b = lo + GOLDEN * (hi - lo));
        }
    }
    return pow(10, (lo + hi) / 2);
}

/* A PSF radius inside the window, along axes where that leaves anything. */
static box inside_of(const problem *p)
{
    box b = p->geo.window;
    for (int a = 0; a < 3; a++) {
        const int64_t r = p->psf.size[a] / 2;
        if (b.n[a] > 2 * r) {
            b.at[a] += r;
            b.n[a] -= 2 * r;
        }
    }
    return b;
}

dcv_status linear_choose(linear *l, double *r)
{
    problem *p = l->p;
    scoring s = {l, inside_of(p)};
    l->data = dcv_alloc((size_t)(p->spec.channels * p->slab->n_own), (size_t)p->geo.m[0] * PAIR * sizeof(real));
    DCV_TRY(group_agree(p->group, l->data ? DCV_OK : DCV_ENOMEM));
    slab_columns(p->slab, SLAB_FORWARD, keep_data, &s, NULL, false);
    *r = least_of(&s);
    dcv_free(l->data);
    l->data = NULL;
    return DCV_OK;
}
