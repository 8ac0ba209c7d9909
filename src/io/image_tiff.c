/* image_tiff.c -- TIFF through libtiff, from memory, first page.
 *
 * Grey (either way round), palette, RGB and CMYK of 1 to 16 bits, in strips or tiles, interleaved or in planes; samples
 * beyond the colours (alpha) are dropped.  JPEG inside a TIFF becomes RGB in libjpeg; other YCbCr goes through
 * libtiff's own RGBA reader.  Turns (Orientation) are not applied.  Any error that libtiff reports is a failure.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "io/image_format.h"
#include "io/image_tiff.h"

enum { MAX_SAMPLES = 16 }; /* of a pixel: colours and what comes with them */

typedef struct memory_file {
    const uint8_t *bytes;
    uint64_t n, at;
    char what[200]; /* first error */
} memory_file;

static tmsize_t mem_read(thandle_t h, void *to, tmsize_t n)
{
    memory_file *f = (memory_file *)h;
    const uint64_t left = f->at < f->n ? f->n - f->at : 0, k = n < 0 ? 0 : (uint64_t)n < left ? (uint64_t)n : left;
    memcpy(to, f->bytes + (left ? f->at : 0), k);
    f->at += k;
    return (tmsize_t)k;
}

static tmsize_t mem_write(thandle_t h, void *from, tmsize_t n)
{
    (void)h;
    (void)from;
    (void)n;
    return -1;
}

static toff_t mem_seek(thandle_t h, toff_t to, int whence)
{
    memory_file *f = (memory_file *)h;
    f->at = whence == SEEK_SET ? to : whence == SEEK_CUR ? f->at + to : f->n + to;
    return f->at;
}

static int mem_close(thandle_t h)
{
    (void)h;
    return 0;
}

static toff_t mem_size(thandle_t h)
{
    return ((memory_file *)h)->n;
}

/* libtiff's handlers are global; ours finds the file at fault in its argument. */
static void keep_error(thandle_t h, const char *module, const char *fmt, va_list args)
{
    memory_file *f = (memory_file *)h;
    (void)module;
    if (f && !f->what[0])
        vsnprintf(f->what, sizeof f->what, fmt, args);
}

static void set_handlers(void)
{
    TIFFSetErrorHandler(NULL);
    TIFFSetWarningHandler(NULL);
    TIFFSetErrorHandlerExt(keep_error);
    TIFFSetWarningHandlerExt(NULL);
}

static void set_handlers_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, set_handlers);
}

dcv_status dcv_tiff_open(const void *bytes, size_t n, const char *name, TIFF **out, void **held)
{
    memory_file *f = dcv_alloc(1, sizeof *f);
    *out = NULL;
    *held = f;
    if (!f)
        return DCV_ENOMEM;
    *f = (memory_file){.bytes = bytes, .n = n};
    set_handlers_once();
    *out = TIFFClientOpen(name, "rm", (thandle_t)f, mem_read, mem_write, mem_seek, mem_close, mem_size, NULL, NULL);
    if (*out && !f->what[0])
        return DCV_OK;
    const dcv_status st = dcv_fail(DCV_EDATA, "%s: TIFF: %s", name, f->what[0] ? f->what : "broken header");
    if (*out)
        TIFFClose(*out);
    dcv_free(f);
    *out = NULL;
    *held = NULL;
    return st;
}

const char *dcv_tiff_said(const void *held)
{
    return ((const memory_file *)held)->what;
}

typedef struct layout {
    uint32_t w, h, tile_w, tile_h; /* a strip is a tile as wide as the picture */
    uint16_t bits, samples, photometric, planar, compression, format;
    bool tiled, ycbcr;
    int inks;         /* samples that make the colour: 1, 3 or 4 */
    uint16_t *map[3]; /* of a palette; libtiff's */
    bool map_is_8bit; /* some writers forget to scale it */
} layout;

static void read_tags(TIFF *t, layout *l)
{
    memset(l, 0, sizeof *l);
    (void)TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &l->w);
    (void)TIFFGetField(t, TIFFTAG_IMAGELENGTH, &l->h);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_BITSPERSAMPLE, &l->bits);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLESPERPIXEL, &l->samples);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_PLANARCONFIG, &l->planar);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_COMPRESSION, &l->compression);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLEFORMAT, &l->format);
    if (!TIFFGetField(t, TIFFTAG_PHOTOMETRIC, &l->photometric))
        l->photometric = l->samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
    l->tiled = TIFFIsTiled(t);
    if (l->photometric == PHOTOMETRIC_YCBCR && l->compression == COMPRESSION_JPEG) {
        (void)TIFFSetField(t, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        l->photometric = PHOTOMETRIC_RGB;
    }
}

static dcv_status check_tags(TIFF *t, layout *l, const char *name)
{
    static const struct {
        uint16_t photometric;
        int inks;
    } colours[] = {{PHOTOMETRIC_MINISBLACK, 1}, {PHOTOMETRIC_MINISWHITE, 1}, {PHOTOMETRIC_PALETTE, 1},
                   {PHOTOMETRIC_RGB, 3},        {PHOTOMETRIC_SEPARATED, 4},  {PHOTOMETRIC_YCBCR, 3}};
    for (size_t i = 0; i < sizeof colours / sizeof *colours; i++)
        if (colours[i].photometric == l->photometric)
            l->inks = colours[i].inks;
    l->ycbcr = l->photometric == PHOTOMETRIC_YCBCR;
    if (!l->inks || l->samples < l->inks || l->samples > MAX_SAMPLES)
        return dcv_fail(
            DCV_EDATA,
            "%s: TIFF of photometric interpretation %d with %d samples; expected grey, palette, RGB, CMYK or YCbCr",
            name, l->photometric, l->samples);
    const bool whole = l->bits == 1 || l->bits == 2 || l->bits == 4 || l->bits == 8 || l->bits == 16;
    if (!whole || (l->bits < 8 && l->samples != 1) || (l->photometric == PHOTOMETRIC_PALETTE && l->bits > 8) ||
        (l->format != SAMPLEFORMAT_UINT && l->format != SAMPLEFORMAT_VOID) || (l->ycbcr && l->bits != 8))
        return dcv_fail(DCV_EDATA,
                        "%s: TIFF with %d samples of %d bits (format %d); expected 1, 2, 4, 8 or 16 bits, unsigned",
                        name, l->samples, l->bits, l->format);
    if (l->photometric == PHOTOMETRIC_PALETTE && !TIFFGetField(t, TIFFTAG_COLORMAP, &l->map[0], &l->map[1], &l->map[2]))
        return dcv_fail(DCV_EDATA, "%s: TIFF with a palette that is not there", name);
    return DCV_OK;
}

/* Strips as tiles: as wide as the picture, rows_per_strip high. */
static dcv_status check_tiles(TIFF *t, layout *l, const char *name)
{
    l->tile_w = l->w;
    if (l->tiled) {
        (void)TIFFGetField(t, TIFFTAG_TILEWIDTH, &l->tile_w);
        (void)TIFFGetField(t, TIFFTAG_TILELENGTH, &l->tile_h);
    } else
        (void)TIFFGetFieldDefaulted(t, TIFFTAG_ROWSPERSTRIP, &l->tile_h);
    if (!l->tiled && l->tile_h > l->h)
        l->tile_h = l->h;
    if (l->tile_w < 1 || l->tile_h < 1 || (uint64_t)l->tile_w * l->tile_h > (uint64_t)DCV_IMAGE_MAX_PX)
        return dcv_fail(DCV_EDATA, "%s: TIFF with tiles of %u x %u", name, l->tile_h, l->tile_w);
    return DCV_OK;
}

/* Do all palette entries fit 8 bits?  Then they were never scaled to 16. */
static bool is_8bit_map(const layout *l)
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 1 << l->bits; i++)
            if (l->map[c][i] > 255)
                return false;
    return true;
}

static uint8_t sample8(const layout *l, const uint8_t *row, int64_t i)
{
    if (l->bits == 16) {
        uint16_t v;
        memcpy(&v, row + 2 * i, 2); /* libtiff has turned it to our byte order */
        return dcv_narrow(v);
    }
    if (l->bits == 8)
        return row[i];
    const int per = 8 / l->bits, shift = 8 - l->bits * (1 + (int)(i % per)), most = (1 << l->bits) - 1;
    const int v = (row[i / per] >> shift) & most;
    return (uint8_t)(l->photometric == PHOTOMETRIC_PALETTE ? v : v * (255 / most));
}

/* One pixel from its samples at i, i + step ... of rows (one row, or one a plane). */
static void put_pixel(const layout *l, const uint8_t *v, uint8_t *to)
{
    switch (l->photometric) {
    case PHOTOMETRIC_MINISWHITE:
        to[0] = (uint8_t)(255 - v[0]);
        break;
    case PHOTOMETRIC_MINISBLACK:
        to[0] = v[0];
        break;
    case PHOTOMETRIC_PALETTE:
        for (int c = 0; c < 3; c++)
            to[c] = (uint8_t)(l->map_is_8bit ? l->map[c][v[0]] : l->map[c][v[0]] >> 8);
        break;
    case PHOTOMETRIC_SEPARATED:
        for (int c = 0; c < 3; c++)
            to[c] = dcv_ink(v[c], v[3]);
        break;
    default:
        memcpy(to, v, 3);
    }
}

/* The part of a tile at (y0, x0) that lies in the picture.  plane[k]: samples of colour k, `step` apart. */
static void put_tile(const layout *l, const uint8_t *const *plane, int step, int64_t row_bytes, int64_t y0, int64_t x0,
                     dcv_image *out)
{
    const int64_t rows = l->h - y0 < l->tile_h ? l->h - y0 : l->tile_h,
                  cols = l->w - x0 < l->tile_w ? l->w - x0 : l->tile_w;
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < cols; x++) {
            uint8_t v[4];
            for (int k = 0; k < l->inks; k++)
                v[k] = sample8(l, plane[k] + y * row_bytes, step > 1 ? x * step + k : x);
            put_pixel(l, v, out->px + ((y0 + y) * out->w + x0 + x) * out->c);
        }
}

static bool read_tile(TIFF *t, const layout *l, uint32_t y, uint32_t x, uint16_t plane, uint8_t *to, tmsize_t room,
                      tmsize_t row_bytes)
{
    if (l->tiled)
        return TIFFReadEncodedTile(t, TIFFComputeTile(t, x, y, 0, plane), to, room) == room;
    const uint32_t rows = l->h - y < l->tile_h ? l->h - y : l->tile_h;
    return TIFFReadEncodedStrip(t, TIFFComputeStrip(t, y, plane), to, (tmsize_t)rows * row_bytes) ==
           (tmsize_t)rows * row_bytes;
}

static dcv_status read_tiles(TIFF *t, const layout *l, const memory_file *f, const char *name, dcv_image *out)
{
    const bool planes = l->planar == PLANARCONFIG_SEPARATE && l->samples > 1;
    const int n_plane = planes ? l->inks : 1, in_row = planes ? 1 : l->samples;
    const tmsize_t row_bytes = (tmsize_t)(((int64_t)l->tile_w * in_row * l->bits + 7) / 8),
                   room = row_bytes * (tmsize_t)l->tile_h;
    const tmsize_t said = l->tiled ? TIFFTileSize(t) : TIFFStripSize(t);
    if (said != room || room > INT32_MAX)
        return dcv_fail(DCV_EDATA, "%s: TIFF: unexpected size of tiles", name);
    uint8_t *buf = dcv_alloc((size_t)n_plane, (size_t)room);
    if (!buf)
        return DCV_ENOMEM;
    dcv_status st = DCV_OK;
    const uint8_t *plane[4];
    for (int k = 0; k < l->inks; k++)
        plane[k] = buf + (planes ? k * room : 0);
    for (int64_t y = 0; st == DCV_OK && y < l->h; y += l->tile_h)
        for (int64_t x = 0; st == DCV_OK && x < l->w; x += l->tile_w) {
            for (int k = 0; st == DCV_OK && k < n_plane; k++)
                if (!read_tile(t, l, (uint32_t)y, (uint32_t)x, (uint16_t)k, buf + k * room, room, row_bytes) ||
                    f->what[0])
                    st = dcv_fail(DCV_EDATA, "%s: TIFF: %s", name, f->what[0] ? f->what : "cut: a strip is too short");
            if (st == DCV_OK)
                put_tile(l, plane, in_row, row_bytes, y, x, out);
        }
    dcv_free(buf);
    return st;
}

static dcv_status read_ycbcr(TIFF *t, const memory_file *f, const char *name, dcv_image *out)
{
    uint32_t *rgba = dcv_alloc((size_t)out->h * (size_t)out->w, sizeof *rgba);
    if (!rgba)
        return DCV_ENOMEM;
    dcv_status st = DCV_OK;
    if (!TIFFReadRGBAImageOriented(t, (uint32_t)out->w, (uint32_t)out->h, rgba, ORIENTATION_TOPLEFT, 1) || f->what[0])
        st = dcv_fail(DCV_EDATA, "%s: TIFF: %s", name, f->what[0] ? f->what : "cannot be decoded");
    for (int64_t i = 0; st == DCV_OK && i < out->h * out->w; i++) {
        out->px[3 * i] = (uint8_t)TIFFGetR(rgba[i]);
        out->px[3 * i + 1] = (uint8_t)TIFFGetG(rgba[i]);
        out->px[3 * i + 2] = (uint8_t)TIFFGetB(rgba[i]);
    }
    dcv_free(rgba);
    return st;
}

static dcv_status read_open(TIFF *t, memory_file *f, const char *name, bool want_pixels, dcv_image *out)
{
    layout l;
    read_tags(t, &l);
    DCV_TRY(dcv_image_check_size(l.h, l.w, name));
    DCV_TRY(check_tags(t, &l, name));
    DCV_TRY(check_tiles(t, &l, name));
    out->h = l.h;
    out->w = l.w;
    out->c = l.inks == 1 && l.photometric != PHOTOMETRIC_PALETTE ? 1 : 3;
    if (!want_pixels)
        return DCV_OK;
    if (l.photometric == PHOTOMETRIC_PALETTE)
        l.map_is_8bit = is_8bit_map(&l);
    out->px = dcv_alloc((size_t)out->h * (size_t)out->w, (size_t)out->c);
    if (!out->px)
        return DCV_ENOMEM;
    return l.ycbcr ? read_ycbcr(t, f, name, out) : read_tiles(t, &l, f, name, out);
}

static uint64_t number(const uint8_t *b, int n, bool big_endian)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v = v << 8 | b[big_endian ? i : n - 1 - i];
    return v;
}

/* Is the first directory there to its last byte, the offset of the next one?  libtiff does not mind. */
static bool directory_is_whole(const uint8_t *b, uint64_t n)
{
    const bool turned = b[0] == 'M', large = b[turned ? 3 : 2] == 43;
    const int word = large ? 8 : 4, count_bytes = large ? 8 : 2;
    const uint64_t entry_bytes = large ? 20 : 12;
    if (n < 16)
        return false;
    const uint64_t at = number(b + (large ? 8 : 4), word, turned);
    if (at > n || n - at < (uint64_t)count_bytes)
        return false;
    const uint64_t left = n - at - (uint64_t)count_bytes, count = number(b + at, count_bytes, turned);
    return count <= left / entry_bytes && left - count * entry_bytes >= (uint64_t)word;
}

static dcv_status tiff_read(const uint8_t *b, size_t n, const char *name, bool want_pixels, dcv_image *out)
{
    memory_file f = {.bytes = b, .n = n};
    if (!directory_is_whole(b, n))
        return dcv_fail(DCV_EDATA, "%s: TIFF: cut: the file ends before its directory does", name);
    set_handlers_once();
    TIFF *t = TIFFClientOpen(name, "rm", (thandle_t)&f, mem_read, mem_write, mem_seek, mem_close, mem_size, NULL, NULL);
    if (!t)
        return dcv_fail(DCV_EDATA, "%s: TIFF: %s", name, f.what[0] ? f.what : "broken header");
    dcv_status st;
    if (f.what[0])
        st = dcv_fail(DCV_EDATA, "%s: TIFF: %s", name, f.what);
    else
        st = read_open(t, &f, name, want_pixels, out);
    TIFFClose(t);
    return st;
}

static bool knows(const uint8_t *b, size_t n)
{
    static const uint8_t magic[][4] = {{'I', 'I', 42, 0}, {'M', 'M', 0, 42}, {'I', 'I', 43, 0}, {'M', 'M', 0, 43}};
    for (size_t i = 0; n >= 8 && i < sizeof magic / sizeof *magic; i++)
        if (memcmp(b, magic[i], 4) == 0)
            return true;
    return false;
}

const dcv_image_format dcv_image_tiff = {.name = "TIFF", .knows = knows, .read = tiff_read};
