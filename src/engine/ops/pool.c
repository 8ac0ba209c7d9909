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
