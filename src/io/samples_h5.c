/* samples_h5.c -- a data set of an HDF5 file, read by the planes that are asked for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "deconvoy/memory.h"
#include "deconvoy/store.h"
#include "io/samples.h"

typedef struct own {
    dcv_h5 *f;
    char *path;
    dcv_dims dims; /* channels included */
} own;

static bool h5_knows(const uint8_t *head, size_t n)
{
    return n >= 8 && !memcmp(head, "\x89HDF\r\n\x1a\n", 8);
}

typedef struct only { /* of arrays of numbers */
    char *path;
    int n;
} only;

static dcv_status see(void *ctx, const char *path, const dcv_h5_info *info)
{
    only *o = ctx;
    if (info->text_bytes || info->type == DCV_N_DTYPE || info->dims.n < 1)
        return DCV_OK;
    if (++o->n > 1)
        return DCV_OK;
    o->path = dcv_strdup(path);
    return o->path ? DCV_OK : DCV_ENOMEM;
}

static dcv_status choose(dcv_samples *s, own *x, const char *dataset)
{
    static const char *const usual[] = {"/blur/image", "/image", "/data"};
    only o = {NULL, 0};
    if (dataset) {
        x->path = dcv_format("%s%s", *dataset == '/' ? "" : "/", dataset);
        if (!x->path)
            return DCV_ENOMEM;
        return dcv_h5_has(x->f, x->path) ? DCV_OK : dcv_fail(DCV_ECONFIG, "%s has no data set %s", s->shown, x->path);
    }
    DCV_TRY(dcv_h5_visit(x->f, see, &o));
    if (o.n == 1) {
        x->path = o.path;
        return DCV_OK;
    }
    dcv_free(o.path);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (dcv_h5_has(x->f, usual[i])) {
            x->path = dcv_strdup(usual[i]);
            return x->path ? DCV_OK : DCV_ENOMEM;
        }
    return dcv_fail(DCV_ECONFIG, "%s has %d data sets and none is /blur/image, /image or /data; say which", s->shown,
                    o.n);
}

/* Attributes that say how large a voxel is, of the last axes. */
static void read_spacing(dcv_samples *s, const own *x)
{
    static const char *const names[] = {"spacing", "element_size_um"};
    for (int i = 0; i < 2; i++) {
        char *text = dcv_h5_attribute(x->f, x->path, names[i]), *at = text;
        double v[4];
        int n = 0;
        while (at && n < 4) {
            char *end;
            v[n] = strtod(at, &end);
            if (end == at || !(v[n] > 0) || !isfinite(v[n]))
                break;
            at = end;
            n++;
        }
        for (int k = 0; n <= 3 && k < n; k++)
            s->spacing[3 - n + k] = v[k];
        dcv_free(text);
        if (n)
            return;
    }
}

/* RGB in the last axis, where the data set says so. */
static bool is_colour(const own *x)
{
    char *interlace = dcv_h5_attribute(x->f, x->path, "INTERLACE_MODE"),
         *channels = dcv_h5_attribute(x->f, x->path, "channels");
    const bool colour = x->dims.n >= 3 && x->dims.d[x->dims.n - 1] == 3 &&
                        ((interlace && !strcmp(interlace, "INTERLACE_PIXEL")) || (channels && !strcmp(channels, "3")));
    dcv_free(interlace);
    dcv_free(channels);
    return colour;
}

static dcv_status h5_open(dcv_samples *s, const char *dataset)
{
    own *x = s->own = dcv_alloc(1, sizeof *x);
    dcv_h5_info info;
    if (!x)
        return DCV_ENOMEM;
    DCV_TRY(dcv_h5_open(s->file, &x->f));
    DCV_TRY(choose(s, x, dataset));
    DCV_TRY(dcv_h5_info_of(x->f, x->path, &info));
    if (info.text_bytes || info.type == DCV_N_DTYPE)
        return dcv_fail(DCV_EDATA, "%s: %s does not hold numbers", s->shown, x->path);
    x->dims = s->dims = info.dims;
    if (is_colour(x)) {
        s->channels = 3;
        s->dims.n--;
    }
    read_spacing(s, x);
    return DCV_OK;
}

static void h5_close(dcv_samples *s)
{
    own *x = s->own;
    if (!x)
        return;
    dcv_h5_close(x->f);
    dcv_free(x->path);
    dcv_free(x);
}

/* Planes of the outermost axis for which the range is one. */
static dcv_status h5_read(dcv_samples *s, int64_t first, int64_t n, dcv_dtype type, void *to)
{
    const own *x = s->own;
    int64_t start[DCV_MAX_RANK], count[DCV_MAX_RANK], inner = dcv_count(&x->dims);
    for (int a = 0; a < x->dims.n; a++) {
        const int64_t extent = x->dims.d[a];
        inner /= extent;
        start[a] = first / inner % extent;
        count[a] = 1;
        if (first % inner || n % inner || start[a] + n / inner > extent)
            continue;
        count[a] = n / inner;
        for (int b = a + 1; b < x->dims.n; b++) {
            start[b] = 0;
            count[b] = x->dims.d[b];
        }
        return dcv_h5_read_block(x->f, x->path, type, start, count, x->dims.n, to);
    }
    return dcv_fail(DCV_EINTERNAL, "%s: numbers %lld + %lld are not planes of an axis", s->shown, (long long)first,
                    (long long)n);
}

const dcv_samples_kind dcv_samples_h5 = {
    .name = "HDF5", .extensions = "h5|hdf5", .knows = h5_knows, .open = h5_open, .close = h5_close, .read = h5_read};
