/* layout.c -- pictures from one channel layout to another. */
#include <string.h>
#include "engine/plan.h"

/* Row-major [c][cells] to blocks of b, lanes past c 0. */
static void to_blocks(int64_t c, int64_t cells, int b, const float *from, float *to)
{
    for (int64_t c0 = 0; c0 < c; c0 += b, to += cells * b) {
        const int64_t lanes = c - c0 < b ? c - c0 : b;
        if (lanes < b)
            memset(to, 0, (size_t)(cells * b) * sizeof *to);
        for (int64_t s0 = 0; s0 < cells; s0 += b) /* square tiles: both sides stay in cache */
            for (int64_t l = 0; l < lanes; l++)
                for (int64_t s = s0; s < cells && s < s0 + b; s++)
                    to[s * b + l] = from[(c0 + l) * cells + s];
    }
}

static void from_blocks(int64_t c, int64_t cells, int b, const float *from, float *to)
{
    for (int64_t c0 = 0; c0 < c; c0 += b, from += cells * b) {
        const int64_t lanes = c - c0 < b ? c - c0 : b;
        for (int64_t s0 = 0; s0 < cells; s0 += b)
            for (int64_t l = 0; l < lanes; l++)
                for (int64_t s = s0; s < cells && s < s0 + b; s++)
                    to[(c0 + l) * cells + s] = from[s * b + l];
    }
}

void dcv_blob_copy(const dcv_blob *from, const dcv_blob *to)
{
    const int a = from->dims->n >= 3 ? from->block : 1, b = to->dims->n >= 3 ? to->block : 1;
    const dcv_blob_shape s = dcv_blob_shape_of(from->dims, a);
    if (a == b) {
        memcpy(to->data, from->data, (size_t)s.floats * sizeof(float));
        return;
    }
    DCV_CHECK(a == 1 || b == 1);
    const int64_t outer = from->dims->d[0], plain = s.c * s.cells,
                  blocked = dcv_blob_shape_of(from->dims, a > b ? a : b).floats / (outer ? outer : 1);
    for (int64_t q = 0; q < outer; q++) {
        if (a == 1)
            to_blocks(s.c, s.cells, b, from->data + q * plain, to->data + q * blocked);
        else
            from_blocks(s.c, s.cells, a, from->data + q * blocked, to->data + q * plain);
    }
}

void dcv_blob_read(const dcv_blob *b, float *to)
{
    const dcv_blob plain = {.data = to, .dims = b->dims, .n = 1, .block = 1};
    dcv_blob_copy(b, &plain);
}
