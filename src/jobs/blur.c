/* blur.c -- job `blur`: the forward model, for simulation and tests: y = noise(PSF * x + background). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "deconvoy/memory.h"
#include "jobs/regions.h"
#include "jobs/solving.h"

extern const dcv_job_kind dcv_job_blur;

typedef struct blur_options {
    char *input, *dataset;
    psf_options psf;
    int64_t dimensions;
    int boundary, precision, parallel;
    double background, poisson, gaussian;
    int64_t seed;
    dcv_reals spacing;
} blur_options;

#define KEEP_S 600.0 /* between two states, which are kept between objects */

#define AT(member) .offset = DCV_AT(blur_options, member)
static const dcv_field noise_fields[] = {
    {.key = "poisson",
     .type = DCV_FIELD_REAL,
     AT(poisson),
     .dflt = "0",
     .max = 1e15,
     .help = "counts at the brightest sample; 0: none"},
    {.key = "gaussian",
     .type = DCV_FIELD_REAL,
     AT(gaussian),
     .dflt = "0",
     .max = 1e30,
     .help = "sigma, in units of the data; 0: none"},
    {.key = "seed", .type = DCV_FIELD_INT, AT(seed), .dflt = "1", .max = 1e15, .help = "of both"},
    DCV_FIELDS_END,
};

static const dcv_field fields[] = {
    {.key = "input", .type = DCV_FIELD_PATH, AT(input), .required = true, .help = "as in deblur"},
    {.key = "dataset", .type = DCV_FIELD_STRING, AT(dataset), .help = "as in deblur"},
    {.key = "psf", .type = DCV_FIELD_SECTION, AT(psf), .fields = psf_fields, .help = "as in deblur"},
    {.key = "dimensions",
     .type = DCV_FIELD_INT,
     AT(dimensions),
     .dflt = "2",
     .min = 1,
     .max = 3,
     .help = "as in deblur"},
    {.key = "boundary",
     .type = DCV_FIELD_WORD,
     AT(boundary),
     .dflt = "reflect",
     .words = "reflect|periodic|zero",
     .help = "what lies beyond the edges"},
    {.key = "background",
     .type = DCV_FIELD_REAL,
     AT(background),
     .dflt = "0",
     .max = DCV_NO_LIMIT,
     .help = "added before the noise"},
    {.key = "noise",
     .type = DCV_FIELD_SECTION,
     .offset = 0,
     .fields = noise_fields,
     .help = "Poisson first, then Gaussian"},
    {.key = "spacing",
     .type = DCV_FIELD_REALS,
     AT(spacing),
     .n_min = 1,
     .n_max = 3,
     .above_min = true,
     .max = 1e9,
     .help = "as in deblur"},
    {.key = "precision",
     .type = DCV_FIELD_WORD,
     AT(precision),
     .dflt = "float32",
     .words = "float32|float64",
     .help = "of the result and inside"},
    {.key = "parallel",
     .type = DCV_FIELD_WORD,
     AT(parallel),
     .dflt = "auto",
     .words = "auto|distributed|items",
     .help = "as in deblur"},
    DCV_FIELDS_END,
};
#undef AT

typedef struct blur {
    dcv_job base;
    solving s;
    const blur_options *o;
    int id;
} blur;

static dcv_status resolve(dcv_config *c)
{
    const blur_options *o = c->job;
    if (o->spacing.n > 1 && o->spacing.n != o->dimensions)
        return dcv_config_fail(c, "blur.spacing", "%d numbers; expected one, or one for each of %lld blurred axes",
                               o->spacing.n, (long long)o->dimensions);
    return spread_check(c, "blur", &o->psf, (int)o->dimensions);
}

static dcv_status open_all(blur *b, const dcv_config *c, int threads)
{
    static const dcv_boundary boundaries[] = {DCV_REFLECT, DCV_PERIODIC, DCV_ZERO};
    const blur_options *o = b->o;
    const solving_options so = {.section = "blur",
                                .input = o->input,
                                .dataset = o->dataset,
                                .psf = &o->psf,
                                .spacing = &o->spacing,
                                .dimensions = (int)o->dimensions,
                                .parallel = o->parallel,
                                .type = o->precision ? DCV_F64 : DCV_F32};
    DCV_TRY(solving_open(&b->s, c, &so, threads));
    b->s.spec.method = DCV_INVERSE; /* closed form */
    b->s.spec.regularisation = 1;
    b->s.spec.boundary = boundaries[o->boundary];
    solving_plan(&b->s, &b->base, 1e-9 * dcv_deblur_flop(&b->s.spec, &b->s.psf.psf, true));
    return DCV_OK;
}

static dcv_status open_job(const dcv_config *c, dcv_share *share, int threads, dcv_job **out)
{
    blur *b = dcv_alloc(1, sizeof *b);
    (void)share;
    *out = b ? &b->base : NULL;
    if (!b)
        return DCV_ENOMEM;
    b->base.kind = &dcv_job_blur;
    b->o = c->job;
    return open_all(b, c, threads);
}

static void close_job(dcv_job *base)
{
    solving_close(&((blur *)base)->s);
    dcv_free(base);
}

static dcv_status declare(dcv_job *base, dcv_store *st)
{
    blur *b = (blur *)base;
    const dcv_dims d = objects_dims(&b->s.all);
    DCV_TRY(solving_declare(&b->s, st));
    DCV_TRY(dcv_store_dataset(st, "/blur/image", b->s.o.type, 0, &d, &b->id));
    if (b->s.all.channels == 3)
        DCV_TRY(dcv_store_int(st, "/blur/image", "channels", 3));
    DCV_TRY(solving_declare_psf(&b->s, st, "/blur"));
    return dcv_store_nxdata(st, "/blur", "image", NULL, 0);
}

static dcv_status phase(dcv_job *base, int p, dcv_phase *out)
{
    blur *b = (blur *)base;
    (void)p;
    *out = (dcv_phase){
        .name = "blur", .n_units = solving_units(&b->s), .n_items = b->s.all.n, .together = b->s.distributed};
    return DCV_OK;
}

static int64_t unit_items(const dcv_job *base, int p, int64_t unit)
{
    (void)p;
    return solving_unit_items(&((const blur *)base)->s, unit);
}

static double unit_gflop(const dcv_job *base, int p, int64_t unit)
{
    const solving *s = &((const blur *)base)->s;
    (void)p;
    return 1e-9 * dcv_deblur_flop(&s->spec, &s->psf.psf, true) * (double)solving_unit_items(s, unit);
}

static dcv_status one(void *ctx, dcv_deblur *d, passage *p)
{
    const blur *b = ctx;
    const dcv_deblur_io io = passage_io(p);
    const dcv_blur_noise n = {.background = b->o->background,
                              .poisson = b->o->poisson,
                              .gaussian = b->o->gaussian,
                              .seed = (uint64_t)b->o->seed,
                              .first = p->item * objects_values(&b->s.all)};
    return dcv_blur_run(d, &io, &n);
}

static dcv_status failed(void *ctx, int64_t item, dcv_result *r)
{
    const blur *b = ctx;
    const int64_t n = objects_values(&b->s.all);
    return dcv_put_missing(r, b->id, b->s.o.type, item * n, n);
}

static solving_actions actions(blur *b)
{
    return (solving_actions){.ctx = b, .doing = "blur", .id = b->id, .every_s = KEEP_S, .one = one, .failed = failed};
}

static dcv_status compute(dcv_job *base, int p, int64_t unit, int thread, void *input, void *state, dcv_result *r)
{
    blur *b = (blur *)base;
    const solving_actions a = actions(b);
    (void)p, (void)input, (void)state;
    return solving_unit(&b->s, unit, thread, &a, r);
}

static dcv_status fail_unit(dcv_job *base, int p, int64_t unit, const char *message, void *state, dcv_result *r)
{
    blur *b = (blur *)base;
    const solving_actions a = actions(b);
    (void)p, (void)state;
    return solving_fail_unit(&b->s, unit, message, &a, r);
}

static dcv_status together(dcv_job *base, int p, dcv_together *t, dcv_result *r)
{
    blur *b = (blur *)base;
    const solving_actions a = actions(b);
    (void)p;
    return solving_together(&b->s, t, &a, r);
}

static dcv_status fits(dcv_job *base, int ranks, int node_ranks, FILE *to)
{
    return solving_fits(&((blur *)base)->s, ranks, node_ranks, 0, to);
}

static dcv_status foresee(dcv_job *base, int64_t i)
{
    return solving_foresee(&((blur *)base)->s, i);
}

static dcv_status probe(const dcv_config *c)
{
    const blur_options *o = c->job;
    DCV_TRY(objects_probe(c, o->input, o->dataset));
    return objects_probe(c, o->psf.kind == DCV_PSF_FILE ? o->psf.file : NULL, o->psf.dataset);
}

const dcv_job_kind dcv_job_blur = {
    .section = {.job = "blur",
                .help = "blur an object and add noise: the forward model of deblur",
                .fields = fields,
                .size = sizeof(blur_options),
                .resolve = resolve},
    .probe = probe,
    .open = open_job,
    .close = close_job,
    .declare = declare,
    .phase = phase,
    .unit_items = unit_items,
    .unit_gflop = unit_gflop,
    .compute = compute,
    .fail_unit = fail_unit,
    .together = together,
    .fits = fits,
    .foresee = foresee,
};
