/* deblur_bench -- ms of a Richardson-Lucy iteration against four bare FFTW transforms (MEASURE) of the same frame,
 * float32.
 *
 *   cc -O2 -Iinclude tests/bench/deblur_bench.c build/libdcv_deblur.a build/libdcv_io.a build/libdcv_core.a \
 *      -lfftw3f -lfftw3 -lmpi -lnettle -lpthread -lm -o deblur_bench
 *   deblur_bench H W P [DEPTH [THREADS]]       H x W (x DEPTH), PSF P x P (x P); 2-D where DEPTH is 1
 *
 * Both in turn, the least and the median of rounds: other work on the machine disturbs single ones. */
#include <fftw3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "deconvoy/deblur.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int64_t plane;
static double iteration_s[64];
static int n_iterations;
static double last;

static dcv_status give(void *ctx, int64_t first, int64_t n, void *to)
{
    (void)ctx;
    for (int64_t i = 0; i < n * plane; i++)
        ((float *)to)[i] = (float)(((uint64_t)(first * plane + i) * 0x9e3779b97f4a7c15u) >> 56);
    return DCV_OK;
}

static dcv_status take(void *ctx, int64_t first, int64_t n, const void *from)
{
    (void)ctx, (void)first, (void)n, (void)from;
    return DCV_OK;
}

static int tick(void *ctx, int64_t iteration)
{
    (void)ctx;
    const double t = now();
    if (iteration > 0 && n_iterations < 64)
        iteration_s[n_iterations++] = t - last;
    last = t;
    return 0;
}

static int by_size(const void *a, const void *b)
{
    const double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

int main(int argc, char **argv)
{
    const int64_t h = argc > 1 ? atoll(argv[1]) : 2048, w = argc > 2 ? atoll(argv[2]) : 2048,
                  p = argc > 3 ? atoll(argv[3]) : 64, depth = argc > 4 ? atoll(argv[4]) : 1;
    const int threads = argc > 5 ? atoi(argv[5]) : 1, rounds = 10;
    dcv_deblur_spec s = {.method = DCV_RICHARDSON_LUCY,
                         .boundary = DCV_UNKNOWN,
                         .iterations = rounds + 1,
                         .gain = 1,
                         .spacing = {1, 1, 1},
                         .dimensions = depth > 1 ? 3 : 2,
                         .channels = 1};
    dcv_psf psf = {.size = {depth > 1 ? p : p, depth > 1 ? p : 1, p}};
    s.n[0] = depth > 1 ? depth : h;
    s.n[1] = depth > 1 ? h : 1;
    s.n[2] = w;
    plane = s.n[1] * s.n[2];
    const int64_t count = psf.size[0] * psf.size[1] * psf.size[2];
    psf.at = malloc((size_t)count * sizeof *psf.at);
    for (int64_t i = 0; i < count; i++)
        psf.at[i] = 1.0 / (double)count;
    for (int a = 0; a < 3; a++)
        psf.centre[a] = psf.size[a] / 2;
    int64_t m[3];
    dcv_deblur_frame(&s, &psf, m);

    const dcv_deblur_io io = {.read = give, .write = take, .wants = tick};
    dcv_deblur_facts f = {.history = calloc((size_t)s.iterations, sizeof *f.history)};
    dcv_deblur *d;
    if (dcv_deblur_new(&s, &psf, DCV_F32, -1, threads, &d) != DCV_OK || dcv_deblur_run(d, &io, &f) != DCV_OK) {
        fprintf(stderr, "%s\n", dcv_message());
        return 1;
    }
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);

    const int dims[3] = {(int)m[0], (int)m[1], (int)m[2]}, dims2[2] = {(int)m[0], (int)m[2]};
    float *at = fftwf_malloc((size_t)(m[0] * m[1] * (m[2] / 2 + 1)) * 8);
    const int rank = m[1] > 1 ? 3 : 2, *n = m[1] > 1 ? dims : dims2;
    fftwf_plan forward = fftwf_plan_dft_r2c(rank, n, at, (fftwf_complex *)at, FFTW_MEASURE);
    fftwf_plan back = fftwf_plan_dft_c2r(rank, n, (fftwf_complex *)at, at, FFTW_MEASURE);
    memset(at, 0, (size_t)(m[0] * m[1] * (m[2] / 2 + 1)) * 8);
    double bare[64];
    int n_bare = 0;
    for (int turn = 0; turn < 3; turn++) { /* alternating, so that both see the same neighbours */
        for (int k = 0; k < 4; k++) {
            const double t = now();
            fftwf_execute(forward);
            fftwf_execute(back);
            fftwf_execute(forward);
            fftwf_execute(back);
            bare[n_bare++] = now() - t;
        }
        if (turn < 2 && dcv_deblur_run(d, &io, &f) != DCV_OK)
            return 1;
    }
    dcv_deblur_free(d);
    qsort(iteration_s, (size_t)n_iterations, sizeof *iteration_s, by_size);
    qsort(bare, (size_t)n_bare, sizeof *bare, by_size);
    printf("frame %lld x %lld x %lld, %d threads: iteration %.1f ms (median %.1f), four transforms %.1f (%.1f), ratio "
           "%.2f (%.2f)\n",
           (long long)m[0], (long long)m[1], (long long)m[2], threads, 1e3 * iteration_s[0],
           1e3 * iteration_s[n_iterations / 2], 1e3 * bare[0], 1e3 * bare[n_bare / 2], iteration_s[0] / bare[0],
           iteration_s[n_iterations / 2] / bare[n_bare / 2]);
    printf("resident %.1f MB, %.1f bytes a voxel of the frame\n", (double)u.ru_maxrss / 1024,
           (double)u.ru_maxrss * 1024 / ((double)m[0] * (double)m[1] * (double)m[2]));
    return 0;
}
