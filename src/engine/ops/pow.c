/* pow.c -- ONNX Pow (7, 12, 13, 15) and Mod (10, 13), numpy broadcasting.
 *
 * Pow  y = a^b; the exponent may be of another type than the base, which is the result's.
 * Mod  the rest has the sign of the divisor; with fmod = 1 that of the dividend.
 */
#include <math.h>
#include "engine/ops/binary.h"

typedef struct mod_attr {
    int64_t fmod;
} mod_attr;

static const dcv_field mod_fields[] = {
    {"fmod", DCV_FIELD_INT, DCV_AT(mod_attr, fmod), .dflt = "0", .min = 0, .max = 1, .help = "C's fmod"},
    DCV_FIELDS_END};

static dcv_status pow_shape(const dcv_shape_io *io)
{
    dcv_dims_text ta, tb;
    if (!dcv_broadcast(&io->x[0]->dims, &io->x[1]->dims, &io->y[0].dims))
        return dcv_op_fail(io, DCV_EDATA, "%s and %s do not broadcast", dcv_dims_print(&io->x[0]->dims, ta),
                           dcv_dims_print(&io->x[1]->dims, tb));
    io->y[0].type = io->x[0]->type;
    return DCV_OK;
}

/* In the type of the base: whole exponents of floats as floats, and the other way round by way of floats. */
static dcv_status pow_fold(const dcv_fold_io *io)
{
    const dcv_dims d = io->y[0].dims.n ? io->y[0].dims : (dcv_dims){1, {1}};
    const dcv_walker wa = dcv_walker_of(&d, &io->x[0]->dims, 1), wb = dcv_walker_of(&d, &io->x[1]->dims, 1);
    int64_t at[DCV_MAX_RANK] = {0}, n = 0;
    const int last = d.n - 1;
    if (io->x[0]->type == io->x[1]->type)
        return dcv_binary_fold(DCV_POW, io);
    if (!dcv_count(&d))
        return DCV_OK;
    do {
        const int64_t oa = dcv_walker_at(&wa, at), ob = dcv_walker_at(&wb, at);
        for (int64_t i = 0; i < d.d[last]; i++, n++) {
            const int64_t a = oa + i * wa.stride[last], b = ob + i * wb.stride[last];
            if (io->y[0].type == DCV_F32)
                ((float *)io->to[0])[n] =
                    powf(((const float *)io->x[0]->constant)[a], (float)((const int64_t *)io->x[1]->constant)[b]);
            else
                ((int64_t *)io->to[0])[n] = (int64_t)pow((double)((const int64_t *)io->x[0]->constant)[a],
                                                         (double)((const float *)io->x[1]->constant)[b]);
        }
    } while (dcv_next_row(&d, at));
    return DCV_OK;
}

static void pow_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g, (void)nd;
    dcv_binary_run(DCV_POW, &io->x[0], &io->x[1], &io->y[0]);
}

static void pow_backward(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io)
{
    (void)g, (void)nd;
    for (int k = 0; k < 2; k++)
        if (io->gx[k].data)
            dcv_binary_back(k ? DCV_PULL_EXPONENT : DCV_PULL_BASE, &io->gy[0], &io->x[0], &io->x[1], &io->gx[k]);
}

static dcv_binary mod_kind(const dcv_node *nd)
{
    return ((const mod_attr *)nd->attr)->fmod ? DCV_FMOD : DCV_MOD;
}

static dcv_status mod_fold(const dcv_fold_io *io)
{
    return dcv_binary_fold(mod_kind(io->node), io);
}

static void mod_forward(const dcv_graph *g, const dcv_node *nd, const dcv_io *io)
{
    (void)g;
    dcv_binary_run(mod_kind(nd), &io->x[0], &io->x[1], &io->y[0]);
}

#define COMMON .min_in = 2, .max_in = 2, .max_out = 1, .flags = DCV_OP_ELEMENTWISE, .layout = DCV_LAYOUT_SAME

const dcv_op dcv_op_pow = {.name = "Pow",
                           COMMON,
                           .shape = pow_shape,
                           .fold = pow_fold,
                           .forward = pow_forward,
                           .back_reads = DCV_BACK_X,
                           .back_layout = DCV_LAYOUT_SAME,
                           .backward = pow_backward};
const dcv_op dcv_op_mod = {.name = "Mod",
                           COMMON,
                           .attr_size = sizeof(mod_attr),
                           .fields = mod_fields,
                           .shape = dcv_binary_shape,
                           .fold = mod_fold,
                           .forward = mod_forward};
