/* receptive.c -- receptive fields, from the input up.
 *
 * Every value on the way keeps, for each cell along the one axis that runs along the input's, the hull of the input
 * cells that it depends on.  A node's cell gets the hull over its inputs' cells that it reads, so the result is the
 * exact hull over all paths, dilated windows at clipped borders included.
 */
#include <string.h>
#include "engine/build.h"

/* What is known of one value.  axis DCV_AXIS_MIXED: one span for all cells. */
typedef struct field {
    bool reached;
    int axis;
    int64_t n;
    dcv_span *span;
} field;

static dcv_span hull_of(const field *f)
{
    dcv_span h = {0, 0};
    for (int64_t i = 0; i < f->n; i++)
        h = dcv_span_hull(h, f->span[i]);
    return h;
}

static dcv_status field_make(field *f, const dcv_dims *d, int axis)
{
    f->reached = true;
    f->axis = axis;
    f->n = axis == DCV_AXIS_MIXED ? 1 : d->d[axis];
    f->span = dcv_alloc((size_t)f->n, sizeof *f->span);
    return f->span ? DCV_OK : DCV_ENOMEM;
}

/* Forget which cell is which. */
static void mix(field *f)
{
    f->span[0] = hull_of(f);
    f->axis = DCV_AXIS_MIXED;
    f->n = 1;
}

static int axis_of(const dcv_graph *g, const dcv_node *nd, int k, int j, const field *x)
{
    if (x->axis == DCV_AXIS_MIXED)
        return DCV_AXIS_MIXED;
    if (nd->op->carries)
        return nd->op->carries(g, nd, k, x->axis, j);
    const int axis = x->axis + g->value[nd->out[j]].dims.n - g->value[nd->in[k]].dims.n;
    return axis < 0 ? DCV_AXIS_MIXED : axis;
}

static dcv_span reads(const dcv_graph *g, const dcv_node *nd, int k, int j, const field *x, int64_t o)
{
    dcv_cells c = {o, o + 1, 1};
    dcv_span h = {0, 0};
    if (nd->op->reads)
        c = nd->op->reads(g, nd, k, x->axis, j, o);
    else if (x->n == 1)
        c = (dcv_cells){0, 1, 1};
    if (c.lo < 0)
        c.lo += (-c.lo + c.step - 1) / c.step * c.step;
    for (int64_t i = c.lo; i < c.hi && i < x->n; i += c.step)
        h = dcv_span_hull(h, x->span[i]);
    return h;
}

/* Add what output j gets through input k. */
static dcv_status join(const dcv_graph *g, const dcv_node *nd, int k, int j, const field *x, field *y)
{
    const int axis = axis_of(g, nd, k, j, x);
    if (!y->reached)
        DCV_TRY(field_make(y, &g->value[nd->out[j]].dims, axis));
    if (axis == DCV_AXIS_MIXED) {
        const dcv_span all = hull_of(x);
        for (int64_t o = 0; o < y->n; o++)
            y->span[o] = dcv_span_hull(y->span[o], all);
        return DCV_OK;
    }
    if (y->axis == DCV_AXIS_MIXED) { /* so far one span for all; now cells differ */
        const dcv_span all = y->span[0];
        dcv_free(y->span);
        y->span = NULL;
        DCV_TRY(field_make(y, &g->value[nd->out[j]].dims, axis));
        for (int64_t o = 0; o < y->n; o++)
            y->span[o] = all;
    }
    const bool crossed = y->axis != axis;
    if (crossed)
        mix(y);
    const int64_t n = g->value[nd->out[j]].dims.d[axis];
    for (int64_t o = 0; o < n; o++) {
        dcv_span *to = &y->span[crossed ? 0 : o];
        *to = dcv_span_hull(*to, reads(g, nd, k, j, x, o));
    }
    return DCV_OK;
}

static dcv_status climb(const dcv_graph *g, int v, field *f)
{
    const int last = g->value[v].producer;
    for (int i = 0; i <= last; i++)
        for (int j = 0; j < g->node[i].n_out; j++)
            for (int k = 0; k < g->node[i].n_in; k++) {
                const int x = g->node[i].in[k], y = g->node[i].out[j];
                if (x >= 0 && y >= 0 && f[x].reached)
                    DCV_TRY(join(g, &g->node[i], k, j, &f[x], &f[y]));
            }
    return DCV_OK;
}

dcv_status dcv_graph_receptive(const dcv_graph *g, int v, int in_value, int axis, dcv_span *to)
{
    const dcv_dims *in = &g->value[in_value].dims, *out = &g->value[v].dims;
    const int64_t n = 2 + axis < out->n ? out->d[2 + axis] : 1;
    field *f = dcv_alloc((size_t)g->n_value, sizeof *f);
    dcv_status st = f ? DCV_OK : DCV_ENOMEM;
    if (!f)
        return st;
    DCV_TRY_DONE(st, field_make(&f[in_value], in, 2 + axis < in->n ? 2 + axis : DCV_AXIS_MIXED));
    for (int64_t i = 0; i < f[in_value].n; i++)
        f[in_value].span[i] = (dcv_span){i, i + 1};
    DCV_TRY_DONE(st, climb(g, v, f));
    const dcv_span all = f[v].reached ? hull_of(&f[v]) : (dcv_span){0, 0};
    for (int64_t o = 0; o < n; o++)
        to[o] = f[v].reached && f[v].axis == 2 + axis ? f[v].span[o] : all;
done:
    for (int i = 0; i < g->n_value; i++)
        dcv_free(f[i].span);
    dcv_free(f);
    return st;
}
