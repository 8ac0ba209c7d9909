/* test_given.c -- maps against a float64 walk back given the forward's own gates and switches, which rounding cannot
 * flip: 1e-5 strict, 1e-3 fast, for the small networks and (with the shared data) SqueezeNet at its full size.
 *
 * Gates are read through the walk itself: a signal of ones at an activation's output comes to its input as its gate,
 * and numbered signals at a pool's outputs, none of whose windows overlap, come to where their windows' winners are.
 */
#include <math.h>
#include "check.h"
#include "deconvoy/rule.h"
#include "engine/net_golden.h"
#include "engine/ops/conv.h"
#include "engine/plan.h"

static const char *const nets[] = {
    "models/alexnet",  "models/zfnet",       "models/vgg16",        "models/googlenet",     "models/resnet18",
    "models/resnet50", "models/densenet121", "models/mobilenet_v2", "models/squeezenet1_1", "back/thrice"};
enum { GATE_STEP = 29 };
#ifdef DCV_HAVE_ONEDNN
#define DCV_IN_USE DCV_BACKEND_ONEDNN
#else
#define DCV_IN_USE DCV_BACKEND_BLAS
#endif

typedef struct walked {
    const dcv_graph *g;
    dcv_engine *engine;
    dcv_walk *walk;
} walked;

typedef struct given {
    dcv_model *model;
    dcv_graph *graph;
    float *image;
    float **gate;  /* [n_node] of activations: 0 or 1 */
    int64_t **won; /* [n_node] of pools: the winner's place in its plane, with the planes before */
    float **seen;  /* [n_value] inputs of normalisations */
} given;

static int64_t count(const dcv_graph *g, int v)
{
    return dcv_count(&g->value[v].dims);
}

static bool is(const dcv_node *nd, const char *op)
{
    return !strcmp(nd->op->name, op);
}

static bool is_gate(const dcv_node *nd)
{
    return is(nd, "Relu") || is(nd, "Clip");
}

static double real(const dcv_node *nd, const char *name, double dflt)
{
    const dcv_attr *a = dcv_model_attr(nd->source, name);
    return !a ? dflt : a->f ? a->f[0] : (double)a->i[0];
}

/* ---- what the walk forward decided ---- */

static void open_walk(const dcv_graph *g, const int *back, int n_back, const int *seen, int n_seen, dcv_backend_kind b,
                      dcv_precision p, walked *w)
{
    const dcv_engine_options o = {
        .precision = p, .backend = b, .back = back, .n_back = n_back, .seen = seen, .n_seen = n_seen};
    w->g = g;
    CHECK_OK(dcv_engine_new(g, &o, &w->engine));
    CHECK_OK(dcv_engine_pack_own(w->engine));
    CHECK_OK(dcv_walk_new(w->engine, &w->walk));
}

static void close_walk(walked *w)
{
    dcv_walk_free(w->walk);
    dcv_engine_free(w->engine);
}

static void keep(void *ctx, int picture, int value, const dcv_blob *b)
{
    given *n = ctx;
    (void)picture;
    n->seen[value] = dcv_alloc((size_t)count(n->graph, value), sizeof(float));
    dcv_blob_read(b, n->seen[value]);
}

static void forward(const walked *w, const given *n, dcv_observe_fn see)
{
    const float *group[1] = {n->image};
    const float *const *input[1] = {group};
    union {
        const given *in;
        void *out;
    } u = {n};
    dcv_walk_forward(w->walk, 1, input, see, u.out);
}

static void read_gate(const walked *w, const dcv_node *nd, float *gate)
{
    const int64_t n = count(w->g, nd->out[0]);
    int64_t *at = dcv_alloc((size_t)n, sizeof *at);
    float *one = dcv_alloc((size_t)n, sizeof *one);
    for (int64_t i = 0; i < n; i++) {
        at[i] = i;
        one[i] = 1;
    }
    const dcv_seed seed = {0, n, at, one};
    dcv_walk_backward(w->walk, dcv_rule_find("gradient"), nd->out[0], &seed, 1, nd->in[0], &gate);
    dcv_free(at);
    dcv_free(one);
}

static void read_switches(const walked *w, const dcv_node *nd, int64_t *won)
{
    const dcv_graph *g = w->g;
    const dcv_dims *y = &g->value[nd->out[0]].dims;
    const int64_t n = dcv_count(y), nx = count(g, nd->in[0]);
    dcv_window win[DCV_MAX_SPACE];
    int n_space;
    dcv_conv_windows(g, nd, win, &n_space);
    const int64_t apart[2] = {(win[0].kernel - 1) / win[0].stride + 1, (win[1].kernel - 1) / win[1].stride + 1};
    int64_t *at = dcv_alloc((size_t)n, sizeof *at);
    float *number = dcv_alloc((size_t)n, sizeof *number), *map = dcv_alloc((size_t)nx, sizeof *map);
    for (int64_t part = 0; part < apart[0] * apart[1]; part++) {
        dcv_seed seed = {0, 0, at, number};
        for (int64_t i = 0; i < n; i++)
            if (i / y->d[3] % y->d[2] % apart[0] == part / apart[1] && i % y->d[3] % apart[1] == part % apart[1]) {
                at[seed.n] = i;
                number[seed.n++] = (float)(i + 1);
            }
        dcv_walk_backward(w->walk, dcv_rule_find("gradient"), nd->out[0], &seed, 1, nd->in[0], &map);
        for (int64_t i = 0; i < nx; i++)
            if (map[i] > 0 && map[i] <= (float)n)
                won[(int64_t)map[i] - 1] = i;
    }
    dcv_free(at);
    dcv_free(number);
    dcv_free(map);
}

static void read_decisions(given *n, dcv_backend_kind b, dcv_precision p)
{
    const dcv_graph *g = n->graph;
    walked w;
    int *back = dcv_alloc((size_t)g->n_node, sizeof *back), *seen = dcv_alloc((size_t)g->n_node, sizeof *seen);
    int n_back = 0, n_seen = 0;
    for (int i = 0; i < g->n_node; i++) {
        const dcv_node *nd = &g->node[i];
        if (is_gate(nd) || is(nd, "MaxPool"))
            back[n_back++] = nd->out[0];
        if (is(nd, "LRN"))
            seen[n_seen++] = nd->in[0];
    }
    open_walk(g, back, n_back, seen, n_seen, b, p, &w);
    forward(&w, n, keep);
    for (int i = 0; i < g->n_node; i++) {
        const dcv_node *nd = &g->node[i];
        if (is_gate(nd)) {
            n->gate[i] = dcv_alloc((size_t)count(g, nd->out[0]), sizeof(float));
            read_gate(&w, nd, n->gate[i]);
        } else if (is(nd, "MaxPool")) {
            n->won[i] = dcv_alloc((size_t)count(g, nd->out[0]), sizeof(int64_t));
            for (int64_t k = 0; k < count(g, nd->out[0]); k++)
                n->won[i][k] = -1;
            read_switches(&w, nd, n->won[i]);
        }
    }
    close_walk(&w);
    dcv_free(back);
    dcv_free(seen);
}

/* ---- the walk back in double precision ---- */

static void back_conv(const dcv_graph *g, const dcv_node *nd, const double *gy, double *gx)
{
    const dcv_dims *x = &g->value[nd->in[0]].dims, *y = &g->value[nd->out[0]].dims;
    const float *w = g->value[nd->in[1]].constant;
    dcv_window win[DCV_MAX_SPACE];
    int n_space;
    dcv_conv_windows(g, nd, win, &n_space);
    const int64_t groups = dcv_conv_groups(nd), icg = x->d[1] / groups, ocg = y->d[1] / groups;
    for (int64_t o = 0; o < y->d[1]; o++)
        for (int64_t i = 0; i < icg; i++, w += win[0].kernel * win[1].kernel)
            for (int64_t a = 0; a < win[0].kernel; a++)
                for (int64_t b = 0; b < win[1].kernel; b++) {
                    const double k = (double)w[a * win[1].kernel + b];
                    const int64_t shift = b * win[1].dilation - win[1].pad_lo;
                    int64_t lo = shift < 0 ? (-shift + win[1].stride - 1) / win[1].stride : 0, hi = y->d[3];
                    while (hi > lo && (hi - 1) * win[1].stride + shift >= x->d[3])
                        hi--;
                    for (int64_t r = 0; r < y->d[2]; r++) {
                        const int64_t q = r * win[0].stride + a * win[0].dilation - win[0].pad_lo;
                        if (q < 0 || q >= x->d[2])
                            continue;
                        const double *from = gy + (o * y->d[2] + r) * y->d[3];
                        double *to = gx + ((o / ocg * icg + i) * x->d[2] + q) * x->d[3] + shift;
                        for (int64_t c = lo; c < hi; c++)
                            to[c * win[1].stride] += k * from[c];
                    }
                }
}

static void back_average(const dcv_graph *g, const dcv_node *nd, const double *gy, double *gx)
{
    const dcv_dims *x = &g->value[nd->in[0]].dims, *y = &g->value[nd->out[0]].dims;
    dcv_window win[DCV_MAX_SPACE];
    int n_space;
    dcv_conv_windows(g, nd, win, &n_space);
    const bool padded = real(nd, "count_include_pad", 0) != 0;
    for (int64_t i = 0; i < dcv_count(y); i++) {
        const int64_t r = i / y->d[3] % y->d[2] * win[0].stride - win[0].pad_lo,
                      c = i % y->d[3] * win[1].stride - win[1].pad_lo, plane = i / y->d[3] / y->d[2];
        int64_t inside = 0, bordered = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t a = r; a < r + win[0].kernel; a++)
                for (int64_t b = c; b < c + win[1].kernel; b++) {
                    const bool in = a >= 0 && a < x->d[2] && b >= 0 && b < x->d[3];
                    inside += !pass && in;
                    bordered += !pass && a < x->d[2] + win[0].pad_hi && b < x->d[3] + win[1].pad_hi;
                    if (pass && in)
                        gx[(plane * x->d[2] + a) * x->d[3] + b] += gy[i] / (double)(padded ? bordered : inside);
                }
    }
}

static void back_mean(const dcv_graph *g, const dcv_node *nd, const double *gy, double *gx)
{
    const int64_t n = count(g, nd->in[0]), channels = count(g, nd->out[0]), cells = n / channels;
    for (int64_t i = 0; i < n; i++)
        gx[i] += gy[i / cells] / (double)cells;
}

static void back_norm(const dcv_graph *g, const dcv_node *nd, const double *gy, double *gx)
{
    const dcv_dims *x = &g->value[nd->in[0]].dims;
    const float *gamma = g->value[nd->in[1]].constant, *variance = g->value[nd->in[4]].constant;
    const int64_t cells = dcv_count(x) / x->d[1];
    for (int64_t i = 0; i < dcv_count(x); i++)
        gx[i] += gy[i] * (double)gamma[i / cells] / sqrt((double)variance[i / cells] + real(nd, "epsilon", 1e-5));
}

static void back_lrn(const dcv_graph *g, const dcv_node *nd, const float *x, const double *gy, double *gx)
{
    const dcv_dims *d = &g->value[nd->in[0]].dims;
    const double size = real(nd, "size", 0), alpha = real(nd, "alpha", 1e-4) / size, beta = real(nd, "beta", 0.75),
                 bias = real(nd, "bias", 1);
    const int64_t n = d->d[1], cells = dcv_count(d) / n, below = ((int64_t)size - 1) / 2,
                  above = (int64_t)size - 1 - below;
    for (int64_t s = 0; s < cells; s++)
        for (int64_t i = 0; i < n; i++) {
            double v = bias;
            const int64_t lo = i > below ? i - below : 0, hi = i + above < n ? i + above : n - 1;
            for (int64_t j = lo; j <= hi; j++)
                v += alpha * (double)x[j * cells + s] * (double)x[j * cells + s];
            gx[i * cells + s] += gy[i * cells + s] * pow(v, -beta);
            const double share = -2 * beta * alpha * gy[i * cells + s] * (double)x[i * cells + s] * pow(v, -beta - 1);
            for (int64_t j = lo; j <= hi; j++)
                gx[j * cells + s] += share * (double)x[j * cells + s];
        }
}

static void back_gemm(const dcv_graph *g, const dcv_node *nd, const double *gy, double *gx)
{
    const int64_t k = count(g, nd->in[0]), n = count(g, nd->out[0]);
    const float *w = g->value[nd->in[1]].constant;
    const bool turned = real(nd, "transB", 0) != 0;
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; gy[j] != 0 && i < k; i++)
            gx[i] += real(nd, "alpha", 1) * (double)w[turned ? j * k + i : i * n + j] * gy[j];
}

/* One node; gx of its inputs, NULL for constants.  false: an operator that this test does not know. */
static bool back_node(const given *n, int node, const char *rule, const double *gy, double **gx)
{
    const dcv_graph *g = n->graph;
    const dcv_node *nd = &g->node[node];
    const int64_t cells = count(g, nd->out[0]);
    const bool deconvnet = !strcmp(rule, "deconvnet"), gradient = !strcmp(rule, "gradient");
    if (is(nd, "Conv")) {
        back_conv(g, nd, gy, gx[0]);
    } else if (is_gate(nd)) {
        for (int64_t i = 0; i < cells; i++)
            gx[0][i] += (gradient || gy[i] > 0) && (deconvnet || n->gate[node][i] != 0) ? gy[i] : 0;
    } else if (is(nd, "MaxPool")) {
        for (int64_t i = 0; i < cells; i++)
            gx[0][n->won[node][i]] += gy[i];
    } else if (is(nd, "AveragePool")) {
        back_average(g, nd, gy, gx[0]);
    } else if (is(nd, "GlobalAveragePool") || is(nd, "ReduceMean")) {
        back_mean(g, nd, gy, gx[0]);
    } else if (is(nd, "BatchNormalization")) {
        back_norm(g, nd, gy, gx[0]);
    } else if (is(nd, "LRN") && !deconvnet) {
        back_lrn(g, nd, n->seen[nd->in[0]], gy, gx[0]);
    } else if (is(nd, "Gemm")) {
        back_gemm(g, nd, gy, gx[0]);
    } else if (is(nd, "Concat")) { /* channels of one picture */
        for (int k = 0; k < nd->n_in; gy += count(g, nd->in[k]), k++)
            for (int64_t i = 0; i < count(g, nd->in[k]); i++)
                gx[k][i] += gy[i];
    } else if (is(nd, "Add") || is(nd, "Sub") || is(nd, "Flatten") || is(nd, "Reshape") || is(nd, "Dropout") ||
               is(nd, "Identity") || is(nd, "LRN")) {
        const double sign[2] = {1, is(nd, "Sub") ? -1 : 1};
        for (int k = 0; k < (is(nd, "Add") || is(nd, "Sub") ? 2 : 1); k++)
            for (int64_t i = 0; gx[k] && i < cells; i++)
                gx[k][i] += sign[k] * gy[i];
    } else {
        fprintf(stderr, "operator %s\n", nd->op->name);
        return false;
    }
    return true;
}

static double *walk_back(const given *n, const char *rule, int from, int64_t at)
{
    const dcv_graph *g = n->graph;
    double **signal = dcv_alloc((size_t)g->n_value, sizeof *signal), **gx = dcv_alloc(1000, sizeof *gx);
    signal[from] = dcv_alloc((size_t)count(g, from), sizeof(double));
    signal[from][at] = 1;
    for (int i = g->n_node - 1; i >= 0; i--) {
        const dcv_node *nd = &g->node[i];
        const double *gy = signal[nd->out[0]];
        if (!gy)
            continue;
        for (int k = 0; k < nd->n_in; k++) {
            const int v = nd->in[k];
            const bool carries = v >= 0 && g->value[v].batched;
            if (carries && !signal[v])
                signal[v] = dcv_alloc((size_t)count(g, v), sizeof(double));
            gx[k] = carries ? signal[v] : NULL;
        }
        CHECK(back_node(n, i, rule, gy, gx));
    }
    double *map = signal[g->in[0]];
    signal[g->in[0]] = NULL;
    for (int v = 0; v < g->n_value; v++)
        dcv_free(signal[v]);
    dcv_free(signal);
    dcv_free(gx);
    return map;
}

/* ---- cases ---- */

static void check_given(const given *n, const char *name, dcv_backend_kind b, dcv_precision p)
{
    const dcv_graph *g = n->graph;
    const int from = g->logits;
    const int64_t classes = count(g, from), pixels = count(g, g->in[0]);
    float *map = dcv_alloc((size_t)pixels, sizeof *map), *logit = dcv_alloc((size_t)classes, sizeof *logit);
    walked w;
    int64_t top = 0;
    const float one = 1;
    open_walk(g, &from, 1, NULL, 0, b, p, &w);
    forward(&w, n, NULL);
    dcv_walk_output(w.walk, 0, 0, logit);
    for (int64_t i = 1; i < classes; i++)
        top = logit[i] > logit[top] ? i : top;
    const dcv_seed seed = {0, 1, &top, &one};
    for (int r = 0; dcv_rule_at(r); r++) {
        double *want = walk_back(n, dcv_rule_at(r)->name, from, top);
        dcv_walk_backward(w.walk, dcv_rule_at(r), from, &seed, 1, g->in[0], &map);
        const double err = check_rel_l2(map, want, (size_t)pixels);
        fprintf(stderr, "%-22s %-6s %-6s %-16s %.1e\n", name, b == DCV_BACKEND_BLAS ? "blas" : "onednn",
                p == DCV_FAST ? "fast" : "strict", dcv_rule_at(r)->name, err);
        CHECK(err <= (p == DCV_STRICT ? 1e-5 : 1e-3));
        dcv_free(want);
    }
    close_walk(&w);
    dcv_free(map);
    dcv_free(logit);
}

/* Gates and switches, every GATE_STEP'th, against float64 PyTorch's wherever those are sure (README.md there). */
static void check_gates(const given *n, const golden_file *gold)
{
    const dcv_graph *g = n->graph;
    int64_t judged = 0, wrong = 0;
    for (int i = 0; i < g->n_node; i++) {
        char key[300];
        snprintf(key, sizeof key, "gate:%s", g->value[g->node[i].out[0]].name);
        const golden *t = golden_find(gold, key);
        CHECK(!(n->gate[i] || n->won[i]) || t);
        for (int64_t k = 0; t && k < dcv_count(&t->dims); k++) {
            const double mine = n->gate[i] ? (double)n->gate[i][k * GATE_STEP] : (double)n->won[i][k * GATE_STEP];
            judged += t->v[k] >= 0;
            wrong += t->v[k] >= 0 && mine != t->v[k];
        }
    }
    CHECK(judged > 0 && wrong == 0);
    fprintf(stderr, "%lld gates, %lld wrong\n", (long long)judged, (long long)wrong);
}

static void clear(given *n)
{
    for (int i = 0; i < n->graph->n_node; i++) {
        dcv_free(n->gate[i]);
        dcv_free(n->won[i]);
        n->gate[i] = NULL;
        n->won[i] = NULL;
    }
    for (int v = 0; v < n->graph->n_value; v++) {
        dcv_free(n->seen[v]);
        n->seen[v] = NULL;
    }
}

static void check_net(const char *name, const char *file, const golden *image, const golden_file *gates)
{
    given n = {0};
    CHECK_OK(dcv_model_open(file, &n.model));
    dcv_dims d = {4, {1, 3, 224, 224}};
    if (image)
        d = image->dims;
    d.d[0] = 1;
    CHECK_OK(dcv_graph_new(n.model, &d, 1, &n.graph));
    n.image = dcv_alloc((size_t)dcv_count(&d), sizeof *n.image);
    n.gate = dcv_alloc((size_t)n.graph->n_node, sizeof *n.gate);
    n.won = dcv_alloc((size_t)n.graph->n_node, sizeof *n.won);
    n.seen = dcv_alloc((size_t)n.graph->n_value, sizeof *n.seen);
    uint32_t state = 1123;
    for (int64_t i = 0; i < dcv_count(&d); i++) {
        state = state * 1664525u + 1013904223u;
        n.image[i] = image ? (float)image->v[i] : (float)(state >> 24) - 128;
    }
    for (int b = 0; b <= DCV_BACKEND_ONEDNN; b++) {
#ifndef DCV_HAVE_ONEDNN
        if (b == DCV_BACKEND_ONEDNN)
            continue;
#endif
        for (int p = DCV_FAST; p <= DCV_STRICT; p++) {
            if (!image && b != DCV_IN_USE)
                continue; /* full size: what is in use */
            read_decisions(&n, (dcv_backend_kind)b, (dcv_precision)p);
            check_given(&n, name, (dcv_backend_kind)b, (dcv_precision)p);
            if (gates && p == DCV_STRICT)
                check_gates(&n, gates);
            clear(&n);
        }
    }
    dcv_free(n.gate);
    dcv_free(n.won);
    dcv_free(n.seen);
    dcv_free(n.image);
    dcv_graph_free(n.graph);
    dcv_model_free(n.model);
}

int main(void)
{
    char path[4096];
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        golden_file own, maps;
        snprintf(path, sizeof path, "%s/tests/golden/%s.golden", DCV_SOURCE_DIR, nets[i]);
        CHECK(golden_read(path, &own));
        snprintf(path, sizeof path, "%s/tests/golden/back/%s.golden", DCV_SOURCE_DIR, strchr(nets[i], '/') + 1);
        CHECK(golden_read(path, &maps));
        snprintf(path, sizeof path, "%s/tests/golden/%s.onnx", DCV_SOURCE_DIR, nets[i]);
        check_net(nets[i], path, golden_find(&own, "image"), &maps);
        golden_free(&own);
        golden_free(&maps);
    }
    if (check_data_dir()) {
        snprintf(path, sizeof path, "%s/models/squeezenet1_1.onnx", check_data_dir());
        check_net("SqueezeNet, full size", path, NULL, NULL);
    }
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
