/* env.c -- the environment that libraries read as they are loaded. */
#include "calls/env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/uio.h>
#include <unistd.h>
#include "deconvoy/stop.h"

static bool wanted;     /* something is not yet as asked for */
static bool cpu_wanted; /* an instruction set was asked for */
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

/* What a machine may have; sets in ascending order, as runtime.cpu counts them. */
enum { HAS_SSE42 = 1, HAS_AVX = 2, HAS_FMA4 = 4, HAS_AVX2 = 8, HAS_AVX512 = 16, HAS_BF16 = 32 };
enum { GENERIC, AVX2, AVX512, N_SETS };

static unsigned machine(void)
{
    unsigned has = 0;
#if defined(__x86_64__)
    has |= __builtin_cpu_supports("sse4.2") ? HAS_SSE42 : 0;
    has |= __builtin_cpu_supports("avx") ? HAS_AVX : 0;
    has |= __builtin_cpu_supports("fma4") ? HAS_FMA4 : 0;
    has |= __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? HAS_AVX2 : 0;
    has |= __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
               ? HAS_AVX512
               : 0;
    has |= __builtin_cpu_supports("avx512bf16") ? HAS_BF16 : 0;
#endif
    return has;
}

static const struct {
    unsigned needs;
    const char *name, *onednn, *openblas;
} sets[N_SETS] = {{0, "generic", NULL, NULL},
                  {HAS_AVX2, "avx2", "AVX2", "Haswell"},
                  {HAS_AVX512, "avx512", "AVX512_CORE", "SkylakeX"}};

/* OpenBLAS's kernels, and what they need: it takes whatever it is told to. */
static const struct {
    const char *name;
    unsigned needs;
} cores[] = {
    {"Prescott", 0},
    {"Core2", 0},
    {"Nehalem", HAS_SSE42},
    {"Sandybridge", HAS_AVX},
    {"Bulldozer", HAS_AVX | HAS_FMA4},
    {"Piledriver", HAS_AVX | HAS_FMA4},
    {"Steamroller", HAS_AVX | HAS_FMA4},
    {"Excavator", HAS_AVX2 | HAS_FMA4},
    {"Haswell", HAS_AVX2},
    {"Zen", HAS_AVX2},
    {"SkylakeX", HAS_AVX512},
    {"Cooperlake", HAS_AVX512 | HAS_BF16},
    {"SapphireRapids", HAS_AVX512 | HAS_BF16},
};

/* The highest set that oneDNN's variables allow. */
static int allowed(void)
{
    static const char *const names[] = {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"};
    int most = AVX512;
    for (int i = 0; i < 2; i++) {
        const char *v = getenv(names[i]);
        if (!v || !*v || !strcmp(v, "ALL") || !strcmp(v, "DEFAULT") || !strncmp(v, "AVX512_CORE", 11))
            continue;
        const int is = !strncmp(v, "AVX2", 4) ? AVX2 : GENERIC;
        most = is < most ? is : most;
    }
    return most;
}

/* May this process use it? */
static bool has(unsigned needs)
{
    const int most = allowed();
    unsigned may = machine();
    may &= most < AVX512 ? ~(unsigned)(HAS_AVX512 | HAS_BF16) : ~0U;
    may &= most < AVX2 ? ~(unsigned)HAS_AVX2 : ~0U;
    return (may & needs) == needs;
}

int dcv_env_cpu(void)
{
    int set = AVX512;
    while (set > GENERIC && !has(sets[set].needs))
        set--;
    return set;
}

/* Both libraries by name, also where the highest set is meant: what OpenBLAS finds out by itself depends on the
 * machine's maker, and kernels of one set differ in their bits. */
void dcv_env_want_cpu(int cpu)
{
    int set = cpu > 0 ? cpu : dcv_env_cpu();
    while (set > GENERIC && !has(sets[set].needs)) /* the highest there is then is less */
        set--;
    cpu_wanted = true;
    if (set == GENERIC)
        return;
    dcv_env_want("ONEDNN_MAX_CPU_ISA", sets[set].onednn);
    dcv_env_want("DNNL_MAX_CPU_ISA", sets[set].onednn);
    dcv_env_want("OPENBLAS_CORETYPE", sets[set].openblas);
}

void dcv_env_want_some_cpu(void)
{
    if (!cpu_wanted)
        dcv_env_want_cpu(0);
}

void dcv_env_want_numerics(const char *numerics)
{
    const char *last = strrchr(numerics, ' ');
    const bool blas = !strncmp(numerics, "blas ", 5);
    for (int set = AVX2; last && !blas && set < N_SETS; set++)
        if (!strcmp(last + 1, sets[set].name) && set <= dcv_env_cpu()) {
            dcv_env_want_cpu(set);
            return;
        }
    dcv_env_want_cpu(0);
    for (size_t i = 0; last && blas && i < sizeof cores / sizeof *cores; i++)
        if (!strcasecmp(last + 1, cores[i].name) && has(cores[i].needs))
            dcv_env_want("OPENBLAS_CORETYPE", cores[i].name);
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
    if (!wanted || dcv_env_again() || setenv(mark, "1", 1) != 0)
        return;
    dcv_stop_block(); /* a new image has no handlers; what asks for an end meanwhile waits until it has */
    exec_self(argv);
    dcv_stop_unblock();
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
