/* idx.c -- IDX arrays as MNIST has them: pictures [N,H,W] or [N,H,W,1|3] of unsigned bytes, and label files.
 *
 * A header of 4 + 4 x rank bytes (0, 0, type, rank, big-endian extents), then the values, big-endian.
 * A plain file is read with pread; a .gz one is inflated when it is opened, and only the items that
 * will be read are kept.  Format: http://yann.lecun.com/exdb/mnist
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "io/source.h"

enum { MAX_RANK = 4, DEFLATE_RATIO = 1032 }; /* no deflate stream grows by more */

typedef struct header {
    uint8_t type;
    int rank;
    int64_t d[MAX_RANK];
    size_t value_bytes, bytes; /* bytes: of the header itself */
    int64_t item_bytes;        /* values of one item */
} header;

struct idx {
    int fd;        /* plain file */
    uint8_t *kept; /* .gz: items first .. first + n - 1 */
    int64_t first;
    header h;
};

static size_t type_bytes(uint8_t type)
{
    static const struct {
        uint8_t type, bytes;
    } types[] = {{0x08, 1}, {0x09, 1}, {0x0B, 2}, {0x0C, 4}, {0x0D, 4}, {0x0E, 8}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type)
            return types[i].bytes;
    return 0;
}

bool dcv_idx_knows(const uint8_t *b, size_t n)
{
    if (n >= 2 && b[0] == 0x1F && b[1] == 0x8B)
        return true;
    return n >= 4 && b[0] == 0 && b[1] == 0 && type_bytes(b[2]) && b[3] >= 1 && b[3] <= MAX_RANK;
}

static dcv_status read_gz(gzFile f, void *to, size_t n, const char *shown)
{
    for (size_t at = 0; at < n;) {
        const unsigned step = n - at > (1u << 30) ? 1u << 30 : (unsigned)(n - at);
        const int got = gzread(f, (char *)to + at, step);
        if (got <= 0) {
            int code = Z_OK;
            const char *what = gzerror(f, &code);
            return dcv_fail(DCV_EDATA, "%s: %s", shown,
                            code == Z_OK || code == Z_BUF_ERROR ? "cut: the file ends before its data" : what);
        }
        at += (size_t)got;
    }
    return DCV_OK;
}

/* The extents must make a size that the file can hold, before any memory is taken for it. */
static dcv_status read_header(gzFile f, int64_t file_bytes, const char *shown, header *h)
{
    uint8_t b[4 + 4 * MAX_RANK];
    memset(h, 0, sizeof *h);
    DCV_TRY(read_gz(f, b, 4, shown));
    h->type = b[2];
    h->rank = b[3];
    h->value_bytes = type_bytes(h->type);
    if (b[0] || b[1] || !h->value_bytes || h->rank < 1 || h->rank > MAX_RANK)
        return dcv_fail(DCV_EDATA, "%s: not an IDX file: it starts with bytes %02x %02x %02x %02x%s", shown, b[0], b[1],
                        b[2], b[3],
                        gzdirect(f) ? "" : " once inflated (compressed tar archives are not read: unpack them first)");
    DCV_TRY(read_gz(f, b + 4, 4 * (size_t)h->rank, shown));
    h->bytes = 4 + 4 * (size_t)h->rank;
    int64_t total = (int64_t)h->value_bytes;
    const int64_t most = gzdirect(f)                              ? file_bytes
                         : file_bytes > INT64_MAX / DEFLATE_RATIO ? INT64_MAX
                                                                  : file_bytes * DEFLATE_RATIO;
    h->item_bytes = (int64_t)h->value_bytes;
    for (int i = 0; i < h->rank; i++) {
        const uint8_t *e = b + 4 + 4 * i;
        h->d[i] = (int64_t)e[0] << 24 | e[1] << 16 | e[2] << 8 | e[3];
        if (h->d[i] == 0)
            return dcv_fail(DCV_EDATA, "%s: extent %d is 0", shown, i);
        if (__builtin_mul_overflow(total, h->d[i], &total) || total > most)
            return dcv_fail(DCV_EDATA, "%s: cut: the header asks for more than the file's %lld bytes can hold", shown,
                            (long long)file_bytes);
        if (i > 0)
            h->item_bytes *= h->d[i];
    }
    total += (int64_t)h->bytes;
    if (gzdirect(f) && total != file_bytes)
        return dcv_fail(DCV_EDATA, "%s: %s%lld bytes, its header says %lld", shown, file_bytes < total ? "cut: " : "",
                        (long long)file_bytes, (long long)total);
    return DCV_OK;
}

static dcv_status open_gz(const char *file, const char *shown, gzFile *out, header *h)
{
    struct stat info;
    *out = NULL;
    if (stat(file, &info) != 0)
        return dcv_fail(DCV_ENOINPUT, "%s: %s", shown, strerror(errno));
    gzFile f = gzopen(file, "rb");
    if (!f)
        return dcv_fail(DCV_ENOINPUT, "%s: %s", shown, errno ? strerror(errno) : "cannot be opened");
    (void)gzbuffer(f, 1u << 17);
    const dcv_status st = read_header(f, info.st_size, shown, h);
    if (st != DCV_OK)
        gzclose(f);
    else
        *out = f;
    return st;
}

/* --- labels ----------------------------------------------------------------------------- */

static int64_t integer_at(const uint8_t *v, uint8_t type)
{
    switch (type) {
    case 0x08:
        return v[0];
    case 0x09:
        return (int8_t)v[0];
    case 0x0B:
        return (int16_t)(v[0] << 8 | v[1]);
    default:
        return (int32_t)((uint32_t)v[0] << 24 | (uint32_t)v[1] << 16 | (uint32_t)v[2] << 8 | v[3]);
    }
}

static dcv_status labels_of(gzFile f, const header *h, const char *shown, int32_t **out, int64_t *n)
{
    if (h->rank != 1 || h->type > 0x0C)
        return dcv_fail(DCV_EDATA, "%s: labels are one integer an item; this IDX file has rank %d, type %02x", shown,
                        h->rank, h->type);
    uint8_t *raw = dcv_alloc((size_t)h->d[0], h->value_bytes);
    int32_t *label = dcv_alloc((size_t)h->d[0], sizeof *label);
    dcv_status st = DCV_ENOMEM;
    if (!raw || !label)
        goto done;
    DCV_TRY_DONE(st, read_gz(f, raw, (size_t)h->d[0] * h->value_bytes, shown));
    for (int64_t i = 0; i < h->d[0]; i++) {
        const int64_t v = integer_at(raw + (size_t)i * h->value_bytes, h->type);
        if (v < -1 || v > DCV_LABEL_MAX) {
            st = dcv_fail(DCV_EDATA, "%s: label %lld of item %lld; expected 0 .. %d, or -1 for unknown", shown,
                          (long long)v, (long long)i, DCV_LABEL_MAX);
            goto done;
        }
        label[i] = (int32_t)v;
    }
    *n = h->d[0];
    *out = label;
    label = NULL;
done:
    dcv_free(label);
    dcv_free(raw);
    return st;
}

dcv_status dcv_idx_labels(const char *file, const char *shown, int32_t **out, int64_t *n)
{
    header h;
    gzFile f;
    *out = NULL;
    *n = 0;
    DCV_TRY(open_gz(file, shown, &f, &h));
    const dcv_status st = labels_of(f, &h, shown, out, n);
    gzclose(f);
    return st;
}

/* --- pictures ---------------------------------------------------------------------------- */

static dcv_status check_pictures(dcv_source *s, const header *h)
{
    const bool colours = h->rank == 4 && (h->d[3] == 1 || h->d[3] == 3);
    if (h->type != 0x08 || !(h->rank == 3 || colours))
        return dcv_fail(
            DCV_EDATA,
            "%s: pictures are [N,H,W] or [N,H,W,3] unsigned bytes (type 08); this IDX file has rank %d, type %02x%s",
            s->shown, h->rank, h->type, h->rank == 1 ? " (labels?)" : "");
    if (h->d[1] * h->d[2] > DCV_IMAGE_MAX_PX)
        return dcv_fail(DCV_EDATA, "%s: pictures of %lld x %lld; more than 2^28 pixels are refused", s->shown,
                        (long long)h->d[1], (long long)h->d[2]);
    s->content = DCV_CONTENT_PIXELS;
    s->item = (dcv_dims){3, {h->d[1], h->d[2], colours ? h->d[3] : 1}};
    return DCV_OK;
}

static dcv_status skip_gz(gzFile f, int64_t n, const char *shown)
{
    uint8_t waste[1 << 14];
    for (; n > 0; n -= (int64_t)sizeof waste)
        DCV_TRY(read_gz(f, waste, n < (int64_t)sizeof waste ? (size_t)n : sizeof waste, shown));
    return DCV_OK;
}

/* Inflate what will be read.  To the end of the stream where that is asked for, so that its checksum counts. */
static dcv_status keep_items(struct idx *x, gzFile f, const dcv_source_ask *ask)
{
    const int64_t n = x->h.d[0], first = ask->offset < n ? ask->offset : n;
    const int64_t count = ask->limit < 0 || ask->limit > n - first ? n - first : ask->limit;
    x->kept = dcv_alloc((size_t)count, (size_t)x->h.item_bytes);
    if (!x->kept)
        return DCV_ENOMEM;
    x->first = first;
    DCV_TRY(skip_gz(f, first * x->h.item_bytes, ask->shown));
    DCV_TRY(read_gz(f, x->kept, (size_t)(count * x->h.item_bytes), ask->shown));
    uint8_t more;
    if (first + count == n && gzread(f, &more, 1) > 0)
        return dcv_fail(DCV_EDATA, "%s: more values than the header says", ask->shown);
    int code = Z_OK;
    const char *what = gzerror(f, &code);
    return code == Z_OK || code == Z_STREAM_END ? DCV_OK : dcv_fail(DCV_EDATA, "%s: %s", ask->shown, what);
}

static dcv_status idx_open(dcv_source *s, const dcv_source_ask *ask)
{
    struct idx *x = dcv_alloc(1, sizeof *x);
    if (!x)
        return DCV_ENOMEM;
    s->own = x;
    x->fd = -1;
    gzFile f;
    DCV_TRY(open_gz(s->file, s->shown, &f, &x->h));
    dcv_status st = check_pictures(s, &x->h);
    if (st == DCV_OK && !gzdirect(f))
        st = keep_items(x, f, ask);
    else if (st == DCV_OK && (x->fd = open(s->file, O_RDONLY | O_CLOEXEC)) < 0)
        st = dcv_fail(DCV_ENOINPUT, "%s: %s", s->shown, strerror(errno));
    gzclose(f);
    DCV_TRY(st);
    return dcv_manifest_numbered(&s->m, x->h.d[0], x->h.item_bytes, s->file_mtime_ns);
}

static void idx_close(dcv_source *s)
{
    struct idx *x = s->own;
    if (!x)
        return;
    if (x->fd >= 0)
        close(x->fd);
    dcv_free(x->kept);
    dcv_free(x);
}

static dcv_status idx_fetch(const dcv_source *s, int64_t i, int64_t most, uint8_t **bytes, size_t *n)
{
    const struct idx *x = s->own;
    (void)most;
    const size_t size = (size_t)x->h.item_bytes;
    uint8_t *to = dcv_alloc(size, 1);
    if (!to)
        return DCV_ENOMEM;
    dcv_status st = DCV_OK;
    if (x->kept)
        memcpy(to, x->kept + (size_t)(i - x->first) * size, size);
    else
        st = dcv_pread_all(x->fd, to, size, (int64_t)x->h.bytes + i * x->h.item_bytes, s->m.entry[i].name);
    if (st != DCV_OK) {
        dcv_free(to);
        return st;
    }
    *bytes = to;
    *n = size;
    return DCV_OK;
}

const dcv_source_kind dcv_source_idx = {
    .name = "an IDX file",
    .knows = dcv_idx_knows,
    .open = idx_open,
    .close = idx_close,
    .fetch = idx_fetch,
};
