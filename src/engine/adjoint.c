/* adjoint.c -- convolutions walked back. */
#include "engine/adjoint.h"

#include <string.h>
#include "engine/adjoint_depthwise.h"
#include "engine/tile.h"
#include "engine/transposed.h"
#include "engine/vector.h"
#include "engine/winograd.h"

enum { COLUMN_FLOATS = 1 << 19, FEW_CHANNELS = 4 };

/* ---- by a convolution ---- */

bool dcv_adjoint_flip(const dcv_conv_desc *d, dcv_conv_desc *t)
{
    *t = (dcv_conv_desc){
        .n = 1, .n_space = d->n_space, .groups = d->groups, .ic = d->oc, .oc = d->ic, .precision = d->precision};
    for (int i = 0; i < d->n_space; i++) {
        const dcv_window *w = &d->win[i];
        const int64_t reach = (w->kernel - 1) * w->dilation, lo = reach - w->pad_lo;
        const int64_t hi = d->in[i] - d->out[i] - lo + reach;
        if (w->stride != 1 || lo < 0 || hi < 0)
            return false;
        t->in[i] = d->out[i];
        t->out[i] = d->in[i];
        t->win[i] = (dcv_window){w->kernel, 1, w->dilation, lo, hi};
    }
    return true;
}

static bool flip(const dcv_conv_desc *d, dcv_conv_desc *t)
{
    return (d->groups > 1 || d->ic > FEW_CHANNELS) && dcv_adjoint_flip(d, t);
}

static int64_t blocked_floats(int64_t channels, int block, const int64_t *extent, int n)
{
    int64_t f = (channels + block - 1) / block * block;
    for (int i = 0; i < n; i++)
        f *= extent[i];
    return f;
}

static dcv_status by_convolution(dcv_adjoint *a, dcv_conv_desc *t)
{
    a->back->layout(t, &t->x_block, &t->y_block);
    t->x_stride = blocked_floats(t->ic, t->x_block, t->in, t->n_space);
    t->y_stride = blocked_floats(t->oc, t->y_block, t->out, t->n_space);
    DCV_TRY(a->back->conv_new(t, &a->conv));
    a->gy_block = t->x_block;
    a->gx_block = t->y_block;
    a->packed_bytes = a->back->packed_bytes(a->conv);
    a->scratch_bytes = a->back->scratch_bytes(a->conv);
    return DCV_OK;
}

static int64_t taps_of(const dcv_conv_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->n_space; i++)
        n *= d->win[i].kernel;
    return n;
}

/* w [groups][ocg][icg][taps] to [groups][icg][ocg][taps backwards]. */
static dcv_status turn_flipped(const dcv_backend *back, const dcv_conv *conv, const dcv_conv_desc *d, const float *w,
                               const float *scale, void *packed)
{
    const int64_t icg = d->ic / d->groups, ocg = d->oc / d->groups, taps = taps_of(d);
    float *t = dcv_alloc((size_t)(d->oc * icg * taps), sizeof *t);
    if (!t)
        return DCV_ENOMEM;
    for (int64_t o = 0; o < d->oc; o++)
        for (int64_t i = 0; i < icg; i++) {
            const int64_t g = o / ocg, k = o % ocg;
            const float *from = w + (o * icg + i) * taps;
            float *to = t + ((g * icg + i) * ocg + k) * taps;
            for (int64_t s = 0; s < taps; s++)
                to[taps - 1 - s] = scale ? from[s] * scale[o] : from[s];
        }
    const dcv_status st = back->pack(conv, t, NULL, packed);
    dcv_free(t);
    return st;
}

dcv_status dcv_adjoint_pack_flipped(const dcv_backend *back, const dcv_conv *conv, const dcv_conv_desc *d,
                                    const float *w, void *packed)
{
    return turn_flipped(back, conv, d, w, NULL, packed);
}

/* ---- transposed ones: by the convolution that they are the adjoint of ---- */

static dcv_status by_mirror(dcv_adjoint *a)
{
    dcv_conv_desc m = dcv_transposed_mirror(&a->d);
#ifdef DCV_HAVE_ONEDNN
    for (int i = 0; i < m.n_space; i++) /* its shapes are those of complete windows */
        if (m.win[i].pad_hi <= -m.win[i].stride)
            a->back = &dcv_backend_blas;
#endif
    return by_convolution(a, &m);
}

/* Scale by what the transposed convolution's outputs, the inputs here, are scaled with. */
static dcv_status pack_mirror(const dcv_adjoint *a, const float *w, const float *scale, void *packed)
{
    if (!scale)
        return a->back->pack(a->conv, w, NULL, packed);
    float *t = dcv_alloc((size_t)(a->d.ic * a->ocg * a->taps), sizeof *t);
    if (!t)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < a->d.ic; i++)
        for (int64_t o = 0; o < a->ocg; o++)
            for (int64_t s = 0; s < a->taps; s++) {
                const int64_t at = (i * a->ocg + o) * a->taps + s;
                t[at] = w[at] * scale[i / a->icg * a->ocg + o];
            }
    const dcv_status st = a->back->pack(a->conv, t, NULL, packed);
    dcv_free(t);
    return st;
}

/* ---- by columns ---- */

static void by_columns(dcv_adjoint *a)
{
    const int64_t rows = a->out[0] * a->out[1], row = a->icg * a->taps * a->out[2];
    a->gy_block = a->gx_block = 1;
    a->tile = row > 0 ? COLUMN_FLOATS / row : 1;
    a->tile = a->tile < 1 ? 1 : a->tile > rows ? rows : a->tile;
    a->packed_bytes = (size_t)(a->d.oc * a->icg * a->taps) * sizeof(float);
    a->scratch_bytes = (size_t)(row * a->tile) * sizeof(float);
}

static void pack_plain(const dcv_adjoint *a, const float *w, const float *scale, float *to)
{
    const int64_t per = a->icg * a->taps;
    for (int64_t i = 0; i < a->d.oc * per; i++)
        to[i] = scale ? w[i] * scale[i / per] : w[i];
}

/* x[j stride + shift] += col[j] where that is inside. */
DCV_CLONES static void add_row(const float *col, int64_t n, int64_t stride, int64_t shift, int64_t in, float *x)
{
    int64_t lo = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    int64_t hi = in - 1 - shift < 0 ? 0 : (in - 1 - shift) / stride + 1;
    hi = hi < n ? hi : n;
    if (stride == 1)
        for (int64_t j = lo; j < hi; j++)
            x[j + shift] += col[j];
    else
        for (int64_t j = lo; j < hi; j++)
            x[j * stride + shift] += col[j];
}

/* Columns of output rows r0 .. r0 + n - 1 of one group back to where they were gathered. */
static void scatter(const dcv_adjoint *a, const float *col, int64_t r0, int64_t n, float *gx)
{
    const dcv_window *w = a->win;
    const int64_t cells = a->in[0] * a->in[1] * a->in[2];
    for (int64_t i = 0; i < a->icg; i++)
        for (int64_t k = 0; k < a->taps; k++) {
            const int64_t kd = k / w[2].kernel / w[1].kernel, kr = k / w[2].kernel % w[1].kernel, kc = k % w[2].kernel;
            for (int64_t r = r0; r < r0 + n; r++, col += a->out[2]) {
                const int64_t z = r / a->out[1] * w[0].stride + kd * w[0].dilation - w[0].pad_lo;
                const int64_t y = r % a->out[1] * w[1].stride + kr * w[1].dilation - w[1].pad_lo;
                if (z >= 0 && z < a->in[0] && y >= 0 && y < a->in[1])
                    add_row(col, a->out[2], w[2].stride, kc * w[2].dilation - w[2].pad_lo, a->in[2],
                            gx + i * cells + (z * a->in[1] + y) * a->in[2]);
            }
        }
}

static void run_columns(const dcv_adjoint *a, const float *gy, const float *w, float *gx, float *scratch)
{
    const int64_t rows = a->out[0] * a->out[1], y_cells = rows * a->out[2], k = a->icg * a->taps;
    const int64_t x_cells = a->in[0] * a->in[1] * a->in[2];
    memset(gx, 0, (size_t)(a->d.ic * x_cells) * sizeof *gx);
    for (int64_t g = 0; g < a->d.groups; g++)
        for (int64_t r = 0; r < rows; r += a->tile) {
            const int64_t n = rows - r < a->tile ? rows - r : a->tile, cells = n * a->out[2];
            dcv_sgemm(true, false, k, cells, a->ocg, 1, w + g * a->ocg * k, k,
                      gy + g * a->ocg * y_cells + r * a->out[2], y_cells, 0, scratch, cells);
            scatter(a, scratch, r, n, gx + g * a->icg * x_cells);
        }
}

/* ---- any of them ---- */

/* Are there kernels of our own for this back end and machine? */
static bool has_own(const dcv_backend *back)
{
#ifdef DCV_HAVE_ONEDNN
    return back == &dcv_backend_onednn && back->block() == 16;
#else
    (void)back;
    return false;
#endif
}

static dcv_adjoint_kind choose(const dcv_backend *back, const dcv_conv_desc *d, const dcv_conv_desc *forward,
                               dcv_conv_desc *flipped)
{
    if (d->transposed)
        return DCV_ADJOINT_MIRROR;
    if (dcv_adjoint_depthwise_takes(d))
        return DCV_ADJOINT_DEPTHWISE;
    if (has_own(back)) {
        if (dcv_adjoint_narrow_takes(d))
            return DCV_ADJOINT_NARROW;
        if (forward && forward->precision == DCV_FAST && dcv_winograd_takes(forward))
            return DCV_ADJOINT_WINOGRAD;
        if (dcv_adjoint_tile_takes(d))
            return DCV_ADJOINT_TILES;
    }
    return flip(d, flipped) ? DCV_ADJOINT_FLIPPED : DCV_ADJOINT_COLUMNS;
}

static void by_tiles(dcv_adjoint *a, const dcv_conv_desc *forward)
{
    a->shared = forward && forward->ic > DCV_TILE_PLAIN && dcv_tile_takes(forward);
    dcv_adjoint_tile_plan(&a->d, a->shared, &a->tiles);
    a->adds = true;
    a->packed_bytes = dcv_adjoint_tile_packed_bytes(&a->tiles);
    a->scratch_bytes = dcv_adjoint_tile_scratch_bytes(&a->tiles);
}

static void by_winograd(dcv_adjoint *a)
{
    dcv_adjoint_winograd_plan(&a->d, &a->winograd);
    a->shared = a->adds = true;
    a->scratch_bytes = dcv_adjoint_winograd_scratch_bytes(&a->winograd);
}

static void by_narrow(dcv_adjoint *a)
{
    dcv_adjoint_narrow_plan(&a->d, &a->narrow);
    a->gx_block = 1;
    a->packed_bytes = dcv_adjoint_narrow_packed_bytes(&a->narrow);
    a->scratch_bytes = dcv_adjoint_narrow_scratch_bytes(&a->narrow);
}

static void by_depthwise(dcv_adjoint *a)
{
    a->gy_block = a->gx_block = a->back->block();
    a->adds = true;
    a->packed_bytes = dcv_adjoint_depthwise_packed_bytes(&a->d, a->gx_block);
    a->scratch_bytes = dcv_adjoint_depthwise_scratch_bytes(&a->d, a->gx_block);
}

static dcv_status plan(dcv_adjoint *a, const dcv_conv_desc *forward)
{
    dcv_conv_desc t;
    a->kind = choose(a->back, &a->d, forward, &t);
    a->gy_block = a->gx_block = 16;
    switch (a->kind) {
    case DCV_ADJOINT_TILES:
        by_tiles(a, forward);
        break;
    case DCV_ADJOINT_WINOGRAD:
        by_winograd(a);
        break;
    case DCV_ADJOINT_NARROW:
        by_narrow(a);
        break;
    case DCV_ADJOINT_DEPTHWISE:
        by_depthwise(a);
        break;
    case DCV_ADJOINT_FLIPPED:
        t.precision = DCV_STRICT; /* Winograd's weights would be kept a second time */
        return by_convolution(a, &t);
    case DCV_ADJOINT_MIRROR:
        return by_mirror(a);
    case DCV_ADJOINT_COLUMNS:
        by_columns(a);
        return dcv_sgemm_fits(a->icg * a->taps, a->out[0] * a->out[1] * a->out[2], a->ocg);
    }
    return DCV_OK;
}

dcv_status dcv_adjoint_new(const dcv_backend *back, const dcv_conv_desc *d, const dcv_conv_desc *forward,
                           dcv_adjoint **out)
{
    dcv_adjoint *a = *out = dcv_alloc(1, sizeof *a);
    if (!a)
        return DCV_ENOMEM;
    a->back = back;
    a->d = *d;
    a->icg = d->ic / d->groups;
    a->ocg = d->oc / d->groups;
    a->taps = 1;
    for (int i = 0; i < 3; i++) {
        const int from = i - (3 - d->n_space);
        a->in[i] = from >= 0 ? d->in[from] : 1;
        a->out[i] = from >= 0 ? d->out[from] : 1;
        a->win[i] = from >= 0 ? d->win[from] : (dcv_window){1, 1, 1, 0, 0};
        a->taps *= a->win[i].kernel;
    }
    const dcv_status st = plan(a, forward);
    if (st != DCV_OK) {
        dcv_adjoint_free(a);
        *out = NULL;
    }
    return st;
}

void dcv_adjoint_layout(const dcv_backend *back, const dcv_conv_desc *d, int *gy_block, int *gx_block)
{
    dcv_conv_desc t;
    const dcv_adjoint_kind kind = choose(back, d, NULL, &t);
    *gy_block = *gx_block = 16;
    if (kind == DCV_ADJOINT_NARROW)
        *gx_block = 1;
    else if (kind == DCV_ADJOINT_DEPTHWISE)
        *gy_block = *gx_block = back->block();
    else if (kind == DCV_ADJOINT_FLIPPED)
        back->layout(&t, gy_block, gx_block);
    else if (kind == DCV_ADJOINT_COLUMNS)
        *gy_block = *gx_block = 1;
}

bool dcv_adjoint_same_packing(const dcv_adjoint *a, const dcv_adjoint *b)
{
    if (a->kind != b->kind || a->back != b->back || a->d.ic != b->d.ic || a->d.oc != b->d.oc ||
        a->packed_bytes != b->packed_bytes)
        return false;
    for (int i = 0; i < 3; i++) { /* classes of cells are packed as they come */
        const dcv_window *v = &a->win[i], *w = &b->win[i];
        if (v->kernel != w->kernel || v->stride != w->stride || v->dilation != w->dilation || v->pad_lo != w->pad_lo)
            return false;
    }
    return !a->conv || a->back->same_packing(a->conv, b->conv);
}

const char *dcv_adjoint_kernel(const dcv_adjoint *a)
{
    static const char *const name[] = {
        "tile back:avx512", "winograd back:avx512", "narrow back:avx512", "depthwise back", NULL, "sgemm+col2im", NULL};
    return a->conv ? a->back->kernel(a->conv) : name[a->kind];
}

void dcv_adjoint_free(dcv_adjoint *a)
{
    if (!a)
        return;
    if (a->conv)
        a->back->conv_free(a->conv);
    dcv_free(a);
}

dcv_status dcv_adjoint_pack(const dcv_adjoint *a, const float *w, const float *scale, void *packed)
{
    if (a->kind == DCV_ADJOINT_FLIPPED)
        return turn_flipped(a->back, a->conv, &a->d, w, scale, packed);
    if (a->kind == DCV_ADJOINT_MIRROR)
        return pack_mirror(a, w, scale, packed);
    if (a->kind == DCV_ADJOINT_COLUMNS)
        pack_plain(a, w, scale, packed);
    else if (a->kind == DCV_ADJOINT_TILES)
        dcv_adjoint_tile_pack(&a->tiles, w, scale, packed);
    else if (a->kind == DCV_ADJOINT_NARROW)
        dcv_adjoint_narrow_pack(&a->narrow, w, scale, packed);
    else if (a->kind == DCV_ADJOINT_DEPTHWISE)
        dcv_adjoint_depthwise_pack(&a->d, a->gx_block, w, scale, packed);
    return DCV_OK;
}

void dcv_adjoint_run(const dcv_adjoint *a, dcv_conv_call *call, const float *gy, const void *packed, bool add,
                     float *gx, void *scratch)
{
    DCV_CHECK(a->adds || !add);
    switch (a->kind) {
    case DCV_ADJOINT_TILES:
        dcv_adjoint_tile_run(&a->tiles, gy, packed, add, gx, scratch);
        break;
    case DCV_ADJOINT_WINOGRAD:
        dcv_adjoint_winograd_run(&a->winograd, gy, packed, add, gx, scratch);
        break;
    case DCV_ADJOINT_NARROW:
        dcv_adjoint_narrow_run(&a->narrow, gy, packed, gx, scratch);
        break;
    case DCV_ADJOINT_DEPTHWISE:
        dcv_adjoint_depthwise_run(&a->d, a->gx_block, gy, packed, add, gx, scratch);
        break;
    case DCV_ADJOINT_FLIPPED:
    case DCV_ADJOINT_MIRROR:
        a->back->run(call, gy, packed, NULL, gx, scratch);
        break;
    case DCV_ADJOINT_COLUMNS:
        run_columns(a, gy, packed, gx, scratch);
        break;
    }
}
