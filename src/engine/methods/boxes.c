/* boxes.c -- connected components of heat maps, and the overlap of boxes. */
#include "engine/methods/boxes.h"

enum { WAITING = -2, OUT = -1, END = 0 }; /* what room says of a pixel; else the next in a list, plus 1 */

static void widen(dcv_box *b, int32_t y, int32_t x)
{
    b->y0 = y < b->y0 ? y : b->y0;
    b->x0 = x < b->x0 ? x : b->x0;
    b->y1 = y + 1 > b->y1 ? y + 1 : b->y1;
    b->x1 = x + 1 > b->x1 ? x + 1 : b->x1;
}

/* Take the component of pixel first out of the waiting ones: a list through room itself.  Returns its pixels. */
static int64_t take(int32_t *room, int32_t h, int32_t w, int32_t first, dcv_box *b)
{
    int64_t pixels = 0;
    int32_t next = first + 1;
    *b = (dcv_box){h, w, 0, 0};
    room[first] = END;
    while (next != END) {
        const int32_t at = next - 1, y = at / w, x = at % w;
        next = room[at];
        room[at] = OUT;
        widen(b, y, x);
        pixels++;
        for (int32_t i = y > 0 ? y - 1 : 0; i <= y + 1 && i < h; i++)
            for (int32_t j = x > 0 ? x - 1 : 0; j <= x + 1 && j < w; j++)
                if (room[i * w + j] == WAITING) {
                    room[i * w + j] = next;
                    next = i * w + j + 1;
                }
    }
    return pixels;
}

dcv_box dcv_box_of(const float *heat, int64_t h, int64_t w, double threshold, int32_t *room)
{
    dcv_box best = {0, 0, 0, 0}, b;
    int64_t most = 0;
    bool any = false;
    for (int64_t i = 0; i < h * w; i++) {
        room[i] = (double)heat[i] >= threshold ? WAITING : OUT;
        any = any || heat[i] > 0;
    }
    for (int64_t i = 0; any && i < h * w; i++)
        if (room[i] == WAITING) {
            const int64_t n = take(room, (int32_t)h, (int32_t)w, (int32_t)i, &b);
            if (n > most) {
                most = n;
                best = b;
            }
        }
    return best;
}

static double overlap(double a0, double a1, double b0, double b1)
{
    const double lo = a0 > b0 ? a0 : b0, hi = a1 < b1 ? a1 : b1;
    return hi > lo ? hi - lo : 0;
}

double dcv_box_iou(dcv_box a, const dcv_true_box *b)
{
    const double common = overlap(a.y0, a.y1, b->y0, b->y1) * overlap(a.x0, a.x1, b->x0, b->x1);
    const double own = (double)(a.y1 - a.y0) * (double)(a.x1 - a.x0), other = (b->y1 - b->y0) * (b->x1 - b->x0);
    return common > 0 ? common / (own + other - common) : 0;
}

bool dcv_box_has_maximum(const float *heat, int64_t h, int64_t w, const dcv_true_box *b)
{
    int64_t at = 0;
    for (int64_t i = 1; i < h * w; i++)
        if (heat[i] > heat[at])
            at = i;
    const double y = (double)(at / w) + 0.5, x = (double)(at % w) + 0.5;
    return heat[at] > 0 && b->y0 <= y && y < b->y1 && b->x0 <= x && x < b->x1;
}
