/* preprocess.h -- from a decoded picture to network input, in one pass. */
#ifndef DCV_IO_PREPROCESS_H
#define DCV_IO_PREPROCESS_H

#include "deconvoy/image.h"

enum { DCV_MAX_CHANNELS = 3 };

/* What scale, mean, std and the order of channels do to each of the 256 values. */
typedef struct dcv_tables {
    int c;                      /* channels of the network input, 1 or 3 */
    int from[DCV_MAX_CHANNELS]; /* channel of the picture that input channel k shows */
    float value[DCV_MAX_CHANNELS][256];
} dcv_tables;

/* c: 1 or 3.  mean and std of p have no, one or c values: dcv_preprocess_fits(). */
void dcv_tables_make(const dcv_preprocess *p, int c, dcv_tables *out);

/* DCV_ECONFIG naming the key ("mean", "std"; in *key) whose length is not 0, 1 or c, or a std of 0. */
dcv_status dcv_preprocess_fits(const dcv_preprocess *p, int64_t c, const char **key) DCV_MUST_USE;

/* to: [c, h, w] of t.  A grey picture stands for each of its channels. */
void dcv_tables_apply(const dcv_tables *t, const dcv_image *im, float *to);

/* (v * scale - mean) / std of channel k, with what p has written out. */
double dcv_preprocess_value(const dcv_preprocess *p, int64_t k, double v);

#endif
