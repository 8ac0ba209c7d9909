/* image.h -- pictures: decoding, Pillow's resize, PNG writing.
 *
 * A picture is 8 bits, interleaved [h, w, c] with c = 1 (grey) or 3 (RGB).
 */
#ifndef DECONVOY_IMAGE_H
#define DECONVOY_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include "deconvoy/config.h"

typedef struct dcv_image {
    int64_t h, w;
    int c;
    uint8_t *px; /* owned; dcv_image_clear() */
} dcv_image;

#define DCV_IMAGE_MAX_PX ((int64_t)1 << 28)

/* Height, width and channels (1 or 3, as decoded) of an encoded picture (JPEG, PNG, TIFF) in memory, from its header
 * alone; px stays NULL.  name is for messages.  DCV_EDATA, also for more than 2^28 pixels. */
dcv_status dcv_image_header(const void *bytes, size_t n, const char *name, dcv_image *out) DCV_MUST_USE;

/* Decode.  Palette, 16-bit, CMYK and alpha become 8-bit grey or RGB as the contract says: 16
 * bits 8 by rint(x/257), alpha dropped, CMYK RGB as Pillow's convert("RGB"), first page.  A cut or corrupt file is
 * DCV_EDATA, also where the library would only warn.  Thread-safe. */
dcv_status dcv_image_decode(const void *bytes, size_t n, const char *name, dcv_image *out) DCV_MUST_USE;

/* To 1 or 3 channels: grey by repetition to RGB; RGB to grey by
 * (19595 R + 38470 G + 7471 B + 32768) >> 16.  In place. */
dcv_status dcv_image_channels(dcv_image *im, int c) DCV_MUST_USE;

/* Resize to h x w exactly as Pillow does (two passes, 8-bit between them, antialias). */
dcv_status dcv_image_resize(const dcv_image *in, int64_t h, int64_t w, dcv_interpolation how,
                            dcv_image *out) DCV_MUST_USE;

/* The geometry of preprocess for a picture of ih x iw: size after resize, and the crop's
 * place and size in the resized picture.  DCV_EDATA if the picture is smaller than the crop. */
typedef struct dcv_framing {
    int64_t resized_h, resized_w, y, x, h, w;
} dcv_framing;
dcv_status dcv_framing_of(const dcv_preprocess *p, int64_t ih, int64_t iw, dcv_framing *out) DCV_MUST_USE;

void dcv_image_clear(dcv_image *im);

/* Write an 8-bit PNG (c = 1 or 3).  DCV_EIO. */
dcv_status dcv_png_write(const char *file, const dcv_image *im) DCV_MUST_USE;

#endif
