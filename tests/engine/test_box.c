/* test_box.c -- projections against what really changes: random graphs of convolutions, transposed ones, pools,
 * borders, slices and branches are run by definition (reference.h) on a picture and on the same picture with some cells
 * changed.
 *
 * Weights are positive and the change is much larger than what is there, so that nothing cancels and no maximum hides
 * it: along an axis the hull of what changed must be the span, neither smaller nor larger, where the change fills the
 * other axis; of any window the box must hold what changed, and be no larger but where a path misses it along one axis.
 */
#include "check.h"
#include "deconvoy/memory.h"
#include "engine/box.h"
#include "engine/reference.h"

enum { MOST = 64, GRAPHS = 150, WINDOWS = 5, CHANNELS = 4 };

static uint64_t state;

static int64_t draw(int64_t lo, int64_t hi)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return lo + (int64_t)((state >> 33) % (uint64_t)(hi - lo + 1));
}

/* A model under construction; everything in it is in the arena. */
typedef struct net {
    dcv_arena *arena;
    dcv_model m;
    dcv_model_node node[MOST];
    dcv_const constant[MOST];
    dcv_model_value in, out;
    bool grown; /* has a transposed convolution */
} net;

static const char *name(net *n, char kind, int i)
{
    char text[16];
    snprintf(text, sizeof text, "%c%d", kind, i);
    return dcv_arena_strdup(n->arena, text);
}

static const int64_t *copy(net *n, const int64_t *v, int count)
{
    int64_t *to = dcv_arena_alloc(n->arena, (size_t)count, sizeof *to);
    memcpy(to, v, (size_t)count * sizeof *to);
    return to;
}

static dcv_attr ints(net *n, const char *key, const int64_t *v, int count)
{
    return (dcv_attr){.name = key, .type = DCV_ATTR_INTS, .n = count, .i = copy(n, v, count)};
}

static dcv_attr whole(net *n, const char *key, int64_t v)
{
    return (dcv_attr){.name = key, .type = DCV_ATTR_INT, .n = 1, .i = copy(n, &v, 1)};
}

/* Add a node; in: n_in names.  Returns its output. */
static const char *add(net *n, const char *op, const char *const *in, int n_in, const dcv_attr *attr, int n_attr)
{
    dcv_model_node *nd = &n->node[n->m.n_node];
    const char **ends = dcv_arena_alloc(n->arena, (size_t)n_in + 1, sizeof *ends);
    dcv_attr *own = dcv_arena_alloc(n->arena, (size_t)n_attr + 1, sizeof *own);
    memcpy(ends, in, (size_t)n_in * sizeof *ends);
    if (n_attr)
        memcpy(own, attr, (size_t)n_attr * sizeof *own);
    ends[n_in] = name(n, 'v', n->m.n_node++);
    *nd = (dcv_model_node){.name = "",
                           .op = op,
                           .domain = "",
                           .n_in = n_in,
                           .n_out = 1,
                           .n_attr = n_attr,
                           .in = ends,
                           .out = ends + n_in,
                           .attr = own};
    return ends[n_in];
}

static const char *weights(net *n, int64_t groups, int64_t kh, int64_t kw)
{
    const int64_t taps = CHANNELS / groups * kh * kw;
    float *w = dcv_arena_alloc(n->arena, (size_t)(CHANNELS * taps), sizeof *w);
    for (int64_t i = 0; i < CHANNELS * taps; i++)
        w[i] = (float)draw(50, 150) / (100.0f * (float)taps);
    dcv_const *c = &n->constant[n->m.n_const];
    *c = (dcv_const){.name = name(n, 'c', n->m.n_const),
                     .type = DCV_F32,
                     .dims = {4, {CHANNELS, CHANNELS / groups, kh, kw}},
                     .data = w};
    n->m.n_const++;
    return c->name;
}

static const char *conv(net *n, const char *x, const int64_t k[2], const int64_t s[2], const int64_t d[2],
                        const int64_t p[4])
{
    const int64_t groups = draw(0, 3) ? 1 : CHANNELS;
    const dcv_attr a[] = {ints(n, "strides", s, 2), ints(n, "dilations", d, 2), ints(n, "pads", p, 4),
                          whole(n, "group", groups)};
    return add(n, "Conv", (const char *const[]){x, weights(n, groups, k[0], k[1])}, 2, a, 4);
}

static const char *any_conv(net *n, const char *x)
{
    const int64_t k[2] = {draw(1, 4), draw(1, 4)}, s[2] = {draw(1, 3), draw(1, 2)}, d[2] = {draw(1, 3), draw(1, 2)},
                  p[4] = {draw(0, 3), draw(0, 3), draw(0, 3), draw(0, 3)};
    return conv(n, x, k, s, d, p);
}

/* One a network, which maps would outgrow else. */
static const char *any_transposed(net *n, const char *x)
{
    const int64_t k[2] = {draw(1, 4), draw(1, 4)}, s[2] = {draw(1, 3), draw(1, 2)}, d[2] = {draw(1, 3), draw(1, 2)},
                  p[4] = {draw(0, 3), draw(0, 3), draw(0, 3), draw(0, 3)},
                  more[2] = {draw(0, s[0] - 1), draw(0, s[1] - 1)};
    if (n->grown)
        return any_conv(n, x);
    n->grown = true;
    const dcv_attr a[] = {ints(n, "strides", s, 2), ints(n, "dilations", d, 2), ints(n, "pads", p, 4),
                          ints(n, "output_padding", more, 2)};
    return add(n, "ConvTranspose", (const char *const[]){x, weights(n, 1, k[0], k[1])}, 2, a, 4);
}

static const char *any_pool(net *n, const char *x)
{
    const int64_t k[2] = {draw(2, 3), draw(1, 3)}, s[2] = {draw(1, 3), draw(1, 2)};
    const int64_t p[4] = {draw(0, k[0] - 1), draw(0, k[1] - 1), draw(0, k[0] - 1), draw(0, k[1] - 1)};
    const dcv_attr a[] = {ints(n, "kernel_shape", k, 2), ints(n, "strides", s, 2), ints(n, "pads", p, 4),
                          whole(n, "ceil_mode", draw(0, 1))};
    return add(n, draw(0, 1) ? "MaxPool" : "AveragePool", &x, 1, a, 4);
}

/* Two ways of the same extents, added or laid side by side (and brought back to the channels). */
static const char *branches(net *n, const char *x)
{
    static const int64_t one[2] = {1, 1}, two[2] = {2, 2}, three[2] = {3, 3}, none[4] = {0}, p1[4] = {1, 1, 1, 1},
                         p2[4] = {2, 2, 2, 2};
    const int64_t *s = draw(0, 2) ? one : two;
    const bool wide = draw(0, 1);
    const char *a = conv(n, x, three, s, wide ? two : one, wide ? p2 : p1);
    const char *b = draw(0, 1) ? conv(n, x, one, s, one, none) : conv(n, x, three, s, one, p1);
    if (draw(0, 1))
        return add(n, "Add", (const char *const[]){a, b}, 2, NULL, 0);
    const dcv_attr axis = whole(n, "axis", draw(1, 3));
    const char *c = add(n, "Concat", (const char *const[]){a, b}, 2, &axis, 1);
    if (*axis.i != 1)
        return c;
    const dcv_attr slice[] = {ints(n, "axes", one, 1), ints(n, "starts", two, 1),
                              ints(n, "ends", (const int64_t[]){2 + CHANNELS}, 1)};
    return add(n, "Slice", &c, 1, slice, 3);
}

static const char *any_border(net *n, const char *x)
{
    if (draw(0, 1)) {
        const int64_t p[8] = {0, 0, draw(-1, 3), draw(-1, 2), 0, 0, draw(-1, 2), draw(-1, 3)};
        const dcv_attr a = ints(n, "pads", p, 8);
        return add(n, "Pad", &x, 1, &a, 1);
    }
    const dcv_attr a[] = {ints(n, "axes", (const int64_t[]){2, 3}, 2),
                          ints(n, "starts", (const int64_t[]){draw(0, 3), draw(0, 3)}, 2),
                          ints(n, "ends", (const int64_t[]){1000, -draw(1, 2)}, 2)};
    return add(n, "Slice", &x, 1, a, 3);
}

static const char *squeeze(net *n, const char *x)
{
    const char *mean = add(n, "GlobalAveragePool", &x, 1, NULL, 0);
    return add(n, "Add", (const char *const[]){x, mean}, 2, NULL, 0);
}

/* A random network; NULL where its maps have become too small. */
static dcv_graph *make(net *n)
{
    static const char *(*const kinds[])(net *, const char *) = {any_conv, any_conv,   any_pool,
                                                                branches, any_border, any_transposed};
    *n = (net){.m = {.file = "random.onnx",
                     .opset = 9,
                     .node = n->node,
                     .constant = n->constant,
                     .n_in = 1,
                     .in = &n->in,
                     .n_out = 1,
                     .out = &n->out}};
    CHECK_OK(dcv_arena_new(&n->arena));
    n->in = (dcv_model_value){.name = "x", .elem_type = 1, .rank = 4, .dim = {1, CHANNELS, draw(14, 40), draw(14, 40)}};
    const char *x = "x";
    for (int64_t left = draw(1, 5); left > 0; left--)
        x = kinds[draw(0, 5)](n, x);
    if (!draw(0, 5))
        x = any_conv(n, squeeze(n, x));
    n->out = (dcv_model_value){.name = x, .rank = -1};
    dcv_graph *g = NULL;
    if (dcv_graph_new(&n->m, NULL, 0, &g) != DCV_OK)
        dcv_message_clear();
    return g;
}

/* --- what changes --------------------------------------------------------------------------------------------------
 */

/* Hull of cells that differ in any channel, along both axes. */
static void changed(const dcv_dims *d, const float *a, const float *b, dcv_span to[2])
{
    const int64_t w = d->d[3], cells = d->d[2] * w;
    to[0] = to[1] = (dcv_span){0, 0};
    for (int64_t i = 0; i < d->d[1] * cells; i++)
        if (a[i] != b[i]) {
            const int64_t y = i % cells / w, x = i % w;
            to[0] = dcv_span_hull(to[0], (dcv_span){y, y + 1});
            to[1] = dcv_span_hull(to[1], (dcv_span){x, x + 1});
        }
}

static bool is_empty(dcv_span s)
{
    return s.hi <= s.lo;
}

static dcv_span box_of(const dcv_reach *r, const dcv_graph *g, int v, int axis, const dcv_span *to)
{
    if (dcv_reach_axis(r, v) == DCV_AXIS_MIXED)
        return is_empty(to[v]) ? to[v] : (dcv_span){0, g->value[v].dims.d[2 + axis]};
    CHECK(dcv_reach_axis(r, v) == 2 + axis);
    return to[v];
}

/* Boxes seen, and those larger than what changed. */
static int boxes, larger;

/* How a value's box must compare with what changed along axis a; strip: the change has the whole extent of the other.
 */
static void check_box(int a, int strip, const dcv_span box[2], const dcv_span is[2])
{
    if (is_empty(box[0]) || is_empty(box[1])) {
        CHECK(is_empty(is[0]));
        return;
    }
    CHECK(is_empty(is[a]) || (box[a].lo <= is[a].lo && is[a].hi <= box[a].hi));
    const bool same = box[a].lo == is[a].lo && box[a].hi == is[a].hi;
    if (strip == a)
        CHECK(same);
    boxes++;
    larger += !same;
}

/* Change win and compare all values.  strip: the axis that the window does not fill, -1: neither. */
static void check_window(const dcv_graph *g, dcv_reach *const r[2], const float *clean, float *const *values,
                         const dcv_span win[2], int strip)
{
    const dcv_dims *d = &g->value[g->in[0]].dims;
    const int64_t cells = d->d[2] * d->d[3];
    float *in = dcv_alloc((size_t)(CHANNELS * cells), sizeof *in);
    dcv_span *to[2];
    memcpy(in, clean, (size_t)(CHANNELS * cells) * sizeof *in);
    for (int64_t c = 0; c < CHANNELS; c++)
        for (int64_t i = win[0].lo; i < win[0].hi; i++)
            for (int64_t j = win[1].lo; j < win[1].hi; j++)
                in[c * cells + i * d->d[3] + j] = 1e6f;
    float **now = ref_run(g, 1, (const float *const[]){in});
    for (int a = 0; a < 2; a++) {
        to[a] = dcv_alloc((size_t)g->n_value, sizeof *to[a]);
        dcv_reach_forward(r[a], win[a], to[a]);
    }
    for (int v = 0; v < g->n_value; v++) {
        dcv_span is[2], box[2];
        if (!g->value[v].batched || g->value[v].dims.n != 4)
            continue;
        changed(&g->value[v].dims, values[v], now[v], is);
        for (int a = 0; a < 2; a++)
            box[a] = box_of(r[a], g, v, a, to[a]);
        for (int a = 0; a < 2; a++)
            check_box(a, strip, box, is);
    }
    ref_free(g, now);
    dcv_free(to[0]);
    dcv_free(to[1]);
    dcv_free(in);
}

static dcv_span some_cells(int64_t n)
{
    const int64_t lo = draw(0, n - 1);
    return (dcv_span){lo, lo + draw(1, n - lo < 9 ? n - lo : 9)};
}

static void check_windows(const dcv_graph *g, dcv_reach *const r[2], const float *clean, float *const *values)
{
    const dcv_dims *d = &g->value[g->in[0]].dims;
    for (int w = 0; w < WINDOWS; w++) {
        const dcv_span rows = some_cells(d->d[2]), cols = some_cells(d->d[3]), all[2] = {{0, d->d[2]}, {0, d->d[3]}};
        check_window(g, r, clean, values, (const dcv_span[]){rows, cols}, -1);
        check_window(g, r, clean, values, (const dcv_span[]){rows, all[1]}, 0);
        check_window(g, r, clean, values, (const dcv_span[]){all[0], cols}, 1);
    }
}

/* The way back from one cell ends in its receptive field, and covers what lies between. */
static void check_back(const dcv_graph *g, dcv_reach *const r[2])
{
    dcv_span field[64], *to = dcv_alloc((size_t)g->n_value, sizeof *to);
    for (int a = 0; a < 2; a++)
        for (int v = 0; v < g->n_value; v++) {
            const dcv_value *value = &g->value[v];
            if (!value->batched || v == g->in[0] || value->dims.d[2 + a] > 64)
                continue;
            const int64_t o = draw(0, value->dims.d[2 + a] - 1);
            CHECK_OK(dcv_graph_receptive(g, v, g->in[0], a, field));
            dcv_reach_back(r[a], v, (dcv_span){o, o + 1}, to);
            const dcv_span in = to[g->in[0]];
            CHECK((is_empty(in) && is_empty(field[o])) || (in.lo == field[o].lo && in.hi == field[o].hi));
        }
    dcv_free(to);
}

static int run_graph(void)
{
    net n;
    dcv_reach *r[2];
    dcv_graph *g = make(&n);
    int checked = 0;
    if (g && g->value[g->out[0]].dims.n == 4 && dcv_count(&g->value[g->out[0]].dims)) {
        const int64_t cells = dcv_count(&g->value[g->in[0]].dims);
        float *clean = dcv_alloc((size_t)cells, sizeof *clean);
        for (int64_t i = 0; i < cells; i++)
            clean[i] = (float)draw(1, 1000) * 1e-6f;
        float **values = ref_run(g, 1, (const float *const[]){clean});
        for (int a = 0; a < 2; a++)
            CHECK_OK(dcv_reach_new(g, g->in[0], a, &r[a]));
        check_windows(g, r, clean, values);
        check_back(g, r);
        for (int a = 0; a < 2; a++)
            dcv_reach_free(r[a]);
        ref_free(g, values);
        dcv_free(clean);
        checked = 1;
    }
    dcv_graph_free(g);
    dcv_arena_free(n.arena);
    return checked;
}

int main(void)
{
    int checked = 0;
    for (int i = 0; i < GRAPHS; i++) {
        state = (uint64_t)i * 7919 + 17;
        const int before = check_failures;
        checked += run_graph();
        if (check_failures > before)
            fprintf(stderr, "^ graph %d\n", i);
    }
    CHECK(checked > GRAPHS / 2);
    fprintf(stderr, "%d of %d spans are larger than what changed\n", larger, boxes);
    CHECK(larger * 100 < boxes);
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
