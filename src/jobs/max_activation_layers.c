/* max_activation_layers.c -- layers and channels of the job `max_activation`: which, how far they see, what is kept. */
#include <string.h>
#include "engine/back_box.h"
#include "jobs/max_activation.h"

/* Is value v a layer that this job wants, in any graph of the model? */
static int wanted(const top_job *j, const dcv_graph *g, int *to)
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

dcv_status top_choose(void *ctx, const dcv_graph *g, int *seen, int *n_seen)
{
    *n_seen = wanted(ctx, g, seen);
    return DCV_OK;
}

dcv_status top_check_names(const top_job *j)
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
dcv_status top_spans_new(const dcv_graph *g, int value, int axis, dcv_span **out)
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

static dcv_status measure_box(const top_job *j, top_layer *l)
{
    dcv_span *rows = NULL, *cols = NULL;
    dcv_status st = top_spans_new(j->net.graph, l->value, 0, &rows);
    if (st == DCV_OK)
        st = top_spans_new(j->net.graph, l->value, 1, &cols);
    if (st == DCV_OK) {
        const bool whole = j->options->rank_by == TOP_BY_MEAN;
        l->box_h = whole ? j->input.h : longest(rows, l->map.h);
        l->box_w = whole ? j->input.w : longest(cols, l->map.w);
    }
    dcv_free(rows);
    dcv_free(cols);
    return st;
}

static dcv_status choose_channels(const top_job *j, top_layer *l)
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
        char key[64];
        snprintf(key, sizeof key, "max_activation.channels[%lld]", (long long)i);
        l->channel[i] = all || first ? i : o->v[i];
        if (l->channel[i] >= l->map.c)
            return dcv_config_fail(j->base.config, key, "channel %lld; layer \"%s\" has channels 0 to %lld",
                                   (long long)l->channel[i], l->name, (long long)l->map.c - 1);
        for (int64_t k = 0; !all && !first && k < i; k++)
            if (l->channel[k] == l->channel[i])
                return dcv_config_fail(j->base.config, key, "channel %lld is there twice", (long long)l->channel[i]);
    }
    return DCV_OK;
}

static dcv_status make_layer(top_job *j, top_layer *l, int value)
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
    l->fits = (l->box_h <= limit && l->box_w <= limit) || j->options->layers.word < 0;
    l->patch = l->fits && j->options->patches && j->pictures;
    l->reconstruction = l->fits && j->rule;
    if (l->reconstruction)
        l->back_gflop = 2e-9 * (double)dcv_back_macs(net->engine, value, &l->boxed);
    l->at_sums = j->state_bytes;
    l->at_histogram = l->at_sums + (size_t)l->n * sizeof(top_sums);
    l->at_places = l->at_histogram + (size_t)l->n * DCV_HISTOGRAM_BINS * sizeof(int64_t);
    j->state_bytes = l->at_places + (size_t)(l->n * j->options->top) * sizeof(top_place);
    return DCV_OK;
}

static dcv_status check_result_names(const top_job *j)
{
    const char **name = dcv_alloc((size_t)j->n_layers, sizeof *name);
    for (int i = 0; name && i < j->n_layers; i++)
        name[i] = j->layer[i].name;
    const dcv_status st =
        name ? dcv_result_names_check(j->base.config, "max_activation.layers", name, j->n_layers) : DCV_ENOMEM;
    dcv_free(name);
    return st;
}

dcv_status top_make_layers(top_job *j)
{
    const dcv_graph *g = j->net.graph;
    const dcv_dims *input = &g->value[g->in[0]].dims;
    int *values = dcv_alloc((size_t)g->n_value, sizeof *values);
    dcv_status st = values ? DCV_OK : DCV_ENOMEM;
    if (st != DCV_OK)
        return st;
    j->input = dcv_value_map(&g->value[g->in[0]]);
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
    return st == DCV_OK ? check_result_names(j) : st;
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
static dcv_status declare_channels(dcv_store *s, const char *group, const top_layer *l, int *id)
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

static dcv_status declare_statistics(const top_job *j, dcv_store *s, const char *group, top_layer *l, int scale)
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

static dcv_status declare_layer(const top_job *j, dcv_store *s, const char *group, top_layer *l)
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
    if (l->reconstruction)
        DCV_TRY(declare_one(s, group, "reconstruction", DCV_F32,
                            (dcv_dims){5, {l->n, k, j->input.c, l->box_h, l->box_w}}, scale, &l->id_reconstruction));
    if (j->options->statistics)
        DCV_TRY(declare_statistics(j, s, group, l, scale));
    DCV_TRY(dcv_store_text(s, group, "layer", l->name));
    return dcv_store_nxdata(s, group, "value", (const char *const[]){"channel", "."}, 2);
}

dcv_status top_declare(dcv_job *base, dcv_store *s)
{
    top_job *j = (top_job *)base;
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

void top_free_layers(top_job *j)
{
    for (int i = 0; i < j->n_layers; i++) {
        dcv_free(j->layer[i].name);
        dcv_free(j->layer[i].channel);
    }
    dcv_free(j->layer);
}

/* --- Views of other sizes ----------------------------------------------------------- */

/* Values have other numbers in the graph of another size; layers are the same ones in the same order. */
dcv_status top_layer_of(const top_job *j, const dcv_graph *g, int **out)
{
    int *to = *out = dcv_alloc((size_t)g->n_value, sizeof *to);
    if (!to)
        return DCV_ENOMEM;
    for (int v = 0; v < g->n_value; v++)
        to[v] = -1;
    for (int i = 0; i < j->n_layers; i++) {
        const int v = dcv_graph_find(g, j->layer[i].name);
        DCV_CHECK(v >= 0);
        to[v] = i;
    }
    return DCV_OK;
}

/* --- check -------------------------------------------------------------------------- */

typedef char bytes_text[48];

static const char *bytes_of(bool wanted, bool there, int64_t n, bytes_text t)
{
    snprintf(t, sizeof(bytes_text), !wanted ? "-" : there ? "%lld" : "(%lld)", (long long)n);
    return t;
}

dcv_status top_explain(dcv_job *base, FILE *to)
{
    const top_job *j = (const top_job *)base;
    const int64_t k = j->options->top;
    int64_t patches = 0, maps = 0, left_out = 0;
    double gflop = 0;
    bytes_text t;
    fprintf(to, "%-40s %8s %11s %9s %14s %14s %11s\n", "layer", "channels", "map", "sees px", "patch bytes",
            "reconstruction", "GFLOP back");
    for (int i = 0; i < j->n_layers; i++) {
        const top_layer *l = &j->layer[i];
        const int64_t places = l->n * k, px = l->box_h * l->box_w;
        const int64_t patch = places * px * j->net.dataset->c, map = places * px * j->input.c * (int64_t)sizeof(float);
        const bool cuts = j->options->patches && j->pictures;
        fprintf(to, "%-40s %8lld %5lldx%-5lld %4lldx%-4lld", l->name, (long long)l->n, (long long)l->map.h,
                (long long)l->map.w, (long long)l->box_h, (long long)l->box_w);
        fprintf(to, " %14s", bytes_of(cuts, l->patch, patch, t));
        fprintf(to, " %14s", bytes_of(j->rule, l->reconstruction, map, t));
        fprintf(to, " %11.4g%s\n", l->reconstruction ? l->back_gflop * (double)places : 0,
                l->fits || !(cuts || j->rule) ? "" : "  (over crop_limit)");
        patches += l->patch ? patch : 0;
        maps += l->reconstruction ? map : 0;
        left_out += (cuts && !l->patch ? patch : 0) + (j->rule && !l->reconstruction ? map : 0);
        gflop += l->reconstruction ? l->back_gflop * (double)places : 0;
    }
    fprintf(to, "patches: %lld bytes, reconstructions: %lld bytes", (long long)patches, (long long)maps);
    if (left_out > 0)
        fprintf(to, "; %lld bytes (in brackets) are left out by crop_limit, unless `layers` names their layers",
                (long long)left_out);
    if (j->rule) {
        const int64_t most = top_most_winners(j, TOP_WITH_RECONSTRUCTION), n = j->net.dataset->n;
        fprintf(to,
                "\nphase reconstruct: at most %lld places, %.4g GFLOP of walks back, and %.4g GFLOP forward for each "
                "picture that has one, at most %lld",
                (long long)most, gflop, 2e-9 * (double)dcv_graph_macs(j->net.graph), (long long)(most < n ? most : n));
    }
    fprintf(to, "\n");
    return DCV_OK;
}
