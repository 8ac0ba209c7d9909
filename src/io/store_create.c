/* store_create.c -- the skeleton file: made once by HDF5, then filled by pwrite; its check sums.
 *
 * Same declarations, same bytes: no times, no creation order, no locks or status flags, data sets
 * contiguous and allocated as they are created, attributes written in the order of declaration.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "deconvoy/hash.h"
#include "io/store_hdf5.h"

typedef struct maker {
    dcv_store *s;
    const char *name;             /* of the file */
    hid_t file, lcpl, gcpl, dcpl; /* links and creation of groups and data sets */
} maker;

static dcv_status need(const maker *m, const char *path, int64_t result)
{
    return h5_need(result, DCV_EIO, m->name, path);
}

/* Property lists.  Up to 64 attributes stay in an object's header; one of 64 KiB or more moves them all into a
 * heap, which HDF5 does by itself. */
static dcv_status prepare(maker *m, h5_held *h)
{
    hid_t fapl, fcpl;
    DCV_TRY(need(m, NULL, fapl = h5_hold(h, h5_access())));
    DCV_TRY(need(m, NULL, fcpl = h5_hold(h, H5Pcreate(H5P_FILE_CREATE))));
    DCV_TRY(need(m, NULL, m->lcpl = h5_hold(h, H5Pcreate(H5P_LINK_CREATE))));
    DCV_TRY(need(m, NULL, m->gcpl = h5_hold(h, H5Pcreate(H5P_GROUP_CREATE))));
    DCV_TRY(need(m, NULL, m->dcpl = h5_hold(h, H5Pcreate(H5P_DATASET_CREATE))));
    const hid_t made[] = {fcpl, m->gcpl, m->dcpl};
    for (int i = 0; i < 3; i++) {
        DCV_TRY(need(m, NULL, H5Pset_obj_track_times(made[i], false)));
        DCV_TRY(need(m, NULL, H5Pset_attr_phase_change(made[i], 64, 32)));
    }
    DCV_TRY(need(m, NULL, H5Pset_char_encoding(m->lcpl, H5T_CSET_UTF8)));
    DCV_TRY(need(m, NULL, H5Pset_layout(m->dcpl, H5D_CONTIGUOUS)));
    DCV_TRY(need(m, NULL, H5Pset_alloc_time(m->dcpl, H5D_ALLOC_TIME_EARLY)));
    DCV_TRY(need(m, NULL, H5Pset_fill_time(m->dcpl, H5D_FILL_TIME_NEVER)));
    m->file = H5Fcreate(m->name, H5F_ACC_TRUNC, fcpl, fapl);
    return need(m, NULL, m->file);
}

/* Make a group where there is none. */
static dcv_status make_group(const maker *m, const char *path)
{
    const htri_t there = H5Lexists(m->file, path, H5P_DEFAULT);
    if (there)
        return need(m, path, there);
    const hid_t g = H5Gcreate2(m->file, path, m->lcpl, m->gcpl, H5P_DEFAULT);
    DCV_TRY(need(m, path, g));
    return need(m, path, H5Gclose(g));
}

/* Make the groups above path, and with all, path itself. */
static dcv_status make_groups(const maker *m, const char *path, bool all)
{
    char *copy = dcv_strdup(path);
    if (!copy)
        return DCV_ENOMEM;
    dcv_status st = DCV_OK;
    for (char *p = strchr(copy + 1, '/'); p && st == DCV_OK; p = strchr(p + 1, '/')) {
        *p = 0;
        st = make_group(m, copy);
        *p = '/';
    }
    if (st == DCV_OK && all && path[1])
        st = make_group(m, copy);
    dcv_free(copy);
    return st;
}

static dcv_status make_dataset(const maker *m, store_dataset *d)
{
    const char *path = d->region.path;
    dcv_status st;
    h5_held h = {.n = 0};
    hid_t type, space, set;
    DCV_TRY(make_groups(m, path, false));
    DCV_TRY_DONE(st, need(m, path, type = h5_hold(&h, store_type(d))));
    DCV_TRY_DONE(st, need(m, path, space = h5_hold(&h, store_space(&d->region.dims))));
    set = h5_hold(&h, H5Dcreate2(m->file, path, type, space, m->lcpl, m->dcpl, H5P_DEFAULT));
    DCV_TRY_DONE(st, need(m, path, set));
    if (d->region.bytes) {
        const haddr_t at = H5Dget_offset(set);
        DCV_TRY_DONE(st, need(m, path, at == HADDR_UNDEF ? -1 : 0));
        d->region.offset = (int64_t)at;
    }
done:
    if (!h5_release(&h) && st == DCV_OK)
        st = need(m, path, -1);
    return st;
}

static dcv_status make_objects(const maker *m)
{
    dcv_store *s = m->s;
    for (int i = 0; i < s->n_sets; i++)
        DCV_TRY(make_dataset(m, s->set[i]));
    for (int i = 0; i < STORE_N_SUMS; i++)
        DCV_TRY(make_dataset(m, s->sum[i]));
    for (int i = 0; i < s->n_attributes; i++)
        DCV_TRY(make_groups(m, s->attribute[i].path, true));
    for (int i = 0; i < s->n_nxdata; i++)
        DCV_TRY(make_groups(m, s->nxdata[i].group, true));
    return store_write_attributes(s, m->file, m->name);
}

static dcv_status make_file(dcv_store *s, const char *file)
{
    maker m = {.s = s, .name = file, .file = -1};
    h5_held h = {.n = 0};
    dcv_status st = prepare(&m, &h);
    if (st == DCV_OK)
        st = make_objects(&m);
    if (m.file >= 0) {
        const herr_t closed = H5Fclose(m.file);
        if (st == DCV_OK)
            st = need(&m, NULL, closed);
    }
    h5_release(&h);
    return st;
}

/* --- Check sums ----------------------------------------------------------------------- */

dcv_status dcv_store_crc(int fd, int64_t offset, int64_t bytes, uint32_t *crc)
{
    enum { CHUNK = 4 << 20 };
    char *buffer = dcv_alloc((size_t)(bytes < CHUNK ? bytes : CHUNK), 1);
    if (!buffer)
        return DCV_ENOMEM;
    dcv_status st = DCV_OK;
    while (bytes > 0) {
        const ssize_t n = pread(fd, buffer, (size_t)(bytes < CHUNK ? bytes : CHUNK), (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            st = n < 0 ? dcv_fail(DCV_EIO, "reading at byte %lld: %s", (long long)offset, strerror(errno))
                       : dcv_fail(DCV_EIO, "the file ends at byte %lld", (long long)offset);
            break;
        }
        *crc = dcv_crc32c(*crc, buffer, (size_t)n);
        offset += n;
        bytes -= n;
    }
    dcv_free(buffer);
    return st;
}

static dcv_status write_all(int fd, const void *bytes, size_t n, int64_t offset)
{
    const char *p = bytes;
    while (n > 0) {
        const ssize_t done = pwrite(fd, p, n, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return dcv_fail(DCV_EIO, "writing at byte %lld: %s", (long long)offset, strerror(done ? errno : EIO));
        p += done;
        n -= (size_t)done;
        offset += done;
    }
    return DCV_OK;
}

dcv_status dcv_store_seal(const dcv_store *s, int fd)
{
    DCV_CHECK(s->sum[STORE_CRCS] && s->sum[STORE_CRCS]->region.offset >= 0);
    uint32_t *crc = dcv_alloc((size_t)s->n_sets, sizeof *crc);
    if (!crc)
        return DCV_ENOMEM;
    dcv_status st = DCV_OK;
    for (int i = 0; i < s->n_sets && st == DCV_OK; i++) {
        const dcv_region *r = &s->set[i]->region;
        st = dcv_store_crc(fd, r->offset, r->bytes, &crc[i]);
        if (st != DCV_OK)
            (void)dcv_fail_in(st, "%s", r->path);
    }
    if (st == DCV_OK)
        st = write_all(fd, crc, (size_t)s->n_sets * sizeof *crc, s->sum[STORE_CRCS]->region.offset);
    dcv_free(crc);
    return st;
}

static int by_offset(const void *a, const void *b)
{
    const dcv_region *const *x = a, *const *y = b;
    return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

/* CRC of all bytes of the file that belong to no data set (/checksums/path set aside). */
static dcv_status structure_crc(const dcv_store *s, int fd, int64_t file_bytes, uint32_t *crc)
{
    const dcv_region **r = dcv_alloc((size_t)s->n_sets + 2, sizeof(const dcv_region *));
    if (!r)
        return DCV_ENOMEM;
    int n = 0;
    for (int i = 0; i < s->n_sets; i++)
        if (s->set[i]->region.bytes)
            r[n++] = &s->set[i]->region;
    r[n++] = &s->sum[STORE_STRUCTURE]->region;
    r[n++] = &s->sum[STORE_CRCS]->region;
    qsort(r, (size_t)n, sizeof(const dcv_region *), by_offset);
    dcv_status st = DCV_OK;
    int64_t at = 0;
    *crc = 0;
    for (int i = 0; i < n && st == DCV_OK; i++) {
        st = dcv_store_crc(fd, at, r[i]->offset - at, crc);
        at = r[i]->offset + r[i]->bytes;
    }
    if (st == DCV_OK)
        st = dcv_store_crc(fd, at, file_bytes - at, crc);
    dcv_free(r);
    return st;
}

/* Values known now.  Not through HDF5, which keeps them back until a data set is closed and then forgets to say that the
 * disk was full. */
static dcv_status write_values(const store_dataset *d, int fd)
{
    if (!d->values || !d->region.bytes)
        return DCV_OK;
    const dcv_status st = write_all(fd, d->values, (size_t)d->region.bytes, d->region.offset);
    return st == DCV_OK ? st : dcv_fail_in(st, "%s", d->region.path);
}

static dcv_status write_all_values(const dcv_store *s, int fd)
{
    for (int i = 0; i < s->n_sets; i++)
        DCV_TRY(write_values(s->set[i], fd));
    for (int i = 0; i < STORE_N_SUMS; i++)
        DCV_TRY(write_values(s->sum[i], fd));
    return DCV_OK;
}

/* Write values, and the two numbers that are known now: the CRC of the structure, and the CRC of that. */
static dcv_status write_structure(const dcv_store *s, const char *file, int64_t *file_bytes)
{
    const int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return dcv_fail(DCV_EIO, "%s: %s", file, strerror(errno));
    dcv_status st;
    struct stat about;
    if (fstat(fd, &about) != 0) {
        st = dcv_fail(DCV_EIO, "%s", strerror(errno));
        goto done;
    }
    *file_bytes = about.st_size;
    uint32_t crc;
    DCV_TRY_DONE(st, write_all_values(s, fd));
    DCV_TRY_DONE(st, structure_crc(s, fd, about.st_size, &crc));
    DCV_TRY_DONE(st, write_all(fd, &crc, sizeof crc, s->sum[STORE_STRUCTURE]->region.offset));
    crc = dcv_crc32c(0, &crc, sizeof crc);
    const int64_t entry = s->sum[STORE_CRCS]->region.offset + (int64_t)s->n_sets * (int64_t)sizeof crc;
    DCV_TRY_DONE(st, write_all(fd, &crc, sizeof crc, entry));
done:
    if (close(fd) != 0 && st == DCV_OK)
        st = dcv_fail(DCV_EIO, "%s", strerror(errno));
    return st == DCV_OK ? st : dcv_fail_in(st, "%s", file);
}

dcv_status dcv_store_create(dcv_store *s, const char *file, int64_t *file_bytes)
{
    *file_bytes = 0;
    DCV_TRY(store_declare_sums(s));
    h5_lock();
    dcv_status st = make_file(s, file);
    h5_unlock();
    if (st == DCV_OK)
        st = write_structure(s, file, file_bytes);
    struct stat about;
    if (st != DCV_OK && lstat(file, &about) == 0 && S_ISREG(about.st_mode))
        (void)unlink(file);
    return st;
}

/* --- Attaching to what is there ------------------------------------------------------- */

static dcv_status attach_dataset(store_dataset *d, hid_t file, const char *name)
{
    const char *path = d->region.path;
    dcv_status st;
    h5_held h = {.n = 0};
    hid_t set, type, want_type, space, want_space;
    DCV_TRY_DONE(st, h5_need(set = h5_hold(&h, H5Dopen2(file, path, H5P_DEFAULT)), DCV_EDATA, name, path));
    DCV_TRY_DONE(st, h5_need(type = h5_hold(&h, H5Dget_type(set)), DCV_EDATA, name, path));
    DCV_TRY_DONE(st, h5_need(want_type = h5_hold(&h, store_type(d)), DCV_EDATA, name, path));
    DCV_TRY_DONE(st, h5_need(space = h5_hold(&h, H5Dget_space(set)), DCV_EDATA, name, path));
    DCV_TRY_DONE(st, h5_need(want_space = h5_hold(&h, store_space(&d->region.dims)), DCV_EDATA, name, path));
    if (H5Tequal(type, want_type) <= 0 || H5Sextent_equal(space, want_space) <= 0) {
        dcv_dims_text text;
        st = dcv_fail(DCV_EDATA, "%s: %s has another type or shape than the plan's %s", name, path,
                      dcv_dims_print(&d->region.dims, text));
        goto done;
    }
    const haddr_t at = H5Dget_offset(set);
    if (d->region.bytes && at == HADDR_UNDEF) {
        st = dcv_fail(DCV_EDATA, "%s: %s is not stored in one piece", name, path);
        goto done;
    }
    d->region.offset = d->region.bytes ? (int64_t)at : -1;
done:
    h5_release(&h);
    return st;
}

static dcv_status attach_all(dcv_store *s, const char *name, h5_held *h)
{
    hid_t fapl, file;
    DCV_TRY(h5_need(fapl = h5_hold(h, h5_access()), DCV_EDATA, name, NULL));
    DCV_TRY(h5_need(file = h5_hold(h, H5Fopen(name, H5F_ACC_RDONLY, fapl)), DCV_EDATA, name, NULL));
    for (int i = 0; i < s->n_sets; i++)
        DCV_TRY(attach_dataset(s->set[i], file, name));
    for (int i = 0; i < STORE_N_SUMS; i++)
        DCV_TRY(attach_dataset(s->sum[i], file, name));
    return DCV_OK;
}

dcv_status dcv_store_attach(dcv_store *s, const char *file)
{
    DCV_TRY(store_declare_sums(s));
    h5_held h = {.n = 0};
    h5_lock();
    const dcv_status st = attach_all(s, file, &h);
    h5_release(&h);
    h5_unlock();
    return st;
}
