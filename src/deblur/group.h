/* group.h -- the ranks that share one object, as the deblur layer sees them: this layer's door to MPI.
 *
 * A group of one needs no MPI.  Calls with the word collective are made by all ranks of the group, by the main thread.
 */
#ifndef DCV_DEBLUR_GROUP_H
#define DCV_DEBLUR_GROUP_H

#include <stdbool.h>
#include <stdint.h>
#include "deconvoy/status.h"

typedef struct group group;

/* comm: MPI_Comm_c2f() of a communicator that lives as long, or -1 for this process alone.
 * DCV_ENOMEM on all ranks; *out is to be freed all the same.  Collective. */
dcv_status group_new(int comm, group **out) DCV_MUST_USE;
void group_free(group *g); /* NULL is allowed.  Collective */
int group_rank(const group *g);
int group_size(const group *g);

/* Part r of n things shared out among size ranks: [part_first(n, r, size), part_first(n, r + 1, size)). */
static inline int64_t part_first(int64_t n, int r, int size)
{
    return n / size * r + n % size * r / size;
}

/* All ranks learn the worst status; a rank with a better one gets the other's message.  Collective. */
dcv_status group_agree(const group *g, dcv_status mine) DCV_MUST_USE;

/* From each rank its count[r] numbers, in rank order, to all; mine may be the place in all.  Collective. */
void group_gather(const group *g, const double *mine, double *all, const int64_t *count);
void group_max(const group *g, double *v, int n);       /* element-wise, to all.  Collective */
void group_add_u64(const group *g, uint64_t *v, int n); /* element-wise, to all.  Collective */

/* Messages to and from peers, all under way at once; several between two ranks keep their order.  Collective among
 * those who take part. */
typedef struct parcel {
    int peer;
    void *at;
    int64_t bytes;
} parcel;
void group_exchange(group *g, const parcel *in, int n_in, const parcel *out, int n_out);

#endif
