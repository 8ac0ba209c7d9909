/* plan.c -- from nodes to steps: who reads and writes which spot, in which layout. */
#include <string.h>
#include "engine/plan.h"
#include "engine/transposed.h"

static int add_spot(dcv_engine *e, dcv_spot f)
{
    DCV_CHECK(e->n_spot < e->room_spot);
    f.parent = -1;
    e->spot[e->n_spot] = f;
    return e->n_spot++;
}

static int arena_spot(dcv_engine *e, int value, int block)
{
    return add_spot(e, (dcv_spot){.kind = DCV_SPOT_ARENA, .value = value, .block = block});
}

dcv_step *dcv_plan_add_step(dcv_engine *e, dcv_step_kind kind, int node, int sub, int n_x, int n_y)
{
    DCV_CHECK(e->n_step < e->room_step);
    int *spots = dcv_arena_alloc(e->arena, (size_t)(n_x + n_y), sizeof *spots);
    if (!spots)
        return NULL;
    dcv_step *s = &e->step[e->n_step++];
    *s = (dcv_step){.kind = kind,
                    .node = node,
                    .level = node < 0 ? 0 : e->level[e->chain[node].last],
                    .pos = node < 0 ? -1 : e->chain[node].last,
                    .sub = sub,
                    .n_x = n_x,
                    .n_y = n_y,
                    .x = spots,
                    .y = spots + n_x,
                    .addend = -1};
    for (int i = 0; i < n_x + n_y; i++)
        spots[i] = -1;
    return s;
}

/* The first spot of a value that no node makes, or the one that its node made. */
static int home(dcv_engine *e, int value)
{
    const dcv_value *v = &e->g->value[value];
    if (e->home[value] < 0 && v->constant)
        e->home[value] = add_spot(e, (dcv_spot){.kind = DCV_SPOT_CONST, .value = value, .block = 1});
    DCV_CHECK(e->home[value] >= 0);
    return e->home[value];
}

/* The spot of a value in a layout: a copy is made right after the value, where there is none yet. */
static dcv_status spot_in(dcv_engine *e, int value, int block, int *out)
{
    const int h = home(e, value);
    *out = h;
    if (e->spot[h].kind == DCV_SPOT_CONST || e->g->value[value].dims.n < 3 || e->spot[h].block == block)
        return DCV_OK;
    if (e->other[value] < 0) {
        const int p = e->g->value[value].producer;
        dcv_step *s = dcv_plan_add_step(e, DCV_STEP_COPY, p < 0 ? -1 : e->owner[p], 1, 1, 1);
        if (!s)
            return DCV_ENOMEM;
        s->x[0] = h;
        s->y[0] = e->other[value] = arena_spot(e, value, block);
    }
    *out = e->other[value];
    DCV_CHECK(e->spot[*out].block == block);
    return DCV_OK;
}

static int new_home(dcv_engine *e, int value, int block)
{
    return e->home[value] = arena_spot(e, value, e->g->value[value].dims.n >= 3 ? block : 1);
}

/* ---- steps, one function per kind ---- */

static dcv_status conv_step(dcv_engine *e, int node, dcv_conv_desc *d)
{
    const dcv_node *nd = &e->g->node[node];
    const dcv_chain *c = &e->chain[node];
    d->has_bias = d->has_bias || c->bn >= 0;
    d->add = c->sum >= 0;
    d->act = c->act_kind;
    d->act_lo = c->lo;
    d->act_hi = c->hi;
    d->together = e->level[c->last] % 2 == 0 ? 0 : e->o.together ? e->o.together : DCV_GROUP;
    const dcv_backend *back = d->transposed ? dcv_transposed_of(e->o.backend) : e->back;
    back->layout(d, &d->x_block, &d->y_block);
    dcv_step *s = dcv_plan_add_step(e, DCV_STEP_CONV, node, 0, 1, 1);
    if (!s)
        return DCV_ENOMEM;
    DCV_TRY(spot_in(e, nd->in[0], d->x_block, &s->x[0]));
    s->y[0] = new_home(e, e->g->node[c->last].out[0], d->y_block);
    s->addend = d->add ? home(e, c->addend) : -1;
    d->x_stride = dcv_spot_floats(e, s->x[0]);
    d->y_stride = dcv_spot_floats(e, s->y[0]);
    s->desc = *d;
    s->back = back;
    return back->conv_new(d, &s->conv);
}

static dcv_status dense_step(dcv_engine *e, int node, dcv_dense *d)
{
    const dcv_chain *c = &e->chain[node];
    d->act = c->act_kind;
    d->lo = c->lo;
    d->hi = c->hi;
    dcv_step *s = dcv_plan_add_step(e, DCV_STEP_DENSE, node, 0, 1, 1);
    if (!s)
        return DCV_ENOMEM;
    s->dense = *d;
    DCV_TRY(spot_in(e, e->g->node[node].in[0], 1, &s->x[0]));
    s->y[0] = new_home(e, e->g->node[c->last].out[0], 1);
    return DCV_OK;
}

/* Channels and cells stay what they are, so any layout does. */
static bool same_map(const dcv_dims *x, const dcv_dims *y)
{
    if (x->n < 3 || y->n < 3 || x->d[0] != y->d[0] || x->d[1] != y->d[1])
        return false;
    return dcv_count(x) == dcv_count(y);
}

static dcv_status view_step(dcv_engine *e, int node)
{
    const dcv_node *nd = &e->g->node[node];
    const int xv = nd->in[0], yv = nd->out[0];
    const dcv_dims *x = &e->g->value[xv].dims, *y = &e->g->value[yv].dims;
    const int h = home(e, xv);
    int block = e->spot[h].block, from = h;
    if (block > 1 && !same_map(x, y)) {
        if (dcv_blob_shape_of(x, block).cells != 1) /* else blocks of single cells are row-major already */
            DCV_TRY(spot_in(e, xv, 1, &from));
        block = 1;
    }
    dcv_spot f = e->spot[from];
    f.value = yv;
    f.block = y->n >= 3 ? block : 1;
    const int mine = e->home[yv] = add_spot(e, f);
    if (f.kind == DCV_SPOT_ARENA)
        e->spot[mine].parent = from;
    dcv_step *s = dcv_plan_add_step(e, DCV_STEP_VIEW, node, 0, 1, 1);
    if (!s)
        return DCV_ENOMEM;
    s->x[0] = from;
    s->y[0] = mine;
    return DCV_OK;
}

/* The block of an operator's batched maps. */
static int op_block(dcv_engine *e, const dcv_node *nd)
{
    int block = 1;
    if (nd->op->layout != DCV_LAYOUT_SAME)
        return 1;
    for (int i = 0; i < nd->n_in; i++) {
        const dcv_value *x = nd->in[i] >= 0 ? &e->g->value[nd->in[i]] : NULL;
        if (!x || !x->batched || x->dims.n < 3)
            continue;
        if (x->dims.d[0] != 1)
            return 1;
        const int b = e->spot[home(e, nd->in[i])].block;
        block = b > block ? b : block;
    }
    for (int i = 0; i < nd->n_out; i++)
        if (nd->out[i] >= 0 && (e->g->value[nd->out[i]].dims.n >= 3 && e->g->value[nd->out[i]].dims.d[0] != 1))
            return 1;
    return block;
}

static dcv_status op_step(dcv_engine *e, int node)
{
    const dcv_node *nd = &e->g->node[node];
    const int block = op_block(e, nd);
    dcv_step *s = dcv_plan_add_step(e, DCV_STEP_OP, node, 0, nd->n_in, nd->n_out);
    if (!s)
        return DCV_ENOMEM;
    for (int i = 0; i < nd->n_in; i++)
        if (nd->in[i] >= 0)
            DCV_TRY(spot_in(e, nd->in[i], block, &s->x[i]));
    for (int i = 0; i < nd->n_out; i++)
        if (nd->out[i] >= 0)
            s->y[i] = new_home(e, nd->out[i], block);
    return DCV_OK;
}

static dcv_status node_step(dcv_engine *e, int node)
{
    dcv_conv_desc conv;
    dcv_dense dense;
    if (dcv_plan_conv(e, node, &conv))
        return conv_step(e, node, &conv);
    if (dcv_plan_dense(e, node, &dense))
        return dense_step(e, node, &dense);
    if (e->g->node[node].op->flags & DCV_OP_VIEW)
        return view_step(e, node);
    return op_step(e, node);
}

/* Room for every spot and step that the rules above and storage.c can ask for. */
static dcv_status make_room(dcv_engine *e)
{
    const dcv_graph *g = e->g;
    int reads = 0;
    for (int n = 0; n < g->n_node; n++)
        reads += g->node[n].n_in;
    e->room_spot = 2 * g->n_value + reads;
    e->room_step = g->n_node + g->n_value + 2 * reads;
    e->spot = dcv_arena_alloc(e->arena, (size_t)e->room_spot, sizeof *e->spot);
    e->step = dcv_arena_alloc(e->arena, (size_t)e->room_step, sizeof *e->step);
    return e->spot && e->step ? DCV_OK : DCV_ENOMEM;
}

dcv_status dcv_plan_steps(dcv_engine *e)
{
    const dcv_graph *g = e->g;
    DCV_TRY(make_room(e));
    for (int v = 0; v < g->n_value; v++)
        e->home[v] = e->other[v] = -1;
    for (int i = 0; i < g->n_in; i++)
        e->home[g->in[i]] = add_spot(e, (dcv_spot){.kind = DCV_SPOT_INPUT,
                                                   .value = g->in[i],
                                                   .block = e->o.input_block ? e->o.input_block[i] : 1,
                                                   .input = i});
    for (int n = 0; n < g->n_node; n++) /* a chain takes the place of its last node, behind all that it reads */
        if (e->chain[e->owner[n]].last == n)
            DCV_TRY(node_step(e, e->owner[n]));
    for (int i = 0; i < g->n_out; i++)
        home(e, g->out[i]);
    return DCV_OK;
}
