/* maxpool.c -- ONNX MaxPool (1, 8, 10, 11, 12): 1-D to 3-D, dilations, ceil_mode, Indices.
 *
 * y = max of x over each window clipped to the image.  The winner is the first maximum in row-major order; padding
 * never wins.  A NaN in the window wins over all numbers (PyTorch does so).
 */
#include <math.h>
#include <string.h>
#include "engine/ops/pool.h"
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define DCV_X86 1
#endif

static const dcv_field fields[] = {DCV_WINDOW_FIELDS(dcv_pool_attr, window),
                                   {"ceil_mode", DCV_FIELD_INT, DCV_AT(dcv_pool_attr, ceil_mode), .dflt = "0", .min = 0,
                                    .max = 1, .help = "round extents up"},
                                   {"storage_order", DCV_FIELD_INT, DCV_AT(dcv_pool_attr, storage_order), .dflt = "0",
                                    .min = 0, .max = 1, .help = "of Indices: 1 is column-major"},
                                   DCV_FIELDS_END};

/* Cell of the plane that wins at one output cell of one lane. */
static int64_t winner(const dcv_pool_nest *n, const float *x, const dcv_taps t[3], int lanes)
{
    int64_t best = -1;
    for (int64_t i = t[0].lo, z = t[0].at; i < t[0].hi; i++, z += n->win[0].dilation)
        for (int64_t j = t[1].lo, r = t[1].at; j < t[1].hi; j++, r += n->win[1].dilation)
            for (int64_t k = t[2].lo, c = t[2].at; k < t[2].hi; k++, c += n->win[2].dilation) {
                const int64_t at = (z * n->in[1] + r) * n->in[2] + c;
                if (best < 0 || x[at * lanes] > x[best * lanes] || x[at * lanes] != x[at * lanes])
                    best = at;
            }
    return best;
}

/* A cell's number when the last axis of space runs slowest. */
static int64_t column_major(const dcv_pool_nest *n, int64_t at)
{
    const int64_t c = at % n->in[2], r = at / n->in[2] % n->in[1], z = at / n->in[2] / n->in[1];
    return (c * n->in[1] + r) * n->in[0] + z;
}

/* Indices of one lane, first: the number of its plane's first cell. */
static void winners(const dcv_pool_nest *n, const float *x, int lanes, bool columns, int64_t first, float *y)
{
    dcv_taps t[3];
    for (int64_t d = 0; d < n->out[0]; d++)
        for (int64_t r = 0; r < n->out[1]; r++)
            for (int64_t c = 0; c < n->out[2]; c++, y += lanes) {
                t[0] = dcv_window_taps(&n->win[0], d, n->in[0]);
                t[1] = dcv_window_taps(&n->win[1], r, n->in[1]);
                t[2] = dcv_window_taps(&n->win[2], c, n->in[2]);
                const int64_t at = winner(n, x, t, lanes);
                *y = (float)(first + (columns ? column_major(n, at) : at));
            }
}

static bool numbers_by_switch(const dcv_pool_nest *n, int lanes, const float *x, const float *y, int64_t first,
                              float *to);

/* Output 1: flat over the picture's [N,C,space]; a float holds them exactly up to 2^24. */
static void indices(const dcv_pool_nest *n, const dcv_blob *x, bool columns, const dcv_blob *top, dcv_blob *y)
{
    const dcv_blob_shape sx = dcv_blob_shape_of(x->dims, x->block), sy = dcv_blob_shape_of(y->dims, y->block);
    const int64_t block = y->block;
    for (int64_t q = 0; q < dcv_blob_outer(y); q++)
        for (int64_t b = 0; b < sx.blocks; b++) {
            const float *from = dcv_blob_slice(x, q) + b * sx.cells * block;
            float *to = dcv_blob_slice(y, q) + b * sy.cells * block;
            const int64_t first = (q % x->dims->d[0] * sx.c + b * block) * sx.cells;
            if (!columns &&
                numbers_by_switch(n, (int)block, from, dcv_blob_slice(top, q) + b * sy.cells * block, first, to))
                continue;
            for (int64_t l = 0; l < block && b * block + l < sx.c; l++)
                winners(n, from + l, (int)block, columns, first + l * sx.cells, to + l);
        }
    dcv_blob_clear_tail(y);
}

/* Indices count cells of the whole map. */
static bool crop(const dcv_graph *g, dcv_node *nd, float *border)
{
    (void)g;
    dcv_window_crop(&((dcv_pool_attr *)nd->attr)->window);
    *border = -INFINITY;
    return nd->n_out < 2 || nd->out[1] < 0;
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const dcv_blob *x = &io->x[0];
    dcv_blob *y = &io->y[0];
    const dcv_pool_nest n = dcv_pool_nest_of(&((const dcv_pool_attr *)nd->attr)->window, x->dims, y->dims);
    const dcv_blob_shape sx = dcv_blob_shape_of(x->dims, x->block), sy = dcv_blob_shape_of(y->dims, y->block);
    for (int64_t q = 0; q < dcv_blob_outer(y); q++) {
        const float *from = dcv_blob_slice(x, q);
        float *to = dcv_blob_slice(y, q);
        for (int64_t b = 0; b < sy.blocks; b++, from += sx.cells * x->block, to += sy.cells * y->block)
            dcv_pool_plane(DCV_POOL_MAX, &n, y->block, from, to);
    }
    if (nd->n_out > 1 && nd->out[1] >= 0)
        indices(&n, x, ((const dcv_pool_attr *)nd->attr)->storage_order != 0, &io->y[0], &io->y[1]);
}

/* ---- switches: which cell of its window has won, as its number in the window ---- */

static int64_t window_cells(const dcv_node *nd)
{
    const dcv_window_attr *a = &((const dcv_pool_attr *)nd->attr)->window;
    int64_t n = 1;
    for (int i = 0; i < a->n_space; i++)
        n = n > INT32_MAX / a->win[i].kernel ? INT32_MAX : n * a->win[i].kernel;
    return n;
}

static size_t switch_bytes(const dcv_node *nd)
{
    const int64_t n = window_cells(nd);
    return n <= 256 ? 1 : n <= 65536 ? 2 : 4;
}

static size_t saved_bytes(const dcv_graph *g, const dcv_node *nd, int block)
{
    return (size_t)dcv_blob_shape_of(&g->value[nd->out[0]].dims, block).floats * switch_bytes(nd);
}

static void put(void *saved, size_t each, int64_t i, uint32_t v)
{
    if (each == 1)
        ((uint8_t *)saved)[i] = (uint8_t)v;
    else if (each == 2)
        ((uint16_t *)saved)[i] = (uint16_t)v;
    else
        ((uint32_t *)saved)[i] = v;
}

static uint32_t get(const void *saved, size_t each, int64_t i)
{
    return each == 1   ? ((const uint8_t *)saved)[i]
           : each == 2 ? ((const uint16_t *)saved)[i]
                       : ((const uint32_t *)saved)[i];
}

/* The switch of each lane of one output cell: the first cell that equals the maximum (the first one inside
 * where it is no number). */
DCV_INLINE void find(const dcv_pool_nest *n, const float *x, const dcv_taps t[3], int lanes, const float *y,
                     uint32_t *won)
{
    for (int64_t i = t[0].hi - 1; i >= t[0].lo; i--)
        for (int64_t j = t[1].hi - 1; j >= t[1].lo; j--)
            for (int64_t k = t[2].hi - 1; k >= t[2].lo; k--) {
                const int64_t z = t[0].at + (i - t[0].lo) * n->win[0].dilation,
                              r = t[1].at + (j - t[1].lo) * n->win[1].dilation,
                              c = t[2].at + (k - t[2].lo) * n->win[2].dilation;
                const float *at = x + ((z * n->in[1] + r) * n->in[2] + c) * lanes;
                const uint32_t tap = (uint32_t)((i * n->win[1].kernel + j) * n->win[2].kernel + k);
                const bool first = i == t[0].lo && j == t[1].lo && k == t[2].lo;
                for (int l = 0; l < lanes; l++) { /* no branch, which would be guessed wrong half of the time */
                    const uint32_t hit = 0U - (uint32_t)(at[l] == y[l]);
                    won[l] = (won[l] & ~hit) | (tap & hit);
                }
                for (int l = 0; l < lanes && first; l++)
                    won[l] = y[l] != y[l] ? tap : won[l];
            }
}

enum { MOST_TAPS = 64 };

/* Indices from switches: the window's first cell, and from there the tap's.  False: some lane holds no number, or the
 * window is too large. */
DCV_INLINE bool number_plane(const dcv_pool_nest *n, int lanes, const float *x, const float *y, int64_t first,
                             float *to)
{
    const int64_t kr = n->win[1].kernel, kc = n->win[2].kernel, taps = n->win[0].kernel * kr * kc,
                  cells = n->in[0] * n->in[1] * n->in[2];
    int32_t step[MOST_TAPS];
    dcv_taps t[3];
    if (taps > MOST_TAPS)
        return false;
    for (int64_t k = 0; k < taps; k++)
        step[k] =
            (int32_t)((k / kc / kr * n->win[0].dilation * n->in[1] + k / kc % kr * n->win[1].dilation) * n->in[2] +
                      k % kc * n->win[2].dilation);
    for (int64_t d = 0; d < n->out[0]; d++)
        for (int64_t r = 0; r < n->out[1]; r++)
            for (int64_t c = 0; c < n->out[2]; c++, y += lanes, to += lanes) {
                uint32_t won[DCV_BLOCK_MAX] = {0};
                bool nan = false;
                t[0] = dcv_window_taps(&n->win[0], d, n->in[0]);
                t[1] = dcv_window_taps(&n->win[1], r, n->in[1]);
                t[2] = dcv_window_taps(&n->win[2], c, n->in[2]);
                find(n, x, t, lanes, y, won);
                const int64_t at =
                    ((d * n->win[0].stride - n->win[0].pad_lo) * n->in[1] + r * n->win[1].stride - n->win[1].pad_lo) *
                        n->in[2] +
                    c * n->win[2].stride - n->win[2].pad_lo;
                for (int l = 0; l < lanes; l++) {
                    nan = nan || y[l] != y[l];
                    to[l] = (float)((int32_t)(first + at) + l * (int32_t)cells + step[won[l]]); /* below 2^24 */
                }
                if (nan)
                    return false;
            }
    return true;
}

DCV_CLONES static bool number_any(const dcv_pool_nest *n, int lanes, const float *x, const float *y, int64_t first,
                                  float *to)
{
    if (lanes == 16)
        return number_plane(n, 16, x, y, first, to);
    if (lanes == 8)
        return number_plane(n, 8, x, y, first, to);
    return number_plane(n, 1, x, y, first, to);
}

static bool numbers_by_switch(const dcv_pool_nest *n, int lanes, const float *x, const float *y, int64_t first,
                              float *to)
{
    return number_any(n, lanes, x, y, first, to);
}

DCV_INLINE void find_plane(const dcv_pool_nest *n, int lanes, const float *x, const float *y, size_t each, void *saved,
                           int64_t first)
{
    dcv_taps t[3];
    for (int64_t o = 0; o < n->out[0] * n->out[1] * n->out[2]; o++) {
        uint32_t won[DCV_BLOCK_MAX] = {0};
        t[0] = dcv_window_taps(&n->win[0], o / n->out[2] / n->out[1], n->in[0]);
        t[1] = dcv_window_taps(&n->win[1], o / n->out[2] % n->out[1], n->in[1]);
        t[2] = dcv_window_taps(&n->win[2], o % n->out[2], n->in[2]);
        find(n, x, t, lanes, y + o * lanes, won);
        uint8_t *bytes = (uint8_t *)saved + first + o * lanes;
        for (int l = 0; l < lanes && each == 1; l++)
            bytes[l] = (uint8_t)won[l];
        for (int l = 0; l < lanes && each > 1; l++)
            put(saved, each, first + o * lanes + l, won[l]);
    }
}

DCV_CLONES static void find_any(const dcv_pool_nest *n, int lanes, const float *x, const float *y, size_t each,
                                void *saved, int64_t first)
{
    if (lanes == 16)
        find_plane(n, 16, x, y, each, saved, first);
    else if (lanes == 8)
        find_plane(n, 8, x, y, each, saved, first);
    else
        find_plane(n, 1, x, y, each, saved, first);
}

#ifdef DCV_X86
/* The same for blocks of 16 and switches of one byte. */
__attribute__((target("avx512f"))) static void find_avx512(const dcv_pool_nest *n, const float *x, const float *y,
                                                           uint8_t *saved)
{
    dcv_taps t[3];
    for (int64_t o = 0; o < n->out[0] * n->out[1] * n->out[2]; o++) {
        const __m512 top = _mm512_loadu_ps(y + o * 16);
        __m512i won = _mm512_setzero_si512();
        t[0] = dcv_window_taps(&n->win[0], o / n->out[2] / n->out[1], n->in[0]);
        t[1] = dcv_window_taps(&n->win[1], o / n->out[2] % n->out[1], n->in[1]);
        t[2] = dcv_window_taps(&n->win[2], o % n->out[2], n->in[2]);
        for (int64_t i = t[0].hi - 1; i >= t[0].lo; i--)
            for (int64_t j = t[1].hi - 1; j >= t[1].lo; j--) {
                const int64_t z = t[0].at + (i - t[0].lo) * n->win[0].dilation,
                              r = t[1].at + (j - t[1].lo) * n->win[1].dilation;
                const float *row = x + ((z * n->in[1] + r) * n->in[2] + t[2].at) * 16;
                for (int64_t k = t[2].hi - 1; k >= t[2].lo; k--) {
                    const __m512 v = _mm512_loadu_ps(row + (k - t[2].lo) * n->win[2].dilation * 16);
                    const int tap = (int)((i * n->win[1].kernel + j) * n->win[2].kernel + k);
                    won = _mm512_mask_mov_epi32(won, _mm512_cmp_ps_mask(v, top, _CMP_EQ_OQ), _mm512_set1_epi32(tap));
                }
            }
        const int first = (int)((t[0].lo * n->win[1].kernel + t[1].lo) * n->win[2].kernel + t[2].lo);
        won = _mm512_mask_mov_epi32(won, _mm512_cmp_ps_mask(top, top, _CMP_UNORD_Q), _mm512_set1_epi32(first));
        _mm_storeu_si128((__m128i *)(saved + o * 16), _mm512_cvtepi32_epi8(won));
    }
}
#endif

static void find_best(const dcv_pool_nest *n, int lanes, const float *x, const float *y, size_t each, void *saved,
                      int64_t first)
{
#ifdef DCV_X86
    if (lanes == 16 && each == 1 && __builtin_cpu_supports("avx512f")) {
        find_avx512(n, x, y, (uint8_t *)saved + first);
        return;
    }
#endif
    find_any(n, lanes, x, y, each, saved, first);
}

static void save(const dcv_graph *g, const dcv_node *nd, const dcv_io *io, void *saved)
{
    (void)g;
    const dcv_blob *x = &io->x[0], *y = &io->y[0];
    const dcv_pool_nest n = dcv_pool_nest_of(&((const dcv_pool_attr *)nd->attr)->window, x->dims, y->dims);
    const dcv_blob_shape sx = dcv_blob_shape_of(x->dims, x->block), sy = dcv_blob_shape_of(y->dims, y->block);
    const int64_t px = sx.cells * x->block, py = sy.cells * y->block;
    int64_t first = 0;
    for (int64_t q = 0; q < dcv_blob_outer(y); q++)
        for (int64_t b = 0; b < sy.blocks; b++, first += py)
            find_best(&n, y->block, dcv_blob_slice(x, q) + b * px, dcv_blob_slice(y, q) + b * py, switch_bytes(nd),
                      saved, first);
}

/* Overlapping windows add. */
DCV_INLINE void scatter(const dcv_pool_nest *n, int lanes, const float *gy, size_t each, const void *saved,
                        int64_t first, float *gx)
{
    const int64_t kr = n->win[1].kernel, kc = n->win[2].kernel;
    for (int64_t d = 0, o = 0; d < n->out[0]; d++)
        for (int64_t r = 0; r < n->out[1]; r++)
            for (int64_t c = 0; c < n->out[2]; c++, o++) {
                const int64_t z0 = d * n->win[0].stride - n->win[0].pad_lo,
                              r0 = r * n->win[1].stride - n->win[1].pad_lo,
                              c0 = c * n->win[2].stride - n->win[2].pad_lo;
                for (int l = 0; l < lanes; l++) {
                    const float v = gy[o * lanes + l];
                    if (v == 0)
                        continue;
                    const int64_t tap = get(saved, each, first + o * lanes + l);
                    const int64_t z = z0 + tap / kc / kr * n->win[0].dilation,
                                  i = r0 + tap / kc % kr * n->win[1].dilation, k = c0 + tap % kc * n->win[2].dilation;
                    gx[((z * n->in[1] + i) * n->in[2] + k) * lanes + l] += v;
                }
            }
}

#ifdef DCV_X86
/* The same for blocks of 16 and switches of one byte: tap by tap, the lanes that it has won.  Of windows that lie
 * inside every tap is added to, most of them nothing, which is faster than asking. */
__attribute__((target("avx512f"))) static inline void scatter_window(const dcv_pool_nest *n, __m512 v, __m512i won,
                                                                     bool inside, float *gx)
{
    const __mmask16 any = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    const int64_t kd = n->win[0].kernel, kr = n->win[1].kernel, kc = n->win[2].kernel;
    __m512i tap = _mm512_setzero_si512();
    for (int64_t i = 0; i < kd; i++)
        for (int64_t j = 0; j < kr; j++) {
            float *to = gx + (i * n->win[0].dilation * n->in[1] + j * n->win[1].dilation) * n->in[2] * 16;
            for (int64_t k = 0; k < kc; k++, to += n->win[2].dilation * 16) {
                const __mmask16 m = _mm512_mask_cmpeq_epi32_mask(any, won, tap);
                tap = _mm512_add_epi32(tap, _mm512_set1_epi32(1));
                if (inside) {
                    const __m512 old = _mm512_loadu_ps(to);
                    _mm512_storeu_ps(to, _mm512_mask_add_ps(old, m, old, v));
                } else if (m) {
                    _mm512_mask_storeu_ps(to, m, _mm512_add_ps(_mm512_maskz_loadu_ps(m, to), v));
                }
            }
        }
}

static bool lies_inside(const dcv_window *w, int64_t from, int64_t in)
{
    return from >= 0 && from + (w->kernel - 1) * w->dilation < in;
}

__attribute__((target("avx512f"))) static void scatter_avx512(const dcv_pool_nest *n, const float *gy,
                                                              const uint8_t *saved, float *gx)
{
    for (int64_t d = 0, o = 0; d < n->out[0]; d++)
        for (int64_t r = 0; r < n->out[1]; r++)
            for (int64_t c = 0; c < n->out[2]; c++, o++) {
                const __m512 v = _mm512_loadu_ps(gy + o * 16);
                if (!_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ))
                    continue;
                const __m512i won = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(saved + o * 16)));
                const int64_t z = d * n->win[0].stride - n->win[0].pad_lo, y = r * n->win[1].stride - n->win[1].pad_lo,
                              x = c * n->win[2].stride - n->win[2].pad_lo;
                float *to = gx + ((z * n->in[1] + y) * n->in[2] + x) * 16;
                if (lies_inside(&n->win[0], z, n->in[0]) && lies_inside(&n->win[1], y, n->in[1]) &&
                    lies_inside(&n->win[2], x, n->in[2]))
                    scatter_window(n, v, won, true, to);
                else
                    scatter_window(n, v, won, false, to);
            }
}
#endif

static void scatter_best(const dcv_pool_nest *n, int lanes, const float *gy, size_t each, const void *saved,
                         int64_t first, float *gx)
{
#ifdef DCV_X86
    if (lanes == 16 && each == 1 && __builtin_cpu_supports("avx512f")) {
        scatter_avx512(n, gy, (const uint8_t *)saved + first, gx);
        return;
    }
#endif
    scatter(n, lanes, gy, each, saved, first, gx);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const dcv_blob *gy = &io->gy[0], *gx = &io->gx[0];
    const dcv_pool_nest n = dcv_pool_nest_of(&((const dcv_pool_attr *)nd->attr)->window, gx->dims, gy->dims);
    const dcv_blob_shape sx = dcv_blob_shape_of(gx->dims, gx->block), sy = dcv_blob_shape_of(gy->dims, gy->block);
    const int64_t px = sx.cells * gx->block, py = sy.cells * gy->block;
    int64_t first = 0;
    memset(gx->data, 0, (size_t)sx.floats * sizeof *gx->data);
    for (int64_t q = 0; q < dcv_blob_outer(gy); q++)
        for (int64_t b = 0; b < sy.blocks; b++, first += py)
            scatter_best(&n, gy->block, dcv_blob_slice(gy, q) + b * py, switch_bytes(nd), io->saved, first,
                         dcv_blob_slice(gx, q) + b * px);
}

const dcv_op dcv_op_maxpool = {.name = "MaxPool",
                               .min_in = 1,
                               .max_in = 1,
                               .max_out = 2,
                               .attr_size = sizeof(dcv_pool_attr),
                               .fields = fields,
                               .layout = DCV_LAYOUT_SAME,
                               .shape = dcv_pool_shape,
                               .reads = dcv_pool_reads,
                               .crop = crop,
                               .forward = forward,
                               .back_layout = DCV_LAYOUT_SAME,
                               .saved_bytes = saved_bytes,
                               .save = save,
                               .backward = backward};
