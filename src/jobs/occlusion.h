/* occlusion.h -- what the files of the job `occlusion` share.
 *
 * occlusion.c has the options, the plan and the result's data sets, occlusion_windows.c computes windows,
 * occlusion_clean.c keeps clean pictures, occlusion_put.c writes what windows gave.
 *
 * A unit is some pictures, or, where one picture is more than a unit's work, a part of its windows in row-major
 * order (whole rows of windows where there is a heat map: then a part also computes the windows above its own that
 * reach into its pixels, so that no part waits for another).  What is known of the clean picture is kept from
 * one part to the next, once for all threads and ranks of a node.
 */
#ifndef DCV_JOBS_OCCLUSION_H
#define DCV_JOBS_OCCLUSION_H

#include "engine/patch.h"
#include "jobs/network.h"
#include "jobs/shown.h"
#include "jobs/targets.h"

enum { OCCLUSION_CUT, OCCLUSION_DROP, OCCLUSION_SHIFT }; /* edge */
enum { OCCLUSION_INCREMENTAL, OCCLUSION_FULL };          /* method */
enum { OCCLUSION_PROBABILITY, OCCLUSION_LOGIT };         /* score */
enum { OCCLUSION_MOST_WINDOWS = 1 << 24, OCCLUSION_MOST_LAYERS = 64 };

typedef struct occlusion_options {
    dcv_ints patch, stride;
    dcv_reals fill;
    dcv_names targets, activity;
    int edge, score, method;
    bool heatmap;
} occlusion_options;

/* Windows of a picture of one size: any row with any column. */
typedef struct occlusion_grid {
    int64_t extent[2];
    int n[2];
    dcv_span *at[2];
} occlusion_grid;

/* What is kept of a clean picture, as the thread that holds it sees it. */
typedef struct occlusion_clean {
    dcv_cache_hold hold;
    void *own; /* where it is not the cache's; else NULL */
    int64_t item;
    bool ready;       /* else it is this thread's to make */
    dcv_unit *unit;   /* [targets] */
    int64_t *channel; /* [layers] the one that is active most */
    double *total;    /* [layers] its sum */
    float **map;      /* [layers] its map, row-major */
    float *maps;      /* of the values that patches name */
} occlusion_clean;

/* What a thread keeps for one size of picture. */
typedef struct occlusion_view {
    occlusion_grid grid;
    dcv_patches *patches; /* incremental; NULL: full */
    bool owned;           /* patches are this view's alone */
    dcv_patch_walk *walk;
    int logits;             /* values of the graph */
    int *layer;             /* [layers] */
    double work[2];         /* multiply-adds of all windows, by this method and in full */
    occlusion_clean *clean; /* the picture under way */
} occlusion_view;

/* A thread's results of one unit. */
typedef struct occlusion_scratch {
    occlusion_clean clean;   /* that it holds, if any */
    float *value;            /* logits, then scores of all classes */
    float *layer;            /* a whole layer */
    float *input[DCV_GROUP]; /* occluded pictures */
    float *fill;             /* [channels] */
    float *score;            /* [windows][targets], from window first on */
    int32_t *top;            /* [windows] */
    float *activity;         /* [windows][layers] */
    int64_t first;
    double *sum; /* [pixels] */
    float *pixel;
} occlusion_scratch;

typedef struct occlusion_job {
    dcv_network_job on;
    const occlusion_options *options;
    dcv_targets targets;
    int64_t patch[2], stride[2];
    occlusion_grid grid; /* of the largest picture */
    dcv_patches *patches;
    size_t clean_bytes; /* of a picture: of a room of the cache */
    int n_layers;
    int64_t part_windows, part_rows; /* of a part: windows, or rows of them where there is a heat map (else 0) */
    double macs, full_macs;          /* of the largest picture, without its clean walk */
    dcv_shown shown;
    int id_target, id_clean, id_score, id_sensitivity, id_top, id_y, id_x, id_heatmap, id_work;
    int *id_activity, *id_activity_clean, *id_activity_channel;
    occlusion_scratch *scratch; /* [threads] */
} occlusion_job;

/* occlusion_clean.c: once the units are planned. */
dcv_status occlusion_cleans_open(occlusion_job *j) DCV_MUST_USE;
/* Hold the clean picture of an item in place of what k holds.  Where it is not ready it is this thread's to make, which
 * then says so.  What is held is dropped when the unit is over. */
dcv_status occlusion_clean_take(occlusion_job *j, const dcv_view *view, int64_t item, occlusion_clean *k) DCV_MUST_USE;
void occlusion_clean_ready(occlusion_job *j, occlusion_clean *k);
void occlusion_clean_drop(occlusion_job *j, occlusion_clean *k); /* nothing held is allowed */

/* occlusion_windows.c */
dcv_status occlusion_grid_make(const occlusion_job *j, int64_t h, int64_t w, occlusion_grid *g) DCV_MUST_USE;
void occlusion_grid_clear(occlusion_grid *g);
dcv_status occlusion_patches_make(const occlusion_job *j, const dcv_graph *g, const occlusion_grid *grid,
                                  dcv_patches **out) DCV_MUST_USE;
dcv_status occlusion_open_view(void *job, dcv_view *v) DCV_MUST_USE;
void occlusion_close_view(void *job, dcv_view *v);
/* The values that the walks must show: logits first, then layers.  to: room for n_layers + 1. */
dcv_status occlusion_values(const occlusion_job *j, const dcv_graph *g, int *to) DCV_MUST_USE;
dcv_status occlusion_compute(dcv_job *base, int p, int64_t unit, int thread, void *input, void *state,
                             dcv_result *r) DCV_MUST_USE;
dcv_status occlusion_fail_unit(dcv_job *base, int p, int64_t unit, const char *message, void *state,
                               dcv_result *r) DCV_MUST_USE;

/* First and last window (row-major, end exclusive) of a part; rows: as rows of windows. */
dcv_span occlusion_part(const occlusion_job *j, const occlusion_grid *g, int64_t part);
/* Rows of pixels whose heat map is a part's; rows: its rows of windows. */
dcv_span occlusion_pixels(const occlusion_grid *g, dcv_span rows);

/* occlusion_put.c: a part's results of one picture; of a picture that failed. */
dcv_status occlusion_put(const occlusion_job *j, const occlusion_view *v, const occlusion_scratch *s, int64_t part,
                         dcv_result *r) DCV_MUST_USE;
dcv_status occlusion_put_heatmap(const occlusion_job *j, const occlusion_view *v, const occlusion_scratch *s,
                                 dcv_span pixels, int64_t part, int target, dcv_result *r) DCV_MUST_USE;
dcv_status occlusion_put_failed(const occlusion_job *j, int64_t item, int64_t part, dcv_result *r) DCV_MUST_USE;

#endif
