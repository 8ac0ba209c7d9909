/* clip.h -- what the walk's plan must know of Clip to fuse it. */
#ifndef DCV_ENGINE_OPS_CLIP_H
#define DCV_ENGINE_OPS_CLIP_H

#include "engine/ops/map.h"

typedef struct dcv_clip_attr {
    double min, max; /* attributes, before opset 11 */
    float lo, hi;    /* what counts, -inf and inf where there is no bound; completed with the shape */
} dcv_clip_attr;

extern const dcv_op dcv_op_clip;

#endif
