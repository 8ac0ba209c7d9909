/* blocks.c -- see blocks.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/blocks.h"
#include "runtime/file.h"
#include "deconvoy/memory.h"

#define MAGIC    UINT64_C(0x6b636f6c62766364)
#define N_TURNS  3 /* files that partial states take in turn */
#define COMPLETE (2 * N_TURNS)
#define N_SLOTS  (COMPLETE + 1)

typedef struct head {
    uint64_t magic;
    char plan[64];
    int64_t block, units, state_bytes;
    uint32_t phase, generation, state_crc, head_crc; /* head_crc: of all before it */
} head;

static char *name(const block_place *at, int slot)
{
    if (at->block == BLOCK_RUNNING)
        return dcv_format("%s.block.%d.sum.%c", at->out->final, at->phase, 'a' + slot);
    return dcv_format("%s.block.%d.%lld.%c", at->out->final, at->phase, (long long)at->block, 'a' + slot);
}

int block_slot(int copy, uint32_t generation, bool complete)
{
    return complete ? COMPLETE : N_TURNS * copy + (int)(generation % N_TURNS);
}

dcv_status block_write(const block_place *at, int slot, uint32_t generation, int64_t units, const void *state, int *fd)
{
    head h = {.magic = MAGIC, .block = at->block, .units = units, .state_bytes = (int64_t)at->state_bytes};
    memcpy(h.plan, at->plan->hex, sizeof h.plan);
    h.phase = (uint32_t)at->phase;
    h.generation = generation;
    h.state_crc = dcv_crc32c(0, state, at->state_bytes);
    h.head_crc = dcv_crc32c(0, &h, offsetof(head, head_crc));
    char *file = name(at, slot);
    if (!file)
        return DCV_ENOMEM;
    *fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    int err = *fd < 0 ? errno : file_write(*fd, state, (int64_t)at->state_bytes, sizeof h);
    if (!err)
        err = file_write(*fd, &h, sizeof h, 0);
    const dcv_status st = err ? dcv_fail(DCV_EIO, "%s: %s", file, strerror(err)) : DCV_OK;
    if (err && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    dcv_free(file);
    return st;
}

static bool head_ok(const block_place *at, const head *h)
{
    return h->magic == MAGIC && h->head_crc == dcv_crc32c(0, h, offsetof(head, head_crc)) &&
           !memcmp(h->plan, at->plan->hex, sizeof h->plan) && h->phase == (uint32_t)at->phase &&
           h->block == at->block && h->state_bytes == (int64_t)at->state_bytes;
}

/* Is there a valid head in this slot, and (state not NULL) is the state it speaks of whole? */
static bool look(const block_place *at, int slot, head *h, void *state)
{
    char *file = name(at, slot);
    const int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    dcv_free(file);
    if (fd < 0)
        return false;
    bool ok = !file_read(fd, h, sizeof *h, 0) && head_ok(at, h);
    if (ok && state)
        ok = !file_read(fd, state, h->state_bytes, sizeof *h) && dcv_crc32c(0, state, at->state_bytes) == h->state_crc;
    close(fd);
    return ok;
}

dcv_status block_read(const block_place *at, int64_t exactly, void *state, int64_t *units, uint32_t *generation)
{
    *units = -1;
    *generation = 0;
    head h;
    bool tried[N_SLOTS] = {false};
    void *whole = state ? state : dcv_alloc(1, at->state_bytes);
    if (!whole)
        return DCV_ENOMEM;
    for (;;) { /* the best slot by its head; the next best if its state is torn */
        int best = -1;
        int64_t best_units = -1;
        uint32_t best_generation = 0;
        for (int s = 0; s < N_SLOTS; s++)
            if (!tried[s] && look(at, s, &h, NULL) && h.units > best_units && (exactly < 0 || h.units == exactly)) {
                best = s;
                best_units = h.units;
                best_generation = h.generation;
            }
        if (best < 0)
            break;
        tried[best] = true;
        if (look(at, best, &h, whole)) {
            *units = best_units;
            *generation = best_generation;
            break;
        }
    }
    if (!state)
        dcv_free(whole);
    return DCV_OK;
}

void block_remove(const block_place *at)
{
    for (int s = 0; s < N_SLOTS; s++) {
        char *file = name(at, s);
        if (file)
            unlink(file);
        dcv_free(file);
    }
}

dcv_status blocks_remove_all(const dcv_output *o)
{
    const char *slash = strrchr(o->final, '/');
    const char *base = slash ? slash + 1 : o->final;
    const size_t n = strlen(base);
    DIR *d = opendir(o->folder);
    if (!d)
        return dcv_fail(DCV_EIO, "%s: %s", o->folder, strerror(errno));
    for (struct dirent *e; (e = readdir(d));)
        if (!strncmp(e->d_name, base, n) && !strncmp(e->d_name + n, ".block.", 7))
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    return DCV_OK;
}
