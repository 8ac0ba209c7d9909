/* listing_field.c -- size, stride and offset of receptive fields.
 *
 * The graph tells the box of every cell, clipped to the input; here the rule behind the boxes is read off them.
 */
#include "calls/listing.h"
#include "deconvoy/memory.h"

enum { MOST_EXTENT = 1 << 16 }; /* px: every cell of all values before takes memory */

/* Step of an end over period cells, from ends that the border has not cut; false: cut. */
static bool step_at(const dcv_span *s, int64_t i, int period, int64_t extent, int64_t *step)
{
    const bool lo = s[i].lo > 0, hi = s[i + period].hi < extent;
    *step = lo ? s[i + period].lo - s[i].lo : s[i + period].hi - s[i].hi;
    return lo || hi;
}

/* The step that all cells make, several periods of them, or (not strict) three quarters: at the border, dilated windows
 * make others.  Else 0. */
static int64_t usual_step(const dcv_span *s, int64_t n, int period, int64_t extent, bool strict)
{
    int64_t usual = 0, votes = 0, agree = 0, all = 0, step;
    for (int64_t i = 0; i + period < n; i++)
        if (step_at(s, i, period, extent, &step)) {
            usual = votes ? usual : step;
            votes += step == usual ? 1 : -1;
        }
    for (int64_t i = 0; i + period < n; i++)
        if (step_at(s, i, period, extent, &step)) {
            agree += step == usual;
            all++;
        }
    if (strict)
        return agree == all && all >= 2 * period ? usual : 0;
    return 4 * agree >= 3 * all ? usual : 0;
}

/* Pixels from a cell to the next; after an enlargement the steps differ, and repeat after a few cells.  0: cannot be
 * told. */
static double stride_of(const dcv_span *s, int64_t n, int64_t extent)
{
    for (int strict = 1; strict >= 0; strict--)
        for (int period = 1; period <= 8; period++) {
            const int64_t step = usual_step(s, n, period, extent, strict);
            if (step > 0)
                return (double)step / period;
        }
    return 0;
}

/* From the clipped boxes of all cells: ends that the border has not cut give place and size. */
static dcv_cell_field field_of(const dcv_span *s, int64_t n, int64_t extent)
{
    dcv_cell_field f = {.known = true, .stride = stride_of(s, n, extent)};
    int64_t first = DCV_UNKNOWN, last = DCV_UNKNOWN; /* with an end, with a start that is not cut */
    bool whole = false;
    for (int64_t i = 0; i < n; i++) {
        first = first < 0 && s[i].hi < extent ? i : first;
        last = s[i].lo > 0 ? i : last;
        whole |= s[i].lo > 0 && s[i].hi < extent;
        f.size = s[i].hi - s[i].lo > f.size ? s[i].hi - s[i].lo : f.size;
    }
    if (f.stride > 0 && last >= 0) {
        f.offset = (double)s[last].lo - (double)last * f.stride;
        if (first >= 0 && !whole) /* join two boxes that are cut at different sides */
            f.size = (int64_t)((double)s[first].hi - (double)first * f.stride - f.offset);
    } else if (f.stride > 0 && first >= 0) {
        f.offset = (double)(s[first].hi - f.size) - (double)first * f.stride;
    }
    return f;
}

static int64_t cells_along(const dcv_dims *d, int axis)
{
    return 2 + axis < d->n ? d->d[2 + axis] : 1;
}

dcv_status dcv_field_along(const dcv_graph *g, int v, int axis, dcv_cell_field *out)
{
    const int64_t n = cells_along(&g->value[v].dims, axis), extent = cells_along(&g->value[g->in[0]].dims, axis);
    if (n < 1 || n > MOST_EXTENT || extent > MOST_EXTENT)
        return DCV_OK;
    dcv_span *spans = dcv_alloc((size_t)n, sizeof *spans);
    if (!spans)
        return DCV_ENOMEM;
    dcv_status st = dcv_graph_receptive(g, v, g->in[0], axis, spans);
    if (st == DCV_OK)
        *out = field_of(spans, n, extent);
    dcv_free(spans);
    return st;
}
