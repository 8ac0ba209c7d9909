/* storage.c -- where spots lie: parts of concatenations, results that overwrite what nobody reads any more,
 * lifetimes, and offsets in the arena.
 */
#include <stdlib.h>
#include <string.h>
#include "engine/plan.h"

enum { ALIGN_FLOATS = 16 };

int64_t dcv_spot_floats(const dcv_engine *e, int spot)
{
    return dcv_blob_shape_of(&e->g->value[e->spot[spot].value].dims, e->spot[spot].block).floats;
}

static void bind(dcv_engine *e, int spot, int parent, int64_t at)
{
    DCV_CHECK(spot != parent && e->spot[spot].parent < 0);
    e->spot[spot].parent = parent;
    e->spot[spot].at = at;
}

static int root_of(const dcv_engine *e, int spot, int64_t *at)
{
    for (*at = 0; e->spot[spot].parent >= 0; spot = e->spot[spot].parent)
        *at += e->spot[spot].at;
    return spot;
}

/* ---- concatenation ---- */

/* A concatenation along channels whose parts begin at whole blocks: memory is the parts one after the other. */
static bool is_stack(const dcv_engine *e, const dcv_step *s)
{
    if (s->kind != DCV_STEP_OP || !dcv_plan_is(e, s->node, "Concat") || s->n_x < 1)
        return false;
    const dcv_spot *y = &e->spot[s->y[0]];
    const dcv_dims *yd = &e->g->value[y->value].dims;
    int64_t c = 0;
    for (int i = 0; i < s->n_x; i++) {
        const dcv_spot *x = s->x[i] >= 0 ? &e->spot[s->x[i]] : NULL;
        if (!x || x->kind == DCV_SPOT_CONST || x->block != y->block)
            return false;
        dcv_dims d = e->g->value[x->value].dims;
        if (d.n != yd->n || d.n < 2 || d.d[0] != 1 || c % y->block)
            return false;
        c += d.d[1];
        d.d[1] = yd->d[1];
        if (!dcv_dims_equal(&d, yd))
            return false;
    }
    return c == yd->d[1];
}

/* Parts that already lie one after the other in some larger concatenation: this one is a view of it. */
static bool lies_ready(const dcv_engine *e, const dcv_step *s, int *root, int64_t *at)
{
    int64_t end = 0;
    for (int i = 0; i < s->n_x; i++) {
        int64_t a;
        const int r = root_of(e, s->x[i], &a);
        if (e->spot[s->x[i]].parent < 0 || (i && (r != *root || a != end)))
            return false;
        if (!i) {
            *root = r;
            *at = a;
        }
        end = a + dcv_spot_floats(e, s->x[i]);
    }
    return e->spot[s->y[0]].parent < 0 && *root != s->y[0];
}

static bool may_lie_in(const dcv_engine *e, const dcv_step *s, int i)
{
    const dcv_spot *x = &e->spot[s->x[i]];
    for (int j = 0; j < i; j++)
        if (s->x[j] == s->x[i])
            return false;
    return x->kind == DCV_SPOT_ARENA && x->parent < 0;
}

static dcv_status stack(dcv_engine *e, int step)
{
    dcv_step *s = &e->step[step];
    int root = -1;
    int64_t at = 0;
    s->kind = DCV_STEP_VIEW;
    if (lies_ready(e, s, &root, &at)) {
        bind(e, s->y[0], root, at);
        return DCV_OK;
    }
    for (int i = 0; i < s->n_x; i++) {
        const int64_t floats = dcv_spot_floats(e, s->x[i]);
        if (may_lie_in(e, s, i)) {
            bind(e, s->x[i], s->y[0], at);
        } else {
            DCV_CHECK(e->n_spot < e->room_spot);
            const int part = e->n_spot++;
            e->spot[part] = e->spot[s->x[i]];
            e->spot[part].kind = DCV_SPOT_ARENA;
            e->spot[part].parent = -1;
            bind(e, part, s->y[0], at);
            dcv_step *copy = dcv_plan_add_step(e, DCV_STEP_COPY, s->node, -1, 1, 1);
            if (!copy)
                return DCV_ENOMEM;
            copy->x[0] = s->x[i];
            copy->y[0] = part;
            s->x[i] = part;
        }
        at += floats;
    }
    return DCV_OK;
}

/* ---- overwriting ---- */

/* Is step s the last to read what spot x holds, and x alone in its memory? */
static bool may_overwrite(const dcv_engine *e, const dcv_step *s, int x)
{
    const dcv_spot *f = &e->spot[x];
    const dcv_value *v = &e->g->value[f->value];
    if (f->kind != DCV_SPOT_ARENA || f->parent >= 0 || e->home[f->value] != x || e->keep[f->value] || v->producer < 0)
        return false;
    const dcv_step *made = &e->step[e->step_of[v->producer]];
    if (made->kind == DCV_STEP_VIEW || made->level != s->level)
        return false;
    for (int i = 0; i < v->n_use; i++) {
        const dcv_step *user = &e->step[e->step_of[v->use[i]]];
        if (user == s)
            continue;
        if (user->kind == DCV_STEP_VIEW || user->level != s->level || user->pos >= s->pos)
            return false;
    }
    return true;
}

static bool alike(const dcv_engine *e, int a, int b)
{
    return e->spot[a].block == e->spot[b].block && dcv_spot_floats(e, a) == dcv_spot_floats(e, b);
}

static dcv_status place_addend(dcv_engine *e, int step)
{
    dcv_step *s = &e->step[step];
    if (may_overwrite(e, s, s->addend) && s->x[0] != s->addend && alike(e, s->addend, s->y[0])) {
        bind(e, s->addend, s->y[0], 0);
    } else {
        dcv_step *copy = dcv_plan_add_step(e, DCV_STEP_COPY, s->node, -1, 1, 1);
        if (!copy)
            return DCV_ENOMEM;
        copy->x[0] = s->addend;
        copy->y[0] = s->y[0];
    }
    s->addend = -1;
    return DCV_OK;
}

static void place_in_place(dcv_engine *e, const dcv_step *s)
{
    const dcv_node *nd = &e->g->node[s->node];
    if (!(nd->op->flags & DCV_OP_IN_PLACE) || s->n_x < 1 || s->n_y < 1 || s->x[0] < 0 || s->y[0] < 0)
        return;
    if (may_overwrite(e, s, s->x[0]) && alike(e, s->x[0], s->y[0]))
        bind(e, s->x[0], s->y[0], 0);
}

/* ---- lifetimes ---- */

static void touch(dcv_engine *e, int spot, int step, int level)
{
    if (spot < 0 || e->spot[spot].kind != DCV_SPOT_ARENA)
        return;
    dcv_spot *r = &e->spot[e->spot[spot].root];
    if (r->first < 0) {
        r->first = step;
        r->level_lo = level;
    }
    r->last = step;
    r->level_hi = level;
}

/* Values that live across levels, or in a group level, have room for the group; and while one picture after
 * the other goes through a level, what comes in or goes out must stay through all of it. */
static void stretch(const dcv_engine *e, dcv_spot *r, const int *level_first, const int *level_last)
{
    const bool crosses = r->level_lo != r->level_hi;
    r->room = (r->floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    if (crosses || r->level_lo % 2) {
        r->n_stride = r->room;
        r->room *= e->room;
        if (r->level_lo % 2 == 0)
            r->first = level_first[r->level_lo];
        if (r->level_hi % 2 == 0)
            r->last = level_last[r->level_hi];
    }
}

static dcv_status lifetimes(dcv_engine *e)
{
    const int n_level = e->n_step ? e->step[e->n_step - 1].level + 2 : 2;
    int *first = dcv_arena_alloc(e->arena, (size_t)n_level, sizeof *first);
    int *last = dcv_arena_alloc(e->arena, (size_t)n_level, sizeof *last);
    if (!first || !last)
        return DCV_ENOMEM;
    for (int i = e->n_step - 1; i >= 0; i--)
        first[e->step[i].level] = i;
    for (int i = 0; i < e->n_step; i++)
        last[e->step[i].level] = i;
    first[n_level - 1] = last[n_level - 1] = e->n_step; /* after the walk */
    for (int f = 0; f < e->n_spot; f++) {
        int64_t at;
        e->spot[f].root = root_of(e, f, &at);
        e->spot[f].floats = dcv_spot_floats(e, f);
        e->spot[f].first = -1;
    }
    for (int i = 0; i < e->n_step; i++) {
        const dcv_step *s = &e->step[i];
        for (int k = 0; k < s->n_x; k++)
            touch(e, s->x[k], i, s->level);
        for (int k = 0; k < s->n_y; k++)
            touch(e, s->y[k], i, s->level);
    }
    for (int v = 0; v < e->g->n_value; v++)
        if (e->keep[v])
            touch(e, e->home[v], e->n_step, n_level - 1);
    for (int f = 0; f < e->n_spot; f++)
        if (e->spot[f].kind == DCV_SPOT_ARENA && e->spot[f].root == f && e->spot[f].first >= 0)
            stretch(e, &e->spot[f], first, last);
    return DCV_OK;
}

/* ---- offsets ---- */

static int by_size(const void *a, const void *b)
{
    const dcv_spot *x = *(const dcv_spot *const *)a, *y = *(const dcv_spot *const *)b;
    return x->room != y->room ? (x->room < y->room) - (x->room > y->room)
                              : (x->first > y->first) - (x->first < y->first);
}

/* Largest first, each at the lowest place that is free for its whole life. */
static int64_t place(dcv_spot *const *placed, int n, dcv_spot *r)
{
    int64_t at = 0;
    for (int i = 0; i < n; i++) { /* in order of offset */
        const dcv_spot *p = placed[i];
        if (p->last < r->first || r->last < p->first)
            continue;
        if (p->offset >= at + r->room)
            break;
        if (p->offset + p->room > at)
            at = p->offset + p->room;
    }
    r->offset = at;
    return at + r->room;
}

static dcv_status offsets(dcv_engine *e)
{
    dcv_spot **root = dcv_arena_alloc(e->arena, (size_t)e->n_spot, sizeof(dcv_spot *));
    dcv_spot **placed = dcv_arena_alloc(e->arena, (size_t)e->n_spot, sizeof(dcv_spot *));
    if (!root || !placed)
        return DCV_ENOMEM;
    int n = 0;
    for (int f = 0; f < e->n_spot; f++)
        if (e->spot[f].kind == DCV_SPOT_ARENA && e->spot[f].root == f && e->spot[f].first >= 0)
            root[n++] = &e->spot[f];
    qsort(root, (size_t)n, sizeof *root, by_size);
    for (int i = 0; i < n; i++) {
        const int64_t end = place(placed, i, root[i]);
        e->arena_floats = end > e->arena_floats ? end : e->arena_floats;
        int k = i;
        for (; k > 0 && placed[k - 1]->offset > root[i]->offset; k--)
            placed[k] = placed[k - 1];
        placed[k] = root[i];
    }
    for (int f = 0; f < e->n_spot; f++) {
        int64_t at;
        const dcv_spot *r = &e->spot[root_of(e, f, &at)];
        if (e->spot[f].kind == DCV_SPOT_ARENA && e->spot[f].root != f) {
            e->spot[f].offset = r->offset + at;
            e->spot[f].n_stride = r->n_stride;
        }
    }
    return DCV_OK;
}

/* ---- order ---- */

static int in_order(const void *a, const void *b)
{
    const dcv_step *x = a, *y = b;
    if (x->level != y->level)
        return x->level - y->level;
    if (x->pos != y->pos)
        return x->pos - y->pos;
    if (x->sub != y->sub)
        return x->sub - y->sub;
    return x->n_y && y->n_y ? x->y[0] - y->y[0] : 0;
}

static void index_steps(dcv_engine *e)
{
    for (int i = 0; i < e->n_step; i++)
        if (e->step[i].sub == 0)
            e->step_of[e->step[i].node] = i;
    for (int n = 0; n < e->g->n_node; n++)
        e->step_of[n] = e->step_of[e->owner[n]];
}

dcv_status dcv_plan_storage(dcv_engine *e)
{
    index_steps(e);
    const int n = e->n_step; /* steps added below are copies */
    for (int i = n - 1; i >= 0; i--)
        if (is_stack(e, &e->step[i]))
            DCV_TRY(stack(e, i));
    for (int i = 0; i < n; i++) {
        if (e->step[i].addend >= 0)
            DCV_TRY(place_addend(e, i));
        else if (e->step[i].kind == DCV_STEP_OP)
            place_in_place(e, &e->step[i]);
    }
    qsort(e->step, (size_t)e->n_step, sizeof *e->step, in_order);
    index_steps(e);
    DCV_TRY(lifetimes(e));
    return offsets(e);
}
