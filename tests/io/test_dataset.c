/* test_dataset.c -- every kind of source: manifest, labels, ranges, items that fail, messages.
 *
 * Pictures are written here; decoders and resizing have tests of their own.
 */
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "check.h"
#include "deconvoy/config.h"
#include "deconvoy/dataset.h"
#include "deconvoy/log.h"
#include "deconvoy/store.h"

/* HDF5 1.10.8 loses 264 bytes where a file cannot be created. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static char dir[] = "/tmp/dcv_dataset_XXXXXX";

static const char *at(const char *name)
{
    static char path[8][400];
    static int next;
    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

static void put(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(at(name), "wb");
    CHECK(f && fwrite(bytes, 1, n, f) == n);
    if (f)
        fclose(f);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

/* A grey picture whose pixels are all v, or an RGB one of (v, v + 1, v + 2). */
static void put_picture(const char *name, int64_t h, int64_t w, int c, int v)
{
    static uint8_t px[200 * 200 * 3];
    for (int64_t i = 0; i < h * w * c; i++)
        px[i] = (uint8_t)(v + i % c);
    const dcv_image im = {h, w, c, px};
    CHECK_OK(dcv_png_write(at(name), &im));
}

static const dcv_section section = {
    .job = "infer", .fields = (const dcv_field[]){DCV_FIELDS_END}, .size = 1, .needs_dataset = true};

/* Open with lines of a dataset section. want: NULL for [1,3,H,W] as each picture has it. */
static dcv_config *config;
static int64_t classes; /* of the network */
static const char *array_path;
static dcv_status open_yaml(const char *lines, const dcv_dims *want, const dcv_labels *labels, dcv_dataset **out)
{
    char text[2000];
    const dcv_want w = {.dims = want ? *want : (dcv_dims){4, {1, 3, -1, -1}}, .classes = classes, .path = array_path};
    *out = NULL;
    snprintf(text, sizeof text, "job: infer\noutput: o.h5\ndataset:\n%s\n", lines);
    put_text("job.yaml", text);
    dcv_config_free(config);
    config = NULL;
    DCV_TRY(dcv_config_read(at("job.yaml"), NULL, 0, &section, 1, &config));
    return dcv_dataset_open(config, &w, labels, out);
}

static const dcv_dims grey28 = {4, {1, 1, 28, 28}}, grey_any = {4, {1, 1, -1, -1}};

static bool named(const dcv_dataset *d, int64_t i, const char *name, int label)
{
    if (i < d->n && strcmp(d->entry[i].name, name) == 0 && d->entry[i].label == label)
        return true;
    fprintf(stderr, "item %d is %s, label %d\n", (int)i, i < d->n ? d->entry[i].name : "(none)",
            i < d->n ? (int)d->entry[i].label : 0);
    return false;
}

/* First value of item i's input, times 255; -1 if it fails. */
static double first_value(const dcv_dataset *d, int64_t i)
{
    dcv_item it;
    if (dcv_dataset_read(d, i, DCV_READ_INPUT, &it) != DCV_OK)
        return -1;
    const double v = it.input[0] * 255.0;
    dcv_item_clear(&it);
    return v;
}

/* --- folder --------------------------------------------------------------------------------- */

static void make_folder(void)
{
    mkdir(at("photos"), 0777);
    mkdir(at("photos/b"), 0777);
    mkdir(at("photos/a"), 0777);
    mkdir(at("photos/a/deep"), 0777);
    put_picture("photos/b/2.PNG", 10, 12, 3, 20);
    put_picture("photos/b/1.png", 10, 12, 1, 10);
    put_picture("photos/a/deep/x.png", 14, 9, 3, 30);
    put_picture("photos/a.png", 10, 12, 3, 40);
    put_picture("photos/a/.hidden.png", 10, 12, 3, 40);
    put_text("photos/a/notes.txt", "no picture");
    CHECK(symlink("..", at("photos/a/up")) == 0); /* a loop */
    CHECK(symlink("../../photos", at("photos/b/again")) == 0);
    CHECK(symlink("nowhere", at("photos/b/broken.jpg")) == 0);
}

static void folder(void)
{
    dcv_dataset *d;
    CHECK_OK(open_yaml("  source: photos\n  labels: folder", NULL, NULL, &d));
    CHECK(d->n == 5 && d->classes == 2 && d->c == 3 && !d->fixed && !d->is_float);
    CHECK(named(d, 0, "a.png", -1) && named(d, 1, "a/deep/x.png", 1) && named(d, 2, "b/1.png", 0));
    CHECK(named(d, 3, "b/2.PNG", 0) && named(d, 4, "b/broken.jpg", 0));
    CHECK(strcmp(d->label_name[0], "b") == 0 && strcmp(d->label_name[1], "deep") == 0);
    CHECK(d->max_h == 14 && d->max_w == 12);
    int64_t h, w;
    dcv_dataset_extent(d, 1, &h, &w);
    CHECK(h == 14 && w == 9);
    dcv_item it;
    CHECK_OK(dcv_dataset_read(d, 2, DCV_READ_INPUT | DCV_READ_PICTURE, &it));
    CHECK(it.height == 10 && it.width == 12 && it.dims.n == 4 && it.dims.d[1] == 3 && it.dims.d[3] == 12);
    CHECK(it.picture.c == 3 && it.picture.px[5] == 10); /* grey by repetition */
    CHECK_NEAR(it.input[2 * 120 + 7], 10 / 255.0, 1e-7);
    dcv_item_clear(&it);
    CHECK_FAILS(dcv_dataset_read(d, 4, DCV_READ_INPUT, &it), DCV_EDATA, "b/broken.jpg: No such file");
    CHECK(!strstr(dcv_message(), dir) && !it.input && !it.picture.px);
    CHECK(!dcv_dataset_changed(d, 0) && dcv_dataset_changed(d, 4));
    CHECK(dcv_dataset_item_bytes(d) >= 14 * 12 * 3 * 5);
    put_picture("photos/a.png", 99, 12, 3, 40);
    CHECK(dcv_dataset_changed(d, 0));
    CHECK_FAILS(dcv_dataset_read(d, 0, DCV_READ_INPUT, &it), DCV_EDATA, "a.png: 99 x 12 px; it had");
    put_picture("photos/a.png", 10, 12, 3, 40);
    dcv_dataset_free(d);
}

/* Names of the model's classes win; others count from 0. Numbers do not depend on offset and limit. */
static void folder_labels(void)
{
    char *line[] = {"n01 tench", "n02 DEEP", "B"};
    char *other[] = {"deep, sea", "c"};
    const dcv_labels model = {3, line}, some = {2, other};
    dcv_dataset *d;
    CHECK_OK(open_yaml("  source: photos\n  labels: folder\n  offset: 1\n  limit: 3", NULL, &model, &d));
    CHECK(d->n == 3 && d->classes == 3 && named(d, 0, "a/deep/x.png", 0) && named(d, 1, "b/1.png", 2));
    CHECK(strcmp(d->label_name[2], "b") == 0 && strcmp(d->label_name[0], "deep") == 0);
    dcv_dataset_free(d);
    line[1] = "deep";
    CHECK_OK(open_yaml("  source: photos\n  labels: folder", NULL, &model, &d));
    CHECK(named(d, 1, "a/deep/x.png", 1) && named(d, 2, "b/1.png", 2) && strcmp(d->label_name[0], "n01 tench") == 0);
    dcv_dataset_free(d);
    dcv_log_quiet(1);
    CHECK_OK(open_yaml("  source: photos\n  labels: folder", NULL, &some, &d));
    dcv_log_quiet(0);
    CHECK(named(d, 2, "b/1.png", 0)); /* "deep," is the first word there: deep is not known either, and comes second */
    CHECK(named(d, 1, "a/deep/x.png", 1));
    dcv_dataset_free(d);
    CHECK_OK(open_yaml("  source: photos", NULL, &model, &d));
    CHECK(d->classes == 0 && named(d, 1, "a/deep/x.png", -1) && !d->label_name);
    dcv_dataset_free(d);
}

static void ranges(void)
{
    dcv_dataset *d, *e;
    CHECK_OK(open_yaml("  source: photos\n  offset: 4", NULL, NULL, &d) == DCV_EDATA
                 ? DCV_OK
                 : DCV_EINTERNAL); /* only the broken link is left */
    dcv_dataset_free(d);
    CHECK_FAILS(open_yaml("  source: photos\n  offset: 5", NULL, NULL, &d), DCV_ECONFIG, "job.yaml:5:");
    CHECK(strstr(dcv_message(), "beyond the last of 5 items") && !d);
    CHECK_OK(open_yaml("  source: photos\n  offset: 1\n  limit: 2", NULL, NULL, &d));
    CHECK_OK(open_yaml("  source: photos\n  offset: 1\n  limit: 3", NULL, NULL, &e));
    CHECK(d->n == 2 && e->n == 3 && strcmp(d->sha256.hex, e->sha256.hex) != 0 && strlen(d->sha256.hex) == 64);
    dcv_dataset_free(e);
    CHECK_OK(open_yaml("  source: photos/\n  limit: 2\n  offset: 1", NULL, NULL, &e));
    CHECK(strcmp(d->sha256.hex, e->sha256.hex) == 0);
    dcv_dataset_free(d);
    dcv_dataset_free(e);
}

static void bad_sources(void)
{
    dcv_dataset *d;
    CHECK_FAILS(open_yaml("  source: photo", NULL, NULL, &d), DCV_ENOINPUT, "nearest name there: photos");
    CHECK(strstr(dcv_message(), "job.yaml:4:"));
    mkdir(at("nothing"), 0777);
    CHECK_FAILS(open_yaml("  source: nothing", NULL, NULL, &d), DCV_EDATA, "no pictures in it");
    CHECK_FAILS(open_yaml("  source: job.yaml", NULL, NULL, &d), DCV_EDATA, "not a data set");
    CHECK_FAILS(open_yaml("  source: photos\n  labels: lables.txt", NULL, NULL, &d), DCV_ENOINPUT, "job.yaml:5:");
    put_text("labels.txt", "1\n2\n");
    CHECK_FAILS(open_yaml("  source: photos\n  labels: labels.txt", NULL, NULL, &d), DCV_EDATA, "2 labels for 5 items");
    put_text("labels.txt", "1\n2\n3\n4\n99999999999\n");
    CHECK_FAILS(open_yaml("  source: photos\n  labels: labels.txt", NULL, NULL, &d), DCV_EDATA, "99999999999");
    put_text("labels.txt", "\xEF\xBB\xBFzebra\r\nape\r\n\r\nzebra\r\nape\r\n");
    CHECK_OK(open_yaml("  source: photos\n  labels: labels.txt", NULL, NULL, &d));
    CHECK(named(d, 0, "a.png", 1) && named(d, 1, "a/deep/x.png", 0) && named(d, 2, "b/1.png", -1) && d->classes == 2);
    dcv_dataset_free(d);
}

/* --- what the network takes ------------------------------------------------------------------- */

static void fitting(void)
{
    const dcv_dims fixed = {4, {1, 3, 10, 12}}, five = {4, {1, 5, 10, 12}}, grey = {4, {1, 1, 10, 12}},
                   flat = {2, {1, 64}};
    dcv_dataset *d;
    dcv_item it;
    CHECK_OK(open_yaml("  source: photos", &fixed, NULL, &d));
    CHECK(d->fixed && d->max_h == 10 && d->max_w == 12 && d->n == 5);
    CHECK_NEAR(first_value(d, 3), 20, 1e-4);
    CHECK_FAILS(dcv_dataset_read(d, 1, DCV_READ_INPUT, &it), DCV_EDATA,
                "a/deep/x.png: 14 x 9 px; the network takes 10 x 12");
    dcv_dataset_free(d);
    CHECK_OK(open_yaml("  source: photos", &grey, NULL, &d));
    CHECK_OK(dcv_dataset_read(d, 3, DCV_READ_PICTURE, &it));
    CHECK(it.picture.c == 1 && it.picture.px[0] == 21 && !it.input); /* (20, 21, 22) */
    dcv_item_clear(&it);
    dcv_dataset_free(d);
    CHECK_FAILS(open_yaml("  source: photos", &five, NULL, &d), DCV_ECONFIG, "job.yaml:4:");
    CHECK_FAILS(open_yaml("  source: photos", &flat, NULL, &d), DCV_ECONFIG, "the network takes 1x64");
    CHECK_FAILS(open_yaml("  source: photos\n  preprocess: {channels: gray}", &fixed, NULL, &d), DCV_ECONFIG,
                "job.yaml:5:");
    CHECK_FAILS(open_yaml("  source: photos\n  preprocess: {crop: 9}", &fixed, NULL, &d), DCV_ECONFIG,
                "crop gives 9 x 9; the network takes 10 x 12");
    CHECK_FAILS(open_yaml("  source: photos\n  preprocess: {preset: imagenet}", &fixed, NULL, &d), DCV_ECONFIG,
                "job.yaml:5:");
    CHECK_FAILS(open_yaml("  source: photos\n  preprocess: {preset: caffe}", &grey, NULL, &d), DCV_ECONFIG,
                "mean has 3 values");
    CHECK_OK(
        open_yaml("  source: photos\n  preprocess: {crop: [10, 9], channels: bgr, scale: 1, mean: 2}", NULL, NULL, &d));
    CHECK(d->fixed && d->max_h == 10 && d->max_w == 9);
    CHECK_NEAR(first_value(d, 3), (22 - 2) * 255.0, 1e-3);
    dcv_dataset_free(d);
    CHECK_OK(open_yaml("  source: photos\n  preprocess: {crop: [12, 9]}", NULL, NULL, &d));
    CHECK_FAILS(dcv_dataset_read(d, 0, DCV_READ_INPUT, &it), DCV_EDATA, "a.png: 10 x 12 px is smaller than the crop");
    CHECK_NEAR(first_value(d, 1), 30, 1e-4);
    dcv_dataset_free(d);
    CHECK_OK(open_yaml("  source: photos\n  preprocess: {resize: 20, crop: [20, 20]}", NULL, NULL, &d));
    CHECK_NEAR(first_value(d, 1), 30, 1e-4);
    dcv_dataset_free(d);
}

/* --- list, one picture ------------------------------------------------------------------------- */

static void list(void)
{
    dcv_dataset *d;
    dcv_item it;
    put_picture("photos/with space.png", 5, 5, 3, 7);
    put_text("some.txt", "photos/b/2.PNG\t3\n\nphotos/with space.png\t0\r\nphotos/none.png\t12\nphotos/a.png\n");
    CHECK_OK(open_yaml("  source: some.txt", NULL, NULL, &d));
    CHECK(d->n == 4 && d->classes == 13 && !d->label_name);
    CHECK(named(d, 0, "photos/b/2.PNG", 3) && named(d, 1, "photos/with space.png", 0) &&
          named(d, 2, "photos/none.png", 12));
    CHECK(named(d, 3, "photos/a.png", -1) && d->max_h == 10);
    CHECK_NEAR(first_value(d, 1), 7, 1e-4);
    CHECK_FAILS(dcv_dataset_read(d, 2, DCV_READ_INPUT, &it), DCV_EDATA, "photos/none.png: ");
    dcv_dataset_free(d);
    put_text("some.txt", "photos/b/2.PNG\tone\tcat\nphotos/a.png\tdog\nphotos/b/1.png\t3\n");
    CHECK_OK(open_yaml("  source: some.txt", NULL, NULL, &d));
    CHECK(d->classes == 3 && d->entry[0].label == 1 && d->entry[1].label == 2 &&
          d->entry[2].label == 0); /* "3", cat, dog */
    CHECK(strcmp(d->label_name[0], "3") == 0 && strcmp(d->entry[0].name, "photos/b/2.PNG\tone") == 0);
    dcv_dataset_free(d);
    char absolute[600];
    snprintf(absolute, sizeof absolute, "%s\tx\n/nowhere/none.jpg\n", at("photos/a.png"));
    put_text("some.txt", absolute);
    CHECK_OK(open_yaml("  source: some.txt\n  labels: folder", NULL, NULL, &d));
    CHECK_NEAR(first_value(d, 0), 40, 1e-4);
    CHECK(strcmp(d->label_name[d->entry[0].label], "photos") == 0);
    CHECK_FAILS(dcv_dataset_read(d, 1, DCV_READ_INPUT, &it), DCV_EDATA, "none.jpg: ");
    CHECK(!strstr(dcv_message(), "/nowhere"));
    dcv_dataset_free(d);
    static const dcv_dims other = {4, {1, 3, 7, 7}};
    CHECK_OK(open_yaml("  source: some.txt", &other, NULL, &d));
    CHECK_FAILS(dcv_dataset_read(d, 0, DCV_READ_INPUT, &it), DCV_EDATA, "a.png: ");
    CHECK(dcv_message()[0] == 'a'); /* decoded, but it does not fit: no absolute path either */
    dcv_dataset_free(d);
    put_text("cut.png", "\x89PNG\r\n\x1a\n");
    snprintf(absolute, sizeof absolute, "%s\n", at("cut.png"));
    put_text("some.txt", absolute);
    CHECK_OK(open_yaml("  source: some.txt", &other, NULL, &d));
    CHECK_FAILS(dcv_dataset_read(d, 0, DCV_READ_INPUT, &it), DCV_EDATA, "cut.png: ");
    CHECK(dcv_message()[0] == 'c');
    dcv_dataset_free(d);
    unlink(at("cut.png"));
    put("some.txt", "a\0b\n", 4);
    CHECK_FAILS(open_yaml("  source: some.txt", NULL, NULL, &d), DCV_EDATA, "a list is text");
    put_text("some.txt", "\n\n");
    CHECK_FAILS(open_yaml("  source: some.txt", NULL, NULL, &d), DCV_EDATA, "no pictures");
    put_text("some.txt", "a.png\n\t3\n");
    CHECK_FAILS(open_yaml("  source: some.txt", NULL, NULL, &d), DCV_EDATA, "some.txt:2: a label without a path");
    unlink(at("photos/with space.png"));
}

static void one_picture(void)
{
    const dcv_dims fixed = {4, {1, 3, 10, 12}};
    dcv_dataset *d;
    dcv_item it;
    CHECK_OK(open_yaml("  source: photos/a.png", &fixed, NULL, &d));
    CHECK(d->n == 1 && named(d, 0, "a.png", -1));
    CHECK_NEAR(first_value(d, 0), 40, 1e-4);
    dcv_dataset_free(d);
    put("zero.jpg", "", 0);
    CHECK_OK(open_yaml("  source: zero.jpg", &fixed, NULL, &d));
    CHECK_FAILS(dcv_dataset_read(d, 0, DCV_READ_INPUT, &it), DCV_EDATA, "zero.jpg: empty, 0 bytes");
    dcv_dataset_free(d);
    CHECK_FAILS(open_yaml("  source: zero.jpg", NULL, NULL, &d), DCV_EDATA, "zero.jpg: empty");
}

/* --- IDX ------------------------------------------------------------------------------------------ */

static size_t idx_bytes(uint8_t *b, int n, int h, int w)
{
    const int d[] = {n, h, w};
    memcpy(b, "\0\0\x08\x03", 4);
    for (int i = 0; i < 12; i++)
        b[4 + i] = (uint8_t)(d[i / 4] >> (24 - 8 * (i % 4)));
    for (int i = 0; i < n * h * w; i++)
        b[16 + i] = (uint8_t)(i / (h * w) * 10);
    return (size_t)(16 + n * h * w);
}

static void put_gz(const char *name, const void *bytes, size_t n)
{
    gzFile f = gzopen(at(name), "wb");
    CHECK(f && gzwrite(f, bytes, (unsigned)n) == (int)n);
    gzclose(f);
}

static void idx(void)
{
    static uint8_t b[20 * 28 * 28 + 16];
    const size_t n = idx_bytes(b, 20, 28, 28);
    const char *const names[] = {"pics-idx3-ubyte", "pics.gz"};
    const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 20, 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4};
    dcv_dataset *d;
    put(names[0], b, n);
    put_gz(names[1], b, n);
    put_gz("labels.gz", labels, sizeof labels);
    put("labels-idx1", labels, sizeof labels - 1);
    char hash[65] = "";
    for (int k = 0; k < 2; k++) {
        char yaml[200];
        snprintf(yaml, sizeof yaml, "  source: %s\n  labels: labels.gz\n  offset: 3\n  limit: 10", names[k]);
        CHECK_OK(open_yaml(yaml, &grey28, NULL, &d));
        CHECK(d->n == 10 && d->classes == 10 && d->c == 1 && d->fixed && d->max_h == 28);
        CHECK(named(d, 0, "000003", 1) && named(d, 9, "000012", 9) && d->entry[0].bytes == 784);
        for (int i = 0; i < 10; i++)
            CHECK_NEAR(first_value(d, i), 10 * (i + 3), 1e-4);
        CHECK(k == 0 || strcmp(hash, d->sha256.hex) == 0);
        snprintf(hash, sizeof hash, "%s", d->sha256.hex);
        dcv_dataset_free(d);
    }
    const dcv_dims other = {4, {1, 1, 32, 32}};
    CHECK_FAILS(open_yaml("  source: pics.gz", &other, NULL, &d), DCV_EDATA, "28 x 28 px; the network takes 32 x 32");
    CHECK_FAILS(open_yaml("  source: labels.gz", &grey28, NULL, &d), DCV_EDATA, "labels?");
    CHECK_FAILS(open_yaml("  source: pics.gz\n  labels: labels-idx1", &grey28, NULL, &d), DCV_EDATA, "cut");
    CHECK_FAILS(open_yaml("  source: pics.gz\n  labels: folder", &grey28, NULL, &d), DCV_ECONFIG, "job.yaml:5:");
    put("cut-idx3-ubyte", b, n - 1);
    CHECK_FAILS(open_yaml("  source: cut-idx3-ubyte", &grey28, NULL, &d), DCV_EDATA, "cut");
    memset(b + 4, 0xFF, 12);
    put("huge-idx3-ubyte", b, n);
    put_gz("huge.gz", b, n);
    CHECK_FAILS(open_yaml("  source: huge-idx3-ubyte", &grey28, NULL, &d), DCV_EDATA, "cut");
    CHECK_FAILS(open_yaml("  source: huge.gz", &grey28, NULL, &d), DCV_EDATA, "cut");
    FILE *f = fopen(at("pics.gz"), "r+b"); /* the trailer's checksum */
    CHECK(f && fseek(f, -6, SEEK_END) == 0 && fputc(0x5A, f) != EOF);
    fclose(f);
    CHECK_FAILS(open_yaml("  source: pics.gz", &grey28, NULL, &d), DCV_EDATA, "pics.gz: ");
    put_gz("archive.tar.gz", "something else", 14);
    CHECK_FAILS(open_yaml("  source: archive.tar.gz", &grey28, NULL, &d), DCV_EDATA, "unpack");
}

/* --- tar ------------------------------------------------------------------------------------------ */

static size_t tar_member(uint8_t *to, const char *name, char type, const void *bytes, size_t n)
{
    memset(to, 0, 512);
    snprintf((char *)to, 100, "%s", name);
    snprintf((char *)to + 100, 8, "0000644");
    snprintf((char *)to + 124, 12, "%011zo", n);
    snprintf((char *)to + 136, 12, "%011o", 0);
    memset(to + 148, ' ', 8);
    to[156] = (uint8_t)type;
    memcpy(to + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++)
        sum += to[i];
    snprintf((char *)to + 148, 8, "%06o", sum);
    memcpy(to + 512, bytes, n);
    const size_t padded = (n + 511) / 512 * 512;
    memset(to + 512 + n, 0, padded - n);
    return 512 + padded;
}

static size_t picture_bytes(uint8_t *to, size_t room, int v)
{
    put_picture("member.png", 6, 8, 3, v);
    FILE *f = fopen(at("member.png"), "rb");
    const size_t n = f ? fread(to, 1, room, f) : 0;
    if (f)
        fclose(f);
    return n;
}

static void tar(void)
{
    static uint8_t t[1 << 16];
    uint8_t png[4096];
    size_t n = 0, p;
    static const char *const names[] = {"./zoo/zebra/2.png", "zoo/ape/1.png", "../../etc/evil.png", "zoo/.hidden.png",
                                        "zoo/readme.txt"};
    for (int i = 0; i < 5; i++) {
        p = picture_bytes(png, sizeof png, 10 * i + 1);
        n += tar_member(t + n, names[i], '0', png, p);
    }
    n += tar_member(t + n, "zoo/link.png", '2', "", 0);
    n += tar_member(t + n, "zoo/zz/cut.png", '0', png, p / 2);
    const size_t members = n;
    memset(t + n, 0, 1024);
    n += 1024;
    put("zoo.tar", t, n);
    dcv_dataset *d;
    dcv_item it;
    const dcv_dims fixed = {4, {1, 3, 6, 8}};
    CHECK_OK(open_yaml("  source: zoo.tar\n  labels: folder", &fixed, NULL, &d));
    CHECK(d->n == 4 && d->classes == 4);
    CHECK(named(d, 0, "../../etc/evil.png", 1) && named(d, 1, "zoo/ape/1.png", 0) && named(d, 2, "zoo/zebra/2.png", 2));
    CHECK_NEAR(first_value(d, 2), 1, 1e-4);
    CHECK_NEAR(first_value(d, 1), 11, 1e-4);
    CHECK_NEAR(first_value(d, 0), 21, 1e-4);
    CHECK_FAILS(dcv_dataset_read(d, 3, DCV_READ_INPUT, &it), DCV_EDATA, "zoo/zz/cut.png: PNG: cut");
    CHECK(!dcv_dataset_changed(d, 1));
    dcv_dataset_free(d);
    CHECK_OK(open_yaml("  source: zoo.tar\n  limit: 3", NULL, NULL, &d)); /* headers of members */
    CHECK(!d->fixed && d->max_h == 6 && d->max_w == 8);
    dcv_dataset_free(d);
    put("zoo.tar", t, members - 600);
    CHECK_FAILS(open_yaml("  source: zoo.tar", &fixed, NULL, &d), DCV_EDATA, "zoo.tar: tar: ");
    memset(t + 124, '7', 11); /* a first member of 2^33 bytes */
    put("zoo.tar", t, n);
    CHECK_FAILS(open_yaml("  source: zoo.tar", &fixed, NULL, &d), DCV_EDATA, "zoo.tar: tar: ");
    put("empty.tar", "", 0);
    CHECK(open_yaml("  source: empty.tar", &fixed, NULL, &d) == DCV_EDATA && !d);
}

/* --- HDF5 ------------------------------------------------------------------------------------------ */

static void make_h5(const char *name, const char *path, dcv_dtype type, dcv_dims dims, const void *values,
                    const char *label_path, const int32_t *labels)
{
    dcv_store *s;
    int id;
    int64_t bytes;
    CHECK_OK(dcv_store_new(&s));
    CHECK_OK(dcv_store_dataset(s, path, type, 0, &dims, &id));
    CHECK_OK(dcv_store_values(s, id, values, (size_t)dcv_count(&dims) * dcv_dtype_bytes(type)));
    if (labels) {
        const dcv_dims n = {1, {dims.d[0]}};
        CHECK_OK(dcv_store_dataset(s, label_path, DCV_I32, 0, &n, &id));
        CHECK_OK(dcv_store_values(s, id, labels, (size_t)dims.d[0] * 4));
    }
    CHECK_OK(dcv_store_create(s, at(name), &bytes));
    dcv_store_free(s);
}

static void h5_pictures(void)
{
    static uint8_t px[4 * 28 * 28 * 3];
    for (size_t i = 0; i < sizeof px; i++)
        px[i] = (uint8_t)(i % 3 + i / (28 * 28 * 3) * 50);
    const int32_t labels[] = {3, -1, 0, 2};
    dcv_dataset *d;
    dcv_item it;
    make_h5("p.h5", "/images", DCV_U8, (dcv_dims){4, {4, 28, 28, 3}}, px, "/labels", labels);
    classes = 3;
    CHECK_FAILS(open_yaml("  source: p.h5", NULL, NULL, &d), DCV_EDATA,
                "p.h5: label 3 of 000000; the network has 3 classes");
    classes = 0;
    CHECK_OK(open_yaml("  source: p.h5\n  preprocess: {channels: bgr}", NULL, NULL, &d));
    CHECK(d->n == 4 && d->classes == 4 && d->fixed && d->max_h == 28 && !d->is_float && named(d, 0, "000000", 3));
    CHECK(named(d, 1, "000001", -1));
    CHECK_NEAR(first_value(d, 2), 102, 1e-4);
    dcv_dataset_free(d);
    make_h5("g.h5", "/some/set", DCV_U8, (dcv_dims){3, {4, 28, 28}}, px, "/cls", labels);
    CHECK_FAILS(open_yaml("  source: g.h5", &grey_any, NULL, &d), DCV_ECONFIG, "dataset.path");
    array_path = "/some/set";
    CHECK_OK(open_yaml("  source: g.h5\n  path: /cls", &grey_any, NULL, &d));
    dcv_dataset_free(d);
    array_path = NULL;
    CHECK_FAILS(open_yaml("  source: g.h5\n  path: /some/sett", &grey_any, NULL, &d), DCV_ECONFIG, "job.yaml:5:");
    CHECK(strstr(dcv_message(), "nearest name: /some/set"));
    CHECK_FAILS(open_yaml("  source: g.h5\n  path: /some/set\n  label_path: /nope", &grey_any, NULL, &d), DCV_ECONFIG,
                "job.yaml:6:");
    CHECK_OK(open_yaml("  source: g.h5\n  path: /some/set\n  label_path: /cls", &grey_any, NULL, &d));
    CHECK(d->c == 1 && d->classes == 4 && d->n == 4);
    CHECK_OK(dcv_dataset_read(d, 3, DCV_READ_PICTURE, &it));
    CHECK(it.picture.c == 1 && it.picture.px[7] == px[3 * 784 + 7]);
    dcv_item_clear(&it);
    dcv_dataset_free(d);
    CHECK_FAILS(open_yaml("  source: g.h5\n  path: /cls", &grey_any, NULL, &d), DCV_EDATA, "expected u1 [N,H,W]");
    CHECK(strstr(dcv_message(), "/cls: i4 4;") != NULL);
}

static void h5_floats(void)
{
    static double v[3 * 2 * 5 * 7];
    for (int i = 0; i < 3 * 70; i++)
        v[i] = i * 0.5;
    const dcv_dims want = {4, {1, 2, 5, 7}}, other = {4, {1, 3, 5, 7}}, latent = {2, {1, 70}};
    dcv_dataset *d;
    dcv_item it;
    make_h5("f.h5", "/x", DCV_F64, (dcv_dims){4, {3, 2, 5, 7}}, v, NULL, NULL);
    CHECK_OK(open_yaml("  source: f.h5", &want, NULL, &d)); /* the only data set */
    CHECK(d->is_float && d->c == 2 && d->n == 3 && d->fixed && d->classes == 0);
    CHECK_OK(dcv_dataset_read(d, 1, DCV_READ_INPUT | DCV_READ_PICTURE, &it));
    CHECK(it.input[3] == 36.5f && it.dims.d[1] == 2 && !it.picture.px);
    dcv_item_clear(&it);
    dcv_dataset_free(d);
    CHECK_FAILS(open_yaml("  source: f.h5", &other, NULL, &d), DCV_EDATA,
                "items of 1x2x5x7; the network takes 1x3x5x7");
    CHECK_OK(open_yaml("  source: f.h5\n  preprocess: {crop: [3, 2], crop_at: [1, 4], mean: [1, 2]}", NULL, NULL, &d) ==
                     DCV_EDATA
                 ? DCV_OK
                 : DCV_EINTERNAL);
    const dcv_dims cropped = {4, {1, 2, 3, 2}};
    CHECK_OK(
        open_yaml("  source: f.h5\n  preprocess: {crop: [3, 2], crop_at: [1, 4], mean: [1, 2]}", &cropped, NULL, &d));
    CHECK_OK(dcv_dataset_read(d, 0, DCV_READ_INPUT, &it));
    CHECK(it.input[0] == 5.5f - 1 && it.input[1] == 6.0f - 1 && it.input[6 + 2] == (35 + 7 * 2 + 4) * 0.5f - 2);
    dcv_item_clear(&it);
    dcv_dataset_free(d);
    CHECK_FAILS(open_yaml("  source: f.h5\n  preprocess: {resize: 9}", &want, NULL, &d), DCV_ECONFIG, "job.yaml:5:");
    make_h5("l.h5", "/latent", DCV_F64, (dcv_dims){2, {3, 70}}, v, NULL, NULL);
    CHECK_OK(open_yaml("  source: l.h5\n  path: /latent", &latent, NULL, &d));
    CHECK_OK(dcv_dataset_read(d, 2, DCV_READ_INPUT, &it));
    CHECK(it.dims.n == 2 && it.dims.d[1] == 70 && it.input[1] == 70.5f);
    dcv_item_clear(&it);
    dcv_dataset_free(d);
    static float rgb[2 * 3 * 4 * 4];
    for (int i = 0; i < 96; i++)
        rgb[i] = (float)(i % 48) - 10;
    make_h5("c.h5", "/images", DCV_F32, (dcv_dims){4, {2, 3, 4, 4}}, rgb, NULL, NULL);
    CHECK_OK(open_yaml("  source: c.h5", NULL, NULL, &d));
    CHECK_OK(dcv_dataset_read(d, 1, DCV_READ_PICTURE, &it));
    CHECK(it.picture.c == 3 && it.picture.px[0] == 0 && it.picture.px[1] == 87 &&
          it.picture.px[47] == 255); /* rint(16 * 255 / 47) */
    dcv_item_clear(&it);
    dcv_dataset_free(d);
    put_text("no.h5", "not HDF5");
    CHECK_FAILS(open_yaml("  source: no.h5", &want, NULL, &d), DCV_EDATA, "no.h5: not an HDF5 file");
}

/* --- several threads, plain opening --------------------------------------------------------------- */

static void *read_all(void *ctx)
{
    const dcv_dataset *d = ctx;
    intptr_t wrong = 0;
    for (int turn = 0; turn < 20; turn++)
        for (int64_t i = 0; i < d->n; i++)
            wrong += fabs(first_value(d, i) - (10.0 * (double)i + 1)) > 1e-3;
    return (void *)wrong;
}

static void threads(void)
{
    static uint8_t t[1 << 16];
    size_t n = 0;
    for (int i = 0; i < 20; i++) {
        uint8_t png[4096];
        char name[20];
        snprintf(name, sizeof name, "%02d.png", i);
        const size_t p = picture_bytes(png, sizeof png, 10 * i + 1);
        n += tar_member(t + n, name, '0', png, p);
    }
    memset(t + n, 0, 1024);
    put("many.tar", t, n + 1024);
    dcv_dataset *d;
    CHECK_OK(open_yaml("  source: many.tar", NULL, NULL, &d));
    pthread_t id[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&id[i], NULL, read_all, d) == 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        CHECK(pthread_join(id[i], &wrong) == 0 && wrong == NULL);
    }
    dcv_dataset_free(d);
}

static void plain(void)
{
    dcv_dataset *d;
    CHECK_OK(dcv_dataset_open_plain(at("photos"), "folder", NULL, NULL, &d));
    CHECK(d->n == 5 && d->c == 3 && d->max_h == 14 && d->classes == 2);
    dcv_dataset_free(d);
    CHECK_OK(dcv_dataset_open_plain(at("photos/b/1.png"), NULL, NULL, NULL, &d));
    CHECK(d->n == 1 && d->c == 1 && d->fixed && d->dims.d[2] == 10);
    dcv_dataset_free(d);
    CHECK_FAILS(dcv_dataset_open_plain(at("phots"), NULL, NULL, NULL, &d), DCV_ENOINPUT, "nearest name there: photos");
}

/* Fashion-MNIST as Debian packages it: the first ten test labels and pixel sums, read with numpy. */
static void fashion(void)
{
#define FASHION "/usr/share/datasets/fashion-mnist/t10k-"
    static const int labels[] = {9, 2, 1, 1, 6, 1, 4, 6, 5, 7};
    static const double sums[] = {131.2,        396.05490196, 202.03921569, 138.73333333, 245.70588235,
                                  197.09411765, 110.23921569, 187.31764706, 40.18039216,  99.96862745};
    dcv_dataset *d;
    if (access(FASHION "images-idx3-ubyte.gz", R_OK) != 0)
        return;
    CHECK_OK(open_yaml("  source: " FASHION "images-idx3-ubyte.gz\n  labels: " FASHION
                       "labels-idx1-ubyte.gz\n  limit: 10",
                       &grey28, NULL, &d));
    CHECK(d->n == 10 && d->classes == 10);
    for (int i = 0; i < 10; i++) {
        dcv_item it;
        double sum = 0;
        CHECK_OK(dcv_dataset_read(d, i, DCV_READ_INPUT, &it));
        for (int k = 0; k < 784; k++)
            sum += it.input[k];
        CHECK_NEAR(sum, sums[i], 1e-4);
        CHECK(d->entry[i].label == labels[i]);
        dcv_item_clear(&it);
    }
    dcv_dataset_free(d);
}

int main(void)
{
    CHECK(mkdtemp(dir) != NULL);
    make_folder();
    folder();
    folder_labels();
    ranges();
    bad_sources();
    fitting();
    list();
    one_picture();
    idx();
    tar();
    h5_pictures();
    h5_floats();
    threads();
    plain();
    fashion();
    dcv_config_free(config);
    CHECK(dcv_alloc_balance() == 0);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK(system(command) == 0);
    return check_end();
}
