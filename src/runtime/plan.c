/* plan.c -- see plan.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deconvoy/worklist.h"
#include "runtime/file.h"
#include "runtime/plan.h"
#include "deconvoy/memory.h"
#include "deconvoy/run.h"

#define NAMES_SAID 5

static dcv_status hash_of(const dcv_config *c, const dcv_job *job, const char *slice, dcv_sha256 *out)
{
    dcv_hasher *h;
    char unit[64];
    snprintf(unit, sizeof unit, "%d %.17g", FORMAT_VERSION, c->runtime.unit_seconds);
    DCV_TRY(dcv_hasher_new(&h));
    dcv_hasher_add_text(h, c->text);
    dcv_hasher_add_text(h, job->model_sha256.hex);
    dcv_hasher_add_text(h, job->dataset_sha256.hex);
    if (*job->more_sha256.hex)
        dcv_hasher_add_text(h, job->more_sha256.hex);
    dcv_hasher_add_text(h, unit);
    dcv_hasher_add_text(h, slice);
    *out = dcv_hasher_end(h);
    return DCV_OK;
}

bool plan_is_slice(const dcv_config *c)
{
    return c->dataset.slice.n == 2;
}

typedef char slice_text[64];

static void slice_print(const dcv_config *c, slice_text to)
{
    *to = 0;
    if (plan_is_slice(c))
        snprintf(to, sizeof(slice_text), "%lld of %lld", (long long)c->dataset.slice.v[0],
                 (long long)c->dataset.slice.v[1]);
}

int64_t plan_block_units(const dcv_phase *phase)
{
    return phase->chain > 0 ? phase->chain : dcv_block_units(phase->n_units);
}

bool plan_gathers(const dcv_phase *phase)
{
    return phase->state_bytes > 0 && phase->chain <= 0;
}

block_range plan_blocks(const dcv_config *c, const dcv_phase *phase)
{
    const int64_t per_block = plan_block_units(phase), n = (phase->n_units + per_block - 1) / per_block;
    if (!plan_is_slice(c))
        return (block_range){0, n};
    const int64_t part = c->dataset.slice.v[0], parts = c->dataset.slice.v[1];
    return (block_range){n * part / parts, n * (part + 1) / parts};
}

dcv_status plan_hash_of(const dcv_config *c, const dcv_job *job, plan_hash *out)
{
    slice_text slice;
    slice_print(c, slice);
    DCV_TRY(hash_of(c, job, slice, &out->plan));
    return hash_of(c, job, "", &out->whole);
}

/* The configuration as it was written: merge reads it again.  new memory. */
static char *source_of(const dcv_config *c)
{
    struct stat about;
    const int fd = open(c->file, O_RDONLY | O_CLOEXEC);
    char *text = fd >= 0 && !fstat(fd, &about) ? dcv_alloc((size_t)about.st_size + 1, 1) : NULL;
    if (text && file_read(fd, text, about.st_size, 0)) {
        dcv_free(text);
        text = NULL;
    }
    if (fd >= 0)
        close(fd);
    return text ? text : dcv_strdup("");
}

static dcv_status stamp_slice(const dcv_config *c, const plan_hash *h, dcv_store *s)
{
    slice_text slice;
    char *source = source_of(c), *folder = file_folder(c->file), *whole = folder ? realpath(folder, NULL) : NULL;
    slice_print(c, slice);
    const char *const text[][2] = {{"slice", slice},
                                   {"plan_whole_sha256", h->whole.hex},
                                   {"config_source", source ? source : ""},
                                   {"config_sets", c->sets ? c->sets : ""},
                                   {"config_folder", whole ? whole : "."}};
    dcv_status st = DCV_OK;
    for (size_t i = 0; i < sizeof text / sizeof *text && st == DCV_OK; i++)
        st = dcv_store_text(s, "/", text[i][0], text[i][1]);
    free(whole);
    dcv_free(folder);
    dcv_free(source);
    return st;
}

dcv_status plan_stamp(const dcv_config *c, const dcv_job *job, const plan_hash *h, dcv_store *s)
{
    const char *const text[][2] = {
        {"format", "deconvoy"},
        {"job", c->section->job},
        {"config_yaml", c->text},
        {"model_sha256", job->model_sha256.hex},
        {"dataset_sha256", job->dataset_sha256.hex},
        {"numerics", job->numerics ? job->numerics : ""},
        {"code_version", DCV_VERSION},
        {"plan_sha256", h->plan.hex},
    };
    const dcv_sha256 config = dcv_sha256_of(c->text, strlen(c->text));
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        DCV_TRY(dcv_store_text(s, "/", text[i][0], text[i][1]));
    DCV_TRY(dcv_store_text(s, "/", "config_sha256", config.hex));
    if (plan_is_slice(c))
        DCV_TRY(stamp_slice(c, h, s));
    return dcv_store_int(s, "/", "format_version", FORMAT_VERSION);
}

/* --- Which keys differ ------------------------------------------------------------- */

typedef struct key_line {
    char *path;
    const char *value; /* rest of the line, and lines of a list below it */
    size_t bytes;
} key_line;

typedef struct key_lines {
    key_line *at;
    int n;
} key_lines;

static void lines_free(key_lines *l)
{
    for (int i = 0; i < l->n; i++)
        dcv_free(l->at[i].path);
    dcv_free(l->at);
}

/* A key at the start of a line: bytes of it, 0 if there is none (a list's element, a long text). */
static size_t key_bytes(const char *line)
{
    size_t n = 0;
    while (line[n] && line[n] != '\n' && line[n] != ':')
        n++;
    return line[n] == ':' && line[0] != '-' && line[0] != '#' &&
                   (line[n + 1] == ' ' || line[n + 1] == '\n' || !line[n + 1])
               ? n
               : 0;
}

/* Path of the key in this line: the nearest line above that is indented less, and so on. */
static char *path_of(const key_lines *l, const int *indent, int depth, const char *key, size_t bytes)
{
    for (int i = l->n - 1; i >= 0; i--)
        if (indent[i] < depth)
            return dcv_format("%s.%.*s", l->at[i].path, (int)bytes, key);
    return dcv_format("%.*s", (int)bytes, key);
}

/* Cut a resolved text (block mappings, two blanks a level) into keys and values. */
static dcv_status cut(const char *text, key_lines *out)
{
    size_t n_lines = 1;
    for (const char *p = text; *p; p++)
        n_lines += *p == '\n';
    *out = (key_lines){dcv_alloc(n_lines, sizeof(key_line)), 0};
    int *indent = dcv_alloc(n_lines, sizeof *indent);
    dcv_status st = out->at && indent ? DCV_OK : DCV_ENOMEM;
    for (const char *line = text; st == DCV_OK && *line;) {
        const char *end = strchr(line, '\n');
        end = end ? end + 1 : line + strlen(line);
        const int depth = (int)strspn(line, " ");
        const size_t key = key_bytes(line + depth);
        if (key) {
            char *path = path_of(out, indent, depth, line + depth, key);
            if (!path)
                st = DCV_ENOMEM;
            const char *value = line + depth + key + 1;
            indent[out->n] = depth;
            out->at[out->n++] = (key_line){path, value, (size_t)(end - value)};
        } else if (out->n) {
            out->at[out->n - 1].bytes = (size_t)(end - out->at[out->n - 1].value);
        }
        line = end;
    }
    dcv_free(indent);
    return st;
}

static const key_line *find(const key_lines *l, const char *path)
{
    for (int i = 0; i < l->n; i++)
        if (!strcmp(l->at[i].path, path))
            return &l->at[i];
    return NULL;
}

static bool same(const key_line *a, const key_line *b)
{
    return b && a->bytes == b->bytes && !memcmp(a->value, b->value, a->bytes);
}

static void say(char **text, const char *name, int *n)
{
    if (++*n > NAMES_SAID + 1 || !*text)
        return;
    char *longer = dcv_format("%s%s%s", *text, **text ? ", " : "", *n > NAMES_SAID ? "..." : name);
    dcv_free(*text);
    *text = longer;
}

char *plan_keys_that_differ(const char *a, const char *b)
{
    key_lines la = {0}, lb = {0};
    char *text = dcv_strdup("");
    int n = 0;
    if (cut(a, &la) == DCV_OK && cut(b, &lb) == DCV_OK) {
        for (int i = 0; i < la.n; i++)
            if (!same(&la.at[i], find(&lb, la.at[i].path)))
                say(&text, la.at[i].path, &n);
        for (int i = 0; i < lb.n; i++)
            if (!find(&la, lb.at[i].path))
                say(&text, lb.at[i].path, &n);
    }
    lines_free(&la);
    lines_free(&lb);
    return text;
}

static bool attribute_is(dcv_h5 *f, const char *name, const char *want)
{
    char *is = dcv_h5_attribute(f, "/", name);
    const bool equal = is && !strcmp(is, want);
    dcv_free(is);
    return equal;
}

/* In words, most telling first; new memory. */
static char *differences(dcv_h5 *f, const dcv_config *c, const dcv_job *job)
{
    char *theirs = dcv_h5_attribute(f, "/", "config_yaml");
    char *text = theirs ? plan_keys_that_differ(theirs, c->text) : dcv_strdup("no result of deconvoy");
    int n = text && *text ? 1 : 0;
    if (theirs && !attribute_is(f, "model_sha256", job->model_sha256.hex))
        say(&text, "model.file (its content)", &n);
    if (theirs && !attribute_is(f, "dataset_sha256", job->dataset_sha256.hex))
        say(&text, "dataset.source (its content)", &n);
    if (!n)
        say(&text,
            *job->more_sha256.hex ? "a file that the job reads besides, runtime.unit_seconds or dataset.slice"
                                  : "runtime.unit_seconds or dataset.slice",
            &n);
    dcv_free(theirs);
    return text;
}

dcv_status plan_compare(const char *file, const dcv_config *c, const dcv_job *job, const plan_hash *h, char **differs)
{
    *differs = NULL;
    dcv_h5 *f;
    const dcv_status st = dcv_h5_open(file, &f);
    if (st == DCV_EDATA) {
        *differs = dcv_strdup("not an HDF5 file");
        return *differs ? DCV_OK : DCV_ENOMEM;
    }
    DCV_TRY(st);
    const bool mine = attribute_is(f, "plan_sha256", h->plan.hex);
    if (!mine)
        *differs = differences(f, c, job);
    dcv_h5_close(f);
    return mine || *differs ? DCV_OK : DCV_ENOMEM;
}

dcv_status plan_same_program(const char *file, const dcv_config *c, const dcv_job *job)
{
    dcv_h5 *f;
    DCV_TRY(dcv_h5_open(file, &f));
    char *numerics = dcv_h5_attribute(f, "/", "numerics"), *version = dcv_h5_attribute(f, "/", "code_version");
    dcv_h5_close(f);
    const char *mine = job->numerics ? job->numerics : "";
    dcv_status st = numerics && version ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK && strcmp(version, DCV_VERSION))
        st = dcv_config_fail(c, "output", "%s was begun by version %s, this is %s; --fresh starts over", file, version,
                             DCV_VERSION);
    else if (st == DCV_OK && strcmp(numerics, mine))
        st =
            dcv_fail(DCV_ESTOP,
                     "%s was begun with numerics \"%s\", here are \"%s\"; run it on such a machine (slurm.constraint), "
                     "or start over with --fresh",
                     file, numerics, mine);
    dcv_free(numerics);
    dcv_free(version);
    return st;
}

char *dcv_run_numerics(const dcv_config *c)
{
    dcv_h5 *f;
    char *numerics = NULL, *part = dcv_format("%s.part", dcv_config_path(c, c->output));
    if (part && !access(part, R_OK) && dcv_h5_open(part, &f) == DCV_OK) {
        numerics = dcv_h5_attribute(f, "/", "numerics");
        dcv_h5_close(f);
    }
    dcv_message_clear(); /* whatever is wrong with it, the run itself will say */
    dcv_free(part);
    return numerics;
}
