/* slab.h -- real transforms of a frame that is cut into slabs along its first axis: rows, then fused columns.
 *
 * A frame has three axes [m0, m1, m2] (a picture is [h, 1, w], a trace [1, 1, n]) for each of a few channels.  Each
 * rank holds consecutive planes of axis 0.  Rows and columns are transformed one by one, by 1-D plans that do not
 * depend on the distribution; columns go 16 at a time, always the same 16, so that every value is the same byte for
 * byte on any number of ranks and threads.  Sums are kept for each plane (or 16 columns), and added in their order.
 *
 * Along axis 0, the ranks exchange just the columns that are being worked on: no copy of the frame is needed.
 * Transforms are not normalised: forward and back multiply by m0 m1 m2.
 *
 * Compiled twice, see deblur/real.h.  Collective on the group, main thread.
 */
#ifndef DCV_DEBLUR_SLAB_H
#define DCV_DEBLUR_SLAB_H

#include "deblur/group.h"
#include "deblur/pool.h"
#include "deblur/real.h"

#define SLAB_LANES 16 /* columns in a batch */
#define SLAB_SUMS  8  /* at most */

#define slab         N(slab)
#define slab_new     N(slab_new)
#define slab_free    N(slab_free)
#define slab_planes  N(slab_planes)
#define slab_columns N(slab_columns)
#define slab_bytes   N(slab_bytes)

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
    int64_t row;       /* reals from one row to the next: 2 (m2 / 2 + 1), padded to 64 bytes */
    int64_t n_columns; /* m1 (m2 / 2 + 1) */
    int64_t n_batches;
    int64_t first_plane, n_planes; /* of this rank */
    int64_t first_batch, n_own;    /* of this rank */
    real *work;                    /* [channels][n_planes][m1][row] */
    struct slab_inside *in;
};

/* DCV_EDATA for axes beyond FFTW's limits, DCV_ENOMEM.  All ranks agree.  *out NULL after a failure. */
dcv_status slab_new(const slab_shape *shape, group *g, pool *p, slab **out) DCV_MUST_USE;
void slab_free(slab *s); /* NULL is allowed */

/* Bytes that a rank of ranks holds for a slab, at most. */
int64_t slab_bytes(const slab_shape *shape, int ranks, int threads);

/* What is done with one row of work (m2 values) on its way: thread is for scratch, sums (SLAB_SUMS, zero at
 * the start of each plane) may be added to. */
typedef struct slab_row {
    int channel, thread;
    int64_t i0, i1; /* place in the frame */
    real *at;
    double *sums;
} slab_row;
typedef void (*slab_row_fn)(void *ctx, const slab_row *r);

/* For each row: from the spectrum along axes 1 and 2 (BACK), fn (may be NULL), to that spectrum (FORWARD).
 * sums: [SLAB_SUMS], or NULL where nothing is summed.  fn must not depend on the order of planes. */
enum { SLAB_BACK = 1, SLAB_FORWARD = 2 };
void slab_planes(slab *s, int how, slab_row_fn fn, void *ctx, double *sums);

/* What is done with a batch of columns: at [m0][SLAB_LANES]; lane l is column first + l = i1 (m2/2+1) + i2; those from
 * n_columns on are padding.  own: number among this rank's batches. */
typedef struct slab_batch {
    int channel, thread;
    int64_t own, first;
    cplx *at;
    double *sums;
} slab_batch;
typedef void (*slab_batch_fn)(void *ctx, const slab_batch *b);

/* For each batch: columns of work, transformed along axis 0 (FORWARD), fn, back again into work (BACK).  maxima: sums
 * are not added, their maximum (at least 0) is taken. */
void slab_columns(slab *s, int how, slab_batch_fn fn, void *ctx, double *sums, bool maxima);

#endif
