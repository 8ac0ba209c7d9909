/* test_store.c -- skeletons, what is read back, and files that are refused.
 *
 * `io_test_store make FILE` writes the file that store_h5py.py reads with another program.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <hdf5.h>
#include "check.h"
#include "deconvoy/hash.h"
#include "deconvoy/memory.h"
#include "deconvoy/store.h"

/* HDF5 1.10.8 loses 264 bytes where a file cannot be created. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static char dir[] = "/tmp/dcv_store_XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[4][300];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

static dcv_dims dims(int n, int64_t a, int64_t b, int64_t c)
{
    return (dcv_dims){n, {a, b, c}};
}

static char *long_text(size_t n)
{
    char *text = dcv_alloc(n + 1, 1);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + i * 7 % 26);
    return text;
}

/* Numbers of the declared sets, and one declaration of everything that a result has. */
typedef struct demo {
    int value, y, x, patch, name, count, none, none2;
} demo;

static dcv_store *declare(demo *d, size_t config_bytes)
{
    dcv_store *s;
    CHECK_OK(dcv_store_new(&s));
    char *config = long_text(config_bytes);
    CHECK_OK(dcv_store_text(s, "/", "format", "deconvoy"));
    CHECK_OK(dcv_store_int(s, "/", "format_version", 1));
    CHECK_OK(dcv_store_text(s, "/", "config_yaml", config));
    CHECK_OK(dcv_store_text(s, "/", "empty", ""));
    CHECK_OK(dcv_store_text(s, "/job/L.1", "layer", "L/1 \xc3\xa9"));
    dcv_free(config);
    dcv_dims shape = dims(3, 2, 3, 4), n_y = dims(1, 3, 0, 0), n_x = dims(1, 4, 0, 0), names = dims(1, 2, 0, 0);
    dcv_dims pictures = {5, {2, 1, 4, 5, 3}}, scalar = {0, {0}}, empty = dims(1, 0, 0, 0), empty2 = dims(2, 3, 0, 0);
    CHECK_OK(dcv_store_dataset(s, "/job/L.1/value", DCV_F32, 0, &shape, &d->value));
    CHECK_OK(dcv_store_dataset(s, "/job/L.1/y", DCV_I32, 0, &n_y, &d->y));
    CHECK_OK(dcv_store_dataset(s, "/job/L.1/x", DCV_F64, 0, &n_x, &d->x));
    CHECK_OK(dcv_store_dataset(s, "/job/L.1/patch", DCV_U8, 0, &pictures, &d->patch));
    CHECK_OK(dcv_store_dataset(s, "/inputs/name", DCV_U8, 7, &names, &d->name));
    CHECK_OK(dcv_store_dataset(s, "/failures/count", DCV_I64, 0, &scalar, &d->count));
    CHECK_OK(dcv_store_dataset(s, "/none", DCV_F32, 0, &empty, &d->none));
    CHECK_OK(dcv_store_dataset(s, "/none2", DCV_U8, 5, &empty2, &d->none2));
    const int32_t y[3] = {0, 16, 32};
    const double x[4] = {0.5, 1.5, 2.5, 3.5};
    CHECK_OK(dcv_store_values(s, d->y, y, sizeof y));
    CHECK_OK(dcv_store_values(s, d->x, x, sizeof x));
    CHECK_OK(dcv_store_values(s, d->name, "a.jpg\0\0\xc3\xa9.png\0", 14));
    CHECK_OK(dcv_store_axis(s, d->value, 0, -1, "picture"));
    CHECK_OK(dcv_store_axis(s, d->value, 1, d->y, "y"));
    CHECK_OK(dcv_store_axis(s, d->value, 2, d->x, NULL));
    CHECK_OK(dcv_store_nxdata(s, "/job/L.1", "value", (const char *const[]){".", "y", "x"}, 3));
    CHECK_OK(dcv_store_image(s, d->patch, 3));
    return s;
}

static void put(int fd, const dcv_region *r, const void *bytes)
{
    CHECK(pwrite(fd, bytes, (size_t)r->bytes, r->offset) == r->bytes);
}

/* Skeleton, values by pwrite, check sums: a finished file. */
static void make(const char *file, size_t config_bytes)
{
    demo d;
    dcv_store *s = declare(&d, config_bytes);
    int64_t file_bytes;
    CHECK_OK(dcv_store_create(s, file, &file_bytes));
    const int fd = open(file, O_RDWR);
    float value[24];
    uint8_t patch[120];
    const int64_t count = -5;
    for (int i = 0; i < 24; i++)
        value[i] = (float)i / 4;
    for (int i = 0; i < 120; i++)
        patch[i] = (uint8_t)(2 * i);
    put(fd, dcv_store_region(s, d.value), value);
    put(fd, dcv_store_region(s, d.patch), patch);
    put(fd, dcv_store_region(s, d.count), &count);
    CHECK_OK(dcv_store_seal(s, fd));
    struct stat about;
    CHECK(fstat(fd, &about) == 0 && about.st_size == file_bytes);
    close(fd);
    dcv_store_free(s);
}

static bool same_bytes(const char *a, const char *b)
{
    char cmd[700];
    snprintf(cmd, sizeof cmd, "cmp -s '%s' '%s'", a, b);
    return system(cmd) == 0;
}

static void test_declarations(void)
{
    dcv_store *s;
    int id, other;
    dcv_dims d = dims(1, 4, 0, 0), bad = dims(1, -1, 0, 0), other_d = dims(1, 5, 0, 0);
    CHECK_OK(dcv_store_new(&s));
    CHECK_OK(dcv_store_dataset(s, "/a/b", DCV_F32, 0, &d, &id));
    CHECK_OK(dcv_store_dataset(s, "/a/c", DCV_F32, 0, &other_d, &other));
    CHECK_FAILS(dcv_store_dataset(s, "/a/b", DCV_U8, 0, &d, &id), DCV_EDATA, "/a/b");
    CHECK(id == -1);
    CHECK_FAILS(dcv_store_dataset(s, "/a//b", DCV_U8, 0, &d, &id), DCV_EDATA, "/a//b");
    CHECK_FAILS(dcv_store_dataset(s, "/a/.", DCV_U8, 0, &d, &id), DCV_EDATA, "/a/.");
    CHECK_FAILS(dcv_store_dataset(s, "a", DCV_U8, 0, &d, &id), DCV_EINTERNAL, "start");
    CHECK_FAILS(dcv_store_dataset(s, "/d", DCV_U8, 0, &bad, &id), DCV_EDATA, "");
    CHECK_FAILS(dcv_store_values(s, 0, "abc", 3), DCV_EINTERNAL, "want 16");
    CHECK_FAILS(dcv_store_axis(s, 0, 1, -1, "x"), DCV_EINTERNAL, "no axis 1");
    CHECK_FAILS(dcv_store_axis(s, 0, 0, other, "x"), DCV_EINTERNAL, "cannot describe");
    CHECK_FAILS(dcv_store_image(s, 0, 2), DCV_EINTERNAL, "want 1 or 3");
    CHECK(dcv_store_count(s) == 2);
    dcv_store_free(s);
    dcv_store_free(NULL);
}

static void test_offsets(void)
{
    demo d;
    dcv_store *s = declare(&d, 100);
    int64_t bytes, mine[8], theirs[8];
    CHECK(dcv_store_count(s) == 8 && dcv_store_region(s, d.value)->offset == -1);
    CHECK_OK(dcv_store_create(s, in_dir("o.h5"), &bytes));
    CHECK(dcv_store_count(s) == 8);
    CHECK(dcv_store_region(s, d.none)->offset == -1 && dcv_store_region(s, d.none)->bytes == 0);
    CHECK(dcv_store_region(s, d.none2)->offset == -1);
    CHECK(dcv_store_region(s, d.value)->offset > 0 && dcv_store_region(s, d.value)->bytes == 96);
    CHECK(dcv_store_region(s, d.count)->bytes == 8 && dcv_store_region(s, d.name)->elem_bytes == 7);
    CHECK(dcv_store_region(s, d.y)->preset && !dcv_store_region(s, d.value)->preset);
    CHECK(dcv_store_checksums(s)->bytes == 9 * 4 && dcv_store_checksums(s)->offset > 0);
    dcv_store_offsets(s, mine);

    dcv_store *again = declare(&d, 100);
    CHECK_OK(dcv_store_attach(again, in_dir("o.h5")));
    dcv_store_offsets(again, theirs);
    CHECK(memcmp(mine, theirs, sizeof mine) == 0);
    CHECK(dcv_store_checksums(again)->offset == dcv_store_checksums(s)->offset);
    dcv_store_free(again);

    again = declare(&d, 100); /* a rank that only hears of them */
    dcv_store_set_offsets(again, mine);
    CHECK(dcv_store_region(again, d.patch)->offset == mine[d.patch]);
    int id;
    dcv_dims more = dims(1, 3, 0, 0);
    CHECK_OK(dcv_store_dataset(again, "/more", DCV_F32, 0, &more, &id));
    CHECK_FAILS(dcv_store_attach(again, in_dir("o.h5")), DCV_EDATA, "/more");
    dcv_store_free(again);
    dcv_store_free(s);
    CHECK_OK(dcv_store_new(&s));
    CHECK_OK(dcv_store_dataset(s, "/job/L.1/y", DCV_I32, 0, &(dcv_dims){1, {4}}, &id));
    CHECK_FAILS(dcv_store_attach(s, in_dir("o.h5")), DCV_EDATA, "another type or shape");
    dcv_store_free(s);
}

/* The same bytes from another process with other rubbish in its memory. */
static void test_same_bytes(void)
{
    static const size_t config_bytes[] = {10, 65500, 65536, 300000};
    for (size_t i = 0; i < 4; i++) {
        make(in_dir("a.h5"), config_bytes[i]);
        for (int k = 0; k < 3; k++) {
            const pid_t child = fork();
            if (child == 0) {
                char *rubbish[64];
                for (int j = 0; j < 64; j++)
                    memset(rubbish[j] = malloc((size_t)1 << (j % 16)), 0x5a + k, (size_t)1 << (j % 16));
                for (int j = 0; j < 64; j += 1 + k)
                    free(rubbish[j]);
                make(in_dir("b.h5"), config_bytes[i]);
                _exit(check_failures ? 1 : 0);
            }
            int how;
            CHECK(waitpid(child, &how, 0) == child && how == 0);
            CHECK(same_bytes(in_dir("a.h5"), in_dir("b.h5")));
        }
        dcv_h5 *f;
        CHECK_OK(dcv_h5_open(in_dir("a.h5"), &f));
        char *text = dcv_h5_attribute(f, "/", "config_yaml"), *want = long_text(config_bytes[i]);
        CHECK(text && strcmp(text, want) == 0);
        dcv_free(text);
        dcv_free(want);
        dcv_h5_close(f);
    }
}

static void test_many(void)
{
    dcv_store *s;
    CHECK_OK(dcv_store_new(&s));
    dcv_dims d = dims(2, 10, 3, 0), n = dims(1, 10, 0, 0);
    int id, scale;
    CHECK_OK(dcv_store_dataset(s, "/scale", DCV_I32, 0, &n, &scale));
    for (int i = 0; i < 1000; i++) {
        char path[64];
        snprintf(path, sizeof path, "/job/layer.%d/value", i);
        CHECK_OK(dcv_store_dataset(s, path, DCV_F32, 0, &d, &id));
        CHECK_OK(dcv_store_axis(s, id, 0, scale, "channel"));
        snprintf(path, sizeof path, "/job/layer.%d", i);
        CHECK_OK(dcv_store_text(s, path, "layer", path));
    }
    int64_t bytes;
    CHECK_OK(dcv_store_create(s, in_dir("many.h5"), &bytes));
    CHECK_OK(dcv_store_attach(s, in_dir("many.h5")));
    fprintf(stderr, "1001 data sets: %lld bytes\n", (long long)bytes);
    dcv_store_free(s);
}

static void test_cannot_write(void)
{
    demo d;
    int64_t bytes;
    dcv_store *s = declare(&d, 10);
    CHECK_FAILS(dcv_store_create(s, in_dir("no/such.h5"), &bytes), DCV_EIO, "No such file");
    if (access("/dev/full", W_OK) == 0) {
        CHECK_FAILS(dcv_store_create(s, "/dev/full", &bytes), DCV_EIO, "/dev/full");
        CHECK(access("/dev/full", F_OK) == 0); /* what is no file is left alone */
    }
    dcv_store_free(s);
}

/* --- Reading -------------------------------------------------------------------------- */

static dcv_status count_sets(void *ctx, const char *path, const dcv_h5_info *info)
{
    char *seen = ctx;
    (void)info;
    snprintf(seen + strlen(seen), 400 - strlen(seen), "%s ", path);
    return DCV_OK;
}

static void test_reading(void)
{
    make(in_dir("r.h5"), 50);
    dcv_h5 *f;
    dcv_h5_info info;
    CHECK_OK(dcv_h5_open(in_dir("r.h5"), &f));
    CHECK(dcv_h5_has(f, "/job/L.1/value") && dcv_h5_has(f, "/job") && !dcv_h5_has(f, "/job/M/value"));
    CHECK_OK(dcv_h5_info_of(f, "/job/L.1/value", &info));
    CHECK(info.type == DCV_F32 && info.dims.n == 3 && info.dims.d[2] == 4 && info.offset > 0 && info.text_bytes == 0);
    CHECK_OK(dcv_h5_info_of(f, "/inputs/name", &info));
    CHECK(info.type == DCV_U8 && info.text_bytes == 7 && info.dims.d[0] == 2);
    CHECK_OK(dcv_h5_info_of(f, "/none", &info));
    CHECK(info.dims.d[0] == 0 && info.offset == -1);
    CHECK_FAILS(dcv_h5_info_of(f, "/job", &info), DCV_EDATA, "/job");
    float v[12];
    double as_double[12];
    int64_t count;
    CHECK_OK(dcv_h5_read(f, "/job/L.1/value", DCV_F32, 1, 1, v));
    CHECK(v[0] == 3 && v[11] == 5.75f);
    CHECK_OK(dcv_h5_read(f, "/job/L.1/value", DCV_F64, 0, 1, as_double));
    CHECK(as_double[11] == 2.75);
    CHECK_OK(dcv_h5_read(f, "/failures/count", DCV_I64, 0, 1, &count));
    CHECK(count == -5);
    CHECK_OK(dcv_h5_read(f, "/failures/count", DCV_F32, 0, 1, v));
    CHECK(v[0] == -5);
    CHECK_OK(dcv_h5_read(f, "/none", DCV_F32, 0, 0, NULL));
    CHECK_FAILS(dcv_h5_read(f, "/job/L.1/value", DCV_F32, 1, 2, v), DCV_EDATA, "it has 2");
    CHECK_FAILS(dcv_h5_read(f, "/job/L.1/value", DCV_F32, -1, 1, v), DCV_EDATA, "it has 2");
    CHECK_FAILS(dcv_h5_read(f, "/job/L.1/value", DCV_F32, INT64_MAX, 1, v), DCV_EDATA, "it has 2");
    CHECK_FAILS(dcv_h5_read(f, "/inputs/name", DCV_F32, 0, 1, v), DCV_EDATA, "numbers");
    char names[20];
    CHECK_OK(dcv_h5_read_text(f, "/inputs/name", 0, 2, names, 10));
    CHECK(strcmp(names, "a.jpg") == 0 && strcmp(names + 10, "\xc3\xa9.png") == 0);
    CHECK_FAILS(dcv_h5_read_text(f, "/none", 0, 0, names, 10), DCV_EDATA, "texts");
    char *text = dcv_h5_attribute(f, "/job/L.1", "layer");
    CHECK(text && strcmp(text, "L/1 \xc3\xa9") == 0);
    dcv_free(text);
    text = dcv_h5_attribute(f, "/", "format_version");
    CHECK(text && strcmp(text, "1") == 0);
    dcv_free(text);
    text = dcv_h5_attribute(f, "/job/L.1", "axes");
    CHECK(text && strcmp(text, ". y x") == 0);
    dcv_free(text);
    CHECK(!dcv_h5_attribute(f, "/", "nothing") && !dcv_h5_attribute(f, "/nowhere", "nothing"));
    char seen[400] = "";
    CHECK_OK(dcv_h5_visit(f, count_sets, seen));
    CHECK(strcmp(seen, "/checksums/crc32c /checksums/path /checksums/structure /failures/count /inputs/name "
                       "/job/L.1/patch /job/L.1/value /job/L.1/x /job/L.1/y /none /none2 ") == 0);
    int64_t offset, bytes;
    CHECK_OK(dcv_h5_storage(f, "/checksums/crc32c", &offset, &bytes));
    CHECK(offset > 0 && bytes == 36);
    dcv_h5_close(f);
    dcv_h5_close(NULL);
    CHECK_FAILS(dcv_h5_open(in_dir("missing.h5"), &f), DCV_ENOINPUT, "missing.h5");
    CHECK_FAILS(dcv_h5_open(dir, &f), DCV_EDATA, "not a file");
    CHECK_FAILS(dcv_h5_open(DCV_SOURCE_DIR "/LICENSE", &f), DCV_EDATA, "not an HDF5 file");
}

/* --- Files that reach outside themselves, and other types ---------------------------- */

static void make_foreign(const char *file)
{
    const hsize_t n[2] = {4, 3};
    const hid_t f = H5Fcreate(file, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), space = H5Screate_simple(2, n, NULL);
    H5Lcreate_external("/etc/hostname", "/x", f, "link", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/link/deeper", f, "soft", H5P_DEFAULT, H5P_DEFAULT);
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(plist, "/etc/hostname", 0, 48);
    H5Dclose(H5Dcreate2(f, "outside", H5T_STD_I32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT));
    H5Pclose(plist);
    plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_virtual(plist, space, "/tmp/other.h5", "/x", space);
    H5Dclose(H5Dcreate2(f, "virtual", H5T_STD_I32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT));
    H5Pclose(plist);
    plist = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk[2] = {2, 2};
    H5Pset_chunk(plist, 2, chunk);
    H5Pset_deflate(plist, 1);
    const int16_t v[12] = {0, -1, 2, -3, 4, -5, 6, -7, 8, -9, 10, -11};
    const hid_t packed = H5Dcreate2(f, "packed", H5T_STD_I16BE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    H5Dwrite(packed, H5T_NATIVE_INT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, v);
    H5Dclose(packed);
    const hid_t text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, H5T_VARIABLE);
    H5Dclose(H5Dcreate2(f, "texts", text, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Tclose(text);
    H5Pclose(plist);
    H5Sclose(space);
    H5Fclose(f);
}

static void test_foreign(void)
{
    make_foreign(in_dir("f.h5"));
    dcv_h5 *f;
    dcv_h5_info info;
    CHECK_OK(dcv_h5_open(in_dir("f.h5"), &f));
    CHECK_FAILS(dcv_h5_info_of(f, "/link", &info), DCV_EDATA, "external links");
    CHECK_FAILS(dcv_h5_info_of(f, "/soft", &info), DCV_EDATA, "external links");
    CHECK_FAILS(dcv_h5_info_of(f, "/outside", &info), DCV_EDATA, "external storage");
    CHECK_FAILS(dcv_h5_info_of(f, "/virtual", &info), DCV_EDATA, "virtual");
    CHECK_FAILS(dcv_h5_info_of(f, "/texts", &info), DCV_EDATA, "neither numbers");
    CHECK_FAILS(dcv_h5_info_of(f, "/nothing", &info), DCV_EDATA, "/nothing");
    CHECK(strstr(dcv_message(), "external") == NULL);
    CHECK(dcv_h5_has(f, "/link") && dcv_h5_has(f, "/packed") && !dcv_h5_has(f, "/nothing"));
    CHECK_OK(dcv_h5_info_of(f, "/packed", &info));
    CHECK(info.type == DCV_I32 && info.offset == -1);
    int32_t v[6];
    CHECK_OK(dcv_h5_read(f, "/packed", DCV_I32, 2, 2, v));
    CHECK(v[0] == 6 && v[1] == -7 && v[5] == -11);
    int64_t offset, bytes;
    CHECK_FAILS(dcv_h5_storage(f, "/packed", &offset, &bytes), DCV_EDATA, "one piece");
    dcv_h5_close(f);
}

/* --- Probes --------------------------------------------------------------------------- */

static dcv_status fine(const char *file, void *ctx)
{
    (void)file, (void)ctx;
    return DCV_OK;
}
static dcv_status unhappy(const char *file, void *ctx)
{
    (void)ctx;
    return dcv_fail(DCV_ENOINPUT, "%s: unhappy", file);
}
static dcv_status faulty(const char *file, void *ctx)
{
    (void)file, (void)ctx;
    raise(SIGSEGV);
    return DCV_OK;
}
static dcv_status read_all(const char *file, void *ctx)
{
    char seen[400] = "";
    (void)ctx;
    dcv_h5 *f;
    DCV_TRY(dcv_h5_open(file, &f));
    const dcv_status st = dcv_h5_visit(f, count_sets, seen);
    dcv_free(dcv_h5_attribute(f, "/", "config_yaml"));
    dcv_h5_close(f);
    return st;
}

static void test_probe(void)
{
    CHECK_OK(dcv_probe("x", fine, NULL));
    CHECK_FAILS(dcv_probe("x", unhappy, NULL), DCV_ENOINPUT, "x: unhappy");
    CHECK_FAILS(dcv_probe("x.h5", faulty, NULL), DCV_EDATA, "x.h5: broken");
}

/* Damaged files end in a verdict, never in a crash of this process. */
static void test_mutations(void)
{
    make(in_dir("m.h5"), 300);
    FILE *f = fopen(in_dir("m.h5"), "rb");
    static unsigned char good[64 << 10], bad[64 << 10];
    const size_t n = fread(good, 1, sizeof good, f);
    fclose(f);
    unsigned seed = 1;
    int refused = 0;
    for (int round = 0; round < 150; round++) {
        memcpy(bad, good, n);
        for (int k = 0; k < 1 + round % 3; k++) {
            seed = seed * 1103515245u + 12345u;
            const size_t at = (seed >> 8) % n;
            seed = seed * 1103515245u + 12345u;
            bad[at] = (unsigned char)(seed >> 16);
        }
        f = fopen(in_dir("bad.h5"), "wb");
        fwrite(bad, 1, round % 10 ? n : (seed >> 8) % n, f);
        fclose(f);
        const dcv_status st = dcv_probe(in_dir("bad.h5"), read_all, NULL);
        CHECK(st == DCV_OK || st == DCV_EDATA);
        refused += st != DCV_OK;
    }
    CHECK(refused > 15);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "make") == 0) {
        make(argv[2], 100000);
        return check_failures ? 1 : 0;
    }
    if (!mkdtemp(dir))
        return 1;
    test_declarations();
    test_offsets();
    test_same_bytes();
    test_many();
    test_cannot_write();
    test_reading();
    test_foreign();
    test_probe();
    test_mutations();
    CHECK(dcv_alloc_balance() == 0);
    char cmd[64];
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    CHECK(system(cmd) == 0);
    return check_end();
}
