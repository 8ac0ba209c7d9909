/* pool.c -- see pool.h. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "deblur/pool.h"
#include "deconvoy/memory.h"

struct pool {
    int n, n_threads; /* asked for; running besides the caller */
    pthread_t *thread;
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    int64_t round; /* counts loops, so that a thread sees each once */
    int busy;
    bool quit;
    pool_fn fn;
    void *ctx;
    int64_t turns;
    _Atomic int64_t next;
    atomic_int number;
};

static void take_turns(pool *p, int thread)
{
    for (int64_t i; (i = atomic_fetch_add(&p->next, 1)) < p->turns;)
        p->fn(p->ctx, i, thread);
}

static void *work(void *ctx)
{
    pool *p = ctx;
    const int me = atomic_fetch_add(&p->number, 1) + 1;
    int64_t seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->round == seen && !p->quit)
            pthread_cond_wait(&p->begin, &p->lock);
        if (p->quit)
            break;
        seen = p->round;
        pthread_mutex_unlock(&p->lock);
        take_turns(p, me);
        pthread_mutex_lock(&p->lock);
        if (--p->busy == 0)
            pthread_cond_signal(&p->end);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Signals are for the thread that came with the process. */
static int start(pool *p, pthread_t *t)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int err = pthread_create(t, NULL, work, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

dcv_status pool_new(int n, pool **out)
{
    pool *p = *out = dcv_alloc(1, sizeof *p);
    if (!p)
        return DCV_ENOMEM;
    p->n = n;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->begin, NULL);
    pthread_cond_init(&p->end, NULL);
    p->thread = dcv_alloc((size_t)n, sizeof *p->thread);
    dcv_status st = p->thread ? DCV_OK : DCV_ENOMEM;
    for (; st == DCV_OK && p->n_threads < n - 1; p->n_threads++)
        if (start(p, &p->thread[p->n_threads])) {
            st = dcv_fail(DCV_ENOMEM, "cannot start %d threads; lower runtime.threads", n);
            break;
        }
    if (st != DCV_OK) {
        pool_free(p);
        *out = NULL;
    }
    return st;
}

void pool_free(pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads; i++)
        pthread_join(p->thread[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->begin);
    pthread_cond_destroy(&p->end);
    dcv_free(p->thread);
    dcv_free(p);
}

int pool_size(const pool *p)
{
    return p->n;
}

void pool_run(pool *p, int64_t n, pool_fn fn, void *ctx)
{
    pthread_mutex_lock(&p->lock);
    p->fn = fn;
    p->ctx = ctx;
    p->turns = n;
    atomic_store(&p->next, 0);
    p->busy = p->n_threads;
    p->round++;
    if (p->n_threads)
        pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->lock);
    take_turns(p, 0);
    pthread_mutex_lock(&p->lock);
    while (p->busy > 0)
        pthread_cond_wait(&p->end, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
