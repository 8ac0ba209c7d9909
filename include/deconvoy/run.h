/* run.h -- run a job on all ranks: the run-time's one entry.
 *
 * Knows neither engine nor deblur.  MPI must be initialised (FUNNELED); all calls are collective
 * on the world.
 */
#ifndef DECONVOY_RUN_H
#define DECONVOY_RUN_H

#include "deconvoy/job.h"

typedef struct dcv_run_options {
    bool fresh;        /* discard a partial or finished result */
    double deadline_s; /* < 0: none */
} dcv_run_options;

/* Before MPI_Init of a run: from here on USR1, TERM and INT ask for an end instead of ending the process. */
void dcv_run_prepare(void);

/* The numerics that an earlier start of this output was made with: new memory, NULL if there is nothing to go on with.
 * A run that goes on must have the same, so this is asked before the libraries that compute are loaded.  Local, no MPI.
 */
char *dcv_run_numerics(const dcv_config *c) DCV_MUST_USE;

/* Run kind with configuration c from plan to sealed file.  The status is the same on every rank; the message is kept
 * on one rank, for which *speaks is set. */
dcv_status dcv_run(const dcv_job_kind *kind, const dcv_config *c, const dcv_run_options *o, bool *speaks) DCV_MUST_USE;

/* The least of the ranks' values, to all.  Collective. */
int dcv_least(int mine);

/* Print what a run would do: units, GFLOP, memory per rank and node, bytes of output.  Local, no MPI. */
dcv_status dcv_check(const dcv_job_kind *kind, const dcv_config *c, int ranks, FILE *to) DCV_MUST_USE;

/* All ranks learn the worst status and which rank has it; that rank keeps its message, sets *speaks. Collective. */
dcv_status dcv_agree(dcv_status mine, bool *speaks);

/* Join the results of all slices of a plan: the bytes of a run without slice.
 *
 * c      their configuration without the slice, output set
 * parts  n files, in any order
 *
 * What they hold becomes a .part of the whole plan, which is then gone on with as by dcv_run(): later phases are computed
 * here.  DCV_EDATA for parts of other plans, damaged ones, missing ones, or one given twice. */
dcv_status dcv_merge(const dcv_job_kind *kind, const dcv_config *c, const char *const *parts, int n) DCV_MUST_USE;

/* Is a finished result whole, to the byte?  out: what it holds.  DCV_EDATA damaged (names the data set) or no
 * result, DCV_ENOINPUT missing, DCV_ESTOP a .part.  Local; forks a probe where MPI is not up. */
typedef struct dcv_whole {
    int64_t n_datasets, bytes;
} dcv_whole;
dcv_status dcv_verify(const char *file, dcv_whole *out) DCV_MUST_USE;

#endif
