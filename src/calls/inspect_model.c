/* inspect_model.c -- what is in a model: every node with its shape, cost, receptive field and uses.
 *
 * Where the file leaves rows and columns open, the network is built for two sizes: what comes out the same is
 * known, what differs depends on the size and is printed as "?".
 */
#include <inttypes.h>
#include <string.h>
#include "calls/columns.h"
#include "calls/inspect.h"
#include "core/json.h"
#include "deconvoy/graph.h"
#include "deconvoy/memory.h"
#include "deconvoy/op.h"

enum {
    UNKNOWN = -1,
    MOST_AXES = 3,
    MOST_FIELDS = 4000,   /* nodes: the field of each takes time with all before it */
    MOST_EXTENT = 1 << 16 /* px: and memory with each cell of all of them */
};

/* Rows and columns that stand in for open ones, in pairs; the first pair that the network takes. */
static const int64_t stand_in[][2] = {{256, 320}, {224, 288}, {64, 96}, {512, 640}, {28, 32}};

/* --- What a value can be used for: a row each ------------------------------------------------------ */

static bool has_channels(const dcv_graph *g, int v)
{
    const dcv_value *value = &g->value[v];
    return value->batched && value->type == DCV_F32 && value->dims.n >= 2;
}

static bool is_output(const dcv_graph *g, int v)
{
    for (int i = 0; i < g->n_out; i++)
        if (g->out[i] == v)
            return true;
    return false;
}

static const struct method {
    const char *name;
    bool (*fits)(const dcv_graph *g, int v);
} methods[] = {
    {"max_activation", has_channels},
    {"infer", is_output},
};
enum { N_METHODS = sizeof methods / sizeof *methods };

/* --- What is known of a node ------------------------------------------------------------------------ */

/* Receptive field along one axis of the first input: cell i of a value sees [offset + i stride, + size), px. */
typedef struct {
    bool known;
    int64_t size;
    double stride, offset;
} field;

typedef struct {
    const char *name, *op, *output;
    bool folded; /* constants alone decide it */
    bool layer;  /* of `layers: all` */
    bool shaped;
    dcv_dims dims;            /* UNKNOWN where an extent depends on the input's */
    int64_t parameters, macs; /* UNKNOWN likewise */
    int n_axes;
    field field[MOST_AXES];
    unsigned methods; /* bits */
} row;

typedef struct {
    const dcv_inspect *o;
    dcv_model *model;
    dcv_graph *g, *other;   /* other: built for a second size, or NULL */
    int *live, *other_live; /* of each model node: its node there, or -1 */
    bool *seen;             /* of each value, or constant: counted as parameters */
    int n;
    row *row;
    int64_t parameters, macs;
} listing;

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

/* --- Receptive fields ------------------------------------------------------------------------------- */

/* Step of an end over period cells, from ends that the border has not cut; false: cut. */
static bool step_at(const dcv_span *s, int64_t i, int period, int64_t extent, int64_t *step)
{
    const bool lo = s[i].lo > 0, hi = s[i + period].hi < extent;
    *step = lo ? s[i + period].lo - s[i].lo : s[i + period].hi - s[i].hi;
    return lo || hi;
}

/* The step that three quarters of the cells make (at the border, dilated windows make others); else 0. */
static int64_t usual_step(const dcv_span *s, int64_t n, int period, int64_t extent)
{
    int64_t usual = 0, votes = 0, agree = 0, all = 0, step;
    for (int64_t i = 0; i + period < n; i++)
        if (step_at(s, i, period, extent, &step)) {
            usual = votes ? usual : step;
            votes += step == usual ? 1 : -1;
        }
    for (int64_t i = 0; i + period < n; i++)
        if (step_at(s, i, period, extent, &step)) {
            agree += step == usual;
            all++;
        }
    return 4 * agree >= 3 * all ? usual : 0;
}

/* Pixels from a cell to the next; after an enlargement the steps differ, and repeat after a few cells.  0: cannot be
 * told. */
static double stride_of(const dcv_span *s, int64_t n, int64_t extent)
{
    for (int period = 1; period <= 8; period++) {
        const int64_t step = usual_step(s, n, period, extent);
        if (step > 0)
            return (double)step / period;
    }
    return 0;
}

/* From the clipped boxes of all cells: ends that the border has not cut give place and size. */
static field field_of(const dcv_span *s, int64_t n, int64_t extent)
{
    field f = {.known = true, .stride = stride_of(s, n, extent)};
    int64_t first = UNKNOWN, last = UNKNOWN; /* with an end, with a start that is not cut */
    bool whole = false;
    for (int64_t i = 0; i < n; i++) {
        first = first < 0 && s[i].hi < extent ? i : first;
        last = s[i].lo > 0 ? i : last;
        whole |= s[i].lo > 0 && s[i].hi < extent;
        f.size = s[i].hi - s[i].lo > f.size ? s[i].hi - s[i].lo : f.size;
    }
    if (f.stride > 0 && last >= 0) {
        f.offset = (double)s[last].lo - (double)last * f.stride;
        if (first >= 0 && !whole) /* join two boxes that are cut at different sides */
            f.size = (int64_t)((double)s[first].hi - (double)first * f.stride - f.offset);
    } else if (f.stride > 0 && first >= 0) {
        f.offset = (double)(s[first].hi - f.size) - (double)first * f.stride;
    }
    return f;
}

static int64_t cells_along(const dcv_dims *d, int axis)
{
    return 2 + axis < d->n ? d->d[2 + axis] : 1;
}

static dcv_status axis_field(const dcv_graph *g, int v, int axis, field *out)
{
    const int64_t n = cells_along(&g->value[v].dims, axis), extent = cells_along(&g->value[g->in[0]].dims, axis);
    if (n < 1 || n > MOST_EXTENT || extent > MOST_EXTENT)
        return DCV_OK;
    dcv_span *spans = dcv_alloc((size_t)n, sizeof *spans);
    if (!spans)
        return DCV_ENOMEM;
    dcv_status st = dcv_graph_receptive(g, v, g->in[0], axis, spans);
    if (st == DCV_OK)
        *out = field_of(spans, n, extent);
    dcv_free(spans);
    return st;
}

static bool fields_equal(const field *a, const field *b)
{
    return a->size == b->size && a->stride == b->stride && a->offset == b->offset;
}

static dcv_status find_fields(const listing *l, int v, int w, row *r)
{
    const dcv_dims *in = l->g->n_in ? &l->g->value[l->g->in[0]].dims : NULL;
    r->n_axes = in && in->n > 2 ? in->n - 2 : 0;
    if (!l->g->value[v].batched || r->n_axes > MOST_AXES || l->n > MOST_FIELDS)
        r->n_axes = 0;
    for (int axis = 0; axis < r->n_axes; axis++) {
        field second = {0};
        DCV_TRY(axis_field(l->g, v, axis, &r->field[axis]));
        if (!l->other)
            continue;
        DCV_TRY(axis_field(l->other, w, axis, &second));
        r->field[axis].known = r->field[axis].known && fields_equal(&r->field[axis], &second);
    }
    return DCV_OK;
}

/* --- Rows ------------------------------------------------------------------------------------------- */

/* Shape of value v; extents that the other size changes are unknown. */
static void find_shape(const listing *l, int v, int w, row *r)
{
    r->shaped = true;
    r->dims = l->g->value[v].dims;
    for (int i = 0; l->other && i < r->dims.n; i++)
        if (l->other->value[w].dims.n != r->dims.n || l->other->value[w].dims.d[i] != r->dims.d[i])
            r->dims.d[i] = UNKNOWN;
}

static void find_macs(const listing *l, int i, row *r)
{
    r->macs = dcv_node_macs(l->g, l->live[i]);
    if (l->other && (l->other_live[i] < 0 || dcv_node_macs(l->other, l->other_live[i]) != r->macs))
        r->macs = UNKNOWN;
}

static const char *first_output(const dcv_model_node *n)
{
    for (int i = 0; i < n->n_out; i++)
        if (*n->out[i])
            return n->out[i];
    return "";
}

static dcv_status fill_row(listing *l, int i, row *r)
{
    const dcv_model_node *n = &l->model->node[i];
    r->output = first_output(n);
    r->name = *n->name ? n->name : r->output;
    r->op = n->op;
    r->macs = UNKNOWN;
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
    for (int k = 0; k < N_METHODS; k++)
        r->methods |= methods[k].fits(l->g, v) ? 1u << k : 0;
    return find_fields(l, v, w, r);
}

static dcv_status mark_layers(listing *l)
{
    int *layer = dcv_alloc((size_t)l->g->n_value, sizeof *layer);
    if (!layer)
        return DCV_ENOMEM;
    const int n = dcv_graph_layers(l->g, layer);
    for (int i = 0; i < n; i++) {
        const dcv_value *v = &l->g->value[layer[i]];
        if (v->producer < 0)
            continue;
        row *r = &l->row[l->g->node[v->producer].source - l->model->node];
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

static dcv_status fill(listing *l)
{
    const int values = l->g ? l->g->n_value : l->model->n_const;
    l->n = l->model->n_node;
    l->row = dcv_alloc((size_t)l->n, sizeof *l->row);
    l->seen = dcv_alloc((size_t)values, sizeof *l->seen);
    l->live = live_nodes(l->model, l->g);
    l->other_live = live_nodes(l->model, l->other);
    if (!l->row || !l->seen || !l->live || !l->other_live)
        return DCV_ENOMEM;
    for (int i = 0; i < l->n; i++) {
        DCV_TRY(fill_row(l, i, &l->row[i]));
        if (l->macs != UNKNOWN)
            l->macs = l->row[i].macs == UNKNOWN ? UNKNOWN : l->macs + l->row[i].macs;
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

static dcv_status build_one(const listing *l, int64_t side, dcv_graph **out, bool *open)
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

static dcv_status build(listing *l)
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

/* --- As text ----------------------------------------------------------------------------------------- */

static void put_extents(dcv_text *t, const dcv_dims *d)
{
    dcv_text cell = {0};
    for (int i = 0; i < d->n; i++)
        if (d->d[i] < 0)
            dcv_text_add(&cell, "%s?", i ? "x" : "");
        else
            dcv_text_add(&cell, "%s%" PRId64, i ? "x" : "", d->d[i]);
    dcv_cell(t, "%s", d->n ? cell.s : "scalar");
    dcv_free(dcv_text_take(&cell));
}

/* "3x3 / 2 @ -1": size, stride, offset; an axis that is as the one before is said once. */
static void put_field(dcv_text *t, const row *r, int part)
{
    dcv_text cell = {0};
    for (int i = 0; i < r->n_axes; i++) {
        const field *f = &r->field[i];
        const double v = part == 0 ? (double)f->size : part == 1 ? f->stride : f->offset;
        if (f->known)
            dcv_text_add(&cell, "%s%g", i ? (part == 2 ? "," : "x") : "", v);
        else
            dcv_text_add(&cell, "%s?", i ? (part == 2 ? "," : "x") : "");
    }
    dcv_cell(t, "%s", r->n_axes ? cell.s : "");
    dcv_free(dcv_text_take(&cell));
}

static void put_methods(dcv_text *t, const row *r)
{
    dcv_text cell = {0};
    dcv_text_add(&cell, "%s", r->folded ? "(constant)" : "");
    for (int i = 0; i < N_METHODS; i++)
        if (r->methods & 1u << i)
            dcv_text_add(&cell, "%s%s", cell.n ? " " : "", methods[i].name);
    dcv_cell(t, "%s%s", cell.s ? cell.s : "", r->layer ? " *" : "");
    dcv_free(dcv_text_take(&cell));
}

static void put_row(dcv_text *t, const row *r)
{
    dcv_cell(t, "%s", r->name);
    dcv_cell(t, "%s", r->op);
    dcv_cell(t, "%s", r->output);
    if (r->shaped)
        put_extents(t, &r->dims);
    else
        dcv_cell(t, r->folded ? "" : "?");
    dcv_cell_count(t, r->parameters);
    dcv_cell_amount(t, r->macs);
    for (int part = 0; part < 3; part++)
        put_field(t, r, part);
    put_methods(t, r);
    dcv_cell_end(t);
}

static void put_value_line(FILE *to, const char *what, const dcv_model_value *v)
{
    fprintf(to, "%-8s %s %s ", what, v->name, v->elem_name);
    for (int i = 0; i < v->rank; i++)
        if (v->dim[i] >= 0)
            fprintf(to, "%s%" PRId64, i ? "x" : "", v->dim[i]);
        else
            fprintf(to, "%s%s", i ? "x" : "", v->symbol[i] ? v->symbol[i] : "?");
    fprintf(to, "%s\n", v->rank < 0 ? "of any shape" : v->rank == 0 ? "scalar" : "");
}

static const char *const heads[] = {[DCV_HEAD_LOGITS] = "logits",
                                    [DCV_HEAD_SOFTMAX] = "softmax",
                                    [DCV_HEAD_LOG_SOFTMAX] = "log_softmax",
                                    [DCV_HEAD_SIGMOID] = "sigmoid"};

static void put_head(FILE *to, const listing *l)
{
    const dcv_model *m = l->model;
    fprintf(to, "model    %s\n", m->file);
    fprintf(to, "format   ONNX, opset %d, IR version %" PRId64 "%s%s\n", m->opset, m->ir_version,
            *m->producer ? ", by " : "", m->producer);
    for (int i = 0; i < m->n_in; i++)
        put_value_line(to, "input", &m->in[i]);
    for (int i = 0; i < m->n_out; i++)
        put_value_line(to, "output", &m->out[i]);
    if (l->g && l->g->logits >= 0)
        fprintf(to, "classes  %" PRId64 ", logits %s%s%s\n", l->g->classes, l->g->value[l->g->logits].name,
                l->g->head == DCV_HEAD_LOGITS ? "" : ", then ", l->g->head == DCV_HEAD_LOGITS ? "" : heads[l->g->head]);
    fprintf(to, "\n");
}

static dcv_status print_text(const listing *l, FILE *to)
{
    static const char *const titles[] = {"node", "operator", "output", "shape",  "parameters",
                                         "MACs", "field",    "stride", "offset", "methods (* = layers: all)"};
    dcv_text t = {0};
    put_head(to, l);
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        dcv_cell(&t, "%s", titles[i]);
    dcv_cell_end(&t);
    for (int i = 0; i < l->n; i++)
        put_row(&t, &l->row[i]);
    DCV_TRY(dcv_columns_print(to, &t, "llllrrrrrl"));
    fprintf(to, "\ntotal    %d nodes, ", l->n);
    fprintf(to, "%" PRId64 " parameters, ", l->parameters);
    if (l->macs >= 0)
        fprintf(to, "%.4g million multiply-adds for one picture\n", (double)l->macs / 1e6);
    else
        fprintf(to, "multiply-adds unknown%s\n", l->g ? " (give --input-shape C,H,W)" : "");
    return DCV_OK;
}

/* --- As JSON ----------------------------------------------------------------------------------------- */

static void put_number(dcv_json *j, const char *key, int64_t v)
{
    if (v < 0)
        dcv_json_null(j, key);
    else
        dcv_json_int(j, key, v);
}

static void put_dims(dcv_json *j, const char *key, const int64_t *d, int n)
{
    dcv_json_open(j, key, '[');
    for (int i = 0; i < n; i++)
        put_number(j, NULL, d[i]);
    dcv_json_close(j, ']');
}

static void put_axes(dcv_json *j, const char *key, const row *r, int part)
{
    dcv_json_open(j, key, '[');
    for (int i = 0; i < r->n_axes; i++) {
        const field *f = &r->field[i];
        if (f->known)
            dcv_json_real(j, NULL, part == 0 ? (double)f->size : part == 1 ? f->stride : f->offset);
        else
            dcv_json_null(j, NULL);
    }
    dcv_json_close(j, ']');
}

static void put_json_field(dcv_json *j, const row *r)
{
    if (!r->n_axes) {
        dcv_json_null(j, "receptive_field");
        return;
    }
    dcv_json_open(j, "receptive_field", '{');
    put_axes(j, "size", r, 0);
    put_axes(j, "stride", r, 1);
    put_axes(j, "offset", r, 2);
    dcv_json_close(j, '}');
}

static void put_json_row(dcv_json *j, const row *r)
{
    dcv_json_open(j, NULL, '{');
    dcv_json_string(j, "name", r->name);
    dcv_json_string(j, "op", r->op);
    dcv_json_string(j, "output", r->output);
    if (r->shaped)
        put_dims(j, "shape", r->dims.d, r->dims.n);
    else
        dcv_json_null(j, "shape");
    dcv_json_int(j, "parameters", r->parameters);
    put_number(j, "macs", r->macs);
    put_json_field(j, r);
    dcv_json_bool(j, "constant", r->folded);
    dcv_json_bool(j, "layer", r->layer);
    dcv_json_open(j, "methods", '[');
    for (int i = 0; i < N_METHODS; i++)
        if (r->methods & 1u << i)
            dcv_json_string(j, NULL, methods[i].name);
    dcv_json_close(j, ']');
    dcv_json_close(j, '}');
}

static void put_json_values(dcv_json *j, const char *key, const dcv_model_value *v, int n)
{
    dcv_json_open(j, key, '[');
    for (int i = 0; i < n; i++) {
        dcv_json_open(j, NULL, '{');
        dcv_json_string(j, "name", v[i].name);
        dcv_json_string(j, "type", v[i].elem_name);
        if (v[i].rank >= 0)
            put_dims(j, "shape", v[i].dim, v[i].rank);
        else
            dcv_json_null(j, "shape");
        dcv_json_close(j, '}');
    }
    dcv_json_close(j, ']');
}

static void put_json_head(dcv_json *j, const listing *l)
{
    const dcv_model *m = l->model;
    const bool classifier = l->g && l->g->logits >= 0;
    dcv_json_string(j, "kind", "model");
    dcv_json_string(j, "file", m->file);
    dcv_json_int(j, "bytes", m->bytes);
    dcv_json_string(j, "sha256", m->sha256.hex);
    dcv_json_int(j, "opset", m->opset);
    dcv_json_int(j, "ir_version", m->ir_version);
    dcv_json_string(j, "producer", m->producer);
    put_json_values(j, "inputs", m->in, m->n_in);
    put_json_values(j, "outputs", m->out, m->n_out);
    put_number(j, "classes", l->g ? l->g->classes : UNKNOWN);
    dcv_json_string(j, "logits", classifier ? l->g->value[l->g->logits].name : NULL);
    dcv_json_string(j, "head", classifier ? heads[l->g->head] : NULL);
}

static dcv_status print_json(const listing *l, FILE *to)
{
    dcv_json j = {0};
    dcv_json_open(&j, NULL, '{');
    put_json_head(&j, l);
    dcv_json_open(&j, "nodes", '[');
    for (int i = 0; i < l->n; i++)
        put_json_row(&j, &l->row[i]);
    dcv_json_close(&j, ']');
    dcv_json_open(&j, "totals", '{');
    dcv_json_int(&j, "nodes", l->n);
    dcv_json_int(&j, "parameters", l->parameters);
    put_number(&j, "macs", l->macs);
    dcv_json_close(&j, '}');
    dcv_json_close(&j, '}');
    return dcv_json_print(&j, to);
}

/* --- The whole ----------------------------------------------------------------------------------------- */

static dcv_status list(listing *l, FILE *to)
{
    DCV_TRY(dcv_model_open(l->o->file, &l->model));
    const dcv_status built = build(l);
    if (built != DCV_OK && built != DCV_EUNSUPPORTED)
        return built;
    char *why = built == DCV_OK ? NULL : dcv_strdup(dcv_message());
    dcv_status st = fill(l);
    if (st == DCV_OK)
        st = l->o->json ? print_json(l, to) : print_text(l, to);
    if (st == DCV_OK && built != DCV_OK)
        st = dcv_fail(built, "%s", why ? why : "");
    dcv_free(why);
    return st;
}

dcv_status dcv_inspect_model(const dcv_inspect *o, FILE *to)
{
    listing l = {.o = o};
    const dcv_status st = list(&l, to);
    dcv_free(l.row);
    dcv_free(l.seen);
    dcv_free(l.live);
    dcv_free(l.other_live);
    dcv_graph_free(l.other);
    dcv_graph_free(l.g);
    dcv_model_free(l.model);
    return st;
}
