/* test_resize.c -- framing, and that the part a crop needs is the part of the whole. Pillow's pixels: test_image.c. */
#include "check.h"
#include "io/preprocess.h"
#include "io/resize.h"

static dcv_framing frame(dcv_ints resize, dcv_ints crop, dcv_ints at, int64_t h, int64_t w)
{
    const dcv_preprocess p = {.resize = resize, .crop = crop, .crop_at = at};
    dcv_framing f;
    CHECK_OK(dcv_framing_of(&p, h, w, &f));
    return f;
}

static bool is(dcv_framing f, int64_t rh, int64_t rw, int64_t y, int64_t x, int64_t h, int64_t w)
{
    return f.resized_h == rh && f.resized_w == rw && f.y == y && f.x == x && f.h == h && f.w == w;
}

static void framing(void)
{
    int64_t r256[] = {256}, c224[] = {224}, c2[] = {10, 21}, at[] = {3, 4}, both[] = {50, 60};
    const dcv_ints none = {.word = 0}, s256 = {-1, 1, true, r256}, s224 = {-1, 1, true, c224},
                   pair = {-1, 2, false, c2}, place = {-1, 2, false, at}, hw = {-1, 2, false, both};
    CHECK(is(frame(none, none, none, 30, 40), 30, 40, 0, 0, 30, 40));
    CHECK(is(frame(s256, s224, none, 300, 451), 256, 384, 16, 80, 224, 224)); /* 256 * 451 / 300 = 384.85 */
    CHECK(is(frame(s256, none, none, 1000, 333), 768, 256, 0, 0, 768, 256));
    CHECK(is(frame(hw, none, none, 7, 9), 50, 60, 0, 0, 50, 60));
    CHECK(is(frame(none, pair, none, 11, 24), 11, 24, 0, 2, 10, 21)); /* rint(0.5) = 0, rint(1.5) = 2 */
    CHECK(is(frame(none, pair, none, 13, 26), 13, 26, 2, 2, 10, 21)); /* rint(1.5) = 2, rint(2.5) = 2 */
    CHECK(is(frame(none, pair, place, 13, 25), 13, 25, 3, 4, 10, 21));
    const dcv_preprocess small = {.crop = s224}, off = {.crop = pair, .crop_at = place};
    dcv_framing f;
    CHECK_FAILS(dcv_framing_of(&small, 223, 400, &f), DCV_EDATA, "smaller than the crop");
    CHECK_FAILS(dcv_framing_of(&off, 12, 25, &f), DCV_EDATA, "smaller than the crop");
    int64_t large[] = {INT64_MAX / 2};
    const dcv_preprocess huge = {.resize = {-1, 1, true, large}};
    CHECK_FAILS(dcv_framing_of(&huge, 3, 4, &f), DCV_EDATA, "cannot be resized");
    int64_t wide[] = {1 << 15, 1 << 14};
    const dcv_preprocess bomb = {.resize = {-1, 2, false, wide}};
    CHECK_FAILS(dcv_framing_of(&bomb, 3, 4, &f), DCV_EDATA, "2^28");
}

static void part_of_whole(void)
{
    static uint8_t px[53 * 71 * 3];
    for (size_t i = 0; i < sizeof px; i++)
        px[i] = (uint8_t)(i * i >> 3);
    for (int c = 1; c <= 3; c += 2)
        for (int how = 0; how < 3; how++)
            for (int k = 0; k < 4; k++) {
                static const int64_t sizes[][2] = {{20, 31}, {90, 120}, {53, 40}, {80, 71}};
                const dcv_image im = {53, 71, c, px};
                const dcv_framing f = {sizes[k][0], sizes[k][1], 5, 7, 13, 11};
                dcv_image whole, part;
                CHECK_OK(dcv_image_resize(&im, f.resized_h, f.resized_w, (dcv_interpolation)how, &whole));
                CHECK_OK(dcv_image_frame(&im, &f, (dcv_interpolation)how, &part));
                for (int64_t y = 0; y < f.h; y++)
                    CHECK(memcmp(part.px + y * f.w * c, whole.px + ((f.y + y) * whole.w + f.x) * c,
                                 (size_t)(f.w * c)) == 0);
                dcv_image_clear(&whole);
                dcv_image_clear(&part);
            }
}

/* torchvision: ToTensor (v / 255 in float32), Normalize: (t - mean) / std. */
static void tables(void)
{
    double mean[] = {0.485, 0.456, 0.406}, std[] = {0.229, 0.224, 0.225}, caffe[] = {104, 117, 123};
    const dcv_preprocess net = {.scale = 0.00392156862745098, .mean = {-1, 3, false, mean}, .std = {-1, 3, false, std}};
    const dcv_preprocess bgr = {.scale = 1, .mean = {-1, 3, false, caffe}, .channels = DCV_BGR};
    dcv_tables t;
    uint8_t px[2 * 3] = {0, 10, 255, 77, 128, 200};
    const dcv_image im = {1, 2, 3, px}, grey = {1, 2, 1, px + 1};
    float to[6];
    dcv_tables_make(&net, 3, &t);
    dcv_tables_apply(&t, &im, to);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 2; i++)
            CHECK_NEAR(to[2 * k + i], ((float)px[3 * i + k] / 255.0f - (float)mean[k]) / (float)std[k], 1e-6);
    dcv_tables_apply(&t, &grey, to);
    CHECK_NEAR(to[0], ((float)10 / 255.0f - 0.485f) / 0.229f, 1e-6);
    CHECK_NEAR(to[5], (1.0f - 0.406f) / 0.225f, 1e-6);
    dcv_tables_make(&bgr, 3, &t);
    dcv_tables_apply(&t, &im, to);
    CHECK(to[0] == 255 - 104 && to[1] == 200 - 104 && to[2] == 10 - 117 && to[4] == 0 - 123 && to[5] == 77 - 123);
    const char *key;
    CHECK_FAILS(dcv_preprocess_fits(&net, 1, &key), DCV_ECONFIG, "mean has 3 values");
    double zero[] = {1, 0, 1};
    const dcv_preprocess bad = {.scale = 1, .std = {-1, 3, false, zero}};
    CHECK_FAILS(dcv_preprocess_fits(&bad, 3, &key), DCV_ECONFIG, "std[1] is 0");
    CHECK(strcmp(key, "std") == 0);
}

int main(void)
{
    framing();
    part_of_whole();
    tables();
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
