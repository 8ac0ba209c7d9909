/* test_group.c -- what follows dense products runs for a group of pictures at once: copies into a concatenation, and
 * activations on products of rank 3, must not mix the pictures up; nor must walks with room for more than a group. */
#include "check.h"
#include "deconvoy/engine.h"
#include "deconvoy/memory.h"

enum { IN = 16, OUT = 5, CAT = 2 * OUT, MOST = 21 };

#define NODE(OP, TO, ...)                                                                                              \
    {                                                                                                                  \
        .name = TO, .op = OP, .domain = "", .in = (const char *const[]){__VA_ARGS__},                                  \
        .n_in = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), .out = (const char *const[]){TO},         \
        .n_out = 1                                                                                                     \
    }

/* x -> two heads, one behind a view, side by side; and x -> product of rank 3 -> Relu -> Exp. */
static dcv_model_node node[] = {
    NODE("Flatten", "f", "x"),     NODE("Gemm", "g", "f", "w"),   NODE("Identity", "i", "g"),
    NODE("Gemm", "k", "f", "w"),   NODE("Concat", "c", "i", "k"), NODE("Reshape", "r", "x", "s"),
    NODE("MatMul", "p", "r", "w"), NODE("Relu", "q", "p"),        NODE("Exp", "e", "q"),
};

static dcv_status make_graph(const float *weight, dcv_model *m, dcv_graph **g)
{
    static const int64_t axis = 1, shape[] = {0, 1, IN};
    static const dcv_attr on_axis = {.name = "axis", .type = DCV_ATTR_INT, .n = 1, .i = &axis};
    static dcv_model_value in = {.name = "x", .elem_type = 1, .rank = 4, .dim = {1, 1, 4, 4}};
    static dcv_model_value out[] = {{.name = "c", .rank = -1}, {.name = "e", .rank = -1}};
    static dcv_const constant[2];
    node[4].attr = &on_axis;
    node[4].n_attr = 1;
    constant[0] = (dcv_const){.name = "w", .type = DCV_F32, .dims = {2, {IN, OUT}}, .data = weight};
    constant[1] = (dcv_const){.name = "s", .type = DCV_I64, .dims = {1, {3}}, .data = shape};
    *m = (dcv_model){.file = "group.onnx",
                     .opset = 13,
                     .n_node = sizeof node / sizeof *node,
                     .node = node,
                     .n_in = 1,
                     .in = &in,
                     .n_out = 2,
                     .out = out,
                     .n_const = 2,
                     .constant = constant};
    return dcv_graph_new(m, NULL, 0, g);
}

static void check_backend(const dcv_graph *g, dcv_backend_kind b, int room, const float *picture)
{
    dcv_engine *e;
    dcv_walk *one, *all;
    const dcv_engine_options o = {.precision = DCV_FAST, .backend = b, .room = room};
    const int n = room ? room : DCV_GROUP;
    const float *x[MOST];
    const float *const *input[1] = {x};
    float want[CAT], is[CAT];
    CHECK_OK(dcv_engine_new(g, &o, &e));
    CHECK_OK(dcv_engine_pack_own(e));
    CHECK_OK(dcv_walk_new(e, &one));
    CHECK_OK(dcv_walk_new(e, &all));
    for (int p = 0; p < n; p++)
        x[p] = picture + p * IN;
    dcv_walk_forward(all, n, input, NULL, NULL);
    for (int p = 0; p < n; p++) {
        x[0] = picture + p * IN;
        dcv_walk_forward(one, 1, input, NULL, NULL);
        for (int k = 0; k < 2; k++) {
            dcv_walk_output(one, k, 0, want);
            dcv_walk_output(all, k, p, is);
            CHECK(!memcmp(want, is, (k ? OUT : CAT) * sizeof *is));
        }
    }
    dcv_walk_free(one);
    dcv_walk_free(all);
    dcv_engine_free(e);
}

int main(void)
{
    float weight[IN * OUT], picture[MOST * IN];
    dcv_model m;
    dcv_graph *g;
    for (int i = 0; i < IN * OUT; i++)
        weight[i] = (float)(i * 37 % 23 - 11) / 16;
    for (int i = 0; i < MOST * IN; i++)
        picture[i] = (float)(i * 53 % 41 - 20) / 16;
    CHECK_OK(make_graph(weight, &m, &g));
    dcv_backend_kind best;
    CHECK_OK(dcv_backend_choose(&best));
    for (int k = 0; k < 2; k++) {
        check_backend(g, DCV_BACKEND_BLAS, k ? MOST : 0, picture);
        if (best != DCV_BACKEND_BLAS)
            check_backend(g, best, k ? MOST : 0, picture);
    }
    dcv_graph_free(g);
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
