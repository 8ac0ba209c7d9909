/* reconstruct.c -- maps as pictures: a sheet for each method, items below each other; in a row the picture, then its
 * targets, each with its name and the value that it had.
 *
 * A map's zero is mid-grey; its largest absolute value, of all channels, is black or white.
 */
#include <stdio.h>
#include <string.h>
#include "deconvoy/memory.h"
#include "report/canvas.h"
#include "report/reporter.h"

enum { MOST_ITEMS = 32, MOST_TARGETS = 5, GAP = 4, SIDE = 168, LINE = CANVAS_TEXT_H + 3, TEXT = 256 };
static const int64_t most_floats = INT64_C(1) << 28; /* of one item's maps */

typedef struct maps {
    const dcv_report_in *in;
    char *path;
    const char *method; /* in path */
    dcv_dims d;         /* [N,T,C,H,W] */
    int64_t shown;      /* items whose picture is there */
    int64_t picture_c;
    char *at; /* what targets are units of; NULL: not known */
    int32_t *target;
    float *value, *map; /* of an item */
    uint8_t *px, *picture;
    canvas_scale scale;
} maps;

static canvas_scale scale_for(int64_t h, int64_t w)
{
    const int64_t side = h > w ? h : w;
    return side > SIDE ? (canvas_scale){1, (side + SIDE - 1) / SIDE} : (canvas_scale){SIDE / side, 1};
}

/* Rows and columns of an item's own input. */
static dcv_status extent_of(const maps *m, int64_t item, int64_t *h, int64_t *w)
{
    int32_t own[2] = {0, 0};
    if (dcv_h5_has(m->in->h5, "/inputs/extent"))
        DCV_TRY(dcv_h5_read(m->in->h5, "/inputs/extent", DCV_I32, item, 1, own));
    const bool good = own[0] > 0 && own[0] <= m->d.d[3] && own[1] > 0 && own[1] <= m->d.d[4];
    *h = good ? own[0] : m->d.d[3];
    *w = good ? own[1] : m->d.d[4];
    return DCV_OK;
}

/* "class 7 sneaker: 12.5", "channel 3: 0.75". */
static dcv_status name_target(const maps *m, int64_t t, char text[TEXT])
{
    char name[TEXT - 32] = "no such target";
    const bool inner = m->at && strcmp(m->at, "logits") != 0 && strcmp(m->at, "probability") != 0;
    if (m->target[t] >= 0 && inner)
        snprintf(name, sizeof name, "channel %d", m->target[t]);
    else if (m->target[t] >= 0)
        DCV_TRY(dcv_report_class(m->in, m->target[t], name, sizeof name));
    snprintf(text, TEXT, m->target[t] < 0 ? "%s" : "%s: %.4g", name, (double)m->value[t]);
    return DCV_OK;
}

static dcv_status draw_picture(const maps *m, int64_t item, int64_t y, int64_t h, int64_t w, dcv_image *sheet)
{
    if (item >= m->shown)
        return DCV_OK;
    DCV_TRY(dcv_h5_read(m->in->h5, "/report/picture", DCV_U8, item, 1, m->picture));
    canvas_picture(sheet, y, GAP, m->picture, (int)m->picture_c, h, w, m->d.d[4], m->scale);
    return DCV_OK;
}

static dcv_status draw_item(const maps *m, int64_t item, int64_t targets, int64_t y, dcv_image *sheet)
{
    const int64_t *d = m->d.d, each = d[2] * d[3] * d[4], column = canvas_scaled(d[4], m->scale) + GAP;
    dcv_h5 *f = m->in->h5;
    char text[TEXT] = {0};
    int64_t h, w, x = GAP;
    DCV_TRY(extent_of(m, item, &h, &w));
    if (dcv_h5_has(f, "/inputs/name"))
        DCV_TRY(dcv_h5_read_text(f, "/inputs/name", item, 1, text, TEXT - 1));
    canvas_text(sheet, y, x, (m->shown ? column : sheet->w) - GAP, 1, text);
    DCV_TRY(dcv_h5_read(f, "/reconstruct/target", DCV_I32, item, 1, m->target));
    DCV_TRY(dcv_h5_read(f, "/reconstruct/value", DCV_F32, item, 1, m->value));
    DCV_TRY(dcv_h5_read(f, m->path, DCV_F32, item, 1, m->map));
    y += LINE;
    if (m->shown)
        x += column;
    else
        y += LINE; /* the name has a line of its own */
    DCV_TRY(draw_picture(m, item, y, h, w, sheet));
    for (int64_t t = 0; t < targets; t++, x += column) {
        DCV_TRY(name_target(m, t, text));
        canvas_text(sheet, y - LINE, x, column - GAP, 1, text);
        if (m->target[t] < 0)
            continue;
        canvas_signed(m->map + t * each, d[2], d[3] * d[4], m->px);
        canvas_picture(sheet, y, x, m->px, d[2] == 3 ? 3 : 1, h, w, d[4], m->scale);
    }
    return DCV_OK;
}

static dcv_status draw_sheet(const maps *m, dcv_image *sheet)
{
    const int64_t *d = m->d.d, items = d[0] < MOST_ITEMS ? d[0] : MOST_ITEMS,
                  targets = d[1] < MOST_TARGETS ? d[1] : MOST_TARGETS;
    const int64_t row = canvas_scaled(d[3], m->scale) + GAP + (m->shown ? 1 : 2) * LINE,
                  column = canvas_scaled(d[4], m->scale) + GAP, head = GAP + LINE + GAP;
    char text[TEXT];
    DCV_TRY(canvas_new(head + items * row, GAP + (targets + (m->shown > 0)) * column, sheet));
    snprintf(text, sizeof text, "%.60s at %.120s: grey is zero, black and white the strongest", m->method,
             m->at ? m->at : "its unit");
    canvas_text(sheet, GAP, GAP, sheet->w - 2 * GAP, 1, text);
    for (int64_t i = 0; i < items; i++)
        DCV_TRY(draw_item(m, i, targets, head + i * row, sheet));
    return DCV_OK;
}

/* Pictures are shown where they are of the maps' extents. */
static dcv_status find_pictures(maps *m)
{
    dcv_dims p;
    if (!dcv_h5_has(m->in->h5, "/report/picture"))
        return DCV_OK;
    DCV_TRY(dcv_report_shape(m->in, "/report/picture", 4, &p));
    if (p.d[1] != m->d.d[3] || p.d[2] != m->d.d[4] || (p.d[3] != 1 && p.d[3] != 3))
        return dcv_fail(DCV_EDATA, "%s: /report/picture does not fit %s", m->in->file, m->path);
    m->shown = p.d[0];
    m->picture_c = p.d[3];
    return DCV_OK;
}

static dcv_status check_targets(const maps *m)
{
    static const char *const paths[] = {"/reconstruct/target", "/reconstruct/value"};
    for (int i = 0; i < 2; i++) {
        dcv_dims d;
        DCV_TRY(dcv_report_shape(m->in, paths[i], 2, &d));
        if (d.d[0] != m->d.d[0] || d.d[1] != m->d.d[1])
            return dcv_fail(DCV_EDATA, "%s: %s does not fit %s", m->in->file, paths[i], m->path);
    }
    if (!dcv_h5_has(m->in->h5, "/inputs/extent"))
        return DCV_OK;
    dcv_dims d;
    DCV_TRY(dcv_report_shape(m->in, "/inputs/extent", 2, &d));
    return d.d[1] == 2 ? DCV_OK : dcv_fail(DCV_EDATA, "%s: /inputs/extent does not fit the rest", m->in->file);
}

static dcv_status prepare(maps *m)
{
    DCV_TRY(dcv_report_shape(m->in, m->path, 5, &m->d));
    const int64_t each = m->d.d[3] > 0 && m->d.d[4] > 0 ? dcv_count(&m->d) / (m->d.d[0] > 0 ? m->d.d[0] : 1) : 0,
                  cells = m->d.d[3] * m->d.d[4];
    if (each < 1 || each > most_floats)
        return dcv_fail(DCV_EDATA, "%s: %s: maps that cannot be drawn", m->in->file, m->path);
    DCV_TRY(check_targets(m));
    DCV_TRY(find_pictures(m));
    m->scale = scale_for(m->d.d[3], m->d.d[4]);
    m->at = dcv_h5_attribute(m->in->h5, "/reconstruct", "at");
    m->map = dcv_alloc((size_t)each, sizeof *m->map);
    m->value = dcv_alloc((size_t)m->d.d[1], sizeof *m->value);
    m->target = dcv_alloc((size_t)m->d.d[1], sizeof *m->target);
    m->px = dcv_alloc((size_t)cells, 3);
    m->picture = dcv_alloc((size_t)cells, 3);
    return m->map && m->value && m->target && m->px && m->picture ? DCV_OK : DCV_ENOMEM;
}

static dcv_status draw(maps *m)
{
    DCV_TRY(prepare(m));
    dcv_image sheet = {.px = NULL};
    char *file = dcv_report_path(m->in, m->method, ".png");
    dcv_status st = file ? draw_sheet(m, &sheet) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_png_write(file, &sheet);
    if (st == DCV_OK)
        st = dcv_report_wrote(m->in, file);
    dcv_image_clear(&sheet);
    dcv_free(file);
    return st;
}

static dcv_status visit(void *ctx, const char *path, const dcv_h5_info *info)
{
    static const char above[] = "/reconstruct/", name[] = "/map";
    const size_t n = strlen(path);
    if (info->dims.n != 5 || strncmp(path, above, sizeof above - 1) != 0 || n < sizeof above + sizeof name - 1 ||
        strcmp(path + n - (sizeof name - 1), name) != 0)
        return DCV_OK;
    char *method = dcv_format("%.*s", (int)(n - sizeof above - sizeof name + 2), path + sizeof above - 1);
    maps m = {.in = ctx, .path = dcv_strdup(path), .method = method};
    const dcv_status st = m.path && method ? draw(&m) : DCV_ENOMEM;
    void *const all[] = {m.path, method, m.at, m.map, m.value, m.target, m.px, m.picture};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        dcv_free(all[i]);
    return st;
}

static dcv_status run(const dcv_report_in *in)
{
    return dcv_h5_visit(in->h5, visit, (void *)in);
}

const dcv_reporter dcv_reporter_reconstruct = {"reconstruct", run};
