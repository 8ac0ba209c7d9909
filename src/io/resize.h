/* resize.h -- the part of a resized picture that a crop keeps. */
#ifndef DCV_IO_RESIZE_H
#define DCV_IO_RESIZE_H

#include "deconvoy/image.h"

/* Rows y .. y+h-1 and columns x .. x+w-1 of the picture resized to resized_h x resized_w.  Every output pixel
 * depends on its own window only, so the bytes are those of resizing the whole and cropping. */
dcv_status dcv_image_frame(const dcv_image *in, const dcv_framing *f, dcv_interpolation how,
                           dcv_image *out) DCV_MUST_USE;

#endif
