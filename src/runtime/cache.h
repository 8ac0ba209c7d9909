/* cache.h -- the run-time's side of dcv_cache: how many rooms there are, where they are, what became of them. */
#ifndef DCV_RUNTIME_CACHE_H
#define DCV_RUNTIME_CACHE_H

#include "deconvoy/cache.h"

typedef struct cache_sizes {
    int64_t bytes; /* of a room with what keeping it takes */
    int64_t most;  /* rooms that can be of use: to a node's ranks together where common, else to one */
    int sharers;   /* ranks that share one cache */
} cache_sizes;

/* With so many ranks on a node. */
cache_sizes cache_sizes_of(const dcv_cache *c, int node_ranks);
const char *cache_what(const dcv_cache *c);

/* Make the rooms: a common cache's in a memfd of the node's lowest rank, where nothing is left of it however the run
 * ends.  Where ranks cannot share, each has its part of the rooms (at least one), and that is said.  Collective on the
 * node. DCV_ENOMEM. */
dcv_status cache_start(dcv_cache *c, int64_t rooms) DCV_MUST_USE;

typedef struct cache_facts {
    int64_t made, rooms, bytes; /* things made; rooms that were ever used, and their size */
} cache_facts;

/* Of this rank's cache; nothing where another rank of the node tells it. */
cache_facts cache_told(const dcv_cache *c);

#endif
