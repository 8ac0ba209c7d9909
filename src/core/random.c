/* random.c -- random numbers by counting. */
#include "deconvoy/random.h"

#include <math.h>

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t dcv_random_bits(uint64_t key, uint64_t number)
{
    return mix(key ^ mix(number));
}

double dcv_random_uniform(uint64_t key, uint64_t number)
{
    return ((double)(dcv_random_bits(key, number) >> 11) + 0.5) * 0x1p-53;
}

double dcv_random_gaussian(uint64_t key, uint64_t number)
{
    return sqrt(-2 * log(dcv_random_uniform(key, 2 * number))) *
           cos(6.283185307179586 * dcv_random_uniform(key, 2 * number + 1));
}
