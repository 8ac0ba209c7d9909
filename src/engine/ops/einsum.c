/* einsum.c -- ONNX Einsum (12): sums of products by letters, "bij,bjk->bik".
 *
 * Each letter, and each axis of "...", is a *label* with an extent.  All labels are walked over, those of the output
 * outside, the others (summed, in double) inside; an operand that has a label moves by a stride with it, and stands
 * still otherwise.  A letter that an operand has twice walks its diagonal.  The adjoint walks the same way: an operand
 * gets the signal times the product of the others.
 */
#include <string.h>
#include "engine/ops/util.h"

enum { MAX_OPERANDS = 8, LETTERS = 52, MAX_LABELS = LETTERS + DCV_MAX_RANK };

typedef struct einsum_attr {
    char *equation;
    int n, n_out; /* labels; the first n_out are the output's */
    int64_t extent[MAX_LABELS];
    int64_t stride[MAX_OPERANDS + 1][MAX_LABELS]; /* of operands; of the output first */
} einsum_attr;

static const dcv_field fields[] = {{"equation", DCV_FIELD_STRING, DCV_AT(einsum_attr, equation), .required = true,
                                    .help = "letters of each operand, and after -> those of the result"},
                                   DCV_FIELDS_END};

/* ---- the equation ---- */

/* Labels while reading: letters, then axes of "..." counted from the last. */
typedef struct reading {
    const dcv_shape_io *io;
    int64_t extent[MAX_LABELS]; /* -1: not met */
    int times[MAX_LABELS];
    int ellipsis; /* most axes that "..." stands for */
} reading;

static int letter(char c)
{
    return c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= 'A' && c <= 'Z' ? c - 'A' : -1;
}

static dcv_status broken(const reading *r)
{
    return dcv_op_fail(r->io, DCV_EDATA, "equation \"%.200s\" cannot be read; expected letters, \"...\", commas and ->",
                       ((const einsum_attr *)r->io->node->attr)->equation);
}

/* Labels of one term of n characters, for rank axes (-1: as many as it says); how many into *count. */
static dcv_status read_term(const reading *r, const char *term, size_t n, int rank, int label[DCV_MAX_RANK], int *count)
{
    int letters = 0, dots = 0, at = 0;
    for (size_t i = 0; i < n; i++) {
        letters += letter(term[i]) >= 0;
        dots += term[i] == '.';
        if (letter(term[i]) < 0 && term[i] != '.' && term[i] != ' ')
            return broken(r);
    }
    const int hidden = !dots ? 0 : rank >= 0 ? rank - letters : r->ellipsis;
    if ((dots && dots != 3) || hidden < 0 || letters + hidden > DCV_MAX_RANK)
        return broken(r);
    for (size_t i = 0; i < n; i++) {
        if (letter(term[i]) >= 0)
            label[at++] = letter(term[i]);
        if (term[i] != '.')
            continue;
        if (i + 2 >= n || term[i + 1] != '.' || term[i + 2] != '.')
            return broken(r);
        for (int k = 0; k < hidden; k++)
            label[at++] = LETTERS + hidden - 1 - k;
        i += 2;
    }
    *count = at;
    return DCV_OK;
}

static dcv_status read_operand(reading *r, int k, const char *term, size_t n, int label[DCV_MAX_RANK])
{
    const dcv_dims *d = &r->io->x[k]->dims;
    dcv_dims_text t;
    int count;
    DCV_TRY(read_term(r, term, n, d->n, label, &count));
    if (count != d->n)
        return dcv_op_fail(r->io, DCV_EDATA, "input %d is %s; the equation gives it %d axes", k, dcv_dims_print(d, t),
                           count);
    for (int i = 0; i < count; i++) {
        int64_t *e = &r->extent[label[i]];
        const bool first = *e < 0, spread = label[i] >= LETTERS && (*e == 1 || d->d[i] == 1);
        if (!first && *e != d->d[i] && !spread)
            return dcv_op_fail(r->io, DCV_EDATA, "axis %d of input %d, %s, has %lld cells; another has %lld", i, k,
                               dcv_dims_print(d, t), (long long)d->d[i], (long long)*e);
        *e = first || *e == 1 ? d->d[i] : *e;
        r->times[label[i]]++;
        if (label[i] - LETTERS + 1 > r->ellipsis)
            r->ellipsis = label[i] - LETTERS + 1;
    }
    return DCV_OK;
}

/* Without ->: the axes of "...", then the letters that stand once, capitals first. */
static int implied(const reading *r, int label[MAX_LABELS])
{
    int n = 0;
    for (int i = r->ellipsis - 1; i >= 0; i--)
        label[n++] = LETTERS + i;
    for (int i = 0; i < LETTERS; i++)
        if (r->times[i] == 1)
            label[n++] = i;
    return n;
}

static dcv_status read_result(const reading *r, const char *term, int label[MAX_LABELS], int *n)
{
    *n = implied(r, label);
    if (term)
        DCV_TRY(read_term(r, term, strlen(term), -1, label, n));
    if (*n > DCV_MAX_RANK)
        return broken(r);
    for (int i = 0; i < *n; i++) {
        for (int k = 0; k < i; k++)
            if (label[k] == label[i])
                return broken(r);
        if (r->extent[label[i]] < 0)
            return broken(r);
    }
    return DCV_OK;
}

/* Number the labels, the result's first. */
static void number_labels(einsum_attr *a, const reading *r, const int *result, int n_result, int to[MAX_LABELS])
{
    a->n = a->n_out = 0;
    for (int i = 0; i < MAX_LABELS; i++)
        to[i] = -1;
    for (int i = 0; i < n_result; i++)
        to[result[i]] = a->n_out++;
    a->n = a->n_out;
    for (int i = 0; i < MAX_LABELS; i++)
        if (to[i] < 0 && r->extent[i] >= 0)
            to[i] = a->n++;
    for (int i = 0; i < MAX_LABELS; i++)
        if (to[i] >= 0)
            a->extent[to[i]] = r->extent[i];
}

static void set_strides(int64_t *stride, const dcv_dims *d, const int *label, const int *to)
{
    int64_t own[DCV_MAX_RANK];
    dcv_dims_strides(d, own);
    for (int i = 0; i < d->n; i++)
        stride[to[label[i]]] += d->d[i] > 1 ? own[i] : 0;
}

/* Products that a walk over all labels takes. */
static double products(const einsum_attr *a, int n_in)
{
    double n = n_in > 1 ? n_in - 1 : 1;
    for (int i = 0; i < a->n; i++)
        n *= (double)a->extent[i];
    return n;
}

static dcv_status shape(const dcv_shape_io *io)
{
    einsum_attr *a = io->node->attr;
    reading r = {.io = io};
    int label[MAX_OPERANDS][DCV_MAX_RANK] = {{0}}, result[MAX_LABELS] = {0}, n = 0, to[MAX_LABELS];
    const char *term = a->equation, *arrow = strstr(term, "->");
    if (io->n_in > MAX_OPERANDS)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "%d operands; at most %d are supported", io->n_in, (int)MAX_OPERANDS);
    for (int i = 0; i < MAX_LABELS; i++)
        r.extent[i] = -1;
    for (int k = 0; k < io->n_in; k++) {
        const size_t left = arrow ? (size_t)(arrow - term) : strlen(term), length = strcspn(term, ",");
        if (k < io->n_in - 1 ? length >= left : length < left)
            return dcv_op_fail(io, DCV_EDATA, "equation \"%.200s\" for %d inputs", a->equation, io->n_in);
        DCV_TRY(read_operand(&r, k, term, length < left ? length : left, label[k]));
        term += length + 1;
        if (io->x[k]->type != DCV_F32)
            return dcv_op_fail(io, DCV_EUNSUPPORTED, "input %d is of integers", k);
    }
    DCV_TRY(read_result(&r, arrow ? arrow + 2 : NULL, result, &n));
    number_labels(a, &r, result, n, to);
    if (products(a, io->n_in) > DCV_MOST_WORK)
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "the %g products of equation \"%.200s\" are too much work",
                           products(a, io->n_in), a->equation);
    io->y[0].type = DCV_F32;
    io->y[0].dims.n = n;
    for (int i = 0; i < n; i++)
        io->y[0].dims.d[i] = r.extent[result[i]];
    DCV_TRY(dcv_dims_check(&io->y[0].dims));
    memset(a->stride, 0, sizeof a->stride);
    set_strides(a->stride[0], &io->y[0].dims, result, to);
    for (int k = 0; k < io->n_in; k++)
        set_strides(a->stride[k + 1], &io->x[k]->dims, label[k], to);
    return DCV_OK;
}

static int64_t macs(const dcv_graph *g, const dcv_node *nd)
{
    (void)g;
    return nd->n_in > 1 ? (int64_t)products(nd->attr, nd->n_in) : 0;
}

/* ---- walks ---- */

/* Step labels from .. to-1 on, and the offsets of all ends with them; false after the last. */
static bool next(const einsum_attr *a, int from, int to, int ends, int64_t *at, int64_t *offset)
{
    for (int l = to - 1; l >= from; l--) {
        const bool carry = ++at[l] == a->extent[l];
        for (int k = 0; k < ends; k++)
            offset[k] += carry ? -(a->extent[l] - 1) * a->stride[k][l] : a->stride[k][l];
        if (!carry)
            return true;
        at[l] = 0;
    }
    return false;
}

static bool is_empty(const einsum_attr *a)
{
    for (int l = 0; l < a->n; l++)
        if (!a->extent[l])
            return true;
    return false;
}

static void run(const einsum_attr *a, int n_in, const float *const *x, float *y)
{
    int64_t at[MAX_LABELS] = {0}, offset[MAX_OPERANDS + 1] = {0};
    do {
        double sum = 0;
        do {
            double product = 1;
            for (int k = 0; k < n_in; k++)
                product *= (double)x[k][offset[k + 1]];
            sum += product;
        } while (next(a, a->n_out, a->n, n_in + 1, at, offset));
        y[offset[0]] = (float)sum;
    } while (next(a, 0, a->n_out, n_in + 1, at, offset));
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const einsum_attr *a = nd->attr;
    for (int p = 0; p < io->y[0].n; p++) {
        const float *x[MAX_OPERANDS];
        float *y = io->y[0].data + p * io->y[0].n_stride;
        for (int k = 0; k < nd->n_in; k++)
            x[k] = io->x[k].data + p * io->x[k].n_stride;
        if (is_empty(a))
            memset(y, 0, (size_t)dcv_count(io->y[0].dims) * sizeof *y);
        else
            run(a, nd->n_in, x, y);
    }
}

static void run_back(const einsum_attr *a, int n_in, int of, const dcv_blob *x, const float *gy, float *gx)
{
    int64_t at[MAX_LABELS] = {0}, offset[MAX_OPERANDS + 1] = {0};
    do {
        float product = gy[offset[0]];
        for (int k = 0; k < n_in; k++)
            if (k != of)
                product *= x[k].data[offset[k + 1]];
        gx[offset[of + 1]] += product;
    } while (next(a, 0, a->n, n_in + 1, at, offset));
}

static void backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    for (int k = 0; k < nd->n_in; k++) {
        if (!io->gx[k].data)
            continue;
        memset(io->gx[k].data, 0, (size_t)dcv_count(io->gx[k].dims) * sizeof(float));
        if (!is_empty(nd->attr))
            run_back(nd->attr, nd->n_in, k, io->x, io->gy[0].data, io->gx[k].data);
    }
}

const dcv_op dcv_op_einsum = {.name = "Einsum",
                              .min_in = 1,
                              .max_in = MAX_OPERANDS,
                              .max_out = 1,
                              .attr_size = sizeof(einsum_attr),
                              .fields = fields,
                              .layout = DCV_LAYOUT_PLAIN,
                              .shape = shape,
                              .carries = dcv_carries_none,
                              .macs = macs,
                              .forward = forward,
                              .back_reads = DCV_BACK_X,
                              .backward = backward};
