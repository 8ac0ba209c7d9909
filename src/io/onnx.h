/* onnx.h -- parts of the ONNX reader, private to it.
 *
 * onnx_file    the model's file and its external data, mapped and hashed
 * onnx_wire    the file without weights and unknown fields, unpacked by protobuf-c
 * onnx_tensor  TensorProto -> dcv_const
 * onnx_inline  functions and branches laid out flat
 * onnx_names   name -> number
 * onnx_order   topological order
 * onnx         all of it together: dcv_model
 */
#ifndef DCV_IO_ONNX_H
#define DCV_IO_ONNX_H

#include "deconvoy/memory.h"
#include "deconvoy/model.h"
#include "onnx_subset.pb-c.h"

/* A stretch of mapped bytes. */
typedef struct dcv_onnx_bytes {
    const uint8_t *at;
    size_t n;
} dcv_onnx_bytes;

/* Everything that lives as long as a model: mappings, the arena, converted weights. */
typedef struct dcv_onnx_files dcv_onnx_files;

/* Map the main file.  folder of file is where external data may lie.  DCV_ENOINPUT, DCV_EDATA. */
dcv_status dcv_onnx_files_open(const char *file, dcv_onnx_files **out) DCV_MUST_USE;
void dcv_onnx_files_free(dcv_onnx_files *f);
dcv_onnx_bytes dcv_onnx_files_main(const dcv_onnx_files *f);
dcv_arena *dcv_onnx_files_arena(const dcv_onnx_files *f);

/* Map an external file once; location as the tensor has it.  DCV_EDATA if it leaves the
 * folder, DCV_ENOINPUT if it is not there. */
dcv_status dcv_onnx_files_external(dcv_onnx_files *f, const char *location, dcv_onnx_bytes *out) DCV_MUST_USE;

/* Memory for converted values, given back with the files.  DCV_EDATA if more is asked for than
 * files of this size can hold. */
dcv_status dcv_onnx_files_alloc(dcv_onnx_files *f, size_t n, size_t size, void **out) DCV_MUST_USE;

/* Mapped bytes that have been copied need not stay resident. */
void dcv_onnx_files_drop(dcv_onnx_bytes b);

/* Hash and size of all files mapped; the hash can be taken once. */
dcv_sha256 dcv_onnx_files_sha256(dcv_onnx_files *f);
int64_t dcv_onnx_files_bytes(const dcv_onnx_files *f);

/* What the file is if it is no ONNX model ("a PNG picture", "text"); NULL: cannot tell. */
const char *dcv_onnx_found(dcv_onnx_bytes b);

/* Unpack a message of kind d into arena.  Tensor data stays where it is (TensorProto.span).  Strings are
 * UTF-8 without NUL.  DCV_EDATA with the byte at fault. */
dcv_status dcv_onnx_unpack(dcv_onnx_bytes file, const ProtobufCMessageDescriptor *d, dcv_arena *arena,
                           const void **out) DCV_MUST_USE;

/* Read a tensor.  Strings are borrowed from t.  DCV_EDATA, DCV_EUNSUPPORTED (element type), DCV_ENOINPUT. */
dcv_status dcv_onnx_tensor(dcv_onnx_files *f, const Onnx__TensorProto *t, dcv_const *out) DCV_MUST_USE;

/* "float", "int64" ... ; "undefined" for 0 and unknown numbers. */
const char *dcv_onnx_elem_name(int data_type);

/* A graph without functions or graphs of If inside (those of Loop and others stay where they are).  If(condition) becomes
 * If(condition, then..., else...), n_output of each, whose nodes stand before it. */
typedef struct dcv_onnx_flat {
    const Onnx__GraphProto *graph;
    const int *opset; /* of each node; NULL: the model's */
} dcv_onnx_flat;

/* Lay out p, whose opset of the ONNX domain is opset.  What is new is in arena, the rest p's.  DCV_EDATA. */
dcv_status dcv_onnx_inline(const Onnx__ModelProto *p, int opset, dcv_arena *arena, dcv_onnx_flat *out) DCV_MUST_USE;

/* A map from names to numbers >= 0.  Names are borrowed. */
typedef struct dcv_onnx_names dcv_onnx_names;
dcv_status dcv_onnx_names_new(size_t most, dcv_onnx_names **out) DCV_MUST_USE;
void dcv_onnx_names_free(dcv_onnx_names *n);
int dcv_onnx_names_find(const dcv_onnx_names *n, const char *name); /* -1 if unknown */
/* The number that name had before, -1 if it is new; then number is put in. At most `most` names. */
int dcv_onnx_names_add(dcv_onnx_names *n, const char *name, int number);

/* Sort m->node topologically, stable: a sorted graph stays as it is.  Values: constants, graph inputs and
 * node outputs.  DCV_EDATA for a cycle, a name made twice, or one that nobody makes. */
dcv_status dcv_onnx_order(dcv_model *m) DCV_MUST_USE;

/* "node NAME (OP)", or "node #7 (OP)" for one without a name. */
typedef char dcv_onnx_node_text[200];
const char *dcv_onnx_node_print(const dcv_model *m, int node, dcv_onnx_node_text to);

#endif
