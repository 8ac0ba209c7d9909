/* test_boxes.c -- boxes against a search by brute force, metrics against counts by hand. */
#include "check.h"
#include "deconvoy/memory.h"
#include "engine/methods/localisation.h"

/* --- Components by brute force: numbers spread to neighbours until nothing changes ------- */

static dcv_box by_brute_force(const float *heat, int h, int w, double threshold)
{
    int number[400], size[400] = {0};
    bool any = false;
    for (int i = 0; i < h * w; i++) {
        number[i] = (double)heat[i] >= threshold ? i : -1;
        any = any || heat[i] > 0;
    }
    for (bool change = true; change;) {
        change = false;
        for (int i = 0; i < h * w; i++)
            for (int j = 0; j < h * w; j++) {
                const bool near = abs(i / w - j / w) <= 1 && abs(i % w - j % w) <= 1;
                if (near && number[i] >= 0 && number[j] > number[i]) {
                    number[j] = number[i];
                    change = true;
                }
            }
    }
    int best = -1;
    for (int i = 0; i < h * w; i++)
        if (number[i] >= 0)
            size[number[i]]++;
    for (int i = 0; any && i < h * w; i++)
        if (size[i] && (best < 0 || size[i] > size[best]))
            best = i;
    dcv_box b = {h, w, 0, 0};
    for (int i = 0; i < h * w; i++)
        if (best >= 0 && number[i] == best) {
            b.y0 = i / w < b.y0 ? i / w : b.y0;
            b.x0 = i % w < b.x0 ? i % w : b.x0;
            b.y1 = i / w + 1 > b.y1 ? i / w + 1 : b.y1;
            b.x1 = i % w + 1 > b.x1 ? i % w + 1 : b.x1;
        }
    return best < 0 ? (dcv_box){0, 0, 0, 0} : b;
}

static bool same(dcv_box a, dcv_box b)
{
    return a.y0 == b.y0 && a.x0 == b.x0 && a.y1 == b.y1 && a.x1 == b.x1;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void random_maps(void)
{
    uint32_t state = 1123;
    int32_t room[400];
    float heat[400];
    for (int k = 0; k < 600; k++) {
        const int h = 1 + (int)(next_random(&state) % 16), w = 1 + (int)(next_random(&state) % 16);
        const uint32_t levels = 2 + next_random(&state) % 9; /* few, so that components tie */
        for (int i = 0; i < h * w; i++)
            heat[i] = (float)(next_random(&state) % levels) / (float)(levels - 1);
        for (int t = 0; t <= 4; t++)
            CHECK(same(dcv_box_of(heat, h, w, t / 4.0, room), by_brute_force(heat, h, w, t / 4.0)));
    }
}

static void by_hand(void)
{
    int32_t room[25];
    const float corners[] = {1, 0, 0, 0, 1, /* a diagonal holds together; two components of three tie */
                             0, 1, 0, 1, 0, /**/
                             1, 0, 0, 0, 1};
    CHECK(same(dcv_box_of(corners, 3, 5, 0.5, room), (dcv_box){0, 0, 3, 2}));
    const float apart[] = {0.9f, 0, 0.5f, 0.5f, 0, 0};
    CHECK(same(dcv_box_of(apart, 1, 6, 0.5, room), (dcv_box){0, 2, 1, 4}));
    CHECK(same(dcv_box_of(apart, 1, 6, 0.6, room), (dcv_box){0, 0, 1, 1}));
    CHECK(same(dcv_box_of(apart, 1, 6, 0, room), (dcv_box){0, 0, 1, 6}));
    CHECK(same(dcv_box_of(apart, 1, 6, 1, room), (dcv_box){0, 0, 0, 0}));
    const float none[4] = {0};
    CHECK(same(dcv_box_of(none, 2, 2, 0, room), (dcv_box){0, 0, 0, 0}));
}

/* --- Overlap ------------------------------------------------------------------------------ */

static void overlaps(void)
{
    const dcv_true_box truth = {2, 2, 6, 10, 3};
    CHECK_NEAR(dcv_box_iou((dcv_box){2, 2, 6, 10}, &truth), 1, 0);
    CHECK_NEAR(dcv_box_iou((dcv_box){2, 2, 6, 6}, &truth), 0.5, 0);
    CHECK_NEAR(dcv_box_iou((dcv_box){0, 0, 4, 4}, &truth), 4.0 / (16 + 32 - 4), 1e-15);
    CHECK_NEAR(dcv_box_iou((dcv_box){6, 2, 8, 10}, &truth), 0, 0); /* they touch */
    CHECK_NEAR(dcv_box_iou((dcv_box){0, 0, 0, 0}, &truth), 0, 0);
    const dcv_true_box half = {0.5, 0, 2.5, 2, 0};
    CHECK_NEAR(dcv_box_iou((dcv_box){1, 0, 2, 2}, &half), 0.5, 1e-15);
}

static void maxima(void)
{
    const float heat[] = {0, 0.5f, 1, 0, 0, 1}, flat[6] = {0};
    const dcv_true_box in = {0, 2, 1, 3, 0}, out = {0, 0, 1, 2, 0}, second = {0, 5, 1, 6, 0}, half = {0, 2.6, 1, 4, 0};
    CHECK(dcv_box_has_maximum(heat, 1, 6, &in) && !dcv_box_has_maximum(heat, 1, 6, &out));
    CHECK(!dcv_box_has_maximum(heat, 1, 6, &second)); /* the first counts */
    CHECK(!dcv_box_has_maximum(heat, 1, 6, &half));   /* its centre is at 2.5 */
    CHECK(!dcv_box_has_maximum(flat, 1, 6, &in));
}

/* --- Counts ------------------------------------------------------------------------------- */

static void counts(void)
{
    /* Two true boxes, classes 3 and 8; best classes 8, 1, 3. */
    const int64_t best[] = {8, 1, 3}, other[] = {1, 2, 4};
    dcv_true_box truth[] = {{0, 0, 10, 10, 3}, {0, 20, 10, 30, 8}};
    dcv_box_counts c = {0};
    CHECK_NEAR(dcv_box_count((dcv_box){0, 0, 10, 10}, truth, 2, best, 3, &c), 1, 0); /* meets 3: third best */
    CHECK(c.met[0] == 1 && c.met[1] == 1 && c.met[2] == 1 && c.top1 == 0 && c.top5 == 1);
    CHECK_NEAR(dcv_box_count((dcv_box){0, 20, 6, 30}, truth, 2, best, 3, &c), 0.6, 1e-15); /* meets 8: the best */
    CHECK(c.met[0] == 2 && c.met[1] == 2 && c.met[2] == 1 && c.top1 == 1 && c.top5 == 2);
    CHECK_NEAR(dcv_box_count((dcv_box){0, 20, 4, 30}, truth, 2, best, 3, &c), 0.4, 1e-15); /* too little */
    CHECK(c.met[0] == 3 && c.met[1] == 2 && c.met[2] == 1 && c.top1 == 1 && c.top5 == 2);
    CHECK_NEAR(dcv_box_count((dcv_box){0, 20, 10, 30}, truth, 2, other, 3, &c), 1, 0); /* not one of the best */
    CHECK(c.met[1] == 3 && c.top1 == 1 && c.top5 == 2);
    CHECK_NEAR(dcv_box_count((dcv_box){0, 0, 0, 0}, truth, 2, best, 3, &c), 0, 0);
    CHECK_NEAR((double)c.iou * 0x1p-32, 3, 1e-9);
    dcv_box_counts sum = c;
    dcv_box_counts_add(&sum, &c);
    CHECK(sum.iou == 2 * c.iou && sum.met[0] == 8 && sum.met[1] == 6 && sum.met[2] == 4 && sum.top1 == 2 &&
          sum.top5 == 4);
    dcv_map_counts m = {0};
    const float heat[] = {0, 0.5f, 1};
    const dcv_true_box place[] = {{0, 0, 1, 1, 0}, {0, 2, 1, 3, 0}};
    dcv_map_count(heat, 1, 3, place, 2, &m);
    dcv_map_count(heat, 1, 3, place, 1, &m);
    CHECK(m.counted == 2 && m.pointing == 1);
    dcv_map_counts_add(&m, &m);
    CHECK(m.counted == 4 && m.pointing == 2);
}

static void classes(void)
{
    dcv_true_box b[] = {{.y0 = 0, .class_number = 4},
                        {.y0 = 1, .class_number = 7},
                        {.y0 = 2, .class_number = 4},
                        {.y0 = 3, .class_number = 7}};
    CHECK(dcv_true_boxes_of(b, 4, 7) == 2);
    CHECK(b[0].y0 == 1 && b[1].y0 == 3 && b[2].y0 == 0 && b[3].y0 == 2);
    CHECK(dcv_true_boxes_of(b, 4, 9) == 4); /* none: all stand for it */
    CHECK(dcv_true_boxes_of(b, 4, 4) == 2 && b[0].y0 == 0 && b[1].y0 == 2);
}

int main(void)
{
    random_maps();
    by_hand();
    overlaps();
    maxima();
    counts();
    classes();
    return check_end();
}
