/* truth.h -- true boxes of objects in pictures: a text file, a header line and a box a line.
 *
 *   image,class,y0,x0,y1,x1
 *   cats/tom.jpg,"tabby, tabby cat",10,20,110,180
 *
 * image is a name as in /inputs/name, or the last part of one; class a number or a name; the box in pixels of the
 * original picture, ends exclusive.  A field that has a comma stands in quotes, a quote in it is doubled.
 */
#ifndef DCV_IO_TRUTH_H
#define DCV_IO_TRUTH_H

#include "deconvoy/dataset.h"

/* A box of an item. */
typedef struct dcv_truth_box {
    int64_t item, line;
    int32_t class_number;
    double y0, x0, y1, x1; /* in network-input pixels, clipped; not rounded */
} dcv_truth_box;

typedef struct dcv_truth {
    int64_t n;          /* boxes of items of the data set that a part of is in the network's input */
    dcv_truth_box *box; /* by item, then by line */
    int64_t *first;     /* [items + 1] the boxes of an item */
    int most;           /* of one item */
    int64_t rows;       /* lines with a box */
    int64_t ignored;    /* of pictures that are not in the data set */
    int64_t outside;    /* boxes that resize and crop leave nothing of */
    dcv_sha256 sha256;  /* of the file */
} dcv_truth;

/* Read a file for a data set.
 *
 * shown    the file's name in messages
 * labels   class names of the model, or NULL
 * classes  of the network; 0: not known
 *
 * DCV_EDATA at shown:LINE for what is no such file, an empty box or one that is not inside its picture, a class that is
 * not there, a last part that several names have; DCV_EDATA where no row is of a picture of the set.  A picture whose
 * header cannot be read has no boxes: it will fail as an item.  Local. */
dcv_status dcv_truth_read(const char *file, const char *shown, const dcv_dataset *d, const dcv_labels *labels,
                          int64_t classes, dcv_truth **out) DCV_MUST_USE;
void dcv_truth_free(dcv_truth *t); /* NULL is allowed */

/* --- truth_rows.c: the text --------------------------------------------------------------- */

typedef struct dcv_truth_row {
    const char *image, *class_name; /* in text; what is not UTF-8 as '?' */
    double y0, x0, y1, x1;          /* y0 < y1, x0 < x1 */
    int64_t line;
} dcv_truth_row;

typedef struct dcv_truth_rows {
    int64_t n;
    dcv_truth_row *row;
    char *text;
} dcv_truth_rows;

/* Take a text apart, in place; text is NUL-terminated and owned by out afterwards, also after a failure. */
dcv_status dcv_truth_rows_read(char *text, size_t bytes, const char *shown, dcv_truth_rows *out) DCV_MUST_USE;
void dcv_truth_rows_clear(dcv_truth_rows *r);

/* Name with every byte that is not UTF-8 as '?', in place. */
void dcv_truth_clean(char *name);

#endif
