/* runjson.h -- NAME.run.json: what a run took, beside the result and never in it. */
#ifndef DCV_RUNTIME_RUNJSON_H
#define DCV_RUNTIME_RUNJSON_H

#include <time.h>
#include "runtime/part.h"

typedef struct run_facts {
    int ranks;
    int64_t threads, items, units, resumed_units, failed_items, peak_rss_bytes;
    double wall_s, compute_s, read_s, write_s, wait_s, gflop;
    double fresh_share; /* of the units, computed by this start */
    time_t started, finished;
    const char *hosts; /* JSON list */
} run_facts;

/* Rank 0 only. DCV_EIO. */
dcv_status runjson_write(const dcv_output *o, const run_facts *f) DCV_MUST_USE;

/* The hosts of all ranks, each once, in rank order, as a JSON list; new memory, NULL on other ranks than 0.
 * Collective. */
char *runjson_hosts(void);

#endif
