/* test_channel_scan.c -- maxima, sums and histograms against the definitions in the design, in every layout. */
#include "check.h"
#include "deconvoy/memory.h"
#include "engine/methods/channel_scan.h"

/* The definition itself: bin i = 1..62 counts 2^((i-33)/2) <= x < 2^((i-32)/2). */
static int bin_by_definition(double x)
{
    if (x <= 0)
        return 0;
    for (int i = 1; i <= 62; i++)
        if (x < pow(2, (i - 32) / 2.0))
            return i;
    return 63;
}

static void bins(void)
{
    static const float special[] = {0, -0.0f, -1,   -INFINITY, 1e-45f, 1e-38f, 1,
                                    2, 4,     0.5f, 32767.9f,  32768,  1e30f,  INFINITY};
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        CHECK(dcv_histogram_bin(special[i]) == bin_by_definition(special[i]));
    CHECK(dcv_histogram_bin(NAN) == 63 && dcv_histogram_bin(-NAN) == 63);
    for (int e = -20; e < 20; e++)
        for (int step = -2; step <= 2; step++) { /* about each half power of two */
            float x = (float)pow(2, e / 2.0);
            for (int k = 0; k < abs(step); k++)
                x = nextafterf(x, step < 0 ? 0 : INFINITY);
            CHECK(dcv_histogram_bin(x) == bin_by_definition(x));
        }
}

/* A map with ties, zeros, negative values and, in channel 1, nothing but NaN. */
static float value_at(int64_t c, int64_t i)
{
    if (c == 1)
        return NAN;
    const uint32_t h = (uint32_t)(c * 7919 + i * 104729) * 2654435761u;
    return h % 5 == 0 ? 0 : (float)((int)(h >> 20) % 41 - 20) * 0.37f;
}

static void scan(int block, int64_t channels, int64_t h, int64_t w)
{
    const dcv_dims dims = {4, {1, channels, h, w}};
    const dcv_blob_shape shape = dcv_blob_shape_of(&dims, block);
    const int64_t before = dcv_alloc_balance();
    float *data = dcv_alloc((size_t)shape.floats, sizeof *data);
    int64_t *histogram = dcv_alloc((size_t)channels * DCV_HISTOGRAM_BINS, sizeof *histogram);
    dcv_channel_sums *sums = dcv_alloc((size_t)channels, sizeof *sums);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < h * w; i++)
            data[(c / block * h * w + i) * block + c % block] = value_at(c, i);
    const dcv_blob blob = {.data = data, .dims = &dims, .n = 1, .block = block, .n_stride = shape.floats};
    dcv_channel_scan(&blob, sums, histogram);
    for (int64_t c = 0; c < channels; c++) {
        int64_t at = -1, nonzero = 0, bin[DCV_HISTOGRAM_BINS] = {0};
        double sum = 0, square = 0;
        for (int64_t i = 0; i < h * w; i++) {
            const float v = value_at(c, i);
            if (!isnan(v) && (at < 0 || v > value_at(c, at)))
                at = i;
            sum += v;
            square += (double)v * v;
            nonzero += v != 0;
            bin[isnan(v) ? 63 : bin_by_definition(v)]++;
        }
        CHECK(sums[c].at == at && sums[c].nonzero == nonzero);
        CHECK(at < 0 || sums[c].max == value_at(c, at));
        CHECK(isnan(sum) ? isnan(sums[c].sum) : sums[c].sum == sum && sums[c].square == square);
        CHECK(memcmp(bin, histogram + c * DCV_HISTOGRAM_BINS, sizeof bin) == 0);

        float best[5];
        int32_t cell[5];
        const int n = dcv_channel_best(&blob, c, 5, best, cell);
        CHECK(n == (at < 0 ? 0 : h * w < 5 ? (int)(h * w) : 5));
        for (int k = 0; k < n; k++) {
            CHECK(best[k] == value_at(c, cell[k]));
            CHECK(k == 0 ? cell[0] == at : best[k - 1] > best[k] || (best[k - 1] == best[k] && cell[k - 1] < cell[k]));
        }
        for (int64_t i = 0; i < h * w && n == 5; i++) /* nothing better was left out */
            CHECK(!(value_at(c, i) > best[4]) || i == cell[0] || i == cell[1] || i == cell[2] || i == cell[3]);
    }
    dcv_free(data);
    dcv_free(histogram);
    dcv_free(sums);
    CHECK(dcv_alloc_balance() == before);
}

int main(void)
{
    static const int blocks[] = {1, 8, 16};
    bins();
    for (int b = 0; b < 3; b++) {
        scan(blocks[b], 3, 1, 1);
        scan(blocks[b], 19, 7, 5);
        scan(blocks[b], 32, 23, 31);
    }
    return check_end();
}
