/* test_back_box.c -- places walked back by boxes against whole maps, of ten small networks: every rule, corners,
 * borders and the middle of every layer, memory full of NaN.
 */
#include "check.h"
#include "engine/back_box.h"
#include "engine/net_golden.h"

enum { PLACES = 8 };

static const char *const nets[] = {"alexnet",       "zfnet",    "vgg16",    "googlenet",   "inception_v3",
                                   "squeezenet1_1", "resnet18", "resnet50", "densenet121", "mobilenet_v2"};

typedef struct net {
    dcv_model *model;
    dcv_graph *graph;
    float *image;
    int64_t c, h, w;
} net;

static void open_net(const char *name, net *n)
{
    char path[4096];
    golden_file gold;
    *n = (net){0};
    snprintf(path, sizeof path, "%s/tests/golden/models/%s.onnx", DCV_SOURCE_DIR, name);
    CHECK_OK(dcv_model_open(path, &n->model));
    snprintf(path, sizeof path, "%s/tests/golden/models/%s.golden", DCV_SOURCE_DIR, name);
    CHECK(golden_read(path, &gold));
    const golden *image = golden_find(&gold, "image");
    dcv_dims d = image->dims;
    d.d[0] = 1;
    CHECK_OK(dcv_graph_new(n->model, &d, 1, &n->graph));
    n->c = d.d[1];
    n->h = d.d[2];
    n->w = d.d[3];
    n->image = dcv_alloc((size_t)dcv_count(&d), sizeof *n->image);
    for (int64_t i = 0; i < dcv_count(&d); i++)
        n->image[i] = (float)image->v[i];
    golden_free(&gold);
}

/* Borders wider than the kernels, and a map of one channel; the picture is drawn. */
static void open_padded(net *n)
{
    const dcv_dims d = {4, {1, 3, 9, 8}};
    uint32_t state = 1123;
    *n = (net){.c = d.d[1], .h = d.d[2], .w = d.d[3]};
    CHECK_OK(dcv_model_open(DCV_SOURCE_DIR "/tests/golden/back/padded.onnx", &n->model));
    CHECK_OK(dcv_graph_new(n->model, &d, 1, &n->graph));
    n->image = dcv_alloc((size_t)dcv_count(&d), sizeof *n->image);
    for (int64_t i = 0; i < dcv_count(&d); i++) {
        state = state * 1664525 + 1013904223;
        n->image[i] = (float)state / 4294967296.0F * 2 - 1;
    }
}

static void close_net(net *n)
{
    dcv_free(n->image);
    dcv_graph_free(n->graph);
    dcv_model_free(n->model);
}

/* Places of a layer: the corners, the middle, two beside it, and one whose columns alone begin in the border. */
static void choose(const dcv_map *m, dcv_box_place *p)
{
    const int64_t y[PLACES] = {0, 0, m->h - 1, m->h - 1, m->h / 2, m->h / 3, m->h - 1 - m->h / 4, m->h / 2};
    const int64_t x[PLACES] = {0, m->w - 1, 0, m->w - 1, m->w / 2, m->w - 1 - m->w / 3, m->w / 5, 0};
    for (int i = 0; i < PLACES; i++)
        p[i] = (dcv_box_place){0, (i * 5) % m->c, y[i], x[i], (float)(i + 1) / 4};
}

/* The box laid into a map of the input must be the whole map; what lies outside of the input must be 0. */
static void compare(const net *n, const char *where, const float *box, dcv_span rows, dcv_span cols, const float *whole,
                    double tol)
{
    double wrong = 0, all = 0, outside = 0;
    const int64_t h = rows.hi - rows.lo, w = cols.hi - cols.lo;
    for (int64_t c = 0; c < n->c; c++) {
        for (int64_t y = 0; y < n->h; y++)
            for (int64_t x = 0; x < n->w; x++) {
                const bool in = y >= rows.lo && y < rows.hi && x >= cols.lo && x < cols.hi;
                const double want = whole[(c * n->h + y) * n->w + x];
                const double got = in ? box[(c * h + y - rows.lo) * w + x - cols.lo] : 0;
                wrong += (got - want) * (got - want);
                all += want * want;
            }
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++)
                if (y + rows.lo < 0 || y + rows.lo >= n->h || x + cols.lo < 0 || x + cols.lo >= n->w)
                    outside += fabs(box[(c * h + y) * w + x]);
    }
    if (!(sqrt(wrong) <= tol * sqrt(all)) || outside != 0)
        fprintf(stderr, "%s: %g of %g, %g outside\n", where, sqrt(wrong), sqrt(all), outside);
    CHECK(sqrt(wrong) <= tol * sqrt(all));
    CHECK(outside == 0);
}

static void walk(const net *n, const dcv_engine *e, dcv_walk *w, int v, const dcv_rule *rule, const char *name,
                 double tol)
{
    const dcv_map m = dcv_value_map(&n->graph->value[v]);
    const size_t size = (size_t)(n->c * n->h * n->w);
    int64_t h, wd, cell[PLACES];
    dcv_box_place place[PLACES];
    dcv_seed seed[PLACES];
    float *whole[PLACES], *box[PLACES];
    dcv_box_walk *b;
    char where[400];
    CHECK(dcv_box_extent(e, v, &h, &wd));
    CHECK_OK(dcv_box_walk_new(e, v, &b));
    choose(&m, place);
    for (int i = 0; i < PLACES; i++) {
        cell[i] = (place[i].channel * m.h + place[i].y) * m.w + place[i].x;
        seed[i] = (dcv_seed){0, 1, &cell[i], &place[i].weight};
        whole[i] = dcv_alloc(size, sizeof(float));
        box[i] = dcv_alloc((size_t)(n->c * h * wd), sizeof(float));
    }
    dcv_walk_backward(w, rule, v, seed, PLACES, n->graph->in[0], whole);
    dcv_box_walk_poison(b);
    dcv_box_walk_back(b, w, rule, place, PLACES, box);
    for (int i = 0; i < PLACES; i++) {
        dcv_span rows, cols;
        dcv_box_walk_reach(b, place[i].y, place[i].x, &rows, &cols);
        CHECK(rows.hi - rows.lo == h && cols.hi - cols.lo == wd);
        snprintf(where, sizeof where, "%s: %s, %s, place %d", name, n->graph->value[v].name, rule->name, i);
        compare(n, where, box[i], rows, cols, whole[i], tol);
        dcv_free(whole[i]);
        dcv_free(box[i]);
    }
    dcv_box_walk_free(b);
}

/* Some layers, from the first to the last. */
static void test_net(const char *name, dcv_backend_kind backend, dcv_precision precision, int most, int least)
{
    net n;
    if (strcmp(name, "padded"))
        open_net(name, &n);
    else
        open_padded(&n);
    int *layer = dcv_alloc((size_t)n.graph->n_value, sizeof *layer), boxed = 0;
    const int all = dcv_graph_layers(n.graph, layer), n_layers = all < most ? all : most;
    for (int i = 0; i < n_layers; i++)
        layer[i] = layer[i * (all - 1) / n_layers];
    const dcv_engine_options o = {
        .precision = precision, .backend = backend, .back = layer, .n_back = n_layers, .boxes = DCV_BOXES_ALL};
    dcv_engine *e;
    dcv_walk *w;
    CHECK_OK(dcv_engine_new(n.graph, &o, &e));
    CHECK_OK(dcv_engine_pack_own(e));
    CHECK_OK(dcv_walk_new(e, &w));
    const float *picture[] = {n.image};
    const float *const *input[] = {picture};
    dcv_walk_forward(w, 1, input, NULL, NULL);
    for (int i = 0; i < n_layers; i++) {
        bool has;
        const int64_t macs = dcv_back_macs(e, layer[i], &has);
        CHECK(macs > 0);
        boxed += has;
        for (int r = 0; has && dcv_rule_at(r); r++)
            if (r == 1 || i % 2 == r / 2)
                walk(&n, e, w, layer[i], dcv_rule_at(r), name, precision == DCV_STRICT ? 1e-5 : 1e-3);
    }
    printf("%-14s %d of %d layers by boxes\n", name, boxed, n_layers);
    CHECK(boxed >= least);
    dcv_walk_free(w);
    dcv_engine_free(e);
    dcv_free(layer);
    close_net(&n);
}

/* The rule that chooses: the first layers of a large picture, not the last ones; the same work whoever asks. */
static void test_choice(void)
{
    net n;
    int64_t before = 0;
    open_net("vgg16", &n);
    int layer[64], boxed = 0;
    const int n_layers = dcv_graph_layers(n.graph, layer);
    const dcv_engine_options o = {.precision = DCV_STRICT,
                                  .backend = DCV_BACKEND_BLAS,
                                  .back = layer,
                                  .n_back = n_layers,
                                  .boxes = DCV_BOXES_CHEAPER};
    dcv_engine *e;
    CHECK_OK(dcv_engine_new(n.graph, &o, &e));
    for (int i = 0; i < n_layers; i++) {
        bool has;
        const int64_t macs = dcv_back_macs(e, layer[i], &has);
        CHECK(has || i >= 3);
        CHECK(!has || boxed == i); /* the first ones, without a gap */
        CHECK(macs >= before);
        before = macs;
        boxed += has;
    }
    CHECK(boxed > 3 && boxed < n_layers);
    dcv_engine_free(e);
    close_net(&n);
}

int main(void)
{
    dcv_backend_kind best;
    CHECK_OK(dcv_backend_choose(&best));
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        test_net(nets[i], best, DCV_STRICT, 5,
                 strcmp(nets[i], "inception_v3") ? 3 : 1); /* its pools divide by less at borders */
    test_net("padded", best, DCV_STRICT, 4, 4);
    test_net("padded", DCV_BACKEND_BLAS, DCV_STRICT, 4, 4);
    test_net("squeezenet1_1", best, DCV_FAST, 5, 5);
    test_net("vgg16", best, DCV_FAST, 5, 4);
    if (best != DCV_BACKEND_BLAS) {
        test_net("resnet18", DCV_BACKEND_BLAS, DCV_STRICT, 3, 3);
        test_net("googlenet", DCV_BACKEND_BLAS, DCV_STRICT, 3, 3);
    }
    test_choice();
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
