/* winograd.c -- F(4x4, 3x3): transform inputs, multiply, transform back.
 *
 * Packed weights: [36][group of 64 outputs][input channel][64].
 * Scratch, for a batch of tiles: V [36][input block][batch][16], then M [36][output block][batch][16].
 */
#include <string.h>
#include "engine/tile.h"
#include "engine/winograd.h"
enum { B = 16, GROUP = 64, OUT = 4, IN = 6, POINTS = IN * IN };

void dcv_winograd_weights(const float *g, double scale, float to[POINTS])
{
    static const double table[IN][3] = {{1.0 / 4, 0, 0},
                                        {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                        {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                        {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                        {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                        {0, 0, 1}};
    double half[IN][3];
    for (int i = 0; i < IN; i++)
        for (int j = 0; j < 3; j++) {
            half[i][j] = 0;
            for (int k = 0; k < 3; k++)
                half[i][j] += table[i][k] * (double)g[k * 3 + j];
        }
    for (int i = 0; i < IN; i++)
        for (int j = 0; j < IN; j++) {
            double sum = 0;
            for (int k = 0; k < 3; k++)
                sum += half[i][k] * table[j][k];
            to[i * IN + j] = (float)(scale * sum);
        }
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* Small maps with many channels: reading 36 numbers for 9 weights takes longer than the sums saved. */
bool dcv_winograd_takes(const dcv_conv_desc *d)
{
    if (d->groups != 1 || d->n_space != 2 || d->ic < B || d->oc % GROUP)
        return false;
    for (int i = 0; i < 2; i++)
        if (d->win[i].kernel != 3 || d->win[i].stride != 1 || d->win[i].dilation != 1)
            return false;
    const int64_t cells = d->out[0] * d->out[1] * (d->together > 1 ? d->together : 1);
    return cells > 64 || (d->ic * d->oc < 256 * 256 && cells >= 36);
}

void dcv_winograd_plan(const dcv_conv_desc *d, dcv_winograd *t)
{
    *t = (dcv_winograd){.d = *d,
                        .lanes = B,
                        .ic_blocks = (d->ic + B - 1) / B,
                        .oc_blocks = d->oc / B,
                        .down = (d->out[0] + OUT - 1) / OUT,
                        .across = (d->out[1] + OUT - 1) / OUT};
    const int64_t all = t->down * t->across * (d->together > 1 ? d->together : 1);
    /* Few tiles at a time stay in the second cache; more where the weights are read from far away each time. */
    t->batch = POINTS * d->ic * d->oc > (int64_t)4 << 20 ? 49 : 21;
    t->batch = t->batch < all ? t->batch : all;
}

static int64_t v_floats(const dcv_winograd *t)
{
    return POINTS * t->ic_blocks * t->batch * B;
}

size_t dcv_winograd_packed_bytes(const dcv_winograd *t)
{
    if (t->lanes == 8)
        return dcv_winograd8_packed_bytes(t);
    return (size_t)(POINTS * t->oc_blocks * t->ic_blocks * B * B) * sizeof(float);
}

size_t dcv_winograd_scratch_bytes(const dcv_winograd *t)
{
    if (t->lanes == 8)
        return dcv_winograd8_scratch_bytes(t);
    return (size_t)(v_floats(t) + POINTS * t->oc_blocks * t->batch * B) * sizeof(float);
}

void dcv_winograd_pack(const dcv_winograd *t, const float *w, const float *scale, float *packed)
{
    if (t->lanes == 8) {
        dcv_winograd8_pack(t, w, scale, packed);
        return;
    }
    const int64_t ic = t->d.ic, wide = t->ic_blocks * B, point = t->oc_blocks * B * wide;
    memset(packed, 0, dcv_winograd_packed_bytes(t));
    for (int64_t o = 0; o < t->d.oc; o++)
        for (int64_t i = 0; i < ic; i++) {
            float u[POINTS];
            dcv_winograd_weights(w + (o * ic + i) * 9, scale ? (double)scale[o] : 1, u);
            float *to = packed + (o / GROUP * wide + i) * GROUP + o % GROUP;
            for (int k = 0; k < POINTS; k++)
                to[k * point] = u[k];
        }
}

#define DCV_WINO static inline __attribute__((always_inline, target("avx512f")))

DCV_WINO __m512 times(float k, __m512 v)
{
    return _mm512_mul_ps(_mm512_set1_ps(k), v);
}

/* a + k b */
DCV_WINO __m512 plus(__m512 a, float k, __m512 b)
{
    return _mm512_fmadd_ps(_mm512_set1_ps(k), b, a);
}

/* B' d for six vectors, step apart, in place. */
DCV_WINO void transform_in(__m512 *d, int step)
{
    const __m512 d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
    const __m512 a = plus(d4, -4, d2), b = plus(d3, -4, d1), c = _mm512_sub_ps(d4, d2), e = _mm512_sub_ps(d3, d1);
    d[0] = plus(plus(d4, -5, d2), 4, d0);
    d[step] = _mm512_add_ps(a, b);
    d[2 * step] = _mm512_sub_ps(a, b);
    d[3 * step] = plus(c, 2, e);
    d[4 * step] = plus(c, -2, e);
    d[5 * step] = plus(plus(d5, -5, d3), 4, d1);
}

/* A' m for six vectors, step apart, to four, in place. */
DCV_WINO void transform_out(__m512 *m, int step)
{
    const __m512 m0 = m[0], m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step], m5 = m[5 * step];
    const __m512 s = _mm512_add_ps(m1, m2), d = _mm512_sub_ps(m1, m2), u = _mm512_add_ps(m3, m4),
                 v = _mm512_sub_ps(m3, m4);
    m[0] = _mm512_add_ps(m0, _mm512_add_ps(s, u));
    m[step] = plus(d, 2, v);
    m[2 * step] = plus(s, 4, u);
    m[3 * step] = _mm512_add_ps(plus(d, 8, v), m5);
}

/* The 6x6 inputs whose first is at row r, column c (which may lie in the border) of one block, transformed, to V. */
DCV_WINO void tile_in(const dcv_winograd *t, const float *x, int64_t r, int64_t c, bool inside, float *v)
{
    const int64_t h = t->d.in[0], w = t->d.in[1], step = t->ic_blocks * t->batch * B;
    __m512 d[POINTS];
#pragma GCC unroll 6
    for (int i = 0; i < IN; i++)
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++)
            d[i * IN + j] = inside || (r + i >= 0 && r + i < h && c + j >= 0 && c + j < w)
                                ? _mm512_loadu_ps(x + ((r + i) * w + c + j) * B)
                                : _mm512_setzero_ps();
#pragma GCC unroll 6
    for (int j = 0; j < IN; j++)
        transform_in(d + j, IN);
#pragma GCC unroll 6
    for (int i = 0; i < IN; i++)
        transform_in(d + i * IN, 1);
#pragma GCC unroll 36
    for (int k = 0; k < POINTS; k++)
        _mm512_storeu_ps(v + k * step, d[k]);
}

__attribute__((target("avx512f"))) static void tiles_in(const dcv_winograd *t, const float *x, int64_t x_stride,
                                                        int64_t first, int64_t n, float *v)
{
    const int64_t h = t->d.in[0], w = t->d.in[1], each = t->down * t->across;
    for (int64_t b = 0; b < t->ic_blocks; b++, x += h * w * B)
        for (int64_t k = 0; k < n; k++) {
            const int64_t at = (first + k) % each;
            const int64_t r = at / t->across * OUT - t->d.win[0].pad_lo;
            const int64_t c = at % t->across * OUT - t->d.win[1].pad_lo;
            const float *picture = x + (first + k) / each * x_stride;
            float *to = v + (b * t->batch + k) * B;
            if (r >= 0 && c >= 0 && r + IN <= h && c + IN <= w)
                tile_in(t, picture, r, c, true, to);
            else
                tile_in(t, picture, r, c, false, to);
        }
}

DCV_WINO __m512 activate(const dcv_conv_desc *d, __m512 v)
{
    if (d->act == DCV_ACT_RELU)
        return _mm512_max_ps(_mm512_setzero_ps(), v);
    if (d->act == DCV_ACT_LEAKY)
        return _mm512_mask_mul_ps(v, _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ), v,
                                  _mm512_set1_ps(d->act_lo));
    if (d->act == DCV_ACT_CLIP)
        return _mm512_min_ps(_mm512_set1_ps(d->act_hi), _mm512_max_ps(_mm512_set1_ps(d->act_lo), v));
    return v;
}

/* One tile of one output block: back from M, bias, sum, activation; what lies past the map's edge is dropped. */
DCV_WINO void tile_out(const dcv_winograd *t, const float *m, __m512 bias, int64_t r, int64_t c, float *y)
{
    const int64_t h = t->d.out[0], w = t->d.out[1], step = t->oc_blocks * t->batch * B;
    __m512 d[POINTS];
#pragma GCC unroll 36
    for (int k = 0; k < POINTS; k++)
        d[k] = _mm512_loadu_ps(m + k * step);
#pragma GCC unroll 6
    for (int j = 0; j < IN; j++)
        transform_out(d + j, IN);
#pragma GCC unroll 4
    for (int i = 0; i < OUT; i++)
        transform_out(d + i * IN, 1);
#pragma GCC unroll 4
    for (int i = 0; i < OUT; i++)
#pragma GCC unroll 4
        for (int j = 0; j < OUT; j++) {
            if (r + i >= h || c + j >= w)
                continue;
            float *to = y + ((r + i) * w + c + j) * B;
            __m512 s = _mm512_add_ps(d[i * IN + j], bias);
            if (t->d.add)
                s = _mm512_add_ps(s, _mm512_loadu_ps(to));
            _mm512_storeu_ps(to, activate(&t->d, s));
        }
}

__attribute__((target("avx512f"))) static void tiles_out(const dcv_winograd *t, const float *m, const float *bias,
                                                         int64_t first, int64_t n, float *y, int64_t y_stride)
{
    const int64_t each = t->down * t->across;
    for (int64_t b = 0; b < t->oc_blocks; b++, y += t->d.out[0] * t->d.out[1] * B) {
        const __m512 add = bias ? _mm512_loadu_ps(bias + b * B) : _mm512_setzero_ps();
        for (int64_t k = 0; k < n; k++)
            tile_out(t, m + (b * t->batch + k) * B, add, (first + k) % each / t->across * OUT,
                     (first + k) % t->across * OUT, y + (first + k) / each * y_stride);
    }
}

static void multiply(const dcv_winograd *t, int64_t n, const float *v, const float *u, float *m)
{
    const int64_t ic = t->ic_blocks * B, groups = t->d.oc / GROUP;
    for (int k = 0; k < POINTS; k++, v += t->ic_blocks * t->batch * B)
        for (int64_t g = 0; g < groups; g++, u += ic * GROUP, m += GROUP * t->batch)
            dcv_tile_product(n, t->batch, t->ic_blocks, v, u, m);
}

void dcv_winograd_run_some(const dcv_winograd *t, int pictures, const float *x, int64_t x_stride, const float *packed,
                           const float *bias, float *y, int64_t y_stride, float *scratch)
{
    if (t->lanes == 8) {
        dcv_winograd8_run_some(t, pictures, x, x_stride, packed, bias, y, y_stride, scratch);
        return;
    }
    const int64_t all = pictures * t->down * t->across;
    float *m = scratch + v_floats(t);
    for (int64_t first = 0; first < all; first += t->batch) {
        const int64_t n = all - first < t->batch ? all - first : t->batch;
        tiles_in(t, x, x_stride, first, n, scratch);
        multiply(t, n, scratch, packed, m);
        tiles_out(t, m, bias, first, n, y, y_stride);
    }
}

void dcv_winograd_run(const dcv_winograd *t, const float *x, const float *packed, const float *bias, float *y,
                      float *scratch)
{
    for (int p = 0; p < t->d.n; p++)
        dcv_winograd_run_some(t, 1, x + p * t->d.x_stride, 0, packed, bias, y + p * t->d.y_stride, 0, scratch);
}

#else
bool dcv_winograd_takes(const dcv_conv_desc *d)
{
    (void)d;
    return false;
}

void dcv_winograd_plan(const dcv_conv_desc *d, dcv_winograd *t)
{
    *t = (dcv_winograd){.d = *d};
}

size_t dcv_winograd_packed_bytes(const dcv_winograd *t)
{
    (void)t;
    return 0;
}

size_t dcv_winograd_scratch_bytes(const dcv_winograd *t)
{
    (void)t;
    return 0;
}

void dcv_winograd_pack(const dcv_winograd *t, const float *w, const float *scale, float *packed)
{
    (void)t, (void)w, (void)scale, (void)packed;
}

void dcv_winograd_run(const dcv_winograd *t, const float *x, const float *packed, const float *bias, float *y,
                      float *scratch)
{
    (void)t, (void)x, (void)packed, (void)bias, (void)y, (void)scratch;
}

void dcv_winograd_run_some(const dcv_winograd *t, int n, const float *x, int64_t x_stride, const float *packed,
                           const float *bias, float *y, int64_t y_stride, float *scratch)
{
    (void)t, (void)n, (void)x, (void)x_stride, (void)packed, (void)bias, (void)y, (void)y_stride, (void)scratch;
}
#endif
