/* file.c -- see file.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/file.h"
#include "deconvoy/memory.h"

#define PIECE_BYTES ((int64_t)1 << 30) /* one call moves at most 2 GiB - 4 KiB */

int file_write(int fd, const void *from, int64_t n, int64_t offset)
{
    const char *p = from;
    while (n > 0) {
        const ssize_t k = pwrite(fd, p, (size_t)(n < PIECE_BYTES ? n : PIECE_BYTES), offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? errno : ENOSPC;
        p += k;
        n -= k;
        offset += k;
    }
    return 0;
}

int file_read(int fd, void *to, int64_t n, int64_t offset)
{
    char *p = to;
    while (n > 0) {
        const ssize_t k = pread(fd, p, (size_t)(n < PIECE_BYTES ? n : PIECE_BYTES), offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? errno : EIO;
        p += k;
        n -= k;
        offset += k;
    }
    return 0;
}

int file_sync_folder(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    /* Some network file systems refuse to sync folders: they have no need to. */
    const int err = fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : errno;
    close(fd);
    return err;
}

dcv_status file_make_folder(const char *folder)
{
    char *path = dcv_strdup(folder);
    if (!path)
        return DCV_ENOMEM;
    dcv_status st = DCV_OK;
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/')
            continue;
        const char was = *p;
        *p = 0;
        if (mkdir(path, 0777) && errno != EEXIST && errno != EISDIR && was == 0) {
            st = dcv_fail(DCV_EIO, "%s: cannot make this folder: %s", path, strerror(errno));
            break;
        }
        if (!was)
            break;
        *p = was;
    }
    struct stat s;
    if (st == DCV_OK && (stat(folder, &s) || !S_ISDIR(s.st_mode)))
        st = dcv_fail(DCV_EIO, "%s: not a folder", folder);
    dcv_free(path);
    return st;
}

dcv_status file_may_write(const char *folder)
{
    char *path = dcv_strdup(folder);
    if (!path)
        return DCV_ENOMEM;
    struct stat s;
    while (stat(path, &s) && errno == ENOENT && strcmp(path, ".") != 0) { /* the nearest that is there */
        char *above = file_folder(path);
        dcv_free(path);
        if (!above)
            return DCV_ENOMEM;
        path = above;
    }
    dcv_status st = DCV_OK;
    if (access(path, W_OK | X_OK))
        st = dcv_fail(DCV_EIO, "%s: cannot write here: %s", path, strerror(errno));
    else if (stat(path, &s) || !S_ISDIR(s.st_mode))
        st = dcv_fail(DCV_EIO, "%s: not a folder", path);
    dcv_free(path);
    return st;
}

dcv_status file_put_text(const char *file, const char *text)
{
    char *tmp = dcv_format("%s.tmp", file);
    if (!tmp)
        return DCV_ENOMEM;
    dcv_status st = DCV_OK;
    const int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int err = fd < 0 ? errno : file_write(fd, text, (int64_t)strlen(text), 0);
    if (fd >= 0 && close(fd) && !err)
        err = errno;
    if (!err && rename(tmp, file))
        err = errno;
    if (err) {
        st = dcv_fail(DCV_EIO, "%s: %s", file, strerror(err));
        unlink(tmp);
    }
    dcv_free(tmp);
    return st;
}

char *file_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return dcv_strdup(".");
    return slash == path ? dcv_strdup("/") : dcv_format("%.*s", (int)(slash - path), path);
}

char *file_size_print(int64_t bytes, file_size_text buf)
{
    static const char *const unit[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 10000) {
        snprintf(buf, sizeof(file_size_text), "%lld bytes", (long long)bytes);
        return buf;
    }
    double v = (double)bytes / 1024;
    int u = 0;
    for (; v >= 1024 && u < 3; u++)
        v /= 1024;
    snprintf(buf, sizeof(file_size_text), "%.*f %s", v < 10 ? 2 : 1, v, unit[u]);
    return buf;
}

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
