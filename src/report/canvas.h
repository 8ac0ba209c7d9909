/* canvas.h -- sheets of paper, RGB: plain ground, pictures scaled by whole numbers, a few words. */
#ifndef DCV_REPORT_CANVAS_H
#define DCV_REPORT_CANVAS_H

#include "deconvoy/image.h"

enum { CANVAS_TEXT_H = 7, CANVAS_TEXT_W = 6 }; /* px of a letter at scale 1 */

typedef struct canvas_colour {
    uint8_t r, g, b;
} canvas_colour;
extern const canvas_colour canvas_paper, canvas_ink;

/* An empty sheet, freed with dcv_image_clear().  DCV_ENOMEM. */
dcv_status canvas_new(int64_t h, int64_t w, dcv_image *out) DCV_MUST_USE;

/* Make a rectangle one colour; what falls off the sheet is left out. */
void canvas_fill(dcv_image *to, int64_t y, int64_t x, int64_t h, int64_t w, canvas_colour colour);

/* Scale of a picture: each pixel becomes up x up, or each down x down of them one (their mean).  One of the two is 1.
 */
typedef struct canvas_scale {
    int64_t up, down;
} canvas_scale;
int64_t canvas_scaled(int64_t px, canvas_scale s);

/* Lay h x w pixels of a picture of c = 1 or 3 channels (its rows are row_px pixels apart) at y, x; what falls off the
 * sheet is left out. */
void canvas_picture(dcv_image *to, int64_t y, int64_t x, const uint8_t *px, int c, int64_t h, int64_t w, int64_t row_px,
                    canvas_scale s);

/* A map of c channels, one after the other, as pixels: interleaved RGB where c is 3, else its first channel in grey.
 * Zero is mid-grey, the largest absolute value of what is shown black or white; what is no number is mid-grey. */
void canvas_signed(const float *map, int64_t c, int64_t cells, uint8_t *px);

/* Write a line at y, x; a letter is scale times its size.  Cut at max_w px, with three dots; letters without a
 * shape are shown as a blot. */
void canvas_text(dcv_image *to, int64_t y, int64_t x, int64_t max_w, int scale, const char *text);

#endif
