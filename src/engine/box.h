/* box.h -- how far a change reaches: cells of every value of a graph that depend on some cells of one of them.
 *
 * Geometry is kept along one spatial axis at a time.  The box of a value is the product of its spans along rows and
 * columns (and depth), all of its channels; it is the hull of what may change.  What an operator does to cells is known
 * from its carries() and reads() alone (op.h), so that a new operator brings its geometry with it.
 *
 * Spans are exact along an axis: sets of cells, not their hulls, are carried through the graph, so that gaps behind
 * dilated windows count, and so do paths whose strides step over a change.  The box of a value is exact wherever each
 * path to it that reaches cells along one axis reaches some along the others; else it is too large, never too small.
 */
#ifndef DCV_ENGINE_BOX_H
#define DCV_ENGINE_BOX_H

#include "deconvoy/graph.h"
#include "deconvoy/op.h"

#define DCV_REACH_NONE -2 /* axis of a value that does not depend on the start */

typedef struct dcv_reach dcv_reach;

/* Geometry of a graph along a spatial axis (0: rows) of value from.  DCV_ENOMEM.  Not thread-safe: it holds the marks
 * of the projection under way. */
dcv_status dcv_reach_new(const dcv_graph *g, int from, int axis, dcv_reach **out) DCV_MUST_USE;
void dcv_reach_free(dcv_reach *r); /* NULL is allowed */

/* The axis of v that runs along the start's; DCV_AXIS_MIXED: a change anywhere may change all of v (spans are of one
 * cell then, which stands for all); DCV_REACH_NONE. */
int dcv_reach_axis(const dcv_reach *r, int v);

/* Cells along that axis, 1 where it is mixed. */
int64_t dcv_reach_extent(const dcv_reach *r, int v);

/* Forward: cells of the start change.  to[n_value]: the hull of the cells of each value that may change with them,
 * empty where none does. */
void dcv_reach_forward(dcv_reach *r, dcv_span cells, dcv_span *to);

/* Back: cells of v are wanted.  to[n_value]: the hull of the cells of each value between the start and v that they are
 * computed from; v itself has cells; empty elsewhere. */
void dcv_reach_back(dcv_reach *r, int v, dcv_span cells, dcv_span *to);

/* Cells along axis axis of input k that cells o along carries() of output j read, padding not clipped away: what lies
 * outside the input is border.  Empty for an empty o. */
dcv_span dcv_node_reads(const dcv_graph *g, int node, int k, int axis, int j, dcv_span o);

/* The axis of output j that runs along axis axis of input k, or DCV_AXIS_MIXED. */
int dcv_node_carries(const dcv_graph *g, int node, int k, int axis, int j);

#endif
