/* gather.c -- ONNX Gather (1, 11, 13): slices of x along an axis, picked by indices: constant ones, or a picture's
 * (then one that is out of range reads NaN). */
#include <math.h>
#include <string.h>
#include "engine/ops/util.h"

typedef struct gather_attr {
    int64_t axis;
    int at;
    const int64_t *index; /* constant, of shape indices; NULL: a picture's */
    dcv_dims indices;
} gather_attr;

static const dcv_field fields[] = {
    {"axis", DCV_FIELD_INT, DCV_AT(gather_attr, axis), .dflt = "0", .help = "axis to pick along"}, DCV_FIELDS_END};

static dcv_status shape(const dcv_shape_io *io)
{
    gather_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims, *i = &io->x[1]->dims;
    DCV_TRY(dcv_op_axis(io, a->axis, x->n, &a->at));
    if (io->x[1]->type != DCV_I64)
        return dcv_op_fail(io, DCV_EDATA, "indices (\"%s\") must be integers", io->x[1]->name);
    if (x->n - 1 + i->n > DCV_MAX_RANK)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%d axes; at most %d are supported", x->n - 1 + i->n, DCV_MAX_RANK);
    const int64_t *index = io->x[1]->constant;
    for (int64_t n = 0; index && n < dcv_count(i); n++)
        if (index[n] < -x->d[a->at] || index[n] >= x->d[a->at])
            return dcv_op_fail(io, DCV_EDATA, "index %lld into %lld cells along axis %d", (long long)index[n],
                               (long long)x->d[a->at], a->at);
    dcv_dims *y = &io->y[0].dims;
    y->n = 0;
    for (int k = 0; k < a->at; k++)
        y->d[y->n++] = x->d[k];
    for (int k = 0; k < i->n; k++)
        y->d[y->n++] = i->d[k];
    for (int k = a->at + 1; k < x->n; k++)
        y->d[y->n++] = x->d[k];
    io->y[0].type = io->x[0]->type;
    a->index = index;
    a->indices = *i;
    return DCV_OK;
}

static void move(const dcv_node *nd, int part, const dcv_dims *x, const dcv_dims *y, size_t elem, const void *from,
                 void *to)
{
    (void)part, (void)y;
    const gather_attr *a = nd->attr;
    const int64_t *index = a->index, n = dcv_count(&a->indices), extent = x->d[a->at];
    int64_t outer = 1, bytes = (int64_t)elem;
    for (int i = 0; i < a->at; i++)
        outer *= x->d[i];
    for (int i = a->at + 1; i < x->n; i++)
        bytes *= x->d[i];
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < n; i++) {
            const int64_t cell = index[i] < 0 ? index[i] + extent : index[i];
            memcpy((char *)to + (o * n + i) * bytes, (const char *)from + (o * extent + cell) * bytes, (size_t)bytes);
        }
}

static dcv_status fold(const dcv_fold_io *io)
{
    dcv_move_fold(io, 0, 0, 0, move);
    return DCV_OK;
}

/* The picked axis goes on only where the indices are a list. */
static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)j;
    const gather_attr *a = nd->attr;
    if (k || (axis == a->at && (a->indices.n != 1 || !a->index)))
        return DCV_AXIS_MIXED;
    return axis <= a->at ? axis : axis - 1 + a->indices.n;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)j;
    const gather_attr *a = nd->attr;
    if (axis == a->at) {
        const int64_t i = a->index[o];
        o = i < 0 ? i + g->value[nd->in[k]].dims.d[axis] : i;
    }
    return (dcv_cells){o, o + 1, 1};
}

/* Slices before, along and after the axis; and how long each is. */
typedef struct slices {
    int64_t outer, extent, inner;
} slices;

static slices slices_of(const gather_attr *a, const dcv_dims *x)
{
    slices s = {1, x->d[a->at], 1};
    for (int i = 0; i < x->n; i++)
        if (i != a->at)
            *(i < a->at ? &s.outer : &s.inner) *= x->d[i];
    return s;
}

static int64_t cell_of(float index, int64_t extent)
{
    const float at = index < 0 ? index + (float)extent : index;
    return at >= 0 && at < (float)extent ? (int64_t)at : -1;
}

/* Picked by the numbers of a walk. */
static void pick(const slices *s, int64_t n, const float *index, const float *x, float *y)
{
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t i = 0; i < n; i++) {
            const int64_t cell = cell_of(index[i], s->extent);
            float *to = y + (o * n + i) * s->inner;
            if (cell >= 0)
                memcpy(to, x + (o * s->extent + cell) * s->inner, (size_t)s->inner * sizeof *to);
            for (int64_t k = 0; cell < 0 && k < s->inner; k++)
                to[k] = NAN;
        }
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const gather_attr *a = nd->attr;
    if (a->index) {
        dcv_move_forward(nd, 0, &io->x[0], &io->y[0], move);
        return;
    }
    const slices s = slices_of(a, io->x[0].dims);
    for (int p = 0; p < io->y[0].n; p++)
        pick(&s, dcv_count(&a->indices), io->x[1].data + p * io->x[1].n_stride, io->x[0].data + p * io->x[0].n_stride,
             io->y[0].data + p * io->y[0].n_stride);
}

/* A picture's indices are kept. */
static size_t saved_bytes(const dcv_graph *g, const dcv_node *nd, int block)
{
    (void)g, (void)block;
    const gather_attr *a = nd->attr;
    return a->index ? 0 : (size_t)dcv_count(&a->indices) * sizeof(float);
}

static void save(const dcv_graph *g, const dcv_node *nd, const dcv_io *io, void *saved)
{
    const size_t bytes = saved_bytes(g, nd, 1);
    if (bytes)
        memcpy(saved, io->x[1].data, bytes);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    const gather_attr *a = nd->attr;
    if (!io->gx[0].data)
        return;
    if (a->index) {
        dcv_move_back(nd, 0, &io->gy[0], &io->gx[0], io->scratch, move);
        return;
    }
    const slices s = slices_of(a, io->gx[0].dims);
    const int64_t n = dcv_count(&a->indices);
    memset(io->gx[0].data, 0, (size_t)dcv_count(io->gx[0].dims) * sizeof(float));
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t i = 0; i < n; i++) {
            const int64_t cell = cell_of(((const float *)io->saved)[i], s.extent);
            for (int64_t k = 0; cell >= 0 && k < s.inner; k++)
                io->gx[0].data[(o * s.extent + cell) * s.inner + k] += io->gy[0].data[(o * n + i) * s.inner + k];
        }
}

const dcv_op dcv_op_gather = {.name = "Gather",
                              .min_in = 2,
                              .max_in = 2,
                              .max_out = 1,
                              .attr_size = sizeof(gather_attr),
                              .fields = fields,
                              .layout = DCV_LAYOUT_PLAIN,
                              .shape = shape,
                              .fold = fold,
                              .carries = carries,
                              .reads = reads,
                              .forward = forward,
                              .saved_bytes = saved_bytes,
                              .save = save,
                              .back_scratch = dcv_move_scratch,
                              .backward = backward};
