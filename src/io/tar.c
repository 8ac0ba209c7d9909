/* tar.c -- pictures in a tar archive (ustar, pax, GNU), through libarchive.
 *
 * The archive is walked once, skipping the data, to learn where each picture's header is; an item is read by
 * starting a reader of its own there.  Members are never written anywhere: their names are labels, not paths.
 * Links, hidden files and what is no picture by its extension are left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <archive.h>
#include <archive_entry.h>
#include "deconvoy/stop.h"
#include "io/source.h"

enum { BLOCK_BYTES = 1 << 16 };

typedef struct reader { /* a window onto the file that only pread moves */
    int fd;
    int64_t at, end;
    uint8_t *block;
} reader;

static la_ssize_t give(struct archive *a, void *ctx, const void **to)
{
    reader *r = ctx;
    ssize_t got;
    do
        got = pread(r->fd, r->block, BLOCK_BYTES, r->at);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        archive_set_error(a, errno, "%s", strerror(errno));
    else
        r->at += got;
    *to = r->block;
    return got;
}

static la_int64_t skip(struct archive *a, void *ctx, la_int64_t n)
{
    reader *r = ctx;
    (void)a;
    if (n > r->end - r->at) /* past the end: let the reading fail there */
        n = r->end > r->at ? r->end - r->at : 0;
    r->at += n;
    return n;
}

static dcv_status archive_failed(struct archive *a, const char *name)
{
    const char *why = archive_error_string(a);
    return dcv_fail(DCV_EDATA, "%s: tar: %s", name, why ? why : "broken");
}

/* An archive that starts at offset `at` of the file. */
static dcv_status start(reader *r, const dcv_source *s, int64_t at, struct archive **out)
{
    *out = NULL;
    r->fd = *(const int *)s->own;
    r->at = at;
    r->end = s->file_bytes;
    r->block = dcv_alloc(BLOCK_BYTES, 1);
    if (!r->block)
        return DCV_ENOMEM;
    struct archive *a = archive_read_new();
    if (!a) {
        dcv_free(r->block);
        return dcv_fail(DCV_ENOMEM, "out of memory for libarchive");
    }
    archive_read_support_format_tar(a);
    archive_read_set_read_callback(a, give);
    archive_read_set_skip_callback(a, skip);
    archive_read_set_callback_data(a, r);
    *out = a;
    if (archive_read_open1(a) == ARCHIVE_OK)
        return DCV_OK;
    return archive_failed(a, s->shown);
}

static void stop(reader *r, struct archive *a)
{
    if (!a)
        return;
    archive_read_free(a);
    dcv_free(r->block);
}

/* The member's name without "./" in front, or NULL if it is hidden or nameless. */
static const char *label_name(struct archive_entry *e)
{
    const char *name = archive_entry_pathname_utf8(e);
    if (!name)
        name = archive_entry_pathname(e);
    while (name && strncmp(name, "./", 2) == 0)
        name += 2;
    for (const char *at = name; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (at[0] == '.' && strncmp(at, "../", 3) != 0)
            return NULL;
    }
    return name;
}

static dcv_status add_member(dcv_source *s, struct archive *a, struct archive_entry *e, int64_t *room)
{
    const char *name = label_name(e);
    if (!name || archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) ||
        !dcv_extension_is(name, DCV_PICTURE_EXTENSIONS))
        return DCV_OK;
    DCV_TRY(dcv_manifest_add(&s->m, name, strlen(name), archive_entry_size(e), s->file_mtime_ns));
    if (s->m.n > *room) {
        int64_t *at = dcv_realloc(s->m.at, (size_t)*room, (size_t)s->m.room, sizeof *at);
        if (!at)
            return DCV_ENOMEM;
        s->m.at = at;
        *room = s->m.room;
    }
    s->m.at[s->m.n - 1] = archive_read_header_position(a);
    return DCV_OK;
}

static dcv_status index_members(dcv_source *s)
{
    reader r;
    struct archive *a;
    struct archive_entry *e;
    int64_t room = 0;
    dcv_status st = start(&r, s, 0, &a);
    while (st == DCV_OK) {
        const int code = archive_read_next_header(a, &e);
        if (code == ARCHIVE_EOF)
            break;
        if (code < ARCHIVE_WARN)
            st = archive_failed(a, s->shown);
        else
            st = dcv_stop_check("reading the data set");
        if (st == DCV_OK)
            st = add_member(s, a, e, &room);
    }
    stop(&r, a);
    return st;
}

static dcv_status tar_open(dcv_source *s, const dcv_source_ask *ask)
{
    (void)ask;
    s->content = DCV_CONTENT_ENCODED;
    int *fd = dcv_alloc(1, sizeof *fd);
    if (!fd)
        return DCV_ENOMEM;
    s->own = fd;
    *fd = open(s->file, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return dcv_fail(DCV_ENOINPUT, "%s: %s", s->shown, strerror(errno));
    DCV_TRY(index_members(s));
    return dcv_manifest_sort(&s->m);
}

static void tar_close(dcv_source *s)
{
    int *fd = s->own;
    if (fd && *fd >= 0)
        close(*fd);
    dcv_free(fd);
}

static dcv_status read_member(struct archive *a, const char *name, int64_t size, uint8_t **bytes)
{
    struct archive_entry *e;
    if (archive_read_next_header(a, &e) < ARCHIVE_WARN)
        return archive_failed(a, name);
    uint8_t *to = *bytes = dcv_alloc((size_t)size, 1);
    if (!to)
        return DCV_ENOMEM;
    for (int64_t done = 0; done < size;) {
        const la_ssize_t got = archive_read_data(a, to + done, (size_t)(size - done));
        if (got < 0)
            return archive_failed(a, name);
        if (got == 0)
            return dcv_fail(DCV_EDATA, "%s: cut: the archive ends before it", name);
        done += got;
    }
    return DCV_OK;
}

static dcv_status tar_fetch(const dcv_source *s, int64_t i, int64_t most, uint8_t **bytes, size_t *n)
{
    const dcv_entry *e = &s->m.entry[i];
    const int64_t size = most >= 0 && most < e->bytes ? most : e->bytes;
    reader r;
    struct archive *a;
    *bytes = NULL;
    if (size < 0 || size > INT32_MAX)
        return dcv_fail(DCV_EDATA, "%s: %lld bytes; files of 2 GiB and more are refused", e->name, (long long)size);
    dcv_status st = start(&r, s, s->m.at[i], &a);
    if (st == DCV_OK)
        st = read_member(a, e->name, size, bytes);
    stop(&r, a);
    if (st != DCV_OK) {
        dcv_free(*bytes);
        *bytes = NULL;
    }
    *n = (size_t)size;
    return st;
}

static bool knows(const uint8_t *b, size_t n)
{
    return n >= 512 && memcmp(b + 257, "ustar", 5) == 0;
}

const dcv_source_kind dcv_source_tar = {
    .name = "a tar archive",
    .extensions = "tar",
    .knows = knows,
    .open = tar_open,
    .close = tar_close,
    .fetch = tar_fetch,
};
