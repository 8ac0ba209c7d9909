/* convtranspose.c -- ONNX ConvTranspose (1, 11, 22): 1-D, 2-D and 3-D, groups, dilations, auto_pad, output_padding,
 * output_shape.
 *
 * y[o, stride i - pad + dilation t] += w[c, o, t] x[c, i], beginning with b[o]: the adjoint of a convolution from y to
 * x
 *
 * Walks run it through a back end (transposed.h of the engine); forward here is the plain definition with double sums,
 * for constants and as the tests' reference.
 */
#include "engine/ops/conv.h"

static const dcv_field fields[] = {DCV_WINDOW_FIELDS(dcv_conv_attr, window),
                                   {"group", DCV_FIELD_INT, DCV_AT(dcv_conv_attr, group), .dflt = "1", .min = 1,
                                    .max = 1 << 24, .help = "groups of channels"},
                                   {"output_padding", DCV_FIELD_INTS, DCV_AT(dcv_conv_attr, output_padding), .min = 0,
                                    .max = DCV_WINDOW_LIMIT, .unit = "px", .help = "more cells at the ends"},
                                   {"output_shape", DCV_FIELD_INTS, DCV_AT(dcv_conv_attr, output_shape), .min = 1,
                                    .max = INT64_C(1) << 31, .unit = "px",
                                    .help = "extents; the border follows from them"},
                                   DCV_FIELDS_END};

/* ---- shape ---- */

static dcv_status check_channels(const dcv_shape_io *io, const dcv_conv_attr *a)
{
    const dcv_dims *x = &io->x[0]->dims, *w = &io->x[1]->dims;
    dcv_dims_text tx, tw;
    if (w->n != x->n || x->n < 3)
        return dcv_op_fail(io, DCV_EDATA, "input %s does not fit weights %s", dcv_dims_print(x, tx),
                           dcv_dims_print(w, tw));
    if (w->d[0] < 1 || w->d[1] < 1 || w->d[0] % a->group || w->d[1] > INT64_MAX / a->group || x->d[1] != w->d[0])
        return dcv_op_fail(io, DCV_EDATA, "input %s does not fit weights %s in %lld group%s", dcv_dims_print(x, tx),
                           dcv_dims_print(w, tw), (long long)a->group, a->group == 1 ? "" : "s");
    if (dcv_op_has(io, 2) && (io->x[2]->dims.n != 1 || io->x[2]->dims.d[0] != w->d[1] * a->group)) {
        dcv_dims_text tb;
        return dcv_op_fail(io, DCV_EDATA, "bias %s does not fit weights %s in %lld group%s",
                           dcv_dims_print(&io->x[2]->dims, tb), dcv_dims_print(w, tw), (long long)a->group,
                           a->group == 1 ? "" : "s");
    }
    return DCV_OK;
}

static dcv_status check_list(const dcv_shape_io *io, const char *name, const dcv_ints *list, int n)
{
    if (list->n && list->n != n)
        return dcv_op_fail(io, DCV_EDATA, "attribute %s has %d numbers; expected %d", name, list->n, n);
    return DCV_OK;
}

/* The border that leaves out of all cells that the input reaches: none of it where there are too few. */
static void pad_to(dcv_window *w, int64_t all, int64_t out, bool upper)
{
    const int64_t total = all > out ? all - out : 0, less = total / 2;
    w->pad_lo = upper ? less : total - less;
    w->pad_hi = total - w->pad_lo;
}

/* Extent of an axis, and its border where the file leaves that open. */
static dcv_status resolve_axis(const dcv_shape_io *io, dcv_conv_attr *a, int i, int64_t in, int64_t *out)
{
    dcv_window *w = &a->window.win[i];
    const int64_t all =
        w->stride * (in - 1) + (w->kernel - 1) * w->dilation + 1 + (a->output_padding.n ? a->output_padding.v[i] : 0);
    const bool upper = a->window.auto_pad == DCV_PAD_SAME_UPPER,
               same = upper || a->window.auto_pad == DCV_PAD_SAME_LOWER;
    if (a->output_shape.n || same) {
        *out = a->output_shape.n ? a->output_shape.v[i] : in * w->stride;
        pad_to(w, all, *out, upper);
    } else {
        *out = all - w->pad_lo - w->pad_hi;
    }
    if (in >= 1 && *out >= 1)
        return DCV_OK;
    dcv_dims_text t;
    return dcv_op_fail(io, DCV_EDATA,
                       "input %s is too small: of %lld cells along spatial axis %d a border of %lld + %lld "
                       "leaves nothing",
                       dcv_dims_print(&io->x[0]->dims, t), (long long)all, i, (long long)w->pad_lo,
                       (long long)w->pad_hi);
}

static dcv_status shape(const dcv_shape_io *io)
{
    dcv_conv_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims, *w = &io->x[1]->dims;
    DCV_TRY(check_channels(io, a));
    const dcv_auto_pad pad = (dcv_auto_pad)a->window.auto_pad;
    a->window.auto_pad = pad == DCV_PAD_NOTSET ? pad : DCV_PAD_VALID; /* SAME is another border here */
    const dcv_status st = dcv_window_resolve(io, &a->window, x, &w->d[2]);
    a->window.auto_pad = pad;
    DCV_TRY(st);
    DCV_TRY(check_list(io, "output_padding", &a->output_padding, a->window.n_space));
    DCV_TRY(check_list(io, "output_shape", &a->output_shape, a->window.n_space));
    io->y[0].type = DCV_F32;
    io->y[0].dims = *x;
    io->y[0].dims.d[1] = w->d[1] * a->group;
    for (int i = 0; i < a->window.n_space; i++)
        DCV_TRY(resolve_axis(io, a, i, x->d[2 + i], &io->y[0].dims.d[2 + i]));
    return DCV_OK;
}

/* ---- geometry ---- */

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
    return dcv_window_covers(&((const dcv_conv_attr *)nd->attr)->window.win[axis - 2], o);
}

/* Boxes begin at a multiple of the stride, so that their first cells meet the same taps everywhere. */
static int64_t phase(const dcv_graph *g, const dcv_node *nd, int axis)
{
    (void)g;
    return axis < 2 ? 1 : ((const dcv_conv_attr *)nd->attr)->window.win[axis - 2].stride;
}

static bool crop(const dcv_graph *g, dcv_node *nd, float *border)
{
    (void)g;
    dcv_window_attr *a = &((dcv_conv_attr *)nd->attr)->window;
    for (int i = 0; i < a->n_space; i++) {
        int64_t lo = dcv_window_covers(&a->win[i], 0).lo;
        for (int64_t o = 1; o < a->win[i].stride; o++) {
            const int64_t at = dcv_window_covers(&a->win[i], o).lo;
            lo = at < lo ? at : lo;
        }
        a->win[i].pad_lo -= lo * a->win[i].stride; /* the first cell given is cell lo of the input */
    }
    *border = 0;
    return true;
}

static int64_t macs(const dcv_graph *g, const dcv_node *nd)
{
    const dcv_dims *w = &g->value[nd->in[1]].dims;
    return dcv_count(&g->value[nd->in[0]].dims) * (dcv_count(w) / w->d[0]);
}

/* ---- the definition ---- */

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

/* The tap through which cell i of the input reaches cell o, or -1. */
static int64_t tap_of(const dcv_window *w, int64_t o, int64_t i)
{
    const int64_t d = o + w->pad_lo - i * w->stride;
    return d >= 0 && d % w->dilation == 0 && d / w->dilation < w->kernel ? d / w->dilation : -1;
}

static dcv_cells inside(const dcv_window *w, int64_t o, int64_t n)
{
    dcv_cells c = dcv_window_covers(w, o);
    if (c.lo < 0)
        c.lo += (-c.lo + c.step - 1) / c.step * c.step;
    c.hi = c.hi < n ? c.hi : n;
    return c;
}

static double cell_sum(const nest *n, const float *x, const float *w, const int64_t o[3])
{
    dcv_cells c[3];
    double sum = 0;
    for (int a = 0; a < 3; a++)
        c[a] = inside(&n->win[a], o[a], n->in[a]);
    for (int64_t i = c[0].lo; i < c[0].hi; i += c[0].step)
        for (int64_t j = c[1].lo; j < c[1].hi; j += c[1].step)
            for (int64_t k = c[2].lo; k < c[2].hi; k += c[2].step) {
                const int64_t tap =
                    (tap_of(&n->win[0], o[0], i) * n->win[1].kernel + tap_of(&n->win[1], o[1], j)) * n->win[2].kernel +
                    tap_of(&n->win[2], o[2], k);
                sum += (double)w[tap] * x[(i * n->in[1] + j) * n->in[2] + k];
            }
    return sum;
}

/* One output channel: w is that of its first input channel, step numbers from there to the next one's. */
static void channel(const nest *n, int64_t ic, const float *x, const float *w, int64_t step, double bias, float *y)
{
    const int64_t in = n->in[0] * n->in[1] * n->in[2];
    for (int64_t d = 0; d < n->out[0]; d++)
        for (int64_t r = 0; r < n->out[1]; r++)
            for (int64_t c = 0; c < n->out[2]; c++) {
                double sum = bias;
                for (int64_t i = 0; i < ic; i++)
                    sum += cell_sum(n, x + i * in, w + i * step, (int64_t[3]){d, r, c});
                *y++ = (float)sum;
            }
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const dcv_conv_attr *a = nd->attr;
    const dcv_dims *w = io->x[1].dims;
    const nest n = nest_of(&a->window, io->x[0].dims, io->y[0].dims);
    const int64_t icg = w->d[0] / a->group, ocg = w->d[1], per = dcv_count(w) / w->d[0], taps = per / ocg,
                  in = n.in[0] * n.in[1] * n.in[2], out = n.out[0] * n.out[1] * n.out[2];
    const float *bias = nd->n_in > 2 ? io->x[2].data : NULL;
    for (int64_t q = 0; q < dcv_blob_outer(&io->y[0]); q++) {
        const float *x = dcv_blob_slice(&io->x[0], q);
        float *y = dcv_blob_slice(&io->y[0], q);
        for (int64_t o = 0; o < ocg * a->group; o++)
            channel(&n, icg, x + o / ocg * icg * in, io->x[1].data + o / ocg * icg * per + o % ocg * taps, per,
                    bias ? bias[o] : 0, y + o * out);
    }
}

const dcv_op dcv_op_convtranspose = {.name = "ConvTranspose",
                                     .min_in = 2,
                                     .max_in = 3,
                                     .max_out = 1,
                                     .attr_size = sizeof(dcv_conv_attr),
                                     .fields = fields,
                                     .layout = DCV_LAYOUT_OWN,
                                     .shape = shape,
                                     .carries = carries,
                                     .reads = reads,
                                     .phase = phase,
                                     .crop = crop,
                                     .macs = macs,
                                     .forward = forward};
