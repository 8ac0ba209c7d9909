/* pages.c -- madvise, where the system has it. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include "engine/pages.h"

static void advise(const void *p, size_t bytes, uintptr_t unit, int what)
{
    const uintptr_t from = ((uintptr_t)p + unit - 1) / unit * unit, to = ((uintptr_t)p + bytes) / unit * unit;
    if (to > from)
        (void)madvise((void *)from, to - from, what);
}

void dcv_pages_huge(void *p, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    advise(p, bytes, (uintptr_t)1 << 21, MADV_HUGEPAGE);
#else
    (void)p, (void)bytes;
#endif
}

void dcv_pages_out(const void *p, size_t bytes)
{
#ifdef MADV_PAGEOUT
    advise(p, bytes, (uintptr_t)sysconf(_SC_PAGESIZE), MADV_PAGEOUT);
#else
    (void)p, (void)bytes;
#endif
}

void dcv_pages_gone(const void *p, size_t bytes)
{
    advise(p, bytes, (uintptr_t)sysconf(_SC_PAGESIZE), MADV_DONTNEED);
}
