/* blocks.h -- states of blocks on disk, beside the output: OUT.h5.block.PHASE.BLOCK.{a,b,c}.
 *
 * A state after j units is a pure function of (block, j).  It is written to a, b and c in turn: while one is being
 * written, the newest one and the one before it are whole.  Two, for what is of use at resume is the newest whose units
 * the journal has, and the record of the newest may still be on its way.  Copies of a grant write to d, e and f, so that
 * a slow double never spoils what is further; complete states go to g.  A file carries plan, place, j, a generation and
 * CRCs.
 */
#ifndef DCV_RUNTIME_BLOCKS_H
#define DCV_RUNTIME_BLOCKS_H

#include "deconvoy/hash.h"
#include "runtime/part.h"

#define BLOCK_RUNNING (-1) /* "block" number of the running state: all blocks before number j, folded */

typedef struct block_place {
    const dcv_output *out;
    const dcv_sha256 *plan;
    int phase;
    int64_t block;
    size_t state_bytes;
} block_place;

/* Which file: partial states alternate by generation, a complete one has a place of its own and spoils neither. */
int block_slot(int copy, uint32_t generation, bool complete);

/* Write state after units units as generation.  *fd: the file, to be synced and closed.  DCV_EIO. */
dcv_status block_write(const block_place *at, int slot, uint32_t generation, int64_t units, const void *state,
                       int *fd) DCV_MUST_USE;

/* Read the valid state with the most units, or with exactly `exactly` units if that is >= 0.  *units is -1, *generation
 * 0 and state unspecified if there is none.  state NULL: only look.  *generation is the largest seen in the file with
 * these units. */
dcv_status block_read(const block_place *at, int64_t exactly, void *state, int64_t *units,
                      uint32_t *generation) DCV_MUST_USE;

/* Remove all files of a block. */
void block_remove(const block_place *at);

/* Remove everything that is called OUT.h5.block.*: a fresh start, or the end. */
dcv_status blocks_remove_all(const dcv_output *o) DCV_MUST_USE;

#endif
