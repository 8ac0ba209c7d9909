/* back_box.h -- walks back from one place that stay inside what the place can reach.
 *
 * The cells that a place of a map can reach are a box in every value below: as wide for each place, and moved by a
 * fixed step from one place to the next, where nothing but windows and cell-wise operators lie between.  So one plan
 * serves all places of a value.  Boxes that stick out of their maps are walked whole, and kept 0 beyond the border.
 *
 * Which values are walked by boxes is a rule on multiply-adds (back_box.c), a function of graph and options alone.
 */
#ifndef DCV_ENGINE_BACK_BOX_H
#define DCV_ENGINE_BACK_BOX_H

#include "deconvoy/rule.h"
#include "engine/plan.h"

/* Plan boxes for the values that signals may be walked back from; adds to packed_bytes.  After the walk back is
 * planned. */
dcv_status dcv_back_boxes_plan(dcv_engine *e) DCV_MUST_USE;
dcv_status dcv_back_boxes_pack(const dcv_engine *e, char *to) DCV_MUST_USE;
void dcv_back_boxes_attach(dcv_engine *e, const void *packed);
void dcv_back_boxes_free(dcv_engine *e);

/* Multiply-adds of one place walked back from a value to the input, the way it is done; *boxed (may be NULL): by boxes.
 */
int64_t dcv_back_macs(const dcv_engine *e, int from, bool *boxed);

/* Rows and columns of the input that a place can reach; false where it is not walked by boxes. */
bool dcv_box_extent(const dcv_engine *e, int from, int64_t *h, int64_t *w);

/* Memory of dcv_box_walk_new(); 0 where there is no box. */
size_t dcv_box_walk_bytes(const dcv_engine *e, int from);

/* One thread's walks back from places of one value of w's engine. */
typedef struct dcv_box_walk dcv_box_walk;

/* *out is NULL, too, where whole maps are cheaper. */
dcv_status dcv_box_walk_new(const dcv_engine *e, int from, dcv_box_walk **out) DCV_MUST_USE;
void dcv_box_walk_free(dcv_box_walk *b);
void dcv_box_walk_poison(dcv_box_walk *b); /* NaN wherever nothing may be read before it is written */

/* A place of a picture of w's last walk forward, and what is planted there. */
typedef struct dcv_box_place {
    int picture;
    int64_t channel, y, x;
    float weight;
} dcv_box_place;

/* Rows and columns of the input that a place can reach; they may lie outside. */
void dcv_box_walk_reach(const dcv_box_walk *b, int64_t y, int64_t x, dcv_span *rows, dcv_span *cols);

/* Walk n places (1 .. DCV_GROUP) back to the input.
 *
 * out   [n][C, rows, cols] of dcv_box_walk_reach(), 0 outside of the input
 *
 * As dcv_walk_backward() gives there, up to the rounding of floats. */
void dcv_box_walk_back(dcv_box_walk *b, const dcv_walk *w, const dcv_rule *rule, const dcv_box_place *place, int n,
                       float *const *out);

#endif
