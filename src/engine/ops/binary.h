/* binary.h -- operators of two values with numpy broadcasting, in any layout. */
#ifndef DCV_ENGINE_OPS_BINARY_H
#define DCV_ENGINE_OPS_BINARY_H

#include "engine/ops/util.h"

typedef enum dcv_binary { DCV_ADD, DCV_SUB, DCV_MUL, DCV_DIV, DCV_EQUAL } dcv_binary;

/* The shape that a and b broadcast to; false if they do not. */
bool dcv_broadcast(const dcv_dims *a, const dcv_dims *b, dcv_dims *y);

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

/* gx = sum over the cells of y that read x, of gy (or -gy), gy a, gy / a, -gy b a / (a a): the adjoints of Add, Sub,
 * Mul and Div.  a and b are NULL where they do not count.  Blobs are of one picture. */
typedef enum dcv_pull { DCV_PULL_ADD, DCV_PULL_SUB, DCV_PULL_MUL, DCV_PULL_DIV, DCV_PULL_DIVISOR } dcv_pull;
void dcv_binary_back(dcv_pull kind, const dcv_blob *gy, const dcv_blob *a, const dcv_blob *b, dcv_blob *gx);

#endif
