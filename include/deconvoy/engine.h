/* engine.h -- a compiled network and its walks.  No MPI.
 *
 * dcv_engine is immutable once made and shared by all threads; dcv_walk is one thread's memory.
 * Everything that can change a bit (back end per operator, Winograd or direct, layouts, heights of
 * products) is a function of graph, precision, back end and instruction set alone.
 */
#ifndef DECONVOY_ENGINE_H
#define DECONVOY_ENGINE_H

#include "deconvoy/config.h"
#include "deconvoy/op.h"

typedef enum dcv_backend_kind { DCV_BACKEND_BLAS, DCV_BACKEND_ONEDNN } dcv_backend_kind;

/* The back end in use: oneDNN where it was built in, unless DECONVOY_BACKEND=blas.
 * DCV_EUSAGE for an unknown or absent one. */
dcv_status dcv_backend_choose(dcv_backend_kind *out) DCV_MUST_USE;

/* "onednn 2.6.3 avx512" -- back end, version and instruction set: `numerics` of the contract. */
const char *dcv_backend_numerics(dcv_backend_kind b);

/* Use no instruction set above set (0 less than AVX2, 1 AVX2, 2 AVX-512) from here on: before any engine is made, and
 * before numerics are asked for.  DCV_EUNSUPPORTED where a library cannot. */
dcv_status dcv_backend_limit(int set) DCV_MUST_USE;

#define DCV_GROUP 8 /* pictures a walk takes at most, unless its engine has room for more */

typedef struct dcv_engine dcv_engine;
typedef struct dcv_walk dcv_walk;

/* Walks back from single places by boxes (engine/back_box.h): not planned, where they are cheaper, or wherever they can
 * be (tests). */
typedef enum dcv_boxes { DCV_BOXES_NONE, DCV_BOXES_CHEAPER, DCV_BOXES_ALL } dcv_boxes;

typedef struct dcv_engine_options {
    dcv_precision precision;
    dcv_backend_kind backend;
    const int *seen; /* values that the observer wants: never fused away; n_seen of them */
    int n_seen;
    const int *back; /* values that signals may be walked back from; none: no walk back, and nothing kept for it */
    int n_back;
    dcv_boxes boxes; /* of places of those values */
    /* An engine of the same model for another input shape, or NULL: packed weights that have the same form are its, or
     * those of the engine that it shares with itself.  They must be packed before the first walk and outlive this
     * engine. */
    const dcv_engine *share;
    /* The engine of the graph that g is a part of, or NULL: which convolutions may keep Winograd's weights is then as
     * there.  It must outlive this engine. */
    const dcv_engine *whole;
    /* 2 or more: so many pictures that walks will mostly have.  From the first convolution with many weights on the
     * group then goes through each step together, so that weights are read once, and kernels are chosen for so many. */
    int together;
    /* Boxes of windows (engine/patch.h) share this engine's weights, and no walk goes back: any convolution may keep
     * Winograd's weights, four times the direct ones, and small maps of many weights go through steps together. */
    bool windows;
    /* Pictures that a walk has room for; 0: DCV_GROUP, and no more with back.  Dense products read their weights once
     * for all of them. */
    int room;
    const int *input_block; /* layouts of the graph's inputs, [n_in]; NULL: row-major */
} dcv_engine_options;

/* Compile.  g must outlive the engine.  DCV_ENOMEM, DCV_EUNSUPPORTED. */
dcv_status dcv_engine_new(const dcv_graph *g, const dcv_engine_options *o, dcv_engine **out) DCV_MUST_USE;
void dcv_engine_free(dcv_engine *e);

/* Packed weights, in the back end's own layout: made once per node.  The bytes are a function of the engine. Either
 * pack into memory of the caller (64-byte aligned, of dcv_engine_packed_bytes()) and then attach it, or
 * attach what another process packed.  One of them before the first walk; without a caller's memory:
 * dcv_engine_pack_own(). */
size_t dcv_engine_packed_bytes(const dcv_engine *e);
dcv_status dcv_engine_pack(const dcv_engine *e, void *to) DCV_MUST_USE; /* DCV_ENOMEM */
void dcv_engine_attach(dcv_engine *e, const void *packed);
dcv_status dcv_engine_pack_own(dcv_engine *e) DCV_MUST_USE;

/* Give back the memory of the model's weights, which stand in the packed ones now.  After all ranks of a node have
 * packed or attached; then no other engine or graph of that model may be made. */
void dcv_engine_forget_weights(const dcv_engine *e);

/* Bytes of one walk (activations, scratch). */
size_t dcv_walk_bytes(const dcv_engine *e);
dcv_status dcv_walk_new(const dcv_engine *e, dcv_walk **out) DCV_MUST_USE;
void dcv_walk_free(dcv_walk *w);

/* Called for every seen value of every picture, as soon as it is there; b has n = 1.  The memory is good
 * during the call only. */
typedef void (*dcv_observe_fn)(void *ctx, int picture, int value, const dcv_blob *b);

/* Forward walk of n pictures, 1 .. DCV_GROUP or the engine's room.
 *
 * input     [n_in of the graph][n] pointers to row-major pictures
 * observe   may be NULL
 *
 * Allocates nothing.  A picture's numbers do not depend on n nor on its neighbours. */
void dcv_walk_forward(dcv_walk *w, int n, const float *const *const *input, dcv_observe_fn observe, void *ctx);

/* Shall walks forward keep what walks back need?  On at first; off spares its time where none will follow. */
void dcv_walk_keeps(dcv_walk *w, bool on);

/* A signal to be walked back: weight[i] at row-major cell at[i] of a value, 0 elsewhere, for a picture of the last
 * walk forward. */
typedef struct dcv_seed {
    int picture;
    int64_t n;
    const int64_t *at;
    const float *weight;
} dcv_seed;

struct dcv_rule; /* rule.h */

/* Walk n signals (1 .. DCV_GROUP) back from value from, which the engine's options list, to value to (a graph input, or
 * what from is made of) under a rule.
 *
 * out   [n] row-major, of to's size: the signal summed over all that read to, before the rule of the node that made
 *       it
 *
 * Allocates nothing; may be called any number of times after a walk forward.  A signal's numbers do not depend on n
 * nor on its neighbours. */
void dcv_walk_backward(dcv_walk *w, const struct dcv_rule *rule, int from, const dcv_seed *seed, int n, int to,
                       float *const *out);

/* Copy graph output o (index into g->out) of a picture of the last walk, row-major. */
void dcv_walk_output(const dcv_walk *w, int o, int picture, float *to);

/* Copy a blob of one picture to row-major memory. */
void dcv_blob_read(const dcv_blob *b, float *to);

/* Seconds that each node took in the last walk (bench --layers); NULL unless timing was turned on. */
void dcv_walk_time(dcv_walk *w, bool on);
const double *dcv_walk_seconds(const dcv_walk *w);

/* What runs a node: a kernel's name, "view" where there is nothing to do, NULL where it is fused into another. */
const char *dcv_engine_kernel(const dcv_engine *e, int node);

#endif
