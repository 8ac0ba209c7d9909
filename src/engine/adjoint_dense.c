/* adjoint_dense.c -- gx [k] = sum over outputs of W [k][output] gy [output].
 *
 * Packed: [chunk of k][panel of 32 outputs][k][32] (dense.c).  Scratch: signals [16 outputs][row][16], then sums of a
 * chunk [k][row][16].
 */
#include <string.h>
#include "engine/adjoint_dense.h"

enum { PANEL = 32, CHUNK = 256, B = 16, TOGETHER = 4 /* panels */ };

static int64_t wide(const dcv_dense *d)
{
    return (d->n + PANEL - 1) / PANEL * PANEL;
}

size_t dcv_adjoint_dense_scratch_bytes(const dcv_dense *d)
{
    return (size_t)(DCV_GROUP * wide(d) + CHUNK * DCV_GROUP * B) * sizeof(float);
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define DCV_BACK_DENSE static inline __attribute__((always_inline, target("avx512f")))

/* The share of some panels, apart floats from one to the next, in the sums of k inputs. */
DCV_BACK_DENSE void sum(int rows, int panels, int64_t k, const float *g, const float *w, int64_t apart, float *acc)
{
    for (int64_t i = 0; i < k; i++, w += PANEL, acc += rows * B) {
        __m512 a[DCV_GROUP];
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
            a[r] = _mm512_loadu_ps(acc + r * B);
#pragma GCC unroll 4
        for (int p = 0; p < panels; p++)
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                const __m512 v = _mm512_loadu_ps(w + p * apart + h * B);
#pragma GCC unroll 8
                for (int r = 0; r < rows; r++)
                    a[r] = _mm512_fmadd_ps(v, _mm512_loadu_ps(g + ((p * 2 + h) * rows + r) * B), a[r]);
            }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
            _mm512_storeu_ps(acc + r * B, a[r]);
    }
}

typedef void (*sum_fn)(int64_t k, const float *g, const float *w, int64_t apart, float *acc);

#define ONE(ROWS, PANELS)                                                                                              \
    __attribute__((target("avx512f"))) static void sum_##ROWS##_##PANELS(int64_t k, const float *g, const float *w,    \
                                                                         int64_t apart, float *acc)                    \
    {                                                                                                                  \
        sum(ROWS, PANELS, k, g, w, apart, acc);                                                                        \
    }
ONE(1, 1)
ONE(1, 4)
ONE(2, 1) ONE(2, 4) ONE(4, 1) ONE(4, 4) ONE(8, 1) ONE(8, 4)

    /* By the logarithm of rows; one panel, or several. */
    static const sum_fn sums[4][2] = {{sum_1_1, sum_1_4}, {sum_2_1, sum_2_4}, {sum_4_1, sum_4_4}, {sum_8_1, sum_8_4}};

/* The sum of each of 16 vectors, step floats apart, over its lanes. */
__attribute__((target("avx512f"))) static void total(const float *from, int64_t step, float *to)
{
    __m512 v[4];
    for (int i = 0; i < 4; i++, from += 4 * step) {
        const __m512 a = _mm512_loadu_ps(from), b = _mm512_loadu_ps(from + step), c = _mm512_loadu_ps(from + 2 * step),
                     d = _mm512_loadu_ps(from + 3 * step);
        const __m512d ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
        const __m512d cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
        v[i] =
            _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
    }
    const __m512 p = _mm512_add_ps(_mm512_shuffle_f32x4(v[0], v[1], 0x44), _mm512_shuffle_f32x4(v[0], v[1], 0xee));
    const __m512 q = _mm512_add_ps(_mm512_shuffle_f32x4(v[2], v[3], 0x44), _mm512_shuffle_f32x4(v[2], v[3], 0xee));
    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_shuffle_f32x4(p, q, 0x88), _mm512_shuffle_f32x4(p, q, 0xdd)));
}

/* Rows past n are 0. */
static void arrange(const dcv_dense *d, int n, int rows, const float *const *gy, float *g)
{
    memset(g, 0, (size_t)(rows * wide(d)) * sizeof *g);
    for (int r = 0; r < n; r++)
        for (int64_t j = 0; j < d->n; j++)
            g[(j / B * rows + r) * B + j % B] = gy[r][j];
}

void dcv_adjoint_dense_run(const dcv_dense *d, const float *packed, int n, const float *const *gy, float *const *gx,
                           void *scratch)
{
    const int level = n > 4 ? 3 : n > 2 ? 2 : n > 1, rows = 1 << level;
    const int64_t panels = wide(d) / PANEL;
    float *g = scratch, *acc = g + DCV_GROUP * wide(d), lane[B];
    arrange(d, n, rows, gy, g);
    for (int64_t k0 = 0; k0 < d->k; k0 += CHUNK) {
        const int64_t k = d->k - k0 < CHUNK ? d->k - k0 : CHUNK;
        memset(acc, 0, (size_t)(CHUNK * rows * B) * sizeof *acc);
        for (int64_t p = 0; p < panels;) {
            const int take = panels - p < TOGETHER ? 1 : TOGETHER;
            sums[level][take > 1](k, g + p * PANEL * rows, packed, k * PANEL, acc);
            packed += take * k * PANEL;
            p += take;
        }
        for (int r = 0; r < n; r++)
            for (int64_t i = 0; i < k; i += B) {
                total(acc + (i * rows + r) * B, rows * B, lane);
                memcpy(gx[r] + k0 + i, lane, (size_t)(k - i < B ? k - i : B) * sizeof *lane);
            }
    }
}

#else
void dcv_adjoint_dense_run(const dcv_dense *d, const float *packed, int n, const float *const *gy, float *const *gx,
                           void *scratch)
{
    (void)d, (void)packed, (void)n, (void)gy, (void)gx, (void)scratch;
}
#endif
