/* test_adjoint.c -- convolutions walked back, against the definition's adjoint summed in double precision: every way
 * that it is done, on both back ends, in both precisions, with memory that nobody may read set to NaN; and
 * <W x, y> = <x, W' y> with the walk forward's own kernel. */
#include "check.h"
#include "deconvoy/memory.h"
#include "engine/adjoint.h"
#include "engine/adjoint_dense.h"

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
    /* first layers */
    {1, 3, 64, 2, {30, 29}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 3, 64, 2, {24, 23}, {W(3, 2, 1, 0, 0), W(3, 2, 1, 0, 0)}},
    {1, 3, 64, 2, {40, 37}, {W(7, 2, 1, 3, 3), W(7, 2, 1, 3, 3)}},
    {1, 3, 64, 2, {63, 59}, {W(11, 4, 1, 2, 2), W(11, 4, 1, 2, 2)}},
    {1, 1, 20, 2, {28, 28}, {W(5, 1, 1, 2, 2), W(5, 1, 1, 2, 2)}},
    {1, 4, 40, 2, {17, 12}, {W(3, 1, 2, 2, 2), W(5, 2, 1, 1, 2)}},
    {1, 2, 32, 2, {11, 9}, {W(2, 3, 1, 0, 0), W(1, 2, 1, 0, 0)}},
    {1, 3, 32, 1, {41}, {W(5, 2, 1, 2, 2)}},
    /* Winograd where it is fast */
    {1, 64, 64, 2, {14, 14}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 64, 128, 2, {30, 17}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 48, 192, 2, {13, 13}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 16, 64, 2, {56, 55}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 40, 64, 2, {15, 16}, {W(3, 1, 1, 0, 2), W(3, 1, 1, 2, 0)}},
    {1, 96, 64, 2, {50, 50}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 176, 192, 2, {46, 42}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    /* direct, with the weights of the walk forward */
    {1, 256, 256, 2, {7, 7}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 64, 128, 2, {28, 28}, {W(3, 2, 1, 1, 1), W(3, 2, 1, 1, 1)}},
    {1, 64, 128, 2, {27, 30}, {W(3, 2, 1, 1, 1), W(3, 2, 1, 0, 1)}},
    {1, 64, 192, 2, {27, 27}, {W(5, 1, 1, 2, 2), W(5, 1, 1, 2, 2)}},
    {1, 64, 256, 2, {7, 9}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}},
    {1, 80, 64, 2, {8, 9}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}},
    {1, 64, 128, 2, {14, 15}, {W(1, 2, 1, 0, 0), W(1, 2, 1, 0, 0)}},
    {1, 24, 64, 2, {12, 14}, {W(1, 1, 1, 1, 1), W(1, 1, 1, 2, 0)}},
    {1, 32, 64, 2, {19, 21}, {W(3, 1, 2, 2, 2), W(3, 1, 3, 3, 3)}},
    {1, 32, 64, 2, {12, 13}, {W(2, 3, 1, 0, 0), W(2, 3, 1, 1, 1)}},
    {1, 32, 64, 2, {9, 10}, {W(3, 1, 1, 5, 4), W(3, 1, 1, 4, 5)}},
    {1, 32, 64, 1, {40}, {W(5, 1, 1, 2, 2)}},
    {1, 64, 64, 1, {41}, {W(4, 2, 1, 1, 2)}},
    /* direct, with weights of their own */
    {1, 128, 32, 2, {14, 14}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {1, 96, 16, 2, {25, 25}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}},
    {1, 24, 40, 2, {13, 11}, {W(3, 2, 1, 1, 1), W(3, 2, 1, 1, 1)}},
    {1, 512, 100, 2, {5, 5}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}},
    {1, 10, 7, 2, {9, 8}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    /* by the back end, or by columns */
    {1, 6, 20, 2, {9, 8}, {W(3, 1, 1, 1, 1), W(3, 2, 1, 1, 1)}},
    {1, 32, 32, 2, {13, 13}, {W(3, 2, 2, 1, 1), W(3, 2, 2, 1, 1)}},
    {32, 32, 32, 2, {14, 13}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}},
    {24, 24, 24, 2, {14, 13}, {W(3, 2, 1, 1, 1), W(3, 2, 1, 1, 1)}},
    /* depthwise, strided */
    {40, 40, 40, 2, {56, 55}, {W(3, 2, 1, 1, 1), W(3, 2, 1, 1, 1)}},
    {20, 20, 20, 2, {30, 31}, {W(5, 2, 1, 2, 2), W(5, 2, 1, 1, 2)}},
    {8, 8, 8, 2, {2, 3}, {W(5, 2, 1, 2, 2), W(5, 2, 1, 2, 2)}},
    {17, 17, 17, 2, {13, 29}, {W(7, 3, 1, 3, 3), W(4, 3, 2, 0, 5)}},
    {24, 24, 24, 2, {14, 50}, {W(2, 4, 1, 0, 0), W(3, 1, 1, 1, 1)}}, /* cells that nothing sees */
    {10, 10, 10, 2, {15, 15}, {W(3, 2, 2, 2, 2), W(3, 2, 3, 4, 1)}},
    {24, 24, 24, 1, {33}, {W(3, 2, 1, 1, 1)}},
    {12, 12, 12, 2, {21, 21}, {W(17, 2, 1, 8, 8), W(3, 2, 1, 1, 1)}}, /* by columns: so tall a kernel */
    {2, 96, 64, 2, {13, 13}, {W(5, 1, 1, 2, 2), W(5, 1, 1, 2, 2)}},
    {1, 20, 24, 3, {5, 8, 7}, {W(3, 2, 1, 1, 1), W(1, 1, 1, 0, 0), W(3, 1, 1, 1, 1)}},
};

/* Parts of maps whose forward convolutions pack in another way than the part's own would. */
static const shape parts[][2] = {
    {{1, 64, 64, 2, {3, 3}, {W(3, 1, 1, 0, 1), W(3, 1, 1, 1, 0)}},
     {1, 64, 64, 2, {28, 28}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}}},
    {{1, 48, 192, 2, {5, 3}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 0, 0)}},
     {1, 48, 192, 2, {13, 13}, {W(3, 1, 1, 1, 1), W(3, 1, 1, 1, 1)}}},
    {{1, 64, 128, 2, {3, 2}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}},
     {1, 64, 128, 2, {9, 9}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}}},
    {{1, 64, 128, 2, {9, 9}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}},
     {1, 64, 128, 2, {1, 3}, {W(1, 1, 1, 0, 0), W(1, 1, 1, 0, 0)}}},
    {{1, 32, 64, 2, {5, 5}, {W(3, 2, 1, 1, 1), W(3, 2, 1, 0, 0)}},
     {1, 32, 64, 2, {20, 20}, {W(3, 2, 1, 1, 1), W(3, 2, 1, 1, 1)}}},
};

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

/* Index of channel c, cell s in a layout. */
static int64_t at(int block, int64_t cells, int64_t c, int64_t s)
{
    return (c / block * cells + s) * block + c % block;
}

static int64_t floats(int block, int64_t cells, int64_t c)
{
    return (c + block - 1) / block * block * cells;
}

/* Row-major numbers in a layout, lanes past c 0. */
static float *in_layout(int block, int64_t cells, int64_t c, const float *from)
{
    float *to = dcv_alloc((size_t)floats(block, cells, c), sizeof *to);
    for (int64_t i = 0; i < c; i++)
        for (int64_t s = 0; s < cells; s++)
            to[at(block, cells, i, s)] = from[i * cells + s];
    return to;
}

/* Three axes, the first ones of one cell where there are fewer. */
static void axes(const dcv_conv_desc *d, int64_t in[3], int64_t out[3], dcv_window win[3])
{
    for (int i = 0; i < 3; i++) {
        const int from = i - (3 - d->n_space);
        in[i] = from >= 0 ? d->in[from] : 1;
        out[i] = from >= 0 ? d->out[from] : 1;
        win[i] = from >= 0 ? d->win[from] : (dcv_window){1, 1, 1, 0, 0};
    }
}

/* gx += W' gy, term by term of the definition. */
static void reference(const dcv_conv_desc *d, const float *w, const float *scale, const float *gy, double *gx)
{
    int64_t in[3], out[3];
    dcv_window win[3];
    axes(d, in, out, win);
    const int64_t icg = d->ic / d->groups, ocg = d->oc / d->groups;
    for (int64_t o = 0; o < d->oc; o++)
        for (int64_t i = 0; i < icg; i++)
            for (int64_t a = 0; a < win[0].kernel; a++)
                for (int64_t b = 0; b < win[1].kernel; b++)
                    for (int64_t c = 0; c < win[2].kernel; c++) {
                        const double k =
                            (double)w[(((o * icg + i) * win[0].kernel + a) * win[1].kernel + b) * win[2].kernel + c] *
                            (double)scale[o];
                        for (int64_t y = 0; y < out[0] * out[1]; y++) {
                            const int64_t z = y / out[1] * win[0].stride + a * win[0].dilation - win[0].pad_lo,
                                          r = y % out[1] * win[1].stride + b * win[1].dilation - win[1].pad_lo;
                            const float *from = gy + (o * out[0] * out[1] + y) * out[2];
                            double *to = gx + (((o / ocg * icg + i) * in[0] + z) * in[1] + r) * in[2];
                            for (int64_t q = 0; z >= 0 && z < in[0] && r >= 0 && r < in[1] && q < out[2]; q++) {
                                const int64_t at_x = q * win[2].stride + c * win[2].dilation - win[2].pad_lo;
                                if (at_x >= 0 && at_x < in[2])
                                    to[at_x] += k * (double)from[q];
                            }
                        }
                    }
}

/* The convolution forward, packed, and its result for x. */
typedef struct ahead {
    dcv_conv_desc d;
    dcv_conv *conv;
    void *packed;
    float *y; /* row-major */
} ahead;

static void go_forward(const dcv_backend *back, const dcv_conv_desc *made, const float *w, const float *scale,
                       const float *x, ahead *f)
{
    dcv_conv_call *call = NULL;
    const int64_t in = product(made->n_space, made->in), out = product(made->n_space, made->out);
    f->d = *made;
    back->layout(&f->d, &f->d.x_block, &f->d.y_block);
    f->d.x_stride = floats(f->d.x_block, in, made->ic);
    f->d.y_stride = floats(f->d.y_block, out, made->oc);
    CHECK_OK(back->conv_new(&f->d, &f->conv));
    f->packed = dcv_alloc(back->packed_bytes(f->conv) + 64, 1);
    CHECK_OK(back->pack(f->conv, w, scale, f->packed));
    CHECK_OK(back->call_new(f->conv, &call));
    float *bx = in_layout(f->d.x_block, in, made->ic, x), *by = dcv_alloc((size_t)f->d.y_stride, sizeof *by);
    void *scratch = dcv_alloc(back->scratch_bytes(f->conv) + 64, 1);
    back->run(call, bx, f->packed, NULL, by, scratch);
    f->y = dcv_alloc((size_t)(made->oc * out), sizeof *f->y);
    for (int64_t o = 0; o < made->oc; o++)
        for (int64_t s = 0; s < out; s++)
            f->y[o * out + s] = by[at(f->d.y_block, out, o, s)];
    dcv_free(bx);
    dcv_free(by);
    dcv_free(scratch);
    back->call_free(call);
}

static const char *const kinds[] = {"tiles", "winograd", "narrow", "depthwise", "flipped", "columns", "mirror"};

/* A shape's numbers. */
typedef struct numbers {
    dcv_conv_desc d;
    int64_t in, out; /* cells */
    float *w, *scale, *x, *gy;
    double *want;
} numbers;

static numbers draw_numbers(const shape *s)
{
    numbers m = {.d = {.n = 1, .n_space = s->n_space, .groups = s->groups, .ic = s->ic, .oc = s->oc}};
    int64_t taps = 1;
    for (int i = 0; i < s->n_space; i++) {
        m.d.in[i] = s->in[i];
        m.d.win[i] = s->win[i];
        m.d.out[i] = dcv_window_out(s->in[i], &s->win[i], false);
        taps *= s->win[i].kernel;
    }
    m.in = product(s->n_space, m.d.in);
    m.out = product(s->n_space, m.d.out);
    const struct {
        float **to;
        int64_t n;
        float shift;
    } all[] = {{&m.w, s->oc * s->ic / s->groups * taps, 0},
               {&m.scale, s->oc, 1},
               {&m.x, s->ic * m.in, 0},
               {&m.gy, s->oc * m.out, 0}};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        *all[k].to = dcv_alloc((size_t)all[k].n, sizeof(float));
        for (int64_t i = 0; i < all[k].n; i++)
            (*all[k].to)[i] = all[k].shift + draw();
    }
    m.want = dcv_alloc((size_t)(s->ic * m.in), sizeof *m.want);
    reference(&m.d, m.w, m.scale, m.gy, m.want);
    return m;
}

static void free_numbers(numbers *m)
{
    dcv_free(m->w);
    dcv_free(m->scale);
    dcv_free(m->x);
    dcv_free(m->gy);
    dcv_free(m->want);
}

/* larger: the weights were packed for that shape, of which this is a part; NULL: for this. */
static void check_shape(const numbers *m, const numbers *larger, const dcv_backend *back, dcv_precision p, int *seen)
{
    dcv_conv_desc d = m->d;
    const int64_t in = m->in, out = m->out;
    const float *w = m->w, *scale = m->scale, *x = m->x, *gy = m->gy;
    d.precision = p;
    ahead f = {0};
    dcv_adjoint *a = NULL;
    if (larger) {
        dcv_conv_desc whole = larger->d;
        whole.precision = p;
        go_forward(back, &whole, w, scale, larger->x, &f);
    } else {
        go_forward(back, &d, w, scale, x, &f);
    }
    CHECK_OK(dcv_adjoint_new(back, &d, &f.d, &a));
    seen[a->kind]++;
    void *own = dcv_alloc(a->packed_bytes + 64, 1);
    CHECK_OK(dcv_adjoint_pack(a, w, scale, own));
    CHECK(!a->shared || !a->packed_bytes); /* nothing is kept twice */
    const int64_t n = floats(a->gx_block, in, d.ic);
    float *by = in_layout(a->gy_block, out, d.oc, gy), *bx = dcv_alloc((size_t)n, sizeof *bx),
          *got = dcv_alloc((size_t)(d.ic * in), sizeof *got);
    void *scratch = dcv_alloc(a->scratch_bytes + 64, 1);
    dcv_conv_call *call = NULL;
    if (a->conv)
        CHECK_OK(back->call_new(a->conv, &call));
    for (int add = 0; add <= (a->adds ? 1 : 0); add++) {
        memset(scratch, 0xff, a->scratch_bytes);
        for (int64_t i = 0; i < n; i++)
            bx[i] = add ? 0.25f : NAN;
        dcv_adjoint_run(a, call, by, a->shared ? f.packed : own, add, bx, scratch);
        for (int64_t c = 0; c < floats(a->gx_block, 1, d.ic); c++)
            for (int64_t k = 0; k < in; k++) {
                const float v = bx[at(a->gx_block, in, c, k)] - (add ? 0.25f : 0);
                if (c < d.ic)
                    got[c * in + k] = v;
                else
                    CHECK(v == 0);
            }
        const double err = check_rel_l2(got, m->want, (size_t)(d.ic * in));
        const double tol = p == DCV_FAST ? 3e-5 : 2e-6;
        CHECK(err <= tol);
        if (!(err <= tol))
            fprintf(stderr, "^ %s %s %s: %lld to %lld, add %d: %.1e\n", back->name, kinds[a->kind],
                    p == DCV_FAST ? "fast" : "strict", (long long)d.ic, (long long)d.oc, add, err);
        if (add || larger)
            continue;
        double up = 0, down = 0, size = 0;
        for (int64_t i = 0; i < d.oc * out; i++)
            up += (double)f.y[i] * (double)gy[i], size += (double)f.y[i] * (double)f.y[i];
        for (int64_t i = 0; i < d.ic * in; i++)
            down += (double)got[i] * (double)x[i];
        CHECK_NEAR(up, down, tol * sqrt(size * (double)(d.oc * out)));
    }
    if (call)
        back->call_free(call);
    dcv_adjoint_free(a);
    back->conv_free(f.conv);
    void *all[] = {f.packed, f.y, own, by, bx, got, scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        dcv_free(all[i]);
}

/* A dense product walked back with the weights as they are packed forward; the same bits for any number of signals. */
static void check_dense(int64_t k, int64_t n)
{
    float *w = dcv_alloc((size_t)(k * n), sizeof *w), *gy[DCV_GROUP], *gx[DCV_GROUP], *one[DCV_GROUP];
    const dcv_dense d = {.k = k, .n = n, .w = w, .alpha = 0.5f};
    double *want = dcv_alloc((size_t)k, sizeof *want);
    for (int64_t i = 0; i < k * n; i++)
        w[i] = draw();
    for (int r = 0; r < DCV_GROUP; r++) {
        gy[r] = dcv_alloc((size_t)n, sizeof(float));
        gx[r] = dcv_alloc((size_t)k, sizeof(float));
        one[r] = dcv_alloc((size_t)k, sizeof(float));
        for (int64_t i = 0; i < n; i++)
            gy[r][i] = draw();
    }
    float *packed = dcv_alloc(dcv_dense_packed_bytes(&d), 1),
          *bias = dcv_alloc(dcv_dense_bias_floats(&d), sizeof *bias);
    const size_t bytes = dcv_adjoint_dense_scratch_bytes(&d);
    void *scratch = dcv_alloc(bytes, 1);
    dcv_dense_pack(&d, packed, bias);
    memset(scratch, 0xff, bytes);
    dcv_adjoint_dense_run(&d, packed, DCV_GROUP, (const float *const *)gy, gx, scratch);
    for (int r = 0; r < DCV_GROUP; r++) {
        for (int64_t i = 0; i < k; i++) {
            want[i] = 0;
            for (int64_t j = 0; j < n; j++)
                want[i] += 0.5 * (double)w[i * n + j] * (double)gy[r][j];
        }
        CHECK(check_rel_l2(gx[r], want, (size_t)k) <= 1e-6);
    }
    for (int rows = 1; rows < DCV_GROUP; rows++) {
        memset(scratch, 0xff, bytes);
        dcv_adjoint_dense_run(&d, packed, rows, (const float *const *)gy, one, scratch);
        for (int r = 0; r < rows; r++)
            CHECK(!memcmp(one[r], gx[r], (size_t)k * sizeof(float)));
    }
    for (int r = 0; r < DCV_GROUP; r++) {
        dcv_free(gy[r]);
        dcv_free(gx[r]);
        dcv_free(one[r]);
    }
    dcv_free(w);
    dcv_free(want);
    dcv_free(packed);
    dcv_free(bias);
    dcv_free(scratch);
}

int main(void)
{
    const dcv_backend *const backs[] = {&dcv_backend_blas,
#ifdef DCV_HAVE_ONEDNN
                                        &dcv_backend_onednn
#endif
    };
    int seen[sizeof kinds / sizeof *kinds] = {0};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        numbers m = draw_numbers(&shapes[i]);
        for (size_t b = 0; b < sizeof backs / sizeof *backs; b++) {
            backs[b]->one_thread();
            for (int p = DCV_FAST; p <= DCV_STRICT; p++)
                check_shape(&m, NULL, backs[b], (dcv_precision)p, seen);
        }
        free_numbers(&m);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        numbers m = draw_numbers(&parts[i][0]), whole = draw_numbers(&parts[i][1]);
        for (size_t b = 0; b < sizeof backs / sizeof *backs; b++)
            for (int p = DCV_FAST; p <= DCV_STRICT; p++)
                check_shape(&m, &whole, backs[b], (dcv_precision)p, seen);
        free_numbers(&m);
        free_numbers(&whole);
    }
#ifdef DCV_HAVE_ONEDNN
    static const int64_t dense[][2] = {{1000, 333}, {256, 32}, {17, 5}, {300, 1000}};
    for (size_t i = 0; dcv_backend_onednn.block() == 16 && i < sizeof dense / sizeof *dense; i++)
        check_dense(dense[i][0], dense[i][1]);
#endif
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        fprintf(stderr, "%s: %d, ", kinds[k], seen[k]);
    CHECK(seen[DCV_ADJOINT_FLIPPED] && seen[DCV_ADJOINT_COLUMNS]);
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
