/* source_list.c -- a text file with a picture a line: path, or path, tab, label.
 *
 * A path is relative to the list's folder; the label follows the last tab.  Blank lines count for nothing.
 * The list's order is kept.  A picture that is not there is an item that fails.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "deconvoy/stop.h"
#include "io/source.h"

enum { MAX_PATH = 4096 };

/* Where the list's entry `name` is, in buf. */
static void file_at(const dcv_source *s, const char *name, char *buf, size_t n)
{
    const char *slash = strrchr(s->file, '/');
    if (name[0] == '/' || !slash)
        snprintf(buf, n, "%s", name);
    else
        snprintf(buf, n, "%.*s%s", (int)(slash - s->file) + 1, s->file, name);
}

static const char *trim(const char *text, const char **end)
{
    while (text < *end && strchr(" \t\r", *text))
        text++;
    while (*end > text && strchr(" \t\r", (*end)[-1]))
        (*end)--;
    return text;
}

static const char *last_tab(const char *line, const char *end)
{
    while (end > line)
        if (*--end == '\t')
            return end;
    return NULL;
}

static dcv_status add_line(dcv_source *s, const char *line, const char *end, int64_t number)
{
    char file[2 * MAX_PATH];
    struct stat info;
    while (end > line && strchr("\r\n", end[-1]))
        end--;
    const char *tab = last_tab(line, end), *path_end = tab ? tab : end, *path = trim(line, &path_end);
    if (path == path_end && !tab)
        return DCV_OK;
    if (path == path_end || path_end - path >= MAX_PATH)
        return dcv_fail(DCV_EDATA, "%s:%lld: %s", s->shown, (long long)number,
                        path == path_end ? "a label without a path" : "a path of 4096 bytes or more");
    DCV_TRY(dcv_manifest_add(&s->m, path, (size_t)(path_end - path), 0, 0));
    dcv_entry *e = &s->m.entry[s->m.n - 1];
    file_at(s, e->name, file, sizeof file);
    if (stat(file, &info) == 0 && S_ISREG(info.st_mode)) {
        e->bytes = info.st_size;
        e->mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    }
    if (!tab)
        return DCV_OK;
    const char *label = trim(tab + 1, &end);
    return dcv_manifest_label(&s->m, s->m.n - 1, label, (size_t)(end - label));
}

static dcv_status add_lines(dcv_source *s, const char *text, size_t n)
{
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        text += 3, n -= 3;
    if (memchr(text, 0, n))
        return dcv_fail(DCV_EDATA, "%s: a list is text; this has a byte 0", s->shown);
    const char *end = text + n;
    for (int64_t number = 1; text < end; number++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (!stop)
            stop = end;
        DCV_TRY(dcv_stop_check("reading the data set"));
        DCV_TRY(add_line(s, text, stop, number));
        text = stop + 1;
    }
    return DCV_OK;
}

static dcv_status list_open(dcv_source *s, const dcv_source_ask *ask)
{
    uint8_t *text;
    size_t n;
    (void)ask;
    s->content = DCV_CONTENT_ENCODED;
    DCV_TRY(dcv_read_item_file(s->file, s->shown, -1, &text, &n));
    const dcv_status st = add_lines(s, (const char *)text, n);
    dcv_free(text);
    return st;
}

static void list_file(const dcv_source *s, int64_t i, char *buf, size_t n)
{
    file_at(s, s->m.entry[i].name, buf, n);
}

static dcv_status list_fetch(const dcv_source *s, int64_t i, int64_t most, uint8_t **bytes, size_t *n)
{
    char file[2 * MAX_PATH];
    const char *name = s->m.entry[i].name, *slash = strrchr(name, '/');
    list_file(s, i, file, sizeof file);
    return dcv_read_item_file(file, name[0] == '/' ? slash + 1 : name, most, bytes,
                              n); /* no absolute path in a message */
}

const dcv_source_kind dcv_source_list = {
    .name = "a list",
    .extensions = "txt|lst|list",
    .open = list_open,
    .fetch = list_fetch,
    .file_of = list_file,
};
