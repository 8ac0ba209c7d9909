/* protocol.h -- what the messages carry.
 *
 * A phase of a worker:  HELLO(n): I want n more grants  ->  GRANT ...  ->  DONE ...  ->  until STOP;
 * then what is under way ends and is reported, and BYE closes the phase.  Tags are not ordered among
 * each other: STOP carries the number of grants, BYE that of HELLOs and DONEs, and a side is through only when it has
 * seen as many.  So no message of a phase is under way when the next one begins.
 *
 * That it ends: STOP goes to every worker once, for after it the master grants nothing; a
 * worker then holds finitely many units and starts none, so it comes to BYE; the master waits for nothing but BYEs.
 */
#ifndef DCV_RUNTIME_PROTOCOL_H
#define DCV_RUNTIME_PROTOCOL_H

#include "deconvoy/worklist.h"
#include "runtime/wire.h"

typedef struct hello {
    int32_t wants; /* more grants */
    int64_t units; /* computed since the last HELLO, in seconds */
    double seconds;
} hello;

typedef struct stop {
    int64_t n_grants; /* sent to this worker in this phase */
} stop;

typedef struct bye {
    int64_t n_hellos, n_dones;
} bye;

/* DONE is a row of entries.  What a unit wrote and which items failed stands before the
 * DONE_UNITS that makes it count, possibly in an earlier message. */
typedef enum done_kind {
    DONE_WROTE = 1, /* a = offset, b = bytes, crc */
    DONE_FAILED,    /* a = item; FAILURE_TEXT bytes follow */
    DONE_UNITS,     /* number = grant, a = first, b = count */
    DONE_FAULT      /* number = dcv_status: this rank must stop, and so must all */
} done_kind;

typedef struct done_entry {
    int32_t kind, number;
    int64_t a, b;
    uint32_t crc, pad;
} done_entry;

#endif
