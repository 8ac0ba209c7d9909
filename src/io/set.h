/* set.h -- an open data set from the inside: dataset.c opens it, set_shape.c finds out what it gives, set_read.c reads.
 */
#ifndef DCV_IO_SET_H
#define DCV_IO_SET_H

#include "io/preprocess.h"
#include "io/source.h"

typedef struct set { /* behind dcv_dataset.own */
    dcv_dataset d;
    dcv_source s;
    int64_t offset;
    int64_t want_h, want_w; /* rows and columns that the network fixes; -1: none */
    dcv_preprocess p;
    dcv_tables tables;
    int32_t *extent;    /* [n][2] rows, columns of each network input where they differ, 0 where unknown */
    int64_t item_bytes; /* that one read item holds */
} set;

/* Fail at a key where there is a configuration, else without a place. */
dcv_status dcv_set_wrong(const dcv_config *c, dcv_status code, const char *key, const char *fmt, ...) DCV_PRINTF(4, 5);

/* Decide about channels and extents: what the network takes (want, NULL: nothing), what the options say, what the
 * source has.  Fills d.dims, c, max_h, max_w, fixed, is_float.  DCV_ECONFIG, DCV_EDATA. */
dcv_status dcv_set_shape(const dcv_config *c, set *x, const dcv_want *want) DCV_MUST_USE;

/* DCV_EDATA "14 x 9 px; the network takes 10 x 12" unless framed rows and columns are those that the network fixes. */
dcv_status dcv_set_fits(const set *x, int64_t h, int64_t w) DCV_MUST_USE;

#endif
