/* fold.c -- see fold.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "deconvoy/memory.h"
#include "deconvoy/stop.h"
#include "runtime/file.h"
#include "runtime/fold.h"
#include "runtime/plan.h"

#define KEEP_S      4.0 /* the running state is written at least this often while blocks come in */
#define KEEP_BLOCKS 256 /* and after so many, so that their files do not pile up */

struct fold {
    fold_options o;
    const dcv_job_kind *kind;
    void *state, *block; /* running, and room for one block's */
    int64_t block_units;
    int64_t folded, kept; /* blocks; of them in the running state on disk */
    uint32_t kept_generation;
    double kept_s;
};

static block_place place_of(const fold *f, int64_t block)
{
    return (block_place){f->o.out, f->o.plan, f->o.phase_number, block, f->o.phase.state_bytes};
}

static dcv_status begin(fold *f)
{
    const block_place at = place_of(f, BLOCK_RUNNING);
    f->state = dcv_alloc(1, f->o.phase.state_bytes);
    f->block = dcv_alloc(1, f->o.phase.state_bytes);
    if (!f->state || !f->block)
        return DCV_ENOMEM;
    DCV_TRY(block_read(&at, -1, f->state, &f->folded, &f->kept_generation));
    if (f->folded < 0) {
        f->folded = 0;
        f->kind->state_clear(f->o.job, f->o.phase_number, f->state);
    }
    f->kept = f->folded;
    return DCV_OK;
}

dcv_status fold_new(const fold_options *o, fold **out)
{
    *out = NULL;
    fold *f = dcv_alloc(1, sizeof *f);
    if (!f)
        return DCV_ENOMEM;
    f->o = *o;
    f->kind = o->job->kind;
    f->block_units = plan_block_units(&o->phase);
    const dcv_status st = begin(f);
    if (st != DCV_OK)
        fold_free(f);
    else
        *out = f;
    return st;
}

void fold_free(fold *f)
{
    if (!f)
        return;
    dcv_free(f->state);
    dcv_free(f->block);
    dcv_free(f);
}

int64_t fold_blocks(const fold *f)
{
    return f ? f->folded : 0;
}

bool fold_is_complete(const fold *f)
{
    return !f || f->o.apart || f->folded * f->block_units >= f->o.phase.n_units;
}

void *fold_state(fold *f)
{
    return f ? f->state : NULL;
}

/* The whole state of a finished block. */
static dcv_status read_block(fold *f, int64_t block)
{
    const block_place at = place_of(f, block);
    const int64_t left = f->o.phase.n_units - block * f->block_units,
                  want = left < f->block_units ? left : f->block_units;
    int64_t units = 0;
    uint32_t generation;
    DCV_TRY(block_read(&at, want, f->block, &units, &generation));
    if (units != want)
        return dcv_fail(DCV_EIO, "%s: the state of block %lld is gone", f->o.out->final, (long long)block);
    return DCV_OK;
}

/* Blocks that are in the running state on disk need no files of their own. */
static dcv_status keep(fold *f)
{
    block_place at = place_of(f, BLOCK_RUNNING);
    int fd = -1;
    const uint32_t generation = f->kept_generation + 1;
    DCV_TRY(block_write(&at, block_slot(0, generation, false), generation, f->folded, f->state, &fd));
    int err = f->o.out->disk && fdatasync(fd) ? errno : 0;
    close(fd);
    if (!err && f->o.out->disk)
        err = file_sync_folder(f->o.out->folder);
    if (err)
        return dcv_fail(DCV_EIO, "%s: running state: %s", f->o.out->final, strerror(err));
    for (at.block = f->kept; at.block < f->folded; at.block++)
        block_remove(&at);
    f->kept = f->folded;
    f->kept_generation = generation;
    f->kept_s = now_s();
    return DCV_OK;
}

static bool keep_is_due(const fold *f)
{
    return f->folded > f->kept &&
           (fold_is_complete(f) || f->folded - f->kept >= KEEP_BLOCKS || now_s() - f->kept_s >= KEEP_S);
}

dcv_status fold_step(fold *f, const dcv_worklist *list, bool *any)
{
    *any = false;
    if (!f)
        return DCV_OK;
    if (!fold_is_complete(f) && dcv_worklist_block_is_done(list, f->folded)) {
        DCV_TRY(read_block(f, f->folded));
        f->kind->state_fold(f->o.job, f->o.phase_number, f->state, f->block);
        f->folded++;
        *any = true;
    }
    if (!keep_is_due(f))
        return DCV_OK;
    *any = true;
    return keep(f);
}

dcv_status fold_put_apart(fold *f, int64_t first, int64_t end, dcv_result *r)
{
    const int64_t bytes = (int64_t)f->o.phase.state_bytes;
    for (int64_t block = first; block < end; block++) {
        DCV_TRY(dcv_stop_check("putting states of blocks into the result"));
        DCV_TRY(read_block(f, block));
        DCV_TRY(dcv_result_put(r, f->o.out->partial_id, (block - first) * bytes, bytes, f->block));
    }
    return DCV_OK;
}
