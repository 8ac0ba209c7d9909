/* rule.h -- what a walk back does at the operators where methods differ.
 *
 * The signal that comes down to a value is summed over all that read it; then the rule of the node that made
 * it applies.  A rule names the operators that it treats in its own way; everywhere else the
 * operator's own backward (its adjoint, or derivative) counts.
 */
#ifndef DECONVOY_RULE_H
#define DECONVOY_RULE_H

#include "deconvoy/op.h"

typedef void (*dcv_back_fn)(const dcv_graph *g, const dcv_node *nd, const dcv_back_io *io);

typedef struct dcv_override {
    const char *op; /* name of an operator, or DCV_WHOLE */
    dcv_back_fn backward;
} dcv_override;

/* x * Sigmoid(x), x * HardSigmoid(x) and GELU, spelt as several nodes, taken as one: gx[0] is the signal at x, and x[0]
 * the factor that gates it, without data where there is no such factor. */
#define DCV_WHOLE "(activation of several nodes)"

typedef struct dcv_rule {
    const char *name;
    const dcv_override *overrides; /* the last one has no name */
} dcv_rule;

/* By name, NULL if there is none; by number, NULL past the end. */
const dcv_rule *dcv_rule_find(const char *name);
const dcv_rule *dcv_rule_at(int i);

/* backward of an operator under a rule; NULL where there is none. */
dcv_back_fn dcv_rule_of(const dcv_rule *r, const dcv_op *op);
dcv_back_fn dcv_rule_whole(const dcv_rule *r); /* NULL: node by node */

#endif
