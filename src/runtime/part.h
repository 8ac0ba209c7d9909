/* part.h -- inside of output.h: the .part file, and what a unit has put into it. */
#ifndef DCV_RUNTIME_PART_H
#define DCV_RUNTIME_PART_H

#include "deconvoy/config.h"
#include "deconvoy/output.h"

#define FAILURE_TEXT 200

typedef struct written { /* bytes of the file that a unit wrote */
    int64_t offset, bytes;
    uint32_t crc;
} written;

typedef struct failure {
    int64_t item;
    char message[FAILURE_TEXT];
} failure;

struct dcv_result {
    dcv_output *out;
    written *at;
    int n_at, cap_at;
    failure *failed;
    int n_failed, cap_failed;
    double write_s;
};

struct dcv_output {
    dcv_store *store;            /* borrowed */
    char *final, *part, *folder; /* paths */
    char *stem;                  /* final without .h5 */
    int fd;                      /* of .part, -1 */
    int64_t file_bytes;
    bool disk;                                 /* durability: disk */
    int count_id, item_id, message_id, crc_id; /* /failures, /checksums; -1 */
    int partial_id;                            /* /partial/state of a slice; -1 */
    int64_t n_failures;                        /* rows of /failures */
    int64_t n_items;
};

/* Paths of a configuration's output.  store is borrowed. */
dcv_status output_new(const dcv_config *c, dcv_output **out) DCV_MUST_USE;
void output_free(dcv_output *o);

/* Declare /failures for n_items > 0. */
dcv_status output_declare(dcv_output *o, dcv_store *s, int64_t n_items) DCV_MUST_USE;

/* Declare /partial/state for the blocks of a slice. */
dcv_status output_declare_partial(dcv_output *o, dcv_store *s, int64_t n_blocks, size_t state_bytes) DCV_MUST_USE;

/* Could the file be made where it is to be?  DCV_EIO.  Makes nothing. */
dcv_status output_writable(const dcv_output *o) DCV_MUST_USE;

/* The folder is there, made if need be, and can be written.  DCV_EIO.  Rank 0 only. */
dcv_status output_folder(dcv_output *o) DCV_MUST_USE;

/* Make the skeleton with all its space: under .part.tmp, renamed to .part once it is on disk.
 * DCV_EIO "needs X, free Y"; then nothing is left.  Rank 0 only. */
dcv_status output_create(dcv_output *o) DCV_MUST_USE;

/* Is there room for it?  DCV_EIO "needs X, free Y".  Rank 0 only. */
dcv_status output_space(dcv_output *o) DCV_MUST_USE;

/* The .part of an earlier start: learn its offsets.  DCV_EDATA if it does not hold what is declared. Rank 0 only. */
dcv_status output_attach(dcv_output *o) DCV_MUST_USE;

/* Open .part for writing; offsets are known. */
dcv_status output_open(dcv_output *o) DCV_MUST_USE;
dcv_status output_sync(dcv_output *o) DCV_MUST_USE;

/* CRCs of all data sets, computed by the ranks of rank 0's node and written by rank 0.  Collective. */
dcv_status output_checksums(dcv_output *o) DCV_MUST_USE;

/* Sync, rename to the final name, sync the folder.  Rank 0 only. */
dcv_status output_seal(dcv_output *o) DCV_MUST_USE;

void result_clear(dcv_result *r);

/* What more has put belongs to r as well; stretches of the file that go on become one.  False, and r unchanged, if
 * there would be too much of it, or no memory. */
bool result_join(dcv_result *r, const dcv_result *more);

#endif
