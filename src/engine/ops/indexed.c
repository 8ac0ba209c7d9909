/* indexed.c -- cells named one by one: ONNX GatherElements (11, 13), GatherND (11, 12: batch_dims; 13), ScatterElements
 * (11, 13, 16, 18: reduction), Scatter (9, 11) and ScatterND (11, 13, 16, 18).
 *
 * Each element of a *list* (the output of a gathering, the updates of a scattering) stands for a cell of the data:
 * along one axis, or by all of its first coordinates.  Indices may be constant or a picture's; one that a walk finds
 * out of range reads NaN and writes nothing.  Of several updates of one cell the last counts, where they are not
 * joined.
 */
#include <math.h>
#include <string.h>
#include "engine/ops/util.h"

typedef enum joining { JOIN_NONE, JOIN_ADD, JOIN_MUL, JOIN_MAX, JOIN_MIN } joining;

typedef struct indexed_attr {
    int64_t axis, batch_dims;
    int reduction;
    bool by_slice;        /* GatherND, ScatterND */
    int at;               /* the axis; else leading axes that the indices do not name */
    int64_t named, inner; /* by_slice: coordinates that they name, elements of what follows */
    int64_t per_batch;    /* by_slice: slices in each batch */
    const int64_t *index; /* constant; NULL: a picture's */
} indexed_attr;

static const dcv_field axis_fields[] = {
    {"axis", DCV_FIELD_INT, DCV_AT(indexed_attr, axis), .dflt = "0", .help = "axis that the indices name"},
    DCV_FIELDS_END};

static const dcv_field batch_fields[] = {{"batch_dims", DCV_FIELD_INT, DCV_AT(indexed_attr, batch_dims), .dflt = "0",
                                          .min = 0, .max = DCV_MAX_RANK, .help = "leading axes in common"},
                                         DCV_FIELDS_END};

#define REDUCTION                                                                                                      \
    {                                                                                                                  \
        "reduction", DCV_FIELD_WORD, DCV_AT(indexed_attr, reduction), .dflt = "none", .words = "none|add|mul|max|min", \
                                                                      .help = "how updates join what is there"         \
    }

static const dcv_field scatter_fields[] = {
    {"axis", DCV_FIELD_INT, DCV_AT(indexed_attr, axis), .dflt = "0", .help = "axis that the indices name"},
    REDUCTION,
    DCV_FIELDS_END};

static const dcv_field scatter_nd_fields[] = {REDUCTION, DCV_FIELDS_END};

/* ---- shapes ---- */

static dcv_status shapes_differ(const dcv_shape_io *io, const char *what, const dcv_dims *a, const char *with,
                                const dcv_dims *b)
{
    dcv_dims_text ta, tb;
    return dcv_op_fail(io, DCV_EDATA, "%s %s do not fit %s %s", what, dcv_dims_print(a, ta), with,
                       dcv_dims_print(b, tb));
}

/* Constant indices are kept as they are now: the value may become floats, for another node that works with them. */
static dcv_status take_indices(const dcv_shape_io *io)
{
    indexed_attr *a = io->node->attr;
    a->index = io->x[1]->constant;
    if (io->x[1]->type == DCV_I64)
        return DCV_OK;
    return dcv_op_fail(io, DCV_EDATA, "indices (\"%s\") must be integers", io->x[1]->name);
}

/* Is constant index number i within an extent? */
static dcv_status check_index(const dcv_shape_io *io, int64_t i, int64_t extent)
{
    const int64_t *index = ((const indexed_attr *)io->node->attr)->index;
    if (index && (index[i] < -extent || index[i] >= extent))
        return dcv_op_fail(io, DCV_EDATA, "index %lld into %lld cells", (long long)index[i], (long long)extent);
    return DCV_OK;
}

/* Indices along one axis: as many axes as the data, and elsewhere no longer than it. */
static dcv_status along_axis(const dcv_shape_io *io)
{
    indexed_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims, *i = &io->x[1]->dims;
    DCV_TRY(take_indices(io));
    DCV_TRY(dcv_op_axis(io, a->axis, x->n, &a->at));
    bool fits = i->n == x->n;
    for (int k = 0; fits && k < x->n; k++)
        fits = k == a->at || i->d[k] <= x->d[k];
    if (!fits)
        return shapes_differ(io, "indices", i, "data", x);
    for (int64_t n = 0; a->index && n < dcv_count(i); n++)
        DCV_TRY(check_index(io, n, x->d[a->at]));
    return DCV_OK;
}

/* Indices of slices.  list: the shape of what they stand for. */
static dcv_status by_slice(const dcv_shape_io *io, dcv_dims *list)
{
    indexed_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims, *i = &io->x[1]->dims;
    const int b = (int)a->batch_dims;
    DCV_TRY(take_indices(io));
    a->by_slice = true;
    a->at = b;
    a->named = i->n ? i->d[i->n - 1] : 0;
    a->inner = a->per_batch = 1;
    bool fits = i->n >= 1 && x->n >= 1 && b < i->n && a->named >= 1 && b + a->named <= x->n;
    for (int k = 0; fits && k < b; k++)
        fits = i->d[k] == x->d[k];
    if (!fits)
        return shapes_differ(io, "indices", i, "data", x);
    *list = (dcv_dims){0};
    if (i->n - 1 + x->n - b - a->named > DCV_MAX_RANK)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%d axes; at most %d are supported",
                           (int)(i->n - 1 + x->n - b - a->named), DCV_MAX_RANK);
    for (int k = 0; k < i->n - 1; k++) {
        a->per_batch *= k < b ? 1 : i->d[k];
        list->d[list->n++] = i->d[k];
    }
    for (int k = b + (int)a->named; k < x->n; k++) {
        a->inner *= x->d[k];
        list->d[list->n++] = x->d[k];
    }
    for (int64_t n = 0; a->index && n < dcv_count(i); n++)
        DCV_TRY(check_index(io, n, x->d[b + n % a->named]));
    return DCV_OK;
}

static dcv_status gather_shape(const dcv_shape_io *io)
{
    DCV_TRY(along_axis(io));
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = io->x[1]->dims;
    return DCV_OK;
}

static dcv_status gather_nd_shape(const dcv_shape_io *io)
{
    DCV_TRY(by_slice(io, &io->y[0].dims));
    io->y[0].type = io->x[0]->type;
    return DCV_OK;
}

static dcv_status check_updates(const dcv_shape_io *io, const dcv_dims *list)
{
    if (!dcv_dims_equal(&io->x[2]->dims, list))
        return shapes_differ(io, "updates", &io->x[2]->dims, "indices", &io->x[1]->dims);
    if (io->x[2]->type != io->x[0]->type)
        return dcv_op_fail(io, DCV_EDATA, "\"%s\" and \"%s\" are of different types", io->x[0]->name, io->x[2]->name);
    return dcv_shape_same(io);
}

static dcv_status scatter_shape(const dcv_shape_io *io)
{
    DCV_TRY(along_axis(io));
    return check_updates(io, &io->x[1]->dims);
}

static dcv_status scatter_nd_shape(const dcv_shape_io *io)
{
    dcv_dims list;
    DCV_TRY(by_slice(io, &list));
    return check_updates(io, &list);
}

/* ---- cells ---- */

/* Where the elements of a list lie in the data. */
typedef struct places {
    const indexed_attr *a;
    dcv_dims data, list;
    int64_t stride[DCV_MAX_RANK], batch; /* of the data */
    const int64_t *ints;                 /* indices, one of them */
    const float *floats;
    int64_t n;
} places;

static places places_of(const dcv_node *nd, const dcv_dims *data, const dcv_dims *list)
{
    places p = {.a = nd->attr, .data = *data, .list = *list, .n = dcv_count(list), .batch = 1};
    dcv_dims_strides(data, p.stride);
    for (int i = p.a->at; i < data->n; i++)
        p.batch *= data->d[i];
    return p;
}

/* Index number i, from 0; -1: out of range. */
static int64_t index_at(const places *p, int64_t i, int64_t extent)
{
    const double v = p->ints ? (double)p->ints[i] : (double)p->floats[i];
    const double at = v < 0 ? v + (double)extent : v;
    return at >= 0 && at < (double)extent ? (int64_t)at : -1;
}

/* Cell of the data that element e of the list stands for, -1: none. */
static int64_t place_of(const places *p, int64_t e)
{
    const indexed_attr *a = p->a;
    int64_t cell = 0;
    if (a->by_slice) {
        const int64_t slice = e / a->inner;
        cell = slice / a->per_batch * p->batch + e % a->inner;
        for (int64_t k = 0; k < a->named; k++) {
            const int axis = a->at + (int)k;
            const int64_t i = index_at(p, slice * a->named + k, p->data.d[axis]);
            if (i < 0)
                return -1;
            cell += i * p->stride[axis];
        }
        return cell;
    }
    const int64_t i = index_at(p, e, p->data.d[a->at]);
    for (int k = p->list.n - 1; k >= 0; k--) {
        cell += (k == a->at ? i : e % p->list.d[k]) * p->stride[k];
        e /= p->list.d[k];
    }
    return i < 0 ? -1 : cell;
}

/* The indices of picture q, from a constant or from the walk. */
static void set_indices(places *p, const dcv_blob *x, int q)
{
    p->ints = p->a->index;
    p->floats = p->ints ? NULL : x->data + q * x->n_stride;
}

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)j;
    const indexed_attr *a = nd->attr;
    if (k || (a->by_slice ? axis >= a->at : axis != a->at))
        return DCV_AXIS_MIXED;
    return a->by_slice ? axis : DCV_AXIS_MIXED;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)nd, (void)k, (void)axis, (void)j;
    return (dcv_cells){o, o + 1, 1};
}

/* ---- gathering ---- */

static dcv_status gather_fold(const dcv_fold_io *io)
{
    places p = places_of(io->node, &io->x[0]->dims, &io->y[0].dims);
    const size_t elem = dcv_dtype_bytes(io->y[0].type);
    p.ints = io->x[1]->constant;
    for (int64_t e = 0; e < p.n; e++)
        memcpy((char *)io->to[0] + (size_t)e * elem, (const char *)io->x[0]->constant + (size_t)place_of(&p, e) * elem,
               elem);
    return DCV_OK;
}

static void gather_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    places p = places_of(nd, io->x[0].dims, io->y[0].dims);
    for (int q = 0; q < io->y[0].n; q++) {
        const float *x = io->x[0].data + q * io->x[0].n_stride;
        float *y = io->y[0].data + q * io->y[0].n_stride;
        set_indices(&p, &io->x[1], q);
        for (int64_t e = 0; e < p.n; e++) {
            const int64_t at = place_of(&p, e);
            y[e] = at < 0 ? NAN : x[at];
        }
    }
}

static void gather_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    if (!io->gx[0].data)
        return;
    places p = places_of(nd, io->gx[0].dims, io->gy[0].dims);
    set_indices(&p, &io->x[1], 0);
    memset(io->gx[0].data, 0, (size_t)dcv_count(&p.data) * sizeof(float));
    for (int64_t e = 0; e < p.n; e++) {
        const int64_t at = place_of(&p, e);
        if (at >= 0)
            io->gx[0].data[at] += io->gy[0].data[e];
    }
}

/* ---- scattering ---- */

static float joined(joining how, float a, float b)
{
    switch (how) {
    case JOIN_ADD:
        return a + b;
    case JOIN_MUL:
        return a * b;
    case JOIN_MAX:
        return b > a || b != b ? b : a;
    case JOIN_MIN:
        return b < a || b != b ? b : a;
    case JOIN_NONE:
        break;
    }
    return b;
}

static int64_t joined_ints(joining how, int64_t a, int64_t b)
{
    switch (how) {
    case JOIN_ADD:
        return (int64_t)((uint64_t)a + (uint64_t)b);
    case JOIN_MUL:
        return (int64_t)((uint64_t)a * (uint64_t)b);
    case JOIN_MAX:
        return b > a ? b : a;
    case JOIN_MIN:
        return b < a ? b : a;
    case JOIN_NONE:
        break;
    }
    return b;
}

static void scatter(const places *p, const float *data, const float *update, float *y)
{
    memcpy(y, data, (size_t)dcv_count(&p->data) * sizeof *y);
    for (int64_t e = 0; e < p->n; e++) {
        const int64_t at = place_of(p, e);
        if (at >= 0)
            y[at] = joined((joining)p->a->reduction, y[at], update[e]);
    }
}

static dcv_status scatter_fold(const dcv_fold_io *io)
{
    places p = places_of(io->node, &io->x[0]->dims, &io->x[2]->dims);
    p.ints = io->x[1]->constant;
    if (io->y[0].type == DCV_F32) {
        scatter(&p, io->x[0]->constant, io->x[2]->constant, io->to[0]);
        return DCV_OK;
    }
    int64_t *y = io->to[0];
    const int64_t *update = io->x[2]->constant;
    memcpy(y, io->x[0]->constant, (size_t)dcv_count(&p.data) * sizeof *y);
    for (int64_t e = 0; e < p.n; e++) {
        int64_t *to = &y[place_of(&p, e)];
        *to = joined_ints((joining)p.a->reduction, *to, update[e]);
    }
    return DCV_OK;
}

static void scatter_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    places p = places_of(nd, io->x[0].dims, io->x[2].dims);
    for (int q = 0; q < io->y[0].n; q++) {
        set_indices(&p, &io->x[1], q);
        scatter(&p, io->x[0].data + q * io->x[0].n_stride, io->x[2].data + q * io->x[2].n_stride,
                io->y[0].data + q * io->y[0].n_stride);
    }
}

/* How much of a cell's signal goes to a value that took part: to the data (e -1), or to update e.  mark: per cell, the
 * last update and one more (JOIN_NONE), or how many are the greatest or least. */
static float share(const places *p, const dcv_back_io *io, int64_t cell, int64_t e, const int64_t *mark)
{
    const float *update = io->x[2].data, y = io->y[0].data[cell], own = e < 0 ? io->x[0].data[cell] : update[e];
    double product = 1;
    switch ((joining)p->a->reduction) {
    case JOIN_NONE:
        return mark[cell] == e + 1;
    case JOIN_ADD:
        return 1;
    case JOIN_MAX:
    case JOIN_MIN:
        return own == y && mark[cell] ? 1.0F / (float)mark[cell] : 0;
    case JOIN_MUL:
        break;
    }
    if (own != 0)
        return y / own;
    for (int64_t i = -1; i < p->n; i++) /* all others */
        if (i != e && (i < 0 || place_of(p, i) == cell))
            product *= (double)(i < 0 ? io->x[0].data[cell] : update[i]);
    return (float)product;
}

static void make_marks(const places *p, const dcv_back_io *io, int64_t *mark)
{
    const bool last = p->a->reduction == JOIN_NONE;
    for (int64_t i = 0; i < dcv_count(&p->data); i++)
        mark[i] = !last && io->x[0].data[i] == io->y[0].data[i];
    for (int64_t e = 0; e < p->n; e++) {
        const int64_t at = place_of(p, e);
        if (at >= 0)
            mark[at] = last ? e + 1 : mark[at] + (io->x[2].data[e] == io->y[0].data[at]);
    }
}

static void scatter_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    places p = places_of(nd, io->gy[0].dims, &g->value[nd->in[2]].dims);
    const float *gy = io->gy[0].data;
    set_indices(&p, &io->x[1], 0);
    make_marks(&p, io, io->scratch);
    for (int64_t i = 0; io->gx[0].data && i < dcv_count(&p.data); i++)
        io->gx[0].data[i] = gy[i] * share(&p, io, i, -1, io->scratch);
    for (int64_t e = 0; io->gx[2].data && e < p.n; e++) {
        const int64_t at = place_of(&p, e);
        io->gx[2].data[e] = at < 0 ? 0 : gy[at] * share(&p, io, at, e, io->scratch);
    }
}

static size_t scatter_scratch(const dcv_graph *g, const dcv_node *nd)
{
    return (size_t)dcv_count(&g->value[nd->out[0]].dims) * sizeof(int64_t);
}

#define GATHER                                                                                                         \
    .min_in = 2, .max_in = 2, .max_out = 1, .attr_size = sizeof(indexed_attr), .layout = DCV_LAYOUT_PLAIN,             \
    .carries = carries, .reads = reads, .fold = gather_fold, .forward = gather_forward, .back_reads = DCV_BACK_X,      \
    .backward = gather_backward
#define SCATTER                                                                                                        \
    .min_in = 3, .max_in = 3, .max_out = 1, .attr_size = sizeof(indexed_attr), .layout = DCV_LAYOUT_PLAIN,             \
    .carries = dcv_carries_none, .fold = scatter_fold, .forward = scatter_forward,                                     \
    .back_reads = DCV_BACK_X | DCV_BACK_Y, .back_scratch = scatter_scratch, .backward = scatter_backward

const dcv_op dcv_op_gatherelements = {.name = "GatherElements", GATHER, .fields = axis_fields, .shape = gather_shape};
const dcv_op dcv_op_gathernd = {.name = "GatherND", GATHER, .fields = batch_fields, .shape = gather_nd_shape};
const dcv_op dcv_op_scatterelements = {
    .name = "ScatterElements", SCATTER, .fields = scatter_fields, .shape = scatter_shape};
const dcv_op dcv_op_scatter = {.name = "Scatter", SCATTER, .fields = axis_fields, .shape = scatter_shape};
const dcv_op dcv_op_scatternd = {.name = "ScatterND", SCATTER, .fields = scatter_nd_fields, .shape = scatter_nd_shape};
