/* patch_walk.c -- windows through their heads, those of a class together, and through the tail, several at a time. */
#include <string.h>
#include "engine/build.h"
#include "engine/patch_plan.h"

struct dcv_patch_walk {
    dcv_patches *p;
    float *clean;    /* maps of the picture as it is; borrowed */
    dcv_walk **walk; /* [heads] NULL: not met yet */
    dcv_walk *tail;  /* NULL: there is none */
    float *arena;    /* lent to the heads' walks */
    void *scratch;
    size_t arena_floats, scratch_bytes;
    float *window[DCV_GROUP];   /* boxes of the input */
    float *places[DCV_GROUP];   /* of the pastes */
    const float **in;           /* of one walk: [inputs][room of heads or tail] */
    const float *const **group; /* [inputs] */
    int n_cut, *cut;
    float **whole;                /* [n_cut][slots] maps for the tail */
    dcv_span (*dirty)[2];         /* [n_cut][slots] where they differ from the clean ones */
    bool *fresh;                  /* [slots] maps are the clean ones of this picture, but for dirty */
    bool *taken;                  /* [slots] */
    int n_queue, *queue, *queued; /* [slots] slots, and their windows, that wait for the tail */
    /* Of the call under way: */
    const int (*at)[2];
    int *order;                    /* windows by head */
    int batch[DCV_GROUP], n_batch; /* windows in their head */
    int slot[DCV_GROUP];           /* theirs */
    const dcv_patch_head *head;
    dcv_patch_fn see;
    void *ctx;
};

/* --- engines --- */

static dcv_status compile(dcv_patches *p, dcv_patch_head *h, const int *input_block, int together, int room)
{
    dcv_engine *e = NULL;
    const dcv_engine_options o = {.precision = p->o.precision,
                                  .backend = p->o.backend,
                                  .seen = h->g.out,
                                  .n_seen = h->g.n_out,
                                  .share = p->last,
                                  .whole = p->engine,
                                  .together = together,
                                  .room = room,
                                  .input_block = input_block};
    DCV_TRY(dcv_engine_new(&h->g, &o, &e));
    const dcv_status st = dcv_engine_pack_own(e);
    if (st != DCV_OK) {
        dcv_engine_free(e);
        return st;
    }
    h->engine = e;
    p->last = e;
    return DCV_OK;
}

static void place_clean(dcv_patches *p, const dcv_engine *e)
{
    for (int v = 0; v < p->g->n_value; v++) {
        if (!p->clean[v])
            continue;
        p->clean_block[v] = e->spot[e->home[v]].block;
        p->clean_at[v] = p->clean_floats;
        p->clean_floats += (dcv_blob_shape_of(&p->g->value[v].dims, p->clean_block[v]).floats + 15) / 16 * 16;
    }
    for (int i = 0; i < p->n_class[0] * p->n_class[1]; i++)
        for (int k = 0; k < p->head[i].n_paste; k++) {
            dcv_patch_attr *a = p->head[i].g.node[p->head[i].paste[k]].attr;
            a->block = p->clean_block[a->value];
        }
}

/* Windows of a picture that share a head, as far as a group has room for them. */
static int windows_of(const dcv_patches *p, int head)
{
    int n[2] = {0, 0};
    for (int a = 0; a < 2; a++)
        for (int i = 0; i < p->o.n_window[a]; i++)
            n[a] += p->class_of[a][i] == (a ? head % p->n_class[1] : head / p->n_class[1]);
    return n[0] < DCV_GROUP && n[1] < DCV_GROUP && n[0] * n[1] < DCV_GROUP ? n[0] * n[1] : DCV_GROUP;
}

/* The head of the largest boxes. */
static int largest_head(const dcv_patches *p)
{
    int best = 0;
    for (int i = 1; i < p->n_class[0] * p->n_class[1]; i++)
        best = p->head[i].macs > p->head[best].macs ? i : best;
    return best;
}

dcv_status dcv_patches_attach(dcv_patches *p, const dcv_engine *e)
{
    DCV_CHECK(!p->engine && e->g == p->g);
    p->engine = p->last = e;
    place_clean(p, e);
    const int largest = largest_head(p);
    if (p->head[largest].g.n_node)
        DCV_TRY(compile(p, &p->head[largest], NULL, windows_of(p, largest), 0));
    if (!p->tail.g.n_node)
        return DCV_OK;
    int *block = dcv_alloc((size_t)p->tail.g.n_in, sizeof *block);
    if (!block)
        return DCV_ENOMEM;
    for (int i = 0; i < p->tail.g.n_in; i++)
        block[i] = p->clean_block[p->tail.g.in[i]];
    const dcv_status st = compile(p, &p->tail, block, 0, p->tail_room);
    dcv_free(block);
    return st;
}

/* Heads are made when first met, by whichever thread that is; what they compute does not depend on the order. */
static dcv_status engine_of(dcv_patches *p, int head, const dcv_engine **out)
{
    dcv_status st = DCV_OK;
    pthread_mutex_lock(&p->lock);
    if (!p->head[head].engine)
        st = compile(p, &p->head[head], NULL, windows_of(p, head), 0);
    *out = p->head[head].engine;
    pthread_mutex_unlock(&p->lock);
    return st;
}

/* --- a thread's memory --- */

static int64_t floats_of(const dcv_patches *p, int v)
{
    return dcv_blob_shape_of(&p->g->value[v].dims, p->clean_block[v]).floats;
}

static void most_of_heads(const dcv_patches *p, size_t *window, size_t *places, size_t *inputs)
{
    *window = *places = 0;
    *inputs = (size_t)p->tail.g.n_in + 1;
    for (int i = 0; i < p->n_class[0] * p->n_class[1]; i++) {
        const dcv_graph *g = &p->head[i].g;
        const size_t w = (size_t)dcv_count(&g->value[g->in[0]].dims), n = (size_t)p->head[i].n_paste;
        *window = w > *window ? w : *window;
        *places = n > *places ? n : *places;
        *inputs = (size_t)g->n_in > *inputs ? (size_t)g->n_in : *inputs;
    }
}

static dcv_status make_slots(dcv_patch_walk *w)
{
    const dcv_patches *p = w->p;
    const size_t slots = (size_t)(p->tail.g.n_in * p->slots), each = (size_t)p->slots;
    w->n_cut = p->tail.g.n_in;
    w->cut = p->tail.g.in;
    w->whole = dcv_alloc(slots, sizeof *w->whole);
    w->dirty = dcv_alloc(slots, sizeof *w->dirty);
    w->fresh = dcv_alloc(each, sizeof *w->fresh);
    w->taken = dcv_alloc(each, sizeof *w->taken);
    w->queue = dcv_alloc(each, sizeof *w->queue);
    w->queued = dcv_alloc(each, sizeof *w->queued);
    if (!w->whole || !w->dirty || !w->fresh || !w->taken || !w->queue || !w->queued)
        return DCV_ENOMEM;
    for (size_t i = 0; i < slots; i++) {
        w->whole[i] = dcv_alloc((size_t)floats_of(p, w->cut[i / each]), sizeof **w->whole);
        if (!w->whole[i])
            return DCV_ENOMEM;
    }
    return p->tail.engine ? dcv_walk_new(p->tail.engine, &w->tail) : DCV_OK;
}

static dcv_status fill(dcv_patch_walk *w)
{
    const dcv_patches *p = w->p;
    size_t window, places, inputs;
    most_of_heads(p, &window, &places, &inputs);
    w->walk = dcv_alloc((size_t)p->n_class[0] * (size_t)p->n_class[1], sizeof *w->walk);
    for (int k = 0; k < DCV_GROUP; k++) {
        w->window[k] = dcv_alloc(window, sizeof **w->window);
        w->places[k] = dcv_alloc(4 * places + 1, sizeof **w->places);
        if (!w->window[k] || !w->places[k])
            return DCV_ENOMEM;
    }
    const size_t room = (size_t)p->tail_room;
    w->in = dcv_alloc(inputs * room, sizeof *w->in);
    w->group = dcv_alloc(inputs, sizeof *w->group);
    if (!w->walk || !w->in || !w->group)
        return DCV_ENOMEM;
    for (size_t i = 0; i < inputs; i++)
        w->group[i] = w->in + i * room;
    return make_slots(w);
}

dcv_status dcv_patch_walk_new(dcv_patches *p, dcv_patch_walk **out)
{
    dcv_patch_walk *w = *out = dcv_alloc(1, sizeof *w);
    if (!w)
        return DCV_ENOMEM;
    DCV_CHECK(p->engine);
    w->p = p;
    const dcv_status st = fill(w);
    if (st != DCV_OK) {
        dcv_patch_walk_free(w);
        *out = NULL;
    }
    return st;
}

void dcv_patch_walk_free(dcv_patch_walk *w)
{
    if (!w)
        return;
    for (int i = 0; w->walk && i < w->p->n_class[0] * w->p->n_class[1]; i++)
        dcv_walk_free(w->walk[i]);
    for (int i = 0; w->whole && i < w->n_cut * w->p->slots; i++)
        dcv_free(w->whole[i]);
    dcv_walk_free(w->tail);
    dcv_free(w->whole);
    dcv_free(w->dirty);
    dcv_free(w->fresh);
    dcv_free(w->taken);
    dcv_free(w->queue);
    dcv_free(w->queued);
    dcv_free(w->walk);
    dcv_free(w->arena);
    dcv_free(w->scratch);
    for (int k = 0; k < DCV_GROUP; k++) {
        dcv_free(w->window[k]);
        dcv_free(w->places[k]);
    }
    dcv_free(w->in);
    dcv_free(w->group);
    dcv_free(w);
}

size_t dcv_patch_walk_bytes(const dcv_patches *p)
{
    size_t window, places, inputs;
    most_of_heads(p, &window, &places, &inputs);
    int64_t floats = DCV_GROUP * (int64_t)(window + 4 * places);
    for (int i = 0; i < p->tail.g.n_in; i++)
        floats += p->slots * floats_of(p, p->tail.g.in[i]);
    const dcv_engine *head = p->head[largest_head(p)].engine;
    return (size_t)floats * sizeof(float) + (p->tail.engine ? dcv_walk_bytes(p->tail.engine) : 0) +
           (head ? dcv_walk_bytes(head) : 0);
}

/* Memory of the heads' walks: as much as the largest so far wants. */
static dcv_status reserve(dcv_patch_walk *w, const dcv_engine *e)
{
    size_t floats, bytes;
    dcv_walk_memory(e, &floats, &bytes);
    if (floats > w->arena_floats || !w->arena) {
        dcv_free(w->arena);
        w->arena = dcv_alloc(floats, sizeof *w->arena);
        w->arena_floats = w->arena ? floats : 0;
    }
    if (bytes > w->scratch_bytes || !w->scratch) {
        dcv_free(w->scratch);
        w->scratch = dcv_alloc(bytes, 1);
        w->scratch_bytes = w->scratch ? bytes : 0;
    }
    return w->arena && w->scratch ? DCV_OK : DCV_ENOMEM;
}

/* --- clean maps --- */

size_t dcv_patches_clean_floats(const dcv_patches *p)
{
    return (size_t)p->clean_floats;
}

void dcv_patch_walk_clean_at(dcv_patch_walk *w, float *maps)
{
    w->clean = maps;
    memset(w->fresh, 0, (size_t)w->p->slots * sizeof *w->fresh);
}

dcv_blob dcv_patch_walk_clean(const dcv_patch_walk *w, int v)
{
    DCV_CHECK(w->p->clean[v]);
    return (dcv_blob){
        .data = w->clean + w->p->clean_at[v], .dims = &w->p->g->value[v].dims, .n = 1, .block = w->p->clean_block[v]};
}

void dcv_patch_walk_keep(dcv_patch_walk *w, int value, const dcv_blob *b)
{
    if (!w->p->clean[value])
        return;
    const dcv_blob to = dcv_patch_walk_clean(w, value);
    dcv_blob_copy(b, &to);
}

/* --- windows of one head --- */

static dcv_blob slot_map(const dcv_patch_walk *w, int cut, int slot)
{
    dcv_blob b = dcv_patch_walk_clean(w, w->cut[cut]);
    b.data = w->whole[cut * w->p->slots + slot];
    return b;
}

/* Make the whole maps of a slot the clean ones. */
static void reset_slot(dcv_patch_walk *w, int slot)
{
    for (int i = 0; i < w->n_cut; i++) {
        const dcv_blob clean = dcv_patch_walk_clean(w, w->cut[i]), to = slot_map(w, i, slot);
        dcv_span *dirty = w->dirty[i * w->p->slots + slot];
        if (w->fresh[slot])
            dcv_patch_copy(&clean, dirty[0], dirty[1], &to, dirty[0].lo, dirty[1].lo);
        else
            memcpy(to.data, clean.data, (size_t)floats_of(w->p, w->cut[i]) * sizeof(float));
        dirty[0] = dirty[1] = (dcv_span){0, 0};
    }
    w->fresh[slot] = true;
}

/* The input's box: the picture, filled where the window is. */
static void fill_window(const dcv_patch_walk *w, int k, const float *fill)
{
    const dcv_patches *p = w->p;
    const int in = p->g->in[0];
    const int *at = w->at[w->batch[k]];
    const dcv_span rows = dcv_patch_box(p, w->head, 0, at[0], in), cols = dcv_patch_box(p, w->head, 1, at[1], in);
    const dcv_span *y = &p->window[0][at[0]], *x = &p->window[1][at[1]];
    const dcv_blob clean = dcv_patch_walk_clean(w, in),
                   box = {.data = w->window[k], .dims = &w->head->g.value[in].dims, .n = 1, .block = 1};
    const int64_t h = rows.hi - rows.lo, n = cols.hi - cols.lo;
    dcv_patch_copy(&clean, rows, cols, &box, 0, 0);
    for (int64_t c = 0; c < box.dims->d[1]; c++)
        for (int64_t r = y->lo - rows.lo; r < y->hi - rows.lo; r++)
            for (int64_t q = x->lo - cols.lo; q < x->hi - cols.lo; q++)
                box.data[(c * h + r) * n + q] = fill[c];
}

/* Where the regions of the head's pastes lie, and the boxes in them. */
static void set_places(const dcv_patch_walk *w, int k)
{
    const dcv_patches *p = w->p;
    const dcv_patch_head *h = w->head;
    const int *at = w->at[w->batch[k]];
    for (int i = 0; i < h->n_paste; i++) {
        const dcv_patch_attr *a = h->g.node[h->paste[i]].attr;
        float *to = w->places[k] + 4 * i;
        for (int axis = 0; axis < 2; axis++) {
            const int y = p->g->node[a->node].out[0];
            const dcv_span out = dcv_patch_box(p, h, axis, at[axis], y),
                           r = dcv_node_reads(p->g, a->node, a->input, 2 + axis, 0, out),
                           box = dcv_patch_box(p, h, axis, at[axis], a->value);
            to[axis] = (float)r.lo;
            to[2 + axis] = (float)(box.lo - r.lo);
        }
    }
}

/* The clean maps come third and on. */
static void set_inputs(dcv_patch_walk *w)
{
    const dcv_graph *g = &w->head->g;
    for (int k = 0; k < w->n_batch; k++) {
        w->in[k] = w->window[k];
        w->in[w->p->tail_room + k] = w->places[k];
    }
    for (int i = 0; i < w->head->n_paste; i++) {
        const dcv_node *nd = &g->node[w->head->paste[i]];
        const dcv_patch_attr *a = nd->attr;
        for (int q = 2; q < g->n_in; q++)
            for (int k = 0; g->in[q] == nd->in[2] && k < w->n_batch; k++)
                w->in[q * w->p->tail_room + k] = w->clean + w->p->clean_at[a->value];
    }
}

static void see_head(void *ctx, int picture, int value, const dcv_blob *b)
{
    dcv_patch_walk *w = ctx;
    const dcv_patches *p = w->p;
    const int *at = w->at[w->batch[picture]];
    dcv_span box[2];
    for (int axis = 0; axis < 2; axis++)
        box[axis] = dcv_patch_box(p, w->head, axis, at[axis], value);
    for (int i = 0; i < w->n_cut; i++)
        if (w->cut[i] == value) {
            const dcv_blob to = slot_map(w, i, w->slot[picture]);
            dcv_span *dirty = w->dirty[i * w->p->slots + w->slot[picture]];
            const int64_t h = b->dims->d[2], n = b->dims->d[3];
            dcv_patch_copy(b, (dcv_span){0, h}, (dcv_span){0, n}, &to, box[0].lo, box[1].lo);
            dirty[0] = box[0];
            dirty[1] = box[1];
        }
    if (p->seen[value])
        w->see(w->ctx, w->batch[picture], value, b, box);
}

static dcv_status run_head(dcv_patch_walk *w, int head, const float *fill)
{
    const dcv_engine *e;
    if (!w->head->g.n_node)
        return DCV_OK;
    DCV_TRY(engine_of(w->p, head, &e));
    DCV_TRY(reserve(w, e));
    if (!w->walk[head])
        DCV_TRY(dcv_walk_new_bare(e, &w->walk[head]));
    dcv_walk_lend(w->walk[head], w->arena, w->scratch);
    for (int k = 0; k < w->n_batch; k++) {
        fill_window(w, k, fill);
        set_places(w, k);
    }
    set_inputs(w);
    dcv_walk_forward(w->walk[head], w->n_batch, w->group, see_head, w);
    return DCV_OK;
}

/* --- the tail --- */

static void see_tail(void *ctx, int picture, int value, const dcv_blob *b)
{
    const dcv_patch_walk *w = ctx;
    const dcv_map m = dcv_value_map(&w->p->g->value[value]);
    const dcv_span all[2] = {{0, m.h}, {0, m.w}};
    if (w->p->seen[value])
        w->see(w->ctx, w->queued[picture], value, b, all);
}

/* The first windows of the queue. */
static void run_tail(dcv_patch_walk *w)
{
    const int room = w->p->tail_room, n = w->n_queue < room ? w->n_queue : room;
    for (int i = 0; i < w->n_cut; i++)
        for (int k = 0; k < n; k++)
            w->in[i * room + k] = w->whole[i * w->p->slots + w->queue[k]];
    if (w->tail)
        dcv_walk_forward(w->tail, n, w->group, see_tail, w);
    for (int k = 0; k < n; k++)
        w->taken[w->queue[k]] = false;
    w->n_queue -= n;
    memmove(w->queue, w->queue + n, (size_t)w->n_queue * sizeof *w->queue);
    memmove(w->queued, w->queued + n, (size_t)w->n_queue * sizeof *w->queued);
}

static int free_slot(dcv_patch_walk *w)
{
    int s = 0;
    while (s < w->p->slots && w->taken[s]) /* fewer wait than the tail has room for */
        s++;
    DCV_CHECK(s < w->p->slots);
    w->taken[s] = true;
    return s;
}

/* --- all windows of a call --- */

static int head_of(const dcv_patch_walk *w, int window)
{
    const dcv_patches *p = w->p;
    return p->class_of[0][w->at[window][0]] * p->n_class[1] + p->class_of[1][w->at[window][1]];
}

/* Windows by head, in their order. */
static dcv_status sort(dcv_patch_walk *w, int n)
{
    const int heads = w->p->n_class[0] * w->p->n_class[1];
    int *first = dcv_alloc((size_t)heads + 1, sizeof *first);
    w->order = dcv_alloc((size_t)n, sizeof *w->order);
    if (!first || !w->order) {
        dcv_free(first);
        return DCV_ENOMEM;
    }
    for (int i = 0; i < n; i++)
        first[head_of(w, i) + 1]++;
    for (int h = 0; h < heads; h++)
        first[h + 1] += first[h];
    for (int i = 0; i < n; i++)
        w->order[first[head_of(w, i)]++] = i;
    dcv_free(first);
    return DCV_OK;
}

static dcv_status run_batch(dcv_patch_walk *w, const float *fill)
{
    const int head = head_of(w, w->batch[0]);
    w->head = &w->p->head[head];
    for (int k = 0; k < w->n_batch; k++) {
        w->slot[k] = free_slot(w);
        reset_slot(w, w->slot[k]);
    }
    DCV_TRY(run_head(w, head, fill));
    for (int k = 0; k < w->n_batch; k++) {
        w->queue[w->n_queue] = w->slot[k];
        w->queued[w->n_queue++] = w->batch[k];
    }
    if (w->n_queue >= w->p->tail_waits)
        run_tail(w);
    return DCV_OK;
}

static dcv_status run_all(dcv_patch_walk *w, int n, const float *fill)
{
    DCV_TRY(sort(w, n));
    for (int i = 0; i < n;) {
        const int head = head_of(w, w->order[i]);
        for (w->n_batch = 0; i < n && w->n_batch < DCV_GROUP && head_of(w, w->order[i]) == head; i++)
            w->batch[w->n_batch++] = w->order[i];
        DCV_TRY(run_batch(w, fill));
    }
    if (w->n_queue)
        run_tail(w);
    return DCV_OK;
}

dcv_status dcv_patch_walk_run(dcv_patch_walk *w, int n, const int (*at)[2], const float *fill, dcv_patch_fn see,
                              void *ctx)
{
    w->at = at;
    w->see = see;
    w->ctx = ctx;
    w->n_queue = 0;
    memset(w->taken, 0, (size_t)w->p->slots * sizeof *w->taken);
    const dcv_status st = run_all(w, n, fill);
    dcv_free(w->order);
    w->order = NULL;
    return st;
}
