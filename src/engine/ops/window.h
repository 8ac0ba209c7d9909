/* window.h -- attributes of sliding windows, shared by convolution and pooling. */
#ifndef DCV_ENGINE_OPS_WINDOW_H
#define DCV_ENGINE_OPS_WINDOW_H

#include "engine/ops/util.h"

#define DCV_WINDOW_LIMIT 1048576 /* of kernels, strides, dilations and pads */

typedef enum dcv_auto_pad { DCV_PAD_NOTSET, DCV_PAD_SAME_UPPER, DCV_PAD_SAME_LOWER, DCV_PAD_VALID } dcv_auto_pad;

/* As the file has them; an absent list is the default of every axis. */
typedef struct dcv_window_attr {
    dcv_ints kernel_shape, strides, pads, dilations;
    int auto_pad;
    /* Completed by dcv_window_resolve(). */
    int n_space;
    dcv_window win[DCV_MAX_SPACE];
} dcv_window_attr;

#define DCV_WINDOW_FIELDS(type, member)                                                                                \
    {"auto_pad",                                                                                                       \
     DCV_FIELD_WORD,                                                                                                   \
     DCV_AT(type, member.auto_pad),                                                                                    \
     .dflt = "NOTSET",                                                                                                 \
     .words = "NOTSET|SAME_UPPER|SAME_LOWER|VALID",                                                                    \
     .help = "where the border comes from"},                                                                           \
        {"kernel_shape", DCV_FIELD_INTS,  DCV_AT(type, member.kernel_shape), .min = 1, .max = DCV_WINDOW_LIMIT,        \
         .unit = "px",   .help = "window"},                                                                            \
        {"strides",    DCV_FIELD_INTS, DCV_AT(type, member.strides), .min = 1, .max = DCV_WINDOW_LIMIT,                \
         .unit = "px", .help = "step"},                                                                                \
        {"pads",                                                                                                       \
         DCV_FIELD_INTS,                                                                                               \
         DCV_AT(type, member.pads),                                                                                    \
         .min = 0,                                                                                                     \
         .max = DCV_WINDOW_LIMIT,                                                                                      \
         .unit = "px",                                                                                                 \
         .help = "border: starts, then ends"},                                                                         \
    {                                                                                                                  \
        "dilations", DCV_FIELD_INTS, DCV_AT(type, member.dilations), .min = 1, .max = DCV_WINDOW_LIMIT, .unit = "px",  \
                                                                     .help = "distance of the window's cells"          \
    }

/* Fill n_space and win for input x [N,C,space...]; kernel: extents where the attribute has none (or must be equal),
 * NULL for pooling, which requires it. */
dcv_status dcv_window_resolve(const dcv_shape_io *io, dcv_window_attr *a, const dcv_dims *x,
                              const int64_t *kernel) DCV_MUST_USE;

/* Spatial extents of the output into y->d[2...]; DCV_EDATA where no window fits. */
dcv_status dcv_window_extents(const dcv_shape_io *io, const dcv_window_attr *a, const dcv_dims *x, bool ceil_mode,
                              dcv_dims *y) DCV_MUST_USE;

/* Cells of a window at output cell o; axis counts all axes of the tensor, so space starts at 2. */
dcv_cells dcv_window_cells(const dcv_window_attr *a, int axis, int64_t o);

/* The other way round: cells whose windows cover cell o; lo == hi where none does. */
dcv_cells dcv_window_covers(const dcv_window *w, int64_t o);

/* Take the border away: it is part of the input that is given. */
void dcv_window_crop(dcv_window_attr *a);

/* Input cells of output cell o that lie inside: taps lo <= t < hi, the first at cell at. */
typedef struct dcv_taps {
    int64_t lo, hi, at;
} dcv_taps;
static inline dcv_taps dcv_window_taps(const dcv_window *w, int64_t o, int64_t in)
{
    const int64_t start = o * w->stride - w->pad_lo;
    dcv_taps t = {0, w->kernel, 0};
    if (start < 0)
        t.lo = (-start + w->dilation - 1) / w->dilation;
    if (start + (t.hi - 1) * w->dilation >= in)
        t.hi = in > start ? (in - start + w->dilation - 1) / w->dilation : 0;
    t.at = start + t.lo * w->dilation;
    return t;
}

#endif
