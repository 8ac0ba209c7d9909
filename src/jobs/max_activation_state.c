/* max_activation_state.c -- what a search gathers.
 *
 * A block's state is flat: for each layer its sums, histograms and places, so that folding and storing need no
 * pointers.  The order of places is (value descending, item ascending, y, x); items come in ascending order, within
 * a block and from block to block, so a newcomer goes behind its equals.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "jobs/max_activation.h"

top_sums *top_sums_of(const void *state, const top_layer *l)
{
    return (top_sums *)((char *)(uintptr_t)state + l->at_sums);
}

int64_t *top_histogram_of(const void *state, const top_layer *l)
{
    return (int64_t *)((char *)(uintptr_t)state + l->at_histogram);
}

top_place *top_places_of(const void *state, const top_layer *l)
{
    return (top_place *)((char *)(uintptr_t)state + l->at_places);
}

void top_state_clear(const dcv_job *base, int p, void *state)
{
    const top_job *j = (const top_job *)base;
    (void)p;
    memset(state, 0, j->state_bytes);
    for (int i = 0; i < j->n_layers; i++) {
        top_place *to = top_places_of(state, &j->layer[i]);
        for (int64_t n = 0; n < j->layer[i].n * j->options->top; n++)
            to[n] = (top_place){.image = -1, .value = NAN, .y = -1, .x = -1};
    }
}

void top_insert(top_place *list, int64_t k, const top_place *p)
{
    if (isnan(p->value) || (list[k - 1].image >= 0 && !(p->value > list[k - 1].value)))
        return;
    int64_t i = k - 1;
    for (; i > 0 && (list[i - 1].image < 0 || p->value > list[i - 1].value); i--)
        list[i] = list[i - 1];
    list[i] = *p;
}

void top_state_fold(const dcv_job *base, int p, void *into, const void *block)
{
    const top_job *j = (const top_job *)base;
    const int64_t k = j->options->top;
    (void)p;
    for (int i = 0; i < j->n_layers; i++) {
        const top_layer *l = &j->layer[i];
        top_sums *to = top_sums_of(into, l);
        const top_sums *from = top_sums_of(block, l);
        for (int64_t c = 0; c < l->n; c++) {
            to[c].sum += from[c].sum;
            to[c].square += from[c].square;
            to[c].nonzero += from[c].nonzero;
            to[c].cells += from[c].cells;
            for (int64_t n = 0; n < k && top_places_of(block, l)[c * k + n].image >= 0; n++)
                top_insert(top_places_of(into, l) + c * k, k, &top_places_of(block, l)[c * k + n]);
        }
        for (int64_t n = 0; n < l->n * DCV_HISTOGRAM_BINS; n++)
            top_histogram_of(into, l)[n] += top_histogram_of(block, l)[n];
    }
}

/* --- What is put once all has been searched ----------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const top_winner *p = a, *q = b;
    if (p->h != q->h)
        return p->h < q->h ? -1 : 1;
    return (p->w > q->w) - (p->w < q->w);
}

static int64_t most_values(const top_job *j)
{
    int64_t most = 0;
    for (int i = 0; i < j->n_layers; i++) {
        const int64_t k = j->options->top, classes = j->net.dataset->classes;
        const int64_t row = k + 2 > classes ? k + 2 : classes; /* mean, std and nonzero are three halves */
        most = j->layer[i].n * row > most ? j->layer[i].n * row : most;
    }
    return most;
}

static dcv_status put_places(const top_job *j, const top_layer *l, const void *state, void *buffer, dcv_result *r)
{
    const int64_t n = l->n * j->options->top;
    const top_place *list = top_places_of(state, l);
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
static dcv_status find_boxes(const top_job *j, const void *state, top_winner *list, int32_t *const *box)
{
    top_boxes b = {0};
    dcv_status st = DCV_OK;
    const int64_t n = top_list(j, state, TOP_ALL, list);
    qsort(list, (size_t)n, sizeof *list, by_size);
    for (int64_t i = 0; st == DCV_OK && i < n; i++) {
        st = top_boxes_for(j, NULL, list[i].h, list[i].w, &b);
        if (st == DCV_OK)
            top_box_at(j, &b, list[i].layer, list[i].y, list[i].x, box[list[i].layer] + 4 * list[i].slot);
    }
    top_boxes_clear(j, &b);
    return st;
}

static dcv_status put_boxes(const top_job *j, const void *state, dcv_result *r)
{
    int64_t n = 0;
    for (int i = 0; i < j->n_layers; i++)
        n += j->layer[i].n * j->options->top;
    top_winner *list = dcv_alloc((size_t)n, sizeof *list);
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

static dcv_status put_statistics(const top_job *j, const top_layer *l, const void *state, void *buffer, dcv_result *r)
{
    const top_sums *s = top_sums_of(state, l);
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
    DCV_TRY(dcv_result_put(r, l->id_histogram, 0, l->n * DCV_HISTOGRAM_BINS, top_histogram_of(state, l)));
    const int64_t classes = j->net.dataset->classes, k = j->options->top;
    int64_t *count = buffer;
    memset(count, 0, (size_t)(l->n * classes) * sizeof *count);
    for (int64_t i = 0; i < l->n * k; i++) {
        const int64_t image = top_places_of(state, l)[i].image;
        const int32_t label = image < 0 ? -1 : j->net.dataset->entry[image].label;
        if (label >= 0)
            count[i / k * classes + label]++;
    }
    return dcv_result_put(r, l->id_class_count, 0, l->n * classes, count);
}

dcv_status top_finish(dcv_job *base, int p, const void *state, dcv_result *r)
{
    top_job *j = (top_job *)base;
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
