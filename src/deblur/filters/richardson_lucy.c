/* richardson_lucy.c -- x <- x * H^T(y / max(Hx + b, eps)) / H^T 1, from x0 = mean(y) (Richardson 1972, Lucy 1974); on
 * the object that reaches beyond the data, after Bertero & Boccacci 2005; accelerated after Biggs & Andrews 1997.
 *
 * Two passes over rows and two over columns an iteration: the update of x and the quotient are done where rows come out
 * of the spectrum and go back into it, and so are the sums of the history.
 */
#include <stdio.h>
#include <string.h>

#include "deblur/filters/lucy.h"
#include "deblur/filters/rowmath.h"
#include "deconvoy/log.h"

#define RISES 3 /* in a row end the search */

/* --- Rows ------------------------------------------------------------------------- */

typedef struct quotient_row {
    real scale, background, eps, floor; /* floor: least data value */
    real unit;                          /* 1 / mean of the data: squares and logarithms are of samples in units of it */
    real gain, read2, least_var;        /* in those units */
    real tiny;                          /* least quotient in the divergence */
} quotient_row;

ROW_LOOP static void quotients(const real *restrict y, real *restrict row, int64_t n, const quotient_row *q)
{
    const real scale = q->scale, b = q->background, eps = q->eps, least = q->floor;
    for (int64_t i = 0; i < n; i++) {
        const real h = row[i] * scale + b, m = h > eps ? h : eps, v = y[i] > least ? y[i] : least;
        row[i] = v / m;
    }
}

/* The same for n <= SUM_LANES samples, with terms of divergence and chi2 added to a sum of each lane. */
FULLY_INLINE void quotients_of_lanes(const real *restrict y, real *restrict row, int n, const quotient_row *q,
                                     real *restrict d, real *restrict c)
{
    const real scale = q->scale, b = q->background, eps = q->eps, least = q->floor, gain = q->gain, read2 = q->read2;
    const real tiny = q->tiny, least_var = q->least_var, unit = q->unit;
    LANE_LOOP
    for (int j = 0; j < n; j++) {
        const real h = row[j] * scale + b, m = h > eps ? h : eps, v = y[j] > least ? y[j] : least;
        const real r = v / m, var = gain * (h * unit) + read2, e = (v - h) * unit;
        d[j] += v * row_log(r > tiny ? r : tiny) + (m - v);
        c[j] += e * e / (var > least_var ? var : least_var);
        row[j] = r;
    }
}

/* The same, with the sums of divergence and chi2. */
ROW_LOOP static void quotients_summed(const real *restrict y, real *restrict row, int64_t n, const quotient_row *q,
                                      double *restrict divergence, double *restrict chi2)
{
    double d[SUM_LANES] = {0}, c[SUM_LANES] = {0};
    for (int64_t i = 0; i < n;) {
        real few_d[SUM_LANES] = {0}, few_c[SUM_LANES] = {0};
        int turn = 0;
        for (; turn < SUM_TURNS && i + SUM_LANES <= n; turn++, i += SUM_LANES)
            quotients_of_lanes(y + i, row + i, SUM_LANES, q, few_d, few_c);
        if (turn < SUM_TURNS && i < n) {
            quotients_of_lanes(y + i, row + i, (int)(n - i), q, few_d, few_c);
            i = n;
        }
        for (int j = 0; j < SUM_LANES; j++) {
            d[j] += (double)few_d[j];
            c[j] += (double)few_c[j];
        }
    }
    *divergence += lanes_sum(d);
    *chi2 += lanes_sum(c);
}

/* Weights of what is judged: y_share y + fit_share fit against model_share of the model. */
typedef struct judging {
    real y, fit, model;
} judging;

FULLY_INLINE void judge_lanes(const real *restrict y, const real *restrict fit, const real *restrict row, int n,
                              const quotient_row *q, const judging *share, double *restrict d)
{
    const real scale = q->scale, b = q->background, eps = q->eps, unit = q->unit;
    LANE_LOOP
    for (int j = 0; j < n; j++) {
        const real h = row[j] * scale + b, m = (h > eps ? h : eps) * share->model;
        d[j] += (double)(m - (y[j] * share->y + fit[j] * share->fit) * row_log(m * unit));
    }
}

/* Sum of m - judge ln(m / mean), m = share of the model: the divergence up to what the model does not change. */
ROW_LOOP static double judge(const real *restrict y, const real *restrict fit, const real *restrict row, int64_t n,
                             const quotient_row *q, const judging *share)
{
    double d[SUM_LANES] = {0};
    int64_t i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES)
        judge_lanes(y + i, fit + i, row + i, SUM_LANES, q, share, d);
    judge_lanes(y + i, fit + i, row + i, (int)(n - i), q, share, d);
    return lanes_sum(d);
}

/* row = x * row * scale * ones, ones NULL: 1. */
ROW_LOOP static void update(const real *restrict x, real *restrict row, const real *restrict ones,
                            const real *restrict tv, real scale, int64_t n, bool least_is_0)
{
    for (int64_t i = 0; i < n; i++)
        row[i] = x[i] * (row[i] * scale);
    for (int64_t i = 0; ones && i < n; i++)
        row[i] *= ones[i];
    for (int64_t i = 0; tv && i < n; i++)
        row[i] *= tv[i];
    for (int64_t i = 0; least_is_0 && i < n; i++)
        row[i] = row[i] > 0 ? row[i] : 0; /* an unmatched projector may ask for less than nothing */
}

ROW_LOOP static void compare(const real *restrict now, const real *restrict before, int64_t n, double *sums)
{
    double d[SUM_LANES] = {0}, b[SUM_LANES] = {0}, f[SUM_LANES] = {0};
    for (int64_t i = 0; i < n; i += SUM_LANES) {
        const int64_t k = n - i < SUM_LANES ? n - i : SUM_LANES;
        for (int64_t j = 0; j < k; j++) {
            const double e = (double)(now[i + j] - before[i + j]), v = (double)before[i + j];
            d[j] += e * e;
            b[j] += v * v;
            f[j] += (double)now[i + j];
        }
    }
    sums[0] += lanes_sum(d);
    sums[1] += lanes_sum(b);
    sums[2] += lanes_sum(f);
}

/* step = now - x, and its products with the step before; x = now. */
ROW_LOOP static void next_step(const real *restrict now, real *restrict x, real *restrict step, int64_t n, double *sums)
{
    double p[SUM_LANES] = {0}, s[SUM_LANES] = {0};
    for (int64_t i = 0; i < n; i += SUM_LANES) {
        const int64_t k = n - i < SUM_LANES ? n - i : SUM_LANES;
        for (int64_t j = 0; j < k; j++) {
            const real g = now[i + j] - x[i + j], h = step[i + j];
            p[j] += (double)g * (double)h;
            s[j] += (double)h * (double)h;
            step[i + j] = g;
            x[i + j] = now[i + j];
        }
    }
    sums[0] += lanes_sum(p);
    sums[1] += lanes_sum(s);
}

/* x = max(x + alpha (x - prev), 0); prev = the x before. */
ROW_LOOP static void predict(real *restrict x, real *restrict prev, real alpha, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const real now = x[i], v = now + alpha * (now - prev[i]);
        x[i] = v > 0 ? v : 0;
        prev[i] = now;
    }
}

/* --- Row passes --------------------------------------------------------------------- */

enum { SUM_CHANGE, SUM_BEFORE, SUM_FLUX, SUM_STEPS };          /* of an update; then two a channel */
enum { SUM_DIVERGENCE, SUM_CHI2 = MOST_CHANNELS, SUM_JUDGED }; /* of a quotient; divergence of each channel */

/* Lay n samples into an empty row of the frame. */
static void lay(const slab_row *r, int64_t m2, int64_t at, const real *from, int64_t n)
{
    memset(r->at, 0, (size_t)at * sizeof *r->at);
    memcpy(r->at + at, from, (size_t)n * sizeof *from);
    memset(r->at + at + n, 0, (size_t)(m2 - at - n) * sizeof *r->at);
}

typedef struct laying {
    const problem *p;
    const field *f;
} laying;

static void lay_field(void *ctx, const slab_row *r)
{
    const laying *y = ctx;
    const real *from = field_row(y->f, r->channel, r->i0, r->i1);
    if (from)
        lay(r, y->p->geo.m[2], y->f->b.at[2], from, y->f->b.n[2]);
    else
        memset(r->at, 0, (size_t)y->p->geo.m[2] * sizeof *r->at);
}

static bool is_fit(const lucy *l)
{
    return l->s.stage == STAGE_FIT;
}

static quotient_row quotient_of(const lucy *l, int channel)
{
    const problem *p = l->p;
    const double share = is_fit(l) && l->by_counts ? FIT_SHARE : 1, unit = EPSILON / p->level[channel].eps;
    const double gain = l->s.gain * unit, read = l->s.read * unit;
    quotient_row q = {.scale = (real)p->scale,
                      .background = (real)(p->spec.background * share),
                      .eps = (real)p->level[channel].eps,
                      .unit = (real)unit,
                      .least_var = (real)(gain * EPSILON + EPSILON * EPSILON),
                      .gain = (real)gain,
                      .tiny = REAL_C(1e-30),
                      .read2 = (real)(read * read)};
    if (p->spec.skimage) {
        q.background = REAL_C(1e-12);
        q.eps = q.floor = -REAL_C(1e30);
    }
    return q;
}

/* What judges is y - fit (counts), or y - (fit - y) / t^2 (noise added). */
static double judge_row(const lucy *l, const real *y, const real *fit, const real *row, int64_t n,
                        const quotient_row *q)
{
    const double t2 = NOISE_SHARE * NOISE_SHARE;
    const judging counts = {1, -1, (real)((1 - FIT_SHARE) / FIT_SHARE)},
                  noise = {(real)(1 + 1 / t2), (real)(-1 / t2), 1};
    return judge(y, fit, row, n, q, l->by_counts ? &counts : &noise);
}

static void quotient_pass(void *ctx, const slab_row *r)
{
    lucy *l = ctx;
    problem *p = l->p;
    const field *f = lucy_data(l);
    const box *w = &p->geo.window;
    const real *y = field_row(f, r->channel, r->i0, r->i1);
    if (!y) {
        memset(r->at, 0, (size_t)p->geo.m[2] * sizeof *r->at);
        return;
    }
    const quotient_row q = quotient_of(l, r->channel);
    const int64_t at = f->b.at[2], n = f->b.n[2], before = w->at[2] - at, after = n - before - w->n[2];
    real *row = r->at + at;
    if (!in_box(w, r->i0, r->i1)) {
        quotients(y, row, n, &q);
    } else {
        if (is_fit(l))
            r->sums[SUM_JUDGED] += judge_row(l, field_row(&p->y, r->channel, r->i0, r->i1) + before, y + before,
                                             row + before, w->n[2], &q);
        quotients(y, row, before, &q);
        quotients_summed(y + before, row + before, w->n[2], &q, &r->sums[SUM_DIVERGENCE + r->channel],
                         &r->sums[SUM_CHI2]);
        quotients(y + before + w->n[2], row + before + w->n[2], after, &q);
    }
    memset(r->at, 0, (size_t)at * sizeof *r->at);
    memset(row + n, 0, (size_t)(p->geo.m[2] - at - n) * sizeof *r->at);
}

static void update_pass(void *ctx, const slab_row *r)
{
    lucy *l = ctx;
    problem *p = l->p;
    const field *x = &l->x;
    const box *w = &p->geo.window;
    real *old = field_row(x, r->channel, r->i0, r->i1);
    if (!old) {
        memset(r->at, 0, (size_t)p->geo.m[2] * sizeof *r->at);
        return;
    }
    const int64_t at = x->b.at[2], n = x->b.n[2];
    real *row = r->at + at;
    const real *tv = l->tv.at ? field_row(&l->tv, r->channel, r->i0, r->i1) : NULL;
    update(old, row, problem_ones(p, r->i0, r->i1, r->thread), tv, (real)p->scale, n, !p->spec.skimage);
    memset(r->at, 0, (size_t)at * sizeof *r->at);
    memset(row + n, 0, (size_t)(p->geo.m[2] - at - n) * sizeof *r->at);
    const real *before = l->accelerated ? field_row(&l->prev, r->channel, r->i0, r->i1) : old;
    if (in_box(w, r->i0, r->i1))
        compare(row + (w->at[2] - at), before + (w->at[2] - at), w->n[2], r->sums + SUM_CHANGE);
    if (l->accelerated)
        next_step(row, old, field_row(&l->step, r->channel, r->i0, r->i1), n, r->sums + SUM_STEPS + 2 * r->channel);
    else
        memcpy(old, row, (size_t)n * sizeof *old);
}

static void predict_pass(void *ctx, const slab_row *r)
{
    lucy *l = ctx;
    const field *x = &l->x;
    real *to = field_row(x, r->channel, r->i0, r->i1);
    if (to)
        predict(to, field_row(&l->prev, r->channel, r->i0, r->i1), (real)l->s.alpha[r->channel], x->b.n[2]);
    lay_field(&(laying){l->p, x}, r);
}

/* --- Steps ---------------------------------------------------------------------------- */

static void start_from(lucy *l, const field *f)
{
    laying y = {l->p, f};
    slab_planes(l->p->slab, SLAB_FORWARD, lay_field, &y, NULL);
}

/* From the spectrum of an object to that of the quotient; how: SLAB_BACK alone where nothing comes after. */
static void look_at(lucy *l, int how)
{
    double sums[SLAB_SUMS];
    const problem *p = l->p;
    const double count = (double)p->spec.n[0] * (double)p->spec.n[1] * (double)p->spec.n[2] * p->spec.channels;
    problem_times(l->p, false);
    slab_planes(p->slab, how, quotient_pass, l, sums);
    for (int c = 0; c < p->spec.channels; c++)
        l->divergence[c] = sums[SUM_DIVERGENCE + c];
    l->chi2 = sums[SUM_CHI2] / count;
    l->judged = sums[SUM_JUDGED];
}

static void step_on(lucy *l)
{
    double sums[SLAB_SUMS];
    problem *p = l->p;
    if (l->tv.at)
        lucy_tv(l);
    problem_times(p, true);
    slab_planes(p->slab, l->accelerated ? SLAB_BACK : SLAB_BACK | SLAB_FORWARD, update_pass, l, sums);
    l->change = sums[SUM_BEFORE] > 0 ? sqrt(sums[SUM_CHANGE] / sums[SUM_BEFORE]) : 0;
    l->flux = sums[SUM_FLUX];
    l->s.k++;
    if (!l->accelerated)
        return;
    for (int c = 0; c < p->spec.channels; c++) {
        const double *s = sums + SUM_STEPS + 2 * c;
        const double alpha = l->s.n_steps[c] > 0 && s[1] > 0 ? s[0] / s[1] : 0;
        l->s.alpha[c] = alpha > 0 ? (alpha < 1 ? alpha : 1) : 0;
        l->s.n_steps[c]++;
        l->s.last_divergence[c] = l->divergence[c];
    }
    slab_planes(p->slab, SLAB_FORWARD, predict_pass, l, NULL);
}

static void take_back(lucy *l, int c)
{
    const int64_t n = l->x.n * l->x.b.n[1] * l->x.b.n[2];
    memcpy(l->x.at + c * n, l->prev.at + c * n, (size_t)n * sizeof *l->x.at);
    l->s.alpha[c] = 0;
    l->s.n_steps[c] = 0;
}

/* A prediction that fits worse than the one before is given up, and what was learnt for it. */
static void take_back_bad(lucy *l)
{
    bool any = false;
    for (int c = 0; l->accelerated && c < l->p->spec.channels; c++)
        if (l->s.alpha[c] > 0 && l->divergence[c] > l->s.last_divergence[c]) {
            take_back(l, c);
            any = true;
        }
    if (any) {
        start_from(l, &l->x);
        look_at(l, SLAB_BACK | SLAB_FORWARD);
    }
}

/* --- History and rules ------------------------------------------------------------------- */

static dcv_history *entry(const lucy *l, int64_t k)
{
    return l->p->facts->history && k >= 0 && !is_fit(l) ? &l->p->facts->history[k] : NULL;
}

static void note_fit(const lucy *l, int64_t k)
{
    dcv_history *h = entry(l, k);
    if (!h)
        return;
    h->divergence = 0;
    for (int c = 0; c < l->p->spec.channels; c++)
        h->divergence += l->divergence[c];
    h->chi2 = l->chi2;
}

static void note_step(const lucy *l, int64_t k)
{
    dcv_history *h = entry(l, k);
    if (!h)
        return;
    h->change = l->change;
    h->flux = l->flux;
}

/* Is the search over?  Called with what is known of iterate k. */
static bool judged_enough(lucy *l)
{
    lucy_state *s = &l->s;
    if (s->k > 0) {
        s->rises = l->judged > s->last_judged && s->k > 1 ? s->rises + 1 : 0;
        if (s->best == 0 || l->judged < s->best_judged) {
            s->best = s->k;
            s->best_judged = l->judged;
        }
        s->last_judged = l->judged;
    }
    return s->rises >= RISES;
}

static bool is_enough(lucy *l)
{
    const problem *p = l->p;
    if (is_fit(l))
        return judged_enough(l);
    return p->spec.stop == DCV_STOP_DISCREPANCY && l->s.k > 0 && l->chi2 <= 1;
}

/* State is written, and the run stopped, where the one who asked for it wants so. */
static dcv_status poll(lucy *l)
{
    const dcv_deblur_io *io = l->p->io;
    const int wants = io->wants ? io->wants(io->ctx, l->s.k) : 0;
    if (wants > 0)
        DCV_TRY(lucy_save(l));
    return wants > 1 ? dcv_fail(DCV_ESTOP, "stopped after %lld iterations; run again to go on", (long long)l->s.k)
                     : DCV_OK;
}

/* Iterate until a rule or l->most ends it.  *by_rule: a rule did. */
static dcv_status iterate(lucy *l, bool *by_rule)
{
    const problem *p = l->p;
    bool known = false; /* the history at the result */
    *by_rule = false;
    start_from(l, &l->x);
    while (l->s.k < l->most) {
        DCV_TRY(poll(l));
        look_at(l, SLAB_BACK | SLAB_FORWARD);
        take_back_bad(l);
        note_fit(l, l->accelerated ? l->s.k : l->s.k - 1);
        if (is_enough(l)) {
            *by_rule = true;
            known = !l->accelerated;
            break;
        }
        step_on(l);
        note_step(l, l->s.k - 1);
        if (!is_fit(l) && p->spec.stop == DCV_STOP_CHANGE && l->change <= p->spec.tolerance) {
            *by_rule = true;
            break;
        }
    }
    if (known || (is_fit(l) && *by_rule))
        return DCV_OK;
    if (l->accelerated)
        start_from(l, &l->prev);
    look_at(l, SLAB_BACK);
    if (is_fit(l))
        (void)judged_enough(l);
    note_fit(l, l->s.k - 1);
    return DCV_OK;
}

static double first_value(const problem *p, int channel)
{
    return p->spec.skimage ? 0.5 : p->level[channel].mean;
}

/* x0 where the object is looked for, 0 elsewhere. */
static void set_start(void *ctx, const slab_row *r)
{
    lucy *l = ctx;
    real *x = field_row(&l->x, r->channel, r->i0, r->i1);
    if (!x)
        return;
    const real *ones = problem_ones(l->p, r->i0, r->i1, r->thread);
    const double share = is_fit(l) && l->by_counts ? FIT_SHARE : 1;
    const real v = (real)(first_value(l->p, r->channel) * share);
    for (int64_t k = 0; k < l->x.b.n[2]; k++)
        x[k] = !ones || ones[k] > 0 ? v : 0;
}

static void begin(lucy *l, int stage, int64_t most)
{
    const double gain = l->s.gain, read = l->s.read;
    l->s = (lucy_state){.stage = stage, .gain = gain, .read = read};
    l->most = most;
    slab_planes(l->p->slab, 0, set_start, l, NULL);
    if (l->accelerated) {
        memcpy(l->prev.at, l->x.at, (size_t)field_count(l->p, &l->x) * sizeof *l->x.at);
        memset(l->step.at, 0, (size_t)field_count(l->p, &l->step) * sizeof *l->step.at);
    }
}

/* --- One object ------------------------------------------------------------------------- */

static dcv_status make_fields(lucy *l)
{
    const problem *p = l->p;
    const box *b = &p->geo.object;
    const size_t plane = (size_t)(p->spec.channels * b->n[1] * b->n[2]);
    DCV_TRY(field_new(p, b, &l->x));
    if (l->accelerated) {
        DCV_TRY(field_new(p, b, &l->prev));
        DCV_TRY(field_new(p, b, &l->step));
    }
    if (p->spec.method == DCV_RL_TV) {
        DCV_TRY(field_new(p, b, &l->tv));
        l->below = dcv_alloc(plane, sizeof *l->below);
        l->above = dcv_alloc(plane, sizeof *l->above);
        if (!l->below || !l->above)
            return DCV_ENOMEM;
    }
    return p->spec.stop == DCV_STOP_THINNING ? field_new(p, &p->geo.data, &l->fit) : DCV_OK;
}

static void clear(lucy *l)
{
    field_free(&l->x);
    field_free(&l->prev);
    field_free(&l->step);
    field_free(&l->tv);
    field_free(&l->fit);
    dcv_free(l->below);
    dcv_free(l->above);
}

/* sums over channels: mean of the data; does the read noise dominate? */
static bool counts_dominate(const lucy *l)
{
    double mean = 0;
    for (int c = 0; c < l->p->spec.channels; c++)
        mean += l->p->level[c].mean / l->p->spec.channels;
    return l->s.gain > 0 && l->s.read * l->s.read <= l->s.gain * mean;
}

static dcv_status find_count(lucy *l, bool resumed)
{
    bool by_rule;
    l->by_counts = counts_dominate(l);
    lucy_split(l);
    if (!resumed)
        begin(l, STAGE_FIT, l->p->spec.iterations);
    l->most = l->p->spec.iterations;
    DCV_TRY(iterate(l, &by_rule));
    return DCV_OK;
}

static void clip_result(const lucy *l)
{
    for (int64_t i = 0, n = field_count(l->p, &l->x); i < n; i++)
        l->x.at[i] = l->x.at[i] > 1 ? 1 : l->x.at[i] < -1 ? -1 : l->x.at[i];
}

static dcv_status run(lucy *l)
{
    problem *p = l->p;
    bool found = false, by_rule;
    DCV_TRY(problem_estimate_noise(p, &l->s.gain, &l->s.read));
    const lucy_state fresh = l->s;
    DCV_TRY(lucy_load(l, &found));
    l->s.gain = fresh.gain;
    l->s.read = fresh.read;
    int64_t most = p->spec.iterations;
    if (p->spec.stop == DCV_STOP_THINNING) {
        if (!found || l->s.stage == STAGE_FIT) {
            DCV_TRY(find_count(l, found));
            found = false;
            most = l->s.best;
        } else
            most = l->s.best;
        field_free(&l->fit);
    }
    const int64_t best = most;
    if (!found)
        begin(l, STAGE_WHOLE, most);
    l->most = most;
    l->s.best = best;
    DCV_TRY(iterate(l, &by_rule));
    p->facts->iterations = l->s.k;
    p->facts->gain = l->s.gain;
    p->facts->read = l->s.read;
    p->facts->stopped_by = p->spec.stop == DCV_STOP_THINNING || by_rule ? p->spec.stop : DCV_STOP_ITERATIONS;
    if (p->spec.stop == DCV_STOP_THINNING && most == p->spec.iterations)
        p->facts->stopped_by = DCV_STOP_ITERATIONS;
    if (p->spec.method == DCV_RL_TV)
        p->facts->regularisation = l->tv_weight;
    if (p->spec.skimage)
        clip_result(l);
    return problem_store(p, l->accelerated ? &l->prev : &l->x);
}

dcv_status lucy_solve(problem *p)
{
    lucy l = {.p = p, .accelerated = p->spec.acceleration == DCV_BIGGS_ANDREWS};
    l.tv_weight = isnan(p->spec.regularisation) ? 0.002 : p->spec.regularisation;
    p->facts->negative = p->spec.skimage ? 0 : p->negative;
    dcv_status st = group_agree(p->group, make_fields(&l));
    if (st == DCV_OK)
        st = run(&l);
    clear(&l);
    return st;
}
