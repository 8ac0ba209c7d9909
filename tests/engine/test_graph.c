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
    if (!n.g)
        dcv_model_free(n.m);
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

/* --- receptive fields: a row (or column) of NaN in the input shows in every cell that reads it ------------------ */

static bool has_nan(const dcv_value *v, const float *x, int axis, int64_t at)
{
    int64_t inner = 1, outer = 1;
    for (int i = 0; i < 2 + axis; i++)
        outer *= v->dims.d[i];
    for (int i = 3 + axis; i < v->dims.n; i++)
        inner *= v->dims.d[i];
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++)
            if (isnan(x[(o * v->dims.d[2 + axis] + at) * inner + i]))
                return true;
    return false;
}

/* Values of a walk in which row or column line of the input is NaN. */
static float **walk_with_nan(const dcv_graph *g, int axis, int64_t line)
{
    const dcv_dims *d = &g->value[g->in[0]].dims;
    const int64_t n = dcv_count(d), w = d->d[3], h = d->d[2];
    float *x = dcv_alloc((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (axis ? i % w : i / w % h) == line ? NAN : (float)(i % 7) - 3;
    float **values = ref_run(g, 1, (const float *const[]){x});
    dcv_free(x);
    return values;
}

static void test_receptive(const char *path, int axis)
{
    net n = net_open(path, NULL);
    if (!n.g)
        return;
    const dcv_graph *g = n.g;
    const int64_t lines = g->value[g->in[0]].dims.d[2 + axis];
    /* "turned" has rows and columns exchanged: no axis of it runs along the input's of the same number */
    dcv_span **want = dcv_alloc((size_t)g->n_value, sizeof *want);
    for (int v = 0; v < g->n_value; v++)
        if (g->value[v].batched && g->value[v].dims.n > 2 + axis && strcmp(g->value[v].name, "turned"))
            want[v] = dcv_alloc((size_t)g->value[v].dims.d[2 + axis], sizeof **want);
    for (int64_t line = 0; line < lines; line++) {
        float **values = walk_with_nan(g, axis, line);
        for (int v = 0; v < g->n_value; v++)
            for (int64_t o = 0; want[v] && o < g->value[v].dims.d[2 + axis]; o++)
                if (has_nan(&g->value[v], values[v], axis, o))
                    want[v][o] = dcv_span_hull(want[v][o], (dcv_span){line, line + 1});
        ref_free(g, values);
    }
    for (int v = 0; v < g->n_value; v++) {
        if (!want[v])
            continue;
        const int64_t cells = g->value[v].dims.d[2 + axis];
        dcv_span *got = dcv_alloc((size_t)cells, sizeof *got);
        CHECK_OK(dcv_graph_receptive(g, v, g->in[0], axis, got));
        int64_t wrong = 0;
        for (int64_t o = 0; o < cells; o++)
            wrong += got[o].lo != want[v][o].lo || got[o].hi != want[v][o].hi;
        CHECK(wrong == 0);
        if (wrong)
            fprintf(stderr, "^ %s of %s, axis %d: %d of %d cells, first %d-%d, want %d-%d\n", g->value[v].name, path,
                    axis, (int)wrong, (int)cells, (int)got[0].lo, (int)got[0].hi, (int)want[v][0].lo,
                    (int)want[v][0].hi);
        dcv_free(got);
        dcv_free(want[v]);
    }
    dcv_free(want);
    net_close(&n);
}

/* --- what values mean ------------------------------------------------------------------------------------------ */

static void test_layers(void)
{
    static const char *const want[] = {"silu", "hard_swish", "gelu", "own", "clipped", "class"};
    net n = net_open(DCV_SOURCE_DIR "/tests/golden/ops/paths.onnx", NULL);
    if (!n.g)
        return;
    int *to = dcv_alloc((size_t)n.g->n_value, sizeof *to);
    const int count = dcv_graph_layers(n.g, to);
    CHECK(count == (int)(sizeof want / sizeof *want));
    for (int i = 0; i < count && i < (int)(sizeof want / sizeof *want); i++) {
        CHECK(!strcmp(n.g->value[to[i]].name, want[i]));
        if (strcmp(n.g->value[to[i]].name, want[i]))
            fprintf(stderr, "^ %s, want %s\n", n.g->value[to[i]].name, want[i]);
    }
    dcv_free(to);
    CHECK(n.g->classes == 5 && n.g->head == DCV_HEAD_SOFTMAX);
    CHECK(n.g->logits >= 0 && !strcmp(n.g->value[n.g->logits].name, "class"));
    CHECK_FAILS(dcv_graph_unknown(n.g, "hard_swich"), DCV_ECONFIG, "nearest: hard_swish");
    CHECK(dcv_graph_find(n.g, "no such value") == -1);
    const dcv_map m = dcv_value_map(&n.g->value[dcv_graph_find(n.g, "shuffled")]);
    CHECK(m.c == 2 && m.h == 2 * 5 && m.w == 7);
    net_close(&n);
}

/* SqueezeNet as published: work, logits, and the field that expected_attribution.json states. */
static void test_squeezenet(const char *dir)
{
    static const char *const files[] = {"squeezenet1_1", "squeezenet1_1_fp16"};
    for (int i = 0; i < 2; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s/models/%s.onnx", dir, files[i]);
        net n = net_open(path, NULL);
        if (!n.g)
            continue;
        int *to = dcv_alloc((size_t)n.g->n_value, sizeof *to);
        CHECK(dcv_graph_layers(n.g, to) == 27);
        CHECK(n.g->classes == 1000 && n.g->head == DCV_HEAD_SOFTMAX && n.g->logits == to[26]);
        CHECK(dcv_graph_macs(n.g) == 349151936);
        dcv_free(to);
        int v = -1;
        for (int k = 0; k < n.g->n_value; k++)
            if (strstr(n.g->value[k].name,
                       "fire5/expand1x1")) /* the branch of the unit that the data's README speaks of */
                v = k;
        CHECK(v >= 0);
        dcv_span rows[64], columns[64];
        if (v >= 0 && n.g->value[v].dims.d[2] <= 64) {
            CHECK_OK(dcv_graph_receptive(n.g, v, n.g->in[0], 0, rows));
            CHECK_OK(dcv_graph_receptive(n.g, v, n.g->in[0], 1, columns));
            bool found = false;
            for (int r = 0; r < n.g->value[v].dims.d[2]; r++)
                found = found || (rows[r].lo == 72 && rows[r].hi == 119);
            CHECK(found);
            found = false;
            for (int c = 0; c < n.g->value[v].dims.d[3]; c++)
                found = found || (columns[c].lo == 144 && columns[c].hi == 191);
            CHECK(found);
        }
        net_close(&n);
    }
}

/* --- bad graphs ------------------------------------------------------------------------------------------------ */

/* A model of one node: inputs "x" [1,2,4,4] and constants "c0", "c1"; attributes are integers. */
typedef struct tiny {
    const char *op;
    const char *in[4];
    dcv_const constant[2];
    struct {
        const char *name;
        int n;
        int64_t v[8];
    } attr[3];
    dcv_status code;
    const char *says;
} tiny;

static dcv_status build_tiny(const tiny *t, int64_t batch, dcv_graph **g)
{
    static const char *const out[] = {"y"};
    dcv_attr attr[3] = {{0}};
    dcv_model_node node = {.name = "n", .op = t->op, .domain = "", .out = out, .n_out = 1, .in = t->in, .attr = attr};
    dcv_const constant[2];
    dcv_model_value in = {.name = "x", .elem_type = 1, .rank = 4, .dim = {batch, 2, 4, 4}};
    dcv_model_value result = {.name = "y", .rank = -1};
    while (node.n_in < 4 && t->in[node.n_in])
        node.n_in++;
    for (; node.n_attr < 3 && t->attr[node.n_attr].name; node.n_attr++)
        attr[node.n_attr] = (dcv_attr){.name = t->attr[node.n_attr].name,
                                       .type = t->attr[node.n_attr].n ? DCV_ATTR_INTS : DCV_ATTR_INT,
                                       .n = t->attr[node.n_attr].n ? t->attr[node.n_attr].n : 1,
                                       .i = t->attr[node.n_attr].v};
    memcpy(constant, t->constant, sizeof constant);
    constant[0].name = "c0";
    constant[1].name = "c1";
    dcv_model m = {.file = "tiny.onnx",
                   .opset = 13,
                   .n_node = 1,
                   .node = &node,
                   .n_in = 1,
                   .in = &in,
                   .n_out = 1,
                   .out = &result,
                   .n_const = !!constant[0].data + !!constant[1].data,
                   .constant = constant};
    return dcv_graph_new(&m, NULL, 0, g);
}

/* x -> Relu -> y (first output); y -> Rela -> lost -> Relu -> z; y -> Relu -> w: outputs that need Rela are left out,
 * or all is, if y needs it as well. */
static void test_left_out(void)
{
    static const char *const x[] = {"x"}, *const y[] = {"y"}, *const lost[] = {"lost"}, *const z[] = {"z"},
                             *const w[] = {"w"};
    dcv_model_node node[] = {
        {.name = "a", .op = "Relu", .domain = "", .out = y, .n_out = 1, .in = x, .n_in = 1},
        {.name = "b", .op = "Rela", .domain = "", .out = lost, .n_out = 1, .in = y, .n_in = 1},
        {.name = "c", .op = "Relu", .domain = "", .out = z, .n_out = 1, .in = lost, .n_in = 1},
        {.name = "d", .op = "Relu", .domain = "", .out = w, .n_out = 1, .in = y, .n_in = 1},
    };
    dcv_model_value in = {.name = "x", .elem_type = 1, .rank = 4, .dim = {1, 2, 4, 4}};
    dcv_model_value out[] = {{.name = "y", .rank = -1}, {.name = "z", .rank = -1}, {.name = "w", .rank = -1}};
    dcv_model m = {
        .file = "m.onnx", .opset = 13, .n_node = 4, .node = node, .n_in = 1, .in = &in, .n_out = 3, .out = out};
    dcv_graph *g = NULL;
    CHECK_OK(dcv_graph_new(&m, NULL, 0, &g));
    if (g) {
        CHECK(g->n_out == 2 && g->n_node == 2 && g->left_out && strstr(g->left_out, "node \"b\": operator Rela"));
        CHECK(!strcmp(g->value[g->out[0]].name, "y") && !strcmp(g->value[g->out[1]].name, "w"));
    }
    dcv_graph_free(g);
    m.n_out = 1; /* nobody asks for what needs it */
    CHECK_OK(dcv_graph_new(&m, NULL, 0, &g));
    CHECK(g && g->n_node == 1 && !g->left_out);
    dcv_graph_free(g);
    m.n_out = 3;
    node[0].op = "Rela";
    CHECK_FAILS(dcv_graph_new(&m, NULL, 0, &g), DCV_EUNSUPPORTED, "m.onnx: node \"a\": operator Rela");
    CHECK(!g);
}

#define INTS(...)                                                                                                      \
    (const int64_t[])                                                                                                  \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define LIST(n, ...)                                                                                                   \
    {                                                                                                                  \
        .type = DCV_I64, .dims = {1, {n}}, .data = INTS(__VA_ARGS__)                                                   \
    }
#define FLOATS(...)                                                                                                    \
    {                                                                                                                  \
        .type = DCV_F32, .dims = {__VA_ARGS__}, .data = weights                                                        \
    }

static void test_messages(void)
{
    static const float weights[256] = {0};
    static const int64_t places[32] = {0};
    const int64_t big = INT64_C(1) << 39, least = INT64_MIN;
    const tiny cases[] = {
        {"Rela",
         {"x"},
         {{0}},
         {{0}},
         DCV_EUNSUPPORTED,
         "node \"n\": operator Rela (opset 13) is not supported; nearest known: Relu"},
        {"MaxUnpool",
         {"x", "c0", "c1"},
         {{.type = DCV_I64, .dims = {4, {1, 2, 4, 4}}, .data = places}, LIST(4, 1, 2, 5, 5)},
         {{"kernel_shape", 2, {1, 1}}, {"strides", 2, {1048576, 1048576}}},
         DCV_EDATA,
         "more than 2^40 elements"},
        {"Conv", {"x"}, {{0}}, {{0}}, DCV_EDATA, "1 inputs; expected 2 to 3"},
        {"Relu", {"z"}, {{0}}, {{0}}, DCV_EDATA, "input \"z\" is not made"},
        {"Relu", {""}, {{0}}, {{0}}, DCV_EDATA, "0 inputs"},
        {"Conv",
         {"x", "c0"},
         {FLOATS(4, {3, 3, 3, 3})},
         {{0}},
         DCV_EDATA,
         "input 1x2x4x4 does not fit weights 3x3x3x3 in 1 group"},
        {"Conv",
         {"x", "c0"},
         {FLOATS(4, {3, 2, 3, 3})},
         {{"group", 0, {2}}},
         DCV_EDATA,
         "node \"n\" (Conv): input 1x2x4x4 does not fit"},
        {"Conv", {"x", "c0"}, {FLOATS(4, {3, 2, 5, 3})}, {{0}}, DCV_EDATA, "input 1x2x4x4 is too small: a window of 5"},
        {"Conv",
         {"x", "c0"},
         {FLOATS(4, {3, 2, 3, 3})},
         {{"pads", 2, {1, 1}}},
         DCV_EDATA,
         "pads has 2 numbers; expected 4"},
        {"Conv", {"x", "c0"}, {FLOATS(4, {3, 2, 3, 3})}, {{"strides", 2, {0, 1}}}, DCV_EDATA, "attribute strides is 0"},
        {"Conv", {"x", "c0"}, {FLOATS(4, {3, 2, 3, 3})}, {{"pads", 4, {big, 1, 1, 1}}}, DCV_EDATA, "attribute pads"},
        {"Conv",
         {"x", "c0"},
         {FLOATS(4, {3, 2, 3, 3})},
         {{"stride", 2, {1, 1}}},
         DCV_EUNSUPPORTED,
         "attribute stride is not supported; nearest known: strides"},
        {"Conv",
         {"x", "c0", "c1"},
         {FLOATS(4, {3, 2, 3, 3}), FLOATS(1, {2})},
         {{0}},
         DCV_EDATA,
         "bias 2 does not fit weights 3x2x3x3"},
        {"MaxPool", {"x"}, {{0}}, {{"kernel_shape", 2, {2, 9}}}, DCV_EDATA, "does not fit 4 along spatial axis 1"},
        {"MaxPool", {"x"}, {{0}}, {{0}}, DCV_EDATA, "kernel_shape is missing"},
        {"Add", {"x", "c0"}, {FLOATS(1, {3})}, {{0}}, DCV_EDATA, "1x2x4x4 and 3 do not broadcast"},
        {"Concat",
         {"x", "c0"},
         {FLOATS(4, {1, 2, 3, 4})},
         {{"axis", 0, {1}}},
         DCV_EDATA,
         "1x2x4x4 and 1x2x3x4 differ beside axis 1"},
        {"Concat", {"x"}, {{0}}, {{"axis", 0, {4}}}, DCV_EDATA, "axis 4 of a tensor with 4 axes"},
        {"Concat", {"x"}, {{0}}, {{0}}, DCV_EDATA, "attribute axis is missing"},
        {"Reshape", {"x", "c0"}, {LIST(2, 5, -1)}, {{0}}, DCV_EDATA, "1x2x4x4 cannot become 5x-1"},
        {"Reshape", {"x", "c0"}, {LIST(2, -1, -1)}, {{0}}, DCV_EDATA, "extent -1 of axis 1"},
        {"Reshape", {"x", "c0"}, {LIST(3, big, big, -1)}, {{0}}, DCV_EDATA, "extent"},
        {"Reshape", {"x", "x"}, {{0}}, {{0}}, DCV_EUNSUPPORTED, "shape (\"x\") must be constant"},
        {"Gather", {"x", "c0"}, {LIST(1, 4)}, {{"axis", 0, {2}}}, DCV_EDATA, "index 4 into 4 cells along axis 2"},
        {"Slice", {"x", "c0"}, {LIST(1, 4)}, {{"axis", 0, {2}}}, DCV_EUNSUPPORTED, "attribute axis is not supported"},
        {"Slice", {"x", "c0", "c1"}, {LIST(1, least), LIST(2, 1, 2)}, {{0}}, DCV_EDATA, "1 starts, 2 ends"},
        {"Pad", {"x", "c0"}, {LIST(8, 0, 0, 0, 0, 0, 0, 0, least)}, {{0}}, DCV_EDATA, "pads"},
        {"Pad",
         {"x", "c0"},
         {LIST(8, 0, 0, -3, 0, 0, 0, -3, 0)},
         {{0}},
         DCV_EDATA,
         "pads -3 and -3 along axis 2 of extent 4"},
        {"Expand", {"x", "c0"}, {LIST(2, big, big)}, {{0}}, DCV_EDATA, "does not broadcast"},
        {"ConstantOfShape", {"c0"}, {LIST(1, big)}, {{0}}, DCV_EDATA, "constants of more than 2^28 elements"},
        {"ConstantOfShape", {"c0"}, {LIST(2, big, big)}, {{0}}, DCV_EDATA, "more than 2^40 elements"},
        {"Squeeze", {"x", "c0"}, {LIST(1, 1)}, {{0}}, DCV_EDATA, "axis 1 of 1x2x4x4 is not 1"},
        {"Transpose", {"x"}, {{0}}, {{"perm", 4, {0, 1, 1, 2}}}, DCV_EDATA, "axis 1 is given twice"},
        {"Cast", {"x"}, {{0}}, {{"to", 0, {8}}}, DCV_EUNSUPPORTED, "cast to element type 8"},
        {"BatchNormalization", {"x", "c0", "c0", "c0"}, {FLOATS(1, {2})}, {{0}}, DCV_EDATA, "4 inputs; expected 5"},
        {"Gemm", {"x", "c0"}, {FLOATS(2, {4, 4})}, {{0}}, DCV_EDATA, "1x2x4x4 does not fit 4x4"},
        {"MatMul", {"x", "c0"}, {FLOATS(2, {3, 4})}, {{0}}, DCV_EDATA, "1x2x4x4 does not fit 3x4"},
        {"Split", {"x", "c0"}, {LIST(1, 3)}, {{"axis", 0, {1}}}, DCV_EDATA, "part 0 of extent 3"},
        {"Relu",
         {"x"},
         {{0}},
         {{"to", 0, {8}}},
         DCV_EUNSUPPORTED,
         "node \"n\" (Relu, opset 13): attribute to is not supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dcv_graph *g = NULL;
        CHECK_FAILS(build_tiny(&cases[i], 1, &g), cases[i].code, cases[i].says);
        CHECK(g == NULL);
        dcv_graph_free(g);
    }
    const tiny good = {"Relu", {"x"}, {{0}}, {{0}}, DCV_OK, ""};
    dcv_graph *g = NULL;
    CHECK_FAILS(build_tiny(&good, 3, &g), DCV_EDATA, "graph input \"x\" has a fixed batch of 3");
    CHECK_OK(build_tiny(&good, -1, &g));
    CHECK(g && g->value[g->out[0]].dims.d[0] == 1);
    dcv_graph_free(g);
}

static void test_input_dims(void)
{
    dcv_model_value in = {.name = "x", .rank = 4, .dim = {-1, 3, -1, -1}};
    dcv_model m = {.n_in = 1, .in = &in};
    dcv_dims d;
    CHECK_OK(dcv_graph_input_dims(&m, 0, NULL, &d));
    CHECK(d.n == 4 && d.d[0] == 1 && d.d[1] == 3 && d.d[2] == -1);
    dcv_ints o = {.n = 3, .word = -1, .v = (int64_t[]){3, 20, 30}};
    CHECK_OK(dcv_graph_input_dims(&m, 0, &o, &d));
    CHECK(d.d[0] == 1 && d.d[1] == 3 && d.d[2] == 20 && d.d[3] == 30);
    o.v[0] = 1;
    CHECK_FAILS(dcv_graph_input_dims(&m, 0, &o, &d), DCV_ECONFIG, "extent 1, but graph input \"x\" is 1x3x");
    in.rank = -1;
    CHECK_OK(dcv_graph_input_dims(&m, 0, &o, &d));
    CHECK(d.n == 4 && d.d[0] == 1 && d.d[3] == 30);
    CHECK_FAILS(dcv_graph_input_dims(&m, 0, NULL, &d), DCV_EDATA, "has no shape in the file");
}

/* An If goes where its condition is known; where it is not, the message says so. */
static void test_if(void)
{
    const dcv_dims x = {1, {4}}, pair = {2, {2, 3}};
    dcv_model *m;
    dcv_graph *g;
    CHECK_OK(dcv_model_open(DCV_SOURCE_DIR "/tests/golden/cases/if_input/model.onnx", &m));
    CHECK_FAILS(dcv_graph_new(m, &x, 1, &g), DCV_EUNSUPPORTED, "node \"y\" (If): its condition depends on the input");
    dcv_model_free(m);
    CHECK_OK(dcv_model_open(DCV_SOURCE_DIR "/tests/golden/cases/if_constant/model.onnx", &m));
    CHECK_OK(dcv_graph_new(m, &pair, 1, &g));
    CHECK(m->n_node == 4 && g->n_node == 3 && dcv_graph_find(g, "y/then/b") >= 0 && dcv_graph_find(g, "y/else/a") < 0);
    dcv_graph_free(g);
    dcv_model_free(m);
}

int main(void)
{
    static const char *const nets[] = {"alexnet",       "zfnet",    "vgg16",    "googlenet",    "inception_v3",
                                       "squeezenet1_1", "resnet18", "resnet50", "densenet121",  "mobilenet_v2",
                                       "segnet",        "unet",     "superres", "efficientnet", "mobilenet_v3",
                                       "convnext",      "vit"};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        for (int block = 1; block <= 16; block = block == 1 ? 8 : 2 * block) {
            const int before = check_failures;
            test_numbers(nets[i], block);
            if (check_failures > before)
                fprintf(stderr, "^ %s, block %d\n", nets[i], block);
        }
    static const char *const fields[] = {"alexnet", "googlenet", "squeezenet1_1", "mobilenet_v2"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char path[512];
        snprintf(path, sizeof path, NETS "%s.onnx", fields[i]);
        test_receptive(path, (int)(i & 1));
    }
    test_receptive(DCV_SOURCE_DIR "/tests/golden/ops/paths.onnx", 0);
    test_receptive(DCV_SOURCE_DIR "/tests/golden/ops/paths.onnx", 1);
    test_layers();
    test_messages();
    test_left_out();
    test_if();
    test_input_dims();
    if (check_data_dir())
        test_squeezenet(check_data_dir());
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
