/* tensor.c -- shapes and the geometry of windows. */
#include "deconvoy/tensor.h"

#include <stdio.h>
#include <string.h>

static const int64_t most = (int64_t)1 << 40;

size_t dcv_dtype_bytes(dcv_dtype t)
{
    static const size_t bytes[DCV_N_DTYPE] = {
        [DCV_F32] = 4, [DCV_F64] = 8, [DCV_I16] = 2, [DCV_I32] = 4, [DCV_I64] = 8, [DCV_U8] = 1, [DCV_U32] = 4};
    DCV_CHECK(t >= 0 && t < DCV_N_DTYPE);
    return bytes[t];
}

const char *dcv_dtype_name(dcv_dtype t)
{
    static const char *const names[DCV_N_DTYPE + 1] = {
        [DCV_F32] = "f4", [DCV_F64] = "f8", [DCV_I16] = "i2", [DCV_I32] = "i4",
        [DCV_I64] = "i8", [DCV_U8] = "u1",  [DCV_U32] = "u4", [DCV_N_DTYPE] = "?"};
    DCV_CHECK(t >= 0 && t <= DCV_N_DTYPE);
    return names[t];
}

int64_t dcv_count(const dcv_dims *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->n; i++)
        n *= d->d[i];
    return n;
}

dcv_status dcv_dims_check(const dcv_dims *d)
{
    int64_t n = 1;
    if (d->n < 0 || d->n > DCV_MAX_RANK)
        return dcv_fail(DCV_EDATA, "rank %d; at most %d is supported", d->n, DCV_MAX_RANK);
    for (int i = 0; i < d->n; i++) {
        if (d->d[i] < 0 || d->d[i] > most)
            return dcv_fail(DCV_EDATA, "extent %lld of axis %d; 0 to 2^40 is possible", (long long)d->d[i], i);
        /* an extent of 0 must not hide an overflow of the others */
        if (d->d[i] > 0 && (__builtin_mul_overflow(n, d->d[i], &n) || n > most))
            return dcv_fail(DCV_EDATA, "more than 2^40 elements");
    }
    return DCV_OK;
}

bool dcv_dims_equal(const dcv_dims *a, const dcv_dims *b)
{
    return a->n == b->n && memcmp(a->d, b->d, sizeof a->d[0] * (size_t)a->n) == 0;
}

char *dcv_dims_print(const dcv_dims *d, dcv_dims_text buf)
{
    size_t at = 0;
    for (int i = 0; i < d->n; i++)
        at += (size_t)snprintf(buf + at, sizeof(dcv_dims_text) - at, i ? "x%lld" : "%lld", (long long)d->d[i]);
    if (d->n == 0)
        memcpy(buf, "scalar", sizeof "scalar");
    return buf;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return -floor_div(-a, b);
}

static int64_t reach(const dcv_window *w)
{
    return (w->kernel - 1) * w->dilation + 1;
}

int64_t dcv_window_out(int64_t in, const dcv_window *w, bool ceil_mode)
{
    const int64_t room = in + w->pad_lo + w->pad_hi - reach(w);
    if (in <= 0 || room < 0)
        return 0;
    int64_t out = (ceil_mode ? ceil_div(room, w->stride) : floor_div(room, w->stride)) + 1;
    if (ceil_mode && (out - 1) * w->stride >= in + w->pad_lo)
        out--;
    return out;
}

static dcv_span clip(dcv_span s, int64_t n)
{
    if (s.lo < 0)
        s.lo = 0;
    if (s.hi > n)
        s.hi = n;
    return s.lo < s.hi ? s : (dcv_span){0, 0};
}

dcv_span dcv_window_reads(dcv_span o, const dcv_window *w, int64_t in)
{
    if (o.hi <= o.lo)
        return (dcv_span){0, 0};
    return clip((dcv_span){o.lo * w->stride - w->pad_lo, (o.hi - 1) * w->stride - w->pad_lo + reach(w)}, in);
}

dcv_span dcv_window_reaches(dcv_span i, const dcv_window *w, int64_t out)
{
    if (i.hi <= i.lo)
        return (dcv_span){0, 0};
    return clip((dcv_span){ceil_div(i.lo + w->pad_lo - reach(w) + 1, w->stride),
                           floor_div(i.hi - 1 + w->pad_lo, w->stride) + 1},
                out);
}

dcv_span dcv_span_hull(dcv_span a, dcv_span b)
{
    if (a.hi <= a.lo)
        return b;
    if (b.hi <= b.lo)
        return a;
    return (dcv_span){a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}
