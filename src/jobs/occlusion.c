/* occlusion.c -- job `occlusion`: how a network's answer changes when a window of the picture is covered (Zeiler and
 * Fergus 2014, section 4.2, figure 7).
 */
#include "jobs/occlusion.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "deconvoy/log.h"
#include "jobs/fill.h"

extern const dcv_job_kind dcv_job_occlusion;

static const double nominal_gflops = 50; /* the speed that unit_seconds is counted at */
static const int64_t rows_a_part = 4;    /* of windows, for each that is computed twice */
static const double least_part = 4;      /* a part's work, in walks of the clean picture, which a node makes */

#define AT(member) DCV_AT(occlusion_options, member)
static const dcv_field fields[] = {
    {.key = "patch",
     .type = DCV_FIELD_INTS,
     .offset = AT(patch),
     .dflt = "[32, 32]",
     .min = 1,
     .max = 1 << 20,
     .n_min = 1,
     .n_max = 2,
     .unit = "px",
     .help = "rows and columns of the window, or one number for both"},
    {.key = "stride",
     .type = DCV_FIELD_INTS,
     .offset = AT(stride),
     .dflt = "[16, 16]",
     .min = 1,
     .max = 1 << 20,
     .n_min = 1,
     .n_max = 2,
     .unit = "px",
     .help = "from a window to the next, rows and columns, or one number for both"},
    {.key = "fill",
     .type = DCV_FIELD_REALS,
     .offset = AT(fill),
     .dflt = "0.5",
     .words = "mean",
     .min = -1e30,
     .max = 1e30,
     .help = "what covers the window: a number, one per channel, or mean; 0..1 before mean and std"},
    {.key = "edge",
     .type = DCV_FIELD_WORD,
     .offset = AT(edge),
     .dflt = "cut",
     .words = "cut|drop|shift",
     .help = "windows that reach over the edge: clipped, left out, or moved inside"},
    {.key = "targets",
     .type = DCV_FIELD_NAMES,
     .offset = AT(targets),
     .dflt = "[top1]",
     .help = "top1, top5, label, or numbers of classes"},
    {.key = "score",
     .type = DCV_FIELD_WORD,
     .offset = AT(score),
     .dflt = "probability",
     .words = "probability|logit",
     .help = "what of a class is measured"},
    {.key = "activity",
     .type = DCV_FIELD_NAMES,
     .offset = AT(activity),
     .dflt = "[]",
     .help = "layers whose strongest channel's total activity is recorded as well"},
    {.key = "method",
     .type = DCV_FIELD_WORD,
     .offset = AT(method),
     .dflt = "incremental",
     .words = "incremental|full",
     .help = "compute what a window changes alone (the same numbers), or everything"},
    {.key = "heatmap",
     .type = DCV_FIELD_BOOL,
     .offset = AT(heatmap),
     .dflt = "false",
     .help = "also a full-size map: mean over the windows that cover a pixel"},
    DCV_FIELDS_END,
};

/* --- Plan ------------------------------------------------------------------------- */

static dcv_status choose(void *ctx, const dcv_graph *g, int *seen, int *n_seen)
{
    occlusion_job *j = ctx;
    int *want = dcv_alloc((size_t)j->n_layers + 1, sizeof *want);
    dcv_patches *p = NULL;
    occlusion_grid grid = {0};
    dcv_status st = want ? occlusion_values(j, g, want) : DCV_ENOMEM;
    const dcv_dims *d = &g->value[g->in[0]].dims;
    const bool fits = d->n == 4 && j->patch[0] <= d->d[2] && j->patch[1] <= d->d[3];
    *n_seen = 0;
    if (st == DCV_OK && j->options->method == OCCLUSION_INCREMENTAL && (fits || g != j->on.net.graph)) {
        st = occlusion_grid_make(j, d->d[2], d->d[3], &grid);
        if (st == DCV_OK)
            st = occlusion_patches_make(j, g, &grid, &p);
        if (st == DCV_OK)
            *n_seen = dcv_patches_clean(p, seen);
    }
    for (int i = 0; st == DCV_OK && i <= j->n_layers; i++) {
        bool there = false;
        for (int k = 0; k < *n_seen; k++)
            there = there || seen[k] == want[i];
        if (!there)
            seen[(*n_seen)++] = want[i];
    }
    occlusion_grid_clear(&grid);
    dcv_patches_free(p);
    dcv_free(want);
    return st;
}

static int64_t of_axis(const dcv_ints *v, int axis)
{
    return v->v[v->n > 1 ? axis : 0];
}

static dcv_status read_options(occlusion_job *j)
{
    const occlusion_options *o = j->options;
    const dcv_config *c = j->on.base.config;
    for (int a = 0; a < 2; a++) {
        j->patch[a] = of_axis(&o->patch, a);
        j->stride[a] = of_axis(&o->stride, a);
    }
    j->n_layers = o->activity.n;
    if (j->n_layers > OCCLUSION_MOST_LAYERS)
        return dcv_config_fail(c, "occlusion.activity", "%d layers; at most %d", j->n_layers, OCCLUSION_MOST_LAYERS);
    for (int i = 0; i < j->n_layers; i++)
        for (int k = 0; k < i; k++)
            if (!strcmp(o->activity.v[i], o->activity.v[k])) {
                char key[64];
                snprintf(key, sizeof key, "occlusion.activity[%d]", i);
                return dcv_config_fail(c, key, "\"%s\" is there twice", o->activity.v[i]);
            }
    DCV_TRY(dcv_result_names_check(c, "occlusion.activity", (const char *const *)o->activity.v, j->n_layers));
    dcv_targets_start(&j->targets, c, "occlusion", o->score == OCCLUSION_PROBABILITY ? "probability" : "logits", NULL);
    return DCV_OK;
}

/* Pictures have 0..1; a fill beyond that is allowed, and perhaps a mistake. */
static void warn_of_fill(const occlusion_job *j)
{
    const dcv_reals *f = &j->options->fill;
    for (int i = 0; f->word < 0 && !j->on.net.dataset->is_float && i < f->n; i++)
        if (f->v[i] < 0 || f->v[i] > 1) {
            dcv_log_warning("occlusion.fill: %g is outside 0..1, the units of pictures before mean and std", f->v[i]);
            return;
        }
}

/* Is there an input of pictures, and do windows fit into it? */
static dcv_status check_input(const occlusion_job *j)
{
    const dcv_dims *d = &j->on.net.graph->value[j->on.net.graph->in[0]].dims;
    static const char *const side[] = {"rows", "columns"};
    if (d->n != 4)
        return dcv_config_fail(j->on.base.config, "model.file", "%s: the input has %d axes; windows need [N, C, H, W]",
                               j->on.net.model->file, d->n);
    for (int a = 0; a < 2; a++)
        if (j->patch[a] > d->d[2 + a])
            return dcv_config_fail(j->on.base.config, "occlusion.patch", "%lld %s; the %s picture has %lld",
                                   (long long)j->patch[a], side[a], j->on.net.dataset->fixed ? "network's" : "largest",
                                   (long long)d->d[2 + a]);
    return dcv_fill_check(j->on.base.config, "occlusion.fill", &j->options->fill, dcv_input_channels(d));
}

static dcv_status plan_windows(occlusion_job *j)
{
    const dcv_graph *g = j->on.net.graph;
    const dcv_dims *d = &g->value[g->in[0]].dims;
    DCV_TRY(occlusion_grid_make(j, d->d[2], d->d[3], &j->grid));
    const int64_t windows = (int64_t)j->grid.n[0] * j->grid.n[1];
    if (windows > OCCLUSION_MOST_WINDOWS)
        return dcv_config_fail(j->on.base.config, "occlusion.stride", "%lld windows of one picture; at most %d",
                               (long long)windows, OCCLUSION_MOST_WINDOWS);
    j->macs = j->full_macs = (double)windows * (double)dcv_graph_macs(g);
    if (j->options->method == OCCLUSION_FULL)
        return DCV_OK;
    DCV_TRY(occlusion_patches_make(j, g, &j->grid, &j->patches));
    j->macs = 0;
    for (int y = 0; y < j->grid.n[0]; y++)
        for (int x = 0; x < j->grid.n[1]; x++)
            j->macs += (double)dcv_patches_macs(j->patches, y, x);
    return dcv_patches_attach(j->patches, j->on.net.engine);
}

/* Units of about unit_seconds: several pictures, or parts of one. */
static void plan_units(occlusion_job *j)
{
    dcv_network *net = &j->on.net;
    const double clean = net->item_gflop, all = 2e-9 * j->macs,
                 unit = net->config->runtime.unit_seconds * nominal_gflops,
                 least = unit > least_part * clean ? unit : least_part * clean;
    const int64_t rows = j->grid.n[0], windows = rows * j->grid.n[1], units = j->options->heatmap ? rows : windows;
    dcv_network_cost(net, clean + all);
    net->group = 1;
    int64_t parts = net->unit_items == 1 && all > least ? (int64_t)(all / least) : 1;
    if (j->options->heatmap) { /* a part computes the rows above it that reach into its pixels, too */
        const int64_t rows_most = rows / (rows_a_part * (j->patch[0] / j->stride[0] + 1));
        parts = parts < rows_most ? parts : rows_most > 1 ? rows_most : 1;
    }
    parts = parts < units ? parts : units;
    j->part_windows = (windows + parts - 1) / parts;
    if (j->options->heatmap) {
        j->part_rows = (rows + parts - 1) / parts;
        j->part_windows = j->part_rows * j->grid.n[1];
    } else if (parts > 1) {
        j->part_windows = (j->part_windows + DCV_GROUP - 1) / DCV_GROUP * DCV_GROUP;
    }
    net->parts = (windows + j->part_windows - 1) / j->part_windows;
}

/* Windows that a part computes at most: its own, and those above that reach into its pixels. */
static int64_t most_windows(const occlusion_job *j)
{
    const int64_t all = (int64_t)j->grid.n[0] * j->grid.n[1];
    const int64_t above = j->options->heatmap ? (j->patch[0] / j->stride[0] + 2) * j->grid.n[1] : 0;
    return j->part_windows + above < all ? j->part_windows + above : all;
}

static dcv_status scratch_new(const occlusion_job *j, occlusion_scratch *s, int64_t *bytes)
{
    const dcv_graph *g = j->on.net.graph;
    const dcv_dims *in = &g->value[g->in[0]].dims;
    const size_t windows = (size_t)most_windows(j), pixels = (size_t)(in->d[2] * in->d[3]);
    const size_t targets = (size_t)j->targets.n, layers = (size_t)j->n_layers;
    size_t layer = 1;
    bool ok = true;
    for (int i = 0; i < j->n_layers; i++) {
        const int64_t n = dcv_count(&g->value[dcv_graph_find(g, j->options->activity.v[i])].dims);
        layer = (size_t)n > layer ? (size_t)n : layer;
    }
    const size_t values = (size_t)dcv_count(&g->value[g->logits].dims),
                 inputs = j->options->method == OCCLUSION_FULL ? (size_t)dcv_count(in) : 1,
                 maps = j->options->heatmap ? pixels : 1;
    for (int k = 0; k < DCV_GROUP; k++) {
        s->input[k] = dcv_alloc(inputs, sizeof(float));
        ok = ok && s->input[k];
    }
    s->value = dcv_alloc(values, sizeof *s->value);
    s->layer = dcv_alloc(layer, sizeof *s->layer);
    s->fill = dcv_alloc((size_t)dcv_input_channels(in), sizeof *s->fill);
    s->score = dcv_alloc(windows * targets, sizeof *s->score);
    s->top = dcv_alloc(windows, sizeof *s->top);
    s->activity = dcv_alloc(windows * layers, sizeof *s->activity);
    s->sum = dcv_alloc(maps, sizeof *s->sum);
    s->pixel = dcv_alloc(maps, sizeof *s->pixel);
    s->clean.map = dcv_alloc(layers, sizeof *s->clean.map);
    *bytes =
        (int64_t)((DCV_GROUP * inputs + values) * 4 + layer * 4 + windows * (targets + layers + 1) * 4 + maps * 12);
    return ok && s->value && s->layer && s->fill && s->score && s->top && s->activity && s->sum && s->pixel &&
                   s->clean.map
               ? DCV_OK
               : DCV_ENOMEM;
}

static dcv_status check_memory(occlusion_job *j, int64_t scratch)
{
    const int64_t more = j->patches ? (int64_t)dcv_patch_walk_bytes(j->patches) : 0;
    return dcv_network_job_fits(&j->on, (double)(more + scratch), "the windows of one picture", ", or method: full");
}

static dcv_status open_job(const dcv_config *c, dcv_share *share, int threads, dcv_job **out)
{
    occlusion_job *j = dcv_alloc(1, sizeof *j);
    *out = j ? &j->on.base : NULL;
    if (!j)
        return DCV_ENOMEM;
    j->options = c->job;
    j->on.base.config = c;
    const dcv_network_options o = {.choose = choose,
                                   .ctx = j,
                                   .windows = true,
                                   .many_sizes = j->options->method == OCCLUSION_INCREMENTAL,
                                   .open_view = occlusion_open_view,
                                   .close_view = occlusion_close_view};
    int64_t bytes = 0;
    DCV_TRY(read_options(j));
    DCV_TRY(dcv_network_job_open(&j->on, &dcv_job_occlusion, c, &o, share, threads));
    DCV_TRY(check_input(j));
    DCV_TRY(dcv_targets_read(&j->targets, &j->options->targets, j->on.net.graph));
    dcv_targets_warn(&j->targets, j->on.net.dataset);
    warn_of_fill(j);
    DCV_TRY(plan_windows(j));
    dcv_shown_plan(&j->shown, j->on.net.dataset, j->on.net.graph);
    plan_units(j);
    dcv_network_describe(&j->on.net, &j->on.base); /* with its units as they are now */
    DCV_TRY(occlusion_cleans_open(j));
    j->scratch = dcv_alloc((size_t)threads, sizeof *j->scratch);
    j->id_activity = dcv_alloc((size_t)j->n_layers, sizeof *j->id_activity);
    j->id_activity_clean = dcv_alloc((size_t)j->n_layers, sizeof *j->id_activity_clean);
    j->id_activity_channel = dcv_alloc((size_t)j->n_layers, sizeof *j->id_activity_channel);
    if (!j->scratch || !j->id_activity || !j->id_activity_clean || !j->id_activity_channel)
        return DCV_ENOMEM;
    for (int t = 0; t < threads; t++)
        DCV_TRY(scratch_new(j, &j->scratch[t], &bytes));
    return check_memory(j, bytes);
}

static void close_job(dcv_job *base)
{
    occlusion_job *j = (occlusion_job *)base;
    for (int t = 0; j->scratch && t < j->on.net.threads; t++) {
        occlusion_scratch *s = &j->scratch[t];
        for (int k = 0; k < DCV_GROUP; k++)
            dcv_free(s->input[k]);
        dcv_free(s->value);
        dcv_free(s->layer);
        dcv_free(s->fill);
        dcv_free(s->score);
        dcv_free(s->top);
        dcv_free(s->activity);
        dcv_free(s->sum);
        dcv_free(s->pixel);
        dcv_free(s->clean.map);
    }
    dcv_free(j->scratch);
    dcv_free(j->id_activity);
    dcv_free(j->id_activity_clean);
    dcv_free(j->id_activity_channel);
    dcv_cache_free(j->on.base.cache);
    dcv_targets_clear(&j->targets);
    dcv_network_close(&j->on.net); /* its views' walks before the patches that they are of */
    dcv_patches_free(j->patches);
    occlusion_grid_clear(&j->grid);
    dcv_free(j);
}

/* --- Result file ------------------------------------------------------------------ */

static dcv_status declare_corners(occlusion_job *j, dcv_store *s, int axis, const char *path, int *id)
{
    const int n = j->grid.n[axis];
    int32_t *at = dcv_alloc((size_t)n, sizeof *at);
    if (!at)
        return DCV_ENOMEM;
    for (int i = 0; i < n; i++)
        at[i] = (int32_t)(j->options->edge == OCCLUSION_SHIFT ? j->grid.at[axis][i].lo : i * j->stride[axis]);
    dcv_status st = dcv_store_dataset(s, path, DCV_I32, 0, &(dcv_dims){1, {n}}, id);
    if (st == DCV_OK)
        st = dcv_store_values(s, *id, at, (size_t)n * sizeof *at);
    dcv_free(at);
    return st;
}

/* [N, (T,) ny, nx] */
static dcv_status declare_windows(const occlusion_job *j, dcv_store *s, const char *path, dcv_dtype type, bool targets,
                                  int *id)
{
    const int64_t ny = j->grid.n[0], nx = j->grid.n[1], n = j->on.base.n_items;
    const dcv_dims d = targets ? (dcv_dims){4, {n, j->targets.n, ny, nx}} : (dcv_dims){3, {n, ny, nx}};
    DCV_TRY(dcv_store_dataset(s, path, type, 0, &d, id));
    DCV_TRY(dcv_store_axis(s, *id, 0, -1, "input"));
    if (targets)
        DCV_TRY(dcv_store_axis(s, *id, 1, -1, "target"));
    DCV_TRY(dcv_store_axis(s, *id, d.n - 2, j->id_y, "y"));
    return dcv_store_axis(s, *id, d.n - 1, j->id_x, "x");
}

static dcv_status declare_layer(occlusion_job *j, dcv_store *s, int i)
{
    static const char *const group[] = {"activity", "activity_clean", "activity_channel"};
    int *const id[] = {&j->id_activity[i], &j->id_activity_clean[i], &j->id_activity_channel[i]};
    const char *layer = j->options->activity.v[i];
    char *name = dcv_result_name(layer);
    dcv_status st = name ? DCV_OK : DCV_ENOMEM;
    for (int k = 0; k < 3 && st == DCV_OK; k++) {
        char *path = dcv_format("/occlusion/%s/%s", group[k], name);
        st = path ? DCV_OK : DCV_ENOMEM;
        if (st == DCV_OK && k == 0)
            st = declare_windows(j, s, path, DCV_F32, false, id[k]);
        else if (st == DCV_OK)
            st = dcv_store_dataset(s, path, k == 1 ? DCV_F32 : DCV_I32, 0, &(dcv_dims){1, {j->on.base.n_items}}, id[k]);
        if (st == DCV_OK)
            st = dcv_store_text(s, path, "layer", layer);
        dcv_free(path);
    }
    dcv_free(name);
    return st;
}

static dcv_status declare(dcv_job *base, dcv_store *s)
{
    occlusion_job *j = (occlusion_job *)base;
    const int64_t n = base->n_items, t = j->targets.n;
    DCV_TRY(dcv_network_declare(&j->on.net, s));
    DCV_TRY(declare_corners(j, s, 0, "/occlusion/y", &j->id_y));
    DCV_TRY(declare_corners(j, s, 1, "/occlusion/x", &j->id_x));
    DCV_TRY(dcv_store_dataset(s, "/occlusion/target", DCV_I32, 0, &(dcv_dims){2, {n, t}}, &j->id_target));
    DCV_TRY(dcv_store_dataset(s, "/occlusion/clean", DCV_F32, 0, &(dcv_dims){2, {n, t}}, &j->id_clean));
    DCV_TRY(declare_windows(j, s, "/occlusion/score", DCV_F32, true, &j->id_score));
    DCV_TRY(declare_windows(j, s, "/occlusion/sensitivity", DCV_F32, true, &j->id_sensitivity));
    DCV_TRY(declare_windows(j, s, "/occlusion/top_class", DCV_I32, false, &j->id_top));
    for (int i = 0; i < j->n_layers; i++)
        DCV_TRY(declare_layer(j, s, i));
    if (j->options->heatmap) {
        const dcv_dims d = {4, {n, t, j->grid.extent[0], j->grid.extent[1]}};
        DCV_TRY(dcv_store_dataset(s, "/occlusion/heatmap", DCV_F32, 0, &d, &j->id_heatmap));
    }
    DCV_TRY(dcv_shown_declare(&j->shown, s));
    DCV_TRY(dcv_store_dataset(s, "/occlusion/work", DCV_F64, 0, &(dcv_dims){2, {n, 2}}, &j->id_work));
    return dcv_store_nxdata(s, "/occlusion", "sensitivity", (const char *const[]){".", ".", "y", "x"}, 4);
}

static dcv_status explain(dcv_job *base, FILE *to)
{
    const occlusion_job *j = (const occlusion_job *)base;
    const double windows = (double)j->grid.n[0] * j->grid.n[1], gain = j->macs > 0 ? j->full_macs / j->macs : 1;
    fprintf(to, "windows: %d x %d of %lld x %lld px a picture, in %lld part%s\n", j->grid.n[0], j->grid.n[1],
            (long long)j->patch[0], (long long)j->patch[1], (long long)j->on.net.parts,
            j->on.net.parts == 1 ? "" : "s");
    fprintf(to, "multiply-adds a picture: %.4g, of %.4g in full (%.2f times fewer); a window %.4g\n", j->macs,
            j->full_macs, gain, j->macs / windows);
    fprintf(to, "time a picture at a nominal %g GFLOP/s: %.3g s\n", nominal_gflops,
            j->on.net.item_gflop / nominal_gflops);
    if (j->patches)
        fprintf(to, "memory: clean maps of a picture %.1f MiB, %s; walks and windows of a thread %.1f MiB\n",
                (double)j->clean_bytes / 1048576,
                j->on.net.parts > 1 ? "which the threads and ranks of a node share" : "of each picture under way",
                (double)(dcv_patch_walk_bytes(j->patches) + dcv_walk_bytes(j->on.net.engine)) / 1048576);
    const int node = j->patches ? dcv_patches_falls_back(j->patches) : -1;
    if (node >= 0)
        fprintf(to, "from node \"%s\" (%s) on, a window can change everything: computed in full behind it\n",
                j->on.net.graph->node[node].name, j->on.net.graph->node[node].op->name);
    return DCV_OK;
}

const dcv_job_kind dcv_job_occlusion = {
    .section = {.job = "occlusion",
                .help = "how much each part of an input matters: the answer when a window is covered",
                .fields = fields,
                .size = sizeof(occlusion_options),
                .needs_model = true,
                .needs_dataset = true},
    .open = open_job,
    .close = close_job,
    .declare = declare,
    DCV_NETWORK_JOB,
    .compute = occlusion_compute,
    .fail_unit = occlusion_fail_unit,
    .explain = explain,
};
