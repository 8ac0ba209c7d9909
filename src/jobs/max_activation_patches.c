/* max_activation_patches.c -- phase "patches": what each place sees, cut out of the picture as it entered the network.
 */
#include <string.h>
#include "jobs/max_activation.h"

enum { PICTURES_PER_UNIT = 16 };

int64_t top_patches_units(const top_job *j)
{
    return (j->cut.n_pictures + PICTURES_PER_UNIT - 1) / PICTURES_PER_UNIT;
}

int64_t top_patches_items(const top_job *j, int64_t unit)
{
    const int64_t left = j->cut.n_pictures - unit * PICTURES_PER_UNIT;
    return left < PICTURES_PER_UNIT ? left : PICTURES_PER_UNIT;
}

/* The box of im, in the corner of a patch of the layer's largest box; the rest is 0. */
static void cut(const dcv_image *im, const int32_t *box, int64_t w, uint8_t *to)
{
    const int64_t row = (box[3] - box[1]) * im->c;
    for (int64_t y = box[0]; y < box[2]; y++)
        memcpy(to + (y - box[0]) * w * im->c, im->px + (y * im->w + box[1]) * im->c, (size_t)row);
}

static dcv_status put_patches(const top_job *j, int64_t picture, const dcv_image *im, top_boxes *b, dcv_result *r)
{
    for (int64_t i = j->cut.first[picture]; i < j->cut.first[picture + 1]; i++) {
        const top_winner *w = &j->cut.at[i];
        const top_layer *l = &j->layer[w->layer];
        const int64_t n = l->box_h * l->box_w * im->c;
        int32_t box[4];
        uint8_t *patch = dcv_alloc((size_t)n, 1);
        if (!patch)
            return DCV_ENOMEM;
        dcv_status st = top_boxes_for(j, NULL, w->h, w->w, b);
        if (st == DCV_OK) {
            top_box_at(j, b, w->layer, w->y, w->x, box);
            cut(im, box, l->box_w, patch);
            st = dcv_result_put(r, l->id_patch, w->slot * n, n, patch);
        }
        dcv_free(patch);
        DCV_TRY(st);
    }
    return DCV_OK;
}

/* A picture that was there in the search, and is gone or another now. */
static dcv_status lose(const top_job *j, int64_t image, dcv_result *r)
{
    return j->base.config->dataset.on_error == DCV_FAIL ? DCV_EDATA : top_lose(j, image, dcv_message(), r);
}

static dcv_status read_picture(const top_job *j, const top_winner *w, dcv_item *to)
{
    DCV_TRY(dcv_dataset_read(j->net.dataset, w->image, DCV_READ_PICTURE, to));
    if (to->picture.px && (to->picture.h != w->h || to->picture.w != w->w))
        return dcv_fail(DCV_EDATA, "%s: has changed during the run", dcv_dataset_item_name(j->net.dataset, w->image));
    return DCV_OK;
}

dcv_status top_patches(top_job *j, int64_t unit, dcv_result *r)
{
    top_boxes b = {0};
    dcv_status st = DCV_OK;
    const int64_t from = unit * PICTURES_PER_UNIT, to = from + top_patches_items(j, unit);
    for (int64_t p = from; st == DCV_OK && p < to; p++) {
        dcv_item item = {0};
        const top_winner *w = &j->cut.at[j->cut.first[p]];
        st = read_picture(j, w, &item);
        if (st == DCV_EDATA)
            st = lose(j, w->image, r);
        else if (st == DCV_OK && item.picture.px)
            st = put_patches(j, p, &item.picture, &b, r);
        dcv_item_clear(&item);
    }
    top_boxes_clear(j, &b);
    return st;
}

dcv_status top_patches_fail(top_job *j, int64_t unit, const char *message, dcv_result *r)
{
    const int64_t from = unit * PICTURES_PER_UNIT, to = from + top_patches_items(j, unit);
    for (int64_t p = from; p < to; p++)
        DCV_TRY(top_lose(j, j->cut.at[j->cut.first[p]].image, message, r));
    return DCV_OK;
}
