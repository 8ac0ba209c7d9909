/* planner.c -- see deblur/slab/planner.h. */
#include "deblur/slab/planner.h"

pthread_mutex_t dcv_fftw_planner = PTHREAD_MUTEX_INITIALIZER;
