/* segment.h -- pages (core/pages.h) that the lowest rank of a node makes and all its ranks have.  Main threads. */
#ifndef DCV_RUNTIME_SEGMENT_H
#define DCV_RUNTIME_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>

/* Bring memory to bytes from..from+n of fd's, so that writing there cannot fail.  errno, 0: done.  Local. */
int segment_reserve(int fd, size_t from, size_t n);

/* Pass the lowest rank's on (fd there, -1: it has none; ignored elsewhere): *at becomes this rank's mapping of all of
 * it, NULL where that was refused, and *fd its descriptor, -1 or the caller's to close.  True if all ranks have it.
 * Collective on the node. */
bool segment_pass(int *fd, size_t bytes, bool writable, void **at);

#endif
