/* fail_nth.c -- preloaded: the n-th call that changes a file of the output fails, in one of five ways.
 *
 * FAIL_PATH   part of the file's path; other files are left alone
 * FAIL_NTH    which call, counted from 1 in each process; 0: none
 * FAIL_MODE   before: SIGKILL before it; after: SIGKILL after it; short: half of a write; or an errno: 28, 5
 * FAIL_COUNT  file that learns how many calls there were
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static int *count; /* shared with processes that fork off */

__attribute__((constructor)) static void begin(void)
{
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static int is_ours(const char *path)
{
    const char *part = getenv("FAIL_PATH");
    return part && path && strstr(path, part);
}

static int fd_is_ours(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return is_ours(path);
}

/* Is this the call?  Dies here if that is its fate. */
static int is_nth(void)
{
    const char *nth = getenv("FAIL_NTH"), *mode = getenv("FAIL_MODE");
    const int me = __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
    const int hit = nth && atoi(nth) == me;
    if (hit && mode && !strcmp(mode, "before"))
        kill(getpid(), SIGKILL);
    return hit;
}

/* After the call, which is hit: dies, or -1 with errno. */
static int fate(void)
{
    const char *mode = getenv("FAIL_MODE");
    return mode && atoi(mode) > 0 ? atoi(mode) : 0;
}

static void after(void)
{
    const char *mode = getenv("FAIL_MODE");
    if (mode && !strcmp(mode, "after"))
        kill(getpid(), SIGKILL);
}

static size_t half(size_t n)
{
    const char *mode = getenv("FAIL_MODE");
    return mode && !strcmp(mode, "short") && n > 1 ? n / 2 : n;
}

__attribute__((destructor)) static void say(void)
{
    const char *to = getenv("FAIL_COUNT");
    FILE *f = to && *count ? fopen(to, "w") : NULL;
    if (f) {
        fprintf(f, "%d\n", *count);
        fclose(f);
    }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define HIT_OR(ours, plain, real)                                                                                      \
    do {                                                                                                               \
        if (!(ours) || !is_nth())                                                                                      \
            return plain;                                                                                              \
        if (fate()) {                                                                                                  \
            errno = fate();                                                                                            \
            return -1;                                                                                                 \
        }                                                                                                              \
        const __typeof__(real) got = real;                                                                             \
        after();                                                                                                       \
        return got;                                                                                                    \
    } while (0)

ssize_t write(int fd, const void *p, size_t n)
{
    HIT_OR(fd_is_ours(fd), REAL(write)(fd, p, n), REAL(write)(fd, p, half(n)));
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    HIT_OR(fd_is_ours(fd), REAL(pwrite)(fd, p, n, at), REAL(pwrite)(fd, p, half(n), at));
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    HIT_OR(fd_is_ours(fd), REAL(pwrite64)(fd, p, n, at), REAL(pwrite64)(fd, p, half(n), at));
}

int fsync(int fd)
{
    HIT_OR(fd_is_ours(fd), REAL(fsync)(fd), REAL(fsync)(fd));
}

int fdatasync(int fd)
{
    HIT_OR(fd_is_ours(fd), REAL(fdatasync)(fd), REAL(fdatasync)(fd));
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
    HIT_OR(fd_is_ours(fd), REAL(fallocate)(fd, mode, at, n), REAL(fallocate)(fd, mode, at, n));
}

int ftruncate(int fd, off_t n)
{
    HIT_OR(fd_is_ours(fd), REAL(ftruncate)(fd, n), REAL(ftruncate)(fd, n));
}

int rename(const char *from, const char *to)
{
    HIT_OR(is_ours(to), REAL(rename)(from, to), REAL(rename)(from, to));
}

int unlink(const char *path)
{
    HIT_OR(is_ours(path), REAL(unlink)(path), REAL(unlink)(path));
}
