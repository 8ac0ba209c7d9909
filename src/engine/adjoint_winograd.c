/* adjoint_winograd.c -- F(4x4, 3x3) walked back: transform the signal, multiply, transform and add up.
 *
 * Scratch, for a batch of tiles: V [36][output block][batch][16], M [36][input block][batch][16], then turned weights,
 * [outputs][64 inputs]: of one point and 64 inputs, or all of them where many batches will read the same few.
 */
#include <string.h>
#include "engine/adjoint_tile.h"
#include "engine/adjoint_winograd.h"

enum { B = 16, GROUP = 64, GROUPS = 4, OUT = 4, IN = 6, POINTS = IN * IN, FEW = 1 << 20 };

void dcv_adjoint_winograd_plan(const dcv_conv_desc *d, dcv_adjoint_winograd *t)
{
    *t = (dcv_adjoint_winograd){.d = *d,
                                .ic_blocks = (d->ic + B - 1) / B,
                                .oc_blocks = d->oc / B,
                                .down = (d->out[0] + OUT - 1) / OUT,
                                .across = (d->out[1] + OUT - 1) / OUT};
    const int64_t all = t->down * t->across;
    /* Few tiles at a time stay in the second cache; more where weights must be turned again for each batch. */
    t->turned = POINTS * d->oc * t->ic_blocks * B <= FEW && all > 63;
    t->batch = t->turned ? 42 : 98;
    t->batch = t->batch < all ? t->batch : all;
}

static int64_t v_floats(const dcv_adjoint_winograd *t)
{
    return POINTS * t->oc_blocks * t->batch * B;
}

static int64_t m_floats(const dcv_adjoint_winograd *t)
{
    return POINTS * t->ic_blocks * t->batch * B;
}

size_t dcv_adjoint_winograd_scratch_bytes(const dcv_adjoint_winograd *t)
{
    const int64_t inputs = t->turned ? POINTS * t->ic_blocks * B : GROUP;
    return (size_t)(v_floats(t) + m_floats(t) + t->oc_blocks * B * inputs) * sizeof(float);
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define DCV_WINO static inline __attribute__((always_inline, target("avx512f")))

/* a + k b */
DCV_WINO __m512 plus(__m512 a, float k, __m512 b)
{
    return _mm512_fmadd_ps(_mm512_set1_ps(k), b, a);
}

/* A y for four vectors, step apart, to six, in place. */
DCV_WINO void spread(__m512 *y, int step)
{
    const __m512 y0 = y[0], y1 = y[step], y2 = y[2 * step], y3 = y[3 * step];
    const __m512 e = _mm512_add_ps(y0, y2), o = _mm512_add_ps(y1, y3);
    const __m512 f = plus(y0, 4, y2), g = plus(y1, 4, y3);
    y[step] = _mm512_add_ps(e, o);
    y[2 * step] = _mm512_sub_ps(e, o);
    y[3 * step] = plus(f, 2, g);
    y[4 * step] = plus(f, -2, g);
    y[5 * step] = y3;
}

/* B m for six vectors, step apart, in place. */
DCV_WINO void gather(__m512 *m, int step)
{
    const __m512 m0 = m[0], m5 = m[5 * step], s = _mm512_add_ps(m[step], m[2 * step]),
                 d = _mm512_sub_ps(m[step], m[2 * step]), u = _mm512_add_ps(m[3 * step], m[4 * step]),
                 v = _mm512_sub_ps(m[3 * step], m[4 * step]);
    m[0] = _mm512_mul_ps(_mm512_set1_ps(4), m0);
    m[step] = plus(plus(_mm512_mul_ps(_mm512_set1_ps(4), m5), -4, d), -2, v);
    m[2 * step] = plus(plus(_mm512_sub_ps(_mm512_setzero_ps(), u), -4, s), -5, m0);
    m[3 * step] = plus(plus(d, 2, v), -5, m5);
    m[4 * step] = _mm512_add_ps(_mm512_add_ps(m0, s), u);
}

/* The 4x4 outputs whose first is at row r, column c of one block, transformed, to V. */
DCV_WINO void tile_in(const dcv_adjoint_winograd *t, const float *gy, int64_t r, int64_t c, bool inside, float *v)
{
    const int64_t h = t->d.out[0], w = t->d.out[1], step = t->oc_blocks * t->batch * B;
    __m512 d[POINTS];
#pragma GCC unroll 4
    for (int i = 0; i < OUT; i++)
#pragma GCC unroll 4
        for (int j = 0; j < OUT; j++)
            d[i * IN + j] = inside || (r + i < h && c + j < w) ? _mm512_loadu_ps(gy + ((r + i) * w + c + j) * B)
                                                               : _mm512_setzero_ps();
#pragma GCC unroll 4
    for (int j = 0; j < OUT; j++)
        spread(d + j, IN);
#pragma GCC unroll 6
    for (int i = 0; i < IN; i++)
        spread(d + i * IN, 1);
#pragma GCC unroll 36
    for (int k = 0; k < POINTS; k++)
        _mm512_storeu_ps(v + k * step, d[k]);
}

__attribute__((target("avx512f"))) static void tiles_in(const dcv_adjoint_winograd *t, const float *gy, int64_t first,
                                                        int64_t n, float *v)
{
    const int64_t h = t->d.out[0], w = t->d.out[1];
    for (int64_t b = 0; b < t->oc_blocks; b++, gy += h * w * B)
        for (int64_t k = 0; k < n; k++) {
            const int64_t r = (first + k) / t->across * OUT, c = (first + k) % t->across * OUT;
            float *to = v + (b * t->batch + k) * B;
            if (r + OUT <= h && c + OUT <= w)
                tile_in(t, gy, r, c, true, to);
            else
                tile_in(t, gy, r, c, false, to);
        }
}

/* One tile of one input block: back from M, and added where it belongs; what lies in the border is dropped. */
DCV_WINO void tile_out(const dcv_adjoint_winograd *t, const float *m, int64_t r, int64_t c, bool inside, float *gx)
{
    const int64_t h = t->d.in[0], w = t->d.in[1], step = t->ic_blocks * t->batch * B;
    __m512 d[POINTS];
#pragma GCC unroll 36
    for (int k = 0; k < POINTS; k++)
        d[k] = _mm512_loadu_ps(m + k * step);
#pragma GCC unroll 6
    for (int j = 0; j < IN; j++)
        gather(d + j, IN);
#pragma GCC unroll 6
    for (int i = 0; i < IN; i++)
        gather(d + i * IN, 1);
#pragma GCC unroll 6
    for (int i = 0; i < IN; i++)
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++) {
            float *to = gx + ((r + i) * w + c + j) * B;
            if (inside || (r + i >= 0 && r + i < h && c + j >= 0 && c + j < w))
                _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), d[i * IN + j]));
        }
}

__attribute__((target("avx512f"))) static void tiles_out(const dcv_adjoint_winograd *t, const float *m, int64_t first,
                                                         int64_t n, float *gx)
{
    const int64_t h = t->d.in[0], w = t->d.in[1];
    for (int64_t b = 0; b < t->ic_blocks; b++, gx += h * w * B)
        for (int64_t k = 0; k < n; k++) {
            const int64_t r = (first + k) / t->across * OUT - t->d.win[0].pad_lo;
            const int64_t c = (first + k) % t->across * OUT - t->d.win[1].pad_lo;
            const float *from = m + (b * t->batch + k) * B;
            if (r >= 0 && c >= 0 && r + IN <= h && c + IN <= w)
                tile_out(t, from, r, c, true, gx);
            else
                tile_out(t, from, r, c, false, gx);
        }
}

/* u: one point's weights, [group of 64 outputs][inputs][64], to [outputs][16 groups] for inputs of some blocks. */
static void turn(const dcv_adjoint_winograd *t, const float *u, int64_t block, int groups, float *to)
{
    const int64_t wide = t->ic_blocks * B * GROUP, row = B * groups;
    u += block * B * GROUP;
    for (int64_t o = 0; o < t->oc_blocks * B; o += GROUP, to += GROUP * row, u += wide)
        for (int g = 0; g < groups; g++)
            dcv_adjoint_turn(u + g * B * GROUP, to + g * B, row, B * row, u + g * B * GROUP + wide);
}

static int groups_at(const dcv_adjoint_winograd *t, int64_t block)
{
    return (int)(t->ic_blocks - block < GROUPS ? t->ic_blocks - block : GROUPS);
}

static void turn_all(const dcv_adjoint_winograd *t, const float *u, float *to)
{
    const int64_t outputs = t->oc_blocks * B;
    for (int k = 0; k < POINTS; k++, u += outputs * t->ic_blocks * B)
        for (int64_t block = 0; block < t->ic_blocks; block += GROUPS) {
            turn(t, u, block, groups_at(t, block), to);
            to += outputs * groups_at(t, block) * B;
        }
}

static void multiply(const dcv_adjoint_winograd *t, int64_t n, const float *v, const float *u, float *m, float *weights)
{
    const int64_t outputs = t->oc_blocks * B;
    for (int k = 0; k < POINTS; k++, v += t->oc_blocks * t->batch * B, u += outputs * t->ic_blocks * B)
        for (int64_t block = 0; block < t->ic_blocks; block += GROUPS) {
            const int groups = groups_at(t, block);
            if (!t->turned)
                turn(t, u, block, groups, weights);
            const float *next =
                block + GROUPS < t->ic_blocks ? u + (block + GROUPS) * B * GROUP : u + outputs * t->ic_blocks * B;
            dcv_adjoint_product(n, t->batch, t->oc_blocks, v, weights, groups, t->turned ? NULL : next,
                                t->ic_blocks * B * GROUP, m);
            m += groups * t->batch * B;
            weights += t->turned ? outputs * groups * B : 0;
        }
}

void dcv_adjoint_winograd_run(const dcv_adjoint_winograd *t, const float *gy, const float *packed, bool add, float *gx,
                              float *scratch)
{
    const int64_t all = t->down * t->across;
    float *m = scratch + v_floats(t), *weights = m + m_floats(t);
    if (!add)
        memset(gx, 0, (size_t)(t->ic_blocks * t->d.in[0] * t->d.in[1] * B) * sizeof *gx);
    if (t->turned)
        turn_all(t, packed, weights);
    for (int64_t first = 0; first < all; first += t->batch) {
        const int64_t n = all - first < t->batch ? all - first : t->batch;
        tiles_in(t, gy, first, n, scratch);
        multiply(t, n, scratch, packed, m, weights);
        tiles_out(t, m, first, n, gx);
    }
}

#else
void dcv_adjoint_winograd_run(const dcv_adjoint_winograd *t, const float *gy, const float *packed, bool add, float *gx,
                              float *scratch)
{
    (void)t, (void)gy, (void)packed, (void)add, (void)gx, (void)scratch;
}
#endif
