/* fill.h -- `fill`: what stands where a picture's own pixels are taken away, in the network's units.
 *
 * Written in picture units (0..1 before mean and standard deviation), or in the units of float data; `mean` is each
 * picture's own mean, channel by channel.
 */
#ifndef DCV_JOBS_FILL_H
#define DCV_JOBS_FILL_H

#include "deconvoy/config.h"
#include "deconvoy/dataset.h"

/* Is there one value, or one for each of the network's channels?  DCV_ECONFIG at key. */
dcv_status dcv_fill_check(const dcv_config *c, const char *key, const dcv_reals *fill, int64_t channels) DCV_MUST_USE;

/* The value for a channel of a network input of dims [1,C,...], row-major. */
double dcv_fill_value(const dcv_config *c, const dcv_dataset *d, const dcv_reals *fill, const float *input,
                      const dcv_dims *dims, int64_t channel);

/* Channels of a network input of dims [1,C,...]: 1 where it has no channel axis. */
int64_t dcv_input_channels(const dcv_dims *dims);

#endif
