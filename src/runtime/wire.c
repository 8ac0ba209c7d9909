/* wire.c -- messages and collectives over MPI; see wire.h. */
#include <mpi.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/wire.h"
#include "deconvoy/memory.h"

#define PIECE_BYTES ((int64_t)256 << 20) /* MPI counts are int; transfers are cut well below that */
#define N_SPARE     8                    /* posted sends that may stay open before we look for finished ones */

typedef struct sending {
    MPI_Request request;
    bool open;
    _Alignas(8) unsigned char body[WIRE_MAX];
} sending;

typedef struct letter { /* to ourselves, or received and not yet asked for */
    struct letter *next;
    wire_message m;
} letter;

static struct {
    bool ready, mpi, listening;
    MPI_Comm comm[WIRE_N_GROUPS];
    int rank[WIRE_N_GROUPS], size[WIRE_N_GROUPS];
    MPI_Request receive[WIRE_N_TAGS];
    unsigned char inbox[WIRE_N_TAGS][WIRE_MAX];
    sending **sends;
    int n_sends;
    letter *first, *last, *spare;
} wire = {.size = {1, 1}};

static int on_finalize(MPI_Comm comm, int key, void *value, void *extra)
{
    (void)comm, (void)key, (void)value, (void)extra;
    for (int g = 0; g < WIRE_N_GROUPS; g++)
        MPI_Comm_free(&wire.comm[g]);
    wire.mpi = false;
    return MPI_SUCCESS;
}

static void start(void)
{
    int up = 0, down = 0;
    MPI_Initialized(&up);
    MPI_Finalized(&down);
    if (wire.ready || !up || down)
        return;
    wire.ready = wire.mpi = true;
    MPI_Comm_dup(MPI_COMM_WORLD, &wire.comm[WIRE_WORLD]);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &wire.comm[WIRE_NODE]);
    for (int g = 0; g < WIRE_N_GROUPS; g++) {
        MPI_Comm_rank(wire.comm[g], &wire.rank[g]);
        MPI_Comm_size(wire.comm[g], &wire.size[g]);
    }
    /* Attributes of COMM_SELF are deleted first in MPI_Finalize: the standard's way to be called then. */
    int key;
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, on_finalize, &key, NULL);
    MPI_Comm_set_attr(MPI_COMM_SELF, key, NULL);
    MPI_Comm_free_keyval(&key);
}

int wire_comm(void)
{
    return wire_size(WIRE_WORLD) > 1 ? (int)MPI_Comm_c2f(wire.comm[WIRE_WORLD]) : -1;
}

int wire_rank(wire_group g)
{
    start();
    return wire.rank[g];
}

int wire_size(wire_group g)
{
    start();
    return wire.size[g];
}

double wire_nap_s(int tries)
{
    return tries < 20 ? 0 : tries < 220 ? 50e-6 : 1e-3;
}

static void nap(int tries)
{
    const double s = wire_nap_s(tries);
    const struct timespec t = {.tv_nsec = (long)(s * 1e9)};
    if (s > 0)
        nanosleep(&t, NULL);
    else
        sched_yield();
}

static void settle(MPI_Request *r)
{
    int done = 0;
    for (int tries = 0; MPI_Test(r, &done, MPI_STATUS_IGNORE), !done; tries++)
        nap(tries);
}

static void post(int tag)
{
    MPI_Irecv(wire.inbox[tag], WIRE_MAX, MPI_BYTE, MPI_ANY_SOURCE, tag, wire.comm[WIRE_WORLD], &wire.receive[tag]);
}

void wire_listen(void)
{
    start();
    wire.listening = true;
    if (wire.size[WIRE_WORLD] == 1)
        return;
    for (int t = 0; t < WIRE_N_TAGS; t++)
        post(t);
}

void wire_deaf(void)
{
    if (!wire.listening)
        return;
    wire.listening = false;
    if (wire.size[WIRE_WORLD] > 1)
        for (int t = 0; t < WIRE_N_TAGS; t++) {
            MPI_Cancel(&wire.receive[t]);
            MPI_Wait(&wire.receive[t], MPI_STATUS_IGNORE);
        }
    for (int i = 0; i < wire.n_sends; i++) {
        if (wire.sends[i]->open)
            settle(&wire.sends[i]->request);
        dcv_free(wire.sends[i]);
    }
    dcv_free(wire.sends);
    wire.sends = NULL;
    wire.n_sends = 0;
    if (wire.last)
        wire.last->next = wire.spare;
    else
        wire.first = wire.spare;
    for (letter *l = wire.first, *next; l; l = next) {
        next = l->next;
        dcv_free(l);
    }
    wire.first = wire.last = wire.spare = NULL;
}

/* Memory that messages stand in is small and steady; without it nothing can be said any more. */
static void *must(void *p)
{
    DCV_CHECK(p);
    return p;
}

static void keep(int from, wire_tag tag, const void *body, size_t bytes)
{
    letter *l = wire.spare;
    if (l)
        wire.spare = l->next;
    else
        l = must(dcv_alloc(1, sizeof *l));
    l->next = NULL;
    l->m.tag = tag;
    l->m.from = from;
    l->m.bytes = bytes;
    if (bytes)
        memcpy(l->m.body, body, bytes);
    if (wire.last)
        wire.last->next = l;
    else
        wire.first = l;
    wire.last = l;
}

static sending *free_send(void)
{
    for (int i = 0; i < wire.n_sends; i++) {
        sending *s = wire.sends[i];
        int done = !s->open;
        if (s->open)
            MPI_Test(&s->request, &done, MPI_STATUS_IGNORE);
        if (done) {
            s->open = false;
            return s;
        }
    }
    wire.sends =
        must(dcv_realloc(wire.sends, (size_t)wire.n_sends, (size_t)wire.n_sends + N_SPARE, sizeof *wire.sends));
    for (int i = 0; i < N_SPARE; i++)
        wire.sends[wire.n_sends++] = must(dcv_alloc(1, sizeof(sending)));
    return wire.sends[wire.n_sends - 1];
}

void wire_send(int to, wire_tag tag, const void *body, size_t bytes)
{
    DCV_CHECK(bytes <= WIRE_MAX);
    if (to == wire.rank[WIRE_WORLD]) {
        keep(to, tag, body, bytes);
        return;
    }
    sending *s = free_send();
    if (bytes)
        memcpy(s->body, body, bytes);
    MPI_Isend(s->body, (int)bytes, MPI_BYTE, to, (int)tag, wire.comm[WIRE_WORLD], &s->request);
    s->open = true;
}

static void receive(void)
{
    int n = 0, which[WIRE_N_TAGS];
    MPI_Status status[WIRE_N_TAGS];
    MPI_Testsome(WIRE_N_TAGS, wire.receive, &n, which, status);
    for (int i = 0; i < n && n != MPI_UNDEFINED; i++) {
        int bytes = 0;
        MPI_Get_count(&status[i], MPI_BYTE, &bytes);
        keep(status[i].MPI_SOURCE, (wire_tag)which[i], wire.inbox[which[i]], (size_t)bytes);
        post(which[i]);
    }
}

bool wire_next(wire_message *out)
{
    if (!wire.first && wire.size[WIRE_WORLD] > 1 && wire.listening)
        receive();
    letter *l = wire.first;
    if (!l)
        return false;
    wire.first = l->next;
    if (!wire.first)
        wire.last = NULL;
    out->tag = l->m.tag;
    out->from = l->m.from;
    out->bytes = l->m.bytes;
    memcpy(out->body, l->m.body, l->m.bytes);
    l->next = wire.spare;
    wire.spare = l;
    return true;
}

void wire_bcast(wire_group g, int root, void *at, int64_t bytes)
{
    start();
    for (int64_t i = 0; i < bytes && wire.size[g] > 1; i += PIECE_BYTES) {
        const int64_t n = bytes - i < PIECE_BYTES ? bytes - i : PIECE_BYTES;
        MPI_Request r;
        MPI_Ibcast((char *)at + i, (int)n, MPI_BYTE, root, wire.comm[g], &r);
        settle(&r);
    }
}

static void reduce(wire_group g, void *v, int n, MPI_Datatype type, MPI_Op op)
{
    start();
    if (wire.size[g] < 2)
        return;
    MPI_Request r;
    MPI_Iallreduce(MPI_IN_PLACE, v, n, type, op, wire.comm[g], &r);
    settle(&r);
}

void wire_max_i32(wire_group g, int32_t *v, int n)
{
    reduce(g, v, n, MPI_INT32_T, MPI_MAX);
}

void wire_sum_f64(double *v, int n)
{
    reduce(WIRE_WORLD, v, n, MPI_DOUBLE, MPI_SUM);
}

void wire_max_i64(int64_t *v, int n)
{
    reduce(WIRE_WORLD, v, n, MPI_INT64_T, MPI_MAX);
}

void wire_or_u32(uint32_t *v, int n)
{
    reduce(WIRE_WORLD, v, n, MPI_UINT32_T, MPI_BOR);
}

void wire_gather(const void *mine, void *all, int bytes)
{
    start();
    if (wire.size[WIRE_WORLD] < 2) {
        memcpy(all, mine, (size_t)bytes);
        return;
    }
    MPI_Request r;
    MPI_Igather(mine, bytes, MPI_BYTE, all, bytes, MPI_BYTE, 0, wire.comm[WIRE_WORLD], &r);
    settle(&r);
}
