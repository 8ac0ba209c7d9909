/* pool.c -- what MaxPool and AveragePool share: shapes, and windows joined in two steps.
 *
 * First the rows of a window are joined into one row of columns, then the columns of that row: 3 + 3 steps for a 3x3
 * window instead of 9, in loops that the compiler vectorises in every layout.  Wide rows are cut into tiles.
 */
#include <math.h>
#include <string.h>
#include "engine/ops/pool.h"

dcv_status dcv_pool_index_fits(const dcv_shape_io *io, const dcv_dims *counted)
{
    dcv_dims_text t;
    if (dcv_count(counted) <= 1 << 24)
        return DCV_OK;
    return dcv_op_fail(io, DCV_EUNSUPPORTED, "indices into %s; expected at most 2^24 cells, which a float can number",
                       dcv_dims_print(counted, t));
}

/* Is output 1 given a name? */
static bool wants_indices(const dcv_shape_io *io)
{
    return io->n_out > 1 && *io->node->source->out[1];
}

dcv_status dcv_pool_shape(const dcv_shape_io *io)
{
    dcv_pool_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    DCV_TRY(dcv_window_resolve(io, &a->window, x, NULL));
    if (wants_indices(io))
        DCV_TRY(dcv_pool_index_fits(io, x));
    for (int j = 0; j < io->n_out; j++) {
        io->y[j].type = j ? DCV_I64 : DCV_F32;
        io->y[j].dims = *x;
        DCV_TRY(dcv_window_extents(io, &a->window, x, a->ceil_mode != 0, &io->y[j].dims));
    }
    return DCV_OK;
}

dcv_cells dcv_pool_reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)k, (void)j;
    if (axis < 2)
        return (dcv_cells){o, o + 1, 1};
    return dcv_window_cells(&((const dcv_pool_attr *)nd->attr)->window, axis, o);
}

dcv_pool_nest dcv_pool_nest_of(const dcv_window_attr *a, const dcv_dims *x, const dcv_dims *y)
{
    dcv_pool_nest n = {{1, 1, 1}, {1, 1, 1}, {{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}}};
    for (int i = 0; i < a->n_space; i++) {
        const int k = 3 - a->n_space + i;
        n.in[k] = x->d[2 + i];
        n.out[k] = y->d[2 + i];
        n.win[k] = a->win[i];
    }
    return n;
}

#define TILE 256 /* cells of a row that are worked on together */

/* a before b.  The first maximum stays; NaN, once there, too. */
DCV_INLINE float pick(dcv_pool kind, float a, float b)
{
    if (kind == DCV_POOL_SUM)
        return a + b;
    return b > a || b != b ? b : a;
}

/* y = the first 1 to 3 rows joined, n numbers. */
DCV_INLINE void join_rows(dcv_pool kind, int64_t n, int rows, const float *const *x, float *restrict y)
{
    const float *a = x[0], *b = x[1], *c = x[2];
    if (rows == 1)
        memcpy(y, a, (size_t)n * sizeof *y);
    else if (rows == 2)
        for (int64_t i = 0; i < n; i++)
            y[i] = pick(kind, a[i], b[i]);
    else
        for (int64_t i = 0; i < n; i++)
            y[i] = pick(kind, pick(kind, a[i], b[i]), c[i]);
}

/* y = y joined with one more row. */
DCV_INLINE void join_more(dcv_pool kind, int64_t n, const float *restrict x, float *restrict y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = pick(kind, y[i], x[i]);
}

/* n output cells: a (sa cells apart) joined with b and c (s cells apart). */
DCV_INLINE void join_columns(dcv_pool kind, int64_t n, int taps, const float *a, int64_t sa, const float *b,
                             const float *c, int64_t s, int lanes, float *restrict y)
{
    if (taps == 1)
        for (int64_t i = 0; i < n; i++)
            for (int l = 0; l < lanes; l++)
                y[i * lanes + l] = a[i * sa * lanes + l];
    else if (taps == 2)
        for (int64_t i = 0; i < n; i++)
            for (int l = 0; l < lanes; l++)
                y[i * lanes + l] = pick(kind, a[i * sa * lanes + l], b[i * s * lanes + l]);
    else
        for (int64_t i = 0; i < n; i++)
            for (int l = 0; l < lanes; l++)
                y[i * lanes + l] =
                    pick(kind, pick(kind, a[i * sa * lanes + l], b[i * s * lanes + l]), c[i * s * lanes + l]);
}

/* The same with the usual steps known to the compiler. */
DCV_INLINE void join_columns_any(dcv_pool kind, int64_t n, int taps, const float *a, int64_t sa, const float *b,
                                 const float *c, int64_t s, int lanes, float *restrict y)
{
    if (lanes == 1 && s == 2 && sa == 2)
        join_columns(kind, n, taps, a, 2, b, c, 2, 1, y);
    else if (lanes == 1 && s == 1 && sa == 1)
        join_columns(kind, n, taps, a, 1, b, c, 1, 1, y);
    else
        join_columns(kind, n, taps, a, sa, b, c, s, lanes, y);
}

/* n output cells of one row from a row of columns; two taps a step beyond the third, from one buffer to the other. */
DCV_INLINE void columns(dcv_pool kind, const dcv_window *w, int64_t n, const float *row, int lanes, float *y)
{
    float spare[2][TILE * DCV_BLOCK_MAX];
    const int64_t d = w->dilation * lanes, s = w->stride;
    int64_t done = w->kernel < 3 ? w->kernel : 3;
    int turn = 0;
    const float *from = spare[0];
    join_columns_any(kind, n, (int)done, row, s, row + d, row + 2 * d, s, lanes, done == w->kernel ? y : spare[0]);
    while (done < w->kernel) {
        const int taps = w->kernel - done > 1 ? 3 : 2;
        turn = !turn;
        float *to = done + taps - 1 == w->kernel ? y : spare[turn];
        join_columns_any(kind, n, taps, from, 1, row + done * d, row + (done + 1) * d, s, lanes, to);
        from = to;
        done += taps - 1;
    }
}

/* Rows of one window joined: n cells from column first on. */
DCV_INLINE void rows(dcv_pool kind, const dcv_pool_nest *n, const float *x, const dcv_taps *d, const dcv_taps *r,
                     int64_t first, int64_t cells, int lanes, float *row)
{
    const float *head[3] = {row, row, row};
    int64_t seen = 0;
    const int64_t all = (d->hi - d->lo) * (r->hi - r->lo);
    for (int64_t i = d->lo, z = d->at; i < d->hi; i++, z += n->win[0].dilation)
        for (int64_t j = r->lo, v = r->at; j < r->hi; j++, v += n->win[1].dilation, seen++) {
            const float *at = x + ((z * n->in[1] + v) * n->in[2] + first) * lanes;
            if (seen < 3)
                head[seen] = at;
            if (seen == 2 || (seen == all - 1 && seen < 2))
                join_rows(kind, cells * lanes, (int)seen + 1, head, row);
            else if (seen > 2)
                join_more(kind, cells * lanes, at, row);
        }
    if (!seen)
        for (int64_t i = 0; i < cells * lanes; i++)
            row[i] = kind == DCV_POOL_MAX ? -INFINITY : 0;
}

/* Output columns c .. c+cells-1 of all rows. */
DCV_INLINE void tile(dcv_pool kind, const dcv_pool_nest *n, const float *x, int64_t c, int64_t cells, int lanes,
                     float *y)
{
    const dcv_window *w = &n->win[2];
    const int64_t start = c * w->stride - w->pad_lo,
                  width = (cells - 1) * w->stride + (w->kernel - 1) * w->dilation + 1;
    const int64_t lo = start < 0 ? 0 : start, end = start + width < n->in[2] ? start + width : n->in[2];
    float row[TILE * DCV_BLOCK_MAX];
    for (int64_t i = 0; i < width * lanes; i++)
        row[i] = kind == DCV_POOL_MAX ? -INFINITY : 0;
    for (int64_t z = 0; z < n->out[0]; z++)
        for (int64_t v = 0; v < n->out[1]; v++) {
            const dcv_taps d = dcv_window_taps(&n->win[0], z, n->in[0]), r = dcv_window_taps(&n->win[1], v, n->in[1]);
            if (end > lo)
                rows(kind, n, x, &d, &r, lo, end - lo, lanes, row + (lo - start) * lanes);
            columns(kind, w, cells, row, lanes, y + ((z * n->out[1] + v) * n->out[2] + c) * lanes);
        }
}

/* A window that is wider than a tile: cell by cell. */
static void wide(dcv_pool kind, const dcv_pool_nest *n, const float *x, int lanes, float *y)
{
    for (int64_t o = 0; o < n->out[0] * n->out[1] * n->out[2] * lanes; o++) {
        const int64_t cell = o / lanes;
        const dcv_taps d = dcv_window_taps(&n->win[0], cell / n->out[2] / n->out[1], n->in[0]),
                       r = dcv_window_taps(&n->win[1], cell / n->out[2] % n->out[1], n->in[1]),
                       c = dcv_window_taps(&n->win[2], cell % n->out[2], n->in[2]);
        float sum = kind == DCV_POOL_MAX ? -INFINITY : 0;
        for (int64_t k = c.lo, q = c.at; k < c.hi; k++, q += n->win[2].dilation) {
            float column = kind == DCV_POOL_MAX ? -INFINITY : 0;
            for (int64_t i = d.lo, z = d.at; i < d.hi; i++, z += n->win[0].dilation)
                for (int64_t j = r.lo, v = r.at; j < r.hi; j++, v += n->win[1].dilation)
                    column = pick(kind, column, x[((z * n->in[1] + v) * n->in[2] + q) * lanes + o % lanes]);
            sum = pick(kind, sum, column);
        }
        y[o] = sum;
    }
}

DCV_INLINE void plane(dcv_pool kind, const dcv_pool_nest *n, int lanes, const float *x, float *y)
{
    const int64_t span = (n->win[2].kernel - 1) * n->win[2].dilation + 1;
    if (span > TILE) {
        wide(kind, n, x, lanes, y);
        return;
    }
    const int64_t most = (TILE - span) / n->win[2].stride + 1;
    for (int64_t c = 0; c < n->out[2]; c += most)
        tile(kind, n, x, c, n->out[2] - c < most ? n->out[2] - c : most, lanes, y);
}

DCV_CLONES static void plane_max16(const dcv_pool_nest *n, const float *x, float *y)
{
    plane(DCV_POOL_MAX, n, 16, x, y);
}

DCV_CLONES static void plane_max8(const dcv_pool_nest *n, const float *x, float *y)
{
    plane(DCV_POOL_MAX, n, 8, x, y);
}

DCV_CLONES static void plane_max1(const dcv_pool_nest *n, const float *x, float *y)
{
    plane(DCV_POOL_MAX, n, 1, x, y);
}

DCV_CLONES static void plane_sum16(const dcv_pool_nest *n, const float *x, float *y)
{
    plane(DCV_POOL_SUM, n, 16, x, y);
}

DCV_CLONES static void plane_sum8(const dcv_pool_nest *n, const float *x, float *y)
{
    plane(DCV_POOL_SUM, n, 8, x, y);
}

DCV_CLONES static void plane_sum1(const dcv_pool_nest *n, const float *x, float *y)
{
    plane(DCV_POOL_SUM, n, 1, x, y);
}

void dcv_pool_plane(dcv_pool kind, const dcv_pool_nest *n, int block, const float *x, float *y)
{
    if (kind == DCV_POOL_MAX)
        (block == 16 ? plane_max16 : block == 8 ? plane_max8 : plane_max1)(n, x, y);
    else
        (block == 16 ? plane_sum16 : block == 8 ? plane_sum8 : plane_sum1)(n, x, y);
}
