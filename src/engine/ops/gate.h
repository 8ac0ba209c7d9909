/* gate.h -- where an activation lets its input through: one bit a number, kept for the walk back. */
#ifndef DCV_ENGINE_OPS_GATE_H
#define DCV_ENGINE_OPS_GATE_H

#include "engine/ops/util.h"

size_t dcv_gate_bytes(const dcv_graph *g, const dcv_node *nd, int block);

/* Bit i: lo < y[i] < hi. */
void dcv_gate_save(const dcv_blob *y, float lo, float hi, void *saved);

/* gx = gy where the bit is set, else 0. */
void dcv_gate_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io);

/* gx = gy where the bit is set and gy > 0, else 0: guided backpropagation. */
void dcv_gate_guide(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io);

/* backward of a function of one number: gx = gy f'(x), n numbers; x or y is NULL where it is not declared. */
typedef void (*dcv_slope_fn)(const void *attr, int64_t n, const float *x, const float *y, const float *gy, float *gx);
void dcv_slope_run(const dcv_node *nd, const dcv_back_io *io, dcv_slope_fn fn);

#endif
