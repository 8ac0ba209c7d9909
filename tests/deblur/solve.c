/* solve KEY=VALUE...: one object through dcv_deblur_run() (or traces), for tests that compare it with another
 * implementation.
 *
 * data, psf, out: files of float64; n, p, c: three numbers "a,b,c" on a frame's axes.  out gets the image, then eight
 * numbers (iterations, regularisation, gain, read, adjoint error, stopped by, rows of the history, 0), then the
 * history. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deconvoy/deblur.h"
#include "deconvoy/memory.h"

static int argc_;
static char **argv_;

static const char *text(const char *key, const char *dflt)
{
    const size_t n = strlen(key);
    for (int i = 1; i < argc_; i++)
        if (!strncmp(argv_[i], key, n) && argv_[i][n] == '=')
            return argv_[i] + n + 1;
    return dflt;
}

static double number(const char *key, double dflt)
{
    const char *t = text(key, NULL);
    return t ? strtod(t, NULL) : dflt;
}

static int word(const char *key, const char *words, int dflt)
{
    const char *t = text(key, NULL), *at = words;
    for (int i = 0; t && at; i++) {
        const size_t n = strcspn(at, "|");
        if (strlen(t) == n && !strncmp(at, t, n))
            return i;
        at = at[n] ? at + n + 1 : NULL;
    }
    return dflt;
}

static void three(const char *key, int64_t to[3])
{
    const char *t = text(key, "1,1,1");
    for (int a = 0; a < 3; a++) {
        char *end;
        to[a] = strtoll(t, &end, 10);
        t = *end ? end + 1 : end;
    }
}

static double *read_file(const char *file, int64_t n)
{
    double *v = dcv_alloc((size_t)n, sizeof *v);
    FILE *f = fopen(file, "rb");
    if (!v || !f || fread(v, sizeof *v, (size_t)n, f) != (size_t)n)
        exit(66);
    fclose(f);
    return v;
}

typedef struct arrays {
    double *in, *out;
    int64_t plane;
    dcv_dtype type;
} arrays;

static dcv_status give(void *ctx, int64_t first, int64_t n, void *to)
{
    const arrays *a = ctx;
    for (int64_t i = 0; i < n * a->plane; i++)
        if (a->type == DCV_F64)
            ((double *)to)[i] = a->in[first * a->plane + i];
        else
            ((float *)to)[i] = (float)a->in[first * a->plane + i];
    return DCV_OK;
}

static dcv_status take(void *ctx, int64_t first, int64_t n, const void *from)
{
    const arrays *a = ctx;
    for (int64_t i = 0; i < n * a->plane; i++)
        a->out[first * a->plane + i] =
            a->type == DCV_F64 ? ((const double *)from)[i] : (double)((const float *)from)[i];
    return DCV_OK;
}

static void write_out(const double *image, int64_t n, const dcv_deblur_facts *f, int64_t rows)
{
    const double numbers[8] = {(double)f->iterations, f->regularisation, f->gain,      f->read,
                               f->adjoint_error,      f->stopped_by,     (double)rows, 0};
    FILE *o = fopen(text("out", "/dev/null"), "wb");
    if (!o || fwrite(image, sizeof *image, (size_t)n, o) != (size_t)n || fwrite(numbers, 8, 8, o) != 8 ||
        fwrite(f->history, sizeof *f->history, (size_t)rows, o) != (size_t)rows || fclose(o))
        exit(74);
}

static dcv_status run_trace(const dcv_psf *psf, const double *data, int64_t n, int method)
{
    const dcv_trace_spec spec = {.method = (dcv_method)method,
                                 .n = n,
                                 .sampling = number("sampling", 0.01),
                                 .gaussian = number("gaussian", 2.5),
                                 .regularisation = number("regularisation", NAN),
                                 .tolerance = number("tolerance", 1e-3),
                                 .iterations = (int64_t)number("iterations", 500),
                                 .lag0 = number("lag0", -10),
                                 .lag1 = number("lag1", 60)};
    int64_t first;
    const int64_t lags = dcv_trace_lags(&spec, &first);
    dcv_deblur_facts f = {.history = dcv_alloc((size_t)spec.iterations, sizeof *f.history)};
    double *image = dcv_alloc((size_t)lags, sizeof *image);
    dcv_trace *t;
    dcv_status st = dcv_trace_new(&spec, psf, &t);
    if (st == DCV_OK)
        st = dcv_trace_run(t, data, image, &f);
    dcv_trace_free(t);
    if (st == DCV_OK)
        write_out(image, lags, &f, f.iterations);
    dcv_free(image);
    dcv_free(f.history);
    return st;
}

static void make_spec(dcv_deblur_spec *s, int method)
{
    const bool lucy = method == DCV_RICHARDSON_LUCY || method == DCV_RL_TV;
    *s = (dcv_deblur_spec){
        .method = (dcv_method)method,
        .acceleration = (dcv_acceleration)word("acceleration", "none|biggs_andrews|wiener_butterworth", 0),
        .boundary = (dcv_boundary)word("boundary", "unknown|reflect|periodic|zero", lucy ? DCV_UNKNOWN : DCV_REFLECT),
        .stop = (dcv_stop_rule)word("stop", "iterations|thinning|discrepancy|change", 0),
        .skimage = word("compat", "none|skimage", 0),
        .regularisation = number("regularisation", NAN),
        .tolerance = number("tolerance", 1e-3),
        .iterations = (int64_t)number("iterations", lucy ? 500 : 0),
        .gain = number("gain", 0),
        .read = number("read", 0),
        .background = number("background", 0),
        .spacing = {number("h0", 1), number("h1", 1), number("h2", 1)},
        .seed = (uint64_t)number("seed", 1),
        .dimensions = (int)number("dimensions", 2),
        .channels = (int)number("channels", 1)};
    three("n", s->n);
}

static dcv_status run_object(const dcv_psf *psf, double *data, int method)
{
    dcv_deblur_spec spec;
    make_spec(&spec, method);
    const int64_t n = spec.n[0] * spec.n[1] * spec.n[2] * spec.channels;
    const dcv_dtype type = word("precision", "float32|float64", 1) ? DCV_F64 : DCV_F32;
    arrays a = {data, dcv_alloc((size_t)n, sizeof(double)), n / spec.n[0], type};
    const dcv_deblur_io io = {.ctx = &a, .read = give, .write = take};
    dcv_deblur_facts f = {.history = dcv_alloc((size_t)spec.iterations, sizeof *f.history)};
    dcv_deblur *d;
    dcv_status st = dcv_deblur_new(&spec, psf, type, -1, (int)number("threads", 1), &d);
    if (st == DCV_OK)
        st = dcv_deblur_run(d, &io, &f);
    dcv_deblur_free(d);
    if (st == DCV_OK)
        write_out(a.out, n, &f, method >= DCV_RICHARDSON_LUCY ? f.iterations : 0);
    dcv_free(a.out);
    dcv_free(f.history);
    return st;
}

int main(int argc, char **argv)
{
    argc_ = argc;
    argv_ = argv;
    const int method =
        word("method", "inverse|wiener|tikhonov|landweber|richardson_lucy|rl_tv|water_level|iterative_spikes",
             DCV_RICHARDSON_LUCY);
    int64_t n[3];
    dcv_psf psf = {.at = NULL};
    three("n", n);
    three("p", psf.size);
    three("c", psf.centre);
    psf.at = read_file(text("psf", ""), psf.size[0] * psf.size[1] * psf.size[2]);
    double *data = read_file(text("data", ""), n[0] * n[1] * n[2] * (int64_t)number("channels", 1));
    dcv_status st = method >= DCV_WATER_LEVEL ? run_trace(&psf, data, n[2], method) : run_object(&psf, data, method);
    if (st != DCV_OK)
        fprintf(stderr, "%s\n", dcv_message());
    dcv_psf_clear(&psf);
    dcv_free(data);
    if (st == DCV_OK && dcv_alloc_balance())
        return 70;
    return dcv_exit_code(st);
}
