/* calls.c -- the table of calls. */
#include "calls/call.h"

#define X(symbol) extern const dcv_call dcv_call_##symbol;
#include "calls/calls.def"
#undef X

#define X(symbol) &dcv_call_##symbol,
static const dcv_call *const calls[] = {
#include "calls/calls.def"
};
#undef X

const dcv_call *dcv_call_at(int i)
{
    return i >= 0 && i < (int)(sizeof calls / sizeof *calls) ? calls[i] : 0;
}
