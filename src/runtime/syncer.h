/* syncer.h -- a thread that waits for the disk, so that the main thread never does. */
#ifndef DCV_RUNTIME_SYNCER_H
#define DCV_RUNTIME_SYNCER_H

#include <stdbool.h>
#include "deconvoy/status.h"

typedef struct syncer syncer;

dcv_status syncer_new(syncer **out) DCV_MUST_USE;
void syncer_free(syncer *s); /* NULL is allowed; waits for what is under way */

/* fdatasync of n descriptors (borrowed until it is over), then fsync of folder unless NULL.  Nothing else may be under
 * way. */
void syncer_start(syncer *s, const int *fd, int n, const char *folder);
bool syncer_busy(syncer *s);

/* The first errno of the last round, 0 if all is on disk. */
int syncer_errno(syncer *s);

#endif
