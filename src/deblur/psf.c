/* psf.c -- see deconvoy/psf.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "deblur/geometry.h"
#include "deconvoy/memory.h"

#define TAIL         1e-4               /* of the sum along an axis, left out */
#define MOST_FWHM    8                  /* width of the support */
#define MOST_SAMPLES ((int64_t)1 << 28) /* 2 GiB: made before anybody asks what there is room for */
#define DISK_PARTS   32                 /* of a sample, each way */

typedef struct dcv_psf_formula formula;

/* Value at a place relative to the origin, in units of spacing on the frame's axes. */
typedef double (*value_fn)(const formula *f, const double at[3]);

static double gaussian(const formula *f, const double at[3])
{
    double r2 = 0;
    for (int a = 0; a < 3; a++)
        r2 += at[a] * at[a] / (f->fwhm[a] * f->fwhm[a]);
    return exp(-4 * M_LN2 * r2);
}

static double radius_of(const double at[3])
{
    return sqrt(at[0] * at[0] + at[1] * at[1] + at[2] * at[2]);
}

static double moffat(const formula *f, const double at[3])
{
    const double r = radius_of(at) / f->fwhm[2];
    return pow(1 + 4 * r * r * (pow(2, 1 / f->beta) - 1), -f->beta);
}

static double airy(const formula *f, const double at[3])
{
    const double v = 2 * 1.616339948310703 * radius_of(at) / f->fwhm[2]; /* (2 J1(v) / v)^2 = 1/2 there */
    const double s = v < 1e-8 ? 1 : 2 * j1(v) / v;
    return s * s;
}

/* Share of the sample that lies in the disk, along rows exactly. */
static double disk(const formula *f, const double at[3])
{
    const double *s = f->spacing, y_step = f->dimensions == 1 ? 0 : at[0];
    double sum = 0;
    const int parts = f->dimensions == 1 ? 1 : DISK_PARTS;
    for (int k = 0; k < parts; k++) {
        const double y = f->dimensions == 1 ? 0 : y_step + ((k + 0.5) / parts - 0.5) * s[0],
                     h2 = f->radius * f->radius - y * y;
        const double half = h2 > 0 ? sqrt(h2) : 0, x0 = at[2] - s[2] / 2, x1 = at[2] + s[2] / 2;
        const double lo = x0 > -half ? x0 : -half, hi = x1 < half ? x1 : half;
        sum += hi > lo ? (hi - lo) / s[2] : 0;
    }
    return sum / parts;
}

/* Narrow [*t0, *t1] to where start + t * slope lies in [lo, hi]. */
static void clip(double slope, double start, double lo, double hi, double *t0, double *t1)
{
    if (fabs(slope) < 1e-12) {
        if (start < lo || start >= hi)
            *t1 = *t0;
        return;
    }
    double a = (lo - start) / slope, b = (hi - start) / slope;
    if (a > b) {
        const double c = a;
        a = b;
        b = c;
    }
    *t0 = a > *t0 ? a : *t0;
    *t1 = b < *t1 ? b : *t1;
}

/* Length of the path in the sample: from half a sample before the origin. */
static double motion(const formula *f, const double at[3])
{
    const double angle = f->dimensions == 1 ? 0 : f->angle * M_PI / 180, *s = f->spacing;
    double t0 = -s[2] / 2, t1 = f->length - s[2] / 2;
    clip(cos(angle), 0, at[2] - s[2] / 2, at[2] + s[2] / 2, &t0, &t1);
    if (f->dimensions > 1)
        clip(sin(angle), 0, at[0] - s[0] / 2, at[0] + s[0] / 2, &t0, &t1);
    return t1 > t0 + 1e-9 ? t1 - t0 : 0;
}

/* Gauss and Legendre's rule of 16 nodes: those above the middle. */
static const double legendre_at[8] = {0.095012509837637454, 0.28160355077925892, 0.45801677765722737,
                                      0.61787624440264377,  0.755404408355003,   0.86563120238783176,
                                      0.9445750230732326,   0.98940093499164994},
                    legendre_weight[8] = {0.18945061045506859,  0.18260341504492361, 0.16915651939500262,
                                          0.14959598881657676,  0.12462897125553403, 0.095158511682492591,
                                          0.062253523938647706, 0.027152459411754037};

/* The pupil, by the angle t of a ray in the medium of the lower index: a = least sin t, so that no root has its end of
 * infinite slope inside, however near na comes to an index. */
typedef struct pupil {
    double k, r, z, depth, immersion, sample, least;
} pupil;

/* sqrt(index^2 - a^2), without cancellation. */
static double along(const pupil *p, double index, double cos_t)
{
    return sqrt((index - p->least) * (index + p->least) + p->least * p->least * cos_t * cos_t);
}

static void add_ray(const pupil *p, double t, double weight, double sum[2])
{
    const double a = p->least * sin(t), c = cos(t);
    const double path =
        p->z * (along(p, p->immersion, c) - p->immersion) + p->depth * (along(p, p->sample, c) - p->sample);
    const double v = weight * j0(p->k * p->r * a) * a * c;
    sum[0] += v * cos(p->k * path);
    sum[1] += v * sin(p->k * path);
}

/* |integral of J0(k r a) exp(i k path(a)) a da|^2, in pieces in which nothing turns by more than about half a circle.
 */
static double gibson_lanni(const formula *f, const double at[3])
{
    pupil p = {.k = 2 * M_PI / f->wavelength,
               .r = hypot(at[2], at[1]) * f->pixel,
               .z = at[0] * f->step + f->thickness,
               .depth = f->depth,
               .immersion = f->immersion,
               .sample = f->sample,
               .least = fmin(f->immersion, f->sample)};
    const double a = fmin(f->na, p.least), top = asin(a / p.least), c = cos(top); /* beyond it nothing gets through */
    const double turn = p.k * (p.r * a + fabs(p.z) * (p.immersion - along(&p, p.immersion, c)) +
                               fabs(p.depth) * (p.sample - along(&p, p.sample, c)));
    const int64_t n = 1 + (int64_t)(turn / M_PI);
    const double half = top / (double)n / 2;
    double sum[2] = {0, 0};
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < 8; k++) {
            const double middle = (double)(2 * i + 1) * half;
            add_ray(&p, middle - half * legendre_at[k], legendre_weight[k] * half, sum);
            add_ray(&p, middle + half * legendre_at[k], legendre_weight[k] * half, sum);
        }
    return sum[0] * sum[0] + sum[1] * sum[1];
}

static const value_fn values[] = {
    [DCV_PSF_GAUSSIAN] = gaussian, [DCV_PSF_MOFFAT] = moffat, [DCV_PSF_AIRY] = airy,
    [DCV_PSF_DISK] = disk,         [DCV_PSF_MOTION] = motion, [DCV_PSF_GIBSON_LANNI] = gibson_lanni};

/* Is frame axis a one of those that the formula spreads over? */
static bool is_flat(const formula *f, int a)
{
    const bool blurred = a == 2 || (a == 0 && f->dimensions >= 2) || (a == 1 && f->dimensions == 3);
    return !blurred;
}

/* In three dimensions these lie in the last two axes, [a1, a2]; their formulas know rows as axis 0. */
static bool is_planar(const formula *f)
{
    return f->dimensions == 3 && (f->kind == DCV_PSF_AIRY || f->kind == DCV_PSF_DISK || f->kind == DCV_PSF_MOTION);
}

/* Samples to one side of the origin that may be wanted. */
static double reach(const formula *f, int a)
{
    const double s = f->spacing[a];
    switch (f->kind) {
    case DCV_PSF_DISK:
        return f->radius / s + 0.5;
    case DCV_PSF_MOTION:
        return f->length / s + 0.5;
    case DCV_PSF_GIBSON_LANNI:
        if (a == 0 && f->dimensions == 3) {
            const double deep = f->immersion - sqrt(fmax(f->immersion * f->immersion - f->na * f->na, 0));
            return MOST_FWHM / 2.0 * 0.88 * f->wavelength / fmax(deep, 1e-6) / f->step;
        }
        return MOST_FWHM / 2.0 * 0.51 * f->wavelength / f->na / f->pixel;
    default:
        return MOST_FWHM / 2.0 * f->fwhm[a] / s;
    }
}

static dcv_status fill(const formula *f, dcv_psf *out)
{
    const int64_t *n = out->size;
    double all = 1;
    for (int a = 0; a < 3; a++) {
        out->centre[a] = n[a] / 2;
        all *= (double)n[a];
    }
    if (all > (double)MOST_SAMPLES)
        return dcv_fail(DCV_ECONFIG,
                        "a support of %lld x %lld x %lld samples is too large; a formula makes %lld at most",
                        (long long)n[0], (long long)n[1], (long long)n[2], (long long)MOST_SAMPLES);
    out->at = dcv_alloc((size_t)(n[0] * n[1] * n[2]), sizeof *out->at);
    if (!out->at)
        return DCV_ENOMEM;
    const bool microscope = f->kind == DCV_PSF_GIBSON_LANNI;
    double *to = out->at, unit[3];
    for (int a = 0; a < 3; a++)
        unit[a] = microscope ? 1 : f->spacing[a];
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t k = 0; k < n[2]; k++) {
                double at[3] = {(double)(i - n[0] / 2) * unit[0], (double)(j - n[1] / 2) * unit[1],
                                (double)(k - n[2] / 2) * unit[2]};
                formula g = *f;
                if (is_planar(f)) { /* rows are axis 1 here */
                    at[0] = at[1];
                    at[1] = 0;
                    g.spacing[0] = f->spacing[1];
                } else if (microscope && f->dimensions == 2) {
                    at[1] = at[0];
                    at[0] = 0;
                }
                *to++ = values[f->kind](&g, at);
            }
    return DCV_OK;
}

/* Keep as many samples on each side of the origin along an axis as leave out no more than TAIL. */
static int64_t trimmed(const dcv_psf *p, int axis)
{
    const int64_t *n = p->size, half = n[axis] / 2;
    double sum = 0, tail = 0;
    double *along = dcv_alloc((size_t)n[axis], sizeof *along);
    if (!along)
        return -1;
    const int64_t after = axis == 2 ? 1 : axis == 1 ? n[2] : n[1] * n[2];
    for (int64_t i = 0; i < n[0] * n[1] * n[2]; i++) {
        along[i / after % n[axis]] += p->at[i];
        sum += p->at[i];
    }
    int64_t keep = half;
    while (keep > 0) {
        tail += along[half - keep] + along[half + keep];
        if (tail > TAIL * sum)
            break;
        keep--;
    }
    dcv_free(along);
    return keep;
}

static dcv_status cut(dcv_psf *p, const int64_t size[3])
{
    const int64_t *n = p->size;
    double *at = dcv_alloc((size_t)(size[0] * size[1] * size[2]), sizeof *at), *to = at;
    if (!at)
        return DCV_ENOMEM;
    const int64_t o[3] = {(n[0] - size[0]) / 2, (n[1] - size[1]) / 2, (n[2] - size[2]) / 2};
    for (int64_t i = 0; i < size[0]; i++)
        for (int64_t j = 0; j < size[1]; j++, to += size[2])
            memcpy(to, p->at + ((i + o[0]) * n[1] + j + o[1]) * n[2] + o[2], (size_t)size[2] * sizeof *to);
    dcv_free(p->at);
    p->at = at;
    for (int a = 0; a < 3; a++) {
        p->size[a] = size[a];
        p->centre[a] = size[a] / 2;
    }
    return DCV_OK;
}

static dcv_status make(const formula *f, dcv_psf *out)
{
    bool whole = true;
    for (int a = 0; a < 3; a++) {
        const bool flat = is_flat(f, a) || (is_planar(f) && a == 0);
        const double most = ceil(reach(f, a) - 1e-9);
        if (!flat && !f->size[a] && !(most < (double)MOST_SAMPLES))
            return dcv_fail(DCV_ECONFIG, "a support of %g samples is too large", most);
        out->size[a] = flat ? 1 : f->size[a] ? f->size[a] : 2 * (int64_t)most + 1;
        whole = whole && (flat || f->size[a]);
    }
    DCV_TRY(fill(f, out));
    if (whole)
        return dcv_psf_normalise(out);
    int64_t size[3];
    for (int a = 0; a < 3; a++) {
        const int64_t keep = f->size[a] || out->size[a] == 1 ? 0 : trimmed(out, a);
        if (keep < 0)
            return DCV_ENOMEM;
        size[a] = f->size[a] || out->size[a] == 1 ? out->size[a] : 2 * keep + 1;
    }
    DCV_TRY(cut(out, size));
    return dcv_psf_normalise(out);
}

dcv_status dcv_psf_make(const dcv_psf_formula *f, dcv_psf *out)
{
    *out = (dcv_psf){0};
    const dcv_status st = make(f, out);
    if (st != DCV_OK)
        dcv_psf_clear(out);
    return st == DCV_EDATA ? DCV_ECONFIG : st; /* it is the formula that has no mass */
}

/* --- Samples from elsewhere --------------------------------------------------------- */

static void place_of(const dcv_psf *p, int64_t i, int64_t at[3])
{
    at[0] = i / (p->size[1] * p->size[2]);
    at[1] = i / p->size[2] % p->size[1];
    at[2] = i % p->size[2];
}

void dcv_psf_centre_at(dcv_psf *p, dcv_psf_centre how)
{
    const int64_t n = p->size[0] * p->size[1] * p->size[2];
    double sum = 0, moment[3] = {0};
    int64_t best = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t at[3];
        place_of(p, i, at);
        best = p->at[i] > p->at[best] ? i : best;
        sum += p->at[i];
        for (int a = 0; a < 3; a++)
            moment[a] += p->at[i] * (double)at[a];
    }
    for (int a = 0; a < 3; a++)
        p->centre[a] = p->size[a] / 2;
    if (how == DCV_CENTRE_MAX)
        place_of(p, best, p->centre);
    for (int a = 0; how == DCV_CENTRE_CENTROID && sum > 0 && a < 3; a++) {
        const double c = rint(moment[a] / sum), last = (double)(p->size[a] - 1);
        p->centre[a] = (int64_t)(c < 0 ? 0 : c > last ? last : c);
    }
}

dcv_status dcv_psf_normalise(dcv_psf *p)
{
    const int64_t n = p->size[0] * p->size[1] * p->size[2];
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(p->at[i]))
            return dcv_fail(DCV_EDATA, "the PSF has %g at sample %lld", p->at[i], (long long)i);
        sum += p->at[i];
    }
    if (!(sum > 0) || !isfinite(sum))
        return dcv_fail(DCV_EDATA, "the PSF has no mass: its sum is %g", sum);
    for (int64_t i = 0; i < n; i++)
        p->at[i] /= sum;
    return DCV_OK;
}

double dcv_psf_width(const dcv_psf *p, int axis)
{
    const int64_t n = p->size[0] * p->size[1] * p->size[2], step = axis == 2   ? 1
                                                                   : axis == 1 ? p->size[2]
                                                                               : p->size[1] * p->size[2];
    int64_t best = 0, at[3];
    for (int64_t i = 1; i < n; i++)
        best = p->at[i] > p->at[best] ? i : best;
    place_of(p, best, at);
    const double half = p->at[best] / 2;
    double width = 0;
    for (int side = -1; side <= 1; side += 2) {
        int64_t k = 0;
        double last = p->at[best], next = last;
        for (; next >= half; k++) {
            const int64_t j = at[axis] + side * (k + 1);
            last = next;
            next = j < 0 || j >= p->size[axis] ? 0 : p->at[best + side * (k + 1) * step];
        }
        width += (double)(k - 1) + (last - half) / (last - next);
    }
    return width < 1 ? 1 : width;
}

void dcv_psf_clear(dcv_psf *p)
{
    dcv_free(p->at);
    *p = (dcv_psf){0};
}
