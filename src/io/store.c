/* store.c -- declarations of a result file, before there is one. */
#include <string.h>
#include "io/store_hdf5.h"

dcv_status dcv_store_new(dcv_store **out)
{
    *out = NULL;
    dcv_store *s = dcv_alloc(1, sizeof *s);
    if (!s)
        return DCV_ENOMEM;
    dcv_status st = dcv_arena_new(&s->arena);
    if (st != DCV_OK) {
        dcv_free(s);
        return st;
    }
    *out = s;
    return DCV_OK;
}

void dcv_store_free(dcv_store *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n_sets; i++)
        dcv_free(s->set[i]->values);
    for (int i = 0; i < STORE_N_SUMS; i++)
        if (s->sum[i])
            dcv_free(s->sum[i]->values);
    dcv_free(s->set);
    dcv_free(s->attribute);
    dcv_free(s->nxdata);
    dcv_arena_free(s->arena);
    dcv_free(s);
}

/* A place in the file: "/" or "/a/b", no empty part and no part that HDF5 takes for "here". */
static dcv_status path_check(const char *path)
{
    if (strcmp(path, "/") == 0)
        return DCV_OK;
    if (path[0] != '/')
        return dcv_fail(DCV_EINTERNAL, "result path '%s' does not start with /", path);
    for (const char *p = path; *p;) {
        const size_t n = strcspn(++p, "/");
        if (n == 0 || (n == 1 && *p == '.'))
            return dcv_fail(DCV_EDATA, "'%s' cannot be a name in the result: a part of it is empty or '.'", path);
        p += n;
    }
    return DCV_OK;
}

static int find(const dcv_store *s, const char *path)
{
    for (int i = 0; i < s->n_sets; i++)
        if (strcmp(s->set[i]->region.path, path) == 0)
            return i;
    return -1;
}

/* The array with room for one more after n; it doubles.  NULL: refused, and the old one is unchanged. */
static void *grow(void *array, int n, size_t size)
{
    return n & (n - 1) ? array : dcv_realloc(array, (size_t)n, n ? 2 * (size_t)n : 1, size);
}

static dcv_status add_attribute(dcv_store *s, const char *path, const char *name, const char *text, int64_t v)
{
    DCV_TRY(path_check(path));
    store_attribute *attribute = grow(s->attribute, s->n_attributes, sizeof *attribute);
    if (!attribute)
        return DCV_ENOMEM;
    s->attribute = attribute;
    store_attribute a = {dcv_arena_strdup(s->arena, path), dcv_arena_strdup(s->arena, name),
                         text ? dcv_arena_strdup(s->arena, text) : NULL, v, NULL, NULL};
    if (!a.path || !a.name || (text && !a.text))
        return DCV_ENOMEM;
    s->attribute[s->n_attributes++] = a;
    return DCV_OK;
}

dcv_status dcv_store_reals(dcv_store *s, const char *path, const char *name, const double *v, int n)
{
    double *copy = dcv_arena_alloc(s->arena, (size_t)n, sizeof *copy);
    if (!copy)
        return DCV_ENOMEM;
    memcpy(copy, v, (size_t)n * sizeof *v);
    DCV_TRY(add_attribute(s, path, name, NULL, n));
    s->attribute[s->n_attributes - 1].reals = copy;
    return DCV_OK;
}

dcv_status dcv_store_ints(dcv_store *s, const char *path, const char *name, const int64_t *v, int n)
{
    int64_t *copy = dcv_arena_alloc(s->arena, (size_t)n, sizeof *copy);
    if (!copy)
        return DCV_ENOMEM;
    memcpy(copy, v, (size_t)n * sizeof *v);
    DCV_TRY(add_attribute(s, path, name, NULL, n));
    s->attribute[s->n_attributes - 1].ints = copy;
    return DCV_OK;
}

dcv_status dcv_store_text(dcv_store *s, const char *path, const char *name, const char *text)
{
    return add_attribute(s, path, name, text, 0);
}

dcv_status dcv_store_int(dcv_store *s, const char *path, const char *name, int64_t v)
{
    return add_attribute(s, path, name, NULL, v);
}

static dcv_status new_dataset(dcv_store *s, const char *path, int type, int64_t text_bytes, const dcv_dims *dims,
                              store_dataset **out)
{
    *out = NULL;
    DCV_TRY(path_check(path));
    DCV_TRY(dcv_dims_check(dims));
    if (text_bytes < 0 || text_bytes > 1 << 20)
        return dcv_fail(DCV_EINTERNAL, "%s: texts of %lld bytes; want at most 1 MiB", path, (long long)text_bytes);
    store_dataset *d = dcv_arena_alloc(s->arena, 1, sizeof *d);
    char *name = dcv_arena_strdup(s->arena, path);
    if (!d || !name)
        return DCV_ENOMEM;
    const size_t elem = text_bytes          ? (size_t)text_bytes
                        : type == STORE_U32 ? sizeof(uint32_t)
                                            : dcv_dtype_bytes((dcv_dtype)type);
    d->region = (dcv_region){name, elem, *dims, dcv_count(dims) * (int64_t)elem, -1, false};
    d->type = type;
    d->text_bytes = text_bytes;
    for (int i = 0; i < DCV_MAX_RANK; i++)
        d->axis[i].scale = -1;
    *out = d;
    return DCV_OK;
}

dcv_status dcv_store_dataset(dcv_store *s, const char *path, dcv_dtype type, int64_t text_bytes, const dcv_dims *dims,
                             int *id)
{
    *id = -1;
    store_dataset *d;
    DCV_TRY(new_dataset(s, path, type, text_bytes, dims, &d));
    if (find(s, path) >= 0)
        return dcv_fail(DCV_EDATA, "%s: two data sets of the result would have this name", path);
    store_dataset **set = grow(s->set, s->n_sets, sizeof *set);
    if (!set)
        return DCV_ENOMEM;
    s->set = set;
    *id = s->n_sets;
    s->set[s->n_sets++] = d;
    return DCV_OK;
}

static dcv_status set_values(store_dataset *d, const void *values, size_t bytes)
{
    if ((int64_t)bytes != d->region.bytes)
        return dcv_fail(DCV_EINTERNAL, "%s: %zu bytes of values; want %lld", d->region.path, bytes,
                        (long long)d->region.bytes);
    dcv_free(d->values);
    d->values = dcv_alloc(bytes, 1);
    if (!d->values)
        return DCV_ENOMEM;
    if (bytes)
        memcpy(d->values, values, bytes);
    d->region.preset = true;
    return DCV_OK;
}

dcv_status dcv_store_values(dcv_store *s, int id, const void *values, size_t bytes)
{
    DCV_CHECK(id >= 0 && id < s->n_sets);
    return set_values(s->set[id], values, bytes);
}

dcv_status dcv_store_axis(dcv_store *s, int id, int axis, int scale, const char *label)
{
    DCV_CHECK(id >= 0 && id < s->n_sets && scale < s->n_sets);
    store_dataset *d = s->set[id];
    if (axis < 0 || axis >= d->region.dims.n)
        return dcv_fail(DCV_EINTERNAL, "%s: no axis %d", d->region.path, axis);
    if (scale >= 0) {
        store_dataset *of = s->set[scale];
        if (of->region.dims.n != 1 || of->region.dims.d[0] != d->region.dims.d[axis] || d->is_scale || scale == id)
            return dcv_fail(DCV_EINTERNAL, "%s cannot describe axis %d of %s", of->region.path, axis, d->region.path);
        of->is_scale = true;
        d->axis[axis].scale = scale;
    }
    if (label && !(d->axis[axis].label = dcv_arena_strdup(s->arena, label)))
        return DCV_ENOMEM;
    return DCV_OK;
}

dcv_status dcv_store_nxdata(dcv_store *s, const char *group, const char *signal, const char *const *axes, int n_axes)
{
    DCV_TRY(path_check(group));
    store_nxdata *nxdata = grow(s->nxdata, s->n_nxdata, sizeof *nxdata);
    if (!nxdata)
        return DCV_ENOMEM;
    s->nxdata = nxdata;
    store_nxdata nx = {dcv_arena_strdup(s->arena, group), dcv_arena_strdup(s->arena, signal),
                       dcv_arena_alloc(s->arena, (size_t)n_axes, sizeof *nx.axes), n_axes};
    if (!nx.group || !nx.signal || !nx.axes)
        return DCV_ENOMEM;
    for (int i = 0; i < n_axes; i++)
        if (!(nx.axes[i] = dcv_arena_strdup(s->arena, axes[i])))
            return DCV_ENOMEM;
    s->nxdata[s->n_nxdata++] = nx;
    return DCV_OK;
}

dcv_status dcv_store_image(dcv_store *s, int id, int channels)
{
    DCV_CHECK(id >= 0 && id < s->n_sets);
    if (channels != 1 && channels != 3)
        return dcv_fail(DCV_EINTERNAL, "%s: pictures of %d channels; want 1 or 3", s->set[id]->region.path, channels);
    s->set[id]->image_channels = channels;
    return DCV_OK;
}

int dcv_store_count(const dcv_store *s)
{
    return s->n_sets;
}

const dcv_region *dcv_store_region(const dcv_store *s, int id)
{
    DCV_CHECK(id >= 0 && id < s->n_sets);
    return &s->set[id]->region;
}

void dcv_store_offsets(const dcv_store *s, int64_t *out)
{
    for (int i = 0; i < s->n_sets; i++)
        out[i] = s->set[i]->region.offset;
}

void dcv_store_set_offsets(dcv_store *s, const int64_t *offsets)
{
    for (int i = 0; i < s->n_sets; i++)
        s->set[i]->region.offset = offsets[i];
}

/* --- /checksums --------------------------------------------------------------------- */

static const char *sum_path[STORE_N_SUMS] = {"/checksums/structure", "/checksums/path", "/checksums/crc32c"};

/* /checksums/path: the declared sets in order, then /checksums/structure. */
static dcv_status set_paths(dcv_store *s)
{
    store_dataset *d = s->sum[STORE_PATHS];
    char *text = dcv_alloc((size_t)s->n_sets + 1, (size_t)d->text_bytes);
    if (!text)
        return DCV_ENOMEM;
    for (int i = 0; i <= s->n_sets; i++) {
        const char *path = i < s->n_sets ? s->set[i]->region.path : sum_path[STORE_STRUCTURE];
        memcpy(text + (size_t)i * (size_t)d->text_bytes, path, strlen(path));
    }
    const dcv_status st = set_values(d, text, (size_t)d->region.bytes);
    dcv_free(text);
    return st;
}

dcv_status store_declare_sums(dcv_store *s)
{
    if (s->sum[STORE_CRCS])
        return DCV_OK;
    size_t longest = strlen(sum_path[STORE_STRUCTURE]);
    for (int i = 0; i < s->n_sets; i++)
        if (strlen(s->set[i]->region.path) > longest)
            longest = strlen(s->set[i]->region.path);
    const dcv_dims one = {0, {0}}, all = {1, {s->n_sets + 1}};
    DCV_TRY(new_dataset(s, sum_path[STORE_STRUCTURE], STORE_U32, 0, &one, &s->sum[STORE_STRUCTURE]));
    DCV_TRY(new_dataset(s, sum_path[STORE_PATHS], DCV_U8, (int64_t)longest, &all, &s->sum[STORE_PATHS]));
    DCV_TRY(set_paths(s));
    return new_dataset(s, sum_path[STORE_CRCS], STORE_U32, 0, &all, &s->sum[STORE_CRCS]);
}

const dcv_region *dcv_store_checksums(const dcv_store *s)
{
    return s->sum[STORE_CRCS] ? &s->sum[STORE_CRCS]->region : NULL;
}
