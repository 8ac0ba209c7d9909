/* output.h -- where result bytes go while a run is under way.
 *
 * The skeleton is there (store.h); what is left is pwrite at known offsets.  A unit's bytes are
 * written by the thread that computed them; the run-time syncs, checks and records them afterwards, and
 * only then does the unit count as done.  Writing the same bytes twice is harmless.
 */
#ifndef DECONVOY_OUTPUT_H
#define DECONVOY_OUTPUT_H

#include "deconvoy/store.h"

typedef struct dcv_output dcv_output; /* the .part file of a run; shared by the threads of a rank */
typedef struct dcv_result dcv_result; /* what one unit has put so far; one thread's */

/* Write n elements from element first on of data set id (number from dcv_store_dataset()).
 * DCV_EIO with errno's text; the unit is then not done. */
dcv_status dcv_result_put(dcv_result *r, int id, int64_t first, int64_t n, const void *values) DCV_MUST_USE;

/* Record that an item failed, for /failures: its number and one line of at most 199 bytes
 * (longer ones are cut at a character's end).  The job still writes the item's NaN, -1 or 0 rows. */
dcv_status dcv_result_fail_item(dcv_result *r, int64_t item, const char *message) DCV_MUST_USE;

#endif
