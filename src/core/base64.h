/* base64.h -- bytes as text (RFC 4648), for data: addresses. */
#ifndef DCV_CORE_BASE64_H
#define DCV_CORE_BASE64_H

#include <stddef.h>

#define DCV_BASE64_BYTES(n) (((n) + 2) / 3 * 4) /* of text for n bytes; no 0 at its end */

/* Spell n bytes; to has room for DCV_BASE64_BYTES(n).  Pieces of a whole number of threes may follow one another. */
void dcv_base64(const void *bytes, size_t n, char *to);

#endif
