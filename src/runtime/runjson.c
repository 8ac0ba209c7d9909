/* runjson.c -- see runjson.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/file.h"
#include "runtime/runjson.h"
#include "runtime/wire.h"
#include "deconvoy/memory.h"

#define HOST_BYTES 64

static void iso(time_t t, char *to, size_t n)
{
    struct tm utc;
    gmtime_r(&t, &utc);
    strftime(to, n, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

dcv_status runjson_write(const dcv_output *o, const run_facts *f)
{
    char began[32], ended[32];
    iso(f->started, began, sizeof began);
    iso(f->finished, ended, sizeof ended);
    const double wall = f->wall_s > 0 ? f->wall_s : 1e-9;
    char *file = dcv_format("%s.run.json", o->stem);
    char *text = dcv_format(
        "{\n"
        "  \"ranks\": %d,\n  \"threads\": %lld,\n  \"items\": %lld,\n  \"units\": %lld,\n"
        "  \"resumed_units\": %lld,\n  \"failed_items\": %lld,\n"
        "  \"wall_s\": %.6f,\n  \"compute_s\": %.6f,\n  \"read_s\": %.6f,\n  \"write_s\": %.6f,\n  \"wait_s\": %.6f,\n"
        "  \"items_per_s\": %.6g,\n  \"gflops\": %.6g,\n  \"peak_rss_bytes\": %lld,\n"
        "  \"hosts\": %s,\n  \"started\": \"%s\",\n  \"finished\": \"%s\"\n}\n",
        f->ranks, (long long)f->threads, (long long)f->items, (long long)f->units, (long long)f->resumed_units,
        (long long)f->failed_items, f->wall_s, f->compute_s, f->read_s, f->write_s, f->wait_s,
        (double)f->items * f->fresh_share / wall, f->gflop / wall, (long long)f->peak_rss_bytes,
        f->hosts ? f->hosts : "[]", began, ended);
    const dcv_status st = file && text ? file_put_text(file, text) : DCV_ENOMEM;
    dcv_free(file);
    dcv_free(text);
    return st;
}

char *runjson_hosts(void)
{
    const int size = wire_size(WIRE_WORLD);
    const bool root = wire_rank(WIRE_WORLD) == 0;
    char mine[HOST_BYTES] = "";
    gethostname(mine, sizeof mine - 1);
    for (char *p = mine; *p; p++) /* nothing that JSON would have to escape */
        if (*p < 33 || *p == '"' || *p == '\\' || *p > 126)
            *p = '_';
    char *all = root ? dcv_alloc((size_t)size, HOST_BYTES) : NULL;
    DCV_CHECK(all || !root);
    wire_gather(mine, all, HOST_BYTES);
    char *text = root ? dcv_strdup("[") : NULL;
    for (int r = 0; text && r < size; r++) {
        bool again = false;
        for (int q = 0; q < r && !again; q++)
            again = !strcmp(all + q * HOST_BYTES, all + r * HOST_BYTES);
        if (again)
            continue;
        char *longer = dcv_format("%s%s\"%s\"", text, r ? ", " : "", all + r * HOST_BYTES);
        dcv_free(text);
        text = longer;
    }
    char *list = text ? dcv_format("%s]", text) : NULL;
    dcv_free(text);
    dcv_free(all);
    return list;
}
