/* group.h -- the ranks that share one object, as the deblur layer sees them: this layer's door to MPI.
 *
 * A group of one needs no MPI.  Calls with the word collective are made by all ranks of the group, by the main thread.
 */
#ifndef DCV_DEBLUR_GROUP_H
#define DCV_DEBLUR_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "deconvoy/status.h"

typedef struct group group;

/* comm: MPI_Comm_c2f() of a communicator that lives as long, or -1 for this process alone.  Ranks are numbered so that
 * those of a node follow each other; the first stays the first.
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

/* The same in two steps, for something else to be done between them.  Messages of the two lots (0, 1) do not meet;
 * a lot ends before it begins again. */
void group_begin(group *g, int lot, const parcel *in, int n_in, const parcel *out, int n_out);
void group_end(group *g, int lot);

/* Nodes: ranks that see the same memory, [group_node_first(k), group_node_first(k + 1)) of them on node k.  Where /proc
 * or memfd_create() is refused, each rank is a node.  DECONVOY_NODES=n (for tests): ranks of a node are dealt out in
 * turn to n. */
int group_node(const group *g);
int group_nodes(const group *g);
int group_node_first(const group *g, int node);

/* bytes of zeros that the ranks of this node see (each at an address of its own), of which this one takes the memory
 * for [from, to) from the system.  NULL (and a message) after a failure, on all ranks of the node.  Collective on the
 * node. */
void *group_share(const group *g, size_t bytes, size_t from, size_t to) DCV_MUST_USE;
void group_unshare(void *at, size_t bytes); /* at NULL is allowed.  Local */

/* What ranks of this node have written before, all of them see afterwards.  Collective on the node. */
void group_meet(const group *g);

#endif
