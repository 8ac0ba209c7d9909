/* master.c -- see master.h. */
#include <string.h>

#include "runtime/blocks.h"
#include "runtime/file.h"
#include "runtime/master.h"
#include "runtime/progress.h"
#include "runtime/protocol.h"
#include "deconvoy/log.h"
#include "deconvoy/memory.h"

typedef struct peer {
    int32_t pending; /* grants asked for and not given */
    int64_t out;     /* units given and not reported */
    int64_t n_grants, n_hellos, n_dones;
    int64_t bye_hellos, bye_dones; /* what BYE says it sent; -1: no BYE yet */
} peer;

struct master {
    master_options o;
    const dcv_job_kind *kind;
    int p;
    dcv_phase phase;
    dcv_worklist *list;
    peer *peer;
    int next_peer; /* whose turn it is to get a grant first */
    int64_t n_pending;
    bool stopping, stops_sent;
    failures *failures;
    void *state, *block; /* running fold, and room for one block's state */
    size_t state_bytes;
    int64_t folded; /* blocks */
    progress progress;
    int64_t phase_items;
    master_sums sums;
    dcv_status status; /* a failure of the master itself */
    char *message;
};

dcv_status master_new(const master_options *o, master **out)
{
    *out = NULL;
    master *m = dcv_alloc(1, sizeof *m);
    if (!m)
        return DCV_ENOMEM;
    m->o = *o;
    m->kind = o->job->kind;
    m->peer = dcv_alloc((size_t)o->ranks, sizeof *m->peer);
    dcv_status st = m->peer ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK && o->out->n_failures > 0)
        st = failures_new(o->out->n_items, o->out->n_failures, &m->failures);
    if (st != DCV_OK)
        master_free(m);
    else
        *out = m;
    return st;
}

void master_free(master *m)
{
    if (!m)
        return;
    dcv_worklist_free(m->list);
    failures_free(m->failures);
    dcv_free(m->peer);
    dcv_free(m->state);
    dcv_free(m->block);
    dcv_free(m->message);
    dcv_free(m);
}

void *master_state(master *m)
{
    return m->state;
}

failures *master_failures(master *m)
{
    return m->failures;
}

const master_sums *master_totals(const master *m)
{
    return &m->sums;
}

bool master_is_through(const master *m)
{
    for (int r = 0; m->stops_sent && r < m->o.ranks; r++) {
        const peer *q = &m->peer[r];
        if (q->bye_hellos < 0 || q->n_hellos < q->bye_hellos || q->n_dones < q->bye_dones)
            return false;
    }
    return m->stops_sent;
}

static void fail(master *m)
{
    m->stopping = true;
    if (m->message)
        return;
    m->message = dcv_strdup(dcv_message());
}

static void must(master *m, dcv_status st)
{
    if (st == DCV_OK || m->status != DCV_OK)
        return;
    m->status = st;
    fail(m);
}

static progress_now now_of(const master *m)
{
    progress_now n = {.phase = m->phase.name,
                      .items = m->phase_items,
                      .all_items = m->phase.n_items,
                      .failed = failures_count(m->failures),
                      .ranks = m->o.ranks};
    for (int r = 0; r < m->o.ranks; r++)
        n.busy += m->peer[r].out > 0;
    return n;
}

dcv_status master_status(const master *m)
{
    if (m->status != DCV_OK)
        return dcv_fail(m->status, "%s", m->message ? m->message : "");
    const int64_t left = dcv_worklist_left(m->list);
    if (left)
        return dcv_fail(DCV_ESTOP, "%s: stopped in phase %s with %lld of %lld units left; run again to go on",
                        m->o.out->final, m->phase.name, (long long)left, (long long)m->phase.n_units);
    return DCV_OK;
}

dcv_status master_phase(master *m, int p, const dcv_phase *phase)
{
    m->p = p;
    m->phase = *phase;
    m->stopping = m->stops_sent = false;
    m->n_pending = m->folded = m->phase_items = 0;
    for (int r = 0; r < m->o.ranks; r++)
        m->peer[r] = (peer){.bye_hellos = -1};
    dcv_worklist_free(m->list);
    m->list = NULL;
    const dcv_worklist_options o = {phase->n_units, phase->state_bytes > 0, m->o.workers, m->o.threads};
    DCV_TRY(dcv_worklist_new(&o, &m->list));
    dcv_free(m->state);
    dcv_free(m->block);
    m->state = m->block = NULL;
    m->state_bytes = phase->state_bytes;
    if (m->state_bytes) {
        m->state = dcv_alloc(1, m->state_bytes);
        m->block = dcv_alloc(1, m->state_bytes);
        if (!m->state || !m->block)
            return DCV_ENOMEM;
        m->kind->state_clear(m->o.job, p, m->state);
    }
    progress_begin(&m->progress, (dcv_progress)m->o.progress, 0);
    return DCV_OK;
}

/* --- What workers say -------------------------------------------------------------- */

static void heard_hello(master *m, const wire_message *msg)
{
    hello h;
    memcpy(&h, msg->body, sizeof h);
    peer *q = &m->peer[msg->from];
    q->n_hellos++;
    q->pending += h.wants;
    m->n_pending += h.wants;
    if (h.units > 0)
        dcv_worklist_timed(m->list, h.units, h.seconds);
}

/* These units are finished for good. */
static void count_units(master *m, int grant, dcv_range r)
{
    int64_t fresh = 0;
    /* Items and work are counted once, also where a unit was computed twice. */
    for (int64_t u = r.first; u < r.first + r.count; u++)
        if (!dcv_worklist_is_done(m->list, u)) {
            m->phase_items += m->kind->unit_items(m->o.job, m->p, u);
            m->sums.gflop += m->kind->unit_gflop(m->o.job, m->p, u);
        }
    must(m, dcv_worklist_finish(m->list, grant, r, &fresh));
    m->sums.units += fresh;
}

static void heard_entry(master *m, int from, const done_entry *e, const char *text)
{
    failure f = {.item = e->a};
    switch ((done_kind)e->kind) {
    case DONE_WROTE:
        break;
    case DONE_FAILED:
        memcpy(f.message, text, FAILURE_TEXT);
        if (m->failures)
            must(m, failures_add(m->failures, m->p, &f));
        break;
    case DONE_UNITS:
        count_units(m, e->number, (dcv_range){e->a, e->b});
        m->peer[from].out -= e->b;
        break;
    case DONE_FAULT:
        m->stopping = true;
        break;
    }
}

static void heard_done(master *m, const wire_message *msg)
{
    m->peer[msg->from].n_dones++;
    for (size_t at = 0; at + sizeof(done_entry) <= msg->bytes;) {
        done_entry e;
        memcpy(&e, msg->body + at, sizeof e);
        at += sizeof e;
        heard_entry(m, msg->from, &e, (const char *)msg->body + at);
        at += e.kind == DONE_FAILED ? FAILURE_TEXT : 0;
    }
}

static void heard_bye(master *m, const wire_message *msg)
{
    bye b;
    memcpy(&b, msg->body, sizeof b);
    m->peer[msg->from].bye_hellos = b.n_hellos;
    m->peer[msg->from].bye_dones = b.n_dones;
}

void master_hear(master *m, const wire_message *msg)
{
    switch (msg->tag) {
    case WIRE_HELLO:
        heard_hello(m, msg);
        break;
    case WIRE_DONE:
        heard_done(m, msg);
        break;
    case WIRE_BYE:
        heard_bye(m, msg);
        break;
    default:
        break;
    }
}

/* --- What the master does ---------------------------------------------------------- */

static bool give(master *m, int rank)
{
    dcv_grant g = {0};
    const double t = now_s();
    if (!dcv_worklist_take(m->list, rank, t, &g) && !dcv_worklist_again(m->list, rank, t, &g))
        return false;
    if (g.copy)
        dcv_log_info("%s: units %lld to %lld are overdue and given to rank %d as well", m->phase.name,
                     (long long)g.units.first, (long long)(g.units.first + g.units.count - 1), rank);
    wire_send(rank, WIRE_GRANT, &g, sizeof g);
    m->peer[rank].n_grants++;
    m->peer[rank].out += g.units.count;
    m->peer[rank].pending--;
    m->n_pending--;
    return true;
}

/* One grant to each rank that wants one, in turn, so that nobody has two before all have one. */
static bool serve(master *m)
{
    bool any = false;
    for (bool more = true; more && m->n_pending && !m->stopping;) {
        more = false;
        for (int i = 0; i < m->o.ranks && m->n_pending; i++) {
            const int r = (m->next_peer + i) % m->o.ranks;
            if (m->peer[r].pending <= 0)
                continue;
            if (!give(m, r))
                return any;
            more = any = true;
        }
        m->next_peer = (m->next_peer + 1) % m->o.ranks;
    }
    return any;
}

/* Fold the next block if it is finished. */
static bool fold(master *m)
{
    const int64_t per_block = dcv_block_units(m->phase.n_units), first = m->folded * per_block;
    if (!m->state_bytes || first >= m->phase.n_units || !dcv_worklist_block_is_done(m->list, m->folded) ||
        m->status != DCV_OK)
        return false;
    const int64_t want = m->phase.n_units - first < per_block ? m->phase.n_units - first : per_block;
    const block_place at = {m->o.out, m->o.plan, m->p, m->folded, m->state_bytes};
    int64_t units = 0;
    uint32_t generation;
    dcv_status st = block_read(&at, want, m->block, &units, &generation);
    if (st == DCV_OK && units != want)
        st = dcv_fail(DCV_EIO, "%s: the state of block %lld is gone", m->o.out->final, (long long)m->folded);
    must(m, st);
    if (st != DCV_OK)
        return false;
    m->kind->state_fold(m->o.job, m->p, m->state, m->block);
    block_remove(&at);
    m->folded++;
    return true;
}

static bool all_folded(const master *m)
{
    return !m->state_bytes || m->folded * dcv_block_units(m->phase.n_units) >= m->phase.n_units;
}

static void send_stops(master *m)
{
    for (int r = 0; r < m->o.ranks; r++) {
        const stop s = {m->peer[r].n_grants};
        wire_send(r, WIRE_STOP, &s, sizeof s);
    }
}

bool master_step(master *m)
{
    bool any = serve(m);
    any |= fold(m);
    if (!dcv_worklist_left(m->list) && all_folded(m))
        m->stopping = true;
    if (m->stopping && !m->stops_sent) {
        m->stops_sent = true;
        send_stops(m);
        const progress_now n = now_of(m);
        progress_end(&m->progress, &n);
        any = true;
    } else if (progress_due(&m->progress)) {
        const progress_now n = now_of(m);
        progress_say(&m->progress, &n);
    }
    return any;
}
