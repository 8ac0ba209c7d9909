/* jobs.c -- the table of job kinds. */
#include "deconvoy/job.h"

#define X(symbol) extern const dcv_job_kind dcv_job_##symbol;
#include "jobs/jobs.def"
#undef X

#define X(symbol) &dcv_job_##symbol,
static const dcv_job_kind *const kinds[] = {
#include "jobs/jobs.def"
    NULL};
#undef X

const dcv_job_kind *dcv_job_kind_at(int i)
{
    return i >= 0 && i < (int)(sizeof kinds / sizeof kinds[0]) ? kinds[i] : NULL;
}
