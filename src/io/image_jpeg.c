/* image_jpeg.c -- JPEG through libjpeg: accurate integer DCT, smooth upsampling, as Pillow decodes.
 *
 * Grey stays grey; all else becomes RGB.  CMYK and YCCK are taken as Adobe writes them, inverted.  libjpeg's
 * warnings (data that are cut, codes that do not exist) are failures here, but for an unknown JFIF version.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>
#include "io/image_format.h"

enum { MAX_SCANS = 100 }; /* a progressive file may repeat scans for ever: each costs a pass over the picture */

typedef struct decoder {
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr error;
    struct jpeg_progress_mgr progress;
    jmp_buf out; /* errors come back here; nothing but memory of libjpeg is held above it */
    char what[JMSG_LENGTH_MAX];
} decoder;

static void leave(j_common_ptr info)
{
    decoder *x = info->client_data;
    info->err->format_message(info, x->what);
    longjmp(x->out, 1);
}

static void warn(j_common_ptr info, int level)
{
    if (level < 0 && info->err->msg_code != JWRN_JFIF_MAJOR)
        leave(info);
}

static void quiet(j_common_ptr info)
{
    (void)info;
}

static void count_scans(j_common_ptr info)
{
    decoder *x = info->client_data;
    if (x->d.input_scan_number > MAX_SCANS) {
        snprintf(x->what, sizeof x->what, "more than %d scans", MAX_SCANS);
        longjmp(x->out, 1);
    }
}

/* A row of four inverted inks a pixel to RGB. */
static void paint(const uint8_t *ink, int64_t w, uint8_t *to)
{
    for (int64_t i = 0; i < w; i++)
        for (int c = 0; c < 3; c++)
            to[3 * i + c] = dcv_ink((uint8_t)(255 - ink[4 * i + c]), (uint8_t)(255 - ink[4 * i + 3]));
}

/* Both may jump out. */
static dcv_status header(decoder *x, const uint8_t *b, size_t n, const char *name, dcv_image *out)
{
    jpeg_create_decompress(&x->d);
    x->d.client_data = x;
    x->progress.progress_monitor = count_scans;
    x->d.progress = &x->progress;
    jpeg_mem_src(&x->d, b, (unsigned long)n);
    jpeg_read_header(&x->d, TRUE);
    out->h = x->d.image_height;
    out->w = x->d.image_width;
    out->c = x->d.num_components == 1 ? 1 : 3;
    if (x->d.num_components != 1 && x->d.num_components != 3 && x->d.num_components != 4)
        return dcv_fail(DCV_EDATA, "%s: JPEG of %d components; expected 1, 3 or 4", name, x->d.num_components);
    return dcv_image_check_size(out->h, out->w, name);
}

static dcv_status pixels(decoder *x, dcv_image *out)
{
    const bool inks = x->d.num_components == 4;
    JSAMPARRAY row = NULL;
    x->d.out_color_space = inks ? JCS_CMYK : out->c == 1 ? JCS_GRAYSCALE : JCS_RGB;
    x->d.dct_method = JDCT_ISLOW;
    x->d.do_fancy_upsampling = TRUE;
    jpeg_start_decompress(&x->d);
    out->px = dcv_alloc((size_t)out->h * (size_t)out->w, (size_t)out->c);
    if (!out->px)
        return DCV_ENOMEM;
    if (inks)
        row = x->d.mem->alloc_sarray((j_common_ptr)&x->d, JPOOL_IMAGE, (JDIMENSION)(4 * out->w), 1);
    while (x->d.output_scanline < x->d.output_height) {
        uint8_t *to = out->px + (int64_t)x->d.output_scanline * out->w * out->c;
        if (inks) {
            jpeg_read_scanlines(&x->d, row, 1);
            paint(row[0], out->w, to);
        } else {
            JSAMPROW one = to;
            jpeg_read_scanlines(&x->d, &one, 1);
        }
    }
    jpeg_finish_decompress(&x->d); /* to the end of the file: a cut tail shows here */
    return DCV_OK;
}

static dcv_status jpeg_read(const uint8_t *b, size_t n, const char *name, bool want_pixels, dcv_image *out)
{
    decoder *x = dcv_alloc(1, sizeof *x);
    if (!x)
        return DCV_ENOMEM;
    x->d.err = jpeg_std_error(&x->error);
    x->d.client_data = x;
    x->error.error_exit = leave;
    x->error.emit_message = warn;
    x->error.output_message = quiet;
    volatile dcv_status st = DCV_OK; /* written after setjmp, read after longjmp */
    if (setjmp(x->out))
        st = dcv_fail(DCV_EDATA, "%s: JPEG: %s", name, x->what);
    else {
        st = header(x, b, n, name, out);
        if (st == DCV_OK && want_pixels)
            st = pixels(x, out);
    }
    jpeg_destroy_decompress(&x->d);
    dcv_free(x);
    return st;
}

static bool knows(const uint8_t *b, size_t n)
{
    return n >= 3 && b[0] == 0xFF && b[1] == 0xD8 && b[2] == 0xFF;
}

const dcv_image_format dcv_image_jpeg = {.name = "JPEG", .knows = knows, .read = jpeg_read};
