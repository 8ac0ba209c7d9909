/* signals.h -- USR1, TERM and INT ask for an end: stop.h tells who wants to know. */
#ifndef DCV_RUNTIME_SIGNALS_H
#define DCV_RUNTIME_SIGNALS_H

/* Catch them from here to the end of the process. */
void signals_catch(void);

#endif
