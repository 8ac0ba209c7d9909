/* function.h -- the functions that an operator of one number wants, from expressions.
 *
 * In expressions v is the number; a and b are the first two attributes, where attr is a struct of doubles; w is the
 * result, on the way back where the operator declares DCV_BACK_Y (and v only where it declares DCV_BACK_X).
 */
#ifndef DCV_ENGINE_OPS_FUNCTION_H
#define DCV_ENGINE_OPS_FUNCTION_H

#include <math.h>
#include "engine/ops/gate.h"
#include "engine/ops/map.h"

#define DCV_ATTRIBUTES(count)                                                                                          \
    const double *number = attr;                                                                                       \
    const float a = (count) > 0 ? (float)number[0] : 0, b = (count) > 1 ? (float)number[1] : 0;                        \
    (void)a, (void)b, (void)number

/* SYMBOL_map, and SYMBOL_forward that runs it.  count: attributes; zero: the function of 0 is 0. */
#define DCV_FUNCTION(symbol, count, zero, expression)                                                                  \
    static void symbol##_map(const void *attr, int64_t n, const float *x, float *y)                                    \
    {                                                                                                                  \
        DCV_ATTRIBUTES(count);                                                                                         \
        DCV_INDEPENDENT                                                                                                \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            const float v = x[i];                                                                                      \
            y[i] = expression;                                                                                         \
        }                                                                                                              \
    }                                                                                                                  \
    DCV_FORWARD(symbol, zero)

#define DCV_FORWARD(symbol, zero)                                                                                      \
    static void symbol##_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)                             \
    {                                                                                                                  \
        (void)g;                                                                                                       \
        dcv_map_run(nd, io, symbol##_map, zero);                                                                       \
    }

/* SYMBOL_backward: gx = gy times the derivative. */
#define DCV_DERIVATIVE(symbol, count, derivative)                                                                      \
    static void symbol##_slope(const void *attr, int64_t n, const float *x, const float *y, const float *gy,           \
                               float *gx)                                                                              \
    {                                                                                                                  \
        DCV_ATTRIBUTES(count);                                                                                         \
        DCV_INDEPENDENT                                                                                                \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            const float v = x ? x[i] : 0, w = y ? y[i] : 0;                                                            \
            (void)v, (void)w;                                                                                          \
            gx[i] = gy[i] * (derivative);                                                                              \
        }                                                                                                              \
    }                                                                                                                  \
    static void symbol##_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)                       \
    {                                                                                                                  \
        (void)g;                                                                                                       \
        dcv_slope_run(nd, io, symbol##_slope);                                                                         \
    }

/* Initialisers of dcv_op. */
#define DCV_OF_ONE                    .min_in = 1, .max_in = 1, .max_out = 1, .layout = DCV_LAYOUT_SAME, .back_layout = DCV_LAYOUT_SAME
#define DCV_WALKS_BACK(symbol, reads) .back_reads = reads, .backward = symbol##_backward

#endif
