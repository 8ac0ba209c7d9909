/* source.h -- what a kind of data set must offer: folder, list, IDX, tar, HDF5, one picture.
 *
 * One file a kind, with a const dcv_source_kind; dataset.c has the table.  A source makes the
 * manifest when it is opened and hands out the bytes of single items afterwards.
 */
#ifndef DCV_IO_SOURCE_H
#define DCV_IO_SOURCE_H

#include "deconvoy/dataset.h"

/* --- the manifest under construction --------------------------------------------------- */

typedef enum dcv_label_kind {
    DCV_LABELS_NONE,    /* no entry has one */
    DCV_LABELS_NUMBERS, /* entry.label is the class */
    DCV_LABELS_TEXTS,   /* entry.label is an index into text; numbers if all texts are numbers */
    DCV_LABELS_NAMES    /* the same, and names in any case */
} dcv_label_kind;

typedef struct dcv_manifest {
    dcv_arena *arena; /* names and texts */
    dcv_entry *entry;
    int64_t *at; /* where in a tar the entry's header is; NULL elsewhere */
    int64_t n, room;
    dcv_label_kind kind;
    const char **text; /* distinct label texts */
    int32_t n_text, text_room;
    int32_t *slot; /* hash table over text, -1 = free */
    int32_t n_slot;
} dcv_manifest;

#define DCV_LABEL_MAX 999999 /* largest class number: class counts are arrays of that length */

/* Start, grow by one entry (name is copied; label -1), end. */
dcv_status dcv_manifest_new(dcv_manifest *m) DCV_MUST_USE;
dcv_status dcv_manifest_add(dcv_manifest *m, const char *name, size_t name_bytes, int64_t bytes,
                            int64_t mtime_ns) DCV_MUST_USE;
void dcv_manifest_free(dcv_manifest *m);

/* n entries named "000000", "000001" ... of bytes each. */
dcv_status dcv_manifest_numbered(dcv_manifest *m, int64_t n, int64_t bytes, int64_t mtime_ns) DCV_MUST_USE;

/* Give entry i the label text (n bytes); an empty one is no label. */
dcv_status dcv_manifest_label(dcv_manifest *m, int64_t i, const char *text, size_t n) DCV_MUST_USE;

/* Label each entry with the name of the folder it is in; entries at the top have none. */
dcv_status dcv_manifest_label_folders(dcv_manifest *m) DCV_MUST_USE;

/* Sort by name, bytewise. */
dcv_status dcv_manifest_sort(dcv_manifest *m) DCV_MUST_USE;

/* Turn texts into class numbers: the model's where a text is a line of labels or its first
 * word, else from 0 in sorted order.  Gives the number of classes and, where texts are names, one name a class. */
dcv_status dcv_manifest_classes(dcv_manifest *m, const dcv_labels *labels, int32_t *classes,
                                const char ***names) DCV_MUST_USE;

/* Read labels of all entries from a file: an IDX of integers, or text with one a line.  DCV_ENOINPUT,
 * DCV_EDATA if their number differs. shown: the file's name for messages. */
dcv_status dcv_manifest_label_file(dcv_manifest *m, const char *file, const char *shown) DCV_MUST_USE;

/* --- a source -------------------------------------------------------------------------- */

typedef struct dcv_source_ask {
    const char *file;              /* to be opened */
    const char *shown;             /* as the user wrote it: for messages */
    const char *path, *label_path; /* inside an .h5; NULL: default */
    const char *path_key;          /* that says path */
    bool folder_labels;
    int64_t offset, limit; /* items that will be read; limit -1: all */
    const dcv_want *want;  /* NULL: open_plain */
} dcv_source_ask;

typedef enum dcv_content {
    DCV_CONTENT_ENCODED, /* JPEG, PNG or TIFF */
    DCV_CONTENT_PIXELS,  /* u1 [h,w,c] */
    DCV_CONTENT_FLOATS   /* f4 of a network input's shape */
} dcv_content;

typedef struct dcv_source dcv_source;

typedef struct dcv_source_kind {
    const char *name;       /* "a folder", for messages */
    const char *extensions; /* "h5|hdf5": taken by name where no kind knows the bytes; NULL: none */
    bool folder;            /* takes folders */
    /* Do the first bytes say so?  NULL: never. */
    bool (*knows)(const uint8_t *head, size_t n);
    /* Fill s.  DCV_EDATA, DCV_ENOINPUT; then close is called all the same. */
    dcv_status (*open)(dcv_source *s, const dcv_source_ask *ask);
    void (*close)(dcv_source *s);
    /* The bytes of item i, at most `most` of them from the start (-1: all).  New memory, dcv_free().  Thread-safe. */
    dcv_status (*fetch)(const dcv_source *s, int64_t i, int64_t most, uint8_t **bytes, size_t *n);
    /* The file that holds item i, for dcv_dataset_changed(); in buf of size n. */
    void (*file_of)(const dcv_source *s, int64_t i, char *buf, size_t n);
} dcv_source_kind;

struct dcv_source {
    const dcv_source_kind *kind;
    char *file, *shown;
    dcv_manifest m;
    dcv_content content;
    dcv_dims item;                     /* pixels: h, w, c; floats: network input with n = 1 in front */
    const char *wrong_key;             /* where open gave DCV_ECONFIG: "dataset.path" ... */
    int64_t file_bytes, file_mtime_ns; /* of sources in one file, else 0 */
    void *own;
};

extern const dcv_source_kind dcv_source_folder, dcv_source_list, dcv_source_idx, dcv_source_tar, dcv_source_h5,
    dcv_source_picture;

/* --- shared by the kinds ----------------------------------------------------------------- */

/* Does name end in one of "jpg|jpeg", case aside? */
bool dcv_extension_is(const char *name, const char *extensions);
#define DCV_PICTURE_EXTENSIONS "jpg|jpeg|png|tif|tiff"

/* Read exactly n bytes at an offset.  DCV_EDATA if the file ends before, DCV_EIO. */
dcv_status dcv_pread_all(int fd, void *to, size_t n, int64_t at, const char *name) DCV_MUST_USE;

/* Read a whole file (at most `most` bytes of it; -1: all) that name calls so in messages.  DCV_EDATA if it is
 * missing, no regular file, or unreadable: an item's failure. */
dcv_status dcv_read_item_file(const char *file, const char *name, int64_t most, uint8_t **bytes,
                              size_t *n) DCV_MUST_USE;

/* Labels in an IDX file of rank 1. */
dcv_status dcv_idx_labels(const char *file, const char *shown, int32_t **out,
                          int64_t *n) DCV_MUST_USE; /* DCV_EDATA; *out freed by dcv_free() */
bool dcv_idx_knows(const uint8_t *head, size_t n);  /* IDX or gzip */

#endif
