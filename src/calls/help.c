/* help.c -- deconvoy --help, deconvoy help CALL */
#include <stdio.h>
#include <string.h>
#include "calls/args.h"
#include "calls/call.h"
#include "calls/help.h"
#include "deconvoy/field.h"

const dcv_call *dcv_call_find(const char *name)
{
    const dcv_call *c;
    for (int i = 0; (c = dcv_call_at(i)); i++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}

dcv_status dcv_call_unknown(const char *name)
{
    char names[512] = "", known[512] = "", near[64];
    const dcv_call *c;
    for (int i = 0; (c = dcv_call_at(i)); i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? "|" : "", c->name);
    dcv_words_list(names, known, sizeof known);
    dcv_words_nearest(names, name, near, sizeof near);
    return dcv_fail(DCV_EUSAGE, "unknown call '%.60s'; expected %s%s%s", name, known, *near ? "; nearest: " : "", near);
}

void dcv_call_print_help(const dcv_call *c)
{
    printf("usage: deconvoy %s\n\n%s\n", c->usage, c->help);
}

static void print_all(void)
{
    const dcv_call *c;
    printf("usage: deconvoy CALL ...      alone, or under mpirun or srun\n\n");
    for (int i = 0; (c = dcv_call_at(i)); i++)
        printf("  %s\n      %s\n", c->usage, c->help);
    printf("\nExit codes: 0 complete, 64 usage, 65 bad input data, 66 input not found, 70 internal error, 74 I/O error "
           "or disk "
           "full,\n75 stopped before the end (run again to go on), 78 bad configuration.\n");
}

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)exit_code;
    static const dcv_arg none[] = {{0}};
    const char *name;
    int n;
    DCV_TRY(dcv_args_read(argc, argv, dcv_call_help.usage, none, &name, 0, 1, &n));
    if (!n) {
        print_all();
        return DCV_OK;
    }
    const dcv_call *c = dcv_call_find(name);
    if (!c)
        return dcv_call_unknown(name);
    dcv_call_print_help(c);
    return DCV_OK;
}

const dcv_call dcv_call_help = {
    .name = "help",
    .usage = "help [CALL]",
    .help = "print this, or how a call is used",
    .run = run,
};
