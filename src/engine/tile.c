/* tile.c -- direct convolution in tiles of registers.
 *
 * Packed weights: [group of 64 outputs][block of 16 inputs][kernel row][kernel column][16][64], read in one stream.
 */
#include <string.h>
#include "engine/tile_kernel.h"
#if defined(__x86_64__) && defined(__GNUC__)

enum { B = 16, GROUP = DCV_TILE_GROUP, COLUMNS = DCV_TILE_COLUMNS, CHUNK_FLOATS = 81920, WIDEN_FLOATS = 1 << 18 };

static int64_t taps(const dcv_tile *t)
{
    return t->kernel_h * t->kernel_w;
}

/* Plain input of a first layer has one channel a plane. */
static int64_t lanes_of(const dcv_conv_desc *d)
{
    return d->ic <= DCV_TILE_PLAIN ? 1 : B;
}

/* Rows too short for a tile leave registers idle; a plain 1x1 kernel makes one row of all cells. */
bool dcv_tile_takes(const dcv_conv_desc *d)
{
    if (d->groups != 1 || d->n_space > 2 || d->oc % GROUP)
        return false;
    int64_t columns = d->out[d->n_space - 1];
    const dcv_window *h = &d->win[0], *w = &d->win[d->n_space - 1];
    if (h->kernel == 1 && w->kernel == 1 && h->stride == 1 && w->stride == 1)
        columns *= d->n_space == 2 ? d->out[0] : 1;
    if (lanes_of(d) == 1) /* the kernel's columns lie side by side */
        return columns >= 4 && w->dilation == 1 && (w->stride <= 2 || w->stride == 4);
    return columns >= 4 && w->stride <= 2;
}

/* Does the border reach further in than the outer column of a row?  Tiles leave out what one column has there. */
static bool reaches_in(const dcv_tile *t)
{
    const int64_t last = (t->out_w - 1) * t->stride_w - t->pad_w;
    return t->lanes == 1 || t->pad_w > t->stride_w || last - t->stride_w + (t->kernel_w - 1) * t->dilation_w >= t->in_w;
}

void dcv_tile_plan(const dcv_conv_desc *d, dcv_tile *t)
{
    const dcv_window one = {.kernel = 1, .stride = 1, .dilation = 1};
    const bool rows = d->n_space == 2;
    const int64_t lanes = lanes_of(d);
    const dcv_window *h = rows ? &d->win[0] : &one, *w = &d->win[rows];
    *t = (dcv_tile){.d = *d,
                    .lanes = lanes,
                    .ic_blocks = (d->ic + lanes - 1) / lanes,
                    .groups = d->oc / GROUP,
                    .kernel_h = h->kernel,
                    .kernel_w = w->kernel,
                    .stride_h = h->stride,
                    .stride_w = w->stride,
                    .dilation_h = h->dilation,
                    .dilation_w = w->dilation,
                    .pad_h = h->pad_lo,
                    .pad_w = w->pad_lo,
                    .in_h = rows ? d->in[0] : 1,
                    .in_w = d->in[rows],
                    .out_h = rows ? d->out[0] : 1,
                    .out_w = d->out[rows]};
    t->wide_h = t->in_h + h->pad_lo + h->pad_hi;
    t->wide_w = t->in_w + w->pad_lo + w->pad_hi;
    const bool border = t->wide_h > t->in_h || t->wide_w > t->in_w;
    t->widened = border && reaches_in(t) && t->ic_blocks * lanes * t->wide_h * t->wide_w <= WIDEN_FLOATS;
    if (taps(t) == 1 && !border && t->stride_h == 1 && t->stride_w == 1) {
        t->in_w = t->out_w = t->in_h * t->in_w;
        t->in_h = t->out_h = 1;
    }
    t->chunk = CHUNK_FLOATS / (taps(t) * lanes * GROUP);
    t->chunk = t->chunk < 1 ? 1 : t->chunk > t->ic_blocks ? t->ic_blocks : t->chunk;
}

size_t dcv_tile_packed_bytes(const dcv_tile *t)
{
    return (size_t)(t->groups * t->ic_blocks * taps(t) * t->lanes * GROUP) * sizeof(float);
}

/* Rows and columns of input that a row of n outputs reads. */
static int64_t span_h(const dcv_tile *t)
{
    return (t->kernel_h - 1) * t->dilation_h + 1;
}

static int64_t span_w(const dcv_tile *t, int64_t n)
{
    return (n - 1) * t->stride_w + (t->kernel_w - 1) * t->dilation_w + 1;
}

size_t dcv_tile_scratch_bytes(const dcv_tile *t)
{
    const int64_t floats =
        t->widened ? t->ic_blocks * t->wide_h * t->wide_w : t->chunk * span_h(t) * span_w(t, COLUMNS);
    return (size_t)(floats * t->lanes) * sizeof(float);
}

void dcv_tile_pack(const dcv_tile *t, const float *w, const float *scale, float *packed)
{
    const int64_t n = taps(t), ic = t->d.ic;
    for (int64_t g = 0; g < t->groups; g++)
        for (int64_t b = 0; b < t->ic_blocks; b++)
            for (int64_t k = 0; k < n; k++)
                for (int64_t i = b * t->lanes; i < (b + 1) * t->lanes; i++)
                    for (int64_t o = g * GROUP; o < (g + 1) * GROUP; o++) {
                        const float v = i < ic ? w[(o * ic + i) * n + k] : 0;
                        *packed++ = scale ? v * scale[o] : v;
                    }
}

/* The input with its border of zeros. */
static void widen(const dcv_tile *t, const float *x, float *to)
{
    const int64_t lanes = t->lanes;
    const size_t cell = (size_t)lanes * sizeof(float);
    const int64_t right = t->wide_w - t->in_w - t->pad_w, below = t->wide_h - t->in_h - t->pad_h;
    for (int64_t b = 0; b < t->ic_blocks; b++) {
        memset(to, 0, (size_t)(t->pad_h * t->wide_w) * cell);
        to += t->pad_h * t->wide_w * lanes;
        for (int64_t r = 0; r < t->in_h; r++, x += t->in_w * lanes, to += t->wide_w * lanes) {
            memset(to, 0, (size_t)t->pad_w * cell);
            memcpy(to + t->pad_w * lanes, x, (size_t)t->in_w * cell);
            memset(to + (t->pad_w + t->in_w) * lanes, 0, (size_t)right * cell);
        }
        memset(to, 0, (size_t)(below * t->wide_w) * cell);
        to += below * t->wide_w * lanes;
    }
}

/* The map that tiles read: the input, or its wider copy. */
typedef struct map {
    const float *x;
    int64_t h, w, pad_h, pad_w;
    float *patch; /* scratch for what a tile at the edge reads */
} map;

/* Copy what n outputs read from row r, column c on, zeros outside. */
static void cut(const dcv_tile *t, const map *m, int64_t r, int64_t c, int64_t n, dcv_tile_place *p)
{
    const int64_t h = span_h(t), w = span_w(t, n), lanes = t->lanes;
    const int64_t lo = c < 0 ? -c : 0, hi = c + w > m->w ? m->w - c : w; /* columns inside */
    float *to = m->patch;
    p->x = to;
    p->at = 0;
    p->row = w * lanes;
    p->plane = h * w * lanes;
    memset(to, 0, (size_t)(p->blocks * p->plane) * sizeof *to);
    for (int64_t b = 0; b < p->blocks; b++)
        for (int64_t i = 0; i < h; i++, to += w * lanes)
            if (r + i >= 0 && r + i < m->h && hi > lo)
                memcpy(to + lo * lanes, m->x + ((b * m->h + r + i) * m->w + c + lo) * lanes,
                       (size_t)((hi - lo) * lanes) * sizeof *to);
}

/* Only the outer columns of a tile reach into the border, each by kernel columns of its own. */
static bool skips(const dcv_tile *t, const map *m, int64_t c, int64_t n, dcv_tile_place *p)
{
    const int64_t d = t->dilation_w, last = c + (n - 1) * t->stride_w;
    p->from = c < 0 ? (-c + d - 1) / d : 0;
    p->till = last < m->w ? (m->w - last + d - 1) / d : 0;
    const bool inner = (c + t->stride_w >= 0 || n == 1) && (last - t->stride_w + span_w(t, 1) <= m->w || n == 1);
    return t->lanes > 1 && inner && p->from <= p->till;
}

static void find_input(const dcv_tile *t, const map *m, int64_t r, int64_t c, int64_t n, dcv_tile_place *p)
{
    p->from = 0;
    p->till = t->kernel_w;
    const bool inside = c >= 0 && c + span_w(t, n) <= m->w;
    if (!inside && !skips(t, m, c, n, p)) {
        p->from = 0;
        p->till = t->kernel_w;
        cut(t, m, r, c, n, p);
        return;
    }
    p->x = m->x;
    p->at = (r * m->w + c) * t->lanes;
    p->row = m->w * t->lanes;
    p->plane = m->h * m->w * t->lanes;
}

/* Kernel rows that meet the input when output row r is summed: those in the border add nothing. */
static void find_rows(const dcv_tile *t, int64_t r, dcv_tile_place *p)
{
    const int64_t above = t->pad_h - r * t->stride_h, inside = t->in_h + above, d = t->dilation_h;
    p->lo = above > 0 ? (above + d - 1) / d : 0;
    p->hi = inside > 0 ? (inside + d - 1) / d : 0;
    p->hi = p->hi < t->kernel_h ? p->hi : t->kernel_h;
}

/* The nth of n tiles fetches its share of the weights of the next chunk, which lie behind these: the first two do, or
 * the second to fifth where there are so many (then memory keeps up better). */
static void fetch_ahead(dcv_tile_place *p, int64_t weights, int64_t nth, int64_t n)
{
    const int64_t shares = n < 6 ? 2 : 4, mine = nth - (n >= 6);
    p->second = n < 6 ? 16 : 0;
    p->fetch = mine >= 0 && mine < shares;
    p->ahead = p->w + (p->fetch ? weights + mine * (weights / shares) : 0);
}

/* All tiles of one output group, over one chunk of input blocks.  A row is cut into tiles of nearly equal width. */
static void sweep(const dcv_tile *t, const map *m, dcv_tile_place p)
{
    const int64_t tiles = (t->out_w + COLUMNS - 1) / COLUMNS, weights = p.blocks * taps(t) * t->lanes * GROUP;
    const dcv_tile_fns fn = t->lanes == 1 ? dcv_tile_of_plain(t->stride_w) : dcv_tile_of_blocks(t->stride_w);
    int64_t nth = 0;
    for (int64_t r = 0; r < t->out_h; r++) {
        find_rows(t, r, &p);
        for (int64_t left = tiles, c = 0; left > 0; left--, nth++) {
            const int64_t n = (t->out_w - c + left - 1) / left;
            find_input(t, m, r * t->stride_h - m->pad_h, c * t->stride_w - m->pad_w, n, &p);
            fetch_ahead(&p, weights, nth, tiles * t->out_h);
            fn[p.fetch][n - 1](t, &p);
            p.y += n * B;
            c += n;
        }
    }
}

static void run_picture(const dcv_tile *t, const float *x, const float *packed, const float *bias, float *y,
                        float *scratch)
{
    const int64_t per_block = taps(t) * t->lanes * GROUP, cells = t->out_h * t->out_w;
    map m = {x, t->in_h, t->in_w, t->pad_h, t->pad_w, scratch};
    if (t->widened) {
        widen(t, x, scratch);
        m = (map){scratch, t->wide_h, t->wide_w, 0, 0, NULL};
    }
    const float *const first = m.x;
    for (int64_t g = 0; g < t->groups; g++)
        for (int64_t b = 0; b < t->ic_blocks; b += t->chunk) {
            const int64_t n = t->ic_blocks - b < t->chunk ? t->ic_blocks - b : t->chunk;
            m.x = first + b * m.h * m.w * t->lanes;
            sweep(t, &m,
                  (dcv_tile_place){.w = packed + (g * t->ic_blocks + b) * per_block,
                                   .bias = bias ? bias + g * GROUP : NULL,
                                   .y = y + g * GROUP * cells,
                                   .blocks = n,
                                   .first = b == 0,
                                   .last = b + n == t->ic_blocks});
        }
}

void dcv_tile_run(const dcv_tile *t, const float *x, const float *packed, const float *bias, float *y, float *scratch)
{
    for (int p = 0; p < t->d.n; p++)
        run_picture(t, x + p * t->d.x_stride, packed, bias, y + p * t->d.y_stride, scratch);
}

void dcv_tile_product(int64_t n, int64_t ld, int64_t blocks, const float *x, const float *w, float *y)
{
    const dcv_tile t = {.d = {.n_space = 1, .out = {ld}},
                        .lanes = B,
                        .kernel_h = 1,
                        .kernel_w = 1,
                        .stride_h = 1,
                        .stride_w = 1,
                        .dilation_h = 1,
                        .dilation_w = 1,
                        .in_h = 1,
                        .in_w = ld,
                        .out_h = 1,
                        .out_w = n};
    const map m = {.x = x, .h = 1, .w = ld};
    sweep(&t, &m, (dcv_tile_place){.w = w, .y = y, .blocks = blocks, .first = true, .last = true});
}

#else
bool dcv_tile_takes(const dcv_conv_desc *d)
{
    (void)d;
    return false;
}

void dcv_tile_plan(const dcv_conv_desc *d, dcv_tile *t)
{
    *t = (dcv_tile){.d = *d};
}

size_t dcv_tile_packed_bytes(const dcv_tile *t)
{
    (void)t;
    return 0;
}

size_t dcv_tile_scratch_bytes(const dcv_tile *t)
{
    (void)t;
    return 0;
}

void dcv_tile_pack(const dcv_tile *t, const float *w, const float *scale, float *packed)
{
    (void)t, (void)w, (void)scale, (void)packed;
}

void dcv_tile_run(const dcv_tile *t, const float *x, const float *packed, const float *bias, float *y, float *scratch)
{
    (void)t, (void)x, (void)packed, (void)bias, (void)y, (void)scratch;
}

void dcv_tile_product(int64_t n, int64_t ld, int64_t blocks, const float *x, const float *w, float *y)
{
    (void)n, (void)ld, (void)blocks, (void)x, (void)w, (void)y;
}
#endif
