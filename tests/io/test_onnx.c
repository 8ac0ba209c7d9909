/* test_onnx.c -- the ONNX reader against the Python package, and against hostile files.
 *
 * Golden data: tests/golden/onnx, written by make_onnx_cases.py (onnx 1.23, numpy 2, ml_dtypes).
 *
 *     io_test_onnx             all tests
 *     io_test_onnx --dump F    the text of one file, as make_onnx_cases.py --dump prints it
 */
#include "check.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "deconvoy/memory.h"
#include "deconvoy/model.h"

#define GOLDEN DCV_SOURCE_DIR "/tests/golden/onnx"

enum { MOST = 64 }; /* values that a dump prints */

/* --- A model as text --------------------------------------------------------------------------- */

static void put_real(FILE *to, double v)
{
    if (v != v)
        fprintf(to, " nan");
    else
        fprintf(to, " %.9g", v);
}

static void put_const(FILE *to, const dcv_const *c)
{
    dcv_dims_text shape;
    fprintf(to, "%s %s", c->stored, c->dims.n ? dcv_dims_print(&c->dims, shape) : "scalar");
    for (int64_t i = 0; i < dcv_count(&c->dims) && i < MOST; i++)
        if (c->type == DCV_F32)
            put_real(to, ((const float *)c->data)[i]);
        else
            fprintf(to, " %" PRId64, ((const int64_t *)c->data)[i]);
    fprintf(to, "\n");
}

static void put_attr(FILE *to, const dcv_attr *a)
{
    static const char *const kinds[] = {"int", "ints", "float", "floats", "string", "strings", "tensor", "other"};
    fprintf(to, "  %s %s", a->name, kinds[a->type]);
    if (a->type == DCV_ATTR_TENSOR) {
        fprintf(to, " ");
        put_const(to, a->tensor);
        return;
    }
    for (int i = 0; i < a->n && i < MOST; i++)
        if (a->i)
            fprintf(to, " %" PRId64, a->i[i]);
        else if (a->f)
            put_real(to, a->f[i]);
        else
            fprintf(to, " %s", a->s[i]);
    fprintf(to, "\n");
}

static void put_value(FILE *to, const char *what, const dcv_model_value *v)
{
    fprintf(to, "%s %s %s", what, v->name, v->elem_name);
    if (v->rank < 0)
        fprintf(to, " any");
    for (int i = 0; i < v->rank; i++)
        if (v->dim[i] < 0)
            fprintf(to, " -1(%s)", v->symbol[i] ? v->symbol[i] : "");
        else
            fprintf(to, " %" PRId64, v->dim[i]);
    fprintf(to, "\n");
}

static void put_names(FILE *to, const char *const *name, int n)
{
    for (int i = 0; i < n; i++)
        fprintf(to, "%s%s", i ? "," : "", name[i]);
}

static void put_node(FILE *to, const dcv_model_node *n)
{
    fprintf(to, "node [%s] %s [%s] (", n->name, n->op, n->domain);
    put_names(to, n->in, n->n_in);
    fprintf(to, ") -> (");
    put_names(to, n->out, n->n_out);
    fprintf(to, ")\n");
    for (int i = 0; i < n->n_attr; i++)
        put_attr(to, &n->attr[i]);
}

static void put_model(FILE *to, const dcv_model *m)
{
    fprintf(to, "ir %" PRId64 " opset %d producer %s\nsha256 %s\n", m->ir_version, m->opset, m->producer,
            m->sha256.hex);
    for (int i = 0; i < m->n_const; i++) {
        fprintf(to, "const %s ", m->constant[i].name);
        put_const(to, &m->constant[i]);
    }
    for (int i = 0; i < m->n_in; i++)
        put_value(to, "in", &m->in[i]);
    for (int i = 0; i < m->n_out; i++)
        put_value(to, "out", &m->out[i]);
    for (int i = 0; i < m->n_node; i++)
        put_node(to, &m->node[i]);
}

static int dump(const char *file)
{
    dcv_model *m;
    if (dcv_model_open(file, &m) != DCV_OK) {
        fprintf(stderr, "%s\n", dcv_message());
        return 1;
    }
    put_model(stdout, m);
    dcv_model_free(m);
    return 0;
}

/* --- Good files -------------------------------------------------------------------------------- */

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    if (f && text) {
        text[fread(text, 1, (1 << 20) - 1, f)] = 0;
        fclose(f);
    }
    return text;
}

static void check_golden(const char *name)
{
    char path[512], *text = NULL;
    size_t n = 0;
    dcv_model *m;
    snprintf(path, sizeof path, GOLDEN "/good/%s.onnx", name);
    CHECK_OK(dcv_model_open(path, &m));
    if (!m)
        return;
    FILE *to = open_memstream(&text, &n);
    put_model(to, m);
    fclose(to);
    snprintf(path, sizeof path, GOLDEN "/good/%s.txt", name);
    char *want = slurp(path);
    if (strcmp(text, want))
        fprintf(stderr, "--- %s: got\n%s--- want\n%s", name, text, want);
    CHECK(strcmp(text, want) == 0);
    free(text);
    free(want);
    dcv_model_free(m);
}

static void test_good(void)
{
    static const char *const names[] = {"raw_types", "typed_types", "attributes", "unsorted", "old_inputs",
                                        "symbolic",  "optional",    "external",   "newest",   "unpacked"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_golden(names[i]);
}

/* Twenty thousand subgraphs inside each other are kept by name, and cost nothing. */
static void test_deep(void)
{
    dcv_model *m;
    CHECK_OK(dcv_model_open(GOLDEN "/good/deep.onnx", &m));
    CHECK(m && m->n_node == 2 && m->node[1].attr[0].type == DCV_ATTR_OTHER);
    dcv_model_free(m);
}

static void test_lookup(void)
{
    dcv_model *m;
    CHECK_OK(dcv_model_open(GOLDEN "/good/attributes.onnx", &m));
    const dcv_attr *a = dcv_model_attr(&m->node[0], "s");
    CHECK(a && a->n == 1 && strcmp(a->s[0], "SAME_UPPER") == 0);
    CHECK(!dcv_model_attr(&m->node[0], "S"));
    CHECK(!dcv_model_const(m, "x"));
    dcv_model_free(m);
    CHECK_OK(dcv_model_open(GOLDEN "/good/external.onnx", &m));
    const dcv_const *b = dcv_model_const(m, "b");
    CHECK(b && ((const float *)b->data)[3] == 7);
    /* the file is mapped once, and the tensors are borrowed from it */
    CHECK((const char *)b->data - (const char *)dcv_model_const(m, "a")->data == 16);
    dcv_model_free(m);
}

static void test_const(void)
{
    dcv_const *c;
    CHECK_OK(dcv_const_read(GOLDEN "/good/tensor.pb", &c));
    CHECK(c && c->dims.n == 2 && c->type == DCV_F32 && ((const float *)c->data)[3] == 4);
    dcv_const_free(c);
    CHECK_FAILS(dcv_const_read(GOLDEN "/good/unsorted.onnx", &c), DCV_EDATA, "unsorted.onnx: ");
    CHECK(!c);
    CHECK_FAILS(dcv_const_read(GOLDEN "/none.pb", &c), DCV_ENOINPUT, "none.pb");
    dcv_const_free(NULL);
}

/* --- Hostile files ----------------------------------------------------------------------------- */

static void check_bad(const char *path, const char *kind, const char *message)
{
    dcv_model *m;
    const dcv_status want = strcmp(kind, "noinput") == 0       ? DCV_ENOINPUT
                            : strcmp(kind, "unsupported") == 0 ? DCV_EUNSUPPORTED
                                                               : DCV_EDATA;
    CHECK_FAILS(dcv_model_open(path, &m), want, message);
    CHECK(!m);
    CHECK(strncmp(dcv_message(), path, strlen(path)) == 0 && dcv_message()[strlen(path)] == ':');
    CHECK(!strchr(dcv_message(), '\n'));
}

/* A link in the model's folder that leads elsewhere. */
static void check_link(const char *message)
{
    char dir[] = "/tmp/dcv_onnx_XXXXXX", path[512], link[512], command[1200];
    CHECK(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/external_link.onnx", dir);
    snprintf(link, sizeof link, "%s/outside.bin", dir);
    snprintf(command, sizeof command, "cp %s/bad/external_link.onnx %s", GOLDEN, path);
    CHECK(system(command) == 0);
    CHECK(symlink(GOLDEN "/good/weights.bin", link) == 0);
    check_bad(path, "data", message);
    snprintf(command, sizeof command, "mkdir %s2 && cp %s/good/weights.bin %s2", dir, GOLDEN, dir);
    CHECK(system(command) == 0); /* a folder whose name begins likewise is another one */
    snprintf(command, sizeof command, "%s2/weights.bin", dir);
    CHECK(unlink(link) == 0 && symlink(command, link) == 0);
    check_bad(path, "data", message);
    CHECK(unlink(link) == 0 && symlink(link, link) == 0);
    check_bad(path, "noinput", "external data \"outside.bin\"");
    CHECK(unlink(link) == 0 && mkfifo(link, 0600) == 0);
    check_bad(path, "data", "not a regular file");
    snprintf(command, sizeof command, "rm -r %s %s2", dir, dir);
    CHECK(system(command) == 0);
}

static void test_bad(void)
{
    int n = 0;
    char *list = slurp(GOLDEN "/bad/expected.txt"), *save = NULL, path[512];
    for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save), n++) {
        char *kind = strchr(line, '|'), *message = kind ? strchr(kind + 1, '|') : NULL;
        CHECK(message);
        *kind++ = *message++ = 0;
        snprintf(path, sizeof path, GOLDEN "/bad/%s.onnx", line);
        if (strcmp(line, "external_link") == 0)
            check_link(message);
        else
            check_bad(path, kind, message);
    }
    CHECK(n > 50);
    free(list);
    check_bad("/no/such.onnx", "noinput", "No such file");
    check_bad(GOLDEN, "data", "is a folder");
    check_bad("/dev/null", "data", "not a regular file");
}

/* --- Real networks ----------------------------------------------------------------------------- */

static void test_shared(const char *dir)
{
    char path[4300];
    dcv_model *m, *half;
    snprintf(path, sizeof path, "%s/models/squeezenet1_1.onnx", dir);
    CHECK_OK(dcv_model_open(path, &m));
    snprintf(path, sizeof path, "%s/models/squeezenet1_1_fp16.onnx", dir);
    CHECK_OK(dcv_model_open(path, &half));
    CHECK(m->n_node == 66 && half->n_node == 66 && m->n_in == 1 && half->n_in == 1);
    for (int i = 0; i < m->n_const; i++) { /* the float32 file is the float16 one widened (by another program) */
        const dcv_const *a = &m->constant[i], *b = dcv_model_const(half, a->name);
        CHECK(b && dcv_dims_equal(&a->dims, &b->dims));
        CHECK(b && memcmp(a->data, b->data, (size_t)dcv_count(&a->dims) * 4) == 0);
    }
    dcv_model_free(m);
    dcv_model_free(half);
    dcv_labels *l;
    snprintf(path, sizeof path, "%s/models/imagenet_synset_words.txt", dir);
    CHECK_OK(dcv_labels_read(path, &l));
    CHECK(l->n == 1000 && dcv_labels_find(l, "N02672831") == 401);
    dcv_labels_free(l);
}

/* --- Labels ------------------------------------------------------------------------------------ */

static dcv_status labels_of(const char *text, size_t n, dcv_labels **out)
{
    char path[] = "/tmp/dcv_labels_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, text, n) == (ssize_t)n);
    close(fd);
    dcv_status st = dcv_labels_read(path, out);
    unlink(path);
    return st;
}

static void test_labels(void)
{
    static const char text[] = "\xef\xbb\xbfn01 tench, Tinca\r\nn02\tgoldfish  \r\n\r\ncat\nTENCH, tinca\r\n\r\n \n";
    dcv_labels *l;
    CHECK_OK(labels_of(text, sizeof text - 1, &l));
    CHECK(l->n == 5 && strcmp(l->line[0], "n01 tench, Tinca") == 0 && strcmp(l->line[2], "") == 0);
    CHECK(dcv_labels_find(l, "N02") == 1 && dcv_labels_find(l, "Cat") == 3 && dcv_labels_find(l, "tench, TINCA") == 4);
    CHECK(dcv_labels_find(l, "") == -1 && dcv_labels_find(l, "n0") == -1 && dcv_labels_find(l, "goldfish") == -1);
    dcv_labels_free(l);
    CHECK_OK(labels_of("only", 4, &l));
    CHECK(l->n == 1 && dcv_labels_find(l, "only") == 0);
    dcv_labels_free(l);
    CHECK_FAILS(labels_of("", 0, &l), DCV_EDATA, "no class names");
    CHECK_FAILS(labels_of("a\0b", 3, &l), DCV_EDATA, "byte 1: not a text file");
    CHECK_FAILS(dcv_labels_read("/no/such.txt", &l), DCV_ENOINPUT, "/no/such.txt: No such file");
    CHECK_FAILS(dcv_labels_read("/tmp", &l), DCV_EDATA, "/tmp: is a folder");
    CHECK(!l);
    dcv_labels_free(NULL);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--dump") == 0)
        return dump(argv[2]);
    test_good();
    test_deep();
    test_lookup();
    test_const();
    test_bad();
    test_labels();
    if (check_data_dir())
        test_shared(check_data_dir());
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
