/* tile.h -- one channel of a layer of max_activation: its strongest places, what they see and what made them fire.
 *
 * A tile is a line of text above panels of up to 3 x 3 places, best first: what each place sees, and, where the result
 * has it, its reconstruction beside that (zero is mid-grey, as in the sheets of `reconstruct`, but of square roots).  A
 * place whose box is clipped lies where it is in its whole box; what is outside of the picture is plain blue.  Small
 * boxes are enlarged, large ones reduced, by whole numbers.
 */
#ifndef DCV_REPORT_TILE_H
#define DCV_REPORT_TILE_H

#include "report/canvas.h"
#include "report/reporter.h"

enum { TILE_LABEL_SCALE = 2 };

typedef struct tile_layer { /* one group of the result, and how its tiles are laid out */
    const char *group;
    char *title;
    int64_t channels, top, shown; /* per channel: places kept, places on a tile */
    int64_t h, w;                 /* of the largest box */
    int patch_c, map_c;           /* channels of patches and of reconstructions; 0: there are none */
    bool bgr;                     /* the network's channels are blue, green, red */
    canvas_scale scale;
    int64_t place_h, place_w, seam;  /* px on the sheet */
    int64_t side_h, side_w;          /* places down and across a panel */
    int64_t panel_w, tile_h, tile_w; /* tile_w: without room for the text */
    uint8_t *patch, *px;             /* of one channel; of one map */
    float *map, *value;
    int32_t *box;
    int64_t *count; /* of its classes */
    int64_t classes, name_bytes;
    char *name; /* one class's */
} tile_layer;

/* Read what there is of a group; l->title is NULL where there is nothing to draw.  DCV_EDATA for shapes that do not fit
 * each other.  Close it in any case. */
dcv_status tile_open(const dcv_report_in *in, const char *group, tile_layer *l) DCV_MUST_USE;
void tile_close(tile_layer *l);

/* Draw a channel's tile at y, x.  head, if not NULL, comes before the text; text_w: room for it. */
dcv_status tile_draw(const dcv_report_in *in, const tile_layer *l, int64_t channel, const char *head, int64_t text_w,
                     dcv_image *sheet, int64_t y, int64_t x) DCV_MUST_USE;

/* The channel with the largest value, the first of equals; -1: none. */
dcv_status tile_strongest(const dcv_report_in *in, const tile_layer *l, int64_t *channel) DCV_MUST_USE;

#endif
