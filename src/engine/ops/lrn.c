/* lrn.c -- ONNX LRN (1, 13): local response normalisation across channels.
 *
 * y = x / (bias + alpha / size * sum of x^2 over channels c - floor((size-1)/2) .. c + ceil((size-1)/2))^beta
 *
 * Every sum is taken anew from its lowest channel up, so that it does not depend on the layout.
 */
#include <math.h>
#include "engine/ops/util.h"

typedef struct lrn_attr {
    double alpha, beta, bias;
    int64_t size;
} lrn_attr;

static const dcv_field fields[] = {
    {"alpha", DCV_FIELD_REAL, DCV_AT(lrn_attr, alpha), .dflt = "0.0001", .help = "factor of the mean square"},
    {"beta", DCV_FIELD_REAL, DCV_AT(lrn_attr, beta), .dflt = "0.75", .help = "exponent"},
    {"bias", DCV_FIELD_REAL, DCV_AT(lrn_attr, bias), .dflt = "1.0", .help = "added to the mean square"},
    {"size", DCV_FIELD_INT, DCV_AT(lrn_attr, size), .required = true, .min = 1, .max = 1 << 20,
     .help = "channels that are summed"},
    DCV_FIELDS_END};

#define TILE 64 /* cells that are worked on together */

static dcv_status shape(const dcv_shape_io *io)
{
    dcv_dims_text t;
    if (io->x[0]->dims.n < 2)
        return dcv_op_fail(io, DCV_EDATA, "input %s; expected N, C and space", dcv_dims_print(&io->x[0]->dims, t));
    return dcv_shape_same(io);
}

/* sum[i] += x[i * step]^2 for a tile of cells. */
DCV_INLINE void add_squares(int n, const float *x, int64_t step, float *sum)
{
    for (int i = 0; i < n; i++)
        sum[i] += x[i * step] * x[i * step];
}

/* y = x v^-beta; the common exponent 3/4 needs no powf. */
DCV_INLINE void divide(int n, const lrn_attr *a, const float *sum, const float *x, int64_t step, float *y)
{
    const float k = (float)(a->alpha / (double)a->size), bias = (float)a->bias;
    for (int i = 0; i < n; i++) {
        const float v = bias + k * sum[i];
        if (a->beta == 0.75)
            y[i * step] = x[i * step] / (sqrtf(v) * sqrtf(sqrtf(v)));
        else
            y[i * step] = x[i * step] / powf(v, (float)a->beta);
    }
}

/* All channels of a tile of n cells; channel c of cell i is at x[c / b * block_step + i * b + c % b]. */
static void tile(const lrn_attr *a, int64_t channels, int b, int64_t block_step, int n, const float *x, float *y)
{
    const int64_t below = (a->size - 1) / 2, above = a->size - 1 - below;
    for (int64_t c = 0; c < channels; c++) {
        const int64_t lo = c > below ? c - below : 0, hi = c + above < channels ? c + above + 1 : channels;
        const int64_t at = c / b * block_step + c % b;
        float sum[TILE] = {0};
        for (int64_t j = lo; j < hi; j++)
            add_squares(n, x + j / b * block_step + j % b, b, sum);
        divide(n, a, sum, x + at, b, y + at);
    }
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const dcv_blob *x = &io->x[0];
    const int b = x->dims->n >= 3 ? x->block : 1;
    const dcv_blob_shape s = dcv_blob_shape_of(x->dims, b);
    for (int64_t q = 0; q < dcv_blob_outer(&io->y[0]); q++)
        for (int64_t i = 0; i < s.cells; i += TILE)
            tile(nd->attr, s.c, b, s.cells * b, (int)(s.cells - i < TILE ? s.cells - i : TILE),
                 dcv_blob_slice(x, q) + i * b, dcv_blob_slice(&io->y[0], q) + i * b);
    dcv_blob_clear_tail(&io->y[0]);
}

const dcv_op dcv_op_lrn = {.name = "LRN",
                           .min_in = 1,
                           .max_in = 1,
                           .max_out = 1,
                           .attr_size = sizeof(lrn_attr),
                           .fields = fields,
                           .layout = DCV_LAYOUT_SAME,
                           .shape = shape,
                           .forward = forward};
