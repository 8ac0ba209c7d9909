/* max_activation_search.c -- phase "search": every value of every channel is looked at once. */
#include <string.h>
#include "jobs/max_activation.h"

typedef struct context {
    const top_job *j;
    void *state;
    dcv_dims dims; /* of the input that layer_of is for: graphs of other sizes come and go at one address */
    const int64_t *item;
    dcv_channel_sums *channel; /* room for the widest layer */
    int64_t *histogram;        /* likewise */
    float *value;              /* [per_image] */
    int32_t *at;
    int *layer_of; /* for the view's graph */
} context;

static void add_places(const context *x, const top_layer *l, const dcv_blob *b, int64_t image,
                       const dcv_channel_sums *seen)
{
    const top_options *o = x->j->options;
    const dcv_blob_shape shape = dcv_blob_shape_of(b->dims, b->block);
    const int64_t w = b->dims->n >= 3 ? b->dims->d[b->dims->n - 1] : 1;
    for (int64_t c = 0; c < l->n; c++) {
        top_place *list = top_places_of(x->state, l) + c * o->top;
        const dcv_channel_sums *s = &seen[l->channel[c]];
        if (o->rank_by == TOP_BY_MEAN) {
            top_insert(list, o->top, &(top_place){.image = image, .value = (float)(s->sum / (double)shape.cells)});
        } else if (o->per_image == 1) {
            if (s->at >= 0)
                top_insert(
                    list, o->top,
                    &(top_place){.image = image, .value = s->max, .y = s->at / (int32_t)w, .x = s->at % (int32_t)w});
        } else {
            const int n = dcv_channel_best(b, l->channel[c], (int)o->per_image, x->value, x->at);
            for (int i = 0; i < n; i++)
                top_insert(
                    list, o->top,
                    &(top_place){
                        .image = image, .value = x->value[i], .y = x->at[i] / (int32_t)w, .x = x->at[i] % (int32_t)w});
        }
    }
}

static void add_sums(const context *x, const top_layer *l, int64_t cells, const dcv_channel_sums *seen)
{
    for (int64_t c = 0; c < l->n; c++) {
        const dcv_channel_sums *s = &seen[l->channel[c]];
        top_sums *to = &top_sums_of(x->state, l)[c];
        int64_t *bins = top_histogram_of(x->state, l) + c * DCV_HISTOGRAM_BINS;
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
    const top_layer *l = &x->j->layer[i];
    const bool statistics = x->j->options->statistics;
    if (statistics)
        memset(x->histogram, 0, (size_t)l->map.c * DCV_HISTOGRAM_BINS * sizeof *x->histogram);
    dcv_channel_scan(b, x->channel, statistics ? x->histogram : NULL);
    add_places(x, l, b, x->item[picture], x->channel);
    if (statistics)
        add_sums(x, l, dcv_blob_shape_of(b->dims, b->block).cells, x->channel);
}

static dcv_status group(void *ctx, const dcv_view *view, const int64_t *item, int n)
{
    context *x = ctx;
    (void)n;
    x->item = item;
    dcv_walk_keeps(view->walk, false);
    if (x->layer_of && dcv_dims_equal(&x->dims, &view->dims))
        return DCV_OK;
    dcv_free(x->layer_of);
    x->dims = view->dims;
    return top_layer_of(x->j, view->graph, &x->layer_of);
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

dcv_status top_search(top_job *j, int64_t unit, int thread, void *input, void *state, dcv_result *r)
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
