/* test_graph.c -- graphs of the small golden networks: shapes, numbers, layers, receptive fields, messages. */
#include "golden.h"
#include "reference.h"

#define NETS DCV_SOURCE_DIR "/tests/golden/models/"

typedef struct net {
    dcv_model *m;
    dcv_graph *g;
} net;

static net net_open(const char *path, const dcv_dims *input)
{
    net n = {NULL, NULL};
    CHECK_OK(dcv_model_open(path, &n.m));
    if (n.m)
        CHECK_OK(dcv_graph_new(n.m, input, input ? 1 : 0, &n.g));
    return n;
}

static void net_close(net *n)
{
    dcv_graph_free(n->g);
    dcv_model_free(n->m);
}

static double scale_of(const double *v, size_t n)
{
    double top = 1;
    for (size_t i = 0; i < n; i++)
        top = fmax(top, fabs(v[i]));
    return top;
}

/* Picture p of a golden tensor [2,...] equals a value. */
static void compare(const golden *t, int p, const float *v)
{
    const size_t n = (size_t)dcv_count(&t->dims) / 2;
    const double tol = 1e-4 * scale_of(t->v, 2 * n);
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs(v[i] - t->v[p * n + i]);
        worst = isnan(worst) || d <= worst ? worst : d;
    }
    CHECK_NEAR(worst, 0, tol);
}

static void compare_stats(const golden *t, int p, const float *v, size_t n)
{
    const double *s = t->v + 5 * p;
    double norm = 0, sum = 0, top = -INFINITY, weighted = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        norm += (double)v[i] * v[i];
        sum += v[i];
        weighted += v[i] * (double)(i % 251 + 1) / 251;
        if (v[i] > top) {
            top = v[i];
            at = i;
        }
    }
    CHECK_NEAR(sqrt(norm), s[0], 1e-4 * (1 + fabs(s[0])));
    CHECK_NEAR(sum, s[1], 1e-4 * (1 + sqrt((double)n) * s[0]));
    CHECK_NEAR(top, s[2], 1e-4 * (1 + fabs(s[2])));
    CHECK(s[3] < 0 || at == (size_t)s[3]);
    CHECK_NEAR(weighted, s[4], 1e-4 * (1 + sqrt((double)n) * s[0]));
}

static void test_numbers(const char *name, int block)
{
    char path[512];
    snprintf(path, sizeof path, NETS "%s.golden", name);
    golden_file f = golden_open(path);
    const golden *image = golden_find(&f, "image");
    snprintf(path, sizeof path, NETS "%s.onnx", name);
    dcv_dims dims = image->dims;
    dims.d[0] = 1;
    net n = net_open(path, &dims);
    if (!n.g)
        goto done;
    const size_t count = (size_t)dcv_count(&dims);
    float *x = dcv_alloc(count, sizeof *x);
    for (int p = 0; p < (block == 1 ? 2 : 1); p++) {
        for (size_t i = 0; i < count; i++)
            x[i] = (float)image->v[(size_t)p * count + i];
        float **values = ref_run(n.g, block, (const float *const[]){x});
        for (int i = 0; i < f.n; i++) {
            char *cut = strchr(f.t[i].name, '#'), value[256];
            snprintf(value, sizeof value, "%.*s", cut ? (int)(cut - f.t[i].name) : 255, f.t[i].name);
            const int v = dcv_graph_find(n.g, value);
            if (!strcmp(value, "image"))
                continue;
            CHECK(v >= 0);
            if (v < 0)
                continue;
            if (cut)
                compare_stats(&f.t[i], p, values[v], (size_t)dcv_count(&n.g->value[v].dims));
            else
                compare(&f.t[i], p, values[v]);
        }
        ref_free(n.g, values);
    }
    dcv_free(x);
    CHECK(n.g->classes == 10 && n.g->head == DCV_HEAD_LOGITS && n.g->logits == n.g->out[0]);
done:
    net_close(&n);
    golden_close(&f);
}

int main(void)
{
    static const char *const nets[] = {"alexnet",       "zfnet",    "vgg16",    "googlenet",   "inception_v3",
                                       "squeezenet1_1", "resnet18", "resnet50", "densenet121", "mobilenet_v2"};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        for (int block = 1; block <= 16; block = block == 1 ? 8 : 2 * block) {
            const int before = check_failures;
            test_numbers(nets[i], block);
            if (check_failures > before)
                fprintf(stderr, "^ %s, block %d\n", nets[i], block);
        }
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
