/* inputs.h -- sizes and times of the inputs when a run began, beside the output: has anything changed at resume? */
#ifndef DCV_RUNTIME_INPUTS_H
#define DCV_RUNTIME_INPUTS_H

#include "deconvoy/dataset.h"
#include "runtime/part.h"

/* Write OUT.h5.journal.inputs. DCV_EIO. */
dcv_status inputs_keep(const dcv_output *o, const dcv_dataset *d) DCV_MUST_USE;

/* DCV_ECONFIG, naming the first item that differs.  Nothing kept: DCV_OK. */
dcv_status inputs_compare(const dcv_output *o, const dcv_config *c, const dcv_dataset *d) DCV_MUST_USE;

void inputs_remove(const dcv_output *o);

#endif
