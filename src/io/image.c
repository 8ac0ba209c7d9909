/* image.c -- encoded pictures to 8-bit grey or RGB: which decoder, and what becomes of the channels. */
#include <string.h>
#include "io/image_format.h"

void dcv_image_clear(dcv_image *im)
{
    dcv_free(im->px);
    *im = (dcv_image){0};
}

static uint8_t luma(const uint8_t *p)
{
    return (uint8_t)((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 32768u) >> 16);
}

static dcv_status to_rgb(dcv_image *im)
{
    const int64_t n = im->h * im->w;
    uint8_t *px = dcv_alloc((size_t)n, 3);
    if (!px)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < n; i++)
        px[3 * i] = px[3 * i + 1] = px[3 * i + 2] = im->px[i];
    dcv_free(im->px);
    im->px = px;
    im->c = 3;
    return DCV_OK;
}

dcv_status dcv_image_channels(dcv_image *im, int c)
{
    DCV_CHECK((im->c == 1 || im->c == 3) && (c == 1 || c == 3));
    if (im->c == c)
        return DCV_OK;
    if (c == 3)
        return to_rgb(im);
    const int64_t n = im->h * im->w;
    for (int64_t i = 0; i < n; i++)
        im->px[i] = luma(im->px + 3 * i);
    im->c = 1;
    return DCV_OK;
}

/* --- where resize and crop put a picture -------------------------------------------------- */

static bool absent(const dcv_ints *v)
{
    return v->n == 0; /* not written, or the word "none" */
}

static int64_t centred(int64_t room, int64_t side) /* rint((room - side) / 2), half to even */
{
    const int64_t d = room - side, half = d / 2;
    return d % 2 && half % 2 ? half + 1 : half;
}

static dcv_status resized(const dcv_ints *r, int64_t ih, int64_t iw, dcv_framing *f)
{
    f->resized_h = ih;
    f->resized_w = iw;
    if (absent(r))
        return DCV_OK;
    if (r->n == 2) {
        f->resized_h = r->v[0];
        f->resized_w = r->v[1];
        return DCV_OK;
    }
    const int64_t s = r->v[0], shorter = ih < iw ? ih : iw, longer = ih < iw ? iw : ih;
    int64_t other;
    if (__builtin_mul_overflow(s, longer, &other))
        return dcv_fail(DCV_EDATA, "%lld x %lld px cannot be resized to %lld", (long long)ih, (long long)iw,
                        (long long)s);
    other /= shorter;
    f->resized_h = ih <= iw ? s : other;
    f->resized_w = ih <= iw ? other : s;
    return DCV_OK;
}

dcv_status dcv_framing_of(const dcv_preprocess *p, int64_t ih, int64_t iw, dcv_framing *f)
{
    DCV_TRY(resized(&p->resize, ih, iw, f));
    f->y = f->x = 0;
    f->h = f->resized_h;
    f->w = f->resized_w;
    if (!absent(&p->crop)) {
        f->h = p->crop.v[0];
        f->w = p->crop.v[p->crop.n - 1];
        const bool centre = p->crop_at.n != 2;
        f->y = centre ? centred(f->resized_h, f->h) : p->crop_at.v[0];
        f->x = centre ? centred(f->resized_w, f->w) : p->crop_at.v[1];
    }
    if (f->y < 0 || f->x < 0 || f->h > f->resized_h - f->y || f->w > f->resized_w - f->x)
        return dcv_fail(DCV_EDATA, "%lld x %lld px%s is smaller than the crop of %lld x %lld at row %lld, column %lld",
                        (long long)f->resized_h, (long long)f->resized_w, absent(&p->resize) ? "" : " after resize",
                        (long long)f->h, (long long)f->w, (long long)(f->y > 0 ? f->y : 0),
                        (long long)(f->x > 0 ? f->x : 0));
    if (f->h < 1 || f->w < 1 || f->h > DCV_IMAGE_MAX_PX / f->w)
        return dcv_fail(DCV_EDATA, "%lld x %lld px after resize; more than 2^28 pixels are refused", (long long)f->h,
                        (long long)f->w);
    return DCV_OK;
}

/* --- formats ----------------------------------------------------------------------------- */

static const dcv_image_format *const formats[] = {&dcv_image_jpeg, &dcv_image_png, &dcv_image_tiff};
enum { N_FORMATS = sizeof formats / sizeof *formats };

static dcv_status format_of(const uint8_t *b, size_t n, const char *name, const dcv_image_format **out)
{
    *out = NULL;
    if (n == 0)
        return dcv_fail(DCV_EDATA, "%s: empty, 0 bytes", name);
    for (int i = 0; i < N_FORMATS && !*out; i++)
        if (formats[i]->knows(b, n))
            *out = formats[i];
    return *out ? DCV_OK : dcv_fail(DCV_EDATA, "%s: not a JPEG, PNG or TIFF picture", name);
}

bool dcv_image_knows(const uint8_t *b, size_t n)
{
    for (int i = 0; i < N_FORMATS; i++)
        if (formats[i]->knows(b, n))
            return true;
    return false;
}

dcv_status dcv_image_check_size(int64_t h, int64_t w, const char *name)
{
    if (h < 1 || w < 1)
        return dcv_fail(DCV_EDATA, "%s: %lld x %lld px", name, (long long)h, (long long)w);
    if (h > DCV_IMAGE_MAX_PX / w)
        return dcv_fail(DCV_EDATA, "%s: %lld x %lld px; more than 2^28 pixels are refused", name, (long long)h,
                        (long long)w);
    return DCV_OK;
}

dcv_status dcv_image_header(const void *bytes, size_t n, const char *name, dcv_image *out)
{
    const dcv_image_format *f;
    *out = (dcv_image){0};
    DCV_TRY(format_of(bytes, n, name, &f));
    return f->read(bytes, n, name, false, out);
}

dcv_status dcv_image_decode(const void *bytes, size_t n, const char *name, dcv_image *out)
{
    const dcv_image_format *f;
    *out = (dcv_image){0};
    DCV_TRY(format_of(bytes, n, name, &f));
    const dcv_status st = f->read(bytes, n, name, true, out);
    if (st != DCV_OK)
        dcv_image_clear(out);
    return st;
}
