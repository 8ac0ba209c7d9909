/* cam_layers.c -- methods of the job `cam`, and the layer that each of them is about. */
#include <stdio.h>
#include <string.h>

#include "jobs/cam.h"

const cam_method cam_methods[CAM_METHODS] = {{"cam", DCV_CAM, false},
                                             {"grad_cam", DCV_GRAD_CAM, false},
                                             {"grad_cam_pp", DCV_GRAD_CAM_PP, false},
                                             {"layer_cam", DCV_LAYER_CAM, false},
                                             {"guided_grad_cam", DCV_GRAD_CAM, true}};

static dcv_status fail(const cam_job *j, const char *key, const char *text)
{
    return dcv_config_fail(j->on.base.config, key, "%s", text);
}

static dcv_status named_layer(const cam_job *j, const dcv_graph *g, int *value)
{
    const char *name = j->options->layer;
    *value = dcv_graph_find(g, name);
    if (*value < 0) {
        (void)dcv_graph_unknown(g, name);
        return fail(j, "cam.layer", dcv_message());
    }
    const dcv_value *v = &g->value[*value];
    if (!v->batched || v->type != DCV_F32 || v->producer < 0)
        return dcv_config_fail(j->on.base.config, "cam.layer",
                               "\"%s\" is not computed from the input; choose an operator's output", name);
    return DCV_OK;
}

static dcv_status last_layer(const cam_job *j, const dcv_graph *g, int *value)
{
    *value = dcv_cam_last(g);
    if (*value < 0 || g->value[*value].producer < 0)
        return fail(j, "cam.layer",
                    "the network has neither a global pooling nor a flatten that all goes through; name a layer as "
                    "`inspect` prints it");
    return DCV_OK;
}

/* Do the logits depend on value? */
static bool leads_to_logits(const dcv_graph *g, int value, bool *reached)
{
    reached[value] = true;
    for (int n = 0; n < g->n_node; n++) {
        const dcv_node *nd = &g->node[n];
        bool any = false;
        for (int k = 0; k < nd->n_in; k++)
            any = any || (nd->in[k] >= 0 && reached[nd->in[k]]);
        for (int k = 0; any && k < nd->n_out; k++)
            if (nd->out[k] >= 0)
                reached[nd->out[k]] = true;
    }
    return reached[g->logits];
}

static dcv_status check_leads(const cam_job *j, const dcv_graph *g, int value)
{
    bool *reached = dcv_alloc((size_t)g->n_value, sizeof *reached);
    if (!reached)
        return DCV_ENOMEM;
    const bool leads = leads_to_logits(g, value, reached);
    dcv_free(reached);
    return leads ? DCV_OK
                 : dcv_config_fail(j->on.base.config, "cam.layer", "the logits do not depend on \"%s\"",
                                   g->value[value].name);
}

static dcv_status add_layer(cam_job *j, const dcv_graph *g, int value, int *number)
{
    for (*number = 0; *number < j->n_layers; ++*number)
        if (!strcmp(j->layer[*number].name, g->value[value].name))
            return DCV_OK;
    cam_layer *l = &j->layer[j->n_layers];
    l->name = dcv_strdup(g->value[value].name);
    if (!l->name)
        return DCV_ENOMEM;
    l->map = dcv_value_map(&g->value[value]);
    j->n_layers++;
    return DCV_OK;
}

/* Class weights belong to one layer alone. */
static dcv_status weighted_layer(const cam_job *j, const dcv_graph *g, int i, int asked, int *value)
{
    char key[32];
    snprintf(key, sizeof key, "cam.methods[%d]", i);
    *value = dcv_cam_weighted(g);
    if (*value < 0 || g->value[*value].producer < 0)
        return fail(j, key,
                    "cam is for networks that end in global average pooling and one dense layer or 1x1 convolution, "
                    "nothing between them; this one does not: use grad_cam");
    if (asked != *value && asked != dcv_cam_last(g))
        return dcv_config_fail(j->on.base.config, key,
                               "cam is about layer \"%s\" alone, not \"%s\"; use grad_cam there", g->value[*value].name,
                               g->value[asked].name);
    return DCV_OK;
}

static dcv_status choose_layers(cam_job *j, const dcv_graph *g)
{
    int layer, weighted;
    if (g->logits < 0)
        return fail(j, "cam.targets", "the network is no classifier; class activation maps are about classes");
    DCV_TRY(strcmp(j->options->layer, "last") ? named_layer(j, g, &layer) : last_layer(j, g, &layer));
    DCV_TRY(check_leads(j, g, layer));
    for (int i = 0; i < j->n_wanted; i++) {
        cam_wanted *w = &j->wanted[i];
        if (w->method->kind == DCV_CAM)
            DCV_TRY(weighted_layer(j, g, i, layer, &weighted));
        DCV_TRY(add_layer(j, g, w->method->kind == DCV_CAM ? weighted : layer, &w->layer));
    }
    return DCV_OK;
}

dcv_status cam_choose(void *job, const dcv_graph *g, int *seen, int *n_seen)
{
    cam_job *j = job;
    if (!j->n_layers)
        DCV_TRY(choose_layers(j, g));
    *n_seen = 0;
    seen[(*n_seen)++] = g->logits;
    for (int i = 0; i < j->n_layers; i++) {
        const int v = dcv_graph_find(g, j->layer[i].name);
        if (v < 0)
            return dcv_fail(DCV_EDATA, "there is no layer \"%s\" at this size", j->layer[i].name);
        if (v != g->logits)
            seen[(*n_seen)++] = v;
    }
    return DCV_OK;
}

int64_t cam_macs_above(const dcv_graph *g, int value)
{
    int64_t macs = 0;
    bool *reached = dcv_alloc((size_t)g->n_value, sizeof *reached);
    if (!reached)
        return dcv_graph_macs(g);
    (void)leads_to_logits(g, value, reached);
    for (int n = 0; n < g->n_node; n++)
        for (int k = 0; k < g->node[n].n_in; k++)
            if (g->node[n].in[k] >= 0 && reached[g->node[n].in[k]]) {
                macs += dcv_node_macs(g, n);
                break;
            }
    dcv_free(reached);
    return macs;
}
