/* gradient.c -- every operator's own adjoint or derivative. */
#include "deconvoy/rule.h"

static const dcv_override none[] = {{NULL, NULL}};

extern const dcv_rule dcv_rule_gradient;
const dcv_rule dcv_rule_gradient = {.name = "gradient", .overrides = none};
