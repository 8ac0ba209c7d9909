/* fuzz_onnx.c -- mutated models (.onnx) and tensors (.pb). */
#include "fuzz/fuzz.h"

#include "deconvoy/model.h"

static volatile double sink;

static void touch(const dcv_const *c)
{
    const int64_t n = dcv_count(&c->dims);
    for (int64_t i = 0; i < n; i++)
        sink += c->type == DCV_F32 ? ((const float *)c->data)[i] : (double)((const int64_t *)c->data)[i];
}

static int dcv_fuzz_one(const char *file)
{
    dcv_const *c;
    if (dcv_const_read(file, &c) == DCV_OK)
        touch(c);
    dcv_const_free(c);
    dcv_model *m;
    if (dcv_model_open(file, &m) != DCV_OK)
        return 0;
    for (int i = 0; i < m->n_const; i++)
        touch(&m->constant[i]);
    for (int i = 0; i < m->n_node; i++)
        for (int a = 0; a < m->node[i].n_attr; a++)
            if (m->node[i].attr[a].tensor)
                touch(m->node[i].attr[a].tensor);
    dcv_model_free(m);
    return 1;
}

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv);
}
