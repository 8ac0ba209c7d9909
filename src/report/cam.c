/* cam.c -- heat maps over pictures, with boxes: a sheet for each method, items below each other; the picture first,
 * then its targets.
 *
 * A picture is grey, heat red to yellow; found boxes are blue, true ones green.  guided_grad_cam shows its map instead:
 * zero is mid-grey, its largest absolute value black or white.
 */
#include <math.h>
#include <string.h>
#include "deconvoy/memory.h"
#include "report/canvas.h"
#include "report/reporter.h"

enum { MOST_ITEMS = 32, MOST_TARGETS = 5, GAP = 6, SIDE = 224, LINE = CANVAS_TEXT_H + 3, TEXT = 256 };
static const int64_t most_floats = INT64_C(1) << 28; /* of one item's maps */
static const canvas_colour truth_colour = {0, 200, 0};

typedef struct sheet_in {
    const dcv_report_in *in;
    const char *method;
    char *heat_path, *box_path, *map_path; /* NULL: not there */
    int64_t items, targets, h, w;          /* shown, all, of the input */
    int c;                                 /* channels of pictures, 0: none */
    int64_t map_c;                         /* channels of maps that are shown, 0: heat maps are */
    int64_t thresholds, boxes;             /* boxes: true ones of an item */
    float *heat, *map, *truth;
    int32_t *box, *target, *extent;
    uint8_t *picture, *px;
    char *name;
    canvas_scale scale;
} sheet_in;

/* --- One picture ---------------------------------------------------------------------- */

static int grey_at(const sheet_in *s, int64_t i)
{
    const uint8_t *p = s->picture + i * s->c;
    if (s->c == 3)
        return (19595 * p[0] + 38470 * p[1] + 7471 * p[2] + 32768) >> 16;
    return s->c == 1 ? p[0] : 0;
}

/* Red where a little is, yellow where most is, over grey. */
static void to_heat(const sheet_in *s, const float *heat)
{
    for (int64_t i = 0; i < s->h * s->w; i++) {
        const float v = isfinite(heat[i]) ? fminf(fmaxf(heat[i], 0), 1) : 0, part = 0.75F * v;
        const float below = (1 - part) * (float)grey_at(s, i);
        s->px[3 * i] = (uint8_t)lrintf(below + part * 255);
        s->px[3 * i + 1] = (uint8_t)lrintf(below + part * 255 * v);
        s->px[3 * i + 2] = (uint8_t)lrintf(below);
    }
}

static void to_grey(const sheet_in *s)
{
    for (int64_t i = 0; i < s->h * s->w; i++)
        memset(s->px + 3 * i, s->c ? grey_at(s, i) : 128, 3);
}

/* Which part of the largest extent an item has. */
static void extent_of(const sheet_in *s, int64_t *h, int64_t *w)
{
    const bool own = s->extent && s->extent[0] > 0 && s->extent[0] <= s->h && s->extent[1] > 0 && s->extent[1] <= s->w;
    *h = own ? s->extent[0] : s->h;
    *w = own ? s->extent[1] : s->w;
}

static void lay(const sheet_in *s, int64_t y, int64_t x, const uint8_t *px, int c, dcv_image *to)
{
    int64_t h, w;
    extent_of(s, &h, &w);
    canvas_picture(to, y, x, px, c, h, w, s->w, s->scale);
}

/* A frame of two pixels inside y0, x0, y1, x1 of a picture that lies at y, x. */
static void frame(const sheet_in *s, int64_t y, int64_t x, const double box[4], canvas_colour colour, dcv_image *to)
{
    const double by = (double)s->scale.up / (double)s->scale.down;
    int64_t at[4];
    for (int i = 0; i < 4; i++) {
        const double most = i % 2 ? (double)s->w : (double)s->h;
        if (!(box[i] >= 0 && box[i] <= most))
            return;
        at[i] = (i % 2 ? x : y) + (int64_t)lrint(box[i] * by);
    }
    const int64_t h = at[2] - at[0], w = at[3] - at[1];
    if (h < 1 || w < 1)
        return;
    canvas_fill(to, at[0], at[1], h < 2 ? h : 2, w, colour);
    canvas_fill(to, h < 2 ? at[0] : at[2] - 2, at[1], h < 2 ? h : 2, w, colour);
    canvas_fill(to, at[0], at[1], h, w < 2 ? w : 2, colour);
    canvas_fill(to, at[0], w < 2 ? at[1] : at[3] - 2, h, w < 2 ? w : 2, colour);
}

static void frame_truth(const sheet_in *s, int64_t y, int64_t x, dcv_image *to)
{
    for (int64_t b = 0; b < s->boxes; b++) {
        const float *t = s->truth + 4 * b;
        frame(s, y, x, (const double[4]){t[0], t[1], t[2], t[3]}, truth_colour, to);
    }
}

static void frame_boxes(const sheet_in *s, int64_t t, int64_t y, int64_t x, dcv_image *to)
{
    for (int64_t k = 0; k < s->thresholds; k++) {
        const int32_t *b = s->box + 4 * (t * s->thresholds + k);
        const canvas_colour colour = {40, (uint8_t)(k < 4 ? 200 - 50 * k : 0), 255};
        frame(s, y, x, (const double[4]){b[0], b[1], b[2], b[3]}, colour, to);
    }
}

static dcv_status name_target(const sheet_in *s, int64_t t, char text[TEXT])
{
    snprintf(text, TEXT, "no such target");
    return s->target[t] < 0 ? DCV_OK : dcv_report_class(s->in, s->target[t], text, TEXT);
}

static dcv_status draw_target(const sheet_in *s, int64_t t, int64_t y, int64_t x, dcv_image *to)
{
    const int64_t cells = s->h * s->w;
    char text[TEXT];
    DCV_TRY(name_target(s, t, text));
    canvas_text(to, y, x, canvas_scaled(s->w, s->scale), 1, text);
    if (s->target[t] < 0)
        return DCV_OK;
    if (s->map_c) {
        canvas_signed(s->map + t * s->map_c * cells, s->map_c, cells, s->px);
        lay(s, y + LINE, x, s->px, s->map_c == 3 ? 3 : 1, to);
    } else {
        if (s->heat)
            to_heat(s, s->heat + t * cells);
        else
            to_grey(s);
        lay(s, y + LINE, x, s->px, 3, to);
    }
    frame_boxes(s, t, y + LINE, x, to);
    frame_truth(s, y + LINE, x, to);
    return DCV_OK;
}

/* --- One item ------------------------------------------------------------------------- */

static dcv_status read_item(const sheet_in *s, int64_t i)
{
    dcv_h5 *f = s->in->h5;
    memset(s->name, 0, TEXT);
    DCV_TRY(dcv_h5_read_text(f, "/inputs/name", i, 1, s->name, TEXT - 1));
    DCV_TRY(dcv_h5_read(f, "/cam/target", DCV_I32, i, 1, s->target));
    if (s->heat)
        DCV_TRY(dcv_h5_read(f, s->heat_path, DCV_F32, i, 1, s->heat));
    if (s->map)
        DCV_TRY(dcv_h5_read(f, s->map_path, DCV_F32, i, 1, s->map));
    if (s->box)
        DCV_TRY(dcv_h5_read(f, s->box_path, DCV_I32, i, 1, s->box));
    if (s->truth)
        DCV_TRY(dcv_h5_read(f, "/report/true_box", DCV_F32, i, 1, s->truth));
    if (s->extent)
        DCV_TRY(dcv_h5_read(f, "/inputs/extent", DCV_I32, i, 1, s->extent));
    return s->picture ? dcv_h5_read(f, "/report/picture", DCV_U8, i, 1, s->picture) : DCV_OK;
}

static dcv_status draw_item(const sheet_in *s, int64_t i, int64_t y, dcv_image *to)
{
    const int64_t column = canvas_scaled(s->w, s->scale) + GAP;
    const int64_t shown = s->targets < MOST_TARGETS ? s->targets : MOST_TARGETS;
    DCV_TRY(read_item(s, i));
    canvas_text(to, y, GAP, column - GAP, 1, s->name);
    if (s->picture) {
        lay(s, y + LINE, GAP, s->picture, s->c, to);
        frame_truth(s, y + LINE, GAP, to);
    }
    for (int64_t t = 0; t < shown; t++)
        DCV_TRY(draw_target(s, t, y, GAP + (t + 1) * column, to));
    return DCV_OK;
}

static dcv_status draw_sheet(const sheet_in *s, dcv_image *to)
{
    const int64_t shown = s->targets < MOST_TARGETS ? s->targets : MOST_TARGETS;
    const int64_t column = canvas_scaled(s->w, s->scale) + GAP, row = canvas_scaled(s->h, s->scale) + GAP + LINE;
    const int64_t w = GAP + (shown + 1) * column, head = GAP + LINE + GAP;
    char text[TEXT];
    snprintf(text, sizeof text, "%s%s%s", s->method, s->thresholds ? ", blue: boxes" : "",
             s->boxes ? ", green: truth" : "");
    DCV_TRY(canvas_new(head + s->items * row, w, to));
    canvas_text(to, GAP, GAP, w - 2 * GAP, 1, text);
    for (int64_t i = 0; i < s->items; i++)
        DCV_TRY(draw_item(s, i, head + i * row, to));
    return DCV_OK;
}

/* --- What there is -------------------------------------------------------------------- */

static char *path_of(const dcv_report_in *in, const char *method, const char *name)
{
    char *path = dcv_format("/cam/%s/%s", method, name);
    if (!path || dcv_h5_has(in->h5, path))
        return path;
    dcv_free(path);
    return NULL;
}

static bool fits(const sheet_in *s, const dcv_dims *d)
{
    return d->d[0] >= s->items && d->d[1] == s->targets;
}

static dcv_status wrong(const sheet_in *s, const char *what)
{
    return dcv_fail(DCV_EDATA, "%s: /cam/%s: %s does not fit the rest", s->in->file, s->method, what);
}

/* Extents of the input from what is there: pictures, heat maps or guided maps. */
static dcv_status find_extents(sheet_in *s)
{
    dcv_dims d = {0};
    if (dcv_h5_has(s->in->h5, "/report/picture")) {
        DCV_TRY(dcv_report_shape(s->in, "/report/picture", 4, &d));
        s->items = d.d[0] < s->items ? d.d[0] : s->items;
        s->h = d.d[1];
        s->w = d.d[2];
        s->c = d.d[3] == 1 || d.d[3] == 3 ? (int)d.d[3] : 0;
    }
    if (s->heat_path) {
        DCV_TRY(dcv_report_shape(s->in, s->heat_path, 4, &d));
        if (!fits(s, &d) || (s->c && (d.d[2] != s->h || d.d[3] != s->w)))
            return wrong(s, "heatmap");
        s->h = d.d[2];
        s->w = d.d[3];
    }
    return DCV_OK;
}

/* Maps of the input's size (guided_grad_cam) are shown in place of heat maps. */
static dcv_status find_maps(sheet_in *s)
{
    dcv_h5_info info;
    DCV_TRY(dcv_h5_info_of(s->in->h5, s->map_path, &info));
    const dcv_dims *d = &info.dims;
    if (d->n != 5)
        return DCV_OK;
    if (!fits(s, d) || (s->h && (d->d[3] != s->h || d->d[4] != s->w)) || d->d[2] < 1)
        return wrong(s, "map");
    s->map_c = d->d[2];
    s->h = d->d[3];
    s->w = d->d[4];
    return DCV_OK;
}

static dcv_status find_boxes(sheet_in *s)
{
    dcv_dims d;
    if (s->box_path) {
        DCV_TRY(dcv_report_shape(s->in, s->box_path, 4, &d));
        if (!fits(s, &d) || d.d[3] != 4)
            return wrong(s, "box");
        s->thresholds = d.d[2];
    }
    if (dcv_h5_has(s->in->h5, "/report/true_box")) {
        DCV_TRY(dcv_report_shape(s->in, "/report/true_box", 3, &d));
        if (d.d[0] < s->items || d.d[2] != 4)
            return wrong(s, "true_box");
        s->boxes = d.d[1];
    }
    return DCV_OK;
}

static dcv_status take_memory(sheet_in *s)
{
    const double cells = (double)s->h * (double)s->w;
    const double all = cells * (double)s->targets * (double)(s->map_c ? s->map_c : 1);
    if (s->h < 1 || s->w < 1 || all > (double)most_floats || (double)(s->thresholds + 1) * (double)s->targets > 1e8 ||
        s->boxes > 1000000)
        return dcv_fail(DCV_EDATA, "%s: /cam/%s: maps that cannot be drawn", s->in->file, s->method);
    const size_t px = (size_t)(s->h * s->w), maps = px * (size_t)s->targets;
    bool ok = true;
#define TAKE(pointer, when, n)                                                                                         \
    if (when) {                                                                                                        \
        (pointer) = dcv_alloc(n, sizeof *(pointer));                                                                   \
        ok = ok && (pointer);                                                                                          \
    }
    TAKE(s->heat, s->heat_path && !s->map_c, maps)
    TAKE(s->map, s->map_c, maps * (size_t)s->map_c)
    TAKE(s->box, s->thresholds, (size_t)(s->targets * s->thresholds * 4))
    TAKE(s->truth, s->boxes, (size_t)s->boxes * 4)
    TAKE(s->extent, dcv_h5_has(s->in->h5, "/inputs/extent"), 2)
    TAKE(s->picture, s->c, px * (size_t)s->c)
    TAKE(s->target, true, (size_t)s->targets)
    TAKE(s->px, true, px * 3)
    TAKE(s->name, true, TEXT)
#undef TAKE
    const int64_t side = s->h > s->w ? s->h : s->w;
    s->scale = side > SIDE ? (canvas_scale){1, (side + SIDE - 1) / SIDE} : (canvas_scale){SIDE / side, 1};
    return ok ? DCV_OK : DCV_ENOMEM;
}

/* What is read into memory of a fixed size. */
static dcv_status check_inputs(const sheet_in *s)
{
    dcv_dims d;
    DCV_TRY(dcv_report_shape(s->in, "/inputs/name", 1, &d));
    if (!dcv_h5_has(s->in->h5, "/inputs/extent"))
        return DCV_OK;
    DCV_TRY(dcv_report_shape(s->in, "/inputs/extent", 2, &d));
    return d.d[1] == 2 ? DCV_OK : wrong(s, "extent");
}

static dcv_status prepare(sheet_in *s)
{
    dcv_dims d;
    DCV_TRY(check_inputs(s));
    DCV_TRY(dcv_report_shape(s->in, "/cam/target", 2, &d));
    s->items = d.d[0] < MOST_ITEMS ? d.d[0] : MOST_ITEMS;
    s->targets = d.d[1];
    if (s->targets < 1)
        return wrong(s, "target");
    DCV_TRY(find_extents(s));
    DCV_TRY(find_maps(s));
    DCV_TRY(find_boxes(s));
    return s->h ? take_memory(s) : DCV_OK; /* else neither pictures nor maps that could be shown */
}

static dcv_status draw(sheet_in *s)
{
    DCV_TRY(prepare(s));
    if (!s->px)
        return DCV_OK;
    dcv_image sheet = {.px = NULL};
    char *file = dcv_report_path(s->in, s->method, ".png");
    dcv_status st = file ? draw_sheet(s, &sheet) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_png_write(file, &sheet);
    if (st == DCV_OK)
        st = dcv_report_wrote(s->in, file);
    dcv_image_clear(&sheet);
    dcv_free(file);
    return st;
}

static void clear(sheet_in *s)
{
    void *const all[] = {s->heat_path, s->box_path, s->map_path, s->heat,    s->map, s->truth,
                         s->box,       s->target,   s->extent,   s->picture, s->px,  s->name};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        dcv_free(all[i]);
}

static dcv_status run(const dcv_report_in *in)
{
    static const char *const methods[] = {"cam", "grad_cam", "grad_cam_pp", "layer_cam", "guided_grad_cam"};
    dcv_status st = DCV_OK;
    for (size_t i = 0; st == DCV_OK && i < sizeof methods / sizeof *methods; i++) {
        sheet_in s = {.in = in, .method = methods[i], .map_path = path_of(in, methods[i], "map")};
        if (!s.map_path)
            continue;
        s.heat_path = path_of(in, methods[i], "heatmap");
        s.box_path = path_of(in, methods[i], "box");
        st = draw(&s);
        clear(&s);
    }
    return st;
}

const dcv_reporter dcv_reporter_cam = {"cam", run};
