/* conv.c -- ONNX Conv (1, 11): 1-D, 2-D and 3-D, groups, dilations, auto_pad.
 *
 * y[o] = b[o] + sum over c, t of w[o,c,t] x[g(o)+c, stride * cell - pad + dilation * t]
 *
 * Walks run convolutions through a back end (conv.h of the engine); forward here is the plain definition with
 * double sums, for constants and as the tests' reference.
 */
#include "engine/ops/conv.h"

static const dcv_field fields[] = {DCV_WINDOW_FIELDS(dcv_conv_attr, window),
                                   {"group", DCV_FIELD_INT, DCV_AT(dcv_conv_attr, group), .dflt = "1", .min = 1,
                                    .max = 1 << 24, .help = "groups of channels"},
                                   DCV_FIELDS_END};

static dcv_status shape(const dcv_shape_io *io)
{
    dcv_conv_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims, *w = &io->x[1]->dims;
    dcv_dims_text tx, tw;
    if (w->n != x->n || x->n < 3)
        return dcv_op_fail(io, DCV_EDATA, "input %s does not fit weights %s", dcv_dims_print(x, tx),
                           dcv_dims_print(w, tw));
    if (w->d[0] < 1 || w->d[1] < 1 || w->d[0] % a->group || w->d[1] > INT64_MAX / a->group ||
        x->d[1] != w->d[1] * a->group)
        return dcv_op_fail(io, DCV_EDATA, "input %s does not fit weights %s in %lld group%s", dcv_dims_print(x, tx),
                           dcv_dims_print(w, tw), (long long)a->group, a->group == 1 ? "" : "s");
    if (dcv_op_has(io, 2) && (io->x[2]->dims.n != 1 || io->x[2]->dims.d[0] != w->d[0])) {
        dcv_dims_text tb;
        return dcv_op_fail(io, DCV_EDATA, "bias %s does not fit weights %s", dcv_dims_print(&io->x[2]->dims, tb),
                           dcv_dims_print(w, tw));
    }
    DCV_TRY(dcv_window_resolve(io, &a->window, x, &w->d[2]));
    io->y[0].type = DCV_F32;
    io->y[0].dims = *x;
    io->y[0].dims.d[1] = w->d[0];
    return dcv_window_extents(io, &a->window, x, false, &io->y[0].dims);
}

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)j;
    return k || axis == 1 ? DCV_AXIS_MIXED : axis;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)k, (void)j;
    if (axis < 2)
        return (dcv_cells){o, o + 1, 1};
    return dcv_window_cells(&((const dcv_conv_attr *)nd->attr)->window, axis, o);
}

static bool crop(const dcv_graph *g, dcv_node *nd, float *border)
{
    (void)g;
    dcv_window_crop(&((dcv_conv_attr *)nd->attr)->window);
    *border = 0;
    return true;
}

static int64_t macs(const dcv_graph *g, const dcv_node *nd)
{
    const dcv_dims *w = &g->value[nd->in[1]].dims;
    return dcv_count(&g->value[nd->out[0]].dims) * (dcv_count(w) / w->d[0]);
}

/* Axes of space padded at the front to three, so that one nest serves all. */
typedef struct nest {
    int64_t in[3], out[3];
    dcv_window win[3];
} nest;

static nest nest_of(const dcv_window_attr *a, const dcv_dims *x, const dcv_dims *y)
{
    nest n = {{1, 1, 1}, {1, 1, 1}, {{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}}};
    for (int i = 0; i < a->n_space; i++) {
        const int k = 3 - a->n_space + i;
        n.in[k] = x->d[2 + i];
        n.out[k] = y->d[2 + i];
        n.win[k] = a->win[i];
    }
    return n;
}

/* Sum over one channel's window. */
static double window_sum(const nest *n, const float *x, const float *w, const int64_t o[3])
{
    const dcv_taps d = dcv_window_taps(&n->win[0], o[0], n->in[0]), r = dcv_window_taps(&n->win[1], o[1], n->in[1]),
                   c = dcv_window_taps(&n->win[2], o[2], n->in[2]);
    double sum = 0;
    for (int64_t i = d.lo, zi = d.at; i < d.hi; i++, zi += n->win[0].dilation)
        for (int64_t j = r.lo, yj = r.at; j < r.hi; j++, yj += n->win[1].dilation) {
            const float *xr = x + (zi * n->in[1] + yj) * n->in[2] + c.at;
            const float *wr = w + (i * n->win[1].kernel + j) * n->win[2].kernel;
            for (int64_t k = c.lo; k < c.hi; k++, xr += n->win[2].dilation)
                sum += (double)wr[k] * *xr;
        }
    return sum;
}

static void channel(const nest *n, int64_t ic, const float *x, const float *w, double bias, float *y)
{
    const int64_t in = n->in[0] * n->in[1] * n->in[2], k = n->win[0].kernel * n->win[1].kernel * n->win[2].kernel;
    for (int64_t d = 0; d < n->out[0]; d++)
        for (int64_t r = 0; r < n->out[1]; r++)
            for (int64_t c = 0; c < n->out[2]; c++) {
                double sum = bias;
                for (int64_t i = 0; i < ic; i++)
                    sum += window_sum(n, x + i * in, w + i * k, (int64_t[3]){d, r, c});
                *y++ = (float)sum;
            }
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const dcv_conv_attr *a = nd->attr;
    const dcv_dims *w = io->x[1].dims;
    const nest n = nest_of(&a->window, io->x[0].dims, io->y[0].dims);
    const int64_t oc = w->d[0], ic = w->d[1], in = n.in[0] * n.in[1] * n.in[2], out = n.out[0] * n.out[1] * n.out[2];
    const float *bias = nd->n_in > 2 ? io->x[2].data : NULL;
    for (int64_t q = 0; q < dcv_blob_outer(&io->y[0]); q++) {
        const float *x = dcv_blob_slice(&io->x[0], q);
        float *y = dcv_blob_slice(&io->y[0], q);
        for (int64_t o = 0; o < oc; o++)
            channel(&n, ic, x + o / (oc / a->group) * ic * in, io->x[1].data + o * (dcv_count(w) / oc),
                    bias ? bias[o] : 0, y + o * out);
    }
}

void dcv_conv_windows(const dcv_graph *g, const dcv_node *nd, dcv_window win[DCV_MAX_SPACE], int *n_space)
{
    (void)g;
    const dcv_window_attr *a = nd->attr; /* first in the structs of convolutions and pools alike */
    *n_space = a->n_space;
    for (int i = 0; i < a->n_space; i++)
        win[i] = a->win[i];
}

int64_t dcv_conv_groups(const dcv_node *nd)
{
    return ((const dcv_conv_attr *)nd->attr)->group;
}

const dcv_op dcv_op_conv = {.name = "Conv",
                            .min_in = 2,
                            .max_in = 3,
                            .max_out = 1,
                            .attr_size = sizeof(dcv_conv_attr),
                            .fields = fields,
                            .layout = DCV_LAYOUT_OWN,
                            .shape = shape,
                            .carries = carries,
                            .reads = reads,
                            .crop = crop,
                            .macs = macs,
                            .forward = forward};
