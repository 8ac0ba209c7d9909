/* run.c -- a run from plan to sealed file, the same steps on every rank.
 *
 * Between any two steps the ranks agree on the worst status, so that all leave at the same line.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "deconvoy/run.h"
#include "deconvoy/stop.h"
#include "runtime/blocks.h"
#include "runtime/budget.h"
#include "runtime/cache.h"
#include "runtime/faults.h"
#include "runtime/file.h"
#include "runtime/inputs.h"
#include "runtime/lease.h"
#include "runtime/orphans.h"
#include "deconvoy/journal.h"
#include "runtime/master.h"
#include "runtime/plan.h"
#include "runtime/runjson.h"
#include "runtime/share.h"
#include "runtime/signals.h"
#include "runtime/together.h"
#include "runtime/wire.h"
#include "runtime/worker.h"

#define MASTER_ONLY 16 /* above so many ranks, rank 0 only passes work out */
#define ALONE_NAP_S 20e-3

typedef struct run {
    const dcv_job_kind *kind;
    const dcv_config *c;
    const dcv_run_options *o;
    bool *speaks;
    int rank, size;
    dcv_job *job;
    dcv_share *share;
    dcv_store *store;
    dcv_output *out;
    fault_list faults;
    lease *lease; /* rank 0 */
    plan_hash hash;
    worker *worker;
    master *master;              /* rank 0 */
    bool complete;               /* the result is there already */
    bool resumes;                /* an earlier start left its .part */
    bool told;                   /* run.json is written */
    dcv_together_tally together; /* of phases that all ranks compute together */
    double together_s;           /* that this rank spent in them, reading and writing apart */
    int64_t together_items;
    double began_s;
    time_t started;
} run;

/* All ranks go on, or none. */
#define TOGETHER(r, call)                                                                                              \
    do {                                                                                                               \
        dcv_status all_ = dcv_agree((call), (r)->speaks);                                                              \
        if (all_ != DCV_OK)                                                                                            \
            return all_;                                                                                               \
    } while (0)

/* --- Plan -------------------------------------------------------------------------- */

static dcv_status open_job(run *r)
{
    DCV_TRY(share_new(&r->share));
    const dcv_status st = r->kind->open(r->c, r->share, (int)r->c->runtime.threads, &r->job);
    share_end(r->share, st);
    return st;
}

typedef struct inputs { /* what ranks must agree in */
    char model[65], data[65], numerics[128];
} inputs;

/* All ranks have read the same model and data set.  Rank 0 judges. */
static dcv_status same_inputs(run *r)
{
    inputs mine = {0}, *all = r->rank ? NULL : dcv_alloc((size_t)r->size, sizeof *all);
    DCV_CHECK(all || r->rank);
    memcpy(mine.model, r->job->model_sha256.hex, 64);
    memcpy(mine.data, r->job->dataset_sha256.hex, 64);
    snprintf(mine.numerics, sizeof mine.numerics, "%s", r->job->numerics ? r->job->numerics : "");
    wire_gather(&mine, all, sizeof mine);
    dcv_status st = DCV_OK;
    for (int i = 1; !r->rank && i < r->size && st == DCV_OK; i++) {
        if (strcmp(all[0].model, all[i].model))
            st = dcv_fail(DCV_EDATA, "%s: not the same file on all ranks: SHA-256 %s on rank 0, %s on rank %d",
                          r->c->model.file ? r->c->model.file : "model", all[0].model, all[i].model, i);
        else if (strcmp(all[0].data, all[i].data))
            st = dcv_fail(DCV_EDATA,
                          "%s: not the same files on all ranks: manifest's SHA-256 %s on rank 0, %s on rank %d",
                          r->c->dataset.source ? r->c->dataset.source : "data set", all[0].data, all[i].data, i);
        else if (strcmp(all[0].numerics, all[i].numerics))
            st = dcv_fail(DCV_ECONFIG,
                          "rank 0 computes with %s, rank %d with %s; expected the same libraries everywhere",
                          all[0].numerics, i, all[i].numerics);
    }
    dcv_free(all);
    return st;
}

/* A slice has its part of the first phase.  What later phases need is known only once all parts are together. */
static dcv_status declare_slice(run *r)
{
    dcv_phase first = {0};
    DCV_TRY(r->kind->phase(r->job, 0, &first));
    if (!plan_gathers(&first))
        return r->job->n_phases == 1
                   ? DCV_OK
                   : dcv_config_fail(r->c, "dataset.slice", "a job of this kind cannot be cut into slices");
    const block_range b = plan_blocks(r->c, &first);
    return output_declare_partial(r->out, r->store, b.end - b.first, first.state_bytes);
}

static dcv_status declare(run *r)
{
    DCV_TRY(dcv_store_new(&r->store));
    DCV_TRY(plan_hash_of(r->c, r->job, &r->hash));
    DCV_TRY(plan_stamp(r->c, r->job, &r->hash, r->store));
    DCV_TRY(r->kind->declare(r->job, r->store));
    DCV_TRY(output_new(r->c, &r->out));
    DCV_TRY(output_declare(r->out, r->store, r->job->n_items));
    return plan_is_slice(r->c) ? declare_slice(r) : DCV_OK;
}

/* What cannot fit is refused before a file is there. */
static dcv_status check_memory(run *r)
{
    dcv_phase first = {0};
    budget b;
    DCV_TRY(r->kind->phase(r->job, 0, &first));
    if (r->kind->fits)
        DCV_TRY(r->kind->fits(r->job, r->size, wire_size(WIRE_NODE), NULL));
    return budget_of(r->c, r->job, &first, r->rank == 0, wire_size(WIRE_NODE), &b);
}

/* --- Output ------------------------------------------------------------------------ */

/* Nothing of a run but its result and run.json stays. */
static dcv_status tidy(const dcv_output *o)
{
    DCV_TRY(dcv_journal_remove(o->final));
    inputs_remove(o);
    faults_remove(o);
    return blocks_remove_all(o);
}

static dcv_status remove_part(const dcv_output *o)
{
    char *tmp = dcv_format("%s.tmp", o->part);
    if (!tmp)
        return DCV_ENOMEM;
    unlink(tmp);
    dcv_free(tmp);
    return unlink(o->part) && errno != ENOENT ? dcv_fail(DCV_EIO, "%s: %s", o->part, strerror(errno)) : DCV_OK;
}

static dcv_status another_plan(const run *r, const char *file, const char *differs)
{
    return dcv_config_fail(r->c, "output",
                           "%s is there and belongs to another plan: %s; give another output, or --fresh to replace it",
                           file, differs);
}

/* Of this plan, of another, or not there. */
typedef struct found {
    bool there;
    char *differs; /* NULL: of this plan */
} found;

static dcv_status look(const run *r, const char *file, found *out)
{
    *out = (found){.there = !access(file, F_OK)};
    return out->there ? plan_compare(file, r->c, r->job, &r->hash, &out->differs) : DCV_OK;
}

/* A .part of this plan is gone on with, also beside an old result, be it of this plan as well: somebody wanted it
 * --fresh and was stopped.  Without one a finished result of this plan is the end; anything else is in the way. */
static dcv_status judge(run *r, const found *final, const found *part)
{
    r->resumes = part->there && !part->differs;
    r->complete = !r->resumes && final->there && !final->differs;
    if (r->complete && !part->there) { /* what a start may have left that was ended right after its last rename */
        DCV_TRY(remove_part(r->out));
        return tidy(r->out);
    }
    if (r->complete || r->resumes)
        return DCV_OK;
    if (part->there && !strcmp(part->differs, "dataset.source (its content)")) /* say which item */
        DCV_TRY(inputs_compare(r->out, r->c, r->job->dataset));
    if (part->there)
        return another_plan(r, r->out->part, part->differs);
    return final->there ? another_plan(r, r->out->final, final->differs) : DCV_OK;
}

static dcv_status look_around(run *r)
{
    found final = {0}, part = {0};
    dcv_status st = look(r, r->out->final, &final);
    if (st == DCV_OK)
        st = look(r, r->out->part, &part);
    if (st == DCV_OK)
        st = judge(r, &final, &part);
    dcv_free(final.differs);
    dcv_free(part.differs);
    return st;
}

static dcv_status go_on(run *r)
{
    DCV_TRY(plan_same_program(r->out->part, r->c, r->job));
    DCV_TRY(inputs_compare(r->out, r->c, r->job->dataset));
    return output_attach(r->out);
}

/* An old journal must be gone, for good, before a new .part takes its place. */
static dcv_status start_over(run *r)
{
    DCV_TRY(output_space(r->out)); /* before anything is given up for it */
    DCV_TRY(tidy(r->out));
    const int err = r->out->disk ? file_sync_folder(r->out->folder) : 0;
    if (err)
        return dcv_fail(DCV_EIO, "%s: %s", r->out->folder, strerror(err));
    dcv_status st = inputs_keep(r->out, r->job->dataset);
    if (st == DCV_OK)
        st = output_create(r->out);
    if (st != DCV_OK)
        inputs_remove(r->out);
    return st;
}

/* --fresh replaces results, never somebody's file. */
static dcv_status is_ours(const run *r)
{
    dcv_h5 *f = NULL;
    if (access(r->out->final, F_OK))
        return DCV_OK;
    char *format = dcv_h5_open(r->out->final, &f) == DCV_OK ? dcv_h5_attribute(f, "/", "format") : NULL;
    const bool ours = format && strcmp(format, "deconvoy") == 0;
    dcv_free(format);
    dcv_h5_close(f);
    return ours ? DCV_OK
                : dcv_config_fail(r->c, "output",
                                  "%s is there and is no result of deconvoy; give another output, or remove it",
                                  r->out->final);
}

static dcv_status make_output(run *r)
{
    DCV_TRY(output_folder(r->out));
    DCV_TRY(lease_take(r->out, r->c->runtime.wait, &r->lease));
    DCV_TRY(r->o->fresh ? is_ours(r) : look_around(r));
    if (r->complete)
        return DCV_OK;
    return r->resumes ? go_on(r) : start_over(r);
}

static dcv_status open_output(run *r)
{
    const int n = dcv_store_count(r->store);
    int64_t *offset = dcv_alloc((size_t)n, sizeof *offset);
    DCV_CHECK(offset);
    if (!r->rank)
        dcv_store_offsets(r->store, offset);
    wire_bcast(WIRE_WORLD, 0, offset, n * (int64_t)sizeof *offset);
    if (r->rank)
        dcv_store_set_offsets(r->store, offset);
    dcv_free(offset);
    return output_open(r->out);
}

/* --- Phases ------------------------------------------------------------------------ */

/* Units that are not to be computed, as rank 0 has found them. */
static dcv_status learn_faults(run *r)
{
    const dcv_status st = r->rank ? DCV_OK : faults_read(r->out, &r->hash.plan, &r->faults);
    int32_t n = r->faults.n;
    wire_bcast(WIRE_WORLD, 0, &n, sizeof n);
    if (r->rank) {
        r->faults.at = dcv_alloc((size_t)n, sizeof *r->faults.at);
        r->faults.n = n;
        DCV_CHECK(r->faults.at);
    }
    wire_bcast(WIRE_WORLD, 0, r->faults.at, n * (int64_t)sizeof *r->faults.at);
    return st == DCV_OK ? faults_watch(r->out, &r->hash.plan) : st;
}

/* The plan has been checked: it is the same on all ranks of a node, and none leaves before the rooms are there. */
static dcv_status make_rooms(run *r)
{
    dcv_phase first = {0};
    budget b;
    if (!r->job->cache)
        return DCV_OK;
    dcv_status st = r->kind->phase(r->job, 0, &first);
    if (st == DCV_OK)
        st = budget_of(r->c, r->job, &first, r->rank == 0, wire_size(WIRE_NODE), &b);
    DCV_CHECK(st == DCV_OK);
    return cache_start(r->job->cache, b.rooms);
}

static dcv_status start_team(run *r)
{
    dcv_phase first = {0};
    budget b;
    DCV_TRY(r->kind->phase(r->job, 0, &first));
    DCV_TRY(budget_of(r->c, r->job, &first, r->rank == 0, wire_size(WIRE_NODE), &b));
    const bool computes = r->rank || r->size <= MASTER_ONLY;
    const int threads = (int)r->c->runtime.threads;
    const team_options t = {r->job, r->out, &r->hash.plan, computes ? threads : 0, b.read_ahead, &r->faults};
    DCV_TRY(worker_new(&t, &r->worker));
    if (r->rank)
        return DCV_OK;
    const master_options m = {r->job,        r->out,
                              &r->hash.plan, r->o,
                              r->size,       r->size <= MASTER_ONLY ? r->size : r->size - 1,
                              threads,       r->c->runtime.progress,
                              r->began_s};
    return master_new(&m, &r->master);
}

static dcv_status begin_phase(run *r, int p, dcv_phase *phase)
{
    budget b;
    *phase = (dcv_phase){0};
    DCV_TRY(r->kind->phase(r->job, p, phase));
    DCV_TRY(budget_of(r->c, r->job, phase, r->rank == 0, wire_size(WIRE_NODE), &b));
    DCV_TRY(worker_phase(r->worker, p, phase));
    return r->master ? master_phase(r->master, p, phase) : DCV_OK;
}

static void hear(run *r, const wire_message *m)
{
    if (m->tag == WIRE_GRANT || m->tag == WIRE_STOP)
        worker_hear(r->worker, m);
    else if (r->master)
        master_hear(r->master, m);
}

static double nap_s(const run *r, int tries)
{
    const double s = wire_nap_s(tries);
    return r->size == 1 && s >= 1e-3 ? ALONE_NAP_S : s; /* nobody can call; own threads wake us */
}

/* Pass messages and work on until this rank, and on rank 0 every rank, is through with the phase. */
static void pass_work(run *r)
{
    wire_message m;
    for (int tries = 0; !worker_is_through(r->worker) || (r->master && !master_is_through(r->master));) {
        bool any = false;
        while (wire_next(&m)) {
            hear(r, &m);
            any = true;
        }
        if (dcv_stop_asked() || lease_is_lost(r->lease))
            worker_stop(r->worker);
        any |= worker_step(r->worker);
        if (r->master)
            any |= master_step(r->master);
        tries = any ? 0 : tries + 1;
        if (tries && nap_s(r, tries) > 0)
            team_wait(worker_team(r->worker), nap_s(r, tries));
    }
}

static dcv_status outcome(run *r)
{
    const dcv_status mine = worker_status(r->worker);
    if (mine == DCV_EDATA)
        return dcv_fail(
            mine,
            "%s; what is done is kept: run again once this can be read (with --fresh, where its size has to "
            "change: that is another data set)",
            worker_message(r->worker));
    if (mine != DCV_OK || !r->master)
        return mine;
    return master_status(r->master);
}

/* Rank 0 turns the folded state into regions. */
static dcv_status finish(run *r, int p, const dcv_phase *phase)
{
    if (!r->master || !plan_gathers(phase) || !r->kind->finish)
        return DCV_OK;
    dcv_result res = {.out = r->out};
    dcv_status st = plan_is_slice(r->c) ? master_put_partial(r->master, &res)
                                        : r->kind->finish(r->job, p, master_state(r->master), &res);
    for (int i = 0; st == DCV_OK && i < res.n_failed; i++)
        st = failures_add(master_failures(r->master), p, &res.failed[i]);
    result_clear(&res);
    return st == DCV_OK ? output_sync(r->out) : st;
}

static dcv_status learn(run *r, int p, const dcv_phase *phase)
{
    if (!plan_gathers(phase) || !r->kind->learn)
        return DCV_OK;
    void *state = r->master ? master_state(r->master) : dcv_alloc(1, phase->state_bytes);
    DCV_CHECK(state);
    wire_bcast(WIRE_WORLD, 0, state, (int64_t)phase->state_bytes);
    const dcv_status st = r->kind->learn(r->job, p, state);
    if (!r->master)
        dcv_free(state);
    return st;
}

static void keep_tally(run *r, const dcv_together_tally *t, double spent_s)
{
    r->together_s += spent_s - t->read_s - t->write_s;
    r->together.read_s += t->read_s;
    r->together.write_s += t->write_s;
    r->together.gflop += t->gflop;
    r->together.units += t->units;
    r->together.kept += t->kept;
    r->together.gone_on += t->gone_on;
}

/* All ranks at once: nothing to grant. */
static dcv_status compute_together(run *r, int p, const dcv_phase *phase)
{
    const double began_s = now_s();
    dcv_result res = {.out = r->out};
    const together_options o = {.out = r->out,
                                .plan = &r->hash.plan,
                                .lease = r->lease,
                                .phase = p,
                                .threads = (int)r->c->runtime.threads,
                                .deadline_s = r->o->deadline_s,
                                .began_s = r->began_s,
                                .progress = r->c->runtime.progress};
    dcv_together *t;
    TOGETHER(r, together_new(&o, &t));
    dcv_status st = r->kind->together(r->job, p, t, &res);
    r->together_items += phase->n_items;
    keep_tally(r, together_tally(t), now_s() - began_s);
    together_free(t);
    for (int i = 0; r->master && st == DCV_OK && i < res.n_failed; i++)
        st = failures_add(master_failures(r->master), p, &res.failed[i]);
    result_clear(&res);
    return st == DCV_OK ? output_sync(r->out) : st;
}

static dcv_status run_phase(run *r, int p)
{
    dcv_phase phase = {0};
    TOGETHER(r, r->kind->phase(r->job, p, &phase));
    if (phase.together)
        return dcv_agree(compute_together(r, p, &phase), r->speaks);
    TOGETHER(r, begin_phase(r, p, &phase));
    pass_work(r);
    TOGETHER(r, outcome(r));
    TOGETHER(r, finish(r, p, &phase));
    if (!plan_is_slice(r->c))
        TOGETHER(r, learn(r, p, &phase));
    return DCV_OK;
}

/* --- The end ----------------------------------------------------------------------- */

static void warn_of_failures(const failures *f, long long failed, long long items)
{
    int64_t often;
    char *why = failures_commonest(f, &often);
    if (why && often > 1)
        dcv_log_warning("%lld of %lld items failed; the first: %s; most often, %lld times: %s", failed, items,
                        failures_first(f), (long long)often, why);
    else
        dcv_log_warning("%lld of %lld items failed; the first: %s", failed, items, failures_first(f));
    dcv_free(why);
}

static dcv_status put_failures(run *r)
{
    failures *f = r->master ? master_failures(r->master) : NULL;
    if (!f)
        return DCV_OK;
    dcv_result res = {.out = r->out};
    const dcv_status st = failures_put(f, &res);
    result_clear(&res);
    DCV_TRY(st);
    const long long failed = failures_count(f), items = r->job->n_items;
    if (failed == items) { /* nothing is worth going on with, and a mended configuration is another plan */
        DCV_TRY(remove_part(r->out));
        DCV_TRY(tidy(r->out));
        return dcv_fail(DCV_EDATA, "every one of %lld items failed; the first: %s", items, failures_first(f));
    }
    if (failed > 0)
        warn_of_failures(f, failed, items);
    return output_sync(r->out);
}

static dcv_status seal(run *r)
{
    TOGETHER(r, put_failures(r));
    TOGETHER(r, output_checksums(r->out));
    TOGETHER(r, r->rank ? DCV_OK : output_seal(r->out));
    TOGETHER(r, r->rank ? DCV_OK : tidy(r->out));
    return DCV_OK;
}

static int64_t peak_rss(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    int64_t bytes = (int64_t)u.ru_maxrss * 1024;
    wire_max_i64(&bytes, 1);
    return bytes;
}

/* What the job's cache has come to, over all nodes.  Collective. */
static void tell_cache(const run *r)
{
    if (!r->job->cache)
        return;
    const cache_facts f = cache_told(r->job->cache);
    double sum[] = {(double)f.made, (double)f.rooms, (double)f.bytes};
    wire_sum_f64(sum, 3);
    if (!r->rank)
        dcv_log_info("%s: %.0f made, in %.0f rooms of %.0f bytes in all", cache_what(r->job->cache), sum[0], sum[1],
                     sum[2]);
}

/* NAME.run.json.  Collective. */
static dcv_status keep_facts(run *r)
{
    tell_cache(r);
    const team_times t = team_spent(worker_team(r->worker));
    const dcv_together_tally *o = &r->together;
    double sum[] = {t.compute_s + r->together_s, t.read_s + o->read_s, t.write_s + o->write_s, t.wait_s};
    wire_sum_f64(sum, 4);
    run_facts f = {.ranks = r->size, .threads = r->c->runtime.threads, .peak_rss_bytes = peak_rss()};
    char *hosts = runjson_hosts();
    dcv_status st = DCV_OK;
    if (!r->rank) {
        const master_sums *s = master_totals(r->master);
        f.items = r->job->n_items + r->together_items;
        f.units = s->units + o->units;
        f.resumed_units = s->resumed_units + o->kept + o->gone_on;
        f.failed_items = failures_count(master_failures(r->master));
        f.compute_s = sum[0];
        f.read_s = sum[1];
        f.write_s = sum[2];
        f.wait_s = sum[3];
        f.gflop = s->gflop + o->gflop;
        f.wall_s = now_s() - r->began_s;
        f.started = r->started;
        f.finished = time(NULL);
        f.hosts = hosts;
        f.fresh_share = f.units ? (double)(f.units - s->resumed_units - o->kept) / (double)f.units : 0;
        st = runjson_write(r->out, &f);
    }
    r->told = true;
    dcv_free(hosts);
    return st;
}

/* Somebody asked for an end before there was anything to tell: that too is told, but never in place of what another
 * start has to say. */
static void keep_early_facts(run *r)
{
    if (r->rank || r->told || !dcv_stop_asked() || (!r->out && output_new(r->c, &r->out) != DCV_OK))
        return;
    char *message = dcv_strdup(dcv_message()), *file = dcv_format("%s.run.json", r->out->stem);
    const run_facts f = {.ranks = r->size,
                         .threads = r->c->runtime.threads,
                         .items = r->job ? r->job->n_items : 0,
                         .wall_s = now_s() - r->began_s,
                         .started = r->started,
                         .finished = time(NULL)};
    dcv_status st = file && access(file, F_OK) ? output_folder(r->out) : DCV_ESTOP;
    if (st == DCV_OK)
        st = runjson_write(r->out, &f);
    if (message && *message)
        (void)dcv_fail(DCV_ESTOP, "%s", message); /* whatever became of it: why it stopped is what counts */
    dcv_free(message);
    dcv_free(file);
}

static dcv_status work(run *r)
{
    TOGETHER(r, open_job(r));
    TOGETHER(r, same_inputs(r));
    TOGETHER(r, declare(r));
    TOGETHER(r, check_memory(r));
    TOGETHER(r, r->rank ? DCV_OK : make_output(r));
    int32_t complete = r->complete;
    wire_max_i32(WIRE_WORLD, &complete, 1);
    if (complete) {
        dcv_log_info("%s is complete already; --fresh computes it again", r->out->final);
        return DCV_OK;
    }
    TOGETHER(r, open_output(r));
    TOGETHER(r, learn_faults(r));
    TOGETHER(r, make_rooms(r));
    TOGETHER(r, start_team(r));
    dcv_status st = DCV_OK;
    for (int p = 0; p < (plan_is_slice(r->c) ? 1 : r->job->n_phases) && st == DCV_OK; p++)
        st = run_phase(r, p);
    if (st == DCV_OK)
        st = seal(r);
    if (st != DCV_OK && st != DCV_ESTOP)
        return st;
    bool speaks = *r->speaks, facts_speak;
    char *message = dcv_strdup(dcv_message());
    const dcv_status facts = dcv_agree(keep_facts(r), &facts_speak);
    if (st == DCV_OK)
        *r->speaks = facts_speak;
    else if (speaks)
        (void)dcv_fail(st, "%s", message ? message : "");
    dcv_free(message);
    return st == DCV_OK ? facts : st;
}

void dcv_run_prepare(void)
{
    signals_catch();
}

dcv_status dcv_run(const dcv_job_kind *kind, const dcv_config *c, const dcv_run_options *o, bool *speaks)
{
    run r = {.kind = kind,
             .c = c,
             .o = o,
             .speaks = speaks,
             .rank = wire_rank(WIRE_WORLD),
             .size = wire_size(WIRE_WORLD),
             .began_s = now_s(),
             .started = time(NULL)};
    *speaks = false;
    signals_catch();
    if (wire_rank(WIRE_NODE) == 0)
        orphans_remove();
    wire_listen();
    const dcv_status st = work(&r);
    if (st == DCV_ESTOP)
        keep_early_facts(&r);
    wire_deaf();
    faults_unwatch();
    dcv_free(r.faults.at);
    worker_free(r.worker);
    master_free(r.master);
    lease_free(r.lease);
    output_free(r.out);
    dcv_store_free(r.store);
    if (r.job)
        kind->close(r.job);
    share_free(r.share);
    return st;
}
