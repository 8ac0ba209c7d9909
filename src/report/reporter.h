/* reporter.h -- one kind of result, drawn: one file and one line in reporters.def each. */
#ifndef DCV_REPORT_REPORTER_H
#define DCV_REPORT_REPORTER_H

#include <stdio.h>
#include "deconvoy/store.h"

typedef struct dcv_report_files { /* written so far, in order */
    char **path;
    int n;
} dcv_report_files;

typedef struct dcv_report_in {
    const char *file; /* for messages */
    dcv_h5 *h5;
    const char *dir;         /* is there */
    FILE *to;                /* paths of the files written */
    dcv_report_files *files; /* the same, for the page */
} dcv_report_in;

typedef struct dcv_reporter {
    const char *job;
    dcv_status (*run)(const dcv_report_in *in);
} dcv_reporter;

/* Name of a file in the report's folder for a thing of any name: what a file system or shell may trip over
 * becomes _ and a number that keeps names apart.  New memory, NULL if refused. */
char *dcv_report_path(const dcv_report_in *in, const char *name, const char *ending) DCV_MUST_USE;

/* Shape of a data set that must be there, of that rank; DCV_EDATA otherwise. */
dcv_status dcv_report_shape(const dcv_report_in *in, const char *path, int rank, dcv_dims *out) DCV_MUST_USE;

/* "class 7 sneaker" into to: with its name where the result has one. */
dcv_status dcv_report_class(const dcv_report_in *in, int class_, char *to, size_t n) DCV_MUST_USE;

/* Print the path of a file that a reporter has written, and keep it for the page.  DCV_ENOMEM. */
dcv_status dcv_report_wrote(const dcv_report_in *in, const char *path) DCV_MUST_USE;

#endif
