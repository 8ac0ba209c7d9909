/* rows.c -- see rows.h.
 *
 * 16 rows side by side: each lane is a row, two samples of which make a complex one.  With h = m / 2, Z the transform
 * of those, w = exp(-2 pi i / m):
 *
 *     X[k] = (Z[k] + conj Z[h-k]) / 2 - i w^k (Z[k] - conj Z[h-k]) / 2
 *     back: Z[k] = (X[k] + conj X[h-k]) + i w^-k (X[k] - conj X[h-k])
 *
 * Rows of an odd number of samples are transformed as complex ones without imaginary parts; those of other lengths, or
 * few, one at a time by FFTW.
 */
#include <fftw3.h>
#include <math.h>
#include <string.h>

#include "deblur/slab/planner.h"
#include "deblur/slab/rows.h"
#include "deblur/slab/transpose.h"
#include "deconvoy/memory.h"

struct rows {
    int64_t m, h, chunks, row; /* reals from row to row */
    lanes *side;               /* of h, or of an odd m; NULL: one by one */
    int64_t apart;             /* reals from a sample to the next in the lanes: PAIR if m is odd */
    real *turn;                /* [h + 1][2]: w^k */
    FFT(plan) forward, back;
};

static bool side_by_side(int64_t m, bool many)
{
    return many && m > 1 && lanes_smooth(m);
}

static int64_t apart_of(int64_t m)
{
    return m % 2 ? PAIR : LANES;
}

int64_t rows_most(int64_t m, bool many)
{
    return side_by_side(m, many) ? LANES : 1;
}

int64_t rows_room(int64_t m, bool many)
{
    const int64_t row = row_chunks(m) * PAIR;
    return side_by_side(m, many) ? LANES * row + m * apart_of(m) : row;
}

int64_t rows_bytes(int64_t m, bool many)
{
    const int64_t turns = m / 2 + 1, fftw = 4 * m;
    if (!side_by_side(m, many))
        return fftw * (int64_t)sizeof(real);
    return lanes_bytes(m % 2 ? m : m / 2) + 2 * turns * (int64_t)sizeof(real);
}

static dcv_status make_side_by_side(rows *r)
{
    r->apart = apart_of(r->m);
    DCV_TRY(lanes_new(r->m % 2 ? r->m : r->h, &r->side));
    r->turn = dcv_alloc((size_t)r->h + 1, 2 * sizeof *r->turn);
    if (!r->turn)
        return DCV_ENOMEM;
    for (int64_t k = 0; k <= r->h; k++) {
        r->turn[2 * k] = (real)cos(-2 * M_PI * (double)k / (double)r->m);
        r->turn[2 * k + 1] = (real)sin(-2 * M_PI * (double)k / (double)r->m);
    }
    return DCV_OK;
}

static dcv_status make_plain(rows *r)
{
    real *at = dcv_alloc((size_t)r->row, sizeof *at);
    if (!at)
        return DCV_ENOMEM;
    pthread_mutex_lock(&dcv_fftw_planner);
    r->forward = FFT(plan_dft_r2c_1d)((int)r->m, at, (FFT(complex) *)at, FFTW_ESTIMATE);
    r->back = FFT(plan_dft_c2r_1d)((int)r->m, (FFT(complex) *)at, at, FFTW_ESTIMATE);
    pthread_mutex_unlock(&dcv_fftw_planner);
    dcv_free(at);
    return r->forward && r->back ? DCV_OK : dcv_fail(DCV_ENOMEM, "FFTW cannot plan %lld samples", (long long)r->m);
}

dcv_status rows_new(int64_t m, bool many, rows **out)
{
    rows *r = *out = dcv_alloc(1, sizeof *r);
    if (!r)
        return DCV_ENOMEM;
    r->m = m;
    r->h = m / 2;
    r->chunks = row_chunks(m);
    r->row = r->chunks * PAIR;
    const dcv_status st = side_by_side(m, many) ? make_side_by_side(r) : make_plain(r);
    if (st != DCV_OK) {
        rows_free(r);
        *out = NULL;
    }
    return st;
}

void rows_free(rows *r)
{
    if (!r)
        return;
    lanes_free(r->side);
    dcv_free(r->turn);
    pthread_mutex_lock(&dcv_fftw_planner);
    if (r->forward)
        FFT(destroy_plan)(r->forward);
    if (r->back)
        FFT(destroy_plan)(r->back);
    pthread_mutex_unlock(&dcv_fftw_planner);
    dcv_free(r);
}

real *rows_at(const rows *r, real *room, int64_t i)
{
    return room + i * r->row;
}

void rows_plain(const rows *r, bool back, real *at)
{
    if (back)
        FFT(execute_dft_c2r)(r->back, (FFT(complex) *)at, at);
    else
        FFT(execute_dft_r2c)(r->forward, at, (FFT(complex) *)at);
}

/* --- One by one -------------------------------------------------------------------- */

ROW_LOOP static void join_pairs(const real *restrict base, int64_t step, int64_t chunks, real *restrict to)
{
    for (int64_t b = 0; b < chunks; b++, base += step, to += PAIR)
        for (int l = 0; l < LANES; l++) {
            to[2 * l] = base[l];
            to[2 * l + 1] = base[LANES + l];
        }
}

ROW_LOOP static void split_pairs(const real *restrict from, int64_t step, int64_t chunks, real *restrict base)
{
    for (int64_t b = 0; b < chunks; b++, base += step, from += PAIR)
        for (int l = 0; l < LANES; l++) {
            base[l] = from[2 * l];
            base[LANES + l] = from[2 * l + 1];
        }
}

/* --- Side by side ------------------------------------------------------------------ */

/* [chunks * LANES][2][LANES]: columns by lanes that are rows. */
ROW_LOOP static void turn_in(const real *restrict base, int64_t step, int64_t chunks, real *restrict x)
{
    for (int64_t b = 0; b < chunks; b++, base += step, x += LANES * PAIR) {
        transpose16(base, PAIR, x, PAIR);
        transpose16(base + LANES, PAIR, x + LANES, PAIR);
    }
}

/* Chunk by chunk, of fewer than 16 rows. */
static void turn_in_few(const real *base, int64_t step, int64_t chunks, int64_t n, real *x)
{
    _Alignas(64) real block[LANES * PAIR] = {0};
    for (int64_t b = 0; b < chunks; b++, base += step, x += LANES * PAIR) {
        memcpy(block, base, (size_t)(n * PAIR) * sizeof *block);
        turn_in(block, 0, 1, x);
    }
}

/* z[k] from x[k] and x[h-k] as above; what is imaginary at 0 and h counts as 0. */
FULLY_INLINE void fold(const real *restrict x, const real *restrict y, const real *w, real *restrict z)
{
    const real c = w[0], s = w[1];
    for (int l = 0; l < LANES; l++) {
        const real er = x[l] + y[l], ei = x[LANES + l] - y[LANES + l];
        const real dr = x[l] - y[l], di = x[LANES + l] + y[LANES + l];
        z[l] = er - (c * di - s * dr);
        z[LANES + l] = ei + (c * dr + s * di);
    }
}

ROW_LOOP static void fold_pairs(const rows *r, const real *restrict x, real *restrict z)
{
    const int64_t *place = lanes_places(r->side);
    _Alignas(64) real ends[2 * PAIR] = {0};
    memcpy(ends, x, LANES * sizeof *ends);
    memcpy(ends + PAIR, x + r->h * PAIR, LANES * sizeof *ends);
    fold(ends, ends + PAIR, r->turn, z + place[0] * PAIR);
    for (int64_t k = 1; k < r->h; k++)
        fold(x + k * PAIR, x + (r->h - k) * PAIR, r->turn + 2 * k, z + place[k] * PAIR);
}

/* An odd m: z[k] = x[k], z[m-k] = conj x[k]. */
ROW_LOOP static void fold_odd(const rows *r, const real *restrict x, real *restrict z)
{
    const int64_t *place = lanes_places(r->side);
    memcpy(z + place[0] * PAIR, x, LANES * sizeof *z);
    memset(z + place[0] * PAIR + LANES, 0, LANES * sizeof *z);
    for (int64_t k = 1; k <= r->h; k++) {
        real *restrict there = z + place[k] * PAIR, *restrict mirrored = z + place[r->m - k] * PAIR;
        for (int l = 0; l < LANES; l++) {
            there[l] = mirrored[l] = x[k * PAIR + l];
            there[LANES + l] = x[k * PAIR + LANES + l];
            mirrored[LANES + l] = -x[k * PAIR + LANES + l];
        }
    }
}

/* x[k] from z[k] and z[h-k]. */
FULLY_INLINE void unfold(const real *restrict z, const real *restrict y, const real *w, real *restrict x)
{
    const real c = w[0] * REAL_C(0.5), s = w[1] * REAL_C(0.5), half = REAL_C(0.5);
    for (int l = 0; l < LANES; l++) {
        const real er = half * (z[l] + y[l]), ei = half * (z[LANES + l] - y[LANES + l]);
        const real dr = z[l] - y[l], di = z[LANES + l] + y[LANES + l];
        x[l] = er + (c * di + s * dr);
        x[LANES + l] = ei - (c * dr - s * di);
    }
}

FULLY_INLINE void turn_out(const real *restrict x, real *restrict base)
{
    transpose16(x, PAIR, base, PAIR);
    transpose16(x + LANES, PAIR, base + LANES, PAIR);
}

ROW_LOOP static void unfold_all(const rows *r, const real *restrict z, real *restrict base, int64_t step, int64_t n)
{
    const int64_t *place = lanes_places(r->side);
    _Alignas(64) real x[LANES * PAIR], block[LANES * PAIR];
    for (int64_t b = 0; b < r->chunks; b++, base += step) {
        for (int64_t l = 0; l < LANES; l++) {
            const int64_t k = b * LANES + l;
            if (k > r->h)
                memset(x + l * PAIR, 0, PAIR * sizeof *x);
            else if (r->m % 2)
                memcpy(x + l * PAIR, z + place[k] * PAIR, PAIR * sizeof *x);
            else
                unfold(z + place[k < r->h ? k : 0] * PAIR, z + place[k > 0 && k < r->h ? r->h - k : 0] * PAIR,
                       r->turn + 2 * k, x + l * PAIR);
        }
        turn_out(x, n == LANES ? base : block);
        if (n < LANES)
            memcpy(base, block, (size_t)(n * PAIR) * sizeof *base);
    }
}

/* Samples by lanes, apart from each other, to rows of samples and back. */
ROW_LOOP static void lanes_to_rows(const real *restrict z, int64_t apart, int64_t m, real *restrict row, int64_t step)
{
    int64_t k = 0;
    for (; k + LANES <= m; k += LANES)
        transpose16(z + k * apart, apart, row + k, step);
    for (; k < m; k++)
        for (int l = 0; l < LANES; l++)
            row[l * step + k] = z[k * apart + l];
}

ROW_LOOP static void rows_to_lanes(const real *restrict row, int64_t step, int64_t m, real *restrict z, int64_t apart)
{
    int64_t k = 0;
    for (; k + LANES <= m; k += LANES)
        transpose16(row + k, step, z + k * apart, apart);
    for (; k < m; k++)
        for (int l = 0; l < LANES; l++)
            z[k * apart + l] = row[l * step + k];
    for (k = 0; apart > LANES && k < m; k++)
        memset(z + k * apart + LANES, 0, LANES * sizeof *z);
}

/* --- Either ------------------------------------------------------------------------- */

void rows_back(const rows *r, const real *base, int64_t step, int64_t n, real *room)
{
    if (!r->side) {
        join_pairs(base, step, r->chunks, room);
        rows_plain(r, true, room);
        return;
    }
    real *z = room + LANES * r->row;
    if (n == LANES)
        turn_in(base, step, r->chunks, room);
    else
        turn_in_few(base, step, r->chunks, n, room);
    if (r->m % 2)
        fold_odd(r, room, z);
    else
        fold_pairs(r, room, z);
    lanes_run(r->side, LANES_BACK, z, NULL, NULL);
    lanes_to_rows(z, r->apart, r->m, room, r->row);
}

void rows_forward(const rows *r, real *base, int64_t step, int64_t n, real *room)
{
    if (!r->side) {
        rows_plain(r, false, room);
        memset(room + 2 * (r->h + 1), 0, (size_t)(r->row - 2 * (r->h + 1)) * sizeof *room);
        split_pairs(room, step, r->chunks, base);
        return;
    }
    real *z = room + LANES * r->row;
    rows_to_lanes(room, r->row, r->m, z, r->apart);
    lanes_run(r->side, LANES_FORWARD, z, NULL, NULL);
    unfold_all(r, z, base, step, n);
}
