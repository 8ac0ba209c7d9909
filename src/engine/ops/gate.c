/* gate.c -- gates of activations in bits. */
#include "engine/ops/gate.h"
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define DCV_X86 1
#endif

static int64_t floats_of(const dcv_blob *b)
{
    return dcv_blob_shape_of(b->dims, b->block).floats;
}

size_t dcv_gate_bytes(const dcv_graph *g, const dcv_node *nd, int block)
{
    return (size_t)(dcv_blob_shape_of(&g->value[nd->out[0]].dims, block).floats + 7) / 8;
}

static void pack_plain(int64_t n, const float *y, float lo, float hi, uint8_t *bits)
{
    for (int64_t i = 0; i + 8 <= n; i += 8) {
        unsigned b = 0;
        for (int k = 0; k < 8; k++)
            b |= (unsigned)(y[i + k] > lo && y[i + k] < hi) << k;
        bits[i / 8] = (uint8_t)b;
    }
    if (n % 8) {
        unsigned b = 0;
        for (int64_t k = 0; k < n % 8; k++)
            b |= (unsigned)(y[n / 8 * 8 + k] > lo && y[n / 8 * 8 + k] < hi) << k;
        bits[n / 8] = (uint8_t)b;
    }
}

static void mask_plain(int64_t n, const uint8_t *bits, const float *gy, float *gx)
{
    for (int64_t i = 0; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            gx[i + k] = bits[i / 8] >> k & 1 ? gy[i + k] : 0;
    for (int64_t i = n / 8 * 8; i < n; i++)
        gx[i] = bits[i / 8] >> (i % 8) & 1 ? gy[i] : 0;
}

static void guide_plain(int64_t n, const uint8_t *bits, const float *gy, float *gx)
{
    for (int64_t i = 0; i < n; i++)
        gx[i] = gy[i] > 0 && bits[i / 8] >> (i % 8) & 1 ? gy[i] : 0;
}

#ifdef DCV_X86
/* Sixteen numbers at a time; returns how many are done. */
__attribute__((target("avx512f"))) static int64_t pack_avx512(int64_t n, const float *y, float lo, float hi,
                                                              uint8_t *bits)
{
    const __m512 l = _mm512_set1_ps(lo), h = _mm512_set1_ps(hi);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m512 v = _mm512_loadu_ps(y + i);
        const unsigned b = _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(v, l, _CMP_GT_OQ), v, h, _CMP_LT_OQ);
        bits[i / 8] = (uint8_t)b;
        bits[i / 8 + 1] = (uint8_t)(b >> 8);
    }
    return i;
}

__attribute__((target("avx512f"))) static int64_t mask_avx512(int64_t n, const uint8_t *bits, const float *gy,
                                                              float *gx)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __mmask16 b = (__mmask16)(bits[i / 8] | bits[i / 8 + 1] << 8);
        _mm512_storeu_ps(gx + i, _mm512_maskz_loadu_ps(b, gy + i));
    }
    return i;
}

__attribute__((target("avx512f"))) static int64_t guide_avx512(int64_t n, const uint8_t *bits, const float *gy,
                                                               float *gx)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __mmask16 b = (__mmask16)(bits[i / 8] | bits[i / 8 + 1] << 8);
        const __m512 v = _mm512_loadu_ps(gy + i);
        const __mmask16 m = _mm512_mask_cmp_ps_mask(b, v, _mm512_setzero_ps(), _CMP_GT_OQ);
        _mm512_storeu_ps(gx + i, _mm512_maskz_mov_ps(m, v));
    }
    return i;
}

/* Eight at a time. */
__attribute__((target("avx2"))) static int64_t pack_avx2(int64_t n, const float *y, float lo, float hi, uint8_t *bits)
{
    const __m256 l = _mm256_set1_ps(lo), h = _mm256_set1_ps(hi);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 v = _mm256_loadu_ps(y + i);
        bits[i / 8] = (uint8_t)_mm256_movemask_ps(
            _mm256_and_ps(_mm256_cmp_ps(v, l, _CMP_GT_OQ), _mm256_cmp_ps(v, h, _CMP_LT_OQ)));
    }
    return i;
}

/* All ones in the lanes whose bit is set. */
__attribute__((target("avx2"))) static inline __m256 lanes_of(uint8_t bits)
{
    const __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits), each), each));
}

__attribute__((target("avx2"))) static int64_t mask_avx2(int64_t n, const uint8_t *bits, const float *gy, float *gx)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(gx + i, _mm256_and_ps(lanes_of(bits[i / 8]), _mm256_loadu_ps(gy + i)));
    return i;
}

__attribute__((target("avx2"))) static int64_t guide_avx2(int64_t n, const uint8_t *bits, const float *gy, float *gx)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 v = _mm256_loadu_ps(gy + i), up = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ);
        _mm256_storeu_ps(gx + i, _mm256_and_ps(_mm256_and_ps(lanes_of(bits[i / 8]), up), v));
    }
    return i;
}
#endif

static void pack(int64_t n, const float *y, float lo, float hi, uint8_t *bits)
{
    int64_t done = 0;
#ifdef DCV_X86
    if (__builtin_cpu_supports("avx512f"))
        done = pack_avx512(n, y, lo, hi, bits);
    else if (__builtin_cpu_supports("avx2"))
        done = pack_avx2(n, y, lo, hi, bits);
#endif
    pack_plain(n - done, y + done, lo, hi, bits + done / 8);
}

static void mask(int64_t n, const uint8_t *bits, const float *gy, float *gx)
{
    int64_t done = 0;
#ifdef DCV_X86
    if (__builtin_cpu_supports("avx512f"))
        done = mask_avx512(n, bits, gy, gx);
    else if (__builtin_cpu_supports("avx2"))
        done = mask_avx2(n, bits, gy, gx);
#endif
    mask_plain(n - done, bits + done / 8, gy + done, gx + done);
}

void dcv_gate_save(const dcv_blob *y, float lo, float hi, void *saved)
{
    pack(floats_of(y), y->data, lo, hi, saved);
}

void dcv_gate_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    mask(floats_of(&io->gy[0]), io->saved, io->gy[0].data, io->gx[0].data);
}

void dcv_gate_guide(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    const int64_t n = floats_of(&io->gy[0]);
    const uint8_t *bits = io->saved;
    int64_t done = 0;
    (void)g, (void)nd;
#ifdef DCV_X86
    if (__builtin_cpu_supports("avx512f"))
        done = guide_avx512(n, bits, io->gy[0].data, io->gx[0].data);
    else if (__builtin_cpu_supports("avx2"))
        done = guide_avx2(n, bits, io->gy[0].data, io->gx[0].data);
#endif
    guide_plain(n - done, bits + done / 8, io->gy[0].data + done, io->gx[0].data + done);
}

void dcv_slope_run(const dcv_node *nd, const dcv_back_io *io, dcv_slope_fn fn)
{
    fn(nd->attr, floats_of(&io->gy[0]), io->x[0].data, io->y[0].data, io->gy[0].data, io->gx[0].data);
    dcv_blob_clear_tail(&io->gx[0]);
}
