/* guided_backprop.c -- Springenberg et al., "Striving for Simplicity" (2015): activations let through what is
 * positive, where their own derivative is not zero.
 */
#include "deconvoy/rule.h"
#include "engine/ops/gate.h"

/* The operator's own backward, asked with ones, says where its derivative is zero. */
static void guide(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    const dcv_blob_shape s = dcv_blob_shape_of(io->gy[0].dims, io->gy[0].block);
    float *ones = io->scratch;
    const float *gy = io->gy[0].data;
    float *gx = io->gx[0].data;
    for (int64_t i = 0; i < s.floats; i++)
        ones[i] = 1;
    dcv_blob signal = io->gy[0], slope = io->gx[0];
    signal.data = slope.data = ones;
    dcv_back_io own = *io;
    own.gy = &signal;
    own.gx = &slope;
    nd->op->backward(g, nd, &own);
    for (int64_t i = 0; i < s.floats; i++)
        gx[i] = gy[i] > 0 && ones[i] != 0 ? gy[i] : 0;
}

/* The derivative of x h(x) is zero where the gate h is; of GELU nowhere. */
static void guide_whole(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    const float *gy = io->gy[0].data, *gate = io->x[0].data;
    float *gx = io->gx[0].data;
    for (int64_t i = 0, n = dcv_blob_shape_of(io->gy[0].dims, io->gy[0].block).floats; i < n; i++)
        gx[i] = gy[i] > 0 && (!gate || gate[i] != 0) ? gy[i] : 0;
}

/* The first that names an operator counts. */
#define X(op) {#op, guide},
static const dcv_override overrides[] = {{"Relu", dcv_gate_guide},
                                         {"Clip", dcv_gate_guide},
#include "engine/rules/activations.def"
                                         {DCV_WHOLE, guide_whole},
                                         {NULL, NULL}};
#undef X

extern const dcv_rule dcv_rule_guided_backprop;
const dcv_rule dcv_rule_guided_backprop = {.name = "guided_backprop", .overrides = overrides};
