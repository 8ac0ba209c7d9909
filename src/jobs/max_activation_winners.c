/* max_activation_winners.c -- the strongest places, picture by picture. */
#include <stdlib.h>
#include <string.h>
#include "jobs/max_activation.h"

static int by_image(const void *a, const void *b)
{
    const top_winner *p = a, *q = b;
    if (p->image != q->image)
        return p->image < q->image ? -1 : 1;
    if (p->layer != q->layer)
        return p->layer < q->layer ? -1 : 1;
    return p->slot < q->slot ? -1 : p->slot > q->slot;
}

static bool takes(const top_layer *l, top_which which)
{
    return which == TOP_ALL || (which == TOP_WITH_PATCH ? l->patch : l->reconstruction);
}

int64_t top_most_winners(const top_job *j, top_which which)
{
    int64_t most = 0;
    for (int i = 0; i < j->n_layers; i++)
        most += takes(&j->layer[i], which) ? j->layer[i].n * j->options->top : 0;
    return most;
}

int64_t top_list(const top_job *j, const void *state, top_which which, top_winner *to)
{
    const int64_t k = j->options->top;
    int64_t count = 0, h, w;
    for (int i = 0; i < j->n_layers; i++) {
        const top_layer *l = &j->layer[i];
        const top_place *list = top_places_of(state, l);
        for (int64_t n = 0; takes(l, which) && n < l->n * k; n++)
            if (list[n].image >= 0) {
                dcv_dataset_extent(j->net.dataset, list[n].image, &h, &w);
                to[count++] =
                    (top_winner){list[n].image, n, i, list[n].y, list[n].x, (int32_t)h, (int32_t)w, list[n].value};
            }
    }
    return count;
}

static dcv_status winners_make(const top_job *j, const void *state, top_which which, top_winners *w)
{
    const int64_t most = top_most_winners(j, which);
    w->at = dcv_alloc((size_t)most, sizeof *w->at);
    w->first = dcv_alloc((size_t)most + 1, sizeof *w->first);
    if (!w->at || !w->first)
        return DCV_ENOMEM;
    w->n = top_list(j, state, which, w->at);
    qsort(w->at, (size_t)w->n, sizeof *w->at, by_image);
    for (int64_t i = 0; i < w->n; i++)
        if (i == 0 || w->at[i].image != w->at[i - 1].image)
            w->first[w->n_pictures++] = i;
    w->first[w->n_pictures] = w->n;
    return DCV_OK;
}

dcv_status top_learn(dcv_job *base, int p, const void *state)
{
    top_job *j = (top_job *)base;
    (void)p;
    DCV_TRY(winners_make(j, state, TOP_WITH_PATCH, &j->cut));
    DCV_TRY(winners_make(j, state, TOP_WITH_RECONSTRUCTION, &j->back));
    return top_reconstruct_plan(j);
}

void top_free_winners(top_job *j)
{
    dcv_free(j->cut.at);
    dcv_free(j->cut.first);
    dcv_free(j->back.at);
    dcv_free(j->back.first);
}

dcv_status top_lose(const top_job *j, int64_t image, const char *message, dcv_result *r)
{
    const uint8_t status = 2;
    DCV_TRY(dcv_result_fail_item(r, image, message));
    return dcv_result_put(r, j->net.id_status, image, 1, &status);
}
