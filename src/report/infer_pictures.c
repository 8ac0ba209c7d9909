/* infer_pictures.c -- outputs of networks that are pictures, and class maps: a sheet each, eight items in a row.
 *
 * What an output's numbers mean is not said in a network: those of all items shown that fill half of 0..1, -1..1 or
 * 0..255 at least, with a quarter to spare, are taken so, others are stretched from the least to the largest.  A class
 * map has the colours of the PASCAL VOC data set (class 0 is black), with those that occur listed below.  Pictures that
 * the sheet shrinks are written in full as well.
 */
#include "report/infer_pictures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "report/canvas.h"

enum {
    MOST_ITEMS = 64,
    MOST_FULL = 16,
    A_ROW = 8,
    GAP = 6,
    SIDE = 224,
    LEAST = 84,
    MOST_OUTPUTS = 64,
    CLASSES = 32768,
    FAILED = 2 /* in /inputs/status */
};
static const int64_t most_numbers = INT64_C(1) << 28; /* of one item */

typedef struct sheet {
    const dcv_report_in *in;
    const char *path; /* of the data set */
    char *extent_path, *title;
    bool classes, named, status, full;
    int64_t n, c, h, w; /* items drawn; channels, the largest extents */
    float *value;
    int16_t *class_;
    uint8_t *px;
    bool *occurs; /* [CLASSES] */
    double lo, hi;
    canvas_scale scale;
} sheet;

static canvas_colour class_colour(int k)
{
    canvas_colour colour = {0, 0, 0};
    for (int bit = 7; bit >= 0 && k; bit--, k >>= 3) {
        colour.r |= (uint8_t)((k & 1) << bit);
        colour.g |= (uint8_t)((k >> 1 & 1) << bit);
        colour.b |= (uint8_t)((k >> 2 & 1) << bit);
    }
    return colour;
}

/* Rows and columns of an item; 0: it failed, or its size is out of range. */
static dcv_status extent_of(const sheet *s, int64_t i, int64_t *h, int64_t *w)
{
    int32_t e[DCV_MAX_RANK] = {0};
    *h = s->h;
    *w = s->w;
    if (!s->extent_path)
        return DCV_OK;
    DCV_TRY(dcv_h5_read(s->in->h5, s->extent_path, DCV_I32, i, 1, e));
    const bool good = e[1] > 0 && e[1] <= s->h && e[2] > 0 && e[2] <= s->w;
    *h = good ? e[1] : 0;
    *w = good ? e[2] : 0;
    return DCV_OK;
}

static dcv_status read_item(const sheet *s, int64_t i)
{
    return dcv_h5_read(s->in->h5, s->path, s->classes ? DCV_I16 : DCV_F32, i, 1,
                       s->classes ? (void *)s->class_ : (void *)s->value);
}

/* The range that what is shown lies in. */
static dcv_status find_range(sheet *s)
{
    static const struct {
        double lo, hi;
    } known[] = {{0, 1}, {-1, 1}, {0, 255}};
    double lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < s->n; i++) {
        DCV_TRY(read_item(s, i));
        for (int64_t k = 0; k < s->c * s->h * s->w; k++)
            if (isfinite(s->value[k])) {
                lo = s->value[k] < lo ? s->value[k] : lo;
                hi = s->value[k] > hi ? s->value[k] : hi;
            }
    }
    s->lo = lo <= hi ? lo : 0;
    s->hi = lo <= hi ? hi : 1;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        const double width = known[k].hi - known[k].lo, spare = width / 4;
        if (lo >= known[k].lo - spare && hi <= known[k].hi + spare && hi - lo >= width / 2) {
            s->lo = known[k].lo;
            s->hi = known[k].hi;
            break;
        }
    }
    return DCV_OK;
}

static void paint_values(const sheet *s)
{
    const int64_t cells = s->h * s->w;
    const double by = s->hi > s->lo ? 255 / (s->hi - s->lo) : 0;
    for (int64_t k = 0; k < s->c; k++)
        for (int64_t i = 0; i < cells; i++) {
            const double v = (s->value[k * cells + i] - s->lo) * by;
            s->px[i * s->c + k] = v > 0 ? (uint8_t)(v < 255 ? lrint(v) : 255) : 0; /* NaN: 0 */
        }
}

static void paint_classes(const sheet *s)
{
    for (int64_t i = 0; i < s->h * s->w; i++) {
        const int k = s->class_[i];
        const canvas_colour colour = k < 0 ? canvas_paper : class_colour(k);
        if (k >= 0)
            s->occurs[k] = true;
        memcpy(s->px + 3 * i, (uint8_t[]){colour.r, colour.g, colour.b}, 3);
    }
}

static dcv_status write_full(const sheet *s, int64_t i, int64_t h, int64_t w)
{
    const int64_t c = s->c;
    dcv_image im = {.h = h, .w = w, .c = (int)c, .px = dcv_alloc((size_t)(h * w), (size_t)c)};
    char name[300];
    snprintf(name, sizeof name, "%.200s_%06lld", s->title, (long long)i);
    char *file = dcv_report_path(s->in, name, ".png");
    dcv_status st = im.px && file ? DCV_OK : DCV_ENOMEM;
    for (int64_t y = 0; st == DCV_OK && y < h; y++)
        memcpy(im.px + y * w * c, s->px + y * s->w * c, (size_t)(w * c));
    if (st == DCV_OK)
        st = dcv_png_write(file, &im);
    if (st == DCV_OK)
        st = dcv_report_wrote(s->in, file);
    dcv_free(file);
    dcv_image_clear(&im);
    return st;
}

static dcv_status draw_item(const sheet *s, int64_t i, int64_t y, int64_t x, dcv_image *to)
{
    char name[256] = {0};
    uint8_t status = 0;
    int64_t h, w;
    DCV_TRY(extent_of(s, i, &h, &w));
    DCV_TRY(read_item(s, i));
    snprintf(name, sizeof name, "%lld", (long long)i);
    if (s->named)
        DCV_TRY(dcv_h5_read_text(s->in->h5, "/inputs/name", i, 1, name, sizeof name - 1));
    if (s->status)
        DCV_TRY(dcv_h5_read(s->in->h5, "/inputs/status", DCV_U8, i, 1, &status));
    if (status == FAILED) {
        char failed[sizeof name + 16];
        snprintf(failed, sizeof failed, "failed: %s", name);
        canvas_text(to, y, x, canvas_scaled(s->w, s->scale), 1, failed);
        return DCV_OK;
    }
    canvas_text(to, y, x, canvas_scaled(s->w, s->scale), 1, name);
    if (s->classes)
        paint_classes(s);
    else
        paint_values(s);
    canvas_picture(to, y + CANVAS_TEXT_H + 2, x, s->px, (int)s->c, h, w, s->w, s->scale);
    return s->full && i < MOST_FULL && h > 0 ? write_full(s, i, h, w) : DCV_OK;
}

/* Colours of the classes that occur, in a row as far as they fit. */
static void draw_legend(const sheet *s, int64_t y, dcv_image *to)
{
    int64_t x = GAP;
    for (int k = 0; s->classes && k < CLASSES && x + 40 <= to->w; k++) {
        char text[16];
        if (!s->occurs[k])
            continue;
        snprintf(text, sizeof text, "%d", k);
        canvas_fill(to, y, x, CANVAS_TEXT_H + 2, 12, class_colour(k));
        canvas_text(to, y + 1, x + 15, 5 * CANVAS_TEXT_W, 1, text);
        x += 20 + CANVAS_TEXT_W * (int64_t)strlen(text);
    }
}

static dcv_status draw_sheet(sheet *s, dcv_image *to)
{
    const int64_t step_y = canvas_scaled(s->h, s->scale) + CANVAS_TEXT_H + 2 + GAP,
                  step_x = canvas_scaled(s->w, s->scale) + GAP, columns = s->n < A_ROW ? s->n : A_ROW,
                  rows = (s->n + A_ROW - 1) / A_ROW, head = CANVAS_TEXT_H + 2 * GAP;
    char text[300];
    DCV_TRY(canvas_new(head + rows * step_y + (s->classes ? head : 0), GAP + columns * step_x, to));
    if (s->classes)
        snprintf(text, sizeof text, "%.200s", s->title);
    else
        snprintf(text, sizeof text, "%.200s: %.4g to %.4g", s->title, s->lo, s->hi);
    canvas_text(to, GAP, GAP, to->w - 2 * GAP, 1, text);
    for (int64_t i = 0; i < s->n; i++)
        DCV_TRY(draw_item(s, i, head + i / A_ROW * step_y, GAP + i % A_ROW * step_x, to));
    draw_legend(s, head + rows * step_y, to);
    return DCV_OK;
}

static dcv_status draw(sheet *s)
{
    dcv_image to = {.px = NULL};
    const int64_t side = s->h > s->w ? s->h : s->w, cells = s->h * s->w;
    s->scale =
        side > SIDE ? (canvas_scale){1, (side + SIDE - 1) / SIDE} : (canvas_scale){side < LEAST ? LEAST / side : 1, 1};
    s->full = side > SIDE;
    s->value = dcv_alloc((size_t)(s->classes ? 1 : s->c * cells), sizeof *s->value);
    s->class_ = dcv_alloc((size_t)(s->classes ? cells : 1), sizeof *s->class_);
    s->px = dcv_alloc((size_t)cells, (size_t)s->c);
    s->occurs = dcv_alloc(CLASSES, sizeof *s->occurs);
    char *file = dcv_report_path(s->in, s->title, ".png");
    dcv_status st = s->value && s->class_ && s->px && s->occurs && file ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK && !s->classes)
        st = find_range(s);
    if (st == DCV_OK)
        st = draw_sheet(s, &to);
    if (st == DCV_OK)
        st = dcv_png_write(file, &to);
    if (st == DCV_OK)
        st = dcv_report_wrote(s->in, file);
    dcv_free(file);
    dcv_free(s->value);
    dcv_free(s->class_);
    dcv_free(s->px);
    dcv_free(s->occurs);
    dcv_image_clear(&to);
    return st;
}

typedef struct found {
    const dcv_report_in *in;
    char *path[MOST_OUTPUTS];
    int n;
} found;

/* Attributes are asked for later: the file is being walked. */
static dcv_status note(void *ctx, const char *path, const dcv_h5_info *info)
{
    found *f = ctx;
    const bool map = !strcmp(path, "/infer/class_map") && info->dims.n == 3 && info->type != DCV_F32,
               picture = !strncmp(path, "/infer/", 7) && info->type == DCV_F32 && info->dims.n == 4;
    if ((!map && !picture) || f->n == MOST_OUTPUTS)
        return DCV_OK;
    f->path[f->n] = dcv_strdup(path);
    return f->path[f->n++] ? DCV_OK : DCV_ENOMEM;
}

static dcv_status draw_path(const dcv_report_in *in, const char *path, int *drawn)
{
    dcv_h5_info info;
    sheet s = {.in = in, .path = path, .classes = !strcmp(path, "/infer/class_map")};
    char *mark = s.classes ? NULL : dcv_h5_attribute(in->h5, path, "picture");
    const bool wanted = s.classes || mark;
    dcv_free(mark);
    if (!wanted)
        return DCV_OK;
    DCV_TRY(dcv_h5_info_of(in->h5, path, &info));
    const int64_t *d = info.dims.d, items = d[0];
    s.n = items < MOST_ITEMS ? items : MOST_ITEMS;
    s.c = s.classes ? 3 : d[1];
    s.h = d[info.dims.n - 2];
    s.w = d[info.dims.n - 1];
    if (s.n < 1 || s.h < 1 || s.w < 1 || (s.c != 1 && s.c != 3))
        return dcv_fail(DCV_EDATA, "%s: %s: no pictures of 1 or 3 channels", in->file, path);
    if ((double)s.c * (double)s.h * (double)s.w > (double)most_numbers) {
        dcv_log_warning("%s: pictures of %s are too large to be drawn", in->file, path);
        return DCV_OK;
    }
    char *extent = s.classes ? NULL : dcv_format("%s_extent", path);
    s.named = dcv_h5_has(in->h5, "/inputs/name");
    s.status = dcv_h5_has(in->h5, "/inputs/status");
    s.title = dcv_strdup(path + strlen("/infer/"));
    dcv_status st = s.title && (s.classes || extent) ? DCV_OK : DCV_ENOMEM;
    if (extent && dcv_h5_has(in->h5, extent)) {
        dcv_dims e;
        s.extent_path = extent;
        if (st == DCV_OK)
            st = dcv_report_shape(in, extent, 2, &e);
        if (st == DCV_OK && (e.d[0] != items || e.d[1] != 3))
            st = dcv_fail(DCV_EDATA, "%s: %s does not go with %s", in->file, extent, path);
    }
    if (st == DCV_OK)
        st = draw(&s);
    *drawn += st == DCV_OK;
    dcv_free(extent);
    dcv_free(s.title);
    return st;
}

dcv_status infer_pictures_draw(const dcv_report_in *in, int *drawn)
{
    found f = {.in = in};
    *drawn = 0;
    dcv_status st = dcv_h5_visit(in->h5, note, &f);
    for (int i = 0; i < f.n; i++) {
        if (st == DCV_OK)
            st = draw_path(in, f.path[i], drawn);
        dcv_free(f.path[i]);
    }
    return st;
}
