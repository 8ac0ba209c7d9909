/* image_tiff.h -- a TIFF that lies in memory, open in libtiff. */
#ifndef DCV_IO_IMAGE_TIFF_H
#define DCV_IO_IMAGE_TIFF_H

#include <tiffio.h>
#include "deconvoy/status.h"

/* bytes: borrowed, n of them.  *held: to be freed by dcv_free() after TIFFClose().  DCV_EDATA, DCV_ENOMEM; then both
 * are NULL. */
dcv_status dcv_tiff_open(const void *bytes, size_t n, const char *name, TIFF **out, void **held) DCV_MUST_USE;

/* What libtiff complained about first, "" if nothing. */
const char *dcv_tiff_said(const void *held);

#endif
