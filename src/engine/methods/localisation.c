/* localisation.c -- counting. */
#include "engine/methods/localisation.h"

#include <math.h>

const double dcv_box_level[DCV_BOX_LEVELS] = {0.3, 0.5, 0.7};
static const double right = 0.5; /* IoU of a box that counts as found */

void dcv_box_counts_add(dcv_box_counts *to, const dcv_box_counts *from)
{
    to->iou += from->iou;
    for (int i = 0; i < DCV_BOX_LEVELS; i++)
        to->met[i] += from->met[i];
    to->top1 += from->top1;
    to->top5 += from->top5;
}

void dcv_map_counts_add(dcv_map_counts *to, const dcv_map_counts *from)
{
    to->counted += from->counted;
    to->pointing += from->pointing;
}

int dcv_true_boxes_of(dcv_true_box *b, int n, int32_t class_number)
{
    int front = 0;
    for (int i = 0; i < n; i++)
        if (b[i].class_number == class_number) {
            const dcv_true_box found = b[i];
            for (int k = i; k > front; k--)
                b[k] = b[k - 1];
            b[front++] = found;
        }
    return front ? front : n;
}

static int rank_of(int32_t class_number, const int64_t *best, int n_best)
{
    int i = 0;
    while (i < n_best && best[i] != class_number)
        i++;
    return i;
}

double dcv_box_count(dcv_box found, const dcv_true_box *truth, int n, const int64_t *best, int n_best,
                     dcv_box_counts *to)
{
    double most = 0;
    bool top1 = false, top5 = false;
    for (int i = 0; i < n; i++) {
        const double iou = dcv_box_iou(found, &truth[i]);
        const int rank = rank_of(truth[i].class_number, best, n_best);
        most = iou > most ? iou : most;
        top1 = top1 || (iou >= right && rank == 0 && n_best > 0);
        top5 = top5 || (iou >= right && rank < n_best);
    }
    to->iou += llrint(most * 0x1p32);
    for (int i = 0; i < DCV_BOX_LEVELS; i++)
        to->met[i] += most >= dcv_box_level[i];
    to->top1 += top1;
    to->top5 += top5;
    return most;
}

void dcv_map_count(const float *heat, int64_t h, int64_t w, const dcv_true_box *truth, int n, dcv_map_counts *to)
{
    bool inside = false;
    for (int i = 0; i < n && !inside; i++)
        inside = dcv_box_has_maximum(heat, h, w, &truth[i]);
    to->counted++;
    to->pointing += inside;
}
