/* worker.c -- see worker.h.
 *
 * What the team finished waits until the bytes are on disk; only then is it reported.  While one batch is being
 * synced the next one gathers; two syncs begin at least SYNC_S apart.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/file.h"
#include "runtime/protocol.h"
#include "runtime/syncer.h"
#include "runtime/worker.h"
#include "deconvoy/memory.h"

#define SYNC_S 0.5

typedef struct batch {
    finished *first, *last;
    int n, n_states; /* entries; those with a state file */
    bool wrote;      /* bytes of the result */
} batch;

struct worker {
    team_options o;
    team *team;
    syncer *syncer;
    batch open, syncing;
    bool is_syncing;
    double synced_s; /* when the last sync began */
    int asked;       /* grants asked for and not yet received */
    int64_t n_grants, stop_at, n_hellos, n_dones;
    int64_t timed_units; /* since the last HELLO */
    double timed_s;
    bool stopping, through, told_stop;
    dcv_status status;
    char *message;
    size_t filled; /* of the DONE being written */
    _Alignas(8) unsigned char done[WIRE_MAX];
};

dcv_status worker_new(const team_options *o, worker **out)
{
    *out = NULL;
    worker *w = dcv_alloc(1, sizeof *w);
    if (!w)
        return DCV_ENOMEM;
    w->o = *o;
    dcv_status st = team_new(o, &w->team);
    if (st == DCV_OK)
        st = syncer_new(&w->syncer);
    if (st != DCV_OK)
        worker_free(w);
    else
        *out = w;
    return st;
}

static void batch_clear(batch *b)
{
    for (finished *f = b->first, *next; f; f = next) {
        next = f->next;
        finished_free(f);
    }
    *b = (batch){0};
}

void worker_free(worker *w)
{
    if (!w)
        return;
    syncer_free(w->syncer);
    team_free(w->team);
    batch_clear(&w->open);
    batch_clear(&w->syncing);
    dcv_free(w->message);
    dcv_free(w);
}

team *worker_team(worker *w)
{
    return w->team;
}

dcv_status worker_phase(worker *w, int p, const dcv_phase *phase)
{
    w->asked = 0;
    w->n_grants = w->n_hellos = w->n_dones = w->timed_units = 0;
    w->timed_s = 0;
    w->stop_at = -1;
    w->stopping = w->through = w->told_stop = false;
    return team_phase(w->team, p, phase);
}

bool worker_is_through(const worker *w)
{
    return w->through;
}

const char *worker_message(const worker *w)
{
    return w->message ? w->message : "";
}

dcv_status worker_status(const worker *w)
{
    return w->status == DCV_OK ? DCV_OK : dcv_fail(w->status, "%s", worker_message(w));
}

/* --- Reporting --------------------------------------------------------------------- */

static void done_flush(worker *w)
{
    if (!w->filled)
        return;
    wire_send(0, WIRE_DONE, w->done, w->filled);
    w->n_dones++;
    w->filled = 0;
}

static void done_add(worker *w, done_entry e, const char *text)
{
    const size_t bytes = sizeof e + (text ? FAILURE_TEXT : 0);
    if (w->filled + bytes > WIRE_MAX)
        done_flush(w);
    memcpy(w->done + w->filled, &e, sizeof e);
    if (text)
        memcpy(w->done + w->filled + sizeof e, text, FAILURE_TEXT);
    w->filled += bytes;
}

static void fail_all(worker *w, dcv_status st, const char *message)
{
    if (w->status != DCV_OK)
        return;
    w->status = st;
    w->message = dcv_strdup(message ? message : "");
    team_cancel(w->team);
    done_add(w, (done_entry){.kind = DONE_FAULT, .number = st}, NULL);
    done_flush(w);
}

static void report(worker *w, const finished *f)
{
    for (int i = 0; i < f->result.n_at; i++)
        done_add(
            w,
            (done_entry){DONE_WROTE, f->grant, f->result.at[i].offset, f->result.at[i].bytes, f->result.at[i].crc, 0},
            NULL);
    for (int i = 0; i < f->result.n_failed; i++)
        done_add(w, (done_entry){.kind = DONE_FAILED, .number = f->grant, .a = f->result.failed[i].item},
                 f->result.failed[i].message);
    done_add(w, (done_entry){DONE_UNITS, f->grant, f->units.first, f->units.count, 0, 0}, NULL);
}

static void report_all(worker *w, batch *b)
{
    for (const finished *f = b->first; f; f = f->next)
        team_kept(w->team, f);
    for (finished *f = b->first, *next; f; f = next) { /* units in a row are one thing to report */
        for (next = f->next; next && next->grant == f->grant && next->units.first == f->units.first + f->units.count &&
                             result_join(&f->result, &next->result);
             next = next->next)
            f->units.count += next->units.count;
        report(w, f);
    }
    done_flush(w);
    batch_clear(b);
}

/* --- Syncing ----------------------------------------------------------------------- */

static bool collect(worker *w)
{
    finished *f = team_collect(w->team);
    const bool any = f;
    for (finished *next; f; f = next) {
        next = f->next;
        f->next = NULL;
        w->timed_units += f->units.count;
        w->timed_s += f->seconds;
        if (f->status != DCV_OK) {
            fail_all(w, f->status, f->message);
            finished_free(f);
            continue;
        }
        batch *b = &w->open;
        if (b->last)
            b->last->next = f;
        else
            b->first = f;
        b->last = f;
        b->n++;
        b->n_states += f->fd >= 0;
        b->wrote = b->wrote || f->result.n_at;
    }
    return any;
}

static void sync_begin(worker *w)
{
    int *fd = dcv_alloc((size_t)w->open.n_states + 1, sizeof *fd), n = 0;
    DCV_CHECK(fd);
    if (w->open.wrote)
        fd[n++] = w->o.out->fd;
    for (const finished *f = w->open.first; f; f = f->next)
        if (f->fd >= 0)
            fd[n++] = f->fd;
    syncer_start(w->syncer, fd, n, w->open.n_states ? w->o.out->folder : NULL);
    dcv_free(fd);
    w->syncing = w->open;
    w->open = (batch){0};
    w->is_syncing = true;
    w->synced_s = now_s();
}

static bool sync_end(worker *w)
{
    if (!w->is_syncing || syncer_busy(w->syncer))
        return false;
    w->is_syncing = false;
    const int err = syncer_errno(w->syncer);
    if (err) { /* the pages are lost: none of this is done */
        char text[512];
        snprintf(text, sizeof text, "%s: %s", w->o.out->part, strerror(err));
        fail_all(w, DCV_EIO, text);
        for (const finished *f = w->syncing.first; f; f = f->next)
            team_lost(w->team, f);
        batch_clear(&w->syncing);
    } else {
        report_all(w, &w->syncing);
    }
    return true;
}

static bool commit(worker *w)
{
    bool any = sync_end(w);
    if (w->is_syncing || !w->open.n)
        return any;
    if (!w->o.out->disk || (!w->open.wrote && !w->open.n_states)) {
        report_all(w, &w->open);
        return true;
    }
    if (w->stopping || team_idle(w->team) || now_s() - w->synced_s >= SYNC_S) {
        sync_begin(w);
        any = true;
    }
    return any;
}

void worker_stop(worker *w)
{
    if (w->told_stop || w->through)
        return;
    w->told_stop = true;
    done_add(w, (done_entry){.kind = DONE_FAULT, .number = DCV_ESTOP}, NULL);
    done_flush(w);
}

/* --- Messages ---------------------------------------------------------------------- */

void worker_hear(worker *w, const wire_message *m)
{
    if (m->tag == WIRE_STOP) {
        stop s;
        memcpy(&s, m->body, sizeof s);
        w->stop_at = s.n_grants;
        w->stopping = true;
        team_cancel(w->team);
        return;
    }
    dcv_grant g;
    memcpy(&g, m->body, sizeof g);
    w->n_grants++;
    w->asked--;
    if (!w->stopping && w->status == DCV_OK && team_give(w->team, &g) != DCV_OK)
        fail_all(w, DCV_ENOMEM, dcv_message());
}

static bool ask(worker *w)
{
    const int wants = w->stopping || w->status != DCV_OK ? 0 : team_wants(w->team) - w->asked;
    if (wants <= 0)
        return false;
    const hello h = {wants, w->timed_units, w->timed_s};
    wire_send(0, WIRE_HELLO, &h, sizeof h);
    w->n_hellos++;
    w->asked += wants;
    w->timed_units = 0;
    w->timed_s = 0;
    return true;
}

static bool say_bye(worker *w)
{
    if (!w->stopping || w->through || w->n_grants < w->stop_at || !team_idle(w->team) || w->open.n || w->is_syncing)
        return false;
    const bye b = {w->n_hellos, w->n_dones};
    wire_send(0, WIRE_BYE, &b, sizeof b);
    w->through = true;
    return true;
}

bool worker_step(worker *w)
{
    bool any = collect(w);
    any |= commit(w);
    any |= ask(w);
    return any | say_bye(w);
}
