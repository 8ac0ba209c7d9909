/* engine.c -- a compiled network: made, packed, attached, freed. */
#include <string.h>
#include "engine/back.h"
#include "engine/back_box.h"
#include "engine/ops/batchnorm.h"
#include "engine/pages.h"
#include "engine/plan.h"

enum { ALIGN_BYTES = 64 };

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

static dcv_status tables(dcv_engine *e)
{
    const size_t nv = (size_t)e->g->n_value, nn = (size_t)e->g->n_node;
    e->seen = dcv_arena_alloc(e->arena, nv, sizeof *e->seen);
    e->keep = dcv_arena_alloc(e->arena, nv, sizeof *e->keep);
    e->held = dcv_arena_alloc(e->arena, nv, sizeof *e->held);
    e->home = dcv_arena_alloc(e->arena, nv, sizeof *e->home);
    e->other = dcv_arena_alloc(e->arena, nv, sizeof *e->other);
    e->grouped = dcv_arena_alloc(e->arena, nn, sizeof *e->grouped);
    e->level = dcv_arena_alloc(e->arena, nn, sizeof *e->level);
    e->owner = dcv_arena_alloc(e->arena, nn, sizeof *e->owner);
    e->chain = dcv_arena_alloc(e->arena, nn, sizeof *e->chain);
    e->step_of = dcv_arena_alloc(e->arena, nn, sizeof *e->step_of);
    if (!e->seen || !e->keep || !e->held || !e->home || !e->other || !e->grouped || !e->level || !e->owner ||
        !e->chain || !e->step_of)
        return DCV_ENOMEM;
    for (int i = 0; i < e->o.n_seen; i++) {
        const int v = e->o.seen[i];
        DCV_CHECK(v >= 0 && v < e->g->n_value);
        e->seen[v] = true;
    }
    for (int i = 0; i < e->g->n_out; i++)
        e->keep[e->g->out[i]] = true;
    return DCV_OK;
}

static size_t bias_floats(const dcv_step *s)
{
    if (s->kind == DCV_STEP_DENSE)
        return dcv_dense_bias_floats(&s->dense);
    const int64_t b = s->desc.y_block;
    return s->desc.has_bias ? (size_t)((s->desc.oc + b - 1) / b * b) : 0;
}

/* Has step t of engine o packed the weights of step s in the same form? */
static bool lends(const dcv_engine *o, const dcv_step *t, const dcv_engine *e, const dcv_step *s)
{
    if (t->kind != s->kind || o->g->node[t->node].source != e->g->node[s->node].source)
        return false;
    if ((e->chain[s->node].bn < 0) != (o->chain[t->node].bn < 0) || bias_floats(s) != bias_floats(t))
        return false;
    if (s->kind == DCV_STEP_DENSE)
        return s->dense.k == t->dense.k && s->dense.n == t->dense.n;
    return s->kind == DCV_STEP_CONV && s->back == t->back && s->back->same_packing(s->conv, t->conv);
}

/* The step of another engine of the same model that has packed the same weights the same way, or NULL. */
static const dcv_step *lender(const dcv_engine *e, const dcv_step *s)
{
    for (const dcv_engine *o = e->o.share; o; o = o->o.share)
        for (int i = 0; i < o->n_step; i++)
            if (lends(o, &o->step[i], e, s))
                return &o->step[i];
    return NULL;
}

static void place_packed(dcv_engine *e, dcv_step *s, size_t bytes)
{
    const dcv_step *l = lender(e, s);
    if (l) {
        s->owner = l->owner;
        s->packed = l->packed;
        s->bias = l->bias;
        return;
    }
    s->owner = e;
    s->packed = e->packed_bytes;
    s->bias = s->packed + aligned(bytes);
    e->packed_bytes = s->bias + aligned(bias_floats(s) * sizeof(float));
}

/* Offsets of packed weights, and the largest scratch. */
static void measure(dcv_engine *e)
{
    for (int i = 0; i < e->n_step; i++) {
        dcv_step *s = &e->step[i];
        size_t scratch = 0;
        if (s->kind == DCV_STEP_CONV) {
            place_packed(e, s, s->back->packed_bytes(s->conv));
            scratch = s->back->scratch_bytes(s->conv);
        } else if (s->kind == DCV_STEP_DENSE) {
            place_packed(e, s, dcv_dense_packed_bytes(&s->dense));
            scratch = dcv_dense_scratch_bytes(&s->dense, e->room);
        }
        e->scratch_bytes = scratch > e->scratch_bytes ? scratch : e->scratch_bytes;
        e->max_x = s->n_x > e->max_x ? s->n_x : e->max_x;
        e->max_y = s->n_y > e->max_y ? s->n_y : e->max_y;
    }
}

static dcv_status build(dcv_engine *e)
{
    DCV_TRY(dcv_arena_new(&e->arena));
    DCV_TRY(tables(e));
    e->back->one_thread();
    DCV_TRY(dcv_plan_weights(e));
    DCV_TRY(dcv_back_mark(e));
    dcv_plan_levels(e);
    dcv_plan_chains(e);
    DCV_TRY(dcv_plan_steps(e));
    DCV_TRY(dcv_plan_storage(e));
    measure(e);
    DCV_TRY(dcv_back_plan(e));
    return dcv_back_boxes_plan(e);
}

dcv_status dcv_engine_new(const dcv_graph *g, const dcv_engine_options *o, dcv_engine **out)
{
    dcv_engine *e = *out = dcv_alloc(1, sizeof *e);
    if (!e)
        return DCV_ENOMEM;
    e->g = g;
    e->o = *o;
    e->room = o->room ? o->room : DCV_GROUP;
    DCV_CHECK(e->room >= DCV_GROUP && (e->room == DCV_GROUP || !o->n_back) && !(o->windows && o->n_back));
    e->back = dcv_backend_of(o->backend);
    const dcv_status st = build(e);
    e->o.seen = e->o.back = e->o.input_block = NULL; /* the caller's */
    if (st != DCV_OK) {
        dcv_engine_free(e);
        *out = NULL;
    }
    return st;
}

void dcv_engine_free(dcv_engine *e)
{
    if (!e)
        return;
    for (int i = 0; i < e->n_step; i++)
        if (e->step[i].conv)
            e->step[i].back->conv_free(e->step[i].conv);
    dcv_back_boxes_free(e);
    dcv_back_free(e);
    dcv_free(e->own_packed);
    dcv_arena_free(e->arena);
    dcv_free(e);
}

size_t dcv_engine_packed_bytes(const dcv_engine *e)
{
    return e->packed_bytes;
}

/* ---- packing ---- */

static dcv_status pack_conv(const dcv_engine *e, const dcv_step *s, char *to)
{
    const dcv_graph *g = e->g;
    const dcv_node *nd = &g->node[s->node];
    const int bn = e->chain[s->node].bn;
    const int64_t oc = s->desc.oc;
    const float *w = g->value[nd->in[1]].constant;
    const float *b = nd->n_in > 2 && nd->in[2] >= 0 ? g->value[nd->in[2]].constant : NULL;
    float *bias = (float *)(to + s->bias), *scale = NULL;
    if (bn >= 0) {
        scale = dcv_alloc((size_t)(2 * oc), sizeof *scale);
        if (!scale)
            return DCV_ENOMEM;
        dcv_batchnorm_scale(g, &g->node[bn], 0, oc, scale, scale + oc);
    }
    memset(bias, 0, bias_floats(s) * sizeof *bias);
    for (int64_t o = 0; s->desc.has_bias && o < oc; o++)
        bias[o] = scale ? (b ? b[o] * scale[o] : 0) + scale[oc + o] : b[o];
    const dcv_status st = s->back->pack(s->conv, w, scale, to + s->packed);
    dcv_free(scale);
    dcv_pages_out(w, (size_t)dcv_count(&g->value[nd->in[1]].dims) * sizeof *w); /* not read again */
    return st;
}

dcv_status dcv_engine_pack(const dcv_engine *e, void *to)
{
    for (int i = 0; i < e->n_step; i++) {
        const dcv_step *s = &e->step[i];
        if (s->owner != e)
            continue;
        if (s->kind == DCV_STEP_CONV) {
            DCV_TRY(pack_conv(e, s, to));
        } else if (s->kind == DCV_STEP_DENSE) {
            dcv_dense_pack(&s->dense, (float *)((char *)to + s->packed), (float *)((char *)to + s->bias));
            dcv_pages_out(s->dense.w, (size_t)(s->dense.k * s->dense.n) * sizeof(float));
        }
    }
    DCV_TRY(dcv_back_pack(e, to));
    return dcv_back_boxes_pack(e, to);
}

void dcv_engine_attach(dcv_engine *e, const void *packed)
{
    e->packed = packed;
    dcv_back_boxes_attach(e, packed);
}

/* A constant without a spot is read by packing alone. */
void dcv_engine_forget_weights(const dcv_engine *e)
{
    for (int v = 0; v < e->g->n_value; v++) {
        const dcv_value *value = &e->g->value[v];
        if (value->constant && value->type == DCV_F32 && e->home[v] < 0)
            dcv_pages_gone(value->constant, (size_t)dcv_count(&value->dims) * sizeof(float));
    }
}

dcv_status dcv_engine_pack_own(dcv_engine *e)
{
    dcv_free(e->own_packed);
    e->own_packed = dcv_alloc(e->packed_bytes, 1);
    if (!e->own_packed)
        return DCV_ENOMEM;
    dcv_pages_huge(e->own_packed, e->packed_bytes);
    DCV_TRY(dcv_engine_pack(e, e->own_packed));
    dcv_engine_attach(e, e->own_packed);
    return DCV_OK;
}

const char *dcv_engine_kernel(const dcv_engine *e, int node)
{
    if (e->owner[node] != node)
        return NULL;
    const dcv_step *s = &e->step[e->step_of[node]];
    switch (s->kind) {
    case DCV_STEP_CONV:
        return s->back->kernel(s->conv);
    case DCV_STEP_DENSE:
        return dcv_dense_kernel();
    case DCV_STEP_VIEW:
        return "view";
    default:
        return e->spot[s->y[0] < 0 ? 0 : s->y[0]].block > 1 ? "blocked" : "plain";
    }
}
