/* test_onnx_cases.c -- ONNX's own node cases (Debian's libonnx-testdata) by each operator's definition: every node's
 * own forward in plain layout and in blocks of 8 and 16.
 *
 * Whole walks over the same cases are the business of `deconvoy conform` (tests/calls/conform.py), which also says
 * which cases must pass; here those that can be built must come out right in every layout.  Cases of bfloat16 are left
 * out: all floats are float32 here, so nothing is rounded to 8 bits.
 */
#include <dirent.h>
#include "engine/onnx_case.h"
#include "reference.h"

#define CASES "/usr/share/libonnx-testdata/data/"

static bool run_at(const dcv_case *t, const dcv_case_graph *b, int block)
{
    const dcv_graph *g = b->g;
    const float **input = dcv_alloc((size_t)g->n_in + 1, sizeof *input);
    bool good = true;
    double worst = 0;
    for (int i = 0; i < g->n_in; i++) {
        float *made = dcv_alloc((size_t)dcv_count(&b->live[i]->dims), sizeof *made);
        dcv_const_floats(b->live[i], made);
        input[i] = made;
    }
    float **values = ref_run(g, block, input);
    for (int o = 0; o < g->n_out; o++) {
        const dcv_value *v = &g->value[g->out[o]];
        good = good && dcv_dims_equal(&t->out[o]->dims, &v->dims) &&
               dcv_case_equal(t->out[o], v->constant ? v->constant : values[g->out[o]],
                              v->constant && v->type == DCV_I64, 1e-4, 1e-3, &worst);
    }
    ref_free(g, values);
    for (int i = 0; i < g->n_in; i++)
        dcv_free((void *)input[i]);
    dcv_free(input);
    return good;
}

/* Ways that worked out. */
static int run_ways(const char *dir, const dcv_case *t)
{
    int ran = 0;
    for (int way = 0; way < DCV_CASE_N_WAY; way++) {
        dcv_case_graph b;
        const dcv_status st = dcv_case_bind(t, (dcv_case_way)way, &b);
        bool good = st == DCV_OK || st == DCV_EUNSUPPORTED;
        for (int block = 1; st == DCV_OK && block <= 16; block = block == 1 ? 8 : 2 * block)
            good = good && run_at(t, &b, block);
        CHECK(good);
        if (!good)
            fprintf(stderr, "^ %s, way %d\n", dir, way);
        ran += st == DCV_OK;
        dcv_case_graph_clear(&b);
        dcv_message_clear();
    }
    return ran;
}

static void run_case(const char *dir, int *passed)
{
    char path[2048];
    dcv_model *m = NULL;
    dcv_case t;
    bool there = false;
    if (snprintf(path, sizeof path, "%s/model.onnx", dir) < (int)sizeof path && dcv_model_open(path, &m) == DCV_OK &&
        dcv_case_read(dir, 0, m, &there, &t) == DCV_OK && there) {
        *passed += run_ways(dir, &t) > 0;
        dcv_case_clear(&t);
    }
    dcv_model_free(m);
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
