/* team.c -- see team.h.
 *
 * One lock guards everything; it is held for a few instructions at a time.  An engine thread that finds its unit not
 * read yet reads it itself, so a slow reader never leaves a thread idle; only a unit that is being read just now is
 * waited for (or passed over, where units are independent).
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/blocks.h"
#include "runtime/file.h"
#include "runtime/plan.h"
#include "runtime/team.h"
#include "deconvoy/memory.h"

#define STATE_S 4.0 /* a block's state is written at least this often */

typedef enum unit_is { UNIT_UNREAD, UNIT_READING, UNIT_READ, UNIT_TAKEN } unit_is;

typedef struct piece { /* a grant being worked on */
    struct piece *next;
    dcv_grant g;
    int64_t taken; /* all units before this one are taken */
    int64_t over;  /* units computed */
    int readers;   /* reading one of its units */
    int owner;     /* gathering: the engine thread, -1: none yet */
    uint8_t *is;   /* unit_is of each */
    void **input;
} piece;

typedef struct unit_task {
    piece *from;
    int64_t i; /* within the grant */
    void *input;
    bool is_read;
} unit_task;

typedef struct engine_thread {
    team *team;
    int number;
    pthread_t id;
    bool started;
    void *state; /* of the block under way */
    size_t state_bytes;
    uint32_t generation; /* of the block's newest file */
    double state_s;      /* when it was written */
    finished *hold;      /* finished units whose state is not yet in a file */
    int64_t n_saves;
    _Atomic int64_t unkept; /* number of a saving that is not yet reported: the state before it must stay; 0: none */
    bool lost;              /* that saving failed: what came after it is not kept either */
    team_times spent;
} engine_thread;

struct team {
    team_options o;
    const dcv_job_kind *kind;
    int p;
    dcv_phase phase;
    int64_t block_units;
    pthread_mutex_t lock;
    pthread_cond_t work, news; /* for threads; for the main thread */
    piece *pieces;
    finished *first, *last;
    engine_thread *engine, *reader;
    int n_readers;
    int running, ahead;    /* units under way; units read or being read ahead */
    int waiting;           /* engine threads that found nothing to do */
    atomic_bool cancelled; /* also read without the lock */
    bool quit, woken;
};

static void *engine_main(void *arg);
static void *reader_main(void *arg);

/* --- Pieces, under the lock -------------------------------------------------------- */

static void piece_free(team *t, piece *p)
{
    for (int64_t i = 0; p->input && i < p->g.units.count; i++)
        if (p->is[i] == UNIT_READ && p->input[i] && t->kind->drop)
            t->kind->drop(t->o.job, p->input[i]);
    dcv_free(p->is);
    dcv_free(p->input);
    dcv_free(p);
}

static void unlink_piece(team *t, piece *p)
{
    piece **at = &t->pieces;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    piece_free(t, p);
}

static bool gathers(const team *t)
{
    return t->phase.state_bytes > 0;
}

static bool take(team *t, piece *p, int64_t i, unit_task *out)
{
    *out = (unit_task){.from = p, .i = i};
    if (p->is[i] == UNIT_READ) {
        out->input = p->input[i];
        out->is_read = true;
        t->ahead--;
    }
    p->is[i] = UNIT_TAKEN;
    while (p->taken < p->g.units.count && p->is[p->taken] == UNIT_TAKEN)
        p->taken++;
    return true;
}

/* Where units are independent: the first that is read, or not being read. */
static bool pick_any(team *t, unit_task *out)
{
    for (piece *p = t->pieces; p; p = p->next)
        for (int64_t i = p->taken; i < p->g.units.count; i++)
            if (p->is[i] == UNIT_UNREAD || p->is[i] == UNIT_READ)
                return take(t, p, i, out);
    return false;
}

/* Where they gather: the next of my block, or the first of a block that nobody has. */
static bool pick_mine(team *t, int thread, unit_task *out)
{
    piece *mine = NULL;
    for (piece *p = t->pieces; p && !mine; p = p->next)
        if (p->owner == thread)
            mine = p;
    for (piece *p = t->pieces; p && !mine; p = p->next)
        if (p->owner < 0)
            mine = p;
    if (!mine)
        return false;
    mine->owner = thread;
    return mine->is[mine->taken] != UNIT_READING && take(t, mine, mine->taken, out);
}

static bool pick(team *t, int thread, unit_task *out)
{
    if (t->cancelled)
        return false;
    return gathers(t) ? pick_mine(t, thread, out) : pick_any(t, out);
}

/* The unit to read ahead: where the fewest are read already, the first grant on a tie. */
static bool pick_ahead(team *t, unit_task *out)
{
    if (t->cancelled || t->ahead >= t->o.read_ahead || !t->kind->read)
        return false;
    piece *best = NULL;
    int64_t best_i = 0, best_ahead = INT64_MAX;
    for (piece *p = t->pieces; p; p = p->next) {
        int64_t i = p->taken;
        while (i < p->g.units.count && p->is[i] != UNIT_UNREAD)
            i++;
        if (i == p->g.units.count || i - p->taken >= best_ahead)
            continue;
        best = p;
        best_i = i;
        best_ahead = gathers(t) ? i - p->taken : -1;
    }
    if (!best)
        return false;
    *out = (unit_task){.from = best, .i = best_i};
    best->is[best_i] = UNIT_READING;
    best->readers++;
    t->ahead++;
    return true;
}

/* A failure of the job stops this rank at once; the main thread tells the others. */
static void hand_out(team *t, finished *f)
{
    if (f->status != DCV_OK)
        t->cancelled = true;
    if (t->last)
        t->last->next = f;
    else
        t->first = f;
    t->last = f;
    pthread_cond_signal(&t->news);
}

/* --- Engine threads ---------------------------------------------------------------- */

static finished *finished_new(team *t, int grant, int64_t first)
{
    finished *f = dcv_alloc(1, sizeof *f);
    DCV_CHECK(f); /* a few hundred bytes */
    f->grant = grant;
    f->units.first = first;
    f->result.out = t->o.out;
    f->fd = -1;
    return f;
}

void finished_free(finished *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    result_clear(&f->result);
    dcv_free(f->message);
    dcv_free(f);
}

static block_place place_of(const team *t, int64_t block)
{
    return (block_place){t->o.out, t->o.plan, t->p, block, t->phase.state_bytes};
}

/* The state that a block has before the first unit of a grant. */
static dcv_status state_begin(engine_thread *e, const dcv_grant *g)
{
    team *t = e->team;
    const int64_t block = g->units.first / t->block_units, before = g->units.first - block * t->block_units;
    const block_place at = place_of(t, block);
    e->state_s = now_s();
    e->unkept = 0;
    if (!before) {
        e->generation = 0;
        t->kind->state_clear(t->o.job, t->p, e->state);
        return DCV_OK;
    }
    int64_t units;
    DCV_TRY(block_read(&at, before, e->state, &units, &e->generation));
    return units == before ? DCV_OK
                           : dcv_fail(DCV_EIO, "%s: the state of block %lld after %lld units is gone", t->o.out->final,
                                      (long long)block, (long long)before);
}

static dcv_status state_save(engine_thread *e, const dcv_grant *g, int64_t next_unit, finished *f)
{
    team *t = e->team;
    const int64_t block = g->units.first / t->block_units;
    const block_place at = place_of(t, block);
    const bool complete = next_unit == g->units.first + g->units.count;
    const double began = now_s();
    e->generation++;
    f->thread = e->number;
    if (!complete)
        e->unkept = f->save = ++e->n_saves;
    const dcv_status st = block_write(&at, block_slot(g->copy, e->generation, complete), e->generation,
                                      next_unit - block * t->block_units, e->state, &f->fd);
    e->state_s = now_s();
    e->spent.write_s += e->state_s - began;
    return st;
}

/* Should the state be written now?  The file before the newest one goes only once the newest one counts. */
static bool is_due(const engine_thread *e)
{
    return !e->unkept && (e->team->cancelled || now_s() - e->state_s >= STATE_S);
}

void team_kept(team *t, const finished *f)
{
    if (!f->save)
        return;
    pthread_mutex_lock(&t->lock);
    if (t->engine[f->thread].unkept == f->save)
        t->engine[f->thread].unkept = 0;
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->lock);
}

void team_lost(team *t, const finished *f)
{
    if (!f->save)
        return;
    pthread_mutex_lock(&t->lock);
    t->engine[f->thread].lost = true;
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->lock);
}

/* Nothing is read for a unit that kills its process. */
static dcv_status read_input(team *t, int64_t unit, void **input)
{
    fault_text verdict;
    *input = NULL;
    if (faults_verdict(t->o.faults, t->p, unit, verdict))
        return DCV_OK;
    faults_unit(t->p, unit);
    const dcv_status st = t->kind->read(t->o.job, t->p, unit, input);
    faults_unit(-1, 0);
    return st;
}

/* A unit that kills its process is reported as failed instead. */
static dcv_status give_up(engine_thread *e, int64_t unit, unit_task *task, const char *verdict, finished *f)
{
    team *t = e->team;
    if (task->input && t->kind->drop)
        t->kind->drop(t->o.job, task->input);
    if (!t->kind->fail_unit)
        return dcv_fail(DCV_EINTERNAL, "unit %lld of phase %s: %s", (long long)unit, t->phase.name, verdict);
    return t->kind->fail_unit(t->o.job, t->p, unit, verdict, gathers(t) ? e->state : NULL, &f->result);
}

static dcv_status compute(engine_thread *e, unit_task *task, finished *f)
{
    team *t = e->team;
    const dcv_grant *g = &task->from->g;
    const int64_t unit = g->units.first + task->i;
    double began = now_s();
    if (t->kind->read && !task->is_read) {
        DCV_TRY(read_input(t, unit, &task->input));
        const double now = now_s();
        e->spent.read_s += now - began;
        began = now;
    }
    if (gathers(t) && !task->i) {
        const dcv_status st = state_begin(e, g);
        if (st != DCV_OK) {
            if (task->input && t->kind->drop)
                t->kind->drop(t->o.job, task->input);
            return st;
        }
    }
    fault_text verdict;
    if (faults_verdict(t->o.faults, t->p, unit, verdict))
        return give_up(e, unit, task, verdict, f);
    const double wrote = f->result.write_s;
    faults_unit(t->p, unit);
    const dcv_status st =
        t->kind->compute(t->o.job, t->p, unit, e->number, task->input, gathers(t) ? e->state : NULL, &f->result);
    faults_unit(-1, 0);
    const double put = f->result.write_s - wrote;
    e->spent.compute_s += now_s() - began - put;
    e->spent.write_s += put;
    return st;
}

/* Compute one unit; give back what is finished by it (NULL: nothing yet, its state is not in a file). */
static finished *work(engine_thread *e, unit_task *task)
{
    team *t = e->team;
    const dcv_grant g = task->from->g;
    const int64_t unit = g.units.first + task->i;
    const double began = now_s();
    finished *f = e->hold ? e->hold : finished_new(t, g.id, unit);
    e->hold = NULL;
    dcv_message_clear();
    f->status = compute(e, task, f);
    const bool last = task->i + 1 == g.units.count;
    if (f->status == DCV_OK) {
        f->units.count++;
        if (gathers(t) && !last && !is_due(e))
            e->hold = f;
        else if (gathers(t) && !(last && t->phase.chain > 0)) /* nobody goes on from the end of a chain */
            f->status = state_save(e, &g, unit + 1, f);
    }
    f->seconds += now_s() - began;
    if (f->status != DCV_OK)
        f->message = dcv_strdup(dcv_message());
    return e->hold ? NULL : f;
}

/* Under the lock: after a stop, what a thread still holds of its block is written. */
static void let_go(engine_thread *e)
{
    team *t = e->team;
    if (e->hold && e->lost) {
        finished_free(e->hold);
        e->hold = NULL;
    }
    if (!e->hold || !t->cancelled || e->unkept)
        return;
    piece *p = t->pieces;
    while (p && p->owner != e->number)
        p = p->next;
    finished *f = e->hold;
    e->hold = NULL;
    const dcv_grant g = p->g;
    t->running++;
    pthread_mutex_unlock(&t->lock);
    f->status = state_save(e, &g, f->units.first + f->units.count, f);
    if (f->status != DCV_OK)
        f->message = dcv_strdup(dcv_message());
    pthread_mutex_lock(&t->lock);
    t->running--;
    hand_out(t, f);
}

static void *engine_main(void *arg)
{
    engine_thread *e = arg;
    team *t = e->team;
    unit_task task;
    pthread_mutex_lock(&t->lock);
    while (!t->quit) {
        let_go(e);
        if (!pick(t, e->number, &task)) {
            const double began = now_s();
            t->waiting++;
            t->woken = true;
            pthread_cond_signal(&t->news);
            pthread_cond_wait(&t->work, &t->lock);
            t->waiting--;
            e->spent.wait_s += now_s() - began;
            continue;
        }
        t->running++;
        if (t->n_readers)
            pthread_cond_broadcast(&t->work); /* there may be room to read ahead */
        pthread_mutex_unlock(&t->lock);
        finished *f = work(e, &task);
        pthread_mutex_lock(&t->lock);
        t->running--;
        if (f)
            hand_out(t, f);
        piece *p = task.from;
        if (++p->over == p->g.units.count)
            unlink_piece(t, p);
    }
    pthread_mutex_unlock(&t->lock);
    faults_thread_end();
    return NULL;
}

/* --- Readers ----------------------------------------------------------------------- */

static void read_failed(team *t, const unit_task *task, dcv_status st)
{
    finished *f = finished_new(t, task->from->g.id, task->from->g.units.first + task->i);
    f->status = st;
    f->message = dcv_strdup(dcv_message());
    hand_out(t, f);
}

static void *reader_main(void *arg)
{
    engine_thread *e = arg;
    team *t = e->team;
    unit_task task;
    pthread_mutex_lock(&t->lock);
    while (!t->quit) {
        if (!pick_ahead(t, &task)) {
            pthread_cond_wait(&t->work, &t->lock);
            continue;
        }
        t->running++;
        pthread_mutex_unlock(&t->lock);
        const double began = now_s();
        dcv_message_clear();
        const dcv_status st = read_input(t, task.from->g.units.first + task.i, &task.input);
        pthread_mutex_lock(&t->lock);
        e->spent.read_s += now_s() - began;
        t->running--;
        task.from->readers--;
        task.from->input[task.i] = task.input;
        task.from->is[task.i] = st == DCV_OK ? UNIT_READ : UNIT_UNREAD;
        if (st != DCV_OK) {
            t->ahead--;
            read_failed(t, &task, st);
        }
        pthread_cond_broadcast(&t->work);
        pthread_cond_signal(&t->news);
    }
    pthread_mutex_unlock(&t->lock);
    faults_thread_end();
    return NULL;
}

/* --- The main thread's side -------------------------------------------------------- */

static dcv_status start(engine_thread *e, team *t, int number, void *(*run)(void *))
{
    e->team = t;
    e->number = number;
    const int err = pthread_create(&e->id, NULL, run, e);
    if (err)
        return dcv_fail(DCV_ENOMEM, "cannot start a thread: %s", strerror(err));
    e->started = true;
    return DCV_OK;
}

dcv_status team_new(const team_options *o, team **out)
{
    *out = NULL;
    team *t = dcv_alloc(1, sizeof *t);
    if (!t)
        return DCV_ENOMEM;
    t->o = *o;
    t->kind = o->job->kind;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&t->work, NULL);
    pthread_cond_init(&t->news, &clock);
    pthread_condattr_destroy(&clock);
    const int n_readers = t->kind->read && o->threads && o->read_ahead > 0 ? 1 + (o->threads - 1) / 8 : 0;
    t->engine = dcv_alloc((size_t)o->threads, sizeof *t->engine);
    t->reader = dcv_alloc((size_t)n_readers, sizeof *t->reader);
    dcv_status st = t->engine && t->reader ? DCV_OK : DCV_ENOMEM;
    for (int i = 0; i < o->threads && st == DCV_OK; i++)
        st = start(&t->engine[i], t, i, engine_main);
    for (int i = 0; i < n_readers && st == DCV_OK; i++) {
        st = start(&t->reader[i], t, i, reader_main);
        t->n_readers += st == DCV_OK;
    }
    if (st != DCV_OK) {
        team_free(t);
        return st;
    }
    *out = t;
    return DCV_OK;
}

static void drop_all(team *t)
{
    while (t->pieces)
        unlink_piece(t, t->pieces);
    while (t->first) {
        finished *f = t->first;
        t->first = f->next;
        finished_free(f);
    }
    t->last = NULL;
    t->ahead = 0;
    for (int i = 0; i < t->o.threads; i++) {
        finished_free(t->engine[i].hold);
        t->engine[i].hold = NULL;
    }
}

void team_free(team *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->quit = t->cancelled = true;
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; t->engine && i < t->o.threads; i++)
        if (t->engine[i].started)
            pthread_join(t->engine[i].id, NULL);
    for (int i = 0; i < t->n_readers; i++)
        pthread_join(t->reader[i].id, NULL);
    if (t->engine)
        drop_all(t);
    for (int i = 0; t->engine && i < t->o.threads; i++)
        dcv_free(t->engine[i].state);
    dcv_free(t->engine);
    dcv_free(t->reader);
    pthread_cond_destroy(&t->work);
    pthread_cond_destroy(&t->news);
    pthread_mutex_destroy(&t->lock);
    dcv_free(t);
}

dcv_status team_phase(team *t, int p, const dcv_phase *phase)
{
    pthread_mutex_lock(&t->lock);
    DCV_CHECK(!t->running);
    drop_all(t);
    t->p = p;
    t->phase = *phase;
    t->block_units = plan_block_units(phase);
    t->cancelled = false;
    dcv_status st = DCV_OK;
    for (int i = 0; i < t->o.threads && st == DCV_OK; i++) {
        engine_thread *e = &t->engine[i];
        dcv_free(e->state);
        e->unkept = 0;
        e->lost = false;
        e->state = phase->state_bytes ? dcv_alloc(1, phase->state_bytes) : NULL;
        e->state_bytes = phase->state_bytes;
        if (phase->state_bytes && !e->state)
            st = DCV_ENOMEM;
    }
    pthread_mutex_unlock(&t->lock);
    return st;
}

dcv_status team_give(team *t, const dcv_grant *g)
{
    piece *p = dcv_alloc(1, sizeof *p);
    if (!p)
        return DCV_ENOMEM;
    p->g = *g;
    p->owner = -1;
    p->is = dcv_alloc((size_t)g->units.count, 1);
    p->input = t->kind->read ? dcv_alloc((size_t)g->units.count, sizeof *p->input) : NULL;
    if (!p->is || (t->kind->read && !p->input)) {
        dcv_free(p->is);
        dcv_free(p);
        return DCV_ENOMEM;
    }
    pthread_mutex_lock(&t->lock);
    piece **at = &t->pieces;
    while (*at)
        at = &(*at)->next;
    *at = p;
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->lock);
    return DCV_OK;
}

int team_wants(team *t)
{
    if (!t->o.threads)
        return 0;
    pthread_mutex_lock(&t->lock);
    int unstarted = 0;
    for (const piece *p = t->pieces; p; p = p->next)
        unstarted += p->taken == 0;
    const int wants = t->cancelled ? 0 : 1 + t->o.threads / 4 + t->waiting - unstarted;
    pthread_mutex_unlock(&t->lock);
    return wants > 0 ? wants : 0;
}

finished *team_collect(team *t)
{
    pthread_mutex_lock(&t->lock);
    finished *all = t->first;
    t->first = t->last = NULL;
    pthread_mutex_unlock(&t->lock);
    return all;
}

void team_cancel(team *t)
{
    pthread_mutex_lock(&t->lock);
    t->cancelled = true;
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->lock);
}

bool team_idle(team *t)
{
    pthread_mutex_lock(&t->lock);
    bool idle = !t->running && !t->first;
    for (int i = 0; i < t->o.threads; i++)
        idle = idle && !t->engine[i].hold;
    pthread_mutex_unlock(&t->lock);
    return idle;
}

void team_wait(team *t, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const int64_t ns = until.tv_nsec + (int64_t)(seconds * 1e9);
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&t->lock);
    if (!t->first && !t->woken)
        pthread_cond_timedwait(&t->news, &t->lock, &until);
    t->woken = false;
    pthread_mutex_unlock(&t->lock);
}

void team_wake(team *t)
{
    pthread_mutex_lock(&t->lock);
    t->woken = true;
    pthread_cond_signal(&t->news);
    pthread_mutex_unlock(&t->lock);
}

team_times team_spent(team *t)
{
    team_times sum = {0};
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < t->o.threads + t->n_readers; i++) {
        const team_times *s = i < t->o.threads ? &t->engine[i].spent : &t->reader[i - t->o.threads].spent;
        sum.compute_s += s->compute_s;
        sum.read_s += s->read_s;
        sum.write_s += s->write_s;
        sum.wait_s += s->wait_s;
    }
    pthread_mutex_unlock(&t->lock);
    return sum;
}
