/* inspect_uses.c -- which job can be asked about a value of a network. */
#include "calls/listing.h"
#include "deconvoy/memory.h"
#include "deconvoy/op.h"

struct dcv_uses {
    const dcv_graph *g;
    bool *to_input;    /* [n_value] a signal walks back from the value to the first input */
    bool *from_logits; /* [n_value] a signal walks back from the logits to the value */
};

static bool carries_signal(const dcv_graph *g, int v)
{
    return v >= 0 && g->value[v].batched && g->value[v].type == DCV_F32;
}

/* Convolutions and dense products walk back in the engine, others by themselves. */
static bool walks_back(const dcv_node *nd)
{
    return nd->op->backward || nd->op->layout == DCV_LAYOUT_OWN || nd->op->flags & DCV_OP_DENSE;
}

/* All ways down must be open: a signal that stops on one of them would be wrong. */
static void find_to_input(const dcv_graph *g, bool *open, bool *reached)
{
    open[g->in[0]] = reached[g->in[0]] = true;
    for (int i = 0; i < g->n_node; i++) {
        const dcv_node *nd = &g->node[i];
        bool any = false, all = walks_back(nd);
        for (int k = 0; k < nd->n_in; k++) {
            const int x = nd->in[k];
            if (!carries_signal(g, x) || !reached[x])
                continue;
            any = true;
            all = all && open[x];
        }
        for (int j = 0; j < nd->n_out; j++)
            if (nd->out[j] >= 0) {
                reached[nd->out[j]] = any && carries_signal(g, nd->out[j]);
                open[nd->out[j]] = reached[nd->out[j]] && all;
            }
    }
}

static void find_from_logits(const dcv_graph *g, bool *open)
{
    if (g->logits < 0)
        return;
    open[g->logits] = true;
    for (int i = g->n_node - 1; i >= 0; i--) {
        const dcv_node *nd = &g->node[i];
        bool any = false;
        for (int j = 0; j < nd->n_out; j++)
            any = any || (nd->out[j] >= 0 && open[nd->out[j]]);
        for (int k = 0; any && walks_back(nd) && k < nd->n_in; k++)
            if (carries_signal(g, nd->in[k]))
                open[nd->in[k]] = true;
    }
}

dcv_status dcv_uses_new(const dcv_graph *g, dcv_uses **out)
{
    dcv_uses *u = dcv_alloc(1, sizeof *u);
    const size_t n = (size_t)g->n_value;
    bool *reached = dcv_alloc(n, sizeof *reached);
    *out = NULL;
    if (u)
        *u = (dcv_uses){g, dcv_alloc(n, sizeof *u->to_input), dcv_alloc(n, sizeof *u->from_logits)};
    const bool ok = u && reached && u->to_input && u->from_logits;
    if (ok && g->n_in > 0)
        find_to_input(g, u->to_input, reached);
    if (ok)
        find_from_logits(g, u->from_logits);
    dcv_free(reached);
    if (ok)
        *out = u;
    else
        dcv_uses_free(u);
    return ok ? DCV_OK : DCV_ENOMEM;
}

void dcv_uses_free(dcv_uses *u)
{
    if (!u)
        return;
    dcv_free(u->to_input);
    dcv_free(u->from_logits);
    dcv_free(u);
}

/* --- A row each ------------------------------------------------------------------------------------- */

static bool has_channels(const dcv_graph *g, int v)
{
    return carries_signal(g, v) && g->value[v].dims.n >= 2;
}

static bool by_max_activation(const dcv_uses *u, int v)
{
    return u->g->n_in == 1 && has_channels(u->g, v);
}

static bool by_infer(const dcv_uses *u, int v)
{
    for (int i = 0; i < u->g->n_out; i++)
        if (u->g->out[i] == v)
            return true;
    return false;
}

static bool by_walk_back(const dcv_uses *u, int v)
{
    return by_max_activation(u, v) && u->to_input[v];
}

/* As the score, or as activity under windows. */
static bool by_occlusion(const dcv_uses *u, int v)
{
    return by_max_activation(u, v) && u->g->logits >= 0 && u->g->value[u->g->in[0]].dims.n == 4;
}

static bool by_cam(const dcv_uses *u, int v)
{
    return by_max_activation(u, v) && v != u->g->logits && u->g->value[v].dims.n == 4 && u->from_logits[v] &&
           u->g->value[v].dims.d[2] * u->g->value[v].dims.d[3] > 1;
}

static const struct method {
    const char *name;
    bool (*fits)(const dcv_uses *u, int v);
} methods[] = {
    {"max_activation", by_max_activation},
    {"reconstruct", by_walk_back},
    {"occlusion", by_occlusion},
    {"gradient_ascent", by_walk_back},
    {"cam", by_cam},
    {"infer", by_infer},
};
enum { N_METHODS = sizeof methods / sizeof *methods };

const char *dcv_listing_method(int i)
{
    return i >= 0 && i < N_METHODS ? methods[i].name : NULL;
}

unsigned dcv_uses_of(const dcv_uses *u, int v)
{
    unsigned bits = 0;
    for (int k = 0; k < N_METHODS; k++)
        bits |= methods[k].fits(u, v) ? 1u << k : 0;
    return bits;
}
