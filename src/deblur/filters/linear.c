/* linear.c -- see linear.h. */
#include <string.h>

#include "deblur/filters/linear.h"

static const linear_filter *const filters[] = {[DCV_INVERSE] = &filter_inverse,
                                               [DCV_WIENER] = &filter_wiener,
                                               [DCV_TIKHONOV] = &filter_tikhonov,
                                               [DCV_LANDWEBER] = &filter_landweber};

void N(linear_at)(const linear *l, const slab_batch *b, int64_t i, double *w, double *rest)
{
    const problem *p = l->p;
    const int64_t *m = p->geo.m, mc = m[2] / 2 + 1;
    const real *h = p->otf + spectrum_at(p, b) + i * PAIR;
    const double along0 = l->laplacian[0][slab_wave(p->slab, 0, b->place + i)];
    double hh[SLAB_LANES], ll[SLAB_LANES];
    for (int64_t k = 0; k < SLAB_LANES; k++) {
        const double re = (double)h[k], im = (double)h[LANES + k];
        const int64_t c = b->first + k < p->slab->n_columns ? b->first + k : p->slab->n_columns - 1;
        const double d = along0 + l->laplacian[1][slab_wave(p->slab, 1, c / mc)] + l->laplacian[2][c % mc];
        hh[k] = re * re + im * im;
        ll[k] = d * d;
    }
    l->filter->weights(l, hh, ll, w, rest);
}

static void copy_data(void *ctx, const slab_row *r)
{
    const problem *p = ctx;
    const field *y = &p->y;
    const real *from = field_row(y, r->channel, r->i0, r->i1);
    memset(r->at, 0, (size_t)p->geo.m[2] * sizeof *r->at);
    if (from)
        memcpy(r->at + y->b.at[2], from, (size_t)y->b.n[2] * sizeof *from);
}

static void apply(void *ctx, const slab_batch *b)
{
    const linear *l = ctx;
    for (int64_t i = 0; i < b->n; i++) {
        double w[SLAB_LANES], rest[SLAB_LANES];
        const real *h = l->p->otf + spectrum_at(l->p, b) + i * PAIR;
        real *at = b->at + i * PAIR;
        N(linear_at)(l, b, i, w, rest);
        for (int k = 0; k < SLAB_LANES; k++) {
            const double hr = (double)h[k] * w[k], hi = (double)h[LANES + k] * w[k], re = (double)at[k],
                         im = (double)at[LANES + k];
            at[k] = (real)(re * hr + im * hi);
            at[LANES + k] = (real)(im * hr - re * hi);
        }
    }
}

static void keep(void *ctx, const slab_row *r)
{
    problem *p = ((linear *)ctx)->p;
    real *to = field_row(&p->y, r->channel, r->i0, r->i1);
    for (int64_t k = 0; to && k < p->y.b.n[2]; k++) {
        const real v = (real)((double)r->at[p->y.b.at[2] + k] * p->scale);
        to[k] = !p->spec.skimage ? v : v > 1 ? 1 : v < -1 ? -1 : v;
    }
}

static dcv_status make_laplacian(linear *l)
{
    const problem *p = l->p;
    for (int a = 0; a < 3; a++) {
        const int64_t m = p->geo.m[a];
        const bool blurred = a == 2 || (a == 0 && p->spec.dimensions > 1) || (a == 1 && p->spec.dimensions > 2);
        if (!(l->laplacian[a] = dcv_alloc((size_t)m, sizeof(double))))
            return DCV_ENOMEM;
        for (int64_t k = 0; blurred && k < m; k++)
            l->laplacian[a][k] = 2 - 2 * cos(2 * M_PI * (double)k / (double)m);
    }
    return DCV_OK;
}

static dcv_status choose(linear *l)
{
    problem *p = l->p;
    l->r = p->spec.regularisation;
    if (!l->filter->uses_r)
        l->r = 0;
    else if (isnan(l->r))
        l->r = l->filter->dflt;
    if (isnan(l->r)) {
        slab_planes(p->slab, SLAB_FORWARD, copy_data, p, NULL);
        DCV_TRY(linear_choose(l, &l->r));
    }
    if (l->filter->uses_r)
        p->facts->regularisation = l->r;
    return DCV_OK;
}

static dcv_status solve(linear *l)
{
    problem *p = l->p;
    DCV_TRY(group_agree(p->group, make_laplacian(l)));
    DCV_TRY(choose(l));
    slab_planes(p->slab, SLAB_FORWARD, copy_data, p, NULL);
    slab_columns(p->slab, SLAB_FORWARD | SLAB_BACK, apply, l, NULL, false);
    slab_planes(p->slab, SLAB_BACK, keep, l, NULL);
    p->facts->iterations = p->spec.method == DCV_LANDWEBER ? p->spec.iterations : 0;
    return problem_store(p, &p->y);
}

dcv_status linear_solve(problem *p)
{
    linear l = {.p = p, .filter = filters[p->spec.method]};
    if (p->spec.skimage) /* its wiener has the Laplacian beside the balance */
        l.filter = &filter_tikhonov;
    const dcv_status st = solve(&l);
    for (int a = 0; a < 3; a++)
        dcv_free(l.laplacian[a]);
    dcv_free(l.data);
    return st;
}
