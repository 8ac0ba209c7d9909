/* solving.h -- what `deblur` and `blur` share: objects, their PSF, and solvers over all ranks or one a thread. */
#ifndef DCV_JOBS_SOLVING_H
#define DCV_JOBS_SOLVING_H

#include "deconvoy/deblur.h"
#include "deconvoy/job.h"
#include "jobs/objects.h"
#include "jobs/spread.h"

typedef enum parallel { PARALLEL_AUTO, PARALLEL_DISTRIBUTED, PARALLEL_ITEMS } parallel;

typedef struct solving_options { /* as the section says */
    const char *section;         /* "deblur" */
    const char *input, *dataset;
    const psf_options *psf;
    const dcv_reals *spacing; /* NULL: the file's, else 1 */
    int dimensions, parallel;
    dcv_dtype type;
    bool wavelet; /* traces: the PSF may have no mass, items always */
    bool skimage, low_centre;
} solving_options;

typedef struct solving {
    const dcv_config *config;
    solving_options o;
    objects all;
    spread psf;
    double spacing[3];
    bool distributed; /* each object over all ranks, one after another */
    bool leads;       /* results have a leading axis of objects */
    int threads;
    int64_t unit_items;
    double gflop; /* of one object */
    dcv_deblur_spec spec;
    dcv_deblur **solver; /* [threads] for items, made when first wanted */
    int id_status;       /* of /inputs; -1 */
    dcv_sha256 sha256;   /* of input and PSF */
} solving;

/* Open input and PSF.  solving_close() also after a failure. */
dcv_status solving_open(solving *s, const dcv_config *c, const solving_options *o, int threads) DCV_MUST_USE;
void solving_close(solving *s);

/* Once spec is complete: how units are cut; gflop of one object. */
void solving_plan(solving *s, dcv_job *job, double gflop);

/* Is there memory (the kind's fits)?  more: bytes of a thread or rank beyond the solver's. */
dcv_status solving_fits(const solving *s, int ranks, int node_ranks, int64_t more, FILE *to) DCV_MUST_USE;

/* Will the object fail, as far as its file's header tells? */
dcv_status solving_foresee(solving *s, int64_t item) DCV_MUST_USE;

dcv_status solving_declare(solving *s, dcv_store *st) DCV_MUST_USE;
/* Declare GROUP/psf with its values and centre. */
dcv_status solving_declare_psf(const solving *s, dcv_store *st, const char *group) DCV_MUST_USE;

/* One object on its way through a solver. */
typedef struct passage {
    solving *s;
    object x;
    dcv_result *r;
    int id; /* the result's image */
    int64_t item;
    dcv_together *t; /* NULL: alone */
    double every_s;
    const char *doing; /* for progress: "deblur" */
} passage;
dcv_deblur_io passage_io(passage *p);

/* Where ranks share the object, all learn the worst status.  Collective then. */
dcv_status passage_agree(const passage *p, dcv_status mine) DCV_MUST_USE;

/* The solver for object i: of a thread (t NULL), or of all ranks.  *own: the caller frees it. */
dcv_status solving_solver(solving *s, int64_t i, int thread, dcv_together *t, dcv_deblur **out, bool *own) DCV_MUST_USE;

/* Solve objects one after another.  one: what is done with each, where ranks share it the same calls on all of them;
 * failed: its rows where it has failed. */
typedef struct solving_actions {
    void *ctx;
    const char *doing;
    int id; /* image */
    double every_s;
    dcv_status (*one)(void *ctx, dcv_deblur *d, passage *p);
    dcv_status (*failed)(void *ctx, int64_t item, dcv_result *r);
} solving_actions;
dcv_status solving_unit(solving *s, int64_t unit, int thread, const solving_actions *a, dcv_result *r) DCV_MUST_USE;
dcv_status solving_together(solving *s, dcv_together *t, const solving_actions *a, dcv_result *r) DCV_MUST_USE;
dcv_status solving_fail_unit(solving *s, int64_t unit, const char *message, const solving_actions *a,
                             dcv_result *r) DCV_MUST_USE;

/* An item's failure: recorded, its rows missing; or the job's, by dataset.on_error.  Objects without a number: st. */
dcv_status solving_fail(solving *s, int64_t item, dcv_status st, const solving_actions *a, dcv_result *r) DCV_MUST_USE;

int64_t solving_units(const solving *s);
int64_t solving_unit_items(const solving *s, int64_t unit);

#endif
