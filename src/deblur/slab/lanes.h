/* lanes.h -- complex transforms of 16 columns side by side.
 *
 * Columns lie as [m][2][LANES]: for each place the real parts of all lanes, then the imaginary ones.  A lane sees the
 * same sums and products whatever stands in the others and whatever instruction set computes them.  The spectrum
 * stays in the order in which it falls out (digits reversed): lanes_wave() says which frequency is where.
 *
 * m = 2^a 3^b 5^c 7^d is computed here, in two sweeps through the cache; other lengths by FFTW.
 * Compiled twice, see deblur/real.h.  Local.
 */
#ifndef DCV_DEBLUR_LANES_H
#define DCV_DEBLUR_LANES_H

#include <stdbool.h>
#include <stdint.h>
#include "deblur/real.h"
#include "deconvoy/status.h"

#define LANES 16
#define PAIR  (2 * LANES) /* reals at a place */

#define lanes        N(lanes)
#define lanes_new    N(lanes_new)
#define lanes_free   N(lanes_free)
#define lanes_smooth N(lanes_smooth)
#define lanes_wave   N(lanes_wave)
#define lanes_places N(lanes_places)
#define lanes_run    N(lanes_run)
#define lanes_bytes  N(lanes_bytes)

enum { LANES_BACK = 1, LANES_FORWARD = 2 };

typedef struct lanes lanes;

/* m >= 1.  DCV_ENOMEM. */
dcv_status lanes_new(int64_t m, lanes **out) DCV_MUST_USE;
void lanes_free(lanes *l); /* NULL is allowed */

/* That lanes_new(m) holds, about. */
int64_t lanes_bytes(int64_t m);

/* Has m no prime factor beyond 7? */
bool lanes_smooth(int64_t m);

int64_t lanes_wave(const lanes *l, int64_t place);
const int64_t *lanes_places(const lanes *l); /* [m]: where frequencies are; NULL: in their natural order */

/* What is done with the spectrum at places [first, first + n), each part once: at [n][2][LANES]. */
typedef void (*lanes_fn)(void *ctx, int64_t first, int64_t n, real *at);

/* at [m][2][LANES], aligned to 64 bytes: to the spectrum (FORWARD), fn (may be NULL), and back (BACK); unnormalised. */
void lanes_run(const lanes *l, int how, real *at, lanes_fn fn, void *ctx);

#endif
