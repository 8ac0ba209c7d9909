/* run.c -- deconvoy run CONFIG [--set key.path=VALUE]... [--fresh] [--deadline SECONDS] */
#include "calls/call.h"
#include "calls/env.h"
#include "calls/jobconfig.h"
#include "deconvoy/engine.h"
#include "deconvoy/memory.h"
#include "deconvoy/run.h"

static const char usage[] = "run CONFIG [--set key.path=VALUE]... [--fresh] [--deadline SECONDS]";

static dcv_config *config;
static const dcv_job_kind *kind;
static dcv_run_options options = {.deadline_s = -1};

static dcv_status read_config(int argc, char **argv)
{
    dcv_arg_texts sets = {0};
    const dcv_arg table[] = {{"--set", DCV_ARG_TEXTS, &sets},
                             {"--fresh", DCV_ARG_FLAG, &options.fresh},
                             {"--deadline", DCV_ARG_SECONDS, &options.deadline_s},
                             {0}};
    const char *file;
    dcv_status st = dcv_args_read(argc, argv, usage, table, &file, 1, 1, NULL);
    if (!st)
        st = dcv_jobconfig_read(file, &sets, &config, &kind);
    dcv_args_clear(&sets);
    return st;
}

/* The instruction set counts at the first start; a run that goes on takes the same. */
static void want_numerics(void)
{
    char *begun_with = options.fresh ? NULL : dcv_run_numerics(config);
    if (begun_with)
        dcv_env_want_numerics(begun_with);
    else
        dcv_env_want_cpu(config->runtime.cpu);
    dcv_free(begun_with);
}

static dcv_status before(int argc, char **argv)
{
    dcv_run_prepare();
    DCV_TRY(read_config(argc, argv));
    want_numerics();
    if (dcv_env_rank() > 0 || dcv_env_again())
        return DCV_OK;
    if (kind->probe)
        DCV_TRY(kind->probe(config));
    return dcv_dataset_probe(config);
}

/* Ranks on machines of several kinds compute with what all of them have. */
static dcv_status level(void)
{
    const int mine = dcv_env_cpu(), least = dcv_least(mine);
    return least < mine ? dcv_backend_limit(least) : DCV_OK;
}

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)argc, (void)argv, (void)exit_code;
    bool speaks;
    dcv_status st = dcv_agree(level(), &speaks);
    if (st == DCV_OK)
        st = dcv_run(kind, config, &options, &speaks);
    if (!speaks)
        dcv_message_clear();
    dcv_config_free(config);
    return st;
}

const dcv_call dcv_call_run = {
    .name = "run",
    .usage = usage,
    .help = "run a job, alone or under mpirun; goes on where an earlier run stopped",
    .needs_mpi = 1,
    .computes = 1,
    .before = before,
    .run = run,
};
