/* patch_op.c -- rectangles between maps, and the operator that pastes a box into a piece of a clean map. */
#include <math.h>
#include <string.h>
#include "engine/ops/util.h"
#include "engine/patch_plan.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* One row of n cells of channel block b, from layouts of fa and ta lanes; at: cells. */
static void copy_lanes(const dcv_blob *from, int64_t at, const dcv_blob *to, int64_t at_to, int64_t n, int64_t channels,
                       int64_t from_cells, int64_t to_cells)
{
    const int a = from->block, b = to->block;
    for (int64_t c = 0; c < channels; c++) {
        const float *x = from->data + (c / a * from_cells + at) * a + c % a;
        float *y = to->data + (c / b * to_cells + at_to) * b + c % b;
        for (int64_t i = 0; i < n; i++)
            y[i * b] = x[i * a];
    }
}

void dcv_patch_copy(const dcv_blob *from, dcv_span rows, dcv_span columns, const dcv_blob *to, int64_t row,
                    int64_t column)
{
    const int64_t c = from->dims->d[1], fw = from->dims->d[3], tw = to->dims->d[3], n = columns.hi - columns.lo;
    const int64_t from_cells = from->dims->d[2] * fw, to_cells = to->dims->d[2] * tw;
    if (n <= 0)
        return;
    if (from->block != to->block) {
        for (int64_t r = rows.lo; r < rows.hi; r++)
            copy_lanes(from, r * fw + columns.lo, to, (row + r - rows.lo) * tw + column, n, c, from_cells, to_cells);
        return;
    }
    const int64_t b = from->block, blocks = (c + b - 1) / b;
    for (int64_t k = 0; k < blocks; k++)
        for (int64_t r = rows.lo; r < rows.hi; r++)
            memcpy(to->data + ((k * to_cells) + (row + r - rows.lo) * tw + column) * b,
                   from->data + ((k * from_cells) + r * fw + columns.lo) * b, (size_t)(n * b) * sizeof(float));
}

/* Everything of y outside its rows and columns that the map covers. */
static void fill_border(const dcv_blob *y, dcv_span rows, dcv_span columns, float border)
{
    const dcv_blob_shape s = dcv_blob_shape_of(y->dims, y->block);
    const int64_t h = y->dims->d[2], w = y->dims->d[3], b = y->block;
    for (int64_t k = 0; k < s.blocks; k++)
        for (int64_t r = 0; r < h; r++) {
            float *row = y->data + (k * h + r) * w * b;
            const bool inside = r >= rows.lo && r < rows.hi;
            const int64_t lo = inside ? columns.lo : w, hi = inside ? columns.hi : w;
            for (int64_t i = 0; i < lo * b; i++)
                row[i] = border;
            for (int64_t i = hi * b; i < w * b; i++)
                row[i] = border;
        }
}

/* Outside its rows and columns that the map covers, the nearest cell of those. */
static void fill_edges(const dcv_blob *y, dcv_span rows, dcv_span columns)
{
    const dcv_blob_shape s = dcv_blob_shape_of(y->dims, y->block);
    const int64_t h = y->dims->d[2], w = y->dims->d[3], b = y->block;
    const size_t cell = (size_t)b * sizeof *y->data;
    for (int64_t k = 0; k < s.blocks && rows.hi > rows.lo && columns.hi > columns.lo; k++) {
        float *plane = y->data + k * h * w * b;
        for (int64_t r = rows.lo; r < rows.hi; r++) {
            float *row = plane + r * w * b;
            for (int64_t i = 0; i < columns.lo; i++)
                memcpy(row + i * b, row + columns.lo * b, cell);
            for (int64_t i = columns.hi; i < w; i++)
                memcpy(row + i * b, row + (columns.hi - 1) * b, cell);
        }
        for (int64_t r = 0; r < h; r++)
            if (r < rows.lo || r >= rows.hi)
                memcpy(plane + r * w * b, plane + (r < rows.lo ? rows.lo : rows.hi - 1) * w * b, (size_t)w * cell);
    }
}

/* Part of a span of n cells that starts at at in a frame of extent cells. */
static dcv_span visible(int64_t at, int64_t n, int64_t extent)
{
    const dcv_span s = {at < 0 ? -at : 0, least(n, extent - at)};
    return s.hi > s.lo ? s : (dcv_span){0, 0};
}

/* The clean map on rows and columns of y, which begins at row y0, column x0 of it, but for a hole. */
static void copy_around(const dcv_blob *clean, int64_t y0, int64_t x0, dcv_span rows, dcv_span columns,
                        dcv_span hole_rows, dcv_span hole_columns, const dcv_blob *y)
{
    const dcv_span part[4][2] = {{{rows.lo, hole_rows.lo}, columns},
                                 {hole_rows, {columns.lo, hole_columns.lo}},
                                 {hole_rows, {hole_columns.hi, columns.hi}},
                                 {{hole_rows.hi, rows.hi}, columns}};
    for (int i = 0; i < 4; i++) {
        const dcv_span r = part[i][0], c = part[i][1];
        dcv_patch_copy(clean, (dcv_span){y0 + r.lo, y0 + r.hi}, (dcv_span){x0 + c.lo, x0 + c.hi}, y, r.lo, c.lo);
    }
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const dcv_patch_attr *a = nd->attr;
    const float *place = io->x[1].data + 4 * a->place;
    const int64_t y0 = (int64_t)place[0], x0 = (int64_t)place[1], by = (int64_t)place[2], bx = (int64_t)place[3];
    const dcv_blob clean = {.data = io->x[2].data, .dims = &a->map, .n = 1, .block = a->block};
    const dcv_blob *box = &io->x[0], *y = &io->y[0];
    const int64_t h = y->dims->d[2], w = y->dims->d[3];
    /* rows and columns of y that lie in the map, and of the box that lie in y; boxes lie in the map */
    const dcv_span rows = visible(y0, h, a->map.d[2]), columns = visible(x0, w, a->map.d[3]);
    dcv_span r = {0, 0}, c = {0, 0};
    if (rows.lo > 0 || rows.hi < h || columns.lo > 0 || columns.hi < w)
        fill_border(y, rows, columns, a->border);
    if (box->data) {
        r = visible(by, box->dims->d[2], h);
        c = visible(bx, box->dims->d[3], w);
    }
    if (r.hi > r.lo && c.hi > c.lo) {
        dcv_patch_copy(box, r, c, y, by + r.lo, bx + c.lo);
        copy_around(&clean, y0, x0, rows, columns, (dcv_span){by + r.lo, by + r.hi}, (dcv_span){bx + c.lo, bx + c.hi},
                    y);
    } else {
        dcv_patch_copy(&clean, (dcv_span){y0 + rows.lo, y0 + rows.hi}, (dcv_span){x0 + columns.lo, x0 + columns.hi}, y,
                       rows.lo, columns.lo);
    }
    if (isnan(a->border))
        fill_edges(y, rows, columns);
    if (a->border != 0)
        dcv_blob_clear_tail(&io->y[0]);
}

const dcv_op dcv_op_patch = {
    .name = "(patch)",
    .min_in = 3,
    .max_in = 3,
    .max_out = 1,
    .attr_size = sizeof(dcv_patch_attr),
    .layout = DCV_LAYOUT_SAME,
    .forward = forward,
};
