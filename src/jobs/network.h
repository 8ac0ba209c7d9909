/* network.h -- what every job over a network and a data set has: model, items, engines, /inputs.
 *
 * Items are dealt out in units of consecutive pictures; a unit is read ahead whole, or, where that
 * would not fit into runtime.memory, group by group while it is computed.  Pictures of one size
 * share one engine; where the network leaves height and width open, each thread keeps the engines of
 * the last few sizes that it met.
 */
#ifndef DCV_JOBS_NETWORK_H
#define DCV_JOBS_NETWORK_H

#include "deconvoy/engine.h"
#include "deconvoy/job.h"

typedef struct dcv_network dcv_network;

/* One network compiled for one input size, and one thread's walk over it. */
typedef struct dcv_view {
    dcv_dims dims; /* of the first input, [1,C,H,W] */
    dcv_graph *graph;
    dcv_engine *engine;
    dcv_walk *walk;
    void *own; /* the job's: see open_view */
} dcv_view;

typedef struct dcv_network_options {
    /* Values that the walk must show, by name, for a graph of any size; NULL: none. */
    dcv_status (*choose)(void *ctx, const dcv_graph *g, int *seen, int *n_seen);
    void *ctx;
    bool back;     /* walks back start from those values, */
    bool boxes;    /* from single places of them by boxes where that is cheaper */
    bool windows;  /* weights are packed for boxes of windows: dcv_engine_options */
    bool no_data;  /* there is no data set: the job makes what it walks, of the shape that the file or input_shape fixes
                    */
    bool one_view; /* a thread keeps the engine of the last size alone */
    bool many_sizes;  /* views of other sizes than the data set's are asked for, or other engines: the model's weights
                         stay */
    bool many_inputs; /* a network of several inputs will do: dataset.inputs feeds them */
    /* With no_data: n_made items, whose input k make writes, of net->dims[k].  NULL: the job has no such items. */
    int64_t n_made;
    void (*make)(void *ctx, const dcv_network *net, int64_t item, int k, float *to);
    /* Large pictures are walked in pieces, by the job itself (dcv_unit_actions.alone).  Called once the graph for the
     * largest input is there: *dims, of that input, may become those of a piece.  NULL: never. */
    dcv_status (*piece)(void *ctx, const dcv_network *net, dcv_dims *dims);
    /* What the job keeps with each view: made after it, freed before it; may be NULL.  DCV_EDATA: the network, or the
     * job, cannot take that size. */
    dcv_status (*open_view)(void *ctx, dcv_view *view);
    void (*close_view)(void *ctx, dcv_view *view);
} dcv_network_options;

struct dcv_network {
    const dcv_config *config;
    dcv_model *model;
    dcv_labels *labels;   /* NULL: none */
    dcv_dataset *dataset; /* NULL: no_data; of the first input */
    dcv_dataset **more;   /* [n_in - 1] of the others; NULL: no_data */
    int n_in;             /* inputs of the network */
    dcv_dims *dims;       /* [n_in] of one item, the largest */
    int64_t n_items;      /* read or made */
    dcv_sha256 data_sha256;
    dcv_graph *graph;   /* for the largest input */
    dcv_graph *walked;  /* the same; for a piece of it, where it is walked in pieces */
    dcv_engine *engine; /* for walked */
    dcv_backend_kind backend;
    int threads;
    int64_t unit_items; /* pictures per unit */
    int64_t parts;      /* 1, or units per picture where unit_items is 1: unit u is part u % parts */
    int group;          /* pictures of a walk, DCV_GROUP or less */
    double item_gflop;
    bool whole_units;                              /* a unit's inputs are read ahead */
    int id_status, id_width, id_height, id_extent; /* data sets under /inputs; -1: not there */
    void *own;
};

/* Open model, labels and data set of c, and compile.  Collective on a node's ranks if share is not
 * NULL.  DCV_ECONFIG where memory does not suffice. */
dcv_status dcv_network_open(dcv_network *net, const dcv_config *c, const dcv_network_options *o, dcv_share *share,
                            int threads) DCV_MUST_USE;
void dcv_network_close(dcv_network *net);

/* Fill in what the run-time asks of every such job. */
void dcv_network_describe(const dcv_network *net, dcv_job *job);

/* Declare /inputs (and /labels, and /model/class: what the network's classes are called). */
dcv_status dcv_network_declare(dcv_network *net, dcv_store *s) DCV_MUST_USE;

/* A thread's view for inputs of that size; good until the thread asks for the next one. */
dcv_status dcv_network_view(dcv_network *net, int thread, const dcv_dims *dims, dcv_view **out) DCV_MUST_USE;

int64_t dcv_network_units(const dcv_network *net);
int64_t dcv_network_unit_items(const dcv_network *net, int64_t unit);

/* The kind's read and drop. */
dcv_status dcv_network_read(dcv_network *net, int64_t unit, void **input) DCV_MUST_USE;
void dcv_network_drop(void *input);

/* Read one item's first network input; DCV_EDATA where it has NaN or infinity, as for items of units. */
dcv_status dcv_network_item(const dcv_network *net, int64_t item, dcv_item *to) DCV_MUST_USE;

/* Write an item's rows of /inputs but for what is known before; it NULL: the item failed. */
dcv_status dcv_network_put_row(const dcv_network *net, const dcv_item *it, int64_t item, dcv_result *r) DCV_MUST_USE;

/* Bytes that a view of another size than the largest takes: engine, weights of its own, walk.  DCV_EDATA where the
 * network cannot take that size. */
dcv_status dcv_network_view_bytes(const dcv_network *net, const dcv_dims *dims, int64_t *bytes) DCV_MUST_USE;

/* What the last message says of the network, without its file: a result must not depend on where that is. */
const char *dcv_network_message(const dcv_network *net);

/* What a job does with a unit's items, each of them may be NULL: alone is offered each item that has been read, and
 * where it takes it, nothing more is done with it.  Else knows is asked first, and where it says so, there is
 * no walk (of a group of one, which the job has kept from an earlier unit); group is called before the walk over up to
 * DCV_GROUP of them, see for each observed value (picture is its place in the group), walked after the walk of a group
 * (picture: the first inputs), done for each of its items; failed for an item that could not be read, or that done has
 * refused with DCV_EDATA before anything of it was put.  All in item order. */
typedef struct dcv_unit_actions {
    void *ctx;
    dcv_status (*alone)(void *ctx, const dcv_item *it, int64_t item, bool *taken, dcv_result *r);
    bool (*knows)(void *ctx, const dcv_view *view, int64_t item);
    dcv_observe_fn see;
    dcv_status (*group)(void *ctx, const dcv_view *view, const int64_t *item, int n);
    dcv_status (*walked)(void *ctx, const dcv_view *view, const int64_t *item, int n, const float *const *picture,
                         dcv_result *r);
    dcv_status (*done)(void *ctx, const dcv_view *view, int64_t item, int picture, dcv_result *r);
    dcv_status (*failed)(void *ctx, int64_t item, dcv_result *r);
} dcv_unit_actions;

/* Walk all pictures of a unit on a thread; writes their /inputs rows.  Takes input over. */
dcv_status dcv_network_unit(dcv_network *net, int64_t unit, int thread, void *input, const dcv_unit_actions *a,
                            dcv_result *r) DCV_MUST_USE;

/* Record that all items of a unit failed with message (the kind's fail_unit). */
dcv_status dcv_network_fail_unit(const dcv_network *net, int64_t unit, const char *message, const dcv_unit_actions *a,
                                 dcv_result *r) DCV_MUST_USE;

/* A job whose only phase, or whose phase 0, is the network's units; the kinds' own structs begin with it. */
typedef struct dcv_network_job {
    dcv_job base;
    dcv_network net;
} dcv_network_job;

/* Call-backs of such a kind, for one phase named as the job. */
dcv_status dcv_network_job_phase(dcv_job *job, int p, dcv_phase *out) DCV_MUST_USE;
int64_t dcv_network_job_items(const dcv_job *job, int p, int64_t unit);
double dcv_network_job_gflop(const dcv_job *job, int p, int64_t unit);
dcv_status dcv_network_job_read(dcv_job *job, int p, int64_t unit, void **input) DCV_MUST_USE;
void dcv_network_job_drop(dcv_job *job, void *input);
#define DCV_NETWORK_JOB                                                                                                \
    .phase = dcv_network_job_phase, .unit_items = dcv_network_job_items, .unit_gflop = dcv_network_job_gflop,          \
    .read = dcv_network_job_read, .drop = dcv_network_job_drop

/* Open net as dcv_network_open() does, and describe it to the run-time as a job of one phase. */
dcv_status dcv_network_job_open(dcv_network_job *job, const dcv_job_kind *kind, const dcv_config *c,
                                const dcv_network_options *o, dcv_share *share, int threads) DCV_MUST_USE;

/* Add what the job needs beside the walk to the bytes of a thread.  DCV_ECONFIG at runtime.memory if that is more than
 * there may be.
 *
 * what  it is for, as the start of a sentence: "maps of 3 targets"
 * less  what else could be asked for: ", or ask for fewer targets" */
dcv_status dcv_network_job_fits(dcv_network_job *job, double more_bytes, const char *what,
                                const char *less) DCV_MUST_USE;

/* Let a unit be fewer pictures, where each takes gflop rather than a walk forward. */
void dcv_network_cost(dcv_network *net, double gflop);

/* Extents of one item of a value of the network, without the batch axis. */
dcv_dims dcv_item_dims(const dcv_value *v);

/* A result's name of an ONNX value: '/' as '.'.  New memory. */
char *dcv_result_name(const char *value) DCV_MUST_USE;

/* DCV_ECONFIG at key, with both names, if two of n values would have the same result's name ("a/b" and "a.b"). */
dcv_status dcv_result_names_check(const dcv_config *c, const char *key, const char *const *value, int n) DCV_MUST_USE;

#endif
