/* gradient_ascent.h -- inside of job `gradient_ascent`.
 *
 * A climb is one picture on its way up for one target.  Climbs of a few items make a block; a block is a chain of units
 * of some steps each, and its state (the pictures as they are, the best so far, all scores) is what a run that was
 * killed goes on from.  Up to DCV_GROUP climbs walk together; where a block has more (many targets of one picture of a
 * data set), one party of them climbs after the other.
 */
#ifndef DCV_JOBS_GRADIENT_ASCENT_H
#define DCV_JOBS_GRADIENT_ASCENT_H

#include "engine/methods/ascent.h"
#include "engine/methods/fourier.h"
#include "jobs/network.h"
#include "jobs/targets.h"

typedef enum ascent_start { ASCENT_NOISE, ASCENT_MEAN, ASCENT_DATASET } ascent_start;

typedef struct ascent_options {
    char *at;
    dcv_names targets;
    int64_t steps;
    int step; /* rms | plain */
    double rate, l2;
    struct {
        double sigma;
        int64_t every;
    } blur;
    int64_t jitter;
    double total_variation;
    struct {
        double norm, contribution;
    } clip;
    int parametrisation; /* pixel | fourier */
    struct {
        int64_t count;
        double scale;
    } octaves;
    int start;
    int64_t seed;
} ascent_options;

/* Of an item of a block, kept in its state.  The picture's own size counts from the item's first unit on. */
typedef struct ascent_item {
    char message[200]; /* why it failed */
    int32_t failed, known;
    int64_t width, height, h, w;
} ascent_item;

typedef struct ascent_climb {
    int32_t target; /* class or channel; -1: none */
    float best;     /* largest score of the last octave */
} ascent_climb;

/* Where things lie in a block's state, bytes; arrays of climbs are [DCV_GROUP] or fewer. */
typedef struct ascent_layout {
    size_t item, climb, x, best, base, m, v, objective, bytes;
} ascent_layout;

typedef struct ascent_scratch { /* of one thread */
    float *rolled[DCV_GROUP], *gradient[DCV_GROUP];
    float *g, *d; /* of one picture: the score's gradient, and the direction of the step */
    float *z;     /* of one spectrum */
    float *blur;
    double *clip;
    float *value[DCV_GROUP];  /* classes, where targets are those */
    int64_t *cell[DCV_GROUP]; /* of a channel, or classes */
    float *weight[DCV_GROUP];
    float *layer; /* one picture's whole layer, to find targets in */
    uint8_t *px;
    dcv_fourier *fourier; /* of fourier_map's size */
    dcv_map fourier_map;
} ascent_scratch;

typedef struct ascent_job {
    dcv_network_job on;
    const ascent_options *options;
    dcv_targets targets;
    bool from_data, fourier, bgr;
    dcv_map map;         /* of the largest picture */
    int64_t *number;     /* [items] channel, where there is no data set */
    int64_t n_targets;   /* of an item: 1 where items are targets */
    int64_t block_items; /* items in a block */
    int64_t group;       /* climbs that walk together, at most */
    int64_t n_parties;   /* of a block */
    int64_t n_steps;     /* of a climb: steps x octaves */
    int64_t unit_steps;  /* of a unit */
    int64_t party_units; /* of a party's climbs */
    double climb_gflop;  /* of a step at full size */
    ascent_layout layout;
    ascent_scratch *scratch; /* [threads] */
    int id_target, id_image, id_picture, id_objective;
} ascent_job;

/* Items of a block, and climbs of a party of it. */
int64_t ascent_items(const ascent_job *j, int64_t block);
int64_t ascent_party(const ascent_job *j, int64_t block, int64_t party, int64_t *first);

static inline ascent_item *ascent_item_of(const ascent_job *j, void *state, int64_t i)
{
    return (ascent_item *)((char *)state + j->layout.item) + i;
}

static inline ascent_climb *ascent_climb_of(const ascent_job *j, void *state, int64_t k)
{
    return (ascent_climb *)((char *)state + j->layout.climb) + k;
}

/* Climb k's array: x, best and base of a picture's size, m and v of a spectrum's, objective of all steps. */
static inline float *ascent_array(void *state, size_t at, int64_t each, int64_t k)
{
    return (float *)((char *)state + at) + k * each;
}

/* The input's shape for a picture of that size. */
dcv_dims ascent_dims(const ascent_job *j, const dcv_map *m);

/* Fill in layout from the plan. */
void ascent_lay_out(ascent_job *j);

dcv_status ascent_scratch_new(const ascent_job *j, ascent_scratch *s) DCV_MUST_USE;
void ascent_scratch_clear(ascent_scratch *s);
int64_t ascent_scratch_bytes(const ascent_job *j);

/* Put a party's climbs at their start: targets, pictures.  Items that cannot be read, or have a size that the network
 * refuses, fail. */
dcv_status ascent_begin(ascent_job *j, int thread, int64_t block, int64_t party, void *state) DCV_MUST_USE;

/* Steps [from, to) of a party's climbs. */
dcv_status ascent_climb_on(ascent_job *j, int thread, int64_t block, int64_t party, void *state, int64_t from,
                           int64_t to) DCV_MUST_USE;

/* The item fails with a message, unless it has failed already.  DCV_EDATA where that is to end the run. */
dcv_status ascent_fail(const ascent_job *j, ascent_item *item, const char *fmt, ...) DCV_PRINTF(3, 4);

#endif
