/* pool.h -- threads that share out the turns of a loop.
 *
 * Which thread takes which turn is not fixed; what a turn computes may depend on its number only.
 */
#ifndef DCV_DEBLUR_POOL_H
#define DCV_DEBLUR_POOL_H

#include <stdint.h>
#include "deconvoy/status.h"

typedef struct pool pool;

/* n >= 1 threads, the caller's included. */
dcv_status pool_new(int n, pool **out) DCV_MUST_USE;
void pool_free(pool *p); /* NULL is allowed */
int pool_size(const pool *p);

/* fn(ctx, turn, thread) for each turn 0 .. n-1; back when all are done.  Called by one thread at a time. */
typedef void (*pool_fn)(void *ctx, int64_t turn, int thread);
void pool_run(pool *p, int64_t n, pool_fn fn, void *ctx);

#endif
