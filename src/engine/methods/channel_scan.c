/* channel_scan.c -- maxima, sums and histograms of activation maps in any layout. */
#include "engine/methods/channel_scan.h"

#include <math.h>
#include <string.h>

#include "engine/vector.h"

enum { LANES = 16 };

typedef struct lanes { /* of one block of channels */
    float max[LANES];
    int32_t at[LANES];
    double sum[LANES], square[LANES];
    int32_t nonzero[LANES];
} lanes;

/* The bin follows from the bits: twice the exponent, and one more from sqrt 2 on (0x3504f4 is the mantissa of the
 * first float32 that is not below it). */
static inline int32_t bin_of(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int32_t bin = 33 + 2 * ((bits >> 23) - 127) + ((bits & 0x7fffff) >= 0x3504f4);
    const int32_t clamped = bin < 1 ? 1 : bin > 63 ? 63 : bin;
    return x <= 0 ? 0 : bits < 0 ? 63 : clamped;
}

int dcv_histogram_bin(float x)
{
    return bin_of(x);
}

static inline __attribute__((always_inline)) void scan_cells(const float *x, int64_t cells, int64_t stride, int width,
                                                             lanes *s)
{
    for (int64_t i = 0; i < cells; i++, x += stride)
        for (int l = 0; l < width; l++) {
            const float v = x[l];
            const int more = v > s->max[l];
            s->max[l] = more ? v : s->max[l];
            s->at[l] = more ? (int32_t)i : s->at[l];
            s->sum[l] += v;
            s->square[l] += (double)v * v;
            s->nonzero[l] += v != 0;
        }
}

DCV_CLONES static void scan16(const float *x, int64_t cells, lanes *s)
{
    scan_cells(x, cells, 16, 16, s);
}

DCV_CLONES static void scan8(const float *x, int64_t cells, lanes *s)
{
    scan_cells(x, cells, 8, 8, s);
}

static void scan1(const float *x, int64_t cells, lanes *s)
{
    scan_cells(x, cells, 1, 1, s);
}

/* Bins of a stretch of cells first, which vectorises; counting then. */
DCV_CLONES static void bins_of(const float *x, int n, int32_t *bin)
{
    for (int i = 0; i < n; i++)
        bin[i] = bin_of(x[i]);
}

static void count_bins(const float *x, int64_t cells, int block, int64_t used, int64_t *histogram)
{
    enum { STRETCH = 512 };
    int32_t count[LANES][DCV_HISTOGRAM_BINS] = {{0}}, bin[STRETCH];
    const int64_t n = cells * block;
    for (int64_t from = 0; from < n; from += STRETCH) {
        const int m = n - from < STRETCH ? (int)(n - from) : STRETCH;
        bins_of(x + from, m, bin);
        for (int i = 0; i < m; i++)
            count[i & (block - 1)][bin[i]]++;
    }
    for (int64_t l = 0; l < used; l++)
        for (int i = 0; i < DCV_HISTOGRAM_BINS; i++)
            histogram[l * DCV_HISTOGRAM_BINS + i] += count[l][i];
}

static void clear(lanes *s)
{
    memset(s, 0, sizeof *s);
    for (int l = 0; l < LANES; l++) {
        s->max[l] = -INFINITY;
        s->at[l] = -1;
    }
}

void dcv_channel_scan(const dcv_blob *b, dcv_channel_sums *out, int64_t *histogram)
{
    const dcv_blob_shape shape = dcv_blob_shape_of(b->dims, b->block);
    for (int64_t k = 0; k < shape.blocks; k++) {
        const float *x = b->data + k * shape.cells * b->block;
        const int64_t first = k * b->block, left = shape.c - first, used = left < b->block ? left : b->block;
        lanes s;
        clear(&s);
        (b->block == 16 ? scan16 : b->block == 8 ? scan8 : scan1)(x, shape.cells, &s);
        for (int64_t l = 0; l < used; l++)
            out[first + l] = (dcv_channel_sums){s.max[l], s.at[l], s.sum[l], s.square[l], s.nonzero[l]};
        if (histogram)
            count_bins(x, shape.cells, b->block, used, histogram + first * DCV_HISTOGRAM_BINS);
    }
}

int dcv_channel_best(const dcv_blob *b, int64_t c, int k, float *value, int32_t *at)
{
    const dcv_blob_shape shape = dcv_blob_shape_of(b->dims, b->block);
    const float *x = b->data + c / b->block * shape.cells * b->block + c % b->block;
    int n = 0;
    for (int64_t i = 0; i < shape.cells; i++) {
        const float v = x[i * b->block];
        if (isnan(v) || (n == k && !(v > value[n - 1])))
            continue;
        int j = n < k ? n++ : k - 1;
        for (; j > 0 && v > value[j - 1]; j--) {
            value[j] = value[j - 1];
            at[j] = at[j - 1];
        }
        value[j] = v;
        at[j] = (int32_t)i;
    }
    return n;
}
