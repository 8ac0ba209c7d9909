/* mosaic.h -- a large picture in tiles: pieces that are walked as pictures of their own, and the cells of the outputs
 * that each of them gives as a walk over the whole picture would.
 *
 * A cell of a piece is right if all that it reads, along rows and along columns, is right and lies where the whole
 * network would read it; what a border in the middle of the picture has touched is not.  This is asked of every
 * operator's carries() and reads() (op.h), cell by cell, for the piece and for the whole, so that padding, strides,
 * enlargement and dilation need no rule of their own.  A piece starts where all strides start anew, and at the
 * picture's own borders has them as its own.
 *
 * All tiles of a picture have one size, which is a function of network, size asked for and the picture's size alone.
 */
#ifndef DCV_ENGINE_MOSAIC_H
#define DCV_ENGINE_MOSAIC_H

#include "deconvoy/graph.h"

/* One row, or column, of tiles. */
typedef struct dcv_tile_row {
    int64_t first; /* where it starts in the picture */
    dcv_span *own; /* [n_out] the cells of each output that it gives, in the whole output; those of all rows join */
} dcv_tile_row;

typedef struct dcv_mosaic {
    dcv_dims dims; /* of a tile, [1,C,h,w] */
    int n_out;
    int n[2];              /* rows and columns of tiles */
    dcv_tile_row *tile[2]; /* [n] */
    int64_t step[2];       /* after how many cells all strides start anew; a multiple of all down */
    int64_t *up, *down;    /* [2][n_out] a tile that starts at f gives cells from f up / down on */
} dcv_mosaic;

/* Cut the picture that whole is built for, of one input [1,C,H,W].
 *
 * out      outputs (places in whole->out) that are wanted, n_out of them
 * tile_px  most rows and columns of a tile; a picture that is no larger is one
 *
 * DCV_EUNSUPPORTED where the network is not one that can be cut, naming the node; DCV_ECONFIG where tiles would have to
 * be larger, naming the least size that was found to do. */
dcv_status dcv_mosaic_new(const dcv_graph *whole, const int *out, int n_out, int64_t tile_px,
                          dcv_mosaic **to) DCV_MUST_USE;
void dcv_mosaic_free(dcv_mosaic *m); /* NULL is allowed */

/* The least size that is chosen where none is asked for, px. */
enum { dcv_mosaic_least = 512 };

/* The size to take where none is asked for: the first of a table of which tiles lose at most a fourth of a side to
 * overlap.  0: none can be cut; then the last message says why. */
int64_t dcv_mosaic_size(const dcv_graph *whole, const int *out, int n_out);

/* Cell of output o, along axis, that a tile that starts at cell first of the picture has as its cell 0. */
static inline int64_t dcv_mosaic_start(const dcv_mosaic *m, int axis, int o, int64_t first)
{
    return first * m->up[axis * m->n_out + o] / m->down[axis * m->n_out + o];
}

/* After what step of the picture's cells all strides start anew; 0 where the network cannot be cut. */
int64_t dcv_mosaic_step(const dcv_graph *whole, const int *out, int n_out);

#endif
