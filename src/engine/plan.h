/* plan.h -- what an engine is inside: steps in order, spots of values, where each lies.
 *
 * A *chain* is a convolution or dense product with what is fused into it.  A *step* is one thing that a walk
 * does: a chain, an operator, a change of layout, or nothing at all (a view).  A *spot* is a value in one
 * layout in one place; spots share memory where one is a part of the other (concatenation), or where the
 * one overwrites the other.
 *
 * Steps come in *levels*: at even levels one picture after the other goes through all steps of the level, at
 * odd ones the whole group goes through each step.  Only dense products, and what follows them on [1,C] values,
 * stand at odd levels.  What lives across levels has room for every picture of the group.
 *
 * The parts: fuse.c finds the chains, plan.c makes steps and spots, storage.c lays the spots out in the
 * arena, engine.c packs weights, walk.c runs the steps.
 */
#ifndef DCV_ENGINE_PLAN_H
#define DCV_ENGINE_PLAN_H

#include "deconvoy/engine.h"
#include "engine/conv.h"
#include "engine/dense.h"

typedef struct dcv_chain {
    int bn;          /* BatchNormalization folded in, or -1 */
    int sum, addend; /* Add fused in and the value that it adds, or -1 */
    int act;         /* activation fused in, or -1 */
    dcv_act act_kind;
    float lo, hi; /* of a clip; lo: the slope of a LeakyRelu */
    int last;     /* the node whose output the chain makes; the node itself where nothing is fused */
} dcv_chain;

typedef enum dcv_spot_kind { DCV_SPOT_NONE, DCV_SPOT_CONST, DCV_SPOT_INPUT, DCV_SPOT_ARENA } dcv_spot_kind;

typedef struct dcv_spot {
    dcv_spot_kind kind;
    int value;
    int block;
    int input;  /* INPUT: which one */
    int parent; /* spot whose memory this is part of, or -1 */
    int64_t at; /* floats from the parent's start */
    /* From storage.c: */
    int root;         /* the last parent */
    int64_t offset;   /* floats from the arena's start */
    int64_t n_stride; /* floats from a picture to the next; 0: room for one picture at a time */
    int64_t floats;   /* of one picture; roots only */
    int64_t room;     /* floats in the arena; roots only */
    int first, last;  /* steps; roots only */
    int level_lo, level_hi;
} dcv_spot;

typedef enum dcv_step_kind { DCV_STEP_OP, DCV_STEP_CONV, DCV_STEP_DENSE, DCV_STEP_COPY, DCV_STEP_VIEW } dcv_step_kind;

typedef struct dcv_step {
    dcv_step_kind kind;
    int node;            /* head of the chain */
    int level, pos, sub; /* order: level, then pos (the node that the step makes), then sub */
    int n_x, n_y;
    int *x, *y;              /* spots; -1 where left out */
    int addend;              /* spot that is added, until storage has put it into y[0]; -1 */
    const dcv_backend *back; /* that runs the convolution */
    dcv_conv *conv;
    dcv_conv_desc desc;
    dcv_dense dense;
    const dcv_engine *owner; /* whose packed memory has the weights */
    size_t packed, bias;     /* offsets into it */
} dcv_step;

struct dcv_engine {
    const dcv_graph *g;
    dcv_engine_options o;
    const dcv_backend *back;
    int room;                   /* pictures of a walk */
    dcv_arena *arena;           /* owns all arrays below */
    bool *seen, *keep;          /* [n_value] observed; alive to the end of the walk */
    bool *held;                 /* [n_value] wanted by the walk back: never fused away */
    struct dcv_back *back_plan; /* back.h; NULL: no walk back */
    bool *direct;               /* [n_node of the model] convolutions that may not be wound, for their weights' sake */
    bool *grouped;              /* [n_node] runs for the group at once */
    int *level;                 /* [n_node] */
    int *owner;                 /* [n_node] head of the chain that the node is in, itself mostly */
    dcv_chain *chain;           /* [n_node] of heads */
    int n_spot, room_spot;
    dcv_spot *spot;
    int *home;  /* [n_value] the spot that the producer makes, -1: none */
    int *other; /* [n_value] a copy in the other layout, -1: none */
    int n_step, room_step;
    dcv_step *step;
    int *step_of; /* [n_node] the step that the node is in */
    int64_t arena_floats;
    size_t scratch_bytes, packed_bytes;
    int max_x, max_y;
    const char *packed;
    void *own_packed;
};

/* fuse.c: levels and chains. */
void dcv_plan_levels(dcv_engine *e);
void dcv_plan_chains(dcv_engine *e);
bool dcv_plan_is(const dcv_engine *e, int node, const char *op);
/* Description of a convolution (transposed ones are some) or dense product with constant weights, without what is fused
 * into it; false for other nodes, which are run as plain operators. */
bool dcv_plan_conv(const dcv_engine *e, int node, dcv_conv_desc *d);
bool dcv_plan_dense(const dcv_engine *e, int node, dcv_dense *d);

/* weights.c: fills direct. */
dcv_status dcv_plan_weights(dcv_engine *e) DCV_MUST_USE;

/* plan.c: steps and spots. */
dcv_status dcv_plan_steps(dcv_engine *e) DCV_MUST_USE;
dcv_step *dcv_plan_add_step(dcv_engine *e, dcv_step_kind kind, int node, int sub, int n_x, int n_y);

/* storage.c: memory of spots; may add steps that copy; sorts the steps. */
dcv_status dcv_plan_storage(dcv_engine *e) DCV_MUST_USE;
int64_t dcv_spot_floats(const dcv_engine *e, int spot);

/* layout.c: copy one picture from a layout to another. */
void dcv_blob_copy(const dcv_blob *from, const dcv_blob *to);

/* walk.c: a walk without memory of its own, which lends it before each walk forward: dcv_walk_memory() floats of arena
 * and bytes of scratch, 64-byte aligned. */
dcv_status dcv_walk_new_bare(const dcv_engine *e, dcv_walk **out) DCV_MUST_USE;
void dcv_walk_memory(const dcv_engine *e, size_t *arena_floats, size_t *scratch_bytes);
void dcv_walk_lend(dcv_walk *w, float *arena, void *scratch);

/* walk.c: fill the arena with NaN (tests: nothing is read that was not written). */
void dcv_walk_poison(dcv_walk *w);

#endif
