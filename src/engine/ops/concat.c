/* concat.c -- ONNX Concat (4, 11, 13) and Split (2, 11: sizes are an attribute; 13: an input; 18: num_outputs).
 *
 * Along channels in a blocked layout whole blocks are copied where the offset is a multiple of the block,
 * lanes are shifted where it is not.
 */
#include <string.h>
#include "engine/ops/util.h"

typedef struct concat_attr {
    int64_t axis;
    int at; /* axis, counted from the first */
} concat_attr;

typedef struct split_attr {
    int64_t axis, num_outputs;
    dcv_ints split;
    int at;
} split_attr;

static const dcv_field concat_fields[] = {{"axis", DCV_FIELD_INT, DCV_AT(concat_attr, axis), .required = true,
                                           .help = "axis along which the inputs follow each other"},
                                          DCV_FIELDS_END};
static const dcv_field split_fields[] = {
    {"axis", DCV_FIELD_INT, DCV_AT(split_attr, axis), .dflt = "0", .help = "axis to cut"},
    {"split", DCV_FIELD_INTS, DCV_AT(split_attr, split), .min = 0, .max = 1e12, .help = "extents of the parts"},
    {"num_outputs", DCV_FIELD_INT, DCV_AT(split_attr, num_outputs), .dflt = "0", .min = 0, .max = 1 << 20,
     .help = "number of parts"},
    DCV_FIELDS_END};

static dcv_status concat_shape(const dcv_shape_io *io)
{
    concat_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    DCV_TRY(dcv_op_axis(io, a->axis, x->n, &a->at));
    dcv_dims y = *x;
    y.d[a->at] = 0;
    for (int k = 0; k < io->n_in; k++) {
        const dcv_dims *xk = &io->x[k]->dims;
        dcv_dims same = *xk;
        if (xk->n == x->n)
            same.d[a->at] = x->d[a->at];
        if (!dcv_dims_equal(&same, x)) {
            dcv_dims_text t0, tk;
            return dcv_op_fail(io, DCV_EDATA, "%s and %s differ beside axis %d", dcv_dims_print(x, t0),
                               dcv_dims_print(xk, tk), a->at);
        }
        if (io->x[k]->type != io->x[0]->type)
            return dcv_op_fail(io, DCV_EDATA, "\"%s\" and \"%s\" are of different types", io->x[0]->name,
                               io->x[k]->name);
        y.d[a->at] += xk->d[a->at];
        DCV_TRY(dcv_dims_check(&y));
    }
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = y;
    return DCV_OK;
}

/* Where part k of the whole begins along the axis. */
static int64_t concat_start(const dcv_graph *g, const dcv_node *nd, int k)
{
    const int axis = ((const concat_attr *)nd->attr)->at;
    int64_t at = 0;
    for (int i = 0; i < k; i++)
        at += g->value[nd->in[i]].dims.d[axis];
    return at;
}

static int64_t split_start(const dcv_graph *g, const dcv_node *nd, int j)
{
    const int axis = ((const split_attr *)nd->attr)->at;
    int64_t at = 0;
    for (int i = 0; i < j; i++)
        at += g->value[nd->out[i]].dims.d[axis];
    return at;
}

/* Copy extent n along axis from offset sx of x to offset sy of y, plain layout; other extents are equal. */
static void copy_plain(int axis, int64_t n, const dcv_dims *x, int64_t sx, const dcv_dims *y, int64_t sy, size_t elem,
                       const char *from, char *to)
{
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < axis; i++)
        outer *= x->d[i];
    for (int i = axis + 1; i < x->n; i++)
        inner *= x->d[i];
    const int64_t bytes = inner * (int64_t)elem;
    for (int64_t o = 0; o < outer; o++)
        memcpy(to + (o * y->d[axis] + sy) * bytes, from + (o * x->d[axis] + sx) * bytes, (size_t)(n * bytes));
}

/* Copy n channels from channel sx of x to channel sy of y, both in blocks of b. */
static void copy_channels(int64_t n, int64_t cells, int b, const float *x, int64_t sx, float *y, int64_t sy)
{
    for (int64_t c = 0; c < n;) {
        const int64_t from = sx + c, to = sy + c, room_x = b - from % b, room_y = b - to % b;
        int64_t run = room_x < room_y ? room_x : room_y;
        if (run > n - c)
            run = n - c;
        const float *px = x + from / b * cells * b + from % b;
        float *py = y + to / b * cells * b + to % b;
        if (run == b)
            memcpy(py, px, (size_t)(cells * b) * sizeof *py);
        else
            for (int64_t i = 0; i < cells; i++)
                for (int64_t l = 0; l < run; l++)
                    py[i * b + l] = px[i * b + l];
        c += run;
    }
}

/* Copy all of x (a constant, plain) to offset sy of y in blocks. */
static void copy_mixed(int axis, const dcv_blob *x, dcv_blob *y, int64_t sy, int p)
{
    const dcv_blob_shape s = dcv_blob_shape_of(x->dims, 1), t = dcv_blob_shape_of(y->dims, y->block);
    int64_t inner = 1;
    for (int i = axis > 1 ? axis + 1 : x->dims->n; i < x->dims->n; i++)
        inner *= x->dims->d[i];
    const int64_t run = axis > 1 ? x->dims->d[axis] * inner : s.cells,
                  step = axis > 1 ? y->dims->d[axis] * inner : t.cells;
    for (int64_t c = 0; c < s.c; c++)
        for (int64_t i = 0; i < s.cells; i++) {
            const int64_t to = axis == 1 ? c + sy : c, cell = i / run * step + i % run + (axis > 1 ? sy * inner : 0);
            y->data[p * y->n_stride + (to / y->block * t.cells + cell) * y->block + to % y->block] =
                x->data[c * s.cells + i];
        }
}

/* Copy extent n along axis from sx of x to sy of y, any layout. */
static void copy(int axis, int64_t n, const dcv_blob *x, int64_t sx, dcv_blob *y, int64_t sy)
{
    const int b = x->dims->n >= 3 ? x->block : 1;
    const int64_t cells = dcv_blob_shape_of(x->dims, b).cells;
    for (int p = 0; p < y->n; p++) {
        const float *from = x->data + p * x->n_stride;
        float *to = y->data + p * y->n_stride;
        if (x->block != y->block && x->dims->n >= 3) {
            copy_mixed(axis, x, y, sy, p);
        } else if (b > 1 && axis == 1) {
            copy_channels(n, cells, b, from, sx, to, sy);
        } else if (b > 1) { /* [blocks][space][b]: as if the block were an innermost axis of each cell */
            dcv_dims dx = *x->dims, dy = *y->dims;
            dx.d[1] = dy.d[1] = (x->dims->d[1] + b - 1) / b;
            copy_plain(axis, n, &dx, sx, &dy, sy, sizeof(float) * (size_t)b, (const char *)from, (char *)to);
        } else {
            copy_plain(axis, n, x->dims, sx, y->dims, sy, sizeof(float), (const char *)from, (char *)to);
        }
    }
}

static dcv_status concat_fold(const dcv_fold_io *io)
{
    const int axis = ((const concat_attr *)io->node->attr)->at;
    int64_t at = 0;
    for (int k = 0; k < io->n_in; k++) {
        const dcv_dims *x = &io->x[k]->dims;
        copy_plain(axis, x->d[axis], x, 0, &io->y[0].dims, at, dcv_dtype_bytes(io->y[0].type), io->x[k]->constant,
                   io->to[0]);
        at += x->d[axis];
    }
    return DCV_OK;
}

static int concat_carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)k, (void)j;
    return axis;
}

static dcv_cells concat_reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)j;
    if (axis == ((const concat_attr *)nd->attr)->at)
        o -= concat_start(g, nd, k);
    return (dcv_cells){o, o + 1, 1};
}

static void concat_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    const int axis = ((const concat_attr *)nd->attr)->at;
    for (int k = 0; k < nd->n_in; k++)
        copy(axis, io->x[k].dims->d[axis], &io->x[k], 0, &io->y[0], concat_start(g, nd, k));
    dcv_blob_clear_tail(&io->y[0]);
}

/* Equal parts, the last one smaller where it does not go up. */
static int64_t part_of(int64_t extent, int n, int j)
{
    const int64_t each = (extent + n - 1) / n, left = extent - each * j;
    return left < 0 ? 0 : left < each ? left : each;
}

static dcv_status split_shape(const dcv_shape_io *io)
{
    split_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    const int64_t *sizes;
    int64_t n, sum = 0;
    DCV_TRY(dcv_op_axis(io, a->axis, x->n, &a->at));
    DCV_TRY(dcv_op_ints_or(io, 1, "split", &a->split, &sizes, &n));
    if ((n && n != io->n_out) || (a->num_outputs && a->num_outputs != io->n_out))
        return dcv_op_fail(io, DCV_EDATA, "%d outputs, but %lld parts", io->n_out, (long long)(n ? n : a->num_outputs));
    for (int j = 0; j < io->n_out; j++) {
        const int64_t part = n ? sizes[j] : part_of(x->d[a->at], io->n_out, j);
        if (part < 0 || part > x->d[a->at] - sum)
            return dcv_op_fail(io, DCV_EDATA, "part %d of extent %lld does not fit %lld cells along axis %d", j,
                               (long long)part, (long long)x->d[a->at], a->at);
        io->y[j].type = io->x[0]->type;
        io->y[j].dims = *x;
        io->y[j].dims.d[a->at] = part;
        sum += part;
    }
    if (sum != x->d[a->at])
        return dcv_op_fail(io, DCV_EDATA, "parts add up to %lld of %lld cells along axis %d", (long long)sum,
                           (long long)x->d[a->at], a->at);
    return DCV_OK;
}

static dcv_status split_fold(const dcv_fold_io *io)
{
    const int axis = ((const split_attr *)io->node->attr)->at;
    int64_t at = 0;
    for (int j = 0; j < io->n_out; j++) {
        const int64_t n = io->y[j].dims.d[axis];
        if (io->to[j])
            copy_plain(axis, n, &io->x[0]->dims, at, &io->y[j].dims, 0, dcv_dtype_bytes(io->y[j].type),
                       io->x[0]->constant, io->to[j]);
        at += n;
    }
    return DCV_OK;
}

static int split_carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)j;
    return k ? DCV_AXIS_MIXED : axis;
}

static dcv_cells split_reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)k;
    if (axis == ((const split_attr *)nd->attr)->at)
        o += split_start(g, nd, j);
    return (dcv_cells){o, o + 1, 1};
}

static void split_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    const int axis = ((const split_attr *)nd->attr)->at;
    for (int j = 0; j < nd->n_out; j++) {
        if (nd->out[j] < 0 || !io->y[j].data)
            continue;
        copy(axis, io->y[j].dims->d[axis], &io->x[0], split_start(g, nd, j), &io->y[j], 0);
        dcv_blob_clear_tail(&io->y[j]);
    }
}

static void concat_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    const int axis = ((const concat_attr *)nd->attr)->at;
    for (int k = 0; k < nd->n_in; k++) {
        if (!io->gx[k].data)
            continue;
        copy(axis, io->gx[k].dims->d[axis], &io->gy[0], concat_start(g, nd, k), &io->gx[k], 0);
        dcv_blob_clear_tail(&io->gx[k]);
    }
}

static void split_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    const int axis = ((const split_attr *)nd->attr)->at;
    dcv_blob *gx = &io->gx[0];
    memset(gx->data, 0, (size_t)dcv_blob_shape_of(gx->dims, gx->block).floats * sizeof *gx->data);
    for (int j = 0; j < nd->n_out; j++)
        if (io->gy[j].data)
            copy(axis, io->gy[j].dims->d[axis], &io->gy[j], 0, gx, split_start(g, nd, j));
}

const dcv_op dcv_op_concat = {.name = "Concat",
                              .min_in = 1,
                              .max_in = -1,
                              .max_out = 1,
                              .attr_size = sizeof(concat_attr),
                              .fields = concat_fields,
                              .layout = DCV_LAYOUT_SAME,
                              .shape = concat_shape,
                              .fold = concat_fold,
                              .carries = concat_carries,
                              .reads = concat_reads,
                              .forward = concat_forward,
                              .back_layout = DCV_LAYOUT_SAME,
                              .backward = concat_backward};

const dcv_op dcv_op_split = {.name = "Split",
                             .min_in = 1,
                             .max_in = 2,
                             .max_out = 1 << 20,
                             .attr_size = sizeof(split_attr),
                             .fields = split_fields,
                             .layout = DCV_LAYOUT_SAME,
                             .shape = split_shape,
                             .fold = split_fold,
                             .carries = split_carries,
                             .reads = split_reads,
                             .forward = split_forward,
                             .back_layout = DCV_LAYOUT_SAME,
                             .backward = split_backward};
