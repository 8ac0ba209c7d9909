/* test_slab.c in float64. */
#define DCV_DEBLUR_F64
#include "deblur/test_slab.c"
