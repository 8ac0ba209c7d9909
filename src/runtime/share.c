/* share.c -- one copy of the weights per node.
 *
 * The node's lowest rank fills a segment and seals it; others map it.  Where /proc refuses that (containers with other
 * pid name spaces), each rank keeps a copy of its own.
 *
 * A rank may fail on its way to the next dcv_share_once(), so every step begins with a
 * round in which ranks say whether they came to share or are through.  If any is through, nobody waits for it.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/pages.h"
#include "runtime/segment.h"
#include "runtime/share.h"
#include "runtime/wire.h"
#include "deconvoy/log.h"
#include "deconvoy/memory.h"

typedef struct part {
    struct part *next;
    void *at;
    size_t bytes; /* mapped; 0: own memory */
} part;

struct dcv_share {
    part *parts;
};

dcv_status share_new(dcv_share **out)
{
    *out = dcv_alloc(1, sizeof **out);
    return *out ? DCV_OK : DCV_ENOMEM;
}

void share_free(dcv_share *s)
{
    if (!s)
        return;
    for (part *p = s->parts, *next; p; p = next) {
        next = p->next;
        if (p->bytes)
            munmap(p->at, p->bytes);
        else
            dcv_free(p->at);
        dcv_free(p);
    }
    dcv_free(s);
}

static dcv_status remember(dcv_share *s, void *at, size_t bytes)
{
    part *p = dcv_alloc(1, sizeof *p);
    if (!p) {
        if (bytes)
            munmap(at, bytes);
        else
            dcv_free(at);
        return DCV_ENOMEM;
    }
    *p = (part){.next = s->parts, .at = at, .bytes = bytes};
    s->parts = p;
    return DCV_OK;
}

/* A round: has a rank of the node failed, is one through, does one come to share? */
static void round_of(bool failed, bool sharing, bool *any_failed, bool *any_through, bool *any_sharing)
{
    int32_t v[3] = {failed, !sharing, sharing};
    wire_max_i32(WIRE_NODE, v, 3);
    *any_failed = v[0];
    *any_through = v[1];
    *any_sharing = v[2];
}

void share_end(dcv_share *s, dcv_status mine)
{
    (void)s;
    bool failed, through, sharing = true;
    while (sharing)
        round_of(mine != DCV_OK, false, &failed, &through, &sharing);
}

static dcv_status own(dcv_share *s, size_t bytes, dcv_share_fill fill, void *ctx, const void **out)
{
    void *at = dcv_alloc(bytes ? bytes : 1, 1);
    if (!at)
        return DCV_ENOMEM;
    const dcv_status st = fill(ctx, at);
    if (st != DCV_OK) {
        dcv_free(at);
        return st;
    }
    if (s)
        DCV_TRY(remember(s, at, 0));
    *out = at;
    return DCV_OK;
}

/* The lowest rank: a filled, sealed memfd, or -1. */
static int sealed(size_t bytes, dcv_share_fill fill, void *ctx)
{
    const int fd = pages_new("deconvoy-weights", bytes);
    void *at = MAP_FAILED;
    if (fd >= 0 && !segment_reserve(fd, 0, bytes))
        at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    const dcv_status st = fill(ctx, at);
    munmap(at, bytes);
    if (st != DCV_OK) { /* without the copy that ranks share there is one less: a rank's own may still find room */
        close(fd);
        return -1;
    }
    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    return fd;
}

static dcv_status shared(dcv_share *s, size_t bytes, dcv_share_fill fill, void *ctx, const void **out)
{
    const bool lowest = wire_rank(WIRE_NODE) == 0;
    int fd = lowest ? sealed(bytes, fill, ctx) : -1;
    void *at;
    const bool all = segment_pass(&fd, bytes, false, &at);
    if (fd >= 0)
        close(fd);
    if (!all && lowest)
        dcv_log_warning(
            "weights cannot be shared on this node (/proc or memfd refused): each rank keeps a copy of %zu MiB",
            bytes >> 20);
    if (!at)
        return own(s, bytes, fill, ctx, out);
    *out = at;
    return remember(s, at, bytes);
}

dcv_status dcv_share_once(dcv_share *s, size_t bytes, dcv_share_fill fill, void *ctx, const void **out)
{
    *out = NULL;
    if (!s)
        return own(NULL, bytes, fill, ctx, out);
    bool failed, through, sharing;
    round_of(false, true, &failed, &through, &sharing);
    if (failed || through)
        return dcv_fail(DCV_ESTOP, "another rank of this node failed"); /* less than whatever stopped that one */
    if (wire_size(WIRE_NODE) == 1 || !bytes)
        return own(s, bytes, fill, ctx, out);
    return shared(s, bytes, fill, ctx, out);
}
