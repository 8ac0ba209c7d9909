/* fourier.h -- pictures parametrised by a spectrum of decorrelated colours (Olah et al. 2017), and Adam.
 *
 * A picture [C,H,W] is P z, linear in z: C spectra of H x (W/2+1) complex coefficients, each scaled by
 * 1/max(f, 1/max(H,W)) / 4 (f in cycles a pixel), a real Fourier transform (times sqrt(HW), as if unitary), and for
 * three channels the colour matrix of natural pictures.
 */
#ifndef DCV_ENGINE_FOURIER_H
#define DCV_ENGINE_FOURIER_H

#include "deconvoy/graph.h"

typedef struct dcv_fourier dcv_fourier; /* plans and scratch for one size; one thread's */

/* bgr: the channels are blue, green, red.  DCV_ENOMEM. */
dcv_status dcv_fourier_new(const dcv_map *m, bool bgr, dcv_fourier **out) DCV_MUST_USE;
void dcv_fourier_free(dcv_fourier *f); /* NULL is allowed */

/* Numbers in z: real and imaginary part of [C][H][W/2+1] coefficients. */
int64_t dcv_fourier_size(const dcv_map *m);

/* Bytes of a dcv_fourier. */
int64_t dcv_fourier_bytes(const dcv_map *m);

void dcv_fourier_picture(dcv_fourier *f, const float *z, float *x);  /* x = P z */
void dcv_fourier_gradient(dcv_fourier *f, const float *g, float *z); /* z = P' g, the adjoint */

/* One step of Adam uphill (Kingma and Ba 2015; 0.9, 0.999, 1e-8).
 *
 * t      number of the step, from 1
 * m, v   [n] moments, 0 before step 1
 * g      [n] gradient; becomes what is to be added to the parameters */
void dcv_adam(int64_t n, int64_t t, double rate, float *m, float *v, float *g);

#endif
