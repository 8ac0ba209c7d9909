/* check.c -- what a run would do, without doing it. */
#include <unistd.h>

#include "deconvoy/journal.h"
#include "deconvoy/memory.h"
#include "deconvoy/run.h"
#include "deconvoy/stop.h"
#include "runtime/budget.h"
#include "runtime/cache.h"
#include "runtime/file.h"
#include "runtime/part.h"
#include "runtime/plan.h"

static const double nominal_gflops = 50; /* of a thread: the speed that runtime.unit_seconds is counted at */

static double gflop_of(const dcv_job_kind *kind, const dcv_job *job, int p, const dcv_phase *phase)
{
    double sum = 0;
    for (int64_t u = 0; u < phase->n_units; u++)
        sum += kind->unit_gflop(job, p, u);
    return sum;
}

/* "12 s", "3 min", "5.2 h", "8.1 days". */
static void print_estimate(double gflop, int64_t threads, int ranks, FILE *to)
{
    const double s = gflop / (nominal_gflops * (double)threads * ranks);
    fprintf(to,
            "time: about %.3g %s at a nominal %g GFLOP/s a thread (%d ranks, threads: %lld); `deconvoy bench` "
            "measures the true speed\n",
            s < 120      ? s
            : s < 7200   ? s / 60
            : s < 172800 ? s / 3600
                         : s / 86400,
            s < 120      ? "s"
            : s < 7200   ? "min"
            : s < 172800 ? "h"
                         : "days",
            nominal_gflops, ranks, (long long)threads);
}

/* Only the first phase is known before work has begun; later ones depend on what it finds. */
static dcv_status explain_work(const dcv_job_kind *kind, dcv_job *job, const dcv_config *c, int ranks, FILE *to)
{
    dcv_phase phase = {0};
    DCV_TRY(kind->phase(job, 0, &phase));
    const double gflop = gflop_of(kind, job, 0, &phase);
    fprintf(to, "phase %s: %lld items in %lld units, %.4g GFLOP (%.3g a unit)\n", phase.name, (long long)phase.n_items,
            (long long)phase.n_units, gflop, phase.n_units ? gflop / (double)phase.n_units : 0);
    if (gflop > 0)
        print_estimate(gflop, c->runtime.threads, ranks, to);
    if (job->n_phases > 1)
        fprintf(to, "phases: %d; the units of later ones depend on what the first finds\n", job->n_phases);
    return DCV_OK;
}

/* What is kept in common, where it is. */
static void print_rooms(const dcv_job *job, const budget *b, FILE *to)
{
    file_size_text t;
    if (b && b->rooms)
        fprintf(to, ", %s of %lld item%s%s: %s", cache_what(job->cache), (long long)b->rooms, b->rooms == 1 ? "" : "s",
                b->sharers > 1 ? " once" : "", file_size_print(b->rooms_bytes, t));
}

static dcv_status explain_memory(const dcv_job_kind *kind, dcv_job *job, const dcv_config *c, int ranks, FILE *to)
{
    dcv_phase phase = {0};
    budget b;
    file_size_text t[4];
    if (kind->fits)
        return kind->fits(job, ranks, ranks, to);
    DCV_TRY(kind->phase(job, 0, &phase));
    DCV_TRY(budget_of(c, job, &phase, true, ranks, &b));
    const int64_t own = b.rooms && b.sharers == 1 ? b.rooms_bytes : 0, all = b.rooms_bytes - own;
    const int64_t rank = b.threads_bytes + b.units_bytes + b.states_bytes + b.ahead_bytes + own;
    fprintf(to, "memory per rank: %s (%lld threads: %s, inputs of units: %s, read ahead: %d units",
            file_size_print(rank, t[0]), (long long)c->runtime.threads, file_size_print(b.threads_bytes, t[1]),
            file_size_print(b.units_bytes, t[2]), b.read_ahead);
    print_rooms(job, b.sharers == 1 ? &b : NULL, to);
    fprintf(to, ")\nmemory per node with %d ranks: %s (weights once: %s", ranks,
            file_size_print(job->weight_bytes + all + ranks * rank, t[0]), file_size_print(job->weight_bytes, t[1]));
    print_rooms(job, b.sharers > 1 ? &b : NULL, to);
    fprintf(to, ")\n");
    return DCV_OK;
}

/* A .part: how far it is, or why it cannot be gone on with. */
static dcv_status explain_part(const dcv_output *o, const dcv_config *c, const dcv_job *job, const plan_hash *h,
                               FILE *to)
{
    if (access(o->part, F_OK))
        return DCV_OK;
    char *differs;
    dcv_journal_summary j;
    DCV_TRY(plan_compare(o->part, c, job, h, &differs));
    dcv_status st = dcv_journal_summarise(o->final, &j);
    if (st == DCV_OK && differs)
        fprintf(to, "under way: another plan (%s); run would refuse (78) without --fresh\n", differs);
    else if (st == DCV_OK)
        fprintf(to, "under way: %lld of %lld units of phase %d are done; run would go on from there\n",
                (long long)j.units, (long long)j.all_units, j.phase);
    dcv_free(differs);
    return st;
}

static dcv_status explain_output(const dcv_output *o, const dcv_store *s, const dcv_config *c, const dcv_job *job,
                                 const plan_hash *h, FILE *to)
{
    int64_t bytes = 0;
    file_size_text t;
    for (int i = 0; i < dcv_store_count(s); i++)
        bytes += dcv_store_region(s, i)->bytes;
    fprintf(to, "output: %s, %s (%lld bytes of data in %d data sets)\n", o->final, file_size_print(bytes, t),
            (long long)bytes, dcv_store_count(s));
    if (!access(o->final, F_OK)) {
        char *differs;
        DCV_TRY(plan_compare(o->final, c, job, h, &differs));
        if (differs)
            fprintf(to, "there already: the result of another plan (%s); run would refuse (78) without --fresh\n",
                    differs);
        else
            fprintf(to, "there already: complete, of this plan; run would have nothing to do\n");
        dcv_free(differs);
    }
    return explain_part(o, c, job, h, to);
}

typedef struct foreseen { /* what headers tell of items before the run */
    int64_t looked, bad;
    char first[512]; /* why the first bad one fails */
} foreseen;

/* Items of the data set, or of what else the kind works on. */
static dcv_status count_items(const dcv_job_kind *kind, dcv_job *job, int64_t *n)
{
    dcv_phase phase = {0};
    *n = job->dataset ? job->dataset->n : 0;
    if (job->dataset || !kind->foresee)
        return DCV_OK;
    DCV_TRY(kind->phase(job, 0, &phase));
    *n = phase.n_items;
    return DCV_OK;
}

/* Items spread evenly over the set.  DCV_EDATA where a run would end by what it finds: every item of the set will fail,
 * or one of those that all ranks compute together. */
static dcv_status foresee(const dcv_job_kind *kind, dcv_job *job, foreseen *f)
{
    enum { MOST = 256 };
    int64_t n;
    DCV_TRY(count_items(kind, job, &n));
    *f = (foreseen){.looked = n < MOST ? n : MOST};
    for (int64_t k = 0; k < f->looked; k++) {
        const int64_t i = k * n / f->looked;
        DCV_TRY(dcv_stop_check("reading the headers of items"));
        const dcv_status st = job->dataset ? dcv_dataset_foresee(job->dataset, i) : kind->foresee(job, i);
        if (st == DCV_OK)
            continue;
        if (!job->n_items)
            return st;
        if (f->bad++ == 0)
            snprintf(f->first, sizeof f->first, "%s", dcv_message());
    }
    if (f->bad && f->bad == n)
        return dcv_fail(DCV_EDATA, "every one of %lld items will fail; the first: %s", (long long)f->bad, f->first);
    return DCV_OK;
}

static dcv_status explain(const dcv_job_kind *kind, dcv_job *job, dcv_store *s, dcv_output *o, const dcv_config *c,
                          int ranks, FILE *to)
{
    plan_hash h;
    foreseen f;
    DCV_TRY(plan_hash_of(c, job, &h));
    DCV_TRY(foresee(kind, job, &f));
    DCV_TRY(kind->declare(job, s));
    DCV_TRY(output_declare(o, s, job->n_items));
    DCV_TRY(output_writable(o));
    fprintf(to, "job: %s\n", kind->section.job);
    if (f.bad)
        fprintf(to, "items: %lld of %lld looked at will fail; the first: %s\n", (long long)f.bad, (long long)f.looked,
                f.first);
    DCV_TRY(explain_work(kind, job, c, ranks, to));
    DCV_TRY(explain_memory(kind, job, c, ranks, to));
    DCV_TRY(explain_output(o, s, c, job, &h, to));
    return kind->explain ? kind->explain(job, to) : DCV_OK;
}

dcv_status dcv_check(const dcv_job_kind *kind, const dcv_config *c, int ranks, FILE *to)
{
    dcv_job *job = NULL;
    dcv_store *s = NULL;
    dcv_output *o = NULL;
    dcv_status st;
    DCV_TRY_DONE(st, kind->open(c, NULL, (int)c->runtime.threads, &job));
    DCV_TRY_DONE(st, dcv_store_new(&s));
    DCV_TRY_DONE(st, output_new(c, &o));
    st = explain(kind, job, s, o, c, ranks, to);
done:
    output_free(o);
    dcv_store_free(s);
    if (job)
        kind->close(job);
    return st;
}
