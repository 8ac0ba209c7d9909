/* bench.c -- deconvoy bench MODEL.onnx: time the engine alone on random input. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "calls/call.h"
#include "deconvoy/engine.h"
#include "deconvoy/rule.h"
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define DCV_X86 1
#endif

enum { MAX_THREADS = 256, MAX_BATCH = 4096, MIN_ROUNDS = 5, MAX_ROUNDS = 200, MAX_WALKS = 16 };
static const double bench_seconds = 2.0;

typedef struct args {
    const char *model;
    int64_t batch, threads;
    dcv_precision precision;
    dcv_ints shape;
    int64_t shape_v[DCV_MAX_RANK];
    bool walk[MAX_WALKS]; /* 0: forward; i: forward and back under rule i - 1 */
    bool layers, json;
} args;

/* One thread's walk and pictures. */
typedef struct lane {
    dcv_walk *walk;
    float **picture;     /* [n_in] random inputs of one picture */
    const float **group; /* [n_in][DCV_GROUP] the same one, all over */
    const float *const **input;
    int64_t n; /* pictures a round */
    int cpu;   /* where its thread runs, -1: anywhere */
    const dcv_graph *graph;
    const dcv_rule *rule; /* NULL: forward only */
    float *map[DCV_GROUP], *answer;
} lane;

typedef struct bench {
    args a;
    dcv_model *model;
    dcv_graph *graph;
    dcv_engine *engine;
    dcv_backend_kind backend;
    lane *lane;
    double peak_gflops, ms[MAX_WALKS], processor_ms[MAX_WALKS], gflops[MAX_WALKS];
    size_t weight_bytes[MAX_WALKS], walk_bytes[MAX_WALKS]; /* resident; of a thread */
    int walk;                                              /* that is being timed */
    double *layer_s;                                       /* [n_node] of one picture */
} bench;

static double clock_s(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double now(void)
{
    return clock_s(CLOCK_MONOTONIC);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- command line ---- */

static dcv_status number(const char *option, const char *text, int64_t max, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    const long long v = text ? strtoll(text, &end, 10) : 0;
    if (!text || !*text || *end || errno || v < 1 || v > max)
        return dcv_fail(DCV_EUSAGE, "bench: %s %s; expected a number, 1 to %lld", option, text ? text : "",
                        (long long)max);
    *out = v;
    return DCV_OK;
}

static dcv_status shape(const char *text, args *a)
{
    char part[32];
    a->shape = (dcv_ints){.word = -1, .v = a->shape_v};
    while (text && *text) {
        const size_t n = strcspn(text, ",");
        if (n >= sizeof part || a->shape.n >= DCV_MAX_RANK)
            return dcv_fail(DCV_EUSAGE, "bench: --input-shape %s; expected C,H,W", text);
        memcpy(part, text, n);
        part[n] = 0;
        DCV_TRY(number("--input-shape", part, 1 << 24, &a->shape_v[a->shape.n++]));
        text += n + (text[n] == ',');
    }
    return a->shape.n ? DCV_OK : dcv_fail(DCV_EUSAGE, "bench: --input-shape wants C,H,W");
}

static dcv_status precision(const char *text, args *a)
{
    const int p = text ? dcv_word_find("fast|strict", text) : -1;
    if (p < 0)
        return dcv_fail(DCV_EUSAGE, "bench: --precision %s; expected fast or strict", text ? text : "");
    a->precision = (dcv_precision)p;
    return DCV_OK;
}

static const char *walk_name(int w)
{
    const dcv_rule *r = w ? dcv_rule_at(w - 1) : NULL;
    return w ? r ? r->name : NULL : "forward";
}

static dcv_status walks(const char *text, args *a)
{
    memset(a->walk, 0, sizeof a->walk);
    for (const char *p = text; p && *p;) {
        const size_t n = strcspn(p, ",");
        int w = 0;
        while (walk_name(w) && (strlen(walk_name(w)) != n || memcmp(walk_name(w), p, n)))
            w++;
        if (!walk_name(w) || w >= MAX_WALKS)
            return dcv_fail(DCV_EUSAGE,
                            "bench: --walks %s; expected a list of forward, gradient, deconvnet, guided_backprop",
                            text);
        a->walk[w] = true;
        p += n + (p[n] == ',');
    }
    return text && *text ? DCV_OK : dcv_fail(DCV_EUSAGE, "bench: --walks wants a list");
}

static dcv_status parse(int argc, char **argv, args *a)
{
    *a = (args){.batch = 1, .threads = 1, .precision = DCV_FAST, .walk = {true}};
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        int used = 1;
        if (!strcmp(word, "--layers"))
            a->layers = true, used = 0;
        else if (!strcmp(word, "--json"))
            a->json = true, used = 0;
        else if (!strcmp(word, "--batch"))
            DCV_TRY(number(word, value, MAX_BATCH, &a->batch));
        else if (!strcmp(word, "--threads"))
            DCV_TRY(number(word, value, MAX_THREADS, &a->threads));
        else if (!strcmp(word, "--precision"))
            DCV_TRY(precision(value, a));
        else if (!strcmp(word, "--walks"))
            DCV_TRY(walks(value, a));
        else if (!strcmp(word, "--input-shape"))
            DCV_TRY(shape(value, a));
        else if (word[0] == '-')
            return dcv_fail(DCV_EUSAGE, "bench: unknown option %s; deconvoy help bench lists them", word);
        else if (a->model)
            return dcv_fail(DCV_EUSAGE, "bench: one model at a time; got %s and %s", a->model, word);
        else
            a->model = word, used = 0;
        i += used;
    }
    return a->model ? DCV_OK : dcv_fail(DCV_EUSAGE, "bench: want a model; deconvoy bench MODEL.onnx");
}

/* ---- the machine's peak ---- */

#ifdef DCV_X86
enum { CHAINS = 16, FMA_ROUNDS = 2000000 };

__attribute__((target("avx512f"))) static double fma_avx512(void)
{
    __m512 v[CHAINS];
    const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++)
        v[i] = _mm512_set1_ps((float)i);
    for (int r = 0; r < FMA_ROUNDS; r++)
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++)
            v[i] = _mm512_fmadd_ps(v[i], a, b);
    volatile float sink = 0;
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++)
        sink += _mm512_reduce_add_ps(v[i]);
    return 2.0 * 16 * CHAINS * FMA_ROUNDS;
}

__attribute__((target("avx2,fma"))) static double fma_avx2(void)
{
    __m256 v[12];
    const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
#pragma GCC unroll 16
    for (int i = 0; i < 12; i++)
        v[i] = _mm256_set1_ps((float)i);
    for (int r = 0; r < FMA_ROUNDS; r++)
#pragma GCC unroll 16
        for (int i = 0; i < 12; i++)
            v[i] = _mm256_fmadd_ps(v[i], a, b);
    volatile float sink = 0;
#pragma GCC unroll 16
    for (int i = 0; i < 12; i++)
        sink += v[i][0];
    return 2.0 * 8 * 12 * FMA_ROUNDS;
}
#endif

static double multiply_add(void)
{
    float v[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (int r = 0; r < 1000000; r++)
        for (int i = 0; i < 8; i++)
            v[i] = v[i] * 0.999f + 1e-3f;
    volatile float sink = 0;
    for (int i = 0; i < 8; i++)
        sink += v[i];
    return 2.0 * 8 * 1000000;
}

/* Multiply-add rate of one core, GFLOP/s: the best of a few runs. */
static double peak(void)
{
    double (*run)(void) = multiply_add;
#ifdef DCV_X86
    if (__builtin_cpu_supports("avx512f"))
        run = fma_avx512;
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        run = fma_avx2;
#endif
    double best = 0;
    for (int i = 0; i < 7; i++) {
        const double t0 = now(), flop = run(), rate = 1e-9 * flop / (now() - t0);
        best = rate > best ? rate : best;
    }
    return best;
}

/* The kernel starts a thread where its parent runs and moves it late: threads of a round take a core each. */
static void stay(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

/* The nth core that this process may use, in turn; -1 where the system does not say. */
static int core(int nth)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) || !CPU_COUNT(&set))
        return -1;
    nth %= CPU_COUNT(&set);
    for (int c = 0; c < CPU_SETSIZE; c++)
        if (CPU_ISSET((unsigned)c, &set) && nth-- == 0)
            return c;
    return -1;
}

/* ---- set-up ---- */

static dcv_status graph_open(bench *b)
{
    dcv_dims input[64];
    DCV_TRY(dcv_model_open(b->a.model, &b->model));
    const dcv_model *m = b->model;
    if (m->n_in > 64)
        return dcv_fail(DCV_EUNSUPPORTED, "%s: %d inputs; bench takes up to 64", b->a.model, m->n_in);
    for (int i = 0; i < m->n_in; i++) {
        DCV_TRY(dcv_graph_input_dims(m, i, b->a.shape.n ? &b->a.shape : NULL, &input[i]));
        for (int k = 0; k < input[i].n; k++)
            if (input[i].d[k] < 0)
                return dcv_fail(DCV_EUSAGE, "%s: input \"%s\" leaves its size open; give --input-shape C,H,W",
                                b->a.model, m->in[i].name);
    }
    return dcv_graph_new(m, input, m->n_in, &b->graph);
}

static dcv_status engine_open(bench *b)
{
    DCV_TRY(dcv_backend_choose(&b->backend));
    const int from = b->graph->logits;
    const dcv_engine_options o = {
        .precision = b->a.precision, .backend = b->backend, .back = &from, .n_back = b->walk > 0};
    if (b->walk && from < 0)
        return dcv_fail(DCV_EUSAGE, "bench: --walks: %s has no logits to walk back from", b->a.model);
    DCV_TRY(dcv_engine_new(b->graph, &o, &b->engine));
    return dcv_engine_pack_own(b->engine);
}

static dcv_status lane_open(const bench *b, lane *l)
{
    const size_t n_in = (size_t)b->graph->n_in;
    l->n = b->a.batch;
    l->graph = b->graph;
    l->rule = b->walk ? dcv_rule_at(b->walk - 1) : NULL;
    for (int p = 0; l->rule && p < DCV_GROUP; p++) {
        l->map[p] = dcv_alloc((size_t)dcv_count(&b->graph->value[b->graph->in[0]].dims), sizeof(float));
        if (!l->map[p])
            return DCV_ENOMEM;
    }
    l->answer = dcv_alloc((size_t)dcv_count(&b->graph->value[b->graph->out[0]].dims), sizeof(float));
    if (!l->answer)
        return DCV_ENOMEM;
    l->picture = dcv_alloc(n_in, sizeof *l->picture);
    l->group = dcv_alloc(n_in * DCV_GROUP, sizeof *l->group);
    l->input = dcv_alloc(n_in, sizeof *l->input);
    if (!l->picture || !l->group || !l->input)
        return DCV_ENOMEM;
    uint64_t seed = 1;
    for (size_t i = 0; i < n_in; i++) {
        const int64_t n = dcv_count(&b->graph->value[b->graph->in[i]].dims);
        l->picture[i] = dcv_alloc((size_t)n, sizeof(float));
        if (!l->picture[i])
            return DCV_ENOMEM;
        for (int64_t k = 0; k < n; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            l->picture[i][k] = (float)(seed >> 40) / (1 << 24) - 0.5f;
        }
        for (int p = 0; p < DCV_GROUP; p++)
            l->group[i * DCV_GROUP + (size_t)p] = l->picture[i];
        l->input[i] = &l->group[i * DCV_GROUP];
    }
    return dcv_walk_new(b->engine, &l->walk);
}

static void lane_close(const bench *b, lane *l)
{
    dcv_walk_free(l->walk);
    for (int i = 0; l->picture && b->graph && i < b->graph->n_in; i++)
        dcv_free(l->picture[i]);
    dcv_free(l->picture);
    dcv_free(l->group);
    dcv_free(l->input);
    dcv_free(l->answer);
    for (int p = 0; p < DCV_GROUP; p++)
        dcv_free(l->map[p]);
}

static dcv_status set_up(bench *b)
{
    DCV_TRY(engine_open(b));
    b->lane = dcv_alloc((size_t)b->a.threads, sizeof *b->lane);
    if (!b->lane)
        return DCV_ENOMEM;
    for (int t = 0; t < b->a.threads; t++) {
        b->lane[t].cpu = b->a.threads > 1 ? core(t) : -1;
        DCV_TRY(lane_open(b, &b->lane[t]));
    }
    return DCV_OK;
}

static void tear_down(bench *b)
{
    for (int t = 0; b->lane && t < b->a.threads; t++)
        lane_close(b, &b->lane[t]);
    dcv_free(b->lane);
    dcv_engine_free(b->engine);
    b->lane = NULL;
    b->engine = NULL;
}

/* ---- timing ---- */

/* From the top logit of each picture. */
static void walk_back(lane *l, int n)
{
    const int64_t classes = dcv_count(&l->graph->value[l->graph->out[0]].dims);
    static const float one = 1;
    int64_t top = 0;
    dcv_seed seed[DCV_GROUP];
    dcv_walk_output(l->walk, 0, 0, l->answer);
    for (int64_t i = 1; i < classes; i++)
        top = l->answer[i] > l->answer[top] ? i : top;
    for (int p = 0; p < n; p++)
        seed[p] = (dcv_seed){p, 1, &top, &one};
    dcv_walk_backward(l->walk, l->rule, l->graph->logits, seed, n, l->graph->in[0], l->map);
}

static void *round_of(void *ctx)
{
    lane *l = ctx;
    if (l->cpu >= 0)
        stay(l->cpu);
    for (int64_t left = l->n; left > 0; left -= DCV_GROUP) {
        const int n = (int)(left < DCV_GROUP ? left : DCV_GROUP);
        dcv_walk_forward(l->walk, n, l->input, NULL, NULL);
        if (l->rule)
            walk_back(l, n);
    }
    return NULL;
}

/* One round of all lanes, seconds. */
static double round_all(const bench *b)
{
    pthread_t thread[MAX_THREADS];
    int n = 0;
    const double t0 = now();
    while (n < b->a.threads - 1 && !pthread_create(&thread[n], NULL, round_of, &b->lane[n + 1]))
        n++;
    round_of(&b->lane[0]);
    for (int t = 0; t < n; t++)
        pthread_join(thread[t], NULL);
    for (int t = n + 1; t < b->a.threads; t++) /* threads that were refused */
        round_of(&b->lane[t]);
    return now() - t0;
}

static void time_walks(bench *b)
{
    double s[MAX_ROUNDS], least = INFINITY;
    int n = 0;
    round_all(b);
    const double stop = now() + bench_seconds, pictures = (double)(b->a.batch * b->a.threads);
    while (n < MAX_ROUNDS && (n < MIN_ROUNDS || now() < stop)) {
        const double t0 = clock_s(CLOCK_PROCESS_CPUTIME_ID);
        s[n++] = round_all(b);
        const double t = clock_s(CLOCK_PROCESS_CPUTIME_ID) - t0;
        least = t < least ? t : least;
    }
    qsort(s, (size_t)n, sizeof *s, ascending);
    const double each = s[n / 2] / pictures;
    b->ms[b->walk] = 1e3 * each;
    b->processor_ms[b->walk] = 1e3 * least / pictures;
    b->weight_bytes[b->walk] = dcv_engine_packed_bytes(b->engine);
    b->walk_bytes[b->walk] = dcv_walk_bytes(b->engine);
    b->gflops[b->walk] = 2e-9 * (b->walk ? 2 : 1) * (double)dcv_graph_macs(b->graph) / each;
}

/* Best time of each node over some rounds of the first lane, per picture. */
static void time_layers(bench *b)
{
    lane *l = &b->lane[0];
    const int n = (int)(l->n < DCV_GROUP ? l->n : DCV_GROUP);
    dcv_walk_time(l->walk, true);
    const double stop = now() + bench_seconds;
    for (int r = 0; r < MAX_ROUNDS && (r < MIN_ROUNDS || now() < stop); r++) {
        dcv_walk_forward(l->walk, n, l->input, NULL, NULL);
        const double *s = dcv_walk_seconds(l->walk);
        for (int i = 0; i < b->graph->n_node; i++)
            if (!r || s[i] / n < b->layer_s[i])
                b->layer_s[i] = s[i] / n;
    }
    dcv_walk_time(l->walk, false);
}

/* ---- what is said ---- */

static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static int64_t peak_rss(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) ? 0 : (int64_t)u.ru_maxrss * 1024;
}

static double layer_gflops(const bench *b, int node)
{
    const double flop = 2.0 * (double)dcv_node_macs(b->graph, node);
    return b->layer_s[node] > 0 ? 1e-9 * flop / b->layer_s[node] : 0;
}

static void print_layers_json(const bench *b)
{
    printf(", \"layers\": [");
    for (int i = 0; i < b->graph->n_node; i++) {
        const dcv_node *nd = &b->graph->node[i];
        const char *kernel = dcv_engine_kernel(b->engine, i);
        printf(i ? ", {\"name\": " : "{\"name\": ");
        print_json_text(nd->name);
        printf(", \"op\": ");
        print_json_text(nd->op->name);
        printf(", \"kernel\": ");
        print_json_text(kernel ? kernel : "fused");
        printf(", \"ms\": %.6f, \"gflops\": %.3f}", 1e3 * b->layer_s[i], layer_gflops(b, i));
    }
    printf("]");
}

static void print_json(const bench *b)
{
    printf("{\"model\": ");
    print_json_text(b->a.model);
    printf(", \"batch\": %lld, \"threads\": %lld, \"precision\": \"%s\", \"backend\": \"%s\", \"peak_gflops\": %.3f, ",
           (long long)b->a.batch, (long long)b->a.threads, b->a.precision == DCV_FAST ? "fast" : "strict",
           dcv_backend_numerics(b->backend), b->peak_gflops);
    printf("\"walks\": {");
    const char *comma = "";
    for (int w = 0; w < MAX_WALKS; w++)
        if (b->a.walk[w]) {
            printf("%s\"%s\": {\"ms_per_picture\": %.6f, \"gflops\": %.3f}", comma, walk_name(w), b->ms[w],
                   b->gflops[w]);
            comma = ", ";
        }
    printf("}, \"peak_rss_bytes\": %lld", (long long)peak_rss());
    if (b->a.layers)
        print_layers_json(b);
    printf("}\n");
}

static void print_layers(const bench *b)
{
    double total = 0;
    printf("%-40s %-20s %-28s %10s %10s\n", "node", "operator", "kernel", "ms", "GFLOP/s");
    for (int i = 0; i < b->graph->n_node; i++) {
        const dcv_node *nd = &b->graph->node[i];
        const char *kernel = dcv_engine_kernel(b->engine, i);
        total += b->layer_s[i];
        printf("%-40s %-20s %-28s", nd->name, nd->op->name, kernel ? kernel : "fused");
        if (kernel)
            printf(" %10.4f", 1e3 * b->layer_s[i]);
        if (kernel && layer_gflops(b, i) > 0)
            printf(" %10.1f", layer_gflops(b, i));
        printf("\n");
    }
    printf("%-90s %10.4f\n", "sum of best times", 1e3 * total);
}

static void print_text(const bench *b)
{
    printf("model            %s\n", b->a.model);
    printf("back end         %s, %s\n", dcv_backend_numerics(b->backend),
           b->a.precision == DCV_FAST ? "fast" : "strict");
    printf("batch, threads   %lld, %lld\n", (long long)b->a.batch, (long long)b->a.threads);
    printf("peak             %.1f GFLOP/s\n", b->peak_gflops);
    for (int w = 0; w < MAX_WALKS; w++)
        if (b->a.walk[w])
            printf("%-16s %.3f ms per picture (processor %.3f), %.1f GFLOP/s; weights %.1f MB, walk %.1f MB a thread\n",
                   walk_name(w), b->ms[w], b->processor_ms[w], b->gflops[w], 1e-6 * (double)b->weight_bytes[w],
                   1e-6 * (double)b->walk_bytes[w]);
    printf("peak resident    %.1f MB\n", 1e-6 * (double)peak_rss());
    if (b->a.layers)
        print_layers(b);
}

/* Each kind of walk on an engine of its own, forward last: it alone keeps nothing. */
static dcv_status time_all(bench *b)
{
    b->layer_s = dcv_alloc((size_t)b->graph->n_node, sizeof *b->layer_s);
    if (!b->layer_s)
        return DCV_ENOMEM;
    b->peak_gflops = peak() * (double)b->a.threads;
    for (b->walk = MAX_WALKS - 1; b->walk >= 0; b->walk--) {
        if (!b->a.walk[b->walk])
            continue;
        tear_down(b);
        DCV_TRY(set_up(b));
        time_walks(b);
    }
    if (b->a.layers)
        time_layers(b);
    return DCV_OK;
}

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)exit_code;
    bench b = {0};
    DCV_TRY(parse(argc, argv, &b.a));
    dcv_status st = graph_open(&b);
    if (st == DCV_OK)
        st = time_all(&b);
    if (st == DCV_OK) {
        if (b.a.json)
            print_json(&b);
        else
            print_text(&b);
    }
    tear_down(&b);
    dcv_free(b.layer_s);
    dcv_graph_free(b.graph);
    dcv_model_free(b.model);
    return st;
}

const dcv_call dcv_call_bench = {
    .name = "bench",
    .usage =
        "bench MODEL.onnx [--batch N] [--threads T] [--precision fast|strict] [--walks LIST] [--input-shape C,H,W] "
        "[--layers] [--json]",
    .help = "time the engine alone on random input",
    .computes = 1,
    .run = run,
};
