/* check.h -- the few words that tests are written with.
 *
 * A test program counts what fails, says where, and returns the verdict: end main with
 * `return check_end();`.  Comparisons of floats are !(err <= tol), so that NaN fails.
 */
#ifndef DCV_TEST_CHECK_H
#define DCV_TEST_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "deconvoy/status.h"

static int check_failures, check_count;

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        if (!(cond)) {                                                                                                 \
            check_failures++;                                                                                          \
            fprintf(stderr, "%s:%d: %s (last message: %s)\n", __FILE__, __LINE__, #cond, dcv_message());               \
        }                                                                                                              \
    } while (0)

/* The call succeeds. */
#define CHECK_OK(call) CHECK((call) == DCV_OK)

/* The call fails with code, and its message contains text. */
#define CHECK_FAILS(call, code, text)                                                                                  \
    do {                                                                                                               \
        dcv_status check_st_ = (call);                                                                                 \
        check_count++;                                                                                                 \
        if (check_st_ != (code) || !strstr(dcv_message(), (text))) {                                                   \
            check_failures++;                                                                                          \
            fprintf(stderr, "%s:%d: %s gave %d \"%s\", want %d \"...%s...\"\n", __FILE__, __LINE__, #call,             \
                    (int)check_st_, dcv_message(), (int)(code), (text));                                               \
        }                                                                                                              \
    } while (0)

#define CHECK_NEAR(a, b, tol)                                                                                          \
    do {                                                                                                               \
        double check_a_ = (a), check_b_ = (b);                                                                         \
        check_count++;                                                                                                 \
        if (!(fabs(check_a_ - check_b_) <= (tol))) {                                                                   \
            check_failures++;                                                                                          \
            fprintf(stderr, "%s:%d: %s = %.9g, want %.9g within %g\n", __FILE__, __LINE__, #a, check_a_, check_b_,     \
                    (double)(tol));                                                                                    \
        }                                                                                                              \
    } while (0)

/* Relative L2 distance of float32 values to a float64 reference; NaN if either has one. */
static inline double check_rel_l2(const float *a, const double *ref, size_t n)
{
    double num = 0, den = 0;
    for (size_t i = 0; i < n; i++) {
        num += (a[i] - ref[i]) * (a[i] - ref[i]);
        den += ref[i] * ref[i];
    }
    return den > 0 ? sqrt(num / den) : sqrt(num);
}

static inline int check_end(void)
{
    fprintf(stderr, "%d checks, %d failed\n", check_count, check_failures);
    return check_failures || !check_count ? 1 : 0;
}

/* Folder of the shared test data (networks, photographs), or NULL where it is missing: beside the checkout, or
 * DECONVOY_TEST_DATA. Tests that need it return 77 then. */
static inline const char *check_data_dir(void)
{
    static char dir[4096];
    const char *env = getenv("DECONVOY_TEST_DATA");
    snprintf(dir, sizeof dir, "%s", env ? env : DCV_SOURCE_DIR "/../shared/data");
    FILE *f = NULL;
    char probe[4200];
    snprintf(probe, sizeof probe, "%s/README.md", dir);
    f = fopen(probe, "r");
    if (!f)
        return NULL;
    fclose(f);
    return dir;
}

#endif
