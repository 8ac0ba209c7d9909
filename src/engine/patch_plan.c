/* patch_plan.c -- which values stay local, their boxes for every window, and which windows share a head. */
#include <string.h>
#include "engine/build.h"
#include "engine/ops/batchnorm.h"
#include "engine/patch_plan.h"

/* Along an axis: the square of it is the number of heads, each of which takes 0.3 to 0.9 MB.  Six do 1 % more
 * multiply-adds than eight, with more windows that go together. */
enum { MOST_CLASSES = 6, MOST_SIZES = 64 };

/* What making a head costs, in multiply-adds of the same time: some milliseconds (tests/bench/README.md). */
static const double head_macs = 1e8;

/* --- what stays local --- */

static bool is_map(const dcv_value *v)
{
    return v->dims.n == 4 && v->dims.d[0] == 1 && v->type == DCV_F32 && v->batched;
}

static bool tracked(dcv_reach *const r[2], int v)
{
    return dcv_reach_axis(r[0], v) == 2 && dcv_reach_axis(r[1], v) == 3;
}

static bool reads_same_cell(const dcv_graph *g, int node, int k, int j)
{
    const dcv_dims *x = &g->value[g->node[node].in[k]].dims, *y = &g->value[g->node[node].out[j]].dims;
    for (int axis = 2; axis < 4; axis++) {
        if (x->d[axis] != y->d[axis] || dcv_node_carries(g, node, k, axis, j) != axis)
            return false;
        for (int64_t o = 0; o < y->d[axis]; o++) {
            const dcv_span s = dcv_node_reads(g, node, k, axis, j, (dcv_span){o, o + 1});
            if (s.lo != o || s.hi != o + 1)
                return false;
        }
    }
    return true;
}

/* A constant that differs from cell to cell would have to be cut to the box. */
static bool varies(const dcv_graph *g, int node, int k)
{
    const dcv_node *nd = &g->node[node];
    const dcv_value *x = &g->value[nd->in[k]];
    if (x->type != DCV_F32 || nd->op == &dcv_op_batchnormalization)
        return false;
    for (int i = 0; i < x->dims.n; i++)
        if (x->dims.d[i] > 1 && dcv_node_carries(g, node, k, i, 0) >= 2)
            return true;
    return false;
}

static bool computes_cell_by_cell(const dcv_patches *p, int node)
{
    const dcv_node *nd = &p->g->node[node];
    for (int k = 0; k < nd->n_in; k++) {
        if (nd->in[k] < 0)
            continue;
        if (p->kind[nd->in[k]] == DCV_PATCH_NONE) {
            if (varies(p->g, node, k))
                return false;
            continue;
        }
        for (int j = 0; j < nd->n_out; j++)
            if (nd->out[j] >= 0 && !reads_same_cell(p->g, node, k, j))
                return false;
    }
    return true;
}

/* Boxes of a node's output come in multiples of so many cells. */
static int64_t phase_of(const dcv_graph *g, int node, int axis)
{
    const dcv_node *nd = &g->node[node];
    return nd->op->crop && nd->op->phase ? nd->op->phase(g, nd, axis) : 1;
}

static bool can_crop(const dcv_patches *p, int node)
{
    dcv_node nd = p->g->node[node];
    float border;
    for (int axis = 2; axis < 4; axis++) /* boxes at the end, too */
        if (p->g->value[nd.out[0]].dims.d[axis] % phase_of(p->g, node, axis))
            return false;
    for (int k = 1; k < nd.n_in; k++)
        if (nd.in[k] >= 0 && p->kind[nd.in[k]] != DCV_PATCH_NONE)
            return false;
    void *attr = dcv_alloc(nd.op->attr_size, 1);
    if (!attr)
        return false;
    memcpy(attr, nd.attr, nd.op->attr_size);
    nd.attr = attr;
    const bool can = nd.op->crop(p->g, &nd, &border);
    dcv_free(attr);
    return can;
}

static bool stays_local(const dcv_patches *p, dcv_reach *const r[2], int node)
{
    const dcv_node *nd = &p->g->node[node];
    for (int j = 0; j < nd->n_out; j++)
        if (nd->out[j] >= 0 && (!is_map(&p->g->value[nd->out[j]]) || !tracked(r, nd->out[j])))
            return false;
    for (int k = 0; k < nd->n_in; k++)
        if (nd->in[k] >= 0 && (p->kind[nd->in[k]] == DCV_PATCH_WHOLE ||
                               (p->kind[nd->in[k]] == DCV_PATCH_NONE && p->g->value[nd->in[k]].batched)))
            return false;
    return nd->op->crop ? can_crop(p, node) : computes_cell_by_cell(p, node);
}

static bool depends(const dcv_patches *p, const dcv_node *nd)
{
    for (int k = 0; k < nd->n_in; k++)
        if (nd->in[k] >= 0 && p->kind[nd->in[k]] != DCV_PATCH_NONE)
            return true;
    return false;
}

static void find_kinds(dcv_patches *p, dcv_reach *const r[2])
{
    const dcv_graph *g = p->g;
    p->kind[g->in[0]] = is_map(&g->value[g->in[0]]) ? DCV_PATCH_LOCAL : DCV_PATCH_WHOLE;
    for (int i = 0; i < g->n_node; i++) {
        if (!depends(p, &g->node[i]))
            continue;
        const dcv_patch_kind k = stays_local(p, r, i) ? DCV_PATCH_LOCAL : DCV_PATCH_WHOLE;
        for (int j = 0; j < g->node[i].n_out; j++)
            if (g->node[i].out[j] >= 0)
                p->kind[g->node[i].out[j]] = k;
    }
}

/* Boxes that must begin and end at certain cells are made so, which costs nothing but work. */
static void widen(const dcv_patches *p, int axis)
{
    const dcv_graph *g = p->g;
    for (int n = 0; n < g->n_node; n++) {
        const int v = g->node[n].n_out ? g->node[n].out[0] : -1;
        if (v < 0 || p->kind[v] != DCV_PATCH_LOCAL)
            continue;
        const int64_t phase = phase_of(g, n, 2 + axis);
        for (int i = 0; phase > 1 && i < p->o.n_window[axis]; i++) {
            dcv_span *s = &p->exact[axis][(size_t)i * (size_t)g->n_value + (size_t)v];
            if (s->hi > s->lo)
                *s = (dcv_span){s->lo / phase * phase, (s->hi + phase - 1) / phase * phase};
        }
    }
}

bool dcv_patch_needs(const dcv_patches *p, int node)
{
    const dcv_node *nd = &p->g->node[node];
    for (int j = 0; j < nd->n_out; j++)
        if (nd->out[j] >= 0 && p->needed[nd->out[j]])
            return true;
    return false;
}

dcv_patch_kind dcv_patch_kind_of(const dcv_patches *p, int node)
{
    return dcv_patch_needs(p, node) ? p->kind[p->g->node[node].out[0]] : DCV_PATCH_NONE;
}

static void find_needed(dcv_patches *p)
{
    const dcv_graph *g = p->g;
    for (int v = 0; v < g->n_value; v++)
        p->needed[v] = p->seen[v];
    for (int i = g->n_node - 1; i >= 0; i--)
        for (int k = 0; dcv_patch_needs(p, i) && k < g->node[i].n_in; k++)
            if (g->node[i].in[k] >= 0)
                p->needed[g->node[i].in[k]] = true;
    for (int i = 0; i < g->n_node; i++)
        for (int k = 0; dcv_patch_kind_of(p, i) == DCV_PATCH_WHOLE && k < g->node[i].n_in; k++)
            if (g->node[i].in[k] >= 0 && p->kind[g->node[i].in[k]] == DCV_PATCH_LOCAL)
                p->cut[g->node[i].in[k]] = true;
}

/* --- classes --- */

/* Work of a cell of a value along an axis, for all windows along the other: weights of its extent in a class. */
static void weigh(const dcv_patches *p, int axis, double *weight)
{
    const dcv_graph *g = p->g;
    const int other = !axis;
    for (int v = 0; v < g->n_value; v++) {
        const int node = g->value[v].producer;
        if (p->kind[v] != DCV_PATCH_LOCAL || !p->needed[v] || node < 0 || !is_map(&g->value[v]))
            continue;
        const dcv_dims *d = &g->value[v].dims;
        double cells = 0;
        for (int i = 0; i < p->o.n_window[other]; i++) {
            const dcv_span s = p->exact[other][(size_t)i * (size_t)g->n_value + (size_t)v];
            cells += (double)(s.hi - s.lo);
        }
        const double whole = (double)(dcv_node_macs(g, node) + 4 * dcv_count(d));
        weight[v] = whole * cells / (double)(d->d[2] * d->d[3]);
    }
}

/* Classes under construction: extents, how many windows. */
typedef struct classes {
    int n, n_value;
    int64_t *size; /* [n][n_value] */
    int64_t *count;
    const double *weight;
} classes;

static double cost(const classes *c, int a, int b)
{
    double sum = 0;
    const int64_t *x = c->size + (size_t)a * (size_t)c->n_value, *y = c->size + (size_t)b * (size_t)c->n_value;
    for (int v = 0; v < c->n_value; v++)
        sum += c->weight[v] * (double)(x[v] > y[v] ? x[v] : y[v]);
    return sum;
}

static double increase(const classes *c, int a, int b)
{
    return (double)(c->count[a] + c->count[b]) * cost(c, a, b) - (double)c->count[a] * cost(c, a, a) -
           (double)c->count[b] * cost(c, b, b);
}

static void join(classes *c, int a, int b, int *class_of, int n)
{
    const size_t nv = (size_t)c->n_value;
    for (size_t v = 0; v < nv; v++)
        if (c->size[(size_t)b * nv + v] > c->size[(size_t)a * nv + v])
            c->size[(size_t)a * nv + v] = c->size[(size_t)b * nv + v];
    c->count[a] += c->count[b];
    c->n--;
    memmove(c->size + (size_t)b * nv, c->size + ((size_t)b + 1) * nv, (size_t)(c->n - b) * nv * sizeof *c->size);
    memmove(c->count + b, c->count + b + 1, (size_t)(c->n - b) * sizeof *c->count);
    for (int i = 0; i < n; i++)
        class_of[i] = class_of[i] == b ? a : class_of[i] > b ? class_of[i] - 1 : class_of[i];
}

/* Join the two classes that cost least, while that costs less than the heads it saves. */
static void join_cheap(const dcv_patches *p, classes *c, int others, int *class_of, int n)
{
    while (c->n > 1) {
        int a = 0, b = 1;
        double least = -1;
        for (int i = 0; i < c->n; i++)
            for (int k = i + 1; k < c->n; k++) {
                const double d = increase(c, i, k);
                if (least < 0 || d < least) {
                    least = d;
                    a = i;
                    b = k;
                }
            }
        if (c->n <= MOST_CLASSES && least * (double)p->o.pictures >= head_macs * others)
            return;
        join(c, a, b, class_of, n);
    }
}

/* The class of equal extents, a new one where there is none; the nearest one where there are too many. */
static int class_for(classes *c, const int64_t *size)
{
    const size_t nv = (size_t)c->n_value;
    for (int i = 0; i < c->n; i++)
        if (!memcmp(c->size + (size_t)i * nv, size, nv * sizeof *size))
            return i;
    if (c->n < MOST_SIZES) {
        memcpy(c->size + (size_t)c->n * nv, size, nv * sizeof *size);
        return c->n++;
    }
    for (size_t v = 0; v < nv; v++)
        if (size[v] > c->size[(size_t)(c->n - 1) * nv + v])
            c->size[(size_t)(c->n - 1) * nv + v] = size[v];
    return c->n - 1;
}

static dcv_status find_classes(dcv_patches *p, int axis, int others)
{
    const size_t nv = (size_t)p->g->n_value;
    const int n = p->o.n_window[axis];
    double *weight = dcv_alloc(nv, sizeof *weight);
    int64_t *size = dcv_alloc(nv, sizeof *size);
    classes c = {.n_value = (int)nv, .weight = weight};
    c.size = dcv_arena_alloc(p->arena, MOST_SIZES * nv, sizeof *c.size);
    c.count = dcv_arena_alloc(p->arena, MOST_SIZES, sizeof *c.count);
    const bool ok = weight && size && c.size && c.count;
    for (int i = 0; ok && i < n; i++) {
        for (size_t v = 0; v < nv; v++) {
            const dcv_span s = p->exact[axis][(size_t)i * nv + v];
            size[v] = p->kind[v] == DCV_PATCH_LOCAL ? s.hi - s.lo : 0;
        }
        p->class_of[axis][i] = class_for(&c, size);
        c.count[p->class_of[axis][i]]++;
    }
    if (ok) {
        weigh(p, axis, weight);
        join_cheap(p, &c, others, p->class_of[axis], n);
    }
    p->n_class[axis] = c.n;
    p->size[axis] = c.size;
    dcv_free(weight);
    dcv_free(size);
    return ok ? DCV_OK : DCV_ENOMEM;
}

/* --- making --- */

static dcv_status tables(dcv_patches *p, const dcv_patches_options *o)
{
    const size_t nv = (size_t)p->g->n_value;
    p->kind = dcv_arena_alloc(p->arena, nv, sizeof *p->kind);
    p->needed = dcv_arena_alloc(p->arena, nv, sizeof *p->needed);
    p->seen = dcv_arena_alloc(p->arena, nv, sizeof *p->seen);
    p->cut = dcv_arena_alloc(p->arena, nv, sizeof *p->cut);
    p->clean = dcv_arena_alloc(p->arena, nv, sizeof *p->clean);
    p->clean_block = dcv_arena_alloc(p->arena, nv, sizeof *p->clean_block);
    p->clean_at = dcv_arena_alloc(p->arena, nv, sizeof *p->clean_at);
    if (!p->kind || !p->needed || !p->seen || !p->cut || !p->clean || !p->clean_block || !p->clean_at)
        return DCV_ENOMEM;
    for (int i = 0; i < o->n_seen; i++)
        p->seen[o->seen[i]] = true;
    for (int a = 0; a < 2; a++) {
        const size_t n = (size_t)o->n_window[a];
        p->window[a] = dcv_arena_alloc(p->arena, n, sizeof *p->window[a]);
        p->class_of[a] = dcv_arena_alloc(p->arena, n, sizeof *p->class_of[a]);
        p->exact[a] = dcv_arena_alloc(p->arena, n * nv, sizeof *p->exact[a]);
        if (!p->window[a] || !p->class_of[a] || !p->exact[a])
            return DCV_ENOMEM;
        memcpy(p->window[a], o->window[a], n * sizeof *p->window[a]);
    }
    return DCV_OK;
}

static dcv_status project(dcv_patches *p)
{
    dcv_reach *r[2] = {NULL, NULL};
    dcv_status st = DCV_OK;
    for (int a = 0; a < 2; a++) {
        DCV_TRY_DONE(st, dcv_reach_new(p->g, p->g->in[0], a, &r[a]));
        for (int i = 0; i < p->o.n_window[a]; i++)
            dcv_reach_forward(r[a], p->window[a][i], p->exact[a] + (size_t)i * (size_t)p->g->n_value);
    }
    find_kinds(p, r);
    for (int a = 0; a < 2; a++)
        widen(p, a);
    find_needed(p);
done:
    dcv_reach_free(r[0]);
    dcv_reach_free(r[1]);
    return st;
}

static void mark_clean(dcv_patches *p)
{
    const int heads = p->n_class[0] * p->n_class[1];
    for (int i = 0; i < heads; i++)
        for (int k = 0; k < p->head[i].n_paste; k++) {
            const dcv_patch_attr *a = p->head[i].g.node[p->head[i].paste[k]].attr;
            p->clean[a->value] = true;
        }
    for (int v = 0; v < p->g->n_value; v++)
        p->clean[v] = p->clean[v] || p->cut[v] || (p->seen[v] && p->kind[v] == DCV_PATCH_LOCAL);
    p->clean[p->g->in[0]] = true;
}

static dcv_status make(dcv_patches *p, const dcv_patches_options *o)
{
    DCV_TRY(dcv_arena_new(&p->arena));
    DCV_TRY(tables(p, o));
    DCV_TRY(project(p));
    DCV_TRY(find_classes(p, 0, MOST_CLASSES));
    DCV_TRY(find_classes(p, 1, p->n_class[0]));
    p->head = dcv_arena_alloc(p->arena, (size_t)p->n_class[0] * (size_t)p->n_class[1], sizeof *p->head);
    if (!p->head)
        return DCV_ENOMEM;
    for (int a = 0; a < p->n_class[0]; a++)
        for (int b = 0; b < p->n_class[1]; b++)
            DCV_TRY(dcv_patch_head_make(p, a, b, &p->head[a * p->n_class[1] + b]));
    mark_clean(p);
    return dcv_patch_tail_make(p);
}

dcv_status dcv_patches_new(const dcv_graph *g, const dcv_patches_options *o, dcv_patches **out)
{
    dcv_patches *p = *out = dcv_alloc(1, sizeof *p);
    if (!p)
        return DCV_ENOMEM;
    p->g = g;
    p->o = *o;
    dcv_status st = pthread_mutex_init(&p->lock, NULL) ? dcv_fail(DCV_ENOMEM, "no mutex") : DCV_OK;
    p->locks = st == DCV_OK;
    if (st == DCV_OK)
        st = make(p, o);
    p->o.seen = NULL; /* the caller's */
    p->o.window[0] = p->o.window[1] = NULL;
    if (st != DCV_OK) {
        dcv_patches_free(p);
        *out = NULL;
    }
    return st;
}

void dcv_patches_free(dcv_patches *p)
{
    if (!p)
        return;
    const int heads = p->head ? p->n_class[0] * p->n_class[1] : 0;
    for (int i = 0; i < heads; i++)
        dcv_patch_head_clear(&p->head[i]);
    dcv_patch_head_clear(&p->tail);
    if (p->locks)
        pthread_mutex_destroy(&p->lock);
    dcv_arena_free(p->arena);
    dcv_free(p);
}

int dcv_patches_clean(const dcv_patches *p, int *to)
{
    int n = 0;
    for (int v = 0; v < p->g->n_value; v++)
        if (p->clean[v])
            to[n++] = v;
    return n;
}

int64_t dcv_patches_macs(const dcv_patches *p, int row, int column)
{
    return p->head[p->class_of[0][row] * p->n_class[1] + p->class_of[1][column]].macs + p->tail.macs;
}

int64_t dcv_patches_full(const dcv_patches *p)
{
    return dcv_graph_macs(p->g);
}

/* A convolution over more than one cell, or a product of more than one row: tokens. */
static bool works_on_places(const dcv_graph *g, const dcv_node *nd)
{
    const dcv_dims *d = &g->value[nd->out[0]].dims;
    if (!strncmp(nd->op->name, "Conv", 4))
        return d->n == 4 && d->d[2] * d->d[3] > 1;
    return !strcmp(nd->op->name, "MatMul") && d->n >= 3 && dcv_count(d) > d->d[d->n - 1];
}

int dcv_patches_falls_back(const dcv_patches *p)
{
    const dcv_graph *g = p->g;
    int first = -1;
    for (int i = 0; i < g->n_node; i++) {
        if (dcv_patch_kind_of(p, i) != DCV_PATCH_WHOLE)
            continue;
        first = first < 0 ? i : first;
        if (works_on_places(g, &g->node[i]))
            return first;
    }
    return -1;
}

dcv_span dcv_patch_box(const dcv_patches *p, const dcv_patch_head *h, int axis, int window, int v)
{
    const dcv_span s = p->exact[axis][(size_t)window * (size_t)p->g->n_value + (size_t)v];
    const int64_t n = h->g.value[v].dims.d[2 + axis], last = p->g->value[v].dims.d[2 + axis] - n;
    const int64_t lo = s.hi <= s.lo ? 0 : s.lo < last ? s.lo : last;
    return (dcv_span){lo, lo + n};
}
