/* infer.h -- what the files of the job `infer` share. */
#ifndef DCV_JOBS_INFER_H
#define DCV_JOBS_INFER_H

#include "engine/mosaic.h"
#include "jobs/latent.h"
#include "jobs/network.h"

typedef struct infer_options {
    dcv_names outputs; /* word: all */
    int64_t top, tile;
    bool picture, latent_given;
    dcv_latent_options latent;
} infer_options;

typedef struct infer_output {
    int index;         /* in graph->out */
    dcv_dims dims;     /* of one item, without the batch axis */
    int id, id_extent; /* data sets; id_extent -1: every item has dims */
} infer_output;

typedef struct infer_scratch {
    float *raw; /* the largest output of an item */
    float *probability, *best;
    int32_t *order;
    int16_t *map;
    float *latent; /* the largest input that is drawn */
    /* Of pictures in tiles: one tile's input; of each wanted output the rows that a row of tiles gives. */
    float *piece, **band;
    dcv_graph *whole; /* of the last such picture */
    dcv_mosaic *mosaic;
} infer_scratch;

typedef struct infer {
    dcv_network_job on;
    const infer_options *options;
    infer_output *out;
    int n_out;
    int64_t classes; /* 0: not a classifier */
    int64_t k;       /* min(top, classes) */
    int id_top, id_probability, id_map;
    dcv_distribution *latent; /* [n_in] NULL: inputs are read */
    int *id_latent;           /* [n_in] */
    infer_scratch *scratch;   /* [threads] */
    int64_t tile;             /* px; 0: pictures are walked whole */
    int *wanted, n_wanted;    /* outputs that tiles must give: those kept, and the first for its class map */
    int64_t *band_cells;      /* [n_wanted] */
    dcv_mosaic *largest;      /* of the largest picture; NULL: it fits into a tile, or is not cut */
    char *why_whole;          /* why large pictures are not cut; NULL: none is that large, or they are */
} infer;

/* Find the outputs that infer.outputs names.  DCV_ECONFIG, DCV_EUNSUPPORTED. */
dcv_status infer_choose_outputs(infer *job) DCV_MUST_USE;

/* Segmentation: the first output is [N,C,H,W] with C = 2 or C > 3 and more than one cell. */
bool infer_has_class_map(const infer *job);

/* The class of the largest of c values that are step apart, the lowest of equals. */
int16_t infer_class(const float *value, int64_t c, int64_t step);

/* The network's options.piece: decide whether large pictures are walked in tiles, and in which. */
dcv_status infer_tiles_choose(void *ctx, const dcv_network *net, dcv_dims *dims) DCV_MUST_USE;

/* Once outputs are chosen and the network is open: units of a picture's rows of tiles, and memory. */
dcv_status infer_tiles_plan(infer *job) DCV_MUST_USE;
int64_t infer_tiles_output(const infer *job); /* most numbers of an output of a tile */
dcv_status infer_tiles_scratch(const infer *job, infer_scratch *s) DCV_MUST_USE;
void infer_tiles_scratch_clear(infer_scratch *s);
void infer_tiles_clear(infer *job);

/* Walk an item in tiles, if it is larger than one: the rows of tiles that part (of the network's parts) has. */
dcv_status infer_tiles_run(infer *job, int thread, int64_t part, const dcv_item *it, int64_t item, bool *taken,
                           dcv_result *r) DCV_MUST_USE;

/* Lines for `check`. */
void infer_tiles_explain(const infer *job, FILE *to);

/* Write the extents of an output of an item. */
dcv_status infer_put_extent(const infer_output *o, const dcv_dims *own, int64_t item, dcv_result *r) DCV_MUST_USE;

#endif
