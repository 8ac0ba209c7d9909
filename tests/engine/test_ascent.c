/* test_ascent.c -- the parts of a step of gradient ascent against NumPy, SciPy and PyTorch (tests/golden/ascent). */
#include "deconvoy/random.h"
#include "engine/methods/ascent.h"
#include "engine/methods/fourier.h"
#include "golden.h"

static golden_file parts;

static const golden *get(const char *name)
{
    const golden *g = golden_find(&parts, name);
    if (!g) {
        fprintf(stderr, "%s is not in parts.golden\n", name);
        exit(1);
    }
    return g;
}

static size_t count(const golden *g)
{
    return (size_t)dcv_count(&g->dims);
}

static float *floats(const golden *g)
{
    float *x = dcv_alloc(count(g), sizeof *x);
    for (size_t i = 0; i < count(g); i++)
        x[i] = (float)g->v[i];
    return x;
}

static dcv_map map_of(const golden *g)
{
    return (dcv_map){g->dims.d[0], g->dims.d[1], g->dims.d[2]};
}

static void is(const float *x, const char *name, double tol)
{
    const golden *want = get(name);
    const double err = check_rel_l2(x, want->v, count(want));
    if (!(err <= tol))
        fprintf(stderr, "%s: relative error %.3g\n", name, err);
    CHECK(err <= tol);
}

static void rolls(void)
{
    static const int by[][2] = {{3, -5}, {-11, 14}, {25, -29}};
    const dcv_map m = map_of(get("x"));
    float *x = floats(get("x")), *y = floats(get("x")), *back = floats(get("g"));
    for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
        char name[64];
        snprintf(name, sizeof name, "roll_%d_%d", by[i][0], by[i][1]);
        dcv_roll(&m, x, by[i][0], by[i][1], y);
        is(y, name, 0);
        dcv_roll(&m, y, -by[i][0], -by[i][1], back);
        is(back, "x", 0);
    }
    dcv_free(x);
    dcv_free(y);
    dcv_free(back);
}

static void jitters(void)
{
    int seen[17] = {0};
    int64_t dy, dx, again;
    for (int64_t step = 0; step < 2000; step++) {
        dcv_jitter(5, step, 8, &dy, &dx);
        CHECK(dy >= -8 && dy <= 8 && dx >= -8 && dx <= 8);
        seen[dy + 8]++;
        dcv_jitter(4, step + 1, 8, &again, &dx);
        CHECK(again == dy); /* seed + step is all that counts */
    }
    for (int i = 0; i < 17; i++)
        CHECK(seen[i] > 60 && seen[i] < 180); /* 118 each */
    dcv_jitter(5, 7, 0, &dy, &dx);
    CHECK(dy == 0 && dx == 0);
}

static void blur(const char *from, const char *name, double sigma)
{
    const dcv_map m = map_of(get(from));
    float *x = floats(get(from)), *work = dcv_alloc((size_t)dcv_blur_work(&m, sigma), sizeof *work);
    dcv_gaussian_blur(&m, x, sigma, work);
    is(x, name, 2e-7);
    dcv_free(x);
    dcv_free(work);
}

static void zoom(int64_t h, int64_t w)
{
    char name[64];
    const dcv_map m = map_of(get("x")), to = {m.c, h, w};
    float *x = floats(get("x")), *y = dcv_alloc((size_t)(m.c * h * w), sizeof *y);
    snprintf(name, sizeof name, "zoom_%lld_%lld", (long long)h, (long long)w);
    dcv_zoom(&m, x, &to, y);
    is(y, name, 1e-7);
    dcv_free(x);
    dcv_free(y);
}

static void octaves(void)
{
    const dcv_map m = {3, 224, 150};
    static const int64_t want[4][2] = {{81, 54}, {114, 76}, {160, 107}, {224, 150}}; /* rint(h / 1.4), step by step */
    for (int k = 0; k < 4; k++) {
        const dcv_map o = dcv_octave(&m, k, 4, 1.4);
        CHECK(o.c == 3 && o.h == want[k][0] && o.w == want[k][1]);
    }
    const dcv_map small = dcv_octave(&(dcv_map){1, 5, 7}, 0, 20, 2);
    CHECK(small.h == 1 && small.w == 1);
    CHECK(dcv_octave(&(dcv_map){1, 5, 7}, 0, 2, 2).h == 2); /* 2.5: to even */
}

static void variation(void)
{
    const dcv_map m = map_of(get("x"));
    float *x = floats(get("x")), *d = dcv_alloc(count(get("x")), sizeof *d);
    dcv_less_variation(&m, x, -1, d);
    is(d, "variation", 2e-7);
    memset(x, 0, count(get("x")) * sizeof *x);
    memset(d, 0, count(get("x")) * sizeof *d);
    dcv_less_variation(&m, x, 1, d);
    CHECK(dcv_rms(d, (int64_t)count(get("x"))) == 0);
    dcv_free(x);
    dcv_free(d);
}

static void clips(void)
{
    static const double at[] = {0, 12.5, 50, 99.9, 100};
    static const int some[] = {20, 90};
    const dcv_map m = map_of(get("x"));
    const int64_t cells = m.h * m.w;
    double *work = dcv_alloc((size_t)(2 * cells), sizeof *work);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        for (int64_t p = 0; p < cells; p++) {
            double sum = 0;
            for (int64_t c = 0; c < m.c; c++)
                sum += get("x")->v[c * cells + p] * get("x")->v[c * cells + p];
            work[p] = sqrt(sum);
        }
        CHECK_NEAR(dcv_percentile(work, cells, at[i]), get("percentile")->v[i], 1e-12);
    }
    for (size_t i = 0; i < 2; i++) {
        char name[64];
        float *x = floats(get("x")), *g = floats(get("g"));
        snprintf(name, sizeof name, "norm_%d", some[i]);
        dcv_clip_norm(&m, x, some[i], work);
        is(x, name, 0);
        dcv_free(x);
        x = floats(get("x"));
        snprintf(name, sizeof name, "contribution_%d", some[i]);
        dcv_clip_contribution(&m, x, g, some[i], work);
        is(x, name, 0);
        dcv_free(x);
        dcv_free(g);
    }
    double one[2] = {3, 0};
    CHECK(dcv_percentile(one, 1, 50) == 3);
    double equal[6] = {2, 2, 2, 2, 2, 2};
    CHECK(dcv_percentile(equal, 6, 40) == 2);
    dcv_free(work);
}

static void select_many(void)
{
    for (uint64_t round = 0; round < 300; round++) { /* few different values, so that there are ties */
        const int64_t n = 1 + (int64_t)(dcv_random_bits(round, 0) % 40);
        double v[40], sorted[40];
        for (int64_t i = 0; i < n; i++)
            v[i] = sorted[i] = (double)(dcv_random_bits(round, (uint64_t)i + 1) % 7);
        for (int64_t i = 1; i < n; i++)
            for (int64_t j = i; j > 0 && sorted[j - 1] > sorted[j]; j--) {
                const double t = sorted[j];
                sorted[j] = sorted[j - 1];
                sorted[j - 1] = t;
            }
        const double p = 100 * dcv_random_uniform(round, 99), rank = p / 100 * (double)(n - 1);
        const int64_t k = (int64_t)rank;
        const double want = sorted[k] + (rank - (double)k) * (sorted[k + 1 < n ? k + 1 : k] - sorted[k]);
        CHECK_NEAR(dcv_percentile(v, n, p), want, 1e-12);
    }
}

static void fourier(const char *which, bool bgr)
{
    char name[64];
    dcv_fourier *f;
    snprintf(name, sizeof name, "%s_x", which);
    const dcv_map m = map_of(get(name));
    float *x = dcv_alloc((size_t)(m.c * m.h * m.w), sizeof *x);
    CHECK_OK(dcv_fourier_new(&m, bgr, &f));
    snprintf(name, sizeof name, "%s_z", which);
    CHECK(dcv_fourier_size(&m) == (int64_t)count(get(name)));
    float *z = floats(get(name));
    dcv_fourier_picture(f, z, x);
    snprintf(name, sizeof name, "%s_x", which);
    is(x, name, 1e-7);
    snprintf(name, sizeof name, "%s_up", which);
    float *up = floats(get(name));
    dcv_fourier_gradient(f, up, z);
    snprintf(name, sizeof name, "%s_gradient", which);
    is(z, name, 1e-7);
    dcv_fourier_free(f);
    dcv_free(x);
    dcv_free(z);
    dcv_free(up);
}

static void adam(void)
{
    const golden *g = get("adam_gradients");
    const int64_t n = g->dims.d[1];
    float *m = dcv_alloc((size_t)n, sizeof *m), *v = dcv_alloc((size_t)n, sizeof *v), *all = floats(g),
          *x = dcv_alloc((size_t)n, sizeof *x);
    for (int64_t t = 0; t < g->dims.d[0]; t++) {
        dcv_adam(n, t + 1, 0.3, m, v, all + t * n);
        CHECK(dcv_ascend(x, all + t * n, n, 1, 1));
    }
    is(x, "adam", 1e-6);
    dcv_free(m);
    dcv_free(v);
    dcv_free(all);
    dcv_free(x);
}

static void ascends(void)
{
    float x[3] = {1, 2, 3};
    const float d[3] = {2, 0, -4}, bad[3] = {0, NAN, 0}, vast[3] = {3e38f, 0, 0};
    CHECK(dcv_ascend(x, d, 3, 0.5, 0.75));
    CHECK(x[0] == 1.5f && x[1] == 1.5f && x[2] == 0.75f);
    CHECK(!dcv_ascend(x, vast, 3, 2, 1));
    CHECK(!dcv_ascend(x, bad, 3, 1, 1));
    CHECK(dcv_rms(d, 3) == sqrt(20.0 / 3));
}

int main(void)
{
    parts = golden_open(DCV_SOURCE_DIR "/tests/golden/ascent/parts.golden");
    rolls();
    jitters();
    blur("x", "blur_0.5", 0.5);
    blur("x", "blur_1.3", 1.3);
    blur("x", "blur_6.0", 6);
    blur("one", "one_blur", 0.8);
    zoom(15, 20);
    zoom(8, 10);
    zoom(11, 14);
    zoom(1, 3);
    zoom(23, 1);
    octaves();
    variation();
    clips();
    select_many();
    fourier("rgb", false);
    fourier("bgr", true);
    fourier("grey", false);
    adam();
    ascends();
    golden_close(&parts);
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
