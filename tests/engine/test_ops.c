/* test_ops.c -- every operator in many small cases, in plain layout and in blocks of 8 and 16, against float64
 * references (tests/golden/ops).
 */
#include "deconvoy/engine.h"
#include "engine/ops/exp.h"
#include "golden.h"
#include "reference.h"

#define OPS DCV_SOURCE_DIR "/tests/golden/ops/"

/* Largest distance, relative to the larger of 1 and the reference's size; NaN must meet NaN. */
static double distance(const golden *t, const float *v)
{
    double top = 1, worst = 0;
    const int64_t n = dcv_count(&t->dims);
    for (int64_t i = 0; i < n; i++)
        top = fabs(t->v[i]) > top ? fabs(t->v[i]) : top;
    for (int64_t i = 0; i < n; i++) {
        const double d = isnan(t->v[i]) && isnan(v[i]) ? 0 : t->v[i] == v[i] ? 0 : fabs(v[i] - t->v[i]) / top;
        worst = isnan(worst) || d <= worst ? worst : d;
    }
    return worst;
}

static void check_outputs(const dcv_graph *g, const golden_file *f, float **values, int block)
{
    for (int o = 0; o < g->n_out; o++) {
        const dcv_value *v = &g->value[g->out[o]];
        const golden *t = golden_find(f, v->name);
        CHECK(t && dcv_dims_equal(&t->dims, &v->dims));
        if (!t || !dcv_dims_equal(&t->dims, &v->dims)) {
            fprintf(stderr, "^ shape of %s\n", v->name);
            continue;
        }
        const double d = distance(t, values[g->out[o]]);
        CHECK_NEAR(d, 0, 2e-6);
        if (!(d <= 2e-6))
            fprintf(stderr, "^ %s, block %d\n", v->name, block);
    }
}

/* The same through a planned walk on one back end, eight equal pictures at once. */
static void check_walk(const dcv_graph *g, const golden_file *f, dcv_backend_kind backend, dcv_precision precision,
                       float **input)
{
    const dcv_engine_options o = {.precision = precision, .backend = backend};
    const double tol = precision == DCV_FAST ? 1e-4 : 1e-5;
    dcv_engine *e = NULL;
    dcv_walk *w = NULL;
    CHECK_OK(dcv_engine_new(g, &o, &e));
    if (!e)
        return;
    CHECK_OK(dcv_engine_pack_own(e));
    CHECK_OK(dcv_walk_new(e, &w));
    const float **pictures = dcv_alloc((size_t)g->n_in * DCV_GROUP, sizeof *pictures);
    const float *const **in = dcv_alloc((size_t)g->n_in, sizeof *in);
    for (int i = 0; i < g->n_in; i++) {
        for (int p = 0; p < DCV_GROUP; p++)
            pictures[i * DCV_GROUP + p] = input[i];
        in[i] = pictures + (size_t)i * DCV_GROUP;
    }
    dcv_walk_forward(w, DCV_GROUP, in, NULL, NULL);
    for (int k = 0; k < g->n_out; k++) {
        const dcv_value *v = &g->value[g->out[k]];
        const golden *t = golden_find(f, v->name);
        float *y = dcv_alloc((size_t)dcv_count(&v->dims), sizeof *y);
        dcv_walk_output(w, k, DCV_GROUP - 1, y);
        const double d = t ? distance(t, y) : NAN;
        CHECK_NEAR(d, 0, tol);
        if (!(d <= tol))
            fprintf(stderr, "^ %s in a walk, back end %d\n", v->name, (int)backend);
        dcv_free(y);
    }
    dcv_free(pictures);
    dcv_free(in);
    dcv_walk_free(w);
    dcv_engine_free(e);
}

static void test_file(const char *name)
{
    char path[512];
    dcv_model *m = NULL;
    dcv_graph *g = NULL;
    snprintf(path, sizeof path, OPS "%s.golden", name);
    golden_file f = golden_open(path);
    snprintf(path, sizeof path, OPS "%s.onnx", name);
    CHECK_OK(dcv_model_open(path, &m));
    dcv_dims *dims = dcv_alloc((size_t)m->n_in, sizeof *dims);
    for (int i = 0; i < m->n_in; i++) {
        const golden *t = golden_find(&f, m->in[i].name);
        CHECK(t != NULL);
        if (t)
            dims[i] = t->dims;
    }
    CHECK_OK(dcv_graph_new(m, dims, m->n_in, &g));
    dcv_free(dims);
    if (!g)
        return;
    float **input = dcv_alloc((size_t)g->n_in, sizeof *input);
    for (int i = 0; i < g->n_in; i++) {
        const golden *t = golden_find(&f, g->value[g->in[i]].name);
        CHECK(t != NULL);
        const int64_t n = t ? dcv_count(&t->dims) : 0;
        input[i] = dcv_alloc((size_t)n, sizeof **input);
        for (int64_t k = 0; k < n; k++)
            input[i][k] = (float)t->v[k];
    }
    for (int block = 1; block <= 16; block = block == 1 ? 8 : 2 * block) {
        float **values = ref_run(g, block, (const float *const *)input);
        check_outputs(g, &f, values, block);
        ref_free(g, values);
    }
    check_walk(g, &f, DCV_BACKEND_BLAS, DCV_STRICT, input);
#ifdef DCV_HAVE_ONEDNN
    check_walk(g, &f, DCV_BACKEND_ONEDNN, DCV_STRICT, input);
    check_walk(g, &f, DCV_BACKEND_ONEDNN, DCV_FAST, input);
#endif
    for (int i = 0; i < g->n_in; i++)
        dcv_free(input[i]);
    dcv_free(input);
    golden_close(&f);
    dcv_graph_free(g);
    dcv_model_free(m);
}

static float exp_of(float x)
{
    float y;
    dcv_exp_chunk(1, &x, &y);
    return y;
}

/* e^x against libm in double over all of float's range. */
static void test_exp(void)
{
    double worst = 0;
    for (double x = -87; x < 88.7; x += 1e-4) {
        const double want = exp((float)x), d = fabs(exp_of((float)x) / want - 1);
        worst = isnan(worst) || d <= worst ? worst : d;
    }
    CHECK_NEAR(worst, 0, 2.4e-7);
    CHECK_NEAR(exp_of(-100), exp(-100.0), 1e-45);
    CHECK(exp_of(0) == 1 && exp_of(-1000) < 1e-44 && exp_of(-INFINITY) < 1e-44);
    CHECK(isinf(exp_of(89)) && isinf(exp_of(INFINITY)) && isnan(exp_of(NAN)));
}

enum { POOL_H = 5, POOL_W = 7, POOL_C = 3 };

/* What comes back from the pool of 2x2 windows, odd rows and columns left out: each window's maximum in its place. */
static void check_unpooled(const float *x, const float *y, const char *what)
{
    int wrong = 0;
    for (int c = 0; c < POOL_C; c++)
        for (int r = 0; r < POOL_H; r++)
            for (int k = 0; k < POOL_W; k++) {
                const float *plane = x + c * POOL_H * POOL_W, v = plane[r * POOL_W + k];
                const float *at = plane + r / 2 * 2 * POOL_W + k / 2 * 2;
                bool top = r < POOL_H / 2 * 2 && k < POOL_W / 2 * 2;
                for (int i = 0; top && i < 4; i++)
                    top = v >= at[i / 2 * POOL_W + i % 2];
                wrong += y[(c * POOL_H + r) * POOL_W + k] != (top ? v : 0);
            }
    CHECK(wrong == 0);
    if (wrong)
        fprintf(stderr, "^ %s: %d cells\n", what, wrong);
}

/* Indices that a pool of odd extents made count its input's cells, in the pool's storage order, whatever kernel and
 * strides would lead to. */
static void test_unpool(int64_t order)
{
    static const int64_t two[2] = {2, 2}, extents[4] = {1, POOL_C, POOL_H, POOL_W};
    const dcv_attr attr[3] = {{.name = "kernel_shape", .type = DCV_ATTR_INTS, .n = 2, .i = two},
                              {.name = "strides", .type = DCV_ATTR_INTS, .n = 2, .i = two},
                              {.name = "storage_order", .type = DCV_ATTR_INT, .n = 1, .i = &order}};
    dcv_model_node node[2] = {{.name = "pool",
                               .op = "MaxPool",
                               .domain = "",
                               .in = (const char *const[]){"x"},
                               .n_in = 1,
                               .out = (const char *const[]){"top", "at"},
                               .n_out = 2,
                               .attr = (dcv_attr *)attr,
                               .n_attr = 3},
                              {.name = "unpool",
                               .op = "MaxUnpool",
                               .domain = "",
                               .in = (const char *const[]){"top", "at", "shape"},
                               .n_in = 3,
                               .out = (const char *const[]){"y"},
                               .n_out = 1,
                               .attr = (dcv_attr *)attr,
                               .n_attr = 2}};
    dcv_const shape = {.name = "shape", .type = DCV_I64, .dims = {1, {4}}, .data = extents};
    dcv_model_value in = {.name = "x", .elem_type = 1, .rank = 4, .dim = {1, POOL_C, POOL_H, POOL_W}},
                    out = {.name = "y", .rank = -1};
    const dcv_model m = {.file = "unpool.onnx",
                         .opset = 11,
                         .node = node,
                         .n_node = 2,
                         .constant = &shape,
                         .n_const = 1,
                         .in = &in,
                         .n_in = 1,
                         .out = &out,
                         .n_out = 1};
    dcv_graph *g = NULL;
    float x[POOL_C * POOL_H * POOL_W];
    const float *const input[1] = {x};
    for (int i = 0; i < POOL_C * POOL_H * POOL_W; i++)
        x[i] = (float)(i * 37 % 101) - 50.5f;
    CHECK_OK(dcv_graph_new(&m, NULL, 0, &g));
    for (int block = 1; g && block <= 16; block = block == 1 ? 8 : 2 * block) {
        float **values = ref_run(g, block, input);
        check_unpooled(x, values[g->out[0]], order ? "by columns" : "by rows");
        ref_free(g, values);
    }
    dcv_graph_free(g);
}

/* An output_shape that is not the pool's input: its own cells are counted, past an Identity, too. */
static void test_unpool_into(void)
{
    static const int64_t two[2] = {2, 2}, extents[4] = {1, POOL_C, POOL_H + 2, POOL_W + 1};
    const dcv_attr attr[2] = {{.name = "kernel_shape", .type = DCV_ATTR_INTS, .n = 2, .i = two},
                              {.name = "strides", .type = DCV_ATTR_INTS, .n = 2, .i = two}};
#define UNPOOL_NODE(OP, INS, N_IN, OUTS, N_OUT, N_ATTR)                                                                \
    {                                                                                                                  \
        .name = OP, .op = OP, .domain = "", .in = INS, .n_in = N_IN, .out = OUTS, .n_out = N_OUT,                      \
        .attr = (dcv_attr *)attr, .n_attr = N_ATTR                                                                     \
    }
    const char *const x_in[] = {"x"}, *const pooled[] = {"top", "at"}, *const at[] = {"at"}, *const same[] = {"same"},
                      *const three[] = {"top", "same", "shape"}, *const y_out[] = {"y"};
    dcv_model_node node[3] = {UNPOOL_NODE("MaxPool", x_in, 1, pooled, 2, 2), UNPOOL_NODE("Identity", at, 1, same, 1, 0),
                              UNPOOL_NODE("MaxUnpool", three, 3, y_out, 1, 2)};
#undef UNPOOL_NODE
    dcv_const shape = {.name = "shape", .type = DCV_I64, .dims = {1, {4}}, .data = extents};
    dcv_model_value in = {.name = "x", .elem_type = 1, .rank = 4, .dim = {1, POOL_C, POOL_H, POOL_W}},
                    out = {.name = "y", .rank = -1};
    const dcv_model m = {.file = "into.onnx",
                         .opset = 11,
                         .node = node,
                         .n_node = 3,
                         .constant = &shape,
                         .n_const = 1,
                         .in = &in,
                         .n_in = 1,
                         .out = &out,
                         .n_out = 1};
    dcv_graph *g = NULL;
    float x[POOL_C * POOL_H * POOL_W];
    const float *const input[1] = {x};
    for (int i = 0; i < POOL_C * POOL_H * POOL_W; i++)
        x[i] = (float)(i * 37 % 101) + 1;
    CHECK_OK(dcv_graph_new(&m, NULL, 0, &g));
    for (int block = 1; g && block <= 8; block *= 8) {
        float **values = ref_run(g, block, input), *y = values[g->out[0]];
        const float *top = values[dcv_graph_find(g, "top")], *index = values[dcv_graph_find(g, "at")];
        const int64_t n = dcv_count(&g->value[dcv_graph_find(g, "top")].dims);
        int64_t filled = 0;
        for (int64_t i = 0; i < n; i++) {
            CHECK(y[(int64_t)index[i]] == top[i]);
        }
        for (int64_t i = 0; i < dcv_count(&g->value[g->out[0]].dims); i++)
            filled += y[i] != 0;
        CHECK(filled == n);
        ref_free(g, values);
    }
    dcv_graph_free(g);
}

/* Constant indices that another node adds to what a walk finds: there they are floats, here they stay whole. */
static void test_shared_indices(void)
{
    static const int64_t numbers[4] = {1, 0, 0, 1}, one[2] = {1, 1}, axis = 3;
    static const float x[4] = {5, 6, 7, 8}, want[3][4] = {{6, 5, 7, 8}, {7, 8, 0, 0}, {2, 1, 1, 2}};
    const dcv_attr last = {.name = "axis", .type = DCV_ATTR_INT, .n = 1, .i = &axis},
                   kernel = {.name = "kernel_shape", .type = DCV_ATTR_INTS, .n = 2, .i = one};
    const char *const pair[] = {"x", "i"}, *const sum[] = {"which", "i"};
    dcv_model_node node[4] = {
        {.name = "a", .op = "GatherElements", .in = pair, .n_in = 2, .out = (const char *const[]){"gathered"}},
        {.name = "b", .op = "MaxUnpool", .in = pair, .n_in = 2, .out = (const char *const[]){"placed"}},
        {.name = "c", .op = "ArgMax", .in = pair, .n_in = 1, .out = sum},
        {.name = "d", .op = "Add", .in = sum, .n_in = 2, .out = (const char *const[]){"added"}}};
    for (int k = 0; k < 4; k++) {
        node[k].domain = "";
        node[k].n_out = 1;
        node[k].attr = (dcv_attr *)(k == 1 ? &kernel : &last);
        node[k].n_attr = k < 3;
    }
    dcv_const index = {.name = "i", .type = DCV_I64, .dims = {4, {1, 1, 2, 2}}, .data = numbers};
    dcv_model_value in = {.name = "x", .elem_type = 1, .rank = 4, .dim = {1, 1, 2, 2}},
                    out[3] = {{.name = "gathered", .rank = -1},
                              {.name = "placed", .rank = -1},
                              {.name = "added", .rank = -1}};
    const dcv_model m = {.file = "shared.onnx",
                         .opset = 13,
                         .node = node,
                         .n_node = 4,
                         .constant = &index,
                         .n_const = 1,
                         .in = &in,
                         .n_in = 1,
                         .out = out,
                         .n_out = 3};
    const float *const input[1] = {x};
    dcv_graph *g = NULL;
    CHECK_OK(dcv_graph_new(&m, NULL, 0, &g));
    float **values = g ? ref_run(g, 1, input) : NULL;
    for (int o = 0; g && o < 3; o++)
        for (int i = 0; i < 4; i++)
            CHECK_NEAR(values[g->out[o]][i], want[o][i], 0);
    if (g)
        ref_free(g, values);
    dcv_graph_free(g);
}

/* A row of 30 cells at a scale, its nearest cells. */
static void test_nearest(float scale, const char *coordinates, const char *rounding, int n, const int *want)
{
    enum { CELLS = 30 };
    const float scales[4] = {1, 1, 1, scale};
    const dcv_attr attr[2] = {
        {.name = "coordinate_transformation_mode", .type = DCV_ATTR_STRING, .n = 1, .s = &coordinates},
        {.name = "nearest_mode", .type = DCV_ATTR_STRING, .n = 1, .s = &rounding}};
    dcv_model_node node = {.name = "resize",
                           .op = "Resize",
                           .domain = "",
                           .in = (const char *const[]){"x", "", "scales"},
                           .n_in = 3,
                           .out = (const char *const[]){"y"},
                           .n_out = 1,
                           .attr = (dcv_attr *)attr,
                           .n_attr = 2};
    dcv_const constant = {.name = "scales", .type = DCV_F32, .dims = {1, {4}}, .data = scales};
    dcv_model_value in = {.name = "x", .elem_type = 1, .rank = 4, .dim = {1, 1, 1, CELLS}},
                    out = {.name = "y", .rank = -1};
    const dcv_model m = {.file = "nearest.onnx",
                         .opset = 13,
                         .node = &node,
                         .n_node = 1,
                         .constant = &constant,
                         .n_const = 1,
                         .in = &in,
                         .n_in = 1,
                         .out = &out,
                         .n_out = 1};
    float x[CELLS];
    const float *const input[1] = {x};
    dcv_graph *g = NULL;
    for (int i = 0; i < CELLS; i++)
        x[i] = (float)i;
    CHECK_OK(dcv_graph_new(&m, NULL, 0, &g));
    CHECK(g && g->value[g->out[0]].dims.d[3] >= n);
    float **values = g ? ref_run(g, 1, input) : NULL;
    for (int o = 0; values && o < n; o++)
        CHECK_NEAR(values[g->out[0]][o], want[o], 0);
    if (g)
        ref_free(g, values);
    dcv_graph_free(g);
}

/* Positions are float32, as the scales are: in double those that fall on a cell would come before it. */
static void test_scales(void)
{
    static const int third[10] = {0, 3, 6, 9, 12, 15, 18, 21, 24, 27},
                     wider[13] = {0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10},
                     less[11] = {0, 2, 3, 4, 6, 7, 9, 10, 12, 13, 14};
    test_nearest(1.0f / 3, "asymmetric", "floor", 10, third);
    test_nearest(1.2f, "asymmetric", "floor", 13, wider);
    test_nearest(0.7f, "half_pixel", "round_prefer_floor", 11, less);
}

/* Sums that would not end in a lifetime are refused. */
static void test_endless(void)
{
    static const char *const text = "na,nb,nc,nd,ne,nf->n", *const names[6] = {"a", "b", "c", "d", "e", "f"};
    const dcv_attr equation = {.name = "equation", .type = DCV_ATTR_STRING, .n = 1, .s = &text};
    dcv_model_node node = {.name = "sum",
                           .op = "Einsum",
                           .domain = "",
                           .in = names,
                           .n_in = 6,
                           .out = (const char *const[]){"y"},
                           .n_out = 1,
                           .attr = (dcv_attr *)&equation,
                           .n_attr = 1};
    dcv_model_value in[6], out = {.name = "y", .rank = -1};
    for (int k = 0; k < 6; k++)
        in[k] = (dcv_model_value){.name = names[k], .elem_type = 1, .rank = 2, .dim = {1, 1000}};
    const dcv_model m = {
        .file = "endless.onnx", .opset = 13, .node = &node, .n_node = 1, .in = in, .n_in = 6, .out = &out, .n_out = 1};
    dcv_graph *g = NULL;
    CHECK_FAILS(dcv_graph_new(&m, NULL, 0, &g), DCV_EUNSUPPORTED,
                "the 5e+18 products of equation \"na,nb,nc,nd,ne,nf->n\" are too much work");
    dcv_graph_free(g);
}

int main(void)
{
    test_scales();
    test_endless();
    test_exp();
    test_shared_indices();
    test_unpool(0);
    test_unpool(1);
    test_unpool_into();
    static const char *const files[] = {"ops8",  "ops9",        "ops13",        "ops18",       "ops19",
                                        "ops20", "transposed9", "transposed11", "transposed22"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        test_file(files[i]);
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
