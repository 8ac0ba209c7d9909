/* Random numbers by counting: each depends on key and number alone; mean, deviation and correlations are those of the
 * distributions. */
#include "check.h"

#include <math.h>

#include "deconvoy/random.h"

enum { N = 200000 };

static void moments(double (*draw)(uint64_t, uint64_t), uint64_t key, double mean, double variance)
{
    double sum = 0, square = 0, next = 0, last = 0;
    for (uint64_t i = 0; i < N; i++) {
        const double v = draw(key, i) - mean;
        sum += v;
        square += v * v;
        next += v * last;
        last = v;
    }
    const double deviation = sqrt(variance / N); /* of the mean; the bounds are five of them */
    CHECK(fabs(sum / N) < 5 * deviation);
    CHECK(fabs(square / N - variance) < 5 * variance * sqrt(2.0 / N) * 1.5);
    CHECK(fabs(next / N) < 5 * variance / sqrt(N));
}

int main(void)
{
    /* splitmix64 from state 0 gives e220a8397b1dcdaf first (the reference implementation of Vigna, 2015). */
    CHECK(dcv_random_bits(UINT64_C(0xe220a8397b1dcdaf), 0) == UINT64_C(0xe220a8397b1dcdaf)); /* mix(0 ^ 0) */
    CHECK(dcv_random_bits(1, 0) != dcv_random_bits(0, 0));
    CHECK(dcv_random_bits(1, 0) != dcv_random_bits(0, 1));
    for (uint64_t key = 0; key < 4; key++) {
        moments(dcv_random_uniform, key, 0.5, 1.0 / 12);
        moments(dcv_random_gaussian, key, 0, 1);
    }
    return check_end();
}
