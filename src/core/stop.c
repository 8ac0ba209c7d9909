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

static void change(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(how, &set, NULL);
}

void dcv_stop_block(void)
{
    change(SIG_BLOCK);
}

void dcv_stop_unblock(void)
{
    change(SIG_UNBLOCK);
}

dcv_status dcv_stop_check(const char *doing)
{
    return asked ? dcv_fail(DCV_ESTOP, "stopped while %s; run again to go on", doing) : DCV_OK;
}
