/* stop.c -- see stop.h. */
#include <signal.h>

#include "deconvoy/stop.h"

static volatile sig_atomic_t asked;

void dcv_stop_ask(int signal)
{
    asked = signal;
}

int dcv_stop_asked(void)
{
    return asked;
}

dcv_status dcv_stop_check(const char *doing)
{
    return asked ? dcv_fail(DCV_ESTOP, "stopped while %s; run again to go on", doing) : DCV_OK;
}
