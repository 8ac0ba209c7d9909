/* test_cache.c -- what is made once and shared: by threads, by processes, with too few rooms, with makers that give up
 * or die. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "deconvoy/memory.h"
#include "deconvoy/stop.h"
#include "runtime/cache.h"

enum { WORDS = 1500, KEYS = 7, TAKES = 400 };

static dcv_cache *new_cache(int64_t rooms, int threads)
{
    dcv_cache *c = NULL;
    CHECK_OK(dcv_cache_new(&(dcv_cache_options){"numbers", WORDS * sizeof(int64_t), KEYS, threads, false}, &c));
    CHECK_OK(cache_start(c, rooms));
    return c;
}

static void make(dcv_cache *c, int64_t key, dcv_cache_hold *h)
{
    for (int64_t i = 0; i < WORDS; i++)
        ((int64_t *)h->at)[i] = 1000 * key + i;
    dcv_cache_ready(c, h);
}

static bool is_made(int64_t key, const dcv_cache_hold *h)
{
    for (int64_t i = 0; i < WORDS; i++)
        if (((int64_t *)h->at)[i] != 1000 * key + i)
            return false;
    return true;
}

/* Take it, make it if it is not there, look at it, let go.  Was it there? */
static bool visit(dcv_cache *c, int64_t key, bool *right)
{
    dcv_cache_hold h = {0};
    *right = dcv_cache_take(c, key, &h) == DCV_OK;
    const bool there = h.ready;
    if (*right && !there)
        make(c, key, &h);
    *right = *right && is_made(key, &h);
    dcv_cache_drop(c, &h);
    return there;
}

static void one_after_another(void)
{
    dcv_cache *c = new_cache(2, 1);
    bool right;
    CHECK(!visit(c, 0, &right) && right);
    CHECK(visit(c, 0, &right) && right);
    CHECK(!visit(c, 1, &right) && right);
    CHECK(visit(c, 0, &right) && right);
    CHECK(!visit(c, 2, &right) && right); /* in the room of 1, which was asked for longest ago */
    CHECK(visit(c, 0, &right) && right);
    CHECK(!visit(c, 1, &right) && right);
    const cache_facts f = cache_told(c);
    CHECK(f.made == 4 && f.rooms == 2 && f.bytes >= 2 * (int64_t)(WORDS * sizeof(int64_t)));
    dcv_cache_hold h = {0};
    CHECK_OK(dcv_cache_take(c, 3, &h));
    CHECK(h.at && !h.ready && (uintptr_t)h.at % 64 == 0);
    dcv_cache_drop(c, &h); /* gives up */
    CHECK(!h.at);
    CHECK(!visit(c, 3, &right) && right);
    dcv_cache_drop(c, &h); /* nothing is held */
    dcv_cache_free(c);
    dcv_cache_free(NULL);
}

static void sizes(void)
{
    dcv_cache *own = NULL, *common = NULL;
    CHECK_OK(dcv_cache_new(&(dcv_cache_options){"numbers", 100, 50, 4, false}, &own));
    CHECK_OK(dcv_cache_new(&(dcv_cache_options){"numbers", 100, 50, 4, true}, &common));
    const cache_sizes a = cache_sizes_of(own, 8), b = cache_sizes_of(common, 8), d = cache_sizes_of(common, 64);
    CHECK(a.most == 4 && a.sharers == 1 && a.bytes >= 100);
    CHECK(b.most == 32 && b.sharers == 8);
    CHECK(d.most == 50 && d.sharers == 64);
    dcv_cache_free(own);
    dcv_cache_free(common);
}

static atomic_int wrong, making[KEYS];

static void *crowd(void *arg)
{
    dcv_cache *c = arg;
    unsigned seed = (unsigned)(uintptr_t)&c / 64 + 1;
    for (int i = 0; i < TAKES; i++) {
        dcv_cache_hold h = {0};
        const int64_t key = (seed = seed * 1103515245 + 12345) / 65536 % KEYS;
        if (dcv_cache_take(c, key, &h) != DCV_OK) {
            wrong++;
            continue;
        }
        if (!h.ready) {
            wrong += atomic_fetch_add(&making[key], 1); /* never two at once */
            const bool gives_up = seed / 8 % 16 == 0;
            if (!gives_up) {
                for (int64_t k = 0; k < WORDS; k++)
                    ((int64_t *)h.at)[k] = 1000 * key + k;
            }
            atomic_fetch_sub(&making[key], 1);
            if (!gives_up)
                dcv_cache_ready(c, &h);
        }
        wrong += h.ready && !is_made(key, &h);
        dcv_cache_drop(c, &h);
    }
    return NULL;
}

/* More threads than rooms, and more keys than rooms. */
static void threads(int64_t rooms)
{
    enum { N = 6 };
    dcv_cache *c = new_cache(rooms, N);
    pthread_t t[N];
    for (int i = 0; i < N; i++)
        CHECK(!pthread_create(&t[i], NULL, crowd, c));
    for (int i = 0; i < N; i++)
        pthread_join(t[i], NULL);
    CHECK(!wrong);
    CHECK(cache_told(c).made >= KEYS && cache_told(c).rooms <= rooms);
    dcv_cache_free(c);
}

/* Processes see what one of them made. */
static void processes(void)
{
    enum { N = 5 };
    dcv_cache *c = new_cache(KEYS, N);
    pid_t pid[N];
    for (int i = 0; i < N; i++)
        if (!(pid[i] = fork())) {
            bool right, all = true;
            for (int k = 0; k < 100 * KEYS; k++) {
                visit(c, (k + i) % KEYS, &right);
                all = all && right;
            }
            _exit(all ? 0 : 1);
        }
    for (int i = 0; i < N; i++) {
        int status;
        CHECK(waitpid(pid[i], &status, 0) == pid[i] && WIFEXITED(status) && !WEXITSTATUS(status));
    }
    CHECK(cache_told(c).made == KEYS);
    dcv_cache_free(c);
}

static void nap_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* A child takes a key, says so, and dies while the parent waits for what it was to make. */
static void dead_maker(void)
{
    dcv_cache *c = new_cache(1, 2);
    int said[2];
    char word;
    bool right;
    CHECK(!pipe(said));
    const pid_t maker = fork();
    if (!maker) {
        dcv_cache_hold h = {0};
        if (dcv_cache_take(c, 4, &h) == DCV_OK && !h.ready && write(said[1], "t", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    CHECK(read(said[0], &word, 1) == 1);
    const pid_t killer = fork();
    if (!killer) {
        nap_ms(50);
        kill(maker, SIGKILL);
        _exit(0);
    }
    CHECK(!visit(c, 4, &right) && right); /* waits, and makes it then */
    CHECK(visit(c, 4, &right) && right);
    CHECK(!visit(c, 5, &right) && right); /* its room is good for others, too */
    waitpid(maker, NULL, 0);
    waitpid(killer, NULL, 0);
    close(said[0]);
    close(said[1]);
    dcv_cache_free(c);
}

/* Without room a wait ends when somebody asks for an end. */
static void stopped(void)
{
    dcv_cache *c = new_cache(1, 2);
    dcv_cache_hold a = {0}, b = {0};
    CHECK_OK(dcv_cache_take(c, 1, &a));
    make(c, 1, &a);
    CHECK_OK(dcv_cache_take(c, 1, &b)); /* a second holder of the same */
    CHECK(b.ready && b.at == a.at);
    dcv_cache_drop(c, &b);
    dcv_stop_ask(SIGTERM);
    CHECK_FAILS(dcv_cache_take(c, 2, &b), DCV_ESTOP, "waiting for room");
    CHECK(!b.at);
    dcv_stop_ask(0);
    dcv_cache_drop(c, &a);
    CHECK_OK(dcv_cache_take(c, 2, &b));
    dcv_cache_drop(c, &b);
    dcv_cache_free(c);
}

int main(void)
{
    one_after_another();
    sizes();
    threads(3);
    threads(1);
    processes();
    dead_maker();
    stopped();
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
