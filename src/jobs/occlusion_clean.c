/* occlusion_clean.c -- what is kept of clean pictures, shared by the threads of a rank.
 *
 * A thread holds one picture at a time and lets go of it before it asks for the next, so there are never more than
 * threads.  The first that comes for a picture makes it, others wait for it to be ready: whoever makes one waits for
 * nobody, so the wait ends.  One that nobody holds stays as it is until its room is needed.
 *
 * Ranks keep pictures of their own: the walk that makes one is little beside a part's windows (see plan_units()), and
 * nobody has to outlive anybody.
 */
#include <string.h>

#include "jobs/occlusion.h"

dcv_status occlusion_cleans_open(occlusion_cleans *c, int threads)
{
    *c = (occlusion_cleans){.n = threads, .clean = dcv_alloc((size_t)threads, sizeof *c->clean)};
    if (!c->clean)
        return DCV_ENOMEM;
    for (int i = 0; i < threads; i++)
        c->clean[i].item = -1;
    if (pthread_mutex_init(&c->lock, NULL))
        return dcv_fail(DCV_ENOMEM, "no mutex");
    c->locks = true;
    if (pthread_cond_init(&c->changed, NULL))
        return dcv_fail(DCV_ENOMEM, "no condition variable");
    c->waits = true;
    return DCV_OK;
}

static void clear(occlusion_clean *k)
{
    dcv_free(k->unit);
    dcv_free(k->channel);
    dcv_free(k->total);
    dcv_free(k->map);
    dcv_free(k->cells);
    dcv_free(k->maps);
    *k = (occlusion_clean){.item = -1};
}

void occlusion_cleans_close(occlusion_cleans *c)
{
    for (int i = 0; c->clean && i < c->n; i++)
        clear(&c->clean[i]);
    dcv_free(c->clean);
    if (c->locks)
        pthread_mutex_destroy(&c->lock);
    if (c->waits)
        pthread_cond_destroy(&c->changed);
    *c = (occlusion_cleans){0};
}

/* Room for a picture of a view's size. */
static dcv_status make_room(const occlusion_job *j, const dcv_view *view, occlusion_clean *k)
{
    const occlusion_view *v = view->own;
    const size_t layers = (size_t)j->n_layers;
    int64_t cells = 0;
    for (int i = 0; i < j->n_layers; i++) {
        const dcv_map m = dcv_value_map(&view->graph->value[v->layer[i]]);
        cells += m.h * m.w;
    }
    const size_t floats = v->patches ? dcv_patches_clean_floats(v->patches) : 0;
    if (k->unit && floats == k->n_floats && cells == k->n_cells)
        return DCV_OK;
    clear(k);
    k->unit = dcv_alloc((size_t)j->targets.n, sizeof *k->unit);
    k->channel = dcv_alloc(layers, sizeof *k->channel);
    k->total = dcv_alloc(layers, sizeof *k->total);
    k->map = dcv_alloc(layers, sizeof *k->map);
    k->cells = dcv_alloc((size_t)cells, sizeof *k->cells);
    k->maps = dcv_alloc(floats, sizeof *k->maps);
    k->n_floats = floats;
    k->n_cells = cells;
    if (!k->unit || !k->channel || !k->total || !k->map || !k->cells || !k->maps) {
        clear(k);
        return DCV_ENOMEM;
    }
    return DCV_OK;
}

static void lay_out(const occlusion_job *j, const dcv_view *view, occlusion_clean *k)
{
    const occlusion_view *v = view->own;
    float *at = k->cells;
    for (int i = 0; i < j->n_layers; i++) {
        const dcv_map m = dcv_value_map(&view->graph->value[v->layer[i]]);
        k->map[i] = at;
        at += m.h * m.w;
    }
}

static occlusion_clean *of_item(const occlusion_cleans *c, int64_t item)
{
    for (int i = 0; i < c->n; i++)
        if (c->clean[i].item == item)
            return &c->clean[i];
    return NULL;
}

/* The one that was asked for longest ago of those that nobody holds. */
static occlusion_clean *spare(const occlusion_cleans *c)
{
    occlusion_clean *best = NULL;
    for (int i = 0; i < c->n; i++)
        if (!c->clean[i].users && (!best || c->clean[i].asked < best->asked))
            best = &c->clean[i];
    DCV_CHECK(best);
    return best;
}

/* Under the lock. */
static dcv_status take(occlusion_job *j, const dcv_view *view, int64_t item, occlusion_clean **out)
{
    occlusion_cleans *c = &j->cleans;
    occlusion_clean *k;
    while ((k = of_item(c, item)) && !k->ready)
        pthread_cond_wait(&c->changed, &c->lock);
    if (!k) {
        k = spare(c);
        k->item = -1;
        k->ready = false;
        DCV_TRY(make_room(j, view, k));
        lay_out(j, view, k);
        k->item = item;
    }
    k->asked = ++c->asked;
    k->users++;
    *out = k;
    return DCV_OK;
}

dcv_status occlusion_clean_take(occlusion_job *j, const dcv_view *view, int64_t item, occlusion_clean **held)
{
    occlusion_cleans *c = &j->cleans;
    dcv_status st = DCV_OK;
    pthread_mutex_lock(&c->lock);
    if (!*held || (*held)->item != item) {
        if (*held)
            (*held)->users--;
        *held = NULL;
        st = take(j, view, item, held);
    }
    pthread_mutex_unlock(&c->lock);
    return st;
}

void occlusion_clean_ready(occlusion_job *j, occlusion_clean *k)
{
    occlusion_cleans *c = &j->cleans;
    pthread_mutex_lock(&c->lock);
    k->ready = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}
