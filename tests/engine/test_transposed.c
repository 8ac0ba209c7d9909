/* test_transposed.c -- transposed convolutions with all that is fused in, against the definition summed in double
 * precision: on both back ends, in both precisions, memory that nobody may read set to NaN; several pictures at once
 * give the bits of each alone; and walked back, they satisfy <W x, y> = <x, W' y>. */
#include "check.h"
#include "deconvoy/memory.h"
#include "engine/adjoint.h"
#include "engine/transposed.h"

typedef struct shape {
    int64_t groups, ic, oc;
    int n_space;
    int64_t in[3], more[3]; /* more: cells at the end */
    dcv_window win[3];
} shape;

#define W(k, s, d, lo, hi)                                                                                             \
    {                                                                                                                  \
        k, s, d, lo, hi                                                                                                \
    }
static const shape shapes[] = {
    /* stride 1 */
    {1, 16, 64, 2, {9, 13}, {0}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 40, 24, 2, {14, 15}, {0}, {W(3, 1, 1, 0, 0), W(3, 1, 1, 2, 1)}},
    {1, 8, 3, 2, {7, 6}, {0}, {W(5, 1, 1, 2, 2), W(3, 1, 2, 1, 1)}},
    {3, 12, 18, 2, {5, 6}, {0}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    /* a single cell, along one axis or both */
    {1, 100, 40, 2, {1, 1}, {0}, {W(4, 1, 1, 0, 0), W(4, 1, 1, 0, 0)}},
    {1, 20, 33, 2, {1, 5}, {0}, {W(3, 2, 2, 1, 0), W(3, 1, 1, 1, 1)}},
    /* strided */
    {1, 64, 48, 2, {4, 4}, {0}, {W(4, 2, 1, 1, 1), W(4, 2, 1, 1, 1)}},
    {1, 24, 8, 2, {20, 31}, {0}, {W(2, 2, 1, 0, 0), W(2, 2, 1, 0, 0)}},
    {1, 17, 40, 2, {6, 7}, {1, 1}, {W(3, 2, 1, 1, 1), W(3, 2, 1, 1, 1)}},
    {1, 16, 16, 2, {5, 9}, {2, 0}, {W(2, 3, 1, 0, 0), W(1, 4, 1, 0, 0)}},
    {1, 16, 20, 2, {7, 8}, {0}, {W(4, 2, 1, 3, 3), W(4, 2, 1, 3, 3)}},
    {1, 9, 24, 2, {5, 6}, {1, 2}, {W(3, 2, 3, 1, 1), W(3, 3, 2, 2, 0)}},
    {1, 9, 24, 2, {5, 6}, {0}, {W(3, 4, 6, 0, 0), W(2, 6, 4, 1, 1)}},
    {1, 32, 16, 1, {23}, {1}, {W(5, 3, 1, 2, 1)}},
    {1, 8, 12, 2, {4, 4}, {7, 9}, {W(3, 2, 1, 1, 0), W(3, 2, 1, 0, 1)}},
    /* by columns */
    {1, 16, 3, 2, {9, 8}, {0}, {W(4, 2, 1, 1, 1), W(4, 2, 1, 1, 1)}},
    {4, 16, 32, 2, {5, 4}, {0}, {W(4, 2, 1, 1, 1), W(4, 2, 1, 1, 1)}},
    {1, 10, 12, 3, {3, 4, 3}, {1, 0, 1}, {W(3, 2, 1, 1, 1), W(2, 1, 1, 0, 0), W(3, 2, 1, 1, 1)}},
};

/* What is fused in. */
static const struct {
    bool bias, add;
    dcv_act act;
    float lo, hi;
} fuses[] = {{false, false, DCV_ACT_NONE, 0, 0},
             {true, false, DCV_ACT_RELU, 0, 0},
             {true, true, DCV_ACT_LEAKY, 0.25f, 0},
             {true, true, DCV_ACT_CLIP, -0.5f, 0.75f}};

static uint64_t seed = 1123;
static float draw(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(seed >> 40) / (1 << 24) - 0.5);
}

static int64_t product(int n, const int64_t *v)
{
    int64_t p = 1;
    for (int i = 0; i < n; i++)
        p *= v[i];
    return p;
}

static int64_t at(int block, int64_t cells, int64_t c, int64_t s)
{
    return (c / block * cells + s) * block + c % block;
}

static int64_t floats(int block, int64_t cells, int64_t c)
{
    return (c + block - 1) / block * block * cells;
}

static dcv_conv_desc describe(const shape *s, dcv_precision p)
{
    dcv_conv_desc d = {
        .transposed = true, .n = 1, .n_space = s->n_space, .groups = s->groups, .ic = s->ic, .oc = s->oc};
    d.precision = p;
    for (int i = 0; i < s->n_space; i++) {
        d.in[i] = s->in[i];
        d.win[i] = s->win[i];
        d.out[i] = (s->in[i] - 1) * s->win[i].stride + (s->win[i].kernel - 1) * s->win[i].dilation + 1 + s->more[i] -
                   s->win[i].pad_lo - s->win[i].pad_hi;
    }
    return d;
}

static void axes(const dcv_conv_desc *d, int64_t in[3], int64_t out[3], dcv_window win[3])
{
    for (int i = 0; i < 3; i++) {
        const int from = i - (3 - d->n_space);
        in[i] = from >= 0 ? d->in[from] : 1;
        out[i] = from >= 0 ? d->out[from] : 1;
        win[i] = from >= 0 ? d->win[from] : (dcv_window){1, 1, 1, 0, 0};
    }
}

/* y += W x, each input cell and tap in turn. */
static void reference(const dcv_conv_desc *d, const float *w, const float *scale, const float *x, double *y)
{
    int64_t in[3], out[3];
    dcv_window win[3];
    axes(d, in, out, win);
    const int64_t icg = d->ic / d->groups, ocg = d->oc / d->groups, cells = product(3, in), all = product(3, out),
                  taps = win[0].kernel * win[1].kernel * win[2].kernel;
    for (int64_t i = 0; i < d->ic; i++)
        for (int64_t o = 0; o < ocg; o++)
            for (int64_t t = 0; t < taps; t++)
                for (int64_t c = 0; c < cells; c++) {
                    const int64_t tap[3] = {t / win[2].kernel / win[1].kernel, t / win[2].kernel % win[1].kernel,
                                            t % win[2].kernel},
                                  cell[3] = {c / in[2] / in[1], c / in[2] % in[1], c % in[2]}, to = i / icg * ocg + o;
                    int64_t place = 0;
                    bool inside = true;
                    for (int a = 0; a < 3; a++) {
                        const int64_t k = cell[a] * win[a].stride + tap[a] * win[a].dilation - win[a].pad_lo;
                        inside = inside && k >= 0 && k < out[a];
                        place = place * out[a] + k;
                    }
                    if (inside)
                        y[to * all + place] +=
                            (double)w[(i * ocg + o) * taps + t] * (double)scale[to] * (double)x[i * cells + c];
                }
}

static double activate(dcv_act act, double lo, double hi, double v)
{
    switch (act) {
    case DCV_ACT_RELU:
        return v < 0 ? 0 : v;
    case DCV_ACT_LEAKY:
        return v < 0 ? lo * v : v;
    case DCV_ACT_CLIP:
        return v < lo ? lo : v > hi ? hi : v;
    default:
        return v;
    }
}

typedef struct numbers {
    float *w, *scale, *bias, *x, *base; /* x, base: of DCV_GROUP pictures; base: what is added to */
    double *want;                       /* sums of W x */
} numbers;

static float *drawn(int64_t n, float shift)
{
    float *v = dcv_alloc((size_t)n, sizeof *v);
    for (int64_t i = 0; i < n; i++)
        v[i] = shift + draw();
    return v;
}

static numbers draw_numbers(const dcv_conv_desc *d)
{
    int64_t taps = 1;
    for (int i = 0; i < d->n_space; i++)
        taps *= d->win[i].kernel;
    const int64_t in = product(d->n_space, d->in), out = product(d->n_space, d->out);
    numbers m = {.w = drawn(d->ic * d->oc / d->groups * taps, 0),
                 .scale = drawn(d->oc, 1),
                 .bias = drawn(d->oc, 0),
                 .x = drawn(DCV_GROUP * d->ic * in, 0),
                 .base = drawn(DCV_GROUP * d->oc * out, 0)};
    m.want = dcv_alloc((size_t)(DCV_GROUP * d->oc * out), sizeof *m.want);
    for (int p = 0; p < DCV_GROUP; p++)
        reference(d, m.w, m.scale, m.x + p * d->ic * in, m.want + p * d->oc * out);
    return m;
}

static void free_numbers(const numbers *m)
{
    void *all[] = {m->w, m->scale, m->bias, m->x, m->base, m->want};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        dcv_free(all[i]);
}

/* y of n pictures in their layout before a run: what is added to, or NaN. */
static void prepare(const dcv_conv_desc *d, const numbers *m, int n, float *y)
{
    const int64_t out = product(d->n_space, d->out), per = d->oc * out;
    for (int64_t i = 0; i < n * d->y_stride; i++)
        y[i] = d->add ? 0 : NAN;
    for (int p = 0; d->add && p < n; p++)
        for (int64_t c = 0; c < d->oc; c++)
            for (int64_t s = 0; s < out; s++)
                y[p * d->y_stride + at(d->y_block, out, c, s)] = m->base[p * per + c * out + s];
}

static double error(const dcv_conv_desc *d, const numbers *m, int p, const float *y)
{
    const int64_t out = product(d->n_space, d->out), per = d->oc * out;
    double sum = 0, size = 0, stray = 0;
    for (int64_t c = 0; c < floats(d->y_block, 1, d->oc); c++)
        for (int64_t s = 0; s < out; s++) {
            const double got = (double)y[at(d->y_block, out, c, s)];
            if (c >= d->oc) {
                stray += got == 0 ? 0 : 1;
                continue;
            }
            double v = m->want[p * per + c * out + s] + (d->has_bias ? (double)m->bias[c] : 0);
            v += d->add ? (double)m->base[p * per + c * out + s] : 0;
            v = activate(d->act, (double)d->act_lo, (double)d->act_hi, v);
            sum += (got - v) * (got - v);
            size += v * v;
        }
    return sqrt(sum / size) + stray;
}

/* <W x, u> against <x, W' u>, u the numbers that might be added; W' by the kernels of walks back. */
static void check_back(const dcv_backend *back, const dcv_conv_desc *d, const numbers *m, double tol)
{
    dcv_adjoint *a = NULL;
    dcv_conv_call *call = NULL;
    const int64_t in = product(d->n_space, d->in), out = product(d->n_space, d->out);
    CHECK_OK(dcv_adjoint_new(back, d, d, &a));
    CHECK(a->kind == DCV_ADJOINT_MIRROR && a->conv);
    CHECK_OK(a->back->call_new(a->conv, &call));
    void *packed = dcv_alloc(a->packed_bytes + 64, 1), *scratch = dcv_alloc(a->scratch_bytes + 64, 1);
    float *gy = dcv_alloc((size_t)floats(a->gy_block, out, d->oc), sizeof *gy),
          *gx = dcv_alloc((size_t)floats(a->gx_block, in, d->ic), sizeof *gx);
    CHECK_OK(dcv_adjoint_pack(a, m->w, m->scale, packed));
    memset(scratch, 0xff, a->scratch_bytes);
    double up = 0, down = 0, size = 0;
    for (int64_t c = 0; c < d->oc; c++)
        for (int64_t s = 0; s < out; s++) {
            const float u = m->base[c * out + s];
            gy[at(a->gy_block, out, c, s)] = u;
            up += m->want[c * out + s] * (double)u;
            size += m->want[c * out + s] * m->want[c * out + s];
        }
    dcv_adjoint_run(a, call, gy, packed, false, gx, scratch);
    for (int64_t c = 0; c < d->ic; c++)
        for (int64_t s = 0; s < in; s++)
            down += (double)m->x[c * in + s] * (double)gx[at(a->gx_block, in, c, s)];
    CHECK_NEAR(up, down, tol * sqrt(size * (double)(d->oc * out)));
    a->back->call_free(call);
    dcv_adjoint_free(a);
    dcv_free(packed);
    dcv_free(scratch);
    dcv_free(gy);
    dcv_free(gx);
}

static void check_one(dcv_backend_kind kind, const shape *s, const numbers *m, size_t f, dcv_precision p)
{
    const dcv_backend *back = dcv_transposed_of(kind);
    dcv_conv_desc d = describe(s, p);
    d.has_bias = fuses[f].bias;
    d.act = fuses[f].act;
    d.act_lo = fuses[f].lo;
    d.act_hi = fuses[f].hi;
    d.add = fuses[f].add && dcv_transposed_adds(kind, &d);
    d.together = f % 2 ? DCV_GROUP : 0;
    const int64_t in = product(d.n_space, d.in), out = product(d.n_space, d.out);
    back->layout(&d, &d.x_block, &d.y_block);
    d.x_stride = floats(d.x_block, in, d.ic);
    d.y_stride = floats(d.y_block, out, d.oc);
    dcv_conv *c = NULL;
    dcv_conv_call *call = NULL;
    CHECK_OK(back->conv_new(&d, &c));
    CHECK_OK(back->call_new(c, &call));
    void *packed = dcv_alloc(back->packed_bytes(c) + 64, 1), *scratch = dcv_alloc(back->scratch_bytes(c) + 64, 1);
    CHECK_OK(back->pack(c, m->w, m->scale, packed));
    float *bias = dcv_alloc((size_t)floats(d.y_block, 1, d.oc), sizeof *bias),
          *x = dcv_alloc((size_t)(DCV_GROUP * d.x_stride), sizeof *x),
          *y = dcv_alloc((size_t)(DCV_GROUP * d.y_stride), sizeof *y),
          *one = dcv_alloc((size_t)d.y_stride, sizeof *one);
    memcpy(bias, m->bias, (size_t)d.oc * sizeof *bias);
    for (int k = 0; k < DCV_GROUP; k++)
        for (int64_t i = 0; i < d.ic; i++)
            for (int64_t q = 0; q < in; q++)
                x[k * d.x_stride + at(d.x_block, in, i, q)] = m->x[(k * d.ic + i) * in + q];
    const double tol = p == DCV_FAST ? 3e-5 : 2e-6;
    double worst = 0;
    for (int n = 1; n <= DCV_GROUP; n += DCV_GROUP - 1) {
        memset(scratch, 0xff, back->scratch_bytes(c));
        prepare(&d, m, n, y);
        if (n == 1)
            back->run(call, x, packed, d.has_bias ? bias : NULL, y, scratch);
        else
            back->run_some(call, n, x, d.x_stride, packed, d.has_bias ? bias : NULL, y, d.y_stride, scratch);
        for (int k = 0; k < n; k++) {
            const double e = error(&d, m, k, y + k * d.y_stride);
            worst = !(e <= worst) ? e : worst;
        }
        if (n == 1)
            memcpy(one, y, (size_t)d.y_stride * sizeof *y);
        else
            CHECK(!memcmp(one, y, (size_t)d.y_stride * sizeof *y));
    }
    CHECK(worst <= tol);
    if (!(worst <= tol))
        fprintf(stderr, "^ %s, %s, %lld to %lld, fused %d: %.1e\n", back->name, back->kernel(c), (long long)d.ic,
                (long long)d.oc, (int)f, worst);
    if (!f)
        check_back(dcv_backend_of(kind), &d, m, tol);
    back->call_free(call);
    back->conv_free(c);
    void *all[] = {packed, scratch, bias, x, y, one};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        dcv_free(all[i]);
}

int main(void)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const dcv_conv_desc d = describe(&shapes[i], DCV_STRICT);
        const numbers m = draw_numbers(&d);
        for (int b = 0; b <= DCV_BACKEND_ONEDNN; b++) {
#ifndef DCV_HAVE_ONEDNN
            if (b == DCV_BACKEND_ONEDNN)
                continue;
#endif
            dcv_backend_of((dcv_backend_kind)b)->one_thread();
            for (size_t f = 0; f < sizeof fuses / sizeof *fuses; f++)
                for (int p = DCV_FAST; p <= DCV_STRICT; p++)
                    check_one((dcv_backend_kind)b, &shapes[i], &m, f, (dcv_precision)p);
        }
        free_numbers(&m);
    }
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
