/* group.c -- see group.h. */
#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "deblur/group.h"
#include "deconvoy/memory.h"

#define PIECE_BYTES ((int64_t)256 << 20) /* MPI counts are int */
#define TEXT_BYTES  1024

struct group {
    MPI_Comm comm;
    bool alone;
    int rank, size;
    int *counts, *places; /* [size] */
    MPI_Request *request;
    int n_request, room;
};

dcv_status group_new(int comm, group **out)
{
    group *g = *out = dcv_alloc(1, sizeof *g);
    DCV_CHECK(g); /* a few bytes, before the ranks can agree on anything */
    g->size = 1;
    g->alone = true;
    if (comm < 0)
        return DCV_OK;
    MPI_Comm_dup(MPI_Comm_f2c(comm), &g->comm);
    MPI_Comm_rank(g->comm, &g->rank);
    MPI_Comm_size(g->comm, &g->size);
    g->alone = false;
    g->counts = dcv_alloc((size_t)g->size, sizeof *g->counts);
    g->places = dcv_alloc((size_t)g->size, sizeof *g->places);
    return group_agree(g, g->counts && g->places ? DCV_OK : DCV_ENOMEM); /* the caller frees g all the same */
}

void group_free(group *g)
{
    if (!g)
        return;
    if (!g->alone)
        MPI_Comm_free(&g->comm);
    dcv_free(g->counts);
    dcv_free(g->places);
    dcv_free(g->request);
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
static void post(group *g, const parcel *p, bool in)
{
    for (int64_t at = 0; at < p->bytes; at += PIECE_BYTES) {
        const int64_t left = p->bytes - at;
        const int n = (int)(left < PIECE_BYTES ? left : PIECE_BYTES);
        if (g->n_request == g->room) { /* room for more requests; a rank cannot leave here alone */
            const int more = g->room ? 2 * g->room : 64;
            MPI_Request *grown = dcv_realloc(g->request, (size_t)g->room, (size_t)more, sizeof *grown);
            DCV_CHECK(grown);
            g->request = grown;
            g->room = more;
        }
        MPI_Request *r = &g->request[g->n_request++];
        if (in)
            MPI_Irecv((char *)p->at + at, n, MPI_BYTE, p->peer, 0, g->comm, r);
        else
            MPI_Isend((char *)p->at + at, n, MPI_BYTE, p->peer, 0, g->comm, r);
    }
}

void group_exchange(group *g, const parcel *in, int n_in, const parcel *out, int n_out)
{
    g->n_request = 0;
    for (int i = 0; i < n_in; i++)
        post(g, &in[i], true);
    for (int i = 0; i < n_out; i++)
        post(g, &out[i], false);
    if (g->n_request)
        MPI_Waitall(g->n_request, g->request, MPI_STATUSES_IGNORE);
}
