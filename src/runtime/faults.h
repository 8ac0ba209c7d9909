/* faults.h -- units that kill the process that computes them.
 *
 * A handler of SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT writes unit and signal to a file opened beforehand, and lets
 * the signal end the process.  A unit that did so FAULT_TIMES times is not computed again but reported as failed. Only
 * faults raised inside the process count: random kills must not change bytes.
 */
#ifndef DCV_RUNTIME_FAULTS_H
#define DCV_RUNTIME_FAULTS_H

#include "runtime/part.h"

#define FAULT_TIMES 3

typedef struct fault {
    int32_t phase, signal;
    int64_t unit, times;
} fault;

typedef struct fault_list {
    fault *at; /* those with FAULT_TIMES or more */
    int32_t n;
} fault_list;

/* What earlier starts of this plan have met.  Rank 0 only. */
dcv_status faults_read(const dcv_output *o, const dcv_sha256 *plan, fault_list *out) DCV_MUST_USE;

/* Catch faults from here on, and stop catching. */
dcv_status faults_watch(const dcv_output *o, const dcv_sha256 *plan) DCV_MUST_USE;
void faults_unwatch(void);

/* This thread now works on a unit (phase -1: on none).  The first call gives it a stack for handlers. */
void faults_unit(int phase, int64_t unit);
void faults_thread_end(void);

/* The message for a unit that is not to be computed, NULL for others; buf is filled. */
typedef char fault_text[96];
const char *faults_verdict(const fault_list *l, int phase, int64_t unit, fault_text buf);

void faults_remove(const dcv_output *o);

#endif
