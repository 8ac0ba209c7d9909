/* make_jpegs.c -- the JPEG kinds that Pillow does not write: YCCK, and colour at half height (4:4:0).
 *
 *     cc make_jpegs.c -ljpeg && ./a.out, then make_images.py
 */
#include <stdio.h>
#include <jpeglib.h>

enum { H = 21, W = 35 };

static void make(const char *file, int ycck, int h, int v)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr e;
    FILE *f = fopen(file, "wb");
    const int n = ycck ? 4 : 3;
    c.err = jpeg_std_error(&e);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, f);
    c.image_width = W;
    c.image_height = H;
    c.input_components = n;
    c.in_color_space = ycck ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&c);
    if (ycck)
        jpeg_set_colorspace(&c, JCS_YCCK);
    c.comp_info[0].h_samp_factor = h;
    c.comp_info[0].v_samp_factor = v;
    if (ycck) {
        c.comp_info[3].h_samp_factor = h;
        c.comp_info[3].v_samp_factor = v;
    }
    jpeg_set_quality(&c, 90, TRUE);
    jpeg_start_compress(&c, TRUE);
    for (int y = 0; y < H; y++) {
        JSAMPLE row[W * 4];
        JSAMPROW r = row;
        for (int x = 0; x < W; x++)
            for (int k = 0; k < n; k++)
                row[x * n + k] = (JSAMPLE)(((x * (k + 3) + y * (5 - k)) * 3 + (x * y >> (k + 2)) * 7) % 251);
        jpeg_write_scanlines(&c, &r, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    fclose(f);
}

int main(void)
{
    make("jpeg_ycck.jpg", 1, 1, 1);
    make("jpeg_ycck_420.jpg", 1, 2, 2);
    make("jpeg_440.jpg", 0, 1, 2);
    return 0;
}
