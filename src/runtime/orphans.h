/* orphans.h -- shared memory that killed runs left behind. */
#ifndef DCV_RUNTIME_ORPHANS_H
#define DCV_RUNTIME_ORPHANS_H

/* Remove Open MPI's segments (vader_segment.*) of this user in /dev/shm that no process has mapped or opened, and that
 * are older than a minute.  Local; once per node is enough. */
void orphans_remove(void);

#endif
