/* version.c -- deconvoy --version */
#include <stdio.h>
#include "calls/call.h"
#include "deconvoy/engine.h"

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)argc, (void)argv, (void)exit_code;
    dcv_backend_kind backend;
    printf("deconvoy %s\n", DCV_VERSION);
    DCV_TRY(dcv_backend_choose(&backend));
    printf("convolutions: %s\n", dcv_backend_numerics(backend));
    return DCV_OK;
}

const dcv_call dcv_call_version = {
    .name = "version",
    .usage = "--version",
    .help = "print the version and the convolution back end",
    .run = run,
};
