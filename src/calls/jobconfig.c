/* jobconfig.c -- a configuration and the job kind that it names. */
#include "calls/jobconfig.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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

/* A run must not replace what it reads, whatever --fresh says. */
static dcv_status spare_inputs(const dcv_config *c, const char *file)
{
    const struct {
        const char *key, *path;
    } inputs[] = {{"model.file", c->model.file},
                  {"model.labels", c->model.labels},
                  {"dataset.source", c->dataset.source},
                  {"dataset.labels", c->dataset.labels},
                  {NULL, file}};
    struct stat output, input;
    if (stat(dcv_config_path(c, c->output), &output) != 0)
        return DCV_OK; /* there is nothing to replace */
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        const char *path = inputs[i].key && inputs[i].path ? dcv_config_path(c, inputs[i].path) : inputs[i].path;
        if (path && stat(path, &input) == 0 && input.st_dev == output.st_dev && input.st_ino == output.st_ino)
            return dcv_config_fail(c, "output", "%s is what %s names; expected a file of its own", c->output,
                                   inputs[i].key ? inputs[i].key : "the command line");
    }
    return DCV_OK;
}

dcv_status dcv_jobconfig_read(const char *file, const dcv_arg_texts *sets, dcv_config **out, const dcv_job_kind **kind)
{
    int n;
    const dcv_section *sections = all_sections(&n);
    DCV_TRY(dcv_config_read(file, sets->v, sets->n, sections, n, out));
    *kind = kind_of((*out)->section->job);
    return spare_inputs(*out, file);
}
