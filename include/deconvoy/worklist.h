/* worklist.h -- which units of a phase are done, and which to hand out next.
 *
 * Units are numbered 0 .. n-1; what a unit *is* is the job kind's business.  A unit is waiting, out (granted to a
 * worker) or done.  Where the phase gathers, units are cut into blocks and a grant is one
 * block or the rest of one; elsewhere grants are ranges that shrink as work runs out.  A
 * silent grant may be given a second time; finishing a unit twice is harmless.
 *
 * Pure logic: no MPI, no I/O, no clock (the caller says what time it is), nothing blocks.  Not thread-safe.
 */
#ifndef DECONVOY_WORKLIST_H
#define DECONVOY_WORKLIST_H

#include <stdbool.h>
#include <stdint.h>
#include "deconvoy/status.h"

typedef struct dcv_worklist dcv_worklist;
typedef struct dcv_range { /* units */
    int64_t first, count;
} dcv_range;

typedef struct dcv_grant {
    int id;   /* to report with; used again once the grant is finished */
    int copy; /* 0; 1 if these units are out with another worker as well */
    dcv_range units;
} dcv_grant;

typedef struct dcv_worklist_options {
    int64_t n_units; /* 0 .. 2^40 */
    bool gather;     /* grants are blocks */
    int workers;     /* ranks that compute, >= 1: grants are at most waiting / (4 workers) */
    int threads;     /* engine threads of each: 4 s of work for all of them is a grant's upper bound */
    int64_t block;   /* units in a block; 0: dcv_block_units() */
} dcv_worklist_options;

#define DCV_GRANT_MAX 4096 /* units */

/* Units in a block of a phase of n units: clamp(n / 1024, 1, 64). */
int64_t dcv_block_units(int64_t n);

/* All units waiting.  DCV_EINTERNAL if a bound is broken, DCV_ENOMEM; then *out is NULL. */
dcv_status dcv_worklist_new(const dcv_worklist_options *o, dcv_worklist **out) DCV_MUST_USE;
void dcv_worklist_free(dcv_worklist *w); /* NULL is allowed */

/* These units are done already (an earlier run), or not ours (another slice).  Returns how many were not. */
int64_t dcv_worklist_skip(dcv_worklist *w, dcv_range r);

/* Give the next waiting units to worker at time now_s.  False: nothing is waiting. */
bool dcv_worklist_take(dcv_worklist *w, int worker, double now_s, dcv_grant *out);

/* How many units the next take would give at most (for deadlines). */
int64_t dcv_worklist_next_size(const dcv_worklist *w);

/* Give the oldest silent grant (out for more than max(30 s, 10 times its estimate)) to worker as
 * well.  False: there is none. */
bool dcv_worklist_again(dcv_worklist *w, int worker, double now_s, dcv_grant *out);

/* units of grant id are done.  *fresh: how many of them were not done before.  DCV_EINTERNAL if the grant is
 * not out or has no such units; then w is unchanged. */
dcv_status dcv_worklist_finish(dcv_worklist *w, int id, dcv_range units, int64_t *fresh) DCV_MUST_USE;

/* A worker took seconds for units: the estimate of what a unit costs. */
void dcv_worklist_timed(dcv_worklist *w, int64_t units, double seconds);
double dcv_worklist_unit_s(const dcv_worklist *w); /* 0: not known yet */

bool dcv_worklist_is_done(const dcv_worklist *w, int64_t unit);
bool dcv_worklist_block_is_done(const dcv_worklist *w, int64_t block);
int64_t dcv_worklist_left(const dcv_worklist *w); /* not done: waiting or out; 0: the phase is complete */
int64_t dcv_worklist_waiting(const dcv_worklist *w);

#endif
