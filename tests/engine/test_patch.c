/* test_patch.c -- windows computed from what they reach are what a walk of the whole occluded picture gives: on the
 * golden networks, for every window, on both back ends, with layers in between, clipped windows and odd sizes.
 */
#include "check.h"
#include "deconvoy/memory.h"
#include "engine/net_golden.h"
#include "engine/patch.h"

static const char *const nets[] = {"alexnet",       "zfnet",    "vgg16",    "googlenet",    "inception_v3",
                                   "squeezenet1_1", "resnet18", "resnet50", "densenet121",  "mobilenet_v2",
                                   "segnet",        "unet",     "superres", "efficientnet", "mobilenet_v3",
                                   "convnext",      "vit"};

enum { MOST_WINDOWS = 64, CHANNELS = 3, CALL = 44 }; /* windows of a call */

typedef struct net {
    dcv_model *model;
    dcv_graph *graph;
    float *image;
    int64_t h, w;
    bool made;           /* here, with weights of its own */
    int seen[3], n_seen; /* layers of the head and the middle, and the logits */
} net;

/* Layers of 64 and 256 channels, a branch that spreads over the whole map in their midst (squeeze and excite), and a
 * border cut and put on, dense layers of many weights: what the golden networks do not have. */
enum { WIDE = 256, SIDE = 24 };

#define NODE(OP, TO, N_ATTR, ATTR, ...)                                                                                \
    {                                                                                                                  \
        .name = TO, .op = OP, .domain = "", .in = (const char *const[]){__VA_ARGS__},                                  \
        .n_in = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), .out = (const char *const[]){TO},         \
        .n_out = 1, .attr = ATTR, .n_attr = N_ATTR                                                                     \
    }

static float *random_numbers(int64_t n, float most, uint32_t seed)
{
    float *x = dcv_alloc((size_t)n, sizeof *x);
    for (int64_t i = 0; x && i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        x[i] = most * ((float)(seed >> 8) / 8388608.0f - 1);
    }
    return x;
}

static const int64_t one[4] = {1, 1, 1, 1}, border[8] = {0, 0, 2, 1, 0, 0, 1, 3};
static const dcv_attr pads = {.name = "pads", .type = DCV_ATTR_INTS, .n = 4, .i = one},
                      frame = {.name = "pads", .type = DCV_ATTR_INTS, .n = 8, .i = border};
static dcv_model_node local_net[] = {NODE("Pad", "p", 1, &frame, "x"),   NODE("Conv", "a", 0, NULL, "p", "w0"),
                                     NODE("Relu", "b", 0, NULL, "a"),    NODE("Conv", "c", 1, &pads, "b", "w1"),
                                     NODE("Relu", "d", 0, NULL, "c"),    NODE("Conv", "e", 1, &pads, "d", "w2"),
                                     NODE("Relu", "f", 0, NULL, "e"),    NODE("GlobalAveragePool", "g", 0, NULL, "f"),
                                     NODE("Flatten", "h", 0, NULL, "g"), NODE("Gemm", "y", 0, NULL, "h", "w3")};
static dcv_model_node gated_net[] = {
    NODE("Conv", "a", 1, &pads, "x", "w0"),       NODE("Relu", "b", 0, NULL, "a"),
    NODE("Conv", "c", 1, &pads, "b", "w1"),       NODE("GlobalAveragePool", "s", 0, NULL, "c"),
    NODE("Sigmoid", "t", 0, NULL, "s"),           NODE("Mul", "d", 0, NULL, "c", "t"),
    NODE("Conv", "e", 1, &pads, "d", "w2"),       NODE("Relu", "f", 0, NULL, "e"),
    NODE("GlobalAveragePool", "g", 0, NULL, "f"), NODE("Flatten", "h", 0, NULL, "g"),
    NODE("Gemm", "y", 0, NULL, "h", "w3")};

static dcv_model_node flat_net[] = {NODE("Conv", "a", 1, &pads, "x", "w0"), NODE("Relu", "b", 0, NULL, "a"),
                                    NODE("Flatten", "h", 0, NULL, "b"),     NODE("Gemm", "c", 0, NULL, "h", "w1"),
                                    NODE("Relu", "f", 0, NULL, "c"),        NODE("Gemm", "y", 0, NULL, "f", "w2")};

/* Maps of other sizes: filters of a period of two and of three, cells and channels that change places. */
#define SCALES(TO, ATTR)                                                                                               \
    {                                                                                                                  \
        .name = TO, .op = "Constant", .domain = "", .out = (const char *const[]){TO}, .n_out = 1, .attr = ATTR,        \
        .n_attr = 1                                                                                                    \
    }
static const double by_linear[4] = {1, 1, 2, 1.5}, by_nearest[4] = {1, 1, 1, 2}, by_cubic[4] = {1, 1, 0.5, 0.5};
static const int64_t block_side = 2;
static const char *const linear_word = "linear", *const cubic_word = "cubic";
static const dcv_attr linear_scales = {.name = "value_floats", .type = DCV_ATTR_FLOATS, .n = 4, .f = by_linear},
                      nearest_scales = {.name = "value_floats", .type = DCV_ATTR_FLOATS, .n = 4, .f = by_nearest},
                      cubic_scales = {.name = "value_floats", .type = DCV_ATTR_FLOATS, .n = 4, .f = by_cubic},
                      linear_mode = {.name = "mode", .type = DCV_ATTR_STRING, .n = 1, .s = &linear_word},
                      cubic_mode = {.name = "mode", .type = DCV_ATTR_STRING, .n = 1, .s = &cubic_word},
                      blocks = {.name = "blocksize", .type = DCV_ATTR_INT, .n = 1, .i = &block_side};
static dcv_model_node resized_net[] = {SCALES("by1", &linear_scales),
                                       SCALES("by2", &nearest_scales),
                                       SCALES("by3", &cubic_scales),
                                       NODE("Conv", "a", 1, &pads, "x", "w0"),
                                       NODE("Relu", "b", 0, NULL, "a"),
                                       NODE("Resize", "r1", 1, &linear_mode, "b", "", "by1"),
                                       NODE("Resize", "r2", 0, NULL, "r1", "", "by2"),
                                       NODE("Resize", "r3", 1, &cubic_mode, "r2", "", "by3"),
                                       NODE("DepthToSpace", "d", 1, &blocks, "r3"),
                                       NODE("Conv", "c", 1, &pads, "d", "w1"),
                                       NODE("Relu", "f", 0, NULL, "c"),
                                       NODE("SpaceToDepth", "s", 1, &blocks, "f"),
                                       NODE("Conv", "e", 1, &pads, "s", "w2"),
                                       NODE("GlobalAveragePool", "g", 0, NULL, "e"),
                                       NODE("Flatten", "h", 0, NULL, "g"),
                                       NODE("Gemm", "y", 0, NULL, "h", "w3")};

/* Means of what lies inside: divisors that differ at the border, in maps of channels that fill no block. */
static const int64_t three_px[2] = {3, 3}, two_px[2] = {2, 2};
static const dcv_attr mean_of_nine[3] = {{.name = "kernel_shape", .type = DCV_ATTR_INTS, .n = 2, .i = three_px},
                                         {.name = "pads", .type = DCV_ATTR_INTS, .n = 4, .i = one},
                                         {.name = "strides", .type = DCV_ATTR_INTS, .n = 2, .i = two_px}};
static dcv_model_node averaged_net[] = {NODE("Conv", "a", 1, &pads, "x", "w0"),
                                        NODE("Relu", "b", 0, NULL, "a"),
                                        NODE("AveragePool", "p", 2, mean_of_nine, "b"),
                                        NODE("Conv", "c", 1, &pads, "p", "w1"),
                                        NODE("AveragePool", "q", 3, mean_of_nine, "c"),
                                        NODE("Conv", "e", 1, &pads, "q", "w2"),
                                        NODE("Relu", "f", 0, NULL, "e"),
                                        NODE("GlobalAveragePool", "g", 0, NULL, "f"),
                                        NODE("Flatten", "h", 0, NULL, "g"),
                                        NODE("Gemm", "y", 0, NULL, "h", "w3")};

#define NODES(N) N, sizeof N / sizeof *N
static const struct {
    const char *name;
    dcv_model_node *node;
    int n_node;
    dcv_dims dims[4]; /* of weights */
} made[] = {
    {"wide",
     NODES(local_net),
     {{4, {64, CHANNELS, 3, 3}}, {4, {WIDE, 64, 3, 3}}, {4, {WIDE, WIDE, 3, 3}}, {2, {WIDE, 10}}}},
    {"gated",
     NODES(gated_net),
     {{4, {64, CHANNELS, 3, 3}}, {4, {WIDE, 64, 3, 3}}, {4, {WIDE, WIDE, 3, 3}}, {2, {WIDE, 10}}}},
    {"flat", NODES(flat_net), {{4, {64, CHANNELS, 3, 3}}, {2, {64 * SIDE * SIDE, 128}}, {2, {128, 10}}, {1, {1}}}},
    {"averaged",
     NODES(averaged_net),
     {{4, {20, CHANNELS, 3, 3}}, {4, {27, 20, 3, 3}}, {4, {32, 27, 3, 3}}, {2, {32, 10}}}},
    {"resized",
     NODES(resized_net),
     {{4, {20, CHANNELS, 3, 3}}, {4, {16, 5, 3, 3}}, {4, {32, 64, 3, 3}}, {2, {32, 10}}}},
};
static dcv_const wide_constant[4];

static void open_made(int which, net *n)
{
    static dcv_model_value in = {.name = "x", .elem_type = 1, .rank = 4, .dim = {1, CHANNELS, SIDE, SIDE}};
    static dcv_model_value out = {.name = "y", .rank = -1};
    static dcv_model model;
    const dcv_dims *dims = made[which].dims;
    static const char *const names[] = {"w0", "w1", "w2", "w3"};
    for (int i = 0; i < 4; i++)
        wide_constant[i] = (dcv_const){
            .name = names[i],
            .type = DCV_F32,
            .dims = dims[i],
            .data = random_numbers(dcv_count(&dims[i]), i == 0 ? 0.5f : 0.05f, (uint32_t)i + 7),
        };
    model = (dcv_model){.file = "wide.onnx",
                        .opset = 13,
                        .node = made[which].node,
                        .n_node = made[which].n_node,
                        .constant = wide_constant,
                        .n_const = 4,
                        .in = &in,
                        .n_in = 1,
                        .out = &out,
                        .n_out = 1};
    *n = (net){.h = SIDE, .w = SIDE, .made = true};
    CHECK_OK(dcv_graph_new(&model, NULL, 0, &n->graph));
    n->image = random_numbers(CHANNELS * SIDE * SIDE, 1, 99);
    n->seen[n->n_seen++] = dcv_graph_find(n->graph, "b");
    n->seen[n->n_seen++] = dcv_graph_find(n->graph, "f");
    n->seen[n->n_seen++] = n->graph->logits;
}

static void open_net(const char *name, net *n)
{
    char path[4096];
    golden_file gold;
    for (int i = 0; i < (int)(sizeof made / sizeof *made); i++)
        if (!strcmp(name, made[i].name)) {
            open_made(i, n);
            return;
        }
    *n = (net){0};
    snprintf(path, sizeof path, "%s/tests/golden/models/%s.onnx", DCV_SOURCE_DIR, name);
    CHECK_OK(dcv_model_open(path, &n->model));
    snprintf(path, sizeof path, "%s/tests/golden/models/%s.golden", DCV_SOURCE_DIR, name);
    CHECK(golden_read(path, &gold));
    const golden *image = golden_find(&gold, "image");
    dcv_dims d = image->dims;
    d.d[0] = 1;
    CHECK_OK(dcv_graph_new(n->model, &d, 1, &n->graph));
    n->image = dcv_alloc((size_t)dcv_count(&d), sizeof *n->image);
    for (int64_t i = 0; i < dcv_count(&d); i++)
        n->image[i] = (float)image->v[i];
    n->h = d.d[2];
    n->w = d.d[3];
    golden_free(&gold);
    int *layers = dcv_alloc((size_t)n->graph->n_value, sizeof *layers);
    const int count = dcv_graph_layers(n->graph, layers);
    n->seen[n->n_seen++] = layers[0];
    n->seen[n->n_seen++] = layers[count / 2];
    n->seen[n->n_seen++] = n->graph->logits;
    dcv_free(layers);
}

static void close_net(net *n)
{
    dcv_graph_free(n->graph);
    dcv_model_free(n->model);
    dcv_free(n->image);
    for (int i = 0; n->made && i < 4; i++) {
        union {
            const void *in;
            void *out;
        } u = {.in = wide_constant[i].data};
        dcv_free(u.out);
    }
}

/* Whole maps of the seen values, by place in the call. */
typedef struct shown {
    const net *n;
    dcv_patch_walk *w; /* NULL: a walk forward */
    float *map[3][CALL];
    int first; /* of the group under way */
    int64_t count[3];
} shown;

static int index_of(const net *n, int value)
{
    for (int i = 0; i < n->n_seen; i++)
        if (n->seen[i] == value)
            return i;
    return -1;
}

static void shown_new(const net *n, shown *s)
{
    s->n = n;
    for (int i = 0; i < n->n_seen; i++) {
        s->count[i] = dcv_count(&n->graph->value[n->seen[i]].dims);
        for (int p = 0; p < CALL; p++)
            s->map[i][p] = dcv_alloc((size_t)s->count[i], sizeof(float));
    }
}

static void shown_free(shown *s)
{
    for (int i = 0; i < s->n->n_seen; i++)
        for (int p = 0; p < CALL; p++)
            dcv_free(s->map[i][p]);
}

static void see_whole(void *ctx, int picture, int value, const dcv_blob *b)
{
    shown *s = ctx;
    const int i = index_of(s->n, value);
    if (s->w)
        dcv_patch_walk_keep(s->w, value, b);
    else if (i >= 0)
        dcv_blob_read(b, s->map[i][s->first + picture]);
}

static void see_box(void *ctx, int k, int value, const dcv_blob *b, const dcv_span box[2])
{
    shown *s = ctx;
    const int i = index_of(s->n, value);
    const dcv_map m = dcv_value_map(&s->n->graph->value[value]);
    float *plain = dcv_alloc((size_t)dcv_count(b->dims), sizeof *plain);
    dcv_blob_read(b, plain);
    const int64_t h = box[0].hi - box[0].lo, w = box[1].hi - box[1].lo;
    CHECK(m.c * h * w == dcv_count(b->dims));
    for (int64_t c = 0; c < m.c; c++)
        for (int64_t y = 0; y < h; y++)
            memcpy(s->map[i][k] + (c * m.h + box[0].lo + y) * m.w + box[1].lo, plain + (c * h + y) * w,
                   (size_t)w * sizeof(float));
    dcv_free(plain);
}

static int windows(int64_t n, int64_t patch, int64_t stride, dcv_span *to)
{
    int count = 0;
    for (int64_t at = 0; count < MOST_WINDOWS; at += stride) {
        to[count++] = (dcv_span){at, at + patch < n ? at + patch : n};
        if (at + patch >= n)
            break;
    }
    return count;
}

static void occlude(const net *n, dcv_span rows, dcv_span cols, const float *fill, float *to)
{
    memcpy(to, n->image, (size_t)(CHANNELS * n->h * n->w) * sizeof *to);
    for (int64_t c = 0; c < CHANNELS; c++)
        for (int64_t y = rows.lo; y < rows.hi; y++)
            for (int64_t x = cols.lo; x < cols.hi; x++)
                to[(c * n->h + y) * n->w + x] = fill[c];
}

/* Largest difference relative to the largest number of the layer. */
static double distance(const float *a, const float *b, int64_t n)
{
    double most = 0, far = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        most = fabs((double)b[i]) > most ? fabs((double)b[i]) : most;
        far = !(d <= far) ? d : far;
    }
    return most > 0 ? far / most : far;
}

typedef struct walks {
    dcv_patches *p;
    dcv_patch_walk *patch;
    dcv_engine *full, *clean;
    dcv_walk *whole, *kept;
    float *maps;
} walks;

static void open_walks(const net *n, dcv_backend_kind b, dcv_precision precision, const dcv_span *const window[2],
                       const int count[2], walks *w)
{
    const dcv_patches_options o = {.precision = precision,
                                   .backend = b,
                                   .window = {window[0], window[1]},
                                   .n_window = {count[0], count[1]},
                                   .seen = n->seen,
                                   .n_seen = n->n_seen,
                                   .pictures = 10};
    int *values = dcv_alloc((size_t)n->graph->n_value, sizeof *values);
    CHECK_OK(dcv_patches_new(n->graph, &o, &w->p));
    dcv_engine_options e = {.precision = precision, .backend = b, .seen = values, .windows = true};
    e.n_seen = dcv_patches_clean(w->p, values);
    CHECK_OK(dcv_engine_new(n->graph, &e, &w->clean));
    CHECK_OK(dcv_engine_pack_own(w->clean));
    CHECK_OK(dcv_walk_new(w->clean, &w->kept));
    e.seen = n->seen;
    e.n_seen = n->n_seen;
    e.share = w->clean;
    CHECK_OK(dcv_engine_new(n->graph, &e, &w->full));
    CHECK_OK(dcv_engine_pack_own(w->full));
    CHECK_OK(dcv_walk_new(w->full, &w->whole));
    CHECK_OK(dcv_patches_attach(w->p, w->clean));
    CHECK_OK(dcv_patch_walk_new(w->p, &w->patch));
    w->maps = dcv_alloc(dcv_patches_clean_floats(w->p), sizeof *w->maps);
    dcv_patch_walk_clean_at(w->patch, w->maps);
    dcv_free(values);
}

static void close_walks(walks *w)
{
    dcv_patch_walk_free(w->patch);
    dcv_patches_free(w->p);
    dcv_free(w->maps);
    dcv_walk_free(w->whole);
    dcv_walk_free(w->kept);
    dcv_engine_free(w->full);
    dcv_engine_free(w->clean);
}

/* What a window does not change is clean. */
static void start_from_clean(const walks *w, shown *s)
{
    int *clean = dcv_alloc((size_t)s->n->graph->n_value, sizeof *clean);
    const int n = dcv_patches_clean(w->p, clean);
    for (int i = 0; i < s->n->n_seen; i++) {
        bool kept = false;
        for (int k = 0; k < n; k++)
            kept = kept || clean[k] == s->n->seen[i];
        if (!kept) /* always shown whole */
            continue;
        const dcv_blob b = dcv_patch_walk_clean(w->patch, s->n->seen[i]);
        for (int p = 0; p < CALL; p++)
            dcv_blob_read(&b, s->map[i][p]);
    }
    dcv_free(clean);
}

static double check_net(const char *name, dcv_backend_kind b, dcv_precision precision, int64_t patch, int64_t stride,
                        double tol)
{
    static const float fill[CHANNELS] = {0.3f, -0.2f, 0.1f};
    net n;
    walks w = {0};
    dcv_span rows[MOST_WINDOWS], cols[MOST_WINDOWS];
    open_net(name, &n);
    const int count[2] = {windows(n.h, patch, stride, rows), windows(n.w, patch, stride, cols)};
    open_walks(&n, b, precision, (const dcv_span *const[]){rows, cols}, count, &w);
    shown full = {0}, part = {0}, keep = {.n = &n, .w = w.patch};
    shown_new(&n, &full);
    shown_new(&n, &part);
    float *input[DCV_GROUP];
    for (int p = 0; p < DCV_GROUP; p++)
        input[p] = dcv_alloc((size_t)(CHANNELS * n.h * n.w), sizeof(float));
    const float *const *in[1] = {(const float *const *)input};
    const float *image[1] = {n.image};
    const float *const *clean[1] = {image};
    dcv_walk_forward(w.kept, 1, clean, see_whole, &keep);
    double worst = 0, macs = 0;
    for (int first = 0, all = count[0] * count[1]; first < all; first += CALL) {
        const int some = all - first < CALL ? all - first : CALL;
        int at[CALL][2];
        for (int k = 0; k < some; k++) {
            at[k][0] = (first + k) / count[1];
            at[k][1] = (first + k) % count[1];
            macs += (double)dcv_patches_macs(w.p, at[k][0], at[k][1]) / all;
        }
        for (full.first = 0; full.first < some; full.first += DCV_GROUP) {
            const int group = some - full.first < DCV_GROUP ? some - full.first : DCV_GROUP;
            for (int k = 0; k < group; k++)
                occlude(&n, rows[at[full.first + k][0]], cols[at[full.first + k][1]], fill, input[k]);
            dcv_walk_forward(w.whole, group, in, see_whole, &full);
        }
        start_from_clean(&w, &part);
        CHECK_OK(dcv_patch_walk_run(w.patch, some, (const int(*)[2])at, fill, see_box, &part));
        for (int i = 0; i < n.n_seen; i++)
            for (int k = 0; k < some; k++) {
                const double d = distance(part.map[i][k], full.map[i][k], full.count[i]);
                worst = !(d <= worst) ? d : worst;
                CHECK(d <= tol);
            }
    }
    fprintf(stderr, "%-14s %d windows, back end %d, precision %d: %.1e, %.2f of all multiply-adds\n", name,
            count[0] * count[1], (int)b, (int)precision, worst, macs / (double)dcv_patches_full(w.p));
    for (int p = 0; p < DCV_GROUP; p++)
        dcv_free(input[p]);
    shown_free(&full);
    shown_free(&part);
    close_walks(&w);
    close_net(&n);
    return worst;
}

/* The squeeze of a gate is named: a convolution follows. */
static void check_fallback(void)
{
    for (int squeeze = 0; squeeze < 2; squeeze++) {
        net n;
        dcv_patches *p;
        const dcv_span window = {3, 9};
        open_made(squeeze, &n);
        const dcv_patches_options o = {.precision = DCV_STRICT,
                                       .backend = DCV_BACKEND_BLAS,
                                       .window = {&window, &window},
                                       .n_window = {1, 1},
                                       .seen = n.seen,
                                       .n_seen = n.n_seen,
                                       .pictures = 1};
        CHECK_OK(dcv_patches_new(n.graph, &o, &p));
        const int node = dcv_patches_falls_back(p);
        CHECK(squeeze ? node >= 0 && !strcmp(n.graph->node[node].op->name, "GlobalAveragePool") : node < 0);
        CHECK(dcv_patches_macs(p, 0, 0) < dcv_patches_full(p));
        dcv_patches_free(p);
        close_net(&n);
    }
}

int main(void)
{
    check_fallback();
    check_net("wide", DCV_BACKEND_BLAS, DCV_STRICT, 10, 9, 1e-5);
    check_net("flat", DCV_BACKEND_BLAS, DCV_STRICT, 5, 3, 1e-5);
    check_net("resized", DCV_BACKEND_BLAS, DCV_STRICT, 5, 3, 1e-5);
    check_net("averaged", DCV_BACKEND_BLAS, DCV_STRICT, 4, 3, 1e-5);
#ifdef DCV_HAVE_ONEDNN
    check_net("wide", DCV_BACKEND_ONEDNN, DCV_STRICT, 5, 3, 1e-5);
    check_net("wide", DCV_BACKEND_ONEDNN, DCV_FAST, 5, 3, 1e-3);
    check_net("gated", DCV_BACKEND_ONEDNN, DCV_STRICT, 9, 7, 1e-5);
    check_net("flat", DCV_BACKEND_ONEDNN, DCV_STRICT, 5, 3, 1e-5);
    check_net("resized", DCV_BACKEND_ONEDNN, DCV_STRICT, 3, 7, 1e-5);
    check_net("averaged", DCV_BACKEND_ONEDNN, DCV_STRICT, 3, 3, 1e-5);
    check_net("resized", DCV_BACKEND_ONEDNN, DCV_FAST, 5, 3, 1e-3);
#endif
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        check_net(nets[i], DCV_BACKEND_BLAS, DCV_STRICT, 9, 7, 1e-5);
#ifdef DCV_HAVE_ONEDNN
        check_net(nets[i], DCV_BACKEND_ONEDNN, DCV_STRICT, 16, 16, 1e-5);
        check_net(nets[i], DCV_BACKEND_ONEDNN, DCV_FAST, 8, 8, 1e-3);
#endif
    }
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
