/* shown.c -- see shown.h. */
#include <string.h>
#include "deconvoy/memory.h"
#include "jobs/regions.h"
#include "jobs/shown.h"

void dcv_shown_plan(dcv_shown *s, const dcv_dataset *d, const dcv_graph *g)
{
    enum { MOST = 32, MOST_BYTES = 1 << 24 };
    const dcv_dims *in = &g->value[g->in[0]].dims;
    *s = (dcv_shown){.id = -1};
    if (in->n != 4 || in->d[1] != d->c || (d->c != 1 && d->c != 3) || dcv_count(in) < 1)
        return;
    *s = (dcv_shown){.h = in->d[2], .w = in->d[3], .c = d->c, .id = -1};
    const int64_t fit = MOST_BYTES / (s->h * s->w * s->c);
    s->n = d->n < MOST ? d->n : MOST;
    s->n = s->n < fit ? s->n : fit;
}

dcv_status dcv_shown_declare(dcv_shown *s, dcv_store *to)
{
    static const char *const axes[] = {"input", "y", "x", "channel"};
    if (!s->n)
        return DCV_OK;
    DCV_TRY(dcv_store_dataset(to, "/report/picture", DCV_U8, 0, &(dcv_dims){4, {s->n, s->h, s->w, s->c}}, &s->id));
    for (int axis = 0; axis < 4; axis++)
        DCV_TRY(dcv_store_axis(to, s->id, axis, -1, axes[axis]));
    return dcv_store_image(to, s->id, (int)s->c);
}

dcv_status dcv_shown_put(const dcv_shown *s, const dcv_dataset *d, int64_t item, dcv_result *r)
{
    dcv_item it = {0};
    const int64_t row = s->w * s->c, bytes = s->h * row;
    if (item >= s->n)
        return DCV_OK;
    uint8_t *px = dcv_alloc((size_t)bytes, 1);
    if (!px)
        return DCV_ENOMEM;
    if (dcv_dataset_read(d, item, DCV_READ_PICTURE, &it) == DCV_OK && it.picture.px && it.picture.h <= s->h &&
        it.picture.w <= s->w && it.picture.c == s->c)
        for (int64_t y = 0; y < it.picture.h; y++)
            memcpy(px + y * row, it.picture.px + y * it.picture.w * s->c, (size_t)(it.picture.w * s->c));
    const dcv_status st = dcv_result_put(r, s->id, item * bytes, bytes, px);
    dcv_item_clear(&it);
    dcv_free(px);
    return st;
}

dcv_status dcv_shown_put_failed(const dcv_shown *s, int64_t item, dcv_result *r)
{
    const int64_t bytes = s->h * s->w * s->c;
    return item < s->n ? dcv_put_missing(r, s->id, DCV_U8, item * bytes, bytes) : DCV_OK;
}
