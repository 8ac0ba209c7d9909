/* cam_metrics.c -- how often the boxes of the job `cam` meet the truth. */
#include <math.h>
#include <string.h>

#include "jobs/cam.h"

static int64_t n_maps(const cam_job *j)
{
    return (int64_t)j->n_wanted * j->targets.n;
}

static int64_t n_boxes(const cam_job *j)
{
    return n_maps(j) * j->n_thresholds;
}

size_t cam_state_bytes(const cam_job *j)
{
    return j->truth ? (size_t)n_maps(j) * sizeof(dcv_map_counts) + (size_t)n_boxes(j) * sizeof(dcv_box_counts) : 0;
}

static dcv_map_counts *maps_of(const void *state)
{
    return (dcv_map_counts *)(uintptr_t)state;
}

static dcv_box_counts *boxes_of(const cam_job *j, const void *state)
{
    return (dcv_box_counts *)(void *)(maps_of(state) + n_maps(j));
}

void cam_state_clear(const dcv_job *job, int p, void *state)
{
    (void)p;
    memset(state, 0, cam_state_bytes((const cam_job *)job));
}

static void add(const cam_job *j, void *into, const dcv_map_counts *maps, const dcv_box_counts *boxes)
{
    for (int64_t i = 0; i < n_maps(j); i++)
        dcv_map_counts_add(&maps_of(into)[i], &maps[i]);
    for (int64_t i = 0; i < n_boxes(j); i++)
        dcv_box_counts_add(&boxes_of(j, into)[i], &boxes[i]);
}

void cam_state_fold(const dcv_job *job, int p, void *into, const void *block)
{
    const cam_job *j = (const cam_job *)job;
    (void)p;
    add(j, into, maps_of(block), boxes_of(j, block));
}

void cam_state_add(const cam_job *j, void *state, const cam_scratch *s)
{
    add(j, state, s->counted, s->box);
}

/* --- Results -------------------------------------------------------------------------- */

static double share(int64_t count, const dcv_map_counts *of)
{
    return of->counted ? (double)count / (double)of->counted : NAN;
}

/* Shares of the pictures that were counted; NaN where there was none. */
static dcv_status put_target(const cam_job *j, const cam_wanted *w, int t, const dcv_map_counts *maps,
                             const dcv_box_counts *boxes, dcv_result *r)
{
    const double pointing = share(maps->pointing, maps);
    double most[DCV_BOX_LEVELS] = {0};
    for (int k = 0; k < j->n_thresholds; k++) {
        const dcv_box_counts *b = &boxes[k];
        const int64_t at = (int64_t)t * j->n_thresholds + k;
        const double iou = share(b->iou, maps) * 0x1p-32, corloc = share(b->met[1], maps), top1 = share(b->top1, maps),
                     top5 = share(b->top5, maps);
        DCV_TRY(dcv_result_put(r, w->id_iou_mean, at, 1, &iou));
        DCV_TRY(dcv_result_put(r, w->id_corloc, at, 1, &corloc));
        DCV_TRY(dcv_result_put(r, w->id_top1, at, 1, &top1));
        DCV_TRY(dcv_result_put(r, w->id_top5, at, 1, &top5));
        for (int i = 0; i < DCV_BOX_LEVELS; i++) {
            const double v = share(b->met[i], maps);
            most[i] = v > most[i] || isnan(v) ? v : most[i];
        }
    }
    DCV_TRY(dcv_result_put(r, w->id_max_box_acc, (int64_t)t * DCV_BOX_LEVELS, DCV_BOX_LEVELS, most));
    DCV_TRY(dcv_result_put(r, w->id_pointing, t, 1, &pointing));
    return dcv_result_put(r, w->id_counted, t, 1, &maps->counted);
}

dcv_status cam_finish(dcv_job *job, int p, const void *state, dcv_result *r)
{
    const cam_job *j = (const cam_job *)job;
    const int n = j->targets.n;
    (void)p;
    for (int i = 0; i < j->n_wanted; i++)
        for (int t = 0; t < n; t++)
            DCV_TRY(put_target(j, &j->wanted[i], t, &maps_of(state)[i * n + t],
                               &boxes_of(j, state)[(i * n + t) * j->n_thresholds], r));
    return DCV_OK;
}
