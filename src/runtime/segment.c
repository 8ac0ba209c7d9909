/* segment.c -- see segment.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/segment.h"
#include "runtime/wire.h"

typedef struct ticket { /* what the lowest rank tells the others */
    int64_t pid, inode, device, bytes;
    int32_t fd, good;
} ticket;

int segment_new(const char *name, size_t bytes)
{
    const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && ftruncate(fd, (off_t)bytes)) {
        close(fd);
        return -1;
    }
    return fd;
}

int segment_reserve(int fd, size_t from, size_t n)
{
    int err;
    do /* a signal ends it early */
        err = fallocate(fd, 0, (off_t)from, (off_t)n) ? errno : 0;
    while (err == EINTR);
    return err;
}

/* The lowest rank's memfd, seen from another rank; -1 if it is not the one that was meant. */
static int opened(const ticket *t, bool writable)
{
    char path[64];
    struct stat s;
    snprintf(path, sizeof path, "/proc/%lld/fd/%d", (long long)t->pid, t->fd);
    const int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd >= 0 &&
        (fstat(fd, &s) || (int64_t)s.st_ino != t->inode || (int64_t)s.st_dev != t->device || s.st_size != t->bytes)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void describe(int fd, size_t bytes, ticket *t)
{
    struct stat s;
    if (fd < 0 || fstat(fd, &s))
        return;
    *t = (ticket){getpid(), (int64_t)s.st_ino, (int64_t)s.st_dev, (int64_t)bytes, fd, 1};
}

static void *map(int fd, size_t bytes, bool writable)
{
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

bool segment_pass(int *fd, size_t bytes, bool writable, void **at)
{
    const bool lowest = wire_rank(WIRE_NODE) == 0;
    ticket t = {0};
    if (lowest)
        describe(*fd, bytes, &t);
    wire_bcast(WIRE_NODE, 0, &t, sizeof t);
    if (!lowest)
        *fd = t.good ? opened(&t, writable) : -1;
    *at = map(*fd, bytes, writable);
    int32_t refused = !*at;
    wire_max_i32(WIRE_NODE, &refused, 1); /* and nobody closes before all have mapped */
    return !refused;
}
