/* image_png_write.c -- 8-bit grey and RGB pictures to PNG files. */
#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "deconvoy/image.h"

typedef struct sink { /* libpng's handles, and its complaint */
    png_structp png;
    png_infop info;
    char why[128];
} sink;

static void complain(png_structp png, png_const_charp why)
{
    sink *s = png_get_error_ptr(png);
    snprintf(s->why, sizeof s->why, "%s", why);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp why)
{
    (void)png, (void)why;
}

/* False: s->why says why.  Holds nothing of its own, so that the jump out of libpng loses nothing. */
static bool write_picture(sink *s, FILE *f, const dcv_image *im)
{
    if (setjmp(png_jmpbuf(s->png)))
        return false;
    png_init_io(s->png, f);
    png_set_IHDR(s->png, s->info, (png_uint_32)im->w, (png_uint_32)im->h, 8,
                 im->c == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(s->png, 4);
    png_write_info(s->png, s->info);
    for (int64_t y = 0; y < im->h; y++)
        png_write_row(s->png, im->px + y * im->w * im->c);
    png_write_end(s->png, NULL);
    return true;
}

dcv_status dcv_png_write(const char *file, const dcv_image *im)
{
    if ((im->c != 1 && im->c != 3) || im->h < 1 || im->w < 1 || im->h > INT32_MAX || im->w > INT32_MAX)
        return dcv_fail(DCV_EINTERNAL, "%s: no PNG of %lld x %lld x %d", file, (long long)im->h, (long long)im->w,
                        im->c);
    FILE *f = fopen(file, "wb");
    if (!f)
        return dcv_fail(DCV_EIO, "%s: %s", file, strerror(errno));
    sink s = {.why = "out of memory"};
    s.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &s, complain, ignore);
    s.info = s.png ? png_create_info_struct(s.png) : NULL;
    bool good = s.info && write_picture(&s, f, im);
    png_destroy_write_struct(&s.png, &s.info);
    if (fclose(f) != 0 && good) {
        good = false;
        snprintf(s.why, sizeof s.why, "%s", strerror(errno));
    }
    if (good)
        return DCV_OK;
    (void)remove(file);
    return dcv_fail(DCV_EIO, "%s: %s", file, s.why);
}
