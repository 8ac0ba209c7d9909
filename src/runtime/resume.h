/* resume.h -- what earlier starts of this plan have done.  Rank 0 only. */
#ifndef DCV_RUNTIME_RESUME_H
#define DCV_RUNTIME_RESUME_H

#include "deconvoy/worklist.h"
#include "runtime/failures.h"
#include "runtime/part.h"

#define MAX_PHASES 16

typedef struct unit_ranges {
    dcv_range *at;
    int64_t n, cap;
} unit_ranges;

typedef struct resume {
    unit_ranges done[MAX_PHASES];
    int64_t units, distrusted; /* units done; of those looked at, how many had other bytes than they wrote */
} resume;

/* Read the journal.  Bytes of the last two minutes, and of one unit in a hundred of the rest, are compared with their
 * CRCs: units whose bytes differ are not done.  Failed items go to f (may be NULL). */
dcv_status resume_load(const dcv_output *o, const dcv_sha256 *plan, failures *f, resume *out) DCV_MUST_USE;
void resume_clear(resume *r);

#endif
