/* max_activation_reconstruct.c -- phase "reconstruct": the strongest places, walked back to the input under a rule.
 *
 * A unit is a stretch of the winners, which are sorted by picture: up to DCV_GROUP pictures are walked forward
 * together, then their places walk back, layer after layer, as many at once.  A place's numbers depend on its picture
 * alone.
 */
#include <math.h>
#include <string.h>
#include "jobs/max_activation.h"

/* A picture whose places take longer than a unit is cut where walking it forward once more costs little. */
enum { FORWARD_SHARE = 20 };
static const double nominal_gflops = 50; /* the speed that unit_seconds is counted at */

typedef struct top_scratch {
    float *map[DCV_GROUP]; /* at the input */
    float *row;            /* one reconstruction, of the layer with the largest box */
} top_scratch;

/* --- Plan ------------------------------------------------------------------------- */

static int64_t row_floats(const top_job *j, const top_layer *l)
{
    return j->input.c * l->box_h * l->box_w;
}

dcv_status top_reconstruct_open(top_job *j)
{
    int64_t row = 0;
    for (int i = 0; i < j->n_layers; i++)
        if (j->layer[i].reconstruction && row_floats(j, &j->layer[i]) > row)
            row = row_floats(j, &j->layer[i]);
    j->scratch = dcv_alloc((size_t)j->net.threads, sizeof *j->scratch);
    if (row > 0)
        j->base.thread_bytes += (int64_t)sizeof(float) * (row + DCV_GROUP * j->input.c * j->input.h * j->input.w);
    return j->scratch ? DCV_OK : DCV_ENOMEM;
}

static void scratch_free(top_scratch *s)
{
    for (int i = 0; s && i < DCV_GROUP; i++)
        dcv_free(s->map[i]);
    if (s)
        dcv_free(s->row);
    dcv_free(s);
}

void top_reconstruct_close(top_job *j)
{
    for (int t = 0; j->scratch && t < j->net.threads; t++)
        scratch_free(j->scratch[t]);
    dcv_free(j->scratch);
    dcv_free(j->unit);
}

static dcv_status scratch_for(top_job *j, int thread, top_scratch **out)
{
    top_scratch *s = *out = j->scratch[thread];
    int64_t row = 0;
    if (s)
        return DCV_OK;
    s = dcv_alloc(1, sizeof *s);
    bool ok = s;
    for (int i = 0; i < j->n_layers; i++)
        if (j->layer[i].reconstruction && row_floats(j, &j->layer[i]) > row)
            row = row_floats(j, &j->layer[i]);
    for (int i = 0; ok && i < DCV_GROUP; i++)
        ok = (s->map[i] = dcv_alloc((size_t)(j->input.c * j->input.h * j->input.w), sizeof(float)));
    ok = ok && (s->row = dcv_alloc((size_t)row, sizeof *s->row));
    if (!ok) {
        scratch_free(s);
        return DCV_ENOMEM;
    }
    *out = j->scratch[thread] = s;
    return DCV_OK;
}

static double gflop_of(const top_job *j, int64_t from, int64_t to)
{
    double sum = 0;
    for (int64_t i = from; i < to; i++)
        sum += j->layer[j->back.at[i].layer].back_gflop;
    return sum;
}

/* Pictures fill a unit up; one that is more than a unit by itself is cut. */
dcv_status top_reconstruct_plan(top_job *j)
{
    const double forward = j->net.item_gflop, unit = j->base.config->runtime.unit_seconds * nominal_gflops,
                 most = unit > FORWARD_SHARE * forward ? unit : FORWARD_SHARE * forward;
    double full = 0;
    j->unit = dcv_alloc((size_t)j->back.n + 1, sizeof *j->unit);
    if (!j->unit)
        return DCV_ENOMEM;
    for (int64_t p = 0; p < j->back.n_pictures; p++) {
        const int64_t from = j->back.first[p], to = j->back.first[p + 1];
        const double whole = forward + gflop_of(j, from, to);
        if (from == 0 || full + whole > unit) {
            j->unit[j->n_units++] = from;
            full = 0;
        }
        full += forward;
        for (int64_t i = from; i < to; i++) {
            if (i > from && full > most) {
                j->unit[j->n_units++] = i;
                full = forward;
            }
            full += j->layer[j->back.at[i].layer].back_gflop;
        }
    }
    j->unit[j->n_units] = j->back.n;
    return DCV_OK;
}

int64_t top_reconstruct_items(const top_job *j, int64_t unit)
{
    return j->unit[unit + 1] - j->unit[unit];
}

double top_reconstruct_gflop(const top_job *j, int64_t unit)
{
    const int64_t from = j->unit[unit], to = j->unit[unit + 1];
    double sum = gflop_of(j, from, to);
    for (int64_t i = from; i < to; i++)
        if (i == from || j->back.at[i].image != j->back.at[i - 1].image)
            sum += j->net.item_gflop;
    return sum;
}

/* --- A group of pictures ---------------------------------------------------------- */

typedef struct group {
    top_job *j;
    top_scratch *s;
    const dcv_view *view;
    int n;
    dcv_item item[DCV_GROUP];
    top_winner *at[DCV_GROUP], *end[DCV_GROUP]; /* of each picture */
    int *layer_of;                              /* for the view's graph */
    dcv_channel_sums *channel;                  /* room for the widest layer */
} group;

/* Under rank_by: mean it is the strongest cell of the channel that is taken back. */
static void see(void *ctx, int picture, int value, const dcv_blob *b)
{
    const group *g = ctx;
    const int layer = g->layer_of[value];
    bool scanned = false;
    for (top_winner *w = g->at[picture]; w < g->end[picture]; w++) {
        if (w->layer != layer)
            continue;
        if (!scanned)
            dcv_channel_scan(b, g->channel, NULL);
        scanned = true;
        const top_layer *l = &g->j->layer[layer];
        const dcv_channel_sums *c = &g->channel[l->channel[w->slot / g->j->options->top]];
        const int64_t width = b->dims->n >= 3 ? b->dims->d[b->dims->n - 1] : 1;
        w->value = c->max;
        w->y = (int32_t)(c->at / width);
        w->x = (int32_t)(c->at % width);
    }
}

/* The box of a map in the corner of a row of the layer's largest box; the rest is 0. */
static void cut(const dcv_map *m, const float *map, const int32_t *box, const top_layer *l, float *row)
{
    memset(row, 0, (size_t)(m->c * l->box_h * l->box_w) * sizeof *row);
    for (int64_t c = 0; c < m->c; c++)
        for (int64_t y = box[0]; y < box[2]; y++)
            memcpy(row + (c * l->box_h + y - box[0]) * l->box_w, map + (c * m->h + y) * m->w + box[1],
                   (size_t)(box[3] - box[1]) * sizeof *row);
}

typedef struct batch {
    int n;
    const top_winner *winner[DCV_GROUP];
    int64_t cell[DCV_GROUP];
    dcv_seed seed[DCV_GROUP];
} batch;

static void add(const group *g, int picture, const top_winner *w, const dcv_map *m, batch *b)
{
    const int64_t channel = g->j->layer[w->layer].channel[w->slot / g->j->options->top];
    b->winner[b->n] = w;
    b->cell[b->n] = (channel * m->h + w->y) * m->w + w->x;
    b->seed[b->n] = (dcv_seed){picture, 1, &b->cell[b->n], &w->value};
    b->n++;
}

static dcv_status put_row(const group *g, const top_winner *w, dcv_result *r)
{
    const top_layer *l = &g->j->layer[w->layer];
    const int64_t n = row_floats(g->j, l);
    return dcv_result_put(r, l->id_reconstruction, w->slot * n, n, g->s->row);
}

/* Nothing comes of a silent place. */
static dcv_status put_zeros(const group *g, const top_winner *w, dcv_result *r)
{
    memset(g->s->row, 0, (size_t)row_floats(g->j, &g->j->layer[w->layer]) * sizeof *g->s->row);
    return put_row(g, w, r);
}

static dcv_status walk_back(const group *g, int value, const top_boxes *boxes, batch *b, dcv_result *r)
{
    const top_job *j = g->j;
    const dcv_graph *graph = g->view->graph;
    const dcv_map m = dcv_value_map(&graph->value[graph->in[0]]);
    if (b->n == 0)
        return DCV_OK;
    dcv_walk_backward(g->view->walk, j->rule, value, b->seed, b->n, graph->in[0], g->s->map);
    for (int i = 0; i < b->n; i++) {
        const top_winner *w = b->winner[i];
        int32_t box[4];
        top_box_at(j, boxes, w->layer, w->y, w->x, box);
        cut(&m, g->s->map[i], box, &j->layer[w->layer], g->s->row);
        DCV_TRY(put_row(g, w, r));
    }
    b->n = 0;
    return DCV_OK;
}

/* All places of the group in one layer. */
static dcv_status walk_layer(group *g, int layer, top_winner **next, const top_boxes *boxes, dcv_result *r)
{
    const top_job *j = g->j;
    const int value = dcv_graph_find(g->view->graph, j->layer[layer].name);
    DCV_CHECK(value >= 0);
    const dcv_map m = dcv_value_map(&g->view->graph->value[value]);
    batch b = {0};
    for (int p = 0; p < g->n; p++)
        for (; next[p] < g->end[p] && next[p]->layer == layer; next[p]++) {
            if (next[p]->value == 0)
                DCV_TRY(put_zeros(g, next[p], r));
            else
                add(g, p, next[p], &m, &b);
            if (b.n == DCV_GROUP)
                DCV_TRY(walk_back(g, value, boxes, &b, r));
        }
    return walk_back(g, value, boxes, &b, r);
}

static dcv_status walk_forward(group *g)
{
    const top_job *j = g->j;
    const float *picture[DCV_GROUP];
    const float *const *input[1] = {picture};
    const bool looks = j->options->rank_by == TOP_BY_MEAN;
    int64_t widest = 1;
    for (int p = 0; p < g->n; p++)
        picture[p] = g->item[p].input;
    for (int i = 0; i < j->n_layers; i++)
        widest = j->layer[i].map.c > widest ? j->layer[i].map.c : widest;
    if (looks) {
        g->channel = dcv_alloc((size_t)widest, sizeof *g->channel);
        if (!g->channel)
            return DCV_ENOMEM;
        DCV_TRY(top_layer_of(j, g->view->graph, &g->layer_of));
    }
    dcv_walk_keeps(g->view->walk, true);
    dcv_walk_forward(g->view->walk, g->n, input, looks ? see : NULL, g);
    return DCV_OK;
}

static dcv_status walk_group(group *g, int thread, dcv_result *r)
{
    top_job *j = g->j;
    dcv_view *view;
    top_boxes boxes = {0};
    top_winner *next[DCV_GROUP];
    dcv_status st = dcv_network_view(&j->net, thread, &g->item[0].dims, &view);
    g->view = view;
    if (st == DCV_OK)
        st = walk_forward(g);
    if (st == DCV_OK)
        st = top_boxes_for(j, view->graph, g->at[0]->h, g->at[0]->w, &boxes);
    memcpy(next, g->at, sizeof next);
    for (int i = 0; st == DCV_OK && i < j->n_layers; i++)
        if (j->layer[i].reconstruction)
            st = walk_layer(g, i, next, &boxes, r);
    top_boxes_clear(j, &boxes);
    return st;
}

static void group_clear(group *g)
{
    for (int p = 0; p < g->n; p++)
        dcv_item_clear(&g->item[p]);
    dcv_free(g->layer_of);
    dcv_free(g->channel);
    g->n = 0;
    g->layer_of = NULL;
    g->channel = NULL;
}

/* --- Units ------------------------------------------------------------------------ */

static dcv_status put_nan(const top_job *j, const top_winner *from, const top_winner *to, dcv_result *r)
{
    dcv_status st = DCV_OK;
    for (const top_winner *w = from; st == DCV_OK && w < to; w++) {
        const top_layer *l = &j->layer[w->layer];
        const int64_t n = row_floats(j, l);
        float *row = dcv_alloc((size_t)n, sizeof *row);
        for (int64_t i = 0; row && i < n; i++)
            row[i] = NAN;
        st = row ? dcv_result_put(r, l->id_reconstruction, w->slot * n, n, row) : DCV_ENOMEM;
        dcv_free(row);
    }
    return st;
}

static dcv_status read_picture(const top_job *j, const top_winner *w, dcv_item *to)
{
    DCV_TRY(dcv_dataset_read(j->net.dataset, w->image, DCV_READ_INPUT, to));
    if (to->dims.n == 4 && (to->dims.d[2] != w->h || to->dims.d[3] != w->w))
        return dcv_fail(DCV_EDATA, "%s: has changed during the run", dcv_dataset_item_name(j->net.dataset, w->image));
    return DCV_OK;
}

/* Take one more picture into the group.  One that was there in the search, and is gone or another now, is a failed
 * item. */
static dcv_status take(group *g, top_winner *from, top_winner *to, dcv_result *r)
{
    const top_job *j = g->j;
    dcv_item *it = &g->item[g->n];
    memset(it, 0, sizeof *it);
    const dcv_status st = read_picture(j, from, it);
    if (st == DCV_OK) {
        g->at[g->n] = from;
        g->end[g->n++] = to;
        return DCV_OK;
    }
    dcv_item_clear(it);
    if (st != DCV_EDATA || j->base.config->dataset.on_error == DCV_FAIL)
        return st;
    DCV_TRY(top_lose(j, from->image, dcv_message(), r));
    return put_nan(j, from, to, r);
}

static dcv_status walk_all(group *g, top_winner *w, top_winner *end, int thread, dcv_result *r)
{
    dcv_status st = DCV_OK;
    while (st == DCV_OK && w < end) {
        const top_winner *first = w;
        while (st == DCV_OK && w < end && g->n < DCV_GROUP && w->h == first->h && w->w == first->w) {
            top_winner *next = w;
            while (next < end && next->image == w->image)
                next++;
            st = take(g, w, next, r);
            w = next;
        }
        if (st == DCV_OK && g->n > 0)
            st = walk_group(g, thread, r);
        group_clear(g);
    }
    return st;
}

dcv_status top_reconstruct(top_job *j, int64_t unit, int thread, dcv_result *r)
{
    const int64_t n = top_reconstruct_items(j, unit);
    top_winner *own = dcv_alloc((size_t)n, sizeof *own);
    group *g = dcv_alloc(1, sizeof *g);
    dcv_status st = own && g ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK) {
        memcpy(own, j->back.at + j->unit[unit], (size_t)n * sizeof *own);
        g->j = j;
        st = scratch_for(j, thread, &g->s);
    }
    if (st == DCV_OK)
        st = walk_all(g, own, own + n, thread, r);
    dcv_free(own);
    dcv_free(g);
    return st;
}

dcv_status top_reconstruct_fail(top_job *j, int64_t unit, const char *message, dcv_result *r)
{
    const top_winner *at = j->back.at + j->unit[unit], *end = j->back.at + j->unit[unit + 1];
    DCV_TRY(put_nan(j, at, end, r));
    for (const top_winner *w = at; w < end; w++)
        if (w == at || w->image != w[-1].image)
            DCV_TRY(top_lose(j, w->image, message, r));
    return DCV_OK;
}
