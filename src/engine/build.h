/* build.h -- what the files that make a graph share. */
#ifndef DCV_ENGINE_BUILD_H
#define DCV_ENGINE_BUILD_H

#include "deconvoy/op.h"

/* Read a node's attributes into a struct as the operator's table says.  attr is NULL for an operator without.
 * DCV_EDATA for a wrong or missing one, DCV_EUNSUPPORTED for one that we do not know. */
dcv_status dcv_attr_read(const dcv_op *op, const dcv_model_node *from, const char *name, int opset, dcv_arena *arena,
                         void **attr) DCV_MUST_USE;

/* Elements that the constants of one graph may have, made by folding. */
#define DCV_FOLD_LIMIT (INT64_C(1) << 28)
#define DCV_FOLD_MACS  (INT64_C(1) << 34)

/* Give the outputs of a node whose inputs are known their values, in memory of the arena.  Outputs that have one
 * already are left alone.  g holds the values that nd names. */
dcv_status dcv_fold(const dcv_graph *g, const dcv_node *nd, dcv_arena *arena, int64_t *left) DCV_MUST_USE;

/* Find out what the outputs mean: fill logits, classes, head. */
void dcv_graph_classify(dcv_graph *g);

#endif
