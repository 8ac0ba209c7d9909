/* lrn.c -- ONNX LRN (1, 13): local response normalisation across channels.
 *
 * y = x / (bias + alpha / size * sum of x^2 over channels c - floor((size-1)/2) .. c + ceil((size-1)/2))^beta
 *
 * Every sum is taken anew from its lowest channel up, so that it does not depend on the layout.
 */
#include <math.h>
#include <string.h>
#include "engine/ops/util.h"

#define TILE    64   /* cells that are worked on together */
#define STRETCH 256  /* channels of one cell that are worked on together */
#define HALO    1024 /* largest window */

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

static dcv_status shape(const dcv_shape_io *io)
{
    dcv_dims_text t;
    if (io->x[0]->dims.n < 2)
        return dcv_op_fail(io, DCV_EDATA, "input %s; expected N, C and space", dcv_dims_print(&io->x[0]->dims, t));
    return dcv_shape_same(io);
}

/* n numbers: y = x v^-beta; the common exponent 3/4 needs no powf. */
DCV_INLINE void divide(int64_t n, const lrn_attr *a, const float *sum, const float *x, float *y)
{
    const float k = (float)(a->alpha / (double)a->size), bias = (float)a->bias, beta = (float)a->beta;
    if (a->beta == 0.75) {
        DCV_INDEPENDENT
        for (int64_t i = 0; i < n; i++) {
            const float root = sqrtf(bias + k * sum[i]);
            y[i] = x[i] / (root * sqrtf(root));
        }
    } else {
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] / powf(bias + k * sum[i], beta);
    }
}

/* All channels of a tile of n cells in plain layout. */
DCV_CLONES static void plain(const lrn_attr *a, int64_t channels, int64_t cells, int n, const float *x, float *y)
{
    const int64_t below = (a->size - 1) / 2, above = a->size - 1 - below;
    for (int64_t c = 0; c < channels; c++) {
        const int64_t lo = c > below ? c - below : 0, hi = c + above < channels ? c + above + 1 : channels;
        float sum[TILE] = {0};
        for (int64_t j = lo; j < hi; j++)
            for (int i = 0; i < n; i++)
                sum[i] += x[j * cells + i] * x[j * cells + i];
        divide(n, a, sum, x + c * cells, y + c * cells);
    }
}

/* Squares of channels first .. first + n - 1 of one cell into to[]; 0 where there is no such channel.  to has room
 * for a block more at either end. */
DCV_INLINE void squares(int64_t channels, int64_t first, int64_t n, int b, int64_t step, const float *x, float *to)
{
    const int64_t lo = first < 0 ? 0 : first / b, hi = first + n < channels ? first + n : channels;
    for (int64_t i = first; i < 0; i++)
        to[i - first] = 0;
    for (int64_t i = hi; i < first + n; i++)
        to[i - first] = 0;
    for (int64_t k = lo; k * b < hi; k++)
        for (int l = 0; l < b; l++)
            to[k * b - first + l] = x[k * step + l] * x[k * step + l];
    for (int64_t i = hi; i < (hi + b - 1) / b * b; i++)
        to[i - first] = 0;
}

/* All channels of one cell in blocks of b lanes, blocks step floats apart: a stretch of channels at a time, their
 * squares side by side with those of the neighbours. */
DCV_INLINE void blocked(const lrn_attr *a, int64_t channels, int b, int64_t step, const float *x, float *y)
{
    const int64_t below = (a->size - 1) / 2;
    for (int64_t c = 0; c < channels; c += STRETCH) {
        const int64_t n = channels - c < STRETCH ? channels - c : STRETCH, all = (n + b - 1) / b * b;
        float square[STRETCH + HALO + 3 * DCV_BLOCK_MAX], sum[STRETCH], in[STRETCH], out[STRETCH];
        squares(channels, c - below, n + a->size - 1, b, step, x, square + b);
        for (int64_t i = 0; i < n; i++)
            sum[i] = 0 + square[b + i];
        for (int64_t j = 1; j < a->size; j++)
            for (int64_t i = 0; i < n; i++)
                sum[i] += square[b + i + j];
        for (int64_t i = n; i < all; i++)
            sum[i] = 0;
        for (int64_t i = 0; i < all; i += b)
            for (int l = 0; l < b; l++)
                in[i + l] = x[(c + i) / b * step + l];
        divide(all, a, sum, in, out);
        for (int64_t i = 0; i < all; i += b)
            for (int l = 0; l < b; l++)
                y[(c + i) / b * step + l] = out[i + l];
    }
}

DCV_CLONES static void blocked_any(const lrn_attr *a, int64_t channels, int b, int64_t cells, const float *x, float *y)
{
    for (int64_t i = 0; i < cells; i++)
        if (b == 16)
            blocked(a, channels, 16, cells * 16, x + i * 16, y + i * 16);
        else
            blocked(a, channels, 8, cells * 8, x + i * 8, y + i * 8);
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const dcv_blob *x = &io->x[0];
    const int b = x->dims->n >= 3 ? x->block : 1;
    const dcv_blob_shape s = dcv_blob_shape_of(x->dims, b);
    for (int64_t q = 0; q < dcv_blob_outer(&io->y[0]); q++) {
        const float *from = dcv_blob_slice(x, q);
        float *to = dcv_blob_slice(&io->y[0], q);
        if (b > 1)
            blocked_any(nd->attr, s.c, b, s.cells, from, to);
        for (int64_t i = 0; b == 1 && i < s.cells; i += TILE)
            plain(nd->attr, s.c, s.cells, (int)(s.cells - i < TILE ? s.cells - i : TILE), from + i, to + i);
    }
    dcv_blob_clear_tail(&io->y[0]);
}

/* gx[c] = gy[c] v[c]^-beta - 2 k beta x[c] sum over j whose window has c of gy[j] x[j] v[j]^-(beta+1),
 * v = bias + k sum of squares, k = alpha / size. */
static void cell_back(const lrn_attr *a, int64_t channels, const int64_t *at, const float *x, const float *gy,
                      double *scale, double *pull, float *gx)
{
    const int64_t below = (a->size - 1) / 2, above = a->size - 1 - below;
    const double k = a->alpha / (double)a->size;
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0;
        for (int64_t j = c > below ? c - below : 0; j <= c + above && j < channels; j++)
            sum += (double)x[at[j]] * x[at[j]];
        const double v = a->bias + k * sum;
        scale[c] = pow(v, -a->beta);
        pull[c] = gy[at[c]] * x[at[c]] * scale[c] / v;
    }
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0;
        for (int64_t j = c > above ? c - above : 0; j <= c + below && j < channels; j++)
            sum += pull[j];
        gx[at[c]] = (float)(gy[at[c]] * scale[c] - 2 * k * a->beta * x[at[c]] * sum);
    }
}

static size_t back_scratch(const dcv_graph *g, const dcv_node *nd)
{
    return (size_t)g->value[nd->in[0]].dims.d[1] * (2 * sizeof(double) + sizeof(int64_t));
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const dcv_blob *x = &io->x[0], *gy = &io->gy[0], *gx = &io->gx[0];
    const int64_t b = gy->dims->n >= 3 ? gy->block : 1;
    const dcv_blob_shape s = dcv_blob_shape_of(gy->dims, gy->block);
    double *scale = io->scratch, *pull = scale + s.c;
    int64_t *at = (int64_t *)(pull + s.c);
    for (int64_t c = 0; c < s.c; c++)
        at[c] = c / b * s.cells * b + c % b;
    for (int64_t q = 0; q < dcv_blob_outer(gy); q++)
        for (int64_t i = 0; i < s.cells; i++)
            cell_back(nd->attr, s.c, at, dcv_blob_slice(x, q) + i * b, dcv_blob_slice(gy, q) + i * b, scale, pull,
                      dcv_blob_slice(gx, q) + i * b);
    dcv_blob_clear_tail(&io->gx[0]);
}

const dcv_op dcv_op_lrn = {.name = "LRN",
                           .min_in = 1,
                           .max_in = 1,
                           .max_out = 1,
                           .attr_size = sizeof(lrn_attr),
                           .fields = fields,
                           .layout = DCV_LAYOUT_SAME,
                           .shape = shape,
                           .forward = forward,
                           .back_reads = DCV_BACK_X,
                           .back_layout = DCV_LAYOUT_SAME,
                           .back_scratch = back_scratch,
                           .backward = backward};
