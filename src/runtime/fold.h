/* fold.h -- the states of a gathering phase's blocks become one: finished blocks are folded in order into a running
 * state, which is kept on disk as well, so that blocks need no files once they are in it.  Rank 0 only.
 *
 * The blocks of a slice are kept apart: theirs is to be put into the result one by one.
 */
#ifndef DCV_RUNTIME_FOLD_H
#define DCV_RUNTIME_FOLD_H

#include "deconvoy/job.h"
#include "deconvoy/worklist.h"
#include "runtime/blocks.h"

typedef struct fold fold;

typedef struct fold_options {
    dcv_job *job;
    dcv_output *out;
    const dcv_sha256 *plan;
    int phase_number;
    dcv_phase phase; /* gathers */
    bool apart;      /* a slice */
} fold_options;

/* Goes on from the running state that an earlier start has left. */
dcv_status fold_new(const fold_options *o, fold **out) DCV_MUST_USE;
void fold_free(fold *f); /* NULL is allowed */

/* NULL stands for a phase that does not gather: nothing is folded, and all of it is. */
int64_t fold_blocks(const fold *f); /* folded, from the first on */
bool fold_is_complete(const fold *f);

/* Fold the next block if its units are done, and keep the running state on disk if it is time to.  *any: whether
 * anything was.  DCV_EIO, also if the block's state is gone. */
dcv_status fold_step(fold *f, const dcv_worklist *list, bool *any) DCV_MUST_USE;

/* The running state; borrowed, NULL for NULL. */
void *fold_state(fold *f);

/* A slice: states of blocks first .. end - 1, in turn, to /partial.  DCV_ESTOP if somebody asks for an end. */
dcv_status fold_put_apart(fold *f, int64_t first, int64_t end, dcv_result *r) DCV_MUST_USE;

#endif
