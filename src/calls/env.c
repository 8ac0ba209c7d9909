/* env.c -- the environment that libraries read as they are loaded. */
#include "calls/env.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static bool wanted; /* something is not yet as asked for */
static const char mark[] = "DECONVOY_STARTED_AGAIN";

static int number_in(const char *const *names, int n, int missing)
{
    for (int i = 0; i < n; i++) {
        const char *text = getenv(names[i]);
        char *end;
        const long v = text && *text ? strtol(text, &end, 10) : -1;
        if (text && *text && !*end && v >= 0 && v < 1 << 30)
            return (int)v;
    }
    return missing;
}

int dcv_env_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"};
    return number_in(names, 3, -1);
}

int dcv_env_size(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"};
    return dcv_env_rank() < 0 ? 1 : number_in(names, 2, 1);
}

void dcv_env_want(const char *name, const char *value)
{
    const char *have = getenv(name);
    if (have && !strcmp(have, value))
        return;
    wanted = setenv(name, value, 1) == 0 || wanted;
}

void dcv_env_want_one_thread(void)
{
    dcv_env_want("OPENBLAS_NUM_THREADS", "1");
    dcv_env_want("OMP_NUM_THREADS", "1");
}

void dcv_env_want_cpu(int cpu)
{
    static const struct {
        const char *onednn, *openblas;
    } sets[] = {{NULL, NULL}, {"AVX2", "Haswell"}, {"AVX512_CORE", "SkylakeX"}};
    if (!sets[cpu].onednn)
        return;
    if (cpu == 2 && !__builtin_cpu_supports("avx512f")) /* the highest there is then is less */
        return;
    dcv_env_want("ONEDNN_MAX_CPU_ISA", sets[cpu].onednn);
    dcv_env_want("DNNL_MAX_CPU_ISA", sets[cpu].onednn);
    dcv_env_want("OPENBLAS_CORETYPE", sets[cpu].openblas);
}

void dcv_env_want_numerics(const char *numerics)
{
    const char *last = strrchr(numerics, ' ');
    if (!last)
        return;
    if (!strcmp(last + 1, "avx2"))
        dcv_env_want_cpu(1);
    else if (!strcmp(last + 1, "avx512"))
        dcv_env_want_cpu(2);
    else if (!strncmp(numerics, "blas ", 5))
        dcv_env_want("OPENBLAS_CORETYPE", last + 1);
}

/* The mark is taken out of the environment at once: it is not for the processes that we start. */
bool dcv_env_again(void)
{
    static int again = -1;
    if (again < 0) {
        again = getenv(mark) != NULL;
        (void)unsetenv(mark);
    }
    return again;
}

/* A new image of the program has the handlers of none: what asks for an end meanwhile is kept until it has its own. */
static void hold_signals(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(how, &set, NULL);
}

/* By its path, so that ps and pgrep go on calling the process by the program's name; where the file has been moved or
 * replaced meanwhile, through the link that still leads to it. */
static void exec_self(char **argv)
{
    char path[4096];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    if (n > 0 && n < (ssize_t)sizeof path) {
        path[n] = '\0';
        (void)execv(path, argv);
    }
    (void)execv("/proc/self/exe", argv);
}

void dcv_env_apply(char **argv)
{
    if (dcv_env_again())
        hold_signals(SIG_UNBLOCK);
    if (!wanted || dcv_env_again() || setenv(mark, "1", 1) != 0)
        return;
    hold_signals(SIG_BLOCK);
    exec_self(argv);
    hold_signals(SIG_UNBLOCK);
    (void)unsetenv(mark);
}

/* Containers often refuse what Open MPI's shared memory copies with; it finds out only while it runs, and complains. */
static bool can_read_processes(void)
{
    char from = 1, to = 0;
    const struct iovec local = {&to, 1}, remote = {&from, 1};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
}

void dcv_env_for_mpi(void)
{
    /* OMPIO's data sieving loses concurrent writes in the versions that we must live with. */
    (void)setenv("OMPI_MCA_fbtl_posix_write_datasieving", "0", 0);
    (void)setenv("OMPI_MCA_fbtl_posix_read_datasieving", "0", 0);
    if (!can_read_processes())
        (void)setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
}
