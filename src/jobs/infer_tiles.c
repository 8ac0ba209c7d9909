/* infer_tiles.c -- large pictures through fully convolutional networks, in tiles.
 *
 * A row of tiles gives a band of each output, which is put as a whole; units of one picture are rows of tiles.  A
 * picture that fits into one tile is walked whole.  Which tiles there are is a function of network, tile size and
 * picture alone (engine/mosaic.h).
 */
#include <math.h>
#include <string.h>

#include "jobs/infer.h"
#include "jobs/regions.h"

enum { MOST_SIZES = 64 }; /* sizes of pictures that are tried before the run begins */
static const double nominal_gflops = 50;

/* --- Plan --------------------------------------------------------------------------- */

/* Why tiles are out of the question before any geometry is looked at; NULL: they are not. */
static const char *obstacle(const infer *job, const dcv_network *net)
{
    const dcv_model_value *in = &net->model->in[0];
    if (net->n_in != 1)
        return "it has several inputs";
    if (!net->dataset || job->options->latent_given)
        return "its inputs are drawn";
    if (in->rank != 4 || in->dim[2] >= 0 || in->dim[3] >= 0)
        return "it fixes height and width";
    return NULL;
}

static dcv_status choose_wanted(infer *job, const dcv_network *net)
{
    bool first = false;
    job->wanted = dcv_alloc((size_t)net->graph->n_out + 1, sizeof *job->wanted);
    if (!job->wanted)
        return DCV_ENOMEM;
    for (int i = 0; i < job->n_out; i++) {
        job->wanted[job->n_wanted++] = job->out[i].index;
        first = first || job->out[i].index == 0;
    }
    if (!first && (infer_has_class_map(job) || net->graph->classes > 0))
        job->wanted[job->n_wanted++] = 0;
    return DCV_OK;
}

static bool fits(int64_t h, int64_t w, int64_t tile)
{
    return h <= tile && w <= tile;
}

/* Do tiles do for the other sizes in the data set, too?  What is left of a step decides, so that few are tried. */
static dcv_status try_sizes(const infer *job, const dcv_network *net, int64_t tile)
{
    const int64_t step = dcv_mosaic_step(net->graph, job->wanted, job->n_wanted);
    int64_t seen[MOST_SIZES][4];
    int n = 0;
    for (int64_t i = 0; !net->dataset->fixed && step > 0 && i < net->dataset->n && n < MOST_SIZES; i++) {
        int64_t h, w;
        dcv_dims d = net->dims[0];
        dcv_graph *g = NULL;
        dcv_mosaic *m = NULL;
        bool known = false;
        dcv_dataset_extent(net->dataset, i, &h, &w);
        if (fits(h, w, tile))
            continue;
        const int64_t kind[4] = {h > tile, h > tile ? h % step : h, w > tile, w > tile ? w % step : w};
        for (int k = 0; k < n && !known; k++)
            known = !memcmp(seen[k], kind, sizeof kind);
        if (known)
            continue;
        memcpy(seen[n++], kind, sizeof kind);
        d.d[2] = h;
        d.d[3] = w;
        dcv_status st = dcv_graph_new(net->model, &d, 1, &g);
        if (st == DCV_EDATA) /* the picture's own fault */
            continue;
        if (st == DCV_OK)
            st = dcv_mosaic_new(g, job->wanted, job->n_wanted, tile, &m);
        dcv_mosaic_free(m);
        dcv_graph_free(g);
        if (st != DCV_OK)
            return dcv_fail_in(st, "%s, %lld x %lld px", dcv_dataset_item_name(net->dataset, i), (long long)h,
                               (long long)w);
    }
    return DCV_OK;
}

/* Large pictures stay whole: what was asked for cannot be done, or why nobody need ask. */
static dcv_status stay_whole(infer *job, const char *why)
{
    if (job->options->tile)
        return dcv_config_fail(job->on.base.config, "infer.tile", "%s; without tile pictures are walked whole", why);
    job->why_whole = dcv_strdup(why);
    return job->why_whole ? DCV_OK : DCV_ENOMEM;
}

dcv_status infer_tiles_choose(void *ctx, const dcv_network *net, dcv_dims *dims)
{
    infer *job = ctx;
    DCV_TRY(infer_choose_outputs(job));
    const char *why = obstacle(job, net);
    if (why && job->options->tile)
        return dcv_config_fail(net->config, "infer.tile", "%s cannot be walked in tiles: %s", net->model->file, why);
    if (why)
        return DCV_OK;
    DCV_TRY(choose_wanted(job, net));
    if (!job->options->tile && fits(dims->d[2], dims->d[3], dcv_mosaic_least))
        return DCV_OK;
    job->tile = job->options->tile ? job->options->tile : dcv_mosaic_size(net->graph, job->wanted, job->n_wanted);
    dcv_status st = DCV_EUNSUPPORTED;
    if (job->tile && fits(dims->d[2], dims->d[3], job->tile))
        return DCV_OK;
    if (job->tile)
        st = dcv_mosaic_new(net->graph, job->wanted, job->n_wanted, job->tile, &job->largest);
    if (st == DCV_OK)
        st = try_sizes(job, net, job->tile);
    if (st == DCV_OK) {
        *dims = job->largest->dims;
        return DCV_OK;
    }
    dcv_mosaic_free(job->largest);
    job->largest = NULL;
    job->tile = 0;
    if (st != DCV_EUNSUPPORTED && st != DCV_ECONFIG)
        return st;
    char text[600];
    snprintf(text, sizeof text, "%s", dcv_message());
    return stay_whole(job, text);
}

/* Most cells along an axis that a tile, or a picture that fits into one, gives of an output.  Extents grow by up / down
 * from one multiple of the step to the next, and never fall in between: so the largest picture says what comes on top,
 * and a tile that is no multiple gives no more than the next one. */
static int64_t most_along(const infer *job, int o, int axis)
{
    const dcv_graph *g = job->on.net.graph;
    const int64_t all = g->value[g->out[job->wanted[o]]].dims.d[2 + axis], in = g->value[g->in[0]].dims.d[2 + axis],
                  up = job->largest->up[axis * job->n_wanted + o], down = job->largest->down[axis * job->n_wanted + o],
                  step = job->largest->step[axis], border = all - in / step * step / down * up,
                  most = (job->tile + step - 1) / step * step / down * up + border;
    return most < all ? most : all;
}

/* Of a row of tiles, over the whole width. */
static int64_t band_cells(const infer *job, int o)
{
    const dcv_dims *d = &job->on.net.graph->value[job->on.net.graph->out[job->wanted[o]]].dims;
    return d->d[1] * most_along(job, o, 0) * d->d[3];
}

int64_t infer_tiles_output(const infer *job)
{
    int64_t most = 0;
    for (int o = 0; o < job->n_wanted; o++) {
        const int64_t c = job->on.net.graph->value[job->on.net.graph->out[job->wanted[o]]].dims.d[1],
                      n = c * most_along(job, o, 0) * most_along(job, o, 1);
        most = n > most ? n : most;
    }
    return most;
}

static int64_t piece_cells(const infer *job)
{
    const dcv_dims *d = &job->on.net.dims[0];
    return d->d[1] * (d->d[2] < job->tile ? d->d[2] : job->tile) * (d->d[3] < job->tile ? d->d[3] : job->tile);
}

static dcv_status check_memory(infer *job)
{
    int64_t more = piece_cells(job) + infer_tiles_output(job);
    for (int o = 0; o < job->n_wanted; o++)
        more += job->band_cells[o];
    char what[160];
    snprintf(what, sizeof what, "a tile of %lld x %lld px, the picture and a row of what tiles give",
             (long long)job->largest->dims.d[2], (long long)job->largest->dims.d[3]);
    return dcv_network_job_fits(&job->on, (double)more * sizeof(float), what, ", or a smaller infer.tile");
}

dcv_status infer_tiles_plan(infer *job)
{
    dcv_network *net = &job->on.net;
    if (!job->largest)
        return DCV_OK;
    job->band_cells = dcv_alloc((size_t)job->n_wanted, sizeof *job->band_cells);
    if (!job->band_cells)
        return DCV_ENOMEM;
    for (int o = 0; o < job->n_wanted; o++)
        job->band_cells[o] = band_cells(job, o);
    const double tiles = (double)job->largest->n[0] * job->largest->n[1],
                 gflop = 2e-9 * (double)dcv_graph_macs(net->walked) * tiles,
                 unit = net->config->runtime.unit_seconds * nominal_gflops;
    dcv_network_cost(net, gflop);
    const double parts = net->unit_items == 1 ? ceil(gflop / unit) : 1;
    net->parts = parts < 1 ? 1 : parts < job->largest->n[0] ? (int64_t)parts : job->largest->n[0];
    dcv_network_describe(net, &job->on.base);
    return check_memory(job);
}

dcv_status infer_tiles_scratch(const infer *job, infer_scratch *s)
{
    if (!job->largest)
        return DCV_OK;
    s->piece = dcv_alloc((size_t)piece_cells(job), sizeof *s->piece);
    s->band = dcv_alloc((size_t)job->n_wanted + 1, sizeof *s->band);
    for (int o = 0; s->band && o < job->n_wanted; o++) {
        s->band[o] = dcv_alloc((size_t)job->band_cells[o], sizeof **s->band);
        if (!s->band[o])
            return DCV_ENOMEM;
    }
    return s->piece && s->band ? DCV_OK : DCV_ENOMEM;
}

void infer_tiles_scratch_clear(infer_scratch *s)
{
    for (int o = 0; s->band && s->band[o]; o++)
        dcv_free(s->band[o]);
    dcv_free(s->band);
    dcv_free(s->piece);
    dcv_mosaic_free(s->mosaic);
    dcv_graph_free(s->whole);
}

void infer_tiles_clear(infer *job)
{
    dcv_free(job->wanted);
    dcv_free(job->band_cells);
    dcv_free(job->why_whole);
    dcv_mosaic_free(job->largest);
}

void infer_tiles_explain(const infer *job, FILE *to)
{
    if (job->largest)
        fprintf(to, "tiles: up to %d x %d of %lld x %lld px a picture, in %lld part%s\n", job->largest->n[0],
                job->largest->n[1], (long long)job->largest->dims.d[2], (long long)job->largest->dims.d[3],
                (long long)job->on.net.parts, job->on.net.parts == 1 ? "" : "s");
    if (job->why_whole)
        fprintf(to, "no tiles: %s\n", job->why_whole);
}

/* --- One picture ----------------------------------------------------------------------- */

static dcv_status find_mosaic(const infer *job, infer_scratch *s, const dcv_dims *dims)
{
    if (s->mosaic && dcv_dims_equal(&s->whole->value[s->whole->in[0]].dims, dims))
        return DCV_OK;
    dcv_mosaic_free(s->mosaic);
    dcv_graph_free(s->whole);
    s->mosaic = NULL;
    s->whole = NULL;
    DCV_TRY(dcv_graph_new(job->on.net.model, dims, 1, &s->whole));
    const dcv_status st = dcv_mosaic_new(s->whole, job->wanted, job->n_wanted, job->tile, &s->mosaic);
    return st == DCV_ECONFIG || st == DCV_EUNSUPPORTED ? dcv_fail(DCV_EDATA, "%s", dcv_network_message(&job->on.net))
                                                       : st;
}

static void cut_out(const dcv_item *it, int64_t y, int64_t x, const dcv_dims *piece, float *to)
{
    const int64_t h = it->dims.d[2], w = it->dims.d[3];
    for (int64_t c = 0; c < piece->d[1]; c++)
        for (int64_t i = 0; i < piece->d[2]; i++, to += piece->d[3])
            memcpy(to, it->input + (c * h + y + i) * w + x, (size_t)piece->d[3] * sizeof *to);
}

typedef struct run {
    infer *job;
    infer_scratch *s;
    int thread;
    const dcv_item *it;
    int64_t item;
    dcv_result *r;
} run;

static const dcv_dims *large_dims(const run *x, int o)
{
    const dcv_graph *g = x->job->on.net.graph;
    return &g->value[g->out[x->job->wanted[o]]].dims;
}

static const dcv_dims *own_dims(const run *x, int o)
{
    return &x->s->whole->value[x->s->whole->out[x->job->wanted[o]]].dims;
}

/* What a tile gives of output o, into the band of its row. */
static void place(const run *x, const dcv_view *view, int o, int row, int column)
{
    const dcv_mosaic *m = x->s->mosaic;
    const dcv_tile_row *rows = &m->tile[0][row], *columns = &m->tile[1][column];
    const dcv_dims *d = &view->graph->value[view->graph->out[x->job->wanted[o]]].dims;
    const dcv_span y = rows->own[o], z = columns->own[o];
    const int64_t width = large_dims(x, o)->d[3], height = y.hi - y.lo, n = z.hi - z.lo,
                  from_y = y.lo - dcv_mosaic_start(m, 0, o, rows->first),
                  from_x = z.lo - dcv_mosaic_start(m, 1, o, columns->first);
    dcv_walk_output(view->walk, x->job->wanted[o], 0, x->s->raw);
    for (int64_t c = 0; c < d->d[1]; c++)
        for (int64_t i = 0; i < height; i++)
            memcpy(x->s->band[o] + (c * height + i) * width + z.lo,
                   x->s->raw + (c * d->d[2] + from_y + i) * d->d[3] + from_x, (size_t)n * sizeof(float));
}

static dcv_status walk_tile(const run *x, int row, int column)
{
    const dcv_mosaic *m = x->s->mosaic;
    dcv_view *view;
    const float *picture[1] = {x->s->piece};
    const float *const *input[1] = {picture};
    DCV_TRY(dcv_network_view(&x->job->on.net, x->thread, &m->dims, &view));
    cut_out(x->it, m->tile[0][row].first, m->tile[1][column].first, &m->dims, x->s->piece);
    dcv_walk_forward(view->walk, 1, input, NULL, NULL);
    for (int o = 0; o < x->job->n_wanted; o++)
        place(x, view, o, row, column);
    return DCV_OK;
}

/* Rows [y, y + height) of every channel of an output: what the band has, NaN beyond own columns. */
static dcv_status put_band(const run *x, const infer_output *out, int o, int64_t y, int64_t height)
{
    const dcv_dims *large = large_dims(x, o), *own = own_dims(x, o);
    const int64_t n = dcv_count(&out->dims), width = large->d[3];
    for (int64_t c = 0; c < large->d[1]; c++) {
        float *band = x->s->band[o] + c * height * width;
        for (int64_t i = 0; i < height; i++)
            for (int64_t k = own->d[3]; k < width; k++)
                band[i * width + k] = NAN;
        DCV_TRY(dcv_result_put(x->r, out->id, x->item * n + (c * large->d[2] + y) * width, height * width, band));
    }
    return DCV_OK;
}

/* Rows of the class map that the band of the first output gives. */
static dcv_status put_classes(const run *x, int o, int64_t y, int64_t height)
{
    const dcv_dims *large = large_dims(x, o), *own = own_dims(x, o);
    const int64_t width = large->d[3], cells = height * width;
    for (int64_t i = 0; i < cells; i++)
        x->s->map[i] = i % width < own->d[3] ? infer_class(x->s->band[o] + i, own->d[1], cells) : -1;
    return dcv_result_put(x->r, x->job->id_map, x->item * large->d[2] * width + y * width, cells, x->s->map);
}

static dcv_status put_row(const run *x, int row)
{
    const infer *job = x->job;
    for (int o = 0; o < job->n_wanted; o++) {
        const dcv_span y = x->s->mosaic->tile[0][row].own[o];
        if (job->wanted[o] == 0 && job->id_map >= 0)
            DCV_TRY(put_classes(x, o, y.lo, y.hi - y.lo));
        if (o < job->n_out)
            DCV_TRY(put_band(x, &job->out[o], o, y.lo, y.hi - y.lo));
    }
    return DCV_OK;
}

/* Rows that larger pictures have below this one. */
static dcv_status put_below(const run *x)
{
    const infer *job = x->job;
    for (int o = 0; o < job->n_wanted; o++) {
        const dcv_dims *large = large_dims(x, o), *own = own_dims(x, o);
        const int64_t width = large->d[3], n = (large->d[2] - own->d[2]) * width, all = large->d[2] * width;
        for (int64_t c = 0; o < job->n_out && c < large->d[1]; c++)
            DCV_TRY(dcv_put_missing(x->r, job->out[o].id, DCV_F32,
                                    x->item * large->d[1] * all + c * all + own->d[2] * width, n));
        if (job->wanted[o] == 0 && job->id_map >= 0)
            DCV_TRY(dcv_put_missing(x->r, job->id_map, DCV_I16, x->item * all + own->d[2] * width, n));
    }
    return DCV_OK;
}

static dcv_status put_extents(const run *x)
{
    for (int i = 0; i < x->job->n_out; i++) {
        const dcv_dims own = dcv_item_dims(&x->s->whole->value[x->s->whole->out[x->job->out[i].index]]);
        DCV_TRY(infer_put_extent(&x->job->out[i], &own, x->item, x->r));
    }
    return DCV_OK;
}

dcv_status infer_tiles_run(infer *job, int thread, int64_t part, const dcv_item *it, int64_t item, bool *taken,
                           dcv_result *r)
{
    const run x = {job, &job->scratch[thread], thread, it, item, r};
    *taken = !fits(it->dims.d[2], it->dims.d[3], job->tile);
    if (!*taken)
        return DCV_OK;
    const dcv_status st = find_mosaic(job, x.s, &it->dims);
    if (st == DCV_EDATA)
        return dcv_fail(DCV_EDATA, "%s: %s", dcv_dataset_item_name(job->on.net.dataset, item),
                        dcv_network_message(&job->on.net));
    DCV_TRY(st);
    for (int row = 0; row < x.s->mosaic->n[0]; row++) {
        if (row * job->on.net.parts / x.s->mosaic->n[0] != part)
            continue;
        for (int column = 0; column < x.s->mosaic->n[1]; column++)
            DCV_TRY(walk_tile(&x, row, column));
        DCV_TRY(put_row(&x, row));
    }
    if (part > 0)
        return DCV_OK;
    DCV_TRY(put_extents(&x));
    return put_below(&x);
}
