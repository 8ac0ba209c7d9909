/* gradient_ascent_climb.c -- from the start of a climb, step by step. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "deconvoy/random.h"
#include "deconvoy/rule.h"
#include "jobs/depict.h"
#include "jobs/gradient_ascent.h"

static const double noise_share = 0.1;     /* of a picture's range, in pixels */
static const double spectrum_share = 0.01; /* in coefficients of a spectrum (Lucid) */

/* --- State and scratch ------------------------------------------------------------- */

static size_t take(size_t *at, int64_t n, size_t each)
{
    const size_t here = *at;
    *at += ((size_t)n * each + 63) / 64 * 64;
    return here;
}

static int64_t pixels(const dcv_map *m)
{
    return m->c * m->h * m->w;
}

void ascent_lay_out(ascent_job *j)
{
    const int64_t n = j->group, picture = pixels(&j->map), spectrum = j->fourier ? dcv_fourier_size(&j->map) : 0;
    ascent_layout *l = &j->layout;
    size_t at = 0;
    l->item = take(&at, j->block_items, sizeof(ascent_item));
    l->climb = take(&at, n, sizeof(ascent_climb));
    l->x = take(&at, n * picture, sizeof(float));
    l->best = take(&at, n * picture, sizeof(float));
    l->base = take(&at, j->options->octaves.count > 1 ? n * picture : 0, sizeof(float));
    l->m = take(&at, n * spectrum, sizeof(float));
    l->v = take(&at, n * spectrum, sizeof(float));
    l->objective = take(&at, n * j->n_steps, sizeof(float));
    l->bytes = at;
}

static float *x_of(const ascent_job *j, void *state, int64_t k)
{
    return ascent_array(state, j->layout.x, pixels(&j->map), k);
}

/* Floats of the largest layer that is wanted, and of one of its channels; classes count as a channel. */
static void layer_sizes(const ascent_job *j, int64_t *all, int64_t *channel)
{
    const dcv_graph *g = j->on.net.graph;
    int v;
    DCV_CHECK(dcv_targets_value(&j->targets, g, &v) == DCV_OK);
    const dcv_map m = dcv_value_map(&g->value[v]);
    *all = m.c * m.h * m.w;
    *channel = j->targets.inner ? m.h * m.w : m.c * m.h * m.w;
}

typedef struct scratch_sizes {
    int64_t picture, spectrum, blur, clip, layer, channel, value;
} scratch_sizes;

static scratch_sizes sizes_of(const ascent_job *j)
{
    const ascent_options *o = j->options;
    scratch_sizes n = {.picture = pixels(&j->map)};
    n.spectrum = j->fourier ? dcv_fourier_size(&j->map) : 0;
    n.blur = o->blur.sigma > 0 ? dcv_blur_work(&j->map, o->blur.sigma) : 0;
    n.clip = o->clip.norm > 0 || o->clip.contribution > 0 ? 2 * j->map.h * j->map.w : 0;
    layer_sizes(j, &n.layer, &n.channel);
    n.value = j->targets.inner ? 0 : n.channel;
    n.layer = j->from_data ? n.layer : 0;
    return n;
}

int64_t ascent_scratch_bytes(const ascent_job *j)
{
    const scratch_sizes n = sizes_of(j);
    const int64_t each = 2 * n.picture + n.value + 3 * n.channel; /* a cell's number is two floats */
    return (each * j->group + 2 * n.picture + n.spectrum + n.blur + 2 * n.clip + n.layer) * (int64_t)sizeof(float) +
           n.picture + (j->fourier ? dcv_fourier_bytes(&j->map) : 0);
}

dcv_status ascent_scratch_new(const ascent_job *j, ascent_scratch *s)
{
    const scratch_sizes n = sizes_of(j);
    bool ok = true;
    for (int64_t k = 0; k < j->group; k++) {
        s->rolled[k] = dcv_alloc((size_t)n.picture, sizeof(float));
        s->gradient[k] = dcv_alloc((size_t)n.picture, sizeof(float));
        s->value[k] = dcv_alloc((size_t)n.value, sizeof(float));
        s->cell[k] = dcv_alloc((size_t)n.channel, sizeof(int64_t));
        s->weight[k] = dcv_alloc((size_t)n.channel, sizeof(float));
        ok = ok && s->rolled[k] && s->gradient[k] && s->value[k] && s->cell[k] && s->weight[k];
    }
    s->g = dcv_alloc((size_t)n.picture, sizeof(float));
    s->d = dcv_alloc((size_t)n.picture, sizeof(float));
    s->z = dcv_alloc((size_t)n.spectrum, sizeof(float));
    s->blur = dcv_alloc((size_t)n.blur, sizeof(float));
    s->clip = dcv_alloc((size_t)n.clip, sizeof(double));
    s->layer = dcv_alloc((size_t)n.layer, sizeof(float));
    s->px = dcv_alloc((size_t)n.picture, 1);
    return ok && s->g && s->d && s->z && s->blur && s->clip && s->layer && s->px ? DCV_OK : DCV_ENOMEM;
}

void ascent_scratch_clear(ascent_scratch *s)
{
    for (int k = 0; k < DCV_GROUP; k++) {
        dcv_free(s->rolled[k]);
        dcv_free(s->gradient[k]);
        dcv_free(s->value[k]);
        dcv_free(s->cell[k]);
        dcv_free(s->weight[k]);
    }
    dcv_free(s->g);
    dcv_free(s->d);
    dcv_free(s->z);
    dcv_free(s->blur);
    dcv_free(s->clip);
    dcv_free(s->layer);
    dcv_free(s->px);
    dcv_fourier_free(s->fourier);
}

dcv_status ascent_fail(const ascent_job *j, ascent_item *item, const char *fmt, ...)
{
    char text[sizeof item->message];
    va_list args;
    if (item->failed)
        return DCV_OK;
    item->failed = 1;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)dcv_utf8_copy(item->message, text, sizeof item->message - 1);
    return j->on.base.config->dataset.on_error == DCV_FAIL ? dcv_fail(DCV_EDATA, "%s", text) : DCV_OK;
}

/* --- The party --------------------------------------------------------------------- */

typedef struct party {
    ascent_job *j;
    ascent_scratch *s;
    void *state;
    int thread;
    int64_t item0;    /* of the block */
    int64_t first, n; /* climbs, counted in the block */
    dcv_map full;     /* size of these pictures */
    dcv_view *view;
    int64_t at[DCV_GROUP]; /* those that are walking: climbs of the party */
    int walking;
    float score[DCV_GROUP];
} party;

static int64_t item_of(const party *p, int64_t k)
{
    return (p->first + k) / p->j->n_targets;
}

static ascent_item *state_item(const party *p, int64_t k)
{
    return ascent_item_of(p->j, p->state, item_of(p, k));
}

static bool is_alive(const party *p, int64_t k)
{
    return !state_item(p, k)->failed && ascent_climb_of(p->j, p->state, k)->target >= 0;
}

/* Who walks; the size of their pictures is the same. */
static void muster(party *p)
{
    p->walking = 0;
    for (int64_t k = 0; k < p->n; k++)
        if (is_alive(p, k))
            p->at[p->walking++] = k;
    if (p->walking) {
        const ascent_item *item = state_item(p, p->at[0]);
        p->full = (dcv_map){p->j->map.c, item->h, item->w};
    }
}

static party party_of(ascent_job *j, int thread, int64_t block, int64_t number, void *state)
{
    party p = {.j = j, .s = &j->scratch[thread], .state = state, .thread = thread, .item0 = block * j->block_items};
    p.n = ascent_party(j, block, number, &p.first);
    return p;
}

/* What messages begin with. */
static const char *item_name(const party *p, int64_t k)
{
    const dcv_dataset *d = p->j->on.net.dataset;
    return d ? dcv_dataset_item_name(d, p->item0 + item_of(p, k)) : p->j->targets.inner ? p->j->targets.at : "class";
}

static dcv_status climb_fails(const party *p, int64_t k, int64_t step, const char *what)
{
    const int32_t target = ascent_climb_of(p->j, p->state, k)->target;
    if (p->j->from_data)
        return ascent_fail(p->j, state_item(p, k), "%s: target %d: %s in step %lld", item_name(p, k), (int)target, what,
                           (long long)step);
    return ascent_fail(p->j, state_item(p, k), "%s %d: %s in step %lld", item_name(p, k), (int)target, what,
                       (long long)step);
}

/* --- Start ------------------------------------------------------------------------- */

dcv_dims ascent_dims(const ascent_job *j, const dcv_map *m)
{
    const dcv_graph *g = j->on.net.graph;
    dcv_dims d = g->value[g->in[0]].dims;
    if (d.n == 4) {
        d.d[2] = m->h;
        d.d[3] = m->w;
    }
    return d;
}

/* The plans of one size at a time. */
static dcv_status spectra_of(party *p, const dcv_map *m)
{
    ascent_scratch *s = p->s;
    if (s->fourier && s->fourier_map.h == m->h && s->fourier_map.w == m->w)
        return DCV_OK;
    dcv_fourier_free(s->fourier);
    s->fourier = NULL;
    s->fourier_map = *m;
    return dcv_fourier_new(m, p->j->bgr, &s->fourier);
}

/* In the network's units, about the mean. */
static dcv_status fill_noise(party *p, float *x)
{
    const ascent_job *j = p->j;
    const dcv_preprocess *pre = &j->on.base.config->dataset.preprocess;
    const uint64_t key = (uint64_t)j->options->seed;
    const int64_t cells = j->map.h * j->map.w;
    if (j->fourier) {
        for (int64_t i = 0; i < dcv_fourier_size(&j->map); i++)
            p->s->z[i] = (float)(spectrum_share * dcv_random_gaussian(key, (uint64_t)i));
        DCV_TRY(spectra_of(p, &j->map));
        dcv_fourier_picture(p->s->fourier, p->s->z, x);
    }
    for (int64_t c = 0; c < j->map.c; c++)
        for (int64_t i = c * cells; i < (c + 1) * cells; i++)
            x[i] = (float)(dcv_depict_range(pre, c) *
                           (j->fourier ? x[i] : noise_share * dcv_random_gaussian(key, (uint64_t)i)));
    return DCV_OK;
}

/* Where a climb begins: x, or base where it is reached in octaves. */
static float *beginning(const party *p, int64_t k)
{
    const ascent_job *j = p->j;
    return ascent_array(p->state, j->options->octaves.count > 1 ? j->layout.base : j->layout.x, pixels(&j->map), k);
}

static void see_layer(void *ctx, int picture, int value, const dcv_blob *b)
{
    const party *p = ctx;
    (void)picture, (void)value;
    dcv_targets_see(&p->j->targets, p->view->graph, b, p->s->layer);
}

/* Targets of one item's climbs, from what the network makes of its picture. */
static dcv_status find_targets(party *p, int64_t i, const dcv_item *it)
{
    ascent_job *j = p->j;
    const dcv_status st = dcv_network_view(&j->on.net, p->thread, &it->dims, &p->view);
    if (st == DCV_EDATA)
        return ascent_fail(j, ascent_item_of(j, p->state, i), "%s: %s",
                           dcv_dataset_item_name(j->on.net.dataset, p->item0 + i), dcv_network_message(&j->on.net));
    DCV_TRY(st);
    dcv_unit *unit = dcv_alloc((size_t)j->targets.n, sizeof *unit);
    if (!unit)
        return DCV_ENOMEM;
    const float *picture[1] = {it->input};
    const float *const *input[1] = {picture};
    dcv_walk_forward(p->view->walk, 1, input, see_layer, p);
    dcv_targets_find(&j->targets, p->view->graph, p->s->layer, j->on.net.dataset->entry[p->item0 + i].label, unit);
    for (int64_t k = 0; k < p->n; k++)
        if (item_of(p, k) == i)
            ascent_climb_of(j, p->state, k)->target = (int32_t)unit[(p->first + k) % j->n_targets].channel;
    dcv_free(unit);
    return DCV_OK;
}

/* One item of a data set: its picture goes to each of its climbs in this party. */
static dcv_status begin_item(party *p, int64_t i)
{
    ascent_job *j = p->j;
    ascent_item *item = ascent_item_of(j, p->state, i);
    dcv_item it;
    if (item->failed)
        return DCV_OK;
    const dcv_status read = dcv_network_item(&j->on.net, p->item0 + i, &it);
    if (read == DCV_EDATA)
        return ascent_fail(j, item, "%s", dcv_message());
    DCV_TRY(read);
    const bool spatial = it.dims.n == 4;
    item->known = 1;
    item->width = it.width;
    item->height = it.height;
    item->h = spatial ? it.dims.d[2] : j->map.h;
    item->w = spatial ? it.dims.d[3] : j->map.w;
    const dcv_status st = find_targets(p, i, &it);
    for (int64_t k = 0; k < p->n; k++)
        if (item_of(p, k) == i)
            memcpy(beginning(p, k), it.input, (size_t)dcv_count(&it.dims) * sizeof(float));
    dcv_item_clear(&it);
    return st;
}

static dcv_status begin_own(party *p)
{
    const ascent_job *j = p->j;
    for (int64_t k = 0; k < p->n; k++) {
        ascent_item *item = state_item(p, k);
        ascent_climb_of(j, p->state, k)->target = (int32_t)j->number[p->item0 + item_of(p, k)];
        item->h = j->map.h;
        item->w = j->map.w;
        float *x = beginning(p, k);
        if (j->options->start == ASCENT_MEAN)
            memset(x, 0, (size_t)pixels(&j->map) * sizeof *x);
        else if (k)
            memcpy(x, beginning(p, 0), (size_t)pixels(&j->map) * sizeof *x);
        else
            DCV_TRY(fill_noise(p, x));
    }
    return DCV_OK;
}

dcv_status ascent_begin(ascent_job *j, int thread, int64_t block, int64_t number, void *state)
{
    party p = party_of(j, thread, block, number, state);
    if (!j->from_data)
        return begin_own(&p);
    if (p.n)
        for (int64_t i = item_of(&p, 0); i <= item_of(&p, p.n - 1); i++)
            DCV_TRY(begin_item(&p, i));
    return DCV_OK;
}

/* --- Octaves ----------------------------------------------------------------------- */

/* The picture that a climb began with, at an octave's size: halved (say) again and again from the full one, as
 * DeepDream has it.  Returns where it is: in a or b. */
static float *base_at(const party *p, int64_t k, int octave, float *a, float *b)
{
    const int count = (int)p->j->options->octaves.count;
    const double scale = p->j->options->octaves.scale;
    memcpy(a, beginning(p, k), (size_t)pixels(&p->full) * sizeof *a);
    for (int o = count - 1; o > octave; o--) {
        const dcv_map from = dcv_octave(&p->full, o, count, scale), to = dcv_octave(&p->full, o - 1, count, scale);
        float *t = a;
        dcv_zoom(&from, a, &to, b);
        a = b;
        b = t;
    }
    return a;
}

/* x of the octave before becomes x of this one: what was added to the picture is carried over, in its new size. */
static void enter_octave(const party *p, int64_t k, int octave)
{
    const ascent_job *j = p->j;
    const int count = (int)j->options->octaves.count;
    const double scale = j->options->octaves.scale;
    const dcv_map now = dcv_octave(&p->full, octave, count, scale);
    float *x = x_of(j, p->state, k), *a = p->s->g, *b = p->s->d, *detail = p->s->rolled[0];
    if (octave > 0) {
        const dcv_map before = dcv_octave(&p->full, octave - 1, count, scale);
        const float *base = base_at(p, k, octave - 1, a, b);
        for (int64_t i = 0; i < pixels(&before); i++)
            x[i] -= base[i];
        dcv_zoom(&before, x, &now, detail);
    } else {
        memset(detail, 0, (size_t)pixels(&now) * sizeof *detail);
    }
    const float *base = base_at(p, k, octave, a, b);
    for (int64_t i = 0; i < pixels(&now); i++)
        x[i] = base[i] + detail[i];
}

/* The size at a step, with the network compiled for it; at an octave's first step the pictures take that size. */
static dcv_status at_octave(party *p, int64_t step, dcv_map *m)
{
    ascent_job *j = p->j;
    const int octave = (int)(step / j->options->steps), count = (int)j->options->octaves.count;
    *m = dcv_octave(&p->full, octave, count, j->options->octaves.scale);
    const dcv_dims dims = ascent_dims(j, m);
    const dcv_status st = dcv_network_view(&j->on.net, p->thread, &dims, &p->view);
    if (st == DCV_EDATA && j->from_data) {
        for (int i = 0; i < p->walking; i++)
            DCV_TRY(ascent_fail(j, state_item(p, p->at[i]), "%s: in octave %d: %s", item_name(p, p->at[i]), octave,
                                dcv_network_message(&j->on.net)));
        p->walking = 0;
        return DCV_OK;
    }
    DCV_TRY(st);
    if (j->fourier)
        DCV_TRY(spectra_of(p, m));
    const bool fresh = step % j->options->steps == 0;
    for (int i = 0; i < p->walking && fresh; i++) {
        const int64_t k = p->at[i], n = j->fourier ? dcv_fourier_size(&j->map) : 0;
        if (count > 1)
            enter_octave(p, k, octave);
        memset(ascent_array(p->state, j->layout.m, n, k), 0, (size_t)n * sizeof(float));
        memset(ascent_array(p->state, j->layout.v, n, k), 0, (size_t)n * sizeof(float));
    }
    return DCV_OK;
}

/* --- A step ------------------------------------------------------------------------ */

static double channel_mean(const dcv_blob *b, int64_t channel)
{
    const dcv_blob_shape s = dcv_blob_shape_of(b->dims, b->block);
    const float *x = b->data + channel / b->block * s.cells * b->block + channel % b->block;
    double sum = 0;
    for (int64_t i = 0; i < s.cells; i++)
        sum += x[i * b->block];
    return sum / (double)s.cells;
}

static void see(void *ctx, int picture, int value, const dcv_blob *b)
{
    party *p = ctx;
    const int64_t target = ascent_climb_of(p->j, p->state, p->at[picture])->target;
    (void)value;
    if (p->j->targets.inner) {
        p->score[picture] = (float)channel_mean(b, target);
        return;
    }
    dcv_targets_see(&p->j->targets, p->view->graph, b, p->s->value[picture]);
    p->score[picture] = p->s->value[picture][target];
}

/* The score's derivative at the layer. */
static dcv_seed plant(const party *p, int i)
{
    const ascent_job *j = p->j;
    const int64_t target = ascent_climb_of(j, p->state, p->at[i])->target;
    int64_t *cell = p->s->cell[i];
    float *weight = p->s->weight[i];
    int v;
    if (!j->targets.inner)
        return dcv_targets_seed(&j->targets, p->view->graph, &(dcv_unit){.channel = target}, p->s->value[i], false, i,
                                cell, weight);
    DCV_CHECK(dcv_targets_value(&j->targets, p->view->graph, &v) == DCV_OK);
    const dcv_map m = dcv_value_map(&p->view->graph->value[v]);
    const int64_t cells = m.h * m.w;
    for (int64_t c = 0; c < cells; c++) {
        cell[c] = target * cells + c;
        weight[c] = (float)(1 / (double)cells);
    }
    return (dcv_seed){i, cells, cell, weight};
}

/* The score that a step's gradient belongs to; in the last octave the best picture so far is kept. */
static dcv_status note(const party *p, int i, int64_t step, const dcv_map *m)
{
    const ascent_job *j = p->j;
    const int64_t k = p->at[i], last = j->n_steps - j->options->steps;
    ascent_climb *climb = ascent_climb_of(j, p->state, k);
    if (!isfinite(p->score[i]))
        return climb_fails(p, k, step, isnan(p->score[i]) ? "the score is NaN" : "the score is infinite");
    ascent_array(p->state, j->layout.objective, j->n_steps, k)[step] = p->score[i];
    if (step < last || (step > last && !(p->score[i] > climb->best)))
        return DCV_OK;
    climb->best = p->score[i];
    memcpy(ascent_array(p->state, j->layout.best, pixels(&j->map), k), x_of(j, p->state, k),
           (size_t)pixels(m) * sizeof(float));
    return DCV_OK;
}

/* x goes uphill along d, and shrinks.  False: it is no picture any more. */
static bool go(const party *p, int64_t k, int64_t step, const dcv_map *m, float *x, float *d)
{
    const ascent_job *j = p->j;
    const ascent_options *o = j->options;
    const int64_t n = pixels(m), spectrum = j->fourier ? dcv_fourier_size(&j->map) : 0;
    if (j->fourier) {
        dcv_fourier_gradient(p->s->fourier, d, p->s->z);
        dcv_adam(dcv_fourier_size(m), step % o->steps + 1, o->rate, ascent_array(p->state, j->layout.m, spectrum, k),
                 ascent_array(p->state, j->layout.v, spectrum, k), p->s->z);
        dcv_fourier_picture(p->s->fourier, p->s->z, d);
        return dcv_ascend(x, d, n, 1, 1 - o->l2);
    }
    const double rms = o->step ? 1 : dcv_rms(d, n);
    return dcv_ascend(x, d, n, rms == 0 ? 0 : o->rate / rms, 1 - o->l2);
}

static dcv_status move(const party *p, int i, int64_t step, const dcv_map *m, int64_t dy, int64_t dx)
{
    const ascent_options *o = p->j->options;
    const int64_t k = p->at[i];
    float *x = x_of(p->j, p->state, k), *d = p->s->g;
    dcv_roll(m, p->s->gradient[i], -dy, -dx, p->s->g);
    if (o->total_variation > 0 || p->j->fourier) { /* the clip wants the score's gradient as it is */
        d = p->s->d;
        memcpy(d, p->s->g, (size_t)pixels(m) * sizeof *d);
    }
    if (o->total_variation > 0)
        dcv_less_variation(m, x, o->total_variation, d);
    if (!go(p, k, step, m, x, d))
        return climb_fails(p, k, step, "the picture is no longer finite");
    if (o->blur.sigma > 0 && o->blur.every > 0 && (step % o->steps + 1) % o->blur.every == 0)
        dcv_gaussian_blur(m, x, o->blur.sigma, p->s->blur);
    if (o->clip.norm > 0)
        dcv_clip_norm(m, x, o->clip.norm, p->s->clip);
    if (o->clip.contribution > 0)
        dcv_clip_contribution(m, x, p->s->g, o->clip.contribution, p->s->clip);
    return DCV_OK;
}

static dcv_status one_step(party *p, int64_t step, const dcv_map *m)
{
    ascent_job *j = p->j;
    const dcv_graph *g = p->view->graph;
    const float *const *input[1] = {(const float *const *)p->s->rolled};
    dcv_seed seed[DCV_GROUP];
    int64_t dy, dx;
    int from;
    dcv_jitter(j->options->seed, step, j->options->jitter, &dy, &dx);
    for (int i = 0; i < p->walking; i++)
        dcv_roll(m, x_of(j, p->state, p->at[i]), dy, dx, p->s->rolled[i]);
    dcv_walk_forward(p->view->walk, p->walking, input, see, p);
    for (int i = 0; i < p->walking; i++) {
        DCV_TRY(note(p, i, step, m));
        seed[i] = plant(p, i);
    }
    DCV_TRY(dcv_targets_value(&j->targets, g, &from));
    dcv_walk_backward(p->view->walk, dcv_rule_find("gradient"), from, seed, p->walking, g->in[0], p->s->gradient);
    for (int i = 0; i < p->walking; i++)
        if (is_alive(p, p->at[i]))
            DCV_TRY(move(p, i, step, m, dy, dx));
    return DCV_OK;
}

dcv_status ascent_climb_on(ascent_job *j, int thread, int64_t block, int64_t number, void *state, int64_t from,
                           int64_t to)
{
    party p = party_of(j, thread, block, number, state);
    for (int64_t step = from; step < to; step++) {
        dcv_map m;
        muster(&p);
        if (p.walking)
            DCV_TRY(at_octave(&p, step, &m));
        if (p.walking)
            DCV_TRY(one_step(&p, step, &m));
    }
    return DCV_OK;
}
