/* report.c -- which reporter draws a result, and where. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "deconvoy/hash.h"
#include "deconvoy/memory.h"
#include "deconvoy/report.h"
#include "report/page.h"

#define DCV_REPORTER(job) extern const dcv_reporter dcv_reporter_##job;
#include "report/reporters.def"
#undef DCV_REPORTER

static const dcv_reporter *const reporters[] = {
#define DCV_REPORTER(job) &dcv_reporter_##job,
#include "report/reporters.def"
#undef DCV_REPORTER
};

static const dcv_reporter *find(const char *job)
{
    for (size_t i = 0; i < sizeof reporters / sizeof *reporters; i++)
        if (strcmp(reporters[i]->job, job) == 0)
            return reporters[i];
    return NULL;
}

char *dcv_report_path(const dcv_report_in *in, const char *name, const char *ending)
{
    enum { LONGEST = 100 };
    char plain[LONGEST + 1], number[16] = "";
    size_t n = 0;
    for (; name[n] && n < LONGEST; n++) {
        const bool fine = isalnum((unsigned char)name[n]) || (n && strchr("._-", name[n]));
        plain[n] = fine ? name[n] : '_';
    }
    plain[n] = 0;
    const bool rooted = name[0] == '.'; /* layers are often spelt /a/b; that alone needs no number */
    if (strcmp(plain + rooted, name + rooted) != 0)
        snprintf(number, sizeof number, "_%08x", (unsigned)dcv_crc32c(0, name, strlen(name)));
    return dcv_format("%s/%s%s%s", in->dir, plain, number, ending);
}

dcv_status dcv_report_wrote(const dcv_report_in *in, const char *path)
{
    dcv_report_files *f = in->files;
    char **more = dcv_realloc(f->path, (size_t)f->n, (size_t)f->n + 1, sizeof *more);
    if (!more)
        return DCV_ENOMEM;
    f->path = more;
    f->path[f->n] = dcv_strdup(path);
    if (!f->path[f->n])
        return DCV_ENOMEM;
    f->n++;
    fprintf(in->to, "%s\n", path);
    return DCV_OK;
}

dcv_status dcv_report_shape(const dcv_report_in *in, const char *path, int rank, dcv_dims *out)
{
    dcv_h5_info info;
    DCV_TRY(dcv_h5_info_of(in->h5, path, &info));
    if (info.dims.n != rank)
        return dcv_fail(DCV_EDATA, "%s: %s has %d axes, want %d", in->file, path, info.dims.n, rank);
    *out = info.dims;
    return DCV_OK;
}

static dcv_status make_folder(const char *dir)
{
    char *path = dcv_strdup(dir);
    if (!path)
        return DCV_ENOMEM;
    for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = 0;
        (void)mkdir(path, 0777);
        *p = '/';
    }
    struct stat about;
    dcv_status st = DCV_OK;
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        st = dcv_fail(DCV_EIO, "%s: %s", dir, strerror(errno));
    else if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode))
        st = dcv_fail(DCV_EIO, "%s: is there and no folder", dir);
    dcv_free(path);
    return st;
}

static bool is_partial(const char *result)
{
    const size_t n = strlen(result);
    return n > 5 && strcmp(result + n - 5, ".part") == 0 && access(result, F_OK) == 0;
}

static char *default_folder(const char *result)
{
    const size_t n = strlen(result);
    const bool plain = n > 3 && strcmp(result + n - 3, ".h5") == 0;
    return dcv_format("%.*s_report", (int)(plain ? n - 3 : n), result);
}

/* Touch what reporters touch of the structure: each data set and the attributes of its group. */
static dcv_status see_all(void *ctx, const char *path, const dcv_h5_info *info)
{
    (void)info;
    char *group = dcv_format("%.*s", (int)(strrchr(path, '/') - path), path);
    if (!group)
        return DCV_ENOMEM;
    dcv_free(dcv_h5_attribute(ctx, group[0] ? group : "/", "layer"));
    dcv_free(group);
    return DCV_OK;
}

static dcv_status try_open(const char *file, void *ctx)
{
    (void)ctx;
    dcv_h5 *h5;
    DCV_TRY(dcv_h5_open(file, &h5));
    const dcv_status st = dcv_h5_visit(h5, see_all, h5);
    dcv_h5_close(h5);
    return st;
}

static dcv_status draw(const dcv_report_in *in, const char *job)
{
    const dcv_reporter *r = find(job);
    DCV_TRY(make_folder(in->dir));
    if (r)
        DCV_TRY(r->run(in));
    return dcv_report_page(in);
}

dcv_status dcv_report(const char *result, const char *dir, FILE *to)
{
    if (is_partial(result))
        return dcv_fail(DCV_ESTOP, "%s: not finished; run the job again to go on", result);
    DCV_TRY(dcv_probe(result, try_open, NULL));
    dcv_report_files files = {.n = 0};
    dcv_report_in in = {.file = result, .to = to, .files = &files};
    DCV_TRY(dcv_h5_open(result, &in.h5));
    dcv_status st = DCV_ENOMEM;
    char *folder = dir ? dcv_strdup(dir) : default_folder(result);
    char *format = dcv_h5_attribute(in.h5, "/", "format"), *job = dcv_h5_attribute(in.h5, "/", "job");
    in.dir = folder;
    if (folder)
        st = format && job && strcmp(format, "deconvoy") == 0
                 ? draw(&in, job)
                 : dcv_fail(DCV_EDATA, "%s: not a result of deconvoy (no attribute format = \"deconvoy\")", result);
    for (int i = 0; i < files.n; i++)
        dcv_free(files.path[i]);
    dcv_free(files.path);
    dcv_free(folder);
    dcv_free(format);
    dcv_free(job);
    dcv_h5_close(in.h5);
    return st;
}

dcv_status dcv_report_class(const dcv_report_in *in, int class_, char *to, size_t n)
{
    static const char *const paths[] = {"/model/class", "/labels/name"};
    char name[128] = {0};
    dcv_dims d;
    for (size_t i = 0; !*name && i < sizeof paths / sizeof *paths; i++) {
        if (!dcv_h5_has(in->h5, paths[i]))
            continue;
        DCV_TRY(dcv_report_shape(in, paths[i], 1, &d));
        if (class_ >= 0 && class_ < d.d[0])
            DCV_TRY(dcv_h5_read_text(in->h5, paths[i], class_, 1, name, sizeof name - 1));
    }
    snprintf(to, n, "class %d%s%s", class_, *name ? " " : "", name);
    return DCV_OK;
}
