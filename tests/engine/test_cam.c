/* test_cam.c -- maps and heat maps against NumPy and PyTorch; which layer is chosen. */
#include "engine/golden.h"

#include "engine/methods/cam.h"

static const char *const kinds[] = {"cam", "grad_cam", "grad_cam_pp", "layer_cam"};

static float *floats(const golden *t)
{
    const size_t n = (size_t)dcv_count(&t->dims);
    float *x = dcv_alloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)t->v[i];
    return x;
}

static const golden *get(const golden_file *f, int i, const char *name)
{
    char text[128];
    snprintf(text, sizeof text, "%d.%s", i, name);
    return golden_find(f, text);
}

static void one(const golden_file *f, int i)
{
    const golden *ga = get(f, i, "a"), *gg = get(f, i, "g");
    float *a = floats(ga), *g = floats(gg);
    const dcv_map m = {ga->dims.d[0], ga->dims.d[1], ga->dims.d[2]};
    const size_t cells = (size_t)(m.h * m.w);
    double *sum = dcv_alloc(cells, sizeof *sum);
    float *map = dcv_alloc(cells, sizeof *map);
    for (int k = 0; k < 4; k++) {
        char name[64];
        const golden *want = get(f, i, kinds[k]);
        snprintf(name, sizeof name, "%s.heat", kinds[k]);
        const golden *heat = get(f, i, name);
        const size_t px = (size_t)dcv_count(&heat->dims);
        float *to = dcv_alloc(px, sizeof *to), most = 0;
        dcv_cam_map((dcv_cam_kind)k, &m, a, g, sum, map);
        CHECK_NEAR(check_rel_l2(map, want->v, cells), 0, 1e-7);
        dcv_cam_heatmap(map, m.h, m.w, heat->dims.d[0], heat->dims.d[1], to);
        CHECK_NEAR(check_rel_l2(to, heat->v, px), 0, 1e-6);
        for (size_t q = 0; q < px; q++)
            most = to[q] > most ? to[q] : most;
        CHECK(most == 1 || most == 0);
        dcv_free(to);
    }
    dcv_free(a);
    dcv_free(g);
    dcv_free(sum);
    dcv_free(map);
}

static void against_numpy(void)
{
    golden_file f = golden_open(DCV_SOURCE_DIR "/tests/golden/cam/cam.golden");
    int n = 0;
    for (; get(&f, n, "a"); n++)
        one(&f, n);
    CHECK(n >= 6);
    golden_close(&f);
}

/* Nothing positive: 0 everywhere.  NaN comes through into maps, so that a job can see it. */
static void edges(void)
{
    const float below[4] = {-1, -2, 0, -3}, a[4] = {1, 2, 3, 4}, g[4] = {1, NAN, 1, 1};
    const dcv_map m = {2, 1, 2};
    float heat[9], map[2];
    double sum[2];
    dcv_cam_heatmap(below, 2, 2, 3, 3, heat);
    for (int i = 0; i < 9; i++)
        CHECK(heat[i] == 0);
    for (int k = 0; k < 4; k++) {
        dcv_cam_map((dcv_cam_kind)k, &m, a, g, sum, map);
        CHECK(isnan(map[0]) || isnan(map[1]));
    }
}

/* last, weighted: names of layers, NULL where there is none. */
static void layers(const char *model, const char *last, const char *weighted)
{
    char path[512];
    dcv_model *m = NULL;
    dcv_graph *g = NULL;
    dcv_dims dims;
    snprintf(path, sizeof path, "%s/%s.onnx", DCV_SOURCE_DIR, model);
    CHECK_OK(dcv_model_open(path, &m));
    CHECK_OK(dcv_graph_input_dims(m, 0, NULL, &dims));
    CHECK_OK(dcv_graph_new(m, &dims, 1, &g));
    const int v = dcv_cam_last(g), w = dcv_cam_weighted(g);
    const char *found = v < 0 ? "none" : g->value[v].name, *heavy = w < 0 ? "none" : g->value[w].name;
    CHECK(!strcmp(found, last ? last : "none") && !strcmp(heavy, weighted ? weighted : "none"));
    if (strcmp(found, last ? last : "none") != 0 || strcmp(heavy, weighted ? weighted : "none") != 0)
        fprintf(stderr, "%s: %s and %s\n", model, found, heavy);
    dcv_graph_free(g);
    dcv_model_free(m);
}

static void choices(void)
{
    layers("configs/models/fashion_mnist", "pool3", NULL);
    layers("tests/golden/models/alexnet", "/avgpool/AveragePool_output_0", NULL);
    layers("tests/golden/models/densenet121", "/relu5/Relu_output_0", "/relu5/Relu_output_0");
    layers("tests/golden/models/googlenet", "/inception5b/Concat_output_0", "/inception5b/Concat_output_0");
    layers("tests/golden/models/inception_v3", "/mixed7c/Concat_output_0", "/mixed7c/Concat_output_0");
    layers("tests/golden/models/mobilenet_v2", "/conv18/act/Clip_output_0", "/conv18/act/Clip_output_0");
    layers("tests/golden/models/resnet50", "/layer4_2/relu/Relu_output_0", "/layer4_2/relu/Relu_output_0");
    layers("tests/golden/models/squeezenet1_1", "/conv10/relu/Relu_output_0", NULL); /* a ReLU stands between */
    layers("tests/golden/models/vgg16", "/pool5/MaxPool_output_0", NULL);
    layers("tests/golden/cam/pointwise", "scores", "layer");
    layers("tests/golden/cam/reduce", "layer", "layer");
    layers("tests/golden/cam/window", "layer", "layer");
    layers("tests/golden/cam/gated", "excited", NULL); /* the pool of the gate is on one way of two */
    layers("tests/golden/cam/nothing", "layer", NULL);
    layers("tests/golden/cam/bare", "x", NULL);
}

int main(void)
{
    const int64_t before = dcv_alloc_balance();
    against_numpy();
    edges();
    choices();
    CHECK(dcv_alloc_balance() == before);
    return check_end();
}
