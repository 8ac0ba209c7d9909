/* layers.c -- which values are layers, and what the first output means. */
#include <string.h>
#include "engine/back.h"
#include "engine/build.h"

static bool is(const dcv_node *nd, const char *op)
{
    return nd && !strcmp(nd->op->name, op);
}

static const dcv_node *maker(const dcv_graph *g, int v)
{
    return v >= 0 && g->value[v].producer >= 0 ? &g->node[g->value[v].producer] : NULL;
}

/* The only node that reads v, if there is but one and v is no output. */
static const dcv_node *only_reader(const dcv_graph *g, int v)
{
    for (int o = 0; o < g->n_out; o++)
        if (g->out[o] == v)
            return NULL;
    return g->value[v].n_use == 1 ? &g->node[g->value[v].use[0]] : NULL;
}

/* The other input of a node with two; -1 if v is none of them. */
static int other(const dcv_node *nd, int v)
{
    return nd->n_in != 2 ? -1 : nd->in[0] == v ? nd->in[1] : nd->in[1] == v ? nd->in[0] : -1;
}

static bool is_gate(const dcv_node *nd)
{
    return is(nd, "Sigmoid") || is(nd, "HardSigmoid");
}

/* A Sigmoid or HardSigmoid that only multiplies other values of the picture: an operator, no layer. */
static bool only_gates(const dcv_graph *g, const dcv_node *nd)
{
    const int v = nd->out[0];
    if (!is_gate(nd) || !g->value[v].n_use)
        return false;
    for (int o = 0; o < g->n_out; o++)
        if (g->out[o] == v)
            return false;
    for (int u = 0; u < g->value[v].n_use; u++) {
        const dcv_node *mul = &g->node[g->value[v].use[u]];
        const int x = is(mul, "Mul") ? other(mul, v) : -1;
        if (x < 0 || !g->value[x].batched)
            return false;
    }
    return true;
}

/* y = x Sigmoid(x), x HardSigmoid(x): SiLU and HardSwish spelt out.  nd is the Mul. */
static bool is_swish(const dcv_graph *g, const dcv_node *nd)
{
    if (!is(nd, "Mul") || nd->n_in != 2)
        return false;
    for (int k = 0; k < 2; k++) {
        const dcv_node *gate = maker(g, nd->in[k]);
        if (is_gate(gate) && gate->in[0] == nd->in[!k])
            return true;
    }
    return false;
}

static bool is_constant(const dcv_graph *g, int v)
{
    return v >= 0 && g->value[v].constant;
}

/* Is v = x times or divided by a constant? */
static bool scaled(const dcv_graph *g, int v, int x)
{
    const dcv_node *nd = maker(g, v);
    return (is(nd, "Mul") && is_constant(g, other(nd, x))) ||
           (is(nd, "Div") && nd->in[0] == x && is_constant(g, nd->in[1]));
}

/* The value in which GELU's spelling around an Erf ends, or -1: x (1 + Erf(x / sqrt 2)) / 2 in any order of
 * the factors. */
static int gelu_end(const dcv_graph *g, const dcv_node *erf)
{
    const dcv_node *inner = maker(g, erf->in[0]), *plus = only_reader(g, erf->out[0]), *nd = NULL;
    if (!inner || !is(plus, "Add") || !is_constant(g, other(plus, erf->out[0])))
        return -1;
    const int x = is_constant(g, inner->in[inner->n_in - 1]) ? inner->in[0] : inner->in[inner->n_in - 1];
    if (!scaled(g, erf->in[0], x))
        return -1;
    bool has_x = false, has_half = false;
    int v = plus->out[0];
    for (int step = 0; step < 2; step++) {
        nd = only_reader(g, v);
        const int f = is(nd, "Mul") ? other(nd, v) : -1;
        if (f < 0)
            break;
        if (is_constant(g, f) && !has_half)
            has_half = true;
        else if (f == x && !has_x)
            has_x = true;
        else if (scaled(g, f, x) && !has_x && !has_half)
            has_x = has_half = true;
        else
            break;
        v = nd->out[0];
        if (has_x && has_half)
            return v;
    }
    return -1;
}

int dcv_graph_whole(const dcv_graph *g, int node, int *gate)
{
    const dcv_node *nd = &g->node[node];
    *gate = -1;
    for (int k = 0; is_swish(g, nd) && k < 2; k++) {
        const dcv_node *h = maker(g, nd->in[k]);
        if (is_gate(h) && h->in[0] == nd->in[!k]) {
            *gate = k;
            return nd->in[!k];
        }
    }
    for (int i = 0; is(nd, "Mul") && i < node; i++) {
        if (!is(&g->node[i], "Erf") || gelu_end(g, &g->node[i]) != nd->out[0])
            continue;
        const dcv_node *inner = maker(g, g->node[i].in[0]);
        return is_constant(g, inner->in[inner->n_in - 1]) ? inner->in[0] : inner->in[inner->n_in - 1];
    }
    return -1;
}

int dcv_graph_layers(const dcv_graph *g, int *to)
{
    bool *layer = dcv_alloc((size_t)g->n_value + 1, sizeof *layer);
    int n = 0;
    if (!layer)
        return 0;
    for (int i = 0; i < g->n_node; i++) {
        const dcv_node *nd = &g->node[i];
        const int end = is(nd, "Erf") ? gelu_end(g, nd) : -1;
        if (end >= 0)
            layer[end] = true;
        else if (is_swish(g, nd) || (nd->op->flags & DCV_OP_ACTIVATION && !only_gates(g, nd)))
            layer[nd->out[0]] = true;
    }
    if (g->logits >= 0)
        layer[g->logits] = true;
    if (g->logits >= 0 && g->value[g->logits].producer < 0)
        to[n++] = g->logits;
    for (int i = 0; i < g->n_node; i++)
        for (int j = 0; j < g->node[i].n_out; j++)
            if (g->node[i].out[j] >= 0 && layer[g->node[i].out[j]])
                to[n++] = g->node[i].out[j];
    dcv_free(layer);
    return n;
}

static bool looks_through(const dcv_node *nd)
{
    static const char *const views[] = {"Identity", "Dropout", "Reshape", "Flatten", "Squeeze"};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        if (is(nd, views[i]))
            return true;
    return false;
}

void dcv_graph_classify(dcv_graph *g)
{
    g->logits = -1;
    g->classes = 0;
    g->head = DCV_HEAD_LOGITS;
    if (!g->n_out || !g->value[g->out[0]].batched)
        return;
    const dcv_dims *d = &g->value[g->out[0]].dims;
    if (d->n != 2 && !(d->n == 4 && d->d[2] == 1 && d->d[3] == 1))
        return;
    g->logits = g->out[0];
    g->classes = d->d[1];
    int v = g->out[0];
    while (looks_through(maker(g, v)))
        v = maker(g, v)->in[0];
    const dcv_node *last = maker(g, v);
    if (is(last, "Softmax") || is(last, "LogSoftmax")) {
        g->head = is(last, "Softmax") ? DCV_HEAD_SOFTMAX : DCV_HEAD_LOG_SOFTMAX;
        g->logits = last->in[0];
    } else if (is(last, "Sigmoid")) {
        g->head = DCV_HEAD_SIGMOID;
    }
}
