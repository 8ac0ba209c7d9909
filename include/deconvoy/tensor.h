/* tensor.h -- shapes, element types and the geometry of sliding windows.
 *
 * Shapes are row-major, outermost first; images are [N,C,H,W].
 */
#ifndef DECONVOY_TENSOR_H
#define DECONVOY_TENSOR_H

#include <stdbool.h>
#include <stdint.h>
#include "deconvoy/status.h"

#define DCV_MAX_RANK  8
#define DCV_MAX_SPACE 3 /* spatial axes of a window operator: depth, rows, columns */

typedef struct dcv_dims {
    int n;
    int64_t d[DCV_MAX_RANK];
} dcv_dims;

typedef enum dcv_dtype { DCV_F32, DCV_F64, DCV_I16, DCV_I32, DCV_I64, DCV_U8, DCV_U32, DCV_N_DTYPE } dcv_dtype;

size_t dcv_dtype_bytes(dcv_dtype t);

/* "f4", "u1" ...; "?" for DCV_N_DTYPE, which stands for what is not read. */
const char *dcv_dtype_name(dcv_dtype t);

/* Elements of a shape (1 for rank 0).  The shape must have passed dcv_dims_check(). */
int64_t dcv_count(const dcv_dims *d);

/* DCV_EDATA unless every extent is >= 0 and the product is below 2^40. */
dcv_status dcv_dims_check(const dcv_dims *d) DCV_MUST_USE;

bool dcv_dims_equal(const dcv_dims *a, const dcv_dims *b);

/* "1x3x224x224" into buf; returns buf. */
typedef char dcv_dims_text[DCV_MAX_RANK * 21 + 1];
char *dcv_dims_print(const dcv_dims *d, dcv_dims_text buf);

/* One axis of a sliding window (convolution, pooling). */
typedef struct dcv_window {
    int64_t kernel, stride, dilation, pad_lo, pad_hi;
} dcv_window;

/* A half-open range of cells, lo <= i < hi; empty where hi <= lo. */
typedef struct dcv_span {
    int64_t lo, hi;
} dcv_span;

/* Windows along an axis of extent in; 0 if not one fits.  ceil_mode as ONNX MaxPool has
 * it: a last window that would start in the padding at the end is dropped. */
int64_t dcv_window_out(int64_t in, const dcv_window *w, bool ceil_mode);

/* Cells of the input (extent in) that output cells o cover, padding clipped away. */
dcv_span dcv_window_reads(dcv_span o, const dcv_window *w, int64_t in);

/* Cells of the output (extent out) that read any input cell of i: the projection. */
dcv_span dcv_window_reaches(dcv_span i, const dcv_window *w, int64_t out);

dcv_span dcv_span_hull(dcv_span a, dcv_span b); /* an empty span counts for nothing */

#endif
