/* tile.c -- ONNX Tile (6, 13): x side by side with itself, a constant number of times along each axis. */
#include <string.h>
#include "engine/ops/util.h"

static dcv_status shape(const dcv_shape_io *io)
{
    const dcv_dims *x = &io->x[0]->dims;
    const int64_t *repeats = NULL;
    int64_t n = 0;
    DCV_TRY(dcv_op_ints(io, 1, "repeats", &repeats, &n));
    if (n != x->n)
        return dcv_op_fail(io, DCV_EDATA, "%lld repeats for an input with %d axes", (long long)n, x->n);
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = *x;
    for (int i = 0; i < x->n; i++) {
        if (repeats[i] < 0 || repeats[i] > INT64_C(1) << 20)
            return dcv_op_fail(io, DCV_EDATA, "%lld repeats along axis %d; expected 0 to 2^20", (long long)repeats[i],
                               i);
        io->y[0].dims.d[i] *= repeats[i];
    }
    return DCV_OK;
}

/* Fill one period along axis from what follows, then copy it on. */
static void lay(const dcv_dims *x, const dcv_dims *y, int axis, size_t elem, const char *from, char *to)
{
    size_t inner_x = elem, inner_y = elem;
    for (int i = axis + 1; i < x->n; i++) {
        inner_x *= (size_t)x->d[i];
        inner_y *= (size_t)y->d[i];
    }
    const size_t period = (size_t)x->d[axis] * inner_y;
    if (inner_x == inner_y)
        memcpy(to, from, period);
    else
        for (int64_t i = 0; i < x->d[axis]; i++)
            lay(x, y, axis + 1, elem, from + (size_t)i * inner_x, to + (size_t)i * inner_y);
    for (int64_t i = 1; i < y->d[axis] / x->d[axis]; i++)
        memcpy(to + (size_t)i * period, to, period);
}

static void move(const dcv_node *nd, int part, const dcv_dims *x, const dcv_dims *y, size_t elem, const void *from,
                 void *to)
{
    (void)nd, (void)part;
    if (!dcv_count(y))
        return;
    if (x->n)
        lay(x, y, 0, elem, from, to);
    else
        memcpy(to, from, elem);
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
    const int64_t at = o % g->value[nd->in[k]].dims.d[axis];
    return (dcv_cells){at, at + 1, 1};
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

const dcv_op dcv_op_tile = {.name = "Tile",
                            .min_in = 2,
                            .max_in = 2,
                            .max_out = 1,
                            .layout = DCV_LAYOUT_PLAIN,
                            .shape = shape,
                            .fold = fold,
                            .carries = carries,
                            .reads = reads,
                            .forward = forward,
                            .back_scratch = dcv_move_scratch,
                            .backward = backward};
