/* back_box.c -- the plan of walks back by boxes, and these walks.
 *
 * A box has an engine of its own that shares nodes, chains and weights with the engine that it is for, has other
 * extents, and borders such that its cells line up with those of the maps.  All that the walk forward kept is copied
 * out of the maps, box by box, before a walk.
 */
#include "engine/back_box.h"

#include <string.h>
#include "engine/back.h"
#include "engine/box.h"
#include "engine/ops/gate.h"
#include "engine/ops/pool.h"

/* Boxes are taken where they cost at most this share of the whole maps' multiply-adds: the rest goes into copying. */
static const double worth_it = 0.75;

/* Cells first + step y, n of them, for the place at y. */
typedef struct stretch {
    bool on;
    int64_t first, step, n;
} stretch;

/* Values keep their numbers; what is cut out of a larger box for one reader comes after them. */
typedef struct dcv_back_box {
    const dcv_engine *whole;
    int from;
    stretch *along[2]; /* [n_value] rows, columns */
    int *of;           /* [n_value] the value of the whole maps */
    int *node_of;      /* [n_node] the node of the whole maps, -1: a cut */
    dcv_graph g;
    dcv_engine e;
    int64_t macs;
} dcv_back_box;

/* ---- which graphs ---- */

static bool is_map(const dcv_graph *g, int v)
{
    return g->value[v].dims.n == 4 && g->value[v].dims.d[0] == 1 && g->value[v].type == DCV_F32;
}

static bool same_map(const dcv_graph *g, int a, int b)
{
    return g->value[a].dims.d[2] == g->value[b].dims.d[2] && g->value[a].dims.d[3] == g->value[b].dims.d[3];
}

/* The same for every cell of a channel? */
static bool is_even(const dcv_value *x)
{
    const int n = x->dims.n;
    return dcv_count(&x->dims) == 1 || (n >= 2 && x->dims.d[n - 1] == 1 && x->dims.d[n - 2] == 1);
}

/* Do all windows have the same divisor?  They lie inside, or the border counts and they lie inside that. */
static bool is_even_pool(const dcv_graph *g, const dcv_node *nd)
{
    const dcv_pool_attr *a = nd->attr;
    for (int i = 0; i < a->window.n_space; i++) {
        const dcv_window *w = &a->window.win[i];
        const int64_t in = g->value[nd->in[0]].dims.d[2 + i], out = g->value[nd->out[0]].dims.d[2 + i];
        const int64_t end = (out - 1) * w->stride - w->pad_lo + (w->kernel - 1) * w->dilation + 1;
        if (a->count_include_pad ? end > in + w->pad_hi : w->pad_lo || w->pad_hi || end > in)
            return false;
    }
    return a->window.n_space == 2;
}

/* Cells of maps that stay apart, with constants that are the same everywhere. */
static bool is_cellwise(const dcv_engine *e, int n)
{
    const dcv_graph *g = e->g;
    const dcv_node *nd = &g->node[n];
    const bool channels = dcv_plan_is(e, n, "BatchNormalization");
    if (!channels && !dcv_plan_is(e, n, "LRN") && !dcv_plan_is(e, n, "Concat") &&
        !(nd->op->flags & (DCV_OP_ELEMENTWISE | DCV_OP_VIEW)))
        return false;
    for (int k = 0; k < nd->n_in; k++) {
        const dcv_value *x = nd->in[k] >= 0 ? &g->value[nd->in[k]] : NULL;
        if (x && (x->batched ? !same_map(g, nd->in[k], nd->out[0]) : !channels && !is_even(x)))
            return false;
    }
    return !(nd->op->flags & DCV_OP_VIEW) || dcv_dims_equal(&g->value[nd->in[0]].dims, &g->value[nd->out[0]].dims);
}

static bool has_windows(const dcv_engine *e, int n)
{
    dcv_conv_desc c;
    return (dcv_plan_conv(e, n, &c) && !c.transposed) || dcv_plan_is(e, n, "MaxPool") || dcv_plan_is(e, n, "AveragePool");
}

/* Does a node do the same at every place of its map? */
static bool is_even_node(const dcv_engine *e, int n)
{
    const dcv_graph *g = e->g;
    const dcv_node *nd = &g->node[n];
    dcv_conv_desc c;
    for (int j = 1; j < nd->n_out; j++)
        if (nd->out[j] >= 0 && g->value[nd->out[j]].n_use)
            return false;
    if (!is_map(g, nd->out[0]))
        return false;
    for (int k = 0; k < nd->n_in; k++)
        if (nd->in[k] >= 0 && g->value[nd->in[k]].batched && !is_map(g, nd->in[k]))
            return false;
    if (dcv_plan_conv(e, n, &c))
        return c.n_space == 2 && !c.transposed;
    if (dcv_plan_is(e, n, "AveragePool"))
        return is_even_pool(g, nd);
    return dcv_plan_is(e, n, "MaxPool") || is_cellwise(e, n);
}

/* ---- geometry ---- */

/* What input k of a node reads for stretch y of its output; false where it is no stretch. */
static bool read_by(const dcv_graph *g, int n, int k, int axis, const stretch *y, stretch *x)
{
    const dcv_span here = {y->first, y->first + y->n}, next = {here.lo + y->step, here.hi + y->step};
    if (dcv_node_carries(g, n, k, axis, 0) != axis)
        return false;
    const dcv_span a = dcv_node_reads(g, n, k, axis, 0, here), b = dcv_node_reads(g, n, k, axis, 0, next);
    *x = (stretch){true, a.lo, b.lo - a.lo, a.hi - a.lo};
    return x->step > 0 && b.hi - b.lo == x->n;
}

/* The hull of both, if they move together. */
static bool join(const stretch *x, stretch *to)
{
    const int64_t end = x->first + x->n > to->first + to->n ? x->first + x->n : to->first + to->n;
    if (to->on && to->step != x->step)
        return false;
    if (!to->on) {
        *to = *x;
        return true;
    }
    to->first = x->first < to->first ? x->first : to->first;
    to->n = end - to->first;
    return true;
}

/* Stretches of all values that a place of from can reach, along axis 2 or 3; false where some are none. */
static bool stretches(const dcv_engine *e, int from, int axis, stretch *to)
{
    const dcv_graph *g = e->g;
    to[from] = (stretch){true, 0, 1, 1};
    for (int n = g->value[from].producer; n >= 0; n--) {
        const dcv_node *nd = &g->node[n];
        if (nd->n_out < 1 || nd->out[0] < 0 || !to[nd->out[0]].on)
            continue;
        if (!is_even_node(e, n))
            return false;
        for (int k = 0; k < nd->n_in; k++) {
            stretch x;
            if (nd->in[k] < 0 || !g->value[nd->in[k]].batched)
                continue;
            if (!read_by(g, n, k, axis, &to[nd->out[0]], &x) || !join(&x, &to[nd->in[k]]))
                return false;
        }
    }
    return to[g->in[0]].on;
}

/* ---- a part of a box, for one that reads no more ---- */

typedef struct cut_attr {
    int64_t at[2]; /* row and column of the box where the part begins */
} cut_attr;

static void cut_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    const cut_attr *a = nd->attr;
    const dcv_blob *y = &io->gy[0], *x = &io->gx[0];
    const dcv_blob_shape s = dcv_blob_shape_of(x->dims, x->block);
    const int64_t h = y->dims->d[2], run = y->dims->d[3] * y->block, row = x->dims->d[3] * x->block;
    (void)g;
    memset(x->data, 0, (size_t)s.floats * sizeof *x->data);
    for (int64_t b = 0; b < s.blocks; b++)
        for (int64_t r = 0; r < h; r++)
            memcpy(x->data + (b * x->dims->d[2] + a->at[0] + r) * row + a->at[1] * x->block,
                   y->data + (b * h + r) * run, (size_t)run * sizeof *x->data);
}

static const dcv_op cut_op = {.name = "(part of a box)",
                              .min_in = 1,
                              .max_in = 1,
                              .max_out = 1,
                              .layout = DCV_LAYOUT_SAME,
                              .back_layout = DCV_LAYOUT_SAME,
                              .backward = cut_backward};

/* ---- the box's graph ---- */

static bool same_stretches(const dcv_back_box *b, int v, int w)
{
    for (int i = 0; i < 2; i++)
        if (b->along[i][v].first != b->along[i][w].first || b->along[i][v].n != b->along[i][w].n)
            return false;
    return true;
}

static bool is_on(const dcv_back_box *b, const dcv_node *nd)
{
    return nd->n_out > 0 && nd->out[0] >= 0 && b->along[0][nd->out[0]].on;
}

/* Must node n (of the whole maps) have input k cut for it?  Windows find their cells themselves. */
static bool wants_cut(const dcv_back_box *b, int n, int k)
{
    const dcv_graph *g = b->whole->g;
    const dcv_node *nd = &g->node[n];
    return is_on(b, nd) && !has_windows(b->whole, n) && nd->in[k] >= 0 && g->value[nd->in[k]].batched &&
           !same_stretches(b, nd->in[k], nd->out[0]);
}

/* Value x cut to the box of value y: a node of its own, unless there is one. */
static dcv_status cut(dcv_back_box *b, int x, int y, int *out)
{
    dcv_arena *arena = b->whole->arena;
    for (int v = b->whole->g->n_value; v < b->g.n_value; v++)
        if (b->of[v] == x && same_stretches(b, v, y)) {
            *out = v;
            return DCV_OK;
        }
    const int v = b->g.n_value++, n = b->g.n_node++;
    cut_attr *attr = dcv_arena_alloc(arena, 1, sizeof *attr);
    int *ends = dcv_arena_alloc(arena, 2, sizeof *ends);
    if (!attr || !ends)
        return DCV_ENOMEM;
    for (int i = 0; i < 2; i++) {
        b->along[i][v] = b->along[i][y];
        attr->at[i] = b->along[i][y].first - b->along[i][x].first;
    }
    b->g.value[v] = b->g.value[x];
    b->g.value[v].producer = n;
    b->of[v] = x;
    ends[0] = x;
    ends[1] = v;
    b->g.node[n] = (dcv_node){
        .name = b->g.value[x].name, .op = &cut_op, .attr = attr, .n_in = 1, .n_out = 1, .in = ends, .out = ends + 1};
    b->node_of[n] = -1;
    *out = v;
    return DCV_OK;
}

/* Borders of a node's windows between its boxes: none of them is left of 0. */
static void line_up(const dcv_back_box *b, const dcv_node *nd, dcv_window_attr *a)
{
    for (int i = 0; i < 2; i++) {
        const stretch *x = &b->along[i][nd->in[0]], *y = &b->along[i][nd->out[0]];
        dcv_window *w = &a->win[i];
        const int64_t lo = y->first * w->stride - w->pad_lo,
                      hi = lo + (y->n - 1) * w->stride + (w->kernel - 1) * w->dilation + 1;
        w->pad_lo = x->first - lo;
        w->pad_hi = hi - (x->first + x->n);
    }
}

/* Node n of the whole maps, after what is cut for it. */
static dcv_status add_node(dcv_back_box *b, int n)
{
    const dcv_node *from = &b->whole->g->node[n];
    dcv_arena *arena = b->whole->arena;
    dcv_node nd = *from;
    nd.in = dcv_arena_alloc(arena, (size_t)nd.n_in + 1, sizeof *nd.in);
    if (!nd.in)
        return DCV_ENOMEM;
    for (int k = 0; k < nd.n_in; k++) {
        nd.in[k] = from->in[k];
        if (wants_cut(b, n, k))
            DCV_TRY(cut(b, from->in[k], from->out[0], &nd.in[k]));
    }
    if (is_on(b, from) && has_windows(b->whole, n)) {
        nd.attr = dcv_arena_alloc(arena, 1, nd.op->attr_size);
        if (!nd.attr)
            return DCV_ENOMEM;
        memcpy(nd.attr, from->attr, nd.op->attr_size);
        line_up(b, &nd, nd.attr); /* first in the structs of convolutions and pools alike */
    }
    for (int j = 0; j < nd.n_out; j++)
        if (nd.out[j] >= 0)
            b->g.value[nd.out[j]].producer = b->g.n_node;
    b->node_of[b->g.n_node] = n;
    b->g.node[b->g.n_node++] = nd;
    return DCV_OK;
}

/* Does a node read the value of input k by an earlier one, too? */
static bool has_read(const dcv_node *nd, int k)
{
    for (int i = 0; i < k; i++)
        if (nd->in[i] == nd->in[k])
            return true;
    return false;
}

/* Which nodes read a value, each once. */
static dcv_status list_uses(dcv_back_box *b)
{
    dcv_graph *g = &b->g;
    int64_t all = 1;
    for (int v = 0; v < g->n_value; v++)
        g->value[v].n_use = 0;
    for (int n = 0; n < g->n_node; n++)
        for (int k = 0; k < g->node[n].n_in; k++, all++)
            if (g->node[n].in[k] >= 0)
                g->value[g->node[n].in[k]].n_use++;
    int *use = dcv_arena_alloc(b->whole->arena, (size_t)all, sizeof *use);
    if (!use)
        return DCV_ENOMEM;
    for (int v = 0; v < g->n_value; v++) {
        g->value[v].use = use;
        use += g->value[v].n_use;
        g->value[v].n_use = 0;
    }
    for (int n = 0; n < g->n_node; n++)
        for (int k = 0; k < g->node[n].n_in; k++) {
            dcv_value *x = g->node[n].in[k] >= 0 ? &g->value[g->node[n].in[k]] : NULL;
            if (x && !has_read(&g->node[n], k))
                x->use[x->n_use++] = n;
        }
    return DCV_OK;
}

static dcv_status make_room(dcv_back_box *b)
{
    const dcv_graph *g = b->whole->g;
    dcv_arena *arena = b->whole->arena;
    size_t cuts = 0;
    for (int n = 0; n <= g->value[b->from].producer; n++)
        for (int k = 0; k < g->node[n].n_in; k++)
            cuts += wants_cut(b, n, k);
    const size_t nv = (size_t)g->n_value + cuts, nn = (size_t)g->n_node + cuts;
    b->g = *g;
    b->g.value = dcv_arena_alloc(arena, nv, sizeof *b->g.value);
    b->g.node = dcv_arena_alloc(arena, nn, sizeof *b->g.node);
    b->of = dcv_arena_alloc(arena, nv, sizeof *b->of);
    b->node_of = dcv_arena_alloc(arena, nn, sizeof *b->node_of);
    if (!b->g.value || !b->g.node || !b->of || !b->node_of)
        return DCV_ENOMEM;
    for (int i = 0; i < 2; i++) {
        stretch *more = dcv_arena_alloc(arena, nv, sizeof *more);
        if (!more)
            return DCV_ENOMEM;
        memcpy(more, b->along[i], (size_t)g->n_value * sizeof *more);
        b->along[i] = more;
    }
    return DCV_OK;
}

static dcv_status make_graph(dcv_back_box *b)
{
    const dcv_graph *g = b->whole->g;
    DCV_TRY(make_room(b));
    memcpy(b->g.value, g->value, (size_t)g->n_value * sizeof *g->value);
    for (int v = 0; v < g->n_value; v++)
        b->of[v] = v;
    b->g.n_node = 0;
    for (int n = 0; n < g->n_node; n++)
        DCV_TRY(add_node(b, n));
    for (int v = 0; v < b->g.n_value; v++)
        for (int i = 0; i < 2; i++)
            if (b->along[i][v].on)
                b->g.value[v].dims.d[2 + i] = b->along[i][v].n;
    return list_uses(b);
}

/* ---- plan ---- */

static int64_t macs_of(const dcv_back_box *b, const dcv_graph *g)
{
    int64_t sum = 0;
    for (int n = g->value[b->from].producer; n >= 0; n--)
        sum += is_on(b, &g->node[n]) ? dcv_node_macs(g, n) : 0;
    return sum;
}

/* What the plan of walks back reads of an engine's own plan, in the box's numbers. */
static dcv_status translate(dcv_back_box *b)
{
    const dcv_engine *whole = b->whole;
    dcv_engine *e = &b->e;
    const size_t nn = (size_t)b->g.n_node;
    e->level = dcv_arena_alloc(e->arena, nn, sizeof *e->level);
    e->owner = dcv_arena_alloc(e->arena, nn, sizeof *e->owner);
    e->chain = dcv_arena_alloc(e->arena, nn, sizeof *e->chain);
    e->step_of = dcv_arena_alloc(e->arena, nn, sizeof *e->step_of);
    int *number = dcv_arena_alloc(e->arena, (size_t)whole->g->n_node + 1, sizeof *number);
    if (!e->level || !e->owner || !e->chain || !e->step_of || !number)
        return DCV_ENOMEM;
    for (int n = 0; n < b->g.n_node; n++)
        if (b->node_of[n] >= 0)
            number[b->node_of[n]] = n;
    for (int n = 0; n < b->g.n_node; n++) {
        const int w = b->node_of[n];
        dcv_chain *c = &e->chain[n];
        e->level[n] = w < 0 ? 0 : whole->level[w]; /* cuts are for nodes of level 0 alone */
        e->owner[n] = w < 0 ? n : number[whole->owner[w]];
        e->step_of[n] = w < 0 ? -1 : whole->step_of[w];
        *c = w < 0 ? (dcv_chain){.bn = -1, .sum = -1, .addend = -1, .act = -1, .last = n} : whole->chain[w];
        if (w < 0)
            continue;
        c->bn = c->bn < 0 ? -1 : number[c->bn];
        c->sum = c->sum < 0 ? -1 : number[c->sum];
        c->act = c->act < 0 ? -1 : number[c->act];
        c->last = number[c->last];
    }
    return DCV_OK;
}

/* Values lie in the layouts that they have in the whole maps. */
static dcv_status make_engine(dcv_back_box *b)
{
    const dcv_engine *whole = b->whole;
    dcv_engine *e = &b->e;
    const size_t n = (size_t)b->g.n_value;
    *e = *whole;
    e->g = &b->g;
    e->o.back = &b->from;
    e->o.n_back = 1;
    e->o.boxes = DCV_BOXES_NONE;
    e->back_plan = NULL;
    e->n_spot = (int)n;
    e->held = dcv_arena_alloc(e->arena, n, sizeof *e->held);
    e->home = dcv_arena_alloc(e->arena, n, sizeof *e->home);
    e->spot = dcv_arena_alloc(e->arena, n, sizeof *e->spot);
    if (!e->held || !e->home || !e->spot)
        return DCV_ENOMEM;
    for (int v = 0; v < (int)n; v++) {
        e->home[v] = v;
        e->spot[v] = (dcv_spot){.kind = DCV_SPOT_ARENA, .value = v, .block = whole->back_plan->value[b->of[v]].block};
    }
    DCV_TRY(translate(b));
    DCV_TRY(dcv_back_mark(e));
    return dcv_back_plan(e);
}

static dcv_status plan(dcv_engine *e, int from, dcv_back_box *b)
{
    const size_t n = (size_t)e->g->n_value;
    *b = (dcv_back_box){.whole = e, .from = from};
    for (int i = 0; i < 2; i++) {
        b->along[i] = dcv_arena_alloc(e->arena, n, sizeof *b->along[i]);
        if (!b->along[i])
            return DCV_ENOMEM;
    }
    const int made = e->g->value[from].producer;
    if (made < 0 || e->level[made] || e->g->n_in != 1 || !is_map(e->g, from) || !is_map(e->g, e->g->in[0]) ||
        !stretches(e, from, 2, b->along[0]) || !stretches(e, from, 3, b->along[1]))
        return DCV_OK;
    DCV_TRY(make_graph(b));
    b->macs = macs_of(b, &b->g);
    if (e->o.boxes != DCV_BOXES_ALL && !((double)b->macs <= worth_it * (double)macs_of(b, e->g)))
        return DCV_OK;
    e->back_plan->value[from].box = b;
    DCV_TRY(make_engine(b));
    e->packed_bytes = b->e.packed_bytes;
    return DCV_OK;
}

dcv_status dcv_back_boxes_plan(dcv_engine *e)
{
    for (int i = 0; e->o.boxes && i < e->o.n_back; i++) {
        const int v = e->o.back[i];
        if (!e->back_plan->value[v].seed || e->back_plan->value[v].box)
            continue;
        dcv_back_box *b = dcv_arena_alloc(e->arena, 1, sizeof *b);
        if (!b)
            return DCV_ENOMEM;
        DCV_TRY(plan(e, v, b));
    }
    return DCV_OK;
}

static dcv_back_box *box_of(const dcv_engine *e, int v)
{
    return e->back_plan && v < e->g->n_value ? e->back_plan->value[v].box : NULL;
}

dcv_status dcv_back_boxes_pack(const dcv_engine *e, char *to)
{
    for (int v = 0; v < e->g->n_value; v++)
        if (box_of(e, v))
            DCV_TRY(dcv_back_pack(&box_of(e, v)->e, to));
    return DCV_OK;
}

void dcv_back_boxes_attach(dcv_engine *e, const void *packed)
{
    for (int v = 0; v < e->g->n_value; v++)
        if (box_of(e, v))
            box_of(e, v)->e.packed = packed;
}

void dcv_back_boxes_free(dcv_engine *e)
{
    for (int v = 0; v < e->g->n_value; v++)
        if (box_of(e, v))
            dcv_back_free(&box_of(e, v)->e);
}

int64_t dcv_back_macs(const dcv_engine *e, int from, bool *boxed)
{
    const dcv_back_box *b = box_of(e, from);
    if (boxed)
        *boxed = b;
    if (b)
        return b->macs;
    bool *below = dcv_alloc((size_t)e->g->n_value, sizeof *below);
    int64_t macs = 0;
    DCV_CHECK(below);
    below[from] = true;
    for (int n = e->g->value[from].producer; n >= 0; n--) {
        const dcv_node *nd = &e->g->node[n];
        bool any = false;
        for (int j = 0; j < nd->n_out; j++)
            any = any || (nd->out[j] >= 0 && below[nd->out[j]]);
        for (int k = 0; any && k < nd->n_in; k++)
            if (nd->in[k] >= 0)
                below[nd->in[k]] = true;
        macs += any ? dcv_node_macs(e->g, n) : 0;
    }
    dcv_free(below);
    return macs;
}

/* ---- walks ---- */

struct dcv_box_walk {
    const dcv_back_box *box;
    dcv_back_walk *own;
    const dcv_box_place *place; /* of the walk under way */
};

bool dcv_box_extent(const dcv_engine *e, int from, int64_t *h, int64_t *w)
{
    const dcv_back_box *b = box_of(e, from);
    *h = b ? b->along[0][b->g.in[0]].n : 0;
    *w = b ? b->along[1][b->g.in[0]].n : 0;
    return b;
}

size_t dcv_box_walk_bytes(const dcv_engine *e, int from)
{
    const dcv_back_box *b = box_of(e, from);
    return b ? dcv_back_walk_bytes(&b->e) : 0;
}

void dcv_box_walk_free(dcv_box_walk *b)
{
    if (b)
        dcv_back_walk_free(b->own);
    dcv_free(b);
}

dcv_status dcv_box_walk_new(const dcv_engine *e, int from, dcv_box_walk **out)
{
    const dcv_back_box *box = box_of(e, from);
    *out = NULL;
    if (!box)
        return DCV_OK;
    dcv_box_walk *b = dcv_alloc(1, sizeof *b);
    if (!b)
        return DCV_ENOMEM;
    b->box = box;
    const dcv_status st = dcv_back_walk_new(&box->e, &b->own);
    if (st != DCV_OK) {
        dcv_box_walk_free(b);
        return st;
    }
    *out = b;
    return DCV_OK;
}

void dcv_box_walk_poison(dcv_box_walk *b)
{
    dcv_back_walk_poison(b->own, true);
}

static int64_t begins(const dcv_back_box *b, int axis, int v, int64_t at)
{
    return b->along[axis][v].first + b->along[axis][v].step * at;
}

void dcv_box_walk_reach(const dcv_box_walk *b, int64_t y, int64_t x, dcv_span *rows, dcv_span *cols)
{
    const int in = b->box->g.in[0];
    rows->lo = begins(b->box, 0, in, y);
    rows->hi = rows->lo + b->box->along[0][in].n;
    cols->lo = begins(b->box, 1, in, x);
    cols->hi = cols->lo + b->box->along[1][in].n;
}

/* A value's box: where it begins in the map, and the part of it, from its own start, that lies inside. */
typedef struct part {
    int64_t y, x;
    dcv_span rows, cols;
    const dcv_dims *map, *box;
} part;

/* Padding may be wider than a box: then nothing of it is inside. */
static dcv_span inside(int64_t begin, int64_t n, int64_t extent)
{
    const int64_t before = begin < 0 ? -begin : 0, lo = before < n ? before : n;
    const int64_t hi = extent - begin < n ? extent - begin : n;
    return (dcv_span){lo, hi > lo ? hi : lo};
}

static part part_of(const dcv_back_box *b, int v, const dcv_box_place *p)
{
    part t = {.y = begins(b, 0, v, p->y),
              .x = begins(b, 1, v, p->x),
              .map = &b->whole->g->value[b->of[v]].dims,
              .box = &b->g.value[v].dims};
    t.rows = inside(t.y, t.box->d[2], t.map->d[2]);
    t.cols = inside(t.x, t.box->d[3], t.map->d[3]);
    return t;
}

static bool is_inside(const part *t)
{
    return t->rows.hi - t->rows.lo == t->box->d[2] && t->cols.hi - t->cols.lo == t->box->d[3];
}

/* Cells of whole bytes. */
static void copy_bytes(const part *t, int64_t planes, size_t cell, const char *from, char *to)
{
    const int64_t h = t->map->d[2], w = t->map->d[3], bh = t->box->d[2], bw = t->box->d[3];
    const size_t run = (size_t)(t->cols.hi - t->cols.lo) * cell;
    for (int64_t p = 0; p < planes; p++)
        for (int64_t r = t->rows.lo; r < t->rows.hi; r++)
            memcpy(to + (size_t)((p * bh + r) * bw + t->cols.lo) * cell,
                   from + (size_t)((p * h + t->y + r) * w + t->x + t->cols.lo) * cell, run);
}

/* Cells of one bit. */
static void copy_bits(const part *t, int64_t planes, const uint8_t *from, uint8_t *to)
{
    for (int64_t p = 0; p < planes; p++)
        for (int64_t r = t->rows.lo; r < t->rows.hi; r++) {
            int64_t i = (p * t->map->d[2] + t->y + r) * t->map->d[3] + t->x + t->cols.lo;
            int64_t o = (p * t->box->d[2] + r) * t->box->d[3] + t->cols.lo;
            for (int64_t c = t->cols.lo; c < t->cols.hi; c++, i++, o++)
                to[o / 8] = (uint8_t)(to[o / 8] | (from[i / 8] >> (i % 8) & 1) << (o % 8));
        }
}

/* Copy the box of something kept, so many bits a number, in blocks, to; what lies outside of the map is 0. */
static void copy_part(const part *t, int block, int64_t bits, const char *from, char *to, size_t to_bytes)
{
    const int64_t planes = (t->map->d[1] + block - 1) / block;
    if (!is_inside(t) || bits * block % 8)
        memset(to, 0, to_bytes);
    if (bits * block % 8)
        copy_bits(t, planes, (const uint8_t *)from, (uint8_t *)to);
    else
        copy_bytes(t, planes, (size_t)(bits * block / 8), from, to);
}

/* All that is kept of the place's picture. */
static void fetch(const dcv_box_walk *b, const dcv_back_walk *whole, int s)
{
    const dcv_back_box *x = b->box;
    const dcv_back *to = x->e.back_plan, *from = x->whole->back_plan;
    const dcv_box_place *p = &b->place[s];
    for (int i = 0; i < to->n_order; i++) {
        const int n = to->order[i], v = x->g.node[n].out[0];
        const dcv_back_node *q = &to->node[n];
        if (q->saved < 0 || v < 0)
            continue;
        const dcv_back_node *w = &from->node[x->node_of[n]];
        const int block = to->value[v].block;
        const int64_t floats = dcv_blob_shape_of(&x->g.value[v].dims, block).floats;
        const bool gates = x->g.node[n].op->saved_bytes == dcv_gate_bytes; /* a bit each */
        const int64_t bits = gates ? 1 : 8 * ((int64_t)q->saved_bytes / floats);
        const part t = part_of(x, v, p);
        copy_part(&t, block, bits, dcv_back_kept(whole, p->picture, w->saved), dcv_back_kept(b->own, s, q->saved),
                  q->saved_bytes);
    }
    for (int v = 0; v < x->g.n_value; v++) {
        const dcv_back_value *q = &to->value[v];
        if (q->held < 0 || !q->on)
            continue;
        const part t = part_of(x, v, p);
        copy_part(&t, q->block, 32, dcv_back_kept(whole, p->picture, from->value[x->of[v]].held),
                  dcv_back_kept(b->own, s, q->held),
                  (size_t)dcv_blob_shape_of(&x->g.value[v].dims, q->block).floats * sizeof(float));
    }
}

/* What has come to a value beyond the border of its map comes to nothing. */
static void mask(void *ctx, int s, int v, const dcv_blob *signal)
{
    const dcv_box_walk *b = ctx;
    const part t = part_of(b->box, v, &b->place[s]);
    const int64_t planes = (t.box->d[1] + signal->block - 1) / signal->block, lanes = signal->block;
    if (is_inside(&t))
        return;
    for (int64_t p = 0; p < planes; p++)
        for (int64_t r = 0; r < t.box->d[2]; r++) {
            float *row = signal->data + (p * t.box->d[2] + r) * t.box->d[3] * lanes;
            const bool in = r >= t.rows.lo && r < t.rows.hi;
            memset(row, 0, (size_t)((in ? t.cols.lo : t.box->d[3]) * lanes) * sizeof *row);
            if (in)
                memset(row + t.cols.hi * lanes, 0, (size_t)((t.box->d[3] - t.cols.hi) * lanes) * sizeof *row);
        }
}

void dcv_box_walk_back(dcv_box_walk *b, const dcv_walk *w, const dcv_rule *rule, const dcv_box_place *place, int n,
                       float *const *out)
{
    const dcv_back_walk *whole = dcv_walk_back(w);
    dcv_seed seed[DCV_GROUP];
    DCV_CHECK(whole && n >= 1 && n <= DCV_GROUP);
    b->place = place;
    for (int s = 0; s < n; s++) {
        DCV_CHECK(place[s].picture >= 0 && place[s].picture < dcv_walk_pictures(w));
        fetch(b, whole, s);
        seed[s] = (dcv_seed){s, 1, &place[s].channel, &place[s].weight};
    }
    dcv_back_walk_mask(b->own, mask, b);
    dcv_back_run(b->own, rule, b->box->from, seed, n, b->box->g.in[0], out);
}
