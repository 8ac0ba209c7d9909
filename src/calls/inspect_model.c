/* inspect_model.c -- what is in a model: every node with its shape, cost, receptive field and uses.
 *
 * Where the file leaves rows and columns open, the network is built for two sizes: what comes out the same is
 * known, what differs depends on the size and is printed as "?".
 */
#include <string.h>
#include "calls/listing.h"
#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "deconvoy/op.h"

enum { MOST_FIELDS = 4000 }; /* nodes: the field of each takes time with all before it */

/* Rows and columns that stand in for open ones, in pairs; the first pair that the network takes. */
static const int64_t stand_in[][2] = {{256, 320}, {224, 288}, {64, 96}, {512, 640}, {28, 32}};

/* --- Parameters ------------------------------------------------------------------------------------- */

/* Float constants of these are settings, not weights. */
static bool has_no_weights(const char *op)
{
    static const char *const names[] = {"Resize", "Upsample", "Clip", "Pad"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(op, names[i]) == 0)
            return true;
    return false;
}

/* Weights of one node; seen: values counted already, so that shared ones count once in the total. */
static int64_t graph_parameters(const dcv_graph *g, const dcv_node *n, bool *seen, int64_t *total)
{
    int64_t sum = 0;
    for (int k = 0; k < n->n_in && !has_no_weights(n->op->name); k++) {
        const dcv_value *v = n->in[k] >= 0 ? &g->value[n->in[k]] : NULL;
        if (!v || !v->constant || v->type != DCV_F32 || !v->dims.n)
            continue;
        sum += dcv_count(&v->dims);
        *total += seen[n->in[k]] ? 0 : dcv_count(&v->dims);
        seen[n->in[k]] = true;
    }
    return sum;
}

/* Likewise from the file alone. */
static int64_t file_parameters(const dcv_model *m, const dcv_model_node *n, bool *seen, int64_t *total)
{
    int64_t sum = 0;
    for (int k = 0; k < n->n_in && !has_no_weights(n->op); k++) {
        const dcv_const *c = dcv_model_const(m, n->in[k]);
        if (!c || c->type != DCV_F32 || !c->dims.n)
            continue;
        sum += dcv_count(&c->dims);
        *total += seen[c - m->constant] ? 0 : dcv_count(&c->dims);
        seen[c - m->constant] = true;
    }
    return sum;
}

/* --- Rows ------------------------------------------------------------------------------------------- */

static bool fields_equal(const dcv_cell_field *a, const dcv_cell_field *b)
{
    return a->size == b->size && a->stride == b->stride && a->offset == b->offset;
}

static dcv_status find_fields(const dcv_listing *l, int v, int w, dcv_row *r)
{
    const dcv_dims *in = l->g->n_in ? &l->g->value[l->g->in[0]].dims : NULL;
    r->n_axes = in && in->n > 2 ? in->n - 2 : 0;
    if (!l->g->value[v].batched || r->n_axes > DCV_LISTING_AXES || l->n > MOST_FIELDS)
        r->n_axes = 0;
    for (int axis = 0; axis < r->n_axes; axis++) {
        dcv_cell_field second = {0};
        DCV_TRY(dcv_field_along(l->g, v, axis, &r->field[axis]));
        if (!l->other)
            continue;
        DCV_TRY(dcv_field_along(l->other, w, axis, &second));
        r->field[axis].known = r->field[axis].known && fields_equal(&r->field[axis], &second);
    }
    return DCV_OK;
}

/* Shape of value v; extents that the other size changes are unknown. */
static void find_shape(const dcv_listing *l, int v, int w, dcv_row *r)
{
    r->shaped = true;
    r->dims = l->g->value[v].dims;
    for (int i = 0; l->other && i < r->dims.n; i++)
        if (l->other->value[w].dims.n != r->dims.n || l->other->value[w].dims.d[i] != r->dims.d[i])
            r->dims.d[i] = DCV_UNKNOWN;
}

static void find_macs(const dcv_listing *l, int i, dcv_row *r)
{
    r->macs = dcv_node_macs(l->g, l->live[i]);
    if (l->other && (l->other_live[i] < 0 || dcv_node_macs(l->other, l->other_live[i]) != r->macs))
        r->macs = DCV_UNKNOWN;
}

static const char *first_output(const dcv_model_node *n)
{
    for (int i = 0; i < n->n_out; i++)
        if (*n->out[i])
            return n->out[i];
    return "";
}

static dcv_status fill_row(dcv_listing *l, int i, dcv_row *r)
{
    const dcv_model_node *n = &l->model->node[i];
    r->output = first_output(n);
    r->name = *n->name ? n->name : r->output;
    r->op = n->op;
    r->macs = DCV_UNKNOWN;
    if (!l->g) {
        r->parameters = file_parameters(l->model, n, l->seen, &l->parameters);
        return DCV_OK;
    }
    const int v = dcv_graph_find(l->g, r->output), w = l->other ? dcv_graph_find(l->other, r->output) : v;
    r->folded = l->live[i] < 0;
    r->macs = 0;
    if (v < 0 || w < 0)
        return DCV_OK;
    find_shape(l, v, w, r);
    if (r->folded)
        return DCV_OK;
    r->parameters = graph_parameters(l->g, &l->g->node[l->live[i]], l->seen, &l->parameters);
    find_macs(l, i, r);
    r->methods = dcv_uses_of(l->uses, v);
    return find_fields(l, v, w, r);
}

static dcv_status mark_layers(dcv_listing *l)
{
    int *layer = dcv_alloc((size_t)l->g->n_value, sizeof *layer);
    if (!layer)
        return DCV_ENOMEM;
    const int n = dcv_graph_layers(l->g, layer);
    for (int i = 0; i < n; i++) {
        const dcv_value *v = &l->g->value[layer[i]];
        if (v->producer < 0)
            continue;
        dcv_row *r = &l->row[l->g->node[v->producer].source - l->model->node];
        r->layer |= strcmp(r->output, v->name) == 0;
    }
    dcv_free(layer);
    return DCV_OK;
}

/* Node of the graph that node i of the model became, -1 if none: new memory. */
static int *live_nodes(const dcv_model *m, const dcv_graph *g)
{
    int *live = dcv_alloc((size_t)m->n_node, sizeof *live);
    for (int i = 0; live && i < m->n_node; i++)
        live[i] = -1;
    for (int i = 0; live && g && i < g->n_node; i++)
        live[g->node[i].source - m->node] = i;
    return live;
}

static dcv_status fill(dcv_listing *l)
{
    const int values = l->g ? l->g->n_value : l->model->n_const;
    l->n = l->model->n_node;
    l->row = dcv_alloc((size_t)l->n, sizeof *l->row);
    l->seen = dcv_alloc((size_t)values, sizeof *l->seen);
    l->live = live_nodes(l->model, l->g);
    l->other_live = live_nodes(l->model, l->other);
    if (!l->row || !l->seen || !l->live || !l->other_live)
        return DCV_ENOMEM;
    if (l->g)
        DCV_TRY(dcv_uses_new(l->g, &l->uses));
    for (int i = 0; i < l->n; i++) {
        DCV_TRY(fill_row(l, i, &l->row[i]));
        if (l->macs != DCV_UNKNOWN)
            l->macs = l->row[i].macs == DCV_UNKNOWN ? DCV_UNKNOWN : l->macs + l->row[i].macs;
    }
    return l->g ? mark_layers(l) : DCV_OK;
}

/* --- Building the graph ------------------------------------------------------------------------------ */

/* Shapes of all inputs with open rows and columns set to side; *open: were there any? */
static dcv_status input_shapes(const dcv_model *m, const dcv_ints *shape, int64_t side, dcv_dims *to, bool *open)
{
    *open = false;
    for (int i = 0; i < m->n_in; i++) {
        DCV_TRY(dcv_graph_input_dims(m, i, i == 0 && shape->n ? shape : NULL, &to[i]));
        for (int a = 2; a < to[i].n; a++)
            if (to[i].d[a] < 0) {
                *open = true;
                to[i].d[a] = side;
            }
    }
    return DCV_OK;
}

static dcv_status build_one(const dcv_listing *l, int64_t side, dcv_graph **out, bool *open)
{
    const dcv_model *m = l->model;
    *out = NULL;
    dcv_dims *dims = dcv_alloc((size_t)m->n_in, sizeof *dims);
    if (!dims)
        return DCV_ENOMEM;
    dcv_status st = input_shapes(m, &l->o->input_shape, side, dims, open);
    if (st == DCV_OK)
        st = dcv_graph_new(m, dims, m->n_in, out);
    dcv_free(dims);
    return st;
}

static dcv_status build(dcv_listing *l)
{
    bool open = true;
    dcv_status st = DCV_OK;
    for (size_t i = 0; i < sizeof stand_in / sizeof *stand_in && open; i++) {
        st = build_one(l, stand_in[i][0], &l->g, &open);
        if (st == DCV_OK && open)
            st = build_one(l, stand_in[i][1], &l->other, &open);
        if (st == DCV_OK || st == DCV_EUNSUPPORTED)
            break;
        dcv_graph_free(l->g);
        l->g = NULL;
    }
    return st;
}

/* --- The whole ----------------------------------------------------------------------------------------- */

static dcv_status list(dcv_listing *l, FILE *to)
{
    DCV_TRY(dcv_model_open(l->o->file, &l->model));
    const dcv_status built = build(l);
    if (built != DCV_OK && built != DCV_EUNSUPPORTED)
        return built;
    if (l->g && l->g->left_out)
        dcv_log_warning("%s: outputs are left out: %s", l->o->file, l->g->left_out);
    char *why = built == DCV_OK ? NULL : dcv_strdup(dcv_message());
    dcv_status st = fill(l);
    if (st == DCV_OK)
        st = l->o->json ? dcv_listing_json(l, to) : dcv_listing_text(l, to);
    if (st == DCV_OK && built != DCV_OK)
        st = dcv_fail(built, "%s", why ? why : "");
    dcv_free(why);
    return st;
}

dcv_status dcv_inspect_model(const dcv_inspect *o, FILE *to)
{
    dcv_listing l = {.o = o};
    const dcv_status st = list(&l, to);
    dcv_uses_free(l.uses);
    dcv_free(l.row);
    dcv_free(l.seen);
    dcv_free(l.live);
    dcv_free(l.other_live);
    dcv_graph_free(l.other);
    dcv_graph_free(l.g);
    dcv_model_free(l.model);
    return st;
}
