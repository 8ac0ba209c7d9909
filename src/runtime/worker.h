/* worker.h -- a rank's side of the protocol: asks, passes grants to its team, syncs and reports.  Main thread only. */
#ifndef DCV_RUNTIME_WORKER_H
#define DCV_RUNTIME_WORKER_H

#include "runtime/team.h"
#include "runtime/wire.h"

typedef struct worker worker;

dcv_status worker_new(const team_options *o, worker **out) DCV_MUST_USE;
void worker_free(worker *w); /* NULL is allowed */

/* Begin phase p. */
dcv_status worker_phase(worker *w, int p, const dcv_phase *phase) DCV_MUST_USE;

/* A GRANT or STOP has come. */
void worker_hear(worker *w, const wire_message *m);

/* Do what can be done now.  True if anything was. */
bool worker_step(worker *w);

/* A signal came to this rank: the master is told, and stops all. */
void worker_stop(worker *w);

/* BYE is sent: this rank is through with the phase. */
bool worker_is_through(const worker *w);

/* What stopped this rank, DCV_OK if nothing did; the message is then that of the calling thread. */
dcv_status worker_status(const worker *w) DCV_MUST_USE;
const char *worker_message(const worker *w); /* of it, "" if none */

team *worker_team(worker *w);

#endif
