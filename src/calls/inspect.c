/* inspect.c -- deconvoy inspect FILE: say what is in it. */
#include "calls/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "calls/call.h"
#include "deconvoy/tensor.h"

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* The result of a run under way has another name until it is whole. */
static dcv_status not_there(const char *file, int error)
{
    char part[4096];
    snprintf(part, sizeof part, "%s.part", file);
    if (error == ENOENT && access(part, F_OK) == 0)
        return dcv_fail(DCV_ENOINPUT, "%s: no such file; %s is there", file, part);
    return dcv_fail(DCV_ENOINPUT, "%s: %s", file, strerror(error));
}

/* First bytes of a regular file. */
static dcv_status first_bytes(const char *file, unsigned char *to, size_t n, bool *folder)
{
    struct stat s;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return not_there(file, errno);
    dcv_status st = DCV_OK;
    memset(to, 0, n);
    if (fstat(fd, &s) != 0)
        st = dcv_fail(DCV_EIO, "%s: %s", file, strerror(errno));
    else if (!(*folder = S_ISDIR(s.st_mode)) && !S_ISREG(s.st_mode))
        st = dcv_fail(DCV_EDATA, "%s: neither a file nor a folder", file);
    else if (!*folder && read(fd, to, n) < 0)
        st = dcv_fail(DCV_EIO, "%s: %s", file, strerror(errno));
    close(fd);
    return st;
}

/* An ONNX file begins with its ir_version (field 1); one that is called .onnx is one, whatever it holds. */
dcv_status dcv_inspect_file(const dcv_inspect *o, FILE *to)
{
    unsigned char head[8];
    bool folder = false;
    DCV_TRY(first_bytes(o->file, head, sizeof head, &folder));
    if (folder)
        return dcv_inspect_pictures(o, to);
    if (memcmp(head, "\x89HDF\r\n\x1a\n", 8) == 0 || ends_with(o->file, ".h5") || ends_with(o->file, ".h5.part"))
        return dcv_inspect_h5(o, to);
    if (ends_with(o->file, ".onnx") || head[0] == 0x08)
        return dcv_inspect_model(o, to);
    return dcv_inspect_pictures(o, to);
}

/* "3,224,224" into shape. */
static dcv_status read_shape(const char *text, int64_t *shape, dcv_ints *out)
{
    *out = (dcv_ints){.word = -1, .v = shape};
    for (const char *s = text; s; out->n++) {
        char *end;
        errno = 0;
        const long long v = out->n < DCV_MAX_RANK ? strtoll(s, &end, 10) : 0;
        if (out->n == DCV_MAX_RANK || end == s || errno || v < 1 || (*end && *end != ','))
            return dcv_fail(DCV_EUSAGE, "--input-shape %s: extents such as 3,224,224 are expected", text);
        shape[out->n] = v;
        s = *end ? end + 1 : NULL;
    }
    return DCV_OK;
}

static dcv_status read_arguments(int argc, char **argv, int64_t *shape, dcv_inspect *o)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            o->json = true;
        else if (strcmp(argv[i], "--input-shape") == 0 && i + 1 < argc)
            DCV_TRY(read_shape(argv[++i], shape, &o->input_shape));
        else if (strncmp(argv[i], "--input-shape=", 14) == 0)
            DCV_TRY(read_shape(argv[i] + 14, shape, &o->input_shape));
        else if (argv[i][0] == '-' && argv[i][1])
            return dcv_fail(DCV_EUSAGE, "inspect: unknown option %s; --json and --input-shape C,H,W are known",
                            argv[i]);
        else if (o->file)
            return dcv_fail(DCV_EUSAGE, "inspect: a second file, %s; one is expected", argv[i]);
        else
            o->file = argv[i];
    }
    return o->file ? DCV_OK : dcv_fail(DCV_EUSAGE, "inspect: which FILE?");
}

static dcv_status run(int argc, char **argv, int *exit_code)
{
    int64_t shape[DCV_MAX_RANK];
    dcv_inspect o = {0};
    (void)exit_code;
    DCV_TRY(read_arguments(argc, argv, shape, &o));
    return dcv_inspect_file(&o, stdout);
}

const dcv_call dcv_call_inspect = {
    .name = "inspect",
    .usage = "inspect FILE [--json] [--input-shape C,H,W]",
    .help = "say what is in a model, a data set, a result or a run under way",
    .run = run,
};
