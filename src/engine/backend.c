/* backend.c -- which convolution back end is in use. */
#include <stdlib.h>
#include <string.h>
#include "engine/conv.h"

static const dcv_backend *const table[] = {
    [DCV_BACKEND_BLAS] = &dcv_backend_blas,
#ifdef DCV_HAVE_ONEDNN
    [DCV_BACKEND_ONEDNN] = &dcv_backend_onednn,
#endif
};
enum { N_BACKENDS = sizeof table / sizeof *table };

dcv_status dcv_backend_choose(dcv_backend_kind *out)
{
    const char *want = getenv("DECONVOY_BACKEND");
    *out = (dcv_backend_kind)(N_BACKENDS - 1);
    if (!want || !*want)
        return DCV_OK;
    for (int i = 0; i < N_BACKENDS; i++) {
        if (!strcmp(table[i]->name, want)) {
            *out = (dcv_backend_kind)i;
            return DCV_OK;
        }
    }
    if (!strcmp(want, "onednn"))
        return dcv_fail(DCV_EUSAGE, "DECONVOY_BACKEND=onednn: this program was built without oneDNN; expected blas");
    return dcv_fail(DCV_EUSAGE, "DECONVOY_BACKEND=%s: unknown back end; expected onednn or blas", want);
}

const dcv_backend *dcv_backend_of(dcv_backend_kind kind)
{
    DCV_CHECK((int)kind >= 0 && (int)kind < N_BACKENDS);
    return table[kind];
}

dcv_status dcv_backend_limit(int set)
{
    DCV_CHECK(set >= 0 && set <= 2);
    DCV_TRY(dcv_backend_blas.limit(set));
#ifdef DCV_HAVE_ONEDNN
    DCV_TRY(dcv_backend_onednn.limit(set));
#endif
    return DCV_OK;
}

const char *dcv_backend_numerics(dcv_backend_kind b)
{
    return dcv_backend_of(b)->numerics();
}

int64_t dcv_conv_macs(const dcv_conv_desc *d)
{
    int64_t macs = d->oc * (d->ic / d->groups);
    for (int i = 0; i < d->n_space; i++)
        macs *= d->out[i] * d->win[i].kernel;
    return macs;
}
