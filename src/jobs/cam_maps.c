/* cam_maps.c -- what the job `cam` makes of pictures: signals walked back, maps, heat maps, boxes. */
#include <math.h>
#include <string.h>

#include "deconvoy/rule.h"
#include "jobs/cam.h"
#include "jobs/regions.h"

typedef struct context {
    const cam_job *j;
    cam_scratch *s;
    void *state; /* NULL: nothing is gathered */
    const dcv_view *view;
    int value[CAM_LAYERS]; /* the layers in the view's graph */
    dcv_map map[CAM_LAYERS];
    dcv_map input;
    const char *wrong[DCV_GROUP]; /* why a picture of the group fails; NULL: it does not */
} context;

/* --- Walk forward --------------------------------------------------------------------- */

static dcv_status group(void *ctx, const dcv_view *view, const int64_t *item, int n)
{
    context *x = ctx;
    (void)item, (void)n;
    x->view = view;
    x->input = dcv_value_map(&view->graph->value[view->graph->in[0]]);
    memset(x->wrong, 0, sizeof x->wrong);
    for (int i = 0; i < x->j->n_layers; i++) {
        x->value[i] = dcv_graph_find(view->graph, x->j->layer[i].name);
        x->map[i] = dcv_value_map(&view->graph->value[x->value[i]]);
    }
    return DCV_OK;
}

static void see(void *ctx, int picture, int value, const dcv_blob *b)
{
    const context *x = ctx;
    if (value == x->view->graph->logits)
        dcv_targets_see(&x->j->targets, x->view->graph, b, x->s->logits[picture]);
    for (int i = 0; i < x->j->n_layers; i++)
        if (value == x->value[i])
            dcv_blob_read(b, x->s->activation[i][picture]);
}

static bool all_finite(const float *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return false;
    return true;
}

/* --- Walks back ----------------------------------------------------------------------- */

/* Signals of a batch: number k is of target k % targets of picture first + k / targets. */
typedef struct batch {
    int first, pictures;
} batch;

static dcv_unit *unit_of(const context *x, const batch *b, int64_t k)
{
    return &x->s->unit[b->first * x->j->targets.n + k];
}

static float *map_of(const context *x, int64_t k, int i)
{
    return x->s->map + (k * x->j->n_wanted + i) * x->j->cells;
}

static float *guided_of(const context *x, int64_t k)
{
    return x->s->guided + k * x->j->input.c * x->j->input.h * x->j->input.w;
}

/* Maps of all methods about a layer, for n signals. */
static void make_maps(const context *x, int layer, const dcv_seed *seed, const int64_t *at, int n)
{
    const cam_job *j = x->j;
    const dcv_graph *g = x->view->graph;
    dcv_walk_backward(x->view->walk, dcv_rule_find("gradient"), g->logits, seed, n, x->value[layer], x->s->signal);
    for (int s = 0; s < n; s++)
        for (int i = 0; i < j->n_wanted; i++)
            if (j->wanted[i].layer == layer)
                dcv_cam_map(j->wanted[i].method->kind, &x->map[layer], x->s->activation[layer][seed[s].picture],
                            x->s->signal[s], x->s->sum, map_of(x, at[s], i));
}

static void walk_back(const context *x, const dcv_seed *seed, const int64_t *at, int n)
{
    const dcv_graph *g = x->view->graph;
    float *to[DCV_GROUP];
    for (int layer = 0; layer < x->j->n_layers; layer++)
        make_maps(x, layer, seed, at, n);
    for (int s = 0; s < n && x->j->guided; s++)
        to[s] = guided_of(x, at[s]);
    if (x->j->guided)
        dcv_walk_backward(x->view->walk, dcv_rule_find("guided_backprop"), g->logits, seed, n, g->in[0], to);
}

static void walk_batch(const context *x, const batch *b)
{
    const cam_job *j = x->j;
    const int64_t n = (int64_t)b->pictures * j->targets.n;
    dcv_seed seed[DCV_GROUP];
    int64_t at[DCV_GROUP];
    int held = 0;
    for (int64_t k = 0; k < n; k++) {
        const int p = b->first + (int)(k / j->targets.n);
        const dcv_unit *u = unit_of(x, b, k);
        if (!x->wrong[p] && u->channel >= 0) {
            seed[held] = dcv_targets_seed(&j->targets, x->view->graph, u, x->s->logits[p], false, p, x->s->cell[held],
                                          x->s->weight[held]);
            at[held++] = k;
        }
        if (held == DCV_GROUP || (held && k == n - 1)) {
            walk_back(x, seed, at, held);
            held = 0;
        }
    }
}

/* --- What fails ----------------------------------------------------------------------- */

static const char *not_finite(const context *x, const batch *b, int p)
{
    const cam_job *j = x->j;
    const int64_t px = x->input.c * x->input.h * x->input.w;
    for (int t = 0; t < j->targets.n; t++) {
        const int64_t k = (int64_t)(p - b->first) * j->targets.n + t;
        if (unit_of(x, b, k)->channel < 0)
            continue;
        for (int i = 0; i < j->n_wanted; i++) {
            const dcv_map *m = &x->map[j->wanted[i].layer];
            if (!all_finite(map_of(x, k, i), m->h * m->w) ||
                (j->wanted[i].method->guided && !all_finite(guided_of(x, k), px)))
                return j->wanted[i].method->name;
        }
    }
    return NULL;
}

/* --- Results of one target ------------------------------------------------------------- */

/* One picture, one of its targets and one method. */
typedef struct place {
    int64_t item, k; /* the signal of a batch */
    int t, i;        /* target, method */
    int n_true;      /* boxes in scratch */
    const dcv_unit *best;
} place;

static int64_t row_of(const cam_job *j, const place *a)
{
    return a->item * j->targets.n + a->t;
}

static dcv_status put_map(const context *x, const place *a, dcv_result *r)
{
    const cam_wanted *w = &x->j->wanted[a->i];
    const dcv_map *m = &x->map[w->layer];
    const int64_t first = row_of(x->j, a) * dcv_count(&w->map), px = x->input.h * x->input.w;
    if (!w->method->guided)
        return dcv_put_within(r, w->id_map, first, &w->map, map_of(x, a->k, a->i), &(dcv_dims){2, {m->h, m->w}});
    for (int64_t c = 0; c < x->input.c; c++)
        for (int64_t q = 0; q < px; q++)
            x->s->product[c * px + q] = guided_of(x, a->k)[c * px + q] * x->s->heat[q];
    return dcv_put_within(r, w->id_map, first, &w->map, x->s->product,
                          &(dcv_dims){3, {x->input.c, x->input.h, x->input.w}});
}

static void count(const context *x, const place *a, int threshold, dcv_box found, float *iou)
{
    const cam_job *j = x->j;
    int64_t best[DCV_BEST];
    int n_best = 0;
    while (n_best < DCV_BEST && a->best[n_best].channel >= 0) {
        best[n_best] = a->best[n_best].channel;
        n_best++;
    }
    *iou = (float)dcv_box_count(found, x->s->truth, a->n_true, best, n_best,
                                &x->s->box[(a->i * j->targets.n + a->t) * j->n_thresholds + threshold]);
}

static dcv_status put_boxes(const context *x, const place *a, dcv_result *r)
{
    const cam_job *j = x->j;
    const cam_wanted *w = &j->wanted[a->i];
    for (int k = 0; k < j->n_thresholds; k++) {
        const int64_t at = row_of(j, a) * j->n_thresholds + k;
        const dcv_box b = dcv_box_of(x->s->heat, x->input.h, x->input.w, j->options->boxes.thresholds.v[k], x->s->room);
        const int32_t row[4] = {b.y0, b.x0, b.y1, b.x1};
        float iou = NAN;
        DCV_TRY(dcv_result_put(r, w->id_box, 4 * at, 4, row));
        if (a->n_true)
            count(x, a, k, b, &iou);
        if (j->truth)
            DCV_TRY(dcv_result_put(r, w->id_iou, at, 1, &iou));
    }
    if (a->n_true)
        dcv_map_count(x->s->heat, x->input.h, x->input.w, x->s->truth, a->n_true,
                      &x->s->counted[a->i * j->targets.n + a->t]);
    return DCV_OK;
}

static dcv_status put_one(const context *x, const place *a, dcv_result *r)
{
    const cam_job *j = x->j;
    const cam_wanted *w = &j->wanted[a->i];
    const dcv_map *m = &x->map[w->layer];
    if (j->hot)
        dcv_cam_heatmap(map_of(x, a->k, a->i), m->h, m->w, x->input.h, x->input.w, x->s->heat);
    DCV_TRY(put_map(x, a, r));
    if (j->options->heatmap)
        DCV_TRY(dcv_put_within(r, w->id_heatmap, row_of(j, a) * j->input.h * j->input.w,
                               &(dcv_dims){2, {j->input.h, j->input.w}}, x->s->heat,
                               &(dcv_dims){2, {x->input.h, x->input.w}}));
    return put_boxes(x, a, r);
}

/* An item that has no such target (a label that is not known). */
static dcv_status put_none(const context *x, const place *a, dcv_result *r)
{
    const cam_job *j = x->j;
    const cam_wanted *w = &j->wanted[a->i];
    const int64_t row = row_of(j, a), cells = dcv_count(&w->map), px = j->input.h * j->input.w, boxes = j->n_thresholds;
    DCV_TRY(dcv_put_missing(r, w->id_map, DCV_F32, row * cells, cells));
    if (j->options->heatmap)
        DCV_TRY(dcv_put_missing(r, w->id_heatmap, DCV_F32, row * px, px));
    if (boxes)
        DCV_TRY(dcv_put_missing(r, w->id_box, DCV_I32, 4 * row * boxes, 4 * boxes));
    return j->truth ? dcv_put_missing(r, w->id_iou, DCV_F32, row * boxes, boxes) : DCV_OK;
}

/* --- Results of one picture ------------------------------------------------------------ */

/* The item's true boxes into scratch, those that a target is compared with in front.  Returns how many these are. */
static int true_boxes(const context *x, int64_t item, int64_t class_number)
{
    const dcv_truth *t = x->j->truth;
    const int n = t ? (int)(t->first[item + 1] - t->first[item]) : 0;
    for (int i = 0; i < n; i++) {
        const dcv_truth_box *b = &t->box[t->first[item] + i];
        x->s->truth[i] = (dcv_true_box){b->y0, b->x0, b->y1, b->x1, b->class_number};
    }
    return n ? dcv_true_boxes_of(x->s->truth, n, (int32_t)class_number) : 0;
}

static dcv_status put_item(const context *x, const batch *b, int p, int64_t item, dcv_result *r)
{
    const cam_job *j = x->j;
    const int n = j->targets.n;
    dcv_unit best[DCV_BEST];
    place a = {.item = item, .best = best};
    if (j->truth) {
        dcv_targets_find(&j->best, x->view->graph, x->s->logits[p], -1, best);
        memset(x->s->counted, 0, (size_t)(j->n_wanted * n) * sizeof *x->s->counted);
        memset(x->s->box, 0, (size_t)(j->n_wanted * n * j->n_thresholds) * sizeof *x->s->box);
    }
    for (a.t = 0; a.t < n; a.t++) {
        a.k = (int64_t)(p - b->first) * n + a.t;
        const dcv_unit *u = unit_of(x, b, a.k);
        const int32_t target = (int32_t)u->channel;
        DCV_TRY(dcv_result_put(r, j->id_target, row_of(j, &a), 1, &target));
        a.n_true = target >= 0 ? true_boxes(x, item, target) : 0;
        for (a.i = 0; a.i < j->n_wanted; a.i++)
            DCV_TRY((target >= 0 ? put_one : put_none)(x, &a, r));
    }
    if (j->truth)
        cam_state_add(j, x->state, x->s);
    return dcv_shown_put(&j->shown, j->on.net.dataset, item, r);
}

/* --- Units ------------------------------------------------------------------------------ */

static dcv_status walked(void *ctx, const dcv_view *view, const int64_t *item, int n, const float *const *picture,
                         dcv_result *r)
{
    context *x = ctx;
    const cam_job *j = x->j;
    (void)picture;
    for (int p = 0; p < n; p++) {
        if (!all_finite(x->s->logits[p], dcv_count(&view->graph->value[view->graph->logits].dims)))
            x->wrong[p] = "the logits";
        dcv_targets_find(&j->targets, view->graph, x->s->logits[p], j->on.net.dataset->entry[item[p]].label,
                         x->s->unit + p * j->targets.n);
    }
    const int most = j->batch / j->targets.n < DCV_GROUP ? (int)(j->batch / j->targets.n) : DCV_GROUP;
    for (batch b = {0, 0}; b.first < n; b.first += b.pictures) {
        b.pictures = n - b.first < most ? n - b.first : most;
        walk_batch(x, &b);
        for (int p = b.first; p < b.first + b.pictures; p++) {
            if (!x->wrong[p])
                x->wrong[p] = not_finite(x, &b, p);
            if (!x->wrong[p])
                DCV_TRY(put_item(x, &b, p, item[p], r));
        }
    }
    return DCV_OK;
}

static dcv_status done(void *ctx, const dcv_view *view, int64_t item, int picture, dcv_result *r)
{
    const context *x = ctx;
    (void)view, (void)r;
    return !x->wrong[picture] ? DCV_OK
                              : dcv_fail(DCV_EDATA, "%s: NaN or infinity in %s",
                                         dcv_dataset_item_name(x->j->on.net.dataset, item), x->wrong[picture]);
}

static dcv_status failed(void *ctx, int64_t item, dcv_result *r)
{
    return cam_put_failed(((const context *)ctx)->j, item, r);
}

dcv_status cam_compute(dcv_job *job, int p, int64_t unit, int thread, void *input, void *state, dcv_result *r)
{
    cam_job *j = (cam_job *)job;
    context x = {.j = j, .s = &j->scratch[thread], .state = state};
    const dcv_unit_actions actions = {
        .ctx = &x, .see = see, .group = group, .walked = walked, .done = done, .failed = failed};
    (void)p;
    return dcv_network_unit(&j->on.net, unit, thread, input, &actions, r);
}
