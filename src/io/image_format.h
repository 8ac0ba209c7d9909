/* image_format.h -- what one picture format must offer; image.c has the table. */
#ifndef DCV_IO_IMAGE_FORMAT_H
#define DCV_IO_IMAGE_FORMAT_H

#include "deconvoy/image.h"

typedef struct dcv_image_format {
    const char *name;
    bool (*knows)(const uint8_t *b, size_t n); /* by the first bytes */
    /* Read from memory.  pixels false: only h, w and c of the header, px stays NULL.  DCV_EDATA with name in front for
     * a cut, corrupt or oversized picture; px is then freed by the caller.  Thread-safe. */
    dcv_status (*read)(const uint8_t *b, size_t n, const char *name, bool pixels, dcv_image *out);
} dcv_image_format;

extern const dcv_image_format dcv_image_jpeg, dcv_image_png, dcv_image_tiff;

bool dcv_image_knows(const uint8_t *b, size_t n);

/* DCV_EDATA unless 1 .. 2^28 pixels. */
dcv_status dcv_image_check_size(int64_t h, int64_t w, const char *name) DCV_MUST_USE;

/* A PNG of 16 bits with its samples as they are: size and colours in out, new memory in *px.  *px NULL: it is none. */
dcv_status dcv_png_wide(const uint8_t *b, size_t n, const char *name, dcv_image *out, uint16_t **px) DCV_MUST_USE;

/* Pillow's conversion of one CMYK pixel (ink 0 = none). */
static inline uint8_t dcv_ink(uint8_t ink, uint8_t black)
{
    const int paper = 255 - black, t = ink * paper + 128, v = paper - (((t >> 8) + t) >> 8);
    return (uint8_t)(v < 0 ? 0 : v);
}

/* 16 bits to 8: rint(x / 257). */
static inline uint8_t dcv_narrow(uint16_t x)
{
    return (uint8_t)((x + 128u) / 257u);
}

#endif
