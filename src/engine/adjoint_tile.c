/* adjoint_tile.c -- convolutions walked back in tiles of registers.
 *
 * Weights of a chunk: [block of 16 outputs of the convolution][kernel row][kernel column][16][16 groups], taps from
 * the last to the first, so that tiles read on.  Own packed weights: [group of 64 inputs][row class][column class] of
 * such, all output blocks.
 */
#include <string.h>
#include "engine/adjoint_tile.h"

enum { B = 16, MAX_GROUPS = 4, MAX_COLUMNS = 24, CHUNK_FLOATS = 65536, TILE_GROUP = 64 };

/* ---- classes ---- */

dcv_class dcv_class_of(const dcv_window *w, int64_t in, int64_t number)
{
    const int64_t s = w->stride, tap = ((number + w->pad_lo) % s + s) % s; /* borders of boxes may be below 0 */
    dcv_class c = {.n = number < in ? (in - number + s - 1) / s : 0,
                   .taps = tap < w->kernel ? (w->kernel - tap + s - 1) / s : 0,
                   .tap = tap,
                   .step = s == 1 ? w->dilation : 1};
    c.first = (number + w->pad_lo - tap) / s - (c.taps - 1) * c.step;
    return c;
}

void dcv_class_axes(const dcv_conv_desc *d, int64_t in[2], int64_t out[2], dcv_window win[2])
{
    for (int i = 0; i < 2; i++) {
        const int from = i - (2 - d->n_space);
        in[i] = from >= 0 ? d->in[from] : 1;
        out[i] = from >= 0 ? d->out[from] : 1;
        win[i] = from >= 0 ? d->win[from] : (dcv_window){1, 1, 1, 0, 0};
    }
}

void dcv_class_inside(const dcv_class *c, int64_t at, int64_t n, int64_t *lo, int64_t *hi)
{
    *lo = at < 0 ? (-at + c->step - 1) / c->step : 0;
    *hi = n > at ? (n - at + c->step - 1) / c->step : 0;
    *hi = *hi < c->taps ? *hi : c->taps;
    *lo = *lo < *hi ? *lo : *hi;
}

/* ---- plans ---- */

bool dcv_adjoint_tile_takes(const dcv_conv_desc *d)
{
    if (d->groups != 1 || d->n_space > 2 || d->ic < B / 2)
        return false;
    for (int i = 0; i < d->n_space; i++)
        if (d->win[i].stride > 1 && d->win[i].dilation > 1)
            return false;
    return true;
}

void dcv_adjoint_tile_plan(const dcv_conv_desc *d, bool shared, dcv_adjoint_tile *t)
{
    *t = (dcv_adjoint_tile){
        .d = *d, .shared = shared, .ic_blocks = (d->ic + B - 1) / B, .oc_blocks = (d->oc + B - 1) / B};
    dcv_class_axes(d, t->in, t->out, t->win);
}

static int64_t taps(const dcv_adjoint_tile *t)
{
    return t->win[0].kernel * t->win[1].kernel;
}

size_t dcv_adjoint_tile_packed_bytes(const dcv_adjoint_tile *t)
{
    return t->shared ? 0 : (size_t)(t->ic_blocks * t->oc_blocks * taps(t) * B * B) * sizeof(float);
}

/* Output blocks whose weights are turned at once: whole groups of 64 outputs. */
static int64_t chunk_of(const dcv_adjoint_tile *t, const dcv_class *h, const dcv_class *w, int groups)
{
    const int64_t each = h->taps * w->taps * B * B * groups, least = TILE_GROUP / B;
    int64_t n = each ? CHUNK_FLOATS / each / least * least : t->oc_blocks;
    n = n < least ? least : n;
    return n < t->oc_blocks ? n : t->oc_blocks;
}

static int64_t chunk_floats(const dcv_adjoint_tile *t)
{
    const int64_t one = taps(t) * B * B * MAX_GROUPS * (TILE_GROUP / B);
    return one > CHUNK_FLOATS ? one : CHUNK_FLOATS;
}

/* Rows and columns of the signal that n cells read. */
static int64_t span(const dcv_class *c, int64_t n)
{
    return c->taps ? (c->taps - 1) * c->step + n : n;
}

size_t dcv_adjoint_tile_scratch_bytes(const dcv_adjoint_tile *t)
{
    int64_t patch = 0;
    for (int64_t i = 0; i < t->win[0].stride; i++)
        for (int64_t j = 0; j < t->win[1].stride; j++) {
            const dcv_class h = dcv_class_of(&t->win[0], t->in[0], i), w = dcv_class_of(&t->win[1], t->in[1], j);
            const int64_t floats = chunk_of(t, &h, &w, 1) * h.taps * span(&w, MAX_COLUMNS) * B;
            patch = floats > patch ? floats : patch;
        }
    return (size_t)(chunk_floats(t) + patch) * sizeof(float);
}

static int groups_at(const dcv_adjoint_tile *t, int64_t block)
{
    return (int)(t->ic_blocks - block < MAX_GROUPS ? t->ic_blocks - block : MAX_GROUPS);
}

static float *pack_class(const dcv_adjoint_tile *t, const dcv_class *h, const dcv_class *w, int64_t block,
                         const float *from, const float *scale, float *to)
{
    const dcv_conv_desc *d = &t->d;
    const int64_t lanes = groups_at(t, block) * B, kw = t->win[1].kernel;
    for (int64_t b = 0; b < t->oc_blocks; b++)
        for (int64_t r = h->taps - 1; r >= 0; r--)
            for (int64_t c = w->taps - 1; c >= 0; c--)
                for (int64_t o = b * B; o < (b + 1) * B; o++)
                    for (int64_t i = block * B; i < block * B + lanes; i++) {
                        const int64_t tap = (h->tap + r * t->win[0].stride) * kw + w->tap + c * t->win[1].stride;
                        const float v = o < d->oc && i < d->ic ? from[(o * d->ic + i) * taps(t) + tap] : 0;
                        *to++ = scale && o < d->oc ? v * scale[o] : v;
                    }
    return to;
}

void dcv_adjoint_tile_pack(const dcv_adjoint_tile *t, const float *w, const float *scale, float *packed)
{
    for (int64_t block = 0; !t->shared && block < t->ic_blocks; block += MAX_GROUPS)
        for (int64_t i = 0; i < t->win[0].stride; i++)
            for (int64_t j = 0; j < t->win[1].stride; j++) {
                const dcv_class h = dcv_class_of(&t->win[0], t->in[0], i), v = dcv_class_of(&t->win[1], t->in[1], j);
                packed = pack_class(t, &h, &v, block, w, scale, packed);
            }
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* ---- turning ---- */

static inline __attribute__((always_inline, target("avx512f"))) void turn(const float *from, float *to, int64_t row)
{
    __m512 a[B], b[B];
#pragma GCC unroll 16
    for (int i = 0; i < B; i++)
        a[i] = _mm512_loadu_ps(from + i * TILE_GROUP);
#pragma GCC unroll 8
    for (int i = 0; i < B; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < B; i += 4)
#pragma GCC unroll 2
        for (int k = 0; k < 2; k++) {
            const __m512d lo = _mm512_castps_pd(b[i + k]), hi = _mm512_castps_pd(b[i + k + 2]);
            a[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(lo, hi));
            a[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(lo, hi));
        }
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        b[k] = _mm512_shuffle_f32x4(a[k], a[4 + k], 0x88);
        b[4 + k] = _mm512_shuffle_f32x4(a[k], a[4 + k], 0xdd);
        b[8 + k] = _mm512_shuffle_f32x4(a[8 + k], a[12 + k], 0x88);
        b[12 + k] = _mm512_shuffle_f32x4(a[8 + k], a[12 + k], 0xdd);
    }
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        _mm512_storeu_ps(to + k * row, _mm512_shuffle_f32x4(b[k], b[8 + k], 0x88));
        _mm512_storeu_ps(to + (8 + k) * row, _mm512_shuffle_f32x4(b[k], b[8 + k], 0xdd));
        _mm512_storeu_ps(to + (4 + k) * row, _mm512_shuffle_f32x4(b[4 + k], b[12 + k], 0x88));
        _mm512_storeu_ps(to + (12 + k) * row, _mm512_shuffle_f32x4(b[4 + k], b[12 + k], 0xdd));
    }
}

__attribute__((target("avx512f"))) void dcv_adjoint_turn(const float *from, float *to, int64_t row, int64_t block,
                                                         const float *ahead)
{
    for (int k = 0; k < TILE_GROUP / B; k++) {
#pragma GCC unroll 16
        for (int i = 0; i < B; i++)
            _mm_prefetch((const char *)(ahead + (k * B + i) * B), _MM_HINT_T0);
        turn(from + k * B, to + k * block, row);
    }
}

/* The weights of output blocks b .. b + n - 1 (groups of 64) for inputs of some blocks, from where dcv_tile has packed
 * them: [group of 64 outputs][input block][tap][16][64]. */
static void turn_chunk(const dcv_adjoint_tile *t, const dcv_class *h, const dcv_class *w, int64_t block, int groups,
                       int64_t b, int64_t n, const float *packed, float *to)
{
    const int64_t slab = B * TILE_GROUP, row = B * groups, each = h->taps * w->taps * B * row;
    for (int64_t o = b; o < b + n; o += TILE_GROUP / B, to += TILE_GROUP / B * each)
        for (int g = 0; g < groups; g++)
            for (int64_t r = 0, k = h->taps * w->taps - 1; r < h->taps; r++)
                for (int64_t c = 0; c < w->taps; c++, k--) {
                    const int64_t tap =
                        (h->tap + r * t->win[0].stride) * t->win[1].kernel + w->tap + c * t->win[1].stride;
                    const float *from =
                        packed + ((o / (TILE_GROUP / B) * t->ic_blocks + block + g) * taps(t) + tap) * slab;
                    dcv_adjoint_turn(from, to + k * B * row + g * B, row, each, from + t->win[1].stride * slab);
                }
}

/* ---- tiles ---- */

/* One tile's places. */
typedef struct place {
    const float *x, *w;
    float *y;
    int64_t row, column, plane; /* floats in x from a tap to the one below, beside, of the next block */
    int64_t rows, columns;      /* taps */
    int64_t lo, hi;             /* rows of taps that are inside */
    int64_t blocks;
    int64_t cell, slab; /* floats in y from a cell to the next of its class, from a block to the next */
    bool add;
    const float *ahead;  /* weights to fetch meanwhile, */
    int64_t ahead_group; /* and from those of 64 outputs to the next */
} place;

#define DCV_BACK_TILE static inline __attribute__((always_inline, target("avx512f")))

DCV_BACK_TILE void tile(const place *p, int n, int groups)
{
    const int64_t weights = p->columns * B * B * groups; /* of a row of taps */
    __m512 a[MAX_COLUMNS][MAX_GROUPS];
#pragma GCC unroll 24
    for (int r = 0; r < n; r++)
#pragma GCC unroll 4
        for (int j = 0; j < groups; j++)
            a[r][j] = p->add ? _mm512_loadu_ps(p->y + j * p->slab + r * p->cell) : _mm512_setzero_ps();
    const float *ahead = p->ahead;
    for (int64_t b = 0; b < p->blocks; b++) {
        if (b % (TILE_GROUP / B) == 0)
            ahead = p->ahead + b / (TILE_GROUP / B) * p->ahead_group;
        for (int64_t i = p->lo; i < p->hi; i++) {
            const float *w = p->w + (b * p->rows + i) * weights;
            for (int64_t k = 0; k < p->columns; k++) {
                const float *x = p->x + b * p->plane + i * p->row + k * p->column;
                for (int64_t c = 0; c < B; c++, w += B * groups, ahead += B) {
                    _mm_prefetch((const char *)ahead, _MM_HINT_T1);
                    __m512 v[MAX_GROUPS];
#pragma GCC unroll 4
                    for (int j = 0; j < groups && j < 3; j++)
                        v[j] = _mm512_loadu_ps(w + j * B);
#pragma GCC unroll 24
                    for (int r = 0; r < n; r++) {
                        const __m512 s = _mm512_set1_ps(x[r * B + c]);
#pragma GCC unroll 4
                        for (int j = 0; j < groups && j < 3; j++)
                            a[r][j] = _mm512_fmadd_ps(s, v[j], a[r][j]);
                        if (groups == 4) /* 28 sums, 3 weights and s fill all registers: the fourth comes from memory */
                            __asm__("vfmadd231ps %2, %1, %0"
                                    : "+v"(a[r][3])
                                    : "v"(s), "m"(*(const __m512_u *)(w + 3 * B)));
                    }
                }
            }
        }
    }
#pragma GCC unroll 24
    for (int r = 0; r < n; r++)
#pragma GCC unroll 4
        for (int j = 0; j < groups; j++)
            _mm512_storeu_ps(p->y + j * p->slab + r * p->cell, a[r][j]);
}

typedef void (*tile_fn)(const place *p);

#define ONE(N, G)                                                                                                      \
    __attribute__((target("avx512f"))) static void tile_##N##_##G(const place *p)                                      \
    {                                                                                                                  \
        tile(p, N, G);                                                                                                 \
    }
#define UP_TO_7(G)  ONE(1, G) ONE(2, G) ONE(3, G) ONE(4, G) ONE(5, G) ONE(6, G) ONE(7, G)
#define UP_TO_8(G)  UP_TO_7(G) ONE(8, G)
#define UP_TO_12(G) UP_TO_8(G) ONE(9, G) ONE(10, G) ONE(11, G) ONE(12, G)
#define UP_TO_24(G)                                                                                                    \
    UP_TO_12(G)                                                                                                        \
    ONE(13, G)                                                                                                         \
    ONE(14, G)                                                                                                         \
    ONE(15, G) ONE(16, G) ONE(17, G) ONE(18, G) ONE(19, G) ONE(20, G) ONE(21, G) ONE(22, G) ONE(23, G) ONE(24, G)
UP_TO_24(1)
UP_TO_12(2)
UP_TO_8(3)
UP_TO_7(4)

#define F7(G)  tile_1_##G, tile_2_##G, tile_3_##G, tile_4_##G, tile_5_##G, tile_6_##G, tile_7_##G
#define F12(G) F7(G), tile_8_##G, tile_9_##G, tile_10_##G, tile_11_##G, tile_12_##G
/* By groups of 16, then columns. */
static const struct {
    int columns;
    tile_fn fn[MAX_COLUMNS];
} tiles[MAX_GROUPS + 1] = {
    {0, {NULL}},
    {24,
     {F12(1), tile_13_1, tile_14_1, tile_15_1, tile_16_1, tile_17_1, tile_18_1, tile_19_1, tile_20_1, tile_21_1,
      tile_22_1, tile_23_1, tile_24_1}},
    {12, {F12(2)}},
    {8, {F7(3), tile_8_3}},
    {7, {F7(4)}},
};

/* The nth tile fetches its share of what is to be turned next: 256 lines of 16 floats for 64 outputs by 64 inputs and
 * tap, of which a tile has the time to ask for 64. */
static void fetch_ahead(place *p, const float *ahead, int64_t ahead_group, int64_t nth)
{
    const bool mine = ahead && nth < 4;
    p->ahead = mine ? ahead + nth * p->rows * p->columns * 64 * B : p->w;
    p->ahead_group = mine ? ahead_group : 0;
}

void dcv_adjoint_product(int64_t n, int64_t ld, int64_t blocks, const float *x, const float *w, int groups,
                         const float *ahead, int64_t ahead_group, float *y)
{
    place p = {.x = x,
               .w = w,
               .y = y,
               .plane = ld * B,
               .rows = 1,
               .columns = 1,
               .hi = 1,
               .blocks = blocks,
               .cell = B,
               .slab = ld * B};
    int64_t nth = 0;
    for (int64_t left = (n + tiles[groups].columns - 1) / tiles[groups].columns; left > 0; left--) {
        const int64_t take = (n + left - 1) / left;
        fetch_ahead(&p, ahead, ahead_group, nth++);
        tiles[groups].fn[take - 1](&p);
        p.x += take * B;
        p.y += take * B;
        n -= take;
    }
}

/* ---- one class ---- */

/* Copy what n cells read, from column c on, zeros outside. */
static void cut(const dcv_adjoint_tile *t, const dcv_class *w, const float *gy, int64_t row, int64_t c, int64_t n,
                int64_t row_step, float *to, place *p)
{
    const int64_t width = span(w, n), plane = t->out[0] * t->out[1] * B;
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

/* All cells of a class, over some output blocks.  A row is cut into tiles of nearly equal width. */
static void sweep(const dcv_adjoint_tile *t, const dcv_class *h, const dcv_class *w, const float *gy, float *gx,
                  int groups, const float *ahead, int64_t ahead_group, float *patch, place p)
{
    int64_t nth = 0;
    const int64_t gh = t->out[0], gw = t->out[1], row_cells = t->win[0].stride * t->in[1];
    const int64_t most = tiles[groups].columns, n_tiles = (w->n + most - 1) / most;
    p.column = w->step * B;
    p.cell = t->win[1].stride * B;
    for (int64_t q = 0; q < h->n; q++, gx += row_cells * B) {
        const int64_t top = h->first + q;
        dcv_class_inside(h, top, gh, &p.lo, &p.hi);
        p.y = gx;
        for (int64_t left = n_tiles, c = 0; left > 0; left--) {
            const int64_t n = (w->n - c + left - 1) / left, at = w->first + c;
            if (p.lo == p.hi || !p.columns) {
                p.hi = p.lo;
            } else if (at < 0 || at + span(w, n) > gw) {
                cut(t, w, gy, top, at, n, h->step, patch, &p);
            } else {
                p.x = gy + (top * gw + at) * B;
                p.row = h->step * gw * B;
                p.plane = gh * gw * B;
            }
            fetch_ahead(&p, ahead, ahead_group, nth++);
            tiles[groups].fn[n - 1](&p);
            p.y += n * p.cell;
            c += n;
        }
    }
}

/* A 1x1 kernel of stride 1 without border makes one row of all cells. */
static dcv_adjoint_tile flattened(const dcv_adjoint_tile *t)
{
    dcv_adjoint_tile f = *t;
    const dcv_window *w = t->win;
    if (taps(t) == 1 && w[0].stride == 1 && w[1].stride == 1 && !w[0].pad_lo && !w[1].pad_lo && t->in[0] == t->out[0] &&
        t->in[1] == t->out[1]) {
        f.in[1] = f.out[1] = t->in[0] * t->in[1];
        f.in[0] = f.out[0] = 1;
    }
    return f;
}

void dcv_adjoint_tile_run(const dcv_adjoint_tile *made, const float *gy, const float *packed, bool add, float *gx,
                          float *scratch)
{
    const dcv_adjoint_tile flat = flattened(made), *t = &flat;
    const int64_t cells = t->in[0] * t->in[1], plane = t->out[0] * t->out[1] * B;
    for (int64_t block = 0; block < t->ic_blocks; block += MAX_GROUPS) {
        const int groups = groups_at(t, block);
        for (int64_t ij = 0; ij < t->win[0].stride * t->win[1].stride; ij++) {
            const int64_t i = ij / t->win[1].stride, j = ij % t->win[1].stride;
            const dcv_class h = dcv_class_of(&t->win[0], t->in[0], i), w = dcv_class_of(&t->win[1], t->in[1], j);
            const int64_t each = h.taps * w.taps * B * B * groups, chunk = chunk_of(t, &h, &w, groups);
            for (int64_t b = 0; b < t->oc_blocks; b += chunk) {
                const int64_t n = t->oc_blocks - b < chunk ? t->oc_blocks - b : chunk;
                const float *weights = packed;
                if (t->shared) {
                    turn_chunk(t, &h, &w, block, groups, b, n, packed, scratch);
                    weights = scratch;
                } else {
                    packed += n * each;
                }
                const int64_t per_block = taps(t) * B * TILE_GROUP, per_group = t->ic_blocks * per_block;
                const float *next = b + n < t->oc_blocks
                                        ? packed + ((b + n) / (TILE_GROUP / B)) * per_group + block * per_block
                                        : packed + (block + MAX_GROUPS) * per_block;
                sweep(t, &h, &w, gy + b * plane, gx + block * cells * B + (i * t->in[1] + j) * B, groups,
                      t->shared && t->win[1].stride == 1 ? next : NULL, per_group, scratch + chunk_floats(t),
                      (place){.w = weights,
                              .rows = h.taps,
                              .columns = w.taps,
                              .blocks = n,
                              .slab = cells * B,
                              .add = add || b > 0});
            }
        }
    }
}

#else
void dcv_adjoint_turn(const float *from, float *to, int64_t row, int64_t block, const float *ahead)
{
    (void)from, (void)to, (void)row, (void)block, (void)ahead;
}

void dcv_adjoint_product(int64_t n, int64_t ld, int64_t blocks, const float *x, const float *w, int groups,
                         const float *ahead, int64_t ahead_group, float *y)
{
    (void)n, (void)ld, (void)blocks, (void)x, (void)w, (void)groups, (void)ahead, (void)ahead_group, (void)y;
}

void dcv_adjoint_tile_run(const dcv_adjoint_tile *t, const float *gy, const float *packed, bool add, float *gx,
                          float *scratch)
{
    (void)t, (void)gy, (void)packed, (void)add, (void)gx, (void)scratch;
}
#endif
