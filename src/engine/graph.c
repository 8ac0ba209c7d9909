/* graph.c -- questions about a finished graph: names, sizes of maps, input shapes, work. */
#include <string.h>
#include "engine/build.h"

/* Extents of the file, the batch axis 1; -1 where nothing says. */
static dcv_status file_dims(const dcv_model_value *in, dcv_dims *d)
{
    d->n = in->rank;
    for (int k = 0; k < in->rank; k++)
        d->d[k] = in->dim[k];
    for (int k = 0; k < in->rank; k++)
        if (in->dim[k] == 0)
            return dcv_fail(DCV_EDATA, "axis %d of graph input \"%s\" has no cells", k, in->name);
    if (in->rank > 0 && in->dim[0] > 1)
        return dcv_fail(DCV_EDATA, "graph input \"%s\" has a fixed batch of %lld; expected 1 or a symbolic one",
                        in->name, (long long)in->dim[0]);
    if (in->rank > 0)
        d->d[0] = 1;
    return DCV_OK;
}

static dcv_status put_override(const dcv_model_value *in, const dcv_ints *o, dcv_dims *d)
{
    dcv_dims_text t;
    if (in->rank < 0) { /* the file says nothing: the override is all but the batch */
        d->n = o->n + 1;
        d->d[0] = 1;
        for (int k = 1; k < d->n && d->n <= DCV_MAX_RANK; k++)
            d->d[k] = -1;
    }
    if (d->n > DCV_MAX_RANK || o->n > d->n)
        return dcv_fail(DCV_ECONFIG, "%d extents; graph input \"%s\" has %d axes", o->n, in->name, d->n);
    for (int k = 0; k < o->n; k++) {
        int64_t *to = &d->d[d->n - o->n + k];
        if (*to >= 0 && *to != o->v[k])
            return dcv_fail(DCV_ECONFIG, "extent %lld, but graph input \"%s\" is %s in the file", (long long)o->v[k],
                            in->name, dcv_dims_print(d, t));
        *to = o->v[k];
    }
    return DCV_OK;
}

dcv_status dcv_graph_input_dims(const dcv_model *m, int i, const dcv_ints *override, dcv_dims *out)
{
    *out = (dcv_dims){0};
    DCV_TRY(file_dims(&m->in[i], out));
    if (override && override->n)
        return put_override(&m->in[i], override, out);
    if (m->in[i].rank < 0)
        return dcv_fail(DCV_EDATA, "graph input \"%s\" has no shape in the file", m->in[i].name);
    return DCV_OK;
}

int dcv_graph_find(const dcv_graph *g, const char *name)
{
    for (int v = 0; v < g->n_value; v++)
        if (!strcmp(g->value[v].name, name))
            return v;
    return -1;
}

/* A layer is its output tensor; people often write the node that makes it. */
static const char *output_of(const dcv_graph *g, const char *node)
{
    for (int i = 0; i < g->n_node; i++)
        if (strcmp(g->node[i].name, node) == 0 && g->node[i].out[0] >= 0)
            return g->value[g->node[i].out[0]].name;
    return NULL;
}

dcv_status dcv_graph_unknown(const dcv_graph *g, const char *name)
{
    const char *output = output_of(g, name);
    if (output)
        return dcv_fail(DCV_ECONFIG, "\"%s\" is a node; a layer is named by its output, \"%s\"", name, output);
    const char **names = dcv_alloc((size_t)g->n_value + 1, sizeof *names), *near;
    size_t n = 0;
    if (!names)
        return DCV_ENOMEM;
    for (int v = 0; v < g->n_value; v++)
        if (g->value[v].batched && *g->value[v].name)
            names[n++] = g->value[v].name;
    near = dcv_nearest(name, names, n);
    dcv_free(names);
    return dcv_fail(DCV_ECONFIG, "no layer \"%s\" in the model; `inspect` lists them as outputs%s%s", name,
                    near ? "; nearest: " : "", near ? near : "");
}

int64_t dcv_node_macs(const dcv_graph *g, int node)
{
    const dcv_node *nd = &g->node[node];
    return nd->op->macs ? nd->op->macs(g, nd) : 0;
}

int64_t dcv_graph_macs(const dcv_graph *g)
{
    int64_t sum = 0;
    for (int i = 0; i < g->n_node; i++)
        sum += dcv_node_macs(g, i);
    return sum;
}

dcv_map dcv_value_map(const dcv_value *v)
{
    const dcv_dims *d = &v->dims;
    dcv_map m = {1, 1, 1};
    if (d->n == 1)
        m.c = d->d[0];
    if (d->n >= 2)
        m.c = d->d[1];
    if (d->n >= 3)
        m.w = d->d[d->n - 1];
    for (int i = 2; i < d->n - 1; i++)
        m.h *= d->d[i];
    return m;
}
