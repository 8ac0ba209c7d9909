/* merge.c -- the results of all slices become one.
 *
 * Nothing is folded or finished here.  Regions of the parts are laid over each other (a byte that a part did not write
 * is 0), states of blocks and failed items take the form in which a run leaves them when it is stopped; then the run
 * of the whole plan goes on, and has nothing left to compute in its first phase.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "deconvoy/journal.h"
#include "deconvoy/memory.h"
#include "deconvoy/run.h"
#include "deconvoy/stop.h"
#include "deconvoy/worklist.h"
#include "runtime/blocks.h"
#include "runtime/file.h"
#include "runtime/lease.h"
#include "runtime/plan.h"

#define CHUNK_BYTES  (4 << 20)
#define STATUS_ITEMS (1 << 20) /* read at a time */

typedef struct slice_file {
    const char *path;
    dcv_h5 *h5;
    int fd;
} slice_file;

typedef struct merge {
    const dcv_job_kind *kind;
    const dcv_config *c;
    dcv_job *job;
    dcv_store *store;
    dcv_output *out;
    lease *lease;
    plan_hash hash;
    slice_file *part; /* [n], in the order of their slices */
    int n;
    dcv_phase phase;
    dcv_journal *journal;
    bool laid; /* all of it, by an earlier start */
} merge;

/* --- Which part is which ----------------------------------------------------------- */

static dcv_status want_attribute(const slice_file *p, const char *name, const char *want, const char *what)
{
    char *is = dcv_h5_attribute(p->h5, "/", name);
    const bool equal = is && !strcmp(is, want);
    dcv_free(is);
    return equal ? DCV_OK : dcv_fail(DCV_EDATA, "%s: %s", p->path, what);
}

/* Open a part and put it into its place. */
static dcv_status place(merge *m, const char *path)
{
    slice_file p = {.path = path, .fd = -1};
    dcv_whole whole;
    DCV_TRY(dcv_verify(path, &whole));
    DCV_TRY(dcv_h5_open(path, &p.h5));
    long long i = -1, n = -1;
    char *slice = dcv_h5_attribute(p.h5, "/", "slice");
    if (!slice || sscanf(slice, "%lld of %lld", &i, &n) != 2)
        n = -1;
    dcv_free(slice);
    dcv_status st = DCV_OK;
    if (n < 0)
        st = dcv_fail(DCV_EDATA, "%s: not a part; expected the result of a run with dataset.slice", path);
    else if (n != m->n)
        st = dcv_fail(DCV_EDATA, "%s: part %lld of %lld, and %d parts are given; expected all parts of one plan", path,
                      i, n, m->n);
    else if (i < 0 || i >= n || m->part[i].path)
        st = dcv_fail(DCV_EDATA, "%s: part %lld of %lld is given twice", path, i, n);
    if (st == DCV_OK)
        st = want_attribute(&p, "plan_whole_sha256", m->hash.whole.hex,
                            "a part of another plan (its configuration, model or data differ)");
    if (st == DCV_OK)
        st = want_attribute(&p, "numerics", m->job->numerics ? m->job->numerics : "",
                            "computed with other numerics than the other parts or than this machine has");
    if (st == DCV_OK && (p.fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        st = dcv_fail(DCV_EIO, "%s: %s", path, strerror(errno));
    if (st == DCV_OK)
        m->part[i] = p;
    else
        dcv_h5_close(p.h5);
    return st;
}

/* --- Regions ----------------------------------------------------------------------- */

/* Lay n bytes of all parts over each other. */
static dcv_status lay_chunk(const merge *m, const int64_t *from, int64_t at, int64_t to, int64_t n, uint64_t *sum,
                            uint64_t *one)
{
    const size_t words = (size_t)(n + 7) / 8;
    bool any = false;
    memset(sum, 0, words * 8);
    for (int i = 0; i < m->n; i++) {
        one[words - 1] = 0;
        const int err = file_read(m->part[i].fd, one, n, from[i] + at);
        if (err)
            return dcv_fail(DCV_EIO, "%s: %s", m->part[i].path, strerror(err));
        for (size_t w = 0; w < words; w++)
            sum[w] |= one[w];
    }
    for (size_t w = 0; w < words && !any; w++)
        any = sum[w];
    const int err = any ? file_write(m->out->fd, sum, n, to) : 0; /* the file is all zeros yet */
    return err ? dcv_fail(DCV_EIO, "%s: %s", m->out->part, strerror(err)) : DCV_OK;
}

static dcv_status lay_region(const merge *m, const dcv_region *r, int64_t *from, uint64_t *sum, uint64_t *one)
{
    for (int i = 0; i < m->n; i++) {
        int64_t bytes;
        DCV_TRY(dcv_h5_storage(m->part[i].h5, r->path, &from[i], &bytes));
        if (bytes != r->bytes)
            return dcv_fail(DCV_EDATA, "%s: %s has another size than in the plan", m->part[i].path, r->path);
    }
    for (int64_t at = 0; at < r->bytes; at += CHUNK_BYTES) {
        const int64_t n = r->bytes - at < CHUNK_BYTES ? r->bytes - at : CHUNK_BYTES;
        DCV_TRY(dcv_stop_check("joining parts"));
        DCV_TRY(lay_chunk(m, from, at, r->offset + at, n, sum, one));
    }
    return DCV_OK;
}

static dcv_status lay_regions(const merge *m)
{
    int64_t *from = dcv_alloc((size_t)m->n, sizeof *from);
    uint64_t *sum = dcv_alloc(1, CHUNK_BYTES), *one = dcv_alloc(1, CHUNK_BYTES);
    dcv_status st = from && sum && one ? DCV_OK : DCV_ENOMEM;
    for (int id = 0; id < dcv_store_count(m->store) && st == DCV_OK; id++) {
        const dcv_region *r = dcv_store_region(m->store, id);
        const bool ours = id == m->out->count_id || id == m->out->item_id || id == m->out->message_id;
        if (!r->preset && !ours && r->bytes)
            st = lay_region(m, r, from, sum, one);
    }
    dcv_free(from);
    dcv_free(sum);
    dcv_free(one);
    return st;
}

/* --- States, failures, units ------------------------------------------------------- */

static dcv_status keep_states(const merge *m, int i)
{
    const int64_t parts = m->n, per_block = plan_block_units(&m->phase), all = m->phase.n_units;
    const int64_t n = (all + per_block - 1) / per_block, first = n * i / parts, end = n * (i + 1) / parts;
    void *state = dcv_alloc(1, m->phase.state_bytes);
    dcv_status st = state ? DCV_OK : DCV_ENOMEM;
    block_place at = {m->out, &m->hash.plan, 0, first, m->phase.state_bytes};
    for (; st == DCV_OK && at.block < end; at.block++) {
        int fd = -1;
        const int64_t units = all - at.block * per_block < per_block ? all - at.block * per_block : per_block;
        st = dcv_h5_read(m->part[i].h5, "/partial/state", DCV_U8, at.block - first, 1, state);
        if (st == DCV_OK)
            st = block_write(&at, block_slot(0, 1, true), 1, units, state, &fd);
        if (st == DCV_OK && m->out->disk && fdatasync(fd))
            st = dcv_fail(DCV_EIO, "%s: state of block %lld: %s", m->out->final, (long long)at.block, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    dcv_free(state);
    return st;
}

static dcv_status keep_failure(const merge *m, int64_t item, const char *text)
{
    for (int64_t k = 0; k * DCV_RECORD_TEXT < FAILURE_TEXT && (!k || text[k * DCV_RECORD_TEXT]); k++) {
        dcv_record r = {.kind = DCV_RECORD_FAILED, .a = item, .b = k};
        memcpy(r.text, text + k * DCV_RECORD_TEXT, DCV_RECORD_TEXT);
        DCV_TRY(dcv_journal_add(m->journal, &r));
    }
    return DCV_OK;
}

/* A part lists its first failures only.  Others are no earlier in the whole either, so they are but counted there:
 * which ones they are is what /inputs/status says. */
static dcv_status keep_unlisted(const merge *m, int i, int64_t first)
{
    const char *path = "/inputs/status";
    static const char none[FAILURE_TEXT + DCV_RECORD_TEXT];
    if (!dcv_h5_has(m->part[i].h5, path))
        return dcv_fail(DCV_EDATA, "%s: has more failures than it lists, and no %s", m->part[i].path, path);
    uint8_t *status = dcv_alloc(1, STATUS_ITEMS);
    dcv_status st = status ? DCV_OK : DCV_ENOMEM;
    for (int64_t at = first; at < m->out->n_items && st == DCV_OK; at += STATUS_ITEMS) {
        const int64_t left = m->out->n_items - at, n = left < STATUS_ITEMS ? left : STATUS_ITEMS;
        st = dcv_h5_read(m->part[i].h5, path, DCV_U8, at, n, status);
        for (int64_t k = 0; k < n && st == DCV_OK; k++)
            if (status[k] == 2)
                st = keep_failure(m, at + k, none);
        if (st == DCV_OK)
            st = dcv_journal_write(m->journal);
    }
    dcv_free(status);
    return st;
}

static dcv_status keep_failures(const merge *m, int i)
{
    if (m->out->n_failures <= 0)
        return DCV_OK;
    int64_t count = 0, listed = 0;
    const size_t rows = (size_t)m->out->n_failures;
    int64_t *item = dcv_alloc(rows, sizeof *item);
    char *text = dcv_alloc(rows, FAILURE_TEXT), padded[FAILURE_TEXT + DCV_RECORD_TEXT] = "";
    dcv_status st = item && text ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK)
        st = dcv_h5_read(m->part[i].h5, "/failures/item", DCV_I64, 0, (int64_t)rows, item);
    if (st == DCV_OK)
        st = dcv_h5_read_text(m->part[i].h5, "/failures/message", 0, (int64_t)rows, text, FAILURE_TEXT);
    for (size_t k = 0; k < rows && st == DCV_OK && item[k] >= 0; k++) {
        memcpy(padded, text + k * FAILURE_TEXT, FAILURE_TEXT);
        st = keep_failure(m, item[k], padded);
        listed++;
    }
    if (st == DCV_OK)
        st = dcv_h5_read(m->part[i].h5, "/failures/count", DCV_I64, 0, 1, &count);
    if (st == DCV_OK && count > listed)
        st = keep_unlisted(m, i, listed ? item[listed - 1] + 1 : 0);
    dcv_free(item);
    dcv_free(text);
    return st;
}

/* The first phase is done, as far as a run that goes on can see. */
static dcv_status write_journal(merge *m)
{
    DCV_TRY(dcv_journal_new(m->out->final, &m->hash.plan, m->out->disk, &m->journal));
    for (int i = 0; i < m->n; i++)
        DCV_TRY(keep_failures(m, i));
    const dcv_record units = {.kind = DCV_RECORD_UNITS, .a = 0, .b = m->phase.n_units};
    DCV_TRY(dcv_journal_add(m->journal, &units));
    DCV_TRY(dcv_journal_write(m->journal));
    return m->out->disk && fdatasync(dcv_journal_descriptor(m->journal))
               ? dcv_fail(DCV_EIO, "%s: journal: %s", m->out->final, strerror(errno))
               : DCV_OK;
}

/* --- All of it --------------------------------------------------------------------- */

static dcv_status declare(merge *m)
{
    DCV_TRY(dcv_store_new(&m->store));
    DCV_TRY(plan_hash_of(m->c, m->job, &m->hash));
    DCV_TRY(plan_stamp(m->c, m->job, &m->hash, m->store));
    DCV_TRY(m->kind->declare(m->job, m->store));
    DCV_TRY(output_new(m->c, &m->out));
    DCV_TRY(output_declare(m->out, m->store, m->job->n_items));
    return m->kind->phase(m->job, 0, &m->phase);
}

/* A result that is there already: of this plan it is what we would make; of another it stays. */
static dcv_status look_at_final(const merge *m, bool *complete)
{
    *complete = false;
    if (access(m->out->final, F_OK))
        return DCV_OK;
    char *differs;
    DCV_TRY(plan_compare(m->out->final, m->c, m->job, &m->hash, &differs));
    *complete = !differs;
    const dcv_status st =
        differs ? dcv_fail(DCV_ECONFIG, "%s is there and belongs to another plan: %s; give another output",
                           m->out->final, differs)
                : DCV_OK;
    dcv_free(differs);
    return st;
}

static dcv_status find_all_units(void *ctx, const dcv_record *r)
{
    merge *m = ctx;
    m->laid = m->laid || (r->kind == DCV_RECORD_UNITS && !r->phase && !r->a && r->b == m->phase.n_units);
    return DCV_OK;
}

/* A .part that is there: of a join that was stopped after all had been laid out it is gone on with; what else there is
 * of this plan is contained in the parts; another plan's stays. */
static dcv_status look_at_part(merge *m)
{
    if (access(m->out->part, F_OK))
        return DCV_OK;
    char *differs;
    DCV_TRY(plan_compare(m->out->part, m->c, m->job, &m->hash, &differs));
    const dcv_status st =
        differs
            ? dcv_fail(DCV_ECONFIG, "%s is there and belongs to another plan: %s; give another output, or remove it",
                       m->out->part, differs)
            : dcv_journal_read(m->out->final, &m->hash.plan, find_all_units, m);
    dcv_free(differs);
    return st;
}

static dcv_status lay_out(merge *m, const char *const *parts)
{
    bool complete;
    DCV_TRY(m->kind->open(m->c, NULL, (int)m->c->runtime.threads, &m->job));
    DCV_TRY(declare(m));
    for (int i = 0; i < m->n; i++)
        DCV_TRY(place(m, parts[i]));
    DCV_TRY(output_folder(m->out));
    DCV_TRY(lease_take(m->out, m->c->runtime.wait, &m->lease));
    DCV_TRY(look_at_final(m, &complete));
    if (complete)
        return DCV_OK;
    DCV_TRY(look_at_part(m));
    if (m->laid)
        return DCV_OK;
    DCV_TRY(dcv_journal_remove(m->out->final));
    DCV_TRY(blocks_remove_all(m->out));
    DCV_TRY(output_create(m->out));
    DCV_TRY(output_open(m->out));
    DCV_TRY(lay_regions(m));
    for (int i = 0; i < m->n && plan_gathers(&m->phase); i++)
        DCV_TRY(keep_states(m, i));
    DCV_TRY(output_sync(m->out));
    const int err = m->out->disk ? file_sync_folder(m->out->folder) : 0;
    if (err)
        return dcv_fail(DCV_EIO, "%s: %s", m->out->folder, strerror(err));
    return write_journal(m);
}

dcv_status dcv_merge(const dcv_job_kind *kind, const dcv_config *c, const char *const *parts, int n)
{
    merge m = {.kind = kind, .c = c, .n = n};
    m.part = dcv_alloc((size_t)n, sizeof *m.part);
    dcv_status st = m.part ? lay_out(&m, parts) : DCV_ENOMEM;
    for (int i = 0; m.part && i < n; i++)
        if (m.part[i].path) {
            dcv_h5_close(m.part[i].h5);
            close(m.part[i].fd);
        }
    dcv_free(m.part);
    dcv_journal_free(m.journal);
    lease_free(m.lease);
    output_free(m.out);
    dcv_store_free(m.store);
    if (m.job)
        kind->close(m.job);
    bool speaks;
    const dcv_run_options whole = {.deadline_s = -1};
    return st == DCV_OK ? dcv_run(kind, c, &whole, &speaks) : st;
}
