/* golden.h -- tensors of a file made by another implementation (see tests/golden/models/README.md for the format). */
#ifndef DCV_TEST_GOLDEN_H
#define DCV_TEST_GOLDEN_H

#include "check.h"
#include "deconvoy/memory.h"
#include "deconvoy/tensor.h"

typedef struct golden {
    char name[256];
    dcv_dims dims;
    double *v;
} golden;

typedef struct golden_file {
    int n;
    golden *t;
} golden_file;

static inline golden_file golden_open(const char *path)
{
    golden_file g = {0, NULL};
    char line[512], type[8];
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    if (!f)
        return g;
    CHECK(fgets(line, sizeof line, f) && !strcmp(line, "DCVG1\n"));
    while (fgets(line, sizeof line, f)) {
        golden t = {.name = ""};
        int at = 0, used = 0;
        CHECK(sscanf(line, "%255s %7s %d%n", t.name, type, &t.dims.n, &at) == 3);
        for (int i = 0; i < t.dims.n; i++, at += used) {
            long long d = 0;
            CHECK(sscanf(line + at, "%lld%n", &d, &used) == 1);
            t.dims.d[i] = d;
        }
        const size_t n = (size_t)dcv_count(&t.dims);
        t.v = dcv_alloc(n, sizeof *t.v);
        for (size_t i = 0; i < n; i++) {
            float f4;
            if (!strcmp(type, "f4")) {
                CHECK(fread(&f4, sizeof f4, 1, f) == 1);
                t.v[i] = f4;
            } else {
                CHECK(fread(&t.v[i], sizeof t.v[i], 1, f) == 1);
            }
        }
        g.t = dcv_realloc(g.t, (size_t)g.n, (size_t)g.n + 1, sizeof *g.t);
        g.t[g.n++] = t;
    }
    fclose(f);
    return g;
}

static inline const golden *golden_find(const golden_file *g, const char *name)
{
    for (int i = 0; i < g->n; i++)
        if (!strcmp(g->t[i].name, name))
            return &g->t[i];
    return NULL;
}

static inline void golden_close(golden_file *g)
{
    for (int i = 0; i < g->n; i++)
        dcv_free(g->t[i].v);
    dcv_free(g->t);
}

#endif
