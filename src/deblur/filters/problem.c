/* problem.c -- see problem.h. */
#include <stdio.h>
#include <string.h>

#include "deblur/filters/problem.h"
#include "deblur/random.h"
#include "deconvoy/log.h"

#define CHUNK_BYTES ((int64_t)2 << 20) /* of planes read or written at a time */
#define LEAST_LEVEL 1e-30              /* so that nothing is divided by 0 where all data are 0 */
#define LEAST_ONES  0.01               /* H^T 1 below which an unknown is not looked for */

/* --- Fields ------------------------------------------------------------------------ */

dcv_status field_new(const problem *p, const box *b, field *out)
{
    const slab *s = p->slab;
    const int64_t end = b->at[0] + b->n[0], last = s->first_plane + s->n_planes;
    *out = (field){.b = *b, .first = b->at[0] > s->first_plane ? b->at[0] : s->first_plane};
    out->n = (end < last ? end : last) - out->first;
    out->n = out->n < 0 ? 0 : out->n;
    out->at = dcv_alloc_streamed((size_t)(p->spec.channels * out->n * b->n[1]), (size_t)b->n[2] * sizeof(real));
    return out->at ? DCV_OK : DCV_ENOMEM;
}

void field_free(field *f)
{
    dcv_free(f->at);
    *f = (field){.at = NULL};
}

dcv_status spectrum_new(const problem *p, real **out)
{
    const slab *s = p->slab;
    *out = dcv_alloc_streamed((size_t)(s->n_own * s->shape.m[0]), PAIR * sizeof(real));
    return *out ? DCV_OK : DCV_ENOMEM;
}

/* --- H and H^T ---------------------------------------------------------------------- */

typedef struct product {
    const problem *p;
    const real *h;
    bool conjugate;
} product;

ROW_LOOP static void multiply(real *restrict at, const real *restrict h, int64_t n)
{
    for (int64_t i = 0; i < n; i++, at += PAIR, h += PAIR)
        for (int l = 0; l < LANES; l++) {
            const real re = at[l] * h[l] - at[LANES + l] * h[LANES + l];
            at[LANES + l] = at[l] * h[LANES + l] + at[LANES + l] * h[l];
            at[l] = re;
        }
}

ROW_LOOP static void multiply_conjugate(real *restrict at, const real *restrict h, int64_t n)
{
    for (int64_t i = 0; i < n; i++, at += PAIR, h += PAIR)
        for (int l = 0; l < LANES; l++) {
            const real re = at[l] * h[l] + at[LANES + l] * h[LANES + l];
            at[LANES + l] = at[LANES + l] * h[l] - at[l] * h[LANES + l];
            at[l] = re;
        }
}

static void times(void *ctx, const slab_batch *b)
{
    const product *q = ctx;
    const real *h = q->h + spectrum_at(q->p, b);
    if (q->conjugate)
        multiply_conjugate(b->at, h, b->n);
    else
        multiply(b->at, h, b->n);
}

void problem_times(problem *p, bool adjoint)
{
    product q = {p, p->otf, adjoint};
    if (adjoint && p->back) {
        q.h = p->back;
        q.conjugate = false;
    }
    slab_columns(p->slab, SLAB_FORWARD | SLAB_BACK, times, &q, NULL, false);
}

/* --- Spectrum of a PSF --------------------------------------------------------------- */

typedef struct placing {
    const problem *p;
    const double *at;
    const int64_t *centre;
    bool flipped;
    real *to;
} placing;

static int64_t wrap(int64_t i, int64_t m)
{
    const int64_t r = i % m;
    return r < 0 ? r + m : r;
}

/* Samples of the PSF whose place falls on this row of the frame, folded where it is larger than the frame. */
static void place_row(void *ctx, const slab_row *r)
{
    const placing *q = ctx;
    const int64_t *m = q->p->geo.m, *n = q->p->psf.size, *c = q->centre;
    memset(r->at, 0, (size_t)m[2] * sizeof *r->at);
    for (int64_t i = wrap(r->i0 + c[0], m[0]); i < n[0]; i += m[0])
        for (int64_t j = wrap(r->i1 + c[1], m[1]); j < n[1]; j += m[1])
            for (int64_t k = 0; k < n[2]; k++) {
                const int64_t at = q->flipped ? ((n[0] - 1 - i) * n[1] + n[1] - 1 - j) * n[2] + n[2] - 1 - k
                                              : (i * n[1] + j) * n[2] + k;
                r->at[wrap(k - c[2], m[2])] += (real)q->at[at];
            }
}

static void keep_columns(void *ctx, const slab_batch *b)
{
    const placing *q = ctx;
    if (b->channel)
        return;
    memcpy(q->to + spectrum_at(q->p, b), b->at, (size_t)(b->n * PAIR) * sizeof *b->at);
    for (int64_t i = 0; i < b->n; i++)
        for (int l = 0; l < LANES; l++) {
            const double re = (double)b->at[i * PAIR + l], im = (double)b->at[i * PAIR + LANES + l];
            b->sums[0] = fmax(b->sums[0], re * re + im * im);
        }
}

/* Returns max |spectrum|. */
static double spectrum_of(problem *p, placing q)
{
    double most[SLAB_SUMS];
    slab_planes(p->slab, SLAB_FORWARD, place_row, &q, NULL);
    slab_columns(p->slab, SLAB_FORWARD, keep_columns, &q, most, true);
    return sqrt(most[0]);
}

/* --- H^T 1 --------------------------------------------------------------------------- */

/* Sums over boxes [0,i) x [0,j) x [0,k) of the PSF. */
static void cumulate(const dcv_psf *f, double *to)
{
    const int64_t *n = f->size, s1 = n[2] + 1, s0 = (n[1] + 1) * s1;
    for (int64_t i = 1; i <= n[0]; i++)
        for (int64_t j = 1; j <= n[1]; j++) {
            double row = 0;
            for (int64_t k = 1; k <= n[2]; k++) {
                double *at = to + i * s0 + j * s1 + k;
                row += f->at[((i - 1) * n[1] + j - 1) * n[2] + k - 1];
                *at = row + at[-s0] + at[-s1] - at[-s0 - s1];
            }
        }
}

/* Samples [lo, hi) of the PSF that carry an unknown at u into the window, along an axis. */
static void seen_from(const problem *p, int axis, int64_t u, int64_t *lo, int64_t *hi)
{
    const int64_t n = p->psf.size[axis], o = p->geo.window.at[axis] - u + p->psf.centre[axis];
    const int64_t end = o + p->geo.window.n[axis];
    *lo = o < 0 ? 0 : o > n ? n : o;
    *hi = end < 0 ? 0 : end > n ? n : end;
}

static void ones_row(const problem *p, const int64_t lo[2], const int64_t hi[2], real *to)
{
    const int64_t s1 = p->psf.size[2] + 1, s0 = (p->psf.size[1] + 1) * s1;
    const double *a = p->cumulated + hi[0] * s0 + hi[1] * s1, *b = p->cumulated + lo[0] * s0 + hi[1] * s1,
                 *c = p->cumulated + hi[0] * s0 + lo[1] * s1, *d = p->cumulated + lo[0] * s0 + lo[1] * s1;
    for (int64_t k = 0; k < p->geo.object.n[2]; k++) {
        int64_t l, h;
        seen_from(p, 2, p->geo.object.at[2] + k, &l, &h);
        const double v = (a[h] - b[h] - c[h] + d[h]) - (a[l] - b[l] - c[l] + d[l]);
        to[k] = v > LEAST_ONES ? (real)(1 / v) : 0;
    }
}

const real *problem_ones(problem *p, int64_t i0, int64_t i1, int thread)
{
    int64_t lo[2], hi[2];
    if (p->ones.at)
        return field_row(&p->ones, 0, i0, i1);
    if (!p->cumulated)
        return NULL;
    seen_from(p, 0, i0, &lo[0], &hi[0]);
    seen_from(p, 1, i1, &lo[1], &hi[1]);
    if (lo[0] == 0 && lo[1] == 0 && hi[0] == p->psf.size[0] && hi[1] == p->psf.size[1])
        return p->inner;
    ones_row(p, lo, hi, p->scratch[thread]);
    return p->scratch[thread];
}

/* --- The adjoint test ---------------------------------------------------------------- */

typedef struct testing {
    problem *p;
    bool of_data; /* random data, else a random object */
} testing;

static real random_at(const problem *p, bool of_data, int64_t c, int64_t i0, int64_t i1, int64_t i2)
{
    const int64_t *m = p->geo.m, at = ((c * m[0] + i0) * m[1] + i1) * m[2] + i2;
    draw d = draw_for(DRAW_PROBE, of_data, (uint64_t)at);
    return (real)(draw_uniform(&d) - 0.5);
}

static void fill_random(void *ctx, const slab_row *r)
{
    const testing *t = ctx;
    const box *b = t->of_data ? &t->p->geo.data : &t->p->geo.object;
    memset(r->at, 0, (size_t)t->p->geo.m[2] * sizeof *r->at);
    for (int64_t k = 0; in_box(b, r->i0, r->i1) && k < b->n[2]; k++)
        r->at[b->at[2] + k] = random_at(t->p, t->of_data, r->channel, r->i0, r->i1, b->at[2] + k);
}

/* sums: products with the other random samples, squares of what came out and of those samples. */
static void multiply_random(void *ctx, const slab_row *r)
{
    const testing *t = ctx;
    const box *b = t->of_data ? &t->p->geo.object : &t->p->geo.data;
    for (int64_t k = 0; in_box(b, r->i0, r->i1) && k < b->n[2]; k++) {
        const double v = (double)r->at[b->at[2] + k] * t->p->scale,
                     w = (double)random_at(t->p, !t->of_data, r->channel, r->i0, r->i1, b->at[2] + k);
        r->sums[0] += v * w;
        r->sums[1] += v * v;
        r->sums[2] += w * w;
    }
}

static dcv_status test_adjoint(problem *p)
{
    double forward[SLAB_SUMS], back[SLAB_SUMS];
    testing t = {p, false};
    real *const unmatched = p->back;
    p->back = NULL;
    slab_planes(p->slab, SLAB_FORWARD, fill_random, &t, NULL);
    problem_times(p, false);
    slab_planes(p->slab, SLAB_BACK, multiply_random, &t, forward);
    t.of_data = true;
    slab_planes(p->slab, SLAB_FORWARD, fill_random, &t, NULL);
    problem_times(p, true);
    slab_planes(p->slab, SLAB_BACK, multiply_random, &t, back);
    p->back = unmatched;
    const double size = sqrt(forward[1]) * sqrt(forward[2]);
    p->adjoint_error = size > 0 ? fabs(forward[0] - back[0]) / size : 0;
    if (!(p->adjoint_error <= REAL_MAX_ADJ))
        return dcv_fail(DCV_EINTERNAL, "<Hx,y> and <x,H^T y> differ by %.3g of |Hx| |y|", p->adjoint_error);
    return DCV_OK;
}

/* --- Unmatched back projectors ---------------------------------------------------------- */

typedef struct butterworth {
    problem *p;
    double width[3]; /* of the PSF, samples */
} butterworth;

#define WB_ALPHA 0.05
#define WB_ORDER 10

/* Signed frequency of sample k of an axis of m, cycles per sample. */
static double frequency(int64_t k, int64_t m)
{
    return (double)(k <= m / 2 ? k : k - m) / (double)m;
}

/* (1 + alpha) conj(H) / (|H|^2 + alpha), low-passed (Guo et al., Nature Biotechnology 2020).  Gain 1 at zero. */
static void wiener_butterworth(void *ctx, const slab_batch *b)
{
    const butterworth *w = ctx;
    problem *p = w->p;
    const int64_t *m = p->geo.m, mc = m[2] / 2 + 1;
    for (int64_t i = 0; !b->channel && i < b->n; i++)
        for (int64_t l = 0; l < LANES && b->first + l < p->slab->n_columns; l++) {
            const int64_t at = spectrum_at(p, b) + i * PAIR + l, c = b->first + l;
            const double f0 = frequency(slab_wave(p->slab, 0, b->place + i), m[0]) * w->width[0],
                         f1 = frequency(slab_wave(p->slab, 1, c / mc), m[1]) * w->width[1],
                         f2 = frequency(c % mc, m[2]) * w->width[2], f = f0 * f0 + f1 * f1 + f2 * f2;
            const double re = (double)p->otf[at], im = (double)p->otf[at + LANES];
            const double gain = (1 + WB_ALPHA) / (re * re + im * im + WB_ALPHA) / sqrt(1 + pow(f, WB_ORDER));
            p->back[at] = (real)(re * gain);
            p->back[at + LANES] = (real)(-im * gain);
        }
}

typedef struct unmatched {
    problem *p;
} unmatched;

static void fill_window(void *ctx, const slab_row *r)
{
    const problem *p = ((unmatched *)ctx)->p;
    const box *b = &p->geo.window;
    memset(r->at, 0, (size_t)p->geo.m[2] * sizeof *r->at);
    for (int64_t k = 0; in_box(b, r->i0, r->i1) && k < b->n[2]; k++)
        r->at[b->at[2] + k] = 1;
}

static void keep_ones(void *ctx, const slab_row *r)
{
    problem *p = ((unmatched *)ctx)->p;
    real *to = field_row(&p->ones, r->channel, r->i0, r->i1);
    for (int64_t k = 0; to && k < p->ones.b.n[2]; k++) {
        const double v = (double)r->at[p->ones.b.at[2] + k] * p->scale;
        to[k] = v > LEAST_ONES ? (real)(1 / v) : 0;
    }
}

static void make_unmatched(problem *p)
{
    butterworth w = {.p = p};
    unmatched u = {p};
    for (int a = 0; a < 3; a++)
        w.width[a] = dcv_psf_width(&p->psf, a);
    slab_columns(p->slab, 0, wiener_butterworth, &w, NULL, false);
    if (!p->ones.at)
        return;
    slab_planes(p->slab, SLAB_FORWARD, fill_window, &u, NULL);
    problem_times(p, true);
    slab_planes(p->slab, SLAB_BACK, keep_ones, &u, NULL);
}

/* scikit-image correlates with the flipped PSF at mode 'same': of an even axis the origin is one sample lower. */
static void make_flipped(problem *p)
{
    int64_t centre[3];
    for (int a = 0; a < 3; a++)
        centre[a] = (p->psf.size[a] - 1) / 2;
    (void)spectrum_of(p, (placing){p, p->psf.at, centre, true, p->back});
}

dcv_status problem_psf(problem *p, const dcv_psf *psf)
{
    const size_t n = (size_t)(psf->size[0] * psf->size[1] * psf->size[2]);
    DCV_CHECK(!memcmp(psf->size, p->psf.size, sizeof psf->size) &&
              !memcmp(psf->centre, p->psf.centre, sizeof psf->centre));
    if (p->psf.at != psf->at)
        memcpy(p->psf.at, psf->at, n * sizeof *psf->at);
    p->otf_max = spectrum_of(p, (placing){p, p->psf.at, p->psf.centre, false, p->otf});
    if (p->cumulated) {
        const int64_t lo[2] = {0, 0}, hi[2] = {p->psf.size[0], p->psf.size[1]};
        cumulate(&p->psf, p->cumulated);
        ones_row(p, lo, hi, p->inner);
    }
    DCV_TRY(test_adjoint(p));
    if (p->spec.acceleration == DCV_WIENER_BUTTERWORTH)
        make_unmatched(p);
    else if (p->back)
        make_flipped(p);
    return DCV_OK;
}

/* --- Making and freeing ----------------------------------------------------------------- */

static dcv_status make_memory(problem *p)
{
    const int64_t *n = p->psf.size;
    const int threads = pool_size(p->pool);
    DCV_TRY(spectrum_new(p, &p->otf));
    DCV_TRY(field_new(p, &p->geo.data, &p->y));
    p->level = dcv_alloc((size_t)p->spec.channels, sizeof *p->level);
    p->inner = dcv_alloc((size_t)p->geo.object.n[2], sizeof *p->inner);
    p->scratch = dcv_alloc((size_t)threads, sizeof *p->scratch);
    if (!p->level || !p->inner || !p->scratch)
        return DCV_ENOMEM;
    for (int t = 0; t < threads; t++)
        if (!(p->scratch[t] = dcv_alloc((size_t)p->geo.m[2], sizeof **p->scratch)))
            return DCV_ENOMEM;
    if (p->spec.acceleration == DCV_WIENER_BUTTERWORTH && p->geo.box_sums)
        DCV_TRY(field_new(p, &p->geo.object, &p->ones));
    else if (p->geo.box_sums &&
             !(p->cumulated = dcv_alloc((size_t)((n[0] + 1) * (n[1] + 1) * (n[2] + 1)), sizeof(double))))
        return DCV_ENOMEM;
    if (p->spec.acceleration == DCV_WIENER_BUTTERWORTH || (p->spec.skimage && p->spec.method == DCV_RICHARDSON_LUCY))
        DCV_TRY(spectrum_new(p, &p->back));
    return DCV_OK;
}

static dcv_status copy_psf(problem *p, const dcv_psf *psf)
{
    const size_t n = (size_t)(psf->size[0] * psf->size[1] * psf->size[2]);
    p->psf = *psf;
    p->psf.at = dcv_alloc(n, sizeof *psf->at);
    if (!p->psf.at)
        return DCV_ENOMEM;
    memcpy(p->psf.at, psf->at, n * sizeof *psf->at);
    return DCV_OK;
}

static dcv_status make(problem *p, const dcv_psf *psf, int comm, int threads)
{
    DCV_TRY(group_new(comm, &p->group));
    DCV_TRY(group_agree(p->group, pool_new(threads, &p->pool)));
    geometry_of(&p->spec, psf, &p->geo);
    if (p->spec.skimage)
        p->geo.box_sums = false;
    p->scale = 1 / ((double)p->geo.m[0] * (double)p->geo.m[1] * (double)p->geo.m[2]);
    DCV_TRY(slab_new(&(slab_shape){{p->geo.m[0], p->geo.m[1], p->geo.m[2]}, p->spec.channels}, p->group, p->pool,
                     &p->slab));
    dcv_status st = copy_psf(p, psf);
    if (st == DCV_OK)
        st = make_memory(p);
    DCV_TRY(group_agree(p->group, st));
    return problem_psf(p, &p->psf);
}

dcv_status problem_new(const dcv_deblur_spec *spec, const dcv_psf *psf, int comm, int threads, problem **out)
{
    problem *p = *out = dcv_alloc(1, sizeof *p);
    DCV_CHECK(p); /* a few bytes, before the ranks can agree on anything */
    p->spec = *spec;
    const dcv_status st = make(p, psf, comm, threads);
    if (st != DCV_OK) {
        problem_free(p);
        *out = NULL;
    }
    return st;
}

void problem_free(problem *p)
{
    if (!p)
        return;
    for (int t = 0; p->scratch && t < pool_size(p->pool); t++)
        dcv_free(p->scratch[t]);
    dcv_free(p->scratch);
    dcv_free(p->level);
    dcv_free(p->inner);
    dcv_free(p->cumulated);
    dcv_free(p->otf);
    dcv_free(p->back);
    field_free(&p->y);
    field_free(&p->ones);
    dcv_psf_clear(&p->psf);
    slab_free(p->slab);
    pool_free(p->pool);
    group_free(p->group);
    dcv_free(p);
}

/* --- Reading ------------------------------------------------------------------------- */

static int64_t plane_values(const problem *p)
{
    return p->spec.n[1] * p->spec.n[2] * p->spec.channels;
}

int64_t problem_chunk(const dcv_deblur_spec *spec, const geometry *g)
{
    const int64_t n = CHUNK_BYTES / (spec->n[1] * spec->n[2] * spec->channels * (int64_t)sizeof(real));
    return n < 1 ? 1 : n < g->m[0] ? n : g->m[0];
}

static int64_t chunk_planes(const problem *p)
{
    return problem_chunk(&p->spec, &p->geo);
}

/* The plane of the data that plane i0 of the frame shows. */
static int64_t shown(const problem *p, int axis, int64_t i)
{
    return mirror(i - p->geo.window.at[axis], p->spec.n[axis]);
}

static void place_plane(problem *p, int64_t i0, const real *from)
{
    const field *y = &p->y;
    const int64_t n2 = p->spec.n[2], channels = p->spec.channels;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t j = 0; j < y->b.n[1]; j++) {
            real *to = field_row(y, (int)c, i0, y->b.at[1] + j);
            const real *row = from + shown(p, 1, y->b.at[1] + j) * n2 * channels + c;
            for (int64_t k = 0; k < y->b.n[2]; k++)
                to[k] = row[shown(p, 2, y->b.at[2] + k) * channels];
        }
}

/* How many planes of the frame from i0 on show planes of the data that follow each other, one way or the other. */
static int64_t run_from(const problem *p, int64_t i0, int64_t most, int *step)
{
    int64_t n = 1;
    *step = most > 1 && shown(p, 0, i0 + 1) < shown(p, 0, i0) ? -1 : 1;
    while (n < most && shown(p, 0, i0 + n) == shown(p, 0, i0 + n - 1) + *step)
        n++;
    return n;
}

static dcv_status read_planes(problem *p, real *buffer, int64_t *bad)
{
    const int64_t values = plane_values(p), chunk = chunk_planes(p), end = p->y.first + p->y.n;
    for (int64_t i0 = p->y.first, n; i0 < end; i0 += n) {
        int step;
        n = run_from(p, i0, end - i0 < chunk ? end - i0 : chunk, &step);
        const int64_t first = shown(p, 0, step > 0 ? i0 : i0 + n - 1);
        DCV_TRY(p->io->read(p->io->ctx, first, n, buffer));
        for (int64_t i = 0; i < n * values; i++)
            if (!isfinite(buffer[i])) {
                *bad = *bad < 0 || first * values + i < *bad ? first * values + i : *bad;
                break;
            }
        for (int64_t i = 0; i < n; i++)
            place_plane(p, i0 + i, buffer + (step > 0 ? i : n - 1 - i) * values);
    }
    return DCV_OK;
}

/* The first place, over all ranks, that holds no number. */
static dcv_status refuse_bad(const problem *p, int64_t bad)
{
    double first[1] = {bad < 0 ? -INFINITY : -(double)bad};
    group_max(p->group, first, 1);
    if (first[0] == -INFINITY)
        return DCV_OK;
    int64_t at = (int64_t)-first[0];
    char text[128];
    int64_t place[4] = {0};
    const int64_t n[4] = {p->spec.n[0], p->spec.n[1], p->spec.n[2], p->spec.channels};
    for (int a = 3; a >= 0; at /= n[a], a--)
        place[a] = at % n[a];
    int len = 0;
    for (int a = 0; a < 4; a++)
        if ((a == 0 && p->spec.dimensions > 1) || (a == 1 && p->spec.dimensions > 2) || a == 2 || (a == 3 && n[3] > 1))
            len += snprintf(text + len, sizeof text - (size_t)len, "%s%lld", len ? ", " : "", (long long)place[a]);
    return dcv_fail(DCV_EDATA, "NaN or infinity at [%s]", text);
}

enum { SUM_BELOW = SLAB_SUMS - 1 }; /* how many; before it, what is above 0 in each channel */

static void measure(void *ctx, const slab_row *r)
{
    const problem *p = ctx;
    const box *w = &p->geo.window;
    if (!in_box(w, r->i0, r->i1))
        return;
    const real *y = field_row(&p->y, r->channel, r->i0, r->i1) + (w->at[2] - p->y.b.at[2]);
    for (int64_t k = 0; k < w->n[2]; k++) {
        const double v = (double)y[k];
        r->sums[r->channel] += v > 0 ? v : 0;
        r->sums[SUM_BELOW] += v < 0;
    }
}

dcv_status problem_load(problem *p)
{
    int64_t bad = -1;
    double sums[SLAB_SUMS];
    const double count = (double)p->spec.n[0] * (double)p->spec.n[1] * (double)p->spec.n[2];
    real *buffer = dcv_alloc((size_t)chunk_planes(p), (size_t)plane_values(p) * sizeof *buffer);
    const dcv_status st = buffer ? read_planes(p, buffer, &bad) : DCV_ENOMEM;
    dcv_free(buffer);
    DCV_TRY(group_agree(p->group, st));
    DCV_TRY(refuse_bad(p, bad));
    slab_planes(p->slab, 0, measure, p, sums);
    p->negative = (int64_t)sums[SUM_BELOW];
    for (int c = 0; c < p->spec.channels; c++)
        p->level[c] = (level){sums[c] / count, fmax(EPSILON * sums[c] / count, LEAST_LEVEL)};
    return DCV_OK;
}

/* --- Writing ------------------------------------------------------------------------- */

static dcv_status write_planes(problem *p, const field *f, real *buffer)
{
    const box *w = &p->geo.window;
    const int64_t chunk = chunk_planes(p), values = plane_values(p), channels = p->spec.channels, n2 = w->n[2];
    int64_t first = f->first > w->at[0] ? f->first : w->at[0], end = f->first + f->n;
    end = end < w->at[0] + w->n[0] ? end : w->at[0] + w->n[0];
    for (int64_t i0 = first, n; i0 < end; i0 += n) {
        n = end - i0 < chunk ? end - i0 : chunk;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < w->n[1]; j++)
                for (int64_t c = 0; c < channels; c++) {
                    const real *row = field_row(f, (int)c, i0 + i, w->at[1] + j) + (w->at[2] - f->b.at[2]);
                    real *to = buffer + i * values + j * n2 * channels + c;
                    for (int64_t k = 0; k < n2; k++)
                        to[k * channels] = row[k];
                }
        DCV_TRY(p->io->write(p->io->ctx, i0 - w->at[0], n, buffer));
    }
    return DCV_OK;
}

dcv_status problem_store(problem *p, const field *f)
{
    real *buffer = dcv_alloc((size_t)chunk_planes(p), (size_t)plane_values(p) * sizeof *buffer);
    const dcv_status st = buffer ? write_planes(p, f, buffer) : DCV_ENOMEM;
    dcv_free(buffer);
    return group_agree(p->group, st);
}

/* --- One object ------------------------------------------------------------------------ */

dcv_status problem_solve(problem *p, const dcv_deblur_io *io, dcv_deblur_facts *facts)
{
    p->io = io;
    p->facts = facts;
    facts->iterations = 0;
    facts->regularisation = facts->gain = facts->read = NAN;
    facts->adjoint_error = p->adjoint_error;
    facts->stopped_by = DCV_STOP_ITERATIONS;
    facts->negative = 0;
    DCV_TRY(problem_load(p));
    return p->spec.method >= DCV_RICHARDSON_LUCY ? lucy_solve(p) : linear_solve(p);
}
