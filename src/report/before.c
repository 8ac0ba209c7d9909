/* before.c -- see before.h. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "io/samples.h"
#include "report/before.h"

enum { MOST_UP = 3, MOST_NAME = 4096 };

/* Value of a key of the job's section, as the resolved configuration in the result has it; NULL: none, or one that is
 * written with escapes. */
static char *configured(const dcv_report_in *in, const char *key)
{
    char *config = dcv_h5_attribute(in->h5, "/", "config_yaml"), head[64], *value = NULL;
    snprintf(head, sizeof head, "\n  %s: ", key);
    const char *at = config ? strstr(config, head) : NULL;
    if (at) {
        at += strlen(head);
        size_t n = strcspn(at, "\n");
        const char quote = *at;
        if (n > 1 && (quote == '"' || quote == '\'') && at[n - 1] == quote) {
            at++;
            n -= 2;
            if (memchr(at, quote == '"' ? '\\' : '\'', n))
                n = 0;
        }
        value = n ? dcv_format("%.*s", (int)n, at) : NULL;
    }
    dcv_free(config);
    return value;
}

/* Name of the object's own file, where the input was many; NULL: it was one. */
static char *own_name(const dcv_report_in *in, int64_t object)
{
    dcv_h5_info info;
    if (!dcv_h5_has(in->h5, "/inputs/name") || dcv_h5_info_of(in->h5, "/inputs/name", &info) != DCV_OK ||
        info.dims.n != 1 || object >= info.dims.d[0] || info.text_bytes < 1 || info.text_bytes > MOST_NAME)
        return NULL;
    char *name = dcv_alloc((size_t)info.text_bytes + 1, 1);
    if (name && dcv_h5_read_text(in->h5, "/inputs/name", object, 1, name, (size_t)info.text_bytes) == DCV_OK)
        return name;
    dcv_free(name);
    return NULL;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? dcv_format("%.*s", (int)(slash == path ? 1 : slash - path), path) : dcv_strdup(".");
}

/* The object's file: path itself, or, where that is a folder or a list, the file of that name in or beside it. */
static char *file_of(const char *path, const char *name)
{
    struct stat about;
    const char *dot = strrchr(path, '.');
    if (stat(path, &about))
        return NULL;
    if (S_ISDIR(about.st_mode))
        return name ? dcv_format("%s/%s", path, name) : NULL;
    if (!S_ISREG(about.st_mode))
        return NULL;
    if (!name || !dot || strcmp(dot, ".txt") || !dcv_samples_extension(name))
        return dcv_strdup(path);
    char *folder = folder_of(path);
    char *file = *name == '/' ? dcv_strdup(name) : folder ? dcv_format("%s/%s", folder, name) : NULL;
    dcv_free(folder);
    return file;
}

static bool read_object(const dcv_samples *s, const before_want *w, float *to)
{
    const int64_t all = dcv_samples_count(s), first = all == w->values ? 0 : w->object * w->values;
    if (s->channels != w->channels || (all != w->values && all != w->objects * w->values))
        return false;
    return dcv_samples_read((dcv_samples *)(uintptr_t)s, first, w->values, DCV_F32, to) == DCV_OK;
}

static bool read_from(const char *path, const char *name, const char *dataset, const before_want *w, float *to)
{
    char *file = file_of(path, name);
    dcv_samples *s = NULL;
    struct stat about;
    bool got =
        file && !stat(file, &about) && S_ISREG(about.st_mode) && dcv_samples_open(file, file, dataset, &s) == DCV_OK;
    got = got && read_object(s, w, to);
    dcv_samples_close(s);
    dcv_free(file);
    return got;
}

bool before_read(const dcv_report_in *in, const before_want *w, float *to)
{
    char *input = configured(in, "input"), *dataset = configured(in, "dataset"), *name = own_name(in, w->object);
    char *folder = folder_of(in->file);
    bool got = input && read_from(input, name, dataset, w, to);
    for (int up = 0; input && *input != '/' && folder && !got && up <= MOST_UP; up++) {
        static const char above[] = "/../../..";
        char *path = dcv_format("%s%.*s/%s", folder, 3 * up, above, input);
        got = path && read_from(path, name, dataset, w, to);
        dcv_free(path);
    }
    if (input && !got && !w->object)
        dcv_log_info("%s: its input %s is not found from here, and not drawn; in the folder of the configuration it is",
                     in->file, input);
    dcv_free(folder);
    dcv_free(name);
    dcv_free(dataset);
    dcv_free(input);
    return got;
}
