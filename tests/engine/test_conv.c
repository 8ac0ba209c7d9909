/* test_conv.c -- every back end's convolution against the definition, summed in double precision: shapes that take
 * different kernels, both precisions, fused bias, sum and activation, one picture and several. */
#include "check.h"
#include "deconvoy/memory.h"
#include "engine/adjoint.h"
#include "engine/conv.h"

typedef struct shape {
    int64_t groups, ic, oc;
    int n_space;
    int64_t in[3];
    dcv_window win[3];
} shape;

#define W(k, s, d, lo, hi)                                                                                             \
    {                                                                                                                  \
        k, s, d, lo, hi                                                                                                \
    }
static const shape shapes[] = {
    {1, 3, 64, 2, {20, 22}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 3, 40, 2, {33, 31}, {W(7, 2, 1, 3, 3), W(7, 2, 1, 3, 3)}},
    {1, 1, 32, 2, {28, 28}, {W(5, 1, 1, 2, 2), W(5, 1, 1, 2, 2)}},
    {1, 4, 16, 2, {11, 9}, {W(11, 4, 1, 5, 5), W(11, 4, 1, 5, 5)}},
    {1, 5, 7, 2, {9, 8}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 64, 64, 2, {28, 28}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 32, 48, 2, {13, 17}, {W(3, 1, 1, 0, 0), W(3, 1, 1, 0, 0)}},
    {1, 16, 16, 2, {7, 7}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 50, 37, 2, {10, 12}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 32, 32, 2, {1, 1}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 96, 96, 2, {35, 35}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 64, 32, 2, {15, 14}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}},
    {1, 24, 144, 2, {9, 9}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}},
    {1, 32, 64, 2, {14, 15}, {W(1, 2, 1, 0, 0), W(1, 2, 1, 0, 0)}},
    {1, 20, 20, 2, {8, 8}, {W(1, 1, 1, 1, 1), W(1, 1, 1, 1, 1)}},
    {1, 32, 32, 2, {14, 14}, {W(3, 2, 1, 0, 1), W(3, 2, 1, 0, 1)}},
    {1, 16, 32, 2, {14, 14}, {W(3, 1, 3, 3, 3), W(3, 1, 3, 3, 3)}},
    {1, 16, 16, 2, {9, 9}, {W(3, 1, 24, 24, 24), W(3, 1, 24, 24, 24)}},
    {1, 16, 32, 2, {17, 20}, {W(1, 1, 1, 0, 0), W(7, 1, 1, 3, 3)}},
    {1, 16, 32, 2, {20, 17}, {W(5, 2, 1, 1, 2), W(3, 1, 2, 2, 1)}},
    {32, 32, 32, 2, {14, 13}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {24, 24, 24, 2, {14, 13}, {W(3, 2, 1, 1, 1), W(3, 2, 1, 1, 1)}},
    {17, 17, 17, 2, {9, 30}, {W(5, 1, 2, 4, 4), W(5, 1, 1, 2, 2)}},
    {16, 16, 16, 2, {40, 40}, {W(31, 1, 1, 15, 15), W(31, 1, 1, 15, 15)}},
    {40, 40, 40, 2, {30, 29}, {W(5, 2, 1, 2, 2), W(5, 2, 1, 1, 2)}},
    {8, 8, 8, 2, {3, 2}, {W(5, 1, 1, 2, 2), W(5, 1, 1, 2, 2)}},
    {20, 20, 20, 2, {13, 17}, {W(7, 3, 1, 3, 3), W(4, 3, 2, 0, 5)}},
    {24, 24, 24, 1, {33}, {W(3, 2, 1, 1, 1)}},
    {16, 16, 32, 2, {9, 9}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {2, 96, 64, 2, {13, 13}, {W(5, 1, 1, 2, 2), W(5, 1, 1, 2, 2)}},
    {32, 128, 128, 2, {10, 10}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {3, 60, 24, 2, {8, 8}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}},
    {5, 10, 20, 2, {8, 8}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 3, 16, 1, {40}, {W(5, 2, 1, 2, 2)}},
    {4, 64, 32, 1, {40}, {W(3, 1, 2, 2, 2)}},
    {1, 40, 128, 2, {13, 17}, {W(3, 1, 1, 0, 0), W(3, 1, 1, 1, 0)}},
    {1, 17, 64, 2, {9, 10}, {W(3, 1, 1, 2, 2), W(3, 1, 1, 2, 1)}},
    {1, 3, 64, 2, {12, 13}, {W(5, 1, 1, 0, 2), W(3, 2, 1, 1, 0)}},
    {1, 144, 64, 2, {50, 43}, {W(3, 2, 1, 1, 1), W(3, 2, 1, 1, 1)}},
    {1, 3, 64, 2, {300, 310}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 40, 64, 2, {9, 15}, {W(3, 2, 1, 1, 1), W(3, 2, 1, 1, 0)}},
    {1, 100, 128, 2, {9, 13}, {W(3, 1, 1, 1, 1), W(5, 1, 2, 3, 4)}},
    {1, 512, 64, 2, {7, 7}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 700, 64, 2, {5, 5}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}},
    {1, 24, 128, 2, {11, 12}, {W(1, 2, 1, 0, 0), W(1, 2, 1, 1, 1)}},
    {1, 32, 64, 1, {33}, {W(3, 1, 1, 1, 1)}},
    {1, 32, 64, 2, {6, 9}, {W(3, 1, 1, 1, 1), W(2, 1, 1, 0, 1)}},
    {1, 32, 64, 2, {10, 14}, {W(3, 2, 1, 1, 1), W(5, 2, 1, 2, 2)}},
    {1, 20, 64, 2, {10, 16}, {W(3, 1, 1, 1, 1), W(4, 2, 1, 1, 1)}},
    {1, 16, 64, 2, {8, 11}, {W(3, 1, 1, 1, 1), W(3, 1, 2, 1, 2)}},
    {1, 16, 128, 2, {8, 4}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 16, 64, 2, {8, 3}, {W(3, 1, 1, 1, 1), W(4, 1, 1, 1, 3)}},
    {1, 1, 16, 3, {9, 8, 7}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 20, 24, 3, {5, 8, 7}, {W(3, 2, 1, 1, 1), W(1, 1, 1, 0, 0), W(3, 1, 1, 1, 1)}},
    {16, 16, 16, 3, {5, 6, 7}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
};

typedef struct fuse {
    bool bias, add;
    dcv_act act;
    float lo, hi;
    bool scale;
    int n;
    int64_t gap; /* floats between pictures */
} fuse;
static const fuse fuses[] = {
    {.n = 1},
    {.bias = true, .act = DCV_ACT_RELU, .scale = true, .n = 1},
    {.bias = true, .add = true, .act = DCV_ACT_RELU, .n = 1},
    {.bias = true, .act = DCV_ACT_CLIP, .lo = 0, .hi = 0.6f, .n = 1},
    {.add = true, .n = 1},
    {.bias = true, .n = 3},
    {.bias = true, .add = true, .act = DCV_ACT_RELU, .n = 2, .gap = 64},
    {.bias = true, .act = DCV_ACT_SILU, .scale = true, .n = 1},
    {.bias = true, .act = DCV_ACT_HARD_SWISH, .n = 2, .gap = 64},
};

static uint64_t seed = 1;
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

/* Index of channel c, cell s in a layout. */
static int64_t at(int block, int64_t cells, int64_t c, int64_t s)
{
    return (c / block * cells + s) * block + c % block;
}

static int64_t rounded(int64_t c, int block)
{
    return (c + block - 1) / block * block;
}

static dcv_conv_desc describe(const shape *s, const fuse *f, dcv_precision p)
{
    dcv_conv_desc d = {.n = f->n,
                       .n_space = s->n_space,
                       .groups = s->groups,
                       .ic = s->ic,
                       .oc = s->oc,
                       .has_bias = f->bias,
                       .add = f->add,
                       .act = f->act,
                       .act_lo = f->lo,
                       .act_hi = f->hi,
                       .precision = p};
    for (int i = 0; i < s->n_space; i++) {
        d.in[i] = s->in[i];
        d.win[i] = s->win[i];
        d.out[i] = dcv_window_out(s->in[i], &s->win[i], false);
    }
    return d;
}

/* Output cell (o, cell) of the plain convolution of x [ic][cells]. */
static double reference(const dcv_conv_desc *d, const float *x, const float *w, int64_t o, int64_t cell)
{
    const int64_t icg = d->ic / d->groups, g = o / (d->oc / d->groups), x_cells = product(d->n_space, d->in);
    int64_t taps = 1, pos[3];
    for (int i = d->n_space - 1; i >= 0; i--) {
        pos[i] = cell % d->out[i];
        cell /= d->out[i];
        taps *= d->win[i].kernel;
    }
    double sum = 0;
    for (int64_t k = 0; k < taps; k++) {
        int64_t from = 0, rest = k, stride = 1;
        bool in = true;
        for (int i = d->n_space - 1; i >= 0; i--) {
            const dcv_window *v = &d->win[i];
            const int64_t p = pos[i] * v->stride + rest % v->kernel * v->dilation - v->pad_lo;
            rest /= v->kernel;
            in = in && p >= 0 && p < d->in[i];
            from += p * stride;
            stride *= d->in[i];
        }
        for (int64_t i = 0; in && i < icg; i++)
            sum += (double)x[(g * icg + i) * x_cells + from] * w[(o * icg + i) * taps + k];
    }
    return sum;
}

static double activate(const dcv_conv_desc *d, double v)
{
    if (d->act == DCV_ACT_RELU)
        return v > 0 ? v : 0;
    if (d->act == DCV_ACT_CLIP)
        return v < (double)d->act_lo ? (double)d->act_lo : v > (double)d->act_hi ? (double)d->act_hi : v;
    if (d->act == DCV_ACT_SILU)
        return v / (1 + exp(-v));
    if (d->act == DCV_ACT_HARD_SWISH)
        return v * (v < -3 ? 0 : v > 3 ? 1 : v / 6 + 0.5);
    return v;
}

static void check_one(const dcv_backend *b, const shape *s, const fuse *f, dcv_precision precision)
{
    dcv_conv_desc d = describe(s, f, precision);
    b->layout(&d, &d.x_block, &d.y_block);
    const int64_t xc = product(d.n_space, d.in), yc = product(d.n_space, d.out);
    const int64_t xs = rounded(d.ic, d.x_block) * xc, ys = rounded(d.oc, d.y_block) * yc;
    d.x_stride = xs + f->gap;
    d.y_stride = ys + f->gap;
    int64_t n_w = d.oc * (d.ic / d.groups);
    for (int i = 0; i < d.n_space; i++)
        n_w *= d.win[i].kernel;
    dcv_conv *c = NULL;
    dcv_conv_call *call = NULL;
    CHECK_OK(b->conv_new(&d, &c));
    if (!c)
        return;
    CHECK_OK(b->call_new(c, &call));
    float *plain = dcv_alloc((size_t)(d.ic * xc * d.n), 4), *x = dcv_alloc((size_t)(d.x_stride * d.n), 4);
    float *y = dcv_alloc((size_t)(d.y_stride * d.n), 4), *old = dcv_alloc((size_t)(d.y_stride * d.n), 4);
    float *w = dcv_alloc((size_t)n_w, 4), *bias = dcv_alloc((size_t)rounded(d.oc, d.y_block), 4);
    float *scale = dcv_alloc((size_t)d.oc, 4);
    float *got = dcv_alloc((size_t)(d.oc * yc), 4);
    double *want = dcv_alloc((size_t)(d.oc * yc), sizeof *want);
    void *packed = dcv_alloc(b->packed_bytes(c), 1), *scratch = dcv_alloc(b->scratch_bytes(c), 1);
    for (int64_t i = 0; i < n_w; i++)
        w[i] = draw();
    for (int64_t o = 0; o < d.oc; o++) {
        bias[o] = draw();
        scale[o] = f->scale ? 0.5f + draw() : 1;
    }
    for (int p = 0; p < d.n; p++)
        for (int64_t i = 0; i < d.ic; i++)
            for (int64_t q = 0; q < xc; q++)
                x[p * d.x_stride + at(d.x_block, xc, i, q)] = plain[(p * d.ic + i) * xc + q] = draw();
    for (int64_t i = 0; i < d.y_stride * d.n; i++)
        y[i] = NAN; /* what is not added to must not be read */
    for (int p = 0; p < d.n && d.add; p++)
        for (int64_t o = 0; o < rounded(d.oc, d.y_block); o++)
            for (int64_t q = 0; q < yc; q++)
                y[p * d.y_stride + at(d.y_block, yc, o, q)] = o < d.oc ? draw() : 0;
    memcpy(old, y, (size_t)(d.y_stride * d.n) * 4);
    CHECK_OK(b->pack(c, w, f->scale ? scale : NULL, packed));
    b->run(call, x, packed, d.has_bias ? bias : NULL, y, scratch);
    double worst = 0;
    int dirty = 0;
    for (int p = 0; p < d.n; p++) {
        for (int64_t o = 0; o < rounded(d.oc, d.y_block); o++)
            for (int64_t q = 0; q < yc; q++) {
                const int64_t k = p * d.y_stride + at(d.y_block, yc, o, q);
                if (o >= d.oc) {
                    dirty += !(y[k] == 0);
                    continue;
                }
                double v = (double)scale[o] * reference(&d, plain + p * d.ic * xc, w, o, q);
                v += (d.has_bias ? (double)bias[o] : 0) + (d.add ? (double)old[k] : 0);
                want[o * yc + q] = activate(&d, v);
                got[o * yc + q] = y[k];
            }
        const double err = check_rel_l2(got, want, (size_t)(d.oc * yc));
        worst = !(err <= worst) ? err : worst;
    }
    /* No activation may turn a NaN into a number. */
    for (int64_t i = 0; i < d.ic * xc; i++)
        plain[i] = x[at(d.x_block, xc, i / xc, i % xc)] = NAN;
    b->run(call, x, packed, d.has_bias ? bias : NULL, y, scratch);
    int hidden = 0;
    for (int64_t o = 0; o < d.oc; o++)
        for (int64_t q = 0; q < yc; q++)
            hidden += isnan(reference(&d, plain, w, o, q)) && !isnan(y[at(d.y_block, yc, o, q)]);
    CHECK(hidden == 0);
    const double tol = precision == DCV_FAST ? 1e-3 : 2e-6;
    if (!(worst <= tol) || dirty)
        fprintf(stderr, "%s %s: groups %d, %d -> %d, %dx%d, kernel %d, fuse %d: error %g, %d dirty lanes (%s)\n",
                b->name, precision == DCV_FAST ? "fast" : "strict", (int)d.groups, (int)d.ic, (int)d.oc, (int)d.in[0],
                (int)d.in[1], (int)d.win[0].kernel, (int)(f - fuses), worst, dirty, b->kernel(c));
    CHECK(worst <= tol);
    CHECK(!dirty);
    CHECK(strncmp(b->kernel(c), "ref", 3) != 0);
    b->call_free(call);
    b->conv_free(c);
    void *mine[] = {plain, x, y, old, w, bias, scale, got, want, packed, scratch};
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        dcv_free(mine[i]);
}

static void check_backend(const dcv_backend *b)
{
    fprintf(stderr, "%s\n", b->numerics());
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t f = 0; f < sizeof fuses / sizeof *fuses; f++)
            for (int p = 0; p < 2; p++)
                if (product(shapes[s].n_space, shapes[s].in) < 300 || f == 2) /* the large ones once */
                    check_one(b, &shapes[s], &fuses[f], p ? DCV_STRICT : DCV_FAST);
}

static void check_choice(void)
{
    dcv_backend_kind k;
    setenv("DECONVOY_BACKEND", "blas", 1);
    CHECK_OK(dcv_backend_choose(&k));
    CHECK(k == DCV_BACKEND_BLAS);
    setenv("DECONVOY_BACKEND", "cuda", 1);
    CHECK_FAILS(dcv_backend_choose(&k), DCV_EUSAGE, "cuda");
    unsetenv("DECONVOY_BACKEND");
    CHECK_OK(dcv_backend_choose(&k));
}

/* BLAS counts in int: what does not fit is refused when it is made, not in the middle of a walk. */
static void check_extents(void)
{
    const dcv_window one = {1, 1, 1, 0, 0}, wide = {3, 2, 1, 1, 1};
    const int64_t side = 46341; /* its square is just above 2^31 */
    dcv_conv_desc d = {.n = 1, .n_space = 2, .groups = 1, .ic = 2, .oc = 2, .x_block = 1, .y_block = 1};
    dcv_conv *c = NULL;
    dcv_adjoint *a = NULL;
    for (int i = 0; i < 2; i++) {
        d.in[i] = d.out[i] = side;
        d.win[i] = one;
    }
    CHECK(dcv_backend_blas.conv_new(&d, &c) == DCV_EUNSUPPORTED && !c);
    for (int i = 0; i < 2; i++) {
        d.in[i] = 2 * side;
        d.win[i] = wide;
    }
    CHECK(dcv_adjoint_new(&dcv_backend_blas, &d, &d, &a) == DCV_EUNSUPPORTED && !a);
    d.in[0] = d.out[0] = 1;
    d.win[0] = one;
    CHECK(dcv_backend_blas.conv_new(&d, &c) == DCV_OK && c);
    dcv_backend_blas.conv_free(c);
}

int main(void)
{
    check_choice();
    check_extents();
    check_backend(&dcv_backend_blas);
#ifdef DCV_HAVE_ONEDNN
    check_backend(&dcv_backend_onednn);
#endif
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
