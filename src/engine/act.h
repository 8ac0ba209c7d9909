/* act.h -- activations with a curve, over what a convolution has left, for back ends that do not compute them on the
 * way. */
#ifndef DCV_ENGINE_ACT_H
#define DCV_ENGINE_ACT_H

#include "engine/conv.h"

/* Is it more than a clamp?  Such functions are 0 at 0, so that lanes past the channels stay 0. */
bool dcv_act_is_curve(dcv_act act);

/* y = act(y), n numbers; nothing where act is no curve. */
void dcv_act_run(dcv_act act, int64_t n, float *y);

#endif
