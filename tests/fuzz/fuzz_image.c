/* fuzz_image.c -- mutated JPEG, PNG and TIFF files. */
#include "fuzz/fuzz.h"

#include "deconvoy/image.h"

enum { ROOM = 1 << 20 };

static int dcv_fuzz_one(const char *file)
{
    static uint8_t bytes[ROOM];
    dcv_image im = {0}, head;
    FILE *f = fopen(file, "rb");
    const size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f)
        fclose(f);
    /* A copy of exactly its size, so that one byte too far is seen; and no mutant that promises a picture of
     * hundreds of megabytes, which is allowed but slow. */
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, bytes, n);
    const int known = dcv_image_header(copy, n, "mutant", &head) == DCV_OK && head.h * head.w <= 1 << 22;
    const int good = known && dcv_image_decode(copy, n, "mutant", &im) == DCV_OK;
    if (good && (im.h != head.h || im.w != head.w || im.c != head.c))
        abort();
    dcv_image_clear(&im);
    free(copy);
    return good;
}

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv);
}
