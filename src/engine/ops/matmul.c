/* matmul.c -- ONNX MatMul (1, 9, 13): numpy.matmul, any number of leading axes.
 *
 * Walks run products with constant weights through BLAS; forward here is the plain definition with double sums.
 */
#include <string.h>
#include "engine/ops/gemm.h"

/* A and B as stacks of matrices: a vector becomes one row (A) or one column (B). */
typedef struct product {
    int64_t m, n, k;
    dcv_dims a, b, y; /* of equal rank, matrices last */
} product;

static dcv_dims widen(const dcv_dims *d, int rank, bool column)
{
    dcv_dims m = *d;
    if (d->n == 1)
        m = column ? (dcv_dims){2, {d->d[0], 1}} : (dcv_dims){2, {1, d->d[0]}};
    dcv_dims w = {.n = rank};
    for (int i = 0; i < rank; i++)
        w.d[i] = i < rank - m.n ? 1 : m.d[i - (rank - m.n)];
    return w;
}

static bool product_of(const dcv_dims *a, const dcv_dims *b, product *p)
{
    if (a->n < 1 || b->n < 1)
        return false;
    int rank = a->n > b->n ? a->n : b->n;
    rank = rank < 2 ? 2 : rank;
    p->a = widen(a, rank, false);
    p->b = widen(b, rank, true);
    p->m = p->a.d[rank - 2], p->k = p->a.d[rank - 1], p->n = p->b.d[rank - 1];
    p->y = p->a;
    p->y.d[rank - 1] = p->n;
    for (int i = 0; i < rank - 2; i++) {
        if (p->a.d[i] != p->b.d[i] && p->a.d[i] != 1 && p->b.d[i] != 1)
            return false;
        p->y.d[i] = p->a.d[i] == 1 ? p->b.d[i] : p->a.d[i];
    }
    return p->b.d[rank - 2] == p->k;
}

static dcv_status shape(const dcv_shape_io *io)
{
    const dcv_dims *a = &io->x[0]->dims, *b = &io->x[1]->dims;
    product p;
    if (!product_of(a, b, &p)) {
        dcv_dims_text ta, tb;
        return dcv_op_fail(io, DCV_EDATA, "%s does not fit %s", dcv_dims_print(a, ta), dcv_dims_print(b, tb));
    }
    dcv_dims *y = &io->y[0].dims;
    *y = p.y;
    if (b->n == 1)
        y->n--;
    if (a->n == 1) {
        y->d[p.y.n - 2] = y->d[p.y.n - 1];
        y->n--;
    }
    io->y[0].type = DCV_F32;
    return DCV_OK;
}

static int64_t macs(const dcv_graph *g, const dcv_node *nd)
{
    const dcv_dims *a = &g->value[nd->in[0]].dims;
    return dcv_count(&g->value[nd->out[0]].dims) * a->d[a->n - 1];
}

/* Offset of matrix i of the stack y in a stack that is broadcast to it. */
static int64_t stack_at(const dcv_dims *y, const dcv_dims *x, int64_t i)
{
    int64_t stride = x->d[x->n - 1] * x->d[x->n - 2], at = 0;
    for (int axis = y->n - 3; axis >= 0; axis--) {
        if (x->d[axis] > 1)
            at += i % y->d[axis] * stride;
        i /= y->d[axis];
        stride *= x->d[axis];
    }
    return at;
}

/* Rows of B are read as they lie: by columns every number would be a miss of the cache where B is large. */
enum { COLUMNS = 64 };

static void multiply(const product *p, const float *a, const float *b, float *y)
{
    for (int64_t i = 0; i < p->m; i++, a += p->k, y += p->n)
        for (int64_t from = 0; from < p->n; from += COLUMNS) {
            const int64_t many = p->n - from < COLUMNS ? p->n - from : COLUMNS;
            double sum[COLUMNS] = {0};
            for (int64_t l = 0; l < p->k; l++)
                for (int64_t j = 0; j < many; j++)
                    sum[j] += (double)a[l] * b[l * p->n + from + j];
            for (int64_t j = 0; j < many; j++)
                y[from + j] = (float)sum[j];
        }
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g, (void)nd;
    product p;
    if (!product_of(io->x[0].dims, io->x[1].dims, &p))
        return;
    const int64_t each = p.m * p.n, stack = each ? dcv_count(&p.y) / each : 0;
    for (int n = 0; n < io->y[0].n; n++)
        for (int64_t i = 0; i < stack; i++)
            multiply(&p, io->x[0].data + n * io->x[0].n_stride + stack_at(&p.y, &p.a, i),
                     io->x[1].data + n * io->x[1].n_stride + stack_at(&p.y, &p.b, i),
                     io->y[0].data + n * io->y[0].n_stride + i * each);
}

/* C += A' B, or A B' where the last is set; A and B as they lie in memory. */
static void multiply_back(const product *p, bool right, const float *gy, const float *other, float *gx)
{
    if (right) /* gx [m,k] += gy [m,n] other' [n,k] */
        for (int64_t i = 0; i < p->m; i++)
            for (int64_t l = 0; l < p->k; l++)
                for (int64_t j = 0; j < p->n; j++)
                    gx[i * p->k + l] += gy[i * p->n + j] * other[l * p->n + j];
    else /* gx [k,n] += other' [k,m] gy [m,n] */
        for (int64_t i = 0; i < p->m; i++)
            for (int64_t l = 0; l < p->k; l++)
                for (int64_t j = 0; j < p->n; j++)
                    gx[l * p->n + j] += other[i * p->k + l] * gy[i * p->n + j];
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    product p;
    if (!product_of(&g->value[nd->in[0]].dims, &g->value[nd->in[1]].dims, &p))
        return;
    const int64_t each = p.m * p.n, stack = each ? dcv_count(&p.y) / each : 0;
    for (int k = 0; k < 2; k++) {
        if (!io->gx[k].data)
            continue;
        memset(io->gx[k].data, 0, (size_t)dcv_count(io->gx[k].dims) * sizeof(float));
        for (int64_t i = 0; i < stack; i++)
            multiply_back(&p, !k, io->gy[0].data + i * each, io->x[!k].data + stack_at(&p.y, k ? &p.a : &p.b, i),
                          io->gx[k].data + stack_at(&p.y, k ? &p.b : &p.a, i));
    }
}

const dcv_op dcv_op_matmul = {.name = "MatMul",
                              .min_in = 2,
                              .max_in = 2,
                              .max_out = 1,
                              .flags = DCV_OP_DENSE,
                              .layout = DCV_LAYOUT_PLAIN,
                              .shape = shape,
                              .carries = dcv_carries_none,
                              .macs = macs,
                              .forward = forward,
                              .back_reads = DCV_BACK_X,
                              .backward = backward};
