/* binary.c -- ONNX Add, Sub, Mul, Div (7, 13, 14), Equal, Greater, Less (7, 9, 11, 13, 19), GreaterOrEqual, LessOrEqual
 * (12, 16), And, Or, Xor (7), numpy broadcasting.  What further operators of two values need is in binary.h.
 *
 * Fast where both values have the same shape, or one is a single number or one number per channel (constants, and the
 * gates of squeeze-and-excitation); any other pair walks rows by offsets.  Integers reach these only in
 * shape arithmetic, where Div truncates.
 */
#include <math.h>
#include <string.h>
#include "engine/ops/binary.h"

/* The sign of b, also where the result is 0 (as numpy.mod). */
static float modulo(float a, float b)
{
    const float r = fmodf(a, b);
    if (r == 0)
        return copysignf(0, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

DCV_INLINE float apply(dcv_binary kind, float a, float b)
{
    switch (kind) {
    case DCV_ADD:
        return a + b;
    case DCV_SUB:
        return a - b;
    case DCV_MUL:
        return a * b;
    case DCV_DIV:
        return a / b;
    case DCV_POW:
        return powf(a, b);
    case DCV_FMOD:
        return fmodf(a, b);
    case DCV_MOD:
        return modulo(a, b);
    case DCV_MIN:
        return a < b || isnan(a) ? a : b;
    case DCV_MAX:
        return a > b || isnan(a) ? a : b;
    case DCV_PRELU:
        return a < 0 ? a * b : a;
    case DCV_EQUAL:
        return a == b;
    case DCV_GREATER:
        return a > b;
    case DCV_GREATER_EQUAL:
        return a >= b;
    case DCV_LESS:
        return a < b;
    case DCV_LESS_EQUAL:
        return a <= b;
    case DCV_AND:
        return a != 0 && b != 0;
    case DCV_OR:
        return a != 0 || b != 0;
    case DCV_XOR:
        return (a != 0) != (b != 0);
    }
    return 0;
}

/* A kernel of its own for the kinds that pictures meet often, one (which is compiled once, not for each instruction
 * set) for all others. */
#define SPECIALISE(kind, call, rare)                                                                                   \
    switch (kind) {                                                                                                    \
    case DCV_ADD:                                                                                                      \
        call(DCV_ADD);                                                                                                 \
        break;                                                                                                         \
    case DCV_SUB:                                                                                                      \
        call(DCV_SUB);                                                                                                 \
        break;                                                                                                         \
    case DCV_MUL:                                                                                                      \
        call(DCV_MUL);                                                                                                 \
        break;                                                                                                         \
    case DCV_DIV:                                                                                                      \
        call(DCV_DIV);                                                                                                 \
        break;                                                                                                         \
    case DCV_MIN:                                                                                                      \
        call(DCV_MIN);                                                                                                 \
        break;                                                                                                         \
    case DCV_MAX:                                                                                                      \
        call(DCV_MAX);                                                                                                 \
        break;                                                                                                         \
    case DCV_PRELU:                                                                                                    \
        call(DCV_PRELU);                                                                                               \
        break;                                                                                                         \
    default:                                                                                                           \
        rare;                                                                                                          \
    }

/* n numbers with steps 0 or more in each operand. */
DCV_INLINE void row(dcv_binary kind, int64_t n, const float *a, int64_t sa, const float *b, int64_t sb, float *y,
                    int64_t sy)
{
    if (sa == 1 && sb == 1 && sy == 1) {
        DCV_INDEPENDENT
        for (int64_t i = 0; i < n; i++)
            y[i] = apply(kind, a[i], b[i]);
    } else if (sa == 1 && sb == 0 && sy == 1) {
        const float c = *b;
        DCV_INDEPENDENT
        for (int64_t i = 0; i < n; i++)
            y[i] = apply(kind, a[i], c);
    } else if (sa == 0 && sb == 1 && sy == 1) {
        const float c = *a;
        DCV_INDEPENDENT
        for (int64_t i = 0; i < n; i++)
            y[i] = apply(kind, c, b[i]);
    } else {
        for (int64_t i = 0; i < n; i++)
            y[i * sy] = apply(kind, a[i * sa], b[i * sb]);
    }
}

/* Out of line: the compiler would make a loop for each kind. */
__attribute__((noinline)) static void row_rare(dcv_binary kind, int64_t n, const float *a, int64_t sa, const float *b,
                                               int64_t sb, float *y, int64_t sy)
{
    for (int64_t i = 0; i < n; i++)
        y[i * sy] = apply(kind, a[i * sa], b[i * sb]);
}

DCV_CLONES static void row_any(dcv_binary kind, int64_t n, const float *a, int64_t sa, const float *b, int64_t sb,
                               float *y, int64_t sy)
{
    if (kind == DCV_POW && sb == 0 && *b == 2) { /* variances spelt out */
        row(DCV_MUL, n, a, sa, a, sa, y, sy);
        return;
    }
#define ROW(k) row(k, n, a, sa, b, sb, y, sy)
    SPECIALISE(kind, ROW, row_rare(kind, n, a, sa, b, sb, y, sy))
#undef ROW
}

/* One block of lanes, one operand the same in every cell. */
DCV_INLINE void lanes(dcv_binary kind, int64_t cells, const float *a, const float *b, bool swap, int width, float *y)
{
    float c[DCV_BLOCK_MAX];
    for (int l = 0; l < width; l++)
        c[l] = b[l];
    DCV_INDEPENDENT
    for (int64_t i = 0; i < cells; i++)
        for (int l = 0; l < width; l++)
            y[i * width + l] = swap ? apply(kind, c[l], a[i * width + l]) : apply(kind, a[i * width + l], c[l]);
}

DCV_INLINE void lanes_kind(dcv_binary kind, int64_t cells, const float *a, const float *b, bool swap, int width,
                           float *y)
{
    if (width == 16 && !swap)
        lanes(kind, cells, a, b, false, 16, y);
    else if (width == 16)
        lanes(kind, cells, a, b, true, 16, y);
    else
        lanes(kind, cells, a, b, swap, 8, y);
}

__attribute__((noinline)) static void lanes_rare(dcv_binary kind, int64_t cells, const float *a, const float *b,
                                                 bool swap, int width, float *y)
{
    for (int64_t i = 0; i < cells * width; i++)
        y[i] = swap ? apply(kind, b[i % width], a[i]) : apply(kind, a[i], b[i % width]);
}

DCV_CLONES static void lanes_any(dcv_binary kind, int64_t cells, const float *a, const float *b, bool swap, int width,
                                 float *y)
{
#define LANES(k) lanes_kind(k, cells, a, b, swap, width, y)
    SPECIALISE(kind, LANES, lanes_rare(kind, cells, a, b, swap, width, y))
#undef LANES
}

bool dcv_broadcast(const dcv_dims *a, const dcv_dims *b, dcv_dims *y)
{
    const dcv_dims *wide = a->n >= b->n ? a : b, *thin = a->n >= b->n ? b : a;
    const int shift = wide->n - thin->n;
    dcv_dims r = *wide;
    for (int i = 0; i < thin->n; i++) {
        if (r.d[shift + i] != thin->d[i] && r.d[shift + i] != 1 && thin->d[i] != 1)
            return false;
        if (r.d[shift + i] == 1)
            r.d[shift + i] = thin->d[i];
    }
    *y = r;
    return true;
}

dcv_walker dcv_walker_of(const dcv_dims *y, const dcv_dims *x, int block)
{
    dcv_walker w = {.y = *y, .chan = -1, .block = x->n >= 3 ? block : 1};
    const int shift = y->n - x->n;
    int64_t stride = w.block;
    for (int i = x->n - 1; i >= 0; i--) {
        w.stride[shift + i] = x->d[i] == 1 ? 0 : stride;
        if (i == 1 && w.block > 1) {
            w.chan = x->d[1] == 1 ? -1 : shift + 1;
            w.chan_stride = stride;
        }
        stride *= x->d[i];
    }
    return w;
}

int64_t dcv_walker_at(const dcv_walker *w, const int64_t at[DCV_MAX_RANK])
{
    int64_t o = 0;
    for (int i = 0; i < w->y.n; i++)
        o += i == w->chan ? at[i] / w->block * w->chan_stride + at[i] % w->block : at[i] * w->stride[i];
    return o;
}

bool dcv_next_row(const dcv_dims *y, int64_t at[DCV_MAX_RANK])
{
    for (int i = y->n - 2; i >= 0; i--) {
        if (++at[i] < y->d[i])
            return true;
        at[i] = 0;
    }
    return false;
}

/* Any pair. */
static void walk(dcv_binary kind, const dcv_blob *a, const dcv_blob *b, dcv_blob *y, int p)
{
    const dcv_dims d = y->dims->n ? *y->dims : (dcv_dims){1, {1}};
    const dcv_walker wa = dcv_walker_of(&d, a->dims, a->block), wb = dcv_walker_of(&d, b->dims, b->block),
                     wy = dcv_walker_of(&d, y->dims, y->block);
    const int last = d.n - 1;
    int64_t at[DCV_MAX_RANK] = {0};
    if (!dcv_count(&d))
        return;
    do
        row_any(kind, d.d[last], a->data + p * a->n_stride + dcv_walker_at(&wa, at), wa.stride[last],
                b->data + p * b->n_stride + dcv_walker_at(&wb, at), wb.stride[last],
                y->data + p * y->n_stride + dcv_walker_at(&wy, at), d.d[last] == 1 ? 1 : wy.stride[last]);
    while (dcv_next_row(&d, at));
}

static bool same_layout(const dcv_blob *a, const dcv_blob *y)
{
    return dcv_dims_equal(a->dims, y->dims) && (a->block == y->block || y->dims->n < 3);
}

/* One number for each channel of y, contiguous in memory? */
static bool per_channel(const dcv_blob *b, const dcv_dims *y)
{
    const int chan = 1 - (y->n - b->dims->n); /* the axis of b that is y's channel axis */
    return y->n >= 3 && chan >= 0 && b->dims->d[chan] == y->d[1] && dcv_count(b->dims) == y->d[1] &&
           (b->block == 1 || chan == 1);
}

/* a has y's shape and layout, b a number per channel. */
static void channels(dcv_binary kind, const dcv_blob *a, const dcv_blob *b, bool swap, dcv_blob *y)
{
    const dcv_blob_shape s = dcv_blob_shape_of(y->dims, y->block);
    for (int64_t q = 0; q < dcv_blob_outer(y); q++) {
        const float *from = dcv_blob_slice(a, q), *gate = b->data + q / y->dims->d[0] * b->n_stride;
        float *to = dcv_blob_slice(y, q);
        for (int64_t k = 0; k < s.blocks; k++, from += s.cells * y->block, to += s.cells * y->block) {
            float c[DCV_BLOCK_MAX] = {0};
            const int64_t left = s.c - k * y->block, n = left < y->block ? left : y->block;
            memcpy(c, gate + k * y->block, (size_t)n * sizeof *c);
            if (y->block > 1)
                lanes_any(kind, s.cells, from, c, swap, y->block, to);
            else if (swap)
                row_any(kind, s.cells, c, 0, from, 1, to, 1);
            else
                row_any(kind, s.cells, from, 1, c, 0, to, 1);
        }
    }
}

void dcv_binary_run(dcv_binary kind, const dcv_blob *a, const dcv_blob *b, dcv_blob *y)
{
    const bool fa = same_layout(a, y), fb = same_layout(b, y);
    const bool one_a = dcv_count(a->dims) == 1, one_b = dcv_count(b->dims) == 1;
    if ((fa || one_a) && (fb || one_b) && (fa || fb)) {
        const int64_t n = dcv_blob_shape_of(y->dims, y->block).floats;
        for (int p = 0; p < y->n; p++)
            row_any(kind, n, a->data + p * a->n_stride, fa, b->data + p * b->n_stride, fb, y->data + p * y->n_stride,
                    1);
    } else if (fa && per_channel(b, y->dims)) {
        channels(kind, a, b, false, y);
    } else if (fb && per_channel(a, y->dims)) {
        channels(kind, b, a, true, y);
    } else {
        for (int p = 0; p < y->n; p++)
            walk(kind, a, b, y, p);
    }
    dcv_blob_clear_tail(y);
}

dcv_status dcv_binary_shape(const dcv_shape_io *io)
{
    const dcv_value *a = io->x[0], *b = io->x[1];
    dcv_dims_text ta, tb;
    if (!dcv_broadcast(&a->dims, &b->dims, &io->y[0].dims))
        return dcv_op_fail(io, DCV_EDATA, "%s and %s do not broadcast", dcv_dims_print(&a->dims, ta),
                           dcv_dims_print(&b->dims, tb));
    if (a->type != b->type && (a->constant || b->constant))
        return dcv_op_fail(io, DCV_EDATA, "\"%s\" and \"%s\" are of different types", a->name, b->name);
    io->y[0].type = a->type;
    return DCV_OK;
}

static dcv_status compare_shape(const dcv_shape_io *io)
{
    DCV_TRY(dcv_binary_shape(io));
    io->y[0].type = DCV_I64;
    return DCV_OK;
}

static int64_t power(int64_t a, int64_t b)
{
    uint64_t y = 1, factor = (uint64_t)a;
    for (; b > 0; b >>= 1, factor *= factor)
        y *= b & 1 ? factor : 1;
    return b < 0 ? 0 : (int64_t)y;
}

/* Wraps as two's complement does; x / 0 and the least integer / -1 are 0. */
static int64_t apply_int(dcv_binary kind, int64_t a, int64_t b)
{
    const bool divides = b != 0 && !(b == -1 && a == INT64_MIN);
    const int64_t rest = divides ? a % b : 0;
    switch (kind) {
    case DCV_ADD:
        return (int64_t)((uint64_t)a + (uint64_t)b);
    case DCV_SUB:
        return (int64_t)((uint64_t)a - (uint64_t)b);
    case DCV_MUL:
        return (int64_t)((uint64_t)a * (uint64_t)b);
    case DCV_DIV:
        return divides ? a / b : 0;
    case DCV_POW:
        return power(a, b);
    case DCV_FMOD:
        return rest;
    case DCV_MOD:
        return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    case DCV_MIN:
        return a < b ? a : b;
    case DCV_MAX:
        return a > b ? a : b;
    case DCV_PRELU:
        return a < 0 ? (int64_t)((uint64_t)a * (uint64_t)b) : a;
    case DCV_EQUAL:
        return a == b;
    case DCV_GREATER:
        return a > b;
    case DCV_GREATER_EQUAL:
        return a >= b;
    case DCV_LESS:
        return a < b;
    case DCV_LESS_EQUAL:
        return a <= b;
    case DCV_AND:
        return a && b;
    case DCV_OR:
        return a || b;
    case DCV_XOR:
        return !a != !b;
    }
    return 0;
}

static void fold_ints(dcv_binary kind, const dcv_fold_io *io)
{
    const dcv_dims d = io->y[0].dims.n ? io->y[0].dims : (dcv_dims){1, {1}};
    const dcv_walker wa = dcv_walker_of(&d, &io->x[0]->dims, 1), wb = dcv_walker_of(&d, &io->x[1]->dims, 1);
    const int64_t *a = io->x[0]->constant, *b = io->x[1]->constant;
    int64_t *y = io->to[0], at[DCV_MAX_RANK] = {0};
    const int last = d.n - 1;
    if (!dcv_count(&d))
        return;
    do {
        const int64_t oa = dcv_walker_at(&wa, at), ob = dcv_walker_at(&wb, at);
        for (int64_t i = 0; i < d.d[last]; i++)
            *y++ = apply_int(kind, a[oa + i * wa.stride[last]], b[ob + i * wb.stride[last]]);
    } while (dcv_next_row(&d, at));
}

static void fold_floats(dcv_binary kind, const dcv_fold_io *io, float *to)
{
    const dcv_blob a = {(float *)io->x[0]->constant, &io->x[0]->dims, 1, 1, 0};
    const dcv_blob b = {(float *)io->x[1]->constant, &io->x[1]->dims, 1, 1, 0};
    dcv_blob y = {to, &io->y[0].dims, 1, 1, 0};
    dcv_binary_run(kind, &a, &b, &y);
}

/* Floats are compared into integers. */
static dcv_status fold_comparison(dcv_binary kind, const dcv_fold_io *io)
{
    const int64_t n = dcv_count(&io->y[0].dims);
    float *y = dcv_alloc((size_t)n, sizeof *y);
    if (!y)
        return DCV_ENOMEM;
    fold_floats(kind, io, y);
    for (int64_t i = 0; i < n; i++)
        ((int64_t *)io->to[0])[i] = y[i] != 0;
    dcv_free(y);
    return DCV_OK;
}

dcv_status dcv_binary_fold(dcv_binary kind, const dcv_fold_io *io)
{
    if (io->x[0]->type != DCV_F32)
        fold_ints(kind, io);
    else if (io->y[0].type == DCV_F32)
        fold_floats(kind, io, io->to[0]);
    else
        return fold_comparison(kind, io);
    return DCV_OK;
}

/* The functions that an operator's table wants have no room for the kind: one of each for each. */
#define FUNCTIONS(symbol, kind)                                                                                        \
    static dcv_status symbol##_fold(const dcv_fold_io *io)                                                             \
    {                                                                                                                  \
        return dcv_binary_fold(kind, io);                                                                              \
    }                                                                                                                  \
    static void symbol##_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)                             \
    {                                                                                                                  \
        (void)g, (void)nd;                                                                                             \
        dcv_binary_run(kind, &io->x[0], &io->x[1], &io->y[0]);                                                         \
    }

FUNCTIONS(add, DCV_ADD)
FUNCTIONS(sub, DCV_SUB)
FUNCTIONS(mul, DCV_MUL)
FUNCTIONS(equal, DCV_EQUAL)
FUNCTIONS(greater, DCV_GREATER)
FUNCTIONS(greater_equal, DCV_GREATER_EQUAL)
FUNCTIONS(less, DCV_LESS)
FUNCTIONS(less_equal, DCV_LESS_EQUAL)
FUNCTIONS(and, DCV_AND)
FUNCTIONS(or, DCV_OR)
FUNCTIONS(xor, DCV_XOR)

static dcv_status div_fold(const dcv_fold_io *io)
{
    return dcv_binary_fold(DCV_DIV, io);
}

/* Quotients of integers, which are floats in a walk. */
static void truncate(dcv_blob *y)
{
    const int64_t n = dcv_blob_shape_of(y->dims, y->block).floats;
    for (int p = 0; p < y->n; p++)
        for (int64_t i = 0; i < n; i++)
            y->data[p * y->n_stride + i] = truncf(y->data[p * y->n_stride + i]);
}

static void div_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    dcv_binary_run(DCV_DIV, &io->x[0], &io->x[1], &io->y[0]);
    if (g->value[nd->out[0]].type == DCV_I64)
        truncate(&io->y[0]);
}

/* ---- the way back ---- */

DCV_INLINE float pulled(dcv_pull kind, float gy, float a, float b)
{
    switch (kind) {
    case DCV_PULL_ADD:
        return gy;
    case DCV_PULL_SUB:
        return -gy;
    case DCV_PULL_MUL:
        return gy * a;
    case DCV_PULL_DIV:
        return gy / a;
    case DCV_PULL_DIVISOR:
        return -gy * (b / a) / a;
    case DCV_PULL_BASE:
        return b == 0 ? 0 : gy * b * powf(a, b - 1);
    case DCV_PULL_EXPONENT:
        return a == 0 && b >= 0 ? 0 : gy * powf(a, b) * logf(a);
    }
    return 0;
}

/* ---- products of maps and of gates, which have one number a channel ---- */

static bool is_gate(const dcv_dims *x, const dcv_dims *map)
{
    int64_t beyond = 1;
    for (int i = 2; i < x->n; i++)
        beyond *= x->d[i];
    return x->n == map->n && x->n > 2 && x->d[0] == 1 && x->d[1] == map->d[1] && beyond == 1;
}

/* Maps in one layout, of which a or gx may be gates instead. */
static bool goes_by_channels(const dcv_blob *gy, const dcv_blob *a, const dcv_blob *gx)
{
    if (gy->block != a->block || gy->block != gx->block || gy->dims->n < 3 || gy->dims->d[0] != 1)
        return false;
    return (dcv_dims_equal(a->dims, gy->dims) || is_gate(a->dims, gy->dims)) &&
           (dcv_dims_equal(gx->dims, gy->dims) || is_gate(gx->dims, gy->dims));
}

/* A row of n cells of one block: gx = gy a, or gx += their sum over the row. */
DCV_INLINE void row_back(int64_t n, int block, bool a_gate, bool x_gate, const float *gy, const float *a,
                         float *restrict gx)
{
    double sum[16] = {0};
    for (int64_t i = 0; i < n; i++, gy += block, a += a_gate ? 0 : block)
        for (int l = 0; l < block; l++) {
            const float v = gy[l] * a[l];
            if (x_gate)
                sum[l] += v;
            else
                gx[i * block + l] = v;
        }
    for (int l = 0; x_gate && l < block; l++)
        gx[l] += (float)sum[l];
}

DCV_INLINE void rows_back(const dcv_blob *gy, const dcv_blob *a, dcv_blob *gx, int block)
{
    const dcv_dims *d = gy->dims;
    const bool a_gate = !dcv_dims_equal(a->dims, d), x_gate = !dcv_dims_equal(gx->dims, d);
    const int64_t n = d->d[d->n - 1], rows = n ? dcv_blob_shape_of(d, block).floats / (n * block) : 0;
    const int64_t each = n && d->d[1] ? dcv_count(d) / (n * d->d[1]) : 1; /* rows of a channel */
    for (int64_t r = 0; r < rows; r++) {
        const float *g = gy->data + r * n * block, *pa = a->data + (a_gate ? r / each : r * n) * block;
        float *x = gx->data + (x_gate ? r / each : r * n) * block;
        if (x_gate)
            row_back(n, block, false, true, g, pa, x);
        else if (a_gate)
            row_back(n, block, true, false, g, pa, x);
        else
            row_back(n, block, false, false, g, pa, x);
    }
}

DCV_CLONES static void channels_back(const dcv_blob *gy, const dcv_blob *a, dcv_blob *gx)
{
    if (!dcv_dims_equal(gx->dims, gy->dims))
        memset(gx->data, 0, (size_t)dcv_blob_shape_of(gx->dims, gx->block).floats * sizeof(float));
    switch (gy->block) { /* lengths that are known make vectors */
    case 8:
        rows_back(gy, a, gx, 8);
        break;
    case 16:
        rows_back(gy, a, gx, 16);
        break;
    default:
        rows_back(gy, a, gx, 1);
    }
}

void dcv_binary_back(dcv_pull kind, const dcv_blob *gy, const dcv_blob *a, const dcv_blob *b, dcv_blob *gx)
{
    const dcv_dims d = gy->dims->n ? *gy->dims : (dcv_dims){1, {1}};
    const bool same = dcv_dims_equal(gx->dims, gy->dims);
    if (same && kind == DCV_PULL_ADD) {
        if (gx->data != gy->data)
            memcpy(gx->data, gy->data, (size_t)dcv_blob_shape_of(gy->dims, gy->block).floats * sizeof(float));
        return;
    }
    if (kind == DCV_PULL_MUL && goes_by_channels(gy, a, gx)) {
        channels_back(gy, a, gx);
        return;
    }
    const dcv_walker wx = dcv_walker_of(&d, gx->dims, gx->block), wy = dcv_walker_of(&d, gy->dims, gy->block);
    const dcv_walker wa = dcv_walker_of(&d, a ? a->dims : gy->dims, a ? a->block : gy->block),
                     wb = dcv_walker_of(&d, b ? b->dims : gy->dims, b ? b->block : gy->block);
    const int last = d.n - 1;
    int64_t at[DCV_MAX_RANK] = {0};
    memset(gx->data, 0, (size_t)dcv_blob_shape_of(gx->dims, gx->block).floats * sizeof(float));
    if (!dcv_count(&d))
        return;
    do {
        const float *g = gy->data + dcv_walker_at(&wy, at), *pa = a ? a->data + dcv_walker_at(&wa, at) : NULL,
                    *pb = b ? b->data + dcv_walker_at(&wb, at) : NULL;
        float *x = gx->data + dcv_walker_at(&wx, at);
        double sum = 0;
        for (int64_t i = 0; i < d.d[last]; i++) {
            const float v = pulled(kind, g[i * wy.stride[last]], pa ? pa[i * wa.stride[last]] : 0,
                                   pb ? pb[i * wb.stride[last]] : 0);
            if (wx.stride[last])
                x[i * wx.stride[last]] += v;
            else
                sum += v;
        }
        if (!wx.stride[last])
            *x += (float)sum;
    } while (dcv_next_row(&d, at));
}

static void add_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    for (int k = 0; k < 2; k++)
        if (io->gx[k].data)
            dcv_binary_back(DCV_PULL_ADD, &io->gy[0], NULL, NULL, &io->gx[k]);
}

static void sub_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    for (int k = 0; k < 2; k++)
        if (io->gx[k].data)
            dcv_binary_back(k ? DCV_PULL_SUB : DCV_PULL_ADD, &io->gy[0], NULL, NULL, &io->gx[k]);
}

static void mul_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    for (int k = 0; k < 2; k++)
        if (io->gx[k].data)
            dcv_binary_back(DCV_PULL_MUL, &io->gy[0], &io->x[!k], NULL, &io->gx[k]);
}

static void div_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    for (int k = 0; k < 2; k++)
        if (io->gx[k].data)
            dcv_binary_back(k ? DCV_PULL_DIVISOR : DCV_PULL_DIV, &io->gy[0], &io->x[1], &io->x[0], &io->gx[k]);
}

#define COMMON .min_in = 2, .max_in = 2, .max_out = 1, .flags = DCV_OP_ELEMENTWISE, .layout = DCV_LAYOUT_SAME

const dcv_op dcv_op_add = {.name = "Add",
                           COMMON,
                           .shape = dcv_binary_shape,
                           .fold = add_fold,
                           .forward = add_forward,
                           .back_layout = DCV_LAYOUT_SAME,
                           .backward = add_backward};
const dcv_op dcv_op_sub = {.name = "Sub",
                           COMMON,
                           .shape = dcv_binary_shape,
                           .fold = sub_fold,
                           .forward = sub_forward,
                           .back_layout = DCV_LAYOUT_SAME,
                           .backward = sub_backward};
const dcv_op dcv_op_mul = {.name = "Mul",
                           COMMON,
                           .shape = dcv_binary_shape,
                           .fold = mul_fold,
                           .forward = mul_forward,
                           .back_reads = DCV_BACK_X,
                           .back_layout = DCV_LAYOUT_SAME,
                           .backward = mul_backward};
const dcv_op dcv_op_div = {.name = "Div",
                           COMMON,
                           .shape = dcv_binary_shape,
                           .fold = div_fold,
                           .forward = div_forward,
                           .back_reads = DCV_BACK_X,
                           .back_layout = DCV_LAYOUT_SAME,
                           .backward = div_backward};

#define COMPARISON(symbol, onnx)                                                                                       \
    {                                                                                                                  \
        .name = onnx, COMMON, .shape = compare_shape, .fold = symbol##_fold, .forward = symbol##_forward               \
    }
const dcv_op dcv_op_equal = COMPARISON(equal, "Equal");
const dcv_op dcv_op_greater = COMPARISON(greater, "Greater");
const dcv_op dcv_op_greaterorequal = COMPARISON(greater_equal, "GreaterOrEqual");
const dcv_op dcv_op_less = COMPARISON(less, "Less");
const dcv_op dcv_op_lessorequal = COMPARISON(less_equal, "LessOrEqual");
const dcv_op dcv_op_and = COMPARISON(and, "And");
const dcv_op dcv_op_or = COMPARISON(or, "Or");
const dcv_op dcv_op_xor = COMPARISON(xor, "Xor");
