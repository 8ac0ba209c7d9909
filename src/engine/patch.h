/* patch.h -- what a network says of a picture with a window changed, computing only what the window reaches.
 *
 * A picture is walked once as it is; its activations are kept (the clean maps).  For each window every value has a box
 * (box.h).  The *head* is the network as far as changes stay local: a graph whose values are the boxes, where nodes
 * read their box with its halo, pasted together from box and clean map.  The *tail* is the rest, from the first
 * operator on that joins a whole map (global pooling, dense layers, attention): it runs on whole maps, boxes pasted
 * into the clean ones, several windows at a time.  Both are run by ordinary engines, on packed weights that they share.
 *
 * Windows whose boxes have the same sizes share one head (a *class*); where that saves heads, boxes are made larger: a
 * box may be too large at no cost but work, since what it holds beyond the change is the clean map computed again.
 *
 * Which windows share a head, box or whole map, is a function of graph and windows alone.
 */
#ifndef DCV_ENGINE_PATCH_H
#define DCV_ENGINE_PATCH_H

#include "deconvoy/engine.h"
#include "engine/box.h"

typedef struct dcv_patches dcv_patches;

typedef struct dcv_patches_options {
    dcv_precision precision;
    dcv_backend_kind backend;
    const dcv_span
        *window[2]; /* rows, columns of the first graph input: any row span with any column span is a window */
    int n_window[2];
    const int *seen; /* values that the observer wants; n_seen of them.  Only what they need is computed */
    int n_seen;
    int64_t pictures; /* about so many will be walked: more heads pay then */
} dcv_patches_options;

/* Plan for a graph [1,C,H,W] -> ..., of one input.  g must outlive it.  DCV_ENOMEM. */
dcv_status dcv_patches_new(const dcv_graph *g, const dcv_patches_options *o, dcv_patches **out) DCV_MUST_USE;
void dcv_patches_free(dcv_patches *p); /* NULL is allowed; after its walks */

/* Values whose clean maps are needed: e below must show them.  to: room for n_value.  Returns how many. */
int dcv_patches_clean(const dcv_patches *p, int *to);

/* Multiply-adds of one window, by row and column of windows; and of any window by a walk forward of all. */
int64_t dcv_patches_macs(const dcv_patches *p, int row, int column);
int64_t dcv_patches_full(const dcv_patches *p);

/* The first node that spreads a change over the whole map and is followed by more than a head of global pooling and
 * dense layers, so that convolutions or products of tokens behind it are computed in full; -1: none. */
int dcv_patches_falls_back(const dcv_patches *p);

/* The engine that walks clean pictures and lends its weights.  It must outlive p.  Once, before the first walk.  Makes
 * the largest head, from whose walk the memory of all is known. */
dcv_status dcv_patches_attach(dcv_patches *p, const dcv_engine *e) DCV_MUST_USE;

/* Floats that the clean maps of a picture take, after dcv_patches_attach(): the same for all patches of equal graphs
 * and windows. */
size_t dcv_patches_clean_floats(const dcv_patches *p);

/* One thread's memory. */
typedef struct dcv_patch_walk dcv_patch_walk;
dcv_status dcv_patch_walk_new(dcv_patches *p, dcv_patch_walk **out) DCV_MUST_USE;
void dcv_patch_walk_free(dcv_patch_walk *w);       /* NULL is allowed */
size_t dcv_patch_walk_bytes(const dcv_patches *p); /* with what the heads' walks take, without clean maps */

/* Look at the clean maps of a picture there, 64-byte aligned, the caller's; threads may share them.  Once for each
 * picture, before it is kept or walked. */
void dcv_patch_walk_clean_at(dcv_patch_walk *w, float *maps);

/* Keep a value of the clean picture; from the observer of its walk. */
void dcv_patch_walk_keep(dcv_patch_walk *w, int value, const dcv_blob *b);

/* The clean map of a value that dcv_patches_clean() names. */
dcv_blob dcv_patch_walk_clean(const dcv_patch_walk *w, int value);

/* A seen value of window k (place in the call): the box of it that was computed anew, rows and columns of the map;
 * elsewhere it is the clean one.  Values that do not change are not shown.  b has the box's extents. */
typedef void (*dcv_patch_fn)(void *ctx, int k, int value, const dcv_blob *b, const dcv_span box[2]);

/* Walk n windows: at[k] row and column of each.  Those of one head go together; they are shown in any order.
 *
 * fill   [C] what windows hold
 *
 * A window's numbers do not depend on n nor on its neighbours.  Heads are made when first met: DCV_ENOMEM. */
dcv_status dcv_patch_walk_run(dcv_patch_walk *w, int n, const int (*at)[2], const float *fill, dcv_patch_fn see,
                              void *ctx) DCV_MUST_USE;

#endif
