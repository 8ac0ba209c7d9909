/* merge.c -- deconvoy merge PART.h5... -o OUT.h5 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "calls/call.h"
#include "calls/env.h"
#include "calls/jobconfig.h"
#include "deconvoy/memory.h"
#include "deconvoy/run.h"
#include "deconvoy/store.h"

static const char usage[] = "merge PART.h5... -o OUT.h5";
enum { MAX_PARTS = 4096 };

static const char *parts[MAX_PARTS];
static int n_parts;
static const char *output;

/* What the first part says about the configuration that all have. */
typedef struct origin {
    char *source, *sets, *folder, *numerics;
} origin;

static void origin_clear(origin *o)
{
    dcv_free(o->source);
    dcv_free(o->sets);
    dcv_free(o->folder);
    dcv_free(o->numerics);
}

static dcv_status origin_read(origin *o)
{
    dcv_h5 *f;
    DCV_TRY(dcv_h5_open(parts[0], &f));
    *o = (origin){dcv_h5_attribute(f, "/", "config_source"), dcv_h5_attribute(f, "/", "config_sets"),
                  dcv_h5_attribute(f, "/", "config_folder"), dcv_h5_attribute(f, "/", "numerics")};
    dcv_h5_close(f);
    if (o->source && o->sets && o->folder && o->numerics)
        return DCV_OK;
    return dcv_fail(DCV_EDATA, "%s: not a part; expected the result of a run with dataset.slice", parts[0]);
}

static dcv_status before(int argc, char **argv)
{
    const dcv_arg table[] = {{"-o", DCV_ARG_TEXT, &output}, {0}};
    DCV_TRY(dcv_args_read(argc, argv, usage, table, parts, 1, MAX_PARTS, &n_parts));
    if (!output)
        return dcv_fail(DCV_EUSAGE, "merge: no -o OUT.h5; expected deconvoy %s", usage);
    dcv_run_prepare();
    origin o = {0};
    const dcv_status st = origin_read(&o);
    if (st == DCV_OK)
        dcv_env_want_numerics(o.numerics);
    origin_clear(&o);
    return st;
}

/* The text of the configuration through the reader of files; *path is then its file. */
static dcv_status write_config(const char *text, char *path)
{
    const int fd = mkstemp(path);
    const size_t n = strlen(text);
    const bool well = fd >= 0 && write(fd, text, n) == (ssize_t)n;
    if (fd >= 0)
        close(fd);
    return well ? DCV_OK : dcv_fail(DCV_EIO, "%s: cannot be written", path);
}

/* The lines of text, and one more, as a list that points into it. */
static dcv_status cut_sets(char *text, const char *last, dcv_arg_texts *out)
{
    size_t n = 1;
    for (const char *p = text; *p; p++)
        n += *p == '\n';
    *out = (dcv_arg_texts){0, dcv_alloc(n, sizeof *out->v)};
    if (!out->v)
        return DCV_ENOMEM;
    for (char *p = text, *end; (end = strchr(p, '\n')); p = end + 1) {
        *end = 0;
        out->v[out->n++] = p;
    }
    out->v[out->n++] = last;
    return DCV_OK;
}

/* The output is relative to where we are; other paths to the folder where the configuration was.  No slice any more. */
static dcv_status settle(dcv_config *c, const char *folder)
{
    char *file = dcv_format("%s/merge", folder);
    c->file = file ? dcv_arena_strdup(c->arena, file) : NULL;
    dcv_free(file);
    c->dataset.slice = (dcv_ints){.word = -1};
    return c->file ? DCV_OK : DCV_ENOMEM;
}

static dcv_status read_config(origin *o, dcv_config **c, const dcv_job_kind **kind)
{
    char path[] = "/tmp/deconvoy-merge-XXXXXX", *here = getcwd(NULL, 0);
    char *out =
        *output == '/' ? dcv_format("output=%s", output) : dcv_format("output=%s/%s", here ? here : ".", output);
    dcv_arg_texts sets = {0};
    dcv_status st = out ? cut_sets(o->sets, out, &sets) : DCV_ENOMEM;
    if (st == DCV_OK) {
        st = write_config(o->source, path);
        if (st == DCV_OK)
            st = dcv_jobconfig_read(path, &sets, c, kind);
        unlink(path);
    }
    if (st == DCV_OK)
        st = settle(*c, o->folder);
    dcv_free(sets.v);
    free(here);
    dcv_free(out);
    return st;
}

static dcv_status run(int argc, char **argv, int *exit_code)
{
    (void)argc, (void)argv, (void)exit_code;
    dcv_config *c = NULL;
    const dcv_job_kind *kind;
    origin o = {0};
    dcv_status st = origin_read(&o);
    if (st == DCV_OK)
        st = read_config(&o, &c, &kind);
    if (st == DCV_OK)
        st = dcv_merge(kind, c, parts, n_parts);
    dcv_config_free(c);
    origin_clear(&o);
    return st;
}

const dcv_call dcv_call_merge = {
    .name = "merge",
    .usage = usage,
    .help = "join the results of all slices: the bytes of a single run",
    .computes = 1,
    .before = before,
    .run = run,
};
