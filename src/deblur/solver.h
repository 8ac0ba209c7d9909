/* solver.h -- the two compilations of a solver, behind one table. */
#ifndef DCV_DEBLUR_SOLVER_H
#define DCV_DEBLUR_SOLVER_H

#include <math.h>
#include "deconvoy/deblur.h"

/* Is the regularisation found by cross-validation?  The inverse has a default, landweber none. */
static inline bool cross_validates(const dcv_deblur_spec *s)
{
    return isnan(s->regularisation) && (s->method == DCV_WIENER || s->method == DCV_TIKHONOV);
}

typedef struct solver_ops {
    dcv_status (*make)(const dcv_deblur_spec *spec, const dcv_psf *psf, int comm, int threads, void **out);
    void (*free)(void *s);
    dcv_status (*psf)(void *s, const dcv_psf *psf);
    dcv_status (*solve)(void *s, const dcv_deblur_io *io, dcv_deblur_facts *facts);
    dcv_status (*blur)(void *s, const dcv_deblur_io *io, const dcv_blur_noise *noise);
    double (*adjoint_error)(const void *s);
    int64_t (*bytes)(const dcv_deblur_spec *spec, const dcv_psf *psf, int ranks, int near, int threads);
} solver_ops;

extern const solver_ops solver_ops_f32, solver_ops_f64;

#endif
