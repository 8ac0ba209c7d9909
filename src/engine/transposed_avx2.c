/* transposed_avx2.c -- strided transposed convolutions, class by class.
 *
 * Packed weights: [group of 16 outputs][row class][column class][input block][tap row][tap column][8][16].
 */
#include <string.h>
#include "engine/transposed_avx2.h"
#include "engine/ops/window.h"

enum { B = 8, GROUP = 16, CELLS = 6, RUN = 96, MOST_CLASSES = 64 }; /* along an axis */

/* The cells number, number + stride, ... of an axis, n of them.  Cell q reads first + q, and taps - 1 more, step apart,
 * through the taps tap, tap - every, ... */
typedef struct class
{
    int64_t n, taps, first, step, tap, every;
} class;

static class class_of(const dcv_window *w, int64_t out, int64_t number)
{
    const dcv_cells c = dcv_window_covers(w, number);
    class k = {.n = number < out ? (out - number + w->stride - 1) / w->stride : 0, .first = c.lo, .step = c.step};
    k.taps = (c.hi - c.lo + c.step - 1) / c.step;
    if (k.taps) {
        k.tap = (number + w->pad_lo - c.lo * w->stride) / w->dilation;
        k.every = w->stride * c.step / w->dilation;
    }
    return k;
}

bool dcv_transposed8_takes(const dcv_conv_desc *d)
{
    for (int i = 0; i < d->n_space; i++)
        if (d->win[i].stride > MOST_CLASSES)
            return false;
    return d->groups == 1 && d->n_space <= 2 && d->ic >= B && d->oc >= B;
}

/* ---- plan ---- */

/* Border that some class reads, before and behind. */
static void plan_border(dcv_transposed8 *t, int axis)
{
    int64_t lo = 0, hi = t->in[axis];
    for (int64_t i = 0; i < t->win[axis].stride; i++) {
        const class c = class_of(&t->win[axis], t->out[axis], i);
        const int64_t end = c.first + c.n - 1 + (c.taps - 1) * c.step + 1;
        if (!c.n || !c.taps)
            continue;
        lo = c.first < lo ? c.first : lo;
        hi = end > hi ? end : hi;
    }
    t->lead[axis] = -lo;
    t->wide[axis] = hi - lo;
    t->widened = t->widened || t->wide[axis] > t->in[axis];
}

void dcv_transposed8_plan(const dcv_conv_desc *d, dcv_transposed8 *t)
{
    *t = (dcv_transposed8){.d = *d,
                           .ic_blocks = (d->ic + B - 1) / B,
                           .oc_blocks = (d->oc + B - 1) / B,
                           .groups = (d->oc + GROUP - 1) / GROUP,
                           .pictures = d->together > 1 ? DCV_GROUP : 1};
    for (int i = 0; i < 2; i++) {
        const int from = i - (2 - d->n_space);
        t->in[i] = from >= 0 ? d->in[from] : 1;
        t->out[i] = from >= 0 ? d->out[from] : 1;
        t->win[i] = from >= 0 ? d->win[from] : (dcv_window){1, 1, 1, 0, 0};
        plan_border(t, i);
    }
}

static int64_t taps(const dcv_transposed8 *t)
{
    return t->win[0].kernel * t->win[1].kernel;
}

size_t dcv_transposed8_packed_bytes(const dcv_transposed8 *t)
{
    return (size_t)(t->groups * GROUP * t->ic_blocks * B * taps(t)) * sizeof(float);
}

static int64_t wide_floats(const dcv_transposed8 *t)
{
    return t->ic_blocks * t->wide[0] * t->wide[1] * B;
}

size_t dcv_transposed8_scratch_bytes(const dcv_transposed8 *t)
{
    return t->widened ? (size_t)(t->pictures * wide_floats(t)) * sizeof(float) : 0;
}

bool dcv_transposed8_same_packing(const dcv_transposed8 *a, const dcv_transposed8 *b)
{
    for (int i = 0; i < 2; i++) {
        const dcv_window *v = &a->win[i], *w = &b->win[i];
        if (v->kernel != w->kernel || v->stride != w->stride || v->dilation != w->dilation ||
            (v->pad_lo - w->pad_lo) % v->stride)
            return false;
    }
    return a->d.ic == b->d.ic && a->d.oc == b->d.oc;
}

/* ---- weights ---- */

static float *pack_class(const dcv_transposed8 *t, const class *h, const class *v, int64_t group, const float *w,
                         const float *scale, float *to)
{
    const dcv_conv_desc *d = &t->d;
    for (int64_t b = 0; b < t->ic_blocks; b++)
        for (int64_t r = 0; r < h->taps; r++)
            for (int64_t c = 0; c < v->taps; c++) {
                const int64_t tap = (h->tap - r * h->every) * t->win[1].kernel + v->tap - c * v->every;
                for (int64_t i = b * B; i < (b + 1) * B; i++)
                    for (int64_t o = group * GROUP; o < (group + 1) * GROUP; o++) {
                        const float x = i < d->ic && o < d->oc ? w[(i * d->oc + o) * taps(t) + tap] : 0;
                        *to++ = scale && o < d->oc ? x * scale[o] : x;
                    }
            }
    return to;
}

void dcv_transposed8_pack(const dcv_transposed8 *t, const float *w, const float *scale, float *packed)
{
    for (int64_t g = 0; g < t->groups; g++)
        for (int64_t i = 0; i < t->win[0].stride; i++)
            for (int64_t j = 0; j < t->win[1].stride; j++) {
                const class h = class_of(&t->win[0], t->out[0], i), v = class_of(&t->win[1], t->out[1], j);
                packed = pack_class(t, &h, &v, g, w, scale, packed);
            }
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define DCV_AVX2 __attribute__((target("avx2,fma")))
#define DCV_TILE static inline __attribute__((always_inline, target("avx2,fma")))

/* ---- tiles ---- */

/* What the tiles of a class and group have in common. */
typedef struct job {
    const dcv_conv_desc *d;
    const float *w, *bias;      /* bias: of 16 outputs, or NULL */
    int64_t blocks, rows, cols; /* input blocks, taps */
    int64_t plane, row, col;    /* floats in x from a block to the next, from a tap to the one below, beside */
    int64_t slab;               /* floats in y from an output block to the next; 0: there is but one */
} job;

DCV_TILE __m256 finish(const dcv_conv_desc *d, __m256 v, const float *y)
{
    if (d->add)
        v = _mm256_add_ps(v, _mm256_loadu_ps(y));
    if (d->act == DCV_ACT_RELU)
        return _mm256_max_ps(_mm256_setzero_ps(), v);
    if (d->act == DCV_ACT_LEAKY)
        return _mm256_blendv_ps(v, _mm256_mul_ps(v, _mm256_set1_ps(d->act_lo)),
                                _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_LT_OQ));
    if (d->act == DCV_ACT_CLIP)
        return _mm256_min_ps(_mm256_set1_ps(d->act_hi), _mm256_max_ps(_mm256_set1_ps(d->act_lo), v));
    return v;
}

DCV_TILE void tile(const job *p, int n, const float *const *x, float *const *y)
{
    __m256 a[CELLS][2];
    const float *w = p->w;
#pragma GCC unroll 6
    for (int k = 0; k < n; k++)
        a[k][0] = a[k][1] = _mm256_setzero_ps();
    for (int64_t b = 0; b < p->blocks; b++)
        for (int64_t r = 0; r < p->rows; r++)
            for (int64_t c = 0; c < p->cols; c++) {
                const int64_t at = b * p->plane + r * p->row + c * p->col;
#pragma GCC unroll 8
                for (int l = 0; l < B; l++, w += GROUP) {
                    const __m256 w0 = _mm256_load_ps(w), w1 = _mm256_load_ps(w + B);
#pragma GCC unroll 6
                    for (int k = 0; k < n; k++) {
                        const __m256 s = _mm256_broadcast_ss(x[k] + at + l);
                        a[k][0] = _mm256_fmadd_ps(s, w0, a[k][0]);
                        a[k][1] = _mm256_fmadd_ps(s, w1, a[k][1]);
                    }
                }
            }
    const __m256 b0 = p->bias ? _mm256_loadu_ps(p->bias) : _mm256_setzero_ps(),
                 b1 = p->bias && p->slab ? _mm256_loadu_ps(p->bias + B) : _mm256_setzero_ps();
#pragma GCC unroll 6
    for (int k = 0; k < n; k++) {
        _mm256_storeu_ps(y[k], finish(p->d, _mm256_add_ps(a[k][0], b0), y[k]));
        if (p->slab)
            _mm256_storeu_ps(y[k] + p->slab, finish(p->d, _mm256_add_ps(a[k][1], b1), y[k] + p->slab));
    }
}

typedef void (*tile_fn)(const job *p, const float *const *x, float *const *y);

#define ONE(N)                                                                                                         \
    DCV_AVX2 static void tile_##N(const job *p, const float *const *x, float *const *y)                                \
    {                                                                                                                  \
        tile(p, N, x, y);                                                                                              \
    }
ONE(1)
ONE(2)
ONE(3)
ONE(4)
ONE(5)
ONE(6)
static const tile_fn tiles[CELLS] = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};

/* ---- classes ---- */

/* Maps of some pictures. */
typedef struct maps {
    const float *x;
    float *y;
    int64_t x_stride, y_stride, n;
} maps;

/* Cells from .. till - 1 of a class, counted over pictures, rows, columns. */
static void cells(const dcv_transposed8 *t, const job *p, const class *h, const class *v, const maps *m, int64_t i,
                  int64_t j, int64_t from, int64_t till)
{
    const float *x[CELLS];
    float *y[CELLS];
    int64_t c = from % v->n, q = from / v->n % h->n, picture = from / v->n / h->n;
    for (int64_t at = from; at < till;) {
        const int64_t tiles_left = (till - at + CELLS - 1) / CELLS, take = (till - at + tiles_left - 1) / tiles_left;
        for (int64_t k = 0; k < take; k++) {
            x[k] = m->x + picture * m->x_stride +
                   ((h->first + t->lead[0] + q) * t->wide[1] + v->first + t->lead[1] + c) * B;
            y[k] =
                m->y + picture * m->y_stride + ((i + q * t->win[0].stride) * t->out[1] + j + c * t->win[1].stride) * B;
            if (++c == v->n) {
                c = 0;
                if (++q == h->n) {
                    q = 0;
                    picture++;
                }
            }
        }
        tiles[take - 1](p, x, y);
        at += take;
    }
}

/* All column classes of a row class, a run of cells of each in turn, so that neighbours in y are written soon after one
 * another. */
static const float *row_class(const dcv_transposed8 *t, int64_t group, int64_t i, const float *w, const float *bias,
                              const maps *m)
{
    const class h = class_of(&t->win[0], t->out[0], i);
    const int64_t cells_out = t->out[0] * t->out[1], s = t->win[1].stride;
    const int64_t most = h.n * ((t->out[1] + s - 1) / s) * m->n;
    const float *end = w;
    for (int64_t from = 0; !from || from < most; from += RUN) {
        const float *mine = w;
        for (int64_t j = 0; j < s; j++) {
            const class v = class_of(&t->win[1], t->out[1], j);
            const int64_t n = h.n * v.n * m->n, till = from + RUN < n ? from + RUN : n;
            const job p = {.d = &t->d,
                           .w = mine,
                           .bias = bias ? bias + group * GROUP : NULL,
                           .blocks = h.taps && v.taps ? t->ic_blocks : 0,
                           .rows = h.taps,
                           .cols = v.taps,
                           .plane = t->wide[0] * t->wide[1] * B,
                           .row = h.step * t->wide[1] * B,
                           .col = v.step * B,
                           .slab = 2 * group + 1 < t->oc_blocks ? cells_out * B : 0};
            if (from < till)
                cells(t, &p, &h, &v, m, i, j, from, till);
            mine += h.taps * v.taps * t->ic_blocks * B * GROUP;
        }
        end = mine;
    }
    return end;
}

/* The input with its border of zeros. */
static void widen(const dcv_transposed8 *t, const float *x, float *to)
{
    const size_t cell = B * sizeof(float);
    const int64_t h = t->in[0], w = t->in[1], right = t->wide[1] - w - t->lead[1];
    for (int64_t b = 0; b < t->ic_blocks; b++)
        for (int64_t r = -t->lead[0]; r < t->wide[0] - t->lead[0]; r++, to += t->wide[1] * B) {
            if (r < 0 || r >= h) {
                memset(to, 0, (size_t)t->wide[1] * cell);
                continue;
            }
            memset(to, 0, (size_t)t->lead[1] * cell);
            memcpy(to + t->lead[1] * B, x + (b * h + r) * w * B, (size_t)w * cell);
            memset(to + (t->lead[1] + w) * B, 0, (size_t)right * cell);
        }
}

static void run_at_once(const dcv_transposed8 *t, maps m, const float *packed, const float *bias, float *scratch)
{
    if (t->widened) {
        for (int64_t k = 0; k < m.n; k++)
            widen(t, m.x + k * m.x_stride, scratch + k * wide_floats(t));
        m.x = scratch;
        m.x_stride = wide_floats(t);
    }
    for (int64_t g = 0; g < t->groups; g++) {
        const maps group = {m.x, m.y + 2 * g * t->out[0] * t->out[1] * B, m.x_stride, m.y_stride, m.n};
        for (int64_t i = 0; i < t->win[0].stride; i++)
            packed = row_class(t, g, i, packed, bias, &group);
    }
}

void dcv_transposed8_run(const dcv_transposed8 *t, int n, const float *x, int64_t x_stride, const float *packed,
                         const float *bias, float *y, int64_t y_stride, float *scratch)
{
    for (int k = 0; k < n; k += t->pictures) {
        const int take = n - k < t->pictures ? n - k : t->pictures;
        run_at_once(t, (maps){x + k * x_stride, y + k * y_stride, x_stride, y_stride, take}, packed, bias, scratch);
    }
}

#else
void dcv_transposed8_run(const dcv_transposed8 *t, int n, const float *x, int64_t x_stride, const float *packed,
                         const float *bias, float *y, int64_t y_stride, float *scratch)
{
    (void)t, (void)n, (void)x, (void)x_stride, (void)packed, (void)bias, (void)y, (void)y_stride, (void)scratch;
}
#endif
