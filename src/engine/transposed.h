/* transposed.h -- transposed convolutions, put to a back end as convolutions.
 *
 * A transposed convolution from x to y is the adjoint of a convolution from y to x, the *mirror*, with the same
 * weights. With stride 1 it is a convolution with flipped filters, channels exchanged, and runs as such on the back
 * end.  Else it is walked as adjoints are (adjoint.h).
 *
 * In its description in, ic are those of x and out, oc those of y; windows as the operator has them, their pad_hi
 * without meaning: out says how far y goes.
 */
#ifndef DCV_ENGINE_TRANSPOSED_H
#define DCV_ENGINE_TRANSPOSED_H

#include "engine/conv.h"

/* The offer for descriptions that say `transposed`; weights are [ic, oc/groups, kernel...]. */
const dcv_backend *dcv_transposed_of(dcv_backend_kind kind);

/* The convolution from y to x. */
dcv_conv_desc dcv_transposed_mirror(const dcv_conv_desc *d);

/* Can what is added be fused in? */
bool dcv_transposed_adds(dcv_backend_kind kind, const dcv_conv_desc *d);

#endif
