/* shown.h -- the first pictures of a data set, kept in the result as they entered the network, so that `report` can lay
 * them beside what was found in them: /report/picture u1[P,H,W,1 or 3], smaller ones in the corner.
 */
#ifndef DCV_JOBS_SHOWN_H
#define DCV_JOBS_SHOWN_H

#include "deconvoy/graph.h"
#include "deconvoy/job.h"

typedef struct dcv_shown {
    int64_t n; /* kept; 0: none */
    int64_t h, w, c;
    int id;
} dcv_shown;

/* As many as do no harm: at most 32 and 16 MiB.  None where the network's input is no picture of d. */
void dcv_shown_plan(dcv_shown *s, const dcv_dataset *d, const dcv_graph *g);

dcv_status dcv_shown_declare(dcv_shown *s, dcv_store *to) DCV_MUST_USE;

/* Item's picture, where it is one of those kept; reads it again.  One that cannot be read stays black. */
dcv_status dcv_shown_put(const dcv_shown *s, const dcv_dataset *d, int64_t item, dcv_result *r) DCV_MUST_USE;

/* Black in its place. */
dcv_status dcv_shown_put_failed(const dcv_shown *s, int64_t item, dcv_result *r) DCV_MUST_USE;

#endif
