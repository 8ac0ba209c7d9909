/* onnx_names.c -- name -> number: open addressing, FNV-1a, a table at most half full. */
#include <string.h>
#include "io/onnx.h"

typedef struct {
    const char *name;
    int number;
} slot;

struct dcv_onnx_names {
    size_t mask;
    slot *slot;
};

dcv_status dcv_onnx_names_new(size_t most, dcv_onnx_names **out)
{
    size_t size = 16;
    while (size < 2 * most)
        size *= 2;
    dcv_onnx_names *n = *out = dcv_alloc(1, sizeof *n);
    if (!n)
        return DCV_ENOMEM;
    n->mask = size - 1;
    n->slot = dcv_alloc(size, sizeof *n->slot);
    if (n->slot)
        return DCV_OK;
    dcv_free(n);
    *out = NULL;
    return DCV_ENOMEM;
}

void dcv_onnx_names_free(dcv_onnx_names *n)
{
    if (n)
        dcv_free(n->slot);
    dcv_free(n);
}

/* The slot that holds name, or the empty one where it would go. */
static slot *seek(const dcv_onnx_names *n, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *s = name; *s; s++)
        h = (h ^ (uint8_t)*s) * 0x100000001b3u;
    for (size_t i = h ^ h >> 32;; i++) {
        slot *s = &n->slot[i & n->mask];
        if (!s->name || strcmp(s->name, name) == 0)
            return s;
    }
}

int dcv_onnx_names_find(const dcv_onnx_names *n, const char *name)
{
    const slot *s = seek(n, name);
    return s->name ? s->number : -1;
}

int dcv_onnx_names_add(dcv_onnx_names *n, const char *name, int number)
{
    slot *s = seek(n, name);
    const int before = s->name ? s->number : -1;
    *s = (slot){name, number};
    return before;
}
