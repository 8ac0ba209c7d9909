/* check.c -- deconvoy check CONFIG [--ranks N] [--set key.path=VALUE]... */
#include <stdio.h>
#include "calls/call.h"
#include "calls/env.h"
#include "calls/jobconfig.h"
#include "deconvoy/run.h"

static const char usage[] = "check CONFIG [--ranks N] [--set key.path=VALUE]...";

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)exit_code;
    dcv_arg_texts sets = {0};
    int64_t ranks = dcv_env_size();
    const dcv_arg table[] = {{"--ranks", DCV_ARG_COUNT, &ranks}, {"--set", DCV_ARG_TEXTS, &sets}, {0}};
    const char *file;
    dcv_config *c = NULL;
    const dcv_job_kind *kind;
    dcv_status st = dcv_args_read(argc, argv, usage, table, &file, 1, 1, NULL);
    if (!st)
        st = dcv_jobconfig_read(file, &sets, &c, &kind);
    if (!st)
        st = dcv_dataset_probe(c);
    if (!st && kind->probe)
        st = kind->probe(c);
    if (!st)
        st = dcv_check(kind, c, (int)ranks, stdout);
    dcv_config_free(c);
    dcv_args_clear(&sets);
    return st;
}

const dcv_call dcv_call_check = {
    .name = "check",
    .usage = usage,
    .help = "validate a job and print its plan, without running",
    .computes = 1,
    .run = run,
};
