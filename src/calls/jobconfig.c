/* jobconfig.c -- a configuration and the job kind that it names. */
#include "calls/jobconfig.h"

#include <stdio.h>
#include <string.h>

enum { MAX_KINDS = 64 };

/* The sections of all kinds; a configuration keeps pointing into them. */
static const dcv_section *all_sections(int *n)
{
    static dcv_section sections[MAX_KINDS];
    int count = 0;
    for (const dcv_job_kind *k; (k = dcv_job_kind_at(count)); count++) {
        DCV_CHECK(count < MAX_KINDS);
        sections[count] = k->section;
    }
    *n = count;
    return sections;
}

static const dcv_job_kind *kind_of(const char *name)
{
    const dcv_job_kind *k;
    for (int i = 0; (k = dcv_job_kind_at(i)); i++)
        if (!strcmp(k->section.job, name))
            return k;
    return NULL;
}

dcv_status dcv_jobconfig_kind(const char *call, const char *name, const dcv_job_kind **kind)
{
    char names[1024] = "", known[1024] = "", near[64];
    *kind = kind_of(name);
    if (*kind)
        return DCV_OK;
    const dcv_job_kind *k;
    for (int i = 0; (k = dcv_job_kind_at(i)); i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? "|" : "", k->section.job);
    dcv_words_list(names, known, sizeof known);
    dcv_words_nearest(names, name, near, sizeof near);
    return dcv_fail(DCV_EUSAGE, "%s: unknown job '%.60s'; expected %s%s%s", call, name, known,
                    *near ? "; nearest: " : "", near);
}

dcv_status dcv_jobconfig_read(const char *file, const dcv_arg_texts *sets, dcv_config **out, const dcv_job_kind **kind)
{
    int n;
    const dcv_section *sections = all_sections(&n);
    DCV_TRY(dcv_config_read(file, sets->v, sets->n, sections, n, out));
    *kind = kind_of((*out)->section->job);
    return DCV_OK;
}
