/* test_report.c -- sheets and texts of small results made here, pixel by pixel where it counts. */
#include <fcntl.h>
#include <nettle/base64.h>
#include <png.h>
#include <sys/stat.h>
#include <unistd.h>
#include "check.h"
#include "deconvoy/memory.h"
#include "deconvoy/report.h"
#include "deconvoy/store.h"
#include "report/canvas.h"

static char dir[] = "/tmp/dcv_report_XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[4][300];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

static dcv_store *new_result(const char *job)
{
    dcv_store *s;
    CHECK_OK(dcv_store_new(&s));
    CHECK_OK(dcv_store_text(s, "/", "format", "deconvoy"));
    CHECK_OK(dcv_store_text(s, "/", "job", job));
    return s;
}

static void add(dcv_store *s, const char *path, dcv_dtype type, int64_t text_bytes, dcv_dims d, const void *values)
{
    int id;
    CHECK_OK(dcv_store_dataset(s, path, type, text_bytes, &d, &id));
    if (values)
        CHECK_OK(dcv_store_values(s, id, values, (size_t)dcv_store_region(s, id)->bytes));
}

static void write_result(dcv_store *s, const char *file)
{
    int64_t bytes;
    CHECK_OK(dcv_store_create(s, file, &bytes));
    dcv_store_free(s);
}

/* What dcv_report() prints. */
static char *report(const char *file, const char *folder, dcv_status want)
{
    static char text[4000];
    memset(text, 0, sizeof text);
    FILE *to = fmemopen(text, sizeof text - 1, "w");
    CHECK(dcv_report(file, folder, to) == want);
    fclose(to);
    return text;
}

static uint8_t *read_png(const char *file, int64_t *h, int64_t *w)
{
    png_image im = {.version = PNG_IMAGE_VERSION};
    CHECK(png_image_begin_read_from_file(&im, file));
    CHECK(im.format == PNG_FORMAT_RGB);
    *h = im.height, *w = im.width;
    uint8_t *px = dcv_alloc((size_t)(im.height * im.width), 3);
    CHECK(png_image_finish_read(&im, NULL, px, 0, NULL));
    return px;
}

/* Four channels, five places, colour patches of 10 x 6 px; pixel value = a number that says which. */
enum { C = 70, K = 5, H = 10, W = 6 };
static uint8_t mark(int c, int k, int y, int x, int ch)
{
    return (uint8_t)(c * 3 + k * 17 + y * 5 + x * 7 + ch * 50);
}

static void make_search(const char *file)
{
    static uint8_t patch[C][K][H][W][3];
    static float value[C][K];
    static int32_t box[C][K][4];
    for (int c = 0; c < C; c++)
        for (int k = 0; k < K; k++) {
            value[c][k] = c == 2 ? NAN : (float)(10 - k);
            box[c][k][0] = k == 2 ? 20 : k > 2 ? 7 : 0; /* 1: clipped at the top, 2: at the bottom */
            box[c][k][2] = k == 1 ? 4 : k == 2 ? 24 : box[c][k][0] + H;
            box[c][k][3] = W;
            if (c == 2)
                memset(box[c][k], -1, sizeof box[c][k]);
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++)
                    for (int ch = 0; ch < 3; ch++)
                        patch[c][k][y][x][ch] = mark(c, k, y, x, ch);
        }
    dcv_store *s = new_result("max_activation");
    add(s, "/max_activation/.a.relu/value", DCV_F32, 0, (dcv_dims){2, {C, K}}, value);
    add(s, "/max_activation/.a.relu/box", DCV_I32, 0, (dcv_dims){3, {C, K, 4}}, box);
    add(s, "/max_activation/.a.relu/patch", DCV_U8, 0, (dcv_dims){5, {C, K, H, W, 3}}, patch);
    add(s, "/max_activation/far/value", DCV_F32, 0, (dcv_dims){2, {C, K}}, value);
    CHECK_OK(dcv_store_text(s, "/max_activation/.a.relu", "layer", "/a/relu"));
    write_result(s, file);
}

/* Enlarged 5 times: 50 x 30 px, three across, two down, 2 px apart; below the title and a label. */
static void test_sheet(void)
{
    make_search(in_dir("r.h5"));
    char want[700];
    snprintf(want, sizeof want, "%s\n%s\n%s\n", in_dir("r_report/_a.relu-01.png"), in_dir("r_report/_a.relu-02.png"),
             in_dir("r_report/index.html"));
    CHECK(strcmp(report(in_dir("r.h5"), NULL, DCV_OK), want) == 0);
    int64_t h, w;
    uint8_t *px = read_png(in_dir("r_report/_a.relu-01.png"), &h, &w);
    const int64_t top = 2 * 16 + 7 * 3, step_w = 11 * 6 * 2 + 16, step_h = 18 + 102 + 16;
    CHECK(w == 16 + 8 * step_w && h == top + 8 * step_h);
    static const uint8_t ground[3] = {150, 180, 220};
    int wrong = 0;
    for (int c = 0; c < 64; c++)
        for (int k = 0; k < K; k++)
            for (int y = 0; y < H * 5; y++)
                for (int x = 0; x < W * 5; x++) {
                    const int64_t py = top + c / 8 * step_h + 18 + k / 3 * 52 + y,
                                  at_x = 16 + c % 8 * step_w + k % 3 * 32 + x;
                    const bool is_there = c != 2 && (k != 1 || y >= 30) && (k != 2 || y < 20);
                    const int row = k == 1 ? y / 5 - 6 : y / 5;
                    for (int ch = 0; ch < 3; ch++)
                        wrong += px[(py * w + at_x) * 3 + ch] != (is_there ? mark(c, k, row, x / 5, ch) : ground[ch]);
                }
    CHECK(wrong == 0);
    CHECK(px[0] == 255);
    dcv_free(px);
    px = read_png(in_dir("r_report/_a.relu-02.png"), &h, &w);
    CHECK(w == 16 + 6 * step_w && h == top + step_h);
    dcv_free(px);
    CHECK(strstr(report(in_dir("r.h5"), in_dir("x/y"), DCV_OK), "/x/y/_a.relu-01.png\n"));
    CHECK(report(in_dir("r.h5"), in_dir("r.h5"), DCV_EIO)[0] == 0);
}

/* One channel, one place, 4 x 4 px enlarged 12 times, its reconstruction beside it; a second layer, so that there is an
 * overview, with the class of most places. */
static void test_back(void)
{
    const float value[2] = {3, 1}, map[2][16] = {{0, 4, -1, 0}};
    const int32_t box[2][4] = {{0, 0, 4, 4}, {0, 0, 4, 4}};
    const uint8_t patch[2][16] = {{200, 10}};
    const int64_t count[2] = {0, 1};
    dcv_store *s = new_result("max_activation");
    for (int i = 0; i < 2; i++) {
        char path[64];
        const char *const group = i ? "/max_activation/b" : "/max_activation/a";
        snprintf(path, sizeof path, "%s/value", group);
        add(s, path, DCV_F32, 0, (dcv_dims){2, {1, 1}}, &value[i]);
        snprintf(path, sizeof path, "%s/box", group);
        add(s, path, DCV_I32, 0, (dcv_dims){3, {1, 1, 4}}, box[i]);
        snprintf(path, sizeof path, "%s/reconstruction", group);
        add(s, path, DCV_F32, 0, (dcv_dims){5, {1, 1, 1, 4, 4}}, map[i]);
        snprintf(path, sizeof path, "%s/class_count", group);
        add(s, path, DCV_I64, 0, (dcv_dims){2, {1, 2}}, count);
    }
    add(s, "/max_activation/a/patch", DCV_U8, 0, (dcv_dims){5, {1, 1, 4, 4, 1}}, patch[0]);
    add(s, "/labels/name", DCV_U8, 4, (dcv_dims){1, {2}}, "no\0\0yes");
    write_result(s, in_dir("m.h5"));
    char want[1000];
    snprintf(want, sizeof want, "%s\n%s\n%s\n%s\n", in_dir("m_report/a.png"), in_dir("m_report/b.png"),
             in_dir("m_report/overview.png"), in_dir("m_report/index.html"));
    CHECK(strcmp(report(in_dir("m.h5"), NULL, DCV_OK), want) == 0);
    int64_t h, w;
    uint8_t *px = read_png(in_dir("m_report/a.png"), &h, &w);
    const int64_t top = 2 * 16 + 7 * 3 + 18, right = 16 + 48 + 4 * 3;
    CHECK(w == 16 + 11 * 6 * 2 + 16 && h == top + 48 + 16);
    const struct {
        int64_t y, x;
        int grey;
    } spots[] = {{0, 16, 200}, {11, 27, 200}, {0, 28, 10}, {0, right, 128}, {0, right + 12, 255}, {11, right + 24, 64}};
    for (size_t i = 0; i < sizeof spots / sizeof *spots; i++)
        for (int ch = 0; ch < 3; ch++)
            CHECK(px[((top + spots[i].y) * w + spots[i].x) * 3 + ch] == spots[i].grey);
    dcv_free(px);
    px = read_png(in_dir("m_report/b.png"), &h, &w); /* no patch: the reconstruction alone */
    CHECK(w == 16 + 11 * 6 * 2 + 16 && px[((top + 5) * w + 20) * 3] == 128);
    dcv_free(px);
    px = read_png(in_dir("m_report/overview.png"), &h, &w);
    CHECK(w == 16 + 2 * (28 * 6 * 2 + 16) && px[(top * w + right + 12) * 3] == 255);
    dcv_free(px);
}

static int at(const dcv_image *im, int y, int x, int channel)
{
    return im->px[(y * im->w + x) * 3 + channel];
}

static void test_canvas(void)
{
    dcv_image im;
    CHECK_OK(canvas_new(20, 30, &im));
    const uint8_t px[3][4] = {{10, 20, 30, 99}, {30, 40, 50, 99}, {70, 80, 90, 99}}, rgb[3] = {1, 2, 3};
    canvas_picture(&im, 2, 3, px[0], 1, 3, 3, 4, (canvas_scale){1, 2});
    CHECK(at(&im, 2, 3, 0) == 25 && at(&im, 2, 4, 1) == 40 && at(&im, 3, 3, 2) == 75 && at(&im, 3, 4, 0) == 90);
    CHECK(at(&im, 2, 5, 0) == 255 && at(&im, 4, 3, 0) == 255);
    canvas_picture(&im, 18, 28, px[0], 1, 3, 3, 4, (canvas_scale){2, 1});
    CHECK(at(&im, 19, 29, 0) == 10);
    canvas_picture(&im, 0, 0, rgb, 3, 1, 1, 1, (canvas_scale){2, 1});
    CHECK(at(&im, 1, 1, 0) == 1 && at(&im, 1, 1, 1) == 2 && at(&im, 1, 1, 2) == 3 && at(&im, 1, 2, 0) == 255);
    canvas_text(&im, 15, 0, 18, 1,
                "1\xff"
                "11"); /* falls off below; where the fourth does not fit, dots stand for the third */
    CHECK(at(&im, 15, 2, 0) == 40 && at(&im, 16, 6, 0) == 40 && at(&im, 15, 14, 0) == 255);
    dcv_image_clear(&im);
}

static void test_answers(void)
{
    const int32_t label[3] = {7, 4, -1}, class_[3][2] = {{7, 1}, {2, 4}, {-1, -1}};
    const float p[3][2] = {{0.75f, 0.125f}, {0.5f, 0.25f}, {NAN, NAN}};
    const uint8_t status[3] = {1, 1, 2};
    dcv_store *s = new_result("infer");
    add(s, "/inputs/name", DCV_U8, 5, (dcv_dims){1, {3}},
        "a.png"
        "b\n\0\0\0"
        "c\0\0\0\0");
    add(s, "/inputs/label", DCV_I32, 0, (dcv_dims){1, {3}}, label);
    add(s, "/inputs/status", DCV_U8, 0, (dcv_dims){1, {3}}, status);
    add(s, "/infer/top_class", DCV_I32, 0, (dcv_dims){2, {3, 2}}, class_);
    add(s, "/infer/top_probability", DCV_F32, 0, (dcv_dims){2, {3, 2}}, p);
    write_result(s, in_dir("i.h5"));
    CHECK(strstr(report(in_dir("i.h5"), NULL, DCV_OK), "/i_report/summary.txt\n"));
    char text[1000] = "";
    FILE *f = fopen(in_dir("i_report/summary.txt"), "r");
    CHECK(f && fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    CHECK(strcmp(text,
                 "item\tlabel\tbest classes (probability)\n"
                 "a.png\t7\t7 (0.7500)\t1 (0.1250)\n"
                 "b?\t4\t2 (0.5000)\t4 (0.2500)\n"
                 "c\t-\tfailed\n"
                 "\n2 items have a label: it is the best class of 1 (50.00 %), among the best 2 of 2 (100.00 %)\n") ==
          0);
}

static bool is_colour(const uint8_t *px, int r, int g, int b)
{
    if (px[0] == r && px[1] == g && px[2] == b)
        return true;
    fprintf(stderr, "%d %d %d, want %d %d %d\n", px[0], px[1], px[2], r, g, b);
    return false;
}

/* A picture of 0..1 and one that failed; 2 x 2 px, enlarged 42 times; a class map with what lies outside. */
static void test_output_pictures(void)
{
    const float y[2][4] = {{0, 1.25f, 0.5f, -0.1f}, {NAN, NAN, NAN, NAN}}, wide[2][4] = {{-5, 5, 0, 0}, {0}};
    const uint8_t status[2] = {1, 2};
    const int16_t classes[2][4] = {{0, 1, 2, -1}, {-1, -1, -1, -1}};
    int64_t h, w;
    dcv_store *s = new_result("infer");
    add(s, "/inputs/status", DCV_U8, 0, (dcv_dims){1, {2}}, status);
    add(s, "/infer/y", DCV_F32, 0, (dcv_dims){4, {2, 1, 2, 2}}, y);
    CHECK_OK(dcv_store_int(s, "/infer/y", "picture", 1));
    add(s, "/infer/wide", DCV_F32, 0, (dcv_dims){4, {2, 1, 2, 2}}, wide);
    CHECK_OK(dcv_store_int(s, "/infer/wide", "picture", 1));
    add(s, "/infer/left", DCV_F32, 0, (dcv_dims){4, {2, 1, 2, 2}}, wide); /* picture: false */
    add(s, "/infer/class_map", DCV_I16, 0, (dcv_dims){3, {2, 2, 2}}, classes);
    write_result(s, in_dir("o.h5"));
    const char *said = report(in_dir("o.h5"), NULL, DCV_OK);
    CHECK(strstr(said, "/y.png\n") && strstr(said, "/wide.png\n") && strstr(said, "/class_map.png\n"));
    CHECK(!strstr(said, "left") && !strstr(said, "_000000"));
    enum { Y = 19 + 9, X = 6, CELL = 42 };
    uint8_t *px = read_png(in_dir("o_report/y.png"), &h, &w);
    CHECK(px && w == 6 + 2 * (84 + 6) && h == 19 + 84 + 9 + 6);
    CHECK(px && is_colour(px + 3 * (Y * w + X), 0, 0, 0) && is_colour(px + 3 * (Y * w + X + CELL), 255, 255, 255));
    CHECK(px && is_colour(px + 3 * ((Y + CELL) * w + X), 128, 128, 128));
    CHECK(px && is_colour(px + 3 * (Y * w + X + 90), 255, 255, 255)); /* failed: nothing is drawn */
    dcv_free(px);
    px = read_png(in_dir("o_report/wide.png"), &h, &w);
    CHECK(px && is_colour(px + 3 * (Y * w + X), 0, 0, 0) && is_colour(px + 3 * ((Y + CELL) * w + X), 128, 128, 128));
    dcv_free(px);
    px = read_png(in_dir("o_report/class_map.png"), &h, &w);
    CHECK(px && is_colour(px + 3 * (Y * w + X), 0, 0, 0) && is_colour(px + 3 * (Y * w + X + CELL), 128, 0, 0));
    CHECK(px && is_colour(px + 3 * ((Y + CELL) * w + X), 0, 128, 0));
    CHECK(px && is_colour(px + 3 * ((Y + CELL) * w + X + CELL), 255, 255, 255));
    dcv_free(px);
}

/* One item of 8 x 8 px, enlarged 28 times, and two targets of which one is not there. */
static void test_heat_maps(void)
{
    const int32_t target[2] = {3, -1}, box[2][4] = {{1, 1, 3, 4}, {-1, -1, -1, -1}};
    const float truth[2][4] = {{0, 0, 8, 7.5f}, {NAN, NAN, NAN, NAN}};
    float heat[2][8][8] = {{{0}}}, map[2][1][8][8] = {{{{0}}}};
    uint8_t picture[8][8];
    memset(picture, 100, sizeof picture);
    heat[0][5][6] = 1;
    map[0][0][5][6] = -2;
    map[0][0][6][6] = 1;
    dcv_store *s = new_result("cam");
    add(s, "/inputs/name", DCV_U8, 5, (dcv_dims){1, {1}}, "a.png");
    add(s, "/cam/target", DCV_I32, 0, (dcv_dims){2, {1, 2}}, target);
    add(s, "/report/picture", DCV_U8, 0, (dcv_dims){4, {1, 8, 8, 1}}, picture);
    add(s, "/report/true_box", DCV_F32, 0, (dcv_dims){3, {1, 2, 4}}, truth);
    add(s, "/cam/grad_cam/map", DCV_F32, 0, (dcv_dims){4, {1, 2, 1, 1}}, NULL);
    add(s, "/cam/grad_cam/heatmap", DCV_F32, 0, (dcv_dims){4, {1, 2, 8, 8}}, heat);
    add(s, "/cam/grad_cam/box", DCV_I32, 0, (dcv_dims){4, {1, 2, 1, 4}}, box);
    add(s, "/cam/guided_grad_cam/map", DCV_F32, 0, (dcv_dims){5, {1, 2, 1, 8, 8}}, map);
    write_result(s, in_dir("c.h5"));
    const char *said = report(in_dir("c.h5"), NULL, DCV_OK);
    CHECK(strstr(said, "/c_report/grad_cam.png\n") && strstr(said, "/c_report/guided_grad_cam.png\n"));
    int64_t h, w;
    uint8_t *px = read_png(in_dir("c_report/grad_cam.png"), &h, &w);
    const int64_t y = 32, x = 6, step = 230;
    CHECK(w == 6 + 3 * step && h == 22 + 240);
#define PX(row, column) (px + ((row)*w + (column)) * 3)
    CHECK(is_colour(PX(y + 50, x + 50), 100, 100, 100));                                     /* the picture */
    CHECK(is_colour(PX(y + 50, x), 0, 200, 0) && is_colour(PX(y + 50, x + 209), 0, 200, 0)); /* truth ends at 210 */
    CHECK(is_colour(PX(y + 50, x + 210), 100, 100, 100));
    CHECK(is_colour(PX(y + 5 * 28 + 9, x + step + 6 * 28 + 9), 216, 216, 25)); /* where most heat is */
    CHECK(is_colour(PX(y + 28, x + step + 40), 40, 200, 255));                 /* the box */
    CHECK(is_colour(PX(y + 40, x + step + 4 * 28 - 1), 40, 200, 255));
    CHECK(is_colour(PX(y + 40, x + step + 4 * 28), 100, 100, 100));
    CHECK(is_colour(PX(y + 50, x + 2 * step + 50), 255, 255, 255)); /* no such target */
    dcv_free(px);
    px = read_png(in_dir("c_report/guided_grad_cam.png"), &h, &w);
    CHECK(is_colour(PX(y + 5 * 28 + 9, x + step + 6 * 28 + 9), 0, 0, 0));
    CHECK(is_colour(PX(y + 6 * 28 + 9, x + step + 6 * 28 + 9), 191, 191, 191));
    CHECK(is_colour(PX(y + 50, x + step + 50), 128, 128, 128));
#undef PX
    dcv_free(px);
    static const struct {
        const char *path;
        dcv_dims d;
    } wrong[] = {{"/cam/grad_cam/heatmap", {4, {1, 3, 8, 8}}},
                 {"/cam/grad_cam/box", {4, {1, 2, 1, 5}}},
                 {"/report/true_box", {3, {1, 1000000, 5}}},
                 {"/report/picture", {3, {1, 8, 8}}},
                 {"/inputs/extent", {2, {1, 3}}}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        s = new_result("cam");
        add(s, "/inputs/name", DCV_U8, 5, (dcv_dims){1, {1}}, "a.png");
        add(s, "/cam/target", DCV_I32, 0, (dcv_dims){2, {1, 2}}, target);
        add(s, "/cam/grad_cam/map", DCV_F32, 0, (dcv_dims){4, {1, 2, 1, 1}}, NULL);
        add(s, wrong[i].path, DCV_F32, 0, wrong[i].d, NULL);
        write_result(s, in_dir("w.h5"));
        CHECK(report(in_dir("w.h5"), NULL, DCV_EDATA)[0] == 0);
    }
}

/* A picture of 8 x 8 px, enlarged 21 times, beside its map; the second target is none. */
static void test_reconstructions(void)
{
    const int32_t target[2] = {1, -1};
    const float value[2] = {2.5f, NAN};
    float map[2][1][8][8] = {{{{0}}}};
    uint8_t picture[8][8];
    memset(picture, 100, sizeof picture);
    map[0][0][5][6] = -2;
    map[0][0][6][6] = 1;
    for (int with = 0; with < 2; with++) {
        dcv_store *s = new_result("reconstruct");
        CHECK_OK(dcv_store_text(s, "/reconstruct", "at", "logits"));
        add(s, "/inputs/name", DCV_U8, 5, (dcv_dims){1, {1}}, "a.png");
        add(s, "/reconstruct/target", DCV_I32, 0, (dcv_dims){2, {1, 2}}, target);
        add(s, "/reconstruct/value", DCV_F32, 0, (dcv_dims){2, {1, 2}}, value);
        add(s, "/reconstruct/gradient/map", DCV_F32, 0, (dcv_dims){5, {1, 2, 1, 8, 8}}, map);
        if (with)
            add(s, "/report/picture", DCV_U8, 0, (dcv_dims){4, {1, 8, 8, 1}}, picture);
        write_result(s, in_dir("k.h5"));
        CHECK(strstr(report(in_dir("k.h5"), NULL, DCV_OK), "/k_report/gradient.png\n"));
        int64_t h, w;
        uint8_t *px = read_png(in_dir("k_report/gradient.png"), &h, &w);
        const int64_t y = 18 + (with ? 10 : 20), x = 4 + (with ? 172 : 0);
        CHECK(h == y + 168 + 4 && w == x + 2 * 172);
#define PX(row, column) (px + ((row)*w + (column)) * 3)
        CHECK(!with || is_colour(PX(y + 50, 4 + 50), 100, 100, 100));
        CHECK(is_colour(PX(y + 5 * 21 + 9, x + 6 * 21 + 9), 0, 0, 0));
        CHECK(is_colour(PX(y + 6 * 21 + 9, x + 6 * 21 + 9), 191, 191, 191));
        CHECK(is_colour(PX(y + 50, x + 50), 128, 128, 128));
        CHECK(is_colour(PX(y + 50, x + 172 + 50), 255, 255, 255)); /* no such target */
#undef PX
        dcv_free(px);
    }
    dcv_store *s = new_result("reconstruct");
    add(s, "/reconstruct/target", DCV_I32, 0, (dcv_dims){2, {1, 3}}, NULL);
    add(s, "/reconstruct/value", DCV_F32, 0, (dcv_dims){2, {1, 2}}, value);
    add(s, "/reconstruct/gradient/map", DCV_F32, 0, (dcv_dims){5, {1, 2, 1, 8, 8}}, map);
    write_result(s, in_dir("w.h5"));
    CHECK(report(in_dir("w.h5"), NULL, DCV_EDATA)[0] == 0);
}

/* 2 x 2 windows of a picture of 8 x 8 px, enlarged 28 times: picture, target, classes, a layer. */
static void test_windows(void)
{
    const int32_t target = 1, top[4] = {1, 1, 1, 0};
    const float sensitivity[4] = {0.5f, 0, 0, -0.25f}, activity[4] = {10, 12, 11, NAN};
    uint8_t picture[8][8];
    memset(picture, 100, sizeof picture);
    dcv_store *s = new_result("occlusion");
    add(s, "/inputs/name", DCV_U8, 5, (dcv_dims){1, {1}}, "a.png");
    add(s, "/occlusion/target", DCV_I32, 0, (dcv_dims){2, {1, 1}}, &target);
    add(s, "/occlusion/sensitivity", DCV_F32, 0, (dcv_dims){4, {1, 1, 2, 2}}, sensitivity);
    add(s, "/occlusion/top_class", DCV_I32, 0, (dcv_dims){3, {1, 2, 2}}, top);
    add(s, "/occlusion/activity/relu", DCV_F32, 0, (dcv_dims){3, {1, 2, 2}}, activity);
    add(s, "/report/picture", DCV_U8, 0, (dcv_dims){4, {1, 8, 8, 1}}, picture);
    write_result(s, in_dir("o.h5"));
    CHECK(strstr(report(in_dir("o.h5"), NULL, DCV_OK), "/o_report/occlusion.png\n"));
    int64_t h, w;
    uint8_t *px = read_png(in_dir("o_report/occlusion.png"), &h, &w);
    const int64_t y = 32, x = 6, step = 230;
    CHECK(w == 6 + 4 * step && h == 22 + 224 + 6 + 4 * 10);
#define PX(row, column) (px + ((row)*w + (column)) * 3)
    CHECK(is_colour(PX(y + 50, x + 50), 100, 100, 100));
    CHECK(is_colour(PX(y + 50, x + step + 50), 216, 25, 25));               /* covering it lowers the score */
    CHECK(is_colour(PX(y + 50, x + step + 150), 100, 100, 100));            /* changes nothing */
    CHECK(PX(y + 150, x + step + 150)[2] > PX(y + 150, x + step + 150)[0]); /* raises it */
    const uint8_t *other = PX(y + 150, x + 2 * step + 150);
    CHECK(is_colour(PX(y + 50, x + 2 * step + 50), 128, 128, 128) && other[0] != 128);
    CHECK(is_colour(PX(y + 224 + 4, x + 2 * step + 3), 128, 128, 128)); /* the class that wins most, then the other */
    CHECK(is_colour(PX(y + 224 + 14, x + 2 * step + 3), other[0], other[1], other[2]));
    CHECK(is_colour(PX(y + 224 + 24, x + 2 * step + 3), 255, 255, 255));
    CHECK(is_colour(PX(y + 50, x + 3 * step + 50), 0, 0, 0) &&
          is_colour(PX(y + 50, x + 3 * step + 150), 255, 255, 255));
    CHECK(PX(y + 150, x + 3 * step + 50)[0] == 127 || PX(y + 150, x + 3 * step + 50)[0] == 128);
    CHECK(is_colour(PX(y + 150, x + 3 * step + 150), 0, 0, 0)); /* no number */
#undef PX
    dcv_free(px);
}

/* Two pictures of 10 x 12 px, two targets each; the second picture has failed.  Enlarged 7 times. */
static void test_climbs(void)
{
    enum { N = 2, T = 2, H2 = 10, W2 = 12, S = 3 };
    static uint8_t picture[N][T][H2][W2][1];
    const int32_t target[N][T] = {{3, 17}, {-1, -1}};
    const float score[N][T][S] = {{{1, 2, 3}, {5, 5, 5}}, {{NAN, NAN, NAN}, {NAN, 1, 2}}};
    for (int t = 0; t < T; t++)
        for (int y = 0; y < H2; y++)
            for (int x = 0; x < W2; x++)
                picture[0][t][y][x][0] = (uint8_t)(t * 120 + y * 10 + x);
    dcv_store *s = new_result("gradient_ascent");
    add(s, "/gradient_ascent/target", DCV_I32, 0, (dcv_dims){2, {N, T}}, target);
    add(s, "/gradient_ascent/picture", DCV_U8, 0, (dcv_dims){5, {N, T, H2, W2, 1}}, picture);
    add(s, "/gradient_ascent/objective", DCV_F32, 0, (dcv_dims){3, {N, T, S}}, score);
    write_result(s, in_dir("g.h5"));
    CHECK(strstr(report(in_dir("g.h5"), NULL, DCV_OK), "/g_report/climbs.png\n"));
    int64_t h, w;
    uint8_t *px = read_png(in_dir("g_report/climbs.png"), &h, &w);
    CHECK(w == 4 + 2 * (84 + 8) && h == 4 + 2 * (70 + 51));
    int wrong = 0;
    for (int t = 0; t < T; t++)
        for (int y = 0; y < 7 * H2; y++)
            for (int x = 0; x < 7 * W2; x++)
                wrong += px[((4 + y) * w + 4 + t * 92 + x) * 3] != picture[0][t][y / 7][x / 7][0];
    CHECK(wrong == 0);
    const int64_t curve = 4 + 70 + 8 + 7;
    CHECK(px[((curve + 27) * w + 4) * 3] < 100 && px[(curve * w + 4) * 3] > 200);           /* begins below */
    CHECK(px[(curve * w + 4 + 83) * 3] < 100 && px[((curve + 27) * w + 4 + 83) * 3] > 200); /* and ends above */
    dcv_free(px);
    s = new_result("gradient_ascent");
    add(s, "/gradient_ascent/target", DCV_I32, 0, (dcv_dims){1, {3}}, NULL);
    add(s, "/gradient_ascent/picture", DCV_U8, 0, (dcv_dims){4, {2, 4, 4, 1}}, NULL);
    add(s, "/gradient_ascent/objective", DCV_F32, 0, (dcv_dims){2, {3, 5}}, NULL);
    write_result(s, in_dir("g2.h5"));
    CHECK(report(in_dir("g2.h5"), NULL, DCV_EDATA)[0] == 0);
    CHECK(strstr(dcv_message(), "do not go together"));
}

static char *read_whole(const char *file, size_t *bytes)
{
    FILE *from = fopen(file, "rb");
    CHECK(from);
    CHECK(fseek(from, 0, SEEK_END) == 0);
    *bytes = (size_t)ftell(from);
    rewind(from);
    char *text = dcv_alloc(*bytes + 1, 1);
    CHECK(fread(text, 1, *bytes, from) == *bytes);
    fclose(from);
    return text;
}

/* The page holds the very bytes of each picture, and nothing of a file is taken for markup or fetched from elsewhere.
 */
static void test_page(void)
{
    static uint8_t decoded[1 << 20];
    size_t page_bytes, picture_bytes, n = sizeof decoded;
    char *page = read_whole(in_dir("r_report/index.html"), &page_bytes);
    char *picture = read_whole(in_dir("r_report/_a.relu-01.png"), &picture_bytes);
    const char *coded = strstr(page, "src=\"data:image/png;base64,");
    CHECK(coded && strstr(page, "<h1>r.h5</h1>") && strstr(page, "max_activation/.a.relu/value"));
    coded += strlen("src=\"data:image/png;base64,");
    struct base64_decode_ctx ctx;
    base64_decode_init(&ctx);
    CHECK(picture_bytes < sizeof decoded);
    CHECK(base64_decode_update(&ctx, &n, decoded, (size_t)(strchr(coded, '"') - coded), coded));
    CHECK(base64_decode_final(&ctx) && n == picture_bytes && memcmp(decoded, picture, n) == 0);
    dcv_free(picture);
    dcv_free(page);

    static const uint8_t status[2] = {1, 2};
    static const int64_t count = 1, item[2] = {1, -1};
    dcv_store *s = new_result("unheard_of"); /* no pictures: the page alone */
    CHECK_OK(dcv_store_text(s, "/", "config_yaml", "job: <script>\001&\"x\"\n"));
    add(s, "/inputs/status", DCV_U8, 0, (dcv_dims){1, {2}}, status);
    add(s, "/failures/count", DCV_I64, 0, (dcv_dims){0}, &count);
    add(s, "/failures/item", DCV_I64, 0, (dcv_dims){1, {2}}, item);
    add(s, "/failures/message", DCV_U8, 8, (dcv_dims){1, {2}}, "a<b\0\0\0\0\0\0\0\0\0\0\0\0\0");
    write_result(s, in_dir("u.h5"));
    char want[300];
    snprintf(want, sizeof want, "%s\n", in_dir("u_report/index.html"));
    CHECK(strcmp(report(in_dir("u.h5"), NULL, DCV_OK), want) == 0);
    page = read_whole(in_dir("u_report/index.html"), &page_bytes);
    CHECK(strstr(page, "job: &lt;script&gt;?&amp;&quot;x&quot;") && !strstr(page, "<script") && !strstr(page, "http"));
    CHECK(strstr(page, "2, of which 1 failed") && strstr(page, "<p><b>1</b> a&lt;b</p>"));
    dcv_free(page);
}

static void test_no_result(void)
{
    CHECK(report(in_dir("none.h5"), NULL, DCV_ENOINPUT)[0] == 0);
    CHECK(report(DCV_SOURCE_DIR "/LICENSE", in_dir("z"), DCV_EDATA)[0] == 0);
    make_search(in_dir("r.h5.part"));
    CHECK(report(in_dir("r.h5.part"), NULL, DCV_ESTOP)[0] == 0);
    dcv_store *s = new_result("max_activation"); /* shapes that do not fit each other */
    add(s, "/max_activation/l/value", DCV_F32, 0, (dcv_dims){2, {3, 2}}, NULL);
    add(s, "/max_activation/l/box", DCV_I32, 0, (dcv_dims){3, {3, 1, 4}}, NULL);
    add(s, "/max_activation/l/patch", DCV_U8, 0, (dcv_dims){5, {3, 2, 4, 4, 3}}, NULL);
    write_result(s, in_dir("w.h5"));
    CHECK(report(in_dir("w.h5"), NULL, DCV_EDATA)[0] == 0);
    CHECK(strstr(dcv_message(), "do not fit"));
    s = new_result("infer");
    add(s, "/infer/top_class", DCV_I32, 0, (dcv_dims){2, {3, 2}}, NULL);
    write_result(s, in_dir("v.h5"));
    CHECK(report(in_dir("v.h5"), NULL, DCV_EDATA)[0] == 0);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    test_canvas();
    test_sheet();
    test_back();
    test_answers();
    test_output_pictures();
    test_climbs();
    test_heat_maps();
    test_reconstructions();
    test_windows();
    test_page();
    test_no_result();
    CHECK(dcv_alloc_balance() == 0);
    char cmd[64];
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    CHECK(system(cmd) == 0);
    return check_end();
}
