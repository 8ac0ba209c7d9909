/* output.c -- a result file from skeleton to seal; see part.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <stdio.h>
#include <unistd.h>

#include "core/text.h"
#include "runtime/crc.h"
#include "runtime/file.h"
#include "runtime/part.h"
#include "runtime/wire.h"
#include "deconvoy/hash.h"
#include "deconvoy/memory.h"
#include "deconvoy/stop.h"

#define SKELETON_BYTES (64 << 10) /* names, shapes, attributes: about */
#define JOIN_MOST      64         /* stretches, and failures, of units that are reported as one */
#define MAX_FAILURES   10000      /* rows of /failures at most */

dcv_status output_new(const dcv_config *c, dcv_output **out)
{
    *out = NULL;
    dcv_output *o = dcv_alloc(1, sizeof *o);
    if (!o)
        return DCV_ENOMEM;
    o->fd = o->count_id = o->item_id = o->message_id = o->crc_id = o->partial_id = -1;
    o->disk = c->runtime.durability == DCV_DISK;
    o->final = dcv_strdup(dcv_config_path(c, c->output));
    if (o->final) {
        const size_t n = strlen(o->final);
        const size_t cut = n > 3 && !strcmp(o->final + n - 3, ".h5") ? n - 3 : n;
        o->part = dcv_format("%s.part", o->final);
        o->stem = dcv_format("%.*s", (int)cut, o->final);
        o->folder = file_folder(o->final);
    }
    if (!o->final || !o->part || !o->stem || !o->folder) {
        output_free(o);
        return DCV_ENOMEM;
    }
    *out = o;
    return DCV_OK;
}

void output_free(dcv_output *o)
{
    if (!o)
        return;
    if (o->fd >= 0)
        close(o->fd);
    dcv_free(o->final);
    dcv_free(o->part);
    dcv_free(o->folder);
    dcv_free(o->stem);
    dcv_free(o);
}

dcv_status output_declare(dcv_output *o, dcv_store *s, int64_t n_items)
{
    o->store = s;
    o->n_items = n_items;
    if (n_items <= 0)
        return DCV_OK;
    o->n_failures = n_items < MAX_FAILURES ? n_items : MAX_FAILURES;
    const dcv_dims scalar = {0}, rows = {1, {o->n_failures}};
    DCV_TRY(dcv_store_dataset(s, "/failures/count", DCV_I64, 0, &scalar, &o->count_id));
    DCV_TRY(dcv_store_dataset(s, "/failures/item", DCV_I64, 0, &rows, &o->item_id));
    return dcv_store_dataset(s, "/failures/message", DCV_U8, FAILURE_TEXT, &rows, &o->message_id);
}

dcv_status output_declare_partial(dcv_output *o, dcv_store *s, int64_t n_blocks, size_t state_bytes)
{
    const dcv_dims dims = {2, {n_blocks, (int64_t)state_bytes}};
    DCV_TRY(dcv_dims_check(&dims));
    return dcv_store_dataset(s, "/partial/state", DCV_U8, 0, &dims, &o->partial_id);
}

dcv_status output_writable(const dcv_output *o)
{
    struct stat s;
    if (!stat(o->final, &s) && S_ISDIR(s.st_mode))
        return dcv_fail(DCV_EIO, "%s: this is a folder; output must be a file", o->final);
    return file_may_write(o->folder);
}

dcv_status output_folder(dcv_output *o)
{
    DCV_TRY(file_make_folder(o->folder));
    return output_writable(o);
}

static dcv_status no_space(const dcv_output *o, int err)
{
    struct statvfs fs;
    file_size_text need, there;
    if ((err != ENOSPC && err != EDQUOT && err != EFBIG) || statvfs(o->folder, &fs))
        return dcv_fail(DCV_EIO, "%s: %s", o->part, strerror(err));
    return dcv_fail(DCV_EIO, "%s: %s; needs %s, free %s", o->part, strerror(err), file_size_print(o->file_bytes, need),
                    file_size_print((int64_t)fs.f_bavail * (int64_t)fs.f_frsize, there));
}

/* All space of the file is ours from here on: no write below can meet a full disk. */
static int reserve(int fd, int64_t bytes)
{
    for (;;) {
        if (!fallocate(fd, 0, 0, bytes))
            return 0;
        if (errno != EINTR)
            break;
    }
    return errno == EOPNOTSUPP || errno == ENOSYS ? posix_fallocate(fd, 0, bytes) : errno;
}

typedef struct verdict { /* of the child that makes the skeleton */
    int32_t status, said;
    char message[1024];
} verdict;

/* A process of its own makes the skeleton: HDF5 that has met a full disk crashes later, when the library ends. */
static dcv_status make_skeleton(dcv_output *o, const char *tmp)
{
    verdict v = {0};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return dcv_fail(DCV_EIO, "pipe: %s", strerror(errno));
    const pid_t child = fork();
    if (child == 0) {
        int64_t bytes;
        v.status = dcv_store_create(o->store, tmp, &bytes);
        v.said = 1;
        snprintf(v.message, sizeof v.message, "%s", dcv_message());
        _exit(write(ends[1], &v, sizeof v) != sizeof v);
    }
    close(ends[1]);
    const ssize_t n = child < 0 ? 0 : read(ends[0], &v, sizeof v);
    close(ends[0]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    if (n != sizeof v || !v.said)
        return dcv_fail(DCV_EIO, "%s: HDF5 could not write it", tmp);
    if (v.status != DCV_OK)
        return dcv_fail((dcv_status)v.status, "%s", v.message);
    struct stat about;
    if (stat(tmp, &about))
        return dcv_fail(DCV_EIO, "%s: %s", tmp, strerror(errno));
    o->file_bytes = about.st_size;
    return dcv_store_attach(o->store, tmp);
}

/* Is there room at all?  HDF5 is a bad teller of full disks. */
dcv_status output_space(dcv_output *o)
{
    struct statvfs fs;
    int64_t bytes = SKELETON_BYTES;
    for (int i = 0; i < dcv_store_count(o->store); i++)
        bytes += dcv_store_region(o->store, i)->bytes;
    o->file_bytes = bytes;
    if (statvfs(o->folder, &fs) || (int64_t)fs.f_bavail > bytes / (int64_t)fs.f_frsize)
        return DCV_OK;
    return no_space(o, ENOSPC);
}

static dcv_status create(dcv_output *o, const char *tmp)
{
    unlink(tmp);
    DCV_TRY(output_space(o));
    DCV_TRY(make_skeleton(o, tmp));
    const int fd = open(tmp, O_RDWR | O_CLOEXEC);
    int err = fd < 0 ? errno : reserve(fd, o->file_bytes);
    if (!err && o->disk && fsync(fd))
        err = errno;
    if (fd >= 0)
        close(fd);
    if (!err && rename(tmp, o->part))
        err = errno;
    if (!err && o->disk)
        err = file_sync_folder(o->folder);
    return err ? no_space(o, err) : DCV_OK;
}

dcv_status output_create(dcv_output *o)
{
    char *tmp = dcv_format("%s.tmp", o->part);
    if (!tmp)
        return DCV_ENOMEM;
    const dcv_status st = create(o, tmp);
    if (st != DCV_OK)
        unlink(tmp);
    dcv_free(tmp);
    return st;
}

dcv_status output_attach(dcv_output *o)
{
    struct stat about;
    if (stat(o->part, &about))
        return dcv_fail(DCV_EIO, "%s: %s", o->part, strerror(errno));
    o->file_bytes = about.st_size;
    return dcv_store_attach(o->store, o->part);
}

/* A node's NFS client writes whole pages where it thinks that it knows them, and with them what it believes other nodes
 * have written; not where a file is opened for synchronous writing. */
static int flags_on_nodes(const dcv_output *o)
{
    struct statfs fs;
    const bool nfs = !statfs(o->folder, &fs) && fs.f_type == NFS_SUPER_MAGIC;
    return nfs && wire_size(WIRE_NODE) < wire_size(WIRE_WORLD) ? O_DSYNC : 0;
}

dcv_status output_open(dcv_output *o)
{
    o->fd = open(o->part, O_RDWR | O_CLOEXEC | flags_on_nodes(o));
    return o->fd < 0 ? dcv_fail(DCV_EIO, "%s: %s", o->part, strerror(errno)) : DCV_OK;
}

dcv_status output_sync(dcv_output *o)
{
    if (!o->disk || !fdatasync(o->fd))
        return DCV_OK;
    return dcv_fail(DCV_EIO, "%s: %s", o->part, strerror(errno));
}

/* --- What one unit puts ------------------------------------------------------------ */

/* Room for one more element of size bytes in a growing array. */
static bool room(void **at, int n, int *cap, size_t size)
{
    if (n < *cap)
        return true;
    const int more = *cap ? 2 * *cap : 8;
    void *grown = dcv_realloc(*at, (size_t)*cap, (size_t)more, size);
    if (!grown)
        return false;
    *at = grown;
    *cap = more;
    return true;
}

/* Note bytes that were written; a stretch that goes on where another ended becomes one with it. */
static dcv_status note(dcv_result *r, int64_t offset, int64_t bytes, const void *values)
{
    for (int i = r->n_at - 1; i >= 0 && i > r->n_at - 17; i--)
        if (r->at[i].offset + r->at[i].bytes == offset) {
            r->at[i].crc = dcv_crc32c(r->at[i].crc, values, (size_t)bytes);
            r->at[i].bytes += bytes;
            return DCV_OK;
        }
    if (!room((void **)&r->at, r->n_at, &r->cap_at, sizeof *r->at))
        return DCV_ENOMEM;
    r->at[r->n_at++] = (written){offset, bytes, dcv_crc32c(0, values, (size_t)bytes)};
    return DCV_OK;
}

dcv_status dcv_result_put(dcv_result *r, int id, int64_t first, int64_t n, const void *values)
{
    const dcv_output *o = r->out;
    DCV_CHECK(id >= 0 && id < dcv_store_count(o->store));
    const dcv_region *at = dcv_store_region(o->store, id);
    const int64_t elem = (int64_t)at->elem_bytes;
    if (first < 0 || n < 0 || first > at->bytes / (elem ? elem : 1) - n)
        return dcv_fail(DCV_EINTERNAL, "%s has no elements %lld + %lld", at->path, (long long)first, (long long)n);
    if (!n)
        return DCV_OK;
    const double t = now_s();
    const int err = file_write(o->fd, values, n * elem, at->offset + first * elem);
    if (err)
        return dcv_fail(DCV_EIO, "%s: %s: %s", o->part, at->path, strerror(err));
    DCV_TRY(note(r, at->offset + first * elem, n * elem, values));
    r->write_s += now_s() - t;
    return DCV_OK;
}

/* At most 199 bytes of one line of UTF-8, cut where a character ends. */
static void one_line(char *to, const char *text)
{
    const size_t n = dcv_utf8_copy(to, text, FAILURE_TEXT - 1);
    for (size_t i = 0; i < n; i++)
        if (to[i] == '\n' || to[i] == '\r')
            to[i] = ' ';
    memset(to + n, 0, FAILURE_TEXT - n);
}

dcv_status dcv_result_fail_item(dcv_result *r, int64_t item, const char *message)
{
    if (item < 0 || item >= r->out->n_items)
        return dcv_fail(DCV_EINTERNAL, "there is no item %lld", (long long)item);
    if (!room((void **)&r->failed, r->n_failed, &r->cap_failed, sizeof *r->failed))
        return DCV_ENOMEM;
    failure *f = &r->failed[r->n_failed++];
    f->item = item;
    one_line(f->message, message);
    return DCV_OK;
}

void result_clear(dcv_result *r)
{
    dcv_free(r->at);
    dcv_free(r->failed);
    *r = (dcv_result){.out = r->out};
}

/* The stretch of r that ends where this one begins, or a new one. */
static void join_one(dcv_result *r, const written *w)
{
    for (int i = 0; i < r->n_at; i++)
        if (r->at[i].offset + r->at[i].bytes == w->offset) {
            r->at[i].crc = crc_combine(r->at[i].crc, w->crc, w->bytes);
            r->at[i].bytes += w->bytes;
            return;
        }
    r->at[r->n_at++] = *w;
}

bool result_join(dcv_result *r, const dcv_result *more)
{
    if (r->n_at + more->n_at > JOIN_MOST || r->n_failed + more->n_failed > JOIN_MOST)
        return false;
    while (r->cap_at < JOIN_MOST && more->n_at)
        if (!room((void **)&r->at, r->cap_at, &r->cap_at, sizeof *r->at))
            return false;
    while (r->cap_failed < JOIN_MOST && more->n_failed)
        if (!room((void **)&r->failed, r->cap_failed, &r->cap_failed, sizeof *r->failed))
            return false;
    for (int i = 0; i < more->n_at; i++)
        join_one(r, &more->at[i]);
    for (int i = 0; i < more->n_failed; i++)
        r->failed[r->n_failed++] = more->failed[i];
    return true;
}

/* --- The end ----------------------------------------------------------------------- */

/* The CRCs of all regions, by pieces that the ranks of rank 0's node share out. */
static dcv_status sum_regions(dcv_output *o, uint32_t *crc)
{
    const int n_regions = dcv_store_count(o->store);
    dcv_status st = DCV_OK;
    int n = 0;
    for (int i = 0; i < n_regions; i++)
        n += crc_pieces(dcv_store_region(o->store, i)->bytes);
    crc_piece *piece = dcv_alloc((size_t)n, sizeof *piece);
    uint32_t *sum = dcv_alloc((size_t)n, sizeof *sum);
    DCV_CHECK(piece && sum); /* the ranks must stay together here */
    for (int i = 0, k = 0; i < n_regions; i++) {
        const dcv_region *r = dcv_store_region(o->store, i);
        k += crc_cut(i, r->offset, r->bytes, piece + k);
    }
    int32_t root = wire_rank(WIRE_WORLD);
    wire_bcast(WIRE_NODE, 0, &root, sizeof root);
    for (int k = wire_rank(WIRE_NODE); root == 0 && k < n && st == DCV_OK; k += wire_size(WIRE_NODE)) {
        st = dcv_stop_check("computing check sums");
        if (st == DCV_OK)
            st = dcv_store_crc(o->fd, piece[k].offset, piece[k].bytes, &sum[k]);
    }
    wire_or_u32(sum, n);
    for (int k = 0; k < n; k++)
        crc[piece[k].id] = crc_combine(crc[piece[k].id], sum[k], piece[k].bytes);
    dcv_free(piece);
    dcv_free(sum);
    return st == DCV_OK ? st : dcv_fail_in(st, "%s", o->part);
}

dcv_status output_checksums(dcv_output *o)
{
    const int n = dcv_store_count(o->store);
    uint32_t *crc = dcv_alloc((size_t)n, sizeof *crc);
    DCV_CHECK(crc);
    dcv_status st = sum_regions(o, crc);
    if (st == DCV_OK && wire_rank(WIRE_WORLD) == 0) {
        const int err = file_write(o->fd, crc, 4 * (int64_t)n, dcv_store_checksums(o->store)->offset);
        if (err)
            st = dcv_fail(DCV_EIO, "%s: %s", o->part, strerror(err));
    }
    dcv_free(crc);
    return st;
}

dcv_status output_seal(dcv_output *o)
{
    int err = o->disk && fsync(o->fd) ? errno : 0;
    if (!err && rename(o->part, o->final))
        err = errno;
    if (!err && o->disk)
        err = file_sync_folder(o->folder);
    return err ? dcv_fail(DCV_EIO, "%s: %s", o->final, strerror(err)) : DCV_OK;
}
