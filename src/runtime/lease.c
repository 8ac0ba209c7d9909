/* lease.c -- see lease.h. */
#include <errno.h>
#include <fcntl.h>
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
#define TEXT_BYTES 256

struct lease {
    char *file;
    int fd;
    bool beats; /* no lock, but a heartbeat */
    long n_beats;
    double beat_s;
};

typedef char holder_text[TEXT_BYTES];

static const char *job_id(void)
{
    const char *id = getenv("SLURM_JOB_ID");
    return id && *id ? id : "-";
}

/* "HOST PID JOB BEAT" */
static void say_who(lease *l)
{
    holder_text text;
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    const int n = snprintf(text, sizeof text, "%s %ld %s %ld\n", host, (long)getpid(), job_id(), l->n_beats);
    if (!file_write(l->fd, text, n, 0) && ftruncate(l->fd, n))
        return;
    l->beat_s = now_s();
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

/* Is it ours to take, as far as the heartbeat says? */
static bool is_stale(lease *l, watch *w)
{
    holder_text text;
    char job[TEXT_BYTES] = "";
    read_who(l->fd, text);
    if (!*text || (sscanf(text, "%*s %*s %255s", job) == 1 && strcmp(job, "-") && !strcmp(job, job_id())))
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
    return dcv_fail(DCV_ESTOP,
                    "%s is being written by process %.20s on %.64s; run again when it has ended, or with runtime.wait",
                    o->final, pid, host);
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
        if (mine && is_named(l))
            break;
        if (mine)
            continue; /* its holder has just removed it */
        if (now_s() >= until || dcv_stop_asked())
            return in_use(l, o);
        const struct timespec nap = {.tv_nsec = (long)(LOOK_S * 1e9)};
        nanosleep(&nap, NULL);
    }
    say_who(l);
    return DCV_OK;
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
    dcv_free(l->file);
    dcv_free(l);
    return st;
}

void lease_beat(lease *l)
{
    if (!l || !l->beats || now_s() - l->beat_s < BEAT_S)
        return;
    l->n_beats++;
    say_who(l);
}

void lease_free(lease *l)
{
    if (!l)
        return;
    if (is_named(l))
        unlink(l->file);
    close(l->fd);
    dcv_free(l->file);
    dcv_free(l);
}
