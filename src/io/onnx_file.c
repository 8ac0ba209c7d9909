/* onnx_file.c -- the files of a model: mapped read-only, hashed as they are opened.
 *
 * ONNX keeps weights of more than 2 GB in files beside the model, by a relative path.  Such a path is
 * hostile until shown otherwise: absolute ones, "..", and links that lead out of the folder are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "io/onnx.h"

#define MOST_GROWTH 16 /* largest ratio of bytes in memory to bytes in a file: 1-byte numbers become 8 */
#define DROP_FROM   ((size_t)1 << 20)

typedef struct mapping mapping;
struct mapping {
    const char *location; /* as the tensors spell it; "" for the model itself */
    dcv_onnx_bytes bytes;
    mapping *next;
};

struct dcv_onnx_files {
    char *file, *folder; /* folder: real path */
    dcv_arena *arena;
    dcv_hasher *hasher;
    mapping *first;
    dcv_onnx_bytes main;
    int64_t bytes, converted;
};

static dcv_status cannot(const char *file)
{
    const bool absent =
        errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ENAMETOOLONG || errno == ELOOP;
    return dcv_fail(absent ? DCV_ENOINPUT : DCV_EIO, "%s: %s", file, strerror(errno));
}

static dcv_status map_fd(int fd, const char *file, dcv_onnx_bytes *out)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return cannot(file);
    if (S_ISDIR(s.st_mode))
        return dcv_fail(DCV_EDATA, "%s: is a folder, not a file", file);
    if (!S_ISREG(s.st_mode))
        return dcv_fail(DCV_EDATA, "%s: not a regular file", file);
    if (s.st_size == 0)
        return dcv_fail(DCV_EDATA, "%s: byte 0: the file is empty", file);
    void *p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return dcv_fail(DCV_ENOMEM, "%s: cannot map %lld bytes: %s", file, (long long)s.st_size, strerror(errno));
    *out = (dcv_onnx_bytes){p, (size_t)s.st_size};
    return DCV_OK;
}

/* O_NONBLOCK: a FIFO is refused, not waited for. */
static dcv_status map_file(const char *file, dcv_onnx_bytes *out)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return cannot(file);
    dcv_status st = map_fd(fd, file, out);
    close(fd);
    return st;
}

void dcv_onnx_files_drop(dcv_onnx_bytes b)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t lo = ((uintptr_t)b.at + page - 1) & ~(page - 1), hi = ((uintptr_t)b.at + b.n) & ~(page - 1);
    if (b.n >= DROP_FROM && lo < hi)
        (void)madvise((void *)lo, hi - lo, MADV_DONTNEED); /* a hint: no harm if it is refused */
}

/* A window at a time, so that hashing a large file does not make it resident. */
static void hash_bytes(dcv_hasher *h, dcv_onnx_bytes b)
{
    const size_t window = (size_t)64 << 20;
    for (size_t at = 0; at < b.n; at += window) {
        dcv_onnx_bytes part = {b.at + at, b.n - at < window ? b.n - at : window};
        dcv_hasher_add(h, part.at, part.n);
        dcv_onnx_files_drop(part);
    }
}

static dcv_status add(dcv_onnx_files *f, const char *path, const char *location, dcv_onnx_bytes *out)
{
    mapping *m = dcv_arena_alloc(f->arena, 1, sizeof *m);
    if (!m || !(m->location = dcv_arena_strdup(f->arena, location)))
        return DCV_ENOMEM;
    DCV_TRY(map_file(path, &m->bytes));
    m->next = f->first;
    f->first = m;
    f->bytes += (int64_t)m->bytes.n;
    if (*location) /* so that the hash of a model in one file is that of the file */
        dcv_hasher_add_text(f->hasher, location);
    hash_bytes(f->hasher, m->bytes);
    *out = m->bytes;
    return DCV_OK;
}

/* The real path of the folder that file lies in. */
static dcv_status real_folder(dcv_onnx_files *f)
{
    char *slash, path[PATH_MAX];
    char *copy = dcv_arena_strdup(f->arena, f->file);
    if (!copy)
        return DCV_ENOMEM;
    if ((slash = strrchr(copy, '/')))
        *(slash == copy ? slash + 1 : slash) = 0;
    if (!realpath(slash ? copy : ".", path))
        return cannot(f->file);
    f->folder = dcv_arena_strdup(f->arena, path);
    return f->folder ? DCV_OK : DCV_ENOMEM;
}

dcv_status dcv_onnx_files_open(const char *file, dcv_onnx_files **out)
{
    dcv_status st;
    *out = NULL;
    dcv_onnx_files *f = dcv_alloc(1, sizeof *f);
    if (!f)
        return DCV_ENOMEM;
    DCV_TRY_DONE(st, dcv_arena_new(&f->arena));
    DCV_TRY_DONE(st, dcv_hasher_new(&f->hasher));
    st = (f->file = dcv_arena_strdup(f->arena, file)) ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK)
        st = add(f, file, "", &f->main);
    if (st == DCV_OK)
        st = real_folder(f);
done:
    if (st == DCV_OK)
        *out = f;
    else
        dcv_onnx_files_free(f);
    return st;
}

void dcv_onnx_files_free(dcv_onnx_files *f)
{
    if (!f)
        return;
    for (mapping *m = f->first; m; m = m->next)
        munmap((void *)m->bytes.at, m->bytes.n);
    if (f->hasher)
        (void)dcv_hasher_end(f->hasher);
    dcv_arena_free(f->arena);
    dcv_free(f);
}

dcv_onnx_bytes dcv_onnx_files_main(const dcv_onnx_files *f)
{
    return f->main;
}

dcv_arena *dcv_onnx_files_arena(const dcv_onnx_files *f)
{
    return f->arena;
}

static bool leaves_folder(const char *location)
{
    if (location[0] == '/' || location[0] == 0)
        return true;
    for (const char *s = location; s; s = strchr(s, '/')) {
        s += *s == '/';
        if (s[0] == '.' && s[1] == '.' && (s[2] == '/' || s[2] == 0))
            return true;
    }
    return strchr(location, '\\') != NULL;
}

/* Is path (real) below folder (real)? */
static bool below(const char *folder, const char *path)
{
    size_t n = strlen(folder);
    if (n == 1)
        return true;
    return strncmp(folder, path, n) == 0 && path[n] == '/';
}

dcv_status dcv_onnx_files_external(dcv_onnx_files *f, const char *location, dcv_onnx_bytes *out)
{
    for (const mapping *m = f->first; m; m = m->next)
        if (m->location[0] && strcmp(m->location, location) == 0) {
            *out = m->bytes;
            return DCV_OK;
        }
    if (leaves_folder(location))
        return dcv_fail(DCV_EDATA, "external data at \"%s\"; a path below the model's folder is expected", location);
    char path[PATH_MAX], real[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", f->folder, location) >= sizeof path)
        return dcv_fail(DCV_EDATA, "external data at a path of %zu bytes", strlen(location));
    if (!realpath(path, real))
        return dcv_fail(DCV_ENOINPUT, "external data \"%s\": %s", location, strerror(errno));
    if (!below(f->folder, real))
        return dcv_fail(DCV_EDATA, "external data \"%s\" is a link that leads out of the model's folder", location);
    dcv_status st = add(f, real, location, out);
    return st == DCV_OK ? st : dcv_fail_in(st, "external data");
}

dcv_status dcv_onnx_files_alloc(dcv_onnx_files *f, size_t n, size_t size, void **out)
{
    int64_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > MOST_GROWTH * f->bytes - f->converted)
        return dcv_fail(DCV_EDATA, "%zu values; more than files of %lld bytes can hold", n, (long long)f->bytes);
    f->converted += bytes;
    *out = dcv_arena_alloc(f->arena, n, size);
    return *out ? DCV_OK : DCV_ENOMEM;
}

dcv_sha256 dcv_onnx_files_sha256(dcv_onnx_files *f)
{
    dcv_hasher *h = f->hasher;
    f->hasher = NULL;
    return dcv_hasher_end(h);
}

int64_t dcv_onnx_files_bytes(const dcv_onnx_files *f)
{
    return f->bytes;
}
