/* cam.c -- job `cam`: where in each picture a class has its evidence, in heat maps and boxes; how well these meet true
 * boxes. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "deconvoy/log.h"
#include "jobs/cam.h"

extern const dcv_job_kind dcv_job_cam;

#define BOX(member) DCV_AT(struct cam_boxes, member)
static const dcv_field box_fields[] = {
    {.key = "thresholds",
     .type = DCV_FIELD_REALS,
     .offset = BOX(thresholds),
     .dflt = "[0.2]",
     .n_min = 1,
     .n_max = 1000,
     .max = 1,
     .help = "of the heat map: one box each, around the largest connected part that reaches it"},
    {.key = "truth",
     .type = DCV_FIELD_PATH,
     .offset = BOX(truth),
     .help = "true boxes for metrics: a header line image,class,y0,x0,y1,x1, then a box a line (class by number or "
             "name; px of "
             "the original picture)"},
    DCV_FIELDS_END,
};

#define AT(member) DCV_AT(cam_options, member)
static const dcv_field fields[] = {
    {.key = "methods",
     .type = DCV_FIELD_NAMES,
     .offset = AT(methods),
     .dflt = "[grad_cam]",
     .help = "any of cam, grad_cam, grad_cam_pp, layer_cam, guided_grad_cam"},
    {.key = "layer",
     .type = DCV_FIELD_STRING,
     .offset = AT(layer),
     .dflt = "last",
     .help = "last: the input of the last global pooling, or of the flatten; or a layer's name as `inspect` prints it"},
    {.key = "targets",
     .type = DCV_FIELD_NAMES,
     .offset = AT(targets),
     .dflt = "[top1]",
     .help = "top1, top5, label, or numbers of classes"},
    {.key = "heatmap",
     .type = DCV_FIELD_BOOL,
     .offset = AT(heatmap),
     .dflt = "true",
     .help = "keep each map's positive part, enlarged to the input, from 0 to 1"},
    {.key = "boxes",
     .type = DCV_FIELD_SECTION,
     .offset = AT(boxes),
     .fields = box_fields,
     .given = 1 + AT(boxes_given),
     .help = "boxes around what heat maps show"},
    DCV_FIELDS_END,
};

/* --- Plan ----------------------------------------------------------------------------- */

static dcv_status read_methods(cam_job *j)
{
    const char *known[CAM_METHODS];
    int chosen[CAM_METHODS];
    for (int m = 0; m < CAM_METHODS; m++)
        known[m] = cam_methods[m].name;
    DCV_TRY(dcv_config_choose(j->on.base.config, "cam.methods", &j->options->methods, known, CAM_METHODS, chosen,
                              &j->n_wanted));
    for (int i = 0; i < j->n_wanted; i++) {
        j->wanted[i].method = &cam_methods[chosen[i]];
        j->guided = j->guided || j->wanted[i].method->guided;
    }
    return DCV_OK;
}

static dcv_status read_targets(cam_job *j)
{
    char word[] = "top5", *list[] = {word};
    const dcv_names five = {.word = -1, .n = 1, .v = list};
    const dcv_graph *g = j->on.net.graph;
    DCV_TRY(dcv_targets_read(&j->targets, &j->options->targets, g));
    dcv_targets_warn(&j->targets, j->on.net.dataset);
    dcv_targets_start(&j->best, j->on.base.config, "cam", "logits", NULL);
    return dcv_targets_read(&j->best, &five, g);
}

static dcv_status read_truth(cam_job *j)
{
    const dcv_config *c = j->on.base.config;
    const char *shown = j->options->boxes.truth;
    if (!j->options->boxes_given || !shown)
        return DCV_OK;
    const char *file = dcv_config_path(c, shown);
    if (access(file, R_OK) != 0)
        return dcv_config_missing(c, "cam.boxes.truth", file, shown);
    DCV_TRY(dcv_truth_read(file, file, j->on.net.dataset, j->on.net.labels, j->on.net.graph->classes, &j->truth));
    j->on.base.more_sha256 = j->truth->sha256;
    if (j->truth->ignored)
        dcv_log_info("%s: %lld of %lld boxes are of pictures that are not in the data set: ignored", file,
                     (long long)j->truth->ignored, (long long)j->truth->rows);
    if (j->truth->outside)
        dcv_log_info("%s: resize and crop leave nothing of %lld boxes", file, (long long)j->truth->outside);
    return DCV_OK;
}

static void measure(cam_job *j)
{
    const dcv_graph *g = j->on.net.graph;
    const int64_t n = j->targets.n;
    double macs = (double)dcv_graph_macs(g);
    j->input = dcv_value_map(&g->value[g->in[0]]);
    j->batch = n > DCV_GROUP ? n : DCV_GROUP;
    j->n_thresholds = j->options->boxes_given ? j->options->boxes.thresholds.n : 0;
    j->hot = j->options->heatmap || j->n_thresholds || j->guided;
    dcv_shown_plan(&j->shown, j->on.net.dataset, g);
    for (int i = 0; i < j->n_layers; i++) {
        const dcv_map *m = &j->layer[i].map;
        j->cells = m->h * m->w > j->cells ? m->h * m->w : j->cells;
        macs += (double)cam_macs_above(g, dcv_graph_find(g, j->layer[i].name)) * (double)n;
    }
    for (int i = 0; i < j->n_wanted; i++) {
        cam_wanted *w = &j->wanted[i];
        const dcv_map *m = &j->layer[w->layer].map;
        w->map = w->method->guided ? (dcv_dims){3, {j->input.c, j->input.h, j->input.w}} : (dcv_dims){2, {m->h, m->w}};
    }
    macs += j->guided ? (double)dcv_graph_macs(g) * (double)n : 0;
    dcv_network_cost(&j->on.net, 2e-9 * macs);
}

/* --- A thread's memory ------------------------------------------------------------------ */

typedef struct piece {
    void *at; /* of the pointer */
    int64_t n;
    size_t each;
} piece;

enum { MOST_PIECES = (4 + CAM_LAYERS) * DCV_GROUP + 10 };

static int list_pieces(const cam_job *j, cam_scratch *s, piece *to)
{
    const int64_t n = j->targets.n, px = j->input.h * j->input.w, all = px * j->input.c, maps = j->n_wanted * n;
    const dcv_graph *g = j->on.net.graph;
    const int64_t classes = dcv_count(&g->value[g->logits].dims);
    int64_t widest = 0;
    int k = 0;
#define PIECE(pointer, count)                                                                                          \
    to[k++] = (piece)                                                                                                  \
    {                                                                                                                  \
        (void **)&(pointer), count, sizeof *(pointer)                                                                  \
    }
    for (int i = 0; i < j->n_layers; i++) {
        const dcv_map *m = &j->layer[i].map;
        const int64_t floats = m->c * m->h * m->w;
        widest = floats > widest ? floats : widest;
        for (int p = 0; p < DCV_GROUP; p++)
            PIECE(s->activation[i][p], floats);
    }
    for (int p = 0; p < DCV_GROUP; p++) {
        PIECE(s->logits[p], classes);
        PIECE(s->weight[p], classes);
        PIECE(s->cell[p], classes);
        PIECE(s->signal[p], widest);
    }
    PIECE(s->unit, DCV_GROUP * n);
    PIECE(s->map, j->batch * j->n_wanted * j->cells);
    PIECE(s->guided, j->guided ? j->batch * all : 0);
    PIECE(s->product, j->guided ? all : 0);
    PIECE(s->heat, px);
    PIECE(s->sum, j->cells);
    PIECE(s->room, px);
    PIECE(s->truth, j->truth ? j->truth->most : 0);
    PIECE(s->box, j->truth ? maps * j->n_thresholds : 0);
    PIECE(s->counted, j->truth ? maps : 0);
#undef PIECE
    return k;
}

static dcv_status check_memory(cam_job *j)
{
    piece list[MOST_PIECES];
    cam_scratch s;
    double bytes = 0;
    const int n = list_pieces(j, &s, list);
    for (int k = 0; k < n; k++)
        bytes += (double)list[k].n * (double)list[k].each;
    char what[64];
    snprintf(what, sizeof what, "maps of %d targets", j->targets.n);
    return dcv_network_job_fits(&j->on, bytes, what, ", or ask for fewer targets or methods");
}

static dcv_status scratch_new(const cam_job *j, cam_scratch *s)
{
    piece list[MOST_PIECES];
    const int n = list_pieces(j, s, list);
    for (int k = 0; k < n; k++) {
        void *room = dcv_alloc((size_t)list[k].n, list[k].each);
        if (!room)
            return DCV_ENOMEM;
        memcpy(list[k].at, &room, sizeof room);
    }
    return DCV_OK;
}

static void scratch_free(const cam_job *j, cam_scratch *s)
{
    piece list[MOST_PIECES];
    const int n = list_pieces(j, s, list);
    for (int k = 0; k < n; k++) {
        void *room;
        memcpy(&room, list[k].at, sizeof room);
        dcv_free(room);
    }
}

/* --- Opening ---------------------------------------------------------------------------- */

static dcv_status open_job(const dcv_config *c, dcv_share *share, int threads, dcv_job **out)
{
    cam_job *j = dcv_alloc(1, sizeof *j);
    *out = j ? &j->on.base : NULL;
    if (!j)
        return DCV_ENOMEM;
    j->options = c->job;
    j->on.base.kind = &dcv_job_cam;
    j->on.base.config = c;
    const dcv_network_options o = {.choose = cam_choose, .ctx = j, .back = true};
    dcv_targets_start(&j->targets, c, "cam", "logits", NULL);
    DCV_TRY(read_methods(j));
    DCV_TRY(dcv_network_job_open(&j->on, &dcv_job_cam, c, &o, share, threads));
    DCV_TRY(read_targets(j));
    DCV_TRY(read_truth(j));
    measure(j);
    DCV_TRY(check_memory(j));
    j->scratch = dcv_alloc((size_t)threads, sizeof *j->scratch);
    if (!j->scratch)
        return DCV_ENOMEM;
    for (int t = 0; t < threads; t++)
        DCV_TRY(scratch_new(j, &j->scratch[t]));
    return DCV_OK;
}

static void close_job(dcv_job *base)
{
    cam_job *j = (cam_job *)base;
    for (int t = 0; j->scratch && t < j->on.net.threads; t++)
        scratch_free(j, &j->scratch[t]);
    dcv_free(j->scratch);
    for (int i = 0; i < j->n_layers; i++)
        dcv_free(j->layer[i].name);
    dcv_targets_clear(&j->targets);
    dcv_targets_clear(&j->best);
    dcv_truth_free(j->truth);
    dcv_network_close(&j->on.net);
    dcv_free(j);
}

/* --- The kind --------------------------------------------------------------------------- */

static dcv_status phase(dcv_job *base, int p, dcv_phase *out)
{
    DCV_TRY(dcv_network_job_phase(base, p, out));
    out->state_bytes = cam_state_bytes((cam_job *)base);
    return DCV_OK;
}

static dcv_status failed(void *ctx, int64_t item, dcv_result *r)
{
    return cam_put_failed(ctx, item, r);
}

static dcv_status fail_unit(dcv_job *base, int p, int64_t unit, const char *message, void *state, dcv_result *r)
{
    cam_job *j = (cam_job *)base;
    const dcv_unit_actions actions = {.ctx = j, .failed = failed};
    (void)p, (void)state; /* what failed is not counted */
    return dcv_network_fail_unit(&j->on.net, unit, message, &actions, r);
}

static dcv_status explain(dcv_job *base, FILE *to)
{
    const cam_job *j = (const cam_job *)base;
    const dcv_graph *g = j->on.net.graph;
    const int64_t rows = base->n_items * j->targets.n, px = j->input.h * j->input.w;
    for (int i = 0; i < j->n_layers; i++) {
        const dcv_map *m = &j->layer[i].map;
        fprintf(to, "layer %s: %lld channels of %lldx%lld, %.4g GFLOP back to it from each target\n", j->layer[i].name,
                (long long)m->c, (long long)m->h, (long long)m->w,
                2e-9 * (double)cam_macs_above(g, dcv_graph_find(g, j->layer[i].name)));
    }
    for (int i = 0; i < j->n_wanted; i++)
        fprintf(to, "%-16s %14lld bytes of maps, %14lld of heat maps\n", j->wanted[i].method->name,
                (long long)(rows * dcv_count(&j->wanted[i].map) * (int64_t)sizeof(float)),
                (long long)(j->options->heatmap ? rows * px * (int64_t)sizeof(float) : 0));
    if (j->truth)
        fprintf(to, "true boxes: %lld, of %lld lines; %lld of other pictures, %lld cropped away\n",
                (long long)j->truth->n, (long long)j->truth->rows, (long long)j->truth->ignored,
                (long long)j->truth->outside);
    return DCV_OK;
}

const dcv_job_kind dcv_job_cam = {
    .section = {.job = "cam",
                .help = "where in each picture a class has its evidence: class activation maps, boxes, localisation",
                .fields = fields,
                .size = sizeof(cam_options),
                .needs_model = true,
                .needs_dataset = true},
    .open = open_job,
    .close = close_job,
    .declare = cam_declare,
    .phase = phase,
    .unit_items = dcv_network_job_items,
    .unit_gflop = dcv_network_job_gflop,
    .read = dcv_network_job_read,
    .drop = dcv_network_job_drop,
    .compute = cam_compute,
    .fail_unit = fail_unit,
    .state_clear = cam_state_clear,
    .state_fold = cam_state_fold,
    .finish = cam_finish,
    .explain = explain,
};
