/* rows.h -- real transforms of rows, up to 16 at a time, into the columns' layout and back.
 *
 * The half spectrum of a row, m/2+1 columns, is spread over chunks of LANES columns: chunk b of row i lies at
 * base + b * step + i * PAIR, real parts first; lanes beyond the last column are 0.  What a row becomes does not depend
 * on the rows beside it.
 *
 * Compiled twice, see deblur/real.h.  Local.
 */
#ifndef DCV_DEBLUR_ROWS_H
#define DCV_DEBLUR_ROWS_H

#include "deblur/slab/lanes.h"

#define rows         N(rows)
#define rows_new     N(rows_new)
#define rows_free    N(rows_free)
#define rows_most    N(rows_most)
#define rows_room    N(rows_room)
#define rows_at      N(rows_at)
#define rows_back    N(rows_back)
#define rows_forward N(rows_forward)
#define rows_plain   N(rows_plain)
#define rows_bytes   N(rows_bytes)

typedef struct rows rows;

/* m >= 1 samples.  many: rows come in numbers, so that 16 side by side pay (where m allows).  DCV_ENOMEM. */
dcv_status rows_new(int64_t m, bool many, rows **out) DCV_MUST_USE;
void rows_free(rows *r); /* NULL is allowed */

static inline int64_t row_chunks(int64_t m)
{
    return (m / 2 + 1 + LANES - 1) / LANES;
}

int64_t rows_most(int64_t m, bool many);  /* rows at a time */
int64_t rows_room(int64_t m, bool many);  /* reals that a thread needs */
int64_t rows_bytes(int64_t m, bool many); /* that rows_new() holds, about */

/* Samples of row i, aligned to 64 bytes. */
real *rows_at(const rows *r, real *room, int64_t i);

/* n <= rows_most() rows between their spectra and rows_at().  Unnormalised. */
void rows_back(const rows *r, const real *base, int64_t step, int64_t n, real *room);
void rows_forward(const rows *r, real *base, int64_t step, int64_t n, real *room);

/* One row of m samples in place, with room for m/2+1 complex numbers (re, im), aligned to 64 bytes. */
void rows_plain(const rows *r, bool back, real *at);

#endif
