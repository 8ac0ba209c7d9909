/* store_hdf5.c -- lock, property lists and errors of the HDF5 door. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "io/store_hdf5.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void h5_lock(void)
{
    static bool is_open;
    pthread_mutex_lock(&lock);
    if (!is_open) {
        (void)H5open();
        (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
        is_open = true;
    }
}

void h5_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static herr_t take_first(unsigned n, const H5E_error2_t *e, void *ctx)
{
    (void)n;
    char *to = ctx;
    if (!to[0] && e->desc)
        snprintf(to, 256, "%s", e->desc);
    return 0;
}

/* The innermost reason; of a failed system call, only what errno means. */
static void reason(char to[256])
{
    static const char sys[] = "error message = '";
    to[0] = 0;
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, to);
    char *said = strstr(to, sys);
    if (said) {
        said += sizeof sys - 1;
        const size_t n = strcspn(said, "'");
        memmove(to, said, n);
        to[n] = 0;
    }
    if (!to[0])
        snprintf(to, 256, "HDF5 gave no reason");
}

dcv_status h5_need(int64_t result, dcv_status code, const char *file, const char *path)
{
    if (result >= 0)
        return DCV_OK;
    char why[256];
    reason(why);
    return path ? dcv_fail(code, "%s: %s: %s", file, path, why) : dcv_fail(code, "%s: %s", file, why);
}

hid_t h5_hold(h5_held *h, hid_t id)
{
    DCV_CHECK(h->n < (int)(sizeof h->id / sizeof h->id[0]));
    if (id >= 0)
        h->id[h->n++] = id;
    return id;
}

bool h5_release(h5_held *h)
{
    bool well = true;
    while (h->n > 0)
        well = H5Idec_ref(h->id[--h->n]) >= 0 && well;
    return well;
}

hid_t h5_access(void)
{
    const hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    if (fapl < 0)
        return fapl;
    if (H5Pset_fapl_sec2(fapl) < 0 || H5Pset_libver_bounds(fapl, H5F_LIBVER_V18, H5F_LIBVER_V18) < 0 ||
        H5Pset_file_locking(fapl, false, true) < 0 || H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG) < 0) {
        (void)H5Pclose(fapl);
        return -1;
    }
    return fapl;
}

hid_t store_type(const store_dataset *d)
{
    if (d->text_bytes > 0) {
        const hid_t t = H5Tcopy(H5T_C_S1);
        if (t >= 0 && (H5Tset_size(t, (size_t)d->text_bytes) < 0 || H5Tset_strpad(t, H5T_STR_NULLPAD) < 0 ||
                       H5Tset_cset(t, H5T_CSET_UTF8) < 0)) {
            (void)H5Tclose(t);
            return -1;
        }
        return t;
    }
    const hid_t known[] = {
        [DCV_F32] = H5T_IEEE_F32LE, [DCV_F64] = H5T_IEEE_F64LE, [DCV_I16] = H5T_STD_I16LE,  [DCV_I32] = H5T_STD_I32LE,
        [DCV_I64] = H5T_STD_I64LE,  [DCV_U8] = H5T_STD_U8LE,    [STORE_U32] = H5T_STD_U32LE};
    return H5Tcopy(known[d->type]);
}

hid_t store_space(const dcv_dims *dims)
{
    if (dims->n == 0)
        return H5Screate(H5S_SCALAR);
    hsize_t d[DCV_MAX_RANK];
    for (int i = 0; i < dims->n; i++)
        d[i] = (hsize_t)dims->d[i];
    return H5Screate_simple(dims->n, d, NULL);
}
