/* wire.h -- the only door to MPI: small messages, sleeping collectives.
 *
 * Nobody blocks in MPI: sends are posted and forgotten, messages are asked for, and
 * collectives are waited for with sleeps.  Without MPI (not initialised) there is one rank and all of this is
 * local.  Main thread only.
 */
#ifndef DCV_RUNTIME_WIRE_H
#define DCV_RUNTIME_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include "deconvoy/status.h"

#define WIRE_MAX 3968 /* bytes of a message: eager on every transport */

typedef enum wire_tag {
    WIRE_HELLO, /* worker -> master: I want that many more grants */
    WIRE_GRANT, /* master -> worker */
    WIRE_DONE,  /* worker -> master: what was written, what failed, what is finished */
    WIRE_STOP,  /* master -> worker: no more grants in this phase, and why */
    WIRE_BYE,   /* worker -> master: I have reported everything */
    WIRE_N_TAGS
} wire_tag;

typedef struct wire_message {
    wire_tag tag;
    int from;
    size_t bytes;
    _Alignas(8) unsigned char body[WIRE_MAX];
} wire_message;

typedef enum wire_group { WIRE_WORLD, WIRE_NODE, WIRE_N_GROUPS } wire_group;

/* Collective on the world, the first time. */
int wire_rank(wire_group g);
int wire_size(wire_group g);

/* The world for libraries that pass messages of their own: MPI_Comm_c2f(); -1: one rank. */
int wire_comm(void);

/* Post the receives, and take them back (collective: no message may be under way). */
void wire_listen(void);
void wire_deaf(void);

/* Send a copy of body.  Messages of one tag to one rank keep their order. */
void wire_send(int to, wire_tag tag, const void *body, size_t bytes);

/* The next message that has come, if any. */
bool wire_next(wire_message *out);

/* Collective: waited for with sleeps. */
void wire_bcast(wire_group g, int root, void *at, int64_t bytes);
void wire_max_i32(wire_group g, int32_t *v, int n); /* element-wise maximum, to all */
void wire_sum_f64(double *v, int n);                /* over the world, to all */
void wire_max_i64(int64_t *v, int n);
void wire_or_u32(uint32_t *v, int n);                     /* bitwise, over the world, to all */
void wire_gather(const void *mine, void *all, int bytes); /* to rank 0: all[rank] */

/* How long to sleep when nothing happened tries times in a row: 0, then 50 us, then 1 ms. */
double wire_nap_s(int tries);

#endif
