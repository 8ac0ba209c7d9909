/* page.c -- index.html: pictures as data: addresses (RFC 2397), texts in place. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "core/base64.h"
#include "deconvoy/memory.h"
#include "report/page.h"

enum { SHOWN_FAILURES = 20, MESSAGE_BYTES = 200, CHUNK = 3 * 4096 }; /* a whole number of base64's groups */

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<style>\n"
    "body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 75rem; color: #1b1b1b; "
    "background: #fff }\n"
    "h1 { font-size: 1.5rem; margin: .5rem 0 } h2 { font-size: 1.15rem; margin: 1.5rem 0 .4rem }\n"
    "table { border-collapse: collapse } th { "
    "text-align: left; font-weight: 600; white-space: nowrap }\n"
    "th, td { padding: .1rem 1rem .1rem 0; vertical-align: top; overflow-wrap: anywhere }\n"
    "figure { margin: 1rem 0 2rem } figcaption { font-weight: 600; margin-bottom: .3rem }\n"
    "img { max-width: 100%; height: auto; border: 1px solid #ccc } pre { overflow-x: auto; background: #f5f5f5; "
    "padding: .7rem; font-size: .85rem }\n"
    "summary { cursor: pointer; font-weight: 600; margin: .6rem 0 }\n"
    "nav a { margin-right: 1rem; white-space: nowrap }\n"
    "</style>\n";

/* Root attributes that are shown, and what they are called. */
static const struct {
    const char *name, *title;
} attributes[] = {
    {"job", "Job"},
    {"numerics", "Numerics"},
    {"code_version", "Program"},
    {"model_sha256", "Model, SHA-256"},
    {"dataset_sha256", "Data set, SHA-256"},
    {"config_sha256", "Configuration, SHA-256"},
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool ends_with(const char *text, const char *ending)
{
    const size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

/* Text of any origin: what HTML would read as markup is spelt out, control characters become '?'. */
static void print_text(FILE *to, const char *text, size_t n)
{
    for (size_t i = 0; i < n && text[i]; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '<')
            fputs("&lt;", to);
        else if (c == '>')
            fputs("&gt;", to);
        else if (c == '&')
            fputs("&amp;", to);
        else if (c == '"')
            fputs("&quot;", to);
        else
            fputc((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : c, to);
    }
}

static void print_row(FILE *to, const char *title, const char *text)
{
    fprintf(to, "<tr><th>%s</th><td>", title);
    print_text(to, text, SIZE_MAX);
    fputs("</td></tr>\n", to);
}

static dcv_status open_to_read(const char *path, FILE **out)
{
    *out = fopen(path, "rb");
    return *out ? DCV_OK : dcv_fail(DCV_EIO, "%s: %s", path, strerror(errno));
}

/* --- What reporters have written ----------------------------------------------------------- */

static dcv_status print_base64(FILE *to, const char *path)
{
    FILE *from;
    uint8_t bytes[CHUNK];
    char coded[DCV_BASE64_BYTES(CHUNK)];
    DCV_TRY(open_to_read(path, &from));
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, from)) > 0;) {
        dcv_base64(bytes, n, coded);
        fwrite(coded, 1, DCV_BASE64_BYTES(n), to);
    }
    const bool whole = !ferror(from);
    fclose(from);
    return whole ? DCV_OK : dcv_fail(DCV_EIO, "%s: cannot be read back", path);
}

static dcv_status print_file_text(FILE *to, const char *path)
{
    FILE *from;
    char text[CHUNK];
    DCV_TRY(open_to_read(path, &from));
    for (size_t n; (n = fread(text, 1, sizeof text, from)) > 0;)
        print_text(to, text, n);
    const bool whole = !ferror(from);
    fclose(from);
    return whole ? DCV_OK : dcv_fail(DCV_EIO, "%s: cannot be read back", path);
}

static dcv_status print_figure(FILE *to, const char *path, int i)
{
    const char *name = base_name(path);
    fprintf(to, "<figure id=\"f%d\"><figcaption>", i);
    print_text(to, name, SIZE_MAX);
    fputs("</figcaption>\n", to);
    dcv_status st;
    if (ends_with(name, ".png")) {
        fputs("<img alt=\"", to);
        print_text(to, name, SIZE_MAX);
        fputs("\" src=\"data:image/png;base64,", to);
        st = print_base64(to, path);
        fputs("\">", to);
    } else {
        fputs("<pre>", to);
        st = print_file_text(to, path);
        fputs("</pre>", to);
    }
    fputs("</figure>\n", to);
    return st;
}

static dcv_status print_figures(FILE *to, const dcv_report_files *files)
{
    if (files->n > 1) {
        fputs("<nav>", to);
        for (int i = 0; i < files->n; i++) {
            fprintf(to, "<a href=\"#f%d\">", i);
            print_text(to, base_name(files->path[i]), SIZE_MAX);
            fputs("</a> ", to);
        }
        fputs("</nav>\n", to);
    }
    for (int i = 0; i < files->n; i++)
        DCV_TRY(print_figure(to, files->path[i], i));
    return DCV_OK;
}

/* --- What the result says of itself ------------------------------------------------------- */

static void print_attributes(FILE *to, const dcv_report_in *in)
{
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
        char *text = dcv_h5_attribute(in->h5, "/", attributes[i].name);
        if (text && text[0])
            print_row(to, attributes[i].title, text);
        dcv_free(text);
    }
}

static dcv_status print_items(FILE *to, const dcv_report_in *in)
{
    dcv_dims items;
    int64_t failed;
    char text[80];
    if (!dcv_h5_has(in->h5, "/inputs/status") || !dcv_h5_has(in->h5, "/failures/count"))
        return DCV_OK;
    DCV_TRY(dcv_report_shape(in, "/inputs/status", 1, &items));
    DCV_TRY(dcv_h5_read(in->h5, "/failures/count", DCV_I64, 0, 1, &failed));
    snprintf(text, sizeof text, "%" PRId64 ", of which %" PRId64 " failed", items.d[0], failed);
    print_row(to, "Items", text);
    return DCV_OK;
}

static dcv_status print_failures(FILE *to, const dcv_report_in *in)
{
    static const char item[] = "/failures/item", message[] = "/failures/message";
    dcv_dims rows, texts;
    if (!dcv_h5_has(in->h5, item) || !dcv_h5_has(in->h5, message))
        return DCV_OK;
    DCV_TRY(dcv_report_shape(in, item, 1, &rows));
    DCV_TRY(dcv_report_shape(in, message, 1, &texts));
    for (int64_t i = 0, at; i < SHOWN_FAILURES && i < rows.d[0] && i < texts.d[0]; i++) {
        char text[MESSAGE_BYTES + 1] = "";
        DCV_TRY(dcv_h5_read(in->h5, item, DCV_I64, i, 1, &at));
        if (at < 0)
            break;
        DCV_TRY(dcv_h5_read_text(in->h5, message, i, 1, text, MESSAGE_BYTES));
        fprintf(to, "%s<p><b>%" PRId64 "</b> ", i ? "" : "<h2>Failed items, the first of them</h2>\n", at);
        print_text(to, text, MESSAGE_BYTES);
        fputs("</p>\n", to);
    }
    return DCV_OK;
}

static dcv_status print_dataset(void *ctx, const char *path, const dcv_h5_info *info)
{
    FILE *to = ctx;
    fputs("<tr><th>", to);
    print_text(to, path, SIZE_MAX);
    fprintf(to, "</th><td>%s</td><td>", info->stored);
    for (int a = 0; a < info->dims.n; a++)
        fprintf(to, "%s%" PRId64, a ? " &times; " : "", info->dims.d[a]);
    fputs("</td></tr>\n", to);
    return DCV_OK;
}

static dcv_status print_structure(FILE *to, const dcv_report_in *in)
{
    char *config = dcv_h5_attribute(in->h5, "/", "config_yaml");
    if (config) {
        fputs("<details><summary>Configuration</summary><pre>", to);
        print_text(to, config, SIZE_MAX);
        fputs("</pre></details>\n", to);
    }
    dcv_free(config);
    fputs("<details><summary>Data sets</summary><table>\n", to);
    const dcv_status st = dcv_h5_visit(in->h5, print_dataset, to);
    fputs("</table></details>\n", to);
    return st;
}

static dcv_status print_page(FILE *to, const dcv_report_in *in)
{
    const char *name = base_name(in->file);
    fputs(head, to);
    fputs("<title>", to);
    print_text(to, name, SIZE_MAX);
    fputs("</title></head><body>\n<h1>", to);
    print_text(to, name, SIZE_MAX);
    fputs("</h1>\n<table>\n", to);
    print_attributes(to, in);
    DCV_TRY(print_items(to, in));
    fputs("</table>\n", to);
    DCV_TRY(print_failures(to, in));
    DCV_TRY(print_figures(to, in->files));
    DCV_TRY(print_structure(to, in));
    fputs("</body></html>\n", to);
    return DCV_OK;
}

dcv_status dcv_report_page(const dcv_report_in *in)
{
    char *path = dcv_report_path(in, "index", ".html");
    FILE *to = path ? fopen(path, "w") : NULL;
    dcv_status st = !path ? DCV_ENOMEM : to ? print_page(to, in) : dcv_fail(DCV_EIO, "%s: %s", path, strerror(errno));
    if (to) {
        const bool wrote = !ferror(to);
        if ((fclose(to) != 0 || !wrote) && st == DCV_OK)
            st = dcv_fail(DCV_EIO, "%s: %s", path, strerror(errno));
    }
    if (st == DCV_OK)
        fprintf(in->to, "%s\n", path);
    dcv_free(path);
    return st;
}
