/* weights.c -- which convolutions may keep Winograd's weights.
 *
 * Those are four times as many as the direct ones, so all of them together must stay within a budget: what is kept for
 * walks forward and back is at most 2.2 times the model's own, or 16 MB for small models.  Convolutions with the
 * largest maps, where each number saves most, come first.  Where windows are walked (dcv_engine_options.windows) there
 * is no budget: nothing is packed for walks back, and boxes gain most where maps are smallest.  A function of the graph
 * and of what kernels there are, so that every engine of it computes the same; an engine of a part of it is told by the
 * whole's, since the part alone would seem to have fewer weights.
 */
#include <stdlib.h>
#include "engine/ops/conv.h"
#include "engine/plan.h"

enum { WIDER = 3, GROUP = 64 };   /* numbers that a weight becomes, less itself; outputs that tiles come in */
static const double budget = 2.2; /* of the weights of convolutions and products; */
static const double little = 1e6, room = 4e6; /* models with fewer may keep 16 MB */

typedef struct wish {
    int node;
    double cells, weights;
} wish;

static int larger_first(const void *a, const void *b)
{
    const wish *x = a, *y = b;
    return x->cells != y->cells ? (x->cells < y->cells) - (x->cells > y->cells) : x->node - y->node;
}

/* Might Winograd be taken, by whatever back end? */
static bool wants_winograd(const dcv_conv_desc *d)
{
    for (int i = 0; i < d->n_space; i++)
        if (d->win[i].kernel != 3 || d->win[i].stride != 1 || d->win[i].dilation != 1)
            return false;
    return d->n_space == 2 && d->groups == 1;
}

dcv_status dcv_plan_weights(dcv_engine *e)
{
    const dcv_graph *g = e->g;
    if (e->o.whole) {
        e->direct = e->o.whole->direct;
        return DCV_OK;
    }
    double own = 0, kept = 0, most = 0;
    const bool shares = e->back->own() != 1; /* walks back read what walks forward have packed */
    int n = 0;
    e->direct = dcv_arena_alloc(e->arena, (size_t)g->model->n_node + 1, sizeof *e->direct);
    if (e->direct && e->o.windows)
        return DCV_OK;
    wish *list = dcv_alloc((size_t)g->n_node + 1, sizeof *list);
    if (!e->direct || !list) {
        dcv_free(list);
        return DCV_ENOMEM;
    }
    for (int i = 0; i < g->n_node; i++) {
        dcv_conv_desc c;
        dcv_dense d;
        if (dcv_plan_conv(e, i, &c)) {
            const double weights = (double)dcv_count(&g->value[g->node[i].in[1]].dims);
            own += weights;
            const double twice = c.transposed ? 2 : 1; /* forward and back are convolutions of their own */
            kept += c.transposed || c.oc % GROUP || !shares ? 2 * weights
                                                            : weights; /* packed once more for the walk back */
            if (wants_winograd(&c))
                list[n++] = (wish){i, (double)c.out[0] * (double)c.out[1], twice * weights};
        } else if (dcv_plan_dense(e, i, &d)) {
            own += (double)d.k * (double)d.n;
            kept += (shares ? 1 : 2) * (double)d.k * (double)d.n;
        }
    }
    most = own < little ? room : budget * own;
    qsort(list, (size_t)n, sizeof *list, larger_first);
    for (int i = 0; i < n; i++) {
        const bool fits = kept + WIDER * list[i].weights <= most;
        kept += fits ? WIDER * list[i].weights : 0;
        e->direct[g->node[list[i].node].source - g->model->node] = !fits;
    }
    dcv_free(list);
    return DCV_OK;
}
