/* fill.c -- `fill`: what stands where a picture's own pixels are taken away, in the network's units. */
#include "jobs/fill.h"

int64_t dcv_input_channels(const dcv_dims *dims)
{
    return dims->n >= 4 ? dims->d[1] : 1;
}

dcv_status dcv_fill_check(const dcv_config *c, const char *key, const dcv_reals *fill, int64_t channels)
{
    if (fill->word >= 0 || fill->n == 1 || fill->n == channels)
        return DCV_OK;
    return dcv_config_fail(c, key, "%d values; expected mean, 1 value or %lld, one per channel", fill->n,
                           (long long)channels);
}

double dcv_fill_value(const dcv_config *c, const dcv_dataset *d, const dcv_reals *fill, const float *input,
                      const dcv_dims *dims, int64_t channel)
{
    const dcv_preprocess *p = &c->dataset.preprocess;
    if (fill->word >= 0) {
        const int64_t cells = dcv_count(dims) / dcv_input_channels(dims);
        double sum = 0;
        for (int64_t i = 0; i < cells; i++)
            sum += input[channel * cells + i];
        return sum / (double)cells;
    }
    const double v = fill->v[fill->n == 1 ? 0 : channel];
    const bool raw = d->is_float; /* then only what is written out has been done to it */
    const double mean = p->mean.n == 0 ? 0 : p->mean.v[p->mean.n == 1 ? 0 : channel],
                 std = p->std.n == 0 ? 1 : p->std.v[p->std.n == 1 ? 0 : channel];
    if (!raw)
        return (v * 255 * p->scale - mean) / std;
    return ((p->scale_written ? v * p->scale : v) - (p->mean_written ? mean : 0)) / (p->std_written ? std : 1);
}
