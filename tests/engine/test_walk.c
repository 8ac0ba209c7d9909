/* test_walk.c -- the forward walk of the small networks against float64 PyTorch, on every back end, in both precisions;
 * what the observer sees; and that neither neighbours, their number nor old memory change a bit. */
#include <pthread.h>
#include "check.h"
#include "deconvoy/engine.h"
#include "engine/net_golden.h"
#include "engine/plan.h"

static const char *const nets[] = {"alexnet",       "zfnet",    "vgg16",    "googlenet",    "inception_v3",
                                   "squeezenet1_1", "resnet18", "resnet50", "densenet121",  "mobilenet_v2",
                                   "segnet",        "unet",     "superres", "efficientnet", "mobilenet_v3",
                                   "convnext",      "vit"};

typedef struct net {
    const char *name;
    dcv_model *model;
    dcv_graph *graph;
    golden_file gold;
    int64_t in, out; /* floats */
    float *picture;  /* [2][in] */
    int n_seen, *seen;
} net;

/* What the observer collects: the worst errors against the references. */
typedef struct watch {
    const net *n;
    double worst;
    int shown, wrong_index;
    bool strict;
} watch;

static void open_net(const char *name, net *n)
{
    char path[4096];
    *n = (net){.name = name};
    snprintf(path, sizeof path, "%s/tests/golden/models/%s.onnx", DCV_SOURCE_DIR, name);
    CHECK_OK(dcv_model_open(path, &n->model));
    snprintf(path, sizeof path, "%s/tests/golden/models/%s.golden", DCV_SOURCE_DIR, name);
    CHECK(golden_read(path, &n->gold));
    const golden *image = golden_find(&n->gold, "image");
    CHECK(image && image->dims.d[0] == 2);
    dcv_dims d = image->dims;
    d.d[0] = 1;
    CHECK_OK(dcv_graph_new(n->model, &d, 1, &n->graph));
    n->in = dcv_count(&d);
    n->out = dcv_count(&n->graph->value[n->graph->out[0]].dims);
    n->picture = dcv_alloc((size_t)(2 * n->in), sizeof *n->picture);
    for (int64_t i = 0; i < 2 * n->in; i++)
        n->picture[i] = (float)image->v[i];
    n->seen = dcv_alloc((size_t)n->graph->n_value, sizeof *n->seen);
    for (int v = 0; v < n->graph->n_value; v++) {
        char stats[300];
        snprintf(stats, sizeof stats, "%s#stats", n->graph->value[v].name);
        if (golden_find(&n->gold, stats))
            n->seen[n->n_seen++] = v;
    }
}

static void close_net(net *n)
{
    dcv_free(n->seen);
    dcv_free(n->picture);
    golden_free(&n->gold);
    dcv_graph_free(n->graph);
    dcv_model_free(n->model);
}

static double wider(double worst, double err)
{
    return !(err <= worst) ? err : worst;
}

/* L2 norm, sum, largest value, its index, sum weighted by place. */
static void see(void *ctx, int picture, int value, const dcv_blob *b)
{
    watch *w = ctx;
    char stats[300];
    const char *name = w->n->graph->value[value].name;
    snprintf(stats, sizeof stats, "%s#stats", name);
    const golden *s = golden_find(&w->n->gold, stats), *all = golden_find(&w->n->gold, name);
    const int64_t n = dcv_count(b->dims);
    CHECK(s && b->n == 1);
    if (!s)
        return;
    float *x = dcv_alloc((size_t)n, sizeof *x);
    dcv_blob_read(b, x);
    double l2 = 0, sum = 0, weighted = 0, l1 = 0;
    int64_t best = 0;
    for (int64_t i = 0; i < n; i++) {
        l2 += (double)x[i] * x[i];
        l1 += fabs((double)x[i]);
        sum += x[i];
        weighted += x[i] * (double)(i % 251 + 1) / 251;
        best = x[i] > x[best] ? i : best;
    }
    const double *want = s->v + 5 * picture, scale = want[0] > 0 ? want[0] : 1, mass = l1 > 0 ? l1 : 1;
    w->worst = wider(w->worst, fabs(sqrt(l2) - want[0]) / scale);
    w->worst = wider(w->worst, fabs(sum - want[1]) / mass);
    w->worst = wider(w->worst, fabs(x[best] - want[2]) / scale);
    w->worst = wider(w->worst, fabs(weighted - want[4]) / mass);
    if (w->strict && want[3] >= 0 && best != (int64_t)want[3])
        w->wrong_index++;
    if (all)
        w->worst = wider(w->worst, check_rel_l2(x, all->v + picture * n, (size_t)n));
    w->shown++;
    dcv_free(x);
}

static void walk(dcv_walk *w, const net *n, int pictures, const int *which, dcv_observe_fn fn, void *ctx)
{
    const float *group[DCV_GROUP];
    for (int p = 0; p < pictures; p++)
        group[p] = n->picture + which[p] * n->in;
    const float *const *input[1] = {group};
    dcv_walk_forward(w, pictures, input, fn, ctx);
}

static void check_outputs(dcv_walk *w, const net *n, dcv_precision p, dcv_backend_kind b)
{
    static const int two[] = {0, 1};
    const golden *logits = golden_find(&n->gold, "logits");
    watch seen = {.n = n, .strict = p == DCV_STRICT};
    float *y = dcv_alloc((size_t)n->out, sizeof *y);
    double err = 0;
    walk(w, n, 2, two, see, &seen);
    for (int i = 0; i < 2; i++) {
        dcv_walk_output(w, 0, i, y);
        err = wider(err, check_rel_l2(y, logits->v + i * n->out, (size_t)n->out));
    }
    fprintf(stderr, "%-14s %-28s %-6s logits %.1e  activations %.1e\n", n->name, dcv_backend_numerics(b),
            p == DCV_FAST ? "fast" : "strict", err, seen.worst);
    CHECK(err <= (p == DCV_FAST ? 1e-3 : 1e-5));
    CHECK(seen.worst <= (p == DCV_FAST ? 1e-3 : 1e-5));
    CHECK(seen.shown == 2 * n->n_seen && n->n_seen > 0);
    CHECK(seen.wrong_index == 0);
    dcv_free(y);
}

/* Alone, in a full group, beside others, in poisoned memory: the same bytes. */
static void check_bits(dcv_walk *w, const net *n)
{
    static const int group[] = {0, 1, 1, 0, 1, 0, 0, 1};
    const size_t bytes = (size_t)n->out * sizeof(float);
    float *want = dcv_alloc(2, bytes), *y = dcv_alloc(1, bytes);
    for (int p = 0; p < 2; p++) {
        walk(w, n, 1, &p, NULL, NULL);
        dcv_walk_output(w, 0, 0, want + p * n->out);
    }
    for (int count = 1; count <= DCV_GROUP; count += count == 1 ? 2 : 5) {
        dcv_walk_poison(w);
        walk(w, n, count, group, NULL, NULL);
        for (int p = 0; p < count; p++) {
            dcv_walk_output(w, 0, p, y);
            CHECK(!memcmp(y, want + group[p] * n->out, bytes));
        }
    }
    dcv_free(want);
    dcv_free(y);
}

/* observed: the engine must show the activations, so that less is fused. */
static void check_engine(const net *n, dcv_backend_kind b, dcv_precision p, bool observed)
{
    const dcv_engine_options o = {.precision = p, .backend = b, .seen = n->seen, .n_seen = observed ? n->n_seen : 0};
    dcv_engine *e = NULL;
    dcv_walk *w = NULL;
    CHECK_OK(dcv_engine_new(n->graph, &o, &e));
    if (!e)
        return;
    CHECK_OK(dcv_engine_pack_own(e));
    CHECK_OK(dcv_walk_new(e, &w));
    if (observed)
        check_outputs(w, n, p, b);
    else
        check_bits(w, n);
    dcv_walk_free(w);
    dcv_engine_free(e);
}

static void forward_one(dcv_engine *e, const float *x, float *y)
{
    const float *const group[1] = {x};
    const float *const *const input[1] = {group};
    dcv_walk *w = NULL;
    CHECK_OK(dcv_walk_new(e, &w));
    if (w) {
        dcv_walk_forward(w, 1, input, NULL, NULL);
        dcv_walk_output(w, 0, 0, y);
    }
    dcv_walk_free(w);
}

/* An engine for another input shape borrows packed weights and computes the same bytes as one with its own. */
static void check_share(dcv_backend_kind b, dcv_precision p)
{
    net n;
    open_net("resnet18", &n);
    const dcv_dims big = {4, {1, 3, 96, 80}};
    dcv_graph *g = NULL;
    dcv_engine *lender = NULL, *own = NULL, *borrower = NULL;
    dcv_engine_options o = {.precision = p, .backend = b};
    n.model->in[0].dim[2] = n.model->in[0].dim[3] = -1; /* as if the file left them open */
    CHECK_OK(dcv_graph_new(n.model, &big, 1, &g));
    CHECK_OK(dcv_engine_new(n.graph, &o, &lender));
    if (!g || !lender)
        return;
    CHECK_OK(dcv_engine_pack_own(lender));
    CHECK_OK(dcv_engine_new(g, &o, &own));
    o.share = lender;
    CHECK_OK(dcv_engine_new(g, &o, &borrower));
    CHECK_OK(dcv_engine_pack_own(own));
    CHECK_OK(dcv_engine_pack_own(borrower));
    CHECK(dcv_engine_packed_bytes(borrower) < dcv_engine_packed_bytes(own) / 2);
    float *x = dcv_alloc((size_t)dcv_count(&big), sizeof *x), y[2][10];
    for (int64_t i = 0; i < dcv_count(&big); i++)
        x[i] = (float)(i * 7919 % 256) / 256 - 0.5f;
    forward_one(own, x, y[0]);
    forward_one(borrower, x, y[1]);
    CHECK(!memcmp(y[0], y[1], sizeof y[0]));
    dcv_free(x);
    dcv_engine_free(borrower);
    dcv_engine_free(own);
    dcv_engine_free(lender);
    dcv_graph_free(g);
    close_net(&n);
}

typedef struct lane {
    const net *n;
    dcv_engine *engine;
    float y[10];
    bool same; /* every walk gave the same bytes */
} lane;

static void *walk_often(void *ctx)
{
    lane *l = ctx;
    l->same = true;
    for (int i = 0; i < 20; i++) {
        float y[10];
        forward_one(l->engine, l->n->picture, y);
        l->same = l->same && (!i || !memcmp(y, l->y, sizeof y));
        memcpy(l->y, y, sizeof y);
    }
    return NULL;
}

/* Threads share an engine, each with its own walk. */
static void check_threads(dcv_backend_kind b)
{
    net n;
    open_net("googlenet", &n);
    const dcv_engine_options o = {.precision = DCV_FAST, .backend = b};
    dcv_engine *e = NULL;
    lane l[2] = {{0}};
    pthread_t thread;
    CHECK_OK(dcv_engine_new(n.graph, &o, &e));
    if (!e)
        return;
    CHECK_OK(dcv_engine_pack_own(e));
    for (int i = 0; i < 2; i++)
        l[i] = (lane){.n = &n, .engine = e};
    const bool two = !pthread_create(&thread, NULL, walk_often, &l[1]);
    walk_often(&l[0]);
    if (two)
        pthread_join(thread, NULL);
    CHECK(two && l[0].same && l[1].same && !memcmp(l[0].y, l[1].y, sizeof l[0].y));
    dcv_engine_free(e);
    close_net(&n);
}

int main(void)
{
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        net n;
        open_net(nets[i], &n);
        for (int b = 0; b <= DCV_BACKEND_ONEDNN && n.graph; b++) {
#ifndef DCV_HAVE_ONEDNN
            if (b == DCV_BACKEND_ONEDNN)
                continue;
#endif
            for (int k = 0; k < 4; k++)
                check_engine(&n, (dcv_backend_kind)b, k & 1 ? DCV_STRICT : DCV_FAST, k & 2);
        }
        close_net(&n);
    }
    check_share(DCV_BACKEND_BLAS, DCV_STRICT);
    check_threads(DCV_BACKEND_BLAS);
#ifdef DCV_HAVE_ONEDNN
    check_share(DCV_BACKEND_ONEDNN, DCV_STRICT);
    check_share(DCV_BACKEND_ONEDNN, DCV_FAST);
    check_threads(DCV_BACKEND_ONEDNN);
#endif
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
