/* test_networks.c -- published networks on real pictures, both precisions, every back end: the answers of float64
 * PyTorch (expected_forward.json of the shared test data, which says how they were made; copied here).  Skipped without
 * the data. */
#include "check.h"
#include "deconvoy/engine.h"
#include "deconvoy/image.h"

static const struct {
    const char *photo;
    int top[5];
    double probability[5];
} squeezenet[] = {
    {"chelsea", {285, 281, 282, 287, 293}, {0.377159, 0.373543, 0.247353, 0.001201, 0.00053}},
    {"coffee", {967, 925, 809, 968, 868}, {0.980536, 0.018019, 0.000695, 0.000292, 0.00011}},
    {"motorcycle", {670, 535, 665, 817, 518}, {0.771532, 0.108109, 0.071227, 0.022062, 0.015562}},
    {"flamingo", {130, 144, 765, 522, 129}, {0.999943, 1.5e-05, 1.1e-05, 1.1e-05, 1.1e-05}},
    {"dalmatian", {251, 388, 805, 248, 250}, {0.983773, 0.005781, 0.003765, 0.001936, 0.000708}},
    {"revolver", {708, 763, 600, 700, 435}, {0.139494, 0.079798, 0.049752, 0.038725, 0.032288}},
    {"accordion", {401, 579, 881, 687, 878}, {0.777357, 0.119631, 0.080772, 0.015047, 0.003272}},
    {"starfish", {327, 885, 546, 596, 697}, {0.86649, 0.028085, 0.026754, 0.02536, 0.007601}},
};

static const int digits[64] = {0, 2, 0, 1, 4, 7, 2, 3, 5, 5, 7, 8, 5, 0, 6, 3, 1, 5, 3, 9, 5, 2,
                               9, 7, 6, 0, 9, 3, 7, 5, 0, 4, 5, 6, 1, 7, 7, 8, 3, 2, 4, 6, 1, 4,
                               2, 8, 2, 3, 4, 8, 6, 6, 2, 0, 5, 1, 7, 0, 7, 8, 8, 1, 1, 2};

/* Generators of 28x28: mean and standard deviation of the picture, and row 14. */
static const struct {
    const char *file;
    int n_in;
    double mean, deviation, row[28];
} generators[] = {
    {"dcgan_mnist", 64, -0.673209, 0.661436, {-0.9998, -0.99999, -1.0,     -1.0,     -1.0,    -0.99955, -0.72246,
                                              0.95908, 0.79704,  -0.98074, -0.99998, -1.0,    -0.99997, -0.99153,
                                              -0.8819, 0.56473,  0.9561,   0.89037,  -0.6127, -0.93314, -0.21612,
                                              0.1715,  0.2441,   -0.99314, -0.9998,  -1.0,    -1.0,     -0.99855}},
    {"cvae_quickdraw", 67, 0.168426, 0.203098, {1e-05,   0.00012, 0.00046, 0.00935, 0.23661, 0.70283, 0.44933,
                                                0.14202, 0.10708, 0.13052, 0.18414, 0.24428, 0.30701, 0.33308,
                                                0.33634, 0.29047, 0.22849, 0.18421, 0.18542, 0.2378,  0.34294,
                                                0.51524, 0.46126, 0.07941, 0.00344, 0.00028, 8e-05,   0.0}},
};

/* Doubled by the super-resolution network: its PSNR to the photograph that was halved before. */
static const struct {
    const char *photo;
    double psnr;
} doubled[] = {
    {"chelsea", 34.8575},   {"coffee", 34.2322},   {"motorcycle", 27.487}, {"flamingo", 25.7154},
    {"dalmatian", 42.1378}, {"revolver", 42.3963}, {"accordion", 25.3469}, {"starfish", 41.8834},
};

typedef struct net {
    dcv_model *model;
    dcv_graph *graph;
    dcv_engine *engine;
    dcv_walk *walk;
} net;

/* side: of a picture where the file leaves that open. */
static dcv_status net_open_sized(const char *file, dcv_backend_kind b, dcv_precision p, int64_t side, net *n)
{
    dcv_dims d;
    const dcv_engine_options o = {.precision = p, .backend = b};
    *n = (net){0};
    DCV_TRY(dcv_model_open(file, &n->model));
    DCV_TRY(dcv_graph_input_dims(n->model, 0, NULL, &d));
    for (int i = 2; side && i < d.n; i++)
        d.d[i] = side;
    DCV_TRY(dcv_graph_new(n->model, &d, 1, &n->graph));
    DCV_TRY(dcv_engine_new(n->graph, &o, &n->engine));
    DCV_TRY(dcv_engine_pack_own(n->engine));
    return dcv_walk_new(n->engine, &n->walk);
}

static dcv_status net_open(const char *file, dcv_backend_kind b, dcv_precision p, net *n)
{
    return net_open_sized(file, b, p, 0, n);
}

static void net_close(net *n)
{
    dcv_walk_free(n->walk);
    dcv_engine_free(n->engine);
    dcv_graph_free(n->graph);
    dcv_model_free(n->model);
}

/* The network's first output for one picture; returns its length. */
static int64_t answer(net *n, const float *x, float *y)
{
    const float *const group[1] = {x};
    const float *const *const input[1] = {group};
    dcv_walk_forward(n->walk, 1, input, NULL, NULL);
    dcv_walk_output(n->walk, 0, 0, y);
    return dcv_count(&n->graph->value[n->graph->out[0]].dims);
}

static bool picture(const char *dir, const char *name, dcv_image *im)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/photos/%s", dir, name);
    static char bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    const size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return dcv_image_decode(bytes, n, name, im) == DCV_OK;
}

static int best(const float *y, int64_t n)
{
    int b = 0;
    for (int i = 1; i < n; i++)
        b = y[i] > y[b] ? i : b;
    return b;
}

/* BGR, 0..255 minus the mean, rows and columns 0..223. */
static void caffe_input(const dcv_image *im, float *x)
{
    static const float mean[3] = {104, 117, 123};
    for (int c = 0; c < 3; c++)
        for (int r = 0; r < 224; r++)
            for (int k = 0; k < 224; k++)
                *x++ = (float)im->px[(r * im->w + k) * 3 + 2 - c] - mean[c];
}

static void check_squeezenet(const char *dir, const char *file, dcv_backend_kind b, dcv_precision p)
{
    char path[8192];
    net n;
    static float x[3 * 224 * 224], y[1000];
    snprintf(path, sizeof path, "%s/models/%s", dir, file);
    CHECK_OK(net_open(path, b, p, &n));
    double worst = 0;
    for (size_t i = 0; n.walk && i < sizeof squeezenet / sizeof *squeezenet; i++) {
        char name[64];
        dcv_image im = {0};
        snprintf(name, sizeof name, "exact227/%s.png", squeezenet[i].photo);
        CHECK(picture(dir, name, &im) && im.c == 3 && im.h == 227 && im.w == 227);
        if (!im.px)
            continue;
        caffe_input(&im, x);
        CHECK(answer(&n, x, y) == 1000);
        for (int k = 0; k < 5; k++) {
            const double err = fabs((double)y[squeezenet[i].top[k]] - squeezenet[i].probability[k]);
            worst = !(err <= worst) ? err : worst;
            const int top = best(y, 1000);
            CHECK(top == squeezenet[i].top[k]);
            y[top] = -1;
        }
        dcv_image_clear(&im);
    }
    fprintf(stderr, "%s %s %s: largest error of a probability %.1e\n", file, dcv_backend_numerics(b),
            p == DCV_FAST ? "fast" : "strict", worst);
    CHECK(worst <= (p == DCV_FAST ? 1e-4 : 2e-6)); /* the file has six decimals */
    net_close(&n);
}

static void check_digits(const char *dir, dcv_backend_kind b, dcv_precision p)
{
    char path[8192];
    net n;
    dcv_image im = {0};
    float x[28 * 28], y[10];
    snprintf(path, sizeof path, "%s/models/mnist_cntk.onnx", dir);
    CHECK_OK(net_open(path, b, p, &n));
    CHECK(picture(dir, "mnist_64digits_grid.png", &im) && dcv_image_channels(&im, 1) == DCV_OK);
    int wrong = 0;
    for (int d = 0; n.walk && im.px && d < 64; d++) {
        for (int r = 0; r < 28; r++)
            for (int c = 0; c < 28; c++)
                x[r * 28 + c] = im.px[(2 + 30 * (d / 8) + r) * im.w + 2 + 30 * (d % 8) + c];
        CHECK(answer(&n, x, y) == 10);
        wrong += best(y, 10) != digits[d];
    }
    CHECK(wrong == 0);
    dcv_image_clear(&im);
    net_close(&n);
}

/* The latent of either generator; the second one's label is a light bulb, the eleventh of its list. */
static void latent(int which, float *z)
{
    memset(z, 0, 67 * sizeof *z);
    for (int i = 0; i < (which ? 16 : 64); i++)
        z[i] = (float)(which ? 0.5 * sin(i + 1) : 1.5 * sin(1.7 * (i + 1)));
    if (which)
        z[17 + 11] = 1;
}

static void check_generators(const char *dir, dcv_backend_kind b, dcv_precision p)
{
    for (int g = 0; g < 2; g++) {
        char path[8192];
        float z[67], y[28 * 28];
        double mean = 0, square = 0, worst = 0;
        net n;
        snprintf(path, sizeof path, "%s/models/%s.onnx", dir, generators[g].file);
        CHECK_OK(net_open(path, b, p, &n));
        latent(g, z);
        if (n.walk) {
            CHECK(answer(&n, z, y) == 28 * 28);
            for (int i = 0; i < 28 * 28; i++) {
                mean += (double)y[i] / (28 * 28);
                square += (double)y[i] * (double)y[i] / (28 * 28);
            }
            for (int i = 0; i < 28; i++) {
                const double err = fabs((double)y[14 * 28 + i] - generators[g].row[i]);
                worst = !(err <= worst) ? err : worst;
            }
            CHECK_NEAR(mean, generators[g].mean, p == DCV_FAST ? 1e-4 : 2e-6); /* the file has six decimals */
            CHECK_NEAR(sqrt(square - mean * mean), generators[g].deviation, p == DCV_FAST ? 1e-4 : 2e-6);
            CHECK(worst <= (p == DCV_FAST ? 1e-3 : 1e-5)); /* of the row five */
        }
        fprintf(stderr, "%s %s %s: largest error of row 14 %.1e\n", generators[g].file, dcv_backend_numerics(b),
                p == DCV_FAST ? "fast" : "strict", worst);
        net_close(&n);
    }
}

enum { CROP = 226, HALF = CROP / 2, FRAME = 7, FRAMED = HALF + 2 * FRAME };

static int64_t within(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i < n ? i : n - 1;
}

/* Half of a photograph, 2x2 means of 0..1 rounded to 8 bits, with a frame of its edge.  The sums are those of the
 * reference, which decide where a mean lies half way. */
static void halve(const dcv_image *im, float *x)
{
    for (int c = 0; c < 3; c++)
        for (int r = 0; r < FRAMED; r++)
            for (int k = 0; k < FRAMED; k++) {
                const int64_t y0 = 2 * within(r - FRAME, HALF), x0 = 2 * within(k - FRAME, HALF);
                const uint8_t *at = im->px + (y0 * im->w + x0) * 3 + c, *below = at + im->w * 3;
                const double sum = at[0] / 255.0 + at[3] / 255.0 + below[0] / 255.0 + below[3] / 255.0;
                *x++ = (float)(rint(sum / 4 * 255) / 255);
            }
}

static double psnr(const dcv_image *im, const float *y)
{
    double sum = 0;
    for (int c = 0; c < 3; c++)
        for (int r = 0; r < CROP; r++)
            for (int k = 0; k < CROP; k++) {
                const float v = y[(c * CROP + r) * CROP + k];
                const double e = (double)(v < 0 ? 0 : v > 1 ? 1 : v) - (double)im->px[(r * im->w + k) * 3 + c] / 255;
                sum += e * e;
            }
    return -10 * log10(sum / (3.0 * CROP * CROP));
}

static void check_doubled(const char *dir, dcv_backend_kind b, dcv_precision p)
{
    char path[8192];
    net n;
    static float x[3 * FRAMED * FRAMED], y[3 * CROP * CROP];
    double worst = 0;
    snprintf(path, sizeof path, "%s/models/waifu2x_upconv7_photo_2x.onnx", dir);
    CHECK_OK(net_open_sized(path, b, p, FRAMED, &n));
    for (size_t i = 0; n.walk && i < sizeof doubled / sizeof *doubled; i++) {
        char name[64];
        dcv_image im = {0};
        snprintf(name, sizeof name, "exact227/%s.png", doubled[i].photo);
        CHECK(picture(dir, name, &im) && im.c == 3 && im.h == 227 && im.w == 227);
        if (!im.px)
            continue;
        halve(&im, x);
        CHECK(answer(&n, x, y) == 3 * CROP * CROP);
        const double err = fabs(psnr(&im, y) - doubled[i].psnr);
        worst = !(err <= worst) ? err : worst;
        dcv_image_clear(&im);
    }
    CHECK(worst <= 2e-4); /* dB; the file has four decimals */
    fprintf(stderr, "waifu2x %s %s: largest error of a PSNR %.1e dB\n", dcv_backend_numerics(b),
            p == DCV_FAST ? "fast" : "strict", worst);
    net_close(&n);
}

/* The shared data say nothing of this one: the two back ends must agree. */
static void check_cifar(const char *dir)
{
    char path[8192];
    static float x[3 * 32 * 32], y[2][10];
    for (int i = 0; i < 3 * 32 * 32; i++)
        x[i] = (float)((i * 7919) % 256);
    snprintf(path, sizeof path, "%s/models/cifar10_winml.onnx", dir);
    for (int b = 0; b <= DCV_BACKEND_ONEDNN; b++) {
        net n;
        CHECK_OK(net_open(path, (dcv_backend_kind)b, DCV_STRICT, &n));
        if (n.walk)
            CHECK(answer(&n, x, y[b]) == 10);
        net_close(&n);
    }
    for (int i = 0; i < 10; i++)
        CHECK_NEAR(y[0][i], y[1][i], 1e-5 * (1 + fabs((double)y[0][i])));
}

int main(void)
{
    const char *dir = check_data_dir();
    if (!dir)
        return 77;
    for (int b = 0; b <= DCV_BACKEND_ONEDNN; b++) {
#ifndef DCV_HAVE_ONEDNN
        if (b == DCV_BACKEND_ONEDNN)
            continue;
#endif
        for (int p = DCV_FAST; p <= DCV_STRICT; p++) {
            check_squeezenet(dir, "squeezenet1_1.onnx", (dcv_backend_kind)b, (dcv_precision)p);
            check_squeezenet(dir, "squeezenet1_1_fp16.onnx", (dcv_backend_kind)b, (dcv_precision)p);
            check_digits(dir, (dcv_backend_kind)b, (dcv_precision)p);
            check_generators(dir, (dcv_backend_kind)b, (dcv_precision)p);
            check_doubled(dir, (dcv_backend_kind)b, (dcv_precision)p);
        }
    }
#ifdef DCV_HAVE_ONEDNN
    check_cifar(dir);
#endif
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
