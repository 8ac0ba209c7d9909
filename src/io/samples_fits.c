/* samples_fits.c -- FITS through cfitsio: the first image of a file, scaled as its header says. */
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <fitsio.h>

#include "deconvoy/memory.h"
#include "io/samples.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* Debian's library may be built without one of its own */

static bool fits_knows(const uint8_t *head, size_t n)
{
    return n >= 10 && !memcmp(head, "SIMPLE  = ", 10);
}

static dcv_status broken(const dcv_samples *s, int status)
{
    char text[FLEN_STATUS], more[FLEN_ERRMSG];
    fits_get_errstatus(status, text);
    while (fits_read_errmsg(more))
        ;
    return dcv_fail(DCV_EDATA, "%s: FITS: %s", s->shown, text);
}

/* Move to the first unit that holds an array. */
static int find_image(fitsfile *f, dcv_dims *dims, int *status)
{
    int n_units = 0;
    fits_get_num_hdus(f, &n_units, status);
    for (int i = 1; i <= n_units && !*status; i++) {
        int type = 0, n = 0;
        LONGLONG extent[DCV_MAX_RANK] = {0};
        fits_movabs_hdu(f, i, &type, status);
        if (*status || type != IMAGE_HDU)
            continue;
        fits_get_img_dim(f, &n, status);
        if (*status || n < 1 || n > DCV_MAX_RANK)
            continue;
        fits_get_img_sizell(f, DCV_MAX_RANK, extent, status);
        dims->n = n;
        for (int a = 0; a < n; a++)
            dims->d[a] = extent[n - 1 - a]; /* the first axis varies fastest in a FITS file */
        return 1;
    }
    return 0;
}

static dcv_status fits_open_it(dcv_samples *s)
{
    int status = 0;
    fitsfile *f = NULL;
    fits_open_diskfile(&f, s->file, READONLY, &status);
    if (status)
        return broken(s, status);
    s->own = f;
    const int found = find_image(f, &s->dims, &status);
    if (status)
        return broken(s, status);
    return found ? DCV_OK : dcv_fail(DCV_EDATA, "%s: FITS: no array of 1 to %d axes in it", s->shown, DCV_MAX_RANK);
}

static dcv_status fits_open_locked(dcv_samples *s, const char *dataset)
{
    (void)dataset;
    pthread_mutex_lock(&lock);
    const dcv_status st = fits_open_it(s);
    pthread_mutex_unlock(&lock);
    return st;
}

static void fits_close_locked(dcv_samples *s)
{
    int status = 0;
    if (!s->own)
        return;
    pthread_mutex_lock(&lock);
    fits_close_file(s->own, &status);
    pthread_mutex_unlock(&lock);
}

static dcv_status fits_read_it(dcv_samples *s, int64_t first, int64_t n, dcv_dtype type, void *to)
{
    int status = 0, any = 0;
    double nothing = NAN;
    float nothing32 = NAN;
    pthread_mutex_lock(&lock);
    fits_read_img(s->own, type == DCV_F64 ? TDOUBLE : TFLOAT, first + 1, n,
                  type == DCV_F64 ? (void *)&nothing : &nothing32, to, &any, &status);
    const dcv_status st = status ? broken(s, status) : DCV_OK;
    pthread_mutex_unlock(&lock);
    return st;
}

const dcv_samples_kind dcv_samples_fits = {.name = "FITS",
                                           .extensions = "fits|fit|fts",
                                           .knows = fits_knows,
                                           .open = fits_open_locked,
                                           .close = fits_close_locked,
                                           .read = fits_read_it};
