/* pages.c -- see pages.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/pages.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

int pages_new(const char *name, size_t bytes)
{
    const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && ftruncate(fd, (off_t)bytes)) {
        close(fd);
        return -1;
    }
    return fd;
}

void pages_describe(int fd, size_t bytes, pages_ticket *out)
{
    struct stat s;
    *out = (pages_ticket){0};
    if (fd >= 0 && !fstat(fd, &s))
        *out = (pages_ticket){getpid(), (int64_t)s.st_ino, (int64_t)s.st_dev, (int64_t)bytes, fd, 1};
}

int pages_open(const pages_ticket *t, bool writable)
{
    char path[64];
    struct stat s;
    snprintf(path, sizeof path, "/proc/%lld/fd/%d", (long long)t->pid, t->fd);
    const int fd = t->good ? open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC) : -1;
    if (fd >= 0 &&
        (fstat(fd, &s) || (int64_t)s.st_ino != t->inode || (int64_t)s.st_dev != t->device || s.st_size != t->bytes)) {
        close(fd);
        return -1;
    }
    return fd;
}

void *pages_map(int fd, size_t bytes, bool writable)
{
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    (void)madvise(at, bytes, MADV_HUGEPAGE); /* a hint: no harm if refused */
#endif
    return at;
}

bool pages_fill(void *at, size_t from, size_t to)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), first = from / page * page;
    if (to <= from || !madvise((char *)at + first, to - first, MADV_POPULATE_WRITE))
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return false;
    for (size_t i = first; i < to; i += page) /* what others have written there stays */
        __atomic_fetch_add((char *)at + i, 0, __ATOMIC_RELAXED);
    return true;
}
