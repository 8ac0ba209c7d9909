/* targets.h -- `at`, `targets` and `unit`: which units of a network a method is about, picture by picture.
 *
 * At the logits (or the probabilities that follow from them) a target is a class, elsewhere a channel of a layer; a
 * unit is one cell of a channel, or its sum.
 */
#ifndef DCV_JOBS_TARGETS_H
#define DCV_JOBS_TARGETS_H

#include "deconvoy/dataset.h"
#include "deconvoy/config.h"
#include "deconvoy/engine.h"

typedef struct dcv_target dcv_target;

typedef struct dcv_targets {
    const dcv_config *config;
    const char *section;  /* the job's, for messages */
    const char *at;       /* logits, probability, or a layer */
    const dcv_ints *unit; /* max, sum or [y, x]; NULL: max */
    bool inner, probability;
    dcv_target *list;
    int n; /* targets of one picture */
} dcv_targets;

/* A unit of one picture. */
typedef struct dcv_unit {
    int64_t channel; /* -1: this picture has no such target */
    float value;
    int64_t y, x; /* -1: the channel's sum */
} dcv_unit;

/* at and unit are borrowed. */
void dcv_targets_start(dcv_targets *t, const dcv_config *c, const char *section, const char *at, const dcv_ints *unit);

/* The value that targets are units of, in any graph of the model.  DCV_ECONFIG at SECTION.at. */
dcv_status dcv_targets_value(const dcv_targets *t, const dcv_graph *g, int *value) DCV_MUST_USE;

/* Read the names for the largest graph; a word ("all"): every channel.  DCV_ECONFIG at SECTION.targets or SECTION.unit.
 */
dcv_status dcv_targets_read(dcv_targets *t, const dcv_names *names, const dcv_graph *g) DCV_MUST_USE;
void dcv_targets_clear(dcv_targets *t);

/* Warn where the label is asked for and no item has one: all of those targets will be -1.  d may be NULL. */
void dcv_targets_warn(const dcv_targets *t, const dcv_dataset *d);

/* The value that dcv_targets_value() names, row-major, as targets see it: probabilities where they are asked for. */
void dcv_targets_see(const dcv_targets *t, const dcv_graph *g, const dcv_blob *b, float *x);

/* The units of one picture in x, as dcv_targets_see() gave it.  label: -1 where it is unknown.  to: t->n units. */
void dcv_targets_find(const dcv_targets *t, const dcv_graph *g, const float *x, int32_t label, dcv_unit *to);

/* What is planted to walk back from unit u (channel >= 0) of a picture: the derivative of the unit's value, times that
 * value where activation is set.  cell, weight: room for every cell of the value; they must live as long as the seed.
 */
dcv_seed dcv_targets_seed(const dcv_targets *t, const dcv_graph *g, const dcv_unit *u, const float *x, bool activation,
                          int picture, int64_t *cell, float *weight);

/* Softmax in place, in float64. */
void dcv_softmax(float *x, int64_t n);

#endif
