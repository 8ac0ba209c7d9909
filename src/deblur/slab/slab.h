/* slab.h -- real transforms of a frame that is cut into slabs along its first axis: rows, then fused columns.
 *
 * A frame has three axes [m0, m1, m2] (a picture is [h, 1, w], a trace [1, 1, n]) for each of a few channels.  Each
 * rank holds consecutive planes of axis 0.  Rows and columns are transformed side by side in lanes that do not see each
 * other, so that every value is the same byte for byte on any number of ranks and threads.  Sums are kept for each
 * plane (or 16 columns), and added in their order.
 *
 * Between the passes the half spectrum of each plane lies in batches of 16 columns, all planes of a batch together:
 * the columns of a batch are worked on where they are, and what ranks exchange is sent from there.
 * Along axes 0 and 1 frequencies stand in the order of lanes.h, see slab_wave().
 * Transforms are not normalised: forward and back multiply by m0 m1 m2.
 *
 * Compiled twice, see deblur/real.h.  Collective on the group, main thread.
 */
#ifndef DCV_DEBLUR_SLAB_H
#define DCV_DEBLUR_SLAB_H

#include "deblur/group.h"
#include "deblur/pool.h"
#include "deblur/real.h"
#include "deblur/slab/lanes.h"

#define SLAB_LANES LANES /* columns in a batch */
#define SLAB_SUMS  8     /* at most */

#define slab         N(slab)
#define slab_new     N(slab_new)
#define slab_free    N(slab_free)
#define slab_planes  N(slab_planes)
#define slab_columns N(slab_columns)
#define slab_bytes   N(slab_bytes)
#define slab_wave    N(slab_wave)

typedef struct slab_shape {
    int64_t m[3];
    int channels;
} slab_shape;

typedef struct slab slab;
struct slab {
    slab_shape shape;
    group *group;      /* borrowed */
    pool *pool;        /* borrowed */
    int rank, ranks;   /* ranks with planes; rank >= ranks: this one only listens */
    int64_t n_columns; /* m1 (m2 / 2 + 1) */
    int64_t n_batches;
    int64_t first_plane, n_planes; /* of this rank */
    int64_t first_batch, n_own;    /* of this rank */
    struct slab_inside *in;
};

/* DCV_EDATA for axes beyond FFTW's limits, DCV_ENOMEM.  All ranks agree.  *out NULL after a failure. */
dcv_status slab_new(const slab_shape *shape, group *g, pool *p, slab **out) DCV_MUST_USE;
void slab_free(slab *s); /* NULL is allowed */

/* Bytes that a rank of ranks, near of which are on a node, holds for a slab, at most; a part of what the node shares
 * counted. */
int64_t slab_bytes(const slab_shape *shape, int ranks, int near, int threads);

/* Which frequency stands at a place of axis 0, or in row i1 of columns (axis 1). */
int64_t slab_wave(const slab *s, int axis, int64_t place);

/* What is done with one row (m2 values) on its way: thread is for scratch, sums (SLAB_SUMS, zero at
 * the start of each plane) may be added to. */
typedef struct slab_row {
    int channel, thread;
    int64_t i0, i1; /* place in the frame */
    real *at;
    double *sums;
} slab_row;
typedef void (*slab_row_fn)(void *ctx, const slab_row *r);

/* For each row: from the spectrum along axes 1 and 2 (BACK), fn, to that spectrum (FORWARD).  Without BACK, what fn
 * finds there is left over; without FORWARD, what it leaves there is lost. sums: [SLAB_SUMS], or NULL where nothing is
 * summed.  fn must not depend on the order of planes. */
enum { SLAB_BACK = 1, SLAB_FORWARD = 2 };
void slab_planes(slab *s, int how, slab_row_fn fn, void *ctx, double *sums);

/* What is done with a batch of columns: at [n][2][SLAB_LANES], places [place, place + n) of axis 0; lane l is column
 * first
 * + l = i1 (m2/2+1) + i2; those from n_columns on are padding.  own: number among this rank's batches.  A batch comes
 * in parts, each place once. */
typedef struct slab_batch {
    int channel, thread;
    int64_t own, first, place, n;
    real *at;
    double *sums;
} slab_batch;
typedef void (*slab_batch_fn)(void *ctx, const slab_batch *b);

/* For each batch: columns transformed along axis 0 (FORWARD), fn, back again (BACK).  maxima: sums are not added, their
 * maximum (at least 0) is taken.  With FORWARD alone, the columns are gone afterwards. */
void slab_columns(slab *s, int how, slab_batch_fn fn, void *ctx, double *sums, bool maxima);

#endif
