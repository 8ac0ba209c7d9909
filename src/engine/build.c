/* build.c -- from a model to a graph: names to numbers, shapes, constants folded, what nobody needs left out. */
#include <stdio.h>
#include <string.h>
#include "engine/build.h"

/* Names of values: open addressing, a power of two of slots, at most half full. */
typedef struct names {
    size_t n;
    int *slot; /* value + 1; 0: free */
} names;

typedef struct builder {
    const dcv_model *m;
    dcv_graph *g;
    dcv_arena *arena; /* becomes g->own */
    names names;
    bool *needed; /* model nodes that some output needs */
    bool *added;  /* those that have been dealt with */
    int **maker;  /* [node][input] the model node that makes it, -1: none does */
    bool *wanted; /* [m->n_out] outputs that are not left out; the caller's */
    int failed;   /* model node that is not supported, -1: none */
    int64_t fold_left;
} builder;

static size_t hash(const char *s)
{
    uint64_t h = 14695981039346656037u;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211u;
    return (size_t)(h ^ h >> 29);
}

/* The slot of a name: where it is, or the free one where it would go. */
static int *slot_of(const builder *b, const char *name)
{
    size_t i = hash(name) & (b->names.n - 1);
    while (b->names.slot[i] && strcmp(b->g->value[b->names.slot[i] - 1].name, name))
        i = (i + 1) & (b->names.n - 1);
    return &b->names.slot[i];
}

static int find(const builder *b, const char *name)
{
    return *slot_of(b, name) - 1;
}

static dcv_status add_value(builder *b, const char *name, int *out)
{
    dcv_graph *g = b->g;
    int *slot = slot_of(b, name);
    if (*name && *slot)
        return dcv_fail(DCV_EDATA, "\"%s\" is made twice", name);
    *out = g->n_value++;
    g->value[*out] = (dcv_value){.name = name, .producer = -1};
    if (*name)
        *slot = g->n_value;
    return DCV_OK;
}

static bool is_if(const dcv_model_node *n)
{
    return !*n->domain && !strcmp(n->op, "If");
}

static dcv_status sizes(builder *b)
{
    const dcv_model *m = b->m;
    size_t n = (size_t)m->n_in + (size_t)m->n_const, slots = 16, n_node = (size_t)m->n_node;
    for (int i = 0; i < m->n_node; i++) {
        n += (size_t)m->node[i].n_out;
        n_node += is_if(&m->node[i]) ? (size_t)m->node[i].n_out : 0; /* an Identity each */
    }
    if (n > INT32_MAX / 4)
        return dcv_fail(DCV_EDATA, "%zu values; at most 2^29 are supported", n);
    while (slots < 2 * n + 2)
        slots *= 2;
    b->names.n = slots;
    b->names.slot = dcv_alloc(slots, sizeof *b->names.slot);
    b->needed = dcv_alloc((size_t)m->n_node + 1, sizeof *b->needed);
    b->added = dcv_alloc((size_t)m->n_node + 1, sizeof *b->added);
    b->maker = dcv_arena_alloc(b->arena, (size_t)m->n_node + 1, sizeof *b->maker);
    b->g->value = dcv_arena_alloc(b->arena, n + 1, sizeof *b->g->value);
    b->g->node = dcv_arena_alloc(b->arena, n_node + 1, sizeof *b->g->node);
    return b->names.slot && b->needed && b->added && b->maker && b->g->value && b->g->node ? DCV_OK : DCV_ENOMEM;
}

/* From node `last` on down: what makes the inputs of needed nodes is needed.  Of an If only the condition, until it is
 * known. */
static void spread_need(builder *b, int last)
{
    for (int i = last; i >= 0; i--) {
        const dcv_model_node *n = &b->m->node[i];
        for (int k = 0; b->needed[i] && k < (is_if(n) ? 1 : n->n_in); k++)
            if (b->maker[i][k] >= 0)
                b->needed[b->maker[i][k]] = true;
    }
}

static dcv_status find_makers(builder *b)
{
    for (int i = 0; i < b->m->n_node; i++) {
        const dcv_model_node *n = &b->m->node[i];
        b->maker[i] = dcv_arena_alloc(b->arena, (size_t)n->n_in + 1, sizeof **b->maker);
        if (!b->maker[i])
            return DCV_ENOMEM;
        for (int k = 0; k < n->n_in; k++) {
            const int v = *n->in[k] ? find(b, n->in[k]) : -1;
            b->maker[i][k] = v >= 0 ? b->g->value[v].producer : -1;
        }
    }
    return DCV_OK;
}

/* Node that makes each name, by the same table of names (filled with outputs only and cleared again). */
static dcv_status mark_needed(builder *b)
{
    const dcv_model *m = b->m;
    dcv_graph *g = b->g;
    int n = 0;
    dcv_status st = DCV_OK;
    for (int i = 0; i < m->n_node; i++)
        for (int j = 0; j < m->node[i].n_out; j++) {
            int v = 0;
            DCV_TRY_DONE(st, add_value(b, m->node[i].out[j], &v));
            g->value[v].producer = i;
        }
    for (int o = 0; o < m->n_out; o++) {
        const int v = b->wanted[o] ? find(b, m->out[o].name) : -1;
        if (v >= 0)
            b->needed[g->value[v].producer] = true;
    }
    DCV_TRY_DONE(st, find_makers(b));
    spread_need(b, m->n_node - 1);
done:
    n = g->n_value;
    memset(g->value, 0, (size_t)n * sizeof *g->value);
    memset(b->names.slot, 0, b->names.n * sizeof *b->names.slot);
    g->n_value = 0;
    return st;
}

static int opset_of(const dcv_model *m, const dcv_model_node *from)
{
    return from->opset ? from->opset : m->opset;
}

static dcv_status unsupported(const dcv_model *m, const dcv_model_node *from, const char *name)
{
    const char *known[256], *near = NULL;
    size_t n = 0;
    if (*from->domain)
        return dcv_fail(DCV_EUNSUPPORTED, "node \"%s\": operator %s of domain %s is not supported", name, from->op,
                        from->domain);
    for (const dcv_op *op; n < 256 && (op = dcv_op_at((int)n)); n++)
        known[n] = op->name;
    near = dcv_nearest(from->op, known, n);
    return dcv_fail(DCV_EUNSUPPORTED, "node \"%s\": operator %s (opset %d) is not supported%s%s", name, from->op,
                    opset_of(m, from), near ? "; nearest known: " : "", near ? near : "");
}

/* Operators that opsets before 7 have had in the same meaning, or with attributes that say where it differs (which are
 * refused). */
static bool is_as_old(const char *op, int opset)
{
    static const char *const same[] = {"Abs",
                                       "Add",
                                       "AveragePool",
                                       "BatchNormalization",
                                       "Clip",
                                       "Concat",
                                       "Constant",
                                       "Conv",
                                       "ConvTranspose",
                                       "Div",
                                       "Dropout",
                                       "Elu",
                                       "Exp",
                                       "Flatten",
                                       "Gather",
                                       "Gemm",
                                       "GlobalAveragePool",
                                       "GlobalMaxPool",
                                       "HardSigmoid",
                                       "Identity",
                                       "InstanceNormalization",
                                       "LRN",
                                       "LeakyRelu",
                                       "LogSoftmax",
                                       "MatMul",
                                       "Max",
                                       "MaxPool",
                                       "Min",
                                       "Mul",
                                       "Neg",
                                       "Not",
                                       "Pad",
                                       "Pow",
                                       "ReduceLogSum",
                                       "ReduceMean",
                                       "ReduceSum",
                                       "Relu",
                                       "Reshape",
                                       "Selu",
                                       "Sigmoid",
                                       "Slice",
                                       "Softmax",
                                       "Softplus",
                                       "Softsign",
                                       "Split",
                                       "Sqrt",
                                       "Squeeze",
                                       "Sub",
                                       "Sum",
                                       "Tanh",
                                       "Tile",
                                       "Transpose",
                                       "Unsqueeze"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (!strcmp(same[i], op))
            return true;
    return opset >= 7;
}

/* A node must have a name in messages. */
static const char *name_of(const dcv_model_node *from)
{
    if (*from->name)
        return from->name;
    for (int j = 0; j < from->n_out; j++)
        if (*from->out[j])
            return from->out[j];
    return from->op;
}

static dcv_status count_ends(const dcv_node *nd)
{
    const dcv_op *op = nd->op;
    int used = nd->n_out;
    if (nd->n_in < op->min_in || (op->max_in >= 0 && nd->n_in > op->max_in))
        return dcv_fail(DCV_EDATA, "node \"%s\" (%s): %d inputs; expected %d to %d", nd->name, op->name, nd->n_in,
                        op->min_in, op->max_in);
    while (used > 1 && !*nd->source->out[used - 1])
        used--;
    if (used < 1 || used > op->max_out)
        return dcv_fail(used > 1 ? DCV_EUNSUPPORTED : DCV_EDATA, "node \"%s\" (%s): %d outputs; %d supported", nd->name,
                        op->name, used, op->max_out);
    return DCV_OK;
}

/* Number the inputs.  Those of a node that is needed are there, or the file is senseless. */
static dcv_status join_inputs(builder *b, dcv_node *nd)
{
    int n = nd->source->n_in;
    while (n > 0 && !*nd->source->in[n - 1])
        n--;
    nd->n_in = n;
    nd->in = dcv_arena_alloc(b->arena, (size_t)n + 1, sizeof *nd->in);
    if (!nd->in)
        return DCV_ENOMEM;
    for (int k = 0; k < n; k++) {
        const char *name = nd->source->in[k];
        nd->in[k] = *name ? find(b, name) : -1;
        if (*name && nd->in[k] < 0)
            return dcv_fail(DCV_EDATA, "node \"%s\" (%s): input \"%s\" is not made by any node before it", nd->name,
                            nd->op->name, name);
        if (nd->in[k] < 0 && (k < nd->op->min_in || nd->op->max_in < 0))
            return dcv_fail(DCV_EDATA, "node \"%s\" (%s): input %d is left out", nd->name, nd->op->name, k);
    }
    return DCV_OK;
}

static dcv_status make_outputs(builder *b, dcv_node *nd)
{
    nd->n_out = nd->source->n_out < nd->op->max_out ? nd->source->n_out : nd->op->max_out;
    nd->out = dcv_arena_alloc(b->arena, (size_t)nd->n_out + 1, sizeof *nd->out);
    if (!nd->out)
        return DCV_ENOMEM;
    for (int j = 0; j < nd->n_out; j++)
        DCV_TRY(add_value(b, nd->source->out[j], &nd->out[j]));
    return DCV_OK;
}

static dcv_status infer(builder *b, dcv_node *nd)
{
    dcv_graph *g = b->g;
    const dcv_value **x = dcv_alloc((size_t)nd->n_in + 1, sizeof *x);
    dcv_value *y = dcv_alloc((size_t)nd->n_out + 1, sizeof *y);
    dcv_status st = DCV_ENOMEM;
    if (!x || !y)
        goto done;
    for (int k = 0; k < nd->n_in; k++)
        x[k] = nd->in[k] >= 0 ? &g->value[nd->in[k]] : NULL;
    for (int j = 0; j < nd->n_out; j++)
        y[j] = g->value[nd->out[j]];
    const dcv_shape_io io = {.node = nd, .n_in = nd->n_in, .n_out = nd->n_out, .x = x, .y = y, .arena = b->arena};
    DCV_TRY_DONE(st, nd->op->shape(&io));
    for (int j = 0; j < nd->n_out; j++) {
        g->value[nd->out[j]] = y[j];
        st = dcv_dims_check(&y[j].dims);
        if (st != DCV_OK) {
            dcv_fail_in(st, "node \"%s\" (%s)", nd->name, nd->op->name);
            goto done;
        }
    }
done:
    dcv_free(x);
    dcv_free(y);
    return st;
}

static bool known_now(const dcv_graph *g, const dcv_node *nd)
{
    if (nd->op->flags & DCV_OP_OF_SHAPE)
        return true;
    for (int k = 0; k < nd->n_in; k++)
        if (nd->in[k] >= 0 && !g->value[nd->in[k]].constant)
            return false;
    return true;
}

/* Fold the node, which is last, or count it in. */
static dcv_status settle(builder *b, dcv_node *nd)
{
    dcv_graph *g = b->g;
    DCV_TRY(infer(b, nd));
    if (known_now(g, nd))
        return dcv_fold(g, nd, b->arena, &b->fold_left); /* the node itself is forgotten */
    for (int j = 0; j < nd->n_out; j++) {
        g->value[nd->out[j]].producer = g->n_node;
        g->value[nd->out[j]].batched = true;
    }
    g->n_node++;
    return DCV_OK;
}

static dcv_status add_node(builder *b, const dcv_model_node *from)
{
    dcv_graph *g = b->g;
    dcv_node *nd = &g->node[g->n_node];
    const char *name = name_of(from);
    const int opset = opset_of(b->m, from);
    *nd = (dcv_node){.name = name, .opset = opset, .source = from, .n_in = from->n_in, .n_out = from->n_out};
    nd->op = *from->domain ? NULL : dcv_op_find(from->op);
    if (!nd->op)
        return unsupported(b->m, from, name);
    if (!is_as_old(from->op, opset))
        return dcv_fail(DCV_EUNSUPPORTED, "node \"%s\": operator %s of opset %d is not supported; opset 7 or newer is",
                        name, from->op, opset);
    DCV_TRY(join_inputs(b, nd)); /* first: empty names at the end are no inputs */
    DCV_TRY(count_ends(nd));
    DCV_TRY(dcv_attr_read(nd->op, from, name, opset, b->arena, &nd->attr));
    DCV_TRY(make_outputs(b, nd));
    return settle(b, nd);
}

/* --- If: the nodes of the branch that its condition, a constant, chooses ------------------------------------------ */

static dcv_status condition_of(const builder *b, const dcv_model_node *from, bool *is)
{
    *is = false;
    const int v = find(b, from->in[0]);
    const dcv_value *c = v >= 0 ? &b->g->value[v] : NULL;
    if (!c || !c->constant)
        return dcv_fail(DCV_EUNSUPPORTED,
                        "node \"%s\" (If): its condition depends on the input; only what is constant or follows from "
                        "shapes is supported",
                        name_of(from));
    if (dcv_count(&c->dims) != 1)
        return dcv_fail(DCV_EDATA, "node \"%s\" (If): the condition is no single truth value", name_of(from));
    *is = c->type == DCV_F32 ? *(const float *)c->constant != 0 : *(const int64_t *)c->constant != 0;
    return DCV_OK;
}

/* Output j of an If is value `in`. */
static dcv_status add_identity(builder *b, const dcv_model_node *from, int j, int in)
{
    dcv_node *nd = &b->g->node[b->g->n_node];
    int *ends = dcv_arena_alloc(b->arena, 2, sizeof *ends);
    if (!ends)
        return DCV_ENOMEM;
    ends[0] = in;
    *nd = (dcv_node){.name = name_of(from),
                     .op = dcv_op_find("Identity"),
                     .opset = opset_of(b->m, from),
                     .source = from,
                     .in = ends,
                     .n_in = 1,
                     .out = ends + 1,
                     .n_out = 1};
    DCV_TRY(add_value(b, from->out[j], &ends[1]));
    return settle(b, nd);
}

static dcv_status add_nodes(builder *b, int before);

static dcv_status add_if(builder *b, int i)
{
    const dcv_model_node *from = &b->m->node[i];
    bool is;
    if (from->n_in != 1 + 2 * from->n_out)
        return dcv_fail(DCV_EDATA, "node \"%s\" (If): %d inputs; a condition and two branches are expected",
                        name_of(from), from->n_in);
    DCV_TRY(condition_of(b, from, &is));
    const int first = is ? 1 : 1 + from->n_out;
    for (int j = 0; j < from->n_out; j++)
        if (b->maker[i][first + j] >= 0)
            b->needed[b->maker[i][first + j]] = true;
    spread_need(b, i - 1);
    DCV_TRY(add_nodes(b, i));
    b->failed = i;
    for (int j = 0; j < from->n_out; j++) {
        const int v = *from->in[first + j] ? find(b, from->in[first + j]) : -1;
        if (*from->out[j] && v < 0)
            return dcv_fail(DCV_EDATA, "node \"%s\" (If): output %d of a branch is made by no node", name_of(from), j);
        if (*from->out[j])
            DCV_TRY(add_identity(b, from, j, v));
    }
    return DCV_OK;
}

/* All needed nodes before one. */
static dcv_status add_nodes(builder *b, int before)
{
    for (int i = 0; i < before; i++) {
        if (!b->needed[i] || b->added[i])
            continue;
        b->failed = i;
        b->added[i] = true;
        DCV_TRY(is_if(&b->m->node[i]) ? add_if(b, i) : add_node(b, &b->m->node[i]));
    }
    return DCV_OK;
}

/* Shape of input i: the caller's, which must not contradict the file but for the batch axis, or the file's. */
static dcv_status input_dims(const dcv_model *m, int i, const dcv_dims *given, dcv_dims *out)
{
    const dcv_model_value *in = &m->in[i];
    dcv_dims_text t;
    if (!given)
        DCV_TRY(dcv_graph_input_dims(m, i, NULL, out));
    else
        *out = *given;
    for (int k = 0; k < out->n; k++)
        if (out->d[k] < 0 || (out->d[k] == 0 && !given))
            return dcv_fail(DCV_EDATA, "graph input \"%s\" has no fixed extent along axis %d", in->name, k);
    dcv_status st = dcv_dims_check(out);
    if (st != DCV_OK)
        return dcv_fail_in(st, "graph input \"%s\"", in->name);
    for (int k = 0; given && in->rank >= 0 && k < out->n; k++)
        if (out->n != in->rank || (in->dim[k] >= 0 && in->dim[k] != out->d[k] && (k || out->d[0] != 1)))
            return dcv_fail(DCV_EDATA, "graph input \"%s\" cannot have the shape %s", in->name, dcv_dims_print(out, t));
    return DCV_OK;
}

/* By TensorProto.DataType: not said, float, float16, double, bfloat16. */
static bool is_float(int elem_type)
{
    return elem_type == 0 || elem_type == 1 || elem_type == 10 || elem_type == 11 || elem_type == 16;
}

static dcv_status add_inputs(builder *b, const dcv_dims *input)
{
    dcv_graph *g = b->g;
    g->n_in = b->m->n_in;
    g->in = dcv_arena_alloc(b->arena, (size_t)g->n_in + 1, sizeof *g->in);
    if (!g->in)
        return DCV_ENOMEM;
    for (int i = 0; i < g->n_in; i++) {
        DCV_TRY(add_value(b, b->m->in[i].name, &g->in[i]));
        dcv_value *v = &g->value[g->in[i]];
        DCV_TRY(input_dims(b->m, i, input ? &input[i] : NULL, &v->dims));
        v->type = is_float(b->m->in[i].elem_type) ? DCV_F32 : DCV_I64;
        v->stored = b->m->in[i].elem_type ? b->m->in[i].elem_name : NULL;
        v->batched = true;
    }
    return DCV_OK;
}

static dcv_status add_constants(builder *b)
{
    for (int i = 0; i < b->m->n_const; i++) {
        const dcv_const *c = &b->m->constant[i];
        int v;
        DCV_TRY(add_value(b, c->name, &v));
        b->g->value[v].type = c->type;
        b->g->value[v].dims = c->dims;
        b->g->value[v].constant = c->data;
        b->g->value[v].stored = c->stored;
    }
    return DCV_OK;
}

static dcv_status add_outputs(builder *b)
{
    dcv_graph *g = b->g;
    g->out = dcv_arena_alloc(b->arena, (size_t)b->m->n_out + 1, sizeof *g->out);
    if (!g->out)
        return DCV_ENOMEM;
    for (int o = 0; o < b->m->n_out; o++) {
        if (!b->wanted[o])
            continue;
        const int v = g->out[g->n_out++] = find(b, b->m->out[o].name);
        if (v < 0)
            return dcv_fail(DCV_EDATA, "graph output \"%s\" is not made by any node", b->m->out[o].name);
    }
    return DCV_OK;
}

/* Mark live values and nodes: needed by an output (folding has cut some off). */
static void mark_live(const dcv_graph *g, bool *value, bool *node)
{
    for (int o = 0; o < g->n_out; o++)
        value[g->out[o]] = true;
    for (int i = 0; i < g->n_in; i++)
        value[g->in[i]] = true;
    for (int i = g->n_node - 1; i >= 0; i--) {
        const dcv_node *nd = &g->node[i];
        for (int j = 0; j < nd->n_out; j++)
            node[i] = node[i] || value[nd->out[j]];
        for (int k = 0; node[i] && k < nd->n_in; k++)
            if (nd->in[k] >= 0)
                value[nd->in[k]] = true;
        for (int j = 0; node[i] && nd->op->max_out > 2 && j < nd->n_out; j++)
            value[nd->out[j]] = true; /* parts of a Split count even where nobody reads them */
    }
}

/* Give the live ones their final numbers.  Pointers into g->value move, so operators must not keep any: they keep
 * what the pointers lead to (constants). */
static dcv_status compact(builder *b)
{
    dcv_graph *g = b->g;
    bool *live = dcv_alloc((size_t)(g->n_value + g->n_node) + 1, sizeof *live), *live_node = live + g->n_value;
    int *to = dcv_alloc((size_t)g->n_value + 1, sizeof *to), n = 0, n_node = 0;
    dcv_status st = live && to ? DCV_OK : DCV_ENOMEM;
    if (st != DCV_OK)
        goto done;
    mark_live(g, live, live_node);
    for (int v = 0; v < g->n_value; v++) {
        to[v] = live[v] ? n : -1;
        if (live[v])
            g->value[n++] = g->value[v];
    }
    for (int i = 0; i < g->n_node; i++) {
        if (!live_node[i])
            continue;
        dcv_node *nd = &g->node[n_node];
        *nd = g->node[i];
        for (int k = 0; k < nd->n_in; k++)
            nd->in[k] = nd->in[k] >= 0 ? to[nd->in[k]] : -1;
        for (int j = 0; j < nd->n_out; j++) {
            nd->out[j] = to[nd->out[j]];
            if (nd->out[j] >= 0)
                g->value[nd->out[j]].producer = n_node;
        }
        n_node++;
    }
    for (int i = 0; i < g->n_in; i++)
        g->in[i] = to[g->in[i]];
    for (int o = 0; o < g->n_out; o++)
        g->out[o] = to[g->out[o]];
    g->n_value = n;
    g->n_node = n_node;
done:
    dcv_free(live);
    dcv_free(to);
    return st;
}

static bool reads_again(const dcv_node *nd, int k)
{
    for (int i = 0; i < k; i++)
        if (nd->in[i] == nd->in[k])
            return true;
    return false;
}

static dcv_status list_uses(builder *b)
{
    dcv_graph *g = b->g;
    for (int pass = 0; pass < 2; pass++) { /* count, then fill */
        for (int v = 0; v < g->n_value && pass; v++) {
            g->value[v].use = dcv_arena_alloc(b->arena, (size_t)g->value[v].n_use + 1, sizeof(int));
            if (!g->value[v].use)
                return DCV_ENOMEM;
            g->value[v].n_use = 0;
        }
        for (int i = 0; i < g->n_node; i++)
            for (int k = 0; k < g->node[i].n_in; k++) {
                if (g->node[i].in[k] < 0 || reads_again(&g->node[i], k))
                    continue;
                dcv_value *v = &g->value[g->node[i].in[k]];
                if (pass)
                    v->use[v->n_use] = i;
                v->n_use++;
            }
    }
    return DCV_OK;
}

/* Does a node put the numbers of input k into its output? */
static bool passes_on(const dcv_node *nd, int k)
{
    static const struct {
        const char *op;
        unsigned inputs; /* a bit each */
    } movers[] = {{"Concat", ~0u}, {"Gather", 1},          {"GatherElements", 1},  {"GatherND", 1}, {"ScatterND", 5},
                  {"Scatter", 5},  {"ScatterElements", 5}, {"OneHot", 4},          {"CastLike", 1}, {"CumSum", 1},
                  {"Trilu", 1},    {"QuantizeLinear", 1},  {"DequantizeLinear", 1}};
    if (nd->op->flags & DCV_OP_ELEMENTWISE)
        return true;
    for (size_t i = 0; i < sizeof movers / sizeof *movers; i++)
        if (!strcmp(nd->op->name, movers[i].op))
            return movers[i].inputs >> (k < 31 ? k : 31) & 1;
    return false;
}

/* In a walk integers are floats, and so must be the constants that meet them. */
static dcv_status float_operands(builder *b)
{
    dcv_graph *g = b->g;
    for (int i = 0; i < g->n_node; i++) {
        const dcv_node *nd = &g->node[i];
        for (int k = 0; k < nd->n_in; k++) {
            dcv_value *v = nd->in[k] >= 0 ? &g->value[nd->in[k]] : NULL;
            if (!v || !v->constant || v->type != DCV_I64 || !passes_on(nd, k))
                continue;
            const int64_t n = dcv_count(&v->dims), *from = v->constant;
            float *to = dcv_arena_alloc(b->arena, (size_t)n, sizeof *to);
            if (!to)
                return DCV_ENOMEM;
            for (int64_t e = 0; e < n; e++)
                to[e] = (float)from[e];
            v->constant = to;
            v->type = DCV_F32;
        }
    }
    return DCV_OK;
}

/* What a walk could not do: a second output of a view (Dropout's mask). */
static dcv_status check_walkable(builder *b)
{
    const dcv_graph *g = b->g;
    for (int i = 0; i < g->n_node; i++) {
        const dcv_node *nd = &g->node[i];
        b->failed = (int)(nd->source - b->m->node);
        if (nd->op->flags & DCV_OP_VIEW && nd->n_out > 1 && nd->out[1] >= 0)
            return dcv_fail(DCV_EUNSUPPORTED, "node \"%s\" (%s): its second output is used", nd->name, nd->op->name);
        if (!nd->op->forward)
            return dcv_fail(DCV_EUNSUPPORTED, "node \"%s\" (%s): its inputs must be constant", nd->name, nd->op->name);
    }
    b->failed = -1;
    return DCV_OK;
}

static dcv_status build(builder *b, const dcv_dims *input, int n_input)
{
    if (input && n_input != b->m->n_in)
        return dcv_fail(DCV_EDATA, "%d input shapes for %d graph inputs", n_input, b->m->n_in);
    DCV_TRY(sizes(b));
    DCV_TRY(mark_needed(b));
    DCV_TRY(add_inputs(b, input));
    DCV_TRY(add_constants(b));
    DCV_TRY(add_nodes(b, b->m->n_node));
    b->failed = -1;
    DCV_TRY(add_outputs(b));
    DCV_TRY(compact(b));
    DCV_TRY(list_uses(b));
    DCV_TRY(float_operands(b));
    DCV_TRY(check_walkable(b));
    dcv_graph_classify(b->g);
    return DCV_OK;
}

bool dcv_graph_knows(const dcv_model_node *from)
{
    return !*from->domain && (dcv_op_find(from->op) || is_if(from));
}

/* Leave out the outputs that need the node that failed, or an operator that is unknown, and the nodes that make nothing
 * else. True: there are such outputs, and the first is not among them. */
static bool leave_out(const builder *failed)
{
    builder b = *failed;
    const dcv_model *m = b.m;
    bool *lost = dcv_alloc((size_t)m->n_node + 1, sizeof *lost), found = false;
    memset(b.names.slot, 0, b.names.n * sizeof *b.names.slot);
    b.g->n_value = 0;
    for (int i = 0, v = 0; lost && i < m->n_node; i++) {
        lost[i] = i == b.failed || !dcv_graph_knows(&m->node[i]);
        for (int k = 0; !lost[i] && k < m->node[i].n_in; k++) {
            v = *m->node[i].in[k] ? find(&b, m->node[i].in[k]) : -1;
            lost[i] = v >= 0 && lost[b.g->value[v].producer];
        }
        for (int j = 0; j < m->node[i].n_out; j++)
            if (add_value(&b, m->node[i].out[j], &v) == DCV_OK)
                b.g->value[v].producer = i;
    }
    for (int o = 0; lost && o < m->n_out; o++) {
        const int v = find(&b, m->out[o].name);
        const bool gone = b.wanted[o] && v >= 0 && lost[b.g->value[v].producer];
        found = found || gone;
        b.wanted[o] = b.wanted[o] && !gone;
    }
    dcv_free(lost);
    return found && b.wanted[0];
}

/* One graph of the outputs that are wanted. *again: fewer of them may do. */
static dcv_status try_graph(const dcv_model *m, const dcv_dims *input, int n_input, bool *wanted, bool *again,
                            int *failed, dcv_graph **out)
{
    dcv_arena *arena;
    *again = false;
    *failed = -1;
    DCV_TRY(dcv_arena_new(&arena));
    dcv_graph *g = dcv_arena_alloc(arena, 1, sizeof *g);
    dcv_status st = DCV_ENOMEM;
    if (g) {
        builder b = {.m = m, .g = g, .arena = arena, .fold_left = DCV_FOLD_LIMIT, .wanted = wanted, .failed = -1};
        g->model = m;
        g->own = arena;
        st = build(&b, input, n_input);
        *failed = st == DCV_OK ? -1 : b.failed;
        *again = st == DCV_EUNSUPPORTED && b.failed >= 0 && leave_out(&b);
        dcv_free(b.names.slot);
        dcv_free(b.needed);
        dcv_free(b.added);
    }
    if (st != DCV_OK)
        dcv_arena_free(arena);
    *out = st == DCV_OK ? g : NULL;
    return st;
}

dcv_status dcv_graph_new_at(const dcv_model *m, const dcv_dims *input, int n_input, int *failed, dcv_graph **out)
{
    enum { TRIES = 20 };
    bool *wanted = dcv_alloc((size_t)m->n_out + 1, sizeof *wanted), again = true;
    char why[300] = "";
    dcv_status st = DCV_ENOMEM;
    int at = -1;
    *failed = -1;
    *out = NULL;
    for (int o = 0; wanted && o < m->n_out; o++)
        wanted[o] = true;
    for (int i = 0; wanted && again && i < TRIES; i++) {
        st = try_graph(m, input, n_input, wanted, &again, &at, out);
        *failed = *failed < 0 ? at : *failed;
        if (again && !*why)
            snprintf(why, sizeof why, "%s", dcv_message());
    }
    dcv_free(wanted);
    if (st != DCV_OK)
        return m->file ? dcv_fail_in(st, "%s", m->file) : st;
    if (*why)
        (*out)->left_out = dcv_arena_strdup((*out)->own, why);
    return DCV_OK;
}

dcv_status dcv_graph_new(const dcv_model *m, const dcv_dims *input, int n_input, dcv_graph **out)
{
    int failed;
    return dcv_graph_new_at(m, input, n_input, &failed, out);
}

void dcv_graph_free(dcv_graph *g)
{
    if (g)
        dcv_arena_free(g->own);
}
