/* text.h -- text that grows. */
#ifndef DCV_CORE_TEXT_H
#define DCV_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include "deconvoy/status.h"

/* Zero-initialised = empty.  After memory was refused, failed is set and nothing more is added. */
typedef struct dcv_text {
    char *s; /* 0-terminated once anything was added */
    size_t n, room;
    bool failed;
} dcv_text;

void dcv_text_add(dcv_text *t, const char *fmt, ...) DCV_PRINTF(2, 3);
void dcv_text_put(dcv_text *t, const char *s, size_t n);

/* Pad with blanks until the line that started at byte line_start is width characters (not bytes) wide. */
void dcv_text_pad(dcv_text *t, size_t line_start, int width);

/* The text, as new memory of the caller (dcv_free), NULL if memory was refused; t is empty again. */
char *dcv_text_take(dcv_text *t) DCV_MUST_USE;

/* Number as YAML of either version reads it: shortest digits that give the same double; a point always. */
void dcv_text_real(dcv_text *t, double v);

/* Bytes of the UTF-8 character (RFC 3629; not NUL) that the n bytes at s begin with, 0 if there is none. */
size_t dcv_utf8_length(const char *s, size_t n);

/* Copy text to at most n bytes, never part of a character; a byte that is not UTF-8 becomes '?'.  No terminating 0.
 * Returns the bytes written. */
size_t dcv_utf8_copy(char *to, const char *text, size_t n);

/* Text as a YAML scalar, in quotes only where it must be.  numbers: a whole number may stand as it is. */
void dcv_text_scalar(dcv_text *t, const char *s, bool numbers);

#endif
