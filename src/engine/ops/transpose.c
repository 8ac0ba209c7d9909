/* transpose.c -- ONNX Transpose (1, 13, 21): axes in another order; reversed where perm is absent. */
#include "engine/ops/util.h"

typedef struct transpose_attr {
    dcv_ints perm;
    int at[DCV_MAX_RANK]; /* output axis i is input axis at[i] */
} transpose_attr;

static const dcv_field fields[] = {{"perm", DCV_FIELD_INTS, DCV_AT(transpose_attr, perm), .help = "order of the axes"},
                                   DCV_FIELDS_END};

static dcv_status shape(const dcv_shape_io *io)
{
    transpose_attr *a = io->node->attr;
    const dcv_dims *x = &io->x[0]->dims;
    unsigned mask;
    if (a->perm.n && a->perm.n != x->n)
        return dcv_op_fail(io, DCV_EDATA, "perm has %d numbers, the input %d axes", a->perm.n, x->n);
    DCV_TRY(dcv_op_axes(io, a->perm.v, a->perm.n, x->n, &mask));
    io->y[0].type = io->x[0]->type;
    io->y[0].dims.n = x->n;
    for (int i = 0; i < x->n; i++) {
        a->at[i] = a->perm.n ? (int)(a->perm.v[i] < 0 ? a->perm.v[i] + x->n : a->perm.v[i]) : x->n - 1 - i;
        io->y[0].dims.d[i] = x->d[a->at[i]];
    }
    return DCV_OK;
}

static void move(const dcv_node *nd, int part, const dcv_dims *x, const dcv_dims *y, size_t elem, const void *from,
                 void *to)
{
    (void)part;
    const transpose_attr *a = nd->attr;
    int64_t sx[DCV_MAX_RANK];
    dcv_move m = {.rank = y->n};
    dcv_dims_strides(x, sx);
    dcv_dims_strides(y, m.to);
    for (int i = 0; i < y->n; i++) {
        m.extent[i] = y->d[i];
        m.from[i] = sx[a->at[i]];
    }
    dcv_move_run(&m, to, from, elem);
}

static dcv_status fold(const dcv_fold_io *io)
{
    dcv_move_fold(io, 0, 0, 0, move);
    return DCV_OK;
}

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)k, (void)j;
    const transpose_attr *a = nd->attr;
    int i = 0;
    while (a->at[i] != axis)
        i++;
    return i;
}

static dcv_cells reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)nd, (void)k, (void)axis, (void)j;
    return (dcv_cells){o, o + 1, 1};
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_move_forward(nd, 0, &io->x[0], &io->y[0], move);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    dcv_move_back(nd, 0, &io->gy[0], &io->gx[0], io->scratch, move);
}

const dcv_op dcv_op_transpose = {.name = "Transpose",
                                 .min_in = 1,
                                 .max_in = 1,
                                 .max_out = 1,
                                 .attr_size = sizeof(transpose_attr),
                                 .fields = fields,
                                 .layout = DCV_LAYOUT_PLAIN,
                                 .shape = shape,
                                 .fold = fold,
                                 .carries = carries,
                                 .reads = reads,
                                 .forward = forward,
                                 .back_scratch = dcv_move_scratch,
                                 .backward = backward};
