/* occlusion_windows.c -- windows of a picture, and what the network says of each. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "jobs/fill.h"
#include "jobs/occlusion.h"

/* --- Geometry --------------------------------------------------------------------- */

/* Windows along an axis: one that fits, then every stride until the edge is reached (drop: while they fit). */
static int64_t count(const occlusion_job *j, int axis, int64_t n)
{
    const int64_t room = n - j->patch[axis], stride = j->stride[axis];
    return (j->options->edge == OCCLUSION_DROP ? room / stride : (room + stride - 1) / stride) + 1;
}

static dcv_span window_at(const occlusion_job *j, int axis, int64_t n, int64_t i)
{
    const int64_t patch = j->patch[axis];
    int64_t lo = i * j->stride[axis];
    if (j->options->edge == OCCLUSION_SHIFT && lo > n - patch)
        lo = n - patch;
    lo = lo < n ? lo : n; /* strides wider than windows may end beyond the edge: an empty window */
    return (dcv_span){lo, lo + patch < n ? lo + patch : n};
}

dcv_status occlusion_grid_make(const occlusion_job *j, int64_t h, int64_t w, occlusion_grid *g)
{
    static const char *const side[] = {"rows", "columns"};
    const int64_t extent[2] = {h, w};
    *g = (occlusion_grid){0};
    for (int a = 0; a < 2; a++) {
        if (j->patch[a] > extent[a])
            return dcv_fail(DCV_EDATA, "%lld %s are fewer than the window's %lld", (long long)extent[a], side[a],
                            (long long)j->patch[a]);
        const int64_t n = count(j, a, extent[a]);
        g->extent[a] = extent[a];
        g->n[a] = (int)n;
        g->at[a] = dcv_alloc((size_t)n, sizeof *g->at[a]);
        if (!g->at[a])
            return DCV_ENOMEM;
        for (int64_t i = 0; i < n; i++)
            g->at[a][i] = window_at(j, a, extent[a], i);
    }
    return DCV_OK;
}

void occlusion_grid_clear(occlusion_grid *g)
{
    dcv_free(g->at[0]);
    dcv_free(g->at[1]);
    *g = (occlusion_grid){0};
}

dcv_span occlusion_part(const occlusion_job *j, const occlusion_grid *g, int64_t part)
{
    const int64_t all = (int64_t)g->n[0] * g->n[1], each = j->part_rows ? j->part_rows * g->n[1] : j->part_windows;
    const dcv_span s = {part * each, (part + 1) * each < all ? (part + 1) * each : all};
    return s.lo < s.hi ? s : (dcv_span){all, all};
}

dcv_span occlusion_pixels(const occlusion_grid *g, dcv_span rows)
{
    if (rows.hi <= rows.lo)
        return (dcv_span){0, 0};
    return (dcv_span){rows.lo ? g->at[0][rows.lo].lo : 0, rows.hi < g->n[0] ? g->at[0][rows.hi].lo : g->extent[0]};
}

/* --- Views ------------------------------------------------------------------------ */

dcv_status occlusion_values(const occlusion_job *j, const dcv_graph *g, int *to)
{
    DCV_TRY(dcv_targets_value(&j->targets, g, &to[0]));
    for (int i = 0; i < j->n_layers; i++) {
        const char *name = j->options->activity.v[i];
        const int v = to[i + 1] = dcv_graph_find(g, name);
        char key[64];
        snprintf(key, sizeof key, "occlusion.activity[%d]", i);
        if (v < 0) {
            (void)dcv_graph_unknown(g, name);
            return dcv_config_fail(j->on.base.config, key, "%s", dcv_message());
        }
        if (!g->value[v].batched || g->value[v].type != DCV_F32 || g->value[v].producer < 0)
            return dcv_config_fail(j->on.base.config, key,
                                   "\"%s\" is not computed from the input; choose an operator's output", name);
    }
    return DCV_OK;
}

dcv_status occlusion_patches_make(const occlusion_job *j, const dcv_graph *g, const occlusion_grid *grid,
                                  dcv_patches **out)
{
    int *values = dcv_alloc((size_t)j->n_layers + 1, sizeof *values);
    dcv_status st = values ? occlusion_values(j, g, values) : DCV_ENOMEM;
    const dcv_patches_options o = {.precision = (dcv_precision)j->on.net.config->model.precision,
                                   .backend = j->on.net.backend,
                                   .window = {grid->at[0], grid->at[1]},
                                   .n_window = {grid->n[0], grid->n[1]},
                                   .seen = values,
                                   .n_seen = j->n_layers + 1,
                                   .pictures = j->on.net.dataset->n};
    *out = NULL;
    if (st == DCV_OK)
        st = dcv_patches_new(g, &o, out);
    dcv_free(values);
    return st;
}

static dcv_status fill_view(const occlusion_job *j, const dcv_view *v, occlusion_view *o)
{
    const size_t layers = (size_t)j->n_layers;
    int *values = dcv_alloc(layers + 1, sizeof *values);
    o->layer = values;
    if (!values)
        return DCV_ENOMEM;
    DCV_TRY(occlusion_values(j, v->graph, values));
    o->logits = values[0];
    memmove(values, values + 1, layers * sizeof *values);
    DCV_TRY(occlusion_grid_make(j, v->dims.d[2], v->dims.d[3], &o->grid));
    const double windows = (double)o->grid.n[0] * o->grid.n[1];
    o->work[0] = o->work[1] = windows * (double)dcv_graph_macs(v->graph);
    if (j->options->method == OCCLUSION_FULL)
        return DCV_OK;
    o->patches = j->patches;
    o->owned = v->graph != j->on.net.graph;
    if (o->owned) {
        DCV_TRY(occlusion_patches_make(j, v->graph, &o->grid, &o->patches));
        DCV_TRY(dcv_patches_attach(o->patches, v->engine));
    }
    o->work[0] = 0;
    for (int y = 0; y < o->grid.n[0]; y++)
        for (int x = 0; x < o->grid.n[1]; x++)
            o->work[0] += (double)dcv_patches_macs(o->patches, y, x);
    return dcv_patch_walk_new(o->patches, &o->walk);
}

dcv_status occlusion_open_view(void *job, dcv_view *v)
{
    occlusion_view *o = v->own = dcv_alloc(1, sizeof *o);
    if (!o)
        return DCV_ENOMEM;
    return fill_view(job, v, o);
}

void occlusion_close_view(void *job, dcv_view *v)
{
    occlusion_view *o = v->own;
    (void)job;
    dcv_patch_walk_free(o->walk);
    if (o->owned)
        dcv_patches_free(o->patches);
    occlusion_grid_clear(&o->grid);
    dcv_free(o->layer);
    dcv_free(o);
    v->own = NULL;
}

/* --- What walks show -------------------------------------------------------------- */

/* One unit under way. */
typedef struct context {
    occlusion_job *j;
    occlusion_scratch *s;
    const dcv_view *view;
    occlusion_view *v;
    int64_t part;
    int64_t window; /* the first of the call under way */
    dcv_result *r;
} context;

static int layer_of(const context *x, int value)
{
    for (int i = 0; i < x->j->n_layers; i++)
        if (x->v->layer[i] == value)
            return i;
    return -1;
}

static double sum_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

/* The clean picture's strongest channel of a layer, its map and sum; ties go to the lowest channel. */
static void keep_layer(context *x, int i, const dcv_blob *b)
{
    const dcv_map m = dcv_value_map(&x->view->graph->value[x->v->layer[i]]);
    const int64_t cells = m.h * m.w;
    dcv_blob_read(b, x->s->layer);
    int64_t best = 0;
    double most = -INFINITY;
    for (int64_t c = 0; c < m.c; c++) {
        const double sum = sum_of(x->s->layer + c * cells, cells);
        if (sum > most) {
            most = sum;
            best = c;
        }
    }
    x->v->clean->channel[i] = best;
    x->v->clean->total[i] = sum_of(x->s->layer + best * cells, cells);
    memcpy(x->v->clean->map[i], x->s->layer + best * cells, (size_t)cells * sizeof(float));
}

static void see_clean(void *ctx, int picture, int value, const dcv_blob *b)
{
    context *x = ctx;
    (void)picture;
    if (x->v->walk)
        dcv_patch_walk_keep(x->v->walk, value, b);
    if (value == x->v->logits)
        dcv_targets_see(&x->j->targets, x->view->graph, b, x->s->value);
    if (layer_of(x, value) >= 0)
        keep_layer(x, layer_of(x, value), b);
}

static int64_t first_largest(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

/* The map of the layer's channel with a box of it replaced, summed in row-major order. */
static float total_with(const context *x, int i, const dcv_blob *b, const dcv_span box[2])
{
    const dcv_map m = dcv_value_map(&x->view->graph->value[x->v->layer[i]]);
    const int block = b->dims->n >= 3 ? b->block : 1;
    const int64_t c = x->v->clean->channel[i], h = box[0].hi - box[0].lo, w = box[1].hi - box[1].lo;
    const float *lane = b->data + (c / block * h * w) * block + c % block;
    double sum = 0;
    for (int64_t y = 0; y < m.h; y++)
        for (int64_t q = 0; q < m.w; q++) {
            const bool in = y >= box[0].lo && y < box[0].hi && q >= box[1].lo && q < box[1].hi;
            sum += in ? lane[((y - box[0].lo) * w + q - box[1].lo) * block] : x->v->clean->map[i][y * m.w + q];
        }
    return (float)sum;
}

/* Window k of the call: its scores, or a layer's activity. */
static void see_box(void *ctx, int k, int value, const dcv_blob *b, const dcv_span box[2])
{
    const context *x = ctx;
    const dcv_graph *g = x->view->graph;
    const int64_t at = x->window + k - x->s->first;
    if (value == x->v->logits) {
        float *to = x->s->value;
        const int64_t n = dcv_count(b->dims);
        dcv_blob_read(b, to);
        x->s->top[at] = (int32_t)first_largest(to, n);
        dcv_targets_see(&x->j->targets, g, b, to);
        for (int t = 0; t < x->j->targets.n; t++) {
            const int64_t c = x->v->clean->unit[t].channel;
            x->s->score[at * x->j->targets.n + t] = c < 0 ? NAN : to[c];
        }
    }
    const int i = layer_of(x, value);
    if (i >= 0)
        x->s->activity[at * x->j->n_layers + i] = total_with(x, i, b, box);
}

static void see_whole(void *ctx, int picture, int value, const dcv_blob *b)
{
    const context *x = ctx;
    const dcv_map m = dcv_value_map(&x->view->graph->value[value]);
    see_box(ctx, picture, value, b, (const dcv_span[]){{0, m.h}, {0, m.w}});
}

/* --- Windows ---------------------------------------------------------------------- */

static void occlude(const context *x, const float *picture, int64_t window, float *to)
{
    const occlusion_grid *g = &x->v->grid;
    const int64_t c = dcv_input_channels(&x->view->dims), w = g->extent[1], cells = g->extent[0] * w;
    const dcv_span rows = g->at[0][window / g->n[1]], cols = g->at[1][window % g->n[1]];
    memcpy(to, picture, (size_t)(c * cells) * sizeof *to);
    for (int64_t i = 0; i < c; i++)
        for (int64_t y = rows.lo; y < rows.hi; y++)
            for (int64_t q = cols.lo; q < cols.hi; q++)
                to[i * cells + y * w + q] = x->s->fill[i];
}

/* In full, a group at a time. */
static void walk_whole(context *x, const float *picture, int64_t first, int64_t last)
{
    const float *const *input[1] = {(const float *const *)x->s->input};
    for (x->window = first; x->window < last; x->window += DCV_GROUP) {
        const int n = (int)(last - x->window < DCV_GROUP ? last - x->window : DCV_GROUP);
        for (int k = 0; k < n; k++)
            occlude(x, picture, x->window + k, x->s->input[k]);
        dcv_walk_forward(x->view->walk, n, input, see_whole, x);
    }
}

static dcv_status walk_patches(context *x, int64_t first, int64_t last)
{
    const int64_t n = last - first;
    int(*at)[2] = dcv_alloc((size_t)n, sizeof *at);
    if (!at)
        return DCV_ENOMEM;
    for (int64_t k = 0; k < n; k++) {
        at[k][0] = (int)((first + k) / x->v->grid.n[1]);
        at[k][1] = (int)((first + k) % x->v->grid.n[1]);
    }
    x->window = first;
    const dcv_status st = dcv_patch_walk_run(x->v->walk, (int)n, (const int(*)[2])at, x->s->fill, see_box, x);
    dcv_free(at);
    return st;
}

/* Windows first .. last-1, in order. */
static dcv_status walk_windows(context *x, const float *picture, int64_t first, int64_t last)
{
    const int layers = x->j->n_layers;
    x->s->first = first;
    for (int64_t k = 0; k < last - first; k++) /* what a window does not change is not shown */
        for (int i = 0; i < layers; i++)
            x->s->activity[k * layers + i] = (float)x->v->clean->total[i];
    if (x->v->walk)
        return walk_patches(x, first, last);
    walk_whole(x, picture, first, last);
    return DCV_OK;
}

/* The first row of windows that reaches into the pixels of a row. */
static int64_t first_above(const occlusion_grid *g, int64_t row)
{
    const int64_t pixel = g->at[0][row].lo;
    while (row > 0 && g->at[0][row - 1].hi > pixel)
        row--;
    return row;
}

static void find_fill(const context *x, const float *picture)
{
    const occlusion_job *j = x->j;
    for (int64_t c = 0; c < dcv_input_channels(&x->view->dims); c++)
        x->s->fill[c] =
            (float)dcv_fill_value(j->on.net.config, j->on.net.dataset, &j->options->fill, picture, &x->view->dims, c);
}

/* --- Units of work ---------------------------------------------------------------- */

static dcv_status group(void *ctx, const dcv_view *view, const int64_t *item, int n)
{
    context *x = ctx;
    (void)n;
    x->view = view;
    x->v = view->own;
    DCV_TRY(occlusion_clean_take(x->j, view, item[0], &x->s->clean));
    x->v->clean = &x->s->clean;
    if (x->v->walk)
        dcv_patch_walk_clean_at(x->v->walk, x->v->clean->maps);
    return DCV_OK;
}

static bool knows(void *ctx, const dcv_view *view, int64_t item)
{
    const context *x = ctx;
    (void)view, (void)item;
    return x->v->clean->ready;
}

/* Sum of the windows' sensitivities that cover a pixel, over their number; 0 where there is none. */
static void mean_over_windows(const context *x, int target, dcv_span pixels, int64_t first, int64_t last)
{
    const occlusion_grid *g = &x->v->grid;
    const int64_t w = g->extent[1], n = (pixels.hi - pixels.lo) * w;
    const double clean = x->v->clean->unit[target].value;
    float *count = x->s->pixel;
    memset(x->s->sum, 0, (size_t)n * sizeof *x->s->sum);
    memset(count, 0, (size_t)n * sizeof *count);
    for (int64_t k = first; k < last; k++) {
        const dcv_span rows = g->at[0][k / g->n[1]], cols = g->at[1][k % g->n[1]];
        const double s = (float)(clean - (double)x->s->score[(k - x->s->first) * x->j->targets.n + target]);
        for (int64_t y = rows.lo > pixels.lo ? rows.lo : pixels.lo; y < rows.hi && y < pixels.hi; y++)
            for (int64_t q = cols.lo; q < cols.hi; q++) {
                x->s->sum[(y - pixels.lo) * w + q] += s;
                count[(y - pixels.lo) * w + q]++;
            }
    }
    for (int64_t i = 0; i < n; i++)
        x->s->pixel[i] = count[i] > 0 ? (float)(x->s->sum[i] / (double)count[i]) : 0;
}

static dcv_status put_heatmaps(const context *x, dcv_span windows)
{
    const int64_t nx = x->v->grid.n[1];
    const dcv_span rows = {windows.lo / nx, (windows.hi + nx - 1) / nx}, pixels = occlusion_pixels(&x->v->grid, rows);
    for (int t = 0; t < x->j->targets.n; t++) {
        if (x->v->clean->unit[t].channel >= 0)
            mean_over_windows(x, t, pixels, x->s->first, windows.hi);
        else
            for (int64_t i = 0; i < (pixels.hi - pixels.lo) * x->v->grid.extent[1]; i++)
                x->s->pixel[i] = NAN;
        DCV_TRY(occlusion_put_heatmap(x->j, x->v, x->s, pixels, x->part, t, x->r));
    }
    return DCV_OK;
}

static dcv_status walked(void *ctx, const dcv_view *view, const int64_t *item, int n, const float *const *picture,
                         dcv_result *r)
{
    context *x = ctx;
    const occlusion_job *j = x->j;
    (void)n, (void)r;
    if (!x->v->clean->ready) {
        dcv_targets_find(&j->targets, view->graph, x->s->value, j->on.net.dataset->entry[item[0]].label,
                         x->v->clean->unit);
        occlusion_clean_ready(x->j, x->v->clean);
    }
    find_fill(x, picture[0]);
    const dcv_span windows = occlusion_part(j, &x->v->grid, x->part);
    const int64_t nx = x->v->grid.n[1];
    const bool above = j->options->heatmap && windows.lo < windows.hi;
    DCV_TRY(
        walk_windows(x, picture[0], above ? first_above(&x->v->grid, windows.lo / nx) * nx : windows.lo, windows.hi));
    if (j->options->heatmap)
        DCV_TRY(put_heatmaps(x, windows));
    return occlusion_put(j, x->v, x->s, x->part, x->r);
}

static dcv_status failed(void *ctx, int64_t item, dcv_result *r)
{
    const context *x = ctx;
    return occlusion_put_failed(x->j, item, x->part, r);
}

dcv_status occlusion_compute(dcv_job *base, int p, int64_t unit, int thread, void *input, void *state, dcv_result *r)
{
    occlusion_job *j = (occlusion_job *)base;
    context x = {.j = j, .s = &j->scratch[thread], .part = unit % j->on.net.parts, .r = r};
    const dcv_unit_actions actions = {
        .ctx = &x, .knows = knows, .see = see_clean, .group = group, .walked = walked, .failed = failed};
    (void)p, (void)state;
    const dcv_status st = dcv_network_unit(&j->on.net, unit, thread, input, &actions, r);
    occlusion_clean_drop(j, &x.s->clean);
    return st;
}

dcv_status occlusion_fail_unit(dcv_job *base, int p, int64_t unit, const char *message, void *state, dcv_result *r)
{
    occlusion_job *j = (occlusion_job *)base;
    context x = {.j = j, .part = unit % j->on.net.parts};
    (void)p, (void)state;
    return dcv_network_fail_unit(&j->on.net, unit, message, &(dcv_unit_actions){.ctx = &x, .failed = failed}, r);
}
