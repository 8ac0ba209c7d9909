/* planner.h -- FFTW as the slab's files use it. */
#ifndef DCV_DEBLUR_PLANNER_H
#define DCV_DEBLUR_PLANNER_H

#include <pthread.h>

#if defined DCV_DEBLUR_F64
#define FFT(name) fftw_##name
#else
#define FFT(name) fftwf_##name
#endif

extern pthread_mutex_t dcv_fftw_planner; /* FFTW's planner is not safe among threads */

#endif
