/* pages.h -- memory that processes of one node share: a file without a name, found through /proc/PID/fd.  Nothing to
 * clean up however they end, and no limit of /dev/shm.
 */
#ifndef DCV_CORE_PAGES_H
#define DCV_CORE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pages_ticket { /* what the others have to know */
    int64_t pid, inode, device, bytes;
    int32_t fd, good;
} pages_ticket;

/* bytes > 0 of zeros that take no memory yet.  A file descriptor; -1 if refused.  name: for /proc/PID/maps. */
int pages_new(const char *name, size_t bytes);

/* fd = -1: a ticket that is not good. */
void pages_describe(int fd, size_t bytes, pages_ticket *out);

/* Another process's pages; -1 if /proc refuses or they are not the ones that were meant. */
int pages_open(const pages_ticket *t, bool writable);

/* NULL if refused, or fd is -1.  Lasts beyond close(fd), until munmap(). */
void *pages_map(int fd, size_t bytes, bool writable);

/* Take the memory for [from, to) of pages mapped at: false where there is none left. */
bool pages_fill(void *at, size_t from, size_t to);

#endif
