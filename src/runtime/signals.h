/* signals.h -- USR1, TERM and INT ask for an end: stop.h tells who wants to know. */
#ifndef DCV_RUNTIME_SIGNALS_H
#define DCV_RUNTIME_SIGNALS_H

/* Catch them from here on, and restore what was there before. */
void signals_catch(void);
void signals_restore(void);

#endif
