/* dense.c -- products of a group of pictures with packed weights.
 *
 * Packed: [chunk of k][panel of 32 outputs][k][32].  A group has 8 pictures, so one pass over the weights serves
 * 8 rows, and the time is that of reading them (tests/bench/README.md).
 */
#include <math.h>
#include <string.h>
#include "engine/avx2.h"
#include "engine/dense.h"
#if defined(__x86_64__) && defined(__GNUC__)
#define DCV_X86 1
#endif

/* AHEAD: floats; weights are asked for 8 KB before they are needed, and memory gives 38 GB/s instead of 30 (AVX-512).
 */
enum { ROWS = DCV_GROUP, PANEL = 32, CHUNK = 256, AHEAD = 2048, LINE = 16 };

/* acc[ROWS][PANEL at stride ld] += sum over k of xt[k][ROWS] w[k][PANEL].  The weights are used by a number of shares;
 * a kernel may fetch the share-th part of the next ones, which lie behind them. */
typedef void (*kernel_fn)(int64_t k, const float *xt, const float *w, float *acc, int64_t ld, int64_t share,
                          int64_t shares);

static void kernel_plain(int64_t k, const float *xt, const float *w, float *acc, int64_t ld, int64_t share,
                         int64_t shares)
{
    (void)share, (void)shares;
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < PANEL; j++) {
            float sum = 0;
            for (int64_t i = 0; i < k; i++)
                sum = fmaf(xt[i * ROWS + r], w[i * PANEL + j], sum);
            acc[r * ld + j] += sum;
        }
}

#ifdef DCV_X86
#define DCV_AVX2 static inline __attribute__((always_inline, target("avx2,fma")))

/* rows rows of the panel, in registers, while floats from next on are fetched, step at a time. */
DCV_AVX2 void rows_avx2(int rows, int64_t k, const float *xt, const float *w, float *acc, int64_t ld, const float *next,
                        int64_t step)
{
    __m256 sum[3][PANEL / 8];
#pragma GCC unroll 3
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < PANEL / 8; j++)
            sum[r][j] = _mm256_setzero_ps();
    for (int64_t i = 0; i < k; i++) {
        __m256 x[3];
        _mm_prefetch((const char *)(next + i * step), _MM_HINT_T1);
#pragma GCC unroll 3
        for (int r = 0; r < rows; r++)
            x[r] = _mm256_broadcast_ss(xt + i * ROWS + r);
#pragma GCC unroll 4
        for (int j = 0; j < PANEL / 8; j++) {
            const __m256 a = _mm256_load_ps(w + i * PANEL + 8 * j);
#pragma GCC unroll 3
            for (int r = 0; r < rows; r++)
                dcv_accumulate(&sum[r][j], x[r], a);
        }
    }
#pragma GCC unroll 3
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < PANEL / 8; j++)
            _mm256_storeu_ps(acc + r * ld + 8 * j, _mm256_add_ps(_mm256_loadu_ps(acc + r * ld + 8 * j), sum[r][j]));
}

/* Sums of 3 rows fill twelve registers, so that a sum is not waited for. */
__attribute__((target("avx2,fma"))) static void kernel_avx2(int64_t k, const float *xt, const float *w, float *acc,
                                                            int64_t ld, int64_t share, int64_t shares)
{
    const int64_t step = LINE / shares;
    const float *next = w + k * PANEL + 2 * share * k * step;
    rows_avx2(3, k, xt, w, acc, ld, next, step);
    rows_avx2(3, k, xt + 3, w, acc + 3 * ld, ld, next + k * step, step);
    rows_avx2(2, k, xt + 6, w, acc + 6 * ld, ld, next, step);
}

__attribute__((target("avx512f"))) static void kernel_avx512(int64_t k, const float *xt, const float *w, float *acc,
                                                             int64_t ld, int64_t share, int64_t shares)
{
    (void)share, (void)shares;
    __m512 sum[2 * ROWS];
#pragma GCC unroll 16
    for (int i = 0; i < 2 * ROWS; i++)
        sum[i] = _mm512_setzero_ps();
    for (int64_t i = 0; i < k; i++) {
        _mm_prefetch((const char *)(w + i * PANEL + AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)(w + i * PANEL + AHEAD + 16), _MM_HINT_T0);
        const __m512 a = _mm512_load_ps(w + i * PANEL), b = _mm512_load_ps(w + i * PANEL + 16);
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++) {
            const __m512 x = _mm512_set1_ps(xt[i * ROWS + r]);
            sum[2 * r] = _mm512_fmadd_ps(x, a, sum[2 * r]);
            sum[2 * r + 1] = _mm512_fmadd_ps(x, b, sum[2 * r + 1]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) {
        float *to = acc + r * ld;
        _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), sum[2 * r]));
        _mm512_storeu_ps(to + 16, _mm512_add_ps(_mm512_loadu_ps(to + 16), sum[2 * r + 1]));
    }
}
#endif

static kernel_fn kernel(const char **name)
{
    const char *unused;
    name = name ? name : &unused;
#ifdef DCV_X86
    *name = "dense:avx512";
    if (__builtin_cpu_supports("avx512f"))
        return kernel_avx512;
    *name = "dense:avx2";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return kernel_avx2;
#endif
    *name = "dense";
    return kernel_plain;
}

const char *dcv_dense_kernel(void)
{
    const char *name;
    kernel(&name);
    return name;
}

static int64_t wide(const dcv_dense *d)
{
    return (d->n + PANEL - 1) / PANEL * PANEL;
}

static int64_t groups(int n_pictures)
{
    return (n_pictures + ROWS - 1) / ROWS;
}

size_t dcv_dense_packed_bytes(const dcv_dense *d)
{
    return (size_t)(d->k * wide(d)) * sizeof(float);
}

size_t dcv_dense_bias_floats(const dcv_dense *d)
{
    return (size_t)wide(d);
}

/* x of each group of rows, transposed, then sums of each. */
size_t dcv_dense_scratch_bytes(const dcv_dense *d, int n_pictures)
{
    return (size_t)(groups(n_pictures) * ROWS * (d->k + wide(d))) * sizeof(float);
}

void dcv_dense_pack(const dcv_dense *d, float *packed, float *bias)
{
    const int64_t w = wide(d);
    for (int64_t k0 = 0; k0 < d->k; k0 += CHUNK)
        for (int64_t j0 = 0; j0 < w; j0 += PANEL)
            for (int64_t k = k0; k < d->k && k < k0 + CHUNK; k++)
                for (int64_t j = j0; j < j0 + PANEL; j++)
                    *packed++ = j < d->n ? d->alpha * (d->transposed ? d->w[j * d->k + k] : d->w[k * d->n + j]) : 0;
    for (int64_t j = 0; j < w; j++)
        bias[j] = j < d->n && d->b ? d->beta * d->b[d->n_b == 1 ? 0 : j] : 0;
}

static void transpose(const dcv_dense *d, int n, const float *const *x, float *xt)
{
    memset(xt, 0, (size_t)(groups(n) * ROWS * d->k) * sizeof *xt);
    for (int r = 0; r < n; r++)
        for (int64_t k = 0; k < d->k; k++)
            xt[(r / ROWS * d->k + k) * ROWS + r % ROWS] = x[r][k];
}

static void finish(const dcv_dense *d, const float *acc, const float *bias, float *y)
{
    const float lo = d->act == DCV_ACT_NONE ? -INFINITY : d->act == DCV_ACT_RELU ? 0 : d->lo;
    const float hi = d->act == DCV_ACT_CLIP ? d->hi : INFINITY;
    for (int64_t j = 0; j < d->n; j++) {
        float v = acc[j] + bias[j];
        v = v < lo ? lo : v;
        y[j] = v > hi ? hi : v;
    }
}

/* A chunk of a panel is in the nearest cache for all groups of rows but the first. */
void dcv_dense_run(const dcv_dense *d, const float *packed, const float *bias, int n_pictures, const float *const *x,
                   float *const *y, void *scratch)
{
    const kernel_fn run = kernel(NULL);
    const int64_t w = wide(d), n = groups(n_pictures);
    float *xt = scratch, *acc = xt + n * ROWS * d->k;
    transpose(d, n_pictures, x, xt);
    memset(acc, 0, (size_t)(n * ROWS * w) * sizeof *acc);
    for (int64_t k0 = 0; k0 < d->k; k0 += CHUNK) {
        const int64_t k = d->k - k0 < CHUNK ? d->k - k0 : CHUNK;
        for (int64_t j = 0; j < w; j += PANEL, packed += k * PANEL)
            for (int64_t g = 0; g < n; g++)
                run(k, xt + (g * d->k + k0) * ROWS, packed, acc + g * ROWS * w + j, w, g, n);
    }
    for (int r = 0; r < n_pictures; r++)
        finish(d, acc + r * w, bias, y[r]);
}
