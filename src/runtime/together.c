/* together.c -- see together.h, and dcv_together in deconvoy/job.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "deconvoy/run.h"
#include "deconvoy/stop.h"
#include "runtime/file.h"
#include "runtime/together.h"
#include "runtime/wire.h"

#define MAGIC      UINT64_C(0x3168747467766364)
#define HEAD_BYTES 4096 /* the state begins here */
#define MOST       32   /* pieces of a rank */
#define PROGRESS_S 30.0
#define CRC_BYTES  ((int64_t)16 << 20) /* read at a time */
#define TEXT_BYTES 1024                /* of a message that ranks agree on */

typedef struct piece { /* written by a rank */
    int64_t offset, bytes;
    uint32_t crc, there;
} piece;

typedef struct head {
    uint64_t magic;
    char plan[64];
    int64_t bytes, generation, n_pieces; /* pieces follow the state */
    int32_t phase;
    uint32_t pieces_crc, head_crc; /* head_crc: of all before it */
} head;

struct dcv_together {
    dcv_together_facts facts;
    dcv_together_tally tally;
    together_options o;
    dcv_status bad; /* of the saving under way */
    int64_t generation, bytes;
    int fd; /* of the state being written or read */
    piece mine[MOST];
    int n_mine;
    double saved_s, said_s, saving_s; /* saving_s: when the saving under way began */
};

static char *name(const dcv_together *t, int64_t generation)
{
    return dcv_format("%s.block.together.%d.%c", t->o.out->final, t->o.phase, 'a' + (int)(generation & 1));
}

static uint32_t head_crc(const head *h)
{
    return dcv_crc32c(0, h, offsetof(head, head_crc));
}

dcv_status dcv_together_agree(dcv_together *t, dcv_status mine)
{
    char text[TEXT_BYTES] = "";
    bool speaks;
    const dcv_status worst = dcv_agree(mine, &speaks);
    if (worst == DCV_OK)
        return DCV_OK;
    int32_t from = speaks ? t->facts.rank : 0;
    wire_max_i32(WIRE_WORLD, &from, 1);
    if (speaks)
        snprintf(text, sizeof text, "%s", dcv_message());
    wire_bcast(WIRE_WORLD, from, text, sizeof text);
    return speaks ? worst : dcv_fail(worst, "%s", text);
}

/* --- Which state is there --------------------------------------------------------------- */

static int open_slot(const dcv_together *t, int64_t generation, int flags)
{
    char *file = name(t, generation);
    const int fd = file ? open(file, flags | O_CLOEXEC, 0666) : -1;
    dcv_free(file);
    return fd;
}

static bool head_ok(const dcv_together *t, const head *h)
{
    return h->magic == MAGIC && h->head_crc == head_crc(h) && !memcmp(h->plan, t->o.plan->hex, sizeof h->plan) &&
           h->phase == t->o.phase && h->bytes >= 0 && h->n_pieces >= 0 && h->n_pieces < 1 << 24;
}

static bool piece_ok(int fd, const piece *p)
{
    uint32_t crc = 0;
    char *buffer = dcv_alloc(1, CRC_BYTES);
    bool ok = buffer;
    for (int64_t at = 0, n; ok && at < p->bytes; at += n) {
        n = p->bytes - at < CRC_BYTES ? p->bytes - at : CRC_BYTES;
        ok = !file_read(fd, buffer, n, HEAD_BYTES + p->offset + at);
        crc = ok ? dcv_crc32c(crc, buffer, (size_t)n) : crc;
    }
    dcv_free(buffer);
    return ok && crc == p->crc;
}

/* This rank's share of the pieces is as it was written. */
static bool share_ok(const dcv_together *t, int fd, const head *h)
{
    piece *all = dcv_alloc((size_t)h->n_pieces, sizeof *all);
    bool ok = all && !file_read(fd, all, h->n_pieces * (int64_t)sizeof *all, HEAD_BYTES + h->bytes) &&
              dcv_crc32c(0, all, (size_t)h->n_pieces * sizeof *all) == h->pieces_crc;
    for (int64_t i = t->facts.rank; ok && i < h->n_pieces; i += t->facts.size)
        ok = all[i].offset >= 0 && all[i].offset <= h->bytes - all[i].bytes && piece_ok(fd, &all[i]);
    dcv_free(all);
    return ok;
}

/* Collective: try the state of a head that rank 0 has found. */
static bool take(dcv_together *t, const head *h)
{
    int32_t bad = 0;
    t->fd = open_slot(t, h->generation, O_RDONLY);
    bad = t->fd < 0 || !share_ok(t, t->fd, h);
    wire_max_i32(WIRE_WORLD, &bad, 1);
    if (!bad) {
        t->generation = h->generation;
        t->bytes = h->bytes;
        return true;
    }
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    return false;
}

int64_t dcv_together_found(dcv_together *t)
{
    head h[2] = {{0}, {0}};
    for (int s = 0; s < 2 && !t->facts.rank; s++) {
        const int fd = open_slot(t, s, O_RDONLY);
        if (fd < 0 || file_read(fd, &h[s], sizeof h[s], 0) || !head_ok(t, &h[s]) || (h[s].generation & 1) != s)
            h[s] = (head){.generation = -1};
        if (fd >= 0)
            close(fd);
    }
    wire_bcast(WIRE_WORLD, 0, h, sizeof h);
    const int newer = h[1].generation > h[0].generation;
    for (int i = 0; i < 2; i++) {
        const head *one = &h[i ? !newer : newer];
        t->generation = t->generation > one->generation ? t->generation : one->generation;
        if (one->generation >= 0 && take(t, one))
            return t->bytes;
    }
    return 0;
}

dcv_status dcv_together_load(dcv_together *t, int64_t offset, int64_t bytes, void *to)
{
    if (offset < 0 || bytes < 0 || offset > t->bytes - bytes)
        return dcv_fail(DCV_EINTERNAL, "the state has no bytes %lld + %lld", (long long)offset, (long long)bytes);
    const int err = file_read(t->fd, to, bytes, HEAD_BYTES + offset);
    return err ? dcv_fail(DCV_EIO, "%s: state: %s", t->o.out->final, strerror(err)) : DCV_OK;
}

/* --- Saving --------------------------------------------------------------------------------- */

static dcv_status failed(const dcv_together *t, int err)
{
    return dcv_fail(DCV_EIO, "%s: state: %s", t->o.out->final, strerror(err));
}

/* Rank 0: an empty file of the right size; what was there is no state any more. */
static dcv_status make_file(const dcv_together *t)
{
    static const head none;
    if (t->o.lease && lease_is_lost(t->o.lease))
        return dcv_fail(DCV_ESTOP, "%s: another run has taken it", t->o.out->final);
    const int fd = open_slot(t, t->generation, O_RDWR | O_CREAT);
    int err = fd < 0 ? errno : file_write(fd, &none, sizeof none, 0);
    if (!err && ftruncate(fd, HEAD_BYTES + t->bytes))
        err = errno;
    if (!err && t->o.out->disk && fdatasync(fd))
        err = errno;
    if (fd >= 0)
        close(fd);
    return err ? failed(t, err) : DCV_OK;
}

dcv_status dcv_together_save_begin(dcv_together *t, int64_t bytes)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    t->generation++;
    t->bytes = bytes;
    t->n_mine = 0;
    t->saving_s = now_s();
    DCV_TRY(dcv_together_agree(t, t->facts.rank ? DCV_OK : make_file(t)));
    t->fd = open_slot(t, t->generation, O_WRONLY);
    return dcv_together_agree(t, t->fd < 0 ? failed(t, errno) : DCV_OK);
}

dcv_status dcv_together_save(dcv_together *t, int64_t offset, int64_t bytes, const void *from)
{
    if (t->n_mine == MOST || offset < 0 || bytes < 0 || offset > t->bytes - bytes)
        return dcv_fail(DCV_EINTERNAL, "no room in the state for bytes %lld + %lld", (long long)offset,
                        (long long)bytes);
    const int err = file_write(t->fd, from, bytes, HEAD_BYTES + offset);
    if (err)
        return failed(t, err);
    t->mine[t->n_mine++] = (piece){offset, bytes, dcv_crc32c(0, from, (size_t)bytes), 1};
    return DCV_OK;
}

/* Rank 0, once all pieces are on disk. */
static dcv_status make_head(const dcv_together *t, piece *all)
{
    head h = {.magic = MAGIC, .bytes = t->bytes, .generation = t->generation, .phase = t->o.phase};
    for (int i = 0; i < t->facts.size * MOST; i++)
        if (all[i].there)
            all[h.n_pieces++] = all[i];
    memcpy(h.plan, t->o.plan->hex, sizeof h.plan);
    h.pieces_crc = dcv_crc32c(0, all, (size_t)h.n_pieces * sizeof *all);
    h.head_crc = head_crc(&h);
    int err = file_write(t->fd, all, h.n_pieces * (int64_t)sizeof *all, HEAD_BYTES + t->bytes);
    if (!err && t->o.out->disk && fdatasync(t->fd))
        err = errno;
    if (!err)
        err = file_write(t->fd, &h, sizeof h, 0);
    if (!err && t->o.out->disk && fdatasync(t->fd))
        err = errno;
    if (!err && t->o.out->disk)
        err = file_sync_folder(t->o.out->folder);
    return err ? failed(t, err) : DCV_OK;
}

dcv_status dcv_together_save_end(dcv_together *t)
{
    piece *all = t->facts.rank ? NULL : dcv_alloc((size_t)t->facts.size * MOST, sizeof *all);
    DCV_CHECK(all || t->facts.rank);
    dcv_status st = output_sync(t->o.out); /* a state speaks of what was put before */
    if (st == DCV_OK && t->o.out->disk && fdatasync(t->fd))
        st = failed(t, errno);
    memset(t->mine + t->n_mine, 0, (size_t)(MOST - t->n_mine) * sizeof *t->mine);
    st = dcv_together_agree(t, st);
    if (st == DCV_OK) {
        wire_gather(t->mine, all, sizeof t->mine);
        st = dcv_together_agree(t, t->facts.rank ? DCV_OK : make_head(t, all));
    }
    dcv_free(all);
    close(t->fd);
    t->fd = -1;
    t->saved_s = now_s();
    t->tally.write_s += t->saved_s - t->saving_s;
    return st;
}

/* --- When ------------------------------------------------------------------------------------ */

int dcv_together_wants(dcv_together *t, double every_s)
{
    const double now = now_s();
    int32_t wants = 0;
    if (!t->facts.rank && now - t->saved_s >= every_s)
        wants = 1;
    if (dcv_stop_asked() || (t->o.lease && lease_is_lost(t->o.lease)) ||
        (t->o.deadline_s >= 0 && now - t->o.began_s >= t->o.deadline_s))
        wants = 2;
    if (t->facts.size > 1)
        wire_max_i32(WIRE_WORLD, &wants, 1);
    return wants;
}

bool dcv_together_speaks(dcv_together *t)
{
    const double now = now_s();
    if (t->facts.rank || t->o.progress == DCV_PROGRESS_NONE || now - t->said_s < PROGRESS_S)
        return false;
    t->said_s = now;
    return true;
}

void dcv_together_count(dcv_together *t, dcv_together_tally more)
{
    dcv_together_tally *all = &t->tally;
    all->units += more.units;
    all->kept += more.kept;
    all->gone_on += more.gone_on;
    all->gflop += more.gflop;
    all->read_s += more.read_s;
    all->write_s += more.write_s;
}

const dcv_together_tally *together_tally(const dcv_together *t)
{
    return &t->tally;
}

const dcv_together_facts *dcv_together_is(const dcv_together *t)
{
    return &t->facts;
}

dcv_status together_new(const together_options *o, dcv_together **out)
{
    dcv_together *t = *out = dcv_alloc(1, sizeof *t);
    if (!t)
        return DCV_ENOMEM;
    t->o = *o;
    t->fd = -1;
    t->generation = -1;
    t->facts = (dcv_together_facts){wire_comm(), wire_rank(WIRE_WORLD), wire_size(WIRE_WORLD), o->threads};
    t->saved_s = t->said_s = now_s();
    return DCV_OK;
}

void together_free(dcv_together *t)
{
    if (!t)
        return;
    if (t->fd >= 0)
        close(t->fd);
    dcv_free(t);
}
