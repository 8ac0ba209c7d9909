/* verify.c -- deconvoy verify RESULT.h5 */
#include <stdio.h>
#include "calls/args.h"
#include "calls/call.h"
#include "deconvoy/run.h"

static const char usage[] = "verify RESULT.h5";

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)exit_code;
    static const dcv_arg none[] = {{0}};
    const char *file;
    dcv_whole whole;
    DCV_TRY(dcv_args_read(argc, argv, usage, none, &file, 1, 1, NULL));
    DCV_TRY(dcv_verify(file, &whole));
    printf("%s: whole, %lld data sets, %lld bytes\n", file, (long long)whole.n_datasets, (long long)whole.bytes);
    return DCV_OK;
}

const dcv_call dcv_call_verify = {
    .name = "verify",
    .usage = usage,
    .help = "is a result complete, its check sums right",
    .run = run,
};
