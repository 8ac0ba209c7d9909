/* signals.c -- see signals.h. */
#include <signal.h>
#include <stddef.h>

#include "runtime/signals.h"

static const int stops[] = {SIGUSR1, SIGTERM, SIGINT};
enum { N_STOPS = sizeof stops / sizeof *stops };

static volatile sig_atomic_t got;
static int caught;
static struct sigaction before[N_STOPS];

static void note(int signal)
{
    got = signal;
}

void signals_catch(void)
{
    struct sigaction a = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    if (caught)
        return;
    caught = 1;
    got = 0;
    for (int i = 0; i < N_STOPS; i++)
        sigaction(stops[i], &a, &before[i]);
}

void signals_restore(void)
{
    caught = 0;
    for (int i = 0; i < N_STOPS; i++)
        sigaction(stops[i], &before[i], NULL);
}

int signals_stop(void)
{
    return got;
}
