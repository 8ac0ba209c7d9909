/* deconvnet.c -- Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2014): activations
 * rectify the signal itself, whatever came up; contrast normalisation is left out on the way down.
 *
 * Unpooling to the switches is MaxPool's own adjoint, the transposed filter that of Conv.
 */
#include <string.h>
#include "deconvoy/rule.h"

static int64_t floats_of(const dcv_blob *b)
{
    return dcv_blob_shape_of(b->dims, b->block).floats;
}

static void rectify(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    const float *gy = io->gy[0].data;
    float *gx = io->gx[0].data;
    for (int64_t i = 0, n = floats_of(&io->gy[0]); i < n; i++)
        gx[i] = gy[i] > 0 ? gy[i] : 0;
}

static void pass(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    if (io->gx[0].data != io->gy[0].data)
        memcpy(io->gx[0].data, io->gy[0].data, (size_t)floats_of(&io->gy[0]) * sizeof(float));
}

#define X(op) {#op, rectify},
static const dcv_override overrides[] = {
#include "engine/rules/activations.def"
    {DCV_WHOLE, rectify}, {"LRN", pass}, {NULL, NULL}};
#undef X

extern const dcv_rule dcv_rule_deconvnet;
const dcv_rule dcv_rule_deconvnet = {.name = "deconvnet", .overrides = overrides};
