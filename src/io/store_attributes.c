/* store_attributes.c -- all attributes of a skeleton: the job's own, dimension scales, pictures, NeXus.
 *
 * Dimension scales follow the HDF5 Dimension Scale Specification 1.0: CLASS and NAME on a scale, DIMENSION_LIST
 * and DIMENSION_LABELS on what it describes, REFERENCE_LIST back.  They are written here, once each, rather than by
 * the library's helper, which rewrites REFERENCE_LIST for every axis attached (time and dead space grow with the
 * square).  Pictures follow the HDF5 Image Specification 1.2, NX_class, signal and axes the NeXus NXdata class.
 */
#include <string.h>
#include "io/store_hdf5.h"

typedef struct pen {
    const dcv_store *s;
    hid_t file;
    const char *name; /* of the file */
} pen;

/* 0-terminated fixed length, as the specifications above want it. */
static hid_t text_type(size_t bytes, H5T_cset_t cset)
{
    const hid_t t = H5Tcopy(H5T_C_S1);
    if (t >= 0 && (H5Tset_size(t, bytes) < 0 || H5Tset_cset(t, cset) < 0)) {
        (void)H5Tclose(t);
        return -1;
    }
    return t;
}

/* Write one attribute of n values (n < 0: a scalar) of a type; closes type. */
static dcv_status put(const pen *p, const char *path, const char *attribute, hid_t type, int64_t n, const void *values)
{
    dcv_status st;
    h5_held h = {.n = 0};
    const dcv_dims dims = {n < 0 ? 0 : 1, {n}};
    hid_t object, space, a;
    DCV_TRY_DONE(st, h5_need(h5_hold(&h, type), DCV_EIO, p->name, path));
    DCV_TRY_DONE(st, h5_need(object = h5_hold(&h, H5Oopen(p->file, path, H5P_DEFAULT)), DCV_EIO, p->name, path));
    DCV_TRY_DONE(st, h5_need(space = h5_hold(&h, store_space(&dims)), DCV_EIO, p->name, path));
    a = h5_hold(&h, H5Acreate2(object, attribute, type, space, H5P_DEFAULT, H5P_DEFAULT));
    DCV_TRY_DONE(st, h5_need(a, DCV_EIO, p->name, path));
    DCV_TRY_DONE(st, h5_need(H5Awrite(a, type, values), DCV_EIO, p->name, path));
done:
    h5_release(&h);
    return st;
}

static dcv_status put_text(const pen *p, const char *path, const char *attribute, const char *text)
{
    return put(p, path, attribute, text_type(strlen(text) + 1, H5T_CSET_UTF8), -1, text);
}

static dcv_status put_word(const pen *p, const char *path, const char *attribute, const char *word)
{
    return put(p, path, attribute, text_type(strlen(word) + 1, H5T_CSET_ASCII), -1, word);
}

static dcv_status put_texts(const pen *p, const char *path, const char *attribute, const char *const *text, int n)
{
    size_t longest = 0;
    for (int i = 0; i < n; i++)
        if (strlen(text[i]) > longest)
            longest = strlen(text[i]);
    char *all = dcv_alloc((size_t)n, longest + 1);
    if (!all)
        return DCV_ENOMEM;
    for (int i = 0; i < n; i++)
        memcpy(all + (size_t)i * (longest + 1), text[i], strlen(text[i]));
    const dcv_status st = put(p, path, attribute, text_type(longest + 1, H5T_CSET_UTF8), n, all);
    dcv_free(all);
    return st;
}

/* --- Pictures ------------------------------------------------------------------------- */

static dcv_status put_image(const pen *p, const store_dataset *d)
{
    const char *path = d->region.path;
    const bool colour = d->image_channels == 3;
    DCV_TRY(put_word(p, path, "CLASS", "IMAGE"));
    DCV_TRY(put_word(p, path, "IMAGE_VERSION", "1.2"));
    DCV_TRY(put_word(p, path, "IMAGE_SUBCLASS", colour ? "IMAGE_TRUECOLOR" : "IMAGE_GRAYSCALE"));
    DCV_TRY(put_word(p, path, "INTERLACE_MODE", "INTERLACE_PIXEL"));
    const uint8_t range[2] = {0, 255};
    DCV_TRY(put(p, path, "IMAGE_MINMAXRANGE", H5Tcopy(H5T_STD_U8LE), 2, range));
    return put_word(p, path, "interpretation", colour ? "rgb-image" : "image");
}

/* --- Dimension scales ----------------------------------------------------------------- */

typedef struct back_reference { /* as the library's own helper lays it out */
    hobj_ref_t dataset;
    int32_t dimension, padding;
} back_reference;

static hid_t back_reference_type(void)
{
    const hid_t t = H5Tcreate(H5T_COMPOUND, sizeof(back_reference));
    if (t >= 0 && (H5Tinsert(t, "dataset", offsetof(back_reference, dataset), H5T_STD_REF_OBJ) < 0 ||
                   H5Tinsert(t, "dimension", offsetof(back_reference, dimension), H5T_STD_I32LE) < 0)) {
        (void)H5Tclose(t);
        return -1;
    }
    return t;
}

static dcv_status reference(const pen *p, int id, hobj_ref_t *out)
{
    const char *path = p->s->set[id]->region.path;
    return h5_need(H5Rcreate(out, p->file, path, H5R_OBJECT, -1), DCV_EIO, p->name, path);
}

/* Count the axes that scale describes, and list them where list is not NULL. */
static dcv_status described_by(const pen *p, int scale, back_reference *list, int64_t *n)
{
    *n = 0;
    for (int id = 0; id < p->s->n_sets; id++)
        for (int axis = 0; axis < p->s->set[id]->region.dims.n; axis++) {
            if (p->s->set[id]->axis[axis].scale != scale)
                continue;
            if (list) {
                DCV_TRY(reference(p, id, &list[*n].dataset));
                list[*n].dimension = axis;
            }
            ++*n;
        }
    return DCV_OK;
}

static dcv_status put_scale(const pen *p, int id)
{
    const char *path = p->s->set[id]->region.path;
    DCV_TRY(put_word(p, path, "CLASS", "DIMENSION_SCALE"));
    DCV_TRY(put_text(p, path, "NAME", strrchr(path, '/') + 1));
    int64_t n;
    DCV_TRY(described_by(p, id, NULL, &n));
    back_reference *list = dcv_alloc((size_t)n, sizeof *list);
    if (!list)
        return DCV_ENOMEM;
    dcv_status st = described_by(p, id, list, &n);
    if (st == DCV_OK)
        st = put(p, path, "REFERENCE_LIST", back_reference_type(), n, list);
    dcv_free(list);
    return st;
}

static hid_t list_type(void)
{
    return H5Tvlen_create(H5T_STD_REF_OBJ);
}

static hid_t label_type(void)
{
    return text_type(H5T_VARIABLE, H5T_CSET_ASCII);
}

static dcv_status put_axes(const pen *p, int id)
{
    const store_dataset *d = p->s->set[id];
    const int rank = d->region.dims.n;
    hobj_ref_t ref[DCV_MAX_RANK];
    hvl_t list[DCV_MAX_RANK];
    const char *label[DCV_MAX_RANK];
    bool has_scale = false, has_label = false;
    for (int i = 0; i < rank; i++) {
        const int scale = d->axis[i].scale;
        list[i] = (hvl_t){scale >= 0, &ref[i]};
        if (scale >= 0)
            DCV_TRY(reference(p, scale, &ref[i]));
        label[i] = d->axis[i].label ? d->axis[i].label : "";
        has_scale |= scale >= 0;
        has_label |= label[i][0] != 0;
    }
    if (has_label)
        DCV_TRY(put(p, d->region.path, "DIMENSION_LABELS", label_type(), rank, label));
    if (has_scale)
        DCV_TRY(put(p, d->region.path, "DIMENSION_LIST", list_type(), rank, list));
    return DCV_OK;
}

/* --- NeXus ---------------------------------------------------------------------------- */

static bool is_inside(const char *path, const char *group)
{
    const size_t n = strcmp(group, "/") == 0 ? 0 : strlen(group);
    return strncmp(path, group, n) == 0 && path[n] == '/' && path[n + 1];
}

/* The first NXdata below group, as a path from there, or NULL. */
static const char *first_nxdata(const pen *p, const char *group)
{
    for (int i = 0; i < p->s->n_nxdata; i++)
        if (is_inside(p->s->nxdata[i].group, group))
            return p->s->nxdata[i].group + (strcmp(group, "/") == 0 ? 0 : strlen(group)) + 1;
    return NULL;
}

static dcv_status put_nxdata(const pen *p, const store_nxdata *nx)
{
    DCV_TRY(put_word(p, nx->group, "NX_class", "NXdata"));
    DCV_TRY(put_text(p, nx->group, "signal", nx->signal));
    return nx->n_axes ? put_texts(p, nx->group, "axes", nx->axes, nx->n_axes) : DCV_OK;
}

/* A group that leads to NXdata: NXroot or NXentry, with the path to the first one. */
static dcv_status put_way(const pen *p, const char *group, const char *class)
{
    const char *to = first_nxdata(p, group);
    if (!to)
        return DCV_OK;
    DCV_TRY(put_word(p, group, "NX_class", class));
    return put_text(p, group, "default", to);
}

static bool is_nxdata(const pen *p, const char *group)
{
    for (int i = 0; i < p->s->n_nxdata; i++)
        if (strcmp(p->s->nxdata[i].group, group) == 0)
            return true;
    return false;
}

static dcv_status put_nexus(const pen *p)
{
    for (int i = 0; i < p->s->n_nxdata; i++)
        DCV_TRY(put_nxdata(p, &p->s->nxdata[i]));
    if (!is_nxdata(p, "/"))
        DCV_TRY(put_way(p, "/", "NXroot"));
    for (int i = 0; i < p->s->n_nxdata; i++) { /* the groups at the top that hold some, each once */
        const char *path = p->s->nxdata[i].group;
        const size_t n = strcspn(path + 1, "/") + 1;
        if (!path[n])
            continue;
        char *top = dcv_arena_strndup(p->s->arena, path, n);
        if (!top)
            return DCV_ENOMEM;
        bool seen = is_nxdata(p, top);
        for (int j = 0; j < i && !seen; j++)
            seen = is_inside(p->s->nxdata[j].group, top);
        if (!seen)
            DCV_TRY(put_way(p, top, "NXentry"));
    }
    return DCV_OK;
}

dcv_status store_write_attributes(const dcv_store *s, hid_t file, const char *name)
{
    const pen p = {s, file, name};
    for (int i = 0; i < s->n_attributes; i++) {
        const store_attribute *a = &s->attribute[i];
        if (a->ints || a->reals)
            DCV_TRY(put(&p, a->path, a->name, H5Tcopy(a->ints ? H5T_STD_I64LE : H5T_IEEE_F64LE), a->v,
                        a->ints ? (const void *)a->ints : a->reals));
        else
            DCV_TRY(a->text ? put_text(&p, a->path, a->name, a->text)
                            : put(&p, a->path, a->name, H5Tcopy(H5T_STD_I64LE), -1, &a->v));
    }
    DCV_TRY(put_nexus(&p));
    for (int id = 0; id < s->n_sets; id++) {
        if (s->set[id]->image_channels)
            DCV_TRY(put_image(&p, s->set[id]));
        if (s->set[id]->is_scale)
            DCV_TRY(put_scale(&p, id));
        DCV_TRY(put_axes(&p, id));
    }
    return DCV_OK;
}
