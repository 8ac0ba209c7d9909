/* pad.c -- ONNX Pad (2: attributes; 11, 13, 18, 19, 21: inputs), mode constant.  Negative pads cut away. */
#include "engine/ops/util.h"

typedef struct pad_attr {
    int mode;
    dcv_ints pads;
    double value;
    int64_t lo[DCV_MAX_RANK], hi[DCV_MAX_RANK]; /* per axis */
    float fill;
} pad_attr;

static const dcv_field fields[] = {
    {"mode", DCV_FIELD_WORD, DCV_AT(pad_attr, mode), .dflt = "constant", .words = "constant|reflect|edge|wrap",
     .help = "what the border holds"},
    {"pads", DCV_FIELD_INTS, DCV_AT(pad_attr, pads), .min = -1e12, .max = 1e12, .unit = "px",
     .help = "border: starts, then ends"},
    {"value", DCV_FIELD_REAL, DCV_AT(pad_attr, value), .dflt = "0", .help = "of the border"},
    DCV_FIELDS_END};

/* Which axes the pads are of: all, or those of input 3. */
static dcv_status axes_of(const dcv_shape_io *io, int rank, int at[DCV_MAX_RANK], int *n)
{
    const int64_t *axes;
    int64_t count;
    unsigned mask;
    *n = rank;
    for (int i = 0; i < rank; i++)
        at[i] = i;
    if (!dcv_op_has(io, 3))
        return DCV_OK;
    DCV_TRY(dcv_op_ints(io, 3, "axes", &axes, &count));
    DCV_TRY(dcv_op_axes(io, axes, count, rank, &mask));
    *n = (int)count;
    for (int i = 0; i < *n; i++)
        at[i] = (int)(axes[i] < 0 ? axes[i] + rank : axes[i]);
    return DCV_OK;
}

static dcv_status shape(const dcv_shape_io *io)
{
    pad_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    const int64_t limit = INT64_C(1) << 40, *pads;
    int64_t n;
    int at[DCV_MAX_RANK], n_axes;
    double fill = a->value;
    if (a->mode)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "mode is not constant");
    DCV_TRY(dcv_op_ints_or(io, 1, "pads", &a->pads, &pads, &n));
    if (dcv_op_has(io, 2))
        DCV_TRY(dcv_op_number(io, 2, "constant_value", &fill));
    a->fill = (float)fill;
    DCV_TRY(axes_of(io, x->n, at, &n_axes));
    if (n != 2 * n_axes)
        return dcv_op_fail(io, DCV_EDATA, "%lld pads for %d axes", (long long)n, n_axes);
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = *x;
    for (int i = 0; i < n_axes; i++) {
        const int64_t lo = pads[i], hi = pads[n_axes + i];
        if (lo < -limit || lo > limit || hi < -limit || hi > limit || x->d[at[i]] + lo + hi < 0)
            return dcv_op_fail(io, DCV_EDATA, "pads %lld and %lld along axis %d of extent %lld", (long long)lo,
                               (long long)hi, at[i], (long long)x->d[at[i]]);
        a->lo[at[i]] = lo;
        a->hi[at[i]] = hi;
        io->y[0].dims.d[at[i]] = x->d[at[i]] + lo + hi;
    }
    return DCV_OK;
}

static void fill_all(int64_t n, size_t elem, float fill, void *to)
{
    for (int64_t i = 0; i < n; i++)
        if (elem == sizeof(float))
            ((float *)to)[i] = fill;
        else
            ((int64_t *)to)[i] = (int64_t)fill;
}

static void move(const dcv_node *nd, int part, const dcv_dims *x, const dcv_dims *y, size_t elem, const void *from,
                 void *to)
{
    (void)part;
    const pad_attr *a = nd->attr;
    int64_t sx[DCV_MAX_RANK], at_x = 0, at_y = 0;
    dcv_move m = {.rank = y->n};
    fill_all(dcv_count(y), elem, a->fill, to);
    dcv_dims_strides(x, sx);
    dcv_dims_strides(y, m.to);
    for (int i = 0; i < y->n; i++) {
        const int64_t first = a->lo[i] < 0 ? -a->lo[i] : 0, last = x->d[i] + (a->hi[i] < 0 ? a->hi[i] : 0);
        m.extent[i] = last > first ? last - first : 0;
        m.from[i] = sx[i];
        at_x += first * sx[i];
        at_y += (a->lo[i] > 0 ? a->lo[i] : 0) * m.to[i];
    }
    dcv_move_run(&m, (char *)to + at_y * (int64_t)elem, (const char *)from + at_x * (int64_t)elem, elem);
}

static dcv_status fold(const dcv_fold_io *io)
{
    dcv_move_fold(io, 0, 0, 0, move);
    return DCV_OK;
}

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)j;
    return k ? DCV_AXIS_MIXED : axis;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)k, (void)j;
    o -= ((const pad_attr *)nd->attr)->lo[axis];
    return (dcv_cells){o, o + 1, 1};
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_move_forward(nd, 0, &io->x[0], &io->y[0], move);
}

const dcv_op dcv_op_pad = {.name = "Pad",
                           .min_in = 1,
                           .max_in = 4,
                           .max_out = 1,
                           .attr_size = sizeof(pad_attr),
                           .fields = fields,
                           .layout = DCV_LAYOUT_PLAIN,
                           .shape = shape,
                           .fold = fold,
                           .carries = carries,
                           .reads = reads,
                           .forward = forward};
