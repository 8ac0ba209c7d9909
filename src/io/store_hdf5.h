/* store_hdf5.h -- what the files of the HDF5 door share: the lock, the property lists, the way from HDF5's
 * error stack to one line.
 *
 * HDF5 is built without thread safety: every call into it is made between h5_lock() and
 * h5_unlock().  The functions below want the lock held.
 */
#ifndef DCV_IO_STORE_HDF5_H
#define DCV_IO_STORE_HDF5_H

#define H5_USE_110_API
#include <hdf5.h>
#include "deconvoy/memory.h"
#include "deconvoy/store.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "results are little-endian and written as they lie in memory");

void h5_lock(void); /* also opens the library once, its own printing turned off */
void h5_unlock(void);

/* DCV_OK if result, what an HDF5 call returned, is not negative; else code with "file: path: reason", path left out
 * where it is NULL. */
dcv_status h5_need(int64_t result, dcv_status code, const char *file, const char *path) DCV_MUST_USE;

/* Identifiers that are closed together, the last first. */
typedef struct h5_held {
    hid_t id[24];
    int n;
} h5_held;
hid_t h5_hold(h5_held *h, hid_t id); /* returns id; a negative one is not kept */
bool h5_release(h5_held *h); /* false where HDF5 could not close one: what it held back is lost */

/* Access list for sec2 files: 1.8 format, no file locks, closing takes everything with it. */
hid_t h5_access(void);

/* --- Declarations (store.c), for those that write and compare them ------------------- */

enum { STORE_STRUCTURE, STORE_PATHS, STORE_CRCS, STORE_N_SUMS };
#define STORE_U32 DCV_N_DTYPE /* one more element type, for check sums */

typedef struct store_axis {
    int scale;         /* number of a data set, -1 none */
    const char *label; /* NULL: none */
} store_axis;

typedef struct store_dataset {
    dcv_region region;
    int type; /* dcv_dtype or STORE_U32 */
    int64_t text_bytes;
    void *values; /* owned; NULL: not known yet */
    store_axis axis[DCV_MAX_RANK];
    bool is_scale;
    int image_channels; /* 0: not a picture */
} store_dataset;

typedef struct store_attribute {
    const char *path, *name;
    const char *text; /* NULL: v counts */
    int64_t v;        /* of ints or reals: how many */
    const int64_t *ints;
    const double *reals;
} store_attribute;

typedef struct store_nxdata {
    const char *group, *signal;
    const char **axes;
    int n_axes;
} store_nxdata;

struct dcv_store {
    dcv_arena *arena;
    store_dataset **set;
    int n_sets;
    store_attribute *attribute;
    int n_attributes;
    store_nxdata *nxdata;
    int n_nxdata;
    store_dataset *sum[STORE_N_SUMS]; /* NULL before store_declare_sums() */
};

/* Declare the data sets of /checksums. */
dcv_status store_declare_sums(dcv_store *s) DCV_MUST_USE;

/* A new reference to the type of d in the file; memory has the same. */
hid_t store_type(const store_dataset *d);
hid_t store_space(const dcv_dims *dims);

/* Write all attributes once the data sets are there (store_attributes.c). */
dcv_status store_write_attributes(const dcv_store *s, hid_t file, const char *name) DCV_MUST_USE;

#endif
