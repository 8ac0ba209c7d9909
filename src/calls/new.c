/* new.c -- deconvoy new JOB */
#include <stdio.h>
#include "calls/call.h"
#include "calls/jobconfig.h"

static const char usage[] = "new JOB";

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)exit_code;
    static const dcv_arg none[] = {{0}};
    const char *name;
    const dcv_job_kind *kind;
    DCV_TRY(dcv_args_read(argc, argv, usage, none, &name, 1, 1, NULL));
    DCV_TRY(dcv_jobconfig_kind("new", name, &kind));
    char *text = dcv_config_new_text(&kind->section);
    if (!text)
        return DCV_ENOMEM;
    printf("%s", text);
    dcv_free(text);
    return DCV_OK;
}

const dcv_call dcv_call_new = {
    .name = "new",
    .usage = usage,
    .help = "print a commented configuration to start from",
    .run = run,
};
