/* boxes.h -- a box around what a heat map shows, and how well it meets the truth.
 *
 * Pixels are those of the network's input; ends are exclusive.
 */
#ifndef DCV_ENGINE_BOXES_H
#define DCV_ENGINE_BOXES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct dcv_box {
    int32_t y0, x0, y1, x1;
} dcv_box;

/* A true box; between pixels where the picture was resized. */
typedef struct dcv_true_box {
    double y0, x0, y1, x1;
    int32_t class_number;
} dcv_true_box;

/* The box of the largest 8-connected component of the pixels that are >= threshold, of equal ones the one that comes
 * first in row-major order; 0,0,0,0 where there is none or the heat map is 0 everywhere.
 *
 * heat  [h,w], h * w < 2^31
 * room  [h,w], what is in it does not matter */
dcv_box dcv_box_of(const float *heat, int64_t h, int64_t w, double threshold, int32_t *room);

/* Intersection over union; 0 where either has no area. */
double dcv_box_iou(dcv_box a, const dcv_true_box *b);

/* Does the heat map have its maximum, the first in row-major order, inside?  A pixel is where its centre is. */
bool dcv_box_has_maximum(const float *heat, int64_t h, int64_t w, const dcv_true_box *b);

#endif
