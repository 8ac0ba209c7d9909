/* max_activation.c -- contact sheets: what each channel of a layer looks for.
 *
 * A sheet holds up to 64 channels; a channel is a tile of its strongest patches, best first, up to
 * 3 x 3, under its number and strongest value.  Small patches are enlarged, large ones reduced, by whole
 * numbers; what lies outside a clipped box is plain blue.
 */
#include <math.h>
#include <string.h>
#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "report/canvas.h"
#include "report/reporter.h"

enum {
    SHEET_PX = 4000, /* largest side of a sheet */
    SHEET_SIDE = 8,  /* tiles along a side */
    TILE_SIDE = 3,   /* patches along a side of a tile */
    SMALL_PX = 48,   /* patches are enlarged until they are not below */
    LARGE_PX = 256,  /* and reduced until they are not above */
    SEAM = 2,        /* px between the patches of a tile, at least */
    GAP = 16,        /* px between tiles, and around them */
    TITLE_SCALE = 3,
    LABEL_SCALE = 2,
    LABEL_LETTERS = 11 /* that there is room for above any tile */
};
#define CHANNEL_MAX_BYTES ((int64_t)1 << 30)

static const canvas_colour ground = {150, 180, 220}; /* of a tile where there is no picture */

typedef struct layer { /* one group of the result, and how it is laid out */
    const char *group;
    char *title;
    int64_t channels, top, shown; /* per channel: places kept, patches on a tile */
    int64_t h, w;
    int c;
    canvas_scale scale;
    int64_t patch_h, patch_w, tile_h, tile_w; /* px on the sheet */
    int64_t step_h, step_w;                   /* from a tile to the next */
    int64_t seam;                             /* between patches */
    int64_t side_h, side_w;                   /* patches down and across a tile */
    int64_t rows, columns;                    /* tiles of a full sheet */
    uint8_t *patch;                           /* of one channel */
    int32_t *box;
    float *value;
} layer;

static const int64_t label_h = (CANVAS_TEXT_H + 2) * LABEL_SCALE, title_h = 2 * GAP + CANVAS_TEXT_H * TITLE_SCALE;

/* --- Layout --------------------------------------------------------------------------- */

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t tiles_along(int64_t step, int64_t taken)
{
    return at_least(1, at_most(SHEET_SIDE, (SHEET_PX - taken) / step));
}

static void lay_out(layer *l)
{
    const int64_t longest = at_least(l->h, l->w);
    l->scale.up = (SMALL_PX + longest - 1) / longest;
    l->scale.down = (longest + LARGE_PX - 1) / LARGE_PX;
    l->patch_h = canvas_scaled(l->h, l->scale);
    l->patch_w = canvas_scaled(l->w, l->scale);
    l->seam = at_least(SEAM, l->scale.up / 4);
    l->shown = at_most(l->top, TILE_SIDE * TILE_SIDE);
    l->side_w = at_most(l->shown, TILE_SIDE);
    l->side_h = (l->shown + l->side_w - 1) / l->side_w;
    l->tile_h = label_h + l->side_h * (l->patch_h + l->seam) - l->seam;
    l->tile_w = l->side_w * (l->patch_w + l->seam) - l->seam;
    l->step_h = l->tile_h + GAP;
    l->step_w = at_least(l->tile_w, LABEL_LETTERS * CANVAS_TEXT_W * LABEL_SCALE) + GAP;
    l->rows = tiles_along(l->step_h, title_h);
    l->columns = tiles_along(l->step_w, GAP);
}

/* --- Drawing -------------------------------------------------------------------------- */

/* Read one channel of a data set of the layer's group. */
static dcv_status read_channel(const dcv_report_in *in, const layer *l, const char *name, dcv_dtype type,
                               int64_t channel, void *to)
{
    char *path = dcv_format("%s/%s", l->group, name);
    if (!path)
        return DCV_ENOMEM;
    const dcv_status st = dcv_h5_read(in->h5, path, type, channel, 1, to);
    dcv_free(path);
    return st;
}

/* Extent along an axis that a box leaves of a patch. */
static int64_t inside(int32_t lo, int32_t hi, int64_t extent)
{
    return lo < 0 || hi <= lo ? 0 : at_most((int64_t)hi - lo, extent);
}

static dcv_status draw_channel(const dcv_report_in *in, const layer *l, int64_t channel, dcv_image *sheet, int64_t y,
                               int64_t x)
{
    DCV_TRY(read_channel(in, l, "patch", DCV_U8, channel, l->patch));
    DCV_TRY(read_channel(in, l, "box", DCV_I32, channel, l->box));
    DCV_TRY(read_channel(in, l, "value", DCV_F32, channel, l->value));
    char label[64];
    snprintf(label, sizeof label, isnan(l->value[0]) ? "%lld -" : "%lld  %.3g", (long long)channel,
             (double)l->value[0]);
    canvas_text(sheet, y, x, l->step_w - GAP, LABEL_SCALE, label);
    canvas_fill(sheet, y + label_h, x, l->tile_h - label_h, l->tile_w, ground);
    for (int64_t i = 0; i < l->shown; i++) {
        const int32_t *b = l->box + 4 * i;
        const int64_t py = y + label_h + i / l->side_w * (l->patch_h + l->seam),
                      px = x + i % l->side_w * (l->patch_w + l->seam);
        canvas_picture(sheet, py, px, l->patch + i * l->h * l->w * l->c, l->c, inside(b[0], b[2], l->h),
                       inside(b[1], b[3], l->w), l->w, l->scale);
    }
    return DCV_OK;
}

static dcv_status draw_sheet(const dcv_report_in *in, const layer *l, int64_t first, int64_t n, int64_t page,
                             int64_t pages, dcv_image *sheet)
{
    const int64_t columns = at_most(n, l->columns), rows = (n + columns - 1) / columns;
    DCV_TRY(canvas_new(title_h + rows * l->step_h, GAP + columns * l->step_w, sheet));
    char *title =
        pages > 1 ? dcv_format("%s  %lld/%lld", l->title, (long long)page, (long long)pages) : dcv_strdup(l->title);
    if (!title)
        return DCV_ENOMEM;
    canvas_text(sheet, GAP, GAP, sheet->w - 2 * GAP, TITLE_SCALE, title);
    dcv_free(title);
    for (int64_t i = 0; i < n; i++)
        DCV_TRY(
            draw_channel(in, l, first + i, sheet, title_h + i / columns * l->step_h, GAP + i % columns * l->step_w));
    return DCV_OK;
}

static dcv_status write_sheet(const dcv_report_in *in, const layer *l, int64_t page, int64_t pages,
                              const dcv_image *sheet)
{
    char ending[40] = ".png";
    if (pages > 1)
        snprintf(ending, sizeof ending, "-%02lld.png", (long long)page);
    char *path = dcv_report_path(in, strrchr(l->group, '/') + 1, ending);
    if (!path)
        return DCV_ENOMEM;
    const dcv_status st = dcv_png_write(path, sheet);
    if (st == DCV_OK)
        fprintf(in->to, "%s\n", path);
    dcv_free(path);
    return st;
}

static dcv_status draw_layer(const dcv_report_in *in, layer *l)
{
    const int64_t per_sheet = l->rows * l->columns, pages = (l->channels + per_sheet - 1) / per_sheet;
    for (int64_t page = 1; page <= pages; page++) {
        const int64_t first = (page - 1) * per_sheet;
        dcv_image sheet = {.px = NULL};
        dcv_status st = draw_sheet(in, l, first, at_most(per_sheet, l->channels - first), page, pages, &sheet);
        if (st == DCV_OK)
            st = write_sheet(in, l, page, pages, &sheet);
        dcv_free(sheet.px);
        DCV_TRY(st);
    }
    return DCV_OK;
}

/* --- Layers --------------------------------------------------------------------------- */

static dcv_status shape_of(const dcv_report_in *in, const layer *l, const char *name, int rank, dcv_dims *out)
{
    char *path = dcv_format("%s/%s", l->group, name);
    if (!path)
        return DCV_ENOMEM;
    const dcv_status st = dcv_report_shape(in, path, rank, out);
    dcv_free(path);
    return st;
}

static dcv_status read_shapes(const dcv_report_in *in, layer *l)
{
    dcv_dims value, box, patch;
    DCV_TRY(shape_of(in, l, "value", 2, &value));
    DCV_TRY(shape_of(in, l, "box", 3, &box));
    DCV_TRY(shape_of(in, l, "patch", 5, &patch));
    const int64_t *d = patch.d;
    if (value.d[0] != d[0] || box.d[0] != d[0] || value.d[1] != d[1] || box.d[1] != d[1] || box.d[2] != 4 ||
        (d[4] != 1 && d[4] != 3) || dcv_count(&patch) == 0)
        return dcv_fail(DCV_EDATA, "%s: %s: shapes of value, box and patch do not fit each other", in->file, l->group);
    if (dcv_count(&patch) / d[0] > CHANNEL_MAX_BYTES)
        return dcv_fail(DCV_EDATA, "%s: %s: patches too large to draw", in->file, l->group);
    l->channels = d[0], l->top = d[1], l->h = d[2], l->w = d[3], l->c = (int)d[4];
    return DCV_OK;
}

static dcv_status open_layer(const dcv_report_in *in, layer *l)
{
    DCV_TRY(read_shapes(in, l));
    lay_out(l);
    l->title = dcv_h5_attribute(in->h5, l->group, "layer");
    if (!l->title)
        l->title = dcv_strdup(strrchr(l->group, '/') + 1);
    l->patch = dcv_alloc((size_t)(l->top * l->h * l->w), (size_t)l->c);
    l->box = dcv_alloc((size_t)l->top, 4 * sizeof *l->box);
    l->value = dcv_alloc((size_t)l->top, sizeof *l->value);
    return l->title && l->patch && l->box && l->value ? DCV_OK : DCV_ENOMEM;
}

static void close_layer(layer *l)
{
    dcv_free(l->title);
    dcv_free(l->patch);
    dcv_free(l->box);
    dcv_free(l->value);
}

static dcv_status report_layer(const dcv_report_in *in, const char *group)
{
    layer l = {.group = group};
    dcv_status st = open_layer(in, &l);
    if (st == DCV_OK)
        st = draw_layer(in, &l);
    close_layer(&l);
    return st;
}

/* Called for every data set: each "value" stands for a layer. */
static dcv_status visit(void *ctx, const char *path, const dcv_h5_info *info)
{
    static const char above[] = "/max_activation/", name[] = "/value";
    const dcv_report_in *in = ctx;
    (void)info;
    const size_t n = strlen(path);
    if (strncmp(path, above, sizeof above - 1) != 0 || n < sizeof above + sizeof name - 1 ||
        strcmp(path + n - (sizeof name - 1), name) != 0)
        return DCV_OK;
    char *group = dcv_format("%.*s", (int)(n - (sizeof name - 1)), path);
    char *patch = group ? dcv_format("%s/patch", group) : NULL;
    dcv_status st = DCV_ENOMEM;
    if (patch && dcv_h5_has(in->h5, patch))
        st = report_layer(in, group);
    else if (patch) {
        dcv_log_info("%s: %s has no patches and so no picture (see patches and crop_limit)", in->file, group);
        st = DCV_OK;
    }
    dcv_free(group);
    dcv_free(patch);
    return st;
}

static dcv_status run(const dcv_report_in *in)
{
    return dcv_h5_visit(in->h5, visit, (void *)in);
}

const dcv_reporter dcv_reporter_max_activation = {"max_activation", run};
