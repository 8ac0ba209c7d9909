/* noise.c -- how noisy data are, and data split in two by their noise.
 *
 * Estimated: gain 1 where all data are whole numbers >= 0; otherwise gain 0 and a read noise from the median absolute
 * deviation of second differences along the last axis, which has the gain sqrt 6.  The median is exact: digits of the
 * numbers' bits are counted, so that it does not matter who holds which.
 *
 * Split (thinning): counts y / g binomially 0.9 / 0.1; where read noise dominates, y + t n is fitted, and y - n / t
 * judges, n drawn at the noise level.
 */
#include <string.h>

#include "deblur/filters/lucy.h"
#include "deblur/random.h"

#define DIGIT_BITS 16
#define N_DIGITS   ((int64_t)1 << DIGIT_BITS)

typedef struct counting {
    const problem *p;
    double centre; /* NaN: differences as they are; else their distance from it */
    uint64_t prefix;
    int shift;            /* of the digit that is counted; numbers with another prefix above it are left out */
    uint64_t **counts;    /* [threads][N_DIGITS] */
    double above, *least; /* pass of the next larger number: [threads] */
} counting;

/* Bits that sort as the numbers do. */
static uint64_t sortable(double v)
{
    uint64_t b;
    memcpy(&b, &v, sizeof b);
    return b >> 63 ? ~b : b | (uint64_t)1 << 63;
}

static double from_sortable(uint64_t b)
{
    double v;
    b = b >> 63 ? b & ~((uint64_t)1 << 63) : ~b;
    memcpy(&v, &b, sizeof v);
    return v;
}

/* The observed samples of a row; NULL: it has none. */
static const real *observed(const problem *p, const slab_row *r)
{
    const box *w = &p->geo.window;
    return in_box(w, r->i0, r->i1) ? field_row(&p->y, r->channel, r->i0, r->i1) + (w->at[2] - p->y.b.at[2]) : NULL;
}

static double difference(const counting *q, const real *y, int64_t k)
{
    const double d = (double)y[k] - 2 * (double)y[k + 1] + (double)y[k + 2];
    return isnan(q->centre) ? d + 0.0 : fabs(d - q->centre); /* + 0: no -0 */
}

static void count_row(void *ctx, const slab_row *r)
{
    const counting *q = ctx;
    const real *y = observed(q->p, r);
    uint64_t *counts = q->counts[r->thread];
    for (int64_t k = 0; y && k + 2 < q->p->geo.window.n[2]; k++) {
        const uint64_t b = sortable(difference(q, y, k));
        if (q->shift + DIGIT_BITS == 64 || b >> (q->shift + DIGIT_BITS) == q->prefix >> (q->shift + DIGIT_BITS))
            counts[b >> q->shift & (uint64_t)(N_DIGITS - 1)]++;
    }
}

static void least_row(void *ctx, const slab_row *r)
{
    const counting *q = ctx;
    const real *y = observed(q->p, r);
    double *least = &q->least[r->thread];
    for (int64_t k = 0; y && k + 2 < q->p->geo.window.n[2]; k++) {
        const double d = difference(q, y, k);
        if (d > q->above && d < *least)
            *least = d;
    }
}

static double next_above(counting *q, double v)
{
    const int threads = pool_size(q->p->pool);
    double least = INFINITY;
    q->above = v;
    for (int t = 0; t < threads; t++)
        q->least[t] = INFINITY;
    slab_planes(q->p->slab, 0, least_row, q, NULL);
    for (int t = 0; t < threads; t++)
        least = fmin(least, q->least[t]);
    least = -least;
    group_max(q->p->group, &least, 1);
    return -least;
}

/* Number of rank k (from 0); *upto: how many numbers are no larger. */
static double select_number(counting *q, uint64_t k, uint64_t *upto)
{
    const int threads = pool_size(q->p->pool);
    uint64_t before = 0, here = 0;
    q->prefix = 0;
    for (q->shift = 64 - DIGIT_BITS; q->shift >= 0; q->shift -= DIGIT_BITS) {
        for (int t = 0; t < threads; t++)
            memset(q->counts[t], 0, N_DIGITS * sizeof **q->counts);
        slab_planes(q->p->slab, 0, count_row, q, NULL);
        for (int t = 1; t < threads; t++)
            for (int64_t d = 0; d < N_DIGITS; d++)
                q->counts[0][d] += q->counts[t][d];
        group_add_u64(q->p->group, q->counts[0], (int)N_DIGITS);
        int64_t d = 0;
        for (; d < N_DIGITS - 1 && before + q->counts[0][d] <= k; d++)
            before += q->counts[0][d];
        here = q->counts[0][d];
        q->prefix |= (uint64_t)d << q->shift;
    }
    *upto = before + here;
    return from_sortable(q->prefix);
}

static double median(counting *q, uint64_t n)
{
    uint64_t upto;
    const double lower = select_number(q, (n - 1) / 2, &upto);
    return n % 2 || upto > n / 2 ? lower : 0.5 * (lower + next_above(q, lower));
}

static double deviation(counting *q)
{
    const problem *p = q->p;
    if (p->spec.n[2] < 3)
        return 0;
    const uint64_t n = (uint64_t)(p->spec.channels * p->spec.n[0] * p->spec.n[1] * (p->spec.n[2] - 2));
    q->centre = NAN;
    const double centre = median(q, n);
    q->centre = centre;
    return median(q, n) / (0.6745 * sqrt(6));
}

static dcv_status estimate_read(const problem *p, double *read)
{
    const int threads = pool_size(p->pool);
    counting q = {.p = p};
    q.counts = dcv_alloc((size_t)threads, sizeof *q.counts);
    q.least = dcv_alloc((size_t)threads, sizeof *q.least);
    dcv_status st = q.counts && q.least ? DCV_OK : DCV_ENOMEM;
    for (int t = 0; st == DCV_OK && t < threads; t++)
        if (!(q.counts[t] = dcv_alloc((size_t)N_DIGITS, sizeof **q.counts)))
            st = DCV_ENOMEM;
    st = group_agree(p->group, st);
    if (st == DCV_OK)
        *read = deviation(&q);
    for (int t = 0; q.counts && t < threads; t++)
        dcv_free(q.counts[t]);
    dcv_free(q.counts);
    dcv_free(q.least);
    return st;
}

static void count_others(void *ctx, const slab_row *r)
{
    const problem *p = ctx;
    const real *y = observed(p, r);
    for (int64_t k = 0; y && k < p->geo.window.n[2]; k++)
        r->sums[0] += !(y[k] >= 0) || (double)y[k] != rint((double)y[k]);
}

dcv_status problem_estimate_noise(problem *p, double *gain, double *read)
{
    double others[SLAB_SUMS];
    *gain = p->spec.gain;
    *read = p->spec.read;
    if (*gain > 0)
        return DCV_OK;
    slab_planes(p->slab, 0, count_others, p, others);
    if (others[0] == 0)
        *gain = 1;
    if (*gain > 0 || *read > 0)
        return DCV_OK;
    return estimate_read(p, read);
}

/* --- Splitting ---------------------------------------------------------------------- */

static double fitted_counts(const lucy *l, double y, draw *d)
{
    const double counts = y > 0 ? y / l->s.gain : 0, whole = rint(counts);
    const double judge = draw_binomial(d, whole, 1 - FIT_SHARE) + (counts - whole) * (1 - FIT_SHARE);
    return (counts - judge) * l->s.gain;
}

static double fitted_noise(const lucy *l, double y, double mean, draw *d)
{
    const double variance = l->s.read * l->s.read + l->s.gain * mean;
    return y + NOISE_SHARE * sqrt(variance) * draw_normal(d);
}

/* Sample k of an axis of the data as it lies in the window. */
static int64_t seen(const problem *p, int axis, int64_t k)
{
    return mirror(p->y.b.at[axis] + k - p->geo.window.at[axis], p->spec.n[axis]);
}

/* Reflected samples are drawn as the ones they show. */
static void split_plane(void *ctx, int64_t turn, int thread)
{
    lucy *l = ctx;
    const problem *p = l->p;
    const int64_t c = turn / p->y.n, i0 = p->y.first + turn % p->y.n, *n = p->spec.n;
    (void)thread;
    for (int64_t j = 0; j < p->y.b.n[1]; j++) {
        const real *y = field_row(&p->y, (int)c, i0, p->y.b.at[1] + j);
        real *to = field_row(&l->fit, (int)c, i0, p->y.b.at[1] + j);
        const int64_t row = (seen(p, 0, i0 - p->y.b.at[0]) * n[1] + seen(p, 1, j)) * n[2];
        for (int64_t k = 0; k < p->y.b.n[2]; k++) {
            draw d = draw_for(DRAW_SPLIT, p->spec.seed, (uint64_t)((row + seen(p, 2, k)) * p->spec.channels + c));
            to[k] = (real)(l->by_counts ? fitted_counts(l, (double)y[k], &d)
                                        : fitted_noise(l, (double)y[k], fmax((double)y[k], 0), &d));
        }
    }
}

void lucy_split(lucy *l)
{
    pool_run(l->p->pool, l->p->spec.channels * l->p->y.n, split_plane, l);
}
