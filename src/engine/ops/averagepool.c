/* averagepool.c -- ONNX AveragePool (7, 10, 11, 19, 22): 1-D to 3-D, ceil_mode, count_include_pad, dilations.
 *
 * y = sum of x over the window / number of its cells: those inside the image, or with count_include_pad those inside
 * image and border (what ceil_mode adds beyond the border never counts).
 */
#include <string.h>
#include "engine/ops/pool.h"

#define STRETCH 256 /* columns whose counts are kept */

static const dcv_field fields[] = {DCV_WINDOW_FIELDS(dcv_pool_attr, window),
                                   {"ceil_mode", DCV_FIELD_INT, DCV_AT(dcv_pool_attr, ceil_mode), .dflt = "0", .min = 0,
                                    .max = 1, .help = "round extents up"},
                                   {"count_include_pad", DCV_FIELD_INT, DCV_AT(dcv_pool_attr, count_include_pad),
                                    .dflt = "0", .min = 0, .max = 1, .help = "the border counts"},
                                   DCV_FIELDS_END};

/* Cells along one axis that the divisor counts. */
static int64_t counted(const dcv_window *w, const dcv_taps *t, int64_t o, int64_t in, bool border)
{
    if (!border)
        return t->hi > t->lo ? t->hi - t->lo : 0;
    const int64_t room =
        in + w->pad_hi - (o * w->stride - w->pad_lo); /* cells from the window's start to the border's end */
    const int64_t fit = (room + w->dilation - 1) / w->dilation;
    return fit < w->kernel ? fit : w->kernel;
}

/* Divide the sums of a plane. */
DCV_INLINE void divide(const dcv_pool_nest *n, bool border, int lanes, float *y)
{
    for (int64_t d = 0; d < n->out[0]; d++) {
        const dcv_taps td = dcv_window_taps(&n->win[0], d, n->in[0]);
        const int64_t nd = counted(&n->win[0], &td, d, n->in[0], border);
        for (int64_t r = 0; r < n->out[1]; r++) {
            const dcv_taps tr = dcv_window_taps(&n->win[1], r, n->in[1]);
            const int64_t nr = nd * counted(&n->win[1], &tr, r, n->in[1], border);
            for (int64_t c = 0; c < n->out[2]; c++, y += lanes) {
                const dcv_taps tc = dcv_window_taps(&n->win[2], c, n->in[2]);
                const int64_t nc = nr * counted(&n->win[2], &tc, c, n->in[2], border);
                const float scale = nc > 0 ? 1.0f / (float)nc : 0;
                for (int l = 0; l < lanes; l++)
                    y[l] *= scale;
            }
        }
    }
}

/* The same in plain layout, a stretch of columns at a time. */
DCV_INLINE void divide_plain(const dcv_pool_nest *n, bool border, float *y)
{
    float count[STRETCH];
    for (int64_t c = 0; c < n->out[2]; c += STRETCH) {
        const int64_t cells = n->out[2] - c < STRETCH ? n->out[2] - c : STRETCH;
        for (int64_t i = 0; i < cells; i++) {
            const dcv_taps t = dcv_window_taps(&n->win[2], c + i, n->in[2]);
            count[i] = (float)counted(&n->win[2], &t, c + i, n->in[2], border);
        }
        for (int64_t r = 0; r < n->out[0] * n->out[1]; r++) {
            const int64_t i0 = r / n->out[1], i1 = r % n->out[1];
            const dcv_taps t0 = dcv_window_taps(&n->win[0], i0, n->in[0]),
                           t1 = dcv_window_taps(&n->win[1], i1, n->in[1]);
            const float rows = (float)(counted(&n->win[0], &t0, i0, n->in[0], border) *
                                       counted(&n->win[1], &t1, i1, n->in[1], border));
            float *to = y + r * n->out[2] + c;
            for (int64_t i = 0; i < cells; i++)
                to[i] = rows * count[i] > 0 ? to[i] * (1.0f / (rows * count[i])) : 0;
        }
    }
}

DCV_CLONES static void divide_any(const dcv_pool_nest *n, bool border, int lanes, float *y)
{
    if (lanes == 16)
        divide(n, border, 16, y);
    else if (lanes == 8)
        divide(n, border, 8, y);
    else
        divide_plain(n, border, y);
}

/* Divide by what lies inside: outside cells have a mark, the same in all lanes that are channels. */
DCV_INLINE void average_inside(const dcv_pool_nest *n, int lanes, const float *x, float *y)
{
    for (int64_t o = 0; o < n->out[0] * n->out[1] * n->out[2]; o++, y += lanes) {
        const int64_t at[3] = {o / n->out[2] / n->out[1], o / n->out[2] % n->out[1], o % n->out[2]};
        dcv_taps t[3];
        int64_t cells = 0;
        for (int i = 0; i < 3; i++)
            t[i] = dcv_window_taps(&n->win[i], at[i], n->in[i]);
        for (int l = 0; l < lanes; l++)
            y[l] = 0;
        for (int64_t i = t[0].lo, z = t[0].at; i < t[0].hi; i++, z += n->win[0].dilation)
            for (int64_t j = t[1].lo, r = t[1].at; j < t[1].hi; j++, r += n->win[1].dilation)
                for (int64_t k = t[2].lo, c = t[2].at; k < t[2].hi; k++, c += n->win[2].dilation) {
                    const float *cell = x + ((z * n->in[1] + r) * n->in[2] + c) * lanes;
                    if (cell[0] == DCV_POOL_NOWHERE)
                        continue;
                    cells++;
                    for (int l = 0; l < lanes; l++)
                        y[l] += cell[l];
                }
        const float scale = cells > 0 ? 1.0f / (float)cells : 0;
        for (int l = 0; l < lanes; l++)
            y[l] *= scale;
    }
}

DCV_CLONES static void average_inside_any(const dcv_pool_nest *n, int lanes, const float *x, float *y)
{
    if (lanes == 16)
        average_inside(n, 16, x, y);
    else if (lanes == 8)
        average_inside(n, 8, x, y);
    else
        average_inside(n, 1, x, y);
}

/* Where every window counts all of its cells, or those inside the image, which are told by a mark. */
static bool crop(const dcv_graph *g, dcv_node *nd, float *border)
{
    dcv_pool_attr *a = nd->attr;
    const dcv_dims *x = &g->value[nd->in[0]].dims, *y = &g->value[nd->out[0]].dims;
    bool whole = true;
    for (int i = 0; i < a->window.n_space; i++) {
        const dcv_window *w = &a->window.win[i];
        for (int64_t o = 0; o < y->d[2 + i]; o++) {
            const dcv_taps t = dcv_window_taps(w, o, x->d[2 + i]);
            whole = whole && counted(w, &t, o, x->d[2 + i], a->count_include_pad != 0) == w->kernel;
        }
    }
    if (!whole && a->count_include_pad)
        return false;
    a->marked = !whole;
    dcv_window_crop(&a->window);
    *border = whole ? 0 : DCV_POOL_NOWHERE;
    return true;
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const dcv_pool_attr *a = nd->attr;
    const dcv_blob *x = &io->x[0];
    dcv_blob *y = &io->y[0];
    const dcv_pool_nest n = dcv_pool_nest_of(&a->window, x->dims, y->dims);
    const dcv_blob_shape sx = dcv_blob_shape_of(x->dims, x->block), sy = dcv_blob_shape_of(y->dims, y->block);
    const bool border = a->count_include_pad != 0;
    for (int64_t q = 0; q < dcv_blob_outer(y); q++) {
        const float *from = dcv_blob_slice(x, q);
        float *to = dcv_blob_slice(y, q);
        for (int64_t b = 0; b < sy.blocks; b++, from += sx.cells * x->block, to += sy.cells * y->block) {
            if (a->marked) {
                average_inside_any(&n, y->block, from, to);
                continue;
            }
            dcv_pool_plane(DCV_POOL_SUM, &n, y->block, from, to);
            divide_any(&n, border, y->block, to);
        }
    }
}

/* Spread one plane's signal evenly over the windows. */
DCV_INLINE void spread(const dcv_pool_nest *n, bool border, int lanes, const float *gy, float *gx)
{
    for (int64_t o = 0; o < n->out[0] * n->out[1] * n->out[2]; o++, gy += lanes) {
        const int64_t at[3] = {o / n->out[2] / n->out[1], o / n->out[2] % n->out[1], o % n->out[2]};
        dcv_taps t[3];
        int64_t cells = 1;
        for (int i = 0; i < 3; i++) {
            t[i] = dcv_window_taps(&n->win[i], at[i], n->in[i]);
            cells *= counted(&n->win[i], &t[i], at[i], n->in[i], border);
        }
        const float scale = cells > 0 ? 1.0f / (float)cells : 0;
        for (int64_t i = t[0].lo, z = t[0].at; i < t[0].hi; i++, z += n->win[0].dilation)
            for (int64_t j = t[1].lo, r = t[1].at; j < t[1].hi; j++, r += n->win[1].dilation)
                for (int64_t k = t[2].lo, c = t[2].at; k < t[2].hi; k++, c += n->win[2].dilation)
                    for (int l = 0; l < lanes; l++)
                        gx[((z * n->in[1] + r) * n->in[2] + c) * lanes + l] += gy[l] * scale;
    }
}

DCV_CLONES static void spread_any(const dcv_pool_nest *n, bool border, int lanes, const float *gy, float *gx)
{
    if (lanes == 16)
        spread(n, border, 16, gy, gx);
    else if (lanes == 8)
        spread(n, border, 8, gy, gx);
    else
        spread(n, border, 1, gy, gx);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const dcv_pool_attr *a = nd->attr;
    const dcv_blob *gy = &io->gy[0], *gx = &io->gx[0];
    const dcv_pool_nest n = dcv_pool_nest_of(&a->window, gx->dims, gy->dims);
    const dcv_blob_shape sx = dcv_blob_shape_of(gx->dims, gx->block), sy = dcv_blob_shape_of(gy->dims, gy->block);
    memset(gx->data, 0, (size_t)sx.floats * sizeof *gx->data);
    for (int64_t q = 0; q < dcv_blob_outer(gy); q++)
        for (int64_t b = 0; b < sy.blocks; b++)
            spread_any(&n, a->count_include_pad != 0, gy->block, dcv_blob_slice(gy, q) + b * sy.cells * gy->block,
                       dcv_blob_slice(gx, q) + b * sx.cells * gx->block);
}

const dcv_op dcv_op_averagepool = {.name = "AveragePool",
                                   .min_in = 1,
                                   .max_in = 1,
                                   .max_out = 1,
                                   .attr_size = sizeof(dcv_pool_attr),
                                   .fields = fields,
                                   .layout = DCV_LAYOUT_SAME,
                                   .shape = dcv_pool_shape,
                                   .reads = dcv_pool_reads,
                                   .crop = crop,
                                   .forward = forward,
                                   .back_layout = DCV_LAYOUT_SAME,
                                   .backward = backward};
