/* args.h -- options and operands of a call, by table. */
#ifndef DCV_CALLS_ARGS_H
#define DCV_CALLS_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include "deconvoy/status.h"

typedef enum dcv_arg_kind {
    DCV_ARG_END,
    DCV_ARG_FLAG,    /* bool */
    DCV_ARG_COUNT,   /* int64_t, >= 1 */
    DCV_ARG_SECONDS, /* double, >= 0 */
    DCV_ARG_TEXT,    /* const char * */
    DCV_ARG_TEXTS    /* dcv_arg_texts: may be given again and again */
} dcv_arg_kind;

typedef struct dcv_arg_texts {
    int n;
    const char **v; /* free with dcv_args_clear() */
} dcv_arg_texts;

typedef struct dcv_arg {
    const char *name; /* "--set" */
    dcv_arg_kind kind;
    void *to;
} dcv_arg;

/* Read argv[1 ..] : options of table in any order (VALUE as the next argument or after '='), and n_min .. n_max
 * operands, borrowed into operand[].  DCV_EUSAGE in words of the call argv[0]; usage is what it expects. */
dcv_status dcv_args_read(int argc, char **argv, const char *usage, const dcv_arg *table, const char **operand,
                         int n_min, int n_max, int *n) DCV_MUST_USE;
void dcv_args_clear(dcv_arg_texts *t);

#endif
