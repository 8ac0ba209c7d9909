/* max_activation_reconstruct.c -- phase "reconstruct": the strongest places, walked back to the input under a rule.
 *
 * A unit is a stretch of the winners, which are sorted by picture: up to DCV_GROUP pictures are walked forward
 * together, then their places walk back, layer after layer, as many at once.  A place's numbers depend on its picture
 * alone.
 */
#include <math.h>
#include <string.h>
#include "engine/back_box.h"
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

static int64_t largest_row(const top_job *j)
{
    int64_t row = 0;
    for (int i = 0; i < j->n_layers; i++)
        if (j->layer[i].reconstruction && row_floats(j, &j->layer[i]) > row)
            row = row_floats(j, &j->layer[i]);
    return row;
}

/* What a thread holds beyond its walk: maps and a row, and one layer's walks by boxes. */
static int64_t thread_bytes(const top_job *j)
{
    int64_t most = 0;
    for (int i = 0; i < j->n_layers; i++) {
        int64_t h = 0, w = 0;
        if (!j->layer[i].reconstruction || !dcv_box_extent(j->net.engine, j->layer[i].value, &h, &w))
            continue;
        const int64_t bytes = (int64_t)dcv_box_walk_bytes(j->net.engine, j->layer[i].value) +
                              DCV_GROUP * j->input.c * h * w * (int64_t)sizeof(float);
        most = bytes > most ? bytes : most;
    }
    return most + (int64_t)sizeof(float) * (largest_row(j) + DCV_GROUP * j->input.c * j->input.h * j->input.w);
}

dcv_status top_reconstruct_open(top_job *j)
{
    j->scratch = dcv_alloc((size_t)j->net.threads, sizeof *j->scratch);
    if (largest_row(j) > 0)
        j->base.thread_bytes += thread_bytes(j);
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
    if (s)
        return DCV_OK;
    s = dcv_alloc(1, sizeof *s);
    bool ok = s;
    for (int i = 0; ok && i < DCV_GROUP; i++)
        ok = (s->map[i] = dcv_alloc((size_t)(j->input.c * j->input.h * j->input.w), sizeof(float)));
    ok = ok && (s->row = dcv_alloc((size_t)largest_row(j), sizeof *s->row));
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

/* A map that begins at row y, column x of the input. */
typedef struct piece {
    const float *map;
    int64_t c, y, x, h, w;
} piece;

/* What there is of a box of the input, in the corner of a row of the layer's largest box; the rest is 0. */
static void cut(const piece *p, const int32_t *box, const top_layer *l, float *row)
{
    const int64_t y0 = box[0] > p->y ? box[0] : p->y, y1 = box[2] < p->y + p->h ? box[2] : p->y + p->h;
    const int64_t x0 = box[1] > p->x ? box[1] : p->x, x1 = box[3] < p->x + p->w ? box[3] : p->x + p->w;
    memset(row, 0, (size_t)(p->c * l->box_h * l->box_w) * sizeof *row);
    for (int64_t c = 0; c < p->c && x0 < x1; c++)
        for (int64_t y = y0; y < y1; y++)
            memcpy(row + (c * l->box_h + y - box[0]) * l->box_w + x0 - box[1],
                   p->map + (c * p->h + y - p->y) * p->w + x0 - p->x, (size_t)(x1 - x0) * sizeof *row);
}

/* Places of one layer that are taken back together, whole maps or boxes. */
typedef struct batch {
    const group *g;
    int value;
    dcv_map map; /* of the layer */
    const top_boxes *boxes;
    dcv_box_walk *box; /* NULL: whole maps */
    float *box_map;    /* [DCV_GROUP] of them */
    int n;
    const top_winner *winner[DCV_GROUP];
    dcv_box_place place[DCV_GROUP];
} batch;

static void batch_clear(batch *b)
{
    dcv_box_walk_free(b->box);
    dcv_free(b->box_map);
}

static dcv_status batch_open(const group *g, int layer, const top_boxes *boxes, batch *b)
{
    const dcv_view *v = g->view;
    int64_t h, w;
    *b = (batch){.g = g, .value = dcv_graph_find(v->graph, g->j->layer[layer].name), .boxes = boxes};
    DCV_CHECK(b->value >= 0);
    b->map = dcv_value_map(&v->graph->value[b->value]);
    if (!dcv_box_extent(v->engine, b->value, &h, &w))
        return DCV_OK;
    b->box_map = dcv_alloc((size_t)(DCV_GROUP * g->j->input.c * h * w), sizeof *b->box_map);
    return b->box_map ? dcv_box_walk_new(v->engine, b->value, &b->box) : DCV_ENOMEM;
}

static void add(batch *b, int picture, const top_winner *w)
{
    const top_job *j = b->g->j;
    b->winner[b->n] = w;
    b->place[b->n++] =
        (dcv_box_place){picture, j->layer[w->layer].channel[w->slot / j->options->top], w->y, w->x, w->value};
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

static void walk_whole(const batch *b, piece *out)
{
    const group *g = b->g;
    const dcv_graph *graph = g->view->graph;
    const dcv_map m = dcv_value_map(&graph->value[graph->in[0]]);
    int64_t cell[DCV_GROUP];
    dcv_seed seed[DCV_GROUP];
    for (int i = 0; i < b->n; i++) {
        const dcv_box_place *p = &b->place[i];
        cell[i] = (p->channel * b->map.h + p->y) * b->map.w + p->x;
        seed[i] = (dcv_seed){p->picture, 1, &cell[i], &p->weight};
        out[i] = (piece){g->s->map[i], m.c, 0, 0, m.h, m.w};
    }
    dcv_walk_backward(g->view->walk, g->j->rule, b->value, seed, b->n, graph->in[0], g->s->map);
}

static void walk_boxes(const batch *b, piece *out)
{
    float *map[DCV_GROUP];
    const int64_t c = b->g->j->input.c;
    for (int i = 0; i < b->n; i++) {
        dcv_span rows, cols;
        dcv_box_walk_reach(b->box, b->place[i].y, b->place[i].x, &rows, &cols);
        const int64_t h = rows.hi - rows.lo, w = cols.hi - cols.lo;
        map[i] = b->box_map + i * c * h * w;
        out[i] = (piece){map[i], c, rows.lo, cols.lo, h, w};
    }
    dcv_box_walk_back(b->box, b->g->view->walk, b->g->j->rule, b->place, b->n, map);
}

/* A map with NaN or infinity is its picture's failure, and NaN altogether. */
static dcv_status check_row(const group *g, const top_winner *w, dcv_result *r)
{
    const top_layer *l = &g->j->layer[w->layer];
    const int64_t n = row_floats(g->j, l);
    bool finite = true;
    for (int64_t i = 0; i < n; i++)
        finite = finite && isfinite(g->s->row[i]);
    if (finite)
        return DCV_OK;
    const dcv_status st = dcv_fail(DCV_EDATA, "%s: NaN or infinity on the way back from \"%s\"",
                                   dcv_dataset_item_name(g->j->net.dataset, w->image), l->name);
    if (g->j->base.config->dataset.on_error == DCV_FAIL)
        return st;
    for (int64_t i = 0; i < n; i++)
        g->s->row[i] = NAN;
    return top_lose(g->j, w->image, dcv_message(), r);
}

static dcv_status walk_back(batch *b, dcv_result *r)
{
    piece got[DCV_GROUP];
    if (b->n == 0)
        return DCV_OK;
    (b->box ? walk_boxes : walk_whole)(b, got);
    for (int i = 0; i < b->n; i++) {
        const top_winner *w = b->winner[i];
        int32_t box[4];
        top_box_at(b->g->j, b->boxes, w->layer, w->y, w->x, box);
        cut(&got[i], box, &b->g->j->layer[w->layer], b->g->s->row);
        DCV_TRY(check_row(b->g, w, r));
        DCV_TRY(put_row(b->g, w, r));
    }
    b->n = 0;
    return DCV_OK;
}

static dcv_status take_back(batch *b, int picture, const top_winner *w, dcv_result *r)
{
    if (w->value == 0)
        return put_zeros(b->g, w, r);
    add(b, picture, w);
    return b->n == DCV_GROUP ? walk_back(b, r) : DCV_OK;
}

/* All places of the group in one layer. */
static dcv_status walk_layer(const group *g, int layer, top_winner **next, const top_boxes *boxes, dcv_result *r)
{
    batch b;
    bool any = false;
    for (int p = 0; p < g->n; p++)
        any = any || (next[p] < g->end[p] && next[p]->layer == layer);
    if (!any)
        return DCV_OK;
    dcv_status st = batch_open(g, layer, boxes, &b);
    for (int p = 0; p < g->n; p++)
        for (; st == DCV_OK && next[p] < g->end[p] && next[p]->layer == layer; next[p]++)
            st = take_back(&b, p, next[p], r);
    if (st == DCV_OK)
        st = walk_back(&b, r);
    batch_clear(&b);
    return st;
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
