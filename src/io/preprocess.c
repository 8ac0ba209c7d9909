/* preprocess.c -- scale, mean, std and channel order as a table of 256 values a channel.
 *
 * The table is computed in float64 and rounded once.
 */
#include "io/preprocess.h"

static double one_of(const dcv_reals *v, int64_t k, double otherwise)
{
    return v->n == 0 ? otherwise : v->v[v->n == 1 ? 0 : k];
}

double dcv_preprocess_value(const dcv_preprocess *p, int64_t k, double v)
{
    return (v * p->scale - one_of(&p->mean, k, 0)) / one_of(&p->std, k, 1);
}

dcv_status dcv_preprocess_fits(const dcv_preprocess *p, int64_t c, const char **key)
{
    const dcv_reals *list[] = {&p->mean, &p->std};
    static const char *const names[] = {"mean", "std"};
    for (int i = 0; i < 2; i++) {
        *key = names[i];
        if (list[i]->n > 1 && list[i]->n != c)
            return dcv_fail(DCV_ECONFIG, "%s has %d values; the input has %lld channels", names[i], list[i]->n,
                            (long long)c);
    }
    for (int k = 0; k < p->std.n; k++)
        if (!(p->std.v[k] != 0))
            return dcv_fail(DCV_ECONFIG, "std[%d] is 0; the input is divided by it", k);
    *key = NULL;
    return DCV_OK;
}

void dcv_tables_make(const dcv_preprocess *p, int c, dcv_tables *t)
{
    const bool turned = p->channels == DCV_BGR;
    t->c = c;
    for (int k = 0; k < c; k++) {
        t->from[k] = turned ? c - 1 - k : k;
        for (int v = 0; v < 256; v++)
            t->value[k][v] = (float)dcv_preprocess_value(p, k, v);
    }
}

void dcv_tables_apply(const dcv_tables *t, const dcv_image *im, float *to)
{
    const int64_t plane = im->h * im->w;
    for (int64_t y = 0; y < im->h; y++) /* a row of all channels while it is in the cache */
        for (int k = 0; k < t->c; k++) {
            const uint8_t *px = im->px + y * im->w * im->c + (im->c == 1 ? 0 : t->from[k]);
            const float *value = t->value[k];
            float *row = to + k * plane + y * im->w;
            for (int64_t x = 0; x < im->w; x++)
                row[x] = value[px[x * im->c]];
        }
}
