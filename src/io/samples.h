/* samples.h -- an array of numbers in a foreign file, as it is: counts stay counts, floats stay floats.
 *
 * HDF5, FITS, TIFF (8, 16 and 32 bits, floats, pages as the first axis), PNG (8 and 16 bits), JPEG, SAC and text with
 * one trace a column.  One file a kind; samples.c has the table.
 */
#ifndef DCV_IO_SAMPLES_H
#define DCV_IO_SAMPLES_H

#include "deconvoy/tensor.h"

typedef struct dcv_samples dcv_samples;

typedef struct dcv_samples_kind {
    const char *name;
    const char *extensions;                       /* where no kind knows the bytes */
    bool (*knows)(const uint8_t *head, size_t n); /* NULL: never */
    /* Fill in dims, channels, spacing, and values or own.  close is called all the same after a failure. */
    dcv_status (*open)(dcv_samples *s, const char *dataset);
    void (*close)(dcv_samples *s);
    /* n numbers from number first on (C order, channels last), which are whole planes of some axis. */
    dcv_status (*read)(dcv_samples *s, int64_t first, int64_t n, dcv_dtype type, void *to);
} dcv_samples_kind;

struct dcv_samples {
    const dcv_samples_kind *kind;
    char *file, *shown;
    dcv_dims dims;     /* without channels */
    int channels;      /* 1, or 3 for RGB: a last axis that dims does not have */
    double spacing[3]; /* of the last axes, [.., rows, columns]; 0: not known */
    double *values;    /* all of it, where it is small; owned */
    void *own;
};

extern const dcv_samples_kind dcv_samples_h5, dcv_samples_fits, dcv_samples_tiff, dcv_samples_picture, dcv_samples_sac,
    dcv_samples_columns;

/* Open a file that messages call shown.  dataset: inside an .h5; NULL: the only one, else /blur/image, /image, /data.
 * DCV_ENOINPUT, DCV_EDATA, DCV_ECONFIG for a data set that is not there. */
dcv_status dcv_samples_open(const char *file, const char *shown, const char *dataset, dcv_samples **out) DCV_MUST_USE;
void dcv_samples_close(dcv_samples *s); /* NULL is allowed */

/* Read n numbers from number first on: whole planes of some axis.  type: DCV_F32 or DCV_F64.  Thread-safe where each
 * thread has its own. */
dcv_status dcv_samples_read(dcv_samples *s, int64_t first, int64_t n, dcv_dtype type, void *to) DCV_MUST_USE;

int64_t dcv_samples_count(const dcv_samples *s); /* numbers, channels included */

/* Does a text hold numbers from its first line on (traces), or paths (a list)? */
bool dcv_samples_is_columns(const uint8_t *head, size_t n);

/* Is name one of a file that can be opened, by its extension? */
bool dcv_samples_extension(const char *name);

#endif
