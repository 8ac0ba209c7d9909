/* toy.c -- a job kind without a network, run by the tests of the run-time.
 *
 * Items are numbers.  Phase "square" writes their squares and gathers sums (integer, and float64 ones that depend on
 * the order of addition); phase "shift" needs the sums and gathers nothing.  Units may sleep, items may fail.
 * chain: units go on from each other in chains of so many, and a number's square has those before it in the chain
 * added.
 *
 * toy OUTPUT [KEY=VALUE]...   items, per_unit, sleep_us, fail_every, threads, memory, ranks_differ, data_error_at,
 *                             merge (of so many parts: OUTPUT.0, OUTPUT.1 ...), fault_at, signal, durability, wait,
 * unit_seconds, fresh, deadline, check, empty, chain,
 *                             bad_at (an item that fails in this start only), open_us (to read the data set),
 * stop_at_end (of phase "square", USR1 comes)
 */
#include <fcntl.h>
#include <mpi.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "deconvoy/run.h"
#include "deconvoy/stop.h"

DCV_STOP_BLOCK_AT_START;

typedef struct toy_options {
    int64_t items, per_unit, sleep_us, fail_every, ranks_differ, data_error_at, fault_at, signal, empty, slow_us,
        phases, chain, bad_at, open_us, stop_at_end;
} toy_options;

static toy_options opt = {.items = 100, .per_unit = 3, .data_error_at = -1, .fault_at = -1, .phases = 2, .bad_at = -1};

typedef struct toy_state {
    int64_t sum, count;
    double wobble;
} toy_state;

typedef struct toy {
    dcv_job job;
    const void *shared;
    int64_t learnt;
    int square, status, shifted, sum, wobble;
} toy;

static dcv_status fill(void *ctx, void *to)
{
    (void)ctx;
    for (int i = 0; i < 1000; i++)
        ((int32_t *)to)[i] = 3 * i;
    return DCV_OK;
}

static void toy_close(dcv_job *j)
{
    dcv_free(j);
}

extern const dcv_job_kind toy_kind;
static dcv_job_kind bare_kind; /* the same without inputs, for the speed of the master */

static dcv_status toy_open(const dcv_config *c, dcv_share *share, int threads, dcv_job **out)
{
    toy *t = dcv_alloc(1, sizeof *t);
    if (!t)
        return DCV_ENOMEM;
    *out = &t->job;
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (opt.ranks_differ == 2 && rank == 1)
        return dcv_fail(DCV_ENOINPUT, "rank 1 has no model");
    for (int64_t us = 0; us < opt.open_us; us += 1000) {
        DCV_TRY(dcv_stop_check("reading the numbers"));
        usleep(1000);
    }
    if (share) {
        DCV_TRY(dcv_share_once(share, 1000 * sizeof(int32_t), fill, NULL, &t->shared));
        if (((const int32_t *)t->shared)[999] != 2997)
            return dcv_fail(DCV_EINTERNAL, "shared memory is not what was filled in");
    }
    t->job = (dcv_job){.kind = opt.empty ? &bare_kind : &toy_kind,
                       .config = c,
                       .n_phases = opt.empty ? 1 : (int)opt.phases,
                       .n_items = opt.empty ? 0 : opt.items,
                       .numerics = "toy",
                       .thread_bytes = 1000 * threads,
                       .unit_read_bytes = 8 * opt.per_unit};
    t->job.model_sha256 = dcv_sha256_of("model", opt.ranks_differ == 1 && rank ? 4 : 5);
    t->job.dataset_sha256 = dcv_sha256_of("data", 4);
    return DCV_OK;
}

static dcv_status toy_declare(dcv_job *j, dcv_store *s)
{
    toy *t = (toy *)j;
    const dcv_dims n = {1, {opt.items}}, one = {0};
    if (opt.empty)
        return dcv_store_dataset(s, "/toy/sum", DCV_I64, 0, &one, &t->sum);
    DCV_TRY(dcv_store_dataset(s, "/inputs/status", DCV_U8, 0, &n, &t->status));
    DCV_TRY(dcv_store_dataset(s, "/toy/square", DCV_I64, 0, &n, &t->square));
    DCV_TRY(dcv_store_dataset(s, "/toy/shifted", DCV_I64, 0, &n, &t->shifted));
    DCV_TRY(dcv_store_dataset(s, "/toy/sum", DCV_I64, 0, &one, &t->sum));
    return dcv_store_dataset(s, "/toy/wobble", DCV_F64, 0, &one, &t->wobble);
}

static dcv_status toy_phase(dcv_job *j, int p, dcv_phase *out)
{
    (void)j;
    *out = (dcv_phase){p ? "shift" : "square", (opt.items + opt.per_unit - 1) / opt.per_unit, opt.items,
                       p || opt.empty ? 0 : sizeof(toy_state), p ? 0 : opt.chain, false};
    return DCV_OK;
}

static int64_t toy_unit_items(const dcv_job *j, int p, int64_t u)
{
    (void)j, (void)p;
    const int64_t left = opt.items - u * opt.per_unit;
    return left < opt.per_unit ? left : opt.per_unit;
}

static double toy_unit_gflop(const dcv_job *j, int p, int64_t u)
{
    return 1e-9 * (double)toy_unit_items(j, p, u);
}

static dcv_status toy_read(dcv_job *j, int p, int64_t u, void **input)
{
    const int64_t n = toy_unit_items(j, p, u);
    int64_t *v = dcv_alloc((size_t)n, sizeof *v);
    if (!v)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < n; i++)
        v[i] = u * opt.per_unit + i;
    *input = v;
    return DCV_OK;
}

static void toy_drop(dcv_job *j, void *input)
{
    (void)j;
    dcv_free(input);
}

static bool fails(int64_t item)
{
    return item == opt.bad_at || (opt.fail_every > 0 && item % opt.fail_every == opt.fail_every / 2);
}

static dcv_status square(toy *t, const int64_t *v, int64_t n, toy_state *s, dcv_result *r)
{
    for (int64_t i = 0; i < n; i++) {
        const bool bad = fails(v[i]);
        const int64_t sq = bad ? -1 : v[i] * v[i] + (opt.chain ? s->sum : 0);
        const uint8_t status = bad ? 2 : 1;
        char text[64];
        snprintf(text, sizeof text, "number %lld is bad", (long long)v[i]);
        DCV_TRY(dcv_result_put(r, t->square, v[i], 1, &sq));
        DCV_TRY(dcv_result_put(r, t->status, v[i], 1, &status));
        if (bad)
            DCV_TRY(dcv_result_fail_item(r, v[i], text));
        s->count += !bad;
        s->sum += bad ? 0 : v[i] * v[i];
        s->wobble = s->wobble * 0.999 + 1.0 / (double)(v[i] + 3);
    }
    return DCV_OK;
}

static dcv_status shift(const toy *t, const int64_t *v, int64_t n, dcv_result *r)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t x = fails(v[i]) ? -1 : v[i] * v[i] + t->learnt % 1000;
        DCV_TRY(dcv_result_put(r, t->shifted, v[i], 1, &x));
    }
    return DCV_OK;
}

/* TOY_TRACE: a file that learns of every unit when, where and how long it was computed. */
static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void trace(int p, int64_t u, double began)
{
    const char *file = getenv("TOY_TRACE");
    const int fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    char line[128];
    const int n = snprintf(line, sizeof line, "%ld %d %lld %.6f %.6f\n", (long)getpid(), p, (long long)u, began,
                           seconds() - began);
    if (fd >= 0 && write(fd, line, (size_t)n) != n)
        perror(file);
    if (fd >= 0)
        close(fd);
}

static dcv_status toy_compute(dcv_job *j, int p, int64_t u, int thread, void *input, void *state, dcv_result *r)
{
    (void)thread;
    if (opt.empty)
        return DCV_OK;
    toy *t = (toy *)j;
    const int64_t n = toy_unit_items(j, p, u);
    const double began = seconds();
    dcv_status st = DCV_OK;
    if (opt.sleep_us)
        usleep((useconds_t)(opt.sleep_us * (1 + u % 3)));
    if (opt.slow_us && p == 0 && u == 0)
        usleep((useconds_t)opt.slow_us);
    if (u == opt.data_error_at)
        st = dcv_fail(DCV_EDATA, "unit %lld: bad data", (long long)u);
    if (u == opt.fault_at && p == 0)
        raise((int)opt.signal);
    if (st == DCV_OK)
        st = p ? shift(t, input, n, r) : square(t, input, n, state, r);
    trace(p, u, began);
    dcv_free(input);
    return st;
}

static dcv_status toy_fail_unit(dcv_job *j, int p, int64_t u, const char *message, void *state, dcv_result *r)
{
    (void)state;
    toy *t = (toy *)j;
    const int64_t none = -1;
    const uint8_t status = 2;
    for (int64_t i = u * opt.per_unit; i < u * opt.per_unit + toy_unit_items(j, p, u); i++) {
        DCV_TRY(dcv_result_put(r, p ? t->shifted : t->square, i, 1, &none));
        DCV_TRY(dcv_result_put(r, t->status, i, 1, &status));
        DCV_TRY(dcv_result_fail_item(r, i, message));
    }
    return DCV_OK;
}

static void toy_state_clear(const dcv_job *j, int p, void *state)
{
    (void)j, (void)p;
    memset(state, 0, sizeof(toy_state));
}

static void toy_state_fold(const dcv_job *j, int p, void *into, const void *block)
{
    (void)j, (void)p;
    toy_state *a = into;
    const toy_state *b = block;
    a->sum += b->sum;
    a->count += b->count;
    a->wobble = a->wobble * 0.5 + b->wobble;
}

static dcv_status toy_finish(dcv_job *j, int p, const void *state, dcv_result *r)
{
    (void)p;
    const toy *t = (toy *)j;
    const toy_state *s = state;
    if (opt.stop_at_end)
        raise(SIGUSR1);
    DCV_TRY(dcv_result_put(r, t->sum, 0, 1, &s->sum));
    return dcv_result_put(r, t->wobble, 0, 1, &s->wobble);
}

static dcv_status toy_learn(dcv_job *j, int p, const void *state)
{
    (void)p;
    ((toy *)j)->learnt = ((const toy_state *)state)->sum;
    return DCV_OK;
}

const dcv_job_kind toy_kind = {
    .section = {.job = "toy"},
    .open = toy_open,
    .close = toy_close,
    .declare = toy_declare,
    .phase = toy_phase,
    .unit_items = toy_unit_items,
    .unit_gflop = toy_unit_gflop,
    .read = toy_read,
    .drop = toy_drop,
    .compute = toy_compute,
    .fail_unit = toy_fail_unit,
    .state_clear = toy_state_clear,
    .state_fold = toy_state_fold,
    .finish = toy_finish,
    .learn = toy_learn,
};

typedef struct toy_key {
    const char *name;
    int64_t *at;
} toy_key;

int main(int argc, char **argv)
{
    int64_t threads = 1, memory = 1 << 20, fresh = 0, deadline = -1, process = 0, unit_seconds = 1, slice = -1,
            slices = 0, check = 0, merge = 0, wait_s = 0, progress = DCV_PROGRESS_NONE;
    const toy_key key[] = {
        {"items", &opt.items},
        {"per_unit", &opt.per_unit},
        {"sleep_us", &opt.sleep_us},
        {"fail_every", &opt.fail_every},
        {"ranks_differ", &opt.ranks_differ},
        {"data_error_at", &opt.data_error_at},
        {"fault_at", &opt.fault_at},
        {"signal", &opt.signal},
        {"empty", &opt.empty},
        {"slow_us", &opt.slow_us},
        {"phases", &opt.phases},
        {"bad_at", &opt.bad_at},
        {"open_us", &opt.open_us},
        {"stop_at_end", &opt.stop_at_end},
        {"chain", &opt.chain},
        {"threads", &threads},
        {"memory", &memory},
        {"fresh", &fresh},
        {"deadline", &deadline},
        {"process", &process},
        {"unit_seconds", &unit_seconds},
        {"slice", &slice},
        {"slices", &slices},
        {"check", &check},
        {"merge", &merge},
        {"wait", &wait_s},
        {"progress", &progress},
    };
    for (int i = 2; i < argc; i++) {
        const char *eq = strchr(argv[i], '=');
        bool known = false;
        for (size_t k = 0; eq && k < sizeof key / sizeof *key; k++)
            if (strlen(key[k].name) == (size_t)(eq - argv[i]) &&
                !strncmp(argv[i], key[k].name, (size_t)(eq - argv[i]))) {
                *key[k].at = atoll(eq + 1);
                known = true;
            }
        if (!known) {
            fprintf(stderr, "toy: %s?\n", argv[i]);
            return 64;
        }
    }
    if (argc < 2)
        return 64;
    dcv_run_prepare();
    MPI_Init(&argc, &argv);
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    dcv_log_quiet(rank != 0);
    int64_t slice_v[2] = {slice, slices};
    static const dcv_section section = {.job = "toy"};
    char text[256];
    snprintf(text, sizeof text,
             "job: toy\ntoy:\n  items: %lld\n  per_unit: %lld\n  fail_every: %lld\n  empty: %lld\n"
             "  chain: %lld\n",
             (long long)opt.items, (long long)opt.per_unit, (long long)opt.fail_every, (long long)opt.empty,
             (long long)opt.chain);
    char file[] = "/toy.yaml", source[] = "numbers";
    dcv_config c = {.section = &section, .file = file, .output = argv[1], .text = text};
    c.dataset.source = source;
    c.runtime = (dcv_runtime_options){.threads = threads,
                                      .memory = memory,
                                      .durability = process ? DCV_PROCESS : DCV_DISK,
                                      .progress = (int)progress,
                                      .unit_seconds = (double)unit_seconds,
                                      .wait = (double)wait_s};
    if (slices)
        c.dataset.slice = (dcv_ints){-1, 2, false, slice_v};
    bare_kind = toy_kind;
    if (opt.empty) {
        bare_kind.read = NULL;
        bare_kind.drop = NULL;
    }
    const dcv_run_options o = {.fresh = fresh, .deadline_s = (double)deadline};
    bool speaks = true;
    const dcv_job_kind *kind = opt.empty ? &bare_kind : &toy_kind;
    char part[8][4096];
    const char *parts[8];
    for (int64_t i = 0; i < merge && i < 8; i++) {
        snprintf(part[i], sizeof part[i], "%s.%lld", argv[1], (long long)(merge - 1 - i));
        parts[i] = part[i];
    }
    const dcv_status st = merge   ? dcv_merge(kind, &c, parts, (int)merge)
                          : check ? dcv_check(kind, &c, 1, stdout)
                                  : dcv_run(kind, &c, &o, &speaks);
    if (st != DCV_OK && speaks)
        dcv_log_error("%s", dcv_message());
    if (st == DCV_OK && dcv_alloc_balance())
        fprintf(stderr, "toy: rank %d keeps %lld blocks of memory\n", rank, (long long)dcv_alloc_balance());
    MPI_Finalize();
    return dcv_exit_code(st);
}

/* Until a configuration file is read, its two functions that the run-time calls. */
__attribute__((weak)) const char *dcv_config_path(const dcv_config *c, const char *path)
{
    (void)c;
    return path;
}

__attribute__((weak)) dcv_status dcv_config_fail(const dcv_config *c, const char *k, const char *fmt, ...)
{
    (void)c;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return dcv_fail(DCV_ECONFIG, "%s: %s", k, text);
}
