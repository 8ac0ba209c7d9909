/* dataset.h -- a set of inputs, numbered 0 .. n-1, wherever it is kept.
 *
 * Sources: folder (recursive), list .txt, .h5, IDX (.gz too), .tar, one picture.  Opening makes
 * the manifest: names sorted bytewise (a list and array sources keep their own order), sizes in bytes, labels; then
 * offset and limit are applied.  Every rank opens the same set and must see the same manifest hash.
 */
#ifndef DECONVOY_DATASET_H
#define DECONVOY_DATASET_H

#include "deconvoy/hash.h"
#include "deconvoy/image.h"
#include "deconvoy/model.h"

/* What a network wants of one item: channels, and rows and columns where they are fixed (-1: each
 * picture's own). rank 4 ([1,C,H,W]) for pictures; float .h5 data may have any shape. */
typedef struct dcv_want {
    dcv_dims dims;
    int64_t classes;  /* of a classifier; a larger label number is DCV_EDATA. 0: not known, or does not matter */
    const char *path; /* array in an .h5 that feeds this input (dataset.inputs); NULL: dataset.path */
} dcv_want;

typedef struct dcv_entry { /* one line of the manifest */
    const char *name;      /* relative path, list entry, tar member, or "000123" for arrays */
    int64_t bytes;         /* of the encoded picture, or of the item in an array */
    int64_t mtime_ns;      /* 0 where it has none; not part of the hash */
    int32_t label;         /* -1 unknown */
} dcv_entry;

typedef struct dcv_dataset dcv_dataset;
struct dcv_dataset {
    int64_t n; /* after offset and limit */
    const dcv_entry *entry;
    const char *kind;              /* "a folder", "a list", "an IDX file" ... */
    int32_t classes;               /* over the whole source; 0 if nothing has a label */
    const char *const *label_name; /* [classes] for names that are not numbers, else NULL */
    dcv_sha256 sha256;             /* of the manifest: names, sizes, labels, in order */
    dcv_dims dims;                 /* network input of every item where fixed, [1,...]; else the largest */
    int c;                         /* channels delivered: 1 or 3, or what float data has */
    int64_t max_h, max_w;          /* largest network input; from headers where nothing fixes it */
    bool fixed;                    /* something fixes rows and columns: every item has max_h x max_w */
    bool is_float;                 /* network input as it stands; there are no pictures */
    void *own;
};

/* Open for a network.
 *
 * c      for paths, on_error and places of keys in messages
 * labels class names of the model, or NULL
 *
 * DCV_ENOINPUT, DCV_EDATA, DCV_ECONFIG.  Local. */
dcv_status dcv_dataset_open(const dcv_config *c, const dcv_want *want, const dcv_labels *labels,
                            dcv_dataset **out) DCV_MUST_USE;

/* Before MPI_Init: open an .h5 source or a single picture in a child, since a hostile one can kill its reader.
 * DCV_EDATA if the child dies of it; DCV_OK for all else, also where there is no source.  Local. */
dcv_status dcv_dataset_probe(const dcv_config *c) DCV_MUST_USE;

/* Open without a network or configuration (pack, inspect): pictures at their own size, grey if all are.
 *
 * labels  as dataset.labels; "auto": folder where a folder or tar has its pictures in folders
 * p       NULL: pictures as they are */
dcv_status dcv_dataset_open_plain(const char *source, const char *labels, const char *path, const dcv_preprocess *p,
                                  dcv_dataset **out) DCV_MUST_USE;
void dcv_dataset_free(dcv_dataset *d);

/* One item, read. */
typedef struct dcv_item {
    int64_t width, height; /* of the original picture */
    dcv_dims dims;         /* of input: [1, C, h, w] */
    float *input;          /* network input, or NULL if not asked for */
    dcv_image picture;     /* as it enters the network, before scale, mean and std, RGB or grey */
} dcv_item;

typedef enum dcv_read { DCV_READ_INPUT = 1, DCV_READ_PICTURE = 2 } dcv_read;

/* Read item i.  A picture that cannot be read, decoded or fitted is DCV_EDATA with the
 * item's name (no absolute path): that item's failure.  Thread-safe.  Free with dcv_item_clear().
 * For float data the picture is the input stretched from minimum..maximum to 0..255 where C is 1 or 3,
 * and else empty (px NULL). */
dcv_status dcv_dataset_read(const dcv_dataset *d, int64_t i, int what, dcv_item *out) DCV_MUST_USE;
void dcv_item_clear(dcv_item *it);

/* What messages call item i: its name, or the last part of one that is an absolute path.  Borrowed. */
const char *dcv_dataset_item_name(const dcv_dataset *d, int64_t i);

/* Rows and columns of item i's network input, known from the headers; 0 where a header could not be read. */
void dcv_dataset_extent(const dcv_dataset *d, int64_t i, int64_t *h, int64_t *w);

/* Rows and columns of item i's picture as it is kept, from its header, and where resize and crop take it.  DCV_EDATA
 * for a header that cannot be read, or a picture smaller than the crop. */
dcv_status dcv_dataset_framing(const dcv_dataset *d, int64_t i, int64_t *h, int64_t *w, dcv_framing *out) DCV_MUST_USE;

/* Would item i fail, as far as its header tells?  DCV_EDATA with its name and why: no header that can be read, smaller
 * than the crop, not of the size that the network fixes.  Reads no pixels. */
dcv_status dcv_dataset_foresee(const dcv_dataset *d, int64_t i) DCV_MUST_USE;

/* Bytes that one read item holds at most (input and picture), for the memory limit.  While it is being decoded its
 * file and its pixels come on top. */
int64_t dcv_dataset_item_bytes(const dcv_dataset *d);

/* Has an item's file changed since the manifest (size, mtime)? */
bool dcv_dataset_changed(const dcv_dataset *d, int64_t i);

#endif
