/* failures.h -- which items failed: the first F by number, and how many.  Rank 0 only.
 *
 * An item may fail in several phases or units: the earliest phase counts, and of its messages
 * the first in bytewise order, so that the table does not depend on who came first.
 */
#ifndef DCV_RUNTIME_FAILURES_H
#define DCV_RUNTIME_FAILURES_H

#include "runtime/part.h"

typedef struct failures failures;

dcv_status failures_new(int64_t n_items, int64_t rows, failures **out) DCV_MUST_USE;
void failures_free(failures *f); /* NULL is allowed */
dcv_status failures_add(failures *f, int phase, const failure *one) DCV_MUST_USE;
int64_t failures_count(const failures *f); /* items, each once */

/* Write /failures. */
dcv_status failures_put(failures *f, dcv_result *r) DCV_MUST_USE;

/* The message of the first item that failed, "" if none did.  After failures_put(). */
const char *failures_first(const failures *f);

/* Why most of the items kept failed, without their names (what is before the first ": "), the first such reason on a
 * tie; *count: of how many.  New memory; NULL where it is refused, or none failed.  After failures_put(). */
char *failures_commonest(const failures *f, int64_t *count);

#endif
