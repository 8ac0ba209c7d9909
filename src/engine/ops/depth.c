/* depth.c -- ONNX DepthToSpace (1, 11, 13: mode DCR or CRD) and SpaceToDepth (1, 13; mode in newer ones): blocks of b x
 * b cells become b b channels and back.
 *
 * DepthToSpace: y[n, c, h b + i, w b + j] = x[n, (i b + j) C + c, h, w] (DCR) or x[n, (c b + i) b + j, h, w] (CRD), C
 * the channels of y.  SpaceToDepth is the inverse.  Each is a permutation, so the adjoint is its inverse.
 */
#include "engine/ops/util.h"

typedef struct depth_attr {
    int64_t blocksize;
    int mode;
} depth_attr;

enum { DCR, CRD };

static const dcv_field fields[] = {
    {"blocksize", DCV_FIELD_INT, DCV_AT(depth_attr, blocksize), .required = true, .min = 1, .max = 65536, .unit = "px",
     .help = "side of a block"},
    {"mode", DCV_FIELD_WORD, DCV_AT(depth_attr, mode), .dflt = "DCR", .words = "DCR|CRD", .help = "order of channels"},
    DCV_FIELDS_END};

static dcv_status check_rank(const dcv_shape_io *io)
{
    dcv_dims_text t;
    if (io->x[0]->dims.n != 4)
        return dcv_op_fail(io, DCV_EDATA, "input %s; expected N, C, H and W", dcv_dims_print(&io->x[0]->dims, t));
    return DCV_OK;
}

static dcv_status depth_shape(const dcv_shape_io *io)
{
    const int64_t b = ((const depth_attr *)io->node->attr)->blocksize;
    const dcv_dims *x = &io->x[0]->dims;
    dcv_dims_text t;
    DCV_TRY(check_rank(io));
    if (x->d[1] % (b * b))
        return dcv_op_fail(io, DCV_EDATA, "input %s; expected channels in multiples of %lld, blocksize squared",
                           dcv_dims_print(x, t), (long long)(b * b));
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = (dcv_dims){4, {x->d[0], x->d[1] / (b * b), x->d[2] * b, x->d[3] * b}};
    return DCV_OK;
}

static dcv_status space_shape(const dcv_shape_io *io)
{
    const int64_t b = ((const depth_attr *)io->node->attr)->blocksize;
    const dcv_dims *x = &io->x[0]->dims;
    dcv_dims_text t;
    DCV_TRY(check_rank(io));
    if (x->d[2] % b || x->d[3] % b)
        return dcv_op_fail(io, DCV_EDATA, "input %s; expected rows and columns in multiples of %lld",
                           dcv_dims_print(x, t), (long long)b);
    io->y[0].type = io->x[0]->type;
    io->y[0].dims = (dcv_dims){4, {x->d[0], x->d[1] * b * b, x->d[2] / b, x->d[3] / b}};
    return DCV_OK;
}

/* From the deep side to the wide one, axes N, C, H, block row, W, block column. */
static dcv_move spread(const depth_attr *a, const dcv_dims *wide)
{
    const int64_t b = a->blocksize, c = wide->d[1], h = wide->d[2] / b, w = wide->d[3] / b, plane = h * w;
    const int64_t row = a->mode == CRD ? b * plane : b * c * plane, column = a->mode == CRD ? plane : c * plane;
    return (dcv_move){.rank = 6,
                      .extent = {wide->d[0], c, h, b, w, b},
                      .to = {c * plane * b * b, plane * b * b, b * b * w, b * w, b, 1},
                      .from = {c * plane * b * b, a->mode == CRD ? b * b * plane : plane, w, row, 1, column}};
}

static dcv_move turned(dcv_move m)
{
    dcv_move back = m;
    for (int i = 0; i < m.rank; i++) {
        back.to[i] = m.from[i];
        back.from[i] = m.to[i];
    }
    return back;
}

static void to_space(const dcv_node *nd, int part, const dcv_dims *x, const dcv_dims *y, size_t elem, const void *from,
                     void *to)
{
    (void)part, (void)x;
    const dcv_move m = spread(nd->attr, y);
    dcv_move_run(&m, to, from, elem);
}

static void to_depth(const dcv_node *nd, int part, const dcv_dims *x, const dcv_dims *y, size_t elem, const void *from,
                     void *to)
{
    (void)part, (void)y;
    const dcv_move m = turned(spread(nd->attr, x));
    dcv_move_run(&m, to, from, elem);
}

static dcv_status depth_fold(const dcv_fold_io *io)
{
    dcv_move_fold(io, 0, 0, 0, to_space);
    return DCV_OK;
}

static dcv_status space_fold(const dcv_fold_io *io)
{
    dcv_move_fold(io, 0, 0, 0, to_depth);
    return DCV_OK;
}

static int carries(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j)
{
    (void)g, (void)nd, (void)k, (void)j;
    return axis == 1 ? DCV_AXIS_MIXED : axis;
}

static dcv_cells depth_reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)k, (void)j;
    o = axis < 2 ? o : o / ((const depth_attr *)nd->attr)->blocksize;
    return (dcv_cells){o, o + 1, 1};
}

static dcv_cells space_reads(const dcv_graph *g, const dcv_node *nd, int k, int axis, int j, int64_t o)
{
    (void)g, (void)k, (void)j;
    const int64_t b = axis < 2 ? 1 : ((const depth_attr *)nd->attr)->blocksize;
    return (dcv_cells){o * b, o * b + b, 1};
}

/* Whole blocks are read and made, so both work as they stand. */
static bool crop(const dcv_graph *g, dcv_node *nd, float *border)
{
    (void)g, (void)nd;
    *border = 0;
    return true;
}

static int64_t depth_phase(const dcv_graph *g, const dcv_node *nd, int axis)
{
    (void)g, (void)axis;
    return ((const depth_attr *)nd->attr)->blocksize;
}

static void depth_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_move_forward(nd, 0, &io->x[0], &io->y[0], to_space);
}

static void space_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_move_forward(nd, 0, &io->x[0], &io->y[0], to_depth);
}

static void depth_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    to_depth(nd, 0, io->gy[0].dims, io->gx[0].dims, sizeof(float), io->gy[0].data, io->gx[0].data);
}

static void space_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g;
    to_space(nd, 0, io->gy[0].dims, io->gx[0].dims, sizeof(float), io->gy[0].data, io->gx[0].data);
}

#define COMMON                                                                                                         \
    .min_in = 1, .max_in = 1, .max_out = 1, .attr_size = sizeof(depth_attr), .fields = fields,                         \
    .layout = DCV_LAYOUT_PLAIN, .carries = carries

const dcv_op dcv_op_depthtospace = {.name = "DepthToSpace",
                                    COMMON,
                                    .shape = depth_shape,
                                    .fold = depth_fold,
                                    .reads = depth_reads,
                                    .crop = crop,
                                    .phase = depth_phase,
                                    .forward = depth_forward,
                                    .backward = depth_backward};
const dcv_op dcv_op_spacetodepth = {.name = "SpaceToDepth",
                                    COMMON,
                                    .shape = space_shape,
                                    .fold = space_fold,
                                    .reads = space_reads,
                                    .crop = crop,
                                    .forward = space_forward,
                                    .backward = space_backward};
