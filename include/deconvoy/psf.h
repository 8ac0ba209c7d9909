/* psf.h -- point spread functions: what one point of the object becomes in the data.
 *
 * Axes are those of a frame: [a0, a1, a2]; a picture has a1 = 1, a trace a0 = a1 = 1.  Local.
 */
#ifndef DECONVOY_PSF_H
#define DECONVOY_PSF_H

#include <stdbool.h>
#include <stdint.h>
#include "deconvoy/status.h"

typedef struct dcv_psf {
    int64_t size[3];
    int64_t centre[3]; /* the sample that stands for the point itself */
    double *at;        /* [a0][a1][a2]; owned, dcv_psf_clear() */
} dcv_psf;

/* In the order of the words of psf.kind. */
typedef enum dcv_psf_kind {
    DCV_PSF_GAUSSIAN,
    DCV_PSF_MOFFAT,
    DCV_PSF_AIRY,
    DCV_PSF_DISK,
    DCV_PSF_MOTION,
    DCV_PSF_GIBSON_LANNI,
    DCV_PSF_FILE
} dcv_psf_kind;

typedef struct dcv_psf_formula {
    dcv_psf_kind kind;
    int dimensions;    /* 1 .. 3: blurred axes; airy, disk and motion lie in the last two */
    double spacing[3]; /* of the frame's axes: the unit of fwhm, radius and length; gibson_lanni has its own */
    double fwhm[3];    /* of the frame's axes; moffat, airy: the last one */
    double beta, radius, length, angle;
    double na, wavelength, immersion, sample, thickness, depth, pixel, step;
    int64_t size[3]; /* support on the frame's axes; 0: as large as it takes */
} dcv_psf_formula;

/* Samples of a formula, origin at sample floor(p/2), sum 1.
 *
 * Without a size the support leaves out 1e-4 of the sum along each axis, and is at most 8 FWHM wide.
 * gaussian, moffat, airy: values at sample centres.  disk: area of the disk in each sample.  motion: length of the path
 * in each sample; the path starts at the origin's edge and goes `length` on, so that whole lengths at angle 0
 * give as many equal samples.  gibson_lanni: |integral over the pupil|^2 with the optical path depth sqrt(sample^2 -
 * a^2)
 * + (z + thickness) sqrt(immersion^2 - a^2), a = na * rho (Gibson & Lanni 1991, a design condition in focus at z = 0).
 *
 * DCV_ECONFIG: the support would have more than 2^28 samples, or no mass; DCV_ENOMEM.  out is cleared then. */
dcv_status dcv_psf_make(const dcv_psf_formula *f, dcv_psf *out) DCV_MUST_USE;

typedef enum dcv_psf_centre { DCV_CENTRE_FLOOR, DCV_CENTRE_MAX, DCV_CENTRE_CENTROID } dcv_psf_centre;

/* Set the centre of samples that came from a file: floor(p/2), the first largest, or the sample nearest to the centre
 * of mass. */
void dcv_psf_centre_at(dcv_psf *p, dcv_psf_centre how);

/* Divide by the sum.  DCV_EDATA if that is not a positive number, or a sample is not finite. */
dcv_status dcv_psf_normalise(dcv_psf *p) DCV_MUST_USE;

/* Full width at half maximum along the frame's axis, in samples: along the line through the largest sample, between
 * samples linear; at least 1. */
double dcv_psf_width(const dcv_psf *p, int axis);

void dcv_psf_clear(dcv_psf *p);

#endif
