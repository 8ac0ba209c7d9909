/* json.h -- JSON, written from front to back.
 *
 * Keys are given inside objects and NULL inside arrays.  Text may be any bytes: what is not UTF-8 becomes
 * U+FFFD.  Numbers that JSON cannot hold (NaN, infinity) become null.
 */
#ifndef DCV_CORE_JSON_H
#define DCV_CORE_JSON_H

#include <stdint.h>
#include <stdio.h>
#include "core/text.h"

typedef struct dcv_json { /* zero-initialised = empty */
    dcv_text text;
    bool comma; /* something stands before the next item */
} dcv_json;

void dcv_json_open(dcv_json *j, const char *key, char bracket);    /* '{' or '[' */
void dcv_json_close(dcv_json *j, char bracket);                    /* '}' or ']' */
void dcv_json_string(dcv_json *j, const char *key, const char *s); /* NULL: null */
void dcv_json_int(dcv_json *j, const char *key, int64_t v);
void dcv_json_real(dcv_json *j, const char *key, double v);
void dcv_json_bool(dcv_json *j, const char *key, bool v);
void dcv_json_null(dcv_json *j, const char *key);

/* Print the document and a line feed, and forget it.  DCV_ENOMEM if memory was refused on the way. */
dcv_status dcv_json_print(dcv_json *j, FILE *to) DCV_MUST_USE;

#endif
