/* test_pack.c -- pack, then read: the same pictures, labels and names. */
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
#include "calls/call.h"
#include "check.h"
#include "deconvoy/dataset.h"
#include "deconvoy/log.h"

extern const dcv_call dcv_call_pack;

static char dir[] = "/tmp/dcv_pack_XXXXXX";

static const char *at(const char *name)
{
    static char path[8][400];
    static int next;
    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

static void put_picture(const char *name, int64_t h, int64_t w, int c, int v)
{
    static uint8_t px[100 * 100 * 3];
    for (int64_t i = 0; i < h * w * c; i++)
        px[i] = (uint8_t)(v + i * i % 97);
    const dcv_image im = {h, w, c, px};
    CHECK_OK(dcv_png_write(at(name), &im));
}

static void put_text(const char *name, const char *text)
{
    FILE *f = fopen(at(name), "wb");
    CHECK(f && fputs(text, f) >= 0);
    if (f)
        fclose(f);
}

/* pack argv..., ended by NULL */
static dcv_status pack(const char *a, ...)
{
    char *argv[12] = {"pack", (char *)(uintptr_t)a};
    int argc = 2, code = 0;
    va_list more;
    va_start(more, a);
    for (char *v; argc < 11 && (v = va_arg(more, char *));)
        argv[argc++] = v;
    va_end(more);
    return dcv_call_pack.run(argc, argv, &code);
}

/* The packed file has the items of source, in order, and the same bytes. */
static void same(const char *source, const char *labels, const char *packed, const dcv_preprocess *p)
{
    dcv_dataset *a, *b;
    CHECK_OK(dcv_dataset_open_plain(source, labels, NULL, p, &a));
    CHECK_OK(dcv_dataset_open_plain(packed, NULL, NULL, NULL, &b));
    CHECK(a && b && a->n == b->n && a->c == b->c && a->max_h == b->max_h && a->max_w == b->max_w &&
          a->classes == b->classes);
    CHECK(b->is_float == (p != NULL));
    for (int64_t i = 0; i < a->n; i++) {
        dcv_item x, y;
        CHECK(strcmp(a->entry[i].name, b->entry[i].name) == 0 && a->entry[i].label == b->entry[i].label);
        CHECK_OK(dcv_dataset_read(a, i, DCV_READ_INPUT | DCV_READ_PICTURE, &x));
        CHECK_OK(dcv_dataset_read(b, i, DCV_READ_INPUT | DCV_READ_PICTURE, &y));
        CHECK(dcv_dims_equal(&x.dims, &y.dims) && memcmp(x.input, y.input, (size_t)dcv_count(&x.dims) * 4) == 0);
        CHECK(p || memcmp(x.picture.px, y.picture.px, (size_t)(x.picture.h * x.picture.w * x.picture.c)) == 0);
        dcv_item_clear(&x);
        dcv_item_clear(&y);
    }
    dcv_dataset_free(a);
    dcv_dataset_free(b);
    CHECK(access(at("d.h5.part"), F_OK) != 0);
}

/* Network input of grey/1.png: its samples less the mean of each of three channels. */
static void grey_as_colour(const char *packed, const int64_t *mean)
{
    dcv_dataset *d;
    dcv_item it;
    CHECK_OK(dcv_dataset_open_plain(packed, NULL, NULL, NULL, &d));
    CHECK(d && d->n == 2 && d->c == 3 && d->max_h == 9 && d->max_w == 13);
    CHECK_OK(dcv_dataset_read(d, 0, DCV_READ_INPUT, &it));
    for (int64_t k = 0; k < 3; k++)
        for (int64_t i = 0; i < 9 * 13; i++)
            CHECK(it.input[k * 9 * 13 + i] == (float)(5 + i * i % 97 - mean[k]));
    dcv_item_clear(&it);
    dcv_dataset_free(d);
}

int main(void)
{
    CHECK(mkdtemp(dir) != NULL);
    dcv_log_quiet(1);
    mkdir(at("set"), 0777);
    mkdir(at("set/cat"), 0777);
    mkdir(at("set/ape"), 0777);
    put_picture("set/cat/1.png", 9, 13, 3, 5);
    put_picture("set/cat/2.png", 9, 13, 1, 50);
    put_picture("set/ape/1.png", 9, 13, 3, 90);
    CHECK_OK(pack(at("set"), "-o", at("new/folder/d.h5"), NULL));
    same(at("set"), "folder", at("new/folder/d.h5"), NULL);
    CHECK_OK(pack(at("set"), "-o", at("d.h5"), "--labels", "none", NULL));
    same(at("set"), "none", at("d.h5"), NULL);
    CHECK_OK(pack(at("new/folder/d.h5"), "-o", at("d.h5"), NULL));
    same(at("set"), "folder", at("d.h5"), NULL);

    double mean[] = {0.1, 0.2, 0.3};
    int64_t crop[] = {8};
    const dcv_preprocess p = {.scale = 0.5, .mean = {-1, 3, false, mean}, .crop = {-1, 1, true, crop}};
    CHECK_OK(pack(at("set"), "-o", at("d.h5"), "--preprocess", "scale=0.5", "--preprocess", "mean=[0.1, 0.2, 0.3]",
                  "--preprocess=crop=8", NULL));
    same(at("set"), "folder", at("d.h5"), &p);

    mkdir(at("grey"), 0777);
    put_picture("grey/1.png", 9, 13, 1, 5);
    put_picture("grey/2.png", 9, 13, 1, 6);
    CHECK_OK(pack(at("grey"), "-o", at("d.h5"), NULL));
    same(at("grey"), "none", at("d.h5"), NULL);

    static const int64_t bgr_mean[] = {104, 117, 123};
    CHECK_OK(pack(at("grey"), "-o", at("d.h5"), "--preprocess", "preset=caffe", NULL));
    grey_as_colour(at("d.h5"), bgr_mean);

    put_picture("grey/\xff\xfe.png", 9, 13, 1, 7);
    CHECK_OK(pack(at("grey"), "-o", at("d.h5"), NULL));
    dcv_dataset *d;
    CHECK_OK(dcv_dataset_open_plain(at("d.h5"), NULL, NULL, NULL, &d));
    CHECK(d->n == 3 && strcmp(d->entry[2].name, "??.png") == 0); /* /names is UTF-8 */
    dcv_dataset_free(d);

    put_picture("set/cat/3.png", 10, 13, 3, 5);
    unlink(at("d.h5"));
    CHECK_FAILS(pack(at("set"), "-o", at("d.h5"), NULL), DCV_EDATA, "cat/3.png has 10 x 13 px, ape/1.png 9 x 13");
    CHECK(strstr(dcv_message(), "--preprocess") && access(at("d.h5"), F_OK) != 0);
    unlink(at("set/cat/3.png"));
    put_text("set/ape/bad.png", "no picture");
    CHECK_FAILS(pack(at("set"), "-o", at("d.h5"), NULL), DCV_EDATA, "ape/bad.png: not a JPEG");
    CHECK(access(at("d.h5"), F_OK) != 0 && access(at("d.h5.part"), F_OK) != 0);
    CHECK_OK(pack(at("set"), "-o", at("d.h5"), "--on-error", "skip", NULL));
    unlink(at("set/ape/bad.png"));
    same(at("set"), "folder", at("d.h5"), NULL);

    CHECK_FAILS(pack(at("set"), NULL), DCV_EUSAGE, "-o DATA.h5");
    CHECK_FAILS(pack(at("set"), "-o", at("d.h5"), "--on-error", "maybe", NULL), DCV_EUSAGE, "maybe");
    CHECK_FAILS(pack(at("sat"), "-o", at("d.h5"), NULL), DCV_ENOINPUT, "nearest name there: set");
    CHECK_FAILS(pack(at("set"), "-o", at("d.h5"), "--preprocess", "croop=3", NULL), DCV_ECONFIG, "crop");
    CHECK_FAILS(pack(at("set"), "-o", at("set/cat/1.png/d.h5"), NULL), DCV_EIO, "not a folder");
    CHECK(dcv_alloc_balance() == 0);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK(system(command) == 0);
    return check_end();
}
