/* resume.h -- what earlier starts of this plan have done.  Rank 0 only. */
#ifndef DCV_RUNTIME_RESUME_H
#define DCV_RUNTIME_RESUME_H

#include "deconvoy/worklist.h"
#include "runtime/failures.h"
#include "runtime/part.h"

#define MAX_PHASES 16

typedef struct done_units {
    dcv_range units;
    bool well;  /* as far as was looked: the bytes are those that were written */
    bool alone; /* not to be joined with others */
} done_units;

typedef struct unit_ranges {
    done_units *at; /* in the order of the journal: of a unit that is there twice the last counts */
    int64_t n, cap;
} unit_ranges;

typedef struct resume {
    unit_ranges done[MAX_PHASES];
    int64_t distrusted; /* units that had other bytes than they wrote, of those looked at */
    int64_t n_failed;   /* items that were reported as failed, perhaps more than once */
} resume;

/* Read the journal.  Bytes of the last two minutes, and of one unit in a hundred of the rest, are compared with their
 * CRCs: units whose bytes differ are not done.  DCV_ESTOP if somebody asks for an end meanwhile. */
dcv_status resume_load(const dcv_output *o, const dcv_sha256 *plan, resume *out) DCV_MUST_USE;
void resume_clear(resume *r);

/* done[u], u < n_units: 1 for units of a phase that are done, 0 for those to compute again; others keep their value. */
void resume_mark(const resume *r, int phase, uint8_t *done, int64_t n_units);

/* Failed items of the units that are done, to f (NULL: nothing to do): of one that was computed again, those of the
 * last time. */
dcv_status resume_failures(const resume *r, const dcv_output *o, const dcv_sha256 *plan, int phase, const uint8_t *done,
                           int64_t n_units, failures *f) DCV_MUST_USE;

#endif
