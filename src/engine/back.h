/* back.h -- the walk back: its plan, what the walk forward keeps for it, and its memory.
 *
 * A signal is walked back node by node, consumers first.  What an operator's backward reads is kept by the walk
 * forward: gates and switches in the operator's own form, whole values where it reads those.  Levels are those of the
 * walk forward, from the last: at odd ones all signals go through each node together, at even ones one after the
 * other goes through all nodes of the level.
 */
#ifndef DCV_ENGINE_BACK_H
#define DCV_ENGINE_BACK_H

#include "deconvoy/rule.h"
#include "engine/adjoint.h"
#include "engine/plan.h"

typedef struct dcv_back_node {
    bool on;              /* between the network's inputs and a value that may be seeded */
    bool pass;            /* a BatchNormalization folded into the adjoint of its convolution */
    int y_block, x_block; /* layouts that its backward works in */
    dcv_adjoint *adjoint; /* convolutions */
    bool is_dense;
    bool shared;         /* a dense product that reads what the walk forward has packed */
    dcv_dense dense;     /* transposed; shared: as it goes forward */
    size_t packed, bias; /* offsets into packed memory */
    int64_t saved;       /* offset into what is kept of a picture, bytes; -1: nothing */
    size_t saved_bytes;
    int whole; /* the value that this node's activation of several nodes is a function of, or -1 */
    int gate;  /* input that gates it, or -1 */
} dcv_back_node;

/* The signal at a value. */
typedef struct dcv_back_value {
    bool on, seed;
    int block;
    int64_t held; /* offset into what is kept of a picture, bytes; -1: not kept */
    int into;     /* edges that bring a signal */
    int root;     /* value whose memory it shares */
    bool wide;    /* has room for all signals */
    int64_t floats, stride, offset;
    int first, last;          /* positions in order; roots */
    struct dcv_back_box *box; /* of a place walked back from here (back_box.h), or NULL */
} dcv_back_value;

typedef struct dcv_back {
    dcv_back_node *node;   /* [n_node] */
    dcv_back_value *value; /* [n_value] */
    int n_order, *order;   /* nodes, as the walk goes */
    size_t kept_bytes;     /* of one picture */
    int64_t signal_floats;
    size_t scratch_bytes; /* copies in other layouts, then the kernels' */
    int max_ends;         /* inputs and outputs of a node */
} dcv_back;

/* Before chains are made: which values are needed, so that they are not fused away.  DCV_EUNSUPPORTED names the
 * node that has no way back. */
dcv_status dcv_back_mark(dcv_engine *e) DCV_MUST_USE;
/* Once storage is planned; adds to packed_bytes. */
dcv_status dcv_back_plan(dcv_engine *e) DCV_MUST_USE;
dcv_status dcv_back_pack(const dcv_engine *e, char *to) DCV_MUST_USE;
void dcv_back_free(dcv_engine *e);

/* back_walk.c: one thread's memory. */
typedef struct dcv_back_walk dcv_back_walk;
size_t dcv_back_walk_bytes(const dcv_engine *e);
dcv_status dcv_back_walk_new(const dcv_engine *e, dcv_back_walk **out) DCV_MUST_USE;
void dcv_back_walk_free(dcv_back_walk *b);
void dcv_back_walk_poison(dcv_back_walk *b, bool kept);
/* Keep what step s has made of picture p; step -1: the inputs. */
void dcv_back_keep(dcv_back_walk *b, const dcv_walk *w, int step, int p);

/* What is kept of picture p, from byte at on. */
char *dcv_back_kept(const dcv_back_walk *b, int p, int64_t at);
/* As dcv_walk_backward(). */
void dcv_back_run(dcv_back_walk *b, const dcv_rule *rule, int from, const dcv_seed *seed, int n, int to,
                  float *const *out);
/* Called whenever something has come to the signal of value v; may change it. */
typedef void (*dcv_back_mask_fn)(void *ctx, int s, int v, const dcv_blob *signal);
void dcv_back_walk_mask(dcv_back_walk *b, dcv_back_mask_fn mask, void *ctx);

/* walk.c */
dcv_blob dcv_walk_spot(const dcv_walk *w, int spot, int p);
dcv_back_walk *dcv_walk_back(const dcv_walk *w);
int dcv_walk_pictures(const dcv_walk *w);

/* layers.c: x h(x) or GELU spelt out, ending in node: the value x, or -1; gate: input of node that gates x, or -1. */
int dcv_graph_whole(const dcv_graph *g, int node, int *gate);

#endif
