/* probe.c -- opening a file that may kill its reader, in a child that may die of it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "deconvoy/store.h"

enum { CPU_S = 5, WALL_S = 60 };
#define MORE_MEMORY ((rlim_t)4 << 30) /* beyond what this process has mapped */

typedef struct verdict {
    dcv_status st;
    char message[1000];
} verdict;

static void limit(int what, rlim_t to)
{
    struct rlimit r;
    if (getrlimit(what, &r) == 0 && (r.rlim_cur == RLIM_INFINITY || r.rlim_cur > to)) {
        r.rlim_cur = to;
        (void)setrlimit(what, &r);
    }
}

static void limit_memory(void)
{
#ifndef __SANITIZE_ADDRESS__ /* which maps terabytes */
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f)
        return;
    if (fscanf(f, "%lu", &pages) == 1)
        limit(RLIMIT_AS, (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + MORE_MEMORY);
    (void)fclose(f);
#endif
}

/* In the child: default signals, no core, nothing on stderr (the C library's last words), limits. */
static void settle(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU, SIGALRM};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        (void)signal(faults[i], SIG_DFL);
    const int null = open("/dev/null", O_WRONLY);
    if (null >= 0)
        (void)dup2(null, STDERR_FILENO);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, CPU_S);
    limit_memory();
    (void)alarm(WALL_S);
}

static _Noreturn void try_it(int to, const char *file, dcv_status (*open_and_close)(const char *, void *), void *ctx)
{
    settle();
    verdict v = {.st = open_and_close(file, ctx)};
    snprintf(v.message, sizeof v.message, "%s", dcv_message());
    _exit(write(to, &v, sizeof v) == (ssize_t)sizeof v ? 0 : 1);
}

/* All of the verdict, or false: the child died before. */
static bool hear(int from, verdict *v)
{
    size_t got = 0;
    while (got < sizeof *v) {
        const ssize_t n = read(from, (char *)v + got, sizeof *v - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

static dcv_status death(const char *file, int how)
{
    if (WIFSIGNALED(how) && (WTERMSIG(how) == SIGXCPU || WTERMSIG(how) == SIGALRM || WTERMSIG(how) == SIGKILL))
        return dcv_fail(DCV_EDATA, "%s: broken: opening it takes without end", file);
    if (WIFSIGNALED(how))
        return dcv_fail(DCV_EDATA, "%s: broken: its reader dies of it (%s)", file, strsignal(WTERMSIG(how)));
    return dcv_fail(DCV_EDATA, "%s: broken: its reader dies of it", file);
}

dcv_status dcv_probe(const char *file, dcv_status (*open_and_close)(const char *file, void *ctx), void *ctx)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return dcv_fail(DCV_EINTERNAL, "pipe: %s", strerror(errno));
    const pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        try_it(ends[1], file, open_and_close, ctx);
    }
    (void)close(ends[1]);
    if (child < 0) {
        (void)close(ends[0]);
        return dcv_fail(DCV_EINTERNAL, "fork: %s", strerror(errno));
    }
    verdict v;
    const bool heard = hear(ends[0], &v);
    int how = 0;
    while (waitpid(child, &how, 0) < 0 && errno == EINTR)
        continue;
    (void)close(ends[0]);
    if (!heard)
        return death(file, how);
    return v.st == DCV_OK ? DCV_OK : dcv_fail(v.st, "%s", v.message);
}
