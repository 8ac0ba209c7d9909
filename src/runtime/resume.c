/* resume.c -- see resume.h. */
#include <stdlib.h>
#include <string.h>

#include "deconvoy/journal.h"
#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "deconvoy/stop.h"
#include "runtime/resume.h"

#define RECENT_S 120 /* may have been under way to the disk when it stopped */
#define SAMPLE   100 /* one of so many others is looked at as well */

typedef struct pending { /* what one worker has said about units that do not count yet */
    int worker;
    written *at;
    int n_at, cap_at;
    failure *failed;
    int n_failed, cap_failed;
} pending;

typedef struct suspect { /* a stretch whose bytes are not those that a unit wrote */
    int phase;
    int64_t entry; /* of done[phase] */
    written at;
    bool cleared;
} suspect;

typedef struct replay {
    const dcv_output *o;
    resume *out;
    int64_t last_s;
    pending *worker;
    int n_workers;
    suspect *suspect;
    int n_suspects, cap_suspects;
    int64_t longest; /* bytes of a suspect stretch */
} replay;

static dcv_status grow(void **at, int n, int *cap, size_t size)
{
    if (n < *cap)
        return DCV_OK;
    const int more = *cap ? 2 * *cap : 8;
    void *grown = dcv_realloc(*at, (size_t)*cap, (size_t)more, size);
    if (!grown)
        return DCV_ENOMEM;
    *at = grown;
    *cap = more;
    return DCV_OK;
}

static void replay_clear(replay *p)
{
    for (int i = 0; i < p->n_workers; i++) {
        dcv_free(p->worker[i].at);
        dcv_free(p->worker[i].failed);
    }
    dcv_free(p->worker);
    dcv_free(p->suspect);
}

/* What an earlier start left unfinished does not count. */
static void forget_pending(replay *p)
{
    for (int i = 0; i < p->n_workers; i++)
        p->worker[i].n_at = p->worker[i].n_failed = 0;
}

static dcv_status pending_of(replay *p, int worker, pending **out)
{
    for (int i = 0; i < p->n_workers; i++)
        if (p->worker[i].worker == worker) {
            *out = &p->worker[i];
            return DCV_OK;
        }
    pending *grown = dcv_realloc(p->worker, (size_t)p->n_workers, (size_t)p->n_workers + 1, sizeof *grown);
    if (!grown)
        return DCV_ENOMEM;
    p->worker = grown;
    *out = &grown[p->n_workers++];
    (*out)->worker = worker;
    return DCV_OK;
}

static dcv_status find_last(void *ctx, const dcv_record *r)
{
    replay *p = ctx;
    if (r->time_s > p->last_s)
        p->last_s = r->time_s;
    return DCV_OK;
}

static dcv_status add_stretch(pending *w, const dcv_record *r)
{
    if (r->b == 0) {
        DCV_TRY(grow((void **)&w->failed, w->n_failed, &w->cap_failed, sizeof *w->failed));
        w->failed[w->n_failed++] = (failure){.item = r->a};
    }
    const int64_t at = r->b * DCV_RECORD_TEXT, room = FAILURE_TEXT - at;
    if (w->n_failed && w->failed[w->n_failed - 1].item == r->a && at >= 0 && room > 0)
        memcpy(w->failed[w->n_failed - 1].message + at, r->text,
               (size_t)(room < DCV_RECORD_TEXT ? room : DCV_RECORD_TEXT));
    return DCV_OK;
}

/* Compare the bytes of the file with those that were written; stretches that differ make the entry suspect. */
static dcv_status compare(replay *p, const pending *w, int phase, int64_t entry)
{
    for (int i = 0; i < w->n_at; i++) {
        uint32_t crc = 0;
        DCV_TRY(dcv_stop_check("comparing what is there with the journal"));
        if (dcv_store_crc(p->o->fd, w->at[i].offset, w->at[i].bytes, &crc) == DCV_OK && crc == w->at[i].crc)
            continue;
        DCV_TRY(grow((void **)&p->suspect, p->n_suspects, &p->cap_suspects, sizeof *p->suspect));
        p->suspect[p->n_suspects++] = (suspect){.phase = phase, .entry = entry, .at = w->at[i]};
        p->out->done[phase].at[entry].well = false;
    }
    return DCV_OK;
}

static bool looked_at(const replay *p, const dcv_record *r)
{
    const uint64_t mixed = (uint64_t)(r->a + r->phase) * UINT64_C(0x9e3779b97f4a7c15);
    return r->time_s >= p->last_s - RECENT_S || (mixed >> 32) % SAMPLE == 0;
}

/* Units in a row are one range, where the one before need not be told apart. */
static dcv_status add_range(unit_ranges *u, dcv_range r, bool alone)
{
    done_units *last = u->n ? &u->at[u->n - 1] : NULL;
    if (last && !alone && !last->alone && last->units.first + last->units.count == r.first) {
        last->units.count += r.count;
        return DCV_OK;
    }
    if (u->n == u->cap) {
        const int64_t cap = u->cap ? 2 * u->cap : 64;
        done_units *grown = dcv_realloc(u->at, (size_t)u->cap, (size_t)cap, sizeof *grown);
        if (!grown)
            return DCV_ENOMEM;
        u->at = grown;
        u->cap = cap;
    }
    u->at[u->n++] = (done_units){r, true, alone};
    return DCV_OK;
}

static dcv_status units_done(replay *p, pending *w, const dcv_record *r)
{
    dcv_status st = DCV_OK;
    if (r->phase < MAX_PHASES && r->a >= 0 && r->b >= 0) {
        unit_ranges *u = &p->out->done[r->phase];
        const bool look = w->n_at && looked_at(p, r);
        st = add_range(u, (dcv_range){r->a, r->b}, look);
        if (st == DCV_OK && look)
            st = compare(p, w, r->phase, u->n - 1);
        p->out->n_failed += w->n_failed;
    }
    w->n_at = w->n_failed = 0;
    return st;
}

static dcv_status take(void *ctx, const dcv_record *r)
{
    replay *p = ctx;
    pending *w;
    if (r->kind == DCV_RECORD_BEGIN)
        forget_pending(p);
    if (r->kind != DCV_RECORD_WROTE && r->kind != DCV_RECORD_FAILED && r->kind != DCV_RECORD_UNITS)
        return DCV_OK;
    DCV_TRY(pending_of(p, r->worker, &w));
    if (r->kind == DCV_RECORD_UNITS)
        return units_done(p, w, r);
    if (r->kind == DCV_RECORD_FAILED)
        return add_stretch(w, r);
    DCV_TRY(grow((void **)&w->at, w->n_at, &w->cap_at, sizeof *w->at));
    w->at[w->n_at++] = (written){r->a, r->b, r->data_crc};
    return DCV_OK;
}

/* --- Later phases may write over earlier ones ----------------------------------------- */

/* An item that fails in a later phase gets another status: what a unit of an earlier one wrote there cannot be judged
 * any more, and the unit is not to blame. */
static dcv_status clear_suspects(void *ctx, const dcv_record *r)
{
    replay *p = ctx;
    if (r->kind != DCV_RECORD_WROTE || !r->phase)
        return DCV_OK;
    int lo = 0; /* the first that may reach into the record's bytes */
    for (int hi = p->n_suspects; lo < hi;) {
        const int mid = lo + (hi - lo) / 2;
        if (p->suspect[mid].at.offset + p->longest <= r->a)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (suspect *s = p->suspect + lo; s < p->suspect + p->n_suspects && s->at.offset < r->a + r->b; s++)
        s->cleared = s->cleared || (r->phase > s->phase && r->a < s->at.offset + s->at.bytes);
    return DCV_OK;
}

static int by_offset(const void *a, const void *b)
{
    const suspect *x = a, *y = b;
    return (x->at.offset > y->at.offset) - (x->at.offset < y->at.offset);
}

static dcv_status judge_suspects(replay *p, const dcv_sha256 *plan)
{
    if (!p->n_suspects)
        return DCV_OK;
    qsort(p->suspect, (size_t)p->n_suspects, sizeof *p->suspect, by_offset);
    for (int i = 0; i < p->n_suspects; i++)
        p->longest = p->suspect[i].at.bytes > p->longest ? p->suspect[i].at.bytes : p->longest;
    DCV_TRY(dcv_journal_read(p->o->final, plan, clear_suspects, p));
    for (int i = 0; i < p->n_suspects; i++)
        p->out->done[p->suspect[i].phase].at[p->suspect[i].entry].well = true;
    for (int i = 0; i < p->n_suspects; i++)
        if (!p->suspect[i].cleared)
            p->out->done[p->suspect[i].phase].at[p->suspect[i].entry].well = false;
    for (int phase = 0; phase < MAX_PHASES; phase++)
        for (int64_t i = 0; i < p->out->done[phase].n; i++) {
            const done_units *d = &p->out->done[phase].at[i];
            if (!d->well && !p->out->distrusted)
                dcv_log_warning("%s: bytes of unit %lld are not those that were written; such units are computed again",
                                p->o->part, (long long)d->units.first);
            p->out->distrusted += d->well ? 0 : d->units.count;
        }
    return DCV_OK;
}

dcv_status resume_load(const dcv_output *o, const dcv_sha256 *plan, resume *out)
{
    *out = (resume){0};
    replay p = {.o = o, .out = out};
    dcv_status st = dcv_journal_read(o->final, plan, find_last, &p);
    if (st == DCV_OK)
        st = dcv_journal_read(o->final, plan, take, &p);
    if (st == DCV_OK)
        st = judge_suspects(&p, plan);
    replay_clear(&p);
    return st;
}

void resume_clear(resume *r)
{
    for (int p = 0; p < MAX_PHASES; p++)
        dcv_free(r->done[p].at);
    *r = (resume){0};
}

void resume_mark(const resume *r, int phase, uint8_t *done, int64_t n_units)
{
    const unit_ranges *u = &r->done[phase];
    for (int64_t i = 0; i < u->n; i++) {
        const dcv_range k = u->at[i].units;
        if (k.first < n_units)
            memset(done + k.first, u->at[i].well, (size_t)(k.count < n_units - k.first ? k.count : n_units - k.first));
    }
}

/* --- Failed items --------------------------------------------------------------------- */

typedef struct failing {
    replay p; /* only what workers have said */
    int phase;
    const uint8_t *done;
    int64_t n_units, number; /* of the record among those of the phase's units */
    int64_t *last;           /* [n_units] number of the last record of each unit */
    bool numbering;          /* the first of two readings */
    failures *f;
} failing;

/* A unit that was computed again says the last word on its items. */
static bool counts(const failing *x, dcv_range r)
{
    for (int64_t u = r.first; u < r.first + r.count; u++)
        if (u >= x->n_units || !x->done[u] || x->last[u] != x->number)
            return false;
    return true;
}

static dcv_status units_failing(failing *x, pending *w, const dcv_record *r)
{
    const dcv_range units = {r->a, r->b};
    dcv_status st = DCV_OK;
    if (r->phase == x->phase && r->a >= 0 && r->b >= 0) {
        x->number++;
        for (int64_t u = r->a; x->numbering && u < r->a + r->b && u < x->n_units; u++)
            x->last[u] = x->number;
        for (int i = 0; !x->numbering && i < w->n_failed && st == DCV_OK; i++)
            if (w->failed[i].item >= 0 && w->failed[i].item < x->p.o->n_items && counts(x, units))
                st = failures_add(x->f, x->phase, &w->failed[i]);
    }
    w->n_failed = 0;
    return st;
}

static dcv_status take_failing(void *ctx, const dcv_record *r)
{
    failing *x = ctx;
    pending *w;
    if (r->kind == DCV_RECORD_BEGIN)
        forget_pending(&x->p);
    if (r->kind != DCV_RECORD_FAILED && r->kind != DCV_RECORD_UNITS)
        return DCV_OK;
    DCV_TRY(pending_of(&x->p, r->worker, &w));
    return r->kind == DCV_RECORD_UNITS ? units_failing(x, w, r) : add_stretch(w, r);
}

dcv_status resume_failures(const resume *r, const dcv_output *o, const dcv_sha256 *plan, int phase, const uint8_t *done,
                           int64_t n_units, failures *f)
{
    if (!r->n_failed || !f)
        return DCV_OK;
    failing x = {.p.o = o, .phase = phase, .done = done, .n_units = n_units, .f = f, .numbering = true};
    x.last = dcv_alloc((size_t)n_units, sizeof *x.last);
    dcv_status st = x.last ? dcv_journal_read(o->final, plan, take_failing, &x) : DCV_ENOMEM;
    x.numbering = false;
    x.number = 0;
    forget_pending(&x.p);
    if (st == DCV_OK)
        st = dcv_journal_read(o->final, plan, take_failing, &x);
    replay_clear(&x.p);
    dcv_free(x.last);
    return st;
}
