/* regions.h -- rows of a result that are missing, or smaller than their data set's. */
#ifndef DCV_JOBS_REGIONS_H
#define DCV_JOBS_REGIONS_H

#include "deconvoy/output.h"

/* What stands for n elements that there are none of: NaN for floats, -1 for signed integers, 0 for unsigned ones. */
dcv_status dcv_put_missing(dcv_result *r, int id, dcv_dtype type, int64_t first, int64_t n) DCV_MUST_USE;

/* An array of extents own in the corner of a row of extents all (as many axes, none smaller); NaN beyond it. */
dcv_status dcv_put_within(dcv_result *r, int id, int64_t first, const dcv_dims *all, const float *values,
                          const dcv_dims *own) DCV_MUST_USE;

#endif
