/* budget.c -- see budget.h. */
#include "runtime/budget.h"
#include "runtime/cache.h"
#include "runtime/file.h"

/* Rooms of the job's cache; what is left of a rank's spare memory. */
static dcv_status place_rooms(const dcv_config *c, const dcv_job *job, int node_ranks, int64_t least, int64_t *spare,
                              budget *out)
{
    if (!job->cache)
        return DCV_OK;
    const cache_sizes s = cache_sizes_of(job->cache, node_ranks);
    const int64_t fit = *spare / s.bytes * s.sharers + *spare % s.bytes * s.sharers / s.bytes;
    file_size_text each, rank, have;
    if (!fit)
        return dcv_config_fail(
            c, "runtime.memory",
            "%s is not enough for %lld threads: a rank needs %s, and %s of one item, which %d rank%s "
            "of a node share%s, %s",
            file_size_print(c->runtime.memory, have), (long long)c->runtime.threads, file_size_print(least, rank),
            cache_what(job->cache), s.sharers, s.sharers == 1 ? "" : "s", s.sharers == 1 ? "s" : "",
            file_size_print(s.bytes, each));
    out->sharers = s.sharers;
    out->rooms = fit < s.most ? fit : s.most;
    out->rooms_bytes = out->rooms * s.bytes;
    *spare -= (out->rooms_bytes + s.sharers - 1) / s.sharers;
    return DCV_OK;
}

dcv_status budget_of(const dcv_config *c, const dcv_job *job, const dcv_phase *phase, bool master, int node_ranks,
                     budget *out)
{
    const int64_t threads = c->runtime.threads, most = 2 * threads + 2;
    *out = (budget){.threads_bytes = threads * job->thread_bytes, .units_bytes = threads * job->unit_read_bytes};
    const int64_t masters = phase->chain > 0 ? 1 : 2; /* a running fold and a block; a chain is only looked at */
    out->states_bytes = (threads + (master ? masters : 0)) * (int64_t)phase->state_bytes;
    const int64_t least = out->threads_bytes + out->units_bytes + out->states_bytes;
    int64_t spare = c->runtime.memory - least;
    file_size_text need, have;
    if (spare < 0)
        return dcv_config_fail(c, "runtime.memory", "%s is not enough for %lld threads; phase %s needs %s",
                               file_size_print(c->runtime.memory, have), (long long)threads, phase->name,
                               file_size_print(least, need));
    DCV_TRY(place_rooms(c, job, node_ranks, least, &spare, out));
    const int64_t fits = job->unit_read_bytes > 0 ? spare / job->unit_read_bytes : most;
    out->read_ahead = (int)(fits < most ? fits : most);
    out->ahead_bytes = out->read_ahead * job->unit_read_bytes;
    return DCV_OK;
}
