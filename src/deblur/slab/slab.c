/* slab.c -- see slab.h.
 *
 * Why every byte is the same whatever the distribution: a row is transformed by one plan for one row; a
 * column by one plan for 16 columns, in which it always has the same lane; both see the same values at the same
 * alignment.  What lies in the lanes beyond the last column is zero, and never read.
 */
#include <fftw3.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "deblur/slab/slab.h"
#include "deconvoy/memory.h"
#include "deconvoy/tensor.h"

#if defined DCV_DEBLUR_F64
#define FFT(name) fftw_##name
#else
#define FFT(name) fftwf_##name
#endif

#define LINE_BYTES    64
#define MESSAGE_BYTES (128 << 10) /* to each peer, in the mean, so that latency does not count */
#define MOST_BATCHES  64          /* of a rank in one round of exchange */

enum { ROW_FORWARD, ROW_BACK, MID_FORWARD, MID_BACK, OUT_FORWARD, OUT_BACK, N_PLANS };

typedef struct slab_inside {
    FFT(plan) plan[N_PLANS];
    cplx **buffer;       /* [threads]: columns being worked on, and room for them transformed */
    int64_t round;       /* batches of a rank exchanged at a time */
    cplx *send, *arrive; /* [ranks][round][planes][LANES], [round][m0][LANES] */
    parcel *in, *out;
    double *plane_sums, *batch_sums; /* [channels][m0][SUMS], [channels][n_batches][SUMS] */
    int64_t *plane_counts, *batch_counts;
} slab_inside;

static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER; /* FFTW's planner is not safe among threads */

static int64_t row_reals(int64_t m2)
{
    const int64_t per_line = LINE_BYTES / (int64_t)sizeof(real), n = 2 * (m2 / 2 + 1);
    return (n + per_line - 1) / per_line * per_line;
}

static int64_t columns_of(const slab_shape *shape)
{
    return shape->m[1] * (shape->m[2] / 2 + 1);
}

static int64_t batches_of(const slab_shape *shape)
{
    return (columns_of(shape) + SLAB_LANES - 1) / SLAB_LANES;
}

static int ranks_of(const slab_shape *shape, int size)
{
    return shape->m[0] < size ? (int)shape->m[0] : size;
}

static int64_t most_part(int64_t n, int size)
{
    return (n + size - 1) / size;
}

static int64_t round_of(const slab_shape *shape, int ranks, int threads)
{
    const int64_t piece = most_part(shape->m[0], ranks) * SLAB_LANES * (int64_t)sizeof(cplx);
    int64_t n = (MESSAGE_BYTES + piece - 1) / piece;
    if (n < threads)
        n = threads;
    if (n > MOST_BATCHES)
        n = MOST_BATCHES;
    const int64_t own = most_part(batches_of(shape), ranks);
    return n < own ? n : own;
}

int64_t slab_bytes(const slab_shape *shape, int ranks, int threads)
{
    const int p = ranks_of(shape, ranks);
    const int64_t planes = most_part(shape->m[0], p), column = SLAB_LANES * (int64_t)sizeof(cplx);
    const int64_t longest = shape->m[0] > shape->m[1] ? shape->m[0] : shape->m[1];
    const int64_t round = p > 1 ? round_of(shape, p, threads) : 0;
    return shape->channels * planes * shape->m[1] * row_reals(shape->m[2]) * (int64_t)sizeof(real) +
           2 * threads * longest * column + round * column * (p * planes + shape->m[0]) +
           shape->channels * (shape->m[0] + batches_of(shape)) * SLAB_SUMS * 8;
}

/* --- Plans ------------------------------------------------------------------------- */

/* From one place to another: by estimate faster than in place. */
static FFT(plan) columns_plan(int64_t m, cplx *at, int sign)
{
    const int n = (int)m;
    FFT(complex) *from = (FFT(complex) *)at, *to = (FFT(complex) *)(at + m * SLAB_LANES);
    return FFT(plan_many_dft)(1, &n, SLAB_LANES, from, NULL, SLAB_LANES, 1, to, NULL, SLAB_LANES, 1, sign,
                              FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
}

/* An axis of one sample is left alone. */
static dcv_status make_plans(slab *s)
{
    slab_inside *in = s->in;
    const int64_t *m = s->shape.m;
    cplx *at = in->buffer[0];
    real *row = dcv_alloc((size_t)s->row, sizeof *row);
    if (!row)
        return DCV_ENOMEM;
    pthread_mutex_lock(&planner);
    in->plan[ROW_FORWARD] = FFT(plan_dft_r2c_1d)((int)m[2], row, (FFT(complex) *)row, FFTW_ESTIMATE);
    in->plan[ROW_BACK] = FFT(plan_dft_c2r_1d)((int)m[2], (FFT(complex) *)row, row, FFTW_ESTIMATE);
    for (int a = 0; a < 2; a++)
        for (int back = 0; back < 2 && m[a] > 1; back++)
            in->plan[(a ? MID_FORWARD : OUT_FORWARD) + back] =
                columns_plan(m[a], at, back ? FFTW_BACKWARD : FFTW_FORWARD);
    pthread_mutex_unlock(&planner);
    dcv_free(row);
    bool all = in->plan[ROW_FORWARD] && in->plan[ROW_BACK];
    for (int k = 0; k < 2; k++)
        all = all && (m[1] == 1 || in->plan[MID_FORWARD + k]) && (m[0] == 1 || in->plan[OUT_FORWARD + k]);
    return all ? DCV_OK
               : dcv_fail(DCV_ENOMEM, "FFTW cannot plan a frame of %lld x %lld x %lld", (long long)m[0],
                          (long long)m[1], (long long)m[2]);
}

static dcv_status check_shape(const slab_shape *shape, int ranks)
{
    dcv_dims all = {4, {shape->channels, shape->m[0], shape->m[1], row_reals(shape->m[2])}};
    for (int a = 0; a < 3; a++)
        if (shape->m[a] < 1 || shape->m[a] > INT_MAX - 64)
            return dcv_fail(DCV_EDATA, "an axis of %lld samples once padded; FFTW takes at most %d: cut the data",
                            (long long)shape->m[a], INT_MAX - 64);
    DCV_TRY(dcv_dims_check(&all));
    if (ranks > 1 && most_part(shape->m[0], ranks) > INT_MAX / (SLAB_LANES * (int64_t)sizeof(cplx)))
        return dcv_fail(DCV_EDATA, "%lld rows on each of %d ranks: use more ranks, or make the last axis the longest",
                        (long long)most_part(shape->m[0], ranks), ranks);
    return DCV_OK;
}

static dcv_status make_buffers(slab *s)
{
    slab_inside *in = s->in;
    const int64_t *m = s->shape.m, longest = m[0] > m[1] ? m[0] : m[1];
    const int threads = pool_size(s->pool), size = group_size(s->group);
    in->buffer = dcv_alloc((size_t)threads, sizeof *in->buffer);
    for (int t = 0; in->buffer && t < threads; t++)
        if (!(in->buffer[t] = dcv_alloc((size_t)longest, 2 * SLAB_LANES * sizeof(cplx))))
            return DCV_ENOMEM;
    in->round = s->ranks > 1 ? round_of(&s->shape, s->ranks, threads) : 0;
    in->send = dcv_alloc((size_t)(s->ranks * in->round), (size_t)s->n_planes * SLAB_LANES * sizeof(cplx));
    in->arrive = dcv_alloc((size_t)in->round, (size_t)m[0] * SLAB_LANES * sizeof(cplx));
    in->in = dcv_alloc((size_t)(s->ranks * in->round), sizeof *in->in);
    in->out = dcv_alloc((size_t)(s->ranks * in->round), sizeof *in->out);
    in->plane_sums = dcv_alloc((size_t)(s->shape.channels * m[0]), SLAB_SUMS * sizeof(double));
    in->batch_sums = dcv_alloc((size_t)(s->shape.channels * s->n_batches), SLAB_SUMS * sizeof(double));
    in->plane_counts = dcv_alloc((size_t)size, sizeof *in->plane_counts);
    in->batch_counts = dcv_alloc((size_t)size, sizeof *in->batch_counts);
    s->work = dcv_alloc((size_t)(s->shape.channels * s->n_planes * m[1]), (size_t)s->row * sizeof(real));
    return in->buffer && in->send && in->arrive && in->in && in->out && in->plane_sums && in->batch_sums &&
                   in->plane_counts && in->batch_counts && s->work
               ? DCV_OK
               : DCV_ENOMEM;
}

static int64_t planes_before(const slab *s, int rank)
{
    return part_first(s->shape.m[0], rank < s->ranks ? rank : s->ranks, s->ranks);
}

static int64_t batches_before(const slab *s, int rank)
{
    return part_first(s->n_batches, rank < s->ranks ? rank : s->ranks, s->ranks);
}

static dcv_status make(slab *s)
{
    DCV_TRY(check_shape(&s->shape, s->ranks));
    s->row = row_reals(s->shape.m[2]);
    s->n_columns = columns_of(&s->shape);
    s->n_batches = batches_of(&s->shape);
    s->first_plane = planes_before(s, s->rank);
    s->n_planes = planes_before(s, s->rank + 1) - s->first_plane;
    s->first_batch = batches_before(s, s->rank);
    s->n_own = batches_before(s, s->rank + 1) - s->first_batch;
    s->in = dcv_alloc(1, sizeof *s->in);
    if (!s->in)
        return DCV_ENOMEM;
    DCV_TRY(make_buffers(s));
    for (int r = 0; r < group_size(s->group); r++) {
        s->in->plane_counts[r] = (planes_before(s, r + 1) - planes_before(s, r)) * SLAB_SUMS;
        s->in->batch_counts[r] = (batches_before(s, r + 1) - batches_before(s, r)) * SLAB_SUMS;
    }
    return make_plans(s);
}

dcv_status slab_new(const slab_shape *shape, group *g, pool *p, slab **out)
{
    slab *s = *out = dcv_alloc(1, sizeof *s);
    dcv_status st = DCV_ENOMEM;
    if (s) {
        s->shape = *shape;
        s->group = g;
        s->pool = p;
        s->rank = group_rank(g);
        s->ranks = ranks_of(shape, group_size(g));
        st = make(s);
    }
    st = group_agree(g, st);
    if (st != DCV_OK) {
        slab_free(s);
        *out = NULL;
    }
    return st;
}

static void inside_free(slab_inside *in, int threads)
{
    pthread_mutex_lock(&planner);
    for (int k = 0; k < N_PLANS; k++)
        if (in->plan[k])
            FFT(destroy_plan)(in->plan[k]);
    pthread_mutex_unlock(&planner);
    for (int t = 0; in->buffer && t < threads; t++)
        dcv_free(in->buffer[t]);
    dcv_free(in->buffer);
    dcv_free(in->send);
    dcv_free(in->arrive);
    dcv_free(in->in);
    dcv_free(in->out);
    dcv_free(in->plane_sums);
    dcv_free(in->batch_sums);
    dcv_free(in->plane_counts);
    dcv_free(in->batch_counts);
    dcv_free(in);
}

void slab_free(slab *s)
{
    if (!s)
        return;
    if (s->in)
        inside_free(s->in, pool_size(s->pool));
    dcv_free(s->work);
    dcv_free(s);
}

/* --- Sums -------------------------------------------------------------------------- */

/* all: [channels][n][SUMS], of which this rank has filled in its own of the n.  Added in the order of n within each
 * channel, channel after channel. */
static void add_up(const slab *s, double *all, int64_t n, const int64_t *count, double *sums, bool maxima)
{
    memset(sums, 0, SLAB_SUMS * sizeof *sums);
    for (int c = 0; c < s->shape.channels; c++) {
        double *of = all + c * n * SLAB_SUMS;
        int64_t at = 0;
        for (int r = 0; r < s->rank; r++)
            at += count[r];
        group_gather(s->group, of + at, of, count);
        for (int64_t i = 0; i < n; i++)
            for (int k = 0; k < SLAB_SUMS; k++) {
                const double v = of[i * SLAB_SUMS + k];
                if (!maxima)
                    sums[k] += v;
                else if (v > sums[k])
                    sums[k] = v;
            }
    }
}

/* --- Planes ------------------------------------------------------------------------ */

typedef struct planes_pass {
    slab *s;
    int how;
    slab_row_fn fn;
    void *ctx;
} planes_pass;

/* Columns of axis 1 within a plane of m1 rows. */
static void plane_columns(const slab *s, real *plane, int which, cplx *buffer)
{
    const int64_t m1 = s->shape.m[1], n = s->shape.m[2] / 2 + 1;
    for (int64_t at = 0; at < n; at += SLAB_LANES) {
        const int64_t lanes = n - at < SLAB_LANES ? n - at : SLAB_LANES;
        const size_t bytes = (size_t)lanes * sizeof(cplx);
        for (int64_t i = 0; i < m1; i++) {
            memcpy(buffer + i * SLAB_LANES, plane + i * s->row + 2 * at, bytes);
            memset(buffer + i * SLAB_LANES + lanes, 0, (size_t)(SLAB_LANES - lanes) * sizeof(cplx));
        }
        cplx *out = buffer + m1 * SLAB_LANES;
        FFT(execute_dft)(s->in->plan[which], (FFT(complex) *)buffer, (FFT(complex) *)out);
        for (int64_t i = 0; i < m1; i++)
            memcpy(plane + i * s->row + 2 * at, out + i * SLAB_LANES, bytes);
    }
}

static void one_plane(void *ctx, int64_t turn, int thread)
{
    const planes_pass *p = ctx;
    slab *s = p->s;
    slab_inside *in = s->in;
    const int64_t m1 = s->shape.m[1], c = turn / s->n_planes, i0 = turn % s->n_planes;
    real *plane = s->work + turn * m1 * s->row;
    slab_row r = {.channel = (int)c, .thread = thread, .i0 = s->first_plane + i0};
    r.sums = in->plane_sums + (c * s->shape.m[0] + r.i0) * SLAB_SUMS;
    memset(r.sums, 0, SLAB_SUMS * sizeof *r.sums);
    if (p->how & SLAB_BACK && m1 > 1)
        plane_columns(s, plane, MID_BACK, in->buffer[thread]);
    for (r.i1 = 0; r.i1 < m1; r.i1++) {
        r.at = plane + r.i1 * s->row;
        if (p->how & SLAB_BACK)
            FFT(execute_dft_c2r)(in->plan[ROW_BACK], (FFT(complex) *)r.at, r.at);
        if (p->fn)
            p->fn(p->ctx, &r);
        if (p->how & SLAB_FORWARD)
            FFT(execute_dft_r2c)(in->plan[ROW_FORWARD], r.at, (FFT(complex) *)r.at);
    }
    if (p->how & SLAB_FORWARD && m1 > 1)
        plane_columns(s, plane, MID_FORWARD, in->buffer[thread]);
}

void slab_planes(slab *s, int how, slab_row_fn fn, void *ctx, double *sums)
{
    planes_pass p = {s, how, fn, ctx};
    pool_run(s->pool, s->shape.channels * s->n_planes, one_plane, &p);
    if (sums)
        add_up(s, s->in->plane_sums, s->shape.m[0], s->in->plane_counts, sums, false);
}

/* --- Columns of axis 0 ------------------------------------------------------------- */

typedef struct columns_pass {
    slab *s;
    int how, channel;
    slab_batch_fn fn;
    void *ctx;
    int64_t k; /* this round: batches k .. of each rank */
} columns_pass;

/* Columns of a batch in this rank's planes, to or from [n_planes][LANES].  A batch may begin in one row
 * of a plane and end in a later one. */
static void copy_batch(const slab *s, int channel, int64_t batch, cplx *buffer, bool gather)
{
    const int64_t mc = s->shape.m[2] / 2 + 1, m1 = s->shape.m[1];
    const int64_t c0 = batch * SLAB_LANES, lanes = s->n_columns - c0 < SLAB_LANES ? s->n_columns - c0 : SLAB_LANES;
    real *planes = s->work + channel * s->n_planes * m1 * s->row;
    for (int64_t lane = 0, n; lane < lanes; lane += n) {
        const int64_t c = c0 + lane, i1 = c / mc, i2 = c % mc;
        n = mc - i2 < lanes - lane ? mc - i2 : lanes - lane;
        real *at = planes + i1 * s->row + 2 * i2;
        cplx *to = buffer + lane;
        const size_t bytes = (size_t)n * sizeof(cplx);
        const int64_t step = m1 * s->row;
        if (gather)
            for (int64_t i = 0; i < s->n_planes; i++, at += step, to += SLAB_LANES)
                memcpy(to, at, bytes);
        else
            for (int64_t i = 0; i < s->n_planes; i++, at += step, to += SLAB_LANES)
                memcpy(at, to, bytes);
    }
    for (int64_t i = 0; gather && lanes < SLAB_LANES && i < s->n_planes; i++)
        memset(buffer + i * SLAB_LANES + lanes, 0, (size_t)(SLAB_LANES - lanes) * sizeof(cplx));
}

/* Columns at, with room for as many: transformed there, seen by fn, and back. */
static void transform(const columns_pass *p, int64_t own, cplx *at, cplx *room, int thread)
{
    slab *s = p->s;
    slab_inside *in = s->in;
    const int64_t batch = s->first_batch + own;
    const bool forward = p->how & SLAB_FORWARD && in->plan[OUT_FORWARD],
               back = p->how & SLAB_BACK && in->plan[OUT_BACK];
    slab_batch b = {p->channel, thread, own, batch * SLAB_LANES, forward || back ? room : at, NULL};
    b.sums = in->batch_sums + (p->channel * s->n_batches + batch) * SLAB_SUMS;
    memset(b.sums, 0, SLAB_SUMS * sizeof *b.sums);
    if (forward)
        FFT(execute_dft)(in->plan[OUT_FORWARD], (FFT(complex) *)at, (FFT(complex) *)room);
    if (p->fn)
        p->fn(p->ctx, &b);
    if (back)
        FFT(execute_dft)(in->plan[OUT_BACK], (FFT(complex) *)room, (FFT(complex) *)at);
}

/* All planes are here. */
static void batch_alone(void *ctx, int64_t own, int thread)
{
    const columns_pass *p = ctx;
    cplx *at = p->s->in->buffer[thread];
    if (p->how & SLAB_FORWARD)
        copy_batch(p->s, p->channel, own, at, true);
    transform(p, own, at, at + p->s->shape.m[0] * SLAB_LANES, thread);
    if (p->how & SLAB_BACK)
        copy_batch(p->s, p->channel, own, at, false);
}

/* Batch g of this round of rank r: its number, -1 if it has fewer. */
static int64_t batch_of(const columns_pass *p, int r, int64_t g)
{
    const int64_t b = batches_before(p->s, r) + p->k + g;
    return b < batches_before(p->s, r + 1) ? b : -1;
}

static cplx *packed(const slab *s, int r, int64_t g)
{
    return s->in->send + (r * s->in->round + g) * s->n_planes * SLAB_LANES;
}

static void pack(void *ctx, int64_t turn, int thread)
{
    const columns_pass *p = ctx;
    const int r = (int)(turn / p->s->in->round);
    const int64_t g = turn % p->s->in->round, b = batch_of(p, r, g);
    (void)thread;
    if (b >= 0)
        copy_batch(p->s, p->channel, b, packed(p->s, r, g), true);
}

static void unpack(void *ctx, int64_t turn, int thread)
{
    const columns_pass *p = ctx;
    const int r = (int)(turn / p->s->in->round);
    const int64_t g = turn % p->s->in->round, b = batch_of(p, r, g);
    (void)thread;
    if (b >= 0)
        copy_batch(p->s, p->channel, b, packed(p->s, r, g), false);
}

static void batch_arrived(void *ctx, int64_t g, int thread)
{
    const columns_pass *p = ctx;
    if (batch_of(p, p->s->rank, g) >= 0)
        transform(p, p->k + g, p->s->in->arrive + g * p->s->shape.m[0] * SLAB_LANES, p->s->in->buffer[thread], thread);
}

/* Own rows of everybody's batches against everybody's rows of own batches.  to_columns: rows leave, columns arrive. */
static void swap(columns_pass *p, bool to_columns)
{
    slab *s = p->s;
    slab_inside *in = s->in;
    const int64_t row = SLAB_LANES * (int64_t)sizeof(cplx);
    int n_rows = 0, n_columns = 0;
    parcel *rows = to_columns ? in->out : in->in, *columns = to_columns ? in->in : in->out;
    for (int r = 0; r < s->ranks; r++)
        for (int64_t g = 0; g < in->round; g++) {
            const int64_t theirs = batch_of(p, r, g), first = planes_before(s, r), n = planes_before(s, r + 1) - first;
            cplx *column = in->arrive + (g * s->shape.m[0] + first) * SLAB_LANES;
            if (r == s->rank && theirs >= 0)
                memcpy(to_columns ? column : packed(s, r, g), to_columns ? packed(s, r, g) : column, (size_t)(n * row));
            if (r == s->rank)
                continue;
            if (theirs >= 0)
                rows[n_rows++] = (parcel){r, packed(s, r, g), s->n_planes * row};
            if (batch_of(p, s->rank, g) >= 0)
                columns[n_columns++] = (parcel){r, column, n * row};
        }
    group_exchange(s->group, in->in, to_columns ? n_columns : n_rows, in->out, to_columns ? n_rows : n_columns);
}

static void columns_together(columns_pass *p)
{
    slab *s = p->s;
    const int64_t round = s->in->round, most = most_part(s->n_batches, s->ranks);
    for (p->k = 0; p->k < most; p->k += round) {
        if (p->how & SLAB_FORWARD) {
            pool_run(s->pool, s->ranks * round, pack, p);
            swap(p, true);
        }
        pool_run(s->pool, round, batch_arrived, p);
        if (p->how & SLAB_BACK) {
            swap(p, false);
            pool_run(s->pool, s->ranks * round, unpack, p);
        }
    }
}

void slab_columns(slab *s, int how, slab_batch_fn fn, void *ctx, double *sums, bool maxima)
{
    for (int c = 0; c < s->shape.channels && s->rank < s->ranks; c++) {
        columns_pass p = {s, how, c, fn, ctx, 0};
        if (s->ranks > 1)
            columns_together(&p);
        else
            pool_run(s->pool, s->n_own, batch_alone, &p);
    }
    if (sums)
        add_up(s, s->in->batch_sums, s->n_batches, s->in->batch_counts, sums, maxima);
}
