/* onnx.c -- an ONNX file -> dcv_model.
 *
 * ONNX IR specification: https://github.com/onnx/onnx/blob/main/docs/IR.md
 */
#include <limits.h>
#include <string.h>
#include "io/onnx.h"

enum { OLDEST_OPSET = 1, OLDEST_IR_WITH_OPSETS = 3 };

typedef struct {
    dcv_onnx_files *files;
    dcv_onnx_names *consts;
} owned;

static const char *text(const char *s)
{
    return s ? s : "";
}

/* "ai.onnx" is another spelling of "". */
static const char *domain(const char *s)
{
    return !s || strcmp(s, "ai.onnx") == 0 ? "" : s;
}

static dcv_arena *arena(const dcv_model *m)
{
    return dcv_onnx_files_arena(((const owned *)m->own)->files);
}

static void *array(const dcv_model *m, size_t n, size_t size)
{
    return dcv_arena_alloc(arena(m), n, size);
}

/* --- Attributes ------------------------------------------------------------------------------ */

/* TensorProto -> attribute.  Element types that cannot be read are kept by name only: the operator decides. */
static dcv_status attr_tensor(dcv_model *m, const Onnx__AttributeProto *a, dcv_attr *out)
{
    dcv_const *c = array(m, 1, sizeof *c);
    if (!c)
        return DCV_ENOMEM;
    if (!a->t)
        return dcv_fail(DCV_EDATA, "attribute %s: a tensor is expected", out->name);
    dcv_status st = dcv_onnx_tensor(((owned *)m->own)->files, a->t, c);
    if (st == DCV_EUNSUPPORTED) {
        out->type = DCV_ATTR_OTHER;
        return DCV_OK;
    }
    out->tensor = c;
    return st == DCV_OK ? st : dcv_fail_in(st, "attribute %s", out->name);
}

static dcv_status attr_int(dcv_model *m, const Onnx__AttributeProto *a, dcv_attr *out)
{
    (void)m;
    out->n = 1;
    out->i = &a->i;
    return DCV_OK;
}

static dcv_status attr_ints(dcv_model *m, const Onnx__AttributeProto *a, dcv_attr *out)
{
    (void)m;
    out->n = (int)a->n_ints;
    out->i = a->ints;
    return DCV_OK;
}

static dcv_status attr_reals(dcv_model *m, const float *v, size_t n, dcv_attr *out)
{
    double *f = array(m, n, sizeof *f);
    if (!f)
        return DCV_ENOMEM;
    for (size_t i = 0; i < n; i++)
        f[i] = v[i];
    out->n = (int)n;
    out->f = f;
    return DCV_OK;
}

static dcv_status attr_float(dcv_model *m, const Onnx__AttributeProto *a, dcv_attr *out)
{
    return attr_reals(m, &a->f, 1, out);
}

static dcv_status attr_floats(dcv_model *m, const Onnx__AttributeProto *a, dcv_attr *out)
{
    return attr_reals(m, a->floats, a->n_floats, out);
}

static dcv_status attr_texts(dcv_model *m, const ProtobufCBinaryData *v, size_t n, dcv_attr *out)
{
    const char **s = array(m, n, sizeof *s);
    if (!s)
        return DCV_ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (!(s[i] = dcv_arena_strndup(arena(m), v[i].len ? (const char *)v[i].data : "", v[i].len)))
            return DCV_ENOMEM;
    out->n = (int)n;
    out->s = s;
    return DCV_OK;
}

static dcv_status attr_string(dcv_model *m, const Onnx__AttributeProto *a, dcv_attr *out)
{
    return attr_texts(m, &a->s, 1, out);
}

static dcv_status attr_strings(dcv_model *m, const Onnx__AttributeProto *a, dcv_attr *out)
{
    return attr_texts(m, a->strings, a->n_strings, out);
}

/* Kinds by their number in AttributeProto.AttributeType. */
static const struct {
    dcv_attr_type type;
    dcv_status (*read)(dcv_model *m, const Onnx__AttributeProto *a, dcv_attr *out);
} attr_kinds[] = {
    [0] = {DCV_ATTR_OTHER, NULL},           [1] = {DCV_ATTR_FLOAT, attr_float},
    [2] = {DCV_ATTR_INT, attr_int},         [3] = {DCV_ATTR_STRING, attr_string},
    [4] = {DCV_ATTR_TENSOR, attr_tensor},   [5] = {DCV_ATTR_OTHER, NULL}, /* graph */
    [6] = {DCV_ATTR_FLOATS, attr_floats},   [7] = {DCV_ATTR_INTS, attr_ints},
    [8] = {DCV_ATTR_STRINGS, attr_strings},
};

/* Writers of the first IR versions left the type out: what is there tells it. */
static int attr_kind(const Onnx__AttributeProto *a)
{
    const int n = sizeof attr_kinds / sizeof *attr_kinds;
    if (a->type)
        return a->type > 0 && a->type < n ? a->type : 0;
    return a->has_f       ? 1
           : a->has_i     ? 2
           : a->has_s     ? 3
           : a->t         ? 4
           : a->n_floats  ? 6
           : a->n_ints    ? 7
           : a->n_strings ? 8
                          : 0;
}

static dcv_status read_attr(dcv_model *m, const Onnx__AttributeProto *a, dcv_attr *out)
{
    const int kind = attr_kind(a);
    out->name = text(a->name);
    out->type = attr_kinds[kind].type;
    return attr_kinds[kind].read ? attr_kinds[kind].read(m, a, out) : DCV_OK;
}

/* --- Nodes ----------------------------------------------------------------------------------- */

static dcv_status read_attrs(dcv_model *m, const Onnx__NodeProto *p, dcv_model_node *n)
{
    dcv_attr *attr = array(m, p->n_attribute, sizeof *attr);
    if (!attr)
        return DCV_ENOMEM;
    for (size_t i = 0; i < p->n_attribute; i++) {
        DCV_TRY(read_attr(m, p->attribute[i], &attr[i]));
        for (size_t j = 0; j < i; j++)
            if (strcmp(attr[i].name, attr[j].name) == 0)
                return dcv_fail(DCV_EDATA, "attribute %s is given twice", attr[i].name);
    }
    n->attr = attr;
    n->n_attr = (int)p->n_attribute;
    return DCV_OK;
}

static dcv_status read_nodes(dcv_model *m, const dcv_onnx_flat *flat)
{
    const Onnx__GraphProto *g = flat->graph;
    m->n_node = (int)g->n_node;
    m->node = array(m, g->n_node, sizeof *m->node);
    if (!m->node)
        return DCV_ENOMEM;
    for (int i = 0; i < m->n_node; i++) {
        const Onnx__NodeProto *p = g->node[i];
        dcv_onnx_node_text where;
        m->node[i] = (dcv_model_node){.name = text(p->name),
                                      .op = text(p->op_type),
                                      .domain = domain(p->domain),
                                      .opset = flat->opset ? flat->opset[i] : m->opset,
                                      .n_in = (int)p->n_input,
                                      .n_out = (int)p->n_output,
                                      .in = (const char *const *)p->input,
                                      .out = (const char *const *)p->output};
        dcv_status st = *m->node[i].op ? read_attrs(m, p, &m->node[i]) : dcv_fail(DCV_EDATA, "no operator is named");
        if (st != DCV_OK)
            return dcv_fail_in(st, "%s", dcv_onnx_node_print(m, i, where));
    }
    return DCV_OK;
}

/* --- Constants, inputs, outputs -------------------------------------------------------------- */

static dcv_status read_constants(dcv_model *m, const Onnx__GraphProto *g)
{
    owned *o = m->own;
    if (g->n_sparse_initializer)
        return dcv_fail(DCV_EUNSUPPORTED, "sparse initializers; dense ones are expected");
    m->constant = array(m, g->n_initializer, sizeof *m->constant);
    if (!m->constant)
        return DCV_ENOMEM;
    DCV_TRY(dcv_onnx_names_new(g->n_initializer, &o->consts));
    for (size_t i = 0; i < g->n_initializer; i++) {
        DCV_TRY(dcv_onnx_tensor(o->files, g->initializer[i], &m->constant[i]));
        if (!*m->constant[i].name)
            return dcv_fail(DCV_EDATA, "initializer #%zu has no name", i);
        (void)dcv_onnx_names_add(o->consts, m->constant[i].name, (int)i);
        m->n_const++;
    }
    return DCV_OK;
}

/* -1 is how some writers spell "unknown". */
static dcv_status read_dim(const Onnx__TensorShapeProto__Dimension *d, int64_t *dim, const char **symbol)
{
    *dim = d->has_dim_value ? d->dim_value : -1;
    *symbol = d->dim_param && *d->dim_param ? d->dim_param : NULL;
    if (*dim < -1)
        return dcv_fail(DCV_EDATA, "extent %lld; a number >= 0 is expected", (long long)*dim);
    return DCV_OK;
}

static dcv_status read_shape(const Onnx__TensorShapeProto *s, dcv_model_value *v)
{
    dcv_dims known = {0};
    if (s->n_dim > DCV_MAX_RANK)
        return dcv_fail(DCV_EDATA, "%zu dimensions; at most %d are expected", s->n_dim, DCV_MAX_RANK);
    v->rank = (int)s->n_dim;
    for (int i = 0; i < v->rank; i++) {
        DCV_TRY(read_dim(s->dim[i], &v->dim[i], &v->symbol[i]));
        if (v->dim[i] >= 0)
            known.d[known.n++] = v->dim[i];
    }
    return dcv_dims_check(&known);
}

static dcv_status read_value(const Onnx__ValueInfoProto *p, const char *what, dcv_model_value *v)
{
    const Onnx__TypeProto__Tensor *t = p->type ? p->type->tensor_type : NULL;
    v->name = text(p->name);
    v->elem_type = t ? t->elem_type : 0;
    v->elem_name = dcv_onnx_elem_name(v->elem_type);
    v->rank = -1;
    for (int i = 0; i < DCV_MAX_RANK; i++)
        v->dim[i] = -1;
    if (!*v->name)
        return dcv_fail(DCV_EDATA, "a graph %s has no name", what);
    dcv_status st = t && t->shape ? read_shape(t->shape, v) : DCV_OK;
    return st == DCV_OK ? st : dcv_fail_in(st, "%s %s", what, v->name);
}

/* Files of IR version 3 list every initializer as an input too. */
static dcv_status read_inputs(dcv_model *m, const Onnx__GraphProto *g)
{
    m->in = array(m, g->n_input, sizeof *m->in);
    if (!m->in)
        return DCV_ENOMEM;
    for (size_t i = 0; i < g->n_input; i++)
        if (!dcv_model_const(m, text(g->input[i]->name)))
            DCV_TRY(read_value(g->input[i], "input", &m->in[m->n_in++]));
    return DCV_OK;
}

static dcv_status read_outputs(dcv_model *m, const Onnx__GraphProto *g)
{
    if (!g->n_output)
        return dcv_fail(DCV_EDATA, "the graph has no outputs");
    m->out = array(m, g->n_output, sizeof *m->out);
    if (!m->out)
        return DCV_ENOMEM;
    for (size_t i = 0; i < g->n_output; i++)
        DCV_TRY(read_value(g->output[i], "output", &m->out[m->n_out++]));
    return DCV_OK;
}

/* --- The whole ------------------------------------------------------------------------------- */

/* Has the graph an operator of ONNX's own? */
static bool uses_onnx(const Onnx__GraphProto *g)
{
    for (size_t i = 0; i < g->n_node; i++)
        if (!*domain(g->node[i]->domain))
            return true;
    return !g->n_node;
}

static dcv_status read_header(dcv_model *m, const Onnx__ModelProto *p)
{
    int64_t opset = p->ir_version && p->ir_version < OLDEST_IR_WITH_OPSETS ? 1 : 0;
    m->ir_version = p->ir_version;
    m->producer = text(p->producer_name);
    for (size_t i = 0; i < p->n_opset_import; i++)
        if (!*domain(p->opset_import[i]->domain))
            opset = p->opset_import[i]->version;
    if (!p->graph)
        return dcv_fail(DCV_EDATA, "byte 0: no graph; not an ONNX model");
    if ((opset < OLDEST_OPSET && (opset || uses_onnx(p->graph))) || opset > INT_MAX)
        return dcv_fail(DCV_EDATA, "opset %lld; %d or newer is expected", (long long)opset, OLDEST_OPSET);
    m->opset = (int)opset;
    return DCV_OK;
}

static dcv_status unpack_model(dcv_model *m, dcv_onnx_bytes file, const void **out)
{
    const dcv_status st = dcv_onnx_unpack(file, &onnx__model_proto__descriptor, arena(m), out);
    const char *found = st == DCV_EDATA ? dcv_onnx_found(file) : NULL;
    return found ? dcv_fail(st, "byte 0: not an ONNX file, but %s", found) : st;
}

static dcv_status read_model(dcv_model *m, dcv_onnx_files *files)
{
    const void *unpacked;
    DCV_TRY(unpack_model(m, dcv_onnx_files_main(files), &unpacked));
    const Onnx__ModelProto *p = unpacked;
    dcv_onnx_flat flat;
    DCV_TRY(read_header(m, p));
    DCV_TRY(dcv_onnx_inline(p, m->opset, arena(m), &flat));
    DCV_TRY(read_constants(m, flat.graph));
    DCV_TRY(read_inputs(m, flat.graph));
    DCV_TRY(read_outputs(m, flat.graph));
    DCV_TRY(read_nodes(m, &flat));
    DCV_TRY(dcv_onnx_order(m));
    m->sha256 = dcv_onnx_files_sha256(files);
    m->bytes = dcv_onnx_files_bytes(files);
    return DCV_OK;
}

static dcv_status open_model(const char *file, dcv_model *m)
{
    owned *o = m->own = dcv_alloc(1, sizeof *o);
    if (!o)
        return DCV_ENOMEM;
    DCV_TRY(dcv_onnx_files_open(file, &o->files));
    m->file = dcv_arena_strdup(arena(m), file);
    if (!m->file)
        return DCV_ENOMEM;
    dcv_status st = read_model(m, o->files);
    return st == DCV_OK ? st : dcv_fail_in(st, "%s", file);
}

dcv_status dcv_model_open(const char *file, dcv_model **out)
{
    *out = NULL;
    dcv_model *m = dcv_alloc(1, sizeof *m);
    if (!m)
        return DCV_ENOMEM;
    dcv_status st = open_model(file, m);
    if (st == DCV_OK)
        *out = m;
    else
        dcv_model_free(m);
    return st;
}

void dcv_model_free(dcv_model *m)
{
    owned *o = m ? m->own : NULL;
    if (o) {
        dcv_onnx_names_free(o->consts);
        dcv_onnx_files_free(o->files);
    }
    dcv_free(o);
    dcv_free(m);
}

const dcv_attr *dcv_model_attr(const dcv_model_node *node, const char *name)
{
    for (int i = 0; i < node->n_attr; i++)
        if (strcmp(node->attr[i].name, name) == 0)
            return &node->attr[i];
    return NULL;
}

const dcv_const *dcv_model_const(const dcv_model *m, const char *name)
{
    const int i = dcv_onnx_names_find(((const owned *)m->own)->consts, name);
    return i < 0 ? NULL : &m->constant[i];
}
