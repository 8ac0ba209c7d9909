/* cache.h -- what is made once on a node and then looked at by all its threads and ranks, each thing by its number.
 *
 * A cache has rooms of one size.  A thread holds at most one room at a time and lets go of it before it takes the next.
 * Whoever comes first for a key makes what belongs there, whoever comes later waits for that; a room that nobody holds
 * keeps what it has until it is needed for another key, the one asked for longest ago first.
 *
 * It cannot hang: who makes something waits for nobody meanwhile, who waits holds nothing, and where a maker gives up,
 * or its process dies, the next who waits becomes the maker.  Where no room is free a thread waits until another lets
 * go of one, which holders do when their unit is over, or until somebody asks for an end, as all ranks of a run are
 * asked that has lost one.
 *
 * The run-time gives it its rooms before the first unit, as many as runtime.memory has room for.
 */
#ifndef DECONVOY_CACHE_H
#define DECONVOY_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "deconvoy/status.h"

typedef struct dcv_cache dcv_cache;

typedef struct dcv_cache_options {
    const char *what; /* is kept, for messages: "clean maps"; borrowed */
    size_t bytes;     /* of a room */
    int64_t keys;     /* different ones that there are, >= 1 */
    int threads;      /* of this rank, that take */
    bool common;      /* the node's ranks share one cache; else each has its own */
} dcv_cache_options;

typedef struct dcv_cache_hold { /* zeroed: nothing is held */
    void *at;                   /* aligned to 64 bytes */
    int room;
    bool ready; /* else it is the holder's to make, from whatever is there */
} dcv_cache_hold;

/* A cache without rooms yet.  Local. */
dcv_status dcv_cache_new(const dcv_cache_options *o, dcv_cache **out) DCV_MUST_USE;
void dcv_cache_free(dcv_cache *c); /* NULL is allowed; nobody holds a room */

/* Hold the room of a key >= 0.  h is empty.  May wait, see above.  DCV_ENOMEM where the system has no memory for it,
 * DCV_ESTOP where somebody asked for an end while there was no room; then h is still empty. */
dcv_status dcv_cache_take(dcv_cache *c, int64_t key, dcv_cache_hold *h) DCV_MUST_USE;

/* What belongs in the room is there now, for everybody.  By the thread that took it. */
void dcv_cache_ready(dcv_cache *c, dcv_cache_hold *h);

/* Let go: h becomes empty.  What was not made ready is for the next to make.  By the thread that took it; an empty one
 * is allowed. */
void dcv_cache_drop(dcv_cache *c, dcv_cache_hold *h);

#endif
