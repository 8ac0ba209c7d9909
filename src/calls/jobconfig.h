/* jobconfig.h -- a configuration and the job kind that it names. */
#ifndef DCV_CALLS_JOBCONFIG_H
#define DCV_CALLS_JOBCONFIG_H

#include "calls/args.h"
#include "deconvoy/job.h"

/* Read a configuration for any of the job kinds; DCV_ECONFIG also where the output is one of its inputs.  *out is freed
 * by dcv_config_free(), *kind is borrowed. */
dcv_status dcv_jobconfig_read(const char *file, const dcv_arg_texts *sets, dcv_config **out,
                              const dcv_job_kind **kind) DCV_MUST_USE;

/* The kind of a name; DCV_EUSAGE with the nearest if there is none. */
dcv_status dcv_jobconfig_kind(const char *call, const char *name, const dcv_job_kind **kind) DCV_MUST_USE;

#endif
