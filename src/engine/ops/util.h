/* util.h -- what operator files share: messages, axes, constant inputs, blobs, moving elements. */
#ifndef DCV_ENGINE_OPS_UTIL_H
#define DCV_ENGINE_OPS_UTIL_H

#include "deconvoy/op.h"
#include "engine/vector.h"

#define DCV_BLOCK_MAX 16
#define DCV_MOST_WORK 0x1p36 /* comparisons or products that a picture may take, one after the other */

/* dcv_fail() with `node "NAME" (Conv): ` before the text. */
dcv_status dcv_op_fail(const dcv_shape_io *io, dcv_status code, const char *fmt, ...) DCV_PRINTF(3, 4);

/* Axis counted from either end -> 0 .. rank-1.  DCV_EDATA if there is no such axis. */
dcv_status dcv_op_axis(const dcv_shape_io *io, int64_t axis, int rank, int *out) DCV_MUST_USE;

/* Axes likewise into a bit mask; one given twice is refused. */
dcv_status dcv_op_axes(const dcv_shape_io *io, const int64_t *axis, int64_t n, int rank, unsigned *mask) DCV_MUST_USE;

/* Is input k there? */
bool dcv_op_has(const dcv_shape_io *io, int k);

/* A constant integer input of rank 0 or 1; DCV_EUNSUPPORTED if only the walk would know it. */
dcv_status dcv_op_ints(const dcv_shape_io *io, int k, const char *what, const int64_t **v, int64_t *n) DCV_MUST_USE;

/* Integers from input k where it is there, else from the attribute. */
dcv_status dcv_op_ints_or(const dcv_shape_io *io, int k, const char *what, const dcv_ints *attr, const int64_t **v,
                          int64_t *n) DCV_MUST_USE;

/* A constant number, from a float or integer input with one element. */
dcv_status dcv_op_number(const dcv_shape_io *io, int k, const char *what, double *out) DCV_MUST_USE;

/* Output 0 is as input 0. */
dcv_status dcv_shape_same(const dcv_shape_io *io) DCV_MUST_USE;

/* carries: the axes stay where they are, but every cell reads all. */
int dcv_carries_none(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j);

/* The axis of shape y that runs along axis axis of shape x when the same elements are merely counted
 * otherwise, or DCV_AXIS_MIXED. */
int dcv_reshaped_axis(const dcv_dims *x, const dcv_dims *y, int axis);

/* Set the lanes past C to 0. */
void dcv_blob_clear_tail(dcv_blob *y);

/* Outermost extent: pictures times the batch axis of each. */
static inline int64_t dcv_blob_outer(const dcv_blob *b)
{
    return b->dims->n >= 2 ? b->n * b->dims->d[0] : b->n;
}

/* Start of outer slice q of a blob: [C][cells] in its layout. */
static inline float *dcv_blob_slice(const dcv_blob *b, int64_t q)
{
    const int64_t per = b->dims->n >= 2 ? b->dims->d[0] : 1;
    const dcv_blob_shape s = dcv_blob_shape_of(b->dims, b->block);
    return b->data + (q / per) * b->n_stride + (q % per) * s.blocks * s.cells * b->block;
}

/* Copy extent[] elements between strided tensors; strides in elements, 0 and negative ones allowed for from. */
typedef struct dcv_move {
    int rank;
    int64_t extent[DCV_MAX_RANK], to[DCV_MAX_RANK], from[DCV_MAX_RANK];
} dcv_move;
void dcv_move_run(const dcv_move *m, void *to, const void *from, size_t elem);

/* Row-major strides of a shape. */
void dcv_dims_strides(const dcv_dims *d, int64_t stride[DCV_MAX_RANK]);

/* An operator that only moves elements says how for one picture in plain layout; part is the number of the
 * input (Concat) or output (Split) that is meant. */
typedef void (*dcv_mover)(const dcv_node *nd, int part, const dcv_dims *x, const dcv_dims *y, size_t elem,
                          const void *from, void *to);
void dcv_move_forward(const dcv_node *nd, int part, const dcv_blob *x, dcv_blob *y, dcv_mover fn);
/* Its adjoint, for any mover: where each element comes from is found out by moving numbers. */
void dcv_move_back(const dcv_node *nd, int part, const dcv_blob *gy, dcv_blob *gx, void *scratch, dcv_mover fn);
size_t dcv_move_scratch(const dcv_graph *g, const dcv_node *nd); /* for one input and one output */
void dcv_move_fold(const dcv_fold_io *io, int part, int k, int j, dcv_mover fn);

#endif
