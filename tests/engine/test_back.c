/* test_back.c -- the walk back: maps of three rules for the small networks against float64 PyTorch node by node
 * (tests/golden/back), every operator against differences of the walk forward, ties, and memory that nobody may
 * read.
 */
#include "check.h"
#include "deconvoy/rule.h"
#include "engine/back.h"
#include "engine/net_golden.h"
#include "engine/ops/conv.h"

enum { STEP = 11 }; /* of the maps' subsample */

static const char *const nets[] = {"alexnet",       "zfnet",    "vgg16",    "googlenet",   "inception_v3",
                                   "squeezenet1_1", "resnet18", "resnet50", "densenet121", "mobilenet_v2",
                                   "thrice",        "segnet",   "unet",     "superres",    "efficientnet",
                                   "mobilenet_v3",  "convnext", "vit"};

typedef struct net {
    dcv_model *model;
    dcv_graph *graph;
    dcv_engine *engine;
    dcv_walk *walk;
    golden_file gold;
    int from[2], n_from;
    float *image;
    int64_t in;
} net;

static void open_graph(const char *name, net *n)
{
    char path[4096];
    golden_file models;
    const char *folder = strcmp(name, "thrice") ? "models" : "back"; /* one convolution, ReLU and pool, three times */
    *n = (net){0};
    snprintf(path, sizeof path, "%s/tests/golden/%s/%s.onnx", DCV_SOURCE_DIR, folder, name);
    CHECK_OK(dcv_model_open(path, &n->model));
    snprintf(path, sizeof path, "%s/tests/golden/%s/%s.golden", DCV_SOURCE_DIR, folder, name);
    CHECK(golden_read(path, &models));
    const golden *image = golden_find(&models, "image");
    dcv_dims d = image->dims;
    d.d[0] = 1;
    CHECK_OK(dcv_graph_new(n->model, &d, 1, &n->graph));
    n->in = dcv_count(&d);
    n->image = dcv_alloc((size_t)n->in, sizeof *n->image);
    for (int64_t i = 0; i < n->in; i++)
        n->image[i] = (float)image->v[i];
    golden_free(&models);
    snprintf(path, sizeof path, "%s/tests/golden/back/%s.golden", DCV_SOURCE_DIR, name);
    CHECK(golden_read(path, &n->gold));
    for (int v = 0; v < n->graph->n_value; v++) {
        char target[300];
        snprintf(target, sizeof target, "target:%s", n->graph->value[v].name);
        if (golden_find(&n->gold, target) && n->n_from < 2)
            n->from[n->n_from++] = v;
    }
    CHECK(n->n_from == 2);
}

static bool open_engine(net *n, dcv_backend_kind b, dcv_precision p)
{
    const dcv_engine_options o = {.precision = p, .backend = b, .back = n->from, .n_back = n->n_from};
    CHECK_OK(dcv_engine_new(n->graph, &o, &n->engine));
    if (!n->engine)
        return false;
    CHECK_OK(dcv_engine_pack_own(n->engine));
    CHECK_OK(dcv_walk_new(n->engine, &n->walk));
    return n->walk != NULL;
}

static void close_engine(net *n)
{
    dcv_walk_free(n->walk);
    dcv_engine_free(n->engine);
    n->walk = NULL;
    n->engine = NULL;
}

static void close_graph(net *n)
{
    golden_free(&n->gold);
    dcv_free(n->image);
    dcv_graph_free(n->graph);
    dcv_model_free(n->model);
}

static void forward(net *n, int pictures)
{
    const float *group[DCV_GROUP];
    for (int p = 0; p < pictures; p++)
        group[p] = n->image;
    const float *const *input[1] = {group};
    dcv_walk_forward(n->walk, pictures, input, NULL, NULL);
}

static void walk_back(net *n, const dcv_rule *r, int from, int seeds, int64_t at, float weight, float *const *out)
{
    dcv_seed seed[DCV_GROUP];
    for (int s = 0; s < seeds; s++)
        seed[s] = (dcv_seed){s % 2, 1, &at, &weight};
    dcv_walk_backward(n->walk, r, from, seed, seeds, n->graph->in[0], out);
}

static double map_error(const net *n, const char *rule, const char *value, const float *map, double *noise)
{
    char key[600];
    snprintf(key, sizeof key, "%s:%s", rule, value);
    const golden *m = golden_find(&n->gold, key);
    snprintf(key, sizeof key, "%s:%s#stats", rule, value);
    const golden *s = golden_find(&n->gold, key);
    CHECK(m && s && dcv_count(&m->dims) == (n->in + STEP - 1) / STEP);
    if (!m || !s)
        return NAN;
    double l2 = 0, sum = 0, weighted = 0, part = 0;
    for (int64_t i = 0; i < n->in; i++) {
        l2 += (double)map[i] * map[i];
        sum += map[i];
        weighted += map[i] * (double)(i % 251 + 1) / 251;
    }
    float *every = dcv_alloc((size_t)dcv_count(&m->dims), sizeof *every);
    for (int64_t i = 0; i < n->in; i += STEP)
        every[i / STEP] = map[i];
    part = check_rel_l2(every, m->v, (size_t)dcv_count(&m->dims));
    dcv_free(every);
    const double e[] = {part, fabs(sqrt(l2) - s->v[0]) / s->v[0], fabs(sum - s->v[1]) / s->v[5],
                        fabs(weighted - s->v[4]) / s->v[5]};
    double worst = 0;
    for (size_t i = 0; i < sizeof e / sizeof *e; i++)
        worst = !(e[i] <= worst) ? e[i] : worst;
    *noise = s->v[6];
    return worst;
}

/* End to end in single precision, strict: 1e-5 where the map itself stands still under noise of 2e-7; gates that
 * flip move it elsewhere. */
static void check_maps(net *n, const char *name, dcv_backend_kind b, dcv_precision p)
{
    float *map[DCV_GROUP];
    for (int s = 0; s < DCV_GROUP; s++)
        map[s] = dcv_alloc((size_t)n->in, sizeof **map);
    forward(n, 2);
    dcv_walk_poison(n->walk); /* what is kept must suffice */
    for (int f = 0; f < 2; f++) {
        const char *value = n->graph->value[n->from[f]].name;
        char key[300];
        snprintf(key, sizeof key, "target:%s", value);
        const golden *t = golden_find(&n->gold, key);
        for (int r = 0; dcv_rule_at(r); r++) {
            double noise = 0;
            walk_back(n, dcv_rule_at(r), n->from[f], DCV_GROUP, (int64_t)t->v[0], (float)t->v[1], map);
            const double err = map_error(n, dcv_rule_at(r)->name, value, map[0], &noise);
            fprintf(stderr, "%-14s %-6s %-6s %-16s %-28.28s %.1e (noise %.1e)\n", name,
                    b == DCV_BACKEND_BLAS ? "blas" : "onednn", p == DCV_FAST ? "fast" : "strict", dcv_rule_at(r)->name,
                    value, err, noise);
            if (p == DCV_STRICT && noise < 4e-6)
                CHECK(err <= 1e-5);
            CHECK(err <= 0.2); /* whatever flips */
            for (int s = 1; s < DCV_GROUP; s++)
                CHECK(!memcmp(map[s], map[0], (size_t)n->in * sizeof **map));
            walk_back(n, dcv_rule_at(r), n->from[f], 1, (int64_t)t->v[0], (float)t->v[1], map + 1);
            CHECK(!memcmp(map[1], map[0], (size_t)n->in * sizeof **map));
        }
    }
    for (int s = 0; s < DCV_GROUP; s++)
        dcv_free(map[s]);
}

/* Eight pictures, each with a target of its own, give what each gives alone, bit for bit. */
static void check_group(net *n)
{
    const dcv_graph *g = n->graph;
    const int64_t cells = dcv_count(&g->value[n->from[1]].dims);
    float *picture[DCV_GROUP], *map[DCV_GROUP], *alone = dcv_alloc((size_t)n->in, sizeof *alone);
    int64_t at[DCV_GROUP];
    dcv_seed seed[DCV_GROUP];
    const float one = 1;
    for (int s = 0; s < DCV_GROUP; s++) {
        picture[s] = dcv_alloc((size_t)n->in, sizeof(float));
        map[s] = dcv_alloc((size_t)n->in, sizeof(float));
        for (int64_t i = 0; i < n->in; i++)
            picture[s][i] = n->image[(i * (2 * s + 1)) % n->in] * (1 + 0.1F * (float)s);
        at[s] = (s * 7 + 3) % cells;
        seed[s] = (dcv_seed){DCV_GROUP - 1 - s, 1, &at[s], &one};
    }
    for (int r = 0; dcv_rule_at(r); r++) {
        const float *const *all[1] = {(const float *const *)picture};
        dcv_walk_forward(n->walk, DCV_GROUP, all, NULL, NULL);
        dcv_walk_backward(n->walk, dcv_rule_at(r), n->from[1], seed, DCV_GROUP, g->in[0], map);
        for (int s = 0; s < DCV_GROUP; s++) {
            const float *const *single[1] = {(const float *const *)&picture[seed[s].picture]};
            const dcv_seed mine = {0, 1, &at[s], &one};
            dcv_walk_forward(n->walk, 1, single, NULL, NULL);
            dcv_walk_backward(n->walk, dcv_rule_at(r), n->from[1], &mine, 1, g->in[0], &alone);
            CHECK(!memcmp(alone, map[s], (size_t)n->in * sizeof *alone));
            CHECK(s == 0 || memcmp(map[0], map[s], (size_t)n->in * sizeof *alone));
        }
    }
    for (int s = 0; s < DCV_GROUP; s++) {
        dcv_free(picture[s]);
        dcv_free(map[s]);
    }
    dcv_free(alone);
}

/* ---- every operator: <J v, u> = <v, J' u> ---- */

static double drawn(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (1 << 24) - 0.5;
}

/* May a signal be walked back from value v? */
static bool has_way(const dcv_graph *g, int v)
{
    const int p = g->value[v].producer;
    if (p < 0 || !g->value[v].batched || g->value[v].type != DCV_F32)
        return true;
    const dcv_node *nd = &g->node[p];
    if (!nd->op->backward && strncmp(nd->op->name, "Conv", 4) && strcmp(nd->op->name, "Gemm"))
        return false;
    for (int k = 0; k < nd->n_in; k++)
        if (nd->in[k] >= 0 && !has_way(g, nd->in[k]))
            return false;
    return true;
}

typedef struct cases {
    dcv_model *model;
    dcv_graph *graph;
    dcv_engine *engine;
    dcv_walk *walk;
    golden_file gold;
    float **x, **v, **moved; /* inputs, a direction, inputs moved along it */
} cases;

/* The value of output o for the inputs moved by step along the direction. */
static void evaluate(cases *c, int o, double step, float *y)
{
    const dcv_graph *g = c->graph;
    const float *const **input = dcv_alloc((size_t)g->n_in, sizeof *input);
    for (int i = 0; i < g->n_in; i++) {
        const bool real = g->value[g->in[i]].type == DCV_F32;
        for (int64_t k = 0; k < dcv_count(&g->value[g->in[i]].dims); k++)
            c->moved[i][k] = (float)(c->x[i][k] + (real ? step * c->v[i][k] : 0));
        input[i] = (const float *const *)&c->moved[i];
    }
    dcv_walk_forward(c->walk, 1, input, NULL, NULL);
    if (y)
        dcv_walk_output(c->walk, o, 0, y);
    dcv_free(input);
}

static bool feeds(const dcv_graph *g, int in, int v)
{
    const int p = g->value[v].producer;
    if (v == in)
        return true;
    for (int k = 0; p >= 0 && k < g->node[p].n_in; k++)
        if (g->node[p].in[k] >= 0 && g->value[g->node[p].in[k]].type == DCV_F32 && feeds(g, in, g->node[p].in[k]))
            return true;
    return false;
}

static void check_output(cases *c, int o, unsigned *state)
{
    static const double steps[] = {1, 0.03, 0.003, 0.0003};
    const dcv_graph *g = c->graph;
    const int value = g->out[o];
    const int64_t n = dcv_count(&g->value[value].dims);
    float *u = dcv_alloc((size_t)n, sizeof *u), *a = dcv_alloc((size_t)n, sizeof *a),
          *b = dcv_alloc((size_t)n, sizeof *b);
    int64_t *at = dcv_alloc((size_t)n, sizeof *at);
    double back = 0, best = INFINITY;
    for (int64_t i = 0; i < n; i++) {
        at[i] = i;
        u[i] = (float)drawn(state);
    }
    evaluate(c, o, 0, NULL);
    dcv_walk_poison(c->walk);
    for (int i = 0; i < g->n_in; i++) {
        if (g->value[g->in[i]].type != DCV_F32 || !feeds(g, g->in[i], value))
            continue;
        const dcv_seed seed = {0, n, at, u};
        float *map = c->moved[i];
        dcv_walk_backward(c->walk, dcv_rule_find("gradient"), value, &seed, 1, g->in[i], &map);
        for (int64_t k = 0; k < dcv_count(&g->value[g->in[i]].dims); k++)
            back += (double)map[k] * c->v[i][k];
        for (int r = 0; dcv_rule_at(r); r++) {
            bool all = true;
            dcv_walk_poison(c->walk);
            dcv_walk_backward(c->walk, dcv_rule_at(r), value, &seed, 1, g->in[i], &map);
            for (int64_t k = 0; k < dcv_count(&g->value[g->in[i]].dims); k++)
                all = all && isfinite(map[k]);
            CHECK(all);
            if (!all)
                fprintf(stderr, "^ %s under %s reads what it must not\n", g->value[value].name, dcv_rule_at(r)->name);
        }
    }
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        double forward = 0, size = 0;
        evaluate(c, o, steps[s], a);
        evaluate(c, o, -steps[s], b);
        for (int64_t i = 0; i < n; i++) {
            const double d = ((double)a[i] - b[i]) / (2 * steps[s]);
            forward += d * u[i];
            size += d * d;
        }
        const double err = fabs(forward - back) / (sqrt(size) + 1e-3);
        best = err < best ? err : best;
    }
    CHECK(best <= 5e-3);
    if (!(best <= 5e-3))
        fprintf(stderr, "^ %s: %.1e\n", g->value[value].name, best);
    dcv_free(u);
    dcv_free(a);
    dcv_free(b);
    dcv_free(at);
}

/* The winners of a window of a plane x: the first maximum in row-major order, and the last. */
static void winners(const float *x, const dcv_dims *d, const dcv_window *win, int64_t r, int64_t c, int64_t won[2])
{
    won[0] = won[1] = -1;
    for (int64_t i = 0; i < win[0].kernel; i++)
        for (int64_t j = 0; j < win[1].kernel; j++) {
            const int64_t y = r + i * win[0].dilation, k = c + j * win[1].dilation, at = y * d->d[3] + k;
            if (y < 0 || y >= d->d[2] || k < 0 || k >= d->d[3])
                continue;
            won[0] = won[0] < 0 || x[at] > x[won[0]] ? at : won[0];
            won[1] = won[1] < 0 || x[at] >= x[won[1]] ? at : won[1];
        }
}

/* Ties everywhere: windows of zeros alone, then zeros with ones here and there, which several windows share and so add
 * to.  The first maximum wins; the last one would give another map. */
static void check_ties(cases *c)
{
    const dcv_graph *g = c->graph;
    const int y = dcv_graph_find(g, "max_ties");
    if (y < 0)
        return;
    const dcv_node *nd = &g->node[g->value[y].producer];
    const dcv_dims *dx = &g->value[nd->in[0]].dims, *dy = &g->value[y].dims;
    const int64_t ny = dcv_count(dy), nx = dcv_count(dx), plane = dx->d[2] * dx->d[3];
    dcv_window win[DCV_MAX_SPACE];
    int n_space, in = 0;
    dcv_conv_windows(g, nd, win, &n_space);
    while (g->in[in] != nd->in[0])
        in++;
    float *u = dcv_alloc((size_t)ny, sizeof *u), *map = dcv_alloc((size_t)nx, sizeof *map);
    double *want = dcv_alloc((size_t)nx, sizeof *want), *last = dcv_alloc((size_t)nx, sizeof *last);
    int64_t *at = dcv_alloc((size_t)ny, sizeof *at);
    for (int ones = 0; ones < 2; ones++) {
        int shared = 0;
        for (int64_t i = 0; i < nx; i++) {
            c->x[in][i] = ones && i % 5 == 2 ? 1 : 0;
            want[i] = last[i] = 0;
        }
        for (int64_t i = 0; i < ny; i++) {
            const int64_t first = i / dy->d[3] / dy->d[2] * plane;
            int64_t won[2];
            winners(c->x[in] + first, dx, win, i / dy->d[3] % dy->d[2] * win[0].stride - win[0].pad_lo,
                    i % dy->d[3] * win[1].stride - win[1].pad_lo, won);
            at[i] = i;
            u[i] = (float)(i % 7 + 1);
            shared += want[first + won[0]] != 0;
            want[first + won[0]] += (double)u[i];
            last[first + won[1]] += (double)u[i];
        }
        CHECK(shared > 0 || !ones || win[0].kernel <= win[0].stride);
        evaluate(c, 0, 0, NULL);
        const dcv_seed seed = {0, ny, at, u};
        for (int r = 0; dcv_rule_at(r); r++) { /* unpooling is no matter of the rule */
            dcv_walk_backward(c->walk, dcv_rule_at(r), y, &seed, 1, nd->in[0], &map);
            CHECK(check_rel_l2(map, want, (size_t)nx) == 0);
            CHECK(check_rel_l2(map, last, (size_t)nx) > 0.1);
        }
    }
    dcv_free(last);
    dcv_free(u);
    dcv_free(want);
    dcv_free(map);
    dcv_free(at);
}

static void check_operators(const char *file, dcv_backend_kind backend)
{
    char path[4096];
    cases c = {0};
    unsigned state = 1123;
    snprintf(path, sizeof path, "%s/tests/golden/ops/%s.golden", DCV_SOURCE_DIR, file);
    CHECK(golden_read(path, &c.gold));
    snprintf(path, sizeof path, "%s/tests/golden/ops/%s.onnx", DCV_SOURCE_DIR, file);
    CHECK_OK(dcv_model_open(path, &c.model));
    dcv_dims *dims = dcv_alloc((size_t)c.model->n_in, sizeof *dims);
    for (int i = 0; i < c.model->n_in; i++)
        dims[i] = golden_find(&c.gold, c.model->in[i].name)->dims;
    CHECK_OK(dcv_graph_new(c.model, dims, c.model->n_in, &c.graph));
    dcv_free(dims);
    const dcv_graph *g = c.graph;
    int *back = dcv_alloc((size_t)g->n_out, sizeof *back), n_back = 0, checked = 0;
    for (int o = 0; o < g->n_out; o++)
        if (g->value[g->out[o]].batched && g->value[g->out[o]].type == DCV_F32 && g->value[g->out[o]].producer >= 0 &&
            has_way(g, g->out[o]))
            back[n_back++] = g->out[o];
    const dcv_engine_options opt = {.precision = DCV_STRICT, .backend = backend, .back = back, .n_back = n_back};
    CHECK_OK(dcv_engine_new(g, &opt, &c.engine));
    if (!c.engine)
        return;
    CHECK_OK(dcv_engine_pack_own(c.engine));
    CHECK_OK(dcv_walk_new(c.engine, &c.walk));
    c.x = dcv_alloc((size_t)g->n_in, sizeof(float *));
    c.v = dcv_alloc((size_t)g->n_in, sizeof(float *));
    c.moved = dcv_alloc((size_t)g->n_in, sizeof(float *));
    for (int i = 0; i < g->n_in; i++) {
        const golden *t = golden_find(&c.gold, g->value[g->in[i]].name);
        const int64_t n = dcv_count(&t->dims);
        c.x[i] = dcv_alloc((size_t)n, sizeof(float));
        c.v[i] = dcv_alloc((size_t)n, sizeof(float));
        c.moved[i] = dcv_alloc((size_t)n, sizeof(float));
        for (int64_t k = 0; k < n; k++) {
            c.x[i][k] = isfinite(t->v[k]) ? (float)t->v[k] : 0;
            c.x[i][k] += fabs((double)c.x[i][k]) < 0.02 ? 0.05F : 0; /* no kink within a step */
            c.v[i][k] = (float)drawn(&state);
        }
    }
    for (int o = 0, i = 0; o < g->n_out; o++)
        if (i < n_back && back[i] == g->out[o]) {
            const char *name = g->value[g->out[o]].name;
            if (strncmp(name, "max_ties", 8) && strcmp(name, "max_index") && strcmp(name, "max_nan") &&
                strcmp(name, "top_ties")) /* a kink at every cell */
                check_output(&c, o, &state);
            checked++;
            i++;
        }
    check_ties(&c);
    fprintf(stderr, "%s: %d of %d outputs have a walk back\n", file, checked, g->n_out);
    for (int i = 0; i < g->n_in; i++) {
        dcv_free(c.x[i]);
        dcv_free(c.v[i]);
        dcv_free(c.moved[i]);
    }
    dcv_free(c.x);
    dcv_free(c.v);
    dcv_free(c.moved);
    dcv_free(back);
    golden_free(&c.gold);
    dcv_walk_free(c.walk);
    dcv_engine_free(c.engine);
    dcv_graph_free(c.graph);
    dcv_model_free(c.model);
}

int main(void)
{
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        net n;
        open_graph(nets[i], &n);
        for (int b = 0; b <= DCV_BACKEND_ONEDNN; b++) {
#ifndef DCV_HAVE_ONEDNN
            if (b == DCV_BACKEND_ONEDNN)
                continue;
#endif
            for (int p = DCV_FAST; p <= DCV_STRICT; p++) {
                if (open_engine(&n, (dcv_backend_kind)b, (dcv_precision)p)) {
                    check_maps(&n, nets[i], (dcv_backend_kind)b, (dcv_precision)p);
                    if (p == DCV_FAST)
                        check_group(&n);
                }
                close_engine(&n);
            }
        }
        close_graph(&n);
    }
    static const char *const files[] = {"ops8",  "ops9",        "ops13",        "ops18",       "ops19",
                                        "ops20", "transposed9", "transposed11", "transposed22"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        check_operators(files[i], DCV_BACKEND_BLAS);
#ifdef DCV_HAVE_ONEDNN
        check_operators(files[i], DCV_BACKEND_ONEDNN);
#endif
    }
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
