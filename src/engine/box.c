/* box.c -- projections through a graph, along one axis, by sets of cells.
 *
 * A link is one way from an input of a node to one of its outputs.  What each output cell reads through it is asked
 * once and kept; both directions then mark cells.  Reading is the inverse of reaching: output cell o changes if any
 * marked cell is among those it reads, so the projection needs no rule of its own.
 */
#include "engine/box.h"

#include <string.h>

typedef struct link {
    int node, x, y;   /* y = output j of node, x = its input k */
    bool all;         /* any cell reaches every cell */
    bool rising;      /* starts and ends of reads never fall */
    dcv_cells *reads; /* [cells of y] */
} link;

/* Marks of one value: mark[i] of cells lo <= i < hi, 0 elsewhere. */
typedef struct marks {
    uint8_t *mark;
    dcv_span hull;
} marks;

struct dcv_reach {
    const dcv_graph *g;
    int from;
    int *axis;       /* [n_value] */
    int64_t *extent; /* [n_value] */
    marks *marks;    /* [n_value] */
    int n_link;
    link *link; /* in the order of nodes */
};

int dcv_node_carries(const dcv_graph *g, int node, int k, int axis, int j)
{
    const dcv_node *nd = &g->node[node];
    if (nd->op->carries)
        return nd->op->carries(g, nd, k, axis, j);
    const int to = axis + g->value[nd->out[j]].dims.n - g->value[nd->in[k]].dims.n;
    return to < 0 ? DCV_AXIS_MIXED : to;
}

static dcv_cells reads_of(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    if (nd->op->reads)
        return nd->op->reads(g, nd, k, axis, j, o);
    return g->value[nd->in[k]].dims.d[axis] == 1 ? (dcv_cells){0, 1, 1} : (dcv_cells){o, o + 1, 1};
}

dcv_span dcv_node_reads(const dcv_graph *g, int node, int k, int axis, int j, dcv_span o)
{
    dcv_span h = {0, 0};
    for (int64_t i = o.lo; i < o.hi; i++) {
        const dcv_cells c = reads_of(g, &g->node[node], k, axis, j, i);
        h = i == o.lo ? (dcv_span){c.lo, c.hi} : (dcv_span){c.lo < h.lo ? c.lo : h.lo, c.hi > h.hi ? c.hi : h.hi};
    }
    return h;
}

/* --- making --- */

/* The axis of a value: the one that all ways to it agree on. */
static int agree(int have, int more, bool *crossed)
{
    if (have == DCV_REACH_NONE || have == DCV_AXIS_MIXED)
        return more;
    if (more == DCV_AXIS_MIXED || more == have)
        return have;
    *crossed = true;
    return have;
}

static int through(const dcv_reach *r, int node, int k, int j)
{
    const int x = r->g->node[node].in[k];
    return r->axis[x] == DCV_AXIS_MIXED ? DCV_AXIS_MIXED : dcv_node_carries(r->g, node, k, r->axis[x], j);
}

static bool depends(const dcv_reach *r, int v)
{
    return v >= 0 && r->axis[v] != DCV_REACH_NONE;
}

/* Axis of output j; counts the ways to it. */
static int find_axis(const dcv_reach *r, int node, int j, int *ways)
{
    const dcv_node *nd = &r->g->node[node];
    int axis = DCV_REACH_NONE;
    bool crossed = false;
    for (int k = 0; k < nd->n_in; k++)
        if (depends(r, nd->in[k])) {
            axis = agree(axis, through(r, node, k, j), &crossed);
            ++*ways;
        }
    return crossed ? DCV_AXIS_MIXED : axis;
}

static int64_t extent_of(const dcv_reach *r, int v)
{
    return r->axis[v] >= 0 ? r->g->value[v].dims.d[r->axis[v]] : 1;
}

static dcv_status marks_new(dcv_reach *r, int v)
{
    r->extent[v] = extent_of(r, v);
    r->marks[v].mark = dcv_alloc((size_t)r->extent[v], 1);
    return r->marks[v].mark ? DCV_OK : DCV_ENOMEM;
}

static dcv_status find_axes(dcv_reach *r, int *n_link)
{
    const dcv_graph *g = r->g;
    DCV_TRY(marks_new(r, r->from));
    for (int i = 0; i < g->n_node; i++)
        for (int j = 0; j < g->node[i].n_out; j++) {
            const int y = g->node[i].out[j];
            if (y < 0 || y == r->from)
                continue;
            r->axis[y] = find_axis(r, i, j, n_link);
            if (depends(r, y))
                DCV_TRY(marks_new(r, y));
        }
    return DCV_OK;
}

static dcv_status fill_link(const dcv_reach *r, int k, int j, link *l)
{
    const dcv_node *nd = &r->g->node[l->node];
    const int64_t n = r->extent[l->y];
    l->all = r->axis[l->y] < 0 || r->axis[l->x] < 0 || through(r, l->node, k, j) != r->axis[l->y];
    if (l->all)
        return DCV_OK;
    l->reads = dcv_alloc((size_t)n, sizeof *l->reads);
    if (!l->reads)
        return DCV_ENOMEM;
    l->rising = true;
    for (int64_t o = 0; o < n; o++) {
        l->reads[o] = reads_of(r->g, nd, k, r->axis[l->x], j, o);
        l->rising = l->rising && (!o || (l->reads[o].lo >= l->reads[o - 1].lo && l->reads[o].hi >= l->reads[o - 1].hi));
    }
    return DCV_OK;
}

static dcv_status find_links(dcv_reach *r, int n_link)
{
    const dcv_graph *g = r->g;
    r->link = dcv_alloc((size_t)n_link, sizeof *r->link);
    if (!r->link)
        return DCV_ENOMEM;
    for (int i = 0; i < g->n_node; i++)
        for (int j = 0; j < g->node[i].n_out; j++)
            for (int k = 0; k < g->node[i].n_in; k++) {
                const int x = g->node[i].in[k], y = g->node[i].out[j];
                if (!depends(r, x) || !depends(r, y) || y == r->from)
                    continue;
                DCV_CHECK(r->n_link < n_link);
                r->link[r->n_link] = (link){.node = i, .x = x, .y = y};
                DCV_TRY(fill_link(r, k, j, &r->link[r->n_link++]));
            }
    return DCV_OK;
}

static dcv_status make(dcv_reach *r, int axis)
{
    const size_t n = (size_t)r->g->n_value;
    int n_link = 0;
    r->axis = dcv_alloc(n, sizeof *r->axis);
    r->extent = dcv_alloc(n, sizeof *r->extent);
    r->marks = dcv_alloc(n, sizeof *r->marks);
    if (!r->axis || !r->extent || !r->marks)
        return DCV_ENOMEM;
    for (size_t v = 0; v < n; v++)
        r->axis[v] = DCV_REACH_NONE;
    r->axis[r->from] = 2 + axis < r->g->value[r->from].dims.n ? 2 + axis : DCV_AXIS_MIXED;
    DCV_TRY(find_axes(r, &n_link));
    return find_links(r, n_link);
}

dcv_status dcv_reach_new(const dcv_graph *g, int from, int axis, dcv_reach **out)
{
    dcv_reach *r = *out = dcv_alloc(1, sizeof *r);
    if (!r)
        return DCV_ENOMEM;
    r->g = g;
    r->from = from;
    const dcv_status st = make(r, axis);
    if (st != DCV_OK) {
        dcv_reach_free(r);
        *out = NULL;
    }
    return st;
}

void dcv_reach_free(dcv_reach *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->n_link; i++)
        dcv_free(r->link[i].reads);
    for (int v = 0; r->marks && v < r->g->n_value; v++)
        dcv_free(r->marks[v].mark);
    dcv_free(r->link);
    dcv_free(r->marks);
    dcv_free(r->extent);
    dcv_free(r->axis);
    dcv_free(r);
}

int dcv_reach_axis(const dcv_reach *r, int v)
{
    return r->axis[v];
}

int64_t dcv_reach_extent(const dcv_reach *r, int v)
{
    return r->extent[v];
}

/* --- marking --- */

static void clear(dcv_reach *r)
{
    for (int v = 0; v < r->g->n_value; v++) {
        marks *m = &r->marks[v];
        if (m->hull.hi > m->hull.lo)
            memset(m->mark + m->hull.lo, 0, (size_t)(m->hull.hi - m->hull.lo));
        m->hull = (dcv_span){0, 0};
    }
}

static void set(marks *m, int64_t i)
{
    m->mark[i] = 1;
    m->hull = dcv_span_hull(m->hull, (dcv_span){i, i + 1});
}

static void set_all(marks *m, dcv_span s)
{
    if (s.hi <= s.lo)
        return;
    memset(m->mark + s.lo, 1, (size_t)(s.hi - s.lo));
    m->hull = dcv_span_hull(m->hull, s);
}

static dcv_span inside(dcv_span s, int64_t n)
{
    s.lo = s.lo < 0 ? 0 : s.lo;
    s.hi = s.hi > n ? n : s.hi;
    return s.hi > s.lo ? s : (dcv_span){0, 0};
}

/* The first cell of c at or behind at. */
static int64_t first_from(const dcv_cells *c, int64_t at)
{
    return c->lo >= at ? c->lo : c->lo + (at - c->lo + c->step - 1) / c->step * c->step;
}

static bool any_marked(const marks *m, const dcv_cells *c)
{
    for (int64_t i = first_from(c, m->hull.lo); i < c->hi && i < m->hull.hi; i += c->step)
        if (m->mark[i])
            return true;
    return false;
}

/* Least o whose reads end behind at, of reads that rise. */
static int64_t search(const link *l, int64_t n, int64_t at)
{
    int64_t lo = 0, hi = n;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (l->reads[mid].hi > at)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static void link_forward(dcv_reach *r, const link *l)
{
    const marks *x = &r->marks[l->x];
    marks *y = &r->marks[l->y];
    const int64_t n = r->extent[l->y];
    if (x->hull.hi <= x->hull.lo)
        return;
    if (l->all) {
        set_all(y, (dcv_span){0, n});
        return;
    }
    for (int64_t o = l->rising ? search(l, n, x->hull.lo) : 0; o < n; o++) {
        if (l->rising && l->reads[o].lo >= x->hull.hi)
            break;
        if (any_marked(x, &l->reads[o]))
            set(y, o);
    }
}

static void link_back(dcv_reach *r, const link *l)
{
    const marks *y = &r->marks[l->y];
    marks *x = &r->marks[l->x];
    const int64_t n = r->extent[l->x];
    if (l->all && y->hull.hi > y->hull.lo)
        set_all(x, (dcv_span){0, n});
    for (int64_t o = y->hull.lo; !l->all && o < y->hull.hi; o++)
        if (y->mark[o])
            for (int64_t i = first_from(&l->reads[o], 0); i < l->reads[o].hi && i < n; i += l->reads[o].step)
                set(x, i);
}

static void start(dcv_reach *r, int v, dcv_span cells)
{
    clear(r);
    if (r->axis[v] == DCV_AXIS_MIXED && cells.hi > cells.lo)
        cells = (dcv_span){0, 1};
    set_all(&r->marks[v], inside(cells, r->extent[v]));
}

static void copy_hulls(const dcv_reach *r, dcv_span *to)
{
    for (int v = 0; v < r->g->n_value; v++)
        to[v] = r->marks[v].hull;
}

void dcv_reach_forward(dcv_reach *r, dcv_span cells, dcv_span *to)
{
    start(r, r->from, cells);
    for (int i = 0; i < r->n_link; i++)
        link_forward(r, &r->link[i]);
    copy_hulls(r, to);
}

void dcv_reach_back(dcv_reach *r, int v, dcv_span cells, dcv_span *to)
{
    DCV_CHECK(depends(r, v));
    start(r, v, cells);
    for (int i = r->n_link - 1; i >= 0; i--)
        link_back(r, &r->link[i]);
    copy_hulls(r, to);
}
