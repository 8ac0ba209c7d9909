/* mosaic.c -- a large picture in tiles: which cells of a piece are those of the whole.
 *
 * Along one axis, a value has up / down cells for each of the picture; a piece that starts at a multiple of all `down`
 * has its cells where the whole has them, up to the border that cuts.
 */
#include "engine/mosaic.h"

#include <string.h>

#include "deconvoy/op.h"
#include "engine/box.h"

enum { MOST_PERIOD = 64, MOST_STEP = 4096 };
static const int64_t sizes[] = {dcv_mosaic_least, 1024, 2048, 4096};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

/* --- How many cells a value has for each of the picture ----------------------------- */

/* axis: of the value, along the picture's; DCV_REACH_NONE where it does not depend on the picture, DCV_AXIS_MIXED where
 * any cell may depend on any (since node why). */
typedef struct scale {
    int axis, why;
    int64_t up, down;
} scale;

static int64_t divisor(int64_t a, int64_t b)
{
    while (b) {
        const int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static dcv_cells cells_read(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    return nd->op->reads ? nd->op->reads(g, nd, k, axis, j, o) : (dcv_cells){o, o + 1, 1};
}

/* Do sizes that are not in an exact ratio make the operator's weights others from size to size? */
static bool is_resize(const dcv_node *nd)
{
    return !strcmp(nd->op->name, "Resize") || !strcmp(nd->op->name, "Upsample");
}

static bool anchors_ends(const dcv_node *nd)
{
    const dcv_attr *a = dcv_model_attr(nd->source, "coordinate_transformation_mode");
    return a && a->type == DCV_ATTR_STRING && a->n == 1 &&
           (!strcmp(a->s[0], "align_corners") || !strcmp(a->s[0], "tf_crop_and_resize"));
}

/* After how many cells of the output its reading is the same again, so many cells of the input further on.  Looked for
 * in the middle half, away from borders. */
static bool find_period(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int to, int64_t *up,
                        int64_t *down)
{
    const int64_t n = g->value[nd->out[j]].dims.d[to], lo = n / 4, hi = n - n / 4;
    for (int64_t p = 1; p <= MOST_PERIOD && lo + p < hi; p++) {
        const int64_t d = cells_read(g, nd, k, axis, j, lo + p).lo - cells_read(g, nd, k, axis, j, lo).lo;
        bool same = d > 0;
        for (int64_t o = lo; same && o + p < hi; o++) {
            const dcv_cells a = cells_read(g, nd, k, axis, j, o), b = cells_read(g, nd, k, axis, j, o + p);
            same = b.lo - a.lo == d && b.hi - a.hi == d && a.step == b.step;
        }
        if (!same)
            continue;
        *up = p;
        *down = d;
        return true;
    }
    return false;
}

/* What input k makes of output j.  False: any cell of it may depend on any. */
static bool passes(const dcv_graph *g, int node, int k, int j, const scale *x, scale *y)
{
    const dcv_node *nd = &g->node[node];
    int64_t up = 1, down = 1;
    if (x->axis == DCV_AXIS_MIXED)
        return false;
    const int to = dcv_node_carries(g, node, k, x->axis, j);
    if (to < 0)
        return false;
    const int64_t in = g->value[nd->in[k]].dims.d[x->axis], out = g->value[nd->out[j]].dims.d[to];
    if (nd->op->reads && !find_period(g, nd, k, x->axis, j, to, &up, &down))
        return false;
    if (!nd->op->reads && in != out)
        return false;
    if (is_resize(nd) && (anchors_ends(nd) || out * down != in * up))
        return false;
    const int64_t d = divisor(x->up * up, x->down * down);
    *y = (scale){.axis = to, .why = -1, .up = x->up * up / d, .down = x->down * down / d};
    return true;
}

static void join(const dcv_graph *g, int node, int k, int j, const scale *x, scale *y)
{
    scale more;
    if (x->axis == DCV_REACH_NONE || y->axis == DCV_AXIS_MIXED)
        return;
    if (!passes(g, node, k, j, x, &more)) {
        *y = (scale){.axis = DCV_AXIS_MIXED, .why = x->axis == DCV_AXIS_MIXED ? x->why : node};
        return;
    }
    if (y->axis == DCV_REACH_NONE)
        *y = more;
    else if (y->axis != more.axis || y->up != more.up || y->down != more.down)
        *y = (scale){.axis = DCV_AXIS_MIXED, .why = node};
}

/* [n_value], new memory. */
static scale *scales_of(const dcv_graph *g, int axis)
{
    scale *s = dcv_alloc((size_t)g->n_value, sizeof *s);
    for (int v = 0; s && v < g->n_value; v++)
        s[v] = (scale){.axis = DCV_REACH_NONE, .why = -1, .up = 1, .down = 1};
    if (s)
        s[g->in[0]].axis = 2 + axis;
    for (int i = 0; s && i < g->n_node; i++)
        for (int j = 0; j < g->node[i].n_out; j++)
            for (int k = 0; k < g->node[i].n_in; k++)
                if (g->node[i].in[k] >= 0 && g->node[i].out[j] >= 0)
                    join(g, i, k, j, &s[g->node[i].in[k]], &s[g->node[i].out[j]]);
    return s;
}

/* --- One axis of a picture and of its tiles ------------------------------------------ */

typedef struct cut {
    const dcv_graph *whole, *piece;
    const int *out;
    int n_out, axis;
    scale *scale; /* [n_value] of the whole, whose numbers the piece has, too */
    int64_t step;
    bool **right;   /* [n_value] cells of the piece */
    dcv_span *good; /* [n_out] of the last place: right cells of each output, in the whole */
} cut;

static dcv_status wrong_output(const cut *c, int v)
{
    const dcv_graph *g = c->whole;
    const scale *s = &c->scale[v];
    if (s->axis == DCV_AXIS_MIXED && s->why >= 0)
        return dcv_fail(
            DCV_EUNSUPPORTED,
            "%s: node \"%s\" (%s) joins all of the picture, or does not repeat from place to place, so that "
            "output \"%s\" cannot be computed in tiles",
            g->model->file, g->node[s->why].name, g->node[s->why].op->name, g->value[v].name);
    return dcv_fail(DCV_EUNSUPPORTED, "%s: output \"%s\" is no map over the picture; it cannot be computed in tiles",
                    g->model->file, g->value[v].name);
}

/* Are all outputs maps whose rows and columns run along the picture's? */
static dcv_status check_outputs(const cut *c)
{
    for (int o = 0; o < c->n_out; o++) {
        const int v = c->whole->out[c->out[o]];
        if (c->whole->value[v].dims.n != 4 || c->scale[v].axis != 2 + c->axis)
            return wrong_output(c, v);
    }
    return DCV_OK;
}

static dcv_status find_step(cut *c)
{
    c->step = 1;
    for (int v = 0; v < c->whole->n_value; v++)
        if (c->scale[v].axis >= 0) {
            c->step = c->step / divisor(c->step, c->scale[v].down) * c->scale[v].down;
            if (c->step > MOST_STEP)
                return dcv_fail(DCV_EUNSUPPORTED, "%s: strides of more than %d px in all cannot be cut into tiles",
                                c->whole->model->file, MOST_STEP);
        }
    return DCV_OK;
}

static void cut_clear(cut *c)
{
    for (int v = 0; c->right && v < c->whole->n_value; v++)
        dcv_free(c->right[v]);
    dcv_free(c->right);
    dcv_free(c->scale);
    dcv_free(c->good);
    *c = (cut){0};
}

static dcv_status cut_new(const dcv_graph *whole, const int *out, int n_out, int axis, cut *c)
{
    *c = (cut){.whole = whole, .out = out, .n_out = n_out, .axis = axis, .scale = scales_of(whole, axis)};
    c->good = dcv_alloc((size_t)n_out, sizeof *c->good);
    if (!c->scale || !c->good)
        return DCV_ENOMEM;
    DCV_TRY(check_outputs(c));
    return find_step(c);
}

/* --- The same network for a piece ------------------------------------------------------ */

static dcv_status differ(const dcv_graph *g, int node)
{
    return dcv_fail(
        DCV_EUNSUPPORTED,
        "%s: node \"%s\" (%s) has constants that follow from the picture's size; it cannot be cut into tiles",
        g->model->file, g->node[node].name, g->node[node].op->name);
}

/* A constant that depends on where in the picture, or how large it is, makes tiles another network.  Whole numbers are
 * shapes, which show in what operators read. */
static bool same_constants(const dcv_graph *a, const dcv_graph *b, int node)
{
    for (int k = 0; k < a->node[node].n_in; k++) {
        const int v = a->node[node].in[k], w = b->node[node].in[k];
        const dcv_value *x = v >= 0 ? &a->value[v] : NULL, *y = w >= 0 ? &b->value[w] : NULL;
        if (!x != !y)
            return false;
        if (!x || (!x->constant && !y->constant) || x->type != DCV_F32 || x->constant == y->constant)
            continue;
        if (!x->constant || !y->constant || !dcv_dims_equal(&x->dims, &y->dims) ||
            memcmp(x->constant, y->constant, (size_t)dcv_count(&x->dims) * sizeof(float)))
            return false;
    }
    return true;
}

/* Node by node, value by value. */
static dcv_status check_same(const dcv_graph *a, const dcv_graph *b)
{
    const int n = a->n_node < b->n_node ? a->n_node : b->n_node;
    for (int i = 0; i < n; i++) {
        const dcv_node *x = &a->node[i], *y = &b->node[i];
        bool same = x->source == y->source && x->n_in == y->n_in && x->n_out == y->n_out;
        for (int k = 0; same && k < x->n_in; k++)
            same = (x->in[k] < 0 && y->in[k] < 0) || x->in[k] == y->in[k];
        for (int j = 0; same && j < x->n_out; j++)
            same = x->out[j] == y->out[j];
        if (!same || !same_constants(a, b, i))
            return differ(a, i);
    }
    return a->n_node == b->n_node && a->n_value == b->n_value ? DCV_OK : differ(a, n - 1);
}

static dcv_status make_rights(cut *c)
{
    c->right = dcv_alloc((size_t)c->whole->n_value, sizeof *c->right);
    for (int v = 0; c->right && v < c->whole->n_value; v++) {
        if (c->scale[v].axis < 0)
            continue;
        c->right[v] = dcv_alloc((size_t)c->piece->value[v].dims.d[c->scale[v].axis], sizeof **c->right);
        if (!c->right[v])
            return DCV_ENOMEM;
    }
    return c->right ? DCV_OK : DCV_ENOMEM;
}

/* --- Which cells are right ----------------------------------------------------------------- */

/* Does cell o of output j of a piece read through input k what it is to read, cells that are right? */
static bool reads_right(const cut *c, int node, int k, int j, int64_t first, int64_t o)
{
    const dcv_node *of_piece = &c->piece->node[node], *of_whole = &c->whole->node[node];
    const int x = of_whole->in[k], y = of_whole->out[j];
    const scale *sx = &c->scale[x], *sy = &c->scale[y];
    const int64_t by_x = first * sx->up / sx->down, by_y = first * sy->up / sy->down;
    const int64_t n = c->piece->value[x].dims.d[sx->axis], all = c->whole->value[x].dims.d[sx->axis];
    const dcv_cells p = cells_read(c->piece, of_piece, k, sx->axis, j, o),
                    w = cells_read(c->whole, of_whole, k, sx->axis, j, o + by_y);
    if (p.lo + by_x != w.lo || p.hi + by_x != w.hi || p.step != w.step)
        return false;
    for (int64_t i = p.lo; i < p.hi; i += p.step) {
        const bool in_piece = i >= 0 && i < n, in_picture = i + by_x >= 0 && i + by_x < all;
        if (in_piece != in_picture || (in_piece && !c->right[x][i]))
            return false;
    }
    return true;
}

static void mark_output(const cut *c, int node, int j, int64_t first)
{
    const dcv_node *nd = &c->whole->node[node];
    const int y = nd->out[j];
    if (y < 0 || c->scale[y].axis < 0)
        return;
    const int64_t n = c->piece->value[y].dims.d[c->scale[y].axis], all = c->whole->value[y].dims.d[c->scale[y].axis];
    const int64_t by = first * c->scale[y].up / c->scale[y].down;
    for (int64_t o = 0; o < n; o++) {
        bool good = o + by < all;
        for (int k = 0; good && k < nd->n_in; k++)
            if (nd->in[k] >= 0 && c->scale[nd->in[k]].axis >= 0)
                good = reads_right(c, node, k, j, first, o);
        c->right[y][o] = good;
    }
}

/* The longest run of right cells, in the whole. */
static dcv_span longest(const bool *right, int64_t n, int64_t by)
{
    dcv_span best = {0, 0};
    for (int64_t i = 0, start = 0; i <= n; i++) {
        if (i < n && right[i])
            continue;
        if (i - start > best.hi - best.lo)
            best = (dcv_span){start, i};
        start = i + 1;
    }
    return (dcv_span){best.lo + by, best.hi + by};
}

static void mark(cut *c, int64_t first)
{
    const int in = c->whole->in[0];
    memset(c->right[in], 1, (size_t)c->piece->value[in].dims.d[2 + c->axis] * sizeof **c->right);
    for (int i = 0; i < c->whole->n_node; i++)
        for (int j = 0; j < c->whole->node[i].n_out; j++)
            mark_output(c, i, j, first);
    for (int o = 0; o < c->n_out; o++) {
        const int v = c->whole->out[c->out[o]];
        const scale *s = &c->scale[v];
        c->good[o] = longest(c->right[v], c->piece->value[v].dims.d[s->axis], first * s->up / s->down);
    }
}

/* --- Rows of tiles ------------------------------------------------------------------------------ */

/* Cells of the picture that a tile in the middle cannot give for want of what is around it; -1: it gives none. */
static int64_t find_loss(cut *c, int64_t size)
{
    int64_t most = 0;
    mark(c, c->step);
    for (int o = 0; o < c->n_out; o++) {
        const scale *s = &c->scale[c->whole->out[c->out[o]]];
        const int64_t n = c->good[o].hi - c->good[o].lo;
        if (n <= 0)
            return -1;
        const int64_t loss = size - n * s->down / s->up;
        most = loss > most ? loss : most;
    }
    return most;
}

static dcv_status add_row(const cut *c, int64_t first, int64_t *covered, dcv_mosaic *m)
{
    const int axis = c->axis, n = m->n[axis];
    dcv_tile_row *more = dcv_realloc(m->tile[axis], (size_t)n, (size_t)n + 1, sizeof *more);
    if (!more)
        return DCV_ENOMEM;
    m->tile[axis] = more;
    more[n] = (dcv_tile_row){.first = first, .own = dcv_alloc((size_t)c->n_out, sizeof *more[n].own)};
    m->n[axis]++;
    if (!more[n].own)
        return DCV_ENOMEM;
    for (int o = 0; o < c->n_out; o++) {
        more[n].own[o] = (dcv_span){covered[o], c->good[o].hi > covered[o] ? c->good[o].hi : covered[o]};
        covered[o] = more[n].own[o].hi;
    }
    return DCV_OK;
}

/* Where the next tile may start so that what it gives joins what is there: low[o] cells of output o are lost at its
 * start. */
static int64_t next_start(const cut *c, const int64_t *covered, const int64_t *low, int64_t last)
{
    int64_t next = last;
    for (int o = 0; o < c->n_out; o++) {
        const scale *s = &c->scale[c->whole->out[c->out[o]]];
        const int64_t most = (covered[o] - low[o]) * s->down / s->up / c->step * c->step;
        next = most < next ? most : next;
    }
    return next;
}

static dcv_status too_small(const cut *c, int64_t size, int64_t loss)
{
    if (loss < 0)
        return dcv_fail(DCV_ECONFIG,
                        "tiles of %lld px give nothing: \"%s\" sees more around each place; larger ones are needed",
                        (long long)size, c->whole->value[c->whole->out[c->out[0]]].name);
    return dcv_fail(DCV_ECONFIG,
                    "tiles of %lld px lose %lld px to what a place sees around it; at least %lld px are needed",
                    (long long)size, (long long)loss, (long long)(loss + 2 * c->step));
}

/* Tiles of size, a picture of extent cells; both the same in what is left of a step. */
static dcv_status lay_rows(cut *c, int64_t extent, int64_t size, int64_t *covered, int64_t *low, dcv_mosaic *m)
{
    const int64_t last = extent - size;
    int64_t loss = 0;
    if (last > c->step) {
        loss = find_loss(c, size);
        for (int o = 0; o < c->n_out; o++) {
            const scale *s = &c->scale[c->whole->out[c->out[o]]];
            low[o] = c->good[o].lo - c->step * s->up / s->down;
        }
    } else {
        mark(c, last);
        for (int o = 0; o < c->n_out; o++) {
            const scale *s = &c->scale[c->whole->out[c->out[o]]];
            low[o] = c->good[o].lo - last * s->up / s->down;
        }
    }
    if (loss < 0)
        return too_small(c, size, loss);
    for (int64_t first = 0;;) {
        mark(c, first);
        bool joins = true;
        for (int o = 0; o < c->n_out; o++)
            joins = joins && c->good[o].lo <= covered[o] && c->good[o].hi > c->good[o].lo;
        if (!joins)
            return too_small(c, size, loss);
        DCV_TRY(add_row(c, first, covered, m));
        if (first == last)
            break;
        const int64_t next = next_start(c, covered, low, last);
        if (next <= first)
            return too_small(c, size, loss);
        first = next;
    }
    for (int o = 0; o < c->n_out; o++)
        if (covered[o] != c->whole->value[c->whole->out[c->out[o]]].dims.d[2 + c->axis])
            return dcv_fail(DCV_EUNSUPPORTED, "%s: tiles do not reach the end of output \"%s\"; it cannot be cut",
                            c->whole->model->file, c->whole->value[c->whole->out[c->out[o]]].name);
    return DCV_OK;
}

static dcv_status lay_axis(cut *c, const dcv_graph *piece, dcv_mosaic *m)
{
    const int64_t extent = c->whole->value[c->whole->in[0]].dims.d[2 + c->axis],
                  size = piece->value[piece->in[0]].dims.d[2 + c->axis];
    int64_t *covered = dcv_alloc((size_t)c->n_out * 2, sizeof *covered);
    c->piece = piece;
    dcv_status st = covered ? make_rights(c) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = lay_rows(c, extent, size, covered, covered + c->n_out, m);
    for (int o = 0; st == DCV_OK && o < c->n_out; o++) {
        const scale *s = &c->scale[c->whole->out[c->out[o]]];
        m->up[c->axis * c->n_out + o] = s->up;
        m->down[c->axis * c->n_out + o] = s->down;
    }
    dcv_free(covered);
    return st;
}

/* The largest size up to most that has as much left of a step as the picture. */
static int64_t size_for(int64_t extent, int64_t most, int64_t step)
{
    if (extent <= most)
        return extent;
    const int64_t less = ((most - extent) % step + step) % step;
    return most - less;
}

static dcv_status lay(cut c[2], int64_t tile_px, dcv_mosaic *m)
{
    const dcv_graph *whole = c[0].whole;
    dcv_graph *piece = NULL;
    m->dims = whole->value[whole->in[0]].dims;
    for (int axis = 0; axis < 2; axis++) {
        m->step[axis] = c[axis].step;
        m->dims.d[2 + axis] = size_for(m->dims.d[2 + axis], tile_px, c[axis].step);
        if (m->dims.d[2 + axis] < 1)
            return dcv_fail(DCV_ECONFIG, "tiles of %lld px; strides of %lld px in all need larger ones",
                            (long long)tile_px, (long long)c[axis].step);
    }
    dcv_status st = dcv_graph_new(whole->model, &m->dims, 1, &piece);
    if (st == DCV_EDATA) /* the network cannot take so small a picture */
        return dcv_fail_in(DCV_ECONFIG, "tiles of %lld px are too small", (long long)tile_px);
    if (st == DCV_OK)
        st = check_same(whole, piece);
    for (int axis = 0; st == DCV_OK && axis < 2; axis++)
        st = lay_axis(&c[axis], piece, m);
    dcv_graph_free(piece);
    return st;
}

dcv_status dcv_mosaic_new(const dcv_graph *whole, const int *out, int n_out, int64_t tile_px, dcv_mosaic **to)
{
    cut c[2] = {{0}, {0}};
    dcv_mosaic *m = dcv_alloc(1, sizeof *m);
    dcv_status st = m ? DCV_OK : DCV_ENOMEM;
    *to = NULL;
    if (m) {
        m->n_out = n_out;
        m->up = dcv_alloc(2 * (size_t)n_out, sizeof *m->up);
        m->down = dcv_alloc(2 * (size_t)n_out, sizeof *m->down);
        st = m->up && m->down ? DCV_OK : DCV_ENOMEM;
    }
    for (int axis = 0; st == DCV_OK && axis < 2; axis++)
        st = cut_new(whole, out, n_out, axis, &c[axis]);
    if (st == DCV_OK)
        st = lay(c, tile_px, m);
    for (int axis = 0; axis < 2; axis++)
        cut_clear(&c[axis]);
    if (st == DCV_OK)
        *to = m;
    else
        dcv_mosaic_free(m);
    return st;
}

void dcv_mosaic_free(dcv_mosaic *m)
{
    if (!m)
        return;
    for (int axis = 0; axis < 2; axis++) {
        for (int i = 0; i < m->n[axis]; i++)
            dcv_free(m->tile[axis][i].own);
        dcv_free(m->tile[axis]);
    }
    dcv_free(m->up);
    dcv_free(m->down);
    dcv_free(m);
}

int64_t dcv_mosaic_step(const dcv_graph *whole, const int *out, int n_out)
{
    int64_t step[2] = {0, 0};
    for (int axis = 0; axis < 2; axis++) {
        cut c;
        const dcv_status st = cut_new(whole, out, n_out, axis, &c);
        step[axis] = st == DCV_OK ? c.step : 0;
        cut_clear(&c);
        if (st != DCV_OK)
            return 0;
    }
    return step[0] / divisor(step[0], step[1]) * step[1];
}

/* Does a tile of the middle keep three fourths of its side? */
static bool keeps_enough(const dcv_mosaic *m)
{
    for (int axis = 0; axis < 2; axis++) {
        const int64_t size = m->dims.d[2 + axis];
        if (m->n[axis] > 2 && m->tile[axis][2].first - m->tile[axis][1].first < size - size / 4)
            return false;
    }
    return true;
}

int64_t dcv_mosaic_size(const dcv_graph *whole, const int *out, int n_out)
{
    for (int i = 0; i < N_SIZES; i++) {
        dcv_mosaic *m = NULL;
        const dcv_status st = dcv_mosaic_new(whole, out, n_out, sizes[i], &m);
        const bool good = st == DCV_OK && (keeps_enough(m) || i == N_SIZES - 1);
        dcv_mosaic_free(m);
        if (good)
            return sizes[i];
        if (st != DCV_OK && st != DCV_ECONFIG)
            return 0;
    }
    return 0;
}
