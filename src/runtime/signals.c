/* signals.c -- see signals.h. */
#include <signal.h>
#include <stddef.h>

#include "deconvoy/stop.h"
#include "runtime/signals.h"

static const int stops[] = {SIGUSR1, SIGTERM, SIGINT};
enum { N_STOPS = sizeof stops / sizeof *stops };

static int caught;
static struct sigaction before[N_STOPS];

void signals_catch(void)
{
    struct sigaction a = {.sa_handler = dcv_stop_ask, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    if (caught)
        return;
    caught = 1;
    dcv_stop_ask(0);
    for (int i = 0; i < N_STOPS; i++)
        sigaction(stops[i], &a, &before[i]);
}

void signals_restore(void)
{
    caught = 0;
    for (int i = 0; i < N_STOPS; i++)
        sigaction(stops[i], &before[i], NULL);
}
