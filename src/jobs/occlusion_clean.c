/* occlusion_clean.c -- what is kept of clean pictures, by the job's cache (deconvoy/cache.h).
 *
 * All of a picture lies in one room: maps of the values that patches name, of each layer the map of its most active
 * channel, the targets' units, channels and sums.  A thread holds one picture while it computes a part of it; where
 * pictures have several parts, the ranks of a node share them.
 */
#include "jobs/occlusion.h"

static size_t up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Bytes of each piece of a room, in their order. */
typedef struct pieces {
    size_t maps, cells, unit, channel, total;
} pieces;

static pieces pieces_of(const occlusion_job *j, const dcv_graph *g, const int *layer, const dcv_patches *patches)
{
    const size_t layers = (size_t)j->n_layers;
    int64_t cells = 0;
    for (int i = 0; i < j->n_layers; i++) {
        const dcv_map m = dcv_value_map(&g->value[layer[i]]);
        cells += m.h * m.w;
    }
    return (pieces){patches ? up(dcv_patches_clean_floats(patches) * sizeof(float)) : 0,
                    up((size_t)cells * sizeof(float)), up((size_t)j->targets.n * sizeof(dcv_unit)),
                    up(layers * sizeof(int64_t)), up(layers * sizeof(double))};
}

static size_t sum_of(const pieces *p)
{
    return p->maps + p->cells + p->unit + p->channel + p->total;
}

dcv_status occlusion_cleans_open(occlusion_job *j)
{
    const dcv_graph *g = j->on.net.graph;
    int *values = dcv_alloc((size_t)j->n_layers + 1, sizeof *values);
    dcv_status st = values ? occlusion_values(j, g, values) : DCV_ENOMEM;
    if (st == DCV_OK) {
        const pieces p = pieces_of(j, g, values + 1, j->patches);
        const int64_t items = j->on.net.n_items;
        j->clean_bytes = sum_of(&p);
        st = dcv_cache_new(&(dcv_cache_options){.what = "clean maps",
                                                .bytes = j->clean_bytes,
                                                .keys = items > 1 ? items : 1,
                                                .threads = j->on.net.threads,
                                                .common = j->on.net.parts > 1},
                           &j->on.base.cache);
    }
    dcv_free(values);
    return st;
}

static void lay_out(const occlusion_job *j, const dcv_view *view, const pieces *p, occlusion_clean *k)
{
    const occlusion_view *v = view->own;
    char *at = k->own ? k->own : k->hold.at;
    k->maps = (float *)at;
    float *cells = (float *)(at += p->maps);
    k->unit = (dcv_unit *)(at += p->cells);
    k->channel = (int64_t *)(at += p->unit);
    k->total = (double *)(at + p->channel);
    for (int i = 0; i < j->n_layers; i++) {
        const dcv_map m = dcv_value_map(&view->graph->value[v->layer[i]]);
        k->map[i] = cells;
        cells += m.h * m.w;
    }
}

dcv_status occlusion_clean_take(occlusion_job *j, const dcv_view *view, int64_t item, occlusion_clean *k)
{
    const occlusion_view *v = view->own;
    const pieces p = pieces_of(j, view->graph, v->layer, v->patches);
    occlusion_clean_drop(j, k);
    if (sum_of(&p) <= j->clean_bytes)
        DCV_TRY(dcv_cache_take(j->on.base.cache, item, &k->hold));
    else /* another size of picture may keep more values than the largest, and finds no room for them */
        k->own = dcv_alloc(sum_of(&p), 1);
    if (!k->hold.at && !k->own)
        return DCV_ENOMEM;
    k->item = item;
    k->ready = k->hold.ready;
    lay_out(j, view, &p, k);
    return DCV_OK;
}

void occlusion_clean_ready(occlusion_job *j, occlusion_clean *k)
{
    k->ready = true;
    if (k->hold.at)
        dcv_cache_ready(j->on.base.cache, &k->hold);
}

void occlusion_clean_drop(occlusion_job *j, occlusion_clean *k)
{
    dcv_cache_drop(j->on.base.cache, &k->hold);
    dcv_free(k->own);
    k->own = NULL;
    k->ready = false;
}
