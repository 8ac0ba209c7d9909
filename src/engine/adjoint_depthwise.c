/* adjoint_depthwise.c -- depthwise convolutions walked back, class by class.
 *
 * Packed weights: [group of lanes channels][kernel row][kernel column][lanes], 8 lanes in blocks, 1 in plain layout.
 */
#include <string.h>
#include "engine/adjoint_depthwise.h"
#include "engine/vector.h"

enum { L = 8, MOST_KERNEL = 16, MOST_STRIDE = 4, WIDE = 7, NARROW = 4 };

/* Eight channels of a cell, wherever it lies. */
#if defined(__GNUC__)
typedef float vec __attribute__((vector_size(32), aligned(4), may_alias));
#else
typedef struct vec {
    float lane[L];
} vec;
#endif

/* a += x w. */
DCV_INLINE void add_product(vec *a, const vec *x, const vec *w)
{
#if defined(__GNUC__)
    *a += *x * *w;
#else
    for (int l = 0; l < L; l++)
        a->lane[l] += x->lane[l] * w->lane[l];
#endif
}

/* The cells first, first + every, ... of an axis of the input, n of them: cell q reads the output q + shift[t] through
 * the kernel's tap[t], as far as that is one of outs; shifts ascend. */
typedef struct axis {
    int64_t n, first, every, outs;
    int n_tap, tap[MOST_KERNEL];
    int64_t shift[MOST_KERNEL];
} axis;

/* What one tap reads and multiplies, in floats from where the cell's row and column begin. */
typedef struct tap {
    int64_t gy, w;
} tap;

typedef struct plan {
    int64_t cell, lanes; /* floats from a cell to its neighbour; channels summed side by side */
    int classes[2];      /* of rows, columns */
    axis axis[2][MOST_STRIDE];
    tap tap[MOST_KERNEL * MOST_KERNEL]; /* of all classes, one after the other */
    int64_t in[2], out[2], taps;
    bool add;
} plan;

bool dcv_adjoint_depthwise_takes(const dcv_conv_desc *d)
{
    bool strided = false;
    if (d->transposed || d->groups < 2 || d->ic != d->groups || d->oc != d->groups || d->n_space > 2)
        return false;
    for (int i = 0; i < d->n_space; i++) {
        strided = strided || d->win[i].stride > 1;
        if (d->win[i].kernel > MOST_KERNEL || d->win[i].stride > MOST_STRIDE)
            return false;
    }
    return strided;
}

static int64_t taps_of(const dcv_conv_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->n_space; i++)
        n *= d->win[i].kernel;
    return n;
}

static int64_t lanes_of(int block)
{
    return block == 1 ? 1 : L;
}

static int64_t rounded(int64_t channels, int block)
{
    return (channels + block - 1) / block * block;
}

size_t dcv_adjoint_depthwise_packed_bytes(const dcv_conv_desc *d, int block)
{
    return (size_t)(rounded(d->groups, block) * taps_of(d)) * sizeof(float);
}

size_t dcv_adjoint_depthwise_scratch_bytes(const dcv_conv_desc *d, int block)
{
    return block == 1 ? (size_t)d->in[d->n_space - 1] * sizeof(float) : 0;
}

void dcv_adjoint_depthwise_pack(const dcv_conv_desc *d, int block, const float *w, const float *scale, float *packed)
{
    const int64_t taps = taps_of(d), lanes = lanes_of(block), channels = rounded(d->groups, block);
    for (int64_t c = 0; c < channels; c += lanes)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t k = c; k < c + lanes; k++) {
                const float v = k < d->groups ? w[k * taps + t] : 0;
                *packed++ = scale && k < d->groups ? v * scale[k] : v;
            }
}

/* ---- plans ---- */

static axis class_of(const dcv_window *w, int64_t in, int64_t out, int64_t number)
{
    axis a = {.n = number < in ? (in - number + w->stride - 1) / w->stride : 0,
              .first = number,
              .every = w->stride,
              .outs = out};
    for (int64_t k = w->kernel - 1; k >= 0; k--) {
        const int64_t place = number + w->pad_lo - k * w->dilation;
        if (place % w->stride)
            continue;
        a.tap[a.n_tap] = (int)k;
        a.shift[a.n_tap++] = place / w->stride;
    }
    return a;
}

static void plan_taps(int64_t kernel_w, plan *p)
{
    tap *t = p->tap;
    for (int i = 0; i < p->classes[0]; i++)
        for (int j = 0; j < p->classes[1]; j++) {
            const axis *h = &p->axis[0][i], *w = &p->axis[1][j];
            for (int r = 0; r < h->n_tap; r++)
                for (int c = 0; c < w->n_tap; c++)
                    *t++ = (tap){(h->shift[r] * p->out[1] + w->shift[c]) * p->cell,
                                 (h->tap[r] * kernel_w + w->tap[c]) * p->lanes};
        }
}

static void make_plan(const dcv_conv_desc *d, int block, plan *p)
{
    const dcv_window one = {.kernel = 1, .stride = 1, .dilation = 1};
    p->cell = block;
    p->lanes = lanes_of(block);
    p->taps = taps_of(d);
    for (int i = 0; i < 2; i++) {
        const int from = i - (2 - d->n_space);
        const dcv_window *w = from >= 0 ? &d->win[from] : &one;
        p->in[i] = from >= 0 ? d->in[from] : 1;
        p->out[i] = from >= 0 ? d->out[from] : 1;
        p->classes[i] = (int)w->stride;
        for (int c = 0; c < p->classes[i]; c++)
            p->axis[i][c] = class_of(w, p->in[i], p->out[i], c);
    }
    plan_taps(d->win[d->n_space - 1].kernel, p);
}

/* Of an axis's taps, those through which cell q reads an output: *lo to *hi - 1. */
static void inside(const axis *a, int64_t q, int *lo, int *hi)
{
    int i = 0, j = a->n_tap;
    while (i < j && q + a->shift[i] < 0)
        i++;
    while (j > i && q + a->shift[j - 1] >= a->outs)
        j--;
    *lo = i;
    *hi = j;
}

static int64_t within(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Cells that taps first to last read an output for: *from to *till - 1. */
static void reached(const axis *a, int first, int last, int64_t *from, int64_t *till)
{
    *from = within(-a->shift[first], 0, a->n);
    *till = within(a->outs - a->shift[last], *from, a->n);
}

/* ---- rows ---- */

/* A row of cells of one class, of eight channels or one. */
typedef struct row {
    const tap *tap; /* those of the rows that lie inside, columns fastest */
    int rows;
    const axis *w;
    const float *gy, *weights;
    int64_t at, cell, every; /* floats: in gy to where shifts count from; from a cell to the next in gy, in gx */
    float *gx;
    bool add;
} row;

/* n cells from cell c on, through the columns lo .. hi - 1 of the kernel, eight channels. */
DCV_INLINE void cells(const row *r, int n, int64_t cell, int64_t c, int lo, int hi)
{
    static const float none[L];
    vec a[WIDE];
    float *gx = r->gx + c * r->every;
#pragma GCC unroll 7
    for (int k = 0; k < n; k++)
        memcpy(&a[k], r->add ? gx + k * r->every : none, sizeof a[k]);
    for (int i = 0; i < r->rows; i++)
        for (int j = lo; j < hi; j++) {
            const tap *t = &r->tap[i * r->w->n_tap + j];
            const float *gy = r->gy + (r->at + c * cell + t->gy);
            vec w;
            memcpy(&w, r->weights + t->w, sizeof w);
#pragma GCC unroll 7
            for (int k = 0; k < n; k++)
                add_product(&a[k], (const vec *)(gy + k * cell), &w);
        }
#pragma GCC unroll 7
    for (int k = 0; k < n; k++, gx += r->every)
        memcpy(gx, &a[k], sizeof a[k]);
}

/* Cells c .. till - 1, all of whose taps lie inside. */
DCV_INLINE void run_whole(const row *r, int64_t cell, int64_t c, int64_t till)
{
    const int columns = r->w->n_tap;
    for (; c + WIDE <= till; c += WIDE)
        cells(r, WIDE, cell, c, 0, columns);
    for (; c + NARROW <= till; c += NARROW)
        cells(r, NARROW, cell, c, 0, columns);
    for (; c < till; c++)
        cells(r, 1, cell, c, 0, columns);
}

DCV_INLINE void run_border(const row *r, int64_t from, int64_t till)
{
    for (int64_t c = from; c < till; c++) {
        int lo, hi;
        inside(r->w, c, &lo, &hi);
        cells(r, 1, r->cell, c, lo, hi);
    }
}

/* A row of eight channels. */
DCV_CLONES static void run_lanes(const row *r)
{
    int64_t from = 0, till = r->w->n;
    if (r->w->n_tap)
        reached(r->w, 0, r->w->n_tap - 1, &from, &till);
    run_border(r, 0, from);
    if (r->cell == L) /* a distance that is known makes shorter loops */
        run_whole(r, L, from, till);
    else
        run_whole(r, 2 * L, from, till);
    run_border(r, till, r->w->n);
}

/* A row of one channel; sum: room for it. */
DCV_CLONES static void run_plain(const row *r, float *sum)
{
    const int64_t n = r->w->n, every = r->every;
    for (int64_t q = 0; q < n; q++)
        sum[q] = r->add ? r->gx[q * every] : 0;
    for (int i = 0; i < r->rows; i++)
        for (int j = 0; j < r->w->n_tap; j++) {
            const tap *t = &r->tap[i * r->w->n_tap + j];
            const float w = r->weights[t->w], *gy = r->gy + (r->at + t->gy);
            int64_t from, till;
            reached(r->w, j, j, &from, &till);
            DCV_INDEPENDENT
            for (int64_t q = from; q < till; q++)
                sum[q] += w * gy[q];
        }
    for (int64_t q = 0; q < n; q++)
        r->gx[q * every] = sum[q];
}

/* ---- maps ---- */

/* All cells of one class of rows and one of columns. */
static void run_class(const plan *p, const axis *h, const axis *w, const tap *taps, const float *gy,
                      const float *weights, float *gx, float *scratch)
{
    row r = {.w = w, .gy = gy, .weights = weights, .cell = p->cell, .every = w->every * p->cell, .add = p->add};
    for (int64_t q = 0; q < h->n; q++) {
        int lo, hi;
        inside(h, q, &lo, &hi);
        r.tap = taps + lo * w->n_tap;
        r.rows = hi - lo;
        r.at = q * p->out[1] * p->cell;
        r.gx = gx + ((h->first + q * h->every) * p->in[1] + w->first) * p->cell;
        if (p->lanes == 1)
            run_plain(&r, scratch);
        else
            run_lanes(&r);
    }
}

static void run_map(const plan *p, const float *gy, const float *weights, float *gx, float *scratch)
{
    const tap *t = p->tap;
    for (int i = 0; i < p->classes[0]; i++)
        for (int j = 0; j < p->classes[1]; j++) {
            const axis *h = &p->axis[0][i], *w = &p->axis[1][j];
            run_class(p, h, w, t, gy, weights, gx, scratch);
            t += h->n_tap * w->n_tap;
        }
}

void dcv_adjoint_depthwise_run(const dcv_conv_desc *d, int block, const float *gy, const float *packed, bool add,
                               float *gx, float *scratch)
{
    plan p = {.add = add};
    make_plan(d, block, &p);
    const int64_t in = p.in[0] * p.in[1], out = p.out[0] * p.out[1];
    for (int64_t c = 0; c < d->groups; c += p.cell)
        for (int64_t l = 0; l < p.cell; l += p.lanes)
            run_map(&p, gy + c * out + l, packed + (c + l) * p.taps, gx + c * in + l, scratch);
}
