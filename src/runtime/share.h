/* share.h -- inside of dcv_share_once(): see job.h. */
#ifndef DCV_RUNTIME_SHARE_H
#define DCV_RUNTIME_SHARE_H

#include "deconvoy/job.h"

dcv_status share_new(dcv_share **out) DCV_MUST_USE;

/* Every rank of the node comes here once its part of the sharing is over, well or not; from then on no rank of
 * the node waits for it.  Collective on the node. */
void share_end(dcv_share *s, dcv_status mine);

void share_free(dcv_share *s); /* NULL is allowed; unmaps */

#endif
