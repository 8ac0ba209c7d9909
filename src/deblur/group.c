/* group.c -- see group.h. */
#include <limits.h>
#include <mpi.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/pages.h"
#include "deblur/group.h"
#include "deconvoy/memory.h"

#define PIECE_BYTES ((int64_t)256 << 20) /* MPI counts are int */
#define TEXT_BYTES  1024
#define PROBE_BYTES 64
#define LOTS        2
#define NODES       "DECONVOY_NODES"

typedef struct requests {
    MPI_Request *at;
    int n, room;
} requests;

struct group {
    MPI_Comm comm, near; /* all; those of this node */
    bool alone;
    int rank, size;
    int node, nodes;
    int *first;           /* [size + 1]: ranks of nodes */
    int *counts, *places; /* [size] */
    requests lot[LOTS];
};

/* --- Nodes --------------------------------------------------------------------------- */

/* NULL on all ranks of near or on none.  */
static void *share(MPI_Comm near, size_t bytes, size_t from, size_t to, bool *no_memory)
{
    int rank;
    pages_ticket t;
    MPI_Comm_rank(near, &rank);
    int fd = rank == 0 ? pages_new("deconvoy-spectrum", bytes) : -1;
    pages_describe(fd, bytes, &t);
    MPI_Bcast(&t, sizeof t, MPI_BYTE, 0, near);
    if (rank > 0)
        fd = pages_open(&t, true);
    void *at = pages_map(fd, bytes, true);
    int wrong = !at ? 2 : !pages_fill(at, from, to);                /* the worst counts */
    MPI_Allreduce(MPI_IN_PLACE, &wrong, 1, MPI_INT, MPI_MAX, near); /* and nobody closes before all have mapped */
    if (fd >= 0)
        close(fd);
    *no_memory = wrong == 1;
    if (!wrong)
        return at;
    group_unshare(at, bytes);
    return NULL;
}

void *group_share(const group *g, size_t bytes, size_t from, size_t to)
{
    bool no_memory;
    void *at = share(g->near, bytes, from, to, &no_memory);
    if (!at)
        (void)dcv_fail(DCV_ENOMEM,
                       no_memory ? "out of memory: %zu bytes for the spectrum on this node"
                                 : "this node's ranks cannot share %zu bytes (memfd_create, /proc)",
                       bytes);
    return at;
}

void group_unshare(void *at, size_t bytes)
{
    if (at)
        munmap(at, bytes);
}

void group_meet(const group *g)
{
    if (group_node_first(g, g->node + 1) - group_node_first(g, g->node) == 1)
        return;
    atomic_thread_fence(memory_order_seq_cst);
    MPI_Barrier(g->near);
    atomic_thread_fence(memory_order_seq_cst);
}

int group_node(const group *g)
{
    return g->node;
}

int group_nodes(const group *g)
{
    return g->nodes;
}

int group_node_first(const group *g, int node)
{
    return g->first[node];
}

/* --- Making ---------------------------------------------------------------------------- */

/* The ranks of comm on this node, or, for tests, on this part of it. */
static void find_near(MPI_Comm comm, MPI_Comm *near)
{
    const char *parts = getenv(NODES);
    const int n = parts ? atoi(parts) : 1;
    int rank;
    bool no_memory;
    MPI_Comm node;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node);
    MPI_Comm_split(node, n > 1 ? rank % n : 0, rank, near);
    MPI_Comm_free(&node);
    void *at = share(*near, PROBE_BYTES, 0, PROBE_BYTES, &no_memory);
    if (!at) {
        MPI_Comm_free(near);
        MPI_Comm_dup(MPI_COMM_SELF, near);
    }
    group_unshare(at, PROBE_BYTES);
}

/* Ranks of all nodes, renumbered so that those of a node follow each other. */
static void join(group *g, MPI_Comm comm)
{
    int old, lowest;
    find_near(comm, &g->near);
    MPI_Comm_rank(comm, &old);
    MPI_Allreduce(&old, &lowest, 1, MPI_INT, MPI_MIN, g->near);
    MPI_Comm_split(comm, 0, lowest, &g->comm); /* of equal keys the old order decides */
    MPI_Comm_rank(g->comm, &g->rank);
    MPI_Comm_size(g->comm, &g->size);
}

static void number_nodes(group *g)
{
    int near_rank = 0;
    g->counts[0] = 1;
    if (!g->alone) {
        MPI_Comm_rank(g->near, &near_rank);
        const int begins = near_rank == 0;
        MPI_Allgather(&begins, 1, MPI_INT, g->counts, 1, MPI_INT, g->comm);
    }
    for (int r = 0; r < g->size; r++)
        if (g->counts[r]) {
            g->node += r > 0 && r <= g->rank;
            g->first[g->nodes++] = r;
        }
    g->first[g->nodes] = g->size;
}

dcv_status group_new(int comm, group **out)
{
    group *g = *out = dcv_alloc(1, sizeof *g);
    DCV_CHECK(g); /* a few bytes, before the ranks can agree on anything */
    g->size = 1;
    g->alone = comm < 0;
    if (!g->alone)
        join(g, MPI_Comm_f2c(comm));
    g->counts = dcv_alloc((size_t)g->size, sizeof *g->counts);
    g->places = dcv_alloc((size_t)g->size, sizeof *g->places);
    g->first = dcv_alloc((size_t)g->size + 1, sizeof *g->first);
    const dcv_status st = group_agree(g, g->counts && g->places && g->first ? DCV_OK : DCV_ENOMEM);
    if (st == DCV_OK)
        number_nodes(g);
    return st; /* the caller frees g all the same */
}

void group_free(group *g)
{
    if (!g)
        return;
    if (!g->alone) {
        MPI_Comm_free(&g->comm);
        MPI_Comm_free(&g->near);
    }
    dcv_free(g->first);
    dcv_free(g->counts);
    dcv_free(g->places);
    for (int k = 0; k < LOTS; k++)
        dcv_free(g->lot[k].at);
    dcv_free(g);
}

int group_rank(const group *g)
{
    return g->rank;
}

int group_size(const group *g)
{
    return g->size;
}

dcv_status group_agree(const group *g, dcv_status mine)
{
    struct {
        int status, rank;
    } here = {mine, g->rank}, worst;
    char text[TEXT_BYTES];
    if (g->size == 1)
        return mine;
    MPI_Allreduce(&here, &worst, 1, MPI_2INT, MPI_MAXLOC, g->comm);
    if (worst.status == DCV_OK)
        return DCV_OK;
    snprintf(text, sizeof text, "%s", dcv_message());
    MPI_Bcast(text, sizeof text, MPI_CHAR, worst.rank, g->comm);
    return dcv_fail((dcv_status)worst.status, "%s", text);
}

void group_gather(const group *g, const double *mine, double *all, const int64_t *count)
{
    if (g->size == 1) {
        if (mine != all)
            memcpy(all, mine, (size_t)count[0] * sizeof *all);
        return;
    }
    int64_t at = 0;
    for (int r = 0; r < g->size; r++) {
        DCV_CHECK(count[r] <= INT_MAX && at <= INT_MAX);
        g->counts[r] = (int)count[r];
        g->places[r] = (int)at;
        at += count[r];
    }
    if (mine == all + g->places[g->rank])
        MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DOUBLE, all, g->counts, g->places, MPI_DOUBLE, g->comm);
    else
        MPI_Allgatherv(mine, g->counts[g->rank], MPI_DOUBLE, all, g->counts, g->places, MPI_DOUBLE, g->comm);
}

void group_max(const group *g, double *v, int n)
{
    if (g->size > 1)
        MPI_Allreduce(MPI_IN_PLACE, v, n, MPI_DOUBLE, MPI_MAX, g->comm);
}

void group_add_u64(const group *g, uint64_t *v, int n)
{
    if (g->size > 1)
        MPI_Allreduce(MPI_IN_PLACE, v, n, MPI_UINT64_T, MPI_SUM, g->comm);
}

/* Posts one parcel in pieces that MPI can count. */
static void post(const group *g, int lot, requests *q, const parcel *p, bool in)
{
    for (int64_t at = 0; at < p->bytes; at += PIECE_BYTES) {
        const int64_t left = p->bytes - at;
        const int n = (int)(left < PIECE_BYTES ? left : PIECE_BYTES);
        if (q->n == q->room) { /* room for more requests; a rank cannot leave here alone */
            const int more = q->room ? 2 * q->room : 64;
            MPI_Request *grown = dcv_realloc(q->at, (size_t)q->room, (size_t)more, sizeof *grown);
            DCV_CHECK(grown);
            q->at = grown;
            q->room = more;
        }
        MPI_Request *r = &q->at[q->n++];
        if (in)
            MPI_Irecv((char *)p->at + at, n, MPI_BYTE, p->peer, lot, g->comm, r);
        else
            MPI_Isend((char *)p->at + at, n, MPI_BYTE, p->peer, lot, g->comm, r);
    }
}

void group_begin(group *g, int lot, const parcel *in, int n_in, const parcel *out, int n_out)
{
    requests *q = &g->lot[lot];
    DCV_CHECK(q->n == 0);
    for (int i = 0; i < n_in; i++)
        post(g, lot, q, &in[i], true);
    for (int i = 0; i < n_out; i++)
        post(g, lot, q, &out[i], false);
}

void group_end(group *g, int lot)
{
    requests *q = &g->lot[lot];
    if (q->n)
        MPI_Waitall(q->n, q->at, MPI_STATUSES_IGNORE);
    q->n = 0;
}

void group_exchange(group *g, const parcel *in, int n_in, const parcel *out, int n_out)
{
    group_begin(g, 0, in, n_in, out, n_out);
    group_end(g, 0);
}
