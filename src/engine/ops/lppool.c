/* lppool.c -- ONNX LpPool (1, 2, 11, 18, 22) and GlobalLpPool (1, 2, 22): y = (sum |x|^p)^(1/p) over a window, or over
 * all of a channel.  Double sums; padding counts as 0.
 *
 * gx = gy sign(x) (|x| / y)^(p - 1), and 0 where y is.
 */
#include <math.h>
#include <string.h>
#include "engine/ops/pool.h"

typedef struct lp_attr {
    dcv_pool_attr pool; /* first: dcv_pool_shape() serves it */
    int64_t p;
} lp_attr;

static const dcv_field fields[] = {
    DCV_WINDOW_FIELDS(lp_attr, pool.window),
    {"ceil_mode", DCV_FIELD_INT, DCV_AT(lp_attr, pool.ceil_mode), .dflt = "0", .min = 0, .max = 1,
     .help = "round the output's extents up"},
    {"p", DCV_FIELD_INT, DCV_AT(lp_attr, p), .dflt = "2", .min = 1, .max = 1000, .help = "exponent"},
    DCV_FIELDS_END};

static const dcv_field global_fields[] = {
    {"p", DCV_FIELD_INT, DCV_AT(lp_attr, p), .dflt = "2", .min = 1, .max = 1000, .help = "exponent"}, DCV_FIELDS_END};

/* The whole of space as one window. */
static dcv_status global_shape(const dcv_shape_io *io)
{
    lp_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    dcv_dims_text t;
    if (x->n < 3 || x->n > 2 + DCV_MAX_SPACE)
        return dcv_op_fail(io, DCV_EDATA, "input %s; expected N, C and one to three axes of space",
                           dcv_dims_print(x, t));
    a->pool.window.n_space = x->n - 2;
    io->y[0].type = DCV_F32;
    io->y[0].dims = *x;
    for (int i = 2; i < x->n; i++) {
        if (x->d[i] < 1)
            return dcv_op_fail(io, DCV_EDATA, "input %s has no cells", dcv_dims_print(x, t));
        a->pool.window.win[i - 2] = (dcv_window){x->d[i], 1, 1, 0, 0};
        io->y[0].dims.d[i] = 1;
    }
    return DCV_OK;
}

static bool crop(const dcv_graph *g, dcv_node *nd, float *border)
{
    (void)g;
    dcv_window_crop(&((lp_attr *)nd->attr)->pool.window);
    *border = 0;
    return true;
}

static double power(double v, int64_t p)
{
    return p == 1 ? v : p == 2 ? v * v : pow(v, (double)p);
}

static double root(double v, int64_t p)
{
    return p == 1 ? v : p == 2 ? sqrt(v) : pow(v, 1 / (double)p);
}

/* What to do with the window of one cell of one lane: add up, or hand back. */
typedef void (*visit_fn)(int64_t p, const float *x, float y, float gy, float *gx, double *sum);

static void add_up(int64_t p, const float *x, float y, float gy, float *gx, double *sum)
{
    (void)y, (void)gy, (void)gx;
    *sum += power(fabs((double)*x), p);
}

static void hand_back(int64_t p, const float *x, float y, float gy, float *gx, double *sum)
{
    (void)sum;
    const double share = y > 0 ? power(fabs((double)*x) / y, p - 1) : 0;
    *gx += (float)(*x < 0 ? -gy * share : *x > 0 ? gy * share : 0);
}

static void visit(const dcv_pool_nest *n, int64_t o, int lanes, int64_t p, const float *x, float y, float gy, float *gx,
                  double *sum, visit_fn fn)
{
    const int64_t at[3] = {o / n->out[2] / n->out[1], o / n->out[2] % n->out[1], o % n->out[2]};
    dcv_taps t[3];
    for (int i = 0; i < 3; i++)
        t[i] = dcv_window_taps(&n->win[i], at[i], n->in[i]);
    for (int64_t i = t[0].lo, z = t[0].at; i < t[0].hi; i++, z += n->win[0].dilation)
        for (int64_t j = t[1].lo, r = t[1].at; j < t[1].hi; j++, r += n->win[1].dilation)
            for (int64_t k = t[2].lo, c = t[2].at; k < t[2].hi; k++, c += n->win[2].dilation) {
                const int64_t cell = ((z * n->in[1] + r) * n->in[2] + c) * lanes;
                fn(p, x + cell, y, gy, gx ? gx + cell : NULL, sum);
            }
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const lp_attr *a = nd->attr;
    const dcv_blob *x = &io->x[0], *y = &io->y[0];
    const dcv_pool_nest n = dcv_pool_nest_of(&a->pool.window, x->dims, y->dims);
    const dcv_blob_shape sx = dcv_blob_shape_of(x->dims, x->block), sy = dcv_blob_shape_of(y->dims, y->block);
    for (int64_t q = 0; q < dcv_blob_outer(y); q++)
        for (int64_t b = 0; b < sy.blocks; b++) {
            const float *from = dcv_blob_slice(x, q) + b * sx.cells * x->block;
            float *to = dcv_blob_slice(y, q) + b * sy.cells * y->block;
            for (int64_t o = 0; o < sy.cells; o++)
                for (int l = 0; l < y->block; l++) {
                    double sum = 0;
                    visit(&n, o, y->block, a->p, from + l, 0, 0, NULL, &sum, add_up);
                    to[o * y->block + l] = (float)root(sum, a->p);
                }
        }
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const lp_attr *a = nd->attr;
    const dcv_blob *gy = &io->gy[0], *gx = &io->gx[0];
    const dcv_pool_nest n = dcv_pool_nest_of(&a->pool.window, gx->dims, gy->dims);
    const dcv_blob_shape sx = dcv_blob_shape_of(gx->dims, gx->block), sy = dcv_blob_shape_of(gy->dims, gy->block);
    memset(gx->data, 0, (size_t)sx.floats * sizeof *gx->data);
    for (int64_t q = 0; q < dcv_blob_outer(gy); q++)
        for (int64_t b = 0; b < sy.blocks; b++) {
            const int64_t at_x = b * sx.cells * gx->block, at_y = b * sy.cells * gy->block;
            const float *x = dcv_blob_slice(&io->x[0], q) + at_x, *y = dcv_blob_slice(&io->y[0], q) + at_y;
            const float *signal = dcv_blob_slice(gy, q) + at_y;
            float *to = dcv_blob_slice(gx, q) + at_x;
            for (int64_t o = 0; o < sy.cells; o++)
                for (int l = 0; l < gy->block; l++) {
                    const int64_t k = o * gy->block + l;
                    visit(&n, o, gy->block, a->p, x + l, y[k], signal[k], to + l, NULL, hand_back);
                }
        }
}

#define COMMON                                                                                                         \
    .min_in = 1, .max_in = 1, .max_out = 1, .attr_size = sizeof(lp_attr), .layout = DCV_LAYOUT_SAME,                   \
    .reads = dcv_pool_reads, .forward = forward, .back_reads = DCV_BACK_X | DCV_BACK_Y,                                \
    .back_layout = DCV_LAYOUT_SAME, .backward = backward

const dcv_op dcv_op_lppool = {.name = "LpPool", COMMON, .fields = fields, .shape = dcv_pool_shape, .crop = crop};
const dcv_op dcv_op_globallppool = {.name = "GlobalLpPool", COMMON, .fields = global_fields, .shape = global_shape};
