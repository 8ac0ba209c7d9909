/* max_activation.c -- job `max_activation`: the inputs that drive each channel most, over a whole data set. */
#include <string.h>

#include "jobs/max_activation.h"

extern const dcv_job_kind dcv_job_max_activation;

static const char rules[] = "none|deconvnet|guided_backprop|gradient";

#define AT(member) DCV_AT(top_options, member)
static const dcv_field fields[] = {
    {.key = "layers",
     .type = DCV_FIELD_NAMES,
     .offset = AT(layers),
     .dflt = "all",
     .words = "all",
     .n_min = 1,
     .help = "all: every activation's output and the logits; or a list of names as `inspect` prints them"},
    {.key = "channels",
     .type = DCV_FIELD_INTS,
     .offset = AT(channels),
     .dflt = "all",
     .words = "all",
     .n_min = 1,
     .max = 1e9,
     .help = "all, N for the first N, or a list of numbers"},
    {.key = "top",
     .type = DCV_FIELD_INT,
     .offset = AT(top),
     .dflt = "9",
     .min = 1,
     .max = 10000,
     .help = "places kept for each channel, strongest first"},
    {.key = "rank_by",
     .type = DCV_FIELD_WORD,
     .offset = AT(rank_by),
     .dflt = "max",
     .words = "max|mean",
     .help = "what orders the places: the strongest cell, or the mean of the map"},
    {.key = "per_image",
     .type = DCV_FIELD_INT,
     .offset = AT(per_image),
     .dflt = "1",
     .min = 1,
     .max = 10000,
     .help = "most places of one image for one channel"},
    {.key = "patches",
     .type = DCV_FIELD_BOOL,
     .offset = AT(patches),
     .dflt = "true",
     .help = "keep the piece of the input that each place sees"},
    {.key = "reconstruct",
     .type = DCV_FIELD_WORD,
     .offset = AT(reconstruct),
     .dflt = "none",
     .words = rules,
     .help = "rule by which each place is taken back to the input: its activation is walked back"},
    {.key = "crop_limit",
     .type = DCV_FIELD_INT,
     .offset = AT(crop_limit),
     .dflt = "128",
     .min = 1,
     .max = 1e6,
     .unit = "px",
     .help = "layers that see more have no patches and no reconstructions, unless `layers` names them"},
    {.key = "statistics",
     .type = DCV_FIELD_BOOL,
     .offset = AT(statistics),
     .dflt = "true",
     .help = "mean, deviation, share of non-zero values, histograms of values and of classes"},
    DCV_FIELDS_END,
};

/* --- Opening ------------------------------------------------------------------------ */

static dcv_status check_input(const top_job *j)
{
    const dcv_dims *d = &j->net.graph->value[j->net.graph->in[0]].dims;
    if (!j->rule || (d->n >= 2 && d->n <= 4))
        return DCV_OK;
    return dcv_config_fail(j->base.config, "max_activation.reconstruct",
                           "the network's input has %d axes; reconstructions are for [N,C], [N,C,W] and [N,C,H,W]",
                           d->n);
}

/* Later phases are there where a layer asks for them. */
static void choose_phases(top_job *j)
{
    bool wanted[TOP_PHASES] = {true};
    for (int i = 0; i < j->n_layers; i++) {
        wanted[TOP_PATCHES] |= j->layer[i].patch;
        wanted[TOP_RECONSTRUCT] |= j->layer[i].reconstruction;
    }
    for (int p = 0; p < TOP_PHASES; p++)
        if (wanted[p])
            j->phase[j->base.n_phases++] = p;
}

static dcv_status open_job(const dcv_config *c, dcv_share *share, int threads, dcv_job **out)
{
    char rule[32];
    top_job *j = dcv_alloc(1, sizeof *j);
    *out = j ? &j->base : NULL;
    if (!j)
        return DCV_ENOMEM;
    j->base.config = c;
    j->base.kind = &dcv_job_max_activation;
    j->options = c->job;
    j->rule = dcv_rule_find(dcv_word_at(rules, j->options->reconstruct, rule, sizeof rule));
    const dcv_network_options o = {.choose = top_choose, .ctx = j, .back = j->rule, .boxes = j->rule};
    DCV_TRY(dcv_network_open(&j->net, c, &o, share, threads));
    dcv_network_describe(&j->net, &j->base);
    DCV_TRY(top_check_names(j));
    DCV_TRY(check_input(j));
    DCV_TRY(top_make_layers(j));
    choose_phases(j);
    return top_reconstruct_open(j);
}

static void close_job(dcv_job *base)
{
    top_job *j = (top_job *)base;
    top_reconstruct_close(j);
    top_free_layers(j);
    top_free_winners(j);
    dcv_network_close(&j->net);
    dcv_free(j);
}

/* --- The kind --------------------------------------------------------------------- */

static int64_t unit_items(const dcv_job *base, int p, int64_t unit)
{
    const top_job *j = (const top_job *)base;
    switch (j->phase[p]) {
    case TOP_PATCHES:
        return top_patches_items(j, unit);
    case TOP_RECONSTRUCT:
        return top_reconstruct_items(j, unit);
    default:
        return dcv_network_unit_items(&j->net, unit);
    }
}

static dcv_status phase(dcv_job *base, int p, dcv_phase *out)
{
    top_job *j = (top_job *)base;
    switch (j->phase[p]) {
    case TOP_PATCHES:
        *out = (dcv_phase){.name = "patches", .n_units = top_patches_units(j), .n_items = j->cut.n_pictures};
        break;
    case TOP_RECONSTRUCT:
        *out = (dcv_phase){.name = "reconstruct", .n_units = j->n_units, .n_items = j->back.n};
        break;
    default:
        *out = (dcv_phase){.name = "search",
                           .n_units = dcv_network_units(&j->net),
                           .n_items = base->n_items,
                           .state_bytes = j->state_bytes};
    }
    return DCV_OK;
}

static double unit_gflop(const dcv_job *base, int p, int64_t unit)
{
    const top_job *j = (const top_job *)base;
    switch (j->phase[p]) {
    case TOP_PATCHES:
        return 0;
    case TOP_RECONSTRUCT:
        return top_reconstruct_gflop(j, unit);
    default:
        return j->net.item_gflop * (double)unit_items(base, p, unit);
    }
}

static dcv_status read_unit(dcv_job *base, int p, int64_t unit, void **input)
{
    top_job *j = (top_job *)base;
    *input = NULL;
    return j->phase[p] == TOP_SEARCH ? dcv_network_read(&j->net, unit, input) : DCV_OK;
}

static void drop(dcv_job *base, void *input)
{
    (void)base;
    dcv_network_drop(input);
}

static dcv_status compute(dcv_job *base, int p, int64_t unit, int thread, void *input, void *state, dcv_result *r)
{
    top_job *j = (top_job *)base;
    switch (j->phase[p]) {
    case TOP_PATCHES:
        return top_patches(j, unit, r);
    case TOP_RECONSTRUCT:
        return top_reconstruct(j, unit, thread, r);
    default:
        return top_search(j, unit, thread, input, state, r);
    }
}

static dcv_status not_searched(void *ctx, int64_t item, dcv_result *r)
{
    (void)ctx, (void)item, (void)r;
    return DCV_OK; /* it has no place in anything that is gathered */
}

static dcv_status fail_unit(dcv_job *base, int p, int64_t unit, const char *message, void *state, dcv_result *r)
{
    top_job *j = (top_job *)base;
    const dcv_unit_actions actions = {.failed = not_searched};
    (void)state;
    switch (j->phase[p]) {
    case TOP_PATCHES:
        return top_patches_fail(j, unit, message, r);
    case TOP_RECONSTRUCT:
        return top_reconstruct_fail(j, unit, message, r);
    default:
        return dcv_network_fail_unit(&j->net, unit, message, &actions, r);
    }
}

const dcv_job_kind dcv_job_max_activation = {
    .section = {.job = "max_activation",
                .help = "the inputs that drive each channel most, over a whole data set",
                .fields = fields,
                .size = sizeof(top_options),
                .needs_model = true,
                .needs_dataset = true},
    .open = open_job,
    .close = close_job,
    .declare = top_declare,
    .phase = phase,
    .unit_items = unit_items,
    .unit_gflop = unit_gflop,
    .read = read_unit,
    .drop = drop,
    .compute = compute,
    .fail_unit = fail_unit,
    .state_clear = top_state_clear,
    .state_fold = top_state_fold,
    .finish = top_finish,
    .learn = top_learn,
    .explain = top_explain,
};
