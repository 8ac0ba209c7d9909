/* random.h -- random numbers by counting: each is a function of its key and its number alone, so that they do not
 * depend on who draws them, or when. */
#ifndef DECONVOY_RANDOM_H
#define DECONVOY_RANDOM_H

#include <stdint.h>

/* 64 well-mixed bits (splitmix64's finish, Steele et al. 2014). */
uint64_t dcv_random_bits(uint64_t key, uint64_t number);

/* In (0, 1), 53 bits. */
double dcv_random_uniform(uint64_t key, uint64_t number);

/* Of mean 0 and deviation 1 (Box and Muller 1958). */
double dcv_random_gaussian(uint64_t key, uint64_t number);

#endif
