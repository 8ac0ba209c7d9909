/* env.h -- the environment that libraries read as they are loaded, before main() could say anything.
 *
 * Where it has to differ from what is there, the program starts itself again with the same arguments.
 */
#ifndef DCV_CALLS_ENV_H
#define DCV_CALLS_ENV_H

#include <stdbool.h>

/* Rank of this process by the launcher's environment (mpirun, PMIx, srun), -1 without a launcher. */
int dcv_env_rank(void);
int dcv_env_size(void); /* ranks by the launcher's environment, 1 without one */

/* Ask for NAME=VALUE at the next start. */
void dcv_env_want(const char *name, const char *value);

/* BLAS and OpenMP on one thread each: threads are ours. */
void dcv_env_want_one_thread(void);

/* Instruction sets: 0 less than AVX2, 1 AVX2, 2 AVX-512.  The highest that this process may use: the machine has it, and
 * oneDNN's own variables allow it. */
int dcv_env_cpu(void);

/* runtime.cpu: highest instruction set of BLAS and oneDNN; 0: auto. */
void dcv_env_want_cpu(int cpu);
void dcv_env_want_some_cpu(void); /* auto, unless something was asked for */

/* The instruction set that a result's `numerics` ends with ("onednn 2.6.3 avx2", "blas 0.3.21 Haswell"), where this
 * machine has it. */
void dcv_env_want_numerics(const char *numerics);

/* Start again if anything that was asked for is not so yet; returns otherwise, or where exec is refused.  Once only. */
void dcv_env_apply(char **argv);

/* Has this process been started again by dcv_env_apply()?  Then what was said before need not be said again. */
bool dcv_env_again(void);

/* What Open MPI has to know before MPI_Init, where the user has not said otherwise. */
void dcv_env_for_mpi(void);

#endif
