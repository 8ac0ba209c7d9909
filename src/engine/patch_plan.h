/* patch_plan.h -- what patches are inside.
 *
 * The parts: patch_plan.c finds boxes, what stays local, and classes; patch_graph.c makes the graphs of heads and tail;
 * patch_op.c is the operator that pastes; patch_walk.c runs them.
 */
#ifndef DCV_ENGINE_PATCH_PLAN_H
#define DCV_ENGINE_PATCH_PLAN_H

#include <pthread.h>
#include "engine/patch.h"
#include "engine/plan.h"

typedef enum dcv_patch_kind {
    DCV_PATCH_NONE,  /* does not depend on the input */
    DCV_PATCH_LOCAL, /* changes in a box */
    DCV_PATCH_WHOLE  /* changes everywhere */
} dcv_patch_kind;

/* A head's graph and engine. */
typedef struct dcv_patch_head {
    dcv_arena *arena;
    dcv_graph g;
    int64_t macs;
    int n_paste, *paste; /* nodes of g that paste, in the order of their places */
    dcv_engine *engine;  /* NULL: not met yet */
} dcv_patch_head;

struct dcv_patches {
    const dcv_graph *g;
    dcv_patches_options o;
    dcv_arena *arena; /* owns all arrays */
    dcv_span *window[2];
    bool *seen, *needed;          /* [n_value] seen; something seen is made of it */
    dcv_patch_kind *kind;         /* [n_value] */
    dcv_span *exact[2];           /* [n_window][n_value] */
    int n_class[2], *class_of[2]; /* [n_window] */
    int64_t *size[2];             /* [n_class][n_value] extents of boxes */
    bool *cut;                    /* [n_value] local, and read by the tail */
    bool *clean;                  /* [n_value] clean maps are needed */
    int *clean_block;             /* [n_value] their layouts */
    int64_t *clean_at;            /* [n_value] floats from the start */
    int64_t clean_floats;
    dcv_patch_head *head; /* [n_class[0] * n_class[1]] */
    dcv_patch_head tail;  /* no node: there is none */
    int tail_room;        /* windows that it takes at once */
    int tail_waits;       /* windows that it waits for */
    int slots;            /* windows between head and tail: those that wait, and a group on its way through a head */
    const dcv_engine *engine; /* clean walks */
    const dcv_engine *last;   /* the engine made last: lends to the next */
    pthread_mutex_t lock;
    bool locks;
};

/* The box of value v in a window of a head: sizes of the head's class, position by the exact span. */
dcv_span dcv_patch_box(const dcv_patches *p, const dcv_patch_head *h, int axis, int window, int v);

/* Is anything seen made of a node's outputs?  What its outputs are then; NONE else. */
bool dcv_patch_needs(const dcv_patches *p, int node);
dcv_patch_kind dcv_patch_kind_of(const dcv_patches *p, int node);

/* patch_graph.c */
dcv_status dcv_patch_head_make(dcv_patches *p, int row_class, int column_class, dcv_patch_head *h) DCV_MUST_USE;
dcv_status dcv_patch_tail_make(dcv_patches *p) DCV_MUST_USE;
void dcv_patch_head_clear(dcv_patch_head *h);

/* patch_op.c: y = a region of the clean map, or border where that lies outside, with the box pasted over it.
 *
 * inputs  box [1,C,h,w], or left out; places (4 numbers a paste: row and column of the region in the map, row and
 * column of the box in the region); the clean map, as memory output  [1,C,region]; its clean map's extents and layout
 * are attributes */
typedef struct dcv_patch_attr {
    dcv_dims map; /* of the whole value */
    int block, place;
    int value, node, input; /* what is pasted, and for which input of which node of the whole graph */
    float border; /* NaN: the nearest cell of the map */
} dcv_patch_attr;
extern const dcv_op dcv_op_patch;

/* Copy a rectangle of all channels between maps of any layouts: rows and columns of from, to its place in to. */
void dcv_patch_copy(const dcv_blob *from, dcv_span rows, dcv_span columns, const dcv_blob *to, int64_t row,
                    int64_t column);

#endif
