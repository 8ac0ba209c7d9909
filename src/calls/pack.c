/* pack.c -- deconvoy pack SOURCE -o DATA.h5: a data set of any kind as one HDF5 file.
 *
 * /images u1 [N,H,W] or [N,H,W,3] as the pictures are, or f4 [N,C,H,W] where --preprocess or a float source makes
 * network input of them; /labels i4 [N], -1 unknown; /names.  The file is written beside its name and renamed when
 * it is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "calls/args.h"
#include "calls/call.h"
#include "core/text.h"
#include "deconvoy/dataset.h"
#include "deconvoy/log.h"
#include "deconvoy/store.h"
#include "runtime/file.h"

static const char usage[] =
    "pack SOURCE -o DATA.h5 [--preprocess KEY=VALUE]... [--labels none|folder|FILE] [--path PATH] "
    "[--on-error fail|skip]";

typedef struct pack {
    const char *source, *output, *labels, *path;
    bool skip; /* pictures that cannot be read */
    dcv_preprocess p;
    bool has_p;
    dcv_dataset *d;
    bool floats;      /* /images is network input */
    int64_t *item, n; /* items of d that are kept */
    dcv_store *s;
    int images, label, name; /* data sets of s */
    int64_t name_bytes;
    char *part; /* the file under way */
    int fd;
} pack;

/* --- what to write ---------------------------------------------------------------------------- */

/* Pictures of different sizes fit no array: name the first that differs. */
static dcv_status check_sizes(const pack *k)
{
    int64_t h0 = 0, w0 = 0, first = -1, h, w;
    for (int64_t i = 0; !k->d->fixed && i < k->d->n; i++) {
        dcv_dataset_extent(k->d, i, &h, &w);
        if (h < 1)
            continue; /* cannot be read: told when it is */
        if (first < 0) {
            first = i;
            h0 = h;
            w0 = w;
        } else if (h != h0 || w != w0)
            return dcv_fail(
                DCV_EDATA,
                "%s has %lld x %lld px, %s %lld x %lld; pictures of one file have one size: --preprocess resize=[h,w], "
                "or resize=SIDE and crop=SIDE, makes network input of one size",
                k->d->entry[i].name, (long long)h, (long long)w, k->d->entry[first].name, (long long)h0, (long long)w0);
    }
    return DCV_OK;
}

/* All items, or with --on-error skip those that can be read. */
static dcv_status choose_items(pack *k)
{
    k->item = dcv_alloc((size_t)k->d->n, sizeof *k->item);
    if (!k->item)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < k->d->n; i++) {
        dcv_item it;
        const dcv_status st = k->skip ? dcv_dataset_read(k->d, i, DCV_READ_PICTURE, &it) : DCV_OK;
        if (st == DCV_ENOMEM)
            return st;
        if (st == DCV_OK)
            k->item[k->n++] = i;
        else
            dcv_log_warning("left out: %s", dcv_message());
        if (k->skip && st == DCV_OK)
            dcv_item_clear(&it);
    }
    return k->n ? DCV_OK : dcv_fail(DCV_EDATA, "%s: not one of %lld items can be read", k->source, (long long)k->d->n);
}

static dcv_status declare(pack *k)
{
    const dcv_dataset *d = k->d;
    dcv_dims images = d->dims, one = {1, {k->n}};
    if (!k->floats)
        images = (dcv_dims){d->c == 1 ? 3 : 4, {0, d->max_h, d->max_w, d->c}};
    images.d[0] = k->n;
    k->name_bytes = 1;
    for (int64_t i = 0; i < k->n; i++) {
        const int64_t n = (int64_t)strlen(d->entry[k->item[i]].name);
        k->name_bytes = n > k->name_bytes ? n : k->name_bytes;
    }
    DCV_TRY(dcv_store_new(&k->s));
    DCV_TRY(dcv_store_dataset(k->s, "/images", k->floats ? DCV_F32 : DCV_U8, 0, &images, &k->images));
    DCV_TRY(dcv_store_dataset(k->s, "/labels", DCV_I32, 0, &one, &k->label));
    return dcv_store_dataset(k->s, "/names", DCV_U8, k->name_bytes, &one, &k->name);
}

/* --- writing ------------------------------------------------------------------------------------ */

static dcv_status not_written(const pack *k, int code)
{
    return dcv_fail(DCV_EIO, "%s: %s", k->output, strerror(code));
}

static dcv_status make_file(pack *k)
{
    int64_t bytes = 0;
    char *folder = file_folder(k->output);
    dcv_status st = folder ? file_make_folder(folder) : DCV_ENOMEM;
    dcv_free(folder);
    DCV_TRY(st);
    DCV_TRY(dcv_store_create(k->s, k->part, &bytes));
    k->fd = open(k->part, O_RDWR | O_CLOEXEC);
    if (k->fd < 0)
        return not_written(k, errno);
    if (fallocate(k->fd, 0, 0, bytes) != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return dcv_fail(DCV_EIO, "%s: needs %lld bytes: %s", k->output, (long long)bytes, strerror(errno));
    return DCV_OK;
}

static dcv_status write_at(const pack *k, int set, const void *from, int64_t bytes, int64_t at)
{
    const int code = file_write(k->fd, from, bytes, dcv_store_region(k->s, set)->offset + at);
    return code ? not_written(k, code) : DCV_OK;
}

static dcv_status write_item(const pack *k, int64_t row)
{
    const dcv_region *r = dcv_store_region(k->s, k->images);
    const int64_t bytes = r->bytes / k->n;
    const char *name = k->d->entry[k->item[row]].name;
    dcv_item it;
    DCV_TRY(dcv_dataset_read(k->d, k->item[row], k->floats ? DCV_READ_INPUT : DCV_READ_PICTURE, &it));
    const int64_t got = k->floats ? dcv_count(&it.dims) * 4 : it.picture.h * it.picture.w * it.picture.c;
    dcv_status st;
    if (got != bytes)
        st = dcv_fail(DCV_EDATA, "%s: %lld bytes where the others have %lld", name, (long long)got, (long long)bytes);
    else
        st = write_at(k, k->images, k->floats ? (const void *)it.input : it.picture.px, bytes, row * bytes);
    dcv_item_clear(&it);
    return st;
}

static dcv_status write_labels_and_names(const pack *k)
{
    int32_t *label = dcv_alloc((size_t)k->n, sizeof *label);
    char *name = dcv_alloc((size_t)k->n, (size_t)k->name_bytes);
    dcv_status st = label && name ? DCV_OK : DCV_ENOMEM;
    for (int64_t i = 0; st == DCV_OK && i < k->n; i++) {
        const dcv_entry *e = &k->d->entry[k->item[i]];
        label[i] = e->label;
        (void)dcv_utf8_copy(name + i * k->name_bytes, e->name, (size_t)k->name_bytes);
    }
    if (st == DCV_OK)
        st = write_at(k, k->label, label, k->n * 4, 0);
    if (st == DCV_OK)
        st = write_at(k, k->name, name, k->n * k->name_bytes, 0);
    dcv_free(label);
    dcv_free(name);
    return st;
}

/* Checksums, then on disk, then under its name. */
static dcv_status seal(pack *k)
{
    DCV_TRY(dcv_store_seal(k->s, k->fd));
    if (fsync(k->fd) != 0)
        return not_written(k, errno);
    if (rename(k->part, k->output) != 0)
        return not_written(k, errno);
    char *folder = file_folder(k->output);
    if (folder)
        (void)file_sync_folder(folder);
    dcv_free(folder);
    return DCV_OK;
}

static dcv_status write_all(pack *k)
{
    k->part = dcv_format("%s.part", k->output);
    if (!k->part)
        return DCV_ENOMEM;
    DCV_TRY(make_file(k));
    for (int64_t i = 0; i < k->n; i++)
        DCV_TRY(write_item(k, i));
    DCV_TRY(write_labels_and_names(k));
    return seal(k);
}

/* --- the call ------------------------------------------------------------------------------------- */

static dcv_status open_and_write(pack *k)
{
    DCV_TRY(dcv_dataset_open_plain(k->source, k->labels ? k->labels : "auto", k->path, k->has_p ? &k->p : NULL, &k->d));
    k->floats = k->has_p || k->d->is_float;
    DCV_TRY(check_sizes(k));
    DCV_TRY(choose_items(k));
    DCV_TRY(declare(k));
    dcv_status st = write_all(k);
    if (st != DCV_OK && k->part)
        (void)unlink(k->part);
    if (st == DCV_OK)
        dcv_log_info("%s: %lld items, %d classes, %s", k->output, (long long)k->n, (int)k->d->classes,
                     k->floats      ? "network input"
                     : k->d->c == 1 ? "grey pictures"
                                    : "RGB pictures");
    return st;
}

static dcv_status checked(pack *k, const char *on_error)
{
    if (!k->output)
        return dcv_fail(DCV_EUSAGE, "pack: -o DATA.h5 is missing; deconvoy %s", usage);
    if (on_error && strcmp(on_error, "skip") != 0 && strcmp(on_error, "fail") != 0)
        return dcv_fail(DCV_EUSAGE, "pack: --on-error %s; expected fail or skip", on_error);
    k->skip = on_error && strcmp(on_error, "skip") == 0;
    return DCV_OK;
}

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)exit_code;
    pack k = {.fd = -1};
    const char *on_error = NULL;
    dcv_arg_texts sets = {0};
    dcv_arena *arena = NULL;
    int n;
    const dcv_arg table[] = {{"-o", DCV_ARG_TEXT, &k.output},         {"--preprocess", DCV_ARG_TEXTS, &sets},
                             {"--labels", DCV_ARG_TEXT, &k.labels},   {"--path", DCV_ARG_TEXT, &k.path},
                             {"--on-error", DCV_ARG_TEXT, &on_error}, {0}};
    dcv_status st;
    DCV_TRY_DONE(st, dcv_args_read(argc, argv, usage, table, &k.source, 1, 1, &n));
    DCV_TRY_DONE(st, checked(&k, on_error));
    DCV_TRY_DONE(st, dcv_arena_new(&arena));
    k.has_p = sets.n > 0;
    if (k.has_p)
        DCV_TRY_DONE(st, dcv_preprocess_read(sets.v, sets.n, &k.p, arena));
    st = open_and_write(&k);
done:
    if (k.fd >= 0)
        close(k.fd);
    dcv_store_free(k.s);
    dcv_dataset_free(k.d);
    dcv_free(k.item);
    dcv_free(k.part);
    dcv_arena_free(arena);
    dcv_args_clear(&sets);
    return st;
}

const dcv_call dcv_call_pack = {
    .name = "pack",
    .usage = usage,
    .help = "one HDF5 data set from a folder, list, IDX or tar",
    .run = run,
};
