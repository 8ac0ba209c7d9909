/* maxunpool.c -- ONNX MaxUnpool (9, 11, 22): each cell goes where its index says, all others are 0.
 *
 * Indices that a MaxPool of the network made (Identity and Cast may stand between) are flat over output_shape, where it
 * is given, else over the input of that MaxPool.  Where none did, they are flat over the map that kernel, strides and
 * pads lead to, as ONNX's own cases have it.  If that is not the output's map, both begin at the same corner.  Indices
 * outside of their map bring nothing; of equal ones within a channel the last counts.
 */
#include <math.h>
#include <string.h>
#include "engine/ops/pool.h"

typedef struct unpool_attr {
    dcv_window_attr window;
    dcv_dims made;        /* what kernel, strides and pads lead to */
    bool given;           /* output_shape is */
    const int64_t *index; /* constant; NULL: a picture's */
} unpool_attr;

static const dcv_field fields[] = {{"kernel_shape", DCV_FIELD_INTS, DCV_AT(unpool_attr, window.kernel_shape), .min = 1,
                                    .max = DCV_WINDOW_LIMIT, .unit = "px", .help = "window"},
                                   {"strides", DCV_FIELD_INTS, DCV_AT(unpool_attr, window.strides), .min = 1,
                                    .max = DCV_WINDOW_LIMIT, .unit = "px", .help = "step"},
                                   {"pads", DCV_FIELD_INTS, DCV_AT(unpool_attr, window.pads), .min = 0,
                                    .max = DCV_WINDOW_LIMIT, .unit = "px", .help = "border: starts, then ends"},
                                   DCV_FIELDS_END};

static dcv_status given_shape(const dcv_shape_io *io, dcv_dims *y)
{
    const int64_t *v = NULL;
    int64_t n = 0;
    DCV_TRY(dcv_op_ints(io, 2, "output_shape", &v, &n));
    const dcv_dims *x = &io->x[0]->dims;
    if (n != x->n)
        return dcv_op_fail(io, DCV_EDATA, "output_shape has %lld numbers; expected %d", (long long)n, x->n);
    for (int i = 0; i < x->n; i++) {
        if (v[i] < 1 || (i < 2 && v[i] != x->d[i]))
            return dcv_op_fail(io, DCV_EDATA, "output_shape says %lld along axis %d; expected %s%lld", (long long)v[i],
                               i, i < 2 ? "" : "at least ", (long long)(i < 2 ? x->d[i] : 1));
        y->d[i] = v[i];
    }
    return DCV_OK;
}

static dcv_status shape(const dcv_shape_io *io)
{
    unpool_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    dcv_dims_text tx, ti;
    if (!dcv_dims_equal(x, &io->x[1]->dims) || io->x[1]->type != DCV_I64)
        return dcv_op_fail(io, DCV_EDATA, "input %s does not fit indices %s", dcv_dims_print(x, tx),
                           dcv_dims_print(&io->x[1]->dims, ti));
    a->index = io->x[1]->constant; /* the value may become floats, for another node that works with them */
    DCV_TRY(dcv_window_resolve(io, &a->window, x, NULL));
    a->made = *x;
    for (int i = 0; i < a->window.n_space; i++) {
        const dcv_window *w = &a->window.win[i];
        a->made.d[2 + i] = (x->d[2 + i] - 1) * w->stride + w->kernel - w->pad_lo - w->pad_hi;
        if (a->made.d[2 + i] < 1 || x->d[2 + i] < 1)
            return dcv_op_fail(io, DCV_EDATA,
                               "input %s is too small: a border of %lld + %lld leaves nothing along spatial "
                               "axis %d",
                               dcv_dims_print(x, tx), (long long)w->pad_lo, (long long)w->pad_hi, i);
    }
    DCV_TRY(dcv_dims_check(&a->made)); /* places are divided by its extents */
    io->y[0].type = DCV_F32;
    io->y[0].dims = a->made;
    a->given = dcv_op_has(io, 2);
    if (a->given)
        DCV_TRY(given_shape(io, &io->y[0].dims));
    DCV_TRY(dcv_dims_check(&io->y[0].dims));
    return dcv_pool_index_fits(io, &io->y[0].dims);
}

/* ---- which map the indices count ---- */

extern const dcv_op dcv_op_identity, dcv_op_cast;

/* The MaxPool that made the indices of value v. */
static const dcv_node *pool_of(const dcv_graph *g, int v)
{
    const dcv_node *nd = NULL;
    while (v >= 0 && g->value[v].producer >= 0) {
        nd = &g->node[g->value[v].producer];
        if (nd->op != &dcv_op_identity && nd->op != &dcv_op_cast)
            return nd->op == &dcv_op_maxpool ? nd : NULL;
        v = nd->in[0];
    }
    return NULL;
}

static const dcv_dims *counted(const dcv_graph *g, const dcv_node *nd)
{
    const unpool_attr *a = nd->attr;
    const dcv_node *pool = pool_of(g, nd->in[1]);
    return !pool ? &a->made : a->given ? &g->value[nd->out[0]].dims : &g->value[pool->in[0]].dims;
}

/* ---- geometry: where a MaxPool of this network says from which window each index is ---- */

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)j;
    const dcv_node *pool = pool_of(g, nd->in[1]);
    const bool in_place = pool && (!((const unpool_attr *)nd->attr)->given ||
                                   dcv_dims_equal(&g->value[pool->in[0]].dims, &g->value[nd->out[0]].dims));
    return k < 2 && axis != 1 && in_place ? axis : DCV_AXIS_MIXED;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)k, (void)j;
    const dcv_node *pool = pool_of(g, nd->in[1]);
    if (axis < 2 || !pool)
        return (dcv_cells){o, o + 1, 1};
    return dcv_window_covers(&((const dcv_pool_attr *)pool->attr)->window.win[axis - 2], o);
}

/* ---- places ---- */

/* How to find a cell of y from an index. */
typedef struct finder {
    bool columns; /* the last axis is the slowest */
    bool same;    /* counted as they lie in y */
    int64_t c, from[3], to[3];
    int64_t plane, cells; /* of a channel, counted and in y */
    int block;
} finder;

static void three_axes(const dcv_dims *d, int64_t to[3])
{
    for (int i = 0; i < 3; i++)
        to[i] = i - (5 - d->n) >= 0 ? d->d[i - 3 + d->n] : 1;
}

static finder finder_of(const dcv_graph *g, const dcv_node *nd, int block)
{
    const dcv_dims *from = counted(g, nd), *to = &g->value[nd->out[0]].dims;
    const dcv_node *pool = pool_of(g, nd->in[1]);
    finder f = {.columns = pool && ((const dcv_pool_attr *)pool->attr)->storage_order, .c = to->d[1], .block = block};
    three_axes(from, f.from);
    three_axes(to, f.to);
    f.plane = f.from[0] * f.from[1] * f.from[2];
    f.cells = f.to[0] * f.to[1] * f.to[2];
    f.same = !f.columns && !memcmp(f.from, f.to, sizeof f.from);
    return f;
}

/* Where in y's memory index at belongs, from picture (of its batch axis) q on; -1: nowhere. */
static int64_t place(const finder *f, int64_t at, int64_t q)
{
    const int64_t c = at < 0 ? -1 : at / f->plane - q * f->c, cell = at % f->plane;
    if (c < 0 || c >= f->c)
        return -1;
    int64_t x[3] = {cell / f->from[2] / f->from[1], cell / f->from[2] % f->from[1], cell % f->from[2]};
    if (f->columns) {
        x[0] = cell % f->from[0];
        x[1] = cell / f->from[0] % f->from[1];
        x[2] = cell / f->from[0] / f->from[1];
    }
    if (x[0] >= f->to[0] || x[1] >= f->to[1] || x[2] >= f->to[2])
        return -1;
    return (c / f->block * f->cells + (x[0] * f->to[1] + x[1]) * f->to[2] + x[2]) * f->block + c % f->block;
}

/* The same for an index that most likely is one of channel own. */
static inline int64_t place_near(const finder *f, int64_t at, int64_t q, int64_t own)
{
    const int64_t cell = at - (q * f->c + own) * f->plane;
    if (f->same && cell >= 0 && cell < f->plane)
        return (own / f->block * f->cells + cell) * f->block + own % f->block;
    return place(f, at, q);
}

/* Number of an index that a blob or a constant holds; i: place in plain memory, m in the blob's. */
static int64_t index_at(const dcv_node *nd, const float *indices, int64_t i, int64_t m)
{
    const int64_t *constant = ((const unpool_attr *)nd->attr)->index;
    if (constant)
        return constant[i];
    return fabsf(indices[m]) < 0x1p62F ? (int64_t)indices[m] : -1; /* what is no number lies nowhere */
}

/* Calls for every cell of x, in the order of its memory: where it lies there and where it goes in y's. */
typedef void (*each_fn)(void *ctx, int64_t from, int64_t to);

DCV_INLINE void for_each(const dcv_graph *g, const dcv_node *nd, const dcv_dims *d, int block, int64_t q,
                         const float *indices, each_fn fn, void *ctx)
{
    const dcv_blob_shape s = dcv_blob_shape_of(d, block);
    const finder f = finder_of(g, nd, block);
    for (int64_t first = 0; first < s.c; first += block)
        for (int64_t i = 0; i < s.cells; i++)
            for (int64_t c = first; c < first + block && c < s.c; c++) {
                const int64_t m = (first / block * s.cells + i) * block + c - first;
                fn(ctx, m, place_near(&f, index_at(nd, indices, (q * s.c + c) * s.cells + i, m), q, c));
            }
}

typedef struct scatter {
    const float *x;
    float *y;
} scatter;

static void put(void *ctx, int64_t from, int64_t to)
{
    const scatter *s = ctx;
    if (to >= 0)
        s->y[to] = s->x[from];
}

/* Indices of outer slice q; constants that are whole numbers are read elsewhere. */
static const float *indices_of(const dcv_blob *index, int64_t q)
{
    if (!index->data)
        return NULL;
    return dcv_blob_slice(index, index->n > 1 ? q : q % index->dims->d[0]);
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    const dcv_blob *x = &io->x[0];
    dcv_blob *y = &io->y[0];
    const dcv_blob_shape s = dcv_blob_shape_of(y->dims, y->block);
    const int64_t batch = y->dims->d[0];
    for (int64_t q = 0; q < dcv_blob_outer(y); q++) {
        scatter to = {dcv_blob_slice(x, q), dcv_blob_slice(y, q)};
        memset(to.y, 0, (size_t)(s.floats / batch) * sizeof *to.y);
        for_each(g, nd, x->dims, y->block, q % batch, indices_of(&io->x[1], q), put, &to);
    }
}

/* ---- back: each cell fetches what came to where it went, where no later one went ---- */

static size_t saved_bytes(const dcv_graph *g, const dcv_node *nd, int block)
{
    return (size_t)dcv_blob_shape_of(&g->value[nd->in[0]].dims, block).floats * sizeof(int32_t);
}

static void keep(void *ctx, int64_t from, int64_t to)
{
    ((int32_t *)ctx)[from] = (int32_t)to;
}

static void save(const dcv_graph *g, const dcv_node *nd, const dcv_io *io, void *saved)
{
    const dcv_blob *x = &io->x[0];
    const dcv_blob_shape s = dcv_blob_shape_of(x->dims, x->block);
    const int64_t batch = x->dims->d[0], each = s.floats / batch;
    int32_t *to = saved;
    for (int64_t i = 0; i < s.floats; i++)
        to[i] = -1; /* lanes past C */
    for (int64_t q = 0; q < batch; q++)
        for_each(g, nd, x->dims, x->block, q, indices_of(&io->x[1], q), keep, to + q * each);
}

static size_t back_scratch(const dcv_graph *g, const dcv_node *nd)
{
    return (size_t)dcv_blob_shape_of(&g->value[nd->out[0]].dims, DCV_BLOCK_MAX).floats * sizeof(int32_t);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    const dcv_blob *gy = &io->gy[0], *gx = &io->gx[0];
    const dcv_blob_shape sx = dcv_blob_shape_of(gx->dims, gx->block), sy = dcv_blob_shape_of(gy->dims, gy->block);
    const int64_t batch = gx->dims->d[0], nx = sx.floats / batch, ny = sy.floats / batch;
    int32_t *last = io->scratch;
    (void)g, (void)nd;
    for (int64_t q = 0; q < batch; q++) {
        const int32_t *to = (const int32_t *)io->saved + q * nx;
        for (int64_t i = 0; i < nx; i++)
            if (to[i] >= 0)
                last[to[i]] = (int32_t)i;
        for (int64_t i = 0; i < nx; i++)
            gx->data[q * nx + i] = to[i] >= 0 && last[to[i]] == i ? gy->data[q * ny + to[i]] : 0;
    }
}

const dcv_op dcv_op_maxunpool = {.name = "MaxUnpool",
                                 .min_in = 2,
                                 .max_in = 3,
                                 .max_out = 1,
                                 .attr_size = sizeof(unpool_attr),
                                 .fields = fields,
                                 .layout = DCV_LAYOUT_SAME,
                                 .shape = shape,
                                 .carries = carries,
                                 .reads = reads,
                                 .forward = forward,
                                 .back_layout = DCV_LAYOUT_SAME,
                                 .saved_bytes = saved_bytes,
                                 .save = save,
                                 .back_scratch = back_scratch,
                                 .backward = backward};
