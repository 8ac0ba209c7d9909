/* verify.c -- is a finished result whole?
 *
 * Every byte of a result has a check sum: those of a data set in /checksums/crc32c, all others in
 * /checksums/structure.  Nothing that HDF5 says about the file is needed to trust the verdict "whole": a byte that
 * differs from what was written changes one of the two.
 */
#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "deconvoy/hash.h"
#include "deconvoy/memory.h"
#include "deconvoy/run.h"

static const char paths_path[] = "/checksums/path", crcs_path[] = "/checksums/crc32c",
                  structure_path[] = "/checksums/structure";

typedef struct part { /* a data set */
    char *path;
    int64_t offset, bytes;
    uint32_t want;
    bool listed;
} part;

typedef struct check {
    const char *file;
    dcv_h5 *h5;
    int fd;
    int64_t file_bytes;
    part *part; /* in the order of their paths */
    int n_parts;
    int n_damaged;
    char *first_damaged;
} check;

/* --- What the file holds --------------------------------------------------------------- */

static dcv_status add_part(void *ctx, const char *path, const dcv_h5_info *info)
{
    check *c = ctx;
    (void)info;
    if ((c->n_parts & (c->n_parts - 1)) == 0) {
        const size_t room = c->n_parts ? 2 * (size_t)c->n_parts : 1;
        part *more = dcv_realloc(c->part, (size_t)c->n_parts, room, sizeof *more);
        if (!more)
            return DCV_ENOMEM;
        c->part = more;
    }
    part *p = &c->part[c->n_parts];
    *p = (part){.path = dcv_strdup(path)};
    if (!p->path)
        return DCV_ENOMEM;
    c->n_parts++;
    return dcv_h5_storage(c->h5, path, &p->offset, &p->bytes);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const part *)a)->path, ((const part *)b)->path);
}

static int by_offset(const void *a, const void *b)
{
    const part *const *x = a, *const *y = b;
    return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

static part *find(const check *c, const char *path)
{
    const part key = {.path = (char *)path};
    return c->n_parts ? bsearch(&key, c->part, (size_t)c->n_parts, sizeof key, by_path) : NULL;
}

static bool attribute_is(const check *c, const char *name, const char *want)
{
    char *text = dcv_h5_attribute(c->h5, "/", name);
    const bool is = text && strcmp(text, want) == 0;
    dcv_free(text);
    return is;
}

static dcv_status not_whole(const check *c)
{
    return dcv_fail(DCV_EDATA, "%s: its list of check sums (%s) is damaged or missing", c->file, paths_path);
}

/* Lay the list of check sums beside what is there: every data set but the list itself, each once. */
static dcv_status match(check *c, const char *path, const uint32_t *crc, int64_t n, size_t text_bytes)
{
    char *name = dcv_alloc(text_bytes + 1, 1);
    if (!name)
        return DCV_ENOMEM;
    dcv_status st = DCV_OK;
    for (int64_t i = 0; i < n && st == DCV_OK; i++) {
        memcpy(name, path + (size_t)i * text_bytes, text_bytes);
        part *p = find(c, name);
        if (!p || p->listed)
            st = not_whole(c);
        else
            p->listed = true, p->want = crc[i];
    }
    for (int i = 0; i < c->n_parts && st == DCV_OK; i++) {
        const bool is_list = strcmp(c->part[i].path, paths_path) == 0 || strcmp(c->part[i].path, crcs_path) == 0;
        if (is_list == c->part[i].listed)
            st = dcv_fail(DCV_EDATA, "%s: %s has no check sum", c->file, c->part[i].path);
    }
    dcv_free(name);
    return st;
}

static dcv_status read_list(check *c)
{
    dcv_h5_info paths, crcs, structure;
    if (!dcv_h5_has(c->h5, paths_path) || !dcv_h5_has(c->h5, crcs_path) || !dcv_h5_has(c->h5, structure_path))
        return not_whole(c);
    DCV_TRY(dcv_h5_info_of(c->h5, paths_path, &paths));
    DCV_TRY(dcv_h5_info_of(c->h5, crcs_path, &crcs));
    DCV_TRY(dcv_h5_info_of(c->h5, structure_path, &structure));
    const int64_t n = crcs.dims.d[0];
    if (structure.dims.n != 0 || structure.text_bytes || paths.dims.n != 1 || crcs.dims.n != 1 ||
        paths.dims.d[0] != n || paths.text_bytes < 1 || crcs.text_bytes || n > c->n_parts)
        return not_whole(c);
    dcv_status st = DCV_ENOMEM;
    char *path = dcv_alloc((size_t)n, (size_t)paths.text_bytes);
    int64_t *wide = dcv_alloc((size_t)n, sizeof *wide);
    uint32_t *crc = dcv_alloc((size_t)n, sizeof *crc);
    if (!path || !wide || !crc)
        goto done;
    DCV_TRY_DONE(st, dcv_h5_read_text(c->h5, paths_path, 0, n, path, (size_t)paths.text_bytes));
    DCV_TRY_DONE(st, dcv_h5_read(c->h5, crcs_path, DCV_I64, 0, n, wide));
    for (int64_t i = 0; i < n; i++)
        crc[i] = (uint32_t)wide[i];
    st = match(c, path, crc, n, (size_t)paths.text_bytes);
done:
    dcv_free(path);
    dcv_free(wide);
    dcv_free(crc);
    return st;
}

/* Everything but the data themselves: is it a result, and what should be in it? */
static dcv_status read_plan(check *c)
{
    if (!attribute_is(c, "format", "deconvoy"))
        return dcv_fail(DCV_EDATA, "%s: not a result of deconvoy (no attribute format = \"deconvoy\")", c->file);
    DCV_TRY(dcv_h5_visit(c->h5, add_part, c));
    qsort(c->part, (size_t)c->n_parts, sizeof *c->part, by_path);
    return read_list(c);
}

/* --- Sums ------------------------------------------------------------------------------ */

static dcv_status damaged(check *c, const char *what)
{
    if (c->n_damaged++ == 0 && !(c->first_damaged = dcv_strdup(what)))
        return DCV_ENOMEM;
    return DCV_OK;
}

static dcv_status check_data(check *c)
{
    for (int i = 0; i < c->n_parts; i++) {
        const part *p = &c->part[i];
        uint32_t crc = 0;
        if (!p->listed)
            continue;
        DCV_TRY(dcv_store_crc(c->fd, p->offset, p->bytes, &crc));
        if (crc != p->want)
            DCV_TRY(damaged(c, p->path));
    }
    return DCV_OK;
}

/* All that belongs to no data set; /checksums/path counts as structure. */
static dcv_status structure_crc(const check *c, uint32_t *crc)
{
    const part **p = dcv_alloc((size_t)c->n_parts, sizeof(const part *));
    if (!p)
        return DCV_ENOMEM;
    int n = 0;
    for (int i = 0; i < c->n_parts; i++)
        if (c->part[i].bytes && strcmp(c->part[i].path, paths_path) != 0)
            p[n++] = &c->part[i];
    qsort(p, (size_t)n, sizeof(const part *), by_offset);
    dcv_status st = DCV_OK;
    int64_t at = 0;
    *crc = 0;
    for (int i = 0; i <= n && st == DCV_OK; i++) {
        const int64_t end = i < n ? p[i]->offset : c->file_bytes;
        st = end < at ? dcv_fail(DCV_EDATA, "%s: %s lies over another data set", c->file, p[i - (i == n)]->path)
                      : dcv_store_crc(c->fd, at, end - at, crc);
        at = i < n ? p[i]->offset + p[i]->bytes : at;
    }
    dcv_free(p);
    return st;
}

static dcv_status check_structure(check *c)
{
    uint32_t crc;
    int64_t want;
    DCV_TRY(structure_crc(c, &crc));
    DCV_TRY(dcv_h5_read(c->h5, structure_path, DCV_I64, 0, 1, &want));
    return crc == want ? DCV_OK : damaged(c, "its structure (attributes, names, shapes)");
}

static dcv_status check_config(check *c)
{
    char *config = dcv_h5_attribute(c->h5, "/", "config_yaml");
    char *want = dcv_h5_attribute(c->h5, "/", "config_sha256");
    const bool is = !config || !want || strcmp(dcv_sha256_of(config, strlen(config)).hex, want) == 0;
    dcv_free(config);
    dcv_free(want);
    return is ? DCV_OK : damaged(c, "config_yaml (its config_sha256 differs)");
}

/* --- The whole ------------------------------------------------------------------------- */

static dcv_status check_open(check *c, const char *file)
{
    *c = (check){.file = file, .fd = -1};
    DCV_TRY(dcv_h5_open(file, &c->h5));
    struct stat about;
    c->fd = open(file, O_RDONLY | O_CLOEXEC);
    if (c->fd < 0 || fstat(c->fd, &about) != 0)
        return dcv_fail(DCV_EIO, "%s: %s", file, strerror(errno));
    c->file_bytes = about.st_size;
    return DCV_OK;
}

static void check_close(check *c)
{
    for (int i = 0; i < c->n_parts; i++)
        dcv_free(c->part[i].path);
    dcv_free(c->part);
    dcv_free(c->first_damaged);
    dcv_h5_close(c->h5);
    if (c->fd >= 0)
        (void)close(c->fd);
}

/* All that asks HDF5, for a child that may die of it. */
static dcv_status try_structure(const char *file, void *ctx)
{
    (void)ctx;
    check c;
    dcv_status st = check_open(&c, file);
    if (st == DCV_OK)
        st = read_plan(&c);
    if (st == DCV_OK)
        st = check_config(&c);
    check_close(&c);
    return st;
}

/* A forked child is no place for MPI's descriptors and threads. */
static bool may_fork(void)
{
    int up = 0;
    (void)MPI_Initialized(&up);
    return !up;
}

static dcv_status check_all(check *c, const char *file)
{
    DCV_TRY(check_open(c, file));
    DCV_TRY(read_plan(c));
    DCV_TRY(check_data(c));
    DCV_TRY(check_structure(c));
    DCV_TRY(check_config(c));
    if (c->n_damaged == 1)
        return dcv_fail(DCV_EDATA, "%s: damaged: %s", file, c->first_damaged);
    if (c->n_damaged)
        return dcv_fail(DCV_EDATA, "%s: damaged: %s, and %d more", file, c->first_damaged, c->n_damaged - 1);
    return DCV_OK;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* Is there anything to look at, under a final name? */
static dcv_status check_name(const char *file)
{
    if (access(file, F_OK) == 0)
        return ends_with(file, ".part") ? dcv_fail(DCV_ESTOP, "%s: not finished; run the job again to go on", file)
                                        : DCV_OK;
    char *part_file = dcv_format("%s.part", file);
    if (!part_file)
        return DCV_ENOMEM;
    const bool is_partial = access(part_file, F_OK) == 0;
    dcv_free(part_file);
    return dcv_fail(DCV_ENOINPUT, is_partial ? "%s: not there yet; %s.part is" : "%s: not found", file, file);
}

dcv_status dcv_verify(const char *file, dcv_whole *out)
{
    *out = (dcv_whole){0, 0};
    DCV_TRY(check_name(file));
    if (may_fork())
        DCV_TRY(dcv_probe(file, try_structure, NULL));
    check c;
    const dcv_status st = check_all(&c, file);
    if (st == DCV_OK)
        *out = (dcv_whole){c.n_parts, c.file_bytes};
    check_close(&c);
    return st;
}
