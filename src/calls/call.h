/* call.h -- the words after `deconvoy`: one file and one line in calls.def each. */
#ifndef DCV_CALLS_CALL_H
#define DCV_CALLS_CALL_H

#include "deconvoy/status.h"

typedef struct dcv_call {
    const char *name;
    const char *usage; /* "run CONFIG [--set key.path=VALUE]... [--fresh] [--deadline SECONDS]" */
    const char *help;  /* one line, no full stop */
    /* Does it initialise MPI?  Others print from one rank under mpirun (rank by environment). */
    int needs_mpi;
    /* Does it do arithmetic?  Then BLAS and OpenMP are held to one thread each before they start: threads are ours. */
    int computes;
    /* Look at the arguments, read what has to be read before MPI_Init; may ask for the environment that it needs
     * (env.h). A failure here ends the call.  May be NULL. */
    dcv_status (*before)(int argc, char **argv);
    /* argv[0] is the call's name.  May set *exit_code itself where it returns DCV_OK (conform's 1).  With MPI: the same
     * status on every rank, and a message (dcv_message()) on the one that is to print it. */
    dcv_status (*run)(int argc, char **argv, int *exit_code);
} dcv_call;

const dcv_call *dcv_call_at(int i); /* NULL past the end */

#endif
