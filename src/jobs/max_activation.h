/* max_activation.h -- what the files of the job `max_activation` share.
 *
 * Phase "search" gathers, for every channel of every layer, the k strongest places and the statistics of all values.
 * Phase "patches" reads the winning pictures once more and cuts out what each place sees; phase "reconstruct" walks
 * them forward once more, and each of their places back to the input.
 */
#ifndef DCV_JOBS_MAX_ACTIVATION_H
#define DCV_JOBS_MAX_ACTIVATION_H

#include "deconvoy/rule.h"
#include "engine/methods/channel_scan.h"
#include "jobs/network.h"

typedef enum top_rank_by { TOP_BY_MAX, TOP_BY_MEAN } top_rank_by;

typedef struct top_options {
    dcv_names layers;  /* word: all */
    dcv_ints channels; /* word: all; scalar: the first N; list */
    int64_t top, per_image, crop_limit;
    int rank_by, reconstruct;
    bool patches, statistics;
} top_options;

typedef struct top_layer {
    char *name;
    int value;            /* in the network's own graph */
    dcv_map map;          /* on the largest input */
    int64_t n;            /* channels kept */
    int64_t *channel;     /* [n] */
    int64_t box_h, box_w; /* largest receptive field, px */
    bool fits;            /* into crop_limit, or named */
    bool patch, reconstruction;
    double back_gflop;                       /* of one place taken back to the input, */
    bool boxed;                              /* inside what it can reach */
    size_t at_sums, at_histogram, at_places; /* in a state, bytes */
    int id_value, id_image, id_position, id_box, id_patch, id_reconstruction, id_mean, id_std, id_nonzero, id_histogram,
        id_class_count;
} top_layer;

/* One winning place: where it comes from, and where what is made of it goes. */
typedef struct top_winner {
    int64_t image, slot; /* slot: channel * top + rank in layer */
    int32_t layer, y, x;
    int32_t h, w; /* of the network input */
    float value;
} top_winner;

/* Winners of some layers, sorted by picture, layer and slot. */
typedef struct top_winners {
    top_winner *at;
    int64_t n;
    int64_t *first;     /* [n_pictures + 1] */
    int64_t n_pictures; /* that have any */
} top_winners;

enum { TOP_SEARCH, TOP_PATCHES, TOP_RECONSTRUCT, TOP_PHASES };

typedef struct top_job {
    dcv_job base;
    dcv_network net;
    const top_options *options;
    top_layer *layer;
    int n_layers;
    size_t state_bytes;
    dcv_map input;         /* the largest network input */
    bool pictures;         /* the input has rows, columns, and 1 or 3 channels */
    int phase[TOP_PHASES]; /* which ones, base.n_phases of them */
    top_winners cut, back; /* whose patches, and whose reconstructions are made */
    int64_t *unit;         /* [n_units + 1] of phase "reconstruct": winners of back */
    int64_t n_units;
    const dcv_rule *rule;         /* NULL: nothing is taken back */
    struct top_scratch **scratch; /* [threads], made when a thread first needs it */
} top_job;

/* --- max_activation_layers.c --- */

/* Values that the walk must show: the network's choose. */
dcv_status top_choose(void *job, const dcv_graph *g, int *seen, int *n_seen) DCV_MUST_USE;
dcv_status top_check_names(const top_job *j) DCV_MUST_USE;
dcv_status top_make_layers(top_job *j) DCV_MUST_USE;
void top_free_layers(top_job *j);
dcv_status top_declare(dcv_job *base, dcv_store *s) DCV_MUST_USE;
dcv_status top_explain(dcv_job *base, FILE *to) DCV_MUST_USE;

/* Values of a view's graph -> layers; -1: none.  [n_value], new memory. */
dcv_status top_layer_of(const top_job *j, const dcv_graph *g, int **out) DCV_MUST_USE;

/* Receptive fields of every row (axis 0) or column (axis 1) of a value, in new memory. */
dcv_status top_spans_new(const dcv_graph *g, int value, int axis, dcv_span **out) DCV_MUST_USE;

/* --- max_activation_boxes.c --- */

/* Receptive fields of all layers for the pictures of one size. */
typedef struct top_boxes {
    dcv_span **rows, **cols; /* [n_layers] */
    int64_t h, w;            /* of the input */
} top_boxes;

void top_boxes_clear(const top_job *j, top_boxes *b);
/* Make b the boxes of an input of h x w px, unless it is that already.  g: a graph of that size, where there is one, or
 * NULL.  Threads do so at the same time. */
dcv_status top_boxes_for(const top_job *j, const dcv_graph *g, int64_t h, int64_t w, top_boxes *b) DCV_MUST_USE;
/* y0, x0, y1, x1 of what a place of layer i sees. */
void top_box_at(const top_job *j, const top_boxes *b, int i, int32_t y, int32_t x, int32_t *to);

/* --- max_activation_state.c --- */

typedef struct top_place {
    int64_t image; /* -1: none */
    float value;
    int32_t y, x;
    int32_t unused;
} top_place;

typedef struct top_sums {
    double sum, square;
    int64_t nonzero, cells;
} top_sums;

top_sums *top_sums_of(const void *state, const top_layer *l);
int64_t *top_histogram_of(const void *state, const top_layer *l);
top_place *top_places_of(const void *state, const top_layer *l);
/* Put p into the k sorted places of a channel, behind its equals. */
void top_insert(top_place *list, int64_t k, const top_place *p);
void top_state_clear(const dcv_job *base, int p, void *state);
void top_state_fold(const dcv_job *base, int p, void *into, const void *block);
dcv_status top_finish(dcv_job *base, int p, const void *state, dcv_result *r) DCV_MUST_USE;

/* --- max_activation_winners.c --- */

typedef enum top_which { TOP_ALL, TOP_WITH_PATCH, TOP_WITH_RECONSTRUCTION } top_which;

/* Places that top_list() may find at most. */
int64_t top_most_winners(const top_job *j, top_which which);
/* Winners of those layers, layer after layer.  Returns how many. */
int64_t top_list(const top_job *j, const void *state, top_which which, top_winner *to);
dcv_status top_learn(dcv_job *base, int p, const void *state) DCV_MUST_USE;
void top_free_winners(top_job *j);
/* A picture that was there in the search and is gone now: the item fails.  DCV_EDATA under `on_error: fail`. */
dcv_status top_lose(const top_job *j, int64_t image, const char *message, dcv_result *r) DCV_MUST_USE;

/* --- one file a phase: max_activation_search.c, _patches.c, _reconstruct.c --- */

dcv_status top_search(top_job *j, int64_t unit, int thread, void *input, void *state, dcv_result *r) DCV_MUST_USE;

int64_t top_patches_units(const top_job *j);
int64_t top_patches_items(const top_job *j, int64_t unit);
dcv_status top_patches(top_job *j, int64_t unit, dcv_result *r) DCV_MUST_USE;
dcv_status top_patches_fail(top_job *j, int64_t unit, const char *message, dcv_result *r) DCV_MUST_USE;

dcv_status top_reconstruct_open(top_job *j) DCV_MUST_USE; /* once layers are made */
void top_reconstruct_close(top_job *j);
dcv_status top_reconstruct_plan(top_job *j) DCV_MUST_USE; /* once winners are known */
int64_t top_reconstruct_items(const top_job *j, int64_t unit);
double top_reconstruct_gflop(const top_job *j, int64_t unit);
dcv_status top_reconstruct(top_job *j, int64_t unit, int thread, dcv_result *r) DCV_MUST_USE;
dcv_status top_reconstruct_fail(top_job *j, int64_t unit, const char *message, dcv_result *r) DCV_MUST_USE;

#endif
