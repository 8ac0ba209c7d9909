/* help.h -- finding calls by name. */
#ifndef DCV_CALLS_HELP_H
#define DCV_CALLS_HELP_H

#include "calls/call.h"

extern const dcv_call dcv_call_help;

const dcv_call *dcv_call_find(const char *name); /* NULL if there is none */
dcv_status dcv_call_unknown(const char *name);   /* DCV_EUSAGE with the known ones and the nearest */
void dcv_call_print_help(const dcv_call *c);

#endif
