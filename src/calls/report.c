/* report.c -- deconvoy report RESULT.h5 [-o DIR] */
#include <string.h>
#include "calls/call.h"
#include "deconvoy/report.h"

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)exit_code;
    const char *result = NULL, *dir = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc && !dir)
            dir = argv[++i];
        else if (argv[i][0] != '-' && !result)
            result = argv[i];
        else
            return dcv_fail(DCV_EUSAGE, "report: '%s' is not expected here; deconvoy report RESULT.h5 [-o DIR]",
                            argv[i]);
    }
    if (!result)
        return dcv_fail(DCV_EUSAGE, "report: want one file; deconvoy report RESULT.h5 [-o DIR]");
    return dcv_report(result, dir, stdout);
}

const dcv_call dcv_call_report = {
    .name = "report",
    .usage = "report RESULT.h5 [-o DIR]",
    .help = "draw a result: PNG pictures, texts",
    .run = run,
};
