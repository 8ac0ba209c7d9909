/* cam.h -- class activation maps: where in a layer a class has its evidence.
 *
 * Zhou et al. 2016 (CAM), Selvaraju et al. 2017 (Grad-CAM), Chattopadhay et al. 2018 (Grad-CAM++, in the form of
 * pytorch-grad-cam), Jiang et al. 2021 (LayerCAM).  Sums are in float64, cells and channels in row-major order.
 */
#ifndef DCV_ENGINE_CAM_H
#define DCV_ENGINE_CAM_H

#include "deconvoy/graph.h"

typedef enum dcv_cam_kind {
    DCV_CAM,         /* sum_k w_k A_k, w_k the sum of g_k: the weight of the dense layer behind a global mean */
    DCV_GRAD_CAM,    /* sum_k w_k A_k, w_k the mean of g_k */
    DCV_GRAD_CAM_PP, /* sum_k w_k A_k, w_k = sum relu(g_k) g_k^2 / (2 g_k^2 + g_k^3 sum(A_k) + 1e-6) */
    DCV_LAYER_CAM    /* sum_k relu(g_k) A_k */
} dcv_cam_kind;

/* Signed map of a layer, before any ReLU.
 *
 * m    the layer's channels and cells
 * a    [C,h,w] its activation A
 * g    [C,h,w] derivative of the class's logit by A
 * sum  [h,w] room
 * to   [h,w] */
void dcv_cam_map(dcv_cam_kind kind, const dcv_map *m, const float *a, const float *g, double *sum, float *to);

/* ReLU of a map, enlarged bilinearly with half-pixel centres (align_corners = false), divided by its maximum; 0 where
 * that is 0.
 *
 * map  [h,w], finite
 * to   [out_h,out_w] */
void dcv_cam_heatmap(const float *map, int64_t h, int64_t w, int64_t out_h, int64_t out_w, float *to);

/* --- cam_layer.c: which layer --------------------------------------------------------- */

/* The input of the last global pooling that every way to the logits goes through; of the last such flatten where there
 * is none; -1 where there is neither, or no classifier. */
int dcv_cam_last(const dcv_graph *g);

/* The layer that class weights belong to, where the network ends in global mean pooling and one dense layer or 1x1
 * convolution, nothing but changes of shape between them, in either order: the input of the first of the two.  -1: it
 * ends otherwise. */
int dcv_cam_weighted(const dcv_graph *g);

#endif
