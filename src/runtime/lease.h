/* lease.h -- one run at a time on one output: OUT.h5.lease.  Rank 0 only.
 *
 * A lock of the kernel's (flock), which goes with the process that holds it.  Where the file system refuses locks, a
 * heartbeat in the file, every 20 s, takes their place: it is stale when its content has not changed for 120 s
 * of watching, so that no two clocks are compared.  The file says who holds it.
 */
#ifndef DCV_RUNTIME_LEASE_H
#define DCV_RUNTIME_LEASE_H

#include "runtime/part.h"

typedef struct lease lease;

/* Wait up to wait_s for the output to be free, and take it.  DCV_ESTOP, naming the holder; nothing else is touched.
 * The lease of the same Slurm job is our own of before, and is taken over. */
dcv_status lease_take(const dcv_output *o, double wait_s, lease **out) DCV_MUST_USE;

/* Where there is a heartbeat: has another run taken the output, because this one stood still for too long?  Then
 * nothing may be written any more. */
bool lease_is_lost(const lease *l);

/* Give it back and remove the file.  NULL is allowed. */
void lease_free(lease *l);

#endif
