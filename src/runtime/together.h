/* together.h -- inside of a phase that all ranks compute together: when to save, where the state is.
 *
 * The state lies beside the output in OUT.h5.block.together.{a,b}, written in turn, so that one valid file is there at
 * any instant: a head with plan, generation and CRCs of all pieces, written last.
 */
#ifndef DCV_RUNTIME_TOGETHER_H
#define DCV_RUNTIME_TOGETHER_H

#include "deconvoy/hash.h"
#include "deconvoy/job.h"
#include "runtime/lease.h"
#include "runtime/part.h"

typedef struct together_options {
    dcv_output *out;
    const dcv_sha256 *plan;
    lease *lease; /* rank 0, else NULL */
    int phase, threads;
    double deadline_s, began_s; /* deadline < 0: none; monotonic clock */
    int progress;               /* dcv_progress */
} together_options;

/* Collective. */
dcv_status together_new(const together_options *o, dcv_together **out) DCV_MUST_USE;
void together_free(dcv_together *t); /* NULL is allowed */

/* All that was counted. */
const dcv_together_tally *together_tally(const dcv_together *t);

#endif
