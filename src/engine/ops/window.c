/* window.c -- attributes of sliding windows resolved against an input's shape. */
#include "engine/ops/window.h"

static dcv_status check_lists(const dcv_shape_io *io, const dcv_window_attr *a, int n)
{
    const struct {
        const char *name;
        const dcv_ints *list;
        int want;
    } lists[] = {{"kernel_shape", &a->kernel_shape, n},
                 {"strides", &a->strides, n},
                 {"dilations", &a->dilations, n},
                 {"pads", &a->pads, 2 * n}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (lists[i].list->n && lists[i].list->n != lists[i].want)
            return dcv_op_fail(io, DCV_EDATA, "attribute %s has %d numbers; expected %d", lists[i].name,
                               lists[i].list->n, lists[i].want);
    return DCV_OK;
}

/* SAME: ceil(in / stride) windows; the odd cell of the border goes to the end (UPPER) or the start (LOWER). */
static void pad_same(dcv_window *w, int64_t in, bool lower)
{
    const int64_t out = (in + w->stride - 1) / w->stride;
    const int64_t need = (out - 1) * w->stride + (w->kernel - 1) * w->dilation + 1 - in;
    const int64_t total = need > 0 ? need : 0;
    w->pad_lo = lower ? total - total / 2 : total / 2;
    w->pad_hi = total - w->pad_lo;
}

dcv_status dcv_window_resolve(const dcv_shape_io *io, dcv_window_attr *a, const dcv_dims *x, const int64_t *kernel)
{
    const int n = x->n - 2;
    if (n < 1 || n > DCV_MAX_SPACE) {
        dcv_dims_text t;
        return dcv_op_fail(io, DCV_EUNSUPPORTED, "input %s; expected 3 to 5 axes (N, C and space)",
                           dcv_dims_print(x, t));
    }
    DCV_TRY(check_lists(io, a, n));
    if (!kernel && !a->kernel_shape.n)
        return dcv_op_fail(io, DCV_EDATA, "attribute kernel_shape is missing");
    a->n_space = n;
    for (int i = 0; i < n; i++) {
        dcv_window *w = &a->win[i];
        if (kernel && a->kernel_shape.n && kernel[i] != a->kernel_shape.v[i])
            return dcv_op_fail(io, DCV_EDATA, "kernel_shape says %lld along axis %d, the weights %lld",
                               (long long)a->kernel_shape.v[i], i, (long long)kernel[i]);
        w->kernel = kernel ? kernel[i] : a->kernel_shape.v[i];
        w->stride = a->strides.n ? a->strides.v[i] : 1;
        w->dilation = a->dilations.n ? a->dilations.v[i] : 1;
        w->pad_lo = w->pad_hi = 0;
        if (w->kernel < 1 || w->kernel > DCV_WINDOW_LIMIT)
            return dcv_op_fail(io, DCV_EDATA, "kernel of %lld cells along axis %d", (long long)w->kernel, i);
        if (a->auto_pad == DCV_PAD_NOTSET && a->pads.n) {
            w->pad_lo = a->pads.v[i];
            w->pad_hi = a->pads.v[n + i];
        } else if (a->auto_pad == DCV_PAD_SAME_UPPER || a->auto_pad == DCV_PAD_SAME_LOWER) {
            pad_same(w, x->d[2 + i], a->auto_pad == DCV_PAD_SAME_LOWER);
        }
    }
    return DCV_OK;
}

dcv_status dcv_window_extents(const dcv_shape_io *io, const dcv_window_attr *a, const dcv_dims *x, bool ceil_mode,
                              dcv_dims *y)
{
    for (int i = 0; i < a->n_space; i++) {
        const dcv_window *w = &a->win[i];
        y->d[2 + i] = dcv_window_out(x->d[2 + i], w, ceil_mode);
        if (y->d[2 + i] < 1) {
            dcv_dims_text t;
            return dcv_op_fail(
                io, DCV_EDATA,
                "input %s is too small: a window of %lld cells (dilation %lld, border %lld + %lld) does not fit "
                "%lld along spatial axis %d",
                dcv_dims_print(x, t), (long long)w->kernel, (long long)w->dilation, (long long)w->pad_lo,
                (long long)w->pad_hi, (long long)x->d[2 + i], i);
        }
    }
    return DCV_OK;
}

dcv_cells dcv_window_cells(const dcv_window_attr *a, int axis, int64_t o)
{
    const dcv_window *w = &a->win[axis - 2];
    const int64_t start = o * w->stride - w->pad_lo;
    return (dcv_cells){start, start + (w->kernel - 1) * w->dilation + 1, w->dilation};
}

/* Greatest common divisor of a and b, and x with a x = gcd, but for multiples of b. */
static int64_t gcd(int64_t a, int64_t b, int64_t *x)
{
    int64_t x0 = 1, x1 = 0;
    while (b) {
        const int64_t q = a / b, r = a % b, next = x0 - q * x1;
        a = b;
        b = r;
        x0 = x1;
        x1 = next;
    }
    *x = x0;
    return a;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/* Taps that reach cell o are those whose place in the window leaves o + pad - tap * dilation a multiple of the stride:
 * one in stride / gcd(stride, dilation), each dilation / gcd cells behind the next. */
dcv_cells dcv_window_covers(const dcv_window *w, int64_t o)
{
    int64_t x;
    const int64_t each = gcd(w->dilation, w->stride, &x), at = o + w->pad_lo, every = w->stride / each;
    const int64_t rest = ((at / each) % every + every) % every, inverse = (x % every + every) % every,
                  tap = rest * inverse % every;
    if (at % each || tap >= w->kernel) {
        const int64_t between = floor_div(at, w->stride) + 1;
        return (dcv_cells){between, between, 1};
    }
    const int64_t last = (at - tap * w->dilation) / w->stride, more = (w->kernel - 1 - tap) / every;
    return (dcv_cells){last - more * (w->dilation / each), last + 1, w->dilation / each};
}

void dcv_window_crop(dcv_window_attr *a)
{
    for (int i = 0; i < a->n_space; i++)
        a->win[i].pad_lo = a->win[i].pad_hi = 0;
}
