/* util.c -- what operator files share. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "engine/ops/util.h"

dcv_status dcv_op_fail(const dcv_shape_io *io, dcv_status code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return dcv_fail(code, "node \"%s\" (%s): %s", io->node->name, io->node->op->name, text);
}

dcv_status dcv_op_axis(const dcv_shape_io *io, int64_t axis, int rank, int *out)
{
    const int64_t a = axis < 0 ? axis + rank : axis;
    if (a < 0 || a >= rank)
        return dcv_op_fail(io, DCV_EDATA, "axis %lld of a tensor with %d axes", (long long)axis, rank);
    *out = (int)a;
    return DCV_OK;
}

dcv_status dcv_op_axes(const dcv_shape_io *io, const int64_t *axis, int64_t n, int rank, unsigned *mask)
{
    *mask = 0;
    for (int64_t i = 0; i < n; i++) {
        int a = 0;
        DCV_TRY(dcv_op_axis(io, axis[i], rank, &a));
        if (*mask & 1u << a)
            return dcv_op_fail(io, DCV_EDATA, "axis %lld is given twice", (long long)axis[i]);
        *mask |= 1u << a;
    }
    return DCV_OK;
}

bool dcv_op_has(const dcv_shape_io *io, int k)
{
    return k < io->n_in && io->x[k];
}

dcv_status dcv_op_ints(const dcv_shape_io *io, int k, const char *what, const int64_t **v, int64_t *n)
{
    const dcv_value *x = io->x[k];
    if (!x->constant)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%s (\"%s\") must be constant", what, x->name);
    if (x->type != DCV_I64 || x->dims.n > 1)
        return dcv_op_fail(io, DCV_EDATA, "%s (\"%s\") must be a list of integers", what, x->name);
    *v = x->constant;
    *n = dcv_count(&x->dims);
    return DCV_OK;
}

dcv_status dcv_op_ints_or(const dcv_shape_io *io, int k, const char *what, const dcv_ints *attr, const int64_t **v,
                          int64_t *n)
{
    if (dcv_op_has(io, k))
        return dcv_op_ints(io, k, what, v, n);
    *v = attr->v;
    *n = attr->n;
    return DCV_OK;
}

dcv_status dcv_op_number(const dcv_shape_io *io, int k, const char *what, double *out)
{
    const dcv_value *x = io->x[k];
    if (!x->constant)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%s (\"%s\") must be constant", what, x->name);
    if (dcv_count(&x->dims) != 1)
        return dcv_op_fail(io, DCV_EDATA, "%s (\"%s\") must be one number", what, x->name);
    *out = x->type == DCV_I64 ? (double)*(const int64_t *)x->constant : (double)*(const float *)x->constant;
    return DCV_OK;
}

dcv_status dcv_shape_same(const dcv_shape_io *io)
{
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = io->x[0]->dims;
    return DCV_OK;
}

int dcv_carries_none(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)k, (void)axis, (void)j;
    return DCV_AXIS_MIXED;
}

int dcv_reshaped_axis(const dcv_dims *x, const dcv_dims *y, int axis)
{
    int64_t before = 1, p = 1;
    for (int i = 0; i < axis; i++)
        before *= x->d[i];
    for (int i = 0; i < y->n; i++) {
        if (p == before && y->d[i] == x->d[axis] && (y->d[i] != 1 || i >= axis || i == y->n - 1))
            return i;
        p *= y->d[i];
    }
    return DCV_AXIS_MIXED;
}

dcv_blob_shape dcv_blob_shape_of(const dcv_dims *d, int block)
{
    dcv_blob_shape s = {.c = d->n >= 2 ? d->d[1] : d->n == 1 ? d->d[0] : 1, .cells = 1};
    for (int i = 2; i < d->n; i++)
        s.cells *= d->d[i];
    const int64_t b = d->n >= 3 ? block : 1;
    s.blocks = (s.c + b - 1) / b;
    s.floats = s.blocks * b * s.cells * (d->n >= 2 ? d->d[0] : 1);
    return s;
}

void dcv_blob_clear_tail(dcv_blob *y)
{
    const dcv_blob_shape s = dcv_blob_shape_of(y->dims, y->block);
    const int used = (int)(s.c - (s.blocks - 1) * y->block);
    if (y->dims->n < 3 || used == y->block || !s.blocks)
        return;
    for (int p = 0; p < y->n; p++) {
        float *cell = y->data + p * y->n_stride + (s.blocks - 1) * s.cells * y->block;
        for (int64_t i = 0; i < s.cells; i++, cell += y->block)
            memset(cell + used, 0, (size_t)(y->block - used) * sizeof *cell);
    }
}

static void move_row(int64_t n, char *to, int64_t to_step, const char *from, int64_t from_step, size_t elem)
{
    if (to_step == 1 && from_step == 1) {
        memcpy(to, from, (size_t)n * elem);
    } else if (elem == 4) {
        for (int64_t i = 0; i < n; i++)
            ((uint32_t *)to)[i * to_step] = ((const uint32_t *)from)[i * from_step];
    } else {
        for (int64_t i = 0; i < n; i++)
            ((uint64_t *)to)[i * to_step] = ((const uint64_t *)from)[i * from_step];
    }
}

static void move_axis(const dcv_move *m, int axis, char *to, const char *from, size_t elem)
{
    if (axis == m->rank - 1) {
        move_row(m->extent[axis], to, m->to[axis], from, m->from[axis], elem);
        return;
    }
    for (int64_t i = 0; i < m->extent[axis]; i++)
        move_axis(m, axis + 1, to + i * m->to[axis] * (int64_t)elem, from + i * m->from[axis] * (int64_t)elem, elem);
}

void dcv_move_run(const dcv_move *m, void *to, const void *from, size_t elem)
{
    for (int i = 0; i < m->rank; i++)
        if (!m->extent[i])
            return;
    if (m->rank)
        move_axis(m, 0, to, from, elem);
    else
        memcpy(to, from, elem);
}

void dcv_dims_strides(const dcv_dims *d, int64_t stride[DCV_MAX_RANK])
{
    int64_t s = 1;
    for (int i = d->n - 1; i >= 0; i--) {
        stride[i] = s;
        s *= d->d[i];
    }
}

void dcv_move_forward(const dcv_node *nd, int part, const dcv_blob *x, dcv_blob *y, dcv_mover fn)
{
    for (int p = 0; p < y->n; p++)
        fn(nd, part, x->dims, y->dims, sizeof(float), x->data + p * x->n_stride, y->data + p * y->n_stride);
}

/* A mark that tells numbers of elements from what fills a border. */
#define MARK (INT64_C(1) << 61)

void dcv_move_back(const dcv_node *nd, int part, const dcv_blob *gy, dcv_blob *gx, void *scratch, dcv_mover fn)
{
    const int64_t nx = dcv_count(gx->dims), ny = dcv_count(gy->dims);
    int64_t *number = scratch, *from = number + nx;
    for (int64_t i = 0; i < nx; i++)
        number[i] = MARK | i;
    fn(nd, part, gx->dims, gy->dims, sizeof *number, number, from);
    memset(gx->data, 0, (size_t)nx * sizeof *gx->data);
    for (int64_t i = 0; i < ny; i++)
        if (from[i] >> 40 == MARK >> 40)
            gx->data[from[i] ^ MARK] += gy->data[i];
}

size_t dcv_move_scratch(const dcv_graph *g, const dcv_node *nd)
{
    return (size_t)(dcv_count(&g->value[nd->in[0]].dims) + dcv_count(&g->value[nd->out[0]].dims)) * sizeof(int64_t);
}

void dcv_move_fold(const dcv_fold_io *io, int part, int k, int j, dcv_mover fn)
{
    fn(io->node, part, &io->x[k]->dims, &io->y[j].dims, dcv_dtype_bytes(io->y[j].type), io->x[k]->constant, io->to[j]);
}
