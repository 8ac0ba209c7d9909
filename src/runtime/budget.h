/* budget.h -- runtime.memory: what a rank holds, and how far it may read ahead. */
#ifndef DCV_RUNTIME_BUDGET_H
#define DCV_RUNTIME_BUDGET_H

#include "deconvoy/job.h"

typedef struct budget {
    int64_t threads_bytes; /* walks of all engine threads */
    int64_t units_bytes;   /* inputs of the units being computed */
    int64_t states_bytes;  /* of blocks, and on rank 0 two more for folding */
    int64_t ahead_bytes;   /* read ahead */
    int read_ahead;        /* units */
} budget;

/* For a phase.  DCV_ECONFIG if the least does not fit into runtime.memory. */
dcv_status budget_of(const dcv_config *c, const dcv_job *job, const dcv_phase *phase, bool master,
                     budget *out) DCV_MUST_USE;

#endif
