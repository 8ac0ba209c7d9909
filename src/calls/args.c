/* args.c -- options and operands of a call, by table. */
#include "calls/args.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "deconvoy/field.h"
#include "deconvoy/memory.h"

static dcv_status unknown_option(const char *call, const char *given, const dcv_arg *table)
{
    char names[512] = "", list[512] = "", near[64];
    for (const dcv_arg *a = table; a->kind != DCV_ARG_END; a++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", *names ? "|" : "", a->name);
    dcv_words_list(names, list, sizeof list);
    dcv_words_nearest(names, given, near, sizeof near);
    return dcv_fail(DCV_EUSAGE, "%s: unknown option %.60s; expected %s%s%s", call, given, *list ? list : "none",
                    *near ? "; nearest: " : "", near);
}

static dcv_status add_text(dcv_arg_texts *t, const char *text)
{
    const char **v = dcv_realloc(t->v, (size_t)t->n, (size_t)t->n + 1, sizeof *v);
    if (!v)
        return DCV_ENOMEM;
    v[t->n] = text;
    t->v = v;
    t->n++;
    return DCV_OK;
}

static dcv_status take_value(const char *call, const dcv_arg *a, const char *value)
{
    char *end;
    if (a->kind == DCV_ARG_TEXTS)
        return add_text(a->to, value);
    if (a->kind == DCV_ARG_TEXT)
        *(const char **)a->to = value;
    else if (a->kind == DCV_ARG_COUNT) {
        const long long v = strtoll(value, &end, 10);
        if (end == value || *end || v < 1 || v > 1 << 30)
            return dcv_fail(DCV_EUSAGE, "%s: %s is '%.60s'; expected a whole number of at least 1", call, a->name,
                            value);
        *(int64_t *)a->to = v;
    } else {
        const double v = strtod(value, &end);
        if (end == value || *end || !(v >= 0) || !isfinite(v))
            return dcv_fail(DCV_EUSAGE, "%s: %s is '%.60s'; expected a number of seconds, at least 0", call, a->name,
                            value);
        *(double *)a->to = v;
    }
    return DCV_OK;
}

/* Option argv[*i], and its value, which may be the next argument. */
static dcv_status take_option(int argc, char **argv, const dcv_arg *table, int *i)
{
    const char *given = argv[*i], *equals = strchr(given, '=');
    const size_t n = equals ? (size_t)(equals - given) : strlen(given);
    const dcv_arg *a = table;
    while (a->kind != DCV_ARG_END && (strlen(a->name) != n || memcmp(a->name, given, n) != 0))
        a++;
    if (a->kind == DCV_ARG_END)
        return unknown_option(argv[0], given, table);
    if (a->kind == DCV_ARG_FLAG) {
        if (equals)
            return dcv_fail(DCV_EUSAGE, "%s: %.60s has a value; expected %s alone", argv[0], given, a->name);
        *(bool *)a->to = true;
        return DCV_OK;
    }
    if (equals)
        return take_value(argv[0], a, equals + 1);
    if (*i + 1 >= argc)
        return dcv_fail(DCV_EUSAGE, "%s: %s has no value; expected one after it", argv[0], a->name);
    return take_value(argv[0], a, argv[++*i]);
}

dcv_status dcv_args_read(int argc, char **argv, const char *usage, const dcv_arg *table, const char **operand,
                         int n_min, int n_max, int *n)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1]) {
            DCV_TRY(take_option(argc, argv, table, &i));
            continue;
        }
        if (count == n_max)
            return dcv_fail(DCV_EUSAGE, "%s: '%.200s' is one too many; expected deconvoy %s", argv[0], argv[i], usage);
        operand[count++] = argv[i];
    }
    if (count < n_min)
        return dcv_fail(DCV_EUSAGE, "%s: too few arguments; expected deconvoy %s", argv[0], usage);
    if (n)
        *n = count;
    return DCV_OK;
}

void dcv_args_clear(dcv_arg_texts *t)
{
    dcv_free(t->v);
    *t = (dcv_arg_texts){0};
}
