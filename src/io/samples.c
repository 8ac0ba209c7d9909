/* samples.c -- see samples.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "io/image_format.h"
#include "io/samples.h"
#include "io/source.h"

#define HEAD_BYTES 4096

static const dcv_samples_kind *const kinds[] = {&dcv_samples_h5,      &dcv_samples_fits, &dcv_samples_tiff,
                                                &dcv_samples_picture, &dcv_samples_sac,  &dcv_samples_columns};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static const dcv_samples_kind *kind_of(const char *name, const uint8_t *head, size_t n)
{
    for (int i = 0; i < N_KINDS; i++)
        if (kinds[i]->knows && kinds[i]->knows(head, n))
            return kinds[i];
    for (int i = 0; i < N_KINDS; i++)
        if (dcv_extension_is(name, kinds[i]->extensions))
            return kinds[i];
    return NULL;
}

bool dcv_samples_extension(const char *name)
{
    for (int i = 0; i < N_KINDS; i++)
        if (dcv_extension_is(name, kinds[i]->extensions))
            return true;
    return false;
}

static dcv_status look(const char *file, const char *shown, uint8_t *head, size_t *n)
{
    const int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dcv_fail(DCV_ENOINPUT, "%s: %s", shown, strerror(errno));
    const ssize_t got = read(fd, head, HEAD_BYTES);
    const int err = errno;
    close(fd);
    *n = got > 0 ? (size_t)got : 0;
    return got < 0 ? dcv_fail(DCV_EDATA, "%s: %s", shown, strerror(err)) : DCV_OK;
}

static dcv_status check(const dcv_samples *s)
{
    dcv_dims_text text;
    DCV_TRY(dcv_dims_check(&s->dims));
    if (s->dims.n < 1 || dcv_count(&s->dims) < 1)
        return dcv_fail(DCV_EDATA, "%s: an array of %s holds nothing to work on", s->shown,
                        dcv_dims_print(&s->dims, text));
    return DCV_OK;
}

dcv_status dcv_samples_open(const char *file, const char *shown, const char *dataset, dcv_samples **out)
{
    uint8_t head[HEAD_BYTES];
    size_t n = 0;
    *out = NULL;
    DCV_TRY(look(file, shown, head, &n));
    const dcv_samples_kind *kind = kind_of(file, head, n);
    if (!kind)
        return dcv_fail(DCV_EDATA, "%s: neither HDF5, FITS, TIFF, PNG, JPEG, SAC nor numbers in columns", shown);
    dcv_samples *s = dcv_alloc(1, sizeof *s);
    if (!s)
        return DCV_ENOMEM;
    s->kind = kind;
    s->channels = 1;
    s->file = dcv_strdup(file);
    s->shown = dcv_strdup(shown);
    dcv_status st = s->file && s->shown ? kind->open(s, dataset) : DCV_ENOMEM;
    if (st == DCV_OK)
        st = check(s);
    if (st != DCV_OK)
        dcv_samples_close(s);
    else
        *out = s;
    return st;
}

void dcv_samples_close(dcv_samples *s)
{
    if (!s)
        return;
    if (s->kind->close)
        s->kind->close(s);
    dcv_free(s->values);
    dcv_free(s->file);
    dcv_free(s->shown);
    dcv_free(s);
}

int64_t dcv_samples_count(const dcv_samples *s)
{
    return dcv_count(&s->dims) * s->channels;
}

static void copy(const double *from, int64_t n, dcv_dtype type, void *to)
{
    if (type == DCV_F64)
        memcpy(to, from, (size_t)n * sizeof *from);
    for (int64_t i = 0; type == DCV_F32 && i < n; i++)
        ((float *)to)[i] = (float)from[i];
}

dcv_status dcv_samples_read(dcv_samples *s, int64_t first, int64_t n, dcv_dtype type, void *to)
{
    DCV_CHECK(first >= 0 && n >= 0 && first <= dcv_samples_count(s) - n && (type == DCV_F32 || type == DCV_F64));
    if (!n)
        return DCV_OK;
    if (!s->values)
        return s->kind->read(s, first, n, type, to);
    copy(s->values + first, n, type, to);
    return DCV_OK;
}

/* --- Pictures of 8 and 16 bits ---------------------------------------------------------------- */

static dcv_status take_wide(dcv_samples *s, const dcv_image *im, const uint16_t *px)
{
    const int64_t n = im->h * im->w * im->c;
    s->values = dcv_alloc((size_t)n, sizeof *s->values);
    for (int64_t i = 0; s->values && i < n; i++)
        s->values[i] = px[i];
    return s->values ? DCV_OK : DCV_ENOMEM;
}

static dcv_status take_narrow(dcv_samples *s, const dcv_image *im)
{
    const int64_t n = im->h * im->w * im->c;
    s->values = dcv_alloc((size_t)n, sizeof *s->values);
    for (int64_t i = 0; s->values && i < n; i++)
        s->values[i] = im->px[i];
    return s->values ? DCV_OK : DCV_ENOMEM;
}

static dcv_status picture_open(dcv_samples *s, const char *dataset)
{
    uint8_t *bytes;
    size_t n;
    dcv_image im = {0};
    uint16_t *wide = NULL;
    (void)dataset;
    DCV_TRY(dcv_read_item_file(s->file, s->shown, -1, &bytes, &n));
    dcv_status st = dcv_png_wide(bytes, n, s->shown, &im, &wide);
    if (st == DCV_OK && wide)
        st = take_wide(s, &im, wide);
    else if (st == DCV_OK) {
        st = dcv_image_decode(bytes, n, s->shown, &im);
        if (st == DCV_OK)
            st = take_narrow(s, &im);
    }
    s->dims = (dcv_dims){2, {im.h, im.w}};
    s->channels = im.c;
    dcv_free(wide);
    dcv_image_clear(&im);
    dcv_free(bytes);
    return st;
}

static bool picture_knows(const uint8_t *head, size_t n)
{
    return !dcv_samples_tiff.knows(head, n) && dcv_image_knows(head, n);
}

const dcv_samples_kind dcv_samples_picture = {
    .name = "a picture", .extensions = "png|jpg|jpeg", .knows = picture_knows, .open = picture_open};
