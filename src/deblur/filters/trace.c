/* trace.c -- one-dimensional deconvolution of seismic traces by a source wavelet, on lags of both signs.
 *
 * water_level       conj(S) D / max(|S|^2, r max|S|^2), low-passed by exp(-w^2 / (4 a^2))
 * iterative_spikes  Ligorria & Ammon 1999: both sides low-passed, then spikes are added at the lag of the largest
 *                   correlation until the misfit changes by less than the tolerance; the result is the low-passed
 * spikes
 *
 * The transform has length fast(2N), so that what wraps around does not reach the lags; beyond the trace the result is
 * 0. A spike taken off changes correlations by the wavelet's own, and the misfit by its square: no transform an
 * iteration.
 */
#include <math.h>
#include <string.h>

#include "deblur/geometry.h"
#include "deblur/slab/rows.h"
#include "deconvoy/memory.h"

#if defined DCV_DEBLUR_F64

struct dcv_trace {
    dcv_trace_spec spec;
    int64_t m, n_lags, first_lag;
    rows *rows;
    double *work; /* [m + 2]: time, or spectrum */
    cplx *wavelet;
    double *low_pass, *own; /* [m/2+1]; correlation of the low-passed wavelet with itself, [m] */
    double *correlation, *spikes;
    double energy, water; /* of the low-passed wavelet; r max|S|^2 */
};

int64_t dcv_trace_lags(const dcv_trace_spec *spec, int64_t *first)
{
    *first = (int64_t)rint(spec->lag0 / spec->sampling);
    return (int64_t)rint(spec->lag1 / spec->sampling) - *first + 1;
}

static void to_spectrum(dcv_trace *t)
{
    rows_plain(t->rows, false, t->work);
}

static void to_time(dcv_trace *t)
{
    rows_plain(t->rows, true, t->work);
}

static cplx *spectrum(dcv_trace *t)
{
    return (cplx *)(void *)t->work;
}

static void lay_wavelet(dcv_trace *t, const dcv_psf *w)
{
    memset(t->work, 0, (size_t)t->m * sizeof(double));
    for (int64_t k = 0; k < w->size[2]; k++)
        t->work[((k - w->centre[2]) % t->m + t->m) % t->m] += w->at[k];
}

/* What depends on the wavelet alone. */
static void prepare(dcv_trace *t, const dcv_psf *w)
{
    const int64_t n = t->m / 2 + 1;
    const double r = isnan(t->spec.regularisation) ? 0.01 : t->spec.regularisation;
    double most = 0;
    lay_wavelet(t, w);
    to_spectrum(t);
    cplx *s = spectrum(t);
    memcpy(t->wavelet, s, (size_t)n * sizeof *s);
    for (int64_t k = 0; k < n; k++) {
        const double omega = 2 * M_PI * (double)k / ((double)t->m * t->spec.sampling),
                     hh = s[k].re * s[k].re + s[k].im * s[k].im;
        t->low_pass[k] = exp(-omega * omega / (4 * t->spec.gaussian * t->spec.gaussian));
        most = fmax(most, hh);
        s[k] = (cplx){hh * t->low_pass[k] * t->low_pass[k], 0};
    }
    t->water = r * most;
    to_time(t);
    for (int64_t i = 0; i < t->m; i++)
        t->own[i] = t->work[i] / (double)t->m;
    t->energy = t->own[0];
}

static dcv_status make(dcv_trace *t, const dcv_psf *w)
{
    t->m = fast_size(2 * t->spec.n);
    t->n_lags = dcv_trace_lags(&t->spec, &t->first_lag);
    DCV_TRY(rows_new(t->m, false, &t->rows));
    t->work = dcv_alloc((size_t)t->m + 2, sizeof *t->work);
    t->wavelet = dcv_alloc((size_t)(t->m / 2 + 1), sizeof *t->wavelet);
    t->low_pass = dcv_alloc((size_t)(t->m / 2 + 1), sizeof *t->low_pass);
    t->own = dcv_alloc((size_t)t->m, sizeof *t->own);
    t->correlation = dcv_alloc((size_t)t->m, sizeof *t->correlation);
    t->spikes = dcv_alloc((size_t)t->m, sizeof *t->spikes);
    if (!t->work || !t->wavelet || !t->low_pass || !t->own || !t->correlation || !t->spikes)
        return DCV_ENOMEM;
    prepare(t, w);
    return DCV_OK;
}

dcv_status dcv_trace_new(const dcv_trace_spec *spec, const dcv_psf *wavelet, dcv_trace **out)
{
    dcv_trace *t = *out = dcv_alloc(1, sizeof *t);
    if (!t)
        return DCV_ENOMEM;
    t->spec = *spec;
    const dcv_status st = make(t, wavelet);
    if (st != DCV_OK) {
        dcv_trace_free(t);
        *out = NULL;
    }
    return st;
}

void dcv_trace_free(dcv_trace *t)
{
    if (!t)
        return;
    rows_free(t->rows);
    dcv_free(t->work);
    dcv_free(t->wavelet);
    dcv_free(t->low_pass);
    dcv_free(t->own);
    dcv_free(t->correlation);
    dcv_free(t->spikes);
    dcv_free(t);
}

static dcv_status lay_trace(dcv_trace *t, const double *trace)
{
    memset(t->work, 0, (size_t)t->m * sizeof(double));
    for (int64_t i = 0; i < t->spec.n; i++) {
        if (!isfinite(trace[i]))
            return dcv_fail(DCV_EDATA, "NaN or infinity at [%lld]", (long long)i);
        t->work[i] = trace[i];
    }
    to_spectrum(t);
    return DCV_OK;
}

static bool beyond(const dcv_trace *t, int64_t lag)
{
    return lag <= -t->spec.n || lag >= t->spec.n;
}

static int64_t index_of(const dcv_trace *t, int64_t lag)
{
    return lag < 0 ? lag + t->m : lag;
}

/* Samples of the row at the lags that are asked for. */
static void take_lags(const dcv_trace *t, double *lags)
{
    for (int64_t i = 0; i < t->n_lags; i++) {
        const int64_t lag = t->first_lag + i;
        lags[i] = beyond(t, lag) ? 0 : t->work[index_of(t, lag)] / (double)t->m;
    }
}

static void water_level(dcv_trace *t)
{
    cplx *d = spectrum(t);
    for (int64_t k = 0; k < t->m / 2 + 1; k++) {
        const cplx s = t->wavelet[k];
        const double hh = s.re * s.re + s.im * s.im, below = hh > t->water ? hh : t->water;
        const double g = below > 0 ? t->low_pass[k] / below : 0, re = d[k].re, im = d[k].im;
        d[k] = (cplx){(re * s.re + im * s.im) * g, (im * s.re - re * s.im) * g};
    }
    to_time(t);
}

/* The low-passed trace against the low-passed wavelet.  Returns the trace's energy. */
static double correlate(dcv_trace *t)
{
    cplx *d = spectrum(t);
    double energy = 0;
    for (int64_t k = 0; k < t->m / 2 + 1; k++) {
        const cplx s = t->wavelet[k];
        const double g = t->low_pass[k] * t->low_pass[k], re = d[k].re, im = d[k].im;
        const double twice = k == 0 || 2 * k == t->m ? 1 : 2;
        energy += twice * g * (re * re + im * im) / (double)t->m;
        d[k] = (cplx){(re * s.re + im * s.im) * g, (im * s.re - re * s.im) * g};
    }
    to_time(t);
    for (int64_t i = 0; i < t->m; i++)
        t->correlation[i] = t->work[i] / (double)t->m;
    return energy;
}

/* The lag of the largest correlation, the first of equal ones; false: no lag lies within the trace. */
static bool largest(const dcv_trace *t, int64_t *at)
{
    bool any = false;
    for (int64_t i = 0; i < t->n_lags; i++) {
        const int64_t lag = t->first_lag + i;
        if (beyond(t, lag))
            continue;
        const int64_t k = index_of(t, lag);
        if (!any || fabs(t->correlation[k]) > fabs(t->correlation[*at]))
            *at = k;
        any = true;
    }
    return any;
}

static void note(dcv_deblur_facts *f, double change, double flux, double misfit)
{
    if (f->history)
        f->history[f->iterations] = (dcv_history){NAN, change, flux, misfit};
    f->iterations++;
}

static void find_spikes(dcv_trace *t, dcv_deblur_facts *f)
{
    const double all = correlate(t);
    double left = all, flux = 0;
    int64_t at = 0;
    memset(t->spikes, 0, (size_t)t->m * sizeof *t->spikes);
    while (f->iterations < t->spec.iterations && all > 0 && t->energy > 0 && largest(t, &at)) {
        const double a = t->correlation[at] / t->energy, before = left;
        t->spikes[at] += a;
        flux += a;
        for (int64_t i = 0; i < t->m; i++)
            t->correlation[i] -= a * t->own[i >= at ? i - at : i - at + t->m];
        left = fmax(left - a * a * t->energy, 0);
        note(f, (before - left) / all, flux, left / all);
        if (before - left < t->spec.tolerance * all) {
            f->stopped_by = DCV_STOP_CHANGE;
            break;
        }
    }
    memcpy(t->work, t->spikes, (size_t)t->m * sizeof *t->spikes);
    to_spectrum(t);
    cplx *d = spectrum(t);
    for (int64_t k = 0; k < t->m / 2 + 1; k++)
        d[k] = (cplx){d[k].re * t->low_pass[k], d[k].im * t->low_pass[k]};
    to_time(t);
}

dcv_status dcv_trace_run(dcv_trace *t, const double *trace, double *lags, dcv_deblur_facts *f)
{
    dcv_history *history = f->history;
    *f = (dcv_deblur_facts){.regularisation = NAN, .gain = NAN, .read = NAN, .history = history};
    DCV_TRY(lay_trace(t, trace));
    if (t->spec.method == DCV_WATER_LEVEL) {
        f->regularisation = isnan(t->spec.regularisation) ? 0.01 : t->spec.regularisation;
        water_level(t);
    } else
        find_spikes(t, f);
    take_lags(t, lags);
    return DCV_OK;
}

#else
typedef int trace_is_float64; /* traces are computed in float64 alone */
#endif
