/* segment.c -- see segment.h. */
#include <errno.h>
#include <fcntl.h>

#include "core/pages.h"
#include "runtime/segment.h"
#include "runtime/wire.h"

int segment_reserve(int fd, size_t from, size_t n)
{
    int err;
    do /* a signal ends it early */
        err = fallocate(fd, 0, (off_t)from, (off_t)n) ? errno : 0;
    while (err == EINTR);
    return err;
}

bool segment_pass(int *fd, size_t bytes, bool writable, void **at)
{
    const bool lowest = wire_rank(WIRE_NODE) == 0;
    pages_ticket t = {0};
    if (lowest)
        pages_describe(*fd, bytes, &t);
    wire_bcast(WIRE_NODE, 0, &t, sizeof t);
    if (!lowest)
        *fd = pages_open(&t, writable);
    *at = pages_map(*fd, bytes, writable);
    int32_t refused = !*at;
    wire_max_i32(WIRE_NODE, &refused, 1); /* and nobody closes before all have mapped */
    return !refused;
}
