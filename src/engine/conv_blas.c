/* conv_blas.c -- convolution as matrix products: im2col + sgemm, plain layout; OpenBLAS lives here only.
 *
 * A 1x1 convolution is a product as it stands; a depthwise one is summed directly.  Others gather the windows
 * of some output rows at a time, so that the gathered matrix stays in the cache.  */
#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/act.h"
#include "engine/conv.h"
#include "engine/vector.h"

enum { GATHER_FLOATS = 1 << 19 }; /* most floats of windows gathered at once, where one row allows it */

typedef enum kind { POINTWISE, DEPTHWISE, GATHERED } kind;

struct dcv_conv {
    dcv_conv_desc d; /* three spatial axes, the first ones 1 where there are fewer */
    kind kind;
    int64_t taps;             /* kernel cells */
    int64_t icg, ocg;         /* channels of a group */
    int64_t x_cells, y_cells; /* of one channel */
    int64_t rows, cols;       /* output rows (depth x rows) and columns */
    int64_t tile;             /* output rows gathered at once */
};

struct dcv_conv_call {
    const dcv_conv *c;
};

static const char *numerics(void)
{
    static char text[128];
    char version[64] = "?";
    sscanf(openblas_get_config(), "OpenBLAS %63s", version);
    snprintf(text, sizeof text, "blas %s %s", version, openblas_get_corename());
    return text;
}

/* OpenBLAS chooses its kernels as it is loaded, but chooses again if asked; a build for one machine has no choice. */
__attribute__((weak)) extern void gotoblas_dynamic_init(void);
__attribute__((weak)) extern void gotoblas_dynamic_quit(void);

static dcv_status limit(int set)
{
    static const char *const core[] = {"Nehalem", "Haswell", "SkylakeX"};
    if (!gotoblas_dynamic_init || !gotoblas_dynamic_quit || setenv("OPENBLAS_CORETYPE", core[set], 1))
        return dcv_fail(DCV_EUNSUPPORTED, "this OpenBLAS cannot be told to use kernels for %s", core[set]);
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    return DCV_OK;
}

static void one_thread(void)
{
    openblas_set_num_threads(1);
}

static int block(void)
{
    return 1;
}

static int own(void)
{
    return 0;
}

static void layout(const dcv_conv_desc *d, int *x_block, int *y_block)
{
    (void)d;
    *x_block = *y_block = 1;
}

/* The same convolution with three spatial axes. */
static dcv_conv_desc three_axes(const dcv_conv_desc *d)
{
    dcv_conv_desc t = *d;
    const int lead = DCV_MAX_SPACE - d->n_space;
    for (int i = 0; i < DCV_MAX_SPACE; i++) {
        const bool there = i >= lead;
        t.in[i] = there ? d->in[i - lead] : 1;
        t.out[i] = there ? d->out[i - lead] : 1;
        t.win[i] = there ? d->win[i - lead] : (dcv_window){.kernel = 1, .stride = 1, .dilation = 1};
    }
    t.n_space = DCV_MAX_SPACE;
    return t;
}

static bool is_pointwise(const dcv_conv_desc *d)
{
    for (int i = 0; i < DCV_MAX_SPACE; i++)
        if (d->win[i].kernel != 1 || d->win[i].stride != 1 || d->win[i].pad_lo || d->win[i].pad_hi)
            return false;
    return true;
}

static dcv_status conv_new(const dcv_conv_desc *d, dcv_conv **out)
{
    DCV_CHECK(d->x_block == 1 && d->y_block == 1);
    *out = NULL;
    const dcv_conv_desc t = three_axes(d);
    DCV_TRY(dcv_sgemm_fits(t.oc, t.out[0] * t.out[1] * t.out[2],
                           t.ic / t.groups * t.win[0].kernel * t.win[1].kernel * t.win[2].kernel));
    DCV_TRY(dcv_sgemm_fits(1, t.in[0] * t.in[1] * t.in[2], 1));
    dcv_conv *c = *out = dcv_alloc(1, sizeof *c);
    if (!c)
        return DCV_ENOMEM;
    c->d = three_axes(d);
    d = &c->d;
    c->icg = d->ic / d->groups;
    c->ocg = d->oc / d->groups;
    c->taps = d->win[0].kernel * d->win[1].kernel * d->win[2].kernel;
    c->x_cells = d->in[0] * d->in[1] * d->in[2];
    c->rows = d->out[0] * d->out[1];
    c->cols = d->out[2];
    c->y_cells = c->rows * c->cols;
    c->kind = c->icg == 1 && c->ocg == 1 ? DEPTHWISE : is_pointwise(d) ? POINTWISE : GATHERED;
    c->tile = GATHER_FLOATS / (c->icg * c->taps * c->cols);
    c->tile = c->tile < 1 ? 1 : c->tile > c->rows ? c->rows : c->tile;
    return DCV_OK;
}

static void conv_free(dcv_conv *c)
{
    dcv_free(c);
}

static dcv_status call_new(const dcv_conv *c, dcv_conv_call **out)
{
    *out = dcv_alloc(1, sizeof **out);
    if (!*out)
        return DCV_ENOMEM;
    (*out)->c = c;
    return DCV_OK;
}

static void call_free(dcv_conv_call *call)
{
    dcv_free(call);
}

static size_t packed_bytes(const dcv_conv *c)
{
    return (size_t)(c->d.oc * c->icg * c->taps) * sizeof(float);
}

static bool same_packing(const dcv_conv *a, const dcv_conv *b)
{
    return a->d.oc == b->d.oc && a->icg == b->icg && a->taps == b->taps; /* row-major all */
}

static size_t scratch_bytes(const dcv_conv *c)
{
    return c->kind == GATHERED ? (size_t)(c->icg * c->taps * c->tile * c->cols) * sizeof(float) : 0;
}

static dcv_status pack(const dcv_conv *c, const float *w, const float *scale, void *packed)
{
    float *to = packed;
    const int64_t per = c->icg * c->taps;
    for (int64_t o = 0; o < c->d.oc; o++)
        for (int64_t i = 0; i < per; i++)
            to[o * per + i] = scale ? w[o * per + i] * scale[o] : w[o * per + i];
    return DCV_OK;
}

/* Columns j of one output row whose window reaches inside at kernel column k. */
static dcv_span inside(const dcv_window *w, int64_t k, int64_t in, int64_t out)
{
    const int64_t shift = k * w->dilation - w->pad_lo; /* input column = j * stride + shift */
    dcv_span s = {shift >= 0 ? 0 : (-shift + w->stride - 1) / w->stride,
                  in - 1 - shift < 0 ? 0 : (in - 1 - shift) / w->stride + 1};
    if (s.hi > out)
        s.hi = out;
    if (s.lo > s.hi)
        s.lo = s.hi;
    return s;
}

/* The input row that kernel cell (kd, kh) of output row r (depth x rows) reads, or NULL in the padding. */
static const float *input_row(const dcv_conv *c, const float *plane, int64_t r, int64_t kd, int64_t kh)
{
    const dcv_conv_desc *d = &c->d;
    const int64_t z = r / d->out[1] * d->win[0].stride + kd * d->win[0].dilation - d->win[0].pad_lo;
    const int64_t y = r % d->out[1] * d->win[1].stride + kh * d->win[1].dilation - d->win[1].pad_lo;
    if (z < 0 || z >= d->in[0] || y < 0 || y >= d->in[1])
        return NULL;
    return plane + (z * d->in[1] + y) * d->in[2];
}

static void gather_row(const float *x, const dcv_window *w, int64_t k, int64_t in, int64_t out, float *to)
{
    const dcv_span s = x ? inside(w, k, in, out) : (dcv_span){0, 0};
    const int64_t shift = k * w->dilation - w->pad_lo;
    memset(to, 0, (size_t)s.lo * sizeof *to);
    if (s.hi > s.lo && w->stride == 1)
        memcpy(to + s.lo, x + s.lo + shift, (size_t)(s.hi - s.lo) * sizeof *to);
    else
        for (int64_t j = s.lo; j < s.hi; j++)
            to[j] = x[j * w->stride + shift];
    memset(to + s.hi, 0, (size_t)(out - s.hi) * sizeof *to);
}

/* Windows of output rows r0 .. r0 + n - 1 of one group: [icg * taps][n * cols]. */
static void gather(const dcv_conv *c, const float *x, int64_t r0, int64_t n, float *to)
{
    const dcv_conv_desc *d = &c->d;
    for (int64_t i = 0; i < c->icg; i++)
        for (int64_t kd = 0; kd < d->win[0].kernel; kd++)
            for (int64_t kh = 0; kh < d->win[1].kernel; kh++)
                for (int64_t kw = 0; kw < d->win[2].kernel; kw++)
                    for (int64_t r = r0; r < r0 + n; r++, to += c->cols)
                        gather_row(input_row(c, x + i * c->x_cells, r, kd, kh), &d->win[2], kw, d->in[2], c->cols, to);
}

/* y = clamp(y + bias) over n cells of one channel. */
DCV_CLONES static void clamp(const dcv_conv_desc *d, float b, int64_t n, float *y)
{
    const float lo = d->act == DCV_ACT_CLIP ? d->act_lo : d->act == DCV_ACT_RELU ? 0 : -INFINITY;
    const float hi = d->act == DCV_ACT_CLIP ? d->act_hi : INFINITY;
    if (d->act == DCV_ACT_LEAKY) {
        for (int64_t i = 0; i < n; i++) {
            const float v = y[i] + b;
            y[i] = v < 0 ? d->act_lo * v : v;
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float v = y[i] + b;
        v = v < lo ? lo : v;
        y[i] = v > hi ? hi : v;
    }
}

/* y = act(y + bias). */
static void finish(const dcv_conv_desc *d, float b, int64_t n, float *y)
{
    clamp(d, b, n, y);
    dcv_act_run(d->act, n, y);
}

static void finish_rows(const dcv_conv *c, int64_t g, int64_t first, int64_t n, const float *bias, float *y)
{
    if (!bias && c->d.act == DCV_ACT_NONE)
        return;
    for (int64_t o = 0; o < c->ocg; o++)
        finish(&c->d, bias ? bias[g * c->ocg + o] : 0, n, y + o * c->y_cells + first);
}

static void run_group(const dcv_conv *c, int64_t g, const float *x, const float *w, const float *bias, float *y,
                      float *scratch)
{
    const int64_t k = c->icg * c->taps;
    const float beta = c->d.add ? 1 : 0;
    if (c->kind == POINTWISE) {
        dcv_sgemm(false, false, c->ocg, c->y_cells, k, 1, w, k, x, c->x_cells, beta, y, c->y_cells);
        finish_rows(c, g, 0, c->y_cells, bias, y);
        return;
    }
    for (int64_t r = 0; r < c->rows; r += c->tile) {
        const int64_t n = (r + c->tile < c->rows ? c->tile : c->rows - r), cells = n * c->cols;
        gather(c, x, r, n, scratch);
        dcv_sgemm(false, false, c->ocg, cells, k, 1, w, k, scratch, cells, beta, y + r * c->cols, c->y_cells);
        finish_rows(c, g, r * c->cols, cells, bias, y);
    }
}

/* y[j] += w * x[j * stride]. */
DCV_CLONES static void axpy(int64_t n, float w, const float *x, int64_t stride, float *y)
{
    if (stride == 1)
        for (int64_t j = 0; j < n; j++)
            y[j] += w * x[j];
    else
        for (int64_t j = 0; j < n; j++)
            y[j] += w * x[j * stride];
}

static void depthwise_row(const dcv_conv *c, int64_t r, const float *x, const float *w, float *y)
{
    const dcv_conv_desc *d = &c->d;
    for (int64_t kd = 0; kd < d->win[0].kernel; kd++)
        for (int64_t kh = 0; kh < d->win[1].kernel; kh++) {
            const float *row = input_row(c, x, r, kd, kh);
            for (int64_t kw = 0; kw < d->win[2].kernel; kw++, w++) {
                const dcv_span s = row ? inside(&d->win[2], kw, d->in[2], c->cols) : (dcv_span){0, 0};
                const int64_t at = s.lo * d->win[2].stride + kw * d->win[2].dilation - d->win[2].pad_lo;
                if (s.hi > s.lo)
                    axpy(s.hi - s.lo, *w, row + at, d->win[2].stride, y + s.lo);
            }
        }
}

static void run_depthwise(const dcv_conv *c, const float *x, const float *w, const float *bias, float *y)
{
    for (int64_t ch = 0; ch < c->d.oc; ch++, x += c->x_cells, y += c->y_cells, w += c->taps) {
        if (!c->d.add)
            memset(y, 0, (size_t)c->y_cells * sizeof *y);
        for (int64_t r = 0; r < c->rows; r++)
            depthwise_row(c, r, x, w, y + r * c->cols);
        if (bias || c->d.act != DCV_ACT_NONE)
            finish(&c->d, bias ? bias[ch] : 0, c->y_cells, y);
    }
}

static void run(dcv_conv_call *call, const float *x, const void *packed, const float *bias, float *y, void *scratch)
{
    const dcv_conv *c = call->c;
    const float *w = packed;
    for (int p = 0; p < c->d.n; p++, x += c->d.x_stride, y += c->d.y_stride) {
        if (c->kind == DEPTHWISE) {
            run_depthwise(c, x, w, bias, y);
            continue;
        }
        for (int64_t g = 0; g < c->d.groups; g++)
            run_group(c, g, x + g * c->icg * c->x_cells, w + g * c->ocg * c->icg * c->taps, bias,
                      y + g * c->ocg * c->y_cells, scratch);
    }
}

static const char *kernel(const dcv_conv *c)
{
    static const char *const name[] = {"sgemm", "depthwise", "im2col+sgemm"};
    return name[c->kind];
}

const dcv_backend dcv_backend_blas = {
    .name = "blas",
    .numerics = numerics,
    .limit = limit,
    .one_thread = one_thread,
    .block = block,
    .own = own,
    .layout = layout,
    .conv_new = conv_new,
    .conv_free = conv_free,
    .call_new = call_new,
    .call_free = call_free,
    .packed_bytes = packed_bytes,
    .same_packing = same_packing,
    .scratch_bytes = scratch_bytes,
    .pack = pack,
    .run = run,
    .kernel = kernel,
};

/* Leading dimensions are one of the three, so BLAS's int holds all that it is told. */
dcv_status dcv_sgemm_fits(int64_t m, int64_t n, int64_t k)
{
    if (m <= INT_MAX && n <= INT_MAX && k <= INT_MAX)
        return DCV_OK;
    return dcv_fail(DCV_EUNSUPPORTED,
                    "a product of %lld x %lld by %lld x %lld; expected at most %d along each side (cells of a map, or "
                    "weights of a channel)",
                    (long long)m, (long long)k, (long long)k, (long long)n, INT_MAX);
}

static blasint narrow(int64_t n)
{
    DCV_CHECK(n >= 0 && n <= INT_MAX);
    return (blasint)n;
}

void dcv_sgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
               const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (!m || !n)
        return;
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, narrow(m), narrow(n),
                narrow(k), alpha, a, narrow(lda), b, narrow(ldb), beta, c, narrow(ldc));
}
