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
    int64_t rooms;         /* of the job's cache, which sharers ranks have in common; 0: it has none */
    int64_t rooms_bytes;   /* of all of them */
    int sharers;
} budget;

/* For a phase, with so many ranks on a node.  A cache has rooms in what its sharers' memory leaves free, as many as can
 * be of use.  DCV_ECONFIG if the least does not fit into runtime.memory. */
dcv_status budget_of(const dcv_config *c, const dcv_job *job, const dcv_phase *phase, bool master, int node_ranks,
                     budget *out) DCV_MUST_USE;

#endif
