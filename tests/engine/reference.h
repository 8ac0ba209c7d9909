/* reference.h -- a walk by definition: every node's own forward, one value after the other.
 *
 * Values are kept in plain layout; an operator that takes any layout is given blocks and its outputs are read
 * back, lanes past the channels being checked to be 0.  Slow and simple: what faster walks are compared with.
 */
#ifndef DCV_TEST_REFERENCE_H
#define DCV_TEST_REFERENCE_H

#include "check.h"
#include "deconvoy/op.h"

/* Between plain memory and blocks; rank below 3 stays as it is. */
static inline void ref_to_block(const dcv_dims *d, int block, const float *plain, float *to)
{
    const dcv_blob_shape s = dcv_blob_shape_of(d, block);
    memset(to, 0, (size_t)s.floats * sizeof *to);
    if (block == 1 || d->n < 3) {
        memcpy(to, plain, (size_t)dcv_count(d) * sizeof *to);
        return;
    }
    for (int64_t c = 0; c < s.c; c++)
        for (int64_t i = 0; i < s.cells; i++)
            to[(c / block * s.cells + i) * block + c % block] = plain[c * s.cells + i];
}

static inline void ref_to_plain(const dcv_dims *d, int block, const float *from, float *plain)
{
    const dcv_blob_shape s = dcv_blob_shape_of(d, block);
    if (block == 1 || d->n < 3) {
        memcpy(plain, from, (size_t)dcv_count(d) * sizeof *plain);
        return;
    }
    int64_t stray = 0;
    for (int64_t c = 0; c < s.blocks * block; c++)
        for (int64_t i = 0; i < s.cells; i++) {
            const float v = from[(c / block * s.cells + i) * block + c % block];
            if (c < s.c)
                plain[c * s.cells + i] = v;
            else
                stray += !(v == 0);
        }
    CHECK(stray == 0);
}

/* Blocks suit a value with channels and a batch axis of 1. */
static inline int ref_block(const dcv_dims *d, int block)
{
    return d->n >= 3 && d->d[0] == 1 ? block : 1;
}

/* One block for all values of a node: a first axis other than 1 among them lets none have lanes. */
static inline int ref_node_block(const dcv_graph *g, const dcv_node *nd, int block)
{
    if (nd->op->layout != DCV_LAYOUT_SAME)
        return 1;
    for (int k = 0; k < nd->n_in + nd->n_out; k++) {
        const int v = k < nd->n_in ? nd->in[k] : nd->out[k - nd->n_in];
        if (v >= 0 && g->value[v].batched && g->value[v].dims.n >= 3 && g->value[v].dims.d[0] != 1)
            return 1;
    }
    return block;
}

/* Run node nd on plain values[], block lanes where it takes them. */
static inline void ref_node(const dcv_graph *g, const dcv_node *nd, int block, float **values)
{
    dcv_blob *x = dcv_alloc((size_t)(nd->n_in + nd->n_out), sizeof *x), *y = x + nd->n_in;
    const int b = ref_node_block(g, nd, block);
    for (int k = 0; k < nd->n_in; k++) {
        if (nd->in[k] < 0)
            continue;
        const dcv_value *v = &g->value[nd->in[k]];
        x[k] = (dcv_blob){NULL, &v->dims, 1, v->batched ? ref_block(&v->dims, b) : 1, 0};
        if (!v->batched) {
            x[k].data = (float *)v->constant;
            continue;
        }
        x[k].n_stride = dcv_blob_shape_of(&v->dims, x[k].block).floats;
        x[k].data = dcv_alloc((size_t)x[k].n_stride, sizeof(float));
        ref_to_block(&v->dims, x[k].block, values[nd->in[k]], x[k].data);
    }
    for (int j = 0; j < nd->n_out; j++) {
        if (nd->out[j] < 0)
            continue;
        const dcv_dims *d = &g->value[nd->out[j]].dims;
        y[j] = (dcv_blob){NULL, d, 1, ref_block(d, b), 0};
        y[j].n_stride = dcv_blob_shape_of(d, y[j].block).floats;
        y[j].data = dcv_alloc((size_t)y[j].n_stride, sizeof(float));
        for (int64_t i = 0; i < y[j].n_stride; i++)
            y[j].data[i] = NAN; /* every number must be written */
    }
    const dcv_io io = {.x = x, .y = y};
    nd->op->forward(g, nd, &io);
    for (int j = 0; j < nd->n_out; j++)
        if (nd->out[j] >= 0) {
            ref_to_plain(y[j].dims, y[j].block, y[j].data, values[nd->out[j]]);
            dcv_free(y[j].data);
        }
    for (int k = 0; k < nd->n_in; k++)
        if (nd->in[k] >= 0 && g->value[nd->in[k]].batched)
            dcv_free(x[k].data);
    dcv_free(x);
}

/* All values of one picture, plain; values[v] is NULL for constants.  input: one plain array a graph input. */
static inline float **ref_run(const dcv_graph *g, int block, const float *const *input)
{
    float **values = dcv_alloc((size_t)g->n_value, sizeof *values);
    for (int v = 0; v < g->n_value; v++)
        if (g->value[v].batched)
            values[v] = dcv_alloc((size_t)dcv_count(&g->value[v].dims), sizeof(float));
    for (int i = 0; i < g->n_in; i++)
        memcpy(values[g->in[i]], input[i], (size_t)dcv_count(&g->value[g->in[i]].dims) * sizeof(float));
    for (int i = 0; i < g->n_node; i++)
        ref_node(g, &g->node[i], block, values);
    return values;
}

static inline void ref_free(const dcv_graph *g, float **values)
{
    for (int v = 0; v < g->n_value; v++)
        dcv_free(values[v]);
    dcv_free(values);
}

#endif
