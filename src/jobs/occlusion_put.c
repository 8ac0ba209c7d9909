/* occlusion_put.c -- a part's results of one picture.
 *
 * Rows of the result are those of the largest picture; smaller ones stand in the corner, and their first part writes
 * what lies beyond.
 */
#include <math.h>
#include <string.h>

#include "jobs/occlusion.h"
#include "jobs/regions.h"

/* Elements first .. of a data set whose values are spread: one every step. */
typedef struct column {
    const void *from;
    int64_t step;
    dcv_dtype type;
} column;

static dcv_status put_some(dcv_result *r, int id, int64_t first, const column *c, int64_t from, int64_t n)
{
    const size_t each = dcv_dtype_bytes(c->type);
    char *dense = dcv_alloc((size_t)n, each);
    if (!dense)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < n; i++)
        memcpy(dense + (size_t)i * each, (const char *)c->from + (size_t)((from + i) * c->step) * each, each);
    const dcv_status st = dcv_result_put(r, id, first, n, dense);
    dcv_free(dense);
    return st;
}

/* Windows of a part into a map [ny,nx] that begins at element first; the column begins at window start. */
static dcv_status put_windows(const occlusion_job *j, const occlusion_grid *g, dcv_span windows, int64_t start,
                              const column *c, int id, int64_t first, dcv_result *r)
{
    const int64_t nx = g->n[1], all = j->grid.n[1];
    if (windows.hi > windows.lo && nx == all)
        return put_some(r, id, first + windows.lo, c, windows.lo - start, windows.hi - windows.lo);
    for (int64_t at = windows.lo; at < windows.hi;) {
        const int64_t end = (at / nx + 1) * nx < windows.hi ? (at / nx + 1) * nx : windows.hi;
        DCV_TRY(put_some(r, id, first + at / nx * all + at % nx, c, at - start, end - at));
        at = end;
    }
    return DCV_OK;
}

/* What lies beyond a smaller picture's own windows. */
static dcv_status put_beyond(const occlusion_job *j, const occlusion_grid *g, dcv_dtype type, int id, int64_t first,
                             dcv_result *r)
{
    const int64_t ny = j->grid.n[0], nx = j->grid.n[1];
    for (int64_t y = 0; g->n[1] < nx && y < g->n[0]; y++)
        DCV_TRY(dcv_put_missing(r, id, type, first + y * nx + g->n[1], nx - g->n[1]));
    if (g->n[0] < ny)
        return dcv_put_missing(r, id, type, first + g->n[0] * nx, (ny - g->n[0]) * nx);
    return DCV_OK;
}

static dcv_status put_map(const occlusion_job *j, const occlusion_view *v, const occlusion_scratch *s, int64_t part,
                          const column *c, int id, int64_t first, dcv_result *r)
{
    DCV_TRY(put_windows(j, &v->grid, occlusion_part(j, &v->grid, part), s->first, c, id, first, r));
    return part == 0 ? put_beyond(j, &v->grid, c->type, id, first, r) : DCV_OK;
}

static dcv_status put_targets(const occlusion_job *j, const occlusion_view *v, const occlusion_scratch *s, int64_t part,
                              dcv_result *r)
{
    const int64_t cells = (int64_t)j->grid.n[0] * j->grid.n[1], n = j->targets.n;
    const dcv_span windows = occlusion_part(j, &v->grid, part);
    const int64_t count = windows.hi - windows.lo;
    float *difference = dcv_alloc((size_t)count, sizeof *difference);
    dcv_status st = difference ? DCV_OK : DCV_ENOMEM;
    for (int64_t t = 0; st == DCV_OK && t < n; t++) {
        const int64_t first = (v->clean->item * n + t) * cells;
        const column score = {s->score + t, n, DCV_F32};
        const double clean = v->clean->unit[t].channel < 0 ? NAN : (double)v->clean->unit[t].value;
        for (int64_t i = 0; i < count; i++)
            difference[i] = (float)(clean - (double)s->score[(windows.lo + i - s->first) * n + t]);
        st = put_map(j, v, s, part, &score, j->id_score, first, r);
        if (st == DCV_OK) {
            occlusion_scratch own = *s;
            own.first = windows.lo;
            st = put_map(j, v, &own, part, &(column){difference, 1, DCV_F32}, j->id_sensitivity, first, r);
        }
    }
    dcv_free(difference);
    return st;
}

static dcv_status put_clean(const occlusion_job *j, const occlusion_view *v, dcv_result *r)
{
    for (int64_t t = 0; t < j->targets.n; t++) {
        const dcv_unit *u = &v->clean->unit[t];
        const int32_t channel = (int32_t)u->channel;
        const float value = channel < 0 ? NAN : u->value;
        DCV_TRY(dcv_result_put(r, j->id_target, v->clean->item * j->targets.n + t, 1, &channel));
        DCV_TRY(dcv_result_put(r, j->id_clean, v->clean->item * j->targets.n + t, 1, &value));
    }
    for (int i = 0; i < j->n_layers; i++) {
        const int32_t channel = (int32_t)v->clean->channel[i];
        const float total = (float)v->clean->total[i];
        DCV_TRY(dcv_result_put(r, j->id_activity_channel[i], v->clean->item, 1, &channel));
        DCV_TRY(dcv_result_put(r, j->id_activity_clean[i], v->clean->item, 1, &total));
    }
    return dcv_result_put(r, j->id_work, 2 * v->clean->item, 2, v->work);
}

dcv_status occlusion_put(const occlusion_job *j, const occlusion_view *v, const occlusion_scratch *s, int64_t part,
                         dcv_result *r)
{
    const int64_t first = v->clean->item * j->grid.n[0] * j->grid.n[1];
    DCV_TRY(put_targets(j, v, s, part, r));
    DCV_TRY(put_map(j, v, s, part, &(column){s->top, 1, DCV_I32}, j->id_top, first, r));
    for (int i = 0; i < j->n_layers; i++)
        DCV_TRY(put_map(j, v, s, part, &(column){s->activity + i, j->n_layers, DCV_F32}, j->id_activity[i], first, r));
    if (part > 0)
        return DCV_OK;
    DCV_TRY(dcv_shown_put(&j->shown, j->on.net.dataset, v->clean->item, r));
    return put_clean(j, v, r);
}

/* --- Heat maps -------------------------------------------------------------------- */

static int64_t heatmap_at(const occlusion_job *j, int64_t item, int64_t target)
{
    return (item * j->targets.n + target) * j->grid.extent[0] * j->grid.extent[1];
}

dcv_status occlusion_put_heatmap(const occlusion_job *j, const occlusion_view *v, const occlusion_scratch *s,
                                 dcv_span pixels, int64_t part, int target, dcv_result *r)
{
    const int64_t w = v->grid.extent[1], all = j->grid.extent[1], h = v->grid.extent[0],
                  first = heatmap_at(j, v->clean->item, target);
    const int64_t rows = pixels.hi - pixels.lo;
    if (rows > 0)
        DCV_TRY(dcv_put_within(r, j->id_heatmap, first + pixels.lo * all, &(dcv_dims){2, {rows, all}}, s->pixel,
                               &(dcv_dims){2, {rows, w}}));
    if (part > 0 || h == j->grid.extent[0])
        return DCV_OK;
    return dcv_put_missing(r, j->id_heatmap, DCV_F32, first + h * all, (j->grid.extent[0] - h) * all);
}

/* --- Pictures that failed --------------------------------------------------------- */

static dcv_status put_no_windows(const occlusion_job *j, int64_t item, dcv_span windows, dcv_result *r)
{
    const int64_t cells = (int64_t)j->grid.n[0] * j->grid.n[1], n = windows.hi - windows.lo;
    for (int64_t t = 0; t < j->targets.n; t++) {
        const int64_t first = (item * j->targets.n + t) * cells + windows.lo;
        DCV_TRY(dcv_put_missing(r, j->id_score, DCV_F32, first, n));
        DCV_TRY(dcv_put_missing(r, j->id_sensitivity, DCV_F32, first, n));
    }
    DCV_TRY(dcv_put_missing(r, j->id_top, DCV_I32, item * cells + windows.lo, n));
    for (int i = 0; i < j->n_layers; i++)
        DCV_TRY(dcv_put_missing(r, j->id_activity[i], DCV_F32, item * cells + windows.lo, n));
    return DCV_OK;
}

dcv_status occlusion_put_failed(const occlusion_job *j, int64_t item, int64_t part, dcv_result *r)
{
    const dcv_span windows = occlusion_part(j, &j->grid, part);
    const int64_t nx = j->grid.n[1], n = j->targets.n;
    DCV_TRY(put_no_windows(j, item, windows, r));
    if (j->options->heatmap) {
        const dcv_span pixels = occlusion_pixels(&j->grid, (dcv_span){windows.lo / nx, (windows.hi + nx - 1) / nx});
        for (int64_t t = 0; t < n; t++)
            DCV_TRY(dcv_put_missing(r, j->id_heatmap, DCV_F32, heatmap_at(j, item, t) + pixels.lo * j->grid.extent[1],
                                    (pixels.hi - pixels.lo) * j->grid.extent[1]));
    }
    if (part > 0)
        return DCV_OK;
    DCV_TRY(dcv_shown_put_failed(&j->shown, item, r));
    DCV_TRY(dcv_put_missing(r, j->id_target, DCV_I32, item * n, n));
    DCV_TRY(dcv_put_missing(r, j->id_clean, DCV_F32, item * n, n));
    for (int i = 0; i < j->n_layers; i++) {
        DCV_TRY(dcv_put_missing(r, j->id_activity_channel[i], DCV_I32, item, 1));
        DCV_TRY(dcv_put_missing(r, j->id_activity_clean[i], DCV_F32, item, 1));
    }
    return dcv_put_missing(r, j->id_work, DCV_F64, 2 * item, 2);
}
