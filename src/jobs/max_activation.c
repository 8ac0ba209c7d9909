/* max_activation.c -- job `max_activation`: the inputs that drive each channel most, over a whole data set.
 *
 * Phase "search" gathers, for every channel of every layer, the k strongest places and the statistics of all values.
 * Phase "patches" reads the winning pictures once more and cuts out what each place sees.
 *
 * A block's state is flat: for each layer its sums, histograms and places, so that folding and storing need no
 * pointers.  The order of places is (value descending, item ascending, y, x); items come in ascending order, within
 * a block and from block to block, so a newcomer goes behind its equals.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/methods/channel_scan.h"
#include "jobs/network.h"

extern const dcv_job_kind dcv_job_max_activation;

typedef enum rank_by { RANK_BY_MAX, RANK_BY_MEAN } rank_by;

typedef struct max_activation_options {
    dcv_names layers;  /* word: all */
    dcv_ints channels; /* word: all; scalar: the first N; list */
    int64_t top, per_image, crop_limit;
    int rank_by, reconstruct;
    bool patches, statistics;
} max_activation_options;

#define AT(member) DCV_AT(max_activation_options, member)
static const dcv_field fields[] = {
    {.key = "layers",
     .type = DCV_FIELD_NAMES,
     .offset = AT(layers),
     .dflt = "all",
     .words = "all",
     .n_min = 1,
     .help = "all: every activation's output and the logits; or a list of names as `inspect` prints them"},
    {.key = "channels",
     .type = DCV_FIELD_INTS,
     .offset = AT(channels),
     .dflt = "all",
     .words = "all",
     .n_min = 1,
     .max = 1e9,
     .help = "all, N for the first N, or a list of numbers"},
    {.key = "top",
     .type = DCV_FIELD_INT,
     .offset = AT(top),
     .dflt = "9",
     .min = 1,
     .max = 10000,
     .help = "places kept for each channel, strongest first"},
    {.key = "rank_by",
     .type = DCV_FIELD_WORD,
     .offset = AT(rank_by),
     .dflt = "max",
     .words = "max|mean",
     .help = "what orders the places: the strongest cell, or the mean of the map"},
    {.key = "per_image",
     .type = DCV_FIELD_INT,
     .offset = AT(per_image),
     .dflt = "1",
     .min = 1,
     .max = 10000,
     .help = "most places of one image for one channel"},
    {.key = "patches",
     .type = DCV_FIELD_BOOL,
     .offset = AT(patches),
     .dflt = "true",
     .help = "keep the piece of the input that each place sees"},
    {.key = "reconstruct",
     .type = DCV_FIELD_WORD,
     .offset = AT(reconstruct),
     .dflt = "none",
     .words = "none",
     .help = "how each place is taken back to the input"},
    {.key = "crop_limit",
     .type = DCV_FIELD_INT,
     .offset = AT(crop_limit),
     .dflt = "128",
     .min = 1,
     .max = 1e6,
     .unit = "px",
     .help = "layers that see more have no patches, unless `layers` names them"},
    {.key = "statistics",
     .type = DCV_FIELD_BOOL,
     .offset = AT(statistics),
     .dflt = "true",
     .help = "mean, deviation, share of non-zero values, histograms of values and of classes"},
    DCV_FIELDS_END,
};

typedef struct place {
    int64_t image; /* -1: none */
    float value;
    int32_t y, x;
    int32_t unused;
} place;

typedef struct sums {
    double sum, square;
    int64_t nonzero, cells;
} sums;

typedef struct layer {
    char *name;
    int value;            /* in the network's own graph */
    dcv_map map;          /* on the largest input */
    int64_t n;            /* channels kept */
    int64_t *channel;     /* [n] */
    int64_t box_h, box_w; /* largest receptive field, px */
    bool patch;
    size_t at_sums, at_histogram, at_places; /* in a state, bytes */
    int id_value, id_image, id_position, id_box, id_patch, id_mean, id_std, id_nonzero, id_histogram, id_class_count;
} layer;

/* One winning place: where it comes from, and where its box and its patch go. */
typedef struct winner {
    int64_t image, slot; /* slot: channel * top + rank in layer */
    int32_t layer, y, x;
    int32_t h, w; /* of the network input */
} winner;

typedef struct job {
    dcv_job base;
    dcv_network net;
    const max_activation_options *options;
    layer *layer;
    int n_layers;
    size_t state_bytes;
    int64_t input_h, input_w;
    bool pictures;  /* the input has rows, columns, and 1 or 3 channels */
    winner *winner; /* sorted by image */
    int64_t n_winners;
    int64_t *first;     /* [n_pictures + 1] winners of a picture */
    int64_t n_pictures; /* that have winners with patches */
} job;

/* --- Layers ----------------------------------------------------------------------- */

/* Is value v a layer that this job wants, in any graph of the model? */
static int wanted(const job *j, const dcv_graph *g, int *to)
{
    if (j->options->layers.word >= 0)
        return dcv_graph_layers(g, to);
    int n = 0;
    for (int v = 0; v < g->n_value; v++) /* topological order, as for `all` */
        for (int i = 0; i < j->options->layers.n; i++)
            if (strcmp(g->value[v].name, j->options->layers.v[i]) == 0) {
                to[n++] = v;
                break;
            }
    return n;
}

static dcv_status choose(void *ctx, const dcv_graph *g, int *seen, int *n_seen)
{
    *n_seen = wanted(ctx, g, seen);
    return DCV_OK;
}

static dcv_status check_names(const job *j)
{
    const dcv_graph *g = j->net.graph;
    for (int i = 0; i < j->options->layers.n; i++) {
        const char *name = j->options->layers.v[i];
        const int v = dcv_graph_find(g, name);
        char key[64];
        snprintf(key, sizeof key, "max_activation.layers[%d]", i);
        if (v < 0) {
            (void)dcv_graph_unknown(g, name);
            return dcv_config_fail(j->base.config, key, "%s", dcv_message());
        }
        if (!g->value[v].batched || g->value[v].type != DCV_F32 || g->value[v].producer < 0)
            return dcv_config_fail(j->base.config, key,
                                   "\"%s\" is not computed from the input; choose an operator's output", name);
    }
    return DCV_OK;
}

/* The input's spatial axis that rows (axis 0) or columns (axis 1) run along; -1: it has none. */
static int input_axis(const dcv_dims *input, int axis)
{
    return input->n == 4 ? axis : input->n == 3 && axis == 1 ? 0 : -1;
}

/* What a layer of another rank than the input's sees: its cells do not lie along the input's axis, so each counts as
 * seeing what all of them see. */
static dcv_status spans_together(const dcv_graph *g, int value, int along, dcv_span *to, int64_t n)
{
    const dcv_dims *d = &g->value[value].dims;
    const int64_t cells = 2 + along < d->n ? d->d[2 + along] : 1;
    dcv_span *each = dcv_alloc((size_t)cells, sizeof *each), all = {0, 0};
    const dcv_status st = each ? dcv_graph_receptive(g, value, g->in[0], along, each) : DCV_ENOMEM;
    for (int64_t i = 0; st == DCV_OK && i < cells; i++)
        all = dcv_span_hull(all, each[i]);
    for (int64_t i = 0; i < n; i++)
        to[i] = all;
    dcv_free(each);
    return st;
}

/* Receptive fields of every row (axis 0) or column (axis 1) of a layer. */
static dcv_status spans_new(const dcv_graph *g, int value, int axis, dcv_span **out)
{
    const dcv_dims *input = &g->value[g->in[0]].dims, *d = &g->value[value].dims;
    const dcv_map m = dcv_value_map(&g->value[value]);
    const int64_t n = axis ? m.w : m.h;
    const int along = input_axis(input, axis);
    *out = dcv_alloc((size_t)n, sizeof **out);
    if (!*out)
        return DCV_ENOMEM;
    if (along >= 0 && d->n == input->n)
        return dcv_graph_receptive(g, value, g->in[0], along, *out);
    if (along >= 0)
        return spans_together(g, value, along, *out, n);
    for (int64_t i = 0; i < n; i++)
        (*out)[i] = (dcv_span){0, 1};
    return DCV_OK;
}

static int64_t longest(const dcv_span *s, int64_t n)
{
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++)
        most = s[i].hi - s[i].lo > most ? s[i].hi - s[i].lo : most;
    return most;
}

static dcv_status measure_box(const job *j, layer *l)
{
    dcv_span *rows = NULL, *cols = NULL;
    dcv_status st = spans_new(j->net.graph, l->value, 0, &rows);
    if (st == DCV_OK)
        st = spans_new(j->net.graph, l->value, 1, &cols);
    if (st == DCV_OK) {
        const bool whole = j->options->rank_by == RANK_BY_MEAN;
        l->box_h = whole ? j->input_h : longest(rows, l->map.h);
        l->box_w = whole ? j->input_w : longest(cols, l->map.w);
    }
    dcv_free(rows);
    dcv_free(cols);
    return st;
}

static dcv_status choose_channels(const job *j, layer *l)
{
    const dcv_ints *o = &j->options->channels;
    const bool all = o->word >= 0, first = !all && o->scalar;
    if (first && o->v[0] == 0)
        return dcv_config_fail(j->base.config, "max_activation.channels", "the first 0 channels are none");
    l->n = all ? l->map.c : first ? (o->v[0] < l->map.c ? o->v[0] : l->map.c) : o->n;
    l->channel = dcv_alloc((size_t)l->n, sizeof *l->channel);
    if (!l->channel)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < l->n; i++) {
        l->channel[i] = all || first ? i : o->v[i];
        if (l->channel[i] >= l->map.c) {
            char key[64];
            snprintf(key, sizeof key, "max_activation.channels[%lld]", (long long)i);
            return dcv_config_fail(j->base.config, key, "channel %lld; layer \"%s\" has 0 to %lld",
                                   (long long)l->channel[i], l->name, (long long)l->map.c - 1);
        }
    }
    return DCV_OK;
}

static dcv_status make_layer(job *j, layer *l, int value)
{
    const dcv_network *net = &j->net;
    l->value = value;
    l->map = dcv_value_map(&net->graph->value[value]);
    l->name = dcv_strdup(net->graph->value[value].name);
    if (!l->name)
        return DCV_ENOMEM;
    DCV_TRY(choose_channels(j, l));
    DCV_TRY(measure_box(j, l));
    const int64_t limit = j->options->crop_limit;
    const bool fits = (l->box_h <= limit && l->box_w <= limit) || j->options->layers.word < 0;
    l->patch = j->options->patches && j->pictures && fits;
    l->at_sums = j->state_bytes;
    l->at_histogram = l->at_sums + (size_t)l->n * sizeof(sums);
    l->at_places = l->at_histogram + (size_t)l->n * DCV_HISTOGRAM_BINS * sizeof(int64_t);
    j->state_bytes = l->at_places + (size_t)(l->n * j->options->top) * sizeof(place);
    return DCV_OK;
}

static dcv_status make_layers(job *j)
{
    const dcv_graph *g = j->net.graph;
    const dcv_dims *input = &g->value[g->in[0]].dims;
    int *values = dcv_alloc((size_t)g->n_value, sizeof *values);
    dcv_status st = values ? DCV_OK : DCV_ENOMEM;
    if (st != DCV_OK)
        return st;
    j->input_h = input->n == 4 ? input->d[2] : 1;
    j->input_w = input->n == 4 ? input->d[3] : input->n == 3 ? input->d[2] : 1;
    j->pictures = input->n == 4 && (j->net.dataset->c == 1 || j->net.dataset->c == 3);
    const int n = wanted(j, g, values);
    j->layer = dcv_alloc((size_t)n, sizeof *j->layer);
    if (!j->layer)
        st = DCV_ENOMEM;
    for (int i = 0; st == DCV_OK && i < n; i++) {
        j->n_layers = i + 1;
        st = make_layer(j, &j->layer[i], values[i]);
    }
    dcv_free(values);
    if (st == DCV_OK && n == 0)
        return dcv_config_fail(j->base.config, "max_activation.layers",
                               "the network has no activation functions; name the layers");
    return st;
}

static dcv_status open_job(const dcv_config *c, dcv_share *share, int threads, dcv_job **out)
{
    job *j = dcv_alloc(1, sizeof *j);
    *out = j ? &j->base : NULL;
    if (!j)
        return DCV_ENOMEM;
    j->base.config = c;
    j->base.kind = &dcv_job_max_activation;
    j->options = c->job;
    const dcv_network_options o = {.choose = choose, .ctx = j};
    DCV_TRY(dcv_network_open(&j->net, c, &o, share, threads));
    dcv_network_describe(&j->net, &j->base);
    DCV_TRY(check_names(j));
    DCV_TRY(make_layers(j));
    j->base.n_phases = 1;
    for (int i = 0; i < j->n_layers; i++)
        if (j->layer[i].patch)
            j->base.n_phases = 2;
    return DCV_OK;
}

static void close_job(dcv_job *base)
{
    job *j = (job *)base;
    for (int i = 0; i < j->n_layers; i++) {
        dcv_free(j->layer[i].name);
        dcv_free(j->layer[i].channel);
    }
    dcv_free(j->layer);
    dcv_free(j->winner);
    dcv_free(j->first);
    dcv_network_close(&j->net);
    dcv_free(j);
}

/* --- Result file ------------------------------------------------------------------ */

static dcv_status declare_one(dcv_store *s, const char *group, const char *name, dcv_dtype type, dcv_dims dims,
                              int scale, int *id)
{
    char *path = dcv_format("%s/%s", group, name);
    dcv_status st = path ? dcv_store_dataset(s, path, type, 0, &dims, id) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_store_axis(s, *id, 0, scale, "channel");
    dcv_free(path);
    return st;
}

/* The channels' numbers: the scale of every first axis. */
static dcv_status declare_channels(dcv_store *s, const char *group, const layer *l, int *id)
{
    char *path = dcv_format("%s/channel", group);
    int32_t *channel = dcv_alloc((size_t)l->n, sizeof *channel);
    dcv_status st = path && channel ? dcv_store_dataset(s, path, DCV_I32, 0, &(dcv_dims){1, {l->n}}, id) : DCV_ENOMEM;
    for (int64_t i = 0; st == DCV_OK && i < l->n; i++)
        channel[i] = (int32_t)l->channel[i];
    if (st == DCV_OK)
        st = dcv_store_values(s, *id, channel, (size_t)l->n * sizeof *channel);
    dcv_free(path);
    dcv_free(channel);
    return st;
}

static dcv_status declare_statistics(const job *j, dcv_store *s, const char *group, layer *l, int scale)
{
    const int64_t classes = j->net.dataset->classes;
    const dcv_dims c = {1, {l->n}};
    DCV_TRY(declare_one(s, group, "mean", DCV_F32, c, scale, &l->id_mean));
    DCV_TRY(declare_one(s, group, "std", DCV_F32, c, scale, &l->id_std));
    DCV_TRY(declare_one(s, group, "nonzero", DCV_F32, c, scale, &l->id_nonzero));
    DCV_TRY(declare_one(s, group, "histogram", DCV_I64, (dcv_dims){2, {l->n, DCV_HISTOGRAM_BINS}}, scale,
                        &l->id_histogram));
    return declare_one(s, group, "class_count", DCV_I64, (dcv_dims){2, {l->n, classes}}, scale, &l->id_class_count);
}

static dcv_status declare_layer(const job *j, dcv_store *s, const char *group, layer *l)
{
    const int64_t k = j->options->top;
    const int c = j->net.dataset->c;
    int scale;
    DCV_TRY(declare_channels(s, group, l, &scale));
    DCV_TRY(declare_one(s, group, "value", DCV_F32, (dcv_dims){2, {l->n, k}}, scale, &l->id_value));
    DCV_TRY(declare_one(s, group, "image", DCV_I64, (dcv_dims){2, {l->n, k}}, scale, &l->id_image));
    DCV_TRY(declare_one(s, group, "position", DCV_I32, (dcv_dims){3, {l->n, k, 2}}, scale, &l->id_position));
    DCV_TRY(declare_one(s, group, "box", DCV_I32, (dcv_dims){3, {l->n, k, 4}}, scale, &l->id_box));
    DCV_TRY(dcv_store_axis(s, l->id_value, 1, -1, "rank"));
    if (l->patch) {
        DCV_TRY(declare_one(s, group, "patch", DCV_U8, (dcv_dims){5, {l->n, k, l->box_h, l->box_w, c}}, scale,
                            &l->id_patch));
        DCV_TRY(dcv_store_image(s, l->id_patch, c));
    }
    if (j->options->statistics)
        DCV_TRY(declare_statistics(j, s, group, l, scale));
    DCV_TRY(dcv_store_text(s, group, "layer", l->name));
    return dcv_store_nxdata(s, group, "value", (const char *const[]){"channel", "."}, 2);
}

static dcv_status declare(dcv_job *base, dcv_store *s)
{
    job *j = (job *)base;
    DCV_TRY(dcv_network_declare(&j->net, s));
    for (int i = 0; i < j->n_layers; i++) {
        char *name = dcv_result_name(j->layer[i].name);
        char *group = name ? dcv_format("/max_activation/%s", name) : NULL;
        const dcv_status st = group ? declare_layer(j, s, group, &j->layer[i]) : DCV_ENOMEM;
        dcv_free(name);
        dcv_free(group);
        DCV_TRY(st);
    }
    return DCV_OK;
}

/* --- State ------------------------------------------------------------------------ */

static sums *sums_of(const void *state, const layer *l)
{
    return (sums *)((char *)(uintptr_t)state + l->at_sums);
}

static int64_t *histogram_of(const void *state, const layer *l)
{
    return (int64_t *)((char *)(uintptr_t)state + l->at_histogram);
}

static place *places_of(const void *state, const layer *l)
{
    return (place *)((char *)(uintptr_t)state + l->at_places);
}

static void state_clear(const dcv_job *base, int p, void *state)
{
    const job *j = (const job *)base;
    (void)p;
    memset(state, 0, j->state_bytes);
    for (int i = 0; i < j->n_layers; i++) {
        place *to = places_of(state, &j->layer[i]);
        for (int64_t n = 0; n < j->layer[i].n * j->options->top; n++)
            to[n] = (place){.image = -1, .value = NAN, .y = -1, .x = -1};
    }
}

/* Put p into the k sorted places of a channel, behind its equals. */
static void insert(place *list, int64_t k, const place *p)
{
    if (isnan(p->value) || (list[k - 1].image >= 0 && !(p->value > list[k - 1].value)))
        return;
    int64_t i = k - 1;
    for (; i > 0 && (list[i - 1].image < 0 || p->value > list[i - 1].value); i--)
        list[i] = list[i - 1];
    list[i] = *p;
}

static void state_fold(const dcv_job *base, int p, void *into, const void *block)
{
    const job *j = (const job *)base;
    const int64_t k = j->options->top;
    (void)p;
    for (int i = 0; i < j->n_layers; i++) {
        const layer *l = &j->layer[i];
        sums *to = sums_of(into, l);
        const sums *from = sums_of(block, l);
        for (int64_t c = 0; c < l->n; c++) {
            to[c].sum += from[c].sum;
            to[c].square += from[c].square;
            to[c].nonzero += from[c].nonzero;
            to[c].cells += from[c].cells;
            for (int64_t n = 0; n < k && places_of(block, l)[c * k + n].image >= 0; n++)
                insert(places_of(into, l) + c * k, k, &places_of(block, l)[c * k + n]);
        }
        for (int64_t n = 0; n < l->n * DCV_HISTOGRAM_BINS; n++)
            histogram_of(into, l)[n] += histogram_of(block, l)[n];
    }
}

/* --- Phase "search" --------------------------------------------------------------- */

typedef struct context {
    job *j;
    void *state;
    const dcv_graph *graph; /* that layer_of is for */
    const int64_t *item;
    dcv_channel_sums *channel; /* room for the widest layer */
    int64_t *histogram;        /* likewise */
    float *value;              /* [per_image] */
    int32_t *at;
    int *layer_of; /* for the view's graph */
} context;

static void add_places(const context *x, const layer *l, const dcv_blob *b, int64_t image, const dcv_channel_sums *seen)
{
    const max_activation_options *o = x->j->options;
    const dcv_blob_shape shape = dcv_blob_shape_of(b->dims, b->block);
    const int64_t w = b->dims->n >= 3 ? b->dims->d[b->dims->n - 1] : 1;
    for (int64_t c = 0; c < l->n; c++) {
        place *list = places_of(x->state, l) + c * o->top;
        const dcv_channel_sums *s = &seen[l->channel[c]];
        if (o->rank_by == RANK_BY_MEAN) {
            insert(list, o->top, &(place){.image = image, .value = (float)(s->sum / (double)shape.cells)});
        } else if (o->per_image == 1) {
            if (s->at >= 0)
                insert(list, o->top,
                       &(place){.image = image, .value = s->max, .y = s->at / (int32_t)w, .x = s->at % (int32_t)w});
        } else {
            const int n = dcv_channel_best(b, l->channel[c], (int)o->per_image, x->value, x->at);
            for (int i = 0; i < n; i++)
                insert(
                    list, o->top,
                    &(place){
                        .image = image, .value = x->value[i], .y = x->at[i] / (int32_t)w, .x = x->at[i] % (int32_t)w});
        }
    }
}

static void add_sums(const context *x, const layer *l, int64_t cells, const dcv_channel_sums *seen)
{
    for (int64_t c = 0; c < l->n; c++) {
        const dcv_channel_sums *s = &seen[l->channel[c]];
        sums *to = &sums_of(x->state, l)[c];
        int64_t *bins = histogram_of(x->state, l) + c * DCV_HISTOGRAM_BINS;
        to->sum += s->sum;
        to->square += s->square;
        to->nonzero += s->nonzero;
        to->cells += cells;
        for (int i = 0; i < DCV_HISTOGRAM_BINS; i++)
            bins[i] += x->histogram[l->channel[c] * DCV_HISTOGRAM_BINS + i];
    }
}

static void see(void *ctx, int picture, int value, const dcv_blob *b)
{
    const context *x = ctx;
    const int i = x->layer_of[value];
    if (i < 0)
        return;
    const layer *l = &x->j->layer[i];
    const bool statistics = x->j->options->statistics;
    if (statistics)
        memset(x->histogram, 0, (size_t)l->map.c * DCV_HISTOGRAM_BINS * sizeof *x->histogram);
    dcv_channel_scan(b, x->channel, statistics ? x->histogram : NULL);
    add_places(x, l, b, x->item[picture], x->channel);
    if (statistics)
        add_sums(x, l, dcv_blob_shape_of(b->dims, b->block).cells, x->channel);
}

/* Values have other numbers in the graph of another size; layers are the same ones in the same order. */
static dcv_status map_layers(context *x, const dcv_graph *g)
{
    const job *j = x->j;
    dcv_free(x->layer_of);
    x->layer_of = dcv_alloc((size_t)g->n_value, sizeof *x->layer_of);
    if (!x->layer_of)
        return DCV_ENOMEM;
    for (int v = 0; v < g->n_value; v++)
        x->layer_of[v] = -1;
    for (int i = 0; i < j->n_layers; i++) {
        const int v = dcv_graph_find(g, j->layer[i].name);
        DCV_CHECK(v >= 0);
        x->layer_of[v] = i;
    }
    return DCV_OK;
}

static dcv_status group(void *ctx, const dcv_view *view, const int64_t *item, int n)
{
    context *x = ctx;
    (void)n;
    if (x->graph != view->graph)
        DCV_TRY(map_layers(x, view->graph));
    x->graph = view->graph;
    x->item = item;
    return DCV_OK;
}

static dcv_status done(void *ctx, const dcv_view *view, int64_t item, int picture, dcv_result *r)
{
    (void)ctx, (void)view, (void)item, (void)picture, (void)r;
    return DCV_OK; /* all has been seen on the way */
}

static dcv_status failed(void *ctx, int64_t item, dcv_result *r)
{
    (void)ctx, (void)item, (void)r;
    return DCV_OK; /* it has no place in anything that is gathered */
}

static dcv_status search(job *j, int64_t unit, int thread, void *input, void *state, dcv_result *r)
{
    int64_t widest = 1;
    for (int i = 0; i < j->n_layers; i++)
        widest = j->layer[i].map.c > widest ? j->layer[i].map.c : widest;
    context x = {.j = j, .state = state};
    x.channel = dcv_alloc((size_t)widest, sizeof *x.channel);
    x.histogram = dcv_alloc((size_t)widest * DCV_HISTOGRAM_BINS, sizeof *x.histogram);
    x.value = dcv_alloc((size_t)j->options->per_image, sizeof *x.value);
    x.at = dcv_alloc((size_t)j->options->per_image, sizeof *x.at);
    const dcv_unit_actions actions = {.ctx = &x, .see = see, .group = group, .done = done, .failed = failed};
    dcv_status st = DCV_ENOMEM;
    if (x.channel && x.histogram && x.value && x.at)
        st = dcv_network_unit(&j->net, unit, thread, input, &actions, r);
    else
        dcv_network_drop(input);
    dcv_free(x.channel);
    dcv_free(x.histogram);
    dcv_free(x.value);
    dcv_free(x.at);
    dcv_free(x.layer_of);
    return st;
}

/* --- Boxes ------------------------------------------------------------------------ */

/* Receptive fields of all layers for the pictures of one size. */
typedef struct boxes {
    dcv_span **rows, **cols; /* [n_layers] */
    int64_t h, w;            /* of the input */
} boxes;

static void boxes_clear(const job *j, boxes *b)
{
    for (int i = 0; b->rows && b->cols && i < j->n_layers; i++) {
        dcv_free(b->rows[i]);
        dcv_free(b->cols[i]);
    }
    dcv_free(b->rows);
    dcv_free(b->cols);
    memset(b, 0, sizeof *b);
}

static dcv_status boxes_make(const job *j, const dcv_graph *g, boxes *b)
{
    b->rows = dcv_alloc((size_t)j->n_layers, sizeof *b->rows);
    b->cols = dcv_alloc((size_t)j->n_layers, sizeof *b->cols);
    if (!b->rows || !b->cols)
        return DCV_ENOMEM;
    for (int i = 0; i < j->n_layers; i++) {
        const int v = dcv_graph_find(g, j->layer[i].name);
        DCV_CHECK(v >= 0);
        DCV_TRY(spans_new(g, v, 0, &b->rows[i]));
        DCV_TRY(spans_new(g, v, 1, &b->cols[i]));
    }
    return DCV_OK;
}

/* Make b the boxes of item's size, unless it is that already.  Threads do so at the same time. */
static dcv_status boxes_for(const job *j, int64_t item, boxes *b)
{
    int64_t h, w;
    dcv_dims dims = j->net.graph->value[j->net.graph->in[0]].dims;
    dcv_dataset_extent(j->net.dataset, item, &h, &w);
    if (b->rows && b->h == h && b->w == w)
        return DCV_OK;
    boxes_clear(j, b);
    b->h = h;
    b->w = w;
    if (dims.n != 4 || (dims.d[2] == h && dims.d[3] == w))
        return boxes_make(j, j->net.graph, b);
    dcv_graph *g;
    dims.d[2] = h;
    dims.d[3] = w;
    DCV_TRY(dcv_graph_new(j->net.model, &dims, 1, &g));
    const dcv_status st = boxes_make(j, g, b);
    dcv_graph_free(g);
    return st;
}

/* y0, x0, y1, x1 of what a place sees. */
static void box_at(const job *j, const boxes *b, int i, int32_t y, int32_t x, int32_t *to)
{
    const bool whole = j->options->rank_by == RANK_BY_MEAN;
    const dcv_span row = whole ? (dcv_span){0, b->h} : b->rows[i][y], col = whole ? (dcv_span){0, b->w} : b->cols[i][x];
    to[0] = (int32_t)row.lo;
    to[1] = (int32_t)col.lo;
    to[2] = (int32_t)row.hi;
    to[3] = (int32_t)col.hi;
}

/* --- What is known once all has been searched -------------------------------------- */

static int by_image(const void *a, const void *b)
{
    const winner *p = a, *q = b;
    if (p->image != q->image)
        return p->image < q->image ? -1 : 1;
    if (p->layer != q->layer)
        return p->layer < q->layer ? -1 : 1;
    return p->slot < q->slot ? -1 : p->slot > q->slot;
}

static int by_size(const void *a, const void *b)
{
    const winner *p = a, *q = b;
    if (p->h != q->h)
        return p->h < q->h ? -1 : 1;
    return p->w != q->w ? (p->w < q->w ? -1 : 1) : by_image(a, b);
}

/* Winners of all layers, or of those with patches; to has room for the top places of each.  Returns how many. */
static int64_t list_winners(const job *j, const void *state, bool patches_only, winner *to)
{
    const int64_t k = j->options->top;
    int64_t count = 0, h, w;
    for (int i = 0; i < j->n_layers; i++) {
        const layer *l = &j->layer[i];
        const place *list = places_of(state, l);
        for (int64_t n = 0; (l->patch || !patches_only) && n < l->n * k; n++)
            if (list[n].image >= 0) {
                dcv_dataset_extent(j->net.dataset, list[n].image, &h, &w);
                to[count++] = (winner){list[n].image, n, i, list[n].y, list[n].x, (int32_t)h, (int32_t)w};
            }
    }
    return count;
}

static dcv_status learn(dcv_job *base, int p, const void *state)
{
    job *j = (job *)base;
    int64_t most = 0;
    (void)p;
    for (int i = 0; i < j->n_layers; i++)
        most += j->layer[i].patch ? j->layer[i].n * j->options->top : 0;
    j->winner = dcv_alloc((size_t)most, sizeof *j->winner);
    j->first = dcv_alloc((size_t)most + 1, sizeof *j->first);
    if (!j->winner || !j->first)
        return DCV_ENOMEM;
    j->n_winners = list_winners(j, state, true, j->winner);
    qsort(j->winner, (size_t)j->n_winners, sizeof *j->winner, by_image);
    for (int64_t i = 0; i < j->n_winners; i++)
        if (i == 0 || j->winner[i].image != j->winner[i - 1].image)
            j->first[j->n_pictures++] = i;
    j->first[j->n_pictures] = j->n_winners;
    return DCV_OK;
}

static int64_t most_values(const job *j)
{
    int64_t most = 0;
    for (int i = 0; i < j->n_layers; i++) {
        const int64_t k = j->options->top, classes = j->net.dataset->classes;
        const int64_t row = k + 2 > classes ? k + 2 : classes; /* mean, std and nonzero are three halves */
        most = j->layer[i].n * row > most ? j->layer[i].n * row : most;
    }
    return most;
}

static dcv_status put_places(const job *j, const layer *l, const void *state, void *buffer, dcv_result *r)
{
    const int64_t n = l->n * j->options->top;
    const place *list = places_of(state, l);
    for (int64_t s = 0; s < n; s++)
        ((float *)buffer)[s] = list[s].value;
    DCV_TRY(dcv_result_put(r, l->id_value, 0, n, buffer));
    for (int64_t s = 0; s < n; s++)
        ((int64_t *)buffer)[s] = list[s].image;
    DCV_TRY(dcv_result_put(r, l->id_image, 0, n, buffer));
    int32_t *cell = buffer;
    for (int64_t s = 0; s < n; s++) {
        cell[2 * s] = list[s].y;
        cell[2 * s + 1] = list[s].x;
    }
    return dcv_result_put(r, l->id_position, 0, 2 * n, buffer);
}

/* Boxes of all winners, size after size of the input, so that each size's are made once; box[i]: of layer i. */
static dcv_status find_boxes(const job *j, const void *state, winner *list, int32_t *const *box)
{
    boxes b = {0};
    dcv_status st = DCV_OK;
    const int64_t n = list_winners(j, state, false, list);
    qsort(list, (size_t)n, sizeof *list, by_size);
    for (int64_t i = 0; st == DCV_OK && i < n; i++) {
        st = boxes_for(j, list[i].image, &b);
        if (st == DCV_OK)
            box_at(j, &b, list[i].layer, list[i].y, list[i].x, box[list[i].layer] + 4 * list[i].slot);
    }
    boxes_clear(j, &b);
    return st;
}

static dcv_status put_boxes(const job *j, const void *state, dcv_result *r)
{
    int64_t n = 0;
    for (int i = 0; i < j->n_layers; i++)
        n += j->layer[i].n * j->options->top;
    winner *list = dcv_alloc((size_t)n, sizeof *list);
    int32_t *all = dcv_alloc((size_t)n, 4 * sizeof *all), **box = dcv_alloc((size_t)j->n_layers, sizeof *box),
            *at = all;
    dcv_status st = list && all && box ? DCV_OK : DCV_ENOMEM;
    for (int i = 0; st == DCV_OK && i < j->n_layers; i++) {
        box[i] = at;
        at += 4 * j->layer[i].n * j->options->top;
    }
    if (st == DCV_OK) {
        memset(all, 0xff, (size_t)n * 4 * sizeof *all); /* -1 */
        st = find_boxes(j, state, list, box);
    }
    for (int i = 0; st == DCV_OK && i < j->n_layers; i++)
        st = dcv_result_put(r, j->layer[i].id_box, 0, 4 * j->layer[i].n * j->options->top, box[i]);
    dcv_free(list);
    dcv_free(all);
    dcv_free(box);
    return st;
}

static dcv_status put_statistics(const job *j, const layer *l, const void *state, void *buffer, dcv_result *r)
{
    const sums *s = sums_of(state, l);
    float *mean = buffer, *std = mean + l->n, *nonzero = std + l->n;
    for (int64_t c = 0; c < l->n; c++) {
        const double cells = (double)s[c].cells, m = s[c].sum / cells, variance = s[c].square / cells - m * m;
        mean[c] = (float)m; /* 0 / 0 where there was no item at all */
        std[c] = (float)sqrt(variance < 0 ? 0 : variance);
        nonzero[c] = (float)((double)s[c].nonzero / cells);
    }
    DCV_TRY(dcv_result_put(r, l->id_mean, 0, l->n, mean));
    DCV_TRY(dcv_result_put(r, l->id_std, 0, l->n, std));
    DCV_TRY(dcv_result_put(r, l->id_nonzero, 0, l->n, nonzero));
    DCV_TRY(dcv_result_put(r, l->id_histogram, 0, l->n * DCV_HISTOGRAM_BINS, histogram_of(state, l)));
    const int64_t classes = j->net.dataset->classes, k = j->options->top;
    int64_t *count = buffer;
    memset(count, 0, (size_t)(l->n * classes) * sizeof *count);
    for (int64_t i = 0; i < l->n * k; i++) {
        const int64_t image = places_of(state, l)[i].image;
        const int32_t label = image < 0 ? -1 : j->net.dataset->entry[image].label;
        if (label >= 0)
            count[i / k * classes + label]++;
    }
    return dcv_result_put(r, l->id_class_count, 0, l->n * classes, count);
}

static dcv_status finish(dcv_job *base, int p, const void *state, dcv_result *r)
{
    job *j = (job *)base;
    void *buffer = dcv_alloc((size_t)most_values(j), sizeof(int64_t));
    dcv_status st = buffer ? put_boxes(j, state, r) : DCV_ENOMEM;
    (void)p;
    for (int i = 0; st == DCV_OK && i < j->n_layers; i++) {
        st = put_places(j, &j->layer[i], state, buffer, r);
        if (st == DCV_OK && j->options->statistics)
            st = put_statistics(j, &j->layer[i], state, buffer, r);
    }
    dcv_free(buffer);
    return st;
}

/* --- Phase "patches" -------------------------------------------------------------- */

enum { PICTURES_PER_UNIT = 16 };

static int64_t pictures_in(const job *j, int64_t unit)
{
    const int64_t left = j->n_pictures - unit * PICTURES_PER_UNIT;
    return left < PICTURES_PER_UNIT ? left : PICTURES_PER_UNIT;
}

/* The box of im, in the corner of a patch of the layer's largest box; the rest is 0. */
static void cut(const dcv_image *im, const int32_t *box, int64_t w, uint8_t *to)
{
    const int64_t row = (box[3] - box[1]) * im->c;
    for (int64_t y = box[0]; y < box[2]; y++)
        memcpy(to + (y - box[0]) * w * im->c, im->px + (y * im->w + box[1]) * im->c, (size_t)row);
}

static dcv_status put_patches(job *j, int64_t picture, const dcv_image *im, boxes *b, dcv_result *r)
{
    for (int64_t i = j->first[picture]; i < j->first[picture + 1]; i++) {
        const winner *w = &j->winner[i];
        const layer *l = &j->layer[w->layer];
        const int64_t n = l->box_h * l->box_w * im->c;
        int32_t box[4];
        uint8_t *patch = dcv_alloc((size_t)n, 1);
        if (!patch)
            return DCV_ENOMEM;
        dcv_status st = boxes_for(j, w->image, b);
        if (st == DCV_OK) {
            box_at(j, b, w->layer, w->y, w->x, box);
            cut(im, box, l->box_w, patch);
            st = dcv_result_put(r, l->id_patch, w->slot * n, n, patch);
        }
        dcv_free(patch);
        DCV_TRY(st);
    }
    return DCV_OK;
}

/* A picture that was there in the search and is gone now: the item fails, its patches stay 0. */
static dcv_status lose(const job *j, int64_t image, dcv_result *r)
{
    const uint8_t status = 2;
    if (j->base.config->dataset.on_error == DCV_FAIL)
        return DCV_EDATA;
    DCV_TRY(dcv_result_fail_item(r, image, dcv_message()));
    return dcv_result_put(r, j->net.id_status, image, 1, &status);
}

static dcv_status patches(job *j, int64_t unit, dcv_result *r)
{
    boxes b = {0};
    dcv_status st = DCV_OK;
    const int64_t from = unit * PICTURES_PER_UNIT, to = from + pictures_in(j, unit);
    for (int64_t p = from; st == DCV_OK && p < to; p++) {
        dcv_item item = {0};
        const int64_t image = j->winner[j->first[p]].image;
        if (dcv_dataset_read(j->net.dataset, image, DCV_READ_PICTURE, &item) != DCV_OK)
            st = lose(j, image, r);
        else if (item.picture.px)
            st = put_patches(j, p, &item.picture, &b, r);
        dcv_item_clear(&item);
    }
    boxes_clear(j, &b);
    return st;
}

/* --- The kind --------------------------------------------------------------------- */

enum { SEARCH, PATCHES };

static dcv_status phase(dcv_job *base, int p, dcv_phase *out)
{
    job *j = (job *)base;
    if (p == SEARCH)
        *out = (dcv_phase){.name = "search",
                           .n_units = dcv_network_units(&j->net),
                           .n_items = base->n_items,
                           .state_bytes = j->state_bytes};
    else
        *out = (dcv_phase){.name = "patches",
                           .n_units = (j->n_pictures + PICTURES_PER_UNIT - 1) / PICTURES_PER_UNIT,
                           .n_items = j->n_pictures};
    return DCV_OK;
}

static int64_t unit_items(const dcv_job *base, int p, int64_t unit)
{
    const job *j = (const job *)base;
    return p == SEARCH ? dcv_network_unit_items(&j->net, unit) : pictures_in(j, unit);
}

static double unit_gflop(const dcv_job *base, int p, int64_t unit)
{
    const job *j = (const job *)base;
    return p == SEARCH ? j->net.item_gflop * (double)unit_items(base, p, unit) : 0;
}

static dcv_status read_unit(dcv_job *base, int p, int64_t unit, void **input)
{
    *input = NULL;
    return p == SEARCH ? dcv_network_read(&((job *)base)->net, unit, input) : DCV_OK;
}

static void drop(dcv_job *base, void *input)
{
    (void)base;
    dcv_network_drop(input);
}

static dcv_status compute(dcv_job *base, int p, int64_t unit, int thread, void *input, void *state, dcv_result *r)
{
    job *j = (job *)base;
    return p == SEARCH ? search(j, unit, thread, input, state, r) : patches(j, unit, r);
}

static dcv_status fail_unit(dcv_job *base, int p, int64_t unit, const char *message, void *state, dcv_result *r)
{
    job *j = (job *)base;
    const dcv_unit_actions actions = {.failed = failed};
    (void)state; /* what failed has no place in it */
    if (p == SEARCH)
        return dcv_network_fail_unit(&j->net, unit, message, &actions, r);
    const uint8_t status = 2;
    const int64_t from = unit * PICTURES_PER_UNIT, to = from + pictures_in(j, unit);
    for (int64_t k = from; k < to; k++) {
        const int64_t image = j->winner[j->first[k]].image;
        DCV_TRY(dcv_result_fail_item(r, image, message));
        DCV_TRY(dcv_result_put(r, j->net.id_status, image, 1, &status));
    }
    return DCV_OK;
}

static dcv_status explain(dcv_job *base, FILE *to)
{
    const job *j = (const job *)base;
    fprintf(to, "%-40s %8s %11s %9s %12s\n", "layer", "channels", "map", "sees px", "patch bytes");
    for (int i = 0; i < j->n_layers; i++) {
        const layer *l = &j->layer[i];
        const int64_t bytes = l->patch ? l->n * j->options->top * l->box_h * l->box_w * j->net.dataset->c : 0;
        fprintf(to, "%-40s %8lld %5lldx%-5lld %4lldx%-4lld %12lld%s\n", l->name, (long long)l->n, (long long)l->map.h,
                (long long)l->map.w, (long long)l->box_h, (long long)l->box_w, (long long)bytes,
                !j->options->patches || l->patch ? ""
                : j->pictures                    ? "  (over crop_limit)"
                                                 : "  (no pictures)");
    }
    return DCV_OK;
}

const dcv_job_kind dcv_job_max_activation = {
    .section = {.job = "max_activation",
                .help = "the inputs that drive each channel most, over a whole data set",
                .fields = fields,
                .size = sizeof(max_activation_options),
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
    .fail_unit = fail_unit,
    .state_clear = state_clear,
    .state_fold = state_fold,
    .finish = finish,
    .learn = learn,
    .explain = explain,
};
