/* random.h -- numbers drawn for a sample from (purpose, seed, index) alone, so that it does not matter who draws them.
 */
#ifndef DCV_DEBLUR_RANDOM_H
#define DCV_DEBLUR_RANDOM_H

#include <stdint.h>

typedef struct draw {
    uint64_t key, count;
} draw;

/* What is drawn for one purpose is independent of what is drawn for another from the same seed: data that were blurred
 * with noise must not be split by the numbers that made their noise. */
typedef enum draw_purpose { DRAW_NOISE, DRAW_SPLIT, DRAW_PROBE } draw_purpose;

draw draw_for(draw_purpose purpose, uint64_t seed, uint64_t index);
double draw_uniform(draw *d); /* 0 < v < 1 */
double draw_normal(draw *d);
double draw_poisson(draw *d, double mean);         /* mean >= 0 */
double draw_binomial(draw *d, double n, double p); /* n whole, >= 0; 0 < p <= 1/2 */

#endif
