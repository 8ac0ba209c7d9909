/* bench_master.c -- what one request costs the master: HELLO, GRANT, DONE and its record, nothing computed.
 *
 * bench_master FILE [GRANTS]    FILE: where a result could be; nothing of it stays
 *
 * One process plays both sides, so this is the master's own time; the wire adds 0.4 us (shared memory) to 10 us (TCP).
 * With t seconds a request, grants of g units and units of u seconds: ranks that one master can feed = g u / t.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deconvoy/journal.h"
#include "deconvoy/memory.h"
#include "runtime/file.h"
#include "runtime/master.h"
#include "runtime/protocol.h"

static int64_t one_item(const dcv_job *j, int p, int64_t u)
{
    (void)j, (void)p, (void)u;
    return 1;
}

static double no_work(const dcv_job *j, int p, int64_t u)
{
    (void)j, (void)p, (void)u;
    return 0;
}

static void hear(master *m, wire_tag tag, const void *body, size_t bytes)
{
    wire_message msg = {.tag = tag, .bytes = bytes};
    memcpy(msg.body, body, bytes);
    master_hear(m, &msg);
}

/* Units of 10 s, so that grants are of one unit each. */
static void request(master *m)
{
    const hello h = {1, 1, 10};
    hear(m, WIRE_HELLO, &h, sizeof h);
}

static void report(master *m, const dcv_grant *g)
{
    const done_entry e[] = {{DONE_WROTE, g->id, 4096 * g->units.first, 4096, 12345, 0},
                            {DONE_UNITS, g->id, g->units.first, g->units.count, 0, 0}};
    hear(m, WIRE_DONE, e, sizeof e);
}

static double run(const char *file, int64_t n, bool disk)
{
    dcv_job_kind kind = {.unit_items = one_item, .unit_gflop = no_work};
    dcv_job job = {.kind = &kind};
    char path[4096], folder[] = "/tmp";
    snprintf(path, sizeof path, "%s", file);
    dcv_output out = {.final = path, .part = path, .folder = folder, .fd = -1, .disk = disk};
    const dcv_sha256 plan = dcv_sha256_of("bench", 5);
    const dcv_run_options o = {.deadline_s = -1};
    const master_options mo = {.job = &job,
                               .out = &out,
                               .plan = &plan,
                               .run = &o,
                               .ranks = 1,
                               .workers = 1,
                               .threads = 1,
                               .progress = DCV_PROGRESS_NONE};
    const dcv_phase phase = {"bench", n, n, 0, 0, false};
    master *m;
    if (master_new(&mo, &m) != DCV_OK || master_phase(m, 0, &phase) != DCV_OK) {
        fprintf(stderr, "%s\n", dcv_message());
        exit(1);
    }
    const double began = now_s();
    wire_message msg;
    for (int64_t i = 0; i < n; i++) {
        request(m);
        master_step(m);
        while (wire_next(&msg))
            if (msg.tag == WIRE_GRANT) {
                dcv_grant g;
                memcpy(&g, msg.body, sizeof g);
                report(m, &g);
            }
    }
    while (master_status(m) != DCV_OK)
        master_step(m);
    const double took = now_s() - began;
    master_free(m);
    return took;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 64;
    const int64_t n = argc > 2 ? atoll(argv[2]) : 200000;
    for (int disk = 0; disk < 2; disk++) {
        const double s = run(argv[1], n, disk);
        printf("durability %s: %lld requests in %.3f s, %.2f us each\n", disk ? "disk" : "process", (long long)n, s,
               1e6 * s / (double)n);
        if (dcv_journal_remove(argv[1]) != DCV_OK)
            return 1;
    }
    return 0;
}
