/* memory.c -- aligned, counted memory, and arenas. */
#include "deconvoy/memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 64, CHUNK_BYTES = 64 * 1024, HUGE_PAGE = 1 << 21 };

static atomic_int_fast64_t balance;

static bool overflows(size_t n, size_t size, size_t *bytes)
{
    return __builtin_mul_overflow(n, size, bytes) || *bytes > SIZE_MAX / 2;
}

/* calloc, aligned; the raw pointer stands before the block.  (Large blocks come zeroed from the kernel, so that
 * pages nobody touches cost nothing.) */
static void *zeroed(size_t bytes)
{
    char *raw = calloc(1, bytes + 2 * ALIGN);
    if (!raw)
        return NULL;
    char *aligned = (char *)(((uintptr_t)raw + 2 * ALIGN - 1) & ~(uintptr_t)(ALIGN - 1));
    ((char **)aligned)[-1] = raw;
    return aligned;
}

void *dcv_alloc(size_t n, size_t size)
{
    size_t bytes;
    if (overflows(n, size, &bytes)) {
        (void)dcv_fail(DCV_ENOMEM, "out of memory: %zu x %zu bytes", n, size);
        return NULL;
    }
    void *p = zeroed(bytes);
    if (!p)
        (void)dcv_fail(DCV_ENOMEM, "out of memory: %zu bytes", bytes);
    else
        atomic_fetch_add(&balance, 1);
    return p;
}

void *dcv_alloc_streamed(size_t n, size_t size)
{
    void *p = dcv_alloc(n, size);
#ifdef MADV_HUGEPAGE
    const uintptr_t from = ((uintptr_t)p + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (p && (uintptr_t)p + n * size >= from + HUGE_PAGE)
        (void)madvise((void *)from, (uintptr_t)p + n * size - from, MADV_HUGEPAGE); /* a hint: no harm if refused */
#endif
    return p;
}

char *dcv_strdup(const char *text)
{
    const size_t n = strlen(text) + 1;
    char *copy = dcv_alloc(n, 1);
    return copy ? memcpy(copy, text, n) : NULL;
}

char *dcv_format(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = n < 0 ? NULL : dcv_alloc((size_t)n + 1, 1);
    if (!text)
        return NULL;
    va_start(args, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, args);
    va_end(args);
    return text;
}

void *dcv_realloc(void *old, size_t old_n, size_t n, size_t size)
{
    void *p = dcv_alloc(n, size);
    if (!p)
        return NULL;
    if (old)
        memcpy(p, old, (old_n < n ? old_n : n) * size);
    dcv_free(old);
    return p;
}

void dcv_free(void *p)
{
    if (!p)
        return;
    atomic_fetch_sub(&balance, 1);
    free(((char **)p)[-1]);
}

int64_t dcv_alloc_balance(void)
{
    return atomic_load(&balance);
}

typedef struct chunk {
    struct chunk *next;
    size_t used, size;
} chunk;

struct dcv_arena {
    chunk *first;
};

dcv_status dcv_arena_new(dcv_arena **out)
{
    *out = dcv_alloc(1, sizeof **out);
    return *out ? DCV_OK : DCV_ENOMEM;
}

static size_t header(void)
{
    return (sizeof(chunk) + 15) & ~(size_t)15;
}

/* A chunk with room for bytes.  A block of its own size goes behind the chunk that is being filled. */
static chunk *grow(dcv_arena *a, size_t bytes)
{
    const size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    chunk *c = dcv_alloc(header() + room, 1);
    if (!c)
        return NULL;
    c->size = room;
    chunk **at = bytes > CHUNK_BYTES && a->first ? &a->first->next : &a->first;
    c->next = *at;
    *at = c;
    return c;
}

void *dcv_arena_alloc(dcv_arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (overflows(n, size, &bytes)) {
        (void)dcv_fail(DCV_ENOMEM, "out of memory: %zu x %zu bytes", n, size);
        return NULL;
    }
    bytes = (bytes + 15) & ~(size_t)15;
    chunk *c = a->first;
    if (!c || c->size - c->used < bytes)
        c = grow(a, bytes);
    if (!c)
        return NULL;
    void *p = (char *)c + header() + c->used;
    c->used += bytes;
    return p;
}

char *dcv_arena_strndup(dcv_arena *a, const char *text, size_t n)
{
    char *copy = dcv_arena_alloc(a, n + 1, 1);
    return copy ? memcpy(copy, text, n) : NULL;
}

char *dcv_arena_strdup(dcv_arena *a, const char *text)
{
    return dcv_arena_strndup(a, text, strlen(text));
}

void dcv_arena_free(dcv_arena *a)
{
    if (!a)
        return;
    for (chunk *c = a->first; c;) {
        chunk *next = c->next;
        dcv_free(c);
        c = next;
    }
    dcv_free(a);
}
