/* regions.c -- rows of a result that are missing, or smaller than their data set's. */
#include "jobs/regions.h"

#include <math.h>
#include <string.h>

#include "deconvoy/memory.h"

dcv_status dcv_put_missing(dcv_result *r, int id, dcv_dtype type, int64_t first, int64_t n)
{
    const bool is_float = type == DCV_F32 || type == DCV_F64,
               is_signed = !is_float && type != DCV_U8 && type != DCV_U32;
    char *none = dcv_alloc((size_t)n, dcv_dtype_bytes(type)); /* zeroed */
    if (!none)
        return DCV_ENOMEM;
    if (is_signed)
        memset(none, 0xff, (size_t)n * dcv_dtype_bytes(type));
    for (int64_t i = 0; is_float && i < n; i++)
        if (type == DCV_F32)
            ((float *)none)[i] = NAN;
        else
            ((double *)none)[i] = NAN;
    const dcv_status st = dcv_result_put(r, id, first, n, none);
    dcv_free(none);
    return st;
}

/* Copy a row-major block of extents own into the corner of one of extents all. */
static void place(const float *from, const dcv_dims *own, float *to, const dcv_dims *all)
{
    const int64_t row = own->d[own->n - 1], rows = dcv_count(own) / row;
    int64_t index[DCV_MAX_RANK] = {0};
    for (int64_t k = 0; k < rows; k++) {
        int64_t at = 0;
        for (int a = 0; a < all->n; a++)
            at = at * all->d[a] + index[a];
        memcpy(to + at, from + k * row, (size_t)row * sizeof *to);
        for (int a = own->n - 2; a >= 0 && ++index[a] == own->d[a]; a--)
            index[a] = 0;
    }
}

dcv_status dcv_put_within(dcv_result *r, int id, int64_t first, const dcv_dims *all, const float *values,
                          const dcv_dims *own)
{
    const int64_t n = dcv_count(all);
    if (dcv_count(own) == n)
        return dcv_result_put(r, id, first, n, values);
    float *row = dcv_alloc((size_t)n, sizeof *row);
    if (!row)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < n; i++)
        row[i] = NAN;
    if (dcv_count(own) > 0)
        place(values, own, row, all);
    const dcv_status st = dcv_result_put(r, id, first, n, row);
    dcv_free(row);
    return st;
}
