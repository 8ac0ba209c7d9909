/* report.c -- deconvoy report RESULT.h5 [-o DIR] */
#include <stdio.h>
#include "calls/args.h"
#include "calls/call.h"
#include "deconvoy/report.h"

static const char usage[] = "report RESULT.h5 [-o DIR]";

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)exit_code;
    const char *result, *dir = NULL;
    const dcv_arg table[] = {{"-o", DCV_ARG_TEXT, &dir}, {0}};
    DCV_TRY(dcv_args_read(argc, argv, usage, table, &result, 1, 1, NULL));
    return dcv_report(result, dir, stdout);
}

const dcv_call dcv_call_report = {
    .name = "report",
    .usage = usage,
    .help = "draw a result: PNG pictures, texts, and one page that holds them all",
    .run = run,
};
