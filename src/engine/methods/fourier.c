/* fourier.c -- see fourier.h.  Plans are estimated, never timed, and use no vector instructions, so that their
 * numbers are the same on every machine; making one is not thread-safe. */
#include "engine/methods/fourier.h"

#include <fftw3.h>
#include <math.h>
#include <pthread.h>

#include "deconvoy/memory.h"

#define PLAN_FLAGS (FFTW_ESTIMATE | FFTW_UNALIGNED | FFTW_NO_SIMD)

struct dcv_fourier {
    dcv_map m;
    bool bgr;
    double *scale; /* [H][W/2+1] */
    double *plane; /* [C][H][W] */
    fftw_complex *half;
    fftw_plan to_spectrum, to_plane;
};

static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

/* Square root of the covariance of the colours of ImageNet's pictures, over its largest column norm (Lucid). */
static const double colours[3][3] = {{0.26, 0.09, 0.02}, {0.27, 0.00, -0.05}, {0.27, -0.09, 0.03}};
static const double colours_norm = 0.46195237849804394; /* sqrt(0.26^2 + 0.27^2 + 0.27^2) */

static int64_t halves(const dcv_map *m)
{
    return m->h * (m->w / 2 + 1);
}

int64_t dcv_fourier_size(const dcv_map *m)
{
    return 2 * m->c * halves(m);
}

int64_t dcv_fourier_bytes(const dcv_map *m)
{
    return (3 * halves(m) + m->c * m->h * m->w) * (int64_t)sizeof(double);
}

/* Also 1 / sqrt(HW), which makes the transform unitary. */
static void fill_scale(const dcv_map *m, double *scale)
{
    const double least = 1.0 / (double)(m->h > m->w ? m->h : m->w), unitary = 1 / sqrt((double)(m->h * m->w));
    for (int64_t y = 0; y < m->h; y++)
        for (int64_t x = 0; x <= m->w / 2; x++) {
            const double fy = (double)(2 * y <= m->h ? y : y - m->h) / (double)m->h, fx = (double)x / (double)m->w;
            const double f = sqrt(fy * fy + fx * fx);
            *scale++ = unitary / (4 * (f > least ? f : least));
        }
}

static void make_plans(dcv_fourier *f)
{
    const int h = (int)f->m.h, w = (int)f->m.w;
    pthread_mutex_lock(&planner);
    f->to_spectrum = fftw_plan_dft_r2c_2d(h, w, f->plane, f->half, PLAN_FLAGS);
    f->to_plane = fftw_plan_dft_c2r_2d(h, w, f->half, f->plane, PLAN_FLAGS | FFTW_DESTROY_INPUT);
    pthread_mutex_unlock(&planner);
}

dcv_status dcv_fourier_new(const dcv_map *m, bool bgr, dcv_fourier **out)
{
    *out = NULL;
    dcv_fourier *f = dcv_alloc(1, sizeof *f);
    if (!f)
        return DCV_ENOMEM;
    f->m = *m;
    f->bgr = bgr;
    f->scale = dcv_alloc((size_t)halves(m), sizeof *f->scale);
    f->plane = dcv_alloc((size_t)(m->c * m->h * m->w), sizeof *f->plane);
    f->half = dcv_alloc((size_t)halves(m), sizeof *f->half);
    if (f->scale && f->plane && f->half) {
        make_plans(f);
        fill_scale(m, f->scale);
    }
    if (!f->to_spectrum || !f->to_plane) {
        dcv_fourier_free(f);
        return DCV_ENOMEM;
    }
    *out = f;
    return DCV_OK;
}

void dcv_fourier_free(dcv_fourier *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&planner);
    fftw_destroy_plan(f->to_spectrum);
    fftw_destroy_plan(f->to_plane);
    pthread_mutex_unlock(&planner);
    dcv_free(f->scale);
    dcv_free(f->plane);
    dcv_free(f->half);
    dcv_free(f);
}

/* Weight of component i in channel c. */
static double colour(const dcv_fourier *f, int64_t c, int64_t i)
{
    if (f->m.c != 3)
        return c == i;
    return colours[f->bgr ? 2 - c : c][i] / colours_norm;
}

void dcv_fourier_picture(dcv_fourier *f, const float *z, float *x)
{
    const int64_t cells = f->m.h * f->m.w, n = halves(&f->m);
    for (int64_t i = 0; i < f->m.c; i++) {
        for (int64_t k = 0; k < n; k++, z += 2) {
            f->half[k][0] = f->scale[k] * z[0];
            f->half[k][1] = f->scale[k] * z[1];
        }
        fftw_execute_dft_c2r(f->to_plane, f->half, f->plane + i * cells);
    }
    for (int64_t c = 0; c < f->m.c; c++)
        for (int64_t p = 0; p < cells; p++) {
            double sum = 0;
            for (int64_t i = 0; i < f->m.c; i++)
                sum += colour(f, c, i) * f->plane[i * cells + p];
            x[c * cells + p] = (float)sum;
        }
}

void dcv_fourier_gradient(dcv_fourier *f, const float *g, float *z)
{
    const int64_t cells = f->m.h * f->m.w, columns = f->m.w / 2 + 1;
    for (int64_t i = 0; i < f->m.c; i++) {
        for (int64_t p = 0; p < cells; p++) {
            double sum = 0;
            for (int64_t c = 0; c < f->m.c; c++)
                sum += colour(f, c, i) * g[c * cells + p];
            f->plane[p] = sum;
        }
        fftw_execute(f->to_spectrum);
        for (int64_t k = 0; k < f->m.h * columns; k++, z += 2) { /* inner columns stand for their mirror images too */
            const int64_t column = k % columns;
            const double by = f->scale[k] * (column > 0 && 2 * column < f->m.w ? 2 : 1);
            z[0] = (float)(by * f->half[k][0]);
            z[1] = (float)(by * f->half[k][1]);
        }
    }
}

void dcv_adam(int64_t n, int64_t t, double rate, float *m, float *v, float *g)
{
    const double b1 = 0.9, b2 = 0.999, tiny = 1e-8;
    const double c1 = 1 - pow(b1, (double)t), c2 = 1 - pow(b2, (double)t);
    for (int64_t i = 0; i < n; i++) {
        m[i] = (float)(b1 * m[i] + (1 - b1) * g[i]);
        v[i] = (float)(b2 * v[i] + (1 - b2) * g[i] * g[i]);
        g[i] = (float)(rate * (m[i] / c1) / (sqrt(v[i] / c2) + tiny));
    }
}
