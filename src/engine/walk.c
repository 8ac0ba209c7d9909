/* walk.c -- one thread's memory, and the steps in order. */
#include <math.h>
#include <string.h>
#include <time.h>
#include "engine/back.h"
#include "engine/pages.h"
#include "engine/plan.h"

struct dcv_walk {
    const dcv_engine *e;
    float *arena;
    void *scratch;
    dcv_conv_call **call; /* [n_step] of convolutions */
    const float **input;  /* [n_in of the graph][room] of the last walk */
    const float **row_in; /* [room] of a dense product */
    float **row_out;
    dcv_blob *x, *y;     /* of the step being run */
    double *seconds;     /* [n_node] */
    bool timed, bare;    /* arena and scratch are the caller's */
    int n;               /* pictures of the walk */
    dcv_back_walk *back; /* NULL: none */
    bool light;          /* nothing is kept for walks back */
    dcv_observe_fn observe;
    void *ctx;
};

size_t dcv_walk_bytes(const dcv_engine *e)
{
    return (size_t)e->arena_floats * sizeof(float) + e->scratch_bytes + dcv_back_walk_bytes(e);
}

void dcv_walk_free(dcv_walk *w)
{
    if (!w)
        return;
    for (int i = 0; w->call && i < w->e->n_step; i++)
        if (w->call[i])
            w->e->step[i].back->call_free(w->call[i]);
    dcv_back_walk_free(w->back);
    dcv_free(w->call);
    if (!w->bare) {
        dcv_free(w->arena);
        dcv_free(w->scratch);
    }
    dcv_free(w->input);
    dcv_free(w->row_in);
    dcv_free(w->row_out);
    dcv_free(w->x);
    dcv_free(w->y);
    dcv_free(w->seconds);
    dcv_free(w);
}

static dcv_status own_memory(dcv_walk *w)
{
    const dcv_engine *e = w->e;
    w->arena = dcv_alloc((size_t)e->arena_floats, sizeof *w->arena);
    w->scratch = dcv_alloc(e->scratch_bytes, 1);
    if (!w->arena || !w->scratch)
        return DCV_ENOMEM;
    dcv_pages_huge(w->arena, (size_t)e->arena_floats * sizeof *w->arena);
    dcv_pages_huge(w->scratch, e->scratch_bytes);
    return DCV_OK;
}

static dcv_status fill(dcv_walk *w)
{
    const dcv_engine *e = w->e;
    if (!w->bare)
        DCV_TRY(own_memory(w));
    w->call = dcv_alloc((size_t)e->n_step, sizeof *w->call);
    w->input = dcv_alloc((size_t)(e->g->n_in * e->room), sizeof *w->input);
    w->row_in = dcv_alloc((size_t)e->room, sizeof *w->row_in);
    w->row_out = dcv_alloc((size_t)e->room, sizeof *w->row_out);
    w->x = dcv_alloc((size_t)e->max_x, sizeof *w->x);
    w->y = dcv_alloc((size_t)e->max_y, sizeof *w->y);
    w->seconds = dcv_alloc((size_t)e->g->n_node, sizeof *w->seconds);
    if (!w->call || !w->input || !w->row_in || !w->row_out || !w->x || !w->y || !w->seconds)
        return DCV_ENOMEM;
    for (int i = 0; i < e->n_step; i++)
        if (e->step[i].kind == DCV_STEP_CONV)
            DCV_TRY(e->step[i].back->call_new(e->step[i].conv, &w->call[i]));
    return dcv_back_walk_new(e, &w->back);
}

static dcv_status walk_new(const dcv_engine *e, bool bare, dcv_walk **out)
{
    dcv_walk *w = *out = dcv_alloc(1, sizeof *w);
    if (!w)
        return DCV_ENOMEM;
    w->e = e;
    w->bare = bare;
    const dcv_status st = fill(w);
    if (st != DCV_OK) {
        dcv_walk_free(w);
        *out = NULL;
    }
    return st;
}

dcv_status dcv_walk_new(const dcv_engine *e, dcv_walk **out)
{
    return walk_new(e, false, out);
}

dcv_status dcv_walk_new_bare(const dcv_engine *e, dcv_walk **out)
{
    return walk_new(e, true, out);
}

void dcv_walk_memory(const dcv_engine *e, size_t *arena_floats, size_t *scratch_bytes)
{
    *arena_floats = (size_t)e->arena_floats;
    *scratch_bytes = e->scratch_bytes;
}

void dcv_walk_lend(dcv_walk *w, float *arena, void *scratch)
{
    DCV_CHECK(w->bare);
    w->arena = arena;
    w->scratch = scratch;
}

void dcv_walk_poison(dcv_walk *w)
{
    for (int64_t i = 0; i < w->e->arena_floats; i++)
        w->arena[i] = NAN;
    memset(w->scratch, 0xff, w->e->scratch_bytes);
    dcv_back_walk_poison(w->back, false);
}

/* What a spot holds of picture p, or of all of them (p -1). */
static dcv_blob blob(const dcv_walk *w, int spot, int p)
{
    const dcv_engine *e = w->e;
    dcv_blob b = {.n = 1, .block = 1};
    if (spot < 0)
        return b;
    const dcv_spot *f = &e->spot[spot];
    b.dims = &e->g->value[f->value].dims;
    b.block = f->block;
    union {
        const void *in;
        float *out;
    } u = {0}; /* operators write to y only */
    if (f->kind == DCV_SPOT_CONST) {
        u.in = e->g->value[f->value].constant;
    } else if (f->kind == DCV_SPOT_INPUT) {
        u.in = w->input[f->input * e->room + (p < 0 ? 0 : p)];
    } else {
        u.out = w->arena + f->offset + (p < 0 ? 0 : p * f->n_stride);
        b.n = p < 0 ? w->n : 1;
        b.n_stride = f->n_stride;
    }
    b.data = u.out;
    return b;
}

static void run_op(dcv_walk *w, const dcv_step *s, int p)
{
    const dcv_node *nd = &w->e->g->node[s->node];
    for (int i = 0; i < s->n_x; i++)
        w->x[i] = blob(w, s->x[i], p);
    for (int i = 0; i < s->n_y; i++)
        w->y[i] = blob(w, s->y[i], p);
    const dcv_io io = {.x = w->x, .y = w->y, .scratch = w->scratch};
    nd->op->forward(w->e->g, nd, &io);
}

static void run_conv(dcv_walk *w, int step, int p)
{
    const dcv_step *s = &w->e->step[step];
    const dcv_backend *back = s->back;
    const char *packed = s->owner->packed;
    const float *bias = s->desc.has_bias ? (const float *)(packed + s->bias) : NULL;
    if (p < 0 && w->n > 1 && back->run_some) {
        const dcv_blob x = blob(w, s->x[0], -1), y = blob(w, s->y[0], -1);
        back->run_some(w->call[step], w->n, x.data, x.n_stride, packed + s->packed, bias, y.data, y.n_stride,
                       w->scratch);
        return;
    }
    for (int i = p < 0 ? 0 : p, end = p < 0 ? w->n : p + 1; i < end; i++)
        back->run(w->call[step], blob(w, s->x[0], i).data, packed + s->packed, bias, blob(w, s->y[0], i).data,
                  w->scratch);
}

/* Inputs of a group are where the caller has them. */
static bool reads_input(const dcv_walk *w, const dcv_step *s)
{
    for (int i = 0; i < s->n_x; i++)
        if (s->x[i] >= 0 && w->e->spot[s->x[i]].kind == DCV_SPOT_INPUT)
            return true;
    return false;
}

static void run_apart(dcv_walk *w, int step)
{
    const dcv_step *s = &w->e->step[step];
    for (int p = 0; p < w->n; p++)
        if (s->kind == DCV_STEP_CONV)
            run_conv(w, step, p);
        else
            run_op(w, s, p);
}

static void run_dense(dcv_walk *w, const dcv_step *s)
{
    for (int p = 0; p < w->n; p++) {
        w->row_in[p] = blob(w, s->x[0], p).data;
        w->row_out[p] = blob(w, s->y[0], p).data;
    }
    const char *packed = s->owner->packed;
    dcv_dense_run(&s->dense, (const float *)(packed + s->packed), (const float *)(packed + s->bias), w->n, w->row_in,
                  w->row_out, w->scratch);
}

static void run_copy(const dcv_walk *w, const dcv_step *s, int p)
{
    const int end = p < 0 ? w->n : p + 1;
    for (int q = p < 0 ? 0 : p; q < end; q++) {
        const dcv_blob x = blob(w, s->x[0], q), y = blob(w, s->y[0], q);
        dcv_blob_copy(&x, &y);
    }
}

/* Show the observer what step s made of picture p. */
static void show(const dcv_walk *w, const dcv_step *s, int p)
{
    if (!w->observe || s->kind == DCV_STEP_COPY)
        return;
    for (int i = 0; i < s->n_y; i++) {
        if (s->y[i] < 0)
            continue;
        const int v = w->e->spot[s->y[i]].value;
        if (w->e->seen[v]) {
            const dcv_blob b = blob(w, s->y[i], p);
            w->observe(w->ctx, p, v, &b);
        }
    }
}

/* Run step s for picture p, or for the group (p -1). */
static void run(dcv_walk *w, int step, int p)
{
    const dcv_step *s = &w->e->step[step];
    const bool apart = p < 0 && reads_input(w, s);
    switch (s->kind) {
    case DCV_STEP_OP:
        apart ? run_apart(w, step) : run_op(w, s, p);
        break;
    case DCV_STEP_CONV:
        apart ? run_apart(w, step) : run_conv(w, step, p);
        break;
    case DCV_STEP_DENSE:
        run_dense(w, s);
        break;
    case DCV_STEP_COPY:
        run_copy(w, s, p);
        break;
    case DCV_STEP_VIEW:
        break;
    }
    for (int i = p < 0 ? 0 : p, end = p < 0 ? w->n : p + 1; i < end; i++) {
        if (w->back && !w->light)
            dcv_back_keep(w->back, w, step, i);
        show(w, s, i);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void step(dcv_walk *w, int i, int p)
{
    if (!w->timed) {
        run(w, i, p);
        return;
    }
    const double t0 = now();
    run(w, i, p);
    if (w->e->step[i].node >= 0)
        w->seconds[w->e->step[i].node] += now() - t0;
}

static void show_inputs(const dcv_walk *w)
{
    if (!w->observe)
        return;
    for (int i = 0; i < w->e->g->n_in; i++) {
        const int v = w->e->g->in[i];
        for (int p = 0; w->e->seen[v] && p < w->n; p++) {
            const dcv_blob b = blob(w, w->e->home[v], p);
            w->observe(w->ctx, p, v, &b);
        }
    }
}

void dcv_walk_forward(dcv_walk *w, int n, const float *const *const *input, dcv_observe_fn observe, void *ctx)
{
    const dcv_engine *e = w->e;
    DCV_CHECK(n >= 1 && n <= e->room && (e->packed || !e->packed_bytes));
    w->n = n;
    w->observe = observe;
    w->ctx = ctx;
    for (int i = 0; i < e->g->n_in; i++)
        for (int p = 0; p < n; p++)
            w->input[i * e->room + p] = input[i][p];
    if (w->timed)
        memset(w->seconds, 0, (size_t)e->g->n_node * sizeof *w->seconds);
    e->back->one_thread();
    for (int p = 0; w->back && !w->light && p < n; p++)
        dcv_back_keep(w->back, w, -1, p);
    show_inputs(w);
    for (int s = 0, end; s < e->n_step; s = end) {
        for (end = s; end < e->n_step && e->step[end].level == e->step[s].level; end++)
            ;
        if (e->step[s].level % 2)
            for (int i = s; i < end; i++)
                step(w, i, -1);
        else
            for (int p = 0; p < n; p++)
                for (int i = s; i < end; i++)
                    step(w, i, p);
    }
}

void dcv_walk_output(const dcv_walk *w, int o, int picture, float *to)
{
    DCV_CHECK(picture >= 0 && picture < w->n);
    const dcv_blob b = blob(w, w->e->home[w->e->g->out[o]], picture);
    dcv_blob_read(&b, to);
}

dcv_blob dcv_walk_spot(const dcv_walk *w, int spot, int p)
{
    return blob(w, spot, p);
}

dcv_back_walk *dcv_walk_back(const dcv_walk *w)
{
    return w->back;
}

int dcv_walk_pictures(const dcv_walk *w)
{
    return w->n;
}

void dcv_walk_keeps(dcv_walk *w, bool on)
{
    w->light = !on;
}

void dcv_walk_time(dcv_walk *w, bool on)
{
    w->timed = on;
}

const double *dcv_walk_seconds(const dcv_walk *w)
{
    return w->timed ? w->seconds : NULL;
}
