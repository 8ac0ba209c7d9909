/* infer.c -- job `infer`: the network's outputs for every item of a data set, or for inputs that are drawn.
 *
 * Every output is kept as float32.  For classifiers the best classes with their probabilities come with
 * it (softmax applied where the network ends without one); for segmentation networks the class map; for generators
 * what was drawn.
 */
#include <math.h>
#include <string.h>

#include "jobs/infer.h"
#include "jobs/regions.h"
#include "jobs/targets.h"

extern const dcv_job_kind dcv_job_infer;

static const dcv_field fields[] = {
    {.key = "outputs",
     .type = DCV_FIELD_NAMES,
     .offset = DCV_AT(infer_options, outputs),
     .dflt = "all",
     .words = "all",
     .n_min = 1,
     .help = "outputs to keep: all, or a list of names as `inspect` prints them"},
    {.key = "top",
     .type = DCV_FIELD_INT,
     .offset = DCV_AT(infer_options, top),
     .dflt = "5",
     .min = 1,
     .max = 1e6,
     .help = "classes kept for classifiers, best first"},
    {.key = "picture",
     .type = DCV_FIELD_BOOL,
     .offset = DCV_AT(infer_options, picture),
     .dflt = "true",
     .help = "outputs with 1 or 3 channels are pictures for `report`"},
    {.key = "tile",
     .type = DCV_FIELD_INT,
     .offset = DCV_AT(infer_options, tile),
     .dflt = "0",
     .max = 1 << 20,
     .unit = "px",
     .help =
         "most rows and columns of a picture that are walked at a time, for fully convolutional networks that leave "
         "height and width open; 0: by the network"},
    {.key = "latent",
     .type = DCV_FIELD_SECTION,
     .offset = DCV_AT(infer_options, latent),
     .fields = dcv_latent_fields,
     .given = 1 + DCV_AT(infer_options, latent_given),
     .help = "for generators: inputs that are drawn, in place of a data set"},
    DCV_FIELDS_END,
};

/* What a network is given comes from one place. */
static dcv_status resolve(dcv_config *c)
{
    const infer_options *o = c->job;
    if (o->latent_given && c->dataset.source)
        return dcv_config_fail(c, "infer.latent",
                               "latent stands in place of a data set; expected no dataset.source, or latent: none");
    if (!o->latent_given && !c->dataset.source)
        return dcv_config_fail(
            c, "dataset.source",
            "dataset.source is missing; expected pictures or arrays, or infer.latent for a generator");
    return DCV_OK;
}

/* --- Plan ------------------------------------------------------------------------- */

static dcv_status add_output(infer *job, int index)
{
    infer_output *o = &job->out[job->n_out++];
    o->index = index;
    o->id = o->id_extent = -1;
    o->dims = dcv_item_dims(&job->on.net.graph->value[job->on.net.graph->out[index]]);
    if (o->dims.n + 1 > DCV_MAX_RANK)
        return dcv_fail(DCV_EDATA, "%s: output \"%s\" has too many axes", job->on.net.model->file,
                        job->on.net.graph->value[job->on.net.graph->out[index]].name);
    return DCV_OK;
}

static dcv_status choose_output(infer *job, int i)
{
    const dcv_graph *g = job->on.net.graph;
    const char *want = job->options->outputs.v[i], *names[64];
    int n = 0;
    char key[64];
    snprintf(key, sizeof key, "infer.outputs[%d]", i);
    for (int k = 0; k < i; k++)
        if (strcmp(job->options->outputs.v[k], want) == 0)
            return dcv_config_fail(job->on.net.config, key, "output \"%s\" is there twice", want);
    for (int k = 0; k < g->n_out; k++) {
        if (strcmp(g->value[g->out[k]].name, want) == 0)
            return add_output(job, k);
        if (n < 64)
            names[n++] = g->value[g->out[k]].name;
    }
    for (int k = 0; g->left_out && k < g->model->n_out; k++)
        if (strcmp(g->model->out[k].name, want) == 0)
            return dcv_fail(DCV_EUNSUPPORTED, "%s: output \"%s\" is left out: %s", g->model->file, want, g->left_out);
    const char *near = dcv_nearest(want, names, (size_t)n);
    return dcv_config_fail(job->on.net.config, key, "no output \"%s\"; the network has %d, %s \"%s\"", want, g->n_out,
                           near ? "nearest is" : "the first is", near ? near : names[0]);
}

dcv_status infer_choose_outputs(infer *job)
{
    const dcv_names *wanted = &job->options->outputs;
    const dcv_graph *g = job->on.net.graph;
    const int n = wanted->word >= 0 ? g->n_out : wanted->n;
    if (wanted->word >= 0 && g->left_out)
        return dcv_fail(DCV_EUNSUPPORTED, "%s: %s (infer.outputs can ask for the other outputs)", g->model->file,
                        g->left_out);
    job->out = dcv_alloc((size_t)n, sizeof *job->out);
    if (!job->out)
        return DCV_ENOMEM;
    for (int i = 0; i < n; i++)
        DCV_TRY(wanted->word >= 0 ? add_output(job, i) : choose_output(job, i));
    return DCV_OK;
}

/* Names of data sets that the job makes beside the outputs. */
static const char *const own_names[] = {"top_class", "top_probability", "class_map", "latent"};

static dcv_status check_names(const infer *job)
{
    const dcv_graph *g = job->on.net.graph;
    for (int i = 0; i < job->n_out; i++)
        for (size_t k = 0; k < sizeof own_names / sizeof *own_names; k++)
            if (!strcmp(g->value[g->out[job->out[i].index]].name, own_names[k]))
                return dcv_config_fail(job->on.net.config, "infer.outputs",
                                       "output \"%s\" has the name of what infer makes itself; list the others alone",
                                       own_names[k]);
    const char **name = dcv_alloc((size_t)job->n_out, sizeof *name);
    for (int i = 0; name && i < job->n_out; i++)
        name[i] = g->value[g->out[job->out[i].index]].name;
    const dcv_status st =
        name ? dcv_result_names_check(job->on.net.config, "infer.outputs", name, job->n_out) : DCV_ENOMEM;
    dcv_free(name);
    return st;
}

bool infer_has_class_map(const infer *job)
{
    const dcv_value *v = &job->on.net.graph->value[job->on.net.graph->out[0]];
    const dcv_dims *d = &v->dims;
    return v->batched && d->n == 4 && (d->d[1] == 2 || d->d[1] > 3) && d->d[2] * d->d[3] > 1 && d->d[1] <= INT16_MAX;
}

static int64_t largest_output(const infer *job)
{
    if (job->largest)
        return infer_tiles_output(job);
    int64_t most = job->classes;
    const dcv_graph *g = job->on.net.walked;
    for (int i = 0; i < g->n_out; i++) {
        const int64_t n = dcv_count(&g->value[g->out[i]].dims);
        most = n > most ? n : most;
    }
    return most;
}

/* Of the largest class map; a picture in tiles has a row of them at a time. */
static size_t map_cells(const infer *job)
{
    const dcv_dims *d = &job->on.net.graph->value[job->on.net.graph->out[0]].dims;
    return (size_t)(job->largest ? dcv_count(d) / d->d[1] : d->d[2] * d->d[3]);
}

static size_t largest_latent(const infer *job)
{
    int64_t most = 0;
    for (int k = 0; job->latent && k < job->on.net.n_in; k++) {
        const int64_t n = dcv_count(&job->on.net.dims[k]);
        most = n > most ? n : most;
    }
    return (size_t)most;
}

static dcv_status scratch_make(const infer *job, infer_scratch *s)
{
    const size_t most = (size_t)largest_output(job);
    s->raw = dcv_alloc(most, sizeof *s->raw);
    s->probability = dcv_alloc((size_t)job->classes, sizeof *s->probability);
    s->best = dcv_alloc((size_t)job->classes, sizeof *s->best);
    s->order = dcv_alloc((size_t)job->classes, sizeof *s->order);
    s->map = dcv_alloc(infer_has_class_map(job) ? map_cells(job) : 0, sizeof *s->map);
    s->latent = dcv_alloc(largest_latent(job), sizeof *s->latent);
    if (!s->raw || !s->probability || !s->best || !s->order || !s->map || !s->latent)
        return DCV_ENOMEM;
    return infer_tiles_scratch(job, s);
}

static void scratch_clear(infer_scratch *s)
{
    dcv_free(s->raw);
    dcv_free(s->probability);
    dcv_free(s->best);
    dcv_free(s->order);
    dcv_free(s->map);
    dcv_free(s->latent);
    infer_tiles_scratch_clear(s);
}

static dcv_status make_scratch(infer *job)
{
    job->scratch = dcv_alloc((size_t)job->on.net.threads, sizeof *job->scratch);
    if (!job->scratch)
        return DCV_ENOMEM;
    for (int t = 0; t < job->on.net.threads; t++)
        DCV_TRY(scratch_make(job, &job->scratch[t]));
    return DCV_OK;
}

static void make(void *ctx, const dcv_network *net, int64_t item, int k, float *to)
{
    const infer *job = ctx;
    dcv_latent_draw(&job->options->latent, job->latent[k], k, item, &net->dims[k], to);
}

static dcv_status open_latent(infer *job)
{
    const size_t n = (size_t)job->on.net.n_in;
    job->latent = dcv_alloc(n, sizeof *job->latent);
    job->id_latent = dcv_alloc(n, sizeof *job->id_latent);
    if (!job->latent || !job->id_latent)
        return DCV_ENOMEM;
    return dcv_latent_choose(job->on.net.config, &job->options->latent, job->on.net.model, job->latent);
}

static dcv_status open_job(const dcv_config *c, dcv_share *share, int threads, dcv_job **out)
{
    infer *job = dcv_alloc(1, sizeof *job);
    *out = job ? &job->on.base : NULL;
    if (!job)
        return DCV_ENOMEM;
    const infer_options *o = job->options = c->job;
    job->id_map = job->id_top = job->id_probability = -1;
    const dcv_network_options n = {.ctx = job,
                                   .many_inputs = true,
                                   .piece = infer_tiles_choose,
                                   .no_data = o->latent_given,
                                   .n_made = o->latent_given ? o->latent.count : 0,
                                   .make = o->latent_given ? make : NULL};
    DCV_TRY(dcv_network_job_open(&job->on, &dcv_job_infer, c, &n, share, threads));
    DCV_TRY(check_names(job));
    if (o->latent_given)
        DCV_TRY(open_latent(job));
    job->classes = job->on.net.graph->classes;
    job->k = o->top < job->classes ? o->top : job->classes;
    DCV_TRY(infer_tiles_plan(job));
    return make_scratch(job);
}

static void close_job(dcv_job *base)
{
    infer *job = (infer *)base;
    for (int t = 0; job->scratch && t < job->on.net.threads; t++)
        scratch_clear(&job->scratch[t]);
    dcv_free(job->scratch);
    dcv_free(job->out);
    dcv_free(job->latent);
    dcv_free(job->id_latent);
    infer_tiles_clear(job);
    dcv_network_close(&job->on.net);
    dcv_free(job);
}

/* --- Result file ------------------------------------------------------------------ */

static dcv_dims with_items(const infer *job, const dcv_dims *d)
{
    dcv_dims all = {d->n + 1, {job->on.base.n_items}};
    memcpy(all.d + 1, d->d, sizeof d->d[0] * (size_t)d->n);
    return all;
}

/* One or three channels of rows and columns. */
static bool is_picture(const dcv_dims *d)
{
    return d->n == 3 && (d->d[0] == 1 || d->d[0] == 3) && d->d[1] > 1 && d->d[2] > 1;
}

/* /infer/latent is the first input that is no choice among classes, or the first; others have their names behind it. */
static int main_latent(const infer *job)
{
    for (int k = 0; k < job->on.net.n_in; k++)
        if (job->latent[k] != DCV_LATENT_ONE_HOT)
            return k;
    return 0;
}

static dcv_status declare_latent(infer *job, dcv_store *s, int k)
{
    const char *input = job->on.net.model->in[k].name;
    dcv_dims dims = job->on.net.dims[k];
    dims.n = dims.n ? dims.n : 1; /* a number without axes: one for each item */
    dims.d[0] = job->on.base.n_items;
    char *name = dcv_result_name(input);
    char *path = !name                   ? NULL
                 : k == main_latent(job) ? dcv_strdup("/infer/latent")
                                         : dcv_format("/infer/latent_%s", name);
    dcv_status st = path ? dcv_store_dataset(s, path, DCV_F32, 0, &dims, &job->id_latent[k]) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_store_axis(s, job->id_latent[k], 0, -1, "item");
    if (st == DCV_OK)
        st = dcv_store_text(s, path, "input", input);
    dcv_free(name);
    dcv_free(path);
    return st;
}

static dcv_status declare_output(infer *job, dcv_store *s, infer_output *o)
{
    const dcv_value *v = &job->on.net.graph->value[job->on.net.graph->out[o->index]];
    const dcv_dims dims = with_items(job, &o->dims), extent = {2, {job->on.base.n_items, o->dims.n}};
    char *name = dcv_result_name(v->name);
    char *path = name ? dcv_format("/infer/%s", name) : NULL, *path2 = path ? dcv_format("%s_extent", path) : NULL;
    dcv_status st = path2 ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_store_dataset(s, path, DCV_F32, 0, &dims, &o->id);
    if (st == DCV_OK)
        st = dcv_store_axis(s, o->id, 0, -1, "input");
    if (st == DCV_OK && strcmp(name, v->name) != 0)
        st = dcv_store_text(s, path, "output", v->name);
    if (st == DCV_OK && job->options->picture && is_picture(&o->dims))
        st = dcv_store_int(s, path, "picture", o->dims.d[0]);
    if (st == DCV_OK && job->on.net.dataset && !job->on.net.dataset->fixed)
        st = dcv_store_dataset(s, path2, DCV_I32, 0, &extent, &o->id_extent);
    if (st == DCV_OK && o->id_extent >= 0)
        st = dcv_store_axis(s, o->id_extent, 0, -1, "input");
    dcv_free(name);
    dcv_free(path);
    dcv_free(path2);
    return st;
}

static dcv_status declare_classes(infer *job, dcv_store *s)
{
    const dcv_dims dims = {2, {job->on.base.n_items, job->k}};
    DCV_TRY(dcv_store_dataset(s, "/infer/top_class", DCV_I32, 0, &dims, &job->id_top));
    DCV_TRY(dcv_store_dataset(s, "/infer/top_probability", DCV_F32, 0, &dims, &job->id_probability));
    for (int axis = 0; axis < 2; axis++) {
        DCV_TRY(dcv_store_axis(s, job->id_top, axis, -1, axis ? "rank" : "input"));
        DCV_TRY(dcv_store_axis(s, job->id_probability, axis, -1, axis ? "rank" : "input"));
    }
    return dcv_store_nxdata(s, "/infer", "top_probability", (const char *const[]){".", "."}, 2);
}

static dcv_status declare(dcv_job *base, dcv_store *s)
{
    infer *job = (infer *)base;
    if (job->on.net.dataset)
        DCV_TRY(dcv_network_declare(&job->on.net, s));
    for (int k = 0; job->latent && k < job->on.net.n_in; k++)
        DCV_TRY(declare_latent(job, s, k));
    for (int i = 0; i < job->n_out; i++)
        DCV_TRY(declare_output(job, s, &job->out[i]));
    if (job->classes > 0)
        DCV_TRY(declare_classes(job, s));
    if (infer_has_class_map(job)) {
        const dcv_dims *d = &job->on.net.graph->value[job->on.net.graph->out[0]].dims;
        DCV_TRY(dcv_store_dataset(s, "/infer/class_map", DCV_I16, 0, &(dcv_dims){3, {base->n_items, d->d[2], d->d[3]}},
                                  &job->id_map));
    }
    return DCV_OK;
}

/* --- Units ------------------------------------------------------------------------ */

typedef struct context {
    infer *job;
    infer_scratch *s;
    int thread;
    int64_t part;
} context;

dcv_status infer_put_extent(const infer_output *o, const dcv_dims *own, int64_t item, dcv_result *r)
{
    int32_t extent[DCV_MAX_RANK];
    for (int a = 0; a < own->n; a++)
        extent[a] = (int32_t)own->d[a];
    return o->id_extent < 0 ? DCV_OK : dcv_result_put(r, o->id_extent, item * own->n, own->n, extent);
}

static dcv_status put_output(const context *x, const dcv_view *view, const infer_output *o, int64_t item, int picture,
                             dcv_result *r)
{
    const int64_t n = dcv_count(&o->dims);
    const dcv_dims own = dcv_item_dims(&view->graph->value[view->graph->out[o->index]]);
    dcv_walk_output(view->walk, o->index, picture, x->s->raw);
    DCV_TRY(infer_put_extent(o, &own, item, r));
    return dcv_put_within(r, o->id, item * n, &o->dims, x->s->raw, &own);
}

/* The k classes of highest probability, ties to the lowest class, NaN last. */
static void best_classes(const float *p, int64_t classes, int64_t k, int32_t *order)
{
    int64_t n = 0;
    for (int64_t c = 0; c < classes; c++) {
        int64_t at = n;
        while (at > 0 && (p[c] > p[order[at - 1]] || (isnan(p[order[at - 1]]) && !isnan(p[c]))))
            at--;
        if (at >= k)
            continue;
        n = n < k ? n + 1 : k;
        memmove(order + at + 1, order + at, sizeof *order * (size_t)(n - 1 - at));
        order[at] = (int32_t)c;
    }
}

static dcv_status put_classes(const context *x, const dcv_view *view, int64_t item, int picture, dcv_result *r)
{
    infer *job = x->job;
    float *p = x->s->probability;
    float *best = x->s->best;
    dcv_walk_output(view->walk, 0, picture, p);
    if (view->graph->head == DCV_HEAD_LOG_SOFTMAX || view->graph->head == DCV_HEAD_LOGITS)
        dcv_softmax(p, job->classes);
    best_classes(p, job->classes, job->k, x->s->order);
    for (int64_t i = 0; i < job->k; i++)
        best[i] = p[x->s->order[i]];
    DCV_TRY(dcv_result_put(r, job->id_top, item * job->k, job->k, x->s->order));
    return dcv_result_put(r, job->id_probability, item * job->k, job->k, best);
}

int16_t infer_class(const float *value, int64_t c, int64_t step)
{
    int64_t best = 0;
    for (int64_t k = 1; k < c; k++)
        if (value[k * step] > value[best * step] || (isnan(value[best * step]) && !isnan(value[k * step])))
            best = k;
    return (int16_t)best;
}

static dcv_status put_map(const context *x, const dcv_view *view, int64_t item, int picture, dcv_result *r)
{
    const dcv_dims *large = &x->job->on.net.graph->value[x->job->on.net.graph->out[0]].dims;
    const dcv_dims *own = &view->graph->value[view->graph->out[0]].dims;
    const int64_t cells = own->d[2] * own->d[3], n = large->d[2] * large->d[3];
    dcv_walk_output(view->walk, 0, picture, x->s->raw);
    for (int64_t i = 0; i < n; i++)
        x->s->map[i] = -1;
    for (int64_t i = 0; i < cells; i++)
        x->s->map[i / own->d[3] * large->d[3] + i % own->d[3]] = infer_class(x->s->raw + i, own->d[1], cells);
    return dcv_result_put(r, x->job->id_map, item * n, n, x->s->map);
}

static dcv_status put_latent(const context *x, int64_t item, dcv_result *r)
{
    const dcv_network *net = &x->job->on.net;
    for (int k = 0; x->job->latent && k < net->n_in; k++) {
        const int64_t n = dcv_count(&net->dims[k]);
        make(x->job, net, item, k, x->s->latent);
        DCV_TRY(dcv_result_put(r, x->job->id_latent[k], item * n, n, x->s->latent));
    }
    return DCV_OK;
}

static dcv_status done(void *ctx, const dcv_view *view, int64_t item, int picture, dcv_result *r)
{
    const context *x = ctx;
    DCV_TRY(put_latent(x, item, r));
    for (int i = 0; i < x->job->n_out; i++)
        DCV_TRY(put_output(x, view, &x->job->out[i], item, picture, r));
    if (x->job->classes > 0)
        DCV_TRY(put_classes(x, view, item, picture, r));
    return x->job->id_map >= 0 ? put_map(x, view, item, picture, r) : DCV_OK;
}

/* A picture that is no larger than a tile is the first part's. */
static dcv_status alone(void *ctx, const dcv_item *it, int64_t item, bool *taken, dcv_result *r)
{
    const context *x = ctx;
    DCV_TRY(infer_tiles_run(x->job, x->thread, x->part, it, item, taken, r));
    *taken = *taken || x->part > 0;
    return DCV_OK;
}

static dcv_status failed(void *ctx, int64_t item, dcv_result *r)
{
    const infer *job = ((const context *)ctx)->job;
    for (int k = 0; job->latent && k < job->on.net.n_in; k++) {
        const int64_t n = dcv_count(&job->on.net.dims[k]);
        DCV_TRY(dcv_put_missing(r, job->id_latent[k], DCV_F32, item * n, n));
    }
    for (int i = 0; i < job->n_out; i++) {
        const infer_output *o = &job->out[i];
        const int64_t n = dcv_count(&o->dims);
        DCV_TRY(dcv_put_missing(r, o->id, DCV_F32, item * n, n));
        if (o->id_extent >= 0)
            DCV_TRY(dcv_put_missing(r, o->id_extent, DCV_I32, item * o->dims.n, o->dims.n));
    }
    if (job->classes > 0) {
        DCV_TRY(dcv_put_missing(r, job->id_top, DCV_I32, item * job->k, job->k));
        DCV_TRY(dcv_put_missing(r, job->id_probability, DCV_F32, item * job->k, job->k));
    }
    if (job->id_map >= 0) {
        const dcv_dims *d = &job->on.net.graph->value[job->on.net.graph->out[0]].dims;
        const int64_t n = d->d[2] * d->d[3];
        DCV_TRY(dcv_put_missing(r, job->id_map, DCV_I16, item * n, n));
    }
    return DCV_OK;
}

static dcv_status compute(dcv_job *base, int p, int64_t unit, int thread, void *input, void *state, dcv_result *r)
{
    infer *job = (infer *)base;
    context x = {job, &job->scratch[thread], thread, unit % job->on.net.parts};
    const dcv_unit_actions actions = {.ctx = &x, .alone = job->largest ? alone : NULL, .done = done, .failed = failed};
    (void)p, (void)state;
    return dcv_network_unit(&job->on.net, unit, thread, input, &actions, r);
}

static dcv_status fail_unit(dcv_job *base, int p, int64_t unit, const char *message, void *state, dcv_result *r)
{
    infer *job = (infer *)base;
    context x = {.job = job};
    (void)p, (void)state;
    return dcv_network_fail_unit(&job->on.net, unit, message, &(dcv_unit_actions){.ctx = &x, .failed = failed}, r);
}

static dcv_status explain(dcv_job *base, FILE *to)
{
    infer_tiles_explain((const infer *)base, to);
    return DCV_OK;
}

const dcv_job_kind dcv_job_infer = {
    .section = {.job = "infer",
                .help = "outputs of a network for every item of a data set, or for inputs that are drawn",
                .fields = fields,
                .size = sizeof(infer_options),
                .needs_model = true,
                .wants_dataset = true,
                .resolve = resolve},
    .open = open_job,
    .close = close_job,
    .declare = declare,
    DCV_NETWORK_JOB,
    .compute = compute,
    .fail_unit = fail_unit,
    .explain = explain,
};
