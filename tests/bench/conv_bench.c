/* conv_bench.c -- what oneDNN gives for the convolutions of known networks: direct and Winograd, with and
 * without the fused sum, at batch 1 on one thread.  The rules in src/engine/conv_onednn.c were read
 * off its table (conv_bench.txt).
 *
 *   cc -O2 conv_bench.c -ldnnl -lm -o conv_bench && OMP_NUM_THREADS=1 ./conv_bench
 */
#include <dnnl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct shape {
    const char *net;
    int count;
    long ic, oc, h, k, s, p, g;
} shape;
static const shape shapes[] = {
#define X(...) {__VA_ARGS__},
#include "conv_shapes.def"
};
#define OK(c)                                                                                                          \
    do {                                                                                                               \
        int e_ = (c);                                                                                                  \
        if (e_) {                                                                                                      \
            fprintf(stderr, "%s: %d\n", #c, e_);                                                                       \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)
static dnnl_engine_t eng;
static dnnl_stream_t stream;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct test {
    dnnl_primitive_t prim;
    dnnl_exec_arg_t arg[5];
    char impl[64];
    double best;
} test;

static dnnl_memory_t memory(const_dnnl_primitive_desc_t pd, dnnl_query_t q)
{
    const dnnl_memory_desc_t *d = dnnl_primitive_desc_query_md(pd, q, 0);
    const size_t bytes = dnnl_memory_desc_get_size(d);
    float *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    for (size_t i = 0; i < bytes / 4; i++)
        p[i] = (float)(i % 17) / 17 - 0.4f;
    dnnl_memory_t m;
    OK(dnnl_memory_create(&m, d, eng, p));
    return m;
}

static int make(const shape *s, dnnl_alg_kind_t alg, int sum, test *t)
{
    const long o = (s->h + 2 * s->p - s->k) / s->s + 1;
    dnnl_dims_t xd = {1, s->ic, s->h, s->h}, yd = {1, s->oc, o, o}, bd = {s->oc};
    dnnl_dims_t wd = {s->oc, s->ic, s->k, s->k}, gd = {s->g, s->oc / s->g, s->ic / s->g, s->k, s->k};
    dnnl_dims_t str = {s->s, s->s}, pad = {s->p, s->p};
    dnnl_memory_desc_t x, w, b, y;
    OK(dnnl_memory_desc_init_by_tag(&x, 4, xd, dnnl_f32, s->ic <= 4 ? dnnl_nchw : dnnl_nChw16c));
    OK(dnnl_memory_desc_init_by_tag(&y, 4, yd, dnnl_f32, dnnl_nChw16c));
    if (s->g > 1)
        OK(dnnl_memory_desc_init_by_tag(&w, 5, gd, dnnl_f32, dnnl_format_tag_any));
    else
        OK(dnnl_memory_desc_init_by_tag(&w, 4, wd, dnnl_f32, dnnl_format_tag_any));
    OK(dnnl_memory_desc_init_by_tag(&b, 1, bd, dnnl_f32, dnnl_a));
    dnnl_convolution_desc_t d;
    if (dnnl_convolution_forward_desc_init(&d, dnnl_forward_inference, alg, &x, &w, &b, &y, str, pad, pad))
        return 0;
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t po;
    OK(dnnl_primitive_attr_create(&attr));
    OK(dnnl_post_ops_create(&po));
    if (sum)
        OK(dnnl_post_ops_append_sum(po, 1.0f));
    OK(dnnl_post_ops_append_eltwise(po, 1.0f, dnnl_eltwise_relu, 0, 0));
    OK(dnnl_primitive_attr_set_post_ops(attr, po));
    dnnl_primitive_desc_t pd;
    if (dnnl_primitive_desc_create(&pd, &d, attr, eng, NULL))
        return 0;
    const char *name;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    snprintf(t->impl, sizeof t->impl, "%s", name);
    OK(dnnl_primitive_create(&t->prim, pd));
    const int id[4] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST};
    const dnnl_query_t q[4] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_weights_md, dnnl_query_dst_md};
    for (int i = 0; i < 4; i++) {
        t->arg[i].arg = id[i];
        if (i == 2)
            OK(dnnl_memory_create(&t->arg[i].memory, dnnl_primitive_desc_query_md(pd, q[i], 1), eng,
                                  calloc((size_t)s->oc + 64, 4)));
        else
            t->arg[i].memory = memory(pd, q[i]);
    }
    t->best = 1e9;
    return 1;
}

static void clear(test *t)
{
    for (int i = 0; i < 4; i++) {
        void *p;
        dnnl_memory_get_data_handle(t->arg[i].memory, &p);
        dnnl_memory_destroy(t->arg[i].memory);
        free(p);
    }
    dnnl_primitive_destroy(t->prim);
}

static void once(test *t)
{
    const double t0 = now();
    OK(dnnl_primitive_execute(t->prim, stream, 4, t->arg));
    OK(dnnl_stream_wait(stream));
    const double s = now() - t0;
    if (s < t->best)
        t->best = s;
}

int main(int argc, char **argv)
{
    OK(dnnl_engine_create(&eng, dnnl_cpu, 0));
    OK(dnnl_stream_create(&stream, eng, dnnl_stream_default_flags));
    printf("%-14s %4s %4s %4s k s g | %8s %7s | %8s %7s | %8s %7s | %8s %7s  kernels\n", "net", "ic", "oc", "rows",
           "direct", "GF/s", "winograd", "GF/s", "dir+sum", "GF/s", "win+sum", "GF/s");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape *s = &shapes[i];
        if (argc > 1 && strcmp(argv[1], s->net))
            continue;
        test t[4];
        int have[4];
        for (int j = 0; j < 4; j++)
            have[j] = make(s, j & 1 ? dnnl_convolution_winograd : dnnl_convolution_direct, j >> 1, &t[j]);
        const double stop = now() + 0.25;
        for (int r = 0; r < 5 || (now() < stop && r < 300); r++)
            for (int j = 0; j < 4; j++)
                if (have[j])
                    once(&t[j]);
        const long o = (s->h + 2 * s->p - s->k) / s->s + 1;
        const double gf = 2e-9 * (double)(o * o * s->oc * s->ic / s->g * s->k * s->k);
        printf("%-14s %4ld %4ld %4ld %ld %ld %ld", s->net, s->ic, s->oc, s->h, s->k, s->s, s->g);
        for (int j = 0; j < 4; j++) {
            if (have[j])
                printf(" | %8.3f %7.1f", t[j].best * 1e3, gf / t[j].best);
            else
                printf(" | %8s %7s", "-", "-");
        }
        printf("  %s", have[0] ? t[0].impl : "-");
        if (have[1])
            printf(" %s", t[1].impl);
        printf("\n");
        fflush(stdout);
        for (int j = 0; j < 4; j++)
            if (have[j])
                clear(&t[j]);
    }
    return 0;
}
