/* Small parts of the run-time: CRCs of joined pieces, keys that differ, failure tables, paths. */
#include "check.h"
#include "deconvoy/hash.h"
#include "deconvoy/memory.h"
#include "runtime/crc.h"
#include "runtime/file.h"
#include "runtime/plan.h"

static void crcs(void)
{
    unsigned char bytes[1000];
    for (int i = 0; i < 1000; i++)
        bytes[i] = (unsigned char)(i * i % 251);
    const uint32_t all = dcv_crc32c(0, bytes, 1000);
    for (size_t cut = 0; cut <= 1000; cut += 37)
        CHECK(crc_combine(dcv_crc32c(0, bytes, cut), dcv_crc32c(0, bytes + cut, 1000 - cut), (int64_t)(1000 - cut)) ==
              all);
    CHECK(crc_pieces(0) == 1 && crc_pieces((int64_t)64 << 20) == 1 && crc_pieces(((int64_t)64 << 20) + 1) == 2);
    crc_piece piece[3];
    CHECK(crc_cut(7, 100, (int64_t)150 << 20, piece) == 3);
    CHECK(piece[2].id == 7 && piece[2].offset == 100 + ((int64_t)128 << 20) && piece[2].bytes == (int64_t)22 << 20);
}

static void differ(const char *a, const char *b, const char *want)
{
    char *text = plan_keys_that_differ(a, b);
    CHECK(text && !strcmp(text, want));
    if (text && strcmp(text, want))
        fprintf(stderr, "  \"%s\", want \"%s\"\n", text, want);
    dcv_free(text);
}

static void keys(void)
{
    const char *a = "job: infer\nmodel:\n  file: a.onnx\n  precision: fast\ndataset:\n  preprocess:\n    scale: 1\n    "
                    "mean:\n    - 1\n    - 2\n";
    differ(a, a, "");
    differ(a,
           "job: infer\nmodel:\n  file: b.onnx\n  precision: fast\ndataset:\n  preprocess:\n    scale: 1\n    mean:\n  "
           "  - 1\n    - 2\n",
           "model.file");
    differ(a,
           "job: infer\nmodel:\n  file: a.onnx\n  precision: fast\ndataset:\n  preprocess:\n    scale: 2\n    mean:\n  "
           "  - 1\n    - 3\n",
           "dataset.preprocess.scale, dataset.preprocess.mean");
    differ("a: 1\n", "a: 1\nb:\n  c: 2\n", "b, b.c");
    differ("a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\ng: 1\n", "", "a, b, c, d, e, ...");
    differ("", "", "");
}

static void texts(void)
{
    file_size_text t;
    CHECK(!strcmp(file_size_print(999, t), "999 bytes"));
    CHECK(!strcmp(file_size_print((int64_t)3 << 29, t), "1.50 GiB"));
    const char *want[][2] = {{"a.h5", "."}, {"x/a.h5", "x"}, {"/a.h5", "/"}, {"/x/y/a", "/x/y"}};
    for (size_t i = 0; i < 4; i++) {
        char *folder = file_folder(want[i][0]);
        CHECK(!strcmp(folder, want[i][1]));
        dcv_free(folder);
    }
}

int main(void)
{
    crcs();
    keys();
    texts();
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
