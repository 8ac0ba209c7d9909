/* source_picture.c -- one picture as a data set of one item. */
#include <string.h>
#include "io/image_format.h"
#include "io/source.h"

static dcv_status picture_open(dcv_source *s, const dcv_source_ask *ask)
{
    const char *slash = strrchr(s->file, '/'), *name = slash ? slash + 1 : s->file;
    (void)ask;
    s->content = DCV_CONTENT_ENCODED;
    return dcv_manifest_add(&s->m, name, strlen(name), s->file_bytes, s->file_mtime_ns);
}

static dcv_status picture_fetch(const dcv_source *s, int64_t i, int64_t most, uint8_t **bytes, size_t *n)
{
    return dcv_read_item_file(s->file, s->m.entry[i].name, most, bytes, n);
}

const dcv_source_kind dcv_source_picture = {
    .name = "one picture",
    .extensions = DCV_PICTURE_EXTENSIONS,
    .knows = dcv_image_knows,
    .open = picture_open,
    .fetch = picture_fetch,
};
