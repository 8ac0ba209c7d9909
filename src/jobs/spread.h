/* spread.h -- options that `deblur` and `blur` share: the section psf, and how it becomes samples. */
#ifndef DCV_JOBS_SPREAD_H
#define DCV_JOBS_SPREAD_H

#include "deconvoy/config.h"
#include "deconvoy/psf.h"
#include "jobs/objects.h"

typedef struct psf_options {
    int kind; /* dcv_psf_kind */
    dcv_reals fwhm;
    double beta, radius, length, angle;
    double na, wavelength, immersion, sample, thickness, depth, pixel, step;
    dcv_ints size;
    char *file, *dataset;
    dcv_ints centre; /* word: floor, max, centroid */
} psf_options;

extern const dcv_field psf_fields[];

/* The PSF of a job: one for all objects, or one each. */
typedef struct spread {
    dcv_psf psf;       /* the first of several */
    bool whole;        /* its sum may be 0, and is left as it is then: a wavelet */
    bool as_it_is;     /* not normalised (compat) */
    bool low_centre;   /* the origin of even sizes is (size - 1) / 2 (compat) */
    int64_t n;         /* 1, or as many as there are objects */
    dcv_samples *file; /* of several */
    const psf_options *o;
    int dimensions;
} spread;

/* Refuse options that are missing or do not go with the kind, after reading.  section: "deblur". */
dcv_status spread_check(const dcv_config *c, const char *section, const psf_options *o, int dimensions) DCV_MUST_USE;

/* Make the PSF for objects.  spacing: on the frame's axes.  DCV_EDATA, DCV_ECONFIG, DCV_ENOINPUT.  spread_close() also
 * after a failure. */
dcv_status spread_open(spread *s, const dcv_config *c, const char *section, const psf_options *o, const objects *all,
                       const double spacing[3]) DCV_MUST_USE;
void spread_close(spread *s);

/* PSF number i of several, new; the caller clears it. */
dcv_status spread_of(const spread *s, int64_t i, dcv_psf *out) DCV_MUST_USE;

/* Shape of one PSF without the frame's missing axes. */
dcv_dims spread_dims(const spread *s);

/* The voxel size on the frame's axes: of the options if written (n values, the last axes; 1 counts for all), else the
 * file's, else 1. */
void spacing_of(const dcv_reals *written, const objects *all, double spacing[3]);

/* Free memory of this node or its container, bytes. */
int64_t free_memory(void);

/* Is there enough: need bytes a rank, by runtime.memory or 80 % of what is free shared by node_ranks?  fitting: ranks
 * that would do, 0: not known.  Says what it takes on to if that is not NULL. */
dcv_status check_room(const dcv_config *c, int64_t need, int node_ranks, int64_t fitting, FILE *to) DCV_MUST_USE;

#endif
