/* time_calls.c -- preloaded: how long a run waits for its files, by kind of file and call.
 *
 * TIME_CALLS  file that learns it when the process ends: kind, call, how often, seconds waited, seconds of processor
 * time
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { RESULT, STATE, JOURNAL, FOLDER, N_KINDS };
enum { WRITES, SYNCS, N_CALLS };
static const char *const kind_name[N_KINDS] = {"result", "block states", "journal", "folder"};
static const char *const call_name[N_CALLS] = {"write", "sync"};

static struct {
    long n, wall_ns, cpu_ns;
} sum[N_KINDS][N_CALLS];

static long ns_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* -1: none of ours. */
static int kind_of(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    if (strstr(path, ".h5.journal."))
        return JOURNAL;
    if (strstr(path, ".h5.block."))
        return STATE;
    if (strstr(path, ".h5.part"))
        return RESULT;
    return strchr(path + (strlen(path) > 4 ? strlen(path) - 4 : 0), '.') ? -1 : FOLDER;
}

static void add(int kind, int call, long wall_ns, long cpu_ns)
{
    __atomic_add_fetch(&sum[kind][call].n, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&sum[kind][call].wall_ns, wall_ns, __ATOMIC_RELAXED);
    __atomic_add_fetch(&sum[kind][call].cpu_ns, cpu_ns, __ATOMIC_RELAXED);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define TIMED(fd, call, real)                                                                                          \
    do {                                                                                                               \
        const int kind = kind_of(fd);                                                                                  \
        const long wall = ns_of(CLOCK_MONOTONIC), cpu = ns_of(CLOCK_THREAD_CPUTIME_ID);                                \
        const __typeof__(real) got = real;                                                                             \
        if (kind >= 0)                                                                                                 \
            add(kind, call, ns_of(CLOCK_MONOTONIC) - wall, ns_of(CLOCK_THREAD_CPUTIME_ID) - cpu);                      \
        return got;                                                                                                    \
    } while (0)

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    TIMED(fd, WRITES, REAL(pwrite)(fd, p, n, at));
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    TIMED(fd, WRITES, REAL(pwrite64)(fd, p, n, at));
}

int fsync(int fd)
{
    TIMED(fd, SYNCS, REAL(fsync)(fd));
}

int fdatasync(int fd)
{
    TIMED(fd, SYNCS, REAL(fdatasync)(fd));
}

__attribute__((destructor)) static void say(void)
{
    const char *to = getenv("TIME_CALLS");
    FILE *f = to && sum[JOURNAL][WRITES].n ? fopen(to, "w") : NULL;
    for (int k = 0; f && k < N_KINDS; k++)
        for (int c = 0; c < N_CALLS; c++)
            fprintf(f, "%-12s %-5s %8ld calls %9.3f s waited %9.3f s of processor time\n", kind_name[k], call_name[c],
                    sum[k][c].n, (double)sum[k][c].wall_ns * 1e-9, (double)sum[k][c].cpu_ns * 1e-9);
    if (f)
        fclose(f);
}
