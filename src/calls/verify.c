/* verify.c -- deconvoy verify RESULT.h5 */
#include <stdio.h>
#include "calls/call.h"
#include "deconvoy/run.h"

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)exit_code;
    if (argc != 2 || argv[1][0] == '-')
        return dcv_fail(DCV_EUSAGE, "verify: want one file; deconvoy verify RESULT.h5");
    dcv_whole whole;
    DCV_TRY(dcv_verify(argv[1], &whole));
    printf("%s: whole, %lld data sets, %lld bytes\n", argv[1], (long long)whole.n_datasets, (long long)whole.bytes);
    return DCV_OK;
}

const dcv_call dcv_call_verify = {
    .name = "verify",
    .usage = "verify RESULT.h5",
    .help = "is a result complete, its check sums right",
    .run = run,
};
