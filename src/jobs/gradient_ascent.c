/* gradient_ascent.c -- job `gradient_ascent`: pictures that drive a class or a channel, by climbing its gradient.
 *
 * The plan, the result file, and units.  What a unit does is in gradient_ascent_climb.c.
 */
#include <stdlib.h>
#include <string.h>

#include "deconvoy/log.h"
#include "jobs/depict.h"
#include "jobs/gradient_ascent.h"
#include "jobs/regions.h"

extern const dcv_job_kind dcv_job_gradient_ascent;

static const double nominal_gflops = 50; /* the speed that unit_seconds is counted at */

#define AT(member) DCV_AT(ascent_options, member)
static const dcv_field blur_fields[] = {
    {.key = "sigma",
     .type = DCV_FIELD_REAL,
     .offset = 0,
     .dflt = "0.5",
     .max = 1000,
     .unit = "px",
     .help = "deviation of the Gaussian; 0: none"},
    {.key = "every",
     .type = DCV_FIELD_INT,
     .offset = sizeof(double),
     .dflt = "4",
     .max = 1e6,
     .unit = "steps",
     .help = "after every so many steps; 0: never"},
    DCV_FIELDS_END,
};

static const dcv_field clip_fields[] = {
    {.key = "norm_percentile",
     .type = DCV_FIELD_REAL,
     .offset = 0,
     .dflt = "0",
     .max = 100,
     .unit = "%",
     .help = "pixels whose norm is below this percentile become 0"},
    {.key = "contribution_percentile",
     .type = DCV_FIELD_REAL,
     .offset = sizeof(double),
     .dflt = "0",
     .max = 100,
     .unit = "%",
     .help = "pixels whose |sum of x times gradient| is below this percentile become 0"},
    DCV_FIELDS_END,
};

static const dcv_field octave_fields[] = {
    {.key = "count",
     .type = DCV_FIELD_INT,
     .offset = 0,
     .dflt = "1",
     .min = 1,
     .max = 32,
     .help = "sizes climbed at, one after the other; more than 1: the network must leave height and width open"},
    {.key = "scale",
     .type = DCV_FIELD_REAL,
     .offset = sizeof(int64_t),
     .dflt = "1.4",
     .min = 1,
     .max = 16,
     .help = "from one size to the next"},
    DCV_FIELDS_END,
};

static const dcv_field fields[] = {
    {.key = "at",
     .type = DCV_FIELD_STRING,
     .offset = AT(at),
     .dflt = "logits",
     .help = "what is climbed: logits, probability, or the mean of a channel of a layer, as `inspect` prints its name"},
    {.key = "targets",
     .type = DCV_FIELD_NAMES,
     .offset = AT(targets),
     .required = true,
     .words = "all",
     .help = "all, or numbers of classes or channels; with start: dataset also top1, top5, label"},
    {.key = "steps",
     .type = DCV_FIELD_INT,
     .offset = AT(steps),
     .dflt = "200",
     .min = 1,
     .max = 1e6,
     .help = "for each octave"},
    {.key = "step",
     .type = DCV_FIELD_WORD,
     .offset = AT(step),
     .dflt = "rms",
     .words = "rms|plain",
     .help = "rms: the gradient over its rms, times rate; plain: the gradient times rate (fourier: Adam instead)"},
    {.key = "rate",
     .type = DCV_FIELD_REAL,
     .offset = AT(rate),
     .dflt = "1.0",
     .max = 1e30,
     .above_min = true,
     .help = "length of a step, in the network's units"},
    {.key = "l2",
     .type = DCV_FIELD_REAL,
     .offset = AT(l2),
     .dflt = "1.0e-4",
     .max = 1,
     .help = "the picture shrinks by this share in each step"},
    {.key = "blur",
     .type = DCV_FIELD_SECTION,
     .offset = AT(blur),
     .fields = blur_fields,
     .help = "smoothing between steps"},
    {.key = "jitter",
     .type = DCV_FIELD_INT,
     .offset = AT(jitter),
     .dflt = "8",
     .max = 1e6,
     .unit = "px",
     .help = "each step sees the picture rolled by up to so much"},
    {.key = "total_variation",
     .type = DCV_FIELD_REAL,
     .offset = AT(total_variation),
     .dflt = "0",
     .max = 1e30,
     .help = "this times the picture's total variation is taken from the score that is climbed"},
    {.key = "clip",
     .type = DCV_FIELD_SECTION,
     .offset = AT(clip),
     .fields = clip_fields,
     .help = "pixels that do not matter (Yosinski et al. 2015)"},
    {.key = "parametrisation",
     .type = DCV_FIELD_WORD,
     .offset = AT(parametrisation),
     .dflt = "pixel",
     .words = "pixel|fourier",
     .help = "fourier: a scaled spectrum of decorrelated colours, climbed with Adam (Olah et al. 2017)"},
    {.key = "octaves",
     .type = DCV_FIELD_SECTION,
     .offset = AT(octaves),
     .fields = octave_fields,
     .help = "from small pictures to large ones (DeepDream)"},
    {.key = "start",
     .type = DCV_FIELD_WORD,
     .offset = AT(start),
     .dflt = "noise",
     .words = "noise|mean|dataset",
     .help = "noise about the mean, the mean, or each picture of the data set"},
    {.key = "seed", .type = DCV_FIELD_INT, .offset = AT(seed), .dflt = "1", .max = 1e15, .help = "of noise and jitter"},
    DCV_FIELDS_END,
};

/* --- Plan ------------------------------------------------------------------------- */

static dcv_status choose(void *ctx, const dcv_graph *g, int *seen, int *n_seen)
{
    *n_seen = 1;
    return dcv_targets_value(&((const ascent_job *)ctx)->targets, g, seen);
}

static dcv_status resolve(dcv_config *c)
{
    const ascent_options *o = c->job;
    if (o->start == ASCENT_DATASET && !c->dataset.source)
        return dcv_config_fail(c, "gradient_ascent.start",
                               "dataset: the pictures to start from are not said; "
                               "expected dataset.source");
    for (int i = 0; o->start != ASCENT_DATASET && i < o->targets.n; i++) {
        const char *t = o->targets.v[i];
        if (!strcmp(t, "top1") || !strcmp(t, "top5") || !strcmp(t, "label"))
            return dcv_config_fail(c, "gradient_ascent.targets",
                                   "%s is said of pictures; expected numbers, or start: "
                                   "dataset",
                                   t);
    }
    return DCV_OK;
}

/* Where items are targets, their channels are known from the start. */
static dcv_status number_items(ascent_job *j)
{
    const int n = j->targets.n;
    const dcv_graph *g = j->on.net.graph;
    int v;
    DCV_TRY(dcv_targets_value(&j->targets, g, &v));
    float *x = dcv_alloc((size_t)dcv_count(&g->value[v].dims), sizeof *x);
    dcv_unit *unit = dcv_alloc((size_t)n, sizeof *unit);
    j->number = dcv_alloc((size_t)n, sizeof *j->number);
    const bool ok = x && unit && j->number;
    if (ok)
        dcv_targets_find(&j->targets, g, x, -1, unit); /* numbers do not depend on x */
    for (int i = 0; ok && i < n; i++)
        j->number[i] = unit[i].channel;
    dcv_free(x);
    dcv_free(unit);
    return ok ? DCV_OK : DCV_ENOMEM;
}

/* Octaves want a network that takes pictures of several sizes; the largest view that is not the network's own. */
static dcv_status check_octaves(const ascent_job *j, int64_t *view_bytes)
{
    const ascent_options *o = j->options;
    const dcv_network *net = &j->on.net;
    dcv_dims file;
    *view_bytes = 0;
    if (o->octaves.count == 1)
        return DCV_OK;
    DCV_TRY(dcv_graph_input_dims(net->model, 0, NULL, &file));
    if (file.n != 4 || file.d[2] >= 0 || file.d[3] >= 0)
        return dcv_config_fail(net->config, "gradient_ascent.octaves.count",
                               "%lld octaves; %s fixes height and width of its input, so that there can be only one",
                               (long long)o->octaves.count, net->model->file);
    for (int k = 0; k < o->octaves.count - 1; k++) {
        const dcv_map m = dcv_octave(&j->map, k, (int)o->octaves.count, o->octaves.scale);
        const dcv_dims d = ascent_dims(j, &m);
        int64_t bytes;
        const dcv_status st = dcv_network_view_bytes(net, &d, &bytes);
        if (st == DCV_EDATA)
            return dcv_config_fail(net->config, "gradient_ascent.octaves.count",
                                   "octave %d is %lld x %lld, which the network cannot take: %s", k, (long long)m.h,
                                   (long long)m.w, dcv_network_message(net));
        DCV_TRY(st);
        *view_bytes = bytes > *view_bytes ? bytes : *view_bytes;
    }
    return DCV_OK;
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Few climbs are spread over many blocks, which ranks share out; many walk in full groups.  All from the
 * configuration alone. */
static dcv_status plan(ascent_job *j)
{
    const ascent_options *o = j->options;
    const int64_t items = j->on.base.n_items, climbs = items * j->n_targets;
    const bool one_size = !j->from_data || j->on.net.dataset->fixed;
    const int64_t together = clamp(divide_up(climbs, DCV_GROUP), 1, DCV_GROUP);
    j->block_items = clamp(one_size ? together / j->n_targets : 1, 1, items > 0 ? items : 1);
    j->group = clamp(j->block_items * j->n_targets, 1, DCV_GROUP);
    j->n_parties = divide_up(j->block_items * j->n_targets, DCV_GROUP);
    j->n_steps = o->steps * o->octaves.count;
    j->climb_gflop = 2 * j->on.net.item_gflop;
    const double fit = j->on.net.config->runtime.unit_seconds * nominal_gflops / (j->climb_gflop * (double)j->group);
    j->unit_steps = fit < 1 ? 1 : fit < (double)j->n_steps ? (int64_t)fit : j->n_steps;
    j->party_units = divide_up(j->n_steps, j->unit_steps);
    const double units = (double)divide_up(items, j->block_items) * (double)j->n_parties * (double)j->party_units;
    return units < 0x1p40 ? DCV_OK
                          : dcv_config_fail(j->on.net.config, "gradient_ascent.steps",
                                            "%.3g units of work are too many; a larger runtime.unit_seconds makes "
                                            "fewer",
                                            units);
}

static dcv_status open_scratch(ascent_job *j, int threads)
{
    int64_t view_bytes;
    DCV_TRY(check_octaves(j, &view_bytes));
    const int64_t walk = (int64_t)dcv_walk_bytes(j->on.net.engine);
    j->on.base.thread_bytes =
        (view_bytes > walk ? view_bytes : walk) + (j->from_data ? dcv_dataset_item_bytes(j->on.net.dataset) : 0);
    j->on.base.unit_read_bytes = 0;
    DCV_TRY(dcv_network_job_fits(&j->on, (double)ascent_scratch_bytes(j), "climbs", ", or ask for smaller pictures"));
    j->scratch = dcv_alloc((size_t)threads, sizeof *j->scratch);
    if (!j->scratch)
        return DCV_ENOMEM;
    for (int t = 0; t < threads; t++)
        DCV_TRY(ascent_scratch_new(j, &j->scratch[t]));
    return DCV_OK;
}

static dcv_status open_job(const dcv_config *c, dcv_share *share, int threads, dcv_job **out)
{
    ascent_job *j = dcv_alloc(1, sizeof *j);
    *out = j ? &j->on.base : NULL;
    if (!j)
        return DCV_ENOMEM;
    const ascent_options *o = j->options = c->job;
    j->from_data = o->start == ASCENT_DATASET;
    j->fourier = o->parametrisation;
    j->bgr = c->dataset.preprocess.channels == DCV_BGR;
    static const dcv_ints sum = {.word = 1}; /* no arg-max is looked for */
    dcv_targets_start(&j->targets, c, "gradient_ascent", o->at, &sum);
    const dcv_network_options n = {.choose = choose,
                                   .ctx = j,
                                   .back = true,
                                   .no_data = !j->from_data,
                                   .one_view = true,
                                   .many_sizes = o->octaves.count > 1};
    DCV_TRY(dcv_network_job_open(&j->on, &dcv_job_gradient_ascent, c, &n, share, threads));
    const dcv_graph *g = j->on.net.graph;
    if (g->value[g->in[0]].dims.n > 4)
        return dcv_fail(DCV_EDATA, "%s: the input has %d axes; gradient_ascent takes [N,C,H,W] at most",
                        j->on.net.model->file, g->value[g->in[0]].dims.n);
    j->map = dcv_value_map(&g->value[g->in[0]]);
    DCV_TRY(dcv_targets_read(&j->targets, &o->targets, g));
    dcv_targets_warn(&j->targets, j->on.net.dataset);
    j->n_targets = j->from_data ? j->targets.n : 1;
    if (!j->from_data) {
        j->on.base.n_items = j->targets.n;
        DCV_TRY(number_items(j));
    }
    if (!j->from_data && c->dataset.source)
        dcv_log_warning("dataset.source is not read: gradient_ascent.start is not dataset");
    DCV_TRY(plan(j));
    ascent_lay_out(j);
    return open_scratch(j, threads);
}

static void close_job(dcv_job *base)
{
    ascent_job *j = (ascent_job *)base;
    for (int t = 0; j->scratch && t < j->on.net.threads; t++)
        ascent_scratch_clear(&j->scratch[t]);
    dcv_free(j->scratch);
    dcv_free(j->number);
    dcv_targets_clear(&j->targets);
    dcv_network_close(&j->on.net);
    dcv_free(j);
}

/* --- Result file ------------------------------------------------------------------ */

/* A data set whose leading axes are those of climbs, then those of tail. */
static dcv_status declare_one(const ascent_job *j, dcv_store *s, const char *name, dcv_dtype type, const char *axes[],
                              const int64_t *tail, int n_tail, int *id)
{
    dcv_dims d = {0};
    const char *label[6];
    if (j->from_data) {
        label[d.n] = "input";
        d.d[d.n++] = j->on.base.n_items;
    }
    label[d.n] = "target";
    d.d[d.n++] = j->targets.n;
    for (int i = 0; i < n_tail; i++) {
        label[d.n] = axes[i];
        d.d[d.n++] = tail[i];
    }
    char *path = dcv_format("/gradient_ascent/%s", name);
    dcv_status st = path ? dcv_store_dataset(s, path, type, 0, &d, id) : DCV_ENOMEM;
    for (int axis = 0; st == DCV_OK && axis < d.n; axis++)
        st = dcv_store_axis(s, *id, axis, -1, label[axis]);
    dcv_free(path);
    return st;
}

static dcv_status declare(dcv_job *base, dcv_store *s)
{
    ascent_job *j = (ascent_job *)base;
    const dcv_map *m = &j->map;
    const int shown = dcv_depict_channels(m);
    const char *image[] = {"channel", "y", "x"}, *picture[] = {"y", "x", "channel"}, *step[] = {"step"};
    if (j->from_data)
        DCV_TRY(dcv_network_declare(&j->on.net, s));
    DCV_TRY(declare_one(j, s, "target", DCV_I32, NULL, NULL, 0, &j->id_target));
    DCV_TRY(declare_one(j, s, "image", DCV_F32, image, (const int64_t[]){m->c, m->h, m->w}, 3, &j->id_image));
    j->id_picture = -1;
    if (shown) {
        DCV_TRY(declare_one(j, s, "picture", DCV_U8, picture, (const int64_t[]){m->h, m->w, shown}, 3, &j->id_picture));
        DCV_TRY(dcv_store_image(s, j->id_picture, shown));
    }
    DCV_TRY(declare_one(j, s, "objective", DCV_F32, step, &j->n_steps, 1, &j->id_objective));
    return dcv_store_nxdata(s, "/gradient_ascent", "objective", (const char *const[]){".", ".", "."},
                            j->from_data ? 3 : 2);
}

/* Rows of a climb, counted over all items, that has come to nothing. */
static dcv_status put_none(const ascent_job *j, int64_t row, dcv_result *r)
{
    const int64_t cells = j->map.h * j->map.w, shown = dcv_depict_channels(&j->map);
    DCV_TRY(dcv_put_missing(r, j->id_target, DCV_I32, row, 1));
    DCV_TRY(dcv_put_missing(r, j->id_image, DCV_F32, row * j->map.c * cells, j->map.c * cells));
    if (shown)
        DCV_TRY(dcv_put_missing(r, j->id_picture, DCV_U8, row * cells * shown, cells * shown));
    return dcv_put_missing(r, j->id_objective, DCV_F32, row * j->n_steps, j->n_steps);
}

static dcv_status put_climb(const ascent_job *j, ascent_scratch *s, void *state, int64_t k, const ascent_item *item,
                            int64_t row, dcv_result *r)
{
    const dcv_map *m = &j->map, own = {m->c, item->h, item->w};
    const int64_t cells = m->h * m->w, all = m->c * cells;
    const int shown = dcv_depict_channels(m);
    const float *best = ascent_array(state, j->layout.best, all, k);
    const dcv_config *c = j->on.base.config;
    DCV_TRY(dcv_result_put(r, j->id_target, row, 1, &ascent_climb_of(j, state, k)->target));
    DCV_TRY(dcv_put_within(r, j->id_image, row * all, &(dcv_dims){3, {m->c, m->h, m->w}}, best,
                           &(dcv_dims){3, {own.c, own.h, own.w}}));
    if (shown) {
        memset(s->px, 0, (size_t)(cells * shown));
        dcv_depict(&c->dataset.preprocess, j->from_data && j->on.net.dataset->is_float, &own, best, s->px, m->w);
        DCV_TRY(dcv_result_put(r, j->id_picture, row * cells * shown, cells * shown, s->px));
    }
    return dcv_result_put(r, j->id_objective, row * j->n_steps, j->n_steps,
                          ascent_array(state, j->layout.objective, j->n_steps, k));
}

/* --- Units of work ---------------------------------------------------------------- */

int64_t ascent_items(const ascent_job *j, int64_t block)
{
    const int64_t left = j->on.base.n_items - block * j->block_items;
    return left < j->block_items ? left : j->block_items;
}

int64_t ascent_party(const ascent_job *j, int64_t block, int64_t party, int64_t *first)
{
    const int64_t climbs = ascent_items(j, block) * j->n_targets;
    *first = party * DCV_GROUP;
    return clamp(climbs - *first, 0, DCV_GROUP);
}

typedef struct place {          /* of a unit */
    int64_t block, party, unit; /* of the party */
    int64_t from, to;           /* steps */
    bool last;                  /* of its block */
} place;

static place place_of(const ascent_job *j, int64_t u)
{
    const int64_t chain = j->n_parties * j->party_units, in_block = u % chain;
    place p = {.block = u / chain, .party = in_block / j->party_units, .unit = in_block % j->party_units};
    p.from = p.unit * j->unit_steps;
    p.to = p.unit + 1 == j->party_units ? j->n_steps : p.from + j->unit_steps;
    p.last = in_block + 1 == chain;
    return p;
}

static dcv_status phase(dcv_job *base, int p, dcv_phase *out)
{
    const ascent_job *j = (const ascent_job *)base;
    const int64_t chain = j->n_parties * j->party_units;
    (void)p;
    *out = (dcv_phase){.name = "climb",
                       .n_units = divide_up(base->n_items, j->block_items) * chain,
                       .n_items = base->n_items,
                       .state_bytes = j->layout.bytes,
                       .chain = chain};
    return DCV_OK;
}

static int64_t unit_items(const dcv_job *base, int p, int64_t u)
{
    const ascent_job *j = (const ascent_job *)base;
    const place at = place_of(j, u);
    (void)p;
    return at.last ? ascent_items(j, at.block) : 0;
}

static double unit_gflop(const dcv_job *base, int p, int64_t u)
{
    const ascent_job *j = (const ascent_job *)base;
    const ascent_options *o = j->options;
    const place at = place_of(j, u);
    int64_t first;
    double full_steps = 0;
    (void)p;
    for (int k = 0; k < o->octaves.count; k++) {
        const dcv_map m = dcv_octave(&j->map, k, (int)o->octaves.count, o->octaves.scale);
        const int64_t from = k * o->steps > at.from ? k * o->steps : at.from,
                      to = (k + 1) * o->steps < at.to ? (k + 1) * o->steps : at.to;
        if (to > from)
            full_steps += (double)(to - from) * (double)(m.h * m.w) / (double)(j->map.h * j->map.w);
    }
    return j->climb_gflop * full_steps * (double)ascent_party(j, at.block, at.party, &first);
}

/* At the end of a party's climbs, and for failed items once more when all of the block is known. */
static dcv_status put_party(const ascent_job *j, int thread, const place *at, void *state, dcv_result *r)
{
    int64_t first;
    const int64_t n = ascent_party(j, at->block, at->party, &first);
    for (int64_t k = 0; k < n; k++) {
        const ascent_item *item = ascent_item_of(j, state, (first + k) / j->n_targets);
        const int64_t row = at->block * j->block_items * j->n_targets + first + k;
        const bool none = item->failed || ascent_climb_of(j, state, k)->target < 0;
        DCV_TRY(none ? put_none(j, row, r) : put_climb(j, &j->scratch[thread], state, k, item, row, r));
    }
    return DCV_OK;
}

static dcv_status put_items(const ascent_job *j, const place *at, void *state, dcv_result *r)
{
    for (int64_t i = 0; i < ascent_items(j, at->block); i++) {
        const ascent_item *item = ascent_item_of(j, state, i);
        const int64_t number = at->block * j->block_items + i;
        const dcv_item known = {
            .width = item->width, .height = item->height, .dims = {4, {1, j->map.c, item->h, item->w}}};
        if (j->from_data)
            DCV_TRY(dcv_network_put_row(&j->on.net, item->failed ? NULL : &known, number, r));
        if (item->failed)
            DCV_TRY(dcv_result_fail_item(r, number, item->message));
        for (int64_t t = 0; item->failed && j->n_parties > 1 && t < j->n_targets; t++)
            DCV_TRY(put_none(j, number * j->n_targets + t, r));
    }
    return DCV_OK;
}

static dcv_status put(const ascent_job *j, int thread, const place *at, void *state, dcv_result *r)
{
    if (at->unit + 1 == j->party_units)
        DCV_TRY(put_party(j, thread, at, state, r));
    return at->last ? put_items(j, at, state, r) : DCV_OK;
}

static dcv_status compute(dcv_job *base, int p, int64_t u, int thread, void *input, void *state, dcv_result *r)
{
    ascent_job *j = (ascent_job *)base;
    const place at = place_of(j, u);
    (void)p, (void)input;
    if (!at.unit)
        DCV_TRY(ascent_begin(j, thread, at.block, at.party, state));
    DCV_TRY(ascent_climb_on(j, thread, at.block, at.party, state, at.from, at.to));
    return put(j, thread, &at, state, r);
}

static dcv_status fail_unit(dcv_job *base, int p, int64_t u, const char *message, void *state, dcv_result *r)
{
    ascent_job *j = (ascent_job *)base;
    const place at = place_of(j, u);
    (void)p;
    for (int64_t i = 0; i < ascent_items(j, at.block); i++)
        DCV_TRY(ascent_fail(j, ascent_item_of(j, state, i), "steps %lld to %lld: %s", (long long)at.from,
                            (long long)at.to - 1, message));
    return put(j, 0, &at, state, r);
}

static void state_clear(const dcv_job *base, int p, void *state)
{
    (void)p;
    memset(state, 0, ((const ascent_job *)base)->layout.bytes);
}

static dcv_status explain(dcv_job *base, FILE *to)
{
    const ascent_job *j = (const ascent_job *)base;
    const ascent_options *o = j->options;
    fprintf(to, "climbs: %lld of %lld steps, %lld together; a unit is %lld steps of them\n",
            (long long)(base->n_items * j->n_targets), (long long)j->n_steps, (long long)j->group,
            (long long)j->unit_steps);
    for (int k = 0; k < o->octaves.count; k++) {
        const dcv_map m = dcv_octave(&j->map, k, (int)o->octaves.count, o->octaves.scale);
        fprintf(to, "octave %d: %lld steps at %lld x %lld\n", k, (long long)o->steps, (long long)m.h, (long long)m.w);
    }
    fprintf(to, "kept of climbs under way: %.1f MiB a thread, every few seconds\n", (double)j->layout.bytes / 1048576);
    return DCV_OK;
}

const dcv_job_kind dcv_job_gradient_ascent = {
    .section = {.job = "gradient_ascent",
                .help = "pictures that drive a class or a channel, by gradient ascent; DeepDream",
                .fields = fields,
                .size = sizeof(ascent_options),
                .needs_model = true,
                .resolve = resolve},
    .open = open_job,
    .close = close_job,
    .declare = declare,
    .phase = phase,
    .unit_items = unit_items,
    .unit_gflop = unit_gflop,
    .compute = compute,
    .fail_unit = fail_unit,
    .state_clear = state_clear,
    .explain = explain,
};
