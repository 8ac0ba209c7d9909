/* stop.h -- somebody asked this process to come to an end: USR1, TERM, INT.
 *
 * The run-time catches the signals; every step that may take long looks here now and then.
 */
#ifndef DECONVOY_STOP_H
#define DECONVOY_STOP_H

#include "deconvoy/status.h"

/* Note the signal that asked, 0: forget it.  May be called in a signal handler. */
void dcv_stop_ask(int signal);

/* The signal that asked, 0: none. */
int dcv_stop_asked(void);

/* A program that will catch these signals blocks them as its very first act, before libraries have been started: one
 * that comes then waits until it can be caught.
 *
 *     DCV_STOP_BLOCK_AT_START;   at file level of the program, not of a library
 */
void dcv_stop_block(void);
void dcv_stop_unblock(void);
#define DCV_STOP_BLOCK_AT_START                                                                                        \
    __attribute__((section(".preinit_array"), used)) static void (*const dcv_stop_at_start)(void) = dcv_stop_block

/* DCV_ESTOP "stopped while DOING; run again to go on" if somebody asked. */
dcv_status dcv_stop_check(const char *doing) DCV_MUST_USE;

#endif
