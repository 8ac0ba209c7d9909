/* hash.c -- SHA-256 (nettle) and CRC-32C. */
#include "deconvoy/hash.h"

#include <pthread.h>
#include <string.h>
#include <nettle/sha2.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "deconvoy/memory.h"

struct dcv_hasher {
    struct sha256_ctx ctx;
};

dcv_status dcv_hasher_new(dcv_hasher **out)
{
    *out = dcv_alloc(1, sizeof **out);
    if (!*out)
        return DCV_ENOMEM;
    sha256_init(&(*out)->ctx);
    return DCV_OK;
}

void dcv_hasher_add(dcv_hasher *h, const void *bytes, size_t n)
{
    sha256_update(&h->ctx, n, bytes);
}

void dcv_hasher_add_text(dcv_hasher *h, const char *text)
{
    dcv_hasher_add(h, text, strlen(text) + 1);
}

static dcv_sha256 finish(struct sha256_ctx *ctx)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_SIZE];
    dcv_sha256 out;
    sha256_digest(ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        out.hex[2 * i] = digits[digest[i] >> 4];
        out.hex[2 * i + 1] = digits[digest[i] & 15];
    }
    out.hex[64] = 0;
    return out;
}

dcv_sha256 dcv_hasher_end(dcv_hasher *h)
{
    const dcv_sha256 out = finish(&h->ctx);
    dcv_free(h);
    return out;
}

dcv_sha256 dcv_sha256_of(const void *bytes, size_t n)
{
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    sha256_update(&ctx, n, bytes);
    return finish(&ctx);
}

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_make(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1; /* Castagnoli, reflected */
        table[i] = c;
    }
}

static uint32_t crc_portable(uint32_t c, const uint8_t *p, size_t n)
{
    pthread_once(&table_once, table_make);
    while (n--)
        c = table[(c ^ *p++) & 255] ^ c >> 8;
    return c;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t c, const uint8_t *p, size_t n)
{
    uint64_t c8 = c;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c8 = _mm_crc32_u64(c8, word);
    }
    c = (uint32_t)c8;
    while (n--)
        c = _mm_crc32_u8(c, *p++);
    return c;
}
#endif

uint32_t dcv_crc32c(uint32_t crc, const void *bytes, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_sse42(~crc, bytes, n);
#endif
    return ~crc_portable(~crc, bytes, n);
}
