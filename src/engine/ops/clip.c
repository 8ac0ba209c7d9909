/* clip.c -- ONNX Clip (6: bounds are attributes; 11, 12, 13: inputs).
 *
 * y = min(max(x, lo), hi); NaN stays NaN.
 */
#include <float.h>
#include <math.h>
#include "engine/ops/clip.h"
#include "engine/ops/gate.h"

static const dcv_field fields[] = {
    {"min", DCV_FIELD_REAL, DCV_AT(dcv_clip_attr, min), .dflt = "-3.4028234663852886e+38", .help = "lower bound"},
    {"max", DCV_FIELD_REAL, DCV_AT(dcv_clip_attr, max), .dflt = "3.4028234663852886e+38", .help = "upper bound"},
    DCV_FIELDS_END};

static dcv_status shape(const dcv_shape_io *io)
{
    dcv_clip_attr *a = io->node->attr;
    double lo = a->min, hi = a->max;
    if (dcv_op_has(io, 1))
        DCV_TRY(dcv_op_number(io, 1, "min", &lo));
    if (dcv_op_has(io, 2))
        DCV_TRY(dcv_op_number(io, 2, "max", &hi));
    a->lo = lo <= -FLT_MAX ? -INFINITY : (float)lo;
    a->hi = hi >= FLT_MAX ? INFINITY : (float)hi;
    return dcv_shape_same(io);
}

DCV_CLONES static void clip(const void *attr, int64_t n, const float *x, float *y)
{
    const float lo = ((const dcv_clip_attr *)attr)->lo, hi = ((const dcv_clip_attr *)attr)->hi;
    DCV_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] < lo ? lo : x[i];
        y[i] = v > hi ? hi : v;
    }
}

static void forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    const dcv_clip_attr *a = nd->attr;
    dcv_map_run(nd, io, clip, a->lo <= 0 && a->hi >= 0);
}

static void save(const dcv_graph *g, const dcv_node *nd, const dcv_io *io, void *saved)
{
    (void)g;
    const dcv_clip_attr *a = nd->attr;
    dcv_gate_save(&io->y[0], a->lo, a->hi, saved);
}

const dcv_op dcv_op_clip = {.name = "Clip",
                            .min_in = 1,
                            .max_in = 3,
                            .max_out = 1,
                            .attr_size = sizeof(dcv_clip_attr),
                            .fields = fields,
                            .flags = DCV_OP_IN_PLACE | DCV_OP_ACTIVATION | DCV_OP_ELEMENTWISE,
                            .layout = DCV_LAYOUT_SAME,
                            .shape = shape,
                            .forward = forward,
                            .back_layout = DCV_LAYOUT_SAME,
                            .saved_bytes = dcv_gate_bytes,
                            .save = save,
                            .backward = dcv_gate_backward};
