/* objects.h -- what `deblur` and `blur` work on: one array, or many of one size.
 *
 * One file: its last `dimensions` axes are an object, axes before them number objects.  A folder or a list: one object
 * a file, all of one size.
 */
#ifndef DCV_JOBS_OBJECTS_H
#define DCV_JOBS_OBJECTS_H

#include <pthread.h>
#include "deconvoy/config.h"
#include "deconvoy/hash.h"
#include "deconvoy/output.h"
#include "io/samples.h"

typedef struct objects {
    const dcv_config *config;
    const char *key;     /* "deblur.input" */
    const char *dataset; /* inside an .h5; NULL: the usual one */
    int dimensions;
    int64_t n;     /* objects */
    bool many;     /* the input has axes before the object's, or is many files */
    dcv_dims lead; /* those axes; of files: how many */
    dcv_dims dims; /* of one object, without channels */
    int channels;
    int64_t frame[3];  /* the same on a frame's axes */
    double spacing[3]; /* on a frame's axes, as the file says; 0: not known */
    char **file;       /* [n] of many files, paths as given or relative to the folder; else NULL */
    char *base;        /* folder that they are relative to */
    dcv_samples *open; /* the one file */
    pthread_mutex_t lock;
    dcv_sha256 sha256; /* of names, sizes and shape */
} objects;

/* Open the input that key names.  DCV_ENOINPUT, DCV_EDATA, DCV_ECONFIG (dimensions).  objects_close() also after a
 * failure. */
dcv_status objects_open(objects *o, const dcv_config *c, const char *key, const char *input, const char *dataset,
                        int dimensions) DCV_MUST_USE;
void objects_close(objects *o);

/* Object i, open for reading by the caller alone (files), or shared (one file). */
typedef struct object {
    objects *all;
    int64_t i;
    dcv_samples *own; /* NULL: shared */
} object;
dcv_status object_open(objects *o, int64_t i, object *out) DCV_MUST_USE; /* DCV_EDATA where its size is another */
void object_close(object *x);

/* Planes [first, first + n) of the frame's axis 0, all channels, as type. */
dcv_status object_read(object *x, int64_t first, int64_t n, dcv_dtype type, void *to) DCV_MUST_USE;

int64_t objects_values(const objects *o);                           /* of one object */
int64_t objects_plane(const objects *o);                            /* of one plane of a frame's axis 0 */
void objects_name(const objects *o, int64_t i, char *to, size_t n); /* file's, or "000123" */

/* Axes of dims, the last ones of a frame, to a frame's axes; missing ones are fill. */
void objects_to_frame(const int64_t *dims, int n, int64_t fill, int64_t frame[3]);

/* Shape of a result: leading axes, the object's, and channels. */
dcv_dims objects_dims(const objects *o);

/* Declare /inputs, with what is known of it; ids of the status. */
dcv_status objects_declare(const objects *o, dcv_store *s, int *id_status) DCV_MUST_USE;

/* Try to open an input in a child, before MPI is up: hostile files kill their readers. */
dcv_status objects_probe(const dcv_config *c, const char *input, const char *dataset) DCV_MUST_USE;

#endif
