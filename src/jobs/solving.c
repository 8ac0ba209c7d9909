/* solving.c -- see solving.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "jobs/solving.h"
#include "runtime/file.h"

#define NOMINAL_GFLOPS 15.0
#define MOST_ITEMS     512 /* in a unit */
#define LEAST_UNITS    32  /* where there are as many items: so that ranks end together */
#define STATE_HEAD     16  /* bytes of a state before the solver's own: which object it is of */

static void hash_psf(dcv_hasher *h, const dcv_psf *p)
{
    dcv_hasher_add(h, p->size, sizeof p->size);
    dcv_hasher_add(h, p->centre, sizeof p->centre);
    dcv_hasher_add(h, p->at, (size_t)(p->size[0] * p->size[1] * p->size[2]) * sizeof *p->at);
}

static dcv_status hash_all(solving *s)
{
    dcv_hasher *h;
    dcv_status st = DCV_OK;
    DCV_TRY(dcv_hasher_new(&h));
    dcv_hasher_add_text(h, s->all.sha256.hex);
    hash_psf(h, &s->psf.psf);
    for (int64_t i = 1; i < s->psf.n && st == DCV_OK; i++) {
        dcv_psf one;
        st = spread_of(&s->psf, i, &one);
        if (st == DCV_OK)
            hash_psf(h, &one);
        else
            st = dcv_fail_in(st, "%s: PSF %lld", s->o.psf->file, (long long)i);
        dcv_psf_clear(&one);
    }
    s->sha256 = dcv_hasher_end(h);
    return st;
}

/* Not wrong, but rarely meant: most of what a sample shows would come from outside. */
static void warn_of_size(const solving *s)
{
    const int64_t *p = s->psf.psf.size, *n = s->all.frame;
    dcv_dims_text psf, data;
    const dcv_dims support = spread_dims(&s->psf);
    if (!s->o.wavelet && (p[0] > n[0] || p[1] > n[1] || p[2] > n[2]))
        dcv_log_warning("%s.psf: a PSF of %s samples is larger than the data, %s; is its size right?", s->o.section,
                        dcv_dims_print(&support, psf), dcv_dims_print(&s->all.dims, data));
}

static bool choose_distributed(const solving *s)
{
    if (s->o.wavelet || s->o.parallel == PARALLEL_ITEMS)
        return false;
    return s->o.parallel == PARALLEL_DISTRIBUTED || s->all.n == 1;
}

dcv_status solving_open(solving *s, const dcv_config *c, const solving_options *o, int threads)
{
    char key[64];
    static const dcv_reals none;
    s->config = c;
    s->o = *o;
    s->threads = threads;
    s->id_status = -1;
    snprintf(key, sizeof key, "%s.input", o->section);
    DCV_TRY(objects_open(&s->all, c, key, o->input, o->dataset, o->dimensions));
    spacing_of(o->spacing ? o->spacing : &none, &s->all, s->spacing);
    s->psf.whole = o->wavelet;
    s->psf.as_it_is = o->skimage;
    s->psf.low_centre = o->low_centre;
    DCV_TRY(spread_open(&s->psf, c, o->section, o->psf, &s->all, s->spacing));
    warn_of_size(s);
    s->distributed = choose_distributed(s);
    s->leads = s->all.many || o->wavelet;
    DCV_TRY(hash_all(s));
    s->solver = dcv_alloc((size_t)threads, sizeof *s->solver);
    if (!s->solver)
        return DCV_ENOMEM;
    dcv_deblur_spec *spec = &s->spec;
    spec->skimage = o->skimage;
    spec->dimensions = o->dimensions;
    spec->channels = s->all.channels;
    memcpy(spec->n, s->all.frame, sizeof spec->n);
    memcpy(spec->spacing, s->spacing, sizeof spec->spacing);
    return DCV_OK;
}

void solving_close(solving *s)
{
    for (int t = 0; s->solver && t < s->threads; t++)
        dcv_deblur_free(s->solver[t]);
    dcv_free(s->solver);
    spread_close(&s->psf);
    objects_close(&s->all);
}

/* The mirrored frame is as wide as half the PSF to both sides, whatever its origin. */
static void warn_of_far_edge(const solving *s)
{
    const dcv_psf *psf = &s->psf.psf;
    int64_t most = 0;
    for (int a = 0; a < 3 && s->spec.boundary == DCV_REFLECT; a++) {
        const int64_t p = psf->size[a], c = psf->centre[a], reach = (c > p - 1 - c ? c : p - 1 - c) - p / 2;
        most = reach > most ? reach : most;
    }
    if (most > 0)
        dcv_log_warning(
            "the PSF's origin is off its middle: up to %lld samples at an edge see mirrored ones of the far "
            "edge; a PSF padded with zeros until its origin is in its middle has none of it",
            (long long)most);
}

void solving_plan(solving *s, dcv_job *job, double gflop)
{
    warn_of_far_edge(s);
    const double most = fmin(MOST_ITEMS, floor((double)s->all.n / LEAST_UNITS)),
                 items = s->config->runtime.unit_seconds * NOMINAL_GFLOPS / (gflop > 1e-9 ? gflop : 1e-9);
    s->gflop = gflop;
    s->unit_items = s->distributed ? 1 : (int64_t)fmax(1, fmin(items, most));
    job->config = s->config;
    job->n_items = s->distributed ? 0 : s->all.n;
    job->n_phases = 1;
    job->dataset_sha256 = s->sha256;
    job->numerics = dcv_deblur_numerics();
}

int64_t solving_units(const solving *s)
{
    return (s->all.n + s->unit_items - 1) / s->unit_items;
}

int64_t solving_unit_items(const solving *s, int64_t unit)
{
    const int64_t left = s->all.n - unit * s->unit_items;
    return left < s->unit_items ? left : s->unit_items;
}

/* The smallest number of ranks that would do with what a rank has. */
static int64_t fitting_ranks(const solving *s, int ranks, int node_ranks, int64_t more)
{
    const int64_t have =
        s->config->runtime.memory_written ? s->config->runtime.memory : free_memory() / 10 * 8 / node_ranks;
    for (int64_t p = 2 * (int64_t)ranks; p <= s->all.frame[0] && p < 1 << 20; p *= 2)
        if (dcv_deblur_bytes(&s->spec, &s->psf.psf, s->o.type, (int)p, node_ranks, s->threads) + more <= have)
            return p;
    return 0;
}

dcv_status solving_fits(const solving *s, int ranks, int node_ranks, int64_t more, FILE *to)
{
    int64_t bytes = more;
    if (s->o.wavelet)
        bytes *= s->threads;
    else if (s->distributed)
        bytes += dcv_deblur_bytes(&s->spec, &s->psf.psf, s->o.type, ranks, node_ranks, s->threads);
    else
        bytes = s->threads * (bytes + dcv_deblur_bytes(&s->spec, &s->psf.psf, s->o.type, 1, 1, 1));
    return check_room(s->config, bytes, node_ranks, s->distributed ? fitting_ranks(s, ranks, node_ranks, more) : 0, to);
}

dcv_status solving_foresee(solving *s, int64_t item)
{
    object x;
    const dcv_status st = object_open(&s->all, item, &x);
    object_close(&x);
    return st;
}

dcv_status solving_declare(solving *s, dcv_store *st)
{
    return s->distributed ? DCV_OK : objects_declare(&s->all, st, &s->id_status);
}

/* --- PSF in the result ----------------------------------------------------------------- */

static dcv_status declare_centre(const solving *s, dcv_store *st, const char *path)
{
    int64_t centre[3] = {0};
    for (int a = 0; a < s->o.dimensions; a++)
        centre[a] = s->psf.psf.centre[a == s->o.dimensions - 1 ? 2 : a];
    return dcv_store_ints(st, path, "centre", centre, s->o.dimensions);
}

dcv_status solving_declare_psf(const solving *s, dcv_store *st, const char *group)
{
    char path[64];
    int id;
    dcv_dims d = spread_dims(&s->psf);
    const int64_t count = dcv_count(&d), n = s->psf.n;
    if (n > 1) {
        memmove(d.d + 1, d.d, sizeof *d.d * (size_t)d.n++);
        d.d[0] = n;
    }
    double *all = n > 1 ? dcv_alloc((size_t)n, (size_t)count * sizeof *all) : NULL;
    if (n > 1 && !all)
        return DCV_ENOMEM;
    dcv_status result = DCV_OK;
    for (int64_t i = 0; n > 1 && result == DCV_OK && i < n; i++) {
        dcv_psf one;
        result = spread_of(&s->psf, i, &one);
        if (result != DCV_OK)
            break;
        memcpy(all + i * count, one.at, (size_t)count * sizeof *all);
        dcv_psf_clear(&one);
    }
    snprintf(path, sizeof path, "%s/psf", group);
    if (result == DCV_OK)
        result = dcv_store_dataset(st, path, DCV_F64, 0, &d, &id);
    if (result == DCV_OK)
        result = dcv_store_values(st, id, n > 1 ? all : s->psf.psf.at, (size_t)(n * count) * sizeof *all);
    if (result == DCV_OK)
        result = declare_centre(s, st, path);
    dcv_free(all);
    return result;
}

/* --- An object's passage ---------------------------------------------------------------- */

static dcv_status pass_in(void *ctx, int64_t first, int64_t n, void *to)
{
    passage *p = ctx;
    const double began_s = now_s();
    const dcv_status st = object_read(&p->x, first, n, p->s->o.type, to);
    if (p->t)
        dcv_together_count(p->t, (dcv_together_tally){.read_s = now_s() - began_s});
    return st;
}

static dcv_status pass_out(void *ctx, int64_t first, int64_t n, const void *from)
{
    const passage *p = ctx;
    const int64_t plane = objects_plane(&p->s->all);
    const double began_s = now_s();
    const dcv_status st =
        dcv_result_put(p->r, p->id, p->item * objects_values(&p->s->all) + first * plane, n * plane, from);
    if (p->t)
        dcv_together_count(p->t, (dcv_together_tally){.write_s = now_s() - began_s});
    return st;
}

static int wants(void *ctx, int64_t iteration)
{
    const passage *p = ctx;
    if (dcv_together_speaks(p->t))
        dcv_log_info("%s: %lld iterations", p->doing, (long long)iteration);
    return dcv_together_wants(p->t, p->every_s);
}

static dcv_status save_begin(void *ctx, int64_t bytes)
{
    const passage *p = ctx;
    const int64_t head[2] = {p->item, bytes};
    DCV_TRY(dcv_together_save_begin(p->t, STATE_HEAD + bytes));
    return dcv_together_agree(p->t,
                              dcv_together_is(p->t)->rank ? DCV_OK : dcv_together_save(p->t, 0, sizeof head, head));
}

static dcv_status save(void *ctx, int64_t offset, int64_t bytes, const void *from)
{
    return dcv_together_save(((const passage *)ctx)->t, STATE_HEAD + offset, bytes, from);
}

static dcv_status save_end(void *ctx)
{
    return dcv_together_save_end(((const passage *)ctx)->t);
}

/* Object that the newest state is of, those before it being done; *bytes: of its solver's part, 0 where the object is
 * not begun.  0 and 0 where there is no state. */
static int64_t state_of(dcv_together *t, int64_t *bytes)
{
    const int64_t all = dcv_together_found(t);
    int64_t head[2];
    *bytes = 0;
    if (all < STATE_HEAD || dcv_together_agree(t, dcv_together_load(t, 0, sizeof head, head)) != DCV_OK ||
        head[1] != all - STATE_HEAD)
        return 0;
    *bytes = head[1];
    return head[0];
}

/* A state of another object is none for this one. */
static int64_t found(void *ctx)
{
    const passage *p = ctx;
    int64_t bytes;
    const int64_t item = state_of(p->t, &bytes);
    return item == p->item ? bytes : 0;
}

static dcv_status load(void *ctx, int64_t offset, int64_t bytes, void *to)
{
    return dcv_together_load(((const passage *)ctx)->t, STATE_HEAD + offset, bytes, to);
}

dcv_deblur_io passage_io(passage *p)
{
    dcv_deblur_io io = {.ctx = p, .read = pass_in, .write = pass_out};
    if (p->t) {
        io.wants = wants;
        io.save_begin = save_begin;
        io.save = save;
        io.save_end = save_end;
        io.found = found;
        io.load = load;
    }
    return io;
}

static dcv_status agreed(dcv_together *t, dcv_status mine)
{
    return t ? dcv_together_agree(t, mine) : mine;
}

dcv_status passage_agree(const passage *p, dcv_status mine)
{
    return agreed(p->t, mine);
}

/* --- Solvers ------------------------------------------------------------------------------ */

static dcv_status make_solver(solving *s, int64_t i, dcv_together *t, dcv_deblur **out)
{
    const dcv_together_facts *f = t ? dcv_together_is(t) : NULL;
    const int comm = f ? f->comm : -1, threads = f ? f->threads : 1;
    if (s->psf.n == 1)
        return dcv_deblur_new(&s->spec, &s->psf.psf, s->o.type, comm, threads, out);
    dcv_psf psf;
    *out = NULL;
    dcv_status st = agreed(t, spread_of(&s->psf, i, &psf));
    if (st == DCV_OK)
        st = dcv_deblur_new(&s->spec, &psf, s->o.type, comm, threads, out);
    dcv_psf_clear(&psf);
    return st;
}

dcv_status solving_solver(solving *s, int64_t i, int thread, dcv_together *t, dcv_deblur **out, bool *own)
{
    *own = s->psf.n > 1;
    if (*own)
        return make_solver(s, i, t, out);
    if (!s->solver[thread])
        DCV_TRY(make_solver(s, i, t, &s->solver[thread]));
    *out = s->solver[thread];
    return DCV_OK;
}

static dcv_status solve_one(solving *s, int64_t item, int thread, dcv_together *t, const solving_actions *a,
                            dcv_result *r)
{
    passage p = {.s = s, .r = r, .id = a->id, .item = item, .t = t, .every_s = a->every_s, .doing = a->doing};
    dcv_deblur *d = NULL;
    bool own = false;
    dcv_status st = agreed(t, object_open(&s->all, item, &p.x));
    if (st == DCV_OK)
        st = solving_solver(s, item, thread, t, &d, &own);
    if (st == DCV_OK)
        st = agreed(t, a->one(a->ctx, d, &p));
    if (own)
        dcv_deblur_free(d);
    object_close(&p.x);
    return st;
}

static dcv_status put_status(const solving *s, int64_t item, uint8_t v, dcv_result *r)
{
    return s->id_status < 0 ? DCV_OK : dcv_result_put(r, s->id_status, item, 1, &v);
}

dcv_status solving_fail(solving *s, int64_t item, dcv_status st, const solving_actions *a, dcv_result *r)
{
    char name[1024], text[1400];
    objects_name(&s->all, item, name, sizeof name);
    if (!strncmp(dcv_message(), name, strlen(name)))
        snprintf(text, sizeof text, "%s", dcv_message());
    else
        snprintf(text, sizeof text, "%s: %s", name, dcv_message());
    if (st != DCV_EDATA || s->config->dataset.on_error == DCV_FAIL || s->distributed)
        return dcv_fail(st, "%s", text);
    DCV_TRY(dcv_result_fail_item(r, item, text));
    DCV_TRY(a->failed(a->ctx, item, r));
    return put_status(s, item, 2, r);
}

dcv_status solving_unit(solving *s, int64_t unit, int thread, const solving_actions *a, dcv_result *r)
{
    const int64_t first = unit * s->unit_items, n = solving_unit_items(s, unit);
    for (int64_t i = first; i < first + n; i++) {
        const dcv_status st = solve_one(s, i, thread, NULL, a, r);
        DCV_TRY(st == DCV_OK ? put_status(s, i, 1, r) : solving_fail(s, i, st, a, r));
    }
    return DCV_OK;
}

static void say_idle(const solving *s, const dcv_together_facts *f)
{
    int64_t m[3];
    dcv_deblur_frame(&s->spec, &s->psf.psf, m);
    if (!f->rank && m[0] < f->size)
        dcv_log_warning("%s: %lld of %d ranks idle: the object has %lld planes along its first axis once padded",
                        s->o.section, (long long)(f->size - m[0]), f->size, (long long)m[0]);
}

/* Between two objects: kept, and stopped, where the one who asked for it wants so. */
static dcv_status poll(solving *s, int64_t next, dcv_together *t, const solving_actions *a)
{
    passage p = {.s = s, .item = next, .t = t};
    const int wants_it = dcv_together_wants(t, a->every_s);
    if (wants_it > 0) {
        DCV_TRY(save_begin(&p, 0));
        DCV_TRY(save_end(&p));
    }
    return wants_it > 1 ? dcv_fail(DCV_ESTOP, "stopped after %lld of %lld objects; run again to go on", (long long)next,
                                   (long long)s->all.n)
                        : DCV_OK;
}

dcv_status solving_together(solving *s, dcv_together *t, const solving_actions *a, dcv_result *r)
{
    int64_t bytes, first = state_of(t, &bytes);
    say_idle(s, dcv_together_is(t));
    dcv_together_count(t, (dcv_together_tally){.units = first, .kept = first, .gone_on = bytes > 0});
    for (int64_t i = first; i < s->all.n; i++) {
        const dcv_status st = solve_one(s, i, 0, t, a, r);
        if (st != DCV_OK)
            return st == DCV_ESTOP ? st : solving_fail(s, i, st, a, r);
        dcv_together_count(t, (dcv_together_tally){.units = 1, .gflop = s->gflop});
        if (i + 1 < s->all.n)
            DCV_TRY(poll(s, i + 1, t, a));
    }
    return DCV_OK;
}

dcv_status solving_fail_unit(solving *s, int64_t unit, const char *message, const solving_actions *a, dcv_result *r)
{
    const int64_t first = unit * s->unit_items, n = solving_unit_items(s, unit);
    for (int64_t i = first; i < first + n; i++) {
        (void)dcv_fail(DCV_EDATA, "%s", message);
        DCV_TRY(solving_fail(s, i, DCV_EDATA, a, r));
    }
    return DCV_OK;
}
