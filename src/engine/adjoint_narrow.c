/* adjoint_narrow.c -- first layers walked back: few channels, in plain layout.
 *
 * Sums run along the 16 channels of a block and are added up at the end, so that nothing is wasted on channels that
 * the picture does not have.  Packed weights: [row class][column class][output block][kernel row][kernel column]
 * [channel][16], taps from the last to the first.
 */
#include <string.h>
#include "engine/adjoint_tile.h"

enum { B = 16, MAX_CHANNELS = 4, CELLS = 8 };

bool dcv_adjoint_narrow_takes(const dcv_conv_desc *d)
{
    return d->groups == 1 && d->ic <= MAX_CHANNELS && (d->n_space == 1 || d->n_space == 2) &&
           (d->win[0].stride == 1 || d->win[0].dilation == 1) &&
           (d->win[d->n_space - 1].stride == 1 || d->win[d->n_space - 1].dilation == 1);
}

void dcv_adjoint_narrow_plan(const dcv_conv_desc *d, dcv_adjoint_narrow *t)
{
    *t = (dcv_adjoint_narrow){.d = *d, .oc_blocks = (d->oc + B - 1) / B};
    dcv_class_axes(d, t->in, t->out, t->win);
}

static int64_t taps(const dcv_adjoint_narrow *t)
{
    return t->win[0].kernel * t->win[1].kernel;
}

size_t dcv_adjoint_narrow_packed_bytes(const dcv_adjoint_narrow *t)
{
    return (size_t)(taps(t) * t->oc_blocks * t->d.ic * B) * sizeof(float);
}

/* Columns of the signal that n cells read. */
static int64_t span(const dcv_class *c, int64_t n)
{
    return c->taps ? (c->taps - 1) * c->step + n : n;
}

/* Sums of a row, [channel][cell][16], then what a tile at the edge reads. */
static int64_t sum_floats(const dcv_adjoint_narrow *t)
{
    const int64_t cells = (t->in[1] + t->win[1].stride - 1) / t->win[1].stride;
    return t->d.ic * (cells + B) * B;
}

size_t dcv_adjoint_narrow_scratch_bytes(const dcv_adjoint_narrow *t)
{
    const dcv_window *w = t->win;
    const int64_t widest = (w[1].kernel - 1) * w[1].dilation + CELLS;
    return (size_t)(sum_floats(t) + t->oc_blocks * w[0].kernel * widest * B) * sizeof(float);
}

void dcv_adjoint_narrow_pack(const dcv_adjoint_narrow *t, const float *from, const float *scale, float *to)
{
    const dcv_conv_desc *d = &t->d;
    for (int64_t ij = 0; ij < t->win[0].stride * t->win[1].stride; ij++) {
        const dcv_class h = dcv_class_of(&t->win[0], t->in[0], ij / t->win[1].stride),
                        w = dcv_class_of(&t->win[1], t->in[1], ij % t->win[1].stride);
        for (int64_t b = 0; b < t->oc_blocks; b++)
            for (int64_t r = h.taps - 1; r >= 0; r--)
                for (int64_t c = w.taps - 1; c >= 0; c--)
                    for (int64_t i = 0; i < d->ic; i++)
                        for (int64_t o = b * B; o < (b + 1) * B; o++) {
                            const int64_t tap =
                                (h.tap + r * t->win[0].stride) * t->win[1].kernel + w.tap + c * t->win[1].stride;
                            const float v = o < d->oc ? from[(o * d->ic + i) * taps(t) + tap] : 0;
                            *to++ = scale && o < d->oc ? v * scale[o] : v;
                        }
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

typedef struct place {
    const float *x, *w;
    float *sum;                 /* [channel][cell][16], of the tile's first cell */
    int64_t row, column, plane; /* floats in x from a tap to the one below, beside, of the next block */
    int64_t rows, columns;      /* taps */
    int64_t lo, hi;             /* rows of taps that are inside */
    int64_t blocks, slab;       /* slab: floats in sum from a channel to the next */
} place;

static inline __attribute__((always_inline, target("avx512f"))) void tile(const place *p, int channels)
{
    __m512 a[CELLS][MAX_CHANNELS];
#pragma GCC unroll 8
    for (int r = 0; r < CELLS; r++)
#pragma GCC unroll 4
        for (int j = 0; j < channels; j++)
            a[r][j] = _mm512_setzero_ps();
    for (int64_t b = 0; b < p->blocks; b++)
        for (int64_t i = p->lo; i < p->hi; i++) {
            const float *x = p->x + b * p->plane + i * p->row,
                        *w = p->w + (b * p->rows + i) * p->columns * channels * B;
            for (int64_t k = 0; k < p->columns; k++, x += p->column, w += channels * B) {
                __m512 v[MAX_CHANNELS];
#pragma GCC unroll 4
                for (int j = 0; j < channels; j++)
                    v[j] = _mm512_loadu_ps(w + j * B);
#pragma GCC unroll 8
                for (int r = 0; r < CELLS; r++) {
                    const __m512 s = _mm512_loadu_ps(x + r * B);
#pragma GCC unroll 4
                    for (int j = 0; j < channels; j++)
                        a[r][j] = _mm512_fmadd_ps(s, v[j], a[r][j]);
                }
            }
        }
#pragma GCC unroll 8
    for (int r = 0; r < CELLS; r++)
#pragma GCC unroll 4
        for (int j = 0; j < channels; j++)
            _mm512_storeu_ps(p->sum + j * p->slab + r * B, a[r][j]);
}

#define ONE(C)                                                                                                         \
    __attribute__((target("avx512f"))) static void tile_##C(const place *p)                                            \
    {                                                                                                                  \
        tile(p, C);                                                                                                    \
    }
ONE(1)
ONE(2)
ONE(3)
ONE(4)
typedef void (*tile_fn)(const place *p);
static const tile_fn tiles[MAX_CHANNELS] = {tile_1, tile_2, tile_3, tile_4};

/* The sums of 16 vectors, each over its lanes. */
__attribute__((target("avx512f"))) static __m512 total(const float *from)
{
    __m512 v[4];
    for (int i = 0; i < 4; i++, from += 4 * B) {
        const __m512 a = _mm512_loadu_ps(from), b = _mm512_loadu_ps(from + B), c = _mm512_loadu_ps(from + 2 * B),
                     d = _mm512_loadu_ps(from + 3 * B);
        const __m512d ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
        const __m512d cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
        v[i] =
            _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
    }
    const __m512 p = _mm512_add_ps(_mm512_shuffle_f32x4(v[0], v[1], 0x44), _mm512_shuffle_f32x4(v[0], v[1], 0xee));
    const __m512 q = _mm512_add_ps(_mm512_shuffle_f32x4(v[2], v[3], 0x44), _mm512_shuffle_f32x4(v[2], v[3], 0xee));
    return _mm512_add_ps(_mm512_shuffle_f32x4(p, q, 0x88), _mm512_shuffle_f32x4(p, q, 0xdd));
}

/* n cells of one channel, stride apart. */
__attribute__((target("avx512f"))) static void put(const float *sum, int64_t n, int64_t stride, float *to)
{
    for (int64_t i = 0; i < n; i += B) {
        const __m512 v = total(sum + i * B);
        if (stride == 1 && n - i >= B) {
            _mm512_storeu_ps(to + i, v);
            continue;
        }
        float lane[B];
        _mm512_storeu_ps(lane, v);
        for (int64_t k = 0; k < B && i + k < n; k++)
            to[(i + k) * stride] = lane[k];
    }
}

/* Copy what a tile reads, from column c on, zeros outside. */
static void cut(const dcv_adjoint_narrow *t, const dcv_class *w, const float *gy, int64_t row, int64_t c,
                int64_t row_step, float *to, place *p)
{
    const int64_t width = span(w, CELLS), plane = t->out[0] * t->out[1] * B;
    const int64_t lo = c < 0 ? (-c < width ? -c : width) : 0, end = t->out[1] - c;
    const int64_t hi = end < lo ? lo : end < width ? end : width;
    p->x = to;
    p->row = width * B;
    p->plane = p->rows * width * B;
    for (int64_t b = 0; b < p->blocks; b++)
        for (int64_t i = 0; i < p->rows; i++, to += width * B) {
            if (i < p->lo || i >= p->hi)
                continue;
            memset(to, 0, (size_t)(lo * B) * sizeof *to);
            memcpy(to + lo * B, gy + b * plane + ((row + i * row_step) * t->out[1] + c + lo) * B,
                   (size_t)((hi - lo) * B) * sizeof *to);
            memset(to + hi * B, 0, (size_t)((width - hi) * B) * sizeof *to);
        }
}

static void sweep(const dcv_adjoint_narrow *t, const dcv_class *h, const dcv_class *w, const float *gy,
                  const float *weights, float *gx, float *scratch)
{
    const int64_t gh = t->out[0], gw = t->out[1], slab = sum_floats(t) / t->d.ic, cells = t->in[0] * t->in[1];
    place p = {
        .w = weights, .rows = h->taps, .columns = w->taps, .column = w->step * B, .blocks = t->oc_blocks, .slab = slab};
    for (int64_t q = 0; q < h->n; q++, gx += t->win[0].stride * t->in[1]) {
        const int64_t top = h->first + q;
        dcv_class_inside(h, top, gh, &p.lo, &p.hi);
        p.hi = w->taps ? p.hi : p.lo;
        for (int64_t c = 0; c < w->n; c += CELLS) {
            const int64_t at = w->first + c;
            if (p.lo < p.hi && (at < 0 || at + span(w, CELLS) > gw)) {
                cut(t, w, gy, top, at, h->step, scratch + sum_floats(t), &p);
            } else {
                p.x = gy + (top * gw + at) * B;
                p.row = h->step * gw * B;
                p.plane = gh * gw * B;
            }
            p.sum = scratch + c * B;
            tiles[t->d.ic - 1](&p);
        }
        for (int64_t i = 0; i < t->d.ic; i++)
            put(scratch + i * slab, w->n, t->win[1].stride, gx + i * cells);
    }
}

void dcv_adjoint_narrow_run(const dcv_adjoint_narrow *t, const float *gy, const float *packed, float *gx,
                            float *scratch)
{
    for (int64_t i = 0; i < t->win[0].stride; i++)
        for (int64_t j = 0; j < t->win[1].stride; j++) {
            const dcv_class h = dcv_class_of(&t->win[0], t->in[0], i), w = dcv_class_of(&t->win[1], t->in[1], j);
            sweep(t, &h, &w, gy, packed, gx + i * t->in[1] + j, scratch);
            packed += h.taps * w.taps * t->oc_blocks * t->d.ic * B;
        }
}

#else
void dcv_adjoint_narrow_run(const dcv_adjoint_narrow *t, const float *gy, const float *packed, float *gx,
                            float *scratch)
{
    (void)t, (void)gy, (void)packed, (void)gx, (void)scratch;
}
#endif
