/* patch_graph.c -- graphs of heads and tail, made of the nodes and values of the whole graph. */
#include <string.h>
#include "engine/patch_plan.h"

/* From this share of its map on a box is the whole map: pieces of it would cost more than they save. */
static const double whole_share = 0.85;

/* Dense weights of a tail from which on they are not kept in a cache, floats; windows of a tail that has them. */
static const int64_t many_weights = INT64_C(1) << 22;
enum { DENSE_ROOM = 32, PLACE_NUMBERS = 4 };

typedef struct maker {
    dcv_patches *p;
    dcv_patch_head *h;
    dcv_graph *g; /* of the head */
    int row, column;
    int *clean_in; /* [n_value of the whole graph] graph input of the head that is its clean map, -1: none */
    bool *whole;   /* [n_value] box is the whole map */
} maker;

static dcv_status grow(dcv_patch_head *h, const dcv_graph *from, int n_value, int n_node)
{
    DCV_TRY(dcv_arena_new(&h->arena));
    h->g = (dcv_graph){.model = from->model, .n_value = from->n_value, .logits = -1};
    h->g.value = dcv_arena_alloc(h->arena, (size_t)n_value, sizeof *h->g.value);
    h->g.node = dcv_arena_alloc(h->arena, (size_t)n_node, sizeof *h->g.node);
    h->g.in = dcv_arena_alloc(h->arena, (size_t)n_value, sizeof *h->g.in);
    h->g.out = dcv_arena_alloc(h->arena, (size_t)n_value, sizeof *h->g.out);
    if (!h->g.value || !h->g.node || !h->g.in || !h->g.out)
        return DCV_ENOMEM;
    memcpy(h->g.value, from->value, (size_t)from->n_value * sizeof *h->g.value);
    for (int v = 0; v < from->n_value; v++) {
        h->g.value[v].producer = -1;
        h->g.value[v].n_use = 0;
        h->g.value[v].use = NULL;
    }
    return DCV_OK;
}

/* Who reads what, each reader once. */
static dcv_status find_uses(dcv_patch_head *h)
{
    dcv_graph *g = &h->g;
    for (int pass = 0; pass < 2; pass++) {
        for (int v = 0; v < g->n_value; v++) {
            dcv_value *x = &g->value[v];
            if (pass && x->n_use && !(x->use = dcv_arena_alloc(h->arena, (size_t)x->n_use, sizeof *x->use)))
                return DCV_ENOMEM;
            x->n_use = 0;
        }
        for (int i = 0; i < g->n_node; i++)
            for (int k = 0; k < g->node[i].n_in; k++) {
                const int v = g->node[i].in[k];
                bool again = v < 0;
                for (int q = 0; q < k; q++)
                    again = again || g->node[i].in[q] == v;
                if (again)
                    continue;
                if (pass)
                    g->value[v].use[g->value[v].n_use] = i;
                g->value[v].n_use++;
            }
    }
    return DCV_OK;
}

/* Copy a node of the whole graph, inputs and attributes too. */
static dcv_status copy_node(dcv_patch_head *h, const dcv_node *from, dcv_node *to)
{
    *to = *from;
    to->in = dcv_arena_alloc(h->arena, (size_t)from->n_in + 1, sizeof *to->in);
    to->attr = dcv_arena_alloc(h->arena, from->op->attr_size + 1, 1);
    if (!to->in || !to->attr)
        return DCV_ENOMEM;
    memcpy(to->in, from->in, (size_t)from->n_in * sizeof *to->in);
    if (from->op->attr_size)
        memcpy(to->attr, from->attr, from->op->attr_size);
    return DCV_OK;
}

static void add_node(dcv_patch_head *h, const dcv_node *nd)
{
    dcv_graph *g = &h->g;
    for (int j = 0; j < nd->n_out; j++)
        if (nd->out[j] >= 0)
            g->value[nd->out[j]].producer = g->n_node;
    g->node[g->n_node++] = *nd;
}

static int add_value(dcv_graph *g, const char *name, const dcv_dims *dims)
{
    g->value[g->n_value] = (dcv_value){.name = name, .type = DCV_F32, .dims = *dims, .producer = -1, .batched = true};
    return g->n_value++;
}

static int add_input(dcv_graph *g, const char *name, int64_t floats)
{
    return g->in[g->n_in++] = add_value(g, name, &(dcv_dims){1, {floats}});
}

/* --- heads --- */

static bool has_box(const maker *m, int v)
{
    return m->g->value[v].dims.d[2] > 0;
}

static void size_boxes(maker *m)
{
    const dcv_patches *p = m->p;
    const size_t nv = (size_t)p->g->n_value;
    for (size_t v = 0; v < nv; v++) {
        if (p->kind[v] != DCV_PATCH_LOCAL)
            continue;
        dcv_dims *d = &m->g->value[v].dims;
        const dcv_dims all = *d;
        d->d[2] = p->size[0][(size_t)m->row * nv + v];
        d->d[3] = p->size[1][(size_t)m->column * nv + v];
        if (!d->d[2] || !d->d[3])
            d->d[2] = d->d[3] = 0;
        else if ((int)v != p->g->in[0] && (double)(d->d[2] * d->d[3]) >= whole_share * (double)(all.d[2] * all.d[3]))
            *d = all;
        m->whole[v] = d->d[2] == all.d[2] && d->d[3] == all.d[3];
    }
}

/* What a window needs of input k of a node whose output 0 has its box. */
static dcv_span region(const maker *m, int node, int k, int axis, int window)
{
    const int y = m->p->g->node[node].out[0];
    return dcv_node_reads(m->p->g, node, k, 2 + axis, 0, dcv_patch_box(m->p, m->h, axis, window, y));
}

/* Is that just the input's box, for all windows of the class?  Its length into *n. */
static bool is_box(const maker *m, int node, int k, int axis, int64_t *n)
{
    const int x = m->p->g->node[node].in[k], mine = axis ? m->column : m->row;
    bool same = true;
    for (int i = 0; i < m->p->o.n_window[axis]; i++) {
        if (m->p->class_of[axis][i] != mine)
            continue;
        const dcv_span r = region(m, node, k, axis, i), b = dcv_patch_box(m->p, m->h, axis, i, x);
        *n = r.hi - r.lo;
        same = same && r.lo == b.lo && r.hi == b.hi;
    }
    return same;
}

/* A node that makes what input k of a node needs; its output into *to. */
static dcv_status add_paste(maker *m, int node, int k, const int64_t extent[2], float border, int *to)
{
    const dcv_graph *whole = m->p->g;
    const int x = whole->node[node].in[k];
    dcv_patch_attr *a = dcv_arena_alloc(m->h->arena, 1, sizeof *a);
    int *ends = dcv_arena_alloc(m->h->arena, 4, sizeof *ends);
    if (!a || !ends)
        return DCV_ENOMEM;
    dcv_dims d = whole->value[x].dims;
    *a = (dcv_patch_attr){.map = d, .place = m->h->n_paste, .value = x, .node = node, .input = k, .border = border};
    if (m->clean_in[x] < 0)
        m->clean_in[x] = add_input(m->g, whole->value[x].name, dcv_count(&d));
    d.d[2] = extent[0];
    d.d[3] = extent[1];
    *to = add_value(m->g, whole->value[x].name, &d);
    ends[0] = has_box(m, x) ? x : -1;
    ends[1] = m->g->in[1];
    ends[2] = m->clean_in[x];
    ends[3] = *to;
    m->h->paste[m->h->n_paste++] = m->g->n_node;
    add_node(m->h, &(dcv_node){.name = whole->node[node].name,
                               .op = &dcv_op_patch,
                               .opset = whole->node[node].opset,
                               .attr = a,
                               .n_in = 3,
                               .n_out = 1,
                               .in = ends,
                               .out = ends + 3});
    return DCV_OK;
}

static bool runs_whole(const maker *m, const dcv_node *nd)
{
    bool whole = m->whole[nd->out[0]];
    for (int k = 0; k < nd->n_in; k++)
        if (nd->in[k] >= 0 && m->p->kind[nd->in[k]] == DCV_PATCH_LOCAL)
            whole = whole && m->whole[nd->in[k]];
    return whole;
}

static dcv_status add_local(maker *m, int node)
{
    const dcv_node *from = &m->p->g->node[node];
    dcv_node nd;
    float border = 0;
    DCV_TRY(copy_node(m->h, from, &nd));
    if (!runs_whole(m, from)) {
        if (nd.op->crop)
            DCV_CHECK(nd.op->crop(m->p->g, &nd, &border));
        for (int k = 0; k < nd.n_in; k++) {
            int64_t n[2] = {0, 0};
            if (nd.in[k] < 0 || m->p->kind[nd.in[k]] != DCV_PATCH_LOCAL)
                continue;
            const bool rows = is_box(m, node, k, 0, &n[0]), columns = is_box(m, node, k, 1, &n[1]);
            if (!rows || !columns || !has_box(m, nd.in[k]))
                DCV_TRY(add_paste(m, node, k, n, border, &nd.in[k]));
        }
    }
    add_node(m->h, &nd);
    return DCV_OK;
}

static void find_outputs(const dcv_patches *p, dcv_graph *g)
{
    for (int v = 0; v < p->g->n_value; v++)
        if (g->value[v].producer >= 0 && (p->cut[v] || p->seen[v]))
            g->out[g->n_out++] = v;
}

static dcv_status make_head(maker *m)
{
    const dcv_graph *whole = m->p->g;
    int reads = 0;
    for (int i = 0; i < whole->n_node; i++)
        reads += whole->node[i].n_in;
    DCV_TRY(grow(m->h, whole, 2 * whole->n_value + reads + 2, whole->n_node + reads));
    m->h->paste = dcv_arena_alloc(m->h->arena, (size_t)reads + 1, sizeof *m->h->paste);
    m->clean_in = dcv_arena_alloc(m->h->arena, (size_t)whole->n_value, sizeof *m->clean_in);
    m->whole = dcv_arena_alloc(m->h->arena, (size_t)whole->n_value, sizeof *m->whole);
    if (!m->h->paste || !m->clean_in || !m->whole)
        return DCV_ENOMEM;
    for (int v = 0; v < whole->n_value; v++)
        m->clean_in[v] = -1;
    size_boxes(m);
    m->g->in[m->g->n_in++] = whole->in[0];
    const int places = add_input(m->g, "(places)", 1);
    for (int i = 0; i < whole->n_node; i++)
        if (dcv_patch_kind_of(m->p, i) == DCV_PATCH_LOCAL && has_box(m, whole->node[i].out[0]))
            DCV_TRY(add_local(m, i));
    m->g->value[places].dims.d[0] = PLACE_NUMBERS * m->h->n_paste + 1;
    find_outputs(m->p, m->g);
    m->h->macs = dcv_graph_macs(m->g);
    return find_uses(m->h);
}

dcv_status dcv_patch_head_make(dcv_patches *p, int row_class, int column_class, dcv_patch_head *h)
{
    maker m = {.p = p, .h = h, .g = &h->g, .row = row_class, .column = column_class};
    return make_head(&m);
}

void dcv_patch_head_clear(dcv_patch_head *h)
{
    dcv_engine_free(h->engine);
    dcv_arena_free(h->arena);
    memset(h, 0, sizeof *h);
}

/* --- tail --- */

/* Weights of dense products, which are read once for all windows of a walk. */
static int64_t dense_weights(const dcv_graph *g)
{
    int64_t weights = 0;
    for (int i = 0; i < g->n_node; i++)
        for (int k = 1; g->node[i].op->flags & DCV_OP_DENSE && k < g->node[i].n_in; k++)
            if (g->node[i].in[k] >= 0 && g->value[g->node[i].in[k]].constant)
                weights += dcv_count(&g->value[g->node[i].in[k]].dims);
    return weights;
}

dcv_status dcv_patch_tail_make(dcv_patches *p)
{
    const dcv_graph *whole = p->g;
    dcv_patch_head *h = &p->tail;
    DCV_TRY(grow(h, whole, whole->n_value + 1, whole->n_node + 1));
    for (int v = 0; v < whole->n_value; v++)
        if (p->cut[v])
            h->g.in[h->g.n_in++] = v;
    for (int i = 0; i < whole->n_node; i++) {
        dcv_node nd;
        if (dcv_patch_kind_of(p, i) != DCV_PATCH_WHOLE)
            continue;
        DCV_TRY(copy_node(h, &whole->node[i], &nd));
        add_node(h, &nd);
    }
    find_outputs(p, &h->g);
    h->macs = dcv_graph_macs(&h->g);
    const int64_t weights = dense_weights(&h->g);
    p->tail_room = weights >= many_weights ? DENSE_ROOM : DCV_GROUP;
    p->tail_waits = weights ? p->tail_room : 1;
    p->slots = DCV_GROUP + p->tail_waits - 1;
    return find_uses(h);
}
