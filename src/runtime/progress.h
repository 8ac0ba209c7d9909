/* progress.h -- how far a run is, on stderr: a bar on a terminal, a line every 30 s elsewhere.  Rank 0 only. */
#ifndef DCV_RUNTIME_PROGRESS_H
#define DCV_RUNTIME_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include "deconvoy/config.h"

typedef struct progress {
    bool bar, lines, drawn;
    double began_s, said_s;
    int64_t began_items;
} progress;

typedef struct progress_now {
    const char *phase;
    int64_t items, all_items, failed;
    int busy, ranks;
} progress_now;

void progress_begin(progress *p, dcv_progress mode, int64_t items); /* of a phase; items done before */
bool progress_due(const progress *p);                               /* is it time to say something? */
void progress_say(progress *p, const progress_now *n);
void progress_end(progress *p, const progress_now *n);

#endif
