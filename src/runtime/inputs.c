/* inputs.c -- see inputs.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deconvoy/memory.h"
#include "runtime/file.h"
#include "runtime/inputs.h"

typedef struct seen {
    uint64_t name; /* hash */
    int64_t bytes, mtime_ns;
} seen;

typedef struct head {
    uint64_t magic;
    int64_t n;
    uint32_t crc, pad;
} head;

#define MAGIC UINT64_C(0x7475706e69766364)

static char *path(const dcv_output *o)
{
    return dcv_format("%s.journal.inputs", o->final);
}

/* FNV-1a */
static uint64_t hash(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return h;
}

static seen *see(const dcv_dataset *d)
{
    seen *s = dcv_alloc((size_t)d->n, sizeof *s);
    for (int64_t i = 0; s && i < d->n; i++)
        s[i] = (seen){hash(d->entry[i].name), d->entry[i].bytes, d->entry[i].mtime_ns};
    return s;
}

dcv_status inputs_keep(const dcv_output *o, const dcv_dataset *d)
{
    if (!d)
        return DCV_OK;
    char *file = path(o);
    seen *s = see(d);
    const int fd = file && s ? open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
    int err = fd < 0 ? errno : 0;
    if (!err) {
        const int64_t bytes = d->n * (int64_t)sizeof *s;
        const head h = {MAGIC, d->n, dcv_crc32c(0, s, (size_t)bytes), 0};
        err = file_write(fd, s, bytes, sizeof h);
        if (!err)
            err = file_write(fd, &h, sizeof h, 0);
        if (!err && o->disk && fdatasync(fd))
            err = errno;
        close(fd);
    }
    const dcv_status st = !file || !s ? DCV_ENOMEM : err ? dcv_fail(DCV_EIO, "%s: %s", file, strerror(err)) : DCV_OK;
    dcv_free(file);
    dcv_free(s);
    return st;
}

/* What was kept, NULL if there is nothing whole. */
static seen *read_back(const dcv_output *o, int64_t *n)
{
    char *file = path(o);
    const int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    dcv_free(file);
    head h;
    struct stat about;
    seen *s = NULL;
    if (fd >= 0 && !fstat(fd, &about) && !file_read(fd, &h, sizeof h, 0) && h.magic == MAGIC && h.n >= 0 &&
        h.n <= about.st_size / (int64_t)sizeof *s)
        s = dcv_alloc((size_t)h.n, sizeof *s);
    if (s &&
        (file_read(fd, s, h.n * (int64_t)sizeof *s, sizeof h) || dcv_crc32c(0, s, (size_t)h.n * sizeof *s) != h.crc)) {
        dcv_free(s);
        s = NULL;
    }
    if (s)
        *n = h.n;
    if (fd >= 0)
        close(fd);
    return s;
}

dcv_status inputs_compare(const dcv_output *o, const dcv_config *c, const dcv_dataset *d)
{
    int64_t n = 0;
    seen *was = d ? read_back(o, &n) : NULL;
    if (!was)
        return DCV_OK;
    dcv_status st = DCV_OK;
    for (int64_t i = 0; i < d->n && i < n && st == DCV_OK; i++) {
        const dcv_entry *e = &d->entry[i];
        if (was[i].name != hash(e->name))
            st = dcv_config_fail(c, "dataset.source", "%s was not item %lld when this run began; --fresh starts over",
                                 e->name, (long long)i);
        else if (was[i].bytes != e->bytes)
            st = dcv_config_fail(c, "dataset.source",
                                 "%s has changed since this run began (%lld bytes, was %lld); --fresh starts over",
                                 e->name, (long long)e->bytes, (long long)was[i].bytes);
        else if (was[i].mtime_ns != e->mtime_ns)
            st = dcv_config_fail(c, "dataset.source",
                                 "%s has been written to since this run began; --fresh starts over", e->name);
    }
    if (st == DCV_OK && n != d->n)
        st = dcv_config_fail(c, "dataset.source", "%lld items, and %lld when this run began; --fresh starts over",
                             (long long)d->n, (long long)n);
    dcv_free(was);
    return st;
}

void inputs_remove(const dcv_output *o)
{
    char *file = path(o);
    if (file)
        unlink(file);
    dcv_free(file);
}
