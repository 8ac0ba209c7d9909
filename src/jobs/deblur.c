/* deblur.c -- job `deblur`: mathematical deconvolution of one object over all ranks, or of many. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "jobs/regions.h"
#include "jobs/solving.h"

extern const dcv_job_kind dcv_job_deblur;

#define MOST_ITERATIONS 500 /* where `iterations` is not given */
#define WORD_BYTES      16  /* of stopped_by */
#define MOST_LAG        1e9 /* samples, either way */

enum { STOP_ABSENT = -1 };

typedef struct stop_options {
    int rule;
    double tolerance;
} stop_options;

typedef struct deblur_options {
    char *input, *dataset;
    psf_options psf;
    int method;
    int64_t dimensions, iterations;
    int acceleration, boundary;
    dcv_reals regularisation; /* word: auto */
    stop_options stop;
    double gain, read, background;
    dcv_reals spacing;
    int precision, parallel, compat;
    double checkpoint_every, gaussian, sampling, tolerance;
    dcv_reals lags;
} deblur_options;

#define AT(member) .offset = DCV_AT(deblur_options, member)
static const dcv_field stop_fields[] = {
    {.key = "rule",
     .type = DCV_FIELD_WORD,
     .offset = DCV_AT(stop_options, rule),
     .words = "iterations|thinning|discrepancy|change",
     .help = "default: iterations where that key is given, else thinning"},
    {.key = "tolerance",
     .type = DCV_FIELD_REAL,
     .offset = DCV_AT(stop_options, tolerance),
     .dflt = "1.0e-3",
     .above_min = true,
     .max = 1,
     .help = "change: of the estimate, relative to it"},
    DCV_FIELDS_END,
};

static const dcv_field noise_fields[] = {
    {.key = "gain",
     .type = DCV_FIELD_REAL,
     AT(gain),
     .dflt = "0",
     .max = 1e15,
     .help = "data units a count; 0: estimated"},
    {.key = "read",
     .type = DCV_FIELD_REAL,
     AT(read),
     .dflt = "0",
     .max = 1e30,
     .unit = "data",
     .help = "sigma of what does not depend on the signal; 0: estimated, none where gain is given"},
    {.key = "background",
     .type = DCV_FIELD_REAL,
     AT(background),
     .dflt = "0",
     .max = 1e30,
     .unit = "data",
     .help = "known part of the data that is not the blurred object"},
    DCV_FIELDS_END,
};

static const dcv_field fields[] = {
    {.key = "input",
     .type = DCV_FIELD_PATH,
     AT(input),
     .required = true,
     .help = "HDF5, PNG, JPEG, TIFF, FITS; a folder or list of them: many independent objects; traces: HDF5, SAC, text "
             "with one a column"},
    {.key = "dataset",
     .type = DCV_FIELD_STRING,
     AT(dataset),
     .help = "inside an .h5; default: the only one, else /blur/image, /image, /data"},
    {.key = "psf",
     .type = DCV_FIELD_SECTION,
     AT(psf),
     .fields = psf_fields,
     .help = "point spread function, or wavelet of traces"},
    {.key = "method",
     .type = DCV_FIELD_WORD,
     AT(method),
     .dflt = "richardson_lucy",
     .words = "inverse|wiener|tikhonov|landweber|richardson_lucy|rl_tv|water_level|iterative_spikes",
     .help = "the last two: traces"},
    {.key = "dimensions",
     .type = DCV_FIELD_INT,
     AT(dimensions),
     .dflt = "2",
     .min = 1,
     .max = 3,
     .help =
         "how many trailing axes are blurred (traces: 1); leading axes number objects; RGB channels are blurred alike"},
    {.key = "iterations",
     .type = DCV_FIELD_INT,
     AT(iterations),
     .min = 1,
     .max = 1e6,
     .help = "that many, or with `stop` at most; default: at most 500; landweber needs it"},
    {.key = "acceleration",
     .type = DCV_FIELD_WORD,
     AT(acceleration),
     .dflt = "none",
     .words = "none|biggs_andrews|wiener_butterworth",
     .help = "of Richardson-Lucy"},
    {.key = "regularisation",
     .type = DCV_FIELD_REALS,
     AT(regularisation),
     .dflt = "auto",
     .words = "auto",
     .form = DCV_FORM_ONE,
     .max = 1e15,
     .help = "inverse: least |H| of its largest; wiener: 1/SNR; tikhonov: of |L|^2; rl_tv: of the total variation; "
             "water_level: of max|S|^2"},
    {.key = "boundary",
     .type = DCV_FIELD_WORD,
     AT(boundary),
     .words = "unknown|reflect|periodic|zero",
     .help = "what lies beyond the edges; default: unknown for Richardson-Lucy, reflect for the linear filters"},
    {.key = "stop", .type = DCV_FIELD_SECTION, AT(stop), .fields = stop_fields, .help = "when to end the iterations"},
    {.key = "noise", .type = DCV_FIELD_SECTION, .offset = 0, .fields = noise_fields, .help = "what is known of it"},
    {.key = "spacing",
     .type = DCV_FIELD_REALS,
     AT(spacing),
     .n_min = 1,
     .n_max = 3,
     .above_min = true,
     .max = 1e9,
     .help = "voxel size along the blurred axes, for rl_tv and PSFs; default: from the file, else 1"},
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
     .help = "distributed: one object over all ranks; items: one a thread; auto: items where there are several"},
    {.key = "compat",
     .type = DCV_FIELD_WORD,
     AT(compat),
     .dflt = "none",
     .words = "none|skimage",
     .help = "definitions of scikit-image 0.26 for wiener and richardson_lucy"},
    {.key = "checkpoint_every",
     .type = DCV_FIELD_REAL,
     AT(checkpoint_every),
     .dflt = "600",
     .max = 1e9,
     .unit = "s",
     .help = "distributed: between two states on disk"},
    {.key = "gaussian",
     .type = DCV_FIELD_REAL,
     AT(gaussian),
     .dflt = "2.5",
     .above_min = true,
     .max = 1e9,
     .unit = "rad/s",
     .help = "traces: low-pass exp(-w^2 / (4 a^2))"},
    {.key = "sampling",
     .type = DCV_FIELD_REAL,
     AT(sampling),
     .dflt = "0.01",
     .above_min = true,
     .max = 1e9,
     .unit = "s",
     .help = "traces: between samples; SAC files say it themselves"},
    {.key = "lags",
     .type = DCV_FIELD_REALS,
     AT(lags),
     .dflt = "[-10, 60]",
     .form = DCV_FORM_LIST,
     .n_min = 2,
     .n_max = 2,
     .min = -1e9,
     .max = 1e9,
     .unit = "s",
     .help = "traces: first and last lag of the result"},
    {.key = "tolerance",
     .type = DCV_FIELD_REAL,
     AT(tolerance),
     .dflt = "1.0e-3",
     .above_min = true,
     .max = 1,
     .help = "iterative_spikes: change of the misfit that ends it"},
    DCV_FIELDS_END,
};
#undef AT

typedef struct ids {
    int image, lag, history[4], iterations, regularisation, gain, read, adjoint, stopped;
} ids;

typedef struct deblur {
    dcv_job base;
    solving s;
    const deblur_options *o;
    bool traces;
    dcv_trace_spec trace_spec;
    dcv_trace **trace; /* [threads] */
    int64_t n_lags, first_lag;
    int64_t n_history;     /* rows of the history */
    dcv_history **history; /* [threads], of traces */
    atomic_bool told_negative;
    ids id;
} deblur;

/* --- Configuration ---------------------------------------------------------------------- */

static bool is_lucy(int method)
{
    return method == DCV_RICHARDSON_LUCY || method == DCV_RL_TV;
}

static bool is_trace(int method)
{
    return method == DCV_WATER_LEVEL || method == DCV_ITERATIVE_SPIKES;
}

static dcv_status resolve_skimage(const dcv_config *c, deblur_options *o)
{
    if (o->method != DCV_WIENER && o->method != DCV_RICHARDSON_LUCY)
        return dcv_config_fail(c, "deblur.compat",
                               "skimage; scikit-image's definitions are of wiener and richardson_lucy");
    const int its = o->method == DCV_WIENER ? DCV_PERIODIC : DCV_ZERO;
    if (o->boundary >= 0 && o->boundary != its)
        return dcv_config_fail(c, "deblur.boundary", "compat: skimage has boundary %s",
                               its == DCV_ZERO ? "zero" : "periodic");
    if (o->acceleration)
        return dcv_config_fail(c, "deblur.acceleration", "compat: skimage has none");
    o->boundary = its;
    return DCV_OK;
}

static dcv_status resolve_stop(const dcv_config *c, deblur_options *o)
{
    const bool given = o->iterations != DCV_INT_ABSENT;
    if (!is_lucy(o->method)) {
        if (dcv_config_given(c, "deblur.stop.rule"))
            return dcv_config_fail(c, "deblur.stop.rule", "a rule; this method has none");
        if (o->acceleration)
            return dcv_config_fail(c, "deblur.acceleration", "is of Richardson-Lucy; this is another method");
        if (o->method == DCV_LANDWEBER && !given)
            return dcv_config_fail(c, "deblur.iterations", "deblur.iterations is missing; landweber needs it");
        if (o->method == DCV_ITERATIVE_SPIKES && !given)
            o->iterations = MOST_ITERATIONS;
        return DCV_OK;
    }
    if (o->stop.rule == STOP_ABSENT)
        o->stop.rule = given || o->compat ? DCV_STOP_ITERATIONS : DCV_STOP_THINNING;
    if (!given)
        o->iterations = o->compat ? 50 : MOST_ITERATIONS;
    return DCV_OK;
}

static dcv_status resolve(dcv_config *c)
{
    deblur_options *o = c->job;
    if (is_trace(o->method)) {
        if (dcv_config_given(c, "deblur.dimensions") && o->dimensions != 1)
            return dcv_config_fail(c, "deblur.dimensions", "%lld; traces have one", (long long)o->dimensions);
        o->dimensions = 1;
        if (o->boundary >= 0 || o->compat)
            return dcv_config_fail(c, o->compat ? "deblur.compat" : "deblur.boundary", "is not for traces");
        if (o->lags.v[1] < o->lags.v[0])
            return dcv_config_fail(c, "deblur.lags", "[%g, %g]; expected the first and the last", o->lags.v[0],
                                   o->lags.v[1]);
    }
    if (o->compat)
        DCV_TRY(resolve_skimage(c, o));
    if (o->boundary < 0 && !is_trace(o->method))
        o->boundary = is_lucy(o->method) ? DCV_UNKNOWN : DCV_REFLECT;
    if (o->boundary == DCV_UNKNOWN && !is_lucy(o->method))
        return dcv_config_fail(c, "deblur.boundary",
                               "unknown is not defined for the linear filters; expected reflect, periodic or zero");
    if (o->spacing.n > 1 && o->spacing.n != o->dimensions)
        return dcv_config_fail(c, "deblur.spacing", "%d numbers; expected one, or one for each of %lld blurred axes",
                               o->spacing.n, (long long)o->dimensions);
    DCV_TRY(resolve_stop(c, o));
    return spread_check(c, "deblur", &o->psf, (int)o->dimensions);
}

/* --- Plan ---------------------------------------------------------------------------------- */

static void make_spec(deblur *d)
{
    const deblur_options *o = d->o;
    dcv_deblur_spec *s = &d->s.spec;
    s->method = (dcv_method)o->method;
    s->acceleration = (dcv_acceleration)o->acceleration;
    s->boundary = (dcv_boundary)o->boundary;
    s->stop = is_lucy(o->method) ? (dcv_stop_rule)o->stop.rule : DCV_STOP_ITERATIONS;
    s->regularisation = o->regularisation.word >= 0 || !o->regularisation.n ? NAN : o->regularisation.v[0];
    s->tolerance = o->stop.tolerance;
    s->iterations = is_lucy(o->method) || o->method == DCV_LANDWEBER ? o->iterations : 0;
    s->gain = o->gain;
    s->read = o->read;
    s->background = o->background;
    s->seed = 1;
}

static dcv_status make_traces(deblur *d, const dcv_config *c, int threads)
{
    const deblur_options *o = d->o;
    const double own = d->s.all.spacing[2];
    d->trace_spec = (dcv_trace_spec){.method = (dcv_method)o->method,
                                     .n = d->s.all.frame[2],
                                     .sampling = own > 0 && !dcv_config_given(c, "deblur.sampling") ? own : o->sampling,
                                     .gaussian = o->gaussian,
                                     .regularisation = d->s.spec.regularisation,
                                     .tolerance = o->tolerance,
                                     .iterations = o->method == DCV_ITERATIVE_SPIKES ? o->iterations : 0,
                                     .lag0 = o->lags.v[0],
                                     .lag1 = o->lags.v[1]};
    if (!(fmax(fabs(o->lags.v[0]), fabs(o->lags.v[1])) / d->trace_spec.sampling <= MOST_LAG))
        return dcv_config_fail(c, "deblur.lags", "[%g, %g] s are more than %g samples of %g s", o->lags.v[0],
                               o->lags.v[1], MOST_LAG, d->trace_spec.sampling);
    d->n_lags = dcv_trace_lags(&d->trace_spec, &d->first_lag);
    d->trace = dcv_alloc((size_t)threads, sizeof *d->trace);
    d->history = dcv_alloc((size_t)threads, sizeof *d->history);
    if (!d->trace || !d->history)
        return DCV_ENOMEM;
    for (int t = 0; t < threads; t++)
        if (!(d->history[t] = dcv_alloc((size_t)d->n_history, sizeof **d->history)))
            return DCV_ENOMEM;
    return DCV_OK;
}

static double object_gflop(const deblur *d)
{
    if (d->traces)
        return 1e-9 * 20 * (double)d->trace_spec.n *
               (log2((double)d->trace_spec.n + 1) + (double)d->trace_spec.iterations);
    const double once = dcv_deblur_flop(&d->s.spec, &d->s.psf.psf, true);
    const double iterations =
        is_lucy(d->o->method) ? (double)(d->o->stop.rule == DCV_STOP_THINNING ? 60 : d->o->iterations) : 0;
    return 1e-9 * (once + iterations * dcv_deblur_flop(&d->s.spec, &d->s.psf.psf, false));
}

static dcv_status open_all(deblur *d, const dcv_config *c, int threads)
{
    const deblur_options *o = d->o;
    const solving_options so = {.section = "deblur",
                                .input = o->input,
                                .dataset = o->dataset,
                                .psf = &o->psf,
                                .spacing = &o->spacing,
                                .dimensions = (int)o->dimensions,
                                .parallel = o->parallel,
                                .type = o->precision ? DCV_F64 : DCV_F32,
                                .wavelet = d->traces,
                                .skimage = o->compat != 0,
                                .low_centre = o->compat && o->method == DCV_RICHARDSON_LUCY};
    DCV_TRY(solving_open(&d->s, c, &so, threads));
    if (d->traces && d->s.all.channels > 1)
        return dcv_config_fail(c, "deblur.input", "%s holds pictures of %d channels, not traces", o->input,
                               d->s.all.channels);
    make_spec(d);
    d->n_history = is_lucy(o->method) || o->method == DCV_ITERATIVE_SPIKES ? o->iterations : 0;
    if (d->traces)
        DCV_TRY(make_traces(d, c, threads));
    solving_plan(&d->s, &d->base, object_gflop(d));
    return DCV_OK;
}

static dcv_status open_job(const dcv_config *c, dcv_share *share, int threads, dcv_job **out)
{
    deblur *d = dcv_alloc(1, sizeof *d);
    (void)share;
    *out = d ? &d->base : NULL;
    if (!d)
        return DCV_ENOMEM;
    d->base.kind = &dcv_job_deblur;
    d->o = c->job;
    d->traces = is_trace(d->o->method);
    return open_all(d, c, threads);
}

static void close_job(dcv_job *base)
{
    deblur *d = (deblur *)base;
    for (int t = 0; d->history && t < d->s.threads; t++)
        dcv_free(d->history[t]);
    dcv_free(d->history);
    for (int t = 0; d->trace && t < d->s.threads; t++)
        dcv_trace_free(d->trace[t]);
    dcv_free(d->trace);
    solving_close(&d->s);
    dcv_free(d);
}

/* --- Result file ---------------------------------------------------------------------------- */

/* A data set of the group with the axis of objects in front, where there is one. */
static dcv_status declare_one(const deblur *d, dcv_store *st, const char *name, dcv_dtype type, int64_t text_bytes,
                              int64_t length, int *id)
{
    dcv_dims dims = {0};
    char path[64];
    if (d->s.leads)
        dims.d[dims.n++] = d->s.all.n;
    if (length >= 0)
        dims.d[dims.n++] = length;
    snprintf(path, sizeof path, "/deblur/%s", name);
    return dcv_store_dataset(st, path, type, text_bytes, &dims, id);
}

static dcv_status declare_lags(deblur *d, dcv_store *st)
{
    double *lag = dcv_alloc((size_t)d->n_lags, sizeof *lag);
    if (!lag)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < d->n_lags; i++)
        lag[i] = (double)(d->first_lag + i) * d->trace_spec.sampling;
    dcv_status s = dcv_store_dataset(st, "/deblur/lag", DCV_F64, 0, &(dcv_dims){1, {d->n_lags}}, &d->id.lag);
    if (s == DCV_OK)
        s = dcv_store_values(st, d->id.lag, lag, (size_t)d->n_lags * sizeof *lag);
    if (s == DCV_OK)
        s = dcv_store_axis(st, d->id.image, 1, d->id.lag, "lag, s");
    dcv_free(lag);
    return s;
}

static dcv_status declare_image(deblur *d, dcv_store *st)
{
    const dcv_dims shape = d->traces ? (dcv_dims){2, {d->s.all.n, d->n_lags}} : objects_dims(&d->s.all);
    DCV_TRY(dcv_dims_check(&shape));
    DCV_TRY(dcv_store_dataset(st, "/deblur/image", d->s.o.type, 0, &shape, &d->id.image));
    if (d->s.all.channels == 3)
        DCV_TRY(dcv_store_int(st, "/deblur/image", "channels", 3));
    if (d->o->acceleration == DCV_WIENER_BUTTERWORTH)
        DCV_TRY(dcv_store_text(st, "/deblur/image", "projector", "unmatched"));
    if (d->traces) {
        DCV_TRY(dcv_store_axis(st, d->id.image, 0, -1, "trace"));
        return declare_lags(d, st);
    }
    return DCV_OK;
}

static dcv_status declare(dcv_job *base, dcv_store *st)
{
    static const char *const history[] = {"history/divergence", "history/change", "history/flux", "history/chi2"};
    deblur *d = (deblur *)base;
    DCV_TRY(solving_declare(&d->s, st));
    DCV_TRY(declare_image(d, st));
    DCV_TRY(solving_declare_psf(&d->s, st, "/deblur"));
    for (int k = 0; k < 4; k++)
        DCV_TRY(declare_one(d, st, history[k], DCV_F64, 0, d->n_history, &d->id.history[k]));
    DCV_TRY(declare_one(d, st, "iterations", DCV_I32, 0, -1, &d->id.iterations));
    DCV_TRY(declare_one(d, st, "regularisation", DCV_F64, 0, -1, &d->id.regularisation));
    DCV_TRY(declare_one(d, st, "noise_gain", DCV_F64, 0, -1, &d->id.gain));
    DCV_TRY(declare_one(d, st, "noise_read", DCV_F64, 0, -1, &d->id.read));
    DCV_TRY(declare_one(d, st, "adjoint_error", DCV_F64, 0, -1, &d->id.adjoint));
    DCV_TRY(declare_one(d, st, "stopped_by", DCV_U8, WORD_BYTES, -1, &d->id.stopped));
    return dcv_store_nxdata(st, "/deblur", "image", NULL, 0);
}

static dcv_status put_history(const deblur *d, int64_t item, const dcv_deblur_facts *f, dcv_result *r)
{
    double *row = dcv_alloc((size_t)d->n_history, sizeof *row);
    dcv_status st = row ? DCV_OK : DCV_ENOMEM;
    for (int k = 0; st == DCV_OK && k < 4; k++) {
        for (int64_t i = 0; i < d->n_history; i++) {
            const dcv_history *h = &f->history[i];
            const double v[] = {h->divergence, h->change, h->flux, h->chi2};
            row[i] = i < f->iterations ? v[k] : NAN;
        }
        st = dcv_result_put(r, d->id.history[k], item * d->n_history, d->n_history, row);
    }
    dcv_free(row);
    return st;
}

static const char *stopped_by(const deblur *d, const dcv_deblur_facts *f)
{
    static const char *const rules[] = {"iterations", "thinning", "discrepancy", "change"};
    return d->n_history || d->o->method == DCV_LANDWEBER ? rules[f->stopped_by] : "none";
}

static dcv_status put_facts(const deblur *d, int64_t item, const dcv_deblur_facts *f, dcv_result *r)
{
    const int32_t iterations = (int32_t)f->iterations;
    char word[WORD_BYTES] = "";
    snprintf(word, sizeof word, "%s", stopped_by(d, f));
    DCV_TRY(put_history(d, item, f, r));
    DCV_TRY(dcv_result_put(r, d->id.iterations, item, 1, &iterations));
    DCV_TRY(dcv_result_put(r, d->id.regularisation, item, 1, &f->regularisation));
    DCV_TRY(dcv_result_put(r, d->id.gain, item, 1, &f->gain));
    DCV_TRY(dcv_result_put(r, d->id.read, item, 1, &f->read));
    DCV_TRY(dcv_result_put(r, d->id.adjoint, item, 1, &f->adjoint_error));
    return dcv_result_put(r, d->id.stopped, item, 1, word);
}

static dcv_status failed(void *ctx, int64_t item, dcv_result *r)
{
    const deblur *d = ctx;
    const int64_t n = d->traces ? d->n_lags : objects_values(&d->s.all);
    const int32_t none = -1;
    const char word[WORD_BYTES] = "";
    const int reals[] = {d->id.regularisation, d->id.gain, d->id.read, d->id.adjoint};
    DCV_TRY(dcv_put_missing(r, d->id.image, d->s.o.type, item * n, n));
    for (int k = 0; k < 4; k++) {
        DCV_TRY(dcv_put_missing(r, d->id.history[k], DCV_F64, item * d->n_history, d->n_history));
        DCV_TRY(dcv_put_missing(r, reals[k], DCV_F64, item, 1));
    }
    DCV_TRY(dcv_result_put(r, d->id.iterations, item, 1, &none));
    return dcv_result_put(r, d->id.stopped, item, 1, word);
}

/* --- Objects ------------------------------------------------------------------------------- */

/* Of many objects, the first that rank 0 meets stands for all. */
static void say_negative(deblur *d, const passage *p, const dcv_deblur_facts *f)
{
    char name[1024];
    if (!f->negative || !is_lucy(d->o->method) || (!p->t && atomic_exchange(&d->told_negative, true)))
        return;
    objects_name(&d->s.all, p->item, name, sizeof name);
    dcv_log_warning("%s: %lld samples are below 0 and count as 0%s", name, (long long)f->negative,
                    p->t ? "" : "; others may have such too");
}

static void say(deblur *d, const passage *p, const dcv_deblur_facts *f)
{
    if (!p->t || !dcv_together_is(p->t)->rank)
        say_negative(d, p, f);
    if (!p->t || dcv_together_is(p->t)->rank)
        return;
    dcv_log_info("<Hx,y> and <x,H^T y> differ by %.2g of |Hx| |y|", f->adjoint_error);
    if (d->n_history)
        dcv_log_info("%lld iterations, ended by %s; noise: gain %.4g, read %.4g", (long long)f->iterations,
                     stopped_by(d, f), f->gain, f->read);
    else if (!isnan(f->regularisation))
        dcv_log_info("regularisation %.4g", f->regularisation);
}

static dcv_status deblur_one(void *ctx, dcv_deblur *solver, passage *p)
{
    deblur *d = ctx;
    dcv_history *history = dcv_alloc((size_t)d->n_history, sizeof *history);
    dcv_deblur_facts f = {.history = history};
    const dcv_deblur_io io = passage_io(p);
    dcv_status st = passage_agree(p, history ? DCV_OK : DCV_ENOMEM);
    if (st == DCV_OK)
        st = dcv_deblur_run(solver, &io, &f);
    if (st == DCV_OK && (!p->t || !dcv_together_is(p->t)->rank))
        st = put_facts(d, p->item, &f, p->r);
    if (st == DCV_OK)
        say(d, p, &f);
    dcv_free(history);
    return st;
}

static solving_actions actions(deblur *d)
{
    return (solving_actions){.ctx = d,
                             .doing = "deblur",
                             .id = d->id.image,
                             .every_s = d->o->checkpoint_every,
                             .one = deblur_one,
                             .failed = failed};
}

/* --- Traces -------------------------------------------------------------------------------- */

static dcv_status put_lags(const deblur *d, int64_t item, const double *lags, dcv_result *r)
{
    if (d->s.o.type == DCV_F64)
        return dcv_result_put(r, d->id.image, item * d->n_lags, d->n_lags, lags);
    float *narrow = dcv_alloc((size_t)d->n_lags, sizeof *narrow);
    if (!narrow)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < d->n_lags; i++)
        narrow[i] = (float)lags[i];
    const dcv_status st = dcv_result_put(r, d->id.image, item * d->n_lags, d->n_lags, narrow);
    dcv_free(narrow);
    return st;
}

static dcv_status trace_for(deblur *d, int64_t item, int thread, dcv_trace **out)
{
    dcv_trace **mine = &d->trace[thread];
    *out = NULL;
    if (d->s.psf.n > 1) { /* a wavelet each */
        dcv_psf psf;
        dcv_trace_free(*mine);
        *mine = NULL;
        DCV_TRY(spread_of(&d->s.psf, item, &psf));
        const dcv_status st = dcv_trace_new(&d->trace_spec, &psf, mine);
        dcv_psf_clear(&psf);
        DCV_TRY(st);
    }
    if (!*mine)
        DCV_TRY(dcv_trace_new(&d->trace_spec, &d->s.psf.psf, mine));
    *out = *mine;
    return DCV_OK;
}

static dcv_status run_trace(deblur *d, int64_t item, int thread, double *trace, double *lags, dcv_result *r)
{
    object x;
    dcv_trace *t;
    dcv_deblur_facts f = {.history = d->history[thread]};
    DCV_TRY(object_open(&d->s.all, item, &x));
    dcv_status st = object_read(&x, 0, 1, DCV_F64, trace);
    object_close(&x);
    DCV_TRY(st);
    DCV_TRY(trace_for(d, item, thread, &t));
    DCV_TRY(dcv_trace_run(t, trace, lags, &f));
    DCV_TRY(put_lags(d, item, lags, r));
    DCV_TRY(put_facts(d, item, &f, r));
    const uint8_t done = 1;
    return dcv_result_put(r, d->s.id_status, item, 1, &done);
}

static dcv_status compute_traces(deblur *d, int64_t unit, int thread, dcv_result *r)
{
    const int64_t first = unit * d->s.unit_items, n = solving_unit_items(&d->s, unit);
    const solving_actions a = actions(d);
    double *trace = dcv_alloc((size_t)(d->trace_spec.n * d->s.all.channels), sizeof *trace);
    double *lags = dcv_alloc((size_t)d->n_lags, sizeof *lags);
    dcv_status st = trace && lags ? DCV_OK : DCV_ENOMEM;
    for (int64_t i = first; st == DCV_OK && i < first + n; i++) {
        st = run_trace(d, i, thread, trace, lags, r);
        if (st != DCV_OK)
            st = solving_fail(&d->s, i, st, &a, r);
    }
    dcv_free(trace);
    dcv_free(lags);
    return st;
}

/* --- The kind ------------------------------------------------------------------------------ */

static dcv_status phase(dcv_job *base, int p, dcv_phase *out)
{
    deblur *d = (deblur *)base;
    (void)p;
    *out = (dcv_phase){
        .name = "deblur", .n_units = solving_units(&d->s), .n_items = d->s.all.n, .together = d->s.distributed};
    return DCV_OK;
}

static int64_t unit_items(const dcv_job *base, int p, int64_t unit)
{
    (void)p;
    return solving_unit_items(&((const deblur *)base)->s, unit);
}

static double unit_gflop(const dcv_job *base, int p, int64_t unit)
{
    const deblur *d = (const deblur *)base;
    (void)p;
    return object_gflop(d) * (double)solving_unit_items(&d->s, unit);
}

static dcv_status compute(dcv_job *base, int p, int64_t unit, int thread, void *input, void *state, dcv_result *r)
{
    deblur *d = (deblur *)base;
    const solving_actions a = actions(d);
    (void)p, (void)input, (void)state;
    return d->traces ? compute_traces(d, unit, thread, r) : solving_unit(&d->s, unit, thread, &a, r);
}

static dcv_status fail_unit(dcv_job *base, int p, int64_t unit, const char *message, void *state, dcv_result *r)
{
    deblur *d = (deblur *)base;
    const solving_actions a = actions(d);
    (void)p, (void)state;
    return solving_fail_unit(&d->s, unit, message, &a, r);
}

static dcv_status together(dcv_job *base, int p, dcv_together *t, dcv_result *r)
{
    deblur *d = (deblur *)base;
    const solving_actions a = actions(d);
    (void)p;
    return solving_together(&d->s, t, &a, r);
}

static dcv_status fits(dcv_job *base, int ranks, int node_ranks, FILE *to)
{
    const deblur *d = (deblur *)base;
    const int64_t more = d->traces ? 16 * 8 * d->trace_spec.n : d->n_history * (int64_t)sizeof(dcv_history);
    return solving_fits(&d->s, ranks, node_ranks, more, to);
}

static dcv_status foresee(dcv_job *base, int64_t i)
{
    return solving_foresee(&((deblur *)base)->s, i);
}

static dcv_status probe(const dcv_config *c)
{
    const deblur_options *o = c->job;
    DCV_TRY(objects_probe(c, o->input, o->dataset));
    return objects_probe(c, o->psf.kind == DCV_PSF_FILE ? o->psf.file : NULL, o->psf.dataset);
}

static dcv_status explain(dcv_job *base, FILE *to)
{
    const deblur *d = (deblur *)base;
    int64_t m[3];
    if (d->traces)
        return DCV_OK;
    dcv_deblur_frame(&d->s.spec, &d->s.psf.psf, m);
    fprintf(to, "objects: %lld, %s; frame %lld x %lld x %lld, PSF %lld x %lld x %lld\n", (long long)d->s.all.n,
            d->s.distributed ? "each over all ranks" : "one a thread", (long long)m[0], (long long)m[1],
            (long long)m[2], (long long)d->s.psf.psf.size[0], (long long)d->s.psf.psf.size[1],
            (long long)d->s.psf.psf.size[2]);
    return DCV_OK;
}

const dcv_job_kind dcv_job_deblur = {
    .section = {.job = "deblur",
                .help = "mathematical deconvolution: photographs, telescopes, microscopes, seismic traces",
                .fields = fields,
                .size = sizeof(deblur_options),
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
    .explain = explain,
};
