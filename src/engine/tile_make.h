/* tile_make.h -- makes tiles for tile_block.c and tile_plain.c. */
#ifndef DCV_ENGINE_TILE_MAKE_H
#define DCV_ENGINE_TILE_MAKE_H

#include <immintrin.h>
#include "engine/tile_kernel.h"

enum { B = 16, GROUP = DCV_TILE_GROUP, COLUMNS = DCV_TILE_COLUMNS };

#define DCV_TILE static inline __attribute__((always_inline, target("avx512f")))

/* What the sums start from: y as it stands, or bias (and what is to be added). */
DCV_TILE __m512 start(const dcv_tile *t, const dcv_tile_place *p, int64_t slab, int r, int j)
{
    const float *y = p->y + j * slab + r * B;
    if (!p->first)
        return _mm512_loadu_ps(y);
    const __m512 b = p->bias ? _mm512_loadu_ps(p->bias + j * B) : _mm512_setzero_ps();
    return t->d.add ? _mm512_add_ps(b, _mm512_loadu_ps(y)) : b;
}

/* Activation; a NaN stays one. */
DCV_TILE __m512 end(const dcv_tile *t, __m512 v)
{
    if (t->d.act == DCV_ACT_RELU)
        return _mm512_max_ps(_mm512_setzero_ps(), v);
    if (t->d.act == DCV_ACT_LEAKY)
        return _mm512_mask_mul_ps(v, _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ), v,
                                  _mm512_set1_ps(t->d.act_lo));
    if (t->d.act == DCV_ACT_CLIP)
        return _mm512_min_ps(_mm512_set1_ps(t->d.act_hi), _mm512_max_ps(_mm512_set1_ps(t->d.act_lo), v));
    return v;
}

/* Products of one kernel column with columns r0 .. r1 - 1: their inputs begin at x[at], step floats apart, w
 * [inner][64].
 */
DCV_TILE const float *column(const dcv_tile_place *p, bool fetch, int r0, int r1, int64_t inner, int64_t step,
                             int64_t at, const float *w, const float *ahead, __m512 a[COLUMNS][4])
{
    for (int64_t c = 0; c < inner; c++, w += GROUP) {
        if (fetch) {
            _mm_prefetch((const char *)ahead, _MM_HINT_T1);
            _mm_prefetch((const char *)(ahead + p->second), _MM_HINT_T1);
            ahead += p->second + 16;
        }
        const __m512 w0 = _mm512_load_ps(w), w1 = _mm512_load_ps(w + 16), w2 = _mm512_load_ps(w + 32);
#pragma GCC unroll 7
        for (int r = r0; r < r1; r++) {
            const __m512 v = _mm512_set1_ps(p->x[at + r * step + c]);
            a[r][0] = _mm512_fmadd_ps(v, w0, a[r][0]);
            a[r][1] = _mm512_fmadd_ps(v, w1, a[r][1]);
            a[r][2] = _mm512_fmadd_ps(v, w2, a[r][2]);
            /* 28 sums, 3 weights and v fill all 32 registers: the fourth weight comes from memory. */
            __asm__("vfmadd231ps %2, %1, %0" : "+v"(a[r][3]) : "v"(v), "m"(*(const __m512 *)(w + 48)));
        }
    }
    return ahead;
}

/* n columns, step floats apart in x, by 64 outputs. */
DCV_TILE void tile(const dcv_tile *t, const dcv_tile_place *p, int n, int lanes, int64_t step, bool fetch)
{
    const int64_t slab = t->d.out[0] * (t->d.n_space == 2 ? t->d.out[1] : 1) * B;
    const int64_t row = t->dilation_h * p->row, apart = t->dilation_w * lanes;
    const int64_t outer = lanes == 1 ? 1 : t->kernel_w, inner = lanes == 1 ? t->kernel_w : lanes;
    const float *ahead = p->ahead;
    __m512 a[COLUMNS][4];
#pragma GCC unroll 7
    for (int r = 0; r < n; r++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            a[r][j] = start(t, p, slab, r, j);
    for (int64_t b = 0; b < p->blocks; b++)
        for (int64_t i = p->lo; i < p->hi; i++) {
            const float *w = p->w + (b * t->kernel_h + i) * t->kernel_w * lanes * GROUP;
            int64_t at = p->at + b * p->plane + i * row;
            for (int64_t k = 0; k < outer; k++, at += apart, w += inner * GROUP) {
                if (lanes > 1 && k < p->from)
                    ahead = column(p, fetch, 1, n, inner, step, at, w, ahead, a);
                else if (lanes > 1 && k >= p->till)
                    ahead = column(p, fetch, 0, n - 1, inner, step, at, w, ahead, a);
                else
                    ahead = column(p, fetch, 0, n, inner, step, at, w, ahead, a);
            }
        }
#pragma GCC unroll 7
    for (int r = 0; r < n; r++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm512_storeu_ps(p->y + j * slab + r * B, p->last ? end(t, a[r][j]) : a[r][j]);
}

/* Tiles of 1 to 7 columns, STEP floats apart, with LANES channels a block. */
#define ONE(N, LANES, STEP)                                                                                            \
    __attribute__((target("avx512f"))) static void tile_##N##_##STEP(const dcv_tile *t, const dcv_tile_place *p)       \
    {                                                                                                                  \
        tile(t, p, N, LANES, STEP, false);                                                                             \
    }                                                                                                                  \
    __attribute__((target("avx512f"))) static void fetch_##N##_##STEP(const dcv_tile *t, const dcv_tile_place *p)      \
    {                                                                                                                  \
        tile(t, p, N, LANES, STEP, true);                                                                              \
    }
#define ALL(LANES, STEP)                                                                                               \
    ONE(1, LANES, STEP)                                                                                                \
    ONE(2, LANES, STEP)                                                                                                \
    ONE(3, LANES, STEP)                                                                                                \
    ONE(4, LANES, STEP)                                                                                                \
    ONE(5, LANES, STEP)                                                                                                \
    ONE(6, LANES, STEP)                                                                                                \
    ONE(7, LANES, STEP)                                                                                                \
    static const dcv_tile_fn tiles_##STEP[2][COLUMNS] = {                                                              \
        {tile_1_##STEP, tile_2_##STEP, tile_3_##STEP, tile_4_##STEP, tile_5_##STEP, tile_6_##STEP, tile_7_##STEP},     \
        {fetch_1_##STEP, fetch_2_##STEP, fetch_3_##STEP, fetch_4_##STEP, fetch_5_##STEP, fetch_6_##STEP,               \
         fetch_7_##STEP}};

#endif
