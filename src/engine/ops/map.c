/* map.c -- operators that treat every number on its own: the loop over pictures and layouts. */
#include "engine/ops/map.h"

void dcv_map_run(const dcv_node *nd, const dcv_io *io, dcv_map_fn fn, bool zero)
{
    const dcv_blob *x = &io->x[0];
    dcv_blob *y = &io->y[0];
    const int64_t n = dcv_blob_shape_of(y->dims, y->block).floats;
    for (int p = 0; p < y->n; p++)
        fn(nd->attr, n, x->data + p * x->n_stride, y->data + p * y->n_stride);
    if (!zero)
        dcv_blob_clear_tail(y);
}
