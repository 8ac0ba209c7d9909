/* deblur.h -- deconvolution of one object by one point spread function, over all ranks or on one.
 *
 * An object is a frame's worth of samples, [n0, n1, n2, channels] (a picture has n1 = 1, a trace n0 = n1 = 1); ranks
 * hold slabs of axis 0.  What each method computes: the page "Deblurring" of the project's definitions, and the top of
 * each file of src/deblur/filters.  All results are the same bytes for any number of ranks and threads.
 */
#ifndef DECONVOY_DEBLUR_H
#define DECONVOY_DEBLUR_H

#include "deconvoy/psf.h"
#include "deconvoy/tensor.h"

/* In the order of the words of deblur.method. */
typedef enum dcv_method {
    DCV_INVERSE,
    DCV_WIENER,
    DCV_TIKHONOV,
    DCV_LANDWEBER,
    DCV_RICHARDSON_LUCY,
    DCV_RL_TV,
    DCV_WATER_LEVEL,
    DCV_ITERATIVE_SPIKES
} dcv_method;
typedef enum dcv_boundary { DCV_UNKNOWN, DCV_REFLECT, DCV_PERIODIC, DCV_ZERO } dcv_boundary;
typedef enum dcv_acceleration { DCV_PLAIN, DCV_BIGGS_ANDREWS, DCV_WIENER_BUTTERWORTH } dcv_acceleration;
typedef enum dcv_stop_rule {
    DCV_STOP_ITERATIONS,
    DCV_STOP_THINNING,
    DCV_STOP_DISCREPANCY,
    DCV_STOP_CHANGE
} dcv_stop_rule;

typedef struct dcv_deblur_spec {
    dcv_method method;
    dcv_acceleration acceleration;
    dcv_boundary boundary;
    dcv_stop_rule stop;
    bool skimage;          /* scikit-image's definitions */
    double regularisation; /* NaN: auto */
    double tolerance;      /* of the change, for that rule */
    int64_t iterations;    /* at most; 0 for methods without */
    double gain, read;     /* of the noise; 0: estimated */
    double background;
    double spacing[3]; /* of the frame's axes */
    uint64_t seed;     /* of the thinning */
    int dimensions;    /* blurred axes, the last ones of the frame */
    int64_t n[3];      /* of the data */
    int channels;
} dcv_deblur_spec;

/* Where the samples of one object come from and go to: planes [first, first + n) of axis 0, as [n][n1][n2][channels] of
 * the solver's type.  Called by the main thread of a rank for planes of its own; collective calls are not allowed. */
typedef struct dcv_deblur_io {
    void *ctx;
    dcv_status (*read)(void *ctx, int64_t first, int64_t n, void *to);
    dcv_status (*write)(void *ctx, int64_t first, int64_t n, const void *from);
    /* State of the iterations: bytes of the whole at an offset; all ranks write and read their parts.  All NULL: none
     * is kept.  wants: is it time to save (1), to save and stop (2), or to go on (0)?  Same answer on every rank.
     * begin: a new state of so many bytes; end: all ranks have written.  found: the bytes of the state that is
     * there, 0: none.  Collective. */
    int (*wants)(void *ctx, int64_t iteration);
    dcv_status (*save_begin)(void *ctx, int64_t bytes);
    dcv_status (*save)(void *ctx, int64_t offset, int64_t bytes, const void *from);
    dcv_status (*save_end)(void *ctx);
    int64_t (*found)(void *ctx);
    dcv_status (*load)(void *ctx, int64_t offset, int64_t bytes, void *to);
} dcv_deblur_io;

typedef struct dcv_history {
    double divergence, change, flux, chi2;
} dcv_history;

/* What else a result says. */
typedef struct dcv_deblur_facts {
    int64_t iterations;
    double regularisation; /* NaN where the method has none */
    double gain, read;     /* of the noise, as given or estimated; NaN where nothing asks for it */
    double adjoint_error;
    dcv_stop_rule stopped_by; /* of methods with iterations */
    int64_t negative;         /* data below 0, which counted as 0 */
    dcv_history *history;     /* [spec.iterations], the caller's; the first `iterations` are filled in */
} dcv_deblur_facts;

/* A solver for objects of one shape, float32 or float64. */
typedef struct dcv_deblur dcv_deblur;

/* Make it.
 *
 * type     DCV_F32 or DCV_F64: of the samples that io passes
 * comm     MPI_Comm_c2f() of the ranks that share objects, or -1: this process alone
 * threads  >= 1 of this rank
 *
 * DCV_EDATA for axes beyond FFTW's limits, DCV_ECONFIG for what does not go together (a PSF larger than the frame),
 * DCV_ENOMEM.  *out NULL then.  Collective on comm, but local where comm is -1. */
dcv_status dcv_deblur_new(const dcv_deblur_spec *spec, const dcv_psf *psf, dcv_dtype type, int comm, int threads,
                          dcv_deblur **out) DCV_MUST_USE;
void dcv_deblur_free(dcv_deblur *d); /* NULL is allowed */

/* Use another PSF of the same size and centre.  Collective. */
dcv_status dcv_deblur_psf(dcv_deblur *d, const dcv_psf *psf) DCV_MUST_USE;

/* |<Hx,y> - <x,H^T y>| / (|Hx| |y|) for random x, y: how well the two directions fit each other. */
double dcv_deblur_adjoint_error(const dcv_deblur *d);

/* Deblur one object.  DCV_EDATA for NaN or infinity in the data (the first place, zero-based, in C order), DCV_ESTOP
 * where io.wants says so; what io returns.  Collective. */
dcv_status dcv_deblur_run(dcv_deblur *d, const dcv_deblur_io *io, dcv_deblur_facts *facts) DCV_MUST_USE;

/* The forward model instead: y = noise(H x + background). */
typedef struct dcv_blur_noise {
    double background;
    double poisson;  /* counts at the brightest sample; 0: none */
    double gaussian; /* sigma */
    uint64_t seed;
    int64_t first; /* number of the object's first sample among all, so that each has noise of its own */
} dcv_blur_noise;
dcv_status dcv_blur_run(dcv_deblur *d, const dcv_deblur_io *io, const dcv_blur_noise *noise) DCV_MUST_USE;

/* Traces: one-dimensional deconvolution by a source wavelet, on lags of both signs.  float64 inside. */
typedef struct dcv_trace_spec {
    dcv_method method;     /* DCV_WATER_LEVEL or DCV_ITERATIVE_SPIKES */
    int64_t n;             /* samples of a trace */
    double sampling;       /* s */
    double gaussian;       /* low-pass exp(-w^2 / (4 a^2)), rad/s */
    double regularisation; /* NaN: auto = 0.01 */
    double tolerance;
    int64_t iterations;
    double lag0, lag1; /* s, both included */
} dcv_trace_spec;
typedef struct dcv_trace dcv_trace;
dcv_status dcv_trace_new(const dcv_trace_spec *spec, const dcv_psf *wavelet, dcv_trace **out) DCV_MUST_USE;
void dcv_trace_free(dcv_trace *t);
int64_t dcv_trace_lags(const dcv_trace_spec *spec, int64_t *first); /* how many; number of the first, in samples */
dcv_status dcv_trace_run(dcv_trace *t, const double *trace, double *lags, dcv_deblur_facts *facts) DCV_MUST_USE;

/* The frame that data of n samples and a PSF of p take: its axes.  Bytes that a rank of ranks, near of which
 * are on a node, holds at most; of what a node's ranks share its part. */
void dcv_deblur_frame(const dcv_deblur_spec *spec, const dcv_psf *psf, int64_t m[3]);
int64_t dcv_deblur_bytes(const dcv_deblur_spec *spec, const dcv_psf *psf, dcv_dtype type, int ranks, int near,
                         int threads);

/* FLOP of the transforms, about: of one iteration, and of what is done once. */
double dcv_deblur_flop(const dcv_deblur_spec *spec, const dcv_psf *psf, bool once);

/* "fftw 3.3.10 avx": what results depend on. */
const char *dcv_deblur_numerics(void);

#endif
