/* fuse.c -- which nodes run as one: convolution (or dense product), BatchNormalization, Add, activation.
 *
 * Only what nobody else reads is fused away: values with one reader that the observer does not want and that are no
 * output of the network.
 */
#include <math.h>
#include <string.h>
#include "engine/back.h"
#include "engine/ops/clip.h"
#include "engine/ops/conv.h"
#include "engine/ops/gemm.h"
#include "engine/ops/relu.h"
#include "engine/ops/sigmoid.h"
#include "engine/plan.h"
#include "engine/transposed.h"

static const int64_t many_weights = INT64_C(1) << 18, small_map = 256;

bool dcv_plan_is(const dcv_engine *e, int node, const char *op)
{
    return !strcmp(e->g->node[node].op->name, op);
}

/* ---- levels ---- */

static const float *constant(const dcv_graph *g, int v)
{
    return v >= 0 && g->value[v].type == DCV_F32 ? g->value[v].constant : NULL;
}

static bool dense_gemm(const dcv_graph *g, const dcv_node *nd, dcv_dense *d)
{
    const dcv_gemm_attr *at = nd->attr;
    const dcv_dims *x = &g->value[nd->in[0]].dims, *w = &g->value[nd->in[1]].dims;
    const int c = nd->n_in > 2 ? nd->in[2] : -1;
    if (at->trans_a || x->d[0] != 1 || (c >= 0 && !constant(g, c)))
        return false;
    *d = (dcv_dense){.k = x->d[1],
                     .n = w->d[at->trans_b ? 0 : 1],
                     .transposed = at->trans_b,
                     .alpha = (float)at->alpha,
                     .b = constant(g, c),
                     .n_b = c >= 0 ? dcv_count(&g->value[c].dims) : 0,
                     .beta = (float)at->beta};
    return true;
}

static bool dense_matmul(const dcv_graph *g, const dcv_node *nd, dcv_dense *d)
{
    const dcv_dims *x = &g->value[nd->in[0]].dims, *w = &g->value[nd->in[1]].dims;
    if (x->n < 1 || w->n != 2 || dcv_count(x) != x->d[x->n - 1])
        return false;
    *d = (dcv_dense){.k = w->d[0], .n = w->d[1], .alpha = 1};
    return true;
}

/* A product of one row per picture with constant weights. */
static bool dense_of(const dcv_graph *g, int node, dcv_dense *d)
{
    const dcv_node *nd = &g->node[node];
    if (!(nd->op->flags & DCV_OP_DENSE) || nd->n_in < 2 || !constant(g, nd->in[1]) || !g->value[nd->in[0]].batched)
        return false;
    if (!(strcmp(nd->op->name, "Gemm") ? dense_matmul(g, nd, d) : dense_gemm(g, nd, d)) || d->k < 1 || d->n < 1)
        return false;
    d->w = constant(g, nd->in[1]);
    return true;
}

bool dcv_plan_dense(const dcv_engine *e, int node, dcv_dense *d)
{
    return dense_of(e->g, node, d);
}

/* Small values that only group steps make: worth no walk of their own per picture. */
static bool follows_group(const dcv_engine *e, int node)
{
    const dcv_node *nd = &e->g->node[node];
    bool any = false;
    for (int i = 0; i < nd->n_in; i++) {
        const dcv_value *x = nd->in[i] >= 0 ? &e->g->value[nd->in[i]] : NULL;
        if (!x || !x->batched)
            continue;
        if (x->producer < 0 || !e->grouped[x->producer] || x->dims.n != 2 || x->dims.d[0] != 1)
            return false;
        any = true;
    }
    for (int i = 0; i < nd->n_out; i++)
        if (nd->out[i] >= 0 && (e->g->value[nd->out[i]].dims.n != 2 || e->g->value[nd->out[i]].dims.d[0] != 1))
            return false;
    return any;
}

/* A transposed convolution of so small a map, and with so many weights, that several pictures are needed to fill tiles
 * and to make reading the weights worth while (generators begin so); and what its small map goes through. */
static bool is_small(const dcv_engine *e, int node)
{
    const dcv_node *nd = &e->g->node[node];
    const dcv_dims *x = &e->g->value[nd->in[0]].dims, *y = &e->g->value[nd->out[0]].dims;
    if (x->n != 4 || y->n != 4 || x->d[0] != 1)
        return false;
    if (dcv_plan_is(e, node, "ConvTranspose"))
        return x->d[2] * x->d[3] <= small_map && dcv_count(&e->g->value[nd->in[1]].dims) >= many_weights;
    const int p = e->g->value[nd->in[0]].producer;
    const bool along = dcv_plan_is(e, node, "BatchNormalization") ||
                       (nd->op->flags & DCV_OP_ELEMENTWISE && nd->op->flags & DCV_OP_ACTIVATION);
    return along && p >= 0 && e->grouped[p] && y->d[2] * y->d[3] <= 4 * small_map;
}

static bool has_small_map(const dcv_value *v)
{
    int64_t cells = 1;
    for (int i = 2; i < v->dims.n; i++)
        cells *= v->dims.d[i];
    return cells <= small_map;
}

/* With o.together: a convolution whose weights do not stay in a cache, and all that follows one; with o.windows, of a
 * small map. */
static bool goes_together(const dcv_engine *e, int node)
{
    const dcv_node *nd = &e->g->node[node];
    if (!e->o.together && !e->o.windows)
        return is_small(e, node);
    for (int i = 0; i < nd->n_in; i++) {
        const int p = nd->in[i] >= 0 ? e->g->value[nd->in[i]].producer : -1;
        if (p >= 0 && e->grouped[p])
            return true;
    }
    return (dcv_plan_is(e, node, "Conv") || dcv_plan_is(e, node, "ConvTranspose")) &&
           dcv_count(&e->g->value[nd->in[1]].dims) >= many_weights &&
           (e->o.together || has_small_map(&e->g->value[nd->out[0]]));
}

void dcv_plan_levels(dcv_engine *e)
{
    for (int n = 0; n < e->g->n_node; n++) {
        const dcv_node *nd = &e->g->node[n];
        dcv_dense d;
        e->grouped[n] = dense_of(e->g, n, &d) || follows_group(e, n) || goes_together(e, n);
        int level = e->grouped[n];
        for (int i = 0; i < nd->n_in; i++) {
            const int p = nd->in[i] >= 0 ? e->g->value[nd->in[i]].producer : -1;
            if (p >= 0 && e->level[p] > level)
                level = e->level[p];
        }
        e->level[n] = level % 2 == e->grouped[n] ? level : level + 1;
    }
}

/* ---- chains ---- */

bool dcv_plan_conv(const dcv_engine *e, int node, dcv_conv_desc *d)
{
    const dcv_graph *g = e->g;
    const dcv_node *nd = &g->node[node];
    const bool transposed = dcv_plan_is(e, node, "ConvTranspose");
    if ((!transposed && !dcv_plan_is(e, node, "Conv")) || !constant(g, nd->in[1]) || !g->value[nd->in[0]].batched)
        return false;
    const dcv_dims *x = &g->value[nd->in[0]].dims, *y = &g->value[nd->out[0]].dims;
    if (x->n < 3 || x->n > 5 || x->d[0] != 1 || !dcv_count(x) || !dcv_count(y) ||
        (nd->n_in > 2 && nd->in[2] >= 0 && !constant(g, nd->in[2])))
        return false;
    *d = (dcv_conv_desc){.transposed = transposed,
                         .n = 1,
                         .groups = dcv_conv_groups(nd),
                         .ic = x->d[1],
                         .oc = y->d[1],
                         .has_bias = nd->n_in > 2 && nd->in[2] >= 0,
                         .precision = e->direct[nd->source - g->model->node] ? DCV_STRICT : e->o.precision};
    dcv_conv_windows(g, nd, d->win, &d->n_space);
    for (int i = 0; i < d->n_space; i++) {
        d->in[i] = x->d[2 + i];
        d->out[i] = y->d[2 + i];
    }
    return true;
}

/* The only reader of what the chain makes so far, if it may be taken in; -1. */
static int next(const dcv_engine *e, const dcv_chain *c)
{
    const int v = e->g->node[c->last].out[0];
    const dcv_value *y = &e->g->value[v];
    if (e->seen[v] || e->keep[v] || e->held[v] || y->n_use != 1)
        return -1;
    const dcv_node *nd = &e->g->node[y->use[0]];
    const int out = nd->n_out > 0 ? nd->out[0] : -1;
    return out >= 0 && dcv_dims_equal(&e->g->value[out].dims, &y->dims) ? y->use[0] : -1;
}

static void take(dcv_engine *e, int head, int node)
{
    e->owner[node] = head;
    e->chain[head].last = node;
}

static bool take_bn(dcv_engine *e, int head, int node)
{
    const dcv_node *nd = &e->g->node[node];
    if (!dcv_plan_is(e, node, "BatchNormalization"))
        return false;
    for (int i = 1; i < nd->n_in; i++)
        if (!constant(e->g, nd->in[i]))
            return false;
    e->chain[head].bn = node;
    take(e, head, node);
    return true;
}

static bool take_sum(dcv_engine *e, int head, int node)
{
    dcv_conv_desc d;
    const dcv_node *nd = &e->g->node[node];
    if ((!dcv_plan_is(e, node, "Add") && !dcv_plan_is(e, node, "Sum")) || nd->n_in != 2)
        return false;
    if (dcv_plan_conv(e, head, &d) && d.transposed && !dcv_transposed_adds(e->o.backend, &d))
        return false;
    const int mine = e->g->node[e->chain[head].last].out[0];
    const int addend = nd->in[0] == mine ? nd->in[1] : nd->in[0];
    if (addend == mine || addend < 0 || !e->g->value[addend].batched)
        return false;
    const dcv_value *r = &e->g->value[addend];
    if (!dcv_dims_equal(&r->dims, &e->g->value[mine].dims) || r->producer > e->chain[head].last)
        return false; /* the later of two convolutions takes the sum */
    e->chain[head].sum = node;
    e->chain[head].addend = addend;
    take(e, head, node);
    return true;
}

static void take_act(dcv_engine *e, int head, int node, bool conv)
{
    dcv_chain *c = &e->chain[head];
    if (dcv_plan_is(e, node, "Relu")) {
        c->act_kind = DCV_ACT_RELU;
    } else if (dcv_plan_is(e, node, "Clip")) {
        const dcv_clip_attr *a = e->g->node[node].attr;
        if (!(a->lo <= 0) || !(a->hi >= 0))
            return;
        c->act_kind = DCV_ACT_CLIP;
        c->lo = a->lo;
        c->hi = a->hi;
    } else if (conv && dcv_plan_is(e, node, "LeakyRelu")) {
        c->act_kind = DCV_ACT_LEAKY;
        c->lo = dcv_leakyrelu_slope(&e->g->node[node]);
    } else {
        return;
    }
    c->act = node;
    take(e, head, node);
}

/* What a value times this gate of it is: SiLU, HardSwish, or nothing that convolutions know. */
static dcv_act curve_of(const dcv_engine *e, int gate)
{
    if (dcv_plan_is(e, gate, "Sigmoid"))
        return DCV_ACT_SILU;
    if (!dcv_plan_is(e, gate, "HardSigmoid"))
        return DCV_ACT_NONE;
    const dcv_hardsigmoid_attr *a = e->g->node[gate].attr;
    return (float)a->alpha == 1.0f / 6 && a->beta == 0.5 ? DCV_ACT_HARD_SWISH : DCV_ACT_NONE;
}

static bool wanted(const dcv_engine *e, int v)
{
    return e->seen[v] || e->keep[v] || e->held[v];
}

/* x h(x): the chain's value x is read by a gate h and by the product of both, and nothing else reads either. */
static void take_curve(dcv_engine *e, int head)
{
    dcv_chain *c = &e->chain[head];
    const int v = e->g->node[c->last].out[0];
    const dcv_value *y = &e->g->value[v];
    dcv_conv_desc d;
    if (wanted(e, v) || y->n_use < 1 || y->n_use > 2 || (dcv_plan_conv(e, head, &d) && d.transposed))
        return;
    const int mul = y->use[y->n_use - 1];
    int k;
    if (y->n_use == 1 && dcv_plan_is(e, mul, "HardSwish")) {
        c->act_kind = DCV_ACT_HARD_SWISH;
    } else if (y->n_use == 2 && dcv_graph_whole(e->g, mul, &k) == v && k >= 0) {
        const int h = e->g->node[mul].in[k], gate = e->g->value[h].producer;
        if (wanted(e, h) || e->g->value[h].n_use != 1 || curve_of(e, gate) == DCV_ACT_NONE)
            return;
        c->act_kind = curve_of(e, gate);
        take(e, head, gate);
    } else {
        return;
    }
    c->act = mul;
    take(e, head, mul);
}

static void grow(dcv_engine *e, int head, bool conv)
{
    int n = next(e, &e->chain[head]);
    if (n >= 0 && conv && take_bn(e, head, n))
        n = next(e, &e->chain[head]);
    if (n >= 0 && conv && take_sum(e, head, n))
        n = next(e, &e->chain[head]);
    if (n >= 0 && (conv || e->level[n] == e->level[head])) /* a group's product stays in the group's level */
        take_act(e, head, n, conv);
    if (conv && e->chain[head].act < 0)
        take_curve(e, head);
}

void dcv_plan_chains(dcv_engine *e)
{
    for (int n = 0; n < e->g->n_node; n++) {
        e->owner[n] = n;
        e->chain[n] = (dcv_chain){.bn = -1, .sum = -1, .addend = -1, .act = -1, .last = n};
    }
    for (int n = 0; n < e->g->n_node; n++) {
        dcv_conv_desc c;
        dcv_dense d;
        const bool conv = dcv_plan_conv(e, n, &c);
        if (conv || dense_of(e->g, n, &d))
            grow(e, n, conv);
    }
}
