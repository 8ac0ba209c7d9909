/* bench_turns.c -- one walk forward for each line of standard input: for turns.py, which lets others run in between.
 *
 *   bench_turns MODEL.onnx strict|fast PICTURES
 *
 * Answers each line with milliseconds per picture: elapsed, and of the processor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "deconvoy/engine.h"

static double ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static dcv_status open_walk(const char *file, dcv_precision precision, dcv_dims *dims, dcv_walk **out)
{
    dcv_model *m;
    dcv_graph *g;
    dcv_engine *e;
    dcv_engine_options o = {.precision = precision};
    DCV_TRY(dcv_model_open(file, &m));
    DCV_TRY(dcv_graph_input_dims(m, 0, NULL, dims));
    DCV_TRY(dcv_graph_new(m, dims, 1, &g));
    DCV_TRY(dcv_backend_choose(&o.backend));
    DCV_TRY(dcv_engine_new(g, &o, &e));
    DCV_TRY(dcv_engine_pack_own(e));
    return dcv_walk_new(e, out);
}

static int answer(dcv_walk *w, int n, const float *picture)
{
    const float *group[DCV_GROUP];
    const float *const *const input[1] = {group};
    char line[64];
    for (int p = 0; p < DCV_GROUP; p++)
        group[p] = picture;
    while (fgets(line, sizeof line, stdin)) {
        const double elapsed = ms(CLOCK_MONOTONIC), used = ms(CLOCK_PROCESS_CPUTIME_ID);
        dcv_walk_forward(w, n, input, NULL, NULL);
        printf("%.5f %.5f\n", (ms(CLOCK_MONOTONIC) - elapsed) / n, (ms(CLOCK_PROCESS_CPUTIME_ID) - used) / n);
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const int n = argc == 4 ? atoi(argv[3]) : 0;
    dcv_dims dims;
    dcv_walk *w;
    if (n < 1 || n > DCV_GROUP) {
        fprintf(stderr, "bench_turns MODEL.onnx strict|fast PICTURES (1 to %d)\n", DCV_GROUP);
        return 64;
    }
    if (open_walk(argv[1], strcmp(argv[2], "fast") ? DCV_STRICT : DCV_FAST, &dims, &w) != DCV_OK) {
        fprintf(stderr, "bench_turns: %s\n", dcv_message());
        return 65;
    }
    float *picture = dcv_alloc((size_t)dcv_count(&dims), sizeof *picture);
    for (int64_t i = 0; picture && i < dcv_count(&dims); i++)
        picture[i] = (float)(i * 7919 % 2001 - 1000) / 1000;
    return picture ? answer(w, n, picture) : 70;
}
