/* lanes.c -- see lanes.h.
 *
 * In place, radix by radix (Gentleman & Sande 1966 there, Cooley & Tukey 1965 back).  m = A B, where the first radices
 * make up A: what they combine are the A samples at a distance of B, which are copied to a small buffer, so that the
 * first sweep goes through the whole column once however many radices it does; the second takes the A runs of B
 * samples one by one, there, through fn and back; the third is the first in reverse.
 *
 * Back, the same sums are done with real and imaginary parts changing places.
 */
#include <fftw3.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "deblur/slab/butterfly.h"
#include "deblur/slab/lanes.h"
#include "deblur/slab/planner.h"
#include "deconvoy/memory.h"

#define MOST_STAGES 32
#define MOST_OUTER  64 /* samples in the small buffer */
#define SMALL       64 /* columns that need no second sweep */
#define AHEAD       2  /* samples of B */
#define LINE_BYTES  64

typedef struct stage {
    int radix;
    int64_t len;   /* samples of the block that it cuts into radix parts */
    real *twiddle; /* [len / radix][radix - 1][2], in the order of use */
} stage;

struct lanes {
    int64_t m, a, b;
    int n_stages, n_outer;
    stage stage[MOST_STAGES];
    int64_t *wave, *place;   /* [m], NULL: the natural order */
    FFT(plan) forward, back; /* other lengths */
};

/* --- Kernels ----------------------------------------------------------------------- */

/* One radix over n_blocks blocks of len samples.  before: the twiddles are multiplied in before the butterfly. */
FULLY_INLINE void do_stage(int radix, bool before, bool after, real *restrict re, real *restrict im, int64_t n_blocks,
                           int64_t len, const real *twiddle)
{
    const int64_t n = len / radix, step = n * PAIR;
    for (int64_t k = 0; k < n_blocks; k++) {
        const real *restrict w = twiddle;
        for (int64_t i = 0; i < n; i++, w += 2 * (radix - 1)) {
            real *restrict pr = re + (k * len + i) * PAIR, *restrict pi = im + (k * len + i) * PAIR;
            LANE_LOOP
            for (int l = 0; l < LANES; l++) {
                real r[MOST_RADIX], s[MOST_RADIX];
                UNROLLED
                for (int q = 0; q < radix; q++) {
                    const real x = pr[q * step + l], y = pi[q * step + l];
                    r[q] = before && q ? x * w[2 * q - 2] - y * w[2 * q - 1] : x;
                    s[q] = before && q ? x * w[2 * q - 1] + y * w[2 * q - 2] : y;
                }
                butterfly(radix, r, s);
                UNROLLED
                for (int q = 0; q < radix; q++) {
                    pr[q * step + l] = after && q ? r[q] * w[2 * q - 2] - s[q] * w[2 * q - 1] : r[q];
                    pi[q * step + l] = after && q ? r[q] * w[2 * q - 1] + s[q] * w[2 * q - 2] : s[q];
                }
            }
        }
    }
}

typedef void stage_fn(real *re, real *im, int64_t n_blocks, int64_t len, const real *twiddle);

#define KERNELS(radix)                                                                                                 \
    ROW_LOOP static void there_##radix(real *re, real *im, int64_t n, int64_t len, const real *w)                      \
    {                                                                                                                  \
        do_stage(radix, false, true, re, im, n, len, w);                                                               \
    }                                                                                                                  \
    ROW_LOOP static void back_##radix(real *re, real *im, int64_t n, int64_t len, const real *w)                       \
    {                                                                                                                  \
        do_stage(radix, true, false, re, im, n, len, w);                                                               \
    }                                                                                                                  \
    ROW_LOOP static void plain_##radix(real *re, real *im, int64_t n, int64_t len, const real *w)                      \
    {                                                                                                                  \
        do_stage(radix, false, false, re, im, n, len, w);                                                              \
    }
KERNELS(2)
KERNELS(3)
KERNELS(4)
KERNELS(5)
KERNELS(7)
KERNELS(8)

enum { THERE, BACK, PLAIN };
static stage_fn *const kernels[MOST_RADIX + 1][3] = {
    [2] = {there_2, back_2, plain_2}, [3] = {there_3, back_3, plain_3}, [4] = {there_4, back_4, plain_4},
    [5] = {there_5, back_5, plain_5}, [7] = {there_7, back_7, plain_7}, [8] = {there_8, back_8, plain_8}};

/* --- Making ------------------------------------------------------------------------- */

bool lanes_smooth(int64_t m)
{
    static const int primes[] = {2, 3, 5, 7};
    for (int i = 0; i < 4; i++)
        while (m % primes[i] == 0)
            m /= primes[i];
    return m == 1;
}

/* Radices of a smooth m: as many eights as leave a four or two fours over. */
static int radices_of(int64_t m, int *radix)
{
    static const int odd[] = {3, 5, 7};
    int n = 0, twos = 0;
    for (; m % 2 == 0; m /= 2)
        twos++;
    for (; twos > 4 || twos == 3; twos -= 3)
        radix[n++] = 8;
    for (; twos > 1; twos -= 2)
        radix[n++] = 4;
    if (twos)
        radix[n++] = 2;
    for (int i = 0; i < 3; i++)
        for (; m % odd[i] == 0; m /= odd[i])
            radix[n++] = odd[i];
    return n;
}

/* The product of radices that is nearest to the root of m from below, among those that fit the small buffer: which
 * radices, as bits. */
static unsigned outer_of(int64_t m, int n, const int *radix)
{
    unsigned best = 0;
    int64_t best_a = 1;
    for (unsigned set = 0; set < 1u << n; set++) {
        int64_t a = 1;
        for (int i = 0; i < n && a <= MOST_OUTER; i++)
            a *= set >> i & 1 ? radix[i] : 1;
        if (a <= MOST_OUTER && a * a <= m && a > best_a) {
            best = set;
            best_a = a;
        }
    }
    return best;
}

static void order_radices(lanes *l)
{
    int radix[MOST_STAGES];
    l->n_stages = radices_of(l->m, radix);
    const unsigned outer = l->m > SMALL ? outer_of(l->m, l->n_stages, radix) : 0;
    int64_t len = l->m;
    l->a = 1;
    for (int pass = 0, k = 0; pass < 2; pass++)
        for (int i = 0; i < l->n_stages; i++)
            if ((outer >> i & 1) == (pass == 0)) {
                l->stage[k++] = (stage){radix[i], len, NULL};
                len /= radix[i];
                l->a *= pass == 0 ? radix[i] : 1;
                l->n_outer += pass == 0;
            }
    l->b = l->m / l->a;
}

/* Twiddles of sample i of a block, in the order in which the sweeps meet them: the outer ones sample by sample of B. */
static dcv_status make_twiddles(const lanes *l, stage *s, bool outer)
{
    const int64_t n = s->len / s->radix, apart = outer ? l->b : n;
    real *to = s->twiddle = dcv_alloc((size_t)s->len, 2 * sizeof *to);
    if (!to)
        return DCV_ENOMEM;
    for (int64_t j = 0; j < apart; j++)
        for (int64_t i = j; i < n; i += apart)
            for (int q = 1; q < s->radix; q++) {
                const double turn = -2 * M_PI * (double)(i * q) / (double)s->len;
                *to++ = (real)cos(turn);
                *to++ = (real)sin(turn);
            }
    return DCV_OK;
}

/* Place p = sum of digits d_s len_{s+1}; its frequency has the digits in reverse. */
static void make_order(lanes *l)
{
    for (int64_t p = 0; p < l->m; p++) {
        int64_t rest = p, wave = 0, weight = 1;
        for (int s = 0; s < l->n_stages; s++) {
            const int64_t below = l->stage[s].len / l->stage[s].radix;
            wave += rest / below * weight;
            rest %= below;
            weight *= l->stage[s].radix;
        }
        l->wave[p] = wave;
        l->place[wave] = p;
    }
}

static dcv_status make_own(lanes *l)
{
    order_radices(l);
    for (int s = 0; s < l->n_stages; s++)
        DCV_TRY(make_twiddles(l, &l->stage[s], s < l->n_outer));
    l->wave = dcv_alloc((size_t)l->m, sizeof *l->wave);
    l->place = dcv_alloc((size_t)l->m, sizeof *l->place);
    if (!l->wave || !l->place)
        return DCV_ENOMEM;
    make_order(l);
    return DCV_OK;
}

/* Both ways in place, on the two halves of each pair. */
static dcv_status make_other(lanes *l)
{
    const FFT(iodim) dim = {(int)l->m, PAIR, PAIR}, many = {LANES, 1, 1};
    real *at = dcv_alloc((size_t)l->m, PAIR * sizeof *at);
    if (!at)
        return DCV_ENOMEM;
    pthread_mutex_lock(&dcv_fftw_planner);
    l->forward = FFT(plan_guru_split_dft)(1, &dim, 1, &many, at, at + LANES, at, at + LANES, FFTW_ESTIMATE);
    l->back = FFT(plan_guru_split_dft)(1, &dim, 1, &many, at + LANES, at, at + LANES, at, FFTW_ESTIMATE);
    pthread_mutex_unlock(&dcv_fftw_planner);
    dcv_free(at);
    return l->forward && l->back ? DCV_OK : dcv_fail(DCV_ENOMEM, "FFTW cannot plan %lld samples", (long long)l->m);
}

dcv_status lanes_new(int64_t m, lanes **out)
{
    lanes *l = *out = dcv_alloc(1, sizeof *l);
    if (!l)
        return DCV_ENOMEM;
    l->m = m;
    const dcv_status st = lanes_smooth(m) ? make_own(l) : make_other(l);
    if (st != DCV_OK) {
        lanes_free(l);
        *out = NULL;
    }
    return st;
}

/* Orders and twiddles; FFTW's tables where m has a large prime factor. */
int64_t lanes_bytes(int64_t m)
{
    return lanes_smooth(m) ? m * (int64_t)(2 * sizeof(int64_t) + 3 * sizeof(real)) : m * (int64_t)(8 * sizeof(real));
}

void lanes_free(lanes *l)
{
    if (!l)
        return;
    for (int s = 0; s < l->n_stages; s++)
        dcv_free(l->stage[s].twiddle);
    dcv_free(l->wave);
    dcv_free(l->place);
    pthread_mutex_lock(&dcv_fftw_planner);
    if (l->forward)
        FFT(destroy_plan)(l->forward);
    if (l->back)
        FFT(destroy_plan)(l->back);
    pthread_mutex_unlock(&dcv_fftw_planner);
    dcv_free(l);
}

int64_t lanes_wave(const lanes *l, int64_t place)
{
    return l->wave ? l->wave[place] : place;
}

const int64_t *lanes_places(const lanes *l)
{
    return l->place;
}

/* --- Running ------------------------------------------------------------------------- */

/* The radices of A on samples j, j + B, ..., which stand in the small buffer. */
static void outer_stages(const lanes *l, int way, int64_t j, real *t)
{
    real *re = way == THERE ? t : t + LANES, *im = way == THERE ? t + LANES : t;
    for (int k = 0; k < l->n_outer; k++) {
        const stage *s = &l->stage[way == THERE ? k : l->n_outer - 1 - k];
        const int64_t len = s->len / l->b, n = len / s->radix;
        kernels[s->radix][way](re, im, l->a / len, len, s->twiddle + j * n * 2 * (s->radix - 1));
    }
}

/* The radices of B on a run of B samples.  The last one has no twiddles but 1. */
static void inner_stages(const lanes *l, int way, real *t)
{
    real *re = way == THERE ? t : t + LANES, *im = way == THERE ? t + LANES : t;
    for (int k = l->n_outer; k < l->n_stages; k++) {
        const stage *s = &l->stage[way == THERE ? k : l->n_stages - 1 - (k - l->n_outer)];
        kernels[s->radix][s->len == s->radix ? PLAIN : way](re, im, l->b / s->len, s->len, s->twiddle);
    }
}

ROW_LOOP static void copy_samples(real *restrict to, int64_t to_step, const real *restrict from, int64_t from_step,
                                  int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int l = 0; l < PAIR; l++)
            to[i * to_step + l] = from[i * from_step + l];
}

static void prefetch_samples(const real *at, int64_t step, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int l = 0; l < PAIR; l += LINE_BYTES / (int)sizeof *at)
            PREFETCH(at + i * step + l);
}

/* A single radix is in registers as it is: it needs no buffer. */
static void outer_stage(const lanes *l, int way, real *at)
{
    const stage *s = l->stage;
    kernels[s->radix][way](way == THERE ? at : at + LANES, way == THERE ? at + LANES : at, 1, s->len, s->twiddle);
}

static void outer_sweep(const lanes *l, int way, real *at)
{
    _Alignas(LINE_BYTES) real t[MOST_OUTER * PAIR];
    if (l->n_outer == 1) {
        outer_stage(l, way, at);
        return;
    }
    for (int64_t j = 0; j < l->b; j++) {
        copy_samples(t, PAIR, at + j * PAIR, l->b * PAIR, l->a);
        if (j + AHEAD < l->b)
            prefetch_samples(at + (j + AHEAD) * PAIR, l->b * PAIR, l->a);
        outer_stages(l, way, j, t);
        copy_samples(at + j * PAIR, l->b * PAIR, t, PAIR, l->a);
    }
}

static void run_other(const lanes *l, int how, real *at, lanes_fn fn, void *ctx)
{
    if (how & LANES_FORWARD)
        FFT(execute_split_dft)(l->forward, at, at + LANES, at, at + LANES);
    if (fn)
        fn(ctx, 0, l->m, at);
    if (how & LANES_BACK)
        FFT(execute_split_dft)(l->back, at + LANES, at, at + LANES, at);
}

void lanes_run(const lanes *l, int how, real *at, lanes_fn fn, void *ctx)
{
    if (l->forward) {
        run_other(l, how, at, fn, ctx);
        return;
    }
    if (how & LANES_FORWARD && l->n_outer)
        outer_sweep(l, THERE, at);
    for (int64_t i = 0; i < l->a; i++) {
        real *run = at + i * l->b * PAIR;
        if (how & LANES_FORWARD)
            inner_stages(l, THERE, run);
        if (fn)
            fn(ctx, i * l->b, l->b, run);
        if (how & LANES_BACK)
            inner_stages(l, BACK, run);
    }
    if (how & LANES_BACK && l->n_outer)
        outer_sweep(l, BACK, at);
}
