/* winograd_avx2.c -- F(4x4, 3x3) in blocks of 8 channels, for AVX2.
 *
 * As winograd.c, for 16 registers of 8: products are summed in tiles of 6 cells by 16 outputs, and outputs are made in
 * chunks of 64, so that what a batch of tiles needs stays in the second cache.
 *
 * Packed weights: [chunk of 64 outputs][36][group of 16 outputs][input channel][16].
 * Scratch, for a batch of tiles: V [36][6 tiles][input block][6][8], then M [36][output block of a chunk][batch][8].
 */
#include <string.h>
#include "engine/avx2.h"
#include "engine/winograd.h"

enum { B = 8, GROUP = 16, CHUNK = 64, OUT = 4, IN = 6, POINTS = IN * IN, CELLS = 6, BATCH = 54, LINE = 16 };

/* Where it was measured faster than direct kernels (tests/bench/README.md).  A box of windows takes it from where it is
 * as fast: the whole map's weights are there for it, direct ones would be packed for the box alone. */
bool dcv_winograd8_takes(const dcv_conv_desc *d)
{
    if (d->groups != 1 || d->n_space != 2 || d->ic < 16 || d->oc < 16)
        return false;
    for (int i = 0; i < 2; i++)
        if (d->win[i].kernel != 3 || d->win[i].stride != 1 || d->win[i].dilation != 1)
            return false;
    const int64_t cells = d->out[0] * d->out[1] * (d->together > 1 ? d->together : 1);
    return cells > (d->together ? 47 : 64) || (d->ic * d->oc < 256 * 256 && cells >= 36);
}

void dcv_winograd8_plan(const dcv_conv_desc *d, dcv_winograd *t)
{
    *t = (dcv_winograd){.d = *d,
                        .lanes = B,
                        .ic_blocks = (d->ic + B - 1) / B,
                        .oc_blocks = (d->oc + B - 1) / B,
                        .down = (d->out[0] + OUT - 1) / OUT,
                        .across = (d->out[1] + OUT - 1) / OUT};
    const int64_t all = t->down * t->across * (d->together > 1 ? d->together : 1);
    const int64_t passes = (all + BATCH - 1) / BATCH, each = (all + passes - 1) / passes;
    t->batch = (each + CELLS - 1) / CELLS * CELLS; /* alike, so that each covers the reading of its weights */
}

static int64_t groups_of(const dcv_winograd *t)
{
    return (t->oc_blocks + 1) / 2;
}

/* Floats from a point of V to the next: an odd number of lines, so that the points of a tile lie in lines of a cache
 * that do not push each other out. */
static int64_t v_step(const dcv_winograd *t)
{
    return t->ic_blocks * t->batch * B + LINE;
}

static int64_t v_floats(const dcv_winograd *t)
{
    return POINTS * v_step(t);
}

size_t dcv_winograd8_packed_bytes(const dcv_winograd *t)
{
    return (size_t)(POINTS * groups_of(t) * GROUP * t->ic_blocks * B) * sizeof(float);
}

size_t dcv_winograd8_scratch_bytes(const dcv_winograd *t)
{
    return (size_t)(v_floats(t) + POINTS * CHUNK * t->batch) * sizeof(float);
}

/* Groups of the chunk that begins with group g. */
static int64_t chunk_at(const dcv_winograd *t, int64_t g)
{
    const int64_t left = groups_of(t) - g;
    return left < CHUNK / GROUP ? left : CHUNK / GROUP;
}

void dcv_winograd8_pack(const dcv_winograd *t, const float *w, const float *scale, float *packed)
{
    const int64_t ic = t->d.ic, wide = t->ic_blocks * B;
    memset(packed, 0, dcv_winograd8_packed_bytes(t));
    for (int64_t o = 0; o < t->d.oc; o++) {
        const int64_t first = o / CHUNK * (CHUNK / GROUP), n = chunk_at(t, first), g = o / GROUP - first;
        float *chunk = packed + first * POINTS * wide * GROUP;
        for (int64_t i = 0; i < ic; i++) {
            float u[POINTS];
            dcv_winograd_weights(w + (o * ic + i) * 9, scale ? (double)scale[o] : 1, u);
            for (int k = 0; k < POINTS; k++)
                chunk[((k * n + g) * wide + i) * GROUP + o % GROUP] = u[k];
        }
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
#define DCV_AVX2 __attribute__((target("avx2,fma")))
#define DCV_WINO static inline __attribute__((always_inline, target("avx2,fma")))

/* a + k b */
DCV_WINO __m256 plus(__m256 a, float k, __m256 b)
{
    return _mm256_fmadd_ps(_mm256_set1_ps(k), b, a);
}

/* B' d for six vectors, step apart, in place. */
DCV_WINO void transform_in(__m256 *d, int step)
{
    const __m256 d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
    const __m256 a = plus(d4, -4, d2), b = plus(d3, -4, d1), c = _mm256_sub_ps(d4, d2), e = _mm256_sub_ps(d3, d1);
    d[0] = plus(plus(d4, -5, d2), 4, d0);
    d[step] = _mm256_add_ps(a, b);
    d[2 * step] = _mm256_sub_ps(a, b);
    d[3 * step] = plus(c, 2, e);
    d[4 * step] = plus(c, -2, e);
    d[5 * step] = plus(plus(d5, -5, d3), 4, d1);
}

/* A' m for six vectors, step apart, to four, in place. */
DCV_WINO void transform_out(__m256 *m, int step)
{
    const __m256 m0 = m[0], m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step], m5 = m[5 * step];
    const __m256 s = _mm256_add_ps(m1, m2), d = _mm256_sub_ps(m1, m2), u = _mm256_add_ps(m3, m4),
                 v = _mm256_sub_ps(m3, m4);
    m[0] = _mm256_add_ps(m0, _mm256_add_ps(s, u));
    m[step] = plus(d, 2, v);
    m[2 * step] = plus(s, 4, u);
    m[3 * step] = _mm256_add_ps(plus(d, 8, v), m5);
}

/* The 6x6 inputs whose first is at row r, column c (which may lie in the border) of one block, transformed, to V. */
DCV_WINO void tile_in(const dcv_winograd *t, const float *x, int64_t r, int64_t c, bool inside, float *v)
{
    const int64_t h = t->d.in[0], w = t->d.in[1], step = v_step(t);
    __m256 d[POINTS];
#pragma GCC unroll 6
    for (int j = 0; j < IN; j++) {
#pragma GCC unroll 6
        for (int i = 0; i < IN; i++)
            d[i * IN + j] = inside || (r + i >= 0 && r + i < h && c + j >= 0 && c + j < w)
                                ? _mm256_loadu_ps(x + ((r + i) * w + c + j) * B)
                                : _mm256_setzero_ps();
        transform_in(d + j, IN);
    }
#pragma GCC unroll 6
    for (int i = 0; i < IN; i++) {
        transform_in(d + i * IN, 1);
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++)
            _mm256_storeu_ps(v + (i * IN + j) * step, d[i * IN + j]);
    }
}

DCV_AVX2 static void tiles_in(const dcv_winograd *t, const float *x, int64_t x_stride, int64_t first, int64_t n,
                              float *v)
{
    const int64_t h = t->d.in[0], w = t->d.in[1], each = t->down * t->across;
    for (int64_t b = 0; b < t->ic_blocks; b++, x += h * w * B)
        for (int64_t k = 0; k < n; k++) {
            const int64_t at = (first + k) % each;
            const int64_t r = at / t->across * OUT - t->d.win[0].pad_lo;
            const int64_t c = at % t->across * OUT - t->d.win[1].pad_lo;
            const float *picture = x + (first + k) / each * x_stride;
            float *to = v + ((k / CELLS * t->ic_blocks + b) * CELLS + k % CELLS) * B;
            if (r >= 0 && c >= 0 && r + IN <= h && c + IN <= w)
                tile_in(t, picture, r, c, true, to);
            else
                tile_in(t, picture, r, c, false, to);
        }
}

/* y [2][ld][8] = x [blocks][6][8] times w [8 blocks][16], n cells; meanwhile lines that are needed next are fetched,
 * some a block. */
DCV_WINO void cells(int n, int64_t ld, int64_t blocks, const float *x, const float *w, float *y, const float *next,
                    int64_t some)
{
    __m256 a[CELLS][2];
#pragma GCC unroll 6
    for (int r = 0; r < n; r++)
        a[r][0] = a[r][1] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; b++, x += CELLS * B) {
        for (int64_t i = 0; i < some; i++, next += LINE)
            _mm_prefetch((const char *)next, _MM_HINT_T1);
#pragma GCC unroll 8
        for (int c = 0; c < B; c++, w += GROUP) {
            const __m256 w0 = _mm256_load_ps(w), w1 = _mm256_load_ps(w + B);
#pragma GCC unroll 6
            for (int r = 0; r < n; r++) {
                const __m256 s = _mm256_broadcast_ss(x + r * B + c);
                dcv_accumulate(&a[r][0], s, w0);
                dcv_accumulate(&a[r][1], s, w1);
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < n; r++) {
        _mm256_storeu_ps(y + r * B, a[r][0]);
        _mm256_storeu_ps(y + (ld + r) * B, a[r][1]);
    }
}

typedef void (*cells_fn)(int64_t ld, int64_t blocks, const float *x, const float *w, float *y, const float *next,
                         int64_t some);

#define ONE(N)                                                                                                         \
    DCV_AVX2 static void cells_##N(int64_t ld, int64_t blocks, const float *x, const float *w, float *y,               \
                                   const float *next, int64_t some)                                                    \
    {                                                                                                                  \
        cells(N, ld, blocks, x, w, y, next, some);                                                                     \
    }
ONE(1)
ONE(2)
ONE(3)
ONE(4)
ONE(5)
ONE(6)
static const cells_fn by_cells[CELLS] = {cells_1, cells_2, cells_3, cells_4, cells_5, cells_6};

/* Products of one chunk of outputs at all points.  The weights of the next group come while those of one are used. */
static const float *multiply(const dcv_winograd *t, int64_t n, int64_t groups, const float *v, const float *u, float *m)
{
    const int64_t wide = t->ic_blocks * B, rows = (n + CELLS - 1) / CELLS, some = (B + rows - 1) / rows;
    for (int k = 0; k < POINTS; k++, v += v_step(t))
        for (int64_t g = 0; g < groups; g++, u += wide * GROUP, m += GROUP * t->batch)
            for (int64_t r = 0; r < rows; r++) {
                const int64_t at = r * CELLS, left = n - at;
                by_cells[(left < CELLS ? left : CELLS) - 1](t->batch, t->ic_blocks, v + at * wide, u, m + at * B,
                                                            u + wide * GROUP + r * some * t->ic_blocks * LINE, some);
            }
    return u;
}

DCV_WINO __m256 activate(const dcv_conv_desc *d, __m256 v)
{
    if (d->act == DCV_ACT_RELU)
        return _mm256_max_ps(_mm256_setzero_ps(), v);
    if (d->act == DCV_ACT_LEAKY)
        return _mm256_blendv_ps(v, _mm256_mul_ps(v, _mm256_set1_ps(d->act_lo)),
                                _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_LT_OQ));
    if (d->act == DCV_ACT_CLIP)
        return _mm256_min_ps(_mm256_set1_ps(d->act_hi), _mm256_max_ps(_mm256_set1_ps(d->act_lo), v));
    return v;
}

/* One tile of one output block: back from M, bias, sum, activation; what lies past the map's edge is dropped. */
DCV_WINO void tile_out(const dcv_winograd *t, const float *m, int64_t step, __m256 bias, int64_t r, int64_t c, float *y)
{
    const int64_t h = t->d.out[0], w = t->d.out[1];
    __m256 d[POINTS];
#pragma GCC unroll 6
    for (int j = 0; j < IN; j++) {
#pragma GCC unroll 6
        for (int i = 0; i < IN; i++)
            d[i * IN + j] = _mm256_loadu_ps(m + (i * IN + j) * step);
        transform_out(d + j, IN);
    }
#pragma GCC unroll 4
    for (int i = 0; i < OUT; i++) {
        transform_out(d + i * IN, 1);
#pragma GCC unroll 4
        for (int j = 0; j < OUT; j++) {
            if (r + i >= h || c + j >= w)
                continue;
            float *to = y + ((r + i) * w + c + j) * B;
            __m256 s = _mm256_add_ps(d[i * IN + j], bias);
            if (t->d.add)
                s = _mm256_add_ps(s, _mm256_loadu_ps(to));
            _mm256_storeu_ps(to, activate(&t->d, s));
        }
    }
}

/* Output blocks b .. b + n_blocks - 1 of a chunk of groups of 16. */
DCV_AVX2 static void tiles_out(const dcv_winograd *t, int64_t groups, const float *m, const float *bias, int64_t first,
                               int64_t n, int64_t b, int64_t n_blocks, float *y, int64_t y_stride)
{
    const int64_t each = t->down * t->across, step = groups * GROUP * t->batch;
    for (int64_t q = 0; q < n_blocks; q++) {
        const __m256 add = bias ? _mm256_loadu_ps(bias + (b + q) * B) : _mm256_setzero_ps();
        float *block = y + (b + q) * t->d.out[0] * t->d.out[1] * B;
        for (int64_t k = 0; k < n; k++)
            tile_out(t, m + (q * t->batch + k) * B, step, add, (first + k) % each / t->across * OUT,
                     (first + k) % t->across * OUT, block + (first + k) / each * y_stride);
    }
}

void dcv_winograd8_run_some(const dcv_winograd *t, int pictures, const float *x, int64_t x_stride, const float *packed,
                            const float *bias, float *y, int64_t y_stride, float *scratch)
{
    const int64_t all = pictures * t->down * t->across;
    float *m = scratch + v_floats(t);
    for (int64_t first = 0; first < all; first += t->batch) {
        const int64_t n = all - first < t->batch ? all - first : t->batch;
        const float *u = packed;
        tiles_in(t, x, x_stride, first, n, scratch);
        for (int64_t g = 0; g < groups_of(t); g += CHUNK / GROUP) {
            const int64_t groups = chunk_at(t, g), left = t->oc_blocks - 2 * g;
            u = multiply(t, n, groups, scratch, u, m);
            tiles_out(t, groups, m, bias, first, n, 2 * g, left < 2 * groups ? left : 2 * groups, y, y_stride);
        }
    }
}

#else
void dcv_winograd8_run_some(const dcv_winograd *t, int n, const float *x, int64_t x_stride, const float *packed,
                            const float *bias, float *y, int64_t y_stride, float *scratch)
{
    (void)t, (void)n, (void)x, (void)x_stride, (void)packed, (void)bias, (void)y, (void)y_stride, (void)scratch;
}
#endif
