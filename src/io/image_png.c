/* image_png.c -- PNG through libpng, reading and writing.
 *
 * Palettes become RGB, 1, 2 and 4 bits are stretched to 8, 16 bits become 8 by rint(x/257), alpha and
 * transparent colours are dropped, gamma and colour profiles are not applied.  Chunks that change no pixel are
 * skipped, but for their checksums; whatever libpng can complain about is a failure.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <png.h>
#include "io/image_format.h"

typedef struct decoder {
    png_structp png;
    png_infop info;
    const uint8_t *at, *end; /* what is left of the file */
    uint8_t **row;
    uint8_t *raw; /* samples as libpng gives them, where they are not the result */
    char what[200];
    jmp_buf out; /* errors come back here */
} decoder;

static void leave(png_structp png, png_const_charp why)
{
    decoder *x = png_get_error_ptr(png);
    snprintf(x->what, sizeof x->what, "%s", why);
    longjmp(x->out, 1);
}

static void quiet(png_structp png, png_const_charp why)
{
    (void)png;
    (void)why;
}

static void feed(png_structp png, png_bytep to, size_t n)
{
    decoder *x = png_get_io_ptr(png);
    if (n > (size_t)(x->end - x->at))
        png_error(png, "cut: the file ends before the picture");
    memcpy(to, x->at, n);
    x->at += n;
}

static dcv_status header(decoder *x, const char *name, dcv_image *out)
{
    png_set_read_fn(x->png, x, feed);
    png_set_user_limits(x->png, 0x7FFFFFFF, 0x7FFFFFFF);
    png_set_crc_action(x->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(x->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_benign_errors(x->png, 0);
    png_read_info(x->png, x->info);
    out->h = png_get_image_height(x->png, x->info);
    out->w = png_get_image_width(x->png, x->info);
    out->c = png_get_color_type(x->png, x->info) & PNG_COLOR_MASK_COLOR ? 3 : 1;
    return dcv_image_check_size(out->h, out->w, name);
}

/* channels of samples of bits in a row to c channels of 8. */
static void keep_colours(const uint8_t *from, int64_t w, int channels, int bits, int c, uint8_t *to)
{
    for (int64_t i = 0; i < w; i++)
        for (int k = 0; k < c; k++) {
            const uint8_t *v = from + (i * channels + k) * (bits / 8);
            to[i * c + k] = bits == 16 ? dcv_narrow((uint16_t)(v[0] << 8 | v[1])) : v[0];
        }
}

static dcv_status pixels(decoder *x, dcv_image *out)
{
    const int type = png_get_color_type(x->png, x->info);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(x->png);
    if (type == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(x->png);
    (void)png_set_interlace_handling(x->png);
    png_read_update_info(x->png, x->info);
    const int channels = png_get_channels(x->png, x->info), bits = png_get_bit_depth(x->png, x->info);
    const size_t stride = png_get_rowbytes(x->png, x->info);
    const bool direct = bits == 8 && channels == out->c;
    if (stride != (size_t)out->w * (size_t)channels * (size_t)bits / 8 || (bits != 8 && bits != 16) ||
        channels < out->c)
        png_error(x->png, "unexpected layout of samples");
    out->px = dcv_alloc((size_t)out->h * (size_t)out->w, (size_t)out->c);
    x->row = dcv_alloc((size_t)out->h, sizeof *x->row);
    x->raw = direct ? NULL : dcv_alloc((size_t)out->h, stride);
    if (!out->px || !x->row || (!direct && !x->raw))
        return DCV_ENOMEM;
    for (int64_t y = 0; y < out->h; y++)
        x->row[y] = (direct ? out->px : x->raw) + (size_t)y * stride;
    png_read_image(x->png, x->row);
    png_read_end(x->png, NULL);
    for (int64_t y = 0; !direct && y < out->h; y++)
        keep_colours(x->row[y], out->w, channels, bits, out->c, out->px + y * out->w * out->c);
    return DCV_OK;
}

static dcv_status png_read(const uint8_t *b, size_t n, const char *name, bool want_pixels, dcv_image *out)
{
    decoder *x = dcv_alloc(1, sizeof *x);
    if (!x)
        return DCV_ENOMEM;
    x->at = b;
    x->end = b + n;
    volatile dcv_status st = DCV_OK; /* written after setjmp, read after longjmp */
    if (setjmp(x->out))
        st = dcv_fail(DCV_EDATA, "%s: PNG: %s", name, x->what);
    else {
        x->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, x, leave, quiet);
        x->info = x->png ? png_create_info_struct(x->png) : NULL;
        st = x->info ? header(x, name, out) : dcv_fail(DCV_ENOMEM, "%s: out of memory for libpng", name);
        if (st == DCV_OK && want_pixels)
            st = pixels(x, out);
    }
    png_destroy_read_struct(&x->png, &x->info, NULL);
    dcv_free(x->raw);
    dcv_free(x->row);
    dcv_free(x);
    return st;
}

/* --- samples of 16 bits, as they are ---------------------------------------------------------- */

static bool knows(const uint8_t *b, size_t n);

static dcv_status wide_pixels(decoder *x, dcv_image *out, uint16_t **px)
{
    (void)png_set_interlace_handling(x->png);
    png_read_update_info(x->png, x->info);
    const int channels = png_get_channels(x->png, x->info);
    const size_t stride = png_get_rowbytes(x->png, x->info);
    if (stride != (size_t)out->w * (size_t)channels * 2 || channels < out->c)
        png_error(x->png, "unexpected layout of samples");
    *px = dcv_alloc((size_t)out->h * (size_t)out->w * (size_t)out->c, sizeof **px);
    x->row = dcv_alloc((size_t)out->h, sizeof *x->row);
    x->raw = dcv_alloc((size_t)out->h, stride);
    if (!*px || !x->row || !x->raw)
        return DCV_ENOMEM;
    for (int64_t y = 0; y < out->h; y++)
        x->row[y] = x->raw + (size_t)y * stride;
    png_read_image(x->png, x->row);
    png_read_end(x->png, NULL);
    for (int64_t i = 0; i < out->h * out->w; i++)
        for (int k = 0; k < out->c; k++) {
            const uint8_t *v = x->raw + (i * channels + k) * 2;
            (*px)[i * out->c + k] = (uint16_t)(v[0] << 8 | v[1]);
        }
    return DCV_OK;
}

dcv_status dcv_png_wide(const uint8_t *b, size_t n, const char *name, dcv_image *out, uint16_t **px)
{
    *px = NULL;
    *out = (dcv_image){0};
    if (!knows(b, n))
        return DCV_OK;
    decoder *x = dcv_alloc(1, sizeof *x);
    if (!x)
        return DCV_ENOMEM;
    x->at = b;
    x->end = b + n;
    volatile dcv_status st = DCV_OK;
    if (setjmp(x->out))
        st = dcv_fail(DCV_EDATA, "%s: PNG: %s", name, x->what);
    else {
        x->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, x, leave, quiet);
        x->info = x->png ? png_create_info_struct(x->png) : NULL;
        st = x->info ? header(x, name, out) : dcv_fail(DCV_ENOMEM, "%s: out of memory for libpng", name);
        if (st == DCV_OK && png_get_bit_depth(x->png, x->info) == 16)
            st = wide_pixels(x, out, px);
    }
    png_destroy_read_struct(&x->png, &x->info, NULL);
    dcv_free(x->raw);
    dcv_free(x->row);
    dcv_free(x);
    if (st != DCV_OK) {
        dcv_free(*px);
        *px = NULL;
    }
    return st;
}

static bool knows(const uint8_t *b, size_t n)
{
    return n >= 8 && memcmp(b, "\x89PNG\r\n\x1A\n", 8) == 0;
}

const dcv_image_format dcv_image_png = {.name = "PNG", .knows = knows, .read = png_read};

/* --- writing ------------------------------------------------------------------------------ */

static dcv_status write_rows(png_structp png, png_infop info, FILE *f, const dcv_image *im, decoder *x,
                             const char *file)
{
    if (setjmp(x->out))
        return dcv_fail(DCV_EIO, "%s: %s", file, errno ? strerror(errno) : x->what);
    errno = 0;
    png_init_io(png, f);
    png_set_IHDR(png, info, (png_uint_32)im->w, (png_uint_32)im->h, 8,
                 im->c == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(png, 6);
    png_write_info(png, info);
    for (int64_t y = 0; y < im->h; y++)
        png_write_row(png, im->px + y * im->w * im->c);
    png_write_end(png, info);
    return DCV_OK;
}

dcv_status dcv_png_write(const char *file, const dcv_image *im)
{
    DCV_CHECK(im->px && (im->c == 1 || im->c == 3));
    decoder *x = dcv_alloc(1, sizeof *x);
    if (!x)
        return DCV_ENOMEM;
    FILE *f = fopen(file, "wb");
    if (!f) {
        dcv_free(x);
        return dcv_fail(DCV_EIO, "%s: %s", file, strerror(errno));
    }
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, x, leave, quiet);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (png)
        png_set_user_limits(png, 0x7FFFFFFF, 0x7FFFFFFF);
    dcv_status st =
        info ? write_rows(png, info, f, im, x, file) : dcv_fail(DCV_ENOMEM, "%s: out of memory for libpng", file);
    png_destroy_write_struct(&png, &info);
    if (fclose(f) != 0 && st == DCV_OK)
        st = dcv_fail(DCV_EIO, "%s: %s", file, strerror(errno));
    if (st != DCV_OK)
        (void)remove(file);
    dcv_free(x);
    return st;
}
