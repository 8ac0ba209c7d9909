/* master.h -- rank 0's side of the protocol: hands out units, records what is done, folds blocks.
 * Main thread of rank 0 only. */
#ifndef DCV_RUNTIME_MASTER_H
#define DCV_RUNTIME_MASTER_H

#include "deconvoy/job.h"
#include "deconvoy/run.h"
#include "runtime/failures.h"
#include "runtime/part.h"
#include "runtime/resume.h"
#include "runtime/wire.h"

typedef struct master master;

typedef struct master_options {
    dcv_job *job;
    dcv_output *out;
    const dcv_sha256 *plan;
    const dcv_run_options *run;
    int ranks;      /* that the world has */
    int workers;    /* of them, those that compute */
    int threads;    /* of each */
    int progress;   /* dcv_progress */
    double began_s; /* the run, on the monotonic clock */
} master_options;

typedef struct master_sums {      /* over all phases so far */
    int64_t units, resumed_units; /* done in all; of them by earlier starts */
    double gflop;
} master_sums;

/* Also reads what earlier starts have done, and begins a journal of its own. */
dcv_status master_new(const master_options *o, master **out) DCV_MUST_USE;
void master_free(master *m); /* NULL is allowed */

dcv_status master_phase(master *m, int p, const dcv_phase *phase) DCV_MUST_USE;
void master_hear(master *m, const wire_message *msg); /* HELLO, DONE, BYE */
bool master_step(master *m);                          /* true if anything was done */
bool master_is_through(const master *m);              /* every worker has said BYE */

/* After the phase: DCV_OK complete, DCV_ESTOP stopped before the end; own failures. */
dcv_status master_status(const master *m) DCV_MUST_USE;

/* A slice: put the states of its blocks, which are not folded, into /partial. */
dcv_status master_put_partial(master *m, dcv_result *r) DCV_MUST_USE;

/* The folded state of a gathering phase that is complete; the master's. */
void *master_state(master *m);

failures *master_failures(master *m);
const master_sums *master_totals(const master *m);

#endif
