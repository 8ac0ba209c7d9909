/* bench_windows.c -- windows of one picture in full and by what they reach, in turn within one process.
 *
 *   bench_windows MODEL.onnx strict|fast PATCH STRIDE [ROUNDS [layers]]
 *
 * Prints least milliseconds of the processor a window (steady state: heads made), the speed-up, the bound by
 * multiply-adds and the share of it, and memory; with `layers` also where the time of all windows goes, by operator of
 * heads and tail, by head, and by layer of the head that does most. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "engine/patch_plan.h"

enum { MOST = 256, FULL_WINDOWS = 16, MOST_KINDS = 64, MOST_INPUTS = 512, MOST_ROOM = 64 };

typedef struct kind {
    const char *name;
    double ms;
} kind;

typedef struct bench {
    dcv_model *model;
    dcv_graph *graph;
    dcv_engine *engine;
    dcv_walk *whole;
    dcv_patches *patches;
    dcv_patch_walk *walk;
    dcv_span window[2][MOST];
    int n[2];
    float *picture, *fill;
    double resident; /* MiB before anything of windows is made, but for weights and the whole walk */
} bench;

/* MiB of the process that are in memory now. */
static double resident(void)
{
    long pages[2] = {0, 0};
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &pages[0], &pages[1]) != 2)
        pages[1] = 0;
    if (f)
        fclose(f);
    return (double)pages[1] * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static double processor_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int windows(int64_t extent, int64_t patch, int64_t stride, dcv_span *to)
{
    int n = 0;
    for (int64_t at = 0; n < MOST; at += stride) {
        to[n++] = (dcv_span){at, at + patch < extent ? at + patch : extent};
        if (at + patch >= extent)
            break;
    }
    return n;
}

static void keep(void *ctx, int picture, int value, const dcv_blob *b)
{
    (void)picture;
    dcv_patch_walk_keep(ctx, value, b);
}

static void see(void *ctx, int k, int value, const dcv_blob *b, const dcv_span box[2])
{
    (void)k, (void)value, (void)box;
    *(float *)ctx += b->data[0];
}

static void run_whole(const bench *b, int n, dcv_observe_fn fn, void *ctx)
{
    const float *picture[DCV_GROUP];
    const float *const *const input[1] = {picture};
    for (int k = 0; k < DCV_GROUP; k++)
        picture[k] = b->picture;
    for (; n > 0; n -= DCV_GROUP)
        dcv_walk_forward(b->whole, n < DCV_GROUP ? n : DCV_GROUP, input, fn, ctx);
}

static dcv_status open_bench(bench *b, const char *file, dcv_precision precision, int64_t patch, int64_t stride)
{
    dcv_dims dims;
    dcv_backend_kind backend;
    DCV_TRY(dcv_model_open(file, &b->model));
    DCV_TRY(dcv_graph_input_dims(b->model, 0, NULL, &dims));
    DCV_TRY(dcv_graph_new(b->model, &dims, 1, &b->graph));
    DCV_TRY(dcv_backend_choose(&backend));
    for (int a = 0; a < 2; a++)
        b->n[a] = windows(dims.d[2 + a], patch, stride, b->window[a]);
    const dcv_patches_options o = {.precision = precision,
                                   .backend = backend,
                                   .window = {b->window[0], b->window[1]},
                                   .n_window = {b->n[0], b->n[1]},
                                   .seen = &b->graph->logits,
                                   .n_seen = 1,
                                   .pictures = 100};
    const double before = resident();
    DCV_TRY(dcv_patches_new(b->graph, &o, &b->patches));
    const double plan = resident() - before;
    int *seen = dcv_alloc((size_t)b->graph->n_value, sizeof *seen);
    b->picture = dcv_alloc((size_t)dcv_count(&dims), sizeof *b->picture);
    b->fill = dcv_alloc((size_t)dims.d[1], sizeof *b->fill);
    if (!seen || !b->picture || !b->fill)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < dcv_count(&dims); i++)
        b->picture[i] = (float)(i * 7919 % 2001 - 1000) / 1000;
    dcv_engine_options e = {.precision = precision, .backend = backend, .seen = seen, .windows = true};
    e.n_seen = dcv_patches_clean(b->patches, seen);
    DCV_TRY(dcv_engine_new(b->graph, &e, &b->engine));
    DCV_TRY(dcv_engine_pack_own(b->engine));
    dcv_free(seen);
    DCV_TRY(dcv_walk_new(b->engine, &b->whole));
    run_whole(b, DCV_GROUP, NULL, NULL);
    b->resident = resident() - plan;
    DCV_TRY(dcv_patches_attach(b->patches, b->engine));
    DCV_TRY(dcv_patch_walk_new(b->patches, &b->walk));
    float *maps = dcv_alloc(dcv_patches_clean_floats(b->patches), sizeof *maps);
    if (!maps)
        return DCV_ENOMEM;
    dcv_patch_walk_clean_at(b->walk, maps);
    return DCV_OK;
}

static dcv_status run_windows(const bench *b)
{
    static int at[MOST * MOST][2];
    float sum = 0;
    for (int i = 0; i < b->n[0] * b->n[1]; i++) {
        at[i][0] = i / b->n[1];
        at[i][1] = i % b->n[1];
    }
    return dcv_patch_walk_run(b->walk, b->n[0] * b->n[1], (const int(*)[2])at, b->fill, see, &sum);
}

/* Milliseconds of a walk over n, a window: to kinds for times windows; the sum. */
static double add_times(const dcv_engine *e, const dcv_walk *w, int n, int times, kind *kinds)
{
    double sum = 0;
    const double *s = dcv_walk_seconds(w);
    for (int i = 0; i < e->g->n_node; i++) {
        int k = 0;
        while (k < MOST_KINDS - 1 && kinds[k].name && strcmp(kinds[k].name, e->g->node[i].op->name))
            k++;
        kinds[k].name = e->g->node[i].op->name;
        kinds[k].ms += 1e3 * s[i] * times / n;
        sum += 1e3 * s[i] / n;
    }
    return sum;
}

/* A head or tail walked alone, on zeros. */
static dcv_status time_alone(const dcv_patch_head *h, int n, int times, bool nodes, kind *kinds, double *ms)
{
    const dcv_graph *g = &h->g;
    dcv_walk *w;
    const float *zero[MOST_ROOM];
    const float *const *input[MOST_INPUTS];
    int64_t most = 1;
    for (int i = 0; i < g->n_in; i++)
        most = dcv_count(&g->value[g->in[i]].dims) > most ? dcv_count(&g->value[g->in[i]].dims) : most;
    float *room = dcv_alloc((size_t)(2 * most + 4096), sizeof *room);
    if (!room || g->n_in > MOST_INPUTS || n > MOST_ROOM)
        return DCV_ENOMEM;
    for (int k = 0; k < n; k++)
        zero[k] = room;
    for (int i = 0; i < g->n_in; i++)
        input[i] = zero;
    DCV_TRY(dcv_walk_new(h->engine, &w));
    dcv_walk_time(w, true);
    for (int i = 0; i < 3; i++)
        dcv_walk_forward(w, n, input, NULL, NULL);
    *ms = add_times(h->engine, w, n, times, kinds);
    for (int i = 0; nodes && i < g->n_node; i++) {
        const dcv_dims *d = &g->value[g->node[i].out[0]].dims;
        const double t = 1e3 * dcv_walk_seconds(w)[i] / n, macs = (double)dcv_node_macs(g, i);
        printf("  %-24s %-10s %4lld x %3lld x %3lld %8.4f ms %7.1f GFLOP/s %s\n", g->node[i].name, g->node[i].op->name,
               (long long)(d->n > 1 ? d->d[1] : 1), (long long)(d->n > 2 ? d->d[2] : 1),
               (long long)(d->n > 3 ? d->d[3] : 1), t, macs > 0 && t > 0 ? 2e-6 * macs / t : 0,
               dcv_engine_kernel(h->engine, i));
    }
    dcv_walk_free(w);
    dcv_free(room);
    return DCV_OK;
}

/* The head that does most of the work. */
static int busiest_head(const dcv_patches *p)
{
    int best = 0, *count = dcv_alloc((size_t)(p->n_class[0] + p->n_class[1]), sizeof *count);
    double most = -1;
    for (int a = 0; count && a < 2; a++)
        for (int i = 0; i < p->o.n_window[a]; i++)
            count[(a ? p->n_class[0] : 0) + p->class_of[a][i]]++;
    for (int h = 0; count && h < p->n_class[0] * p->n_class[1]; h++) {
        const double work =
            (double)p->head[h].macs * count[h / p->n_class[1]] * count[p->n_class[0] + h % p->n_class[1]];
        best = work > most ? h : best;
        most = work > most ? work : most;
    }
    dcv_free(count);
    return best;
}

/* Where the time goes: by head and by operator. */
static dcv_status show_layers(const bench *b)
{
    const dcv_patches *p = b->patches;
    kind kinds[MOST_KINDS] = {0};
    const int all = b->n[0] * b->n[1];
    double ms, total = 0;
    int count[2] = {0};
    for (int h = 0; h < p->n_class[0] * p->n_class[1]; h++) {
        const int of[2] = {h / p->n_class[1], h % p->n_class[1]};
        for (int a = 0; a < 2; a++) {
            count[a] = 0;
            for (int i = 0; i < b->n[a]; i++)
                count[a] += p->class_of[a][i] == of[a];
        }
        const int n = count[0] * count[1];
        if (!n || !p->head[h].engine)
            continue;
        DCV_TRY(time_alone(&p->head[h], n < DCV_GROUP ? n : DCV_GROUP, n, h == busiest_head(p), kinds, &ms));
        printf("head %d: %d x %d windows, %.3f ms a window, %.3g multiply-adds, %d pastes\n", h, count[0], count[1], ms,
               (double)p->head[h].macs, p->head[h].n_paste);
        total += ms * n;
    }
    if (p->tail.engine) {
        DCV_TRY(time_alone(&p->tail, p->tail_room, all, true, kinds, &ms));
        printf("tail: %.3f ms a window, %.3g multiply-adds\n", ms, (double)p->tail.macs);
        total += ms * all;
    }
    for (int k = 0; k < MOST_KINDS && kinds[k].name; k++)
        printf("%-20s %8.4f ms a window\n", kinds[k].name, kinds[k].ms / all);
    printf("all of heads and tail: %.3f ms a window\n", total / all);
    return DCV_OK;
}

/* What it takes: clean maps, a thread's memory, weights that heads and tail pack beside those of whole walks. */
static void show_memory(const bench *b)
{
    const dcv_patches *p = b->patches;
    size_t own = 0;
    int made = 0;
    for (int h = 0; h < p->n_class[0] * p->n_class[1]; h++) {
        made += p->head[h].engine != NULL;
        own += p->head[h].engine ? dcv_engine_packed_bytes(p->head[h].engine) : 0;
    }
    own += p->tail.engine ? dcv_engine_packed_bytes(p->tail.engine) : 0;
    printf("MiB: clean maps %.1f, a whole walk %.1f, a thread's windows %.1f; weights %.1f, more in %d heads %.1f\n",
           (double)dcv_patches_clean_floats(p) / 262144, (double)dcv_walk_bytes(b->engine) / 1048576,
           (double)dcv_patch_walk_bytes(p) / 1048576, (double)dcv_engine_packed_bytes(b->engine) / 1048576, made,
           (double)own / 1048576);
    printf("MiB resident since windows were begun with: %.1f, of which weights %.1f\n", resident() - b->resident,
           (double)own / 1048576);
}

static dcv_status time_all(const bench *b, int rounds, const char *file, const char *precision)
{
    const int all = b->n[0] * b->n[1], some = all < FULL_WINDOWS ? all : FULL_WINDOWS;
    double macs = 0, full = 1e30, part = 1e30;
    for (int i = 0; i < all; i++)
        macs += (double)dcv_patches_macs(b->patches, i / b->n[1], i % b->n[1]) / all;
    const double bound = (double)dcv_patches_full(b->patches) / macs;
    run_whole(b, 1, keep, b->walk);
    DCV_TRY(run_windows(b));
    for (int r = 0; r < rounds; r++) {
        double t = processor_ms();
        run_whole(b, some, NULL, NULL);
        t = (processor_ms() - t) / some;
        full = t < full ? t : full;
        t = processor_ms();
        DCV_TRY(run_windows(b));
        t = (processor_ms() - t) / all;
        part = t < part ? t : part;
    }
    printf("%s %s: %d windows, ms a window: full %.3f, incremental %.3f; speed-up %.2f, bound %.2f, share %.3f\n", file,
           precision, all, full, part, full / part, bound, full / part / bound);
    show_memory(b);
    return DCV_OK;
}

int main(int argc, char **argv)
{
    static bench b;
    if (argc < 5) {
        fprintf(stderr, "bench_windows MODEL.onnx strict|fast PATCH STRIDE [ROUNDS [layers]]\n");
        return 64;
    }
    const dcv_precision precision = strcmp(argv[2], "fast") ? DCV_STRICT : DCV_FAST;
    dcv_status st = open_bench(&b, argv[1], precision, atoi(argv[3]), atoi(argv[4]));
    if (st == DCV_OK)
        st = time_all(&b, argc > 5 ? atoi(argv[5]) : 3, argv[1], argv[2]);
    if (st == DCV_OK && argc > 6)
        st = show_layers(&b);
    if (st != DCV_OK)
        fprintf(stderr, "bench_windows: %s\n", dcv_message());
    return st == DCV_OK ? 0 : 65;
}
