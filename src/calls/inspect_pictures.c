/* inspect_pictures.c -- what is in a data set outside HDF5: how many pictures, how large, of which classes. */
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include "calls/inspect.h"
#include "core/json.h"
#include "deconvoy/dataset.h"

enum { SHOWN_CLASSES = 20 };

static const char *kind_of(const char *file)
{
    static const struct {
        const char *end, *kind;
    } kinds[] = {{".tar", "tar"},      {".txt", "list"},    {".jpg", "picture"},
                 {".jpeg", "picture"}, {".png", "picture"}, {".tif", "picture"},
                 {".tiff", "picture"}, {".gz", "idx"},      {"ubyte", "idx"}};
    struct stat s;
    const size_t n = strlen(file);
    if (stat(file, &s) == 0 && S_ISDIR(s.st_mode))
        return "folder";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const size_t m = strlen(kinds[i].end);
        if (n >= m && strcasecmp(file + n - m, kinds[i].end) == 0)
            return kinds[i].kind;
    }
    return "file";
}

static int64_t bytes_in(const dcv_dataset *d)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < d->n; i++)
        sum += d->entry[i].bytes;
    return sum;
}

static int64_t labelled_in(const dcv_dataset *d)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < d->n; i++)
        sum += d->entry[i].label >= 0;
    return sum;
}

static void print_text(const dcv_inspect *o, const dcv_dataset *d, FILE *to)
{
    fprintf(to, "data     %s (%s)\n", o->file, kind_of(o->file));
    fprintf(to, "items    %" PRId64 ", %" PRId64 " bytes\n", d->n, bytes_in(d));
    fprintf(to, "pictures %s, %s%" PRId64 " x %" PRId64 " px (rows x columns)\n", d->c == 1 ? "grey" : "RGB",
            d->fixed ? "" : "at most ", d->max_h, d->max_w);
    fprintf(to, "labels   %" PRId64 " of %" PRId64 " items, %" PRId32 " classes\n", labelled_in(d), d->n, d->classes);
    for (int32_t i = 0; d->label_name && i < d->classes && i < SHOWN_CLASSES; i++)
        fprintf(to, "class    %" PRId32 " %s\n", i, d->label_name[i] ? d->label_name[i] : "-");
    if (d->label_name && d->classes > SHOWN_CLASSES)
        fprintf(to, "         ... and %" PRId32 " more\n", d->classes - SHOWN_CLASSES);
}

static dcv_status print_json(const dcv_inspect *o, const dcv_dataset *d, FILE *to)
{
    dcv_json j = {0};
    dcv_json_open(&j, NULL, '{');
    dcv_json_string(&j, "kind", "dataset");
    dcv_json_string(&j, "file", o->file);
    dcv_json_string(&j, "source", kind_of(o->file));
    dcv_json_int(&j, "items", d->n);
    dcv_json_int(&j, "bytes", bytes_in(d));
    dcv_json_bool(&j, "float", d->is_float);
    dcv_json_int(&j, "channels", d->c);
    dcv_json_int(&j, "height", d->max_h);
    dcv_json_int(&j, "width", d->max_w);
    dcv_json_bool(&j, "one_size", d->fixed);
    dcv_json_int(&j, "labelled", labelled_in(d));
    dcv_json_int(&j, "classes", d->classes);
    dcv_json_open(&j, "label_names", '[');
    for (int32_t i = 0; d->label_name && i < d->classes; i++)
        dcv_json_string(&j, NULL, d->label_name[i]);
    dcv_json_close(&j, ']');
    dcv_json_close(&j, '}');
    return dcv_json_print(&j, to);
}

/* The names of folders are classes, if there are folders. */
dcv_status dcv_inspect_pictures(const dcv_inspect *o, FILE *to)
{
    dcv_dataset *d;
    const char *kind = kind_of(o->file);
    const bool folders = strcmp(kind, "folder") == 0 || strcmp(kind, "tar") == 0;
    DCV_TRY(dcv_dataset_open_plain(o->file, folders ? "folder" : NULL, NULL, NULL, &d));
    dcv_status st = DCV_OK;
    if (o->json)
        st = print_json(o, d, to);
    else
        print_text(o, d, to);
    dcv_dataset_free(d);
    return st;
}
