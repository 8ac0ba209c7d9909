/* onnx_inline.c -- graphs inside nodes and functions of the model's own, laid out flat.
 *
 * A call of a local function becomes the nodes of its body.  Of an If both branches are laid out before it, and their
 * outputs become its inputs: If(condition, then..., else...); who knows the condition takes the nodes of one branch
 * alone.  Names made inside get the name of the node's first output before them, so that they stay single; a branch
 * sees the names around it, a function its own inputs only.
 *
 * ONNX IR specification, "Graphs" and "Functions": https://github.com/onnx/onnx/blob/main/docs/IR.md
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "io/onnx.h"

enum { MOST_DEPTH = 64, MOST_NODES = 1 << 20 };

/* The names of a branch or of a function's body. */
typedef struct scope scope;
struct scope {
    const scope *outer; /* whose names can be seen; NULL: none */
    const char *prefix; /* of what is made here */
    dcv_onnx_names *names;
    const char **flat;           /* [number] */
    const Onnx__NodeProto *call; /* of the function whose body this is; NULL: a branch */
    const Onnx__FunctionProto *body;
};

typedef struct {
    const Onnx__ModelProto *model;
    dcv_arena *arena;
    Onnx__NodeProto **node;
    int *opset;
    Onnx__TensorProto **tensor;
    size_t n_node, node_room, opset_room, n_tensor, tensor_room;
    int depth;
} layout;

static const char *text(const char *s)
{
    return s ? s : "";
}

static const char *domain(const char *s)
{
    return !s || strcmp(s, "ai.onnx") == 0 ? "" : s;
}

static bool is_if(const Onnx__NodeProto *p)
{
    return !*domain(p->domain) && !strcmp(text(p->op_type), "If");
}

static dcv_status fail_node(const Onnx__NodeProto *p, const char *what)
{
    const char *name = *text(p->name) ? p->name : p->n_output ? text(p->output[0]) : "";
    return dcv_fail(DCV_EDATA, "node %.120s (%.40s): %s", name, text(p->op_type), what);
}

/* --- Names ------------------------------------------------------------------------------------ */

static const char *joined(layout *l, const char *a, const char *b, const char *c)
{
    const size_t na = strlen(a), nb = strlen(b), nc = strlen(c);
    char *to = dcv_arena_alloc(l->arena, na + nb + nc + 1, 1);
    if (to) {
        memcpy(to, a, na);
        memcpy(to + na, b, nb);
        memcpy(to + na + nb, c, nc + 1);
    }
    return to;
}

/* What a name inside is called in the flat graph; NULL: no memory. */
static const char *resolve(layout *l, const scope *s, const char *name)
{
    const scope *last = NULL;
    if (!*text(name))
        return "";
    for (; s; last = s, s = s->outer) {
        const int i = dcv_onnx_names_find(s->names, name);
        if (i >= 0)
            return s->flat[i];
    }
    return last && last->call ? joined(l, last->prefix, name, "") : name; /* of a function: nobody makes it */
}

static dcv_status resolve_all(layout *l, const scope *s, char **from, size_t n, char ***to)
{
    *to = dcv_arena_alloc(l->arena, n + 1, sizeof **to);
    for (size_t i = 0; *to && i < n; i++)
        if (!((*to)[i] = (char *)resolve(l, s, from[i])))
            return DCV_ENOMEM;
    return *to ? DCV_OK : DCV_ENOMEM;
}

static dcv_status add_name(layout *l, scope *s, int *n, const char *name, const char *flat)
{
    if (!*text(name) || dcv_onnx_names_find(s->names, name) >= 0)
        return DCV_OK; /* made twice: said of the flat graph */
    s->flat[*n] = flat ? flat : joined(l, s->prefix, name, "");
    if (!s->flat[*n])
        return DCV_ENOMEM;
    (void)dcv_onnx_names_add(s->names, name, (*n)++);
    return DCV_OK;
}

static dcv_status scope_room(layout *l, scope *s, Onnx__NodeProto **node, size_t n_node, size_t more)
{
    size_t n = more;
    for (size_t i = 0; i < n_node; i++)
        n += node[i]->n_output;
    s->flat = dcv_arena_alloc(l->arena, n + 1, sizeof *s->flat);
    return s->flat ? dcv_onnx_names_new(n, &s->names) : DCV_ENOMEM;
}

static dcv_status add_made(layout *l, scope *s, int *n, Onnx__NodeProto **node, size_t n_node)
{
    for (size_t i = 0; i < n_node; i++)
        for (size_t j = 0; j < node[i]->n_output; j++)
            DCV_TRY(add_name(l, s, n, node[i]->output[j], NULL));
    return DCV_OK;
}

/* --- Attributes -------------------------------------------------------------------------------- */

static const Onnx__AttributeProto *find_attr(Onnx__AttributeProto **a, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(text(a[i]->name), name))
            return a[i];
    return NULL;
}

/* What an attribute of a function's body refers to: the call's, else the function's default, else nothing. */
static const Onnx__AttributeProto *referred(const scope *s, const char *name)
{
    while (s && !s->call)
        s = s->outer;
    if (!s)
        return NULL;
    const Onnx__AttributeProto *a = find_attr(s->call->attribute, s->call->n_attribute, name);
    return a ? a : find_attr(s->body->attribute_proto, s->body->n_attribute_proto, name);
}

static dcv_status resolve_attrs(layout *l, const scope *s, Onnx__NodeProto *p)
{
    Onnx__AttributeProto **to = dcv_arena_alloc(l->arena, p->n_attribute + 1, sizeof *to);
    size_t n = 0;
    if (!to)
        return DCV_ENOMEM;
    for (size_t i = 0; i < p->n_attribute; i++) {
        const char *name = p->attribute[i]->name, *ref = p->attribute[i]->ref_attr_name;
        const Onnx__AttributeProto *from = *text(ref) ? referred(s, ref) : p->attribute[i];
        if (!from)
            continue;
        Onnx__AttributeProto *copy = to[n++] = dcv_arena_alloc(l->arena, 1, sizeof *copy);
        if (!copy)
            return DCV_ENOMEM;
        *copy = *from;
        copy->name = (char *)name;
    }
    p->attribute = to;
    p->n_attribute = n;
    return DCV_OK;
}

/* --- Nodes ------------------------------------------------------------------------------------- */

static dcv_status room(size_t n, size_t *have, size_t size, void **p)
{
    if (n < *have)
        return DCV_OK;
    const size_t more = *have ? 2 * *have : 64;
    void *to = dcv_realloc(*p, *have, more, size);
    if (!to)
        return DCV_ENOMEM;
    *p = to;
    *have = more;
    return DCV_OK;
}

static dcv_status append(layout *l, Onnx__NodeProto *p, int opset)
{
    void *node = l->node, *version = l->opset;
    if (l->n_node >= MOST_NODES)
        return dcv_fail(DCV_EDATA, "more than %d nodes once functions are inlined", MOST_NODES);
    dcv_status st = room(l->n_node, &l->node_room, sizeof *l->node, &node);
    l->node = node;
    if (st == DCV_OK)
        st = room(l->n_node, &l->opset_room, sizeof *l->opset, &version);
    l->opset = version;
    DCV_TRY(st);
    l->node[l->n_node] = p;
    l->opset[l->n_node++] = opset;
    return DCV_OK;
}

static dcv_status append_tensor(layout *l, Onnx__TensorProto *t)
{
    void *tensor = l->tensor;
    const dcv_status st = room(l->n_tensor, &l->tensor_room, sizeof *l->tensor, &tensor);
    l->tensor = tensor;
    if (st == DCV_OK)
        l->tensor[l->n_tensor++] = t;
    return st;
}

static dcv_status emit(layout *l, const scope *s, Onnx__NodeProto **node, size_t n, int opset);

static const char *first_output(const Onnx__NodeProto *p)
{
    for (size_t i = 0; i < p->n_output; i++)
        if (*text(p->output[i]))
            return p->output[i];
    return "";
}

/* --- Branches ---------------------------------------------------------------------------------- */

static dcv_status emit_tensors(layout *l, const scope *s, const Onnx__GraphProto *g)
{
    for (size_t i = 0; i < g->n_initializer; i++) {
        Onnx__TensorProto *copy = dcv_arena_alloc(l->arena, 1, sizeof *copy);
        if (!copy)
            return DCV_ENOMEM;
        *copy = *g->initializer[i];
        copy->name = (char *)resolve(l, s, copy->name);
        if (!copy->name)
            return DCV_ENOMEM;
        DCV_TRY(append_tensor(l, copy));
    }
    return DCV_OK;
}

static dcv_status fill_branch(layout *l, scope *s, const Onnx__GraphProto *g, int opset, char **out)
{
    int n = 0;
    DCV_TRY(scope_room(l, s, g->node, g->n_node, g->n_initializer));
    for (size_t i = 0; i < g->n_initializer; i++)
        DCV_TRY(add_name(l, s, &n, g->initializer[i]->name, NULL));
    DCV_TRY(add_made(l, s, &n, g->node, g->n_node));
    DCV_TRY(emit_tensors(l, s, g));
    DCV_TRY(emit(l, s, g->node, g->n_node, opset));
    for (size_t i = 0; i < g->n_output; i++)
        if (!(out[i] = (char *)resolve(l, s, g->output[i]->name)))
            return DCV_ENOMEM;
    return DCV_OK;
}

/* Lay out a branch of p; its outputs into out. */
static dcv_status emit_branch(layout *l, const scope *outer, const Onnx__NodeProto *p, const char *which, int opset,
                              char **out)
{
    const Onnx__AttributeProto *a = find_attr(p->attribute, p->n_attribute, which);
    const Onnx__GraphProto *g = a ? a->g : NULL;
    if (!g)
        return fail_node(p, "a branch is missing");
    if (g->n_input || g->n_output != p->n_output)
        return fail_node(p, "a branch has inputs, or another number of outputs than the node");
    if (g->n_sparse_initializer)
        return dcv_fail(DCV_EUNSUPPORTED, "sparse initializers; dense ones are expected");
    scope s = {.outer = outer, .prefix = joined(l, first_output(p), *which == 't' ? "/then" : "/else", "/")};
    dcv_status st = s.prefix ? fill_branch(l, &s, g, opset, out) : DCV_ENOMEM;
    dcv_onnx_names_free(s.names);
    return st;
}

static dcv_status emit_if(layout *l, const scope *s, Onnx__NodeProto *p, int opset)
{
    const size_t n = p->n_output;
    char **in = dcv_arena_alloc(l->arena, 1 + 2 * n, sizeof *in);
    if (!in)
        return DCV_ENOMEM;
    if (p->n_input != 1)
        return fail_node(p, "one input is expected, the condition");
    in[0] = p->input[0];
    DCV_TRY(emit_branch(l, s, p, "then_branch", opset, in + 1));
    DCV_TRY(emit_branch(l, s, p, "else_branch", opset, in + 1 + n));
    p->input = in;
    p->n_input = 1 + 2 * n;
    p->n_attribute = 0;
    return append(l, p, opset);
}

/* --- Functions --------------------------------------------------------------------------------- */

static const Onnx__FunctionProto *function_of(const layout *l, const Onnx__NodeProto *p)
{
    for (size_t i = 0; i < l->model->n_functions; i++) {
        const Onnx__FunctionProto *f = l->model->functions[i];
        if (!strcmp(text(f->name), text(p->op_type)) && !strcmp(domain(f->domain), domain(p->domain)) &&
            !strcmp(text(f->overload), text(p->overload)))
            return f;
    }
    return NULL;
}

static dcv_status fill_body(layout *l, scope *s, int opset)
{
    const Onnx__FunctionProto *f = s->body;
    const Onnx__NodeProto *p = s->call;
    int n = 0;
    DCV_TRY(scope_room(l, s, f->node, f->n_node, f->n_input + f->n_output));
    for (size_t i = 0; i < f->n_input; i++)
        DCV_TRY(add_name(l, s, &n, f->input[i], i < p->n_input ? p->input[i] : ""));
    for (size_t i = 0; i < f->n_output; i++)
        DCV_TRY(add_name(l, s, &n, f->output[i], i < p->n_output && *text(p->output[i]) ? p->output[i] : NULL));
    DCV_TRY(add_made(l, s, &n, f->node, f->n_node));
    return emit(l, s, f->node, f->n_node, opset);
}

/* Opset of the ONNX domain among imports; otherwise: where there is none. */
static int opset_in(Onnx__OperatorSetIdProto **import, size_t n, int otherwise)
{
    for (size_t i = 0; i < n; i++)
        if (!*domain(import[i]->domain) && import[i]->version > 0 && import[i]->version <= INT_MAX)
            otherwise = (int)import[i]->version;
    return otherwise;
}

static dcv_status emit_call(layout *l, const Onnx__NodeProto *p, const Onnx__FunctionProto *f, int opset)
{
    if (p->n_input > f->n_input || p->n_output > f->n_output)
        return fail_node(p, "more inputs or outputs than the function has");
    scope s = {.prefix = joined(l, first_output(p), "/", ""), .call = p, .body = f};
    dcv_status st = s.prefix ? fill_body(l, &s, opset_in(f->opset_import, f->n_opset_import, opset)) : DCV_ENOMEM;
    dcv_onnx_names_free(s.names);
    return st;
}

/* --- The whole ----------------------------------------------------------------------------------- */

static dcv_status emit_node(layout *l, const scope *s, const Onnx__NodeProto *from, int opset)
{
    Onnx__NodeProto *p = dcv_arena_alloc(l->arena, 1, sizeof *p);
    if (!p)
        return DCV_ENOMEM;
    *p = *from;
    DCV_TRY(resolve_all(l, s, from->input, from->n_input, &p->input));
    DCV_TRY(resolve_all(l, s, from->output, from->n_output, &p->output));
    DCV_TRY(resolve_attrs(l, s, p));
    if (s && *text(p->name) && !(p->name = (char *)joined(l, s->prefix, p->name, "")))
        return DCV_ENOMEM;
    const Onnx__FunctionProto *f = function_of(l, p);
    return f ? emit_call(l, p, f, opset) : is_if(p) ? emit_if(l, s, p, opset) : append(l, p, opset);
}

static dcv_status emit(layout *l, const scope *s, Onnx__NodeProto **node, size_t n, int opset)
{
    dcv_status st = DCV_OK;
    if (++l->depth > MOST_DEPTH)
        return dcv_fail(DCV_EDATA,
                        "functions and branches are more than %d deep in each other; recursion is not allowed",
                        MOST_DEPTH);
    for (size_t i = 0; st == DCV_OK && i < n; i++)
        st = emit_node(l, s, node[i], opset);
    l->depth--;
    return st;
}

static bool is_flat(const Onnx__ModelProto *p)
{
    if (p->n_functions)
        return false;
    for (size_t i = 0; i < p->graph->n_node; i++)
        if (is_if(p->graph->node[i]))
            return false;
    return true;
}

static dcv_status keep(layout *l, dcv_onnx_flat *out)
{
    Onnx__GraphProto *g = dcv_arena_alloc(l->arena, 1, sizeof *g);
    Onnx__NodeProto **node = dcv_arena_alloc(l->arena, l->n_node + 1, sizeof *node);
    Onnx__TensorProto **tensor = dcv_arena_alloc(l->arena, l->n_tensor + 1, sizeof *tensor);
    int *opset = dcv_arena_alloc(l->arena, l->n_node + 1, sizeof *opset);
    if (!g || !node || !tensor || !opset)
        return DCV_ENOMEM;
    for (size_t i = 0; i < l->n_node; i++) {
        node[i] = l->node[i];
        opset[i] = l->opset[i];
    }
    for (size_t i = 0; i < l->n_tensor; i++)
        tensor[i] = l->tensor[i];
    *g = *l->model->graph;
    g->node = node;
    g->n_node = l->n_node;
    g->initializer = tensor;
    g->n_initializer = l->n_tensor;
    *out = (dcv_onnx_flat){.graph = g, .opset = opset};
    return DCV_OK;
}

dcv_status dcv_onnx_inline(const Onnx__ModelProto *p, int opset, dcv_arena *arena, dcv_onnx_flat *out)
{
    layout l = {.model = p, .arena = arena};
    *out = (dcv_onnx_flat){.graph = p->graph};
    if (is_flat(p))
        return DCV_OK;
    dcv_status st = DCV_OK;
    for (size_t i = 0; st == DCV_OK && i < p->graph->n_initializer; i++)
        st = append_tensor(&l, p->graph->initializer[i]);
    if (st == DCV_OK)
        st = emit(&l, NULL, p->graph->node, p->graph->n_node, opset);
    if (st == DCV_OK)
        st = keep(&l, out);
    dcv_free(l.node);
    dcv_free(l.opset);
    dcv_free(l.tensor);
    return st;
}
