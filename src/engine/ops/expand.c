/* expand.c -- ONNX Expand (8, 13): x broadcast with a constant shape; Where (9, 16): y = condition ? a : b, all three
 * broadcast.
 */
#include "engine/ops/binary.h"

static dcv_status expand_shape(const dcv_shape_io *io)
{
    const int64_t *want;
    int64_t n;
    dcv_dims d = {0};
    DCV_TRY(dcv_op_ints(io, 1, "shape", &want, &n));
    if (n > DCV_MAX_RANK)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%lld axes; at most %d are supported", (long long)n, DCV_MAX_RANK);
    for (d.n = 0; d.n < n; d.n++)
        d.d[d.n] = want[d.n];
    dcv_dims_text tx, td;
    if (dcv_dims_check(&d) != DCV_OK || !dcv_broadcast(&io->x[0]->dims, &d, &io->y[0].dims))
        return dcv_op_fail(io, DCV_EDATA, "%s does not broadcast to %s", dcv_dims_print(&io->x[0]->dims, tx),
                           dcv_dims_print(&d, td));
    io->y[0].type = io->x[0]->type;
    return DCV_OK;
}

static void expand_move(const dcv_node *nd, int part, const dcv_dims *x, const dcv_dims *y, size_t elem,
                        const void *from, void *to)
{
    (void)nd, (void)part;
    const dcv_walker w = dcv_walker_of(y, x, 1);
    dcv_move m = {.rank = y->n};
    dcv_dims_strides(y, m.to);
    for (int i = 0; i < y->n; i++) {
        m.extent[i] = y->d[i];
        m.from[i] = w.stride[i];
    }
    dcv_move_run(&m, to, from, elem);
}

static dcv_status expand_fold(const dcv_fold_io *io)
{
    dcv_move_fold(io, 0, 0, 0, expand_move);
    return DCV_OK;
}

static void expand_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_move_forward(nd, 0, &io->x[0], &io->y[0], expand_move);
}

static dcv_status where_shape(const dcv_shape_io *io)
{
    dcv_dims *y = &io->y[0].dims;
    dcv_dims_text t0, t1, t2;
    if (!dcv_broadcast(&io->x[0]->dims, &io->x[1]->dims, y) || !dcv_broadcast(y, &io->x[2]->dims, y))
        return dcv_op_fail(io, DCV_EDATA, "%s, %s and %s do not broadcast", dcv_dims_print(&io->x[0]->dims, t0),
                           dcv_dims_print(&io->x[1]->dims, t1), dcv_dims_print(&io->x[2]->dims, t2));
    if (io->x[1]->type != io->x[2]->type)
        return dcv_op_fail(io, DCV_EDATA, "\"%s\" and \"%s\" are of different types", io->x[1]->name, io->x[2]->name);
    io->y[0].type = io->x[1]->type;
    return DCV_OK;
}

/* cond is int64_t where it is constant, else float. */
static void choose(const dcv_dims *y, const dcv_walker *wc, const int64_t *ints, const float *floats,
                   const dcv_walker w[2], const char *const from[2], size_t elem, char *to)
{
    const dcv_dims d = y->n ? *y : (dcv_dims){1, {1}};
    const int last = d.n - 1;
    int64_t at[DCV_MAX_RANK] = {0};
    if (!dcv_count(&d))
        return;
    do {
        const int64_t oc = dcv_walker_at(wc, at), o[2] = {dcv_walker_at(&w[0], at), dcv_walker_at(&w[1], at)};
        for (int64_t i = 0; i < d.d[last]; i++, to += elem) {
            const int64_t c = oc + i * wc->stride[last];
            const int pick = ints ? !ints[c] : floats[c] == 0;
            const char *cell = from[pick] + (o[pick] + i * w[pick].stride[last]) * (int64_t)elem;
            if (elem == sizeof(float))
                *(float *)to = *(const float *)cell;
            else
                *(int64_t *)to = *(const int64_t *)cell;
        }
    } while (dcv_next_row(&d, at));
}

static dcv_dims at_least_1d(const dcv_dims *d)
{
    return d->n ? *d : (dcv_dims){1, {1}};
}

static dcv_status where_fold(const dcv_fold_io *io)
{
    const dcv_dims d = at_least_1d(&io->y[0].dims);
    const dcv_walker wc = dcv_walker_of(&d, &io->x[0]->dims, 1),
                     w[2] = {dcv_walker_of(&d, &io->x[1]->dims, 1), dcv_walker_of(&d, &io->x[2]->dims, 1)};
    const bool ints = io->x[0]->type == DCV_I64;
    choose(&d, &wc, ints ? io->x[0]->constant : NULL, ints ? NULL : io->x[0]->constant, w,
           (const char *const[]){io->x[1]->constant, io->x[2]->constant}, dcv_dtype_bytes(io->y[0].type), io->to[0]);
    return DCV_OK;
}

static void where_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    const dcv_value *cond = &g->value[nd->in[0]];
    const dcv_dims d = at_least_1d(io->y[0].dims);
    const dcv_walker wc = dcv_walker_of(&d, io->x[0].dims, 1),
                     w[2] = {dcv_walker_of(&d, io->x[1].dims, 1), dcv_walker_of(&d, io->x[2].dims, 1)};
    for (int p = 0; p < io->y[0].n; p++)
        choose(&d, &wc, cond->type == DCV_I64 ? cond->constant : NULL, io->x[0].data + p * io->x[0].n_stride, w,
               (const char *const[]){(const char *)(io->x[1].data + p * io->x[1].n_stride),
                                     (const char *)(io->x[2].data + p * io->x[2].n_stride)},
               sizeof(float), (char *)(io->y[0].data + p * io->y[0].n_stride));
}

static void expand_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_move_back(nd, 0, &io->gy[0], &io->gx[0], io->scratch, expand_move);
}

const dcv_op dcv_op_expand = {.name = "Expand",
                              .min_in = 2,
                              .max_in = 2,
                              .max_out = 1,
                              .layout = DCV_LAYOUT_PLAIN,
                              .shape = expand_shape,
                              .fold = expand_fold,
                              .forward = expand_forward,
                              .back_scratch = dcv_move_scratch,
                              .backward = expand_backward};

const dcv_op dcv_op_where = {.name = "Where",
                             .min_in = 3,
                             .max_in = 3,
                             .max_out = 1,
                             .flags = DCV_OP_ELEMENTWISE,
                             .layout = DCV_LAYOUT_PLAIN,
                             .shape = where_shape,
                             .fold = where_fold,
                             .forward = where_forward};
