/* test_onnx_cases.c -- ONNX's own node cases (Debian's libonnx-testdata) for all operators that we have.
 *
 * Each case runs with its inputs as pictures are (in every layout), and again with all of them constant, which tests
 * folding.  Inputs that an operator must know when the graph is built are made constants.  Cases of bfloat16 are left
 * out: all floats are float32 here, so nothing is rounded to 8 bits.
 */
#include <dirent.h>
#include <unistd.h>
#include "reference.h"

#define CASES  "/usr/share/libonnx-testdata/data/"
#define MAX_IO 32

typedef struct test_case {
    dcv_model *m;
    int n_in, n_out;
    dcv_const *in[MAX_IO], *out[MAX_IO];
} test_case;

static int read_all(const char *dir, const char *kind, dcv_const **to)
{
    int n = 0;
    char path[2048];
    for (; n < MAX_IO; n++) {
        snprintf(path, sizeof path, "%s/test_data_set_0/%s_%d.pb", dir, kind, n);
        if (access(path, R_OK) || dcv_const_read(path, &to[n]) != DCV_OK)
            break;
    }
    return n;
}

/* Does the model use known operators alone, and is it newer than opset 6? */
static bool in_scope(const char *dir, test_case *t)
{
    char path[2048];
    *t = (test_case){0};
    if (snprintf(path, sizeof path, "%s/model.onnx", dir) >= (int)sizeof path || dcv_model_open(path, &t->m) != DCV_OK)
        return false;
    for (int i = 0; i < t->m->n_node; i++)
        if (*t->m->node[i].domain || !dcv_op_find(t->m->node[i].op))
            return false;
    t->n_in = read_all(dir, "input", t->in);
    t->n_out = read_all(dir, "output", t->out);
    return t->n_in == t->m->n_in && t->n_out == t->m->n_out;
}

static void close_case(test_case *t)
{
    for (int i = 0; i < t->n_in; i++)
        dcv_const_free(t->in[i]);
    for (int i = 0; i < t->n_out; i++)
        dcv_const_free(t->out[i]);
    dcv_model_free(t->m);
}

static bool near(double a, double b)
{
    return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 1e-4 + 1e-3 * fabs(b);
}

/* Does output o of the case equal n numbers, floats or integers? */
static bool equal(const dcv_const *want, const dcv_value *v, const void *got, bool floats)
{
    if (!dcv_dims_equal(&want->dims, &v->dims))
        return false;
    for (int64_t i = 0; i < dcv_count(&want->dims); i++) {
        const double w =
            want->type == DCV_F32 ? ((const float *)want->data)[i] : (double)((const int64_t *)want->data)[i];
        const double g = floats ? ((const float *)got)[i] : (double)((const int64_t *)got)[i];
        if (!near(g, w))
            return false;
    }
    return true;
}

static bool run_at(const test_case *t, const dcv_graph *g, const dcv_const *const *live, int block)
{
    const float *input[MAX_IO];
    float *made[MAX_IO] = {0};
    bool good = true;
    for (int i = 0; i < g->n_in; i++) {
        const int64_t n = dcv_count(&live[i]->dims);
        made[i] = dcv_alloc((size_t)n, sizeof(float));
        for (int64_t k = 0; k < n; k++)
            made[i][k] = live[i]->type == DCV_F32 ? ((const float *)live[i]->data)[k]
                                                  : (float)((const int64_t *)live[i]->data)[k];
        input[i] = made[i];
    }
    float **values = ref_run(g, block, input);
    for (int o = 0; o < g->n_out; o++) {
        const dcv_value *v = &g->value[g->out[o]];
        good = good && (v->constant ? equal(t->out[o], v, v->constant, v->type == DCV_F32)
                                    : equal(t->out[o], v, values[g->out[o]], true));
    }
    ref_free(g, values);
    for (int i = 0; i < g->n_in; i++)
        dcv_free(made[i]);
    return good;
}

typedef enum verdict { PASS, FAIL, CANNOT } verdict;

/* Run with the first n_live inputs given by the picture; those that are integers of rank 0 or 1 and the rest are
 * constant. */
static verdict run(const test_case *t, int n_live, bool ints_live)
{
    dcv_model m = *t->m;
    dcv_const constants[MAX_IO * 2];
    dcv_model_value inputs[MAX_IO];
    const dcv_const *live[MAX_IO];
    dcv_dims dims[MAX_IO];
    dcv_graph *g;
    if (m.n_const > MAX_IO)
        return CANNOT;
    memcpy(constants, m.constant, (size_t)m.n_const * sizeof *constants);
    m.n_in = 0;
    for (int i = 0; i < t->n_in; i++)
        if (i >= n_live || (t->in[i]->type == DCV_I64 && !ints_live)) {
            constants[m.n_const] = *t->in[i];
            constants[m.n_const++].name = t->m->in[i].name;
        } else {
            live[m.n_in] = t->in[i];
            dims[m.n_in] = t->in[i]->dims;
            inputs[m.n_in++] = t->m->in[i];
        }
    m.constant = constants;
    m.in = inputs;
    const dcv_status st = dcv_graph_new(&m, dims, m.n_in, &g);
    if (st != DCV_OK)
        return st == DCV_EUNSUPPORTED ? CANNOT : FAIL;
    bool good = true;
    for (int block = 1; block <= 16; block = block == 1 ? 8 : 2 * block)
        good = good && run_at(t, g, live, block);
    dcv_graph_free(g);
    return good ? PASS : FAIL;
}

static void run_case(const char *dir, int *passed)
{
    static const char *const words[] = {"pass", "FAIL", "unsupported"};
    test_case t;
    if (!in_scope(dir, &t)) {
        close_case(&t);
        return;
    }
    verdict live = run(&t, t.n_in, true);
    dcv_message_clear();
    if (live == CANNOT)
        live = run(&t, t.n_in, false);
    if (live == CANNOT && t.n_in > 1)
        live = run(&t, 1, false);
    char why[512];
    snprintf(why, sizeof why, "%s", dcv_message());
    const verdict folded = run(&t, 0, false);
    if (t.n_in > 1 && t.in[0]->type == DCV_I64) { /* integers of the picture with constant ones */
        const verdict mixed = run(&t, 1, true);
        CHECK(mixed != FAIL);
        if (mixed == FAIL)
            fprintf(stderr, "%s: fails with constant second input\n", dir);
    }
    if (live != PASS || folded != PASS)
        fprintf(stderr, "%s: live %s (%s), folded %s (%s)\n", dir, words[live], why, words[folded], dcv_message());
    CHECK(live != FAIL);
    CHECK(folded != FAIL);
    *passed += live == PASS || folded == PASS;
    close_case(&t);
}

int main(void)
{
    static const char *const folders[] = {"node", "pytorch-converted", "pytorch-operator"};
    int passed = 0;
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        char path[2048];
        snprintf(path, sizeof path, CASES "%s", folders[f]);
        struct dirent **list = NULL;
        const int n = scandir(path, &list, NULL, alphasort);
        if (n < 0)
            return 77;
        for (int i = 0; i < n; i++) {
            snprintf(path, sizeof path, CASES "%s/%s", folders[f], list[i]->d_name);
            if (*list[i]->d_name != '.' && !strstr(list[i]->d_name, "BFLOAT16"))
                run_case(path, &passed);
            free(list[i]);
        }
        free(list);
    }
    fprintf(stderr, "%d cases passed\n", passed);
    CHECK(passed > 150);
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
