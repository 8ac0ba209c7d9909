/* cam_layer.c -- the layer whose map is taken, found by walking back from the logits. */
#include <string.h>
#include "engine/methods/cam.h"
#include "engine/ops/conv.h"

static bool one_of(const dcv_node *nd, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(nd->op->name, *names))
            return true;
    return false;
}

/* The input that depends on the picture, where there is just one; else -1. */
static int only_input(const dcv_graph *g, const dcv_node *nd)
{
    int found = -1;
    for (int k = 0; k < nd->n_in; k++)
        if (nd->in[k] >= 0 && g->value[nd->in[k]].batched) {
            if (found >= 0)
                return -1;
            found = nd->in[k];
        }
    return found;
}

static const dcv_node *maker(const dcv_graph *g, int value)
{
    return value >= 0 && g->value[value].producer >= 0 ? &g->node[g->value[value].producer] : NULL;
}

/* --- What a node is ------------------------------------------------------------------- */

/* One number a channel, from all cells: as an operator of its own, a reduction, or a window as large as the map. */
static bool is_global(const dcv_graph *g, const dcv_node *nd, bool mean_only)
{
    static const char *const means[] = {"GlobalAveragePool", "ReduceMean", "AveragePool", NULL};
    static const char *const others[] = {"GlobalMaxPool", "GlobalLpPool", "ReduceMax", "ReduceSum", "MaxPool", NULL};
    const int x = nd->n_in ? nd->in[0] : -1;
    if (x < 0 || nd->out[0] < 0 || (!one_of(nd, means) && (mean_only || !one_of(nd, others))))
        return false;
    const dcv_dims *in = &g->value[x].dims, *out = &g->value[nd->out[0]].dims;
    if (in->n < 3 || dcv_count(out) != in->d[1] || !nd->op->reads)
        return false;
    if (!strncmp(nd->op->name, "Global", 6))
        return true;
    if (dcv_count(in) == dcv_count(out) || (nd->op->carries && nd->op->carries(g, nd, 0, 1, 0) != 1))
        return false;
    for (int axis = 2; axis < in->n; axis++) {
        const dcv_cells c = nd->op->reads(g, nd, 0, axis, 0, 0);
        if (c.step != 1)
            return false;
        if (mean_only ? c.lo != 0 || c.hi != in->d[axis] : c.lo > 0 || c.hi < in->d[axis]) /* padding would weigh */
            return false;
    }
    return true;
}

/* Takes the axes of space away without mixing cells. */
static bool is_flatten(const dcv_graph *g, const dcv_node *nd)
{
    static const char *const names[] = {"Flatten", "Reshape", "Squeeze", NULL};
    return one_of(nd, names) && nd->in[0] >= 0 && nd->out[0] >= 0 && g->value[nd->in[0]].dims.n > 2 &&
           g->value[nd->out[0]].dims.n <= 2;
}

static bool is_shape(const dcv_node *nd)
{
    static const char *const names[] = {"Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze", NULL};
    return one_of(nd, names);
}

/* Every cell of the output is a weighted sum over the channels of the same cell. */
static bool is_pointwise(const dcv_graph *g, const dcv_node *nd)
{
    if (strcmp(nd->op->name, "Conv") != 0)
        return false;
    const dcv_dims *in = &g->value[nd->in[0]].dims, *out = &g->value[nd->out[0]].dims, *w = &g->value[nd->in[1]].dims;
    if (((const dcv_conv_attr *)nd->attr)->group != 1 || in->n != out->n)
        return false;
    for (int axis = 2; axis < in->n; axis++) {
        const dcv_cells last = nd->op->reads(g, nd, 0, axis, 0, out->d[axis] - 1);
        if (w->d[axis] != 1 || in->d[axis] != out->d[axis] || last.lo != in->d[axis] - 1)
            return false;
    }
    return true;
}

static bool is_dense(const dcv_graph *g, const dcv_node *nd)
{
    static const char *const names[] = {"Gemm", "MatMul", NULL};
    return (one_of(nd, names) && only_input(g, nd) == nd->in[0]) || is_pointwise(g, nd);
}

/* --- The last layer with space ---------------------------------------------------------- */

/* Does every way from the picture to value `to` go through node n?  reached: [n_value] room. */
static bool is_on_every_way(const dcv_graph *g, int n, int to, bool *reached)
{
    memset(reached, 0, (size_t)g->n_value * sizeof *reached);
    for (int i = 0; i < g->n_in; i++)
        reached[g->in[i]] = true;
    for (int k = 0; k < g->n_node; k++) {
        const dcv_node *nd = &g->node[k];
        bool any = false;
        for (int i = 0; i < nd->n_in; i++)
            any = any || (nd->in[i] >= 0 && reached[nd->in[i]]);
        for (int j = 0; any && k != n && j < nd->n_out; j++)
            if (nd->out[j] >= 0)
                reached[nd->out[j]] = true;
    }
    return !reached[to];
}

int dcv_cam_last(const dcv_graph *g)
{
    int flatten = -1, pool = -1;
    bool *reached = g->logits >= 0 ? dcv_alloc((size_t)g->n_value, sizeof *reached) : NULL;
    for (int n = g->n_node - 1; reached && pool < 0 && n >= 0; n--) {
        const dcv_node *nd = &g->node[n];
        const bool global = is_global(g, nd, false);
        if ((global || (flatten < 0 && is_flatten(g, nd))) && is_on_every_way(g, n, g->logits, reached))
            *(global ? &pool : &flatten) = nd->in[0];
    }
    dcv_free(reached);
    return pool >= 0 ? pool : flatten;
}

/* --- The layer of class weights ----------------------------------------------------------- */

/* Past what only changes shapes, and a bias added by itself. */
static int without_shapes(const dcv_graph *g, int value, bool bias)
{
    for (const dcv_node *nd = maker(g, value); nd; nd = maker(g, value)) {
        if (!is_shape(nd) && !(bias && !strcmp(nd->op->name, "Add")))
            break;
        const int x = only_input(g, nd);
        if (x < 0)
            break;
        value = x;
    }
    return value;
}

int dcv_cam_weighted(const dcv_graph *g)
{
    const dcv_node *last = maker(g, g->logits < 0 ? -1 : without_shapes(g, g->logits, true));
    if (last && is_global(g, last, true)) {
        const dcv_node *conv = maker(g, last->in[0]);
        return conv && is_pointwise(g, conv) ? conv->in[0] : -1;
    }
    if (!last || !is_dense(g, last))
        return -1;
    const dcv_node *pool = maker(g, without_shapes(g, last->in[0], false));
    return pool && is_global(g, pool, true) ? pool->in[0] : -1;
}
