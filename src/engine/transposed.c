/* transposed.c -- transposed convolutions. */
#include "engine/transposed.h"

#include <math.h>
#include <string.h>
#include "engine/adjoint.h"
#include "engine/transposed_avx2.h"
#include "engine/vector.h"

typedef enum form { FLIPPED, OWN, ADJOINT } form;

struct dcv_conv {
    dcv_conv_desc d, mirror;
    const dcv_backend *back;
    form kind;
    dcv_conv *conv;       /* FLIPPED */
    dcv_transposed8 own;  /* OWN */
    dcv_adjoint *adjoint; /* ADJOINT */
};

struct dcv_conv_call {
    const dcv_conv *c;
    dcv_conv_call *inner; /* of the convolution, if there is one */
};

dcv_conv_desc dcv_transposed_mirror(const dcv_conv_desc *d)
{
    dcv_conv_desc m = {
        .n = 1, .n_space = d->n_space, .groups = d->groups, .ic = d->oc, .oc = d->ic, .precision = d->precision};
    for (int i = 0; i < d->n_space; i++) {
        m.in[i] = d->out[i];
        m.out[i] = d->in[i];
        m.win[i] = d->win[i];
        const int64_t end = (d->in[i] - 1) * m.win[i].stride + (m.win[i].kernel - 1) * m.win[i].dilation + 1;
        m.win[i].pad_hi = end - d->out[i] - m.win[i].pad_lo;
    }
    return m;
}

/* As a convolution of stride 1, with what is fused in. */
static bool flipped(const dcv_conv_desc *d, dcv_conv_desc *t)
{
    const dcv_conv_desc m = dcv_transposed_mirror(d);
    if (!dcv_adjoint_flip(&m, t))
        return false;
    t->n = d->n;
    t->together = d->together;
    t->has_bias = d->has_bias;
    t->add = d->add;
    t->act = d->act;
    t->act_lo = d->act_lo;
    t->act_hi = d->act_hi;
    t->x_block = d->x_block;
    t->y_block = d->y_block;
    t->x_stride = d->x_stride;
    t->y_stride = d->y_stride;
    return true;
}

/* As kernels of our own take it.  The stride along an axis of one cell does not matter: the longest one makes each
 * cell of the output a class of its own, so that it is a product. */
static bool owned(const dcv_backend *back, const dcv_conv_desc *d, dcv_conv_desc *t)
{
    bool strided = false;
    *t = *d;
    for (int i = 0; i < d->n_space; i++) {
        dcv_window *w = &t->win[i];
        if (d->in[i] == 1)
            w->stride = (w->kernel - 1) * w->dilation + 1;
        strided = strided || w->stride > 1;
    }
    return back->own() == 1 && strided && dcv_transposed8_takes(t);
}

bool dcv_transposed_adds(dcv_backend_kind kind, const dcv_conv_desc *d)
{
    dcv_conv_desc t;
    return owned(dcv_backend_of(kind), d, &t) || flipped(d, &t);
}

/* ---- life ---- */

static void layout(const dcv_backend *back, const dcv_conv_desc *d, int *x_block, int *y_block)
{
    dcv_conv_desc t;
    if (owned(back, d, &t)) {
        *x_block = *y_block = 8;
        return;
    }
    if (flipped(d, &t)) {
        back->layout(&t, x_block, y_block);
        return;
    }
    const dcv_conv_desc m = dcv_transposed_mirror(d);
    dcv_adjoint_layout(back, &m, x_block, y_block);
}

static void conv_free(dcv_conv *c)
{
    if (!c)
        return;
    if (c->conv)
        c->back->conv_free(c->conv);
    dcv_adjoint_free(c->adjoint);
    dcv_free(c);
}

static dcv_status build(dcv_conv *c)
{
    dcv_conv_desc t;
    c->mirror = dcv_transposed_mirror(&c->d);
    if (owned(c->back, &c->d, &t)) {
        c->kind = OWN;
        dcv_transposed8_plan(&t, &c->own);
        return DCV_OK;
    }
    if (flipped(&c->d, &t)) {
        c->kind = FLIPPED;
        return c->back->conv_new(&t, &c->conv);
    }
    c->kind = ADJOINT;
    DCV_CHECK(!c->d.add);
    return dcv_adjoint_new(c->back, &c->mirror, NULL, &c->adjoint);
}

static dcv_status conv_new(const dcv_backend *back, const dcv_conv_desc *d, dcv_conv **out)
{
    dcv_conv *c = *out = dcv_alloc(1, sizeof *c);
    if (!c)
        return DCV_ENOMEM;
    c->d = *d;
    c->back = back;
    const dcv_status st = build(c);
    if (st != DCV_OK) {
        conv_free(c);
        *out = NULL;
    }
    return st;
}

/* The convolution of the back end that does the work, or NULL. */
static const dcv_conv *inner(const dcv_conv *c)
{
    return c->kind == FLIPPED ? c->conv : c->kind == ADJOINT ? c->adjoint->conv : NULL;
}

static void call_free(dcv_conv_call *call)
{
    if (!call)
        return;
    if (call->inner)
        call->c->back->call_free(call->inner);
    dcv_free(call);
}

static dcv_status call_new(const dcv_conv *c, dcv_conv_call **out)
{
    dcv_conv_call *call = *out = dcv_alloc(1, sizeof *call);
    if (!call)
        return DCV_ENOMEM;
    call->c = c;
    const dcv_status st = inner(c) ? c->back->call_new(inner(c), &call->inner) : DCV_OK;
    if (st != DCV_OK) {
        call_free(call);
        *out = NULL;
    }
    return st;
}

/* ---- weights ---- */

static size_t packed_bytes(const dcv_conv *c)
{
    if (c->kind == OWN)
        return dcv_transposed8_packed_bytes(&c->own);
    return c->kind == FLIPPED ? c->back->packed_bytes(c->conv) : c->adjoint->packed_bytes;
}

static bool same_packing(const dcv_conv *a, const dcv_conv *b)
{
    if (a->kind != b->kind || a->back != b->back || a->d.groups != b->d.groups)
        return false;
    if (a->kind == OWN)
        return dcv_transposed8_same_packing(&a->own, &b->own);
    return a->kind == FLIPPED ? a->back->same_packing(a->conv, b->conv)
                              : dcv_adjoint_same_packing(a->adjoint, b->adjoint);
}

static size_t scratch_bytes(const dcv_conv *c)
{
    if (c->kind == OWN)
        return dcv_transposed8_scratch_bytes(&c->own);
    return c->kind == FLIPPED ? c->back->scratch_bytes(c->conv) : c->adjoint->scratch_bytes;
}

/* Weights [ic, oc/groups, kernel...], each times its output channel's scale. */
static float *scaled(const dcv_conv *c, const float *w, const float *scale)
{
    const int64_t ocg = c->d.oc / c->d.groups, icg = c->d.ic / c->d.groups;
    int64_t taps = 1;
    for (int i = 0; i < c->d.n_space; i++)
        taps *= c->d.win[i].kernel;
    float *to = dcv_alloc((size_t)(c->d.ic * ocg * taps), sizeof *to);
    for (int64_t i = 0; to && i < c->d.ic; i++)
        for (int64_t o = 0; o < ocg; o++)
            for (int64_t t = 0; t < taps; t++) {
                const int64_t at = (i * ocg + o) * taps + t;
                to[at] = w[at] * scale[i / icg * ocg + o];
            }
    return to;
}

static dcv_status pack(const dcv_conv *c, const float *w, const float *scale, void *packed)
{
    if (c->kind == OWN) {
        dcv_transposed8_pack(&c->own, w, scale, packed);
        return DCV_OK;
    }
    float *own = scale ? scaled(c, w, scale) : NULL;
    if (scale && !own)
        return DCV_ENOMEM;
    w = own ? own : w;
    const dcv_status st = c->kind == FLIPPED ? dcv_adjoint_pack_flipped(c->back, c->conv, &c->mirror, w, packed)
                                             : dcv_adjoint_pack(c->adjoint, w, NULL, packed);
    dcv_free(own);
    return st;
}

/* ---- running ---- */

/* What an activation does: slope times negative numbers, then limits. */
typedef struct bend {
    float slope, lo, hi;
} bend;

static bend bend_of(const dcv_conv_desc *d)
{
    return (bend){.slope = d->act == DCV_ACT_LEAKY ? d->act_lo : 1,
                  .lo = d->act == DCV_ACT_RELU   ? 0
                        : d->act == DCV_ACT_CLIP ? d->act_lo
                                                 : -INFINITY,
                  .hi = d->act == DCV_ACT_CLIP ? d->act_hi : INFINITY};
}

DCV_INLINE float bent(bend f, float v)
{
    v = v < 0 ? f.slope * v : v;
    v = v < f.lo ? f.lo : v;
    return v > f.hi ? f.hi : v;
}

/* n cells of all lanes of a block. */
DCV_INLINE void finish_block(const float *bias, bend f, int64_t n, int lanes, float *y)
{
    for (int64_t i = 0; i < n; i++)
        for (int l = 0; l < lanes; l++)
            y[i * lanes + l] = bent(f, y[i * lanes + l] + bias[l]);
}

DCV_CLONES static void finish_lanes(const float *bias, bend f, int64_t n, int lanes, float *y)
{
    if (lanes == 16)
        finish_block(bias, f, n, 16, y);
    else if (lanes == 8)
        finish_block(bias, f, n, 8, y);
    else
        finish_block(bias, f, n, 1, y);
}

/* y = act(y + bias) */
static void finish(const dcv_conv_desc *d, const float *bias, float *y)
{
    static const float none[16];
    int64_t cells = 1;
    for (int i = 0; i < d->n_space; i++)
        cells *= d->out[i];
    if (!bias && d->act == DCV_ACT_NONE)
        return;
    for (int64_t c = 0; c < d->oc; c += d->y_block)
        finish_lanes(bias ? bias + c : none, bend_of(d), cells, d->y_block, y + c * cells);
}

static void run(dcv_conv_call *call, const float *x, const void *packed, const float *bias, float *y, void *scratch)
{
    const dcv_conv *c = call->c;
    if (c->kind == OWN) {
        dcv_transposed8_run(&c->own, 1, x, 0, packed, bias, y, 0, scratch);
        return;
    }
    if (c->kind == FLIPPED) {
        c->back->run(call->inner, x, packed, bias, y, scratch);
        return;
    }
    dcv_adjoint_run(c->adjoint, call->inner, x, packed, false, y, scratch);
    finish(&c->d, bias, y);
}

static void run_some(dcv_conv_call *call, int n, const float *x, int64_t x_stride, const void *packed,
                     const float *bias, float *y, int64_t y_stride, void *scratch)
{
    const dcv_conv *c = call->c;
    if (c->kind == OWN) {
        dcv_transposed8_run(&c->own, n, x, x_stride, packed, bias, y, y_stride, scratch);
        return;
    }
    if (c->kind == FLIPPED && c->back->run_some) {
        c->back->run_some(call->inner, n, x, x_stride, packed, bias, y, y_stride, scratch);
        return;
    }
    for (int p = 0; p < n; p++)
        run(call, x + p * x_stride, packed, bias, y + p * y_stride, scratch);
}

static const char *kernel(const dcv_conv *c)
{
    if (c->kind == OWN)
        return "transposed:avx2";
    return c->kind == FLIPPED ? c->back->kernel(c->conv) : dcv_adjoint_kernel(c->adjoint);
}

/* ---- one offer a back end ---- */

static void layout_blas(const dcv_conv_desc *d, int *x_block, int *y_block)
{
    layout(&dcv_backend_blas, d, x_block, y_block);
}

static dcv_status new_blas(const dcv_conv_desc *d, dcv_conv **out)
{
    return conv_new(&dcv_backend_blas, d, out);
}

#define SHARED                                                                                                         \
    .conv_free = conv_free, .call_new = call_new, .call_free = call_free, .packed_bytes = packed_bytes,                \
    .same_packing = same_packing, .scratch_bytes = scratch_bytes, .pack = pack, .run = run, .run_some = run_some,      \
    .kernel = kernel

static const dcv_backend transposed_blas = {.name = "blas", .layout = layout_blas, .conv_new = new_blas, SHARED};

#ifdef DCV_HAVE_ONEDNN
static void layout_onednn(const dcv_conv_desc *d, int *x_block, int *y_block)
{
    layout(&dcv_backend_onednn, d, x_block, y_block);
}

static dcv_status new_onednn(const dcv_conv_desc *d, dcv_conv **out)
{
    return conv_new(&dcv_backend_onednn, d, out);
}

static const dcv_backend transposed_onednn = {
    .name = "onednn", .layout = layout_onednn, .conv_new = new_onednn, SHARED};
#endif

const dcv_backend *dcv_transposed_of(dcv_backend_kind kind)
{
#ifdef DCV_HAVE_ONEDNN
    if (kind == DCV_BACKEND_ONEDNN)
        return &transposed_onednn;
#endif
    return &transposed_blas;
}
