/* reconstruct.c -- job `reconstruct`: what in each picture made a unit fire, by walks back from it.
 *
 * A group of pictures is walked forward once; every method and target then walks back from what that left.
 * Integrated gradients and smooth gradients walk their own pictures forward, eight at a time.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deconvoy/rule.h"
#include "jobs/network.h"

extern const dcv_job_kind dcv_job_reconstruct;

typedef enum unit_kind { UNIT_MAX = -1, UNIT_SUM = -2 } unit_kind;
typedef enum seed_kind { SEED_DEFAULT = -1, SEED_ACTIVATION, SEED_ONE } seed_kind;
enum { MAX_METHODS = 6, MAX_TARGETS = 4096, INTEGRATED = 50, SMOOTH = 25 };
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
     .help = "of smooth_grad's noise"},
    {.key = "fill",
     .type = DCV_FIELD_REALS,
     .offset = AT(fill),
     .dflt = "0.5",
     .words = "mean",
     .min = -1e30,
     .max = 1e30,
     .help = "baseline of integrated_gradients: a number, one per channel, or mean; 0..1 before mean and std"},
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

typedef enum target_kind { TARGET_TOP, TARGET_LABEL, TARGET_NUMBER } target_kind;

typedef struct target {
    target_kind kind;
    int64_t number; /* rank, or channel */
} target;

/* A unit of one picture, as it was found in the walk forward. */
typedef struct unit {
    int64_t channel; /* -1: no such target */
    float value;
    int64_t y, x; /* -1: the channel's sum */
} unit;

typedef struct scratch {
    float *value[DCV_GROUP]; /* of the layer, row-major, for each picture */
    unit *unit;              /* [DCV_GROUP][targets] */
    int64_t *order;          /* [channels] best first */
    int64_t *cell[DCV_GROUP];
    float *weight[DCV_GROUP];
    float *map[DCV_GROUP]; /* at the input */
    float *moved[DCV_GROUP];
    double *sum; /* of maps */
    float *row;  /* a map in the extent of the largest input */
} scratch;

typedef struct job {
    dcv_job base;
    dcv_network net;
    const reconstruct_options *options;
    int method[MAX_METHODS], n_methods;
    bool probability, inner;
    target *target;
    int n_targets;
    dcv_dims map; /* of one map */
    int id_target, id_value, id_position, id_map[MAX_METHODS];
    scratch *scratch; /* [threads] */
} job;

/* --- Plan ------------------------------------------------------------------------- */

static bool is_class_word(const reconstruct_options *o)
{
    return !strcmp(o->at, "logits") || !strcmp(o->at, "probability");
}

/* The value that walks start from, in any graph of the model; -1: none. */
static int start_of(const job *j, const dcv_graph *g)
{
    return is_class_word(j->options) ? g->logits : dcv_graph_find(g, j->options->at);
}

static dcv_status choose(void *ctx, const dcv_graph *g, int *seen, int *n_seen)
{
    const job *j = ctx;
    const int v = start_of(j, g);
    *n_seen = 0;
    if (v < 0 && is_class_word(j->options))
        return dcv_config_fail(j->base.config, "reconstruct.at",
                               "the network is no classifier; name a layer as `inspect` prints it");
    if (v < 0) {
        (void)dcv_graph_unknown(g, j->options->at);
        return dcv_config_fail(j->base.config, "reconstruct.at", "%s", dcv_message());
    }
    if (!g->value[v].batched || g->value[v].type != DCV_F32 || g->value[v].producer < 0)
        return dcv_config_fail(j->base.config, "reconstruct.at",
                               "\"%s\" is not computed from the input; choose an operator's output", j->options->at);
    seen[(*n_seen)++] = v;
    return DCV_OK;
}

static dcv_status read_methods(job *j)
{
    const char *known[N_METHODS];
    for (int m = 0; m < N_METHODS; m++)
        known[m] = methods[m].name;
    for (int i = 0; i < j->options->methods.n; i++) {
        const char *name = j->options->methods.v[i];
        char key[64];
        int m = 0;
        snprintf(key, sizeof key, "reconstruct.methods[%d]", i);
        while (m < N_METHODS && strcmp(methods[m].name, name))
            m++;
        if (m == N_METHODS) {
            const char *near = dcv_nearest(name, known, N_METHODS);
            return dcv_config_fail(j->base.config, key,
                                   "no method \"%s\"; expected deconvnet, guided_backprop, gradient, "
                                   "gradient_x_input, integrated_gradients or smooth_grad%s%s",
                                   name, near ? "; nearest: " : "", near ? near : "");
        }
        for (int k = 0; k < j->n_methods; k++)
            if (j->method[k] == m)
                return dcv_config_fail(j->base.config, key, "\"%s\" is there twice", name);
        j->method[j->n_methods++] = m;
    }
    return j->n_methods ? DCV_OK : dcv_config_fail(j->base.config, "reconstruct.methods", "no method");
}

static dcv_status add_target(job *j, const char *text, const char *key, int64_t channels)
{
    char *end;
    target t = {TARGET_NUMBER, 0};
    int n = 1;
    if (!strcmp(text, "top1") || !strcmp(text, "top5")) {
        t.kind = TARGET_TOP;
        n = text[3] - '0';
    } else if (!strcmp(text, "label")) {
        if (j->inner)
            return dcv_config_fail(j->base.config, key, "a label is no channel of layer \"%s\"; use top1 or numbers",
                                   j->options->at);
        t.kind = TARGET_LABEL;
    } else {
        t.number = strtoll(text, &end, 10);
        if (*end || end == text)
            return dcv_config_fail(j->base.config, key, "no target \"%s\"; expected top1, top5, label or a number",
                                   text);
        if (t.number < 0 || t.number >= channels)
            return dcv_config_fail(j->base.config, key, "%s %s; \"%s\" has 0 to %lld", j->inner ? "channel" : "class",
                                   text, j->options->at, (long long)channels - 1);
    }
    for (int i = 0; i < n; i++) {
        if (j->n_targets == MAX_TARGETS)
            return dcv_config_fail(j->base.config, key, "more than %d targets", MAX_TARGETS);
        j->target[j->n_targets++] = (target){t.kind, t.kind == TARGET_TOP ? i : t.number};
    }
    return DCV_OK;
}

static dcv_status read_targets(job *j, const dcv_map *m)
{
    j->target = dcv_alloc(MAX_TARGETS, sizeof *j->target);
    if (!j->target)
        return DCV_ENOMEM;
    for (int i = 0; i < j->options->targets.n; i++) {
        char key[64];
        snprintf(key, sizeof key, "reconstruct.targets[%d]", i);
        DCV_TRY(add_target(j, j->options->targets.v[i], key, m->c));
    }
    return j->n_targets ? DCV_OK : dcv_config_fail(j->base.config, "reconstruct.targets", "no target");
}

static dcv_status check_unit(const job *j, const dcv_map *m)
{
    const dcv_ints *u = &j->options->unit;
    if (u->word >= 0)
        return DCV_OK;
    if (u->n != 2)
        return dcv_config_fail(j->base.config, "reconstruct.unit", "expected max, sum or [y, x]");
    if (u->v[0] < 0 || u->v[0] >= m->h || u->v[1] < 0 || u->v[1] >= m->w)
        return dcv_config_fail(j->base.config, "reconstruct.unit",
                               "[%lld, %lld]; \"%s\" has %lld rows and %lld columns", (long long)u->v[0],
                               (long long)u->v[1], j->options->at, (long long)m->h, (long long)m->w);
    return DCV_OK;
}

static int64_t input_channels(const job *j)
{
    return j->map.n >= 3 ? j->map.d[0] : 1;
}

static dcv_status check_fill(const job *j)
{
    const dcv_reals *f = &j->options->fill;
    if (f->word >= 0 || f->n == 1 || f->n == input_channels(j))
        return DCV_OK;
    return dcv_config_fail(j->base.config, "reconstruct.fill",
                           "%d values; expected mean, 1 value or %lld, one per channel", f->n,
                           (long long)input_channels(j));
}

/* Walks of one picture, each about as long as a walk forward. */
static double walks(const job *j)
{
    double n = 1;
    for (int i = 0; i < j->n_methods; i++) {
        const kind k = methods[j->method[i]].kind;
        const double steps = k == KIND_INTEGRATED ? INTEGRATED : k == KIND_SMOOTH ? SMOOTH : 0;
        n += steps + (steps > 0 ? steps : 1) * j->n_targets;
    }
    return n;
}

/* Fewer pictures a unit, since each takes longer than a walk forward. */
static void size_units(job *j)
{
    const double gflop = j->net.item_gflop * walks(j), n = j->base.config->runtime.unit_seconds * 50 / gflop;
    const int64_t most = j->net.unit_items;
    j->net.item_gflop = gflop;
    j->net.unit_items = n < 1 ? 1 : n < (double)most ? (int64_t)n : most;
}

static dcv_status scratch_new(job *j, scratch *s)
{
    const dcv_value *v = &j->net.graph->value[start_of(j, j->net.graph)];
    const size_t n = (size_t)dcv_count(&v->dims), pixels = (size_t)dcv_count(&j->map);
    bool ok = true;
    for (int p = 0; p < DCV_GROUP; p++) {
        s->value[p] = dcv_alloc(n, sizeof(float));
        s->cell[p] = dcv_alloc(n, sizeof(int64_t));
        s->weight[p] = dcv_alloc(n, sizeof(float));
        s->map[p] = dcv_alloc(pixels, sizeof(float));
        s->moved[p] = dcv_alloc(pixels, sizeof(float));
        ok = ok && s->value[p] && s->cell[p] && s->weight[p] && s->map[p] && s->moved[p];
    }
    s->unit = dcv_alloc((size_t)j->n_targets * DCV_GROUP, sizeof *s->unit);
    s->order = dcv_alloc(n, sizeof *s->order);
    s->sum = dcv_alloc(pixels * (size_t)j->n_targets, sizeof *s->sum);
    s->row = dcv_alloc(pixels, sizeof *s->row);
    return ok && s->unit && s->order && s->sum && s->row ? DCV_OK : DCV_ENOMEM;
}

static dcv_status open_job(const dcv_config *c, dcv_share *share, int threads, dcv_job **out)
{
    job *j = dcv_alloc(1, sizeof *j);
    *out = j ? &j->base : NULL;
    if (!j)
        return DCV_ENOMEM;
    j->base.kind = &dcv_job_reconstruct;
    j->base.config = c;
    j->options = c->job;
    j->inner = !is_class_word(j->options);
    j->probability = !strcmp(j->options->at, "probability");
    const dcv_network_options o = {.choose = choose, .ctx = j, .back = true};
    DCV_TRY(read_methods(j));
    DCV_TRY(dcv_network_open(&j->net, c, &o, share, threads));
    dcv_network_describe(&j->net, &j->base);
    j->base.n_phases = 1;
    const dcv_graph *g = j->net.graph;
    const dcv_map m = dcv_value_map(&g->value[start_of(j, g)]);
    j->map = g->value[g->in[0]].dims;
    if (j->map.n > 1) {
        j->map.n--;
        memmove(j->map.d, j->map.d + 1, sizeof *j->map.d * (size_t)j->map.n);
    }
    if (j->map.n + 2 > DCV_MAX_RANK)
        return dcv_fail(DCV_EDATA, "%s: the input has too many axes", j->net.model->file);
    DCV_TRY(read_targets(j, &m));
    DCV_TRY(check_unit(j, &m));
    DCV_TRY(check_fill(j));
    size_units(j);
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
    for (int t = 0; j->scratch && t < j->net.threads; t++) {
        scratch *s = &j->scratch[t];
        for (int p = 0; p < DCV_GROUP; p++) {
            dcv_free(s->value[p]);
            dcv_free(s->cell[p]);
            dcv_free(s->weight[p]);
            dcv_free(s->map[p]);
            dcv_free(s->moved[p]);
        }
        dcv_free(s->unit);
        dcv_free(s->order);
        dcv_free(s->sum);
        dcv_free(s->row);
    }
    dcv_free(j->scratch);
    dcv_free(j->target);
    dcv_network_close(&j->net);
    dcv_free(j);
}

/* --- Result file ------------------------------------------------------------------ */

static dcv_status declare_method(job *j, dcv_store *s, int i)
{
    static const char *const axes[] = {"input", "target", "channel", "y", "x"};
    dcv_dims d = {j->map.n + 2, {j->base.n_items, j->n_targets}};
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
    const dcv_dims d = {3, {base->n_items, j->n_targets, 2}}, two = {2, {base->n_items, j->n_targets}};
    DCV_TRY(dcv_network_declare(&j->net, s));
    DCV_TRY(dcv_store_dataset(s, "/reconstruct/target", DCV_I32, 0, &two, &j->id_target));
    DCV_TRY(dcv_store_dataset(s, "/reconstruct/value", DCV_F32, 0, &two, &j->id_value));
    DCV_TRY(dcv_store_dataset(s, "/reconstruct/position", DCV_I32, 0, &d, &j->id_position));
    const int id[] = {j->id_target, j->id_value, j->id_position};
    for (int i = 0; i < 3; i++)
        for (int axis = 0; axis < 2; axis++)
            DCV_TRY(dcv_store_axis(s, id[i], axis, -1, axis ? "target" : "input"));
    for (int i = 0; i < j->n_methods; i++)
        DCV_TRY(declare_method(j, s, i));
    return DCV_OK;
}

/* --- Units of the network --------------------------------------------------------- */

static void softmax(float *p, int64_t n)
{
    float most = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        most = p[i] > most ? p[i] : most;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)p[i] - most);
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)(exp((double)p[i] - most) / sum);
}

/* Is a softmax to be put on what the walk gives? */
static bool appends(const job *j, const dcv_graph *g)
{
    return j->probability && g->head != DCV_HEAD_SIGMOID;
}

static int64_t first_maximum(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = x[i] > x[best] || (isnan(x[best]) && !isnan(x[i])) ? i : best;
    return best;
}

/* The first five channels by their largest value, ties to the lower one. */
static int64_t rank_channels(const float *x, const dcv_map *m, int64_t *order)
{
    const int64_t cells = m->h * m->w;
    int64_t n = 0;
    for (int64_t c = 0; c < m->c; c++) {
        const float v = x[c * cells + first_maximum(x + c * cells, cells)];
        int64_t at = n;
        while (at > 0) {
            const float *o = x + order[at - 1] * cells;
            const float w = o[first_maximum(o, cells)];
            if (!(v > w || (isnan(w) && !isnan(v))))
                break;
            at--;
        }
        if (at >= 5)
            continue;
        n = n < 5 ? n + 1 : 5;
        memmove(order + at + 1, order + at, sizeof *order * (size_t)(n - 1 - at));
        order[at] = c;
    }
    return n;
}

static unit unit_of(const job *j, const float *x, const dcv_map *m, int64_t channel)
{
    const int64_t cells = m->h * m->w;
    const dcv_ints *want = &j->options->unit;
    unit u = {.channel = channel};
    x += channel * cells;
    if (want->word == 1) {
        double sum = 0;
        for (int64_t i = 0; i < cells; i++)
            sum += x[i];
        u.value = (float)sum;
        u.y = u.x = -1;
        return u;
    }
    const int64_t at = want->word == 0 ? first_maximum(x, cells) : want->v[0] * m->w + want->v[1];
    if (at >= cells || (want->word < 0 && want->v[1] >= m->w)) /* a smaller picture has no such cell */
        return (unit){.channel = -1, .value = NAN, .y = -1, .x = -1};
    u.value = x[at];
    u.y = at / m->w;
    u.x = at % m->w;
    return u;
}

static void find_units(const job *j, scratch *s, int picture, const dcv_map *m, int32_t label)
{
    const float *x = s->value[picture];
    const int64_t ranked = rank_channels(x, m, s->order);
    for (int t = 0; t < j->n_targets; t++) {
        const target *want = &j->target[t];
        const int64_t c = want->kind == TARGET_NUMBER  ? want->number
                          : want->kind == TARGET_LABEL ? (label < m->c ? label : -1)
                          : want->number < ranked      ? s->order[want->number]
                                                       : -1;
        s->unit[picture * j->n_targets + t] =
            c >= 0 ? unit_of(j, x, m, c) : (unit){.channel = -1, .value = NAN, .y = -1, .x = -1};
    }
}

/* What is planted for a unit, given the layer's values x; activation: its own value, else one. */
static dcv_seed plant(const job *j, scratch *s, int slot, int picture, const unit *u, const dcv_view *v, const float *x,
                      bool activation)
{
    const dcv_map m = dcv_value_map(&v->graph->value[start_of(j, v->graph)]);
    const int64_t cells = m.h * m.w;
    int64_t n = 0;
    if (appends(j, v->graph)) { /* dp/dy = p (delta - p) */
        const double p = x[u->channel];
        for (; n < m.c; n++) {
            s->cell[slot][n] = n;
            s->weight[slot][n] = (float)((activation ? p : 1) * p * ((n == u->channel) - (double)x[n]));
        }
    } else {
        const bool all = u->y < 0;
        for (int64_t i = all ? 0 : u->y * m.w + u->x, end = all ? cells : i + 1; i < end; i++, n++) {
            s->cell[slot][n] = u->channel * cells + i;
            s->weight[slot][n] = activation ? x[u->channel * cells + i] : 1;
        }
    }
    return (dcv_seed){picture, n, s->cell[slot], s->weight[slot]};
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
    dcv_blob_read(b, x->s->value[picture]);
    if (appends(x->j, x->view->graph))
        softmax(x->s->value[picture], dcv_count(b->dims));
}

/* One map, in the corner of the largest input's extent, NaN beyond; map NULL: all NaN. */
static dcv_status put_map(const context *x, int method, int64_t item, int t, const float *map, dcv_result *r)
{
    const job *j = x->j;
    const int64_t n = dcv_count(&j->map), first = (item * j->n_targets + t) * n;
    const dcv_dims *own = map ? &x->view->dims : NULL;
    if (map && dcv_count(own) == n)
        return dcv_result_put(r, j->id_map[method], first, n, map);
    for (int64_t i = 0; i < n; i++)
        x->s->row[i] = NAN;
    for (int64_t c = 0; map && c < j->map.d[0]; c++)
        for (int64_t y = 0; y < own->d[2]; y++)
            memcpy(x->s->row + (c * j->map.d[1] + y) * j->map.d[2], map + (c * own->d[2] + y) * own->d[3],
                   (size_t)own->d[3] * sizeof(float));
    return dcv_result_put(r, j->id_map[method], first, n, x->s->row);
}

static bool plants_activation(const job *j, int method)
{
    if (methods[method].kind != KIND_RULE)
        return false;
    if (j->options->seed != SEED_DEFAULT)
        return j->options->seed == SEED_ACTIVATION;
    return j->inner && strcmp(methods[method].name, "gradient");
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
    for (int k = 0; k < n * j->n_targets; k++) {
        const unit *u = &x->s->unit[k];
        const int p = k / j->n_targets;
        if (u->channel < 0) {
            DCV_TRY(put_map(x, i, item[p], k % j->n_targets, NULL, r));
        } else {
            seed[held] = plant(j, x->s, held, p, u, x->view, x->s->value[p], plants_activation(j, method));
            at[held++] = k;
        }
        if (held == DCV_GROUP || (held && k == n * j->n_targets - 1)) {
            dcv_walk_backward(x->view->walk, dcv_rule_find(methods[method].rule), start_of(j, g), seed, held, g->in[0],
                              x->s->map);
            for (int s = 0; s < held; s++) {
                const float *in = picture[at[s] / j->n_targets];
                for (int64_t q = 0; methods[method].kind == KIND_TIMES_INPUT && q < pixels; q++)
                    x->s->map[s][q] *= in[q];
                DCV_TRY(put_map(x, i, item[at[s] / j->n_targets], at[s] % j->n_targets, x->s->map[s], r));
            }
            held = 0;
        }
    }
    return DCV_OK;
}

/* --- Integrated and smooth gradients ---------------------------------------------- */

/* A number in [0, 1) that depends on its arguments alone. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static double uniform(uint64_t key, uint64_t at)
{
    return ((double)(mix(key ^ mix(at)) >> 11) + 0.5) * 0x1p-53;
}

static double gaussian(uint64_t key, uint64_t at)
{
    return sqrt(-2 * log(uniform(key, 2 * at))) * cos(6.283185307179586 * uniform(key, 2 * at + 1));
}

/* What `fill` is in the network's units, for channel c of an input. */
static double baseline(const job *j, const float *in, int64_t c, int64_t cells)
{
    const dcv_preprocess *p = &j->net.config->dataset.preprocess;
    const dcv_reals *f = &j->options->fill;
    if (f->word >= 0) {
        double sum = 0;
        for (int64_t i = 0; i < cells; i++)
            sum += in[c * cells + i];
        return sum / (double)cells;
    }
    const double v = f->v[f->n == 1 ? 0 : c];
    const bool raw = j->net.dataset->is_float;
    const double mean = p->mean.n == 0 ? 0 : p->mean.v[p->mean.n == 1 ? 0 : c],
                 std = p->std.n == 0 ? 1 : p->std.v[p->std.n == 1 ? 0 : c];
    const double scaled = raw ? (p->scale_written ? v * p->scale : v) : v * 255 * p->scale;
    return ((scaled - (raw && !p->mean_written ? 0 : mean))) / (raw && !p->std_written ? 1 : std);
}

static void move_towards(const job *j, const dcv_view *v, const float *in, int step, float *to)
{
    const dcv_dims *d = &v->dims;
    const int64_t n = dcv_count(d), channels = d->n >= 4 ? d->d[1] : 1, cells = channels ? n / channels : 0;
    const double t = (step + 0.5) / INTEGRATED;
    for (int64_t c = 0; c < channels; c++) {
        const double b = baseline(j, in, c, cells);
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
    const uint64_t key = (uint64_t)(j->options->random_seed + item + j->net.config->dataset.offset);
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)(in[i] + sigma * gaussian(key, (uint64_t)step << 40 | (uint64_t)i));
}

/* Mean gradient over steps for every target of one picture, added up in the order of steps. */
static void mean_gradients(const context *x, bool integrated, int64_t item, const unit *units, const float *in)
{
    const job *j = x->j;
    const dcv_graph *g = x->view->graph;
    const int64_t pixels = dcv_count(&x->view->dims);
    const int steps = integrated ? INTEGRATED : SMOOTH;
    const float *const *input[1] = {(const float *const *)x->s->moved};
    dcv_seed seed[DCV_GROUP];
    memset(x->s->sum, 0, (size_t)(pixels * j->n_targets) * sizeof *x->s->sum);
    for (int first = 0; first < steps; first += DCV_GROUP) {
        const int n = steps - first < DCV_GROUP ? steps - first : DCV_GROUP;
        for (int k = 0; k < n; k++)
            if (integrated)
                move_towards(j, x->view, in, first + k, x->s->moved[k]);
            else
                add_noise(j, x->view, in, item, first + k, x->s->moved[k]);
        dcv_walk_forward(x->view->walk, n, input, see, (void *)x);
        for (int t = 0; t < j->n_targets; t++) {
            if (units[t].channel < 0)
                continue;
            for (int k = 0; k < n; k++)
                seed[k] = plant(j, x->s, k, k, &units[t], x->view, x->s->value[k], false);
            dcv_walk_backward(x->view->walk, dcv_rule_find("gradient"), start_of(j, g), seed, n, g->in[0], x->s->map);
            for (int k = 0; k < n; k++)
                for (int64_t q = 0; q < pixels; q++)
                    x->s->sum[t * pixels + q] += x->s->map[k][q];
        }
    }
    for (int64_t q = 0; q < pixels * j->n_targets; q++)
        x->s->sum[q] /= steps;
}

static dcv_status by_steps(const context *x, int i, const int64_t *item, int n, const float *const *picture,
                           dcv_result *r)
{
    const job *j = x->j;
    const bool integrated = methods[j->method[i]].kind == KIND_INTEGRATED;
    const dcv_dims *d = &x->view->dims;
    const int64_t pixels = dcv_count(d), channels = d->n >= 4 ? d->d[1] : 1, cells = channels ? pixels / channels : 0;
    for (int p = 0; p < n; p++) {
        const unit *units = x->s->unit + p * j->n_targets;
        mean_gradients(x, integrated, item[p], units, picture[p]);
        for (int t = 0; t < j->n_targets; t++) {
            for (int64_t c = 0; c < channels; c++) {
                const double b = integrated ? baseline(j, picture[p], c, cells) : 0;
                for (int64_t q = c * cells; q < (c + 1) * cells; q++)
                    x->s->map[0][q] = (float)(x->s->sum[t * pixels + q] * (integrated ? picture[p][q] - b : 1));
            }
            DCV_TRY(put_map(x, i, item[p], t, units[t].channel < 0 ? NULL : x->s->map[0], r));
        }
    }
    return DCV_OK;
}

/* --- Units of work ---------------------------------------------------------------- */

static dcv_status put_units(const context *x, int64_t item, const unit *u, dcv_result *r)
{
    const job *j = x->j;
    for (int t = 0; t < j->n_targets; t++) {
        const int64_t at = item * j->n_targets + t;
        const int32_t channel = u ? (int32_t)u[t].channel : -1;
        const int32_t position[2] = {u ? (int32_t)u[t].y : -1, u ? (int32_t)u[t].x : -1};
        const float value = u ? u[t].value : NAN;
        DCV_TRY(dcv_result_put(r, j->id_target, at, 1, &channel));
        DCV_TRY(dcv_result_put(r, j->id_value, at, 1, &value));
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
    const dcv_map m = dcv_value_map(&view->graph->value[start_of(j, view->graph)]);
    for (int p = 0; p < n; p++) {
        find_units(j, x->s, p, &m, j->net.dataset->entry[item[p]].label);
        DCV_TRY(put_units(x, item[p], x->s->unit + p * j->n_targets, r));
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
    (void)ctx, (void)view, (void)item, (void)picture, (void)r;
    return DCV_OK;
}

static dcv_status failed(void *ctx, int64_t item, dcv_result *r)
{
    const context *x = ctx;
    DCV_TRY(put_units(x, item, NULL, r));
    for (int i = 0; i < x->j->n_methods; i++)
        for (int t = 0; t < x->j->n_targets; t++)
            DCV_TRY(put_map(x, i, item, t, NULL, r));
    return DCV_OK;
}

static dcv_status phase(dcv_job *base, int p, dcv_phase *out)
{
    job *j = (job *)base;
    (void)p;
    *out = (dcv_phase){.name = "reconstruct", .n_units = dcv_network_units(&j->net), .n_items = base->n_items};
    return DCV_OK;
}

static int64_t unit_items(const dcv_job *base, int p, int64_t u)
{
    (void)p;
    return dcv_network_unit_items(&((const job *)base)->net, u);
}

static double unit_gflop(const dcv_job *base, int p, int64_t u)
{
    return ((const job *)base)->net.item_gflop * (double)unit_items(base, p, u);
}

static dcv_status read_unit(dcv_job *base, int p, int64_t u, void **input)
{
    (void)p;
    return dcv_network_read(&((job *)base)->net, u, input);
}

static void drop(dcv_job *base, void *input)
{
    (void)base;
    dcv_network_drop(input);
}

static dcv_status compute(dcv_job *base, int p, int64_t u, int thread, void *input, void *state, dcv_result *r)
{
    job *j = (job *)base;
    context x = {j, &j->scratch[thread], NULL};
    const dcv_unit_actions actions = {
        .ctx = &x, .see = see, .group = group, .walked = walked, .done = done, .failed = failed};
    (void)p, (void)state;
    return dcv_network_unit(&j->net, u, thread, input, &actions, r);
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
    .phase = phase,
    .unit_items = unit_items,
    .unit_gflop = unit_gflop,
    .read = read_unit,
    .drop = drop,
    .compute = compute,
};
