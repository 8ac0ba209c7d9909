/* cam_result.c -- data sets of the job `cam`. */
#include <math.h>
#include <string.h>

#include "jobs/cam.h"
#include "jobs/regions.h"

/* Axes of a data set and their names; which of them is that of the thresholds, and the data set of these. */
typedef struct shape {
    dcv_dims dims;
    const char *axis[DCV_MAX_RANK];
    int scale; /* -1: none */
} shape;

static const char threshold[] = "threshold";

static shape shape_of(int64_t items, int64_t targets)
{
    return (shape){{2, {items, targets}}, {"input", "target"}, -1};
}

static shape with(shape s, int64_t extent, const char *axis)
{
    s.axis[s.dims.n] = axis;
    s.dims.d[s.dims.n++] = extent;
    return s;
}

static shape without_items(shape s)
{
    memmove(s.dims.d, s.dims.d + 1, (size_t)--s.dims.n * sizeof s.dims.d[0]);
    memmove(s.axis, s.axis + 1, (size_t)s.dims.n * sizeof s.axis[0]);
    return s;
}

static dcv_status put_set(dcv_store *s, const char *group, const char *name, dcv_dtype type, shape is, int *id)
{
    char *path = dcv_format("%s/%s", group, name);
    dcv_status st = path ? dcv_dims_check(&is.dims) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_store_dataset(s, path, type, 0, &is.dims, id);
    for (int i = 0; st == DCV_OK && i < is.dims.n; i++)
        st = dcv_store_axis(s, *id, i, is.axis[i] == threshold ? is.scale : -1, is.axis[i]);
    dcv_free(path);
    return st;
}

/* The scale of boxes' axes. */
static dcv_status put_thresholds(const cam_job *j, dcv_store *s, const char *group, int *id)
{
    char *path = dcv_format("%s/%s", group, threshold);
    dcv_status st = path ? dcv_store_dataset(s, path, DCV_F64, 0, &(dcv_dims){1, {j->n_thresholds}}, id) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_store_values(s, *id, j->options->boxes.thresholds.v, (size_t)j->n_thresholds * sizeof(double));
    dcv_free(path);
    return st;
}

static dcv_status put_metrics(const cam_job *j, dcv_store *s, const char *group, shape iou, cam_wanted *w)
{
    const shape map = without_items(shape_of(1, j->targets.n)), box = without_items(iou);
    char *to = dcv_format("%s/metrics", group);
    if (!to)
        return DCV_ENOMEM;
    const struct {
        const char *name;
        dcv_dtype type;
        shape is;
        int *id;
    } sets[] = {{"iou", DCV_F32, iou, &w->id_iou},
                {"iou_mean", DCV_F64, box, &w->id_iou_mean},
                {"corloc", DCV_F64, box, &w->id_corloc},
                {"top1_loc", DCV_F64, box, &w->id_top1},
                {"top5_loc", DCV_F64, box, &w->id_top5},
                {"max_box_acc", DCV_F64, with(map, DCV_BOX_LEVELS, "level"), &w->id_max_box_acc},
                {"pointing", DCV_F64, map, &w->id_pointing},
                {"counted", DCV_I64, map, &w->id_counted}};
    dcv_status st = DCV_OK;
    for (size_t i = 0; st == DCV_OK && i < sizeof sets / sizeof *sets; i++)
        st = put_set(s, to, sets[i].name, sets[i].type, sets[i].is, sets[i].id);
    dcv_free(to);
    return st;
}

static dcv_status put_method(const cam_job *j, dcv_store *s, const char *group, cam_wanted *w)
{
    static const char *const dots[] = {".", ".", ".", ".", "."};
    const shape two = shape_of(j->on.base.n_items, j->targets.n);
    shape map = two;
    for (int i = 0; i < w->map.n; i++)
        map = with(map, w->map.d[i], i < w->map.n - 2 ? "channel" : i == w->map.n - 2 ? "y" : "x");
    DCV_TRY(put_set(s, group, "map", DCV_F32, map, &w->id_map));
    if (j->options->heatmap)
        DCV_TRY(
            put_set(s, group, "heatmap", DCV_F32, with(with(two, j->input.h, "y"), j->input.w, "x"), &w->id_heatmap));
    shape iou = with(two, j->n_thresholds, threshold);
    if (j->n_thresholds) {
        DCV_TRY(put_thresholds(j, s, group, &iou.scale));
        DCV_TRY(put_set(s, group, "box", DCV_I32, with(iou, 4, "y0, x0, y1, x1"), &w->id_box));
    }
    if (j->truth)
        DCV_TRY(put_metrics(j, s, group, iou, w));
    DCV_TRY(dcv_store_text(s, group, "layer", j->layer[w->layer].name));
    return dcv_store_nxdata(s, group, j->options->heatmap ? "heatmap" : "map", dots,
                            j->options->heatmap ? 4 : map.dims.n);
}

/* The true boxes as they were compared, in pixels of the network's input; NaN and -1 where there are fewer. */
static dcv_status put_truth(const cam_job *j, dcv_store *s)
{
    const dcv_truth *t = j->truth;
    const int64_t n = j->on.base.n_items * t->most;
    const shape rows = {{2, {j->on.base.n_items, t->most}}, {"input", "box"}, -1};
    int id_box, id_class;
    float *box = dcv_alloc((size_t)n, 4 * sizeof *box);
    int32_t *number = dcv_alloc((size_t)n, sizeof *number);
    dcv_status st = box && number ? DCV_OK : DCV_ENOMEM;
    for (int64_t i = 0; st == DCV_OK && i < n; i++) {
        const int64_t item = i / t->most, k = t->first[item] + i % t->most;
        const dcv_truth_box *b = k < t->first[item + 1] ? &t->box[k] : NULL;
        const double v[4] = {b ? b->y0 : NAN, b ? b->x0 : NAN, b ? b->y1 : NAN, b ? b->x1 : NAN};
        for (int c = 0; c < 4; c++)
            box[4 * i + c] = (float)v[c];
        number[i] = b ? b->class_number : -1;
    }
    if (st == DCV_OK)
        st = put_set(s, "/report", "true_box", DCV_F32, with(rows, 4, "y0, x0, y1, x1"), &id_box);
    if (st == DCV_OK)
        st = dcv_store_values(s, id_box, box, (size_t)n * 4 * sizeof *box);
    if (st == DCV_OK)
        st = put_set(s, "/report", "true_class", DCV_I32, rows, &id_class);
    if (st == DCV_OK)
        st = dcv_store_values(s, id_class, number, (size_t)n * sizeof *number);
    dcv_free(box);
    dcv_free(number);
    return st;
}

dcv_status cam_declare(dcv_job *job, dcv_store *s)
{
    cam_job *j = (cam_job *)job;
    DCV_TRY(dcv_network_declare(&j->on.net, s));
    DCV_TRY(put_set(s, "/cam", "target", DCV_I32, shape_of(job->n_items, j->targets.n), &j->id_target));
    if (j->truth && j->truth->most)
        DCV_TRY(put_truth(j, s));
    DCV_TRY(dcv_shown_declare(&j->shown, s));
    for (int i = 0; i < j->n_wanted; i++) {
        char *group = dcv_format("/cam/%s", j->wanted[i].method->name);
        const dcv_status st = group ? put_method(j, s, group, &j->wanted[i]) : DCV_ENOMEM;
        dcv_free(group);
        DCV_TRY(st);
    }
    return DCV_OK;
}

dcv_status cam_put_failed(const cam_job *j, int64_t item, dcv_result *r)
{
    const int64_t n = j->targets.n, first = item * n, px = j->input.h * j->input.w;
    DCV_TRY(dcv_put_missing(r, j->id_target, DCV_I32, first, n));
    for (int i = 0; i < j->n_wanted; i++) {
        const cam_wanted *w = &j->wanted[i];
        const int64_t cells = dcv_count(&w->map), boxes = j->n_thresholds;
        DCV_TRY(dcv_put_missing(r, w->id_map, DCV_F32, first * cells, n * cells));
        if (j->options->heatmap)
            DCV_TRY(dcv_put_missing(r, w->id_heatmap, DCV_F32, first * px, n * px));
        if (boxes)
            DCV_TRY(dcv_put_missing(r, w->id_box, DCV_I32, 4 * first * boxes, 4 * n * boxes));
        if (j->truth)
            DCV_TRY(dcv_put_missing(r, w->id_iou, DCV_F32, first * boxes, n * boxes));
    }
    return dcv_shown_put_failed(&j->shown, item, r);
}
