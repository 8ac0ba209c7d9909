/* image_tiff_samples.c -- numbers of a TIFF as they are: 8, 16, 32 bits, whole or float, and float64; grey or RGB;
 * pages of one size are planes of a first axis.  Other colours (palette, CMYK, YCbCr) go through the picture decoder.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/image_format.h"
#include "io/image_tiff.h"
#include "io/samples.h"
#include "io/source.h"

#define MOST_PAGES 65535

typedef struct page {
    uint32_t w, h;
    uint16_t bits, samples, format, planar, photometric;
} page;

typedef struct own {
    TIFF *t;
    void *held;
    void *bytes; /* the file, mapped */
    size_t n;
    page first;
    int64_t pages;
} own;

static bool tiff_knows(const uint8_t *b, size_t n)
{
    return n >= 8 &&
           (!memcmp(b, "II*\0", 4) || !memcmp(b, "MM\0*", 4) || !memcmp(b, "II+\0", 4) || !memcmp(b, "MM\0+", 4));
}

static void read_tags(TIFF *t, page *p)
{
    memset(p, 0, sizeof *p);
    (void)TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &p->w);
    (void)TIFFGetField(t, TIFFTAG_IMAGELENGTH, &p->h);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_BITSPERSAMPLE, &p->bits);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLESPERPIXEL, &p->samples);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLEFORMAT, &p->format);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_PLANARCONFIG, &p->planar);
    if (!TIFFGetField(t, TIFFTAG_PHOTOMETRIC, &p->photometric))
        p->photometric = p->samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
    if (p->format == SAMPLEFORMAT_VOID)
        p->format = SAMPLEFORMAT_UINT;
}

static bool is_plain(const page *p)
{
    const bool whole = (p->format == SAMPLEFORMAT_UINT || p->format == SAMPLEFORMAT_INT) &&
                       (p->bits == 8 || p->bits == 16 || p->bits == 32);
    const bool real = p->format == SAMPLEFORMAT_IEEEFP && (p->bits == 32 || p->bits == 64);
    const bool grey = p->photometric == PHOTOMETRIC_MINISBLACK && p->samples >= 1;
    return (whole || real) && (grey || (p->photometric == PHOTOMETRIC_RGB && p->samples >= 3)) && p->samples <= 16;
}

static int channels_of(const page *p)
{
    return p->photometric == PHOTOMETRIC_RGB ? 3 : 1;
}

/* Number i of samples of this page's kind, in our byte order. */
static double number(const page *p, const uint8_t *at, int64_t i)
{
    at += i * (p->bits / 8);
    switch (p->bits + p->format) {
    case 8 + SAMPLEFORMAT_UINT:
        return at[0];
    case 8 + SAMPLEFORMAT_INT:
        return (int8_t)at[0];
    case 16 + SAMPLEFORMAT_UINT:
    case 16 + SAMPLEFORMAT_INT: {
        uint16_t v;
        memcpy(&v, at, 2);
        return p->format == SAMPLEFORMAT_INT ? (int16_t)v : v;
    }
    case 64 + SAMPLEFORMAT_IEEEFP: {
        double v;
        memcpy(&v, at, 8);
        return v;
    }
    default: {
        uint32_t v;
        float f;
        memcpy(&v, at, 4);
        memcpy(&f, at, 4);
        return p->format == SAMPLEFORMAT_IEEEFP ? (double)f
               : p->format == SAMPLEFORMAT_INT  ? (double)(int32_t)v
                                                : (double)v;
    }
    }
}

static dcv_status broken(const dcv_samples *s, int64_t at)
{
    const own *x = s->own;
    const char *said = x->held ? dcv_tiff_said(x->held) : "";
    return dcv_fail(DCV_EDATA, "%s: TIFF: page %lld is broken or cut%s%s", s->shown, (long long)at, *said ? ": " : "",
                    said);
}

static dcv_status map(dcv_samples *s, own *x)
{
    struct stat about;
    const int fd = open(s->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) || about.st_size < 1) {
        const int err = fd < 0 ? errno : EINVAL;
        if (fd >= 0)
            close(fd);
        return dcv_fail(DCV_EDATA, "%s: %s", s->shown, strerror(err));
    }
    x->n = (size_t)about.st_size;
    x->bytes = mmap(NULL, x->n, PROT_READ, MAP_PRIVATE, fd, 0);
    const int err = errno;
    close(fd);
    if (x->bytes != MAP_FAILED)
        return DCV_OK;
    x->bytes = NULL;
    return dcv_fail(DCV_EDATA, "%s: %s", s->shown, strerror(err));
}

/* A tile or strip that was read, at rows y0.. and columns x0.., into the page. */
static void place(const page *p, const uint8_t *from, int64_t y0, int64_t x0, int64_t rows, int64_t columns,
                  int64_t width, int plane, double *to)
{
    const int c = channels_of(p), in_row = p->planar == PLANARCONFIG_SEPARATE ? 1 : p->samples;
    const int first = p->planar == PLANARCONFIG_SEPARATE ? plane : 0, n = p->planar == PLANARCONFIG_SEPARATE ? 1 : c;
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < columns; x++)
            for (int k = 0; k < n; k++)
                to[((y0 + y) * p->w + x0 + x) * c + first + k] = number(p, from, (y * width + x) * in_row + k);
}

static dcv_status read_parts(dcv_samples *s, TIFF *t, const page *p, int64_t at, double *to)
{
    const bool tiled = TIFFIsTiled(t), planes = p->planar == PLANARCONFIG_SEPARATE;
    uint32_t tw = p->w, th = p->h;
    if (tiled) {
        (void)TIFFGetField(t, TIFFTAG_TILEWIDTH, &tw);
        (void)TIFFGetField(t, TIFFTAG_TILELENGTH, &th);
    } else
        (void)TIFFGetFieldDefaulted(t, TIFFTAG_ROWSPERSTRIP, &th);
    th = !tiled && th > p->h ? p->h : th;
    const int64_t pixel = (planes ? 1 : p->samples) * (p->bits / 8), room = (int64_t)tw * th * pixel;
    const tmsize_t said = tiled ? TIFFTileSize(t) : TIFFStripSize(t);
    if (!tw || !th || room > ((int64_t)1 << 31) || said != (tmsize_t)room)
        return broken(s, at);
    uint8_t *buffer = dcv_alloc(1, (size_t)room);
    dcv_status st = buffer ? DCV_OK : DCV_ENOMEM;
    for (uint16_t k = 0; st == DCV_OK && k < (planes ? channels_of(p) : 1); k++)
        for (uint32_t y = 0; st == DCV_OK && y < p->h; y += th)
            for (uint32_t x = 0; st == DCV_OK && x < p->w; x += tw) {
                const int64_t rows = p->h - y < th ? p->h - y : th, columns = p->w - x < tw ? p->w - x : tw;
                const tmsize_t want = tiled ? (tmsize_t)room : (tmsize_t)(rows * tw * pixel);
                const tmsize_t got =
                    tiled ? TIFFReadEncodedTile(t, TIFFComputeTile(t, x, y, 0, k), buffer, (tmsize_t)room)
                          : TIFFReadEncodedStrip(t, TIFFComputeStrip(t, y, k), buffer, want);
                if (got != want || *dcv_tiff_said(((own *)s->own)->held))
                    st = broken(s, at);
                else
                    place(p, buffer, y, x, rows, columns, tw, k, to);
            }
    dcv_free(buffer);
    return st;
}

/* Colours that need a decoder of their own: as 8 bits. */
static dcv_status decode(dcv_samples *s)
{
    uint8_t *bytes;
    size_t n;
    dcv_image im = {0};
    DCV_TRY(dcv_read_item_file(s->file, s->shown, -1, &bytes, &n));
    dcv_status st = dcv_image_decode(bytes, n, s->shown, &im);
    dcv_free(bytes);
    const int64_t count = im.h * im.w * im.c;
    if (st == DCV_OK && !(s->values = dcv_alloc((size_t)count, sizeof *s->values)))
        st = DCV_ENOMEM;
    for (int64_t i = 0; st == DCV_OK && i < count; i++)
        s->values[i] = im.px[i];
    s->dims = (dcv_dims){2, {im.h, im.w}};
    s->channels = im.c;
    dcv_image_clear(&im);
    return st;
}

static dcv_status tiff_open(dcv_samples *s, const char *dataset)
{
    own *x = s->own = dcv_alloc(1, sizeof *x);
    (void)dataset;
    if (!x)
        return DCV_ENOMEM;
    DCV_TRY(map(s, x));
    DCV_TRY(dcv_tiff_open(x->bytes, x->n, s->shown, &x->t, &x->held));
    read_tags(x->t, &x->first);
    DCV_TRY(dcv_image_check_size(x->first.h, x->first.w, s->shown));
    if (!is_plain(&x->first))
        return decode(s);
    for (x->pages = 1; x->pages <= MOST_PAGES && TIFFReadDirectory(x->t); x->pages++) {
        page p;
        read_tags(x->t, &p);
        if (memcmp(&p, &x->first, sizeof p))
            return dcv_fail(DCV_EDATA, "%s: TIFF: page %lld differs from the first in size or kind", s->shown,
                            (long long)x->pages);
    }
    if (*dcv_tiff_said(x->held))
        return broken(s, x->pages);
    if (x->pages > MOST_PAGES)
        return dcv_fail(DCV_EDATA, "%s: TIFF: more than %d pages", s->shown, MOST_PAGES);
    s->channels = channels_of(&x->first);
    s->dims =
        x->pages > 1 ? (dcv_dims){3, {x->pages, x->first.h, x->first.w}} : (dcv_dims){2, {x->first.h, x->first.w}};
    return DCV_OK;
}

static void tiff_close(dcv_samples *s)
{
    own *x = s->own;
    if (x && x->t)
        TIFFClose(x->t);
    if (x && x->bytes)
        munmap(x->bytes, x->n);
    if (x)
        dcv_free(x->held);
    dcv_free(x);
}

static void copy(const double *from, int64_t n, dcv_dtype type, void *to)
{
    for (int64_t i = 0; i < n; i++)
        if (type == DCV_F64)
            ((double *)to)[i] = from[i];
        else
            ((float *)to)[i] = (float)from[i];
}

/* Page by page; of the first and the last perhaps only a part is wanted. */
static dcv_status tiff_read(dcv_samples *s, int64_t first, int64_t n, dcv_dtype type, void *to)
{
    own *x = s->own;
    const int64_t size = (int64_t)x->first.h * x->first.w * s->channels;
    double *values = dcv_alloc((size_t)size, sizeof *values);
    dcv_status st = values ? DCV_OK : DCV_ENOMEM;
    for (int64_t at = first / size; st == DCV_OK && at * size < first + n; at++) {
        const int64_t lo = at * size < first ? first : at * size,
                      hi = (at + 1) * size < first + n ? (at + 1) * size : first + n;
        st = TIFFSetDirectory(x->t, (uint16_t)at) ? read_parts(s, x->t, &x->first, at, values) : broken(s, at);
        if (st == DCV_OK)
            copy(values + (lo - at * size), hi - lo, type, (char *)to + (lo - first) * (int64_t)dcv_dtype_bytes(type));
    }
    dcv_free(values);
    return st;
}

const dcv_samples_kind dcv_samples_tiff = {.name = "TIFF",
                                           .extensions = "tif|tiff",
                                           .knows = tiff_knows,
                                           .open = tiff_open,
                                           .close = tiff_close,
                                           .read = tiff_read};
