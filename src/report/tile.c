/* tile.c -- tiles of channels, drawn. */
#include "report/tile.h"

#include <math.h>
#include <string.h>
#include "deconvoy/memory.h"

enum {
    SIDE = 3,       /* places along a side of a panel */
    SMALL_PX = 48,  /* boxes are enlarged until they are not below */
    LARGE_PX = 256, /* and reduced until they are not above */
    SEAM = 2,       /* px between the places of a panel, at least */
    NAME_BYTES = 256
};
#define CHANNEL_MAX_BYTES ((int64_t)1 << 30)

static const canvas_colour ground = {150, 180, 220}; /* where there is no picture */
static const int64_t label_h = (CANVAS_TEXT_H + 2) * TILE_LABEL_SCALE;

/* ---- layout ---- */

static int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void lay_out(tile_layer *l)
{
    const int64_t longest = at_least(l->h, l->w), panels = (l->patch_c > 0) + (l->map_c > 0);
    l->scale.up = (SMALL_PX + longest - 1) / longest;
    l->scale.down = (longest + LARGE_PX - 1) / LARGE_PX;
    l->place_h = canvas_scaled(l->h, l->scale);
    l->place_w = canvas_scaled(l->w, l->scale);
    l->seam = at_least(SEAM, l->scale.up / 4);
    l->shown = l->top < SIDE * SIDE ? l->top : SIDE * SIDE;
    l->side_w = l->shown < SIDE ? l->shown : SIDE;
    l->side_h = (l->shown + l->side_w - 1) / l->side_w;
    l->panel_w = l->side_w * (l->place_w + l->seam) - l->seam;
    l->tile_h = label_h + l->side_h * (l->place_h + l->seam) - l->seam;
    l->tile_w = panels * (l->panel_w + 4 * l->seam) - 4 * l->seam;
}

/* ---- reading ---- */

/* The path of a data set of the group if it is there; NULL otherwise, or where memory is refused. */
static char *path_of(const dcv_report_in *in, const tile_layer *l, const char *name)
{
    char *path = dcv_format("%s/%s", l->group, name);
    if (path && !dcv_h5_has(in->h5, path)) {
        dcv_free(path);
        return NULL;
    }
    return path;
}

/* Its shape; all 0 where it is not there. */
static dcv_status shape_of(const dcv_report_in *in, const tile_layer *l, const char *name, int rank, dcv_dims *out)
{
    char *path = path_of(in, l, name);
    *out = (dcv_dims){0};
    const dcv_status st = path ? dcv_report_shape(in, path, rank, out) : DCV_OK;
    dcv_free(path);
    return st;
}

static dcv_status read_channel(const dcv_report_in *in, const tile_layer *l, const char *name, dcv_dtype type,
                               int64_t channel, void *to)
{
    char *path = dcv_format("%s/%s", l->group, name);
    if (!path)
        return DCV_ENOMEM;
    const dcv_status st = dcv_h5_read(in->h5, path, type, channel, 1, to);
    dcv_free(path);
    return st;
}

static bool fits(const tile_layer *l, const dcv_dims *d)
{
    return d->n == 0 || (d->d[0] == l->channels && d->d[1] == l->top);
}

static dcv_status read_shapes(const dcv_report_in *in, tile_layer *l)
{
    dcv_dims value, box, patch, map;
    DCV_TRY(shape_of(in, l, "value", 2, &value));
    DCV_TRY(shape_of(in, l, "box", 3, &box));
    DCV_TRY(shape_of(in, l, "patch", 5, &patch));
    DCV_TRY(shape_of(in, l, "reconstruction", 5, &map));
    if (!patch.n && !map.n)
        return DCV_OK;
    l->channels = value.d[0];
    l->top = value.d[1];
    l->h = patch.n ? patch.d[2] : map.d[3];
    l->w = patch.n ? patch.d[3] : map.d[4];
    if (value.n != 2 || box.n != 3 || !fits(l, &box) || !fits(l, &patch) || !fits(l, &map) || box.d[2] != 4 ||
        (patch.n && patch.d[4] != 1 && patch.d[4] != 3) || (map.n && (map.d[3] != l->h || map.d[4] != l->w)) ||
        (patch.n && !dcv_count(&patch)) || (map.n && !dcv_count(&map)) || !dcv_count(&value))
        return dcv_fail(DCV_EDATA, "%s: %s: shapes of value, box, patch and reconstruction do not fit each other",
                        in->file, l->group);
    if ((patch.n && dcv_count(&patch) / l->channels > CHANNEL_MAX_BYTES) ||
        (map.n && dcv_count(&map) / l->channels > CHANNEL_MAX_BYTES / (int64_t)sizeof(float)))
        return dcv_fail(DCV_EDATA, "%s: %s: patches too large to draw", in->file, l->group);
    l->patch_c = patch.n ? (int)patch.d[4] : 0;
    l->map_c = map.n && map.d[2] <= INT32_MAX ? (int)map.d[2] : 0;
    return DCV_OK;
}

/* Classes of the places, where they are known and have names. */
static dcv_status read_classes(const dcv_report_in *in, tile_layer *l)
{
    dcv_dims count;
    dcv_h5_info names;
    DCV_TRY(shape_of(in, l, "class_count", 2, &count));
    if (count.n != 2 || count.d[0] != l->channels || !dcv_h5_has(in->h5, "/labels/name"))
        return DCV_OK;
    DCV_TRY(dcv_h5_info_of(in->h5, "/labels/name", &names));
    if (names.dims.n != 1 || names.text_bytes < 1 || names.dims.d[0] != count.d[1] || count.d[1] < 1)
        return DCV_OK;
    l->classes = count.d[1];
    l->count = dcv_alloc((size_t)l->classes, sizeof *l->count);
    l->name = dcv_alloc(NAME_BYTES, 1);
    return l->count && l->name ? DCV_OK : DCV_ENOMEM;
}

dcv_status tile_open(const dcv_report_in *in, const char *group, tile_layer *l)
{
    *l = (tile_layer){.group = group};
    DCV_TRY(read_shapes(in, l));
    if (!l->patch_c && !l->map_c)
        return DCV_OK;
    DCV_TRY(read_classes(in, l));
    lay_out(l);
    char *config = dcv_h5_attribute(in->h5, "/", "config_yaml");
    l->bgr = config && strstr(config, "channels: bgr");
    dcv_free(config);
    l->patch = dcv_alloc((size_t)(l->top * l->h * l->w), (size_t)l->patch_c);
    l->map = dcv_alloc((size_t)(l->top * l->h * l->w), (size_t)l->map_c * sizeof *l->map);
    l->px = dcv_alloc((size_t)(l->h * l->w), 3);
    l->box = dcv_alloc((size_t)l->top, 4 * sizeof *l->box);
    l->value = dcv_alloc((size_t)l->top, sizeof *l->value);
    if (!l->patch || !l->map || !l->px || !l->box || !l->value)
        return DCV_ENOMEM;
    l->title = dcv_h5_attribute(in->h5, group, "layer");
    if (!l->title)
        l->title = dcv_strdup(strrchr(group, '/') + 1);
    return l->title ? DCV_OK : DCV_ENOMEM;
}

void tile_close(tile_layer *l)
{
    dcv_free(l->title);
    dcv_free(l->patch);
    dcv_free(l->map);
    dcv_free(l->px);
    dcv_free(l->box);
    dcv_free(l->value);
    dcv_free(l->count);
    dcv_free(l->name);
}

dcv_status tile_strongest(const dcv_report_in *in, const tile_layer *l, int64_t *channel)
{
    float best = 0;
    *channel = -1;
    for (int64_t c = 0; c < l->channels; c++) {
        DCV_TRY(read_channel(in, l, "value", DCV_F32, c, l->value));
        if (!isnan(l->value[0]) && (*channel < 0 || l->value[0] > best)) {
            best = l->value[0];
            *channel = c;
        }
    }
    return DCV_OK;
}

/* ---- drawing ---- */

/* "NAME 4/9" of the class that most places have, the first of equals; "" where no class comes twice. */
static dcv_status class_text(const dcv_report_in *in, const tile_layer *l, int64_t channel, char *to, size_t room)
{
    int64_t best = 0;
    *to = 0;
    if (!l->classes)
        return DCV_OK;
    DCV_TRY(read_channel(in, l, "class_count", DCV_I64, channel, l->count));
    for (int64_t i = 1; i < l->classes; i++)
        best = l->count[i] > l->count[best] ? i : best;
    if (l->count[best] < (l->top > 1 ? 2 : 1))
        return DCV_OK;
    DCV_TRY(dcv_h5_read_text(in->h5, "/labels/name", best, 1, l->name, NAME_BYTES - 1));
    snprintf(to, room, "  %s %lld/%lld", l->name, (long long)l->count[best], (long long)l->top);
    return DCV_OK;
}

static dcv_status draw_text(const dcv_report_in *in, const tile_layer *l, int64_t channel, const char *head,
                            int64_t text_w, dcv_image *sheet, int64_t y, int64_t x)
{
    char of_class[NAME_BYTES + 64], value[32] = "-";
    DCV_TRY(class_text(in, l, channel, of_class, sizeof of_class));
    if (!isnan(l->value[0]))
        snprintf(value, sizeof value, " %.3g", (double)l->value[0]);
    char *text = dcv_format("%s%s%lld %s%s", head ? head : "", head ? "  " : "", (long long)channel, value, of_class);
    if (!text)
        return DCV_ENOMEM;
    canvas_text(sheet, y, x, text_w, TILE_LABEL_SCALE, text);
    dcv_free(text);
    return DCV_OK;
}

/* Cells lo .. hi - 1 of the input in a box of so many: how many there are, and where the first lies.  A box that is
 * clipped where the input begins ends where it would. */
static int64_t inside(int32_t lo, int32_t hi, int64_t extent, int64_t *first)
{
    const int64_t n = lo < 0 || hi <= lo ? 0 : hi - lo < extent ? hi - lo : extent;
    *first = lo == 0 && n > 0 ? extent - n : 0;
    return n;
}

/* Square roots, which show what is faint, too; the network's channels in the order red, green, blue. */
static void prepare(const tile_layer *l, float *map)
{
    const int64_t cells = l->h * l->w;
    for (int64_t i = 0; i < cells * l->map_c; i++)
        map[i] = copysignf(sqrtf(fabsf(map[i])), map[i]);
    for (int64_t i = 0; l->bgr && l->map_c == 3 && i < cells; i++) {
        const float blue = map[i];
        map[i] = map[2 * cells + i];
        map[2 * cells + i] = blue;
    }
}

static void draw_place(const tile_layer *l, int64_t i, dcv_image *sheet, int64_t y, int64_t x)
{
    const int32_t *b = l->box + 4 * i;
    int64_t top, left;
    const int64_t h = inside(b[0], b[2], l->h, &top), w = inside(b[1], b[3], l->w, &left), cells = l->h * l->w;
    const canvas_scale s = l->scale;
    y += top * s.up / s.down;
    x += left * s.up / s.down;
    if (l->patch_c) {
        canvas_picture(sheet, y, x, l->patch + i * cells * l->patch_c, l->patch_c, h, w, l->w, s);
        x += l->panel_w + 4 * l->seam;
    }
    if (l->map_c && h > 0 && w > 0) {
        float *map = l->map + i * cells * l->map_c;
        prepare(l, map);
        canvas_signed(map, l->map_c, cells, l->px);
        canvas_picture(sheet, y, x, l->px, l->map_c == 3 ? 3 : 1, h, w, l->w, s);
    }
}

dcv_status tile_draw(const dcv_report_in *in, const tile_layer *l, int64_t channel, const char *head, int64_t text_w,
                     dcv_image *sheet, int64_t y, int64_t x)
{
    DCV_TRY(read_channel(in, l, "box", DCV_I32, channel, l->box));
    DCV_TRY(read_channel(in, l, "value", DCV_F32, channel, l->value));
    if (l->patch_c)
        DCV_TRY(read_channel(in, l, "patch", DCV_U8, channel, l->patch));
    if (l->map_c)
        DCV_TRY(read_channel(in, l, "reconstruction", DCV_F32, channel, l->map));
    DCV_TRY(draw_text(in, l, channel, head, text_w, sheet, y, x));
    y += label_h;
    canvas_fill(sheet, y, x, l->tile_h - label_h, l->panel_w, ground);
    if (l->patch_c && l->map_c)
        canvas_fill(sheet, y, x + l->panel_w + 4 * l->seam, l->tile_h - label_h, l->panel_w, ground);
    for (int64_t i = 0; i < l->shown; i++)
        draw_place(l, i, sheet, y + i / l->side_w * (l->place_h + l->seam), x + i % l->side_w * (l->place_w + l->seam));
    return DCV_OK;
}
