/* cache.c -- see cache.h of both kinds.
 *
 * A table and its rooms lie in one mapping that all ranks of the node have, or this rank alone.  Whoever makes what
 * belongs in a room holds the room's lock meanwhile; who waits for it waits for that lock.  The locks are robust: the
 * kernel gives a dead maker's lock to one who waits, and that one finds a room that is not ready, as after a maker that
 * gave up.  The table's lock is held for a few instructions at a time and never while waiting.
 *
 * No wait without end: a maker waits for nobody, so those behind its lock go on; rooms are held by makers and by
 * those who look at what was made, and neither waits for anything before it lets go.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "deconvoy/stop.h"
#include "core/pages.h"
#include "runtime/cache.h"
#include "runtime/segment.h"
#include "runtime/wire.h"

typedef struct room {
    pthread_mutex_t making;
    int64_t key;   /* -1: none */
    int64_t asked; /* when it was asked for last; 0: never */
    int holders;   /* and those who wait for it to be made */
    bool ready;
} room;

typedef struct table {
    pthread_mutex_t lock;
    int64_t asked, made;
    int64_t rooms;
    room room[];
} table;

struct dcv_cache {
    dcv_cache_options o;
    size_t room_bytes, table_bytes; /* whole pages */
    table *table;                   /* and the rooms behind it; NULL before the start */
    size_t mapped;
    int fd;      /* of a segment; -1: own memory */
    bool others; /* another rank of the node tells what became of it */
};

static size_t pages(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

dcv_status dcv_cache_new(const dcv_cache_options *o, dcv_cache **out)
{
    dcv_cache *c = *out = dcv_alloc(1, sizeof *c);
    if (!c)
        return DCV_ENOMEM;
    c->o = *o;
    c->fd = -1;
    c->room_bytes = pages(o->bytes ? o->bytes : 1);
    return DCV_OK;
}

void dcv_cache_free(dcv_cache *c)
{
    if (!c)
        return;
    if (c->table)
        munmap(c->table, c->mapped);
    if (c->fd >= 0)
        close(c->fd);
    dcv_free(c);
}

cache_sizes cache_sizes_of(const dcv_cache *c, int node_ranks)
{
    const int sharers = c->o.common ? node_ranks : 1;
    const int64_t takers = (int64_t)sharers * c->o.threads;
    return (cache_sizes){(int64_t)c->room_bytes, takers < c->o.keys ? takers : c->o.keys, sharers};
}

const char *cache_what(const dcv_cache *c)
{
    return c->o.what;
}

/* --- Rooms ------------------------------------------------------------------------- */

static dcv_status lock_new(pthread_mutex_t *m)
{
    pthread_mutexattr_t a;
    int err = pthread_mutexattr_init(&a);
    if (!err) {
        pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
        err = pthread_mutex_init(m, &a);
        pthread_mutexattr_destroy(&a);
    }
    return err ? dcv_fail(DCV_ENOMEM, "no mutex that processes share: %s", strerror(err)) : DCV_OK;
}

static dcv_status table_fill(table *t, int64_t rooms)
{
    DCV_TRY(lock_new(&t->lock));
    for (int64_t i = 0; i < rooms; i++) {
        t->room[i].key = -1;
        DCV_TRY(lock_new(&t->room[i].making));
    }
    t->rooms = rooms;
    return DCV_OK;
}

static bool sizes_fit(dcv_cache *c, int64_t rooms)
{
    size_t all;
    c->table_bytes = pages(sizeof(table) + (size_t)rooms * sizeof(room));
    if (__builtin_mul_overflow(c->room_bytes, (size_t)rooms, &all) || all > SIZE_MAX / 4)
        return false;
    c->mapped = c->table_bytes + all;
    return true;
}

/* Memory of this rank alone; what nobody writes to takes none. */
static dcv_status start_own(dcv_cache *c, int64_t rooms)
{
    void *at = sizes_fit(c, rooms)
                   ? mmap(NULL, c->mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                   : MAP_FAILED;
    if (at == MAP_FAILED)
        return dcv_fail(DCV_ENOMEM, "out of memory: %s of %lld x %zu bytes", c->o.what, (long long)rooms,
                        c->room_bytes);
    c->table = at;
    return table_fill(c->table, rooms);
}

/* The lowest rank's segment with its table filled; -1: none. */
static int started(dcv_cache *c, int64_t rooms)
{
    const int fd = pages_new("deconvoy-cache", c->mapped);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, c->table_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const bool ok = at != MAP_FAILED && !segment_reserve(fd, 0, c->table_bytes) && table_fill(at, rooms) == DCV_OK;
    if (at != MAP_FAILED)
        munmap(at, c->table_bytes);
    if (ok || fd < 0)
        return fd;
    close(fd);
    return -1;
}

static void forget(dcv_cache *c, void *at)
{
    if (at)
        munmap(at, c->mapped);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

dcv_status cache_start(dcv_cache *c, int64_t rooms)
{
    const bool lowest = wire_rank(WIRE_NODE) == 0;
    const int ranks = wire_size(WIRE_NODE);
    if (!c->o.common || ranks == 1)
        return start_own(c, rooms);
    wire_bcast(WIRE_NODE, 0, &rooms, sizeof rooms);
    void *at = NULL;
    const bool fits = sizes_fit(c, rooms);
    c->fd = lowest && fits ? started(c, rooms) : -1;
    if (segment_pass(&c->fd, fits ? c->mapped : 1, true, &at)) {
        c->table = at;
        c->others = !lowest;
        return DCV_OK;
    }
    forget(c, at);
    const int64_t part = rooms / ranks > 1 ? rooms / ranks : 1;
    if (lowest)
        dcv_log_warning("%s cannot be shared on this node (/proc or memfd refused): each rank keeps its own, up to "
                        "%lld of %zu MiB",
                        c->o.what, (long long)part, c->room_bytes >> 20);
    return start_own(c, part);
}

cache_facts cache_told(const dcv_cache *c)
{
    cache_facts f = {0};
    if (!c->table || c->others)
        return f;
    f.made = c->table->made;
    for (int64_t i = 0; i < c->table->rooms; i++)
        f.rooms += c->table->room[i].asked > 0;
    f.bytes = f.rooms * (int64_t)c->room_bytes;
    return f;
}

/* --- Taking ------------------------------------------------------------------------ */

/* Also one whose owner died: then true. */
static bool lock(pthread_mutex_t *m)
{
    const int err = pthread_mutex_lock(m);
    DCV_CHECK(!err || err == EOWNERDEAD);
    if (err)
        pthread_mutex_consistent(m);
    return err;
}

static void unlock(pthread_mutex_t *m)
{
    pthread_mutex_unlock(m);
}

static room *of_key(table *t, int64_t key)
{
    for (int64_t i = 0; i < t->rooms; i++)
        if (t->room[i].key == key)
            return &t->room[i];
    return NULL;
}

/* The one that was asked for longest ago of those that nobody holds; NULL: there is none. */
static room *spare(table *t)
{
    room *best = NULL;
    for (int64_t i = 0; i < t->rooms; i++)
        if (!t->room[i].holders && (!best || t->room[i].asked < best->asked))
            best = &t->room[i];
    return best;
}

/* Be counted as a holder of the key's room, or of a spare one, which is then locked.  NULL: there is no room. */
static room *enter(table *t, int64_t key, bool *ready, bool *locked)
{
    lock(&t->lock);
    room *r = of_key(t, key);
    *locked = !r;
    if (!r && (r = spare(t))) {
        lock(&r->making); /* nobody has it: it is let go of before its room is */
        r->key = key;
        r->ready = false;
    }
    if (r) {
        r->holders++;
        r->asked = ++t->asked;
        *ready = r->ready;
    }
    unlock(&t->lock);
    return r;
}

static void leave(table *t, room *r)
{
    lock(&t->lock);
    if (!--r->holders && !r->ready)
        r->key = -1;
    unlock(&t->lock);
}

/* Wait until the room is made, or locked by this thread. */
static bool await(table *t, room *r)
{
    const bool died = lock(&r->making);
    lock(&t->lock);
    const bool ready = r->ready;
    r->holders -= died; /* its maker was one */
    unlock(&t->lock);
    if (ready)
        unlock(&r->making);
    return ready;
}

/* Before it is written to: a segment's pages that cannot be had would end the process. */
static dcv_status reserve(const dcv_cache *c, int64_t i)
{
    const int err = c->fd < 0 ? 0 : segment_reserve(c->fd, c->table_bytes + (size_t)i * c->room_bytes, c->room_bytes);
    return err ? dcv_fail(DCV_ENOMEM, "out of memory: %s of %zu bytes: %s", c->o.what, c->room_bytes, strerror(err))
               : DCV_OK;
}

dcv_status dcv_cache_take(dcv_cache *c, int64_t key, dcv_cache_hold *h)
{
    table *t = c->table;
    bool ready = false, locked = false;
    room *r;
    DCV_CHECK(t && !h->at && key >= 0);
    for (int tries = 0; !(r = enter(t, key, &ready, &locked)); tries++) {
        const struct timespec nap = {.tv_nsec = tries < 20 ? 50000 : 2000000};
        DCV_TRY(dcv_stop_check("waiting for room"));
        nanosleep(&nap, NULL);
    }
    if (!ready && !locked)
        ready = await(t, r);
    const int64_t i = r - t->room;
    const dcv_status st = ready ? DCV_OK : reserve(c, i);
    if (st != DCV_OK) {
        unlock(&r->making);
        leave(t, r);
        return st;
    }
    *h = (dcv_cache_hold){(char *)t + c->table_bytes + (size_t)i * c->room_bytes, (int)i, ready};
    return DCV_OK;
}

void dcv_cache_ready(dcv_cache *c, dcv_cache_hold *h)
{
    table *t = c->table;
    DCV_CHECK(h->at && !h->ready);
    lock(&t->lock);
    t->room[h->room].ready = h->ready = true;
    t->made++;
    unlock(&t->lock);
    unlock(&t->room[h->room].making);
}

void dcv_cache_drop(dcv_cache *c, dcv_cache_hold *h)
{
    if (!h->at)
        return;
    if (!h->ready)
        unlock(&c->table->room[h->room].making);
    leave(c->table, &c->table->room[h->room]);
    *h = (dcv_cache_hold){0};
}
