/* rules.c -- the table of rules. */
#include <string.h>
#include "deconvoy/rule.h"

#define X(symbol) extern const dcv_rule dcv_rule_##symbol;
#include "engine/rules/rules.def"
#undef X

static const dcv_rule *const rules[] = {
#define X(symbol) &dcv_rule_##symbol,
#include "engine/rules/rules.def"
#undef X
};

const dcv_rule *dcv_rule_at(int i)
{
    return i >= 0 && i < (int)(sizeof rules / sizeof *rules) ? rules[i] : NULL;
}

const dcv_rule *dcv_rule_find(const char *name)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!strcmp(rules[i]->name, name))
            return rules[i];
    return NULL;
}

static dcv_back_fn find(const dcv_rule *r, const char *op)
{
    for (const dcv_override *o = r->overrides; o->op; o++)
        if (!strcmp(o->op, op))
            return o->backward;
    return NULL;
}

dcv_back_fn dcv_rule_of(const dcv_rule *r, const dcv_op *op)
{
    const dcv_back_fn fn = find(r, op->name);
    return fn ? fn : op->backward;
}

dcv_back_fn dcv_rule_whole(const dcv_rule *r)
{
    return find(r, DCV_WHOLE);
}
