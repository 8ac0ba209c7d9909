/* net_golden.h -- read tests/golden/models/NAME.golden (format: README.md there). */
#ifndef DCV_TEST_NET_GOLDEN_H
#define DCV_TEST_NET_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "deconvoy/memory.h"
#include "deconvoy/tensor.h"

typedef struct golden {
    char name[256];
    dcv_dims dims;
    double *v; /* f4 widened */
} golden;

typedef struct golden_file {
    int n;
    golden *t;
} golden_file;

static inline void golden_free(golden_file *g)
{
    for (int i = 0; i < g->n; i++)
        dcv_free(g->t[i].v);
    dcv_free(g->t);
    *g = (golden_file){0};
}

static inline bool golden_tensor(FILE *f, golden *t)
{
    char line[512], type[8];
    int at = 0;
    *t = (golden){0};
    if (!fgets(line, sizeof line, f) || sscanf(line, "%255s %7s %d%n", t->name, type, &t->dims.n, &at) != 3 ||
        t->dims.n > DCV_MAX_RANK)
        return false;
    char *p = line + at;
    for (int i = 0; i < t->dims.n; i++)
        t->dims.d[i] = strtoll(p, &p, 10);
    const size_t n = (size_t)dcv_count(&t->dims);
    t->v = dcv_alloc(n, sizeof *t->v);
    for (size_t i = 0; i < n; i++) {
        float single;
        if (!strcmp(type, "f4")) {
            if (fread(&single, sizeof single, 1, f) != 1)
                return false;
            t->v[i] = (double)single;
        } else if (fread(&t->v[i], sizeof *t->v, 1, f) != 1) {
            return false;
        }
    }
    return true;
}

static inline bool golden_read(const char *path, golden_file *g)
{
    *g = (golden_file){0};
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    char head[16] = "";
    bool ok = fgets(head, sizeof head, f) && !strcmp(head, "DCVG1\n");
    while (ok) {
        const int c = fgetc(f);
        if (c == EOF)
            break;
        ungetc(c, f);
        g->t = dcv_realloc(g->t, (size_t)g->n, (size_t)g->n + 1, sizeof *g->t);
        ok = golden_tensor(f, &g->t[g->n++]);
    }
    fclose(f);
    return ok;
}

static inline const golden *golden_find(const golden_file *g, const char *name)
{
    for (int i = 0; i < g->n; i++)
        if (!strcmp(g->t[i].name, name))
            return &g->t[i];
    return NULL;
}

#endif
