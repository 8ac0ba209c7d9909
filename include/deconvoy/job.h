/* job.h -- a job kind: the only thing that the run-time and the engine both touch.
 *
 * A job cuts its work into phases, a phase into units numbered 0 .. n-1.  The plan is a pure function of
 * configuration, data set and model, never of ranks, threads or memory.  Each unit writes its own regions of the
 * result, or adds to the state of its block, or both:
 *
 *   - units are cut into blocks of clamp(units / 1024, 1, 64) consecutive ones;
 *   - a block's state starts cleared and is added to unit by unit, in order, by one thread,
 *     so that it is a pure function of (block, units done);
 *   - finished blocks are folded, in order, into one state, which finish() turns into regions on rank 0,
 *     and which learn() gives to every rank before the next phase starts.
 *
 * A chain is a long computation cut into units: a block of as many units as the phase says, each going on from the
 * state that the one before left.  Nothing is folded, finished or learnt; the state is only there so that a run that
 * was killed goes on from where it was last kept.
 *
 * Adding a job kind = one file in src/jobs with a const dcv_job_kind, and one line in jobs.def.
 */
#ifndef DECONVOY_JOB_H
#define DECONVOY_JOB_H

#include <stdio.h>
#include "deconvoy/cache.h"
#include "deconvoy/config.h"
#include "deconvoy/dataset.h"
#include "deconvoy/output.h"

/* Memory that the ranks of a node share: bytes are filled once per node by fill, others map
 * them read-only.  Collective on the node's ranks, in the same order on each.  The memory lives until the run-time
 * closes the share, after the job's close.  NULL share: private memory, which the caller gives back with dcv_free(). */
typedef struct dcv_share dcv_share;
typedef dcv_status (*dcv_share_fill)(void *ctx, void *to);
dcv_status dcv_share_once(dcv_share *s, size_t bytes, dcv_share_fill fill, void *ctx, const void **out) DCV_MUST_USE;

typedef struct dcv_phase {
    const char *name; /* "search", "patches": for progress lines */
    int64_t n_units;
    int64_t n_items;    /* what progress counts */
    size_t state_bytes; /* of a block's state; 0: nothing is gathered */
    int64_t chain;      /* > 0: blocks are chains of so many units (the last may be shorter); wants state_bytes > 0 */
    bool together;      /* all ranks compute it at once, by the kind's together(); units are for estimates only */
} dcv_phase;

/* A phase that all ranks compute together (one object over all of them): nothing is granted or journalled; a start that
 * goes on computes the phase again from the last state that was saved.  Each rank puts its own regions.  All calls
 * but dcv_together_save() and dcv_together_load() are collective, by main threads. */
typedef struct dcv_together dcv_together;
typedef struct dcv_together_facts {
    int comm; /* MPI_Comm_c2f() of all ranks; -1: this one is alone */
    int rank, size, threads;
} dcv_together_facts;
const dcv_together_facts *dcv_together_is(const dcv_together *t); /* local */

/* 2: save and stop with DCV_ESTOP (a signal, the deadline); 1: every_s have passed since the last saving; 0: go on. */
int dcv_together_wants(dcv_together *t, double every_s);
bool dcv_together_speaks(dcv_together *t); /* local: is a line of progress due from this rank? */

/* All ranks learn the worst status and its message: to be called after each local step that can fail, so that no rank
 * waits for one that has gone. */
dcv_status dcv_together_agree(dcv_together *t, dcv_status mine) DCV_MUST_USE;

/* A new state of so many bytes, which ranks write in pieces, at most 32 each; it counts once save_end is back. DCV_EIO.
 */
dcv_status dcv_together_save_begin(dcv_together *t, int64_t bytes) DCV_MUST_USE;
dcv_status dcv_together_save(dcv_together *t, int64_t offset, int64_t bytes, const void *from) DCV_MUST_USE; /* local */
dcv_status dcv_together_save_end(dcv_together *t) DCV_MUST_USE;

/* Bytes of the newest state that is whole, 0: none.  Then pieces of it may be read. */
int64_t dcv_together_found(dcv_together *t);
dcv_status dcv_together_load(dcv_together *t, int64_t offset, int64_t bytes, void *to) DCV_MUST_USE; /* local */

/* What run.json tells of it.  Adds; local. */
typedef struct dcv_together_tally {
    int64_t units, kept, gone_on; /* done, by whichever start; of these, by an earlier one; begun by an earlier one */
    double gflop, read_s, write_s;
} dcv_together_tally;
void dcv_together_count(dcv_together *t, dcv_together_tally more);

typedef struct dcv_job dcv_job; /* a job kind's own struct begins with one of these */

typedef struct dcv_job_kind {
    dcv_section section; /* key, help, option table */

    /* Try foreign files in a child (dcv_probe()), before MPI is up: hostile ones kill their readers.  May be NULL.
     * Local. */
    dcv_status (*probe)(const dcv_config *c);

    /* Read model and data set, make the plan.  threads: engine threads that will call compute.
     * Collective on a node's ranks where share is not NULL.  *out is freed by close, also
     * after a failure if it is not NULL. */
    dcv_status (*open)(const dcv_config *c, dcv_share *share, int threads, dcv_job **out);
    void (*close)(dcv_job *job);

    /* Declare all data sets of the job but /failures and /checksums.  Same calls on every rank. */
    dcv_status (*declare)(dcv_job *job, dcv_store *s);

    /* Describe phase p, 0 .. n_phases-1; called on every rank once all earlier phases have been learnt. */
    dcv_status (*phase)(dcv_job *job, int p, dcv_phase *out);
    int64_t (*unit_items)(const dcv_job *job, int p, int64_t unit); /* items in a unit */
    double (*unit_gflop)(const dcv_job *job, int p, int64_t unit);  /* estimate, >= 0 */

    /* Read a unit's inputs ahead (a reader thread; errors of single items are kept in *input).
     * compute takes *input over; drop frees it if the unit is never computed.  NULL after a failure.  Both may be NULL.
     */
    dcv_status (*read)(dcv_job *job, int p, int64_t unit, void **input);
    void (*drop)(dcv_job *job, void *input);

    /* Compute a unit on engine thread thread (0 .. threads-1) and put its regions; where the phase gathers, add to
     * state (NULL otherwise).  DCV_EDATA stops the run (on_error: fail); item failures are recorded in r. */
    dcv_status (*compute)(dcv_job *job, int p, int64_t unit, int thread, void *input, void *state, dcv_result *r);

    /* Put what a unit has whose items have all failed, and record each of them with message: computing
     * it has killed its process three times.  state as in compute.  NULL: such a unit stops the run. */
    dcv_status (*fail_unit)(dcv_job *job, int p, int64_t unit, const char *message, void *state, dcv_result *r);

    /* Gathering phases. */
    void (*state_clear)(const dcv_job *job, int p, void *state);
    void (*state_fold)(const dcv_job *job, int p, void *into, const void *block); /* block comes after all in into */
    dcv_status (*finish)(dcv_job *job, int p, const void *state, dcv_result *r);  /* rank 0 only */
    dcv_status (*learn)(dcv_job *job, int p, const void *state);                  /* every rank */

    /* Compute a phase that is to be computed together.  Collective on the world; the same status everywhere, or one
     * that ranks agree on afterwards.  NULL: there is none. */
    dcv_status (*together)(dcv_job *job, int p, dcv_together *t, dcv_result *r);

    /* Do ranks ranks, node_ranks of them on this node, have the memory?  DCV_ECONFIG: needs X, has Y.  to: where to say
     * what it takes, or NULL.  NULL: runtime.memory against the bytes below is all there is to check. */
    dcv_status (*fits)(dcv_job *job, int ranks, int node_ranks, FILE *to);

    /* Will item i of phase 0 fail, as far as headers tell?  DCV_EDATA with the reason.  For `check`, where job->dataset is
     * NULL; may be NULL. */
    dcv_status (*foresee)(dcv_job *job, int64_t i);

    /* Lines for `check` beyond what the run-time prints itself; may be NULL. */
    dcv_status (*explain)(dcv_job *job, FILE *to);
} dcv_job_kind;

struct dcv_job {
    const dcv_job_kind *kind;
    const dcv_config *config;
    int n_phases;
    dcv_dataset *dataset;    /* NULL where there is none; owned by the job */
    int64_t n_items;         /* rows of /inputs, /failures; 0: none */
    dcv_sha256 model_sha256; /* all "" where there is none */
    dcv_sha256 dataset_sha256;
    dcv_sha256 more_sha256;  /* of further files that decide what the result is; "" where there are none */
    const char *numerics;    /* back end, version, instruction set */
    int64_t weight_bytes;    /* per node, for `check` */
    int64_t thread_bytes;    /* walk memory per engine thread */
    int64_t unit_read_bytes; /* largest input of a unit, for read-ahead under runtime.memory */
    dcv_cache *cache;        /* what units make and others look at, the job's; NULL: nothing.  It has rooms once open,
                                declare and phase 0's description are over */
};

/* The kinds, from jobs.def; NULL past the end. */
const dcv_job_kind *dcv_job_kind_at(int i);

#endif
