/* back_walk.c -- signals walked back, node by node. */
#include "engine/back.h"

#include <math.h>
#include <string.h>
#include "engine/adjoint_dense.h"
#include "engine/pages.h"

enum { ALIGN_BYTES = 64 };

struct dcv_back_walk {
    const dcv_engine *e;
    const dcv_back *b;
    char *kept;    /* [DCV_GROUP][kept_bytes] */
    float *signal; /* arena */
    char *scratch;
    size_t scratch_at;
    dcv_conv_call **call; /* [n_node] */
    bool *live, *reach;   /* [n_value] the signal comes here; from here it reaches where it is wanted */
    bool *written;        /* [n_value][DCV_GROUP] */
    dcv_blob *blob;       /* [4][max_ends]: x, y, gx, gy */
    /* Of the walk under way: */
    const dcv_rule *rule;
    dcv_back_fn whole;
    int from, to, n;
    const dcv_seed *seed;
    float *const *out;
    dcv_back_mask_fn mask; /* NULL: none */
    void *mask_ctx;
};

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

size_t dcv_back_walk_bytes(const dcv_engine *e)
{
    const dcv_back *b = e->back_plan;
    return b ? DCV_GROUP * b->kept_bytes + (size_t)b->signal_floats * sizeof(float) + b->scratch_bytes : 0;
}

void dcv_back_walk_free(dcv_back_walk *w)
{
    if (!w)
        return;
    for (int n = 0; w->call && n < w->e->g->n_node; n++)
        if (w->call[n])
            w->b->node[n].adjoint->back->call_free(w->call[n]);
    dcv_free(w->call);
    dcv_free(w->kept);
    dcv_free(w->signal);
    dcv_free(w->scratch);
    dcv_free(w->live);
    dcv_free(w->blob);
    dcv_free(w);
}

static dcv_status fill(dcv_back_walk *w)
{
    const dcv_engine *e = w->e;
    const dcv_back *b = w->b;
    const size_t nv = (size_t)e->g->n_value;
    w->kept = dcv_alloc(DCV_GROUP, b->kept_bytes);
    w->signal = dcv_alloc((size_t)b->signal_floats, sizeof *w->signal);
    w->scratch = dcv_alloc(b->scratch_bytes, 1);
    w->call = dcv_alloc((size_t)e->g->n_node, sizeof(dcv_conv_call *));
    w->live = dcv_alloc(nv * (2 + DCV_GROUP), sizeof *w->live);
    w->blob = dcv_alloc((size_t)b->max_ends * 4, sizeof *w->blob);
    if (!w->kept || !w->signal || !w->scratch || !w->call || !w->live || !w->blob)
        return DCV_ENOMEM;
    w->reach = w->live + nv;
    w->written = w->reach + nv;
    dcv_pages_huge(w->signal, (size_t)b->signal_floats * sizeof *w->signal);
    for (int n = 0; n < e->g->n_node; n++)
        if (b->node[n].adjoint && b->node[n].adjoint->conv)
            DCV_TRY(b->node[n].adjoint->back->call_new(b->node[n].adjoint->conv, &w->call[n]));
    return DCV_OK;
}

dcv_status dcv_back_walk_new(const dcv_engine *e, dcv_back_walk **out)
{
    *out = NULL;
    if (!e->back_plan)
        return DCV_OK;
    dcv_back_walk *w = *out = dcv_alloc(1, sizeof *w);
    if (!w)
        return DCV_ENOMEM;
    w->e = e;
    w->b = e->back_plan;
    const dcv_status st = fill(w);
    if (st != DCV_OK) {
        dcv_back_walk_free(w);
        *out = NULL;
    }
    return st;
}

void dcv_back_walk_poison(dcv_back_walk *w, bool kept)
{
    if (!w)
        return;
    for (int64_t i = 0; i < w->b->signal_floats; i++)
        w->signal[i] = NAN;
    memset(w->scratch, 0xff, w->b->scratch_bytes);
    if (kept)
        memset(w->kept, 0xff, DCV_GROUP * w->b->kept_bytes);
}

/* ---- keeping ---- */

static char *kept_at(const dcv_back_walk *w, int p, int64_t at)
{
    return w->kept + (size_t)p * w->b->kept_bytes + at;
}

char *dcv_back_kept(const dcv_back_walk *w, int p, int64_t at)
{
    return kept_at(w, p, at);
}

void dcv_back_walk_mask(dcv_back_walk *w, dcv_back_mask_fn mask, void *ctx)
{
    w->mask = mask;
    w->mask_ctx = ctx;
}

static void keep_value(dcv_back_walk *w, const dcv_blob *x, int v, int p)
{
    const dcv_back_value *q = &w->b->value[v];
    if (q->held >= 0) {
        const dcv_blob to = {(float *)kept_at(w, p, q->held), x->dims, 1, q->block, 0};
        dcv_blob_copy(x, &to);
    }
}

static void keep_node(dcv_back_walk *w, const dcv_walk *walk, const dcv_step *s, int n, int p)
{
    const dcv_back_node *q = &w->b->node[n];
    const dcv_node *nd = &w->e->g->node[n];
    if (q->saved < 0)
        return;
    const bool own = s->kind == DCV_STEP_OP;
    for (int k = 0; k < nd->n_in; k++)
        w->blob[k] = dcv_walk_spot(walk, own ? s->x[k] : -1, p);
    dcv_blob *y = w->blob + nd->n_in;
    for (int j = 0; j < nd->n_out; j++)
        y[j] = dcv_walk_spot(walk, j < s->n_y ? s->y[j] : -1, p);
    const dcv_io io = {.x = w->blob, .y = y};
    nd->op->save(w->e->g, nd, &io, kept_at(w, p, q->saved));
}

void dcv_back_keep(dcv_back_walk *w, const dcv_walk *walk, int step, int p)
{
    const dcv_engine *e = w->e;
    for (int i = 0; step < 0 && i < e->g->n_in; i++) {
        const dcv_blob x = dcv_walk_spot(walk, e->home[e->g->in[i]], p);
        keep_value(w, &x, e->g->in[i], p);
    }
    if (step < 0 || e->step[step].kind == DCV_STEP_COPY)
        return;
    const dcv_step *s = &e->step[step];
    for (int j = 0; j < s->n_y; j++)
        if (s->y[j] >= 0) {
            const dcv_blob y = dcv_walk_spot(walk, s->y[j], p);
            keep_value(w, &y, e->spot[s->y[j]].value, p);
        }
    const int act = e->chain[s->node].act;
    keep_node(w, walk, s, act >= 0 ? act : s->node, p);
}

/* ---- blobs ---- */

static float *scratch(dcv_back_walk *w, int64_t floats)
{
    float *p = (float *)(w->scratch + w->scratch_at);
    w->scratch_at += aligned((size_t)floats * sizeof *p);
    DCV_CHECK(w->scratch_at <= w->b->scratch_bytes);
    return p;
}

static const dcv_dims *dims_of(const dcv_back_walk *w, int v)
{
    return &w->e->g->value[v].dims;
}

static dcv_blob signal_at(const dcv_back_walk *w, int v, int s)
{
    const dcv_back_value *q = &w->b->value[v];
    return (dcv_blob){w->signal + q->offset + (q->wide ? s * q->stride : 0), dims_of(w, v), 1, q->block, 0};
}

static bool moves(const dcv_back_walk *w, int v, int block)
{
    return dims_of(w, v)->n >= 3 && w->b->value[v].block != block;
}

/* Room for value v in a layout. */
static dcv_blob spare(dcv_back_walk *w, int v, int block)
{
    const int b = dims_of(w, v)->n >= 3 ? block : 1;
    return (dcv_blob){scratch(w, dcv_blob_shape_of(dims_of(w, v), b).floats), dims_of(w, v), 1, b, 0};
}

static dcv_blob in_layout(dcv_back_walk *w, dcv_blob x, int v, int block)
{
    if (!moves(w, v, block))
        return x;
    const dcv_blob y = spare(w, v, block);
    dcv_blob_copy(&x, &y);
    return y;
}

/* What the walk forward left of a value: constants, and what is kept of it. */
static dcv_blob read_value(dcv_back_walk *w, int v, int p, int block, bool wanted)
{
    dcv_blob x = {.n = 1, .block = 1};
    if (v < 0)
        return x;
    x.dims = dims_of(w, v);
    const dcv_value *g = &w->e->g->value[v];
    union {
        const void *in;
        float *out;
    } u = {.in = g->constant}; /* operators do not write to x */
    if (!g->batched)
        x.data = u.out;
    else if (wanted && w->b->value[v].held >= 0) {
        x.block = w->b->value[v].block;
        x.data = (float *)kept_at(w, p, w->b->value[v].held);
        x = in_layout(w, x, v, block);
    }
    return x;
}

static bool *written(dcv_back_walk *w, int v, int s)
{
    return &w->written[(size_t)v * DCV_GROUP + (size_t)s];
}

/* Where a node may put the signal of v: its place, or beside it where something has come already. */
static dcv_blob target(dcv_back_walk *w, int v, int s, int block)
{
    return *written(w, v, s) || moves(w, v, block) ? spare(w, v, block) : signal_at(w, v, s);
}

static void arrive(dcv_back_walk *w, int v, int s, dcv_blob x)
{
    const dcv_blob to = signal_at(w, v, s);
    if (x.data != to.data && !*written(w, v, s)) {
        dcv_blob_copy(&x, &to);
    } else if (x.data != to.data) {
        if (x.block != to.block && to.dims->n >= 3) {
            const dcv_blob same = spare(w, v, to.block);
            dcv_blob_copy(&x, &same);
            x = same;
        }
        const int64_t n = dcv_blob_shape_of(to.dims, to.block).floats;
        for (int64_t i = 0; i < n; i++)
            to.data[i] += x.data[i];
    }
    *written(w, v, s) = true;
    if (w->mask)
        w->mask(w->mask_ctx, s, v, &to);
}

/* ---- nodes ---- */

static bool wants(const dcv_back_walk *w, int v)
{
    return v >= 0 && w->b->value[v].on && w->live[v] && w->reach[v];
}

static bool comes(dcv_back_walk *w, int v, int s)
{
    return v >= 0 && w->b->value[v].on && w->live[v] && *written(w, v, s);
}

static bool is_whole(const dcv_back_walk *w, int n)
{
    return w->whole && w->b->node[n].whole >= 0;
}

static void run_whole(dcv_back_walk *w, int n, int s)
{
    const dcv_back_node *q = &w->b->node[n];
    const dcv_node *nd = &w->e->g->node[n];
    const int v = q->whole;
    if (!wants(w, v))
        return;
    dcv_blob gate = read_value(w, q->gate >= 0 ? nd->in[q->gate] : -1, w->seed[s].picture, q->x_block, true);
    dcv_blob gy = in_layout(w, signal_at(w, nd->out[0], s), nd->out[0], q->y_block), gx = target(w, v, s, q->x_block);
    const dcv_back_io io = {.x = &gate, .gy = &gy, .gx = &gx};
    w->whole(w->e->g, nd, &io);
    arrive(w, v, s, gx);
}

/* A convolution's, which may be those of the walk forward. */
static const void *weights_of(const dcv_back_walk *w, int n)
{
    const dcv_engine *e = w->e;
    const dcv_step *forward = &e->step[e->step_of[n]];
    return w->b->node[n].adjoint->shared ? forward->owner->packed + forward->packed : e->packed + w->b->node[n].packed;
}

static void run_conv(dcv_back_walk *w, int n, int s)
{
    const dcv_back_node *q = &w->b->node[n];
    const dcv_node *nd = &w->e->g->node[n];
    if (!wants(w, nd->in[0]))
        return;
    const dcv_blob gy = in_layout(w, signal_at(w, nd->out[0], s), nd->out[0], q->y_block);
    const bool add = q->adjoint->adds && *written(w, nd->in[0], s) && !moves(w, nd->in[0], q->x_block);
    const dcv_blob gx = add ? signal_at(w, nd->in[0], s) : target(w, nd->in[0], s, q->x_block);
    dcv_adjoint_run(q->adjoint, w->call[n], gy.data, weights_of(w, n), add, gx.data, w->scratch + w->scratch_at);
    arrive(w, nd->in[0], s, gx);
}

static void run_op(dcv_back_walk *w, int n, int s)
{
    const dcv_back_node *q = &w->b->node[n];
    const dcv_node *nd = &w->e->g->node[n];
    dcv_blob *x = w->blob, *y = x + w->b->max_ends, *gx = y + w->b->max_ends, *gy = gx + w->b->max_ends;
    const int p = w->seed[s].picture;
    bool any = false;
    for (int k = 0; k < nd->n_in; k++) {
        x[k] = read_value(w, nd->in[k], p, q->x_block, nd->op->back_reads & DCV_BACK_X);
        gx[k] = (dcv_blob){.n = 1, .block = 1};
        any = any || wants(w, nd->in[k]);
    }
    for (int j = 0; j < nd->n_out; j++) {
        y[j] = read_value(w, nd->out[j], p, q->y_block, nd->op->back_reads & DCV_BACK_Y);
        gy[j] = (dcv_blob){.n = 1, .block = 1};
        if (comes(w, nd->out[j], s))
            gy[j] = in_layout(w, signal_at(w, nd->out[j], s), nd->out[j], q->y_block);
    }
    if (!any)
        return;
    for (int k = 0; k < nd->n_in; k++)
        if (wants(w, nd->in[k])) {
            bool again = false; /* x * x: each has its own place */
            for (int i = 0; i < k; i++)
                again = again || nd->in[i] == nd->in[k];
            gx[k] = again ? spare(w, nd->in[k], q->x_block) : target(w, nd->in[k], s, q->x_block);
        }
    const dcv_back_io io = {.x = x,
                            .y = y,
                            .saved = q->saved >= 0 ? kept_at(w, p, q->saved) : NULL,
                            .gy = gy,
                            .gx = gx,
                            .scratch = w->scratch + w->scratch_at};
    if (q->pass) {
        const int64_t floats = dcv_blob_shape_of(gy[0].dims, gy[0].block).floats;
        if (gx[0].data != gy[0].data)
            memcpy(gx[0].data, gy[0].data, (size_t)floats * sizeof(float));
    } else {
        dcv_rule_of(w->rule, nd->op)(w->e->g, nd, &io);
    }
    for (int k = 0; k < nd->n_in; k++)
        if (gx[k].data)
            arrive(w, nd->in[k], s, gx[k]);
}

static void run_dense(dcv_back_walk *w, int n)
{
    const dcv_back_node *q = &w->b->node[n];
    const dcv_node *nd = &w->e->g->node[n];
    const float *gy[DCV_GROUP];
    float *gx[DCV_GROUP];
    dcv_blob to[DCV_GROUP];
    if (!wants(w, nd->in[0]))
        return;
    for (int s = 0; s < w->n; s++) {
        gy[s] = in_layout(w, signal_at(w, nd->out[0], s), nd->out[0], 1).data;
        to[s] = target(w, nd->in[0], s, 1);
        gx[s] = to[s].data;
    }
    const char *packed = w->e->packed;
    const dcv_step *forward = &w->e->step[w->e->step_of[n]];
    if (q->shared)
        dcv_adjoint_dense_run(&q->dense, (const float *)(forward->owner->packed + forward->packed), w->n, gy, gx,
                              w->scratch + w->scratch_at);
    else
        dcv_dense_run(&q->dense, (const float *)(packed + q->packed), (const float *)(packed + q->bias), w->n, gy, gx,
                      w->scratch + w->scratch_at);
    for (int s = 0; s < w->n; s++)
        arrive(w, nd->in[0], s, to[s]);
}

static void run_node(dcv_back_walk *w, int n, int s)
{
    const dcv_node *nd = &w->e->g->node[n];
    bool any = false;
    for (int j = 0; j < nd->n_out; j++)
        any = any || comes(w, nd->out[j], s);
    if (!any)
        return;
    w->scratch_at = 0;
    if (is_whole(w, n))
        run_whole(w, n, s);
    else if (w->b->node[n].adjoint)
        run_conv(w, n, s);
    else
        run_op(w, n, s);
}

/* ---- the walk ---- */

/* Where the signal goes, and which of that leads to where it is wanted. */
static void find_ways(dcv_back_walk *w)
{
    const dcv_graph *g = w->e->g;
    const size_t nv = (size_t)g->n_value;
    memset(w->live, 0, nv * (2 + DCV_GROUP) * sizeof *w->live);
    w->live[w->from] = w->reach[w->to] = true;
    for (int i = 0; i < w->b->n_order; i++) {
        const dcv_node *nd = &g->node[w->b->order[i]];
        bool any = false;
        for (int j = 0; j < nd->n_out; j++)
            any = any || (nd->out[j] >= 0 && w->live[nd->out[j]]);
        if (any && is_whole(w, w->b->order[i]))
            w->live[w->b->node[w->b->order[i]].whole] = true;
        else
            for (int k = 0; any && k < nd->n_in; k++)
                if (nd->in[k] >= 0 && w->b->value[nd->in[k]].on)
                    w->live[nd->in[k]] = true;
    }
    for (int n = 0; n < g->n_node; n++) {
        const dcv_node *nd = &g->node[n];
        bool any = false;
        for (int k = 0; k < nd->n_in; k++)
            any = any || (nd->in[k] >= 0 && w->reach[nd->in[k]]);
        for (int j = 0; any && j < nd->n_out; j++)
            if (nd->out[j] >= 0)
                w->reach[nd->out[j]] = true;
    }
}

static void plant(dcv_back_walk *w, int s)
{
    const dcv_blob to = signal_at(w, w->from, s);
    const dcv_blob_shape f = dcv_blob_shape_of(to.dims, to.block);
    memset(to.data, 0, (size_t)f.floats * sizeof *to.data);
    for (int64_t i = 0; i < w->seed[s].n; i++) {
        const int64_t at = w->seed[s].at[i], c = at / f.cells, b = to.dims->n >= 3 ? to.block : 1;
        to.data[b == 1 ? at : (c / b * f.cells + at % f.cells) * b + c % b] = w->seed[s].weight[i];
    }
    *written(w, w->from, s) = true;
}

static void read_out(dcv_back_walk *w, int s)
{
    const dcv_blob b = signal_at(w, w->to, s);
    if (*written(w, w->to, s))
        dcv_blob_read(&b, w->out[s]);
    else
        memset(w->out[s], 0, (size_t)dcv_count(b.dims) * sizeof(float));
}

static void group_level(dcv_back_walk *w, int i, int end)
{
    for (; i < end; i++) {
        const int n = w->b->order[i];
        for (int s = 0; w->e->g->value[w->to].producer == n && s < w->n; s++)
            read_out(w, s);
        if (w->b->node[n].is_dense) {
            w->scratch_at = 0;
            if (comes(w, w->e->g->node[n].out[0], 0))
                run_dense(w, n);
        } else {
            for (int s = 0; s < w->n; s++)
                run_node(w, n, s);
        }
    }
}

static void single_level(dcv_back_walk *w, int i, int end, int s)
{
    for (; i < end; i++) {
        if (w->e->g->value[w->to].producer == w->b->order[i])
            read_out(w, s);
        run_node(w, w->b->order[i], s);
    }
}

void dcv_walk_backward(dcv_walk *walk, const dcv_rule *rule, int from, const dcv_seed *seed, int n, int to,
                       float *const *out)
{
    for (int s = 0; s < n; s++)
        DCV_CHECK(seed[s].picture >= 0 && seed[s].picture < dcv_walk_pictures(walk));
    dcv_back_run(dcv_walk_back(walk), rule, from, seed, n, to, out);
}

void dcv_back_run(dcv_back_walk *w, const dcv_rule *rule, int from, const dcv_seed *seed, int n, int to,
                  float *const *out)
{
    DCV_CHECK(w && n >= 1 && n <= DCV_GROUP && w->b->value[from].seed && w->b->value[to].on);
    const dcv_engine *e = w->e;
    const int made = e->g->value[from].producer, start = made < 0 ? -1 : e->level[made];
    w->rule = rule;
    w->whole = dcv_rule_whole(rule);
    w->from = from;
    w->to = to;
    w->n = n;
    w->seed = seed;
    w->out = out;
    e->back->one_thread();
    find_ways(w);
    const bool to_input = e->g->value[to].producer < 0;
    bool read = false; /* an input's signals, each before the next one takes its place */
    for (int i = 0, end; i < w->b->n_order; i = end) {
        const int level = e->level[w->b->order[i]];
        for (end = i; end < w->b->n_order && e->level[w->b->order[end]] == level; end++)
            ;
        for (int s = 0; level % 2 && level == start && s < n; s++)
            plant(w, s);
        if (level % 2)
            group_level(w, i, end);
        for (int s = 0; level % 2 == 0 && s < n; s++) {
            if (level == start)
                plant(w, s);
            single_level(w, i, end, s);
            if (end == w->b->n_order && to_input)
                read_out(w, s);
        }
        read = end == w->b->n_order && level % 2 == 0;
    }
    for (int s = 0; to_input && !read && s < n; s++)
        read_out(w, s);
}
