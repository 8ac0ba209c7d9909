/* localisation.h -- how often boxes meet the truth: counts that can be added in any order.
 *
 * IoU summed; correct localisation (CorLoc) at IoU 0.5; MaxBoxAcc at 0.3, 0.5 and 0.7 (Choe et al. 2020); the pointing
 * game (Zhang et al. 2018); localisation with the right class among the best one or five (Russakovsky et al. 2015).
 */
#ifndef DCV_ENGINE_LOCALISATION_H
#define DCV_ENGINE_LOCALISATION_H

#include "engine/methods/boxes.h"

enum { DCV_BOX_LEVELS = 3, DCV_BEST = 5 };
extern const double dcv_box_level[DCV_BOX_LEVELS]; /* 0.3, 0.5, 0.7 */

/* Of one threshold. */
typedef struct dcv_box_counts {
    int64_t iou; /* sum, each rounded to 2^-32 */
    int64_t met[DCV_BOX_LEVELS], top1, top5;
} dcv_box_counts;

/* Of all thresholds together. */
typedef struct dcv_map_counts {
    int64_t counted, pointing;
} dcv_map_counts;

void dcv_box_counts_add(dcv_box_counts *to, const dcv_box_counts *from);
void dcv_map_counts_add(dcv_map_counts *to, const dcv_map_counts *from);

/* Move the boxes of a class to the front, order kept; returns how many.  Where there is none, all stand for it, and n
 * is returned. */
int dcv_true_boxes_of(dcv_true_box *b, int n, int32_t class_number);

/* The best IoU of a box with n true ones (n >= 1), counted.
 *
 * best  [n_best] the network's classes, best first, at most DCV_BEST */
double dcv_box_count(dcv_box found, const dcv_true_box *truth, int n, const int64_t *best, int n_best,
                     dcv_box_counts *to);

/* Count a heat map against n true boxes (n >= 1). */
void dcv_map_count(const float *heat, int64_t h, int64_t w, const dcv_true_box *truth, int n, dcv_map_counts *to);

#endif
