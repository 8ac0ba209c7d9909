/* gradient_ascent.c -- a sheet of what was climbed to: each picture with its target, the largest score and the way
 * there.
 *
 * Without a data set the targets stand side by side, eight in a row; with one, each of its pictures has a row.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "deconvoy/memory.h"
#include "report/canvas.h"
#include "report/reporter.h"

enum { MOST_CLIMBS = 256, A_ROW = 8, GAP = 4, SIDE = 224, LEAST = 84, CURVE_H = 28 };
static const int64_t most_bytes = INT64_C(1) << 30;

typedef struct climbs {
    int64_t n, a_row; /* drawn, in a row */
    int64_t targets;  /* of an item */
    int64_t h, w, steps;
    int c;
    uint8_t *px;      /* of one leading row: [h][w][c], with a data set [targets][h][w][c] */
    float *objective; /* likewise [steps] */
    int32_t *target;
    bool items; /* leading axis of inputs */
    canvas_scale scale;
} climbs;

/* Exactly as many axes, with extents that go together. */
static dcv_status shapes(const dcv_report_in *in, climbs *k)
{
    dcv_dims target, picture, objective;
    dcv_h5_info info;
    DCV_TRY(dcv_h5_info_of(in->h5, "/gradient_ascent/target", &info));
    k->items = info.dims.n == 2;
    const int lead = k->items ? 2 : 1;
    DCV_TRY(dcv_report_shape(in, "/gradient_ascent/target", lead, &target));
    DCV_TRY(dcv_report_shape(in, "/gradient_ascent/picture", lead + 3, &picture));
    DCV_TRY(dcv_report_shape(in, "/gradient_ascent/objective", lead + 1, &objective));
    k->targets = k->items ? target.d[1] : 1;
    k->h = picture.d[lead];
    k->w = picture.d[lead + 1];
    k->c = (int)picture.d[lead + 2];
    k->steps = objective.d[lead];
    bool ok = k->targets > 0 && k->h > 0 && k->w > 0 && (k->c == 1 || k->c == 3) && k->steps > 0;
    for (int i = 0; i < lead; i++)
        ok = ok && picture.d[i] == target.d[i] && objective.d[i] == target.d[i];
    ok = ok && (double)k->targets * (double)k->h * (double)k->w * k->c <= (double)most_bytes &&
         (double)k->targets * (double)k->steps * sizeof(float) <= (double)most_bytes;
    if (!ok)
        return dcv_fail(DCV_EDATA, "%s: /gradient_ascent: data sets that do not go together", in->file);
    k->a_row = k->items && k->targets < A_ROW ? k->targets : A_ROW;
    const int64_t rows = k->items ? target.d[0] : (target.d[0] + A_ROW - 1) / A_ROW, most = MOST_CLIMBS / k->a_row;
    k->n = (rows < most ? rows : most) * k->a_row;
    if (!k->items && k->n > target.d[0])
        k->n = target.d[0];
    return DCV_OK;
}

static dcv_status read_row(const dcv_report_in *in, climbs *k, int64_t row)
{
    DCV_TRY(dcv_h5_read(in->h5, "/gradient_ascent/target", DCV_I32, row, 1, k->target));
    DCV_TRY(dcv_h5_read(in->h5, "/gradient_ascent/picture", DCV_U8, row, 1, k->px));
    return dcv_h5_read(in->h5, "/gradient_ascent/objective", DCV_F32, row, 1, k->objective);
}

static void range_of(const float *v, int64_t n, float *lo, float *hi)
{
    *lo = INFINITY;
    *hi = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        *lo = v[i] < *lo ? v[i] : *lo;
        *hi = v[i] > *hi ? v[i] : *hi;
    }
}

/* All steps in w columns; a column reaches from the least to the largest score of its steps and the one before. */
static void draw_curve(dcv_image *sheet, int64_t y, int64_t x, int64_t w, const float *v, int64_t n)
{
    float lo, hi;
    range_of(v, n, &lo, &hi);
    if (!(hi > lo) || !isfinite(hi - lo))
        return;
    for (int64_t i = 0; i < w; i++) {
        const int64_t first = i * n / w, end = (i + 1) * n / w > first ? (i + 1) * n / w : first + 1;
        float from, to;
        range_of(v + (first > 0 ? first - 1 : 0), end - (first > 0 ? first - 1 : 0), &from, &to);
        if (!(to >= from)) /* no numbers */
            continue;
        const int64_t top = lrintf((hi - to) / (hi - lo) * (CURVE_H - 1)),
                      bottom = lrintf((hi - from) / (hi - lo) * (CURVE_H - 1));
        canvas_fill(sheet, y + top, x + i, bottom - top + 1, 1, canvas_ink);
    }
}

static void draw_climb(const climbs *k, int64_t t, int64_t y, int64_t x, dcv_image *sheet)
{
    const int64_t h = canvas_scaled(k->h, k->scale), w = canvas_scaled(k->w, k->scale);
    const float *v = k->objective + t * k->steps;
    float lo, hi;
    char text[64];
    canvas_picture(sheet, y, x, k->px + t * k->h * k->w * k->c, k->c, k->h, k->w, k->w, k->scale);
    range_of(v, k->steps, &lo, &hi);
    if (k->target[t] < 0)
        snprintf(text, sizeof text, "NONE");
    else
        snprintf(text, sizeof text, "%d: %.4g", (int)k->target[t], (double)hi);
    canvas_text(sheet, y + h + GAP, x, w, 1, text);
    draw_curve(sheet, y + h + 2 * GAP + CANVAS_TEXT_H, x, w, v, k->steps);
}

static dcv_status draw_sheet(const dcv_report_in *in, climbs *k, dcv_image *sheet)
{
    const int64_t step_y = canvas_scaled(k->h, k->scale) + 4 * GAP + CANVAS_TEXT_H + CURVE_H,
                  step_x = canvas_scaled(k->w, k->scale) + 2 * GAP;
    const int64_t rows = (k->n + k->a_row - 1) / k->a_row, columns = k->n < k->a_row ? k->n : k->a_row;
    DCV_TRY(canvas_new(GAP + rows * step_y, GAP + columns * step_x, sheet));
    for (int64_t i = 0; i < k->n; i++) {
        const int64_t t = k->items ? i % k->a_row : 0;
        if (!t)
            DCV_TRY(read_row(in, k, k->items ? i / k->a_row : i));
        draw_climb(k, t, GAP + i / k->a_row * step_y, GAP + i % k->a_row * step_x, sheet);
    }
    return DCV_OK;
}

static canvas_scale scale_for(int64_t h, int64_t w)
{
    const int64_t side = h > w ? h : w;
    return side > SIDE ? (canvas_scale){1, (side + SIDE - 1) / SIDE}
                       : (canvas_scale){side < LEAST ? LEAST / side : 1, 1};
}

static dcv_status draw(const dcv_report_in *in, climbs *k, const char *file)
{
    dcv_image sheet = {.px = NULL};
    k->scale = scale_for(k->h, k->w);
    k->px = dcv_alloc((size_t)(k->targets * k->h * k->w), (size_t)k->c);
    k->objective = dcv_alloc((size_t)(k->targets * k->steps), sizeof *k->objective);
    k->target = dcv_alloc((size_t)k->targets, sizeof *k->target);
    dcv_status st = k->px && k->objective && k->target ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK)
        st = draw_sheet(in, k, &sheet);
    if (st == DCV_OK)
        st = dcv_png_write(file, &sheet);
    if (st == DCV_OK)
        st = dcv_report_wrote(in, file);
    dcv_image_clear(&sheet);
    dcv_free(k->px);
    dcv_free(k->objective);
    dcv_free(k->target);
    return st;
}

static dcv_status run(const dcv_report_in *in)
{
    climbs k = {0};
    if (!dcv_h5_has(in->h5, "/gradient_ascent/picture")) /* the network's input is no picture */
        return DCV_OK;
    DCV_TRY(shapes(in, &k));
    char *file = k.n > 0 ? dcv_report_path(in, "climbs", ".png") : NULL;
    const dcv_status st = file ? draw(in, &k, file) : k.n > 0 ? DCV_ENOMEM : DCV_OK;
    dcv_free(file);
    return st;
}

const dcv_reporter dcv_reporter_gradient_ascent = {"gradient_ascent", run};
