/* lease.c -- see lease.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "deconvoy/memory.h"
#include "deconvoy/stop.h"
#include "runtime/file.h"
#include "runtime/lease.h"

#define BEAT_S     20.0
#define STALE_S    120.0
#define LOOK_S     0.25
#define SETTLE_S   1.0 /* longer than from reading who has it to writing that we have it */
#define TEXT_BYTES 256

typedef char holder_text[TEXT_BYTES];

struct lease {
    char *file;
    int fd;
    bool beats; /* no lock, but a heartbeat */
    long n_beats;
    holder_text mine; /* as it was last written */
    pthread_t heart;
    bool has_heart;
    atomic_bool quit, lost; /* lost: somebody else has taken it */
};

static const char *job_id(void)
{
    const char *id = getenv("SLURM_JOB_ID");
    return id && *id ? id : "-";
}

/* Which process numbers ours is one of: containers of one host may each have their own. */
static long long pid_space(void)
{
    struct stat s;
    return stat("/proc/self/ns/pid", &s) ? 0 : (long long)s.st_ino;
}

static void host_name(char *to, size_t n)
{
    memset(to, 0, n);
    if (gethostname(to, n - 1) || !*to)
        to[0] = '?';
}

/* "HOST PID JOB BEAT SPACE" */
static void say_who(lease *l)
{
    char host[65];
    host_name(host, sizeof host);
    const int n = snprintf(l->mine, sizeof l->mine, "%s %ld %s %ld %lld\n", host, (long)getpid(), job_id(), l->n_beats,
                           pid_space());
    if (!file_write(l->fd, l->mine, n, 0) && !ftruncate(l->fd, n) && l->beats)
        (void)fdatasync(l->fd); /* others read it through another machine's cache */
    l->mine[strcspn(l->mine, "\n")] = 0;
}

static void read_who(int fd, holder_text text)
{
    const ssize_t n = pread(fd, text, TEXT_BYTES - 1, 0);
    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\n")] = 0;
}

/* Is the file that we have open still the one under its name? */
static bool is_named(const lease *l)
{
    struct stat mine, named;
    return !fstat(l->fd, &mine) && !stat(l->file, &named) && mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

static dcv_status open_file(lease *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = open(l->file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    return l->fd < 0 ? dcv_fail(DCV_EIO, "%s: %s", l->file, strerror(errno)) : DCV_OK;
}

/* 0: ours; EWOULDBLOCK: somebody's; else locks are refused. */
static int try_lock(lease *l)
{
    for (;;) {
        const int err = flock(l->fd, LOCK_EX | LOCK_NB) ? errno : 0;
        if (err == EINTR)
            continue;
        return err;
    }
}

/* A holder without a lock: its words, and since when they have not changed. */
typedef struct watch {
    holder_text last;
    double since_s;
} watch;

static void nap(double s)
{
    const struct timespec t = {.tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9)};
    nanosleep(&t, NULL);
}

/* Does the file still say that it is ours?  Opened anew, for only then a network file system asks its server. */
static bool says_ours(const lease *l)
{
    holder_text text;
    const int fd = open(l->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno != ENOENT;
    read_who(fd, text);
    close(fd);
    return !strcmp(text, l->mine);
}

/* Several may have found it free at once: the last to write has it, when nobody has written for a while. */
static bool settled(lease *l)
{
    say_who(l);
    nap(SETTLE_S);
    return says_ours(l);
}

/* A thread, so that no step of the run is too long for it. */
static void *heart_main(void *arg)
{
    lease *l = arg;
    double beat_s = now_s();
    while (!l->quit && !l->lost) {
        nap(LOOK_S);
        if (now_s() - beat_s < BEAT_S)
            continue;
        l->lost = !says_ours(l); /* this process stood still for so long that it was taken for dead */
        if (!l->lost) {
            l->n_beats++;
            say_who(l);
        }
        beat_s = now_s();
    }
    return NULL;
}

/* Of this machine a dead process is known at once. */
static bool is_dead(const char *text)
{
    char host[TEXT_BYTES], here[65];
    long pid;
    long long space;
    host_name(here, sizeof here);
    return sscanf(text, "%255s %ld %*s %*s %lld", host, &pid, &space) == 3 && !strcmp(host, here) &&
           space == pid_space() && pid > 0 && kill((pid_t)pid, 0) && errno == ESRCH;
}

/* Is it ours to take, as far as the heartbeat says? */
static bool is_stale(lease *l, watch *w)
{
    holder_text text;
    char job[TEXT_BYTES] = "";
    read_who(l->fd, text);
    if (!*text || (sscanf(text, "%*s %*s %255s", job) == 1 && strcmp(job, "-") && !strcmp(job, job_id())))
        return true;
    if (is_dead(text))
        return true;
    if (strcmp(text, w->last)) {
        memcpy(w->last, text, sizeof text);
        w->since_s = now_s();
    }
    return now_s() - w->since_s > STALE_S;
}

static dcv_status in_use(const lease *l, const dcv_output *o)
{
    holder_text text;
    char host[TEXT_BYTES] = "?", pid[TEXT_BYTES] = "?";
    read_who(l->fd, text);
    sscanf(text, "%255s %255s", host, pid);
    return dcv_fail(DCV_ESTOP, "%s is being written by process %.20s on %.64s; run again when it has ended, or with %s",
                    o->final, pid, host,
                    l->beats ? "runtime.wait: 180, which sees whether it still lives" : "runtime.wait");
}

static dcv_status take(lease *l, const dcv_output *o, double wait_s)
{
    const double until = now_s() + wait_s;
    watch w = {.since_s = now_s()};
    for (;;) {
        DCV_TRY(open_file(l));
        const int err = try_lock(l);
        l->beats = err && err != EWOULDBLOCK;
        const bool mine = err == 0 || (l->beats && is_stale(l, &w));
        if (mine && is_named(l) && (!l->beats || settled(l)))
            break;
        if (mine && !l->beats)
            continue; /* its holder has just removed it */
        if (now_s() >= until || dcv_stop_asked())
            return in_use(l, o);
        nap(LOOK_S);
    }
    if (!l->beats) {
        say_who(l);
        return DCV_OK;
    }
    const int err = pthread_create(&l->heart, NULL, heart_main, l);
    if (err)
        return dcv_fail(DCV_ENOMEM, "cannot start a thread: %s", strerror(err));
    l->has_heart = true;
    return DCV_OK;
}

static void release(lease *l)
{
    dcv_free(l->file);
    dcv_free(l);
}

dcv_status lease_take(const dcv_output *o, double wait_s, lease **out)
{
    *out = NULL;
    lease *l = dcv_alloc(1, sizeof *l);
    if (!l)
        return DCV_ENOMEM;
    l->fd = -1;
    l->file = dcv_format("%s.lease", o->final);
    const dcv_status st = l->file ? take(l, o, wait_s) : DCV_ENOMEM;
    if (st == DCV_OK) {
        *out = l;
        return DCV_OK;
    }
    if (l->fd >= 0)
        close(l->fd);
    release(l);
    return st;
}

bool lease_is_lost(const lease *l)
{
    return l && l->lost;
}

void lease_free(lease *l)
{
    if (!l)
        return;
    if (l->has_heart) {
        l->quit = true;
        pthread_join(l->heart, NULL);
    }
    if (!l->lost && is_named(l) && (!l->beats || says_ours(l)))
        unlink(l->file);
    close(l->fd);
    release(l);
}
