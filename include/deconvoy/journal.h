/* journal.h -- what is done for good: records of 64 bytes beside the output, OUT.h5.journal.EPOCH.
 *
 * One writer (rank 0) appends; every start begins a new file.  A unit is done once its record is on disk, which comes
 * after the bytes that it wrote.  A file is read up to its first bad record: what a crash tore off was never counted.
 * Records of one worker keep their order: what a unit wrote and which items failed stands before the record that makes
 * it count.
 */
#ifndef DECONVOY_JOURNAL_H
#define DECONVOY_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include "deconvoy/hash.h"
#include "deconvoy/status.h"

typedef enum dcv_record_kind {
    DCV_RECORD_BEGIN = 1, /* first of a file: a = epoch, text = first 32 digits of the plan's hash */
    DCV_RECORD_PHASE,     /* a = units, b = items of the phase */
    DCV_RECORD_WROTE,     /* a = offset in the file, b = bytes, data_crc */
    DCV_RECORD_FAILED,    /* a = item, b = number of the stretch of its message in text */
    DCV_RECORD_UNITS,     /* a = first, b = count */
    DCV_RECORD_FAULT      /* a = unit, b = signal: computing it killed a process (OUT.h5.journal.faults) */
} dcv_record_kind;

#define DCV_RECORD_TEXT 24

typedef struct dcv_record {
    uint32_t crc;         /* of the other 60 bytes */
    uint16_t kind, phase; /* dcv_record_kind */
    int32_t worker;       /* rank */
    uint32_t data_crc;
    int64_t a, b;
    int64_t time_s; /* wall clock, for people and for "recent" */
    char text[DCV_RECORD_TEXT];
} dcv_record;

typedef struct dcv_journal dcv_journal;

/* Begin the next epoch for output (the final path).  On disk when this returns, where disk is set.  DCV_EIO. */
dcv_status dcv_journal_new(const char *output, const dcv_sha256 *plan, bool disk, dcv_journal **out) DCV_MUST_USE;
void dcv_journal_free(dcv_journal *j); /* NULL is allowed; closes without writing what is left */

/* Put a record into the buffer; crc and time are filled in. */
dcv_status dcv_journal_add(dcv_journal *j, const dcv_record *r) DCV_MUST_USE;

/* Write the buffer.  DCV_EIO.  The caller syncs the descriptor. */
dcv_status dcv_journal_write(dcv_journal *j) DCV_MUST_USE;
int dcv_journal_descriptor(const dcv_journal *j);

/* Read all valid records of a plan, epochs in order.  plan NULL: of any plan.  fn may stop with a status of its own.
 * No journal at all is no error. */
typedef dcv_status (*dcv_journal_fn)(void *ctx, const dcv_record *r);
dcv_status dcv_journal_read(const char *output, const dcv_sha256 *plan, dcv_journal_fn fn, void *ctx) DCV_MUST_USE;

/* Remove all files of a journal. */
dcv_status dcv_journal_remove(const char *output) DCV_MUST_USE;

/* A run under way, from its journal: for `inspect OUT.h5.part`. */
typedef struct dcv_journal_summary {
    int epochs, phase;        /* starts; the phase under way */
    int64_t units, all_units; /* of that phase */
    int64_t failed_items;     /* reported so far, an item perhaps more than once */
    int64_t last_commit_s;    /* wall clock; 0: none */
    double units_per_s;       /* of the last start; 0: not known */
} dcv_journal_summary;
dcv_status dcv_journal_summarise(const char *output, dcv_journal_summary *out) DCV_MUST_USE;

#endif
