/* hash.h -- SHA-256 (of plans and files) and CRC-32C (of bytes on disk). */
#ifndef DECONVOY_HASH_H
#define DECONVOY_HASH_H

#include <stddef.h>
#include <stdint.h>
#include "deconvoy/status.h"

typedef struct dcv_sha256 {
    char hex[65];
} dcv_sha256; /* lower case, 0-terminated */

typedef struct dcv_hasher dcv_hasher; /* a running SHA-256 */
dcv_status dcv_hasher_new(dcv_hasher **out) DCV_MUST_USE;
void dcv_hasher_add(dcv_hasher *h, const void *bytes, size_t n);
void dcv_hasher_add_text(dcv_hasher *h, const char *text); /* with its terminating 0 */
dcv_sha256 dcv_hasher_end(dcv_hasher *h);                  /* frees h */

dcv_sha256 dcv_sha256_of(const void *bytes, size_t n);

/* CRC-32C (Castagnoli) of bytes that follow a stretch whose CRC is crc; start with 0. */
uint32_t dcv_crc32c(uint32_t crc, const void *bytes, size_t n);

#endif
