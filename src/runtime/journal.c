/* journal.c -- see journal.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "deconvoy/journal.h"
#include "deconvoy/memory.h"
#include "runtime/file.h"

#define BUFFER_RECORDS 1024 /* read at a time */

_Static_assert(sizeof(dcv_record) == 64, "a record is 64 bytes");

struct dcv_journal {
    char *file;
    int fd;
    int64_t offset;
    dcv_record *buffer;
    int64_t n, cap;
};

static uint32_t crc_of(const dcv_record *r)
{
    return dcv_crc32c(0, &r->kind, sizeof *r - offsetof(dcv_record, kind));
}

static char *name(const char *output, int epoch)
{
    return dcv_format("%s.journal.%d", output, epoch);
}

/* --- Which epochs there are -------------------------------------------------------- */

typedef struct epochs {
    int *at, n;
} epochs;

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static dcv_status list(const char *output, epochs *out)
{
    *out = (epochs){NULL, 0};
    char *folder = file_folder(output);
    DIR *d = folder ? opendir(folder) : NULL;
    dcv_free(folder);
    if (!d)
        return DCV_OK;
    const char *slash = strrchr(output, '/'), *base = slash ? slash + 1 : output;
    const size_t n = strlen(base);
    dcv_status st = DCV_OK;
    for (struct dirent *e; st == DCV_OK && (e = readdir(d));) {
        char *end = NULL;
        if (strncmp(e->d_name, base, n) || strncmp(e->d_name + n, ".journal.", 9))
            continue;
        const long epoch = strtol(e->d_name + n + 9, &end, 10);
        if (*end || epoch < 1 || epoch > 1 << 30)
            continue;
        int *grown = dcv_realloc(out->at, (size_t)out->n, (size_t)out->n + 1, sizeof *grown);
        if (grown) {
            out->at = grown;
            out->at[out->n++] = (int)epoch;
        } else {
            st = DCV_ENOMEM;
        }
    }
    closedir(d);
    if (out->n)
        qsort(out->at, (size_t)out->n, sizeof *out->at, by_number);
    return st;
}

/* --- Writing ----------------------------------------------------------------------- */

dcv_status dcv_journal_add(dcv_journal *j, const dcv_record *r)
{
    if (j->n == j->cap) {
        const int64_t cap = j->cap ? 2 * j->cap : 64;
        dcv_record *grown = dcv_realloc(j->buffer, (size_t)j->cap, (size_t)cap, sizeof *grown);
        if (!grown)
            return DCV_ENOMEM;
        j->buffer = grown;
        j->cap = cap;
    }
    dcv_record *to = &j->buffer[j->n++];
    *to = *r;
    to->time_s = (int64_t)time(NULL);
    to->crc = crc_of(to);
    return DCV_OK;
}

dcv_status dcv_journal_write(dcv_journal *j)
{
    const int err = file_write(j->fd, j->buffer, j->n * (int64_t)sizeof *j->buffer, j->offset);
    if (err)
        return dcv_fail(DCV_EIO, "%s: %s", j->file, strerror(err));
    j->offset += j->n * (int64_t)sizeof *j->buffer;
    j->n = 0;
    return DCV_OK;
}

int dcv_journal_descriptor(const dcv_journal *j)
{
    return j->fd;
}

static dcv_status begin(dcv_journal *j, const char *output, int epoch, const dcv_sha256 *plan, bool disk)
{
    j->file = name(output, epoch);
    char *folder = file_folder(output);
    if (!j->file || !folder) {
        dcv_free(folder);
        return DCV_ENOMEM;
    }
    dcv_record r = {.kind = DCV_RECORD_BEGIN, .a = epoch};
    memcpy(r.text, plan->hex, sizeof r.text);
    j->fd = open(j->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int err = j->fd < 0 ? errno : 0;
    dcv_status st = err ? dcv_fail(DCV_EIO, "%s: %s", j->file, strerror(err)) : dcv_journal_add(j, &r);
    if (st == DCV_OK)
        st = dcv_journal_write(j);
    if (st == DCV_OK && disk) {
        err = fdatasync(j->fd) ? errno : file_sync_folder(folder);
        if (err)
            st = dcv_fail(DCV_EIO, "%s: %s", j->file, strerror(err));
    }
    dcv_free(folder);
    return st;
}

dcv_status dcv_journal_new(const char *output, const dcv_sha256 *plan, bool disk, dcv_journal **out)
{
    *out = NULL;
    epochs e;
    DCV_TRY(list(output, &e));
    const int epoch = e.n ? e.at[e.n - 1] + 1 : 1;
    dcv_free(e.at);
    dcv_journal *j = dcv_alloc(1, sizeof *j);
    if (!j)
        return DCV_ENOMEM;
    j->fd = -1;
    const dcv_status st = begin(j, output, epoch, plan, disk);
    if (st != DCV_OK)
        dcv_journal_free(j);
    else
        *out = j;
    return st;
}

void dcv_journal_free(dcv_journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    dcv_free(j->file);
    dcv_free(j->buffer);
    dcv_free(j);
}

/* --- Reading ----------------------------------------------------------------------- */

/* Records of one file up to the first bad one, if it is of this plan. */
static dcv_status read_file(const char *file, const dcv_sha256 *plan, dcv_journal_fn fn, void *ctx)
{
    const int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? DCV_OK : dcv_fail(DCV_EIO, "%s: %s", file, strerror(errno));
    dcv_record *r = dcv_alloc(BUFFER_RECORDS, sizeof *r);
    struct stat about;
    dcv_status st = r ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK && fstat(fd, &about))
        st = dcv_fail(DCV_EIO, "%s: %s", file, strerror(errno));
    const int64_t all = st == DCV_OK ? about.st_size / (int64_t)sizeof *r : 0;
    bool whole = true;
    for (int64_t at = 0; at < all && whole && st == DCV_OK; at += BUFFER_RECORDS) {
        const int64_t n = all - at < BUFFER_RECORDS ? all - at : BUFFER_RECORDS;
        const int err = file_read(fd, r, n * (int64_t)sizeof *r, at * (int64_t)sizeof *r);
        if (err)
            st = dcv_fail(DCV_EIO, "%s: %s", file, strerror(err));
        for (int64_t i = 0; i < n && whole && st == DCV_OK; i++) {
            whole = r[i].crc == crc_of(&r[i]);
            if (at + i == 0)
                whole = whole && r[i].kind == DCV_RECORD_BEGIN &&
                        (!plan || !memcmp(r[i].text, plan->hex, sizeof r[i].text));
            if (whole)
                st = fn(ctx, &r[i]);
        }
    }
    dcv_free(r);
    close(fd);
    return st;
}

dcv_status dcv_journal_read(const char *output, const dcv_sha256 *plan, dcv_journal_fn fn, void *ctx)
{
    epochs e;
    dcv_status st = list(output, &e);
    for (int i = 0; i < e.n && st == DCV_OK; i++) {
        char *file = name(output, e.at[i]);
        st = file ? read_file(file, plan, fn, ctx) : DCV_ENOMEM;
        dcv_free(file);
    }
    dcv_free(e.at);
    return st;
}

dcv_status dcv_journal_remove(const char *output)
{
    epochs e;
    dcv_status st = list(output, &e);
    for (int i = 0; i < e.n && st == DCV_OK; i++) {
        char *file = name(output, e.at[i]);
        if (file && unlink(file) && errno != ENOENT)
            st = dcv_fail(DCV_EIO, "%s: %s", file, strerror(errno));
        dcv_free(file);
    }
    dcv_free(e.at);
    return st;
}

/* --- For people -------------------------------------------------------------------- */

typedef struct summing {
    dcv_journal_summary *out;
    int64_t began_s, units; /* of the last start */
} summing;

static dcv_status sum(void *ctx, const dcv_record *r)
{
    summing *s = ctx;
    dcv_journal_summary *o = s->out;
    if (r->kind == DCV_RECORD_BEGIN) {
        o->epochs++;
        s->began_s = r->time_s;
        s->units = 0;
    } else if (r->kind == DCV_RECORD_PHASE && (r->phase > o->phase || !o->all_units)) {
        o->phase = r->phase;
        o->all_units = r->a;
        o->units = 0;
    } else if (r->kind == DCV_RECORD_FAILED) {
        o->failed_items += r->b == 0;
    } else if (r->kind == DCV_RECORD_UNITS) {
        o->units += r->phase == o->phase ? r->b : 0;
        s->units += r->b;
        o->last_commit_s = r->time_s;
    }
    return DCV_OK;
}

dcv_status dcv_journal_summarise(const char *output, dcv_journal_summary *out)
{
    *out = (dcv_journal_summary){0};
    summing s = {out, 0, 0};
    DCV_TRY(dcv_journal_read(output, NULL, sum, &s));
    const int64_t took = out->last_commit_s - s.began_s;
    out->units_per_s = took > 0 ? (double)s.units / (double)took : 0;
    if (out->units > out->all_units)
        out->units = out->all_units; /* some were computed twice */
    return DCV_OK;
}
