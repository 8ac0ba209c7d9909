/* latent.c -- inputs that are drawn, for generators. */
#include "jobs/latent.h"

#include <string.h>

#include "deconvoy/random.h"

#define WORDS      "normal|uniform|one_hot"
#define AT(member) DCV_AT(dcv_latent_options, member)

const dcv_field dcv_latent_fields[] = {
    {.key = "count", .type = DCV_FIELD_INT, .offset = AT(count), .dflt = "64", .min = 1, .max = 1e9, .help = "items"},
    {.key = "distribution",
     .type = DCV_FIELD_WORD,
     .offset = AT(distribution),
     .dflt = "normal",
     .words = WORDS,
     .help = "normal: mean 0, deviation 1; uniform: -1 to 1; one_hot: 1 in one channel, another from item to item"},
    {.key = "seed", .type = DCV_FIELD_INT, .offset = AT(seed), .dflt = "1", .max = 1e15, .help = "of what is drawn"},
    {.key = "inputs",
     .type = DCV_FIELD_PAIRS,
     .offset = AT(inputs),
     .help = "for several inputs: ONNX input name: distribution"},
    DCV_FIELDS_END,
};

static dcv_status choose_one(const dcv_config *c, const dcv_latent_options *o, const dcv_model *m, int i,
                             dcv_distribution *to)
{
    const char *name = o->inputs.key[i], *word = o->inputs.value[i], *known[64];
    const int d = dcv_word_find(WORDS, word);
    int n = 0;
    for (int k = 0; k < m->n_in; k++) {
        if (!strcmp(m->in[k].name, name) && d >= 0) {
            to[k] = (dcv_distribution)d;
            return DCV_OK;
        }
        if (!strcmp(m->in[k].name, name))
            return dcv_config_fail(c, "infer.latent.inputs", "%s: %s; expected normal, uniform or one_hot", name, word);
        if (n < 64)
            known[n++] = m->in[k].name;
    }
    const char *near = dcv_nearest(name, known, (size_t)n);
    return dcv_config_fail(c, "infer.latent.inputs", "no input \"%s\"; %s has %d, %s \"%s\"", name, m->file, m->n_in,
                           near ? "nearest is" : "the first is", near ? near : m->in[0].name);
}

dcv_status dcv_latent_choose(const dcv_config *c, const dcv_latent_options *o, const dcv_model *m, dcv_distribution *to)
{
    enum { FLOAT = 1, FLOAT16 = 10, DOUBLE = 11 };
    for (int k = 0; k < m->n_in; k++) {
        const int type = m->in[k].elem_type;
        to[k] = (dcv_distribution)o->distribution;
        if (type && type != FLOAT && type != FLOAT16 && type != DOUBLE)
            return dcv_fail(DCV_EDATA, "%s: input \"%s\" is %s; what infer.latent draws is float", m->file,
                            m->in[k].name, m->in[k].elem_name);
    }
    for (int i = 0; i < o->inputs.n; i++)
        DCV_TRY(choose_one(c, o, m, i, to));
    return DCV_OK;
}

static void draw_one_hot(int64_t item, const dcv_dims *dims, float *to)
{
    const int64_t n = dcv_count(dims), channels = dims->n > 1 ? dims->d[1] : n, cells = channels ? n / channels : 0;
    for (int64_t i = 0; i < n; i++)
        to[i] = i / cells == item % channels ? 1 : 0;
}

void dcv_latent_draw(const dcv_latent_options *o, dcv_distribution d, int k, int64_t item, const dcv_dims *dims,
                     float *to)
{
    const int64_t n = dcv_count(dims);
    const uint64_t key = dcv_random_bits((uint64_t)o->seed, (uint64_t)k), first = (uint64_t)(item * n);
    if (d == DCV_LATENT_ONE_HOT)
        draw_one_hot(item, dims, to);
    for (int64_t i = 0; i < n && d != DCV_LATENT_ONE_HOT; i++)
        to[i] = (float)(d == DCV_LATENT_NORMAL ? dcv_random_gaussian(key, first + (uint64_t)i)
                                               : 2 * dcv_random_uniform(key, first + (uint64_t)i) - 1);
}
