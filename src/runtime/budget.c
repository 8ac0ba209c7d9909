/* budget.c -- see budget.h. */
#include "runtime/budget.h"
#include "runtime/file.h"

dcv_status budget_of(const dcv_config *c, const dcv_job *job, const dcv_phase *phase, bool master, budget *out)
{
    const int64_t threads = c->runtime.threads, most = 2 * threads + 2;
    *out = (budget){.threads_bytes = threads * job->thread_bytes, .units_bytes = threads * job->unit_read_bytes};
    const int64_t masters = phase->chain > 0 ? 1 : 2; /* a running fold and a block; a chain is only looked at */
    out->states_bytes = (threads + (master ? masters : 0)) * (int64_t)phase->state_bytes;
    const int64_t least = out->threads_bytes + out->units_bytes + out->states_bytes, spare = c->runtime.memory - least;
    file_size_text need, have;
    if (spare < 0)
        return dcv_config_fail(c, "runtime.memory", "%s is not enough for %lld threads; phase %s needs %s",
                               file_size_print(c->runtime.memory, have), (long long)threads, phase->name,
                               file_size_print(least, need));
    const int64_t fits = job->unit_read_bytes > 0 ? spare / job->unit_read_bytes : most;
    out->read_ahead = (int)(fits < most ? fits : most);
    out->ahead_bytes = out->read_ahead * job->unit_read_bytes;
    return DCV_OK;
}
