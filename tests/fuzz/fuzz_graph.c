/* fuzz_graph.c -- graphs built from mutated models, and what is asked of them. */
#include "fuzz/fuzz.h"

#include "deconvoy/graph.h"

static volatile int64_t sink;

/* Receptive fields of values that are small enough for that to be quick. */
static void fields(const dcv_graph *g, int v)
{
    for (int axis = 0; axis < 2; axis++) {
        const dcv_dims *d = &g->value[v].dims;
        const int64_t n = 2 + axis < d->n ? d->d[2 + axis] : 1;
        if (n < 1 || n > 4096)
            continue;
        dcv_span *to = dcv_alloc((size_t)n, sizeof *to);
        if (to && dcv_graph_receptive(g, v, g->in[0], axis, to) == DCV_OK)
            sink += to[n - 1].hi;
        dcv_free(to);
    }
}

static void ask(const dcv_graph *g)
{
    int *layers = dcv_alloc((size_t)g->n_value, sizeof *layers);
    sink += dcv_graph_macs(g);
    sink += layers ? dcv_graph_layers(g, layers) : 0;
    for (int v = 0; v < g->n_value && g->n_in; v++)
        if (g->value[v].batched)
            fields(g, v);
    dcv_free(layers);
}

static int build(const dcv_model *m)
{
    dcv_graph *g = NULL;
    dcv_dims *dims = dcv_alloc((size_t)m->n_in, sizeof *dims);
    dcv_status st = dims ? DCV_OK : DCV_ENOMEM;
    for (int i = 0; i < m->n_in && st == DCV_OK; i++) {
        st = dcv_graph_input_dims(m, i, NULL, &dims[i]);
        for (int a = 0; a < dims[i].n; a++)
            dims[i].d[a] = dims[i].d[a] < 0 ? 32 : dims[i].d[a];
    }
    if (st == DCV_OK && dcv_graph_new(m, dims, m->n_in, &g) == DCV_OK)
        ask(g);
    dcv_graph_free(g);
    dcv_free(dims);
    return g != NULL;
}

static int dcv_fuzz_one(const char *file)
{
    dcv_model *m;
    if (dcv_model_open(file, &m) != DCV_OK)
        return 0;
    const int built = build(m);
    dcv_model_free(m);
    return built;
}

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv);
}
