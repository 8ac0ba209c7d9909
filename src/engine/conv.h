/* conv.h -- one prepared convolution: what a back end must offer.
 *
 * The interface between the engine and oneDNN or OpenBLAS; each back end is one file with a
 * const dcv_backend.  Shapes are fixed when it is made.
 */
#ifndef DCV_ENGINE_CONV_H
#define DCV_ENGINE_CONV_H

#include "deconvoy/engine.h"

typedef enum dcv_act { DCV_ACT_NONE, DCV_ACT_RELU, DCV_ACT_CLIP } dcv_act; /* fused activation */

typedef struct dcv_conv_desc {
    int n;                  /* pictures in one call */
    int n_space;            /* 1, 2 or 3; arrays below are [depth,] rows, cols */
    int64_t groups, ic, oc; /* all channels, not per group */
    int64_t in[DCV_MAX_SPACE], out[DCV_MAX_SPACE];
    dcv_window win[DCV_MAX_SPACE];
    bool has_bias, add; /* add: y = act(conv + bias + y), y given by the caller */
    dcv_act act;
    float act_lo, act_hi; /* DCV_ACT_CLIP */
    dcv_precision precision;
    int x_block, y_block;       /* layouts: 1, 8 or 16 */
    int64_t x_stride, y_stride; /* floats from a picture to the next */
} dcv_conv_desc;

typedef struct dcv_conv dcv_conv;

typedef struct dcv_backend {
    const char *name;
    /* Blocks this back end wants for d (x_block, y_block and strides of d are ignored). */
    void (*layout)(const dcv_conv_desc *d, int *x_block, int *y_block);
    dcv_status (*conv_new)(const dcv_conv_desc *d, dcv_conv **out);
    void (*conv_free)(dcv_conv *c);
    size_t (*packed_bytes)(const dcv_conv *c);
    size_t (*scratch_bytes)(const dcv_conv *c);
    /* w: [oc, ic/groups, kernel...] row-major; scale, if not NULL, [oc] multiplies output channels (folded BatchNorm).
     */
    void (*pack)(const dcv_conv *c, const float *w, const float *scale, void *packed);
    /* bias: [oc padded to y_block] or NULL. */
    void (*run)(const dcv_conv *c, const float *x, const void *packed, const float *bias, float *y, void *scratch);
    const char *(*kernel)(const dcv_conv *c); /* name of the kernel that was chosen, for bench --layers */
} dcv_backend;

extern const dcv_backend dcv_backend_blas;
#ifdef DCV_HAVE_ONEDNN
extern const dcv_backend dcv_backend_onednn;
#endif

/* Row-major single-precision product C = alpha A B + beta C, m x k by k x n (transposed as asked), one thread. */
void dcv_sgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
               const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
