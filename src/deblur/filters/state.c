/* state.c -- what the next iteration depends on, kept and found again: numbers, history, fields plane by plane.
 *
 * Places in the state depend on the frame alone, so a run may go on with another number of ranks.
 */
#include <string.h>

#include "deblur/filters/lucy.h"

typedef struct layout {
    int64_t history, fields[3], end; /* offsets */
} layout;

static layout lay_out(const lucy *l)
{
    const problem *p = l->p;
    const box *b = &l->x.b;
    const int64_t bytes = p->spec.channels * b->n[0] * b->n[1] * b->n[2] * (int64_t)sizeof(real);
    layout o = {.history = (int64_t)sizeof(lucy_state)};
    int64_t at = o.history + p->spec.iterations * (int64_t)sizeof(dcv_history);
    for (int f = 0; f < 3; f++, at += bytes)
        o.fields[f] = at;
    o.end = l->accelerated ? o.fields[2] + bytes : o.fields[1];
    return o;
}

typedef dcv_status (*move_fn)(void *ctx, int64_t offset, int64_t bytes, void *at);

/* This rank's planes of a field that begins at offset. */
static dcv_status move_field(const lucy *l, const field *f, int64_t offset, move_fn move)
{
    const int64_t plane = f->b.n[1] * f->b.n[2] * (int64_t)sizeof(real);
    for (int64_t c = 0; c < l->p->spec.channels && f->n > 0; c++)
        DCV_TRY(move(l->p->io->ctx, offset + (c * f->b.n[0] + f->first - f->b.at[0]) * plane, f->n * plane,
                     (char *)f->at + c * f->n * plane));
    return DCV_OK;
}

static dcv_status move_fields(const lucy *l, const layout *o, move_fn move)
{
    DCV_TRY(move_field(l, &l->x, o->fields[0], move));
    if (!l->accelerated)
        return DCV_OK;
    DCV_TRY(move_field(l, &l->prev, o->fields[1], move));
    return move_field(l, &l->step, o->fields[2], move);
}

static dcv_status save_mine(const lucy *l, const layout *o)
{
    const dcv_deblur_io *io = l->p->io;
    if (group_rank(l->p->group) == 0) {
        DCV_TRY(io->save(io->ctx, 0, sizeof l->s, &l->s));
        if (l->p->facts->history)
            DCV_TRY(io->save(io->ctx, o->history, l->p->spec.iterations * (int64_t)sizeof(dcv_history),
                             l->p->facts->history));
    }
    return move_fields(l, o, (move_fn)(void (*)(void))io->save);
}

dcv_status lucy_save(lucy *l)
{
    const dcv_deblur_io *io = l->p->io;
    const layout o = lay_out(l);
    if (!io->save_begin)
        return DCV_OK;
    DCV_TRY(group_agree(l->p->group, io->save_begin(io->ctx, o.end)));
    DCV_TRY(group_agree(l->p->group, save_mine(l, &o)));
    return io->save_end(io->ctx);
}

static dcv_status load_mine(lucy *l, const layout *o)
{
    const dcv_deblur_io *io = l->p->io;
    DCV_TRY(io->load(io->ctx, 0, sizeof l->s, &l->s));
    if (l->p->facts->history)
        DCV_TRY(
            io->load(io->ctx, o->history, l->p->spec.iterations * (int64_t)sizeof(dcv_history), l->p->facts->history));
    return move_fields(l, o, io->load);
}

dcv_status lucy_load(lucy *l, bool *found)
{
    const dcv_deblur_io *io = l->p->io;
    const layout o = lay_out(l);
    double missing = !io->found || io->found(io->ctx) != o.end;
    group_max(l->p->group, &missing, 1); /* a rank that could not read it is enough */
    *found = missing == 0;
    return *found ? group_agree(l->p->group, load_mine(l, &o)) : DCV_OK;
}
