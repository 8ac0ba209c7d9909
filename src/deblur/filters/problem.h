/* problem.h -- inside of a solver: frame, spectra, fields of samples.  Compiled twice, see deblur/real.h.
 *
 * A field holds a box of the frame for each channel, of which this rank has the planes that lie in its slab.
 */
#ifndef DCV_DEBLUR_PROBLEM_H
#define DCV_DEBLUR_PROBLEM_H

#include <math.h>
#include "deblur/geometry.h"
#include "deblur/slab/slab.h"
#include "deconvoy/memory.h"

#define EPSILON 1e-6 /* of mean(|y|): the least that stands below a fraction line */

#define problem                N(problem)
#define problem_new            N(problem_new)
#define problem_free           N(problem_free)
#define problem_psf            N(problem_psf)
#define problem_load           N(problem_load)
#define problem_store          N(problem_store)
#define problem_times          N(problem_times)
#define problem_ones           N(problem_ones)
#define problem_chunk          N(problem_chunk)
#define problem_estimate_noise N(problem_estimate_noise)
#define problem_solve          N(problem_solve)
#define problem_blur           N(problem_blur)
#define field_new              N(field_new)
#define field_free             N(field_free)
#define linear_solve           N(linear_solve)
#define lucy_solve             N(lucy_solve)
#define spectrum_new           N(spectrum_new)

typedef struct field {
    box b;
    int64_t first, n; /* planes of the frame that this rank has */
    real *at;         /* [channels][n][b.n[1]][b.n[2]] */
} field;

typedef struct level { /* of one channel of the data */
    double mean, eps;
} level;

typedef struct problem problem;
struct problem {
    dcv_deblur_spec spec;
    geometry geo;
    dcv_psf psf; /* normalised copy */
    group *group;
    pool *pool;
    slab *slab;
    real *otf;         /* [own batches][m0][2][LANES], as columns lie in the slab: spectrum of the PSF */
    real *back;        /* of what stands for its adjoint, where that is something else; else NULL */
    field y;           /* data */
    field ones;        /* 1 / H^T 1 of an unmatched back projector; else at is NULL */
    double scale;      /* 1 / samples of the frame */
    double otf_max;    /* max |H| */
    double *cumulated; /* [p0+1][p1+1][p2+1]: sums of the PSF over boxes from the origin, for H^T 1; NULL: it is 1 */
    real *inner;       /* 1 / H^T 1 along a row in whose plane nothing of the PSF is lost */
    real **scratch;    /* [threads]: a row */
    level *level;      /* [channels] */
    int64_t negative;  /* data below 0 */
    double adjoint_error;
    const dcv_deblur_io *io;
    dcv_deblur_facts *facts;
};

dcv_status problem_new(const dcv_deblur_spec *spec, const dcv_psf *psf, int comm, int threads,
                       problem **out) DCV_MUST_USE;
void problem_free(problem *p);

/* Take a PSF of the same size and centre: spectrum, sums, adjoint test.  Collective. */
dcv_status problem_psf(problem *p, const dcv_psf *psf) DCV_MUST_USE;

/* Planes of the data that are read or written at a time. */
int64_t problem_chunk(const dcv_deblur_spec *spec, const geometry *g);

/* Read the object's data into y, continued by reflection where the geometry says so.  Finds NaN, levels and how many
 * samples are below 0.  Collective. */
dcv_status problem_load(problem *p) DCV_MUST_USE;

/* Write the window of a field.  Collective. */
dcv_status problem_store(problem *p, const field *f) DCV_MUST_USE;

dcv_status field_new(const problem *p, const box *b, field *out) DCV_MUST_USE;
void field_free(field *f);

static inline bool field_has(const field *f, int64_t i0, int64_t i1)
{
    return i0 >= f->first && i0 < f->first + f->n && i1 >= f->b.at[1] && i1 < f->b.at[1] + f->b.n[1];
}

/* Row (i0, i1) of the frame: b.n[2] samples, from b.at[2] on.  NULL: the field has none there. */
static inline real *field_row(const field *f, int channel, int64_t i0, int64_t i1)
{
    if (!field_has(f, i0, i1))
        return NULL;
    return f->at + (((channel * f->n + i0 - f->first) * f->b.n[1]) + i1 - f->b.at[1]) * f->b.n[2];
}

static inline int64_t field_count(const problem *p, const field *f)
{
    return p->spec.channels * f->n * f->b.n[1] * f->b.n[2];
}

static inline bool in_box(const box *b, int64_t i0, int64_t i1)
{
    return i0 >= b->at[0] && i0 < b->at[0] + b->n[0] && i1 >= b->at[1] && i1 < b->at[1] + b->n[1];
}

/* Columns of the frame times H (or, adjoint, what maps back), between two row passes. */
void problem_times(problem *p, bool adjoint);

/* 1 / H^T 1 along row (i0, i1) of the object, 0 where the object is not defined (H^T 1 <= 0.01); NULL: 1 everywhere. */
const real *problem_ones(problem *p, int64_t i0, int64_t i1, int thread);

/* Where the part of a batch begins in a spectrum. */
static inline int64_t spectrum_at(const problem *p, const slab_batch *b)
{
    return (b->own * p->slab->shape.m[0] + b->place) * PAIR;
}

dcv_status spectrum_new(const problem *p, real **out) DCV_MUST_USE;

/* Gain and read noise as the specification has them, or estimated from the data. Collective. */
dcv_status problem_estimate_noise(problem *p, double *gain, double *read) DCV_MUST_USE;

dcv_status linear_solve(problem *p) DCV_MUST_USE;
dcv_status lucy_solve(problem *p) DCV_MUST_USE;
dcv_status problem_solve(problem *p, const dcv_deblur_io *io, dcv_deblur_facts *facts) DCV_MUST_USE;
dcv_status problem_blur(problem *p, const dcv_deblur_io *io, const dcv_blur_noise *noise) DCV_MUST_USE;

#endif
