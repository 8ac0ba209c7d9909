/* op.h -- what an operator is: one file and one line in ops.def.
 *
 * Each operator describes itself by a const dcv_op.  The functions come in the same order
 * in every file: attributes, shape, fold, reads, crop, phase, macs, forward, save, backward.
 */
#ifndef DECONVOY_OP_H
#define DECONVOY_OP_H

#include "deconvoy/graph.h"

/* A value of n pictures in memory.
 *
 * block 1: each picture is row-major.  block 8 or 16: for values of rank 3 and more,
 * channels in blocks, [ceil(C/block)][spatial...][block], where the lanes past C are 0 and every operator
 * leaves them 0.  So plain is the same as block 1, and one loop nest serves all layouts.  A value whose batch axis
 * is not 1 is always plain.  In a walk integers are floats too; constants of type DCV_I64 are read
 * through dcv_value.constant, never through a blob. */
typedef struct dcv_blob {
    float *data;          /* NULL: an optional input that is left out */
    const dcv_dims *dims; /* of one picture */
    int n;                /* pictures; 1 for constants */
    int block;
    int64_t n_stride; /* floats from a picture to the next; 0 for constants */
} dcv_blob;

/* Channels C, blocks of them, cells per channel, floats of one picture. */
typedef struct dcv_blob_shape {
    int64_t c, blocks, cells, floats;
} dcv_blob_shape;
dcv_blob_shape dcv_blob_shape_of(const dcv_dims *d, int block);

typedef struct dcv_io {
    const dcv_blob *x;    /* [n_in] */
    dcv_blob *y;          /* [n_out] */
    const void *prepared; /* from prepare, or NULL */
    const void *packed;   /* packed weights, or NULL */
    void *scratch;        /* 64-byte aligned, this thread's */
} dcv_io;

/* One picture's signal on its way back through a node. */
typedef struct dcv_back_io {
    const dcv_blob *x;  /* [n_in] constants, and what DCV_BACK_X declares; data NULL elsewhere */
    const dcv_blob *y;  /* [n_out] what DCV_BACK_Y declares */
    const void *saved;  /* what save kept, or NULL */
    const dcv_blob *gy; /* [n_out] data NULL where nothing comes down */
    dcv_blob *gx;       /* [n_in] written over; data NULL where it is not wanted; may be gy's memory where the operator
                           may work in place */
    void *scratch;      /* of back_scratch bytes, 64-byte aligned */
} dcv_back_io;

/* What backward reads of the walk forward. */
typedef enum dcv_back_reads { DCV_BACK_X = 1, DCV_BACK_Y = 2 } dcv_back_reads;

/* Which layouts an operator's kernel can read and write. */
typedef enum dcv_layout {
    DCV_LAYOUT_PLAIN, /* block 1 only */
    DCV_LAYOUT_SAME,  /* any block, the same for all batched inputs and outputs of rank >= 3 */
    DCV_LAYOUT_OWN    /* says so itself (prepare: convolutions) */
} dcv_layout;

typedef enum dcv_op_flag {
    DCV_OP_VIEW = 1,        /* output 0 is input 0's memory under another shape */
    DCV_OP_IN_PLACE = 2,    /* output 0 may share input 0's memory */
    DCV_OP_ACTIVATION = 4,  /* its output is a layer of `layers: all` */
    DCV_OP_ELEMENTWISE = 8, /* a cell depends on the same cell alone */
    DCV_OP_DENSE = 16,      /* matrix product: wants several pictures at once */
    DCV_OP_OF_SHAPE = 32    /* its outputs depend on the shapes of its inputs alone: always folded */
} dcv_op_flag;

/* Cells along one axis: lo, lo + step, ... below hi, step >= 1.  Those outside the tensor (padding) do not count. */
typedef struct dcv_cells {
    int64_t lo, hi, step;
} dcv_cells;

#define DCV_AXIS_MIXED -1 /* no axis of the output runs along it: every cell reads all of it */

/* Shape inference: fill type and dims of the outputs, from dims of the inputs (and values of constant ones).  May also
 * complete node->attr with what follows from the shapes (windows after auto_pad, axes made positive). */
typedef struct dcv_shape_io {
    const dcv_node *node;
    int n_in, n_out;
    const dcv_value *const *x; /* NULL where left out */
    dcv_value *y;              /* fill in type and dims */
    dcv_arena *arena;          /* the graph's: for what attr points to */
} dcv_shape_io;

/* A constant being folded: in and out values; y[i].constant points to memory of the right size to be filled. */
typedef struct dcv_fold_io {
    const dcv_node *node;
    int n_in, n_out;
    const dcv_value *const *x;
    const dcv_value *y;
    void *const *to; /* [n_out] float or int64_t as y[i].type says */
} dcv_fold_io;

struct dcv_op {
    const char *name;   /* ONNX op_type, domain "" */
    int min_in, max_in; /* max_in -1: any number */
    int max_out;
    size_t attr_size;
    const dcv_field *fields; /* attributes; others are refused unless default-valued or listed in ignored */
    const char *ignored;     /* "a|b": attributes without effect here */
    int flags;               /* dcv_op_flag */
    dcv_layout layout;
    dcv_status (*shape)(const dcv_shape_io *io);
    dcv_status (*fold)(const dcv_fold_io *io); /* NULL: folded with forward, in plain layout, where all is float32 */
    /* The axis of output j that runs along axis axis of input k, or DCV_AXIS_MIXED.  NULL: the same axis counted
     * from the last, as broadcasting has it. */
    int (*carries)(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j);
    /* Cells along axis axis of input k that cell o along carries() of output j reads.  NULL: cell o (the only cell
     * where the input is broadcast). */
    dcv_cells (*reads)(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o);
    /* Let nd, a copy whose attributes are a copy too, compute some cells of its output alone from the cells that
     * reads() names for them, all of them given; *border: what stands for those outside the input (NaN:
     * the nearest cell inside).  g: the whole graph.
     * False: it cannot.  NULL: nothing is to be done where every cell reads the same cell alone; else it cannot. */
    bool (*crop)(const dcv_graph *g, dcv_node *nd, float *border);
    /* Where crop() must be asked for boxes that begin at, and have, multiples of so many cells along an axis of the
     * output: what is computed repeats itself with this period.  NULL: 1. */
    int64_t (*phase)(const dcv_graph *g, const dcv_node *nd, int axis);
    int64_t (*macs)(const dcv_graph *g, const dcv_node *nd); /* NULL: 0 */
    void (*forward)(const dcv_graph *g, const dcv_node *nd, const dcv_io *io);

    /* The walk back: the adjoint, or the derivative's.  NULL: none.  Whole numbers carry no signal. */
    int back_reads; /* dcv_back_reads */
    dcv_layout back_layout;
    /* Bytes that save keeps of one picture, in a layout; called right after forward.  Reads y, and x unless the
     * operator may work in place. */
    size_t (*saved_bytes)(const dcv_graph *g, const dcv_node *nd, int block);
    void (*save)(const dcv_graph *g, const dcv_node *nd, const dcv_io *io, void *saved);
    size_t (*back_scratch)(const dcv_graph *g, const dcv_node *nd); /* bytes; NULL: 0 */
    void (*backward)(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io);
};

const dcv_op *dcv_op_find(const char *name); /* NULL if we have none */
const dcv_op *dcv_op_at(int i);              /* the table in order; NULL past its end */

#endif
