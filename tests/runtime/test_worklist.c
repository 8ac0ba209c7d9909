/* Every unit is given out and finished exactly once, whatever the order. */
#include "check.h"
#include "deconvoy/memory.h"
#include "deconvoy/worklist.h"

static uint64_t seed = 1;

static int64_t draw(int64_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)(seed >> 33) % n;
}

static void blocks(void)
{
    const int64_t want[][2] = {{0, 1},    {1, 1},      {1023, 1},   {2047, 1},
                               {2048, 2}, {65535, 63}, {65536, 64}, {1000000, 64}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        CHECK(dcv_block_units(want[i][0]) == want[i][1]);
}

/* Workers take, hold up to two grants, and finish them in pieces and in any order. */
static void simulate(int64_t n, bool gather, int workers)
{
    enum { MOST = 10 };
    const dcv_worklist_options o = {n, gather, workers, 1, 0};
    dcv_worklist *w;
    CHECK_OK(dcv_worklist_new(&o, &w));
    unsigned char *times = calloc((size_t)n + 1, 1);
    dcv_grant held[MOST];
    int64_t at[MOST];
    int n_held = 0;
    const int64_t skipped = n / 5;
    CHECK(dcv_worklist_skip(w, (dcv_range){0, skipped}) == skipped);
    CHECK(dcv_worklist_skip(w, (dcv_range){0, skipped}) == 0);
    while (dcv_worklist_left(w)) {
        if (n_held < MOST && n_held < 2 * workers && dcv_worklist_take(w, (int)draw(workers), 0, &held[n_held])) {
            const dcv_range r = held[n_held].units;
            CHECK(r.count >= 1 && r.count <= DCV_GRANT_MAX && r.first >= skipped && r.first + r.count <= n);
            if (gather)
                CHECK(r.first / dcv_block_units(n) == (r.first + r.count - 1) / dcv_block_units(n));
            at[n_held++] = r.first;
            continue;
        }
        const int k = (int)draw(n_held);
        const int64_t end = held[k].units.first + held[k].units.count;
        const int64_t some = 1 + draw(end - at[k]);
        int64_t fresh;
        CHECK_OK(dcv_worklist_finish(w, held[k].id, (dcv_range){at[k], some}, &fresh));
        CHECK(fresh == some);
        for (int64_t i = at[k]; i < at[k] + some; i++)
            times[i]++;
        dcv_worklist_timed(w, some, 0.01 * (double)some);
        at[k] += some;
        if (at[k] == end) {
            held[k] = held[--n_held];
            at[k] = at[n_held];
        }
    }
    for (int64_t i = skipped; i < n; i++)
        CHECK(times[i] == 1 && dcv_worklist_is_done(w, i));
    dcv_grant none;
    CHECK(!dcv_worklist_take(w, 0, 0, &none) && !dcv_worklist_again(w, 0, 1e9, &none));
    free(times);
    dcv_worklist_free(w);
}

static void sizes(void)
{
    const dcv_worklist_options o = {100000, false, 4, 1, 0};
    dcv_worklist *w;
    dcv_grant g;
    CHECK_OK(dcv_worklist_new(&o, &w));
    CHECK(dcv_worklist_take(w, 0, 0, &g) && g.units.count == 1); /* nothing is known yet */
    dcv_worklist_timed(w, 10, 0.1);
    CHECK(dcv_worklist_take(w, 0, 0, &g) && g.units.count == 399); /* 4 s of 10 ms and a little */
    dcv_worklist_timed(w, 1000000, 0);
    CHECK(dcv_worklist_take(w, 0, 0, &g) && g.units.count == DCV_GRANT_MAX);
    int64_t last = g.units.count;
    while (dcv_worklist_take(w, 0, 0, &g)) {
        CHECK(g.units.count <= last);
        last = g.units.count;
    }
    CHECK(last == 1);
    dcv_worklist_free(w);
}

static void silence(void)
{
    const dcv_worklist_options o = {4, false, 2, 1, 0};
    dcv_worklist *w;
    dcv_grant g, again;
    int64_t fresh;
    CHECK_OK(dcv_worklist_new(&o, &w));
    CHECK(dcv_worklist_take(w, 0, 100, &g));
    dcv_worklist_timed(w, 1, 5);
    CHECK(!dcv_worklist_again(w, 1, 149, &again)); /* 10 times its estimate */
    CHECK(!dcv_worklist_again(w, 0, 151, &again)); /* not to the same worker */
    CHECK(dcv_worklist_again(w, 1, 151, &again));
    CHECK(again.units.first == g.units.first && again.copy == 1 && again.id != g.id);
    CHECK(!dcv_worklist_again(w, 1, 1000, &again)); /* once */
    CHECK_OK(dcv_worklist_finish(w, again.id, again.units, &fresh));
    CHECK(fresh == 1);
    CHECK_OK(dcv_worklist_finish(w, g.id, g.units, &fresh));
    CHECK(fresh == 0 && dcv_worklist_left(w) == 3);
    CHECK_FAILS(dcv_worklist_finish(w, g.id, g.units, &fresh), DCV_EINTERNAL, "not out");
    CHECK(dcv_worklist_take(w, 0, 0, &g));
    CHECK_FAILS(dcv_worklist_finish(w, g.id, (dcv_range){0, 4}, &fresh), DCV_EINTERNAL, "no units");
    CHECK_FAILS(dcv_worklist_finish(w, 1000, g.units, &fresh), DCV_EINTERNAL, "not out");
    dcv_worklist_free(w);
}

/* The rest of a block begins with a state that its worker writes over: it is given once. */
static void silent_rest(void)
{
    const dcv_worklist_options o = {4096, true, 2, 1, 0};
    dcv_worklist *w;
    dcv_grant g, again;
    CHECK_OK(dcv_worklist_new(&o, &w));
    CHECK(dcv_worklist_skip(w, (dcv_range){0, 1}) == 1);
    CHECK(dcv_worklist_take(w, 0, 0, &g) && g.units.first == 1 && g.units.count == 3);
    CHECK(!dcv_worklist_again(w, 1, 1e6, &again));
    CHECK(dcv_worklist_take(w, 0, 0, &g) && g.units.first == 4);
    CHECK(dcv_worklist_again(w, 1, 1e6, &again) && again.units.first == 4);
    dcv_worklist_free(w);
}

int main(void)
{
    blocks();
    silent_rest();
    const int64_t n[] = {0, 1, 2, 63, 64, 65, 1000, 3000, 70000};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++)
        for (int workers = 1; workers <= 5; workers++) {
            simulate(n[i], false, workers);
            simulate(n[i], true, workers);
        }
    sizes();
    silence();
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
