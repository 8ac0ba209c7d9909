/* fuzz.h -- mutated copies of a file, the same ones at every run.
 *
 *     fuzz_X COUNT SEED FILE...
 *
 * Each of COUNT mutants of each FILE goes to dcv_fuzz_one(); it must neither crash, hang nor leak, whatever it
 * returns.  To be run under ASan and UBSan with tens of thousands.
 */
#ifndef DCV_TEST_FUZZ_H
#define DCV_TEST_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "deconvoy/memory.h"

/* Read one mutant.  Returns whether it was accepted. */
static int dcv_fuzz_one(const char *file);

static uint64_t fuzz_state;

static uint64_t fuzz_random(void) /* splitmix64 (Steele et al. 2014) */
{
    uint64_t z = fuzz_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* One change: a bit, a byte that is often a border, a stretch copied over another, removed or doubled, a cut. */
static size_t fuzz_change(uint8_t *b, size_t n, size_t room)
{
    static const uint8_t borders[] = {0, 1, 2, 5, 8, 0x0a, 0x12, 0x7f, 0x80, 0xff};
    if (n < 2)
        return n;
    size_t at = fuzz_random() % n, from = fuzz_random() % n, most = n - (at > from ? at : from);
    size_t length = most ? fuzz_random() % (most < 64 ? most : 64) : 0;
    switch (fuzz_random() % 12) {
    case 0:
        return fuzz_random() % 4 ? n : at + 1;
    case 1:
        memmove(b + at, b + from, length);
        return n;
    case 2:
        memmove(b + at, b + at + length, n - at - length);
        return n - length;
    case 3:
        if (n + length > room)
            return n;
        memmove(b + at + length, b + at, n - at);
        return n + length;
    case 4:
        memset(b + at, borders[fuzz_random() % sizeof borders], length < 12 ? length : 12);
        return n;
    case 5:
    case 6:
        b[at] ^= (uint8_t)(1u << fuzz_random() % 8);
        return n;
    case 7:
        b[at] = (uint8_t)fuzz_random();
        return n;
    default:
        b[at] = borders[fuzz_random() % sizeof borders];
        return n;
    }
}

/* One to four changes. */
static size_t fuzz_mutate(uint8_t *b, size_t n, size_t room)
{
    const int changes = 1 + (int)(fuzz_random() % 4);
    for (int i = 0; i < changes; i++)
        n = fuzz_change(b, n, room);
    return n;
}

static int fuzz_file(const char *file, long count)
{
    FILE *f = fopen(file, "rb");
    char path[64];
    long accepted = 0;
    if (!f || fseek(f, 0, SEEK_END)) {
        perror(file);
        return 1;
    }
    const size_t n = (size_t)ftell(f), room = 2 * n + 4096;
    uint8_t *whole = malloc(n), *mutant = malloc(room);
    int fd = memfd_create("fuzz", 0);
    rewind(f);
    if (!whole || !mutant || fd < 0 || fread(whole, 1, n, f) != n)
        return 1;
    fclose(f);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (long i = 0; i < count; i++) {
        memcpy(mutant, whole, n);
        const size_t m = fuzz_mutate(mutant, n, room);
        if (ftruncate(fd, 0) || pwrite(fd, mutant, m, 0) != (ssize_t)m)
            return 1;
        accepted += dcv_fuzz_one(path);
    }
    close(fd);
    free(whole);
    free(mutant);
    fprintf(stderr, "%s: %ld mutants, %ld accepted, balance %ld\n", file, count, accepted, (long)dcv_alloc_balance());
    return dcv_alloc_balance() != 0;
}

static int fuzz_main(int argc, char **argv)
{
    int bad = argc < 4;
    if (bad)
        fprintf(stderr, "usage: %s COUNT SEED FILE...\n", argv[0]);
    for (int i = 3; i < argc; i++) {
        fuzz_state = strtoull(argv[2], NULL, 10);
        bad |= fuzz_file(argv[i], strtol(argv[1], NULL, 10));
    }
    return bad;
}

#endif
