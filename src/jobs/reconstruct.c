/* reconstruct.c -- job `reconstruct`: what in each picture made a unit fire, by walks back from it.
 *
 * A group of pictures is walked forward once; every method and target then walks back from what that left.
 * Integrated gradients and smooth gradients walk their own pictures forward, eight at a time.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "deconvoy/random.h"
#include "deconvoy/rule.h"
#include "jobs/fill.h"
#include "jobs/network.h"
#include "jobs/regions.h"
#include "jobs/shown.h"
#include "jobs/targets.h"

extern const dcv_job_kind dcv_job_reconstruct;

typedef enum seed_kind { SEED_DEFAULT = -1, SEED_ACTIVATION, SEED_ONE } seed_kind;
enum { MAX_METHODS = 6, INTEGRATED = 50, SMOOTH = 25 };
static const double smooth_sigma = 0.15; /* of maximum - minimum of the input */

typedef struct reconstruct_options {
    dcv_names methods, targets;
    char *at;
    dcv_ints unit;
    int seed;
    int64_t random_seed;
    dcv_reals fill;
} reconstruct_options;

#define AT(member) DCV_AT(reconstruct_options, member)
static const dcv_field fields[] = {
    {.key = "methods",
     .type = DCV_FIELD_NAMES,
     .offset = AT(methods),
     .dflt = "[deconvnet]",
     .help = "any of deconvnet, guided_backprop, gradient, gradient_x_input, integrated_gradients, smooth_grad"},
    {.key = "at",
     .type = DCV_FIELD_STRING,
     .offset = AT(at),
     .dflt = "logits",
     .help = "where the walk starts: logits, probability, or a layer's name as `inspect` prints it"},
    {.key = "targets",
     .type = DCV_FIELD_NAMES,
     .offset = AT(targets),
     .dflt = "[top1]",
     .help = "top1, top5, label, or numbers of classes or channels"},
    {.key = "unit",
     .type = DCV_FIELD_INTS,
     .offset = AT(unit),
     .dflt = "max",
     .words = "max|sum",
     .max = 1e9,
     .help = "which cell of a feature map: max, sum of all, or [y, x]"},
    {.key = "seed",
     .type = DCV_FIELD_WORD,
     .offset = AT(seed),
     .words = "activation|one",
     .help =
         "what is planted there; left out: activation for deconvnet and guided_backprop at an inner layer, else one"},
    {.key = "random_seed",
     .type = DCV_FIELD_INT,
     .offset = AT(random_seed),
     .dflt = "1",
     .min = 0,
     .max = 1e15,
     .help = "of smooth_grad's noise (25 samples, sigma 0.15 of an input's range)"},
    {.key = "fill",
     .type = DCV_FIELD_REALS,
     .offset = AT(fill),
     .dflt = "0.5",
     .words = "mean",
     .min = -1e30,
     .max = 1e30,
     .help = "baseline of integrated_gradients (50 midpoint steps): a number, one per channel, or mean; 0..1 before "
             "mean and "
             "std"},
    DCV_FIELDS_END,
};

typedef enum kind { KIND_RULE, KIND_TIMES_INPUT, KIND_INTEGRATED, KIND_SMOOTH } kind;

static const struct {
    const char *name, *rule;
    kind kind;
} methods[] = {{"deconvnet", "deconvnet", KIND_RULE},
               {"guided_backprop", "guided_backprop", KIND_RULE},
               {"gradient", "gradient", KIND_RULE},
               {"gradient_x_input", "gradient", KIND_TIMES_INPUT},
               {"integrated_gradients", "gradient", KIND_INTEGRATED},
               {"smooth_grad", "gradient", KIND_SMOOTH}};
enum { N_METHODS = sizeof methods / sizeof *methods };

typedef struct scratch {
    float *value[DCV_GROUP];    /* of the layer, row-major, for each picture */
    const char *bad[DCV_GROUP]; /* where there is NaN or infinity: the picture fails; NULL: nowhere */
    dcv_unit *unit;             /* [DCV_GROUP][targets] */
    int64_t *cell[DCV_GROUP];
    float *weight[DCV_GROUP];
    float *map[DCV_GROUP]; /* at the input */
    float *moved[DCV_GROUP];
    double *sum; /* of maps */
} scratch;

typedef struct job {
    dcv_network_job on;
    const reconstruct_options *options;
    int method[MAX_METHODS], n_methods;
    dcv_targets targets;
    dcv_dims map; /* of one map */
    int id_target, id_value, id_position, id_map[MAX_METHODS];
    scratch *scratch; /* [threads] */
    dcv_shown shown;
} job;

/* --- Plan ------------------------------------------------------------------------- */

static dcv_status choose(void *ctx, const dcv_graph *g, int *seen, int *n_seen)
{
    *n_seen = 1;
    return dcv_targets_value(&((const job *)ctx)->targets, g, seen);
}

/* Where walks start, in any graph of the model. */
static int start_of(const job *j, const dcv_graph *g)
{
    int v = -1;
    DCV_CHECK(dcv_targets_value(&j->targets, g, &v) == DCV_OK);
    return v;
}

static dcv_status read_methods(job *j)
{
    const char *known[N_METHODS];
    for (int m = 0; m < N_METHODS; m++)
        known[m] = methods[m].name;
    return dcv_config_choose(j->on.base.config, "reconstruct.methods", &j->options->methods, known, N_METHODS,
                             j->method, &j->n_methods);
}

/* Walks of one picture, each about as long as a walk forward. */
static double walks(const job *j)
{
    double n = 1;
    for (int i = 0; i < j->n_methods; i++) {
        const kind k = methods[j->method[i]].kind;
        const double steps = k == KIND_INTEGRATED ? INTEGRATED : k == KIND_SMOOTH ? SMOOTH : 0;
        n += steps + (steps > 0 ? steps : 1) * j->targets.n;
    }
    return n;
}

/* Does any method walk pictures of its own? */
static bool by_steps_too(const job *j)
{
    for (int i = 0; i < j->n_methods; i++)
        if (methods[j->method[i]].kind == KIND_INTEGRATED || methods[j->method[i]].kind == KIND_SMOOTH)
            return true;
    return false;
}

/* Numbers of each of a thread's arrays. */
typedef struct sizes {
    size_t value, pixels, moved, sum, units;
} sizes;

static sizes sizes_of(const job *j)
{
    const dcv_value *v = &j->on.net.graph->value[start_of(j, j->on.net.graph)];
    const size_t pixels = (size_t)dcv_count(&j->map), steps = by_steps_too(j);
    return (sizes){.value = (size_t)dcv_count(&v->dims),
                   .pixels = pixels,
                   .moved = pixels * steps,
                   .sum = pixels * (size_t)j->targets.n * steps,
                   .units = (size_t)j->targets.n * DCV_GROUP};
}

static dcv_status check_memory(job *j)
{
    const sizes n = sizes_of(j);
    const double more = DCV_GROUP * ((double)n.value * (2 * sizeof(float) + sizeof(int64_t)) +
                                     (double)(n.pixels + n.moved) * sizeof(float)) +
                        (double)n.sum * sizeof(double) + (double)n.units * sizeof(dcv_unit);
    char what[64];
    snprintf(what, sizeof what, "maps of %d targets", j->targets.n);
    return dcv_network_job_fits(&j->on, more, what, ", or ask for fewer targets");
}

static dcv_status scratch_new(const job *j, scratch *s)
{
    const sizes n = sizes_of(j);
    bool ok = true;
    for (int p = 0; p < DCV_GROUP; p++) {
        s->value[p] = dcv_alloc(n.value, sizeof(float));
        s->cell[p] = dcv_alloc(n.value, sizeof(int64_t));
        s->weight[p] = dcv_alloc(n.value, sizeof(float));
        s->map[p] = dcv_alloc(n.pixels, sizeof(float));
        s->moved[p] = dcv_alloc(n.moved, sizeof(float));
        ok = ok && s->value[p] && s->cell[p] && s->weight[p] && s->map[p] && s->moved[p];
    }
    s->unit = dcv_alloc(n.units, sizeof *s->unit);
    s->sum = dcv_alloc(n.sum, sizeof *s->sum);
    return ok && s->unit && s->sum ? DCV_OK : DCV_ENOMEM;
}

static dcv_status open_job(const dcv_config *c, dcv_share *share, int threads, dcv_job **out)
{
    job *j = dcv_alloc(1, sizeof *j);
    *out = j ? &j->on.base : NULL;
    if (!j)
        return DCV_ENOMEM;
    j->options = c->job;
    const dcv_network_options o = {.choose = choose, .ctx = j, .back = true};
    j->on.base.config = c;
    dcv_targets_start(&j->targets, c, "reconstruct", j->options->at, &j->options->unit);
    DCV_TRY(read_methods(j));
    DCV_TRY(dcv_network_job_open(&j->on, &dcv_job_reconstruct, c, &o, share, threads));
    const dcv_graph *g = j->on.net.graph;
    const dcv_value *input = &g->value[g->in[0]];
    j->map = dcv_item_dims(input);
    dcv_shown_plan(&j->shown, j->on.net.dataset, g);
    if (j->map.n + 2 > DCV_MAX_RANK)
        return dcv_fail(DCV_EDATA, "%s: the input has too many axes", j->on.net.model->file);
    DCV_TRY(dcv_targets_read(&j->targets, &j->options->targets, g));
    dcv_targets_warn(&j->targets, j->on.net.dataset);
    DCV_TRY(dcv_fill_check(c, "reconstruct.fill", &j->options->fill, dcv_input_channels(&input->dims)));
    dcv_network_cost(&j->on.net, j->on.net.item_gflop * walks(j));
    DCV_TRY(check_memory(j));
    j->scratch = dcv_alloc((size_t)threads, sizeof *j->scratch);
    if (!j->scratch)
        return DCV_ENOMEM;
    for (int t = 0; t < threads; t++)
        DCV_TRY(scratch_new(j, &j->scratch[t]));
    return DCV_OK;
}

static void close_job(dcv_job *base)
{
    job *j = (job *)base;
    for (int t = 0; j->scratch && t < j->on.net.threads; t++) {
        scratch *s = &j->scratch[t];
        for (int p = 0; p < DCV_GROUP; p++) {
            dcv_free(s->value[p]);
            dcv_free(s->cell[p]);
            dcv_free(s->weight[p]);
            dcv_free(s->map[p]);
            dcv_free(s->moved[p]);
        }
        dcv_free(s->unit);
        dcv_free(s->sum);
    }
    dcv_free(j->scratch);
    dcv_targets_clear(&j->targets);
    dcv_network_close(&j->on.net);
    dcv_free(j);
}

/* --- Result file ------------------------------------------------------------------ */

static dcv_status declare_method(job *j, dcv_store *s, int i)
{
    static const char *const axes[] = {"input", "target", "channel", "y", "x"};
    dcv_dims d = {j->map.n + 2, {j->on.base.n_items, j->targets.n}};
    memcpy(d.d + 2, j->map.d, sizeof *d.d * (size_t)j->map.n);
    char *group = dcv_format("/reconstruct/%s", methods[j->method[i]].name);
    char *path = group ? dcv_format("%s/map", group) : NULL;
    dcv_status st = path ? dcv_store_dataset(s, path, DCV_F32, 0, &d, &j->id_map[i]) : DCV_ENOMEM;
    for (int axis = 0; st == DCV_OK && axis < 2 + (j->map.n == 3 ? 3 : 0); axis++)
        st = dcv_store_axis(s, j->id_map[i], axis, -1, axes[axis]);
    if (st == DCV_OK)
        st = dcv_store_nxdata(s, group, "map", (const char *const[]){".", ".", ".", ".", "."}, d.n < 5 ? d.n : 5);
    dcv_free(group);
    dcv_free(path);
    return st;
}

static dcv_status declare(dcv_job *base, dcv_store *s)
{
    job *j = (job *)base;
    const dcv_dims d = {3, {base->n_items, j->targets.n, 2}}, two = {2, {base->n_items, j->targets.n}};
    DCV_TRY(dcv_network_declare(&j->on.net, s));
    DCV_TRY(dcv_store_dataset(s, "/reconstruct/target", DCV_I32, 0, &two, &j->id_target));
    DCV_TRY(dcv_store_dataset(s, "/reconstruct/value", DCV_F32, 0, &two, &j->id_value));
    DCV_TRY(dcv_store_dataset(s, "/reconstruct/position", DCV_I32, 0, &d, &j->id_position));
    const int id[] = {j->id_target, j->id_value, j->id_position};
    for (int i = 0; i < 3; i++)
        for (int axis = 0; axis < 2; axis++)
            DCV_TRY(dcv_store_axis(s, id[i], axis, -1, axis ? "target" : "input"));
    DCV_TRY(dcv_store_text(s, "/reconstruct", "at", j->options->at));
    for (int i = 0; i < j->n_methods; i++)
        DCV_TRY(declare_method(j, s, i));
    return dcv_shown_declare(&j->shown, s);
}

/* --- Maps ------------------------------------------------------------------------- */

typedef struct context {
    job *j;
    scratch *s;
    const dcv_view *view;
} context;

static void see(void *ctx, int picture, int value, const dcv_blob *b)
{
    const context *x = ctx;
    (void)value;
    dcv_targets_see(&x->j->targets, x->view->graph, b, x->s->value[picture]);
}

static int64_t place_of(const job *j, int64_t item, int t)
{
    return (item * j->targets.n + t) * dcv_count(&j->map);
}

/* One map, in the corner of the largest input's extent; NULL: there is none. */
static dcv_status put_map(const context *x, int method, int64_t item, int t, const float *map, dcv_result *r)
{
    const job *j = x->j;
    const int64_t first = place_of(j, item, t);
    if (!map)
        return dcv_put_missing(r, j->id_map[method], DCV_F32, first, dcv_count(&j->map));
    const dcv_dims own = dcv_item_dims(&x->view->graph->value[x->view->graph->in[0]]);
    return dcv_put_within(r, j->id_map[method], first, &j->map, map, &own);
}

static bool all_finite(const float *x, int64_t n)
{
    bool all = true;
    for (int64_t i = 0; i < n; i++)
        all = all && isfinite(x[i]);
    return all;
}

static bool plants_activation(const job *j, int method)
{
    if (methods[method].kind != KIND_RULE)
        return false;
    if (j->options->seed != SEED_DEFAULT)
        return j->options->seed == SEED_ACTIVATION;
    return j->targets.inner && strcmp(methods[method].name, "gradient");
}

/* All targets of all pictures of the group, eight signals at a time. */
static dcv_status by_rule(const context *x, int i, const int64_t *item, int n, const float *const *picture,
                          dcv_result *r)
{
    const job *j = x->j;
    const dcv_graph *g = x->view->graph;
    const int method = j->method[i];
    const int64_t pixels = dcv_count(&x->view->dims);
    dcv_seed seed[DCV_GROUP];
    int at[DCV_GROUP], held = 0;
    for (int k = 0; k < n * j->targets.n; k++) {
        const dcv_unit *u = &x->s->unit[k];
        const int p = k / j->targets.n;
        if (u->channel < 0 && !x->s->bad[p]) {
            DCV_TRY(put_map(x, i, item[p], k % j->targets.n, NULL, r));
        } else if (!x->s->bad[p]) {
            seed[held] = dcv_targets_seed(&j->targets, g, u, x->s->value[p], plants_activation(j, method), p,
                                          x->s->cell[held], x->s->weight[held]);
            at[held++] = k;
        }
        if (held == DCV_GROUP || (held && k == n * j->targets.n - 1)) {
            dcv_walk_backward(x->view->walk, dcv_rule_find(methods[method].rule), start_of(j, g), seed, held, g->in[0],
                              x->s->map);
            for (int s = 0; s < held; s++) {
                const float *in = picture[at[s] / j->targets.n];
                for (int64_t q = 0; methods[method].kind == KIND_TIMES_INPUT && q < pixels; q++)
                    x->s->map[s][q] *= in[q];
                if (!all_finite(x->s->map[s], pixels))
                    x->s->bad[at[s] / j->targets.n] = methods[method].name;
                else
                    DCV_TRY(put_map(x, i, item[at[s] / j->targets.n], at[s] % j->targets.n, x->s->map[s], r));
            }
            held = 0;
        }
    }
    return DCV_OK;
}

/* --- Integrated and smooth gradients ---------------------------------------------- */

static double baseline(const job *j, const float *in, const dcv_dims *d, int64_t channel)
{
    return dcv_fill_value(j->on.base.config, j->on.net.dataset, &j->options->fill, in, d, channel);
}

static void move_towards(const job *j, const dcv_view *v, const float *in, int step, float *to)
{
    const dcv_dims *d = &v->dims;
    const int64_t n = dcv_count(d), channels = dcv_input_channels(d), cells = n / channels;
    const double t = (step + 0.5) / INTEGRATED;
    for (int64_t c = 0; c < channels; c++) {
        const double b = baseline(j, in, d, c);
        for (int64_t i = c * cells; i < (c + 1) * cells; i++)
            to[i] = (float)(b + t * (in[i] - b));
    }
}

static void add_noise(const job *j, const dcv_view *v, const float *in, int64_t item, int step, float *to)
{
    const int64_t n = dcv_count(&v->dims);
    float lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        lo = in[i] < lo ? in[i] : lo;
        hi = in[i] > hi ? in[i] : hi;
    }
    const double sigma = hi > lo ? smooth_sigma * ((double)hi - lo) : 0;
    const uint64_t key = (uint64_t)(j->options->random_seed + item + j->on.net.config->dataset.offset);
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)(in[i] + sigma * dcv_random_gaussian(key, (uint64_t)step << 40 | (uint64_t)i));
}

/* Mean gradient over steps for every target of one picture, added up in the order of steps. */
static void mean_gradients(const context *x, bool integrated, int64_t item, const dcv_unit *units, const float *in)
{
    const job *j = x->j;
    const dcv_graph *g = x->view->graph;
    const int64_t pixels = dcv_count(&x->view->dims);
    const int steps = integrated ? INTEGRATED : SMOOTH;
    const float *const *input[1] = {(const float *const *)x->s->moved};
    dcv_seed seed[DCV_GROUP];
    memset(x->s->sum, 0, (size_t)(pixels * j->targets.n) * sizeof *x->s->sum);
    for (int first = 0; first < steps; first += DCV_GROUP) {
        const int n = steps - first < DCV_GROUP ? steps - first : DCV_GROUP;
        for (int k = 0; k < n; k++)
            if (integrated)
                move_towards(j, x->view, in, first + k, x->s->moved[k]);
            else
                add_noise(j, x->view, in, item, first + k, x->s->moved[k]);
        dcv_walk_forward(x->view->walk, n, input, see, (void *)x);
        for (int t = 0; t < j->targets.n; t++) {
            if (units[t].channel < 0)
                continue;
            for (int k = 0; k < n; k++)
                seed[k] = dcv_targets_seed(&j->targets, g, &units[t], x->s->value[k], false, k, x->s->cell[k],
                                           x->s->weight[k]);
            dcv_walk_backward(x->view->walk, dcv_rule_find("gradient"), start_of(j, g), seed, n, g->in[0], x->s->map);
            for (int k = 0; k < n; k++)
                for (int64_t q = 0; q < pixels; q++)
                    x->s->sum[t * pixels + q] += x->s->map[k][q];
        }
    }
    for (int64_t q = 0; q < pixels * j->targets.n; q++)
        x->s->sum[q] /= steps;
}

static dcv_status by_steps(const context *x, int i, const int64_t *item, int n, const float *const *picture,
                           dcv_result *r)
{
    const job *j = x->j;
    const bool integrated = methods[j->method[i]].kind == KIND_INTEGRATED;
    const dcv_dims *d = &x->view->dims;
    const int64_t pixels = dcv_count(d), channels = dcv_input_channels(d), cells = pixels / channels;
    for (int p = 0; p < n; p++) {
        const dcv_unit *units = x->s->unit + p * j->targets.n;
        if (x->s->bad[p])
            continue;
        mean_gradients(x, integrated, item[p], units, picture[p]);
        for (int t = 0; t < j->targets.n; t++) {
            for (int64_t c = 0; c < channels; c++) {
                const double b = integrated ? baseline(j, picture[p], d, c) : 0;
                for (int64_t q = c * cells; q < (c + 1) * cells; q++)
                    x->s->map[0][q] = (float)(x->s->sum[t * pixels + q] * (integrated ? picture[p][q] - b : 1));
            }
            if (units[t].channel >= 0 && !all_finite(x->s->map[0], pixels))
                x->s->bad[p] = methods[j->method[i]].name;
            else
                DCV_TRY(put_map(x, i, item[p], t, units[t].channel < 0 ? NULL : x->s->map[0], r));
        }
    }
    return DCV_OK;
}

/* --- Units of work ---------------------------------------------------------------- */

static dcv_status put_units(const job *j, int64_t item, const dcv_unit *u, dcv_result *r)
{
    for (int t = 0; t < j->targets.n; t++) {
        const int64_t at = item * j->targets.n + t;
        const int32_t channel = (int32_t)u[t].channel, position[2] = {(int32_t)u[t].y, (int32_t)u[t].x};
        DCV_TRY(dcv_result_put(r, j->id_target, at, 1, &channel));
        DCV_TRY(dcv_result_put(r, j->id_value, at, 1, &u[t].value));
        DCV_TRY(dcv_result_put(r, j->id_position, 2 * at, 2, position));
    }
    return DCV_OK;
}

static dcv_status group(void *ctx, const dcv_view *view, const int64_t *item, int n)
{
    (void)item, (void)n;
    ((context *)ctx)->view = view;
    return DCV_OK;
}

static dcv_status walked(void *ctx, const dcv_view *view, const int64_t *item, int n, const float *const *picture,
                         dcv_result *r)
{
    const context *x = ctx;
    const job *j = x->j;
    for (int p = 0; p < n; p++) {
        dcv_unit *unit = x->s->unit + p * j->targets.n;
        const dcv_value *start = &view->graph->value[start_of(j, view->graph)];
        x->s->bad[p] = all_finite(x->s->value[p], dcv_count(&start->dims)) ? NULL : start->name;
        if (x->s->bad[p])
            continue;
        dcv_targets_find(&j->targets, view->graph, x->s->value[p], j->on.net.dataset->entry[item[p]].label, unit);
        DCV_TRY(put_units(j, item[p], unit, r));
    }
    for (int late = 0; late < 2; late++) /* what walks pictures of its own comes last */
        for (int i = 0; i < j->n_methods; i++) {
            const kind k = methods[j->method[i]].kind;
            if ((k == KIND_INTEGRATED || k == KIND_SMOOTH) == late)
                DCV_TRY((late ? by_steps : by_rule)(x, i, item, n, picture, r));
        }
    return DCV_OK;
}

static dcv_status done(void *ctx, const dcv_view *view, int64_t item, int picture, dcv_result *r)
{
    const context *x = ctx;
    (void)view;
    if (!x->s->bad[picture])
        return dcv_shown_put(&x->j->shown, x->j->on.net.dataset, item, r);
    return dcv_fail(DCV_EDATA, "%s: NaN or infinity at \"%s\"", dcv_dataset_item_name(x->j->on.net.dataset, item),
                    x->s->bad[picture]);
}

static dcv_status failed(void *ctx, int64_t item, dcv_result *r)
{
    const job *j = ((const context *)ctx)->j;
    const int64_t n = j->targets.n;
    DCV_TRY(dcv_put_missing(r, j->id_target, DCV_I32, item * n, n));
    DCV_TRY(dcv_put_missing(r, j->id_value, DCV_F32, item * n, n));
    DCV_TRY(dcv_put_missing(r, j->id_position, DCV_I32, 2 * item * n, 2 * n));
    for (int i = 0; i < j->n_methods; i++)
        DCV_TRY(dcv_put_missing(r, j->id_map[i], DCV_F32, place_of(j, item, 0), n * dcv_count(&j->map)));
    return dcv_shown_put_failed(&j->shown, item, r);
}

static dcv_status compute(dcv_job *base, int p, int64_t u, int thread, void *input, void *state, dcv_result *r)
{
    job *j = (job *)base;
    context x = {j, &j->scratch[thread], NULL};
    const dcv_unit_actions actions = {
        .ctx = &x, .see = see, .group = group, .walked = walked, .done = done, .failed = failed};
    (void)p, (void)state;
    return dcv_network_unit(&j->on.net, u, thread, input, &actions, r);
}

static dcv_status fail_unit(dcv_job *base, int p, int64_t u, const char *message, void *state, dcv_result *r)
{
    job *j = (job *)base;
    context x = {.j = j};
    (void)p, (void)state;
    return dcv_network_fail_unit(&j->on.net, u, message, &(dcv_unit_actions){.ctx = &x, .failed = failed}, r);
}

const dcv_job_kind dcv_job_reconstruct = {
    .section = {.job = "reconstruct",
                .help = "what in each input made a unit fire: deconvolution, guided backpropagation, gradients",
                .fields = fields,
                .size = sizeof(reconstruct_options),
                .needs_model = true,
                .needs_dataset = true},
    .open = open_job,
    .close = close_job,
    .declare = declare,
    DCV_NETWORK_JOB,
    .compute = compute,
    .fail_unit = fail_unit,
};
