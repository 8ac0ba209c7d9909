/* conv.h -- a convolution of fixed shape, packed weights, fused bias, sum and activation: one back end's offer.
 *
 * The interface between the engine and oneDNN or OpenBLAS; each back end is one file with a
 * const dcv_backend.  Shapes are fixed when it is made.
 */
#ifndef DCV_ENGINE_CONV_H
#define DCV_ENGINE_CONV_H

#include "deconvoy/engine.h"

/* Fused activation.  SILU: x / (1 + exp(-x)); HARD_SWISH: x min(max(x / 6 + 1/2, 0), 1). */
typedef enum dcv_act {
    DCV_ACT_NONE,
    DCV_ACT_RELU,
    DCV_ACT_CLIP,
    DCV_ACT_LEAKY,
    DCV_ACT_SILU,
    DCV_ACT_HARD_SWISH
} dcv_act;

typedef struct dcv_conv_desc {
    bool transposed;        /* see transposed.h */
    int n;                  /* pictures in one call */
    int together;           /* 2 or more: pictures that run_some() will mostly be given at once; weighs in choices */
    int n_space;            /* 1, 2 or 3; arrays below are [depth,] rows, cols */
    int64_t groups, ic, oc; /* all channels, not per group */
    int64_t in[DCV_MAX_SPACE], out[DCV_MAX_SPACE];
    dcv_window win[DCV_MAX_SPACE];
    bool has_bias, add; /* add: y = act(conv + bias + y), y given by the caller */
    dcv_act act;
    float act_lo, act_hi; /* DCV_ACT_CLIP: act_lo <= 0 <= act_hi, so that lanes past oc stay 0; DCV_ACT_LEAKY: act_lo
                             is what negative numbers are multiplied by */
    dcv_precision precision;
    int x_block, y_block;       /* layouts: 1, 8 or 16; as layout() says */
    int64_t x_stride, y_stride; /* floats from a picture to the next */
} dcv_conv_desc;

typedef struct dcv_conv dcv_conv;           /* const once made: all threads use it */
typedef struct dcv_conv_call dcv_conv_call; /* one thread's handle on it */

typedef struct dcv_backend {
    const char *name;
    /* "onednn 2.6.3 avx512": name, version, instruction set. */
    const char *(*numerics)(void);
    /* dcv_backend_limit() */
    dcv_status (*limit)(int set);
    /* Let this thread's calls run on this thread alone. */
    void (*one_thread)(void);
    /* Channel block that this machine's kernels like: 1, 8 or 16. */
    int (*block)(void);
    /* Kernels of our own may use: 0 none, 1 AVX2, 2 AVX-512, in these blocks. */
    int (*own)(void);
    /* Blocks this back end wants for d (x_block, y_block and strides of d are ignored). */
    void (*layout)(const dcv_conv_desc *d, int *x_block, int *y_block);
    /* DCV_ENOMEM; DCV_EINTERNAL if the library refuses. */
    dcv_status (*conv_new)(const dcv_conv_desc *d, dcv_conv **out);
    void (*conv_free)(dcv_conv *c);
    dcv_status (*call_new)(const dcv_conv *c, dcv_conv_call **out);
    void (*call_free)(dcv_conv_call *call);
    size_t (*packed_bytes)(const dcv_conv *c);
    /* Would both pack the same weights to the same bytes? */
    bool (*same_packing)(const dcv_conv *a, const dcv_conv *b);
    size_t (*scratch_bytes)(const dcv_conv *c);
    /* w: [oc, ic/groups, kernel...] row-major; scale, if not NULL, [oc] multiplies output channels (folded
     * BatchNorm).  packed: 64-byte aligned. */
    dcv_status (*pack)(const dcv_conv *c, const float *w, const float *scale, void *packed);
    /* bias: [oc padded to y_block, 0 past oc] or NULL.  scratch: 64-byte aligned, this thread's. */
    void (*run)(dcv_conv_call *call, const float *x, const void *packed, const float *bias, float *y, void *scratch);
    /* NULL, or the same for n pictures that lie x_stride and y_stride floats apart; of a convolution made for one. */
    void (*run_some)(dcv_conv_call *call, int n, const float *x, int64_t x_stride, const void *packed,
                     const float *bias, float *y, int64_t y_stride, void *scratch);
    const char *(*kernel)(const dcv_conv *c); /* name of the kernel that was chosen, for bench --layers */
} dcv_backend;

extern const dcv_backend dcv_backend_blas;
#ifdef DCV_HAVE_ONEDNN
extern const dcv_backend dcv_backend_onednn;
#endif

const dcv_backend *dcv_backend_of(dcv_backend_kind kind);

/* Multiply-adds of one picture. */
int64_t dcv_conv_macs(const dcv_conv_desc *d);

/* Can dcv_sgemm() be told such extents?  DCV_EUNSUPPORTED: to be asked where shapes become known. */
dcv_status dcv_sgemm_fits(int64_t m, int64_t n, int64_t k) DCV_MUST_USE;

/* Row-major single-precision product C = alpha A B + beta C, m x k by k x n (transposed as asked), one thread. */
void dcv_sgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
               const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
