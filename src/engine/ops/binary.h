/* binary.h -- operators of two values with numpy broadcasting, in any layout. */
#ifndef DCV_ENGINE_OPS_BINARY_H
#define DCV_ENGINE_OPS_BINARY_H

#include "engine/ops/util.h"

typedef enum dcv_binary {
    DCV_ADD,
    DCV_SUB,
    DCV_MUL,
    DCV_DIV,
    DCV_POW,
    DCV_FMOD, /* the sign of a, as C has it */
    DCV_MOD,  /* the sign of b, as Python has it */
    DCV_MIN,  /* NaN wins */
    DCV_MAX,
    DCV_PRELU, /* a, and a b where a is negative */
    DCV_EQUAL,
    DCV_GREATER,
    DCV_GREATER_EQUAL,
    DCV_LESS,
    DCV_LESS_EQUAL,
    DCV_AND, /* of truth values: anything but 0 is true */
    DCV_OR,
    DCV_XOR
} dcv_binary;

/* The shape that a and b broadcast to; false if they do not. */
bool dcv_broadcast(const dcv_dims *a, const dcv_dims *b, dcv_dims *y);

/* dcv_op.shape of an operator of two values of one type: what they broadcast to, of their type. */
dcv_status dcv_binary_shape(const dcv_shape_io *io) DCV_MUST_USE;

/* dcv_op.fold of such an operator: floats and integers; numbers of the other type come out of comparisons. */
dcv_status dcv_binary_fold(dcv_binary kind, const dcv_fold_io *io) DCV_MUST_USE;

/* y = a op b for all pictures; y may share the memory of an operand of its own shape. */
void dcv_binary_run(dcv_binary kind, const dcv_blob *a, const dcv_blob *b, dcv_blob *y);

/* Offsets of a value broadcast to a shape, row by row. */
typedef struct dcv_walker {
    dcv_dims y;                   /* the shape walked over */
    int64_t stride[DCV_MAX_RANK]; /* 0 where broadcast */
    int chan;                     /* axis of y that is in blocks, or -1 */
    int64_t block, chan_stride;
} dcv_walker;
dcv_walker dcv_walker_of(const dcv_dims *y, const dcv_dims *x, int block);
int64_t dcv_walker_at(const dcv_walker *w, const int64_t at[DCV_MAX_RANK]); /* offset of a cell */

/* Step to the next row (all axes but the last); false at the end. */
bool dcv_next_row(const dcv_dims *y, int64_t at[DCV_MAX_RANK]);

/* gx = sum over the cells of y that read x, of gy times the derivative by x.  a and b are NULL where they do not count.
 * Blobs are of one picture. */
typedef enum dcv_pull {
    DCV_PULL_ADD,     /* 1 */
    DCV_PULL_SUB,     /* -1 */
    DCV_PULL_MUL,     /* a */
    DCV_PULL_DIV,     /* 1 / a */
    DCV_PULL_DIVISOR, /* -b / (a a) */
    DCV_PULL_BASE,    /* b a^(b - 1) */
    DCV_PULL_EXPONENT /* a^b ln a, 0 where a is 0 */
} dcv_pull;
void dcv_binary_back(dcv_pull kind, const dcv_blob *gy, const dcv_blob *a, const dcv_blob *b, dcv_blob *gx);

#endif
