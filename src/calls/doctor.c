/* doctor.c -- deconvoy doctor: one line per check of this machine, `ok` or `warn`.
 *
 * Every rank makes every check for itself; rank 0 prints its own line, or that of the first rank that warns.
 */
#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>
#include "calls/args.h"
#include "calls/call.h"
#include "deconvoy/deblur.h"
#include "deconvoy/engine.h"
#include "deconvoy/memory.h"
#include "deconvoy/store.h"
#include "runtime/file.h"
#include "runtime/wire.h"

typedef struct finding {
    bool warn;
    char host[64], detail[256];
} finding;

static void say(finding *f, bool warn, const char *fmt, ...) DCV_PRINTF(3, 4);
static void say(finding *f, bool warn, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(f->detail, sizeof f->detail, fmt, args);
    va_end(args);
    f->warn = warn;
}

/* --- the checks ----------------------------------------------------------------------------- */

static void launch(finding *f)
{
    char library[MPI_MAX_LIBRARY_VERSION_STRING];
    int n;
    MPI_Get_library_version(library, &n);
    library[strcspn(library, ",")] = 0;
    say(f, false, "%d ranks, %d on this node, %s", wire_size(WIRE_WORLD), wire_size(WIRE_NODE), library);
}

static void binding(finding *f)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    const int online = (int)sysconf(_SC_NPROCESSORS_ONLN), ranks = wire_size(WIRE_NODE);
    const int mine = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : online;
    if (ranks > online)
        say(f, true, "%d ranks on %d cpus: they take turns; start fewer", ranks, online);
    else if (mine == 1 && ranks < online)
        say(f, true,
            "bound to 1 of %d cpus with %d ranks on the node: for runtime.threads > 1 use mpirun --bind-to none",
            online, ranks);
    else
        say(f, false, "%d of %d cpus for this rank", mine, online);
}

static void memory(finding *f)
{
    const int64_t page = sysconf(_SC_PAGESIZE), total = page * sysconf(_SC_PHYS_PAGES),
                  left = page * sysconf(_SC_AVPHYS_PAGES);
    const int64_t wants = (int64_t)wire_size(WIRE_NODE) << 31; /* runtime.memory is 2 GiB by default */
    file_size_text a, b, c;
    if (total < wants)
        say(f, true, "%s in all, less than the %s that the ranks here may use; lower runtime.memory",
            file_size_print(total, a), file_size_print(wants, b));
    else
        say(f, false, "%s free of %s, ranks here may use %s", file_size_print(left, a), file_size_print(total, b),
            file_size_print(wants, c));
}

static bool memfd_works(void)
{
    const int fd = memfd_create("deconvoy", MFD_CLOEXEC);
    const bool works = fd >= 0 && ftruncate(fd, 1 << 20) == 0;
    if (fd >= 0)
        close(fd);
    return works;
}

static bool copies_work(void)
{
    char from = 1, to = 0;
    const struct iovec local = {&to, 1}, remote = {&from, 1};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
}

static void shared_memory(finding *f)
{
    struct statvfs fs;
    file_size_text size;
    const int64_t bytes = statvfs("/dev/shm", &fs) ? -1 : (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    const int64_t wants = (int64_t)wire_size(WIRE_NODE) * (8 << 20);
    if (!memfd_works())
        say(f, true,
            "memfd_create is refused (%s): each rank keeps its own copy of the weights, and of "
            "clean pictures in occlusion",
            strerror(errno));
    else if (bytes < wants)
        say(f, true, "/dev/shm has %s: too little for %d ranks; docker run --shm-size 1g",
            file_size_print(bytes < 0 ? 0 : bytes, size), wire_size(WIRE_NODE));
    else
        say(f, false, "/dev/shm has %s, single copies %s", file_size_print(bytes, size),
            copies_work() ? "work" : "are refused, and are not used");
}

static void space(finding *f)
{
    struct statvfs fs;
    file_size_text size;
    char cwd[128] = "";
    if (!getcwd(cwd, sizeof cwd))
        snprintf(cwd, sizeof cwd, ".");
    if (statvfs(".", &fs)) {
        say(f, true, "%s: %s", cwd, strerror(errno));
        return;
    }
    const int64_t bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    const bool writes = access(".", W_OK) == 0;
    say(f, !writes || bytes < INT64_C(1) << 30, "%s free in %s%s", file_size_print(bytes, size), cwd,
        writes ? "" : ", which cannot be written");
}

static const char *limit_text(rlim_t v, char buf[32])
{
    if (v == RLIM_INFINITY)
        return "unlimited";
    snprintf(buf, 32, "%llu", (unsigned long long)v);
    return buf;
}

static void limits(finding *f)
{
    struct rlimit files = {0}, locked = {0}, stack = {0};
    char a[32], b[32], c[32];
    (void)getrlimit(RLIMIT_NOFILE, &files);
    (void)getrlimit(RLIMIT_MEMLOCK, &locked);
    (void)getrlimit(RLIMIT_STACK, &stack);
    const rlim_t wants = 256 + 2 * (rlim_t)wire_size(WIRE_WORLD); /* sockets of MPI over TCP on rank 0 */
    say(f, files.rlim_max != RLIM_INFINITY && files.rlim_max < wants,
        "open files %s, locked memory %s bytes, stack %s bytes", limit_text(files.rlim_max, a),
        limit_text(locked.rlim_cur, b), limit_text(stack.rlim_cur, c));
}

/* Make a small result here and read it back. */
static dcv_status try_store(const char *file)
{
    const dcv_dims dims = {1, {4}};
    const int32_t values[4] = {1, 2, 3, 4};
    int32_t back[4] = {0};
    int64_t bytes;
    int id;
    dcv_store *s = NULL;
    dcv_h5 *h = NULL;
    dcv_status st;
    DCV_TRY_DONE(st, dcv_store_new(&s));
    DCV_TRY_DONE(st, dcv_store_dataset(s, "/try", DCV_I32, 0, &dims, &id));
    DCV_TRY_DONE(st, dcv_store_values(s, id, values, sizeof values));
    DCV_TRY_DONE(st, dcv_store_create(s, file, &bytes));
    DCV_TRY_DONE(st, dcv_h5_open(file, &h));
    DCV_TRY_DONE(st, dcv_h5_read(h, "/try", DCV_I32, 0, 4, back));
    if (memcmp(values, back, sizeof values) != 0)
        st = dcv_fail(DCV_EIO, "what was written is not what was read");
done:
    dcv_h5_close(h);
    dcv_store_free(s);
    (void)unlink(file);
    return st;
}

static void hdf5(finding *f)
{
    char file[64];
    snprintf(file, sizeof file, ".deconvoy-doctor.%d.h5", (int)getpid());
    if (try_store(file) != DCV_OK)
        say(f, true, "%s, but a file cannot be made here: %s", dcv_hdf5_version(), dcv_message());
    else
        say(f, false, "%s, writes and reads here", dcv_hdf5_version());
    dcv_message_clear();
}

/* A run fills its whole file before it computes, so that a full disk shows at once. */
static void preallocation(finding *f)
{
    char file[64];
    snprintf(file, sizeof file, ".deconvoy-doctor.%d", (int)getpid());
    const int fd = open(file, O_RDWR | O_CREAT | O_EXCL, 0600);
    const int error = fd < 0 ? errno : fallocate(fd, 0, 0, 1 << 20) ? errno : 0;
    const int synced = fd < 0 || fdatasync(fd) == 0;
    if (fd >= 0) {
        close(fd);
        (void)unlink(file);
    }
    say(f, error || !synced, "%s",
        error    ? strerror(error)
        : synced ? "fallocate and fdatasync work here"
                 : "fdatasync fails here");
}

static void blas(finding *f)
{
    say(f, false, "%s", dcv_backend_numerics(DCV_BACKEND_BLAS));
}

static void convolutions(finding *f)
{
    dcv_backend_kind kind;
    if (dcv_backend_choose(&kind) != DCV_OK)
        say(f, true, "%s", dcv_message());
    else
        say(f, kind == DCV_BACKEND_BLAS, "%s%s", dcv_backend_numerics(kind),
            kind == DCV_BACKEND_BLAS ? " (oneDNN would be faster)" : "");
    dcv_message_clear();
}

static void transforms(finding *f)
{
    say(f, false, "%s", dcv_deblur_numerics());
}

static const struct {
    const char *name;
    void (*check)(finding *f);
} checks[] = {
    {"launch", launch},
    {"binding", binding},
    {"memory", memory},
    {"shared memory", shared_memory},
    {"space", space},
    {"limits", limits},
    {"preallocation", preallocation},
    {"HDF5", hdf5},
    {"FFTW", transforms},
    {"BLAS", blas},
    {"convolutions", convolutions},
};

/* --- telling ----------------------------------------------------------------------------------- */

static void print(const char *name, const finding *all, int ranks)
{
    const finding *f = all;
    for (int r = 0; r < ranks && !f->warn; r++)
        if (all[r].warn)
            f = &all[r];
    if (f == all)
        printf("%s %s: %s\n", f->warn ? "warn" : "ok", name, f->detail);
    else
        printf("warn %s: rank %d on %s: %s\n", name, (int)(f - all), f->host, f->detail);
}

static dcv_status run(int argc, char **argv, int *exit_code)
{
    static const dcv_arg none[] = {{0}};
    (void)exit_code;
    if (argc > 1)
        return dcv_args_read(argc, argv, "doctor", none, NULL, 0, 0, NULL);
    const int ranks = wire_size(WIRE_WORLD), rank = wire_rank(WIRE_WORLD);
    finding *all = dcv_alloc((size_t)ranks, sizeof *all);
    DCV_CHECK(all);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        finding mine = {0};
        (void)gethostname(mine.host, sizeof mine.host - 1);
        checks[i].check(&mine);
        wire_gather(&mine, all, (int)sizeof mine);
        if (rank == 0)
            print(checks[i].name, all, ranks);
    }
    dcv_free(all);
    return DCV_OK;
}

const dcv_call dcv_call_doctor = {
    .name = "doctor",
    .usage = "doctor",
    .help = "test this machine: launch, binding, memory, space, limits, libraries",
    .needs_mpi = 1,
    .computes = 1,
    .run = run,
};
