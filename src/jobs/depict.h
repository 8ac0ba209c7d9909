/* depict.h -- network input back to a picture that people can look at. */
#ifndef DCV_JOBS_DEPICT_H
#define DCV_JOBS_DEPICT_H

#include "deconvoy/config.h"
#include "deconvoy/graph.h"

/* Channels of such a picture: 3, 1, or 0 where a network's input is none. */
int dcv_depict_channels(const dcv_map *m);

/* What the network takes, in its units, for one step of a picture's 0..1 in a channel: 255 scale / std. */
double dcv_depict_range(const dcv_preprocess *p, int64_t channel);

/* Undo mean, std, scale and the order of channels, round and cut to 0..255.
 *
 * as_is   x was never a picture (float data): what preprocess writes out is undone; if that is nothing, x is stretched
 *         from its minimum..maximum
 * x       [C,h,w], C = 1 or 3
 * px      [H,W,C] in the corner of rows of stride cells: px[(y * stride + x) * C + c] */
void dcv_depict(const dcv_preprocess *p, bool as_is, const dcv_map *m, const float *x, uint8_t *px, int64_t stride);

#endif
