/* rl_tv.c -- total variation beside Richardson-Lucy (Dey et al. 2006): the update is divided by
 * max(1 - r div(grad x / |grad x|_e), 0.1).  Forward differences, 0 past the last sample, per unit of length;
 * the divergence is minus their adjoint; |.|_e = sqrt(sum of squares + e^2), e = 1e-6 mean(|y|).
 */
#include "deblur/filters/lucy.h"

#define LEAST_BELOW 0.1

/* Row (i0, i1) of x, also of the planes next to this rank's; NULL outside the object. */
static const real *row_of(const lucy *l, int c, int64_t i0, int64_t i1)
{
    const field *x = &l->x;
    const int64_t *n = x->b.n, j = i1 - x->b.at[1];
    if (i0 < x->b.at[0] || i0 >= x->b.at[0] + n[0] || j < 0 || j >= n[1])
        return NULL;
    if (i0 == x->first - 1)
        return l->below + (c * n[1] + j) * n[2];
    if (i0 == x->first + x->n)
        return l->above + (c * n[1] + j) * n[2];
    return field_row(x, c, i0, i1);
}

/* Share of direction a in the gradient at sample k of the row at, whose neighbours up axes 0 and 1 are up[]. */
static double direction(const lucy *l, int a, const real *at, const real *const up[2], int64_t k, double e2)
{
    const double *h = l->p->spec.spacing, x = (double)at[k];
    const double d[3] = {up[0] ? ((double)up[0][k] - x) / h[0] : 0, up[1] ? ((double)up[1][k] - x) / h[1] : 0,
                         k + 1 < l->x.b.n[2] ? ((double)at[k + 1] - x) / h[2] : 0};
    return d[a] / sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + e2);
}

static void tv_row(lucy *l, int c, int64_t i0, int64_t i1)
{
    const double *h = l->p->spec.spacing, e = l->p->level[c].eps, e2 = e * e;
    const real *at = row_of(l, c, i0, i1), *up[2] = {row_of(l, c, i0 + 1, i1), row_of(l, c, i0, i1 + 1)};
    const real *down[2] = {row_of(l, c, i0 - 1, i1), row_of(l, c, i0, i1 - 1)};
    const real *up0[2] = {at, row_of(l, c, i0 - 1, i1 + 1)}, *up1[2] = {row_of(l, c, i0 + 1, i1 - 1), at};
    real *to = field_row(&l->tv, c, i0, i1);
    double last = 0;
    for (int64_t k = 0; k < l->x.b.n[2]; k++) {
        double div = 0;
        for (int a = 0; a < 2; a++)
            if (up[a])
                div += direction(l, a, at, up, k, e2) / h[a];
        if (down[0])
            div -= direction(l, 0, down[0], up0, k, e2) / h[0];
        if (down[1])
            div -= direction(l, 1, down[1], up1, k, e2) / h[1];
        const double here = direction(l, 2, at, up, k, e2) / h[2];
        div += here - last;
        last = here;
        to[k] = (real)(1 / fmax(1 - l->tv_weight * div, LEAST_BELOW));
    }
}

static void tv_plane(void *ctx, int64_t turn, int thread)
{
    lucy *l = ctx;
    const field *x = &l->x;
    (void)thread;
    for (int64_t j = 0; j < x->b.n[1]; j++)
        tv_row(l, (int)(turn / x->n), x->first + turn % x->n, x->b.at[1] + j);
}

/* Planes at the ends of this rank's part go to its neighbours.  The object begins with the frame's first plane. */
static void swap_ends(lucy *l)
{
    const field *x = &l->x;
    const int64_t plane = x->b.n[1] * x->b.n[2], bytes = plane * (int64_t)sizeof(real);
    const bool down = x->n > 0 && x->first > x->b.at[0], up = x->n > 0 && x->first + x->n < x->b.at[0] + x->b.n[0];
    parcel in[2 * MOST_CHANNELS], out[2 * MOST_CHANNELS];
    int n = 0;
    for (int c = 0; c < l->p->spec.channels; c++) {
        real *first = x->at + c * x->n * plane, *last = first + (x->n - 1) * plane;
        if (down) {
            in[n] = (parcel){group_rank(l->p->group) - 1, l->below + c * plane, bytes};
            out[n++] = (parcel){group_rank(l->p->group) - 1, first, bytes};
        }
        if (up) {
            in[n] = (parcel){group_rank(l->p->group) + 1, l->above + c * plane, bytes};
            out[n++] = (parcel){group_rank(l->p->group) + 1, last, bytes};
        }
    }
    group_exchange(l->p->group, in, n, out, n);
}

void lucy_tv(lucy *l)
{
    swap_ends(l);
    pool_run(l->p->pool, l->p->spec.channels * l->x.n, tv_plane, l);
}
