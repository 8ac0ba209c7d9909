/* memory.h -- aligned, counted memory, and arenas.
 *
 * All of the program's own memory comes from here, so that a test can ask at its end
 * whether everything was given back.  Thread-safe but for a single arena.
 */
#ifndef DECONVOY_MEMORY_H
#define DECONVOY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "deconvoy/status.h"

/* Zeroed memory for n elements of size bytes, aligned to 64 bytes.  NULL (and a message)
 * if n * size overflows or memory is refused.  n = 0 gives a valid pointer. */
void *dcv_alloc(size_t n, size_t size) DCV_MUST_USE;

/* The same, for large blocks that are read or written from end to end over and over: in large pages where the system
 * has them. */
void *dcv_alloc_streamed(size_t n, size_t size) DCV_MUST_USE;

/* A copy of text; NULL if memory is refused. */
char *dcv_strdup(const char *text) DCV_MUST_USE;

/* printf into new memory. */
char *dcv_format(const char *fmt, ...) DCV_PRINTF(1, 2) DCV_MUST_USE;

/* Grow (or shrink) an array from old_n to n elements; new ones are zero.  NULL on failure:
 * the old array is then unchanged. */
void *dcv_realloc(void *old, size_t old_n, size_t n, size_t size) DCV_MUST_USE;

void dcv_free(void *p); /* NULL is allowed */

/* Blocks handed out and not yet given back. */
int64_t dcv_alloc_balance(void);

/* An arena: many small blocks that are freed together. */
typedef struct dcv_arena dcv_arena;
dcv_status dcv_arena_new(dcv_arena **out) DCV_MUST_USE;
void *dcv_arena_alloc(dcv_arena *a, size_t n, size_t size) DCV_MUST_USE; /* zeroed, 16-aligned */
char *dcv_arena_strdup(dcv_arena *a, const char *text) DCV_MUST_USE;
char *dcv_arena_strndup(dcv_arena *a, const char *text, size_t n) DCV_MUST_USE;
void dcv_arena_free(dcv_arena *a); /* NULL is allowed */

#endif
