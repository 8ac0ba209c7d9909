/* back.c -- the plan of walks back. */
#include "engine/adjoint_dense.h"
#include "engine/back.h"

#include <stdlib.h>
#include <string.h>
#include "engine/ops/batchnorm.h"
#include "engine/pages.h"

enum { ALIGN_BYTES = 64, ALIGN_FLOATS = 16 };

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

/* ---- what carries a signal ---- */

/* Values that may be seeded, and what they come from. */
static void mark_on(dcv_engine *e, dcv_back *b)
{
    const dcv_graph *g = e->g;
    for (int i = 0; i < e->o.n_back; i++) {
        const int v = e->o.back[i];
        DCV_CHECK(v >= 0 && v < g->n_value);
        b->value[v].seed = b->value[v].on = g->value[v].batched && g->value[v].type == DCV_F32;
    }
    for (int n = g->n_node - 1; n >= 0; n--) {
        const dcv_node *nd = &g->node[n];
        for (int j = 0; j < nd->n_out; j++)
            b->node[n].on = b->node[n].on || (nd->out[j] >= 0 && b->value[nd->out[j]].on);
        for (int k = 0; b->node[n].on && k < nd->n_in; k++) {
            const dcv_value *x = nd->in[k] >= 0 ? &g->value[nd->in[k]] : NULL;
            if (x && x->batched && x->type == DCV_F32)
                b->value[nd->in[k]].on = true;
        }
    }
}

static bool brings(const dcv_back *b, const dcv_node *nd, int k)
{
    return nd->in[k] >= 0 && b->value[nd->in[k]].on;
}

static dcv_status check_node(const dcv_engine *e, const dcv_back *b, int n)
{
    const dcv_node *nd = &e->g->node[n];
    dcv_conv_desc c;
    dcv_dense d;
    bool any = false;
    for (int k = 0; k < nd->n_in; k++)
        any = any || brings(b, nd, k);
    if (!any || nd->op->backward || dcv_plan_conv(e, n, &c) || dcv_plan_dense(e, n, &d))
        return DCV_OK;
    return dcv_fail(DCV_EUNSUPPORTED, "node \"%s\" (%s): there is no walk back through it", nd->name, nd->op->name);
}

/* Values that a node's backward reads. */
static void hold_for(dcv_engine *e, dcv_back *b, int n)
{
    const dcv_node *nd = &e->g->node[n];
    dcv_dense d;
    if (dcv_plan_dense(e, n, &d))
        return;
    for (int k = 0; nd->op->back_reads & DCV_BACK_X && k < nd->n_in; k++)
        if (nd->in[k] >= 0 && e->g->value[nd->in[k]].batched)
            b->value[nd->in[k]].held = 0;
    for (int j = 0; nd->op->back_reads & DCV_BACK_Y && j < nd->n_out; j++)
        if (nd->out[j] >= 0)
            b->value[nd->out[j]].held = 0;
}

dcv_status dcv_back_mark(dcv_engine *e)
{
    const dcv_graph *g = e->g;
    if (!e->o.n_back)
        return DCV_OK;
    dcv_back *b = e->back_plan = dcv_arena_alloc(e->arena, 1, sizeof *b);
    if (!b)
        return DCV_ENOMEM;
    b->node = dcv_arena_alloc(e->arena, (size_t)g->n_node + 1, sizeof *b->node);
    b->value = dcv_arena_alloc(e->arena, (size_t)g->n_value + 1, sizeof *b->value);
    b->order = dcv_arena_alloc(e->arena, (size_t)g->n_node + 1, sizeof *b->order);
    if (!b->node || !b->value || !b->order)
        return DCV_ENOMEM;
    for (int v = 0; v < g->n_value; v++)
        b->value[v].held = -1;
    mark_on(e, b);
    for (int n = 0; n < g->n_node; n++) {
        b->node[n].saved = -1;
        if (b->node[n].on) {
            DCV_TRY(check_node(e, b, n));
            hold_for(e, b, n);
        }
    }
    for (int v = 0; v < g->n_value; v++)
        e->held[v] = b->value[v].held >= 0 || b->value[v].seed;
    return DCV_OK;
}

/* ---- kernels and layouts ---- */

static int value_block(const dcv_engine *e, int v)
{
    const int p = e->g->value[v].producer,
              h = e->home[v] >= 0 || p < 0 ? e->home[v] : e->home[e->g->node[e->chain[e->owner[p]].last].out[0]];
    return h >= 0 && e->spot[h].kind == DCV_SPOT_ARENA && e->g->value[v].dims.n >= 3 ? e->spot[h].block : 1;
}

static void plain_layout(dcv_back_node *q)
{
    q->x_block = q->y_block = 1;
}

/* The layout that a node ran in. */
static int node_block(const dcv_engine *e, const dcv_back *b, int n)
{
    const dcv_node *nd = &e->g->node[n];
    int block = 1;
    for (int j = 0; j < nd->n_out; j++)
        if (nd->out[j] >= 0 && b->value[nd->out[j]].block > block)
            block = b->value[nd->out[j]].block;
    return block;
}

static bool has_outer(const dcv_graph *g, const dcv_node *nd)
{
    for (int k = 0; k < nd->n_in; k++)
        if (nd->in[k] >= 0 && g->value[nd->in[k]].batched && g->value[nd->in[k]].dims.n >= 3 &&
            g->value[nd->in[k]].dims.d[0] != 1)
            return true;
    return false;
}

/* Where 16 lanes are at hand the weights are turned while they are read; else they are kept transposed as well. */
static void plan_dense(const dcv_engine *e, dcv_back_node *q)
{
    dcv_dense *d = &q->dense;
    q->is_dense = true;
    q->shared = e->back->block() == 16;
    if (q->shared)
        return;
    const int64_t k = d->k;
    d->k = d->n;
    d->n = k;
    d->transposed = !d->transposed;
    d->b = NULL;
    d->n_b = 0;
    d->beta = 0;
    d->act = DCV_ACT_NONE;
}

static dcv_status plan_node(dcv_engine *e, dcv_back *b, int n)
{
    dcv_back_node *q = &b->node[n];
    const dcv_node *nd = &e->g->node[n];
    dcv_conv_desc c;
    plain_layout(q);
    q->pass = e->chain[e->owner[n]].bn == n;
    q->whole = dcv_graph_whole(e->g, n, &q->gate);
    if (dcv_plan_conv(e, n, &c)) {
        c.has_bias = false;
        DCV_TRY(dcv_adjoint_new(e->back, &c, &e->step[e->step_of[n]].desc, &q->adjoint));
        q->x_block = q->adjoint->gx_block;
        q->y_block = q->adjoint->gy_block;
        return DCV_OK;
    }
    if (dcv_plan_dense(e, n, &q->dense)) {
        plan_dense(e, q);
        return DCV_OK;
    }
    if (nd->op->back_layout == DCV_LAYOUT_SAME && !has_outer(e->g, nd))
        q->x_block = q->y_block = node_block(e, b, n);
    if (nd->op->save) {
        q->saved_bytes = nd->op->saved_bytes(e->g, nd, node_block(e, b, n));
        q->saved = (int64_t)b->kept_bytes;
        b->kept_bytes += aligned(q->saved_bytes);
    }
    return DCV_OK;
}

/* ---- order ---- */

typedef struct place {
    int level, node;
} place;

static int last_first(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return x->level != y->level ? y->level - x->level : y->node - x->node;
}

static dcv_status plan_order(dcv_engine *e, dcv_back *b)
{
    place *p = dcv_alloc((size_t)e->g->n_node + 1, sizeof *p);
    if (!p)
        return DCV_ENOMEM;
    for (int n = 0; n < e->g->n_node; n++)
        if (b->node[n].on)
            p[b->n_order++] = (place){e->level[n], n};
    qsort(p, (size_t)b->n_order, sizeof *p, last_first);
    for (int i = 0; i < b->n_order; i++)
        b->order[i] = p[i].node;
    dcv_free(p);
    return DCV_OK;
}

/* ---- memory of signals ---- */

static int64_t floats_in(const dcv_engine *e, int v, int block)
{
    return dcv_blob_shape_of(&e->g->value[v].dims, block).floats;
}

static void touch(dcv_back_value *x, int at)
{
    x->first = x->first < 0 || at < x->first ? at : x->first;
    x->last = at > x->last ? at : x->last;
}

/* From the first signal that comes to the node that takes it on; through whole levels where signals wait for each
 * other. */
static void live(const dcv_engine *e, dcv_back *b, const int *level_first, const int *level_last)
{
    const dcv_graph *g = e->g;
    for (int i = 0; i < b->n_order; i++) {
        const int n = b->order[i];
        const dcv_node *nd = &g->node[n];
        for (int k = 0; k < nd->n_in; k++)
            if (brings(b, nd, k)) {
                touch(&b->value[nd->in[k]], i);
                b->value[nd->in[k]].into++;
            }
        if (b->node[n].whole >= 0 && b->value[b->node[n].whole].on) {
            touch(&b->value[b->node[n].whole], i);
            b->value[b->node[n].whole].into += 2; /* never alone */
        }
        for (int j = 0; j < nd->n_out; j++)
            if (nd->out[j] >= 0 && b->value[nd->out[j]].on)
                touch(&b->value[nd->out[j]], i);
    }
    for (int v = 0; v < g->n_value; v++) {
        dcv_back_value *x = &b->value[v];
        if (!x->on)
            continue;
        const int p = g->value[v].producer;
        const int down = e->level[p < 0 ? b->order[b->n_order - 1] : p]; /* inputs: read in the last level */
        x->wide = down % 2;
        for (int u = 0; u < g->value[v].n_use; u++)
            x->wide = x->wide || (b->node[g->value[v].use[u]].on && e->level[g->value[v].use[u]] != down);
        if (x->seed && p >= 0)
            touch(x, level_first[down]);
        if (p < 0)
            touch(x, b->n_order);
        if (x->wide && x->first >= 0) {
            if (x->first < b->n_order)
                x->first = level_first[e->level[b->order[x->first]]];
            if (x->last < b->n_order)
                x->last = level_last[e->level[b->order[x->last]]];
        }
    }
}

/* May the signal at x be that at y, worked on in place?  Nobody else brings anything to x. */
static bool may_share(const dcv_engine *e, const dcv_back *b, int n, int k)
{
    const dcv_node *nd = &e->g->node[n];
    const dcv_back_node *q = &b->node[n];
    const int yv = nd->out[0], xv = nd->in[k];
    const dcv_back_value *x = &b->value[xv], *y = &b->value[yv];
    const bool view = nd->op->flags & DCV_OP_VIEW;
    const bool works = (nd->op->flags & DCV_OP_IN_PLACE && nd->op->flags & DCV_OP_ELEMENTWISE) || view || q->pass ||
                       dcv_plan_is(e, n, "Add");
    return works && y->on && x->into == 1 && x->wide == y->wide && x->block == y->block && x->floats == y->floats &&
           q->x_block == x->block && q->y_block == y->block && e->g->value[xv].producer >= 0 &&
           dcv_count(&e->g->value[xv].dims) == dcv_count(&e->g->value[yv].dims);
}

static void share(const dcv_engine *e, dcv_back *b)
{
    for (int v = 0; v < e->g->n_value; v++)
        b->value[v].root = v;
    for (int i = 0; i < b->n_order; i++) { /* consumers first, so that y's root is known */
        const dcv_node *nd = &e->g->node[b->order[i]];
        for (int k = 0; k < nd->n_in; k++)
            if (brings(b, nd, k) && may_share(e, b, b->order[i], k)) {
                dcv_back_value *x = &b->value[nd->in[k]], *r = &b->value[b->value[nd->out[0]].root];
                x->root = b->value[nd->out[0]].root;
                touch(r, x->first);
                touch(r, x->last);
                break;
            }
    }
}

static int64_t room(const dcv_back_value *x)
{
    return x->wide ? DCV_GROUP * x->stride : x->stride;
}

typedef struct piece {
    int64_t room;
    int value;
} piece;

static int by_size(const void *a, const void *b)
{
    const piece *x = a, *y = b;
    return x->room != y->room ? (x->room < y->room) - (x->room > y->room) : x->value - y->value;
}

/* Largest first, each at the lowest place that is free all its life. */
static dcv_status lay_out(const dcv_engine *e, dcv_back *b)
{
    piece *root = dcv_alloc((size_t)e->g->n_value + 1, sizeof *root);
    int n = 0;
    if (!root)
        return DCV_ENOMEM;
    for (int v = 0; v < e->g->n_value; v++)
        if (b->value[v].on && b->value[v].root == v && b->value[v].first >= 0)
            root[n++] = (piece){room(&b->value[v]), v};
    qsort(root, (size_t)n, sizeof *root, by_size);
    for (int i = 0; i < n; i++) {
        dcv_back_value *x = &b->value[root[i].value];
        int64_t at = 0;
        for (int j = 0; j < i; j++) { /* placed ones, in order of offset */
            const dcv_back_value *p = &b->value[root[j].value];
            if (p->last < x->first || x->last < p->first)
                continue;
            if (p->offset >= at + room(x))
                break;
            if (p->offset + room(p) > at)
                at = p->offset + room(p);
        }
        x->offset = at;
        if (at + room(x) > b->signal_floats)
            b->signal_floats = at + room(x);
        const piece mine = root[i];
        int j = i;
        for (; j > 0 && b->value[root[j - 1].value].offset > at; j--)
            root[j] = root[j - 1];
        root[j] = mine;
    }
    dcv_free(root);
    for (int v = 0; v < e->g->n_value; v++)
        if (b->value[v].on)
            b->value[v].offset = b->value[b->value[v].root].offset;
    return DCV_OK;
}

static dcv_status plan_signals(dcv_engine *e, dcv_back *b)
{
    const int n_level = b->n_order ? e->level[b->order[0]] + 1 : 1;
    int *first = dcv_alloc((size_t)n_level * 2, sizeof *first), *last = first + n_level;
    if (!first)
        return DCV_ENOMEM;
    for (int i = b->n_order - 1; i >= 0; i--)
        first[e->level[b->order[i]]] = i;
    for (int i = 0; i < b->n_order; i++)
        last[e->level[b->order[i]]] = i;
    for (int v = 0; v < e->g->n_value; v++) {
        dcv_back_value *x = &b->value[v];
        x->first = x->last = -1;
        x->floats = floats_in(e, v, x->block);
        x->stride = (x->floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    }
    live(e, b, first, last);
    dcv_free(first);
    share(e, b);
    return lay_out(e, b);
}

/* ---- scratch: every end of a node in another layout, a sum's second half, and what the kernel needs ---- */

static size_t node_scratch(const dcv_engine *e, const dcv_back *b, int n)
{
    const dcv_node *nd = &e->g->node[n];
    const dcv_back_node *q = &b->node[n];
    const size_t rows = q->is_dense ? DCV_GROUP : 1;
    size_t need = 0, largest = 0;
    for (int i = 0; i < nd->n_in + nd->n_out; i++) {
        const int v = i < nd->n_in ? nd->in[i] : nd->out[i - nd->n_in];
        if (v < 0 || !e->g->value[v].batched)
            continue;
        const bool in = i < nd->n_in;
        const size_t own = aligned((size_t)floats_in(e, v, in ? q->x_block : q->y_block) * sizeof(float));
        const bool moves = e->g->value[v].dims.n >= 3 && b->value[v].block != (in ? q->x_block : q->y_block);
        need += (moves || (in && b->value[v].into != 1) ? own : 0) * rows;
        need += moves && b->value[v].held >= 0 ? own : 0;
        const size_t other = aligned((size_t)b->value[v].stride * sizeof(float));
        largest = moves && other > largest ? other : largest;
    }
    if (q->whole >= 0)
        need += aligned((size_t)floats_in(e, q->whole, q->x_block) * sizeof(float));
    size_t kernel = nd->op->back_scratch ? nd->op->back_scratch(e->g, nd) : 0;
    if (q->adjoint)
        kernel = q->adjoint->scratch_bytes;
    else if (q->is_dense)
        kernel = q->shared ? dcv_adjoint_dense_scratch_bytes(&q->dense) : dcv_dense_scratch_bytes(&q->dense, DCV_GROUP);
    else if (nd->op->flags & DCV_OP_ELEMENTWISE && !nd->op->save && nd->n_out) /* rules may want a signal's length */
        kernel += aligned((size_t)floats_in(e, nd->out[0], q->y_block) * sizeof(float));
    return need + largest + aligned(kernel);
}

dcv_status dcv_back_plan(dcv_engine *e)
{
    const dcv_graph *g = e->g;
    dcv_back *b = e->back_plan;
    if (!b)
        return DCV_OK;
    for (int v = 0; v < g->n_value; v++)
        b->value[v].block = g->value[v].batched ? value_block(e, v) : 1;
    DCV_TRY(plan_order(e, b));
    for (int i = 0; i < b->n_order; i++)
        DCV_TRY(plan_node(e, b, b->order[i]));
    for (int v = 0; v < g->n_value; v++)
        if (b->value[v].held >= 0) {
            b->value[v].held = (int64_t)b->kept_bytes;
            b->kept_bytes += aligned((size_t)floats_in(e, v, b->value[v].block) * sizeof(float));
        }
    DCV_TRY(plan_signals(e, b));
    for (int i = 0; i < b->n_order; i++) {
        const int n = b->order[i];
        dcv_back_node *q = &b->node[n];
        const bool own = q->is_dense && !q->shared;
        const size_t scratch = node_scratch(e, b, n), bytes = q->adjoint ? q->adjoint->packed_bytes
                                                              : own      ? dcv_dense_packed_bytes(&q->dense)
                                                                         : 0;
        b->scratch_bytes = scratch > b->scratch_bytes ? scratch : b->scratch_bytes;
        q->packed = e->packed_bytes;
        q->bias = q->packed + aligned(bytes);
        e->packed_bytes = q->bias + (own ? aligned(dcv_dense_bias_floats(&q->dense) * sizeof(float)) : 0);
        const int ends = g->node[n].n_in + g->node[n].n_out;
        b->max_ends = ends > b->max_ends ? ends : b->max_ends;
    }
    return DCV_OK;
}

static dcv_status pack_adjoint(const dcv_engine *e, int n, char *to)
{
    const dcv_back_node *q = &e->back_plan->node[n];
    const dcv_graph *g = e->g;
    const int bn = e->chain[n].bn;
    const int64_t oc = q->adjoint->d.oc;
    float *scale = bn >= 0 ? dcv_alloc((size_t)(2 * oc), sizeof *scale) : NULL;
    if (bn >= 0 && !scale)
        return DCV_ENOMEM;
    if (scale)
        dcv_batchnorm_scale(g, &g->node[bn], 0, oc, scale, scale + oc);
    const dcv_value *w = &g->value[g->node[n].in[1]];
    const dcv_status st = dcv_adjoint_pack(q->adjoint, w->constant, scale, to + q->packed);
    dcv_free(scale);
    dcv_pages_out(w->constant, (size_t)dcv_count(&w->dims) * sizeof(float));
    return st;
}

dcv_status dcv_back_pack(const dcv_engine *e, char *to)
{
    const dcv_back *b = e->back_plan;
    for (int i = 0; b && i < b->n_order; i++) {
        const dcv_back_node *q = &b->node[b->order[i]];
        if (q->adjoint && q->adjoint->packed_bytes) {
            DCV_TRY(pack_adjoint(e, b->order[i], to));
        } else if (q->is_dense && !q->shared) {
            dcv_dense_pack(&q->dense, (float *)(to + q->packed), (float *)(to + q->bias));
            dcv_pages_out(q->dense.w, (size_t)(q->dense.k * q->dense.n) * sizeof(float));
        }
    }
    return DCV_OK;
}

void dcv_back_free(dcv_engine *e)
{
    for (int n = 0; e->back_plan && e->back_plan->node && n < e->g->n_node; n++)
        dcv_adjoint_free(e->back_plan->node[n].adjoint);
}
