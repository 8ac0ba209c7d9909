/* onnx_case.h -- ONNX test cases: a model, inputs, and what must come out.
 *
 * A case is a folder with model.onnx and test_data_set_0, test_data_set_1 ..., each with input_0.pb ... and output_0.pb
 * ..., serialised tensors.  Here an input may be a picture's or a constant, so a case can be run in several *ways*.
 */
#ifndef DCV_ENGINE_ONNX_CASE_H
#define DCV_ENGINE_ONNX_CASE_H

#include "deconvoy/graph.h"

/* One data set of a case. */
typedef struct dcv_case {
    const dcv_model *m;
    int n_in, n_out;
    dcv_const **in, **out; /* as the model's inputs and outputs */
} dcv_case;

/* Read data set number set of the case in folder dir.  m must outlive it.  *there: is there one?  DCV_EDATA where a
 * file is broken or is missing, DCV_EUNSUPPORTED for one that holds no numbers. */
dcv_status dcv_case_read(const char *dir, int set, const dcv_model *m, bool *there, dcv_case *out) DCV_MUST_USE;
void dcv_case_clear(dcv_case *c);

/* Which inputs are a picture's; the others are constants. */
typedef enum dcv_case_way {
    DCV_CASE_LIVE,   /* all */
    DCV_CASE_FLOATS, /* all but whole numbers */
    DCV_CASE_FIRST,  /* the first */
    DCV_CASE_FOLDED, /* none */
    DCV_CASE_N_WAY
} dcv_case_way;

/* A case bound in one way, and its graph. */
typedef struct dcv_case_graph {
    dcv_model m; /* the case's, with other inputs and constants */
    dcv_graph *g;
    int failed; /* node of the model that is not supported, -1 */
    const dcv_const **live;
    void *own; /* an arena */
} dcv_case_graph;

/* Make it.  As dcv_graph_new(); an output that cannot be had is DCV_EUNSUPPORTED. */
dcv_status dcv_case_bind(const dcv_case *c, dcv_case_way way, dcv_case_graph *out) DCV_MUST_USE;
void dcv_case_graph_clear(dcv_case_graph *b);

/* n numbers as floats. */
void dcv_const_floats(const dcv_const *c, float *to);

/* Does what came out, rounded to the type that the file has, equal what must?  NaN equals NaN; floats within absolute +
 * relative |want|, whole numbers exactly; got is int64_t where ints says so, else float.  *worst becomes the largest
 * distance if that is larger, NaN where there is none. */
bool dcv_case_equal(const dcv_const *want, const void *got, bool ints, double absolute, double relative, double *worst);

#endif
