/* onnx_order.c -- a graph that is one: every value made once, before it is read.
 *
 * Depth-first from the nodes in file order, producers first.  A graph that is already sorted comes out as
 * it is.  A node met while its own producers are still being placed closes a cycle.
 */
#include <limits.h>
#include <stdio.h>
#include "io/onnx.h"

enum { GIVEN = INT_MAX }; /* constants and graph inputs: no node makes them */
enum { NEW, OPEN, PLACED };

typedef struct {
    dcv_model *m;
    dcv_onnx_names *maker; /* value -> node, or GIVEN */
    int *state;            /* of each node */
    int *stack, *at;       /* open nodes, and the next input of each */
    int depth, n_placed;
    dcv_model_node *placed;
} order;

const char *dcv_onnx_node_print(const dcv_model *m, int node, dcv_onnx_node_text to)
{
    const dcv_model_node *n = &m->node[node];
    if (*n->name)
        snprintf(to, sizeof(dcv_onnx_node_text), "node %.120s (%.40s)", n->name, n->op);
    else
        snprintf(to, sizeof(dcv_onnx_node_text), "node #%d (%.40s)", node, n->op);
    return to;
}

static dcv_status fail_node(const dcv_model *m, int node, const char *what, const char *value)
{
    dcv_onnx_node_text text;
    return dcv_fail(DCV_EDATA, "%s: %s%s", dcv_onnx_node_print(m, node, text), what, value);
}

static dcv_status note_given(order *o)
{
    const dcv_model *m = o->m;
    for (int i = 0; i < m->n_const; i++)
        if (dcv_onnx_names_add(o->maker, m->constant[i].name, GIVEN) >= 0)
            return dcv_fail(DCV_EDATA, "tensor %s: a second initializer of this name", m->constant[i].name);
    for (int i = 0; i < m->n_in; i++)
        if (dcv_onnx_names_add(o->maker, m->in[i].name, GIVEN) >= 0)
            return dcv_fail(DCV_EDATA, "input %s: a second graph input of this name", m->in[i].name);
    return DCV_OK;
}

static dcv_status note_made(order *o, int node)
{
    const dcv_model_node *n = &o->m->node[node];
    int named = 0;
    for (int i = 0; i < n->n_out; i++) {
        if (!*n->out[i])
            continue;
        named++;
        if (dcv_onnx_names_add(o->maker, n->out[i], node) >= 0)
            return fail_node(o->m, node, "makes a value that is there already: ", n->out[i]);
    }
    return named ? DCV_OK : fail_node(o->m, node, "has no outputs", "");
}

static dcv_status push(order *o, int node)
{
    if (o->state[node] == OPEN)
        return fail_node(o->m, node, "is part of a cycle: it needs what is made of its output ",
                         o->m->node[node].out[0]);
    o->state[node] = OPEN;
    o->at[o->depth] = 0;
    o->stack[o->depth++] = node;
    return DCV_OK;
}

/* One step at the top of the stack: go down into a producer, or place the node. */
static dcv_status step(order *o)
{
    const int node = o->stack[o->depth - 1];
    const dcv_model_node *n = &o->m->node[node];
    int *at = &o->at[o->depth - 1];
    while (*at < n->n_in) {
        const char *name = n->in[(*at)++];
        const int maker = *name ? dcv_onnx_names_find(o->maker, name) : GIVEN;
        if (maker < 0)
            return fail_node(o->m, node, "reads a value that nothing makes: ", name);
        if (maker != GIVEN && o->state[maker] != PLACED)
            return push(o, maker);
    }
    o->state[node] = PLACED;
    o->placed[o->n_placed++] = *n;
    o->depth--;
    return DCV_OK;
}

static dcv_status place_all(order *o)
{
    for (int i = 0; i < o->m->n_node; i++) {
        if (o->state[i] == PLACED)
            continue;
        DCV_TRY(push(o, i));
        while (o->depth)
            DCV_TRY(step(o));
    }
    for (int i = 0; i < o->n_placed; i++)
        o->m->node[i] = o->placed[i];
    return DCV_OK;
}

static dcv_status run(order *o)
{
    DCV_TRY(note_given(o));
    for (int i = 0; i < o->m->n_node; i++)
        DCV_TRY(note_made(o, i));
    for (int i = 0; i < o->m->n_out; i++)
        if (dcv_onnx_names_find(o->maker, o->m->out[i].name) < 0)
            return dcv_fail(DCV_EDATA, "output %s: nothing makes it", o->m->out[i].name);
    return place_all(o);
}

dcv_status dcv_onnx_order(dcv_model *m)
{
    order o = {.m = m};
    const size_t n = (size_t)m->n_node;
    size_t values = (size_t)m->n_const + (size_t)m->n_in;
    for (int i = 0; i < m->n_node; i++)
        values += (size_t)m->node[i].n_out;
    dcv_status st = DCV_ENOMEM;
    o.state = dcv_alloc(n, sizeof *o.state);
    o.stack = dcv_alloc(n, sizeof *o.stack);
    o.at = dcv_alloc(n, sizeof *o.at);
    o.placed = dcv_alloc(n, sizeof *o.placed);
    if (o.state && o.stack && o.at && o.placed)
        st = dcv_onnx_names_new(values, &o.maker);
    if (st == DCV_OK)
        st = run(&o);
    dcv_onnx_names_free(o.maker);
    dcv_free(o.state);
    dcv_free(o.stack);
    dcv_free(o.at);
    dcv_free(o.placed);
    return st;
}
