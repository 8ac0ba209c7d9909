/* spread.c -- see spread.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "jobs/spread.h"
#include "runtime/file.h"

#define AT(member) .offset = DCV_AT(psf_options, member)
#define LENGTH(name, what)                                                                                             \
    {                                                                                                                  \
        .key = #name, .type = DCV_FIELD_REAL, AT(name), .above_min = true, .max = 1e9, .help = what                    \
    }
const dcv_field psf_fields[] = {
    {.key = "kind",
     .type = DCV_FIELD_WORD,
     AT(kind),
     .required = true,
     .words = "gaussian|moffat|airy|disk|motion|gibson_lanni|file",
     .help = "formula, or file"},
    {.key = "fwhm",
     .type = DCV_FIELD_REALS,
     AT(fwhm),
     .n_min = 1,
     .n_max = 3,
     .above_min = true,
     .max = 1e6,
     .unit = "of spacing",
     .help = "gaussian, moffat, airy: full width at half maximum; gaussian: or one for each axis"},
    {.key = "beta",
     .type = DCV_FIELD_REAL,
     AT(beta),
     .min = 1,
     .above_min = true,
     .max = 100,
     .help = "moffat: exponent"},
    LENGTH(radius, "disk: radius"),
    LENGTH(length, "motion: length of the path, which starts at the origin"),
    {.key = "angle",
     .type = DCV_FIELD_REAL,
     AT(angle),
     .dflt = "0",
     .min = -360,
     .max = 360,
     .unit = "degrees",
     .help = "motion: from +x to +y"},
    {.key = "na",
     .type = DCV_FIELD_REAL,
     AT(na),
     .above_min = true,
     .max = 2,
     .help = "gibson_lanni: numerical aperture"},
    {.key = "wavelength",
     .type = DCV_FIELD_REAL,
     AT(wavelength),
     .above_min = true,
     .max = 100,
     .unit = "um",
     .help = "gibson_lanni: in vacuum"},
    {.key = "immersion",
     .type = DCV_FIELD_REAL,
     AT(immersion),
     .dflt = "1.515",
     .min = 1,
     .max = 4,
     .help = "gibson_lanni: its refractive index"},
    {.key = "sample",
     .type = DCV_FIELD_REAL,
     AT(sample),
     .dflt = "1.33",
     .min = 1,
     .max = 4,
     .help = "gibson_lanni: its refractive index"},
    {.key = "thickness",
     .type = DCV_FIELD_REAL,
     AT(thickness),
     .dflt = "0",
     .min = -1000,
     .max = 1000,
     .unit = "um",
     .help = "gibson_lanni: of cover glass and immersion beyond their design"},
    {.key = "depth",
     .type = DCV_FIELD_REAL,
     AT(depth),
     .dflt = "0",
     .max = 1000,
     .unit = "um",
     .help = "gibson_lanni: of the source below the cover glass"},
    {.key = "pixel",
     .type = DCV_FIELD_REAL,
     AT(pixel),
     .above_min = true,
     .max = 1000,
     .unit = "um",
     .help = "gibson_lanni: of the data, in the object"},
    {.key = "step",
     .type = DCV_FIELD_REAL,
     AT(step),
     .above_min = true,
     .max = 1000,
     .unit = "um",
     .help = "gibson_lanni: between planes"},
    {.key = "size",
     .type = DCV_FIELD_INTS,
     AT(size),
     .n_min = 1,
     .n_max = 3,
     .min = 1,
     .max = 1 << 20,
     .unit = "samples",
     .help = "support along the blurred axes; default: to 1e-4 of the sum, at most 8 FWHM"},
    {.key = "file", .type = DCV_FIELD_PATH, AT(file), .help = "file: samples, in any format of input"},
    {.key = "dataset",
     .type = DCV_FIELD_STRING,
     AT(dataset),
     .help = "file: inside an .h5; default: the only one, else /deblur/psf, /psf"},
    {.key = "centre",
     .type = DCV_FIELD_INTS,
     AT(centre),
     .dflt = "floor",
     .words = "floor|max|centroid",
     .n_min = 1,
     .n_max = 3,
     .min = 0,
     .max = 1 << 30,
     .form = DCV_FORM_LIST,
     .help = "file: sample that stands for the point itself: floor (size / 2), max, centroid, or its indices"},
    DCV_FIELDS_END,
};

/* --- What goes together ----------------------------------------------------------------- */

typedef struct need {
    const char *key;
    bool there;
} need;

static const char *const kinds[] = {"gaussian", "moffat", "airy", "disk", "motion", "gibson_lanni", "file"};

/* Keys that were given and say nothing of this kind: perhaps the kind is the mistake. */
static void warn_of_others(const char *section, const psf_options *o)
{
    enum {
        GAUSSIAN = 1 << DCV_PSF_GAUSSIAN,
        MOFFAT = 1 << DCV_PSF_MOFFAT,
        AIRY = 1 << DCV_PSF_AIRY,
        LANNI = 1 << DCV_PSF_GIBSON_LANNI
    };
    const struct {
        const char *key;
        bool there;
        int of; /* kinds that have it */
    } keys[] = {
        {"fwhm", o->fwhm.n > 0, GAUSSIAN | MOFFAT | AIRY},
        {"beta", !isnan(o->beta), MOFFAT},
        {"radius", !isnan(o->radius), 1 << DCV_PSF_DISK},
        {"length", !isnan(o->length), 1 << DCV_PSF_MOTION},
        {"na", !isnan(o->na), LANNI},
        {"wavelength", !isnan(o->wavelength), LANNI},
        {"pixel", !isnan(o->pixel), LANNI},
        {"step", !isnan(o->step), LANNI},
        {"file", o->file != NULL, 1 << DCV_PSF_FILE},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].there && !(keys[i].of >> o->kind & 1))
            dcv_log_warning("%s.psf.%s is not used: the PSF is of kind %s", section, keys[i].key, kinds[o->kind]);
}

dcv_status spread_check(const dcv_config *c, const char *section, const psf_options *o, int dimensions)
{
    const need needs[][4] = {
        [DCV_PSF_GAUSSIAN] = {{"fwhm", o->fwhm.n > 0}},
        [DCV_PSF_MOFFAT] = {{"fwhm", o->fwhm.n > 0}, {"beta", !isnan(o->beta)}},
        [DCV_PSF_AIRY] = {{"fwhm", o->fwhm.n > 0}},
        [DCV_PSF_DISK] = {{"radius", !isnan(o->radius)}},
        [DCV_PSF_MOTION] = {{"length", !isnan(o->length)}},
        [DCV_PSF_GIBSON_LANNI] = {{"na", !isnan(o->na)},
                                  {"wavelength", !isnan(o->wavelength)},
                                  {"pixel", !isnan(o->pixel)},
                                  {"step", !isnan(o->step) || dimensions < 3}},
        [DCV_PSF_FILE] = {{"file", o->file != NULL}},
    };
    char key[64];
    snprintf(key, sizeof key, "%s.psf.kind", section);
    if (o->kind < 0)
        return dcv_config_fail(c, key, "%s is missing; one of gaussian moffat airy disk motion gibson_lanni file", key);
    for (int i = 0; i < 4 && needs[o->kind][i].key; i++)
        if (!needs[o->kind][i].there) {
            snprintf(key, sizeof key, "%s.psf.%s", section, needs[o->kind][i].key);
            return dcv_config_fail(c, key, "%s is missing; a PSF of kind %s needs it", key, kinds[o->kind]);
        }
    warn_of_others(section, o);
    snprintf(key, sizeof key, "%s.psf.fwhm", section);
    if (o->fwhm.n > 1 && (o->kind != DCV_PSF_GAUSSIAN || o->fwhm.n != dimensions))
        return dcv_config_fail(c, key, "%d widths; expected one%s", o->fwhm.n,
                               o->kind == DCV_PSF_GAUSSIAN ? ", or one for each blurred axis" : "");
    snprintf(key, sizeof key, "%s.psf.size", section);
    if (o->size.n > 1 && o->size.n != dimensions)
        return dcv_config_fail(c, key, "%d numbers; expected one, or one for each of %d blurred axes", o->size.n,
                               dimensions);
    snprintf(key, sizeof key, "%s.psf.centre", section);
    if (o->centre.word < 0 && o->centre.n && o->centre.n != dimensions)
        return dcv_config_fail(c, key, "%d numbers; expected one for each of %d blurred axes", o->centre.n, dimensions);
    snprintf(key, sizeof key, "%s.psf.na", section);
    if (o->kind == DCV_PSF_GIBSON_LANNI && !(o->na < o->immersion))
        return dcv_config_fail(c, key, "%g; it must be below the immersion's index %g", o->na, o->immersion);
    return DCV_OK;
}

/* --- Formulas ---------------------------------------------------------------------------- */

static dcv_status make_formula(spread *s, const dcv_config *c, const char *section, const double spacing[3])
{
    const psf_options *o = s->o;
    dcv_psf_formula f = {.kind = (dcv_psf_kind)o->kind,
                         .dimensions = s->dimensions,
                         .beta = o->beta,
                         .radius = o->radius,
                         .length = o->length,
                         .angle = o->angle,
                         .na = o->na,
                         .wavelength = o->wavelength,
                         .immersion = o->immersion,
                         .sample = o->sample,
                         .thickness = o->thickness,
                         .depth = o->depth,
                         .pixel = o->pixel,
                         .step = isnan(o->step) ? 1 : o->step};
    double fwhm[3];
    int64_t size[3];
    memcpy(f.spacing, spacing, sizeof f.spacing);
    for (int a = 0; a < s->dimensions; a++) {
        fwhm[a] = o->fwhm.n > 1 ? o->fwhm.v[a] : o->fwhm.n ? o->fwhm.v[0] : 1;
        size[a] = o->size.n > 1 ? o->size.v[a] : o->size.n ? o->size.v[0] : 0;
    }
    objects_to_frame(size, s->dimensions, 0, f.size);
    f.fwhm[0] = s->dimensions > 1 ? fwhm[0] : 1;
    f.fwhm[1] = s->dimensions > 2 ? fwhm[1] : 1;
    f.fwhm[2] = fwhm[s->dimensions - 1];
    const dcv_status st = dcv_psf_make(&f, &s->psf);
    if (st == DCV_ECONFIG) {
        char key[64], *why = dcv_strdup(dcv_message());
        snprintf(key, sizeof key, "%s.psf", section);
        (void)dcv_config_fail(c, key, "%s", why ? why : "");
        dcv_free(why);
    }
    return st;
}

/* --- Samples of a file -------------------------------------------------------------------- */

static dcv_status normalise(const spread *s, dcv_psf *p)
{
    const int64_t n = p->size[0] * p->size[1] * p->size[2];
    double sum = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += p->at[i];
        all += fabs(p->at[i]);
    }
    if (s->as_it_is || (s->whole && all > 0 && isfinite(all) && !(sum > 1e-6 * all)))
        return all > 0 && isfinite(all) ? DCV_OK : dcv_fail(DCV_EDATA, "the PSF has no mass: its sum is %g", sum);
    return dcv_psf_normalise(p);
}

static dcv_status centre_of(const spread *s, dcv_psf *p)
{
    const dcv_ints *c = &s->o->centre;
    if (c->word >= 0 || !c->n) {
        dcv_psf_centre_at(p, c->word >= 0 ? (dcv_psf_centre)c->word : DCV_CENTRE_FLOOR);
        for (int a = 0; s->low_centre && c->word <= DCV_CENTRE_FLOOR && a < 3; a++)
            p->centre[a] = (p->size[a] - 1) / 2;
        return DCV_OK;
    }
    objects_to_frame(c->v, c->n, 0, p->centre);
    for (int a = 0; a < 3; a++)
        if (p->centre[a] >= p->size[a])
            return dcv_fail(DCV_ECONFIG, "centre: %lld; the PSF has %lld samples along that axis",
                            (long long)p->centre[a], (long long)p->size[a]);
    return DCV_OK;
}

static dcv_status read_psf(const spread *s, dcv_samples *file, int64_t i, dcv_psf *p)
{
    const int64_t *d = file->dims.d + (file->dims.n - s->dimensions);
    objects_to_frame(d, s->dimensions, 1, p->size);
    const int64_t n = p->size[0] * p->size[1] * p->size[2];
    p->at = dcv_alloc((size_t)n, (size_t)file->channels * sizeof *p->at);
    if (!p->at)
        return DCV_ENOMEM;
    DCV_TRY(dcv_samples_read(file, i * n * file->channels, n * file->channels, DCV_F64, p->at));
    for (int64_t k = 0; file->channels == 3 && k < n; k++) /* a picture of a PSF that was kept as RGB */
        p->at[k] = (p->at[3 * k] + p->at[3 * k + 1] + p->at[3 * k + 2]) / 3;
    DCV_TRY(normalise(s, p));
    return centre_of(s, p);
}

/* Voxels of another size are another PSF. */
static dcv_status check_spacing(const spread *s, const dcv_samples *file, const objects *all, const double spacing[3],
                                bool known)
{
    for (int a = 0; a < s->dimensions; a++) {
        const double have = file->spacing[3 - s->dimensions + a];
        const int frame = a == s->dimensions - 1 ? 2 : a;
        const double want = known ? spacing[frame] : all->spacing[frame];
        if (have > 0 && want > 0 && fabs(have - want) > 1e-3 * want)
            return dcv_fail(DCV_EDATA, "%s: its voxels are %g wide along axis %d, those of the data %g; resample it",
                            file->shown, have, a, want);
    }
    return DCV_OK;
}

static const char *usual_dataset(const psf_options *o, const char *path)
{
    static const char *const usual[] = {"/deblur/psf", "/psf", "/blur/psf"};
    dcv_h5 *f;
    const char *found = o->dataset;
    const char *dot = strrchr(path, '.');
    if (found || !dot || (strcmp(dot, ".h5") && strcmp(dot, ".hdf5")) || dcv_h5_open(path, &f) != DCV_OK)
        return found;
    for (int i = 0; !found && i < 3; i++)
        if (dcv_h5_has(f, usual[i]))
            found = usual[i];
    dcv_h5_close(f);
    return found;
}

static dcv_status open_file(spread *s, const dcv_config *c, const char *section, const objects *all,
                            const double spacing[3])
{
    const psf_options *o = s->o;
    char key[64];
    dcv_dims_text text;
    const char *path = dcv_config_path(c, o->file);
    if (!path)
        return DCV_ENOMEM;
    snprintf(key, sizeof key, "%s.psf.file", section);
    if (access(path, R_OK))
        return dcv_config_missing(c, key, path, o->file);
    dcv_samples *file;
    const dcv_status st = dcv_samples_open(path, o->file, usual_dataset(o, path), &file);
    if (st == DCV_ECONFIG) {
        char *why = dcv_strdup(dcv_message());
        (void)dcv_config_fail(c, key, "%s", why ? why : "");
        dcv_free(why);
    }
    DCV_TRY(st);
    s->file = file;
    const int lead = file->dims.n - s->dimensions;
    if (lead < 0 || lead > 1 || (lead == 1 && file->dims.d[0] != 1 && file->dims.d[0] != all->n))
        return dcv_config_fail(c, key, "%s has axes %s; expected %d, or one more for %lld objects", o->file,
                               dcv_dims_print(&file->dims, text), s->dimensions, (long long)all->n);
    s->n = lead == 1 ? file->dims.d[0] : 1;
    char key_spacing[64];
    snprintf(key_spacing, sizeof key_spacing, "%s.spacing", section);
    DCV_TRY(check_spacing(s, file, all, spacing, dcv_config_given(c, key_spacing)));
    const dcv_status read = read_psf(s, file, 0, &s->psf);
    if (read == DCV_EDATA)
        return dcv_fail_in(read, "%s", o->file);
    if (read == DCV_ECONFIG) {
        char *why = dcv_strdup(dcv_message());
        snprintf(key, sizeof key, "%s.psf.centre", section);
        (void)dcv_config_fail(c, key, "%s", why ? why : "");
        dcv_free(why);
    }
    return read;
}

dcv_status spread_open(spread *s, const dcv_config *c, const char *section, const psf_options *o, const objects *all,
                       const double spacing[3])
{
    s->o = o;
    s->n = 1;
    s->dimensions = all->dimensions;
    if (o->kind != DCV_PSF_FILE)
        return make_formula(s, c, section, spacing);
    return open_file(s, c, section, all, spacing);
}

void spread_close(spread *s)
{
    dcv_psf_clear(&s->psf);
    dcv_samples_close(s->file);
    s->file = NULL;
}

dcv_status spread_of(const spread *s, int64_t i, dcv_psf *out)
{
    *out = (dcv_psf){0};
    const dcv_status st = read_psf(s, s->file, i, out);
    if (st != DCV_OK)
        dcv_psf_clear(out);
    return st;
}

dcv_dims spread_dims(const spread *s)
{
    dcv_dims d = {s->dimensions, {0}};
    for (int a = 0; a < s->dimensions; a++)
        d.d[a] = s->psf.size[a == s->dimensions - 1 ? 2 : a];
    return d;
}

void spacing_of(const dcv_reals *written, const objects *all, double spacing[3])
{
    const int d = all->dimensions;
    for (int a = 0; a < 3; a++)
        spacing[a] = all->spacing[a] > 0 ? all->spacing[a] : 1;
    for (int a = 0; a < d; a++) {
        const int frame = a == d - 1 ? 2 : a;
        if (written->n)
            spacing[frame] = written->v[written->n == d ? a : 0];
    }
}

/* --- Memory ------------------------------------------------------------------------------- */

static int64_t number_in(const char *file, const char *word)
{
    char line[256];
    int64_t v = -1;
    FILE *f = fopen(file, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, word, strlen(word))) {
            const char *at = line + strlen(word);
            char *end;
            const long long n = strtoll(at, &end, 10);
            if (end != at)
                v = n;
            break;
        }
    if (f)
        fclose(f);
    return v;
}

int64_t free_memory(void)
{
    static const char *const limits[][2] = {
        {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"}};
    const int64_t kib = number_in("/proc/meminfo", "MemAvailable:");
    int64_t most = kib > 0 ? kib * 1024 : INT64_MAX;
    for (int i = 0; i < 2; i++) {
        const int64_t limit = number_in(limits[i][0], ""), used = number_in(limits[i][1], "");
        if (limit > 0 && used >= 0 && limit - used < most)
            most = limit > used ? limit - used : 0;
    }
    return most;
}

dcv_status check_room(const dcv_config *c, int64_t bytes, int node_ranks, int64_t fitting, FILE *to)
{
    const int64_t have =
        c->runtime.memory_written ? c->runtime.memory : free_memory() / 10 * 8 / (node_ranks > 0 ? node_ranks : 1);
    file_size_text a, b;
    char more[64] = "";
    if (to)
        fprintf(to, "memory per rank: %s, of %s\nmemory per node with %d ranks: %s\n", file_size_print(bytes, a),
                file_size_print(have, b), node_ranks, file_size_print(bytes * node_ranks, (file_size_text){0}));
    if (bytes <= have)
        return DCV_OK;
    if (fitting > 0)
        snprintf(more, sizeof more, "; use %lld ranks on more nodes", (long long)fitting);
    return dcv_config_fail(c, "runtime.memory", "needs %s a rank, has %s%s", file_size_print(bytes, a),
                           file_size_print(have, b), more);
}
