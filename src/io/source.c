/* source.c -- what the kinds of data sets share: names, whole files, positioned reads. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "io/source.h"

enum { MOST_BYTES = INT32_MAX }; /* of one encoded picture or label file */

bool dcv_extension_is(const char *name, const char *extensions)
{
    const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash : name, '.');
    if (!dot)
        return false;
    const size_t n = strlen(dot + 1);
    for (const char *e = extensions; *e;) {
        const size_t len = strcspn(e, "|");
        if (len == n && strncasecmp(e, dot + 1, n) == 0)
            return true;
        e += len + (e[len] == '|');
    }
    return false;
}

dcv_status dcv_pread_all(int fd, void *to, size_t n, int64_t at, const char *name)
{
    for (size_t done = 0; done < n;) {
        const ssize_t got = pread(fd, (char *)to + done, n - done, at + (int64_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return dcv_fail(DCV_EDATA, "%s: %s", name, strerror(errno));
        if (got == 0)
            return dcv_fail(DCV_EDATA, "%s: cut: the file ends before it", name);
        done += (size_t)got;
    }
    return DCV_OK;
}

static dcv_status read_open_file(int fd, const char *name, int64_t most, uint8_t **bytes, size_t *n)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return dcv_fail(DCV_EDATA, "%s: %s", name, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return dcv_fail(DCV_EDATA, "%s: not a regular file", name);
    int64_t size = info.st_size;
    if (most >= 0 && size > most)
        size = most;
    if (size > MOST_BYTES)
        return dcv_fail(DCV_EDATA, "%s: %lld bytes; files of 2 GiB and more are refused", name, (long long)size);
    uint8_t *to = dcv_alloc((size_t)size, 1);
    if (!to)
        return DCV_ENOMEM;
    const dcv_status st = dcv_pread_all(fd, to, (size_t)size, 0, name);
    if (st != DCV_OK) {
        dcv_free(to);
        return st;
    }
    *bytes = to;
    *n = (size_t)size;
    return DCV_OK;
}

dcv_status dcv_read_item_file(const char *file, const char *name, int64_t most, uint8_t **bytes, size_t *n)
{
    *bytes = NULL;
    *n = 0;
    const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hold us up */
    if (fd < 0)
        return dcv_fail(DCV_EDATA, "%s: %s", name, strerror(errno));
    const dcv_status st = read_open_file(fd, name, most, bytes, n);
    close(fd);
    return st;
}
