/* fold.c -- constants that follow from constants, and from shapes. */
#include <string.h>
#include "engine/build.h"

static dcv_status take(const dcv_graph *g, const dcv_node *nd, dcv_arena *arena, int64_t *left, void **to)
{
    for (int j = 0; j < nd->n_out; j++) {
        to[j] = NULL;
        if (nd->out[j] < 0 || g->value[nd->out[j]].constant)
            continue;
        const dcv_value *y = &g->value[nd->out[j]];
        const int64_t n = dcv_count(&y->dims);
        if (n > *left)
            return dcv_fail(DCV_EDATA, "node \"%s\" (%s): constants of more than 2^28 elements", nd->name,
                            nd->op->name);
        *left -= n;
        to[j] = dcv_arena_alloc(arena, (size_t)n, dcv_dtype_bytes(y->type));
        if (!to[j])
            return DCV_ENOMEM;
    }
    return DCV_OK;
}

static bool all_float(const dcv_graph *g, const dcv_node *nd)
{
    for (int k = 0; k < nd->n_in; k++)
        if (nd->in[k] >= 0 && g->value[nd->in[k]].type != DCV_F32)
            return false;
    for (int j = 0; j < nd->n_out; j++)
        if (nd->out[j] >= 0 && g->value[nd->out[j]].type != DCV_F32)
            return false;
    return true;
}

static dcv_status by_fold(const dcv_graph *g, const dcv_node *nd, void **to)
{
    const dcv_value **x = dcv_alloc((size_t)(nd->n_in + 1), sizeof *x);
    dcv_value *y = dcv_alloc((size_t)(nd->n_out + 1), sizeof *y);
    dcv_status st = DCV_ENOMEM;
    if (x && y) {
        for (int k = 0; k < nd->n_in; k++)
            x[k] = nd->in[k] >= 0 ? &g->value[nd->in[k]] : NULL;
        for (int j = 0; j < nd->n_out; j++)
            if (nd->out[j] >= 0)
                y[j] = g->value[nd->out[j]];
        const dcv_fold_io io = {.node = nd, .n_in = nd->n_in, .n_out = nd->n_out, .x = x, .y = y, .to = to};
        st = nd->op->fold(&io);
    }
    dcv_free(x);
    dcv_free(y);
    return st;
}

static dcv_status by_forward(const dcv_graph *g, const dcv_node *nd, void **to)
{
    if (!nd->op->forward || !all_float(g, nd))
        return dcv_fail(DCV_EUNSUPPORTED, "node \"%s\" (%s): integer constants are not supported", nd->name,
                        nd->op->name);
    if (nd->op->macs && nd->op->macs(g, nd) > DCV_FOLD_MACS)
        return dcv_fail(DCV_EUNSUPPORTED, "node \"%s\" (%s): too much work on constants", nd->name, nd->op->name);
    dcv_blob *x = dcv_alloc((size_t)(nd->n_in + nd->n_out), sizeof *x), *y = x ? x + nd->n_in : NULL;
    if (!x)
        return DCV_ENOMEM;
    for (int k = 0; k < nd->n_in; k++)
        if (nd->in[k] >= 0) {
            const dcv_value *v = &g->value[nd->in[k]];
            x[k] = (dcv_blob){.data = (float *)v->constant, .dims = &v->dims, .n = 1, .block = 1};
        }
    for (int j = 0; j < nd->n_out; j++)
        if (nd->out[j] >= 0)
            y[j] = (dcv_blob){.data = to[j], .dims = &g->value[nd->out[j]].dims, .n = 1, .block = 1};
    const dcv_io io = {.x = x, .y = y};
    nd->op->forward(g, nd, &io);
    dcv_free(x);
    return DCV_OK;
}

dcv_status dcv_fold(const dcv_graph *g, const dcv_node *nd, dcv_arena *arena, int64_t *left)
{
    bool known = true;
    for (int j = 0; j < nd->n_out; j++)
        known = known && (nd->out[j] < 0 || g->value[nd->out[j]].constant);
    if (known)
        return DCV_OK;
    void **to = dcv_alloc((size_t)nd->n_out, sizeof *to);
    if (!to)
        return DCV_ENOMEM;
    dcv_status st;
    DCV_TRY_DONE(st, take(g, nd, arena, left, to));
    DCV_TRY_DONE(st, nd->op->fold ? by_fold(g, nd, to) : by_forward(g, nd, to));
    for (int j = 0; j < nd->n_out; j++)
        if (to[j])
            g->value[nd->out[j]].constant = to[j];
done:
    dcv_free(to);
    return st;
}
