/* master.c -- see master.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "runtime/blocks.h"
#include "runtime/file.h"
#include "runtime/fold.h"
#include "runtime/master.h"
#include "runtime/plan.h"
#include "runtime/progress.h"
#include "runtime/protocol.h"
#include "runtime/syncer.h"
#include "deconvoy/journal.h"
#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "deconvoy/stop.h"

#define COMMIT_S          0.2 /* between two syncs of the journal */
#define DEADLINE_MARGIN_S 1.0 /* for syncing and reporting */

typedef struct commit { /* units whose records are on their way to the disk */
    int grant;
    int64_t *peer_out; /* of the worker that holds the grant */
    dcv_range units;
} commit;

typedef struct commits {
    commit *at;
    int n, cap;
    int64_t n_units;
} commits;

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
    fold *fold; /* NULL: the phase gathers nothing */
    resume resume;
    dcv_journal *journal;
    syncer *syncer;
    commits open, syncing;
    bool is_syncing;
    double synced_s;
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
    if (st == DCV_OK)
        st = resume_load(o->out, o->plan, &m->resume);
    if (st == DCV_OK)
        st = dcv_journal_new(o->out->final, o->plan, o->out->disk, &m->journal);
    if (st == DCV_OK)
        st = syncer_new(&m->syncer);
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
    syncer_free(m->syncer);
    dcv_journal_free(m->journal);
    resume_clear(&m->resume);
    dcv_free(m->open.at);
    dcv_free(m->syncing.at);
    dcv_worklist_free(m->list);
    failures_free(m->failures);
    dcv_free(m->peer);
    fold_free(m->fold);
    dcv_free(m->message);
    dcv_free(m);
}

void *master_state(master *m)
{
    return fold_state(m->fold);
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
    /* A phase that a stop found complete must be folded as well, or it would be finished with what there is. */
    if (m->status == DCV_OK && m->list && !dcv_worklist_left(m->list) && !fold_is_complete(m->fold))
        return false;
    for (int r = 0; m->stops_sent && r < m->o.ranks; r++) {
        const peer *q = &m->peer[r];
        if (q->bye_hellos < 0 || q->n_hellos < q->bye_hellos || q->n_dones < q->bye_dones)
            return false;
    }
    return m->stops_sent && !m->is_syncing && (!m->open.n || m->status != DCV_OK);
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

/* --- What earlier starts have done -------------------------------------------------- */

static block_place place_of(const master *m, int64_t block)
{
    return (block_place){m->o.out, m->o.plan, m->p, block, m->phase.state_bytes};
}

static void count_items(master *m, dcv_range r)
{
    for (int64_t u = r.first; u < r.first + r.count; u++)
        m->phase_items += m->kind->unit_items(m->o.job, m->p, u);
}

static void skip(master *m, dcv_range r)
{
    const int64_t fresh = dcv_worklist_skip(m->list, r);
    m->sums.units += fresh;
    m->sums.resumed_units += fresh;
    count_items(m, r);
}

/* Units of a block that the journal has, from its start on without a gap. */
static int64_t prefix(const uint8_t *done, dcv_range block)
{
    int64_t n = 0;
    while (n < block.count && done[block.first + n])
        n++;
    return n;
}

/* Of a block: units that are done and whose state is there as well.  Folded: all of them or none, for its state is no
 * longer to be had by itself.  Of a chain that is done nothing is kept. */
static dcv_status usable(master *m, const uint8_t *done, int64_t block, dcv_range *r)
{
    const block_place at = place_of(m, block);
    const int64_t all = r->count;
    int64_t units = r->count = prefix(done, *r);
    uint32_t generation;
    if (block < fold_blocks(m->fold) || (m->phase.chain > 0 && units == all)) {
        r->count = units == all ? all : 0;
        return DCV_OK;
    }
    if (units)
        DCV_TRY(block_read(&at, r->count, NULL, &units, &generation));
    if (units != r->count)
        r->count = 0;
    return DCV_OK;
}

/* Where a phase gathers, a unit is done only if its block's state is there as well: folded, or in a file after
 * exactly so many units as the journal has.  A folded block that has to be computed again is not folded again: its
 * state would be the same. */
static dcv_status skip_blocks(master *m, uint8_t *done)
{
    const int64_t per_block = plan_block_units(&m->phase);
    for (int64_t block = 0; block * per_block < m->phase.n_units; block++) {
        dcv_range r = {block * per_block, per_block};
        if (r.first + r.count > m->phase.n_units)
            r.count = m->phase.n_units - r.first;
        const int64_t end = r.first + r.count;
        DCV_TRY(usable(m, done, block, &r));
        if (r.count)
            skip(m, r);
        memset(done + r.first + r.count, 0, (size_t)(end - r.first - r.count));
    }
    return DCV_OK;
}

/* Units of other slices are none of ours. */
static void skip_others(master *m)
{
    const int64_t per_block = plan_block_units(&m->phase), all = m->phase.n_units;
    const block_range mine = plan_blocks(m->o.job->config, &m->phase);
    const int64_t first = mine.first * per_block, end = mine.end * per_block < all ? mine.end * per_block : all;
    dcv_worklist_skip(m->list, (dcv_range){0, first < all ? first : all});
    if (end < all)
        dcv_worklist_skip(m->list, (dcv_range){end, all - end});
}

static dcv_status skip_done(master *m)
{
    const int64_t n = m->phase.n_units;
    if (!m->resume.done[m->p].n)
        return DCV_OK;
    uint8_t *done = dcv_alloc((size_t)n, 1);
    if (!done)
        return DCV_ENOMEM;
    resume_mark(&m->resume, m->p, done, n);
    dcv_status st = DCV_OK;
    if (m->phase.state_bytes)
        st = skip_blocks(m, done);
    else
        for (int64_t k = 0; k < n; k++)
            if (done[k])
                skip(m, (dcv_range){k, 1});
    if (st == DCV_OK)
        st = resume_failures(&m->resume, m->o.out, m->o.plan, m->p, done, n, m->failures);
    dcv_free(done);
    return st;
}

static dcv_status journal_phase(master *m)
{
    const dcv_record r = {
        .kind = DCV_RECORD_PHASE, .phase = (uint16_t)m->p, .a = m->phase.n_units, .b = m->phase.n_items};
    return dcv_journal_add(m->journal, &r);
}

dcv_status master_phase(master *m, int p, const dcv_phase *phase)
{
    DCV_CHECK(p < MAX_PHASES && !m->is_syncing && !m->open.n);
    m->p = p;
    m->phase = *phase;
    m->stopping = m->stops_sent = false;
    m->n_pending = m->phase_items = 0;
    for (int r = 0; r < m->o.ranks; r++)
        m->peer[r] = (peer){.bye_hellos = -1};
    dcv_worklist_free(m->list);
    m->list = NULL;
    const dcv_worklist_options o = {phase->n_units, phase->state_bytes > 0, m->o.workers, m->o.threads,
                                    plan_block_units(phase)};
    DCV_TRY(dcv_worklist_new(&o, &m->list));
    fold_free(m->fold);
    m->fold = NULL;
    const fold_options gather = {m->o.job, m->o.out, m->o.plan, p, *phase, plan_is_slice(m->o.job->config)};
    if (plan_gathers(phase))
        DCV_TRY(fold_new(&gather, &m->fold));
    skip_others(m);
    DCV_TRY(skip_done(m));
    progress_begin(&m->progress, (dcv_progress)m->o.progress, m->phase_items);
    return journal_phase(m);
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

static void note(master *m, int from, int kind, int64_t a, int64_t b, uint32_t crc, const char *text)
{
    dcv_record r = {.kind = (uint16_t)kind, .phase = (uint16_t)m->p, .worker = from, .data_crc = crc, .a = a, .b = b};
    if (text)
        memcpy(r.text, text, DCV_RECORD_TEXT);
    must(m, dcv_journal_add(m->journal, &r));
}

static void heard_failed(master *m, int from, int64_t item, const char *text)
{
    failure f = {.item = item};
    memcpy(f.message, text, FAILURE_TEXT);
    if (m->failures)
        must(m, failures_add(m->failures, m->p, &f));
    char padded[FAILURE_TEXT + DCV_RECORD_TEXT] = "";
    memcpy(padded, f.message, FAILURE_TEXT);
    for (int64_t k = 0; k * DCV_RECORD_TEXT < FAILURE_TEXT && (!k || padded[k * DCV_RECORD_TEXT]); k++)
        note(m, from, DCV_RECORD_FAILED, item, k, 0, padded + k * DCV_RECORD_TEXT);
}

/* The record goes first; the units count once it is on disk. */
static void heard_units(master *m, int from, int grant, dcv_range units)
{
    note(m, from, DCV_RECORD_UNITS, units.first, units.count, 0, NULL);
    commits *c = &m->open;
    if (c->n == c->cap) {
        const int cap = c->cap ? 2 * c->cap : 64;
        commit *grown = dcv_realloc(c->at, (size_t)c->cap, (size_t)cap, sizeof *grown);
        if (!grown) {
            must(m, DCV_ENOMEM);
            return;
        }
        c->at = grown;
        c->cap = cap;
    }
    c->at[c->n++] = (commit){grant, &m->peer[from].out, units};
    c->n_units += units.count;
}

static void heard_entry(master *m, int from, const done_entry *e, const char *text)
{
    switch ((done_kind)e->kind) {
    case DONE_WROTE:
        note(m, from, DCV_RECORD_WROTE, e->a, e->b, e->crc, NULL);
        break;
    case DONE_FAILED:
        heard_failed(m, from, e->a, text);
        break;
    case DONE_UNITS:
        heard_units(m, from, e->number, (dcv_range){e->a, e->b});
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

/* --deadline: is there no time left for another unit and for writing it down? */
static bool too_late(const master *m)
{
    const double left = m->o.run->deadline_s - (now_s() - m->o.began_s);
    return m->o.run->deadline_s >= 0 && left < 1.1 * dcv_worklist_unit_s(m->list) + DEADLINE_MARGIN_S;
}

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

/* A chain that is done needs its states no more. */
static void drop_chain(const master *m, int64_t block)
{
    const block_place at = place_of(m, block);
    if (dcv_worklist_block_is_done(m->list, block))
        block_remove(&at);
}

/* These units are finished for good.  Items and work are counted once, also where a unit was computed twice. */
static void count_units(master *m, const commit *c)
{
    int64_t fresh = 0;
    for (int64_t u = c->units.first; u < c->units.first + c->units.count; u++)
        if (!dcv_worklist_is_done(m->list, u)) {
            count_items(m, (dcv_range){u, 1});
            m->sums.gflop += m->kind->unit_gflop(m->o.job, m->p, u);
        }
    must(m, dcv_worklist_finish(m->list, c->grant, c->units, &fresh));
    m->sums.units += fresh;
    *c->peer_out -= c->units.count;
    if (m->phase.chain > 0)
        drop_chain(m, c->units.first / m->phase.chain);
}

static void count_all(master *m, commits *c)
{
    for (int i = 0; i < c->n; i++)
        count_units(m, &c->at[i]);
    c->n = 0;
    c->n_units = 0;
}

static bool commit_end(master *m)
{
    if (!m->is_syncing || syncer_busy(m->syncer))
        return false;
    m->is_syncing = false;
    const int err = syncer_errno(m->syncer);
    if (err) {
        must(m, dcv_fail(DCV_EIO, "%s: journal: %s", m->o.out->final, strerror(err)));
        m->syncing.n = 0; /* not done, and never will be in this run */
    }
    count_all(m, &m->syncing);
    return true;
}

/* Write the records that have come, and sync them together. */
static bool commit_some(master *m)
{
    bool any = commit_end(m);
    const bool last = m->open.n_units == dcv_worklist_left(m->list) || m->stopping;
    if (m->is_syncing || !m->open.n || m->status != DCV_OK || (!last && now_s() - m->synced_s < COMMIT_S))
        return any;
    must(m, dcv_journal_write(m->journal));
    if (m->status != DCV_OK)
        return true;
    const commits spare = m->syncing;
    m->syncing = m->open;
    m->open = spare;
    m->synced_s = now_s();
    if (m->o.out->disk) {
        const int fd = dcv_journal_descriptor(m->journal);
        syncer_start(m->syncer, &fd, 1, NULL);
        m->is_syncing = true;
    } else {
        count_all(m, &m->syncing);
    }
    return true;
}

dcv_status master_put_partial(master *m, dcv_result *r)
{
    const block_range mine = plan_blocks(m->o.job->config, &m->phase);
    return fold_put_apart(m->fold, mine.first, mine.end, r);
}

static bool fold_some(master *m)
{
    bool any = false;
    if (m->status == DCV_OK)
        must(m, fold_step(m->fold, m->list, &any));
    return any;
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
    if (dcv_worklist_left(m->list) && too_late(m))
        m->stopping = true;
    bool any = serve(m);
    any |= commit_some(m);
    any |= fold_some(m);
    if (!dcv_worklist_left(m->list) && fold_is_complete(m->fold))
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
