/* gemm.c -- ONNX Gemm (7, 9, 11, 13): y = alpha A' B' + beta C.
 *
 * Walks run it through BLAS; forward here is the plain definition with double sums.
 */
#include <string.h>
#include "engine/ops/gemm.h"

static const dcv_field fields[] = {
    {"alpha", DCV_FIELD_REAL, DCV_AT(dcv_gemm_attr, alpha), .dflt = "1.0", .help = "factor of the product"},
    {"beta", DCV_FIELD_REAL, DCV_AT(dcv_gemm_attr, beta), .dflt = "1.0", .help = "factor of C"},
    {"transA", DCV_FIELD_INT, DCV_AT(dcv_gemm_attr, trans_a), .dflt = "0", .min = 0, .max = 1, .help = "A is [K,M]"},
    {"transB", DCV_FIELD_INT, DCV_AT(dcv_gemm_attr, trans_b), .dflt = "0", .min = 0, .max = 1, .help = "B is [N,K]"},
    DCV_FIELDS_END};

/* Does C broadcast to [m,n]? */
static bool spreads(const dcv_dims *c, int64_t m, int64_t n)
{
    if (c->n > 2)
        return false;
    const int64_t cn = c->n > 0 ? c->d[c->n - 1] : 1, cm = c->n > 1 ? c->d[0] : 1;
    return (cn == 1 || cn == n) && (cm == 1 || cm == m);
}

static dcv_status shape(const dcv_shape_io *io)
{
    const dcv_gemm_attr *at = io->node->attr;
    const dcv_dims *a = &io->x[0]->dims, *b = &io->x[1]->dims;
    dcv_dims_text ta, tb;
    if (a->n != 2 || b->n != 2 || a->d[!at->trans_a] != b->d[at->trans_b != 0])
        return dcv_op_fail(io, DCV_EDATA, "%s%s does not fit %s%s", dcv_dims_print(a, ta),
                           at->trans_a ? " transposed" : "", dcv_dims_print(b, tb), at->trans_b ? " transposed" : "");
    const int64_t m = a->d[at->trans_a != 0], n = b->d[!at->trans_b];
    if (dcv_op_has(io, 2) && !spreads(&io->x[2]->dims, m, n))
        return dcv_op_fail(io, DCV_EDATA, "C of shape %s does not fit the product %lldx%lld",
                           dcv_dims_print(&io->x[2]->dims, ta), (long long)m, (long long)n);
    io->y[0].type = DCV_F32;
    io->y[0].dims = (dcv_dims){2, {m, n}};
    return DCV_OK;
}

static int64_t macs(const dcv_graph *g, const dcv_node *nd)
{
    const dcv_gemm_attr *at = nd->attr;
    return dcv_count(&g->value[nd->out[0]].dims) * g->value[nd->in[0]].dims.d[!at->trans_a];
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const dcv_gemm_attr *at = nd->attr;
    const dcv_dims *da = io->x[0].dims, *db = io->x[1].dims;
    const int64_t m = io->y[0].dims->d[0], n = io->y[0].dims->d[1], k = da->d[!at->trans_a];
    const int64_t a_row = at->trans_a ? 1 : da->d[1], a_col = at->trans_a ? da->d[1] : 1;
    const int64_t b_row = at->trans_b ? 1 : db->d[1], b_col = at->trans_b ? db->d[1] : 1;
    const dcv_blob *c = nd->n_in > 2 && io->x[2].data ? &io->x[2] : NULL;
    const int64_t c_col = c && c->dims->n > 0 && c->dims->d[c->dims->n - 1] > 1;
    const int64_t c_row = c && c->dims->n > 1 && c->dims->d[0] > 1 ? c->dims->d[1] : 0;
    for (int p = 0; p < io->y[0].n; p++) {
        const float *a = io->x[0].data + p * io->x[0].n_stride, *b = io->x[1].data + p * io->x[1].n_stride;
        float *y = io->y[0].data + p * io->y[0].n_stride;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t l = 0; l < k; l++)
                    sum += (double)a[i * a_row + l * a_col] * b[l * b_row + j * b_col];
                sum *= at->alpha;
                if (c)
                    sum += at->beta * c->data[p * c->n_stride + i * c_row + j * c_col];
                y[i * n + j] = (float)sum;
            }
    }
}

static void clear(dcv_blob *x)
{
    if (x->data)
        memset(x->data, 0, (size_t)dcv_count(x->dims) * sizeof *x->data);
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    const dcv_gemm_attr *at = nd->attr;
    const dcv_dims *da = &g->value[nd->in[0]].dims, *db = &g->value[nd->in[1]].dims;
    const int64_t m = io->gy[0].dims->d[0], n = io->gy[0].dims->d[1], k = da->d[!at->trans_a];
    const int64_t a_row = at->trans_a ? 1 : da->d[1], a_col = at->trans_a ? da->d[1] : 1;
    const int64_t b_row = at->trans_b ? 1 : db->d[1], b_col = at->trans_b ? db->d[1] : 1;
    const float alpha = (float)at->alpha, beta = (float)at->beta, *gy = io->gy[0].data;
    dcv_blob *c = nd->n_in > 2 && io->gx[2].data ? &io->gx[2] : NULL;
    const int64_t c_col = c && c->dims->n > 0 && c->dims->d[c->dims->n - 1] > 1;
    const int64_t c_row = c && c->dims->n > 1 && c->dims->d[0] > 1 ? c->dims->d[1] : 0;
    for (int i = 0; i < nd->n_in; i++)
        clear(&io->gx[i]);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            for (int64_t l = 0; io->gx[0].data && l < k; l++)
                io->gx[0].data[i * a_row + l * a_col] += alpha * gy[i * n + j] * io->x[1].data[l * b_row + j * b_col];
            for (int64_t l = 0; io->gx[1].data && l < k; l++)
                io->gx[1].data[l * b_row + j * b_col] += alpha * gy[i * n + j] * io->x[0].data[i * a_row + l * a_col];
            if (c)
                c->data[i * c_row + j * c_col] += beta * gy[i * n + j];
        }
}

const dcv_op dcv_op_gemm = {.name = "Gemm",
                            .min_in = 2,
                            .max_in = 3,
                            .max_out = 1,
                            .attr_size = sizeof(dcv_gemm_attr),
                            .fields = fields,
                            .ignored = "broadcast",
                            .flags = DCV_OP_DENSE,
                            .layout = DCV_LAYOUT_PLAIN,
                            .shape = shape,
                            .carries = dcv_carries_none,
                            .macs = macs,
                            .forward = forward,
                            .back_reads = DCV_BACK_X,
                            .backward = backward};
