/* graph.h -- a network for one input shape: every shape known, constants folded.
 *
 * dcv_graph_new() turns a model into nodes and values with concrete shapes for ONE picture (the
 * batch axis is 1).  Walks over several pictures hold several such values side by side
 * (dcv_blob), so exports with a literal batch of 1 need no rewriting.
 */
#ifndef DECONVOY_GRAPH_H
#define DECONVOY_GRAPH_H

#include "deconvoy/field.h"
#include "deconvoy/model.h"

typedef struct dcv_op dcv_op; /* op.h */

typedef struct dcv_value {
    const char *name;
    dcv_dtype type;       /* DCV_F32; DCV_I64 for integers and bools */
    dcv_dims dims;        /* of one picture */
    const void *constant; /* row-major float or int64_t, if known at build; else NULL */
    const char *stored;   /* element type of a constant of the file or a graph input; else NULL */
    int producer;         /* node, or -1: graph input or constant */
    int n_use, *use;      /* nodes that read it, each once, in order */
    bool batched;         /* depends on a graph input, so that each picture has its own */
} dcv_value;

typedef struct dcv_node {
    const char *name; /* never "": made from the first output's name where the file has none */
    const dcv_op *op;
    int opset;  /* of the model */
    void *attr; /* struct that op->fields describe */
    int n_in, n_out;
    int *in;  /* values; -1 where an optional input is left out */
    int *out; /* values; -1 where an optional output is not asked for */
    const dcv_model_node *source;
} dcv_node;

typedef struct dcv_graph {
    const dcv_model *model; /* borrowed; must outlive the graph */
    int n_value, n_node;
    dcv_value *value;
    dcv_node *node; /* topological; what constants alone decide is folded away, and so is what no output needs */
    int n_in, *in;  /* values, in the model's order */
    int n_out, *out;
    const char *left_out; /* why outputs of the model are missing: what they need is not supported; or NULL */
    int logits; /* the value before a final Softmax or LogSoftmax (looking through Identity, Dropout, Reshape, Flatten,
                   Squeeze), or the output itself; -1: not a classifier */
    int64_t classes; /* 0: not a classifier */
    enum { DCV_HEAD_LOGITS, DCV_HEAD_SOFTMAX, DCV_HEAD_LOG_SOFTMAX, DCV_HEAD_SIGMOID } head;
    void *own;
} dcv_graph;

/* Build for the given input shapes.
 *
 * m       the model
 * input   one shape per graph input (batch 1), n_input of them; NULL: all fixed by the file
 *
 * DCV_EUNSUPPORTED naming node, operator and opset, if the first output needs it: others that do are left out.
 * DCV_EDATA for shapes that do not fit (both shapes and the node), a cyclic or senseless graph.  Weights are borrowed
 * from m, never copied. */
dcv_status dcv_graph_new(const dcv_model *m, const dcv_dims *input, int n_input, dcv_graph **out) DCV_MUST_USE;

/* The same, which also says at which node of the model it failed, or what it left outputs out for; -1: at none. */
dcv_status dcv_graph_new_at(const dcv_model *m, const dcv_dims *input, int n_input, int *failed,
                            dcv_graph **out) DCV_MUST_USE;
void dcv_graph_free(dcv_graph *g);

/* Is a node's operator one of ours, or an If, which goes when its condition is known? */
bool dcv_graph_knows(const dcv_model_node *n);

/* The shape of graph input i, batch 1, with override (model.input_shape, [C,H,W] or any trailing extents;
 * NULL: none) put in; -1 remains where nothing says. DCV_ECONFIG if the override contradicts the file. */
dcv_status dcv_graph_input_dims(const dcv_model *m, int i, const dcv_ints *override, dcv_dims *out) DCV_MUST_USE;

int dcv_graph_find(const dcv_graph *g, const char *name); /* value, -1 if unknown */

/* `layers: all`: outputs of every activation (x * Sigmoid(x) and the like count as one) plus the
 * logits, in topological order.  to has room for n_value numbers; returns how many. */
int dcv_graph_layers(const dcv_graph *g, int *to);

/* Fail for an unknown value name: names the nearest.  Always DCV_ECONFIG. */
dcv_status dcv_graph_unknown(const dcv_graph *g, const char *name);

int64_t dcv_node_macs(const dcv_graph *g, int node); /* multiply-adds for one picture */
int64_t dcv_graph_macs(const dcv_graph *g);

/* Receptive field: cells of graph input in_value, along its spatial axis, that value v depends on at cells [0, extent)
 * along the same spatial axis -- the union over all paths, clipped.  axis 0 is the first spatial axis (rows).
 * to: one span for each cell; values without space have one cell.  Scratch is taken from the heap. */
dcv_status dcv_graph_receptive(const dcv_graph *g, int v, int in_value, int axis, dcv_span *to) DCV_MUST_USE;

/* [N,C,H,W] reading of a value's shape: channels and cells per channel; a [N,C] value has h = w = 1; rank 3 has h = 1.
 */
typedef struct dcv_map {
    int64_t c, h, w;
} dcv_map;
dcv_map dcv_value_map(const dcv_value *v);

#endif
