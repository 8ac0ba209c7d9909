/* signals.c -- see signals.h. */
#include <signal.h>
#include <stddef.h>

#include "deconvoy/stop.h"
#include "runtime/signals.h"

static const int stops[] = {SIGUSR1, SIGTERM, SIGINT};

/* For good: a signal that comes between the last step and the end of the process must not end it in another way. */
void signals_catch(void)
{
    const struct sigaction a = {.sa_handler = dcv_stop_ask, .sa_flags = SA_RESTART};
    static int caught;
    if (!caught)
        dcv_stop_ask(0);
    caught = 1;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++)
        sigaction(stops[i], &a, NULL);
    dcv_stop_unblock();
}
