/* table.c -- the operators we have, from ops.def. */
#include <string.h>
#include "deconvoy/op.h"

#define X(symbol) extern const dcv_op dcv_op_##symbol;
#include "engine/ops/ops.def"
#undef X

static const dcv_op *const table[] = {
#define X(symbol) &dcv_op_##symbol,
#include "engine/ops/ops.def"
#undef X
};

const dcv_op *dcv_op_at(int i)
{
    return i >= 0 && i < (int)(sizeof table / sizeof *table) ? table[i] : NULL;
}

const dcv_op *dcv_op_find(const char *name)
{
    const dcv_op *op;
    for (int i = 0; (op = dcv_op_at(i)); i++)
        if (!strcmp(op->name, name))
            return op;
    return NULL;
}
