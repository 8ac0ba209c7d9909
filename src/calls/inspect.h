/* inspect.h -- what is in a file; one function a kind of file. */
#ifndef DCV_CALLS_INSPECT_H
#define DCV_CALLS_INSPECT_H

#include <stdio.h>
#include "deconvoy/field.h"

typedef struct dcv_inspect {
    const char *file;
    bool json;
    dcv_ints input_shape; /* --input-shape; n = 0: none */
} dcv_inspect;

/* Which kind of file it is, and then one of those below.  DCV_ENOINPUT, DCV_EDATA. */
dcv_status dcv_inspect_file(const dcv_inspect *o, FILE *to) DCV_MUST_USE;

/* A model with an operator that we do not have is listed without shapes; then DCV_EUNSUPPORTED. */
dcv_status dcv_inspect_model(const dcv_inspect *o, FILE *to) DCV_MUST_USE;

/* An HDF5 file: a result, a run under way (.part), or data. */
dcv_status dcv_inspect_h5(const dcv_inspect *o, FILE *to) DCV_MUST_USE;

/* Pictures: a folder, list, tar, IDX file or one of them. */
dcv_status dcv_inspect_pictures(const dcv_inspect *o, FILE *to) DCV_MUST_USE;

#endif
