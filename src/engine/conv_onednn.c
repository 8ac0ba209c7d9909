/* conv_onednn.c -- convolution by oneDNN 2, through its C API; oneDNN lives here only.
 *
 * oneDNN has generated kernels for most shapes and a reference loop, a thousand times slower, for the rest.
 * Which it takes is a matter of shapes, so shapes are brought to what the kernels like (tests/bench/conv_bench.c
 * has the figures):
 *   - channels are rounded up to the block: lanes past C are 0 in our layouts, and weights there are 0, so
 *     that odd channel counts cost nothing but the rounding;
 *   - a first layer of 1 to 4 channels reads plain input;
 *   - groups too narrow for a block are merged, m to one, into groups whose weights are 0 across the old borders
 *     (depthwise has kernels of its own);
 *   - whole groups of 64 outputs go to our own tiles (tile.h), which were faster than its direct kernels on every
 *     shape, or to its Winograd where that is faster still;
 *   - what has only a reference kernel all the same (padding larger than the kernel's register tile, padded
 *     1x1) is left to gemm in plain layout.
 */
#include <dlfcn.h>
#include <dnnl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "engine/act.h"
#include "engine/conv.h"
#include "engine/tile.h"
#include "engine/vector.h"
#include "engine/winograd.h"

enum { N_ARGS = 5, PLAIN_IC = DCV_TILE_PLAIN };

static struct {
    pthread_once_t once;
    dnnl_engine_t engine;
    dnnl_status_t status;
    void (*omp_set_num_threads)(int);
} lib = {.once = PTHREAD_ONCE_INIT};

/* How a convolution is put to the library. */
typedef struct form {
    int n;                  /* pictures in one execution */
    int axes;               /* 2 or 3 */
    int64_t groups, ic, oc; /* after merging and rounding */
    int x_block, y_block;
    bool depthwise, merged;
} form;

struct dcv_conv {
    dcv_conv_desc d;
    bool tiled, wound; /* ours: tile.h, winograd.h */
    dcv_tile tile;
    dcv_winograd winograd;
    form form;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    const dnnl_memory_desc_t *md[N_ARGS];
};

static const int arg_id[N_ARGS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};

struct dcv_conv_call {
    const dcv_conv *c;
    dnnl_stream_t stream;
    dnnl_exec_arg_t arg[N_ARGS];
};

static void start(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&lib.omp_set_num_threads, &symbol, sizeof symbol);
    if (lib.omp_set_num_threads)
        lib.omp_set_num_threads(1);
    lib.status = dnnl_engine_create(&lib.engine, dnnl_cpu, 0);
}

/* oneDNN counts the threads of whoever makes and runs a primitive: both must say one. */
static void one_thread(void)
{
    pthread_once(&lib.once, start);
    if (lib.omp_set_num_threads)
        lib.omp_set_num_threads(1);
    dcv_backend_blas.one_thread();
}

static dcv_status fail(dnnl_status_t st, const char *what)
{
    if (st == dnnl_out_of_memory)
        return dcv_fail(DCV_ENOMEM, "oneDNN: %s: out of memory", what);
    return dcv_fail(DCV_EINTERNAL, "oneDNN: %s: status %d", what, (int)st);
}

#define DNNL_TRY(call)                                                                                                 \
    do {                                                                                                               \
        const dnnl_status_t dnnl_ = (call);                                                                            \
        if (dnnl_ != dnnl_success)                                                                                     \
            return fail(dnnl_, #call);                                                                                 \
    } while (0)

static bool has_avx512(void)
{
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
}

static bool has_avx2(void)
{
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2;
}

static const char *numerics(void)
{
    static char text[64];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "onednn %d.%d.%d %s", v->major, v->minor, v->patch,
             has_avx512() ? "avx512"
             : has_avx2() ? "avx2"
                          : "generic");
    return text;
}

static dcv_status limit(int set)
{
    static const dnnl_cpu_isa_t isa[] = {dnnl_cpu_isa_sse41, dnnl_cpu_isa_avx2, dnnl_cpu_isa_avx512_core};
    DNNL_TRY(dnnl_set_max_cpu_isa(isa[set]));
    return DCV_OK;
}

static int block(void)
{
    return has_avx512() ? 16 : dnnl_get_effective_cpu_isa() ? 8 : 1;
}

static int own(void)
{
    return has_avx512() ? 2 : has_avx2();
}

/* ---- shapes ---- */

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

/* Least number of groups to merge so that a group's channels fill blocks; all of them where none does. */
static int64_t merge(const dcv_conv_desc *d, int b)
{
    for (int64_t m = 1; m < d->groups; m++)
        if (d->groups % m == 0 && m * (d->ic / d->groups) % b == 0 && m * (d->oc / d->groups) % b == 0)
            return m;
    return d->groups;
}

static int64_t cells(const dcv_conv_desc *d, const int64_t *extent)
{
    int64_t n = 1;
    for (int i = 0; i < d->n_space; i++)
        n *= extent[i];
    return n;
}

static form plain_form(const dcv_conv_desc *d)
{
    return (form){.n = d->n,
                  .axes = d->n_space < 3 ? 2 : 3,
                  .groups = d->groups,
                  .ic = d->ic,
                  .oc = d->oc,
                  .x_block = 1,
                  .y_block = 1};
}

static form blocked_form(const dcv_conv_desc *d)
{
    form f = plain_form(d);
    const int b = block();
    const bool first = d->groups == 1 && d->ic <= PLAIN_IC;
    f.x_block = first ? 1 : b;
    f.y_block = b;
    f.depthwise = d->groups > 1 && d->ic == d->groups && d->oc == d->groups && f.axes == 2;
    if (f.depthwise) {
        f.groups = f.ic = f.oc = round_up(d->groups, b);
        return f;
    }
    const int64_t m = merge(d, b);
    f.merged = m > 1;
    f.groups = d->groups / m;
    f.ic = first ? d->ic : round_up(d->ic, b);
    f.oc = round_up(d->oc, b);
    return f;
}

/* Where Winograd was measured faster, on AVX-512: from 16 channels up, 1.1 to 2.9 times (conv_bench.c), but for small
 * maps with so many channels that reading its larger weights takes longer than the sums. */
static bool winograd_pays(const dcv_conv_desc *d)
{
    if (d->precision != DCV_FAST || d->n_space != 2 || d->groups != 1 || d->ic < 16 || d->oc < 16 || !has_avx512())
        return false;
    for (int i = 0; i < 2; i++) {
        const dcv_window *w = &d->win[i];
        if (w->kernel != 3 || w->stride != 1 || w->dilation != 1 || w->pad_lo > 1 || w->pad_hi > 1)
            return false;
    }
    return true;
}

/* ---- descriptors ---- */

static dnnl_format_tag_t tag(int axes, int b)
{
    if (b == 1)
        return axes == 2 ? dnnl_nchw : dnnl_ncdhw;
    if (b == 8)
        return axes == 2 ? dnnl_nChw8c : dnnl_nCdhw8c;
    return axes == 2 ? dnnl_nChw16c : dnnl_nCdhw16c;
}

/* Spatial extents in the library's order; a single axis becomes columns of one row. */
static void space(const dcv_conv_desc *d, const int64_t *extent, dnnl_dim_t *to)
{
    if (d->n_space == 1)
        *to++ = 1;
    for (int i = 0; i < d->n_space; i++)
        to[i] = extent[i];
}

static dnnl_status_t weights_md(const dcv_conv_desc *d, const form *f, dnnl_format_tag_t t, dnnl_memory_desc_t *md)
{
    int64_t kernel[DCV_MAX_SPACE];
    for (int i = 0; i < d->n_space; i++)
        kernel[i] = d->win[i].kernel;
    dnnl_dims_t w = {f->groups, f->oc / f->groups, f->ic / f->groups};
    space(d, kernel, w + 3);
    const int skip = f->groups > 1 ? 0 : 1;
    return dnnl_memory_desc_init_by_tag(md, 3 - skip + f->axes, w + skip, dnnl_f32, t);
}

/* Row-major weights of that form. */
static dnnl_format_tag_t weights_tag(const form *f)
{
    if (f->axes == 2)
        return f->groups > 1 ? dnnl_goihw : dnnl_oihw;
    return f->groups > 1 ? dnnl_goidhw : dnnl_oidhw;
}

/* Below AVX-512 the library's Relu and clip turn a NaN into a number, which would hide that a picture has overflowed:
 * there it is done afterwards. */
static bool activates_after(const dcv_conv_desc *d)
{
    return own() < 2 && (d->act == DCV_ACT_RELU || d->act == DCV_ACT_CLIP);
}

static dnnl_status_t attributes(const dcv_conv_desc *d, dnnl_primitive_attr_t *attr)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t st = dnnl_primitive_attr_create(attr);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (st == dnnl_success)
        st = dnnl_post_ops_create(&ops);
    if (st == dnnl_success && d->add)
        st = dnnl_post_ops_append_sum(ops, 1);
    if (st == dnnl_success && d->act == DCV_ACT_RELU && !activates_after(d))
        st = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
    if (st == dnnl_success && d->act == DCV_ACT_LEAKY)
        st = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, d->act_lo, 0);
    if (st == dnnl_success && d->act == DCV_ACT_CLIP && !activates_after(d))
        st = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_clip, d->act_lo, d->act_hi);
    if (st == dnnl_success && d->act == DCV_ACT_SILU)
        st = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_swish, 1, 0);
    if (st == dnnl_success && d->act == DCV_ACT_HARD_SWISH)
        st = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_hardswish, 0, 0);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_post_ops(*attr, ops);
    if (ops)
        dnnl_post_ops_destroy(ops);
    return st;
}

static dnnl_status_t describe(const dcv_conv_desc *d, const form *f, dnnl_alg_kind_t alg, dnnl_convolution_desc_t *cd)
{
    dnnl_dims_t x = {f->n, f->ic}, y = {f->n, f->oc}, bias = {f->oc}, stride, dilation, lo, hi;
    int64_t s[DCV_MAX_SPACE], e[DCV_MAX_SPACE], l[DCV_MAX_SPACE], h[DCV_MAX_SPACE];
    for (int i = 0; i < d->n_space; i++) {
        s[i] = d->win[i].stride;
        e[i] = d->win[i].dilation - 1;
        l[i] = d->win[i].pad_lo;
        h[i] = d->win[i].pad_hi;
    }
    space(d, d->in, x + 2);
    space(d, d->out, y + 2);
    stride[0] = 1;
    dilation[0] = lo[0] = hi[0] = 0;
    const int lead = d->n_space == 1;
    memcpy(stride + lead, s, (size_t)d->n_space * sizeof *s);
    memcpy(dilation + lead, e, (size_t)d->n_space * sizeof *e);
    memcpy(lo + lead, l, (size_t)d->n_space * sizeof *l);
    memcpy(hi + lead, h, (size_t)d->n_space * sizeof *h);
    dnnl_memory_desc_t xm, wm, bm, ym;
    dnnl_status_t st = dnnl_memory_desc_init_by_tag(&xm, 2 + f->axes, x, dnnl_f32, tag(f->axes, f->x_block));
    if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_tag(&ym, 2 + f->axes, y, dnnl_f32, tag(f->axes, f->y_block));
    if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_tag(&bm, 1, bias, dnnl_f32, dnnl_a);
    if (st == dnnl_success)
        st = weights_md(d, f, dnnl_format_tag_any, &wm);
    if (st != dnnl_success)
        return st;
    return dnnl_dilated_convolution_forward_desc_init(cd, dnnl_forward_inference, alg, &xm, &wm,
                                                      d->has_bias ? &bm : NULL, &ym, stride, dilation, lo, hi);
}

/* A primitive descriptor of that form, or NULL. */
static dnnl_status_t make(const dcv_conv_desc *d, const form *f, dnnl_alg_kind_t alg, dnnl_primitive_desc_t *pd)
{
    *pd = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_convolution_desc_t cd;
    dnnl_status_t st = attributes(d, &attr);
    if (st == dnnl_success)
        st = describe(d, f, alg, &cd);
    if (st == dnnl_success)
        st = dnnl_primitive_desc_create(pd, &cd, attr, lib.engine, NULL);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return st;
}

static const char *implementation(const_dnnl_primitive_desc_t pd)
{
    const char *name = "?";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return name;
}

static bool is_slow(const_dnnl_primitive_desc_t pd)
{
    return !strncmp(implementation(pd), "ref", 3);
}

static bool goes_to_winograd(const dcv_conv_desc *d)
{
    if (d->precision != DCV_FAST)
        return false;
    return own() == 2 ? dcv_winograd_takes(d) : own() == 1 && dcv_winograd8_takes(d);
}

static bool goes_to_tiles(const dcv_conv_desc *d)
{
    return has_avx512() && dcv_tile_takes(d) && !goes_to_winograd(d);
}

/* The form and primitive that a shape gets: a function of shape and instruction set. */
static dnnl_status_t choose(const dcv_conv_desc *d, form *f, dnnl_primitive_desc_t *pd)
{
    *f = blocked_form(d);
    if (f->y_block > 1) {
        if (winograd_pays(d) && make(d, f, dnnl_convolution_winograd, pd) == dnnl_success)
            return dnnl_success;
        if (make(d, f, dnnl_convolution_direct, pd) == dnnl_success && !is_slow(*pd))
            return dnnl_success;
        if (*pd)
            dnnl_primitive_desc_destroy(*pd);
    }
    *f = plain_form(d);
    return make(d, f, dnnl_convolution_direct, pd);
}

static void layout(const dcv_conv_desc *d, int *x_block, int *y_block)
{
    one_thread();
    if (goes_to_winograd(d) || goes_to_tiles(d)) {
        *x_block = d->ic <= PLAIN_IC ? 1 : block();
        *y_block = block();
        return;
    }
    form f;
    dnnl_primitive_desc_t pd;
    dcv_conv_desc one = *d;
    one.n = 1;
    choose(&one, &f, &pd);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    *x_block = f.x_block;
    *y_block = f.y_block;
}

/* ---- life ---- */

static void conv_free(dcv_conv *c)
{
    if (!c)
        return;
    if (c->primitive)
        dnnl_primitive_destroy(c->primitive);
    if (c->pd)
        dnnl_primitive_desc_destroy(c->pd);
    dcv_free(c);
}

/* Pictures that lie close together go in one execution, others one by one. */
static int pictures(const dcv_conv_desc *d, const form *f)
{
    const bool dense = d->x_stride == f->ic * cells(d, d->in) && d->y_stride == f->oc * cells(d, d->out);
    return dense ? d->n : 1;
}

static dcv_status build(dcv_conv *c)
{
    if (lib.status != dnnl_success)
        return fail(lib.status, "dnnl_engine_create");
    c->wound = goes_to_winograd(&c->d);
    c->tiled = goes_to_tiles(&c->d);
    if (c->wound || c->tiled) {
        DCV_CHECK(c->d.x_block == (c->d.ic <= PLAIN_IC ? 1 : block()) && c->d.y_block == block());
        dcv_tile_plan(&c->d, &c->tile);
        (own() == 1 ? dcv_winograd8_plan : dcv_winograd_plan)(&c->d, &c->winograd);
        return DCV_OK;
    }
    dcv_conv_desc one = c->d;
    one.n = 1;
    DNNL_TRY(choose(&one, &c->form, &c->pd));
    DCV_CHECK(c->form.x_block == c->d.x_block && c->form.y_block == c->d.y_block);
    one.n = pictures(&c->d, &c->form);
    if (one.n > 1) {
        dnnl_primitive_desc_destroy(c->pd);
        c->pd = NULL;
        DNNL_TRY(choose(&one, &c->form, &c->pd));
        DCV_CHECK(c->form.x_block == c->d.x_block && c->form.y_block == c->d.y_block);
    }
    DNNL_TRY(dnnl_primitive_create(&c->primitive, c->pd));
    c->md[0] = dnnl_primitive_desc_query_md(c->pd, dnnl_query_src_md, 0);
    c->md[1] = dnnl_primitive_desc_query_md(c->pd, dnnl_query_weights_md, 0);
    c->md[2] = c->d.has_bias ? dnnl_primitive_desc_query_md(c->pd, dnnl_query_weights_md, 1) : NULL;
    c->md[3] = dnnl_primitive_desc_query_md(c->pd, dnnl_query_dst_md, 0);
    c->md[4] = dnnl_primitive_desc_query_md(c->pd, dnnl_query_scratchpad_md, 0);
    return DCV_OK;
}

static dcv_status conv_new(const dcv_conv_desc *d, dcv_conv **out)
{
    one_thread();
    dcv_conv *c = *out = dcv_alloc(1, sizeof *c);
    if (!c)
        return DCV_ENOMEM;
    c->d = *d;
    const dcv_status st = build(c);
    if (st != DCV_OK) {
        conv_free(c);
        *out = NULL;
    }
    return st;
}

static void call_free(dcv_conv_call *call)
{
    if (!call)
        return;
    for (int i = 0; i < N_ARGS; i++)
        if (call->arg[i].memory)
            dnnl_memory_destroy(call->arg[i].memory);
    if (call->stream)
        dnnl_stream_destroy(call->stream);
    dcv_free(call);
}

static dcv_status bind(dcv_conv_call *call)
{
    DNNL_TRY(dnnl_stream_create(&call->stream, lib.engine, dnnl_stream_default_flags));
    for (int i = 0; i < N_ARGS; i++) {
        call->arg[i].arg = arg_id[i];
        if (call->c->md[i])
            DNNL_TRY(dnnl_memory_create(&call->arg[i].memory, call->c->md[i], lib.engine, DNNL_MEMORY_NONE));
    }
    return DCV_OK;
}

static dcv_status call_new(const dcv_conv *c, dcv_conv_call **out)
{
    dcv_conv_call *call = *out = dcv_alloc(1, sizeof *call);
    if (!call)
        return DCV_ENOMEM;
    call->c = c;
    const dcv_status st = c->tiled || c->wound ? DCV_OK : bind(call);
    if (st != DCV_OK) {
        call_free(call);
        *out = NULL;
    }
    return st;
}

static size_t packed_bytes(const dcv_conv *c)
{
    if (c->wound)
        return dcv_winograd_packed_bytes(&c->winograd);
    return c->tiled ? dcv_tile_packed_bytes(&c->tile) : dnnl_memory_desc_get_size(c->md[1]);
}

static bool same_packing(const dcv_conv *a, const dcv_conv *b)
{
    if (a->tiled != b->tiled || a->wound != b->wound || a->d.ic != b->d.ic || a->d.oc != b->d.oc ||
        a->d.groups != b->d.groups || packed_bytes(a) != packed_bytes(b))
        return false;
    return a->tiled || a->wound || dnnl_memory_desc_equal(a->md[1], b->md[1]);
}

static size_t scratch_bytes(const dcv_conv *c)
{
    if (c->wound)
        return dcv_winograd_scratch_bytes(&c->winograd);
    if (c->tiled)
        return dcv_tile_scratch_bytes(&c->tile);
    return c->md[4] ? dnnl_memory_desc_get_size(c->md[4]) : 0;
}

/* ---- weights ---- */

/* Row-major weights in the form's channels, 0 where it has more than the convolution. */
static void widen(const dcv_conv *c, const float *w, const float *scale, float *to)
{
    const form *f = &c->form;
    int64_t taps = 1;
    for (int i = 0; i < c->d.n_space; i++)
        taps *= c->d.win[i].kernel;
    const int64_t icg = c->d.ic / c->d.groups, ocg = c->d.oc / c->d.groups;
    const int64_t wide_icg = f->ic / f->groups;
    for (int64_t o = 0; o < c->d.oc; o++) { /* output channels keep their numbers: rounding only adds at the end */
        const int64_t at = o / ocg * icg % wide_icg; /* where its group's input begins in the wide group */
        float *row = to + (o * wide_icg + at) * taps;
        for (int64_t i = 0; i < icg * taps; i++)
            row[i] = scale ? w[o * icg * taps + i] * scale[o] : w[o * icg * taps + i];
    }
}

static dcv_status reorder(const dnnl_memory_desc_t *from, void *a, const dnnl_memory_desc_t *to, void *b)
{
    dcv_status st = DCV_OK;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t p = NULL;
    dnnl_memory_t x = NULL, y = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_status_t e = dnnl_reorder_primitive_desc_create(&pd, from, lib.engine, to, lib.engine, NULL);
    if (e == dnnl_success)
        e = dnnl_primitive_create(&p, pd);
    if (e == dnnl_success)
        e = dnnl_memory_create(&x, from, lib.engine, a);
    if (e == dnnl_success)
        e = dnnl_memory_create(&y, to, lib.engine, b);
    if (e == dnnl_success)
        e = dnnl_stream_create(&stream, lib.engine, dnnl_stream_default_flags);
    if (e == dnnl_success) {
        const dnnl_exec_arg_t arg[2] = {{DNNL_ARG_FROM, x}, {DNNL_ARG_TO, y}};
        e = dnnl_primitive_execute(p, stream, 2, arg);
    }
    if (e == dnnl_success)
        e = dnnl_stream_wait(stream);
    if (e != dnnl_success)
        st = fail(e, "reorder of weights");
    if (stream)
        dnnl_stream_destroy(stream);
    if (y)
        dnnl_memory_destroy(y);
    if (x)
        dnnl_memory_destroy(x);
    if (p)
        dnnl_primitive_destroy(p);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    return st;
}

static dcv_status pack(const dcv_conv *c, const float *w, const float *scale, void *packed)
{
    if (c->wound) {
        dcv_winograd_pack(&c->winograd, w, scale, packed);
        return DCV_OK;
    }
    if (c->tiled) {
        dcv_tile_pack(&c->tile, w, scale, packed);
        return DCV_OK;
    }
    one_thread();
    dnnl_memory_desc_t md;
    DNNL_TRY(weights_md(&c->d, &c->form, weights_tag(&c->form), &md));
    float *wide = dcv_alloc(dnnl_memory_desc_get_size(&md), 1);
    if (!wide)
        return DCV_ENOMEM;
    widen(c, w, scale, wide);
    const dcv_status st = reorder(&md, wide, c->md[1], packed);
    dcv_free(wide);
    return st;
}

/* ---- running ---- */

static void set(dcv_conv_call *call, int i, const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {.in = p}; /* the library takes one kind of pointer for what it reads and writes */
    if (call->arg[i].memory)
        DCV_CHECK(dnnl_memory_set_data_handle(call->arg[i].memory, u.out) == dnnl_success);
}

DCV_CLONES static void activate(float lo, float hi, int64_t n, float *y)
{
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        const float v = y[i] < lo ? lo : y[i];
        y[i] = v > hi ? hi : v;
    }
}

/* Tiles and Winograd clamp; curves are left to a pass of their own. */
static void bend(const dcv_conv *c, int n, float *y, int64_t y_stride)
{
    const int64_t floats = round_up(c->d.oc, c->d.y_block) * cells(&c->d, c->d.out);
    for (int p = 0; p < n && dcv_act_is_curve(c->d.act); p++)
        dcv_act_run(c->d.act, floats, y + p * y_stride);
}

static void run(dcv_conv_call *call, const float *x, const void *packed, const float *bias, float *y, void *scratch)
{
    const dcv_conv *c = call->c;
    if (c->wound || c->tiled) {
        if (c->wound)
            dcv_winograd_run(&c->winograd, x, packed, bias, y, scratch);
        else
            dcv_tile_run(&c->tile, x, packed, bias, y, scratch);
        bend(c, c->d.n, y, c->d.y_stride);
        return;
    }
    dnnl_exec_arg_t arg[N_ARGS];
    set(call, 1, packed);
    set(call, 2, bias);
    set(call, 4, scratch);
    int n_arg = 0;
    for (int i = 0; i < N_ARGS; i++)
        if (call->arg[i].memory)
            arg[n_arg++] = call->arg[i];
    for (int p = 0; p < c->d.n; p += c->form.n, x += c->d.x_stride, y += c->d.y_stride) {
        set(call, 0, x);
        set(call, 3, y);
        DCV_CHECK(dnnl_primitive_execute(c->primitive, call->stream, n_arg, arg) == dnnl_success);
        if (activates_after(&c->d))
            activate(c->d.act == DCV_ACT_RELU ? 0 : c->d.act_lo, c->d.act == DCV_ACT_RELU ? INFINITY : c->d.act_hi,
                     c->form.n * c->form.oc * cells(&c->d, c->d.out), y);
    }
}

static void run_some(dcv_conv_call *call, int n, const float *x, int64_t x_stride, const void *packed,
                     const float *bias, float *y, int64_t y_stride, void *scratch)
{
    const dcv_conv *c = call->c;
    if (c->wound) {
        dcv_winograd_run_some(&c->winograd, n, x, x_stride, packed, bias, y, y_stride, scratch);
        bend(c, n, y, y_stride);
        return;
    }
    for (int p = 0; p < n; p++)
        run(call, x + p * x_stride, packed, bias, y + p * y_stride, scratch);
}

static const char *kernel(const dcv_conv *c)
{
    if (c->wound)
        return c->winograd.lanes == 8 ? "winograd_4x3:avx2" : "winograd_4x3:avx512";
    return c->tiled ? "tile:avx512" : implementation(c->pd);
}

const dcv_backend dcv_backend_onednn = {
    .name = "onednn",
    .numerics = numerics,
    .limit = limit,
    .one_thread = one_thread,
    .block = block,
    .own = own,
    .layout = layout,
    .conv_new = conv_new,
    .conv_free = conv_free,
    .call_new = call_new,
    .call_free = call_free,
    .packed_bytes = packed_bytes,
    .same_packing = same_packing,
    .scratch_bytes = scratch_bytes,
    .pack = pack,
    .run = run,
    .run_some = run_some,
    .kernel = kernel,
};
