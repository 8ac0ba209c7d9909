/* model.h -- an ONNX file as it stands: nodes, attributes, constants.
 *
 * Nothing is interpreted here beyond the format; operators and shapes are the engine's.
 * Hostile files are refused with the node, tensor or byte at fault; sizes are checked before memory
 * is taken.  Local; read-only after dcv_model_open().
 */
#ifndef DECONVOY_MODEL_H
#define DECONVOY_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include "deconvoy/hash.h"
#include "deconvoy/tensor.h"

/* A constant.  All float types are widened or narrowed to float32 (DCV_F32) and all integer and bool
 * types to int64 (DCV_I64) when read; stored says what the file had ("float16").  data points
 * into the mapped file where that needs no conversion. */
typedef struct dcv_const {
    const char *name;
    dcv_dtype type; /* DCV_F32 or DCV_I64 */
    dcv_dims dims;
    const void *data;
    const char *stored;
} dcv_const;

typedef enum dcv_attr_type {
    DCV_ATTR_INT,
    DCV_ATTR_INTS,
    DCV_ATTR_FLOAT,
    DCV_ATTR_FLOATS,
    DCV_ATTR_STRING,
    DCV_ATTR_STRINGS,
    DCV_ATTR_TENSOR,
    DCV_ATTR_OTHER /* graphs of Loop and the like, sparse tensors, types: kept by name only */
} dcv_attr_type;

typedef struct dcv_attr {
    const char *name;
    dcv_attr_type type;
    int n; /* elements of i, f or s */
    const int64_t *i;
    const double *f;
    const char *const *s;
    const dcv_const *tensor;
} dcv_attr;

typedef struct dcv_model_node {
    const char *name;        /* "" if the file has none */
    const char *op, *domain; /* domain "" is ONNX's own */
    int opset;               /* of the ONNX domain; 0: the model's */
    int n_in, n_out, n_attr;
    const char *const *in; /* "" where an optional input is left out */
    const char *const *out;
    const dcv_attr *attr;
} dcv_model_node;

typedef struct dcv_model_value { /* a graph input or output */
    const char *name;
    int elem_type;                    /* ONNX TensorProto.DataType; 0 if not said */
    const char *elem_name;            /* "float", "float16", "int64" ... */
    int rank;                         /* -1 if not said */
    int64_t dim[DCV_MAX_RANK];        /* -1: symbolic or not said */
    const char *symbol[DCV_MAX_RANK]; /* NULL where a number or nameless */
} dcv_model_value;

typedef struct dcv_model {
    const char *file;
    int64_t ir_version;
    int opset; /* of the ONNX domain; 0: no node is of it */
    const char *producer;
    int n_node, n_const, n_in, n_out;
    dcv_model_node *node; /* in topological order (sorted here if the file is not) */
    dcv_const *constant;  /* initialisers */
    dcv_model_value *in;  /* graph inputs that are not initialisers */
    dcv_model_value *out;
    dcv_sha256 sha256; /* of the file and its external data */
    int64_t bytes;     /* of the file and its external data */
    void *own;         /* private: mappings and arena */
} dcv_model;

/* Read a model.  Functions of its own are inlined; both branches of an If are among the nodes, and their outputs are its
 * inputs after the condition.  DCV_ENOINPUT; DCV_EDATA for a broken, cyclic or oversized one, no opset, external
 * data outside the model's folder; opsets newer than known are accepted. */
dcv_status dcv_model_open(const char *file, dcv_model **out) DCV_MUST_USE;
void dcv_model_free(dcv_model *m);

const dcv_attr *dcv_model_attr(const dcv_model_node *node, const char *name); /* NULL if absent */
const dcv_const *dcv_model_const(const dcv_model *m, const char *name);       /* NULL if absent */

/* Read one serialised TensorProto (.pb of an ONNX test case); freed by dcv_const_free(). */
dcv_status dcv_const_read(const char *file, dcv_const **out) DCV_MUST_USE;
void dcv_const_free(dcv_const *c);

/* The lines of a label file: first word and whole line; freed by dcv_labels_free(). */
typedef struct dcv_labels {
    int n;
    char **line;
} dcv_labels;
dcv_status dcv_labels_read(const char *file, dcv_labels **out) DCV_MUST_USE;
/* Class whose line, or first word, equals name (case aside); -1 if none does. */
int dcv_labels_find(const dcv_labels *l, const char *name);
void dcv_labels_free(dcv_labels *l);

#endif
