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

/* DCV_ESTOP "stopped while DOING; run again to go on" if somebody asked. */
dcv_status dcv_stop_check(const char *doing) DCV_MUST_USE;

#endif
