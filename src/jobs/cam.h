/* cam.h -- what the files of the job `cam` share.
 *
 * A group of pictures is walked forward once; signals walk back from the logits to the layer, and for guided_grad_cam
 * to the input.  All that a picture gets is made before any of it is put, so that one with NaN on the way fails whole.
 * With true boxes, the only phase also gathers counts.
 */
#ifndef DCV_JOBS_CAM_H
#define DCV_JOBS_CAM_H

#include "engine/methods/cam.h"
#include "engine/methods/localisation.h"
#include "io/truth.h"
#include "jobs/network.h"
#include "jobs/shown.h"
#include "jobs/targets.h"

enum { CAM_METHODS = 5, CAM_LAYERS = 2 };

typedef struct cam_options {
    dcv_names methods, targets;
    char *layer;
    bool heatmap, boxes_given;
    struct cam_boxes {
        dcv_reals thresholds;
        char *truth;
    } boxes;
} cam_options;

typedef struct cam_method {
    const char *name;
    dcv_cam_kind kind; /* of the map that the heat map is made of */
    bool guided;       /* times guided backpropagation */
} cam_method;

/* One of the methods asked for. */
typedef struct cam_wanted {
    const cam_method *method;
    int layer;    /* of cam_job.layer */
    dcv_dims map; /* of one map, on the largest input */
    int id_map, id_heatmap, id_box, id_iou, id_iou_mean, id_corloc, id_top1, id_top5, id_max_box_acc, id_pointing,
        id_counted;
} cam_wanted;

typedef struct cam_layer {
    char *name;
    dcv_map map; /* on the largest input */
} cam_layer;

/* What a thread needs for its pictures.  batch: maps held, of batch / targets pictures at least one. */
typedef struct cam_scratch {
    float *logits[DCV_GROUP], *weight[DCV_GROUP];
    int64_t *cell[DCV_GROUP];
    float *activation[CAM_LAYERS][DCV_GROUP];
    float *signal[DCV_GROUP];
    dcv_unit *unit;          /* [DCV_GROUP][targets] */
    float *map;              /* [batch][methods][cells] */
    float *guided;           /* [batch][channels,H,W]; NULL: not asked for */
    float *heat, *product;   /* [H,W]; [channels,H,W] */
    double *sum;             /* [cells] */
    int32_t *room;           /* [H,W] */
    dcv_true_box *truth;     /* of one picture */
    dcv_box_counts *box;     /* [methods][targets][thresholds], of one picture */
    dcv_map_counts *counted; /* [methods][targets] */
} cam_scratch;

typedef struct cam_job {
    dcv_network_job on;
    const cam_options *options;
    dcv_targets targets, best; /* best: the five classes that localisation asks for */
    cam_layer layer[CAM_LAYERS];
    int n_layers;
    cam_wanted wanted[CAM_METHODS];
    int n_wanted;
    int n_thresholds; /* 0: no boxes */
    dcv_truth *truth; /* NULL: none */
    dcv_map input;    /* the largest */
    int64_t cells;    /* of the layer with most */
    int64_t batch;    /* maps held */
    bool guided, hot; /* are such maps, or heat maps, made at all? */
    dcv_shown shown;
    int id_target;
    cam_scratch *scratch; /* [threads] */
} cam_job;

/* --- cam_layers.c ------------------------------------------------------------------------- */

extern const cam_method cam_methods[CAM_METHODS];

/* Values that walks show: the logits, and the layers.  The first call, for the largest graph, chooses these. */
dcv_status cam_choose(void *job, const dcv_graph *g, int *seen, int *n_seen) DCV_MUST_USE;

/* Multiply-adds between value and the logits, for one picture. */
int64_t cam_macs_above(const dcv_graph *g, int value);

/* --- cam_result.c: data sets -------------------------------------------------------------- */

dcv_status cam_declare(dcv_job *job, dcv_store *s) DCV_MUST_USE;

/* The rows of an item that failed. */
dcv_status cam_put_failed(const cam_job *j, int64_t item, dcv_result *r) DCV_MUST_USE;

/* --- cam_maps.c: what is made of pictures ------------------------------------------------- */

dcv_status cam_compute(dcv_job *job, int p, int64_t unit, int thread, void *input, void *state,
                       dcv_result *r) DCV_MUST_USE;

/* --- cam_metrics.c: counts ---------------------------------------------------------------- */

/* State of a block: counts of maps [methods][targets], then of boxes [methods][targets][thresholds]. */
size_t cam_state_bytes(const cam_job *j); /* 0: nothing is gathered */
void cam_state_clear(const dcv_job *job, int p, void *state);
void cam_state_fold(const dcv_job *job, int p, void *into, const void *block);
dcv_status cam_finish(dcv_job *job, int p, const void *state, dcv_result *r) DCV_MUST_USE;

/* Add the counts of one picture. */
void cam_state_add(const cam_job *j, void *state, const cam_scratch *s);

#endif
