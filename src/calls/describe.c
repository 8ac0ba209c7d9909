/* describe.c -- deconvoy describe [JOB] */
#include <stdio.h>
#include "calls/call.h"
#include "calls/jobconfig.h"

static const char usage[] = "describe [JOB]";

static dcv_status print(const dcv_section *section)
{
    char *text = dcv_config_describe(section);
    if (!text)
        return DCV_ENOMEM;
    printf("%s", text);
    dcv_free(text);
    return DCV_OK;
}

static void list_jobs(void)
{
    const dcv_job_kind *k;
    printf("\njobs (deconvoy describe JOB):\n");
    for (int i = 0; (k = dcv_job_kind_at(i)); i++)
        printf("  %-18s%s\n", k->section.job, k->section.help);
}

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)exit_code;
    static const dcv_arg none[] = {{0}};
    const char *name;
    const dcv_job_kind *kind = NULL;
    int n;
    DCV_TRY(dcv_args_read(argc, argv, usage, none, &name, 0, 1, &n));
    if (n)
        DCV_TRY(dcv_jobconfig_kind("describe", name, &kind));
    if (kind)
        printf("%s: %s\n\n", kind->section.job, kind->section.help);
    DCV_TRY(print(kind ? &kind->section : NULL));
    if (!kind)
        list_jobs();
    return DCV_OK;
}

const dcv_call dcv_call_describe = {
    .name = "describe",
    .usage = usage,
    .help = "every YAML key of a job: type, default, range, unit, meaning",
    .run = run,
};
