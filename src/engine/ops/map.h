/* map.h -- operators that treat every number on its own. */
#ifndef DCV_ENGINE_OPS_MAP_H
#define DCV_ENGINE_OPS_MAP_H

#include "engine/ops/util.h"

/* n numbers from x to y (which may be x). */
typedef void (*dcv_map_fn)(const void *attr, int64_t n, const float *x, float *y);

/* Map input 0 to output 0 in any layout.  zero: the function of 0 is 0, so that lanes past C stay 0. */
void dcv_map_run(const dcv_node *nd, const dcv_io *io, dcv_map_fn fn, bool zero);

#endif
