/* lucy.h -- the iterations of Richardson and Lucy: what its files share.  Compiled twice, see deblur/real.h. */
#ifndef DCV_DEBLUR_LUCY_H
#define DCV_DEBLUR_LUCY_H

#include "deblur/filters/problem.h"

#define lucy_tv    N(lucy_tv)
#define lucy_split N(lucy_split)
#define lucy_save  N(lucy_save)
#define lucy_load  N(lucy_load)

#define MOST_CHANNELS 3

enum { STAGE_FIT, STAGE_WHOLE }; /* thinning: first a part of the data, to find when to stop; then all */

/* Everything that the next iteration depends on but the fields: what a state file begins with. */
typedef struct lucy_state {
    int64_t stage, k; /* iterations done */
    int64_t best;     /* of the fit */
    double best_judged, last_judged;
    int64_t rises;
    double alpha[MOST_CHANNELS], last_divergence[MOST_CHANNELS];
    int64_t n_steps[MOST_CHANNELS]; /* steps g that the next alpha may look at */
    double gain, read;
} lucy_state;

typedef struct lucy {
    problem *p;
    lucy_state s;
    field x;             /* the iterate; accelerated: the prediction */
    field prev, step;    /* accelerated: the iterate, and the last step from a prediction */
    field tv;            /* total variation: 1 / (1 - r div) */
    real *below, *above; /* planes of x beyond this rank's, [channels][n1][n2] */
    double tv_weight;
    field fit;      /* the part of the data that is fitted, while the stage is STAGE_FIT */
    bool by_counts; /* how it was split off */
    bool accelerated;
    double divergence[MOST_CHANNELS], chi2, judged; /* at the last row pass */
    double change, flux;
    int64_t most; /* iterations of this stage */
} lucy;

/* The data of this stage, what is added to H x, and the factor from fitted to judging model. */
static inline const field *lucy_data(const lucy *l)
{
    return l->s.stage == STAGE_FIT ? &l->fit : &l->p->y;
}

#define FIT_SHARE   0.9       /* of the counts */
#define NOISE_SHARE (1.0 / 3) /* t: y + t n is fitted, y - n / t judges */

/* Split the data: l->fit.  Local. */
void lucy_split(lucy *l);

/* Fill l->tv from l->x.  Collective. */
void lucy_tv(lucy *l);

/* Keep the state, or find it.  Collective. */
dcv_status lucy_save(lucy *l) DCV_MUST_USE;
dcv_status lucy_load(lucy *l, bool *found) DCV_MUST_USE;

#endif
