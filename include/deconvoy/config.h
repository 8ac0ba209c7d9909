/* config.h -- a job as the user wrote it: YAML file plus --set, checked and resolved.
 *
 * The common sections are structs here; the section named as the job is described by that
 * job kind's own table, handed in, so that this layer knows no job.
 */
#ifndef DECONVOY_CONFIG_H
#define DECONVOY_CONFIG_H

#include "deconvoy/field.h"

typedef enum dcv_precision { DCV_FAST, DCV_STRICT } dcv_precision;
typedef enum dcv_preset { DCV_PRESET_NONE, DCV_PRESET_IMAGENET, DCV_PRESET_CAFFE } dcv_preset;
typedef enum dcv_channels { DCV_RGB, DCV_BGR, DCV_GRAY } dcv_channels;
typedef enum dcv_interpolation { DCV_BILINEAR, DCV_BICUBIC, DCV_NEAREST } dcv_interpolation;
typedef enum dcv_on_error { DCV_SKIP, DCV_FAIL } dcv_on_error;
typedef enum dcv_progress { DCV_PROGRESS_AUTO, DCV_PROGRESS_BAR, DCV_PROGRESS_LINES, DCV_PROGRESS_NONE } dcv_progress;
typedef enum dcv_durability { DCV_DISK, DCV_PROCESS } dcv_durability;

typedef struct dcv_model_options {
    char *file;           /* NULL where the job needs none */
    char *labels;         /* NULL: none */
    dcv_ints input_shape; /* absent: as the file says */
    int precision;        /* dcv_precision */
} dcv_model_options;

/* dataset.preprocess.  After dcv_config_read() every key that the preset gives is filled in
 * unless the user wrote it, so preset itself need not be looked at again.  written: the
 * user wrote the section or --set something in it (float .h5 input is else left as it is). */
typedef struct dcv_preprocess {
    int preset;
    dcv_ints resize;  /* absent or word "none": no resize; scalar: shorter side; [h, w] */
    dcv_ints crop;    /* absent or word "none"; scalar: square; [h, w] */
    dcv_ints crop_at; /* word "centre" or [y, x] */
    double scale;
    dcv_reals mean, std; /* in the network's channel order; absent: 0 and 1 */
    int channels;        /* dcv_channels */
    int interpolation;   /* dcv_interpolation */
    bool written;
    bool resize_written, crop_written, scale_written, mean_written, std_written, channels_written;
} dcv_preprocess;

typedef struct dcv_dataset_options {
    char *source;            /* NULL where the job needs none */
    char *labels;            /* "none", "folder" or a file */
    int64_t offset, limit;   /* limit -1: all */
    dcv_ints slice;          /* absent: none; else [part, parts] */
    int on_error;            /* dcv_on_error */
    char *path, *label_path; /* NULL: default */
    dcv_pairs inputs;        /* ONNX input name -> path in the .h5 */
    dcv_preprocess preprocess;
} dcv_dataset_options;

typedef struct dcv_runtime_options {
    int64_t threads; /* per rank */
    int64_t memory;  /* bytes per rank */
    bool memory_written;
    int cpu;        /* auto | avx2 | avx512 */
    double wait;    /* s */
    int durability; /* dcv_durability */
    int progress;   /* dcv_progress */
    double unit_seconds;
} dcv_runtime_options;

typedef struct dcv_slurm_options {
    int64_t nodes, ranks_per_node, grace, requeue, array;
    char *time, *partition, *account, *constraint, *mem_per_node, *launcher, *interface;
    dcv_names modules, extra;
} dcv_slurm_options;

typedef struct dcv_config dcv_config;

/* One job kind's section: key = job name. */
typedef struct dcv_section {
    const char *job, *help;
    const dcv_field *fields;
    size_t size;                     /* bytes of the struct that fields describe */
    bool needs_model, needs_dataset; /* those sections' file and source are required */
    bool wants_dataset;              /* a source mostly, unless another key stands for it: `new` writes one */
    /* Fill in what depends on other keys, so that text has it, and refuse what does not go together (with
     * dcv_config_fail()).  After all keys are read; may be NULL. */
    dcv_status (*resolve)(dcv_config *c);
} dcv_section;

struct dcv_config {
    const dcv_section *section;
    char *name;   /* of the job */
    char *file;   /* the YAML file, as given */
    char *output; /* as written */
    dcv_model_options model;
    dcv_dataset_options dataset;
    dcv_runtime_options runtime;
    dcv_slurm_options slurm;
    void *job;        /* the section's struct */
    char *sets;       /* the --set texts, a line each: with the file, all that it was read from */
    char *text;       /* config_yaml of the contract: resolved, without what is volatile */
    dcv_arena *arena; /* owns all of the above */
    void *tree;       /* places of keys, for dcv_config_fail() */
};

/* Read and check a configuration.
 *
 * file      path of the YAML
 * sets      n_sets texts "key.path=VALUE" (VALUE is YAML flow text), applied in order
 * sections  n_sections job kinds
 * out       freed by dcv_config_free()
 *
 * DCV_ECONFIG with line and column (or "--set KEY=VALUE"), DCV_ENOINPUT if the file is not there,
 * DCV_EUSAGE for a set without '='.  A section of another job is ignored with a warning.
 * Local. */
dcv_status dcv_config_read(const char *file, const char *const *sets, int n_sets, const dcv_section *sections,
                           int n_sections, dcv_config **out) DCV_MUST_USE;
void dcv_config_free(dcv_config *c);

/* Fail at the place of a key: key is a path such as "max_activation.layers[2]" (index of a
 * list's element); a key that is not written points at its section.  Always DCV_ECONFIG. */
dcv_status dcv_config_fail(const dcv_config *c, const char *key, const char *fmt, ...) DCV_PRINTF(3, 4);

/* Fail for an input file that a key names and that cannot be opened (errno says why), with the nearest name in its
 * folder.  file: the path tried; shown: as the user wrote it; c NULL: no place.  Always DCV_ENOINPUT. */
dcv_status dcv_config_missing(const dcv_config *c, const char *key, const char *file, const char *shown);

/* Which of the n_known known names a list has: chosen[i] is the number of its i-th, at most n_known of them.
 * DCV_ECONFIG at key where there is none, an unknown one, or one twice. */
dcv_status dcv_config_choose(const dcv_config *c, const char *key, const dcv_names *list, const char *const *known,
                             int n_known, int *chosen, int *n_chosen) DCV_MUST_USE;

/* Was this key written by the user (in the file or by --set)? */
bool dcv_config_given(const dcv_config *c, const char *key);

/* A path of the configuration, relative ones resolved against the YAML's folder.  Owned by c. */
const char *dcv_config_path(const dcv_config *c, const char *path);

/* Tables of the common sections, for `describe` and `new`. */
extern const dcv_field dcv_config_fields[];

/* Set fields of a preprocess struct from "KEY=VALUE" texts (pack --preprocess). */
dcv_status dcv_preprocess_read(const char *const *sets, int n_sets, dcv_preprocess *out, dcv_arena *arena) DCV_MUST_USE;

/* Reference text: key, type, default, range, unit, help; a line each, aligned.  describe: all keys of a job, the common
 * ones first; section NULL: the common part alone.  new_text: a commented YAML that dcv_config_read() accepts once the
 * required values are filled in.  New memory; dcv_free(). */
char *dcv_config_describe(const dcv_section *section) DCV_MUST_USE;
char *dcv_config_new_text(const dcv_section *section) DCV_MUST_USE;

#endif
