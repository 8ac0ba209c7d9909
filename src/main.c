/* main.c -- argv, MPI, look-up of the call, the one error line, the exit code. */
#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "calls/call.h"
#include "calls/env.h"
#include "calls/help.h"
#include "deconvoy/log.h"
#include "deconvoy/run.h"
#include "deconvoy/stop.h"

DCV_STOP_BLOCK_AT_START;

/* What was printed must have arrived: a full disk behind stdout is an error like any other. */
static dcv_status flush_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return DCV_OK;
    return dcv_fail(DCV_EIO, "stdout: cannot be written; expected room for the output");
}

static int report(dcv_status st)
{
    if (st != DCV_OK && *dcv_message())
        dcv_log_error("%s", dcv_message());
    return dcv_exit_code(st);
}

/* Main's own error, or the exit code that the call has chosen. */
static int finish(dcv_status st, int exit_code)
{
    if (st == DCV_OK)
        st = flush_output();
    return st == DCV_OK ? exit_code : report(st);
}

/* The part of a call that comes before MPI and before the libraries' threads: where that asks for another environment,
 * the program starts again and comes here once more, then without warnings, which have been read already. */
static dcv_status prepare(const dcv_call *call, int argc, char **argv)
{
    dcv_log_quiet(dcv_env_rank() > 0 || dcv_env_again());
    dcv_status st = call->before ? call->before(argc - 1, argv + 1) : DCV_OK;
    dcv_log_quiet(dcv_env_rank() > 0);
    dcv_stop_unblock(); /* caught by now, or to end us as ever */
    if (st == DCV_OK && call->computes) {
        dcv_env_want_one_thread();
        dcv_env_want_some_cpu();
        dcv_env_apply(argv);
    }
    return st;
}

/* One process does it, whatever the launcher: rank 0 by its environment. */
static int call_without_mpi(const dcv_call *call, int argc, char **argv)
{
    int exit_code = 0;
    if (dcv_env_rank() > 0)
        return 0;
    dcv_status st = prepare(call, argc, argv);
    if (st == DCV_OK)
        st = call->run(argc - 1, argv + 1, &exit_code);
    return finish(st, exit_code);
}

static void start_mpi(void)
{
    int provided;
    dcv_env_for_mpi();
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (provided < MPI_THREAD_FUNNELED) {
        dcv_log_error("MPI offers no threads beside the one that talks to it; expected MPI_THREAD_FUNNELED");
        MPI_Abort(MPI_COMM_WORLD, dcv_exit_code(DCV_EINTERNAL));
    }
}

/* Ranks that fail before MPI_Init still initialise it under a launcher, so that all leave with one code and one of
 * them says why; alone there is nobody to agree with, and an error is told at once. */
static int call_with_mpi(const dcv_call *call, int argc, char **argv)
{
    int exit_code = 0;
    bool speaks;
    dcv_status st = prepare(call, argc, argv);
    if (st != DCV_OK && dcv_env_rank() < 0)
        return report(st);
    start_mpi();
    st = dcv_agree(st, &speaks);
    if (st != DCV_OK && !speaks)
        dcv_message_clear();
    if (st == DCV_OK)
        st = call->run(argc - 1, argv + 1, &exit_code);
    exit_code = finish(st, exit_code);
    MPI_Finalize();
    return exit_code;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

static const dcv_call *find_call(const char *word)
{
    static const struct {
        const char *option, *call;
    } options[] = {{"--help", "help"}, {"-h", "help"}, {"--version", "version"}, {"-V", "version"}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (!strcmp(word, options[i].option))
            return dcv_call_find(options[i].call);
    return dcv_call_find(word);
}

int main(int argc, char **argv)
{
    const int rank = dcv_env_rank();
    if (argc < 2)
        return rank > 0
                   ? 0
                   : report(dcv_fail(DCV_EUSAGE, "no call; expected deconvoy CALL ..., as deconvoy --help lists them"));
    const dcv_call *call = find_call(argv[1]);
    if (!call)
        return rank > 0 ? 0 : report(dcv_call_unknown(argv[1]));
    if (argc > 2 && asks_for_help(argc - 1, argv + 1)) {
        if (rank <= 0)
            dcv_call_print_help(call);
        return finish(DCV_OK, 0);
    }
    return call->needs_mpi ? call_with_mpi(call, argc, argv) : call_without_mpi(call, argc, argv);
}
