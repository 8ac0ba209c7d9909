/* onnx_case.c -- ONNX test cases read, bound and compared. */
#include "engine/onnx_case.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "deconvoy/memory.h"

static dcv_status read_all(const char *folder, const char *kind, int n, dcv_const ***out)
{
    char path[PATH_MAX];
    dcv_const **to = *out = dcv_alloc((size_t)n + 1, sizeof *to);
    if (!to)
        return DCV_ENOMEM;
    for (int i = 0; i < n; i++) {
        if ((size_t)snprintf(path, sizeof path, "%s/%s_%d.pb", folder, kind, i) >= sizeof path)
            return dcv_fail(DCV_EDATA, "%s: the path is too long", folder);
        const dcv_status st = dcv_const_read(path, &to[i]);
        if (st != DCV_OK)
            return st == DCV_ENOINPUT ? dcv_fail(DCV_EDATA, "%s_%d.pb is missing", kind, i) : st;
    }
    return DCV_OK;
}

dcv_status dcv_case_read(const char *dir, int set, const dcv_model *m, bool *there, dcv_case *out)
{
    char folder[PATH_MAX];
    *out = (dcv_case){.m = m};
    const int n = snprintf(folder, sizeof folder, "%s/test_data_set_%d", dir, set);
    *there = (size_t)n < sizeof folder && access(folder, F_OK) == 0;
    if (!*there)
        return DCV_OK;
    dcv_status st = read_all(folder, "input", m->n_in, &out->in);
    out->n_in = out->in ? m->n_in : 0;
    if (st == DCV_OK) {
        st = read_all(folder, "output", m->n_out, &out->out);
        out->n_out = out->out ? m->n_out : 0;
    }
    if (st != DCV_OK)
        dcv_case_clear(out);
    return st;
}

void dcv_case_clear(dcv_case *c)
{
    for (int i = 0; i < c->n_in; i++)
        dcv_const_free(c->in[i]);
    for (int i = 0; i < c->n_out; i++)
        dcv_const_free(c->out[i]);
    dcv_free(c->in);
    dcv_free(c->out);
    *c = (dcv_case){0};
}

static bool is_live(const dcv_case *c, dcv_case_way way, int i)
{
    switch (way) {
    case DCV_CASE_LIVE:
        return true;
    case DCV_CASE_FLOATS:
        return c->in[i]->type == DCV_F32;
    case DCV_CASE_FIRST:
        return i == 0;
    default:
        return false;
    }
}

static dcv_status bind(const dcv_case *c, dcv_case_way way, dcv_case_graph *out)
{
    dcv_model *m = &out->m;
    dcv_arena *a = out->own;
    dcv_const *constant = dcv_arena_alloc(a, (size_t)(m->n_const + c->n_in) + 1, sizeof *constant);
    dcv_dims *dims = dcv_arena_alloc(a, (size_t)c->n_in + 1, sizeof *dims);
    m->in = dcv_arena_alloc(a, (size_t)c->n_in + 1, sizeof *m->in);
    out->live = dcv_arena_alloc(a, (size_t)c->n_in + 1, sizeof *out->live);
    if (!constant || !dims || !m->in || !out->live)
        return DCV_ENOMEM;
    memcpy(constant, c->m->constant, (size_t)m->n_const * sizeof *constant);
    m->constant = constant;
    m->n_in = 0;
    for (int i = 0; i < c->n_in; i++)
        if (is_live(c, way, i)) {
            out->live[m->n_in] = c->in[i];
            dims[m->n_in] = c->in[i]->dims;
            m->in[m->n_in++] = c->m->in[i];
        } else {
            constant[m->n_const] = *c->in[i];
            constant[m->n_const++].name = c->m->in[i].name;
        }
    DCV_TRY(dcv_graph_new_at(m, dims, m->n_in, &out->failed, &out->g));
    return out->g->left_out ? dcv_fail(DCV_EUNSUPPORTED, "%s", out->g->left_out) : DCV_OK;
}

dcv_status dcv_case_bind(const dcv_case *c, dcv_case_way way, dcv_case_graph *out)
{
    dcv_arena *arena;
    *out = (dcv_case_graph){.m = *c->m, .failed = -1};
    DCV_TRY(dcv_arena_new(&arena));
    out->own = arena;
    out->m.file = NULL; /* messages name the case */
    return bind(c, way, out);
}

void dcv_case_graph_clear(dcv_case_graph *b)
{
    dcv_graph_free(b->g);
    dcv_arena_free(b->own);
    b->g = NULL;
    b->own = NULL;
}

void dcv_const_floats(const dcv_const *c, float *to)
{
    const int64_t n = dcv_count(&c->dims);
    for (int64_t i = 0; i < n; i++)
        to[i] = c->type == DCV_F32 ? ((const float *)c->data)[i] : (float)((const int64_t *)c->data)[i];
}

static bool near(double got, double want, double within, double *worst)
{
    if ((isnan(got) && isnan(want)) || got == want)
        return true;
    const double d = fabs(got - want);
    if (isnan(d) || d > *worst)
        *worst = d;
    return d <= within;
}

/* A number as a shorter type holds it, rounded to even. */
static double as_stored(const char *type, double v)
{
    int exponent;
    const bool half = !strcmp(type, "float16");
    if ((!half && strcmp(type, "bfloat16")) || !isfinite(v) || v == 0)
        return v;
    (void)frexp(v, &exponent); /* |v| is in [1/2, 1) 2^exponent */
    const int least = half ? -13 : -125, bits = half ? 11 : 8, e = exponent < least ? least : exponent;
    const double r = ldexp(rint(ldexp(v, bits - e)), e - bits);
    return half && fabs(r) > 65504 ? copysign(INFINITY, v) : r;
}

bool dcv_case_equal(const dcv_const *want, const void *got, bool ints, double absolute, double relative, double *worst)
{
    const int64_t n = dcv_count(&want->dims);
    bool good = true;
    for (int64_t i = 0; i < n; i++) {
        if (want->type == DCV_F32 || !ints) {
            const bool exact = want->type != DCV_F32;
            const double w = exact ? (double)((const int64_t *)want->data)[i] : ((const float *)want->data)[i];
            const double v = ints ? (double)((const int64_t *)got)[i] : ((const float *)got)[i];
            const double g = as_stored(want->stored, v);
            good = near(g, w, exact ? 0 : absolute + relative * fabs(w), worst) && good;
        } else {
            const int64_t w = ((const int64_t *)want->data)[i], g = ((const int64_t *)got)[i];
            good = g == w && good;
            if (g != w)
                (void)near((double)g, (double)w, 0, worst);
        }
    }
    return good;
}
