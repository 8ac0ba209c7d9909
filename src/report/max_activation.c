/* max_activation.c -- contact sheets: what each channel of a layer looks for.
 *
 * A sheet holds up to 64 channels of a layer, a tile each (tile.h).  The sheet "overview" has one tile of every layer:
 * the channel with the largest value.
 */
#include <string.h>
#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "report/tile.h"

enum {
    SHEET_PX = 4000, /* largest side of a sheet */
    SHEET_SIDE = 8,  /* tiles along a side */
    GAP = 16,        /* px between tiles, and around them */
    TITLE_SCALE = 3,
    LABEL_LETTERS = 11, /* that there is room for above any tile */
    HEAD_LETTERS = 28,  /* the same on the overview */
    OVERVIEW_TILES = 3, /* across */
    MOST_LAYERS = 1024
};

static const int64_t title_h = 2 * GAP + CANVAS_TEXT_H * TITLE_SCALE;

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* --- A layer's sheets ------------------------------------------------------------------- */

static int64_t text_w(const tile_layer *l, int64_t letters)
{
    return at_least(l->tile_w, letters * CANVAS_TEXT_W * TILE_LABEL_SCALE);
}

static int64_t tiles_along(int64_t step, int64_t taken)
{
    return at_least(1, at_most(SHEET_SIDE, (SHEET_PX - taken) / step));
}

static dcv_status draw_sheet(const dcv_report_in *in, const tile_layer *l, int64_t first, int64_t n, int64_t across,
                             const char *title, dcv_image *sheet)
{
    const int64_t step_w = text_w(l, LABEL_LETTERS) + GAP, step_h = l->tile_h + GAP;
    const int64_t columns = at_most(n, across), rows = (n + columns - 1) / columns;
    DCV_TRY(canvas_new(title_h + rows * step_h, GAP + columns * step_w, sheet));
    canvas_text(sheet, GAP, GAP, sheet->w - 2 * GAP, TITLE_SCALE, title);
    for (int64_t i = 0; i < n; i++)
        DCV_TRY(tile_draw(in, l, first + i, NULL, step_w - GAP, sheet, title_h + i / columns * step_h,
                          GAP + i % columns * step_w));
    return DCV_OK;
}

static dcv_status write_sheet(const dcv_report_in *in, const char *name, const char *ending, const dcv_image *sheet)
{
    char *path = dcv_report_path(in, name, ending);
    if (!path)
        return DCV_ENOMEM;
    dcv_status st = dcv_png_write(path, sheet);
    if (st == DCV_OK)
        st = dcv_report_wrote(in, path);
    dcv_free(path);
    return st;
}

static dcv_status draw_layer(const dcv_report_in *in, const tile_layer *l)
{
    const int64_t across = tiles_along(text_w(l, LABEL_LETTERS) + GAP, GAP);
    const int64_t per_sheet = tiles_along(l->tile_h + GAP, title_h) * across,
                  pages = (l->channels + per_sheet - 1) / per_sheet;
    for (int64_t page = 1; page <= pages; page++) {
        const int64_t first = (page - 1) * per_sheet;
        char ending[40] = ".png",
             *title = pages > 1 ? dcv_format("%s  %lld/%lld", l->title, (long long)page, (long long)pages)
                                : dcv_strdup(l->title);
        dcv_image sheet = {.px = NULL};
        if (pages > 1)
            snprintf(ending, sizeof ending, "-%02lld.png", (long long)page);
        dcv_status st = title ? draw_sheet(in, l, first, at_most(per_sheet, l->channels - first), across, title, &sheet)
                              : DCV_ENOMEM;
        if (st == DCV_OK)
            st = write_sheet(in, strrchr(l->group, '/') + 1, ending, &sheet);
        dcv_free(title);
        dcv_image_clear(&sheet);
        DCV_TRY(st);
    }
    return DCV_OK;
}

/* --- The overview ----------------------------------------------------------------------- */

typedef struct layers {
    const dcv_report_in *in;
    int n;
    char *group[MOST_LAYERS]; /* in the order of the file: by name */
} layers;

/* Where tiles go: rows of a few, each as high as its highest. */
typedef struct flow {
    int64_t column_w, y, row_h, n;
} flow;

static void place(flow *f, int64_t h, int64_t *y, int64_t *x)
{
    if (f->n && f->n % OVERVIEW_TILES == 0) {
        f->y += f->row_h + GAP;
        f->row_h = 0;
    }
    *y = f->y;
    *x = GAP + f->n % OVERVIEW_TILES * (f->column_w + GAP);
    f->row_h = at_least(f->row_h, h);
    f->n++;
}

/* Go through all layers: sheet NULL only measures. */
static dcv_status lay(const layers *all, flow *f, dcv_image *sheet)
{
    for (int i = 0; i < all->n; i++) {
        tile_layer l;
        int64_t channel = -1, y, x;
        dcv_status st = tile_open(all->in, all->group[i], &l);
        if (st == DCV_OK && l.title && sheet)
            st = tile_strongest(all->in, &l, &channel);
        if (st == DCV_OK && l.title && !sheet)
            f->column_w = at_least(f->column_w, text_w(&l, HEAD_LETTERS));
        if (st == DCV_OK && l.title)
            place(f, l.tile_h, &y, &x);
        if (st == DCV_OK && l.title && channel >= 0)
            st = tile_draw(all->in, &l, channel, l.title, f->column_w, sheet, y, x);
        tile_close(&l);
        DCV_TRY(st);
    }
    return DCV_OK;
}

static dcv_status draw_overview(const layers *all)
{
    dcv_image sheet = {.px = NULL};
    flow f = {.y = title_h};
    DCV_TRY(lay(all, &f, NULL));
    if (f.n < 2)
        return DCV_OK;
    const int64_t h = f.y + f.row_h + GAP, w = GAP + at_most(f.n, OVERVIEW_TILES) * (f.column_w + GAP);
    dcv_status st = canvas_new(h, w, &sheet);
    if (st == DCV_OK) {
        canvas_text(&sheet, GAP, GAP, w - 2 * GAP, TITLE_SCALE, "strongest channel of each layer");
        f = (flow){.y = title_h, .column_w = f.column_w};
        st = lay(all, &f, &sheet);
    }
    if (st == DCV_OK)
        st = write_sheet(all->in, "overview", ".png", &sheet);
    dcv_image_clear(&sheet);
    return st;
}

/* --- Layers ----------------------------------------------------------------------------- */

static dcv_status report_layer(const dcv_report_in *in, const char *group)
{
    tile_layer l;
    dcv_status st = tile_open(in, group, &l);
    if (st == DCV_OK && l.title)
        st = draw_layer(in, &l);
    else if (st == DCV_OK)
        dcv_log_info("%s: %s has no patches and so no picture (see patches and crop_limit)", in->file, group);
    tile_close(&l);
    return st;
}

/* Called for every data set: each "value" stands for a layer. */
static dcv_status visit(void *ctx, const char *path, const dcv_h5_info *info)
{
    static const char above[] = "/max_activation/", name[] = "/value";
    layers *all = ctx;
    (void)info;
    const size_t n = strlen(path);
    if (strncmp(path, above, sizeof above - 1) != 0 || n < sizeof above + sizeof name - 1 ||
        strcmp(path + n - (sizeof name - 1), name) != 0)
        return DCV_OK;
    char *group = dcv_format("%.*s", (int)(n - (sizeof name - 1)), path);
    dcv_status st = group ? report_layer(all->in, group) : DCV_ENOMEM;
    if (st == DCV_OK && all->n < MOST_LAYERS)
        all->group[all->n++] = group;
    else
        dcv_free(group);
    return st;
}

static dcv_status run(const dcv_report_in *in)
{
    layers *all = dcv_alloc(1, sizeof *all);
    if (!all)
        return DCV_ENOMEM;
    all->in = in;
    dcv_status st = dcv_h5_visit(in->h5, visit, all);
    if (st == DCV_OK)
        st = draw_overview(all);
    for (int i = 0; i < all->n; i++)
        dcv_free(all->group[i]);
    dcv_free(all);
    return st;
}

const dcv_reporter dcv_reporter_max_activation = {"max_activation", run};
