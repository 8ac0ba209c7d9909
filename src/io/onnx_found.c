/* onnx_found.c -- what a file is that is no ONNX model, for the message that says so. */
#include <string.h>
#include "io/onnx.h"

static const struct {
    size_t at;
    const char *magic;
    size_t n;
    const char *what;
} known[] = {
#define KIND(at, magic, what)                                                                                          \
    {                                                                                                                  \
        at, magic, sizeof magic - 1, what                                                                              \
    }
    KIND(0, "version https://git-lfs", "a Git LFS pointer; `git lfs pull` fetches the file"),
    KIND(0, "\x89PNG\r\n\x1a\n", "a PNG picture"),
    KIND(0, "\xff\xd8\xff", "a JPEG picture"),
    KIND(0, "II*\0", "a TIFF picture"),
    KIND(0, "MM\0*", "a TIFF picture"),
    KIND(0, "GIF8", "a GIF picture"),
    KIND(0, "\x89HDF\r\n\x1a\n", "an HDF5 file (a data set, a result or a Keras model)"),
    KIND(0, "\x93NUMPY", "a NumPy array"),
    KIND(0, "\x1f\x8b", "a gzip archive; unpack it"),
    KIND(0, "PK\x03\x04", "a zip archive (PyTorch saves models so; torch.onnx.export makes ONNX files)"),
    KIND(0, "\x80\x02", "a Python pickle (an old PyTorch file; torch.onnx.export makes ONNX files)"),
    KIND(0, "\x80\x04", "a Python pickle; torch.onnx.export makes ONNX files"),
    KIND(0,
         "\x7f"
         "ELF",
         "a program"),
    KIND(0, "%PDF", "a PDF document"),
    KIND(4, "TFL3", "a TensorFlow Lite model"),
    KIND(4, "ORTM", "a model in ONNX Runtime's own format"),
    KIND(257, "ustar", "a tar archive"),
#undef KIND
};

enum { LOOK = 512, LEAST = 4 };

/* Text has no control characters but blanks; an ONNX model begins with one. */
static bool is_text(dcv_onnx_bytes b)
{
    const size_t n = b.n < LOOK ? b.n : LOOK;
    for (size_t i = 0; i < n; i++)
        if ((b.at[i] < 0x20 && !memchr("\t\n\r\f", b.at[i], 4)) || b.at[i] == 0x7f)
            return false;
    return n >= LEAST;
}

static bool all_zero(dcv_onnx_bytes b)
{
    const size_t n = b.n < LOOK ? b.n : LOOK;
    for (size_t i = 0; i < n; i++)
        if (b.at[i])
            return false;
    return n >= LEAST;
}

const char *dcv_onnx_found(dcv_onnx_bytes b)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (b.n >= known[i].at + known[i].n && !memcmp(b.at + known[i].at, known[i].magic, known[i].n))
            return known[i].what;
    return is_text(b) ? "text" : all_zero(b) ? "zeros (a download that was cut off?)" : NULL;
}
