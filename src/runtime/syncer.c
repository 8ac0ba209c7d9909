/* syncer.c -- see syncer.h. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "runtime/file.h"
#include "runtime/syncer.h"
#include "deconvoy/memory.h"

struct syncer {
    pthread_t id;
    pthread_mutex_t lock;
    pthread_cond_t go;
    int *fd;
    int n, cap;
    const char *folder;
    bool busy, quit;
    int err;
};

static int sync_all(const syncer *s)
{
    int err = 0;
    for (int i = 0; i < s->n; i++)
        if (fdatasync(s->fd[i]) && !err && errno != EINVAL)
            err = errno;
    if (s->folder && !err)
        err = file_sync_folder(s->folder);
    return err;
}

static void *syncer_main(void *arg)
{
    syncer *s = arg;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->busy && !s->quit)
            pthread_cond_wait(&s->go, &s->lock);
        if (!s->busy)
            break;
        pthread_mutex_unlock(&s->lock);
        const int err = sync_all(s);
        pthread_mutex_lock(&s->lock);
        s->err = err;
        s->busy = false;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

dcv_status syncer_new(syncer **out)
{
    *out = NULL;
    syncer *s = dcv_alloc(1, sizeof *s);
    if (!s)
        return DCV_ENOMEM;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->go, NULL);
    const int err = pthread_create(&s->id, NULL, syncer_main, s);
    if (err) {
        dcv_free(s);
        return dcv_fail(DCV_ENOMEM, "cannot start a thread: %s", strerror(err));
    }
    *out = s;
    return DCV_OK;
}

void syncer_free(syncer *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->quit = true;
    pthread_cond_signal(&s->go);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->id, NULL);
    pthread_cond_destroy(&s->go);
    pthread_mutex_destroy(&s->lock);
    dcv_free(s->fd);
    dcv_free(s);
}

void syncer_start(syncer *s, const int *fd, int n, const char *folder)
{
    pthread_mutex_lock(&s->lock);
    DCV_CHECK(!s->busy);
    if (n > s->cap) {
        int *grown = dcv_realloc(s->fd, (size_t)s->cap, (size_t)n, sizeof *grown);
        DCV_CHECK(grown);
        s->fd = grown;
        s->cap = n;
    }
    memcpy(s->fd, fd, (size_t)n * sizeof *fd);
    s->n = n;
    s->folder = folder;
    s->busy = true;
    pthread_cond_signal(&s->go);
    pthread_mutex_unlock(&s->lock);
}

bool syncer_busy(syncer *s)
{
    pthread_mutex_lock(&s->lock);
    const bool busy = s->busy;
    pthread_mutex_unlock(&s->lock);
    return busy;
}

int syncer_errno(syncer *s)
{
    return s->err;
}
