/* worklist.c -- two bitmaps, a cursor, and a table of what is out. */
#include "deconvoy/worklist.h"
#include "deconvoy/memory.h"

#define GRANT_S      4.0  /* a grant is at most this much work for a worker */
#define SILENT_S     30.0 /* a grant is not silent before that, nor before SILENT_TIMES its estimate */
#define SILENT_TIMES 10.0

typedef struct outgoing {
    dcv_range units;
    int worker; /* -1: this place is free */
    int copies; /* how often it was given again */
    bool is_copy;
    int next_free; /* place */
    int64_t left;  /* units not yet reported */
    double since_s;
} outgoing;

struct dcv_worklist {
    dcv_worklist_options o;
    int64_t block;          /* units a block */
    uint64_t *done, *taken; /* bitmaps; taken: out or done */
    int64_t cursor;         /* everything before it is taken */
    int64_t left, waiting;
    outgoing *out;
    int n_out, cap_out, free; /* free: a place that was given back, -1: none */
    int64_t timed_units;
    double timed_s;
};

int64_t dcv_block_units(int64_t n)
{
    const int64_t b = n / 1024;
    return b < 1 ? 1 : b > 64 ? 64 : b;
}

static bool bit(const uint64_t *map, int64_t i)
{
    return map[i >> 6] >> (i & 63) & 1;
}

/* Set a bit; true if it was clear. */
static bool bit_set(uint64_t *map, int64_t i)
{
    const uint64_t m = UINT64_C(1) << (i & 63);
    const bool was = map[i >> 6] & m;
    map[i >> 6] |= m;
    return !was;
}

dcv_status dcv_worklist_new(const dcv_worklist_options *o, dcv_worklist **out)
{
    *out = NULL;
    if (o->n_units < 0 || o->n_units > INT64_C(1) << 40 || o->workers < 1 || o->threads < 1)
        return dcv_fail(DCV_EINTERNAL, "a work list of %lld units, %d workers, %d threads", (long long)o->n_units,
                        o->workers, o->threads);
    dcv_worklist *w = dcv_alloc(1, sizeof *w);
    if (!w)
        return DCV_ENOMEM;
    w->o = *o;
    w->free = -1;
    w->block = o->block > 0 ? o->block : dcv_block_units(o->n_units);
    w->left = w->waiting = o->n_units;
    const size_t words = (size_t)(o->n_units / 64 + 1);
    w->done = dcv_alloc(words, sizeof *w->done);
    w->taken = dcv_alloc(words, sizeof *w->taken);
    if (!w->done || !w->taken) {
        dcv_worklist_free(w);
        return DCV_ENOMEM;
    }
    *out = w;
    return DCV_OK;
}

void dcv_worklist_free(dcv_worklist *w)
{
    if (!w)
        return;
    dcv_free(w->done);
    dcv_free(w->taken);
    dcv_free(w->out);
    dcv_free(w);
}

int64_t dcv_worklist_skip(dcv_worklist *w, dcv_range r)
{
    int64_t fresh = 0;
    for (int64_t i = r.first; i < r.first + r.count; i++) {
        w->waiting -= bit_set(w->taken, i);
        fresh += bit_set(w->done, i);
    }
    w->left -= fresh;
    return fresh;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

int64_t dcv_worklist_next_size(const dcv_worklist *w)
{
    if (w->o.gather)
        return w->block;
    const double unit_s = dcv_worklist_unit_s(w);
    double most = unit_s > 0 ? GRANT_S * w->o.threads / unit_s : 1;
    if (!(most < DCV_GRANT_MAX))
        most = DCV_GRANT_MAX;
    return clamp(w->waiting / (4 * (int64_t)w->o.workers), 1, clamp((int64_t)most, 1, DCV_GRANT_MAX));
}

/* A free place in the table, or -1. */
static int place(dcv_worklist *w)
{
    if (w->free >= 0) {
        const int i = w->free;
        w->free = w->out[i].next_free;
        return i;
    }
    if (w->n_out == w->cap_out) {
        const int cap = w->cap_out ? 2 * w->cap_out : 16;
        outgoing *grown = dcv_realloc(w->out, (size_t)w->cap_out, (size_t)cap, sizeof *grown);
        if (!grown)
            return -1;
        w->out = grown;
        w->cap_out = cap;
    }
    return w->n_out++;
}

static void give_back(dcv_worklist *w, int i)
{
    w->out[i].worker = -1;
    w->out[i].next_free = w->free;
    w->free = i;
}

/* The run of waiting units at the cursor, at most n and within one block where the phase gathers. */
static dcv_range waiting_run(dcv_worklist *w, int64_t n)
{
    while (w->cursor < w->o.n_units && bit(w->taken, w->cursor))
        w->cursor++;
    const int64_t first = w->cursor;
    int64_t end = first + n;
    if (w->o.gather)
        end = (first / w->block + 1) * w->block;
    if (end > w->o.n_units)
        end = w->o.n_units;
    dcv_range r = {first, 0};
    while (first + r.count < end && !bit(w->taken, first + r.count))
        r.count++;
    return r;
}

bool dcv_worklist_take(dcv_worklist *w, int worker, double now_s, dcv_grant *out)
{
    if (!w->waiting)
        return false;
    const int id = place(w);
    if (id < 0)
        return false; /* no memory: the caller asks again, when grants have been finished */
    const dcv_range r = waiting_run(w, dcv_worklist_next_size(w));
    for (int64_t i = r.first; i < r.first + r.count; i++)
        bit_set(w->taken, i);
    w->waiting -= r.count;
    w->out[id] = (outgoing){.units = r, .worker = worker, .left = r.count, .since_s = now_s};
    *out = (dcv_grant){.id = id, .units = r};
    return true;
}

static bool silent(const dcv_worklist *w, const outgoing *g, double now_s)
{
    const double estimate = SILENT_TIMES * dcv_worklist_unit_s(w) * (double)g->units.count;
    return now_s - g->since_s > (estimate > SILENT_S ? estimate : SILENT_S);
}

bool dcv_worklist_again(dcv_worklist *w, int worker, double now_s, dcv_grant *out)
{
    int oldest = -1;
    for (int i = 0; i < w->n_out; i++) {
        const outgoing *g = &w->out[i];
        if (g->worker < 0 || g->worker == worker || g->copies || g->is_copy || !silent(w, g, now_s))
            continue;
        if (w->o.gather && g->units.first % w->block)
            continue; /* its worker may have written over the state that it began with */
        if (oldest < 0 || g->since_s < w->out[oldest].since_s)
            oldest = i;
    }
    if (oldest < 0)
        return false;
    const int id = place(w);
    if (id < 0)
        return false;
    outgoing *from = &w->out[oldest];
    from->copies++;
    w->out[id] = (outgoing){
        .units = from->units, .worker = worker, .is_copy = true, .left = from->units.count, .since_s = now_s};
    *out = (dcv_grant){.id = id, .copy = 1, .units = from->units};
    return true;
}

dcv_status dcv_worklist_finish(dcv_worklist *w, int id, dcv_range r, int64_t *fresh)
{
    *fresh = 0;
    if (id < 0 || id >= w->n_out || w->out[id].worker < 0)
        return dcv_fail(DCV_EINTERNAL, "grant %d is not out", id);
    outgoing *g = &w->out[id];
    if (r.count < 0 || r.count > g->left || r.first < g->units.first ||
        r.first + r.count > g->units.first + g->units.count)
        return dcv_fail(DCV_EINTERNAL, "grant %d has no units %lld + %lld", id, (long long)r.first, (long long)r.count);
    for (int64_t i = r.first; i < r.first + r.count; i++)
        *fresh += bit_set(w->done, i);
    w->left -= *fresh;
    g->left -= r.count;
    if (!g->left)
        give_back(w, id);
    return DCV_OK;
}

void dcv_worklist_timed(dcv_worklist *w, int64_t units, double seconds)
{
    w->timed_units += units;
    w->timed_s += seconds > 0 ? seconds : 0;
}

double dcv_worklist_unit_s(const dcv_worklist *w)
{
    /* A nanosecond at least, so that "known" and "0" differ. */
    return w->timed_units ? w->timed_s / (double)w->timed_units + 1e-9 : 0;
}

bool dcv_worklist_is_done(const dcv_worklist *w, int64_t unit)
{
    return bit(w->done, unit);
}

bool dcv_worklist_block_is_done(const dcv_worklist *w, int64_t block)
{
    for (int64_t i = block * w->block; i < (block + 1) * w->block && i < w->o.n_units; i++)
        if (!bit(w->done, i))
            return false;
    return true;
}

int64_t dcv_worklist_left(const dcv_worklist *w)
{
    return w->left;
}

int64_t dcv_worklist_waiting(const dcv_worklist *w)
{
    return w->waiting;
}
