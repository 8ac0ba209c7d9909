/* store_read.c -- reading HDF5 files, our own results and what users bring.
 *
 * A file is not trusted: nothing outside it is opened (external links, external storage, virtual data sets), sizes are
 * checked before memory is taken.  What HDF5 itself does not survive is met by dcv_probe().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "io/store_hdf5.h"

enum { CHUNK_CACHE_BYTES = 32 << 20, CHUNK_SLOTS = 12421, ATTRIBUTE_MAX_BYTES = 64 << 20, ATTRIBUTE_MAX_VALUES = 1000 };

struct dcv_h5 {
    char *name;
    int64_t bytes; /* of the file */
    hid_t file, lapl, dapl;
    hid_t set; /* the data set used last, -1 none, so that its chunks stay decoded */
    char *set_path;
    bool left_file; /* an external link was met */
};

static herr_t refuse_link(const char *parent, const char *group, const char *file, const char *object, unsigned *flags,
                          hid_t fapl, void *ctx)
{
    (void)parent, (void)group, (void)file, (void)object, (void)flags, (void)fapl;
    *(bool *)ctx = true;
    return -1;
}

static dcv_status need(const dcv_h5 *f, const char *path, int64_t result)
{
    if (result < 0 && f->left_file)
        return dcv_fail(DCV_EDATA, "%s: %s: external links are refused", f->name, path);
    return h5_need(result, DCV_EDATA, f->name, path);
}

/* --- Open, close ---------------------------------------------------------------------- */

static dcv_status look(const char *file, int64_t *bytes)
{
    struct stat about;
    if (stat(file, &about) != 0)
        return dcv_fail(DCV_ENOINPUT, "%s: %s", file, strerror(errno));
    if (!S_ISREG(about.st_mode))
        return dcv_fail(DCV_EDATA, "%s: not a file", file);
    if (access(file, R_OK) != 0)
        return dcv_fail(DCV_ENOINPUT, "%s: %s", file, strerror(errno));
    *bytes = about.st_size;
    return DCV_OK;
}

static dcv_status open_file(dcv_h5 *f)
{
    dcv_status st;
    h5_held h = {.n = 0};
    hid_t fapl;
    DCV_TRY_DONE(st, h5_need(f->lapl = H5Pcreate(H5P_LINK_ACCESS), DCV_EDATA, f->name, NULL));
    DCV_TRY_DONE(st, h5_need(f->dapl = H5Pcreate(H5P_DATASET_ACCESS), DCV_EDATA, f->name, NULL));
    DCV_TRY_DONE(st, need(f, "", H5Pset_elink_cb(f->lapl, refuse_link, &f->left_file)));
    DCV_TRY_DONE(st, need(f, "", H5Pset_elink_cb(f->dapl, refuse_link, &f->left_file)));
    DCV_TRY_DONE(st, need(f, "", H5Pset_chunk_cache(f->dapl, CHUNK_SLOTS, CHUNK_CACHE_BYTES, 1.0)));
    DCV_TRY_DONE(st, h5_need(fapl = h5_hold(&h, h5_access()), DCV_EDATA, f->name, NULL));
    if (H5Fis_hdf5(f->name) <= 0)
        st = dcv_fail(DCV_EDATA, "%s: not an HDF5 file", f->name);
    else
        st = h5_need(f->file = H5Fopen(f->name, H5F_ACC_RDONLY, fapl), DCV_EDATA, f->name, NULL);
done:
    h5_release(&h);
    return st;
}

dcv_status dcv_h5_open(const char *file, dcv_h5 **out)
{
    *out = NULL;
    int64_t bytes = 0;
    DCV_TRY(look(file, &bytes));
    dcv_h5 *f = dcv_alloc(1, sizeof *f);
    if (!f)
        return DCV_ENOMEM;
    f->file = f->lapl = f->dapl = f->set = -1;
    f->bytes = bytes;
    dcv_status st = (f->name = dcv_strdup(file)) ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK) {
        h5_lock();
        st = open_file(f);
        h5_unlock();
    }
    if (st != DCV_OK) {
        dcv_h5_close(f);
        return st;
    }
    *out = f;
    return DCV_OK;
}

void dcv_h5_close(dcv_h5 *f)
{
    if (!f)
        return;
    const hid_t open[] = {f->set, f->lapl, f->dapl};
    h5_lock();
    for (int i = 0; i < 3; i++)
        if (open[i] >= 0)
            (void)H5Idec_ref(open[i]);
    if (f->file >= 0)
        (void)H5Fclose(f->file);
    h5_unlock();
    dcv_free(f->set_path);
    dcv_free(f->name);
    dcv_free(f);
}

/* --- Data sets ------------------------------------------------------------------------ */

/* No bytes from other files. */
static dcv_status check_inside(const dcv_h5 *f, const char *path, hid_t set)
{
    dcv_status st;
    const hid_t dcpl = H5Dget_create_plist(set);
    DCV_TRY(need(f, path, dcpl));
    const H5D_layout_t layout = H5Pget_layout(dcpl);
    DCV_TRY_DONE(st, need(f, path, layout));
    if (layout == H5D_VIRTUAL)
        st = dcv_fail(DCV_EDATA, "%s: %s: virtual data sets are refused", f->name, path);
    else if (layout == H5D_CONTIGUOUS && H5Pget_external_count(dcpl) != 0)
        st = dcv_fail(DCV_EDATA, "%s: %s: external storage is refused", f->name, path);
done:
    (void)H5Pclose(dcpl);
    return st;
}

/* The data set, open; it stays the file's. */
static dcv_status open_set(dcv_h5 *f, const char *path, hid_t *out)
{
    if (f->set < 0 || strcmp(f->set_path, path) != 0) {
        char *copy = dcv_strdup(path);
        if (!copy)
            return DCV_ENOMEM;
        f->left_file = false;
        const hid_t set = H5Dopen2(f->file, path, f->dapl);
        dcv_status st = need(f, path, set);
        if (st == DCV_OK)
            st = check_inside(f, path, set);
        if (st != DCV_OK) {
            if (set >= 0)
                (void)H5Dclose(set);
            dcv_free(copy);
            return st;
        }
        if (f->set >= 0)
            (void)H5Dclose(f->set);
        dcv_free(f->set_path);
        f->set = set;
        f->set_path = copy;
    }
    *out = f->set;
    return DCV_OK;
}

static dcv_status read_dims(const dcv_h5 *f, const char *path, hid_t set, dcv_dims *out)
{
    dcv_status st;
    hsize_t d[H5S_MAX_RANK];
    const hid_t space = H5Dget_space(set);
    DCV_TRY(need(f, path, space));
    const int n = H5Sget_simple_extent_ndims(space);
    DCV_TRY_DONE(st, need(f, path, n));
    if (H5Sget_simple_extent_type(space) == H5S_NULL || n > DCV_MAX_RANK) {
        st = dcv_fail(DCV_EDATA, "%s: %s: no shape, or more than %d axes", f->name, path, DCV_MAX_RANK);
        goto done;
    }
    DCV_TRY_DONE(st, need(f, path, H5Sget_simple_extent_dims(space, d, NULL)));
    out->n = n;
    for (int i = 0; i < n; i++)
        out->d[i] = d[i] > INT64_MAX ? -1 : (int64_t)d[i];
    st = dcv_dims_check(out);
    if (st != DCV_OK)
        (void)dcv_fail_in(st, "%s: %s", f->name, path);
done:
    (void)H5Sclose(space);
    return st;
}

static dcv_dtype nearest_type(hid_t type)
{
    const size_t n = H5Tget_size(type);
    switch (H5Tget_class(type)) {
    case H5T_INTEGER:
        if (H5Tget_sign(type) == H5T_SGN_NONE)
            return n == 1 ? DCV_U8 : n == 2 ? DCV_I32 : DCV_I64;
        return n <= 4 ? DCV_I32 : DCV_I64;
    case H5T_FLOAT:
        return n <= 4 ? DCV_F32 : DCV_F64;
    default:
        return DCV_N_DTYPE;
    }
}

/* "u4", "i2", "f8", "S20". */
static void name_type(hid_t type, const dcv_h5_info *info, char *to, size_t n)
{
    const bool is_unsigned = H5Tget_class(type) == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_NONE;
    const char kind = info->text_bytes ? 'S' : H5Tget_class(type) == H5T_FLOAT ? 'f' : is_unsigned ? 'u' : 'i';
    if (info->type == DCV_N_DTYPE)
        snprintf(to, n, "?");
    else
        snprintf(to, n, "%c%zu", kind, H5Tget_size(type));
}

/* Memory type for element type t; a constant of the library. */
static hid_t memory_type(dcv_dtype t)
{
    const hid_t known[] = {[DCV_F32] = H5T_IEEE_F32LE, [DCV_F64] = H5T_IEEE_F64LE, [DCV_I16] = H5T_STD_I16LE,
                           [DCV_I32] = H5T_STD_I32LE,  [DCV_I64] = H5T_STD_I64LE,  [DCV_U8] = H5T_STD_U8LE};
    return known[t];
}

/* Where the bytes are, -1 if not in one piece; DCV_EDATA if that is beyond the end of the file. */
static dcv_status find_bytes(const dcv_h5 *f, const char *path, hid_t set, int64_t bytes, int64_t *offset)
{
    *offset = -1;
    const hid_t dcpl = H5Dget_create_plist(set);
    DCV_TRY(need(f, path, dcpl));
    const bool contiguous = H5Pget_layout(dcpl) == H5D_CONTIGUOUS;
    (void)H5Pclose(dcpl);
    const haddr_t at = contiguous && bytes > 0 ? H5Dget_offset(set) : HADDR_UNDEF;
    if (at == HADDR_UNDEF)
        return DCV_OK;
    if (at > (haddr_t)f->bytes || bytes > f->bytes - (int64_t)at)
        return dcv_fail(DCV_EDATA, "%s: %s: its %lld bytes reach beyond the end of the file", f->name, path,
                        (long long)bytes);
    *offset = (int64_t)at;
    return DCV_OK;
}

/* Bytes as stored: elements times their size in the file. */
static dcv_status stored_bytes(const dcv_h5 *f, const char *path, const dcv_dims *dims, hid_t type, int64_t *out)
{
    if (__builtin_mul_overflow(dcv_count(dims), (int64_t)H5Tget_size(type), out))
        return dcv_fail(DCV_EDATA, "%s: %s: too large", f->name, path);
    return DCV_OK;
}

static dcv_status describe(dcv_h5 *f, const char *path, dcv_h5_info *out)
{
    dcv_status st;
    hid_t set, type;
    int64_t bytes;
    *out = (dcv_h5_info){.type = DCV_N_DTYPE, .offset = -1};
    DCV_TRY(open_set(f, path, &set));
    DCV_TRY(read_dims(f, path, set, &out->dims));
    DCV_TRY(need(f, path, type = H5Dget_type(set)));
    DCV_TRY_DONE(st, stored_bytes(f, path, &out->dims, type, &bytes));
    out->type = nearest_type(type);
    if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0) {
        out->type = DCV_U8;
        out->text_bytes = (int64_t)H5Tget_size(type);
    }
    name_type(type, out, out->stored, sizeof out->stored);
    const bool as_it_is = out->text_bytes || (out->type != DCV_N_DTYPE && H5Tequal(type, memory_type(out->type)) > 0);
    if (as_it_is)
        st = find_bytes(f, path, set, bytes, &out->offset);
done:
    (void)H5Tclose(type);
    return st;
}

dcv_status dcv_h5_info_of(dcv_h5 *f, const char *path, dcv_h5_info *out)
{
    h5_lock();
    dcv_status st = describe(f, path, out);
    h5_unlock();
    if (st == DCV_OK && out->type == DCV_N_DTYPE)
        st = dcv_fail(DCV_EDATA, "%s: %s: neither numbers nor texts of fixed length", f->name, path);
    return st;
}

bool dcv_h5_has(dcv_h5 *f, const char *path)
{
    h5_lock();
    const bool has = H5Oexists_by_name(f->file, path, f->lapl) > 0 || H5Lexists(f->file, path, f->lapl) > 0;
    h5_unlock();
    return has;
}

static dcv_status storage(dcv_h5 *f, const char *path, int64_t *offset, int64_t *bytes)
{
    dcv_status st;
    hid_t set, type;
    dcv_dims dims;
    DCV_TRY(open_set(f, path, &set));
    DCV_TRY(read_dims(f, path, set, &dims));
    DCV_TRY(need(f, path, type = H5Dget_type(set)));
    DCV_TRY_DONE(st, stored_bytes(f, path, &dims, type, bytes));
    DCV_TRY_DONE(st, find_bytes(f, path, set, *bytes, offset));
    if (*bytes && *offset < 0)
        st = dcv_fail(DCV_EDATA, "%s: %s: not stored in one piece", f->name, path);
done:
    (void)H5Tclose(type);
    return st;
}

dcv_status dcv_h5_storage(dcv_h5 *f, const char *path, int64_t *offset, int64_t *bytes)
{
    *offset = -1;
    *bytes = 0;
    h5_lock();
    const dcv_status st = storage(f, path, offset, bytes);
    h5_unlock();
    return st;
}

/* --- Reading -------------------------------------------------------------------------- */

/* Rows [first, first + n) of set as selections in the file and in memory. */
static dcv_status select_rows(const dcv_h5 *f, const char *path, hid_t set, int64_t first, int64_t n, h5_held *h,
                              hid_t *file_space, hid_t *space)
{
    dcv_dims dims;
    DCV_TRY(read_dims(f, path, set, &dims));
    const int64_t rows = dims.n ? dims.d[0] : 1;
    if (first < 0 || n < 0 || first > rows || n > rows - first)
        return dcv_fail(DCV_EDATA, "%s: %s: no %lld rows from row %lld on; it has %lld", f->name, path, (long long)n,
                        (long long)first, (long long)rows);
    DCV_TRY(need(f, path, *file_space = h5_hold(h, H5Dget_space(set))));
    if (dims.n) {
        hsize_t start[DCV_MAX_RANK] = {(hsize_t)first}, count[DCV_MAX_RANK] = {(hsize_t)n};
        for (int i = 1; i < dims.n; i++)
            count[i] = (hsize_t)dims.d[i];
        DCV_TRY(need(f, path, H5Sselect_hyperslab(*file_space, H5S_SELECT_SET, start, NULL, count, NULL)));
        dims.d[0] = n;
    }
    return need(f, path, *space = h5_hold(h, store_space(&dims)));
}

static dcv_status read_rows(dcv_h5 *f, const char *path, hid_t set, hid_t type, int64_t first, int64_t n, void *to)
{
    h5_held h = {.n = 0};
    hid_t file_space = -1, space = -1;
    dcv_status st = select_rows(f, path, set, first, n, &h, &file_space, &space);
    if (st == DCV_OK && H5Sget_simple_extent_npoints(space) > 0)
        st = need(f, path, H5Dread(set, type, space, file_space, H5P_DEFAULT, to));
    h5_release(&h);
    return st;
}

static dcv_status read_numbers(dcv_h5 *f, const char *path, dcv_dtype type, int64_t first, int64_t n, void *to)
{
    hid_t set, have;
    DCV_TRY(open_set(f, path, &set));
    DCV_TRY(need(f, path, have = H5Dget_type(set)));
    const bool is_number = nearest_type(have) != DCV_N_DTYPE;
    (void)H5Tclose(have);
    if (!is_number)
        return dcv_fail(DCV_EDATA, "%s: %s does not hold numbers", f->name, path);
    return read_rows(f, path, set, memory_type(type), first, n, to);
}

dcv_status dcv_h5_read(dcv_h5 *f, const char *path, dcv_dtype type, int64_t first, int64_t n, void *to)
{
    h5_lock();
    const dcv_status st = read_numbers(f, path, type, first, n, to);
    h5_unlock();
    return st;
}

static dcv_status read_block(dcv_h5 *f, const char *path, dcv_dtype type, const int64_t *first, const int64_t *n, int rank,
                             void *to)
{
    h5_held h = {.n = 0};
    hsize_t start[DCV_MAX_RANK], count[DCV_MAX_RANK];
    hid_t set, have, file_space, space;
    dcv_status st;
    DCV_TRY(open_set(f, path, &set));
    DCV_TRY_DONE(st, need(f, path, have = h5_hold(&h, H5Dget_type(set))));
    DCV_TRY_DONE(st, need(f, path, file_space = h5_hold(&h, H5Dget_space(set))));
    if (nearest_type(have) == DCV_N_DTYPE || rank < 1 || H5Sget_simple_extent_ndims(file_space) != rank) {
        st = dcv_fail(DCV_EDATA, "%s: %s does not hold numbers on %d axes", f->name, path, rank);
        goto done;
    }
    for (int a = 0; a < rank; a++) {
        start[a] = (hsize_t)first[a];
        count[a] = (hsize_t)n[a];
    }
    DCV_TRY_DONE(st, need(f, path, space = h5_hold(&h, H5Screate_simple(rank, count, NULL))));
    DCV_TRY_DONE(st, need(f, path, H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, count, NULL)));
    st = need(f, path, H5Dread(set, memory_type(type), space, file_space, H5P_DEFAULT, to));
done:
    h5_release(&h);
    return st;
}

dcv_status dcv_h5_read_block(dcv_h5 *f, const char *path, dcv_dtype type, const int64_t *first, const int64_t *n, int rank,
                             void *to)
{
    h5_lock();
    const dcv_status st = read_block(f, path, type, first, n, rank, to);
    h5_unlock();
    return st;
}

/* Text of bytes bytes, padded with 0, in the character set of like (HDF5 converts none). */
static hid_t text_memory(hid_t like, size_t bytes)
{
    const hid_t t = H5Tcopy(H5T_C_S1);
    if (t >= 0 &&
        (H5Tset_size(t, bytes) < 0 || H5Tset_strpad(t, H5T_STR_NULLPAD) < 0 || H5Tset_cset(t, H5Tget_cset(like)) < 0)) {
        (void)H5Tclose(t);
        return -1;
    }
    return t;
}

static dcv_status read_texts(dcv_h5 *f, const char *path, int64_t first, int64_t n, char *to, size_t text_bytes)
{
    dcv_status st;
    h5_held h = {.n = 0};
    hid_t set, have, type;
    DCV_TRY(open_set(f, path, &set));
    DCV_TRY_DONE(st, need(f, path, have = h5_hold(&h, H5Dget_type(set))));
    if (H5Tget_class(have) != H5T_STRING || H5Tis_variable_str(have) != 0) {
        st = dcv_fail(DCV_EDATA, "%s: %s does not hold texts of fixed length", f->name, path);
        goto done;
    }
    DCV_TRY_DONE(st, need(f, path, type = h5_hold(&h, text_memory(have, text_bytes))));
    st = read_rows(f, path, set, type, first, n, to);
done:
    h5_release(&h);
    return st;
}

dcv_status dcv_h5_read_text(dcv_h5 *f, const char *path, int64_t first, int64_t n, char *to, size_t text_bytes)
{
    h5_lock();
    const dcv_status st = read_texts(f, path, first, n, to, text_bytes);
    h5_unlock();
    return st;
}

/* --- Attributes ----------------------------------------------------------------------- */

/* Variable-length texts are not read: on a damaged global heap HDF5 1.10.8 reads beyond its memory or never ends. */

static char *append(char *text, const char *word, size_t n)
{
    char *more = dcv_format("%s%s%.*s", text ? text : "", text ? " " : "", (int)n, word);
    dcv_free(text);
    return more;
}

static char *number_texts(hid_t a, int64_t n, bool real)
{
    union {
        double r;
        int64_t i;
    } *v = dcv_alloc((size_t)n, sizeof *v);
    char *text = NULL;
    if (v && H5Aread(a, real ? H5T_IEEE_F64LE : H5T_STD_I64LE, v) >= 0)
        for (int64_t i = 0; i < n; i++) {
            char word[40];
            const int len = real ? snprintf(word, sizeof word, "%.17g", v[i].r)
                                 : snprintf(word, sizeof word, "%lld", (long long)v[i].i);
            if (!(text = append(text, word, (size_t)len)))
                break;
        }
    dcv_free(v);
    return text;
}

static char *fixed_texts(hid_t a, hid_t type, int64_t n)
{
    const size_t size = H5Tget_size(type);
    char *v = dcv_alloc((size_t)n, size), *text = NULL;
    if (v && H5Aread(a, type, v) >= 0)
        for (int64_t i = 0; i < n; i++)
            if (!(text = append(text, v + (size_t)i * size, strnlen(v + (size_t)i * size, size))))
                break;
    dcv_free(v);
    return text;
}

static char *attribute_text(hid_t a, h5_held *h)
{
    const hid_t type = h5_hold(h, H5Aget_type(a)), space = h5_hold(h, H5Aget_space(a));
    if (type < 0 || space < 0)
        return NULL;
    const int64_t n = H5Sget_simple_extent_npoints(space);
    const size_t size = H5Tget_size(type);
    if (n <= 0 || n > ATTRIBUTE_MAX_VALUES || size == 0 || n > ATTRIBUTE_MAX_BYTES / (int64_t)size)
        return NULL;
    switch (H5Tget_class(type)) {
    case H5T_INTEGER:
    case H5T_FLOAT:
        return number_texts(a, n, H5Tget_class(type) == H5T_FLOAT);
    case H5T_STRING:
        return H5Tis_variable_str(type) == 0 ? fixed_texts(a, type, n) : NULL;
    default:
        return NULL;
    }
}

char *dcv_h5_attribute(dcv_h5 *f, const char *path, const char *name)
{
    char *text = NULL;
    h5_held h = {.n = 0};
    h5_lock();
    if (H5Aexists_by_name(f->file, path, name, f->lapl) > 0) {
        const hid_t a = h5_hold(&h, H5Aopen_by_name(f->file, path, name, H5P_DEFAULT, f->lapl));
        if (a >= 0)
            text = attribute_text(a, &h);
    }
    h5_release(&h);
    h5_unlock();
    return text;
}

/* --- Visiting ------------------------------------------------------------------------- */

typedef struct path_list {
    dcv_arena *arena;
    const char **path;
    int n;
    dcv_status st;
} path_list;

static dcv_status add_path(path_list *l, const char *name)
{
    if ((l->n & (l->n - 1)) == 0) {
        const size_t room = l->n ? 2 * (size_t)l->n : 1;
        const char **path = dcv_realloc(l->path, (size_t)l->n, room, sizeof *path);
        if (!path)
            return DCV_ENOMEM;
        l->path = path;
    }
    char *path = dcv_arena_alloc(l->arena, strlen(name) + 2, 1);
    if (!path)
        return DCV_ENOMEM;
    path[0] = '/';
    strcpy(path + 1, name);
    l->path[l->n++] = path;
    return DCV_OK;
}

static herr_t meet(hid_t root, const char *name, const H5O_info_t *about, void *ctx)
{
    (void)root;
    path_list *l = ctx;
    if (about->type == H5O_TYPE_DATASET)
        l->st = add_path(l, name);
    return l->st == DCV_OK ? 0 : 1;
}

static dcv_status list_sets(const dcv_h5 *f, path_list *l)
{
    h5_lock();
    dcv_status st = need(f, "/", H5Ovisit2(f->file, H5_INDEX_NAME, H5_ITER_INC, meet, l, H5O_INFO_BASIC));
    h5_unlock();
    return st == DCV_OK ? l->st : st;
}

dcv_status dcv_h5_visit(dcv_h5 *f, dcv_h5_visit_fn fn, void *ctx)
{
    path_list l = {.st = DCV_OK};
    DCV_TRY(dcv_arena_new(&l.arena));
    dcv_status st = list_sets(f, &l);
    for (int i = 0; i < l.n && st == DCV_OK; i++) { /* without the lock: fn may read */
        dcv_h5_info info;
        h5_lock();
        st = describe(f, l.path[i], &info);
        h5_unlock();
        if (st == DCV_OK)
            st = fn(ctx, l.path[i], &info);
    }
    dcv_free(l.path);
    dcv_arena_free(l.arena);
    return st;
}
