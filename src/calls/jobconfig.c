/* jobconfig.c -- a configuration and the job kind that it names. */
#include "calls/jobconfig.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

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

static bool may_kill_its_reader(const char *file)
{
    static const char *const ends[] = {".h5", ".hdf5", ".tif", ".tiff"};
    const size_t n = strlen(file);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n >= strlen(ends[i]) && !strcasecmp(file + n - strlen(ends[i]), ends[i]))
            return true;
    return false;
}

static dcv_status open_and_close(const char *file, void *ctx)
{
    const dcv_dataset_options *o = ctx;
    dcv_dataset *d;
    (void)file;
    const dcv_status st = dcv_dataset_open_plain(file, NULL, o->path, &o->preprocess, &d);
    if (!st)
        dcv_dataset_free(d);
    return st;
}

dcv_status dcv_jobconfig_probe(const dcv_config *c)
{
    const char *source = dcv_config_path(c, c->dataset.source);
    if (!source || !may_kill_its_reader(source))
        return DCV_OK;
    return dcv_probe(source, open_and_close, (void *)&c->dataset);
}
