/* team.h -- the threads of a rank that do the work: engine threads compute, readers read ahead.  No MPI.
 *
 * Grants go in, finished units come out; the main thread does both and sleeps in between.  In a
 * gathering phase one engine thread works on one block, unit by unit, and what it
 * finished comes out when the block's state is in a file: at the end, when the run stops, and every few seconds.
 */
#ifndef DCV_RUNTIME_TEAM_H
#define DCV_RUNTIME_TEAM_H

#include "deconvoy/hash.h"
#include "deconvoy/job.h"
#include "deconvoy/worklist.h"
#include "runtime/faults.h"
#include "runtime/part.h"

typedef struct team team;

typedef struct team_options {
    dcv_job *job;
    dcv_output *out;
    const dcv_sha256 *plan;
    int threads;              /* 0: this rank only passes work out */
    int read_ahead;           /* units that may be held in read form beyond those being computed */
    const fault_list *faults; /* units that are not computed but reported as failed */
} team_options;

typedef struct finished { /* what one engine thread finished */
    struct finished *next;
    int grant;
    dcv_range units;
    dcv_result result;
    dcv_status status; /* not DCV_OK: the run must stop; nothing is finished */
    char *message;
    double seconds; /* of reading and computing */
    int fd;         /* the block's state, to be synced and closed; -1: none */
    int thread;     /* whose state it is */
    int64_t save;   /* number of this saving, > 0 where the state is partial */
} finished;

typedef struct team_times { /* seconds summed over threads */
    double compute_s, read_s, write_s, wait_s;
} team_times;

dcv_status team_new(const team_options *o, team **out) DCV_MUST_USE;
void team_free(team *t); /* NULL is allowed; waits for units under way */

/* Begin phase p; the team is idle. */
dcv_status team_phase(team *t, int p, const dcv_phase *phase) DCV_MUST_USE;

dcv_status team_give(team *t, const dcv_grant *g) DCV_MUST_USE;

/* How many more grants would keep every thread busy, with one in reserve. */
int team_wants(team *t);

/* Take what has been finished since the last call; the caller frees each. */
finished *team_collect(team *t);
void finished_free(finished *f);

/* A state could not be brought to disk: what its thread has computed since is dropped. */
void team_lost(team *t, const finished *f);

/* A state is on disk and reported: its thread may write the next one over the one before. */
void team_kept(team *t, const finished *f);

/* Start nothing more in this phase; blocks under way are written as they are after the unit. */
void team_cancel(team *t);
bool team_idle(team *t); /* nothing under way and nothing to collect */

/* Sleep until something was finished or team_wake() is called, at most seconds. */
void team_wait(team *t, double seconds);
void team_wake(team *t);

team_times team_spent(team *t);

#endif
