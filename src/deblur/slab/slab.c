/* slab.c -- see slab.h.
 *
 * Why every byte is the same whatever the distribution: a row and a column are transformed each in a lane of its own,
 * by sums that neither the other lanes nor the number of the lane change (lanes.h, rows.h).
 *
 * Spectra lie as [channels][n_batches][planes of the node][2][LANES], in memory that the ranks of a node share: each
 * writes its planes there and finds the columns of its batches complete where they are.  Between nodes a batch is
 * exchanged in rounds: all planes of a node go in one message, through the rank that has the same number there as the
 * batch's has on its node; the next round is under way while one is transformed.
 *
 * Where planes have more than one row, the rows of a plane
 * are gathered in a buffer of the thread that has the same layout, with rows in place of planes; there, columns go from
 * one row to the next without a gap, so that the batches of axis 0 have none.
 */
#include <limits.h>
#include <string.h>

#include "deblur/slab/rows.h"
#include "deblur/slab/slab.h"
#include "deconvoy/memory.h"
#include "deconvoy/tensor.h"

#define MESSAGE_BYTES (128 << 10) /* to each peer, in the mean, so that latency does not count */
#define MOST_BATCHES  64          /* of a rank in one round of exchange */
#define SLOTS         2           /* one round is under way while the other is transformed */
#define FEW_ROWS      4           /* of the whole frame: not worth 16 lanes */
#define WAY_BYTES     4096        /* distances of a multiple of it crowd the same sets of a cache */
#define AHEAD         16          /* batches, when a plane is gathered */
#define PAIR_BYTES    (PAIR * (int64_t)sizeof(real))

typedef struct slab_inside {
    rows *rows;
    lanes *mid, *out;                /* axes 1 and 0 */
    int64_t step;                    /* reals from a batch to the next */
    int64_t near_first, near;        /* planes of this node */
    int64_t chunks;                  /* batches that a single row fills */
    real *work;                      /* spectra, see above */
    size_t shared;                   /* bytes of it that the node shares; 0: this rank's own */
    real **room, **plane, **line;    /* [threads]: for rows; a plane's spectrum; a row's columns, apart (m1 > 1) */
    int nodes;                       /* with planes */
    int64_t round;                   /* batches of a rank exchanged at a time; 0: one node */
    real *arrive;                    /* [SLOTS][round][m0][2][LANES] */
    parcel *in, *away;               /* [ranks][round] */
    double *plane_sums, *batch_sums; /* [channels][m0][SUMS], [channels][n_batches][SUMS] */
    int64_t *plane_counts, *batch_counts;
} slab_inside;

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

/* Reals from a batch to the next. */
static int64_t step_of(int64_t n_planes)
{
    return (n_planes + (n_planes * PAIR_BYTES % WAY_BYTES == 0)) * PAIR;
}

static bool many_rows(const slab_shape *shape)
{
    return shape->m[0] >= FEW_ROWS || shape->m[1] >= FEW_ROWS;
}

static int64_t round_of(const slab_shape *shape, int ranks, int nodes, int threads)
{
    const int64_t piece = most_part(shape->m[0], nodes) * PAIR_BYTES;
    int64_t n = (MESSAGE_BYTES + piece - 1) / piece;
    if (n < threads)
        n = threads;
    if (n > MOST_BATCHES)
        n = MOST_BATCHES;
    const int64_t own = most_part(batches_of(shape), ranks);
    return n < own ? n : own;
}

static int64_t plane_reals(const slab_shape *shape)
{
    return shape->m[1] > 1 ? row_chunks(shape->m[2]) * step_of(shape->m[1]) : 0;
}

/* Of a row's columns, real or imaginary parts: what is left over of the row before, and a chunk to spare. */
static int64_t line_reals(const slab_shape *shape)
{
    return shape->m[1] > 1 ? (row_chunks(shape->m[2]) + 2) * LANES : 0;
}

int64_t slab_bytes(const slab_shape *shape, int ranks, int near, int threads)
{
    const int p = ranks_of(shape, ranks), nodes = near < p ? (p + near - 1) / near : 1;
    const int64_t round = nodes > 1 ? round_of(shape, p, nodes, threads) : 0;
    const int64_t each = rows_room(shape->m[2], many_rows(shape)) + plane_reals(shape) + 2 * line_reals(shape);
    const int64_t tables =
        lanes_bytes(shape->m[0]) + lanes_bytes(shape->m[1]) + rows_bytes(shape->m[2], many_rows(shape));
    return tables +
           (shape->channels * batches_of(shape) * step_of(most_part(shape->m[0], p)) + threads * each) *
               (int64_t)sizeof(real) +
           SLOTS * round * shape->m[0] * PAIR_BYTES +
           shape->channels * (shape->m[0] + batches_of(shape)) * SLAB_SUMS * 8;
}

static dcv_status check_shape(const slab_shape *shape, int ranks)
{
    dcv_dims all = {4, {shape->channels, batches_of(shape), shape->m[0], PAIR}};
    for (int a = 0; a < 3; a++)
        if (shape->m[a] < 1 || shape->m[a] > INT_MAX - 64)
            return dcv_fail(DCV_EDATA, "an axis of %lld samples once padded; FFTW takes at most %d: cut the data",
                            (long long)shape->m[a], INT_MAX - 64);
    DCV_TRY(dcv_dims_check(&all));
    if (ranks > 1 && most_part(shape->m[0], ranks) > INT_MAX / PAIR_BYTES)
        return dcv_fail(DCV_EDATA, "%lld rows on each of %d ranks: use more ranks, or make the last axis the longest",
                        (long long)most_part(shape->m[0], ranks), ranks);
    return DCV_OK;
}

/* n reals for each thread; 0: none. */
static real **for_threads(int threads, int64_t n)
{
    real **all = dcv_alloc((size_t)threads, sizeof *all);
    for (int t = 0; all && n && t < threads; t++)
        if (!(all[t] = dcv_alloc((size_t)n, sizeof **all)))
            break;
    return all;
}

static bool complete(real *const *all, int threads, int64_t n)
{
    return all && (!n || all[threads - 1]);
}

static dcv_status make_buffers(slab *s)
{
    slab_inside *in = s->in;
    const slab_shape *f = &s->shape;
    const int threads = pool_size(s->pool), size = group_size(s->group);
    const int64_t room = rows_room(f->m[2], many_rows(f));
    in->room = for_threads(threads, room);
    in->plane = for_threads(threads, plane_reals(f));
    in->line = for_threads(threads, 2 * line_reals(f));
    in->round = in->nodes > 1 ? round_of(f, s->ranks, in->nodes, threads) : 0;
    in->arrive = dcv_alloc((size_t)(SLOTS * in->round), (size_t)(f->m[0] * PAIR_BYTES));
    in->in = dcv_alloc((size_t)(s->ranks * in->round), sizeof *in->in);
    in->away = dcv_alloc((size_t)(s->ranks * in->round), sizeof *in->away);
    in->plane_sums = dcv_alloc((size_t)(f->channels * f->m[0]), SLAB_SUMS * sizeof(double));
    in->batch_sums = dcv_alloc((size_t)(f->channels * s->n_batches), SLAB_SUMS * sizeof(double));
    in->plane_counts = dcv_alloc((size_t)size, sizeof *in->plane_counts);
    in->batch_counts = dcv_alloc((size_t)size, sizeof *in->batch_counts);
    return complete(in->room, threads, room) && complete(in->plane, threads, plane_reals(f)) &&
                   complete(in->line, threads, line_reals(f)) && in->arrive && in->in && in->away && in->plane_sums &&
                   in->batch_sums && in->plane_counts && in->batch_counts
               ? DCV_OK
               : DCV_ENOMEM;
}

static dcv_status make_plans(const slab *s)
{
    DCV_TRY(rows_new(s->shape.m[2], many_rows(&s->shape), &s->in->rows));
    DCV_TRY(lanes_new(s->shape.m[1], &s->in->mid));
    return lanes_new(s->shape.m[0], &s->in->out);
}

static int64_t planes_before(const slab *s, int rank)
{
    return part_first(s->shape.m[0], rank < s->ranks ? rank : s->ranks, s->ranks);
}

static int64_t batches_before(const slab *s, int rank)
{
    return part_first(s->n_batches, rank < s->ranks ? rank : s->ranks, s->ranks);
}

/* Ranks of a node that have planes. */
static int ranks_on(const slab *s, int node)
{
    const int first = group_node_first(s->group, node), end = group_node_first(s->group, node + 1);
    return first >= s->ranks ? 0 : (end < s->ranks ? end : s->ranks) - first;
}

static int64_t planes_before_node(const slab *s, int node)
{
    return planes_before(s, group_node_first(s->group, node));
}

static void find_nodes(slab *s)
{
    const int node = group_node(s->group);
    for (int k = 0; k < group_nodes(s->group); k++)
        s->in->nodes += ranks_on(s, k) > 0;
    s->in->near_first = planes_before_node(s, node);
    s->in->near = planes_before_node(s, node + 1) - s->in->near_first;
    s->in->step = s->in->near ? step_of(s->in->near) : 0;
}

static dcv_status make(slab *s)
{
    DCV_TRY(check_shape(&s->shape, s->ranks));
    s->n_columns = columns_of(&s->shape);
    s->n_batches = batches_of(&s->shape);
    s->first_plane = planes_before(s, s->rank);
    s->n_planes = planes_before(s, s->rank + 1) - s->first_plane;
    s->first_batch = batches_before(s, s->rank);
    s->n_own = batches_before(s, s->rank + 1) - s->first_batch;
    s->in = dcv_alloc(1, sizeof *s->in);
    if (!s->in)
        return DCV_ENOMEM;
    find_nodes(s);
    s->in->chunks = row_chunks(s->shape.m[2]);
    DCV_TRY(make_buffers(s));
    for (int r = 0; r < group_size(s->group); r++) {
        s->in->plane_counts[r] = (planes_before(s, r + 1) - planes_before(s, r)) * SLAB_SUMS;
        s->in->batch_counts[r] = (batches_before(s, r + 1) - batches_before(s, r)) * SLAB_SUMS;
    }
    return make_plans(s);
}

/* The spectra.  Each rank takes an equal part of what the node shares from the system, for it to lie near. */
static dcv_status make_work(slab *s)
{
    slab_inside *in = s->in;
    const int node = group_node(s->group), first = group_node_first(s->group, node), active = ranks_on(s, node);
    const size_t n = (size_t)(s->shape.channels * s->n_batches), each = (size_t)in->step * sizeof(real);
    if (group_node_first(s->group, node + 1) - first == 1 || !each) {
        in->work = dcv_alloc_streamed(n, each);
    } else {
        const int mine = s->rank - first < active ? s->rank - first : active;
        in->work = group_share(s->group, n * each, (size_t)part_first((int64_t)(n * each), mine, active),
                               (size_t)part_first((int64_t)(n * each), mine < active ? mine + 1 : active, active));
        in->shared = in->work ? n * each : 0;
    }
    return in->work ? DCV_OK : DCV_ENOMEM;
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
    if (st == DCV_OK)
        st = group_agree(g, make_work(s));
    if (st != DCV_OK) {
        slab_free(s);
        *out = NULL;
    }
    return st;
}

static void free_for_threads(real **all, int threads)
{
    for (int t = 0; all && t < threads; t++)
        dcv_free(all[t]);
    dcv_free(all);
}

static void inside_free(slab_inside *in, int threads)
{
    rows_free(in->rows);
    lanes_free(in->mid);
    lanes_free(in->out);
    free_for_threads(in->room, threads);
    free_for_threads(in->plane, threads);
    free_for_threads(in->line, threads);
    if (in->shared)
        group_unshare(in->work, in->shared);
    else
        dcv_free(in->work);
    dcv_free(in->arrive);
    dcv_free(in->in);
    dcv_free(in->away);
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
    dcv_free(s);
}

int64_t slab_wave(const slab *s, int axis, int64_t place)
{
    return lanes_wave(axis ? s->in->mid : s->in->out, place);
}

/* Spectra of this node's planes in batch b. */
static real *near_at(const slab *s, int channel, int64_t b)
{
    return s->in->work + (channel * s->n_batches + b) * s->in->step;
}

/* Spectrum of plane i of this rank in batch b. */
static real *chunk_at(const slab *s, int channel, int64_t b, int64_t i)
{
    return near_at(s, channel, b) + (s->first_plane - s->in->near_first + i) * PAIR;
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
    int64_t most; /* rows at a time */
} planes_pass;

static double *sums_of(const slab *s, int channel, int64_t i0)
{
    return s->in->plane_sums + (channel * s->shape.m[0] + i0) * SLAB_SUMS;
}

/* n rows that follow each other, along axis 0 (where planes have one row) or 1, from first on. */
static void few_rows(const planes_pass *p, slab_row first, real *base, int64_t step, int64_t n)
{
    const slab_inside *in = p->s->in;
    real *room = in->room[first.thread];
    const bool along0 = p->s->shape.m[1] == 1;
    if (p->how & SLAB_BACK)
        rows_back(in->rows, base, step, n, room);
    for (int64_t i = 0; i < n; i++) {
        slab_row r = first;
        r.i0 += along0 ? i : 0;
        r.i1 += along0 ? 0 : i;
        r.at = rows_at(in->rows, room, i);
        r.sums = sums_of(p->s, r.channel, r.i0);
        p->fn(p->ctx, &r);
    }
    if (p->how & SLAB_FORWARD)
        rows_forward(in->rows, base, step, n, room);
}

/* Planes of one row each, as many as go together. */
static void thin_planes(void *ctx, int64_t turn, int thread)
{
    const planes_pass *p = ctx;
    slab *s = p->s;
    const int64_t groups = (s->n_planes + p->most - 1) / p->most, i = turn % groups * p->most;
    const int64_t n = s->n_planes - i < p->most ? s->n_planes - i : p->most;
    const slab_row r = {.channel = (int)(turn / groups), .thread = thread, .i0 = s->first_plane + i};
    memset(sums_of(s, r.channel, r.i0), 0, (size_t)(n * SLAB_SUMS) * sizeof(double));
    few_rows(p, r, chunk_at(s, r.channel, 0, i), s->in->step, n);
}

FULLY_INLINE void copy_lanes(real *restrict to, const real *restrict from)
{
    for (int l = 0; l < LANES; l++)
        to[l] = from[l];
}

/* Columns of plane i of this rank to its rows' chunks. */
ROW_LOOP static void plane_in(const slab *s, int channel, int64_t i, real *plane, real *line)
{
    const int64_t m1 = s->shape.m[1], mc = s->shape.m[2] / 2 + 1, step = step_of(m1), apart = line_reals(&s->shape);
    for (int64_t i1 = 0; i1 < m1; i1++) {
        const int64_t c = i1 * mc, skip = c % LANES, last = (c + mc - 1) / LANES;
        for (int64_t b = c / LANES, k = 0; b <= last; b++, k += LANES) {
            const real *from = chunk_at(s, channel, b, i);
            if (b + AHEAD < s->n_batches)
                PREFETCH(from + AHEAD * s->in->step), PREFETCH(from + AHEAD * s->in->step + LANES);
            copy_lanes(line + k, from);
            copy_lanes(line + apart + k, from + LANES);
        }
        for (int64_t b = 0; b < s->in->chunks; b++) {
            real *to = plane + b * step + i1 * PAIR;
            copy_lanes(to, line + skip + b * LANES);
            copy_lanes(to + LANES, line + apart + skip + b * LANES);
        }
    }
}

/* And back. */
ROW_LOOP static void plane_out(const slab *s, int channel, int64_t i, const real *plane, real *line)
{
    const int64_t m1 = s->shape.m[1], mc = s->shape.m[2] / 2 + 1, step = step_of(m1), apart = line_reals(&s->shape);
    int64_t held = 0, batch = 0; /* columns in the line; the batch that they begin */
    for (int64_t i1 = 0; i1 < m1; i1++) {
        for (int64_t b = 0; b < s->in->chunks; b++) {
            const real *from = plane + b * step + i1 * PAIR;
            copy_lanes(line + held + b * LANES, from);
            copy_lanes(line + apart + held + b * LANES, from + LANES);
        }
        held += mc;
        int64_t k = 0;
        for (; k + LANES <= held || (i1 == m1 - 1 && k < held); k += LANES, batch++) {
            real *to = chunk_at(s, channel, batch, i);
            copy_lanes(to, line + k);
            copy_lanes(to + LANES, line + apart + k);
        }
        held -= k;
        if (k) {
            copy_lanes(line, line + k);
            copy_lanes(line + apart, line + apart + k);
        }
    }
}

static void plane_columns(const slab *s, int how, real *plane)
{
    for (int64_t b = 0; b < s->in->chunks; b++)
        lanes_run(s->in->mid, how, plane + b * step_of(s->shape.m[1]), NULL, NULL);
}

/* A plane of several rows. */
static void thick_plane(void *ctx, int64_t turn, int thread)
{
    const planes_pass *p = ctx;
    slab *s = p->s;
    const int64_t m1 = s->shape.m[1], i = turn % s->n_planes;
    real *plane = s->in->plane[thread], *line = s->in->line[thread];
    slab_row r = {.channel = (int)(turn / s->n_planes), .thread = thread, .i0 = s->first_plane + i};
    memset(sums_of(s, r.channel, r.i0), 0, SLAB_SUMS * sizeof(double));
    if (p->how & SLAB_BACK) {
        plane_in(s, r.channel, i, plane, line);
        plane_columns(s, LANES_BACK, plane);
    }
    for (; r.i1 < m1; r.i1 += p->most)
        few_rows(p, r, plane + r.i1 * PAIR, step_of(m1), m1 - r.i1 < p->most ? m1 - r.i1 : p->most);
    if (p->how & SLAB_FORWARD) {
        plane_columns(s, LANES_FORWARD, plane);
        plane_out(s, r.channel, i, plane, line);
    }
}

void slab_planes(slab *s, int how, slab_row_fn fn, void *ctx, double *sums)
{
    planes_pass p = {s, how, fn, ctx, rows_most(s->shape.m[2], many_rows(&s->shape))};
    if (s->shape.m[1] == 1)
        pool_run(s->pool, s->shape.channels * ((s->n_planes + p.most - 1) / p.most), thin_planes, &p);
    else
        pool_run(s->pool, s->shape.channels * s->n_planes, thick_plane, &p);
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

typedef struct part {
    const columns_pass *p;
    slab_batch b;
} part;

static void see_part(void *ctx, int64_t first, int64_t n, real *at)
{
    part *q = ctx;
    q->b.place = first;
    q->b.n = n;
    q->b.at = at;
    q->p->fn(q->p->ctx, &q->b);
}

/* A batch, all of whose planes are at. */
static void transform(const columns_pass *p, int64_t own, real *at, int thread)
{
    slab *s = p->s;
    const int64_t batch = s->first_batch + own;
    part q = {p, {.channel = p->channel, .thread = thread, .own = own, .first = batch * SLAB_LANES}};
    q.b.sums = s->in->batch_sums + (p->channel * s->n_batches + batch) * SLAB_SUMS;
    memset(q.b.sums, 0, SLAB_SUMS * sizeof *q.b.sums);
    lanes_run(s->in->out, p->how, at, p->fn ? see_part : NULL, &q);
}

static void batch_alone(void *ctx, int64_t own, int thread)
{
    const columns_pass *p = ctx;
    transform(p, own, near_at(p->s, p->channel, p->s->first_batch + own), thread);
}

/* Batch g of the round from k on of rank r: its number, -1 if it has fewer. */
static int64_t batch_of(const slab *s, int r, int64_t k, int64_t g)
{
    const int64_t b = batches_before(s, r) + k + g;
    return b < batches_before(s, r + 1) ? b : -1;
}

/* Where batch g of this rank's round from k on is put together. */
static real *whole_at(const slab *s, int64_t k, int64_t g)
{
    return s->in->arrive + (k / s->in->round % SLOTS * s->in->round + g) * s->shape.m[0] * PAIR;
}

static void batch_arrived(void *ctx, int64_t g, int thread)
{
    const columns_pass *p = ctx;
    const slab *s = p->s;
    const int64_t b = batch_of(s, s->rank, p->k, g);
    if (b < 0)
        return;
    real *at = whole_at(s, p->k, g), *near = near_at(s, p->channel, b), *here = at + s->in->near_first * PAIR;
    if (p->how & SLAB_FORWARD)
        memcpy(here, near, (size_t)(s->in->near * PAIR_BYTES));
    transform(p, p->k + g, at, thread);
    if (p->how & SLAB_BACK)
        memcpy(near, here, (size_t)(s->in->near * PAIR_BYTES));
}

/* The other nodes' planes of this rank's batches. */
static int parcels_of_columns(const columns_pass *p, int64_t k, parcel *to)
{
    const slab *s = p->s;
    const int here = group_node(s->group), mine = s->rank - group_node_first(s->group, here);
    int n = 0;
    for (int node = 0; node < s->in->nodes; node++) {
        const int64_t first = planes_before_node(s, node), planes = planes_before_node(s, node + 1) - first;
        const int peer = group_node_first(s->group, node) + mine % ranks_on(s, node);
        for (int64_t g = 0; node != here && g < s->in->round && batch_of(s, s->rank, k, g) >= 0; g++)
            to[n++] = (parcel){peer, whole_at(s, k, g) + first * PAIR, planes * PAIR_BYTES};
    }
    return n;
}

/* This node's planes of the batches of those ranks of other nodes that this one serves. */
static int parcels_of_planes(const columns_pass *p, int64_t k, parcel *to)
{
    const slab *s = p->s;
    const int here = group_node(s->group), mine = s->rank - group_node_first(s->group, here);
    int n = 0;
    for (int node = 0; node < s->in->nodes; node++)
        for (int i = mine; node != here && i < ranks_on(s, node); i += ranks_on(s, here)) {
            const int peer = group_node_first(s->group, node) + i;
            for (int64_t g = 0, b; g < s->in->round && (b = batch_of(s, peer, k, g)) >= 0; g++)
                to[n++] = (parcel){peer, near_at(s, p->channel, b), s->in->near * PAIR_BYTES};
        }
    return n;
}

/* Planes leave and columns arrive, or the other way round. */
enum { TO_COLUMNS, TO_PLANES };

static void begin(const columns_pass *p, int way, int64_t k)
{
    slab_inside *in = p->s->in;
    const bool there = way == TO_COLUMNS;
    const int n_columns = parcels_of_columns(p, k, there ? in->in : in->away);
    const int n_planes = parcels_of_planes(p, k, there ? in->away : in->in);
    group_begin(p->s->group, way, in->in, there ? n_columns : n_planes, in->away, there ? n_planes : n_columns);
}

static void columns_of_nodes(columns_pass *p)
{
    slab *s = p->s;
    const int64_t round = s->in->round, most = most_part(s->n_batches, s->ranks);
    if (p->how & SLAB_FORWARD)
        begin(p, TO_COLUMNS, 0);
    for (p->k = 0; p->k < most; p->k += round) {
        group_end(s->group, TO_COLUMNS);
        group_end(s->group, TO_PLANES); /* the round before: its slot is the next one's */
        if (p->how & SLAB_FORWARD && p->k + round < most)
            begin(p, TO_COLUMNS, p->k + round);
        pool_run(s->pool, round, batch_arrived, p);
        if (p->how & SLAB_BACK)
            begin(p, TO_PLANES, p->k);
    }
    group_end(s->group, TO_PLANES);
}

void slab_columns(slab *s, int how, slab_batch_fn fn, void *ctx, double *sums, bool maxima)
{
    group_meet(s->group);
    for (int c = 0; c < s->shape.channels && s->rank < s->ranks; c++) {
        columns_pass p = {s, how, c, fn, ctx, 0};
        if (s->in->nodes > 1)
            columns_of_nodes(&p);
        else
            pool_run(s->pool, s->n_own, batch_alone, &p);
    }
    group_meet(s->group);
    if (sums)
        add_up(s, s->in->batch_sums, s->n_batches, s->in->batch_counts, sums, maxima);
}
