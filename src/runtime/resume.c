/* resume.c -- see resume.h. */
#include <stdio.h>
#include <string.h>

#include "deconvoy/journal.h"
#include "deconvoy/log.h"
#include "deconvoy/memory.h"
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

typedef struct replay {
    const dcv_output *o;
    failures *failures;
    resume *out;
    int64_t last_s;
    pending *worker;
    int n_workers;
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

/* Are the bytes of the file those that were written? */
static bool trusted(const replay *p, const pending *w)
{
    for (int i = 0; i < w->n_at; i++) {
        uint32_t crc = 0;
        if (dcv_store_crc(p->o->fd, w->at[i].offset, w->at[i].bytes, &crc) != DCV_OK || crc != w->at[i].crc)
            return false;
    }
    return true;
}

static bool looked_at(const replay *p, const dcv_record *r)
{
    const uint64_t mixed = (uint64_t)(r->a + r->phase) * UINT64_C(0x9e3779b97f4a7c15);
    return r->time_s >= p->last_s - RECENT_S || (mixed >> 32) % SAMPLE == 0;
}

/* Units in a row are one range. */
static dcv_status add_range(unit_ranges *u, dcv_range r)
{
    if (u->n && u->at[u->n - 1].first + u->at[u->n - 1].count == r.first) {
        u->at[u->n - 1].count += r.count;
        return DCV_OK;
    }
    if (u->n == u->cap) {
        const int64_t cap = u->cap ? 2 * u->cap : 64;
        dcv_range *grown = dcv_realloc(u->at, (size_t)u->cap, (size_t)cap, sizeof *grown);
        if (!grown)
            return DCV_ENOMEM;
        u->at = grown;
        u->cap = cap;
    }
    u->at[u->n++] = r;
    return DCV_OK;
}

static dcv_status units_done(replay *p, pending *w, const dcv_record *r)
{
    dcv_status st = DCV_OK;
    if (r->phase >= MAX_PHASES || r->a < 0 || r->b < 0)
        return DCV_OK;
    for (int i = 0; i < w->n_failed && p->failures && st == DCV_OK; i++)
        if (w->failed[i].item >= 0 && w->failed[i].item < p->o->n_items)
            st = failures_add(p->failures, r->phase, &w->failed[i]);
    if (looked_at(p, r) && !trusted(p, w)) {
        p->out->distrusted += r->b;
        if (p->out->distrusted == r->b)
            dcv_log_warning("%s: bytes of unit %lld are not those that were written; such units are computed again",
                            p->o->part, (long long)r->a);
    } else if (st == DCV_OK) {
        p->out->units += r->b;
        st = add_range(&p->out->done[r->phase], (dcv_range){r->a, r->b});
    }
    w->n_at = w->n_failed = 0;
    return st;
}

static dcv_status take(void *ctx, const dcv_record *r)
{
    replay *p = ctx;
    pending *w;
    if (r->kind == DCV_RECORD_BEGIN) /* what an earlier start left unfinished does not count */
        for (int i = 0; i < p->n_workers; i++)
            p->worker[i].n_at = p->worker[i].n_failed = 0;
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

dcv_status resume_load(const dcv_output *o, const dcv_sha256 *plan, failures *f, resume *out)
{
    *out = (resume){0};
    replay p = {.o = o, .failures = f, .out = out};
    dcv_status st = dcv_journal_read(o->final, plan, find_last, &p);
    if (st == DCV_OK)
        st = dcv_journal_read(o->final, plan, take, &p);
    for (int i = 0; i < p.n_workers; i++) {
        dcv_free(p.worker[i].at);
        dcv_free(p.worker[i].failed);
    }
    dcv_free(p.worker);
    return st;
}

void resume_clear(resume *r)
{
    for (int p = 0; p < MAX_PHASES; p++)
        dcv_free(r->done[p].at);
    *r = (resume){0};
}
