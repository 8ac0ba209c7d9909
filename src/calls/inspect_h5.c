/* inspect_h5.c -- what is in an HDF5 file: a result, a run under way, or data. */
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include "calls/columns.h"
#include "calls/inspect.h"
#include "core/json.h"
#include "deconvoy/dataset.h"
#include "deconvoy/journal.h"
#include "deconvoy/memory.h"
#include "deconvoy/store.h"

enum { SHOWN_FAILURES = 10, MESSAGE_BYTES = 200, AT_ONCE = 1 << 20 };

typedef struct {
    char *path;
    dcv_h5_info info;
} entry;

typedef struct {
    int64_t item;
    char message[MESSAGE_BYTES + 1];
} failure;

typedef struct {
    const dcv_inspect *o;
    dcv_h5 *h5;
    bool result, under_way;
    int n, room;
    entry *entry;
    int64_t items, done, failed; /* items < 0: not said */
    int n_failures;
    failure failures[SHOWN_FAILURES];
    dcv_journal_summary journal; /* of a run under way */
    dcv_dataset *data;           /* of a file that is no result, where it can be used as a data set */
    char *unusable;              /* and else why not */
} contents;

/* Root attributes of a result that are shown, and what they are called in text. */
static const struct {
    const char *name, *title;
} attributes[] = {
    {"job", "job"},
    {"format_version", "format"},
    {"code_version", "code"},
    {"numerics", "numerics"},
    {"config_sha256", "config"},
    {"model_sha256", "model"},
    {"dataset_sha256", "data"},
};
enum { N_ATTRIBUTES = sizeof attributes / sizeof *attributes };

/* --- Reading ----------------------------------------------------------------------------------------- */

static dcv_status add_entry(void *ctx, const char *path, const dcv_h5_info *info)
{
    contents *c = ctx;
    if (c->n == c->room) {
        const int room = 2 * c->room + 64;
        entry *more = dcv_realloc(c->entry, (size_t)c->room, (size_t)room, sizeof *more);
        if (!more)
            return DCV_ENOMEM;
        c->entry = more;
        c->room = room;
    }
    c->entry[c->n] = (entry){dcv_strdup(path), *info};
    return c->entry[c->n++].path ? DCV_OK : DCV_ENOMEM;
}

static const dcv_h5_info *find(const contents *c, const char *path)
{
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->entry[i].path, path) == 0)
            return &c->entry[i].info;
    return NULL;
}

/* /inputs/status: 0 not yet, 1 done, 2 failed. */
static dcv_status count_items(contents *c)
{
    const dcv_h5_info *info = find(c, "/inputs/status");
    c->items = -1;
    if (!info || info->dims.n != 1 || info->type != DCV_U8)
        return DCV_OK;
    uint8_t *status = dcv_alloc(AT_ONCE, 1);
    if (!status)
        return DCV_ENOMEM;
    dcv_status st = DCV_OK;
    c->items = info->dims.d[0];
    for (int64_t at = 0; st == DCV_OK && at < c->items; at += AT_ONCE) {
        const int64_t n = c->items - at < AT_ONCE ? c->items - at : AT_ONCE;
        st = dcv_h5_read(c->h5, "/inputs/status", DCV_U8, at, n, status);
        for (int64_t i = 0; st == DCV_OK && i < n; i++) {
            c->done += status[i] == 1;
            c->failed += status[i] == 2;
        }
    }
    dcv_free(status);
    return st;
}

static dcv_status read_failures(contents *c)
{
    const dcv_h5_info *item = find(c, "/failures/item"), *message = find(c, "/failures/message");
    if (!item || !message || item->dims.n != 1 || message->dims.n != 1 || !message->text_bytes)
        return DCV_OK;
    for (int i = 0; i < SHOWN_FAILURES && i < item->dims.d[0] && i < message->dims.d[0]; i++) {
        failure *f = &c->failures[i];
        DCV_TRY(dcv_h5_read(c->h5, "/failures/item", DCV_I64, i, 1, &f->item));
        if (f->item < 0)
            return DCV_OK;
        DCV_TRY(dcv_h5_read_text(c->h5, "/failures/message", i, 1, f->message, MESSAGE_BYTES));
        for (char *at = f->message; *at; at++)
            if ((unsigned char)*at < 0x20 || *at == 0x7f)
                *at = '?'; /* the file may come from anywhere */
        c->n_failures++;
    }
    return DCV_OK;
}

/* A file of data: as a data set, where it has /images or one data set only. */
static dcv_status read_data(contents *c)
{
    c->items = -1;
    if (dcv_dataset_open_plain(c->o->file, NULL, NULL, NULL, &c->data) == DCV_OK) {
        c->items = c->data->n;
        return DCV_OK;
    }
    c->unusable = dcv_strdup(dcv_message());
    return c->unusable ? DCV_OK : DCV_ENOMEM;
}

/* The journal beside OUT.h5.part.  An item that is reported as failed counts before its status is written. */
static dcv_status read_journal(contents *c)
{
    char *output = dcv_strdup(c->o->file);
    if (!output)
        return DCV_ENOMEM;
    output[strlen(output) - strlen(".part")] = 0;
    const dcv_status st = dcv_journal_summarise(output, &c->journal);
    dcv_free(output);
    if (c->journal.failed_items > c->failed)
        c->failed = c->journal.failed_items;
    return st;
}

static dcv_status read_contents(contents *c)
{
    const size_t n = strlen(c->o->file);
    DCV_TRY(dcv_h5_open(c->o->file, &c->h5));
    char *format = dcv_h5_attribute(c->h5, "/", "format");
    c->result = format && strcmp(format, "deconvoy") == 0;
    c->under_way = c->result && n > 5 && strcmp(c->o->file + n - 5, ".part") == 0;
    dcv_free(format);
    DCV_TRY(dcv_h5_visit(c->h5, add_entry, c));
    if (!c->result)
        return read_data(c);
    DCV_TRY(count_items(c));
    return c->under_way ? read_journal(c) : read_failures(c);
}

static void clear(contents *c)
{
    for (int i = 0; i < c->n; i++)
        dcv_free(c->entry[i].path);
    dcv_free(c->entry);
    dcv_free(c->unusable);
    dcv_dataset_free(c->data);
    dcv_h5_close(c->h5);
}

/* "2026-11-23T07:30:00Z"; NULL where there is no time. */
static const char *clock_text(int64_t time_s, char *buf, size_t n)
{
    const time_t t = (time_t)time_s;
    struct tm parts;
    return time_s && gmtime_r(&t, &parts) && strftime(buf, n, "%Y-%m-%dT%H:%M:%SZ", &parts) ? buf : NULL;
}

/* --- As text ------------------------------------------------------------------------------------------- */

static void put_journal(const contents *c, FILE *to)
{
    const dcv_journal_summary *s = &c->journal;
    char when[32];
    if (!s->epochs) {
        fprintf(to, "journal  none: nothing is kept yet\n");
        return;
    }
    fprintf(to, "units    %" PRId64 " of %" PRId64 " in phase %d, start %d", s->units, s->all_units, s->phase + 1,
            s->epochs);
    if (s->units_per_s > 0)
        fprintf(to, ", %.3g/s", s->units_per_s);
    fprintf(to, "\nkept     last at %s\n", clock_text(s->last_commit_s, when, sizeof when) ? when : "no time yet");
}

static void put_result(const contents *c, FILE *to)
{
    fprintf(to, "%-8s %s\n", c->under_way ? "run" : "result", c->o->file);
    fprintf(to, "state    %s\n", c->under_way ? "under way or stopped: run the same again to go on" : "complete");
    for (int i = 0; i < N_ATTRIBUTES; i++) {
        char *value = dcv_h5_attribute(c->h5, "/", attributes[i].name);
        if (value && *value)
            fprintf(to, "%-8s %s\n", attributes[i].title, value);
        dcv_free(value);
    }
    if (c->under_way)
        put_journal(c, to);
    if (c->items >= 0)
        fprintf(to, "items    %" PRId64 ": %" PRId64 " done, %" PRId64 " failed, %" PRId64 " not yet\n", c->items,
                c->done, c->failed, c->items - c->done - c->failed);
    for (int i = 0; i < c->n_failures; i++)
        fprintf(to, "failed   item %" PRId64 ": %s\n", c->failures[i].item, c->failures[i].message);
    if (c->failed > c->n_failures && c->n_failures)
        fprintf(to, "         ... and %" PRId64 " more\n", c->failed - c->n_failures);
}

static void put_data(const contents *c, FILE *to)
{
    dcv_dims_text shape;
    fprintf(to, "data     %s\n", c->o->file);
    if (!c->data) {
        fprintf(to, "use      not as a data set as it stands: %s\n", c->unusable);
        return;
    }
    fprintf(to, "items    %" PRId64 ", %s, each %s\n", c->data->n, c->data->is_float ? "network input" : "pictures",
            dcv_dims_print(&c->data->dims, shape));
    if (c->data->classes)
        fprintf(to, "classes  %" PRId32 "\n", c->data->classes);
}

static dcv_status print_text(const contents *c, FILE *to)
{
    dcv_text t = {0};
    dcv_dims_text shape;
    if (c->result)
        put_result(c, to);
    else
        put_data(c, to);
    dcv_cell(&t, "data set");
    dcv_cell(&t, "type");
    dcv_cell(&t, "shape");
    dcv_cell_end(&t);
    for (int i = 0; i < c->n; i++) {
        dcv_cell(&t, "%s", c->entry[i].path);
        dcv_cell(&t, "%s", c->entry[i].info.stored);
        dcv_cell(&t, "%s", dcv_dims_print(&c->entry[i].info.dims, shape));
        dcv_cell_end(&t);
    }
    fputc('\n', to);
    return dcv_columns_print(to, &t, "lll");
}

/* --- As JSON ------------------------------------------------------------------------------------------- */

static void put_json_journal(const contents *c, dcv_json *j)
{
    const dcv_journal_summary *s = &c->journal;
    char when[32];
    dcv_json_int(j, "starts", s->epochs);
    dcv_json_int(j, "phase", s->phase);
    dcv_json_int(j, "units_done", s->units);
    dcv_json_int(j, "units", s->all_units);
    dcv_json_real(j, "units_per_s", s->units_per_s);
    dcv_json_string(j, "last_commit", clock_text(s->last_commit_s, when, sizeof when));
}

static void put_json_result(const contents *c, dcv_json *j)
{
    dcv_json_bool(j, "complete", !c->under_way);
    for (int i = 0; i < N_ATTRIBUTES; i++) {
        char *value = dcv_h5_attribute(c->h5, "/", attributes[i].name);
        dcv_json_string(j, attributes[i].name, value);
        dcv_free(value);
    }
    if (c->under_way)
        put_json_journal(c, j);
    if (c->items < 0) {
        dcv_json_null(j, "items");
        dcv_json_null(j, "done");
        dcv_json_null(j, "failed");
    } else {
        dcv_json_int(j, "items", c->items);
        dcv_json_int(j, "done", c->done);
        dcv_json_int(j, "failed", c->failed);
    }
    dcv_json_open(j, "failures", '[');
    for (int i = 0; i < c->n_failures; i++) {
        dcv_json_open(j, NULL, '{');
        dcv_json_int(j, "item", c->failures[i].item);
        dcv_json_string(j, "message", c->failures[i].message);
        dcv_json_close(j, '}');
    }
    dcv_json_close(j, ']');
}

static void put_json_shape(dcv_json *j, const dcv_dims *d)
{
    dcv_json_open(j, "shape", '[');
    for (int i = 0; i < d->n; i++)
        dcv_json_int(j, NULL, d->d[i]);
    dcv_json_close(j, ']');
}

static void put_json_data(const contents *c, dcv_json *j)
{
    dcv_json_string(j, "source", "hdf5");
    if (c->data) {
        dcv_json_int(j, "items", c->items);
        dcv_json_bool(j, "float", c->data->is_float);
        put_json_shape(j, &c->data->dims);
        dcv_json_int(j, "classes", c->data->classes);
    } else {
        dcv_json_null(j, "items");
        dcv_json_string(j, "unusable", c->unusable);
    }
}

static dcv_status print_json(const contents *c, FILE *to)
{
    dcv_json j = {0};
    dcv_json_open(&j, NULL, '{');
    dcv_json_string(&j, "kind", c->under_way ? "run" : c->result ? "result" : "dataset");
    dcv_json_string(&j, "file", c->o->file);
    if (c->result)
        put_json_result(c, &j);
    else
        put_json_data(c, &j);
    dcv_json_open(&j, "datasets", '[');
    for (int i = 0; i < c->n; i++) {
        dcv_json_open(&j, NULL, '{');
        dcv_json_string(&j, "path", c->entry[i].path);
        dcv_json_string(&j, "type", c->entry[i].info.stored);
        put_json_shape(&j, &c->entry[i].info.dims);
        dcv_json_close(&j, '}');
    }
    dcv_json_close(&j, ']');
    dcv_json_close(&j, '}');
    return dcv_json_print(&j, to);
}

/* --- The whole ------------------------------------------------------------------------------------------- */

/* Read everything once in a child: files that crash HDF5 shall not crash us. */
static dcv_status try_reading(const char *file, void *ctx)
{
    contents c = {.o = ctx};
    (void)file;
    const dcv_status st = read_contents(&c);
    clear(&c);
    return st;
}

dcv_status dcv_inspect_h5(const dcv_inspect *o, FILE *to)
{
    contents c = {.o = o};
    DCV_TRY(dcv_probe(o->file, try_reading, (void *)o));
    dcv_status st = read_contents(&c);
    if (st == DCV_OK)
        st = o->json ? print_json(&c, to) : print_text(&c, to);
    clear(&c);
    return st;
}
