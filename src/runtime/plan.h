/* plan.h -- what makes two runs the same run. */
#ifndef DCV_RUNTIME_PLAN_H
#define DCV_RUNTIME_PLAN_H

#include "deconvoy/job.h"

#define FORMAT_VERSION 1

typedef struct plan_hash {
    dcv_sha256 plan;  /* configuration, model, data set, units, slice */
    dcv_sha256 whole; /* the same without the slice: equal in all parts that can be merged */
} plan_hash;

dcv_status plan_hash_of(const dcv_config *c, const dcv_job *job, plan_hash *out) DCV_MUST_USE;

/* The blocks of a phase that are this run's: all, or those of dataset.slice. */
typedef struct block_range {
    int64_t first, end;
} block_range;
block_range plan_blocks(const dcv_config *c, const dcv_phase *phase);
int64_t plan_block_units(const dcv_phase *phase); /* units in a block */
bool plan_gathers(const dcv_phase *phase);        /* states of blocks are folded */
bool plan_is_slice(const dcv_config *c);

/* Root attributes of the contract, and plan_sha256; of a slice also what merge needs: slice,
 * plan_whole_sha256, config_source, config_sets and config_folder. */
dcv_status plan_stamp(const dcv_config *c, const dcv_job *job, const plan_hash *h, dcv_store *s) DCV_MUST_USE;

/* Does a result file belong to this plan?  If not, *differs says in what ("occlusion.patch, model.file (its
 * content)"), new memory.  *differs is NULL if it does.  DCV_ENOINPUT if it is not there. */
dcv_status plan_compare(const char *file, const dcv_config *c, const dcv_job *job, const plan_hash *h,
                        char **differs) DCV_MUST_USE;

/* Can what an earlier start began be gone on with here?  DCV_ESTOP with what to ask for where numerics differ,
 * DCV_ECONFIG where the program is another one. */
dcv_status plan_same_program(const char *file, const dcv_config *c, const dcv_job *job) DCV_MUST_USE;

/* Names of the keys whose values differ between two resolved texts, at most five and "...". "" if none.  New memory. */
char *plan_keys_that_differ(const char *a, const char *b) DCV_MUST_USE;

#endif
