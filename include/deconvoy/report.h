/* report.h -- pictures and texts from a finished result, for people. */
#ifndef DECONVOY_REPORT_H
#define DECONVOY_REPORT_H

#include <stdio.h>
#include "deconvoy/status.h"

/* Write what there is to see of a result into a folder: pictures, texts, and index.html with all of them in it.
 *
 * result  the HDF5 file
 * dir     folder, made with its parents; NULL: the result's name without .h5, with _report
 * to      gets the path of each file written, a line each
 *
 * DCV_ENOINPUT, DCV_EDATA (no result, or not of the shape that its job has), DCV_ESTOP (a .part), DCV_EIO.  A job
 * without pictures has the page alone.  Local; wants MPI down, since it forks a probe. */
dcv_status dcv_report(const char *result, const char *dir, FILE *to) DCV_MUST_USE;

#endif
