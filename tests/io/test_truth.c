/* test_truth.c -- tables of true boxes: text, names, classes, places after resize and crop, messages. */
#include <sys/stat.h>
#include <unistd.h>
#include "check.h"
#include "io/truth.h"

static char dir[] = "/tmp/dcv_truth_XXXXXX";
static const char head[] = "image,class,y0,x0,y1,x1\n";

static const char *at(const char *name)
{
    static char path[4][400];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

static void put(const char *name, const char *text, size_t n)
{
    FILE *f = fopen(at(name), "wb");
    CHECK(f && fwrite(text, 1, n, f) == n);
    if (f)
        fclose(f);
}

static void put_picture(const char *name, int64_t h, int64_t w)
{
    uint8_t px[100 * 100] = {0};
    const dcv_image im = {h, w, 1, px};
    CHECK_OK(dcv_png_write(at(name), &im));
}

static dcv_dataset *set;

static dcv_status read_rows(const char *rows, const dcv_labels *labels, int64_t classes, dcv_truth **out)
{
    char text[2000];
    snprintf(text, sizeof text, "%s%s", head, rows);
    put("boxes.csv", text, strlen(text));
    return dcv_truth_read(at("boxes.csv"), "boxes.csv", set, labels, classes, out);
}

static bool is(const dcv_truth_box *b, int64_t item, int class_number, double y0, double x0, double y1, double x1)
{
    const double far = fabs(b->y0 - y0) + fabs(b->x0 - x0) + fabs(b->y1 - y1) + fabs(b->x1 - x1);
    if (b->item == item && b->class_number == class_number && far <= 1e-12)
        return true;
    fprintf(stderr, "item %d, class %d, %g %g %g %g\n", (int)b->item, (int)b->class_number, b->y0, b->x0, b->y1, b->x1);
    return false;
}

/* 0 a/one.png 20 x 30, 1 a/two.png 40 x 40, 2 b/two.png 10 x 10, 3 broken.png, 4 "c,d.png" 50 x 60 */
static void make_set(void)
{
    mkdir(at("set"), 0777);
    mkdir(at("set/a"), 0777);
    mkdir(at("set/b"), 0777);
    put_picture("set/a/one.png", 20, 30);
    put_picture("set/a/two.png", 40, 40);
    put_picture("set/b/two.png", 10, 10);
    put("set/broken.png", "\x89PNG\r\n\x1a\n", 8);
    put_picture("set/c,d.png", 50, 60);
}

static void good(void)
{
    dcv_truth *t;
    CHECK_OK(dcv_dataset_open_plain(at("set"), "none", NULL, NULL, &set));
    CHECK(set->n == 5);
    CHECK_OK(read_rows("a/two.png,7,1,2,3,4\r\n"
                       "one.png,3, 0 ,\t0,20,30\n"
                       "\n"
                       "elsewhere.png,3,0,0,200,300\n"
                       "\"c,d.png\",0,1.5,2.25,5e1,60\n"
                       "broken.png,1,0,0,1,1\n"
                       "  a/two.png  ,8,5,6,7,40",
                       NULL, 10, &t));
    CHECK(t->rows == 6 && t->n == 4 && t->ignored == 1 && t->outside == 0 && t->most == 2);
    CHECK(t->first[0] == 0 && t->first[1] == 1 && t->first[2] == 3 && t->first[3] == 3 && t->first[5] == 4);
    CHECK(is(&t->box[0], 0, 3, 0, 0, 20, 30) && is(&t->box[1], 1, 7, 1, 2, 3, 4));
    CHECK(is(&t->box[2], 1, 8, 5, 6, 7, 40) && is(&t->box[3], 4, 0, 1.5, 2.25, 50, 60));
    CHECK(t->box[1].line == 2 && t->box[2].line == 8);
    dcv_truth_free(t);
    CHECK_OK(read_rows("\" one.png\",1,0,0,1,1\n\"one.png\" , \"1\" ,0,0,1,1\n", NULL, 10, &t));
    CHECK(t->n == 1 && t->ignored == 1); /* blanks in quotes count */
    dcv_truth_free(t);
}

static void classes(void)
{
    dcv_truth *t;
    char *line[] = {"n01 tench, Tinca", "n02 \"the\" shark", "7"};
    const dcv_labels labels = {3, line};
    CHECK_OK(read_rows(
        "one.png,\"N01 Tench, tinca\",0,0,1,1\none.png,n02,0,0,1,2\none.png,\"n02 \"\"the\"\" shark\",0,0,1,3\n"
        "one.png,7,0,0,1,4\none.png,2,0,0,1,5\n",
        &labels, 3, &t));
    CHECK(t->n == 5 && t->box[0].class_number == 0 && t->box[1].class_number == 1 && t->box[2].class_number == 1);
    CHECK(t->box[3].class_number == 2 && t->box[4].class_number == 2); /* 7 is no number of a class, but a name */
    dcv_truth_free(t);
    CHECK_FAILS(read_rows("one.png,1,0,0,1,1\none.png,3,0,0,1,1\n", &labels, 3, &t), DCV_EDATA,
                "boxes.csv:3: class 3; the network has 0 to 2");
    CHECK_FAILS(read_rows("one.png,-1,0,0,1,1\n", NULL, 3, &t), DCV_EDATA, "boxes.csv:2: class -1;");
    CHECK_FAILS(read_rows("one.png,99999999999999999999,0,0,1,1\n", NULL, 0, &t), DCV_EDATA, "boxes.csv:2: class 9999");
    CHECK_FAILS(read_rows("one.png,n03,0,0,1,1\n", NULL, 3, &t), DCV_EDATA, "boxes.csv:2: no class \"n03\"; expected");
    CHECK_OK(read_rows("gone.png,n03,0,0,1,1\none.png,1,0,0,1,1\n", &labels, 3, &t)); /* another picture's class */
    dcv_truth_free(t);
    dcv_dataset_free(set);
    CHECK_OK(dcv_dataset_open_plain(at("set"), "folder", NULL, NULL, &set));
    CHECK_OK(read_rows("one.png,B,0,0,1,1\na/two.png,a,0,0,1,1\n", NULL, 3, &t));
    CHECK(t->box[0].class_number == 1 && t->box[1].class_number == 0);
    dcv_truth_free(t);
}

static void refused(void)
{
    static const struct {
        const char *rows, *message;
    } cases[] = {
        {"", "boxes.csv:1: a header and no boxes"},
        {"x.png,1,0,0,1,1\ny.png,1,0,0,1,1\n", "boxes.csv:2: no row is of a picture of the data set"},
        {"two.png,1,0,0,1,1\n", "boxes.csv:2: \"two.png\" may be a/two.png or b/two.png"},
        {"one.png,1,0,0,1\n", "boxes.csv:2: 5 fields; expected image,class"},
        {"one.png,1,0,0,1,1,\n", "boxes.csv:2: more than 6 fields"},
        {"one.png,1,0,0,1,a\n", "boxes.csv:2: x1 is \"a\"; expected a number"},
        {"one.png,1,0,0,,1\n", "boxes.csv:2: y1 is \"\""},
        {"one.png,1,0,0,0x10,1\n", "boxes.csv:2: y1 is \"0x10\""},
        {"one.png,1,0,0,nan,1\n", "boxes.csv:2: y1 is"},
        {"one.png,1,0,0,1e999,1\n", "boxes.csv:2: y1 is"},
        {"one.png,1,0,0,1,1 2\n", "boxes.csv:2: x1 is"},
        {",1,0,0,1,1\n", "boxes.csv:2: no image"},
        {"one.png,,0,0,1,1\n", "boxes.csv:2: no class"},
        {"one.png,1,0,0,1,1\none.png,1,5,0,5,1\n", "boxes.csv:3: an empty box"},
        {"x.png,1,0,3,1,1\n", "boxes.csv:2: an empty box"},
        {"one.png,1,0,0,21,1\n",
         "boxes.csv:2: rows 0 to 21, columns 0 to 1 are not inside the picture: a/one.png has 20"},
        {"one.png,1,0,-1,2,1\n", "boxes.csv:2: rows 0 to 2, columns -1"},
        {"one.png,1,0,30,2,31\n", "boxes.csv:2: rows"},
        {"\"one.png,1,0,0,1,1\n", "boxes.csv:2: a quote"},
        {"\"one\".png,1,0,0,1,1\n", "boxes.csv:2: a quote"},
    };
    dcv_truth *t;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_FAILS(read_rows(cases[i].rows, NULL, 10, &t), DCV_EDATA, cases[i].message);
        CHECK(t == NULL);
    }
    static const char *const bad_heads[] = {"", "\n", "image,class,x0,y0,x1,y1\n", "one.png,1,0,0,1,1\n",
                                            "image,class,y0,x0,y1,x1,more\n"};
    for (size_t i = 0; i < sizeof bad_heads / sizeof *bad_heads; i++) {
        put("bad.csv", bad_heads[i], strlen(bad_heads[i]));
        CHECK_FAILS(dcv_truth_read(at("bad.csv"), "bad.csv", set, NULL, 10, &t), DCV_EDATA,
                    "bad.csv:1: expected the header");
    }
    put("bad.csv", "image\0", 6);
    CHECK_FAILS(dcv_truth_read(at("bad.csv"), "bad.csv", set, NULL, 10, &t), DCV_EDATA, "bad.csv:1: not a text");
    CHECK_FAILS(dcv_truth_read(at("set"), "set", set, NULL, 10, &t), DCV_EDATA, "set: not a regular file");
    static const char marked[] = "\xef\xbb\xbfimage, class ,y0,x0,y1,\"x1\"\r\none.png,1,0,0,1,1\r\n";
    put("bom.csv", marked, sizeof marked - 1);
    CHECK_OK(dcv_truth_read(at("bom.csv"), "bom.csv", set, NULL, 10, &t));
    CHECK(t && t->n == 1);
    dcv_truth_free(t);
    dcv_dataset_free(set);
}

/* Shorter side 10, the middle 8 x 8 of it: a/one.png is 10 x 15 then, cut at row 1, column 4 (3.5 to even). */
static void framed(void)
{
    const char *const sets[] = {"resize=10", "crop=8"};
    dcv_preprocess p;
    dcv_arena *arena;
    dcv_truth *t;
    CHECK_OK(dcv_arena_new(&arena));
    CHECK_OK(dcv_preprocess_read(sets, 2, &p, arena));
    CHECK_OK(dcv_dataset_open_plain(at("set"), "none", NULL, &p, &set));
    CHECK_OK(read_rows("one.png,1,0,0,20,30\none.png,1,5,10,9,13\none.png,1,0,0,2,30\none.png,1,0,25,20,30\n"
                       "b/two.png,2,0,0,2,2\n",
                       NULL, 10, &t));
    CHECK(t->n == 3 && t->outside == 2 && t->ignored == 0);
    CHECK(is(&t->box[0], 0, 1, 0, 0, 8, 8) && is(&t->box[1], 0, 1, 1.5, 1, 3.5, 2.5));
    CHECK(is(&t->box[2], 2, 2, 0, 0, 1, 1));
    dcv_truth_free(t);
    dcv_dataset_free(set);
    dcv_arena_free(arena);
}

int main(void)
{
    const int64_t before = dcv_alloc_balance();
    CHECK(mkdtemp(dir) != NULL);
    make_set();
    good();
    classes();
    refused();
    framed();
    CHECK(dcv_alloc_balance() == before);
    char command[500];
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK(system(command) == 0);
    return check_end();
}
