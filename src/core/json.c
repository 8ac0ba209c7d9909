/* json.c -- JSON, written from front to back (RFC 8259). */
#include "core/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "deconvoy/memory.h"

static void put_string(dcv_text *t, const char *s)
{
    const char *end = s + strlen(s);
    dcv_text_put(t, "\"", 1);
    while (*s) {
        const size_t n = dcv_utf8_length(s, (size_t)(end - s));
        if (*s == '"' || *s == '\\')
            dcv_text_add(t, "\\%c", *s);
        else if ((unsigned char)*s < 0x20 || *s == 0x7f)
            dcv_text_add(t, "\\u%04x", (unsigned)*s);
        else if (n)
            dcv_text_put(t, s, n);
        else
            dcv_text_add(t, "\\ufffd");
        s += n ? n : 1;
    }
    dcv_text_put(t, "\"", 1);
}

static void begin(dcv_json *j, const char *key)
{
    if (j->comma)
        dcv_text_add(&j->text, ", ");
    j->comma = true;
    if (key) {
        put_string(&j->text, key);
        dcv_text_add(&j->text, ": ");
    }
}

/* Objects of a list stand on lines of their own. */
void dcv_json_open(dcv_json *j, const char *key, char bracket)
{
    begin(j, key);
    if (!key && bracket == '{' && j->text.n)
        dcv_text_add(&j->text, "\n  ");
    dcv_text_put(&j->text, &bracket, 1);
    j->comma = false;
}

void dcv_json_close(dcv_json *j, char bracket)
{
    dcv_text_put(&j->text, &bracket, 1);
    j->comma = true;
}

void dcv_json_string(dcv_json *j, const char *key, const char *s)
{
    begin(j, key);
    if (s)
        put_string(&j->text, s);
    else
        dcv_text_add(&j->text, "null");
}

void dcv_json_int(dcv_json *j, const char *key, int64_t v)
{
    begin(j, key);
    dcv_text_add(&j->text, "%" PRId64, v);
}

void dcv_json_real(dcv_json *j, const char *key, double v)
{
    begin(j, key);
    if (isfinite(v))
        dcv_text_add(&j->text, "%.17g", v);
    else
        dcv_text_add(&j->text, "null");
}

void dcv_json_bool(dcv_json *j, const char *key, bool v)
{
    begin(j, key);
    dcv_text_add(&j->text, v ? "true" : "false");
}

void dcv_json_null(dcv_json *j, const char *key)
{
    begin(j, key);
    dcv_text_add(&j->text, "null");
}

dcv_status dcv_json_print(dcv_json *j, FILE *to)
{
    char *text = dcv_text_take(&j->text);
    if (!text)
        return DCV_ENOMEM;
    fprintf(to, "%s\n", text);
    dcv_free(text);
    *j = (dcv_json){0};
    return DCV_OK;
}
