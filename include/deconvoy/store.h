/* store.h -- the HDF5 result file: the only door to writing HDF5.
 *
 * Rank 0 declares every data set, then makes the whole skeleton at once (contiguous,
 * early-allocated, never filled, no times), so that metadata never changes again.  Result bytes
 * go in with pwrite at the offsets given here; see output.h.  The same declarations
 * in the same order give the same bytes.
 */
#ifndef DECONVOY_STORE_H
#define DECONVOY_STORE_H

#include "deconvoy/tensor.h"

typedef struct dcv_store dcv_store; /* declarations: what the file will hold */

dcv_status dcv_store_new(dcv_store **out) DCV_MUST_USE;
void dcv_store_free(dcv_store *s);

/* Root (path "/") or group or data set attributes; text is UTF-8, fixed length. */
dcv_status dcv_store_text(dcv_store *s, const char *path, const char *name, const char *text) DCV_MUST_USE;
dcv_status dcv_store_int(dcv_store *s, const char *path, const char *name, int64_t v) DCV_MUST_USE;
dcv_status dcv_store_ints(dcv_store *s, const char *path, const char *name, const int64_t *v, int n) DCV_MUST_USE;
dcv_status dcv_store_reals(dcv_store *s, const char *path, const char *name, const double *v, int n) DCV_MUST_USE;

/* Declare a data set; parents are made.  Returns its number, 0 .. (in *id).
 * text_bytes > 0: fixed-length UTF-8 strings of that many bytes (type is then ignored). */
dcv_status dcv_store_dataset(dcv_store *s, const char *path, dcv_dtype type, int64_t text_bytes, const dcv_dims *dims,
                             int *id) DCV_MUST_USE;

/* Values known now, written with the skeleton.  bytes must be the data set's size; copied. */
dcv_status dcv_store_values(dcv_store *s, int id, const void *values, size_t bytes) DCV_MUST_USE;

/* Axis axis of data set id is described by the 1-D data set scale (a dimension scale); with
 * scale -1 only a label is given. */
dcv_status dcv_store_axis(dcv_store *s, int id, int axis, int scale, const char *label) DCV_MUST_USE;

/* NXdata of a group: its signal and the names of that data set's axes ("." where none). */
dcv_status dcv_store_nxdata(dcv_store *s, const char *group, const char *signal, const char *const *axes,
                            int n_axes) DCV_MUST_USE;

/* Mark a data set as pictures (CLASS=IMAGE, IMAGE_VERSION, IMAGE_SUBCLASS, INTERLACE_MODE). */
dcv_status dcv_store_image(dcv_store *s, int id, int channels) DCV_MUST_USE;

/* What was declared. */
typedef struct dcv_region {
    const char *path; /* with leading slash */
    size_t elem_bytes;
    dcv_dims dims;
    int64_t bytes;  /* of the whole data set */
    int64_t offset; /* in the file; -1 before dcv_store_create() */
    bool preset;    /* has values from dcv_store_values() */
} dcv_region;
int dcv_store_count(const dcv_store *s);
const dcv_region *dcv_store_region(const dcv_store *s, int id);

/* Make the skeleton file (sec2, V18 format, no file locks) and learn the offsets and the file's size.
 * /checksums/path and /checksums/crc32c are added here, for all declared data sets in order and for
 * /checksums/structure, whose one number is the CRC-32C of all bytes of the file but those of data sets
 * (/checksums/path counts as structure).  They are not in dcv_store_count().  DCV_EIO, DCV_EDATA (a name that cannot
 * be); then no file is left.  Rank 0 only. */
dcv_status dcv_store_create(dcv_store *s, const char *file, int64_t *file_bytes) DCV_MUST_USE;

/* Where /checksums/crc32c lies: u4, entry id belongs to data set id; the one after the last is written
 * already.  NULL before dcv_store_create() or dcv_store_attach(). */
const dcv_region *dcv_store_checksums(const dcv_store *s);

/* Read all declared data sets back through fd (open for reading and writing) and write their CRCs into
 * /checksums/crc32c.  Syncs nothing.  DCV_EIO, DCV_ENOMEM. */
dcv_status dcv_store_seal(const dcv_store *s, int fd) DCV_MUST_USE;

/* CRC-32C of a stretch of a file that follows bytes whose CRC is *crc; start with 0.  DCV_EIO, also where
 * the file ends before. */
dcv_status dcv_store_crc(int fd, int64_t offset, int64_t bytes, uint32_t *crc) DCV_MUST_USE;

/* Learn the offsets from a skeleton that is there (read-only, no status byte is touched);
 * DCV_EDATA if it does not hold what is declared. */
dcv_status dcv_store_attach(dcv_store *s, const char *file) DCV_MUST_USE;

/* Offsets of all regions, to send to other ranks: dcv_store_count() numbers. */
void dcv_store_offsets(const dcv_store *s, int64_t *out);
void dcv_store_set_offsets(dcv_store *s, const int64_t *offsets);

/* --- Reading results and data sets ------------------------------------------------- */

typedef struct dcv_h5 dcv_h5; /* a file open for reading; calls are serialised inside */
dcv_status dcv_h5_open(const char *file, dcv_h5 **out) DCV_MUST_USE; /* DCV_ENOINPUT, DCV_EDATA */
void dcv_h5_close(dcv_h5 *f);

/* Shape and type of a data set (integers are reported as u1, i4 or i8 by size and sign, texts as u1).
 * External links, external storage and virtual data sets are refused: DCV_EDATA.  So are other types, but
 * dcv_h5_visit() shows them as DCV_N_DTYPE. */
typedef struct dcv_h5_info {
    dcv_dims dims;
    dcv_dtype type;
    char stored[24];    /* as it is in the file: "u4", "f8", "S20"; "?" for types that are not read */
    int64_t text_bytes; /* of fixed-length strings, else 0 */
    int64_t offset;     /* in the file, where contiguous, little-endian, just of this type and allocated; else -1 */
} dcv_h5_info;
dcv_status dcv_h5_info_of(dcv_h5 *f, const char *path, dcv_h5_info *out) DCV_MUST_USE;
bool dcv_h5_has(dcv_h5 *f, const char *path); /* also where it is a link that will be refused */

/* Read rows [first, first + n) of the leading axis as type (converted; a scalar is one row).  to has room for
 * them.  Texts: n of text_bytes bytes each, padded with 0, cut if longer. */
dcv_status dcv_h5_read(dcv_h5 *f, const char *path, dcv_dtype type, int64_t first, int64_t n, void *to) DCV_MUST_USE;
/* Read a block: n[a] from first[a] on along each of rank axes (>= 1), none empty. */
dcv_status dcv_h5_read_block(dcv_h5 *f, const char *path, dcv_dtype type, const int64_t *first, const int64_t *n, int rank,
                             void *to) DCV_MUST_USE;
dcv_status dcv_h5_read_text(dcv_h5 *f, const char *path, int64_t first, int64_t n, char *to,
                            size_t text_bytes) DCV_MUST_USE;

/* Attribute as text (numbers printed, several with a blank between); new memory (dcv_free), NULL if
 * it is not there, neither number nor text of fixed length, or longer than 64 MiB or 1,000 values. */
char *dcv_h5_attribute(dcv_h5 *f, const char *path, const char *name) DCV_MUST_USE;

/* Where the bytes of a contiguous data set lie, whatever its type; offset -1 and bytes 0 where it holds none. DCV_EDATA
 * if it is stored in another way or beyond the end of the file. */
dcv_status dcv_h5_storage(dcv_h5 *f, const char *path, int64_t *offset, int64_t *bytes) DCV_MUST_USE;

/* Visit every data set (path with leading slash), depth first in name order. */
typedef dcv_status (*dcv_h5_visit_fn)(void *ctx, const char *path, const dcv_h5_info *info);
dcv_status dcv_h5_visit(dcv_h5 *f, dcv_h5_visit_fn fn, void *ctx) DCV_MUST_USE;

/* Try to open path of file in a forked child with limits on time and memory (hostile files can crash
 * HDF5 and TIFF readers).  Its death is DCV_EDATA.  Before MPI_Init only. */
dcv_status dcv_probe(const char *file, dcv_status (*open_and_close)(const char *file, void *ctx),
                     void *ctx) DCV_MUST_USE;

/* "1.10.8", of the library in use. */
const char *dcv_hdf5_version(void);

#endif
