/* pad.c -- ONNX Pad (2: attributes; 11, 13, 18, 19, 21: inputs), modes constant, reflect, edge and wrap.  Negative pads
 * cut away. */
#include <string.h>
#include "engine/ops/util.h"

extern const dcv_op dcv_op_identity;

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

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
    DCV_TRY(dcv_op_ints_or(io, 1, "pads", &a->pads, &pads, &n));
    if (dcv_op_has(io, 2))
        DCV_TRY(dcv_op_number(io, 2, "constant_value", &fill));
    a->fill = a->mode == PAD_CONSTANT ? (float)fill : 0;
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
        const int64_t left = x->d[at[i]] + (lo < 0 ? lo : 0) + (hi < 0 ? hi : 0);
        if (a->mode != PAD_CONSTANT && left < 1 && x->d[at[i]] + lo + hi > 0)
            return dcv_op_fail(io, DCV_EDATA, "axis %d has no cells to fill the border with", at[i]);
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

/* Copy what stays; lo and hi per axis. */
static void copy(const dcv_dims *x, const dcv_dims *y, const int64_t *lo, const int64_t *hi, size_t elem,
                 const void *from, void *to)
{
    int64_t sx[DCV_MAX_RANK], at_x = 0, at_y = 0;
    dcv_move m = {.rank = y->n};
    dcv_dims_strides(x, sx);
    dcv_dims_strides(y, m.to);
    for (int i = 0; i < y->n; i++) {
        const int64_t first = lo[i] < 0 ? -lo[i] : 0, last = x->d[i] + (hi[i] < 0 ? hi[i] : 0);
        m.extent[i] = last > first ? last - first : 0;
        m.from[i] = sx[i];
        at_x += first * sx[i];
        at_y += (lo[i] > 0 ? lo[i] : 0) * m.to[i];
        if (!m.extent[i])
            return;
    }
    dcv_move_run(&m, (char *)to + at_y * (int64_t)elem, (const char *)from + at_x * (int64_t)elem, elem);
}

/* Cell of an axis of extent cells that cell i of the output's holds, -1: border of the constant mode.  Negative pads
 * cut first: a border is made of what is left. */
static int64_t cell_at(const pad_attr *a, int axis, int64_t extent, int64_t i)
{
    const int64_t lo = a->lo[axis], hi = a->hi[axis], first = lo < 0 ? -lo : 0;
    const int64_t n = extent - first + (hi < 0 ? hi : 0);
    i -= lo > 0 ? lo : 0;
    if (i >= 0 && i < n)
        return first + i;
    switch ((pad_mode)a->mode) {
    case PAD_EDGE:
        return first + (i < 0 ? 0 : n - 1);
    case PAD_WRAP:
        return first + (i % n + n) % n;
    case PAD_REFLECT: {
        const int64_t period = n > 1 ? 2 * (n - 1) : 1, k = (i % period + period) % period;
        return first + (k < n ? k : period - k);
    }
    case PAD_CONSTANT:
        break;
    }
    return -1;
}

/* Every cell of y from axis on, elem bytes each, by where it comes from; the border's value is another cell's. */
static void mirror(const pad_attr *a, const dcv_dims *x, const dcv_dims *y, int axis, size_t elem, const char *from,
                   char *to)
{
    size_t step_x = elem, step_y = elem;
    if (!y->n) {
        memcpy(to, from, elem);
        return;
    }
    for (int i = axis + 1; i < y->n; i++) {
        step_x *= (size_t)x->d[i];
        step_y *= (size_t)y->d[i];
    }
    for (int64_t i = 0, n = 1; i < y->d[axis]; i += n) {
        const int64_t k = cell_at(a, axis, x->d[axis], i), left = x->d[axis] - k;
        const char *cell = from + (size_t)k * step_x;
        char *at = to + (size_t)i * step_y;
        if (axis == y->n - 1 && i == k + a->lo[axis])
            n = left < y->d[axis] - i ? left : y->d[axis] - i;
        else
            n = 1;
        if (axis == y->n - 1)
            memcpy(at, cell, (size_t)n * elem);
        else
            mirror(a, x, y, axis + 1, elem, cell, at);
    }
}

static void move(const dcv_node *nd, int part, const dcv_dims *x, const dcv_dims *y, size_t elem, const void *from,
                 void *to)
{
    (void)part;
    const pad_attr *a = nd->attr;
    if (a->mode != PAD_CONSTANT) {
        if (dcv_count(y))
            mirror(a, x, y, 0, elem, from, to);
        return;
    }
    fill_all(dcv_count(y), elem, a->fill, to);
    copy(x, y, a->lo, a->hi, elem, from, to);
}

/* Blocks of b lanes, channels as they are: a block counts as part of the last axis. */
static void move_blocks(const pad_attr *a, int b, const dcv_dims *x, const dcv_dims *y, const float *from, float *to)
{
    dcv_dims dx = *x, dy = *y;
    int64_t lo[DCV_MAX_RANK], hi[DCV_MAX_RANK];
    const int last = x->n - 1;
    if (a->mode != PAD_CONSTANT) { /* a cell is b lanes */
        dx.d[1] = dy.d[1] = (x->d[1] + b - 1) / b;
        mirror(a, &dx, &dy, 0, (size_t)b * sizeof *to, (const char *)from, (char *)to);
        return;
    }
    memcpy(lo, a->lo, sizeof lo);
    memcpy(hi, a->hi, sizeof hi);
    dx.d[1] = dy.d[1] = (x->d[1] + b - 1) / b;
    dx.d[last] *= b, dy.d[last] *= b, lo[last] *= b, hi[last] *= b;
    fill_all(dcv_count(&dy), sizeof *to, a->fill, to);
    copy(&dx, &dy, lo, hi, sizeof *to, from, to);
}

/* Cell of x that cell i of a channel of y holds, -1: border. */
static int64_t cell_of(const pad_attr *a, const dcv_dims *x, const dcv_dims *y, int64_t i)
{
    int64_t at = 0, stride = 1;
    for (int axis = y->n - 1; axis >= 2; axis--) {
        const int64_t k = cell_at(a, axis, x->d[axis], i % y->d[axis]);
        if (k < 0)
            return -1;
        at += k * stride;
        stride *= x->d[axis];
        i /= y->d[axis];
    }
    return at;
}

/* Blocks, and channels come or go. */
static void move_channels(const pad_attr *a, int b, const dcv_dims *x, const dcv_dims *y, const float *from, float *to)
{
    const dcv_blob_shape sx = dcv_blob_shape_of(x, b), sy = dcv_blob_shape_of(y, b);
    for (int64_t i = 0; i < sy.cells; i++) {
        const int64_t at = cell_of(a, x, y, i);
        for (int64_t c = 0; c < sy.blocks * b; c++) {
            const int64_t k = cell_at(a, 1, sx.c, c);
            to[(c / b * sy.cells + i) * b + c % b] =
                at < 0 || k < 0 ? a->fill : from[(k / b * sx.cells + at) * b + k % b];
        }
    }
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
    (void)j;
    const pad_attr *a = nd->attr;
    const int64_t inside = a->mode == PAD_CONSTANT ? -1 : cell_at(a, axis, g->value[nd->in[k]].dims.d[axis], o);
    o = inside < 0 ? o - a->lo[axis] : inside;
    return (dcv_cells){o, o + 1, 1};
}

/* In space it only says which cells: then the cells given are the result.  Along channels it works as it stands.  A
 * border that holds other cells than its neighbours is not of one value. */
static bool crop(const dcv_graph *g, dcv_node *nd, float *border)
{
    const dcv_dims *x = &g->value[nd->in[0]].dims, *y = &g->value[nd->out[0]].dims;
    const pad_attr *a = nd->attr;
    *border = a->fill;
    if (nd->in[0] < 0 || x->n < 3 || a->mode != PAD_CONSTANT)
        return false;
    bool moves = false, channels = x->d[0] != y->d[0] || x->d[1] != y->d[1];
    for (int i = 0; i < x->n; i++) {
        if (a->lo[i] || a->hi[i])
            *(i < 2 ? &channels : &moves) = true;
    }
    if (moves && !channels) {
        nd->op = &dcv_op_identity;
        nd->n_in = 1;
    }
    return !moves || !channels;
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const pad_attr *a = nd->attr;
    const dcv_blob *x = &io->x[0];
    dcv_blob *y = &io->y[0];
    if (y->dims->n < 3 || y->block == 1) {
        dcv_move_forward(nd, 0, x, y, move);
        return;
    }
    for (int p = 0; p < y->n; p++)
        (a->lo[1] || a->hi[1] ? move_channels : move_blocks)(a, y->block, x->dims, y->dims, x->data + p * x->n_stride,
                                                             y->data + p * y->n_stride);
    dcv_blob_clear_tail(y);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_move_back(nd, 0, &io->gy[0], &io->gx[0], io->scratch, move);
}

const dcv_op dcv_op_pad = {.name = "Pad",
                           .min_in = 1,
                           .max_in = 4,
                           .max_out = 1,
                           .attr_size = sizeof(pad_attr),
                           .fields = fields,
                           .layout = DCV_LAYOUT_SAME,
                           .shape = shape,
                           .fold = fold,
                           .carries = carries,
                           .reads = reads,
                           .crop = crop,
                           .forward = forward,
                           .back_scratch = dcv_move_scratch,
                           .backward = backward};
