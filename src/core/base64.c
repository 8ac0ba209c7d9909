/* base64.c -- bytes as text, by nettle. */
#include <nettle/base64.h>
#include "core/base64.h"

void dcv_base64(const void *bytes, size_t n, char *to)
{
    base64_encode_raw(to, n, bytes);
}
