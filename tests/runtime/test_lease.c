/* The lease where locks are refused: a heartbeat instead.  flock, the clock and sleeping are this program's own: locks
 * are refused with ENOLCK or ENOTSUP, and time passes many times as fast. */
#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"
#include "deconvoy/memory.h"
#include "runtime/file.h"
#include "runtime/lease.h"

static int faster = 120; /* than real time */
static int refusal;      /* errno of flock, 0: locks work */

int flock(int fd, int operation)
{
    if (!refusal)
        return (int)syscall(SYS_flock, fd, operation);
    errno = refusal;
    return -1;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    struct timespec t;
    if (syscall(SYS_clock_gettime, clock, &t))
        return -1;
    const long long ns = (t.tv_sec * 1000000000LL + t.tv_nsec) * faster;
    *out = (struct timespec){ns / 1000000000, ns % 1000000000};
    return 0;
}

int nanosleep(const struct timespec *want, struct timespec *left)
{
    const long long ns = (want->tv_sec * 1000000000LL + want->tv_nsec) / faster;
    const struct timespec t = {ns / 1000000000, ns % 1000000000};
    return (int)syscall(SYS_nanosleep, &t, left);
}

static char path[256], file[300];
static dcv_output out = {.final = path};

static void pass(double s)
{
    const struct timespec t = {(time_t)s, 0};
    nanosleep(&t, NULL);
}

static bool exists(void)
{
    return access(file, F_OK) == 0;
}

static void put(const char *text)
{
    FILE *f = fopen(file, "w");
    CHECK(f && fputs(text, f) >= 0);
    fclose(f);
}

/* A process that holds the lease until it is told to end, by TERM (7 if it has lost it, else 0). */
static volatile sig_atomic_t told;

static void tell(int number)
{
    told = number;
}

static pid_t holder(void)
{
    int ready[2];
    CHECK(!pipe(ready));
    const pid_t child = fork();
    if (child == 0) {
        lease *l;
        signal(SIGTERM, tell);
        if (lease_take(&out, 0, &l) != DCV_OK || write(ready[1], "", 1) != 1)
            _exit(9);
        while (!told)
            pass(1); /* nothing is done for the heartbeat */
        const bool lost = lease_is_lost(l);
        lease_free(l);
        _exit(lost ? 7 : 0);
    }
    char c;
    close(ready[1]);
    CHECK(read(ready[0], &c, 1) == 1);
    close(ready[0]);
    return child;
}

static int end(pid_t child, int number)
{
    int code = -1;
    kill(child, number);
    waitpid(child, &code, 0);
    return WIFEXITED(code) ? WEXITSTATUS(code) : -WTERMSIG(code);
}

static void alone(void)
{
    lease *l;
    CHECK_OK(lease_take(&out, 0, &l));
    CHECK(exists() && !lease_is_lost(l));
    pass(70);
    CHECK(!lease_is_lost(l));
    lease_free(l);
    CHECK(!exists());
}

/* A live holder is waited for, however long its main thread is busy, and nothing is touched. */
static void held(void)
{
    lease *l;
    const pid_t child = holder();
    CHECK_FAILS(lease_take(&out, 0, &l), DCV_ESTOP, "is being written by process");
    CHECK_FAILS(lease_take(&out, 260, &l), DCV_ESTOP, "is being written by process");
    CHECK(!l && end(child, SIGTERM) == 0 && !exists());
}

/* A dead holder of this machine is known at once, one of another after 120 s of silence. */
static void dead(void)
{
    lease *l;
    CHECK(end(holder(), SIGKILL) == -SIGKILL && exists());
    CHECK_OK(lease_take(&out, 0, &l));
    lease_free(l);
    put("elsewhere 4711 - 12 1\n");
    CHECK_FAILS(lease_take(&out, 0, &l), DCV_ESTOP, "by process 4711 on elsewhere");
    CHECK_FAILS(lease_take(&out, 100, &l), DCV_ESTOP, "runtime.wait: 180");
    const double began = now_s();
    CHECK_OK(lease_take(&out, 200, &l));
    CHECK(now_s() - began >= 119);
    lease_free(l);
    CHECK(!exists());
}

/* One that stood still for so long that it was taken for dead learns it, and leaves the new holder's file alone. */
static void stopped(void)
{
    lease *l;
    const pid_t child = holder();
    kill(child, SIGSTOP);
    CHECK_OK(lease_take(&out, 400, &l));
    kill(child, SIGCONT);
    pass(60);
    CHECK(end(child, SIGTERM) == 7);
    CHECK(exists() && !lease_is_lost(l));
    lease_free(l);
    CHECK(!exists());
}

/* The same Slurm job takes over what it held before. */
static void same_job(void)
{
    lease *l;
    put("elsewhere 4711 77 12 1\n");
    setenv("SLURM_JOB_ID", "78", 1);
    CHECK_FAILS(lease_take(&out, 0, &l), DCV_ESTOP, "elsewhere");
    setenv("SLURM_JOB_ID", "77", 1);
    CHECK_OK(lease_take(&out, 0, &l));
    lease_free(l);
    unsetenv("SLURM_JOB_ID");
}

/* Of several that find it free at once one has it. */
static void crowd(void)
{
    enum { N = 6 };
    pid_t child[N];
    int won = 0;
    faster = 20; /* what decides is a second in which nobody writes */
    CHECK(end(holder(), SIGKILL) == -SIGKILL && exists());
    for (int i = 0; i < N; i++)
        if ((child[i] = fork()) == 0) {
            lease *l;
            const dcv_status st = lease_take(&out, 20, &l);
            if (st == DCV_OK)
                pass(60);
            lease_free(l);
            _exit(st == DCV_OK);
        }
    for (int i = 0; i < N; i++) {
        int code = -1;
        waitpid(child[i], &code, 0);
        won += WIFEXITED(code) && WEXITSTATUS(code) == 1;
    }
    CHECK(won == 1);
    CHECK(!exists());
}

int main(void)
{
    alarm(60);
    char folder[] = "/tmp/deconvoy-lease-XXXXXX";
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.h5", folder);
    snprintf(file, sizeof file, "%s.lease", path);
    static const int refusals[] = {ENOLCK, ENOTSUP};
    for (int i = 0; i < 2; i++) {
        refusal = refusals[i];
        alone();
    }
    held();
    dead();
    same_job();
    stopped();
    crowd();
    CHECK(dcv_alloc_balance() == 0);
    rmdir(folder);
    return check_end();
}
