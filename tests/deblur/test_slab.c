/* Transforms of frames against sums written out, at odd, even, prime and single-sample axes; the same bytes with
 * several threads. */
#include "deblur/slab/slab.h"
#include "deconvoy/memory.h"
#include "check.h"

#if defined DCV_DEBLUR_F64
#define TOLERANCE 1e-13
#else
#define TOLERANCE 1e-6
#endif

typedef struct keep {
    slab *s;
    cplx *spectrum; /* [channels][m0][columns] */
    const real *want;
    double worst;
} keep;

static real sample(int64_t i)
{
    const uint64_t h = ((uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
    return (real)((double)(h >> 40) / (1 << 24) - 0.25);
}

static int64_t place(const slab *s, const slab_row *r)
{
    return ((r->channel * s->shape.m[0] + r->i0) * s->shape.m[1] + r->i1) * s->shape.m[2];
}

static void fill(void *ctx, const slab_row *r)
{
    const keep *k = ctx;
    for (int64_t i = 0; i < k->s->shape.m[2]; i++) {
        r->at[i] = sample(place(k->s, r) + i);
        r->sums[0] += r->at[i];
    }
}

static void look(void *ctx, const slab_batch *b)
{
    keep *k = ctx;
    const int64_t mc = k->s->shape.m[2] / 2 + 1;
    for (int64_t i = 0; i < b->n; i++)
        for (int64_t l = 0; l < SLAB_LANES && b->first + l < k->s->n_columns; l++) {
            const int64_t c = b->first + l, k1 = slab_wave(k->s, 1, c / mc), k0 = slab_wave(k->s, 0, b->place + i);
            k->spectrum[(b->channel * k->s->shape.m[0] + k0) * k->s->n_columns + k1 * mc + c % mc] =
                (cplx){b->at[i * PAIR + l], b->at[i * PAIR + LANES + l]};
        }
    b->sums[1] = (double)(b->first + 1);
}

static void compare(void *ctx, const slab_row *r)
{
    keep *k = ctx;
    const double scale = 1.0 / (double)(k->s->shape.m[0] * k->s->shape.m[1] * k->s->shape.m[2]);
    for (int64_t i = 0; i < k->s->shape.m[2]; i++) {
        const double e = fabs(r->at[i] * scale - (double)sample(place(k->s, r) + i));
        r->sums[0] += e * e;
    }
}

/* One value of the spectrum as a sum. */
static void value_at(const slab_shape *f, int c, int64_t k0, int64_t k1, int64_t k2, double *re, double *im)
{
    *re = *im = 0;
    for (int64_t i0 = 0, at = c * f->m[0] * f->m[1] * f->m[2]; i0 < f->m[0]; i0++)
        for (int64_t i1 = 0; i1 < f->m[1]; i1++)
            for (int64_t i2 = 0; i2 < f->m[2]; i2++, at++) {
                const double turn = -2 * M_PI *
                                    (fmod((double)(i0 * k0), (double)f->m[0]) / (double)f->m[0] +
                                     fmod((double)(i1 * k1), (double)f->m[1]) / (double)f->m[1] +
                                     fmod((double)(i2 * k2), (double)f->m[2]) / (double)f->m[2]);
                *re += (double)sample(at) * cos(turn);
                *im += (double)sample(at) * sin(turn);
            }
}

static double spectrum_error(const slab_shape *f, const cplx *have)
{
    const int64_t mc = f->m[2] / 2 + 1, n = f->m[0] * f->m[1] * mc;
    const int64_t step = n / 97 + 1;
    double num = 0, den = 0;
    for (int c = 0; c < f->channels; c++)
        for (int64_t i = 0; i < n; i += step) {
            double re, im;
            value_at(f, c, i / (f->m[1] * mc), i / mc % f->m[1], i % mc, &re, &im);
            const cplx h = have[c * n + i];
            num += (h.re - re) * (h.re - re) + (h.im - im) * (h.im - im);
            den += re * re + im * im;
        }
    return sqrt(num / den);
}

static void try_shape(slab_shape f, int threads, cplx *first)
{
    group *g;
    pool *p;
    keep k = {0};
    double sums[SLAB_SUMS];
    const int64_t n = f.channels * f.m[0] * f.m[1] * (f.m[2] / 2 + 1);
    CHECK_OK(group_new(-1, &g));
    CHECK_OK(pool_new(threads, &p));
    CHECK_OK(slab_new(&f, g, p, &k.s));
    k.spectrum = dcv_alloc((size_t)n, sizeof *k.spectrum);
    slab_planes(k.s, SLAB_FORWARD, fill, &k, sums);
    double want = 0;
    for (int64_t i = 0; i < f.channels * f.m[0] * f.m[1] * f.m[2]; i++)
        want += (double)sample(i);
    CHECK_NEAR(sums[0], want, 1e-9 * fabs(want));
    slab_columns(k.s, SLAB_FORWARD | SLAB_BACK, look, &k, sums, true);
    CHECK(sums[1] == (double)((k.s->n_batches - 1) * SLAB_LANES + 1) && sums[0] == 0);
    if (threads == 1) {
        CHECK_NEAR(spectrum_error(&f, k.spectrum), 0, TOLERANCE);
        memcpy(first, k.spectrum, (size_t)n * sizeof *first);
    }
    CHECK(!memcmp(first, k.spectrum, (size_t)n * sizeof *first));
    slab_planes(k.s, SLAB_BACK, compare, &k, sums);
    CHECK_NEAR(sqrt(sums[0] / (double)n), 0, TOLERANCE);
    CHECK(slab_bytes(&f, 1, 1, threads) >= n * (int64_t)sizeof(cplx));
    dcv_free(k.spectrum);
    slab_free(k.s);
    pool_free(p);
    group_free(g);
}

int main(void)
{
    static const slab_shape shapes[] = {{{16, 1, 16}, 1}, {{15, 1, 21}, 1},  {{1, 1, 100}, 1},  {{1, 1, 1}, 1},
                                        {{31, 1, 1}, 1},  {{1, 1, 37}, 3},   {{6, 10, 12}, 1},  {{5, 7, 9}, 2},
                                        {{4, 1, 135}, 3}, {{3, 18, 1}, 1},   {{2, 5, 70}, 1},   {{210, 1, 34}, 1},
                                        {{256, 1, 6}, 1}, {{67, 1, 20}, 1},  {{2, 135, 8}, 1},  {{7, 1, 2}, 2},
                                        {{2, 98, 1}, 1},  {{5, 20, 130}, 1}, {{8, 1, 1120}, 1}, {{3125, 1, 2}, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        cplx *first = dcv_alloc(1 << 16, sizeof *first);
        for (int threads = 1; threads <= 4; threads *= 2)
            try_shape(shapes[i], threads, first);
        dcv_free(first);
    }
    group *g;
    pool *p;
    slab *s;
    CHECK_OK(group_new(-1, &g));
    CHECK_OK(pool_new(1, &p));
    CHECK_FAILS(slab_new(&(slab_shape){{1, 1, (int64_t)1 << 31}, 1}, g, p, &s), DCV_EDATA, "FFTW takes at most");
    CHECK(!s);
    pool_free(p);
    group_free(g);
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
