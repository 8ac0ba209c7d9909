/* channel_scan.h -- what is remembered of one activation map: its strongest places and its statistics. */
#ifndef DCV_ENGINE_CHANNEL_SCAN_H
#define DCV_ENGINE_CHANNEL_SCAN_H

#include "deconvoy/op.h"

#define DCV_HISTOGRAM_BINS 64

/* One channel of one picture.  at: first cell, row-major, that has the maximum; -1 where every cell is NaN. */
typedef struct dcv_channel_sums {
    float max;
    int32_t at;
    double sum, square; /* added cell by cell in row-major order, whatever the layout */
    int64_t nonzero;
} dcv_channel_sums;

/* Scan all channels of a picture.
 *
 * b          n = 1, any layout
 * out        [C]
 * histogram  [C][DCV_HISTOGRAM_BINS], added to; NULL: not wanted.  Bin 0 counts x <= 0, bin i = 1..62 counts
 *            2^((i-33)/2) <= x < 2^((i-32)/2), bin 1 also what is smaller, bin 63 the rest (NaN too). */
void dcv_channel_scan(const dcv_blob *b, dcv_channel_sums *out, int64_t *histogram);

/* The k best cells of channel c: values descending, then cells ascending; NaN never.  Returns how many, at most k. */
int dcv_channel_best(const dcv_blob *b, int64_t c, int k, float *value, int32_t *at);

/* The bin of one value. */
int dcv_histogram_bin(float x);

#endif
