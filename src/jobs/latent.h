/* latent.h -- inputs that are drawn, for generators.
 *
 * A number is a function of seed, input, item and place alone, so that it does not matter who draws it.
 */
#ifndef DCV_JOBS_LATENT_H
#define DCV_JOBS_LATENT_H

#include "deconvoy/config.h"
#include "deconvoy/model.h"

typedef enum dcv_distribution {
    DCV_LATENT_NORMAL,  /* mean 0, deviation 1 */
    DCV_LATENT_UNIFORM, /* -1 .. 1 */
    DCV_LATENT_ONE_HOT  /* channel i mod C of item i is 1, all else 0 */
} dcv_distribution;

typedef struct dcv_latent_options {
    int64_t count;
    int distribution; /* dcv_distribution */
    int64_t seed;
    dcv_pairs inputs; /* input name -> distribution, for those that have another */
} dcv_latent_options;

extern const dcv_field dcv_latent_fields[];

/* The distribution of each of the network's inputs, [n_in].  DCV_ECONFIG at infer.latent.inputs for an unknown input or
 * distribution, DCV_EDATA for an input that is no float tensor. */
dcv_status dcv_latent_choose(const dcv_config *c, const dcv_latent_options *o, const dcv_model *m,
                             dcv_distribution *to) DCV_MUST_USE;

/* Write input k, of shape dims ([1,C,...]), of an item. */
void dcv_latent_draw(const dcv_latent_options *o, dcv_distribution d, int k, int64_t item, const dcv_dims *dims,
                     float *to);

#endif
