/* occlusion.c -- what covering windows does, over the picture: items below each other; in a row the picture, for each
 * target where its score falls (red) or rises (blue), the class that wins under each window, and the activity of
 * layers.
 *
 * After Zeiler and Fergus 2014, figure 7.  Full strength is the largest absolute sensitivity of the item and target;
 * without heat map, each window stands for an equal part of the picture.  Classes have colours of their own, the one
 * that wins most often is mid-grey; those that win most are named below.  Activity: black its least, white its largest.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "deconvoy/memory.h"
#include "report/canvas.h"
#include "report/reporter.h"

enum {
    MOST_ITEMS = 32,
    MOST_TARGETS = 5,
    MOST_LAYERS = 4,
    GAP = 6,
    SIDE = 224,
    LINE = CANVAS_TEXT_H + 3,
    TEXT = 256,
    NAMED = 3
};
static const int64_t most_floats = INT64_C(1) << 28; /* of one item's maps */

typedef struct sheet_in {
    const dcv_report_in *in;
    int64_t items, targets, ny, nx, h, w; /* items shown; windows; picture */
    int64_t own_ny, own_nx, own_h, own_w; /* of the item under way */
    int c;                                /* channels of pictures, 0: none */
    float *map, *heat, *activity;         /* sensitivity, heat map (NULL: none) */
    int32_t *target, *top, *sorted;
    uint8_t *picture, *px;
    int n_layers;
    char *layer[MOST_LAYERS];
    canvas_scale scale;
} sheet_in;

/* --- One picture ------------------------------------------------------------------------ */

static float grey_at(const sheet_in *s, int64_t y, int64_t x)
{
    if (!s->picture)
        return 255;
    const uint8_t *p = s->picture + (y * s->w + x) * s->c;
    return s->c == 3 ? 0.299F * p[0] + 0.587F * p[1] + 0.114F * p[2] : p[0];
}

static void set(const sheet_in *s, int64_t y, int64_t x, float r, float g, float b)
{
    uint8_t *p = s->px + 3 * (y * s->w + x);
    p[0] = (uint8_t)lrintf(r);
    p[1] = (uint8_t)lrintf(g);
    p[2] = (uint8_t)lrintf(b);
}

/* The window that stands for a pixel. */
static int64_t window_at(const sheet_in *s, int64_t y, int64_t x)
{
    return y * s->own_ny / s->own_h * s->nx + x * s->own_nx / s->own_w;
}

static float sensitivity_at(const sheet_in *s, int64_t t, int64_t y, int64_t x)
{
    return s->heat ? s->heat[(t * s->h + y) * s->w + x] : s->map[t * s->ny * s->nx + window_at(s, y, x)];
}

static void paint_target(const sheet_in *s, int64_t t)
{
    float most = 0;
    for (int64_t y = 0; y < s->own_h; y++)
        for (int64_t x = 0; x < s->own_w; x++)
            most = fmaxf(most, fabsf(sensitivity_at(s, t, y, x))); /* NaN counts for nothing */
    for (int64_t y = 0; y < s->own_h; y++)
        for (int64_t x = 0; x < s->own_w; x++) {
            const float v = most > 0 ? sensitivity_at(s, t, y, x) / most : 0;
            const float part = isfinite(v) ? 0.75F * fminf(fabsf(v), 1) : 0, below = (1 - part) * grey_at(s, y, x);
            set(s, y, x, below + (v > 0 ? part * 255 : 0), below, below + (v > 0 ? 0 : part * 255));
        }
}

static int by_number(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

typedef struct winner {
    int32_t class_;
    int64_t windows;
} winner;

/* Classes that win under most windows, most first; the lower number first of equals. */
static int winners(const sheet_in *s, winner best[NAMED])
{
    const int64_t n = s->own_ny * s->own_nx;
    int found = 0;
    for (int64_t i = 0; i < n; i++)
        s->sorted[i] = s->top[i / s->own_nx * s->nx + i % s->own_nx];
    qsort(s->sorted, (size_t)n, sizeof *s->sorted, by_number);
    for (int64_t i = 0, next; i < n; i = next) {
        for (next = i + 1; next < n && s->sorted[next] == s->sorted[i]; next++)
            ;
        int at = found;
        while (at > 0 && best[at - 1].windows < next - i)
            at--;
        found += found < NAMED;
        for (int k = found - 1; k > at; k--)
            best[k] = best[k - 1];
        if (at < NAMED)
            best[at] = (winner){s->sorted[i], next - i};
    }
    return found;
}

static canvas_colour class_colour(int32_t class_, int32_t usual)
{
    const uint32_t hash = (uint32_t)class_ * 2654435761U;
    if (class_ == usual)
        return (canvas_colour){128, 128, 128};
    return (canvas_colour){(uint8_t)(64 + (hash >> 24) * 3 / 4), (uint8_t)(64 + (hash >> 16 & 255) * 3 / 4),
                           (uint8_t)(64 + (hash >> 8 & 255) * 3 / 4)};
}

static void paint_classes(const sheet_in *s, int32_t usual)
{
    for (int64_t y = 0; y < s->own_h; y++)
        for (int64_t x = 0; x < s->own_w; x++) {
            const canvas_colour c = class_colour(s->top[window_at(s, y, x)], usual);
            set(s, y, x, c.r, c.g, c.b);
        }
}

/* Most of it stays under any window: shown is the range that is there. */
static void paint_activity(const sheet_in *s, float *least, float *most)
{
    *least = INFINITY, *most = -INFINITY;
    for (int64_t i = 0; i < s->own_ny * s->own_nx; i++) {
        const float v = s->activity[i / s->own_nx * s->nx + i % s->own_nx];
        *least = fminf(*least, v); /* NaN counts for nothing */
        *most = fmaxf(*most, v);
    }
    for (int64_t y = 0; y < s->own_h; y++)
        for (int64_t x = 0; x < s->own_w; x++) {
            const float v = (s->activity[window_at(s, y, x)] - *least) / (*most - *least) * 255,
                        g = isfinite(v) ? fminf(fmaxf(v, 0), 255) : 0;
            set(s, y, x, g, g, g);
        }
}

/* --- One item --------------------------------------------------------------------------- */

static void lay(const sheet_in *s, int64_t y, int64_t *x, const uint8_t *px, int c, const char *text, dcv_image *to)
{
    const int64_t w = canvas_scaled(s->w, s->scale);
    canvas_text(to, y, *x, w, 1, text);
    canvas_picture(to, y + LINE, *x, px, c, s->own_h, s->own_w, s->w, s->scale);
    *x += w + GAP;
}

/* Windows of this item: those before the first without a class. */
static void find_own(sheet_in *s, int64_t i)
{
    int32_t extent[2] = {0, 0};
    s->own_h = s->h;
    s->own_w = s->w;
    if (dcv_h5_has(s->in->h5, "/inputs/extent") &&
        dcv_h5_read(s->in->h5, "/inputs/extent", DCV_I32, i, 1, extent) == DCV_OK && extent[0] > 0 &&
        extent[0] <= s->h && extent[1] > 0 && extent[1] <= s->w) {
        s->own_h = extent[0];
        s->own_w = extent[1];
    }
    for (s->own_nx = 0; s->own_nx < s->nx && s->top[s->own_nx] >= 0; s->own_nx++)
        ;
    for (s->own_ny = 0; s->own_ny < s->ny && s->top[s->own_ny * s->nx] >= 0; s->own_ny++)
        ;
}

static dcv_status name_target(const sheet_in *s, int64_t t, char text[TEXT])
{
    snprintf(text, TEXT, "no such target");
    return s->target[t] < 0 ? DCV_OK : dcv_report_class(s->in, s->target[t], text, TEXT);
}

/* The classes that win, and below them which colour is which. */
static dcv_status draw_classes(const sheet_in *s, int64_t y, int64_t *x, dcv_image *to)
{
    winner best[NAMED] = {{-1, 0}};
    const int n = winners(s, best);
    const int64_t left = *x, h = canvas_scaled(s->h, s->scale), w = canvas_scaled(s->w, s->scale);
    paint_classes(s, best[0].class_);
    lay(s, y, x, s->px, 3, "class that wins", to);
    for (int k = 0; k < n; k++) {
        char text[TEXT], name[TEXT - 64];
        const int64_t at = y + LINE + h + 3 + k * LINE;
        DCV_TRY(dcv_report_class(s->in, best[k].class_, name, sizeof name));
        snprintf(text, sizeof text, "%s: %.0f %%", name,
                 100.0 * (double)best[k].windows / (double)(s->own_ny * s->own_nx));
        canvas_fill(to, at, left, CANVAS_TEXT_H, 12, class_colour(best[k].class_, best[0].class_));
        canvas_text(to, at, left + 16, w - 16, 1, text);
    }
    return DCV_OK;
}

static dcv_status draw_layer(const sheet_in *s, int64_t i, int k, int64_t y, int64_t *x, dcv_image *to)
{
    char *path = dcv_format("/occlusion/activity/%s", s->layer[k]), text[TEXT];
    float least, most;
    const dcv_status st = path ? dcv_h5_read(s->in->h5, path, DCV_F32, i, 1, s->activity) : DCV_ENOMEM;
    dcv_free(path);
    DCV_TRY(st);
    paint_activity(s, &least, &most);
    snprintf(text, sizeof text, "%.200s: %.3g to %.3g", s->layer[k], (double)least, (double)most);
    lay(s, y, x, s->px, 3, text, to);
    return DCV_OK;
}

static dcv_status draw_item(sheet_in *s, int64_t i, int64_t y, dcv_image *to)
{
    dcv_h5 *f = s->in->h5;
    char text[TEXT] = {0};
    int64_t x = GAP;
    DCV_TRY(dcv_h5_read_text(f, "/inputs/name", i, 1, text, TEXT - 1));
    DCV_TRY(dcv_h5_read(f, "/occlusion/target", DCV_I32, i, 1, s->target));
    DCV_TRY(dcv_h5_read(f, "/occlusion/sensitivity", DCV_F32, i, 1, s->map));
    DCV_TRY(dcv_h5_read(f, "/occlusion/top_class", DCV_I32, i, 1, s->top));
    if (s->heat)
        DCV_TRY(dcv_h5_read(f, "/occlusion/heatmap", DCV_F32, i, 1, s->heat));
    if (s->picture)
        DCV_TRY(dcv_h5_read(f, "/report/picture", DCV_U8, i, 1, s->picture));
    find_own(s, i);
    if (!s->own_nx || !s->own_ny) {
        canvas_text(to, y, x, to->w - GAP, 1, text);
        return DCV_OK;
    }
    if (s->picture)
        lay(s, y, &x, s->picture, s->c, text, to);
    for (int64_t t = 0; t < s->targets && t < MOST_TARGETS; t++) {
        DCV_TRY(name_target(s, t, text));
        paint_target(s, t);
        lay(s, y, &x, s->px, 3, text, to);
    }
    DCV_TRY(draw_classes(s, y, &x, to));
    for (int k = 0; k < s->n_layers; k++)
        DCV_TRY(draw_layer(s, i, k, y, &x, to));
    return DCV_OK;
}

static dcv_status draw_sheet(sheet_in *s, dcv_image *to)
{
    const int64_t columns =
        (s->picture ? 1 : 0) + (s->targets < MOST_TARGETS ? s->targets : MOST_TARGETS) + 1 + s->n_layers;
    const int64_t row = canvas_scaled(s->h, s->scale) + GAP + (1 + NAMED) * LINE,
                  w = GAP + columns * (canvas_scaled(s->w, s->scale) + GAP);
    DCV_TRY(canvas_new(GAP + LINE + GAP + s->items * row, w, to));
    canvas_text(to, GAP, GAP, w - 2 * GAP, 1, "red: covering it lowers the score, blue: raises it");
    for (int64_t i = 0; i < s->items; i++)
        DCV_TRY(draw_item(s, i, GAP + LINE + GAP + i * row, to));
    return DCV_OK;
}

/* --- What there is ---------------------------------------------------------------------- */

static dcv_status wrong(const sheet_in *s, const char *what)
{
    return dcv_fail(DCV_EDATA, "%s: /occlusion/%s does not fit the rest", s->in->file, what);
}

static dcv_status add_layer(void *ctx, const char *path, const dcv_h5_info *info)
{
    static const char under[] = "/occlusion/activity/";
    sheet_in *s = ctx;
    if (strncmp(path, under, sizeof under - 1) || s->n_layers == MOST_LAYERS)
        return DCV_OK;
    if (info->dims.n != 3 || info->dims.d[0] < s->items || info->dims.d[1] != s->ny || info->dims.d[2] != s->nx)
        return wrong(s, path + sizeof "/occlusion");
    s->layer[s->n_layers] = dcv_strdup(path + sizeof under - 1);
    return s->layer[s->n_layers++] ? DCV_OK : DCV_ENOMEM;
}

static dcv_status find_extents(sheet_in *s, bool *heat, bool *picture)
{
    dcv_dims d;
    *heat = dcv_h5_has(s->in->h5, "/occlusion/heatmap");
    *picture = dcv_h5_has(s->in->h5, "/report/picture");
    if (*picture) {
        DCV_TRY(dcv_report_shape(s->in, "/report/picture", 4, &d));
        if (d.d[3] != 1 && d.d[3] != 3)
            return dcv_fail(DCV_EDATA, "%s: /report/picture has %lld channels; expected 1 or 3", s->in->file,
                            (long long)d.d[3]);
        s->c = (int)d.d[3];
        s->items = d.d[0] < s->items ? d.d[0] : s->items;
        s->h = d.d[1];
        s->w = d.d[2];
    }
    if (*heat) {
        DCV_TRY(dcv_report_shape(s->in, "/occlusion/heatmap", 4, &d));
        if (d.d[0] < s->items || d.d[1] != s->targets || (*picture && (d.d[2] != s->h || d.d[3] != s->w)))
            return wrong(s, "heatmap");
        s->h = d.d[2];
        s->w = d.d[3];
    }
    if (!s->h) { /* windows alone */
        s->h = s->ny;
        s->w = s->nx;
    }
    return DCV_OK;
}

static dcv_status prepare(sheet_in *s)
{
    dcv_dims d, top;
    bool heat, picture;
    DCV_TRY(dcv_report_shape(s->in, "/occlusion/sensitivity", 4, &d));
    DCV_TRY(dcv_report_shape(s->in, "/occlusion/top_class", 3, &top));
    s->items = d.d[0] < MOST_ITEMS ? d.d[0] : MOST_ITEMS;
    s->targets = d.d[1];
    s->ny = d.d[2];
    s->nx = d.d[3];
    if (top.d[0] < s->items || top.d[1] != s->ny || top.d[2] != s->nx)
        return wrong(s, "top_class");
    DCV_TRY(dcv_report_shape(s->in, "/occlusion/target", 2, &d));
    if (d.d[0] < s->items || d.d[1] != s->targets)
        return wrong(s, "target");
    DCV_TRY(find_extents(s, &heat, &picture));
    DCV_TRY(dcv_h5_visit(s->in->h5, add_layer, s));
    const double px = (double)s->h * (double)s->w, cells = (double)s->ny * (double)s->nx;
    if (s->targets < 1 || px < 1 || cells < 1 || px * (double)s->targets > (double)most_floats ||
        cells * (double)s->targets > (double)most_floats)
        return dcv_fail(DCV_EDATA, "%s: /occlusion: maps that cannot be drawn", s->in->file);
    const size_t pixels = (size_t)(s->h * s->w), windows = (size_t)(s->ny * s->nx), t = (size_t)s->targets;
    s->map = dcv_alloc(windows * t, sizeof *s->map);
    s->activity = dcv_alloc(windows, sizeof *s->activity);
    s->top = dcv_alloc(windows, sizeof *s->top);
    s->sorted = dcv_alloc(windows, sizeof *s->sorted);
    s->target = dcv_alloc(t, sizeof *s->target);
    s->px = dcv_alloc(pixels * 3, 1);
    s->heat = heat ? dcv_alloc(pixels * t, sizeof *s->heat) : NULL;
    s->picture = picture ? dcv_alloc(pixels * (size_t)s->c, 1) : NULL;
    const int64_t side = s->h > s->w ? s->h : s->w;
    s->scale = side > SIDE ? (canvas_scale){1, (side + SIDE - 1) / SIDE} : (canvas_scale){SIDE / side, 1};
    const bool ok = s->map && s->activity && s->top && s->sorted && s->target && s->px && (!heat || s->heat) &&
                    (!picture || s->picture);
    return ok ? DCV_OK : DCV_ENOMEM;
}

static dcv_status run(const dcv_report_in *in)
{
    sheet_in s = {.in = in};
    dcv_image sheet = {.px = NULL};
    char *file = dcv_report_path(in, "occlusion", ".png");
    dcv_status st = file ? prepare(&s) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = draw_sheet(&s, &sheet);
    if (st == DCV_OK)
        st = dcv_png_write(file, &sheet);
    if (st == DCV_OK)
        st = dcv_report_wrote(in, file);
    dcv_image_clear(&sheet);
    void *const all[] = {file, s.map, s.heat, s.activity, s.target, s.top, s.sorted, s.picture, s.px};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        dcv_free(all[i]);
    for (int k = 0; k < s.n_layers; k++)
        dcv_free(s.layer[k]);
    return st;
}

const dcv_reporter dcv_reporter_occlusion = {"occlusion", run};
