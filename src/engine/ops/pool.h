/* pool.h -- what the walk's plan must know of pooling nodes. */
#ifndef DCV_ENGINE_OPS_POOL_H
#define DCV_ENGINE_OPS_POOL_H

#include <float.h>
#include "engine/ops/window.h"

typedef struct dcv_pool_attr {
    dcv_window_attr window; /* first: dcv_conv_windows() serves pools too */
    int64_t ceil_mode;
    int64_t count_include_pad; /* AveragePool */
    bool marked;               /* AveragePool of a part of a map: cells of DCV_POOL_NOWHERE lie outside */
    int64_t storage_order;     /* MaxPool: of Indices */
} dcv_pool_attr;

/* Stands for cells outside of a map; no sum of cells is one. */
#define DCV_POOL_NOWHERE (-FLT_MAX)

extern const dcv_op dcv_op_maxpool, dcv_op_averagepool;

/* Axes of space padded at the front to three, so that one nest serves all. */
typedef struct dcv_pool_nest {
    int64_t in[3], out[3];
    dcv_window win[3];
} dcv_pool_nest;
dcv_pool_nest dcv_pool_nest_of(const dcv_window_attr *a, const dcv_dims *x, const dcv_dims *y);

/* What a window does with its cells. */
typedef enum dcv_pool { DCV_POOL_MAX, DCV_POOL_SUM } dcv_pool;

/* Join the cells of each window: rows first, then along the row.  Padding is -inf or 0; NaN comes through.
 * x, y: one plane of block lanes. */
void dcv_pool_plane(dcv_pool kind, const dcv_pool_nest *n, int block, const float *x, float *y);

/* Mean of each channel of one picture, C numbers, double sums over the cells in order. */
void dcv_channel_means(const dcv_blob_shape *s, int block, const float *x, float *y);

/* Flat numbers of a map's cells must be exact as floats, up to 2^24.  DCV_EUNSUPPORTED. */
dcv_status dcv_pool_index_fits(const dcv_shape_io *io, const dcv_dims *counted) DCV_MUST_USE;

dcv_status dcv_pool_shape(const dcv_shape_io *io);
dcv_cells dcv_pool_reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o);

#endif
