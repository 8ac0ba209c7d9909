/* deblur.c -- see deconvoy/deblur.h: float32 or float64. */
#include <math.h>
#include <string.h>

#include "deblur/geometry.h"
#include "deblur/solver.h"
#include "deconvoy/memory.h"

/* Closed forms divide by small numbers and take a few transforms only: up to here they are computed in float64 whatever
 * the precision of the result. */
#define SMALL_FRAME ((double)((int64_t)1 << 26))

struct dcv_deblur {
    const solver_ops *ops;
    void *solver;
    dcv_dtype type;          /* of what io passes */
    bool widens;             /* computed in float64, passed as float32 */
    int64_t plane;           /* values of a plane of the data */
    const dcv_deblur_io *io; /* of the run under way, where widens */
};

static bool widens(const dcv_deblur_spec *spec, const dcv_psf *psf, dcv_dtype type)
{
    geometry g;
    geometry_of(spec, psf, &g);
    return type == DCV_F32 && spec->method < DCV_RICHARDSON_LUCY &&
           (double)g.m[0] * (double)g.m[1] * (double)g.m[2] <= SMALL_FRAME;
}

static const solver_ops *ops_for(const dcv_deblur_spec *spec, const dcv_psf *psf, dcv_dtype type)
{
    return type == DCV_F64 || widens(spec, psf, type) ? &solver_ops_f64 : &solver_ops_f32;
}

dcv_status dcv_deblur_new(const dcv_deblur_spec *spec, const dcv_psf *psf, dcv_dtype type, int comm, int threads,
                          dcv_deblur **out)
{
    dcv_deblur *d = *out = dcv_alloc(1, sizeof *d);
    DCV_CHECK(d);
    d->ops = ops_for(spec, psf, type);
    d->type = type;
    d->widens = widens(spec, psf, type);
    d->plane = spec->n[1] * spec->n[2] * spec->channels;
    const dcv_status st = d->ops->make(spec, psf, comm, threads, &d->solver);
    if (st != DCV_OK) {
        dcv_free(d);
        *out = NULL;
    }
    return st;
}

void dcv_deblur_free(dcv_deblur *d)
{
    if (!d)
        return;
    d->ops->free(d->solver);
    dcv_free(d);
}

dcv_status dcv_deblur_psf(dcv_deblur *d, const dcv_psf *psf)
{
    return d->ops->psf(d->solver, psf);
}

double dcv_deblur_adjoint_error(const dcv_deblur *d)
{
    return d->ops->adjoint_error(d->solver);
}

/* --- float32 outside, float64 inside ---------------------------------------------------- */

static dcv_status read_wide(void *ctx, int64_t first, int64_t n, void *to)
{
    dcv_deblur *d = ctx;
    double *wide = to;
    float *narrow = dcv_alloc((size_t)n, (size_t)d->plane * sizeof *narrow);
    if (!narrow)
        return DCV_ENOMEM;
    const dcv_status st = d->io->read(d->io->ctx, first, n, narrow);
    for (int64_t i = 0; st == DCV_OK && i < n * d->plane; i++)
        wide[i] = (double)narrow[i];
    dcv_free(narrow);
    return st;
}

static dcv_status write_narrow(void *ctx, int64_t first, int64_t n, const void *from)
{
    dcv_deblur *d = ctx;
    const double *wide = from;
    float *narrow = dcv_alloc((size_t)n, (size_t)d->plane * sizeof *narrow);
    if (!narrow)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < n * d->plane; i++)
        narrow[i] = (float)wide[i];
    const dcv_status st = d->io->write(d->io->ctx, first, n, narrow);
    dcv_free(narrow);
    return st;
}

static dcv_deblur_io io_for(dcv_deblur *d, const dcv_deblur_io *io)
{
    d->io = io;
    return d->widens ? (dcv_deblur_io){.ctx = d, .read = read_wide, .write = write_narrow} : *io;
}

dcv_status dcv_deblur_run(dcv_deblur *d, const dcv_deblur_io *io, dcv_deblur_facts *facts)
{
    const dcv_deblur_io mine = io_for(d, io);
    return d->ops->solve(d->solver, &mine, facts);
}

dcv_status dcv_blur_run(dcv_deblur *d, const dcv_deblur_io *io, const dcv_blur_noise *noise)
{
    const dcv_deblur_io mine = io_for(d, io);
    return d->ops->blur(d->solver, &mine, noise);
}

/* --- Estimates ------------------------------------------------------------------------- */

void dcv_deblur_frame(const dcv_deblur_spec *spec, const dcv_psf *psf, int64_t m[3])
{
    geometry g;
    geometry_of(spec, psf, &g);
    memcpy(m, g.m, sizeof g.m);
}

int64_t dcv_deblur_bytes(const dcv_deblur_spec *spec, const dcv_psf *psf, dcv_dtype type, int ranks, int near,
                         int threads)
{
    return ops_for(spec, psf, type)->bytes(spec, psf, ranks, near, threads);
}

/* 2.5 N log2 N a real transform. */
double dcv_deblur_flop(const dcv_deblur_spec *spec, const dcv_psf *psf, bool once)
{
    int64_t m[3];
    dcv_deblur_frame(spec, psf, m);
    const double n = (double)m[0] * (double)m[1] * (double)m[2], fft = 2.5 * n * log2(n + 1) * spec->channels;
    if (spec->method >= DCV_RICHARDSON_LUCY)
        return once ? 5 * fft : 4 * fft + 30 * n * spec->channels;
    return once ? 7 * fft + (cross_validates(spec) ? 70 * fft : 0) : 0;
}

/* Smooth lengths are transformed by our own loops (slab/lanes.c, their version first), which without fused
 * multiply-adds are the same everywhere; the others by FFTW, which as Debian builds it has code for SSE2 and AVX. */
const char *dcv_deblur_numerics(void)
{
#if defined __x86_64__ && defined __GNUC__
    return __builtin_cpu_supports("avx") ? "lanes 1 fftw 3.3 avx" : "lanes 1 fftw 3.3 sse2";
#else
    return "lanes 1 fftw 3.3";
#endif
}
