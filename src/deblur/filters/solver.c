/* solver.c -- see deblur/solver.h. */
#include "deblur/filters/problem.h"
#include "deblur/solver.h"

static dcv_status make(const dcv_deblur_spec *spec, const dcv_psf *psf, int comm, int threads, void **out)
{
    problem *p;
    const dcv_status st = problem_new(spec, psf, comm, threads, &p);
    *out = p;
    return st;
}

static void free_it(void *s)
{
    problem_free(s);
}

static dcv_status set_psf(void *s, const dcv_psf *psf)
{
    return problem_psf(s, psf);
}

static dcv_status solve(void *s, const dcv_deblur_io *io, dcv_deblur_facts *facts)
{
    return problem_solve(s, io, facts);
}

static dcv_status blur(void *s, const dcv_deblur_io *io, const dcv_blur_noise *noise)
{
    return problem_blur(s, io, noise);
}

static double adjoint_error(const void *s)
{
    return ((const problem *)s)->adjoint_error;
}

static int64_t box_bytes(const box *b, int channels, int64_t ranks)
{
    return channels * ((b->n[0] + ranks - 1) / ranks) * b->n[1] * b->n[2] * (int64_t)sizeof(real);
}

/* What problem_new() and the solvers hold at most. */
static int64_t bytes(const dcv_deblur_spec *spec, const dcv_psf *psf, int ranks, int near, int threads)
{
    geometry g;
    geometry_of(spec, psf, &g);
    const slab_shape shape = {{g.m[0], g.m[1], g.m[2]}, spec->channels};
    const int64_t active = g.m[0] < ranks ? g.m[0] : ranks, columns = g.m[1] * (g.m[2] / 2 + 1);
    const int64_t spectrum =
        ((columns + SLAB_LANES - 1) / SLAB_LANES + active - 1) / active * PAIR * g.m[0] * (int64_t)sizeof(real);
    const int64_t object = box_bytes(&g.object, spec->channels, active),
                  data = box_bytes(&g.data, spec->channels, active);
    const bool lucy = spec->method >= DCV_RICHARDSON_LUCY;
    int64_t n = slab_bytes(&shape, ranks, near, threads) + spectrum + data;
    n += psf->size[0] * psf->size[1] * psf->size[2] * 8;
    n += problem_chunk(spec, &g) * spec->n[1] * spec->n[2] * spec->channels * (int64_t)sizeof(real);
    if (g.box_sums && !spec->skimage)
        n += (psf->size[0] + 1) * (psf->size[1] + 1) * (psf->size[2] + 1) * 8;
    if (!lucy)
        return n + (cross_validates(spec) ? spec->channels * spectrum : 0);
    n += object * (1 + (spec->method == DCV_RL_TV) + 2 * (spec->acceleration == DCV_BIGGS_ANDREWS));
    n += spec->stop == DCV_STOP_THINNING ? data : 0;
    return n + (spec->acceleration == DCV_WIENER_BUTTERWORTH ? spectrum + object : 0) + (spec->skimage ? spectrum : 0);
}

const solver_ops N(solver_ops) = {make, free_it, set_psf, solve, blur, adjoint_error, bytes};
