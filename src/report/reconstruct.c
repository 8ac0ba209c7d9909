/* reconstruct.c -- maps as pictures: a sheet for each method, items below each other, targets side by side.
 *
 * A map's zero is mid-grey; its largest absolute value, of all channels, is black or white.
 */
#include <string.h>
#include "deconvoy/memory.h"
#include "report/canvas.h"
#include "report/reporter.h"

enum { MOST_ITEMS = 32, MOST_TARGETS = 5, GAP = 4, SIDE = 112 };
static const int64_t most_floats = INT64_C(1) << 28; /* of one item's maps */

typedef struct maps {
    char *path;
    const char *method; /* in path */
    dcv_dims d;         /* [N,T,C,H,W] */
    float *map;         /* of an item */
    uint8_t *px;
    canvas_scale scale;
} maps;

static canvas_scale scale_for(int64_t h, int64_t w)
{
    const int64_t side = h > w ? h : w;
    return side > SIDE ? (canvas_scale){1, (side + SIDE - 1) / SIDE} : (canvas_scale){SIDE / side, 1};
}

static dcv_status draw_item(const dcv_report_in *in, maps *m, int64_t item, int64_t targets, int64_t y,
                            dcv_image *sheet)
{
    const int64_t *d = m->d.d, each = d[2] * d[3] * d[4], step = canvas_scaled(d[4], m->scale) + GAP;
    DCV_TRY(dcv_h5_read(in->h5, m->path, DCV_F32, item, 1, m->map));
    for (int64_t t = 0; t < targets; t++) {
        canvas_signed(m->map + t * each, d[2], d[3] * d[4], m->px);
        canvas_picture(sheet, y, GAP + t * step, m->px, d[2] == 3 ? 3 : 1, d[3], d[4], d[4], m->scale);
    }
    return DCV_OK;
}

static dcv_status draw_sheet(const dcv_report_in *in, maps *m, dcv_image *sheet)
{
    const int64_t *d = m->d.d, items = d[0] < MOST_ITEMS ? d[0] : MOST_ITEMS,
                  targets = d[1] < MOST_TARGETS ? d[1] : MOST_TARGETS;
    const int64_t row = canvas_scaled(d[3], m->scale) + GAP, column = canvas_scaled(d[4], m->scale) + GAP;
    const int64_t w = GAP + targets * column < 160 ? 160 : GAP + targets * column, head = 2 * GAP + CANVAS_TEXT_H;
    DCV_TRY(canvas_new(head + items * row, w, sheet));
    canvas_text(sheet, GAP, GAP, w - 2 * GAP, 1, m->method);
    for (int64_t i = 0; i < items; i++)
        DCV_TRY(draw_item(in, m, i, targets, head + i * row, sheet));
    return DCV_OK;
}

static dcv_status draw(const dcv_report_in *in, maps *m)
{
    DCV_TRY(dcv_report_shape(in, m->path, 5, &m->d));
    const int64_t each = m->d.d[3] > 0 && m->d.d[4] > 0 ? dcv_count(&m->d) / (m->d.d[0] > 0 ? m->d.d[0] : 1) : 0;
    if (each < 1 || each > most_floats)
        return dcv_fail(DCV_EDATA, "%s: %s: maps that cannot be drawn", in->file, m->path);
    m->scale = scale_for(m->d.d[3], m->d.d[4]);
    m->map = dcv_alloc((size_t)each, sizeof *m->map);
    m->px = dcv_alloc((size_t)(m->d.d[3] * m->d.d[4]), 3);
    if (!m->map || !m->px)
        return DCV_ENOMEM;
    dcv_image sheet = {.px = NULL};
    char *file = dcv_report_path(in, m->method, ".png");
    dcv_status st = file ? draw_sheet(in, m, &sheet) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_png_write(file, &sheet);
    if (st == DCV_OK)
        st = dcv_report_wrote(in, file);
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
    maps m = {.path = dcv_strdup(path), .method = method};
    const dcv_status st = m.path && method ? draw(ctx, &m) : DCV_ENOMEM;
    dcv_free(m.path);
    dcv_free(method);
    dcv_free(m.map);
    dcv_free(m.px);
    return st;
}

static dcv_status run(const dcv_report_in *in)
{
    return dcv_h5_visit(in->h5, visit, (void *)in);
}

const dcv_reporter dcv_reporter_reconstruct = {"reconstruct", run};
