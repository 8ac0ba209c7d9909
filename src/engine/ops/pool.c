/* pool.c -- what MaxPool and AveragePool share. */
#include "engine/ops/pool.h"

dcv_status dcv_pool_shape(const dcv_shape_io *io)
{
    dcv_pool_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    DCV_TRY(dcv_window_resolve(io, &a->window, x, NULL));
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

/* Output columns whose tap k lies inside. */
static dcv_span inside(const dcv_window *w, int64_t k, int64_t in, int64_t out)
{
    const int64_t shift = k * w->dilation - w->pad_lo; /* input column = c * stride + shift */
    dcv_span s = {shift >= 0 ? 0 : (-shift + w->stride - 1) / w->stride,
                  in - 1 - shift < 0 ? 0 : (in - 1 - shift) / w->stride + 1};
    s.hi = s.hi < out ? s.hi : out;
    s.lo = s.lo < s.hi ? s.lo : s.hi;
    return s;
}

static void take_row(const dcv_pool_nest *n, const float *x, int lanes, dcv_pool_row row, float *y)
{
    const dcv_window *w = &n->win[2];
    for (int64_t k = 0; k < w->kernel; k++) {
        const dcv_span s = inside(w, k, n->in[2], n->out[2]);
        if (s.hi > s.lo)
            row(s.hi - s.lo, x + (s.lo * w->stride + k * w->dilation - w->pad_lo) * lanes, w->stride, y + s.lo * lanes);
    }
}

void dcv_pool_plane(const dcv_pool_nest *n, const float *x, int lanes, float start, dcv_pool_row row, float *y)
{
    const int64_t floats = n->out[2] * lanes;
    for (int64_t d = 0; d < n->out[0]; d++)
        for (int64_t r = 0; r < n->out[1]; r++, y += floats) {
            const dcv_taps a = dcv_window_taps(&n->win[0], d, n->in[0]), b = dcv_window_taps(&n->win[1], r, n->in[1]);
            for (int64_t i = 0; i < floats; i++)
                y[i] = start;
            for (int64_t i = a.lo, z = a.at; i < a.hi; i++, z += n->win[0].dilation)
                for (int64_t j = b.lo, q = b.at; j < b.hi; j++, q += n->win[1].dilation)
                    take_row(n, x + (z * n->in[1] + q) * n->in[2] * lanes, lanes, row, y);
        }
}
