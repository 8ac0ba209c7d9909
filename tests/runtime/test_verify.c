/* test_verify.c -- a finished file is whole; with any byte changed it is not, and the data set is named. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "check.h"
#include "deconvoy/hash.h"
#include "deconvoy/memory.h"
#include "deconvoy/run.h"

static char dir[] = "/tmp/dcv_verify_XXXXXX", file[300];

static int64_t make(int64_t *value_at)
{
    static const char config[] = "job: infer\noutput: x\n";
    const dcv_dims shape = {3, {5, 4, 3}}, names = {1, {3}}, none = {1, {0}}, scalar = {0, {0}};
    dcv_store *s;
    int value, name, empty, one;
    int64_t bytes;
    CHECK_OK(dcv_store_new(&s));
    CHECK_OK(dcv_store_text(s, "/", "format", "deconvoy"));
    CHECK_OK(dcv_store_text(s, "/", "config_yaml", config));
    CHECK_OK(dcv_store_text(s, "/", "config_sha256", dcv_sha256_of(config, sizeof config - 1).hex));
    CHECK_OK(dcv_store_dataset(s, "/infer/value", DCV_F32, 0, &shape, &value));
    CHECK_OK(dcv_store_dataset(s, "/infer/class", DCV_I32, 0, &names, &one));
    CHECK_OK(dcv_store_dataset(s, "/inputs/name", DCV_U8, 9, &names, &name));
    CHECK_OK(dcv_store_dataset(s, "/infer/none", DCV_F32, 0, &none, &empty));
    CHECK_OK(dcv_store_axis(s, value, 0, -1, "item"));
    CHECK_OK(dcv_store_dataset(s, "/failures/count", DCV_I64, 0, &scalar, &one));
    CHECK_OK(dcv_store_create(s, file, &bytes));
    *value_at = dcv_store_region(s, value)->offset;
    float values[60];
    for (int i = 0; i < 60; i++)
        values[i] = (float)i;
    const int fd = open(file, O_RDWR);
    CHECK(pwrite(fd, values, sizeof values, *value_at) == sizeof values);
    CHECK_OK(dcv_store_seal(s, fd));
    close(fd);
    dcv_store_free(s);
    return bytes;
}

/* Turn the bits of mask at a place; again to turn them back. */
static void turn(int64_t at, unsigned char mask)
{
    unsigned char c;
    const int fd = open(file, O_RDWR);
    CHECK(pread(fd, &c, 1, at) == 1);
    c ^= mask;
    CHECK(pwrite(fd, &c, 1, at) == 1);
    close(fd);
}

static void test_damage(void)
{
    int64_t value_at;
    dcv_whole whole;
    const int64_t bytes = make(&value_at);
    CHECK_OK(dcv_verify(file, &whole));
    CHECK(whole.bytes == bytes && whole.n_datasets == 8);
    turn(value_at + 17, 1);
    CHECK_FAILS(dcv_verify(file, &whole), DCV_EDATA, "damaged: /infer/value");
    CHECK(whole.bytes == 0);
    turn(value_at + 17, 1);
    const int step = bytes > 4000 ? (int)(bytes / 400) : 10;
    for (int64_t at = 3; at < bytes; at += step) {
        turn(at, 0x20);
        CHECK(dcv_verify(file, &whole) == DCV_EDATA);
        if (!dcv_message()[0])
            fprintf(stderr, "byte %lld: no message\n", (long long)at);
        turn(at, 0x20);
    }
    CHECK_OK(dcv_verify(file, &whole));
    CHECK(truncate(file, bytes - 1) == 0);
    CHECK(dcv_verify(file, &whole) == DCV_EDATA);
    CHECK(truncate(file, bytes + 1) == 0);
    CHECK_FAILS(dcv_verify(file, &whole), DCV_EDATA, "structure");
}

static void test_no_result(void)
{
    dcv_whole whole;
    char other[400], partial[400];
    snprintf(other, sizeof other, "%s/other.h5", dir);
    snprintf(partial, sizeof partial, "%s.part", file);
    CHECK(unlink(file) == 0);
    CHECK_FAILS(dcv_verify(file, &whole), DCV_ENOINPUT, "not found");
    CHECK_FAILS(dcv_verify(partial, &whole), DCV_ENOINPUT, "not found");
    int64_t at;
    (void)make(&at);
    CHECK(rename(file, partial) == 0);
    CHECK_FAILS(dcv_verify(partial, &whole), DCV_ESTOP, "not finished");
    CHECK_FAILS(dcv_verify(file, &whole), DCV_ENOINPUT, "not there yet");
    CHECK(unlink(partial) == 0);
    CHECK_FAILS(dcv_verify(DCV_SOURCE_DIR "/LICENSE", &whole), DCV_EDATA, "not an HDF5 file");
    dcv_store *s;
    CHECK_OK(dcv_store_new(&s));
    CHECK_OK(dcv_store_create(s, other, &at));
    CHECK_FAILS(dcv_verify(other, &whole), DCV_EDATA, "not a result of deconvoy");
    CHECK(unlink(other) == 0);
    dcv_store_free(s);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(file, sizeof file, "%s/r.h5", dir);
    test_damage();
    test_no_result();
    CHECK(rmdir(dir) == 0);
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
