/* test_inspect.c -- what inspect prints, in its three kinds of files, and how it refuses.
 *
 *     calls_test_inspect             all tests
 *     calls_test_inspect FILE ...    as `deconvoy inspect FILE ...` (for inspect_json.py)
 *     calls_test_inspect --make DIR  files to inspect: DIR/out.h5, DIR/out.h5.part, DIR/data.h5
 */
#include "check.h"

#include <unistd.h>
#include "calls/call.h"
#include "calls/inspect.h"
#include "core/json.h"
#include "deconvoy/journal.h"
#include "deconvoy/memory.h"
#include "deconvoy/store.h"

#define GOLDEN DCV_SOURCE_DIR "/tests/golden"

extern const dcv_call dcv_call_inspect;

/* What inspect prints of a file; *st its status. */
static char *text_of(const char *file, bool json, dcv_status *st)
{
    char *text = NULL;
    size_t n = 0;
    const dcv_inspect o = {.file = file, .json = json};
    FILE *to = open_memstream(&text, &n);
    *st = dcv_inspect_file(&o, to);
    fclose(to);
    return text;
}

static bool prints(const char *file, bool json, dcv_status want, const char *part)
{
    dcv_status st;
    char *text = text_of(file, json, &st);
    const bool good = st == want && strstr(text, part);
    if (!good)
        fprintf(stderr, "%s: status %d, want %d; no \"%s\" in\n%s\n", file, (int)st, (int)want, part, text);
    free(text);
    return good;
}

/* --- Models --------------------------------------------------------------------------------------- */

static void test_model(void)
{
    const char *file = GOLDEN "/inspect/fixed.onnx", *open = GOLDEN "/inspect/open.onnx";
    CHECK(prints(file, false, DCV_OK, "classes  5, logits logits, then softmax\n"));
    CHECK(prints(file, false, DCV_OK, "\ntotal    14 nodes, 629 parameters, 0.9093 million"));
    CHECK(prints(open, false, DCV_OK, "1x4x?x?"));
    CHECK(prints(open, false, DCV_OK, "multiply-adds unknown (give --input-shape C,H,W)"));
    /* columns stand under each other */
    CHECK(prints(file, false, DCV_OK, "\npool        MaxPool            pool    1x4x23x39            0       0"));
    CHECK(prints(file, false, DCV_OK, "\nlogits      Gemm               logits  1x5                 25      20"));
}

static void test_refusals(void)
{
    CHECK(prints(GOLDEN "/onnx/bad/cycle.onnx", false, DCV_EDATA, ""));
    CHECK(prints(GOLDEN "/onnx/bad/empty.onnx", true, DCV_EDATA, ""));
    CHECK(prints("/no/such", false, DCV_ENOINPUT, ""));
    CHECK(prints("/dev/null", false, DCV_EDATA, ""));
    CHECK(prints(GOLDEN "/inspect/left_out_end.onnx", false, DCV_EDATA, ""));
    CHECK(strstr(dcv_message(), "left_out_end.onnx: node \"n\" (Add): 1 inputs"));
    CHECK(prints(GOLDEN "/inspect/left_out_middle.onnx", false, DCV_EDATA, ""));
    CHECK(strstr(dcv_message(), "node \"n\" (Sum): input 1 is left out"));
    /* an operator that nobody has: listed, then refused by name */
    CHECK(prints(GOLDEN "/inspect/unknown.onnx", false, DCV_EUNSUPPORTED, "n     Frobnicate  y       ?"));
    CHECK(strstr(dcv_message(), "unknown.onnx: node \"n\": operator Frobnicate (opset 13)"));
}

static void test_arguments(void)
{
    int code = 0;
    const char *const wrong[][4] = {{"inspect"},
                                    {"inspect", "--jason", "x"},
                                    {"inspect", "a", "b"},
                                    {"inspect", "a", "--input-shape", "3,x"},
                                    {"inspect", "a", "--input-shape", "3,,4"},
                                    {"inspect", "a", "--input-shape=0,4"},
                                    {"inspect", "a", "--input-shape=1,1,1,1,1,1,1,1,1"},
                                    {"inspect", "a", "--input-shape=99999999999999999999"},
                                    {"inspect", "a", "--input-shape"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int argc = 0;
        while (argc < 4 && wrong[i][argc])
            argc++;
        CHECK(dcv_call_inspect.run(argc, (char **)wrong[i], &code) == DCV_EUSAGE);
    }
}

/* --- HDF5 ----------------------------------------------------------------------------------------- */

/* A result of five items: three done, one failed, one not yet. */
static dcv_status make_result(const char *file)
{
    static const uint8_t status[5] = {1, 1, 2, 0, 1};
    static const int64_t item[5] = {2, -1, -1, -1, -1};
    static const char message[5][200] = {"b.png: cut\noff"};
    int64_t bytes;
    int id;
    dcv_store *s;
    DCV_TRY(dcv_store_new(&s));
    dcv_status st;
    DCV_TRY_DONE(st, dcv_store_text(s, "/", "format", "deconvoy"));
    DCV_TRY_DONE(st, dcv_store_int(s, "/", "format_version", 1));
    DCV_TRY_DONE(st, dcv_store_text(s, "/", "job", "infer"));
    DCV_TRY_DONE(st, dcv_store_dataset(s, "/inputs/status", DCV_U8, 0, &(dcv_dims){1, {5}}, &id));
    DCV_TRY_DONE(st, dcv_store_values(s, id, status, sizeof status));
    DCV_TRY_DONE(st, dcv_store_dataset(s, "/failures/item", DCV_I64, 0, &(dcv_dims){1, {5}}, &id));
    DCV_TRY_DONE(st, dcv_store_values(s, id, item, sizeof item));
    DCV_TRY_DONE(st, dcv_store_dataset(s, "/failures/message", DCV_U8, 200, &(dcv_dims){1, {5}}, &id));
    DCV_TRY_DONE(st, dcv_store_values(s, id, message, sizeof message));
    DCV_TRY_DONE(st, dcv_store_dataset(s, "/infer/prob", DCV_F32, 0, &(dcv_dims){2, {5, 10}}, &id));
    st = dcv_store_create(s, file, &bytes);
done:
    dcv_store_free(s);
    return st;
}

/* Four items of float data, and a data set that is something else. */
static dcv_status make_data(const char *file)
{
    int64_t bytes;
    int id;
    dcv_store *s;
    DCV_TRY(dcv_store_new(&s));
    dcv_status st;
    DCV_TRY_DONE(st, dcv_store_dataset(s, "/images", DCV_F32, 0, &(dcv_dims){4, {4, 3, 8, 6}}, &id));
    DCV_TRY_DONE(st, dcv_store_dataset(s, "/other", DCV_F64, 0, &(dcv_dims){1, {7}}, &id));
    st = dcv_store_create(s, file, &bytes);
done:
    dcv_store_free(s);
    return st;
}

/* The journal of a run that kept 4 of 10 units, and reported one item as failed. */
static dcv_status make_journal(const char *output)
{
    const dcv_sha256 plan = dcv_sha256_of("plan", 4);
    const dcv_record records[] = {{.kind = DCV_RECORD_PHASE, .a = 10, .b = 5},
                                  {.kind = DCV_RECORD_FAILED, .a = 2},
                                  {.kind = DCV_RECORD_UNITS, .a = 3, .b = 4}};
    dcv_journal *j;
    dcv_status st = DCV_OK;
    DCV_TRY(dcv_journal_new(output, &plan, false, &j));
    for (size_t i = 0; i < sizeof records / sizeof *records && st == DCV_OK; i++)
        st = dcv_journal_add(j, &records[i]);
    if (st == DCV_OK)
        st = dcv_journal_write(j);
    dcv_journal_free(j);
    return st;
}

static dcv_status make(const char *dir)
{
    char path[512];
    snprintf(path, sizeof path, "%s/out.h5", dir);
    DCV_TRY(make_result(path));
    DCV_TRY(make_journal(path));
    snprintf(path, sizeof path, "%s/out.h5.part", dir);
    DCV_TRY(make_result(path));
    snprintf(path, sizeof path, "%s/data.h5", dir);
    return make_data(path);
}

static void test_h5(void)
{
    char dir[] = "/tmp/dcv_inspect_XXXXXX", path[512], command[600];
    CHECK(mkdtemp(dir));
    CHECK_OK(make(dir));
    snprintf(path, sizeof path, "%s/out.h5", dir);
    CHECK(prints(path, false, DCV_OK, "state    complete\njob      infer\n"));
    CHECK(prints(path, false, DCV_OK, "items    5: 3 done, 1 failed, 1 not yet\nfailed   item 2: b.png: cut?off\n"));
    CHECK(prints(path, false, DCV_OK, "\n/failures/message     S200  5\n"));
    snprintf(path, sizeof path, "%s/out.h5.part", dir);
    CHECK(prints(path, false, DCV_OK, "state    under way or stopped"));
    CHECK(prints(path, false, DCV_OK, "\nunits    4 of 10 in phase 1, start 1"));
    CHECK(prints(path, false, DCV_OK, "\nkept     last at 20"));
    CHECK(prints(path, true, DCV_OK, "\"kind\": \"run\""));
    snprintf(path, sizeof path, "%s/out.h5", dir);
    CHECK(unlink(path) == 0);
    CHECK(prints(path, false, DCV_ENOINPUT, "") && strstr(dcv_message(), "out.h5.part is there"));
    snprintf(path, sizeof path, "%s/data.h5", dir);
    CHECK(prints(path, false, DCV_OK, "items    4, network input, each 1x3x8x6\n"));
    CHECK(truncate(path, 700) == 0);
    CHECK(prints(path, false, DCV_EDATA, ""));
    CHECK(truncate(path, 0) == 0);
    CHECK(prints(path, false, DCV_EDATA, ""));
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK(system(command) == 0);
}

/* --- JSON ----------------------------------------------------------------------------------------- */

static void test_json(void)
{
    char *text = NULL;
    size_t n = 0;
    dcv_json j = {0};
    dcv_json_open(&j, NULL, '{');
    dcv_json_string(&j, "a\"\\\n", "\xc3\xa9\xff\xed\xa0\x80\xf0\x9f\x98\x80");
    dcv_json_open(&j, "l", '[');
    dcv_json_int(&j, NULL, INT64_MIN);
    dcv_json_real(&j, NULL, 0.1);
    dcv_json_real(&j, NULL, -INFINITY);
    dcv_json_bool(&j, NULL, true);
    dcv_json_close(&j, ']');
    dcv_json_string(&j, "n", NULL);
    dcv_json_close(&j, '}');
    FILE *to = open_memstream(&text, &n);
    CHECK_OK(dcv_json_print(&j, to));
    fclose(to);
    CHECK(strcmp(text, "{\"a\\\"\\\\\\u000a\": \"\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd\xf0\x9f\x98\x80\", "
                       "\"l\": [-9223372036854775808, 0.10000000000000001, null, true], \"n\": null}\n") == 0);
    free(text);
}

static int as_call(int argc, char **argv)
{
    int code = 0;
    const dcv_status st = dcv_call_inspect.run(argc, argv, &code);
    if (st != DCV_OK)
        fprintf(stderr, "%s\n", dcv_message());
    return dcv_exit_code(st);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--make") == 0)
        return dcv_exit_code(make(argv[2]));
    if (argc > 1)
        return as_call(argc, argv);
    test_model();
    test_refusals();
    test_arguments();
    test_h5();
    test_json();
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
