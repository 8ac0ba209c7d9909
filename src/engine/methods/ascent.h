/* ascent.h -- what gradient ascent does to a picture between two walks (Yosinski et al. 2015; Mordvintsev et al. 2015).
 *
 * Pictures are row-major [C,H,W], of the extents in a dcv_map.  Sums are in float64, in row-major order, so that a
 * picture's numbers depend on nothing else.  Nothing here allocates.
 */
#ifndef DCV_ENGINE_ASCENT_H
#define DCV_ENGINE_ASCENT_H

#include "deconvoy/graph.h"

/* to[(y + dy) mod H][(x + dx) mod W] = from[y][x], any dy and dx. */
void dcv_roll(const dcv_map *m, const float *from, int64_t dy, int64_t dx, float *to);

/* How far a picture is rolled in a step: each of dy, dx is one of -jitter .. jitter, alike likely, drawn from
 * seed + step. */
void dcv_jitter(int64_t seed, int64_t step, int64_t jitter, int64_t *dy, int64_t *dx);

/* sqrt of the mean square. */
double dcv_rms(const float *x, int64_t n);

/* x += factor d; x *= shrink.  False where something of x is no finite number then. */
bool dcv_ascend(float *x, const float *d, int64_t n, double factor, double shrink);

/* d -= weight times the gradient of x's total variation: the sum over channels and cells of
 * sqrt(dy^2 + dx^2 + 1e-12), forward differences, 0 past the last row and column. */
void dcv_less_variation(const dcv_map *m, const float *x, double weight, float *d);

/* Set to 0 the cells, in all channels, whose norm over channels lies below the percentile (0 .. 100) of all cells'
 * norms, between two of them linearly.  work: [2 H W]. */
void dcv_clip_norm(const dcv_map *m, float *x, double percentile, double *work);

/* Likewise by |sum over channels of x g|, what a cell contributes; g is the score's gradient. */
void dcv_clip_contribution(const dcv_map *m, float *x, const float *g, double percentile, double *work);

/* The percentile of n >= 1 finite numbers, which are put in another order. */
double dcv_percentile(double *v, int64_t n, double percentile);

/* Gaussian of deviation sigma > 0 cells, cut at 4 sigma, beyond the border the mirrored picture (its last cell twice);
 * rows and columns one after the other.  work: dcv_blur_work() floats. */
void dcv_gaussian_blur(const dcv_map *m, float *x, double sigma, float *work);
int64_t dcv_blur_work(const dcv_map *m, double sigma);

/* Bilinear resampling from corner to corner: cell i of n reads place i (N-1)/(n-1) of N.  Channels are equal. */
void dcv_zoom(const dcv_map *from, const float *x, const dcv_map *to, float *y);

/* Extents of octave k of count, of which the last has m's: each is the next one's over scale, rounded, halves to
 * even; at least 1. */
dcv_map dcv_octave(const dcv_map *m, int k, int count, double scale);

#endif
